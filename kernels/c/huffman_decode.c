/*
 * Streams -> codes.  Everything that is read here may be hostile.
 *
 * A lane is one stream on its way.  Bits are read into a word with a sentinel: a bit above the 63
 * or fewer unread ones, so that the word knows how many were taken, and nothing counts them.
 *   word         next bits lowest; leading zeros = bits taken since the load, < 64.
 *   in           the word was loaded from here.  Invariant: in + 8 <= the end of @src, if fast.
 *   out, n_left  symbols yet to come.
 * Loads may run over the end of a lane into the next one.  That is found when the lane has its
 * symbols: it must then stand in the last byte of its stream, before zeros.
 */
#include "huffman_tables.h"

#define LOOKUPS 5 /* for each load */
#define SENTINEL (UINT64_C(1) << 63)
/* A load starts with up to 7 bits of the byte taken already and has one sentinel. */
JC_STATIC_ASSERT(7 + LOOKUPS * JC_MAX_CODE_BITS <= 63);
#define MAX_LOAD_STEP 7 /* bytes from a load to the next */

struct lane {
    uint64_t word;
    const uint8_t *in;
    uint8_t *out;
    size_t n_left;
    const uint8_t *end; /* of the stream */
};

/* Rounds of look-ups that all lanes can make without a check; `most` symbols a round, of which
 * the last store may write 8 bytes. */
static inline size_t safe_rounds(const struct lane *lanes, unsigned n_lanes,
                                 const uint8_t *last_load, size_t most, size_t beyond)
{
    size_t rounds = SIZE_MAX;

    for (unsigned k = 0; k < n_lanes; k++) {
        size_t loads = lanes[k].in < last_load
                           ? (size_t)(last_load - lanes[k].in) / MAX_LOAD_STEP
                           : 0;
        size_t stores = lanes[k].n_left > beyond ? (lanes[k].n_left - beyond) / most : 0;

        rounds = loads < rounds ? loads : rounds;
        rounds = stores < rounds ? stores : rounds;
    }
    return rounds;
}

static inline uint64_t reload(const uint8_t **in, uint64_t word)
{
    unsigned taken = (unsigned)__builtin_clzll(word);

    *in += taken / 8;
    return (jc_load_le64(*in) | SENTINEL) >> taken % 8;
}

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* All lanes side by side, as long as every one of them is safe; one symbol a look-up. */
ALWAYS_INLINE void run_single(struct lane lanes[JC_HUFFMAN_STREAMS], size_t segment,
                              const uint16_t *single, const uint8_t *last_load)
{
    enum { N = JC_HUFFMAN_STREAMS };
    size_t rounds;

    while ((rounds = safe_rounds(lanes, N, last_load, LOOKUPS, 0)) > 0) {
        uint64_t word[N];
        const uint8_t *in[N];
        uint8_t *low = lanes[0].out, *high = low + 3 * segment;
        size_t n_done = rounds * LOOKUPS;

        for (unsigned k = 0; k < N; k++) {
            word[k] = lanes[k].word;
            in[k] = lanes[k].in;
        }
        for (; rounds; rounds--) {
#pragma GCC unroll 5
            for (unsigned j = 0; j < LOOKUPS; j++) {
#pragma GCC unroll 6
                for (unsigned k = 0; k < N; k++) {
                    unsigned entry = single[word[k] % JC_TABLE_SIZE];

                    word[k] >>= entry & 63;
                    (k < 3 ? low : high)[k % 3 * segment + j] = (uint8_t)(entry >> 8);
                }
            }
            low += LOOKUPS;
            high += LOOKUPS;
#pragma GCC unroll 6
            for (unsigned k = 0; k < N; k++)
                word[k] = reload(&in[k], word[k]);
        }
        for (unsigned k = 0; k < N; k++) {
            lanes[k].word = word[k];
            lanes[k].in = in[k];
            lanes[k].out += n_done;
            lanes[k].n_left -= n_done;
        }
    }
}

