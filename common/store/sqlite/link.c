#include "common/store/sqlite/link.h"

#include <stdio.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/mem.h"

#define UID_MAX 128
#define MINT_ATTEMPTS 100

#define LINK_COLUMNS "id, uid, local_id, remote_id, state, token, base_gen"
#define LINK_WHERE(column)                                                                      \
    "SELECT " LINK_COLUMNS " FROM lockstep_link WHERE account = ?1 AND entity = ?2 AND " column \
    " = ?3"
#define MARK_WHERE "WHERE account = ?1 AND entity = ?2 AND side = ?3 AND ref = ?4"

static const char *const state_names[] = {[LS_LINK_NEW] = "new",
                                          [LS_LINK_LINKED] = "linked",
                                          [LS_LINK_PARKED] = "parked",
                                          [LS_LINK_TOMB] = "tomb"};

void ls_link_fini(struct ls_link *link)
{
    free(link->uid);
    free(link->local_id);
    free(link->remote_id);
    *link = (struct ls_link){0};
}

const char *ls_link_state_name(enum ls_link_state state)
{
    return state_names[state];
}

enum ls_link_state ls_link_state_parse(const char *name)
{
    for (size_t i = 0; i < LS_COUNT(state_names); i++)
        if (name && strcmp(name, state_names[i]) == 0)
            return (enum ls_link_state)i;
    return LS_LINK_NEW;
}

int ls_link_find(struct ls_turn_db *turn, const char *account, const char *entity,
                 enum ls_link_by by, const char *value, struct ls_link *link, struct ls_err *err)
{
    static const char *const sql[] = {[LS_LINK_BY_UID] = LINK_WHERE("uid"),
                                      [LS_LINK_BY_LOCAL] = LINK_WHERE("local_id"),
                                      [LS_LINK_BY_REMOTE] = LINK_WHERE("remote_id")};
    sqlite3_stmt *row;
    int found;

    ls_link_fini(link);
    if (ls_db_query(&turn->db, &row, err, sql[by], "ttt", account, entity, value) < 0 ||
        (found = ls_db_next(&turn->db, row, err)) < 0)
        return -1;
    if (found) {
        *link = (struct ls_link){.id = sqlite3_column_int64(row, 0),
                                 .uid = ls_db_dup(row, 1),
                                 .local_id = ls_db_dup(row, 2),
                                 .remote_id = ls_db_dup(row, 3),
                                 .state = ls_link_state_parse(ls_db_text(row, 4)),
                                 .token = sqlite3_column_int64(row, 5),
                                 .base_gen = sqlite3_column_int64(row, 6)};
        sqlite3_reset(row);
    }
    return found;
}

