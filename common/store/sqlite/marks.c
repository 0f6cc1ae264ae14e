/* Marks: handing them to the queue, and making them for what listings, scans and jobs show. */
#include <string.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/store/sqlite/link.h"

#define TAKE_LIMIT 500
#define TAKE_MAX 2000

/* ---- take ------------------------------------------------------------------------------------ */

struct take_request {
    struct request request;
    char *account, *entity;
    enum ls_marks_which which;
    int64_t limit, repush_before_ms;
    struct ls_mark *marks;
    size_t count;
    ls_store_marks_cb *done;
    void *arg;
};

static void take_reset(struct take_request *take)
{
    for (size_t i = 0; i < take->count; i++) {
        free(take->marks[i].account);
        free(take->marks[i].entity);
        free(take->marks[i].uid);
    }
    free(take->marks);
    take->marks = NULL;
    take->count = 0;
}

/* Both sides of a record are one mark. */
static void take_add(struct take_request *take, const char *account, const char *entity,
                     const char *uid, const struct ls_mark *seen)
{
    struct ls_mark *mark = NULL;

    for (size_t i = take->count; i > 0 && !mark; i--)
        if (strcmp(take->marks[i - 1].uid, uid) == 0 &&
            strcmp(take->marks[i - 1].account, account) == 0 &&
            strcmp(take->marks[i - 1].entity, entity) == 0)
            mark = &take->marks[i - 1];
    if (!mark) {
        take->marks = ls_xrealloc(take->marks, (take->count + 1) * sizeof *take->marks);
        mark = &take->marks[take->count++];
        *mark = *seen;
        mark->account = ls_xstrdup(account);
        mark->entity = ls_xstrdup(entity);
        mark->uid = ls_xstrdup(uid);
        return;
    }
    mark->gen = seen->gen > mark->gen ? seen->gen : mark->gen;
    mark->first_at = seen->first_at < mark->first_at ? seen->first_at : mark->first_at;
    mark->raised |= seen->raised;
    mark->high |= seen->high;
    mark->low &= seen->low;
}

/* The marks of one query. Rows are collected first: making links while reading would disturb the
 * reading. */
static enum request_result take_rows(struct ls_turn_db *turn, struct take_request *take,
                                     const char *account, const char *entity, sqlite3_stmt *row,
                                     struct ls_err *err)
{
    struct {
        char side, *ref;
        struct ls_mark mark;
    } *rows = NULL;
    enum request_result result = REQUEST_OK;
    struct ls_link link = {0};
    size_t count = 0;
    int found;

    while ((found = ls_db_next(&turn->db, row, err)) > 0) {
        int high = sqlite3_column_int(row, 4);
        rows = ls_xrealloc(rows, (count + 1) * sizeof *rows);
        rows[count].side = ls_db_text(row, 0)[0];
        rows[count].ref = ls_db_dup(row, 1);
        rows[count++].mark =
            (struct ls_mark){.gen = sqlite3_column_int64(row, 2),
                             .first_at = sqlite3_column_int64(row, 3),
                             .raised = high > 1,
                             .high = high > 0,
                             .low = high < 0 && strcmp(ls_db_text(row, 5), "scan") == 0};
    }
    if (found < 0)
        result = REQUEST_FAILED;
    for (size_t i = 0; i < count && result == REQUEST_OK; i++) {
        found = ls_link_find(turn, account, entity,
                             rows[i].side == 'l' ? LS_LINK_BY_LOCAL : LS_LINK_BY_REMOTE,
                             rows[i].ref, &link, err);
        if (found == 0 && !turn->writing)
            result = REQUEST_WRITE;
        else if (found < 0 || (found == 0 && ls_link_mint(turn, account, entity, rows[i].side,
                                                          rows[i].ref, &link, err) < 0))
            result = REQUEST_FAILED;
        else
            take_add(take, account, entity, link.uid, &rows[i].mark);
    }
    for (size_t i = 0; i < count; i++)
        free(rows[i].ref);
    free(rows);
    ls_link_fini(&link);
    return result;
}

/* Those that the queue does not know of, by their column `high`: 2 raised by the application, 1 urgent, 0 a change that may wait
 * for its batch, -1 found by a listing, a backfill or a scan. */
