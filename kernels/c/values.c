/*
 * Quantizers, block by block: symbols -> values.  docs/bitstream.md, "Quantizers".
 *
 * What maps one symbol of at most 8 bits to one value goes through ws->float_of and ws->byte_of.
 */
#include "block.h"

static int32_t unfold(uint32_t symbol, unsigned fold)
{
    return fold ? (int32_t)(symbol >> 1 ^ (0u - (symbol & 1))) : (int32_t)symbol;
}

static int32_t lowest(unsigned dtype)
{
    return dtype == JC_INT8 ? INT8_MIN : dtype == JC_UINT8 ? 0 : INT32_MIN;
}

static int32_t highest(unsigned dtype)
{
    return dtype == JC_INT8 ? INT8_MAX : dtype == JC_UINT8 ? UINT8_MAX : INT32_MAX;
}

static void clamp_floats(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float bounded = x[i] > -FLT_MAX ? x[i] : -FLT_MAX;

        x[i] = bounded < FLT_MAX ? bounded : FLT_MAX;
    }
}

static void floats_to_bytes(const float *x, size_t n, unsigned dtype, uint8_t *bytes)
{
    float low = (float)lowest(dtype), high = (float)highest(dtype);

    for (size_t i = 0; i < n; i++) {
        float bounded = x[i] > low ? x[i] : low;

        bounded = bounded < high ? bounded : high;
        bytes[i] = (uint8_t)(int32_t)(bounded + JC_ROUND_32 - JC_ROUND_32);
    }
}

/* Values of symbols first .. first + n - 1, before they take their type; not of trellises. */
static void exact_value(const struct jc_quantizer *q, unsigned symbol, double *value)
{
    uint16_t wide = (uint16_t)symbol;
    float x;

    if (q->kind == JC_UNIFORM) {
        *value = (double)q->offset + symbol * (double)q->step;
    } else if (q->kind == JC_CODEBOOK) {
        *value = (double)q->book[symbol];
    } else {
        jc_dead_zone_values(q, &wide, 1, &x);
        *value = (double)x;
    }
}

void jc_begin_values(struct jc_workspace *ws, const struct jc_header *h)
{
    const struct jc_quantizer *q = &h->quantizer;
    double low = (double)lowest(h->dtype), high = (double)highest(h->dtype), value;

    if (q->kind == JC_BYTES || jc_has_lanes(h) || q->width > 8)
        return;
    for (unsigned s = 0; s < 1u << q->width; s++) {
        if (q->kind == JC_INTEGERS) {
            int64_t integer = (int64_t)q->integer_offset + unfold(s, q->fold);

            ws->is_value[s] = lowest(h->dtype) <= integer && integer <= highest(h->dtype);
            ws->byte_of[s] = (uint8_t)integer;
            continue;
        }
        exact_value(q, s, &value);
        ws->is_value[s] = 1;
        ws->float_of[s] = (float)jc_clamp(value, -(double)FLT_MAX, (double)FLT_MAX);
        ws->byte_of[s] = (uint8_t)(int32_t)(jc_clamp(value, low, high) + JC_ROUND_64 - JC_ROUND_64);
    }
}

/* Whether bytes are their own symbols: nothing to map, nothing to refuse. */
static int is_identity(const struct jc_workspace *ws, const struct jc_header *h)
{
    if (jc_dtype_bytes(h->dtype) != 1 || h->quantizer.kind > JC_INTEGERS)
        return 0;
    if (h->quantizer.kind == JC_INTEGERS)
        for (unsigned s = 0; s < 1u << h->quantizer.width; s++)
            if (h->quantizer.width > 8 || ws->byte_of[s] != s || !ws->is_value[s])
                return 0;
    return 1;
}

uint8_t *jc_direct_target(const struct jc_workspace *ws, const struct jc_header *h, void *data,
                          size_t first)
{
    return is_identity(ws, h) ? (uint8_t *)data + first : NULL;
}

/* Eight symbols a load: the loads, not the stores, are what limits this. */
static void symbols_to_floats(const float *restrict float_of, const uint8_t *restrict syms, size_t n,
                              float *restrict x)
{
    size_t i = 0;

    for (; n - i >= 8; i += 8) {
        uint64_t eight = jc_load_le64(syms + i);

        for (unsigned k = 0; k < 8; k++)
            x[i + k] = float_of[eight >> (8 * k) & 255];
    }
    for (; i < n; i++)
        x[i] = float_of[syms[i]];
}

