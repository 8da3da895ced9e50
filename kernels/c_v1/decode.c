/*
 * Blocks -> symbols.  Everything that is read here may be hostile.
 *
 * bit_reader:
 *   bytes[ceil(n_bits / 8)]  the payload; the caller has proved that it is there.
 *   n_bits                   how many bits the block declares.
 *   pos                      the next bit.  Invariant outside the fast loop: pos <= n_bits.
 * Every entry of a complete table has length >= 1, so each step consumes bits and the loops
 * end; a table that is not complete is refused before it is used.
 */
#include <string.h>

#include "bits.h"
#include "huffman.h"

#define TABLE_MASK ((1u << JC_MAX_CODE_BITS) - 1)
#define SYMS_PER_LOAD 5
JC_STATIC_ASSERT(SYMS_PER_LOAD * JC_MAX_CODE_BITS <= 64 - 7);
JC_STATIC_ASSERT(JC_MAX_CODE_BITS + 7 <= 24); /* peek reads three bytes */

struct bit_reader {
    const uint8_t *bytes;
    size_t n_bits, pos;
};

struct block {
    unsigned mode;
    const uint8_t *payload;
    size_t n_bits;  /* of the payload */
    size_t n_bytes; /* of the whole block */
};

/* The next 11 bits or more; zeros follow the end. */
static uint32_t peek(const struct bit_reader *r)
{
    size_t first = r->pos / 8, n_bytes = jc_bytes_of_bits(r->n_bits);
    uint32_t window = 0;

    for (unsigned k = 0; k < 3; k++)
        if (first + k < n_bytes)
            window |= (uint32_t)r->bytes[first + k] << (8 * k);
    return window >> (r->pos % 8);
}

/* Reads n_bits <= 11 bits; false at the end. */
static int read_bits(struct bit_reader *r, unsigned n_bits, unsigned *value)
{
    if (n_bits > r->n_bits - r->pos)
        return 0;
    *value = peek(r) & ((1u << n_bits) - 1);
    r->pos += n_bits;
    return 1;
}

/* One table token: `run` symbols of length `len`.  `last` is the length before, 0 if none. */
static enum jc_result read_run(struct bit_reader *r, uint8_t last, uint8_t *len, size_t *run)
{
    static const struct {
        uint8_t n_bits, base;
    } extra[3] = {{2, 3}, {3, 3}, {7, 11}};
    unsigned token, more;

    if (!read_bits(r, 4, &token))
        return JC_BAD_TABLE;
    *len = (uint8_t)token;
    *run = 1;
    if (token <= JC_MAX_CODE_BITS)
        return JC_OK;
    token -= JC_MAX_CODE_BITS + 1;
    if (token >= 3 || (token == 0 && last == 0))
        return JC_BAD_TABLE;
    if (!read_bits(r, extra[token].n_bits, &more))
        return JC_BAD_TABLE;
    *len = token == 0 ? last : 0;
    *run = extra[token].base + more;
    return JC_OK;
}

/* The table ends where its code is complete: the sum of 2^-length is exactly one. */
static enum jc_result read_lens(struct bit_reader *r, size_t n_alphabet, uint8_t *lens)
{
    const uint32_t complete = 1u << JC_MAX_CODE_BITS;
    uint32_t sum = 0;
    size_t s = 0;
    uint8_t len = 0;

    memset(lens, 0, JC_MAX_ALPHABET);
    while (sum < complete) {
        size_t run;

        if (read_run(r, len, &len, &run) != JC_OK || run > n_alphabet - s)
            return JC_BAD_TABLE;
        for (; run; run--) {
            lens[s++] = len;
            sum += len ? complete >> len : 0;
        }
    }
    return sum == complete ? JC_OK : JC_BAD_TABLE;
}

static void fill_table(struct jc_huffman_decoder *ws)
{
    uint16_t entries[JC_MAX_ALPHABET];

    jc_canonical_entries(ws->lens, entries);
    for (unsigned s = 0; s < JC_MAX_ALPHABET; s++) {
        unsigned len = entries[s] & 15;

        if (len)
            for (unsigned i = entries[s] >> 4; i <= TABLE_MASK; i += 1u << len)
                ws->table[i] = (uint16_t)(s << 4 | len);
    }
}

/* Decode n codes and nothing else from the reader. */
static enum jc_result read_codes(const uint16_t *table, struct bit_reader *r, uint8_t *syms,
                                 size_t n)
{
    size_t i = 0, n_bytes = jc_bytes_of_bits(r->n_bits);

    /* Loads stay inside the bytes; up to seven bits of padding may be taken for codes here,
     * which the comparison of pos with n_bits finds. */
    while (n - i >= SYMS_PER_LOAD && r->pos / 8 + 8 <= n_bytes) {
        uint64_t window = jc_load_le64(r->bytes + r->pos / 8) >> (r->pos % 8);

        for (unsigned k = 0; k < SYMS_PER_LOAD; k++) {
            uint16_t entry = table[window & TABLE_MASK];
            unsigned len = entry & 15;

            syms[i++] = (uint8_t)(entry >> 4);
            window >>= len;
            r->pos += len;
        }
    }
    for (; i < n && r->pos <= r->n_bits; i++) {
        uint16_t entry = table[peek(r) & TABLE_MASK];

        syms[i] = (uint8_t)(entry >> 4);
        r->pos += entry & 15;
    }
    return i == n && r->pos == r->n_bits ? JC_OK : JC_BAD_LENGTH;
}

static int padding_is_zero(const uint8_t *bytes, size_t n_bits)
{
    return n_bits % 8 == 0 || bytes[n_bits / 8] >> (n_bits % 8) == 0;
}

