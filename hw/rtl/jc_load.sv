// Reads rectangles from memory into the activation, weight or parameter memory. Bursts of the
// next descriptor are asked for while beats of this one still come.
`include "jc_regs.svh"

module jc_load #(
  parameter int Lanes = 2  // of 8 bytes in a word
) (
  input  logic              clk_i,
  input  logic              rst_ni,
  input  logic              valid_i,
  input  logic [511:0]      descriptor_i,
  output logic              pop_o,
  output logic              done_o,
  output logic              busy_o,
  output logic              bad_read_o,
  // AXI4
  output logic              ar_valid_o,
  input  logic              ar_ready_i,
  output logic [31:0]       ar_addr_o,
  output logic [7:0]        ar_len_o,
  input  logic              r_valid_i,
  input  logic [63:0]       r_data_i,
  input  logic [1:0]        r_resp_i,
  input  logic              r_last_i,
  // a beat
  output logic              beat_o,
  output logic [1:0]        memory_o,
  output logic [15:0]       word_o,
  output logic [Lanes-1:0]  lane_o,   // one hot
  output logic [63:0]       data_o
);
  localparam int Outstanding = 8;  // bursts: enough to hide 100 cycles of latency

  typedef struct packed {
    logic [1:0]  memory;
    logic        is_planar;
    logic [15:0] word, plane_words, plane_beats, planes;
  } place_t;

  logic walking, walk_last, asked;
  logic [31:0] walk_address;
  logic [4:0] walk_beats;
  logic [3:0] pending_q;
  place_t place_d, next_q, now_q;
  logic has_next_q, has_now_q, start, ends_plane, ends;

  assign start = valid_i && !walking && !has_next_q;
  assign pop_o = start;
  jc_walk u_walk (
    .clk_i,
    .rst_ni,
    .start_i(start),
    .descriptor_i,
    .busy_o(walking),
    .address_o(walk_address),
    .beats_o(walk_beats),
    .last_o(walk_last),
    .next_i(asked)
  );
  assign ar_valid_o = walking && pending_q != 4'(Outstanding);
  assign ar_addr_o = walk_address;
  assign ar_len_o = {3'b0, walk_beats - 5'd1};
  assign asked = ar_valid_o && ar_ready_i;
  assign busy_o = walking || has_next_q || has_now_q;
  assign bad_read_o = r_valid_i && r_resp_i != 2'b00;

  always_comb begin
    place_d = '0;
    place_d.memory = `JC_LOAD_MEMORY(descriptor_i);
    place_d.is_planar = `JC_LOAD_IS_PLANAR(descriptor_i);
    place_d.word = `JC_LOAD_WORD(descriptor_i);
    place_d.plane_words = `JC_LOAD_PLANE_WORDS(descriptor_i);
    place_d.plane_beats = `JC_LOAD_PLANE_BEATS(descriptor_i);
    place_d.planes = `JC_LOAD_PLANES(descriptor_i);
  end

  // Where beats go. Planes that share words fill one lane after the other.
  logic [15:0] word_q, base_q, left_q, planes_left_q;
  logic [Lanes-1:0] lane_q;
  assign beat_o = r_valid_i && has_now_q;
  assign memory_o = now_q.memory;
  assign word_o = word_q;
  assign lane_o = lane_q;
  assign data_o = r_data_i;
  assign ends_plane = left_q == 16'd1;
  assign ends = beat_o && ends_plane && planes_left_q == 16'd1;

  logic fill;
  assign fill = has_next_q && (!has_now_q || ends);
  always_ff @(posedge clk_i) begin
    pending_q <= pending_q + 4'(asked) - 4'(r_valid_i && r_last_i);
    done_o <= ends;
    if (start) begin
      next_q <= place_d;
      has_next_q <= 1'b1;
    end
    if (beat_o) begin
      left_q <= left_q - 16'd1;
      if (now_q.is_planar) begin
        word_q <= word_q + 16'd1;
      end else begin
        lane_q <= {lane_q[Lanes-2:0], lane_q[Lanes-1]};
        word_q <= word_q + 16'(lane_q[Lanes-1]);
      end
      if (ends_plane) begin
        left_q <= now_q.plane_beats;
        planes_left_q <= planes_left_q - 16'd1;
        if (now_q.is_planar) begin
          lane_q <= {lane_q[Lanes-2:0], lane_q[Lanes-1]};
          word_q <= lane_q[Lanes-1] ? base_q + now_q.plane_words : base_q;
          base_q <= lane_q[Lanes-1] ? base_q + now_q.plane_words : base_q;
        end
      end
    end
    if (ends) has_now_q <= 1'b0;
    if (fill) begin
      has_next_q <= 1'b0;
      has_now_q <= 1'b1;
      now_q <= next_q;
      word_q <= next_q.word;
      base_q <= next_q.word;
      left_q <= next_q.plane_beats;
      planes_left_q <= next_q.planes;
      lane_q <= Lanes'(1);
    end
    if (!rst_ni) begin
      pending_q <= '0;
      has_next_q <= 1'b0;
      has_now_q <= 1'b0;
      done_o <= 1'b0;
    end
  end
endmodule
