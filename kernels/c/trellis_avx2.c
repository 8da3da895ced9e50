/* Best paths with AVX2: 16 lanes side by side. */
#include "trellis_internal.h"

#if defined(__x86_64__) && !defined(JC_SCALAR)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif
#include <immintrin.h>

#define N_SIDE 16
typedef int16_t vec __attribute__((vector_size(32)));

static inline vec v_min(vec a, vec b)
{
    return (vec)_mm256_min_epi16((__m256i)a, (__m256i)b);
}

static inline vec v_max(vec a, vec b)
{
    return (vec)_mm256_max_epi16((__m256i)a, (__m256i)b);
}

static inline vec v_load(const uint16_t *p)
{
    return (vec)_mm256_loadu_si256((const void *)p);
}

static inline void v_store(uint16_t *p, vec v)
{
    _mm256_storeu_si256((void *)p, (__m256i)v);
}

static inline vec v_widen(const uint8_t *p)
{
    return (vec)_mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)p));
}

/* How all samples are scaled, and what is found on the way. */
struct scaling {
    __m256 offset, scale, limit, most, not_finite;
};

static inline __m256i scale8(struct scaling *s, const float *x, unsigned fold)
{
    __m256 value = _mm256_loadu_ps(x), d = _mm256_sub_ps(value, s->offset);
    __m256 a = fold ? _mm256_andnot_ps(_mm256_set1_ps(-0.0f), d)
                    : _mm256_max_ps(d, _mm256_setzero_ps());
    __m256 scaled = _mm256_min_ps(_mm256_mul_ps(a, s->scale), s->limit);
    __m256i t = _mm256_cvttps_epi32(_mm256_add_ps(scaled, _mm256_set1_ps(0.5f)));
    __m256i below = _mm256_castps_si256(_mm256_cmp_ps(value, s->offset, _CMP_LT_OQ));

    s->most = _mm256_max_ps(s->most, scaled);
    s->not_finite = _mm256_or_ps(s->not_finite, _mm256_sub_ps(value, value));
    return fold ? _mm256_or_si256(t, _mm256_slli_epi32(below, 15)) : t;
}

static inline void scale16(struct scaling *s, const float *x, uint16_t *linear, unsigned fold)
{
    __m256i mixed = _mm256_packs_epi32(scale8(s, x, fold), scale8(s, x + 8, fold));

    v_store(linear, (vec)_mm256_permute4x64_epi64(mixed, 0xd8));
}

static inline void scale_all(struct scaling *s, const float *x, size_t n, uint16_t *linear,
                             unsigned fold)
{
    float rest[16];
    size_t i = 0;

    for (; n - i >= 16; i += 16)
        scale16(s, x + i, linear + i, fold);
    for (unsigned k = 0; k < 16; k++)
        rest[k] = k < n - i ? x[i + k] : _mm256_cvtss_f32(s->offset);
    scale16(s, rest, linear + i, fold);
}

/* Scales x[n], n > 0, to linear[n + 15].  Returns the largest t, or a larger one; -1 where a value is
 * not finite: only then x - x is not 0. */
static int32_t scale(const struct jc_trellis *m, const float *x, size_t n, uint16_t *linear)
{
    struct scaling s = {_mm256_set1_ps(m->offset), _mm256_set1_ps(m->scale),
                        _mm256_set1_ps(m->limit), _mm256_setzero_ps(), _mm256_setzero_ps()};
    float most[8], largest = 0;

    if (m->fold)
        scale_all(&s, x, n, linear, 1);
    else
        scale_all(&s, x, n, linear, 0);
    if (_mm256_movemask_ps(_mm256_cmp_ps(s.not_finite, _mm256_setzero_ps(), _CMP_NEQ_UQ)))
        return -1;
    _mm256_storeu_ps(most, s.most);
    for (unsigned i = 0; i < 8; i++)
        largest = most[i] > largest ? most[i] : largest;
    return (int32_t)(largest + 0.5f);
}

struct rows {
    __m256i r[8];
};

/* Row 2 i and 2 i + 1: words of rows i and i + 4 in turn.  Three times make columns of rows. */
static inline struct rows interleave(struct rows a)
{
    struct rows b;

    b.r[0] = _mm256_unpacklo_epi16(a.r[0], a.r[4]);
    b.r[1] = _mm256_unpackhi_epi16(a.r[0], a.r[4]);
    b.r[2] = _mm256_unpacklo_epi16(a.r[1], a.r[5]);
    b.r[3] = _mm256_unpackhi_epi16(a.r[1], a.r[5]);
    b.r[4] = _mm256_unpacklo_epi16(a.r[2], a.r[6]);
    b.r[5] = _mm256_unpackhi_epi16(a.r[2], a.r[6]);
    b.r[6] = _mm256_unpacklo_epi16(a.r[3], a.r[7]);
    b.r[7] = _mm256_unpackhi_epi16(a.r[3], a.r[7]);
    return b;
}

static void transpose(const uint16_t *const *row, size_t start, uint16_t *tile)
{
    for (unsigned half = 0; half < 2; half++) {
        struct rows a;

        for (unsigned i = 0; i < 8; i++) {
            const uint16_t *low = row[i] + start + 8 * half, *high = row[i + 8] + start + 8 * half;

            a.r[i] = _mm256_loadu2_m128i((const void *)high, (const void *)low);
        }
        a = interleave(interleave(interleave(a)));
        for (unsigned i = 0; i < 8; i++)
            v_store(tile + (8 * half + i) * N_SIDE,
                    (vec)_mm256_and_si256(a.r[i], _mm256_set1_epi16(INT16_MAX)));
    }
}

