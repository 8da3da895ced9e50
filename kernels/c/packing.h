/*
 * Symbols of few bits side by side in bytes: docs/bitstream.md, "raw" and "packed".
 *
 * Symbols are one a byte, or one a uint16_t, and fit in `width` bits: the caller has looked.
 * Source and destination do not overlap.
 */
#ifndef JC_PACKING_H
#define JC_PACKING_H

#include <stddef.h>
#include <stdint.h>

#include "bits.h"

#define JC_MAX_GROUP_WIDTH 4

/* Symbols in a group, of a width up to JC_MAX_GROUP_WIDTH. */
static inline unsigned jc_group_symbols(unsigned width)
{
    return 8 / width;
}

/* Groups of n symbols. */
static inline size_t jc_group_count(size_t n, unsigned width)
{
    return n / jc_group_symbols(width) + (n % jc_group_symbols(width) != 0);
}

/* One byte for each floor(8 / width) symbols, the first in the lowest bits, filled with zeros:
 * @syms[n] -> @groups[jc_group_count(n, width)]. */
void jc_pack_groups(const uint8_t *syms, size_t n, unsigned width, uint8_t *groups);

/* The reverse; 0 if a bit above the last symbol is not zero.  Groups are untrusted; the bits that
 * no symbol uses (width 3) must be zero, which a table over 2^(width * symbols) groups ensures. */
int jc_spread_groups(const uint8_t *groups, size_t n, unsigned width, uint8_t *syms);

/* Bits without gaps: @syms[n] <-> @bytes[jc_bytes_of_bits(n * width)].  Widths 1..8 of bytes,
 * 1..16 of uint16_t.  Unpacking returns 0 if the padding is not zero. */
void jc_pack_raw8(const uint8_t *syms, size_t n, unsigned width, uint8_t *bytes);
void jc_pack_raw16(const uint16_t *syms, size_t n, unsigned width, uint8_t *bytes);
int jc_unpack_raw8(const uint8_t *bytes, size_t n, unsigned width, uint8_t *syms);
int jc_unpack_raw16(const uint8_t *bytes, size_t n, unsigned width, uint16_t *syms);

#endif
