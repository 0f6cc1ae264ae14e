/* Inline mode, for the tests of programs that push jobs: no Redis, no pool; jobs run in the caller,
 * by the handlers that a pool would load (lockstep/handler.h).
 *
 *     struct lockstep *ls = lockstep_open("inline:");
 *     lockstep_inline_handlers(ls, lockstep_handlers);
 *     sell_something(ls);                    // pushes with lockstep_push: the job runs within it
 *     lockstep_dead_list(ls, NULL, 0, 0, fail_the_test, NULL);
 *     lockstep_close(ls);
 *
 * or, to look at what was pushed before anything runs:
 *
 *     lockstep_inline_defer(ls);
 *     sell_something(ls);
 *     lockstep_inline_list(ls, check, &expected);
 *     lockstep_inline_drain(ls);
 *
 * Everything of lockstep.h works on such a handle and means the same: ids are taken once, keys
 * coalesce by their mode, jobs are checked as strictly, a failed one is tried again until its
 * max_attempts or max_age makes it dead, dead ones are listed, results and states are kept, the
 * stat counts. What differs:
 *
 * - Nobody waits. The handle has a clock of its own, which stands still while jobs run and jumps to
 *   the next one that is due: delays, debounces and backoffs pass at once, in their order. Backoff
 *   has no chance in it, so a test sees the same every time.
 * - Jobs run one at a time in the order of their time, then of priority, then of their push; a job
 *   that a handler pushes into the handle runs when the present one has ended.
 * - A kind without a handler is dead at once, as in a pool. "noop" does nothing; lockstep's other
 *   kinds ("http", ...) have no handler here: give one of your own to see what would be sent.
 * - Only the blocking form of handlers runs. A timeout is told to the handler but not enforced, and
 *   a handler that crashes takes the test down.
 * - States do not expire. As in Redis, a job whose body a newer one of its key replaced keeps the
 *   state it had ("pending"); the newer job speaks for the key.
 * - Accounts have no budgets, queues no bounds, and nothing is paused.
 *
 * Made for tests: what waits is searched from end to end. */
#ifndef LOCKSTEP_INLINE_H
#define LOCKSTEP_INLINE_H

#include <lockstep/handler.h>
#include <lockstep/lockstep.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All of these are for handles of lockstep_open("inline:"); on others they fail with
 * LOCKSTEP_E_USAGE. */

/* Take the kinds of a table (as a shared object has it, ended by LOCKSTEP_HANDLERS_END), which stays
 * alive as long as the handle; their `open` is called. A kind that is there already gets the newer
 * handler; kinds of the asynchronous form are not taken, and pushing one is refused. Returns how
 * many kinds are served now by it, -1: another ABI, a handler that is none, an `open` that failed. */
LOCKSTEP_API int lockstep_inline_handlers(struct lockstep *ls,
                                          const struct lockstep_handler *handlers);
/* The same for the table of a shared object, which stays loaded. */
LOCKSTEP_API int lockstep_inline_library(struct lockstep *ls, const char *path);

/* From now on jobs wait until lockstep_inline_drain. */
LOCKSTEP_API int lockstep_inline_defer(struct lockstep *ls);
/* Run what waits, and what that pushes, until nothing is left. Returns how many runs it took; -1:
 * after LOCKSTEP_INLINE_RUNS runs there was still something: a job that comes back for ever. What
 * failed is no failure of this call: see lockstep_dead_list. */
LOCKSTEP_API int64_t lockstep_inline_drain(struct lockstep *ls);
#define LOCKSTEP_INLINE_RUNS 100000

/* A job that waits. Texts are never NULL but data, and valid during the callback only. */
struct lockstep_inline_job {
    size_t size;
    const char *queue;
    const char *id;
    const char *kind;
    const char *account; /* "" none */
    const char *key;     /* "" none */
    const char *data;    /* JSON; NULL: none */
    const char *priority;
    int64_t due_in_ms; /* by the handle's clock; 0: now */
    int attempts;      /* failed ones so far */
};
/* Return 0 to go on, anything else to stop. It must not use the handle. */
typedef int lockstep_inline_cb(void *arg, const struct lockstep_inline_job *job);
/* Walk the jobs that wait, of all queues, in the order in which they would run. cb may be NULL.
 * Returns how many there are. */
LOCKSTEP_API int64_t lockstep_inline_list(struct lockstep *ls, lockstep_inline_cb *cb, void *arg);

#ifdef __cplusplus
}
#endif

#endif
