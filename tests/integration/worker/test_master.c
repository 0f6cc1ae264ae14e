/* The master with roles made for the test: no Redis but the embedded one, no configuration. Each
 * test runs a pool in a process of its own and watches its log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdlib.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "worker/child.h"
#include "worker/master/master.h"

#define DEADLINE_MS 15000

enum behaviour { GOOD, CRASH, HANG, FATAL, STUBBORN };

static struct {
    char dir[64], log[96], state_dir[96], socket[112];
    enum behaviour runner;
    struct ls_master_settings settings;
    pid_t pid; /* of the pool */
} pool;

/* ---- the roles ---- */

struct role {
    uv_loop_t loop;
    struct ls_child *child;
    const struct ls_role_context *context;
};

static void on_drain(void *arg, int grace_ms)
{
    struct role *role = arg;

    ls_log(LS_LOG_INFO, "test.drain", "%s within %d ms", role->context->role, grace_ms);
    if (pool.runner == STUBBORN && strcmp(role->context->role, "runner") == 0)
        return;
    ls_child_close(&role->child);
}

static void on_message(void *arg, const struct ls_message *message)
{
    if (message->type == LS_MESSAGE_CHILD_DIED)
        ls_log(LS_LOG_INFO, "test.told", "pid %d names %s", (int)message->pid, message->names[0]);
}

static int role_main(const struct ls_role_context *context)
{
    struct role role = {.context = context};
    bool runner = strcmp(context->role, "runner") == 0;
    const struct ls_child_hooks hooks = {on_drain, on_message};
    char name[64];
    const char *names[] = {name};
    struct ls_err err = LS_ERR_INIT;

    if (runner && pool.runner == CRASH)
        return LS_EXIT_FAILED;
    uv_loop_init(&role.loop);
    role.child = ls_child_new(&role.loop, context, &hooks, &role);
    if (runner && pool.runner == FATAL) {
        ls_fail(&err, LS_E_AUTH, "the password is wrong");
        ls_child_fatal(role.child, &err);
        ls_child_close(&role.child);
        uv_run(&role.loop, UV_RUN_DEFAULT);
        uv_loop_close(&role.loop);
        return LS_EXIT_FATAL;
    }
    snprintf(name, sizeof name, "host-%d-x", (int)getpid());
    if (runner)
        ls_child_names(role.child, names, 1);
    /* The line first: the master answers to the message at once, and the order is what is looked at. */
    ls_log(LS_LOG_INFO, "test.ready", "%s %d", context->role, context->index);
    ls_child_ready(role.child);
    if (runner && pool.runner == HANG)
        for (;;)
            pause();
    uv_run(&role.loop, UV_RUN_DEFAULT);
    uv_loop_close(&role.loop);
    return LS_EXIT_OK;
}

/* ---- the stage ---- */

static int set_up(void **state)
{
    memset(&pool, 0, sizeof pool);
    snprintf(pool.dir, sizeof pool.dir, "/tmp/ls-master-XXXXXX");
    assert_non_null(mkdtemp(pool.dir));
    snprintf(pool.log, sizeof pool.log, "%s/log", pool.dir);
    snprintf(pool.state_dir, sizeof pool.state_dir, "%s/state", pool.dir);
    snprintf(pool.socket, sizeof pool.socket, "%s/redis.sock", pool.state_dir);
    pool.settings = (struct ls_master_settings){
        .count = {[LS_ROLE_RUNNER] = 2, [LS_ROLE_SCHEDULER] = 1},
        .run = {role_main, role_main, role_main, role_main},
        .shutdown_grace_ms = 5000,
    };
    return 0;
}

static int tear_down(void **state)
{
    char command[128];

    if (pool.pid > 0) {
        kill(pool.pid, SIGKILL);
        waitpid(pool.pid, NULL, 0);
    }
    snprintf(command, sizeof command, "rm -rf '%s'", pool.dir);
    if (fork() == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(1);
    }
    wait(NULL);
    return 0;
}

