/*
 * Counts -> code lengths -> canonical codes, and the table that tells the lengths.
 *
 * Package-merge, with the words of the paper: a coin is either a leaf (one symbol) or a
 * package (two neighbouring coins of the level below).  Level 0 holds the longest codes.
 *   leaves[n]        count << 8 | symbol, ascending, so that ties have one answer.
 *   weights[level&1] the coins of a level, ascending; a leaf goes before an equal package.
 *   is_leaf[level]   which of them are leaves.
 * Invariant: a level has fewer than 2n coins.
 */
#include "huffman.h"

JC_STATIC_ASSERT(1 << JC_MAX_CODE_BITS >= JC_MAX_ALPHABET); /* a code always exists */
/* A count (< 2^24) and its symbol share a leaf; the heaviest coin is all counts on all levels. */
JC_STATIC_ASSERT((UINT64_C(1) << 24) * JC_MAX_CODE_BITS < UINT32_MAX);

/* Tokens of a written table: 0..11 is a length; the others are followed by extra bits. */
enum { REPEAT_LENGTH = 12, FEW_ZEROS = 13, MANY_ZEROS = 14 };
#define MAX_TOKEN_BITS 11
/* Longest table: a token of 4 bits for each symbol; tokens with more bits stand for 3 or more. */
#define MAX_TABLE_BYTES (JC_MAX_ALPHABET / 2)

void jc_stream_histograms(const uint8_t *syms, size_t n,
                          uint32_t counts[JC_HUFFMAN_STREAMS][JC_MAX_ALPHABET])
{
    size_t segment = jc_huffman_segment(n), last = n, i = 0;

    memset(counts, 0, sizeof(counts[0]) * JC_HUFFMAN_STREAMS);
    if (segment < n) {
        last = n - (JC_HUFFMAN_STREAMS - 1) * segment;
        /* All segments at once: equal neighbours would wait for each other's store. */
        for (; last - i >= 8; i += 8) {
            uint64_t next[JC_HUFFMAN_STREAMS];

            for (unsigned k = 0; k < JC_HUFFMAN_STREAMS; k++)
                next[k] = jc_load_le64(syms + k * segment + i);
#pragma GCC unroll 8
            for (unsigned shift = 0; shift < 64; shift += 8)
#pragma GCC unroll 6
                for (unsigned k = 0; k < JC_HUFFMAN_STREAMS; k++)
                    counts[k][next[k] >> shift & 0xff]++;
        }
        for (unsigned k = 0; k + 1 < JC_HUFFMAN_STREAMS; k++)
            for (size_t j = i; j < segment; j++)
                counts[k][syms[k * segment + j]]++;
        counts += JC_HUFFMAN_STREAMS - 1;
        syms += (JC_HUFFMAN_STREAMS - 1) * segment;
    }
    for (; i < last; i++)
        counts[0][syms[i]]++;
}

void jc_sum_histograms(const uint32_t counts[JC_HUFFMAN_STREAMS][JC_MAX_ALPHABET],
                       uint32_t sums[JC_MAX_ALPHABET])
{
    for (unsigned s = 0; s < JC_MAX_ALPHABET; s++) {
        uint32_t sum = 0;

        for (unsigned k = 0; k < JC_HUFFMAN_STREAMS; k++)
            sum += counts[k][s];
        sums[s] = sum;
    }
}

void jc_histogram(const uint8_t *syms, size_t n, uint32_t counts[JC_MAX_ALPHABET])
{
    uint32_t parts[JC_HUFFMAN_STREAMS][JC_MAX_ALPHABET];

    jc_stream_histograms(syms, n, parts);
    jc_sum_histograms((const uint32_t(*)[JC_MAX_ALPHABET])parts, counts);
}

/* Sort keys[n] by their bits 8..31, without changing the order of equal ones; `spare` has the
 * same room.  Three radix passes at most, of bytes that occur. */
