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

size_t jc_trellis_workspace_size(size_t max_n)
{
    return max_n;
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

/* For tests: the forms by name, where this machine has them. */
enum jc_result jc_trellis_quantize_scalar(void *ws, const struct jc_quantizer *q,
                                          const struct jc_rates *rates,
                                          const struct jc_layout *layout, const float *x,
                                          uint16_t *syms)
{
    return quantize(jc_trellis_lanes_scalar, ws, q, rates, layout, x, syms);
}

enum jc_result jc_trellis_quantize(void *ws, const struct jc_quantizer *q,
                                   const struct jc_rates *rates, const struct jc_layout *layout,
                                   const float *x, uint16_t *syms)
{
    return quantize(jc_trellis_lanes_scalar, ws, q, rates, layout, x, syms);
}
