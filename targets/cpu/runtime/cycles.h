/* Counts processor cycles in user mode through Linux's perf_event_open(2).
 *
 * Not every kernel lets a program count: emulators and most virtual machines have no counter,
 * and a perf_event_paranoid above 2 keeps it from users.  Then there is a reason, no number.
 * Reading is a system call, whose own cycles are the kernel's and are not counted.
 */
#ifndef CYCLES_H
#define CYCLES_H

#include <errno.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CYCLES_TYPE /* any other event of perf_event_open(2) is counted the same way */
#define CYCLES_TYPE PERF_TYPE_HARDWARE
#define CYCLES_CONFIG PERF_COUNT_HW_CPU_CYCLES
#endif

/* A counter of this thread.
 *   fd        or -1 if there is none
 *   reason    why not, or "" */
struct cycles {
    int fd;
    char reason[160];
};

/* What read(2) fills in with the format below. */
struct cycles_reading {
    uint64_t value, enabled_ns, running_ns;
};

static void open_cycles(struct cycles *cycles) {
    struct perf_event_attr event;
    memset(&event, 0, sizeof event);
    event.size = sizeof event;
    event.type = CYCLES_TYPE;
    event.config = CYCLES_CONFIG;
    event.exclude_kernel = 1;
    event.exclude_hv = 1;
    event.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
    cycles->reason[0] = '\0';
    cycles->fd =
        (int)syscall(SYS_perf_event_open, &event, 0, -1, -1, (unsigned long)PERF_FLAG_FD_CLOEXEC);
    if (cycles->fd < 0)
        snprintf(cycles->reason, sizeof cycles->reason, "perf_event_open: %s", strerror(errno));
}

static struct cycles_reading read_cycles(const struct cycles *cycles) {
    struct cycles_reading now = {0, 0, 0};
    if (cycles->fd >= 0 && read(cycles->fd, &now, sizeof now) != sizeof now)
        now.value = now.enabled_ns = now.running_ns = 0;
    return now;
}

/* Closes the counter.  The kernel shares counters among who asks, and one for a kind of core
 * stands still on the other kind: what did not run all the time has counted too little. */
static void close_cycles(struct cycles *cycles) {
    if (cycles->fd < 0) return;
    struct cycles_reading last = read_cycles(cycles);
    if (last.running_ns == 0 || last.running_ns < last.enabled_ns)
        snprintf(cycles->reason, sizeof cycles->reason,
                 "the counter ran for %llu of %llu ns; pin the program to one core",
                 (unsigned long long)last.running_ns, (unsigned long long)last.enabled_ns);
    close(cycles->fd);
    cycles->fd = -1;
}

#endif
