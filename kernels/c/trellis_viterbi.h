/*
 * The best paths of all lanes side by side: the template of the vector forms.
 *
 * The file that includes it gives N_SIDE, how many lanes lie side by side in a vector, and
 *   vec                       N_SIDE x int16_t, with the operators of vector extensions
 *   v_min, v_max              of two vec
 *   v_load, v_store           of a vec, unaligned; v_widen(p): uint8_t p[N_SIDE] to a vec
 *   scale                     the first pass, see below
 *   transpose                 N_SIDE rows of N_SIDE words, without their highest bits
 *   look_up                   4 vec of costs from the table's rows of N_SIDE words
 *   store_turns, trace        what is kept of a step, 2 * N_SIDE bytes, and the way back
 *   transpose_bytes           N_SIDE rows of N_SIDE bytes
 *
 *   linear[n + PADDING]  t in the order of the samples; its highest bit says x < offset (fold only).
 *                        t < 2^15; blocks in which it is not are left to the scalar form.
 *   tile                 N_SIDE steps of a group of N_SIDE lanes: [step][lane].
 *   cost.s[s]            of the best path into state s, less what the renormalizations took away.
 *   turns                [step]: bit turn_bit(s) of a lane's two bytes, one for states 0, 2, 4, 6 and
 *                        one for the others: the best way into s comes from the higher predecessor.
 *   before               [lane][step]: state before the step, parity of its magnitude in bit 3.
 *
 * Sixteen bits suffice.  A branch costs at most B = 4096.  All costs are within 3 B of the least, for
 * any state reaches any other in 3 steps (2 with 4 states).  Every STEPS = 8 steps the cost of state 0
 * becomes BASE = -5 B: then all lie in -8 B .. -2 B, and 8 steps later, with the least at most 8 B
 * more, in -8 B .. -5 B + 8 B + 3 B = 6 B, and what is compared below 7 B.  At the start state 0 has
 * -8 B and the others, which must lose for 3 steps, 3 B + 1 more.  Where the first round ends before
 * its third step (at the end of a short lane), state 0 is at most 2 B above the least and the starts
 * that must lose at most 5 B + 1 above state 0: costs are in -7 B .. 1, and above 3 B of the least for
 * 2 steps more.
 *
 * Only the last lane can be shorter than the others, for blocks with lanes shorter than 16 are left
 * to the scalar form; its last state is taken where it ends.  Lanes that are not there repeat the
 * first one of their group.
 */
#ifndef JC_TRELLIS_VITERBI_H
#define JC_TRELLIS_VITERBI_H

#define STEPS 8
#define MOST_BRANCH 4096
#define BASE (-5 * MOST_BRANCH)
#define MAX_STATES 8
JC_STATIC_ASSERT(-8 * MOST_BRANCH >= INT16_MIN && 7 * MOST_BRANCH <= INT16_MAX);
JC_STATIC_ASSERT(JC_TRELLIS_ROWS % N_SIDE == 0 && 16 % N_SIDE == 0);
JC_STATIC_ASSERT(BASE - 3 * MOST_BRANCH >= INT16_MIN && N_SIDE % STEPS == 0);
JC_STATIC_ASSERT(JC_TRELLIS_TURNS >= 2 * N_SIDE && JC_MAX_LANES % N_SIDE == 0);
#define NARROW_K 1023 /* K at which all t fit */
#define NARROW_T (32 * (NARROW_K - 2))

struct costs {
    vec s[MAX_STATES];
};

/* One group of lanes. */
struct group {
    const struct jc_trellis *m;
    const struct jc_trellis_buffers *buffers;
    const uint16_t *row[N_SIDE]; /* of `linear` where the lanes start */
    size_t longest;              /* steps */
    size_t shortest;             /* steps of lane `last`, at most as many */
    unsigned last;               /* the short one, N_SIDE if it is in another group */
    int16_t top;                 /* level of K - 1 in union 1: no even level lies above */
};

static inline vec v_all(int x)
{
    return (vec){0} + (int16_t)x;
}

/* Squared distances of the classes: without prices the nearest magnitude is the best.  Levels of a
 * class lie 64 apart, but for the zero of union 1. */
static inline void plain_costs(vec t, int16_t top, vec cost[JC_N_TRELLIS_CLASSES])
{
    vec u = (t - v_all(32)) & v_all(63), w = (t - v_all(48)) & v_all(63);
    vec d00 = u - v_all(32), d01 = v_min(u, v_all(64) - u);
    vec d10 = v_min(w, v_all(64) - w), d11 = w - v_all(32);

    d10 = v_max(v_min(d10, t), t - v_all(top));
    cost[0] = d00 * d00;
    cost[1] = d01 * d01;
    cost[2] = d10 * d10;
    cost[3] = d11 * d11;
}

