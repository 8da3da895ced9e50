/*
 * Prefix codes of kernels/c against Huff0, both with table building and histogram, one thread.
 *
 *     gcc -std=c11 -O3 -Ikernels/c scripts/peers/bench_huffman.c scripts/peers/huff0.c \
 *         kernels/c/huffman_*.c kernels/c/packing.c -l:libzstd.a -o bench_huffman
 *     ./bench_huffman 8 symbols.u8 ...
 *
 * The first argument is the width; files hold one symbol a byte. Widths up to 4 are packed. Rounds
 * of both coders take turns and the fastest of each counts: read the ratios, not the speeds. Huff0
 * has blocks of 128 KiB whatever ours are, since that is its limit, and its faster decoder counts.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "huffman.h"
#include "packing.h"

#define HUFF0_BLOCK ((size_t)128 * 1024)
#define ROUNDS 60
#define MAX_BLOCK ((size_t)1 << 20)

size_t huff0_bound(size_t n, size_t block);
size_t huff0_encode(const uint8_t *src, size_t n, size_t block, uint8_t *dst, size_t cap);
size_t huff0_decode(const uint8_t *src, size_t size, uint8_t *dst, size_t n, size_t block,
                    int which);

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Blocks as u32 size, then a table and streams, or, with fewer than two symbols, the symbol. */
static size_t encode_block(const uint8_t *syms, size_t n, unsigned width, uint8_t *groups,
                           uint8_t *dst)
{
    struct jc_merge merge;
    struct jc_bit_writer w = {dst + 4, 512, 0};
    uint32_t counts[JC_HUFFMAN_STREAMS][JC_MAX_ALPHABET], sums[JC_MAX_ALPHABET];
    uint8_t lens[JC_MAX_ALPHABET];
    size_t n_codes = width <= JC_MAX_GROUP_WIDTH ? jc_group_count(n, width) : n, size = 1;

    if (n_codes < n) {
        jc_pack_groups(syms, n, width, groups);
        syms = groups;
    }
    jc_stream_histograms(syms, n_codes, counts);
    jc_sum_histograms((const uint32_t(*)[JC_MAX_ALPHABET])counts, sums);
    dst[4] = syms[0];
    if (jc_code_lengths(&merge, sums, lens) > 1) {
        jc_write_code_table(&w, lens);
        size = jc_bytes_of_bits(w.n_bits);
        size += jc_counted_streams_size((const uint32_t(*)[JC_MAX_ALPHABET])counts, n_codes, lens);
        if (jc_bytes_of_bits(w.n_bits) +
                jc_huffman_encode(syms, n_codes, lens, dst + 4 + jc_bytes_of_bits(w.n_bits)) !=
            size)
            abort();
    }
    jc_store_le32(dst, (uint32_t)size);
    return 4 + size;
}

static size_t encode(const uint8_t *syms, size_t n, unsigned width, size_t block, uint8_t *groups,
                     uint8_t *dst)
{
    size_t used = 0;

    for (size_t i = 0; i < n; i += block)
        used += encode_block(syms + i, n - i < block ? n - i : block, width, groups, dst + used);
    return used;
}

static size_t decode_block(const uint8_t *src, unsigned width, uint8_t *groups, uint8_t *syms,
                           size_t n)
{
    static struct jc_huffman_decoder ws;
    struct jc_bit_reader r = {src + 4, jc_load_le32(src), 0};
    uint8_t lens[JC_MAX_ALPHABET];
    size_t n_codes = width <= JC_MAX_GROUP_WIDTH ? jc_group_count(n, width) : n;
    uint8_t *codes = n_codes < n ? groups : syms;

    if (r.size == 1) {
        memset(codes, src[4], n_codes);
    } else {
        if (jc_read_code_table(&r, JC_MAX_ALPHABET, lens) != JC_OK || !jc_skip_padding(&r) ||
            jc_huffman_decode(&ws, src + 4 + r.pos / 8, r.size - r.pos / 8, lens, codes,
                              n_codes) != JC_OK)
            abort();
    }
    if (n_codes < n && !jc_spread_groups(groups, n, width, syms))
        abort();
    return 4 + r.size;
}

static void decode(const uint8_t *src, unsigned width, size_t block, uint8_t *groups,
                   uint8_t *syms, size_t n)
{
    for (size_t i = 0; i < n; i += block)
        src += decode_block(src, width, groups, syms + i, n - i < block ? n - i : block);
}

#define BEST(seconds, call)                                                                       \
    do {                                                                                          \
        double start = now_s(), spent;                                                            \
        call;                                                                                     \
        spent = now_s() - start;                                                                  \
        if (seconds == 0 || spent < seconds)                                                      \
            seconds = spent;                                                                      \
    } while (0)

static void compare(const char *name, const uint8_t *syms, size_t n, unsigned width, size_t block)
{
    size_t cap = huff0_bound(n, HUFF0_BLOCK), room = 2 * n + (n / block + 1) * 1024;
    uint8_t *theirs = malloc(cap), *ours = malloc(room), *back = malloc(n);
    uint8_t *groups = malloc(MAX_BLOCK);
    size_t their_size = 0, our_size = 0;
    double e0 = 0, e1 = 0, x1 = 0, x2 = 0, d = 0, mb = 1e-6 * (double)n, x;

    for (int i = 0; i < ROUNDS; i++) {
        BEST(e0, their_size = huff0_encode(syms, n, HUFF0_BLOCK, theirs, cap));
        BEST(e1, our_size = encode(syms, n, width, block, groups, ours));
    }
    for (int i = 0; i < ROUNDS; i++) {
        BEST(x1, huff0_decode(theirs, their_size, back, n, HUFF0_BLOCK, 1));
        BEST(x2, huff0_decode(theirs, their_size, back, n, HUFF0_BLOCK, 2));
        memset(back, 0xaa, n);
        BEST(d, decode(ours, width, block, groups, back, n));
    }
    if (memcmp(back, syms, n) != 0)
        abort();
    x = x1 < x2 ? x1 : x2;
    printf("%-12s %u bits %4zu KiB  bits/symbol %.3f %.3f  encode %5.0f %5.0f MB/s %.2fx"
           "  decode X1 %5.0f X2 %5.0f ours %5.0f MB/s %.2fx\n",
           name, width, block >> 10, 8.0 * (double)their_size / (double)n,
           8.0 * (double)our_size / (double)n, mb / e0, mb / e1, e0 / e1, mb / x1, mb / x2, mb / d,
           x / d);
    free(theirs);
    free(ours);
    free(back);
    free(groups);
}

int main(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        const char *slash = strrchr(argv[i], '/');
        uint8_t *syms;
        size_t n;

        if (!file || fseek(file, 0, SEEK_END) != 0)
            return 1;
        n = (size_t)ftell(file);
        rewind(file);
        syms = malloc(n);
        if (fread(syms, 1, n, file) != n)
            return 1;
        fclose(file);
        for (size_t block = HUFF0_BLOCK; block <= MAX_BLOCK; block *= 8)
            compare(slash ? slash + 1 : argv[i], syms, n, (unsigned)atoi(argv[1]), block);
        free(syms);
    }
    return 0;
}
