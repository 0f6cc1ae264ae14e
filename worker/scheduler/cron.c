#include "worker/scheduler/cron.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/job/envelope.h"
#include "common/loop/timer.h"
#include "common/queue/cron.h"
#include "common/queue/push.h"
#include "common/queue/worker.h"
#include "common/redis/conn.h"

#define RETRY_MS 2000 /* after a failure: well within the hold of a tick */
#define WAIT_MAX_MS 3600000
#define GC_MS (24 * 3600000LL)

struct schedule {
    struct ls_cron *cron; /* borrowed: the owner */
    char *name;           /* "delta/products" */
    int64_t every_ms;
    struct ls_keys keys;
    char *key, *data;           /* owned */
    const char *account, *kind; /* borrowed from the config; account "" is none */
    const char *stem;           /* borrowed: ids are <stem>-<tick> */
    struct ls_timer *timer;
    int64_t tick; /* being fired */
};

/* What a schedule is made of; key and data are given away. */
struct plan {
    const char *what, *stem, *kind, *account, *queue;
    char *key, *data;
    int64_t every_ms;
};

struct ls_cron {
    struct ls_redis *redis;
    char owner[LS_WORKER_ID_SIZE];
    bool up;
    struct ls_cmd cmd;          /* scratch */
    struct schedule *schedules; /* owned */
    size_t count;
};

static int add_sync(struct ls_cron *cron, uv_loop_t *loop, const struct ls_config *config,
                    const struct ls_config_sync *sync, struct ls_err *err);
