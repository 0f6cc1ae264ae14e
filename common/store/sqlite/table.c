#include "common/store/sqlite/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "common/base/mem.h"

#define MILLIS_ABOVE 100000000000LL /* a number of seconds that lies 3,000 years ahead */
#define SECONDS_TEXT "1970-01-01T00:00:00Z"

static int look_at_columns(struct ls_db *db, struct ls_app_table *table, struct ls_err *err);
static int look_at_uniques(struct ls_db *db, struct ls_app_table *table, struct ls_err *err);
static int look_at_key(struct ls_db *db, struct ls_app_table *table, int key_parts, bool key_found,
                       const char *key_type, struct ls_err *err);
static bool has_rowid(struct ls_db *db, const char *name);
static enum ls_affinity affinity_of(const char *type);
static void build_sql(struct ls_app_table *table);
static int set_value(struct ls_value *value, enum ls_type type, sqlite3_stmt *row, int column,
                     struct ls_err *err);
static void note_style(struct ls_style *style, sqlite3_stmt *row, int column);
static int bind_value(sqlite3_stmt *statement, int at, const struct ls_field *field,
                      enum ls_affinity affinity, const struct ls_style *style,
                      const struct ls_value *value, struct ls_err *err);

/* ---- what there is --------------------------------------------------------------------------- */

struct ls_app_table *ls_app_table_new(struct ls_db *db, const struct ls_mapping *mapping,
                                      struct ls_err *err)
{
    struct ls_app_table *table = LS_NEW(struct ls_app_table);

    table->mapping = mapping;
    memcpy(table->identity, mapping->identity, sizeof table->identity);
    if (look_at_columns(db, table, err) < 0 || look_at_uniques(db, table, err) < 0) {
        ls_app_table_free(table);
        return NULL;
    }
    build_sql(table);
    return table;
}

void ls_app_table_free(struct ls_app_table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->unique_count; i++) {
        for (size_t j = 0; j < table->uniques[i].count; j++)
            free(table->uniques[i].columns[j]);
        free(table->uniques[i].columns);
    }
    free(table->uniques);
    free(table->columns);
    free(table->from);
    free(table->key);
    free(table->sql_read);
    free(table);
}

static int look_at_columns(struct ls_db *db, struct ls_app_table *table, struct ls_err *err)
{
    const struct ls_mapping *mapping = table->mapping;
    bool seen[LS_FIELDS_MAX] = {0}, key_found = false;
    char key_type[32] = "";
    int found, columns = 0, key_parts = 0;
    sqlite3_stmt *row;
    int64_t is_table;

    if (ls_db_int(db, &is_table, -1, err,
                  "SELECT type = 'table' FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE "
                  "AND type IN ('table', 'view')",
                  "t", mapping->table) < 0)
        return -1;
    if (is_table != 1) {
        ls_fail(err, LS_E_CONFIG, "database '%s' has no table '%s'%s", db->shown, mapping->table,
                is_table == 0 ? ", only a view of that name" : "");
        return ls_hint(err, "`table:` of sync '%s' names it", mapping->sync);
    }
    if (ls_db_query(db, &row, err,
                    "SELECT name, type, pk, dflt_value IS NOT NULL, hidden "
                    "FROM pragma_table_xinfo(?1)",
                    "t", mapping->table) < 0)
        return -1;
    while ((found = ls_db_next(db, row, err)) > 0) {
        const char *name = ls_db_text(row, 0), *type = ls_db_text(row, 1);
        bool generated = sqlite3_column_int(row, 4) != 0;
        columns++;
        key_parts += sqlite3_column_int(row, 2) > 0;
        if (strcasecmp(name, "updated_at") == 0)
            table->has_updated_at = true;
        if (strcasecmp(name, mapping->id_column) == 0) {
            key_found = sqlite3_column_int(row, 2) > 0;
            snprintf(key_type, sizeof key_type, "%s", type);
            table->key_affinity = affinity_of(type);
            table->key_default = sqlite3_column_int(row, 3) != 0;
            seen[0] |= mapping->count == 0;
        }
        for (size_t i = 0; i < mapping->count; i++) {
            if (strcasecmp(name, mapping->fields[i].column) != 0)
                continue;
            seen[i] = true;
            table->affinities[i] = affinity_of(type);
            if (generated && mapping->fields[i].owner != LS_OWNER_LOCAL) {
                ls_db_release(db);
                ls_fail(err, LS_E_CONFIG, "column '%s' of table '%s' is computed by the database",
                        name, mapping->table);
                return ls_hint(err, "give field '%s' of sync '%s' `owner: local`",
                               mapping->fields[i].name, mapping->sync);
            }
        }
    }
    if (found < 0)
        return -1;
    for (size_t i = 0; i < mapping->count; i++) {
        if (!seen[i]) {
            ls_fail(err, LS_E_CONFIG, "table '%s' has no column '%s'", mapping->table,
                    mapping->fields[i].column);
            return ls_hint(err, "field '%s' of sync '%s' needs it; `column:` names another",
                           mapping->fields[i].name, mapping->sync);
        }
    }
    return look_at_key(db, table, key_parts, key_found, key_type, err);
}

