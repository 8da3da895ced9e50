// The activation memory. A window is `Columns` bytes from any byte address on, so words lie in
// two banks, the even and the odd ones. The memory has two halves: while one is read through
// two windows, beats are written into the other.
module jc_activations #(
  parameter int Columns = 16,
  parameter int Words = 8192,
  localparam int Lanes = Columns / 8,
  localparam int Lane = $clog2(Columns),
  localparam int Address = $clog2(Words) + Lane
) (
  input  logic                       clk_i,
  // the first window, and one that only packed windows need
  input  logic [Address-1:0]         a_byte_i,
  input  logic [Address-1:0]         b_byte_i,
  input  logic                       is_packed_i,
  output logic [Columns*8-1:0]       a_window_o,  // three cycles later
  output logic [Columns*8-1:0]       b_window_o,
  // a beat into 8 lanes of a word
  input  logic                       write_i,
  input  logic [$clog2(Words)-1:0]   write_word_i,
  input  logic [Lanes-1:0]           write_lane_i,  // one hot
  input  logic [63:0]                write_data_i
);
  localparam int Bank = $clog2(Words) - 2;  // words of a bank of a half

  logic [1:0][Address-1:0] first_byte;
  assign first_byte = {b_byte_i, a_byte_i};

  // Where the even and the odd word of each window lie in their banks.
  logic [1:0][1:0][Bank-1:0] word;  // window, parity
  logic [1:0]                half;
  for (genvar w = 0; w < 2; w++) begin : g_address
    logic [Bank:0] pair;
    assign half[w] = first_byte[w][Address-1];
    assign pair = {1'b0, first_byte[w][Address-2:Lane+1]} + (Bank+1)'(first_byte[w][Lane]);
    assign word[w][0] = pair[Bank-1:0];
    assign word[w][1] = first_byte[w][Address-2:Lane+1];
  end

  logic [7:0][Columns*8-1:0] data;  // by half, parity and window
  for (genvar h = 0; h < 2; h++) begin : g_half
    for (genvar p = 0; p < 2; p++) begin : g_parity
      logic is_written;
      logic [Bank-1:0] b_word;
      assign is_written = write_i && write_word_i[Bank+1] == 1'(h) && write_word_i[0] == 1'(p);
      assign b_word = is_written ? write_word_i[Bank:1] : word[1][p];
      for (genvar l = 0; l < Lanes; l++) begin : g_lane
        jc_true_memory #(.Words(1 << Bank), .Width(64)) u_memory (
          .clk_i,
          .a_word_i(word[0][p]),
          .a_data_o(data[h*4 + p*2][l*64 +: 64]),
          .b_write_i(is_written && write_lane_i[l]),
          .b_word_i(b_word),
          .b_data_i(write_data_i),
          .b_data_o(data[h*4 + p*2 + 1][l*64 +: 64])
        );
      end
    end
  end

  for (genvar w = 0; w < 2; w++) begin : g_window
    logic [Lane-1:0] shift_q, shift_q2;
    logic parity_q, half_q;
    logic [Columns*8-1:0] mixed_q, window_q;
    always_ff @(posedge clk_i) begin
      half_q <= half[w];
      parity_q <= first_byte[w][Lane];
      shift_q <= first_byte[w][Lane-1:0];
      shift_q2 <= shift_q;
      if (w == 0 || is_packed_i) begin : turn
        logic [Columns*8-1:0] even, odd, is_odd;
        logic [2*Columns*8-1:0] twice;
        // Byte lanes below the shift come from the word after the first one.
        even = half_q ? data[4 + w] : data[w];
        odd = half_q ? data[6 + w] : data[2 + w];
        is_odd = {Columns*8{!parity_q}} ^ ({Columns*8{1'b1}} << {shift_q, 3'b000});
        mixed_q <= (odd & is_odd) | (even & ~is_odd);
        twice = {mixed_q, mixed_q} >> {shift_q2, 3'b000};
        window_q <= twice[Columns*8-1:0];
      end
    end
    if (w == 0) begin : g_a
      assign a_window_o = window_q;
    end else begin : g_b
      assign b_window_o = window_q;
    end
  end
endmodule
