/* Accounts and queues as a runner keeps them: the breaker, fair service, places shared by queues,
 * cancelling what runs, results, how far a run is, grants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/loop/timer.h"
#include "tests/integration/runner/common.h"
#include "tests/support/runner.h"
#include "worker/handlers/handlers.h"
#include "worker/main.h"

/* This program brings its own table of handlers instead of worker/handlers. */
struct ls_handlers {
    struct ls_runner_tools *tools;
};

struct sleep {
    struct ls_run *run;
    struct ls_timer *timer;
};

static void sleep_over(void *arg)
{
    struct sleep *sleep = arg;
    struct ls_run *run = sleep->run;

    ls_timer_close(&sleep->timer);
    free(sleep);
    ls_run_ok(run);
}

/* Ends well after data.ms = the number behind {"ms": . */
static void sleep_begin(void *self, struct ls_run *run)
{
    struct ls_handlers *handlers = self;
    struct sleep *sleep = LS_NEW(struct sleep);
    struct ls_span data = ls_run_data(run);

    sleep->run = run;
    sleep->timer = ls_timer_new(handlers->tools->loop, sleep_over, sleep);
    *ls_run_state(run) = sleep;
    ls_timer_start(sleep->timer, data.length > 6 ? strtoll(data.data + 6, NULL, 10) : 1);
}

static void sleep_cancel(void *self, struct ls_run *run)
{
    struct sleep *sleep = *ls_run_state(run);

    ls_timer_close(&sleep->timer);
    free(sleep);
}

/* Runs until it is asked to stop; then it says how far it came. */
static void polite_begin(void *self, struct ls_run *run)
{
    ls_run_progress(run, 3, 10, "pages\nof\x01ten");
}

static void polite_stop(void *self, struct ls_run *run)
{
    struct ls_err err = LS_ERR_INIT;

    assert_true(ls_run_is_cancelled(run));
    ls_run_count(run, "asked", 1);
    ls_fail(&err, LS_E_TRANSIENT, "stopped half-way");
    ls_run_fail(run, &err);
}

/* Does not listen: it is cut when the grace is over. */
static void deaf_stop(void *self, struct ls_run *run)
{
    ls_run_count(run, "asked", 1);
}

static void nothing(void *self, struct ls_run *run)
{
}

static void down_begin(void *self, struct ls_run *run)
{
    struct ls_err err = LS_ERR_INIT;

    ls_run_count(run, "tried", 1);
    if (access("/tmp/lockstep-test-platform-is-up", F_OK) == 0 &&
        ls_span_is(ls_run_account(run), "shop")) {
        ls_run_ok(run);
        return;
    }
    ls_fail(&err, LS_E_TRANSIENT, "503");
    ls_run_fail(run, &err);
}

static void result_begin(void *self, struct ls_run *run)
{
    struct ls_err err = LS_ERR_INIT;
    char *big = ls_xcalloc(1, LS_RESULT_MAX + 2);

    memset(big, '1', LS_RESULT_MAX + 1);
    if (ls_run_wants_result(run)) {
        assert_int_equal(ls_run_result(run, "{no", 3, &err), -1);
        assert_int_equal(err.code, LS_E_INVALID);
        assert_int_equal(ls_run_result(run, big, LS_RESULT_MAX + 1, &err), -1);
        assert_int_equal(err.code, LS_E_TOO_BIG);
    }
    assert_int_equal(ls_run_result(run, "{\"rows\":3}", 10, &err), 0);
    free(big);
    ls_run_ok(run);
}

/* Draws requests until it has had ten, and says how many it really made. */
static void crawl_granted(void *arg, int count)
{
    struct ls_run *run = arg;
    intptr_t *had = (intptr_t *)ls_run_state(run);

    ls_run_count(run, "granted", count);
    *had += count;
    if (*had >= 10) {
        ls_run_ungrant(run, 1);
        ls_run_ok(run);
        return;
    }
    ls_run_take(run, 4, crawl_granted, run);
}

static void crawl_begin(void *self, struct ls_run *run)
{
    ls_run_take(run, 4, crawl_granted, run);
}

static struct ls_handler table[] = {
    {.kind = "sleep", .begin = sleep_begin, .cancel = sleep_cancel},
    {.kind = "polite", .begin = polite_begin, .cancel = nothing, .ask_stop = polite_stop},
    {.kind = "deaf", .begin = nothing, .cancel = nothing, .ask_stop = deaf_stop},
    {.kind = "down", .begin = down_begin},
    {.kind = "result", .begin = result_begin},
    {.kind = "crawl", .begin = crawl_begin, .cancel = nothing},
};

