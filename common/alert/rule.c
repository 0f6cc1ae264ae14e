#include "common/alert/rule.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"

#define HOUR_MS (60 * 60 * 1000)

static const char *const types[LS_RULE_COUNT] = {"high_error_rate", "slow_sync", "stale_data",
                                                 "sync_retry_exhausted"};

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
    default: /* stale_data is its own long wait, and one sync is proof of the contrary */
        break;
    }
    return timing;
}

static enum ls_alert_level between(double value, double fire, double clear)
{
    return value > fire ? LS_LEVEL_HIGH : value <= clear ? LS_LEVEL_BELOW : LS_LEVEL_BETWEEN;
}
