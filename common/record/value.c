#include "common/record/value.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/record/decimal.h"

static const char *const type_names[] = {
    [LS_TYPE_TEXT] = "text",           [LS_TYPE_HTML] = "html",   [LS_TYPE_INTEGER] = "integer",
    [LS_TYPE_DECIMAL] = "decimal",     [LS_TYPE_MONEY] = "money", [LS_TYPE_BOOLEAN] = "boolean",
    [LS_TYPE_TIMESTAMP] = "timestamp",
};

static int canonical_text(char **out, size_t *out_length, const char *text, size_t length,
                          struct ls_err *err);
static int canonical_integer(char **out, size_t *out_length, const char *text, size_t length,
                             struct ls_err *err);
static int canonical_decimal(char **out, size_t *out_length, enum ls_type type, const char *text,
                             size_t length, struct ls_err *err);
static int canonical_boolean(char **out, size_t *out_length, const char *text, size_t length,
                             struct ls_err *err);
static int canonical_timestamp(char **out, size_t *out_length, const char *text, size_t length,
                               struct ls_err *err);
static int refuse(enum ls_type type, const char *text, size_t length, struct ls_err *err);

void ls_value_fini(struct ls_value *value)
{
    free(value->text);
    *value = (struct ls_value){0};
}

void ls_value_set_null(struct ls_value *value)
{
    ls_value_fini(value);
    value->state = LS_VALUE_NULL;
}

int ls_value_set(struct ls_value *value, enum ls_type type, const char *text, size_t length,
                 struct ls_err *err)
{
    char *canonical = NULL;
    size_t canonical_length = 0;
    int failed;

    if (length > LS_VALUE_MAX_BYTES)
        return ls_fail(err, LS_E_TOO_BIG, "value of %zu bytes is longer than %u", length,
                       LS_VALUE_MAX_BYTES);
    switch (type) {
    case LS_TYPE_INTEGER:
        failed = canonical_integer(&canonical, &canonical_length, text, length, err);
        break;
    case LS_TYPE_DECIMAL:
    case LS_TYPE_MONEY:
        failed = canonical_decimal(&canonical, &canonical_length, type, text, length, err);
        break;
    case LS_TYPE_BOOLEAN:
        failed = canonical_boolean(&canonical, &canonical_length, text, length, err);
        break;
    case LS_TYPE_TIMESTAMP:
        failed = canonical_timestamp(&canonical, &canonical_length, text, length, err);
        break;
    default:
        failed = canonical_text(&canonical, &canonical_length, text, length, err);
    }
    if (failed)
        return -1;
    ls_value_fini(value);
    value->state = LS_VALUE_SET;
    value->text = canonical;
    value->length = canonical_length;
    return 0;
}

void ls_value_copy(struct ls_value *to, const struct ls_value *from)
{
    char *text = NULL;

    if (from->state == LS_VALUE_SET) {
        text = ls_xcalloc(from->length + 1, 1);
        memcpy(text, from->text, from->length);
    }
    free(to->text);
    *to = (struct ls_value){.state = from->state, .text = text, .length = text ? from->length : 0};
}

bool ls_value_equal(const struct ls_value *a, const struct ls_value *b)
{
    if (a->state != b->state)
        return false;
    return a->state != LS_VALUE_SET ||
           (a->length == b->length && memcmp(a->text, b->text, a->length) == 0);
}

static bool is_empty_text(const struct ls_value *value)
{
    return value->state == LS_VALUE_NULL || (value->state == LS_VALUE_SET && value->length == 0);
}

bool ls_value_same(enum ls_type type, const struct ls_value *a, const struct ls_value *b)
{
    if ((type == LS_TYPE_TEXT || type == LS_TYPE_HTML) && is_empty_text(a) && is_empty_text(b))
        return true;
    return ls_value_equal(a, b);
}

const char *ls_type_name(enum ls_type type)
{
    return (size_t)type < LS_COUNT(type_names) ? type_names[type] : "unknown";
}

int ls_type_parse(const char *name)
{
    for (size_t i = 0; i < LS_COUNT(type_names); i++)
        if (strcmp(type_names[i], name) == 0)
            return (int)i;
    return -1;
}

static int canonical_text(char **out, size_t *out_length, const char *text, size_t length,
                          struct ls_err *err)
{
    char *to;

    if (length && memchr(text, '\0', length))
        return ls_fail(err, LS_E_INVALID, "text holds a NUL byte");
    if (!ls_utf8_valid(text, length))
        return ls_fail(err, LS_E_INVALID, "text is not UTF-8");
    *out = to = ls_xcalloc(length + 1, 1);
    for (size_t i = 0; i < length; i++) {
        if (text[i] != '\r') {
            *to++ = text[i];
            continue;
        }
        *to++ = '\n';
        if (i + 1 < length && text[i + 1] == '\n')
            i++;
    }
    *out_length = (size_t)(to - *out);
    return 0;
}

static int canonical_integer(char **out, size_t *out_length, const char *text, size_t length,
                             struct ls_err *err)
{
    char number[LS_DECIMAL_SIZE];

    if (!ls_decimal_canonical(number, text, length) || strchr(number, '.') ||
        ls_decimal_compare(number, "-9223372036854775808") < 0 ||
        ls_decimal_compare(number, "9223372036854775807") > 0)
        return refuse(LS_TYPE_INTEGER, text, length, err);
    *out = ls_xstrdup(number);
    *out_length = strlen(number);
    return 0;
}

