// Reads descriptors from memory, two in a burst, and hands them to the engines in order.
`include "jc_regs.svh"

module jc_fetch (
  input  logic         clk_i,
  input  logic         rst_ni,
  input  logic         start_i,
  input  logic [31:0]  address_i,
  input  logic [31:0]  count_i,   // even
  output logic         busy_o,
  output logic         bad_opcode_o,
  output logic         bad_read_o,
  // to the engines: load, compute, store
  output logic [511:0] descriptor_o,
  output logic [2:0]   push_o,
  input  logic [2:0]   full_i,
  // AXI4, 16 beats a burst
  output logic         ar_valid_o,
  input  logic         ar_ready_i,
  output logic [31:0]  ar_addr_o,
  input  logic         r_valid_i,
  input  logic [63:0]  r_data_i,
  input  logic [1:0]   r_resp_i,
  input  logic         r_last_i
);
  logic [31:0] left_q, address_q;
  logic [1023:0] pair_q;
  logic ask_q, wait_q;
  logic [1:0] held_q;  // descriptors in pair_q
  logic [2:0] kind;
  logic give;

  assign descriptor_o = pair_q[511:0];
  always_comb begin
    case (`JC_LOAD_OPCODE(pair_q))
      4'd1: kind = 3'b001;
      4'd2: kind = 3'b010;
      4'd3: kind = 3'b100;
      default: kind = 3'b000;
    endcase
  end
  assign give = held_q != 2'd0 && (kind & full_i) == 3'b000;
  assign push_o = give ? kind : 3'b000;
  assign bad_opcode_o = give && kind == 3'b000 && `JC_LOAD_OPCODE(pair_q) != 4'd0;
  assign bad_read_o = wait_q && r_valid_i && r_resp_i != 2'b00;
  assign busy_o = left_q != '0 || ask_q || wait_q || held_q != 2'd0;
  assign ar_valid_o = ask_q;
  assign ar_addr_o = address_q;

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      left_q <= count_i;
      address_q <= address_i;
    end else if (left_q != '0 && !ask_q && !wait_q && held_q == 2'd0) begin
      ask_q <= 1'b1;
    end
    if (ask_q && ar_ready_i) begin
      ask_q <= 1'b0;
      wait_q <= 1'b1;
      left_q <= left_q - 32'd2;
      address_q <= address_q + 32'd128;
    end
    if (wait_q && r_valid_i) begin
      pair_q <= {r_data_i, pair_q[1023:64]};
      if (r_last_i) begin
        wait_q <= 1'b0;
        held_q <= 2'd2;
      end
    end
    if (give) begin
      pair_q[511:0] <= pair_q[1023:512];
      held_q <= held_q - 2'd1;
    end
    if (!rst_ni) begin
      left_q <= '0;
      ask_q <= 1'b0;
      wait_q <= 1'b0;
      held_q <= '0;
    end
  end
endmodule
