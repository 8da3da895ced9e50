// A memory of one write port and one read port whose output is registered.
module jc_memory #(
  parameter int Words = 1024,
  parameter int Width = 64,
  localparam int Address = $clog2(Words)
) (
  input  logic               clk_i,
  input  logic               write_i,
  input  logic [Address-1:0] write_word_i,
  input  logic [Width-1:0]   write_data_i,
  input  logic               read_i,
  input  logic [Address-1:0] read_word_i,
  output logic [Width-1:0]   read_data_o
);
  (* ram_style = "block" *) logic [Width-1:0] memory [Words];

  always_ff @(posedge clk_i) begin
    if (write_i) memory[write_word_i] <= write_data_i;
    if (read_i) read_data_o <= memory[read_word_i];
  end
endmodule
