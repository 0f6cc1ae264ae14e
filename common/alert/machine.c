#include "common/alert/machine.h"

#include <string.h>

static const char *const names[LS_ALERT_STATE_COUNT] = {"ok", "pending", "firing", "clearing"};

static void enter(struct ls_alert *alert, enum ls_alert_state state, int64_t now_ms);
static void fire(struct ls_alert *alert, const struct ls_alert_timing *timing, int64_t now_ms);
static enum ls_alert_action clear(struct ls_alert *alert, const struct ls_alert_timing *timing,
                                  int64_t now_ms);
static enum ls_alert_action notice(const struct ls_alert *alert,
                                   const struct ls_alert_timing *timing, int64_t now_ms);

enum ls_alert_action ls_alert_step(struct ls_alert *alert, const struct ls_alert_timing *timing,
                                   enum ls_alert_level level, int64_t events, int64_t now_ms)
{
    bool high = level == LS_LEVEL_HIGH,
         below = level == LS_LEVEL_BELOW || level == LS_LEVEL_UNKNOWN;

    if (alert->since_ms >
        now_ms) /* the wall clock went back: waiting for it to return would silence the alert */
        alert->since_ms = now_ms;
    if (alert->notified_ms > now_ms)
        alert->notified_ms = now_ms;
    alert->count += events;
    switch (alert->state) {
    case LS_ALERT_OK:
        if (!high)
            return LS_ALERT_NOTHING;
        enter(alert, LS_ALERT_PENDING, now_ms);
        /* fall through */
    case LS_ALERT_PENDING:
        if (!high) {
            enter(alert, LS_ALERT_OK, now_ms);
            return LS_ALERT_NOTHING;
        }
        if (now_ms - alert->since_ms < timing->fire_for_ms)
            return LS_ALERT_NOTHING;
        fire(alert, timing, now_ms);
        return notice(alert, timing, now_ms);
    case LS_ALERT_FIRING:
        if (below)
            enter(alert, LS_ALERT_CLEARING, now_ms);
        break;
    case LS_ALERT_CLEARING:
        if (!below)
            enter(alert, LS_ALERT_FIRING, now_ms);
        break;
    default:
        enter(alert, LS_ALERT_OK, now_ms);
        return LS_ALERT_NOTHING;
    }
    if (alert->state == LS_ALERT_CLEARING && now_ms - alert->since_ms >= timing->clear_for_ms &&
        notice(alert, timing, now_ms) == LS_ALERT_NOTHING && !(timing->events && alert->count))
        return clear(alert, timing, now_ms);
    return notice(alert, timing, now_ms);
}

void ls_alert_notified(struct ls_alert *alert, int64_t now_ms)
{
    alert->notified_ms = now_ms;
    alert->count = 0;
    alert->told = true;
}

const char *ls_alert_state_name(enum ls_alert_state state)
{
    return state < LS_ALERT_STATE_COUNT ? names[state] : names[LS_ALERT_OK];
}

enum ls_alert_state ls_alert_state_parse(const char *name)
{
    for (int i = 0; name && i < LS_ALERT_STATE_COUNT; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum ls_alert_state)i;
    return LS_ALERT_OK;
}

static void enter(struct ls_alert *alert, enum ls_alert_state state, int64_t now_ms)
{
    alert->state = state;
    alert->since_ms = now_ms;
}

static void fire(struct ls_alert *alert, const struct ls_alert_timing *timing, int64_t now_ms)
{
    enter(alert, LS_ALERT_FIRING, now_ms);
    alert->fired_ms = now_ms;
    alert->told = false;
    if (!timing->events)
        alert->count++;
}

static enum ls_alert_action clear(struct ls_alert *alert, const struct ls_alert_timing *timing,
                                  int64_t now_ms)
{
    bool told = alert->told;

    if (!timing->events && !told) {
        /* It came and went within the cooldown: the next notice will count it. */
        enter(alert, LS_ALERT_OK, now_ms);
        return LS_ALERT_NOTHING;
    }
    enter(alert, LS_ALERT_OK, now_ms);
    alert->told = false;
    return timing->events ? LS_ALERT_NOTHING : LS_ALERT_RESOLVE;
}

static enum ls_alert_action notice(const struct ls_alert *alert,
                                   const struct ls_alert_timing *timing, int64_t now_ms)
{
    if (alert->count == 0 || (alert->told && !timing->events))
        return LS_ALERT_NOTHING;
    if (alert->notified_ms && now_ms - alert->notified_ms < timing->cooldown_ms)
        return LS_ALERT_NOTHING;
    return LS_ALERT_NOTIFY;
}
