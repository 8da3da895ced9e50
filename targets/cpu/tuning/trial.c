/* Runs kernels that compute the same: writes what each made, then times or counts them.
 *
 * trial INPUT OUTPUT                   then each kernel once between two calls of model_hook
 * trial INPUT OUTPUT TIMES ROUNDS MS   then ROUNDS times each kernel, or as often as MS allow;
 *                                      each line of TIMES has the nanoseconds of all kernels
 *
 * INPUT holds all buffers, end to end.  OUTPUT gets the buffer that is written, once for each
 * kernel; before each it is what INPUT says.  Before each timed or counted call the caches are
 * brought to what they are in the middle of a network: other_bytes of something else were read
 * since the kernel last ran, and x was written last.
 */
#define _POSIX_C_SOURCE 200112L
#include "kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINE = 64, SLACK = 64 }; /* kernels may read, never write, SLACK bytes beyond a buffer */

void model_hook(int32_t layer);
__attribute__((noinline, noclone)) void model_hook(int32_t layer)
{
    __asm__ volatile("" : : "r"(layer) : "memory");
}

static uint8_t *aligned(size_t nbytes)
{
    void *found = NULL;
    if (posix_memalign(&found, LINE, nbytes + SLACK) != 0)
        exit(2);
    memset(found, 1, nbytes + SLACK); /* pages of its own, not the one of zeros */
    return found;
}

static void touch(const volatile uint8_t *bytes, size_t nbytes)
{
    for (size_t at = 0; at < nbytes; at += LINE)
        (void)bytes[at];
}

static long long now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
    uint8_t *buffers[N_BUFFERS];
    FILE *in = argc == 3 || argc == 6 ? fopen(argv[1], "rb") : NULL;
    FILE *out = in ? fopen(argv[2], "wb") : NULL;
    if (!out)
        return 3;
    for (int i = 0; i < N_BUFFERS; i++) {
        buffers[i] = aligned(buffer_bytes[i]);
        if (fread(buffers[i], 1, buffer_bytes[i], in) != buffer_bytes[i])
            return 4;
    }
    size_t y_bytes = buffer_bytes[Y];
    uint8_t *before = memcpy(aligned(y_bytes), buffers[Y], y_bytes), *other = aligned(other_bytes);
    for (int k = 0; k < N_KERNELS; k++) {
        memcpy(buffers[Y], before, y_bytes);
        kernels[k](buffers);
        if (fwrite(buffers[Y], 1, y_bytes, out) != y_bytes)
            return 5;
    }
    if (fclose(out) != 0)
        return 5;
    if (argc == 3) {
        for (int k = 0; k < N_KERNELS; k++) {
            touch(other, other_bytes);
            touch(buffers[X], buffer_bytes[X]);
            model_hook(2 * k);
            kernels[k](buffers);
            model_hook(2 * k + 1);
        }
        return 0;
    }
    FILE *times = fopen(argv[3], "w");
    if (!times)
        return 6;
    long long end = now_ns() + 1000000LL * atol(argv[5]);
    for (long round = 0; round < atol(argv[4]) && (round < 2 || now_ns() < end); round++) {
        long long ns[N_KERNELS];
        for (int i = 0; i < N_KERNELS; i++) {
            int k = round % 2 ? N_KERNELS - 1 - i : i; /* no kernel always follows another */
            touch(other, other_bytes);
            touch(buffers[X], buffer_bytes[X]);
            ns[k] = -now_ns();
            kernels[k](buffers);
            ns[k] += now_ns();
        }
        for (int k = 0; k < N_KERNELS; k++)
            fprintf(times, "%lld%c", ns[k], k + 1 < N_KERNELS ? ' ' : '\n');
    }
    return fclose(times) ? 6 : 0;
}
