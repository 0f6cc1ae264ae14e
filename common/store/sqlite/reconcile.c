/* What one run of a record does: take it and read it, note a write that is about to leave, commit
 * what was decided. */
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/store/sqlite/link.h"

static const char *const kind_names[] = {
    [LS_OP_CREATE] = "create", [LS_OP_UPDATE] = "update", [LS_OP_DELETE] = "delete"};
static const char *const op_state_names[] = {[LS_OP_SENT] = "sent",
                                             [LS_OP_OK] = "ok",
                                             [LS_OP_REJECTED] = "rejected",
                                             [LS_OP_RETRY] = "retry",
                                             [LS_OP_UNKNOWN] = "unknown"};

static int index_of(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return (int)i;
    return 0;
}

/* The record of a run that holds the claim with this fence. -1: LS_E_FENCED, also when the record
 * is gone (absorbed). */
static int held_link(struct ls_turn_db *turn, const struct ls_mapping *mapping, const char *uid,
                     uint64_t fence, struct ls_link *link, struct ls_err *err)
{
    int found =
        ls_link_find(turn, mapping->account, mapping->entity, LS_LINK_BY_UID, uid, link, err);

    if (found < 0)
        return -1;
    if (!found)
        return ls_fail(err, LS_E_FENCED, "record '%s' was absorbed by another one", uid);
    if (fence == 0 || link->token != (int64_t)fence)
        return ls_fail(err, LS_E_FENCED, "another worker holds record '%s' now", uid);
    return 0;
}

/* ---- begin ----------------------------------------------------------------------------------- */

struct begin_request {
    struct request request;
    const struct ls_mapping *mapping;
    char *uid;
    uint64_t fence;
    struct ls_snapshot *snapshot;
    ls_store_begin_cb *done;
    void *arg;
};

static int read_link(struct ls_turn_db *turn, const struct ls_mapping *mapping, int64_t link,
                     struct ls_snapshot *snapshot, struct ls_err *err)
{
    sqlite3_stmt *row;
    int found, failed = 0;

    if (ls_db_query(&turn->db, &row, err,
                    "SELECT remote_version, deleted_version, error, base_json FROM lockstep_link "
                    "WHERE id = ?1",
                    "i", link) < 0 ||
        (found = ls_db_next(&turn->db, row, err)) < 0)
        return -1;
    if (found) {
        snapshot->remote_version = ls_db_dup(row, 0);
        snapshot->deleted_version = ls_db_dup(row, 1);
        snapshot->error = ls_db_dup(row, 2);
        if (ls_db_text(row, 3))
            failed = ls_record_from_json(&snapshot->base, mapping, ls_db_text(row, 3),
                                         (size_t)sqlite3_column_bytes(row, 3), err);
    }
    sqlite3_reset(row);
    return failed;
}

static int read_ops(struct ls_turn_db *turn, int64_t link, struct ls_snapshot *snapshot,
                    struct ls_err *err)
{
    sqlite3_stmt *row;
    int found;

    if (ls_db_query(&turn->db, &row, err,
                    "SELECT op_key, kind, state, target_hash, first_at, attempts FROM lockstep_op "
                    "WHERE link = ?1 AND state IN ('sent', 'retry', 'unknown') ORDER BY first_at",
                    "i", link) < 0)
        return -1;
    while ((found = ls_db_next(&turn->db, row, err)) > 0) {
        struct ls_op *op;
        snapshot->ops =
            ls_xrealloc(snapshot->ops, (snapshot->op_count + 1) * sizeof *snapshot->ops);
        op = &snapshot->ops[snapshot->op_count++];
        *op = (struct ls_op){
            .kind = (enum ls_op_kind)index_of(kind_names, LS_COUNT(kind_names), ls_db_text(row, 1)),
            .state = (enum ls_op_state)index_of(op_state_names, LS_COUNT(op_state_names),
                                                ls_db_text(row, 2)),
            .first_at = sqlite3_column_int64(row, 4),
            .attempts = sqlite3_column_int(row, 5)};
        snprintf(op->op_key, sizeof op->op_key, "%s", ls_db_text(row, 0));
        snprintf(op->target_hash, sizeof op->target_hash, "%s", ls_db_text(row, 3));
    }
    if (found < 0 || ls_db_query(&turn->db, &row, err,
                                 "SELECT hash FROM lockstep_sent WHERE link = ?1 AND sent_at > ?2 "
                                 "ORDER BY sent_at",
                                 "ii", link, turn->now_ms - LS_ECHO_MS) < 0)
        return -1;
    while ((found = ls_db_next(&turn->db, row, err)) > 0) {
        snapshot->sent =
            ls_xrealloc(snapshot->sent, (snapshot->sent_count + 1) * sizeof *snapshot->sent);
        snprintf(snapshot->sent[snapshot->sent_count++], LS_RECORD_HASH_SIZE, "%s",
                 ls_db_text(row, 0));
    }
    return found;
}

