// Written by joulecut.hw.regs; do not edit.
`ifndef JC_REGS_SVH
`define JC_REGS_SVH
`define JC_IDENTITY 32'h4A434D41
`define JC_VERSION 32'd1
`define JC_REG_ID 8'h00
`define JC_REG_VERSION 8'h04
`define JC_REG_ARRAY 8'h08
`define JC_REG_INPUTS 8'h0C
`define JC_REG_WEIGHTS 8'h10
`define JC_REG_OUTPUTS 8'h14
`define JC_REG_PARAMETERS 8'h18
`define JC_REG_CONTROL 8'h1C
`define JC_REG_STATUS 8'h20
`define JC_REG_INTERRUPT 8'h24
`define JC_REG_INTERRUPT_ENABLE 8'h28
`define JC_REG_DESCRIPTORS 8'h2C
`define JC_REG_COUNT 8'h30
`define JC_REG_SCRATCH 8'h34
`define JC_REG_CYCLES 8'h38
`define JC_REG_MAC_CYCLES 8'h3C
`define JC_REG_VECTOR_CYCLES 8'h40
`define JC_REG_IDLE_CYCLES 8'h44
`define JC_REG_LOAD_STALLS 8'h48
`define JC_REG_STORE_STALLS 8'h4C
`define JC_REG_WEIGHT_STALLS 8'h50
`define JC_REG_SUM_STALLS 8'h54
`define JC_REG_BEATS_IN 8'h58
`define JC_REG_BEATS_OUT 8'h5C
`define JC_REG_ACTIVATION_READS 8'h60
`define JC_REG_WEIGHT_READS 8'h64
`define JC_REG_BIAS_READS 8'h68
`define JC_REG_SCALE_READS 8'h6C
`define JC_REG_SUM_UPDATES 8'h70
`define JC_REG_SUM_DRAINS 8'h74
`define JC_REG_OUTPUT_WRITES 8'h78
`define JC_REG_FINISHED 8'h7C
`define JC_FIRST_COUNTER 14
`define JC_COUNTERS 18
`define JC_COUNT_CYCLES 0
`define JC_COUNT_MAC_CYCLES 1
`define JC_COUNT_VECTOR_CYCLES 2
`define JC_COUNT_IDLE_CYCLES 3
`define JC_COUNT_LOAD_STALLS 4
`define JC_COUNT_STORE_STALLS 5
`define JC_COUNT_WEIGHT_STALLS 6
`define JC_COUNT_SUM_STALLS 7
`define JC_COUNT_BEATS_IN 8
`define JC_COUNT_BEATS_OUT 9
`define JC_COUNT_ACTIVATION_READS 10
`define JC_COUNT_WEIGHT_READS 11
`define JC_COUNT_BIAS_READS 12
`define JC_COUNT_SCALE_READS 13
`define JC_COUNT_SUM_UPDATES 14
`define JC_COUNT_SUM_DRAINS 15
`define JC_COUNT_OUTPUT_WRITES 16
`define JC_COUNT_FINISHED 17
`define JC_LOAD_OPCODE(d) d[0 +: 4]
`define JC_LOAD_WAIT_LOAD(d) d[32 +: 16]
`define JC_LOAD_WAIT_COMPUTE(d) d[48 +: 16]
`define JC_LOAD_WAIT_STORE(d) d[64 +: 16]
`define JC_LOAD_MEMORY(d) d[4 +: 2]
`define JC_LOAD_IS_PLANAR(d) d[6 +: 1]
`define JC_LOAD_ADDRESS(d) d[96 +: 32]
`define JC_LOAD_ROW_STRIDE(d) d[128 +: 32]
`define JC_LOAD_PLANE_STRIDE(d) d[160 +: 32]
`define JC_LOAD_ROW_BEATS(d) d[192 +: 16]
`define JC_LOAD_ROWS(d) d[208 +: 16]
`define JC_LOAD_PLANES(d) d[224 +: 16]
`define JC_LOAD_WORD(d) d[256 +: 16]
`define JC_LOAD_PLANE_WORDS(d) d[272 +: 16]
`define JC_LOAD_PLANE_BEATS(d) d[288 +: 16]
`define JC_COMPUTE_OPCODE(d) d[0 +: 4]
`define JC_COMPUTE_WAIT_LOAD(d) d[32 +: 16]
`define JC_COMPUTE_WAIT_COMPUTE(d) d[48 +: 16]
`define JC_COMPUTE_WAIT_STORE(d) d[64 +: 16]
`define JC_COMPUTE_OPERATION(d) d[4 +: 2]
`define JC_COMPUTE_IS_PACKED(d) d[6 +: 1]
`define JC_COMPUTE_IS_UNSIGNED(d) d[7 +: 1]
`define JC_COMPUTE_STRIPS(d) d[16 +: 16]
`define JC_COMPUTE_PASSES(d) d[80 +: 16]
`define JC_COMPUTE_ACTIVATION_WORD(d) d[96 +: 16]
`define JC_COMPUTE_WEIGHT_WORD(d) d[112 +: 16]
`define JC_COMPUTE_OUTPUT_WORD(d) d[128 +: 16]
`define JC_COMPUTE_PARAMETER_WORD(d) d[144 +: 16]
`define JC_COMPUTE_OUT_WIDTH(d) d[160 +: 16]
`define JC_COMPUTE_PIXELS(d) d[176 +: 16]
`define JC_COMPUTE_IN_WIDTH(d) d[192 +: 16]
`define JC_COMPUTE_IN_HEIGHT(d) d[208 +: 16]
`define JC_COMPUTE_KERNEL_WIDTH(d) d[224 +: 8]
`define JC_COMPUTE_STRIP(d) d[232 +: 8]
`define JC_COMPUTE_STRIDE_Y(d) d[240 +: 4]
`define JC_COMPUTE_STRIDE_X(d) d[244 +: 4]
`define JC_COMPUTE_DILATION_Y(d) d[248 +: 4]
`define JC_COMPUTE_DILATION_X(d) d[252 +: 4]
`define JC_COMPUTE_PAD_TOP(d) d[256 +: 8]
`define JC_COMPUTE_PAD_LEFT(d) d[264 +: 8]
`define JC_COMPUTE_X_ZERO_POINT(d) d[272 +: 9]
`define JC_COMPUTE_INPUT_TILES(d) d[288 +: 12]
`define JC_COMPUTE_OUTPUT_TILES(d) d[300 +: 12]
`define JC_COMPUTE_INPUT_STEP(d) d[320 +: 16]
`define JC_COMPUTE_OUTPUT_STEP(d) d[336 +: 16]
`define JC_COMPUTE_ROW_STEP(d) d[352 +: 16]
`define JC_COMPUTE_TAP_ROW_STEP(d) d[368 +: 16]
`define JC_COMPUTE_PIXEL_STEP(d) d[384 +: 8]
`define JC_COMPUTE_WINDOW_BYTES(d) d[392 +: 16]
`define JC_COMPUTE_ADDEND_ZERO_POINT(d) d[416 +: 9]
`define JC_COMPUTE_ZERO_POINT(d) d[448 +: 10]
`define JC_COMPUTE_LOW(d) d[458 +: 10]
`define JC_COMPUTE_HIGH(d) d[468 +: 10]
`define JC_COMPUTE_ADDEND_SCALE(d) d[480 +: 32]
`define JC_STORE_OPCODE(d) d[0 +: 4]
`define JC_STORE_WAIT_LOAD(d) d[32 +: 16]
`define JC_STORE_WAIT_COMPUTE(d) d[48 +: 16]
`define JC_STORE_WAIT_STORE(d) d[64 +: 16]
`define JC_STORE_ADDRESS(d) d[96 +: 32]
`define JC_STORE_ROW_STRIDE(d) d[128 +: 32]
`define JC_STORE_PLANE_STRIDE(d) d[160 +: 32]
`define JC_STORE_ROW_BEATS(d) d[192 +: 16]
`define JC_STORE_ROWS(d) d[208 +: 16]
`define JC_STORE_PLANES(d) d[224 +: 16]
`define JC_STORE_WORD(d) d[256 +: 16]
`define JC_STORE_PLANE_WORDS(d) d[272 +: 16]
`define JC_STORE_PLANE_BEATS(d) d[288 +: 16]
`define JC_STORE_WORD_PLANES(d) d[240 +: 8]
`endif
