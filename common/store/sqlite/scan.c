/* Reading many: keyset scans for verify and plan, lookups by remote id and by match value. */
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/store/sqlite/link.h"

#define SCAN_LIMIT 500
#define FIND_MAX 3

/* A row with what it owns; handed out as struct ls_scan_row. */
struct scan_row {
    char *uid, *local_id, *remote_id, *error;
    enum ls_link_state state;
    bool dirty;
    uint64_t parked_fields;
    struct ls_record base, local;
};

struct scan_request {
    struct request request;
    const struct ls_mapping *mapping;
    char *after; /* scan */
    size_t limit;
    char **remote_ids; /* scan_remote */
    size_t remote_count;
    char *match; /* find_local */
    struct scan_row *rows;
    size_t count;
    char *next;
    ls_store_scan_cb *done;
    void *arg;
};

static void scan_reset(struct scan_request *scan)
{
    for (size_t i = 0; i < scan->count; i++) {
        struct scan_row *row = &scan->rows[i];
        free(row->uid);
        free(row->local_id);
        free(row->remote_id);
        free(row->error);
        ls_record_fini(&row->base);
        ls_record_fini(&row->local);
    }
    free(scan->rows);
    free(scan->next);
    scan->rows = NULL;
    scan->next = NULL;
    scan->count = 0;
}

static struct scan_row *scan_add(struct scan_request *scan)
{
    scan->rows = ls_xrealloc(scan->rows, (scan->count + 1) * sizeof *scan->rows);
    scan->rows[scan->count] = (struct scan_row){0};
    return &scan->rows[scan->count++];
}

/* Fill a row from its link; the local row is read unless the caller has it. */
static int fill_row(struct ls_turn_db *turn, const struct ls_app_table *table, struct scan_row *row,
                    const char *uid, struct ls_err *err)
{
    const struct ls_mapping *mapping = table->mapping;
    struct ls_err unreadable = LS_ERR_INIT;
    struct ls_mark_row local, remote;
    struct ls_link link = {0};
    sqlite3_stmt *error;
    int found =
        ls_link_find(turn, mapping->account, mapping->entity, LS_LINK_BY_UID, uid, &link, err);

    if (found <= 0)
        return found;
    if (ls_link_base(turn, mapping, link.id, &row->base, err) < 0 ||
        ls_link_conflicts(turn, mapping, link.id, &row->parked_fields, err) < 0 ||
        ls_mark_get(turn, mapping->account, mapping->entity, "l", link.local_id, &local, err) < 0 ||
        ls_mark_get(turn, mapping->account, mapping->entity, "r", link.remote_id, &remote, err) <
            0 ||
        (link.local_id && !ls_record_present(&row->local) &&
         ls_app_table_read(&turn->db, table, link.local_id, &row->local, NULL, &unreadable, err) <
             0) ||
        ls_db_query(&turn->db, &error, err, "SELECT error FROM lockstep_link WHERE id = ?1", "i",
                    link.id) < 0 ||
        ls_db_next(&turn->db, error, err) < 0) {
        ls_link_fini(&link);
        return -1;
    }
    row->error = unreadable.code != LS_E_NONE ? ls_xstrdup(unreadable.text) : ls_db_dup(error, 0);
    row->dirty = local.gen || remote.gen;
    row->state = link.state;
    row->uid = link.uid;
    row->remote_id = link.remote_id;
    if (row->local_id)
        free(link.local_id);
    else
        row->local_id = link.local_id;
    return 1;
}

/* The first half of a scan: link rows by uid. */
static int scan_links(struct ls_turn_db *turn, const struct ls_app_table *table,
                      struct scan_request *scan, const char *after, struct ls_err *err)
{
    const struct ls_mapping *mapping = table->mapping;
    char **uids = NULL;
    size_t count = 0;
    sqlite3_stmt *row;
    int found;

    if (ls_db_query(&turn->db, &row, err,
                    "SELECT uid FROM lockstep_link WHERE account = ?1 AND entity = ?2 AND uid > ?3 "
                    "ORDER BY uid LIMIT ?4",
                    "ttti", mapping->account, mapping->entity, after, (int64_t)scan->limit) < 0)
        return -1;
    while ((found = ls_db_next(&turn->db, row, err)) > 0) {
        uids = ls_xrealloc(uids, (count + 1) * sizeof *uids);
        uids[count++] = ls_db_dup(row, 0);
    }
    for (size_t i = 0; i < count && found >= 0; i++)
        found = fill_row(turn, table, scan_add(scan), uids[i], err);
    scan->next = count == scan->limit ? ls_xasprintf("L%s", uids[count - 1]) : ls_xstrdup("T");
    for (size_t i = 0; i < count; i++)
        free(uids[i]);
    free(uids);
    return found < 0 ? -1 : 0;
}

