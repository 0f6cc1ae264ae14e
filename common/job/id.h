/* Job ids: ULIDs, 26 characters of Crockford's base 32: 48 bits of time in ms, then 80 random bits.
 * Within a process they only grow, also when the wall clock steps back. */
#ifndef LS_JOB_ID_H
#define LS_JOB_ID_H

#include <stdint.h>

#include "common/base/span.h"

#define LS_ID_SIZE 27 /* with the NUL */

/* A new id. Safe after fork and for use by several threads. Returns out. */
const char *ls_id_new(char out[LS_ID_SIZE]);
/* The wall-clock ms in a ULID; -1 when the id is not one (callers may bring ids of their own). */
int64_t ls_id_time_ms(struct ls_span id);

#endif
