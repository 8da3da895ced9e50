/*
 * A table of cuts from anywhere: it is refused, or every channel and previous cut gives a cut
 * that it names or none.
 */
#include <math.h>
#include <stdlib.h>

#include "selection.h"

uint32_t fuzz_made; /* of exact.h */

static void look_up(const struct jc_selection *table, double x)
{
    static const unsigned near[] = {0, 1, 7, JC_NO_CUT};

    for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++) {
        unsigned cut = 0;
        enum jc_result result = jc_select(table, x, near[i], &cut);

        if (result == JC_OK && cut >= table->n_cuts && cut != JC_NO_CUT)
            abort();
        fuzz_made = fuzz_made * 31 + cut + (uint32_t)result;
    }
}

/* What a program that trusts its table sees is what was checked. */
static void view(const uint8_t *data, const struct jc_selection *checked)
{
    struct jc_selection seen;

    jc_view_selection(data, &seen);
    if (seen.starts != checked->starts || seen.spans != checked->spans ||
        seen.choices != checked->choices || seen.cuts != checked->cuts ||
        seen.n_pieces != checked->n_pieces || seen.n_spans != checked->n_spans ||
        seen.n_cuts != checked->n_cuts)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jc_selection table;
    enum jc_result result = jc_read_selection(data, size, &table);

    fuzz_made = fuzz_made * 31 + (uint32_t)result;
    if (result != JC_OK)
        return 0;
    view(data, &table);
    for (int exponent = -40; exponent <= 8; exponent++)
        look_up(&table, ldexp(1.25, exponent));
    look_up(&table, 0);
    look_up(&table, INFINITY);
    look_up(&table, NAN);
    look_up(&table, -1);
    return 0;
}
