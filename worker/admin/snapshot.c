#include "worker/admin/snapshot.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/metrics/text.h"

/* One gauge a queue each: name, field, help. */
static const struct {
    const char *metric, *json;
    size_t offset;
    const char *help;
} gauges[] = {
    {"lockstep_queue_delayed", "delayed", offsetof(struct ls_queue_stat, delayed),
     "Jobs that wait for their time (retries and scheduled ones)."},
    {"lockstep_queue_reserved", "reserved", offsetof(struct ls_queue_stat, reserved),
     "Jobs that have paid for a time to come of their account's budget."},
    {"lockstep_queue_held", "held", offsetof(struct ls_queue_stat, held),
     "Jobs that wait behind others of their account."},
    {"lockstep_queue_running", "running", offsetof(struct ls_queue_stat, running),
     "Jobs in the hands of workers."},
    {"lockstep_queue_dead", "dead", offsetof(struct ls_queue_stat, dead), "Dead letters."},
    {"lockstep_queue_dead_groups", "dead_groups", offsetof(struct ls_queue_stat, dead_groups),
     "Different errors among the dead letters."},
    {"lockstep_queue_keys", "keyed", offsetof(struct ls_queue_stat, keyed),
     "Keys (records) that wait or run."},
    {"lockstep_queue_workers", "workers", offsetof(struct ls_queue_stat, workers),
     "Workers, schedulers among them."},
    {"lockstep_queue_workers_expired", "workers_expired",
     offsetof(struct ls_queue_stat, workers_expired),
     "Workers whose lease ran out and whose claims nobody took yet."},
    {"lockstep_queue_bound", "bound", offsetof(struct ls_queue_stat, bound),
     "Pushes are refused while so many jobs wait; 0 is no limit."},
};

static double gauge_of(const struct ls_queue_view *view, size_t gauge);
static void put_lanes(struct ls_metric_text *text, const struct ls_snapshot *snapshot);
static void put_process(struct ls_metric_text *text);

void ls_snapshot_fini(struct ls_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->queue_count; i++) {
        struct ls_queue_view *view = &snapshot->queues[i];

        while (view->counter_count)
            free(view->counters[--view->counter_count].name);
        free(view->counters);
    }
    free(snapshot->queues);
    *snapshot = (struct ls_snapshot){0};
}

void ls_queue_view_set(struct ls_queue_view *view, const struct ls_queue_stat *stat)
{
    while (view->counter_count)
        free(view->counters[--view->counter_count].name);
    view->counters =
        ls_xrealloc(view->counters, (stat->counter_count + 1) * sizeof *view->counters);
    for (size_t i = 0; i + 1 < stat->counter_count * 2; i += 2) {
        struct ls_span name = ls_reply_span(&stat->counters[i]);

        view->counters[view->counter_count++] =
            (struct ls_counter){ls_xstrndup(name.data ? name.data : "", name.length),
                                ls_reply_int(&stat->counters[i + 1], 0)};
    }
    view->stat = *stat;
    view->stat.counters = NULL;
    view->stat.counter_count = 0;
    view->stat.paused_by = view->stat.closed_by = (struct ls_span){0};
    view->known = true;
}

void ls_snapshot_metrics(const struct ls_snapshot *snapshot, struct ls_buf *out)
{
    struct ls_metric_text text = {0};

    ls_metric_family(&text, "lockstep_build_info", LS_METRIC_GAUGE,
                     "1, with the version as a label.");
    ls_metric_sample(&text, LS_LABELS({"version", LOCKSTEP_VERSION}), 1);
    ls_metric_family(&text, "lockstep_redis_up", LS_METRIC_GAUGE, "1 while Redis answers.");
    ls_metric_sample(&text, NULL, snapshot->redis_up);
    ls_metric_family(&text, "lockstep_alerts_firing", LS_METRIC_GAUGE,
                     "Groups of alerts that are firing, in the fleet.");
    ls_metric_sample(&text, NULL, (double)snapshot->alerts_firing);
    put_lanes(&text, snapshot);
    for (size_t i = 0; i < LS_COUNT(gauges); i++) {
        ls_metric_family(&text, gauges[i].metric, LS_METRIC_GAUGE, gauges[i].help);
        for (size_t j = 0; j < snapshot->queue_count; j++)
            if (snapshot->queues[j].known)
                ls_metric_sample(&text, LS_LABELS({"queue", snapshot->queues[j].name}),
                                 gauge_of(&snapshot->queues[j], i));
    }
    ls_metric_family(&text, "lockstep_queue_paused", LS_METRIC_GAUGE,
                     "1 while nothing is claimed.");
    for (size_t i = 0; i < snapshot->queue_count; i++)
        if (snapshot->queues[i].known)
            ls_metric_sample(&text, LS_LABELS({"queue", snapshot->queues[i].name}),
                             snapshot->queues[i].stat.paused);
    ls_metric_family(&text, "lockstep_queue_oldest_age_seconds", LS_METRIC_GAUGE,
                     "Age of the oldest waiting job; 0 when none waits.");
    for (size_t i = 0; i < snapshot->queue_count; i++) {
        int64_t age = snapshot->queues[i].stat.oldest_ms;
        if (snapshot->queues[i].known)
            ls_metric_sample(&text, LS_LABELS({"queue", snapshot->queues[i].name}),
                             age > 0 ? (double)age / 1000 : 0);
    }
    ls_metric_family(&text, "lockstep_queue_overdue_seconds", LS_METRIC_GAUGE,
                     "How long the first delayed job has been due.");
    for (size_t i = 0; i < snapshot->queue_count; i++)
        if (snapshot->queues[i].known)
            ls_metric_sample(&text, LS_LABELS({"queue", snapshot->queues[i].name}),
                             (double)snapshot->queues[i].stat.overdue_ms / 1000);
    ls_metric_family(&text, "lockstep_events_total", LS_METRIC_COUNTER,
                     "What happened, by event (claimed, done, retried, dead, sync_ok, ...).");
    for (size_t i = 0; i < snapshot->queue_count; i++)
        for (size_t j = 0; j < snapshot->queues[i].counter_count; j++)
            ls_metric_sample(&text,
                             LS_LABELS({"queue", snapshot->queues[i].name},
                                       {"event", snapshot->queues[i].counters[j].name}),
                             (double)snapshot->queues[i].counters[j].value);
    ls_metric_family(&text, "lockstep_runners", LS_METRIC_GAUGE,
                     "Runners of this pool that take their turns, by queue.");
    for (size_t i = 0; i < snapshot->queue_count; i++)
        if (snapshot->queues[i].known)
            ls_metric_sample(&text, LS_LABELS({"queue", snapshot->queues[i].name}),
                             (double)snapshot->queues[i].own_runners);
    put_process(&text);
    ls_buf_add(out, text.out.data, text.out.length);
    ls_metric_text_fini(&text);
}

