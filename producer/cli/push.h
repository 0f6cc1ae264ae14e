/* lockstep push: what its files share. cmd_push.c reads the words and pushes one job; push_bulk.c a
 * file of them; push_report.c waits and says what came of it. */
#ifndef LS_CLI_PUSH_H
#define LS_CLI_PUSH_H

#include "common/queue/outcome.h"
#include "producer/cli/cli.h"
#include "producer/lib/pusher.h"

/* The options as written; NULL: not given. */
struct push_words {
    const char *key, *account, *data, *queue, *priority, *delay, *at, *id, *max_attempts, *max_age,
        *timeout, *mode, *debounce, *max_wait, *wait, *bulk, *from;
    bool any_kind, result;
};

/* ---- cmd_push.c ---- */

/* A kind that nobody serves is refused unless any may pass: lockstep's own and the configuration's
 * handlers are known. */
int push_check_kind(struct ls_cli *cli, const struct push_words *words, struct ls_span kind,
                    struct ls_err *err);
/* A job that nobody will take looks like any other: say so. A remark only, so its own failure is
 * none. */
void push_note_workers(struct ls_cli *cli, const struct ls_keys *keys);

/* ---- push_bulk.c ---- */

int push_bulk(struct ls_cli *cli, const struct push_words *words);

/* ---- push_report.c ---- */

/* Wait for the end of a job that was pushed, at most wait_ms, and say what came of it, or only how
 * it was taken (wait_ms below 0). Returns the exit code. */
int push_report(struct ls_cli *cli, const struct ls_pusher *pusher,
                const struct ls_pusher_queue *queue, struct ls_span id, struct ls_span key,
                int64_t wait_ms);
/* State, result or error of a job: a line each for people, one object with --json. more: further
 * members, ", \"kind\": ..."; may be NULL. */
void push_print_outcome(struct ls_cli *cli, const char *state, struct ls_span id, const char *queue,
                        const struct ls_outcome *outcome, const char *more);

#endif
