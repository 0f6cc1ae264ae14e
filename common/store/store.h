/* The store: lockstep's tables (lockstep_*) beside the application's own, in the application's
 * database. Everything durable that the sync engine knows lives here; Redis may be lost at the cost
 * of latency only. What the tables hold stands in README.md.
 *
 * Every operation is asynchronous: it is queued (bounded), runs as one transaction (several may
 * share a commit), and its callback runs later on the owner's loop, exactly once, never before the
 * call returned. Results passed to a callback are borrowed until it returns unless it says
 * otherwise. Inputs are copied before the call returns; only a mapping is kept: it outlives the
 * store. Failure codes: LS_E_STORE (busy, locked, lost, timed out: again later, costs no attempt),
 * LS_E_FENCED (another worker holds the record now: stop, commit nothing), LS_E_CONFLICT (the local
 * row changed since it was read: read again), LS_E_NOT_FOUND, LS_E_CONFIG (table, column or
 * lockstep table missing: hint names `lockstep store install`), LS_E_CORRUPT, LS_E_CANCELLED
 * (closed). Times are ms since 1970 by the database host's clock. */
#ifndef LS_STORE_STORE_H
#define LS_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/err.h"
#include "common/record/record.h"

struct ls_store;

/* ---- opening ---- */

struct ls_store_options {
    const char *url; /* sqlite:PATH (postgres://… follows); borrowed during the call */
    uv_loop_t *loop; /* where callbacks run */
    int64_t busy_ms; /* how long to wait for other writers; 0: 5,000 */
    size_t
        max_pending; /* queued operations; 0: 4,096; beyond it an operation fails with LS_E_STORE */
    bool read_only;  /* verify, explain, status: takes no write lock, refuses writes */
};

/* Open and check the schema version. NULL: LS_E_CONFIG (bad URL, no such file, lockstep tables
 * missing or newer than this program), LS_E_STORE. The file itself is never created. */
struct ls_store *ls_store_open(const struct ls_store_options *options, struct ls_err *err);
/* Finish what is queued (bounded by deadline_ms; the rest gets LS_E_CANCELLED), close, free. Runs
 * the loop's pending callbacks. */
void ls_store_close(struct ls_store **store, int64_t deadline_ms);

/* One pool at a time owns a SQLite database: an flock on "<db>.lockstep-lock" held by the master
 * for the pool's life. Returns the open descriptor; -1: LS_E_EXISTS naming the pid that holds it. A
 * no-op (returns -2) for stores that need no lock. */
int ls_store_lock(const char *url, struct ls_err *err);

/* ---- installing (blocking; used by the CLI) ---- */

/* Print (to out) and, unless dry_run, execute what is missing: tables, dirty triggers of each
 * mapping, status views. Idempotent, safe when several run at once, versioned and forward only. */
int ls_store_install(const char *url, const struct ls_mapping *const *mappings, size_t count,
                     bool dry_run, struct ls_buf *out, struct ls_err *err);
/* Remove triggers and views; with `data` the tables too (links, bases, history are then gone: a
 * later install starts anew). */
int ls_store_uninstall(const char *url, const struct ls_mapping *const *mappings, size_t count,
                       bool data, struct ls_buf *out, struct ls_err *err);
/* Does everything that the mapping needs exist (table, columns, primary key, triggers, schema
 * version)? 0, or -1 LS_E_CONFIG naming the first gap. */
int ls_store_check(const char *url, const struct ls_mapping *const *mappings, size_t count,
                   struct ls_err *err);

/* ---- syncs ---- */

enum ls_sync_state { LS_SYNC_OBSERVE, LS_SYNC_ACTIVE, LS_SYNC_STOPPED };

struct ls_sync_status {
    char sync[64];
    enum ls_sync_state
        state; /* a sync nobody started is OBSERVE: it links and reports, it writes nothing */
    int64_t started_at; /* 0: never */
    int64_t linked, dirty, parked, dead, conflicts, tombstones;
    int64_t oldest_dirty_at; /* first_at of the oldest unsynced change; 0: none */
    int64_t last_synced_at;  /* 0: never */
    int64_t last_verified_at;
};
typedef void ls_store_sync_cb(void *arg, const struct ls_sync_status *status,
                              const struct ls_err *err);
