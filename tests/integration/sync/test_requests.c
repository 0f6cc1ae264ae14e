/* What the engine's requests cost whom, and what it may not make before it was granted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/sync/backfill.h"
#include "common/sync/delta.h"
#include "common/sync/gather.h"
#include "tests/integration/sync/world.h"
#include "tests/support/temp.h"

#define GRANT_MS 2 /* between a take and its grant */

static void sell_both(struct world *world, int count)
{
    world_sql(world, "BEGIN");
    for (int i = 1; i <= count; i++) {
        char sku[16];
        snprintf(sku, sizeof sku, "S%d", i);
        world_sell(world, sku, "shoe", "12.5", "7");
        world_sql(world, "INSERT INTO products VALUES (%d, '%s', 'shoe', 12.5, 7, '')", i, sku);
    }
    world_sql(world, "COMMIT");
}

/* A shop and a table that agree on so many products. */
static struct world *linked_world(int count)
{
    struct world *world = LS_NEW(struct world);

    world_open(world, "fields");
    world_start(world);
    sell_both(world, count);
    world->shop.now_ms += 3600000;
    world_backfill(world);
    world_drain(world, 10);
    assert_int_equal(world_count(world, "lockstep_link WHERE state = 'linked'"), count);
    world->shop.requests = world->told = 0;
    return world;
}

static void close_world(struct world *world)
{
    world_close(world);
    free(world);
}

/* ---- reconciles share their requests ---- */

static void burst__its_runs_pay_for_every_request_between_them(void **state)
{
    struct world *world = linked_world(300);

    world_sql(world, "UPDATE products SET price = price + 1");
    world_sql(world, "INSERT INTO products VALUES (1000, 'NEW', 'boot', 1, 1, '')");
    world_drain(world, 5);
    assert_int_equal(world->shop.updates, 300);
    assert_int_equal(world->shop.creates, 1);
    assert_true(world->shop.requests < 100);
    assert_int_equal(world->told, world->shop.requests);
    close_world(world);
}

static void refused_batch__is_paid_for_as_often_as_it_is_sent(void **state)
{
    struct world *world = linked_world(60);

    test_log_start();
    world->shop.refuse = "S7";
    world->shop.refuse_whole = true;
    world_sql(world, "UPDATE products SET name = 'new'");
    world_drain(world, 1);
    assert_int_equal(world->failures, 1);
    assert_true(world->shop.batches > 0);
    assert_int_equal(world->shop.updates, 59); /* its neighbours one by one after their batch */
    assert_int_equal(world->told, world->shop.requests);
    test_log_stop();
    close_world(world);
}

static enum shop_trouble fail_now_and_then(struct shop *shop, bool write)
{
    static const enum shop_trouble troubles[] = {SHOP_WELL,       SHOP_BUSY, SHOP_WELL,
                                                 SHOP_LOST_AFTER, SHOP_WELL, SHOP_FAILED_AFTER,
                                                 SHOP_LOST_BEFORE};

    return troubles[(unsigned)shop->requests % LS_COUNT(troubles)];
}

static void burst_in_trouble__pays_for_what_failed_too(void **state)
{
    struct world *world = linked_world(200);
    int failures = 0;

    test_log_start();
    world->shop.trouble = fail_now_and_then;
    for (int i = 0; i < 6; i++) {
        world_sql(world, "UPDATE products SET price = price + 1 WHERE id %% 2 = %d", i % 2);
        world_drain(world, 1);
        failures += world->failures;
        assert_int_equal(world->told, world->shop.requests);
    }
    assert_true(failures > 0);
    test_log_stop();
    close_world(world);
}

struct payer {
    struct ls_reconcile *reconcile;
    char uid[16];
    int requests;
    bool over;
};

static void on_payer_done(void *arg, const struct ls_reconcile_result *result,
                          const struct ls_err *err)
{
    struct payer *payer = arg;

    payer->reconcile = NULL;
    payer->over = true;
}

static void on_resolved(void *arg, const char *uid, const struct ls_err *err)
{
    assert_null(err);
    ((struct world *)arg)->over = true;
}

/* A product of ours that the shop does not have. */
static void insert_new(struct world *world)
{
    world_sql(world, "INSERT INTO products VALUES (2, 'NEW', 'boot', 1, 1, '')");
    ls_store_resolve(ls_engine_store(world->engine), world->sync->mapping, "2", NULL, on_resolved,
                     world);
    world_wait(world);
}

