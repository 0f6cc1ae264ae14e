/* What the queue must hold: memory of a waiting job, the same speed however long the queue, a million
 * jobs due at once, what an idle process asks, a small account behind a flood, budgets by the minute. */
#include "tests/bench/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/mem.h"
#include "common/job/id.h"

#define PER_PUSH 1000
#define MEMORY_JOBS 100000
#define MEASURED_JOBS 200000
#define DUE_JOBS 1000000
#define IDLE_S 20

/* -------- filling -------- */

struct filler {
    struct ls_redis_url url;
    struct ls_redis_sync *sync;
    struct ls_cmd cmd;
};

static void filler_open(struct filler *filler, const struct test_redis *redis)
{
    *filler = (struct filler){0};
    ls_assert(ls_redis_url_parse(&filler->url, redis->url, NULL) == 0);
    filler->sync = ls_redis_sync_open(&filler->url, NULL, NULL);
    ls_assert(filler->sync);
}

static void filler_close(struct filler *filler)
{
    ls_cmd_fini(&filler->cmd);
    ls_redis_sync_close(filler->sync);
    ls_redis_url_fini(&filler->url);
}

/* verb: RPUSH, or ZADD with the score that all of them get. */
static void fill(const struct test_redis *redis, const char *verb, const char *key, long jobs,
                 void (*write)(char *out, size_t size, long n, void *arg), void *arg)
{
    struct filler filler;
    const struct ls_reply *reply;
    char envelope[4096];

    filler_open(&filler, redis);
    for (long done = 0; done < jobs; done += PER_PUSH) {
        ls_cmd_start(&filler.cmd, verb);
        ls_cmd_puts(&filler.cmd, key);
        for (long i = 0; i < PER_PUSH && done + i < jobs; i++) {
            write(envelope, sizeof(envelope), done + i, arg);
            if (*verb == 'Z')
                ls_cmd_puts(&filler.cmd, "1");
            ls_cmd_puts(&filler.cmd, envelope);
        }
        ls_assert(ls_redis_sync_send(filler.sync, &filler.cmd, &reply, NULL) == 0);
    }
    filler_close(&filler);
}

/* A plain noop job of *arg bytes. */
static void write_noop(char *out, size_t size, long n, void *arg)
{
    char id[LS_ID_SIZE];
    int length =
        snprintf(out, size, "{\"id\":\"%s\",\"kind\":\"noop\",\"data\":{\"pad\":\"", ls_id_new(id));

    while (length < *(int *)arg - 3)
        out[length++] = 'x';
    memcpy(out + length, "\"}}", 4);
}

void bench_fill_http(const struct test_redis *redis, const char *lane, const char *account,
                     const char *url, long jobs)
{
    const char *words[] = {account, url};

    fill(redis, "RPUSH", lane, jobs, bench_write_http, words);
}

void bench_write_http(char *out, size_t size, long n, void *arg)
{
    const char **words = arg;
    char id[LS_ID_SIZE];

    snprintf(
        out, size,
        "{\"account\":\"%s\",\"id\":\"%s\",\"kind\":\"http\",\"data\":{\"url\":\"%s\",\"body\":"
        "{\"n\":%ld}}}",
        words[0], ls_id_new(id), words[1], n);
}

/* -------- what Redis says of itself -------- */

static double number_behind(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at ? strtod(at + strlen(name), NULL) : -1;
}

static double info(struct test_redis *redis, const char *section, const char *name)
{
    return number_behind(test_redis_command(redis, "INFO", section, NULL)->text, name);
}

static void reset(struct test_redis *redis)
{
    test_redis_command(redis, "CONFIG", "SET", "slowlog-log-slower-than", "500", NULL);
    test_redis_command(redis, "CONFIG", "SET", "slowlog-max-len", "100000", NULL);
    test_redis_command(redis, "SLOWLOG", "RESET", NULL);
    test_redis_command(redis, "CONFIG", "RESETSTAT", NULL);
}

/* Microseconds of scripts in Redis: p99 (-1: this Redis does not say), and the longest. */
static struct bench_script_time script_time(struct test_redis *redis)
{
    struct bench_script_time found = {.p99_us = -1};
    const struct ls_reply *slow;
    const char *stats = test_redis_command(redis, "INFO", "latencystats", NULL)->text;
    const char *line = strstr(stats, "latency_percentiles_usec_evalsha:");

    if (line)
        found.p99_us = number_behind(line, "p99=");
    slow = test_redis_command(redis, "SLOWLOG", "GET", "100000", NULL);
    for (size_t i = 0; i < slow->count; i++) {
        const struct ls_reply *entry = &slow->items[i], *words = ls_reply_item(entry, 3);
        int64_t us = ls_reply_int(ls_reply_item(entry, 2), 0);

        if (ls_reply_is(ls_reply_item(words, 0), "EVALSHA") && us > found.max_us)
            found.max_us = (double)us;
    }
    return found;
}

/* -------- the measurements -------- */

