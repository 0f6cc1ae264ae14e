/* The calendar: days since 1970-01-01 and what people call them (proleptic Gregorian, as Redis' and
 * POSIX' clock count them: every day has 86,400 seconds). */
#ifndef LS_TIME_CIVIL_H
#define LS_TIME_CIVIL_H

#include <stdbool.h>
#include <stdint.h>

#define LS_DAY_S 86400

struct ls_civil {
    int64_t year;
    int month; /* 1 to 12 */
    int day;   /* 1 to 31 */
};

static inline int64_t ls_floor_div(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

static inline bool ls_civil_is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static inline int ls_civil_month_days(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[month - 1] + (month == 2 && ls_civil_is_leap(year));
}

/* 0 is Sunday. */
static inline int ls_civil_weekday(int64_t days)
{
    return (int)(((days + 4) % 7 + 7) % 7);
}

/* Years that begin in March put the leap day last; 400 of them are one era of 146,097 days. */
static inline int64_t ls_civil_days(int64_t year, int month, int day)
{
    int64_t shifted = month <= 2 ? year - 1 : year;
    int64_t era = ls_floor_div(shifted, 400), of_era = shifted - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static inline struct ls_civil ls_civil_of(int64_t days)
{
    int64_t shifted = days + 719468, era = ls_floor_div(shifted, 146097);
    int64_t left = shifted - era * 146097;
    int64_t of_era = (left - left / 1460 + left / 36524 - left / 146096) / 365;
    int64_t of_year = left - (365 * of_era + of_era / 4 - of_era / 100);
    int64_t month = (5 * of_year + 2) / 153;
    struct ls_civil civil = {.month = (int)(month < 10 ? month + 3 : month - 9),
                             .day = (int)(of_year - (153 * month + 2) / 5 + 1)};

    civil.year = of_era + era * 400 + (civil.month <= 2);
    return civil;
}

#endif
