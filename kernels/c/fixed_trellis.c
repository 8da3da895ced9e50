/*
 * Fixed-rate trellis: docs/bitstream.md, "Fixed-rate trellis"; why it works is docs/tcq.md.
 *
 * Viterbi over whole lanes, LANES_AT_ONCE of them side by side: lanes fill the vectors, so the
 * crossing of states costs no shuffles.
 *
 *   levels[4 + M + 4]  the M = 2^(R+1) values of the book between 4 x -inf and 4 x +inf, so that
 *                      each of the four subsets has a level below any finite x and one above it.
 *   cost[s][l]         the least sum of squared distances of a path of lane l into state s.
 *   choices            word w of sample i: bit s - 64 w is z1 of the best way that enters state s
 *                      with sample i.
 *   near[i][d]         place in subset D_d of the level of D_d that is nearest to sample i.
 *
 * Arithmetic is binary64 on binary32 inputs: one subtraction and one product a distance, sums in
 * the order of the samples, nothing fused.  Differences stay below 2^129 and sums of 2^20 squares
 * below 2^279, so nothing overflows; no difference of costs is taken, so infinity stays infinity.
 * Ties: the lower level, z1 = 0, the lowest last state.
 */
#include <math.h>

#include "trellis.h"

#define LANES_AT_ONCE 4
#define MAX_STATES 256
#define MAX_LEVELS 512
#define N_SUBSETS 4
#define STATES_PER_WORD 64
JC_STATIC_ASSERT(JC_MAX_LANES % LANES_AT_ONCE == 0);

/* Two lanes.  SSE2 and NEON have these as one register; elsewhere compilers take them apart. */
typedef double two_costs __attribute__((vector_size(16)));
typedef uint64_t two_words __attribute__((vector_size(16)));
#define N_TWOS (LANES_AT_ONCE / 2)

static two_costs load_two(const double *p)
{
    two_costs two;

    memcpy(&two, p, sizeof two);
    return two;
}

struct machine {
    unsigned n_states, width, n_levels;
    uint8_t from[MAX_STATES][2]; /* [s][z1]: the state before s; its lowest bit, z0, is high(s) */
    double levels[N_SUBSETS + MAX_LEVELS + N_SUBSETS];
};

struct survivors {
    uint8_t (*near)[N_SUBSETS]; /* [n] */
    uint64_t *choices;          /* [n * words(n_states)] */
};

/* Parity-check polynomials (Ungerboeck 1982, amplitude modulation), without their bit 0. */
static const struct code {
    uint8_t h0, h1;
} codes[7] = {{05 >> 1, 02 >> 1},     {013 >> 1, 04 >> 1},    {023 >> 1, 04 >> 1},
              {045 >> 1, 010 >> 1},   {0103 >> 1, 024 >> 1},  {0235 >> 1, 0126 >> 1},
              {0515 >> 1, 0362 >> 1}};

/* The code of so many states, 0 if there is none. */
static const struct code *code_of(unsigned n_states)
{
    for (unsigned i = 0; i < 7; i++)
        if (n_states == 4u << i)
            return &codes[i];
    return 0;
}

static size_t words(unsigned n_states)
{
    return (n_states + STATES_PER_WORD - 1) / STATES_PER_WORD;
}

static unsigned next_state(struct code code, unsigned state, unsigned z1)
{
    return state >> 1 ^ (code.h0 & (0u - (state & 1))) ^ (code.h1 & (0u - z1));
}

static int is_finite(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return (bits >> 23 & 255) != 255;
}

size_t jc_fixed_trellis_workspace_size(size_t max_n, unsigned n_states)
{
    return max_n * (N_SUBSETS + words(n_states) * sizeof(uint64_t));
}

static int is_usable(const struct jc_quantizer *q, const struct jc_layout *layout)
{
    unsigned n_levels;

    if (!code_of(q->n_states) || q->width < 1 || q->width > 8)
        return 0;
    if (layout->lanes != 1 && layout->lanes != 4 && layout->lanes != JC_MAX_LANES)
        return 0;
    n_levels = 2u << q->width;
    for (unsigned j = 0; j < n_levels; j++)
        if (!is_finite(q->book[j]) || (j > 0 && q->book[j] < q->book[j - 1]))
            return 0;
    return 1;
}

