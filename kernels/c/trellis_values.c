/*
 * Values of trellis-coded symbols: docs/bitstream.md, quantizer 5 and "Trellis".
 *
 * A lane is read RUN symbols at a time.  Bit i of a word belongs to symbol i of the run:
 *
 *   parities  p, of the magnitudes
 *   unions    u, which follow from them: the trellis is a filter over GF(2).  Its union u_i is
 *             f_i ^ u_(i-1) ^ u_(i-3) for 8 states and f_i ^ u_(i-2) for 4, where f is p, moved by
 *             log2(states) - 1 symbols, with the state at the start in the bits before.
 *
 * With D for "one symbol later" that is u = f / (1 + D + D^3) = f (1 + D + D^2 + D^4) / (1 + D^7), or
 * u = f / (1 + D^2), and 1 / (1 + D^m) = (1 + D^m) (1 + D^2m) (1 + D^4m) .. : shifts by less than RUN.
 *
 * Every form computes the same: level = 2k - u, one product, the sign, one sum.  The offset is
 * added even if it is 0, which turns -0 into 0.
 */
#include "codec.h"

#define RUN 64

#if defined(__x86_64__) && !defined(JC_SCALAR)
#define HAS_AVX2_FORM 1
#include <immintrin.h>
#else
#define HAS_AVX2_FORM 0
#endif

/* One symbol after the other, from a state; for what is left of a lane. */
static void single_values(const struct jc_quantizer *q, unsigned state, const uint16_t *syms,
                          size_t n, float *x)
{
    const uint8_t(*next)[2] = q->n_states == 4 ? jc_trellis_next4 : jc_trellis_next8;

    for (size_t i = 0; i < n; i++) {
        uint32_t k = jc_magnitude(syms[i], q->fold), u = state & 1;
        float level = (float)(int32_t)(k ? 2 * k - u : 0);
        float r = k < q->n_centroids ? q->centroids[u][k] : level * q->step;

        x[i] = (syms[i] & q->fold ? -r : r) + q->offset;
        state = next[state][k & 1];
    }
}

static inline uint64_t multiply(uint64_t bits, unsigned shift)
{
    return bits ^ bits << shift;
}

/* The unions of a run, and the state after it. */
static inline uint64_t unions_of(unsigned n_states, uint64_t parities, unsigned *state)
{
    uint64_t f, u;

    if (n_states == 4) {
        u = parities << 1 ^ *state;
        for (unsigned m = 2; m < RUN; m *= 2)
            u = multiply(u, m);
        *state = (unsigned)((u >> (RUN - 2) ^ parities >> (RUN - 1)) & 1);
        *state |= (unsigned)(u >> (RUN - 1)) << 1;
        return u;
    }
    f = parities << 2 ^ *state;
    u = f ^ f << 1 ^ f << 2 ^ f << 4;
    for (unsigned m = 7; m < RUN; m *= 2)
        u = multiply(u, m);
    *state = (unsigned)((u >> (RUN - 1) ^ u >> (RUN - 3) ^ parities >> (RUN - 2)) & 1);
    *state |= (unsigned)((u >> (RUN - 2) ^ parities >> (RUN - 1)) & 1) << 1;
    *state |= (unsigned)(u >> (RUN - 1)) << 2;
    return u;
}

/* Eight bytes of 0 or 1 -> eight bits, the first byte lowest; and back. */
static inline uint64_t gather(const uint8_t bytes[RUN])
{
    uint64_t bits = 0;

    for (unsigned j = 0; j < RUN; j += 8)
        bits |= jc_load_le64(bytes + j) * 0x0102040810204080u >> 56 << j;
    return bits;
}

static inline void spread(uint64_t bits, uint8_t bytes[RUN])
{
    const uint64_t ones = 0x0101010101010101u;

    for (unsigned j = 0; j < RUN; j += 8) {
        uint64_t own = (bits >> j & 255) * ones & 0x8040201008040201u;

        jc_store_le64(bytes + j, (own + 0x7f * ones) >> 7 & ones);
    }
}

/* Loops without branches, for any vectors that a compiler has; tables are read in a loop of their own. */
static inline void run_plain(const struct jc_quantizer *q, unsigned fold, unsigned *state,
                             const uint16_t *restrict syms, float *restrict x)
{
    float step = q->step, offset = q->offset, own[RUN] = {0}, r[RUN];
    int32_t n_own = q->n_centroids;
    uint8_t bytes[RUN];

    for (unsigned i = 0; i < RUN; i++)
        bytes[i] = (uint8_t)((syms[i] >> fold ^ (syms[i] & fold)) & 1);
    spread(unions_of(q->n_states, gather(bytes), state), bytes);
    for (unsigned i = 0; i < (n_own ? RUN : 0); i++)
        own[i] = q->centroids[bytes[i]][jc_magnitude(syms[i], fold) % JC_MAX_CENTROIDS];
    for (unsigned i = 0; i < RUN; i++) {
        int32_t k = (int32_t)jc_magnitude(syms[i], fold);

        r[i] = (float)(2 * k - (bytes[i] & (k > 0))) * step;
    }
    for (unsigned i = 0; i < RUN; i++) {
        float sign = (float)(1 - 2 * (int32_t)(syms[i] & fold));

        x[i] = sign * ((int32_t)jc_magnitude(syms[i], fold) < n_own ? own[i] : r[i]) + offset;
    }
}

#if HAS_AVX2_FORM
#define AVX2 __attribute__((target("avx2"))) static inline