static enum request_result take_due(struct ls_turn_db *turn, struct take_request *take,
                                    const char *account, const char *entity, int from, int to,
                                    struct ls_err *err)
{
    sqlite3_stmt *row;

    if (ls_db_query(&turn->db, &row, err,
                    "SELECT side, ref, gen, first_at, high, origin FROM lockstep_dirty "
                    "WHERE account = ?1 AND entity = ?2 AND pushed_gen IS NOT gen "
                    "AND high BETWEEN ?3 AND ?4 ORDER BY high DESC, first_at LIMIT ?5",
                    "ttiii", account, entity, (int64_t)from, (int64_t)to,
                    take->limit - (int64_t)take->count) < 0)
        return REQUEST_FAILED;
    return take_rows(turn, take, account, entity, row, err);
}

static enum request_result take_sync(struct ls_turn_db *turn, struct take_request *take,
                                     const char *account, const char *entity, struct ls_err *err)
{
    enum request_result result = REQUEST_OK;
    sqlite3_stmt *row;

    if (take->which == LS_MARKS_ALL)
        result = take_due(turn, take, account, entity, -1, 2, err);
    else
        result =
            take_due(turn, take, account, entity, take->which == LS_MARKS_URGENT ? 1 : 2, 2, err);
    if (take->which != LS_MARKS_ALL && result == REQUEST_OK && (int64_t)take->count < take->limit)
        result = take_due(turn, take, account, entity, -1, -1, err);
    if (result != REQUEST_OK || take->repush_before_ms <= 0 || (int64_t)take->count >= take->limit)
        return result;
    if (ls_db_query(&turn->db, &row, err,
                    "SELECT side, ref, gen, first_at, high, origin FROM lockstep_dirty "
                    "WHERE account = ?1 AND entity = ?2 AND pushed_gen IS gen AND pushed_at < ?3 "
                    "ORDER BY pushed_at LIMIT ?4",
                    "ttii", account, entity, take->repush_before_ms,
                    take->limit - (int64_t)take->count) < 0)
        return REQUEST_FAILED;
    return take_rows(turn, take, account, entity, row, err);
}

static enum request_result take_run(struct ls_turn_db *turn, struct request *request,
                                    struct ls_err *err)
{
    struct take_request *take = (struct take_request *)request;
    enum request_result result = REQUEST_OK;
    char **names = NULL;
    size_t count = 0;
    sqlite3_stmt *row;
    int found;

    take_reset(take);
    if (ls_db_query(&turn->db, &row, err,
                    "SELECT account, entity FROM lockstep_sync WHERE state = 'active' "
                    "AND (?1 IS NULL OR (account = ?1 AND entity = ?2))",
                    "tt", take->account, take->entity) < 0)
        return REQUEST_FAILED;
    while ((found = ls_db_next(&turn->db, row, err)) > 0) {
        names = ls_xrealloc(names, (count + 2) * sizeof *names);
        names[count++] = ls_db_dup(row, 0);
        names[count++] = ls_db_dup(row, 1);
    }
    if (found < 0)
        result = REQUEST_FAILED;
    for (size_t i = 0; i < count; i += 2)
        if (result == REQUEST_OK && (int64_t)take->count < take->limit)
            result = take_sync(turn, take, names[i], names[i + 1], err);
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return result;
}

static void take_deliver(struct request *request, const struct ls_err *err)
{
    struct take_request *take = (struct take_request *)request;

    take->done(take->arg, err ? NULL : take->marks, err ? 0 : take->count, err);
}

static void take_free(struct request *request)
{
    struct take_request *take = (struct take_request *)request;

    take_reset(take);
    free(take->account);
    free(take->entity);
    free(take);
}

void ls_sqlite_marks_take(struct ls_store *store, const struct ls_marks_query *query,
                          ls_store_marks_cb *done, void *arg)
{
    static const struct request_type type = {
        .name = "marks_take", .run = take_run, .deliver = take_deliver, .free = take_free};
    struct take_request *take = LS_NEW(struct take_request);

    take->request.type = &type;
    take->account = ls_xstrdup(query->account);
    take->entity = ls_xstrdup(query->entity);
    take->which = query->which;
    take->limit = query->limit ? (int64_t)query->limit : TAKE_LIMIT;
    if (take->limit > TAKE_MAX)
        take->limit = TAKE_MAX;
    take->repush_before_ms = query->repush_before_ms;
    take->done = done;
    take->arg = arg;
    ls_sqlite_submit(store, &take->request);
}

