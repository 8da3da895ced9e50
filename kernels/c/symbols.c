/*
 * Quantizers, block by block: values -> symbols.  docs/bitstream.md, "Quantizers".
 *
 * What maps one element of one byte to one symbol goes through ws->symbol_of.
 * Symbols of at most 8 bits are left in ws->narrow, wider ones and those of lattices in ws->wide.
 */
#include <math.h>

#include "block.h"

/* Symbol of an integer that is `m` above the offset; negative if it does not fit. */
static int32_t fold_int(int64_t m, const struct jc_quantizer *q)
{
    int64_t symbol = !q->fold ? m : m < 0 ? -2 * m - 1 : 2 * m;

    return symbol >= 0 && symbol >> q->width == 0 ? (int32_t)symbol : -1;
}

static int all_finite(const float *x, size_t n)
{
    int is_bad = 0;

    for (size_t i = 0; i < n; i++)
        is_bad |= !(fabsf(x[i]) <= FLT_MAX);
    return !is_bad;
}

static void exact_uniform(const struct jc_quantizer *q, const float *x, size_t n, uint8_t *syms)
{
    double offset = (double)q->offset, step = (double)q->step;
    double high = (double)((1u << q->width) - 1);

    for (size_t i = 0; i < n; i++) {
        double index = jc_clamp(((double)x[i] - offset) / step, 0, high);

        syms[i] = (uint8_t)(int32_t)(index + JC_ROUND_64 - JC_ROUND_64);
    }
}

/*
 * The same in binary32 with a product for the quotient: three roundings, so that an index of at most 255
 * is off by less than 256 * 3 * 2^-24 < NEAR.  Returns 0 if an index is that near the middle between two
 * integers, or a value is not finite.
 */
#define NEAR 0x1p-13f

static int quick_uniform(const struct jc_quantizer *q, const float *x, size_t n, uint8_t *syms)
{
    float per_step = 1 / q->step, offset = q->offset, high = (float)((1u << q->width) - 1);
    int is_unsure = 0;

    for (size_t i = 0; i < n; i++) {
        float index = (x[i] - offset) * per_step, nearest;

        index = index > 0 ? index : 0;
        index = index < high ? index : high;
        nearest = index + JC_ROUND_32 - JC_ROUND_32;
        is_unsure |= !(fabsf(index - nearest) < 0.5f - NEAR);
        is_unsure |= !(fabsf(x[i]) <= FLT_MAX);
        syms[i] = (uint8_t)(int32_t)nearest;
    }
    return !is_unsure;
}

#define CHUNK 128 /* few enough that most of them are sure */
#define QUICK_MIN_STEP 0x1p-96f
#define QUICK_MAX_STEP 0x1p96f

static enum jc_result uniform_symbols(const struct jc_quantizer *q, const float *x, size_t n,
                                      uint8_t *syms)
{
    int may_be_quick = q->step >= QUICK_MIN_STEP && q->step <= QUICK_MAX_STEP;

    for (size_t i = 0; i < n; i += CHUNK) {
        size_t size = n - i < CHUNK ? n - i : CHUNK;

        if (may_be_quick && quick_uniform(q, x + i, size, syms + i))
            continue;
        if (!all_finite(x + i, size))
            return JC_BAD_VALUE;
        exact_uniform(q, x + i, size, syms + i);
    }
    return JC_OK;
}

/* The nearest value, the lower one on a tie: as many limits as lie below x. */
static void codebook_symbols(const struct jc_workspace *ws, unsigned width, const float *x,
                             size_t n, uint8_t *syms)
{
    for (size_t i = 0; i < n; i++) {
        const float *base = ws->limits;

        for (unsigned half = 1u << width >> 1; half; half /= 2)
            base += x[i] > base[half - 1] ? half : 0;
        syms[i] = (uint8_t)(base - ws->limits);
    }
}

