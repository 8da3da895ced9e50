/*
 * Best paths through the trellis of quantizer 5: checks, prices, and which form does the work.
 * docs/bitstream.md, "Trellis" and "Dead zone and trellis".
 */
#include "trellis_internal.h"

#define LEAST_STEP 0x1p-96f
#define MOST_STEP 0x1p96f
#define MOST_LAMBDA_Q8 256

/* One form of the function that does the work. */
typedef enum jc_result (*form)(void *ws, const struct jc_trellis *m,
                               const struct jc_layout *layout, const float *x, uint16_t *syms);

/* The inverses of jc_trellis_next4 and 8. */
const uint8_t jc_trellis_before4[16] = {0, 10, 8, 2, 1, 11, 9, 3};
const uint8_t jc_trellis_before8[16] = {0, 12, 2, 14, 8, 4, 10, 6, 3, 15, 1, 13, 11, 7, 9, 5};

size_t jc_trellis_workspace_size(size_t max_n)
{
    size_t tables = 2 * JC_TRELLIS_ROWS * JC_N_TRELLIS_CLASSES * sizeof(uint16_t);
    size_t most_of_4 = max_n < JC_TRELLIS_MOST_OF_4 ? max_n : JC_TRELLIS_MOST_OF_4;
    size_t steps_of_4 = most_of_4 / 4 + 1, steps_of_16 = max_n / JC_MAX_LANES + 1;
    size_t steps = steps_of_4 > steps_of_16 ? steps_of_4 : steps_of_16;

    return tables + (max_n + JC_TRELLIS_PADDING) * sizeof(uint16_t) + steps * JC_TRELLIS_TURNS;
}

int jc_trellis_take(struct jc_trellis_buffers *buffers, void *ws, const struct jc_layout *layout)
{
    if (layout->lanes == 1 || jc_lane_start(layout, 1) < JC_TRELLIS_LEAST_STEPS ||
        (layout->lanes == 4 && layout->n > JC_TRELLIS_MOST_OF_4))
        return 0;
    buffers->cost = ws;
    buffers->best = (uint16_t(*)[JC_N_TRELLIS_CLASSES])(buffers->cost + JC_TRELLIS_ROWS);
    buffers->linear = (uint16_t *)(buffers->best + JC_TRELLIS_ROWS);
    buffers->turns = (uint8_t *)(buffers->linear + layout->n + JC_TRELLIS_PADDING);
    return 1;
}

static int is_usable(const struct jc_quantizer *q, const struct jc_rates *rates,
                     const struct jc_layout *layout)
{
    if (q->n_states != 4 && q->n_states != 8)
        return 0;
    if (layout->lanes != 1 && layout->lanes != 4 && layout->lanes != JC_MAX_LANES)
        return 0;
    if (q->fold > 1 || q->width < 2u + q->fold || q->width > 16)
        return 0;
    if (!(q->step >= LEAST_STEP && q->step <= MOST_STEP) || !jc_is_finite(q->offset))
        return 0;
    return !rates || rates->lambda_q8 <= MOST_LAMBDA_Q8;
}

static int16_t price(const struct jc_rates *rates, unsigned bits_q4)
{
    unsigned exact = rates->lambda_q8 * bits_q4 / 4;

    return (int16_t)(exact < JC_MOST_PRICE ? exact : JC_MOST_PRICE);
}

static void set_prices(struct jc_trellis *m, const struct jc_rates *rates)
{
    m->rated = rates && rates->lambda_q8;
    memset(m->prices, 0, sizeof(m->prices));
    if (!m->rated)
        return;
    for (unsigned union_ = 0; union_ < JC_N_UNIONS; union_++)
        for (unsigned i = 0; i < JC_N_PRICES; i++) {
            unsigned last = i < JC_N_RATES ? i : JC_N_RATES - 1;

            m->prices[union_][i] =
                price(rates, rates->bits_q4[union_][last] + (i - last) * rates->slope_q4);
        }
}

static enum jc_result quantize(form lanes, void *ws, const struct jc_quantizer *q,
                               const struct jc_rates *rates, const struct jc_layout *layout,
                               const float *x, uint16_t *syms)
{
    struct jc_trellis m;

    if (!is_usable(q, rates, layout))
        return JC_BAD_ARGUMENT;
    m.offset = q->offset;
    m.scale = 16 / q->step;
    m.most = (1 << (q->width - q->fold)) - 1;
    m.limit = (float)(32 * m.most);
    m.fold = q->fold;
    m.n_states = q->n_states;
    set_prices(&m, rates);
    return lanes(ws, &m, layout, x, syms);
}

/* For tests, the forms by name; and the best of this machine. */
#define FORM(name, lanes)                                                                        \
    enum jc_result name(void *ws, const struct jc_quantizer *q, const struct jc_rates *rates,    \
                        const struct jc_layout *layout, const float *x, uint16_t *syms);         \
    enum jc_result name(void *ws, const struct jc_quantizer *q, const struct jc_rates *rates,    \
                        const struct jc_layout *layout, const float *x, uint16_t *syms)          \
    {                                                                                            \
        return quantize(lanes, ws, q, rates, layout, x, syms);                                   \
    }

FORM(jc_trellis_quantize_scalar, jc_trellis_lanes_scalar)
#ifdef JC_SCALAR
FORM(jc_trellis_quantize, jc_trellis_lanes_scalar)
#elif defined(__x86_64__)
FORM(jc_trellis_quantize_sse2, jc_trellis_lanes_sse2)
FORM(jc_trellis_quantize_avx2, jc_trellis_lanes_avx2)
FORM(jc_trellis_quantize,
     __builtin_cpu_supports("avx2") ? jc_trellis_lanes_avx2 : jc_trellis_lanes_sse2)
#elif defined(__ARM_NEON)
FORM(jc_trellis_quantize_neon, jc_trellis_lanes_neon)
FORM(jc_trellis_quantize, jc_trellis_lanes_neon)
#else
FORM(jc_trellis_quantize, jc_trellis_lanes_scalar)
#endif
