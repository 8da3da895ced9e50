/*
 * Codes -> streams.
 *
 * Bits wait at the top of words, so that a code joins them by one shift and one OR:
 *   code_word   the bit-reversed code at the top, its length in the low byte, zeros between.
 *   acc         the newest bits at the top; `held` of them are not stored yet, the oldest lowest.
 * Lengths are added as whole words, of which the low byte counts.  What shifts and ORs leave in
 * the low byte of acc never reaches the held bits: those end above it.
 */
#include "huffman.h"

#define SYMS_PER_STORE 4
JC_STATIC_ASSERT(7 + SYMS_PER_STORE * JC_MAX_CODE_BITS <= 64 - 8);
JC_STATIC_ASSERT(SYMS_PER_STORE * JC_MAX_CODE_BITS < 256);

#define STREAM_SIZES_BYTES (3 * (JC_HUFFMAN_STREAMS - 1))

static inline uint64_t append(uint64_t words, uint64_t word)
{
    return words >> (word & 63) | word;
}

/* Write a stream of @syms[n]; returns its end.  Seven bytes more may be scribbled on. */
static inline uint8_t *write_stream(const uint64_t code_words[JC_MAX_ALPHABET],
                                    const uint8_t *syms, size_t n, uint8_t *next)
{
    uint64_t acc = 0;
    unsigned held = 0;
    size_t i = 0;

    for (; n - i >= SYMS_PER_STORE; i += SYMS_PER_STORE) {
        uint64_t a = code_words[syms[i]], b = code_words[syms[i + 1]];
        uint64_t c = code_words[syms[i + 2]], d = code_words[syms[i + 3]];
        uint64_t second = c + d, all = a + b + second;

        /* Only the last shift waits for the symbols before: the four join as a tree. */
        a = append(a, b) >> (second & 63) | append(c, d);
        acc = acc >> (all & 63) | a;
        held += (uint8_t)all;
        jc_store_le64(next, acc >> (-held & 63));
        next += held / 8;
        held %= 8;
    }
    for (; i < n; i++) {
        uint64_t word = code_words[syms[i]];

        acc = append(acc, word);
        held += (uint8_t)word;
        jc_store_le64(next, acc >> (-held & 63));
        next += held / 8;
        held %= 8;
    }
    return next + (held > 0);
}

#if defined(__x86_64__) && !defined(JC_SCALAR)
/* Shifts by a register are one operation with BMI2 and three without. */
__attribute__((target("bmi2"))) static uint8_t *
write_stream_bmi2(const uint64_t code_words[JC_MAX_ALPHABET], const uint8_t *syms, size_t n,
                  uint8_t *next)
{
    return write_stream(code_words, syms, n, next);
}
#endif

static uint8_t *write_best(const uint64_t code_words[JC_MAX_ALPHABET], const uint8_t *syms,
                           size_t n, uint8_t *next)
{
#if defined(__x86_64__) && !defined(JC_SCALAR)
    if (__builtin_cpu_supports("bmi2"))
        return write_stream_bmi2(code_words, syms, n, next);
#endif
    return write_stream(code_words, syms, n, next);
}

size_t jc_huffman_encode(const uint8_t *syms, size_t n, const uint8_t lens[JC_MAX_ALPHABET],
                         uint8_t *dst)
{
    size_t segment = jc_huffman_segment(n);
    uint16_t entries[JC_MAX_ALPHABET];
    uint64_t code_words[JC_MAX_ALPHABET];
    uint8_t *sizes = dst, *next = dst;

    jc_canonical_entries(lens, entries);
    for (unsigned s = 0; s < JC_MAX_ALPHABET; s++) {
        unsigned len = entries[s] & 15;

        code_words[s] = len ? (uint64_t)(entries[s] >> 4) << (64 - len) | len : 0;
    }
    if (segment < n) {
        next += STREAM_SIZES_BYTES;
        for (; n > segment; n -= segment, syms += segment, sizes += 3) {
            uint8_t *end = write_best(code_words, syms, segment, next);
            size_t size = (size_t)(end - next);

            jc_store_le16(sizes, (uint32_t)size);
            sizes[2] = (uint8_t)(size >> 16);
            next = end;
        }
    }
    return (size_t)(write_best(code_words, syms, n, next) - dst);
}

size_t jc_counted_streams_size(const uint32_t counts[JC_HUFFMAN_STREAMS][JC_MAX_ALPHABET],
                               size_t n, const uint8_t lens[JC_MAX_ALPHABET])
{
    size_t size = jc_huffman_segment(n) < n ? STREAM_SIZES_BYTES : 0;

    for (unsigned k = 0; k < JC_HUFFMAN_STREAMS; k++) {
        uint32_t n_bits = 0; /* fewer than 2^24 codes of 11 bits */

        for (unsigned s = 0; s < JC_MAX_ALPHABET; s++)
            n_bits += counts[k][s] * lens[s];
        size += jc_bytes_of_bits(n_bits);
    }
    return size;
}

size_t jc_huffman_streams_size(const uint8_t *codes, size_t n, const uint8_t lens[JC_MAX_ALPHABET])
{
    uint32_t counts[JC_HUFFMAN_STREAMS][JC_MAX_ALPHABET];

    jc_stream_histograms(codes, n, counts);
    return jc_counted_streams_size((const uint32_t(*)[JC_MAX_ALPHABET])counts, n, lens);
}
