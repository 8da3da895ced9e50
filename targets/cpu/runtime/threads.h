/* A team of threads that share the tasks of one kernel after the other.
 *
 * The caller runs the layers; at a kernel with many tasks it offers them, and whoever of the team
 * is awake takes some.  A member that the system has put aside holds nobody up.
 */
#ifndef JC_THREADS_H
#define JC_THREADS_H

#include <stdint.h>

typedef struct model_threads model_threads;

/* Runs tasks @from to @to of a kernel. */
typedef int32_t (*jc_job)(const void *run, int32_t from, int32_t to);

/* Runs all @tasks of @job, by the whole team if there is one; returns what the calls returned,
 * or-ed. */
int32_t jc_share(model_threads *team, jc_job job, const void *run, int32_t tasks);

#endif
