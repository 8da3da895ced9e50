/* Counts how often every block of instructions runs between two calls of model_hook().
 *
 * A TCG plugin (QEMU 6.1 and later; the declarations below are our own, because Debian ships
 * no qemu-plugin.h).  The first call of model_hook() begins an interval, the second ends it, the
 * third begins the next.  A block is what QEMU translates at once: it begins where a jump or the
 * block before leads, and ends with a branch.
 *
 * Arguments:  hook=ADDRESS  out=FILE
 * Output:     for each interval and each block that ran in it a line:
 *             number of the interval, address, instructions, how often
 *
 * Invariants: no two blocks have the same address and length; the counts of an open interval are
 * not yet written.  One guest thread is assumed.
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
struct qemu_plugin_tb;
struct qemu_plugin_insn;

enum { CB_NO_REGS = 0 };

typedef void (*exec_cb)(unsigned vcpu, void *user);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id,
                                           void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, exec_cb, int, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, exec_cb, int, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);

EXPORT int qemu_plugin_version = PLUGIN_API_VERSION;

/* --- blocks ------------------------------------------------------------------------------ */

struct block {
    uint64_t address, n_insns, count;
    struct block *next;
};

static struct block *blocks;
static unsigned hooks; /* calls so far; an interval is open while it is odd */
static uint64_t hook_address;
static FILE *out;

/* Blocks are translated seldom and few: a list will do. */
static struct block *found(uint64_t address, uint64_t n_insns)
{
    for (struct block *block = blocks; block; block = block->next)
        if (block->address == address && block->n_insns == n_insns)
            return block;
    struct block *fresh = calloc(1, sizeof *fresh);
    if (!fresh)
        abort();
    *fresh = (struct block){address, n_insns, 0, blocks};
    return blocks = fresh;
}

static void on_block(unsigned vcpu, void *block)
{
    (void)vcpu;
    ((struct block *)block)->count++;
}

static void on_hook(unsigned vcpu, void *user)
{
    (void)vcpu, (void)user;
    for (struct block *block = blocks; block; block = block->next) {
        if (hooks % 2 && block->count)
            fprintf(out, "%u %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", hooks / 2, block->address,
                    block->n_insns, block->count);
        block->count = 0;
    }
    hooks++;
}

static void on_translate(plugin_id id, struct qemu_plugin_tb *tb)
{
    (void)id;
    size_t n_insns = qemu_plugin_tb_n_insns(tb);
    uint64_t address = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, CB_NO_REGS, found(address, n_insns));
    for (size_t i = 0; i < n_insns; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        if (qemu_plugin_insn_vaddr(insn) == hook_address)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_hook, CB_NO_REGS, NULL);
    }
}

static void on_exit_close(plugin_id id, void *user)
{
    (void)id, (void)user;
    fclose(out);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4))
            out = fopen(argv[i] + 4, "w");
        if (!strncmp(argv[i], "hook=", 5))
            hook_address = strtoull(argv[i] + 5, NULL, 0);
    }
    if (!out || !hook_address) {
        fprintf(stderr, "joulecut plugin: hook and out must be given\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_exit_close, NULL);
    return 0;
}
