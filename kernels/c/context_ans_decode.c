/*
 * Context ANS, decoding: docs/bitstream.md, "context ANS".  Everything that is read may be hostile.
 *
 * Lanes hide each other's latency.  The hot loop is compiled for 16 lanes by fold, trellis and width.  It
 * runs while the words last for a whole step, so that nothing is tested inside: a word is always
 * loaded, and used by a mask.  What is left goes symbol by symbol.
 */
#include "context_ans_decode.h"

#define TILE 64 /* steps of a lane that are moved at once */
#define MAX_WORDS_BYTES 4 /* of a symbol: two words */

static jc_always_inline uint32_t renormalize(uint32_t x, const uint8_t **words)
{
    uint32_t is_low = x < JC_ANS_LOW, appended = x << 16 | jc_load_le16(*words);

    *words += 2 * is_low;
    return x ^ ((x ^ appended) & (0 - is_low)); /* a choice that no compiler makes a branch */
}

/* The symbol of step i of a lane; two words more must be there.  Returns the words that are left. */
static jc_always_inline const uint8_t *decode_one(const struct jc_context_decoder *ws,
                                                  struct jc_ans_lanes *l,
                                                  const struct jc_ans_run *run, unsigned lane,
                                                  size_t i, const uint8_t *words)
{
    uint16_t *at = run->syms + i * run->lanes + lane;
    uint32_t upper = at[-(ptrdiff_t)(run->back * run->lanes)], x = l->x[lane];
    uint32_t sum = l->left[lane] + jc_magnitude(upper, run->fold);
    unsigned which = run->next ? l->state[lane] & 1 : 0;
    uint32_t start = ws->at_sum[which][run->wide ? jc_class_of(sum) : sum];
    uint32_t entry = ws->clusters.ans[start + x % JC_ANS_SUM];
    uint32_t mantissa = entry >> JC_MANTISSA_AT & 15, extra = entry >> JC_EXTRA_AT;
    uint32_t first = run->wide && extra > JC_FIRST_PIECE ? JC_FIRST_PIECE : extra, symbol;

    x = (entry & ((1u << JC_OFFSET_AT) - 1)) * (x / JC_ANS_SUM) +
        (entry >> JC_OFFSET_AT & (JC_ANS_SUM - 1));
    symbol = (mantissa << extra) + (x & ((1u << first) - 1));
    x = renormalize(x >> first, &words);
    if (run->wide && extra > JC_FIRST_PIECE) {
        unsigned more = extra - JC_FIRST_PIECE;

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
                                            struct jc_ans_lanes *lanes,
                                            const struct jc_ans_run *run, unsigned n, size_t from,
                                            size_t to)
{
    struct jc_ans_lanes l = *lanes;
    const uint8_t *words = l.words;

    for (; from < to && (size_t)(l.end - words) >= MAX_WORDS_BYTES * n; from++)
        for (unsigned lane = 0; lane < n; lane++)
            words = decode_one(ws, &l, run, lane, from, words);
    l.words = words;
    *lanes = l;
    return from;
}

#define DEFINE_STEPS(name, fold_, wide_, next_)                                                   \
    static size_t name(const struct jc_context_decoder *ws, struct jc_ans_lanes *l,               \
                       const struct jc_ans_run *run, size_t from, size_t to)                      \
    {                                                                                             \
        const struct jc_ans_run fixed = {run->syms, JC_MAX_LANES, run->back, fold_, wide_,        \
                                         next_,     run->n_states};                               \
                                                                                                  \
        return decode_steps(ws, l, &fixed, JC_MAX_LANES, from, to);                               \
    }
DEFINE_STEPS(narrow_flat, 0, 0, NULL)
DEFINE_STEPS(narrow_folded, 1, 0, NULL)
DEFINE_STEPS(narrow_trellis, run->fold, 0, run->next)
DEFINE_STEPS(wide_any, run->fold, 1, NULL)
DEFINE_STEPS(wide_trellis, run->fold, 1, run->next)

static size_t decode_16(const struct jc_context_decoder *ws, struct jc_ans_lanes *l,
                        const struct jc_ans_run *run, size_t from, size_t to)
{
    if (run->wide)
        return (run->next ? wide_trellis : wide_any)(ws, l, run, from, to);
#if defined(__x86_64__) && !defined(JC_SCALAR)
    if (__builtin_cpu_supports("avx2"))
        return jc_ans_steps_avx2(ws, l, run, from, to);
#endif
    if (run->next)
        return narrow_trellis(ws, l, run, from, to);
    return (run->fold ? narrow_folded : narrow_flat)(ws, l, run, from, to);
}

/* decode_one with as many words as there are: the last ones are read from a copy. */
static int decode_careful(const struct jc_context_decoder *ws, struct jc_ans_lanes *l,
                          const struct jc_ans_run *run, unsigned lane, size_t i)
{
    uint8_t copy[MAX_WORDS_BYTES] = {0};
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
static int decode_phase(const struct jc_context_decoder *ws, struct jc_ans_lanes *l,
                        const struct jc_layout *layout, const struct jc_ans_run *run, size_t from,
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

static void fill_cluster(uint32_t slots[JC_ANS_SUM], const uint16_t freqs[JC_N_TOKENS])
{
    for (unsigned token = 0; token < JC_N_TOKENS; token++) {
        uint32_t freq = freqs[token], extra = jc_extra_bits(token);
        uint32_t entry = freq | jc_token_base(token) >> extra << JC_MANTISSA_AT |
                         extra << JC_EXTRA_AT;

        for (uint32_t i = 0; i < freq; i++)
            slots[i] = entry + (i << JC_OFFSET_AT);
        slots += freq;
    }
}

static void fill(struct jc_context_decoder *ws, const struct jc_layout *layout,
                 const struct jc_context_model *m)
{
    unsigned wide = layout->width > JC_NARROW_WIDTH;

    for (unsigned u = 0; u < jc_unions(layout); u++)
        for (uint32_t t = 0; t < (wide ? JC_N_CLASSES : JC_N_NARROW_SUMS); t++)
            ws->at_sum[u][t] = m->cluster_of[u][wide ? t : jc_class_of(t)] * JC_ANS_SUM;
    for (unsigned k = 0; k < m->n_clusters; k++)
        fill_cluster(ws->clusters.ans + k * JC_ANS_SUM, m->freqs[k]);
#if defined(__x86_64__) && !defined(JC_SCALAR)
    jc_ans_make_ranks(ws);
#endif
}

/* Steps from .. to of a lane, those that exist. */
static void unravel_lane(const uint16_t *from, const struct jc_layout *layout, unsigned lane,
                         size_t first, size_t end, uint16_t *syms)
{
    size_t size = jc_lane_size(layout, lane);

    syms += jc_lane_start(layout, lane);
    for (size_t i = first; i < end && i < size; i++)
        syms[i] = from[i * layout->lanes + lane];
}

/* Lanes one after the other; by tiles that fit in the nearest cache. */
static void unravel(const uint16_t *from, const struct jc_layout *layout, uint16_t *syms)
{
    size_t first = 0, steps = jc_steps(layout);

#if defined(__x86_64__) && !defined(JC_SCALAR)
    if (layout->lanes == JC_MAX_LANES)
        first = jc_unravel_16(from, jc_lane_size(layout, JC_MAX_LANES - 1), steps, syms);
#endif
    for (; first < steps; first += TILE)
        for (unsigned lane = 0; lane < layout->lanes; lane++)
            unravel_lane(from, layout, lane, first, first + TILE, syms);
}

enum jc_result jc_context_ans_decode(struct jc_context_decoder *ws, const struct jc_layout *layout,
                                     const uint8_t *src, size_t size,
                                     const struct jc_context_model *m, uint16_t *syms)
{
    size_t states_size = 4 * (size_t)layout->lanes, pair = jc_first_pair(layout);
    struct jc_ans_run run = {ws->syms, layout->lanes, 0, layout->fold, layout->width > JC_NARROW_WIDTH,
                      layout->n_states ? jc_next_states(layout->n_states) : NULL,
                      layout->n_states};
    struct jc_ans_lanes l = {{0}, {0}, {0}, src + states_size, src + size};
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
