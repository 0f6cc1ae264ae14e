#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/integration/runner/common.h"
#include "tests/support/runner.h"
#include "worker/main.h"

#define DONE "{\"state\":\"done\",\"result\":"

struct fixture {
    struct test_redis *redis;
    struct test_runner *runner;
    char dir[96], notes[128];
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    fixture->redis = test_redis_start(NULL);
    test_temp_dir(fixture->dir, sizeof(fixture->dir));
    snprintf(fixture->notes, sizeof(fixture->notes), "%s/notes", fixture->dir);
    setenv("LS_TEST_NOTES", fixture->notes, 1);
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

static const char *object(const char *name)
{
    static char path[4][600];
    static unsigned turn;
    char *out = path[turn++ % 4];

    snprintf(out, sizeof(path[0]), "%s/tests/objects/%s.so", getenv("LS_BUILD_DIR"), name);
    return out;
}

/* more: further lines of the configuration; kinds: "t-tell t-fail:500ms", each with its timeout. */
static void start(struct fixture *fixture, const char *more, const char *kinds)
{
    struct ls_buf yaml = {0};
    char *copy = ls_xstrdup(kinds), *save = NULL, *word;

    ls_buf_puts(&yaml, more ? more : "");
    ls_buf_puts(&yaml, "handlers:\n");
    for (word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        const char *timeout = strchr(word, ':');
        ls_buf_printf(&yaml, "  %.*s: {library: \"%s\", timeout: %s}\n", (int)strcspn(word, ":"),
                      word, object("test_object"), timeout ? timeout + 1 : "60s");
    }
    fixture->runner = test_runner_start(fixture->redis->url, yaml.data);
    ls_buf_fini(&yaml);
    free(copy);
}

static int stop(struct fixture *fixture)
{
    int code = test_runner_stop(fixture->runner, 12000);

    fixture->runner = NULL;
    return code;
}

static int notes_of(struct fixture *fixture, const char *line)
{
    FILE *file = fopen(fixture->notes, "re");
    char text[256];
    int count = 0;

    while (file && fgets(text, sizeof(text), file)) {
        text[strcspn(text, "\n")] = '\0';
        count += strcmp(text, line) == 0;
    }
    if (file)
        fclose(file);
    return count;
}

struct note_wait {
    struct fixture *fixture;
    const char *line;
    int count;
};

static bool noted(void *arg)
{
    struct note_wait *wait = arg;

    return notes_of(wait->fixture, wait->line) >= wait->count;
}

static bool wait_note(struct fixture *fixture, const char *line, int count)
{
    return test_wait(noted, &(struct note_wait){fixture, line, count}, 10000);
}

static void push(struct fixture *fixture, const char *id, const char *kind, const char *data,
                 const char *more)
{
    char envelope[1024];

    snprintf(envelope, sizeof(envelope), "{\"id\":\"%s\",\"kind\":\"%s\",\"data\":%s%s}", id, kind,
             data, more);
    push_raw(fixture->redis, envelope);
}

/* The result of a job that asked for it. */
static const char *result_of(struct fixture *fixture, const char *id)
{
    return result_of_job(fixture->redis, id);
}

static const char *letter(struct fixture *fixture, const char *index)
{
    return test_redis_text(fixture->redis, "LINDEX", KEY("dead"), index, NULL);
}

static bool has_ended(void *arg)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)((struct fixture *)arg)->runner->pid, &info,
                  WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid != 0;
}

static bool logged(void *arg)
{
    const char **names = arg;

    return test_runner_logged((struct test_runner *)(void *)names[0], names[1]);
}

static bool wait_log(struct fixture *fixture, const char *piece)
{
    const char *names[] = {(const char *)fixture->runner, piece};

    return test_wait(logged, names, 10000);
}

static bool shows_progress(void *arg)
{
    const char **names = arg;

    return strstr(test_redis_text((struct test_redis *)(void *)names[0], "EVAL",
                                  "return redis.call('HVALS', KEYS[1])[1] or ''", "1",
                                  KEY("progress"), NULL),
                  names[1]) != NULL;
}

/* -------- the whole way -------- */

