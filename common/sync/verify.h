/* Verify: the proof. Both sides are read as streams and compared field by field, whatever links and marks say; what differs is looked
 * at again, record by record, after a pause, and only what still differs then is reported, with the row of the decision table that would
 * act on it. Writes nothing. The same walk without the pause is the plan that `sync start` shows.
 *
 * Memory: 8 bytes a linked record, some 60 an unlinked local row, and at most max_candidates records that differ. */
#ifndef LS_SYNC_VERIFY_H
#define LS_SYNC_VERIFY_H

#include "common/sync/decide.h"
#include "common/sync/engine.h"
#include "common/sync/purse.h"

enum ls_difference_kind {
    LS_DIFF_MISSING_REMOTE,
    LS_DIFF_MISSING_LOCAL,
    LS_DIFF_DUPLICATE,
    LS_DIFF_FIELDS,
    LS_DIFF_STALE,    /* a link that should be there or should not */
    LS_DIFF_EXCLUDED, /* still has marks: no statement */
    LS_DIFF_UNKNOWN   /* unreadable: no statement */
};

struct ls_difference {
    enum ls_difference_kind kind;
    char *uid, *local_id, *remote_id; /* NULL: none */
    int row;                          /* of the decision table; 0: not looked at */
    enum ls_verdict verdict;
    bool parked, held; /* waits for a person */
    bool linked;
    int remote_writes, local_writes; /* fields that would be written; 1 for a record to be made */
    char *fields; /* JSON array: [{"field":…,"base":…,"local":…,"remote":…,"action":…}] */
    char *text;   /* the same for people: "price: base 19.9, local 21.9, remote 19.9" */
    const char *cause; /* "unannounced", "parked", "held", "failed", "pending" */
    char *why;         /* its last error; NULL none */
};

struct ls_verify_report {
    int64_t local, linked, remote, match;
    int64_t missing_remote, missing_local, duplicates, fields, stale, excluded, unknown;
    int64_t would_link; /* unlinked on both sides, equal: row 4 */
    int64_t unlooked;   /* differences beyond max_candidates: counted, not looked at again */
    double coverage;    /* 0 to 1 */
    int64_t writes_remote, writes_local, creates_remote, creates_local, held, parked;
    int64_t pages, requests, elapsed_ms;
    struct ls_difference *differences; /* confirmed */
    size_t count;
};

struct ls_verify_progress {
    const char *phase;   /* "database", "platform", "settle", "confirm" */
    int64_t done, total; /* total -1: unknown */
};

struct ls_verify;
typedef void ls_verify_progress_cb(void *arg, const struct ls_verify_progress *progress);
/* The report is borrowed until done returns. */
typedef void ls_verify_done_cb(void *arg, const struct ls_verify_report *report,
                               const struct ls_err *err);

struct ls_verify_request {
    struct ls_sync *sync;
    int64_t settle_ms;     /* between the two looks; 0: at once */
    size_t max_candidates; /* 0: 10,000 */
    bool stamp;            /* note verified_at of what was found equal (needs a writable store) */
    ls_verify_progress_cb *progress; /* may be NULL */
    const struct ls_grants
        *grants; /* what its requests are drawn from; copied; NULL: nobody counts */
};
struct ls_verify *ls_verify_begin(const struct ls_verify_request *request, ls_verify_done_cb *done,
                                  void *arg);
void ls_verify_cancel(struct ls_verify **verify);

/* 0 clean and complete; 2 differences; 4 coverage below the least wanted, so no statement; 16 parked, held or conflicts open. Or-ed.
 * (1 is for failures, 8 for tripped guards.) */
int ls_verify_exit(const struct ls_verify_report *report, double least_coverage);
const char *ls_difference_name(enum ls_difference_kind kind);

/* ["price: base 19.9, local 21.9, remote 19.9"] of what is unequal or would be done; used by explain too. json may be NULL. */
void ls_verify_describe(const struct ls_mapping *mapping, const struct ls_snapshot *snapshot,
                        const struct ls_remote *remote, const struct ls_plan *plan,
                        struct ls_buf *text, struct ls_buf *json);

#endif
