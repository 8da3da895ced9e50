// The processing elements: in every cycle `Rows` sums of `Columns` products of int8 weights and
// 9-bit activations. Two rows share a multiplier of 25 x 9 bits: odd * 2^17 + even. A sum of two
// products is at most 2 * 127 * 255 < 2^16 in magnitude and stays in its field of 17 bits, so
// weights are -127..127. The field of the odd row is too small by 1 where the even one is negative.
//
// Weights enter a row a cycle, into registers behind those in use; `swap_i` takes them into use
// together with the x of the same cycle. Sums come four cycles after x.
module jc_array #(
  parameter int Rows = 16,
  parameter int Columns = 16,
  localparam int Pairs = Rows / 2,
  localparam int Couples = Columns / 2
) (
  input  logic                     clk_i,
  input  logic                     row_valid_i,
  input  logic [$clog2(Rows)-1:0]  row_i,
  input  logic [Columns*8-1:0]     row_weights_i,
  input  logic                     swap_i,
  input  logic                     valid_i,  // x is that of a pixel
  input  logic [Columns*9-1:0]     x_i,
  output logic [Rows*32-1:0]       sums_o
);
  // An odd row keeps its weight less 1 where the even weight is negative: the two halves of the
  // multiplier's operand need no adder then.
  logic [Columns*8-1:0] even_row_q;
  logic [Rows*Columns*8-1:0] next_q;
  always_ff @(posedge clk_i) begin
    if (row_valid_i) begin : enters
      logic [Columns*8-1:0] odd_row;
      for (int c = 0; c < Columns; c++) begin
        odd_row[c*8 +: 8] = row_weights_i[c*8 +: 8] - {7'b0, even_row_q[c*8 + 7]};
      end
      even_row_q <= row_weights_i;
      for (int r = 0; r < Rows; r++) begin
        if (row_i == $clog2(Rows)'(r)) begin
          next_q[r*Columns*8 +: Columns*8] <= (r % 2 == 1) ? odd_row : row_weights_i;
        end
      end
    end
  end

  // Every register takes what belongs to a pixel, and rests otherwise.
  logic [3:1] valid_q;
  always_ff @(posedge clk_i) valid_q <= {valid_q[2:1], valid_i};

  for (genvar c = 0; c < Columns; c++) begin : g_x
    logic signed [8:0] x_q;
    always_ff @(posedge clk_i) if (valid_i) x_q <= x_i[c*9 +: 9];
  end

  // Operands are extended to 64 bits and halves of couples to 32: a simulator computes in these
  // widths without masks, and synthesis trims them.
  for (genvar n = 0; n < Pairs; n++) begin : g_pair
    logic [Couples*32-1:0] evens, odds;
    for (genvar m = 0; m < Couples; m++) begin : g_couple
      logic signed [24:0] w0_q, w1_q;
      logic signed [33:0] p0_q, p1_q, couple_q;
      always_ff @(posedge clk_i) begin
        if (swap_i) begin
          w0_q <= {next_q[((2*n+1)*Columns + 2*m)*8 +: 8],
                   {9{next_q[((2*n)*Columns + 2*m)*8 + 7]}},
                   next_q[((2*n)*Columns + 2*m)*8 +: 8]};
          w1_q <= {next_q[((2*n+1)*Columns + 2*m+1)*8 +: 8],
                   {9{next_q[((2*n)*Columns + 2*m+1)*8 + 7]}},
                   next_q[((2*n)*Columns + 2*m+1)*8 +: 8]};
        end
      end
      always_ff @(posedge clk_i) begin
        if (valid_q[1]) begin
          p0_q <= 34'(64'(w0_q) * 64'(g_x[2*m].x_q));
          p1_q <= 34'(64'(w1_q) * 64'(g_x[2*m+1].x_q));
        end
        if (valid_q[2]) couple_q <= p0_q + p1_q;
      end
      assign evens[m*32 +: 32] = 32'(signed'(couple_q[16:0]));
      assign odds[m*32 +: 32] = 32'(signed'(couple_q[33:17])) + 32'(couple_q[16]);
    end
    logic [31:0] even_d, odd_d;
    logic signed [23:0] even_q, odd_q;
    always_comb begin
      even_d = '0;
      odd_d = '0;
      for (int m = 0; m < Couples; m++) begin
        even_d += evens[m*32 +: 32];
        odd_d += odds[m*32 +: 32];
      end
    end
    always_ff @(posedge clk_i) begin
      if (valid_q[3]) begin
        even_q <= even_d[23:0];
        odd_q <= odd_d[23:0];
      end
    end
    assign sums_o[(2*n)*32 +: 32] = 32'(even_q);
    assign sums_o[(2*n+1)*32 +: 32] = 32'(odd_q);
  end
endmodule