static void sort_by_count(uint32_t *keys, uint32_t *spare, size_t n)
{
    uint32_t *from = keys, *to = spare, used = 0;

    for (size_t i = 0; i < n; i++)
        used |= keys[i];
    for (unsigned shift = 8; shift < 32 && used >> shift; shift += 8) {
        uint32_t *swap = from;
        uint16_t at[256] = {0};
        unsigned sum = 0;

        for (size_t i = 0; i < n; i++)
            at[from[i] >> shift & 0xff]++;
        for (unsigned digit = 0; digit < 256; digit++) {
            unsigned start = sum;

            sum += at[digit];
            at[digit] = (uint16_t)start;
        }
        for (size_t i = 0; i < n; i++)
            to[at[from[i] >> shift & 0xff]++] = from[i];
        from = to;
        to = swap;
    }
    if (from != keys)
        memcpy(keys, from, n * sizeof(keys[0]));
}

/*
 * Merge the n leaves with the packages of the n_below coins below; returns the coins.
 *
 * From both ends at once, since each step waits for the one before.  There are fewer than 2n coins,
 * so neither end runs out of leaves; for packages there are sentinels, lighter and heavier than all.
 */
static size_t merge_level(struct jc_merge *ws, unsigned level, size_t n, size_t n_below)
{
    uint32_t *packages = ws->weights[(level & 1) ^ 1], *coins = ws->weights[level & 1];
    size_t n_packages = n_below / 2, n_coins = n + n_packages;
    size_t leaf = 0, last_leaf = n - 1, last_package = n_packages;
    uint8_t *is_leaf = ws->is_leaf[level];

    for (size_t j = 0; j < n_packages; j++) /* in their own place, one up */
        packages[j + 1] = packages[2 * j] + packages[2 * j + 1];
    packages[0] = 0;
    packages[n_packages + 1] = UINT32_MAX;
    for (size_t i = 0, last = n_coins - 1; i <= last; i++, last--) {
        uint32_t light = ws->leaves[leaf] >> 8, heavy = ws->leaves[last_leaf] >> 8;
        uint32_t package = packages[i - leaf + 1], heavy_package = packages[last_package];
        unsigned light_is_leaf = light <= package, heavy_is_leaf = heavy > heavy_package;

        coins[last] = heavy_is_leaf ? heavy : heavy_package;
        is_leaf[last] = (uint8_t)heavy_is_leaf;
        last_leaf -= heavy_is_leaf;
        last_package -= !heavy_is_leaf;
        coins[i] = light_is_leaf ? light : package; /* the same coin again where both ends meet */
        is_leaf[i] = (uint8_t)light_is_leaf;
        leaf += light_is_leaf;
    }
    return n_coins;
}

/* How many of n < 1024 bytes are 1; the others are 0. */
static size_t count_ones(const uint8_t *bytes, size_t n)
{
    const uint64_t even = UINT64_C(0x00ff00ff00ff00ff);
    uint64_t sums = 0; /* of each eighth byte */
    size_t i = 0, rest = 0;

    for (; n - i >= 8; i += 8)
        sums += jc_load_le64(bytes + i);
    for (; i < n; i++)
        rest += bytes[i];
    sums = (sums & even) + (sums >> 8 & even);
    return rest + (size_t)(sums * UINT64_C(0x0001000100010001) >> 48);
}

