/*
 * Static tables: what blocks may refer to instead of carrying a table; docs/bitstream.md, "Static tables".
 *
 * Trained on the symbols of calibration tensors, counted block by block as the encoder would see them.
 * Every symbol that fits in the width is counted at least once, so that the tables can code all.
 */
#include "block.h"

#define MAGIC 0x1a53434au /* "JCS", end of file */
#define VERSION 2
#define PREFIX_BYTES 6
#define SUM_BYTES 4
#define MAX_COUNTED (1u << 24) /* what jc_code_lengths takes */

static size_t n_alphabet(unsigned mode, unsigned width)
{
    return (size_t)1 << (mode == JC_PACKED ? width * jc_group_symbols(width) : width);
}

static int can_use(unsigned mode, unsigned width)
{
    if (width < 1 || width > 16)
        return 0;
    return width <= (mode == JC_HUFFMAN ? 8 : mode == JC_PACKED ? JC_MAX_GROUP_WIDTH : 16);
}

/* ---- reading ---- */

/* One table of size bytes, padding included. */
static enum jc_result read_table(const uint8_t *src, size_t size, unsigned mode,
                                 struct jc_tables *tables)
{
    struct jc_bit_reader r = {src, size, 0};
    unsigned width = tables->width[mode], unions = tables->unions[mode];
    enum jc_result result;

    if (mode == JC_CONTEXT_PREFIX)
        result = jc_read_context_prefix_table(&r, unions, width, &tables->models[0]);
    else if (mode == JC_CONTEXT_ANS)
        result = jc_read_context_ans_table(&r, unions, width, &tables->models[1]);
    else
        result = jc_read_code_table(&r, n_alphabet(mode, width), tables->lens[mode]);
    if (result != JC_OK)
        return result;
    if (!jc_skip_padding(&r))
        return JC_BAD_PADDING;
    return r.pos == 8 * size ? JC_OK : JC_BAD_LENGTH;
}

/* One entry at *at; the end of the entries is `size`. */
static enum jc_result read_entry(const uint8_t *src, size_t size, size_t *at, unsigned *last,
                                 struct jc_tables *tables)
{
    unsigned mode, width, unions;
    uint32_t bytes = 0;
    size_t used = 0;
    enum jc_result result;

    if (size - *at < 3)
        return JC_TRUNCATED;
    mode = src[*at];
    width = src[*at + 1];
    unions = src[*at + 2];
    if (mode < JC_HUFFMAN || mode <= *last || mode >= JC_N_MODES || !can_use(mode, width) ||
        unions < 1 || unions > JC_N_UNIONS)
        return JC_BAD_HEADER;
    *at += 3;
    result = jc_read_varint(src + *at, size - *at, &bytes, &used);
    if (result != JC_OK)
        return result;
    *at += used;
    if (size - *at < bytes)
        return JC_TRUNCATED;
    tables->has[mode] = 1;
    tables->width[mode] = (uint8_t)width;
    tables->unions[mode] = (uint8_t)unions;
    *last = mode;
    result = read_table(src + *at, bytes, mode, tables);
    *at += bytes;
    return result;
}

enum jc_result jc_read_tables(const uint8_t *src, size_t size, struct jc_tables *tables)
{
    size_t at = PREFIX_BYTES, end;
    unsigned last = 0;

    memset(tables, 0, sizeof *tables);
    if (size < PREFIX_BYTES + SUM_BYTES)
        return JC_TRUNCATED;
    end = size - SUM_BYTES;
    if (jc_load_le32(src) != MAGIC)
        return JC_BAD_MAGIC;
    if (src[4] != VERSION)
        return JC_BAD_VERSION;
    if (!jc_sum_fits(jc_xxh32(src, end), jc_load_le32(src + end)))
        return JC_BAD_CHECKSUM;
    for (unsigned i = 0; i < src[5]; i++) {
        enum jc_result result = read_entry(src, end, &at, &last, tables);

        if (result != JC_OK)
            return result;
    }
    if (at != end)
        return JC_TRAILING;
    tables->sum = jc_load_le32(src + end);
    return JC_OK;
}

/* ---- training ---- */

void jc_tables_begin(void *memory, struct jc_trainer *trainer, const struct jc_header *h)
{
    struct jc_workspace *ws = jc_bind_workspace(memory, &h->quantizer, h->block_log2);

    memset(trainer, 0, sizeof *trainer);
    jc_context_begin(ws->context_encoder);
}

static void count_codes(struct jc_workspace *ws, struct jc_trainer *trainer, unsigned width,
                        size_t n)
{
    uint32_t counts[JC_MAX_ALPHABET];

    jc_histogram(ws->narrow, n, counts);
    for (unsigned s = 0; s < JC_MAX_ALPHABET; s++)
        trainer->counts[0][s] += counts[s];
    if (width > JC_MAX_GROUP_WIDTH)
        return;
    jc_pack_groups(ws->narrow, n, width, ws->codes);
    jc_histogram(ws->codes, jc_group_count(n, width), counts);
    for (unsigned s = 0; s < JC_MAX_ALPHABET; s++)
        trainer->counts[1][s] += counts[s];
}