static void set_up(struct machine *m, const struct jc_quantizer *q)
{
    struct code code = *code_of(q->n_states);

    m->n_states = q->n_states;
    m->width = q->width;
    m->n_levels = 2u << q->width;
    for (unsigned s = 0; s < m->n_states; s++)
        for (unsigned z1 = 0; z1 < 2; z1++)
            m->from[next_state(code, s, z1)][z1] = (uint8_t)s;
    for (unsigned d = 0; d < N_SUBSETS; d++) {
        m->levels[d] = -INFINITY;
        m->levels[N_SUBSETS + m->n_levels + d] = INFINITY;
    }
    for (unsigned j = 0; j < m->n_levels; j++)
        m->levels[N_SUBSETS + j] = (double)q->book[j];
}

/* Nearest level of each subset.  The candidates are a window of eight levels, the last four that
 * are not above x and the first four that are: one of each subset on either side. */
static void find_nearest(const struct machine *m, double x, uint8_t near[N_SUBSETS],
                         double *distance) /* [d * LANES_AT_ONCE] */
{
    const double *level = m->levels + N_SUBSETS;
    unsigned not_above = 0;
    const double *window;

    for (unsigned half = m->n_levels / 2; half; half /= 2)
        not_above += level[not_above + half - 1] <= x ? half : 0;
    not_above += level[not_above] <= x;
    window = m->levels + not_above;
    for (unsigned i = 0; i < N_SUBSETS; i++) {
        unsigned subset = (not_above + i) % N_SUBSETS;
        double below = x - window[i], over = x - window[i + N_SUBSETS];
        double square_below = below * below, square_over = over * over;
        unsigned is_over = square_over < square_below;

        distance[subset * LANES_AT_ONCE] = is_over ? square_over : square_below;
        near[subset] = (uint8_t)((not_above + i) / N_SUBSETS + is_over - 1);
    }
}

/* Add, compare, select: `cost` becomes `better`; bit s of the choices is z1 of the way into s. */
static void step(const struct machine *m, double (*restrict cost)[LANES_AT_ONCE],
                 double (*restrict better)[LANES_AT_ONCE],
                 const double *restrict distance, uint64_t (*choices)[LANES_AT_ONCE])
{
    unsigned n_states = m->n_states;

    for (unsigned s = 0; s < n_states;) {
        two_words word[N_TWOS] = {{0}};

        for (uint64_t bit = 1; bit && s < n_states; bit <<= 1, s++) {
            const double *d = distance + (s >= n_states / 2 ? LANES_AT_ONCE : 0);
            const double *a = cost[m->from[s][0]], *b = cost[m->from[s][1]];

            for (unsigned l = 0; l < N_TWOS; l++) {
                two_costs cost0 = load_two(a + 2 * l) + load_two(d + 2 * l);
                two_costs cost1 = load_two(b + 2 * l) + load_two(d + 2 * LANES_AT_ONCE + 2 * l);
                two_words is_1 = (two_words)(cost1 < cost0);
                two_words least = ((two_words)cost1 & is_1) | ((two_words)cost0 & ~is_1);

                memcpy(better[s] + 2 * l, &least, sizeof least);
                word[l] |= is_1 & bit;
            }
        }
        memcpy(*choices++, word, sizeof word);
    }
}

/* From the best last state back to the first sample of a lane. */
static void trace_back(const struct machine *m, const struct survivors *kept, size_t start,
                       size_t end, unsigned state, uint16_t *syms)
{
    size_t n_words = words(m->n_states);

    for (size_t i = end; i-- > start;) {
        uint64_t word = kept->choices[i * n_words + state / STATES_PER_WORD];
        unsigned z1 = (unsigned)(word >> state % STATES_PER_WORD & 1);
        unsigned z0 = state >= m->n_states / 2;

        syms[i] = (uint16_t)(z1 << (m->width - 1) | kept->near[i][2 * z1 + z0]);
        state = m->from[state][z1];
    }
}

