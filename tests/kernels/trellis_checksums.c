/*
 * Checksums of what jc_trellis_quantize finds in samples that every machine makes alike.
 * Prints a line for each case; the program is the same for all forms.
 */
#include <stdio.h>
#include <stdlib.h>

#include "trellis.h"

#define MOST 40000

static uint32_t seed = 1;

static uint32_t any(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

/* Many near zero, some far away, some too small for normal numbers. */
static float sample(void)
{
    static const float scales[8] = {0x1p-24f, 0x1p-22f, 0x1p-23f, 0x1p-21f,
                                    0x1p-20f, 0x1p-17f, 0x1p-148f, 0x1p-25f};
    float x = (float)any() * scales[any() % 8];

    return any() % 3 ? x : -x;
}

static uint32_t checksum(const uint16_t *syms, size_t n)
{
    uint32_t sum = 2166136261u;

    for (size_t i = 0; i < n; i++)
        sum = (sum ^ syms[i]) * 16777619u;
    return sum;
}

static int run_case(void *ws, const float *x, size_t n, unsigned lanes, uint16_t *syms)
{
    static const float steps[4] = {0.25f, 0.01f, 0x1p-96f, 3.0f};
    static const float offsets[4] = {0, 0.5f, -0x1p-140f, -0x1p-149f};
    struct jc_layout layout = {.n = n, .lanes = lanes};
    struct jc_quantizer q = {.kind = JC_TRELLIS};
    struct jc_rates rates = {.slope_q4 = (uint8_t)(any() % 256)};

    q.fold = (uint8_t)(any() % 2);
    q.width = (uint8_t)(any() % 3 ? 3 + any() % 6 : 9 + any() % 8);
    q.n_states = any() % 4 ? 8 : 4;
    q.step = steps[any() % 4];
    q.offset = offsets[any() % 4];
    rates.lambda_q8 = (uint16_t)(any() % 257);
    for (unsigned i = 0; i < 2 * JC_N_RATES; i++)
        rates.bits_q4[i / JC_N_RATES][i % JC_N_RATES] = (uint8_t)(any() % 256);
    if (jc_trellis_quantize(ws, &q, any() % 2 ? &rates : NULL, &layout, x, syms) != JC_OK)
        return 0;
    printf("%zu %u %08x\n", n, lanes, (unsigned)checksum(syms, n));
    return 1;
}

int main(void)
{
    static const size_t sizes[8] = {1, 15, 63, 64, 257, 1000, 5003, MOST};
    static const unsigned lanes[3] = {1, 4, 16};
    float *x = malloc(MOST * sizeof(*x));
    uint16_t *syms = malloc(MOST * sizeof(*syms));
    void *ws = malloc(jc_trellis_workspace_size(MOST));
    int fine = x && syms && ws;

    for (size_t i = 0; fine && i < MOST; i++)
        x[i] = sample();
    for (unsigned i = 0; fine && i < 96; i++)
        fine = run_case(ws, x, i % 8 == 7 && i > 24 ? 2000 + i : sizes[i % 8], lanes[i / 8 % 3], syms);
    free(x);
    free(syms);
    free(ws);
    return !fine;
}