void ls_store_sync_status(struct ls_store *store, const struct ls_mapping *mapping,
                          ls_store_sync_cb *done, void *arg);
/* What the founding SQL of sync timestamps asks, over the rows of the table (reads all of them):
 * how many there are, were never synced, were not synced for recent_ms; the age of the last sync in
 * seconds, on average and at most (of rows that ever were). */
struct ls_sync_figures {
    int64_t rows, never_synced, not_recent;
    int64_t pending, synced, parked, dead; /* as the status view has it */
    double lag_avg_s, lag_max_s;           /* -1: no row was ever synced */
};
typedef void ls_store_figures_cb(void *arg, const struct ls_sync_figures *figures,
                                 const struct ls_err *err);
void ls_store_sync_figures(struct ls_store *store, const struct ls_mapping *mapping,
                           int64_t recent_ms, ls_store_figures_cb *done, void *arg);
typedef void ls_store_done_cb(void *arg, const struct ls_err *err);
void ls_store_sync_set_state(struct ls_store *store, const struct ls_mapping *mapping,
                             enum ls_sync_state state, ls_store_done_cb *done, void *arg);

/* ---- marks: what may have changed ---- */

/* One record that needs a look. uid is minted here if it has none: "l-<local id>" or "r-<remote
 * id>", safe in a job's key. */
struct ls_mark {
    char *account, *entity, *uid;
    int64_t gen;      /* newest generation among its marks */
    int64_t first_at; /* when the oldest unsynced change happened */
    bool raised;      /* the application wants it before all others */
    bool high;        /* raised, or a critical field changed */
    bool low;         /* nothing changed that we know of: a backfill or scan wants it looked at */
};
enum ls_marks_which {
    LS_MARKS_ALL,
    LS_MARKS_URGENT, /* raised and high ones, and those that a listing of the platform, a backfill or
                      * a scan made */
    LS_MARKS_FOUND   /* raised ones, and the latter */
};
struct ls_marks_query {
    const char *account, *entity; /* of one sync; NULL: of every active sync */
    enum ls_marks_which which;
    size_t limit;             /* records; 0: 500; at most 2,000 */
    int64_t repush_before_ms; /* also those handed over before this time and still there; 0: none */
};
typedef void ls_store_marks_cb(void *arg, const struct ls_mark *marks, size_t count,
                               const struct ls_err *err);
/* Records with marks not yet handed to the queue, or handed over before repush_before_ms and still
 * there; high ones first, then oldest first; only of syncs that are ACTIVE. Resolves or creates
 * their link rows (durably) first. Marks of a record that is dead (ls_store_note_error) do not come
 * again until it changes. */
void ls_store_marks_take(struct ls_store *store, const struct ls_marks_query *query,
                         ls_store_marks_cb *done, void *arg);
/* They are in the queue now (after the push was acknowledged). A mark whose generation moved since
 * stays due. */
void ls_store_marks_pushed(struct ls_store *store, const struct ls_mark *marks, size_t count,
                           ls_store_done_cb *done, void *arg);
/* How many marks with a generation up to up_to_gen a sync still has, dead ones not counted;
 * up_to_gen < 0: of any generation. newest_gen is the newest generation given out in the whole
 * database. */
typedef void ls_store_left_cb(void *arg, int64_t left, int64_t newest_gen,
                              const struct ls_err *err);
void ls_store_marks_left(struct ls_store *store, const char *account, const char *entity,
                         int64_t up_to_gen, ls_store_left_cb *done, void *arg);
/* Called on the loop when the database may have new marks (file events, falling back to polling
 * each second); NULL to stop. */
void ls_store_watch(struct ls_store *store, void (*changed)(void *arg), void *arg);

/* A remote record that a listing showed. record may be partial (MISSING fields are not compared);
 * NULL: it could not be read or lies in the trash, mark it in any case. */
struct ls_seen {
    const char *remote_id;
    const char *version; /* the platform's version or modification stamp; NULL unknown */
    const char *match;   /* value of the match field; NULL none */
    const struct ls_record *record;
};
struct ls_seen_result {
    size_t marked; /* marked dirty: unknown, or differing from the base */
    size_t linked; /* linked now because local and remote were equal (only with link_equal) */
    size_t unchanged;
};
typedef void ls_store_seen_cb(void *arg, const struct ls_seen_result *result,
                              const struct ls_err *err);