static int add(struct ls_cron *cron, uv_loop_t *loop, const struct plan *plan, struct ls_err *err);
static void ask(void *arg);
static void on_asked(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void push(struct schedule *schedule);
static void on_pushed(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_done(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void fail(struct schedule *schedule, const char *what, const struct ls_err *err);

struct ls_cron *ls_cron_new(uv_loop_t *loop, struct ls_redis *redis, const struct ls_config *config,
                            struct ls_err *err)
{
    struct ls_cron *cron = LS_NEW(struct ls_cron);

    cron->redis = redis;
    cron->schedules =
        ls_xcalloc(2 * config->sync_count + 1,
                   sizeof *cron->schedules); /* never moves: callbacks point into it */
    for (size_t i = 0; i < config->sync_count; i++) {
        if (add_sync(cron, loop, config, &config->syncs[i], err) < 0) {
            ls_cron_free(cron);
            return NULL;
        }
    }
    if (config->store && config->sync_count > 0) {
        struct plan gc = {.what = "gc",
                          .stem = "gc",
                          .kind = "gc",
                          .account = "",
                          .queue = "default",
                          .every_ms = GC_MS};

        gc.key = ls_xstrdup("gc");
        gc.data = ls_xstrdup("{}");
        if (add(cron, loop, &gc, err) < 0) {
            ls_cron_free(cron);
            return NULL;
        }
    }
    return cron;
}

void ls_cron_up(struct ls_cron *cron, const char *owner)
{
    snprintf(cron->owner, sizeof cron->owner, "%s", owner);
    cron->up = true;
    for (size_t i = 0; i < cron->count; i++)
        ls_timer_start(cron->schedules[i].timer, 0);
}

void ls_cron_down(struct ls_cron *cron)
{
    cron->up = false;
    for (size_t i = 0; i < cron->count; i++)
        ls_timer_stop(cron->schedules[i].timer);
}

void ls_cron_free(struct ls_cron *cron)
{
    if (!cron)
        return;
    for (size_t i = 0; i < cron->count; i++) {
        struct schedule *schedule = &cron->schedules[i];

        ls_timer_close(&schedule->timer);
        ls_keys_fini(&schedule->keys);
        free(schedule->name);
        free(schedule->key);
        free(schedule->data);
    }
    ls_cmd_fini(&cron->cmd);
    free(cron->schedules);
    free(cron);
}

/* Both kinds of round are jobs of kind delta, but with keys of their own: one must not replace the
 * other. */
static int add_sync(struct ls_cron *cron, uv_loop_t *loop, const struct ls_config *config,
                    const struct ls_config_sync *sync, struct ls_err *err)
{
    const struct ls_config_account *account = ls_config_account_find(config, sync->account);
    struct plan plan = {.what = "delta",
                        .stem = sync->name,
                        .kind = "delta",
                        .account = sync->account,
                        .queue = account ? account->queue : "default",
                        .every_ms = sync->every_ms};

    if (plan.every_ms > 0) {
        plan.key = ls_xasprintf("%s/delta/%s", sync->account, sync->name);
        plan.data = ls_xasprintf("{\"sync\":\"%s\"}", sync->name);
        if (add(cron, loop, &plan, err) < 0)
            return -1;
    }
    plan.what = "scan";
    plan.every_ms = sync->scan_ms;
    if (plan.every_ms > 0) {
        plan.key = ls_xasprintf("%s/scan/%s", sync->account, sync->name);
        plan.data = ls_xasprintf("{\"sync\":\"%s\",\"scan\":\"stock\"}", sync->name);
        if (add(cron, loop, &plan, err) < 0)
            return -1;
    }
    return 0;
}

/* Takes over key and data. */
static int add(struct ls_cron *cron, uv_loop_t *loop, const struct plan *plan, struct ls_err *err)
{
    struct schedule *schedule = &cron->schedules[cron->count];

    *schedule = (struct schedule){.cron = cron,
                                  .every_ms = plan->every_ms,
                                  .key = plan->key,
                                  .data = plan->data,
                                  .stem = plan->stem,
                                  .account = plan->account,
                                  .kind = plan->kind};
    schedule->name = ls_xasprintf("%s/%s", plan->what, plan->stem);
    schedule->timer = ls_timer_new(loop, ask, schedule);
    cron->count++; /* ls_cron_free tidies up from here on */
    return ls_keys_init(&schedule->keys, plan->queue, err);
}

static void ask(void *arg)
{
    struct schedule *schedule = arg;
    struct ls_cron *cron = schedule->cron;

    if (!cron->up)
        return;
    ls_cron_begin_build(&cron->cmd, schedule->name, schedule->every_ms, cron->owner,
                        LS_CRON_HOLD_MS);
    ls_redis_send(cron->redis, &cron->cmd, 0, on_asked, schedule);
}

static void on_asked(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct schedule *schedule = arg;
    struct ls_cron_tick tick;
    struct ls_err failure = LS_ERR_INIT;

    if (!err && ls_cron_begin_parse(reply, &tick, &failure) < 0)
        err = &failure;
    if (err) {
        fail(schedule, "asking for its tick", err);
        return;
    }
    if (tick.fire) {
        schedule->tick = tick.tick;
        push(schedule);
        return;
    }
    /* A little late rather than a little early: an early question is answered by another wait. */
    ls_timer_start(schedule->timer, (tick.wait_ms < WAIT_MAX_MS ? tick.wait_ms : WAIT_MAX_MS) + 5);
}

static void push(struct schedule *schedule)
{
    struct ls_cron *cron = schedule->cron;
    char *id = ls_xasprintf("%s-%lld", schedule->stem, (long long)schedule->tick);
    struct ls_envelope envelope = {
        .account = ls_span_of(schedule->account),
        .id = ls_span_of(id),
        .key = ls_span_of(schedule->key),
        .kind = ls_span_of(schedule->kind),
        .data = ls_span_of(schedule->data),
    };
    struct ls_buf text = {0};
    struct ls_push_job job = {.key = envelope.key};

    ls_envelope_write(&text, &envelope);
    job.envelope = (struct ls_span){text.data, text.length};
    ls_push_keyed_build(&cron->cmd, &schedule->keys, NULL, &job, 1);
    ls_redis_send(cron->redis, &cron->cmd, 0, on_pushed, schedule);
    ls_buf_fini(&text);
    free(id);
}

static void on_pushed(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct schedule *schedule = arg;
    struct ls_cron *cron = schedule->cron;
    struct ls_pushed pushed;
    struct ls_err failure = LS_ERR_INIT;

    if (!err && ls_push_parse(reply, &pushed, &failure) < 0)
        err = &failure;
    if (err) {
        fail(schedule, "pushing its job", err);
        return;
    }
    ls_log(LS_LOG_DEBUG, "cron.fired", "%s, tick %lld", schedule->name, (long long)schedule->tick);
    ls_cron_done_build(&cron->cmd, schedule->name, schedule->every_ms, cron->owner, schedule->tick);
    ls_redis_send(cron->redis, &cron->cmd, 0, on_done, schedule);
}

static void on_done(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct schedule *schedule = arg;
    struct ls_err failure = LS_ERR_INIT;

    if (!err && ls_cron_done_parse(reply, &failure) < 0)
        err = &failure;
    if (err)
        fail(schedule, "closing its tick", err);
    else
        ask(schedule); /* when is the next one? */
}

static void fail(struct schedule *schedule, const char *what, const struct ls_err *err)
{
    struct ls_cron *cron = schedule->cron;

    if (!ls_redis_is_up(cron->redis))
        return; /* down and up tell the rest */
    ls_log(LS_LOG_WARN, "cron.failed", "%s: %s failed: %s", schedule->name, what, err->text);
    if (cron->up)
        ls_timer_start(schedule->timer, RETRY_MS);
}