static int look_at_key(struct ls_db *db, struct ls_app_table *table, int key_parts, bool key_found,
                       const char *key_type, struct ls_err *err)
{
    const struct ls_mapping *mapping = table->mapping;
    bool without_rowid;

    if (!key_found || key_parts != 1) {
        ls_fail(err, LS_E_CONFIG, "column '%s' is not the primary key of table '%s'%s",
                mapping->id_column, mapping->table, key_found ? ", only a part of it" : "");
        return ls_hint(err, "sync '%s' needs a table whose primary key is one column: `id:`",
                       mapping->sync);
    }
    if (table->key_affinity != LS_AFFINITY_INTEGER && table->key_affinity != LS_AFFINITY_TEXT &&
        table->key_affinity != LS_AFFINITY_NUMERIC) {
        ls_fail(err, LS_E_CONFIG, "key '%s' of table '%s' is neither INTEGER nor text but '%s'",
                mapping->id_column, mapping->table, key_type);
        return ls_hint(err, "declare the column as INTEGER or TEXT");
    }
    without_rowid = !has_rowid(db, mapping->table);
    table->key_rowid = strcasecmp(key_type, "integer") == 0 && !without_rowid;
    if (table->key_rowid) {
        int64_t found;
        if (ls_db_int(db, &found, 0, err,
                      "SELECT sql LIKE '%autoincrement%' FROM sqlite_schema "
                      "WHERE type = 'table' AND name = ?1 COLLATE NOCASE",
                      "t", mapping->table) < 0)
            return -1;
        table->autoincrement = found != 0;
    }
    return 0;
}

static bool has_rowid(struct ls_db *db, const char *name)
{
    sqlite3_stmt *statement = NULL;
    struct ls_buf sql = {0};
    int rc;

    ls_buf_puts(&sql, "SELECT t._rowid_ FROM ");
    ls_db_quote_name(&sql, name);
    ls_buf_puts(&sql, " AS t LIMIT 0");
    rc = sqlite3_prepare_v2(db->handle, sql.data, -1, &statement, NULL);
    sqlite3_finalize(statement);
    ls_buf_fini(&sql);
    return rc == SQLITE_OK;
}

/* Unique indexes other than the key's. A partial one is taken as if it were whole: too many
 * suspects do no harm. Indexes over expressions are left out. */
static int look_at_uniques(struct ls_db *db, struct ls_app_table *table, struct ls_err *err)
{
    sqlite3_stmt *row;
    char last[128] = "";
    int found;

    if (ls_db_query(db, &row, err,
                    "SELECT l.name, i.name, count(*) OVER (PARTITION BY l.name) = "
                    "count(i.name) OVER (PARTITION BY l.name) "
                    "FROM pragma_index_list(?1) AS l, pragma_index_info(l.name) AS i "
                    "WHERE l.\"unique\" = 1 AND l.origin <> 'pk' ORDER BY l.name, i.seqno",
                    "t", table->mapping->table) < 0)
        return -1;
    while ((found = ls_db_next(db, row, err)) > 0) {
        struct ls_app_table_unique *unique;
        if (!sqlite3_column_int(row, 2))
            continue;
        if (strcmp(last, ls_db_text(row, 0)) != 0) {
            snprintf(last, sizeof last, "%s", ls_db_text(row, 0));
            table->uniques =
                ls_xrealloc(table->uniques, (table->unique_count + 1) * sizeof *table->uniques);
            table->uniques[table->unique_count++] = (struct ls_app_table_unique){0};
        }
        unique = &table->uniques[table->unique_count - 1];
        unique->columns =
            ls_xrealloc(unique->columns, (unique->count + 1) * sizeof *unique->columns);
        unique->columns[unique->count++] = ls_db_dup(row, 1);
    }
    return found;
}

