#include "common/store/sqlite/db.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/mem.h"

#define BUSY_PAUSE_MAX_MS 20
#define FORGET_ABOVE 256 /* cached statements; dynamic SQL must not fill the memory */

static int on_busy(void *arg, int round);
static sqlite3_stmt *prepare(struct ls_db *db, const char *sql, struct ls_err *err);
static void forget(struct ls_db *db);
static int bind(struct ls_db *db, sqlite3_stmt *statement, const char *types, va_list args,
                struct ls_err *err);

const char *ls_db_path(const char *url, struct ls_err *err)
{
    if (strncmp(url, "sqlite:", 7) == 0 && url[7] && strcmp(url + 7, ":memory:") != 0)
        return url + 7;
    ls_fail(err, LS_E_CONFIG, "'%.80s' names no database file", url);
    ls_hint(err, "store: sqlite:PATH");
    return NULL;
}

int ls_db_open(struct ls_db *db, const char *path, bool read_only, int64_t busy_ms,
               struct ls_err *err)
{
    const char *slash = strrchr(path, '/');
    struct stat file;
    int rc;

    if (sqlite3_threadsafe() == 0)
        return ls_fail(err, LS_E_UNSUPPORTED, "this SQLite was built without threads");
    if (stat(path, &file) < 0) {
        bool missing = errno == ENOENT;
        ls_fail_errno(err, "cannot open database '%s'", path);
        if (missing && err)
            err->code = LS_E_CONFIG;
        return ls_hint(err, "lockstep never makes the application's database: check `store:`");
    }
    db->path = ls_xstrdup(path);
    snprintf(db->shown, sizeof db->shown, "%s", slash ? slash + 1 : path);
    db->read_only = read_only;
    db->busy_ms = busy_ms;
    db->device = file.st_dev;
    db->inode = file.st_ino;
    rc = sqlite3_open_v2(path, &db->handle,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
                         NULL);
    if (rc != SQLITE_OK)
        goto fail;
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_handler(db->handle, on_busy, db);
    ls_db_patience(db);
    rc = sqlite3_exec(db->handle,
                      read_only ? "PRAGMA query_only = 1; SELECT count(*) FROM sqlite_schema"
                                : "PRAGMA foreign_keys = 1; SELECT count(*) FROM sqlite_schema",
                      NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return 0;
fail:
    ls_db_fail(db, rc, LS_E_CORRUPT, err);
    if ((rc & 0xff) == SQLITE_NOTADB && err)
        err->code = LS_E_CONFIG;
    ls_db_close(db);
    return -1;
}

void ls_db_close(struct ls_db *db)
{
    forget(db);
    sqlite3_close_v2(db->handle);
    free(db->path);
    db->handle = NULL;
    db->path = NULL;
}

bool ls_db_same_file(const struct ls_db *db)
{
    struct stat file;

    return stat(db->path, &file) == 0 && file.st_dev == db->device && file.st_ino == db->inode;
}

void ls_db_patience(struct ls_db *db)
{
    db->busy_until_ms = ls_clock_mono_ms() + db->busy_ms;
}

int ls_db_query(struct ls_db *db, sqlite3_stmt **row, struct ls_err *err, const char *sql,
                const char *types, ...)
{
    va_list args;
    int failed;

    *row = prepare(db, sql, err);
    if (!*row)
        return -1;
    va_start(args, types);
    failed = bind(db, *row, types, args, err);
    va_end(args);
    return failed;
}

int ls_db_next(struct ls_db *db, sqlite3_stmt *row, struct ls_err *err)
{
    int rc = sqlite3_step(row);

    if (rc == SQLITE_ROW)
        return 1;
    if (rc == SQLITE_DONE) {
        sqlite3_reset(row);
        return 0;
    }
    ls_db_fail(db, rc, LS_E_CORRUPT, err);
    sqlite3_reset(row);
    return -1;
}

int64_t ls_db_run(struct ls_db *db, struct ls_err *err, const char *sql, const char *types, ...)
{
    sqlite3_stmt *row = prepare(db, sql, err);
    va_list args;
    int found;

    if (!row)
        return -1;
    va_start(args, types);
    found = bind(db, row, types, args, err);
    va_end(args);
    if (found < 0)
        return -1;
    while ((found = ls_db_next(db, row, err)) > 0)
        ;
    return found < 0 ? -1 : sqlite3_changes(db->handle);
}

int ls_db_int(struct ls_db *db, int64_t *out, int64_t fallback, struct ls_err *err, const char *sql,
              const char *types, ...)
{
    sqlite3_stmt *row = prepare(db, sql, err);
    va_list args;
    int found;

    *out = fallback;
    if (!row)
        return -1;
    va_start(args, types);
    found = bind(db, row, types, args, err);
    va_end(args);
    if (found < 0 || (found = ls_db_next(db, row, err)) < 0)
        return -1;
    if (found && sqlite3_column_type(row, 0) != SQLITE_NULL)
        *out = sqlite3_column_int64(row, 0);
    sqlite3_reset(row);
    return 0;
}

int ls_db_exec(struct ls_db *db, const char *sql, struct ls_err *err)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : ls_db_fail(db, rc, LS_E_CORRUPT, err);
}

