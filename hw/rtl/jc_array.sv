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
  input  logic [Columns*9-1:0]     x_i,
  output logic [Rows*32-1:0]       sums_o
);
  // An odd row keeps its weight less 1 where the even weight is negative: the two halves of the
  // multiplier's operand need no adder then.
  logic [Columns*8-1:0] even_row_q, odd_row;
  always_ff @(posedge clk_i) if (row_valid_i) even_row_q <= row_weights_i;
  for (genvar c = 0; c < Columns; c++) begin : g_odd
    assign odd_row[c*8 +: 8] = row_weights_i[c*8 +: 8] - {7'b0, even_row_q[c*8 + 7]};
  end

  logic [Rows*Columns*8-1:0] next_q;
  for (genvar r = 0; r < Rows; r++) begin : g_row
    always_ff @(posedge clk_i) begin
      if (row_valid_i && row_i == $clog2(Rows)'(r)) begin
        next_q[r*Columns*8 +: Columns*8] <= (r % 2 == 1) ? odd_row : row_weights_i;
      end
    end
  end

  for (genvar n = 0; n < Pairs; n++) begin : g_pair
    logic signed [33:0] couple_q [0:Couples-1];
    for (genvar m = 0; m < Couples; m++) begin : g_couple
      logic signed [24:0] w0_q, w1_q;
      logic signed [8:0] x0_q, x1_q;
      logic signed [33:0] p0_q, p1_q;
      always_ff @(posedge clk_i) begin
        if (swap_i) begin
          w0_q <= {next_q[((2*n+1)*Columns + 2*m)*8 +: 8],
                   {9{next_q[((2*n)*Columns + 2*m)*8 + 7]}},
                   next_q[((2*n)*Columns + 2*m)*8 +: 8]};
          w1_q <= {next_q[((2*n+1)*Columns + 2*m+1)*8 +: 8],
                   {9{next_q[((2*n)*Columns + 2*m+1)*8 + 7]}},
                   next_q[((2*n)*Columns + 2*m+1)*8 +: 8]};
        end
        x0_q <= x_i[(2*m)*9 +: 9];
        x1_q <= x_i[(2*m+1)*9 +: 9];
      end
      always_ff @(posedge clk_i) begin
        p0_q <= w0_q * x0_q;
        p1_q <= w1_q * x1_q;
        couple_q[m] <= p0_q + p1_q;
      end
    end
    logic signed [23:0] even_d, odd_d, even_q, odd_q;
    always_comb begin
      even_d = '0;
      odd_d = '0;
      for (int m = 0; m < Couples; m++) begin
        even_d += 24'(signed'(couple_q[m][16:0]));
        odd_d += 24'(signed'(couple_q[m][33:17])) + 24'(couple_q[m][16]);
      end
    end
    always_ff @(posedge clk_i) begin
      even_q <= even_d;
      odd_q <= odd_d;
    end
    assign sums_o[(2*n)*32 +: 32] = 32'(even_q);
    assign sums_o[(2*n+1)*32 +: 32] = 32'(odd_q);
  end
endmodule
