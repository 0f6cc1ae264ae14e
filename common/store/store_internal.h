/* What a database driver implements. store.c finds the driver by the scheme of the URL; every
 * public operation is one row of its table, with the same promises as in store.h. */
#ifndef LS_STORE_STORE_INTERNAL_H
#define LS_STORE_STORE_INTERNAL_H

#include "common/store/store.h"

/* LS_STORE_OPERATIONS(X): X(name, parameters, arguments) for each asynchronous operation. */
#define LS_STORE_OPERATIONS(X)                                                                     \
    X(sync_status,                                                                                 \
      (struct ls_store * store, const struct ls_mapping *mapping, ls_store_sync_cb *done,          \
       void *arg),                                                                                 \
      (store, mapping, done, arg))                                                                 \
    X(sync_figures,                                                                                \
      (struct ls_store * store, const struct ls_mapping *mapping, int64_t recent_ms,               \
       ls_store_figures_cb *done, void *arg),                                                      \
      (store, mapping, recent_ms, done, arg))                                                      \
    X(sync_set_state,                                                                              \
      (struct ls_store * store, const struct ls_mapping *mapping, enum ls_sync_state state,        \
       ls_store_done_cb *done, void *arg),                                                         \
      (store, mapping, state, done, arg))                                                          \
    X(marks_take,                                                                                  \
      (struct ls_store * store, const struct ls_marks_query *query, ls_store_marks_cb *done,       \
       void *arg),                                                                                 \
      (store, query, done, arg))                                                                   \
    X(marks_pushed,                                                                                \
      (struct ls_store * store, const struct ls_mark *marks, size_t count, ls_store_done_cb *done, \
       void *arg),                                                                                 \
      (store, marks, count, done, arg))                                                            \
    X(marks_left,                                                                                  \
      (struct ls_store * store, const char *account, const char *entity, int64_t up_to_gen,        \
       ls_store_left_cb *done, void *arg),                                                         \
      (store, account, entity, up_to_gen, done, arg))                                              \
    X(mark_remote,                                                                                 \
      (struct ls_store * store, const struct ls_mapping *mapping, const struct ls_seen *seen,      \
       size_t count, bool link_equal, int64_t scan_gen, ls_store_seen_cb *done, void *arg),        \
      (store, mapping, seen, count, link_equal, scan_gen, done, arg))                              \
    X(mark_local,                                                                                  \
      (struct ls_store * store, const struct ls_mapping *mapping, const char *after_id,            \
       size_t limit, bool all, ls_store_mark_local_cb *done, void *arg),                           \
      (store, mapping, after_id, limit, all, done, arg))                                           \
    X(resolve,                                                                                     \
      (struct ls_store * store, const struct ls_mapping *mapping, const char *local_id,            \
       const char *remote_id, ls_store_uid_cb *done, void *arg),                                   \
      (store, mapping, local_id, remote_id, done, arg))                                            \
    X(begin,                                                                                       \
      (struct ls_store * store, const struct ls_mapping *mapping, const char *uid, uint64_t fence, \
       ls_store_begin_cb *done, void *arg),                                                        \
      (store, mapping, uid, fence, done, arg))                                                     \
    X(op_sent,                                                                                     \
      (struct ls_store * store, const struct ls_mapping *mapping, const char *uid, uint64_t fence, \
       const struct ls_op *op, ls_store_done_cb *done, void *arg),                                 \
      (store, mapping, uid, fence, op, done, arg))                                                 \
    X(commit,                                                                                      \
      (struct ls_store * store, const struct ls_mapping *mapping, const char *uid,                 \
       const struct ls_commit *commit, ls_store_commit_cb *done, void *arg),                       \
      (store, mapping, uid, commit, done, arg))                                                    \
    X(note_error,                                                                                  \
      (struct ls_store * store, const struct ls_mapping *mapping, const char *uid, bool dead,      \
       const char *error, ls_store_done_cb *done, void *arg),                                      \
      (store, mapping, uid, dead, error, done, arg))                                               \
    X(cursor_get,                                                                                  \
      (struct ls_store * store, const struct ls_mapping *mapping, const char *partition,           \
       ls_store_cursor_cb *done, void *arg),                                                       \
      (store, mapping, partition, done, arg))                                                      \
    X(cursor_set,                                                                                  \
      (struct ls_store * store, const struct ls_mapping *mapping, const char *partition,           \
       const char *value, ls_store_done_cb *done, void *arg),                                      \
      (store, mapping, partition, value, done, arg))                                               \
    X(run_put,                                                                                     \
      (struct ls_store * store, const struct ls_mapping *mapping, int64_t run_id,                  \
       const char *kind, bool ended, const char *stats, ls_store_run_cb *done, void *arg),         \
      (store, mapping, run_id, kind, ended, stats, done, arg))                                     \
    X(runs,                                                                                        \
      (struct ls_store * store, const struct ls_mapping *mapping, size_t limit,                    \
       ls_store_runs_cb *done, void *arg),                                                         \
      (store, mapping, limit, done, arg))                                                          \
    X(conflicts,                                                                                   \
      (struct ls_store * store, const struct ls_mapping *mapping, size_t limit,                    \
       ls_store_conflicts_cb *done, void *arg),                                                    \
      (store, mapping, limit, done, arg))                                                          \
    X(scan,                                                                                        \
      (struct ls_store * store, const struct ls_mapping *mapping, const char *after, size_t limit, \
       ls_store_scan_cb *done, void *arg),                                                         \
      (store, mapping, after, limit, done, arg))                                                   \
    X(scan_remote,                                                                                 \
      (struct ls_store * store, const struct ls_mapping *mapping, const char *const *remote_ids,   \
       size_t count, ls_store_scan_cb *done, void *arg),                                           \
      (store, mapping, remote_ids, count, done, arg))                                              \
    X(find_local,                                                                                  \
      (struct ls_store * store, const struct ls_mapping *mapping, const char *match,               \
       ls_store_scan_cb *done, void *arg),                                                         \
      (store, mapping, match, done, arg))                                                          \
    X(verified,                                                                                    \
      (struct ls_store * store, const struct ls_mapping *mapping, const char *const *uids,         \
       size_t count, ls_store_done_cb *done, void *arg),                                           \
      (store, mapping, uids, count, done, arg))                                                    \
    X(gc, (struct ls_store * store, int64_t before_ms, ls_store_gc_cb * done, void *arg),          \
      (store, before_ms, done, arg))                                                               \
    X(watch, (struct ls_store * store, void (*changed)(void *arg), void *arg),                     \
      (store, changed, arg))

struct ls_store_driver {
    const char *scheme; /* "sqlite:" */
    struct ls_store *(*open)(const struct ls_store_options *options, struct ls_err *err);
    void (*close)(struct ls_store *store, int64_t deadline_ms);
    int (*lock)(const char *url, struct ls_err *err);
    int (*install)(const char *url, const struct ls_mapping *const *mappings, size_t count,
                   bool dry_run, struct ls_buf *out, struct ls_err *err);
    int (*uninstall)(const char *url, const struct ls_mapping *const *mappings, size_t count,
                     bool data, struct ls_buf *out, struct ls_err *err);
    int (*check)(const char *url, const struct ls_mapping *const *mappings, size_t count,
                 struct ls_err *err);
#define LS_STORE_MEMBER(name, parameters, arguments) void(*name) parameters;
    LS_STORE_OPERATIONS(LS_STORE_MEMBER)
#undef LS_STORE_MEMBER
};

/* The first member of every driver's store. */
struct ls_store {
    const struct ls_store_driver *driver;
};

extern const struct ls_store_driver ls_sqlite_driver;

#endif
