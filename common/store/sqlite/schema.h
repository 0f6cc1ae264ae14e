/* The SQL of everything that lockstep makes in the application's database: its tables
 * (001_tables.sql and what follows it), for each sync the triggers that mark changes, for each
 * table the view of its sync status. */
#ifndef LS_STORE_SQLITE_SCHEMA_H
#define LS_STORE_SQLITE_SCHEMA_H

#include "common/store/sqlite/table.h"

/* SQL text of version i + 1; ends with NULL. */
extern const char *const ls_sqlite_migrations[];
#define LS_SQLITE_VERSION 1

struct ls_schema_object {
    const char *type; /* "trigger" or "view" */
    char *name;
    char *sql; /* CREATE ..., without a semicolon at the end */
};

struct ls_schema_objects {
    struct ls_schema_object *items;
    size_t count;
};

/* The triggers of a sync. */
void ls_schema_triggers(struct ls_schema_objects *objects, const struct ls_app_table *table);
/* lockstep_status_<table>; for a further sync of the same table lockstep_status_<table>_<sync>. */
void ls_schema_view(struct ls_schema_objects *objects, const struct ls_app_table *table,
                    bool further);
/* lockstep_raise_<sync>: inserting an id there puts the record's waiting change above the others. */
void ls_schema_raise(struct ls_schema_objects *objects, const struct ls_app_table *table);
void ls_schema_objects_fini(struct ls_schema_objects *objects);

/* Version of the tables in this database: 0 none. -1 with *err. */
int ls_schema_version(struct ls_db *db, int64_t *version, struct ls_err *err);
/* Are they as this program needs them? -1: LS_E_CONFIG with the remedy. */
int ls_schema_check_version(struct ls_db *db, struct ls_err *err);

#endif
