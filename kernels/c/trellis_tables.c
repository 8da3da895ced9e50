/* How the trellis of quantizer 5 moves: next[state][parity], by the formula of docs/bitstream.md, "Trellis". */
#include "context.h"

/* (h0, h1) = (5, 2): bit 0 of the next state is s1 ^ parity, bit 1 is s0. */
const uint8_t jc_trellis_next4[4][2] = {{0, 1}, {2, 3}, {1, 0}, {3, 2}};

/* (h0, h1) = (13, 04): bit 0 is s1 ^ s0, bit 1 is s2 ^ parity, bit 2 is s0. */
const uint8_t jc_trellis_next8[8][2] = {
    {0, 2}, {5, 7}, {1, 3}, {4, 6}, {2, 0}, {7, 5}, {3, 1}, {6, 4},
};
