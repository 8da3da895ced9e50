/*
 * Little-endian bytes and bits.  Compilers turn the shifts of loads into single moves; those of
 * stores they do not (gcc 12 stores six pieces), so these say it in one.
 */
#ifndef JC_BITS_H
#define JC_BITS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define JC_STATIC_ASSERT(condition) _Static_assert(condition, #condition)

static inline uint32_t jc_load_le16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static inline uint32_t jc_load_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t jc_load_le64(const uint8_t *p)
{
    return jc_load_le32(p) | (uint64_t)jc_load_le32(p + 4) << 32;
}

static inline void jc_store_le16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void jc_store_le32(uint8_t *p, uint32_t v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    memcpy(p, &v, sizeof(v));
}

static inline void jc_store_le64(uint8_t *p, uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    memcpy(p, &v, sizeof(v));
}

/* Bytes that hold n_bits bits; cannot overflow. */
static inline size_t jc_bytes_of_bits(size_t n_bits)
{
    return n_bits / 8 + (n_bits % 8 != 0);
}

/* floor(log2 x), x > 0 */
static inline unsigned jc_log2_floor(uint32_t x)
{
    return 31u - (unsigned)__builtin_clz(x);
}

/*
 * Writes bits for headers and tables, where size is known before and speed does not matter.
 *   bytes[capacity]  zeroed by the writer as it goes.
 *   n_bits           written so far; grows past the capacity without writing there, so that a
 *                    writer of capacity 0 measures.
 */
struct jc_bit_writer {
    uint8_t *bytes;
    size_t capacity, n_bits;
};

static inline void jc_put_bits(struct jc_bit_writer *w, uint32_t value, unsigned n_bits)
{
    for (unsigned i = 0; i < n_bits; i++, w->n_bits++) {
        size_t at = w->n_bits / 8;

        if (at >= w->capacity)
            continue;
        if (w->n_bits % 8 == 0)
            w->bytes[at] = 0;
        w->bytes[at] = (uint8_t)(w->bytes[at] | (value >> i & 1) << (w->n_bits % 8));
    }
}

/* Reads bits of headers and tables from untrusted @bytes[size]; pos <= 8 * size always. */
struct jc_bit_reader {
    const uint8_t *bytes;
    size_t size, pos; /* pos in bits */
};

/* Reads n_bits <= 24 bits; 0 at the end, without moving. */
static inline int jc_get_bits(struct jc_bit_reader *r, unsigned n_bits, uint32_t *value)
{
    uint32_t found = 0;

    if (n_bits > 8 * r->size - r->pos)
        return 0;
    for (unsigned i = 0; i < n_bits; i++, r->pos++)
        found |= (uint32_t)(r->bytes[r->pos / 8] >> (r->pos % 8) & 1) << i;
    *value = found;
    return 1;
}

/* Skip the padding up to the next byte; 0 if a bit of it is not zero. */
static inline int jc_skip_padding(struct jc_bit_reader *r)
{
    uint32_t zeros = 0;

    return r->pos % 8 == 0 || (jc_get_bits(r, 8 - (unsigned)(r->pos % 8), &zeros) && zeros == 0);
}

#endif
