#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/job/json.h"
#include "tests/integration/runner/common.h"
#include "tests/support/runner.h"
#include "worker/main.h"

/* What the commands of the tests do; $D is the test's directory. */
static const char script[] =
    "#!/bin/sh\n"
    "D=$(dirname \"$0\")\n"
    "case $1 in\n"
    "env) cat >\"$D/stdin\"; env >\"$D/env\"; echo out; echo err >&2;;\n"
    "say) printf 'a\\tb\\n\"c\"'; echo noise >&2;;\n"
    "exit) echo 'only on stdout'; exit 3;;\n"
    "input) echo 'no such record' >&2; echo 'out' ; exit 65;;\n"
    "kill) kill -9 $$;;\n"
    "flood) head -c 300000000 /dev/zero | tr '\\000' 'x'; head -c 1000000 /dev/zero >&2;;\n"
    "endless) exec cat /dev/zero;;\n"
    "group) sleep 600 & echo $! >\"$D/pid\"; wait;;\n"
    "escape) setsid sh -c 'sh -c \"setsid sleep 601 & echo \\$! >$0/pid2; exit 0\" & echo $$ "
    ">$0/pid1; exec sleep 602' \"$D\" >/dev/null 2>&1 & sleep 0.3; [ \"$2\" ] && sleep 603; exit "
    "0;;\n"
    "brief) setsid sleep 0.2 >/dev/null 2>&1 & exit 0;;\n"
    "term) trap 'echo bye >\"$D/bye\"; exit 7' TERM; echo >\"$D/up\"; while :; do sleep 0.05; "
    "done;;\n"
    "deaf) trap '' TERM; echo >\"$D/up\"; while :; do sleep 0.05; done;;\n"
    "brief-sleep) exec sleep 0.3;;\n"
    "esac\n";

#define DONE "{\"state\":\"done\",\"result\":"

struct fixture {
    struct test_redis *redis;
    struct test_runner *runner;
    char dir[96], script[160];
};

static void start(struct fixture *fixture, const char *more)
{
    static const char *const words[] = {
        "env",   "say",     "exit",  "input",       "kill",
        "flood", "endless", "group", "escape",      "escape and stay",
        "brief", "term",    "deaf",  "brief-sleep", NULL};
    struct ls_buf yaml = {0};
    int i;

    ls_buf_printf(&yaml, "%sexec:\n  allow:\n", more ? more : "");
    for (i = 0; words[i]; i++)
        ls_buf_printf(&yaml, "    - \"%s %s\"\n", fixture->script, words[i]);
    ls_buf_printf(&yaml, "    - /nonexistent/command\n    - \"%s/plain\"\n    - \"   \"\n",
                  fixture->dir);
    fixture->runner = test_runner_start(fixture->redis->url, yaml.data);
    ls_buf_fini(&yaml);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    char path[160];
    FILE *file;

    fixture->redis = test_redis_start(NULL);
    test_temp_dir(fixture->dir, sizeof(fixture->dir));
    snprintf(fixture->script, sizeof(fixture->script), "%s/job.sh", fixture->dir);
    file = fopen(fixture->script, "we");
    fputs(script, file);
    fclose(file);
    chmod(fixture->script, 0755);
    snprintf(path, sizeof(path), "%s/plain", fixture->dir);
    fclose(fopen(path, "we")); /* not executable */
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    test_runner_kill(fixture->runner);
    test_redis_stop(fixture->redis);
    test_temp_remove(fixture->dir);
    free(fixture);
    return 0;
}

static int stop(struct fixture *fixture)
{
    int code = test_runner_stop(fixture->runner, 8000);

    fixture->runner = NULL;
    return code;
}

static void push(struct fixture *fixture, const char *id, const char *word, const char *more)
{
    char envelope[1024];

    snprintf(envelope, sizeof(envelope),
             "{\"id\":\"%s\",\"kind\":\"exec\",\"data\":{\"command\":\"%s %s\",\"x\": 1.10}%s}", id,
             fixture->script, word, more);
    push_raw(fixture->redis, envelope);
}