/* As the documentation of SQLite has it (datatype3.html, 3.1). */
static enum ls_affinity affinity_of(const char *type)
{
    if (!type || !*type)
        return LS_AFFINITY_NONE;
    if (strcasestr(type, "INT"))
        return LS_AFFINITY_INTEGER;
    if (strcasestr(type, "CHAR") || strcasestr(type, "CLOB") || strcasestr(type, "TEXT"))
        return LS_AFFINITY_TEXT;
    if (strcasestr(type, "BLOB") || strcasecmp(type, "ANY") == 0)
        return LS_AFFINITY_NONE;
    if (strcasestr(type, "REAL") || strcasestr(type, "FLOA") || strcasestr(type, "DOUB"))
        return LS_AFFINITY_REAL;
    return LS_AFFINITY_NUMERIC;
}

/* Columns are always qualified: SQLite takes a bare "name" that is no column for a string. */
static void build_sql(struct ls_app_table *table)
{
    struct ls_buf buf = {0};

    ls_buf_puts(&buf, "t.");
    ls_db_quote_name(&buf, table->mapping->id_column);
    table->key = ls_buf_take(&buf);
    ls_db_quote_name(&buf, table->mapping->table);
    ls_buf_puts(&buf, " AS t");
    table->from = ls_buf_take(&buf);
    ls_buf_printf(&buf, "CAST(%s AS TEXT)", table->key);
    for (size_t i = 0; i < table->mapping->count; i++) {
        ls_buf_puts(&buf, ", t.");
        ls_db_quote_name(&buf, table->mapping->fields[i].column);
    }
    table->columns = ls_buf_take(&buf);
    table->sql_read =
        ls_xasprintf("SELECT %s FROM %s WHERE %s = ?1", table->columns, table->from, table->key);
}

/* ---- reading --------------------------------------------------------------------------------- */

void ls_app_table_record(const struct ls_app_table *table, sqlite3_stmt *row, int first, char **id,
                         struct ls_record *record, struct ls_style *styles,
                         struct ls_err *unreadable)
{
    const struct ls_mapping *mapping = table->mapping;
    struct ls_err err = LS_ERR_INIT;

    ls_record_fini(record);
    ls_record_init(record, mapping);
    if (id)
        *id = ls_db_dup(row, first);
    for (size_t i = 0; i < mapping->count; i++) {
        int column = first + 1 + (int)i;
        if (styles)
            note_style(&styles[i], row, column);
        if (set_value(&record->values[i], mapping->fields[i].type, row, column, &err) == 0)
            continue;
        ls_wrap(&err, "invalid %s", mapping->fields[i].name);
        snprintf(err.reason, sizeof err.reason, "%s", mapping->fields[i].name);
        if (unreadable && unreadable->code == LS_E_NONE)
            *unreadable = err;
    }
}

int ls_app_table_read(struct ls_db *db, const struct ls_app_table *table, const char *id,
                      struct ls_record *record, struct ls_style *styles, struct ls_err *unreadable,
                      struct ls_err *err)
{
    sqlite3_stmt *row;
    int found;

    ls_record_fini(record);
    if (ls_db_query(db, &row, err, table->sql_read, "t", id) < 0)
        return -1;
    found = ls_db_next(db, row, err);
    if (found > 0) {
        ls_app_table_record(table, row, 0, NULL, record, styles, unreadable);
        sqlite3_reset(row);
    }
    return found;
}

static const char *shortest(char out[40], double number)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 40, "%.*g", digits, number);
        if (strtod(out, NULL) == number)
            break;
    }
    return out;
}

/* The database's own calendar, so that there is one of them. */
static int set_timestamp(struct ls_value *value, int64_t number, struct ls_err *err)
{
    struct tm tm;
    time_t seconds =
        (time_t)(number > MILLIS_ABOVE || number < -MILLIS_ABOVE ? number / 1000 : number);
    char text[40];

    if (!gmtime_r(&seconds, &tm) || tm.tm_year < -1900 || tm.tm_year > 8099)
        return ls_fail(err, LS_E_INVALID, "'%lld' is not a timestamp", (long long)number);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return ls_value_set(value, LS_TYPE_TIMESTAMP, text, strlen(text), err);
}