/* Add, compare, select where two states a < b lead to the same two; branch[parity]. */
static inline void cross(const struct costs *cost, const vec branch[2], unsigned a, unsigned b,
                         struct costs *better, struct costs *turn, unsigned first,
                         unsigned second)
{
    vec a0 = cost->s[a] + branch[0], b1 = cost->s[b] + branch[1];
    vec a1 = cost->s[a] + branch[1], b0 = cost->s[b] + branch[0];

    better->s[first] = v_min(a0, b1);
    better->s[second] = v_min(a1, b0);
    turn->s[first] = (vec)(a0 > b1);
    turn->s[second] = (vec)(a1 > b0);
}

static inline void step8(struct costs *cost, const vec branch[JC_N_TRELLIS_CLASSES],
                         uint8_t *turns)
{
    struct costs better, turn;

    cross(cost, branch, 0, 4, &better, &turn, 0, 2);
    cross(cost, branch + 2, 1, 5, &better, &turn, 5, 7);
    cross(cost, branch, 2, 6, &better, &turn, 1, 3);
    cross(cost, branch + 2, 3, 7, &better, &turn, 4, 6);
    store_turns(turns, turn.s, 8);
    *cost = better;
}

static inline void step4(struct costs *cost, const vec branch[JC_N_TRELLIS_CLASSES],
                         uint8_t *turns)
{
    struct costs better = *cost, turn;

    cross(cost, branch, 0, 2, &better, &turn, 0, 1);
    cross(cost, branch + 2, 1, 3, &better, &turn, 2, 3);
    store_turns(turns, turn.s, 4);
    *cost = better;
}

/* At most STEPS steps, from the rows of a tile.  The last two arguments are constants. */
static inline void advance(const struct group *g, const uint16_t *tile, unsigned n_steps,
                           struct costs *costs, uint8_t *turns, unsigned n_states,
                           unsigned rated)
{
    int16_t(*table)[JC_N_TRELLIS_CLASSES] = g->buffers->cost;
    struct costs cost = *costs;
    int16_t top = g->top;
    vec less;

    for (unsigned i = 0; i < n_steps; i++) {
        vec branch[JC_N_TRELLIS_CLASSES];

        if (rated)
            look_up(table, tile + i * N_SIDE, branch);
        else
            plain_costs(v_load(tile + i * N_SIDE), top, branch);
        if (n_states == 8)
            step8(&cost, branch, turns + i * 2 * N_SIDE);
        else
            step4(&cost, branch, turns + i * 2 * N_SIDE);
    }
    less = cost.s[0] - v_all(BASE);
    for (unsigned s = 0; s < n_states; s++)
        costs->s[s] = cost.s[s] - less;
}

static void advance_any(const struct group *g, const uint16_t *tile, unsigned n_steps,
                        struct costs *costs, uint8_t *turns)
{
    if (g->m->n_states == 8 && g->m->rated)
        advance(g, tile, n_steps, costs, turns, 8, 1);
    else if (g->m->n_states == 8)
        advance(g, tile, n_steps, costs, turns, 8, 0);
    else if (g->m->rated)
        advance(g, tile, n_steps, costs, turns, 4, 1);
    else
        advance(g, tile, n_steps, costs, turns, 4, 0);
}

static uint8_t best_state(const struct costs *costs, unsigned n_states, unsigned lane)
{
    unsigned best = 0;

    for (unsigned s = 1; s < n_states; s++)
        if (costs->s[s][lane] < costs->s[best][lane])
            best = s;
    return (uint8_t)best;
}

/* Last states of the lanes; `ended` is that of the short one. */
static void forward(const struct group *g, uint8_t state[N_SIDE], uint8_t *ended)
{
    uint16_t tile[N_SIDE * N_SIDE];
    unsigned n_states = g->m->n_states;
    struct costs costs;
    size_t stop;

    for (unsigned s = 0; s < MAX_STATES; s++)
        costs.s[s] = v_all(-8 * MOST_BRANCH + (s > 0 ? 3 * MOST_BRANCH + 1 : 0));
    for (size_t i = 0; i < g->longest; i = stop) {
        if (i % N_SIDE == 0)
            transpose(g->row, i, tile);
        stop = i - i % STEPS + STEPS;
        stop = stop < g->longest ? stop : g->longest;
        if (i < g->shortest && g->shortest < stop)
            stop = g->shortest;
        advance_any(g, tile + i % N_SIDE * N_SIDE, (unsigned)(stop - i), &costs,
                    g->buffers->turns + i * 2 * N_SIDE);
        if (stop == g->shortest && g->last < N_SIDE)
            *ended = best_state(&costs, n_states, g->last);
    }
    for (unsigned lane = 0; lane < N_SIDE; lane++)
        state[lane] = best_state(&costs, n_states, lane);
}

