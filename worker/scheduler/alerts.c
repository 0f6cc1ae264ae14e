#include "worker/scheduler/alerts.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alert/notice.h"
#include "common/alert/rule.h"
#include "common/alert/sink.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/http/client.h"
#include "common/job/dead.h"
#include "common/job/id.h"
#include "common/loop/timer.h"
#include "common/queue/dead.h"
#include "common/queue/stat.h"
#include "common/redis/conn.h"

#define MINUTE_MS 60000
#define LETTERS 50 /* newest dead letters looked through for the job behind a notice */
#define UNSENT_MAX 1000
#define ACTIVE_MAX 4 /* deliveries at once */
#define DELIVERY_MS 30000
#define RETRY_FIRST_MS 1000
#define RETRY_CAP_MS (5 * MINUTE_MS)
#define GIVE_UP_MS (24 * 60 * MINUTE_MS)

/* What the rules look at: the first four of the window, the others also as totals. */
enum { SYNC_OK, SYNC_PARKED, SYNC_FAILED, SYNC_MS, DELTA_OK, DONE, RETRIED, DEAD, COUNTERS };
static const char *const counter_names[COUNTERS] = {
    "sync_ok", "sync_parked", "sync_failed", "sync_ms", "delta_ok", "done", "retried", "dead"};

/* The memory of one group, as it lies in Redis under its name. */
struct group {
    char *name; /* owned: "high_error_rate/default", "sync_retry_exhausted/default/<fingerprint>" */
    struct ls_alert alert;
    int64_t seen;      /* events: the group's count at the last look */
    int64_t seen_last; /* events: the time of its newest one */
    bool changed;      /* differs from what Redis has */
};

/* A notice on its way to one sink: "<id> <sink> <at ms> {json}". */
struct unsent {
    struct ls_alerts *alerts; /* borrowed: the owner */
    char *text;               /* owned: the element of the list in Redis */
    char sink[LS_SINK_ID_SIZE];
    const char *json; /* into text */
    int64_t at_ms, next_ms;
    int tries;
    struct ls_delivery *delivery;
    bool done; /* arrived or given up: is being removed from Redis */
};

struct queue {
    struct ls_alerts *alerts; /* borrowed: the owner */
    struct ls_keys keys;
    int64_t totals[COUNTERS], window[COUNTERS];
    int64_t dead_seen;      /* stats' dead when the groups were read last; -1: never */
    char *letters[LETTERS]; /* owned: newest first */
    size_t letter_count;
};

struct question;

struct ls_alerts {
    uv_loop_t *loop;
    struct ls_redis *redis;
    struct ls_http *http;
    const struct ls_config *config;
    struct ls_rule_limits limits;
    struct ls_sink *sinks; /* owned */
    struct ls_timer *tick, *delivery;
    struct ls_cmd cmd;          /* scratch */
    struct question *questions; /* owned */
    bool leading, loaded, looking;
    unsigned epoch; /* of the leadership: answers of an earlier one are ignored */
    struct queue *queues;
    size_t queue_count, next_queue;
    int64_t redis_ms; /* Redis' time at this tick */
    struct group *groups;
    size_t group_count;
    struct unsent **unsent; /* owned, oldest first */
    size_t unsent_count;
    /* written with the states of this tick */
    char **raised; /* owned elements */
    size_t raised_count;
    int64_t last_sync_ms, last_sync_total; /* stale_data; kept in Redis as a group of that name */
    int64_t kept_sync_ms;                  /* the last_sync_ms that Redis has */
};

/* A question under way. Linked, because a connection that is closed tells its askers nothing. */
struct question {
    struct ls_alerts *alerts;
    struct queue *queue;
    unsigned epoch;
    struct question *next, **link;
};