static double bytes_a_job(int size)
{
    struct test_redis *redis = test_redis_start(NULL);
    double before = info(redis, "memory", "used_memory:"), after;

    fill(redis, "RPUSH", "lockstep:{default}:pending", MEMORY_JOBS, write_noop, &size);
    after = info(redis, "memory", "used_memory:");
    test_redis_stop(redis);
    return (after - before) / MEMORY_JOBS;
}

static struct bench_flat flat(const struct bench_options *options, long waiting)
{
    struct test_redis *redis = bench_redis(options);
    struct bench_flat found = {.waiting = waiting};
    int size = options->size;
    double begun;
    pid_t pid;

    fill(redis, "RPUSH", "lockstep:{default}:pending", waiting + MEASURED_JOBS, write_noop, &size);
    reset(redis);
    begun = bench_now_s();
    pid = bench_runner(redis, options, NULL);
    bench_wait_counter(redis, "done", MEASURED_JOBS, 120);
    found.jobs_per_s = MEASURED_JOBS / (bench_now_s() - begun);
    found.script = script_time(redis);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    test_redis_stop(redis);
    return found;
}

static struct bench_flat promotion(const struct bench_options *options)
{
    struct test_redis *redis = bench_redis(options);
    struct bench_flat found = {.waiting = DUE_JOBS};
    int size = options->size;
    double begun;
    pid_t pid;

    fill(redis, "ZADD", "lockstep:{default}:delayed", DUE_JOBS, write_noop, &size);
    reset(redis);
    begun = bench_now_s();
    pid = bench_runner(redis, options, NULL);
    bench_wait_counter(redis, "done", DUE_JOBS, 300);
    found.jobs_per_s = DUE_JOBS / (bench_now_s() - begun);
    found.script = script_time(redis);
    bench_stop(pid);
    test_redis_stop(redis);
    return found;
}

/* Commands a second of one idle runner: what only clients call. */
static double idle_commands(const struct bench_options *options)
{
    struct test_redis *redis = test_redis_start(NULL);
    pid_t pid = bench_runner(redis, options, NULL);
    double calls;

    nanosleep(&(struct timespec){.tv_sec = 8},
              NULL); /* the pauses of its poll have grown by then */
    reset(redis);
    nanosleep(&(struct timespec){.tv_sec = IDLE_S}, NULL);
    calls = info(redis, "commandstats", "cmdstat_evalsha:calls=");
    calls = (calls < 0 ? 0 : calls);
    if (info(redis, "commandstats", "cmdstat_blpop:calls=") > 0)
        calls += info(redis, "commandstats", "cmdstat_blpop:calls=");
    bench_stop(pid);
    test_redis_stop(redis);
    return calls / IDLE_S;
}

static void print_flat(const char *what, const struct bench_flat *found, double first)
{
    char p99[32] = "n/a";

    if (found->script.p99_us >= 0)
        snprintf(p99, sizeof(p99), "%.0f", found->script.p99_us);
    printf("  %-30s %12.0f   (%3.0f %%; script p99 %s us, longest %.0f us)\n", what,
           found->jobs_per_s, 100 * found->jobs_per_s / first, p99, found->script.max_us);
}

static void memory(const struct bench_options *options)
{
    printf("  bytes of Redis, waiting job of 400 bytes %4.0f   (450 at most)\n", bytes_a_job(400));
}

static void idle(const struct bench_options *options)
{
    printf("  client commands/s, idle runner %12.2f   (0.5 at most)\n", idle_commands(options));
}

static void lengths(const struct bench_options *options)
{
    static const struct {
        long waiting;
        const char *what;
    } rows[] = {{10000, "jobs/s, 10,000 waiting"},
                {1000000, "jobs/s, 1,000,000 waiting"},
                {3000000, "jobs/s, 3,000,000 waiting"}};
    double first = 0;

    for (size_t i = 0; i < LS_COUNT(rows); i++) {
        struct bench_flat found = flat(options, rows[i].waiting);

        first = i == 0 ? found.jobs_per_s : first;
        print_flat(rows[i].what, &found, first);
    }
}

static void due(const struct bench_options *options)
{
    struct bench_flat found = promotion(options);

    print_flat("jobs/s, 1,000,000 due at once", &found, found.jobs_per_s);
}

int bench_queue(const struct bench_options *options, const char *part)
{
    static const struct {
        const char *name;
        void (*run)(const struct bench_options *options);
    } parts[] = {{"memory", memory}, {"idle", idle},       {"length", lengths},
                 {"due", due},       {"fair", bench_fair}, {"budget", bench_budget}};
    struct bench_options own = *options;
    bool any = false;

    if (own.concurrency == BENCH_DEFAULT_CONCURRENCY)
        own.concurrency = 64; /* the default of the configuration, and with it the batch */
    printf("queue: one runner, concurrency %d, jobs of %d bytes, AOF %s\n", own.concurrency,
           own.size, own.aof);
    for (size_t i = 0; i < LS_COUNT(parts); i++) {
        if (part && strcmp(part, parts[i].name) != 0)
            continue;
        any = true;
        parts[i].run(&own);
        fflush(stdout);
    }
    if (!any)
        fprintf(stderr, "there is no part '%s': memory, idle, length, due, fair, budget\n", part);
    return any ? 0 : 2;
}
