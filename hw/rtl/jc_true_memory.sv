// A memory of two ports: one reads, the other reads or writes.
module jc_true_memory #(
  parameter int Words = 1024,
  parameter int Width = 64,
  localparam int Address = $clog2(Words)
) (
  input  logic               clk_i,
  input  logic [Address-1:0] a_word_i,
  output logic [Width-1:0]   a_data_o,
  input  logic               b_write_i,
  input  logic [Address-1:0] b_word_i,
  input  logic [Width-1:0]   b_data_i,
  output logic [Width-1:0]   b_data_o
);
  (* ram_style = "block" *) logic [Width-1:0] memory [Words];

  always_ff @(posedge clk_i) a_data_o <= memory[a_word_i];

  always_ff @(posedge clk_i) begin
    if (b_write_i) memory[b_word_i] <= b_data_i;
    else b_data_o <= memory[b_word_i];
  end
endmodule
