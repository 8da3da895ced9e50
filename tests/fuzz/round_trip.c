/*
 * Fuzz target: any tensor, any options.  What was encoded decodes, to the same symbols, within
 * the bound; lossless quantizers give the same bytes.
 */
#include "codec.h"
#include "exact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

uint32_t fuzz_made;

/* Options come from the first bytes, the tensor from the others. */
struct plan {
    struct jc_header header;
    struct jc_rates rates;
    struct jc_options options;
};

enum { PLAN_BYTES = 24 };

static float as_float(const uint8_t *p)
{
    uint32_t bits = jc_load_le32(p);
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void read_plan(const uint8_t *p, size_t n_data, struct plan *plan)
{
    static const uint16_t states[] = {4, 8, 16, 32, 64, 128, 256};
    struct jc_header *h = &plan->header;
    struct jc_quantizer *q = &h->quantizer;

    memset(plan, 0, sizeof(*plan));
    h->dtype = (uint8_t)(1 + p[0] % 4);
    h->block_log2 = (uint8_t)(10 + p[1] % 3);
    h->row = jc_load_le16(p + 2) % 1200;
    h->n_dims = 1 + p[4] % 2;
    h->dims[0] = (uint32_t)(n_data / (h->dtype >= JC_INT32 ? 4 : 1));
    h->dims[1] = 1;
    q->kind = p[5] % JC_N_QUANTIZERS;
    q->width = (uint8_t)(1 + p[6] % (q->kind == JC_UNIFORM || q->kind == JC_CODEBOOK ||
                                             q->kind == JC_FIXED_TRELLIS
                                         ? 8
                                         : 16));
    q->fold = p[7] & 1;
    q->n_states = q->kind == JC_TRELLIS ? states[p[8] % 2] : states[p[8] % 7];
    /* All states at each sample: short tensors, so that fuzzers see many. */
    if (q->kind == JC_FIXED_TRELLIS && h->dims[0] > 16384u / q->n_states)
        h->dims[0] = 16384u / q->n_states;
    q->n_centroids = p[9] % (JC_MAX_CENTROIDS + 1);
    q->step = as_float(p + 10);
    q->offset = as_float(p + 14);
    for (unsigned i = 0; i < 512; i++)
        q->book[i] = (float)i * q->step;
    for (unsigned i = 1; i < JC_MAX_CENTROIDS; i++)
        q->centroids[0][i] = q->centroids[1][i] = (float)i * q->step;
    for (unsigned i = 0; i < JC_N_RATES; i++)
        plan->rates.bits_q4[0][i] = plan->rates.bits_q4[1][i] = (uint8_t)(p[18] + i * p[19]);
    plan->rates.slope_q4 = p[20];
    plan->rates.lambda_q8 = (uint16_t)(jc_load_le16(p + 21) % 257);
    plan->options.rates = p[0] & 128 ? &plan->rates : NULL;
    plan->options.modes = p[23] | 1u << JC_RAW;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct plan plan;
    struct jc_header *h = &plan.header, seen;
    size_t used = 0, at = 0;

    if (size < PLAN_BYTES)
        return 0;
    read_plan(data, size - PLAN_BYTES, &plan);
    size_t n_bytes = (size_t)h->dims[0] * (h->dtype >= JC_INT32 ? 4 : 1);
    uint8_t *in = exact_allocate(n_bytes), *out = exact_allocate(n_bytes);
    memcpy(in, data + PLAN_BYTES, n_bytes);
    if (h->quantizer.kind == JC_INTEGERS) {
        if (h->dtype == JC_FLOAT32)
            h->quantizer.kind = JC_BYTES;
        else
            jc_lossless_quantizer((enum jc_dtype)h->dtype, in, h->dims[0], &h->quantizer);
    }
    if (h->quantizer.kind == JC_BYTES)
        h->quantizer.width = 8;

    void *ws = malloc(jc_workspace_size(&h->quantizer, h->block_log2));
    if (!ws)
        abort();
    h->n_elements = h->dims[0];
    h->n_bytes = n_bytes;
    size_t capacity = jc_bound(h);
    uint8_t *blob = exact_allocate(capacity);
    enum jc_result result = jc_encode_tensor(ws, h, &plan.options, in, blob, capacity, &used);

    if (result == JC_SHORT_DST || used > capacity)
        abort();
    if (result == JC_OK) {
        uint8_t *exact = exact_allocate(used);
        memcpy(exact, blob, used);
        if (jc_read_header(exact, used, &seen) != JC_OK || seen.n_bytes != n_bytes)
            abort();
        if (jc_decode_tensor(ws, &seen, NULL, exact, used, out, &at) != JC_OK)
            abort();
        if (h->quantizer.kind <= JC_INTEGERS && memcmp(in, out, n_bytes) != 0)
            abort();
        fuzz_made = fuzz_made * 31 + jc_xxh32(exact, used);
        exact_free(exact, used);
    }
    fuzz_made = fuzz_made * 31 + (uint32_t)result;
    exact_free(blob, capacity);
    free(ws);
    exact_free(out, n_bytes);
    exact_free(in, n_bytes);
    return 0;
}
