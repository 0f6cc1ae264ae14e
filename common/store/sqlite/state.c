/* Syncs and their figures, cursors, runs, the list of conflicts, and throwing old rows away. */
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/store/sqlite/link.h"

#define GC_SLICE 2000

static const char *const sync_state_names[] = {
    [LS_SYNC_OBSERVE] = "observe", [LS_SYNC_ACTIVE] = "active", [LS_SYNC_STOPPED] = "stopped"};

/* ---- status ---------------------------------------------------------------------------------- */

struct status_request {
    struct request request;
    const struct ls_mapping *mapping;
    struct ls_sync_status status;
    ls_store_sync_cb *done;
    void *arg;
};

static int count_links(struct ls_turn_db *turn, const struct ls_mapping *mapping, const char *state,
                       int64_t *count, struct ls_err *err)
{
    return ls_db_int(
        &turn->db, count, 0, err,
        "SELECT count(*) FROM lockstep_link WHERE account = ?1 AND entity = ?2 AND state = ?3",
        "ttt", mapping->account, mapping->entity, state);
}

static enum request_result status_run(struct ls_turn_db *turn, struct request *request,
                                      struct ls_err *err)
{
    struct status_request *get = (struct status_request *)request;
    const struct ls_mapping *mapping = get->mapping;
    struct ls_sync_status *status = &get->status;
    sqlite3_stmt *row;
    int found;

    *status = (struct ls_sync_status){0};
    snprintf(status->sync, sizeof status->sync, "%s", mapping->sync);
    if (ls_db_query(&turn->db, &row, err,
                    "SELECT state, started_at, synced_at, verified_at FROM lockstep_sync "
                    "WHERE account = ?1 AND entity = ?2",
                    "tt", mapping->account, mapping->entity) < 0 ||
        (found = ls_db_next(&turn->db, row, err)) < 0)
        return REQUEST_FAILED;
    if (found) {
        for (size_t i = 0; i < LS_COUNT(sync_state_names); i++)
            if (strcmp(ls_db_text(row, 0), sync_state_names[i]) == 0)
                status->state = (enum ls_sync_state)i;
        status->started_at = sqlite3_column_int64(row, 1);
        status->last_synced_at = sqlite3_column_int64(row, 2);
        status->last_verified_at = sqlite3_column_int64(row, 3);
    }
    if (count_links(turn, mapping, "linked", &status->linked, err) < 0 ||
        count_links(turn, mapping, "parked", &status->parked, err) < 0 ||
        count_links(turn, mapping, "tomb", &status->tombstones, err) < 0 ||
        ls_db_int(
            &turn->db, &status->dead, 0, err,
            "SELECT count(*) FROM lockstep_link WHERE account = ?1 AND entity = ?2 AND dead = 1",
            "tt", mapping->account, mapping->entity) < 0 ||
        ls_db_int(&turn->db, &status->dirty, 0, err,
                  "SELECT count(*) FROM lockstep_dirty WHERE account = ?1 AND entity = ?2", "tt",
                  mapping->account, mapping->entity) < 0 ||
        ls_db_int(&turn->db, &status->oldest_dirty_at, 0, err,
                  "SELECT min(first_at) FROM lockstep_dirty WHERE account = ?1 AND entity = ?2",
                  "tt", mapping->account, mapping->entity) < 0 ||
        ls_db_int(&turn->db, &status->conflicts, 0, err,
                  "SELECT count(*) FROM lockstep_conflict AS c CROSS JOIN lockstep_link AS l ON "
                  "l.id = c.link "
                  "WHERE c.closed_at IS NULL AND l.account = ?1 AND l.entity = ?2",
                  "tt", mapping->account, mapping->entity) < 0)
        return REQUEST_FAILED;
    return REQUEST_OK;
}

static void status_deliver(struct request *request, const struct ls_err *err)
{
    struct status_request *get = (struct status_request *)request;

    get->done(get->arg, err ? NULL : &get->status, err);
}

static void plain_free(struct request *request)
{
    free(request);
}

void ls_sqlite_sync_status(struct ls_store *store, const struct ls_mapping *mapping,
                           ls_store_sync_cb *done, void *arg)
{
    static const struct request_type type = {
        .name = "sync_status", .run = status_run, .deliver = status_deliver, .free = plain_free};
    struct status_request *get = LS_NEW(struct status_request);

    *get = (struct status_request){
        .request.type = &type, .mapping = mapping, .done = done, .arg = arg};
    ls_sqlite_submit(store, &get->request);
}

