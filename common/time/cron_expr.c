#include "common/time/cron_expr.h"

#include <string.h>
#include <strings.h>

#include "common/base/mem.h"
#include "common/time/civil.h"

#define FIELDS 5
#define HOUR_MINUTES 60
#define DAY_MINUTES 1440
/* The longest wait of an expression that fires at all: a February 29 of one weekday, across a
 * century without a leap day. */
#define HORIZON_S ((int64_t)41 * 366 * LS_DAY_S)

enum field { MINUTE, HOUR, DAY, MONTH, WEEKDAY };

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                          "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

static const struct field_rule {
    const char *name, *range;
    int low, high;
    const char *const *names; /* of low, low + 1, ... */
} fields[FIELDS] = {
    [MINUTE] = {"minute", "0 to 59", 0, 59, NULL},
    [HOUR] = {"hour", "0 to 23", 0, 23, NULL},
    [DAY] = {"day of month", "1 to 31", 1, 31, NULL},
    [MONTH] = {"month", "1 to 12 or jan to dec", 1, 12, month_names},
    [WEEKDAY] = {"day of week", "0 to 7 or mon to sun; 0 and 7 are Sunday", 0, 7, weekday_names},
};

static const struct {
    const char *word, *expression;
} words[] = {{"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
             {"@weekly", "0 0 * * 0"},  {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
             {"@annually", "0 0 1 1 *"}};

struct word {
    const char *at;
    size_t length;
};

static int parse_word(struct ls_cron_expr *expr, const char *text, size_t length,
                      struct ls_err *err);
static int split(const char *text, struct word found[FIELDS], struct ls_err *err);
static int parse_field(enum field field, struct word word, uint64_t *mask, struct ls_err *err);
static int parse_item(enum field field, struct word item, uint64_t *mask, struct ls_err *err);
static int parse_value(enum field field, struct word word, bool ends_range, int *value,
                       struct ls_err *err);
static bool ever_fires(const struct ls_cron_expr *expr);
static int64_t first_within(const struct ls_cron_expr *expr, const struct ls_zone *zone,
                            const struct ls_zone_stretch *stretch, int64_t from_s);
static bool find_label(const struct ls_cron_expr *expr, int64_t from_s, int64_t until_s,
                       int64_t *label_s);

int ls_cron_expr_parse(struct ls_cron_expr *expr, const char *text, struct ls_err *err)
{
    struct word found[FIELDS];
    uint64_t masks[FIELDS];
    size_t length;

    text += strspn(text, " \t");
    length = strlen(text);
    while (length && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        length--;
    if (length > LS_CRON_EXPR_MAX)
        return ls_fail(err, LS_E_INVALID, "a cron expression has at most %d characters",
                       LS_CRON_EXPR_MAX);
    if (*text == '@')
        return parse_word(expr, text, length, err);
    if (split(text, found, err) < 0)
        return -1;
    for (int field = MINUTE; field < FIELDS; field++) {
        if (parse_field((enum field)field, found[field], &masks[field], err) < 0)
            return -1;
    }
    *expr = (struct ls_cron_expr){
        .minutes = masks[MINUTE],
        .hours = (uint32_t)masks[HOUR],
        .days = (uint32_t)masks[DAY],
        .months = (uint32_t)masks[MONTH],
        .weekdays = (uint32_t)((masks[WEEKDAY] | masks[WEEKDAY] >> 7) & 0x7f),
        .either_day = *found[DAY].at != '*' && *found[WEEKDAY].at != '*',
        .interval = *found[MINUTE].at == '*' || *found[HOUR].at == '*',
    };
    if (!ever_fires(expr)) {
        ls_fail(err, LS_E_INVALID, "this schedule never fires");
        return ls_hint(err, "none of its months has such a day");
    }
    return 0;
}

int64_t ls_cron_expr_next(const struct ls_cron_expr *expr, const struct ls_zone *zone,
                          int64_t after_ms)
{
    int64_t from_s, until_s;

    ls_assert(after_ms >= 0);
    if (after_ms >= LS_CRON_EXPR_END_MS)
        return -1;
    from_s = after_ms / 1000 + 1;
    until_s = from_s + HORIZON_S;
    while (from_s < until_s) {
        struct ls_zone_stretch stretch = ls_zone_at(zone, from_s);
        int64_t tick_s;

        stretch.end_s = stretch.end_s < until_s ? stretch.end_s : until_s;
        tick_s = first_within(expr, zone, &stretch, from_s);
        if (tick_s >= 0)
            return tick_s * 1000 <= LS_CRON_EXPR_END_MS ? tick_s * 1000 : -1;
        from_s = stretch.end_s;
    }
    return -1;
}

/* ---- reading ---- */

static int parse_word(struct ls_cron_expr *expr, const char *text, size_t length,
                      struct ls_err *err)
{
    for (size_t i = 0; i < LS_COUNT(words); i++) {
        if (strlen(words[i].word) == length && strncasecmp(words[i].word, text, length) == 0)
            return ls_cron_expr_parse(expr, words[i].expression, err);
    }
    ls_fail(err, LS_E_INVALID, "there is no '%.*s'", (int)(length < 40 ? length : 40), text);
    if (strncasecmp(text, "@every", 6) == 0)
        return ls_hint(err, "write 'every: 5m' instead of 'cron'");
    return ls_hint(err, "@hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually");
}

static int split(const char *text, struct word found[FIELDS], struct ls_err *err)
{
    int count = 0;

    for (;;) {
        text += strspn(text, " \t");
        if (!*text)
            break;
        if (count < FIELDS)
            found[count] = (struct word){text, strcspn(text, " \t")};
        count++;
        text += strcspn(text, " \t");
    }
    if (count == FIELDS)
        return 0;
    ls_fail(err, LS_E_INVALID, "a cron expression has five fields, not %d", count);
    return ls_hint(err, count > FIELDS
                            ? "minute, hour, day of month, month, day of week; no seconds, no year"
                            : "minute, hour, day of month, month, day of week: '0 3 * * 1-5'");
}

/* What cannot be read or is out of range: the field is named, its range is the hint. */
static int refuse(enum field field, struct word word, struct ls_err *err)
{
    ls_fail(err, LS_E_INVALID, "the %s cannot be '%.*s'", fields[field].name,
            (int)(word.length < 40 ? word.length : 40), word.at);
    return ls_hint(err, "%s", fields[field].range);
}

/* a,b,c */
static int parse_field(enum field field, struct word word, uint64_t *mask, struct ls_err *err)
{
    const char *end = word.at + word.length;

    *mask = 0;
    for (const char *at = word.at;; at++) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        struct word item = {at, (size_t)((comma ? comma : end) - at)};

        if (parse_item(field, item, mask, err) < 0)
            return -1;
        if (!comma)
            return 0;
        at = comma;
    }
}

static bool read_number(struct word word, int *number)
{
    *number = 0;
    if (!word.length || word.length > 3)
        return false;
    for (size_t i = 0; i < word.length; i++) {
        if (word.at[i] < '0' || word.at[i] > '9')
            return false;
        *number = *number * 10 + (word.at[i] - '0');
    }
    return true;
}

static int parse_step(enum field field, struct word word, int *step, struct ls_err *err)
{
    int most = fields[field].high - fields[field].low;

    if (read_number(word, step) && *step >= 1 && *step <= most)
        return 0;
    ls_fail(err, LS_E_INVALID, "the %s cannot go in steps of '%.*s'", fields[field].name,
            (int)(word.length < 40 ? word.length : 40), word.at);
    return ls_hint(err, "1 to %d", most);
}

/* `*`, a, a-b; the first and last with /n. */
static int parse_item(enum field field, struct word item, uint64_t *mask, struct ls_err *err)
{
    const char *slash = memchr(item.at, '/', item.length);
    struct word base = {item.at, slash ? (size_t)(slash - item.at) : item.length};
    const char *dash = memchr(base.at, '-', base.length);
    int low = fields[field].low, high = fields[field].high, step = 1;

    if (slash &&
        parse_step(field, (struct word){slash + 1, item.length - base.length - 1}, &step, err) < 0)
        return -1;
    if (dash && dash > base.at) {
        struct word first = {base.at, (size_t)(dash - base.at)};
        struct word last = {dash + 1, base.length - first.length - 1};

        if (parse_value(field, first, false, &low, err) < 0 ||
            parse_value(field, last, true, &high, err) < 0)
            return -1;
        if (low > high) {
            ls_fail(err, LS_E_INVALID, "the %s cannot go backwards from '%.*s'", fields[field].name,
                    (int)base.length, base.at);
            return ls_hint(err, "write two ranges with a comma between them");
        }
    } else if (base.length != 1 || *base.at != '*') {
        if (parse_value(field, base, false, &low, err) < 0)
            return -1;
        high = low;
        if (slash) {
            ls_fail(err, LS_E_INVALID, "the %s has a step without a range: '%.*s'",
                    fields[field].name, (int)item.length, item.at);
            return ls_hint(err, "write '%d-%d/%d' or '*/%d'", low, fields[field].high, step, step);
        }
    } else if (field == WEEKDAY) {
        high = 6; /* 7 is Sunday a second time: it would fall between the steps */
    }
    for (int value = low; value <= high; value += step)
        *mask |= (uint64_t)1 << value;
    return 0;
}

static int parse_value(enum field field, struct word word, bool ends_range, int *value,
                       struct ls_err *err)
{
    const char *const *names = fields[field].names;

    for (int i = 0; names && names[i]; i++) {
        if (strlen(names[i]) == word.length && strncasecmp(names[i], word.at, word.length) == 0) {
            *value = fields[field].low + i;
            if (field == WEEKDAY && i == 0 && ends_range)
                *value = 7; /* fri-sun */
            return 0;
        }
    }
    if (!read_number(word, value) || *value < fields[field].low || *value > fields[field].high)
        return refuse(field, word, err);
    return 0;
}

/* In some year every date falls on every weekday; only a date that no month has never comes. */
static bool ever_fires(const struct ls_cron_expr *expr)
{
    if (expr->either_day)
        return true;
    for (int month = 1; month <= 12; month++) {
        uint64_t days = ((uint64_t)2 << ls_civil_month_days(2000, month)) - 2; /* 1 to the last */

        if ((expr->months >> month & 1) && (expr->days & days))
            return true;
    }
    return false;
}

/* ---- the next tick ---- */

/* The first tick at or behind from_s within the stretch, which holds from_s; -1: none. */
static int64_t first_within(const struct ls_cron_expr *expr, const struct ls_zone *zone,
                            const struct ls_zone_stretch *stretch, int64_t from_s)
{
    int64_t from_label = from_s + stretch->offset_s, end_label = stretch->end_s + stretch->offset_s;
    int64_t begin_label = stretch->begin_s + stretch->offset_s, old_label = begin_label, label;

    if (stretch->begin_s > -LS_ZONE_EVER) /* what the clocks would have shown without the change */
        old_label = stretch->begin_s + ls_zone_at(zone, stretch->begin_s - 1).offset_s;
    if (from_s == stretch->begin_s && begin_label > old_label &&
        find_label(expr, old_label, begin_label, &label) &&
        (!expr->interval ||
         !find_label(expr, begin_label, begin_label + (begin_label - old_label), &label)))
        return stretch->begin_s;
    if (!expr->interval && old_label > from_label)
        from_label = old_label; /* the labels before it came already */
    if (!find_label(expr, from_label, end_label, &label))
        return -1;
    return label - stretch->offset_s;
}

static bool day_matches(const struct ls_cron_expr *expr, const struct ls_civil *civil, int64_t day)
{
    bool by_date = expr->days >> civil->day & 1;
    bool by_weekday = expr->weekdays >> ls_civil_weekday(day) & 1;

    return expr->either_day ? by_date || by_weekday : by_date && by_weekday;
}

/* The first minute of a day that matches, from `minute` on; -1: none. */
static int minute_from(const struct ls_cron_expr *expr, int minute)
{
    int hour = minute / HOUR_MINUTES;
    uint64_t minutes = expr->minutes >> minute % HOUR_MINUTES << minute % HOUR_MINUTES;
    uint32_t later = expr->hours >> hour >> 1;

    if ((expr->hours >> hour & 1) && minutes)
        return hour * HOUR_MINUTES + __builtin_ctzll(minutes);
    if (!later)
        return -1;
    return (hour + 1 + __builtin_ctz(later)) * HOUR_MINUTES + __builtin_ctzll(expr->minutes);
}

/* The first local time that matches, at or behind from_s and before until_s, as if the clocks never
 * changed. */
static bool find_label(const struct ls_cron_expr *expr, int64_t from_s, int64_t until_s,
                       int64_t *label_s)
{
    int64_t minute = ls_floor_div(from_s + 59, 60), day = ls_floor_div(minute, DAY_MINUTES);
    struct ls_civil civil = ls_civil_of(day);
    int of_day = (int)(minute - day * DAY_MINUTES);

    while (day * LS_DAY_S < until_s) {
        int last = ls_civil_month_days(civil.year, civil.month), found;

        if (!(expr->months >> civil.month & 1)) {
            day += last - civil.day;
            civil.day = last;
        } else if (day_matches(expr, &civil, day) && (found = minute_from(expr, of_day)) >= 0) {
            *label_s = day * LS_DAY_S + found * 60;
            return *label_s < until_s;
        }
        day++;
        of_day = 0;
        if (++civil.day > last) {
            civil.day = 1;
            civil.year += civil.month == 12;
            civil.month = civil.month % 12 + 1;
        }
    }
    return false;
}
