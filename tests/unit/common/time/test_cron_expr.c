#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/time/civil.h"
#include "common/time/cron_expr.h"

#define MINUTE_S 60

static uint64_t seed = 0x5eed;

static uint64_t below(uint64_t bound)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % bound;
}

static struct ls_zone *zone_named(const char *name)
{
    struct ls_err err = LS_ERR_INIT;
    struct ls_zone *zone = ls_zone_open(name, &err);

    if (!zone && err.code == LS_E_UNSUPPORTED)
        skip();
    if (!zone)
        fail_msg("%s", err.text);
    return zone;
}

static struct ls_cron_expr expr_of(const char *text)
{
    struct ls_cron_expr expr;
    struct ls_err err = LS_ERR_INIT;

    if (ls_cron_expr_parse(&expr, text, &err) < 0)
        fail_msg("'%s': %s (%s)", text, err.text, err.hint);
    return expr;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool same(const char *a, const char *b)
{
    struct ls_cron_expr first = expr_of(a), second = expr_of(b);

    return first.minutes == second.minutes && first.hours == second.hours &&
           first.days == second.days && first.months == second.months &&
           first.weekdays == second.weekdays && first.either_day == second.either_day &&
           first.interval == second.interval;
}

static void parse__every_form__means_what_cron_means(void **state)
{
    struct ls_cron_expr expr = expr_of("*/15 0,6-8,20-23/2 1,15 jan,MAR-may 1-5");

    assert_true(expr.minutes == (1 | 1ull << 15 | 1ull << 30 | 1ull << 45));
    assert_int_equal(expr.hours, 1 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 20 | 1 << 22);
    assert_int_equal(expr.days, 1 << 1 | 1 << 15);
    assert_int_equal(expr.months, 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5);
    assert_int_equal(expr.weekdays, 0x3e);
    assert_true(expr.either_day);
    assert_true(expr.interval);
    assert_true(expr_of("0 * * * *").interval);
    assert_false(expr_of("0 0-23 * * *").interval);
    assert_false(expr_of("0 0 1 * *").either_day);
    assert_false(expr_of("0 0 * * 1").either_day);
    assert_false(expr_of("0 0 */2 * 1").either_day); /* begins with a star: not restricted */
    assert_true(same("0 0 * * 0", "0 0 * * 7"));
    assert_true(same("0 0 * * sun", "0 0 * * SUN"));
    assert_true(same("0 0 * * fri-sun", "0 0 * * 5,6,0"));
    assert_true(same("0 0 * * sun-tue", "0 0 * * 0-2"));
    assert_true(same("0 0 * * */7", "0 0 * * */7"));
    assert_int_equal(expr_of("0 0 * * */2").weekdays, 1 | 1 << 2 | 1 << 4 | 1 << 6);
    assert_true(same("  5\t4  * * *  ", "5 4 * * *"));
    assert_true(same("05 04 * * *", "5 4 * * *"));
    assert_true(same("@hourly", "0 * * * *"));
    assert_true(same("@daily", "0 0 * * *"));
    assert_true(same("@Midnight", "0 0 * * *"));
    assert_true(same("@weekly", "0 0 * * 0"));
    assert_true(same("@monthly", "0 0 1 * *"));
    assert_true(same("@yearly", "0 0 1 1 *"));
    assert_true(same(" @annually ", "0 0 1 1 *"));
    expr_of("0 0 29 2 *");
    expr_of("0 0 31 4 mon"); /* or on a Monday: that comes */
    expr_of("0 0 31 4,5 *");
}

static void parse__what_is_wrong__is_named_with_its_range(void **state)
{
    static const struct {
        const char *text, *message, *hint;
    } bad[] = {
        {"", "a cron expression has five fields, not 0", "minute, hour"},
        {"* * * *", "a cron expression has five fields, not 4", "minute, hour"},
        {"0 0 3 * * 1", "a cron expression has five fields, not 6", "no seconds"},
        {"60 * * * *", "the minute cannot be '60'", "0 to 59"},
        {"-1 * * * *", "the minute cannot be '-1'", "0 to 59"},
        {"0 24 * * *", "the hour cannot be '24'", "0 to 23"},
        {"0 0 0 * *", "the day of month cannot be '0'", "1 to 31"},
        {"0 0 32 * *", "the day of month cannot be '32'", "1 to 31"},
        {"0 0 * 13 *", "the month cannot be '13'", "1 to 12 or jan to dec"},
        {"0 0 * janu *", "the month cannot be 'janu'", "jan to dec"},
        {"0 0 * * 8", "the day of week cannot be '8'", "0 to 7 or mon to sun"},
        {"0 0 * * monday", "the day of week cannot be 'monday'", "mon to sun"},
        {"0 0 L * *", "the day of month cannot be 'L'", "1 to 31"},
        {"0 0 ? * *", "the day of month cannot be '?'", "1 to 31"},
        {"mon 0 * * *", "the minute cannot be 'mon'", "0 to 59"},
        {"0 22-2 * * *", "the hour cannot go backwards from '22-2'", "two ranges"},
        {"0 0 * * sat-mon", "the day of week cannot go backwards from 'sat-mon'", "two ranges"},
        {"*/0 * * * *", "the minute cannot go in steps of '0'", "1 to 59"},
        {"*/60 * * * *", "the minute cannot go in steps of '60'", "1 to 59"},
        {"*/x * * * *", "the minute cannot go in steps of 'x'", "1 to 59"},
        {"*/ * * * *", "the minute cannot go in steps of ''", "1 to 59"},
        {"5/10 * * * *", "the minute has a step without a range: '5/10'", "'5-59/10'"},
        {"1,,2 * * * *", "the minute cannot be ''", "0 to 59"},
        {"1, * * * *", "the minute cannot be ''", "0 to 59"},
        {"1- * * * *", "the minute cannot be ''", "0 to 59"},
        {"1-2-3 * * * *", "the minute cannot be '2-3'", "0 to 59"},
        {"** * * * *", "the minute cannot be '**'", "0 to 59"},
        {"1.5 * * * *", "the minute cannot be '1.5'", "0 to 59"},
        {"0000 * * * *", "the minute cannot be '0000'", "0 to 59"},
        {"99999999999999999999 * * * *", "the minute cannot be '99999999999999999999'", "0 to 59"},
        {"0 0 30 2 *", "this schedule never fires", "such a day"},
        {"0 0 31 2,4,6,9,11 *", "this schedule never fires", "such a day"},
        {"0 0 30-31 feb */2", "this schedule never fires", "such a day"},
        {"@reboot", "there is no '@reboot'", "@hourly"},
        {"@every 5m", "there is no '@every 5m'", "every: 5m"},
    };
    char longest[LS_CRON_EXPR_MAX + 10];
    struct ls_cron_expr expr;
    struct ls_err err;

    for (size_t i = 0; i < LS_COUNT(bad); i++) {
        err = (struct ls_err)LS_ERR_INIT;
        if (ls_cron_expr_parse(&expr, bad[i].text, &err) == 0)
            fail_msg("read: '%s'", bad[i].text);
        assert_int_equal(err.code, LS_E_INVALID);
        assert_string_equal(err.text, bad[i].message);
        if (!strstr(err.hint, bad[i].hint))
            fail_msg("'%s': hint '%s'", bad[i].text, err.hint);
    }
    memset(longest, '1', sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(ls_cron_expr_parse(&expr, longest, &err), -1);
    assert_string_equal(err.text, "a cron expression has at most 200 characters");
}

static void parse__any_bytes__never_crash(void **state)
{
    static const char bytes[] = "0123456789*/-, \tjanmonsun@?L";

    for (int round = 0; round < 200000; round++) {
        char text[40];
        size_t length = below(sizeof text - 1);
        struct ls_cron_expr expr;

        for (size_t i = 0; i < length; i++)
            text[i] = bytes[below(sizeof bytes - 1)];
        text[length] = 0;
        if (ls_cron_expr_parse(&expr, text, NULL) == 0) {
            assert_true(expr.minutes && expr.hours && expr.days && expr.months && expr.weekdays);
            assert_true(!(expr.minutes >> 60) && !(expr.hours >> 24) && !(expr.weekdays >> 7));
        }
    }
}

/* ---- the next tick --------------------------------------------------------------------------- */

/* "2026-03-29T03:00:00+02:00", the first `count` ticks behind a moment, joined by a blank. */
static const char *ticks(const char *text, const char *zone_name, int64_t after_s, int count)
{
    static char out[1000];
    struct ls_cron_expr expr = expr_of(text);
    struct ls_zone *zone = zone_named(zone_name);
    int64_t ms = after_s * 1000;
    char one[LS_ZONE_TEXT_SIZE];

    out[0] = 0;
    for (int i = 0; i < count; i++) {
        ms = ls_cron_expr_next(&expr, zone, ms);
        if (ms < 0)
            break;
        snprintf(out + strlen(out), sizeof out - strlen(out), "%s%s", i ? " " : "",
                 ls_zone_format(zone, ms, one));
    }
    ls_zone_free(zone);
    return out;
}

static int64_t utc(int64_t year, int month, int day, int hour, int minute)
{
    return ls_civil_days(year, month, day) * LS_DAY_S + hour * 3600 + minute * 60;
}

static void next__plain_days__come_in_their_order(void **state)
{
    assert_string_equal(ticks("0 3 * * 1-5", "UTC", utc(2026, 11, 27, 3, 0), 2),
                        "2026-11-30T03:00:00+00:00 2026-12-01T03:00:00+00:00");
    assert_string_equal(ticks("30 6 1 * *", "Asia/Kathmandu", utc(2026, 12, 31, 0, 0), 2),
                        "2027-01-01T06:30:00+05:45 2027-02-01T06:30:00+05:45");
    assert_string_equal(ticks("0 0 29 2 *", "UTC", utc(2096, 3, 1, 0, 0), 2),
                        "2104-02-29T00:00:00+00:00 2108-02-29T00:00:00+00:00");
    /* A Sunday that is a leap day: forty years across 2100. */
    assert_string_equal(ticks("0 0 29 2 */7", "UTC", utc(2060, 3, 1, 0, 0), 2),
                        "2088-02-29T00:00:00+00:00 2128-02-29T00:00:00+00:00");
    assert_string_equal(ticks("0 0 13 * fri", "UTC", utc(2026, 2, 1, 0, 0), 4),
                        "2026-02-06T00:00:00+00:00 2026-02-13T00:00:00+00:00 "
                        "2026-02-20T00:00:00+00:00 2026-02-27T00:00:00+00:00");
    assert_string_equal(ticks("* * * * *", "UTC", 59, 2),
                        "1970-01-01T00:01:00+00:00 1970-01-01T00:02:00+00:00");
}

static void next__strictly_after__also_within_the_second(void **state)
{
    struct ls_cron_expr expr = expr_of("* * * * *");
    struct ls_zone *zone = ls_zone_open("UTC", NULL);

    assert_int_equal(ls_cron_expr_next(&expr, zone, 0), 60000);
    assert_int_equal(ls_cron_expr_next(&expr, zone, 59999), 60000);
    assert_int_equal(ls_cron_expr_next(&expr, zone, 60000), 120000);
    assert_int_equal(ls_cron_expr_next(&expr, zone, 60001), 120000);
    assert_int_equal(ls_cron_expr_next(&expr, zone, LS_CRON_EXPR_END_MS), -1);
    assert_int_equal(ls_cron_expr_next(&expr, zone, LS_CRON_EXPR_END_MS - 1), -1);
    ls_zone_free(zone);
}

/* Berlin: 2026-03-29 01:00 UTC, 2:00 becomes 3:00; 2026-10-25 01:00 UTC, 3:00 becomes 2:00. */
static void next__a_fixed_time_in_the_gap__fires_once_when_it_ends(void **state)
{
    int64_t before = utc(2026, 3, 28, 12, 0);

    assert_string_equal(ticks("30 2 * * *", "Europe/Berlin", before, 2),
                        "2026-03-29T03:00:00+02:00 2026-03-30T02:30:00+02:00");
    assert_string_equal(ticks("0,15,30 2 * * *", "Europe/Berlin", before, 2),
                        "2026-03-29T03:00:00+02:00 2026-03-30T02:00:00+02:00");
    assert_string_equal(ticks("0 2,3 * * *", "Europe/Berlin", before, 2),
                        "2026-03-29T03:00:00+02:00 2026-03-30T02:00:00+02:00");
    assert_string_equal(ticks("30 2,3 * * *", "Europe/Berlin", before, 3),
                        "2026-03-29T03:00:00+02:00 2026-03-29T03:30:00+02:00 "
                        "2026-03-30T02:30:00+02:00");
    assert_string_equal(ticks("30 2 29 3 *", "Europe/Berlin", before, 2),
                        "2026-03-29T03:00:00+02:00 2027-03-29T02:30:00+02:00");
    assert_string_equal(ticks("15 2 8 3 *", "America/New_York", utc(2026, 3, 1, 0, 0), 1),
                        "2026-03-08T03:00:00-04:00");
    assert_string_equal(ticks("30 2 * * *", "America/St_Johns", utc(2026, 3, 8, 0, 0), 2),
                        "2026-03-08T03:00:00-02:30 2026-03-09T02:30:00-02:30");
    /* Half an hour: 2:00 becomes 2:30. */
    assert_string_equal(ticks("15 2 * * *", "Australia/Lord_Howe", utc(2026, 10, 3, 0, 0), 2),
                        "2026-10-04T02:30:00+11:00 2026-10-05T02:15:00+11:00");
    /* A whole day that did not exist. */
    assert_string_equal(ticks("0 12 * * *", "Pacific/Apia", utc(2011, 12, 29, 23, 0), 2),
                        "2011-12-31T00:00:00+14:00 2011-12-31T12:00:00+14:00");
}

static void next__a_fixed_time_that_comes_twice__fires_the_first_time(void **state)
{
    int64_t before = utc(2026, 10, 24, 12, 0);

    assert_string_equal(ticks("30 2 * * *", "Europe/Berlin", before, 2),
                        "2026-10-25T02:30:00+02:00 2026-10-26T02:30:00+01:00");
    assert_string_equal(ticks("0,30 2,3 * * *", "Europe/Berlin", before, 4),
                        "2026-10-25T02:00:00+02:00 2026-10-25T02:30:00+02:00 "
                        "2026-10-25T03:00:00+01:00 2026-10-25T03:30:00+01:00");
    /* Also for who asks between the two. */
    assert_string_equal(ticks("30 2 * * *", "Europe/Berlin", utc(2026, 10, 25, 0, 45), 1),
                        "2026-10-26T02:30:00+01:00");
    assert_string_equal(ticks("30 2 * * *", "Europe/Berlin", utc(2026, 10, 25, 1, 15), 1),
                        "2026-10-26T02:30:00+01:00");
    assert_string_equal(ticks("45 1 * * *", "Australia/Lord_Howe", utc(2026, 4, 4, 0, 0), 2),
                        "2026-04-05T01:45:00+11:00 2026-04-06T01:45:00+10:30");
}

static void next__an_interval__goes_on_in_real_time(void **state)
{
    int64_t spring = utc(2026, 3, 29, 0, 0), autumn = utc(2026, 10, 25, 0, 0);

    assert_string_equal(ticks("30 * * * *", "Europe/Berlin", spring, 3),
                        "2026-03-29T01:30:00+01:00 2026-03-29T03:30:00+02:00 "
                        "2026-03-29T04:30:00+02:00");
    assert_string_equal(ticks("*/30 * * * *", "Europe/Berlin", spring + 1800, 2),
                        "2026-03-29T03:00:00+02:00 2026-03-29T03:30:00+02:00");
    assert_string_equal(ticks("30 * * * *", "Europe/Berlin", autumn, 3),
                        "2026-10-25T02:30:00+02:00 2026-10-25T02:30:00+01:00 "
                        "2026-10-25T03:30:00+01:00");
    assert_string_equal(ticks("*/30 2 * * *", "Europe/Berlin", autumn, 5),
                        "2026-10-25T02:30:00+02:00 2026-10-25T02:00:00+01:00 "
                        "2026-10-25T02:30:00+01:00 2026-10-26T02:00:00+01:00 "
                        "2026-10-26T02:30:00+01:00");
    /* Nothing of it would be left that day: the end of the gap stands in. */
    assert_string_equal(ticks("0 */2 * * *", "Europe/Berlin", spring, 2),
                        "2026-03-29T03:00:00+02:00 2026-03-29T04:00:00+02:00");
    assert_string_equal(ticks("*/20 2 * * *", "Europe/Berlin", spring, 2),
                        "2026-03-29T03:00:00+02:00 2026-03-30T02:00:00+02:00");
    assert_string_equal(ticks("15 * * * *", "Australia/Lord_Howe", utc(2026, 10, 3, 14, 0), 3),
                        "2026-10-04T01:15:00+10:30 2026-10-04T02:30:00+11:00 "
                        "2026-10-04T03:15:00+11:00");
    assert_string_equal(ticks("0 * * * *", "Australia/Lord_Howe", utc(2026, 4, 4, 13, 30), 3),
                        "2026-04-05T01:00:00+11:00 2026-04-05T02:00:00+10:30 "
                        "2026-04-05T03:00:00+10:30");
}

/* ---- against the C library, minute by minute -------------------------------------------------- */

static bool has(uint64_t mask, int bit)
{
    return mask >> bit & 1;
}

/* Does the label (local time counted as if it were UTC) match? */
static bool label_matches(const struct ls_cron_expr *expr, int64_t label_s)
{
    time_t time = (time_t)label_s;
    struct tm tm;
    bool by_date, by_weekday;

    gmtime_r(&time, &tm);
    by_date = has(expr->days, tm.tm_mday);
    by_weekday = has(expr->weekdays, tm.tm_wday);
    return has(expr->minutes, tm.tm_min) && has(expr->hours, tm.tm_hour) &&
           has(expr->months, tm.tm_mon + 1) &&
           (expr->either_day ? by_date || by_weekday : by_date && by_weekday);
}

static int64_t label_of(int64_t utc_s)
{
    time_t time = (time_t)utc_s;
    struct tm tm;

    localtime_r(&time, &tm);
    return utc_s + tm.tm_gmtoff;
}

static bool came_before(int64_t utc_s)
{
    int64_t label_s = label_of(utc_s);

    for (int64_t back = MINUTE_S; back <= 4 * 3600; back += MINUTE_S) {
        if (label_of(utc_s - back) == label_s)
            return true;
    }
    return false;
}

/* What stands in the header, for one minute of real time. */
static bool fires_at(const struct ls_cron_expr *expr, int64_t utc_s)
{
    int64_t label_s = label_of(utc_s), expected_s = label_of(utc_s - MINUTE_S) + MINUTE_S;

    if (label_matches(expr, label_s) && (expr->interval || !came_before(utc_s)))
        return true;
    for (int64_t lost_s = expected_s; lost_s < label_s; lost_s += MINUTE_S) {
        if (!label_matches(expr, lost_s))
            continue;
        for (int64_t s = label_s; expr->interval && s < label_s + (label_s - expected_s);
             s += MINUTE_S) {
            if (label_matches(expr, s))
                return false;
        }
        return true;
    }
    return false;
}

static void random_field(struct ls_buf *out, int low, int high, bool may_be_wide)
{
    int first = low + (int)below((uint64_t)(high - low + 1));
    int last = first + (int)below((uint64_t)(high - first + 1));

    switch (below(may_be_wide ? 7 : 5)) {
    case 0:
        ls_buf_printf(out, "%d", first);
        break;
    case 1:
        ls_buf_printf(out, "%d-%d", first, last);
        break;
    case 2:
        ls_buf_printf(out, "%d-%d/%d", first, last, 1 + (int)below(4));
        break;
    case 3:
        ls_buf_printf(out, "%d,%d", first, last);
        break;
    case 4:
        ls_buf_printf(out, "*/%d", 1 + (int)below((uint64_t)(high - low)));
        break;
    default:
        ls_buf_puts(out, "*");
        break;
    }
    ls_buf_putc(out, ' ');
}

static void next__random_expressions__are_as_counted_minute_by_minute(void **state)
{
    /* A zone, and a moment some hours before one of its changes. */
    static const struct {
        const char *name;
        int64_t changes[4];
    } zones[] = {
        {"UTC", {1774746000, 1792890000}},
        {"Europe/Berlin", {1774746000, 1792890000, 1806195600, 1824944400}},
        {"America/New_York", {1772953200, 1793512800, 1805007600, 1825567200}},
        {"Australia/Lord_Howe", {1775314800, 1791041400, 1806764400, 1822491000}},
        {"Asia/Kathmandu", {1774746000, 504901800}},
        {"America/St_Johns", {1772947800, 1793507400, 1162089060, 1173583860}},
        {"Pacific/Apia", {1325239200, 1301752800}},
        {"Pacific/Chatham", {1775311200, 1790431200}},
        {"Africa/Casablanca", {1771120800, 1774144800}},
        {"America/Sao_Paulo", {1541300400, 1550368800}}, /* changed at midnight */
    };
    int checked = 0;

    for (size_t z = 0; z < LS_COUNT(zones); z++) {
        struct ls_zone *zone = zone_named(zones[z].name);

        setenv("TZ", zones[z].name, 1);
        tzset();
        for (int round = 0; round < 60; round++) {
            int64_t change_s = zones[z].changes[round % 4];
            int64_t start_s = (change_s ? change_s : zones[z].changes[0]) -
                              (int64_t)below(30 * 3600 / 60) * 60 - (int64_t)below(2) * 17;
            struct ls_cron_expr expr;
            struct ls_buf text = {0};
            int64_t tick_ms;

            random_field(&text, 0, 59, true);
            random_field(&text, 0, round % 2 ? 23 : 4, true);
            random_field(&text, 1, 31, round % 3);
            random_field(&text, 1, 12, true);
            random_field(&text, 0, 7, round % 3 != 1);
            if (round % 4) { /* near the change something should fire */
                ls_buf_clear(&text);
                random_field(&text, 0, 59, true);
                random_field(&text, 0, 3, true);
                ls_buf_puts(&text, "* * *");
            }
            if (ls_cron_expr_parse(&expr, text.data, NULL) == 0) {
                int64_t end_s = start_s + 40 * 3600;

                tick_ms = ls_cron_expr_next(&expr, zone, start_s * 1000);
                for (int64_t s = (start_s / 60 + 1) * 60; s < end_s; s += 60) {
                    bool fires = fires_at(&expr, s);

                    if (fires != (tick_ms == s * 1000))
                        fail_msg("%s, '%s': %lld %s, next is %lld", zones[z].name, text.data,
                                 (long long)s, fires ? "fires" : "does not fire",
                                 (long long)tick_ms / 1000);
                    if (fires) {
                        tick_ms = ls_cron_expr_next(&expr, zone, tick_ms);
                        checked++;
                    }
                }
                assert_true(tick_ms < 0 || tick_ms >= end_s * 1000);
            }
            ls_buf_fini(&text);
        }
        ls_zone_free(zone);
    }
    unsetenv("TZ");
    tzset();
    assert_true(checked > 2000);
}

/* Each accepted expression fires some time, whatever the zone. */
static void next__what_was_accepted__fires(void **state)
{
    struct ls_zone *zone = zone_named("America/St_Johns");

    for (int round = 0; round < 20000; round++) {
        struct ls_buf text = {0};
        struct ls_cron_expr expr;

        random_field(&text, 0, 59, false);
        random_field(&text, 0, 23, false);
        random_field(&text, 1, 31, false);
        random_field(&text, 1, 12, false);
        random_field(&text, 0, 7, false);
        if (ls_cron_expr_parse(&expr, text.data, NULL) == 0 &&
            ls_cron_expr_next(&expr, zone, (int64_t)below(8000000000000u)) < 0)
            fail_msg("'%s' never fires", text.data);
        ls_buf_fini(&text);
    }
    ls_zone_free(zone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse__every_form__means_what_cron_means),
        cmocka_unit_test(parse__what_is_wrong__is_named_with_its_range),
        cmocka_unit_test(parse__any_bytes__never_crash),
        cmocka_unit_test(next__plain_days__come_in_their_order),
        cmocka_unit_test(next__strictly_after__also_within_the_second),
        cmocka_unit_test(next__a_fixed_time_in_the_gap__fires_once_when_it_ends),
        cmocka_unit_test(next__a_fixed_time_that_comes_twice__fires_the_first_time),
        cmocka_unit_test(next__an_interval__goes_on_in_real_time),
        cmocka_unit_test(next__random_expressions__are_as_counted_minute_by_minute),
        cmocka_unit_test(next__what_was_accepted__fires),
    };

    unsetenv("TZDIR"); /* of whoever runs the tests */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
