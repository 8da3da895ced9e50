/*
 * Dead zone: docs/bitstream.md, quantizer 4 and "Dead zone and trellis".
 *
 *   t       |x - offset| in 1/64 step, at most 64 K < 2^22
 *   cost    (t - 64 k)^2 + lambda_q8 * rate(k): at most 479^2 + 2^8 * (255 + 12 * 255) < 2^21
 *
 * The loops have no branches, so that compilers make vectors of them: lanes are 32 bits wide and
 * tables are of int32_t.  All arithmetic is the same in every form.
 */
#include "trellis.h"

#define PARTS 64
#define LAST_RATE (JC_N_RATES - 1)
#define MAX_LAMBDA_Q8 256
JC_STATIC_ASSERT(JC_N_RATES == 16);

/* prices[k] = lambda_q8 * rate(0, k) for k < 16; beyond, slope more for each doubling. */
struct costs {
    int32_t prices[JC_N_RATES];
    int32_t slope;
    int32_t most; /* K */
    uint32_t fold;
    float offset, scale, limit;
};

static uint32_t float_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static int is_finite(float x)
{
    return (float_bits(x) & 0x7fffffff) < 0x7f800000;
}

/* floor(log2 k), 1 <= k < 2^24, for vectors: the exponent of a float is exact. */
static int32_t log2_floor(int32_t k)
{
    return (int32_t)(float_bits((float)k) >> 23) - 127;
}

static int32_t cost_of(const struct costs *c, int32_t t, int32_t k)
{
    int32_t doublings = log2_floor(k > LAST_RATE ? k : LAST_RATE) - 3;
    int32_t distance = t - PARTS * k;

    return distance * distance + c->prices[k < LAST_RATE ? k : LAST_RATE] + c->slope * doublings;
}

/* The magnitude of t; in the order of the candidates, a later one must cost less. */
static int32_t choose(const struct costs *c, int32_t t)
{
    int32_t near = (t + PARTS / 2) / PARTS, k = near < c->most ? near : c->most;
    int32_t below = k > 0 ? k - 1 : 0, best = k, least = cost_of(c, t, k);
    int32_t cost_below = cost_of(c, t, below);
    int32_t t7 = k <= 7 ? t : 0, cost_zero = t7 * t7 + c->prices[0];

    best = cost_below < least ? below : best;
    least = cost_below < least ? cost_below : least;
    return ((k >= 2) & (k <= 7) & (cost_zero < least)) ? 0 : best;
}

static void quantize(const struct costs *c, const float *x, size_t n, uint16_t *syms)
{
    for (size_t i = 0; i < n; i++) {
        float d = x[i] - c->offset, minus_d = -d, low = c->fold ? minus_d : 0.0f;
        float scaled = (d > low ? d : low) * c->scale;
        int32_t t = (int32_t)((scaled < c->limit ? scaled : c->limit) + 0.5f);
        int32_t k = choose(c, t);
        int32_t negative = d < 0.0f && k > 0 ? 1 : 0;

        syms[i] = (uint16_t)(c->fold ? 2 * k - negative : k);
    }
}

static int all_finite(const float *x, size_t n)
{
    uint32_t worst = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t magnitude = float_bits(x[i]) & 0x7fffffff;

        worst = magnitude > worst ? magnitude : worst;
    }
    return worst < 0x7f800000;
}

static int is_dead_zone(const struct jc_quantizer *q, const struct jc_rates *rates)
{
    return q->width >= 1 && q->width <= 16 && q->fold <= 1 && is_finite(q->offset) &&
           q->step >= 0x1p-96f && q->step <= 0x1p96f &&
           (!rates || rates->lambda_q8 <= MAX_LAMBDA_Q8);
}

enum jc_result jc_dead_zone_quantize(const struct jc_quantizer *q, const struct jc_rates *rates,
                                     const float *x, size_t n, uint16_t *syms)
{
    struct costs c = {{0}, 0, 0, 0, 0, 0, 0};

    if (!is_dead_zone(q, rates))
        return JC_BAD_ARGUMENT;
    if (!all_finite(x, n))
        return JC_BAD_VALUE;
    c.fold = q->fold;
    c.most = (1 << (q->width - q->fold)) - 1;
    c.offset = q->offset;
    c.scale = (float)PARTS / q->step;
    c.limit = (float)(PARTS * c.most);
    for (unsigned k = 0; rates && k < JC_N_RATES; k++)
        c.prices[k] = rates->lambda_q8 * rates->bits_q4[0][k];
    c.slope = rates ? rates->lambda_q8 * rates->slope_q4 : 0;
    quantize(&c, x, n, syms);
    return JC_OK;
}

void jc_dead_zone_values(const struct jc_quantizer *q, const uint16_t *syms, size_t n, float *x)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t k = jc_magnitude(syms[i], q->fold);
        float r = k < q->n_centroids ? q->centroids[0][k] : (float)(int32_t)k * q->step;

        x[i] = (syms[i] & q->fold ? -r : r) + q->offset;
    }
}
