/* A run as a handler of a shared object sees it (lockstep/handler.h), and the ending it tells as the
 * runner takes it. Shared by both forms: worker/handlers/pool.c and library.c. */
#ifndef LS_HANDLERS_GUEST_H
#define LS_HANDLERS_GUEST_H

#include <stdbool.h>

#include "lockstep/handler.h"
#include "worker/runner/handler.h"

struct ls_guest {
    struct lockstep_run view; /* first: what the handler gets */
    char *texts;              /* owned: what the view points at */
    size_t data_room;         /* bytes that a checkpoint may have */
};

/* Copies what the job is. calls: what the view's functions do; loop: NULL in the blocking form. */
void ls_guest_init(struct ls_guest *guest, struct ls_run *run,
                   const struct lockstep_run_calls *calls, void *loop);
void ls_guest_fini(struct ls_guest *guest);

/* Can it be the data of a job, or its result? Any thread may ask. */
bool ls_guest_takes_data(const struct ls_guest *guest, const char *json, size_t length);
bool ls_guest_takes_result(const char *json, size_t length);

/* An ending, copied, for it may be told on a thread of its own. {0}: none was told. */
struct ls_guest_ending {
    bool told;
    int outcome; /* enum lockstep_outcome */
    char text[LOCKSTEP_RUN_TEXT_MAX + 1];
    char reason[64];
    int64_t delay_ms;
    char *data; /* owned */
    size_t data_length;
};

/* Takes the place of what was told before. Returns what the handler gets: 0 or -1. */
int ls_guest_ending_take(const struct ls_guest *guest, struct ls_guest_ending *out,
                         const struct lockstep_ending *ending);
/* End the run by it: the run is gone. On the loop; empties the ending. */
void ls_guest_settle(struct ls_run *run, struct ls_guest_ending *ending);

#endif