enum jc_result jc_tables_add(void *memory, struct jc_trainer *trainer, struct jc_header *h,
                             const struct jc_rates *rates, const void *data)
{
    struct jc_workspace *ws = jc_bind_workspace(memory, &h->quantizer, h->block_log2);
    enum jc_result result = jc_complete_header(h);

    if (result == JC_OK)
        result = jc_begin_symbols(ws, h, rates);
    for (size_t i = 0; result == JC_OK && i < jc_n_blocks(h); i++) {
        struct jc_place p = jc_place_of(h, i);
        struct jc_symbols syms;
        struct jc_layout layout;

        result = jc_block_symbols(ws, h, rates, data, p.plane, p.first, p.n, &syms);
        if (result != JC_OK)
            return result;
        if (syms.narrow)
            count_codes(ws, trainer, h->quantizer.width, p.n);
        syms.wide = jc_make_wide(ws, syms, p.n);
        layout = jc_layout_of(h, p.n, jc_block_lanes(h, syms.wide, p.n));
        jc_context_add(ws->context_encoder, &layout, syms.wide);
    }
    return result;
}

/* Lengths for the counts of n symbols, each at least once, made smaller until they can be added. */
static void static_lens(struct jc_merge *merge, const uint64_t counts[JC_MAX_ALPHABET], size_t n,
                        uint8_t lens[JC_MAX_ALPHABET])
{
    uint64_t scaled[JC_MAX_ALPHABET] = {0}, total;
    uint32_t small[JC_MAX_ALPHABET];

    for (size_t s = 0; s < n; s++)
        scaled[s] = counts[s] ? counts[s] : 1;
    for (;;) {
        total = 0;
        for (size_t s = 0; s < n; s++)
            total += scaled[s];
        if (total < MAX_COUNTED)
            break;
        for (size_t s = 0; s < n; s++)
            scaled[s] -= scaled[s] / 2;
    }
    for (size_t s = 0; s < JC_MAX_ALPHABET; s++)
        small[s] = (uint32_t)scaled[s];
    jc_code_lengths(merge, small, lens);
}

/* The table of a mode, padded; its bytes. */
static size_t write_table(struct jc_workspace *ws, const struct jc_trainer *trainer,
                          const struct jc_header *h, unsigned mode, uint8_t *dst, size_t room)
{
    struct jc_bit_writer w = {dst, room, 0};
    unsigned unions = jc_n_unions(h), width = h->quantizer.width;
    uint8_t lens[JC_MAX_ALPHABET];

    if (mode == JC_CONTEXT_PREFIX) {
        jc_write_context_prefix_table(&w, &ws->models[0], unions);
    } else if (mode == JC_CONTEXT_ANS) {
        jc_write_context_ans_table(&w, &ws->models[1], unions);
    } else {
        static_lens(&ws->merge, trainer->counts[mode - JC_HUFFMAN], n_alphabet(mode, width), lens);
        jc_write_code_table(&w, lens);
    }
    return jc_bytes_of_bits(w.n_bits);
}

enum jc_result jc_tables_finish(void *memory, struct jc_trainer *trainer,
                                const struct jc_header *h, unsigned modes, uint8_t *dst,
                                size_t capacity, size_t *used)
{
    struct jc_workspace *ws = jc_bind_workspace(memory, &h->quantizer, h->block_log2);
    unsigned width = h->quantizer.width;
    size_t at = PREFIX_BYTES;

    if (capacity < PREFIX_BYTES + SUM_BYTES)
        return JC_SHORT_DST;
    jc_store_le32(dst, MAGIC);
    dst[4] = VERSION;
    dst[5] = 0;
    jc_context_build_static(ws->context_encoder, width, jc_n_unions(h), &ws->models[0],
                            &ws->models[1]);
    for (unsigned mode = JC_HUFFMAN; mode < JC_N_MODES; mode++) {
        size_t bytes;

        if (!(modes >> mode & 1) || !can_use(mode, width))
            continue;
        bytes = write_table(ws, trainer, h, mode, ws->spare, (size_t)2 << h->block_log2);
        if (capacity - at < 3 + 5 + bytes + SUM_BYTES)
            return JC_SHORT_DST;
        dst[5]++;
        dst[at++] = (uint8_t)mode;
        dst[at++] = (uint8_t)width;
        dst[at++] = (uint8_t)jc_n_unions(h);
        at += jc_write_varint(dst + at, (uint32_t)bytes);
        memcpy(dst + at, ws->spare, bytes);
        at += bytes;
    }
    jc_store_le32(dst + at, jc_xxh32(dst, at));
    *used = at + SUM_BYTES;
    return JC_OK;
}