/* Writes of the last minutes, if there were some in both directions. */
static int read_recent(struct ls_turn_db *turn, int64_t link, struct ls_snapshot *snapshot,
                       struct ls_err *err)
{
    /* A loop is one field going to and fro: a busy record with a price from here and a stock from
     * there is none. */
    return ls_db_int(&turn->db, &snapshot->recent_writes, 0, err,
                     "SELECT max(n) FROM (SELECT count(DISTINCT at) AS n FROM lockstep_audit WHERE "
                     "link = ?1 AND at > ?2 AND dir IN ('local', 'remote') GROUP BY field "
                     "HAVING count(DISTINCT dir) = 2)",
                     "ii", link, turn->now_ms - LS_LOOP_MS);
}

static int read_snapshot(struct ls_turn_db *turn, const struct ls_app_table *table,
                         const struct ls_link *link, struct ls_snapshot *snapshot,
                         struct ls_err *err)
{
    const struct ls_mapping *mapping = table->mapping;
    struct ls_mark_row local, remote;
    int64_t active;

    snapshot->local_error = (struct ls_err)LS_ERR_INIT;
    snapshot->uid = ls_xstrdup(link->uid);
    snapshot->local_id = ls_xstrdup(link->local_id);
    snapshot->remote_id = ls_xstrdup(link->remote_id);
    snapshot->state = link->state;
    snapshot->base_gen = link->base_gen;
    if (read_link(turn, mapping, link->id, snapshot, err) < 0 ||
        ls_mark_get(turn, mapping->account, mapping->entity, "l", link->local_id, &local, err) <
            0 ||
        ls_mark_get(turn, mapping->account, mapping->entity, "r", link->remote_id, &remote, err) <
            0)
        return -1;
    snapshot->local_gen = local.gen;
    snapshot->remote_gen = remote.gen;
    snapshot->first_at = local.gen && (!remote.gen || local.first_at < remote.first_at)
                             ? local.first_at
                             : remote.first_at;
    if (link->local_id && ls_app_table_read(&turn->db, table, link->local_id, &snapshot->local,
                                            NULL, &snapshot->local_error, err) < 0)
        return -1;
    if (read_ops(turn, link->id, snapshot, err) < 0 ||
        ls_link_conflicts(turn, mapping, link->id, &snapshot->parked_fields, err) < 0 ||
        read_recent(turn, link->id, snapshot, err) < 0 ||
        ls_db_int(&turn->db, &active, 0, err,
                  "SELECT state = 'active' FROM lockstep_sync WHERE account = ?1 AND entity = ?2",
                  "tt", mapping->account, mapping->entity) < 0)
        return -1;
    snapshot->writes_allowed = active != 0;
    return 0;
}

/* For a look: the record that the uid would be if somebody made it. The link is then none of the
 * database. */
static int look_for_link(struct ls_turn_db *turn, const struct ls_mapping *mapping, const char *uid,
                         struct ls_link *link, struct ls_err *err)
{
    char *ref = ls_link_uid_ref(uid);
    bool local = *uid == 'l';
    int found;

    if (!ref)
        return 0;
    found = ls_link_find(turn, mapping->account, mapping->entity,
                         local ? LS_LINK_BY_LOCAL : LS_LINK_BY_REMOTE, ref, link, err);
    if (found == 0) {
        *link = (struct ls_link){.uid = ls_xstrdup(uid)};
        *(local ? &link->local_id : &link->remote_id) = ls_xstrdup(ref);
        found = 1;
    }
    free(ref);
    return found;
}

static enum request_result begin_run(struct ls_turn_db *turn, struct request *request,
                                     struct ls_err *err)
{
    struct begin_request *begin = (struct begin_request *)request;
    const struct ls_mapping *mapping = begin->mapping;
    struct ls_app_table *table = ls_sqlite_table(turn, mapping, err);
    struct ls_link link = {0};
    enum request_result result = REQUEST_FAILED;
    int found;

