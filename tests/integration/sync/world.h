/* A little world for the engine: an SQLite database with a table of products, a shop in memory, and a loop that takes marks and
 * reconciles them the way relay and runners do. */
#ifndef LS_TEST_SYNC_WORLD_H
#define LS_TEST_SYNC_WORLD_H

#include <sqlite3.h>
#include <uv.h>

#include "common/config/config.h"
#include "common/sync/engine.h"
#include "common/sync/feed.h"
#include "common/sync/reconcile.h"
#include "common/sync/verify.h"
#include "tests/integration/sync/shop.h"

enum { SKU, NAME, PRICE, STOCK, TEXT, FIELD_COUNT };

struct world {
    char dir[100], url[140];
    uv_loop_t loop;
    struct shop shop;
    struct ls_config *config;
    struct ls_mapping *mapping; /* for the installation; outlives the store */
    struct ls_engine *engine;
    struct ls_sync *sync;
    sqlite3 *db;
    uint64_t fence;
    bool over;
    struct ls_err err;
    struct ls_reconcile_result result; /* of the last run */
    char why[512];
    int failures; /* runs that ended with an error, in the last drain */
    struct ls_err last_failure;
    int told; /* requests that the runs of all drains say they made */
    bool may_not_write;
};

/* policy: "fields" ... */
void world_open(struct world *world, const char *policy);
void world_close(struct world *world);
/* As after a crash or a restart: a new engine on the same database. */
void world_reopen(struct world *world);
void world_start(struct world *world); /* the sync becomes active */

void world_sql(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The first column of the first row; "" for NULL; "(none)" when there is no row. Static. */
const char *world_get(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int world_count(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct shop_object *world_sell(struct world *world, const char *sku, const char *name,
                               const char *price, const char *stock);

/* One reconcile; its result is in world->result. -1: world->err. */
int world_reconcile(struct world *world, const char *uid, bool absent);
/* Take marks and reconcile them, `at_once` together, until there are none or `rounds` are over. Returns the runs made. */
int world_drain(struct world *world, int rounds);
/* One feed to its end; -1: world->err. stop_after > 0: the engine is torn down after so many pages. */
int world_feed(struct world *world, enum ls_feed_kind kind, int stop_after);
int world_backfill(struct world *world);
/* Run the loop until world->over. */
void world_wait(struct world *world);

#endif