/* ---- figures --------------------------------------------------------------------------------- */

struct figures_request {
    struct request request;
    const struct ls_mapping *mapping;
    int64_t recent_ms;
    struct ls_sync_figures figures;
    ls_store_figures_cb *done;
    void *arg;
};

static enum request_result figures_run(struct ls_turn_db *turn, struct request *request,
                                       struct ls_err *err)
{
    struct figures_request *get = (struct figures_request *)request;
    const struct ls_mapping *mapping = get->mapping;
    struct ls_app_table *table = ls_sqlite_table(turn, mapping, err);
    struct ls_sync_figures *figures = &get->figures;
    sqlite3_stmt *row;
    char *sql;
    int found;

    if (!table)
        return REQUEST_FAILED;
    /* The status as the view has it, kept apart because several syncs may share a table. */
    sql = ls_xasprintf(
        "SELECT count(*), sum(synced_at IS NULL), sum(synced_at < ?3 - ?4), avg(?3 - synced_at) / "
        "1000.0, max(?3 - synced_at) / 1000.0, sum(status = 'pending'), sum(status = 'synced'), "
        "sum(status = 'parked'), sum(status = 'dead') FROM (SELECT l.synced_at AS synced_at, CASE "
        "WHEN l.dead = 1 THEN 'dead' WHEN l.state = 'parked' OR EXISTS (SELECT 1 FROM "
        "lockstep_conflict AS c WHERE c.link = l.id AND c.closed_at IS NULL) THEN 'parked' WHEN "
        "l.state IS NULL OR l.state <> 'linked' OR EXISTS (SELECT 1 FROM lockstep_dirty AS d WHERE "
        "d.account = ?1 AND d.entity = ?2 AND d.side = 'l' AND d.ref = l.local_id) OR EXISTS "
        "(SELECT "
        "1 FROM lockstep_dirty AS d WHERE d.account = ?1 AND d.entity = ?2 AND d.side = 'r' AND "
        "d.ref = l.remote_id) THEN 'pending' ELSE 'synced' END AS status FROM %s LEFT JOIN "
        "lockstep_link AS l ON l.account = ?1 AND l.entity = ?2 AND l.local_id = CAST(%s AS TEXT))",
        table->from, table->key);
    found = ls_db_query(&turn->db, &row, err, sql, "ttii", mapping->account, mapping->entity,
                        turn->now_ms, get->recent_ms);
    free(sql);
    if (found < 0 || ls_db_next(&turn->db, row, err) < 0)
        return REQUEST_FAILED;
    *figures = (struct ls_sync_figures){
        .rows = sqlite3_column_int64(row, 0),
        .never_synced = sqlite3_column_int64(row, 1),
        .not_recent = sqlite3_column_int64(row, 2),
        .lag_avg_s =
            sqlite3_column_type(row, 3) == SQLITE_NULL ? -1 : sqlite3_column_double(row, 3),
        .lag_max_s =
            sqlite3_column_type(row, 4) == SQLITE_NULL ? -1 : sqlite3_column_double(row, 4),
        .pending = sqlite3_column_int64(row, 5),
        .synced = sqlite3_column_int64(row, 6),
        .parked = sqlite3_column_int64(row, 7),
        .dead = sqlite3_column_int64(row, 8)};
    return REQUEST_OK;
}

static void figures_deliver(struct request *request, const struct ls_err *err)
{
    struct figures_request *get = (struct figures_request *)request;

    get->done(get->arg, err ? NULL : &get->figures, err);
}

void ls_sqlite_sync_figures(struct ls_store *store, const struct ls_mapping *mapping,
                            int64_t recent_ms, ls_store_figures_cb *done, void *arg)
{
    static const struct request_type type = {
        .name = "sync_figures", .run = figures_run, .deliver = figures_deliver, .free = plain_free};
    struct figures_request *get = LS_NEW(struct figures_request);

    *get = (struct figures_request){.request.type = &type,
                                    .mapping = mapping,
                                    .recent_ms = recent_ms,
                                    .done = done,
                                    .arg = arg};
    ls_sqlite_submit(store, &get->request);
}

