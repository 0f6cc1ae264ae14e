#include "common/alert/rule.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"

#define HOUR_MS (60 * 60 * 1000)

static const char *const types[LS_RULE_COUNT] = {
    "high_error_rate",      "slow_sync", "stale_data", "dead_full",
    "sync_retry_exhausted", "dead_rate", "dead_age"};

static enum ls_alert_level between(double value, double fire, double clear);

const char *ls_rule_type(enum ls_rule rule)
{
    return types[rule];
}

int ls_rule_parse(const char *type)
{
    for (int i = 0; i < LS_RULE_COUNT; i++)
        if (strcmp(types[i], type) == 0)
            return i;
    return -1;
}

void ls_rule_error_rate(const struct ls_rule_limits *limits, const struct ls_rule_window *window,
                        struct ls_finding *out)
{
    int64_t total = window->ok + window->failed;
    char length[32];

    memset(out, 0, sizeof *out);
    if (total <= 0 || total < limits->min_samples)
        return;
    out->value = (double)window->failed / (double)total;
    out->level = between(out->value, limits->error_rate, limits->error_rate / 2);
    snprintf(out->details, sizeof out->details, "%lld failures out of %lld syncs in the last %s",
             (long long)window->failed, (long long)total,
             ls_duration_format(length, sizeof length, limits->window_ms));
}

void ls_rule_slow(const struct ls_rule_limits *limits, const struct ls_rule_window *window,
                  struct ls_finding *out)
{
    int64_t total = window->ok + window->failed;
    char length[32];

    memset(out, 0, sizeof *out);
    if (total <= 0 || total < limits->min_samples)
        return;
    out->value = (double)window->total_ms / (double)total;
    out->level = between(out->value, (double)limits->slow_ms, (double)limits->slow_ms * 0.8);
    snprintf(out->details, sizeof out->details,
             "Average sync latency: %.0fms over %lld syncs in the last %s", out->value,
             (long long)total, ls_duration_format(length, sizeof length, limits->window_ms));
}

void ls_rule_stale(const struct ls_rule_limits *limits, int64_t last_ms, int64_t now_ms,
                   struct ls_finding *out)
{
    char silence[32];

    memset(out, 0, sizeof *out);
    if (!last_ms)
        return;
    out->value = now_ms > last_ms ? (double)(now_ms - last_ms) : 0;
    out->level = out->value > (double)limits->stale_ms ? LS_LEVEL_HIGH : LS_LEVEL_BELOW;
    snprintf(out->details, sizeof out->details, "No sync in %s",
             ls_duration_format(silence, sizeof silence, (int64_t)out->value));
}

void ls_rule_dead_full(int64_t dead, int64_t max, struct ls_finding *out)
{
    memset(out, 0, sizeof *out);
    out->value = (double)dead;
    out->level = max > 0 && dead >= max ? LS_LEVEL_HIGH : LS_LEVEL_BELOW;
    if (max > 0)
        snprintf(out->details, sizeof out->details,
                 "%lld dead jobs, %lld are allowed: nothing more is claimed until some of them are "
                 "retried or discarded",
                 (long long)dead, (long long)max);
    if (max > 0 && dead < max)
        snprintf(out->details, sizeof out->details,
                 "%lld dead jobs, %lld are allowed: jobs are claimed again", (long long)dead,
                 (long long)max);
}

void ls_rule_dead_rate(const struct ls_rule_limits *limits, int64_t grown, struct ls_finding *out)
{
    char length[32];

    memset(out, 0, sizeof *out);
    out->value = (double)grown;
    out->level = LS_LEVEL_BELOW;
    if (!limits->dead_rate)
        return;
    if (grown > 0)
        out->level = grown >= limits->dead_rate       ? LS_LEVEL_HIGH
                     : grown <= limits->dead_rate / 2 ? LS_LEVEL_BELOW
                                                      : LS_LEVEL_BETWEEN;
    snprintf(out->details, sizeof out->details, "%lld jobs of one group died in the last %s",
             (long long)grown, ls_duration_format(length, sizeof length, limits->window_ms));
}

void ls_rule_dead_age(const struct ls_rule_limits *limits, int64_t count, int64_t first_ms,
                      int64_t now_ms, struct ls_finding *out)
{
    int64_t age = count > 0 && now_ms > first_ms ? now_ms - first_ms : 0;
    char text[32];

    memset(out, 0, sizeof *out);
    out->value = (double)age;
    out->level = limits->dead_age_ms && age > limits->dead_age_ms ? LS_LEVEL_HIGH : LS_LEVEL_BELOW;
    if (count > 0)
        snprintf(out->details, sizeof out->details,
                 "the oldest of %lld dead jobs of one group has waited %s for somebody to decide",
                 (long long)count, ls_duration_format(text, sizeof text, age));
    else
        snprintf(out->details, sizeof out->details, "no job of the group is dead any more");
}

struct ls_alert_timing ls_rule_timing(enum ls_rule rule, const struct ls_rule_limits *limits)
{
    struct ls_alert_timing timing = {.cooldown_ms = limits->cooldown_ms};

    switch (rule) {
    case LS_RULE_HIGH_ERROR_RATE:
    case LS_RULE_SLOW_SYNC:
        /* The window smooths already; a little more so that one bad minute at its edge is not a
         * page. */
        timing.fire_for_ms = limits->window_ms / 5 < 60000 ? limits->window_ms / 5 : 60000;
        timing.clear_for_ms = limits->window_ms;
        break;
    case LS_RULE_RETRY_EXHAUSTED:
        timing.events = true;
        timing.clear_for_ms = limits->cooldown_ms > HOUR_MS ? limits->cooldown_ms : HOUR_MS;
        break;
    case LS_RULE_DEAD_RATE: /* the window smooths already */
        timing.clear_for_ms = limits->window_ms;
        break;
    default: /* stale_data and dead_age are their own long waits; dead_full is a fact. One look is
                proof of the contrary */
        break;
    }
    return timing;
}

static enum ls_alert_level between(double value, double fire, double clear)
{
    return value > fire ? LS_LEVEL_HIGH : value <= clear ? LS_LEVEL_BELOW : LS_LEVEL_BETWEEN;
}