/* The costs of two lanes, word by word. */
static inline __m128i two_rows(int16_t (*table)[JC_N_TRELLIS_CLASSES], const uint16_t *t)
{
    return _mm_unpacklo_epi16(_mm_loadl_epi64((const void *)table[t[0]]),
                              _mm_loadl_epi64((const void *)table[t[1]]));
}

static inline __m256i four_rows(int16_t (*table)[JC_N_TRELLIS_CLASSES], const uint16_t *t)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(two_rows(table, t)),
                                   two_rows(table, t + 8), 1);
}

static inline void look_up(int16_t (*table)[JC_N_TRELLIS_CLASSES], const uint16_t *t,
                           vec cost[JC_N_TRELLIS_CLASSES])
{
    __m256i a = four_rows(table, t), b = four_rows(table, t + 2);
    __m256i c = four_rows(table, t + 4), d = four_rows(table, t + 6);
    __m256i ab01 = _mm256_unpacklo_epi32(a, b), ab23 = _mm256_unpackhi_epi32(a, b);
    __m256i cd01 = _mm256_unpacklo_epi32(c, d), cd23 = _mm256_unpackhi_epi32(c, d);

    cost[0] = (vec)_mm256_unpacklo_epi64(ab01, cd01);
    cost[1] = (vec)_mm256_unpackhi_epi64(ab01, cd01);
    cost[2] = (vec)_mm256_unpacklo_epi64(ab23, cd23);
    cost[3] = (vec)_mm256_unpackhi_epi64(ab23, cd23);
}

/* Of 8 lanes the bytes of states 0, 2, 4, 6, then those of the others, then 8 lanes more. */
static inline void store_turns(uint8_t *turns, const vec *turn, unsigned n_states)
{
    __m256i sum = _mm256_setzero_si256();

    for (unsigned i = 0; i < n_states / 2; i++) {
        __m256i both = _mm256_packs_epi16((__m256i)turn[2 * i], (__m256i)turn[2 * i + 1]);
        long long even = (long long)(0x0101010101010101u << i);
        long long odd = (long long)(0x1010101010101010u << i);

        sum = _mm256_or_si256(sum,
                              _mm256_and_si256(both, _mm256_set_epi64x(odd, even, odd, even)));
    }
    _mm256_storeu_si256((void *)turns, sum);
}

/* Looks up by the lowest 3 bits of a state, and by the lowest 4 bits of what is twice as large; bit 3,
 * the parity, does not matter. */
static void trace(unsigned n_states, const uint8_t *turns, unsigned n_steps,
                  uint8_t state[N_SIDE], uint8_t (*steps)[N_SIDE])
{
    __m128i before = _mm_loadu_si128(
        (const void *)(n_states == 4 ? jc_trellis_before4 : jc_trellis_before8));
    __m128i bits = _mm_set1_epi64x((long long)JC_TRELLIS_TURN_BITS);
    __m128i s = _mm_loadu_si128((void *)state);

    while (n_steps-- > 0) {
        __m128i low = _mm_loadu_si128((const void *)(turns + 32 * n_steps));
        __m128i high = _mm_loadu_si128((const void *)(turns + 32 * n_steps + 16));
        __m128i all = _mm_or_si128(_mm_unpacklo_epi64(low, high), _mm_unpackhi_epi64(low, high));
        __m128i bit = _mm_shuffle_epi8(bits, s);
        __m128i turn = _mm_cmpeq_epi8(_mm_and_si128(all, bit), bit);

        s = _mm_shuffle_epi8(before, _mm_sub_epi8(_mm_add_epi8(s, s), turn));
        _mm_storeu_si128((void *)steps[n_steps], s);
    }
    _mm_storeu_si128((void *)state, _mm_and_si128(s, _mm_set1_epi8(7)));
}

/* The same with bytes: three times put two columns of 8 rows into each half. */
static inline struct rows interleave_bytes(struct rows a)
{
    struct rows b;

    b.r[0] = _mm256_unpacklo_epi8(a.r[0], a.r[4]);
    b.r[1] = _mm256_unpackhi_epi8(a.r[0], a.r[4]);
    b.r[2] = _mm256_unpacklo_epi8(a.r[1], a.r[5]);
    b.r[3] = _mm256_unpackhi_epi8(a.r[1], a.r[5]);
    b.r[4] = _mm256_unpacklo_epi8(a.r[2], a.r[6]);
    b.r[5] = _mm256_unpackhi_epi8(a.r[2], a.r[6]);
    b.r[6] = _mm256_unpacklo_epi8(a.r[3], a.r[7]);
    b.r[7] = _mm256_unpackhi_epi8(a.r[3], a.r[7]);
    return b;
}

static void transpose_bytes(uint8_t (*steps)[N_SIDE], uint8_t (*lanes)[N_SIDE])
{
    struct rows a;

    for (unsigned i = 0; i < 8; i++)
        a.r[i] = _mm256_loadu2_m128i((const void *)steps[i + 8], (const void *)steps[i]);
    a = interleave_bytes(interleave_bytes(interleave_bytes(a)));
    for (unsigned i = 0; i < 8; i++)
        _mm256_storeu_si256((void *)lanes[2 * i], _mm256_permute4x64_epi64(a.r[i], 0xd8));
}

#include "trellis_viterbi.h"

enum jc_result jc_trellis_lanes_avx2(void *ws, const struct jc_trellis *m,
                                     const struct jc_layout *layout, const float *x,
                                     uint16_t *syms)
{
    return quantize_lanes(ws, m, layout, x, syms);
}

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int jc_trellis_has_no_avx2; /* a file must declare something */
#endif
