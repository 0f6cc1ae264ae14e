/* The SQLite driver of the store. A store owns a thread, which owns the connection. Operations
 * queue up on the loop's side (bounded); the thread takes all that wait, runs those that write in
 * one BEGIN IMMEDIATE ... COMMIT, each under its own SAVEPOINT, and hands the results back to the
 * loop, where the callbacks run. So one fsync serves many, and one operation's failure is its own.
 */
#ifndef LS_STORE_SQLITE_SQLITE_H
#define LS_STORE_SQLITE_SQLITE_H

#include <pthread.h>
#include <uv.h>

#include "common/store/sqlite/schema.h"
#include "common/store/sqlite/table.h"
#include "common/store/store_internal.h"

/* Marks of dead records: handed over "for ever". */
#define LS_NEVER_MS 9007199254740991LL
#define LS_ECHO_MS \
    (24 * 3600 * 1000LL) /* how long a write without an answer may still come to light */
#define LS_LOOP_MS (10 * 60 * 1000LL) /* window of recent_writes */

/* What an operation may use while it runs on the thread. */
struct ls_turn_db {
    struct ls_db db;
    struct ls_app_table **tables; /* one a mapping, made on first use */
    size_t table_count;
    int64_t now_ms; /* wall time of the transaction */
    bool writing;   /* inside BEGIN IMMEDIATE */
    struct {        /* syncs whose synced_at or verified_at moved in this transaction */
        char *account, *entity;
        bool synced, verified;
    } * moved;
    size_t moved_count;
};

struct request;

enum request_result {
    REQUEST_FAILED = -1, /* *err is set, what it wrote is rolled back */
    REQUEST_OK = 0,
    REQUEST_WRITE = 1 /* it was run in a read transaction and wants to write: run it again in a
                         write transaction */
};

/* A kind of operation. run may be called several times (a transaction that failed is run again): it
 * begins by dropping earlier results. */
struct request_type {
    const char *name;
    bool writes; /* needs a write transaction from the start */
    bool soft;   /* may be forgotten by a power failure: no fsync for its sake */
    enum request_result (*run)(struct ls_turn_db *turn, struct request *request,
                               struct ls_err *err);
    void (*deliver)(struct request *request,
                    const struct ls_err *err); /* on the loop; err NULL: well */
    void (*free)(struct request *request);
};

/* The first member of every operation's struct. */
struct request {
    const struct request_type *type;
    struct request *next;
    bool failed;
    struct ls_err err;
};

/* Queue it; takes the request over. */
void ls_sqlite_submit(struct ls_store *store, struct request *request);
/* The table of a mapping. NULL with *err. */
struct ls_app_table *ls_sqlite_table(struct ls_turn_db *turn, const struct ls_mapping *mapping,
                                     struct ls_err *err);
/* Note that the sync's times move with this transaction. */
void ls_sqlite_moved(struct ls_turn_db *turn, const char *account, const char *entity, bool synced,
                     bool verified);

/* A callback that gets no more than an error. */
struct done_request {
    struct request request;
    ls_store_done_cb *done;
    void *arg;
};
void ls_done_deliver(struct request *request, const struct ls_err *err);

/* Thread and watch (thread.c, watch.c). */
struct sqlite_store;
struct ls_watch;
struct ls_store *ls_sqlite_open(const struct ls_store_options *options, struct ls_err *err);
void ls_sqlite_close(struct ls_store *store, int64_t deadline_ms);
/* changed is called on the loop. NULL: not possible here; never. */
struct ls_watch *ls_watch_start(uv_loop_t *loop, const char *path, void (*changed)(void *arg),
                                void *arg);
void ls_watch_stop(struct ls_watch **watch);

/* install.c */
int ls_sqlite_install(const char *url, const struct ls_mapping *const *mappings, size_t count,
                      bool dry_run, struct ls_buf *out, struct ls_err *err);
int ls_sqlite_uninstall(const char *url, const struct ls_mapping *const *mappings, size_t count,
                        bool data, struct ls_buf *out, struct ls_err *err);
int ls_sqlite_check(const char *url, const struct ls_mapping *const *mappings, size_t count,
                    struct ls_err *err);
int ls_sqlite_lock(const char *url, struct ls_err *err);

/* The operations, one file a group: marks.c, reconcile.c, scan.c, state.c. */
#define LS_SQLITE_DECLARE(name, parameters, arguments) void ls_sqlite_##name parameters;
LS_STORE_OPERATIONS(LS_SQLITE_DECLARE)
#undef LS_SQLITE_DECLARE

#endif
