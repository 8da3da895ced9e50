/* Values of trellis-coded symbols: docs/bitstream.md, quantizer 5 and "Trellis". */
#include "trellis.h"

static void lane_values(const struct jc_quantizer *q, const uint16_t *syms, size_t n, float *x)
{
    const uint8_t(*next)[2] = q->n_states == 4 ? jc_trellis_next4 : jc_trellis_next8;
    unsigned state = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t k = jc_magnitude(syms[i], q->fold), union_of = state & 1;
        float level = (float)(int32_t)(k ? 2 * k - union_of : 0);
        float r = k < q->n_centroids ? q->centroids[union_of][k] : level * q->step;

        x[i] = (syms[i] & q->fold ? -r : r) + q->offset;
        state = next[state][k & 1];
    }
}

void jc_trellis_values(const struct jc_quantizer *q, const struct jc_layout *layout,
                       const uint16_t *syms, float *x)
{
    for (unsigned lane = 0; lane < layout->lanes; lane++) {
        size_t start = jc_lane_start(layout, lane);

        lane_values(q, syms + start, jc_lane_start(layout, lane + 1) - start, x + start);
    }
}
