/* The scheduler's role: one connection, one reaper a queue, the fleet's cron and, while it leads,
 * the alerts. */
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/http/client.h"
#include "common/loop/timer.h"
#include "common/queue/leader.h"
#include "common/queue/push.h"
#include "common/queue/stat.h"
#include "common/queue/worker.h"
#include "common/redis/conn.h"
#include "common/redis/facts.h"
#include "worker/child.h"
#include "worker/scheduler/alerts.h"
#include "worker/scheduler/cron.h"
#include "worker/scheduler/reaper.h"
#include "worker/scheduler/until_empty.h"

#define LEAD_LEASE_MS 30000
#define LEAD_MS 10000 /* how often the lead is held, or asked for */
#define LEAD_SLACK_MS 20
#define LEAVE_MAX_MS 3000 /* what is not settled by then comes back by our lease */

struct ls_scheduler {
    const struct ls_role_context *context;
    const struct ls_config *config;
    uv_loop_t loop;
    struct ls_child *child;
    struct ls_redis *redis;
    struct ls_http *http;
    struct ls_timer *beat, *lead, *leave;
    struct ls_reaper **reapers; /* owned; one a queue of the configuration */
    size_t reaper_count;
    size_t working; /* reapers that had their first turn */
    size_t staying; /* reapers that have not left yet */
    struct ls_cron *cron;
    struct ls_alerts *alerts;
    struct ls_until *until; /* NULL: the pool does not end by itself */
    struct ls_cmd cmd;      /* scratch */
    char worker[LS_WORKER_ID_SIZE];
    bool up, was_up, outage_logged, leading, draining, stopped;
    int exit_status;
};

