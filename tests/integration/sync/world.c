#include "tests/integration/sync/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/sync/backfill.h"
#include "tests/support/temp.h"

#define TOGETHER 64

static const char config_text[] =
    "store: %s\n"
    "accounts:\n"
    "  shop-eu: {platform: woocommerce, url: 'http://127.0.0.1:9', consumer_key: k, "
    "consumer_secret: s}\n"
    "syncs:\n"
    "  products:\n"
    "    account: shop-eu\n"
    "    entity: product\n"
    "    table: products\n"
    "    id: id\n"
    "    every: 5m\n"
    "    batch: 100\n"
    "    policy: %s\n"
    "    match: sku\n"
    "    updated_at: id\n"
    "    version: id\n"
    "    fields:\n"
    "      sku: {remote: sku, owner: merge}\n"
    "      name: {remote: name, owner: merge, check: 'not empty'}\n"
    "      price: {remote: regular_price, type: money, owner: local, check: '>= 0'}\n"
    "      inventory: {remote: stock_quantity, type: integer, owner: remote}\n"
    "      description: {remote: description, type: html, owner: merge}\n";

static struct ls_connector *connect_shop(void *arg, const struct ls_config_account *account,
                                         uv_loop_t *loop, struct ls_err *err)
{
    return shop_connector(&((struct world *)arg)->shop, loop);
}

static void must(const struct ls_err *err)
{
    if (err->code == LS_E_NONE)
        return;
    fprintf(stderr, "unexpected failure: %s: %s\n", ls_err_name(err->code), err->text);
    abort();
}

static void open_engine(struct world *world)
{
    struct ls_err err = LS_ERR_INIT;

    world->engine = ls_engine_open(&(struct ls_engine_options){.loop = &world->loop,
                                                               .config = world->config,
                                                               .unknown_ms = 1,
                                                               .absence_ms = 1,
                                                               .gather_ms = 1,
                                                               .connector_new = connect_shop,
                                                               .arg = world},
                                   &err);
    must(&err);
    world->sync = ls_engine_sync(world->engine, "products");
}

void world_open(struct world *world, const char *policy)
{
    struct ls_err err = LS_ERR_INIT;
    struct ls_buf out = {0};
    char path[130], text[2048];

    *world = (struct world){.fence = 1000, .err = LS_ERR_INIT};
    uv_loop_init(&world->loop);
    shop_init(&world->shop);
    test_temp_dir(world->dir, sizeof world->dir);
    snprintf(path, sizeof path, "%s/shop.db", world->dir);
    snprintf(world->url, sizeof world->url, "sqlite:%s", path);
    snprintf(text, sizeof text, config_text, world->url, policy);
    world->config = ls_config_parse(text, strlen(text), "test.yaml", NULL, &err);
    must(&err);
    ls_assert(sqlite3_open(path, &world->db) == SQLITE_OK);
    sqlite3_busy_timeout(world->db, 5000);
    world_sql(world, "PRAGMA journal_mode = WAL");
    world_sql(world, "PRAGMA synchronous = OFF");
    world_sql(world, "CREATE TABLE products (id INTEGER PRIMARY KEY, sku TEXT, name TEXT, price "
                     "NUMERIC, inventory INTEGER, description TEXT)");
    world->mapping = ls_mapping_new(&world->config->syncs[0], &err);
    must(&err);
    ls_store_install(world->url, (const struct ls_mapping *const *)&world->mapping, 1, false, &out,
                     &err);
    must(&err);
    ls_buf_fini(&out);
    open_engine(world);
}

static void drop_engine(struct world *world)
{
    ls_engine_close(&world->engine);
    for (int i = 0; i < 20; i++)
        uv_run(&world->loop, UV_RUN_NOWAIT);
}

void world_reopen(struct world *world)
{
    drop_engine(world);
    open_engine(world);
}

void world_close(struct world *world)
{
    drop_engine(world);
    uv_loop_close(&world->loop);
    sqlite3_close(world->db);
    ls_mapping_free(world->mapping);
    ls_config_free(world->config);
    shop_fini(&world->shop);
    test_temp_remove(world->dir);
}

void world_wait(struct world *world)
{
    while (!world->over)
        uv_run(&world->loop, UV_RUN_ONCE);
    world->over = false;
}

static void on_done(void *arg, const struct ls_err *err)
{
    struct world *world = arg;

    world->over = true;
    world->err = err ? *err : (struct ls_err)LS_ERR_INIT;
}

void world_start(struct world *world)
{
    ls_store_sync_set_state(ls_engine_store(world->engine), world->sync->mapping, LS_SYNC_ACTIVE,
                            on_done, world);
    world_wait(world);
    must(&world->err);
}

/* ---- the database ---- */

void world_sql(struct world *world, const char *format, ...)
{
    char *sql, *problem = NULL;
    va_list args;

    va_start(args, format);
    ls_assert(vasprintf(&sql, format, args) >= 0);
    va_end(args);
    if (sqlite3_exec(world->db, sql, NULL, NULL, &problem) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", sql, problem);
        abort();
    }
    free(sql);
}

const char *world_get(struct world *world, const char *format, ...)
{
    static char value[4096];
    sqlite3_stmt *statement;
    const char *found = "(none)";
    char *sql;
    va_list args;

    va_start(args, format);
    ls_assert(vasprintf(&sql, format, args) >= 0);
    va_end(args);
    if (sqlite3_prepare_v2(world->db, sql, -1, &statement, NULL) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(world->db));
        abort();
    }
    if (sqlite3_step(statement) == SQLITE_ROW) {
        found = (const char *)sqlite3_column_text(statement, 0);
        found = found ? found : "";
    }
    snprintf(value, sizeof value, "%s", found);
    sqlite3_finalize(statement);
    free(sql);
    return value;
}

