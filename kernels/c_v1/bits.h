/* Little-endian bits and bytes; compilers turn the shifts into single moves. */
#ifndef JC_BITS_H
#define JC_BITS_H

#include <stddef.h>
#include <stdint.h>

#define JC_STATIC_ASSERT(condition) _Static_assert(condition, #condition)

static inline uint64_t jc_load_le64(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 |
           (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 |
           (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

static inline void jc_store_le64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

/* Bytes that hold n_bits bits; cannot overflow. */
static inline size_t jc_bytes_of_bits(size_t n_bits)
{
    return n_bits / 8 + (n_bits % 8 != 0);
}

/* Symbols that share a code in a JC_GROUPED block. */
static inline unsigned jc_group_syms(unsigned width)
{
    return 8 / width;
}

/* Twice the mode, with the lowest bit such that the byte has an even number of ones: a flipped
 * bit never turns one mode into another. */
static inline uint8_t jc_mode_byte(unsigned mode)
{
    unsigned ones = mode ^ mode >> 4;

    ones ^= ones >> 2;
    return (uint8_t)(mode << 1 | ((ones ^ ones >> 1) & 1));
}

#endif
