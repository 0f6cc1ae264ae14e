/* Reconcile: the one operation that writes. It looks at one record on both sides and at what they last agreed on, takes one row of the
 * decision table, does what it says and commits the new base, audit and outcome in one transaction of the application's database.
 *
 *   1 take the record (fence)       5 compare: our own late writes count as ours   9  write the remote, alone or in a batch
 *   2 read row, base, marks         6 decide                                       10 read back what came of it
 *   3 read the remote object        7 validate; a breach parks the record          11 one commit: row, base, marks, audit, outcome
 *   4 settle unanswered writes      8 note the write durably                       12 changed meanwhile: again from 1, three times
 *                                                                                  13 done
 * A crash at any point leaves either nothing or an open operation, which the next run settles by looking (4) before it does anything.
 * Two runs on one record cannot both commit (fence). A run that finds both sides equal to the base writes nothing but the removal of
 * its marks. Nothing is ever deleted: rows that ask for it park the record as "delete held". */
#ifndef LS_SYNC_RECONCILE_H
#define LS_SYNC_RECONCILE_H

#include "common/sync/decide.h"
#include "common/sync/engine.h"

struct ls_reconcile;

enum ls_outcome {
    LS_OUTCOME_NOOP,   /* nothing was to be done */
    LS_OUTCOME_SYNCED, /* something was written, linked or agreed on */
    LS_OUTCOME_PARKED, /* a person decides; why stands in the status view */
    LS_OUTCOME_OBSERVED, /* the sync only observes: something would have been written; the marks stay */
    LS_OUTCOME_AGAIN     /* run again after again_ms, with the same `absent` as in the result */
};

/* What a look showed: borrowed until `look` returns. */
struct ls_explanation {
    const char *
        uid; /* of the record that was decided: a remote one may have turned out to be a local row's */
    const struct ls_snapshot *snapshot;
    const struct ls_remote *remote; /* NULL: absent */
    bool trashed;
    const struct ls_plan *plan;
    uint64_t own; /* fields whose remote value we sent ourselves */
};

/* What the platform was just seen to hold, by whoever read many at once. */
struct ls_brought {
    const char *id;
    const struct ls_remote *remote; /* NULL: confirmed not to exist */
    int64_t remote_ms;
};

struct ls_reconcile_request {
    struct ls_sync *sync;
    const char *uid; /* of the link row; copied */
    uint64_t fence;  /* of the claim */
    bool absent;     /* an earlier run saw the remote object gone: seeing it again confirms it */
    bool (*may_write)(
        void *arg); /* asked before each remote write, with the arg of `done`; NULL: yes */
    /* Grows by the platform requests made for it (its part of those it shares with others) until `done` runs or the cancel returns;
     * borrowed until then. NULL: nobody counts. */
    int *requests;
    /* Only look: read both sides, decide, tell, write nothing anywhere. The fence is then 0. */
    void (*look)(void *arg, const struct ls_explanation *explanation);
    /* For a look: taken instead of a read if the record is linked to that id. Copied; NULL: none. */
    const struct ls_brought *brought;
};

struct ls_reconcile_result {
    enum ls_outcome outcome;
    int row; /* of the decision table */
    int remote_writes, local_writes;
    int conflicts; /* fields whose conflict was opened by this run */
    int64_t again_ms;
    bool absent;
    const char *why; /* parked: the reason; borrowed */
};

/* err: LS_E_FENCED (another run has the record: nothing was committed), LS_E_CANCELLED (may_write said no, before anything left),
 * LS_E_NOT_FOUND (no such uid), else what the store or the platform said. After a failure the record's marks are still there, except
 * when the platform refused the content (LS_E_PERMANENT): then it is parked too. */
typedef void ls_reconcile_cb(void *arg, const struct ls_reconcile_result *result,
                             const struct ls_err *err);

struct ls_reconcile *ls_reconcile_begin(const struct ls_reconcile_request *request,
                                        ls_reconcile_cb *done, void *arg);
/* `done` will not run. Clears the pointer; NULL is fine. */
void ls_reconcile_cancel(struct ls_reconcile **reconcile);

#endif
