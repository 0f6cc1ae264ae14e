/* The alerts' rules over a queue's counters, and over all queues. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "worker/scheduler/alerts_internal.h"

static void judge(struct ls_alerts *alerts, enum ls_rule rule, struct alert_queue *queue,
                  const struct ls_finding *finding)
{
    static const char *const metrics[LS_RULE_COUNT] = {"error_rate", "avg_latency_ms", "silence_ms",
                                                       "dead"};
    static const char *const looks[LS_RULE_COUNT] = {"lockstep doctor", "lockstep queue show %s",
                                                     "lockstep sync status",
                                                     "lockstep dead groups --queue %s"};
    struct ls_alert_timing timing = ls_rule_timing(rule, &alerts->limits);
    const char *queue_name = queue ? queue->keys.queue : "";
    struct ls_alert before;
    struct alert_group *group;
    enum ls_alert_action action;
    char name[ALERT_NAME_SIZE], look[128];

    snprintf(name, sizeof name, "%s%s%s", ls_rule_type(rule), queue ? "/" : "", queue_name);
    group = alerts_group(alerts, name);
    before = group->alert;
    action = ls_alert_step(&group->alert, &timing, finding->level, 0, alerts->redis_ms);
    if (action != LS_ALERT_NOTHING) {
        snprintf(look, sizeof look, looks[rule], queue_name);
        alerts_raise(alerts, group,
                     &(struct ls_notice){
                         .type = ls_rule_type(rule),
                         .severity = action == LS_ALERT_NOTIFY ? "high" : "info",
                         .status = action == LS_ALERT_NOTIFY ? "firing" : "resolved",
                         .queue = queue ? queue->keys.queue : NULL,
                         .details = finding->details[0] ? finding->details : "too few samples now",
                         .look = look,
                         .metric = metrics[rule],
                         .value = finding->value,
                         .since_ms = group->alert.fired_ms});
    }
    group->changed = group->changed || memcmp(&before, &group->alert, sizeof before) != 0;
}

void alerts_judge_queue(struct ls_alerts *alerts, struct alert_queue *queue)
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
    ls_rule_dead_full(queue->dead, queue->max_dead, &finding);
    judge(alerts, LS_RULE_DEAD_FULL, queue, &finding);
}

void alerts_judge_stale(struct ls_alerts *alerts)
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