struct ls_handlers *ls_handlers_new(struct ls_runner_tools *tools, struct ls_err *err)
{
    struct ls_handlers *handlers = LS_NEW(struct ls_handlers);

    handlers->tools = tools;
    for (size_t i = 0; i < LS_COUNT(table); i++)
        table[i].self = handlers;
    return handlers;
}

void ls_handlers_free(struct ls_handlers *handlers)
{
    free(handlers);
}

const struct ls_handler *ls_handlers_find(const struct ls_handlers *handlers, struct ls_span kind)
{
    for (size_t i = 0; i < LS_COUNT(table); i++)
        if (ls_span_is(kind, table[i].kind))
            return &table[i];
    return NULL;
}

/* -------- the stage -------- */

static struct test_redis *redis;

static int set_up(void **state)
{
    redis = test_redis_start(NULL);
    unlink("/tmp/lockstep-test-platform-is-up");
    return 0;
}

static int tear_down(void **state)
{
    test_redis_stop(redis);
    return 0;
}

static void push(const char *account, const char *id, const char *kind, const char *tail)
{
    char envelope[400];

    snprintf(envelope, sizeof(envelope), "{\"account\":\"%s\",\"id\":\"%s\",\"kind\":\"%s\"%s}",
             account, id, kind, tail ? tail : "");
    push_raw(redis, envelope);
}

static bool text_is(void *arg)
{
    const char **words = arg;

    return strcmp(test_redis_text(redis, words[0], words[1], words[2], NULL), words[3]) == 0;
}

/* Until `verb key field` answers text. */
static bool wait_text(const char *verb, const char *key, const char *field, const char *text)
{
    const char *words[] = {verb, key, field, text};

    return test_wait(text_is, words, 8000);
}

static void cancel(const char *id)
{
    test_redis_int(redis, "ZADD", KEY("cancelled"), "99999999999999", id, NULL);
    test_redis_int(redis, "HINCRBY", KEY("control"), "cancel_serial", "1", NULL);
    test_redis_int(redis, "LPUSH", KEY("wake"), "1", NULL);
}

/* -------- cancelling -------- */

static void cancel__running_job__is_asked_then_cut(void **state)
{
    struct test_runner *runner =
        test_runner_start(redis->url, "cancel_grace: 300ms\nqueues: {default: {concurrency: 4}}\n");
    int64_t begun;

    push("a", "polite", "polite", ",\"result\":true");
    push("a", "deaf", "deaf", ",\"status\":true");
    push("a", "rude", "sleep", ",\"data\":{\"ms\":60000},\"status\":true");
    push("a", "stays", "sleep", ",\"data\":{\"ms\":60000}");
    assert_true(wait_counter(redis, "claimed", 4, 8000));
    begun = ls_clock_mono_ms();
    cancel("polite");
    cancel("deaf");
    cancel("rude");
    assert_true(wait_counter(redis, "stopped", 3, 8000));
    assert_true(ls_clock_mono_ms() - begun >= 250);
    assert_true(wait_text("GET", KEY("status:deaf"), NULL, "cancelled"));
    assert_true(wait_text("GET", KEY("status:rude"), NULL, "cancelled"));
    assert_true(wait_text("GET", KEY("result:polite"), NULL, "{\"state\":\"cancelled\"}"));
    assert_true(wait_counter(redis, "asked", 2, 8000));
    for (int i = 0; i < 200 && test_redis_int(redis, "ZCARD", KEY("cancelled"), NULL); i++)
        usleep(10000);
    assert_int_equal(test_redis_int(redis, "ZCARD", KEY("cancelled"), NULL), 0);
    assert_int_equal(running_claims(redis), 1);
    assert_int_equal(counter(redis, "dead") + counter(redis, "retried"), 0);
    test_runner_kill(runner);
}

static void progress__of_a_running_job__is_there_to_see(void **state)
{
    struct test_runner *runner = test_runner_start(redis->url, NULL);

    push("a", "1", "polite", NULL);
    assert_true(wait_counter(redis, "claimed", 1, 8000));
    for (int i = 0; i < 200 && !test_redis_int(redis, "HLEN", KEY("progress"), NULL); i++)
        usleep(50000);
    assert_string_equal(test_redis_command(redis, "HVALS", KEY("progress"), NULL)->items[0].text,
                        "3 10 pages of ten");
    cancel("1");
    assert_true(wait_counter(redis, "stopped", 1, 8000));
    assert_int_equal(test_redis_int(redis, "EXISTS", KEY("progress"), NULL), 0);
    assert_int_equal(test_runner_stop(runner, 8000), 0);
}