int world_count(struct world *world, const char *format, ...)
{
    char *sql;
    va_list args;
    int count;

    va_start(args, format);
    ls_assert(vasprintf(&sql, format, args) >= 0);
    va_end(args);
    count = (int)strtol(world_get(world, "SELECT count(*) FROM %s", sql), NULL, 10);
    free(sql);
    return count;
}

struct shop_object *world_sell(struct world *world, const char *sku, const char *name,
                               const char *price, const char *stock)
{
    return shop_add(&world->shop, (const char *const[]){sku, name, price, stock, ""}, FIELD_COUNT);
}

/* ---- runs ---- */

static void on_reconciled(void *arg, const struct ls_reconcile_result *result,
                          const struct ls_err *err)
{
    struct world *world = arg;

    world->over = true;
    world->err = err ? *err : (struct ls_err)LS_ERR_INIT;
    if (err)
        return;
    world->result = *result;
    snprintf(world->why, sizeof world->why, "%s", result->why ? result->why : "");
}

int world_reconcile(struct world *world, const char *uid, bool absent)
{
    ls_reconcile_begin(
        &(struct ls_reconcile_request){
            .sync = world->sync, .uid = uid, .fence = ++world->fence, .absent = absent},
        on_reconciled, world);
    world_wait(world);
    return world->err.code ? -1 : 0;
}

struct one {
    struct world *world;
    char *uid;
    int *left;
    int requests;
};

struct round {
    struct world *world;
    struct one *all;
    size_t count;
    int left;
};

static void begin_one(struct one *one, bool absent);

static void on_one(void *arg, const struct ls_reconcile_result *result, const struct ls_err *err)
{
    struct one *one = arg;

    if (err && err->code != LS_E_FENCED) { /* a record that took this one in has it now */
        one->world->failures++;
        one->world->last_failure = *err;
    } else if (!err && result->outcome == LS_OUTCOME_AGAIN && result->absent) {
        begin_one(one, true);
        return;
    }
    one->world->told += one->requests;
    --*one->left;
}

static bool may_write(void *arg)
{
    return !((struct one *)arg)->world->may_not_write;
}

static void begin_one(struct one *one, bool absent)
{
    ls_reconcile_begin(&(struct ls_reconcile_request){.sync = one->world->sync,
                                                      .uid = one->uid,
                                                      .fence = ++one->world->fence,
                                                      .absent = absent,
                                                      .may_write = may_write,
                                                      .requests = &one->requests},
                       on_one, one);
}

static void on_marks(void *arg, const struct ls_mark *marks, size_t count, const struct ls_err *err)
{
    struct round *round = arg;

    if (err)
        must(err);
    round->all = ls_xcalloc(count + 1, sizeof *round->all);
    round->count = count;
    for (size_t i = 0; i < count; i++)
        round->all[i] = (struct one){
            .world = round->world, .uid = ls_xstrdup(marks[i].uid), .left = &round->left};
    round->world->over = true;
}

int world_drain(struct world *world, int rounds)
{
    int runs = 0;

    world->failures = 0;
    for (int i = 0; i < rounds; i++) {
        struct round round = {.world = world};
        size_t begun = 0;
        ls_store_marks_take(ls_engine_store(world->engine),
                            &(struct ls_marks_query){.limit = 500, .repush_before_ms = INT64_MAX},
                            on_marks, &round);
        world_wait(world);
        while (begun < round.count || round.left) {
            while (begun < round.count && round.left < TOGETHER) {
                round.left++;
                begin_one(&round.all[begun++], false);
            }
            uv_run(&world->loop, UV_RUN_ONCE);
        }
        runs += (int)round.count;
        for (size_t j = 0; j < round.count; j++)
            free(round.all[j].uid);
        free(round.all);
        if (!round.count)
            break;
    }
    return runs;
}

struct feeding {
    struct world *world;
    int stop_after;
    bool stopped;
    struct ls_feed *feed;
};

static void on_page(void *arg, const struct ls_feed_progress *progress)
{
    struct feeding *feeding = arg;

    if (feeding->stop_after && progress->pages >= feeding->stop_after) {
        feeding->stopped = true;
        feeding->world->over = true;
    }
}

static void on_fed(void *arg, const struct ls_feed_progress *progress, const struct ls_err *err)
{
    on_done(((struct feeding *)arg)->world, err);
}

int world_feed(struct world *world, enum ls_feed_kind kind, int stop_after)
{
    struct feeding feeding = {.world = world, .stop_after = stop_after};

    world->err = (struct ls_err)LS_ERR_INIT;
    feeding.feed = ls_feed_begin(
        &(struct ls_feed_request){.sync = world->sync, .kind = kind, .page_done = on_page}, on_fed,
        &feeding);
    world_wait(world);
    if (feeding.stopped)
        world_reopen(world);
    return world->err.code ? -1 : 0;
}

static void on_filled(void *arg, const struct ls_feed_progress *progress, const struct ls_err *err)
{
    on_done(arg, err);
}

int world_backfill(struct world *world)
{
    ls_backfill_begin(world->sync, NULL, NULL, on_filled, world);
    world_wait(world);
    return world->err.code ? -1 : 0;
}
