/* Best paths with SSE2: 8 lanes side by side.  It cannot look up bytes: the way back is scalar. */
#include "trellis_internal.h"

#if defined(__x86_64__) && !defined(JC_SCALAR)
#include <emmintrin.h>

#define N_SIDE 8
typedef int16_t vec __attribute__((vector_size(16)));

static inline vec v_min(vec a, vec b)
{
    return (vec)_mm_min_epi16((__m128i)a, (__m128i)b);
}

static inline vec v_max(vec a, vec b)
{
    return (vec)_mm_max_epi16((__m128i)a, (__m128i)b);
}

static inline vec v_load(const uint16_t *p)
{
    return (vec)_mm_loadu_si128((const void *)p);
}

static inline void v_store(uint16_t *p, vec v)
{
    _mm_storeu_si128((void *)p, (__m128i)v);
}

static inline vec v_widen(const uint8_t *p)
{
    return (vec)_mm_unpacklo_epi8(_mm_loadl_epi64((const void *)p), _mm_setzero_si128());
}

/* How all samples are scaled, and what is found on the way. */
struct scaling {
    __m128 offset, scale, limit, most, not_finite;
};

static inline __m128i scale4(struct scaling *s, const float *x, unsigned fold)
{
    __m128 value = _mm_loadu_ps(x), d = _mm_sub_ps(value, s->offset);
    __m128 a = fold ? _mm_andnot_ps(_mm_set1_ps(-0.0f), d) : _mm_max_ps(d, _mm_setzero_ps());
    __m128 scaled = _mm_min_ps(_mm_mul_ps(a, s->scale), s->limit);
    __m128i t = _mm_cvttps_epi32(_mm_add_ps(scaled, _mm_set1_ps(0.5f)));
    __m128i below = _mm_castps_si128(_mm_cmplt_ps(value, s->offset));

    s->most = _mm_max_ps(s->most, scaled);
    s->not_finite = _mm_or_ps(s->not_finite, _mm_sub_ps(value, value));
    return fold ? _mm_or_si128(t, _mm_slli_epi32(below, 15)) : t;
}

static inline void scale8(struct scaling *s, const float *x, uint16_t *linear, unsigned fold)
{
    v_store(linear, (vec)_mm_packs_epi32(scale4(s, x, fold), scale4(s, x + 4, fold)));
}

static inline void scale_all(struct scaling *s, const float *x, size_t n, uint16_t *linear,
                             unsigned fold)
{
    float rest[8];
    size_t i = 0;

    for (; n - i >= 8; i += 8)
        scale8(s, x + i, linear + i, fold);
    for (unsigned k = 0; k < 8; k++)
        rest[k] = k < n - i ? x[i + k] : _mm_cvtss_f32(s->offset);
    scale8(s, rest, linear + i, fold);
}

/* Scales x[n] to linear[n + 7].  Returns the largest t; -1 where a value is not finite: only then
 * x - x is not 0. */
static int32_t scale(const struct jc_trellis *m, const float *x, size_t n, uint16_t *linear)
{
    struct scaling s = {_mm_set1_ps(m->offset), _mm_set1_ps(m->scale), _mm_set1_ps(m->limit),
                        _mm_setzero_ps(), _mm_setzero_ps()};
    float most[4], largest = 0;

    if (m->fold)
        scale_all(&s, x, n, linear, 1);
    else
        scale_all(&s, x, n, linear, 0);
    if (_mm_movemask_ps(_mm_cmpneq_ps(s.not_finite, _mm_setzero_ps())))
        return -1;
    _mm_storeu_ps(most, s.most);
    for (unsigned i = 0; i < 4; i++)
        largest = most[i] > largest ? most[i] : largest;
    return (int32_t)(largest + 0.5f);
}

struct rows {
    __m128i r[8];
};

/* Rows 2 i and 2 i + 1: words of rows i and i + 4 in turn.  Three times make columns of rows. */
static inline struct rows interleave(struct rows a)
{
    struct rows b;

    b.r[0] = _mm_unpacklo_epi16(a.r[0], a.r[4]);
    b.r[1] = _mm_unpackhi_epi16(a.r[0], a.r[4]);
    b.r[2] = _mm_unpacklo_epi16(a.r[1], a.r[5]);
    b.r[3] = _mm_unpackhi_epi16(a.r[1], a.r[5]);
    b.r[4] = _mm_unpacklo_epi16(a.r[2], a.r[6]);
    b.r[5] = _mm_unpackhi_epi16(a.r[2], a.r[6]);
    b.r[6] = _mm_unpacklo_epi16(a.r[3], a.r[7]);
    b.r[7] = _mm_unpackhi_epi16(a.r[3], a.r[7]);
    return b;
}

