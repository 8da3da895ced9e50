/*
 * A block -> symbols: docs/bitstream.md, "Blocks".  Nothing that is read is trusted.
 *
 * A struct jc_block comes from jc_read_block alone: its mode is possible, its payload lies in the source, and
 * has the one size that raw and constant blocks can have.
 */
#include "block.h"

static int is_possible(const struct jc_header *h, const struct jc_block *block)
{
    unsigned width = h->quantizer.width;
    int has_contexts = block->mode == JC_CONTEXT_PREFIX || block->mode == JC_CONTEXT_ANS;

    if (block->mode >= JC_N_MODES || (block->mode == JC_HUFFMAN && width > 8) ||
        (block->mode == JC_PACKED && width > JC_MAX_GROUP_WIDTH))
        return 0;
    if (block->lanes > 2 || (block->lanes && !has_contexts && !jc_has_lanes(h)))
        return 0;
    return !block->is_static || (block->mode >= JC_HUFFMAN && h->tables_sum);
}

enum jc_result jc_read_block(const struct jc_header *h, size_t n, const uint8_t *src, size_t size,
                             struct jc_block *block)
{
    unsigned width = h->quantizer.width;
    size_t at = 0, whole = SIZE_MAX;
    uint32_t payload = 0;
    enum jc_result result;

    if (size < 1)
        return JC_TRUNCATED;
    block->mode = src[0] & JC_BLOCK_MODE_MASK;
    block->lanes = src[0] >> JC_BLOCK_LANES_SHIFT & 3;
    block->is_static = (src[0] & JC_BLOCK_STATIC_BIT) != 0;
    if (src[0] & JC_BLOCK_UNUSED_BIT || !is_possible(h, block))
        return JC_UNKNOWN_MODE;
    block->lanes = 1u << 2 * block->lanes;
    if (jc_has_lanes(h) && block->lanes != jc_trellis_lanes(n))
        return JC_UNKNOWN_MODE; /* the sum covers symbols, but lanes change their values */
    result = jc_read_varint(src + 1, size - 1, &payload, &at);
    if (result != JC_OK)
        return result == JC_TRUNCATED ? JC_TRUNCATED : JC_BAD_LENGTH;
    at++;
    if (size - at < 4 || size - at - 4 < payload)
        return JC_TRUNCATED;
    if (block->mode == JC_RAW)
        whole = jc_bytes_of_bits(n * width);
    if (block->mode == JC_CONSTANT)
        whole = width > 8 ? 2 : 1;
    if (whole != SIZE_MAX && payload != whole)
        return JC_BAD_LENGTH;
    block->sum = jc_load_le32(src + at);
    block->payload = src + at + 4;
    block->size = payload;
    block->bytes = at + 4 + payload;
    return JC_OK;
}

/* A table at the front of a payload; what is left of the payload lies at *src. */
struct payload {
    const uint8_t *src;
    size_t size;
};

static void skip(struct payload *p, size_t n)
{
    p->src += n;
    p->size -= n;
}

static enum jc_result decode_codes(struct jc_workspace *ws, const struct jc_tables *tables,
                                   const struct jc_block *block, size_t n_alphabet,
                                   uint8_t *codes, size_t n_codes)
{
    struct payload p = {block->payload, block->size};
    struct jc_bit_reader r = {p.src, p.size, 0};
    uint8_t lens[JC_MAX_ALPHABET];
    enum jc_result result;

    if (block->is_static)
        return jc_huffman_decode(&ws->huffman, p.src, p.size, tables->lens[block->mode], codes,
                                 n_codes);
    result = jc_read_code_table(&r, n_alphabet, lens);
    if (result != JC_OK)
        return result;
    if (!jc_skip_padding(&r))
        return JC_BAD_PADDING;
    skip(&p, r.pos / 8);
    return jc_huffman_decode(&ws->huffman, p.src, p.size, lens, codes, n_codes);
}

