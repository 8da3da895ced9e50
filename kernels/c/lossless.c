/*
 * The quantizer that loses nothing: which range do the integers have?
 *
 *   low, high   the least and the greatest value.
 */
#include "codec.h"

static unsigned bits_of(uint64_t x)
{
    unsigned n = 1;

    while (x >>= 1)
        n++;
    return n;
}

static void find_range(enum jc_dtype dtype, const void *data, size_t n, int64_t *low,
                       int64_t *high)
{
    for (size_t i = 0; i < n; i++) {
        int64_t x = dtype == JC_INT8    ? ((const int8_t *)data)[i]
                    : dtype == JC_UINT8 ? ((const uint8_t *)data)[i]
                                        : ((const int32_t *)data)[i];

        *low = i == 0 || x < *low ? x : *low;
        *high = i == 0 || x > *high ? x : *high;
    }
}

void jc_lossless_quantizer(enum jc_dtype dtype, const void *data, size_t n, struct jc_quantizer *q)
{
    int64_t low = 0, high = 0;
    unsigned width, folded;

    memset(q, 0, sizeof *q);
    q->kind = JC_BYTES;
    q->width = 8;
    if (dtype == JC_FLOAT32)
        return;
    find_range(dtype, data, n, &low, &high);
    width = bits_of((uint64_t)(high - low));
    if (width > 16)
        return;
    q->kind = JC_INTEGERS;
    q->width = (uint8_t)width;
    q->integer_offset = (int32_t)low;
    if (low >= 0 || high <= 0)
        return;
    folded = bits_of((uint64_t)(2 * high > -2 * low - 1 ? 2 * high : -2 * low - 1));
    if (folded > width)
        return;
    q->fold = 1;
    q->integer_offset = 0;
}