/* ---- state ----------------------------------------------------------------------------------- */

struct state_request {
    struct done_request base;
    const struct ls_mapping *mapping;
    enum ls_sync_state state;
};

static enum request_result state_run(struct ls_turn_db *turn, struct request *request,
                                     struct ls_err *err)
{
    struct state_request *set = (struct state_request *)request;
    const struct ls_mapping *mapping = set->mapping;

    return ls_db_run(&turn->db, err,
                     "INSERT INTO lockstep_sync (account, entity, name, state, started_at) "
                     "VALUES (?1, ?2, ?3, ?4, CASE WHEN ?4 = 'active' THEN ?5 END) "
                     "ON CONFLICT DO UPDATE SET name = excluded.name, started_at = CASE WHEN "
                     "excluded.state = 'active' AND state <> 'active' THEN ?5 ELSE started_at END, "
                     "state = excluded.state",
                     "tttti", mapping->account, mapping->entity, mapping->sync,
                     sync_state_names[set->state], turn->now_ms) < 0
               ? REQUEST_FAILED
               : REQUEST_OK;
}

void ls_sqlite_sync_set_state(struct ls_store *store, const struct ls_mapping *mapping,
                              enum ls_sync_state state, ls_store_done_cb *done, void *arg)
{
    static const struct request_type type = {.name = "sync_set_state",
                                             .writes = true,
                                             .run = state_run,
                                             .deliver = ls_done_deliver,
                                             .free = plain_free};
    struct state_request *set = LS_NEW(struct state_request);

    *set = (struct state_request){.base = {.request.type = &type, .done = done, .arg = arg},
                                  .mapping = mapping,
                                  .state = state};
    ls_sqlite_submit(store, &set->base.request);
}

/* ---- cursors --------------------------------------------------------------------------------- */

struct cursor_request {
    struct done_request base; /* done: of a set */
    const struct ls_mapping *mapping;
    char *partition, *value;
    ls_store_cursor_cb *got; /* of a get */
};

static enum request_result cursor_get_run(struct ls_turn_db *turn, struct request *request,
                                          struct ls_err *err)
{
    struct cursor_request *get = (struct cursor_request *)request;
    sqlite3_stmt *row;
    int found;

    free(get->value);
    get->value = NULL;
    if (ls_db_query(&turn->db, &row, err,
                    "SELECT value FROM lockstep_cursor WHERE account = ?1 AND entity = ?2 "
                    "AND partition = ?3 AND identity = ?4",
                    "tttt", get->mapping->account, get->mapping->entity, get->partition,
                    get->mapping->identity) < 0 ||
        (found = ls_db_next(&turn->db, row, err)) < 0)
        return REQUEST_FAILED;
    if (found)
        get->value = ls_db_dup(row, 0);
    return REQUEST_OK;
}

static enum request_result cursor_set_run(struct ls_turn_db *turn, struct request *request,
                                          struct ls_err *err)
{
    struct cursor_request *set = (struct cursor_request *)request;

    return ls_db_run(
               &turn->db, err,
               "INSERT INTO lockstep_cursor (account, entity, partition, identity, value, "
               "stored_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET identity = "
               "excluded.identity, value = excluded.value, stored_at = excluded.stored_at",
               "ttttti", set->mapping->account, set->mapping->entity, set->partition,
               set->mapping->identity, set->value, turn->now_ms) < 0
               ? REQUEST_FAILED
               : REQUEST_OK;
}

static void cursor_get_deliver(struct request *request, const struct ls_err *err)
{
    struct cursor_request *get = (struct cursor_request *)request;

    get->got(get->base.arg, err ? NULL : get->value, err);
}

static void cursor_free(struct request *request)
{
    struct cursor_request *cursor = (struct cursor_request *)request;

    free(cursor->partition);
    free(cursor->value);
    free(cursor);
}

