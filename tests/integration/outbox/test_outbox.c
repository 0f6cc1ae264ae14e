/* The outbox on a real database and a real Redis. */
#include "common/outbox/outbox.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/conformance/store_harness.h"
#include "tests/support/redis.h"
#include "tests/support/temp.h"

#define HIGH "lockstep:{default}:pending:high"
#define NORMAL "lockstep:{default}:pending"
#define LOW "lockstep:{default}:pending:low"
#define BODIES "lockstep:{default}:bodies"

struct scene {
    struct world *world;
    struct test_redis *redis;
    struct ls_config *config;
    struct ls_outbox *outbox;
};

static void start(struct scene *scene, int64_t repush_ms, int64_t max_waiting)
{
    struct ls_outbox_options options = {.loop = &scene->world->loop,
                                        .config = scene->config,
                                        .store = scene->world->store,
                                        .repush_ms = repush_ms,
                                        .max_waiting = max_waiting};
    struct ls_err err = LS_ERR_INIT;

    scene->outbox = ls_outbox_start(&options, &err);
    if (!scene->outbox)
        fail_msg("%s", err.text);
}

/* mode: what stands behind `mode:`, with further keys of the sync after commas. */
static struct scene scene_new(const char *mode)
{
    struct scene scene = {.world = world_new(&store_kinds[0]), .redis = test_redis_start(NULL)};
    struct ls_err err = LS_ERR_INIT;
    char *text =
        ls_xasprintf("redis: '%s'\nstore: '%s'\n"
                     "accounts: {shop-eu: {platform: woocommerce, url: 'http://127.0.0.1:1', "
                     "consumer_key: a, consumer_secret: b}}\n"
                     "syncs: {products: {account: shop-eu, entity: product, table: products, mode: "
                     "%s, max_attempts: 7,\n"
                     "  fields: {sku: {}, name: {}, price: {type: money, critical: true}}}}\n",
                     scene.redis->url, scene.world->url, mode);

    scene.config = ls_config_parse(text, strlen(text), "test", NULL, &err);
    if (!scene.config)
        fail_msg("%s", err.text);
    free(text);
    return scene;
}

static void scene_end(struct scene *scene)
{
    ls_outbox_stop(&scene->outbox);
    world_free(scene->world);
    test_redis_stop(scene->redis);
    ls_config_free(scene->config);
}

/* Run the loop until the integer answer of a command is `wanted`. */
static void expect(struct scene *scene, long long wanted, const char *verb, const char *key)
{
    int64_t deadline = ls_clock_mono_ms() + 15000;
    long long now = -1;

    while (ls_clock_mono_ms() < deadline) {
        uv_run(&scene->world->loop, UV_RUN_NOWAIT);
        now = test_redis_int(scene->redis, verb, key, NULL);
        if (now == wanted)
            return;
        uv_sleep(2);
    }
    fail_msg("%s %s: %lld, not %lld", verb, key, now, wanted);
}

static void run_until(struct scene *scene, const char *piece)
{
    int64_t deadline = ls_clock_mono_ms() + 15000;

    while (!test_log_has(piece)) {
        if (ls_clock_mono_ms() > deadline)
            fail_msg("no '%s' in: %s", piece, test_log_text());
        uv_run(&scene->world->loop, UV_RUN_NOWAIT);
        uv_sleep(2);
    }
}

static void run_for(struct scene *scene, int64_t ms)
{
    int64_t end = ls_clock_mono_ms() + ms;

    while (ls_clock_mono_ms() < end) {
        uv_run(&scene->world->loop, UV_RUN_NOWAIT);
        uv_sleep(2);
    }
}

static void make_products(struct scene *scene, int count)
{
    sql(scene->world,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
        "INSERT INTO products (id, sku, name) SELECT i, 'S' || i, 'n' FROM n",
        count);
}

static void change__in_real_time__is_a_keyed_job_in_the_high_lane_within_moments(void **state)
{
    struct scene scene = scene_new("realtime");
    const char *body;
    int64_t began;

    start(&scene, 0, 0);
    expect(&scene, 0, "LLEN", HIGH);
    run_for(&scene, 50);
    began = ls_clock_mono_ms();
    sql(scene.world, "INSERT INTO products (id, sku) VALUES (7, 'A-1')");
    expect(&scene, 1, "LLEN", HIGH);
    assert_true(ls_clock_mono_ms() - began < 900); /* usually 20 ms; not the look each second */
    assert_string_equal(test_redis_text(scene.redis, "LINDEX", HIGH, "0", NULL),
                        "@shop-eu/product/l-7");
    body = test_redis_text(scene.redis, "HGET", BODIES, "shop-eu/product/l-7", NULL);
    assert_non_null(
        strstr(body, "\"kind\":\"product\",\"data\":{\"sync\":\"products\",\"id\":\"l-7\"}"));
    assert_non_null(strstr(body, "\"max_attempts\":7"));
    assert_non_null(strstr(body, "\"account\":\"shop-eu\""));
    /* Again: coalesced, and the marks are still there for the run to take away. */
    sql(scene.world, "UPDATE products SET name = 'x'");
    run_for(&scene, 200);
    assert_int_equal(test_redis_int(scene.redis, "LLEN", HIGH, NULL), 1);
    assert_int_equal(
        sql_int(scene.world, "SELECT count(*) FROM lockstep_dirty WHERE pushed_gen IS gen"), 1);
    scene_end(&scene);
}