size_t jc_code_lengths(struct jc_merge *ws, const uint32_t counts[JC_MAX_ALPHABET],
                       uint8_t lens[JC_MAX_ALPHABET])
{
    size_t n = 0, n_coins = 0;

    memset(lens, 0, JC_MAX_ALPHABET);
    for (uint32_t s = 0; s < JC_MAX_ALPHABET; s++)
        if (counts[s])
            ws->leaves[n++] = counts[s] << 8 | s;
    if (n < 2)
        return n;
    sort_by_count(ws->leaves, ws->weights[0], n);

    for (unsigned level = 0; level < JC_MAX_CODE_BITS; level++)
        n_coins = merge_level(ws, level, n, n_coins);

    /* Buy the 2n - 2 lightest coins; each package bought buys two coins below.  The leaves bought
     * of a level are its lightest ones, and each makes a code longer. */
    size_t bought = 2 * n - 2;
    uint8_t n_levels[JC_MAX_ALPHABET + 1] = {0}; /* that buy exactly so many leaves */
    for (unsigned level = JC_MAX_CODE_BITS; level-- > 0;) {
        size_t n_leaves = count_ones(ws->is_leaf[level], bought);

        n_levels[n_leaves]++;
        bought = 2 * (bought - n_leaves);
    }
    uint8_t len = 0;
    for (size_t i = n; i-- > 0;) {
        len = (uint8_t)(len + n_levels[i + 1]);
        lens[ws->leaves[i] & 0xff] = len;
    }
    return n;
}

static uint32_t reverse16(uint32_t x)
{
    x = (x & 0x5555) << 1 | (x >> 1 & 0x5555);
    x = (x & 0x3333) << 2 | (x >> 2 & 0x3333);
    x = (x & 0x0f0f) << 4 | (x >> 4 & 0x0f0f);
    return (x & 0x00ff) << 8 | x >> 8;
}

void jc_canonical_entries(const uint8_t lens[JC_MAX_ALPHABET], uint16_t entries[JC_MAX_ALPHABET])
{
    uint32_t next[JC_MAX_CODE_BITS + 1] = {0};
    uint32_t n_of_len[JC_MAX_CODE_BITS + 1] = {0};

    for (unsigned first = 0; first < JC_MAX_ALPHABET; first += 8)
        if (jc_load_le64(lens + first) != 0) /* many alphabets are sparse */
            for (unsigned s = first; s < first + 8; s++)
                n_of_len[lens[s]]++;
    n_of_len[0] = 0;
    for (unsigned len = 1; len <= JC_MAX_CODE_BITS; len++)
        next[len] = (next[len - 1] + n_of_len[len - 1]) << 1;

    memset(entries, 0, JC_MAX_ALPHABET * sizeof(entries[0]));
    for (unsigned first = 0; first < JC_MAX_ALPHABET; first += 8) {
        if (jc_load_le64(lens + first) == 0)
            continue;
        for (unsigned s = first; s < first + 8; s++) {
            unsigned len = lens[s];

            if (len)
                entries[s] = (uint16_t)(reverse16(next[len]++) >> (16 - len) << 4 | len);
        }
    }
}

/*
 * The written table on its way:
 *   bytes[used]  whole bytes; four more may be scribbled on.
 *   acc, n_acc   bits not yet there, at most 7 between tokens.
 */
struct token_writer {
    uint8_t bytes[MAX_TABLE_BYTES + 8];
    size_t used;
    uint32_t acc;
    unsigned n_acc;
};
JC_STATIC_ASSERT(7 + MAX_TOKEN_BITS <= 32);

static void put_token(struct token_writer *w, unsigned token, size_t extra, unsigned n_extra)
{
    w->acc |= (token | (uint32_t)extra << 4) << w->n_acc;
    w->n_acc += 4 + n_extra;
    jc_store_le32(w->bytes + w->used, w->acc);
    w->used += w->n_acc / 8;
    w->acc >>= w->n_acc & ~7u;
    w->n_acc &= 7;
}

/* `left` more symbols of the length before (0: without a code); greedy, so there is one answer. */
static void put_run(struct token_writer *w, uint8_t len, size_t left)
{
    size_t step;

    for (; left; left -= step) {
        step = 1;
        if (len && left >= 3) {
            step = left < 6 ? left : 6;
            put_token(w, REPEAT_LENGTH, step - 3, 2);
        } else if (!len && left >= 11) {
            step = left < 138 ? left : 138;
            put_token(w, MANY_ZEROS, step - 11, 7);
        } else if (!len && left >= 3) {
            step = left < 10 ? left : 10;
            put_token(w, FEW_ZEROS, step - 3, 3);
        } else {
            put_token(w, len, 0, 0);
        }
    }
}

