/* A small account behind a flood: from its push until its delivery. */
#include <stdio.h>
#include <time.h>

#include "tests/bench/queue.h"
#include "tests/support/http_server.h"

#define FLOOD 100000
#define ROUNDS 5

/* Milliseconds; floods: accounts that share the flood between them. */
static double wait_behind(const struct bench_options *options, int floods)
{
    struct test_redis *redis = bench_redis(options);
    struct test_http *http = test_http_start(), *small = test_http_start();
    char slow[128], quick[128], account[32];
    double begun, took;
    pid_t pid;

    snprintf(slow, sizeof(slow), "%s/delay/50", test_http_url(http));
    snprintf(quick, sizeof(quick), "%s/x", test_http_url(small));
    for (int i = 0; i < floods; i++) {
        snprintf(account, sizeof(account), "flood-%d", i);
        bench_fill_http(redis, "lockstep:{default}:pending", account, slow, FLOOD / floods);
    }
    pid = bench_runner(redis, options, NULL);
    bench_wait_counter(redis, "done", 1, 10); /* it is at work */
    begun = bench_now_s();
    bench_fill_http(redis, "lockstep:{default}:pending", "small", quick, 1);
    while (test_http_requests(small) == 0 && bench_now_s() - begun < 60)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    took = (bench_now_s() - begun) * 1000;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    test_http_stop(http);
    test_http_stop(small);
    test_redis_stop(redis);
    return took;
}

static void print(const char *what, const struct bench_options *options, int floods)
{
    double worst = 0, sum = 0;

    for (int i = 0; i < ROUNDS; i++) {
        double took = wait_behind(options, floods);

        sum += took;
        worst = took > worst ? took : worst;
    }
    printf("  %-30s %12.0f   (ms, worst of %d; mean %.0f; 1,000 at most)\n", what, worst, ROUNDS,
           sum / ROUNDS);
}

void bench_fair(const struct bench_options *options)
{
    print("small account behind one flood", options, 1);
    print("behind a flood of three", options, 3);
}
