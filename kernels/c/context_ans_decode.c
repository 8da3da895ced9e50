/*
 * Context ANS, decoding: docs/bitstream.md, "context ANS".  Everything that is read may be hostile.
 *
 * struct lanes, by lane:
 *   x          JC_ANS_LOW <= x < 2^32 between symbols, whatever is read: a frequency is at least 1,
 *              so x >= 2^(16 - JC_ANS_BITS) after a token, x >= 1 after the first piece of its extra
 *              bits, and a word is appended to an x that is too small.
 *   left       magnitude of the symbol before.
 *   state      of the trellis; its lowest bit is the union.
 * and words .. end, which the lanes share.
 *
 * Lanes hide each other's latency.  The hot loop is compiled for 16 lanes by fold, trellis and width.  It
 * runs while the words last for a whole step, so that nothing is tested inside: a word is always
 * loaded, and used by a mask.  What is left goes symbol by symbol.
 */
#include "context_internal.h"

#define TILE 64 /* steps of a lane that are moved at once */
JC_STATIC_ASSERT(16 - JC_ANS_BITS >= JC_FIRST_PIECE);

struct lanes {
    uint32_t x[JC_MAX_LANES], left[JC_MAX_LANES];
    uint8_t state[JC_MAX_LANES];
    const uint8_t *words, *end;
};

/* Where symbols lie, and what the compiler should know of them. */
struct run {
    uint16_t *syms;           /* lane by lane, step by step */
    size_t lanes;
    size_t back;              /* to the second neighbour; 0: to a 0 where the symbol will be */
    unsigned fold, wide;
    const uint8_t (*next)[2]; /* NULL: no trellis */
};

/* An entry: frequency, start, base (16 bits each), extra bits in the first piece and after it (8). */
static uint64_t make_entry(uint32_t freq, uint32_t start, unsigned token)
{
    uint64_t extra = jc_extra_bits(token), first = extra < JC_FIRST_PIECE ? extra : JC_FIRST_PIECE;

    return freq | (uint64_t)start << 16 | (uint64_t)jc_token_base(token) << 32 | first << 48 |
           (extra - first) << 56;
}

static jc_always_inline uint32_t renormalize(uint32_t x, const uint8_t **words)
{
    uint32_t is_low = x < JC_ANS_LOW, appended = x << 16 | jc_load_le16(*words);

    *words += 2 * is_low;
    return x ^ ((x ^ appended) & (0 - is_low)); /* a choice that no compiler makes a branch */
}

/* The symbol of step i of a lane; two words more must be there.  Returns the words that are left. */
static jc_always_inline const uint8_t *decode_one(const struct jc_context_decoder *ws,
                                                  struct lanes *l, const struct run *run,
                                                  unsigned lane, size_t i, const uint8_t *words)
{
    uint16_t *at = run->syms + i * run->lanes + lane;
    uint32_t x = l->x[lane], slot = x % JC_ANS_SUM, first, symbol;
    uint32_t sum = l->left[lane] + jc_magnitude(at[-(ptrdiff_t)(run->back * run->lanes)], run->fold);
    unsigned which = run->next ? l->state[lane] & 1 : 0;
    const uint8_t *base = (const uint8_t *)ws->clusters.ans;
    const struct jc_ans_cluster *c =
        (const void *)(base + ws->at_sum[which][run->wide ? jc_class_of(sum) : sum]);
    uint64_t entry = c->entries[c->token_of[slot]];

    x = (uint32_t)(entry & 0xffff) * (x / JC_ANS_SUM) + slot - ((uint32_t)entry >> 16);
    first = (uint32_t)(entry >> 48) & 31;
    symbol = (uint32_t)(entry >> 32 & 0xffff) + (x & ((1u << first) - 1));
    x = renormalize(x >> first, &words);
    if (run->wide && entry >> 56) {
        unsigned more = (unsigned)(entry >> 56);

        symbol += (x & ((1u << more) - 1)) << JC_FIRST_PIECE;
        x = renormalize(x >> more, &words);
    }
    *at = (uint16_t)symbol;
    l->x[lane] = x;
    l->left[lane] = jc_magnitude(symbol, run->fold);
    if (run->next)
        l->state[lane] = run->next[l->state[lane]][l->left[lane] & 1];
    return words;
}

/* Steps from .. to of the first n lanes, or fewer if the words may not last.  Returns the step after. */
static jc_always_inline size_t decode_steps(const struct jc_context_decoder *ws,
                                            struct lanes *lanes, const struct run *run,
                                            unsigned n, size_t from, size_t to)
{
    struct lanes l = *lanes;
    const uint8_t *words = l.words;

    for (; from < to && (size_t)(l.end - words) >= 4 * n; from++)
        for (unsigned lane = 0; lane < n; lane++)
            words = decode_one(ws, &l, run, lane, from, words);
    l.words = words;
    *lanes = l;
    return from;
}

#define DEFINE_STEPS(name, fold_, wide_, next_)                                                   \
    static size_t name(const struct jc_context_decoder *ws, struct lanes *l,                      \
                       const struct run *run, size_t from, size_t to)                             \
    {                                                                                             \
        const struct run fixed = {run->syms, JC_MAX_LANES, run->back, fold_, wide_, next_};        \
                                                                                                  \
        return decode_steps(ws, l, &fixed, JC_MAX_LANES, from, to);                               \
    }
