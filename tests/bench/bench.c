#include "tests/bench/bench.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "tests/support/temp.h"
#include "worker/main.h"

double bench_now_s(void)
{
    return (double)ls_clock_mono_us() / 1e6;
}

struct bench_usage bench_usage_of(pid_t pid)
{
    struct bench_usage usage = {0};
    char path[64], line[512];
    unsigned long user = 0, kernel = 0;
    long kib;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (file) {
        const char *tail = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
        if (tail)
            sscanf(tail + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel);
        fclose(file);
    }
    usage.cpu_s = (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "RssAnon: %ld", &kib) == 1)
            usage.anon_mib = (double)kib / 1024;
    if (file)
        fclose(file);
    return usage;
}

struct test_redis *bench_redis(const struct bench_options *options)
{
    struct test_redis_options wanted = {.aof = strcmp(options->aof, "off") != 0};

    if (strcmp(options->aof, "always") == 0) {
        wanted.extra[0] = "--appendfsync";
        wanted.extra[1] = "always";
    }
    return test_redis_start(&wanted);
}

pid_t bench_runner(const struct test_redis *redis, const struct bench_options *options,
                   const char *more)
{
    struct ls_err err = LS_ERR_INIT;
    struct ls_role_context context = {
        .role = "runner", .control_fd = -1, .standalone = true, .grace_ms = 5000};
    struct ls_config *config;
    pid_t parent = getpid(), pid;
    char text[1024];

    snprintf(text, sizeof(text),
             "redis: %s\nstate_dir: %s\nqueues: {default: {concurrency: %d}}\n%s", redis->url,
             redis->dir, options->concurrency, more ? more : "");
    config = ls_config_parse(text, strlen(text), "bench", NULL, &err);
    if (!config) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    context.config = config;
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        ls_log_set_level(getenv("LS_BENCH_LOG") ? LS_LOG_DEBUG : LS_LOG_ERROR);
        _exit(ls_runner_main(&context));
    }
    ls_config_free(config);
    return pid;
}

int bench_stop(pid_t pid)
{
    int status = 0;

    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

double bench_script_calls(const struct test_redis *redis)
{
    char sha[64], line[4096], out[160];
    double rate;
    const char *last;
    ssize_t got;
    size_t length = 0;
    int fds[2];
    pid_t pid;

    snprintf(sha, sizeof(sha), "%s",
             test_redis_text((struct test_redis *)redis, "SCRIPT", "LOAD",
                             "return redis.call('INCR', KEYS[1])", NULL));
    snprintf(out, sizeof(out), "%s", redis->socket);
    ls_assert(pipe(fds) == 0);
    pid = fork();
    if (pid == 0) {
        dup2(fds[1], 1);
        close(fds[0]);
        execlp("redis-benchmark", "redis-benchmark", "-s", out, "-n", "500000", "-c", "4", "-P",
               "64", "--csv", "EVALSHA", sha, "1", "bench:n", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    while ((got = read(fds[0], line + length, sizeof(line) - 1 - length)) > 0)
        length += (size_t)got;
    line[length] = '\0';
    close(fds[0]);
    waitpid(pid, NULL, 0);
    last = strrchr(line, '\n') ? strstr(line, "\"EVALSHA")
                               : NULL; /* "EVALSHA ...","123456.78",... under a head line */
    last = last ? strstr(last, "\",\"") : NULL;
    rate = last ? strtod(last + 3, NULL) : 0;
    test_redis_command((struct test_redis *)redis, "DEL", "bench:n", NULL);
    return rate;
}

bool bench_wait_counter(struct test_redis *redis, const char *name, long long value,
                        double timeout_s)
{
    double until = bench_now_s() + timeout_s;

    while (bench_now_s() < until) {
        const char *text = test_redis_text(redis, "HGET", "lockstep:{default}:stats", name, NULL);
        if (strtoll(text, NULL, 10) >= value)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    return false;
}

static int usage(void)
{
    fputs(
        "usage: lockstep-bench noop|http|latency|queue [--jobs N] [--size BYTES] [--concurrency N] "
        "[--waiting "
        "N]\n"
        "                           [--aof off|everysec|always] [--json]\n",
        stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"jobs", required_argument, 0, 'n'},
                                          {"size", required_argument, 0, 's'},
                                          {"concurrency", required_argument, 0, 'c'},
                                          {"waiting", required_argument, 0, 'w'},
                                          {"aof", required_argument, 0, 'a'},
                                          {"json", no_argument, 0, 'j'},
                                          {0}};
    struct bench_options options = {.jobs = BENCH_DEFAULT_JOBS,
                                    .size = 200,
                                    .concurrency = BENCH_DEFAULT_CONCURRENCY,
                                    .aof = "off"};
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'n')
            options.jobs = strtol(optarg, NULL, 10);
        else if (c == 's')
            options.size = (int)strtol(optarg, NULL, 10);
        else if (c == 'c')
            options.concurrency = (int)strtol(optarg, NULL, 10);
        else if (c == 'w')
            options.waiting = (int)strtol(optarg, NULL, 10);
        else if (c == 'a')
            options.aof = optarg;
        else if (c == 'j')
            options.json = true;
        else
            return usage();
    }
    if (optind >= argc || strcmp(argv[optind], "noop") == 0)
        return bench_noop(&options);
    if (strcmp(argv[optind], "http") == 0)
        return bench_http(&options);
    if (strcmp(argv[optind], "latency") == 0)
        return bench_latency(&options);
    if (strcmp(argv[optind], "queue") == 0)
        return bench_queue(&options, optind + 1 < argc ? argv[optind + 1] : NULL);
    return usage();
}