/* The first N lanes side by side, as long as every one of them is safe; several symbols. */
ALWAYS_INLINE void run_multi(struct lane *lanes, const unsigned N, const uint64_t *multi,
                             const uint8_t *last_load)
{
    size_t rounds;

    while ((rounds = safe_rounds(lanes, N, last_load, LOOKUPS * JC_MAX_MULTI, 8)) > 0) {
        uint64_t word[JC_HUFFMAN_STREAMS];
        const uint8_t *in[JC_HUFFMAN_STREAMS];
        uint8_t *out[JC_HUFFMAN_STREAMS];

#pragma GCC unroll 6
        for (unsigned k = 0; k < N; k++) {
            word[k] = lanes[k].word;
            in[k] = lanes[k].in;
            out[k] = lanes[k].out;
        }
        for (; rounds; rounds--) {
#pragma GCC unroll 5
            for (unsigned j = 0; j < LOOKUPS; j++) {
#pragma GCC unroll 6
                for (unsigned k = 0; k < N; k++) {
                    uint64_t entry = multi[JC_TABLE_SIZE + word[k] % JC_TABLE_SIZE];

                    word[k] >>= entry & 63;
                    jc_store_le64(out[k], entry >> 16);
                    out[k] += (uint8_t)(entry >> 8);
                }
            }
#pragma GCC unroll 6
            for (unsigned k = 0; k < N; k++)
                word[k] = reload(&in[k], word[k]);
        }
#pragma GCC unroll 6
        for (unsigned k = 0; k < N; k++) {
            lanes[k].n_left -= (size_t)(out[k] - lanes[k].out);
            lanes[k].word = word[k];
            lanes[k].in = in[k];
            lanes[k].out = out[k];
        }
    }
}

/* Run lanes until one is not safe any more, go on with the others: segments differ in how many
 * look-ups they need.  A loop for each number of lanes was not faster. */
ALWAYS_INLINE void run_all(const struct jc_huffman_decoder *ws,
                           struct lane lanes[JC_HUFFMAN_STREAMS], size_t segment,
                           const uint8_t *last_load, int use_multi)
{
    unsigned n = JC_HUFFMAN_STREAMS;

    if (!use_multi) {
        run_single(lanes, segment, ws->single, last_load);
        return;
    }
    while (n > 0) {
        if (n == 6)
            run_multi(lanes, 6, ws->multi, last_load);
        else if (n >= 3)
            run_multi(lanes, 3, ws->multi, last_load);
        else
            run_multi(lanes, 1, ws->multi, last_load);
        for (unsigned k = n; k-- > 0;) {
            if (safe_rounds(lanes + k, 1, last_load, LOOKUPS * JC_MAX_MULTI, 8) == 0) {
                struct lane ended = lanes[k];

                lanes[k] = lanes[--n];
                lanes[n] = ended;
            }
        }
    }
}
JC_STATIC_ASSERT(JC_HUFFMAN_STREAMS == 6);

#if defined(__x86_64__) && !defined(JC_SCALAR)
/* Shifts by a register are one operation with BMI2 and three without.  Every processor with BMI2
 * has LZCNT, about which not every compiler can ask. */
__attribute__((target("bmi2,lzcnt"))) static void
run_all_bmi2(const struct jc_huffman_decoder *ws, struct lane lanes[JC_HUFFMAN_STREAMS],
             size_t segment, const uint8_t *last_load, int use_multi)
{
    run_all(ws, lanes, segment, last_load, use_multi);
}
#endif

static void run_best(const struct jc_huffman_decoder *ws, struct lane lanes[JC_HUFFMAN_STREAMS],
                     size_t segment, const uint8_t *last_load, int use_multi)
{
#if defined(__x86_64__) && !defined(JC_SCALAR)
    if (__builtin_cpu_supports("bmi2")) {
        run_all_bmi2(ws, lanes, segment, last_load, use_multi);
        return;
    }
#endif
    run_all(ws, lanes, segment, last_load, use_multi);
}

