/*
 * Groups have loops that compilers turn into vectors: constant widths, no bit buffer.
 *
 * Without gaps, 8 symbols are exactly `width` bytes.
 *   acc    bits not stored (packing) or not used (unpacking) yet, the first one lowest.
 *   n_acc  how many; at most 31 before two symbols of 16 bits join, or a load of 32 bits.
 */
#include "packing.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE void spread_pairs(const uint8_t *restrict groups, size_t n_groups,
                                const unsigned width, uint8_t *restrict syms)
{
    for (size_t i = 0; i < n_groups; i++) {
        syms[2 * i] = (uint8_t)(groups[i] & ((1u << width) - 1));
        syms[2 * i + 1] = (uint8_t)(groups[i] >> width & ((1u << width) - 1));
    }
}

/* In a wide word, move the upper half of the symbols up, then the upper half of each half, .. */
static void spread_fours(const uint8_t *restrict groups, size_t n_groups, uint8_t *restrict syms)
{
    for (size_t i = 0; i < n_groups; i++) {
        uint32_t x = groups[i];

        x = (x | x << 12) & 0x000f000f;
        jc_store_le32(syms + 4 * i, (x | x << 6) & 0x03030303);
    }
}

static void spread_eights(const uint8_t *restrict groups, size_t n_groups, uint8_t *restrict syms)
{
    for (size_t i = 0; i < n_groups; i++) {
        uint64_t x = groups[i];

        x = (x | x << 28) & UINT64_C(0x0000000f0000000f);
        x = (x | x << 14) & UINT64_C(0x0003000300030003);
        jc_store_le64(syms + 8 * i, (x | x << 7) & UINT64_C(0x0101010101010101));
    }
}

ALWAYS_INLINE void pack_pairs(const uint8_t *restrict syms, size_t n_groups, const unsigned width,
                              uint8_t *restrict groups)
{
    for (size_t i = 0; i < n_groups; i++)
        groups[i] = (uint8_t)(syms[2 * i] | syms[2 * i + 1] << width);
}

static void pack_fours(const uint8_t *restrict syms, size_t n_groups, uint8_t *restrict groups)
{
    for (size_t i = 0; i < n_groups; i++)
        groups[i] = (uint8_t)(syms[4 * i] | syms[4 * i + 1] << 2 | syms[4 * i + 2] << 4 |
                              syms[4 * i + 3] << 6);
}

static void pack_eights(const uint8_t *restrict syms, size_t n_groups, uint8_t *restrict groups)
{
    for (size_t i = 0; i < n_groups; i++) /* bit 8k to 56 + k */
        groups[i] = (uint8_t)(jc_load_le64(syms + 8 * i) * UINT64_C(0x0102040810204080) >> 56);
}

void jc_pack_groups(const uint8_t *syms, size_t n, unsigned width, uint8_t *groups)
{
    size_t n_groups = n / jc_group_symbols(width), n_packed = n_groups * jc_group_symbols(width);

    if (width == 1)
        pack_eights(syms, n_groups, groups);
    else if (width == 2)
        pack_fours(syms, n_groups, groups);
    else if (width == 3)
        pack_pairs(syms, n_groups, 3, groups);
    else
        pack_pairs(syms, n_groups, 4, groups);
    if (n_packed < n) {
        unsigned group = 0;

        for (size_t i = n; i-- > n_packed;)
            group = group << width | syms[i];
        groups[n_groups] = (uint8_t)group;
    }
}

int jc_spread_groups(const uint8_t *groups, size_t n, unsigned width, uint8_t *syms)
{
    size_t n_groups = n / jc_group_symbols(width), n_spread = n_groups * jc_group_symbols(width);
    unsigned group = n_spread < n ? groups[n_groups] : 0;

    if (width == 1)
        spread_eights(groups, n_groups, syms);
    else if (width == 2)
        spread_fours(groups, n_groups, syms);
    else if (width == 3)
        spread_pairs(groups, n_groups, 3, syms);
    else
        spread_pairs(groups, n_groups, 4, syms);
    for (size_t i = n_spread; i < n; i++, group >>= width)
        syms[i] = (uint8_t)(group & ((1u << width) - 1));
    return group == 0;
}

/* Bits of 8 / `width` symbols in a byte are those of a group. */
static int is_grouped(unsigned width)
{
    return width == 1 || width == 2 || width == 4;
}