/* ---- pushed ---------------------------------------------------------------------------------- */

struct pushed_request {
    struct done_request base;
    struct ls_mark *marks;
    size_t count;
};

static enum request_result pushed_run(struct ls_turn_db *turn, struct request *request,
                                      struct ls_err *err)
{
    struct pushed_request *pushed = (struct pushed_request *)request;
    struct ls_link link = {0};
    int found = 0;

    for (size_t i = 0; i < pushed->count && found >= 0; i++) {
        const struct ls_mark *mark = &pushed->marks[i];
        const char *refs[2], *sides[2] = {"l", "r"};
        found =
            ls_link_find(turn, mark->account, mark->entity, LS_LINK_BY_UID, mark->uid, &link, err);
        refs[0] = link.local_id;
        refs[1] = link.remote_id;
        for (int side = 0; side < 2 && found > 0; side++)
            if (refs[side] &&
                ls_db_run(
                    &turn->db, err,
                    "UPDATE lockstep_dirty SET pushed_gen = gen, pushed_at = ?5 WHERE account = ?1 "
                    "AND entity = ?2 AND side = ?3 AND ref = ?4 AND gen <= ?6",
                    "ttttii", mark->account, mark->entity, sides[side], refs[side], turn->now_ms,
                    mark->gen) < 0)
                found = -1;
    }
    ls_link_fini(&link);
    return found < 0 ? REQUEST_FAILED : REQUEST_OK;
}

static void pushed_free(struct request *request)
{
    struct pushed_request *pushed = (struct pushed_request *)request;

    for (size_t i = 0; i < pushed->count; i++) {
        free(pushed->marks[i].account);
        free(pushed->marks[i].entity);
        free(pushed->marks[i].uid);
    }
    free(pushed->marks);
    free(pushed);
}

void ls_sqlite_marks_pushed(struct ls_store *store, const struct ls_mark *marks, size_t count,
                            ls_store_done_cb *done, void *arg)
{
    static const struct request_type type = {.name = "marks_pushed",
                                             .writes = true,
                                             .soft = true,
                                             .run = pushed_run,
                                             .deliver = ls_done_deliver,
                                             .free = pushed_free};
    struct pushed_request *pushed = LS_NEW(struct pushed_request);

    pushed->base = (struct done_request){.request.type = &type, .done = done, .arg = arg};
    pushed->marks = ls_xcalloc(count ? count : 1, sizeof *pushed->marks);
    for (pushed->count = 0; pushed->count < count; pushed->count++) {
        struct ls_mark *mark = &pushed->marks[pushed->count];
        *mark = marks[pushed->count];
        mark->account = ls_xstrdup(mark->account);
        mark->entity = ls_xstrdup(mark->entity);
        mark->uid = ls_xstrdup(mark->uid);
    }
    ls_sqlite_submit(store, &pushed->base.request);
}

/* ---- left ------------------------------------------------------------------------------------ */

struct left_request {
    struct request request;
    char *account, *entity;
    int64_t up_to_gen, left, newest;
    ls_store_left_cb *done;
    void *arg;
};

static enum request_result left_run(struct ls_turn_db *turn, struct request *request,
                                    struct ls_err *err)
{
    struct left_request *left = (struct left_request *)request;

    if (ls_db_int(&turn->db, &left->newest, 0, err, "SELECT value FROM lockstep_sequence", "") <
            0 ||
        ls_db_int(&turn->db, &left->left, 0, err,
                  "SELECT count(*) FROM lockstep_dirty WHERE account = ?1 AND entity = ?2 "
                  "AND (?3 < 0 OR gen <= ?3) AND (pushed_at IS NULL OR pushed_at < ?4)",
                  "ttii", left->account, left->entity, left->up_to_gen, (int64_t)LS_NEVER_MS) < 0)
        return REQUEST_FAILED;
    return REQUEST_OK;
}

static void left_deliver(struct request *request, const struct ls_err *err)
{
    struct left_request *left = (struct left_request *)request;

    left->done(left->arg, left->left, left->newest, err);
}

