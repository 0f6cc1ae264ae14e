#include "common/http/retry_after.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "common/base/clock.h"

#define LONGEST_MS (7 * 24 * 3600 * 1000LL)

static int month_of(const char *name)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int i;

    for (i = 0; i < 12; i++)
        if (strncasecmp(names + 3 * i, name, 3) == 0)
            return i;
    return -1;
}

/* The form that everybody sends, by place: "Sun, 06 Nov 1994 08:49:37 GMT". -1 when it is another.
 */
static int64_t parse_usual(const char *text)
{
    static const char shape[] = "aaa, 00 aaa 0000 00:00:00 GMT";
    int64_t days;
    int i, day, month, year;

    for (i = 0; shape[i]; i++) {
        bool digit = text[i] >= '0' && text[i] <= '9';
        bool letter = (text[i] | 32) >= 'a' && (text[i] | 32) <= 'z';
        if (shape[i] == '0' ? !digit : shape[i] == 'a' ? !letter : text[i] != shape[i])
            return -1;
    }
#define TWO(at) ((text[at] - '0') * 10 + text[(at) + 1] - '0')
    day = TWO(5);
    month = month_of(text + 8) + 1;
    year = TWO(12) * 100 + TWO(14);
    if (day < 1 || day > 31 || month < 1 || year < 1970 || TWO(17) > 23 || TWO(20) > 59 ||
        TWO(23) > 60)
        return -1;
    /* days since 1970 of a year that begins in March */
    year -= month <= 2;
    days = 365LL * year + year / 4 - year / 100 + year / 400 +
           (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1 - 719468;
    return (days * 86400 + TWO(17) * 3600 + TWO(20) * 60 + TWO(23)) * 1000;
#undef TWO
}

int64_t ls_http_date_parse(const char *text)
{
    int64_t usual = parse_usual(text);
    struct tm tm = {0};
    char month[4] = "";
    int year = 0;

    if (usual >= 0)
        return usual;
    while (*text == ' ')
        text++;
    if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d", &tm.tm_mday, month, &year,
               &tm.tm_hour, &tm.tm_min, &tm.tm_sec) == 6) {
        /* RFC 1123: Sun, 06 Nov 1994 08:49:37 GMT */
    } else if (sscanf(text, "%*9[A-Za-z], %2d-%3[A-Za-z]-%2d %2d:%2d:%2d", &tm.tm_mday, month,
                      &year, &tm.tm_hour, &tm.tm_min, &tm.tm_sec) == 6) {
        year += year < 70 ? 2000 : 1900; /* RFC 850: Sunday, 06-Nov-94 08:49:37 GMT */
    } else if (sscanf(text, "%*3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d", month, &tm.tm_mday,
                      &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &year) != 6) {
        return -1; /* asctime: Sun Nov  6 08:49:37 1994 */
    }
    tm.tm_mon = month_of(month);
    tm.tm_year = year - 1900;
    if (tm.tm_mon < 0 || year < 1970 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour < 0 ||
        tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60)
        return -1;
    return (int64_t)timegm(&tm) * 1000;
}

static int64_t bounded(int64_t ms)
{
    if (ms < 0)
        return 0;
    return ms > LONGEST_MS ? LONGEST_MS : ms;
}

int64_t ls_retry_after_ms(const char *value, int64_t remote_ms)
{
    int64_t at;
    size_t digits;

    if (!value)
        return -1;
    while (*value == ' ')
        value++;
    digits = strspn(value, "0123456789");
    if (digits > 0 && strspn(value + digits, " ") == strlen(value + digits))
        return digits > 9 ? LONGEST_MS : bounded(strtoll(value, NULL, 10) * 1000);
    at = ls_http_date_parse(value);
    if (at < 0)
        return -1;
    return bounded(at - (remote_ms > 0 ? remote_ms : ls_clock_wall_ms()));
}
