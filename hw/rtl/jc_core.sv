// The accelerator: descriptors come from memory and run on three engines, which wait for one
// another by counting what has ended. Loads, computing and stores of different tiles overlap.
`include "jc_regs.svh"

module jc_core #(
  parameter int Rows = 16,
  parameter int Columns = 16,
  parameter int Strip = 64,
  parameter int Lanes = 8,
  parameter int ActivationWords = 8192,
  parameter int WeightWords = 10240,
  parameter int OutputWords = 2048,
  parameter int ParameterWords = 1024
) (
  input  logic        clk_i,
  input  logic        rst_ni,
  output logic        interrupt_o,
  // AXI4-Lite: registers
  input  logic [7:0]  s_awaddr_i,
  input  logic        s_awvalid_i,
  output logic        s_awready_o,
  input  logic [31:0] s_wdata_i,
  input  logic        s_wvalid_i,
  output logic        s_wready_o,
  output logic        s_bvalid_o,
  input  logic        s_bready_i,
  input  logic [7:0]  s_araddr_i,
  input  logic        s_arvalid_i,
  output logic        s_arready_o,
  output logic [31:0] s_rdata_o,
  output logic        s_rvalid_o,
  input  logic        s_rready_i,
  // AXI4, 64 bits: data
  output logic [31:0] m_araddr_o,
  output logic [7:0]  m_arlen_o,
  output logic        m_arvalid_o,
  input  logic        m_arready_i,
  input  logic [63:0] m_rdata_i,
  input  logic [1:0]  m_rresp_i,
  input  logic        m_rlast_i,
  input  logic        m_rvalid_i,
  output logic [31:0] m_awaddr_o,
  output logic [7:0]  m_awlen_o,
  output logic        m_awvalid_o,
  input  logic        m_awready_i,
  output logic [63:0] m_wdata_o,
  output logic        m_wlast_o,
  output logic        m_wvalid_o,
  input  logic        m_wready_i,
  input  logic [1:0]  m_bresp_i,
  input  logic        m_bvalid_i,
  // AXI4, 64 bits, reads only, 16 beats a burst: descriptors
  output logic [31:0] d_araddr_o,
  output logic        d_arvalid_o,
  input  logic        d_arready_i,
  input  logic [63:0] d_rdata_i,
  input  logic [1:0]  d_rresp_i,
  input  logic        d_rlast_i,
  input  logic        d_rvalid_i
);
  localparam int InputLanes = Columns / 8;
  localparam int OutputLanes = Rows / 8;
  localparam int Row = $clog2(Rows);
  localparam int Pixel = $clog2(Strip);
  localparam int Lane = $clog2(Columns);
  localparam int ActivationAddress = $clog2(ActivationWords) + Lane;
  localparam int ToWindow = 4;  // cycles from the issue of a pixel to its windows
  localparam int ToSum = 8;     // and to its sums

  // Control
  logic start, clear, busy_q, finish, is_error;
  logic [3:0] error_code;
  logic [31:0] descriptors, count;
  logic [`JC_COUNTERS-1:0][31:0] counters_q;

  jc_registers #(
    .Rows(Rows), .Columns(Columns), .Strip(Strip), .Lanes(Lanes), .ActivationWords(ActivationWords), .WeightWords(WeightWords), .OutputWords(OutputWords), .ParameterWords(ParameterWords)
  ) u_registers (
    .clk_i, .rst_ni,
    .aw_addr_i(s_awaddr_i), .aw_valid_i(s_awvalid_i), .aw_ready_o(s_awready_o),
    .w_data_i(s_wdata_i), .w_valid_i(s_wvalid_i), .w_ready_o(s_wready_o),
    .b_valid_o(s_bvalid_o), .b_ready_i(s_bready_i),
    .ar_addr_i(s_araddr_i), .ar_valid_i(s_arvalid_i), .ar_ready_o(s_arready_o),
    .r_data_o(s_rdata_o), .r_valid_o(s_rvalid_o), .r_ready_i(s_rready_i),
    .start_o(start), .clear_o(clear), .descriptors_o(descriptors), .count_o(count),
    .busy_i(busy_q || start), .done_i(finish), .error_i(is_error), .error_code_i(error_code),
    .counters_i(counters_q), .interrupt_o
  );

  // Descriptors
  logic fetching, bad_opcode, bad_fetch, bad_read, bad_write;
  logic [511:0] fetched, load_d, compute_d, store_d;
  logic [2:0] push, full, valid, empty, pop, done, waits_load;
  logic [2:0][15:0] ended_q;
  jc_fetch u_fetch (
    .clk_i, .rst_ni, .start_i(start), .address_i(descriptors), .count_i(count),
    .busy_o(fetching), .bad_opcode_o(bad_opcode), .bad_read_o(bad_fetch),
    .descriptor_o(fetched), .push_o(push), .full_i(full),
    .ar_valid_o(d_arvalid_o), .ar_ready_i(d_arready_i), .ar_addr_o(d_araddr_o),
    .r_valid_i(d_rvalid_i), .r_data_i(d_rdata_i), .r_resp_i(d_rresp_i), .r_last_i(d_rlast_i)
  );
  logic [2:0][511:0] heads;
  for (genvar e = 0; e < 3; e++) begin : g_queue
    jc_queue u_queue (
      .clk_i, .rst_ni, .push_i(push[e]), .descriptor_i(fetched), .full_o(full[e]),
      .loads_i(ended_q[0]), .computes_i(ended_q[1]), .stores_i(ended_q[2]),
      .valid_o(valid[e]), .empty_o(empty[e]), .waits_load_o(waits_load[e]),
      .descriptor_o(heads[e]), .pop_i(pop[e])
    );
  end
  assign load_d = heads[0];
  assign compute_d = heads[1];
  assign store_d = heads[2];

  // Loads
  logic loading, beat;
  logic [1:0] beat_memory;
  logic [15:0] beat_word;
  logic [InputLanes-1:0] beat_lane;
  logic [63:0] beat_data;
  jc_load #(.Lanes(InputLanes)) u_load (
    .clk_i, .rst_ni, .valid_i(valid[0]), .descriptor_i(load_d), .pop_o(pop[0]), .done_o(done[0]),
    .busy_o(loading), .bad_read_o(bad_read),
    .ar_valid_o(m_arvalid_o), .ar_ready_i(m_arready_i), .ar_addr_o(m_araddr_o),
    .ar_len_o(m_arlen_o), .r_valid_i(m_rvalid_i), .r_data_i(m_rdata_i), .r_resp_i(m_rresp_i),
    .r_last_i(m_rlast_i),
    .beat_o(beat), .memory_o(beat_memory), .word_o(beat_word), .lane_o(beat_lane),
    .data_o(beat_data)
  );

  // Computing: the walk
  logic walking, strip_start, strip_bank, strip_last, weights_ready, feeder_busy, compute_start;
  logic [15:0] strip_output, strip_parameter;
  logic [Pixel-1:0] strip_end;
  logic pixel, pixel_swap, pixel_first, pixel_last, pixel_bank;
  logic [Pixel-1:0] pixel_index;
  logic [ActivationAddress-1:0] a_byte, b_byte;
  logic [Lane:0] a_lanes;
  logic is_inside, stall_weights, stall_sums;
  logic [1:0] sums_free;
  jc_sequencer #(
    .Rows(Rows), .Columns(Columns), .Strip(Strip), .ActivationBytes(ActivationWords * Columns)
  ) u_sequencer (
    .clk_i, .rst_ni, .valid_i(valid[1]), .start_o(compute_start), .take_o(pop[1]),
    .descriptor_i(compute_d),
    .feeder_busy_i(feeder_busy), .weights_ready_i(weights_ready), .sums_free_i(sums_free),
    .strip_start_o(strip_start), .bank_o(strip_bank), .strip_output_o(strip_output),
    .strip_parameter_o(strip_parameter), .strip_end_o(strip_end), .strip_last_o(strip_last),
    .pixel_o(pixel), .pixel_swap_o(pixel_swap), .pixel_first_o(pixel_first),
    .pixel_last_o(pixel_last), .pixel_index_o(pixel_index), .pixel_bank_o(pixel_bank),
    .a_byte_o(a_byte), .b_byte_o(b_byte), .a_lanes_o(a_lanes), .is_inside_o(is_inside),
    .stall_weights_o(stall_weights), .stall_sums_o(stall_sums), .busy_o(walking)
  );

  // What follows a pixel down the pipeline. What a descriptor says of all its pixels is kept
  // when its first strip starts: between two descriptors the pipeline runs empty.
  logic [ToSum:1] pixel_q, swap_q, first_q, last_q, bank_q;
  logic [ToSum:1][Pixel-1:0] index_q;
  logic [ToWindow:2] inside_q;
  logic [ToWindow:2][Lane:0] lanes_q;
  logic [1:0] operation_q;
  logic is_unsigned_q, is_packed_q;
  logic signed [8:0] zero_point_q;
  always_ff @(posedge clk_i) begin
    pixel_q <= {pixel_q[ToSum-1:1], pixel};
    swap_q <= {swap_q[ToSum-1:1], pixel_swap};
    first_q <= {first_q[ToSum-1:1], pixel_first};
    last_q <= {last_q[ToSum-1:1], pixel_last && pixel};
    bank_q <= {bank_q[ToSum-1:1], pixel_bank};
    index_q <= {index_q[ToSum-1:1], pixel_index};
    inside_q <= {inside_q[ToWindow-1:2], is_inside};
    lanes_q <= {lanes_q[ToWindow-1:2], a_lanes};
    if (strip_start) begin
      operation_q <= `JC_COMPUTE_OPERATION(compute_d);
      is_unsigned_q <= `JC_COMPUTE_IS_UNSIGNED(compute_d);
      is_packed_q <= `JC_COMPUTE_IS_PACKED(compute_d);
      zero_point_q <= `JC_COMPUTE_X_ZERO_POINT(compute_d);
    end
    if (!rst_ni) begin
      pixel_q <= '0;
      swap_q <= '0;
      last_q <= '0;
    end
  end

  // Activations
  logic [Columns*8-1:0] a_window, b_window;
  logic [Columns*9-1:0] x;
  jc_activations #(.Columns(Columns), .Words(ActivationWords)) u_activations (
    .clk_i, .a_byte_i(a_byte), .b_byte_i(b_byte), .is_packed_i(is_packed_q), .a_window_o(a_window),
    .b_window_o(b_window),
    .write_i(beat && beat_memory == 2'd0),
    .write_word_i(beat_word[$clog2(ActivationWords)-1:0]),
    .write_lane_i(beat_lane), .write_data_i(beat_data)
  );
  logic [Columns*8-1:0] from_b, window;
  assign from_b = {Columns*8{1'b1}} << {lanes_q[ToWindow], 3'b000};
  assign window = (b_window & from_b) | (a_window & ~from_b);
  for (genvar c = 0; c < Columns; c++) begin : g_lane
    logic [7:0] value;
    assign value = window[c*8 +: 8];
    assign x[c*9 +: 9] = inside_q[ToWindow] ? {value[7] && !is_unsigned_q, value} : zero_point_q;
  end

  // Weights, biases and multipliers
  logic weight_read, bias_read, row_valid, bias_valid, scale_read;
  logic [15:0] weight_word, bias_word, scale_word;
  logic [Row-1:0] row, bias_row;
  logic [Columns*8-1:0] row_weights;
  logic [31:0] bias, bias_q, bias_q2;
  logic [Lanes*32-1:0] scales;
  jc_feeder #(.Rows(Rows)) u_feeder (
    .clk_i, .rst_ni, .start_i(compute_start), .descriptor_i(compute_d), .claim_i(pixel_swap),
    .swap_i(swap_q[ToWindow]), .ready_o(weights_ready), .busy_o(feeder_busy),
    .weight_read_o(weight_read), .weight_word_o(weight_word),
    .bias_read_o(bias_read), .bias_word_o(bias_word),
    .row_valid_o(row_valid), .row_o(row), .bias_valid_o(bias_valid), .bias_row_o(bias_row)
  );
  for (genvar l = 0; l < InputLanes; l++) begin : g_weights
    jc_memory #(.Words(WeightWords), .Width(64)) u_weights (
      .clk_i, .write_i(beat && beat_memory == 2'd1 && beat_lane[l]),
      .write_word_i(beat_word[$clog2(WeightWords)-1:0]), .write_data_i(beat_data),
      .read_i(weight_read), .read_word_i(weight_word[$clog2(WeightWords)-1:0]),
      .read_data_o(row_weights[l*64 +: 64])
    );
  end
  // A beat of parameters holds the bias of a channel below its multiplier.
  logic [15:0] channel;
  localparam int LaneOf = $clog2(InputLanes);
  logic [LaneOf:0] beat_lane_index;
  always_comb begin
    beat_lane_index = '0;
    for (int l = 0; l < InputLanes; l++) if (beat_lane[l]) beat_lane_index = (LaneOf+1)'(l);
  end
  assign channel = (beat_word << LaneOf) + 16'(beat_lane_index);
  jc_memory #(.Words(ParameterWords), .Width(32)) u_biases (
    .clk_i, .write_i(beat && beat_memory == 2'd2),
    .write_word_i(channel[$clog2(ParameterWords)-1:0]), .write_data_i(beat_data[31:0]),
    .read_i(bias_read), .read_word_i(bias_word[$clog2(ParameterWords)-1:0]), .read_data_o(bias)
  );
  for (genvar l = 0; l < Lanes; l++) begin : g_scales
    jc_memory #(.Words(ParameterWords / Lanes), .Width(32)) u_scales (
      .clk_i,
      .write_i(beat && beat_memory == 2'd2 && channel % 16'(Lanes) == 16'(l)),
      .write_word_i($clog2(ParameterWords / Lanes)'(channel / 16'(Lanes))),
      .write_data_i(beat_data[63:32]),
      .read_i(scale_read), .read_word_i(scale_word[$clog2(ParameterWords / Lanes)-1:0]),
      .read_data_o(scales[l*32 +: 32])
    );
  end
  always_ff @(posedge clk_i) begin
    bias_q <= bias;
    bias_q2 <= bias_q;
  end

  // Products
  logic [Rows*32-1:0] products;
  jc_array #(.Rows(Rows), .Columns(Columns)) u_array (
    .clk_i, .row_valid_i(row_valid), .row_i(row), .row_weights_i(row_weights),
    .swap_i(swap_q[ToWindow]), .valid_i(pixel_q[ToWindow] && operation_q == 2'd0), .x_i(x),
    .sums_o(products)
  );
  logic [ToSum:ToWindow+1][Columns*9-1:0] x_q;
  always_ff @(posedge clk_i) begin
    if (operation_q != 2'd0) x_q <= {x_q[ToSum-1:ToWindow+1], x};
  end

  // Sums
  logic drain_bank, drain_read;
  logic [Pixel-1:0] drain_index;
  logic [Rows*32-1:0] drain_sums;
  jc_sums #(.Rows(Rows), .Columns(Columns), .Strip(Strip)) u_sums (
    .clk_i, .bias_valid_i(bias_valid), .bias_row_i(bias_row), .bias_i(bias_q2),
    .bias_swap_i(swap_q[ToSum-1] && first_q[ToSum-1]),
    .pixel_i(pixel_q[ToSum]), .bank_i(bank_q[ToSum]), .index_i(index_q[ToSum]),
    .first_i(first_q[ToSum]), .operation_i(operation_q), .products_i(products),
    .x_i(x_q[ToSum]),
    .drain_bank_i(drain_bank), .drain_index_i(drain_index), .drain_sums_o(drain_sums)
  );
  logic output_write, compute_done;
  logic [15:0] output_word;
  logic [Rows*8-1:0] output_data;
  jc_drain #(.Rows(Rows), .Strip(Strip), .Lanes(Lanes)) u_drain (
    .clk_i, .rst_ni, .start_i(strip_start), .start_bank_i(strip_bank), .descriptor_i(compute_d),
    .output_i(strip_output), .parameter_i(strip_parameter), .end_i(strip_end),
    .last_i(strip_last), .free_o(sums_free),
    .complete_i(last_q[ToSum]), .complete_bank_i(bank_q[ToSum]),
    .bank_o(drain_bank), .index_o(drain_index), .read_o(drain_read), .sums_i(drain_sums),
    .scale_read_o(scale_read), .scale_word_o(scale_word), .scales_i(scales),
    .write_o(output_write), .word_o(output_word), .data_o(output_data), .done_o(compute_done)
  );
  assign done[1] = compute_done;

  // Stores
  logic storing, store_read;
  logic [15:0] store_word;
  logic [Rows*8-1:0] store_data;
  for (genvar l = 0; l < OutputLanes; l++) begin : g_outputs
    jc_memory #(.Words(OutputWords), .Width(64)) u_outputs (
      .clk_i, .write_i(output_write), .write_word_i(output_word[$clog2(OutputWords)-1:0]),
      .write_data_i(output_data[l*64 +: 64]),
      .read_i(store_read), .read_word_i(store_word[$clog2(OutputWords)-1:0]),
      .read_data_o(store_data[l*64 +: 64])
    );
  end
  jc_store #(.Lanes(OutputLanes)) u_store (
    .clk_i, .rst_ni, .valid_i(valid[2]), .descriptor_i(store_d), .pop_o(pop[2]), .done_o(done[2]),
    .busy_o(storing), .bad_write_o(bad_write),
    .read_o(store_read), .word_o(store_word), .data_i(store_data),
    .aw_valid_o(m_awvalid_o), .aw_ready_i(m_awready_i), .aw_addr_o(m_awaddr_o),
    .aw_len_o(m_awlen_o), .w_valid_o(m_wvalid_o), .w_ready_i(m_wready_i), .w_data_o(m_wdata_o),
    .w_last_o(m_wlast_o), .b_valid_i(m_bvalid_i), .b_resp_i(m_bresp_i)
  );

  // The end: everything fetched has run.
  logic [15:0] computing_q;  // taken, not ended
  logic quiet;
  assign quiet = busy_q && !fetching && empty == 3'b111 && !loading && !walking && !storing &&
      computing_q == '0 && done == 3'b000;
  assign finish = quiet;
  assign is_error = bad_opcode || bad_fetch || bad_read || bad_write;
  assign error_code = bad_opcode ? 4'd1 : bad_write ? 4'd3 : 4'd2;
  always_ff @(posedge clk_i) begin
    if (start) busy_q <= 1'b1;
    else if (quiet) busy_q <= 1'b0;
    computing_q <= computing_q + 16'(pop[1]) - 16'(done[1]);
    for (int e = 0; e < 3; e++) ended_q[e] <= start ? '0 : ended_q[e] + 16'(done[e]);
    if (!rst_ni) begin
      busy_q <= 1'b0;
      computing_q <= '0;
      ended_q <= '0;
    end
  end

  // Counters
  logic rests, is_multiply, is_packed;
  assign rests = busy_q && !walking;
  assign is_multiply = `JC_COMPUTE_OPERATION(compute_d) == 2'd0;
  assign is_packed = `JC_COMPUTE_IS_PACKED(compute_d);
  always_ff @(posedge clk_i) begin
    if (busy_q) counters_q[`JC_COUNT_CYCLES] <= counters_q[`JC_COUNT_CYCLES] + 32'd1;
    if (pixel && is_multiply) begin
      counters_q[`JC_COUNT_MAC_CYCLES] <= counters_q[`JC_COUNT_MAC_CYCLES] + 32'd1;
    end
    if (pixel && !is_multiply) begin
      counters_q[`JC_COUNT_VECTOR_CYCLES] <= counters_q[`JC_COUNT_VECTOR_CYCLES] + 32'd1;
    end
    if (rests && (empty[1] || valid[1])) begin
      counters_q[`JC_COUNT_IDLE_CYCLES] <= counters_q[`JC_COUNT_IDLE_CYCLES] + 32'd1;
    end
    if (rests && !empty[1] && waits_load[1]) begin
      counters_q[`JC_COUNT_LOAD_STALLS] <= counters_q[`JC_COUNT_LOAD_STALLS] + 32'd1;
    end
    if (rests && !empty[1] && !waits_load[1] && !valid[1]) begin
      counters_q[`JC_COUNT_STORE_STALLS] <= counters_q[`JC_COUNT_STORE_STALLS] + 32'd1;
    end
    if (stall_weights) begin
      counters_q[`JC_COUNT_WEIGHT_STALLS] <= counters_q[`JC_COUNT_WEIGHT_STALLS] + 32'd1;
    end
    if (stall_sums) counters_q[`JC_COUNT_SUM_STALLS] <= counters_q[`JC_COUNT_SUM_STALLS] + 32'd1;
    if (beat) counters_q[`JC_COUNT_BEATS_IN] <= counters_q[`JC_COUNT_BEATS_IN] + 32'd1;
    if (m_wvalid_o && m_wready_i) begin
      counters_q[`JC_COUNT_BEATS_OUT] <= counters_q[`JC_COUNT_BEATS_OUT] + 32'd1;
    end
    if (pixel) begin
      counters_q[`JC_COUNT_ACTIVATION_READS] <= counters_q[`JC_COUNT_ACTIVATION_READS] +
          (is_packed ? 32'd2 : 32'd1);
    end
    if (weight_read) begin
      counters_q[`JC_COUNT_WEIGHT_READS] <= counters_q[`JC_COUNT_WEIGHT_READS] + 32'd1;
    end
    if (bias_read) counters_q[`JC_COUNT_BIAS_READS] <= counters_q[`JC_COUNT_BIAS_READS] + 32'd1;
    if (scale_read) counters_q[`JC_COUNT_SCALE_READS] <= counters_q[`JC_COUNT_SCALE_READS] + 32'd1;
    if (pixel) counters_q[`JC_COUNT_SUM_UPDATES] <= counters_q[`JC_COUNT_SUM_UPDATES] + 32'd1;
    if (drain_read) counters_q[`JC_COUNT_SUM_DRAINS] <= counters_q[`JC_COUNT_SUM_DRAINS] + 32'd1;
    if (output_write) begin
      counters_q[`JC_COUNT_OUTPUT_WRITES] <= counters_q[`JC_COUNT_OUTPUT_WRITES] + 32'd1;
    end
    if (done != 3'b000) begin
      counters_q[`JC_COUNT_FINISHED] <= counters_q[`JC_COUNT_FINISHED] +
          32'(done[0]) + 32'(done[1]) + 32'(done[2]);
    end
    if (clear || !rst_ni) counters_q <= '0;
  end
endmodule
