/*
 * Dead zone: docs/bitstream.md, quantizer 4 and "Dead zone and trellis".
 *
 *   t       |x - offset| in 1/64 step, at most 64 K < 2^22
 *   cost    (t - 64 k)^2 + lambda_q8 * rate(k): at most 479^2 + 2^8 * (255 + 12 * 255) < 2^21
 *
 * Samples are taken RUN at a time, in loops without branches of which compilers make vectors: 32
 * bits wide, and tables are read in a loop of their own.  A function per instruction set has the
 * same loops inside, so all compute the same.
 */
#include "codec.h"

#define RUN 64
#define PARTS 64
#define LAST_RATE (JC_N_RATES - 1)
#define MAX_LAMBDA_Q8 256
JC_STATIC_ASSERT(JC_N_RATES == 16);

#if defined(__x86_64__) && !defined(JC_SCALAR)
#define HAS_AVX2_FORM 1
#define AVX2 __attribute__((target("avx2")))
#else
#define HAS_AVX2_FORM 0
#endif
#define INLINE static inline __attribute__((always_inline))

/* What all samples share.  prices[k] = lambda_q8 * rate(0, k) for k < 16. */
struct costs {
    int32_t prices[JC_N_RATES];
    int32_t slope; /* what each doubling costs beyond */
    int32_t most;  /* K */
    int32_t fold;
    float offset, scale, limit;
};

INLINE uint32_t float_bits(float x)
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
INLINE int32_t log2_floor(int32_t k)
{
    return (int32_t)(float_bits((float)k) >> 23) - 127;
}

INLINE int32_t square(int32_t x)
{
    return x * x;
}

INLINE int32_t lower(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* What k costs more than prices[15], k <= 15 included. */
INLINE int32_t beyond(const struct costs *c, int32_t k)
{
    return c->slope * (log2_floor(k > LAST_RATE ? k : LAST_RATE) - 3);
}

/* Symbols of a run; a later candidate must cost less. */
INLINE void quantize_run(const struct costs *c, const float *restrict x, uint16_t *restrict syms)
{
    int32_t t[RUN], near[RUN], index[RUN], price[RUN], price_below[RUN];

    for (unsigned i = 0; i < RUN; i++) {
        float d = x[i] - c->offset, other = c->fold ? -d : 0.0f;
        float scaled = (d > other ? d : other) * c->scale;

        t[i] = (int32_t)((scaled < c->limit ? scaled : c->limit) + 0.5f);
        near[i] = lower((t[i] + PARTS / 2) / PARTS, c->most);
        index[i] = lower(near[i], LAST_RATE + 1);
    }
    for (unsigned i = 0; i < RUN; i++) {
        price[i] = c->prices[index[i] - (index[i] > LAST_RATE)];
        price_below[i] = c->prices[index[i] - (index[i] > 0)];
    }
    for (unsigned i = 0; i < RUN; i++) {
        int32_t k = near[i], below = k - (k > 0), best = k;
        int32_t cost = square(t[i] - PARTS * k) + price[i] + beyond(c, k);
        int32_t cost_below = square(t[i] - PARTS * below) + price_below[i] + beyond(c, below);
        int32_t has_zero = (k >= 2) & (k <= 7);
        int32_t cost_zero = square(has_zero ? t[i] : 0) + c->prices[0];

        best = cost_below < cost ? below : best;
        best = (has_zero & (cost_zero < lower(cost, cost_below))) ? 0 : best;
        syms[i] = (uint16_t)((best << c->fold) - (c->fold & (x[i] < c->offset) & (best > 0)));
    }
}

INLINE void quantize(const struct costs *c, const float *x, size_t n, uint16_t *syms)
{
    float last[RUN] = {0};
    uint16_t last_syms[RUN];
    size_t whole = n - n % RUN;

    for (size_t i = 0; i < whole; i += RUN)
        quantize_run(c, x + i, syms + i);
    if (n == whole)
        return;
    memcpy(last, x + whole, (n - whole) * sizeof(*x));
    quantize_run(c, last, last_syms);
    memcpy(syms + whole, last_syms, (n - whole) * sizeof(*syms));
}

static void quantize_plain(const struct costs *c, const float *x, size_t n, uint16_t *syms)
{
    quantize(c, x, n, syms);
}

#if HAS_AVX2_FORM
AVX2 static void quantize_avx2(const struct costs *c, const float *x, size_t n, uint16_t *syms)
{
    quantize(c, x, n, syms);
}
#endif

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
#if HAS_AVX2_FORM
    if (jc_cpu_features() & JC_HAS_AVX2) {
        quantize_avx2(&c, x, n, syms);
        return JC_OK;
    }
#endif
    quantize_plain(&c, x, n, syms);
    return JC_OK;
}

static void values_of_run(const struct jc_quantizer *q, const uint16_t *restrict syms,
                          float *restrict x)
{
    float step = q->step, offset = q->offset, own[RUN] = {0}, r[RUN];
    int32_t n_own = q->n_centroids;
    unsigned fold = q->fold;

    for (unsigned i = 0; i < (n_own ? RUN : 0); i++)
        own[i] = q->centroids[0][jc_magnitude(syms[i], fold) % JC_MAX_CENTROIDS];
    for (unsigned i = 0; i < RUN; i++)
        r[i] = (float)(int32_t)jc_magnitude(syms[i], fold) * step;
    for (unsigned i = 0; i < RUN; i++) {
        float sign = (float)(1 - 2 * (int32_t)(syms[i] & fold));

        x[i] = sign * ((int32_t)jc_magnitude(syms[i], fold) < n_own ? own[i] : r[i]) + offset;
    }
}

void jc_dead_zone_values(const struct jc_quantizer *q, const uint16_t *syms, size_t n, float *x)
{
    uint16_t last[RUN] = {0};
    float last_x[RUN];
    size_t whole = n - n % RUN;

    for (size_t i = 0; i < whole; i += RUN)
        values_of_run(q, syms + i, x + i);
    if (n == whole)
        return;
    memcpy(last, syms + whole, (n - whole) * sizeof(*syms));
    values_of_run(q, last, last_x);
    memcpy(x + whole, last_x, (n - whole) * sizeof(*x));
}
