/* Runs a compiled part over a file of samples.
 *
 *   model [--trace FILE] [--link FILE] [--profile FILE] [--repeat N] [--threads N]
 *         INPUT OUTPUT COUNT
 *
 * INPUT holds COUNT records, each the bytes of all inputs one after the other; OUTPUT gets as
 * many records of all outputs.  --trace writes for each sample the output of each layer, in the
 * order of the layers.  --link codes what crosses the cut and writes for each sample the bytes
 * of the frame (32 bits, little-endian) and the frame; the records of INPUT then go on with the
 * tensors that are passed.  --profile writes the time of each layer, and of coding, as JSON: the
 * least and the median over all samples and their repeats; and the cycles, where the kernel lets
 * us count them.  --repeat computes each sample N times,
 * --threads by N threads, but no more than there are processors.
 *
 * Exit codes: 0 ok, 2 usage, 3 a file is shorter than promised, 4 the system refused something.
 */
#define _DEFAULT_SOURCE /* POSIX.1-2008, and syscall() */
#include "model.h"

#include "cycles.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EXIT_USAGE = 2, EXIT_SHORT = 3, EXIT_SYSTEM = 4 };

/* What the observer needs.
 *   trace     where layer outputs go, as dense tensors, which `dense` has room for; or NULL
 *   times     nanoseconds, [model_num_layers + 1][n_runs], the last row of coding; or NULL
 *   cycles    the same in cycles, as far as the counter counts
 *   run       the current run, < n_runs
 *   last_*    when the layer before ended */
struct watch {
    FILE *trace;
    const char *trace_path;
    void *dense;
    uint64_t *times, *cycles;
    struct cycles counter;
    size_t run, n_runs;
    uint64_t last_ns, last_cycles;
};

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

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
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

static void write_all(FILE *file, const char *path, const void *bytes, size_t nbytes) {
    if (fwrite(bytes, 1, nbytes, file) != nbytes)
        die(EXIT_SYSTEM, "'%s' must be writable: %s", path, strerror(errno));
}

static void close_file(FILE *file, const char *path) {
    if (fclose(file) != 0) die(EXIT_SYSTEM, "'%s' must be writable: %s", path, strerror(errno));
}

static size_t parse_count(const char *text, const char *what, size_t least) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || value < least || value > INT32_MAX)
        die(EXIT_USAGE, "%s must be an integer from %zu to %d, not '%s'", what, least, INT32_MAX,
            text);
    return (size_t)value;
}

/* The clock is the last to be read before a layer and the first after it. */
static void start_timing(struct watch *watch) {
    if (!watch->times) return;
    watch->last_cycles = read_cycles(&watch->counter).value;
    watch->last_ns = now_ns();
}

static void stop_timing(struct watch *watch, size_t row) {
    if (!watch->times) return;
    const size_t at = row * watch->n_runs + watch->run;
    watch->times[at] = now_ns() - watch->last_ns;
    watch->cycles[at] = read_cycles(&watch->counter).value - watch->last_cycles;
}

static void observe(void *user, int32_t layer, const void *output, size_t nbytes) {
    struct watch *watch = user;
    stop_timing(watch, (size_t)layer);
    if (watch->trace) {
        model_read_layer(layer, output, watch->dense);
        write_all(watch->trace, watch->trace_path, watch->dense, nbytes);
    }
    start_timing(watch);
}

static int compare_times(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void write_json_string(FILE *file, const char *text) {
    fputc('"', file);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            fprintf(file, "\\%c", *p);
        else if (*p < 32)
            fprintf(file, "\\u%04x", *p);
        else
            fputc(*p, file);
    }
    fputc('"', file);
}

static void write_summary(FILE *file, const char *unit, uint64_t *row, size_t n_runs) {
    qsort(row, n_runs, sizeof *row, compare_times);
    uint64_t median = n_runs % 2 ? row[n_runs / 2]
                                 : (row[n_runs / 2 - 1] + row[n_runs / 2]) / 2;
    fprintf(file, "\"%s_min\": %" PRIu64 ", \"%s_median\": %" PRIu64, unit, row[0], unit,
            median);
}

