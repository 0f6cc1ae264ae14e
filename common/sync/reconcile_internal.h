/* What the files of reconcile share: the operation, and its steps in running order. */
#ifndef LS_SYNC_RECONCILE_INTERNAL_H
#define LS_SYNC_RECONCILE_INTERNAL_H

#include "common/base/log.h"
#include "common/sync/engine_internal.h"
#include "common/sync/gather.h"
#include "common/sync/reconcile.h"

#define LS_RECONCILE_ROUNDS 3 /* a record that changes under our hands is read again so often */

enum step {
    STEP_TAKE,
    STEP_FETCH,
    STEP_SEEK,       /* the remote object by match value or marker */
    STEP_CLAIMED,    /* does another record hold what was found? */
    STEP_SEEK_LOCAL, /* the local row by match value */
    STEP_ADOPT,      /* go on as the record of that row */
    STEP_SETTLE,     /* outcomes of operations that were left open */
    STEP_NOTE,
    STEP_WRITE,
    STEP_READ_BACK,
    STEP_COMMIT,
    STEP_FAIL /* noting the outcome of a write that failed */
};

struct ls_reconcile {
    struct ls_operation operation; /* first */
    enum step step;
    struct ls_sync *sync;
    struct ls_store *store;
    char *uid;
    uint64_t fence;
    bool absent_before;
    bool (*may_write)(void *arg);
    int *requests; /* borrowed; NULL: nobody counts */
    void (*look)(void *arg, const struct ls_explanation *explanation);
    char *brought_id; /* NULL: nothing was brought */
    bool brought_exists;
    struct ls_remote brought;
    int64_t brought_ms;
    ls_reconcile_cb *done; /* NULL: cancelled, waits for the store's callback only */
    void *arg;

    struct ls_ticket *ticket;    /* the one outstanding thing: a gathered read or write, */
    struct ls_remote_call *call; /* or another remote call, */
    bool in_store;               /* or a call to the store, which cannot be taken back */

    int round;
    struct ls_snapshot *snapshot;
    bool has_remote, trashed, many, adopted;
    struct ls_remote remote; /* as fetched */
    int64_t remote_ms;
    bool has_settled;
    size_t settled; /* operations of the snapshot that are done with */
    uint64_t own;   /* fields whose remote value we sent */
    uint64_t held;  /* fields that the remote changed after an unanswered write of ours */
    struct ls_op settling;

    struct ls_plan plan;
    struct ls_record outgoing; /* what the remote write carries */
    struct ls_op op;
    bool wrote;                /* the remote write took effect */
    struct ls_remote returned; /* what came back */
    struct ls_record base, local_new;
    char error[512];       /* why it is parked */
    struct ls_err failure; /* kept while its outcome is noted */
    struct ls_reconcile_result result;
};

/* reconcile.c: life and rounds */
void ls_reconcile_take(struct ls_reconcile *run);
/* Back from the store. false: nobody waits for it any more, the run is gone. */
bool ls_reconcile_is_wanted(struct ls_reconcile *run);
/* Forget what this round has read and made. */
void ls_reconcile_forget(struct ls_reconcile *run);
/* Something changed meanwhile: again from the start, or, after three rounds, later. */
void ls_reconcile_start_over(struct ls_reconcile *run, const struct ls_err *err);
void ls_reconcile_finish(struct ls_reconcile *run, const struct ls_err *err);
/* What run->call has sent: to be counted before the pointer is cleared. */
void ls_reconcile_count_call(struct ls_reconcile *run);
/* The record's id for people: the application's, else its uid. */
const char *ls_reconcile_shown_id(const struct ls_reconcile *run);
void ls_reconcile_log(const struct ls_reconcile *run, enum ls_log_level level, const char *event,
                      const char *text);

/* reconcile_read.c: the remote object, operations left open, the local row of a record first seen remotely; then decides */
void ls_reconcile_fetch(struct ls_reconcile *run);
/* Text that the platform cannot tell from "" takes the spelling that our side knows, so that it is no difference. */
void ls_reconcile_fold(struct ls_reconcile *run, struct ls_record *remote);
/* A commit that changes nothing of the record but notes the outcome of an operation. */
struct ls_commit ls_reconcile_unchanged(const struct ls_reconcile *run, const struct ls_op *op);

/* reconcile_act.c: decide, validate, write the remote, read back; then commits */
void ls_reconcile_decide(struct ls_reconcile *run);
/* true: it only wanted to look, and has; the run is over. */
bool ls_reconcile_look(struct ls_reconcile *run);

/* reconcile_commit.c: one transaction; then finishes or starts over */
void ls_reconcile_commit(struct ls_reconcile *run);
void ls_reconcile_park(struct ls_reconcile *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
#endif