static void result__on_request__is_kept_for_its_time(void **state)
{
    struct test_runner *runner =
        test_runner_start(redis->url, "queues: {default: {result_ttl: 90s}}\n");
    long long ttl;

    push("a", "wants", "result", ",\"result\":true");
    push("a", "not", "result", NULL);
    push("a", "dies", "nosuchkind", ",\"result\":true");
    assert_true(wait_counter(redis, "done", 2, 8000));
    assert_true(wait_text("GET", KEY("result:wants"), NULL,
                          "{\"state\":\"done\",\"result\":{\"rows\":3}}"));
    assert_true(wait_text("GET", KEY("status:wants"), NULL, "done"));
    ttl = test_redis_int(redis, "PTTL", KEY("result:wants"), NULL);
    assert_in_range(ttl, 60000, 90000);
    assert_int_equal(test_redis_int(redis, "EXISTS", KEY("result:not"), KEY("status:not"), NULL),
                     0);
    assert_true(wait_text("GET", KEY("status:dies"), NULL, "dead"));
    assert_non_null(strstr(test_redis_text(redis, "GET", KEY("result:dies"), NULL),
                           "{\"state\":\"dead\",\"error\":\"unknown kind 'nosuchkind'\""));
    assert_int_equal(test_runner_stop(runner, 8000), 0);
}

/* -------- accounts -------- */

static void breaker__platform_down__parks_its_jobs_and_a_probe_brings_them_back(void **state)
{
    struct test_runner *runner = test_runner_start(
        redis->url, "accounts: {shop: {platform: woocommerce, url: 'http://127.0.0.1:1', breaker: "
                    "{failures: 5, open: 400ms, cap: 400ms}}}\n"
                    "queues: {default: {concurrency: 2, backoff: {type: fixed, base: 20ms, "
                    "jitter: none}}}\n");
    long long tried;
    char id[16];

    for (int i = 0; i < 200; i++) {
        snprintf(id, sizeof(id), "j%d", i);
        push("shop", id, "down", NULL);
    }
    assert_true(wait_counter(redis, "breaker_opened", 1, 8000));
    assert_true(wait_counter(redis, "breaker_opened", 3, 8000)); /* probes fail, too */
    tried = counter(redis, "tried");
    assert_in_range(tried, 5, 40); /* of 200: an outage is not tried through */
    assert_int_equal(test_redis_int(redis, "LLEN", KEY("dead"), NULL), 0);
    close(creat("/tmp/lockstep-test-platform-is-up", 0600));
    assert_true(wait_counter(redis, "done", 200, 10000));
    assert_int_equal(test_redis_int(redis, "HEXISTS", KEY("limits"), "shop/breaker", NULL), 0);
    unlink("/tmp/lockstep-test-platform-is-up");
    assert_int_equal(test_runner_stop(runner, 8000), 0);
}

static void fair__small_account_behind_a_flood__is_served_soon(void **state)
{
    struct test_runner *runner =
        test_runner_start(redis->url, "queues: {default: {concurrency: 16}}\n");
    int64_t begun;
    char id[16];

    for (int i = 0; i < 5000; i++) {
        snprintf(id, sizeof(id), "f%d", i);
        push(i % 3 ? "flood" : "other-flood", id, "sleep", ",\"data\":{\"ms\":20}");
    }
    assert_true(wait_counter(redis, "done", 16, 8000));
    begun = ls_clock_mono_ms();
    push("small", "s", "sleep", ",\"data\":{\"ms\":1},\"status\":true");
    assert_true(wait_text("GET", KEY("status:s"), NULL, "done"));
    assert_true(ls_clock_mono_ms() - begun < 2000); /* in turn it would be 6 s */
    assert_true(counter(redis, "done") < 5000);
    test_runner_kill(runner);
}

static bool most_running(void *arg)
{
    long long *most = arg, now = running_claims(redis);

    *most = now > *most ? now : *most;
    return counter(redis, "done") >= 60;
}

