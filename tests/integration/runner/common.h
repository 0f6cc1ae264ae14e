/* What the tests of the runner share: keys by their short name, pushing raw, waiting for a state of
 * the queue. */
#ifndef LS_TESTS_INTEGRATION_RUNNER_COMMON_H
#define LS_TESTS_INTEGRATION_RUNNER_COMMON_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/queue/push.h"
#include "tests/support/redis.h"
#include "tests/support/temp.h"

#define KEY(name) "lockstep:{default}:" name

struct counter_wait {
    struct test_redis *redis;
    const char *name;
    long long value;
};

static inline bool counter_reached(void *arg)
{
    struct counter_wait *wait = arg;
    const char *text = test_redis_text(wait->redis, "HGET", KEY("stats"), wait->name, NULL);

    return strtoll(text, NULL, 10) >= wait->value;
}

/* Until a counter of stats has reached value. */
static inline bool wait_counter(struct test_redis *redis, const char *name, long long value,
                                int timeout_ms)
{
    return test_wait(counter_reached, &(struct counter_wait){redis, name, value}, timeout_ms);
}

static inline long long counter(struct test_redis *redis, const char *name)
{
    return strtoll(test_redis_text(redis, "HGET", KEY("stats"), name, NULL), NULL, 10);
}

/* The result of a job, which is told after its end has been counted; "(nil)" after a second. */
static inline const char *result_of_job(struct test_redis *redis, const char *id)
{
    char key[192];
    const char *text;

    snprintf(key, sizeof(key), KEY("result:%s"), id);
    for (int i = 0;; i++) {
        text = test_redis_text(redis, "GET", key, NULL);
        if (text[0] == '{' || i == 100)
            return text;
        usleep(10000);
    }
}

static inline void push_raw(struct test_redis *redis, const char *envelope)
{
    test_redis_command(redis, "RPUSH", KEY("pending"), envelope, NULL);
}

/* Cancel a job of the queue by its id. */
static inline void cancel_job(struct test_redis *redis, const char *id)
{
    struct ls_span ids[] = {{id, strlen(id)}};
    const struct ls_reply *reply;
    struct ls_cmd cmd = {0};
    struct ls_keys keys;

    test_redis_command(redis, "PING", NULL); /* connects */
    ls_assert(ls_keys_init(&keys, "default", NULL) == 0);
    ls_cancel_build(&cmd, &keys, &(struct ls_cancel){.ids = ids, .count = 1});
    ls_assert(ls_redis_sync_send(redis->sync, &cmd, &reply, NULL) == 0);
    ls_assert(ls_cancel_parse(reply, &(struct ls_cancelled){0}, NULL) == 0);
    ls_cmd_fini(&cmd);
    ls_keys_fini(&keys);
}

/* An http job to url with a body, pushed as any language would. */
static inline void push_http(struct test_redis *redis, const char *base, const char *path,
                             const char *more)
{
    char envelope[1024];

    snprintf(envelope, sizeof(envelope),
             "{\"kind\":\"http\",\"data\":{\"url\":\"%s%s\",\"body\":{\"a\":1}}%s}", base, path,
             more ? more : "");
    push_raw(redis, envelope);
}

static inline long long running_claims(struct test_redis *redis)
{
    const struct ls_reply *names = test_redis_command(redis, "KEYS", KEY("running:*"), NULL);
    long long claims = 0;
    size_t i, count = names->count;
    char keys[32][200];

    for (i = 0; i < count && i < 32; i++)
        snprintf(keys[i], sizeof(keys[i]), "%s", names->items[i].text);
    for (i = 0; i < count && i < 32; i++)
        claims += test_redis_int(redis, "HLEN", keys[i], NULL);
    return claims;
}

/* Jobs in any place but dead. */
static inline long long jobs_left(struct test_redis *redis)
{
    return test_redis_int(redis, "LLEN", KEY("pending"), NULL) +
           test_redis_int(redis, "LLEN", KEY("pending:high"), NULL) +
           test_redis_int(redis, "LLEN", KEY("pending:low"), NULL) +
           test_redis_int(redis, "ZCARD", KEY("delayed"), NULL) +
           test_redis_int(redis, "ZCARD", KEY("reserved"), NULL) +
           test_redis_int(redis, "ZCARD", KEY("held"), NULL) + running_claims(redis);
}

#endif