static void left_free(struct request *request)
{
    struct left_request *left = (struct left_request *)request;

    free(left->account);
    free(left->entity);
    free(left);
}

void ls_sqlite_marks_left(struct ls_store *store, const char *account, const char *entity,
                          int64_t up_to_gen, ls_store_left_cb *done, void *arg)
{
    static const struct request_type type = {
        .name = "marks_left", .run = left_run, .deliver = left_deliver, .free = left_free};
    struct left_request *left = LS_NEW(struct left_request);

    *left = (struct left_request){.request.type = &type,
                                  .account = ls_xstrdup(account),
                                  .entity = ls_xstrdup(entity),
                                  .up_to_gen = up_to_gen,
                                  .done = done,
                                  .arg = arg};
    ls_sqlite_submit(store, &left->request);
}

/* ---- what a listing showed ------------------------------------------------------------------- */

struct seen_copy {
    char *remote_id, *version, *match;
    struct ls_record record;
};

struct seen_request {
    struct request request;
    const struct ls_mapping *mapping;
    struct seen_copy *seen;
    size_t count;
    bool link_equal;
    int64_t scan_gen;
    struct ls_seen_result result;
    ls_store_seen_cb *done;
    void *arg;
};

/* The local row that a match value names, as far as it was found. */
struct candidate {
    size_t count;
    char *id;
    bool readable;
    struct ls_record record;
};

/* Every field that the listing speaks of as in `known`. */
static bool seen_equals(const struct ls_mapping *mapping, const struct ls_record *seen,
                        const struct ls_record *known)
{
    if (!ls_record_present(known) || !ls_record_present(seen))
        return false;
    for (size_t i = 0; i < seen->count; i++)
        if (seen->values[i].state != LS_VALUE_MISSING &&
            !ls_value_same(mapping->fields[i].type, &seen->values[i], &known->values[i]))
            return false;
    return true;
}

/* A field with an open conflict is compared with the value that is in the list of conflicts: only
 * another one is news. */
static int take_conflicts(struct ls_turn_db *turn, const struct ls_mapping *mapping, int64_t link,
                          struct ls_record *known, struct ls_err *err)
{
    sqlite3_stmt *row;
    int found;

    if (ls_db_query(
            &turn->db, &row, err,
            "SELECT field, remote FROM lockstep_conflict WHERE link = ?1 AND closed_at IS NULL",
            "i", link) < 0)
        return -1;
    while ((found = ls_db_next(&turn->db, row, err)) > 0) {
        for (size_t i = 0; i < known->count; i++) {
            if (strcmp(mapping->fields[i].name, ls_db_text(row, 0)) != 0)
                continue;
            ls_value_set_null(&known->values[i]);
            if (ls_db_text(row, 1))
                ls_value_set(&known->values[i], mapping->fields[i].type, ls_db_text(row, 1),
                             (size_t)sqlite3_column_bytes(row, 1), NULL);
        }
    }
    return found;
}

/* Read the rows that the match values of seen[first ...] name, in one pass over the table. */
static int find_candidates(struct ls_turn_db *turn, const struct ls_app_table *table,
                           const struct seen_request *seen, struct candidate *candidates,
                           struct ls_err *err)
{
    const struct ls_mapping *mapping = seen->mapping;
    const struct ls_field *field = &mapping->fields[mapping->match];
    struct ls_buf sql = {0};
    size_t wanted = 0, padded = 8;
    sqlite3_stmt *row;
    int found;

