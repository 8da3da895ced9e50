/*
 * Which cut to use for the present channel, by a table that the host made; docs/selection.md.
 *
 *   jc_read_selection   check the bytes of a table; nothing is copied, so keep them
 *   jc_view_selection   the same of bytes that were checked before
 *   jc_select           the cut for a channel: a binary search, comparisons only
 *
 * None allocates or computes with the channel, so every machine decides alike.
 */
#ifndef JC_SELECTION_H
#define JC_SELECTION_H

#include "bits.h"
#include "result.h"

#define JC_NO_CUT 0xffffu /* no cut keeps the bounds; or, as the previous cut, there is none */

/* A checked table: views into its bytes. */
struct jc_selection {
    const uint8_t *starts;  /* [n_pieces] f64, ascending from 0 */
    const uint8_t *spans;   /* [n_spans] two f64: first, last */
    const uint8_t *choices; /* [n_pieces] u16 */
    const uint8_t *cuts;    /* [n_spans] u16, ascending; spans of one cut ascend */
    uint32_t n_pieces, n_spans;
    unsigned n_cuts;
};

/* @src[size] is untrusted.  JC_OK only if every field is as docs/selection.md says. */
enum jc_result jc_read_selection(const uint8_t *src, size_t size, struct jc_selection *table);

/* @src is trusted: jc_read_selection took it once, or it is part of the program. */
void jc_view_selection(const uint8_t *src, struct jc_selection *table);

/*
 * x         seconds per bit, 0 to infinity
 * previous  the cut of the inference before, which hysteresis may keep; or JC_NO_CUT
 * cut       becomes a number less than n_cuts, or JC_NO_CUT
 * JC_BAD_ARGUMENT if x is negative or not a number, or previous is no cut.
 */
enum jc_result jc_select(const struct jc_selection *table, double x, unsigned previous,
                         unsigned *cut);

#endif
