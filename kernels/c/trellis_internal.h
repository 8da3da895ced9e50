/*
 * What the forms of jc_trellis_quantize share: docs/bitstream.md, "Dead zone and trellis".
 *
 *   t       |x - offset| in 1/16 step, 0 .. 32 K
 *   class   2 Q + p: magnitudes of parity p in union Q
 *   price   min(1792, floor(lambda_q8 rate(Q, k) / 4))
 *   branch  the cheapest of the at most three candidates of a class: squared distance + price
 */
#ifndef JC_TRELLIS_INTERNAL_H
#define JC_TRELLIS_INTERNAL_H

#include "trellis.h"

#define JC_N_TRELLIS_CLASSES 4
#define JC_MOST_PRICE 1792
/* One price for each k <= 15 and one for each octave above, up to k = 2^16 - 1. */
#define JC_N_PRICES (JC_N_RATES + 12)

/* A quantizer, its rates and lanes, as the kernels want them. */
struct jc_trellis {
    float offset, scale, limit; /* t = trunc(min(a * scale, limit) + 0.5) */
    int32_t most;               /* K >= 3, odd */
    unsigned fold, n_states, rated;
    int16_t prices[JC_N_UNIONS][JC_N_PRICES];
};

struct jc_branch {
    int32_t cost, k;
};

static inline uint32_t jc_float_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static inline int jc_is_finite(float x)
{
    return (jc_float_bits(x) & 0x7fffffff) < 0x7f800000;
}

/* t of a finite x; an infinite product meets the limit. */
static inline int32_t jc_trellis_scaled(const struct jc_trellis *m, float x)
{
    float d = x - m->offset, minus_d = -d, low = m->fold ? minus_d : 0.0f;
    float scaled = (d > low ? d : low) * m->scale;

    return (int32_t)((scaled < m->limit ? scaled : m->limit) + 0.5f);
}

static inline uint16_t jc_trellis_symbol(const struct jc_trellis *m, float x, int32_t k)
{
    return (uint16_t)(m->fold ? 2 * k - (x < m->offset && k > 0) : k);
}

static inline int32_t jc_trellis_price(const struct jc_trellis *m, unsigned union_, int32_t k)
{
    unsigned octave = jc_log2_floor((uint32_t)k | JC_N_RATES);

    return m->prices[union_][k < JC_N_RATES ? (unsigned)k : JC_N_RATES - 4 + octave];
}

static inline void jc_consider(const struct jc_trellis *m, int32_t t, unsigned union_, int32_t k,
                               struct jc_branch *best)
{
    int32_t distance = t - (k ? 32 * k - 16 * (int32_t)union_ : 0);
    int32_t cost = distance * distance + jc_trellis_price(m, union_, k);

    if (cost < best->cost) {
        best->cost = cost;
        best->k = k;
    }
}

/* The first candidate is within 64 of t, so that its cost is at most 64^2: zero cannot win where
 * t >= 64, and is not looked at, for its square might not fit.  At t <= 32 K, the first j is at
 * most (K + 1) / 2 and is too large by one step at most. */
static inline struct jc_branch jc_trellis_branch(const struct jc_trellis *m, int32_t t,
                                                 unsigned union_, unsigned parity)
{
    static const uint8_t round[JC_N_TRELLIS_CLASSES] = {32, 0, 48, 16};
    int32_t k = 2 * ((t + round[2 * union_ + parity]) / 64) + (int32_t)parity;
    struct jc_branch best = {INT32_MAX, 0};

    if (k > m->most)
        k -= 2;
    jc_consider(m, t, union_, k, &best);
    if (k >= 2)
        jc_consider(m, t, union_, k - 2, &best);
    if (parity == 0 && k > 2 && t < 64)
        jc_consider(m, t, union_, 0, &best);
    return best;
}

/*
 * What the vector forms keep, in a workspace that is aligned for uint16_t.
 *   cost, best  [t][class]: of the best branch, where there are prices
 *   linear      t in the order of the samples
 *   turns       32 bytes for each step of the longest lane
 */
#define JC_TRELLIS_ROWS 8192 /* of tables; all t where K <= 255 */
#define JC_TRELLIS_PADDING 32
#define JC_TRELLIS_TURNS 32
#define JC_TRELLIS_LEAST_STEPS 16   /* of the longest lane, for vectors */
#define JC_TRELLIS_MOST_OF_4 0x8000 /* symbols of 4 lanes, for vectors */

/* Bit of a step's turns that belongs to a state; byte s of the second: 1 << that, for s < 8. */
#define JC_TRELLIS_TURN_BIT(s) (((s) >> 1) + 4 * ((s) & 1))
#define JC_TRELLIS_TURN_BITS 0x8008400420021001u

/* [2 * state + turn]: the state before, and in bit 3 the parity that led from there. */
extern const uint8_t jc_trellis_before4[16];
extern const uint8_t jc_trellis_before8[16];

struct jc_trellis_buffers {
    int16_t (*cost)[JC_N_TRELLIS_CLASSES];
    uint16_t (*best)[JC_N_TRELLIS_CLASSES];
    uint16_t *linear;
    uint8_t *turns;
};

/* One form for each instruction set.  The vector forms leave to the scalar one what they cannot do. */
enum jc_result jc_trellis_lanes_scalar(void *ws, const struct jc_trellis *m,
                                       const struct jc_layout *layout, const float *x,
                                       uint16_t *syms);
enum jc_result jc_trellis_lanes_sse2(void *ws, const struct jc_trellis *m,
                                     const struct jc_layout *layout, const float *x,
                                     uint16_t *syms);
enum jc_result jc_trellis_lanes_avx2(void *ws, const struct jc_trellis *m,
                                     const struct jc_layout *layout, const float *x,
                                     uint16_t *syms);
enum jc_result jc_trellis_lanes_neon(void *ws, const struct jc_trellis *m,
                                     const struct jc_layout *layout, const float *x,
                                     uint16_t *syms);

/* Where the vector forms keep things; 0 if the lanes are not for them. */
int jc_trellis_take(struct jc_trellis_buffers *buffers, void *ws, const struct jc_layout *layout);
#endif