static void handler__blocking__knows_its_job_and_keeps_a_result(void **state)
{
    struct fixture *fixture = *state;
    const char *result;

    start(fixture, NULL, "t-tell");
    push_raw(fixture->redis, "{\"id\":\"j1\",\"kind\":\"t-tell\",\"account\":\"shop\",\"key\":"
                             "\"k/1\",\"data\":{\"a\": 1.10},\"result\":true}");
    result = result_of(fixture, "j1");
    assert_non_null(strstr(result, "\"id\":\"j1\",\"kind\":\"t-tell\",\"account\":\"shop\","
                                   "\"key\":\"k/1\",\"queue\":\"default\",\"attempt\":1,"
                                   "\"data\":{\"a\": 1.10},\"fenced\":true,\"may_write\":1,"
                                   "\"left\":true,\"cancelled\":0,\"wants\":1,\"self\":\"mine\","
                                   "\"term\":1,\"segv\":0"));
    assert_int_equal(notes_of(fixture, "opened"), 1);
    push(fixture, "j2", "t-tell", "null", "");
    assert_true(wait_counter(fixture->redis, "done", 2, 6000));
    assert_int_equal(test_redis_int(fixture->redis, "EXISTS", KEY("result:j2"), NULL), 0);
    assert_int_equal(jobs_left(fixture->redis), 0);
    assert_int_equal(stop(fixture), 0);
    assert_int_equal(notes_of(fixture, "closed"), 1);
}

static void handler__each_ending__does_what_it_says(void **state)
{
    static const char once[] = ",\"max_attempts\":1";
    static const char quick[] = ",\"backoff\":{\"type\":\"fixed\",\"base\":20,\"jitter\":\"none\"}";
    struct fixture *fixture = *state;

    start(fixture, NULL, "t-fail t-count");
    push(fixture, "f0", "t-fail", "{\"how\":0}", "");
    push(fixture, "f7", "t-fail", "{\"how\":7}", "");
    push(fixture, "f8", "t-fail", "{\"how\":8,\"page\":0}", quick);
    push(fixture, "n", "t-count", "{\"n\":0}", "");
    assert_true(wait_counter(fixture->redis, "done", 4, 8000));
    assert_int_equal(counter(fixture->redis, "again"), 3);
    push(fixture, "f1", "t-fail", "{\"how\":1}", once);
    assert_true(wait_counter(fixture->redis, "dead", 1, 6000));
    assert_non_null(strstr(letter(fixture, "0"), "the handler returned 7"));
    push(fixture, "f2", "t-fail", "{\"how\":2}", once);
    assert_true(wait_counter(fixture->redis, "dead", 2, 6000));
    assert_non_null(strstr(letter(fixture, "0"), "not today"));
    assert_non_null(strstr(letter(fixture, "0"), "\"class\":\"transient\""));
    push(fixture, "f3", "t-fail", "{\"how\":3}", "");
    assert_true(wait_counter(fixture->redis, "dead", 3, 6000));
    assert_non_null(strstr(letter(fixture, "0"), "never 3"));
    assert_non_null(strstr(letter(fixture, "0"), "\"class\":\"permanent\""));
    push(fixture, "f5", "t-fail", "{\"how\":5}", "");
    assert_true(wait_counter(fixture->redis, "dead", 4, 6000));
    assert_non_null(strstr(letter(fixture, "0"), "new data is not JSON"));
    push(fixture, "f6", "t-fail", "{\"how\":6}", "");
    assert_true(wait_counter(fixture->redis, "dead", 5, 6000));
    assert_non_null(strstr(letter(fixture, "0"), "the disk is full"));
    assert_non_null(strstr(letter(fixture, "0"), "\"code\":\"disk-full\""));
    assert_int_equal(jobs_left(fixture->redis), 0);
    push(fixture, "f4", "t-fail", "{\"how\":4}", ",\"account\":\"shop\"");
    assert_true(wait_counter(fixture->redis, "throttled", 1, 6000));
    assert_true(test_runner_logged(fixture->runner, "account.parked"));
    assert_int_equal(test_redis_int(fixture->redis, "LLEN", KEY("dead"), NULL), 5);
    assert_int_equal(jobs_left(fixture->redis), 1);
    assert_int_equal(stop(fixture), 0);
}

