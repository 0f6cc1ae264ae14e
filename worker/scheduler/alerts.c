#include "worker/scheduler/alerts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/job/id.h"
#include "common/queue/dead.h"
#include "worker/scheduler/alerts_internal.h"

static const char *const counter_names[COUNTERS] = {
    "sync_ok", "sync_parked", "sync_failed", "sync_ms", "delta_ok", "done", "retried", "dead"};

static void load(struct ls_alerts *alerts);
static void on_states(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_unsent(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_tick(void *arg);
static void ask_queue(struct ls_alerts *alerts);
static void on_watched(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void take_watch(struct alert_queue *queue, const struct ls_queue_watch *watch);
static void forget_idle(struct ls_alerts *alerts);
static void commit(struct ls_alerts *alerts);
static void on_committed(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void give_up(struct ls_alerts *alerts, const struct ls_err *err);
static void read_group(struct alert_group *group, const char *text);
static void write_group(const struct alert_group *group, struct ls_buf *out);

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
        .dead_rate = config->rules.dead_rate,
        .dead_age_ms = config->rules.dead_age_ms,
    };
    alerts->sinks = ls_xcalloc(config->sink_count + 1, sizeof *alerts->sinks);
    for (size_t i = 0; i < config->sink_count; i++)
        alerts->sinks[i] =
            (struct ls_sink){.url = config->sinks[i].to,
                             .slack = config->sinks[i].format == LS_CONFIG_FORMAT_SLACK,
                             .secret = config->sinks[i].secret,
                             .argv = config->sinks[i].exec};
    alerts->tick = ls_timer_new(loop, on_tick, alerts);
    alerts->delivery = ls_timer_new(loop, alerts_deliver, alerts);
    alerts->queues = ls_xcalloc(config->queue_count + 1, sizeof *alerts->queues);
    for (size_t i = 0; i < config->queue_count; i++) {
        struct alert_queue *queue = &alerts->queues[i];

        queue->alerts = alerts;
        queue->max_dead = config->queues[i].max_dead;
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

static void free_texts(char **texts, size_t *count)
{
    while (*count)
        free(texts[--*count]);
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
        alerts_free_unsent(alerts->unsent[--alerts->unsent_count]);
    free_texts(alerts->raised, &alerts->raised_count);
    free_texts(alerts->forgotten, &alerts->forgotten_count);
    alerts->last_sync_ms = alerts->last_sync_total = alerts->kept_sync_ms = 0;
    for (size_t i = 0; i < alerts->queue_count; i++)
        alerts_forget_letters(&alerts->queues[i]);
}

void ls_alerts_free(struct ls_alerts *alerts)
{
    if (!alerts)
        return;
    ls_alerts_rest(alerts);
    while (alerts->questions) {
        struct alert_question *question = alerts->questions;
        alerts->questions = question->next;
        free(question);
    }
    ls_timer_close(&alerts->tick);
    ls_timer_close(&alerts->delivery);
    for (size_t i = 0; i < alerts->queue_count; i++) {
        ls_keys_fini(&alerts->queues[i].keys);
        free(alerts->queues[i].rows);
    }
    free(alerts->queues);
    free(alerts->groups);
    free(alerts->unsent);
    free(alerts->raised);
    free(alerts->forgotten);
    free(alerts->sinks);
    ls_cmd_fini(&alerts->cmd);
    free(alerts);
}

/* ---- what Redis has ---- */

static void load(struct ls_alerts *alerts)
{
    ls_cmd_start(&alerts->cmd, "HGETALL");
    ls_cmd_puts(&alerts->cmd, LS_KEY_ALERTS);
    ls_redis_send(alerts->redis, &alerts->cmd, 0, on_states, alerts_ask(alerts, NULL));
    ls_cmd_start(&alerts->cmd, "LRANGE");
    ls_cmd_puts(&alerts->cmd, LS_KEY_ALERTS_UNSENT);
    ls_cmd_int(&alerts->cmd, 0);
    ls_cmd_int(&alerts->cmd, ALERT_UNSENT_MAX - 1);
    ls_redis_send(alerts->redis, &alerts->cmd, 0, on_unsent, alerts_ask(alerts, NULL));
}

static void on_states(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct alert_question *question = arg;
    struct ls_alerts *alerts;
    struct alert_queue *queue;

    if (!alerts_answer(&question, err, &alerts, &queue))
        return;
    for (size_t i = 0; reply->type == LS_REPLY_ARRAY && i + 1 < reply->count; i += 2) {
        const struct ls_reply *name = ls_reply_item(reply, i), *value = ls_reply_item(reply, i + 1);

        if (!name->text || !value->text)
            continue;
        if (strcmp(name->text, "last_sync") == 0)
            sscanf(value->text, "%" SCNd64 " %" SCNd64, &alerts->last_sync_ms,
                   &alerts->last_sync_total);
        else
            read_group(alerts_group(alerts, name->text), value->text);
    }
    alerts->kept_sync_ms = alerts->last_sync_ms;
}

static void on_unsent(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct alert_question *question = arg;
    struct ls_alerts *alerts;
    struct alert_queue *queue;

    if (!alerts_answer(&question, err, &alerts, &queue))
        return;
    for (size_t i = 0; reply->type == LS_REPLY_ARRAY && i < reply->count; i++) {
        struct ls_span text = ls_reply_span(ls_reply_item(reply, i));
        alerts_add_unsent(alerts, text.data, text.length);
    }
    alerts->loaded = true;
    ls_timer_repeat(alerts->tick, alerts->config->rules.tick_ms);
    on_tick(alerts);
    alerts_deliver(alerts);
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
    alerts->next_queue = 0;
    for (size_t i = 0; i < alerts->group_count; i++)
        alerts->groups[i].looked = false;
    ask_queue(alerts);
}

static void ask_queue(struct ls_alerts *alerts)
{
    struct alert_queue *queue = &alerts->queues[alerts->next_queue];

    ls_queue_watch_build(&alerts->cmd, &queue->keys, alerts->limits.window_ms, counter_names,
                         COUNTERS);
    ls_redis_send(alerts->redis, &alerts->cmd, 0, on_watched, alerts_ask(alerts, queue));
}

static void on_watched(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct alert_question *question = arg;
    struct ls_queue_watch watch;
    struct ls_err failure = LS_ERR_INIT;
    struct ls_alerts *alerts;
    struct alert_queue *queue;

    if (!alerts_answer(&question, err, &alerts, &queue))
        return;
    if (ls_queue_watch_parse(reply, &watch, &failure) < 0) {
        give_up(alerts, &failure);
        return;
    }
    alerts->redis_ms = watch.ms;
    take_watch(queue, &watch);
    alerts_judge_queue(alerts, queue);
    alerts_judge_dead(alerts, queue);
}

static void take_watch(struct alert_queue *queue, const struct ls_queue_watch *watch)
{
    queue->dead = watch->dead;
    memcpy(queue->totals, watch->totals, sizeof queue->totals);
    memcpy(queue->window, watch->window, sizeof queue->window);
    queue->rows = ls_xrealloc(queue->rows, (watch->group_count + 1) * sizeof *queue->rows);
    queue->row_count = 0;
    for (size_t i = 0; i < watch->group_count; i++) {
        struct ls_span name = ls_reply_span(&watch->groups->items[2 * i]);
        struct alert_row *row = &queue->rows[queue->row_count];
        struct ls_dead_group_row found;

        if (name.length >= sizeof row->fingerprint ||
            ls_dead_group_parse(ls_reply_span(&watch->groups->items[2 * i + 1]), &found) < 0)
            continue;
        *row = (struct alert_row){
            .count = found.count, .first_ms = found.first_ms, .last_ms = found.last_ms};
        snprintf(row->fingerprint, sizeof row->fingerprint, "%.*s", LS_SPAN_ARG(name));
        snprintf(row->sample, sizeof row->sample, "%.*s", LS_SPAN_ARG(found.sample));
        queue->row_count++;
    }
}

void alerts_queue_done(struct ls_alerts *alerts)
{
    if (++alerts->next_queue < alerts->queue_count) {
        ask_queue(alerts);
        return;
    }
    alerts_judge_stale(alerts);
    alerts_judge_gone(alerts);
    forget_idle(alerts);
    commit(alerts);
}

/* ---- raising ---- */

void alerts_raise(struct ls_alerts *alerts, struct alert_group *group,
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

/* ---- keeping ---- */

/* Nothing of this group is worth remembering: it is as if it had never been. Its last notice is
 * until its cooldown is over. */
static bool is_idle(const struct ls_alerts *alerts, const struct alert_group *group)
{
    const struct ls_alert *alert = &group->alert;

    return alert->state == LS_ALERT_OK && !group->seen && !group->rate.slot && !alert->count &&
           alerts->redis_ms - alert->notified_ms >= alerts->limits.cooldown_ms;
}

/* Fingerprints come and go: without this their states would pile up in Redis for ever. */
static void forget_idle(struct ls_alerts *alerts)
{
    size_t kept = 0;

    for (size_t i = 0; i < alerts->group_count; i++) {
        struct alert_group *group = &alerts->groups[i];
        bool written = group->alert.since_ms || group->seen_last;

        if (!is_idle(alerts, group)) {
            alerts->groups[kept++] = *group;
        } else if (!written && !group->changed) {
            free(group->name); /* a rule that has never had a reason: Redis has nothing of it */
        } else {
            alerts->forgotten = ls_xrealloc(alerts->forgotten, (alerts->forgotten_count + 1) *
                                                                   sizeof *alerts->forgotten);
            alerts->forgotten[alerts->forgotten_count++] = group->name;
        }
    }
    alerts->group_count = kept;
}

static bool has_news(const struct ls_alerts *alerts)
{
    bool news = alerts->raised_count > 0 || alerts->forgotten_count > 0 ||
                alerts->last_sync_ms != alerts->kept_sync_ms;

    for (size_t i = 0; i < alerts->group_count && !news; i++)
        news = alerts->groups[i].changed;
    return news;
}

static void send_forgotten(struct ls_alerts *alerts)
{
    struct ls_cmd *cmd = &alerts->cmd;

    if (!alerts->forgotten_count)
        return;
    ls_cmd_start(cmd, "HDEL");
    ls_cmd_puts(cmd, LS_KEY_ALERTS);
    for (size_t i = 0; i < alerts->forgotten_count; i++)
        ls_cmd_puts(cmd, alerts->forgotten[i]);
    ls_redis_send(alerts->redis, cmd, 0, NULL, NULL);
    free_texts(alerts->forgotten, &alerts->forgotten_count);
}

/* Nothing to keep, nothing to say: an idle fleet writes nothing. */
static void commit(struct ls_alerts *alerts)
{
    struct ls_cmd *cmd = &alerts->cmd;
    struct ls_buf value = {0};

    if (!has_news(alerts)) {
        alerts->looking = false;
        alerts_deliver(alerts);
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
        struct alert_group *group = &alerts->groups[i];

        if (!group->changed)
            continue;
        group->changed = false;
        ls_buf_clear(&value);
        write_group(group, &value);
        ls_cmd_puts(cmd, group->name);
        ls_cmd_puts(cmd, value.data);
    }
    ls_redis_send(alerts->redis, cmd, 0, NULL, NULL);
    send_forgotten(alerts);
    for (size_t i = 0; i < alerts->raised_count; i++) {
        ls_cmd_start(cmd, "RPUSH");
        ls_cmd_puts(cmd, LS_KEY_ALERTS_UNSENT);
        ls_cmd_puts(cmd, alerts->raised[i]);
        ls_redis_send(alerts->redis, cmd, 0, NULL, NULL);
    }
    ls_cmd_start(cmd, "EXEC");
    ls_redis_send(alerts->redis, cmd, 0, on_committed, alerts_ask(alerts, NULL));
    ls_buf_fini(&value);
}

static void on_committed(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct alert_question *question = arg;
    struct ls_alerts *alerts;
    struct alert_queue *queue;

    if (!alerts_answer(&question, err, &alerts, &queue))
        return;
    alerts->looking = false;
    for (size_t i = 0; i < alerts->raised_count; i++)
        alerts_add_unsent(alerts, alerts->raised[i], strlen(alerts->raised[i]));
    free_texts(alerts->raised, &alerts->raised_count);
    alerts_deliver(alerts);
}

/* ---- small things ---- */

static uint64_t hash_of(const char *text)
{
    uint64_t hash = 1469598103934665603ULL; /* FNV-1a */

    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211ULL;
    return hash;
}

struct alert_group *alerts_group_find(struct ls_alerts *alerts, const char *name)
{
    uint64_t hash = hash_of(name);

    for (size_t i = 0; i < alerts->group_count; i++)
        if (alerts->groups[i].hash == hash && strcmp(alerts->groups[i].name, name) == 0)
            return &alerts->groups[i];
    return NULL;
}

struct alert_group *alerts_group(struct ls_alerts *alerts, const char *name)
{
    struct alert_group *group = alerts_group_find(alerts, name);

    if (group)
        return group;
    alerts->groups =
        ls_xrealloc(alerts->groups, (alerts->group_count + 1) * sizeof *alerts->groups);
    group = &alerts->groups[alerts->group_count++];
    *group = (struct alert_group){.name = ls_xstrdup(name), .hash = hash_of(name)};
    return group;
}

static void read_group(struct alert_group *group, const char *text)
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
    ls_rate_read(&group->rate, text);
}

static void write_group(const struct alert_group *group, struct ls_buf *out)
{
    const struct ls_alert *alert = &group->alert;

    ls_buf_printf(out,
                  "%s since=%" PRId64 " fired=%" PRId64 " notified=%" PRId64 " count=%" PRId64
                  " told=%d seen=%" PRId64 " last=%" PRId64,
                  ls_alert_state_name(alert->state), alert->since_ms, alert->fired_ms,
                  alert->notified_ms, alert->count, alert->told, group->seen, group->seen_last);
    ls_rate_write(&group->rate, out);
}

struct alert_question *alerts_ask(struct ls_alerts *alerts, struct alert_queue *queue)
{
    struct alert_question *question = LS_NEW(struct alert_question);

    *question = (struct alert_question){alerts, queue, alerts->epoch, alerts->questions,
                                        &alerts->questions};
    if (question->next)
        question->next->link = &question->next;
    alerts->questions = question;
    return question;
}

bool alerts_answer(struct alert_question **pointer, const struct ls_err *err,
                   struct ls_alerts **alerts, struct alert_queue **queue)
{
    struct alert_question question = **pointer;

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
    give_up(question.alerts, err);
    return false;
}

/* What this look changed in memory was not written: begin again from what Redis has. */
static void give_up(struct ls_alerts *alerts, const struct ls_err *err)
{
    if (ls_redis_is_up(alerts->redis))
        ls_log(LS_LOG_WARN, "alert.look_failed", "cannot read the windows of the alerts: %s",
               err->text);
    ls_alerts_rest(alerts);
    alerts->leading = true;
    ls_timer_start(alerts->tick, alerts->config->rules.tick_ms);
}
