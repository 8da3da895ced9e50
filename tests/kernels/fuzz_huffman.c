/*
 * Round trips and mutants of streams, for a build with sanitizers.
 *
 * usage: fuzz_huffman N_MUTANTS
 * Every buffer has exactly the size that it claims, so that a sanitizer sees one byte too many.
 * Prints the CRC-32 of all valid streams, which must not depend on the machine, and how many
 * mutants were refused.  Exit 1 if a round trip fails or a decoder reports an impossible size.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "huffman.h"

static uint32_t state = 1;

/* xorshift32: the same numbers everywhere */
static uint32_t draw(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % below;
}

static void *allocate(size_t size)
{
    void *p = malloc(size ? size : 1);

    if (!p)
        exit(2);
    return p;
}

static void fail(const char *what)
{
    printf("FAILED %s\n", what);
    exit(1);
}

/* Some symbols: sparse, skewed, flat or constant. */
static void fill(uint8_t *syms, size_t n, unsigned width)
{
    uint32_t kind = draw(4), top = 1u << width;

    for (size_t i = 0; i < n; i++) {
        uint32_t symbol = kind == 0 ? (draw(20) ? 0 : draw(top)) : draw(top);

        if (kind == 1)
            symbol &= draw(top) & draw(top);
        syms[i] = (uint8_t)(kind == 3 ? top - 1 : symbol);
    }
}

/* Decode and scan exact copies; returns whether decoding succeeded. */
static int try_decode(const uint8_t *src, size_t size, unsigned width, size_t n,
                      const uint8_t *expected)
{
    struct jc_huffman_decoder *ws = allocate(sizeof(*ws));
    uint8_t *copy = allocate(size), *out = allocate(n);
    size_t used = 0, scanned = 0, counts[JC_N_MODES];
    enum jc_result result, scan_result;

    if (size)
        memcpy(copy, src, size);
    result = jc_huffman_decode(ws, copy, size, width, out, n, &used);
    scan_result = jc_huffman_scan(copy, size, width, n, counts, &scanned);
    if (used > size || scanned > size)
        fail("size");
    if (result == JC_OK && (scan_result != JC_OK || scanned != used))
        fail("scan");
    if (expected && (result != JC_OK || used != size || memcmp(out, expected, n)))
        fail("round trip");
    for (size_t i = 0; result == JC_OK && i < n; i++)
        if (out[i] >> width)
            fail("symbol");
    free(out);
    free(copy);
    free(ws);
    return result == JC_OK;
}

static size_t mutate(uint8_t *stream, size_t size)
{
    uint32_t kind = draw(4), edits = 1 + draw(4);

    if (size == 0 || kind == 0)
        return size ? draw((uint32_t)size) : 0; /* truncate */
    for (; edits; edits--) {
        /* Half of the edits hit the first bytes: modes, lengths and tables. */
        size_t at = draw((uint32_t)(draw(2) && size > 24 ? 24 : size));

        if (kind == 1)
            stream[at] ^= (uint8_t)(1u << draw(8));
        else if (kind == 2)
            stream[at] = (uint8_t)draw(256);
        else
            stream[at] = stream[draw((uint32_t)size)];
    }
    return size;
}

int main(int argc, char **argv)
{
    long n_mutants = argc > 1 ? strtol(argv[1], NULL, 10) : 1000, refused = 0;
    uint32_t crc = 0;

    for (long round = 0; round < n_mutants / 20; round++) {
        struct jc_huffman_encoder *ws = allocate(sizeof(*ws));
        unsigned width = 1 + draw(8);
        size_t n = round % 50 == 49 ? JC_BLOCK_SYMS + draw(100) : draw(700), used = 0;
        size_t bound = jc_huffman_bound(n, width);
        uint8_t *syms = allocate(n), *stream = allocate(bound);

        fill(syms, n, width);
        if (jc_huffman_encode(ws, syms, n, width, ~0u, stream, bound, &used) != JC_OK)
            fail("encode");
        if (bound && jc_huffman_encode(ws, syms, n, width, 1, stream, bound - 1, &used) !=
                         JC_SHORT_DST)
            fail("short destination");
        if (jc_huffman_encode(ws, syms, n, width, ~0u, stream, bound, &used) != JC_OK)
            fail("encode");
        crc = jc_crc32(crc, stream, used);
        try_decode(stream, used, width, n, syms);

        for (int i = 0; i < 20; i++) {
            uint8_t *mutant = allocate(used);
            size_t size;

            if (used)
                memcpy(mutant, stream, used);
            size = mutate(mutant, used);
            refused += !try_decode(mutant, size, draw(8) ? width : 1 + draw(8), n, NULL);
            free(mutant);
        }
        free(stream);
        free(syms);
        free(ws);
    }
    printf("crc %08lx refused %ld\n", (unsigned long)crc, refused);
    return 0;
}
