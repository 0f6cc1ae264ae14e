#include "producer/cli/queue_drain.h"

#include <time.h>

#include "common/base/clock.h"
#include "common/queue/stat.h"
#include "producer/cli/queues.h"

#define TIMEOUT_MS (10 * 60 * 1000LL)
#define LOOK_MS 100

struct drain {
    struct ls_cli *cli;
    const char *name;
    bool all;
    int64_t deadline_ms; /* monotonic */
    bool said_no_worker, said_blocked;
    int64_t left, delayed; /* as seen last */
};

static int close_queue(struct drain *drain, const char *reason, struct ls_err *err);
static int watch(struct drain *drain, struct ls_err *err);
static void remark(struct drain *drain, const struct ls_queue_stat *stat);
static int report(const struct drain *drain, bool drained);

int ls_cli_queue_drain(struct ls_cli *cli, const char *name, const char *timeout,
                       const char *reason, bool all)
{
    struct drain drain = {.cli = cli, .name = name, .all = all};
    struct ls_err err = LS_ERR_INIT;
    struct ls_queue_stat stat;
    int64_t timeout_ms = TIMEOUT_MS;
    int drained;

    if (timeout && (timeout_ms = ls_cli_duration("--timeout", timeout, &err)) < 0)
        return ls_cli_failed(cli, &err);
    if (ls_cli_queue_stat(cli, name, &stat, &err) < 0)
        return ls_cli_failed(cli, &err);
    if (stat.paused) {
        ls_fail(&err, LS_E_CONFLICT, "queue '%s' is paused: nothing of it would be claimed", name);
        ls_hint(&err, "'lockstep queue resume %s' first", name);
        return ls_cli_failed(cli, &err);
    }
    if (close_queue(&drain, reason, &err) < 0)
        return ls_cli_failed(cli, &err);
    drain.deadline_ms = ls_clock_mono_after_ms(timeout_ms);
    drained = watch(&drain, &err);
    if (drained < 0) {
        ls_hint(&err,
                "the queue stays closed: 'lockstep queue drain %s' goes on, 'lockstep queue "
                "resume %s' opens it",
                name, name);
        return ls_cli_failed(cli, &err);
    }
    return report(&drain, drained);
}

static int close_queue(struct drain *drain, const char *reason, struct ls_err *err)
{
    struct ls_queue_switched was;
    struct ls_keys keys = {0};
    struct ls_buf by = {0};
    struct ls_cmd cmd = {0};
    int result;

    if (ls_keys_init(&keys, drain->name, err) < 0)
        return -1;
    ls_cli_by(&by, reason);
    ls_queue_close_build(&cmd, &keys, (struct ls_span){by.data, by.length});
    result = ls_cli_switch(drain->cli, &cmd, &was, err);
    ls_buf_fini(&by);
    ls_cmd_fini(&cmd);
    ls_keys_fini(&keys);
    if (result == 0)
        ls_cli_note(drain->cli,
                    "queue %s %s: pushes are refused, only a raw RPUSH cannot be; 'lockstep queue "
                    "resume %s' opens it again",
                    drain->name, was.was_closed ? "was closed already" : "is closed", drain->name);
    return result;
}

/* 1: nothing is left; 0: the time is over. */
static int watch(struct drain *drain, struct ls_err *err)
{
    struct ls_progress progress;
    int64_t most = 0;
    bool over = false;

    ls_progress_start(&progress, drain->cli, "drain", 0);
    while (!over) {
        struct ls_queue_stat stat;

        if (ls_cli_queue_stat(drain->cli, drain->name, &stat, err) < 0)
            return -1;
        drain->delayed = stat.delayed;
        drain->left = stat.pending_high + stat.pending + stat.pending_low + stat.held +
                      stat.reserved + stat.running + (drain->all ? stat.delayed : 0);
        most = drain->left > most ? drain->left : most;
        progress.total = most;
        ls_progress_set(&progress, most - drain->left);
        over = drain->left == 0 || ls_clock_mono_ms() >= drain->deadline_ms;
        if (!over) {
            remark(drain, &stat);
            nanosleep(&(struct timespec){0, LOOK_MS * 1000000L}, NULL);
        }
    }
    if (most)
        ls_progress_finish(&progress);
    return drain->left == 0;
}

/* Why it may take long, once each. */
static void remark(struct drain *drain, const struct ls_queue_stat *stat)
{
    if (stat->workers == 0 && !drain->said_no_worker) {
        drain->said_no_worker = true;
        ls_cli_note(
            drain->cli,
            "no worker serves queue '%s' now, so its jobs wait: 'lockstep up' starts a pool",
            drain->name);
    }
    if ((stat->blocked || stat->paused) && !drain->said_blocked) {
        drain->said_blocked = true;
        ls_cli_note(drain->cli,
                    stat->paused ? "queue '%s' was paused meanwhile, so its jobs wait"
                                 : "the dead list of queue '%s' is full, so its jobs "
                                   "wait: 'lockstep dead list' shows it",
                    drain->name);
    }
}

static int report(const struct drain *drain, bool drained)
{
    struct ls_err err = LS_ERR_INIT;

    if (drain->cli->json)
        printf("{\"queue\": \"%s\", \"drained\": %s, \"left\": %lld, \"delayed\": %lld}\n",
               drain->name, drained ? "true" : "false", (long long)drain->left,
               (long long)drain->delayed);
    if (!drained) {
        ls_fail(&err, LS_E_TIMEOUT, "%lld jobs of queue '%s' are left", (long long)drain->left,
                drain->name);
        ls_hint(&err,
                "it stays closed: drain it again with a longer '--timeout', or open it with "
                "'lockstep queue resume %s'",
                drain->name);
        return ls_cli_failed(drain->cli, &err);
    }
    if (!drain->cli->json) {
        printf("queue %s is drained and stays closed", drain->name);
        if (drain->delayed)
            printf("; %lld delayed jobs stay in it", (long long)drain->delayed);
        putchar('\n');
    }
    return LS_EXIT_OK;
}
