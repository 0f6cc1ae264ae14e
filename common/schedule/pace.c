#include "common/schedule/pace.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/time/civil.h"

int ls_pace_cron(struct ls_pace *pace, const char *expression, const char *zone, struct ls_err *err)
{
    *pace = (struct ls_pace){0};
    if (ls_cron_expr_parse(&pace->expr, expression, err) < 0)
        return -1;
    pace->zone = ls_zone_open(zone, err);
    return pace->zone ? 0 : -1;
}

void ls_pace_fini(struct ls_pace *pace)
{
    ls_zone_free(pace->zone);
    *pace = (struct ls_pace){0};
}

int64_t ls_pace_next(const struct ls_pace *pace, int64_t after_ms)
{
    if (pace->every_ms)
        return (ls_floor_div(after_ms, pace->every_ms) + 1) * pace->every_ms;
    return ls_cron_expr_next(&pace->expr, pace->zone, after_ms > 0 ? after_ms : 0);
}

/* By halving: each question either finds a newer tick or halves what is left. */
int64_t ls_pace_newest(const struct ls_pace *pace, int64_t after_ms, int64_t until_ms)
{
    int64_t newest = -1;

    if (pace->every_ms) {
        newest = ls_floor_div(until_ms, pace->every_ms) * pace->every_ms;
        return newest > after_ms ? newest : -1;
    }
    while (after_ms < until_ms) {
        int64_t middle = newest < 0 ? after_ms : after_ms + (until_ms - after_ms) / 2;
        int64_t tick = ls_pace_next(pace, middle);

        if (tick >= 0 && tick <= until_ms)
            newest = after_ms = tick;
        else if (newest < 0)
            return -1; /* there is not even a first one */
        else
            until_ms = middle;
    }
    return newest;
}

const char *ls_pace_spec(const struct ls_pace *pace, const char *zone, char out[LS_PACE_SPEC_SIZE])
{
    const struct ls_cron_expr *expr = &pace->expr;
    char text[256], hex[LS_SHA256_HEX_SIZE];

    if (pace->every_ms)
        snprintf(text, sizeof text, "every %" PRId64, pace->every_ms);
    else
        snprintf(text, sizeof text, "cron %s %" PRIx64 " %x %x %x %x %d %d", zone, expr->minutes,
                 expr->hours, expr->days, expr->months, expr->weekdays, expr->either_day,
                 expr->interval);
    ls_sha256_hex(text, strlen(text), hex);
    snprintf(out, LS_PACE_SPEC_SIZE, "%.16s", hex);
    return out;
}
