/* Symbols of 16 lanes, step by step, to one lane after the other: transposes of 8 x 8 symbols. */
#include "context_ans_decode.h"

#if defined(__x86_64__) && !defined(JC_SCALAR)
#include <emmintrin.h>

#define SIDE 8
#define LINE 32 /* symbols in a cache line */

/* Rows of 8 symbols, 16 apart, to columns, @stride apart. */
static void transpose(const uint16_t *from, size_t stride, uint16_t *to)
{
    __m128i rows[SIDE], pairs[SIDE], fours[SIDE];

    for (unsigned i = 0; i < SIDE; i++)
        rows[i] = _mm_loadu_si128((const __m128i *)(from + i * JC_MAX_LANES));
    for (unsigned i = 0; i < SIDE; i += 2) { /* columns 0..3, then 4..7, of rows i and i + 1 */
        pairs[i] = _mm_unpacklo_epi16(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm_unpackhi_epi16(rows[i], rows[i + 1]);
    }
    for (unsigned i = 0; i < SIDE; i += 4) /* two columns of rows i .. i + 3 each */
        for (unsigned j = 0; j < 2; j++) {
            fours[i + 2 * j] = _mm_unpacklo_epi32(pairs[i + j], pairs[i + j + 2]);
            fours[i + 2 * j + 1] = _mm_unpackhi_epi32(pairs[i + j], pairs[i + j + 2]);
        }
    for (unsigned i = 0; i < SIDE / 2; i++, to += 2 * stride) {
        _mm_storeu_si128((__m128i *)to, _mm_unpacklo_epi64(fours[i], fours[i + 4]));
        _mm_storeu_si128((__m128i *)(to + stride), _mm_unpackhi_epi64(fours[i], fours[i + 4]));
    }
}

size_t jc_unravel_16(const uint16_t *from, size_t n, size_t stride, uint16_t *syms)
{
    size_t i = 0;

    /* A cache line of one half of the lanes, then of the other: all 16 may be in the same set. */
    for (; i + LINE <= n; i += LINE)
        for (unsigned lane = 0; lane < JC_MAX_LANES; lane += SIDE)
            for (size_t at = i; at < i + LINE; at += SIDE)
                transpose(from + at * JC_MAX_LANES + lane, stride, syms + lane * stride + at);
    return i;
}
JC_STATIC_ASSERT(JC_MAX_LANES % SIDE == 0);
#else
typedef int jc_context_unravel_sse2_is_empty;
#endif
