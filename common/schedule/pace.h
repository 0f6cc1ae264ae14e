/* When a schedule ticks: every so often, counted from 1970, or by a cron expression in a zone. */
#ifndef LS_SCHEDULE_PACE_H
#define LS_SCHEDULE_PACE_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/time/cron_expr.h"
#include "common/time/zone.h"

struct ls_pace {
    int64_t every_ms;         /* 0: cron */
    struct ls_cron_expr expr; /* of cron */
    struct ls_zone *zone;     /* of cron, owned */
};

/* cron: its expression; the zone is opened by name. -1 with *err (ls_cron_expr_parse,
 * ls_zone_open). */
int ls_pace_cron(struct ls_pace *pace, const char *expression, const char *zone,
                 struct ls_err *err);
void ls_pace_fini(struct ls_pace *pace);

/* The first tick strictly after after_ms, ms since 1970; -1: never again. */
int64_t ls_pace_next(const struct ls_pace *pace, int64_t after_ms);
/* The newest tick in (after_ms, until_ms]; -1: there is none. */
int64_t ls_pace_newest(const struct ls_pace *pace, int64_t after_ms, int64_t until_ms);

/* The same for equal paces, however they are written, and no other: what tells in Redis whether a
 * state belongs to this pace. zone is the name it was opened by. Returns out. */
#define LS_PACE_SPEC_SIZE 17
const char *ls_pace_spec(const struct ls_pace *pace, const char *zone, char out[LS_PACE_SPEC_SIZE]);

#endif
