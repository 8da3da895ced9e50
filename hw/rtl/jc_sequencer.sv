// Walks a computation: for every tile of output channels, strip of pixels, and pass over the
// strip (a tap of the window and a tile of input channels) one pixel a cycle. A pass starts when
// its weights are in the array or about to be, the first of a strip when its sums may be
// overwritten as well.
`include "jc_regs.svh"

module jc_sequencer #(
  parameter int Rows = 16,
  parameter int Columns = 16,
  parameter int Strip = 64,
  parameter int ActivationBytes = 1 << 17,
  localparam int Address = $clog2(ActivationBytes),
  localparam int Pixel = $clog2(Strip),
  localparam int Lane = $clog2(Columns)
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  // a descriptor, held until taken; all that it waits for has ended
  input  logic                valid_i,
  output logic                start_o,
  output logic                take_o,
  input  logic [511:0]        descriptor_i,
  // what may start
  input  logic                feeder_busy_i,
  input  logic                weights_ready_i,
  input  logic [1:0]          sums_free_i,
  // a strip begins in a bank of sums: what its requantization needs
  output logic                strip_start_o,
  output logic                bank_o,
  output logic [15:0]         strip_output_o,     // first word
  output logic [15:0]         strip_parameter_o,  // first channel
  output logic [Pixel-1:0]    strip_end_o,        // last pixel
  output logic                strip_last_o,       // of the descriptor
  // a pixel, issued
  output logic                pixel_o,
  output logic                pixel_swap_o,       // with new weights
  output logic                pixel_first_o,      // in the first pass of its strip
  output logic                pixel_last_o,       // the last of its strip
  output logic [Pixel-1:0]    pixel_index_o,
  output logic                pixel_bank_o,
  // a cycle later: where its windows lie
  output logic [Address-1:0]  a_byte_o,
  output logic [Address-1:0]  b_byte_o,
  output logic [Lane:0]       a_lanes_o,          // lanes that the first window fills
  output logic                is_inside_o,
  // why nothing was issued
  output logic                stall_weights_o,
  output logic                stall_sums_o,
  output logic                busy_o
);
  logic [511:0] d;
  assign d = descriptor_i;
  logic is_multiply, is_packed;
  assign is_multiply = `JC_COMPUTE_OPERATION(d) == 2'd0;
  assign is_packed = `JC_COMPUTE_IS_PACKED(d);

  // The walk over pixels: a pixel of the output, and where its window begins.
  logic [15:0] column_q, row_byte_q, byte_q, x_q, y_q;            // now
  logic [15:0] s_column_q, s_row_byte_q, s_byte_q, s_x_q, s_y_q;  // at the strip's start
  logic [15:0] column_n, row_byte_n, byte_n, x_n, y_n;            // after this pixel
  logic [15:0] pixels_left_q;                                     // of this tile, this strip's too
  logic [Pixel-1:0] index_q, end_index;
  // The walk over passes.
  logic [15:0] pass_q, input_q, tap_x_q;
  logic [15:0] tile_base_q, tap_row_base_q, tap_base_q, base_q;   // sums of steps
  logic [15:0] dx_q, dy_q;
  logic [15:0] strip_q, tile_q, output_q, parameter_q;
  logic [15:0] packed_at_q, packed_row_q;                         // byte in a row of the window
  logic        bank_q, starts_q;                                  // starts_q: at a pass's first pixel

  // Packed windows: this pass takes the rest of one row of the window, then some of the next.
  logic [15:0] rest, more;
  logic [Lane:0] a_lanes;
  assign rest = `JC_COMPUTE_WINDOW_BYTES(d) - packed_at_q;
  assign a_lanes = (rest >= 16'(Columns)) ? (Lane+1)'(Columns) : rest[Lane:0];
  assign more = 16'(Columns) - 16'(a_lanes);

  logic is_first_pass, is_last_pass, is_last_strip, is_last_tile, is_end, may_start, go, run_q;
  assign is_first_pass = pass_q == '0;
  assign is_last_pass = pass_q + 16'd1 == `JC_COMPUTE_PASSES(d);
  assign is_last_strip = strip_q + 16'd1 == `JC_COMPUTE_STRIPS(d);
  assign is_last_tile = tile_q + 16'd1 == 16'(`JC_COMPUTE_OUTPUT_TILES(d));
  assign end_index = (pixels_left_q < 16'(`JC_COMPUTE_STRIP(d))) ?
      Pixel'(pixels_left_q - 16'd1) : Pixel'(`JC_COMPUTE_STRIP(d) - 8'd1);
  assign is_end = index_q == end_index;

  logic needs_weights, weights_missing, sums_missing;
  assign needs_weights = is_multiply || is_first_pass;
  assign weights_missing = starts_q && needs_weights && !weights_ready_i;
  assign sums_missing = starts_q && is_first_pass && !sums_free_i[bank_q];
  assign may_start = !weights_missing && !sums_missing;
  assign go = run_q && may_start;

  assign busy_o = run_q;
  assign start_o = !run_q && valid_i && !feeder_busy_i;
  assign stall_sums_o = run_q && sums_missing;
  assign stall_weights_o = run_q && weights_missing && !sums_missing;
  assign take_o = go && is_end && is_last_pass && is_last_strip && is_last_tile;

  assign strip_start_o = go && starts_q && is_first_pass;
  assign bank_o = bank_q;
  assign strip_output_o = output_q;
  assign strip_parameter_o = parameter_q;
  assign strip_end_o = end_index;
  assign strip_last_o = is_last_strip && is_last_tile;

  assign pixel_o = go;
  assign pixel_swap_o = go && starts_q && needs_weights;
  assign pixel_first_o = is_first_pass;
  assign pixel_last_o = is_last_pass && is_end;
  assign pixel_index_o = index_q;
  assign pixel_bank_o = bank_q;

  always_comb begin
    if (column_q + 16'd1 == `JC_COMPUTE_OUT_WIDTH(d)) begin
      column_n = '0;
      row_byte_n = row_byte_q + `JC_COMPUTE_ROW_STEP(d);
      byte_n = row_byte_n;
      x_n = -(16'(`JC_COMPUTE_PAD_LEFT(d)));
      y_n = y_q + 16'(`JC_COMPUTE_STRIDE_Y(d));
    end else begin
      column_n = column_q + 16'd1;
      row_byte_n = row_byte_q;
      byte_n = byte_q + 16'(`JC_COMPUTE_PIXEL_STEP(d));
      x_n = x_q + 16'(`JC_COMPUTE_STRIDE_X(d));
      y_n = y_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      run_q <= 1'b0;
      bank_q <= 1'b0;
    end else if (!run_q) begin
      run_q <= start_o;
      starts_q <= 1'b1;
      column_q <= '0;
      row_byte_q <= '0;
      byte_q <= '0;
      x_q <= -(16'(`JC_COMPUTE_PAD_LEFT(d)));
      y_q <= -(16'(`JC_COMPUTE_PAD_TOP(d)));
      s_column_q <= '0;
      s_row_byte_q <= '0;
      s_byte_q <= '0;
      s_x_q <= -(16'(`JC_COMPUTE_PAD_LEFT(d)));
      s_y_q <= -(16'(`JC_COMPUTE_PAD_TOP(d)));
      pixels_left_q <= `JC_COMPUTE_PIXELS(d);
      index_q <= '0;
      pass_q <= '0;
      input_q <= '0;
      tap_x_q <= '0;
      tile_base_q <= '0;
      tap_row_base_q <= '0;
      tap_base_q <= '0;
      base_q <= '0;
      dx_q <= '0;
      dy_q <= '0;
      packed_at_q <= '0;
      packed_row_q <= '0;
      strip_q <= '0;
      tile_q <= '0;
      output_q <= `JC_COMPUTE_OUTPUT_WORD(d);
      parameter_q <= `JC_COMPUTE_PARAMETER_WORD(d);
    end else if (go) begin
      starts_q <= is_end;
      index_q <= is_end ? '0 : index_q + 1'b1;
      column_q <= column_n;
      row_byte_q <= row_byte_n;
      byte_q <= byte_n;
      x_q <= x_n;
      y_q <= y_n;
      if (is_end && !is_last_pass) begin  // the same pixels again, with the next tap or tile
        column_q <= s_column_q;
        row_byte_q <= s_row_byte_q;
        byte_q <= s_byte_q;
        x_q <= s_x_q;
        y_q <= s_y_q;
        pass_q <= pass_q + 16'd1;
        if (is_packed) begin
          if (rest > 16'(Columns)) begin
            packed_at_q <= packed_at_q + 16'(Columns);
          end else begin
            packed_row_q <= packed_row_q + `JC_COMPUTE_TAP_ROW_STEP(d);
            packed_at_q <= more;
            if (more >= `JC_COMPUTE_WINDOW_BYTES(d)) begin  // the next row is used up as well
              packed_row_q <= packed_row_q + (`JC_COMPUTE_TAP_ROW_STEP(d) << 1);
              packed_at_q <= '0;
            end
          end
        end else if (input_q + 16'd1 != 16'(`JC_COMPUTE_INPUT_TILES(d))) begin
          input_q <= input_q + 16'd1;
          base_q <= base_q + `JC_COMPUTE_INPUT_STEP(d);
        end else if (tap_x_q + 16'd1 != 16'(`JC_COMPUTE_KERNEL_WIDTH(d))) begin
          input_q <= '0;
          tap_x_q <= tap_x_q + 16'd1;
          dx_q <= dx_q + 16'(`JC_COMPUTE_DILATION_X(d));
          tap_base_q <= tap_base_q + 16'(`JC_COMPUTE_DILATION_X(d));
          base_q <= tap_base_q + 16'(`JC_COMPUTE_DILATION_X(d));
        end else begin
          input_q <= '0;
          tap_x_q <= '0;
          dx_q <= '0;
          dy_q <= dy_q + 16'(`JC_COMPUTE_DILATION_Y(d));
          tap_row_base_q <= tap_row_base_q + `JC_COMPUTE_TAP_ROW_STEP(d);
          tap_base_q <= tap_row_base_q + `JC_COMPUTE_TAP_ROW_STEP(d);
          base_q <= tap_row_base_q + `JC_COMPUTE_TAP_ROW_STEP(d);
        end
      end
      if (is_end && is_last_pass) begin  // the next strip, or the next tile of channels
        pass_q <= '0;
        input_q <= '0;
        tap_x_q <= '0;
        dx_q <= '0;
        dy_q <= '0;
        packed_at_q <= '0;
        packed_row_q <= '0;
        bank_q <= !bank_q;
        output_q <= output_q + 16'(end_index) + 16'd1;
        tap_row_base_q <= tile_base_q;
        tap_base_q <= tile_base_q;
        base_q <= tile_base_q;
        if (!is_last_strip) begin
          strip_q <= strip_q + 16'd1;
          pixels_left_q <= pixels_left_q - 16'(end_index) - 16'd1;
          s_column_q <= column_n;
          s_row_byte_q <= row_byte_n;
          s_byte_q <= byte_n;
          s_x_q <= x_n;
          s_y_q <= y_n;
        end else begin
          strip_q <= '0;
          tile_q <= tile_q + 16'd1;
          run_q <= !is_last_tile;
          parameter_q <= parameter_q + 16'(Rows);
          pixels_left_q <= `JC_COMPUTE_PIXELS(d);
          tile_base_q <= tile_base_q + `JC_COMPUTE_OUTPUT_STEP(d);
          tap_row_base_q <= tile_base_q + `JC_COMPUTE_OUTPUT_STEP(d);
          tap_base_q <= tile_base_q + `JC_COMPUTE_OUTPUT_STEP(d);
          base_q <= tile_base_q + `JC_COMPUTE_OUTPUT_STEP(d);
          column_q <= '0;
          row_byte_q <= '0;
          byte_q <= '0;
          x_q <= -(16'(`JC_COMPUTE_PAD_LEFT(d)));
          y_q <= -(16'(`JC_COMPUTE_PAD_TOP(d)));
          s_column_q <= '0;
          s_row_byte_q <= '0;
          s_byte_q <= '0;
          s_x_q <= -(16'(`JC_COMPUTE_PAD_LEFT(d)));
          s_y_q <= -(16'(`JC_COMPUTE_PAD_TOP(d)));
        end
      end
    end
  end

  // Addresses, a cycle later. Unpacked steps count words, packed ones bytes.
  logic [15:0] x, y, word;
  logic [Address-1:0] origin, packed_byte;
  assign x = x_q + dx_q;
  assign y = y_q + dy_q;
  assign word = `JC_COMPUTE_ACTIVATION_WORD(d) + byte_q + base_q;
  assign origin = Address'({`JC_COMPUTE_ACTIVATION_WORD(d), {Lane{1'b0}}});
  assign packed_byte = origin + Address'(byte_q) + Address'(packed_row_q);
  always_ff @(posedge clk_i) begin
    a_byte_o <= is_packed ? packed_byte + Address'(packed_at_q) : Address'({word, {Lane{1'b0}}});
    b_byte_o <= packed_byte + Address'(`JC_COMPUTE_TAP_ROW_STEP(d)) - Address'(a_lanes);
    a_lanes_o <= is_packed ? a_lanes : (Lane+1)'(Columns);
    is_inside_o <= is_packed || (x < `JC_COMPUTE_IN_WIDTH(d) && y < `JC_COMPUTE_IN_HEIGHT(d));
  end
endmodule