    ls_snapshot_free(begin->snapshot);
    begin->snapshot = NULL;
    if (!table)
        return REQUEST_FAILED;
    found = ls_link_find(turn, mapping->account, mapping->entity, LS_LINK_BY_UID, begin->uid, &link,
                         err);
    if (found < 0)
        goto end;
    if (!found && begin->fence == 0)
        found = look_for_link(turn, mapping, begin->uid, &link, err);
    if (found < 0)
        goto end;
    if (!found) {
        ls_fail(err, LS_E_NOT_FOUND, "there is no record '%s' in sync '%s'", begin->uid,
                mapping->sync);
        goto end;
    }
    if (begin->fence && link.token > (int64_t)begin->fence) {
        ls_fail(err, LS_E_FENCED, "another worker holds record '%s' now", begin->uid);
        goto end;
    }
    if (begin->fence && link.token != (int64_t)begin->fence &&
        ls_db_run(&turn->db, err, "UPDATE lockstep_link SET token = ?2, dead = 0 WHERE id = ?1",
                  "ii", link.id, (int64_t)begin->fence) < 0)
        goto end;
    begin->snapshot = LS_NEW(struct ls_snapshot);
    if (read_snapshot(turn, table, &link, begin->snapshot, err) == 0)
        result = REQUEST_OK;
end:
    ls_link_fini(&link);
    return result;
}

static void begin_deliver(struct request *request, const struct ls_err *err)
{
    struct begin_request *begin = (struct begin_request *)request;
    struct ls_snapshot *snapshot = err ? NULL : begin->snapshot;

    if (snapshot)
        begin->snapshot = NULL;
    begin->done(begin->arg, snapshot, err);
}

static void begin_free(struct request *request)
{
    struct begin_request *begin = (struct begin_request *)request;

    ls_snapshot_free(begin->snapshot);
    free(begin->uid);
    free(begin);
}

void ls_sqlite_begin(struct ls_store *store, const struct ls_mapping *mapping, const char *uid,
                     uint64_t fence, ls_store_begin_cb *done, void *arg)
{
    /* A token that a power failure forgets belonged to a run that the same failure ended. */
    static const struct request_type take = {.name = "begin",
                                             .writes = true,
                                             .soft = true,
                                             .run = begin_run,
                                             .deliver = begin_deliver,
                                             .free = begin_free};
    static const struct request_type look = {
        .name = "look", .run = begin_run, .deliver = begin_deliver, .free = begin_free};
    struct begin_request *begin = LS_NEW(struct begin_request);

    ls_assert(fence <= INT64_MAX);
    *begin = (struct begin_request){.request.type = fence ? &take : &look,
                                    .mapping = mapping,
                                    .uid = ls_xstrdup(uid),
                                    .fence = fence,
                                    .done = done,
                                    .arg = arg};
    ls_sqlite_submit(store, &begin->request);
}

/* ---- op_sent --------------------------------------------------------------------------------- */

struct sent_request {
    struct done_request base;
    const struct ls_mapping *mapping;
    char *uid;
    uint64_t fence;
    struct ls_op op;
};

static enum request_result sent_run(struct ls_turn_db *turn, struct request *request,
                                    struct ls_err *err)
{
    struct sent_request *sent = (struct sent_request *)request;
    const struct ls_op *op = &sent->op;
    struct ls_link link = {0};
    int64_t changed;
    int failed = held_link(turn, sent->mapping, sent->uid, sent->fence, &link, err);

    if (!failed) {
        changed = ls_db_run(
            &turn->db, err,
            "INSERT INTO lockstep_op (op_key, link, kind, state, target_hash, token, attempts, "
            "first_at, last_at) VALUES (?1, ?2, ?3, 'sent', ?4, ?5, 1, ?6, ?6) "
            "ON CONFLICT (op_key) DO UPDATE SET state = 'sent', token = excluded.token, "
            "attempts = attempts + 1, last_at = excluded.last_at WHERE state <> 'ok'",
            "tittii", op->op_key, link.id, kind_names[op->kind], op->target_hash,
            (int64_t)sent->fence, turn->now_ms);
        failed = changed < 0;
        if (changed == 0)
            failed = ls_fail(err, LS_E_EXISTS, "this very write of record '%s' is done already",
                             sent->uid);
    }
    if (!failed && op->kind != LS_OP_DELETE)
        failed =
            ls_db_run(&turn->db, err,
                      "INSERT INTO lockstep_sent (link, op_key, hash, sent_at) VALUES (?1, ?2, ?3, "
                      "?4) ON CONFLICT DO UPDATE SET sent_at = excluded.sent_at",
                      "itti", link.id, op->op_key, op->target_hash, turn->now_ms) < 0;
    ls_link_fini(&link);
    return failed ? REQUEST_FAILED : REQUEST_OK;
}

static void sent_free(struct request *request)
{
    struct sent_request *sent = (struct sent_request *)request;

    free(sent->uid);
    free(sent);
}

