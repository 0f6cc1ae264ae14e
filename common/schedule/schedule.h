/* The schedules of a configuration: those under `schedules`, and lockstep's own: the deltas and scans
 * of the syncs, and the daily clean-up of the store. What fires them is worker/scheduler, what shows
 * them the command line; both take them from here. */
#ifndef LS_SCHEDULE_SCHEDULE_H
#define LS_SCHEDULE_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/config/config.h"
#include "common/job/lane.h"
#include "common/schedule/pace.h"

struct ls_schedule {
    char *name;          /* "nightly"; our own have a slash: "delta/products". Owned */
    char *stem;          /* owned: the job of a tick has the id <stem>-<tick> */
    struct ls_pace pace; /* owned */
    char spec[LS_PACE_SPEC_SIZE];
    const char *cron, *zone; /* as written, borrowed; NULL: pace.every_ms */
    enum ls_config_catch_up catch_up;
    bool at_once; /* begins with a tick now; else with the next one */
    bool enabled;
    const char *queue, *account, *kind; /* borrowed; account NULL: none */
    char *key, *data;                   /* owned; NULL: none */
    enum ls_lane lane;
};

struct ls_schedules {
    struct ls_schedule *items; /* owned */
    size_t count;
};

/* config outlives them. -1 with *err: a zone or an expression that the check of the configuration
 * did not see (the tz database went away meanwhile). Free with ls_schedules_fini in any case. */
int ls_schedules_make(struct ls_schedules *schedules, const struct ls_config *config,
                      struct ls_err *err);
void ls_schedules_fini(struct ls_schedules *schedules);
/* NULL: there is none. */
const struct ls_schedule *ls_schedules_find(const struct ls_schedules *schedules, const char *name);

/* Append the envelope of its job. */
void ls_schedule_job(const struct ls_schedule *schedule, const char *id, struct ls_buf *out);

/* "every 5m", "0 3 * * 1-5". The caller frees. */
char *ls_schedule_shown(const struct ls_schedule *schedule);

#endif
