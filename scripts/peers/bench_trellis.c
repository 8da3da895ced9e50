/*
 * Trellis search and its values on blocks of 2^17 samples that lie in the cache, one thread.
 *
 *     gcc -std=c11 -O3 -ffp-contract=off -Ikernels/c scripts/peers/bench_trellis.c kernels/c/[a-z]*.c
 *     ./a.out STEP samples.f32 ...
 *
 * Files hold float32 samples; the first 2^20 count, block by block.  Prints for each file millions of
 * samples a second, the median over the blocks of the fastest of some rounds: nearest values, with
 * prices, values without and with learned ones, and a copy of floats in the cache.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "trellis.h"

enum { BLOCK = 1 << 17, MAX_BLOCKS = 8, ROUNDS = 40, N_STEPS = 5 };

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *allocate(size_t size)
{
    void *p = malloc(size);

    if (!p)
        exit(2);
    return p;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Prices like those of sparse activations: zero is cheap, the others rise slowly. */
static struct jc_rates typical_rates(void)
{
    struct jc_rates rates = {.slope_q4 = 20, .lambda_q8 = 27};

    for (unsigned q = 0; q < JC_N_UNIONS; q++)
        for (unsigned k = 0; k < JC_N_RATES; k++)
            rates.bits_q4[q][k] = (uint8_t)(k ? 40 + 5 * k : 8);
    return rates;
}

static void run(unsigned step, const struct jc_quantizer *q, const struct jc_layout *layout,
                void *ws, const float *x, uint16_t *syms, float *y)
{
    struct jc_rates rates = typical_rates();
    struct jc_quantizer learned = *q;

    learned.n_centroids = JC_MAX_CENTROIDS;
    for (unsigned k = 0; k < JC_MAX_CENTROIDS; k++) {
        learned.centroids[0][k] = 2 * (float)k * q->step;
        learned.centroids[1][k] = k ? (2 * (float)k - 1) * q->step : 0;
    }
    if (step < 2 &&
        jc_trellis_quantize(ws, q, step ? &rates : NULL, layout, x, syms) != JC_OK)
        exit(1);
    if (step == 2 || step == 3)
        jc_trellis_values(step == 2 ? q : &learned, layout, syms, y);
    if (step == 4)
        memcpy(y, x, BLOCK * sizeof(*y));
}

int main(int argc, char **argv)
{
    float *x = allocate(MAX_BLOCKS * BLOCK * sizeof(*x)), *y = allocate(BLOCK * sizeof(*y));
    uint16_t *syms = allocate(BLOCK * sizeof(*syms));
    void *ws = allocate(jc_trellis_workspace_size(BLOCK));
    struct jc_layout layout = {.n = BLOCK, .width = 9, .lanes = JC_MAX_LANES, .n_states = 8};
    struct jc_quantizer q = {.kind = JC_TRELLIS, .width = 9, .n_states = 8};

    if (argc < 3)
        return 2;
    q.step = strtof(argv[1], NULL);
    for (int i = 2; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        size_t n_blocks = file ? fread(x, sizeof(*x), MAX_BLOCKS * BLOCK, file) / BLOCK : 0;
        double seconds[N_STEPS][MAX_BLOCKS];

        if (!n_blocks)
            return 2;
        fclose(file);
        for (size_t b = 0; b < n_blocks; b++)
            for (unsigned step = 0; step < N_STEPS; step++) {
                seconds[step][b] = 1e9;
                for (unsigned round = 0; round < ROUNDS; round++) {
                    double start = now_s(), took;

                    run(step, &q, &layout, ws, x + b * BLOCK, syms, y);
                    took = now_s() - start;
                    seconds[step][b] = took < seconds[step][b] ? took : seconds[step][b];
                }
            }
        for (unsigned step = 0; step < N_STEPS; step++) {
            qsort(seconds[step], n_blocks, sizeof(double), ascending);
            printf("%.0f%c", BLOCK / seconds[step][n_blocks / 2] / 1e6, step < 4 ? ' ' : '\n');
        }
    }
    return 0;
}
