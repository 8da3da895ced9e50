#define _GNU_SOURCE /* sched_getaffinity */
#include "threads.h"

#include "model.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_CHUNKS = 0xffff,
    SPINS_BEFORE_YIELD = 2000,
    SPINS_BEFORE_SLEEP = 20000,
    LINE = 64, /* bytes of a cache line: what one core writes must not lie beside what others read */
};

/* What is offered.  @ticket is the number of the offer << 32, the first chunk that is left << 16
 * and the end of those that are left.  Chunks belong to who moves one of the ends: the caller the
 * first, so that it finds in its caches what it made of the layer before, the others the last.
 * The other fields are written before the ticket names their offer, and only when all chunks of
 * the offer before are finished: who reads fields of another offer does not get the ticket moved.
 *
 * @sleepers, and what the condition @offered says, are guarded by @lock. */
struct model_threads {
    _Alignas(LINE) _Atomic uint64_t ticket;
    _Alignas(LINE) _Atomic int32_t finished;
    _Alignas(LINE) _Atomic(jc_job) job;
    _Atomic(const void *) run;
    _Atomic int32_t tasks, chunks, status, sleepers;
    int32_t count, started;
    int is_ending;
    pthread_mutex_t lock;
    pthread_cond_t offered;
    pthread_t members[];
};

static void wait_a_moment(int32_t spins) {
    if (spins >= SPINS_BEFORE_YIELD) {
        sched_yield();
        return;
    }
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield");
#endif
}

/* Takes some chunks of the present offer, many while many are left, and runs them; 0 if none is
 * left. */
static int run_some(model_threads *team, int is_caller) {
    uint64_t ticket = atomic_load(&team->ticket);
    for (;;) {
        const jc_job job = atomic_load_explicit(&team->job, memory_order_relaxed);
        const void *const run = atomic_load_explicit(&team->run, memory_order_relaxed);
        const int64_t tasks = atomic_load_explicit(&team->tasks, memory_order_relaxed);
        const int64_t chunks = atomic_load_explicit(&team->chunks, memory_order_relaxed);
        const int32_t first = (int32_t)(ticket >> 16 & 0xffff), end = (int32_t)(ticket & 0xffff);
        if (first >= end) return 0;
        const int32_t share = (end - first) / (team->count + 1), count = share > 1 ? share : 1;
        const int32_t from = is_caller ? first : end - count;
        const uint64_t left = is_caller ? ticket + ((uint64_t)count << 16) : ticket - (uint64_t)count;
        if (!atomic_compare_exchange_weak(&team->ticket, &ticket, left)) continue;
        const int32_t status = job(run, (int32_t)(from * tasks / chunks),
                                   (int32_t)((from + count) * tasks / chunks));
        if (status) atomic_fetch_or(&team->status, status);
        atomic_fetch_add(&team->finished, count);
        return 1;
    }
}

static void *member(void *argument) {
    model_threads *const team = argument;
    for (;;) {
        int32_t spins = 0;
        while (spins < SPINS_BEFORE_SLEEP) {
            if (run_some(team, 0))
                spins = 0;
            else
                wait_a_moment(++spins < SPINS_BEFORE_YIELD ? spins : 0);
        }
        pthread_mutex_lock(&team->lock);
        const uint64_t seen = atomic_load(&team->ticket);
        atomic_fetch_add(&team->sleepers, 1);
        while (!team->is_ending && atomic_load(&team->ticket) >> 32 == seen >> 32)
            pthread_cond_wait(&team->offered, &team->lock);
        atomic_fetch_sub(&team->sleepers, 1);
        const int is_ending = team->is_ending;
        pthread_mutex_unlock(&team->lock);
        if (is_ending) return NULL;
    }
}

static void wake(model_threads *team) {
    pthread_mutex_lock(&team->lock);
    pthread_cond_broadcast(&team->offered);
    pthread_mutex_unlock(&team->lock);
}

int32_t jc_share(model_threads *team, jc_job job, const void *run, int32_t tasks) {
    if (!team || team->count == 1) return job(run, 0, tasks);
    const int32_t chunks = tasks < MOST_CHUNKS ? tasks : MOST_CHUNKS;
    atomic_store_explicit(&team->job, job, memory_order_relaxed);
    atomic_store_explicit(&team->run, run, memory_order_relaxed);
    atomic_store_explicit(&team->tasks, tasks, memory_order_relaxed);
    atomic_store_explicit(&team->chunks, chunks, memory_order_relaxed);
    atomic_store_explicit(&team->status, 0, memory_order_relaxed);
    atomic_store_explicit(&team->finished, 0, memory_order_relaxed);
    const uint64_t offer = (atomic_load(&team->ticket) >> 32) + 1;
    atomic_store(&team->ticket, offer << 32 | (uint32_t)chunks);
    if (atomic_load(&team->sleepers) > 0) wake(team);
    while (run_some(team, 1)) {
    }
    for (int32_t spins = 0; atomic_load(&team->finished) < chunks;)
        wait_a_moment(spins < SPINS_BEFORE_YIELD ? spins++ : spins);
    return atomic_load(&team->status);
}

int32_t model_threads_count(const model_threads *team) { return team ? team->count : 1; }

model_threads *model_threads_start(int32_t count) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0 && count > CPU_COUNT(&allowed))
        count = CPU_COUNT(&allowed);
    if (count < 1) count = 1;
    const size_t bytes = sizeof(model_threads) + (size_t)count * sizeof(pthread_t);
    model_threads *const team = aligned_alloc(LINE, (bytes + LINE - 1) / LINE * LINE);
    if (!team) return NULL;
    memset(team, 0, bytes);
    team->count = count;
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->offered, NULL);
    for (team->started = 1; team->started < count; team->started++) {
        if (pthread_create(&team->members[team->started], NULL, member, team) != 0) {
            model_threads_stop(team);
            return NULL;
        }
    }
    return team;
}

void model_threads_stop(model_threads *team) {
    if (!team) return;
    pthread_mutex_lock(&team->lock);
    team->is_ending = 1;
    pthread_cond_broadcast(&team->offered);
    pthread_mutex_unlock(&team->lock);
    for (int32_t i = 1; i < team->started; i++) pthread_join(team->members[i], NULL);
    pthread_cond_destroy(&team->offered);
    pthread_mutex_destroy(&team->lock);
    free(team);
}
