/* What runs a job: a handler per kind, on the runner's loop, never blocking.
 *
 * The runner calls begin(self, run) when the job's turn has come. The handler ends the run exactly
 * once, from any later callback or from begin itself: ls_run_ok, ls_run_fail, ls_run_again or
 * ls_run_drop. After that call the run is gone. When the claim is lost or the process must go, the
 * runner calls cancel(self, run): the handler stops whatever it does for the run and forgets it;
 * the run is gone when cancel returns and must not be ended. A handler that holds something for a
 * run keeps it in *ls_run_state(run).
 *
 * Before each write to the outside world a handler asks ls_run_may_write: false when the runner has
 * had no word from Redis for too long, or lost its claim; then it ends the run with LS_E_CANCELLED,
 * which costs the job nothing. */
#ifndef LS_RUNNER_HANDLER_H
#define LS_RUNNER_HANDLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/err.h"
#include "common/base/span.h"

struct ls_run;
struct ls_http;
struct ls_redis;
struct ls_config;
struct ls_engine;

struct ls_handler {
    const char *kind;
    void (*begin)(void *self, struct ls_run *run);
    void (*cancel)(void *self,
                   struct ls_run *run); /* NULL: begin always ends the run before it returns */
    /* Somebody cancelled the job: end the run soon, in any way; what is not ls_run_ok counts as
     * cancelled. When `cancel_grace` is over, cancel is called. NULL: cancel is called at once. */
    void (*ask_stop)(void *self, struct ls_run *run);
    void *self;
    int64_t timeout_ms; /* of a run whose envelope names none; 0: none, the handler's own calls have
                           theirs */
};

/* What a handler may use; borrowed, alive as long as the runner. */
struct ls_runner_tools {
    uv_loop_t *loop;
    struct ls_http *http;
    struct ls_redis
        *redis; /* the runner's own connection: for pushes of its handlers; may be down */
    const struct ls_config *config; /* NULL when there is none (bench, tests) */
    struct ls_engine
        *engine; /* NULL when no store is compiled in or configured; made by worker/handlers */
    /* Ask for another process in place of this one, which drains then. */
    void (*replace_me)(void *arg, const char *reason);
    void *replace_arg;
};

/* The job, borrowed until the run ends: a handler that needs more copies. */
struct ls_span ls_run_kind(const struct ls_run *run);
struct ls_span ls_run_account(const struct ls_run *run);
struct ls_span ls_run_key(const struct ls_run *run);
struct ls_span ls_run_id(const struct ls_run *run);
struct ls_span
ls_run_data(const struct ls_run *run); /* JSON text; {0} when the envelope has none */
/* Bytes that ls_run_checkpoint and ls_run_again may give it for data; the same while it runs. */
size_t ls_run_data_room(const struct ls_run *run);
const char *ls_run_queue(const struct ls_run *run);
int ls_run_attempt(const struct ls_run *run); /* from 1 */
/* Grows with each claim; changes when the runner's connection was replaced under the run. Ask for
 * it when it is used. */
int64_t ls_run_fence(const struct ls_run *run);
const char *ls_run_worker(const struct ls_run *run); /* the identity that holds the claim now */
int64_t
ls_run_deadline_ms(const struct ls_run *run); /* uv_now() clock; the run is cancelled then */
const struct ls_runner_tools *ls_run_tools(const struct ls_run *run);
/* The handler's own pointer for this run. */
void **ls_run_state(struct ls_run *run);
/* May it write to the outside world now? */
bool ls_run_may_write(const struct ls_run *run);

/* End: done, nothing stays. */
void ls_run_ok(struct ls_run *run);
/* End: failed; the code decides between retry, parking and dead (common/job/class.h).
 * LS_E_CANCELLED and LS_E_FENCED: given back, no attempt counted. */
void ls_run_fail(struct ls_run *run, const struct ls_err *err);
/* Would this failure make a dead letter of it? For handlers that keep books of their own; ask just
 * before ls_run_fail. */
bool ls_run_would_die(const struct ls_run *run, const struct ls_err *err);
/* End: back into the queue after delay_ms (0 = at the tail now) with this data (NULL: as it is);
 * counts no attempt. */
void ls_run_again(struct ls_run *run, int64_t delay_ms, const void *data, size_t length);
/* Goes on: should this process die, the job starts again with this data (JSON text). */
void ls_run_checkpoint(struct ls_run *run, const void *data, size_t length);
/* Was it asked to stop? */
bool ls_run_is_cancelled(const struct ls_run *run);
/* How far it is, for people: in Redis' hash `progress` with the next turn. total 0: unknown; text may
 * be NULL, 200 bytes of it are kept. */
void ls_run_progress(struct ls_run *run, int64_t done, int64_t total, const char *text);
/* Did the job ask for its result (envelope `result`)? */
bool ls_run_wants_result(const struct ls_run *run);
/* The result, a JSON value of at most LS_RESULT_MAX bytes, kept in `result:<id>` when the run ends
 * with ls_run_ok; ignored when the job did not ask. -1 with LS_E_TOO_BIG or LS_E_INVALID: not
 * taken. */
#define LS_RESULT_MAX ((size_t)64 * 1024)
int ls_run_result(struct ls_run *run, const void *json, size_t length, struct ls_err *err);

/* Platform requests that this run has really made, added up. A run that never tells is taken to have
 * made what its kind prepays. */
void ls_run_spent(struct ls_run *run, int requests);
/* What the account's answers say of its budget: rate a second (< 0: nothing), burst (< 1: nothing),
 * requests left now (< 0: nothing). */
void ls_run_learn(struct ls_run *run, double rate, int burst, int64_t left);
/* Draw up to `want` requests from the budget of the run's account, for a run that makes many.
 * granted is called later, with 1 to want, as soon as the budget has them: it may take long. One at
 * a time a run; forgotten when the run ends or is cancelled. What was granted and not made is given
 * back by ls_run_ungrant. Granted requests are paid: ls_run_spent does not count them. */
typedef void ls_run_granted_cb(void *arg, int count);
void ls_run_take(struct ls_run *run, int want, ls_run_granted_cb *granted, void *arg);
void ls_run_ungrant(struct ls_run *run, int count);
/* Add to a counter of the queue: stats and stats:ring. name is a literal of at most 31 bytes. */
void ls_run_count(struct ls_run *run, const char *name, int64_t delta);

#endif