static void transpose(const uint16_t *const *row, size_t start, uint16_t *tile)
{
    struct rows a;

    for (unsigned i = 0; i < 8; i++)
        a.r[i] = (__m128i)v_load(row[i] + start);
    a = interleave(interleave(interleave(a)));
    for (unsigned i = 0; i < 8; i++)
        v_store(tile + i * N_SIDE, (vec)_mm_and_si128(a.r[i], _mm_set1_epi16(INT16_MAX)));
}

/* The costs of two lanes, word by word. */
static inline __m128i two_rows(int16_t (*table)[JC_N_TRELLIS_CLASSES], const uint16_t *t)
{
    return _mm_unpacklo_epi16(_mm_loadl_epi64((const void *)table[t[0]]),
                              _mm_loadl_epi64((const void *)table[t[1]]));
}

static inline void look_up(int16_t (*table)[JC_N_TRELLIS_CLASSES], const uint16_t *t,
                           vec cost[JC_N_TRELLIS_CLASSES])
{
    __m128i a = two_rows(table, t), b = two_rows(table, t + 2);
    __m128i c = two_rows(table, t + 4), d = two_rows(table, t + 6);
    __m128i ab01 = _mm_unpacklo_epi32(a, b), ab23 = _mm_unpackhi_epi32(a, b);
    __m128i cd01 = _mm_unpacklo_epi32(c, d), cd23 = _mm_unpackhi_epi32(c, d);

    cost[0] = (vec)_mm_unpacklo_epi64(ab01, cd01);
    cost[1] = (vec)_mm_unpackhi_epi64(ab01, cd01);
    cost[2] = (vec)_mm_unpacklo_epi64(ab23, cd23);
    cost[3] = (vec)_mm_unpackhi_epi64(ab23, cd23);
}

/* The bytes of states 0, 2, 4, 6, then those of the others. */
static inline void store_turns(uint8_t *turns, const vec *turn, unsigned n_states)
{
    __m128i sum = _mm_setzero_si128();

    for (unsigned i = 0; i < n_states / 2; i++) {
        __m128i both = _mm_packs_epi16((__m128i)turn[2 * i], (__m128i)turn[2 * i + 1]);
        long long even = (long long)(0x0101010101010101u << i);
        long long odd = (long long)(0x1010101010101010u << i);

        sum = _mm_or_si128(sum, _mm_and_si128(both, _mm_set_epi64x(odd, even)));
    }
    _mm_storeu_si128((void *)turns, sum);
}

static void trace(unsigned n_states, const uint8_t *turns, unsigned n_steps,
                  uint8_t state[N_SIDE], uint8_t (*steps)[N_SIDE])
{
    const uint8_t *before = n_states == 4 ? jc_trellis_before4 : jc_trellis_before8;

    while (n_steps-- > 0)
        for (unsigned lane = 0; lane < N_SIDE; lane++) {
            const uint8_t *of_step = turns + 2 * N_SIDE * n_steps;
            unsigned s = state[lane], all = of_step[lane] | of_step[N_SIDE + lane];
            unsigned from = before[2 * s + (all >> JC_TRELLIS_TURN_BIT(s) & 1)];

            steps[n_steps][lane] = (uint8_t)from;
            state[lane] = from % 8;
        }
}

static void transpose_bytes(uint8_t (*steps)[N_SIDE], uint8_t (*lanes)[N_SIDE])
{
    for (unsigned lane = 0; lane < N_SIDE; lane++)
        for (unsigned i = 0; i < N_SIDE; i++)
            lanes[lane][i] = steps[i][lane];
}

#include "trellis_viterbi.h"

enum jc_result jc_trellis_lanes_sse2(void *ws, const struct jc_trellis *m,
                                     const struct jc_layout *layout, const float *x,
                                     uint16_t *syms)
{
    return quantize_lanes(ws, m, layout, x, syms);
}
#else
typedef int jc_trellis_has_no_sse2; /* a file must declare something */
#endif