/* The second half: local rows without a link row, by key. */
static int scan_table(struct ls_turn_db *turn, const struct ls_app_table *table,
                      struct scan_request *scan, const char *after, struct ls_err *err)
{
    const struct ls_mapping *mapping = table->mapping;
    char *sql =
        ls_xasprintf("SELECT l.id IS NOT NULL, %s FROM %s LEFT JOIN lockstep_link AS l "
                     "ON l.account = ?1 AND l.entity = ?2 AND l.local_id = CAST(%s AS TEXT) "
                     "WHERE %s IS NOT NULL%s%s%s ORDER BY %s LIMIT ?3",
                     table->columns, table->from, table->key, table->key, *after ? " AND " : "",
                     *after ? table->key : "", *after ? " > ?4" : "", table->key);
    size_t looked = 0;
    char *last = NULL;
    sqlite3_stmt *row;
    int found = ls_db_query(&turn->db, &row, err, sql, *after ? "ttit" : "tti", mapping->account,
                            mapping->entity, (int64_t)scan->limit, after);

    free(sql);
    if (found < 0)
        return -1;
    while ((found = ls_db_next(&turn->db, row, err)) > 0) {
        looked++;
        free(last);
        last = ls_db_dup(row, 1);
        if (!sqlite3_column_int(row, 0)) {
            struct ls_err unreadable = LS_ERR_INIT;
            struct scan_row *add = scan_add(scan);
            ls_app_table_record(table, row, 1, &add->local_id, &add->local, NULL, &unreadable);
            if (unreadable.code != LS_E_NONE)
                add->error = ls_xstrdup(unreadable.text);
        }
    }
    if (looked == scan->limit)
        scan->next = ls_xasprintf("T%s", last);
    free(last);
    return found;
}

static int find_remote(struct ls_turn_db *turn, const struct ls_app_table *table,
                       struct scan_request *scan, struct ls_err *err)
{
    const struct ls_mapping *mapping = table->mapping;
    struct ls_link link = {0};
    int found = 0;

    for (size_t i = 0; i < scan->remote_count && found >= 0; i++) {
        found = ls_link_find(turn, mapping->account, mapping->entity, LS_LINK_BY_REMOTE,
                             scan->remote_ids[i], &link, err);
        if (found > 0)
            found = fill_row(turn, table, scan_add(scan), link.uid, err);
    }
    ls_link_fini(&link);
    return found < 0 ? -1 : 0;
}

static int find_match(struct ls_turn_db *turn, const struct ls_app_table *table,
                      struct scan_request *scan, struct ls_err *err)
{
    const struct ls_mapping *mapping = table->mapping;
    struct ls_buf sql = {0};
    struct ls_link link = {0};
    sqlite3_stmt *row;
    int found;

    if (mapping->match < 0 || !*scan->match)
        return 0;
    ls_buf_printf(&sql, "SELECT %s FROM %s WHERE t.", table->columns, table->from);
    ls_db_quote_name(&sql, mapping->fields[mapping->match].column);
    ls_buf_puts(&sql, " = ?1");
    found = ls_db_query(&turn->db, &row, err, sql.data, "t", scan->match);
    ls_buf_fini(&sql);
    if (found < 0)
        return -1;
    while (scan->count < FIND_MAX && (found = ls_db_next(&turn->db, row, err)) > 0) {
        struct ls_err unreadable = LS_ERR_INIT;
        struct ls_record record = {0};
        const struct ls_value *value;
        struct scan_row *add;
        char *id;
        ls_app_table_record(table, row, 0, &id, &record, NULL, &unreadable);
        value = &record.values[mapping->match];
        if (value->state != LS_VALUE_SET || strcmp(value->text, scan->match) != 0) {
            ls_record_fini(&record);
            free(id);
            continue;
        }
        add = scan_add(scan);
        add->local_id = id;
        add->local = record;
        if (unreadable.code != LS_E_NONE)
            add->error = ls_xstrdup(unreadable.text);
    }
    sqlite3_reset(row);
    for (size_t i = 0; i < scan->count && found >= 0; i++) {
        struct scan_row *add = &scan->rows[i];
        found = ls_link_find(turn, mapping->account, mapping->entity, LS_LINK_BY_LOCAL,
                             add->local_id, &link, err);
        if (found > 0) {
            free(add->error);
            add->error = NULL;
            found = fill_row(turn, table, add, link.uid, err);
        }
    }
    ls_link_fini(&link);
    return found < 0 ? -1 : 0;
}

static enum request_result scan_run(struct ls_turn_db *turn, struct request *request,
                                    struct ls_err *err)
{
    struct scan_request *scan = (struct scan_request *)request;
    struct ls_app_table *table = ls_sqlite_table(turn, scan->mapping, err);
    const char *after = scan->after ? scan->after : "L";
    int failed;

    scan_reset(scan);
    if (!table)
        return REQUEST_FAILED;
    if (scan->match)
        failed = find_match(turn, table, scan, err);
    else if (scan->remote_ids)
        failed = find_remote(turn, table, scan, err);
    else if (*after == 'L')
        failed = scan_links(turn, table, scan, after + 1, err);
    else
        failed = scan_table(turn, table, scan, after + 1, err);
    return failed < 0 ? REQUEST_FAILED : REQUEST_OK;
}

