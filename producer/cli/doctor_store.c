#include "producer/cli/doctor_store.h"

#include <string.h>

#include "common/base/mem.h"

void ls_doctor_syncs_free(struct ls_doctor_sync *syncs, size_t count)
{
    for (size_t i = 0; syncs && i < count; i++)
        free(syncs[i].match_column);
    free(syncs);
}

#ifdef LOCKSTEP_WITH_SQLITE

#include <sqlite3.h>
#include <uv.h>

#include "common/base/buf.h"
#include "common/store/store.h"

#define PATIENCE_MS 10000

struct reading {
    struct ls_doctor_sync *sync;
    struct ls_err *err;
    bool over;
    int result;
};

static void on_status(void *arg, const struct ls_sync_status *status, const struct ls_err *err)
{
    struct reading *reading = arg;

    reading->over = true;
    if (err) {
        *reading->err = *err;
        reading->result = -1;
        return;
    }
    reading->sync->observing = status->state == LS_SYNC_OBSERVE;
    reading->sync->stopped = status->state == LS_SYNC_STOPPED;
    reading->sync->linked = status->linked;
    reading->sync->dirty = status->dirty;
    reading->sync->parked = status->parked;
    reading->sync->conflicts = status->conflicts;
    reading->sync->oldest_dirty_at = status->oldest_dirty_at;
    reading->sync->last_synced_at = status->last_synced_at;
}

static void on_late(uv_timer_t *timer)
{
    (void)timer; /* it only ends uv_run */
}

static int read_status(struct ls_store *store, uv_loop_t *loop, uv_timer_t *timer,
                       const struct ls_mapping *mapping, struct ls_doctor_sync *sync,
                       struct ls_err *err)
{
    struct reading *reading = LS_NEW(struct reading);
    int result;

    *reading = (struct reading){.sync = sync, .err = err};
    uv_timer_start(timer, on_late, PATIENCE_MS, 0);
    ls_store_sync_status(store, mapping, on_status, reading);
    while (!reading->over && uv_is_active((uv_handle_t *)timer))
        uv_run(loop, UV_RUN_ONCE);
    uv_timer_stop(timer);
    if (!reading->over) /* its callback may still come while the store closes: it is not freed */
        return ls_fail(err, LS_E_STORE, "the database has not answered in %d s",
                       PATIENCE_MS / 1000);
    result = reading->result;
    free(reading);
    return result;
}

static char *quoted(const char *name)
{
    struct ls_buf out = {0};

    ls_buf_putc(&out, '"');
    for (; *name; name++) {
        if (*name == '"')
            ls_buf_putc(&out, '"');
        ls_buf_putc(&out, *name);
    }
    ls_buf_putc(&out, '"');
    return ls_buf_take(&out);
}

/* The application's own rows: two with the same SKU cannot both be the shop's one product. */
static int count_duplicates(const struct ls_config *config, const struct ls_config_sync *sync,
                            const struct ls_mapping *mapping, struct ls_doctor_sync *out,
                            struct ls_err *err)
{
    sqlite3_stmt *statement = NULL;
    char *column, *table, *sql;
    sqlite3 *db = NULL;
    int result = -1;

    out->duplicates = -1;
    if (mapping->match < 0)
        return 0;
    out->match_column = ls_xstrdup(mapping->fields[mapping->match].column);
    column = quoted(out->match_column);
    table = quoted(sync->table);
    sql = ls_xasprintf("SELECT COUNT(*) FROM (SELECT 1 FROM %s WHERE %s IS NOT NULL AND %s <> '' "
                       "GROUP BY %s HAVING COUNT(*) > 1)",
                       table, column, column, column);
    if (sqlite3_open_v2(config->store + strlen("sqlite:"), &db, SQLITE_OPEN_READONLY, NULL) ==
            SQLITE_OK &&
        sqlite3_busy_timeout(db, 5000) == SQLITE_OK &&
        sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        out->duplicates = sqlite3_column_int64(statement, 0);
        result = 0;
    } else {
        ls_fail(err, LS_E_STORE, "cannot count duplicates in '%s': %s", sync->table,
                db ? sqlite3_errmsg(db) : "out of memory");
    }
    sqlite3_finalize(statement);
    sqlite3_close(db);
    free(sql);
    free(table);
    free(column);
    return result;
}

static void close_all(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

int ls_doctor_syncs_read(const struct ls_config *config, struct ls_doctor_sync *syncs,
                         struct ls_err *err)
{
    struct ls_store_options options = {.url = config->store, .read_only = true};
    struct ls_store *store;
    uv_timer_t timer;
    uv_loop_t loop;
    int result = 0;

    uv_loop_init(&loop);
    uv_timer_init(&loop, &timer);
    options.loop = &loop;
    store = ls_store_open(&options, err);
    result = store ? 0 : -1;
    for (size_t i = 0; i < config->sync_count && result == 0; i++) {
        struct ls_mapping *mapping = ls_mapping_new(&config->syncs[i], err);

        result = mapping ? read_status(store, &loop, &timer, mapping, &syncs[i], err) : -1;
        if (result == 0)
            result = count_duplicates(config, &config->syncs[i], mapping, &syncs[i], err);
        ls_mapping_free(mapping);
    }
    if (store)
        ls_store_close(&store, 1000);
    uv_walk(&loop, close_all, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return result;
}

#else

int ls_doctor_syncs_read(const struct ls_config *config, struct ls_doctor_sync *syncs,
                         struct ls_err *err)
{
    (void)config;
    (void)syncs;
    ls_fail(err, LS_E_UNSUPPORTED, "this build has no stores");
    return ls_hint(err, "install libsqlite3-dev and build again");
}

#endif
