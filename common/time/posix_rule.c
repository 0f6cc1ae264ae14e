#include "common/time/posix_rule.h"

#include "common/time/civil.h"

#define HOUR_S 3600
#define OFFSET_MAX_H 24
#define TIME_MAX_H 167

struct text {
    const char *at, *end;
};

static bool read_name(struct text *text);
static bool read_offset(struct text *text, int max_hours, int32_t *seconds);
static bool read_date(struct text *text, struct ls_posix_date *date);
static int64_t change_at(const struct ls_posix_date *date, int64_t year, int32_t offset_s);

int ls_posix_rule_parse(struct ls_posix_rule *rule, const char *bytes, size_t length)
{
    struct text text = {bytes, bytes + length};
    int32_t west_s;

    *rule = (struct ls_posix_rule){0};
    if (!read_name(&text) || !read_offset(&text, OFFSET_MAX_H, &west_s))
        return -1;
    rule->standard_s = -west_s; /* the text counts westward */
    if (text.at == text.end)
        return 0;
    rule->changes = true;
    rule->summer_s = rule->standard_s + HOUR_S;
    if (!read_name(&text))
        return -1;
    if (text.at < text.end && *text.at != ',') {
        if (!read_offset(&text, OFFSET_MAX_H, &west_s))
            return -1;
        rule->summer_s = -west_s;
    }
    if (!read_date(&text, &rule->begins) || !read_date(&text, &rule->ends))
        return -1;
    return text.at == text.end ? 0 : -1;
}

size_t ls_posix_rule_changes(const struct ls_posix_rule *rule, int64_t utc_s,
                             struct ls_posix_change changes[LS_POSIX_CHANGES])
{
    int64_t year = ls_civil_of(ls_floor_div(utc_s + rule->standard_s, LS_DAY_S)).year;
    size_t count = 0;

    if (!rule->changes)
        return 0;
    for (int64_t y = year - 2; y <= year + 2; y++) {
        struct ls_posix_change begins = {change_at(&rule->begins, y, rule->standard_s),
                                         rule->summer_s};
        struct ls_posix_change ends = {change_at(&rule->ends, y, rule->summer_s), rule->standard_s};
        bool south = ends.at_s < begins.at_s;

        changes[count++] = south ? ends : begins;
        changes[count++] = south ? begins : ends;
    }
    /* Summer time all the year is written as one that ends when the next begins: in that order. */
    for (size_t i = 1; i < count; i++) {
        for (size_t n = i; n > 0 && changes[n - 1].at_s > changes[n].at_s; n--) {
            struct ls_posix_change other = changes[n];

            changes[n] = changes[n - 1];
            changes[n - 1] = other;
        }
    }
    return count;
}

/* Three letters and more, or anything between < and >. */
static bool read_name(struct text *text)
{
    const char *start = text->at;

    if (text->at < text->end && *text->at == '<') {
        while (text->at < text->end && *text->at != '>')
            text->at++;
        return text->at++ < text->end;
    }
    while (text->at < text->end &&
           ((*text->at >= 'A' && *text->at <= 'Z') || (*text->at >= 'a' && *text->at <= 'z')))
        text->at++;
    return text->at - start >= 3;
}

static bool read_number(struct text *text, int low, int high, int *number)
{
    const char *start = text->at;
    int value = 0;

    while (text->at < text->end && *text->at >= '0' && *text->at <= '9' && text->at - start < 3)
        value = value * 10 + (*text->at++ - '0');
    *number = value;
    return text->at > start && value >= low && value <= high;
}

static bool skip(struct text *text, char c)
{
    if (text->at == text->end || *text->at != c)
        return false;
    text->at++;
    return true;
}

/* [+-]h[hh][:mm[:ss]] */
static bool read_offset(struct text *text, int max_hours, int32_t *seconds)
{
    int sign = skip(text, '-') ? -1 : 1, hours, minutes = 0, rest = 0;

    if (sign > 0)
        skip(text, '+');
    if (!read_number(text, 0, max_hours, &hours))
        return false;
    if (skip(text, ':')) {
        if (!read_number(text, 0, 59, &minutes))
            return false;
        if (skip(text, ':') && !read_number(text, 0, 59, &rest))
            return false;
    }
    *seconds = sign * (hours * HOUR_S + minutes * 60 + rest);
    return true;
}

/* ,Mm.w.d or ,Jn or ,n, each with /time */
static bool read_date(struct text *text, struct ls_posix_date *date)
{
    bool right;

    if (!skip(text, ','))
        return false;
    if (skip(text, 'M')) {
        date->form = LS_POSIX_WEEKDAY;
        right = read_number(text, 1, 12, &date->month) && skip(text, '.') &&
                read_number(text, 1, 5, &date->week) && skip(text, '.') &&
                read_number(text, 0, 6, &date->day);
    } else if (skip(text, 'J')) {
        date->form = LS_POSIX_JULIAN;
        right = read_number(text, 1, 365, &date->day);
    } else {
        date->form = LS_POSIX_ORDINAL;
        right = read_number(text, 0, 365, &date->day);
    }
    date->time_s = 2 * HOUR_S;
    return right && (!skip(text, '/') || read_offset(text, TIME_MAX_H, &date->time_s));
}

static int64_t day_of(const struct ls_posix_date *date, int64_t year)
{
    int64_t first;
    int day;

    switch (date->form) {
    case LS_POSIX_WEEKDAY:
        first = ls_civil_days(year, date->month, 1);
        day = (date->day - ls_civil_weekday(first) + 7) % 7 + 7 * (date->week - 1);
        while (day >= ls_civil_month_days(year, date->month))
            day -= 7;
        return first + day;
    case LS_POSIX_JULIAN:
        return ls_civil_days(year, 1, 1) + date->day - 1 +
               (ls_civil_is_leap(year) && date->day >= 60);
    case LS_POSIX_ORDINAL:
        break;
    }
    return ls_civil_days(year, 1, 1) + date->day;
}

/* The clocks show offset_s until then. */
static int64_t change_at(const struct ls_posix_date *date, int64_t year, int32_t offset_s)
{
    return day_of(date, year) * LS_DAY_S + date->time_s - offset_s;
}