/* What is left of a lane, one symbol at a time; nothing at or after src_end is read. */
static enum jc_result finish_lane(const uint16_t single[JC_TABLE_SIZE], struct lane *lane,
                                  const uint8_t *src_end)
{
    unsigned taken = (unsigned)__builtin_clzll(lane->word);
    const uint8_t *in = lane->in + taken / 8;

    for (taken %= 8; lane->n_left > 0; taken %= 8) {
        uint64_t word = 0;

        if (src_end - in >= 8)
            word = jc_load_le64(in);
        else
            for (unsigned k = 0; in + k < src_end; k++)
                word |= (uint64_t)in[k] << 8 * k;
        word >>= taken;
        for (unsigned j = 0; j < LOOKUPS && lane->n_left > 0; j++, lane->n_left--) {
            unsigned entry = single[word % JC_TABLE_SIZE];

            word >>= entry & 63;
            taken += entry & 63;
            *lane->out++ = (uint8_t)(entry >> 8);
        }
        if (lane->end - in < (ptrdiff_t)(taken / 8))
            return JC_BAD_LENGTH;
        in += taken / 8;
    }
    if (lane->end - in != (taken > 0))
        return JC_BAD_LENGTH;
    return taken == 0 || in[0] >> taken == 0 ? JC_OK : JC_BAD_PADDING;
}

static struct lane open_lane(const uint8_t *in, size_t size, const uint8_t *src_end, uint8_t *out,
                             size_t n)
{
    struct lane lane = {SENTINEL, in, out, n, in + size};

    if (src_end - in >= 8)
        lane.word |= jc_load_le64(in);
    return lane;
}

/* Find the streams; 0 if they do not fit in @src[size]. */
static int open_lanes(struct lane lanes[JC_HUFFMAN_STREAMS], const uint8_t *src, size_t size,
                      size_t segment, uint8_t *syms, size_t n)
{
    const uint8_t *sizes = src, *src_end = src + size;
    size_t left = size;

    if (left < 3 * (JC_HUFFMAN_STREAMS - 1))
        return 0;
    left -= 3 * (JC_HUFFMAN_STREAMS - 1);
    for (unsigned k = 0; k + 1 < JC_HUFFMAN_STREAMS; k++, sizes += 3) {
        size_t stream = jc_load_le16(sizes) | (size_t)sizes[2] << 16;

        if (stream > left)
            return 0;
        lanes[k] = open_lane(src_end - left, stream, src_end, syms + k * segment, segment);
        left -= stream;
        n -= segment;
    }
    lanes[JC_HUFFMAN_STREAMS - 1] =
        open_lane(src_end - left, left, src_end, syms + (JC_HUFFMAN_STREAMS - 1) * segment, n);
    return 1;
}

/*
 * Whether several symbols a look-up pay.  Measured on x86-64 with blocks of 128 Ki codes: 0.45 times
 * the time at a mean length of 3 bits, 0.75 at 5, 0.85 at 5.66, 1.1 at 6.1; the table takes as long
 * as some thousand codes.  mean: of the codes in random bits, in 1/2048 bits.
 */
#define MIN_CODES_FOR_MULTI 16384
#define MULTI_BELOW_BITS_X4 23

static int multi_pays(const uint8_t lens[JC_MAX_ALPHABET], size_t n)
{
    uint32_t mean = 0;

    for (unsigned s = 0; s < JC_MAX_ALPHABET; s++)
        mean += (uint32_t)lens[s] << JC_MAX_CODE_BITS >> lens[s];
    return n >= MIN_CODES_FOR_MULTI && 4 * mean < MULTI_BELOW_BITS_X4 * JC_TABLE_SIZE;
}

enum jc_result jc_huffman_decode(struct jc_huffman_decoder *ws, const uint8_t *src, size_t size,
                                 const uint8_t lens[JC_MAX_ALPHABET], uint8_t *syms, size_t n)
{
    size_t segment = jc_huffman_segment(n);
    struct lane lanes[JC_HUFFMAN_STREAMS];
    int use_multi = multi_pays(lens, n);

    jc_fill_tables(ws, lens, segment < n && use_multi);
    if (segment == n) {
        lanes[0] = open_lane(src, size, src + size, syms, n);
        return finish_lane(ws->single, lanes, src + size);
    }
    if (!open_lanes(lanes, src, size, segment, syms, n))
        return JC_BAD_LENGTH;
    run_best(ws, lanes, segment, size < 8 ? src : src + size - 8, use_multi);
    for (unsigned k = 0; k < JC_HUFFMAN_STREAMS; k++) {
        enum jc_result result = finish_lane(ws->single, lanes + k, src + size);

        if (result != JC_OK)
            return result;
    }
    return JC_OK;
}
