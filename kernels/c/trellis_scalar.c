/*
 * The best path through the trellis, one lane after the other.
 *
 *   cost[s]   of the best path into state s, modulo 2^32; costs differ by at most 6 * 4096, so the
 *             sign of a difference says which is less.
 *   turns[i]  bit s: the best way into state s with sample i comes from the higher predecessor.
 *
 * States a < n_states / 2 and b = a + n_states / 2 lead to the same two states: from a with parity 0
 * to the first and with 1 to the second, from b the other way round.
 */
#include "trellis_internal.h"

#define MAX_STATES 8
/* A path costs at most 3 * 4096 when it has reached all states: no other start wins. */
#define NOT_STARTED (3 * 4096 + 1)

typedef const uint8_t (*transitions)[2];

static unsigned is_less(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

/* Add, compare, select; returns the turns. */
static inline unsigned step(transitions next, unsigned n_states, uint32_t cost[MAX_STATES],
                            const struct jc_branch branch[JC_N_TRELLIS_CLASSES])
{
    unsigned half = n_states / 2, turns = 0;
    uint32_t better[MAX_STATES];

    for (unsigned a = 0; a < half; a++) {
        const struct jc_branch *of_union = branch + 2 * (a & 1);

        for (unsigned parity = 0; parity < 2; parity++) {
            uint32_t from_a = cost[a] + (uint32_t)of_union[parity].cost;
            uint32_t from_b = cost[a + half] + (uint32_t)of_union[!parity].cost;
            unsigned target = next[a][parity], is_b = is_less(from_b, from_a);

            better[target] = is_b ? from_b : from_a;
            turns |= is_b << target;
        }
    }
    memcpy(cost, better, n_states * sizeof(*cost));
    return turns;
}

static void quantize_lane(const struct jc_trellis *m, transitions next, unsigned n_states,
                          const uint8_t before[2 * MAX_STATES], const float *x, size_t n,
                          uint8_t *turns, uint16_t *syms)
{
    uint32_t cost[MAX_STATES] = {0};
    unsigned state = 0;

    for (unsigned s = 1; s < n_states; s++)
        cost[s] = NOT_STARTED;
    for (size_t i = 0; i < n; i++) {
        struct jc_branch branch[JC_N_TRELLIS_CLASSES];
        int32_t t = jc_trellis_scaled(m, x[i]);

        for (unsigned class = 0; class < JC_N_TRELLIS_CLASSES; class++)
            branch[class] = jc_trellis_branch(m, t, class / 2, class % 2);
        turns[i] = (uint8_t)step(next, n_states, cost, branch);
    }
    for (unsigned s = 1; s < n_states; s++)
        state = is_less(cost[s], cost[state]) ? s : state;
    for (size_t i = n; i-- > 0;) {
        unsigned from = before[2 * state + (turns[i] >> state & 1)];
        int32_t t = jc_trellis_scaled(m, x[i]);

        state = from % 8;
        syms[i] = jc_trellis_symbol(m, x[i], jc_trellis_branch(m, t, state & 1, from / 8).k);
    }
}

enum jc_result jc_trellis_lanes_scalar(void *ws, const struct jc_trellis *m,
                                       const struct jc_layout *layout, const float *x,
                                       uint16_t *syms)
{
    for (size_t i = 0; i < layout->n; i++)
        if (!jc_is_finite(x[i]))
            return JC_BAD_VALUE;
    for (unsigned lane = 0; lane < layout->lanes; lane++) {
        size_t start = jc_lane_start(layout, lane), n = jc_lane_start(layout, lane + 1) - start;

        if (m->n_states == 4)
            quantize_lane(m, jc_trellis_next4, 4, jc_trellis_before4, x + start, n, ws,
                          syms + start);
        else
            quantize_lane(m, jc_trellis_next8, 8, jc_trellis_before8, x + start, n, ws,
                          syms + start);
    }
    return JC_OK;
}