static void write_times(FILE *file, const struct watch *watch, size_t row) {
    write_summary(file, "ns", watch->times + row * watch->n_runs, watch->n_runs);
    if (!watch->counter.reason[0]) {
        fputs(", ", file);
        write_summary(file, "cycles", watch->cycles + row * watch->n_runs, watch->n_runs);
    }
    fputc('}', file);
}

static void write_profile(const char *path, const struct watch *watch, int coded) {
    FILE *file = open_file(path, "w");
    const char *reason = watch->counter.reason;
    fprintf(file, "{\"clock\": \"CLOCK_MONOTONIC\", \"cycles\": %s",
            reason[0] ? "false, \"cycles_reason\": " : "true");
    if (reason[0]) write_json_string(file, reason);
    fputs(", \"layers\": [", file);
    for (int32_t layer = 0; layer < model_num_layers; layer++) {
        fprintf(file, "%s\n  {\"name\": ", layer ? "," : "");
        write_json_string(file, model_layer_names[layer]);
        fputs(", ", file);
        write_times(file, watch, (size_t)layer);
    }
    fputs("\n]", file);
    if (coded) {
        fputs(", \"link\": {", file);
        write_times(file, watch, (size_t)model_num_layers);
    }
    fputs("}\n", file);
    close_file(file, path);
}

/* What codes the link.
 *   tensors    [MODEL_NUM_LINK], some of them inputs or outputs of model_run, and
 *   passed     [n_passed] those that INPUT holds beside the inputs, with their sizes
 *   frame      [capacity], of which the last coding wrote nbytes */
struct link {
    FILE *file;
    const char *path;
    const void *tensors[MODEL_NUM_LINK + 1];
    void *passed[MODEL_NUM_PASSED + 1];
    size_t passed_bytes[MODEL_NUM_PASSED + 1], n_passed;
    void *workspace;
    uint8_t *frame;
    size_t capacity, nbytes;
};

#if MODEL_NUM_LINK
static void open_link(struct link *link, void *const inputs[], void *const outputs[]) {
    for (int i = 0; i < MODEL_NUM_LINK; i++) {
        int32_t source = model_link_sources[i];
        if (MODEL_NUM_INPUTS > 0 && source < MODEL_NUM_INPUTS) {
            link->tensors[i] = inputs[source];
        } else if (MODEL_NUM_OUTPUTS > 0 && source < MODEL_NUM_INPUTS + MODEL_NUM_OUTPUTS) {
            link->tensors[i] = outputs[source - MODEL_NUM_INPUTS];
        } else {
            void *room = allocate(model_link_bytes[i]);
            link->tensors[i] = link->passed[link->n_passed] = room;
            link->passed_bytes[link->n_passed++] = model_link_bytes[i];
        }
    }
    link->capacity = model_link_bound();
    link->frame = allocate(link->capacity);
    link->workspace = allocate(model_link_workspace());
    link->file = open_file(link->path, "wb");
}

static void encode(struct link *link) {
    link->nbytes =
        model_encode_link(link->workspace, link->tensors, link->frame, link->capacity);
    if (link->nbytes == 0) die(EXIT_SYSTEM, "what crosses must be finite numbers, and is not");
}
#else
static void open_link(struct link *link, void *const inputs[], void *const outputs[]) {
    (void)inputs, (void)outputs;
    die(EXIT_USAGE, "the part must have a link for --link '%s', and has none", link->path);
}

static void encode(struct link *link) { (void)link; }
#endif

static void write_frame(const struct link *link) {
    const uint8_t size[4] = {(uint8_t)link->nbytes, (uint8_t)(link->nbytes >> 8),
                             (uint8_t)(link->nbytes >> 16), (uint8_t)(link->nbytes >> 24)};
    write_all(link->file, link->path, size, sizeof size);
    write_all(link->file, link->path, link->frame, link->nbytes);
}

static void read_all(FILE *file, const char *path, void *bytes, size_t nbytes, size_t sample,
                     size_t n_samples) {
    if (fread(bytes, 1, nbytes, file) != nbytes)
        die(EXIT_SHORT, "'%s' must hold %zu samples, and ends in sample %zu", path, n_samples,
            sample);
}

