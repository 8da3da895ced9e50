/* Hides AVX-512, AVX-VNNI and AMX from the program that preloads this library.
 *
 * Libraries choose kernels by the CPUID instruction, which Linux can make fault on processors
 * with the flag cpuid_fault (arch_prctl(2), ARCH_SET_CPUID).  The signal handler then executes
 * it, clears the bits below and goes on behind it.  So the processor is what it was, and the
 * program believes that it ends with AVX2 and FMA.
 *
 *   LD_PRELOAD=mask_cpuid.so program
 *
 * What is not masked: the dynamic loader and libc ask before this library is loaded, so that
 * copies of memory may use AVX-512; the kernel's list in /proc/cpuinfo; XGETBV.
 * A thread inherits the mode.  Programs that this one starts are not masked, because some have a
 * handler of their own (gcc has): the variable LD_PRELOAD becomes MASKED_BY.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* Bits of leaf 7, Intel SDM volume 2A, table "Information Returned by CPUID". */
#define BIT(n) (UINT32_C(1) << (n))
static const uint32_t leaf_7_0_ebx = /* AVX512F, DQ, IFMA, PF, ER, CD, BW, VL */
    BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31);
static const uint32_t leaf_7_0_ecx = /* AVX512 VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ */
    BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14);
static const uint32_t leaf_7_0_edx = /* AVX512 4VNNIW, 4FMAPS, VP2INTERSECT; AMX BF16; FP16; AMX */
    BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25);
static const uint32_t leaf_7_1_eax = /* AVX-VNNI, AVX512-BF16, AMX-FP16, AVX-IFMA */
    BIT(4) | BIT(5) | BIT(21) | BIT(23);
static const uint32_t leaf_7_1_edx = /* AVX-VNNI-INT8, AVX-NE-CONVERT, AMX-COMPLEX, VNNI-INT16, AVX10 */
    BIT(4) | BIT(5) | BIT(8) | BIT(10) | BIT(19);

static struct sigaction before;

static void set_faulting(int on) {
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, !on);
}

static void emulate(greg_t *registers) {
    const uint32_t leaf = (uint32_t)registers[REG_RAX], sub = (uint32_t)registers[REG_RCX];
    uint32_t a, b, c, d;
    set_faulting(0);
    __cpuid_count(leaf, sub, a, b, c, d);
    set_faulting(1);
    if (leaf == 7 && sub == 0) {
        b &= ~leaf_7_0_ebx;
        c &= ~leaf_7_0_ecx;
        d &= ~leaf_7_0_edx;
    } else if (leaf == 7 && sub == 1) {
        a &= ~leaf_7_1_eax;
        d &= ~leaf_7_1_edx;
    }
    registers[REG_RAX] = a;
    registers[REG_RBX] = b;
    registers[REG_RCX] = c;
    registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

/* Any other fault happens again under the handler that was there before, which then has it. */
static void on_fault(int signal, siginfo_t *info, void *context) {
    greg_t *const registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *const code = (const uint8_t *)registers[REG_RIP]; /* [2] if CPUID faulted */
    const int saved = errno;
    /* A fault of a general instruction has no address; one of memory may lie where no code is. */
    if (info->si_code == SI_KERNEL && code[0] == 0x0f && code[1] == 0xa2)
        emulate(registers);
    else
        sigaction(signal, &before, NULL);
    errno = saved;
}

__attribute__((constructor)) static void mask(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    if (sigaction(SIGSEGV, &action, &before) != 0 || syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0) != 0) {
        fprintf(stderr, "mask_cpuid: %s\n", strerror(errno));
        _Exit(86);
    }
    const char *const self = getenv("LD_PRELOAD");
    setenv("MASKED_BY", self ? self : "", 1);
    unsetenv("LD_PRELOAD");
}