static void begin_payer(struct world *world, struct payer *payer, int id)
{
    snprintf(payer->uid, sizeof payer->uid, "l-%d", id);
    payer->reconcile =
        ls_reconcile_begin(&(struct ls_reconcile_request){.sync = world->sync,
                                                          .uid = payer->uid,
                                                          .fence = ++world->fence,
                                                          .requests = &payer->requests},
                           on_payer_done, payer);
}

static enum shop_trouble say_nothing(struct shop *shop, bool write)
{
    return SHOP_SILENT;
}

static void given_up_before_the_answer__has_paid_for_the_request(void **state)
{
    for (int id = 1; id <= 2; id++) { /* read by id; looked for, as there is no link */
        struct world *world = linked_world(1);
        struct payer payer = {0};
        insert_new(world);
        world->shop.trouble = say_nothing;
        begin_payer(world, &payer, id);
        while (!world->shop.silent)
            uv_run(&world->loop, UV_RUN_ONCE);
        ls_reconcile_cancel(&payer.reconcile);
        assert_int_equal(payer.requests, 1);
        assert_null(world->sync->connector->calls); /* nobody waits for it any more */
        world->shop.trouble = NULL;
        assert_int_equal(world_reconcile(world, "l-1", false), 0);
        close_world(world);
    }
}

struct reader {
    struct ls_ticket *ticket;
    char id[24];
    int requests;
    bool over;
};

static void on_reader_done(void *arg, const struct ls_remote *remote, int64_t remote_ms,
                           const struct ls_err *err)
{
    struct reader *reader = arg;

    assert_true(!err && remote);
    reader->ticket = NULL;
    reader->over = true;
}

/* Ten in one flight that takes 23 requests: some leave with it out, the rest lands. */
static void gathered__those_who_leave_pay_a_part_and_the_sum_holds(void **state)
{
    static const int stays[] = {0, 5, 9};

    for (size_t n = 0; n < LS_COUNT(stays); n++) {
        struct world *world = linked_world(10);
        struct reader readers[10] = {0};
        struct ls_gather *gather =
            ls_gather_new(&(struct ls_gather_options){.loop = &world->loop,
                                                      .connector = world->sync->connector,
                                                      .mapping = world->sync->mapping,
                                                      .wait_ms = 5});
        int all = 0, over = 0;
        world->shop.get_cost = 23;
        world->shop.trouble = say_nothing;
        for (int i = 0; i < 10; i++) {
            snprintf(readers[i].id, sizeof readers[i].id, "%lld",
                     (long long)world->shop.objects[i].id);
            readers[i].ticket = ls_gather_get(gather, readers[i].id, &readers[i].requests,
                                              on_reader_done, &readers[i]);
        }
        while (!world->shop.silent)
            uv_run(&world->loop, UV_RUN_ONCE);
        for (int i = 9; i >= stays[n]; i--)
            ls_gather_cancel(&readers[i].ticket);
        shop_speak(world->sync->connector);
        while (over < stays[n]) {
            uv_run(&world->loop, UV_RUN_ONCE);
            over = 0;
            for (int i = 0; i < 10; i++)
                over += readers[i].over;
        }
        for (int i = 0; i < 10; i++)
            all += readers[i].requests;
        assert_int_equal(world->shop.gets, 1);
        assert_int_equal(all, 23);
        assert_int_equal(readers[9].requests, 2); /* the first to leave: a tenth, rounded down */
        assert_in_range(readers[0].requests, 2, 3);
        ls_gather_free(gather);
        close_world(world);
    }
}

static void killed_at_any_step__what_was_sent_is_paid_for(void **state)
{
    for (int id = 1; id <= 2; id++) { /* an update; a create, which looks before it writes */
        bool ended = false;
        for (int turns = 0; turns < 60 && !ended; turns++) {
            struct world *world = linked_world(1);
            struct payer payer = {0};
            world_sql(world, "UPDATE products SET price = 77");
            insert_new(world);
            begin_payer(world, &payer, id);
            for (int i = 0; i < turns && !payer.over; i++)
                uv_run(&world->loop, UV_RUN_ONCE);
            ended = payer.over;
            ls_reconcile_cancel(&payer.reconcile);
            assert_int_equal(payer.requests, world->shop.requests);
            assert_true(!ended || payer.requests == 2); /* read or looked for, written */
            close_world(world);
        }
        assert_true(ended);
    }
}

/* ---- crawls draw their requests ---- */

/* Grants by a timer, at most `most` at once, and sees to it that nothing is requested before. */
struct giver {
    struct world *world;
    uv_timer_t timer;
    int most;
    int takes, wants[32], granted, settles, left;
    bool mean;                 /* grants nothing any more */
    int stop_at;               /* becomes mean at this take; 0: never */
    ls_granted_cb *on_granted; /* NULL: nobody waits */
    void *ctx;
};