/* Magnitudes of N_SIDE steps of a lane, from the state before each and its parity.  The constants are
 * multiples of 16: so can t be, which then stays below 2^15 when they are added. */
static inline vec plain_magnitudes(const uint16_t *linear, const uint8_t *before, vec most_even)
{
    vec t = v_load(linear) & v_all(INT16_MAX), from = v_widen(before);
    vec union_ = from & v_all(1), parity = from >> 3;
    vec j = ((t >> 4) + v_all(2) + union_ - (parity << 1)) >> 2;
    vec k = j & (vec)(t > v_all(23)); /* below 24, the zero of union 1 is nearer than its 2 */

    return v_min(k + k, most_even) + parity;
}

/* Where the table has them. */
static inline vec rated_places(const uint16_t *linear, const uint8_t *before)
{
    vec t = v_load(linear) & v_all(INT16_MAX), from = v_widen(before);

    return (t << 2) + ((from & v_all(1)) << 1) + (from >> 3);
}

/* Of all lanes.  Each loop reads what the one before has long written: words that were stored one
 * by one take a while until a vector can be loaded from them, and the other way round. */
static void find_magnitudes(const struct group *g, size_t start, unsigned n_lanes,
                            uint8_t (*before)[N_SIDE], uint16_t (*k)[N_SIDE])
{
    const uint16_t *best = *g->buffers->best;
    vec most_even = v_all(g->m->most - 1);

    if (!g->m->rated) {
        for (unsigned lane = 0; lane < n_lanes; lane++)
            v_store(k[lane], plain_magnitudes(g->row[lane] + start, before[lane], most_even));
        return;
    }
    for (unsigned lane = 0; lane < n_lanes; lane++)
        v_store(k[lane], rated_places(g->row[lane] + start, before[lane]));
    for (unsigned lane = 0; lane < n_lanes; lane++)
        for (unsigned i = 0; i < N_SIDE; i++)
            k[lane][i] = best[k[lane][i]];
}

/* Symbols of steps start .. start + N_SIDE - 1, those that the lanes have, to syms[lane * stride + ..]. */
static void write_symbols(const struct group *g, size_t start, unsigned n_lanes,
                          uint16_t (*magnitudes)[N_SIDE], size_t stride, uint16_t *syms)
{
    int fold = (int)g->m->fold;

    for (unsigned lane = 0; lane < n_lanes; lane++) {
        size_t n_steps = lane == g->last ? g->shortest : g->longest;
        uint16_t *to = syms + lane * stride + start;
        vec k = v_load(magnitudes[lane]), zero = v_all(0);
        vec below = (vec)(v_load(g->row[lane] + start) < zero) & (vec)(k > zero); /* 0 or -1 */
        vec symbols = (k << fold) + below; /* without fold, nothing lies below */

        if (start + N_SIDE <= n_steps) {
            v_store(to, symbols);
        } else if (start < n_steps) {
            uint16_t some[N_SIDE];

            v_store(some, symbols);
            memcpy(to, some, (n_steps - start) * sizeof(*some));
        }
    }
}

static void backward(const struct group *g, uint8_t state[N_SIDE], uint8_t ended,
                     unsigned n_lanes, size_t stride, uint16_t *syms)
{
    uint8_t steps[N_SIDE][N_SIDE] = {{0}}, before[N_SIDE][N_SIDE];
    uint16_t k[N_SIDE][N_SIDE];
    size_t end = g->longest;

    while (end > 0) {
        size_t start = (end - 1) / N_SIDE * N_SIDE;

        while (end > start) {
            size_t stop = end > g->shortest && g->shortest > start ? g->shortest : start;

            if (end == g->shortest && g->last < N_SIDE)
                state[g->last] = ended;
            trace(g->m->n_states, g->buffers->turns + stop * 2 * N_SIDE, (unsigned)(end - stop),
                  state, steps + (stop - start));
            end = stop;
        }
        transpose_bytes(steps, before);
        find_magnitudes(g, start, n_lanes, before, k);
        write_symbols(g, start, n_lanes, k, stride, syms);
    }
}

