/*
 * Huff0, the Huffman coder inside Zstandard, as a peer for the codec benchmark.
 *
 * Links Debian's static libzstd.a, which exports HUF_*; no installed header declares those, so
 * the prototypes below restate lib/common/huf.h of Zstandard v1.5.4 (the same in v1.5.5 and
 * v1.5.6). scripts/codec_peers.py builds this into a shared library.
 *
 * Stream: for each block of at most 128 KiB, coded size (3 bytes, little endian), then that many
 * bytes. The coded size tells the kinds apart:
 *
 *     coded == raw size   the bytes themselves
 *     coded == 1          one byte, repeated
 *     otherwise           Huff0's table and its four bit streams (always < raw size - 1)
 *
 * Neither the raw size nor the block size is stored: the caller knows them.
 * Every block has a table of its own, as in Zstandard when a table is not reused.
 * All sizes are bytes; a size_t result of 0 means that the arguments or the stream were wrong.
 */
#define _POSIX_C_SOURCE 200809L
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

#if ZSTD_VERSION_NUMBER < 10504 || ZSTD_VERSION_NUMBER > 10506
#error "libzstd must be 1.5.4 to 1.5.6, whose HUF_ prototypes these are"
#endif

#define HUF_BLOCKSIZE_MAX ((size_t)128 * 1024)
#define HUF_WORKSPACE_SIZE ((8 << 10) + 512)
#define HUF_DECOMPRESS_WORKSPACE_SIZE ((2 << 10) + (1 << 9))
#define HUF_CTABLE_CELLS (255 + 2)
#define HUF_DTABLE_LOG 12
#define HUF_DTABLE_CELLS (1 + (1 << HUF_DTABLE_LOG))

enum { HUF_flags_bmi2 = 1 };
enum { HUFF0_AUTO = 0, HUFF0_X1 = 1, HUFF0_X2 = 2, HUFF0_HEADER = 3 };

unsigned HUF_isError(size_t code);
size_t HUF_compressBound(size_t size);
size_t HUF_compress4X_repeat(void *dst, size_t dst_size, const void *src, size_t src_size,
                             unsigned max_symbol, unsigned table_log, void *workspace,
                             size_t workspace_size, size_t *table, int *repeat, int flags);
uint32_t HUF_selectDecoder(size_t dst_size, size_t src_size);
size_t HUF_readDTableX1_wksp(uint32_t *table, const void *src, size_t src_size, void *workspace,
                             size_t workspace_size, int flags);
size_t HUF_readDTableX2_wksp(uint32_t *table, const void *src, size_t src_size, void *workspace,
                             size_t workspace_size, int flags);
size_t HUF_decompress4X_usingDTable(void *dst, size_t dst_size, const void *src, size_t src_size,
                                    const uint32_t *table, int flags);