DEFINE_STEPS(narrow_flat, 0, 0, NULL)
DEFINE_STEPS(narrow_folded, 1, 0, NULL)
DEFINE_STEPS(narrow_flat_trellis, 0, 0, run->next)
DEFINE_STEPS(narrow_folded_trellis, 1, 0, run->next)
DEFINE_STEPS(wide_any, run->fold, 1, NULL)
DEFINE_STEPS(wide_any_trellis, run->fold, 1, run->next)

static size_t decode_16(const struct jc_context_decoder *ws, struct lanes *l,
                        const struct run *run, size_t from, size_t to)
{
    if (run->wide)
        return (run->next ? wide_any_trellis : wide_any)(ws, l, run, from, to);
    if (run->fold)
        return (run->next ? narrow_folded_trellis : narrow_folded)(ws, l, run, from, to);
    return (run->next ? narrow_flat_trellis : narrow_flat)(ws, l, run, from, to);
}

/* decode_one with as many words as there are: the last ones are read from a copy. */
static int decode_careful(const struct jc_context_decoder *ws, struct lanes *l,
                          const struct run *run, unsigned lane, size_t i)
{
    uint8_t copy[4] = {0};
    size_t there = (size_t)(l->end - l->words), used;
    const uint8_t *words = l->words;

    if (there >= sizeof(copy)) {
        l->words = decode_one(ws, l, run, lane, i, words);
        return 1;
    }
    memcpy(copy, words, there);
    used = (size_t)(decode_one(ws, l, run, lane, i, copy) - copy);
    l->words = words + (used < there ? used : there);
    return used <= there;
}

/* Steps from .. to of all lanes that have them. */
static int decode_phase(const struct jc_context_decoder *ws, struct lanes *l,
                        const struct jc_layout *layout, const struct run *run, size_t from,
                        size_t to)
{
    size_t full = jc_lane_size(layout, layout->lanes - 1);

    full = full < to ? full : to;
    if (layout->lanes == JC_MAX_LANES && full > from)
        from = decode_16(ws, l, run, from, full);
    else if (full > from)
        from = decode_steps(ws, l, run, layout->lanes, from, full);
    for (; from < to; from++)
        for (unsigned lane = 0; lane < layout->lanes; lane++)
            if (from < jc_lane_size(layout, lane) && !decode_careful(ws, l, run, lane, from))
                return 0;
    return 1;
}

static void fill(struct jc_context_decoder *ws, const struct jc_layout *layout,
                 const struct jc_context_model *m)
{
    unsigned wide = layout->width > JC_NARROW_WIDTH;

    for (unsigned u = 0; u < jc_unions(layout); u++)
        for (uint32_t t = 0; t < (wide ? JC_N_CLASSES : JC_N_NARROW_SUMS); t++) {
            size_t k = m->cluster_of[u][wide ? t : jc_class_of(t)];

            ws->at_sum[u][t] = (uint16_t)(k * sizeof(struct jc_ans_cluster));
        }
    for (unsigned k = 0; k < m->n_clusters; k++) {
        uint32_t start = 0;

        for (unsigned token = 0; token <= jc_last_token(layout->width); token++) {
            uint32_t freq = m->freqs[k][token];

            if (freq == 0)
                continue;
            memset(ws->clusters.ans[k].token_of + start, (int)token, freq);
            ws->clusters.ans[k].entries[token] = make_entry(freq, start, token);
            start += freq;
        }
    }
}

/* Lanes one after the other; by tiles that fit in the nearest cache. */
static void unravel(const uint16_t *from, const struct jc_layout *layout, uint16_t *syms)
{
    for (size_t first = 0; first < jc_steps(layout); first += TILE)
        for (unsigned lane = 0; lane < layout->lanes; lane++) {
            size_t size = jc_lane_size(layout, lane), end = first + TILE;
            uint16_t *to = syms + jc_lane_start(layout, lane);

            for (size_t i = first; i < end && i < size; i++)
                to[i] = from[i * layout->lanes + lane];
        }
}

enum jc_result jc_context_ans_decode(struct jc_context_decoder *ws, const struct jc_layout *layout,
                                     const uint8_t *src, size_t size,
                                     const struct jc_context_model *m, uint16_t *syms)
{
    size_t states_size = 4 * (size_t)layout->lanes, pair = jc_first_pair(layout);
    struct run run = {ws->syms, layout->lanes, 0, layout->fold, layout->width > JC_NARROW_WIDTH,
                      layout->n_states ? jc_next_states(layout->n_states) : NULL};
    struct lanes l = {{0}, {0}, {0}, src + states_size, src + size};
    int is_good = 1;

    if (size < states_size)
        return JC_BAD_LENGTH;
    for (unsigned lane = 0; lane < layout->lanes; lane++) {
        ws->syms[lane] = 0;
        l.x[lane] = jc_load_le32(src + 4 * lane);
        is_good &= l.x[lane] >= JC_ANS_LOW;
    }
    fill(ws, layout, m);
    is_good = is_good && decode_phase(ws, &l, layout, &run, 0, 1);
    run.back = 1;
    is_good = is_good && decode_phase(ws, &l, layout, &run, 1, pair);
    run.back = layout->row;
    is_good = is_good && decode_phase(ws, &l, layout, &run, pair, jc_steps(layout));
    for (unsigned lane = 0; lane < layout->lanes; lane++)
        is_good &= l.x[lane] == JC_ANS_LOW;
    if (!is_good || l.words != l.end)
        return JC_BAD_LENGTH;
    unravel(ws->syms, layout, syms);
    return JC_OK;
}
