/* How many jobs that do nothing one runner gets through, from a queue filled beforehand. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/job/id.h"
#include "tests/bench/bench.h"

#define PER_PUSH 1000

static void preload(struct test_redis *redis, long jobs, int size)
{
    struct ls_redis_url url;
    struct ls_redis_sync *sync;
    const struct ls_reply *reply;
    struct ls_cmd cmd = {0};
    char id[LS_ID_SIZE], *pad = ls_xcalloc(1, (size_t)size + 1), envelope[70000];
    long i, done;
    int fixed = 0;

    ls_assert(ls_redis_url_parse(&url, redis->url, NULL) == 0);
    sync = ls_redis_sync_open(&url, NULL, NULL);
    ls_assert(sync);
    fixed = snprintf(envelope, sizeof(envelope),
                     "{\"id\":\"%s\",\"kind\":\"noop\",\"data\":{\"pad\":\"\"}}", ls_id_new(id));
    memset(pad, 'x', size > fixed ? (size_t)(size - fixed) : 0);
    for (done = 0; done < jobs; done += PER_PUSH) {
        ls_cmd_start(&cmd, "RPUSH");
        ls_cmd_puts(&cmd, "lockstep:{default}:pending");
        for (i = 0; i < PER_PUSH && done + i < jobs; i++) {
            int length = snprintf(envelope, sizeof(envelope),
                                  "{\"id\":\"%s\",\"kind\":\"noop\",\"data\":{\"pad\":\"%s\"}}",
                                  ls_id_new(id), pad);
            ls_cmd_add(&cmd, envelope, (size_t)length);
        }
        ls_assert(ls_redis_sync_send(sync, &cmd, &reply, NULL) == 0);
    }
    ls_cmd_fini(&cmd);
    free(pad);
    ls_redis_sync_close(sync);
    ls_redis_url_fini(&url);
}

int bench_noop(const struct bench_options *options)
{
    struct test_redis *redis = bench_redis(options);
    struct bench_usage runner, server_before, server_after;
    double bare = bench_script_calls(redis), begun, took, rate, per;
    bool all;
    int code;
    pid_t pid;

    preload(redis, options->jobs + options->waiting, options->size);
    server_before = bench_usage_of(redis->pid);
    begun = bench_now_s();
    pid = bench_runner(redis, options, options->waiting ? "max_jobs: 0\n" : NULL);
    all = bench_wait_counter(redis, "done", options->jobs, 120);
    took = bench_now_s() - begun;
    runner = bench_usage_of(pid);
    server_after = bench_usage_of(redis->pid);
    code = bench_stop(pid);
    rate = (double)options->jobs / took;
    per = 100000.0 / (double)options->jobs;
    if (options->json)
        printf("{\"jobs\":%ld,\"seconds\":%.3f,\"jobs_per_s\":%.0f,\"runner_cpu_s_per_100k\":%.3f,"
               "\"redis_cpu_s_per_100k\":%.3f,\"runner_anon_mib\":%.1f,\"bare_script_calls_per_s\":"
               "%.0f}\n",
               options->jobs, took, rate, runner.cpu_s * per,
               (server_after.cpu_s - server_before.cpu_s) * per, runner.anon_mib, bare);
    else
        printf("noop: %ld jobs of %d bytes, one runner, concurrency %d, AOF %s\n"
               "  jobs/s                          %12.0f   (%.2f s)\n"
               "  runner CPU s per 100,000 jobs   %12.3f\n"
               "  Redis CPU s per 100,000 jobs    %12.3f\n"
               "  runner anonymous memory, MiB    %12.1f\n"
               "  bare script calls/s, same run   %12.0f   (redis-benchmark, EVALSHA INCR, 4 "
               "clients, pipeline 64)\n",
               options->jobs, options->size, options->concurrency, options->aof, rate, took,
               runner.cpu_s * per, (server_after.cpu_s - server_before.cpu_s) * per,
               runner.anon_mib, bare);
    if (!all)
        fprintf(stderr, "not all jobs were done within 120 s\n");
    test_redis_stop(redis);
    return all && code == 0 ? 0 : 1;
}