void ls_sqlite_op_sent(struct ls_store *store, const struct ls_mapping *mapping, const char *uid,
                       uint64_t fence, const struct ls_op *op, ls_store_done_cb *done, void *arg)
{
    static const struct request_type type = {.name = "op_sent",
                                             .writes = true,
                                             .run = sent_run,
                                             .deliver = ls_done_deliver,
                                             .free = sent_free};
    struct sent_request *sent = LS_NEW(struct sent_request);

    *sent = (struct sent_request){
        .base = {.request.type = &type, .done = done, .arg = arg},
        .mapping = mapping,
        .uid = ls_xstrdup(uid),
        .fence = fence,
        .op = *op,
    };
    ls_sqlite_submit(store, &sent->base.request);
}

/* ---- commit ---------------------------------------------------------------------------------- */

struct audit_copy {
    struct ls_audit audit;
    struct ls_value old_value, new_value;
};

struct commit_request {
    struct request request;
    const struct ls_mapping *mapping;
    char *uid;
    struct ls_commit commit; /* its pointers lead to the copies below */
    char *remote_id, *remote_version, *error, *deleted_version;
    struct ls_record base, local_old, local_new, conflict_remote;
    struct ls_op op;
    struct audit_copy *audits;
    char *local_id;
    bool local_differs;
    ls_store_commit_cb *done;
    void *arg;
};

/* Is the row still as it was read? */
static bool still_so(const struct ls_record *old, const struct ls_record *now)
{
    bool was_there = old && ls_record_present(old), is_there = ls_record_present(now);

    if (was_there != is_there)
        return false;
    for (size_t i = 0; was_there && i < old->count; i++)
        if (!ls_value_equal(&old->values[i], &now->values[i]))
            return false;
    return true;
}

/* A new row. If the database gives it the id of a row that was deleted (no AUTOINCREMENT), a link
 * may still remember that one: then it gets an id that nobody ever had. */
static int insert_row(struct ls_turn_db *turn, const struct ls_app_table *table,
                      struct commit_request *commit, const struct ls_link *link, struct ls_err *err)
{
    const struct ls_mapping *mapping = table->mapping;
    struct ls_link other = {0};
    char *sql, *id;
    int64_t free_id;
    int found;

    if (table->key_rowid && !table->autoincrement &&
        ls_db_run(&turn->db, err, "SAVEPOINT row", "") < 0)
        return -1;
    id = ls_app_table_insert(&turn->db, table, commit->commit.local_new, NULL, err);
    if (!id)
        return -1;
    found =
        ls_link_find(turn, mapping->account, mapping->entity, LS_LINK_BY_LOCAL, id, &other, err);
    if (found > 0 && other.id != link->id && table->key_rowid && !table->autoincrement) {
        free(id);
        id = NULL;
        sql = ls_xasprintf("SELECT 1 + max((SELECT coalesce(max(%s), 0) FROM %s), "
                           "(SELECT coalesce(max(CAST(local_id AS INTEGER)), 0) FROM lockstep_link "
                           "WHERE account = ?1 AND entity = ?2))",
                           table->key, table->from);
        if (ls_db_run(&turn->db, err, "ROLLBACK TO row", "") >= 0 &&
            ls_db_int(&turn->db, &free_id, 0, err, sql, "tt", mapping->account, mapping->entity) ==
                0) {
            char text[24];
            snprintf(text, sizeof text, "%lld", (long long)free_id);
            id = ls_app_table_insert(&turn->db, table, commit->commit.local_new, text, err);
        }
        free(sql);
    } else if (found > 0 && other.id != link->id && other.state == LS_LINK_TOMB) {
        found =
            (int)ls_db_run(&turn->db, err, "UPDATE lockstep_link SET local_id = NULL WHERE id = ?1",
                           "i", other.id);
    }
    ls_link_fini(&other);
    if (table->key_rowid && !table->autoincrement)
        ls_db_run(&turn->db, NULL, "RELEASE row", "");
    if (!id || found < 0) {
        free(id);
        return -1;
    }
    commit->local_id = id;
    return 0;
}

/* After the write: is the row what was written? Values that were not written must be as before. */
static bool as_written(const struct ls_commit *commit, const struct ls_record *now)
{
    if (!ls_record_present(now))
        return false;
    for (size_t i = 0; i < now->count; i++) {
        const struct ls_value *wanted = &commit->local_new->values[i];
        if (wanted->state == LS_VALUE_MISSING) {
            if (!commit->local_old || !ls_record_present(commit->local_old))
                continue;
            wanted = &commit->local_old->values[i];
        }
        if (!ls_value_equal(wanted, &now->values[i]))
            return false;
    }
    return true;
}