static void concurrency__of_an_account__holds_over_two_runners(void **state)
{
    const char *yaml = "accounts: {shop: {platform: woocommerce, url: 'http://127.0.0.1:1', "
                       "concurrency: 3}}\n";
    struct test_runner *one = test_runner_start(redis->url, yaml);
    struct test_runner *two = test_runner_start(redis->url, yaml);
    long long most = 0;
    char id[16];

    assert_true(wait_text("HGET", KEY("limits"), "shop/concurrency", "3"));
    for (int i = 0; i < 60; i++) {
        snprintf(id, sizeof(id), "j%d", i);
        push("shop", id, "sleep", ",\"data\":{\"ms\":15}");
    }
    assert_true(test_wait(most_running, &most, 15000));
    assert_in_range(most, 2, 3);
    assert_int_equal(test_redis_int(redis, "EXISTS", KEY("slots"), KEY("held"), NULL), 0);
    assert_int_equal(test_runner_stop(one, 8000), 0);
    assert_int_equal(test_runner_stop(two, 8000), 0);
}

static void grants__of_a_crawl__keep_to_the_budget(void **state)
{
    struct test_runner *runner = test_runner_start(
        redis->url, "accounts: {shop: {platform: woocommerce, url: 'http://127.0.0.1:1', rate: "
                    "20/s, burst: 2, costs: {crawl: 0}}}\n");
    int64_t begun;

    assert_true(wait_text("HGET", KEY("limits"), "shop/burst", "2"));
    begun = ls_clock_mono_ms();
    push("shop", "1", "crawl", NULL);
    push("shop", "2", "crawl", NULL);
    assert_true(wait_counter(redis, "done", 2, 10000));
    assert_in_range(counter(redis, "granted"), 20, 26);
    assert_true(ls_clock_mono_ms() - begun >= 850); /* twenty at 20/s, two at once */
    assert_int_equal(test_runner_stop(runner, 8000), 0);
}

/* -------- queues -------- */

static long long done_of(const char *queue)
{
    char key[80];

    snprintf(key, sizeof(key), "lockstep:{%s}:stats", queue);
    return strtoll(test_redis_text(redis, "HGET", key, "done", NULL), NULL, 10);
}

static void fill(const char *queue, int jobs)
{
    char key[80], envelope[120];

    snprintf(key, sizeof(key), "lockstep:{%s}:pending", queue);
    for (int i = 0; i < jobs; i++) {
        snprintf(envelope, sizeof(envelope),
                 "{\"id\":\"%s-%d\",\"kind\":\"sleep\",\"data\":{\"ms\":10}}", queue, i);
        test_redis_command(redis, "RPUSH", key, envelope, NULL);
    }
}

static bool first_is_done(void *arg)
{
    return done_of("first") >= *(int *)arg;
}

static void queues__strict_order__first_before_second(void **state)
{
    struct test_runner *runner;
    int all = 300;

    fill("second", 300);
    fill("first", all);
    runner = test_runner_start(redis->url,
                               "concurrency: 4\nqueue_order: strict\nqueues: {first: {starvation: "
                               "0s}, second: {starvation: 0s}}\n");
    assert_true(test_wait(first_is_done, &all, 15000));
    assert_true(done_of("second") < 60); /* what it got before the first one's work was seen */
    test_runner_kill(runner);
}

static void queues__weighted__share_the_places(void **state)
{
    struct test_runner *runner;
    int most = 300;

    fill("first", 400);
    fill("second", 400);
    runner = test_runner_start(redis->url, "concurrency: 8\nqueues: {first: {weight: 3}, second: "
                                           "{weight: 1}}\n");
    assert_true(test_wait(first_is_done, &most, 15000));
    assert_in_range(done_of("second"), 50, 200);
    test_runner_kill(runner);
}

static void queues__starving_one__gets_a_place_under_strict_order(void **state)
{
    struct test_runner *runner;
    int most = 400;

    fill("first", 1000);
    fill("second", 50);
    runner = test_runner_start(redis->url,
                               "concurrency: 2\nqueue_order: strict\nqueues: {first: {}, second: "
                               "{starvation: 200ms}}\n");
    assert_true(test_wait(first_is_done, &most, 15000));
    assert_in_range(done_of("second"), 3, 49);
    test_runner_kill(runner);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(cancel__running_job__is_asked_then_cut),
        STAGED(progress__of_a_running_job__is_there_to_see),
        STAGED(result__on_request__is_kept_for_its_time),
        STAGED(breaker__platform_down__parks_its_jobs_and_a_probe_brings_them_back),
        STAGED(fair__small_account_behind_a_flood__is_served_soon),
        STAGED(concurrency__of_an_account__holds_over_two_runners),
        STAGED(grants__of_a_crawl__keep_to_the_budget),
        STAGED(queues__strict_order__first_before_second),
        STAGED(queues__weighted__share_the_places),
        STAGED(queues__starving_one__gets_a_place_under_strict_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
