#include "tests/support/redis.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/support/temp.h"

#define START_MS 10000
#define MAX_ARGS 64

static void exec_server(struct test_redis *redis, pid_t parent)
{
    const char *argv[MAX_ARGS], *program = getenv("REDIS_SERVER");
    char port[8], log[160];
    int count = 0, i, null;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(null, 1);
    snprintf(port, sizeof(port), "%d", redis->port);
    snprintf(log, sizeof(log), "%s/redis.log", redis->dir);
    const char *fixed[] = {program ? program : "redis-server",
                           "--port",
                           port,
                           "--bind",
                           "127.0.0.1",
                           "--unixsocket",
                           redis->socket,
                           "--dir",
                           redis->dir,
                           "--logfile",
                           log,
                           "--save",
                           "",
                           "--daemonize",
                           "no",
                           "--appendonly",
                           redis->options.aof ? "yes" : "no"};
    for (i = 0; i < (int)LS_COUNT(fixed); i++)
        argv[count++] = fixed[i];
    if (redis->options.password) {
        argv[count++] = "--requirepass";
        argv[count++] = redis->options.password;
    }
    for (i = 0; i < (int)LS_COUNT(redis->options.extra) && redis->options.extra[i]; i++)
        argv[count++] = redis->options.extra[i];
    argv[count] = NULL;
    execvp(argv[0], (char **)argv);
    perror(argv[0]);
    _exit(127);
}

static bool answers(void *arg)
{
    struct test_redis *redis = arg;
    struct ls_redis_url url;
    struct ls_redis_sync *sync;

    ls_assert(ls_redis_url_parse(&url, redis->url, NULL) == 0);
    sync = ls_redis_sync_open(&url, NULL, NULL);
    ls_redis_url_fini(&url);
    ls_redis_sync_close(sync);
    return sync != NULL;
}

void test_redis_restart(struct test_redis *redis)
{
    pid_t parent = getpid();

    ls_assert(redis->pid == 0);
    unlink(redis->socket);
    redis->pid = fork();
    ls_assert(redis->pid >= 0);
    if (redis->pid == 0)
        exec_server(redis, parent);
    if (!test_wait(answers, redis, START_MS)) {
        fprintf(stderr, "redis-server did not start, see %s/redis.log\n", redis->dir);
        abort();
    }
}

struct test_redis *test_redis_start(const struct test_redis_options *options)
{
    struct test_redis *redis = LS_NEW(struct test_redis);

    if (options)
        redis->options = *options;
    test_temp_dir(redis->dir, sizeof(redis->dir));
    snprintf(redis->socket, sizeof(redis->socket), "%s/r.sock", redis->dir);
    if (redis->options.password)
        snprintf(redis->url, sizeof(redis->url), "unix://%s?password=%s", redis->socket,
                 redis->options.password);
    else
        snprintf(redis->url, sizeof(redis->url), "unix://%s", redis->socket);
    if (redis->options.tcp) {
        redis->port = test_free_port();
        snprintf(redis->url_tcp, sizeof(redis->url_tcp), "redis://%s%s%s127.0.0.1:%d/0",
                 redis->options.password ? ":" : "",
                 redis->options.password ? redis->options.password : "",
                 redis->options.password ? "@" : "", redis->port);
    }
    test_redis_restart(redis);
    return redis;
}

void test_redis_kill(struct test_redis *redis)
{
    ls_redis_sync_close(redis->sync);
    redis->sync = NULL;
    if (redis->pid > 0) {
        kill(redis->pid, SIGKILL);
        waitpid(redis->pid, NULL, 0);
    }
    redis->pid = 0;
}

void test_redis_stop(struct test_redis *redis)
{
    if (!redis)
        return;
    test_redis_kill(redis);
    test_temp_remove(redis->dir);
    free(redis);
}

void test_redis_pause(struct test_redis *redis)
{
    kill(redis->pid, SIGSTOP);
}

void test_redis_resume(struct test_redis *redis)
{
    kill(redis->pid, SIGCONT);
}

/* -------- commands -------- */

static const struct ls_reply *run(struct test_redis *redis, const char *verb, va_list args)
{
    struct ls_err err = LS_ERR_INIT;
    struct ls_cmd cmd = {0};
    const struct ls_reply *reply = NULL;
    const char *word;

    if (!redis->sync) {
        struct ls_redis_url url;
        ls_assert(ls_redis_url_parse(&url, redis->url, NULL) == 0);
        redis->sync = ls_redis_sync_open(&url, NULL, &err);
        ls_redis_url_fini(&url);
    }
    ls_cmd_start(&cmd, verb);
    while ((word = va_arg(args, const char *)))
        ls_cmd_puts(&cmd, word);
    if (!redis->sync || ls_redis_sync_send(redis->sync, &cmd, &reply, &err) < 0) {
        fprintf(stderr, "%s: %s\n", verb, err.text);
        abort();
    }
    ls_cmd_fini(&cmd);
    return reply;
}

const struct ls_reply *test_redis_command(struct test_redis *redis, const char *verb, ...)
{
    const struct ls_reply *reply;
    va_list args;

    va_start(args, verb);
    reply = run(redis, verb, args);
    va_end(args);
    return reply;
}

long long test_redis_int(struct test_redis *redis, const char *verb, ...)
{
    long long value;
    va_list args;

    va_start(args, verb);
    value = ls_reply_int(run(redis, verb, args), -1);
    va_end(args);
    return value;
}

const char *test_redis_text(struct test_redis *redis, const char *verb, ...)
{
    static struct ls_buf ring[8];
    static unsigned next;
    struct ls_buf *out = &ring[next++ % 8];
    const struct ls_reply *reply;
    va_list args;

    va_start(args, verb);
    reply = run(redis, verb, args);
    va_end(args);
    ls_buf_clear(out);
    if (reply->type == LS_REPLY_NIL)
        ls_buf_puts(out, "(nil)");
    else if (reply->type == LS_REPLY_INTEGER)
        ls_buf_printf(out, "%lld", (long long)reply->integer);
    else
        ls_buf_add(out, ls_reply_span(reply).data ? ls_reply_span(reply).data : "",
                   ls_reply_span(reply).length);
    return out->data ? out->data : "";
}