static int write_local(struct ls_turn_db *turn, struct commit_request *request,
                       struct ls_link *link, struct ls_err *err)
{
    const struct ls_commit *commit = &request->commit;
    const struct ls_mapping *mapping = request->mapping;
    struct ls_app_table *table = ls_sqlite_table(turn, mapping, err);
    struct ls_style *styles = ls_xcalloc(mapping->count, sizeof *styles);
    struct ls_mark_row before, after;
    struct ls_record now = {0};
    int failed = -1;

    if (!table || (link->local_id && ls_app_table_read(&turn->db, table, link->local_id, &now,
                                                       styles, NULL, err) < 0))
        goto end;
    if (!still_so(commit->local_old, &now)) {
        ls_fail(err, LS_E_CONFLICT, "row '%s' of table '%s' changed since it was read",
                link->local_id ? link->local_id : "", mapping->table);
        goto end;
    }
    if (ls_mark_get(turn, mapping->account, mapping->entity, "l", link->local_id, &before, err) < 0)
        goto end;
    /* The mark that was seen goes first, so that what is there afterwards is news. */
    if (before.gen && before.gen == commit->local_gen &&
        ls_mark_remove(turn, mapping->account, mapping->entity, "l", link->local_id, before.gen,
                       err) < 0)
        goto end;
    if (commit->local_delete) {
        if (ls_record_present(&now) &&
            ls_app_table_delete(&turn->db, table, link->local_id, err) < 0)
            goto end;
    } else if (ls_record_present(&now)) {
        if (ls_app_table_update(&turn->db, table, link->local_id, commit->local_new, styles, err) <
            0)
            goto end;
    } else if (insert_row(turn, table, request, link, err) < 0) {
        goto end;
    }
    if (request->local_id) {
        free(link->local_id);
        link->local_id = ls_xstrdup(request->local_id);
    }
    if (ls_app_table_read(&turn->db, table, link->local_id, &now, NULL, NULL, err) < 0)
        goto end;
    request->local_differs =
        commit->local_delete ? ls_record_present(&now) : !as_written(commit, &now);
    failed = 0;
    if (!request->local_differs && (!before.gen || before.gen == commit->local_gen))
        failed =
            ls_mark_remove(turn, mapping->account, mapping->entity, "l", link->local_id, -1, err);
    else if (ls_mark_get(turn, mapping->account, mapping->entity, "l", link->local_id, &after,
                         err) < 0 ||
             (!after.gen && ls_mark_put(turn, mapping->account, mapping->entity, "l",
                                        link->local_id, "own", 0, err) < 0))
        failed = -1;
end:
    free(styles);
    ls_record_fini(&now);
    return failed;
}

static int commit_link(struct ls_turn_db *turn, struct commit_request *request,
                       const struct ls_link *link, int64_t changed_at, struct ls_err *err)
{
    const struct ls_commit *commit = &request->commit;
    bool grows = commit->op && commit->op->state == LS_OP_OK;
    char hash[LS_RECORD_HASH_SIZE] = "";
    struct ls_buf json = {0};
    int64_t changed;

    if (commit->base) {
        ls_record_hash(request->mapping, commit->base, hash);
        ls_record_to_json(&json, request->mapping, commit->base);
    }
    changed =
        ls_db_run(&turn->db, err,
                  "UPDATE lockstep_link SET local_id = ?2, remote_id = ?3, state = ?4, "
                  "remote_version = coalesce(?5, remote_version), "
                  "base_gen = base_gen + (?6 OR (?8 IS NOT NULL AND base_hash IS NOT ?8)), "
                  "base_json = coalesce(?7, base_json), base_hash = coalesce(?8, base_hash), "
                  "error = ?9, dead = 0, deleted_version = CASE WHEN ?4 = 'tomb' THEN ?10 END, "
                  "deleted_at = CASE WHEN ?4 = 'tomb' THEN ?11 END, "
                  "verified_at = CASE WHEN ?12 THEN ?11 ELSE verified_at END, "
                  "synced_at = CASE WHEN ?13 THEN ?11 ELSE synced_at END, "
                  "changed_at = coalesce(?14, changed_at) WHERE id = ?1",
                  changed_at ? "itttt"
                               "itttt"
                               "iiii"
                             : "itttt"
                               "itttt"
                               "iiin",
                  link->id, link->local_id, commit->remote_id ? commit->remote_id : link->remote_id,
                  ls_link_state_name(commit->state), commit->remote_version, (int64_t)grows,
                  json.data, commit->base ? hash : NULL, commit->error, commit->deleted_version,
                  turn->now_ms, (int64_t)commit->verified, (int64_t)commit->synced, changed_at);
    ls_buf_fini(&json);
    return changed < 0 ? -1 : 0;
}