    for (size_t i = 0; i < seen->count; i++)
        wanted += seen->seen[i].match && *seen->seen[i].match;
    if (!wanted)
        return 0;
    while (padded < wanted)
        padded *= 2;
    ls_buf_printf(&sql, "SELECT %s FROM %s WHERE t.", table->columns, table->from);
    ls_db_quote_name(&sql, field->column);
    ls_buf_puts(&sql, " IN (");
    for (size_t i = 0; i < padded; i++)
        ls_buf_puts(&sql, i ? ",?" : "?");
    ls_buf_putc(&sql, ')');
    found = ls_db_query(&turn->db, &row, err, sql.data, "");
    ls_buf_fini(&sql);
    if (found < 0)
        return -1;
    sqlite3_clear_bindings(row);
    wanted = 0;
    for (size_t i = 0; i < seen->count; i++)
        if (seen->seen[i].match && *seen->seen[i].match)
            sqlite3_bind_text(row, (int)++wanted, seen->seen[i].match, -1, SQLITE_TRANSIENT);
    while ((found = ls_db_next(&turn->db, row, err)) > 0) {
        struct ls_record record = {0};
        struct ls_err unreadable = LS_ERR_INIT;
        const struct ls_value *match;
        char *id;
        ls_app_table_record(table, row, 0, &id, &record, NULL, &unreadable);
        match = &record.values[mapping->match];
        for (size_t i = 0; i < seen->count; i++) {
            struct candidate *candidate = &candidates[i];
            if (!seen->seen[i].match || match->state != LS_VALUE_SET ||
                strcmp(seen->seen[i].match, match->text) != 0 || candidate->count++ > 0)
                continue;
            candidate->id = ls_xstrdup(id);
            candidate->readable = unreadable.code == LS_E_NONE;
            ls_record_copy(&candidate->record, &record);
        }
        ls_record_fini(&record);
        free(id);
    }
    return found;
}

static bool match_is_unique(const struct seen_request *seen, size_t index)
{
    for (size_t i = 0; i < seen->count; i++)
        if (i != index && seen->seen[i].match &&
            strcmp(seen->seen[i].match, seen->seen[index].match) == 0)
            return false;
    return true;
}

/* May this row be linked with that remote record here and now? 1, 0, -1. */
static int may_link(struct ls_turn_db *turn, const struct seen_request *seen, size_t index,
                    const struct candidate *candidate, const struct ls_link *remote,
                    struct ls_link *local, struct ls_err *err)
{
    const struct ls_record *record = &seen->seen[index].record;
    const struct ls_mapping *mapping = seen->mapping;
    int64_t open;
    int found;

    if (candidate->count != 1 || !candidate->readable || !match_is_unique(seen, index))
        return 0;
    for (size_t i = 0; i < record->count; i++)
        if (!ls_value_same(mapping->fields[i].type, &record->values[i],
                           &candidate->record.values[i]))
            return 0;
    if (remote->id && (remote->state != LS_LINK_NEW || remote->local_id))
        return 0;
    found = ls_link_find(turn, mapping->account, mapping->entity, LS_LINK_BY_LOCAL, candidate->id,
                         local, err);
    if (found < 0)
        return -1;
    if (found && (local->state != LS_LINK_NEW || local->remote_id))
        return 0;
    if (ls_db_int(&turn->db, &open, 0, err,
                  "SELECT count(*) FROM lockstep_op WHERE link IN (?1, ?2) "
                  "AND state IN ('sent', 'retry', 'unknown')",
                  "ii", local->id, remote->id) < 0)
        return -1;
    return open == 0;
}

static int link_now(struct ls_turn_db *turn, const struct seen_request *seen, size_t index,
                    const char *local_id, struct ls_link *remote, struct ls_link *local,
                    struct ls_err *err)
{
    const struct ls_mapping *mapping = seen->mapping;
    const struct seen_copy *copy = &seen->seen[index];
    struct ls_link *into = local->id ? local : remote;
    char hash[LS_RECORD_HASH_SIZE];
    struct ls_buf json = {0};
    int64_t failed;

    if (!into->id &&
        ls_link_mint(turn, mapping->account, mapping->entity, 'l', local_id, into, err) < 0)
        return -1;
    if (ls_link_absorb(turn, mapping->account, mapping->entity, into, copy->remote_id, err) < 0 ||
        ls_link_fence(turn, mapping->account, mapping->entity, into, err) < 0 ||
        ls_mark_remove(turn, mapping->account, mapping->entity, "l", local_id, -1, err) < 0)
        return -1;
    ls_record_hash(mapping, &copy->record, hash);
    ls_record_to_json(&json, mapping, &copy->record);
    failed =
        ls_db_run(&turn->db, err,
                  "UPDATE lockstep_link SET local_id = ?2, remote_id = ?3, state = 'linked', "
                  "base_json = ?4, base_hash = ?5, base_gen = base_gen + 1, remote_version = ?6, "
                  "synced_at = ?7, verified_at = ?7, error = NULL, dead = 0 WHERE id = ?1",
                  "ittttti", into->id, local_id, copy->remote_id, json.data, hash, copy->version,
                  turn->now_ms);
    ls_buf_fini(&json);
    if (failed >= 0)
        failed = ls_db_run(&turn->db, err,
                           "INSERT INTO lockstep_audit (at, link, uid, row, dir, field, new_value) "
                           "VALUES (?1, ?2, ?3, 4, 'link', 'remote_id', ?4)",
                           "iitt", turn->now_ms, into->id, into->uid, copy->remote_id);
    ls_sqlite_moved(turn, mapping->account, mapping->entity, true, true);
    return failed < 0 ? -1 : 0;
}

