/*
 * The hot loop of context_ans_decode.c for 16 lanes in two vectors of eight.
 *
 * A step waits for its gather, a word and a table of classes, one after the other: the classes are looked up in
 * registers because a second gather would make the loop 15 % slower.
 *
 * ranks[mask][i]   how many of the bits below bit i are set in mask: the place of lane i's word among the
 *                  words that the lanes of mask take.
 */
#include "context_ans_decode.h"

#if defined(__x86_64__) && !defined(JC_SCALAR)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,popcnt")))
#define HALF 8 /* lanes in a vector */
#define MAX_STEP_BYTES (2 * JC_MAX_LANES) /* of words: one a lane, the most that is loaded as well */
JC_STATIC_ASSERT(JC_MAX_LANES == 2 * HALF);

struct half {
    __m256i x, left, state;
};

/* starts[union][i]: where the tables of classes 8 i .. 8 i + 7 start, but 0 is class 0, 1 is 1, 2 is unused, and
 * 3 is 2: see class_place. */
struct starts {
    __m256i of[JC_N_UNIONS][3];
};

void jc_ans_make_ranks(struct jc_context_decoder *ws)
{
    for (unsigned mask = 0; mask < 256; mask++)
        for (unsigned i = 0, rank = 0; i < HALF; i++) {
            ws->ranks[mask][i] = (uint8_t)rank;
            rank += mask >> i & 1;
        }
}

AVX2 static jc_always_inline __m256i load_words(const void *p)
{
    return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
}

AVX2 static jc_always_inline __m256i magnitude(__m256i symbol, unsigned fold)
{
    if (fold)
        symbol = _mm256_srli_epi32(_mm256_sub_epi32(symbol, _mm256_set1_epi32(-1)), 1);
    return symbol;
}

/* The class of t as a place in struct starts: exponent and highest bit of t as a float, from t = 1 on. */
AVX2 static jc_always_inline __m256i class_place(__m256i t)
{
    __m256i bits = _mm256_castps_si256(_mm256_cvtepi32_ps(t));
    __m256i place = _mm256_sub_epi32(_mm256_srli_epi32(bits, 22), _mm256_set1_epi32(253));

    return _mm256_max_epi32(place, _mm256_setzero_si256());
}

AVX2 static jc_always_inline __m256i pick(const __m256i table[3], __m256i place)
{
    __m256 low = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(table[0], place));
    __m256 middle = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(table[1], place));
    __m256 high = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(table[2], place));

    low = _mm256_blendv_ps(low, middle, _mm256_castsi256_ps(_mm256_slli_epi32(place, 28)));
    low = _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(place, 27)));
    return _mm256_castps_si256(low);
}

/* One step of eight lanes whose second neighbours are @upper. */
AVX2 static jc_always_inline __m256i step(const struct jc_context_decoder *ws, struct half *h,
                                          __m256i upper, const uint8_t **words, unsigned fold,
                                          unsigned has_trellis, __m256i next,
                                          const struct starts *starts)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i slot = _mm256_and_si256(h->x, _mm256_set1_epi32(JC_ANS_SUM - 1));
    __m256i sum = _mm256_add_epi32(h->left, magnitude(upper, fold));
    __m256i start, entry, extra, x, rest, symbol, is_low, word;
    unsigned mask;

    start = class_place(sum);
    if (has_trellis)
        start = _mm256_castps_si256(_mm256_blendv_ps(
            _mm256_castsi256_ps(pick(starts->of[0], start)),
            _mm256_castsi256_ps(pick(starts->of[1], start)),
            _mm256_castsi256_ps(_mm256_slli_epi32(h->state, 31))));
    else
        start = pick(starts->of[0], start);
    entry = _mm256_i32gather_epi32((const int *)ws->clusters.ans, _mm256_add_epi32(start, slot),
                                   4);
    extra = _mm256_srli_epi32(entry, JC_EXTRA_AT);
    x = _mm256_mullo_epi32(_mm256_and_si256(entry, _mm256_set1_epi32((1 << JC_OFFSET_AT) - 1)),
                           _mm256_srli_epi32(h->x, JC_ANS_BITS));
    x = _mm256_add_epi32(x, _mm256_and_si256(_mm256_srli_epi32(entry, JC_OFFSET_AT),
                                             _mm256_set1_epi32(JC_ANS_SUM - 1)));
    rest = _mm256_srlv_epi32(x, extra);
    /* mantissa << extra | x mod 2^extra  =  x + ((mantissa - rest) << extra) */
    symbol = _mm256_and_si256(_mm256_srli_epi32(entry, JC_MANTISSA_AT), _mm256_set1_epi32(15));
    symbol = _mm256_add_epi32(x, _mm256_sllv_epi32(_mm256_sub_epi32(symbol, rest), extra));

    is_low = _mm256_cmpeq_epi32(_mm256_srli_epi32(rest, 16), zero);
    mask = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(is_low));
    word = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)ws->ranks[mask]));
    word = _mm256_permutevar8x32_epi32(load_words(*words), word);
    word = _mm256_or_si256(_mm256_slli_epi32(rest, 16), word);
    h->x = _mm256_blendv_epi8(rest, word, is_low);
    *words += 2 * (unsigned)_mm_popcnt_u32(mask);

    h->left = magnitude(symbol, fold);
    if (has_trellis) {
        __m256i parity = _mm256_and_si256(h->left, _mm256_set1_epi32(1));

        h->state = _mm256_shuffle_epi8(next,
                                       _mm256_add_epi32(_mm256_slli_epi32(h->state, 1), parity));
    }
    return symbol;
}
JC_STATIC_ASSERT(JC_N_NARROW_SUMS == 1 << 9);

