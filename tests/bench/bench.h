/* lockstep-bench: one file a measurement, each with its own private Redis. */
#ifndef LS_TESTS_BENCH_BENCH_H
#define LS_TESTS_BENCH_BENCH_H

#include <stdbool.h>
#include <sys/types.h>

#include "tests/support/redis.h"

#define BENCH_DEFAULT_JOBS 1000000
#define BENCH_DEFAULT_CONCURRENCY 128

struct bench_options {
    long jobs;
    int size;        /* bytes of an envelope, about */
    int concurrency; /* jobs at once in the runner */
    int waiting;     /* further jobs that stay in the queue */
    const char *aof; /* "off", "everysec", "always" */
    bool json;
};

/* What a process used: from /proc, so that it can be asked while it runs. */
struct bench_usage {
    double cpu_s;
    double anon_mib;
};

double bench_now_s(void);
struct bench_usage bench_usage_of(pid_t pid);
struct test_redis *bench_redis(const struct bench_options *options);
/* A runner process on this Redis; more is YAML for the configuration. Stop it with bench_stop. */
pid_t bench_runner(const struct test_redis *redis, const struct bench_options *options,
                   const char *more);
/* SIGTERM and wait. Returns its exit code. */
int bench_stop(pid_t pid);
/* Script calls a second that a bare client gets out of this server, many in flight: redis-benchmark
 * with an EVALSHA. */
double bench_script_calls(const struct test_redis *redis);
/* Until a counter of the queue `default` has reached value; false after timeout_s. */
bool bench_wait_counter(struct test_redis *redis, const char *name, long long value,
                        double timeout_s);

int bench_noop(const struct bench_options *options);
int bench_latency(const struct bench_options *options);
/* part: "memory", "idle", "length", "due", "fair", "budget"; NULL: all. */
int bench_queue(const struct bench_options *options, const char *part);
int bench_http(const struct bench_options *options);

#endif
