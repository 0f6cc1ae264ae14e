#include "common/schedule/plan.h"

static struct ls_plan plan_last(const struct ls_pace *pace, int64_t settled, int64_t ms);
static struct ls_plan plan_all(const struct ls_pace *pace, int64_t settled, int64_t ms);
static struct ls_plan plan_skip(const struct ls_pace *pace, int64_t settled, int64_t ms);

struct ls_plan ls_plan_make(const struct ls_pace *pace, enum ls_config_catch_up catch_up,
                            int64_t settled, int64_t ms)
{
    struct ls_plan plan = {.tick = ls_pace_next(pace, settled), .left_out = -1};

    if (plan.tick >= 0 && plan.tick <= ms) {
        switch (catch_up) {
        case LS_CONFIG_CATCH_UP_LAST:
            plan = plan_last(pace, settled, ms);
            break;
        case LS_CONFIG_CATCH_UP_ALL:
            plan = plan_all(pace, settled, ms);
            break;
        case LS_CONFIG_CATCH_UP_SKIP:
            plan = plan_skip(pace, settled, ms);
            break;
        }
        if (settled < 0)
            plan.left_out = -1; /* a beginning, not a downtime */
    } else if (catch_up == LS_CONFIG_CATCH_UP_SKIP && plan.tick >= 0) {
        plan.stale_ms = plan.tick + LS_PLAN_LATE_MS + 1;
    } else if (catch_up == LS_CONFIG_CATCH_UP_LAST && plan.tick >= 0) {
        plan.stale_ms = ls_pace_next(pace, plan.tick);
    }
    if (plan.stale_ms < 0)
        plan.stale_ms = 0; /* there is no other tick */
    if (plan.tick > ms)
        plan.wait_ms = plan.tick - ms;
    return plan;
}

static struct ls_plan plan_last(const struct ls_pace *pace, int64_t settled, int64_t ms)
{
    struct ls_plan plan = {.tick = ls_pace_newest(pace, settled, ms)};
    int64_t first = ls_pace_next(pace, settled);

    plan.stale_ms = ls_pace_next(pace, plan.tick);
    plan.left_out = first < plan.tick ? first : -1;
    return plan;
}

static struct ls_plan plan_all(const struct ls_pace *pace, int64_t settled, int64_t ms)
{
    int64_t oldest = ms - LS_PLAN_OLDEST_MS, newest[LS_PLAN_ALL_MAX], count = 0, first;

    if (settled < oldest && ls_pace_newest(pace, oldest, ms) >= 0)
        settled = oldest;
    first = ls_pace_next(pace, settled);
    if (pace->every_ms) { /* might be millions: counted, not walked */
        count = (ls_pace_newest(pace, settled, ms) - first) / pace->every_ms + 1;
        newest[count % LS_PLAN_ALL_MAX] = first + (count - LS_PLAN_ALL_MAX) * pace->every_ms;
    } else {
        for (int64_t tick = first; tick >= 0 && tick <= ms; tick = ls_pace_next(pace, tick))
            newest[count++ % LS_PLAN_ALL_MAX] = tick; /* a ring */
    }
    if (count <= LS_PLAN_ALL_MAX)
        return (struct ls_plan){.tick = first, .left_out = -1};
    return (struct ls_plan){.tick = newest[count % LS_PLAN_ALL_MAX],
                            .left_out = first,
                            .dropped = count - LS_PLAN_ALL_MAX};
}

static struct ls_plan plan_skip(const struct ls_pace *pace, int64_t settled, int64_t ms)
{
    int64_t first = ls_pace_next(pace, settled), since = ms - LS_PLAN_LATE_MS - 1;
    struct ls_plan plan = {.tick = first, .left_out = -1};

    if (settled < since) {
        plan.tick = ls_pace_next(pace, since);
        plan.left_out = plan.tick == first ? -1 : first;
    }
    if (plan.tick >= 0)
        plan.stale_ms = plan.tick + LS_PLAN_LATE_MS + 1;
    return plan;
}