static void on_grant_due(uv_timer_t *timer)
{
    struct giver *giver = timer->data;
    ls_granted_cb *granted = giver->on_granted;
    int want = giver->wants[(giver->takes - 1) % 32];
    int count = want < giver->most ? want : giver->most;

    /* who waits holds nothing: no call to the platform, no transaction */
    assert_null(giver->world->sync->connector->calls);
    world_sql(giver->world, "BEGIN IMMEDIATE");
    world_sql(giver->world, "COMMIT");
    giver->on_granted = NULL;
    giver->granted += count;
    granted(giver->ctx, count);
}

static void take(void *arg, int want, ls_granted_cb *granted, void *ctx)
{
    struct giver *giver = arg;

    assert_null(giver->on_granted);
    assert_int_equal(giver->settles, 0);
    giver->wants[giver->takes++ % 32] = want;
    giver->on_granted = granted;
    giver->ctx = ctx;
    giver->mean |= giver->takes == giver->stop_at;
    if (!giver->mean)
        uv_timer_start(&giver->timer, on_grant_due, GRANT_MS, 0);
}

static void settle(void *arg, int left)
{
    struct giver *giver = arg;

    uv_timer_stop(&giver->timer);
    giver->on_granted = NULL;
    giver->settles++;
    giver->left = left;
}

/* Asked for each request: each must have been granted. */
static enum shop_trouble demand_grant(struct shop *shop, bool write)
{
    struct giver *giver = shop->arg;

    assert_true(shop->requests <= giver->granted);
    return SHOP_WELL;
}

static struct ls_grants giver_open(struct giver *giver, struct world *world, int most)
{
    *giver = (struct giver){.world = world, .most = most};
    uv_timer_init(&world->loop, &giver->timer);
    giver->timer.data = giver;
    world->shop.trouble = demand_grant;
    world->shop.arg = giver;
    world->shop.requests = 0;
    return (struct ls_grants){.take = take, .settle = settle, .arg = giver};
}

static void giver_close(struct giver *giver)
{
    giver->world->shop.trouble = NULL;
    uv_close((uv_handle_t *)&giver->timer, NULL);
    for (int i = 0; i < 3; i++)
        uv_run(&giver->world->loop, UV_RUN_NOWAIT);
}

static void wait_until_mean(struct giver *giver)
{
    while (!giver->mean)
        uv_run(&giver->world->loop, UV_RUN_ONCE);
    for (int i = 0; i < 20; i++) /* and nothing else is under way */
        uv_run(&giver->world->loop, UV_RUN_NOWAIT);
}

struct crawl {
    struct world *world;
    struct ls_feed_progress progress;
    struct ls_err err;
    int calls;
};

static void on_crawled(void *arg, const struct ls_feed_progress *progress, const struct ls_err *err)
{
    struct crawl *crawl = arg;

    crawl->calls++;
    crawl->progress = *progress;
    crawl->err = err ? *err : (struct ls_err)LS_ERR_INIT;
    crawl->world->over = true;
}

static struct world *full_shop(int count)
{
    struct world *world = LS_NEW(struct world);

    world_open(world, "fields");
    world_start(world);
    sell_both(world, count);
    world->shop.now_ms += 3600000;
    return world;
}

static void backfill__granted_one_at_a_time__makes_each_request_with_a_grant(void **state)
{
    struct world *world = full_shop(950);
    struct crawl crawl = {.world = world};
    struct giver giver;
    struct ls_grants grants = giver_open(&giver, world, 1);

    test_log_start();
    ls_backfill_begin(world->sync, &grants, NULL, on_crawled, &crawl);
    world_wait(world);
    assert_string_equal(crawl.err.text, "");
    assert_int_equal(crawl.progress.looked, 950);
    assert_int_equal(world->shop.requests, 11); /* the probe and ten pages */
    assert_int_equal(crawl.progress.requests, 11);
    assert_int_equal(giver.takes, 11);
    assert_int_equal(giver.settles, 1);
    assert_int_equal(giver.left, 0);
    assert_int_equal(world_count(world, "lockstep_link WHERE state = 'linked'"), 950);
    assert_non_null(
        strstr(world_get(world, "SELECT stats FROM lockstep_run WHERE kind = 'backfill'"),
               "\"requests\":11,"));
    test_log_stop();
    giver_close(&giver);
    close_world(world);
}