static enum request_result see_one(struct ls_turn_db *turn, struct seen_request *seen, size_t index,
                                   const struct candidate *candidate, struct ls_err *err)
{
    const struct ls_mapping *mapping = seen->mapping;
    const struct seen_copy *copy = &seen->seen[index];
    struct ls_link remote = {0}, local = {0};
    struct ls_record known = {0};
    enum request_result result = REQUEST_FAILED;
    int linkable = 0;

    if (ls_link_find(turn, mapping->account, mapping->entity, LS_LINK_BY_REMOTE, copy->remote_id,
                     &remote, err) < 0)
        goto end;
    if (remote.id && (ls_link_base(turn, mapping, remote.id, &known, err) < 0 ||
                      take_conflicts(turn, mapping, remote.id, &known, err) < 0))
        goto end;
    if (remote.id && remote.state != LS_LINK_TOMB && seen_equals(mapping, &copy->record, &known)) {
        seen->result.unchanged++;
        result = REQUEST_OK;
        if (seen->scan_gen > 0) {
            if (!turn->writing)
                result = REQUEST_WRITE;
            else if (ls_db_run(&turn->db, err,
                               "UPDATE lockstep_link SET seen_gen = ?2 WHERE id = ?1", "ii",
                               remote.id, seen->scan_gen) < 0)
                result = REQUEST_FAILED;
        }
        goto end;
    }
    if (!turn->writing) {
        result = REQUEST_WRITE;
        goto end;
    }
    if (candidate)
        linkable = may_link(turn, seen, index, candidate, &remote, &local, err);
    if (linkable < 0)
        goto end;
    if (linkable) {
        if (link_now(turn, seen, index, candidate->id, &remote, &local, err) < 0)
            goto end;
        seen->result.linked++;
    } else {
        if (ls_mark_hint(turn, mapping->account, mapping->entity, "r", copy->remote_id,
                         seen->link_equal ? "scan" : "remote", -1, err) < 0)
            goto end;
        seen->result.marked++;
    }
    if (seen->scan_gen > 0 &&
        ls_db_run(&turn->db, err,
                  "UPDATE lockstep_link SET seen_gen = ?4 WHERE account = ?1 AND entity = ?2 "
                  "AND remote_id = ?3",
                  "ttti", mapping->account, mapping->entity, copy->remote_id, seen->scan_gen) < 0)
        goto end;
    result = REQUEST_OK;
end:
    ls_record_fini(&known);
    ls_link_fini(&remote);
    ls_link_fini(&local);
    return result;
}

static enum request_result seen_run(struct ls_turn_db *turn, struct request *request,
                                    struct ls_err *err)
{
    struct seen_request *seen = (struct seen_request *)request;
    bool linking = seen->link_equal && seen->mapping->match >= 0;
    struct candidate *candidates = NULL;
    enum request_result result = REQUEST_OK;

    seen->result = (struct ls_seen_result){0};
    if (linking && turn->writing) {
        struct ls_app_table *table = ls_sqlite_table(turn, seen->mapping, err);
        candidates = ls_xcalloc(seen->count ? seen->count : 1, sizeof *candidates);
        if (!table || find_candidates(turn, table, seen, candidates, err) < 0)
            result = REQUEST_FAILED;
    }
    for (size_t i = 0; i < seen->count && result == REQUEST_OK; i++)
        result = see_one(turn, seen, i, candidates ? &candidates[i] : NULL, err);
    for (size_t i = 0; candidates && i < seen->count; i++) {
        free(candidates[i].id);
        ls_record_fini(&candidates[i].record);
    }
    free(candidates);
    return result;
}

