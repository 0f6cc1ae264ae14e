/* Budgets by the minute: four runners, one account, more jobs than its rate allows. */
#include <stdio.h>
#include <time.h>

#include "common/base/mem.h"
#include "tests/bench/queue.h"
#include "tests/support/http_server.h"

#define RUNNERS 4
#define MINUTE_S 60
#define BURST 10

static void measure(const struct bench_options *options, int rate, const char *costs)
{
    struct test_redis *redis = bench_redis(options);
    struct test_http *http = test_http_start();
    char url[128], yaml[512];
    double begun, seconds, want, got;
    int before;
    pid_t pids[RUNNERS];

    snprintf(url, sizeof(url), "%s/x", test_http_url(http));
    snprintf(yaml, sizeof(yaml),
             "accounts: {shop: {platform: woocommerce, url: 'http://127.0.0.1:1', rate: %d/s, "
             "burst: %d%s}}\n",
             rate, BURST, costs);
    bench_fill_http(redis, "lockstep:{default}:pending", "shop", url, (long)rate * 90);
    for (int i = 0; i < RUNNERS; i++)
        pids[i] = bench_runner(redis, options, yaml);
    while (test_http_requests(http) < BURST + rate) /* the burst, and the first second */
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    begun = bench_now_s();
    before = test_http_requests(http);
    nanosleep(&(struct timespec){.tv_sec = MINUTE_S}, NULL);
    got = test_http_requests(http) - before;
    seconds = bench_now_s() - begun;
    want = rate * seconds;
    printf("  requests at %4d/s%-13s %12.0f   (in %.1f s, %+.2f %% of the budget; 1 %% at most)\n",
           rate, *costs ? ", prepaid 3" : "", got, seconds, 100 * (got / want - 1));
    for (int i = 0; i < RUNNERS; i++)
        bench_stop(pids[i]);
    test_http_stop(http);
    test_redis_stop(redis);
}

void bench_budget(const struct bench_options *options)
{
    measure(options, 20, "");
    measure(options, 200, "");
    measure(options, 100, ", costs: {http: 3}");
}