static int commit_op(struct ls_turn_db *turn, const struct ls_commit *commit, int64_t link,
                     struct ls_err *err)
{
    const struct ls_op *op = commit->op;

    if (op &&
        (ls_db_run(&turn->db, err,
                   "UPDATE lockstep_op SET state = ?2, last_at = ?3 WHERE op_key = ?1", "tti",
                   op->op_key, op_state_names[op->state], turn->now_ms) < 0 ||
         ((op->state == LS_OP_OK || op->state == LS_OP_REJECTED) &&
          ls_db_run(&turn->db, err, "DELETE FROM lockstep_sent WHERE link = ?1 AND op_key = ?2",
                    "it", link, op->op_key) < 0)))
        return -1;
    if ((commit->verified || commit->synced) &&
        ls_db_run(&turn->db, err,
                  "UPDATE lockstep_op SET state = 'superseded', last_at = ?2 WHERE link = ?1 "
                  "AND state IN ('sent', 'retry', 'unknown') AND op_key IS NOT ?3",
                  "iit", link, turn->now_ms, op ? op->op_key : NULL) < 0)
        return -1;
    return 0;
}

static const char *text_of(const struct ls_record *record, size_t field)
{
    return record && ls_record_present(record) && record->values[field].state == LS_VALUE_SET
               ? record->values[field].text
               : NULL;
}

static int commit_conflicts(struct ls_turn_db *turn, struct commit_request *request,
                            const struct ls_link *link, struct ls_err *err)
{
    const struct ls_commit *commit = &request->commit;
    const struct ls_mapping *mapping = request->mapping;
    struct ls_record base = {0}, local = {0};
    struct ls_app_table *table;
    uint64_t open;
    int failed = -1;

    if (ls_link_conflicts(turn, mapping, link->id, &open, err) < 0)
        return -1;
    if (commit->conflict_fields) {
        table = ls_sqlite_table(turn, mapping, err);
        if (!table || ls_link_base(turn, mapping, link->id, &base, err) < 0 ||
            (link->local_id &&
             ls_app_table_read(&turn->db, table, link->local_id, &local, NULL, NULL, err) < 0))
            goto end;
    }
    for (size_t i = 0; i < mapping->count; i++) {
        const char *field = mapping->fields[i].name;
        bool now = commit->conflict_fields >> i & 1, was = open >> i & 1;
        const struct ls_record *mine =
            commit->local_old && ls_record_present(commit->local_old) ? commit->local_old : &local;
        int64_t changed = 0;
        if (now && was)
            changed = ls_db_run(&turn->db, err,
                                "UPDATE lockstep_conflict SET base = ?3, local = ?4, remote = ?5 "
                                "WHERE link = ?1 AND field = ?2 AND closed_at IS NULL",
                                "itttt", link->id, field, text_of(&base, i), text_of(mine, i),
                                text_of(commit->conflict_remote, i));
        else if (now)
            changed = ls_db_run(&turn->db, err,
                                "INSERT INTO lockstep_conflict (link, field, base, local, remote, "
                                "opened_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                                "itttti", link->id, field, text_of(&base, i), text_of(mine, i),
                                text_of(commit->conflict_remote, i), turn->now_ms);
        if (changed < 0)
            goto end;
    }
    /* The others, also of fields that the mapping no longer has. */
    if (commit->conflict_fields != open || open == 0) {
        struct ls_buf sql = {0};
        ls_buf_puts(&sql,
                    "UPDATE lockstep_conflict SET closed_at = ?2 WHERE link = ?1 AND closed_at "
                    "IS NULL");
        for (size_t i = 0; i < mapping->count; i++) {
            if (!(commit->conflict_fields >> i & 1))
                continue;
            ls_buf_puts(&sql, " AND field <> ");
            ls_db_quote_text(&sql, mapping->fields[i].name);
        }
        failed = ls_db_run(&turn->db, err, sql.data, "ii", link->id, turn->now_ms) < 0 ? -1 : 0;
        ls_buf_fini(&sql);
    } else {
        failed = 0;
    }
end:
    ls_record_fini(&base);
    ls_record_fini(&local);
    return failed;
}

