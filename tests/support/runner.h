/* A runner (worker/runner) as a child process of the test, without a master. Tests that use it link
 * ls_worker too. */
#ifndef LS_TESTS_SUPPORT_RUNNER_H
#define LS_TESTS_SUPPORT_RUNNER_H

#include <stdbool.h>
#include <sys/types.h>

struct test_runner {
    pid_t pid;
    char log[160]; /* its log file */
    char dir[96];
};

/* yaml: further lines of the configuration beside redis and log; may be NULL. The lease is 3 s, the
 * beat 1 s unless yaml says so. Killed with the test. */
struct test_runner *test_runner_start(const char *redis_url, const char *yaml);
/* SIGTERM; its exit code, -1 when it did not end within timeout_ms (it is killed then). Frees. */
int test_runner_stop(struct test_runner *runner, int timeout_ms);
/* SIGKILL and wait. Frees. Accepts NULL. */
void test_runner_kill(struct test_runner *runner);
/* Does its log hold this text? */
bool test_runner_logged(struct test_runner *runner, const char *piece);

#endif