static void handler__async__ends_from_its_own_timer(void **state)
{
    struct fixture *fixture = *state;
    int i;

    start(fixture, NULL, "t-wait");
    for (i = 0; i < 30; i++) {
        char id[16];
        snprintf(id, sizeof(id), "w%d", i);
        push(fixture, id, "t-wait", i % 3 ? "{\"ms\":30}" : "{\"ms\":0}", "");
    }
    push(fixture, "w", "t-wait", "{\"ms\":5}", ",\"result\":true");
    push(fixture, "x", "t-wait", "{\"ms\":5,\"fail\":1}", ",\"max_attempts\":1");
    push(fixture, "y", "t-wait", "{}", "");
    assert_string_equal(result_of(fixture, "w"), DONE "\"later\"}");
    assert_true(wait_counter(fixture->redis, "done", 31, 8000));
    assert_true(wait_counter(fixture->redis, "dead", 2, 8000));
    assert_int_equal(notes_of(fixture, "cancelled"), 0);
    assert_int_equal(jobs_left(fixture->redis), 0);
    assert_int_equal(stop(fixture), 0);
}

static void handler__async_deadline_and_shutdown__are_told_by_cancel(void **state)
{
    struct fixture *fixture = *state;
    const char *waiting[] = {(const char *)fixture->redis, "0 1 waiting"};

    start(fixture, "shutdown_grace: 1s\n", "t-wait:200ms");
    push(fixture, "late", "t-wait", "{\"ms\":60000}", ",\"max_attempts\":1");
    assert_true(wait_counter(fixture->redis, "dead", 1, 8000));
    assert_non_null(strstr(letter(fixture, "0"), "job timeout: not done after 200ms"));
    assert_non_null(strstr(letter(fixture, "0"), "\"class\":\"unknown\""));
    assert_int_equal(notes_of(fixture, "cancelled"), 1);
    push(fixture, "long", "t-wait", "{\"ms\":60001}", ",\"timeout\":60000");
    assert_true(test_wait(shows_progress, waiting, 8000));
    assert_int_equal(stop(fixture), 0);
    assert_int_equal(notes_of(fixture, "cancelled"), 2);
    assert_int_equal(jobs_left(fixture->redis), 1);
}

static void handler__cxx__is_served(void **state)
{
    struct fixture *fixture = *state;
    struct ls_buf yaml = {0};

    if (access(object("test_object_cxx"), R_OK) < 0)
        skip(); /* no C++ compiler here */
    ls_buf_printf(&yaml, "handlers: {t-hello: {library: \"%s\"}, t-no: {library: \"%s\"}}\n",
                  object("test_object_cxx"), object("test_object_cxx"));
    fixture->runner = test_runner_start(fixture->redis->url, yaml.data);
    ls_buf_fini(&yaml);
    push(fixture, "c1", "t-hello", "1", ",\"result\":true");
    push(fixture, "c2", "t-no", "1", "");
    assert_string_equal(result_of(fixture, "c1"), DONE "\"hello c1\"}");
    assert_true(wait_counter(fixture->redis, "dead", 1, 8000));
    assert_non_null(strstr(letter(fixture, "0"), "t-no is not done here"));
    assert_int_equal(stop(fixture), 0);
}

