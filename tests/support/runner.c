#include "tests/support/runner.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "tests/support/temp.h"
#include "worker/main.h"

static _Noreturn void become_runner(struct test_runner *runner, const char *yaml, pid_t parent)
{
    struct ls_role_context context = {
        .role = "runner", .control_fd = -1, .standalone = true, .grace_ms = 3000};
    struct ls_err err = LS_ERR_INIT;
    struct ls_config *config;
    int code;
    char sink[192];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    snprintf(sink, sizeof(sink), "file:%s", runner->log);
    ls_log_open(sink, NULL);
    config = ls_config_parse(yaml, strlen(yaml), "test", runner->dir, &err);
    if (!config) {
        fprintf(stderr, "%s\n", err.text);
        _exit(99);
    }
    context.config = config;
    context.grace_ms = (int)config->shutdown_grace_ms;
    code = ls_runner_main(&context);
    ls_config_free(config);
    exit(code); /* not _exit: a sanitizer looks for leaks then */
}

struct test_runner *test_runner_start(const char *redis_url, const char *yaml)
{
    struct test_runner *runner = LS_NEW(struct test_runner);
    struct ls_buf text = {0};
    pid_t parent = getpid();

    test_temp_dir(runner->dir, sizeof(runner->dir));
    snprintf(runner->log, sizeof(runner->log), "%s/log", runner->dir);
    ls_buf_printf(&text, "redis: %s\nstate_dir: %s\n", redis_url, runner->dir);
    if (!yaml || !strstr(yaml, "lease:"))
        ls_buf_puts(&text, "lease: 3s\nbeat: 1s\n");
    if (yaml)
        ls_buf_puts(&text, yaml);
    fflush(NULL);
    runner->pid = fork();
    ls_assert(runner->pid >= 0);
    if (runner->pid == 0)
        become_runner(runner, text.data, parent);
    ls_buf_fini(&text);
    return runner;
}

static bool has_ended(void *arg)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)((struct test_runner *)arg)->pid, &info,
                  WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid != 0;
}

static void release(struct test_runner *runner)
{
    test_temp_remove(runner->dir);
    free(runner);
}

int test_runner_stop(struct test_runner *runner, int timeout_ms)
{
    int status = 0, code = -1;

    kill(runner->pid, SIGTERM);
    if (test_wait(has_ended, runner, timeout_ms)) {
        waitpid(runner->pid, &status, 0);
        code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        release(runner);
        return code;
    }
    test_runner_kill(runner);
    return -1;
}

void test_runner_kill(struct test_runner *runner)
{
    if (!runner)
        return;
    kill(runner->pid, SIGKILL);
    waitpid(runner->pid, NULL, 0);
    release(runner);
}

bool test_runner_logged(struct test_runner *runner, const char *piece)
{
    struct ls_buf text = {0};
    char bytes[4096];
    ssize_t got;
    bool has;
    int fd = open(runner->log, O_RDONLY | O_CLOEXEC);

    while (fd >= 0 && (got = read(fd, bytes, sizeof(bytes))) > 0)
        ls_buf_add(&text, bytes, (size_t)got);
    if (fd >= 0)
        close(fd);
    has = text.data && strstr(text.data, piece);
    ls_buf_fini(&text);
    return has;
}