static int open_all(struct ls_scheduler *scheduler, struct ls_err *err);
static void on_up(void *arg);
static void on_down(void *arg, const struct ls_err *err);
static void on_beat(void *arg);
static void on_lead_due(void *arg);
static void hold_lead(struct ls_scheduler *scheduler, int64_t lease_ms);
static void on_lead(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_first_turn(void *arg);
static void on_refused(void *arg, const struct ls_err *err);
static void on_message(void *arg, const struct ls_message *message);
static void on_drain(void *arg, int grace_ms);
static void on_left(void *arg);
static void stop(void *arg);
static void fatal(struct ls_scheduler *scheduler, const struct ls_err *err);
static void on_watching(void *arg, int64_t died);
static void on_empty(void *arg, int64_t died, const char *left);

int ls_scheduler_main(const struct ls_role_context *context)
{
    struct ls_scheduler *scheduler = LS_NEW(struct ls_scheduler);
    const struct ls_child_hooks hooks = {on_drain, on_message};
    struct ls_err err = LS_ERR_INIT;
    int status;

    scheduler->context = context;
    scheduler->config = context->config;
    uv_loop_init(&scheduler->loop);
    scheduler->child = ls_child_new(&scheduler->loop, context, &hooks, scheduler);
    if (open_all(scheduler, &err) < 0)
        fatal(scheduler, &err);
    uv_run(&scheduler->loop, UV_RUN_DEFAULT);
    ls_cmd_fini(&scheduler->cmd);
    uv_loop_close(&scheduler->loop);
    status = scheduler->exit_status;
    free(scheduler);
    return status;
}

static int open_all(struct ls_scheduler *scheduler, struct ls_err *err)
{
    const struct ls_config *config = scheduler->config;
    struct ls_redis_options options = {.client_name = "lockstep-scheduler",
                                       .reconnect = true,
                                       .up = on_up,
                                       .down = on_down,
                                       .arg = scheduler};
    struct ls_redis_url url = {0};

    if (ls_redis_url_parse(&url, ls_config_redis_url(config), err) < 0)
        return -1;
    scheduler->redis = ls_redis_open(&scheduler->loop, &url, &options);
    ls_redis_url_fini(&url);
    scheduler->http = ls_http_new(&scheduler->loop, &(struct ls_http_options){.max_active = 8});
    scheduler->beat = ls_timer_new(&scheduler->loop, on_beat, scheduler);
    scheduler->lead = ls_timer_new(&scheduler->loop, on_lead_due, scheduler);
    scheduler->leave = ls_timer_new(&scheduler->loop, stop, scheduler);
    scheduler->reapers = ls_xcalloc(config->queue_count, sizeof(struct ls_reaper *));
    for (size_t i = 0; i < config->queue_count; i++) {
        struct ls_reaper_options reaper = {.queue = config->queues[i].name,
                                           .lease_ms = config->lease_ms,
                                           .beat_ms = config->beat_ms,
                                           .left = on_left,
                                           .first_turn = on_first_turn,
                                           .refused = on_refused,
                                           .arg = scheduler};

        scheduler->reapers[i] = ls_reaper_new(scheduler->redis, &reaper, err);
        if (!scheduler->reapers[i])
            return -1;
        scheduler->reaper_count++;
    }
    scheduler->cron = ls_cron_new(&scheduler->loop, scheduler->redis, config, err);
    if (!scheduler->cron)
        return -1;
    scheduler->alerts =
        ls_alerts_new(&scheduler->loop, scheduler->redis, scheduler->http, config, err);
    if (!scheduler->alerts)
        return -1;
    if (scheduler->context->until_empty) {
        const struct ls_until_hooks hooks = {on_watching, on_empty, scheduler};

        scheduler->until = ls_until_new(&scheduler->loop, scheduler->redis, config,
                                        scheduler->context->until_empty, &hooks, err);
        return scheduler->until ? 0 : -1;
    }
    return 0;
}

static void on_up(void *arg)
{
    struct ls_scheduler *scheduler = arg;
    const struct ls_config *config = scheduler->config;
    struct ls_err err = LS_ERR_INIT;
    char warning[256] = "";

    if (ls_redis_facts_check(ls_redis_facts(scheduler->redis), ls_redis_shown(scheduler->redis),
                             warning, &err) < 0) {
        if (!scheduler->was_up) {
            fatal(scheduler, &err);
            return;
        }
        ls_log(LS_LOG_ERROR, "redis.unfit", "%s",
               err.text); /* a failover may heal it; what we ask is refused till then */
    }
    if (warning[0] && !scheduler->was_up)
        ls_log(LS_LOG_WARN, "redis.warning", "%s", warning);
    ls_log(LS_LOG_INFO, "redis.connected", "%s, Redis %s", ls_redis_shown(scheduler->redis),
           ls_redis_facts(scheduler->redis)->version_text);
    scheduler->up = scheduler->was_up = true;
    scheduler->outage_logged = false;
    ls_worker_id(scheduler->worker);
    for (size_t i = 0; i < scheduler->reaper_count; i++) {
        struct ls_keys keys;

        if (ls_keys_init(&keys, config->queues[i].name, NULL) ==
            0) { /* so that tools find the queue */
            ls_queue_announce_build(&scheduler->cmd, &keys);
            ls_redis_send(scheduler->redis, &scheduler->cmd, 0, NULL, NULL);
            ls_queue_bounds_build(&scheduler->cmd, &keys,
                                  &(struct ls_queue_bounds){
                                      .waiting = config->queues[i].max_length,
                                      .running = config->queues[i].max_running,
                                      .dead = config->queues[i].max_dead,
                                  });
            ls_redis_send(scheduler->redis, &scheduler->cmd, 0, NULL, NULL);
            ls_keys_fini(&keys);
        }
        ls_reaper_up(scheduler->reapers[i], scheduler->worker);
    }
    if (scheduler->draining)
        return;
    ls_cron_up(scheduler->cron);
    if (scheduler->until)
        ls_until_up(scheduler->until);
    on_lead_due(scheduler);
    ls_timer_repeat(scheduler->beat, config->beat_ms);
}

static void on_down(void *arg, const struct ls_err *err)
{
    struct ls_scheduler *scheduler = arg;

    if (scheduler->stopped)
        return;
    if (!scheduler->was_up && err->code == LS_E_AUTH) {
        fatal(scheduler, err);
        return;
    }
    if (!scheduler->outage_logged)
        ls_log_with(LS_LOG_ERROR, "redis.down",
                    LS_FIELDS({"hint", err->hint[0] ? err->hint : NULL}),
                    "%s; trying again until it is back", err->text);
    scheduler->outage_logged = true;
    scheduler->up = scheduler->leading = false;
    ls_timer_stop(scheduler->beat);
    ls_timer_stop(scheduler->lead);
    ls_cron_down(scheduler->cron);
    if (scheduler->until)
        ls_until_down(scheduler->until);
    ls_alerts_rest(scheduler->alerts);
    for (size_t i = 0; i < scheduler->reaper_count; i++)
        ls_reaper_down(scheduler->reapers[i]);
}

static void on_beat(void *arg)
{
    struct ls_scheduler *scheduler = arg;

    for (size_t i = 0; i < scheduler->reaper_count; i++)
        ls_reaper_beat(scheduler->reapers[i]);
}

static void on_lead_due(void *arg)
{
    struct ls_scheduler *scheduler = arg;

    hold_lead(scheduler, LEAD_LEASE_MS);
    ls_timer_start(scheduler->lead, LEAD_MS);
}

static void hold_lead(struct ls_scheduler *scheduler, int64_t lease_ms)
{
    ls_leader_hold_build(&scheduler->cmd, scheduler->worker, lease_ms);
    ls_redis_send(scheduler->redis, &scheduler->cmd, 0, lease_ms ? on_lead : NULL, scheduler);
}

static void on_lead(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct ls_scheduler *scheduler = arg;
    struct ls_leadership leadership = {0};
    struct ls_err failure = LS_ERR_INIT;

    if (err || ls_leader_hold_parse(reply, &leadership, &failure) < 0)
        leadership.leader = false;
    if (leadership.leader != scheduler->leading)
        ls_log(LS_LOG_INFO, leadership.leader ? "leader.taken" : "leader.lost",
               "this scheduler %s the fleet's alerts",
               leadership.leader ? "sends" : "no longer sends");
    scheduler->leading = leadership.leader;
    if (scheduler->draining || !scheduler->up)
        return;
    if (leadership.leader) {
        ls_alerts_lead(scheduler->alerts);
        return;
    }
    ls_alerts_rest(scheduler->alerts);
    /* A leader that is gone is followed when its lease ends, not at the next look. */
    if (leadership.left_ms > 0 && leadership.left_ms < LEAD_MS)
        ls_timer_start(scheduler->lead, leadership.left_ms + LEAD_SLACK_MS);
}

static void on_first_turn(void *arg)
{
    struct ls_scheduler *scheduler = arg;

    if (++scheduler->working < scheduler->reaper_count)
        return;
    ls_log(LS_LOG_INFO, "scheduler.started", "watching %zu queues as %s", scheduler->reaper_count,
           scheduler->worker);
    if (scheduler->child)
        ls_child_ready(scheduler->child);
}

static void on_refused(void *arg, const struct ls_err *err)
{
    struct ls_scheduler *scheduler = arg;

    if (scheduler->working < scheduler->reaper_count)
        fatal(scheduler, err);
}

static void on_message(void *arg, const struct ls_message *message)
{
    struct ls_scheduler *scheduler = arg;

    if (message->type != LS_MESSAGE_CHILD_DIED) {
        ls_log(LS_LOG_WARN, "ipc.unexpected", "'%s' is not for a scheduler",
               ls_message_word(message->type));
        return;
    }
    for (size_t i = 0; i < message->name_count; i++)
        for (size_t j = 0; j < scheduler->reaper_count; j++)
            ls_reaper_died(scheduler->reapers[j], message->names[i], message->number == 1);
}

static void on_watching(void *arg, int64_t died)
{
    struct ls_scheduler *scheduler = arg;

    ls_child_watching(scheduler->child, died);
}

static void on_empty(void *arg, int64_t died, const char *left)
{
    struct ls_scheduler *scheduler = arg;

    ls_child_empty(scheduler->child, died, left);
}

static void on_drain(void *arg, int grace_ms)
{
    struct ls_scheduler *scheduler = arg;
    int64_t limit = grace_ms < LEAVE_MAX_MS ? grace_ms : LEAVE_MAX_MS;

    if (scheduler->stopped)
        return;
    scheduler->draining = true;
    ls_timer_stop(scheduler->beat);
    ls_timer_stop(scheduler->lead);
    ls_cron_down(scheduler->cron);
    if (scheduler->until)
        ls_until_down(scheduler->until);
    ls_alerts_rest(scheduler->alerts);
    if (scheduler->leading)
        hold_lead(scheduler, 0);
    scheduler->staying = scheduler->reaper_count;
    ls_timer_start(scheduler->leave, limit);
    for (size_t i = 0; i < scheduler->reaper_count; i++)
        ls_reaper_leave(scheduler->reapers[i]);
}

static void on_left(void *arg)
{
    struct ls_scheduler *scheduler = arg;

    if (--scheduler->staying == 0)
        ls_timer_start(scheduler->leave, 0); /* not from within its callback */
}

static void stop(void *arg)
{
    struct ls_scheduler *scheduler = arg;

    if (scheduler->stopped)
        return;
    scheduler->stopped = true;
    if (scheduler->staying)
        ls_log(LS_LOG_WARN, "scheduler.unsettled",
               "not everything was settled in time: a lease brings it back");
    ls_redis_close(&scheduler->redis);
    ls_cron_free(scheduler->cron);
    ls_alerts_free(scheduler->alerts);
    ls_until_free(scheduler->until);
    for (size_t i = 0; i < scheduler->reaper_count; i++)
        ls_reaper_free(scheduler->reapers[i]);
    free(scheduler->reapers);
    ls_http_close(&scheduler->http);
    ls_timer_close(&scheduler->beat);
    ls_timer_close(&scheduler->lead);
    ls_timer_close(&scheduler->leave);
    ls_child_close(&scheduler->child);
}

static void fatal(struct ls_scheduler *scheduler, const struct ls_err *err)
{
    scheduler->exit_status = LS_EXIT_FATAL;
    scheduler->up = false;
    scheduler->staying = 0;
    if (scheduler->child)
        ls_child_fatal(scheduler->child, err);
    if (scheduler->leave)
        ls_timer_start(scheduler->leave,
                       0); /* not from within a callback of what is to be closed */
    else
        stop(scheduler);
}