static int commit_audits(struct ls_turn_db *turn, struct commit_request *request,
                         const struct ls_link *link, struct ls_err *err)
{
    static const char sql[] =
        "INSERT INTO lockstep_audit (at, link, uid, row, dir, field, old_value, "
        "new_value, op_key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    const struct ls_commit *commit = &request->commit;
    const char *op_key = commit->op ? commit->op->op_key : NULL;

    for (size_t i = 0; i < commit->audit_count; i++) {
        const struct ls_audit *audit = &commit->audits[i];
        bool remote = audit->dir == LS_AUDIT_TO_REMOTE;
        if (ls_db_run(&turn->db, err, sql,
                      "iititttt"
                      "t",
                      turn->now_ms, link->id, link->uid, (int64_t)commit->row,
                      remote ? "remote" : "local", request->mapping->fields[audit->field].name,
                      audit->old_value ? audit->old_value->text : NULL,
                      audit->new_value ? audit->new_value->text : NULL, remote ? op_key : NULL) < 0)
            return -1;
    }
    if (commit->remote_id &&
        (!link->remote_id || strcmp(link->remote_id, commit->remote_id) != 0) &&
        ls_db_run(&turn->db, err, sql,
                  "iititttt"
                  "t",
                  turn->now_ms, link->id, link->uid, (int64_t)commit->row, "link", "remote_id",
                  link->remote_id, commit->remote_id, op_key) < 0)
        return -1;
    return 0;
}

static enum request_result commit_run(struct ls_turn_db *turn, struct request *base,
                                      struct ls_err *err)
{
    struct commit_request *request = (struct commit_request *)base;
    const struct ls_commit *commit = &request->commit;
    const struct ls_mapping *mapping = request->mapping;
    struct ls_link link = {0};
    struct ls_mark_row local = {0};
    int64_t changed_at = 0;
    int failed;

    free(request->local_id);
    request->local_id = NULL;
    request->local_differs = false;
    failed = held_link(turn, mapping, request->uid, commit->fence, &link, err);
    if (!failed)
        failed =
            ls_mark_get(turn, mapping->account, mapping->entity, "l", link.local_id, &local, err);
    if (!failed && local.gen && local.gen == commit->local_gen)
        changed_at = local.first_at;
    if (!failed && (commit->local_new || commit->local_delete)) {
        failed = write_local(turn, request, &link, err);
        changed_at = turn->now_ms;
    } else if (!failed && commit->local_gen) {
        failed = ls_mark_remove(turn, mapping->account, mapping->entity, "l", link.local_id,
                                commit->local_gen, err);
    }
    if (!failed && commit->remote_gen)
        failed = ls_mark_remove(turn, mapping->account, mapping->entity, "r", link.remote_id,
                                commit->remote_gen, err);
    if (!failed && commit->remote_id &&
        (!link.remote_id || strcmp(link.remote_id, commit->remote_id) != 0))
        failed =
            ls_link_absorb(turn, mapping->account, mapping->entity, &link, commit->remote_id, err);
    failed = failed || commit_conflicts(turn, request, &link, err) < 0 ||
             commit_link(turn, request, &link, changed_at, err) < 0 ||
             commit_op(turn, commit, link.id, err) < 0 ||
             commit_audits(turn, request, &link, err) < 0;
    if (!failed) {
        if (!request->local_id)
            request->local_id = ls_xstrdup(link.local_id);
        if (commit->synced || commit->verified)
            ls_sqlite_moved(turn, mapping->account, mapping->entity, commit->synced,
                            commit->verified);
    }
    ls_link_fini(&link);
    return failed ? REQUEST_FAILED : REQUEST_OK;
}

static void commit_deliver(struct request *base, const struct ls_err *err)
{
    struct commit_request *request = (struct commit_request *)base;
    struct ls_commit_result result = {.local_id = request->local_id,
                                      .local_differs = request->local_differs};

    request->done(request->arg, err ? NULL : &result, err);
}

static void commit_free(struct request *base)
{
    struct commit_request *request = (struct commit_request *)base;

    for (size_t i = 0; i < request->commit.audit_count; i++) {
        ls_value_fini(&request->audits[i].old_value);
        ls_value_fini(&request->audits[i].new_value);
    }
    free((void *)(uintptr_t)request->commit.audits);
    free(request->audits);
    ls_record_fini(&request->base);
    ls_record_fini(&request->local_old);
    ls_record_fini(&request->local_new);
    ls_record_fini(&request->conflict_remote);
    free(request->uid);
    free(request->remote_id);
    free(request->remote_version);
    free(request->error);
    free(request->deleted_version);
    free(request->local_id);
    free(request);
}

static const struct ls_record *keep_record(struct ls_record *copy, const struct ls_record *from)
{
    if (!from)
        return NULL;
    ls_record_copy(copy, from);
    return copy;
}

