/* How many http jobs one runner delivers to a server that answers after 20 ms. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/job/id.h"
#include "tests/bench/bench.h"
#include "tests/support/http_server.h"

#define PER_PUSH 1000

static void preload(struct test_redis *redis, const char *base, long jobs)
{
    struct ls_redis_url url;
    struct ls_redis_sync *sync;
    const struct ls_reply *reply;
    struct ls_cmd cmd = {0};
    char id[LS_ID_SIZE], envelope[512];
    long i, done;

    ls_assert(ls_redis_url_parse(&url, redis->url, NULL) == 0);
    sync = ls_redis_sync_open(&url, NULL, NULL);
    ls_assert(sync);
    for (done = 0; done < jobs; done += PER_PUSH) {
        ls_cmd_start(&cmd, "RPUSH");
        ls_cmd_puts(&cmd, "lockstep:{default}:pending");
        for (i = 0; i < PER_PUSH && done + i < jobs; i++) {
            int length = snprintf(envelope, sizeof(envelope),
                                  "{\"id\":\"%s\",\"kind\":\"http\",\"data\":{\"url\":\"%s/delay/"
                                  "20\",\"body\":{\"n\":%ld}}}",
                                  ls_id_new(id), base, done + i);
            ls_cmd_add(&cmd, envelope, (size_t)length);
        }
        ls_assert(ls_redis_sync_send(sync, &cmd, &reply, NULL) == 0);
    }
    ls_cmd_fini(&cmd);
    ls_redis_sync_close(sync);
    ls_redis_url_fini(&url);
}

int bench_http(const struct bench_options *options)
{
    struct test_redis *redis = bench_redis(options);
    struct test_http *http = test_http_start();
    long jobs = options->jobs == BENCH_DEFAULT_JOBS ? 50000 : options->jobs;
    int concurrency =
        options->concurrency == BENCH_DEFAULT_CONCURRENCY ? 200 : options->concurrency;
    struct bench_options own = *options;
    struct bench_usage usage;
    double begun, took;
    bool all;
    int code;
    pid_t pid;

    own.concurrency = concurrency;
    preload(redis, test_http_url(http), jobs);
    begun = bench_now_s();
    pid = bench_runner(redis, &own, NULL);
    all = bench_wait_counter(redis, "done", jobs, 120);
    took = bench_now_s() - begun;
    usage = bench_usage_of(pid);
    code = bench_stop(pid);
    if (options->json)
        printf("{\"jobs\":%ld,\"seconds\":%.3f,\"jobs_per_s\":%.0f,\"runner_cpu_s_per_1000\":%.4f,"
               "\"runner_anon_mib\":%.1f,\"requests\":%d,\"connections\":%d}\n",
               jobs, took, (double)jobs / took, usage.cpu_s * 1000 / (double)jobs, usage.anon_mib,
               test_http_requests(http), test_http_connections(http));
    else
        printf("http: %ld jobs, one runner, concurrency %d, the server answers after 20 ms\n"
               "  jobs/s                          %12.0f   (%.2f s; at most %d)\n"
               "  runner CPU s per 1,000 jobs     %12.4f\n"
               "  runner anonymous memory, MiB    %12.1f\n"
               "  requests, connections           %12d   %d\n",
               jobs, concurrency, (double)jobs / took, took, concurrency * 50,
               usage.cpu_s * 1000 / (double)jobs, usage.anon_mib, test_http_requests(http),
               test_http_connections(http));
    test_http_stop(http);
    test_redis_stop(redis);
    return all && code == 0 ? 0 : 1;
}
