/* A Redis, an HTTP server that notes what it was asked, and the runner that the test starts: fresh
 * for each test. */
#ifndef LS_TESTS_INTEGRATION_RUNNER_FIXTURE_H
#define LS_TESTS_INTEGRATION_RUNNER_FIXTURE_H

#include <stdlib.h>

#include "tests/support/http_server.h"
#include "tests/support/redis.h"
#include "tests/support/runner.h"

struct fixture {
    struct test_redis *redis;
    struct test_http *http;
    struct test_runner *runner;
};

static inline int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    fixture->redis = test_redis_start(NULL);
    fixture->http = test_http_start();
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;

    test_runner_kill(fixture->runner);
    test_http_stop(fixture->http);
    test_redis_stop(fixture->redis);
    free(fixture);
    return 0;
}

/* Its exit code. */
static inline int stop(struct fixture *fixture)
{
    int code = test_runner_stop(fixture->runner, 8000);

    fixture->runner = NULL;
    return code;
}

#endif