static void backfill__draws_for_several_pages_and_singly_at_the_end(void **state)
{
    static const int wants[] = {2, 8, 1};
    struct world *world = full_shop(950);
    struct crawl crawl = {.world = world};
    struct giver giver;
    struct ls_grants grants = giver_open(&giver, world, 1000);

    test_log_start();
    ls_backfill_begin(world->sync, &grants, NULL, on_crawled, &crawl);
    world_wait(world);
    assert_int_equal(giver.takes, 3);
    assert_memory_equal(giver.wants, wants, sizeof wants);
    assert_int_equal(giver.left, 0);
    test_log_stop();
    giver_close(&giver);
    close_world(world);
}

static enum shop_trouble fail_at_the_fifth(struct shop *shop, bool write)
{
    return shop->requests == 5 ? SHOP_BUSY : demand_grant(shop, write);
}

static void backfill__that_fails__gives_back_what_it_did_not_make(void **state)
{
    struct world *world = full_shop(950);
    struct crawl crawl = {.world = world};
    struct giver giver;
    struct ls_grants grants = giver_open(&giver, world, 1000);

    test_log_start();
    world->shop.trouble = fail_at_the_fifth;
    ls_backfill_begin(world->sync, &grants, NULL, on_crawled, &crawl);
    world_wait(world);
    assert_int_equal(crawl.err.code, LS_E_THROTTLED);
    assert_int_equal(crawl.progress.requests, 5); /* the one that failed too */
    assert_int_equal(giver.settles, 1);
    assert_int_equal(giver.granted, 10);
    assert_int_equal(giver.left, 5);
    test_log_stop();
    giver_close(&giver);
    close_world(world);
}

static void backfill__cancelled_while_it_waits__gives_back_and_is_gone_on_with(void **state)
{
    static const int stops[] = {1, 4, 3, 3}; /* at the probe, and after two pages each */
    struct world *world = full_shop(950);
    struct crawl crawl = {.world = world};

    test_log_start();
    for (size_t i = 0; i < LS_COUNT(stops); i++) {
        struct giver giver;
        struct ls_grants grants = giver_open(&giver, world, 1);
        struct ls_backfill *backfill =
            ls_backfill_begin(world->sync, &grants, NULL, on_crawled, &crawl);
        giver.stop_at = stops[i];
        wait_until_mean(&giver);
        assert_int_equal(world->shop.requests, stops[i] - 1);
        ls_backfill_cancel(&backfill);
        assert_int_equal(giver.settles, 1);
        assert_int_equal(giver.left, 0);
        assert_null(giver.on_granted);
        giver_close(&giver);
        assert_int_equal(world->shop.requests, stops[i] - 1);
    }
    assert_int_equal(crawl.calls, 0);
    world->shop.requests = 0;
    assert_int_equal(world_backfill(world), 0);
    assert_int_equal(world->shop.requests, 4); /* the six pages that were read stand */
    assert_int_equal(world_count(world, "lockstep_link WHERE state = 'linked'"), 950);
    test_log_stop();
    close_world(world);
}

static void engine__closed_while_a_crawl_waits__settles_for_it(void **state)
{
    struct world *world = full_shop(300);
    struct crawl crawl = {.world = world};
    struct giver giver;
    struct ls_grants grants = giver_open(&giver, world, 1);

    test_log_start();
    giver.stop_at = 3;
    ls_backfill_begin(world->sync, &grants, NULL, on_crawled, &crawl);
    wait_until_mean(&giver);
    world_reopen(world);
    assert_int_equal(giver.settles, 1);
    assert_int_equal(crawl.calls, 0);
    giver_close(&giver);
    test_log_stop();
    close_world(world);
}

static void delta_and_scan__draw_too(void **state)
{
    static const char *const blind[] = {"stock_quantity", NULL};
    struct world *world = linked_world(250);

    test_log_start();
    world->shop.can.blind = blind;
    world->shop.now_ms += 300000;
    for (size_t i = 0; i < 250; i++)
        shop_edit(&world->shop, &world->shop.objects[i], NAME, "changed", false);
    world->shop.now_ms += 5000;
    for (int scan = 0; scan < 2; scan++) {
        struct crawl crawl = {.world = world};
        struct giver giver;
        struct ls_grants grants = giver_open(&giver, world, 1);
        ls_delta_begin(world->sync, scan, &grants, on_crawled, &crawl);
        world_wait(world);
        assert_string_equal(crawl.err.text, "");
        assert_int_equal(crawl.progress.looked, 250);
        assert_int_equal(world->shop.requests, 4);
        assert_int_equal(giver.granted, 4);
        assert_int_equal(giver.left, 0);
        giver_close(&giver);
    }
    test_log_stop();
    close_world(world);
}

/* ---- verify ---- */

