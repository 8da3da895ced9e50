// The sums of a strip of pixels for every row, in two banks: one is added to while the other is
// requantized. A sum starts from its bias. Besides adding products, a sum can keep the largest
// of what passes, add it up, or hold two addends.
module jc_sums #(
  parameter int Rows = 16,
  parameter int Columns = 16,
  parameter int Strip = 64,
  localparam int Row = $clog2(Rows),
  localparam int Pixel = $clog2(Strip)
) (
  input  logic                  clk_i,
  // biases, row by row, taken into use by the first pixel of a strip
  input  logic                  bias_valid_i,
  input  logic [Row-1:0]        bias_row_i,
  input  logic [31:0]           bias_i,
  input  logic                  bias_swap_i,   // a cycle before that pixel
  // a pixel
  input  logic                  pixel_i,
  input  logic                  bank_i,
  input  logic [Pixel-1:0]      index_i,
  input  logic                  first_i,
  input  logic [1:0]            operation_i,
  input  logic [Rows*32-1:0]    products_i,
  input  logic [Columns*9-1:0]  x_i,
  // sums of the other bank, in the same cycle
  input  logic                  drain_bank_i,
  input  logic [Pixel-1:0]      drain_index_i,
  output logic [Rows*32-1:0]    drain_sums_o
);
  logic [Rows*32-1:0] next_bias_q, bias_q;
  always_ff @(posedge clk_i) begin
    if (bias_valid_i) begin
      for (int r = 0; r < Rows; r++) begin
        if (bias_row_i == Row'(r)) next_bias_q[r*32 +: 32] <= bias_i;
      end
    end
  end
  always_ff @(posedge clk_i) if (bias_swap_i) bias_q <= next_bias_q;

  logic [1:0][Pixel-1:0] word;
  for (genvar b = 0; b < 2; b++) begin : g_word
    assign word[b] = (pixel_i && bank_i == 1'(b)) ? index_i : drain_index_i;
  end

  for (genvar r = 0; r < Rows; r++) begin : g_row
    (* ram_style = "distributed" *) logic [31:0] bank0 [Strip];
    (* ram_style = "distributed" *) logic [31:0] bank1 [Strip];
    logic [31:0] read0, read1, held, added, total;
    logic signed [8:0] x;
    assign read0 = bank0[word[0]];
    assign read1 = bank1[word[1]];
    assign held = bank_i ? read1 : read0;
    assign x = (r < Columns) ? x_i[(r % Columns)*9 +: 9] : '0;
    assign added = (operation_i == 2'd0) ? products_i[r*32 +: 32] : 32'(x);
    always_comb begin
      total = (first_i ? bias_q[r*32 +: 32] : held) + added;
      if (!first_i && operation_i == 2'd1) total = (x > signed'(held[8:0])) ? 32'(x) : held;
      if (!first_i && operation_i == 2'd3) total = {7'b0, x, held[15:0]};
    end
    always_ff @(posedge clk_i) begin
      if (pixel_i && !bank_i) bank0[word[0]] <= total;
      if (pixel_i && bank_i) bank1[word[1]] <= total;
    end
    assign drain_sums_o[r*32 +: 32] = drain_bank_i ? read1 : read0;
  end
endmodule