/* What a command wrote; "" when it did not. */
static const char *text_of(struct fixture *fixture, const char *name)
{
    static char text[16384];
    char path[160];
    size_t length = 0;
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", fixture->dir, name);
    file = fopen(path, "re");
    if (file) {
        length = fread(text, 1, sizeof(text) - 1, file);
        fclose(file);
    }
    text[length] = '\0';
    return text;
}

struct file_wait {
    struct fixture *fixture;
    const char *name;
};

static bool is_there(void *arg)
{
    struct file_wait *wait = arg;

    return text_of(wait->fixture, wait->name)[0] != '\0';
}

static bool wait_file(struct fixture *fixture, const char *name)
{
    return test_wait(is_there, &(struct file_wait){fixture, name}, 8000);
}

static bool is_gone(void *arg)
{
    char path[64], state = 'Z';
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%ld/stat", *(long *)arg);
    file = fopen(path, "re");
    if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = 'Z';
    if (file)
        fclose(file);
    return state == 'Z';
}

/* The process whose number the command left in a file ends. */
static void assert_dies(struct fixture *fixture, const char *name)
{
    long pid;

    assert_true(wait_file(fixture, name));
    pid = strtol(text_of(fixture, name), NULL, 10);
    assert_true(pid > 1);
    if (!test_wait(is_gone, &pid, 5000))
        fail_msg("process %ld of '%s' lives on", pid, name);
}

static const char *letter(struct fixture *fixture)
{
    return test_redis_text(fixture->redis, "LINDEX", KEY("dead"), "0", NULL);
}

static const char *result_of(struct fixture *fixture, const char *id)
{
    return result_of_job(fixture->redis, id);
}

static bool has_result(void *arg)
{
    const char **names = arg;

    return result_of((struct fixture *)(void *)names[0], names[1])[0] == '{';
}

static void exec__environment_and_input__as_documented(void **state)
{
    struct fixture *fixture = *state;
    const char *env;

    setenv("LOCKSTEP_JOB_ID", "somebody else's", 1);
    start(fixture, NULL);
    unsetenv("LOCKSTEP_JOB_ID");
    push(fixture, "job-1", "env", ",\"key\":\"k/1\",\"account\":\"shop\"");
    assert_true(wait_counter(fixture->redis, "done", 1, 8000));
    assert_non_null(strstr(text_of(fixture, "stdin"), "\"x\": 1.10}"));
    env = text_of(fixture, "env");
    assert_non_null(strstr(env, "LOCKSTEP_JOB_ID=job-1\n"));
    assert_null(strstr(env, "somebody"));
    assert_non_null(strstr(env, "LOCKSTEP_KEY=k/1\n"));
    assert_non_null(strstr(env, "LOCKSTEP_ACCOUNT=shop\n"));
    assert_non_null(strstr(env, "LOCKSTEP_QUEUE=default\n"));
    assert_non_null(strstr(env, "LOCKSTEP_ATTEMPT=1\n"));
    assert_true(strtoll(strstr(env, "LOCKSTEP_FENCE=") + 15, NULL, 10) > 1000);
    assert_non_null(strstr(env, "PATH="));
    assert_int_equal(stop(fixture), 0);
}

static void exec__result__is_standard_output_alone(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, NULL);
    push(fixture, "r1", "say", ",\"result\":true");
    push(fixture, "r2", "brief-sleep", ",\"result\":true");
    push(fixture, "r3", "say", "");
    assert_true(wait_counter(fixture->redis, "done", 3, 8000));
    assert_string_equal(result_of(fixture, "r1"),
                        DONE "{\"exit\":0,\"output\":\"a\\u0009b\\n\\\"c\\\"\"}}");
    assert_string_equal(result_of(fixture, "r2"), DONE "{\"exit\":0,\"output\":\"\"}}");
    assert_string_equal(result_of(fixture, "r3"), "(nil)");
    assert_int_equal(stop(fixture), 0);
}

