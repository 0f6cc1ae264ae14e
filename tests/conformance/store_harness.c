#include "store_harness.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "tests/support/temp.h"

#ifdef LOCKSTEP_WITH_SQLITE
#include <sqlite3.h>

/* ---- SQLite ---------------------------------------------------------------------------------- */

struct app {
    sqlite3 *handle;
    char error[256];
};

static struct app *sqlite_app_open(const char *dir)
{
    struct app *app = LS_NEW(struct app);
    char *path = ls_xasprintf("%s/shop.db", dir);

    assert_int_equal(sqlite3_open(path, &app->handle), SQLITE_OK);
    sqlite3_busy_timeout(app->handle, 10000);
    free(path);
    return app;
}

static void sqlite_app_close(struct app *app)
{
    if (!app)
        return;
    sqlite3_close(app->handle);
    free(app);
}

static bool sqlite_app_run(struct app *app, const char *text)
{
    char *error = NULL;
    int rc = sqlite3_exec(app->handle, text, NULL, NULL, &error);

    snprintf(app->error, sizeof app->error, "%s", error ? error : "");
    sqlite3_free(error);
    return rc == SQLITE_OK;
}

static char *sqlite_app_get(struct app *app, const char *text)
{
    sqlite3_stmt *statement;
    char *value = NULL;

    if (sqlite3_prepare_v2(app->handle, text, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", text, sqlite3_errmsg(app->handle));
    if (sqlite3_step(statement) == SQLITE_ROW)
        value = ls_xstrdup((const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    return value;
}

static const char *sqlite_app_error(struct app *app)
{
    return app->error;
}

static char *sqlite_url(const char *dir)
{
    return ls_xasprintf("sqlite:%s/shop.db", dir);
}
#endif

const struct store_kind store_kinds[] = {
#ifdef LOCKSTEP_WITH_SQLITE
    {.name = "sqlite",
     .open = sqlite_app_open,
     .close = sqlite_app_close,
     .run = sqlite_app_run,
     .get = sqlite_app_get,
     .error = sqlite_app_error,
     .url = sqlite_url,
     .products = "CREATE TABLE products (id INTEGER PRIMARY KEY, sku TEXT UNIQUE, name TEXT, price "
                 "NUMERIC, "
                 "inventory INTEGER, description TEXT, updated_at TEXT, note TEXT)"},
#endif
};
const size_t store_kind_count = LS_COUNT(store_kinds);

/* ---- worlds ---------------------------------------------------------------------------------- */

struct ls_mapping *mapping_new(const char *sync, const char *account, const char *table,
                               const char *id, size_t count, const struct ls_field *fields,
                               int match)
{
    struct ls_mapping *mapping = LS_NEW(struct ls_mapping);
    struct ls_buf text = {0};
    char digest[LS_SHA256_HEX_SIZE];

    *mapping = (struct ls_mapping){.sync = ls_xstrdup(sync),
                                   .account = ls_xstrdup(account),
                                   .entity = ls_xstrdup("product"),
                                   .table = ls_xstrdup(table),
                                   .id_column = ls_xstrdup(id),
                                   .match = match,
                                   .count = count};
    mapping->fields = ls_xcalloc(count, sizeof *mapping->fields);
    ls_buf_printf(&text, "%s %s %s %s", sync, account, table, id);
    for (size_t i = 0; i < count; i++) {
        mapping->fields[i] = fields[i];
        mapping->fields[i].name = ls_xstrdup(fields[i].name);
        mapping->fields[i].column =
            ls_xstrdup(fields[i].column ? fields[i].column : fields[i].name);
        mapping->fields[i].remote = ls_xstrdup(fields[i].name);
        ls_buf_printf(&text, " %s %s %d", mapping->fields[i].name, mapping->fields[i].column,
                      fields[i].type);
    }
    ls_sha256_hex(text.data, text.length, digest);
    memcpy(mapping->identity, digest, sizeof mapping->identity - 1);
    ls_buf_fini(&text);
    return mapping;
}

#define T(text) ((char *)(uintptr_t)(text))

struct ls_mapping *products_mapping(const char *sync, const char *account)
{
    const struct ls_field fields[] = {
        {.name = T("sku"), .type = LS_TYPE_TEXT},
        {.name = T("name"), .type = LS_TYPE_TEXT},
        {.name = T("price"), .type = LS_TYPE_MONEY, .critical = true},
        {.name = T("inventory"), .type = LS_TYPE_INTEGER},
        {.name = T("description"), .type = LS_TYPE_HTML},
    };

    return mapping_new(sync, account, "products", "id", LS_COUNT(fields), fields, 0);
}

struct world *world_bare(const struct store_kind *kind)
{
    struct world *world = LS_NEW(struct world);

    world->kind = kind;
    test_temp_dir(world->dir, sizeof world->dir);
    world->url = kind->url(world->dir);
    world->app = kind->open(world->dir);
    uv_loop_init(&world->loop);
    world->mapping = products_mapping("products", "shop-eu");
    sql(world, "%s", kind->products);
    return world;
}

void world_open(struct world *world)
{
    struct ls_store_options options = {.url = world->url, .loop = &world->loop};
    struct ls_err err = LS_ERR_INIT;

    world->store = ls_store_open(&options, &err);
    if (!world->store)
        fail_msg("%s", err.text);
}

struct world *world_new(const struct store_kind *kind)
{
    struct world *world = world_bare(kind);
    const struct ls_mapping *mappings[] = {world->mapping};
    struct ls_err err = LS_ERR_INIT;

    if (ls_store_install(world->url, mappings, 1, false, NULL, &err) < 0)
        fail_msg("%s", err.text);
    world_open(world);
    assert_true(do_state(world, LS_SYNC_ACTIVE));
    return world;
}

void world_close(struct world *world)
{
    ls_store_close(&world->store, 5000);
    uv_run(&world->loop, UV_RUN_DEFAULT);
}

void world_free(struct world *world)
{
    world_close(world);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    world->kind->close(world->app);
    ls_mapping_free(world->mapping);
    test_temp_remove(world->dir);
    free(world->url);
    free(world);
}

/* ---- SQL of the application ------------------------------------------------------------------ */

#define FORMATTED(text)                  \
    struct ls_buf text = {0};            \
    va_list args;                        \
    va_start(args, format);              \
    ls_buf_vprintf(&text, format, args); \
    va_end(args)

void sql(struct world *world, const char *format, ...)
{
    FORMATTED(text);
    if (!world->kind->run(world->app, text.data))
        fail_msg("%s: %s", text.data, world->kind->error(world->app));
    ls_buf_fini(&text);
}

char *sql_get(struct world *world, const char *format, ...)
{
    char *value;
    FORMATTED(text);
    value = world->kind->get(world->app, text.data);
    ls_buf_fini(&text);
    return value;
}

int64_t sql_int(struct world *world, const char *format, ...)
{
    char *value;
    int64_t number;
    FORMATTED(text);
    value = world->kind->get(world->app, text.data);
    number = value ? strtoll(value, NULL, 10) : 0;
    free(value);
    ls_buf_fini(&text);
    return number;
}

void sql_is(struct world *world, const char *expected, const char *format, ...)
{
    char *value;
    FORMATTED(text);
    value = world->kind->get(world->app, text.data);
    if (!expected != !value || (value && strcmp(value, expected) != 0))
        fail_msg("%s: '%s', not '%s'", text.data, value ? value : "NULL",
                 expected ? expected : "NULL");
    free(value);
    ls_buf_fini(&text);
}

struct ls_record record_of(const struct ls_mapping *mapping, ...)
{
    struct ls_record record = {0};
    struct ls_err err = LS_ERR_INIT;
    const char *name;
    va_list args;

    ls_record_init(&record, mapping);
    va_start(args, mapping);
    while ((name = va_arg(args, const char *))) {
        const char *value = va_arg(args, const char *);
        int field = ls_mapping_by_name(mapping, name);
        assert_true(field >= 0);
        if (*value == '\1')
            ls_value_set_null(&record.values[field]);
        else if (ls_value_set(&record.values[field], mapping->fields[field].type, value,
                              strlen(value), &err) < 0)
            fail_msg("%s", err.text);
    }
    va_end(args);
    return record;
}

/* ---- blocking operations --------------------------------------------------------------------- */

void world_wait(struct world *world, bool *done)
{
    int64_t deadline = ls_clock_mono_ms() + 20000;

    while (!*done && ls_clock_mono_ms() < deadline)
        uv_run(&world->loop, UV_RUN_ONCE);
    assert_true(*done);
}

static void start(struct world *world)
{
    world->done = false;
    world->err = (struct ls_err)LS_ERR_INIT;
}

static bool finish(struct world *world)
{
    world_wait(world, &world->done);
    return world->err.code == LS_E_NONE;
}

/* Every callback's end: remember the error. */
static void note(struct world *world, const struct ls_err *err)
{
    assert_false(world->done);
    world->done = true;
    if (err)
        world->err = *err;
}

static void on_done(void *arg, const struct ls_err *err)
{
    note(arg, err);
}

bool do_state(struct world *world, enum ls_sync_state state)
{
    start(world);
    ls_store_sync_set_state(world->store, world->mapping, state, on_done, world);
    return finish(world);
}

struct answer {
    struct world *world;
    struct marks *marks;
    int64_t left, newest;
    struct ls_seen_result seen;
    size_t looked, marked;
    char *text, *next;
    struct ls_snapshot *snapshot;
    struct committed committed;
    struct ls_sync_status status;
    struct ls_sync_figures figures;
};

static void on_taken(void *arg, const struct ls_mark *marks, size_t count, const struct ls_err *err)
{
    struct answer *answer = arg;

    answer->marks->items = ls_xcalloc(count + 1, sizeof *marks);
    answer->marks->count = count;
    for (size_t i = 0; i < count; i++) {
        answer->marks->items[i] = marks[i];
        answer->marks->items[i].account = ls_xstrdup(marks[i].account);
        answer->marks->items[i].entity = ls_xstrdup(marks[i].entity);
        answer->marks->items[i].uid = ls_xstrdup(marks[i].uid);
    }
    note(answer->world, err);
}

bool do_take(struct world *world, const struct ls_marks_query *query, struct marks *marks)
{
    struct answer answer = {.world = world, .marks = marks};

    start(world);
    ls_store_marks_take(world->store, query, on_taken, &answer);
    return finish(world);
}

void marks_free(struct marks *marks)
{
    for (size_t i = 0; i < marks->count; i++) {
        free(marks->items[i].account);
        free(marks->items[i].entity);
        free(marks->items[i].uid);
    }
    free(marks->items);
    *marks = (struct marks){0};
}

bool do_pushed(struct world *world, const struct marks *marks)
{
    start(world);
    ls_store_marks_pushed(world->store, marks->items, marks->count, on_done, world);
    return finish(world);
}

static void on_left(void *arg, int64_t left, int64_t newest, const struct ls_err *err)
{
    struct answer *answer = arg;

    answer->left = left;
    answer->newest = newest;
    note(answer->world, err);
}

int64_t do_left(struct world *world, int64_t up_to_gen, int64_t *newest)
{
    struct answer answer = {.world = world};

    start(world);
    ls_store_marks_left(world->store, world->mapping->account, world->mapping->entity, up_to_gen,
                        on_left, &answer);
    assert_true(finish(world));
    if (newest)
        *newest = answer.newest;
    return answer.left;
}

static void on_seen(void *arg, const struct ls_seen_result *result, const struct ls_err *err)
{
    struct answer *answer = arg;

    if (result)
        answer->seen = *result;
    note(answer->world, err);
}

bool do_seen(struct world *world, const struct ls_seen *seen, size_t count, bool link_equal,
             struct ls_seen_result *result)
{
    struct answer answer = {.world = world};
    bool well;

    start(world);
    ls_store_mark_remote(world->store, world->mapping, seen, count, link_equal, 0, on_seen,
                         &answer);
    well = finish(world);
    if (result)
        *result = answer.seen;
    return well;
}

static void on_marked_local(void *arg, size_t looked, size_t marked, const char *last,
                            const struct ls_err *err)
{
    struct answer *answer = arg;

    answer->looked = looked;
    answer->marked = marked;
    answer->text = ls_xstrdup(last);
    note(answer->world, err);
}

bool do_mark_local(struct world *world, const char *after, size_t limit, bool all, size_t *looked,
                   size_t *marked, char **last)
{
    struct answer answer = {.world = world};
    bool well;

    start(world);
    ls_store_mark_local(world->store, world->mapping, after, limit, all, on_marked_local, &answer);
    well = finish(world);
    *looked = answer.looked;
    *marked = answer.marked;
    *last = answer.text;
    return well;
}

static void on_uid(void *arg, const char *uid, const struct ls_err *err)
{
    struct answer *answer = arg;

    answer->text = ls_xstrdup(uid);
    note(answer->world, err);
}

char *do_resolve(struct world *world, const char *local_id, const char *remote_id)
{
    struct answer answer = {.world = world};

    start(world);
    ls_store_resolve(world->store, world->mapping, local_id, remote_id, on_uid, &answer);
    finish(world);
    return answer.text;
}

static void on_begun(void *arg, struct ls_snapshot *snapshot, const struct ls_err *err)
{
    struct answer *answer = arg;

    answer->snapshot = snapshot;
    note(answer->world, err);
}

struct ls_snapshot *do_begin(struct world *world, const char *uid, uint64_t fence)
{
    struct answer answer = {.world = world};

    start(world);
    ls_store_begin(world->store, world->mapping, uid, fence, on_begun, &answer);
    finish(world);
    return answer.snapshot;
}

bool do_sent(struct world *world, const char *uid, uint64_t fence, const struct ls_op *op)
{
    start(world);
    ls_store_op_sent(world->store, world->mapping, uid, fence, op, on_done, world);
    return finish(world);
}

static void on_committed(void *arg, const struct ls_commit_result *result, const struct ls_err *err)
{
    struct answer *answer = arg;

    if (result)
        answer->committed = (struct committed){ls_xstrdup(result->local_id), result->local_differs};
    note(answer->world, err);
}

bool do_commit(struct world *world, const char *uid, const struct ls_commit *commit,
               struct committed *result)
{
    struct answer answer = {.world = world};
    bool well;

    start(world);
    ls_store_commit(world->store, world->mapping, uid, commit, on_committed, &answer);
    well = finish(world);
    if (result)
        *result = answer.committed;
    else
        free(answer.committed.local_id);
    return well;
}

bool do_note(struct world *world, const char *uid, bool dead, const char *error)
{
    start(world);
    ls_store_note_error(world->store, world->mapping, uid, dead, error, on_done, world);
    return finish(world);
}

static void on_status(void *arg, const struct ls_sync_status *status, const struct ls_err *err)
{
    struct answer *answer = arg;

    if (status)
        answer->status = *status;
    note(answer->world, err);
}

bool do_status(struct world *world, struct ls_sync_status *status)
{
    struct answer answer = {.world = world};
    bool well;

    start(world);
    ls_store_sync_status(world->store, world->mapping, on_status, &answer);
    well = finish(world);
    *status = answer.status;
    return well;
}

static void on_figures(void *arg, const struct ls_sync_figures *figures, const struct ls_err *err)
{
    struct answer *answer = arg;

    if (figures)
        answer->figures = *figures;
    note(answer->world, err);
}

bool do_figures(struct world *world, int64_t recent_ms, struct ls_sync_figures *figures)
{
    struct answer answer = {.world = world};
    bool well;

    start(world);
    ls_store_sync_figures(world->store, world->mapping, recent_ms, on_figures, &answer);
    well = finish(world);
    *figures = answer.figures;
    return well;
}

static void on_scanned(void *arg, const struct ls_scan_row *rows, size_t count, const char *next,
                       const struct ls_err *err)
{
    static const char *const states[] = {"new", "linked", "parked", "tomb"};
    struct answer *answer = arg;
    struct ls_buf text = {0};

    for (size_t i = 0; i < count; i++)
        ls_buf_printf(&text, "%s|%s|%s|%s|%s|%s\n", rows[i].uid ? rows[i].uid : "-",
                      rows[i].local_id ? rows[i].local_id : "-",
                      rows[i].remote_id ? rows[i].remote_id : "-", states[rows[i].state],
                      rows[i].dirty ? "dirty" : "clean",
                      ls_record_present(rows[i].local) ? rows[i].local->values[1].text : "-");
    answer->text = ls_buf_take(&text);
    answer->next = ls_xstrdup(next);
    note(answer->world, err);
}

char *do_scan(struct world *world, const char *after, size_t limit, char **next)
{
    struct answer answer = {.world = world};

    start(world);
    ls_store_scan(world->store, world->mapping, after, limit, on_scanned, &answer);
    assert_true(finish(world));
    *next = answer.next;
    return answer.text;
}

char *do_find(struct world *world, const char *match)
{
    struct answer answer = {.world = world};

    start(world);
    ls_store_find_local(world->store, world->mapping, match, on_scanned, &answer);
    assert_true(finish(world));
    free(answer.next);
    return answer.text;
}

char *link_row(struct world *world, const char *local_id, const char *remote_id, uint64_t fence)
{
    char *uid = do_resolve(world, local_id, NULL);
    struct ls_snapshot *snapshot;
    struct ls_commit commit;

    assert_non_null(uid);
    snapshot = do_begin(world, uid, fence);
    assert_non_null(snapshot);
    commit = (struct ls_commit){.fence = fence,
                                .row = 4,
                                .remote_id = remote_id,
                                .state = LS_LINK_LINKED,
                                .base = &snapshot->local,
                                .local_gen = snapshot->local_gen,
                                .remote_gen = snapshot->remote_gen,
                                .verified = true,
                                .synced = true};
    if (!do_commit(world, uid, &commit, NULL))
        fail_msg("%s", world->err.text);
    ls_snapshot_free(snapshot);
    return uid;
}