char *ls_link_uid(char side, const char *ref, int attempt)
{
    static const char hex[] = "0123456789ABCDEF";
    struct ls_buf uid = {0};

    ls_buf_printf(&uid, "%c-", side);
    for (const unsigned char *at = (const unsigned char *)ref; *at; at++) {
        if ((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
            (*at >= '0' && *at <= '9') || strchr("._~:@-", *at)) {
            ls_buf_putc(&uid, (char)*at);
        } else {
            ls_buf_putc(&uid, '%');
            ls_buf_putc(&uid, hex[*at >> 4]);
            ls_buf_putc(&uid, hex[*at & 15]);
        }
    }
    if (uid.length > UID_MAX) {
        char digest[LS_SHA256_HEX_SIZE];
        ls_sha256_hex(ref, strlen(ref), digest);
        ls_buf_clear(&uid);
        ls_buf_printf(&uid, "%c-%%%s", side, digest);
    }
    if (attempt)
        ls_buf_printf(&uid, "~%d", attempt + 1);
    return ls_buf_take(&uid);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *ls_link_uid_ref(const char *uid)
{
    struct ls_buf ref = {0};

    if ((uid[0] != 'l' && uid[0] != 'r') || uid[1] != '-' || !uid[2])
        return NULL;
    for (const char *at = uid + 2; *at; at++) {
        int high, low;
        if (*at != '%') {
            ls_buf_putc(&ref, *at);
            continue;
        }
        high = hex_digit(at[1]);
        low = high < 0 ? -1 : hex_digit(at[2]);
        if (low < 0) {
            ls_buf_fini(&ref);
            return NULL;
        }
        ls_buf_putc(&ref, (char)(high << 4 | low));
        at += 2;
    }
    return ls_buf_take(&ref);
}

int ls_link_mint(struct ls_turn_db *turn, const char *account, const char *entity, char side,
                 const char *ref, struct ls_link *link, struct ls_err *err)
{
    ls_link_fini(link);
    for (int attempt = 0; attempt < MINT_ATTEMPTS; attempt++) {
        char *uid = ls_link_uid(side, ref, attempt);
        int64_t made = ls_db_run(
            &turn->db, err,
            "INSERT INTO lockstep_link (account, entity, uid, local_id, remote_id, created_at) "
            "VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (account, entity, uid) DO NOTHING",
            "ttttti", account, entity, uid, side == 'l' ? ref : NULL, side == 'r' ? ref : NULL,
            turn->now_ms);
        free(uid);
        if (made < 0)
            return -1;
        if (made)
            return ls_link_find(turn, account, entity,
                                side == 'l' ? LS_LINK_BY_LOCAL : LS_LINK_BY_REMOTE, ref, link,
                                err) < 0
                       ? -1
                       : 0;
    }
    return ls_fail(err, LS_E_CORRUPT, "cannot name the record '%c-%.80s'", side, ref);
}

int ls_link_absorb(struct ls_turn_db *turn, const char *account, const char *entity,
                   const struct ls_link *into, const char *remote_id, struct ls_err *err)
{
    static const char *const move[] = {
        "UPDATE lockstep_op SET link = ?1 WHERE link = ?2",
        "UPDATE OR REPLACE lockstep_sent SET link = ?1 WHERE link = ?2",
        "UPDATE OR REPLACE lockstep_conflict SET link = ?1 WHERE link = ?2",
        "UPDATE lockstep_audit SET link = ?1 WHERE link = ?2",
        "UPDATE OR REPLACE lockstep_gate SET link = ?1 WHERE link = ?2",
        "DELETE FROM lockstep_link WHERE id = ?2 AND ?1",
    };
    struct ls_link holder = {0};
    int failed = 0,
        found = ls_link_find(turn, account, entity, LS_LINK_BY_REMOTE, remote_id, &holder, err);

    if (found <= 0 || holder.id == into->id) {
        ls_link_fini(&holder);
        return found < 0 ? -1 : 0;
    }
    if (holder.state == LS_LINK_TOMB) {
        failed =
            ls_db_run(&turn->db, err, "UPDATE lockstep_link SET remote_id = NULL WHERE id = ?1",
                      "i", holder.id) < 0;
    } else if (holder.local_id) {
        failed = ls_fail(err, LS_E_EXISTS, "remote record '%s' is linked to '%s' already",
                         remote_id, holder.uid);
    } else {
        for (size_t i = 0; i < LS_COUNT(move) && !failed; i++)
            failed = ls_db_run(&turn->db, err, move[i], "ii", into->id, holder.id) < 0;
        /* its mark was handed over under the name that is gone now: again, under the new one */
        failed =
            failed || ls_db_run(&turn->db, err,
                                "UPDATE lockstep_dirty SET pushed_gen = NULL "
                                "WHERE account = ?1 AND entity = ?2 AND side = 'r' AND ref = ?3",
                                "ttt", account, entity, remote_id) < 0;
    }
    ls_link_fini(&holder);
    return failed ? -1 : 0;
}

int ls_link_fence(struct ls_turn_db *turn, const char *account, const char *entity,
                  const struct ls_link *link, struct ls_err *err)
{
    return ls_db_run(&turn->db, err, "UPDATE lockstep_link SET token = token + 1 WHERE id = ?1",
                     "i", link->id) < 0 ||
                   ls_db_run(&turn->db, err,
                             "UPDATE lockstep_dirty SET pushed_gen = NULL "
                             "WHERE account = ?1 AND entity = ?2 AND side = 'l' AND ref = ?3",
                             "ttt", account, entity, link->local_id) < 0 ||
                   ls_db_run(&turn->db, err,
                             "UPDATE lockstep_dirty SET pushed_gen = NULL "
                             "WHERE account = ?1 AND entity = ?2 AND side = 'r' AND ref = ?3",
                             "ttt", account, entity, link->remote_id) < 0
               ? -1
               : 0;
}

int ls_mark_get(struct ls_turn_db *turn, const char *account, const char *entity, const char *side,
                const char *ref, struct ls_mark_row *mark, struct ls_err *err)
{
    sqlite3_stmt *row;
    int found;

    *mark = (struct ls_mark_row){0};
    if (!ref)
        return 0;
    if (ls_db_query(&turn->db, &row, err, "SELECT gen, first_at FROM lockstep_dirty " MARK_WHERE,
                    "tttt", account, entity, side, ref) < 0 ||
        (found = ls_db_next(&turn->db, row, err)) < 0)
        return -1;
    if (found) {
        *mark = (struct ls_mark_row){sqlite3_column_int64(row, 0), sqlite3_column_int64(row, 1)};
        sqlite3_reset(row);
    }
    return 0;
}

int ls_mark_put(struct ls_turn_db *turn, const char *account, const char *entity, const char *side,
                const char *ref, const char *origin, int high, struct ls_err *err)
{
    if (ls_db_run(&turn->db, err, "UPDATE lockstep_sequence SET value = value + 1", "") < 0)
        return -1;
    return ls_db_run(
               &turn->db, err,
               "INSERT INTO lockstep_dirty (account, entity, side, ref, gen, first_at, origin, "
               "high) VALUES (?1, ?2, ?3, ?4, (SELECT value FROM lockstep_sequence), ?5, ?6, ?7) "
               "ON CONFLICT DO UPDATE SET gen = excluded.gen, origin = excluded.origin, "
               "high = max(high, excluded.high)",
               "ttttiti", account, entity, side, ref, turn->now_ms, origin, (int64_t)high) < 0
               ? -1
               : 0;
}

int ls_mark_hint(struct ls_turn_db *turn, const char *account, const char *entity, const char *side,
                 const char *ref, const char *origin, int high, struct ls_err *err)
{
    int64_t due;

    if (ls_db_int(&turn->db, &due, 0, err,
                  "SELECT pushed_gen IS NOT gen AND high >= ?5 FROM lockstep_dirty " MARK_WHERE,
                  "tttti", account, entity, side, ref, (int64_t)high) < 0)
        return -1;
    return due ? 0 : ls_mark_put(turn, account, entity, side, ref, origin, high, err);
}

int ls_mark_remove(struct ls_turn_db *turn, const char *account, const char *entity,
                   const char *side, const char *ref, int64_t gen, struct ls_err *err)
{
    if (!ref)
        return 0;
    return ls_db_run(&turn->db, err,
                     "DELETE FROM lockstep_dirty " MARK_WHERE " AND (gen = ?5 OR ?5 < 0)", "tttti",
                     account, entity, side, ref, gen) < 0
               ? -1
               : 0;
}

int ls_link_conflicts(struct ls_turn_db *turn, const struct ls_mapping *mapping, int64_t link,
                      uint64_t *fields, struct ls_err *err)
{
    sqlite3_stmt *row;
    int found;

    *fields = 0;
    if (ls_db_query(&turn->db, &row, err,
                    "SELECT field FROM lockstep_conflict WHERE link = ?1 AND closed_at IS NULL",
                    "i", link) < 0)
        return -1;
    while ((found = ls_db_next(&turn->db, row, err)) > 0)
        for (size_t i = 0; i < mapping->count; i++)
            if (strcmp(mapping->fields[i].name, ls_db_text(row, 0)) == 0)
                *fields |= 1ull << i;
    return found;
}

int ls_link_base(struct ls_turn_db *turn, const struct ls_mapping *mapping, int64_t link,
                 struct ls_record *base, struct ls_err *err)
{
    sqlite3_stmt *row;
    int found, failed = 0;

    ls_record_fini(base);
    if (ls_db_query(&turn->db, &row, err, "SELECT base_json FROM lockstep_link WHERE id = ?1", "i",
                    link) < 0 ||
        (found = ls_db_next(&turn->db, row, err)) < 0)
        return -1;
    if (found && ls_db_text(row, 0))
        failed = ls_record_from_json(base, mapping, ls_db_text(row, 0),
                                     (size_t)sqlite3_column_bytes(row, 0), err);
    sqlite3_reset(row);
    return failed;
}
