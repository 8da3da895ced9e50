/*
 * Contexts and tokens of the symbols of a block, counted: docs/bitstream.md, "Contexts".
 *
 *   left     magnitude of the symbol before, in the same lane.
 *   state    of the trellis; its lowest bit is the union.  Stays 0 without one.
 *   back     distance of the second neighbour: layout->row where that exists, else 1, which makes
 *            it the first neighbour again.  The first symbol of a lane has none.
 */
#include "context_internal.h"

#define TILE 64 /* steps of a lane at once: a few cache lines of symbols, and of items */

/* floor(65536 log2(1 + i / 256)); tests/kernels/test_context_c.py computes it again. */
static const uint32_t log_table[257] = {
    0, 368, 735, 1101, 1465, 1828, 2190, 2550, 2909, 3266, 3622, 3977, 4331, 4683, 5034, 5383,
    5731, 6078, 6424, 6769, 7112, 7454, 7794, 8134, 8472, 8809, 9145, 9480, 9813, 10146, 10477,
    10807, 11136, 11463, 11790, 12115, 12440, 12763, 13085, 13406, 13726, 14045, 14363, 14680,
    14995, 15310, 15624, 15936, 16248, 16558, 16868, 17176, 17484, 17790, 18096, 18400, 18704,
    19006, 19308, 19608, 19908, 20207, 20505, 20801, 21097, 21392, 21686, 21980, 22272, 22563,
    22854, 23143, 23432, 23720, 24007, 24293, 24578, 24862, 25146, 25429, 25710, 25991, 26272,
    26551, 26829, 27107, 27384, 27660, 27935, 28210, 28483, 28756, 29028, 29300, 29570, 29840,
    30109, 30377, 30644, 30911, 31177, 31442, 31707, 31971, 32234, 32496, 32757, 33018, 33278,
    33538, 33796, 34054, 34312, 34568, 34824, 35079, 35334, 35588, 35841, 36093, 36345, 36596,
    36847, 37096, 37346, 37594, 37842, 38089, 38336, 38582, 38827, 39071, 39315, 39559, 39801,
    40044, 40285, 40526, 40766, 41006, 41245, 41483, 41721, 41959, 42195, 42431, 42667, 42902,
    43136, 43370, 43603, 43836, 44068, 44299, 44530, 44760, 44990, 45219, 45448, 45676, 45904,
    46131, 46357, 46583, 46808, 47033, 47257, 47481, 47704, 47927, 48149, 48371, 48592, 48813,
    49033, 49253, 49472, 49690, 49909, 50126, 50343, 50560, 50776, 50992, 51207, 51421, 51635,
    51849, 52062, 52275, 52487, 52699, 52910, 53121, 53331, 53541, 53751, 53960, 54168, 54376,
    54584, 54791, 54998, 55204, 55410, 55615, 55820, 56024, 56228, 56432, 56635, 56837, 57040,
    57242, 57443, 57644, 57844, 58044, 58244, 58443, 58642, 58841, 59039, 59236, 59433, 59630,
    59827, 60023, 60218, 60413, 60608, 60802, 60996, 61190, 61383, 61576, 61768, 61960, 62152,
    62343, 62534, 62724, 62914, 63104, 63293, 63482, 63671, 63859, 64047, 64234, 64421, 64608,
    64794, 64980, 65165, 65351, 65536,
};

uint32_t jc_lg(uint32_t x)
{
    unsigned e = jc_log2_floor(x);
    uint32_t y = x << (24 - e), i = (y >> 16) - 256; /* 2^24 <= y < 2^25 */

    return (e << 16) + log_table[i] +
           ((log_table[i + 1] - log_table[i]) * (y & 0xffff) >> 16);
}

unsigned jc_context_lanes(const uint16_t *syms, size_t n)
{
    size_t n_nonzero = 0;

    for (size_t i = 0; i < n; i++)
        n_nonzero += syms[i] != 0;
    return n_nonzero >= 8192 ? 16 : n_nonzero >= 512 ? 4 : 1;
}

size_t jc_context_encoder_size(size_t max_n)
{
    return sizeof(struct jc_context_encoder) + (max_n + JC_MAX_LANES) * sizeof(uint32_t) +
           (2 * max_n + 2) * sizeof(uint16_t);
}

