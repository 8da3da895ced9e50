// Writes rectangles of the output memory. A store has ended when every write was answered.
`include "jc_regs.svh"

module jc_store #(
  parameter int Lanes = 2  // of 8 bytes in a word
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  input  logic                valid_i,
  input  logic [511:0]        descriptor_i,
  output logic                pop_o,
  output logic                done_o,
  output logic                busy_o,
  output logic                bad_write_o,
  // the output memory
  output logic                read_o,
  output logic [15:0]         word_o,
  input  logic [Lanes*64-1:0] data_i,     // a cycle later
  // AXI4
  output logic                aw_valid_o,
  input  logic                aw_ready_i,
  output logic [31:0]         aw_addr_o,
  output logic [7:0]          aw_len_o,
  output logic                w_valid_o,
  input  logic                w_ready_i,
  output logic [63:0]         w_data_o,
  output logic                w_last_o,
  input  logic                b_valid_i,
  input  logic [1:0]          b_resp_i
);
  localparam int Lane = (Lanes > 1) ? $clog2(Lanes) : 1;

  logic walking, walk_last, next;
  logic [31:0] walk_address;
  logic [4:0] walk_beats;
  logic run_q, start, end_write, writes_q;
  logic [4:0] beats_left_q;
  logic [15:0] answers_q;  // still to come

  assign start = valid_i && !run_q;
  assign pop_o = start;
  assign busy_o = run_q;
  jc_walk u_walk (
    .clk_i,
    .rst_ni,
    .start_i(start),
    .descriptor_i,
    .busy_o(walking),
    .address_o(walk_address),
    .beats_o(walk_beats),
    .last_o(walk_last),
    .next_i(next)
  );

  // One burst after the other: its address, then its beats.
  assign aw_valid_o = walking && !writes_q;
  assign aw_addr_o = walk_address;
  assign aw_len_o = {3'b0, walk_beats - 5'd1};
  assign next = aw_valid_o && aw_ready_i;

  // Beats are read ahead into a queue of four.
  logic [15:0] word_q, base_q, left_q, planes_left_q, plane_beats_q, plane_words_q;
  logic [7:0] lane_q, word_planes_q;
  logic more_q, read_q, ends_plane;
  logic [Lane-1:0] read_lane_q;
  logic [3:0][63:0] queue_q;
  logic [2:0] queued_q;
  logic [1:0] head_q, tail_q;
  logic [2:0] promised_q;
  logic take;
  assign read_o = more_q && promised_q != 3'd4;
  assign word_o = word_q;
  assign ends_plane = left_q == 16'd1;
  assign w_valid_o = writes_q && queued_q != 3'd0;
  assign w_data_o = queue_q[head_q];
  assign w_last_o = beats_left_q == 5'd1;
  assign take = w_valid_o && w_ready_i;
  assign end_write = take && w_last_o;
  assign bad_write_o = b_valid_i && b_resp_i != 2'b00;

  logic [Lanes-1:0][63:0] lanes;
  assign lanes = data_i;
  always_ff @(posedge clk_i) begin
    done_o <= 1'b0;
    if (start) begin
      run_q <= 1'b1;
      more_q <= 1'b1;
      word_q <= `JC_STORE_WORD(descriptor_i);
      base_q <= `JC_STORE_WORD(descriptor_i);
      left_q <= `JC_STORE_PLANE_BEATS(descriptor_i);
      plane_beats_q <= `JC_STORE_PLANE_BEATS(descriptor_i);
      plane_words_q <= `JC_STORE_PLANE_WORDS(descriptor_i);
      planes_left_q <= `JC_STORE_PLANES(descriptor_i);
      word_planes_q <= `JC_STORE_WORD_PLANES(descriptor_i);
      lane_q <= '0;
    end
    if (read_o) begin
      left_q <= left_q - 16'd1;
      word_q <= word_q + 16'd1;
      if (ends_plane) begin
        left_q <= plane_beats_q;
        planes_left_q <= planes_left_q - 16'd1;
        more_q <= planes_left_q != 16'd1;
        if (lane_q + 8'd1 == word_planes_q) begin
          lane_q <= '0;
          word_q <= base_q + plane_words_q;
          base_q <= base_q + plane_words_q;
        end else begin
          lane_q <= lane_q + 8'd1;
          word_q <= base_q;
        end
      end
    end
    read_q <= read_o;
    read_lane_q <= lane_q[Lane-1:0];
    if (read_q) begin
      queue_q[tail_q] <= lanes[read_lane_q];
      tail_q <= tail_q + 2'd1;
    end
    if (take) head_q <= head_q + 2'd1;
    queued_q <= queued_q + 3'(read_q) - 3'(take);
    promised_q <= promised_q + 3'(read_o) - 3'(take);

    if (next) begin
      writes_q <= 1'b1;
      beats_left_q <= walk_beats;
    end
    if (take) beats_left_q <= beats_left_q - 5'd1;
    if (end_write) writes_q <= 1'b0;
    answers_q <= answers_q + 16'(end_write) - 16'(b_valid_i);
    if (run_q && !walking && !writes_q && answers_q == '0) begin
      run_q <= 1'b0;
      done_o <= 1'b1;
    end
    if (!rst_ni) begin
      run_q <= 1'b0;
      more_q <= 1'b0;
      writes_q <= 1'b0;
      read_q <= 1'b0;
      queued_q <= '0;
      promised_q <= '0;
      head_q <= '0;
      tail_q <= '0;
      answers_q <= '0;
      done_o <= 1'b0;
    end
  end
endmodule
