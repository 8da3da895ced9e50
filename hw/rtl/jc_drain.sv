// Requantizes finished strips, `Lanes` sums a cycle, and writes them as words of `Rows` bytes.
`include "jc_regs.svh"

module jc_drain #(
  parameter int Rows = 16,
  parameter int Strip = 64,
  parameter int Lanes = 8,
  localparam int Pixel = $clog2(Strip),
  localparam int Steps = Rows / Lanes,
  localparam int Step = (Steps > 1) ? $clog2(Steps) : 1
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  // a strip begins
  input  logic                 start_i,
  input  logic                 start_bank_i,
  input  logic [511:0]         descriptor_i,
  input  logic [15:0]          output_i,
  input  logic [15:0]          parameter_i,
  input  logic [Pixel-1:0]     end_i,
  input  logic                 last_i,
  output logic [1:0]           free_o,
  // its last pixel is summed
  input  logic                 complete_i,
  input  logic                 complete_bank_i,
  // sums
  output logic                 bank_o,
  output logic [Pixel-1:0]     index_o,
  output logic                 read_o,       // sums of a pixel are taken
  input  logic [Rows*32-1:0]   sums_i,
  // multipliers, a cycle after the address
  output logic                 scale_read_o,
  output logic [15:0]          scale_word_o,
  input  logic [Lanes*32-1:0]  scales_i,
  // results
  output logic                 write_o,
  output logic [15:0]          word_o,
  output logic [Rows*8-1:0]    data_o,
  output logic                 done_o        // the last word of a descriptor is written
);
  localparam int Latency = jc_requantize_pkg::Latency;

  typedef struct packed {
    logic [15:0]       word;
    logic [15:0]       scale;
    logic [Pixel-1:0]  last_index;
    logic              is_last;
    logic              is_pair;
    logic signed [8:0] addend_zero_point;
    logic [31:0]       addend_scale;
    logic signed [9:0] zero_point, low, high;
  } context_t;

  context_t [1:0] context_q;
  context_t context_d, now, then_q;
  logic [1:0] busy_q, complete_q;
  assign free_o = ~busy_q;
  always_comb begin
    context_d = '0;
    context_d.word = output_i;
    context_d.scale = parameter_i;
    context_d.last_index = end_i;
    context_d.is_last = last_i;
    context_d.is_pair = `JC_COMPUTE_OPERATION(descriptor_i) == 2'd3;
    context_d.addend_zero_point = `JC_COMPUTE_ADDEND_ZERO_POINT(descriptor_i);
    context_d.addend_scale = `JC_COMPUTE_ADDEND_SCALE(descriptor_i);
    context_d.zero_point = `JC_COMPUTE_ZERO_POINT(descriptor_i);
    context_d.low = `JC_COMPUTE_LOW(descriptor_i);
    context_d.high = `JC_COMPUTE_HIGH(descriptor_i);
  end

  logic run, is_pixel_end, is_strip_end, bank_q;
  logic [Pixel-1:0] index_q;
  logic [Step-1:0] step_q;
  assign now = context_q[bank_q];
  assign run = complete_q[bank_q];
  assign is_pixel_end = step_q == Step'(Steps - 1);
  assign is_strip_end = is_pixel_end && index_q == now.last_index;

  assign bank_o = bank_q;
  assign index_o = index_q;
  assign read_o = run && step_q == '0;
  assign scale_read_o = run;
  // Channels of a tile start at a multiple of `Rows`: the word counts groups of `Lanes` of them.
  assign scale_word_o = (now.scale >> $clog2(Lanes)) + 16'(step_q);

  always_ff @(posedge clk_i) begin
    if (run) begin
      step_q <= is_pixel_end ? '0 : step_q + 1'b1;
      if (is_pixel_end) index_q <= is_strip_end ? '0 : index_q + 1'b1;
      if (is_strip_end) begin
        bank_q <= !bank_q;
        busy_q[bank_q] <= 1'b0;
        complete_q[bank_q] <= 1'b0;
      end
    end
    if (complete_i) complete_q[complete_bank_i] <= 1'b1;
    if (start_i) begin
      busy_q[start_bank_i] <= 1'b1;
      context_q[start_bank_i] <= context_d;
    end
    if (!rst_ni) begin
      busy_q <= '0;
      complete_q <= '0;
      bank_q <= 1'b0;
      step_q <= '0;
      index_q <= '0;
    end
  end

  // The lanes: the sums of a pixel move down, `Lanes` of them a cycle.
  logic [Rows*32-1:0] sums_q;
  logic run_q;
  always_ff @(posedge clk_i) begin
    run_q <= run;
    if (run) begin
      then_q <= now;
      sums_q <= read_o ? sums_i : sums_q >> (Lanes * 32);
    end
  end

  // The lanes take zero point and bounds in the cycle before their result.
  logic [Latency-1:0][29:0] end_q;
  always_ff @(posedge clk_i) begin
    end_q <= {end_q[Latency-2:0], now.zero_point, now.low, now.high};
  end

  logic [Lanes-1:0] valid;
  logic [Lanes*8-1:0] y;
  for (genvar l = 0; l < Lanes; l++) begin : g_lane
    logic [31:0] sum;
    logic signed [31:0] first;
    logic signed [8:0] addend;
    assign sum = sums_q[l*32 +: 32];
    assign first = then_q.is_pair ? 32'(signed'(sum[15:0])) : signed'(sum);
    assign addend = signed'(sum[24:16]) - then_q.addend_zero_point;
    jc_requantize u_requantize (
      .clk_i,
      .valid_i(run_q),
      .acc_i(first),
      .scale_i(scales_i[l*32 +: 32]),
      .addend_i(addend),
      .addend_scale_i(then_q.addend_scale),
      .add_i(then_q.is_pair),
      .zero_point_i(end_q[Latency-1][29:20]),
      .low_i(end_q[Latency-1][19:10]),
      .high_i(end_q[Latency-1][9:0]),
      .valid_o(valid[l]),
      .y_o(y[l*8 +: 8])
    );
  end

  // Where results go, beside the lanes.
  logic [Latency:0][15:0] word_q;
  logic [Latency:0] ends_q, lasts_q;
  always_ff @(posedge clk_i) begin
    word_q <= {word_q[Latency-1:0], now.word + 16'(index_q)};
    ends_q <= {ends_q[Latency-1:0], run && is_pixel_end};
    lasts_q <= {lasts_q[Latency-1:0], run && is_strip_end && now.is_last};
    if (!rst_ni) begin
      ends_q <= '0;
      lasts_q <= '0;
    end
  end
  logic [Rows*8-1:0] gathered_q;
  always_ff @(posedge clk_i) begin
    if (valid[0]) gathered_q <= {y, gathered_q[Rows*8-1:Lanes*8]};
    write_o <= ends_q[Latency] && rst_ni;
    word_o <= word_q[Latency];
    done_o <= lasts_q[Latency] && rst_ni;
  end
  assign data_o = gathered_q;
endmodule