static void handler__the_example__counts_words_and_goes_on(void **state)
{
    struct fixture *fixture = *state;
    char path[128], data[256];
    FILE *file;
    int i;

    snprintf(path, sizeof(path), "%s/text", fixture->dir);
    file = fopen(path, "we");
    for (i = 0; i < 50000; i++)
        fputs("one two\n", file);
    fclose(file);
    snprintf(data, sizeof(data), "handlers: {count-words: {library: \"%s\"}}\n",
             object("example_words"));
    fixture->runner = test_runner_start(fixture->redis->url, data);
    snprintf(data, sizeof(data), "{\"path\":\"%s\"}", path);
    push(fixture, "w1", "count-words", data, ",\"result\":true");
    assert_string_equal(result_of(fixture, "w1"), DONE "{\"words\":100000}}");
    snprintf(data, sizeof(data), "{\"path\":\"%s\",\"offset\":399993,\"words\":7,\"inside\":true}",
             path);
    push(fixture, "w2", "count-words", data, ",\"result\":true");
    assert_string_equal(result_of(fixture, "w2"), DONE "{\"words\":8}}");
    push(fixture, "w3", "count-words", "{\"path\":7}", "");
    push(fixture, "w4", "count-words", "{\"path\":\"/nonexistent/x\"}", "");
    assert_true(wait_counter(fixture->redis, "dead", 2, 8000));
    assert_int_equal(stop(fixture), 0);
}

/* -------- threads -------- */

static void handler__more_jobs_than_threads__all_run(void **state)
{
    struct fixture *fixture = *state;
    int i;

    start(fixture, "handler_threads: 3\n", "t-stuck t-fail");
    for (i = 0; i < 40; i++) {
        char id[16];
        snprintf(id, sizeof(id), "m%d", i);
        push(fixture, id, i % 2 ? "t-stuck" : "t-fail", i % 2 ? "{\"ms\":10}" : "{\"how\":0}", "");
    }
    assert_true(wait_counter(fixture->redis, "done", 40, 10000));
    assert_int_equal(jobs_left(fixture->redis), 0);
    assert_int_equal(stop(fixture), 0);
}

static void handler__does_not_return__times_out_and_disturbs_nobody(void **state)
{
    struct fixture *fixture = *state;
    int i;

    start(fixture, "handler_threads: 1\n", "t-stuck:300ms t-fail");
    push(fixture, "stuck", "t-stuck", "{}", ",\"max_attempts\":1");
    assert_true(wait_note(fixture, "begun", 1));
    for (i = 0; i < 20; i++) {
        char id[16];
        snprintf(id, sizeof(id), "g%d", i);
        push(fixture, id, "t-fail", "{\"how\":0}", "");
    }
    assert_true(wait_counter(fixture->redis, "dead", 1, 8000));
    assert_non_null(strstr(letter(fixture, "0"), "job timeout: not done after 300ms"));
    assert_true(wait_counter(fixture->redis, "done", 20, 10000)); /* on a thread in its place */
    assert_true(wait_log(fixture, "handler.left_behind"));
    assert_int_equal(jobs_left(fixture->redis), 0);
    assert_int_equal(stop(fixture), 0); /* although it is stuck */
    assert_int_equal(notes_of(fixture, "returned"), 0);
}

/* Of the thread that runs the loop, in ms. */
static long loop_time_ms(pid_t pid)
{
    char path[64];
    unsigned long long ns = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", (int)pid, (int)pid);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%llu", &ns), 1);
    fclose(file);
    return (long)(ns / 1000000);
}

static void handler__tells_without_end__does_not_keep_the_loop_busy(void **state)
{
    struct fixture *fixture = *state;
    long begun;

    start(fixture, "handler_threads: 1\n", "t-babble:100ms");
    push(fixture, "babble", "t-babble", "{}", ",\"max_attempts\":1");
    assert_true(wait_log(fixture, "handler.left_behind"));
    begun = loop_time_ms(fixture->runner->pid);
    usleep(600000);
    assert_true(loop_time_ms(fixture->runner->pid) - begun < 200);
    assert_int_equal(stop(fixture), 0);
}

static void handler__returns_late__its_thread_is_used_again(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, "handler_threads: 1\n", "t-stuck:200ms");
    push(fixture, "late", "t-stuck", "{\"ms\":600}", ",\"max_attempts\":1");
    push(fixture, "next", "t-stuck", "{\"ms\":1}", "");
    assert_true(wait_counter(fixture->redis, "dead", 1, 8000));
    assert_true(wait_counter(fixture->redis, "done", 1, 8000));
    assert_int_equal(notes_of(fixture, "returned"), 2);
    assert_false(test_runner_logged(fixture->runner, "handler.left_behind"));
    assert_int_equal(stop(fixture), 0);
}