struct verified {
    struct world *world;
    struct ls_verify_report report;
    int exit, calls;
};

static void on_verified(void *arg, const struct ls_verify_report *report, const struct ls_err *err)
{
    struct verified *verified = arg;

    assert_null(err);
    verified->calls++;
    verified->report = *report;
    verified->exit = ls_verify_exit(report, 0.95);
    verified->world->over = true;
}

/* 250 linked; 100 of them differ, of three kinds that are looked at again in different ways. */
static struct world *odd_world(void)
{
    struct world *world = linked_world(250);

    for (int i = 0; i < 80; i++)
        shop_edit(&world->shop, &world->shop.objects[i], NAME, "unannounced", true);
    for (int i = 80; i < 100; i++)
        world->shop.objects[i].gone = true;
    for (int i = 1000; i < 1012; i++)
        world_sql(world, "INSERT INTO products VALUES (%d, 'N%d', 'boot', 1, 1, '')", i, i);
    world_sql(world, "DELETE FROM lockstep_dirty"); /* as if nobody had noticed */
    return world;
}

static void verify__granted_one_at_a_time__finds_the_same(void **state)
{
    struct world *world = odd_world();
    struct verified free_one = {.world = world}, bound = {.world = world};
    struct giver giver;
    struct ls_grants grants;

    test_log_start();
    ls_verify_begin(&(struct ls_verify_request){.sync = world->sync}, on_verified, &free_one);
    world_wait(world);
    assert_int_equal(free_one.report.requests, world->shop.requests);
    grants = giver_open(&giver, world, 1);
    ls_verify_begin(&(struct ls_verify_request){.sync = world->sync, .grants = &grants},
                    on_verified, &bound);
    world_wait(world);
    assert_int_equal(bound.exit, free_one.exit);
    assert_int_equal(bound.report.fields, 80);
    assert_int_equal(bound.report.missing_remote, 32);
    assert_int_equal(bound.report.fields, free_one.report.fields);
    assert_int_equal(bound.report.missing_remote, free_one.report.missing_remote);
    assert_int_equal(bound.report.match, free_one.report.match);
    assert_int_equal(bound.report.requests, world->shop.requests);
    assert_int_equal(giver.settles, 1);
    assert_int_equal(giver.left, giver.granted - world->shop.requests);
    print_message("verify: %d requests, %d granted\n", world->shop.requests, giver.granted);
    test_log_stop();
    giver_close(&giver);
    close_world(world);
}

static void verify__cancelled_while_it_waits__gives_back(void **state)
{
    struct world *world = odd_world();

    test_log_start();
    for (int at = 1; at <= 9; at++) { /* in the listing, and in the second look */
        struct verified verified = {.world = world};
        struct giver giver;
        struct ls_grants grants = giver_open(&giver, world, 1);
        struct ls_verify *verify =
            ls_verify_begin(&(struct ls_verify_request){.sync = world->sync, .grants = &grants},
                            on_verified, &verified);
        int seen;
        giver.stop_at = at;
        wait_until_mean(&giver);
        seen = world->shop.requests;
        ls_verify_cancel(&verify);
        assert_int_equal(giver.settles, 1);
        assert_int_equal(giver.left, giver.granted - seen);
        giver_close(&giver);
        assert_int_equal(world->shop.requests, seen);
        assert_int_equal(verified.calls, 0);
    }
    test_log_stop();
    close_world(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(burst__its_runs_pay_for_every_request_between_them),
        cmocka_unit_test(refused_batch__is_paid_for_as_often_as_it_is_sent),
        cmocka_unit_test(burst_in_trouble__pays_for_what_failed_too),
        cmocka_unit_test(given_up_before_the_answer__has_paid_for_the_request),
        cmocka_unit_test(gathered__those_who_leave_pay_a_part_and_the_sum_holds),
        cmocka_unit_test(killed_at_any_step__what_was_sent_is_paid_for),
        cmocka_unit_test(backfill__granted_one_at_a_time__makes_each_request_with_a_grant),
        cmocka_unit_test(backfill__draws_for_several_pages_and_singly_at_the_end),
        cmocka_unit_test(backfill__that_fails__gives_back_what_it_did_not_make),
        cmocka_unit_test(backfill__cancelled_while_it_waits__gives_back_and_is_gone_on_with),
        cmocka_unit_test(engine__closed_while_a_crawl_waits__settles_for_it),
        cmocka_unit_test(delta_and_scan__draw_too),
        cmocka_unit_test(verify__granted_one_at_a_time__finds_the_same),
        cmocka_unit_test(verify__cancelled_while_it_waits__gives_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
