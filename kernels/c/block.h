/*
 * Inside the codec: one workspace, and what happens to one block.
 *
 *   values.c   values <-> symbols of a block (quantizers)
 *   block.c    symbols <-> bytes of a block (modes)
 *   tensor.c   header, blocks, end
 */
#ifndef JC_BLOCK_H
#define JC_BLOCK_H

#include <float.h>

#include "codec.h"
#include "packing.h"

/*
 * The caller's memory, cut up.  n is 2^block_log2.
 *   narrow[n], wide[n]   symbols of the block; narrow where the width is at most 8
 *   values[n]            a block as floats, while it is quantized or becomes values; and the same bytes:
 *   codes[n]             several symbols in one (packed)
 *   spare[2n + slack]    a payload that may be beaten
 *   symbol_of[b]         symbol of the element whose byte is b, -1 if it has none
 *   float_of, byte_of    the value of a symbol of at most 8 bits
 *   is_value[s]          whether that value lies in the type
 *   limits[k]            a float > limits[k] is nearer to book[k + 1] than to book[k]
 */
struct jc_workspace {
    uint8_t *narrow, *codes, *spare;
    uint16_t *wide;
    float *values;
    struct jc_context_encoder *context_encoder;
    struct jc_context_decoder *context_decoder;
    void *trellis;
    struct jc_merge merge;
    struct jc_huffman_decoder huffman;
    struct jc_context_model models[2];
    int32_t symbol_of[256];
    float float_of[256], limits[256];
    uint8_t byte_of[256], is_value[256];
};

/* Cut up @memory of jc_workspace_size bytes. */
struct jc_workspace *jc_bind_workspace(void *memory, const struct jc_quantizer *q,
                                       unsigned block_log2);

/* Symbols of a block as they are at hand; NULL where they are not. */
struct jc_symbols {
    const uint8_t *narrow;
    const uint16_t *wide;
};

/* Where block `number` of a tensor lies; blocks are numbered through all planes. */
struct jc_place {
    unsigned plane;
    size_t first, n; /* symbols of the plane */
};
struct jc_place jc_place_of(const struct jc_header *h, size_t number);

/* What precedes the payload of a block. */
struct jc_block {
    unsigned mode, lanes, is_static;
    uint32_t sum;
    const uint8_t *payload;
    size_t size;  /* of the payload */
    size_t bytes; /* of the block */
};

/* header.c: LEB128 in its shortest form, at most 5 bytes; and the header of a completed `h`. */
enum jc_result jc_read_varint(const uint8_t *src, size_t size, uint32_t *value, size_t *used);
size_t jc_write_varint(uint8_t *dst, uint32_t value);
size_t jc_write_header(uint8_t *dst, struct jc_header *h);

static inline int jc_has_lanes(const struct jc_header *h)
{
    return h->quantizer.kind == JC_TRELLIS || h->quantizer.kind == JC_FIXED_TRELLIS;
}

static inline unsigned jc_n_unions(const struct jc_header *h)
{
    return h->quantizer.kind == JC_TRELLIS ? 2 : 1;
}

/* The first byte of a block. */
#define JC_BLOCK_LANES_SHIFT 4
#define JC_BLOCK_STATIC_BIT 64
#define JC_BLOCK_MODE_MASK 15
#define JC_BLOCK_UNUSED_BIT 128

/* Whether static tables are offered for a mode. */
static inline int jc_has_static(const struct jc_tables *tables, const struct jc_header *h, unsigned mode)
{
    return tables && tables->sum && tables->has[mode] &&
           tables->width[mode] == h->quantizer.width &&
           tables->unions[mode] == jc_n_unions(h);
}

/* Whether a checksum is the one that was written.  Fuzzers leave it out, to get past it. */
static inline int jc_sum_fits(uint32_t summed, uint32_t written)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    (void)summed;
    (void)written;
    return 1;
#else
    return summed == written;
#endif
}

/* blockSum; leaves the groups of narrow symbols in ws->codes. */
static inline uint32_t jc_sum_of(struct jc_workspace *ws, struct jc_symbols syms, unsigned width,
                                 size_t n)
{
    if (width > 8)
        return jc_xxh32((const uint8_t *)syms.wide, 2 * n);
    if (width > JC_MAX_GROUP_WIDTH)
        return jc_xxh32(syms.narrow, n);
    jc_pack_groups(syms.narrow, n, width, ws->codes);
    return jc_xxh32(ws->codes, jc_group_count(n, width));
}