static enum jc_result symbols_to_bytes(const struct jc_workspace *ws, unsigned width,
                                       const uint8_t *syms, size_t n, uint8_t *bytes)
{
    unsigned n_values = 0, are_values = 1;
    size_t i = 0;

    for (unsigned s = 0; s < 1u << width; s++)
        n_values += ws->is_value[s];
    for (; n - i >= 8; i += 8) {
        uint64_t eight = jc_load_le64(syms + i), values = 0;

        for (unsigned k = 0; k < 8; k++)
            values |= (uint64_t)ws->byte_of[eight >> (8 * k) & 255] << (8 * k);
        jc_store_le64(bytes + i, values);
    }
    for (; i < n; i++)
        bytes[i] = ws->byte_of[syms[i]];
    for (i = 0; i < n && n_values >> width == 0; i++)
        are_values &= ws->is_value[syms[i]];
    return are_values ? JC_OK : JC_BAD_SYMBOL;
}

static enum jc_result symbols_to_ints(const struct jc_header *h, struct jc_symbols syms, size_t n,
                                      void *data, size_t first)
{
    const struct jc_quantizer *q = &h->quantizer;
    int64_t low = lowest(h->dtype), high = highest(h->dtype);
    int are_values = 1;

    for (size_t i = 0; i < n; i++) {
        uint32_t symbol = syms.narrow ? syms.narrow[i] : syms.wide[i];
        int64_t value = (int64_t)q->integer_offset + unfold(symbol, q->fold);

        are_values &= low <= value && value <= high;
        if (h->dtype == JC_INT32)
            ((int32_t *)data)[first + i] = (int32_t)(uint32_t)value;
        else
            ((uint8_t *)data)[first + i] = (uint8_t)value;
    }
    return are_values ? JC_OK : JC_BAD_SYMBOL;
}

/* Dead zone of more than 8 bits, and trellises. */
static void computed_values(struct jc_workspace *ws, const struct jc_header *h,
                            const uint16_t *wide, unsigned lanes, size_t first, size_t n,
                            void *data)
{
    const struct jc_quantizer *q = &h->quantizer;
    struct jc_layout layout = jc_layout_of(h, n, lanes);
    float *x = h->dtype != JC_FLOAT32 ? ws->values : (float *)data + first;

    if (q->kind == JC_DEAD_ZONE)
        jc_dead_zone_values(q, wide, n, x);
    else if (q->kind == JC_TRELLIS)
        jc_trellis_values(q, &layout, wide, x);
    else
        jc_fixed_trellis_values(q, &layout, wide, x);
    if (h->dtype != JC_FLOAT32)
        floats_to_bytes(x, n, h->dtype, (uint8_t *)data + first);
    else
        clamp_floats(x, n);
}

static void scatter_plane(const uint8_t *plane, size_t stride, size_t n, uint8_t *bytes)
{
    if (stride == 1)
        memcpy(bytes, plane, n);
    else
        for (size_t i = 0; i < n; i++)
            bytes[4 * i] = plane[i];
}

enum jc_result jc_block_values(struct jc_workspace *ws, const struct jc_header *h,
                               struct jc_symbols syms, unsigned lanes, unsigned plane,
                               size_t first, size_t n, void *data)
{
    const struct jc_quantizer *q = &h->quantizer;
    size_t size = jc_dtype_bytes(h->dtype);
    uint8_t *bytes = (uint8_t *)data + first * size;

    if (q->kind == JC_BYTES) {
        scatter_plane(syms.narrow, size, n, bytes + plane);
        return JC_OK;
    }
    if (jc_has_lanes(h) || (q->kind == JC_DEAD_ZONE && q->width > 8)) {
        computed_values(ws, h, jc_make_wide(ws, syms, n), lanes, first, n, data);
        return JC_OK;
    }
    if (q->width <= 8 && size == 1)
        return symbols_to_bytes(ws, q->width, syms.narrow, n, bytes);
    if (q->kind == JC_INTEGERS)
        return symbols_to_ints(h, syms, n, data, first);
    symbols_to_floats(ws->float_of, syms.narrow, n, (float *)data + first);
    return JC_OK;
}
