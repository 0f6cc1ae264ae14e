/* Threads for handlers that block (lockstep/handler.h): each run has one for itself while it lasts.
 *
 * The runner's loop gives runs to free threads, at most `threads` of them, which are made when they
 * are needed; what finds none waits here, no more than the runner has claimed. What a handler tells
 * on its thread is copied and applied on the loop; nothing of the runner is touched elsewhere.
 *
 * A run that must end (its time is over, it was cancelled, its claim was lost) is settled at once,
 * whatever its handler does. A handler that does not return within a grace after that is left
 * behind with its thread, and another thread takes the place. When more than `threads` are left
 * behind, the process asks to be replaced and makes no more of them.
 *
 * All functions on the loop's thread. */
#ifndef LS_HANDLERS_POOL_H
#define LS_HANDLERS_POOL_H

#include <stdbool.h>
#include <uv.h>

#include "lockstep/handler.h"
#include "worker/runner/handler.h"

struct ls_pool;

typedef void ls_pool_worn_cb(void *arg, const char *reason);

/* worn is called once, when too many threads were left behind. */
struct ls_pool *ls_pool_new(uv_loop_t *loop, int threads, ls_pool_worn_cb *worn, void *arg);
/* After the last run has ended or was cancelled: waits for idle threads only. Returns how many are
 * left behind: what they run must stay, and the process will end by _exit, for exit() would run the
 * destructors of the shared objects under their feet. Clears the pointer; accepts a NULL in it. */
int ls_pool_close(struct ls_pool **pool);
/* Threads left behind now. */
int ls_pool_left_behind(struct ls_pool *pool);

/* What a kind's runs have in common. */
struct ls_pool_kind {
    int (*function)(struct lockstep_run *run, void *self);
    void *self;
    int64_t
        timeout_ms; /* of a run whose envelope names none, from when its thread begins; 0: none */
};

/* Take a run; kind is borrowed, alive as long as the process. Uses *ls_run_state(run). */
void ls_pool_begin(struct ls_pool *pool, const struct ls_pool_kind *kind, struct ls_run *run);
void ls_pool_ask_stop(struct ls_run *run);
void ls_pool_cancel(struct ls_run *run);

#endif
