/* Counts all instructions of an emulated program, and remembers the count at each getppid().
 *
 * A TCG plugin (QEMU 6.1 and later; the declarations below are our own, because Debian ships
 * no qemu-plugin.h).  A program that nobody can add a hook to, such as Python, marks a point
 * by this system call, which does nothing and which nothing else makes.
 *
 * Arguments:  out=FILE  marker=NUMBER of the system call on the emulated machine
 * Output:     one line per marker: instructions executed before it.
 * One guest thread is assumed to work: the counter is not atomic.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PLUGIN_API_VERSION
#define PLUGIN_API_VERSION 1 /* 2 from QEMU 9.0 on; what we use is the same in both */
#endif
#define EXPORT __attribute__((visibility("default")))
#define MAX_MARKERS 4096

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
enum { CB_NO_REGS = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id,
                                           void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int,
                                          void *);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id,
                                          void (*)(plugin_id, unsigned, int64_t, uint64_t, uint64_t,
                                                   uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                                   uint64_t));
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);

EXPORT int qemu_plugin_version = PLUGIN_API_VERSION;

static uint64_t instructions;
static uint64_t marks[MAX_MARKERS]; /* the first n_marks are filled */
static size_t n_marks;
static int64_t marker = -1;
static const char *out_path;

static void on_block(unsigned vcpu, void *n_insns)
{
    (void)vcpu;
    instructions += (uintptr_t)n_insns;
}

static void on_translate(plugin_id id, struct qemu_plugin_tb *block)
{
    (void)id;
    uintptr_t n_insns = qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_cb(block, on_block, CB_NO_REGS, (void *)n_insns);
}

static void on_call(plugin_id id, unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2,
                    uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)vcpu, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number == marker && n_marks < MAX_MARKERS)
        marks[n_marks++] = instructions;
}

static void on_exit_write(plugin_id id, void *user)
{
    (void)id, (void)user;
    FILE *file = fopen(out_path, "w");
    if (!file) {
        perror(out_path);
        return; /* the reader finds no file and says so */
    }
    for (size_t i = 0; i < n_marks; i++)
        fprintf(file, "%" PRIu64 "\n", marks[i]);
    fclose(file);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4))
            out_path = strdup(argv[i] + 4);
        if (!strncmp(argv[i], "marker=", 7))
            marker = strtoll(argv[i] + 7, NULL, 0);
    }
    if (!out_path || marker < 0) {
        fprintf(stderr, "qemu_totals: out and marker must be given\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_vcpu_syscall_cb(id, on_call);
    qemu_plugin_register_atexit_cb(id, on_exit_write, NULL);
    return 0;
}
