/*
 * Whole tensors: header, then the blocks of each plane, one after another.
 *
 * Blocks are numbered through all planes.  A block k of a plane has the symbols k << block_log2 and on.
 */
#include "block.h"

static size_t n_planes(const struct jc_header *h)
{
    return h->quantizer.kind == JC_BYTES ? jc_dtype_bytes(h->dtype) : 1;
}

static size_t blocks_per_plane(const struct jc_header *h)
{
    size_t block = (size_t)1 << h->block_log2;

    return h->n_elements / block + (h->n_elements % block != 0);
}

size_t jc_n_blocks(const struct jc_header *h)
{
    return n_planes(h) * blocks_per_plane(h);
}

struct jc_place jc_place_of(const struct jc_header *h, size_t number)
{
    size_t per_plane = blocks_per_plane(h), first = (number % per_plane) << h->block_log2;
    size_t left = h->n_elements - first, block = (size_t)1 << h->block_log2;

    return (struct jc_place){(unsigned)(number / per_plane), first, left < block ? left : block};
}

size_t jc_bound(const struct jc_header *h)
{
    struct jc_header whole = *h;
    uint64_t block, symbols, bytes;

    if (jc_complete_header(&whole) != JC_OK)
        return 0;
    /* Each byte of a block adds one bit to a byte that is padded: at most 16 bits a symbol. */
    block = JC_MAX_BLOCK_HEADER_BYTES + 1;
    symbols = (uint64_t)whole.n_elements * n_planes(&whole);
    if (symbols > SIZE_MAX / 4)
        return 0;
    bytes = symbols * whole.quantizer.width / 8 + block * jc_n_blocks(&whole);
    bytes += JC_MAX_HEADER_BYTES + JC_HUFFMAN_SLACK;
    return bytes > SIZE_MAX ? 0 : (size_t)bytes;
}

enum jc_result jc_encode_tensor(void *memory, struct jc_header *h,
                                const struct jc_options *options, const void *data, uint8_t *dst,
                                size_t capacity, size_t *used)
{
    struct jc_workspace *ws = memory;
    struct jc_symbols syms;
    enum jc_result result;
    size_t at;

    h->tables_sum = options->tables ? options->tables->sum : 0;
    if (jc_complete_header(h) != JC_OK)
        return JC_BAD_ARGUMENT;
    if (jc_bound(h) == 0 || capacity < jc_bound(h))
        return JC_SHORT_DST;
    jc_bind_workspace(ws, &h->quantizer, h->block_log2);
    result = jc_begin_symbols(ws, h, options->rates);
    at = jc_write_header(dst, h);
    for (size_t i = 0; i < jc_n_blocks(h) && result == JC_OK; i++) {
        struct jc_place p = jc_place_of(h, i);

        result = jc_block_symbols(ws, h, options->rates, data, p.plane, p.first, p.n, &syms);
        if (result == JC_OK)
            at += jc_encode_block(ws, h, options, syms, p.n, dst + at);
    }
    *used = at;
    return result;
}

enum jc_result jc_skip_blocks(const struct jc_header *h, const uint8_t *src, size_t size,
                              size_t first, size_t n, size_t *at)
{
    for (size_t i = first; i < first + n; i++) {
        struct jc_block block;
        enum jc_result result =
            jc_read_block(h, jc_place_of(h, i).n, src + *at, size - *at, &block);

        if (result != JC_OK)
            return result;
        *at += block.bytes;
    }
    return JC_OK;
}

enum jc_result jc_scan_blocks(const struct jc_header *h, const uint8_t *src, size_t size,
                              size_t counts[JC_N_MODES], size_t *at)
{
    memset(counts, 0, JC_N_MODES * sizeof(counts[0]));
    *at = h->header_bytes;
    for (size_t i = 0; i < jc_n_blocks(h); i++) {
        struct jc_block block;
        enum jc_result result =
            jc_read_block(h, jc_place_of(h, i).n, src + *at, size - *at, &block);

        if (result != JC_OK)
            return result;
        counts[block.mode]++;
        *at += block.bytes;
    }
    return *at == size ? JC_OK : JC_TRAILING;
}

