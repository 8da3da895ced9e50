/*
 * Quantizers that think: dead zone (rate-distortion optimized scalar), trellis with union codebooks, and
 * fixed-rate trellis.  Values and formulas are docs/bitstream.md, "Quantizers"; the theory is docs/tcq.md.
 *
 * Same symbols on every machine: binary32 and integer arithmetic only, no fused operations, no order of
 * summation that depends on the vector width.  x86-64 has scalar, SSE2 and AVX2 forms, Arm has NEON; all give
 * the same symbols.  Nothing allocates or keeps state.
 */
#ifndef JC_TRELLIS_H
#define JC_TRELLIS_H

#include "context.h"

#define JC_MAX_CENTROIDS 16
#define JC_N_RATES 16 /* magnitudes with a rate of their own */

/* One quantizer, all kinds; which fields count depends on `kind`. */
enum jc_quantizer_kind {
    JC_BYTES = 0,
    JC_INTEGERS = 1,
    JC_UNIFORM = 2,
    JC_CODEBOOK = 3,
    JC_DEAD_ZONE = 4,
    JC_TRELLIS = 5,
    JC_FIXED_TRELLIS = 6,
    JC_N_QUANTIZERS = 7,
};

struct jc_quantizer {
    uint8_t kind, width, fold;
    uint16_t n_states;     /* trellis: 4 or 8; fixed trellis: 4 .. 256 */
    uint8_t n_centroids;   /* dead zone, trellis */
    int32_t integer_offset;
    float step, offset;
    float centroids[JC_N_UNIONS][JC_MAX_CENTROIDS];
    float book[512]; /* codebook: 2^width; fixed trellis: 2^(width + 1) */
};

/*
 * What a symbol costs, for the choice only; it is not written.
 *   bits_q4[Q][k]   price of magnitude k in 1/16 bits, sign included, at most 255; a k >= JC_N_RATES
 *                   costs bits_q4[Q][JC_N_RATES - 1] + slope_q4 * (floor(log2 k) - 3), at most 255 + ...
 *   lambda_q8       price of a bit in units of step^2 (dead zone) or (2 step)^2 (trellis), in 1/256;
 *                   0: nearest values only.  At most 256.
 */
struct jc_rates {
    uint8_t bits_q4[JC_N_UNIONS][JC_N_RATES];
    uint8_t slope_q4;
    uint16_t lambda_q8;
};

/* Bytes of workspace for blocks of at most max_n symbols. */
size_t jc_trellis_workspace_size(size_t max_n);

/* Symbols of dead-zone quantization of @x[n]: for each the magnitude that minimizes
 * distance^2 + lambda * rate among the nearest, the one below it, and 0. */
enum jc_result jc_dead_zone_quantize(const struct jc_quantizer *q, const struct jc_rates *rates,
                                     const float *x, size_t n, uint16_t *syms);

/* Symbols of the best path through the trellis, one path a lane, lanes as in struct jc_layout. */
enum jc_result jc_trellis_quantize(void *ws, const struct jc_quantizer *q,
                                   const struct jc_rates *rates, const struct jc_layout *layout,
                                   const float *x, uint16_t *syms);

/* Values of symbols; cannot fail, whatever the symbols (< 2^width).  *x may not overlap syms. */
void jc_dead_zone_values(const struct jc_quantizer *q, const uint16_t *syms, size_t n, float *x);
void jc_trellis_values(const struct jc_quantizer *q, const struct jc_layout *layout,
                       const uint16_t *syms, float *x);

/*
 * Fixed rate: 2^R symbols, doubled alphabet, 4 to 256 states; distances are binary64.
 * @ws has the size for layout->n and the states, and is aligned for uint64_t.  Parameters outside
 * their range give JC_BAD_ARGUMENT, a value that is not finite JC_BAD_VALUE; then @syms are untouched.
 * Values cannot fail, whatever the symbols, if states, width and lanes are in their range.
 */
size_t jc_fixed_trellis_workspace_size(size_t max_n, unsigned n_states);
enum jc_result jc_fixed_trellis_quantize(void *ws, const struct jc_quantizer *q,
                                         const struct jc_layout *layout, const float *x,
                                         uint16_t *syms);
void jc_fixed_trellis_values(const struct jc_quantizer *q, const struct jc_layout *layout,
                             const uint16_t *syms, float *x);

#endif
