/* What the application's database knows about each sync, for the doctor. */
#ifndef LS_CLI_DOCTOR_STORE_H
#define LS_CLI_DOCTOR_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/config.h"

struct ls_doctor_sync {
    bool observing, stopped;
    int64_t linked, dirty, parked, conflicts;
    int64_t oldest_dirty_at, last_synced_at; /* ms since 1970; 0: none, never */
    int64_t duplicates; /* values of the match field that stand in more than one row; -1: no such
                           field */
    char *match_column;
};

/* Fill one struct for each sync of the configuration. Blocks for some seconds at most. */
int ls_doctor_syncs_read(const struct ls_config *config, struct ls_doctor_sync *syncs,
                         struct ls_err *err);
/* Accepts NULL. */
void ls_doctor_syncs_free(struct ls_doctor_sync *syncs, size_t count);

#endif
