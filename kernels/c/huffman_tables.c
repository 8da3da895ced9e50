/*
 * Tables that say which symbols the next bits start with.
 *
 * single[i]  symbol << 8 | length of the first code in the 11 bits i.
 * multi      a heap: node 2^b + j, for the b bits j, has as many symbols as are complete in them,
 *            at most 6: symbols << 16 | how many << 8 | bits of all.  What follows a code of l bits
 *            in the b bits j is node (2^b + j) >> l.  Streams use the level of 11 bits.
 * The code is complete: each entry of single and of that level has a symbol.
 */
#include "huffman_tables.h"

/* The code of @lens, and its n symbols by (length, symbol); ends[l]: those of length <= l. */
struct canonical {
    uint16_t entries[JC_MAX_ALPHABET];
    uint8_t sorted[JC_MAX_ALPHABET];
    unsigned ends[JC_MAX_CODE_BITS + 1];
};

static void sort_codes(struct canonical *c, const uint8_t lens[JC_MAX_ALPHABET])
{
    unsigned at[JC_MAX_CODE_BITS + 1] = {0};

    jc_canonical_entries(lens, c->entries);
    memset(c->ends, 0, sizeof(c->ends));
    for (unsigned s = 0; s < JC_MAX_ALPHABET; s++)
        if (lens[s])
            c->ends[lens[s]]++;
    for (unsigned len = 1; len <= JC_MAX_CODE_BITS; len++) {
        at[len] = c->ends[len - 1];
        c->ends[len] += at[len];
    }
    for (unsigned s = 0; s < JC_MAX_ALPHABET; s++)
        if (lens[s])
            c->sorted[at[lens[s]]++] = (uint8_t)s;
}

/* Each code once, in the first 2^length entries; then all the shorter ones once more. */
static void fill_single(uint16_t single[JC_TABLE_SIZE], const struct canonical *c)
{
    unsigned i = 0;

    single[0] = 0;
    for (unsigned len = 1; len <= JC_MAX_CODE_BITS; len++) {
        size_t half = (size_t)1 << (len - 1);

        memcpy(single + half, single, half * sizeof(single[0]));
        for (; i < c->ends[len]; i++)
            single[c->entries[c->sorted[i]] >> 4] = (uint16_t)((unsigned)c->sorted[i] << 8 | len);
    }
}

/* A symbol before what `rest` has; if that is full, without its last. */
static inline uint64_t put_before(uint64_t rest, uint64_t first, const uint8_t *lens, int may_fill)
{
    if (may_fill && (rest >> 8 & 0xff) == JC_MAX_MULTI)
        rest -= 0x100u + lens[rest >> 56];
    return (rest & ~UINT64_C(0xffff)) << 8 | ((rest & 0xffff) + first);
}

/* One level: after each code that fits, what the level of the bits after it has. */
static inline void fill_level(uint64_t multi[2 * JC_TABLE_SIZE], unsigned bits,
                              const struct canonical *c, const uint8_t *lens, int may_fill)
{
    memset(multi + ((size_t)1 << bits), 0, sizeof(multi[0]) << bits);
    for (unsigned i = 0; i < c->ends[bits]; i++) {
        uint8_t s = c->sorted[i];
        unsigned len = c->entries[s] & 15;
        size_t n = (size_t)1 << (bits - len);
        uint64_t first = (uint64_t)s << 16 | 0x100 | len;
        uint64_t *to = multi + ((size_t)1 << bits) + (c->entries[s] >> 4);

        for (size_t j = 0; j < n; j++)
            to[j << len] = put_before(multi[n + j], first, lens, may_fill);
    }
}

static void fill_multi(uint64_t multi[2 * JC_TABLE_SIZE], const struct canonical *c,
                       const uint8_t *lens)
{
    unsigned shortest = lens[c->sorted[0]];

    for (unsigned bits = 0; bits <= JC_MAX_CODE_BITS - shortest; bits++)
        fill_level(multi, bits, c, lens, shortest * (JC_MAX_MULTI + 1) <= JC_MAX_CODE_BITS);
    fill_level(multi, JC_MAX_CODE_BITS, c, lens, shortest * (JC_MAX_MULTI + 1) <= JC_MAX_CODE_BITS);
}

void jc_fill_tables(struct jc_huffman_decoder *ws, const uint8_t lens[JC_MAX_ALPHABET],
                    int use_multi)
{
    struct canonical code;

    sort_codes(&code, lens);
    fill_single(ws->single, &code);
    if (use_multi)
        fill_multi(ws->multi, &code, lens);
}
