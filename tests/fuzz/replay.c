/*
 * Runs a fuzz target over files, where there is no libFuzzer: other compilers, other machines.
 *
 * usage: replay N_MUTANTS FILE...
 * Each file is run as it is, cut short, and N_MUTANTS times with some bytes changed.  Prints the
 * number of runs and a checksum of what they made, which must not depend on the machine.
 */
#include <stdio.h>
#include <string.h>

#include "exact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t state = 1;

/* xorshift32: the same numbers everywhere */
static uint32_t draw(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % below;
}

static void run(const uint8_t *data, size_t size)
{
    uint8_t *exact = exact_allocate(size);

    if (size)
        memcpy(exact, data, size);
    LLVMFuzzerTestOneInput(exact, size);
    exact_free(exact, size);
}

int main(int argc, char **argv)
{
    static uint8_t data[1 << 20], mutant[1 << 20];
    long n_mutants = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    size_t n_runs = 0;

    for (int i = 2; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");

        if (!file) {
            fprintf(stderr, "replay: '%s' must be a file\n", argv[i]);
            return 2;
        }
        size_t size = fread(data, 1, sizeof(data), file);
        fclose(file);
        for (size_t cut = 0; cut <= size; cut += 1 + size / 64, n_runs++)
            run(data, cut);
        run(data, size);
        for (long m = 0; m < n_mutants && size; m++, n_runs++) {
            memcpy(mutant, data, size);
            for (uint32_t k = draw(4) + 1; k; k--)
                mutant[draw((uint32_t)size)] = (uint8_t)draw(256);
            run(mutant, size);
        }
    }
    printf("runs %zu made %08x\n", n_runs, (unsigned)fuzz_made);
    return 0;
}
