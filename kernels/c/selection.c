/*
 * The table of cuts: docs/selection.md, "The table as bytes".
 *
 * Order, all of it checked once, is what makes the searches right: starts ascend, and so do
 * spans by (cut, first).  A search keeps `low` before what it looks for and `high` behind:
 *   low    entries before it are at most the key
 *   high   entries from it on are greater; low <= high <= number of entries
 */
#include "selection.h"

#include "block.h" /* jc_sum_fits */

#define MAGIC 0x1a44434au /* "JCD", end of file */
#define VERSION 1
#define PREFIX_BYTES 16
#define SUM_BYTES 4
#define START_BYTES 8
#define SPAN_BYTES 16
#define NUMBER_BYTES 2
#define MAX_ENTRIES (1u << 24)

/* The size of the largest table does not overflow 32 bits. */
JC_STATIC_ASSERT((uint64_t)MAX_ENTRIES * (START_BYTES + SPAN_BYTES + 2 * NUMBER_BYTES) +
                     PREFIX_BYTES + SUM_BYTES <=
                 UINT32_MAX);

static double load_f64(const uint8_t *p)
{
    uint64_t bits = jc_load_le64(p);
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static double start_of(const struct jc_selection *t, size_t i)
{
    return load_f64(t->starts + START_BYTES * i);
}

static unsigned choice_of(const struct jc_selection *t, size_t i)
{
    return jc_load_le16(t->choices + NUMBER_BYTES * i);
}

static double first_of(const struct jc_selection *t, size_t i)
{
    return load_f64(t->spans + SPAN_BYTES * i);
}

static double last_of(const struct jc_selection *t, size_t i)
{
    return load_f64(t->spans + SPAN_BYTES * i + 8);
}

static unsigned cut_of(const struct jc_selection *t, size_t i)
{
    return jc_load_le16(t->cuts + NUMBER_BYTES * i);
}

/* Comparisons are written so that what is not a number fails them. */
static int pieces_fit(const struct jc_selection *t)
{
    if (!(start_of(t, 0) == 0))
        return 0;
    for (size_t i = 0; i < t->n_pieces; i++) {
        if (choice_of(t, i) != JC_NO_CUT && choice_of(t, i) >= t->n_cuts)
            return 0;
        if (i && !(start_of(t, i - 1) < start_of(t, i)))
            return 0;
        if (i && choice_of(t, i - 1) == choice_of(t, i))
            return 0;
    }
    return 1;
}

static int spans_fit(const struct jc_selection *t)
{
    for (size_t i = 0; i < t->n_spans; i++) {
        if (cut_of(t, i) >= t->n_cuts)
            return 0;
        if (!(first_of(t, i) >= 0 && first_of(t, i) <= last_of(t, i)))
            return 0;
        if (i && cut_of(t, i - 1) > cut_of(t, i))
            return 0;
        if (i && cut_of(t, i - 1) == cut_of(t, i) && !(last_of(t, i - 1) < first_of(t, i)))
            return 0;
    }
    return 1;
}

void jc_view_selection(const uint8_t *src, struct jc_selection *t)
{
    t->n_cuts = jc_load_le16(src + 6);
    t->n_pieces = jc_load_le32(src + 8);
    t->n_spans = jc_load_le32(src + 12);
    t->starts = src + PREFIX_BYTES;
    t->spans = t->starts + (size_t)START_BYTES * t->n_pieces;
    t->choices = t->spans + (size_t)SPAN_BYTES * t->n_spans;
    t->cuts = t->choices + (size_t)NUMBER_BYTES * t->n_pieces;
}

enum jc_result jc_read_selection(const uint8_t *src, size_t size, struct jc_selection *t)
{
    uint32_t n_pieces, n_spans;
    unsigned n_cuts;
    size_t needed;

    if (size < PREFIX_BYTES + SUM_BYTES)
        return JC_TRUNCATED;
    if (jc_load_le32(src) != MAGIC)
        return JC_BAD_MAGIC;
    if (src[4] != VERSION)
        return JC_BAD_VERSION;
    n_cuts = jc_load_le16(src + 6);
    n_pieces = jc_load_le32(src + 8);
    n_spans = jc_load_le32(src + 12);
    if (src[5] != 0 || n_cuts == 0 || n_pieces == 0)
        return JC_BAD_HEADER;
    if (n_pieces >= MAX_ENTRIES || n_spans >= MAX_ENTRIES)
        return JC_BAD_HEADER;
    needed = PREFIX_BYTES + SUM_BYTES + (size_t)(START_BYTES + NUMBER_BYTES) * n_pieces +
             (size_t)(SPAN_BYTES + NUMBER_BYTES) * n_spans;
    if (size != needed)
        return size < needed ? JC_TRUNCATED : JC_TRAILING;
    if (!jc_sum_fits(jc_xxh32(src, size - SUM_BYTES), jc_load_le32(src + size - SUM_BYTES)))
        return JC_BAD_CHECKSUM;
    jc_view_selection(src, t); /* whose offsets stay within the size */
    return pieces_fit(t) && spans_fit(t) ? JC_OK : JC_BAD_TABLE;
}

/* Whether x lies in a span of the cut. */
static int is_kept(const struct jc_selection *t, double x, unsigned cut)
{
    size_t low = 0, high = t->n_spans;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (cut_of(t, middle) < cut || (cut_of(t, middle) == cut && first_of(t, middle) <= x))
            low = middle + 1;
        else
            high = middle;
    }
    return low && cut_of(t, low - 1) == cut && x <= last_of(t, low - 1);
}

enum jc_result jc_select(const struct jc_selection *t, double x, unsigned previous, unsigned *cut)
{
    size_t low = 1, high = t->n_pieces; /* the first piece starts at 0 */

    if (!(x >= 0) || (previous != JC_NO_CUT && previous >= t->n_cuts))
        return JC_BAD_ARGUMENT;
    if (previous != JC_NO_CUT && is_kept(t, x, previous)) {
        *cut = previous;
        return JC_OK;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (start_of(t, middle) <= x)
            low = middle + 1;
        else
            high = middle;
    }
    *cut = choice_of(t, low - 1);
    return JC_OK;
}
