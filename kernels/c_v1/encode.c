/*
 * Symbols -> blocks: price every mode, write the cheapest.
 *
 * bit_writer:
 *   acc     bits not yet stored, the first one lowest; those above n_acc are zero.
 *   n_acc   how many; at most 7 after flush, at most 63 before it.
 *   next    where they go; end is the end of the caller's buffer.
 * Sizes are known before anything is written, so put and flush need no error path.  They stop
 * at the end all the same: symbols that another thread changes meanwhile give a wrong stream,
 * not a write out of bounds.
 */
#include <string.h>

#include "bits.h"
#include "huffman.h"

#define SYMS_PER_FLUSH 4
JC_STATIC_ASSERT(7 + SYMS_PER_FLUSH * JC_MAX_CODE_BITS <= 63);

#define NO_CODE SIZE_MAX
#define HUFFMAN_HEADER_BYTES 4

/* Tokens of a written table: 0..11 is a length; the others are followed by extra bits. */
enum { REPEAT_LENGTH = 12, FEW_ZEROS = 13, MANY_ZEROS = 14 };

struct bit_writer {
    uint64_t acc;
    unsigned n_acc;
    uint8_t *next, *end;
};

static void put(struct bit_writer *w, uint32_t value, unsigned n_bits)
{
    w->acc |= (uint64_t)value << w->n_acc;
    w->n_acc += n_bits;
}

static void flush(struct bit_writer *w)
{
    if (w->end - w->next >= 8) {
        jc_store_le64(w->next, w->acc); /* bytes past the block are written again later */
        w->next += w->n_acc >> 3;
        w->acc >>= w->n_acc & ~7u;
        w->n_acc &= 7;
        return;
    }
    for (; w->n_acc >= 8; w->n_acc -= 8, w->acc >>= 8)
        if (w->next < w->end)
            *w->next++ = (uint8_t)w->acc;
}

static uint8_t *finish(struct bit_writer *w)
{
    flush(w);
    if (w->n_acc && w->next < w->end)
        *w->next++ = (uint8_t)w->acc;
    return w->next;
}