static int set_value(struct ls_value *value, enum ls_type type, sqlite3_stmt *row, int column,
                     struct ls_err *err)
{
    char text[40];

    switch (sqlite3_column_type(row, column)) {
    case SQLITE_NULL:
        ls_value_set_null(value);
        return 0;
    case SQLITE_INTEGER:
        if (type == LS_TYPE_TIMESTAMP)
            return set_timestamp(value, sqlite3_column_int64(row, column), err);
        snprintf(text, sizeof text, "%lld", (long long)sqlite3_column_int64(row, column));
        return ls_value_set(value, type, text, strlen(text), err);
    case SQLITE_FLOAT:
        if (!isfinite(sqlite3_column_double(row, column)))
            return ls_fail(err, LS_E_INVALID, "the number is infinite");
        if (type == LS_TYPE_TIMESTAMP)
            return set_timestamp(value, (int64_t)sqlite3_column_double(row, column), err);
        shortest(text, sqlite3_column_double(row, column));
        return ls_value_set(value, type, text, strlen(text), err);
    case SQLITE_TEXT: {
        const char *bytes = ls_db_text(row, column);
        return ls_value_set(value, type, bytes, (size_t)sqlite3_column_bytes(row, column), err);
    }
    default:
        return ls_fail(err, LS_E_INVALID, "the column holds a BLOB");
    }
}

