/* The engine inside the command line: its own loop, opened for one command and driven until an
 * operation has ended. Used by the commands that look at syncs (sync, backfill, verify, explain);
 * what writes goes through jobs. */
#ifndef LS_CLI_LOOKER_H
#define LS_CLI_LOOKER_H

#include "common/sync/engine.h"
#include "producer/cli/cli.h"

struct ls_looker {
    struct ls_cli *cli;
    uv_loop_t loop;
    struct ls_http *http;
    struct ls_engine *engine;
    bool over;         /* set by ls_looker_over */
    struct ls_err err; /* code NONE: well */
};

/* sync: its name, NULL for all; write: the store may be written (state of a sync). -1 with *err.
 * Close it in both cases. */
int ls_looker_open(struct ls_looker *looker, struct ls_cli *cli, const char *sync, bool write,
                   struct ls_err *err);
void ls_looker_close(struct ls_looker *looker);
/* For callbacks: what was waited for has ended. */
void ls_looker_over(struct ls_looker *looker, const struct ls_err *err);
/* Run the loop until then, deadline_ms at most (0: none; its operations have their own). -1 with
 * *err. */
int ls_looker_wait(struct ls_looker *looker, int64_t deadline_ms, struct ls_err *err);

/* The sync named, or the only one. NULL: LS_E_USAGE. */
struct ls_sync *ls_looker_sync(const struct ls_looker *looker, const char *name,
                               struct ls_err *err);
/* Push a keyed job of this sync: key <account>/<kind>/<sync>[/<suffix>]. */
int ls_looker_push(struct ls_cli *cli, const struct ls_sync *sync, const char *kind,
                   const char *suffix, const char *data, struct ls_err *err);
/* Follow the backfill that was just pushed: a progress bar until its row of the history has ended.
 * after_run: the newest run before it. */
int ls_looker_follow(struct ls_looker *looker, const struct ls_sync *sync, const char *kind,
                     int64_t after_run, struct ls_err *err);
/* The id of the newest run of a sync; 0 none, -1 with *err. */
int64_t ls_looker_newest_run(struct ls_looker *looker, const struct ls_sync *sync,
                             struct ls_err *err);

#endif
