/* A private redis-server for one test: unix socket (and TCP on a free port when asked) in a
 * temporary directory, killed with its test whatever happens to it (PR_SET_PDEATHSIG). */
#ifndef LS_TESTS_SUPPORT_REDIS_H
#define LS_TESTS_SUPPORT_REDIS_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/redis/reply.h"
#include "common/redis/sync.h"
#include "common/redis/url.h"

struct test_redis_options {
    bool aof;              /* appendonly yes, appendfsync everysec */
    bool tcp;              /* listen on 127.0.0.1 too: url_tcp */
    const char *password;  /* requirepass */
    const char *extra[16]; /* further arguments: "--maxmemory", "10mb", NULL */
};

struct test_redis {
    pid_t pid; /* 0: not running */
    int port;  /* 0: no TCP */
    char dir[96];
    char socket[108];
    char url[256];     /* unix://... with the password when there is one */
    char url_tcp[256]; /* redis://127.0.0.1:port, "" without tcp */
    struct test_redis_options options;
    struct ls_redis_sync *sync; /* owned; opened by test_redis_command */
};

/* Start it and wait until it answers; aborts the test when it does not within 10 s. Free with
 * test_redis_stop. NULL options: none. */
struct test_redis *test_redis_start(const struct test_redis_options *options);
/* SIGKILL, remove the directory. Accepts NULL. */
void test_redis_stop(struct test_redis *redis);
/* SIGKILL; the directory stays. */
void test_redis_kill(struct test_redis *redis);
/* After a kill: the same directory, sockets and options again; waits until it answers. */
void test_redis_restart(struct test_redis *redis);
/* SIGSTOP and SIGCONT. */
void test_redis_pause(struct test_redis *redis);
void test_redis_resume(struct test_redis *redis);

/* Run a command given as words; aborts the test on failure. The reply dies with the next command.
 */
const struct ls_reply *test_redis_command(struct test_redis *redis, const char *verb, ...)
    __attribute__((sentinel));
/* The same where the reply is an integer, or a string (copied into a static ring of 8 buffers,
 * "(nil)" when nil). */
long long test_redis_int(struct test_redis *redis, const char *verb, ...) __attribute__((sentinel));
const char *test_redis_text(struct test_redis *redis, const char *verb, ...)
    __attribute__((sentinel));

#endif
