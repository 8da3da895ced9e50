/* Counts what every layer of a model executes, from inside QEMU's user-mode emulator.
 *
 * A TCG plugin (QEMU 6.1 and later; the declarations below are our own, because Debian ships
 * no qemu-plugin.h).  The model calls model_hook() before each layer and once after the last;
 * at each call we remember all counters, so that a layer is the difference of two snapshots.
 *
 * Arguments:  hook=ADDRESS  out=FILE  l1_sets= l1_ways= l2_sets= l2_ways= line_shift=
 * Output:     one line per snapshot, the counters in the order of enum counter.
 *
 * Invariants: counters only grow; the order in a set is most recently used first.
 * One guest thread is assumed: counters are not atomic.
 * The caches are two inclusive-free LRU levels for data, indexed by virtual address, without
 * prefetching, write buffers or a TLB.  An access that crosses a line touches both lines.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PLUGIN_API_VERSION
#define PLUGIN_API_VERSION 1 /* 2 from QEMU 9.0 on; what we use is the same in both */
#endif
#define EXPORT __attribute__((visibility("default")))

/* --- QEMU's side of the contract ------------------------------------------------------- */

typedef uint64_t plugin_id;
typedef uint32_t mem_info;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

enum { CB_NO_REGS = 0 };
enum { MEM_READ_WRITE = 3 };

typedef void (*exec_cb)(unsigned vcpu, void *user);
typedef void (*mem_cb)(unsigned vcpu, mem_info info, uint64_t address, void *user);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id,
                                           void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, exec_cb, int, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, exec_cb, int, void *);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, mem_cb, int, int, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
unsigned qemu_plugin_mem_size_shift(mem_info);
bool qemu_plugin_mem_is_store(mem_info);

EXPORT int qemu_plugin_version = PLUGIN_API_VERSION;

/* --- counters -------------------------------------------------------------------------- */

enum counter { INSTRUCTIONS, LOADS, STORES, LOAD_BYTES, STORE_BYTES, L1_MISSES, L2_MISSES, N_COUNTERS };

static uint64_t counters[N_COUNTERS];

static struct {
    uint64_t (*rows)[N_COUNTERS]; /* @rows[capacity], the first `used` are filled */
    size_t used, capacity;
} snapshots;

static uint64_t hook_address;
static const char *out_path;

/* --- caches ---------------------------------------------------------------------------- */

struct cache {
    uint64_t *tags; /* @tags[sets * ways]: line number + 1, or 0 for an empty way */
    uint64_t sets;  /* a power of two */
    uint64_t ways;
};

static struct cache l1, l2;
static uint64_t line_shift;

/* Makes `line` the most recent of its set; says whether it was there. */
static bool touch(struct cache *cache, uint64_t line)
{
    uint64_t *set = cache->tags + (line & (cache->sets - 1)) * cache->ways;
    uint64_t way = 0;
    while (way < cache->ways - 1 && set[way] != line + 1)
        way++;
    bool hit = set[way] == line + 1;
    memmove(set + 1, set, way * sizeof *set);
    set[0] = line + 1;
    return hit;
}

static void on_memory(unsigned vcpu, mem_info info, uint64_t address, void *user)
{
    (void)vcpu, (void)user;
    uint64_t nbytes = UINT64_C(1) << qemu_plugin_mem_size_shift(info);
    bool store = qemu_plugin_mem_is_store(info);
    counters[store ? STORES : LOADS] += 1;
    counters[store ? STORE_BYTES : LOAD_BYTES] += nbytes;
    uint64_t last = (address + nbytes - 1) >> line_shift;
    for (uint64_t line = address >> line_shift; line <= last; line++) {
        if (touch(&l1, line))
            continue;
        counters[L1_MISSES]++;
        if (!touch(&l2, line))
            counters[L2_MISSES]++;
    }
}

/* --- translation ----------------------------------------------------------------------- */

static void on_block(unsigned vcpu, void *n_insns)
{
    (void)vcpu;
    counters[INSTRUCTIONS] += (uintptr_t)n_insns;
}

static void on_hook(unsigned vcpu, void *user)
{
    (void)vcpu, (void)user;
    if (snapshots.used == snapshots.capacity) {
        size_t capacity = snapshots.capacity ? 2 * snapshots.capacity : 256;
        void *rows = realloc(snapshots.rows, capacity * sizeof *snapshots.rows);
        if (!rows) {
            fprintf(stderr, "joulecut plugin: no memory for %zu snapshots\n", capacity);
            abort();
        }
        snapshots.rows = rows;
        snapshots.capacity = capacity;
    }
    memcpy(snapshots.rows[snapshots.used++], counters, sizeof counters);
}

/* A call ends a block, so the hook is the first instruction of its own: nothing of a layer
 * is counted after the snapshot that opens the next. */
static void on_translate(plugin_id id, struct qemu_plugin_tb *block)
{
    (void)id;
    size_t n_insns = qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_cb(block, on_block, CB_NO_REGS, (void *)(uintptr_t)n_insns);
    for (size_t i = 0; i < n_insns; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        if (qemu_plugin_insn_vaddr(insn) == hook_address)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_hook, CB_NO_REGS, NULL);
        qemu_plugin_register_vcpu_mem_cb(insn, on_memory, CB_NO_REGS, MEM_READ_WRITE, NULL);
    }
}

static void on_exit_write(plugin_id id, void *user)
{
    (void)id, (void)user;
    FILE *file = fopen(out_path, "w");
    if (!file) {
        perror(out_path);
        return; /* the reader finds no file and says so */
    }
    for (size_t row = 0; row < snapshots.used; row++)
        for (int i = 0; i < N_COUNTERS; i++)
            fprintf(file, "%" PRIu64 "%c", snapshots.rows[row][i], i + 1 < N_COUNTERS ? ' ' : '\n');
    fclose(file);
}

/* --- start ----------------------------------------------------------------------------- */

static bool make_cache(struct cache *cache)
{
    if (!cache->sets || (cache->sets & (cache->sets - 1)) || !cache->ways)
        return false;
    cache->tags = calloc(cache->sets * cache->ways, sizeof *cache->tags);
    return cache->tags != NULL;
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    const struct {
        const char *name;
        uint64_t *value;
    } numbers[] = {{"hook", &hook_address}, {"l1_sets", &l1.sets},        {"l1_ways", &l1.ways},
                   {"l2_sets", &l2.sets},   {"l2_ways", &l2.ways},        {"line_shift", &line_shift}};
    for (int i = 0; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        size_t length = equals ? (size_t)(equals - argv[i]) : 0;
        if (length == 3 && !memcmp(argv[i], "out", 3))
            out_path = strdup(equals + 1);
        for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++)
            if (length && length == strlen(numbers[n].name) && !memcmp(argv[i], numbers[n].name, length))
                *numbers[n].value = strtoull(equals + 1, NULL, 0);
    }
    if (!out_path || !hook_address || !make_cache(&l1) || !make_cache(&l2)) {
        fprintf(stderr, "joulecut plugin: hook, out and both caches must be given\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_exit_write, NULL);
    return 0;
}