static void changes__more_than_a_page__all_arrive(void **state)
{
    struct scene scene = scene_new("realtime");

    make_products(&scene, 1700);
    start(&scene, 0, 0);
    expect(&scene, 1700, "LLEN", HIGH);
    assert_int_equal(test_redis_int(scene.redis, "HLEN", BODIES, NULL), 1700);
    run_for(&scene, 100); /* the last answer */
    assert_int_equal(ls_outbox_facts(scene.outbox).pushed, 1700);
    scene_end(&scene);
}

static void hybrid__critical_at_once__the_rest_with_the_batch(void **state)
{
    struct scene scene = scene_new("hybrid, every: 2s");

    make_products(&scene, 3);
    sql(scene.world, "DELETE FROM lockstep_dirty");
    start(&scene, 0, 0);
    run_for(&scene, 200); /* the first, empty batch */
    sql(scene.world,
        "UPDATE products SET name = 'x' WHERE id = 1; UPDATE products SET price = 5 WHERE id = 2");
    expect(&scene, 1, "LLEN", HIGH);
    assert_string_equal(test_redis_text(scene.redis, "LINDEX", HIGH, "0", NULL),
                        "@shop-eu/product/l-2");
    assert_int_equal(test_redis_int(scene.redis, "LLEN", NORMAL, NULL), 0);
    expect(&scene, 1, "LLEN", NORMAL);
    assert_string_equal(test_redis_text(scene.redis, "LINDEX", NORMAL, "0", NULL),
                        "@shop-eu/product/l-1");
    scene_end(&scene);
}

static void raised__by_the_application__goes_at_once_in_the_high_lane(void **state)
{
    struct scene scene = scene_new("batch, every: 1h");

    make_products(&scene, 5);
    sql(scene.world, "DELETE FROM lockstep_dirty");
    start(&scene, 0, 0);
    run_for(&scene, 200); /* the first, empty batch */
    sql(scene.world, "BEGIN; UPDATE products SET name = 'x'; "
                     "INSERT INTO lockstep_raise_products (id) VALUES (3); COMMIT");
    expect(&scene, 1, "LLEN", HIGH);
    assert_string_equal(test_redis_text(scene.redis, "LINDEX", HIGH, "0", NULL),
                        "@shop-eu/product/l-3");
    run_for(&scene, 200);
    assert_int_equal(test_redis_int(scene.redis, "LLEN", NORMAL, NULL), 0);
    /* Later, too; and what does not wait is not made to. */
    sql(scene.world, "INSERT INTO lockstep_raise_products (id) VALUES (5), (99)");
    expect(&scene, 2, "LLEN", HIGH);
    assert_int_equal(sql_int(scene.world, "SELECT count(*) FROM lockstep_dirty"), 5);
    assert_int_equal(sql_int(scene.world, "SELECT count(*) FROM lockstep_raise_products"), 2);
    scene_end(&scene);
}

static void batch__drained_until_empty__then_says_so_when_it_is_done(void **state)
{
    struct scene scene = scene_new("batch, every: 1h, batch: 100");

    make_products(&scene, 250);
    test_log_start();
    start(&scene, 0, 0);
    expect(&scene, 250, "LLEN", NORMAL);
    run_for(&scene, 600);
    assert_false(test_log_has("Batch sync completed"));
    sql(scene.world, "DELETE FROM lockstep_dirty"); /* as runs do */
    run_until(&scene, "Batch sync completed: 250 records in ");
    /* Between batches nothing is handed over. */
    sql(scene.world, "UPDATE products SET price = 4 WHERE id = 9");
    run_for(&scene, 300);
    assert_int_equal(test_redis_int(scene.redis, "LLEN", NORMAL, NULL), 250);
    test_log_stop();
    scene_end(&scene);
}

static void backfill_marks__go_to_the_low_lane(void **state)
{
    struct scene scene = scene_new("realtime");
    size_t looked, marked;
    char *last;

    make_products(&scene, 5);
    sql(scene.world, "DELETE FROM lockstep_dirty");
    assert_true(do_mark_local(scene.world, NULL, 100, false, &looked, &marked, &last));
    start(&scene, 0, 0);
    expect(&scene, 5, "LLEN", LOW);
    assert_int_equal(test_redis_int(scene.redis, "LLEN", HIGH, NULL), 0);
    scene_end(&scene);
}

