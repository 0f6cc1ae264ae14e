/* A cron expression: when, by the clock on the wall. Five fields, "minute hour day month weekday":
 *
 *   minute 0-59   hour 0-23   day 1-31   month 1-12 or jan-dec   weekday 0-7 or mon-sun, 0 and 7 are
 *   Sunday; each is a list of `*`, a number, a range `a-b`, or one of the first and last with a step
 *   `/n`. Or one word: @hourly @daily @midnight @weekly @monthly @yearly @annually
 *
 * Day and weekday: when neither begins with `*`, a day that matches one of them will do; otherwise it
 * must match both.
 *
 * When the clocks change, as Vixie cron has it:
 *   - An expression whose minute and hour both do not begin with `*` names points of the day: each
 *     fires once. One that does not exist that day (spring) fires at the moment the gap ends, several
 *     in one gap together; one that comes twice (autumn) fires the first time.
 *   - Any other expression names an interval and goes on in real time: it fires in every minute whose
 *     local time matches; when that comes twice, then twice. If something in a gap would have matched
 *     and nothing does within as much time behind it as was skipped, the end of the gap fires in its
 *     stead: of "every second hour" none is left out when 2 o'clock does not exist. */
#ifndef LS_TIME_CRON_EXPR_H
#define LS_TIME_CRON_EXPR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/time/zone.h"

#define LS_CRON_EXPR_MAX 200 /* bytes of text */
/* The end of time for expressions: the last moment of the year 9999. */
#define LS_CRON_EXPR_END_MS INT64_C(253402300799999)

/* A value; bit n of a mask stands for n. Equal values are equal expressions. */
struct ls_cron_expr {
    uint64_t minutes;
    uint32_t hours, days, months, weekdays; /* weekdays: bit 0 is Sunday, bit 7 is not used */
    bool either_day; /* day and weekday are both restricted: one of them is enough */
    bool interval;   /* the minute or the hour begins with `*` */
};

/* 0; -1 with LS_E_INVALID that names the field and its range in the hint. An expression that never
 * fires (February 30) is refused too. */
int ls_cron_expr_parse(struct ls_cron_expr *expr, const char *text, struct ls_err *err);

/* The first tick strictly after after_ms, ms since 1970 (not negative); -1: none before the year
 * 10000. O(fields), not O(minutes): days that cannot match are skipped by months. */
int64_t ls_cron_expr_next(const struct ls_cron_expr *expr, const struct ls_zone *zone,
                          int64_t after_ms);

#endif