static void handler__comes_back_after_it_was_left_behind__harms_nothing(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, "handler_threads: 2\n", "t-stuck:100ms t-fail");
    push(fixture, "late", "t-stuck", "{\"ms\":3000}", ",\"max_attempts\":1");
    assert_true(wait_log(fixture, "handler.left_behind"));
    assert_true(wait_note(fixture, "returned", 1));
    push(fixture, "g", "t-fail", "{\"how\":0}", "");
    assert_true(wait_counter(fixture->redis, "done", 1, 8000));
    assert_int_equal(stop(fixture), 0);
}

static void handler__too_many_left_behind__the_process_asks_to_be_replaced(void **state)
{
    struct fixture *fixture = *state;
    char id[16];
    int i;

    start(fixture, "handler_threads: 1\nshutdown_grace: 2s\n", "t-stuck:50ms");
    for (i = 0; i < 4; i++) {
        snprintf(id, sizeof(id), "s%d", i);
        push(fixture, id, "t-stuck", "{}", ",\"max_attempts\":1");
    }
    assert_true(test_wait(has_ended, fixture, 20000));
    assert_true(test_runner_logged(fixture->runner, "2 threads of handlers that do not return"));
    assert_int_equal(stop(fixture), LS_EXIT_REPLACE);
    assert_int_equal(running_claims(fixture->redis), 0);
    assert_int_equal(
        test_redis_int(fixture->redis, "LLEN", KEY("dead"), NULL) + jobs_left(fixture->redis), 4);
}

static void handler__told_before_its_deadline__ends_in_its_own_way(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, NULL, "t-polite:5s"); /* half a second before it, also on a busy machine */
    push(fixture, "p1", "t-polite", "{\"ok\":1}", "");
    push(fixture, "p2", "t-polite", "{\"ok\":1}", ",\"timeout\":5000");
    assert_true(wait_counter(fixture->redis, "done", 2, 12000));
    assert_int_equal(test_redis_int(fixture->redis, "LLEN", KEY("dead"), NULL), 0);
    assert_int_equal(stop(fixture), 0);
}

static void handler__shutdown__gives_back_with_the_last_checkpoint(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, "shutdown_grace: 1s\n", "t-pages:0 t-polite:0");
    push(fixture, "book", "t-pages", "{\"page\":1}", "");
    push(fixture, "polite", "t-polite", "{}", "");
    assert_true(wait_note(fixture, "began 1", 1));
    assert_true(wait_note(fixture, "begun", 1));
    assert_int_equal(stop(fixture), 0);
    assert_int_equal(test_redis_int(fixture->redis, "LLEN", KEY("pending"), NULL), 2);
    start(fixture, NULL, "t-pages");
    assert_true(wait_note(fixture, "began 5", 1));
    assert_true(wait_counter(fixture->redis, "done", 1, 8000));
}

static void handler__talks_without_end__others_go_on(void **state)
{
    struct fixture *fixture = *state;
    int64_t begun;

    start(fixture, NULL, "t-chatter");
    push(fixture, "c", "t-chatter", "{}", "");
    push(fixture, "d", "t-chatter", "{}", "");
    begun = ls_clock_mono_ms();
    push_raw(fixture->redis, "{\"kind\":\"noop\"}");
    assert_true(wait_counter(fixture->redis, "done", 3, 20000));
    assert_true(ls_clock_mono_ms() - begun < 20000);
    assert_int_equal(stop(fixture), 0);
}

/* -------- told and telling -------- */

static void handler__progress__is_shown_while_it_runs(void **state)
{
    struct fixture *fixture = *state;
    const char *blocking[] = {(const char *)fixture->redis, "5 10 pages"};
    const char *async[] = {(const char *)fixture->redis, "0 1 waiting"};

    start(fixture, "shutdown_grace: 1s\n", "t-pages t-wait");
    push(fixture, "book", "t-pages", "{\"page\":0}", "");
    assert_true(test_wait(shows_progress, blocking, 8000));
    cancel_job(fixture->redis, "book");
    assert_int_equal(stop(fixture), 0);
    start(fixture, NULL, "t-pages t-wait");
    push(fixture, "w", "t-wait", "{\"ms\":1500}", "");
    assert_true(test_wait(shows_progress, async, 8000));
    assert_true(wait_counter(fixture->redis, "done", 1, 8000));
    assert_int_equal(test_redis_int(fixture->redis, "EXISTS", KEY("progress"), NULL), 0);
}

