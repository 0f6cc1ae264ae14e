/* The parts of `lockstep-bench queue`. */
#ifndef LS_TESTS_BENCH_QUEUE_H
#define LS_TESTS_BENCH_QUEUE_H

#include <signal.h>
#include <sys/wait.h>

#include "tests/bench/bench.h"

struct bench_script_time {
    double p99_us, max_us; /* -1: not known; 0: none above half a ms */
};

struct bench_flat {
    long waiting;
    double jobs_per_s;
    struct bench_script_time script;
};

/* http jobs of an account. */
void bench_fill_http(const struct test_redis *redis, const char *lane, const char *account,
                     const char *url, long jobs);
void bench_write_http(char *out, size_t size, long n, void *arg);

/* How long a job of a small account waits behind 100,000 of others. */
void bench_fair(const struct bench_options *options);
/* Requests that four runners make of an account's budget in a minute. */
void bench_budget(const struct bench_options *options);

#endif