/* Durably mark what differs. A record whose values equal its base is not marked. With link_equal,
 * an unlinked remote record whose match value names exactly one unlinked local row with equal
 * mapped values is linked at once (decision table row 4); with a sync in OBSERVE that is allowed,
 * it writes nothing outside lockstep's tables. scan_gen > 0 is stored as seen_gen. */
void ls_store_mark_remote(struct ls_store *store, const struct ls_mapping *mapping,
                          const struct ls_seen *seen, size_t count, bool link_equal,
                          int64_t scan_gen, ls_store_seen_cb *done, void *arg);
/* Mark local rows in key order, starting after after_id (NULL: from the start), those that are not
 * linked (all: every row). count_marked and the last id looked at come back; last_id NULL: the end
 * was reached. */
typedef void ls_store_mark_local_cb(void *arg, size_t looked, size_t marked, const char *last_id,
                                    const struct ls_err *err);
void ls_store_mark_local(struct ls_store *store, const struct ls_mapping *mapping,
                         const char *after_id, size_t limit, bool all, ls_store_mark_local_cb *done,
                         void *arg);
/* Resolve a job that names a record by local or remote id (exactly one is not NULL) to its uid,
 * making the link row if needed. The uid is borrowed. */
typedef void ls_store_uid_cb(void *arg, const char *uid, const struct ls_err *err);
void ls_store_resolve(struct ls_store *store, const struct ls_mapping *mapping,
                      const char *local_id, const char *remote_id, ls_store_uid_cb *done,
                      void *arg);

/* ---- reconcile ---- */

enum ls_link_state { LS_LINK_NEW, LS_LINK_LINKED, LS_LINK_PARKED, LS_LINK_TOMB };
enum ls_op_kind { LS_OP_CREATE, LS_OP_UPDATE, LS_OP_DELETE };
enum ls_op_state { LS_OP_SENT, LS_OP_OK, LS_OP_REJECTED, LS_OP_RETRY, LS_OP_UNKNOWN };

/* A remote write that was begun. op_key names the operation (H(account, entity, uid, kind,
 * base_gen, target hash)), never an attempt. */
struct ls_op {
    char op_key[65];
    enum ls_op_kind kind;
    enum ls_op_state state;
    char target_hash[LS_RECORD_HASH_SIZE]; /* what was sent: which fields and a hash of their values
                                              (common/sync/sent.h); opaque here */
    int64_t first_at;
    int attempts;
};

/* Everything reconcile needs of one record, in one snapshot. Owned by the receiver once `done`
 * hands it over. */
struct ls_snapshot {
    char *uid;
    char *local_id, *remote_id; /* NULL: none known */
    enum ls_link_state state;
    int64_t base_gen;          /* grows with each change of the base */
    struct ls_record base;     /* absent when there is none yet */
    struct ls_record local;    /* absent when the row does not exist */
    struct ls_err local_error; /* code != NONE: the row exists but a value is unreadable (decision
                                  table row 23) */
    int64_t local_gen, remote_gen; /* generations of its marks; 0: none */
    int64_t first_at;              /* of its oldest mark; 0: none */
    char *remote_version;
    char *deleted_version; /* of a tombstone */
    struct ls_op *ops;
    size_t op_count; /* open: sent, retry or unknown; retry (no effect, may be sent again) is only
                        told */
    char (*sent)[LS_RECORD_HASH_SIZE];
    size_t sent_count;      /* target hashes of operations that never ended ok or rejected: what a
                  lost worker's late write may still bring. One that ended is no longer among them */
    uint64_t parked_fields; /* bit i: field i has an open conflict */
    char *error;            /* why it is parked or failed last; NULL none */
    int64_t recent_writes; /* of the field that went to and fro most in the last 10 minutes; 0 while
                              none went both ways (loop breaker) */
    bool writes_allowed;   /* the sync is ACTIVE */
};
void ls_snapshot_free(struct ls_snapshot *snapshot);

typedef void ls_store_begin_cb(void *arg, struct ls_snapshot *snapshot /* owned by the callee */,
                               const struct ls_err *err);