void ls_snapshot_json(const struct ls_snapshot *snapshot, struct ls_buf *out)
{
    ls_buf_printf(out, "{\"redis_up\":%s,\"alerts_firing\":%zu,\"queues\":[",
                  snapshot->redis_up ? "true" : "false", snapshot->alerts_firing);
    for (size_t i = 0; i < snapshot->queue_count; i++) {
        const struct ls_queue_view *view = &snapshot->queues[i];

        ls_buf_printf(out,
                      "%s{\"name\":\"%s\",\"known\":%s,\"pending_high\":%" PRId64
                      ",\"pending\":%" PRId64 ",\"pending_low\":%" PRId64,
                      i ? "," : "", view->name, view->known ? "true" : "false",
                      view->stat.pending_high, view->stat.pending, view->stat.pending_low);
        for (size_t j = 0; j < LS_COUNT(gauges); j++)
            ls_buf_printf(out, ",\"%s\":%.0f", gauges[j].json, gauge_of(view, j));
        ls_buf_printf(out, ",\"paused\":%s,\"oldest_ms\":%" PRId64 ",\"runners\":%zu}",
                      view->stat.paused ? "true" : "false", view->stat.oldest_ms,
                      view->own_runners);
    }
    ls_buf_puts(out, "]}\n");
}

static double gauge_of(const struct ls_queue_view *view, size_t gauge)
{
    int64_t value;

    memcpy(&value, (const char *)&view->stat + gauges[gauge].offset, sizeof value);
    return (double)value;
}

static void put_lanes(struct ls_metric_text *text, const struct ls_snapshot *snapshot)
{
    ls_metric_family(text, "lockstep_queue_waiting", LS_METRIC_GAUGE,
                     "Jobs that could run now, by lane.");
    for (size_t i = 0; i < snapshot->queue_count; i++) {
        const struct ls_queue_view *view = &snapshot->queues[i];

        if (!view->known)
            continue;
        ls_metric_sample(text, LS_LABELS({"queue", view->name}, {"lane", "high"}),
                         (double)view->stat.pending_high);
        ls_metric_sample(text, LS_LABELS({"queue", view->name}, {"lane", "normal"}),
                         (double)view->stat.pending);
        ls_metric_sample(text, LS_LABELS({"queue", view->name}, {"lane", "low"}),
                         (double)view->stat.pending_low);
    }
}

/* Of the admin process itself, under the names that everybody's dashboards know. */
static void put_process(struct ls_metric_text *text)
{
    char statm[128] = "";
    struct rusage usage;
    long pages = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        if (read(fd, statm, sizeof statm - 1) > 0 && sscanf(statm, "%*d %ld", &pages) != 1)
            pages = 0;
        close(fd);
    }
    getrusage(RUSAGE_SELF, &usage);
    ls_metric_family(text, "process_resident_memory_bytes", LS_METRIC_GAUGE,
                     "Resident memory of the admin process.");
    ls_metric_sample(text, NULL, (double)pages * (double)sysconf(_SC_PAGESIZE));
    ls_metric_family(text, "process_cpu_seconds_total", LS_METRIC_COUNTER,
                     "CPU time of the admin process.");
    ls_metric_sample(text, NULL,
                     (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}