/* Describe the lengths up to the last symbol that has a code; returns the bits. */
static size_t describe(struct token_writer *w, const uint8_t lens[JC_MAX_ALPHABET])
{
    size_t n = JC_MAX_ALPHABET, run;

    w->used = 0;
    w->acc = 0;
    w->n_acc = 0;
    while (n > 0 && lens[n - 1] == 0)
        n--;
    for (size_t s = 0; s < n; s += run) {
        for (run = 1; s + run < n && lens[s + run] == lens[s]; run++)
            ;
        if (lens[s])
            put_token(w, lens[s], 0, 0);
        put_run(w, lens[s], lens[s] ? run - 1 : run);
    }
    return 8 * w->used + w->n_acc;
}

size_t jc_code_table_bits(const uint8_t lens[JC_MAX_ALPHABET])
{
    struct token_writer tokens;

    return describe(&tokens, lens);
}

void jc_write_code_table(struct jc_bit_writer *w, const uint8_t lens[JC_MAX_ALPHABET])
{
    struct token_writer tokens;
    size_t n_bits = describe(&tokens, lens), n_bytes = tokens.used;

    if (w->n_bits % 8 == 0 && w->n_bits / 8 <= w->capacity &&
        n_bytes <= w->capacity - w->n_bits / 8) {
        memcpy(w->bytes + w->n_bits / 8, tokens.bytes, n_bytes);
        w->n_bits += 8 * n_bytes;
    } else {
        for (size_t i = 0; i < n_bytes; i++)
            jc_put_bits(w, tokens.bytes[i], 8);
    }
    jc_put_bits(w, tokens.acc, (unsigned)(n_bits % 8));
}

/* The next MAX_TOKEN_BITS bits or more; zeros follow the end. */
static uint32_t peek(const struct jc_bit_reader *r)
{
    size_t first = r->pos / 8;
    uint32_t window = 0;

    for (unsigned k = 0; k < 3; k++)
        if (first + k < r->size)
            window |= (uint32_t)r->bytes[first + k] << 8 * k;
    return window >> r->pos % 8;
}
JC_STATIC_ASSERT(7 + MAX_TOKEN_BITS <= 24);

enum jc_result jc_read_code_table(struct jc_bit_reader *r, size_t n_alphabet,
                                  uint8_t lens[JC_MAX_ALPHABET])
{
    static const struct {
        uint8_t n_bits, base;
    } extra[16] = {
        [REPEAT_LENGTH] = {2, 3}, [FEW_ZEROS] = {3, 3}, [MANY_ZEROS] = {7, 11},
    };
    const uint32_t complete = 1u << JC_MAX_CODE_BITS;
    uint32_t sum = 0;
    uint8_t len = 0;

    memset(lens, 0, JC_MAX_ALPHABET);
    for (size_t s = 0; sum < complete;) {
        uint32_t window = peek(r), token = window & 15;
        size_t n_bits = 4u + extra[token].n_bits, run = 1;

        if (n_bits > 8 * r->size - r->pos || token > MANY_ZEROS)
            return JC_BAD_TABLE;
        r->pos += n_bits;
        if (token > JC_MAX_CODE_BITS)
            run = extra[token].base + (window >> 4 & ((1u << extra[token].n_bits) - 1));
        if (token != REPEAT_LENGTH)
            len = token <= JC_MAX_CODE_BITS ? (uint8_t)token : 0;
        else if (len == 0)
            return JC_BAD_TABLE;
        if (run > n_alphabet - s)
            return JC_BAD_TABLE;
        memset(lens + s, len, run);
        s += run;
        sum += len ? (uint32_t)run * (complete >> len) : 0;
    }
    return sum == complete ? JC_OK : JC_BAD_TABLE;
}