static void note_style(struct ls_style *style, sqlite3_stmt *row, int column)
{
    *style = (struct ls_style){.storage = sqlite3_column_type(row, column)};
    if (style->storage == SQLITE_TEXT)
        snprintf(style->text, sizeof style->text, "%s", ls_db_text(row, column));
    else if (style->storage == SQLITE_INTEGER)
        style->millis = llabs(sqlite3_column_int64(row, column)) > MILLIS_ABOVE;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int bind_record(struct ls_db *db, const struct ls_app_table *table, sqlite3_stmt *statement,
                       const struct ls_record *record, const struct ls_style *styles, int first,
                       struct ls_err *err)
{
    static const struct ls_style unknown;
    int at = first;

    for (size_t i = 0; i < record->count; i++) {
        const struct ls_field *field = &table->mapping->fields[i];
        if (record->values[i].state == LS_VALUE_MISSING)
            continue;
        if (bind_value(statement, at++, field, table->affinities[i], styles ? &styles[i] : &unknown,
                       &record->values[i], err) < 0)
            return ls_wrap(err, "cannot write %s to table '%s' of '%s'", field->name,
                           table->mapping->table, db->shown);
    }
    return 0;
}

int ls_app_table_update(struct ls_db *db, const struct ls_app_table *table, const char *id,
                        const struct ls_record *record, const struct ls_style *styles,
                        struct ls_err *err)
{
    struct ls_buf sql = {0};
    sqlite3_stmt *statement;
    int rc, failed, columns = 0;

    ls_buf_puts(&sql, "UPDATE ");
    ls_buf_puts(&sql, table->from);
    for (size_t i = 0; i < record->count; i++) {
        if (record->values[i].state == LS_VALUE_MISSING)
            continue;
        ls_buf_puts(&sql, columns++ ? ", " : " SET ");
        ls_db_quote_name(&sql, table->mapping->fields[i].column);
        ls_buf_printf(&sql, " = ?%d", columns + 1);
    }
    ls_buf_printf(&sql, " WHERE %s = ?1", table->key);
    if (!columns) {
        ls_buf_fini(&sql);
        return 1;
    }
    failed = ls_db_query(db, &statement, err, sql.data, "t", id);
    ls_buf_fini(&sql);
    if (failed || bind_record(db, table, statement, record, styles, 2, err) < 0)
        return -1;
    rc = sqlite3_step(statement);
    if (rc != SQLITE_DONE) {
        ls_db_fail(db, rc, LS_E_INVALID, err);
        sqlite3_reset(statement);
        return -1;
    }
    sqlite3_reset(statement);
    return sqlite3_changes(db->handle);
}

char *ls_app_table_insert(struct ls_db *db, const struct ls_app_table *table,
                          const struct ls_record *record, const char *forced_id, struct ls_err *err)
{
    const struct ls_mapping *mapping = table->mapping;
    bool key_mapped = false;
    struct ls_buf columns = {0}, sql = {0};
    sqlite3_stmt *statement;
    int rc, failed, count = 0;
    char *id = NULL;

    for (size_t i = 0; i < record->count; i++) {
        if (record->values[i].state == LS_VALUE_MISSING)
            continue;
        key_mapped |= strcasecmp(mapping->fields[i].column, mapping->id_column) == 0;
        ls_buf_puts(&columns, count++ ? ", " : "");
        ls_db_quote_name(&columns, mapping->fields[i].column);
    }
    if (!forced_id && !key_mapped && !table->key_rowid && !table->key_default) {
        ls_buf_fini(&columns);
        ls_fail(err, LS_E_UNSUPPORTED,
                "cannot make a row in table '%s': its key '%s' has no default", mapping->table,
                mapping->id_column);
        ls_hint(err, "declare it INTEGER PRIMARY KEY, or give it a DEFAULT that makes an id");
        return NULL;
    }
    ls_buf_puts(&sql, "INSERT INTO ");
    ls_db_quote_name(&sql, mapping->table);
    if (forced_id) {
        ls_buf_puts(&columns, count ? ", " : "");
        ls_db_quote_name(&columns, mapping->id_column);
    }
    if (count || forced_id) {
        ls_buf_printf(&sql, " (%s) VALUES (", columns.data);
        for (int i = 0; i < count; i++)
            ls_buf_printf(&sql, "%s?%d", i ? ", " : "", i + 2);
        ls_buf_printf(&sql, "%s)", !forced_id ? "" : count ? ", ?1" : "?1");
    } else {
        ls_buf_puts(&sql, " DEFAULT VALUES");
    }
    ls_buf_puts(&sql, " RETURNING CAST(");
    ls_db_quote_name(&sql, mapping->id_column);
    ls_buf_puts(&sql, " AS TEXT)");
    failed = ls_db_query(db, &statement, err, sql.data, forced_id ? "t" : "", forced_id);
    ls_buf_fini(&columns);
    ls_buf_fini(&sql);
    if (failed || bind_record(db, table, statement, record, NULL, 2, err) < 0)
        return NULL;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
        id = ls_db_dup(statement, 0);
    if (rc != SQLITE_DONE) {
        ls_db_fail(db, rc, LS_E_INVALID, err);
        free(id);
        id = NULL;
    } else if (!id) {
        ls_fail(err, LS_E_INVALID, "the database made a row without an id in table '%s'",
                mapping->table);
    }
    sqlite3_reset(statement);
    return id;
}

int ls_app_table_delete(struct ls_db *db, const struct ls_app_table *table, const char *id,
                        struct ls_err *err)
{
    char *sql = ls_xasprintf("DELETE FROM %s WHERE %s = ?1", table->from, table->key);
    sqlite3_stmt *statement;
    int rc, failed = ls_db_query(db, &statement, err, sql, "t", id);

    free(sql);
    if (failed)
        return -1;
    rc = sqlite3_step(statement);
    if (rc != SQLITE_DONE)
        ls_db_fail(db, rc, LS_E_INVALID, err);
    sqlite3_reset(statement);
    return rc == SQLITE_DONE ? 0 : -1;
}

/* "2026-11-23T00:51:00Z" -> seconds since 1970. */
static int64_t timestamp_seconds(const char *text)
{
    struct tm tm = {0};

    strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return (int64_t)timegm(&tm);
}

static int bind_timestamp(sqlite3_stmt *statement, int at, enum ls_affinity affinity,
                          const struct ls_style *style, const struct ls_value *value)
{
    char text[sizeof SECONDS_TEXT];

    if (style->storage == SQLITE_INTEGER || style->storage == SQLITE_FLOAT ||
        (style->storage != SQLITE_TEXT &&
         (affinity == LS_AFFINITY_INTEGER || affinity == LS_AFFINITY_REAL)))
        return sqlite3_bind_int64(statement, at,
                                  timestamp_seconds(value->text) * (style->millis ? 1000 : 1));
    if (style->storage != SQLITE_TEXT || style->text[10] != ' ' ||
        value->length != sizeof SECONDS_TEXT - 1)
        return sqlite3_bind_text(statement, at, value->text, (int)value->length, SQLITE_TRANSIENT);
    /* "2026-11-23 00:51:00", as CURRENT_TIMESTAMP writes it. */
    memcpy(text, value->text, sizeof text);
    text[10] = ' ';
    text[19] = '\0';
    return sqlite3_bind_text(statement, at, text, -1, SQLITE_TRANSIENT);
}

static int bind_boolean(sqlite3_stmt *statement, int at, enum ls_affinity affinity,
                        const struct ls_style *style, const struct ls_value *value)
{
    bool yes = strcmp(value->text, "true") == 0;
    const char *text = value->text;

    if (affinity != LS_AFFINITY_TEXT && style->storage != SQLITE_TEXT)
        return sqlite3_bind_int64(statement, at, yes);
    if (strcmp(style->text, "0") == 0 || strcmp(style->text, "1") == 0)
        text = yes ? "1" : "0";
    else if (strcasecmp(style->text, "t") == 0 || strcasecmp(style->text, "f") == 0)
        text = yes ? "t" : "f";
    return sqlite3_bind_text(statement, at, text, -1, SQLITE_TRANSIENT);
}

/* "007" in a column that keeps numbers. */
static bool becomes_another_number(const struct ls_value *text)
{
    struct ls_value number = {0};
    bool another = ls_value_set(&number, LS_TYPE_DECIMAL, text->text, text->length, NULL) == 0 &&
                   !ls_value_equal(&number, text);

    ls_value_fini(&number);
    return another;
}

static bool double_holds(const char *text, double number)
{
    struct ls_value value = {0};
    char back[40];
    bool same;

    if (!isfinite(number))
        return false;
    shortest(back, number);
    same = ls_value_set(&value, LS_TYPE_DECIMAL, back, strlen(back), NULL) == 0 &&
           strcmp(value.text, text) == 0;
    ls_value_fini(&value);
    return same;
}

static int bind_number(sqlite3_stmt *statement, int at, enum ls_affinity affinity,
                       const struct ls_value *value, struct ls_err *err)
{
    struct ls_value whole = {0};
    double number = strtod(value->text, NULL);
    bool is_whole = ls_value_set(&whole, LS_TYPE_INTEGER, value->text, value->length, NULL) == 0;

    ls_value_fini(&whole);
    if (is_whole && affinity != LS_AFFINITY_REAL)
        return sqlite3_bind_int64(statement, at, strtoll(value->text, NULL, 10));
    if (double_holds(value->text, number))
        return sqlite3_bind_double(statement, at, number);
    if (affinity == LS_AFFINITY_NONE)
        return sqlite3_bind_text(statement, at, value->text, (int)value->length, SQLITE_TRANSIENT);
    return ls_fail(err, LS_E_INVALID, "a numeric column cannot hold '%.60s' to the last digit",
                   value->text);
}

/* An SQLite code, or -1 with *err. */
static int bind_value(sqlite3_stmt *statement, int at, const struct ls_field *field,
                      enum ls_affinity affinity, const struct ls_style *style,
                      const struct ls_value *value, struct ls_err *err)
{
    int rc;

    if (value->state == LS_VALUE_NULL) {
        rc = sqlite3_bind_null(statement, at);
    } else if (field->type == LS_TYPE_TIMESTAMP) {
        rc = bind_timestamp(statement, at, affinity, style, value);
    } else if (field->type == LS_TYPE_BOOLEAN) {
        rc = bind_boolean(statement, at, affinity, style, value);
    } else if (field->type == LS_TYPE_TEXT || field->type == LS_TYPE_HTML ||
               affinity == LS_AFFINITY_TEXT) {
        if (affinity != LS_AFFINITY_TEXT && affinity != LS_AFFINITY_NONE &&
            becomes_another_number(value))
            return ls_fail(err, LS_E_INVALID, "a numeric column cannot hold the text '%.60s'",
                           value->text);
        rc = sqlite3_bind_text(statement, at, value->text, (int)value->length, SQLITE_TRANSIENT);
    } else {
        rc = bind_number(statement, at, affinity, value, err);
        if (rc < 0)
            return -1;
    }
    return rc == SQLITE_OK ? 0 : ls_fail(err, LS_E_INVALID, "%s", sqlite3_errstr(rc));
}
