/* The master: forks the children of a pool, watches them, starts them again, and ends them in
 * order. poll, signalfd and waitpid; no threads, no libuv, no Redis, no SQL: there is little in it
 * that could fail, because everything else depends on it.
 *
 *   start                     redis-server (if embedded), answers PING, then runners, scheduler,
 *                             relay, admin
 *   a child ends              its line is read to the end, its Redis identities go to the scheduler
 *                             (child_died), it is started again with growing delay; the embedded
 *                             redis-server likewise
 *   no beat for watchdog_ms   SIGKILL, then as above
 *   "replace_me", SIGHUP      a new runner first; when it is ready the old one drains
 *   SIGHUP, other children    drain, then start again; the log file is opened anew everywhere
 *   SIGTERM, SIGINT           runners drain, then the other children, redis-server last; what is
 *                             left when shutdown_grace is over gets SIGKILL. A second signal:
 *                             everything at once
 *
 * As PID 1 it also reaps orphans that are not its own. */
#ifndef LS_MASTER_MASTER_H
#define LS_MASTER_MASTER_H

#include <stdbool.h>

#include "common/base/err.h"
#include "worker/main.h"

enum ls_role { LS_ROLE_RUNNER, LS_ROLE_SCHEDULER, LS_ROLE_RELAY, LS_ROLE_ADMIN, LS_ROLE_COUNT };

/* "runner", ... */
const char *ls_role_name(enum ls_role role);

#define LS_MASTER_RUNNERS_MAX 256

struct ls_master_settings {
    const struct ls_config *config; /* handed to the roles as it is */
    int count[LS_ROLE_COUNT];       /* how many of each; 0 leaves the role out */
    int (*run[LS_ROLE_COUNT])(const struct ls_role_context *context);
    int shutdown_grace_ms;
    int watchdog_ms;          /* 0: off */
    const char *state_dir;    /* embedded Redis; NULL when Redis is elsewhere */
    const char *redis_socket; /* embedded Redis */
    const char
        *store_path; /* an SQLite file that belongs to this pool alone; NULL when there is none */
    /* SIGHUP: fill *next from the configuration as it is now. NULL: a SIGHUP keeps the settings.
     * Fills err and returns -1 when the new one does not load: the pool goes on with the old one.
     * Everything that next points to stays alive. */
    int (*reload)(void *arg, struct ls_master_settings *next, struct ls_err *err);
    void *reload_arg;
    /* The pool ends when its scheduler says that nothing is left to do; filled in then. NULL: it runs
     * until a signal ends it. The caller's, alive as long as the pool. */
    struct ls_until_empty *until_empty;
};

/* Runs the pool to its end; the exit status of the process. 0: everybody drained; 1: could not
 * start, somebody had to be killed, or (until_empty) jobs died or were left. Blocks SIGTERM, SIGINT, SIGHUP and SIGCHLD in this process.
 */
int ls_master_run(const struct ls_master_settings *settings);

#endif