void ls_sqlite_cursor_get(struct ls_store *store, const struct ls_mapping *mapping,
                          const char *partition, ls_store_cursor_cb *done, void *arg)
{
    static const struct request_type type = {.name = "cursor_get",
                                             .run = cursor_get_run,
                                             .deliver = cursor_get_deliver,
                                             .free = cursor_free};
    struct cursor_request *get = LS_NEW(struct cursor_request);

    *get = (struct cursor_request){.base = {.request.type = &type, .arg = arg},
                                   .mapping = mapping,
                                   .partition = ls_xstrdup(partition ? partition : ""),
                                   .got = done};
    ls_sqlite_submit(store, &get->base.request);
}

void ls_sqlite_cursor_set(struct ls_store *store, const struct ls_mapping *mapping,
                          const char *partition, const char *value, ls_store_done_cb *done,
                          void *arg)
{
    static const struct request_type type = {.name = "cursor_set",
                                             .writes = true,
                                             .run = cursor_set_run,
                                             .deliver = ls_done_deliver,
                                             .free = cursor_free};
    struct cursor_request *set = LS_NEW(struct cursor_request);

    *set = (struct cursor_request){.base = {.request.type = &type, .done = done, .arg = arg},
                                   .mapping = mapping,
                                   .partition = ls_xstrdup(partition ? partition : ""),
                                   .value = ls_xstrdup(value)};
    ls_sqlite_submit(store, &set->base.request);
}

/* ---- runs ------------------------------------------------------------------------------------ */

struct run_request {
    struct request request;
    const struct ls_mapping *mapping;
    int64_t given_id, id;
    char *kind, *stats;
    bool ended;
    ls_store_run_cb *done;
    void *arg;
};

static enum request_result run_run(struct ls_turn_db *turn, struct request *request,
                                   struct ls_err *err)
{
    struct run_request *put = (struct run_request *)request;
    int64_t changed;

    put->id = put->given_id;
    if (put->id) {
        changed = ls_db_run(&turn->db, err,
                            "UPDATE lockstep_run SET stats = coalesce(?2, stats), "
                            "ended_at = CASE WHEN ?3 THEN ?4 ELSE ended_at END WHERE id = ?1",
                            "itii", put->id, put->stats, (int64_t)put->ended, turn->now_ms);
    } else {
        changed =
            ls_db_run(&turn->db, err,
                      "INSERT INTO lockstep_run (account, entity, kind, started_at, ended_at, "
                      "stats) VALUES (?1, ?2, ?3, ?4, CASE WHEN ?5 THEN ?4 END, ?6)",
                      "tttiit", put->mapping->account, put->mapping->entity, put->kind,
                      turn->now_ms, (int64_t)put->ended, put->stats);
        put->id = sqlite3_last_insert_rowid(turn->db.handle);
    }
    return changed < 0 ? REQUEST_FAILED : REQUEST_OK;
}

static void run_deliver(struct request *request, const struct ls_err *err)
{
    struct run_request *put = (struct run_request *)request;

    if (put->done)
        put->done(put->arg, err ? 0 : put->id, err);
}

static void run_free(struct request *request)
{
    struct run_request *put = (struct run_request *)request;

    free(put->kind);
    free(put->stats);
    free(put);
}

void ls_sqlite_run_put(struct ls_store *store, const struct ls_mapping *mapping, int64_t run_id,
                       const char *kind, bool ended, const char *stats, ls_store_run_cb *done,
                       void *arg)
{
    static const struct request_type type = {.name = "run_put",
                                             .writes = true,
                                             .soft = true,
                                             .run = run_run,
                                             .deliver = run_deliver,
                                             .free = run_free};
    struct run_request *put = LS_NEW(struct run_request);

    *put = (struct run_request){.request.type = &type,
                                .mapping = mapping,
                                .given_id = run_id,
                                .kind = ls_xstrdup(kind ? kind : ""),
                                .ended = ended,
                                .stats = ls_xstrdup(stats),
                                .done = done,
                                .arg = arg};
    ls_sqlite_submit(store, &put->request);
}

struct runs_request {
    struct request request;
    const struct ls_mapping *mapping;
    int64_t limit;
    struct ls_run_row *rows;
    size_t count;
    ls_store_runs_cb *done;
    void *arg;
};

static void runs_reset(struct runs_request *get)
{
    for (size_t i = 0; i < get->count; i++) {
        free((void *)(uintptr_t)get->rows[i].kind);
        free((void *)(uintptr_t)get->rows[i].stats);
    }
    free(get->rows);
    get->rows = NULL;
    get->count = 0;
}