size_t jc_context_decoder_size(size_t max_n)
{
    return sizeof(struct jc_context_decoder) + (max_n + JC_MAX_LANES) * sizeof(uint16_t);
}

void jc_context_begin(struct jc_context_encoder *ws)
{
    memset(ws->counts, 0, sizeof(ws->counts));
    for (uint32_t t = 0; t < JC_N_NARROW_SUMS; t++)
        ws->class_of[t] = (uint8_t)jc_class_of(t);
    for (uint32_t s = 0; s < sizeof(ws->token_of); s++)
        ws->token_of[s] = (uint8_t)jc_token_of(s);
}

struct walk {
    uint32_t left;
    unsigned state;
};

/* Find and count the places of @syms[n], whose neighbours lie before them; items @stride apart. */
static jc_always_inline void add_run(struct jc_context_encoder *ws, const uint16_t *syms, size_t n,
                                     size_t back, uint32_t *items, size_t stride,
                                     struct walk *walk, const unsigned wide, const unsigned fold,
                                     const uint8_t (*next)[2])
{
    uint32_t left = walk->left;
    unsigned state = walk->state;

    for (size_t i = 0; i < n; i++) {
        uint32_t symbol = syms[i], place;
        uint32_t t = left + jc_magnitude(syms[(ptrdiff_t)i - (ptrdiff_t)back], fold);
        unsigned context = wide ? jc_class_of(t) : ws->class_of[t];
        unsigned token = wide ? jc_token_of(symbol) : ws->token_of[symbol];

        left = jc_magnitude(symbol, fold);
        if (next) {
            context += JC_N_CLASSES * (state & 1);
            state = next[state][left & 1];
        }
        place = context * JC_N_TOKENS + token;
        items[i * stride] = place | symbol << 16;
        ws->counts[i & 1][place]++;
    }
    walk->left = left;
    walk->state = state;
}

static void add(struct jc_context_encoder *ws, const struct jc_layout *layout,
                const uint16_t *syms, size_t n, size_t back, uint32_t *items, struct walk *walk)
{
    const uint8_t (*next)[2] = jc_next_states(layout->n_states);

    if (layout->n_states || layout->width > JC_NARROW_WIDTH)
        add_run(ws, syms, n, back, items, layout->lanes, walk, 1, layout->fold, next);
    else if (layout->fold)
        add_run(ws, syms, n, back, items, layout->lanes, walk, 0, 1, NULL);
    else
        add_run(ws, syms, n, back, items, layout->lanes, walk, 0, 0, NULL);
}

/* The first symbol of a lane: no neighbours, state 0. */
static void add_first(struct jc_context_encoder *ws, const struct jc_layout *layout,
                      uint32_t symbol, uint32_t *items, struct walk *walk)
{
    uint32_t place = jc_token_of(symbol);

    walk->left = jc_magnitude(symbol, layout->fold);
    walk->state = jc_next_states(layout->n_states)[0][walk->left & 1];
    items[0] = place | symbol << 16;
    ws->counts[0][place]++;
}

/* Steps from .. to of a lane, those that exist. */
static void add_steps(struct jc_context_encoder *ws, const struct jc_layout *layout,
                      const uint16_t *syms, unsigned lane, size_t from, size_t to,
                      struct walk *walk)
{
    size_t size = jc_lane_size(layout, lane), pair = jc_first_pair(layout);
    uint32_t *items = ws->items + lane;

    syms += jc_lane_start(layout, lane);
    to = to < size ? to : size;
    if (from == 0 && to)
        add_first(ws, layout, syms[from++], items, walk);
    if (from < to && from < pair) {
        size_t n = (to < pair ? to : pair) - from;

        add(ws, layout, syms + from, n, 1, items + from * layout->lanes, walk);
        from += n;
    }
    if (from < to)
        add(ws, layout, syms + from, to - from, layout->row, items + from * layout->lanes, walk);
}

void jc_context_add(struct jc_context_encoder *ws, const struct jc_layout *layout,
                    const uint16_t *syms)
{
    struct walk walks[JC_MAX_LANES];

    for (size_t from = 0; from < jc_steps(layout); from += TILE)
        for (unsigned lane = 0; lane < layout->lanes; lane++)
            add_steps(ws, layout, syms, lane, from, from + TILE, &walks[lane]);
}
