/* The rule of a zone for the times behind its last listed change: the TZ variable of POSIX, as the
 * last line of a TZif file holds it ("CET-1CEST,M3.5.0,M10.5.0/3"). With the extension of TZif
 * version 3: a change may be up to 167 hours before or after the midnight of its day. */
#ifndef LS_TIME_POSIX_RULE_H
#define LS_TIME_POSIX_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ls_posix_date {
    enum {
        LS_POSIX_WEEKDAY, /* Mm.w.d: the w-th weekday d of month m, 5 is the last */
        LS_POSIX_JULIAN,  /* Jn: 1 to 365, February 29 is not counted */
        LS_POSIX_ORDINAL  /* n: 0 to 365 */
    } form;
    int month, week, day;
    int32_t time_s; /* since the local midnight of the day */
};

struct ls_posix_rule {
    int32_t standard_s; /* east of Greenwich */
    bool changes;       /* else standard time all the year, and the rest says nothing */
    int32_t summer_s;
    struct ls_posix_date begins, ends; /* of summer time */
};

/* 0, or -1 when it is not such a text. Not NUL-terminated. */
int ls_posix_rule_parse(struct ls_posix_rule *rule, const char *text, size_t length);

/* One change: from at_s on, seconds since 1970, the offset holds. */
struct ls_posix_change {
    int64_t at_s;
    int32_t offset_s;
};
#define LS_POSIX_CHANGES 10
/* The changes of the year of utc_s and of two years before and behind it, in their order. Returns
 * LS_POSIX_CHANGES; 0 for a rule without changes. The first is before utc_s, the last behind it. */
size_t ls_posix_rule_changes(const struct ls_posix_rule *rule, int64_t utc_s,
                             struct ls_posix_change changes[LS_POSIX_CHANGES]);

#endif