static enum request_result runs_run(struct ls_turn_db *turn, struct request *request,
                                    struct ls_err *err)
{
    struct runs_request *get = (struct runs_request *)request;
    sqlite3_stmt *row;
    int found;

    runs_reset(get);
    if (ls_db_query(
            &turn->db, &row, err,
            "SELECT id, kind, started_at, ended_at, stats FROM lockstep_run WHERE account = ?1 "
            "AND entity = ?2 ORDER BY started_at DESC, id DESC LIMIT ?3",
            "tti", get->mapping->account, get->mapping->entity, get->limit) < 0)
        return REQUEST_FAILED;
    while ((found = ls_db_next(&turn->db, row, err)) > 0) {
        get->rows = ls_xrealloc(get->rows, (get->count + 1) * sizeof *get->rows);
        get->rows[get->count++] = (struct ls_run_row){.id = sqlite3_column_int64(row, 0),
                                                      .kind = ls_db_dup(row, 1),
                                                      .started_at = sqlite3_column_int64(row, 2),
                                                      .ended_at = sqlite3_column_int64(row, 3),
                                                      .stats = ls_db_dup(row, 4)};
    }
    return found < 0 ? REQUEST_FAILED : REQUEST_OK;
}

static void runs_deliver(struct request *request, const struct ls_err *err)
{
    struct runs_request *get = (struct runs_request *)request;

    get->done(get->arg, err ? NULL : get->rows, err ? 0 : get->count, err);
}

static void runs_free(struct request *request)
{
    struct runs_request *get = (struct runs_request *)request;

    runs_reset(get);
    free(get);
}

void ls_sqlite_runs(struct ls_store *store, const struct ls_mapping *mapping, size_t limit,
                    ls_store_runs_cb *done, void *arg)
{
    static const struct request_type type = {
        .name = "runs", .run = runs_run, .deliver = runs_deliver, .free = runs_free};
    struct runs_request *get = LS_NEW(struct runs_request);

    *get = (struct runs_request){.request.type = &type,
                                 .mapping = mapping,
                                 .limit = limit ? (int64_t)limit : 20,
                                 .done = done,
                                 .arg = arg};
    ls_sqlite_submit(store, &get->request);
}

/* ---- conflicts ------------------------------------------------------------------------------- */

struct conflicts_request {
    struct request request;
    const struct ls_mapping *mapping;
    int64_t limit;
    struct ls_conflict *conflicts;
    size_t count;
    ls_store_conflicts_cb *done;
    void *arg;
};

static void conflicts_reset(struct conflicts_request *get)
{
    for (size_t i = 0; i < get->count; i++) {
        struct ls_conflict *conflict = &get->conflicts[i];
        free(conflict->uid);
        free(conflict->local_id);
        free(conflict->remote_id);
        free(conflict->field);
        free(conflict->base);
        free(conflict->local);
        free(conflict->remote);
    }
    free(get->conflicts);
    get->conflicts = NULL;
    get->count = 0;
}

static enum request_result conflicts_run(struct ls_turn_db *turn, struct request *request,
                                         struct ls_err *err)
{
    struct conflicts_request *get = (struct conflicts_request *)request;
    sqlite3_stmt *row;
    int found;

    conflicts_reset(get);
    if (ls_db_query(&turn->db, &row, err,
                    "SELECT l.uid, l.local_id, l.remote_id, c.field, c.base, c.local, c.remote, "
                    "c.opened_at FROM lockstep_conflict AS c CROSS JOIN lockstep_link AS l ON l.id "
                    "= c.link "
                    "WHERE c.closed_at IS NULL AND l.account = ?1 AND l.entity = ?2 "
                    "ORDER BY c.opened_at, c.id LIMIT ?3",
                    "tti", get->mapping->account, get->mapping->entity, get->limit) < 0)
        return REQUEST_FAILED;
    while ((found = ls_db_next(&turn->db, row, err)) > 0) {
        get->conflicts = ls_xrealloc(get->conflicts, (get->count + 1) * sizeof *get->conflicts);
        get->conflicts[get->count++] =
            (struct ls_conflict){.uid = ls_db_dup(row, 0),
                                 .local_id = ls_db_dup(row, 1),
                                 .remote_id = ls_db_dup(row, 2),
                                 .field = ls_db_dup(row, 3),
                                 .base = ls_db_dup(row, 4),
                                 .local = ls_db_dup(row, 5),
                                 .remote = ls_db_dup(row, 6),
                                 .opened_at = sqlite3_column_int64(row, 7)};
    }
    return found < 0 ? REQUEST_FAILED : REQUEST_OK;
}