static void quantize_group(const struct jc_trellis *m, const struct jc_trellis_buffers *buffers,
                           const struct jc_layout *layout, unsigned first, uint16_t *syms)
{
    size_t stride = jc_lane_start(layout, 1), start = jc_lane_start(layout, first);
    unsigned there = layout->lanes - first;
    struct group g = {m, buffers, {0}, stride, 0, N_SIDE, 0};
    uint8_t state[N_SIDE], ended = 0;

    g.top = (int16_t)(32 * m->most - 48);
    if (there <= N_SIDE) {
        g.last = there - 1;
        g.shortest = layout->n - jc_lane_start(layout, layout->lanes - 1);
    }
    for (unsigned lane = 0; lane < N_SIDE; lane++)
        g.row[lane] = buffers->linear + start + (lane < there ? lane * stride : 0);
    forward(&g, state, &ended);
    backward(&g, state, ended, there < N_SIDE ? there : N_SIDE, stride, syms + start);
}

/* The cost and the magnitude of the best branches at t. */
static void fill_row(const struct jc_trellis *m, const struct jc_trellis_buffers *buffers,
                     int32_t t)
{
    for (unsigned class = 0; class < JC_N_TRELLIS_CLASSES; class++) {
        struct jc_branch branch = jc_trellis_branch(m, t, class / 2, class % 2);

        buffers->cost[t][class] = (int16_t)branch.cost;
        buffers->best[t][class] = (uint16_t)branch.k;
    }
}

/* N_SIDE rows from t on, a multiple of N_SIDE, where zero is far and K too: the nearest magnitude is the
 * same at all of them and at most 32 away, and the only other candidate is the one 64 below. */
static void fill_rows(const struct jc_trellis *m, const struct jc_trellis_buffers *buffers,
                      int32_t t)
{
    static const uint16_t counts[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    uint16_t cost[JC_N_TRELLIS_CLASSES][N_SIDE], best[JC_N_TRELLIS_CLASSES][N_SIDE];

    for (unsigned class = 0; class < JC_N_TRELLIS_CLASSES; class++) {
        int32_t parity = (int32_t)class % 2, union_ = (int32_t)class / 2;
        int32_t k = (t + 32 + 16 * union_ - 32 * parity) / 64 * 2 + parity;
        vec d = v_load(counts) + v_all(t - 32 * k + 16 * union_), below = d + v_all(64);
        vec near = d * d + v_all(jc_trellis_price(m, class / 2, k));
        vec other = below * below + v_all(jc_trellis_price(m, class / 2, k - 2));
        vec is_other = (vec)(other < near);

        v_store(cost[class], v_min(near, other));
        v_store(best[class], v_all(k) + is_other + is_other);
    }
    for (unsigned i = 0; i < N_SIDE; i++)
        for (unsigned class = 0; class < JC_N_TRELLIS_CLASSES; class++) {
            buffers->cost[t + (int32_t)i][class] = (int16_t)cost[class][i];
            buffers->best[t + (int32_t)i][class] = best[class][i];
        }
}

static void fill_tables(const struct jc_trellis *m, const struct jc_trellis_buffers *buffers,
                        int32_t n_rows)
{
    for (int32_t t = 0; t < n_rows; t += N_SIDE)
        if (t >= 64 && t + N_SIDE <= 32 * m->most - 64)
            fill_rows(m, buffers, t);
        else
            for (int32_t i = t; i < t + N_SIDE; i++)
                fill_row(m, buffers, i);
}

static enum jc_result quantize_lanes(void *ws, const struct jc_trellis *wide,
                                     const struct jc_layout *layout, const float *x,
                                     uint16_t *syms)
{
    struct jc_trellis_buffers buffers;
    struct jc_trellis m = *wide;
    int32_t most_t;

    if (!jc_trellis_take(&buffers, ws, layout))
        return jc_trellis_lanes_scalar(ws, wide, layout, x, syms);
    most_t = scale(&m, x, layout->n, buffers.linear);
    if (most_t < 0)
        return JC_BAD_VALUE;
    if ((m.rated && most_t >= JC_TRELLIS_ROWS) || (m.most > NARROW_K && most_t > NARROW_T))
        return jc_trellis_lanes_scalar(ws, wide, layout, x, syms);
    memset(buffers.linear + layout->n, 0, JC_TRELLIS_PADDING * sizeof(*buffers.linear));
    if (m.most > NARROW_K) /* no t is near it */
        m.most = NARROW_K;
    if (m.rated)
        fill_tables(&m, &buffers, most_t + 1);
    for (unsigned first = 0; first < layout->lanes; first += N_SIDE)
        quantize_group(&m, &buffers, layout, first, syms);
    return JC_OK;
}
#endif
