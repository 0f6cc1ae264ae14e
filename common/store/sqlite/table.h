/* The application's table seen through a mapping: which columns there are and how they keep values,
 * rows to records and back.
 *
 * Reading: INTEGER, REAL, TEXT and NULL become the canonical value of the field's type; a REAL by
 * its shortest spelling that reads back the same, so that 19.9 is "19.9". A timestamp kept as a
 * number is seconds since 1970, or ms above 10^11. Writing keeps the style of the column: numbers
 * where its affinity is numeric, text where it is text, and for booleans and timestamps the style
 * of the value that stood there. A number that a column cannot hold to the last digit is refused.
 */
#ifndef LS_STORE_SQLITE_TABLE_H
#define LS_STORE_SQLITE_TABLE_H

#include "common/record/record.h"
#include "common/store/sqlite/db.h"

enum ls_affinity {
    LS_AFFINITY_NONE,
    LS_AFFINITY_TEXT,
    LS_AFFINITY_NUMERIC,
    LS_AFFINITY_INTEGER,
    LS_AFFINITY_REAL
};

/* One single-column or composite unique index beside the key: what a REPLACE may clash on. */
struct ls_app_table_unique {
    char **columns;
    size_t count;
};

struct ls_app_table {
    const struct ls_mapping *mapping; /* borrowed */
    char identity[33];
    enum ls_affinity affinities[LS_FIELDS_MAX];
    enum ls_affinity key_affinity;
    bool key_rowid;     /* INTEGER PRIMARY KEY: the database makes ids */
    bool key_default;   /* the column has a default */
    bool autoincrement; /* ids are never used twice */
    bool has_updated_at;
    struct ls_app_table_unique *uniques;
    size_t unique_count;
    char *columns;  /* `CAST(t."id" AS TEXT), t."name", ...` */
    char *from;     /* `"products" AS t` */
    char *key;      /* `t."id"` */
    char *sql_read; /* one row by key: columns */
};

/* How a value stood in its column before it is written over. */
struct ls_style {
    int storage; /* SQLITE_INTEGER, ...; 0: unknown */
    bool millis; /* an INTEGER timestamp in ms */
    char text[32];
};

/* Look at the table. NULL: LS_E_CONFIG naming what is missing or not supported; LS_E_STORE. */
struct ls_app_table *ls_app_table_new(struct ls_db *db, const struct ls_mapping *mapping,
                                      struct ls_err *err);
void ls_app_table_free(struct ls_app_table *table);

/* Read a row whose columns begin at `first` with the key (table->columns). id (may be NULL) is a
 * copy the caller frees. Unreadable values are MISSING and named in *unreadable, which is only
 * touched then. styles (may be NULL) has mapping->count places. */
void ls_app_table_record(const struct ls_app_table *table, sqlite3_stmt *row, int first, char **id,
                         struct ls_record *record, struct ls_style *styles,
                         struct ls_err *unreadable);
/* The row with this key: 1 found, 0 not there (record is left absent), -1 with *err. */
int ls_app_table_read(struct ls_db *db, const struct ls_app_table *table, const char *id,
                      struct ls_record *record, struct ls_style *styles, struct ls_err *unreadable,
                      struct ls_err *err);
/* Write the SET and NULL values of record; styles as read. Returns rows changed (0: no such row),
 * -1: LS_E_INVALID, LS_E_STORE, ... */
int ls_app_table_update(struct ls_db *db, const struct ls_app_table *table, const char *id,
                        const struct ls_record *record, const struct ls_style *styles,
                        struct ls_err *err);
/* Make a row. forced_id: take this id rather than the database's. The caller frees the id. NULL:
 * LS_E_INVALID, LS_E_UNSUPPORTED, ... */
char *ls_app_table_insert(struct ls_db *db, const struct ls_app_table *table,
                          const struct ls_record *record, const char *forced_id,
                          struct ls_err *err);
int ls_app_table_delete(struct ls_db *db, const struct ls_app_table *table, const char *id,
                        struct ls_err *err);

#endif