static void unpack_raw(const uint8_t *bytes, unsigned width, uint8_t *syms, size_t n)
{
    struct bit_reader r = {bytes, n * width, 0};

    if (width == 8) {
        memcpy(syms, bytes, n);
        return;
    }
    for (size_t i = 0; i < n; i++, r.pos += width)
        syms[i] = (uint8_t)(peek(&r) & ((1u << width) - 1));
}

/*
 * Spread the groups that lie at the end of @syms[n] over all of it.  A group is read before
 * its own place is written: group i lies at n - n_groups + i >= i * per_group, and every
 * group before the last ends at or before the next unread one.
 */
static int spread_groups(uint8_t *syms, size_t n, unsigned width)
{
    unsigned per_group = jc_group_syms(width), mask = (1u << width) - 1, group = 0;
    size_t n_groups = n / per_group + (n % per_group != 0);
    const uint8_t *next = syms + (n - n_groups);

    for (size_t i = 0; i < n; i++, group >>= width) {
        if (i % per_group == 0)
            group = *next++;
        syms[i] = (uint8_t)(group & mask);
    }
    return group == 0; /* what lies above the last symbol */
}

static enum jc_result decode_codes(struct jc_huffman_decoder *ws, const struct block *block,
                                   unsigned width, uint8_t *syms, size_t n)
{
    unsigned per_group = block->mode == JC_GROUPED ? jc_group_syms(width) : 1;
    size_t n_codes = n / per_group + (n % per_group != 0);
    struct bit_reader r = {block->payload, block->n_bits, 0};
    enum jc_result result = read_lens(&r, (size_t)1 << (width * per_group), ws->lens);

    if (result != JC_OK)
        return result;
    fill_table(ws);
    result = read_codes(ws->table, &r, syms + (n - n_codes), n_codes);
    if (result != JC_OK)
        return result;
    if (per_group > 1 && !spread_groups(syms, n, width))
        return JC_BAD_PADDING;
    return JC_OK;
}

/* Where a block of n symbols lies in @src[size], from its first bytes. */
static enum jc_result read_extent(const uint8_t *src, size_t size, unsigned width, size_t n,
                                  struct block *block)
{
    size_t n_header = 1;

    if (size < 1)
        return JC_TRUNCATED;
    block->mode = src[0] >> 1;
    if (src[0] != jc_mode_byte(block->mode))
        return JC_UNKNOWN_MODE;
    switch (block->mode) {
    case JC_RAW:
        block->n_bits = n * width;
        break;
    case JC_CONSTANT:
        block->n_bits = 8;
        break;
    case JC_GROUPED:
        if (jc_group_syms(width) < 2)
            return JC_UNKNOWN_MODE;
        /* fall through */
    case JC_HUFFMAN:
        n_header = 4;
        if (size < n_header)
            return JC_TRUNCATED;
        block->n_bits = (size_t)src[1] | (size_t)src[2] << 8 | (size_t)src[3] << 16;
        break;
    default:
        return JC_UNKNOWN_MODE;
    }
    if (size - n_header < jc_bytes_of_bits(block->n_bits))
        return JC_TRUNCATED;
    block->payload = src + n_header;
    block->n_bytes = n_header + jc_bytes_of_bits(block->n_bits);
    return JC_OK;
}

static enum jc_result decode_block(struct jc_huffman_decoder *ws, const struct block *block,
                                   unsigned width, uint8_t *syms, size_t n)
{
    if (!padding_is_zero(block->payload, block->n_bits))
        return JC_BAD_PADDING;
    switch (block->mode) {
    case JC_RAW:
        unpack_raw(block->payload, width, syms, n);
        return JC_OK;
    case JC_CONSTANT:
        if (block->payload[0] >> width != 0)
            return JC_BAD_SYMBOL;
        memset(syms, block->payload[0], n);
        return JC_OK;
    default:
        return decode_codes(ws, block, width, syms, n);
    }
}

enum jc_result jc_huffman_decode(struct jc_huffman_decoder *ws, const uint8_t *src,
                                 size_t src_size, unsigned width, uint8_t *syms,
                                 size_t n_syms, size_t *src_used)
{
    size_t at = 0;

    *src_used = 0;
    if (width < 1 || width > 8)
        return JC_BAD_WIDTH;
    while (n_syms) {
        size_t n = n_syms < JC_BLOCK_SYMS ? n_syms : JC_BLOCK_SYMS;
        struct block block;
        enum jc_result result = read_extent(src + at, src_size - at, width, n, &block);

        if (result == JC_OK)
            result = decode_block(ws, &block, width, syms, n);
        if (result != JC_OK)
            return result;
        at += block.n_bytes;
        *src_used = at;
        syms += n;
        n_syms -= n;
    }
    return JC_OK;
}

enum jc_result jc_huffman_scan(const uint8_t *src, size_t src_size, unsigned width,
                               size_t n_syms, size_t block_counts[JC_N_MODES],
                               size_t *src_used)
{
    size_t at = 0;

    *src_used = 0;
    memset(block_counts, 0, JC_N_MODES * sizeof(block_counts[0]));
    if (width < 1 || width > 8)
        return JC_BAD_WIDTH;
    while (n_syms) {
        size_t n = n_syms < JC_BLOCK_SYMS ? n_syms : JC_BLOCK_SYMS;
        struct block block;
        enum jc_result result = read_extent(src + at, src_size - at, width, n, &block);

        if (result != JC_OK)
            return result;
        block_counts[block.mode]++;
        at += block.n_bytes;
        *src_used = at;
        n_syms -= n;
    }
    return JC_OK;
}