AVX2 static jc_always_inline struct half load_half(const struct jc_ans_lanes *l, unsigned at)
{
    return (struct half){_mm256_loadu_si256((const __m256i *)(l->x + at)),
                         _mm256_loadu_si256((const __m256i *)(l->left + at)),
                         _mm256_loadu_si256((const __m256i *)(l->state + at))};
}

AVX2 static jc_always_inline void store_half(struct jc_ans_lanes *l, unsigned at,
                                             const struct half *h)
{
    _mm256_storeu_si256((__m256i *)(l->x + at), h->x);
    _mm256_storeu_si256((__m256i *)(l->left + at), h->left);
    _mm256_storeu_si256((__m256i *)(l->state + at), h->state);
}

AVX2 static jc_always_inline struct starts load_starts(const struct jc_context_decoder *ws,
                                                       unsigned n_unions)
{
    uint32_t places[3 * HALF] = {0};
    struct starts starts;

    for (unsigned u = 0; u < n_unions; u++) {
        for (uint32_t t = 0; t < JC_N_NARROW_SUMS; t += t < 4 ? 1 : 1u << (jc_log2_floor(t) - 1))
            places[t < 2 ? t : jc_class_of(t) + 1] = ws->at_sum[u][t]; /* t is the first of its class */
        for (unsigned i = 0; i < 3; i++)
            starts.of[u][i] = _mm256_loadu_si256((const __m256i *)(places + HALF * i));
    }
    return starts;
}
JC_STATIC_ASSERT(2 * 8 + 1 + 1 < 3 * HALF); /* the place of sums up to JC_N_NARROW_SUMS - 1 */

AVX2 static jc_always_inline size_t steps(const struct jc_context_decoder *ws,
                                          struct jc_ans_lanes *l, const struct jc_ans_run *run,
                                          size_t from, size_t to, unsigned fold,
                                          unsigned has_trellis, __m256i next)
{
    struct half a = load_half(l, 0), b = load_half(l, HALF);
    const uint8_t *words = l->words;
    uint16_t *at = run->syms + from * JC_MAX_LANES;
    const struct starts starts = load_starts(ws, 1 + has_trellis);

    for (; from < to && (size_t)(l->end - words) >= MAX_STEP_BYTES; from++) {
        const uint16_t *upper = at - run->back * JC_MAX_LANES;
        __m256i low = load_words(upper), high = load_words(upper + HALF);

        low = step(ws, &a, low, &words, fold, has_trellis, next, &starts);
        high = step(ws, &b, high, &words, fold, has_trellis, next, &starts);
        low = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
        _mm256_storeu_si256((__m256i *)at, low);
        at += JC_MAX_LANES;
    }
    l->words = words;
    store_half(l, 0, &a);
    store_half(l, HALF, &b);
    return from;
}

/* next[state][parity] in both halves of a vector, by 2 * state + parity; the first is 0. */
AVX2 static __m256i next_states(const struct jc_ans_run *run)
{
    uint8_t next[16] = {0};

    memcpy(next, run->next, 2 * run->n_states);
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)next));
}

AVX2 size_t jc_ans_steps_avx2(const struct jc_context_decoder *ws, struct jc_ans_lanes *l,
                              const struct jc_ans_run *run, size_t from, size_t to)
{
    __m256i none = _mm256_setzero_si256();

    if (run->next)
        return steps(ws, l, run, from, to, run->fold, 1, next_states(run));
    if (run->fold)
        return steps(ws, l, run, from, to, 1, 0, none);
    return steps(ws, l, run, from, to, 0, 0, none);
}
#else
typedef int jc_context_ans_avx2_is_empty;
#endif