static pid_t start_pool(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (ls_log_open(pool.log, NULL) < 0)
            _exit(99);
        exit(ls_master_run(&pool.settings));
    }
    return pid;
}

static char *log_text(void)
{
    static char text[200000];
    int fd = open(pool.log, O_RDONLY);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;

    text[length > 0 ? length : 0] = 0;
    if (fd >= 0)
        close(fd);
    return text;
}

static int count_in_log(const char *piece)
{
    int count = 0;

    for (char *at = log_text(); (at = strstr(at, piece)); at++)
        count++;
    return count;
}

static void short_pause(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static void wait_for_log(const char *piece, int times)
{
    int64_t deadline = ls_clock_mono_ms() + DEADLINE_MS;

    while (count_in_log(piece) < times) {
        if (ls_clock_mono_ms() > deadline)
            fail_msg("'%s' did not come %d times; the log:\n%s", piece, times, log_text());
        short_pause();
    }
}

static int wait_for_end(pid_t *pid)
{
    int64_t deadline = ls_clock_mono_ms() + DEADLINE_MS;
    int status;

    while (waitpid(*pid, &status, WNOHANG) == 0) {
        if (ls_clock_mono_ms() > deadline)
            fail_msg("the pool does not end; its log:\n%s", log_text());
        short_pause();
    }
    *pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static bool is_alive(pid_t pid)
{
    char path[64], text[256] = "";
    int fd;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY);
    if (fd < 0)
        return false;
    if (read(fd, text, sizeof text - 1) < 0)
        text[0] = 0;
    close(fd);
    return !strstr(text, ") Z ");
}

static void wait_for_death(pid_t pid)
{
    int64_t deadline = ls_clock_mono_ms() + DEADLINE_MS;

    while (is_alive(pid)) {
        if (ls_clock_mono_ms() > deadline)
            fail_msg("process %d still lives", (int)pid);
        short_pause();
    }
}

/* The pid after the n-th occurrence of piece. */
static pid_t pid_after(const char *piece, int n)
{
    char *at = log_text();

    while (n-- > 0) {
        at = strstr(at, piece);
        assert_non_null(at);
        at += strlen(piece);
    }
    return (pid_t)strtol(at, NULL, 10);
}

static void assert_order(const char *first, const char *second)
{
    char *text = log_text(), *a = strstr(text, first), *b = strstr(text, second);

    assert_non_null(a);
    assert_non_null(b);
    if (a > b)
        fail_msg("'%s' should come before '%s':\n%s", first, second, text);
}

static void add_redis(void)
{
    pool.settings.state_dir = pool.state_dir;
    pool.settings.redis_socket = pool.socket;
}

/* ---- the tests ---- */

static void master__sigterm__drains_the_runners_first_and_exits_0(void **state)
{
    pid_t runner;

    pool.pid = start_pool();
    wait_for_log("pool.ready", 1);
    runner = pid_after("runner 1 has pid ", 1);
    kill(pool.pid, SIGTERM);
    assert_int_equal(wait_for_end(&pool.pid), 0);
    assert_int_equal(count_in_log("test.drain: runner"), 2);
    assert_order("test.drain: runner", "test.drain: scheduler");
    assert_order("child.ended: runner", "test.drain: scheduler");
    assert_false(is_alive(runner));
}

static void
master__runner_is_killed__another_starts_and_the_scheduler_learns_its_names(void **state)
{
    char told[64];
    pid_t runner;

    pool.pid = start_pool();
    wait_for_log("pool.ready", 1);
    runner = pid_after("runner 0 has pid ", 1);
    kill(runner, SIGKILL);
    snprintf(told, sizeof told, "test.told: pid %d names host-%d-x", (int)runner, (int)runner);
    wait_for_log(told, 1);
    wait_for_log("test.ready: runner 0", 2);
    assert_int_equal(count_in_log("test.told"), 1);
    kill(pool.pid, SIGTERM);
    assert_int_equal(wait_for_end(&pool.pid), 0);
}

static void master__scheduler_dies_too__the_next_one_is_told_again(void **state)
{
    char told[64];
    pid_t runner, scheduler;

    pool.pid = start_pool();
    wait_for_log("pool.ready", 1);
    runner = pid_after("runner 0 has pid ", 1);
    scheduler = pid_after("scheduler 0 has pid ", 1);
    kill(runner, SIGKILL);
    snprintf(told, sizeof told, "test.told: pid %d ", (int)runner);
    wait_for_log(told, 1);
    kill(scheduler, SIGKILL);
    wait_for_log(told, 2);
    kill(pool.pid, SIGTERM);
    assert_int_equal(wait_for_end(&pool.pid), 0);
}

static void master__stubborn_runner__is_killed_when_the_grace_is_over(void **state)
{
    pool.runner = STUBBORN;
    pool.settings.shutdown_grace_ms = 500;
    pool.pid = start_pool();
    wait_for_log("pool.ready", 1);
    kill(pool.pid, SIGTERM);
    assert_int_equal(wait_for_end(&pool.pid), 1);
    wait_for_log("test.told", 2); /* its claims are free although the pool is ending */
    assert_int_equal(count_in_log("child.ended: scheduler"), 1);
}

static void master__second_sigterm__ends_everything_at_once(void **state)
{
    int64_t began;

    pool.runner = STUBBORN;
    pool.settings.shutdown_grace_ms = 60000;
    add_redis();
    pool.pid = start_pool();
    wait_for_log("pool.ready", 1);
    kill(pool.pid, SIGTERM);
    wait_for_log("test.drain: runner", 2);
    began = ls_clock_mono_ms();
    while (count_in_log("second signal") == 0 && ls_clock_mono_ms() - began < DEADLINE_MS) {
        kill(pool.pid, SIGTERM);
        short_pause();
    }
    assert_int_equal(wait_for_end(&pool.pid), 1);
    assert_true(ls_clock_mono_ms() - began < 5000);
}

static void master__hung_child__is_killed_by_the_watchdog_and_replaced(void **state)
{
    pool.runner = HANG;
    pool.settings.watchdog_ms = 300;
    pool.settings.count[LS_ROLE_RUNNER] = 1;
    pool.pid = start_pool();
    wait_for_log("(watchdog)", 2);
    assert_int_equal(count_in_log("gets SIGKILL: its loop does not turn") >= 2, 1);
    assert_int_equal(count_in_log("child.killed: scheduler"), 0);
}

static void master__crash_loop__is_bounded(void **state)
{
    int64_t began = ls_clock_mono_ms();

    pool.runner = CRASH;
    pool.settings.count[LS_ROLE_RUNNER] = 1;
    pool.pid = start_pool();
    wait_for_log("child.died: runner", 5);
    assert_true(ls_clock_mono_ms() - began >= 50 + 100 + 200 + 400);
    kill(pool.pid, SIGTERM);
    assert_int_equal(wait_for_end(&pool.pid), 0);
}

static void master__child_that_can_never_start__ends_the_pool_with_its_reason(void **state)
{
    pool.runner = FATAL;
    pool.pid = start_pool();
    assert_int_equal(wait_for_end(&pool.pid), 1);
    assert_int_equal(
        count_in_log("pool.failed: runner 0 cannot start: the password is wrong") +
                count_in_log("pool.failed: runner 1 cannot start: the password is wrong") >=
            1,
        1);
}

static void master__sighup__replaces_the_runners_one_by_one_and_reopens_the_log(void **state)
{
    char old[128];
    pid_t first;

    pool.pid = start_pool();
    wait_for_log("pool.ready", 1);
    first = pid_after("runner 0 has pid ", 1);
    snprintf(old, sizeof old, "%s.1", pool.log);
    assert_int_equal(rename(pool.log, old), 0);
    kill(pool.pid, SIGHUP);
    wait_for_log("test.ready: runner 0", 1);
    wait_for_log("test.ready: runner 1", 1);
    wait_for_log("child.ended: runner", 2);
    wait_for_log("test.ready: scheduler", 1);
    assert_order("test.ready: runner 0", "test.drain: runner"); /* first the new one */
    assert_false(is_alive(first));
    kill(pool.pid, SIGTERM);
    assert_int_equal(wait_for_end(&pool.pid), 0);
}

static void master__is_killed__its_children_and_its_redis_end(void **state)
{
    pid_t runner, scheduler, redis;

    add_redis();
    pool.pid = start_pool();
    wait_for_log("pool.ready", 1);
    runner = pid_after("runner 0 has pid ", 1);
    scheduler = pid_after("scheduler 0 has pid ", 1);
    redis = pid_after("redis-server answers (pid ", 1);
    kill(pool.pid, SIGKILL);
    wait_for_end(&pool.pid);
    wait_for_death(runner);
    wait_for_death(scheduler);
    wait_for_death(redis);
    pool.pid = start_pool(); /* the lock went with them */
    wait_for_log("pool.ready", 2);
    kill(pool.pid, SIGTERM);
    assert_int_equal(wait_for_end(&pool.pid), 0);
}

static void master__embedded_redis__is_private_and_is_stopped_last(void **state)
{
    struct stat status;
    pid_t redis;

    add_redis();
    pool.pid = start_pool();
    wait_for_log("pool.ready", 1);
    redis = pid_after("redis-server answers (pid ", 1);
    assert_int_equal(stat(pool.socket, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(stat(pool.state_dir, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    kill(redis, SIGKILL);
    wait_for_log("redis.restarted", 1);
    redis = pid_after("started again (pid ", 1);
    assert_true(is_alive(redis));
    kill(pool.pid, SIGTERM);
    assert_int_equal(wait_for_end(&pool.pid), 0);
    assert_false(is_alive(redis));
}

static void master__second_pool_on_one_state_dir__is_refused_by_name(void **state)
{
    char expected[200];
    pid_t second;

    add_redis();
    pool.pid = start_pool();
    wait_for_log("pool.ready", 1);
    second = start_pool();
    assert_int_equal(wait_for_end(&second), 1);
    snprintf(expected, sizeof expected,
             "pool.failed: state_dir '%s' is in use by another pool (pid %d)", pool.state_dir,
             (int)pool.pid);
    wait_for_log(expected, 1);
    kill(pool.pid, SIGTERM);
    assert_int_equal(wait_for_end(&pool.pid), 0);
}

static void master__second_pool_on_one_sqlite_store__is_refused_by_name(void **state)
{
    char store[128];
    pid_t second;

    snprintf(store, sizeof store, "%s/shop.db", pool.dir);
    pool.settings.store_path = store;
    pool.pid = start_pool();
    wait_for_log("pool.ready", 1);
    second = start_pool();
    assert_int_equal(wait_for_end(&second), 1);
    wait_for_log("shop.db' is in use by another pool", 1);
    kill(pool.pid, SIGTERM);
    assert_int_equal(wait_for_end(&pool.pid), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(master__sigterm__drains_the_runners_first_and_exits_0),
        TEST(master__runner_is_killed__another_starts_and_the_scheduler_learns_its_names),
        TEST(master__scheduler_dies_too__the_next_one_is_told_again),
        TEST(master__stubborn_runner__is_killed_when_the_grace_is_over),
        TEST(master__second_sigterm__ends_everything_at_once),
        TEST(master__hung_child__is_killed_by_the_watchdog_and_replaced),
        TEST(master__crash_loop__is_bounded),
        TEST(master__child_that_can_never_start__ends_the_pool_with_its_reason),
        TEST(master__sighup__replaces_the_runners_one_by_one_and_reopens_the_log),
        TEST(master__is_killed__its_children_and_its_redis_end),
        TEST(master__embedded_redis__is_private_and_is_stopped_last),
        TEST(master__second_pool_on_one_state_dir__is_refused_by_name),
        TEST(master__second_pool_on_one_sqlite_store__is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
