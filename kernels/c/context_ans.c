/*
 * Context ANS, encoding: docs/bitstream.md, "context ANS", backwards.
 *
 * x is the state of a lane, JC_ANS_LOW <= x < 2^32 between symbols.  A step of the decoder undone:
 *   (f, start) of the token, b = first piece of extra bits, X = x or, if a word was written, x >> 16
 *   y = X << b | extra bits            y < f << (32 - JC_ANS_BITS), so that the next x is < 2^32:
 *   x = (y / f << JC_ANS_BITS) + start + y % f = y + start + (y / f) * (JC_ANS_SUM - f)
 * A word is written if X = x would make y too large: x >> 16 >= f << (16 - JC_ANS_BITS - b).  limit
 * is that bound less 1, so that it fits in 16 bits.
 *
 * y / f = y * reciprocal >> SHIFT with reciprocal = ceil(2^SHIFT / f).  It is exact: reciprocal * f = 2^SHIFT + e
 * with e < f, so the product is too large by y e / f, less than the 2^SHIFT / f that separate y / f from the
 * next integer, because y e < f^2 2^21 <= 2^43.  And it is below 2^64: for f = 2^11 because e = 0, else
 * (f 2^21 - 1) (2^43 + e) / f < 2^64 - 2^43 / f + e 2^21, where e f < 2^22.
 */
#include "context_internal.h"

#define SHIFT 43
JC_STATIC_ASSERT(2 * JC_ANS_BITS + 32 - JC_ANS_BITS == SHIFT);
JC_STATIC_ASSERT(SHIFT + 32 - JC_ANS_BITS == 64);
JC_STATIC_ASSERT(16 - JC_ANS_BITS >= JC_FIRST_PIECE);
JC_STATIC_ASSERT(JC_MAX_EXTRA - JC_FIRST_PIECE <= 16); /* the rest is one piece */

struct coder {
    const struct jc_ans_entry *entries;
    const uint32_t *items;
    uint16_t *words; /* the last one written */
    uint32_t x[JC_MAX_LANES];
};

static jc_always_inline void append(struct coder *c, unsigned lane, size_t i, unsigned wide)
{
    uint32_t item = c->items[i], symbol = item >> 16, x = c->x[lane];
    const struct jc_ans_entry *entry = &c->entries[item & 0xffff];
    unsigned writes;

    if (wide && entry->more) {
        writes = x >> (32 - entry->more) != 0;
        c->words[-1] = (uint16_t)x;
        c->words -= writes;
        x = (writes ? x >> 16 : x) << entry->more |
            (symbol >> JC_FIRST_PIECE & ((1u << entry->more) - 1));
    }
    writes = x >> 16 > entry->limit;
    c->words[-1] = (uint16_t)x;
    c->words -= writes;
    x = (writes ? x >> 16 : x) << entry->first | (symbol & ((1u << entry->first) - 1));
    c->x[lane] = x + entry->start +
                 (uint32_t)(x * entry->reciprocal >> SHIFT) * entry->complement;
}

/* Append steps to .. from + 1 of the first n of all lanes. */
static jc_always_inline void append_steps(struct coder *coder, unsigned lanes, unsigned n,
                                          size_t from, size_t to, unsigned wide)
{
    struct coder c = *coder;

    while (to-- > from)
        for (unsigned lane = n; lane--;)
            append(&c, lane, to * lanes + lane, wide);
    *coder = c;
}

static void make_entry(struct jc_ans_entry *entry, uint32_t freq, uint32_t start, unsigned token)
{
    unsigned extra = jc_extra_bits(token);

    entry->first = (uint8_t)(extra < JC_FIRST_PIECE ? extra : JC_FIRST_PIECE);
    entry->more = (uint8_t)(extra - entry->first);
    entry->start = (uint16_t)start;
    entry->complement = (uint16_t)(JC_ANS_SUM - freq);
    entry->limit = (uint16_t)((freq << (16 - JC_ANS_BITS - entry->first)) - 1);
    entry->reciprocal = ((1ull << SHIFT) + freq - 1) / freq;
}

/* Entries of all places that occur; 0 if one has no frequency. */
static int make_entries(struct jc_context_encoder *ws, const struct jc_context_model *m)
{
    struct jc_ans_entry made[JC_MAX_CLUSTERS][JC_N_TOKENS];

    for (unsigned k = 0; k < m->n_clusters; k++) {
        uint32_t start = 0;

        for (unsigned token = 0; token < JC_N_TOKENS; token++) {
            if (m->freqs[k][token])
                make_entry(&made[k][token], m->freqs[k][token], start, token);
            start += m->freqs[k][token];
        }
    }
    for (unsigned place = 0; place < JC_N_CONTEXTS * JC_N_TOKENS; place++) {
        unsigned k = jc_cluster_at(m, place), token = place % JC_N_TOKENS;

        if (jc_context_count(ws, place) == 0)
            continue;
        if (m->freqs[k][token] == 0)
            return 0;
        ws->entries.ans[place] = made[k][token];
    }
    return 1;
}

/* All steps, the last one first; the last lanes may have no symbol in the last steps. */
static void append_all(struct coder *c, const struct jc_layout *layout)
{
    unsigned lanes = layout->lanes, n = lanes;
    size_t step = jc_steps(layout);

    for (; jc_lane_size(layout, lanes - 1) < step; step--) {
        while (n && jc_lane_size(layout, n - 1) < step)
            n--;
        append_steps(c, lanes, n, step - 1, step, 1);
        n = lanes;
    }
    if (layout->width > JC_NARROW_WIDTH)
        append_steps(c, lanes, lanes, 0, step, 1);
    else if (lanes == JC_MAX_LANES)
        append_steps(c, JC_MAX_LANES, JC_MAX_LANES, 0, step, 0);
    else
        append_steps(c, lanes, lanes, 0, step, 0);
}

size_t jc_context_ans_encode(struct jc_context_encoder *ws, const struct jc_layout *layout,
                             const struct jc_context_model *m, uint8_t *dst, size_t room)
{
    uint16_t *end = (uint16_t *)(ws->items + jc_items(layout)) + 2 * layout->n + 2;
    struct coder c = {ws->entries.ans, ws->items, end, {0}};
    size_t n_words, size;

    if (!make_entries(ws, m))
        return SIZE_MAX;
    for (unsigned lane = 0; lane < layout->lanes; lane++)
        c.x[lane] = JC_ANS_LOW;
    append_all(&c, layout);
    n_words = (size_t)(end - c.words);
    size = 4 * layout->lanes + 2 * n_words;
    if (size > room)
        return SIZE_MAX;
    for (unsigned lane = 0; lane < layout->lanes; lane++)
        jc_store_le32(dst + 4 * lane, c.x[lane]);
    dst += 4 * layout->lanes;
    for (size_t i = 0; i < n_words; i++)
        jc_store_le16(dst + 2 * i, c.words[i]);
    return size;
}
