/* One connection to one SQLite database: opening, cached prepared statements, and what SQLite's
 * codes mean for us. Used by one thread at a time.
 *
 *     if (ls_db_query(db, &row, err, "SELECT uid FROM lockstep_link WHERE id = ?1", "i", id) < 0)
 * ... while ((found = ls_db_next(db, row, err)) > 0) ...
 *
 * A statement belongs to the connection. It stays usable until the same SQL is asked for again or
 * ls_db_release, so an inner query must not have the text of an outer one. */
#ifndef LS_STORE_SQLITE_DB_H
#define LS_STORE_SQLITE_DB_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/buf.h"
#include "common/base/err.h"

#define LS_DB_STATEMENTS 512 /* slots of the cache, a power of two */

struct ls_db_statement {
    char *sql;
    sqlite3_stmt *statement;
    bool used; /* since the last release */
};

struct ls_db {
    sqlite3 *handle;
    char *path;
    char shown[128]; /* the path's last part, for messages */
    bool read_only;
    int64_t busy_ms;
    int64_t busy_until_ms; /* monotonic; set by ls_db_patience */
    const atomic_bool
        *impatient; /* borrowed; true ends every wait for other writers; may be NULL */
    dev_t device;
    ino_t inode;
    struct ls_db_statement slots[LS_DB_STATEMENTS];
    size_t cached;
    sqlite3_stmt *used[LS_DB_STATEMENTS];
    size_t used_count;
};

/* The path in "sqlite:PATH". NULL: LS_E_CONFIG. */
const char *ls_db_path(const char *url, struct ls_err *err);
/* db is {0}. The file must exist. -1: LS_E_CONFIG, LS_E_STORE. */
int ls_db_open(struct ls_db *db, const char *path, bool read_only, int64_t busy_ms,
               struct ls_err *err);
void ls_db_close(struct ls_db *db);
/* Is the file under the path still the one that is open (a backup may have been moved over it)? */
bool ls_db_same_file(const struct ls_db *db);
/* From now on wait for other writers at most busy_ms in all. */
void ls_db_patience(struct ls_db *db);

/* Prepare (cached), reset and bind. types: t text (NULL: NULL), i int64_t, n NULL. -1 with *err. */
int ls_db_query(struct ls_db *db, sqlite3_stmt **row, struct ls_err *err, const char *sql,
                const char *types, ...);
/* 1 a row, 0 the end, -1 with *err. */
int ls_db_next(struct ls_db *db, sqlite3_stmt *row, struct ls_err *err);
/* Query and run to the end; the number of rows changed, -1 with *err. */
int64_t ls_db_run(struct ls_db *db, struct ls_err *err, const char *sql, const char *types, ...);
/* Query for one integer; fallback when there is no row or it is NULL. -1 with *err on failure, else
 * 0. */
int ls_db_int(struct ls_db *db, int64_t *out, int64_t fallback, struct ls_err *err, const char *sql,
              const char *types, ...);
/* Several statements, uncached. */
int ls_db_exec(struct ls_db *db, const char *sql, struct ls_err *err);
/* Reset every statement used since the last release: no read lock stays behind. */
void ls_db_release(struct ls_db *db);

/* The failure that a result code means. Returns -1. constraint: the code for a refused row. */
int ls_db_fail(struct ls_db *db, int rc, enum ls_err_code constraint, struct ls_err *err);

/* The text of a column, NULL for NULL. Valid until the next step. */
const char *ls_db_text(sqlite3_stmt *row, int column);
/* A copy the caller frees. */
char *ls_db_dup(sqlite3_stmt *row, int column);

/* Append "name" with its quotes doubled, 'text' the same way. */
void ls_db_quote_name(struct ls_buf *out, const char *name);
void ls_db_quote_text(struct ls_buf *out, const char *text);

#endif