static void exec__failures__are_named_by_code_and_first_line(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, NULL);
    push(fixture, "f1", "exit", ",\"max_attempts\":1");
    assert_true(wait_counter(fixture->redis, "dead", 1, 8000));
    assert_non_null(strstr(letter(fixture), "exit code 3: only on stdout"));
    assert_non_null(strstr(letter(fixture), "\"code\":\"exit-3\""));
    assert_non_null(strstr(letter(fixture), "\"class\":\"transient\""));
    push(fixture, "f2", "input", "");
    assert_true(wait_counter(fixture->redis, "dead", 2, 8000));
    assert_non_null(strstr(letter(fixture), "exit code 65: no such record"));
    assert_non_null(strstr(letter(fixture), "\"class\":\"permanent\""));
    push(fixture, "f3", "kill", ",\"max_attempts\":1");
    assert_true(wait_counter(fixture->redis, "dead", 3, 8000));
    assert_non_null(strstr(letter(fixture), "killed by signal 9"));
    assert_non_null(strstr(letter(fixture), "\"code\":\"signal-9\""));
    push_raw(fixture->redis, "{\"kind\":\"exec\",\"data\":{\"command\":\"/nonexistent/command\"}}");
    assert_true(wait_counter(fixture->redis, "dead", 4, 8000));
    assert_non_null(strstr(letter(fixture), "no such file or directory"));
    assert_non_null(strstr(letter(fixture), "\"code\":\"exit-127\""));
    push_raw(fixture->redis, "{\"kind\":\"exec\",\"data\":{\"command\":\"   \"}}");
    assert_true(wait_counter(fixture->redis, "dead", 5, 8000));
    assert_non_null(strstr(letter(fixture), "has no words"));
    assert_int_equal(stop(fixture), 0);
}

static long anonymous_kib(pid_t pid)
{
    char path[64], line[256];
    long kib = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        sscanf(line, "RssAnon: %ld", &kib);
    if (file)
        fclose(file);
    return kib;
}

static void exec__writes_without_end__is_read_dropped_and_bounded(void **state)
{
    struct fixture *fixture = *state;
    const char *result;
    int i;

    start(fixture, NULL);
    push(fixture, "big", "flood", ",\"result\":true");
    push(fixture, "mad", "endless", ",\"timeout\":1500,\"max_attempts\":1");
    for (i = 0; i < 10; i++)
        push_raw(fixture->redis, "{\"kind\":\"noop\"}");
    assert_true(wait_counter(fixture->redis, "done", 10, 1400)); /* nobody waits for it */
    assert_true(wait_counter(fixture->redis, "done", 11, 20000));
    assert_true(wait_counter(fixture->redis, "dead", 1, 8000));
    assert_non_null(strstr(letter(fixture), "job timeout"));
    result = result_of(fixture, "big");
    assert_true(strlen(result) > 60000 && strlen(result) <= 65536 + sizeof(DONE));
    assert_true(ls_json_valid(result, strlen(result), 8));
    assert_non_null(strstr(result, "xxx\",\"truncated\":true}}"));
#ifndef __SANITIZE_ADDRESS__ /* whose shadow is not the runner's memory */
    assert_in_range(anonymous_kib(fixture->runner->pid), 1, 8 * 1024);
#else
    (void)anonymous_kib;
#endif
    assert_int_equal(stop(fixture), 0);
}

static void exec__its_group__dies_at_its_timeout(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, NULL);
    push(fixture, "g", "group", ",\"timeout\":400,\"max_attempts\":1");
    assert_true(wait_counter(fixture->redis, "dead", 1, 8000));
    assert_dies(fixture, "pid");
    assert_int_equal(stop(fixture), 0);
}

/* A session of its own, and in it a child that makes another one and is orphaned. */
static void exec__what_left_the_group__dies_with_the_command(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, NULL);
    push(fixture, "e", "escape", "");
    assert_true(wait_counter(fixture->redis, "done", 1, 8000));
    assert_dies(fixture, "pid1");
    assert_dies(fixture, "pid2");
    assert_true(test_runner_logged(fixture->runner, "exec.orphans"));
    assert_int_equal(stop(fixture), 0);
}