static unsigned best_state(const struct machine *m, double (*cost)[LANES_AT_ONCE], unsigned l)
{
    unsigned best = 0;

    for (unsigned s = 1; s < m->n_states; s++)
        if (cost[s][l] < cost[best][l])
            best = s;
    return best;
}

/* Lanes first .. first + LANES_AT_ONCE - 1; the first of them is the longest.  A lane that has
 * ended, or is not there, goes on with distances of no meaning. */
static void quantize_lanes(const struct machine *m, const struct survivors *kept,
                           const struct jc_layout *layout, unsigned first, const float *x,
                           uint16_t *syms)
{
    double costs[2][MAX_STATES][LANES_AT_ONCE];
    double distance[N_SUBSETS * LANES_AT_ONCE] = {0};
    uint64_t choices[MAX_STATES / STATES_PER_WORD][LANES_AT_ONCE];
    size_t start[LANES_AT_ONCE], len[LANES_AT_ONCE], n_words = words(m->n_states);
    double(*cost)[LANES_AT_ONCE] = costs[0], (*better)[LANES_AT_ONCE] = costs[1];

    for (unsigned l = 0; l < LANES_AT_ONCE; l++) {
        unsigned lane = first + l < layout->lanes ? first + l : layout->lanes;

        start[l] = jc_lane_start(layout, lane);
        len[l] = (lane < layout->lanes ? jc_lane_start(layout, lane + 1) : start[l]) - start[l];
        for (unsigned s = 0; s < m->n_states; s++)
            cost[s][l] = s == 0 ? 0 : INFINITY;
    }
    for (size_t t = 0; t < len[0]; t++) {
        double(*last)[LANES_AT_ONCE] = cost;

        for (unsigned l = 0; l < LANES_AT_ONCE; l++)
            if (t < len[l])
                find_nearest(m, (double)x[start[l] + t], kept->near[start[l] + t], distance + l);
        step(m, cost, better, distance, choices);
        cost = better;
        better = last;
        for (unsigned l = 0; l < LANES_AT_ONCE; l++) {
            if (t >= len[l])
                continue;
            for (size_t w = 0; w < n_words; w++)
                kept->choices[(start[l] + t) * n_words + w] = choices[w][l];
            if (t + 1 == len[l])
                trace_back(m, kept, start[l], start[l] + len[l], best_state(m, cost, l), syms);
        }
    }
}

enum jc_result jc_fixed_trellis_quantize(void *ws, const struct jc_quantizer *q,
                                         const struct jc_layout *layout, const float *x,
                                         uint16_t *syms)
{
    struct machine m;
    struct survivors kept;

    if (!is_usable(q, layout))
        return JC_BAD_ARGUMENT;
    for (size_t i = 0; i < layout->n; i++)
        if (!is_finite(x[i]))
            return JC_BAD_VALUE;
    set_up(&m, q);
    kept.choices = ws;
    kept.near = (uint8_t(*)[N_SUBSETS])(void *)(kept.choices + layout->n * words(m.n_states));
    for (unsigned first = 0; first < layout->lanes; first += LANES_AT_ONCE)
        quantize_lanes(&m, &kept, layout, first, x, syms);
    return JC_OK;
}

void jc_fixed_trellis_values(const struct jc_quantizer *q, const struct jc_layout *layout,
                             const uint16_t *syms, float *x)
{
    struct code code = *code_of(q->n_states);
    unsigned place_bits = q->width - 1u;

    for (unsigned lane = 0; lane < layout->lanes; lane++) {
        size_t end = jc_lane_start(layout, lane + 1);
        unsigned state = 0;

        for (size_t i = jc_lane_start(layout, lane); i < end; i++) {
            unsigned z1 = syms[i] >> place_bits & 1u;
            unsigned place = syms[i] & ((1u << place_bits) - 1);

            x[i] = q->book[4 * place + 2 * z1 + (state & 1)];
            state = next_state(code, state, z1);
        }
    }
}