static int flags_of_this_cpu(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("bmi2") ? HUF_flags_bmi2 : 0;
#else
    return 0;
#endif
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* 1 where Huff0 takes its BMI2 and assembly paths, else 0. */
int huff0_has_bmi2(void)
{
    return flags_of_this_cpu() == HUF_flags_bmi2;
}

/*
 * Room that huff0_encode needs for @n bytes in blocks of @block; 0 for a wrong @block.
 * No block grows by more than its size field; the last one gets Huff0's own slack to try in.
 */
size_t huff0_bound(size_t n, size_t block)
{
    if (block == 0 || block > HUF_BLOCKSIZE_MAX)
        return 0;
    return n + (n / block + 1) * HUFF0_HEADER + HUF_compressBound(block) - block;
}

/* @src[n] -> @dst[cap]; returns the size, 0 when @dst is too small or @block is wrong. */
size_t huff0_encode(const uint8_t *restrict src, size_t n, size_t block, uint8_t *restrict dst,
                    size_t cap)
{
    uint64_t workspace[HUF_WORKSPACE_SIZE / 8];
    size_t table[HUF_CTABLE_CELLS];
    const int flags = flags_of_this_cpu();
    const uint8_t *const end = src + n;
    uint8_t *out = dst;

    if (block == 0 || block > HUF_BLOCKSIZE_MAX || cap < huff0_bound(n, block))
        return 0;
    while (src < end) {
        const size_t raw = (size_t)(end - src) < block ? (size_t)(end - src) : block;
        const size_t room = cap - (size_t)(out - dst) - HUFF0_HEADER;
        int repeat = 0; /* HUF_repeat_none */
        size_t coded = HUF_compress4X_repeat(out + HUFF0_HEADER, room, src, raw, 255, 0,
                                             workspace, sizeof workspace, table, &repeat, flags);

        if (HUF_isError(coded))
            return 0;
        if (coded == 0) {
            memcpy(out + HUFF0_HEADER, src, raw);
            coded = raw;
        }
        out[0] = (uint8_t)coded;
        out[1] = (uint8_t)(coded >> 8);
        out[2] = (uint8_t)(coded >> 16);
        out += HUFF0_HEADER + coded;
        src += raw;
    }
    return (size_t)(out - dst);
}

/* One Huff0 block -> @dst[raw]; returns 1 on success. */
static int decode_block(const uint8_t *src, size_t coded, uint8_t *dst, size_t raw, int which,
                        int flags)
{
    uint64_t workspace[HUF_DECOMPRESS_WORKSPACE_SIZE / 8];
    uint32_t table[HUF_DTABLE_CELLS];
    size_t header;

    table[0] = HUF_DTABLE_LOG * 0x01000001u;
    if (which == HUFF0_AUTO)
        which = HUF_selectDecoder(raw, coded) ? HUFF0_X2 : HUFF0_X1;
    if (which == HUFF0_X2)
        header = HUF_readDTableX2_wksp(table, src, coded, workspace, sizeof workspace, flags);
    else
        header = HUF_readDTableX1_wksp(table, src, coded, workspace, sizeof workspace, flags);
    if (HUF_isError(header) || header >= coded)
        return 0;
    return HUF_decompress4X_usingDTable(dst, raw, src + header, coded - header, table, flags) ==
           raw;
}

/*
 * @src[size] -> @dst[n]; @which is 1 (one symbol a look-up), 2 (two) or 0 (Huff0's own choice).
 * Returns n, or 0 when the stream does not hold exactly n bytes in blocks of @block.
 */
size_t huff0_decode(const uint8_t *restrict src, size_t size, uint8_t *restrict dst, size_t n,
                    size_t block, int which)
{
    const int flags = flags_of_this_cpu();
    size_t left = n;

    if (block == 0 || block > HUF_BLOCKSIZE_MAX || which < HUFF0_AUTO || which > HUFF0_X2)
        return 0;
    while (left > 0) {
        const size_t raw = left < block ? left : block;
        size_t coded;

        if (size < HUFF0_HEADER)
            return 0;
        coded = (size_t)src[0] | (size_t)src[1] << 8 | (size_t)src[2] << 16;
        src += HUFF0_HEADER;
        size -= HUFF0_HEADER;
        if (coded == 0 || coded > size || coded > raw)
            return 0;
        if (coded == raw)
            memcpy(dst, src, raw);
        else if (coded == 1)
            memset(dst, src[0], raw);
        else if (!decode_block(src, coded, dst, raw, which, flags))
            return 0;
        src += coded;
        size -= coded;
        dst += raw;
        left -= raw;
    }
    return size == 0 ? n : 0;
}

/* Seconds of the fastest of @rounds encodings, table and histogram included; < 0 on error. */
double huff0_time_encode(const uint8_t *src, size_t n, size_t block, uint8_t *dst, size_t cap,
                         int rounds)
{
    double best = -1.0;

    for (int i = 0; i < rounds; i++) {
        const double start = now_s();
        const size_t size = huff0_encode(src, n, block, dst, cap);
        const double spent = now_s() - start;

        if (size == 0)
            return -1.0;
        if (best < 0.0 || spent < best)
            best = spent;
    }
    return best;
}

/* Seconds of the fastest of @rounds decodings, table included; < 0 on error. */
double huff0_time_decode(const uint8_t *src, size_t size, uint8_t *dst, size_t n, size_t block,
                         int which, int rounds)
{
    double best = -1.0;

    for (int i = 0; i < rounds; i++) {
        const double start = now_s();
        const size_t got = huff0_decode(src, size, dst, n, block, which);
        const double spent = now_s() - start;

        if (got != n)
            return -1.0;
        if (best < 0.0 || spent < best)
            best = spent;
    }
    return best;
}
