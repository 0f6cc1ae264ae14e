/* What every role does the same way: the line to its master, the watchdog beat, signals, the log's
 * reopening, and the one question that matters in the end: when to stop.
 *
 *   SIGTERM or the master's "drain"   on_drain once: stop taking work, end within grace_ms, then
 *                                     close the child and leave
 *   a second SIGTERM, or grace over   the process ends at once (exit 1): the lease brings back what
 *                                     was in hand
 *   the master is gone                as SIGTERM
 *   SIGHUP or "log_reopen"            the log file is opened again
 *   SIGINT                            ignored under a master (a terminal sends it to everybody; the
 *                                     master decides), as SIGTERM when standalone
 *
 * One loop; not thread-safe. */
#ifndef LS_WORKER_CHILD_H
#define LS_WORKER_CHILD_H

#include <stddef.h>
#include <uv.h>

#include "common/ipc/message.h"
#include "worker/main.h"

struct ls_child;

struct ls_child_hooks {
    void (*on_drain)(void *arg, int grace_ms); /* required */
    void (*on_message)(
        void *arg,
        const struct ls_message *message); /* optional: what the child itself does not handle */
};

/* Says hello and begins to beat. The handles keep the loop alive until ls_child_close. */
struct ls_child *ls_child_new(uv_loop_t *loop, const struct ls_role_context *context,
                              const struct ls_child_hooks *hooks, void *arg);
/* Start-up is over. Logged by the role itself ("runner.started"). */
void ls_child_ready(struct ls_child *child);
/* A runner's identities in Redis from now on; the whole list, also those of connections lost but
 * not yet adopted. The master gives it to the scheduler if this process dies. At most
 * LS_MESSAGE_NAMES_MAX are told. */
void ls_child_names(struct ls_child *child, const char *const *names, size_t count);
/* Over max_rss or max_jobs: the master starts another and then drains this one. */
void ls_child_replace_me(struct ls_child *child, const char *reason);
/* Starting again cannot help (wrong password, wrong eviction policy): logs the error, tells the
 * master, which stops the pool if no child of the role ever became ready. The role then ends with
 * LS_EXIT_FATAL. */
void ls_child_fatal(struct ls_child *child, const struct ls_err *err);
/* A scheduler of a pool that ends by itself: it has looked (so many jobs had died before), and: it is
 * over (so many died since; what is left, "" nothing). */
void ls_child_watching(struct ls_child *child, int64_t died);
void ls_child_empty(struct ls_child *child, int64_t died, const char *left);
bool ls_child_draining(const struct ls_child *child);
/* Stops everything and frees with the next turns of the loop; clears the pointer. */
void ls_child_close(struct ls_child **child);

#endif
