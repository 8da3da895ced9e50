/* A part written by hand: the artifact protocol without a compiler behind it.
 *
 * Inputs:  x int8 [1, 4], k int32 [1, 2].  Layers: "double" int8 [1, 4] = clamp(2 x), and
 * "sum" int32 [1, 2] = k + (sum of double).  Outputs: sum, double.
 * TROUBLE: 1 never ends, 2 touches address 0, 3 returns 7, 4 writes too little, 5 calls the
 * observer with too many bytes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef TROUBLE
#define TROUBLE 0
#endif
#ifndef WORK
#define WORK 0 /* extra turns of a loop in layer "sum" */
#endif

#define MODEL_ARENA_BYTES 64
const size_t model_arena_bytes = MODEL_ARENA_BYTES;
const int32_t model_num_layers = 2;
const char *const model_layer_names[] = {"double", "sum"};
typedef void (*model_observer)(void *user, int32_t layer, const void *output, size_t nbytes);

__attribute__((noinline)) void model_hook(int32_t layer) { __asm__ volatile("" ::"r"(layer) : "memory"); }

int32_t model_run_observed(const void *const inputs[], void *const outputs[], void *arena,
                           model_observer observer, void *user)
{
    const int8_t *x = inputs[0];
    const int32_t *k = inputs[1];
    int32_t *sum = outputs[0];
    int8_t *doubled = arena; /* fails where the arena is missing */
    if ((uintptr_t)arena % 64 || (uintptr_t)x % 64 || (uintptr_t)sum % 64)
        return 9;
    model_hook(0);
    for (int i = 0; i < 4; i++) {
        int value = 2 * x[i];
        doubled[i] = (int8_t)(value > 127 ? 127 : value < -128 ? -128 : value);
    }
    if (observer)
        observer(user, 0, doubled, TROUBLE == 5 ? 5 : 4);
    model_hook(1);
    int32_t total = 0;
    for (int i = 0; i < 4; i++)
        total += doubled[i];
    for (volatile int i = 0; i < WORK; i++)
        ;
    for (int i = 0; i < 2; i++)
        sum[i] = k[i] + total;
    memcpy(outputs[1], doubled, 4);
    if (observer)
        observer(user, 1, sum, 8);
    model_hook(2);
#if TROUBLE == 1
    for (;;)
        __asm__ volatile("" ::: "memory");
#elif TROUBLE == 2
    *(volatile int *)0 = 1;
#endif
    return TROUBLE == 3 ? 7 : 0;
}

void model_read_layer(int32_t layer, const void *output, void *dense)
{
    memcpy(dense, output, layer == 0 ? 4 : 8);
}

int32_t model_run(const void *const inputs[], void *const outputs[], void *arena)
{
    return model_run_observed(inputs, outputs, arena, NULL, NULL);
}

#ifdef MAIN
static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static FILE *trace;
static int64_t started, spent_ns[2];

static void observe(void *user, int32_t layer, const void *output, size_t nbytes)
{
    (void)user;
    int64_t now = now_ns(); /* two layers need no median: the last run stands for all */
    spent_ns[layer] = now - started;
    if (trace)
        fwrite(output, 1, nbytes, trace);
    started = now_ns();
}

static _Alignas(64) unsigned char arena[MODEL_ARENA_BYTES], x[64], k[64], sum[64], doubled[64];

int main(int argc, char **argv)
{
    const char *profile = NULL;
    int repeat = 1, at = 1;
    for (; at + 1 < argc && !strncmp(argv[at], "--", 2); at += 2) {
        if (!strcmp(argv[at], "--trace"))
            trace = fopen(argv[at + 1], "wb");
        else if (!strcmp(argv[at], "--profile"))
            profile = argv[at + 1];
        else if (!strcmp(argv[at], "--repeat"))
            repeat = atoi(argv[at + 1]);
    }
    if (argc - at != 3)
        return 2;
    FILE *input = fopen(argv[at], "rb"), *output = fopen(argv[at + 1], "wb");
    const void *inputs[] = {x, k};
    void *outputs[] = {sum, doubled};
    for (int n = atoi(argv[at + 2]); n > 0; n--) {
        if (fread(x, 1, 4, input) != 4 || fread(k, 1, 8, input) != 8)
            return 3;
        for (int r = 0; r < repeat; r++) {
            started = now_ns();
            if (model_run_observed(inputs, outputs, arena, trace || profile ? observe : NULL, NULL)) {
                fprintf(stderr, "model_run did not return 0\n");
                return 4;
            }
        }
        fwrite(sum, 1, TROUBLE == 4 ? 7 : 8, output);
        fwrite(doubled, 1, 4, output);
    }
    fclose(output);
    if (trace)
        fclose(trace);
    if (profile) {
        FILE *file = fopen(profile, "w");
        fprintf(file, "{\"clock\": \"CLOCK_MONOTONIC\", \"layers\": [");
        for (int i = 0; i < 2; i++)
            fprintf(file, "%s{\"name\": \"%s\", \"ns_min\": %lld, \"ns_median\": %lld}", i ? ", " : "",
                    model_layer_names[i], (long long)spent_ns[i], (long long)spent_ns[i]);
        fprintf(file, "]}\n");
        fclose(file);
    }
    return 0;
}
#endif