static void backfill_marks__do_not_wait_for_the_batch(void **state)
{
    struct scene scene = scene_new("batch, every: 1h, batch: 100");
    size_t looked, marked;
    char *last;

    start(&scene, 0, 0);
    run_for(&scene, 300); /* its first batch is over: the next one is an hour away */
    make_products(&scene, 5);
    run_for(&scene, 300);
    assert_int_equal(test_redis_int(scene.redis, "LLEN", NORMAL, NULL), 0);
    sql(scene.world, "DELETE FROM lockstep_dirty");
    assert_true(do_mark_local(scene.world, NULL, 100, false, &looked, &marked, &last));
    /* They were made through the outbox's own store, whose watch sees other connections only. */
    sql(scene.world, "UPDATE lockstep_sequence SET value = value");
    expect(&scene, 5, "LLEN", LOW);
    scene_end(&scene);
}

static void full_queue__is_left_alone_until_there_is_room(void **state)
{
    struct scene scene = scene_new("batch, every: 1h, batch: 100");

    make_products(&scene, 900);
    start(&scene, 0, 150);
    expect(&scene, 200, "LLEN", NORMAL); /* a page of 100 goes in as long as fewer than 150 wait */
    run_for(&scene, 700);
    assert_int_equal(test_redis_int(scene.redis, "LLEN", NORMAL, NULL), 200);
    test_redis_command(scene.redis, "DEL", NORMAL, NULL);
    expect(&scene, 200, "LLEN", NORMAL);
    scene_end(&scene);
}

static void redis_away__changes_wait_and_arrive_when_it_is_back(void **state)
{
    struct scene scene = scene_new("realtime");

    test_log_start();
    test_redis_kill(scene.redis);
    start(&scene, 0, 0);
    make_products(&scene, 3);
    run_until(&scene, "changes wait in the database");
    test_redis_restart(scene.redis);
    expect(&scene, 3, "LLEN", HIGH);
    test_log_stop();
    scene_end(&scene);
}

static void redis_lost_its_data__everything_open_is_handed_over_again(void **state)
{
    struct scene scene = scene_new("realtime");

    make_products(&scene, 20);
    start(&scene, 0, 0);
    expect(&scene, 20, "LLEN", HIGH);
    run_for(&scene, 100);
    assert_true(do_note(scene.world, "l-3", true, "refused"));
    test_redis_kill(scene.redis); /* without a file: all is gone */
    test_redis_restart(scene.redis);
    expect(&scene, 19, "LLEN", HIGH); /* the dead one waits for a person or a change */
    scene_end(&scene);
}

static void handed_over_long_ago_and_still_open__is_handed_over_again(void **state)
{
    struct scene scene = scene_new("realtime");

    make_products(&scene, 2);
    start(&scene, 300, 0);
    expect(&scene, 2, "LLEN", HIGH);
    test_redis_command(scene.redis, "FLUSHALL", NULL); /* without a word */
    run_for(&scene, 400);
    sql(scene.world,
        "INSERT INTO products (id, sku) VALUES (77, 'S77')"); /* anything that makes it look */
    expect(&scene, 3, "LLEN", HIGH);
    scene_end(&scene);
}

static void database_busy__is_waited_for(void **state)
{
    struct scene scene = scene_new("realtime");
    struct ls_store_options options = {
        .url = scene.world->url, .loop = &scene.world->loop, .busy_ms = 50};

    world_close(scene.world);
    scene.world->store = ls_store_open(&options, &scene.world->err);
    make_products(&scene, 2);
    test_log_start();
    sql(scene.world, "BEGIN IMMEDIATE");
    start(&scene, 0, 0);
    run_until(&scene, "Database connection lost during sync");
    assert_false(ls_outbox_facts(scene.outbox).store_up);
    sql(scene.world, "COMMIT");
    expect(&scene, 2, "LLEN", HIGH);
    test_log_stop();
    scene_end(&scene);
}

static void stopped_in_the_middle__the_next_one_goes_on(void **state)
{
    struct scene scene = scene_new("realtime");

    make_products(&scene, 1200);
    for (int round = 0; round < 12; round++) {
        start(&scene, 0, 0);
        run_for(&scene, round);
        ls_outbox_stop(&scene.outbox);
    }
    start(&scene, 0, 0);
    expect(&scene, 1200, "HLEN", BODIES);
    scene_end(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(change__in_real_time__is_a_keyed_job_in_the_high_lane_within_moments),
        cmocka_unit_test(changes__more_than_a_page__all_arrive),
        cmocka_unit_test(hybrid__critical_at_once__the_rest_with_the_batch),
        cmocka_unit_test(raised__by_the_application__goes_at_once_in_the_high_lane),
        cmocka_unit_test(batch__drained_until_empty__then_says_so_when_it_is_done),
        cmocka_unit_test(backfill_marks__go_to_the_low_lane),
        cmocka_unit_test(backfill_marks__do_not_wait_for_the_batch),
        cmocka_unit_test(full_queue__is_left_alone_until_there_is_room),
        cmocka_unit_test(redis_away__changes_wait_and_arrive_when_it_is_back),
        cmocka_unit_test(redis_lost_its_data__everything_open_is_handed_over_again),
        cmocka_unit_test(handed_over_long_ago_and_still_open__is_handed_over_again),
        cmocka_unit_test(database_busy__is_waited_for),
        cmocka_unit_test(stopped_in_the_middle__the_next_one_goes_on),
    };

    return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