/* Take the record for the claim with this fence and read it. LS_E_FENCED when a higher fence has
 * it. With fence 0 it is only read (in a read-only store too): nothing is taken, and a uid that no
 * link row has is answered as well: "l-<local id>" by the link row of that local id, else as the
 * new record it would be; "r-<remote id>" likewise. LS_E_NOT_FOUND: there is no such record (it may
 * have been absorbed by another). */
void ls_store_begin(struct ls_store *store, const struct ls_mapping *mapping, const char *uid,
                    uint64_t fence, ls_store_begin_cb *done, void *arg);

/* Durably note that a write is about to leave: op row `sent` and, for updates and creates, the hash
 * in the echo ledger. Must be acknowledged before the first byte leaves. LS_E_EXISTS: the same
 * operation already ended ok (a concurrent duplicate, or the platform's answer was another value
 * than was sent). One in state retry, unknown or rejected is begun again, its attempts counted. */
void ls_store_op_sent(struct ls_store *store, const struct ls_mapping *mapping, const char *uid,
                      uint64_t fence, const struct ls_op *op, ls_store_done_cb *done, void *arg);

enum ls_audit_dir { LS_AUDIT_TO_REMOTE, LS_AUDIT_TO_LOCAL };
struct ls_audit {
    size_t field;
    enum ls_audit_dir dir;
    const struct ls_value *old_value, *new_value;
};

/* What reconcile decided, committed in one transaction together with the removal of the marks it
 * has seen. */
struct ls_commit {
    uint64_t fence;
    int row; /* of the decision table; goes into the audit */
    const char
        *remote_id; /* link to it (absorbing an unlinked row that holds it); NULL: unchanged */
    const char *remote_version; /* NULL: unchanged */
    enum ls_link_state state;
    const struct ls_record *base; /* the new base: what both sides agree on; NULL: unchanged */
    const struct ls_record *
        local_old; /* the row as it was read: the local write happens only if the row still is so */
    const struct ls_record *local_new; /* SET and NULL values are written to the row; MISSING are
                                          left alone; NULL: no local write. With an absent local row
                                          it is inserted and its id becomes local_id */
    bool local_delete;                 /* delete the row (through the gate only) */
    int64_t local_gen, remote_gen;     /* marks with exactly these generations are removed */
    const struct ls_op
        *op; /* outcome of an operation; NULL none. OK grows base_gen even when base stays */
    const struct ls_audit *audits;
    size_t audit_count;
    uint64_t conflict_fields; /* conflicts now open (bit i = field i); others of this record are
                                 closed */
    const struct ls_record *conflict_remote; /* the remote side's values, for the conflict rows */
    const char *error; /* why it is parked or failed last, shown in the status view; NULL clears */
    const char *deleted_version; /* with state TOMB */
    bool verified;               /* both sides were read and agree: verified_at := now */
    bool synced; /* synced_at := now. verified or synced close every other open op of the record;
                    what they sent stays in `sent` for a day, against late writes */
};
struct ls_commit_result {
    const char *local_id; /* of an inserted row, else the known one */
    bool local_differs; /* after the write the row is not what was written (an application trigger):
                           its mark stays */
};
typedef void ls_store_commit_cb(void *arg, const struct ls_commit_result *result,
                                const struct ls_err *err);
/* LS_E_FENCED, LS_E_CONFLICT (row changed since local_old was read), LS_E_EXISTS (remote_id is
 * linked to another record: duplicate), LS_E_INVALID (the database refuses the row: a constraint,
 * or a column that cannot hold the value exactly), LS_E_UNSUPPORTED (a new row needs a key that
 * neither the database nor we can make). Nothing of it is committed then. */
void ls_store_commit(struct ls_store *store, const struct ls_mapping *mapping, const char *uid,
                     const struct ls_commit *commit, ls_store_commit_cb *done, void *arg);

/* Keep the last error of a record whose run failed (status view; no fence needed). dead: its job is
 * a dead letter now, so its marks are not handed over again until it changes. The next
 * ls_store_begin ends that. */
void ls_store_note_error(struct ls_store *store, const struct ls_mapping *mapping, const char *uid,
                         bool dead, const char *error, ls_store_done_cb *done, void *arg);

