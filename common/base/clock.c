#include "common/base/clock.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t ls_clock_mono_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t ls_clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t ls_clock_boot_ms(void)
{
    return read_us(CLOCK_BOOTTIME) / 1000;
}

int64_t ls_clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

int64_t ls_clock_mono_after_ms(int64_t ms)
{
    return ls_clock_mono_ms() + (ms < LS_DURATION_MAX_MS ? ms : LS_DURATION_MAX_MS);
}

const char *ls_clock_format(char out[LS_CLOCK_TEXT_SIZE], int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    char date[20];

    out[0] = '\0';
    if (!gmtime_r(&seconds, &utc) || !strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc))
        return out;
    snprintf(out, LS_CLOCK_TEXT_SIZE, "%.19s.%03uZ", date, (unsigned)(wall_ms % 1000) % 1000);
    return out;
}

int64_t ls_clock_parse(const char *text, size_t length)
{
    char copy[LS_CLOCK_TEXT_SIZE], again[LS_CLOCK_TEXT_SIZE];
    struct tm utc = {0};
    int64_t wall_ms;
    int ms = 0;

    if (length != sizeof copy - 1)
        return 0;
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (sscanf(copy, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &utc.tm_year, &utc.tm_mon, &utc.tm_mday,
               &utc.tm_hour, &utc.tm_min, &utc.tm_sec, &ms) != 7)
        return 0;
    utc.tm_year -= 1900;
    utc.tm_mon -= 1;
    wall_ms = (int64_t)timegm(&utc) * 1000 + ms;
    /* sscanf takes blanks and signs, timegm a 31st of February: a time is what is written so. */
    return wall_ms > 0 && strcmp(ls_clock_format(again, wall_ms), copy) == 0 ? wall_ms : 0;
}

int64_t ls_duration_parse(const char *text)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    int64_t total = 0;

    if (!text || !*text)
        return -1;
    if (strcmp(text, "0") == 0)
        return 0;
    while (*text) {
        char *end;
        long long count;
        size_t letters = 0, u;

        if (!isdigit((unsigned char)*text))
            return -1;
        count = strtoll(text, &end, 10);
        while (isalpha((unsigned char)end[letters]))
            letters++;
        for (u = 0; u < sizeof units / sizeof *units; u++) {
            if (strlen(units[u].unit) == letters && strncmp(end, units[u].unit, letters) == 0)
                break;
        }
        if (u == sizeof units / sizeof *units || count > INT64_MAX / units[u].ms - total)
            return -1;
        total += count * units[u].ms;
        text = end + letters;
    }
    return total;
}

const char *ls_duration_format(char *out, size_t size, int64_t ms)
{
    int64_t s = ms / 1000;

    if (ms < 1000)
        snprintf(out, size, "%" PRId64 "ms", ms);
    else if (ms < 60000 && ms % 1000 < 100)
        snprintf(out, size, "%" PRId64 "s", s);
    else if (ms < 60000)
        snprintf(out, size, "%" PRId64 ".%ds", s, (int)(ms % 1000 / 100));
    else if (s < 3600)
        snprintf(out, size, "%" PRId64 "m %ds", s / 60, (int)(s % 60));
    else if (s < 86400)
        snprintf(out, size, "%" PRId64 "h %dm", s / 3600, (int)(s % 3600 / 60));
    else
        snprintf(out, size, "%" PRId64 "d %dh", s / 86400, (int)(s % 86400 / 3600));
    return out;
}
