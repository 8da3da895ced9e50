/* Runs an edge that chooses its cut over a file of samples.
 *
 *   model [--threads N] [--previous CUT] [--cut CUT] INPUT CHANNELS OUTPUT COUNT
 *
 * INPUT holds COUNT records, each the bytes of all inputs one after the other; CHANNELS COUNT
 * float64, little-endian: the seconds that a bit takes.  OUTPUT gets for each sample
 *   cut       int32; -1: no cut keeps the bounds, and nothing was computed
 *   size      uint32, of the message
 *   message   what the edge sends; none without a cut
 *   outputs   the bytes of all outputs one after the other; zeros for those of the cloud
 * all little-endian.  Each sample goes on from the cut of the one before: CUT of --previous for
 * the first, and where no cut was found, none.  --cut takes one cut whatever the channel.
 *
 * Exit codes: 0 ok, 2 usage, 3 a file is shorter than promised, 4 the system refused something.
 */
#define _DEFAULT_SOURCE
#include "model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2, EXIT_SHORT = 3, EXIT_SYSTEM = 4 };

static void die(int code, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

static void die(int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("model: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(code);
}

static void *allocate(size_t nbytes) {
    void *p = NULL;
    if (posix_memalign(&p, MODEL_ARENA_ALIGNMENT, nbytes ? nbytes : 1) != 0)
        die(EXIT_SYSTEM, "%zu bytes of memory must be free, and are not", nbytes);
    return p;
}

static FILE *open_file(const char *path, const char *mode) {
    FILE *file = fopen(path, mode);
    if (!file) die(EXIT_SYSTEM, "'%s' must be a file to open: %s", path, strerror(errno));
    return file;
}

static int32_t parse_number(const char *text, const char *what, long least, long most) {
    char *end;
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < least || value > most)
        die(EXIT_USAGE, "%s must be an integer from %ld to %ld, not '%s'", what, least, most, text);
    return (int32_t)value;
}

static void read_all(FILE *file, const char *path, void *bytes, size_t nbytes, int32_t sample,
                     int32_t n_samples) {
    if (fread(bytes, 1, nbytes, file) != nbytes)
        die(EXIT_SHORT, "'%s' must hold %" PRId32 " samples, and ends in sample %" PRId32, path,
            n_samples, sample);
}

static void write_all(FILE *file, const char *path, const void *bytes, size_t nbytes) {
    if (fwrite(bytes, 1, nbytes, file) != nbytes)
        die(EXIT_SYSTEM, "'%s' must be writable: %s", path, strerror(errno));
}

static void write_u32(FILE *file, const char *path, uint32_t value) {
    const uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                              (uint8_t)(value >> 24)};
    write_all(file, path, bytes, sizeof bytes);
}

static double f64_of(const uint8_t *bytes) {
    uint64_t bits = 0;
    double value;
    for (int i = 7; i >= 0; i--) bits = bits << 8 | bytes[i];
    memcpy(&value, &bits, sizeof value);
    return value;
}

int main(int argc, char **argv) {
    int32_t n_threads = 1, previous = MODEL_NO_CUT, fixed = MODEL_NO_CUT;
    int at = 1;
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        if (strcmp(argv[at], "--threads") == 0)
            n_threads = parse_number(argv[at + 1], "--threads", 1, INT32_MAX);
        else if (strcmp(argv[at], "--previous") == 0)
            previous = parse_number(argv[at + 1], "--previous", -1, MODEL_NUM_CUTS - 1);
        else if (strcmp(argv[at], "--cut") == 0)
            fixed = parse_number(argv[at + 1], "--cut", 0, MODEL_NUM_CUTS - 1);
        else
            die(EXIT_USAGE, "option must be --threads, --previous or --cut, not '%s'", argv[at]);
    }
    if (argc - at != 4)
        die(EXIT_USAGE, "usage: model [--threads N] [--previous CUT] [--cut CUT] "
                        "INPUT CHANNELS OUTPUT COUNT");
    const char *input_path = argv[at], *channel_path = argv[at + 1], *output_path = argv[at + 2];
    const int32_t n_samples = parse_number(argv[at + 3], "COUNT", 0, INT32_MAX);
    if (model_check()) die(EXIT_SYSTEM, "the table of cuts must be as it was built, and is not");

    void *inputs[MODEL_NUM_INPUTS + 1], *outputs[MODEL_NUM_OUTPUTS + 1];
    for (int i = 0; i < MODEL_NUM_INPUTS; i++) inputs[i] = allocate(model_input_bytes[i]);
    for (int i = 0; i < MODEL_NUM_OUTPUTS; i++) outputs[i] = allocate(model_output_bytes[i]);
    void *workspace = allocate(model_workspace_bytes());
    const size_t capacity = model_message_bound();
    uint8_t *message = allocate(capacity);
    model_threads *team = n_threads > 1 ? model_threads_start(n_threads) : NULL;
    if (n_threads > 1 && !team) die(EXIT_SYSTEM, "%" PRId32 " threads must start", n_threads);
    FILE *source = open_file(input_path, "rb"), *channels = open_file(channel_path, "rb");
    FILE *result = open_file(output_path, "wb");

    for (int32_t sample = 0; sample < n_samples; sample++) {
        uint8_t channel[8];
        size_t nbytes = 0;
        for (int i = 0; i < MODEL_NUM_INPUTS; i++)
            read_all(source, input_path, inputs[i], model_input_bytes[i], sample, n_samples);
        read_all(channels, channel_path, channel, sizeof channel, sample, n_samples);
        const int32_t cut = fixed == MODEL_NO_CUT ? model_select(f64_of(channel), previous) : fixed;
        if (cut == MODEL_BAD_CHANNEL)
            die(EXIT_USAGE, "channel %" PRId32 " must be 0 or more seconds per bit, and is not",
                sample);
        for (int i = 0; i < MODEL_NUM_OUTPUTS; i++) memset(outputs[i], 0, model_output_bytes[i]);
        if (cut != MODEL_NO_CUT) {
            nbytes = model_run_cut(team, cut, (const void *const *)inputs, outputs, workspace,
                                   message, capacity);
            if (nbytes == 0) die(EXIT_SYSTEM, "what crosses must be finite numbers, and is not");
        }
        previous = cut;
        write_u32(result, output_path, (uint32_t)cut);
        write_u32(result, output_path, (uint32_t)nbytes);
        write_all(result, output_path, message, nbytes);
        for (int i = 0; i < MODEL_NUM_OUTPUTS; i++)
            write_all(result, output_path, outputs[i], model_output_bytes[i]);
    }
    model_threads_stop(team);
    if (fclose(result) != 0) die(EXIT_SYSTEM, "'%s' must be writable: %s", output_path, strerror(errno));
    fclose(channels);
    fclose(source);
    return 0;
}
