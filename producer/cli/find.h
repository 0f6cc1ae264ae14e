/* Where a job is: there is no index by id, so this looks through the queue in slices. */
#ifndef LS_CLI_FIND_H
#define LS_CLI_FIND_H

#include "common/base/span.h"
#include "common/redis/keys.h"
#include "producer/cli/cli.h"

struct ls_find_dead {
    struct ls_buf letter; /* exact bytes; the caller frees */
    int64_t index;        /* from 0, the newest */
};

/* The newest dead letter of a job with this id, among the `limit` newest (0: all). 1 found, 0 not,
 * -1. */
int ls_find_dead(struct ls_cli *cli, const struct ls_keys *keys, struct ls_span id, int64_t limit,
                 struct ls_find_dead *found, struct ls_err *err);

struct ls_find_job {
    const char *state; /* "pending", "delayed", "reserved", "running", "dead"; NULL: not found */
    char place[LS_KEY_SIZE]; /* the key it lies in */
    int64_t index;           /* in a list; -1 elsewhere */
    int64_t due_ms;          /* delayed: ms since 1970; else 0 */
    char fence[32];          /* running; "" else */
    struct ls_buf text;      /* envelope or dead letter; the caller frees */
    struct ls_buf progress;  /* for whoever reads it; the caller frees */
};

/* Look through running, lanes, bodies, delayed, reserved, dead, at most `limit` entries each. 1
 * found, 0 not, -1. A job that moves meanwhile may be missed: ask again. */
int ls_find_job(struct ls_cli *cli, const struct ls_keys *keys, struct ls_span id, int64_t limit,
                struct ls_find_job *found, struct ls_err *err);

#endif
