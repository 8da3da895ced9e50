// int32 accumulator (and the other operand of an Add) -> int8 or uint8, as binary32 computes it.
//
//   t0 = fl(fl(acc) * scale)
//   t1 = add ? fl(addend * addend_scale) : 0
//   y  = clamp(rint(fl(t0 + t1)) + zero_point, low, high)
//
// fl rounds to IEEE binary32 and rint to an integer, both half to even, so that y is what numpy's
// float32 gives, bit for bit, for every acc, every addend in -255..255 and all positive normal
// scales. One result a cycle, jc_requantize_pkg::Latency cycles later; nothing stalls.
//
// zero_point_i, low_i and high_i are not pipelined, the last stage reads them: hold them from the
// first valid_i of a strip to its last valid_o.
//
// Numbers stay in two's complement from end to end, since rounding half to even is the same for
// x and -x: there is no absolute value and no sign to restore. Two conventions follow.
//  - The leading bit of x is the highest that differs from its sign. For x = -2^k that is bit k-1,
//    one too low, which is harmless: such an x needs no rounding at either place.
//  - Bits cut off are worth more than nothing, whatever the sign: "sticky" means slightly above.
//
// Exponents have no limits here. A t0 or t1 that binary32 would make subnormal or zero is below
// 2^-125 and serves only as sticky to the other term, whose rounding (ties of rint included) it
// does not change: fl returns that term with and without it, or y is zero_point, clamped. One
// that binary32 would make infinite is at least 2^128, hence so is the sum, or the other term
// cancels to no less than 2^104: both saturate with the sign that infinity has. (inf - inf is NaN,
// which the specification excludes.)
module jc_requantize (
  input  logic               clk_i,

  input  logic               valid_i,
  input  logic signed [31:0] acc_i,
  input  logic        [31:0] scale_i,
  input  logic signed [ 8:0] addend_i,
  input  logic        [31:0] addend_scale_i,
  input  logic               add_i,

  input  logic signed [ 9:0] zero_point_i,
  input  logic signed [ 9:0] low_i,
  input  logic signed [ 9:0] high_i,

  output logic               valid_o,
  output logic        [ 7:0] y_o
);

  // Stage n reads registers named _q<n-1> and writes those named _q<n>.

  logic [jc_requantize_pkg::Latency-1:0] valid_q = '0;
  always_ff @(posedge clk_i) valid_q <= {valid_q[jc_requantize_pkg::Latency-2:0], valid_i};
  assign valid_o = valid_q[jc_requantize_pkg::Latency-1];

  // A stage rests where nothing valid enters it, its logic with it. Registers that only pass
  // something on do not, where they are shift registers or those of a DSP.
  logic [jc_requantize_pkg::Latency:1] enter;
  assign enter = {valid_q[jc_requantize_pkg::Latency-2:0], valid_i};

  logic unused_scale_signs;
  assign unused_scale_signs = scale_i[31] ^ addend_scale_i[31];

  // Stages 1 and 2: fl(acc), normalized =======================================================
  //
  // acc is shifted left by 8 * coarse, then 2 * middle, then fine, until bit 30 is its leading
  // bit: acc = n * 2^-shift, shift = {coarse, middle, fine}. What is below bit 7 is rounded off.
  // A shift above 6 leaves nothing there, so the rounding acts where |acc| > 2^24 and only there.

  logic        [ 1:0] coarse_q1;
  logic signed [31:0] n_q1;
  logic        [ 7:0] exponent_q1;

  always_ff @(posedge clk_i) begin
    exponent_q1 <= scale_i[30:23];
    if (enter[1]) begin : stage_1
      logic       same_30_23, same_22_15, same_14_7;
      logic [1:0] coarse;

      same_30_23 = acc_i[30:23] == {8{acc_i[31]}};
      same_22_15 = acc_i[22:15] == {8{acc_i[31]}};
      same_14_7  = acc_i[14:7]  == {8{acc_i[31]}};
      coarse     = {same_30_23 & same_22_15, same_30_23 & (~same_22_15 | same_14_7)};

      coarse_q1 <= coarse;
      n_q1      <= acc_i <<< {coarse, 3'b000};
    end
  end

  logic signed [25:0] mantissa_q2;  // +-2^23 .. +-2^24, or 0
  logic signed [ 9:0] exponent_q2;  // see below
  logic               zero_q2;

  always_ff @(posedge clk_i) begin
    if (enter[2]) begin : stage_2
      logic               same_30_29, same_28_27, same_26_25, fine, round;
      logic        [ 1:0] middle;
      logic signed [31:0] n;
      logic        [24:0] kept;

      same_30_29 = n_q1[30:29] == {2{n_q1[31]}};
      same_28_27 = n_q1[28:27] == {2{n_q1[31]}};
      same_26_25 = n_q1[26:25] == {2{n_q1[31]}};
      middle     = {same_30_29 & same_28_27, same_30_29 & (~same_28_27 | same_26_25)};

      n     = n_q1 <<< {middle, 1'b0};
      fine  = n[30] == n[31];
      kept  = fine ? n[30:6] : n[31:7];
      round = fine ? n[5] & ((|n[4:0]) | n[6]) : n[6] & ((|n[5:0]) | n[7]);

      mantissa_q2 <= {kept[24], kept} + {25'd0, round};
      exponent_q2 <= {2'b00, exponent_q1} + {5'b11111, ~coarse_q1, ~middle, ~fine};
      zero_q2     <= ~n[31] & ~n[30] & ~n[29];
    end
  end

  // Stages 1 and 2: the addend, normalized ====================================================
  //
  // Bit 7 becomes its leading bit: addend = a * 2^-shift, shift = {a_middle, a_fine}.

  logic signed [8:0] a_q1, a_q2;
  logic        [7:0] a_exponent_q1;
  logic signed [9:0] a_exponent_q2;
  logic              a_zero_q2;

  always_ff @(posedge clk_i) begin
    a_exponent_q1 <= addend_scale_i[30:23];
    if (!add_i) a_q1 <= '0;
    else        a_q1 <= addend_i;
    if (enter[2]) begin : a_stage_2
      logic              same_7_6, same_5_4, same_3_2, fine;
      logic        [1:0] middle;
      logic signed [8:0] a;

      same_7_6 = a_q1[7:6] == {2{a_q1[8]}};
      same_5_4 = a_q1[5:4] == {2{a_q1[8]}};
      same_3_2 = a_q1[3:2] == {2{a_q1[8]}};
      middle   = {same_7_6 & same_5_4, same_7_6 & (~same_5_4 | same_3_2)};
      a        = a_q1 <<< {middle, 1'b0};
      fine     = a[7] == a[8];

      a_q2          <= fine ? a <<< 1 : a;
      a_exponent_q2 <= {2'b00, a_exponent_q1} - {7'b0000011, middle, fine};
      a_zero_q2     <= a_q1 == '0;
    end
  end

  // Stages 3 to 5: the products ================================================================
  //
  // Three DSP48E1 with their own registers: product = mantissa * scale in two, 17 bits apart (the
  // upper waits a cycle for the carry of the lower), and a_product = a * addend_scale in one. The
  // constant bits of the scales are registers as well, with a start of 0 that keeps tools from
  // seeing a constant, since a DSP takes a register whole or not at all.
  //   product   +-2^46 .. +-2^48, or 0
  //   a_product +-2^30 .. +-2^32, or 0

  logic signed [24:0] scale_q1 = '0, scale_q2 = '0, scale_q3 = '0;
  logic signed [17:0] lower_q2;
  logic signed [ 8:0] upper_q3;
  logic signed [41:0] lower_m_q3, lower_q4;
  logic signed [31:0] upper_m_q4, upper_q5;
  logic               lower_sticky_q5;
  logic signed [24:0] a_scale_q1 = '0, a_scale_q2 = '0, a_scale_q3 = '0;
  logic signed [ 8:0] a_q3;
  logic signed [32:0] a_product_m_q4, a_product_q5;

  assign lower_q2 = {1'b0, mantissa_q2[16:0]};

  always_ff @(posedge clk_i) begin
    scale_q1   <= {2'b01, scale_i[22:0]};
    a_scale_q1 <= {2'b01, addend_scale_i[22:0]};
    scale_q2   <= scale_q1;
    a_scale_q2 <= a_scale_q1;
    scale_q3   <= scale_q2;
    a_scale_q3 <= a_scale_q2;
    if (enter[3]) begin
      lower_m_q3 <= 42'(64'(scale_q2) * 64'(lower_q2));
      upper_q3   <= mantissa_q2[25:17];
      a_q3       <= a_q2;
    end
    if (enter[4]) begin
      lower_q4       <= lower_m_q3;
      upper_m_q4     <= 32'(64'(scale_q3) * 64'(upper_q3));
      a_product_m_q4 <= 33'(64'(a_scale_q3) * 64'(a_q3));
    end
    if (enter[5]) begin
      upper_q5        <= upper_m_q4 + 32'(lower_q4 >>> 17);
      lower_sticky_q5 <= |lower_q4[16:0];
      a_product_q5    <= a_product_m_q4;
    end
  end

  // Stages 2 to 5: the exponents ===============================================================
  //
  // A term is its upper 26 bits, whose bit 24 is worth 2^(exponent - 95). The leading bit of the
  // product may be that or the one below, and stays where it is. A term of zero yields to the
  // other, whatever their exponents. With fl(acc) = mantissa * 2^(7 - shift) and a scale of
  // (its 24 digits) * 2^(E - 150), exponent = E - 1 - shift; for the addend it is E - 24 - shift.
  //
  // distance: how far the smaller term lies to the right, 31 for 31 and more.
  // place: how far the sum is to be shifted right for rint, see stage 9, within 0..63.

  logic signed [ 9:0] exponent_q3, a_exponent_q3;
  logic               zero_q3, a_zero_q3;
  logic signed [10:0] difference_q3;
  logic        [ 9:0] gap_q4;
  logic signed [10:0] place_q4;
  logic               swap_q4, swap_q5;
  logic        [ 4:0] distance_q5, distance_q6;
  logic               distance_4_q7;
  logic        [ 5:0] place_q5, place_q6, place_q7, place_q8;

  always_ff @(posedge clk_i) begin
    exponent_q3   <= exponent_q2;
    a_exponent_q3 <= a_exponent_q2;
    zero_q3       <= zero_q2;
    a_zero_q3     <= a_zero_q2;
    if (enter[3]) difference_q3 <= 11'(exponent_q2) - 11'(a_exponent_q2);

    if (enter[4]) begin : stage_4
      logic swap;

      swap     = zero_q3 | (difference_q3[10] & ~a_zero_q3);
      swap_q4  <= swap;
      gap_q4   <= (difference_q3[9:0] ^ {10{difference_q3[10]}}) + {9'd0, difference_q3[10]};
      place_q4 <= 11'sd131 - 11'(swap ? a_exponent_q3 : exponent_q3);
    end

    swap_q5     <= swap_q4;
    distance_q5 <= gap_q4[4:0] | {5{|gap_q4[9:5]}};
    place_q5    <= (place_q4[5:0] | {6{|place_q4[9:6]}}) & {6{~place_q4[10]}};
    distance_q6 <= distance_q5;
    place_q6    <= place_q5;
    distance_4_q7 <= distance_q6[4];
    place_q7    <= place_q6;
    place_q8    <= place_q7;
  end

  // Stage 6: order and rounding ================================================================
  //
  // A term is to have 24 bits: its bits 24..1 if bit 24 leads ("high"), else 23..0. The smaller is
  // rounded here; the larger takes its increment along to the sum of stage 8.

  logic signed [25:0] smaller_q6, larger_q6;
  logic               larger_round_q6;

  always_ff @(posedge clk_i) begin
    if (enter[6]) begin : stage_6
      logic signed [25:0] term, a_term, larger, smaller;
      logic               high, a_high, round, a_round;
      logic               larger_high, larger_round, smaller_high, smaller_round;
      logic        [25:0] smaller_sum;
      logic               unused_smaller_carry;

      term    = upper_q5[31:6];
      high    = upper_q5[31] ^ upper_q5[30];
      round   = high ? upper_q5[6] & ((|upper_q5[5:0]) | lower_sticky_q5 | upper_q5[7])
                     : upper_q5[5] & ((|upper_q5[4:0]) | lower_sticky_q5 | upper_q5[6]);
      a_term  = a_product_q5[32:7];
      a_high  = a_product_q5[32] ^ a_product_q5[31];
      a_round = a_high ? a_product_q5[7] & ((|a_product_q5[6:0]) | a_product_q5[8])
                       : a_product_q5[6] & ((|a_product_q5[5:0]) | a_product_q5[7]);

      larger        = swap_q5 ? a_term  : term;
      larger_high   = swap_q5 ? a_high  : high;
      larger_round  = swap_q5 ? a_round : round;
      smaller       = swap_q5 ? term    : a_term;
      smaller_high  = swap_q5 ? high    : a_high;
      smaller_round = swap_q5 ? round   : a_round;

      // An increment at bit 1 is one at bit 0 into a bit 0 that equals it, and leaves 0 there.
      {smaller_sum, unused_smaller_carry} =
          {smaller[25:1], smaller_high ? smaller_round : smaller[0], 1'b1} + {26'd0, smaller_round};

      smaller_q6      <= smaller_sum;
      larger_q6       <= {larger[25:1], larger_high ? larger_round : larger[0]};
      larger_round_q6 <= larger_round;
    end
  end

  // Stages 7 and 8: the sum ====================================================================
  //
  // Two more bits below, then sticky. That is exact enough: a distance of at most 2 loses nothing,
  // and with one of 3 and more the sum is at least 2^24, its bits 24..1 and sticky do.

  logic signed [27:0] shifted_q7;
  logic               shifted_sticky_q7, larger_round_q7, sticky_q8;
  logic signed [25:0] larger_q7;
  logic signed [28:0] sum_q8;

  always_ff @(posedge clk_i) begin
    if (enter[7]) begin : stage_7
      logic signed [27:0] near_q6, near;

      near_q6 = {smaller_q6, 2'b00};
      near    = near_q6 >>> distance_q6[1:0];
      shifted_q7        <= near >>> {distance_q6[3:2], 2'b00};
      shifted_sticky_q7 <= (&distance_q6[1:0] & near_q6[2])
                           | ((|distance_q6[3:2]) & (|near[3:0]))
                           | (distance_q6[3] & (|near[7:4]))
                           | (&distance_q6[3:2] & (|near[11:8]));
      larger_q7         <= larger_q6;
      larger_round_q7   <= larger_round_q6;
    end
  end

  // The increment at bit 0 of the larger term is three equal bits below it and a carry into them.
  always_ff @(posedge clk_i) begin
    if (enter[8]) begin : stage_8
      logic signed [27:0] far;
      logic        [28:0] sum;
      logic               unused_sum_carry;

      far = distance_4_q7 ? shifted_q7 >>> 16 : shifted_q7;
      {sum, unused_sum_carry} =
          {larger_q7[25], larger_q7, {3{larger_round_q7}}} + {far[27], far, larger_round_q7};
      sum_q8    <= sum;
      sticky_q8 <= shifted_sticky_q7 | (distance_4_q7 & (|shifted_q7[15:0]));
    end
  end

  // Stages 9 to 11: rint(fl(sum)), zero point, clamp ===========================================
  //
  // fl(sum) itself is not made. It keeps 24 bits from the leading one: bits down to 4, 3, 2 or 1,
  // or all of a smaller sum, which is exact. It matters to rint only where it moves the sum to a
  // tie k + 1/2; that it does where all kept bits below the half are
  //   0 and the rest is at most one half of the last kept bit (with half = 1), or
  //   1 and the rest is at least one half of it (with half = 0, the sum being just below).
  // Then the even neighbour is the result; everywhere else half decides. Ties matter only where
  // the result does not saturate, that is below 2^10, and there the half is far above bit 4,
  // unless the terms cancelled, when the sum is exact.
  //
  // The sum is shifted until bit 0 is the half: bit 26 is worth 2^(exponent - 95), so that is the
  // right shift by place of the sum with 11 zeros below. Shifts of 39 and more leave half = sign,
  // which gives 0 whatever the flags. At place 0, reached from the left too, any sum but 0 is at
  // least 2^10 and saturates.

  logic               any_q9, all_q9, over_q9, sign_q9;
  logic signed [26:0] by_16_q9;
  logic        [ 3:0] place_q9;

  always_ff @(posedge clk_i) begin
    if (enter[9]) begin : stage_9
      logic               lead_27, lead_26, lead_25, lead_24;
      logic        [ 3:0] below;  // @below[i]: bit i of the sum is not kept
      logic               rest_half, rest_more;
      logic        [20:0] zeros, ones;
      logic signed [39:0] wide;
      logic               any, all;

      lead_27 = sum_q8[27] ^ sum_q8[28];
      lead_26 = sum_q8[26] ^ sum_q8[28];
      lead_25 = sum_q8[25] ^ sum_q8[28];
      lead_24 = sum_q8[24] ^ sum_q8[28];
      below   = {lead_27, lead_27 | lead_26, lead_27 | lead_26 | lead_25,
                 lead_27 | lead_26 | lead_25 | lead_24};
      zeros   = sum_q8[20:0] & ~{17'd0, below};
      ones    = sum_q8[20:0] | {17'd0, below};

      rest_half = 1'b0;
      rest_more = 1'b0;
      if (lead_27) begin
        rest_half = sum_q8[3];
        rest_more = (|sum_q8[2:0]) | sticky_q8;
      end else if (lead_26) begin
        rest_half = sum_q8[2];
        rest_more = (|sum_q8[1:0]) | sticky_q8;
      end else if (lead_25) begin
        rest_half = sum_q8[1];
        rest_more = sum_q8[0] | sticky_q8;
      end else if (lead_24) begin
        rest_half = sum_q8[0];
        rest_more = sticky_q8;
      end

      any  = (rest_half & rest_more) | ((|place_q8[5:4]) & (|zeros[4:0]))
             | (place_q8[5] & (|zeros[20:5]));
      all  = rest_half & (&ones[4:0]) & (~place_q8[5] | (&ones[20:5]));
      wide = {sum_q8, 11'd0};

      any_q9   <= any;
      all_q9   <= all;
      sign_q9  <= sum_q8[28];
      over_q9  <= ~(|place_q8[5:4]) & (sum_q8[27:16] != {12{sum_q8[28]}});
      by_16_q9 <= 27'(wide >>> {place_q8[5:4], 4'b0000});
      place_q9 <= place_q8[3:0];
    end
  end

  logic [11:0] halves_q10;
  logic        any_q10, all_q10, over_q10, sign_q10;

  always_ff @(posedge clk_i) begin
    if (enter[10]) begin : stage_10
      logic [26:0] by_4;
      logic [11:0] by_1;
      logic        over;

      by_4 = 27'(by_16_q9 >>> {place_q9[3:2], 2'b00});
      by_1 = 12'(by_4[14:0] >> place_q9[1:0]);
      over = (by_4[26:14] != {13{sign_q9}})
             | ((place_q9[1:0] == 2'd0) & (by_4[13:11] != {3{sign_q9}}))
             | ((place_q9[1:0] == 2'd1) & (by_4[13:12] != {2{sign_q9}}))
             | ((place_q9[1:0] == 2'd2) & (by_4[13] != sign_q9));

      any_q10    <= any_q9
                    | ((|place_q9[3:2]) & (|by_16_q9[3:0]))
                    | (place_q9[3] & (|by_16_q9[7:4]))
                    | (&place_q9[3:2] & (|by_16_q9[11:8]))
                    | ((|place_q9[1:0]) & by_4[0])
                    | (place_q9[1] & by_4[1])
                    | (&place_q9[1:0] & by_4[2]);
      all_q10    <= all_q9
                    & (~(|place_q9[3:2]) | (&by_16_q9[3:0]))
                    & (~place_q9[3] | (&by_16_q9[7:4]))
                    & (~(&place_q9[3:2]) | (&by_16_q9[11:8]))
                    & (~(|place_q9[1:0]) | by_4[0])
                    & (~place_q9[1] | by_4[1])
                    & (~(&place_q9[1:0]) | by_4[2]);
      over_q10   <= over_q9 | over;
      sign_q10   <= sign_q9;
      halves_q10 <= by_1;
    end
  end

  // A sum beyond 11 bits is beyond low or high even after zero_point, which has 10.

  always_ff @(posedge clk_i) begin
    if (enter[11]) begin : stage_11
      logic               up, is_low, is_high;
      logic               unused_y_carry;
      logic signed [11:0] shifted_y;

      up = halves_q10[0] ? any_q10 | halves_q10[1] : all_q10 & halves_q10[1];
      {shifted_y, unused_y_carry} =
          {halves_q10[11], halves_q10[11:1], 1'b1} + {{2{zero_point_i[9]}}, zero_point_i, up};
      is_low  = over_q10 ? sign_q10  : shifted_y < 12'(low_i);
      is_high = over_q10 ? ~sign_q10 : shifted_y > 12'(high_i);

      y_o <= is_low ? low_i[7:0] : is_high ? high_i[7:0] : shifted_y[7:0];
    end
  end

endmodule