static void load(struct ls_alerts *alerts);
static void on_states(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_unsent(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_tick(void *arg);
static void on_time(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void ask_queue(struct ls_alerts *alerts);
static void on_totals(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_window(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_letters(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_groups(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void queue_done(struct ls_alerts *alerts);
static void judge_queue(struct ls_alerts *alerts, struct queue *queue);
static void judge_stale(struct ls_alerts *alerts);
static void judge_dead(struct ls_alerts *alerts, struct queue *queue,
                       const struct ls_reply *groups);
static void judge(struct ls_alerts *alerts, enum ls_rule rule, struct queue *queue,
                  const struct ls_finding *finding);
static void raise_notice(struct ls_alerts *alerts, struct group *group,
                         const struct ls_notice *notice);
static void job_members(const struct queue *queue, const char *fingerprint, struct ls_buf *out);
static void commit(struct ls_alerts *alerts);
static void on_committed(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void deliver(void *arg);
static void on_delivered(void *arg, const struct ls_err *err);
static void remove_unsent(struct unsent *unsent);
static void add_unsent(struct ls_alerts *alerts, const char *text, size_t length);
static void free_unsent(struct unsent *unsent);
static struct group *find_group(struct ls_alerts *alerts, const char *name);
static void read_group(struct group *group, const char *text);
static void write_group(const struct group *group, struct ls_buf *out);
static struct question *ask(struct ls_alerts *alerts, struct queue *queue);
static bool answer(struct question **question, const struct ls_err *err, struct ls_alerts **alerts,
                   struct queue **queue);
static void forget_letters(struct queue *queue);

struct ls_alerts *ls_alerts_new(uv_loop_t *loop, struct ls_redis *redis, struct ls_http *http,
                                const struct ls_config *config, struct ls_err *err)
{
    struct ls_alerts *alerts = LS_NEW(struct ls_alerts);

    alerts->loop = loop;
    alerts->redis = redis;
    alerts->http = http;
    alerts->config = config;
    alerts->limits = (struct ls_rule_limits){
        .error_rate = config->rules.error_rate,
        .slow_ms = config->rules.slow_ms,
        .stale_ms = config->rules.stale_ms,
        .window_ms = config->rules.window_ms,
        .min_samples = config->rules.min_samples,
        .cooldown_ms = config->rules.cooldown_ms,
    };
    alerts->sinks = ls_xcalloc(config->sink_count + 1, sizeof *alerts->sinks);
    for (size_t i = 0; i < config->sink_count; i++)
        alerts->sinks[i] =
            (struct ls_sink){.url = config->sinks[i].to,
                             .slack = config->sinks[i].format == LS_CONFIG_FORMAT_SLACK,
                             .secret = config->sinks[i].secret,
                             .argv = config->sinks[i].exec};
    alerts->tick = ls_timer_new(loop, on_tick, alerts);
    alerts->delivery = ls_timer_new(loop, deliver, alerts);
    alerts->queues = ls_xcalloc(config->queue_count + 1, sizeof *alerts->queues);
    for (size_t i = 0; i < config->queue_count; i++) {
        struct queue *queue = &alerts->queues[i];

        queue->alerts = alerts;
        if (ls_keys_init(&queue->keys, config->queues[i].name, err) < 0) {
            ls_alerts_free(alerts);
            return NULL;
        }
        alerts->queue_count++;
    }
    return alerts;
}

void ls_alerts_lead(struct ls_alerts *alerts)
{
    if (alerts->leading)
        return;
    alerts->leading = true;
    load(alerts);
}

void ls_alerts_rest(struct ls_alerts *alerts)
{
    alerts->epoch++;
    alerts->leading = alerts->loaded = alerts->looking = false;
    ls_timer_stop(alerts->tick);
    ls_timer_stop(alerts->delivery);
    while (alerts->group_count)
        free(alerts->groups[--alerts->group_count].name);
    while (alerts->unsent_count)
        free_unsent(alerts->unsent[--alerts->unsent_count]);
    while (alerts->raised_count)
        free(alerts->raised[--alerts->raised_count]);
    alerts->last_sync_ms = alerts->last_sync_total = alerts->kept_sync_ms = 0;
    for (size_t i = 0; i < alerts->queue_count; i++) {
        alerts->queues[i].dead_seen = -1;
        forget_letters(&alerts->queues[i]);
    }
}

void ls_alerts_free(struct ls_alerts *alerts)
{
    if (!alerts)
        return;
    ls_alerts_rest(alerts);
    while (alerts->questions) {
        struct question *question = alerts->questions;
        alerts->questions = question->next;
        free(question);
    }
    ls_timer_close(&alerts->tick);
    ls_timer_close(&alerts->delivery);
    for (size_t i = 0; i < alerts->queue_count; i++)
        ls_keys_fini(&alerts->queues[i].keys);
    free(alerts->queues);
    free(alerts->groups);
    free(alerts->unsent);
    free(alerts->raised);
    free(alerts->sinks);
    ls_cmd_fini(&alerts->cmd);
    free(alerts);
}

/* ---- what Redis has ---- */

static void load(struct ls_alerts *alerts)
{
    ls_cmd_start(&alerts->cmd, "HGETALL");
    ls_cmd_puts(&alerts->cmd, LS_KEY_ALERTS);
    ls_redis_send(alerts->redis, &alerts->cmd, 0, on_states, ask(alerts, NULL));
    ls_cmd_start(&alerts->cmd, "LRANGE");
    ls_cmd_puts(&alerts->cmd, LS_KEY_ALERTS_UNSENT);
    ls_cmd_int(&alerts->cmd, 0);
    ls_cmd_int(&alerts->cmd, UNSENT_MAX - 1);
    ls_redis_send(alerts->redis, &alerts->cmd, 0, on_unsent, ask(alerts, NULL));
}

static void on_states(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct question *question = arg;
    struct ls_alerts *alerts;
    struct queue *queue;

    if (!answer(&question, err, &alerts, &queue))
        return;
    for (size_t i = 0; reply->type == LS_REPLY_ARRAY && i + 1 < reply->count; i += 2) {
        const struct ls_reply *name = ls_reply_item(reply, i), *value = ls_reply_item(reply, i + 1);

        if (!name->text || !value->text)
            continue;
        if (strcmp(name->text, "last_sync") == 0)
            sscanf(value->text, "%" SCNd64 " %" SCNd64, &alerts->last_sync_ms,
                   &alerts->last_sync_total);
        else
            read_group(find_group(alerts, name->text), value->text);
    }
    alerts->kept_sync_ms = alerts->last_sync_ms;
}

static void on_unsent(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct question *question = arg;
    struct ls_alerts *alerts;
    struct queue *queue;

    if (!answer(&question, err, &alerts, &queue))
        return;
    for (size_t i = 0; reply->type == LS_REPLY_ARRAY && i < reply->count; i++) {
        struct ls_span text = ls_reply_span(ls_reply_item(reply, i));
        add_unsent(alerts, text.data, text.length);
    }
    alerts->loaded = true;
    ls_timer_repeat(alerts->tick, alerts->config->rules.tick_ms);
    on_tick(alerts);
    deliver(alerts);
}

/* ---- one look ---- */

static void on_tick(void *arg)
{
    struct ls_alerts *alerts = arg;

    if (!alerts->leading || alerts->looking)
        return;
    if (!alerts->loaded) {
        load(alerts);
        return;
    }
    alerts->looking = true;
    ls_cmd_start(&alerts->cmd, "TIME"); /* the minutes of the ring are Redis' */
    ls_redis_send(alerts->redis, &alerts->cmd, 0, on_time, ask(alerts, NULL));
}

static void on_time(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct question *question = arg;
    struct ls_alerts *alerts;
    struct queue *queue;

    if (!answer(&question, err, &alerts, &queue))
        return;
    alerts->redis_ms = ls_reply_int(ls_reply_item(reply, 0), 0) * 1000 +
                       ls_reply_int(ls_reply_item(reply, 1), 0) / 1000;
    alerts->next_queue = 0;
    ask_queue(alerts);
}

static void ask_queue(struct ls_alerts *alerts)
{
    struct queue *queue = &alerts->queues[alerts->next_queue];
    int64_t last = alerts->redis_ms / MINUTE_MS,
            first = (alerts->redis_ms - alerts->limits.window_ms) / MINUTE_MS;
    char field[64];

    ls_cmd_start(&alerts->cmd, "HMGET");
    ls_cmd_puts(&alerts->cmd, queue->keys.stats);
    for (int i = 0; i < COUNTERS; i++)
        ls_cmd_puts(&alerts->cmd, counter_names[i]);
    ls_redis_send(alerts->redis, &alerts->cmd, 0, on_totals, ask(alerts, queue));
    ls_cmd_start(&alerts->cmd, "HMGET");
    ls_cmd_puts(&alerts->cmd, queue->keys.stats_ring);
    /* The whole minute in which the window begins, too: cut at full minutes, a window would forget
     * what happened seconds ago. */
    for (int64_t minute = first; minute <= last; minute++) {
        for (int i = 0; i < COUNTERS; i++) {
            snprintf(field, sizeof field, "%" PRId64 "/%s", minute, counter_names[i]);
            ls_cmd_puts(&alerts->cmd, field);
        }
    }
    ls_redis_send(alerts->redis, &alerts->cmd, 0, on_window, ask(alerts, queue));
}

static void on_totals(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct question *question = arg;
    struct ls_alerts *alerts;
    struct queue *queue;

    if (!answer(&question, err, &alerts, &queue))
        return;
    for (int i = 0; i < COUNTERS; i++)
        queue->totals[i] = ls_reply_int(ls_reply_item(reply, (size_t)i), 0);
}

static void on_window(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct question *question = arg;
    struct ls_alerts *alerts;
    struct queue *queue;

    if (!answer(&question, err, &alerts, &queue))
        return;
    memset(queue->window, 0, sizeof queue->window);
    for (size_t i = 0; reply->type == LS_REPLY_ARRAY && i < reply->count; i++)
        queue->window[i % COUNTERS] += ls_reply_int(ls_reply_item(reply, i), 0);
    judge_queue(alerts, queue);
    if (!alerts->config->rules.exhausted || queue->totals[DEAD] == queue->dead_seen ||
        (queue->dead_seen < 0 && queue->totals[DEAD] == 0)) {
        queue_done(alerts);
        return;
    }
    ls_dead_list_build(&alerts->cmd, &queue->keys, 0, LETTERS - 1);
    ls_redis_send(alerts->redis, &alerts->cmd, 0, on_letters, ask(alerts, queue));
    ls_dead_groups_build(&alerts->cmd, &queue->keys);
    ls_redis_send(alerts->redis, &alerts->cmd, 0, on_groups, ask(alerts, queue));
}

static void on_letters(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct question *question = arg;
    struct ls_alerts *alerts;
    struct queue *queue;

    if (!answer(&question, err, &alerts, &queue))
        return;
    forget_letters(queue);
    for (size_t i = 0; reply->type == LS_REPLY_ARRAY && i < reply->count && i < LETTERS; i++) {
        struct ls_span letter = ls_reply_span(ls_reply_item(reply, i));
        queue->letters[queue->letter_count++] =
            ls_xstrndup(letter.data ? letter.data : "", letter.length);
    }
}

static void on_groups(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct question *question = arg;
    struct ls_alerts *alerts;
    struct queue *queue;

    if (!answer(&question, err, &alerts, &queue))
        return;
    queue->dead_seen = queue->totals[DEAD];
    judge_dead(alerts, queue, reply);
    forget_letters(queue);
    queue_done(alerts);
}

static void queue_done(struct ls_alerts *alerts)
{
    struct ls_alert_timing timing = ls_rule_timing(LS_RULE_RETRY_EXHAUSTED, &alerts->limits);

    if (++alerts->next_queue < alerts->queue_count) {
        ask_queue(alerts);
        return;
    }
    judge_stale(alerts);
    /* Groups of dead letters without news: what waits for its cooldown, and their end. */
    for (size_t i = 0; i < alerts->group_count; i++) {
        struct group *group = &alerts->groups[i];
        struct ls_alert before = group->alert;
        char details[128];

        if (strncmp(group->name, "sync_retry_exhausted/", 21) != 0 || group->changed ||
            group->alert.state == LS_ALERT_OK)
            continue;
        if (ls_alert_step(&group->alert, &timing, LS_LEVEL_BELOW, 0, alerts->redis_ms) ==
            LS_ALERT_NOTIFY) {
            snprintf(details, sizeof details,
                     "%" PRId64 " more jobs of this group ended in the dead list",
                     group->alert.count);
            raise_notice(alerts, group,
                         &(struct ls_notice){.type = ls_rule_type(LS_RULE_RETRY_EXHAUSTED),
                                             .severity = "high",
                                             .status = "firing",
                                             .details = details,
                                             .look = "lockstep dead list"});
        }
        group->changed = memcmp(&before, &group->alert, sizeof before) != 0;
    }
    commit(alerts);
}

/* ---- judging ---- */

static void judge_queue(struct ls_alerts *alerts, struct queue *queue)
{
    const int64_t *window = queue->window;
    struct ls_rule_window sums = {.ok = window[SYNC_OK] + window[SYNC_PARKED],
                                  .failed = window[SYNC_FAILED],
                                  .total_ms = window[SYNC_MS]};
    struct ls_finding finding;

    /* sync_ms is the time of those that came to an end. */
    ls_rule_slow(&alerts->limits,
                 &(struct ls_rule_window){.ok = sums.ok, .total_ms = sums.total_ms}, &finding);
    judge(alerts, LS_RULE_SLOW_SYNC, queue, &finding);
    if (sums.ok + sums.failed == 0) /* a queue of other work: its jobs are what is synced */
        sums =
            (struct ls_rule_window){.ok = window[DONE], .failed = window[RETRIED] + window[DEAD]};
    ls_rule_error_rate(&alerts->limits, &sums, &finding);
    judge(alerts, LS_RULE_HIGH_ERROR_RATE, queue, &finding);
}

static void judge_stale(struct ls_alerts *alerts)
{
    struct ls_finding finding;
    int64_t total = 0;

    if (alerts->config->sync_count == 0)
        return;
    for (size_t i = 0; i < alerts->queue_count; i++) {
        const int64_t *totals = alerts->queues[i].totals;
        total += totals[SYNC_OK] + totals[SYNC_PARKED] + totals[DELTA_OK];
    }
    if (!alerts->last_sync_ms || total != alerts->last_sync_total) {
        alerts->last_sync_ms = alerts->redis_ms;
        alerts->last_sync_total = total;
    }
    ls_rule_stale(&alerts->limits, alerts->last_sync_ms, alerts->redis_ms, &finding);
    judge(alerts, LS_RULE_STALE_DATA, NULL, &finding);
}

static void judge_dead(struct ls_alerts *alerts, struct queue *queue, const struct ls_reply *groups)
{
    struct ls_alert_timing timing = ls_rule_timing(LS_RULE_RETRY_EXHAUSTED, &alerts->limits);

    for (size_t i = 0; groups->type == LS_REPLY_ARRAY && i + 1 < groups->count; i += 2) {
        const char *fingerprint = ls_reply_item(groups, i)->text;
        struct ls_dead_group_row row;
        struct group *group;
        struct ls_buf extra = {0};
        char name[160], details[256], look[128];
        int64_t events;

        if (ls_dead_group_parse(ls_reply_span(ls_reply_item(groups, i + 1)), &row) < 0)
            continue;
        snprintf(name, sizeof name, "sync_retry_exhausted/%s/%s", queue->keys.queue, fingerprint);
        group = find_group(alerts, name);
        events = row.count - group->seen;
        if (events <=
            0) /* letters were retried or discarded; one that came since shows by its time */
            events = row.last_ms > group->seen_last && group->seen_last ? 1 : 0;
        if (events == 0 && row.count == group->seen)
            continue;
        group->seen = row.count;
        group->seen_last = row.last_ms;
        group->changed = true;
        if (events == 0 || ls_alert_step(&group->alert, &timing, LS_LEVEL_HIGH, events,
                                         alerts->redis_ms) != LS_ALERT_NOTIFY)
            continue;
        job_members(queue, fingerprint, &extra);
        snprintf(details, sizeof details, "%" PRId64 " %s in the dead list: %.*s",
                 group->alert.count, group->alert.count == 1 ? "job ended" : "jobs ended",
                 LS_SPAN_ARG(row.sample));
        snprintf(look, sizeof look, "lockstep dead list --queue %s", queue->keys.queue);
        raise_notice(alerts, group,
                     &(struct ls_notice){.type = ls_rule_type(LS_RULE_RETRY_EXHAUSTED),
                                         .severity = "high",
                                         .status = "firing",
                                         .queue = queue->keys.queue,
                                         .details = details,
                                         .look = look,
                                         .since_ms = row.first_ms,
                                         .extra = extra.data});
        ls_buf_fini(&extra);
    }
}

static void judge(struct ls_alerts *alerts, enum ls_rule rule, struct queue *queue,
                  const struct ls_finding *finding)
{
    static const char *const metrics[LS_RULE_COUNT] = {"error_rate", "avg_latency_ms", "silence_ms",
                                                       NULL};
    static const char *const looks[LS_RULE_COUNT] = {"lockstep doctor", "lockstep top",
                                                     "lockstep sync status", NULL};
    struct ls_alert_timing timing = ls_rule_timing(rule, &alerts->limits);
    struct ls_alert before;
    struct group *group;
    enum ls_alert_action action;
    char name[160];

    if (queue)
        snprintf(name, sizeof name, "%s/%s", ls_rule_type(rule), queue->keys.queue);
    else
        snprintf(name, sizeof name, "%s", ls_rule_type(rule));
    group = find_group(alerts, name);
    before = group->alert;
    action = ls_alert_step(&group->alert, &timing, finding->level, 0, alerts->redis_ms);
    if (action != LS_ALERT_NOTHING)
        raise_notice(alerts, group,
                     &(struct ls_notice){
                         .type = ls_rule_type(rule),
                         .severity = action == LS_ALERT_NOTIFY ? "high" : "info",
                         .status = action == LS_ALERT_NOTIFY ? "firing" : "resolved",
                         .queue = queue ? queue->keys.queue : NULL,
                         .details = finding->details[0] ? finding->details : "too few samples now",
                         .look = looks[rule],
                         .metric = metrics[rule],
                         .value = finding->value,
                         .since_ms = group->alert.fired_ms});
    group->changed = group->changed || memcmp(&before, &group->alert, sizeof before) != 0;
}

static void raise_notice(struct ls_alerts *alerts, struct group *group,
                         const struct ls_notice *given)
{
    struct ls_notice notice = *given;
    struct ls_buf json = {0}, extra = {0};
    char id[LS_ID_SIZE], sink[LS_SINK_ID_SIZE];
    bool firing = strcmp(notice.status, "firing") == 0;

    ls_id_new(id);
    ls_buf_printf(&extra, "\"id\":\"%s\"%s%s", id, notice.extra && notice.extra[0] ? "," : "",
                  notice.extra ? notice.extra : "");
    notice.extra = extra.data;
    notice.group = group->name;
    notice.now_ms = alerts->redis_ms;
    notice.count = group->alert.count > 0 ? group->alert.count : 1;
    ls_notice_json(&notice, &json);
    alerts->raised =
        ls_xrealloc(alerts->raised, (alerts->raised_count + alerts->config->sink_count + 1) *
                                        sizeof *alerts->raised);
    for (size_t i = 0; i < alerts->config->sink_count; i++)
        alerts->raised[alerts->raised_count++] =
            ls_xasprintf("%s %s %" PRId64 " %s", id, ls_sink_id(&alerts->sinks[i], sink),
                         alerts->redis_ms, json.data);
    if (firing) {
        ls_alert_notified(&group->alert, alerts->redis_ms);
        ls_log_with(LS_LOG_ERROR, "alert.firing",
                    LS_FIELDS({"group", group->name}, {"look", notice.look}), "SYNC ALERT: %s: %s",
                    notice.type, notice.details);
    } else {
        ls_log_with(LS_LOG_INFO, "alert.resolved", LS_FIELDS({"group", group->name}),
                    "%s is over: %s", notice.type, notice.details);
    }
    group->changed = true;
    ls_buf_fini(&json);
    ls_buf_fini(&extra);
}

/* Which job: never its data, which is the customer's. */
static void job_members(const struct queue *queue, const char *fingerprint, struct ls_buf *out)
{
    for (size_t i = 0; i < queue->letter_count; i++) {
        struct ls_dead dead = {0};

        if (ls_dead_parse(&dead, queue->letters[i], strlen(queue->letters[i]), NULL) < 0)
            continue;
        if (!ls_span_is(dead.group, fingerprint)) {
            ls_dead_fini(&dead);
            continue;
        }
        ls_buf_puts(out, "\"job\":{\"id\":");
        ls_buf_json_string(out, dead.id.data ? dead.id.data : "", dead.id.length);
        ls_buf_puts(out, ",\"kind\":");
        ls_buf_json_string(out, dead.kind.data ? dead.kind.data : "", dead.kind.length);
        if (dead.account.length) {
            ls_buf_puts(out, ",\"account\":");
            ls_buf_json_string(out, dead.account.data, dead.account.length);
        }
        if (dead.key.length) {
            ls_buf_puts(out, ",\"key\":");
            ls_buf_json_string(out, dead.key.data, dead.key.length);
        }
        ls_buf_printf(out, ",\"attempts\":%d},\"class\":", dead.attempts);
        ls_buf_json_string(out, dead.klass.data ? dead.klass.data : "", dead.klass.length);
        ls_buf_puts(out, ",\"error\":");
        ls_buf_json_string(out, dead.error.data ? dead.error.data : "", dead.error.length);
        ls_dead_fini(&dead);
        return;
    }
}

/* ---- keeping ---- */

static bool has_news(const struct ls_alerts *alerts)
{
    bool news = alerts->raised_count > 0 || alerts->last_sync_ms != alerts->kept_sync_ms;

    for (size_t i = 0; i < alerts->group_count && !news; i++)
        news = alerts->groups[i].changed;
    return news;
}

/* Nothing to keep, nothing to say: an idle fleet writes nothing. */
static void commit(struct ls_alerts *alerts)
{
    struct ls_cmd *cmd = &alerts->cmd;
    struct ls_buf value = {0};

    if (!has_news(alerts)) {
        alerts->looking = false;
        deliver(alerts);
        return;
    }
    alerts->kept_sync_ms = alerts->last_sync_ms;
    ls_cmd_start(cmd, "MULTI");
    ls_redis_send(alerts->redis, cmd, 0, NULL, NULL);
    ls_cmd_start(cmd, "HSET");
    ls_cmd_puts(cmd, LS_KEY_ALERTS);
    ls_cmd_puts(cmd, "last_sync");
    ls_buf_printf(&value, "%" PRId64 " %" PRId64, alerts->last_sync_ms, alerts->last_sync_total);
    ls_cmd_puts(cmd, value.data);
    for (size_t i = 0; i < alerts->group_count; i++) {
        struct group *group = &alerts->groups[i];

        if (!group->changed)
            continue;
        group->changed = false;
        ls_buf_clear(&value);
        write_group(group, &value);
        ls_cmd_puts(cmd, group->name);
        ls_cmd_puts(cmd, value.data);
    }
    ls_redis_send(alerts->redis, cmd, 0, NULL, NULL);
    for (size_t i = 0; i < alerts->raised_count; i++) {
        ls_cmd_start(cmd, "RPUSH");
        ls_cmd_puts(cmd, LS_KEY_ALERTS_UNSENT);
        ls_cmd_puts(cmd, alerts->raised[i]);
        ls_redis_send(alerts->redis, cmd, 0, NULL, NULL);
    }
    ls_cmd_start(cmd, "EXEC");
    ls_redis_send(alerts->redis, cmd, 0, on_committed, ask(alerts, NULL));
    ls_buf_fini(&value);
}

static void on_committed(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct question *question = arg;
    struct ls_alerts *alerts;
    struct queue *queue;

    if (!answer(&question, err, &alerts, &queue))
        return;
    alerts->looking = false;
    for (size_t i = 0; i < alerts->raised_count; i++) {
        add_unsent(alerts, alerts->raised[i], strlen(alerts->raised[i]));
        free(alerts->raised[i]);
    }
    alerts->raised_count = 0;
    deliver(alerts);
}

/* ---- delivering ---- */

static void deliver(void *arg)
{
    struct ls_alerts *alerts = arg;
    int64_t now = ls_clock_mono_ms(), next = INT64_MAX;
    size_t active = 0;

    for (size_t i = 0; i < alerts->unsent_count; i++)
        active += alerts->unsent[i]->delivery != NULL;
    for (size_t i = 0; i < alerts->unsent_count && active < ACTIVE_MAX; i++) {
        struct unsent *unsent = alerts->unsent[i];
        const struct ls_sink *sink = NULL;
        char id[LS_SINK_ID_SIZE];

        if (unsent->delivery || unsent->done)
            continue;
        if (unsent->next_ms > now) {
            next = unsent->next_ms < next ? unsent->next_ms : next;
            continue;
        }
        for (size_t j = 0; j < alerts->config->sink_count && !sink; j++)
            if (strcmp(ls_sink_id(&alerts->sinks[j], id), unsent->sink) == 0)
                sink = &alerts->sinks[j];
        if (!sink) {
            ls_log(LS_LOG_WARN, "alert.dropped",
                   "a notice is dropped: its sink is not in the configuration any more");
            remove_unsent(unsent);
            continue;
        }
        unsent->tries++;
        active++;
        unsent->delivery = ls_delivery_begin(alerts->loop, alerts->http, sink, unsent->json,
                                             DELIVERY_MS, on_delivered, unsent);
    }
    if (next != INT64_MAX)
        ls_timer_start(alerts->delivery, next - now);
}

static void on_delivered(void *arg, const struct ls_err *err)
{
    struct unsent *unsent = arg;
    struct ls_alerts *alerts = unsent->alerts;
    int64_t delay = RETRY_FIRST_MS;

    unsent->delivery = NULL;
    if (!err) {
        ls_log(LS_LOG_INFO, "alert.sent", "a notice was taken by its sink");
        remove_unsent(unsent);
    } else if (ls_clock_wall_ms() - unsent->at_ms > GIVE_UP_MS) {
        ls_log(LS_LOG_ERROR, "alert.lost", "a notice is given up after a day: %s", err->text);
        remove_unsent(unsent);
    } else {
        for (int i = 1; i < unsent->tries && delay < RETRY_CAP_MS; i++)
            delay *= 2;
        delay = delay < RETRY_CAP_MS ? delay : RETRY_CAP_MS;
        unsent->next_ms = ls_clock_mono_ms() + delay;
        ls_log(LS_LOG_WARN, "alert.retry", "a notice was not taken, again in %" PRId64 " ms: %s",
               delay, err->text);
    }
    deliver(alerts);
}

/* Out of Redis; out of memory with the answer, so that it cannot be begun again in between. A lost
 * answer means one more notice. */
static void remove_unsent(struct unsent *unsent)
{
    struct ls_alerts *alerts = unsent->alerts;

    unsent->done = true;
    ls_cmd_start(&alerts->cmd, "LREM");
    ls_cmd_puts(&alerts->cmd, LS_KEY_ALERTS_UNSENT);
    ls_cmd_int(&alerts->cmd, 1);
    ls_cmd_puts(&alerts->cmd, unsent->text);
    ls_redis_send(alerts->redis, &alerts->cmd, 0, NULL, NULL);
}

static void add_unsent(struct ls_alerts *alerts, const char *text, size_t length)
{
    struct unsent *unsent = LS_NEW(struct unsent);
    char id[64];
    int at = 0;

    /* Those that are done are only waiting for this. */
    for (size_t i = 0; i < alerts->unsent_count;) {
        if (!alerts->unsent[i]->done) {
            i++;
            continue;
        }
        free_unsent(alerts->unsent[i]);
        memmove(&alerts->unsent[i], &alerts->unsent[i + 1],
                (--alerts->unsent_count - i) * sizeof *alerts->unsent);
    }
    unsent->alerts = alerts;
    unsent->text = ls_xstrndup(text, length);
    if (alerts->unsent_count >= UNSENT_MAX ||
        sscanf(unsent->text, "%63s %16s %" SCNd64 " %n", id, unsent->sink, &unsent->at_ms, &at) !=
            3 ||
        at == 0) {
        ls_log(LS_LOG_ERROR, "alert.lost", "a notice is %s",
               at ? "one too many: the sinks take none" : "unreadable");
        remove_unsent(unsent);
        free_unsent(unsent);
        return;
    }
    unsent->json = unsent->text + at;
    alerts->unsent =
        ls_xrealloc(alerts->unsent, (alerts->unsent_count + 1) * sizeof *alerts->unsent);
    alerts->unsent[alerts->unsent_count++] = unsent;
}

static void free_unsent(struct unsent *unsent)
{
    ls_delivery_cancel(&unsent->delivery);
    free(unsent->text);
    free(unsent);
}

/* ---- small things ---- */

/* Made if it is not there. Pointers die with the next call. */
static struct group *find_group(struct ls_alerts *alerts, const char *name)
{
    struct group *group;

    for (size_t i = 0; i < alerts->group_count; i++)
        if (strcmp(alerts->groups[i].name, name) == 0)
            return &alerts->groups[i];
    alerts->groups =
        ls_xrealloc(alerts->groups, (alerts->group_count + 1) * sizeof *alerts->groups);
    group = &alerts->groups[alerts->group_count++];
    *group = (struct group){.name = ls_xstrdup(name)};
    return group;
}

static void read_group(struct group *group, const char *text)
{
    char state[16] = "";
    int told = 0;

    sscanf(text,
           "%15s since=%" SCNd64 " fired=%" SCNd64 " notified=%" SCNd64 " count=%" SCNd64
           " told=%d seen=%" SCNd64 " last=%" SCNd64,
           state, &group->alert.since_ms, &group->alert.fired_ms, &group->alert.notified_ms,
           &group->alert.count, &told, &group->seen, &group->seen_last);
    group->alert.state = ls_alert_state_parse(state);
    group->alert.told = told != 0;
}

static void write_group(const struct group *group, struct ls_buf *out)
{
    const struct ls_alert *alert = &group->alert;

    ls_buf_printf(out,
                  "%s since=%" PRId64 " fired=%" PRId64 " notified=%" PRId64 " count=%" PRId64
                  " told=%d seen=%" PRId64 " last=%" PRId64,
                  ls_alert_state_name(alert->state), alert->since_ms, alert->fired_ms,
                  alert->notified_ms, alert->count, alert->told, group->seen, group->seen_last);
}

static struct question *ask(struct ls_alerts *alerts, struct queue *queue)
{
    struct question *question = LS_NEW(struct question);

    *question =
        (struct question){alerts, queue, alerts->epoch, alerts->questions, &alerts->questions};
    if (question->next)
        question->next->link = &question->next;
    alerts->questions = question;
    return question;
}

/* Takes the question back. False: the answer is none, or for a leadership that is over. */
static bool answer(struct question **pointer, const struct ls_err *err, struct ls_alerts **alerts,
                   struct queue **queue)
{
    struct question question = **pointer;

    *question.link = question.next;
    if (question.next)
        question.next->link = question.link;
    free(*pointer);
    *pointer = NULL;
    *alerts = question.alerts;
    *queue = question.queue;
    if (question.epoch != question.alerts->epoch)
        return false;
    if (!err)
        return true;
    if (ls_redis_is_up(question.alerts->redis))
        ls_log(LS_LOG_WARN, "alert.look_failed", "cannot read the windows of the alerts: %s",
               err->text);
    /* What this look changed in memory was not written: begin again from what Redis has. */
    ls_alerts_rest(question.alerts);
    question.alerts->leading = true;
    ls_timer_start(question.alerts->tick, question.alerts->config->rules.tick_ms);
    return false;
}

static void forget_letters(struct queue *queue)
{
    while (queue->letter_count)
        free(queue->letters[--queue->letter_count]);
}