static void handler__cancelled__is_told_and_ends(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, "handler_threads: 2\n", "t-polite:0 t-wait:0");
    push(fixture, "stops", "t-polite", "{}", ",\"result\":true");
    push(fixture, "succeeds", "t-polite", "{\"ok\":1}", ",\"result\":true");
    assert_true(wait_note(fixture, "begun", 2));
    push(fixture, "waits", "t-polite", "{}", ",\"result\":true"); /* for a thread */
    push(fixture, "async", "t-wait", "{\"ms\":600000}", ",\"result\":true");
    assert_true(wait_counter(fixture->redis, "claimed", 4, 8000));
    cancel_job(fixture->redis, "waits");
    assert_string_equal(result_of(fixture, "waits"), "{\"state\":\"cancelled\"}");
    cancel_job(fixture->redis, "async");
    assert_string_equal(result_of(fixture, "async"), "{\"state\":\"cancelled\"}");
    assert_int_equal(notes_of(fixture, "asked"), 1);
    assert_int_equal(notes_of(fixture, "cancelled"), 0);
    assert_int_equal(notes_of(fixture, "told"), 0);
    cancel_job(fixture->redis, "stops");
    assert_string_equal(result_of(fixture, "stops"), "{\"state\":\"cancelled\"}");
    cancel_job(fixture->redis, "succeeds");
    assert_string_equal(result_of(fixture, "succeeds"), "{\"state\":\"done\"}");
    assert_int_equal(jobs_left(fixture->redis), 0);
    assert_int_equal(stop(fixture), 0);
    assert_int_equal(notes_of(fixture, "begun"), 2);
}

static void handler__cancelled_and_deaf__is_cut_after_its_grace(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, "handler_threads: 1\ncancel_grace: 300ms\n", "t-stuck:0 t-fail");
    push(fixture, "deaf", "t-stuck", "{}", ",\"result\":true");
    assert_true(wait_note(fixture, "begun", 1));
    cancel_job(fixture->redis, "deaf");
    push(fixture, "next", "t-fail", "{\"how\":0}", "");
    assert_string_equal(result_of(fixture, "deaf"), "{\"state\":\"cancelled\"}");
    assert_true(wait_counter(fixture->redis, "done", 1, 8000));
    assert_true(test_runner_logged(fixture->runner, "handler.left_behind"));
    assert_int_equal(stop(fixture), 0);
}

static void handler__checkpoint_of_every_size__is_taken_or_refused(void **state)
{
    struct fixture *fixture = *state;
    const char *result;

    start(fixture, NULL, "t-grow");
    push(fixture, "grow", "t-grow", "{}", ",\"result\":true,\"mine\":\"kept\"");
    result = result_of(fixture, "grow");
    /* what the envelope holds beside its data is left out of 64 KiB */
    assert_in_range(strtol(strstr(result, "result\":") + 8, NULL, 10), 64 * 1024 - 800, 64 * 1024);
    assert_true(wait_counter(fixture->redis, "done", 1, 8000));
    assert_int_equal(test_redis_int(fixture->redis, "LLEN", KEY("dead"), NULL), 0);
    assert_int_equal(stop(fixture), 0);
}

/* -------- bad ones -------- */

static void handler__crash__takes_the_process_and_its_claim_stays(void **state)
{
    struct fixture *fixture = *state;
    int status = 0;

    start(fixture, NULL, "t-crash");
    push(fixture, "c", "t-crash", "{\"signal\":9}", "");
    assert_true(test_wait(has_ended, fixture, 8000));
    waitid(P_PID, (id_t)fixture->runner->pid, &(siginfo_t){0}, WEXITED | WNOWAIT);
    waitpid(fixture->runner->pid, &status, WNOHANG);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(running_claims(fixture->redis), 1); /* the scheduler settles it */
}