static enum jc_result decode_packed(struct jc_workspace *ws, const struct jc_header *h,
                                    const struct jc_tables *tables, const struct jc_block *block,
                                    size_t n, uint8_t *syms)
{
    unsigned width = h->quantizer.width;
    size_t n_alphabet = (size_t)1 << (width * jc_group_symbols(width));
    enum jc_result result = decode_codes(ws, tables, block, n_alphabet, ws->codes,
                                         jc_group_count(n, width));

    if (result != JC_OK)
        return result;
    return jc_spread_groups(ws->codes, n, width, syms) ? JC_OK : JC_BAD_PADDING;
}

static enum jc_result decode_contexts(struct jc_workspace *ws, const struct jc_header *h,
                                      const struct jc_tables *tables,
                                      const struct jc_block *block, size_t n)
{
    struct jc_layout layout = jc_layout_of(h, n, block->lanes);
    int is_prefix = block->mode == JC_CONTEXT_PREFIX;
    unsigned unions = jc_n_unions(h), width = h->quantizer.width;
    const struct jc_context_model *m = &ws->models[0];
    struct payload p = {block->payload, block->size};
    struct jc_bit_reader r = {p.src, p.size, 0};
    enum jc_result result = JC_OK;

    if (block->is_static) {
        m = &tables->models[block->mode - JC_CONTEXT_PREFIX];
    } else {
        result = is_prefix ? jc_read_context_prefix_table(&r, unions, width, &ws->models[0])
                           : jc_read_context_ans_table(&r, unions, width, &ws->models[0]);
        if (result == JC_OK && !jc_skip_padding(&r))
            result = JC_BAD_PADDING;
        skip(&p, r.pos / 8);
    }
    if (result != JC_OK)
        return result;
    return is_prefix ? jc_context_prefix_decode(ws->context_decoder, &layout, p.src, p.size, m,
                                                ws->wide)
                     : jc_context_ans_decode(ws->context_decoder, &layout, p.src, p.size, m,
                                             ws->wide);
}

static enum jc_result decode_constant(struct jc_workspace *ws, unsigned width,
                                      const struct jc_block *block, size_t n, uint8_t *narrow)
{
    uint32_t symbol = block->payload[0];

    if (width > 8)
        symbol = jc_load_le16(block->payload);
    if (symbol >> width)
        return JC_BAD_SYMBOL;
    if (width <= 8)
        memset(narrow, (int)symbol, n);
    else
        for (size_t i = 0; i < n; i++)
            ws->wide[i] = (uint16_t)symbol;
    return JC_OK;
}

static enum jc_result decode_raw(struct jc_workspace *ws, unsigned width,
                                 const struct jc_block *block, size_t n, uint8_t *narrow)
{
    int is_padded = width <= 8 ? jc_unpack_raw8(block->payload, n, width, narrow)
                               : jc_unpack_raw16(block->payload, n, width, ws->wide);

    return is_padded ? JC_OK : JC_BAD_PADDING;
}

enum jc_result jc_decode_block(struct jc_workspace *ws, const struct jc_header *h,
                               const struct jc_tables *tables, const struct jc_block *block,
                               size_t n, uint8_t *narrow, struct jc_symbols *syms)
{
    unsigned width = h->quantizer.width;
    int is_wide = width > 8;
    enum jc_result result;

    if (block->is_static && (!tables || tables->sum != h->tables_sum ||
                             !jc_has_static(tables, h, block->mode)))
        return JC_NO_TABLES;
    if (block->mode == JC_RAW) {
        result = decode_raw(ws, width, block, n, narrow);
    } else if (block->mode == JC_CONSTANT) {
        result = decode_constant(ws, width, block, n, narrow);
    } else if (block->mode == JC_HUFFMAN) {
        result = decode_codes(ws, tables, block, (size_t)1 << width, narrow, n);
    } else if (block->mode == JC_PACKED) {
        result = decode_packed(ws, h, tables, block, n, narrow);
    } else {
        result = decode_contexts(ws, h, tables, block, n);
        is_wide = 1;
    }
    if (result != JC_OK)
        return result;
    if (is_wide && width <= 8)
        for (size_t i = 0; i < n; i++)
            narrow[i] = (uint8_t)ws->wide[i];
    *syms = (struct jc_symbols){width <= 8 ? narrow : NULL, is_wide ? ws->wide : NULL};
    return jc_sum_fits(jc_sum_of(ws, *syms, width, n), block->sum) ? JC_OK : JC_BAD_CHECKSUM;
}
