/*
 * Steps of the codec on one block, so that an emulator can count what each takes.
 *
 * usage: codec_steps FILE N_SAMPLES     FILE holds float32 samples, >= 0
 * The counters are read at each call of model_hook: before the first step and after each.
 * Prints a line for each step: its name and the checksum of what it made.
 */
#include <stdio.h>
#include <stdlib.h>

#include "codec.h"

enum { BITS = 4 };

void model_hook(int step);

/* Kept apart, so that the emulator finds it. */
__attribute__((noinline)) void model_hook(int step)
{
    __asm__ volatile("" : : "r"(step) : "memory");
}

static void *allocate(size_t size)
{
    void *p = calloc(size ? size : 1, 1);

    if (!p)
        exit(2);
    return p;
}

static float maximum(const float *x, size_t n)
{
    float most = 0;

    for (size_t i = 0; i < n; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

static int step_number;

static void done(const char *name, const void *made, size_t size)
{
    model_hook(++step_number);
    printf("%s %08x\n", name, (unsigned)jc_xxh32(made, size));
    model_hook(++step_number); /* printing is nobody's step */
}

static size_t encode(void *ws, const struct jc_quantizer *q, const struct jc_rates *rates,
                     unsigned modes, const float *x, size_t n, uint8_t *dst, size_t capacity)
{
    struct jc_header h = {.dtype = JC_FLOAT32, .n_dims = 1, .block_log2 = 17};
    struct jc_options options = {.modes = modes, .rates = rates};
    size_t used = 0;

    h.dims[0] = (uint32_t)n;
    h.row = 224;
    h.quantizer = *q;
    if (jc_encode_tensor(ws, &h, &options, x, dst, capacity, &used) != JC_OK)
        exit(1);
    return used;
}

static void decode(void *ws, const uint8_t *src, size_t size, float *x)
{
    struct jc_header h;
    size_t at = 0;

    if (jc_read_header(src, size, &h) != JC_OK ||
        jc_decode_tensor(ws, &h, NULL, src, size, x, &at) != JC_OK)
        exit(1);
}

int main(int argc, char **argv)
{
    size_t n = argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : 0;
    FILE *file = argc > 2 ? fopen(argv[1], "rb") : NULL;
    float *x = allocate(n * sizeof(*x)), *y = allocate(n * sizeof(*y));

    if (!file || fread(x, sizeof(*x), n, file) != n)
        return 2;
    fclose(file);

    size_t capacity = 8 * n + 65536, used;
    uint8_t *blob = allocate(capacity);
    void *paths = allocate(jc_trellis_workspace_size(n));
    uint16_t *syms = allocate(n * sizeof(*syms));
    float step = maximum(x, n) / (float)((1 << BITS) - 1);
    struct jc_quantizer uniform = {.kind = JC_UNIFORM, .width = BITS, .step = step};
    struct jc_quantizer trellis = {
        .kind = JC_TRELLIS, .width = 8, .n_states = 8, .step = step / 2};
    void *ws = allocate(jc_workspace_size(&trellis, 17));
    struct jc_rates rates = {.slope_q4 = 24, .lambda_q8 = 24};
    struct jc_layout layout = {.n = n, .width = 8, .lanes = JC_MAX_LANES, .n_states = 8};

    for (unsigned union_of = 0; union_of < JC_N_UNIONS; union_of++)
        for (unsigned k = 0; k < JC_N_RATES; k++)
            rates.bits_q4[union_of][k] = (uint8_t)(k ? 40 + 8 * k : 6);

    model_hook(0);
    used = encode(ws, &uniform, NULL, JC_MODES_FAST, x, n, blob, capacity);
    done("sq+huffman", blob, used);
    decode(ws, blob, used, y);
    done("huffman-decode", y, n * sizeof(*y));
    used = encode(ws, &uniform, NULL, JC_MODES_ALL, x, n, blob, capacity);
    done("sq+contexts", blob, used);
    decode(ws, blob, used, y);
    done("contexts-decode", y, n * sizeof(*y));
    if (jc_trellis_quantize(paths, &trellis, NULL, &layout, x, syms) != JC_OK)
        return 1;
    done("tcq", syms, n * sizeof(*syms));
    if (jc_trellis_quantize(paths, &trellis, &rates, &layout, x, syms) != JC_OK)
        return 1;
    done("tcq+rates", syms, n * sizeof(*syms));
    jc_trellis_values(&trellis, &layout, syms, y);
    done("tcq-values", y, n * sizeof(*y));
    used = encode(ws, &trellis, &rates, JC_MODES_ALL, x, n, blob, capacity);
    done("tcq+rates+contexts", blob, used);
    return 0;
}