static void keep_audits(struct commit_request *request, const struct ls_commit *commit)
{
    size_t count = commit->audit_count;
    struct ls_audit *audits = ls_xcalloc(count ? count : 1, sizeof *audits);

    request->audits = ls_xcalloc(count ? count : 1, sizeof *request->audits);
    for (size_t i = 0; i < count; i++) {
        struct audit_copy *copy = &request->audits[i];
        audits[i] = commit->audits[i];
        if (audits[i].old_value) {
            ls_value_copy(&copy->old_value, audits[i].old_value);
            audits[i].old_value = &copy->old_value;
        }
        if (audits[i].new_value) {
            ls_value_copy(&copy->new_value, audits[i].new_value);
            audits[i].new_value = &copy->new_value;
        }
    }
    request->commit.audits = audits;
}

void ls_sqlite_commit(struct ls_store *store, const struct ls_mapping *mapping, const char *uid,
                      const struct ls_commit *commit, ls_store_commit_cb *done, void *arg)
{
    static const struct request_type type = {.name = "commit",
                                             .writes = true,
                                             .run = commit_run,
                                             .deliver = commit_deliver,
                                             .free = commit_free};
    struct commit_request *request = LS_NEW(struct commit_request);

    *request = (struct commit_request){.request.type = &type,
                                       .mapping = mapping,
                                       .uid = ls_xstrdup(uid),
                                       .commit = *commit,
                                       .done = done,
                                       .arg = arg};
    request->commit.remote_id = request->remote_id = ls_xstrdup(commit->remote_id);
    request->commit.remote_version = request->remote_version = ls_xstrdup(commit->remote_version);
    request->commit.error = request->error = ls_xstrdup(commit->error);
    request->commit.deleted_version = request->deleted_version =
        ls_xstrdup(commit->deleted_version);
    request->commit.base = keep_record(&request->base, commit->base);
    request->commit.local_old = keep_record(&request->local_old, commit->local_old);
    request->commit.local_new = keep_record(&request->local_new, commit->local_new);
    request->commit.conflict_remote =
        keep_record(&request->conflict_remote, commit->conflict_remote);
    if (commit->op) {
        request->op = *commit->op;
        request->commit.op = &request->op;
    }
    keep_audits(request, commit);
    ls_sqlite_submit(store, &request->request);
}

/* ---- note_error ------------------------------------------------------------------------------ */

struct note_request {
    struct done_request base;
    const struct ls_mapping *mapping;
    char *uid, *error;
    bool dead;
};

static enum request_result note_run(struct ls_turn_db *turn, struct request *request,
                                    struct ls_err *err)
{
    struct note_request *note = (struct note_request *)request;
    const struct ls_mapping *mapping = note->mapping;
    struct ls_link link = {0};
    int failed, found = ls_link_find(turn, mapping->account, mapping->entity, LS_LINK_BY_UID,
                                     note->uid, &link, err);

    failed = found < 0;
    if (found > 0)
        failed = ls_db_run(&turn->db, err,
                           "UPDATE lockstep_link SET error = ?2, dead = ?3 WHERE id = ?1", "iti",
                           link.id, note->error, (int64_t)note->dead) < 0;
    if (found > 0 && note->dead) {
        const char *refs[2] = {link.local_id, link.remote_id}, *sides[2] = {"l", "r"};
        for (int i = 0; i < 2 && !failed; i++)
            failed = refs[i] &&
                     ls_db_run(&turn->db, err,
                               "UPDATE lockstep_dirty SET pushed_at = ?5 WHERE account = ?1 AND "
                               "entity = ?2 AND side = ?3 AND ref = ?4 AND pushed_gen IS gen",
                               "tttti", mapping->account, mapping->entity, sides[i], refs[i],
                               (int64_t)LS_NEVER_MS) < 0;
    }
    ls_link_fini(&link);
    return failed ? REQUEST_FAILED : REQUEST_OK;
}

static void note_free(struct request *request)
{
    struct note_request *note = (struct note_request *)request;

    free(note->uid);
    free(note->error);
    free(note);
}

void ls_sqlite_note_error(struct ls_store *store, const struct ls_mapping *mapping, const char *uid,
                          bool dead, const char *error, ls_store_done_cb *done, void *arg)
{
    static const struct request_type type = {.name = "note_error",
                                             .writes = true,
                                             .soft = true,
                                             .run = note_run,
                                             .deliver = ls_done_deliver,
                                             .free = note_free};
    struct note_request *note = LS_NEW(struct note_request);

    *note = (struct note_request){.base = {.request.type = &type, .done = done, .arg = arg},
                                  .mapping = mapping,
                                  .uid = ls_xstrdup(uid),
                                  .error = ls_xstrdup(error),
                                  .dead = dead};
    ls_sqlite_submit(store, &note->base.request);
}
