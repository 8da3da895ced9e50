/*
 * Checksums of symbols and values over many quantizers; they must not depend on the machine.
 *
 * Numbers come from xorshift32 and are built of bits, so that all machines have the same ones.
 * Prints a line for each quantizer: FNV-1a of the bytes, as 16 bits or 32 bits, the lowest first.
 */
#include <stdio.h>

#include "trellis.h"

#define N 5003

static uint32_t random_state = 1;
static uint16_t symbols[N];
static float values[N];

static uint32_t draw(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

/* A number of magnitude 2^low .. 2^high, or 0, or subnormal. */
static float draw_float(int low, int high)
{
    uint32_t exponent = (uint32_t)(low + 127) + draw() % (uint32_t)(high - low);
    uint32_t bits = (draw() & 0x807fffff) | exponent << 23;
    float x;

    if (draw() % 16 == 0)
        bits &= draw() % 2 ? 0x807fffff : 0x80000000;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

static uint32_t mix(uint32_t hash, uint32_t word, unsigned n_bytes)
{
    for (unsigned i = 0; i < n_bytes; i++)
        hash = (hash ^ (word >> 8 * i & 255)) * 16777619u;
    return hash;
}

static uint32_t hash_values(uint32_t hash)
{
    for (size_t i = 0; i < N; i++) {
        uint32_t bits;

        memcpy(&bits, &values[i], sizeof(bits));
        hash = mix(hash, bits, 4);
    }
    return hash;
}

static struct jc_quantizer draw_quantizer(unsigned number)
{
    struct jc_quantizer q = {0};
    float step = draw_float(-6, 3);

    q.fold = number & 1;
    q.width = (uint8_t)(3 + draw() % 14);
    q.n_states = number & 2 ? 8 : 4;
    q.n_centroids = (uint8_t)(number % 3 * 8);
    q.step = step > 0x1p-7f ? step : 0.625f;
    q.offset = draw_float(-4, 2);
    for (unsigned u = 0; u < JC_N_UNIONS; u++)
        for (unsigned k = q.fold; k < JC_MAX_CENTROIDS; k++)
            q.centroids[u][k] = draw_float(-4, 4);
    return q;
}

int main(void)
{
    for (unsigned number = 0; number < 60; number++) {
        struct jc_quantizer q = draw_quantizer(number);
        struct jc_layout layout = {N, 0, q.width, q.fold, number % 5 ? 4 : 16, q.n_states};
        struct jc_rates rates = {.slope_q4 = draw() & 63, .lambda_q8 = (uint16_t)(draw() % 257)};
        uint32_t hash = 2166136261u;

        for (unsigned k = 0; k < JC_N_RATES; k++)
            rates.bits_q4[0][k] = (uint8_t)(draw() & 255);
        for (size_t i = 0; i < N; i++)
            values[i] = draw_float(-7, 6);
        if (jc_dead_zone_quantize(&q, &rates, values, N, symbols) != JC_OK)
            return 1;
        for (size_t i = 0; i < N; i++)
            hash = mix(hash, symbols[i], 2);
        jc_dead_zone_values(&q, symbols, N, values);
        hash = hash_values(hash);
        for (size_t i = 0; i < N; i++)
            if (draw() % 8 == 0)
                symbols[i] = (uint16_t)(draw() & ((1u << q.width) - 1));
        jc_trellis_values(&q, &layout, symbols, values);
        printf("%08x\n", (unsigned)hash_values(hash));
    }
    return 0;
}
