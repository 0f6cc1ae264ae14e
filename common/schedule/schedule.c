#include "common/schedule/schedule.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/job/envelope.h"

#define GC_MS (24 * 3600000LL)

static void add_sync(struct ls_schedules *schedules, const struct ls_config *config,
                     const struct ls_config_sync *sync);
static int add_configured(struct ls_schedules *schedules, const struct ls_config *config,
                          const struct ls_config_schedule *from, struct ls_err *err);
static struct ls_schedule *add(struct ls_schedules *schedules, const char *what, const char *name);
static const char *queue_of(const struct ls_config *config, const char *account);

int ls_schedules_make(struct ls_schedules *schedules, const struct ls_config *config,
                      struct ls_err *err)
{
    *schedules = (struct ls_schedules){0};
    schedules->items =
        ls_xcalloc(2 * config->sync_count + config->schedule_count + 1, sizeof *schedules->items);
    for (size_t i = 0; i < config->sync_count; i++)
        add_sync(schedules, config, &config->syncs[i]);
    if (config->store && config->sync_count > 0) {
        struct ls_schedule *gc = add(schedules, "gc", "store");

        gc->pace.every_ms = GC_MS;
        gc->kind = "gc";
        gc->key = ls_xstrdup("gc");
        gc->data = ls_xstrdup("{}");
        ls_pace_spec(&gc->pace, NULL, gc->spec);
    }
    for (size_t i = 0; i < config->schedule_count; i++) {
        if (add_configured(schedules, config, &config->schedules[i], err) < 0)
            return -1;
    }
    return 0;
}

void ls_schedules_fini(struct ls_schedules *schedules)
{
    for (size_t i = 0; i < schedules->count; i++) {
        struct ls_schedule *schedule = &schedules->items[i];

        ls_pace_fini(&schedule->pace);
        free(schedule->name);
        free(schedule->stem);
        free(schedule->key);
        free(schedule->data);
    }
    free(schedules->items);
    *schedules = (struct ls_schedules){0};
}

const struct ls_schedule *ls_schedules_find(const struct ls_schedules *schedules, const char *name)
{
    for (size_t i = 0; i < schedules->count; i++) {
        if (strcmp(schedules->items[i].name, name) == 0)
            return &schedules->items[i];
    }
    return NULL;
}

void ls_schedule_job(const struct ls_schedule *schedule, const char *id, struct ls_buf *out)
{
    const struct ls_envelope envelope = {
        .account = ls_span_of(schedule->account),
        .id = ls_span_of(id),
        .key = ls_span_of(schedule->key),
        .kind = ls_span_of(schedule->kind),
        .data = ls_span_of(schedule->data),
        .lane = schedule->lane,
    };

    ls_envelope_write(out, &envelope);
}

char *ls_schedule_shown(const struct ls_schedule *schedule)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    int64_t every_ms = schedule->pace.every_ms;
    size_t u = 0;

    if (schedule->cron)
        return ls_xstrdup(schedule->cron);
    while (every_ms % units[u].ms)
        u++;
    return ls_xasprintf("every %lld%s", (long long)(every_ms / units[u].ms), units[u].unit);
}

/* Both kinds of round are jobs of kind delta, but with keys of their own: one must not replace the
 * other. */
static void add_sync(struct ls_schedules *schedules, const struct ls_config *config,
                     const struct ls_config_sync *sync)
{
    const struct {
        const char *what, *more;
        int64_t every_ms;
    } rounds[] = {{"delta", "", sync->every_ms}, {"scan", ",\"scan\":\"stock\"", sync->scan_ms}};

    for (size_t i = 0; i < LS_COUNT(rounds); i++) {
        struct ls_schedule *schedule;

        if (rounds[i].every_ms <= 0 || !sync->account)
            continue;
        schedule = add(schedules, rounds[i].what, sync->name);
        schedule->pace.every_ms = rounds[i].every_ms;
        schedule->kind = "delta";
        schedule->account = sync->account;
        schedule->queue = queue_of(config, sync->account);
        schedule->key = ls_xasprintf("%s/%s/%s", sync->account, rounds[i].what, sync->name);
        schedule->data = ls_xasprintf("{\"sync\":\"%s\"%s}", sync->name, rounds[i].more);
        ls_pace_spec(&schedule->pace, NULL, schedule->spec);
    }
}

static int add_configured(struct ls_schedules *schedules, const struct ls_config *config,
                          const struct ls_config_schedule *from, struct ls_err *err)
{
    struct ls_schedule *schedule = add(schedules, NULL, from->name);

    schedule->at_once = false;
    schedule->enabled = from->enabled;
    schedule->catch_up = (enum ls_config_catch_up)from->catch_up;
    schedule->kind = from->kind;
    schedule->account = from->account;
    schedule->queue = from->queue ? from->queue : queue_of(config, from->account);
    schedule->key = ls_xstrdup(from->key);
    schedule->data = ls_xstrdup(from->data);
    if (from->priority)
        ls_lane_parse(ls_span_of(from->priority), &schedule->lane);
    if (!from->cron && from->every_ms <= 0) /* a `${...}` that is not there, read leniently */
        return ls_fail(err, LS_E_CONFIG, "schedule '%s' has neither 'cron' nor 'every'",
                       from->name);
    if (from->cron) {
        schedule->cron = from->cron;
        schedule->zone = from->zone ? from->zone : "UTC";
        if (ls_pace_cron(&schedule->pace, schedule->cron, schedule->zone, err) < 0)
            return ls_wrap(err, "schedule '%s'", from->name);
    } else {
        schedule->pace.every_ms = from->every_ms;
    }
    ls_pace_spec(&schedule->pace, schedule->zone, schedule->spec);
    return 0;
}

/* One of our own, but for what it says. */
static struct ls_schedule *add(struct ls_schedules *schedules, const char *what, const char *name)
{
    struct ls_schedule *schedule = &schedules->items[schedules->count++];

    schedule->name = what ? ls_xasprintf("%s/%s", what, name) : ls_xstrdup(name);
    schedule->stem = what ? ls_xasprintf("%s-%s", what, name) : ls_xstrdup(name);
    schedule->queue = "default";
    schedule->at_once = schedule->enabled = true;
    return schedule;
}

static const char *queue_of(const struct ls_config *config, const char *account)
{
    const struct ls_config_account *found =
        account ? ls_config_account_find(config, account) : NULL;

    return found ? found->queue : "default";
}
