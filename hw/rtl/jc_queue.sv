// Two descriptors in order: the one that runs and the one after it. The first is shown when
// everything that it waits for has ended.
`include "jc_regs.svh"

module jc_queue (
  input  logic         clk_i,
  input  logic         rst_ni,
  input  logic         push_i,
  input  logic [511:0] descriptor_i,
  output logic         full_o,
  input  logic [15:0]  loads_i,     // that have ended
  input  logic [15:0]  computes_i,
  input  logic [15:0]  stores_i,
  output logic         valid_o,     // the first may start
  output logic         empty_o,
  output logic         waits_load_o,
  output logic [511:0] descriptor_o,
  input  logic         pop_i
);
  logic [511:0] first_q, second_q;
  logic [1:0] count_q;
  logic [15:0] load_gap, compute_gap, store_gap;
  assign load_gap = loads_i - `JC_LOAD_WAIT_LOAD(first_q);
  assign compute_gap = computes_i - `JC_LOAD_WAIT_COMPUTE(first_q);
  assign store_gap = stores_i - `JC_LOAD_WAIT_STORE(first_q);
  assign empty_o = count_q == 2'd0;
  assign full_o = count_q == 2'd2;
  assign waits_load_o = load_gap[15];
  assign valid_o = !empty_o && !load_gap[15] && !compute_gap[15] && !store_gap[15];
  assign descriptor_o = first_q;

  always_ff @(posedge clk_i) begin
    count_q <= count_q + 2'(push_i) - 2'(pop_i);
    if (pop_i) first_q <= second_q;
    if (push_i) begin
      if (empty_o || (pop_i && count_q == 2'd1)) first_q <= descriptor_i;
      else second_q <= descriptor_i;
    end
    if (!rst_ni) count_q <= '0;
  end
endmodule
