/*
 * Cuts the caller's memory into the parts of struct jc_workspace.
 *
 * next: offset of the first byte that is not taken; a multiple of ALIGN.
 */
#include "block.h"

#define ALIGN 64 /* a cache line; more than any part needs */

struct parts {
    size_t narrow, wide, values, codes, spare, context, trellis, end;
};

static size_t take(size_t *next, size_t size)
{
    size_t at = *next;

    *next = at + (size + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static struct parts cut(const struct jc_quantizer *q, unsigned block_log2)
{
    size_t n = (size_t)1 << block_log2, next = 0;
    struct parts p;

    take(&next, sizeof(struct jc_workspace));
    p.narrow = take(&next, n);
    p.wide = take(&next, n * sizeof(uint16_t));
    p.values = take(&next, n * sizeof(float));
    p.codes = p.values;
    p.spare = p.values + n; /* 2n + JC_HUFFMAN_SLACK <= 3n */
    p.context = take(&next, larger(jc_context_encoder_size(n), jc_context_decoder_size(n)));
    p.trellis = next;
    if (q->kind == JC_TRELLIS)
        take(&next, jc_trellis_workspace_size(n));
    if (q->kind == JC_FIXED_TRELLIS)
        take(&next, jc_fixed_trellis_workspace_size(n, q->n_states));
    p.end = next;
    return p;
}

size_t jc_workspace_size(const struct jc_quantizer *q, unsigned block_log2)
{
    return cut(q, block_log2).end;
}

struct jc_workspace *jc_bind_workspace(void *memory, const struct jc_quantizer *q,
                                       unsigned block_log2)
{
    struct parts p = cut(q, block_log2);
    struct jc_workspace *ws = memory;
    uint8_t *base = memory;

    ws->narrow = base + p.narrow;
    ws->codes = base + p.codes;
    ws->spare = base + p.spare;
    ws->wide = (void *)(base + p.wide);
    ws->values = (void *)(base + p.values);
    ws->context_encoder = (void *)(base + p.context);
    ws->context_decoder = (void *)(base + p.context);
    ws->trellis = base + p.trellis;
    return ws;
}