static void conflicts_deliver(struct request *request, const struct ls_err *err)
{
    struct conflicts_request *get = (struct conflicts_request *)request;

    get->done(get->arg, err ? NULL : get->conflicts, err ? 0 : get->count, err);
}

static void conflicts_free(struct request *request)
{
    struct conflicts_request *get = (struct conflicts_request *)request;

    conflicts_reset(get);
    free(get);
}

void ls_sqlite_conflicts(struct ls_store *store, const struct ls_mapping *mapping, size_t limit,
                         ls_store_conflicts_cb *done, void *arg)
{
    static const struct request_type type = {.name = "conflicts",
                                             .run = conflicts_run,
                                             .deliver = conflicts_deliver,
                                             .free = conflicts_free};
    struct conflicts_request *get = LS_NEW(struct conflicts_request);

    *get = (struct conflicts_request){.request.type = &type,
                                      .mapping = mapping,
                                      .limit = limit ? (int64_t)limit : 100,
                                      .done = done,
                                      .arg = arg};
    ls_sqlite_submit(store, &get->request);
}

/* ---- gc -------------------------------------------------------------------------------------- */

struct gc_request {
    struct request request;
    int64_t before_ms, removed;
    bool more;
    ls_store_gc_cb *done;
    void *arg;
};

static enum request_result gc_run(struct ls_turn_db *turn, struct request *request,
                                  struct ls_err *err)
{
    static const char *const sql[] = {
        "DELETE FROM lockstep_op WHERE op_key IN (SELECT op_key FROM lockstep_op WHERE last_at < "
        "?1 "
        "AND state IN ('ok', 'rejected', 'superseded') LIMIT ?2)",
        "DELETE FROM lockstep_sent WHERE (link, op_key) IN (SELECT link, op_key FROM lockstep_sent "
        "WHERE sent_at < ?1 LIMIT ?2)",
        "DELETE FROM lockstep_conflict WHERE id IN (SELECT id FROM lockstep_conflict WHERE "
        "closed_at < "
        "?1 LIMIT ?2)",
        "DELETE FROM lockstep_run WHERE id IN (SELECT id FROM lockstep_run WHERE ended_at < ?1 "
        "LIMIT "
        "?2)",
        "DELETE FROM lockstep_audit WHERE seq IN (SELECT seq FROM (SELECT seq, at FROM "
        "lockstep_audit "
        "ORDER BY seq LIMIT ?2) WHERE at < ?1)",
    };
    struct gc_request *gc = (struct gc_request *)request;
    int64_t before, changed;

    gc->removed = 0;
    gc->more = false;
    for (size_t i = 0; i < LS_COUNT(sql); i++) {
        before = gc->before_ms;
        if (i == 1 && before > turn->now_ms - LS_ECHO_MS)
            before = turn->now_ms - LS_ECHO_MS;
        changed = ls_db_run(&turn->db, err, sql[i], "ii", before, (int64_t)GC_SLICE);
        if (changed < 0)
            return REQUEST_FAILED;
        gc->removed += changed;
        gc->more |= changed == GC_SLICE;
    }
    return REQUEST_OK;
}

static void gc_deliver(struct request *request, const struct ls_err *err)
{
    struct gc_request *gc = (struct gc_request *)request;

    if (gc->done)
        gc->done(gc->arg, gc->removed, gc->more, err);
}

void ls_sqlite_gc(struct ls_store *store, int64_t before_ms, ls_store_gc_cb *done, void *arg)
{
    static const struct request_type type = {.name = "gc",
                                             .writes = true,
                                             .soft = true,
                                             .run = gc_run,
                                             .deliver = gc_deliver,
                                             .free = plain_free};
    struct gc_request *gc = LS_NEW(struct gc_request);

    *gc = (struct gc_request){
        .request.type = &type, .before_ms = before_ms, .done = done, .arg = arg};
    ls_sqlite_submit(store, &gc->request);
}
