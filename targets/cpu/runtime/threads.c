#define _GNU_SOURCE /* sched_getaffinity */
#include "threads.h"

#include "model.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { SPINS_BEFORE_YIELD = 4096 };

/* arrived    members at the meeting that is going on
 * meeting    how many meetings are over
 * run        how many runs were begun; a member starts when it changes
 * done       members other than 0 that ended the present run
 * status     results of the run, or-ed
 * lock, woken, run and is_ending belong together */
struct model_threads {
    int32_t count, started;
    _Atomic int32_t arrived, done, status;
    _Atomic uint32_t meeting, run;
    int is_ending;
    jc_body body;
    void *work;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    struct member {
        pthread_t thread;
        model_threads *team;
        int32_t id;
    } members[];
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

void jc_meet(model_threads *team) {
    if (!team || team->count == 1) return;
    const uint32_t meeting = atomic_load_explicit(&team->meeting, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) == team->count - 1) {
        atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&team->meeting, meeting + 1, memory_order_release);
        return;
    }
    for (int32_t spins = 0;
         atomic_load_explicit(&team->meeting, memory_order_acquire) == meeting;)
        wait_a_moment(spins < SPINS_BEFORE_YIELD ? spins++ : spins);
}

static void *member_loop(void *argument) {
    struct member *self = argument;
    model_threads *team = self->team;
    uint32_t seen = 0;
    for (;;) {
        for (int32_t spins = 0; spins < SPINS_BEFORE_YIELD; spins++) {
            if (atomic_load_explicit(&team->run, memory_order_acquire) != seen) break;
            wait_a_moment(0);
        }
        pthread_mutex_lock(&team->lock);
        while (atomic_load_explicit(&team->run, memory_order_acquire) == seen && !team->is_ending)
            pthread_cond_wait(&team->woken, &team->lock);
        const int is_ending = team->is_ending;
        seen = atomic_load_explicit(&team->run, memory_order_acquire);
        pthread_mutex_unlock(&team->lock);
        if (is_ending) return NULL;
        atomic_fetch_or(&team->status, team->body(team->work, team, self->id, team->count));
        atomic_fetch_add_explicit(&team->done, 1, memory_order_release);
    }
}

int32_t jc_together(model_threads *team, jc_body body, void *work) {
    if (!team || team->count == 1) return body(work, NULL, 0, 1);
    team->body = body;
    team->work = work;
    atomic_store(&team->status, 0);
    atomic_store(&team->done, 0);
    pthread_mutex_lock(&team->lock);
    atomic_fetch_add_explicit(&team->run, 1, memory_order_release);
    pthread_cond_broadcast(&team->woken);
    pthread_mutex_unlock(&team->lock);
    const int32_t status = body(work, team, 0, team->count);
    for (int32_t spins = 0;
         atomic_load_explicit(&team->done, memory_order_acquire) < team->count - 1;)
        wait_a_moment(spins < SPINS_BEFORE_YIELD ? spins++ : spins);
    return status | atomic_load(&team->status);
}

int32_t model_threads_count(const model_threads *team) { return team ? team->count : 1; }

model_threads *model_threads_start(int32_t count) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0 && count > CPU_COUNT(&allowed))
        count = CPU_COUNT(&allowed);
    if (count < 1) count = 1;
    model_threads *team = calloc(1, sizeof *team + (size_t)count * sizeof *team->members);
    if (!team) return NULL;
    team->count = count;
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->woken, NULL);
    for (team->started = 1; team->started < count; team->started++) {
        struct member *member = &team->members[team->started];
        member->team = team;
        member->id = team->started;
        if (pthread_create(&member->thread, NULL, member_loop, member) != 0) {
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
    pthread_cond_broadcast(&team->woken);
    pthread_mutex_unlock(&team->lock);
    for (int32_t i = 1; i < team->started; i++) pthread_join(team->members[i].thread, NULL);
    pthread_cond_destroy(&team->woken);
    pthread_mutex_destroy(&team->lock);
    free(team);
}