static bool child_is_gone(void *arg)
{
    return kill(*(pid_t *)arg, 0) < 0;
}

static void handler__forks_and_returns_twice__counts_once(void **state)
{
    struct fixture *fixture = *state;
    FILE *file;
    int pid = 0;
    pid_t child;

    start(fixture, "handler_threads: 1\n", "t-fork");
    push(fixture, "f", "t-fork", "{}", "");
    assert_true(wait_counter(fixture->redis, "done", 1, 8000));
    file = fopen(fixture->notes, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "child %d", &pid), 1);
    fclose(file);
    child = pid;
    push(fixture, "g", "t-fork", "{}", "");
    assert_true(wait_counter(fixture->redis, "done", 2, 8000));
    assert_int_equal(stop(fixture), 0);
    assert_true(test_wait(child_is_gone, &child, 8000));
    assert_int_equal(counter(fixture->redis, "done"), 2);
}

static void refused(struct fixture *fixture, const char *kind, const char *library,
                    const char *text)
{
    struct ls_buf yaml = {0};

    ls_buf_printf(&yaml, "handlers: {%s: {library: \"%s\"}}\n", kind, library);
    fixture->runner = test_runner_start(fixture->redis->url, yaml.data);
    ls_buf_fini(&yaml);
    assert_true(test_wait(has_ended, fixture, 8000));
    if (!test_runner_logged(fixture->runner, text))
        fail_msg("the log does not say '%s'", text);
    assert_int_equal(stop(fixture), LS_EXIT_FATAL);
}

static void handler__unusable_objects__end_the_process_with_a_reason(void **state)
{
    struct fixture *fixture = *state;
    const char *good = object("test_object");

    refused(fixture, "t-tell", "/nonexistent/x.so", "/nonexistent/x.so': cannot be loaded");
    refused(fixture, "t-tell", "/etc/passwd", "cannot be loaded");
    refused(fixture, "t-tell", "libc.so.6", "cannot be loaded"); /* a file, not a name */
    refused(fixture, "t-other", good, "handler 't-other' of '");
    refused(fixture, "t-other", good, "has no such kind in its table");
    refused(fixture, "t-other", good, "its first kind is 't-tell'");
    refused(fixture, "t-old", object("test_object_old"), "another binary interface: 2 of");
    refused(fixture, "t-unopened", good, "cannot be opened: no licence for 't-unopened'");
    refused(fixture, "t-formless", good, "neither of the two forms");
    refused(fixture, "t-cancelless", good, "neither of the two forms");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(handler__blocking__knows_its_job_and_keeps_a_result),
        TEST(handler__each_ending__does_what_it_says),
        TEST(handler__async__ends_from_its_own_timer),
        TEST(handler__async_deadline_and_shutdown__are_told_by_cancel),
        TEST(handler__cxx__is_served),
        TEST(handler__the_example__counts_words_and_goes_on),
        TEST(handler__more_jobs_than_threads__all_run),
        TEST(handler__does_not_return__times_out_and_disturbs_nobody),
        TEST(handler__returns_late__its_thread_is_used_again),
        TEST(handler__tells_without_end__does_not_keep_the_loop_busy),
        TEST(handler__comes_back_after_it_was_left_behind__harms_nothing),
        TEST(handler__too_many_left_behind__the_process_asks_to_be_replaced),
        TEST(handler__told_before_its_deadline__ends_in_its_own_way),
        TEST(handler__shutdown__gives_back_with_the_last_checkpoint),
        TEST(handler__talks_without_end__others_go_on),
        TEST(handler__progress__is_shown_while_it_runs),
        TEST(handler__cancelled__is_told_and_ends),
        TEST(handler__cancelled_and_deaf__is_cut_after_its_grace),
        TEST(handler__checkpoint_of_every_size__is_taken_or_refused),
        TEST(handler__crash__takes_the_process_and_its_claim_stays),
        TEST(handler__forks_and_returns_twice__counts_once),
        TEST(handler__unusable_objects__end_the_process_with_a_reason),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
