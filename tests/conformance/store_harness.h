/* What the tests of stores share: a database of an application (one row of a table of kinds, so
 * that another database joins by adding a row), SQL as the application runs it on its own
 * connection, and the store's operations in a blocking form. */
#ifndef LS_TESTS_CONFORMANCE_STORE_HARNESS_H
#define LS_TESTS_CONFORMANCE_STORE_HARNESS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/store/store.h"

struct app; /* a connection of the application */

struct store_kind {
    const char *name;
    /* The application's connection; the first one of a directory makes the database. */
    struct app *(*open)(const char *dir);
    void (*close)(struct app *app);
    /* Run statements; false: they failed (text in app_error). */
    bool (*run)(struct app *app, const char *sql);
    /* The first column of the first row as text; NULL: no row or NULL. The caller frees. */
    char *(*get)(struct app *app, const char *sql);
    const char *(*error)(struct app *app);
    char *(*url)(const char *dir);
    /* `products` with id, sku, name, price, inventory, description, updated_at; key made by the
     * database. */
    const char *products;
};

extern const struct store_kind store_kinds[];
extern const size_t store_kind_count;

struct world {
    const struct store_kind *kind;
    char dir[100];
    char *url;
    struct app *app;
    uv_loop_t loop;
    struct ls_store *store;
    struct ls_mapping *mapping;
    struct ls_err err; /* of the last operation; code NONE: it went well */
    bool done;
};

/* A database with products, installed, opened, and the sync active. */
struct world *world_new(const struct store_kind *kind);
/* The same without installing and opening. */
struct world *world_bare(const struct store_kind *kind);
void world_open(struct world *world);
void world_close(struct world *world);
void world_free(struct world *world);

/* fields: sku, name, price (money, critical), inventory (integer), description (html). */
struct ls_mapping *products_mapping(const char *sync, const char *account);
struct ls_mapping *mapping_new(const char *sync, const char *account, const char *table,
                               const char *id, size_t count, const struct ls_field *fields,
                               int match);

/* SQL of the application; must work. printf. */
void sql(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One value; the caller frees. */
char *sql_get(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
int64_t sql_int(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Assert on one value; NULL: NULL or no row. */
void sql_is(struct world *world, const char *expected, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A record of the world's mapping from name, value pairs; "\1" stands for NULL. Ends with NULL. The
 * caller finis. */
struct ls_record record_of(const struct ls_mapping *mapping, ...) __attribute__((sentinel));

/* Blocking forms. They return world->err.code == LS_E_NONE. */
bool do_state(struct world *world, enum ls_sync_state state);
struct marks {
    struct ls_mark *items;
    size_t count;
};
bool do_take(struct world *world, const struct ls_marks_query *query, struct marks *marks);
void marks_free(struct marks *marks);
bool do_pushed(struct world *world, const struct marks *marks);
int64_t do_left(struct world *world, int64_t up_to_gen, int64_t *newest);
bool do_seen(struct world *world, const struct ls_seen *seen, size_t count, bool link_equal,
             struct ls_seen_result *result);
bool do_mark_local(struct world *world, const char *after, size_t limit, bool all, size_t *looked,
                   size_t *marked, char **last);
/* The uid; the caller frees. NULL: failed. */
char *do_resolve(struct world *world, const char *local_id, const char *remote_id);
/* NULL: failed. */
struct ls_snapshot *do_begin(struct world *world, const char *uid, uint64_t fence);
bool do_sent(struct world *world, const char *uid, uint64_t fence, const struct ls_op *op);
struct committed {
    char *local_id;
    bool local_differs;
};
bool do_commit(struct world *world, const char *uid, const struct ls_commit *commit,
               struct committed *result);
bool do_note(struct world *world, const char *uid, bool dead, const char *error);
bool do_status(struct world *world, struct ls_sync_status *status);
bool do_figures(struct world *world, int64_t recent_ms, struct ls_sync_figures *figures);
/* Rows as text, one "uid|local|remote|state|dirty|name" a row; the caller frees. next likewise. */
char *do_scan(struct world *world, const char *after, size_t limit, char **next);
char *do_find(struct world *world, const char *match);

/* Run the loop until done says so or 20 s are over. */
void world_wait(struct world *world, bool *done);
/* Link local row and remote id with what is in the row now as the base, as a reconcile would. The
 * uid; the caller frees. */
char *link_row(struct world *world, const char *local_id, const char *remote_id, uint64_t fence);

#endif