static int canonical_decimal(char **out, size_t *out_length, enum ls_type type, const char *text,
                             size_t length, struct ls_err *err)
{
    char number[LS_DECIMAL_SIZE];

    if (!ls_decimal_canonical(number, text, length))
        return refuse(type, text, length, err);
    *out = ls_xstrdup(number);
    *out_length = strlen(number);
    return 0;
}

static int canonical_boolean(char **out, size_t *out_length, const char *text, size_t length,
                             struct ls_err *err)
{
    static const struct {
        const char *text;
        bool value;
    } words[] = {{"true", true}, {"false", false}, {"1", true},
                 {"0", false},   {"t", true},      {"f", false}};

    for (size_t i = 0; i < LS_COUNT(words); i++) {
        if (strlen(words[i].text) == length && strncasecmp(words[i].text, text, length) == 0) {
            *out = ls_xstrdup(words[i].value ? "true" : "false");
            *out_length = strlen(*out);
            return 0;
        }
    }
    return refuse(LS_TYPE_BOOLEAN, text, length, err);
}

/* ---- timestamps ------------------------------------------------------------------------------ */

/* Exactly `width` digits at *at; -1 when they are not there. */
static int take_digits(const char **at, const char *end, int width)
{
    int number = 0;

    for (int i = 0; i < width; i++, (*at)++) {
        if (*at == end || **at < '0' || **at > '9')
            return -1;
        number = number * 10 + (**at - '0');
    }
    return number;
}

static bool take_char(const char **at, const char *end, const char *allowed)
{
    if (*at == end || !**at || !strchr(allowed, **at))
        return false;
    (*at)++;
    return true;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar, and back (after Howard Hinnant). */
static int64_t days_from_civil(int64_t year, int month, int day)
{
    int64_t era, of_era;

    year -= month <= 2;
    era = (year >= 0 ? year : year - 399) / 400;
    of_era = year - era * 400;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 +
           (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1 - 719468;
}

static void civil_from_days(int64_t days, int *year, int *month, int *day)
{
    int64_t era, of_era, year_of_era, of_year, shifted;

    days += 719468;
    era = (days >= 0 ? days : days - 146096) / 146097;
    of_era = days - era * 146097;
    year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    shifted = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * shifted + 2) / 5 + 1);
    *month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2));
}

static int days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

/* "Z", "+02", "+0200", "+02:00" or nothing (UTC): seconds to subtract. */
static bool take_zone(const char **at, const char *end, int *offset)
{
    bool west;
    int hours, minutes = 0;

    *offset = 0;
    if (*at == end || (take_char(at, end, "Zz") && *at == end))
        return true;
    west = **at == '-';
    if (!take_char(at, end, "+-") || (hours = take_digits(at, end, 2)) < 0)
        return false;
    if (*at != end) {
        take_char(at, end, ":");
        if ((minutes = take_digits(at, end, 2)) < 0 || *at != end)
            return false;
    }
    if (hours > 18 || minutes > 59)
        return false;
    *offset = (hours * 60 + minutes) * 60 * (west ? -1 : 1);
    return true;
}

static bool timestamp_seconds(const char *text, size_t length, int64_t *seconds)
{
    const char *at = text, *end = text + length;
    int year, month, day, hour = 0, minute = 0, second = 0, offset = 0;

    if ((year = take_digits(&at, end, 4)) < 0 || !take_char(&at, end, "-") ||
        (month = take_digits(&at, end, 2)) < 1 || month > 12 || !take_char(&at, end, "-") ||
        (day = take_digits(&at, end, 2)) < 1 || day > days_of_month(year, month))
        return false;
    if (at != end) {
        if (!take_char(&at, end, "Tt ") || (hour = take_digits(&at, end, 2)) < 0 || hour > 23 ||
            !take_char(&at, end, ":") || (minute = take_digits(&at, end, 2)) < 0 || minute > 59)
            return false;
        if (take_char(&at, end, ":") && ((second = take_digits(&at, end, 2)) < 0 || second > 59))
            return false;
        if (take_char(&at, end, ".,")) {
            if (take_digits(&at, end, 1) < 0)
                return false;
            while (at != end && *at >= '0' && *at <= '9')
                at++;
        }
        if (!take_zone(&at, end, &offset))
            return false;
    }
    *seconds =
        days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    return true;
}

static int canonical_timestamp(char **out, size_t *out_length, const char *text, size_t length,
                               struct ls_err *err)
{
    int64_t seconds = 0, days;
    int year, month, day, rest;

    if (!timestamp_seconds(text, length, &seconds))
        return refuse(LS_TYPE_TIMESTAMP, text, length, err);
    days = seconds / 86400 - (seconds % 86400 < 0);
    rest = (int)(seconds - days * 86400);
    civil_from_days(days, &year, &month, &day);
    if (year < 0 || year > 9999)
        return refuse(LS_TYPE_TIMESTAMP, text, length, err);
    *out = ls_xasprintf("%04d-%02d-%02dT%02d:%02d:%02dZ", year, month, day, rest / 3600,
                        rest / 60 % 60, rest % 60);
    *out_length = strlen(*out);
    return 0;
}

static int refuse(enum ls_type type, const char *text, size_t length, struct ls_err *err)
{
    int shown = length > 40 ? 40 : (int)length;

    return ls_fail(err, LS_E_INVALID, "'%.*s' is not %s%s", shown, text,
                   type == LS_TYPE_INTEGER ? "an "
                   : type == LS_TYPE_MONEY ? ""
                                           : "a ",
                   ls_type_name(type));
}
