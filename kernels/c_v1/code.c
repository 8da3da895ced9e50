/*
 * Counts -> code lengths -> canonical codes.
 *
 * Package-merge, with the words of the paper: a coin is either a leaf (one symbol) or a
 * package (two neighbouring coins of the level below).  Level 0 holds the longest codes.
 *   leaves[n]        ascending by (count, symbol), so that ties have one answer.
 *   weights[level&1] the coins of a level, ascending; a leaf goes before an equal package.
 *   is_leaf[level]   which of them are leaves.
 * Invariant: a level has fewer than 2n coins.
 */
#include <string.h>

#include "bits.h"
#include "huffman.h"

JC_STATIC_ASSERT(1 << JC_MAX_CODE_BITS >= JC_MAX_ALPHABET); /* a code always exists */
/* A count and its symbol share a leaf; the heaviest coin is all counts on all levels. */
JC_STATIC_ASSERT(JC_BLOCK_SYMS < 1 << 24);
JC_STATIC_ASSERT((UINT64_C(1) << 24) * JC_MAX_CODE_BITS <= UINT32_MAX);

void jc_histogram(const uint8_t *syms, size_t n_syms, uint32_t counts[JC_MAX_ALPHABET])
{
    /* Four tables: equal neighbours would otherwise wait for each other's store. */
    uint32_t part[4][JC_MAX_ALPHABET] = {{0}};
    size_t i = 0;

    for (; n_syms - i >= 4; i += 4)
        for (unsigned k = 0; k < 4; k++)
            part[k][syms[i + k]]++;
    for (; i < n_syms; i++)
        part[0][syms[i]]++;
    for (unsigned s = 0; s < JC_MAX_ALPHABET; s++)
        counts[s] = part[0][s] + part[1][s] + part[2][s] + part[3][s];
}

/* Shell sort: 256 keys at most, and the C library's qsort may allocate. */
static void sort(uint32_t *keys, size_t n)
{
    static const size_t gaps[] = {57, 23, 10, 4, 1};

    for (size_t g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++) {
        size_t gap = gaps[g];

        for (size_t i = gap; i < n; i++) {
            uint32_t key = keys[i];
            size_t j = i;

            for (; j >= gap && keys[j - gap] > key; j -= gap)
                keys[j] = keys[j - gap];
            keys[j] = key;
        }
    }
}

/* Merge the n leaves with the packages of the n_below coins below; returns the coins. */
static size_t merge_level(struct jc_merge *ws, unsigned level, size_t n, size_t n_below)
{
    const uint32_t *below = ws->weights[(level & 1) ^ 1];
    uint32_t *coins = ws->weights[level & 1];
    size_t leaf = 0, package = 0, n_packages = n_below / 2, n_coins = 0;

    while (leaf < n || package < n_packages) {
        uint32_t weight = package < n_packages
                              ? below[2 * package] + below[2 * package + 1]
                              : UINT32_MAX;
        int is_leaf = leaf < n && ws->leaves[leaf] >> 8 <= weight;

        coins[n_coins] = is_leaf ? ws->leaves[leaf++] >> 8 : weight;
        package += !is_leaf;
        ws->is_leaf[level][n_coins++] = (uint8_t)is_leaf;
    }
    return n_coins;
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
    sort(ws->leaves, n);

    for (unsigned level = 0; level < JC_MAX_CODE_BITS; level++)
        n_coins = merge_level(ws, level, n, n_coins);

    /* Buy the 2n - 2 lightest coins; each package bought buys two coins below. */
    size_t bought = 2 * n - 2;
    for (unsigned level = JC_MAX_CODE_BITS; level-- > 0;) {
        size_t n_leaves = 0;

        for (size_t i = 0; i < bought; i++)
            n_leaves += ws->is_leaf[level][i];
        for (size_t i = 0; i < n_leaves; i++)
            lens[ws->leaves[i] & 0xff]++;
        bought = 2 * (bought - n_leaves);
    }
    return n;
}

void jc_canonical_entries(const uint8_t lens[JC_MAX_ALPHABET],
                          uint16_t entries[JC_MAX_ALPHABET])
{
    uint32_t next[JC_MAX_CODE_BITS + 1] = {0};
    uint32_t n_of_len[JC_MAX_CODE_BITS + 1] = {0};

    for (unsigned s = 0; s < JC_MAX_ALPHABET; s++)
        n_of_len[lens[s]]++;
    n_of_len[0] = 0;
    for (unsigned len = 1; len <= JC_MAX_CODE_BITS; len++)
        next[len] = (next[len - 1] + n_of_len[len - 1]) << 1;

    for (unsigned s = 0; s < JC_MAX_ALPHABET; s++) {
        unsigned len = lens[s];
        uint32_t code = len ? next[len]++ : 0, reversed = 0;

        for (unsigned bit = 0; bit < len; bit++)
            reversed |= (code >> bit & 1) << (len - 1 - bit);
        entries[s] = (uint16_t)(reversed << 4 | len);
    }
}
