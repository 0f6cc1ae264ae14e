/* What the files of verify share: the walk over both sides, and the second look at what differs. */
#ifndef LS_SYNC_VERIFY_INTERNAL_H
#define LS_SYNC_VERIFY_INTERNAL_H

#include "common/sync/engine_internal.h"
#include "common/sync/reconcile.h"
#include "common/sync/verify.h"

enum phase { PHASE_DATABASE, PHASE_PLATFORM, PHASE_MISSING, PHASE_SETTLE, PHASE_CONFIRM };

/* An unlinked local row, by the value that matches. */
struct loner {
    uint64_t match, values;
    char *id;
    bool taken;
};

struct candidate {
    enum ls_difference_kind kind;
    bool linked;
    char *uid, *local_id, *remote_id;
    struct ls_verify *verify; /* while it is looked at */
    struct ls_reconcile *look;
    size_t difference; /* 1 + its index in the report; 0: none yet */
};

struct ls_verify {
    struct ls_operation operation; /* first */
    enum phase phase;
    struct ls_sync *sync;
    struct ls_store *store;
    struct ls_verify_request request;
    struct ls_verify_report report;
    int64_t began_us;

    struct ls_remote_page page; /* being compared: a copy */
    char *next;                 /* of the store's scan or the platform's list */
    bool last;
    uint64_t *links, *seen; /* hashes of remote ids: linked; listed */
    size_t link_count, link_room, seen_count, seen_room;
    uint64_t *matches; /* hashes of the remote's match values */
    size_t match_count, match_room;
    struct loner *loners;
    size_t loner_count, loner_room;
    struct candidate *candidates;
    size_t candidate_count, candidate_room;
    size_t looked, wave, looking; /* of the candidates: begun with, about to be, not done */
    char **equal;                 /* uids to stamp */
    size_t equal_count;

    struct ls_purse purse;
    int64_t total; /* as the platform counts; -1 unknown */
    struct ls_remote_call *call;
    uv_timer_t *timer; /* frees itself on close */
    int in_store;
    ls_verify_done_cb *done; /* NULL: cancelled */
    void *arg;
};

/* verify.c */
void ls_verify_tell(struct ls_verify *verify, const char *phase, int64_t done, int64_t total);
int64_t *ls_verify_counter(struct ls_verify_report *report, enum ls_difference_kind kind);
/* What verify->call has sent: to be counted before the pointer is cleared. */
void ls_verify_count_call(struct ls_verify *verify);
void ls_verify_finish(struct ls_verify *verify, const struct ls_err *err);

/* verify_look.c: after a pause looks at the candidates again; then finishes */
void ls_verify_settle(struct ls_verify *verify);

#endif