/* Layout of a block of n symbols. */
static inline struct jc_layout jc_layout_of(const struct jc_header *h, size_t n, unsigned lanes)
{
    const struct jc_quantizer *q = &h->quantizer;

    return (struct jc_layout){.n = n,
                              .row = h->row,
                              .width = q->width,
                              .fold = q->fold,
                              .lanes = lanes,
                              .n_states = q->kind == JC_TRELLIS ? q->n_states : 0};
}

/* Lanes of a trellis over n symbols. */
static inline unsigned jc_trellis_lanes(size_t n)
{
    return n >= 32768 ? 16 : n >= 2048 ? 4 : 1;
}

/* Lanes that a block with contexts takes. */
static inline unsigned jc_block_lanes(const struct jc_header *h, const uint16_t *syms, size_t n)
{
    return jc_has_lanes(h) ? jc_trellis_lanes(n) : jc_context_lanes(syms, n);
}

/* Symbols in 16 bits, made in ws->wide where they are not at hand. */
static inline const uint16_t *jc_make_wide(struct jc_workspace *ws, struct jc_symbols syms, size_t n)
{
    if (syms.wide)
        return syms.wide;
    for (size_t i = 0; i < n; i++)
        ws->wide[i] = syms.narrow[i];
    return ws->wide;
}

/* The most bytes of a block of n symbols, and of what writing it may scribble on. */
static inline size_t jc_block_bound(size_t n, unsigned width)
{
    return JC_MAX_BLOCK_HEADER_BYTES + jc_bytes_of_bits(n * width) + JC_HUFFMAN_SLACK;
}

/* Write the smallest block of @syms[n]; dst has jc_block_bound bytes.  Returns the bytes of the block. */
size_t jc_encode_block(struct jc_workspace *ws, const struct jc_header *h,
                       const struct jc_options *options, struct jc_symbols syms, size_t n,
                       uint8_t *dst);

/* Read the front of a block of n symbols from the untrusted @src[size]. */
enum jc_result jc_read_block(const struct jc_header *h, size_t n, const uint8_t *src, size_t size,
                             struct jc_block *block);

/* Decode it, to @narrow[n] or ws->wide by the width (both, if the mode makes both); checks the sum. */
enum jc_result jc_decode_block(struct jc_workspace *ws, const struct jc_header *h,
                               const struct jc_tables *tables, const struct jc_block *block,
                               size_t n, uint8_t *narrow, struct jc_symbols *syms);

/* Where rounding is half to even by adding and subtracting these, there is no excess precision. */
JC_STATIC_ASSERT(FLT_EVAL_METHOD == 0);
#define JC_ROUND_64 0x1.8p52  /* |x| < 2^51 */
#define JC_ROUND_32 0x1.8p23f /* |x| < 2^22 */

static inline double jc_clamp(double x, double low, double high)
{
    x = x > low ? x : low;
    return x < high ? x : high;
}

/* Before the first block of a tensor: tables for its quantizer. */
enum jc_result jc_begin_symbols(struct jc_workspace *ws, const struct jc_header *h,
                                const struct jc_rates *rates);
void jc_begin_values(struct jc_workspace *ws, const struct jc_header *h);

/* Symbols of elements first .. first + n - 1 (of byte `plane` for quantizer 0). */
enum jc_result jc_block_symbols(struct jc_workspace *ws, const struct jc_header *h,
                                const struct jc_rates *rates, const void *data, unsigned plane,
                                size_t first, size_t n, struct jc_symbols *syms);

/* Where a block can be decoded without making values of its symbols; NULL: nowhere. */
uint8_t *jc_direct_target(const struct jc_workspace *ws, const struct jc_header *h, void *data,
                          size_t first);

/* The reverse of jc_block_symbols. */
enum jc_result jc_block_values(struct jc_workspace *ws, const struct jc_header *h,
                               struct jc_symbols syms, unsigned lanes, unsigned plane,
                               size_t first, size_t n, void *data);

#endif
