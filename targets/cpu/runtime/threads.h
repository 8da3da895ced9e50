/* A team of threads that run one body together, and meet where it says so.
 *
 * Between runs the members sleep; inside one they spin, since layers last microseconds.  A member
 * that waits for long gives its processor up, so that more members than processors only cost time.
 */
#ifndef JC_THREADS_H
#define JC_THREADS_H

#include <stdint.h>

typedef struct model_threads model_threads;

/* What every member runs: its number @id < @count, and what to give to meet(). */
typedef int32_t (*jc_body)(void *work, model_threads *team, int32_t id, int32_t count);

/* Waits until all members are here; a team of NULL has one member, who never waits. */
void jc_meet(model_threads *team);

/* Runs @body on all members, the caller is number 0; returns what any of them returned, or-ed. */
int32_t jc_together(model_threads *team, jc_body body, void *work);

#endif