static void
exec__what_left_the_group__dies_at_the_timeout_and_at_the_end_of_the_runner(void **state)
{
    struct fixture *fixture = *state;
    char path[160];

    start(fixture, "shutdown_grace: 1s\n");
    push(fixture, "e", "escape and stay", ",\"timeout\":800,\"max_attempts\":1");
    assert_true(wait_counter(fixture->redis, "dead", 1, 8000));
    assert_dies(fixture, "pid1");
    assert_dies(fixture, "pid2");
    snprintf(path, sizeof(path), "%s/pid1", fixture->dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/pid2", fixture->dir);
    unlink(path);
    push(fixture, "f", "escape and stay", "");
    assert_true(wait_file(fixture, "pid1"));
    assert_true(wait_file(fixture, "pid2"));
    assert_int_equal(stop(fixture), 0);
    assert_dies(fixture, "pid1");
    assert_dies(fixture, "pid2");
    assert_int_equal(jobs_left(fixture->redis), 1);
}

static int children_of(pid_t pid)
{
    char path[64];
    int count = 0, child;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    file = fopen(path, "re");
    while (file && fscanf(file, "%d", &child) == 1)
        count++;
    if (file)
        fclose(file);
    return count;
}

static bool is_childless(void *arg)
{
    return children_of(*(pid_t *)arg) == 0;
}

static void exec__orphans_that_end_by_themselves__are_reaped(void **state)
{
    struct fixture *fixture = *state;
    char id[16];
    int i;

    start(fixture, NULL);
    for (i = 0; i < 20; i++) {
        snprintf(id, sizeof(id), "b%d", i);
        push(fixture, id, "brief", "");
    }
    assert_true(wait_counter(fixture->redis, "done", 20, 8000));
    assert_true(test_wait(is_childless, &fixture->runner->pid, 5000));
    assert_int_equal(stop(fixture), 0);
}

static const char *wait_result(struct fixture *fixture, const char *id)
{
    const char *names[] = {(const char *)fixture, id};

    assert_true(test_wait(has_result, names, 8000));
    return result_of(fixture, id);
}

static void exec__cancelled__gets_sigterm_and_then_sigkill(void **state)
{
    struct fixture *fixture = *state;
    char path[160];

    start(fixture, "cancel_grace: 500ms\n");
    push(fixture, "t", "term", ",\"result\":true");
    assert_true(wait_file(fixture, "up"));
    cancel_job(fixture->redis, "t");
    assert_string_equal(wait_result(fixture, "t"), "{\"state\":\"cancelled\"}");
    assert_string_equal(text_of(fixture, "bye"), "bye\n");
    snprintf(path, sizeof(path), "%s/up", fixture->dir);
    unlink(path);
    push(fixture, "d", "deaf", ",\"result\":true");
    assert_true(wait_file(fixture, "up"));
    cancel_job(fixture->redis, "d");
    assert_string_equal(wait_result(fixture, "d"), "{\"state\":\"cancelled\"}");
    assert_true(test_wait(is_childless, &fixture->runner->pid, 5000));
    assert_int_equal(jobs_left(fixture->redis), 0);
    assert_int_equal(stop(fixture), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(exec__environment_and_input__as_documented),
        TEST(exec__result__is_standard_output_alone),
        TEST(exec__failures__are_named_by_code_and_first_line),
        TEST(exec__writes_without_end__is_read_dropped_and_bounded),
        TEST(exec__its_group__dies_at_its_timeout),
        TEST(exec__what_left_the_group__dies_with_the_command),
        TEST(exec__what_left_the_group__dies_at_the_timeout_and_at_the_end_of_the_runner),
        TEST(exec__cancelled__gets_sigterm_and_then_sigkill),
        TEST(exec__orphans_that_end_by_themselves__are_reaped),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