/* The greatest float below a finite x.  Like nextafterf, but an edge need not have libm. */
static float next_below(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    bits = x > 0 ? bits - 1 : x < 0 ? bits + 1 : 0x80000001u;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* limits[k]: the largest float that is not above the middle of book[k] and book[k + 1] */
static void find_limits(struct jc_workspace *ws, const struct jc_quantizer *q)
{
    for (unsigned k = 0; k + 1 < 1u << q->width; k++) {
        double middle = ((double)q->book[k] + (double)q->book[k + 1]) / 2;
        float limit = (float)middle;

        ws->limits[k] = (double)limit > middle ? next_below(limit) : limit;
    }
}

/* Symbols of floats by a quantizer that is not a trellis. */
static enum jc_result float_symbols(struct jc_workspace *ws, const struct jc_quantizer *q,
                                    const struct jc_rates *rates, const float *x, size_t n,
                                    uint8_t *narrow, uint16_t *wide)
{
    if (q->kind == JC_DEAD_ZONE)
        return jc_dead_zone_quantize(q, rates, x, n, wide);
    if (q->kind == JC_UNIFORM)
        return uniform_symbols(q, x, n, narrow);
    if (!all_finite(x, n))
        return JC_BAD_VALUE;
    codebook_symbols(ws, q->width, x, n, narrow);
    return JC_OK;
}

/* Fill symbol_of: what becomes of each of the 256 bytes. */
static enum jc_result begin_bytes(struct jc_workspace *ws, const struct jc_header *h,
                                  const struct jc_rates *rates)
{
    const struct jc_quantizer *q = &h->quantizer;
    float x[256];
    uint8_t narrow[256];
    uint16_t wide[256];
    enum jc_result result = JC_OK;

    for (unsigned b = 0; b < 256; b++) {
        int32_t value = h->dtype == JC_INT8 && b > 127 ? (int32_t)b - 256 : (int32_t)b;

        x[b] = (float)value;
        ws->symbol_of[b] = fold_int((int64_t)value - q->integer_offset, q);
    }
    if (q->kind == JC_INTEGERS || jc_has_lanes(h))
        return JC_OK;
    result = float_symbols(ws, q, rates, x, 256, narrow, wide);
    for (unsigned b = 0; b < 256; b++)
        ws->symbol_of[b] = q->kind == JC_DEAD_ZONE ? wide[b] : narrow[b];
    return result;
}

enum jc_result jc_begin_symbols(struct jc_workspace *ws, const struct jc_header *h,
                                const struct jc_rates *rates)
{
    if (h->quantizer.kind == JC_BYTES)
        return JC_OK;
    if (h->quantizer.kind == JC_CODEBOOK)
        find_limits(ws, &h->quantizer);
    if (jc_dtype_bytes(h->dtype) == 1)
        return begin_bytes(ws, h, rates);
    return JC_OK;
}

/* Eight at a time with one load and one store; returns whether all have a symbol. */
static int bytes_to_narrow(const int32_t *restrict symbol_of, const uint8_t *restrict bytes,
                           size_t n, uint8_t *restrict narrow)
{
    int32_t signs = 0;
    size_t i = 0;

    for (; n - i >= 8; i += 8) {
        uint64_t eight = jc_load_le64(bytes + i), syms = 0;

        for (unsigned k = 0; k < 8; k++) {
            int32_t symbol = symbol_of[eight >> (8 * k) & 255];

            signs |= symbol;
            syms |= (uint64_t)(symbol & 255) << (8 * k);
        }
        jc_store_le64(narrow + i, syms);
    }
    for (; i < n; i++) {
        signs |= symbol_of[bytes[i]];
        narrow[i] = (uint8_t)symbol_of[bytes[i]];
    }
    return signs >= 0;
}

/* The same for integers near their offset, by arithmetic that compilers vectorize: 16 bits hold it all. */
static int near_integers_to_narrow(const struct jc_quantizer *q, int is_signed,
                                   const uint8_t *restrict bytes, size_t n,
                                   uint8_t *restrict narrow)
{
    int16_t offset = (int16_t)q->integer_offset, highest = (int16_t)((1 << q->width) - 1);
    int16_t flip = is_signed ? 128 : 0, fold = (int16_t)-q->fold, outside = 0;

    for (size_t i = 0; i < n; i++) {
        int16_t value = (int16_t)((bytes[i] ^ flip) - flip);
        int16_t m = (int16_t)(value - offset);
        int16_t folded = (int16_t)((m + m) ^ (m < 0 ? -1 : 0));
        int16_t symbol = (int16_t)((folded & fold) | (m & ~fold));

        outside = (int16_t)(outside | symbol | (highest - symbol));
        narrow[i] = (uint8_t)symbol;
    }
    return outside >= 0;
}

static int bytes_to_wide(const int32_t *restrict symbol_of, const uint8_t *restrict bytes,
                         size_t n, uint16_t *restrict wide)
{
    int32_t signs = 0;

    for (size_t i = 0; i < n; i++) {
        signs |= symbol_of[bytes[i]];
        wide[i] = (uint16_t)symbol_of[bytes[i]];
    }
    return signs >= 0;
}

static enum jc_result bytes_to_symbols(struct jc_workspace *ws, const struct jc_header *h,
                                       const uint8_t *bytes, size_t n)
{
    const struct jc_quantizer *q = &h->quantizer;
    int is_near = q->integer_offset >= -256 && q->integer_offset <= 256, fit;

    if (q->width > 8)
        fit = bytes_to_wide(ws->symbol_of, bytes, n, ws->wide);
    else if (q->kind == JC_INTEGERS && is_near)
        fit = near_integers_to_narrow(q, h->dtype == JC_INT8, bytes, n, ws->narrow);
    else
        fit = bytes_to_narrow(ws->symbol_of, bytes, n, ws->narrow);
    return fit ? JC_OK : JC_BAD_SYMBOL;
}

static enum jc_result ints_to_symbols(struct jc_workspace *ws, const struct jc_quantizer *q,
                                      const int32_t *x, size_t n)
{
    int32_t signs = 0;

    for (size_t i = 0; i < n; i++) {
        int32_t symbol = fold_int((int64_t)x[i] - q->integer_offset, q);

        signs |= symbol;
        if (q->width <= 8)
            ws->narrow[i] = (uint8_t)symbol;
        else
            ws->wide[i] = (uint16_t)symbol;
    }
    return signs < 0 ? JC_BAD_SYMBOL : JC_OK;
}

static void plane_of(const uint8_t *bytes, size_t stride, size_t n, uint8_t *plane)
{
    if (stride == 1)
        memcpy(plane, bytes, n);
    else
        for (size_t i = 0; i < n; i++)
            plane[i] = bytes[4 * i];
}

static void make_narrow(const uint16_t *wide, size_t n, uint8_t *narrow)
{
    for (size_t i = 0; i < n; i++)
        narrow[i] = (uint8_t)wide[i];
}

static const float *as_floats(struct jc_workspace *ws, const struct jc_header *h,
                              const void *data, size_t first, size_t n)
{
    const uint8_t *bytes = (const uint8_t *)data + first;

    if (h->dtype == JC_FLOAT32)
        return (const float *)data + first;
    for (size_t i = 0; i < n; i++)
        ws->values[i] = (float)(h->dtype == JC_INT8 ? (int8_t)bytes[i] : (int)bytes[i]);
    return ws->values;
}

static enum jc_result trellis_symbols(struct jc_workspace *ws, const struct jc_header *h,
                                      const struct jc_rates *rates, const float *x, size_t n)
{
    struct jc_layout layout = jc_layout_of(h, n, jc_trellis_lanes(n));

    if (h->quantizer.kind == JC_TRELLIS)
        return jc_trellis_quantize(ws->trellis, &h->quantizer, rates, &layout, x, ws->wide);
    return jc_fixed_trellis_quantize(ws->trellis, &h->quantizer, &layout, x, ws->wide);
}

enum jc_result jc_block_symbols(struct jc_workspace *ws, const struct jc_header *h,
                                const struct jc_rates *rates, const void *data, unsigned plane,
                                size_t first, size_t n, struct jc_symbols *syms)
{
    const struct jc_quantizer *q = &h->quantizer;
    size_t size = jc_dtype_bytes(h->dtype);
    const uint8_t *bytes = (const uint8_t *)data + first * size;
    int is_wide = q->width > 8;
    enum jc_result result = JC_OK;

    if (q->kind == JC_BYTES) {
        plane_of(bytes + plane, size, n, ws->narrow);
    } else if (jc_has_lanes(h)) {
        is_wide = 1;
        result = trellis_symbols(ws, h, rates, as_floats(ws, h, data, first, n), n);
    } else if (size == 1) {
        result = bytes_to_symbols(ws, h, bytes, n);
    } else if (q->kind == JC_INTEGERS) {
        result = ints_to_symbols(ws, q, (const int32_t *)data + first, n);
    } else {
        is_wide |= q->kind == JC_DEAD_ZONE;
        result = float_symbols(ws, q, rates, (const float *)data + first, n, ws->narrow, ws->wide);
    }
    if (is_wide && q->width <= 8)
        make_narrow(ws->wide, n, ws->narrow);
    syms->narrow = q->width <= 8 ? ws->narrow : NULL;
    syms->wide = is_wide ? ws->wide : NULL;
    return result;
}