/* ---- cursors, runs, conflicts, scans ---- */

/* A cursor of a feed (account, entity, partition): opaque text, valid only under the identity it
 * was stored with. value NULL: none. */
typedef void ls_store_cursor_cb(void *arg, const char *value, const struct ls_err *err);
void ls_store_cursor_get(struct ls_store *store, const struct ls_mapping *mapping,
                         const char *partition, ls_store_cursor_cb *done, void *arg);
void ls_store_cursor_set(struct ls_store *store, const struct ls_mapping *mapping,
                         const char *partition, const char *value, ls_store_done_cb *done,
                         void *arg);

/* A run's record for `sync history`; stats is a one-line JSON object. run_id 0 in: a new row, its
 * id comes back. */
typedef void ls_store_run_cb(void *arg, int64_t run_id, const struct ls_err *err);
void ls_store_run_put(struct ls_store *store, const struct ls_mapping *mapping, int64_t run_id,
                      const char *kind, bool ended, const char *stats, ls_store_run_cb *done,
                      void *arg);

/* The newest runs first. stats is JSON as it was put. */
struct ls_run_row {
    int64_t id;
    const char *kind;
    int64_t started_at, ended_at; /* 0: under way */
    const char *stats;
};
typedef void ls_store_runs_cb(void *arg, const struct ls_run_row *runs, size_t count,
                              const struct ls_err *err);
void ls_store_runs(struct ls_store *store, const struct ls_mapping *mapping, size_t limit,
                   ls_store_runs_cb *done, void *arg);

struct ls_conflict {
    char *uid, *local_id, *remote_id, *field, *base, *local, *remote;
    int64_t opened_at;
};
typedef void ls_store_conflicts_cb(void *arg, const struct ls_conflict *conflicts, size_t count,
                                   const struct ls_err *err);
void ls_store_conflicts(struct ls_store *store, const struct ls_mapping *mapping, size_t limit,
                        ls_store_conflicts_cb *done, void *arg);

/* Keyset scan for verify and plan: linked records and unlinked local rows. */
struct ls_scan_row {
    const char *uid; /* NULL: an unlinked local row */
    const char *local_id, *remote_id;
    enum ls_link_state state;
    const char *error; /* last error; NULL none */
    bool dirty;        /* has marks now: excluded from the comparison */
    uint64_t parked_fields;
    const struct ls_record *base;  /* absent when none */
    const struct ls_record *local; /* absent when the row is gone */
};
typedef void ls_store_scan_cb(void *arg, const struct ls_scan_row *rows, size_t count,
                              const char *next /* NULL: the end */, const struct ls_err *err);
/* rows ordered by an internal key; `after` is a previous `next` or NULL. Covers every link row of
 * the mapping and every local row. limit bounds what is looked at, so fewer rows, even none, may
 * come with a `next`. */
void ls_store_scan(struct ls_store *store, const struct ls_mapping *mapping, const char *after,
                   size_t limit, ls_store_scan_cb *done, void *arg);
/* The same rows for given remote ids (unknown ids are left out of the result). */
void ls_store_scan_remote(struct ls_store *store, const struct ls_mapping *mapping,
                          const char *const *remote_ids, size_t count, ls_store_scan_cb *done,
                          void *arg);
/* The local rows (linked or not) whose match field has this value; at most 3 come back, so that
 * duplicates show. Costs a table scan when the column has no index. */
void ls_store_find_local(struct ls_store *store, const struct ls_mapping *mapping,
                         const char *match, ls_store_scan_cb *done, void *arg);
/* Ended operations, echo hashes, closed conflicts, runs and audit rows from before before_ms go, in
 * slices of a few thousand rows; more: call again. */
typedef void ls_store_gc_cb(void *arg, int64_t removed, bool more, const struct ls_err *err);
void ls_store_gc(struct ls_store *store, int64_t before_ms, ls_store_gc_cb *done, void *arg);
/* Stamp verified_at on linked records that a verify found equal. */
void ls_store_verified(struct ls_store *store, const struct ls_mapping *mapping,
                       const char *const *uids, size_t count, ls_store_done_cb *done, void *arg);

#endif
