/*
 * Runs a float model some times, so that an emulator can count what one run takes.
 *
 * usage: model INPUT OUTPUT RUNS
 * The counters are read at each call of model_hook: before and after every run.
 */
#include <stdio.h>
#include <stdlib.h>

extern const size_t model_input_bytes, model_output_bytes;
void model_run(const void *x, void *y);
void model_hook(int run);

/* Kept apart, so that the emulator finds it. */
__attribute__((noinline)) void model_hook(int run)
{
    __asm__ volatile("" : : "r"(run) : "memory");
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    void *x = aligned_alloc(64, (model_input_bytes + 63) / 64 * 64);
    void *y = aligned_alloc(64, (model_output_bytes + 63) / 64 * 64);
    FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");
    if (!x || !y || !in || !out || fread(x, 1, model_input_bytes, in) != model_input_bytes)
        return 3;
    for (int run = 0, runs = atoi(argv[3]); run < runs; run++) {
        model_hook(run);
        model_run(x, y);
        model_hook(run);
    }
    return fwrite(y, 1, model_output_bytes, out) == model_output_bytes && !fclose(out) ? 0 : 4;
}