static void scan_deliver(struct request *request, const struct ls_err *err)
{
    struct scan_request *scan = (struct scan_request *)request;
    struct ls_scan_row *rows = ls_xcalloc(scan->count + 1, sizeof *rows);

    for (size_t i = 0; i < scan->count; i++) {
        const struct scan_row *row = &scan->rows[i];
        rows[i] = (struct ls_scan_row){.uid = row->uid,
                                       .local_id = row->local_id,
                                       .remote_id = row->remote_id,
                                       .state = row->state,
                                       .error = row->error,
                                       .dirty = row->dirty,
                                       .parked_fields = row->parked_fields,
                                       .base = &row->base,
                                       .local = &row->local};
    }
    scan->done(scan->arg, err ? NULL : rows, err ? 0 : scan->count, err ? NULL : scan->next, err);
    free(rows);
}

static void scan_free(struct request *request)
{
    struct scan_request *scan = (struct scan_request *)request;

    scan_reset(scan);
    for (size_t i = 0; i < scan->remote_count; i++)
        free(scan->remote_ids[i]);
    free(scan->remote_ids);
    free(scan->after);
    free(scan->match);
    free(scan);
}

static struct scan_request *scan_new(const struct ls_mapping *mapping, ls_store_scan_cb *done,
                                     void *arg)
{
    static const struct request_type type = {
        .name = "scan", .run = scan_run, .deliver = scan_deliver, .free = scan_free};
    struct scan_request *scan = LS_NEW(struct scan_request);

    scan->request.type = &type;
    scan->mapping = mapping;
    scan->done = done;
    scan->arg = arg;
    return scan;
}

void ls_sqlite_scan(struct ls_store *store, const struct ls_mapping *mapping, const char *after,
                    size_t limit, ls_store_scan_cb *done, void *arg)
{
    struct scan_request *scan = scan_new(mapping, done, arg);

    scan->after = ls_xstrdup(after);
    scan->limit = limit ? limit : SCAN_LIMIT;
    ls_sqlite_submit(store, &scan->request);
}

void ls_sqlite_scan_remote(struct ls_store *store, const struct ls_mapping *mapping,
                           const char *const *remote_ids, size_t count, ls_store_scan_cb *done,
                           void *arg)
{
    struct scan_request *scan = scan_new(mapping, done, arg);

    scan->remote_ids = ls_xcalloc(count ? count : 1, sizeof *scan->remote_ids);
    for (scan->remote_count = 0; scan->remote_count < count; scan->remote_count++)
        scan->remote_ids[scan->remote_count] = ls_xstrdup(remote_ids[scan->remote_count]);
    ls_sqlite_submit(store, &scan->request);
}

void ls_sqlite_find_local(struct ls_store *store, const struct ls_mapping *mapping,
                          const char *match, ls_store_scan_cb *done, void *arg)
{
    struct scan_request *scan = scan_new(mapping, done, arg);

    scan->match = ls_xstrdup(match ? match : "");
    ls_sqlite_submit(store, &scan->request);
}

/* ---- verified -------------------------------------------------------------------------------- */

struct verified_request {
    struct done_request base;
    const struct ls_mapping *mapping;
    char **uids;
    size_t count;
};

static enum request_result verified_run(struct ls_turn_db *turn, struct request *request,
                                        struct ls_err *err)
{
    struct verified_request *verified = (struct verified_request *)request;
    const struct ls_mapping *mapping = verified->mapping;

    for (size_t i = 0; i < verified->count; i++)
        if (ls_db_run(
                &turn->db, err,
                "UPDATE lockstep_link SET verified_at = ?4 WHERE account = ?1 AND entity = ?2 "
                "AND uid = ?3",
                "ttti", mapping->account, mapping->entity, verified->uids[i], turn->now_ms) < 0)
            return REQUEST_FAILED;
    ls_sqlite_moved(turn, mapping->account, mapping->entity, false, true);
    return REQUEST_OK;
}

static void verified_free(struct request *request)
{
    struct verified_request *verified = (struct verified_request *)request;

    for (size_t i = 0; i < verified->count; i++)
        free(verified->uids[i]);
    free(verified->uids);
    free(verified);
}

void ls_sqlite_verified(struct ls_store *store, const struct ls_mapping *mapping,
                        const char *const *uids, size_t count, ls_store_done_cb *done, void *arg)
{
    static const struct request_type type = {.name = "verified",
                                             .writes = true,
                                             .soft = true,
                                             .run = verified_run,
                                             .deliver = ls_done_deliver,
                                             .free = verified_free};
    struct verified_request *verified = LS_NEW(struct verified_request);

    verified->base = (struct done_request){.request.type = &type, .done = done, .arg = arg};
    verified->mapping = mapping;
    verified->uids = ls_xcalloc(count ? count : 1, sizeof *verified->uids);
    for (verified->count = 0; verified->count < count; verified->count++)
        verified->uids[verified->count] = ls_xstrdup(uids[verified->count]);
    ls_sqlite_submit(store, &verified->base.request);
}
