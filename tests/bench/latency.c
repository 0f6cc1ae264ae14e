/* From the push of a job to an idle queue until it is done, seen from outside. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/id.h"
#include "common/queue/push.h"
#include "tests/bench/bench.h"

#define PAUSE_NS 5000000 /* 200 jobs a second */

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void push_one(struct ls_redis_sync *sync, struct ls_cmd *cmd, const struct ls_keys *keys)
{
    const struct ls_reply *reply;
    char id[LS_ID_SIZE], envelope[128];
    struct ls_push_job job = {0};

    snprintf(envelope, sizeof(envelope), "{\"id\":\"%s\",\"kind\":\"noop\"}", ls_id_new(id));
    job.envelope = ls_span_of(envelope);
    ls_push_build(cmd, keys, NULL, &job, 1);
    ls_assert(ls_redis_sync_send(sync, cmd, &reply, NULL) == 0);
}

static int64_t done_count(struct ls_redis_sync *sync, struct ls_cmd *cmd,
                          const struct ls_keys *keys)
{
    const struct ls_reply *reply;

    ls_cmd_start(cmd, "HGET");
    ls_cmd_puts(cmd, keys->stats);
    ls_cmd_puts(cmd, "done");
    ls_assert(ls_redis_sync_send(sync, cmd, &reply, NULL) == 0);
    return ls_reply_int(reply, 0);
}

int bench_latency(const struct bench_options *options)
{
    struct test_redis *redis = bench_redis(options);
    long jobs = options->jobs == BENCH_DEFAULT_JOBS ? 2000 : options->jobs, i;
    int64_t *us = ls_xcalloc((size_t)jobs, sizeof(*us)), before, round;
    struct ls_redis_url url;
    struct ls_redis_sync *sync;
    struct ls_keys keys;
    struct ls_cmd cmd = {0};
    pid_t pid;

    ls_assert(ls_redis_url_parse(&url, redis->url, NULL) == 0 &&
              ls_keys_init(&keys, "default", NULL) == 0);
    sync = ls_redis_sync_open(&url, NULL, NULL);
    ls_assert(sync);
    pid = bench_runner(redis, options, NULL);
    push_one(sync, &cmd, &keys);
    bench_wait_counter(redis, "done", 1, 10);
    for (i = 0; i < jobs; i++) {
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
        before = ls_clock_mono_us();
        push_one(sync, &cmd, &keys);
        while (done_count(sync, &cmd, &keys) < i + 2)
            ;
        us[i] = ls_clock_mono_us() - before;
    }
    before = ls_clock_mono_us();
    for (i = 0; i < 1000; i++)
        done_count(sync, &cmd, &keys);
    round = (ls_clock_mono_us() - before) / 1000;
    qsort(us, (size_t)jobs, sizeof(*us), by_value);
    printf(options->json ? "{\"jobs\":%ld,\"p50_us\":%lld,\"p99_us\":%lld,\"round_trip_us\":%lld}\n"
                         : "latency: %ld jobs, one at a time, on an idle queue; from before the "
                           "push until it counts as done\n"
                           "  p50, us                         %12lld\n"
                           "  p99, us                         %12lld\n"
                           "  one round trip in this run, us  %12lld   (push, wake, claim and "
                           "settle are four)\n",
           jobs, (long long)us[jobs / 2], (long long)us[jobs * 99 / 100], (long long)round);
    ls_cmd_fini(&cmd);
    ls_keys_fini(&keys);
    ls_redis_sync_close(sync);
    ls_redis_url_fini(&url);
    free(us);
    bench_stop(pid);
    test_redis_stop(redis);
    return 0;
}