static void seen_deliver(struct request *request, const struct ls_err *err)
{
    struct seen_request *seen = (struct seen_request *)request;

    seen->done(seen->arg, err ? NULL : &seen->result, err);
}

static void seen_free(struct request *request)
{
    struct seen_request *seen = (struct seen_request *)request;

    for (size_t i = 0; i < seen->count; i++) {
        free(seen->seen[i].remote_id);
        free(seen->seen[i].version);
        free(seen->seen[i].match);
        ls_record_fini(&seen->seen[i].record);
    }
    free(seen->seen);
    free(seen);
}

void ls_sqlite_mark_remote(struct ls_store *store, const struct ls_mapping *mapping,
                           const struct ls_seen *seen, size_t count, bool link_equal,
                           int64_t scan_gen, ls_store_seen_cb *done, void *arg)
{
    static const struct request_type type = {
        .name = "mark_remote", .run = seen_run, .deliver = seen_deliver, .free = seen_free};
    struct seen_request *copy = LS_NEW(struct seen_request);

    *copy = (struct seen_request){.request.type = &type,
                                  .mapping = mapping,
                                  .seen = ls_xcalloc(count ? count : 1, sizeof *copy->seen),
                                  .count = count,
                                  .link_equal = link_equal,
                                  .scan_gen = scan_gen,
                                  .done = done,
                                  .arg = arg};
    for (size_t i = 0; i < count; i++) {
        copy->seen[i].remote_id = ls_xstrdup(seen[i].remote_id);
        copy->seen[i].version = ls_xstrdup(seen[i].version);
        copy->seen[i].match = ls_xstrdup(seen[i].match);
        if (seen[i].record)
            ls_record_copy(&copy->seen[i].record, seen[i].record);
    }
    ls_sqlite_submit(store, &copy->request);
}

/* ---- local rows in key order ----------------------------------------------------------------- */

struct local_request {
    struct request request;
    const struct ls_mapping *mapping;
    char *after;
    int64_t limit;
    bool all;
    size_t looked, marked;
    char *last;
    ls_store_mark_local_cb *done;
    void *arg;
};

static enum request_result local_run(struct ls_turn_db *turn, struct request *request,
                                     struct ls_err *err)
{
    struct local_request *local = (struct local_request *)request;
    const struct ls_mapping *mapping = local->mapping;
    struct ls_app_table *table = ls_sqlite_table(turn, mapping, err);
    char **ids = NULL, *sql;
    size_t count = 0;
    sqlite3_stmt *row;
    int found;

    local->looked = local->marked = 0;
    free(local->last);
    local->last = NULL;
    if (!table)
        return REQUEST_FAILED;
    sql = ls_xasprintf(
        "SELECT CAST(%s AS TEXT), l.remote_id IS NOT NULL FROM %s LEFT JOIN lockstep_link AS l "
        "ON l.account = ?1 AND l.entity = ?2 AND l.local_id = CAST(%s AS TEXT) "
        "WHERE %s IS NOT NULL%s%s%s ORDER BY %s LIMIT ?3",
        table->key, table->from, table->key, table->key, local->after ? " AND " : "",
        local->after ? table->key : "", local->after ? " > ?4" : "", table->key);
    found = ls_db_query(&turn->db, &row, err, sql, local->after ? "ttit" : "tti", mapping->account,
                        mapping->entity, local->limit, local->after);
    free(sql);
    if (found < 0)
        return REQUEST_FAILED;
    while ((found = ls_db_next(&turn->db, row, err)) > 0) {
        local->looked++;
        free(local->last);
        local->last = ls_db_dup(row, 0);
        if (!local->all && sqlite3_column_int(row, 1))
            continue;
        ids = ls_xrealloc(ids, (count + 1) * sizeof *ids);
        ids[count++] = ls_db_dup(row, 0);
    }
    for (size_t i = 0; i < count; i++) {
        if (found == 0)
            found =
                ls_mark_hint(turn, mapping->account, mapping->entity, "l", ids[i], "scan", -1, err);
        free(ids[i]);
    }
    free(ids);
    local->marked = count;
    if ((int64_t)local->looked < local->limit) {
        free(local->last);
        local->last = NULL;
    }
    return found < 0 ? REQUEST_FAILED : REQUEST_OK;
}

