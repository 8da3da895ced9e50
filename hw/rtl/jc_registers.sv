// The AXI4-Lite slave: registers of hw/regs.py.
`include "jc_regs.svh"

module jc_registers #(
  parameter int Rows = 16,
  parameter int Columns = 16,
  parameter int Strip = 64,
  parameter int Lanes = 8,
  parameter int ActivationWords = 8192,
  parameter int WeightWords = 10240,
  parameter int OutputWords = 2048,
  parameter int ParameterWords = 1024
) (
  input  logic                             clk_i,
  input  logic                             rst_ni,
  input  logic [7:0]                       aw_addr_i,
  input  logic                             aw_valid_i,
  output logic                             aw_ready_o,
  input  logic [31:0]                      w_data_i,
  input  logic                             w_valid_i,
  output logic                             w_ready_o,
  output logic                             b_valid_o,
  input  logic                             b_ready_i,
  input  logic [7:0]                       ar_addr_i,
  input  logic                             ar_valid_i,
  output logic                             ar_ready_o,
  output logic [31:0]                      r_data_o,
  output logic                             r_valid_o,
  input  logic                             r_ready_i,
  // the core
  output logic                             start_o,
  output logic                             clear_o,
  output logic [31:0]                      descriptors_o,
  output logic [31:0]                      count_o,
  input  logic                             busy_i,
  input  logic                             done_i,     // a cycle long
  input  logic                             error_i,
  input  logic [3:0]                       error_code_i,
  input  logic [`JC_COUNTERS*32-1:0]       counters_i,
  output logic                             interrupt_o
);
  logic write, done_q, error_q, pending_q, enable_q;
  logic [3:0] error_code_q;
  logic [31:0] scratch_q;
  assign write = aw_valid_i && w_valid_i && !b_valid_o;
  assign aw_ready_o = write;
  assign w_ready_o = write;
  assign ar_ready_o = !r_valid_o;
  assign interrupt_o = pending_q && enable_q;

  logic [31:0] value;
  always_comb begin
    value = '0;
    case ({ar_addr_i[7:2], 2'b00})
      `JC_REG_ID: value = `JC_IDENTITY;
      `JC_REG_VERSION: value = `JC_VERSION;
      `JC_REG_ARRAY: value = {8'(Lanes), 8'(Strip), 8'(Columns), 8'(Rows)};
      `JC_REG_INPUTS: value = ActivationWords;
      `JC_REG_WEIGHTS: value = WeightWords;
      `JC_REG_OUTPUTS: value = OutputWords;
      `JC_REG_PARAMETERS: value = ParameterWords;
      `JC_REG_STATUS: value = {20'b0, error_code_q, 5'b0, error_q, done_q, busy_i};
      `JC_REG_INTERRUPT: value = {31'b0, pending_q};
      `JC_REG_INTERRUPT_ENABLE: value = {31'b0, enable_q};
      `JC_REG_DESCRIPTORS: value = descriptors_o;
      `JC_REG_COUNT: value = count_o;
      `JC_REG_SCRATCH: value = scratch_q;
      default: begin
        for (int i = 0; i < `JC_COUNTERS; i++) begin
          if (ar_addr_i[7:2] == 6'(`JC_FIRST_COUNTER + i)) value = counters_i[i*32 +: 32];
        end
      end
    endcase
  end

  always_ff @(posedge clk_i) begin
    start_o <= 1'b0;
    clear_o <= 1'b0;
    if (done_i) begin
      done_q <= 1'b1;
      pending_q <= 1'b1;
    end
    if (error_i && !error_q) begin
      error_q <= 1'b1;
      error_code_q <= error_code_i;
    end
    if (b_valid_o && b_ready_i) b_valid_o <= 1'b0;
    if (write) begin
      b_valid_o <= 1'b1;
      case ({aw_addr_i[7:2], 2'b00})
        `JC_REG_CONTROL: begin
          if (w_data_i[0] && !busy_i) begin
            start_o <= 1'b1;
            done_q <= 1'b0;
            error_q <= 1'b0;
            error_code_q <= '0;
          end
          clear_o <= w_data_i[1];
        end
        `JC_REG_INTERRUPT: if (w_data_i[0]) pending_q <= 1'b0;
        `JC_REG_INTERRUPT_ENABLE: enable_q <= w_data_i[0];
        `JC_REG_DESCRIPTORS: descriptors_o <= w_data_i;
        `JC_REG_COUNT: count_o <= w_data_i;
        `JC_REG_SCRATCH: scratch_q <= w_data_i;
        default: ;
      endcase
    end
    if (r_valid_o && r_ready_i) r_valid_o <= 1'b0;
    if (ar_valid_i && ar_ready_o) begin
      r_valid_o <= 1'b1;
      r_data_o <= value;
    end
    if (!rst_ni) begin
      start_o <= 1'b0;
      clear_o <= 1'b0;
      done_q <= 1'b0;
      error_q <= 1'b0;
      error_code_q <= '0;
      pending_q <= 1'b0;
      enable_q <= 1'b0;
      b_valid_o <= 1'b0;
      r_valid_o <= 1'b0;
      descriptors_o <= '0;
      count_o <= '0;
      scratch_q <= '0;
    end
  end
endmodule
