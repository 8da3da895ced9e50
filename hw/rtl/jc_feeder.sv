// Brings the next tile of weights into the array, a row a cycle, while the tile before it is in
// use, and with the first tile of every strip the biases that its sums start from.
`include "jc_regs.svh"

module jc_feeder #(
  parameter int Rows = 16,
  localparam int Row = $clog2(Rows)
) (
  input  logic            clk_i,
  input  logic            rst_ni,
  input  logic            start_i,       // of a descriptor, not while busy
  input  logic [511:0]    descriptor_i,
  input  logic            claim_i,       // a pass that uses the tile has started
  input  logic            swap_i,        // the array takes the tile into use
  output logic            ready_o,       // a pass that starts now finds its tile
  output logic            busy_o,        // the swap of a claimed tile is still to come
  // reads
  output logic            weight_read_o,
  output logic [15:0]     weight_word_o,
  output logic            bias_read_o,
  output logic [15:0]     bias_word_o,
  // a cycle later, with the data
  output logic            row_valid_o,
  output logic [Row-1:0]  row_o,
  // two cycles after that
  output logic            bias_valid_o,
  output logic [Row-1:0]  bias_row_o
);
  // From the start of a pass to the cycle in which the array needs its weights there are four
  // cycles; a row needs two to be read and written.
  localparam int Ahead = 3;

  // Kept: the last swap of a descriptor comes when the next one is shown already.
  logic is_multiply;
  logic [15:0] passes_q, strips_q;
  logic [11:0] tiles_q;
  logic [1:0] operation_q;
  assign is_multiply = operation_q == 2'd0;

  logic feed_q, full_q, claimed_q;
  logic [Row-1:0] row_q;
  logic [15:0] pass_q, strip_q, tile_q, weight_q, tile_weight_q, bias_q;
  logic is_first, is_last_pass, is_last_strip, is_last_tile, is_over;
  assign is_first = pass_q == '0;
  assign is_last_pass = !is_multiply || pass_q + 16'd1 == passes_q;
  assign is_last_strip = strip_q + 16'd1 == strips_q;
  assign is_last_tile = tile_q + 16'd1 == 16'(tiles_q);
  assign is_over = is_last_pass && is_last_strip && is_last_tile;

  assign weight_read_o = feed_q && is_multiply;
  assign weight_word_o = weight_q;
  assign bias_read_o = feed_q && is_first;
  assign bias_word_o = bias_q + 16'(row_q);
  assign busy_o = claimed_q;
  assign ready_o = !claimed_q && (full_q || (feed_q && row_q >= Row'(Rows - Ahead)));

  logic [1:0] bias_valid_q;
  logic [Row-1:0] bias_row_q;
  always_ff @(posedge clk_i) begin
    row_valid_o <= weight_read_o;
    row_o <= row_q;
    bias_valid_q <= {bias_valid_q[0], bias_read_o};
    bias_row_q <= row_o;
    bias_valid_o <= bias_valid_q[1];
    bias_row_o <= bias_row_q;
    if (!rst_ni) begin
      row_valid_o <= 1'b0;
      bias_valid_q <= '0;
      bias_valid_o <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (feed_q) begin
      row_q <= row_q + 1'b1;
      if (is_multiply) weight_q <= weight_q + 16'd1;
      if (row_q == Row'(Rows - 1)) begin
        row_q <= '0;
        feed_q <= 1'b0;
        full_q <= 1'b1;
      end
    end
    if (claim_i) claimed_q <= 1'b1;
    if (swap_i) begin
      claimed_q <= 1'b0;
      full_q <= 1'b0;
      feed_q <= !is_over;
      pass_q <= pass_q + 16'd1;
      if (is_last_pass) begin
        pass_q <= '0;
        strip_q <= strip_q + 16'd1;
        weight_q <= tile_weight_q;  // once more for the next strip
        if (is_last_strip) begin
          strip_q <= '0;
          tile_q <= tile_q + 16'd1;
          tile_weight_q <= weight_q;
          weight_q <= weight_q;
          bias_q <= bias_q + 16'(Rows);
        end
      end
    end
    if (start_i) begin
      feed_q <= 1'b1;
      row_q <= '0;
      pass_q <= '0;
      strip_q <= '0;
      tile_q <= '0;
      operation_q <= `JC_COMPUTE_OPERATION(descriptor_i);
      passes_q <= `JC_COMPUTE_PASSES(descriptor_i);
      strips_q <= `JC_COMPUTE_STRIPS(descriptor_i);
      tiles_q <= `JC_COMPUTE_OUTPUT_TILES(descriptor_i);
      weight_q <= `JC_COMPUTE_WEIGHT_WORD(descriptor_i);
      tile_weight_q <= `JC_COMPUTE_WEIGHT_WORD(descriptor_i);
      bias_q <= `JC_COMPUTE_PARAMETER_WORD(descriptor_i);
    end
    if (!rst_ni) begin
      feed_q <= 1'b0;
      full_q <= 1'b0;
      claimed_q <= 1'b0;
    end
  end
endmodule