static void local_deliver(struct request *request, const struct ls_err *err)
{
    struct local_request *local = (struct local_request *)request;

    local->done(local->arg, local->looked, local->marked, local->last, err);
}

static void local_free(struct request *request)
{
    struct local_request *local = (struct local_request *)request;

    free(local->after);
    free(local->last);
    free(local);
}

void ls_sqlite_mark_local(struct ls_store *store, const struct ls_mapping *mapping,
                          const char *after_id, size_t limit, bool all,
                          ls_store_mark_local_cb *done, void *arg)
{
    static const struct request_type type = {.name = "mark_local",
                                             .writes = true,
                                             .run = local_run,
                                             .deliver = local_deliver,
                                             .free = local_free};
    struct local_request *local = LS_NEW(struct local_request);

    *local = (struct local_request){.request.type = &type,
                                    .mapping = mapping,
                                    .after = ls_xstrdup(after_id),
                                    .limit = limit ? (int64_t)limit : TAKE_LIMIT,
                                    .all = all,
                                    .done = done,
                                    .arg = arg};
    ls_sqlite_submit(store, &local->request);
}

/* ---- resolve --------------------------------------------------------------------------------- */

struct resolve_request {
    struct request request;
    const struct ls_mapping *mapping;
    char side, *ref, *uid;
    ls_store_uid_cb *done;
    void *arg;
};

static enum request_result resolve_run(struct ls_turn_db *turn, struct request *request,
                                       struct ls_err *err)
{
    struct resolve_request *resolve = (struct resolve_request *)request;
    const struct ls_mapping *mapping = resolve->mapping;
    enum request_result result = REQUEST_FAILED;
    struct ls_record record = {0};
    struct ls_link link = {0};
    struct ls_app_table *table;
    int found;

    free(resolve->uid);
    resolve->uid = NULL;
    found = ls_link_find(turn, mapping->account, mapping->entity,
                         resolve->side == 'l' ? LS_LINK_BY_LOCAL : LS_LINK_BY_REMOTE, resolve->ref,
                         &link, err);
    if (found == 0 && resolve->side == 'l') {
        table = ls_sqlite_table(turn, mapping, err);
        if (!table || (found = ls_app_table_read(&turn->db, table, resolve->ref, &record, NULL,
                                                 NULL, err)) < 0)
            goto end;
        if (!found) {
            ls_fail(err, LS_E_NOT_FOUND, "table '%s' has no row '%.80s'", mapping->table,
                    resolve->ref);
            goto end;
        }
        found = 0;
    }
    if (found < 0)
        goto end;
    if (found == 0 && !turn->writing) {
        result = REQUEST_WRITE;
        goto end;
    }
    if (found == 0 && ls_link_mint(turn, mapping->account, mapping->entity, resolve->side,
                                   resolve->ref, &link, err) < 0)
        goto end;
    resolve->uid = ls_xstrdup(link.uid);
    result = REQUEST_OK;
end:
    ls_record_fini(&record);
    ls_link_fini(&link);
    return result;
}

static void resolve_deliver(struct request *request, const struct ls_err *err)
{
    struct resolve_request *resolve = (struct resolve_request *)request;

    resolve->done(resolve->arg, err ? NULL : resolve->uid, err);
}

static void resolve_free(struct request *request)
{
    struct resolve_request *resolve = (struct resolve_request *)request;

    free(resolve->ref);
    free(resolve->uid);
    free(resolve);
}

void ls_sqlite_resolve(struct ls_store *store, const struct ls_mapping *mapping,
                       const char *local_id, const char *remote_id, ls_store_uid_cb *done,
                       void *arg)
{
    static const struct request_type type = {
        .name = "resolve", .run = resolve_run, .deliver = resolve_deliver, .free = resolve_free};
    struct resolve_request *resolve = LS_NEW(struct resolve_request);

    *resolve = (struct resolve_request){.request.type = &type,
                                        .mapping = mapping,
                                        .side = local_id ? 'l' : 'r',
                                        .ref = ls_xstrdup(local_id ? local_id : remote_id),
                                        .done = done,
                                        .arg = arg};
    ls_sqlite_submit(store, &resolve->request);
}
