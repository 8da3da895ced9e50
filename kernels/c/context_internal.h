/* What the files of the context coder share; users include context.h. */
#ifndef JC_CONTEXT_INTERNAL_H
#define JC_CONTEXT_INTERNAL_H

#include "context.h"

#define JC_N_CONTEXTS (JC_N_UNIONS * JC_N_CLASSES)
#define JC_SHARED JC_N_UNIONS /* stands for both unions together, where they share their tables */
#define JC_NARROW_WIDTH 8 /* up to here sums of magnitudes index a table */
#define JC_N_NARROW_SUMS 512
JC_STATIC_ASSERT(2 * ((1u << JC_NARROW_WIDTH) - 1) < JC_N_NARROW_SUMS);

#define JC_ANS_SUM (1u << JC_ANS_BITS)
#define JC_ANS_LOW 65536u /* states lie in JC_ANS_LOW .. 2^32 - 1 between symbols */

#define JC_N_PLAIN_TOKENS 16
#define JC_FIRST_PIECE 5 /* extra bits that are taken before renormalization */
#define JC_MAX_EXTRA 13

#define jc_always_inline inline __attribute__((always_inline))

/* The class of a sum of two magnitudes, t < 2^17; below JC_N_CLASSES whatever t is. */
static jc_always_inline unsigned jc_class_of(uint32_t t)
{
    unsigned e, class;

    if (t < 2)
        return t;
    e = jc_log2_floor(t);
    class = 2 * e + (t >> (e - 1) & 1);
    return class < JC_N_CLASSES ? class : JC_N_CLASSES - 1;
}

static jc_always_inline unsigned jc_token_of(uint32_t symbol)
{
    unsigned e;

    if (symbol < JC_N_PLAIN_TOKENS)
        return symbol;
    e = jc_log2_floor(symbol);
    return 4 * e + (symbol >> (e - 2) & 3);
}
JC_STATIC_ASSERT(JC_N_PLAIN_TOKENS + 4 * (4 - 4) == 4 * 4); /* 16 + 4 (e - 4) = 4 e */
JC_STATIC_ASSERT(4 * 15 + 3 < JC_N_TOKENS);

/* How many extra bits follow a token, and the symbol if they are zero. */
static jc_always_inline unsigned jc_extra_bits(unsigned token)
{
    return token < JC_N_PLAIN_TOKENS ? 0 : token / 4 - 2;
}
JC_STATIC_ASSERT((JC_N_TOKENS - 1) / 4 - 2 == JC_MAX_EXTRA);

static jc_always_inline uint32_t jc_token_base(unsigned token)
{
    return token < JC_N_PLAIN_TOKENS ? token : (4 + token % 4) << (token / 4 - 2);
}

static inline unsigned jc_last_token(unsigned width)
{
    return jc_token_of((1u << width) - 1);
}

static inline unsigned jc_unions(const struct jc_layout *layout)
{
    return layout->n_states ? 2 : 1;
}

/* Steps of the longest lane; items of all lanes with as many steps. */
static inline size_t jc_steps(const struct jc_layout *layout)
{
    return (layout->n + layout->lanes - 1) / layout->lanes;
}

static inline size_t jc_items(const struct jc_layout *layout)
{
    return jc_steps(layout) * layout->lanes;
}

/* Symbols of a lane. */
static inline size_t jc_lane_size(const struct jc_layout *layout, unsigned lane)
{
    return jc_lane_start(layout, lane + 1) - jc_lane_start(layout, lane);
}

/* First step in which the upper neighbour exists, or the end of the longest lane. */
static inline size_t jc_first_pair(const struct jc_layout *layout)
{
    size_t steps = jc_steps(layout);

    return layout->row && layout->row < steps ? layout->row : steps;
}

/* [state][parity] -> next state of a trellis of @n_states; one state that stays without a trellis. */
static inline const uint8_t (*jc_next_states(unsigned n_states))[2]
{
    static const uint8_t none[1][2] = {{0, 0}};

    return n_states == 8 ? jc_trellis_next8 : n_states == 4 ? jc_trellis_next4 : none;
}

/* What ANS needs to append a token: see context_ans.c. */
struct jc_ans_entry {
    uint64_t reciprocal;
    uint16_t limit, start, complement;
    uint8_t first, more; /* extra bits of the two pieces */
};

/*
 * counts[2]    by context and token; the symbols of a block take turns, so that runs of one symbol
 *              do not wait for their own counter.
 * merged       rows of counts, joined to clusters; the last ones are those of both unions together.
 * items[]      of the block that was added last, step by step, lane by lane: place | symbol << 16, where
 *              place = context * JC_N_TOKENS + token.  Lanes side by side, because segments of 2^13
 *              symbols would all lie in the same sets of a cache.
 * words        what ANS wrote, from the end.
 */
struct jc_context_encoder {
    uint32_t counts[2][JC_N_CONTEXTS * JC_N_TOKENS];
    uint32_t merged[JC_N_CONTEXTS + JC_N_CLASSES][JC_N_TOKENS];
    uint8_t class_of[JC_N_NARROW_SUMS], token_of[1 << JC_NARROW_WIDTH];
    struct jc_merge merge;
    union {
        struct jc_ans_entry ans[JC_N_CONTEXTS * JC_N_TOKENS];
        uint16_t prefix[JC_N_CONTEXTS * JC_N_TOKENS]; /* code << 4 | length */
    } entries;
    uint32_t items[]; /* [jc_items(layout)], then uint16_t words[2 * n + 2] */
};

/*
 * at_sum     where the table of a sum of magnitudes starts, by union; for wide symbols, of its class.
 * ans        by cluster and slot, see context_ans_decode.h; or
 * prefix     by cluster and the next bits: token << 4 | length.
 * ranks      see context_ans_avx2.c.
 * syms[]     step by step, lane by lane, as items above.
 */
struct jc_context_decoder {
    uint32_t at_sum[JC_N_UNIONS][JC_N_NARROW_SUMS];
    union {
        uint32_t ans[JC_MAX_CLUSTERS * JC_ANS_SUM];
        uint16_t prefix[JC_MAX_CLUSTERS][1 << JC_MAX_CODE_BITS];
    } clusters;
    uint8_t ranks[256][8];
    uint16_t syms[]; /* [jc_items(layout)] */
};

static inline uint32_t jc_context_count(const struct jc_context_encoder *ws, size_t place)
{
    return ws->counts[0][place] + ws->counts[1][place];
}

static inline unsigned jc_cluster_at(const struct jc_context_model *m, size_t place)
{
    size_t context = place / JC_N_TOKENS;

    return m->cluster_of[context / JC_N_CLASSES][context % JC_N_CLASSES];
}

#endif