int main(int argc, char **argv) {
    const char *trace_path = NULL, *profile_path = NULL;
    struct link link = {0};
    size_t n_repeats = 1, n_threads = 1;
    int at = 1;
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        if (strcmp(argv[at], "--trace") == 0)
            trace_path = argv[at + 1];
        else if (strcmp(argv[at], "--link") == 0)
            link.path = argv[at + 1];
        else if (strcmp(argv[at], "--profile") == 0)
            profile_path = argv[at + 1];
        else if (strcmp(argv[at], "--repeat") == 0)
            n_repeats = parse_count(argv[at + 1], "--repeat", 1);
        else if (strcmp(argv[at], "--threads") == 0)
            n_threads = parse_count(argv[at + 1], "--threads", 1);
        else
            die(EXIT_USAGE,
                "option must be --trace, --link, --profile, --repeat or --threads, not '%s'",
                argv[at]);
    }
    if (argc - at != 3)
        die(EXIT_USAGE,
            "usage: model [--trace FILE] [--link FILE] [--profile FILE] [--repeat N] "
            "[--threads N] INPUT OUTPUT COUNT");
    const char *input_path = argv[at], *output_path = argv[at + 1];
    const size_t n_samples = parse_count(argv[at + 2], "COUNT", profile_path ? 1 : 0);

    void *inputs[MODEL_NUM_INPUTS + 1], *outputs[MODEL_NUM_OUTPUTS + 1];
    for (int i = 0; i < MODEL_NUM_INPUTS; i++) inputs[i] = allocate(model_input_bytes[i]);
    for (int i = 0; i < MODEL_NUM_OUTPUTS; i++) outputs[i] = allocate(model_output_bytes[i]);
    void *arena = allocate(MODEL_ARENA_BYTES);
    if (link.path) open_link(&link, inputs, outputs);
    model_threads *team = n_threads > 1 ? model_threads_start((int32_t)n_threads) : NULL;
    if (n_threads > 1 && !team) die(EXIT_SYSTEM, "%zu threads must start, and do not", n_threads);

    struct watch watch = {.trace_path = trace_path, .n_runs = n_samples * n_repeats};
    if (trace_path) {
        size_t largest = 0;
        for (int32_t layer = 0; layer < model_num_layers; layer++)
            if (model_layer_bytes[layer] > largest) largest = model_layer_bytes[layer];
        watch.trace = open_file(trace_path, "wb");
        watch.dense = allocate(largest);
    }
    if (profile_path) {
        const size_t nbytes =
            ((size_t)model_num_layers + 1) * watch.n_runs * sizeof *watch.times;
        watch.times = allocate(nbytes);
        watch.cycles = allocate(nbytes);
        open_cycles(&watch.counter);
    }
    FILE *source = open_file(input_path, "rb"), *result = open_file(output_path, "wb");

    for (size_t sample = 0; sample < n_samples; sample++) {
        for (int i = 0; i < MODEL_NUM_INPUTS; i++)
            read_all(source, input_path, inputs[i], model_input_bytes[i], sample, n_samples);
        for (size_t i = 0; i < link.n_passed; i++)
            read_all(source, input_path, link.passed[i], link.passed_bytes[i], sample, n_samples);
        for (size_t repeat = 0; repeat < n_repeats; repeat++, watch.run++) {
            const int observed = watch.times || (watch.trace && repeat == 0);
            FILE *trace = watch.trace;
            if (repeat > 0) watch.trace = NULL;
            start_timing(&watch);
            int32_t status = model_run_threads(team, (const void *const *)inputs, outputs, arena,
                                               observed ? observe : NULL, &watch);
            watch.trace = trace;
            if (status != 0) die(EXIT_SYSTEM, "model_run must return 0, not %" PRId32, status);
            if (link.file) {
                start_timing(&watch);
                encode(&link);
                stop_timing(&watch, (size_t)model_num_layers);
            }
        }
        if (link.file) write_frame(&link);
        for (int i = 0; i < MODEL_NUM_OUTPUTS; i++)
            write_all(result, output_path, outputs[i], model_output_bytes[i]);
    }
    if (watch.trace) close_file(watch.trace, trace_path);
    if (link.file) close_file(link.file, link.path);
    if (profile_path) {
        close_cycles(&watch.counter);
        write_profile(profile_path, &watch, link.path != NULL);
    }
    model_threads_stop(team);
    close_file(result, output_path);
    fclose(source);
    return 0;
}