static enum jc_result decode_one(struct jc_workspace *ws, const struct jc_header *h,
                                 const struct jc_tables *tables, const uint8_t *src, size_t size,
                                 struct jc_place p, void *data, size_t *bytes)
{
    uint8_t *direct = jc_direct_target(ws, h, data, p.first);
    struct jc_symbols syms = {NULL, NULL};
    struct jc_block block;
    enum jc_result result = jc_read_block(h, p.n, src, size, &block);

    if (result != JC_OK)
        return result;
    result = jc_decode_block(ws, h, tables, &block, p.n, direct ? direct : ws->narrow, &syms);
    if (result != JC_OK)
        return result;
    *bytes = block.bytes;
    return direct ? JC_OK
                  : jc_block_values(ws, h, syms, block.lanes, p.plane, p.first, p.n, data);
}

enum jc_result jc_decode_blocks(void *memory, const struct jc_header *h,
                                const struct jc_tables *tables, const uint8_t *src, size_t size,
                                size_t first, size_t n, void *data, size_t *at)
{
    struct jc_workspace *ws = jc_bind_workspace(memory, &h->quantizer, h->block_log2);

    jc_begin_values(ws, h);
    for (size_t i = first; i < first + n; i++) {
        size_t bytes = 0;
        enum jc_result result = decode_one(ws, h, tables, src + *at, size - *at, jc_place_of(h, i),
                                           data, &bytes);

        if (result != JC_OK)
            return result;
        *at += bytes;
    }
    return JC_OK;
}

enum jc_result jc_decode_tensor(void *memory, const struct jc_header *h,
                                const struct jc_tables *tables, const uint8_t *src, size_t size,
                                void *data, size_t *at)
{
    enum jc_result result;

    *at = h->header_bytes;
    result = jc_decode_blocks(memory, h, tables, src, size, 0, jc_n_blocks(h), data, at);
    return result == JC_OK && *at != size ? JC_TRAILING : result;
}

enum jc_result jc_tensor_symbols(void *memory, const struct jc_header *h,
                                 const struct jc_rates *rates, const void *data, uint16_t *syms)
{
    struct jc_workspace *ws = jc_bind_workspace(memory, &h->quantizer, h->block_log2);
    enum jc_result result = jc_begin_symbols(ws, h, rates);

    for (size_t i = 0; i < jc_n_blocks(h) && result == JC_OK; i++) {
        struct jc_place p = jc_place_of(h, i);
        struct jc_symbols found;

        result = jc_block_symbols(ws, h, rates, data, 0, p.first, p.n, &found);
        for (size_t k = 0; k < p.n && result == JC_OK; k++)
            syms[p.first + k] = found.wide ? found.wide[k] : found.narrow[k];
    }
    return result;
}

enum jc_result jc_tensor_values(void *memory, const struct jc_header *h, const uint16_t *syms,
                                void *data)
{
    struct jc_workspace *ws = jc_bind_workspace(memory, &h->quantizer, h->block_log2);
    enum jc_result result = JC_OK;

    jc_begin_values(ws, h);
    for (size_t i = 0; i < jc_n_blocks(h) && result == JC_OK; i++) {
        struct jc_place p = jc_place_of(h, i);
        struct jc_symbols found = {ws->narrow, ws->wide};
        uint32_t all = 0;

        for (size_t k = 0; k < p.n; k++) {
            ws->wide[k] = syms[p.first + k];
            ws->narrow[k] = (uint8_t)ws->wide[k];
            all |= ws->wide[k];
        }
        if (all >> h->quantizer.width)
            return JC_BAD_SYMBOL;
        if (h->quantizer.width > 8)
            found.narrow = NULL;
        result = jc_block_values(ws, h, found, jc_trellis_lanes(p.n), 0, p.first, p.n, data);
    }
    return result;
}