static void put_token(struct jc_code *code, unsigned token, size_t extra, unsigned n_extra)
{
    code->tokens[code->n_tokens++] =
        (uint16_t)(token | extra << 4 | (size_t)(4 + n_extra) << 12);
    code->n_bits += 4 + n_extra;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Describe the lengths up to the last symbol that occurs; greedy, so there is one answer. */
static void write_table(struct jc_code *code)
{
    size_t n = JC_MAX_ALPHABET, run;

    while (code->lens[n - 1] == 0)
        n--;
    for (size_t s = 0; s < n; s += run) {
        uint8_t len = code->lens[s];
        size_t left, step;

        for (run = 1; s + run < n && code->lens[s + run] == len; run++)
            ;
        left = run;
        if (len) {
            put_token(code, len, 0, 0);
            left--;
        }
        for (; left; left -= step) {
            step = 1;
            if (len && left >= 3) {
                step = smaller(left, 6);
                put_token(code, REPEAT_LENGTH, step - 3, 2);
            } else if (!len && left >= 11) {
                step = smaller(left, 138);
                put_token(code, MANY_ZEROS, step - 11, 7);
            } else if (!len && left >= 3) {
                step = smaller(left, 10);
                put_token(code, FEW_ZEROS, step - 3, 3);
            } else {
                put_token(code, len, 0, 0);
            }
        }
    }
}

/* The best code for `counts` and its price in bits. */
static void build_code(struct jc_huffman_encoder *ws, struct jc_code *code)
{
    code->n_tokens = 0;
    code->n_bits = 0;
    if (jc_code_lengths(&ws->merge, ws->counts, code->lens) < 2) {
        code->n_bits = NO_CODE;
        return;
    }
    write_table(code);
    for (unsigned s = 0; s < JC_MAX_ALPHABET; s++)
        code->n_bits += (size_t)ws->counts[s] * code->lens[s];
}

static size_t price_bytes(const struct jc_code *code)
{
    return code->n_bits == NO_CODE ? NO_CODE
                                   : HUFFMAN_HEADER_BYTES + jc_bytes_of_bits(code->n_bits);
}

static size_t pack_groups(const uint8_t *syms, size_t n, unsigned width, uint8_t *groups)
{
    unsigned per_group = jc_group_syms(width);
    size_t n_groups = 0;

    for (size_t i = 0; i < n; i += per_group) {
        unsigned group = 0;

        for (unsigned k = 0; k < per_group && i + k < n; k++)
            group |= (unsigned)syms[i + k] << (k * width);
        groups[n_groups++] = (uint8_t)group;
    }
    return n_groups;
}

static uint8_t *write_raw(struct bit_writer *w, const uint8_t *syms, size_t n, unsigned width)
{
    *w->next++ = jc_mode_byte(JC_RAW);
    if (width == 8) {
        memcpy(w->next, syms, n);
        return w->next + n;
    }
    for (size_t i = 0; i < n; i++) {
        put(w, syms[i], width);
        flush(w);
    }
    return finish(w);
}

static uint8_t *write_codes(struct jc_huffman_encoder *ws, struct bit_writer *w,
                            enum jc_mode mode, const struct jc_code *code,
                            const uint8_t *syms, size_t n)
{
    size_t i = 0;

    *w->next++ = jc_mode_byte(mode);
    for (unsigned shift = 0; shift < 24; shift += 8)
        *w->next++ = (uint8_t)(code->n_bits >> shift);
    for (size_t t = 0; t < code->n_tokens; t++) {
        put(w, code->tokens[t] & 0xfff, code->tokens[t] >> 12);
        flush(w);
    }

    jc_canonical_entries(code->lens, ws->entries);
    for (; n - i >= SYMS_PER_FLUSH; i += SYMS_PER_FLUSH) {
        for (unsigned k = 0; k < SYMS_PER_FLUSH; k++) {
            uint16_t entry = ws->entries[syms[i + k]];
            put(w, (uint32_t)entry >> 4, entry & 15);
        }
        flush(w);
    }
    for (; i < n; i++) {
        uint16_t entry = ws->entries[syms[i]];
        put(w, (uint32_t)entry >> 4, entry & 15);
        flush(w);
    }
    return finish(w);
}

/* Longest table (256 tokens of 11 bits) and codes: the declared size fits in 24 bits. */
JC_STATIC_ASSERT(JC_MAX_ALPHABET * 11 + JC_BLOCK_SYMS * JC_MAX_CODE_BITS < 1 << 24);
JC_STATIC_ASSERT(JC_BLOCK_SYMS % 8 == 0); /* groups and bytes never straddle blocks */

/* Encode one block of n > 0 symbols. */
static enum jc_result encode_block(struct jc_huffman_encoder *ws, const uint8_t *syms,
                                   size_t n, unsigned width, unsigned modes,
                                   struct bit_writer *w)
{
    size_t room = (size_t)(w->end - w->next), n_groups = 0;
    size_t best_bytes = 1 + jc_bytes_of_bits(n * width);
    enum jc_mode best = JC_RAW;

    jc_histogram(syms, n, ws->counts);
    for (unsigned s = 1u << width; s < JC_MAX_ALPHABET; s++)
        if (ws->counts[s])
            return JC_BAD_SYMBOL;
    if (room < best_bytes)
        return JC_SHORT_DST;

    if (modes >> JC_CONSTANT & 1 && ws->counts[syms[0]] == n) {
        w->next[0] = jc_mode_byte(JC_CONSTANT);
        w->next[1] = syms[0];
        w->next += 2;
        return JC_OK;
    }
    if (modes >> JC_HUFFMAN & 1) {
        build_code(ws, &ws->plain);
        if (price_bytes(&ws->plain) < best_bytes) {
            best_bytes = price_bytes(&ws->plain);
            best = JC_HUFFMAN;
        }
    }
    if (modes >> JC_GROUPED & 1 && jc_group_syms(width) > 1) {
        n_groups = pack_groups(syms, n, width, ws->groups);
        jc_histogram(ws->groups, n_groups, ws->counts);
        build_code(ws, &ws->grouped);
        if (price_bytes(&ws->grouped) < best_bytes)
            best = JC_GROUPED;
    }
    if (best == JC_HUFFMAN)
        w->next = write_codes(ws, w, best, &ws->plain, syms, n);
    else if (best == JC_GROUPED)
        w->next = write_codes(ws, w, best, &ws->grouped, ws->groups, n_groups);
    else
        w->next = write_raw(w, syms, n, width);
    return JC_OK;
}

size_t jc_huffman_bound(size_t n_syms, unsigned width)
{
    size_t n_blocks = n_syms / JC_BLOCK_SYMS + (n_syms % JC_BLOCK_SYMS != 0);

    if (width < 1 || width > 8 || n_syms > SIZE_MAX / 8 - n_blocks)
        return 0;
    return n_blocks + jc_bytes_of_bits(n_syms * width);
}

enum jc_result jc_huffman_encode(struct jc_huffman_encoder *ws, const uint8_t *syms,
                                 size_t n_syms, unsigned width, unsigned modes, uint8_t *dst,
                                 size_t dst_size, size_t *dst_used)
{
    uint8_t *next = dst;

    if (width < 1 || width > 8)
        return JC_BAD_WIDTH;
    while (n_syms) {
        size_t n = smaller(n_syms, JC_BLOCK_SYMS);
        struct bit_writer w = {0, 0, next, dst + dst_size};
        enum jc_result result = encode_block(ws, syms, n, width, modes, &w);

        if (result != JC_OK)
            return result;
        next = w.next;
        syms += n;
        n_syms -= n;
    }
    *dst_used = (size_t)(next - dst);
    return JC_OK;
}