/* 8 symbols in a word -> 8 * width bits. */
ALWAYS_INLINE uint64_t squeeze(uint64_t x, unsigned width)
{
    x = (x & UINT64_C(0x00ff00ff00ff00ff)) | (x >> 8 & UINT64_C(0x00ff00ff00ff00ff)) << width;
    x = (x & UINT64_C(0x0000ffff0000ffff)) | (x >> 16 & UINT64_C(0x0000ffff0000ffff)) << 2 * width;
    return (x & UINT32_MAX) | x >> 32 << 4 * width;
}

/* The reverse; what lies above is lost. */
ALWAYS_INLINE uint64_t stretch(uint64_t x, unsigned width)
{
    uint64_t ones = (1u << width) - 1, fours = (UINT64_C(1) << 4 * width) - 1;
    uint64_t twos = (1u << 2 * width) - 1;

    x = (x & fours) | (x >> 4 * width & fours) << 32;
    x = (x & (twos | twos << 32)) | (x >> 2 * width & (twos | twos << 32)) << 16;
    ones *= UINT64_C(0x0001000100010001);
    return (x & ones) | (x >> width & ones) << 8;
}

void jc_pack_raw8(const uint8_t *syms, size_t n, unsigned width, uint8_t *bytes)
{
    size_t n_bytes = jc_bytes_of_bits(n % 8 * width) + n / 8 * width, at = 0, i = 0;
    uint64_t acc = 0;
    unsigned n_acc = 0;

    if (width == 8) {
        memcpy(bytes, syms, n);
        return;
    }
    if (is_grouped(width)) {
        jc_pack_groups(syms, n, width, bytes);
        return;
    }
    for (; n_bytes - at >= 8 && n - i >= 8; i += 8, at += width)
        jc_store_le64(bytes + at, squeeze(jc_load_le64(syms + i), width));
    for (; i < n; i++) {
        acc |= (uint64_t)syms[i] << n_acc;
        for (n_acc += width; n_acc >= 8; n_acc -= 8, acc >>= 8)
            bytes[at++] = (uint8_t)acc;
    }
    if (n_acc > 0)
        bytes[at] = (uint8_t)acc;
}

int jc_unpack_raw8(const uint8_t *bytes, size_t n, unsigned width, uint8_t *syms)
{
    size_t n_bytes = jc_bytes_of_bits(n % 8 * width) + n / 8 * width, at = 0, i = 0;
    uint64_t acc = 0;
    unsigned n_acc = 0;

    if (width == 8) {
        memcpy(syms, bytes, n);
        return 1;
    }
    if (is_grouped(width))
        return jc_spread_groups(bytes, n, width, syms);
    for (; n_bytes - at >= 8 && n - i >= 8; i += 8, at += width)
        jc_store_le64(syms + i, stretch(jc_load_le64(bytes + at), width));
    for (; i < n; i++) {
        for (; n_acc < width; n_acc += 8)
            acc |= (uint64_t)bytes[at++] << n_acc;
        syms[i] = (uint8_t)(acc & ((1u << width) - 1));
        acc >>= width;
        n_acc -= width;
    }
    return acc == 0;
}

void jc_pack_raw16(const uint16_t *syms, size_t n, unsigned width, uint8_t *bytes)
{
    uint64_t acc = 0;
    unsigned n_acc = 0;
    size_t i = 0;

    for (; n - i >= 2; i += 2) {
        acc |= (syms[i] | (uint64_t)syms[i + 1] << width) << n_acc;
        n_acc += 2 * width;
        if (n_acc >= 32) {
            jc_store_le32(bytes, (uint32_t)acc);
            bytes += 4;
            acc >>= 32;
            n_acc -= 32;
        }
    }
    if (i < n) {
        acc |= (uint64_t)syms[i] << n_acc;
        n_acc += width;
    }
    for (; n_acc > 0; n_acc -= n_acc < 8 ? n_acc : 8, acc >>= 8)
        *bytes++ = (uint8_t)acc;
}

int jc_unpack_raw16(const uint8_t *bytes, size_t n, unsigned width, uint16_t *syms)
{
    size_t n_bytes = jc_bytes_of_bits(n % 8 * width) + n / 8 * width;
    const uint8_t *end = bytes + n_bytes;
    uint64_t acc = 0;
    unsigned n_acc = 0;

    for (size_t i = 0; i < n; i++) {
        if (n_acc < width && end - bytes >= 4) {
            acc |= (uint64_t)jc_load_le32(bytes) << n_acc;
            bytes += 4;
            n_acc += 32;
        }
        for (; n_acc < width; n_acc += 8)
            acc |= (uint64_t)*bytes++ << n_acc;
        syms[i] = (uint16_t)(acc & ((1u << width) - 1));
        acc >>= width;
        n_acc -= width;
    }
    return acc == 0;
}