/* The parities of 32 symbols. */
AVX2 uint32_t parities_avx2(unsigned fold, const uint16_t *syms)
{
    __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)syms);
    __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(syms + 16));
    __m256i bytes;

    if (fold) {
        low = _mm256_xor_si256(low, _mm256_srli_epi16(low, 1));
        high = _mm256_xor_si256(high, _mm256_srli_epi16(high, 1));
    }
    bytes = _mm256_packs_epi16(_mm256_slli_epi16(low, 15), _mm256_slli_epi16(high, 15));
    return (uint32_t)_mm256_movemask_epi8(_mm256_permute4x64_epi64(bytes, 0xd8));
}

/* r of magnitudes k; is_odd is all ones in union 1. */
AVX2 __m256 centroids_avx2(const struct jc_quantizer *q, __m256i k, __m256i is_odd, __m256 r)
{
    __m256i is_high = _mm256_slli_epi32(k, 28), has_own;
    __m256 even = _mm256_permutevar8x32_ps(_mm256_loadu_ps(q->centroids[0]), k);
    __m256 odd = _mm256_permutevar8x32_ps(_mm256_loadu_ps(q->centroids[1]), k);

    if (q->n_centroids > 8) {
        __m256 even8 = _mm256_permutevar8x32_ps(_mm256_loadu_ps(q->centroids[0] + 8), k);
        __m256 odd8 = _mm256_permutevar8x32_ps(_mm256_loadu_ps(q->centroids[1] + 8), k);

        even = _mm256_blendv_ps(even, even8, _mm256_castsi256_ps(is_high));
        odd = _mm256_blendv_ps(odd, odd8, _mm256_castsi256_ps(is_high));
    }
    even = _mm256_blendv_ps(even, odd, _mm256_castsi256_ps(is_odd));
    has_own = _mm256_cmpgt_epi32(_mm256_set1_epi32(q->n_centroids), k);
    return _mm256_blendv_ps(r, even, _mm256_castsi256_ps(has_own));
}

/* Eight values; the unions are bits first .. first + 7. */
AVX2 void eight_values_avx2(const struct jc_quantizer *q, unsigned fold, uint32_t unions,
                            unsigned first, const uint16_t *syms, float *x)
{
    const __m256i to_top = _mm256_sub_epi32(_mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24),
                                            _mm256_set1_epi32((int)first));
    __m256i bits = _mm256_sllv_epi32(_mm256_set1_epi32((int)unions), to_top);
    __m256i is_odd = _mm256_srai_epi32(bits, 31);
    __m256i s = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)syms));
    __m256i k = fold ? _mm256_srli_epi32(_mm256_sub_epi32(s, _mm256_set1_epi32(-1)), 1) : s;
    __m256i level = _mm256_add_epi32(_mm256_add_epi32(k, k), is_odd);
    __m256 r = _mm256_cvtepi32_ps(_mm256_max_epi32(level, _mm256_setzero_si256()));

    r = _mm256_mul_ps(r, _mm256_set1_ps(q->step));
    if (q->n_centroids > 0)
        r = centroids_avx2(q, k, is_odd, r);
    if (fold)
        r = _mm256_xor_ps(r, _mm256_castsi256_ps(_mm256_slli_epi32(s, 31)));
    _mm256_storeu_ps(x, _mm256_add_ps(r, _mm256_set1_ps(q->offset)));
}

AVX2 void run_avx2(const struct jc_quantizer *q, unsigned fold, unsigned *state,
                   const uint16_t *restrict syms, float *restrict x)
{
    uint64_t parities = parities_avx2(fold, syms);
    uint64_t unions;

    parities |= (uint64_t)parities_avx2(fold, syms + 32) << 32;
    unions = unions_of(q->n_states, parities, state);
    for (unsigned i = 0; i < RUN; i += 8)
        eight_values_avx2(q, fold, (uint32_t)(unions >> (i & 32)), i & 31, syms + i, x + i);
}

/* As many whole runs as there are; how many symbols that were. */
__attribute__((target("avx2"))) static size_t runs_avx2(const struct jc_quantizer *quantizer,
                                                        unsigned *state, const uint16_t *syms,
                                                        size_t n, float *x)
{
    const struct jc_quantizer q = *quantizer; /* floats of its own, which no value overwrites */
    size_t i = 0;

    for (; q.fold && n - i >= RUN; i += RUN)
        run_avx2(&q, 1, state, syms + i, x + i);
    for (; n - i >= RUN; i += RUN)
        run_avx2(&q, 0, state, syms + i, x + i);
    return i;
}
#endif

static size_t runs(const struct jc_quantizer *q, unsigned *state, const uint16_t *syms, size_t n,
                   float *x)
{
    size_t i = 0;

#if HAS_AVX2_FORM
    if (jc_cpu_features() & JC_HAS_AVX2)
        return runs_avx2(q, state, syms, n, x);
#endif
    for (; q->fold && n - i >= RUN; i += RUN)
        run_plain(q, 1, state, syms + i, x + i);
    for (; n - i >= RUN; i += RUN)
        run_plain(q, 0, state, syms + i, x + i);
    return i;
}

void jc_trellis_values(const struct jc_quantizer *q, const struct jc_layout *layout,
                       const uint16_t *syms, float *x)
{
    for (unsigned lane = 0; lane < layout->lanes; lane++) {
        size_t start = jc_lane_start(layout, lane);
        size_t n = jc_lane_start(layout, lane + 1) - start;
        unsigned state = 0;
        size_t done = runs(q, &state, syms + start, n, x + start);

        single_values(q, state, syms + start + done, n - done, x + start + done);
    }
}
