/*
 * What the loops of the ANS decoder share.
 *
 * Entry of a slot, all that a step needs in one load:
 *   bits 0..11 frequency, 12..22 slot - start, 23..26 mantissa, 27..30 how many extra bits
 * where mantissa << extra bits is the symbol whose extra bits are zero.
 */
#ifndef JC_CONTEXT_ANS_DECODE_H
#define JC_CONTEXT_ANS_DECODE_H

#include "context_internal.h"

#define JC_OFFSET_AT 12
#define JC_MANTISSA_AT 23
#define JC_EXTRA_AT 27
JC_STATIC_ASSERT(JC_ANS_SUM < 1u << JC_OFFSET_AT);
JC_STATIC_ASSERT(JC_ANS_SUM <= 1u << (JC_MANTISSA_AT - JC_OFFSET_AT));
JC_STATIC_ASSERT(JC_N_PLAIN_TOKENS <= 1u << (JC_EXTRA_AT - JC_MANTISSA_AT));
JC_STATIC_ASSERT(JC_MAX_EXTRA < 1u << (32 - JC_EXTRA_AT));

/*
 * By lane:
 *   x          JC_ANS_LOW <= x < 2^32 between symbols, whatever is read: a frequency is at least 1,
 *              so x >= 2^(16 - JC_ANS_BITS) after a token, x >= 1 after the first piece of its extra
 *              bits, and a word is appended to an x that is too small.
 *   left       magnitude of the symbol before.
 *   state      of the trellis; its lowest bit is the union.
 * and words .. end, which the lanes share.
 */
struct jc_ans_lanes {
    uint32_t x[JC_MAX_LANES], left[JC_MAX_LANES], state[JC_MAX_LANES];
    const uint8_t *words, *end;
};
JC_STATIC_ASSERT(16 - JC_ANS_BITS >= JC_FIRST_PIECE);

/* Where symbols lie, and what the compiler should know of them. */
struct jc_ans_run {
    uint16_t *syms;           /* step by step, lane by lane */
    size_t lanes;
    size_t back;              /* steps to the second neighbour; 0: to a 0 where the symbol will be */
    unsigned fold, wide;
    const uint8_t (*next)[2]; /* NULL: no trellis */
    unsigned n_states;
};

/* Steps from .. to of 16 lanes of narrow symbols, or fewer if the words may not last.  Returns the
 * step after. */
#if defined(__x86_64__) && !defined(JC_SCALAR)
void jc_ans_make_ranks(struct jc_context_decoder *ws);
size_t jc_ans_steps_avx2(const struct jc_context_decoder *ws, struct jc_ans_lanes *lanes,
                         const struct jc_ans_run *run, size_t from, size_t to);
#endif

/* Put the symbols of 16 lanes, @from[16 * n], one lane after the other, @stride apart.  Returns how many of
 * the n steps that is; the caller does the last few. */
#if defined(__x86_64__) && !defined(JC_SCALAR)
size_t jc_unravel_16(const uint16_t *from, size_t n, size_t stride, uint16_t *syms);
#endif

#endif