void ls_db_release(struct ls_db *db)
{
    for (size_t i = 0; i < db->used_count; i++)
        sqlite3_reset(db->used[i]);
    for (size_t i = 0; i < LS_DB_STATEMENTS && db->used_count; i++)
        db->slots[i].used = false;
    db->used_count = 0;
    if (db->cached > FORGET_ABOVE)
        forget(db);
}

int ls_db_fail(struct ls_db *db, int rc, enum ls_err_code constraint, struct ls_err *err)
{
    const char *text = db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc);

    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        abort();
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
        return ls_fail(err, constraint, "the database refuses the row: %s", text);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        ls_fail(err, LS_E_CORRUPT, "database '%s' is damaged or no SQLite database: %s", db->shown,
                text);
        return ls_hint(err, "restore it from a backup, then run `lockstep verify`");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ls_fail(err, LS_E_STORE, "database '%s' is locked by another process", db->shown);
    case SQLITE_ERROR:
        if (strncmp(text, "no such ", 8) == 0 || strstr(text, " has no column ")) {
            ls_fail(err, LS_E_CONFIG, "database '%s': %s", db->shown, text);
            return ls_hint(err, "run `lockstep store check`, then `lockstep store install`");
        }
        return ls_fail(err, constraint == LS_E_INVALID ? LS_E_INVALID : LS_E_STORE,
                       "database '%s': %s", db->shown, text);
    default:
        return ls_fail(err, LS_E_STORE, "database '%s': %s", db->shown, text);
    }
}

const char *ls_db_text(sqlite3_stmt *row, int column)
{
    return (const char *)sqlite3_column_text(row, column);
}

char *ls_db_dup(sqlite3_stmt *row, int column)
{
    return ls_xstrdup(ls_db_text(row, column));
}

void ls_db_quote_name(struct ls_buf *out, const char *name)
{
    ls_buf_putc(out, '"');
    for (; *name; name++) {
        if (*name == '"')
            ls_buf_putc(out, '"');
        ls_buf_putc(out, *name);
    }
    ls_buf_putc(out, '"');
}

void ls_db_quote_text(struct ls_buf *out, const char *text)
{
    ls_buf_putc(out, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            ls_buf_putc(out, '\'');
        ls_buf_putc(out, *text);
    }
    ls_buf_putc(out, '\'');
}

static int on_busy(void *arg, int round)
{
    struct ls_db *db = arg;
    int pause_ms = round < 5 ? 1 << round : BUSY_PAUSE_MAX_MS;
    struct timespec pause = {.tv_nsec = pause_ms * 1000000L};

    if ((db->impatient && atomic_load(db->impatient)) || ls_clock_mono_ms() >= db->busy_until_ms)
        return 0;
    nanosleep(&pause, NULL);
    return 1;
}

/* Open addressing over the text; the pointer alone is no key, because dynamic SQL comes and goes.
 */
static sqlite3_stmt *prepare(struct ls_db *db, const char *sql, struct ls_err *err)
{
    size_t length = strlen(sql);
    size_t at = ls_fnv1a(sql, length) & (LS_DB_STATEMENTS - 1);
    struct ls_db_statement *slot;
    int rc;

    while ((slot = &db->slots[at])->sql && strcmp(slot->sql, sql) != 0)
        at = (at + 1) & (LS_DB_STATEMENTS - 1);
    if (!slot->sql) {
        ls_assert(db->cached < LS_DB_STATEMENTS - 1);
        rc = sqlite3_prepare_v3(db->handle, sql, (int)length + 1, SQLITE_PREPARE_PERSISTENT,
                                &slot->statement, NULL);
        if (rc != SQLITE_OK) {
            ls_db_fail(db, rc, LS_E_CORRUPT, err);
            return NULL;
        }
        slot->sql = ls_xstrdup(sql);
        db->cached++;
    } else {
        sqlite3_reset(slot->statement);
    }
    if (!slot->used) {
        slot->used = true;
        db->used[db->used_count++] = slot->statement;
    }
    return slot->statement;
}

static void forget(struct ls_db *db)
{
    for (size_t i = 0; i < LS_DB_STATEMENTS; i++) {
        sqlite3_finalize(db->slots[i].statement);
        free(db->slots[i].sql);
        db->slots[i] = (struct ls_db_statement){0};
    }
    db->cached = db->used_count = 0;
}

static int bind(struct ls_db *db, sqlite3_stmt *statement, const char *types, va_list args,
                struct ls_err *err)
{
    int rc = SQLITE_OK;

    for (int i = 0; types[i] && rc == SQLITE_OK; i++) {
        const char *text;
        switch (types[i]) {
        case 't':
            text = va_arg(args, const char *);
            rc = text ? sqlite3_bind_text(statement, i + 1, text, -1, SQLITE_TRANSIENT)
                      : sqlite3_bind_null(statement, i + 1);
            break;
        case 'i':
            rc = sqlite3_bind_int64(statement, i + 1, va_arg(args, int64_t));
            break;
        default:
            rc = sqlite3_bind_null(statement, i + 1);
        }
    }
    return rc == SQLITE_OK ? 0 : ls_db_fail(db, rc, LS_E_CORRUPT, err);
}
