/* The handlers of the tests: each does one thing well or badly. Built as a shared object that links
 * nothing of lockstep. */
#include <lockstep/handler.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

static void pause_ms(int ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    nanosleep(&pause, NULL);
}

/* The number behind "name": in the job's data; otherwise -1. */
static long number(const struct lockstep_run *run, const char *name)
{
    char quoted[64];
    const char *at;

    snprintf(quoted, sizeof(quoted), "\"%s\":", name);
    at = run->data ? strstr(run->data, quoted) : NULL;
    return at ? strtol(at + strlen(quoted), NULL, 10) : -1;
}

/* A line for the test to see. */
static void note(const char *text)
{
    const char *path = getenv("LS_TEST_NOTES");
    FILE *file = path ? fopen(path, "ae") : NULL;

    if (file) {
        fprintf(file, "%s\n", text);
        fclose(file);
    }
}

/* -------- endings -------- */

static int tell(struct lockstep_run *run, void *self)
{
    char text[2048];
    sigset_t mask;
    int length;

    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    length = snprintf(
        text, sizeof(text),
        "{\"id\":\"%s\",\"kind\":\"%s\",\"account\":\"%s\",\"key\":\"%s\",\"queue\":"
        "\"%s\",\"attempt\":%d,\"data\":%s,\"fenced\":%s,\"may_write\":%d,\"left\":%s,"
        "\"cancelled\":%d,\"wants\":%d,\"self\":\"%s\",\"term\":%d,\"segv\":%d}",
        run->id, run->kind, run->account, run->key, run->queue, run->attempt,
        run->data ? run->data : "null", lockstep_run_fence(run) > 1000 ? "true" : "false",
        lockstep_run_may_write(run), lockstep_run_left_ms(run) > 1000 ? "true" : "false",
        lockstep_run_is_cancelled(run), lockstep_run_wants_result(run), self ? (char *)self : "",
        sigismember(&mask, SIGTERM), sigismember(&mask, SIGSEGV));
    if (lockstep_run_result(run, text, (size_t)length) < 0)
        return lockstep_run_permanent(run, "the result was not taken");
    if (lockstep_run_result(run, "{", 1) == 0 || lockstep_run_result(run, NULL, 0) == 0)
        return lockstep_run_permanent(run, "a bad result was taken");
    return lockstep_run_ok(run);
}

static int fail(struct lockstep_run *run, void *self)
{
    struct lockstep_ending ending = {.size = sizeof(ending),
                                     .outcome = LOCKSTEP_RUN_PERMANENT,
                                     .text = "the disk is full",
                                     .reason = "disk-full"};

    switch (number(run, "how")) {
    case 0:
        return 0;
    case 1:
        return 7;
    case 2:
        return lockstep_run_retry(run, 0, "not %s", "today");
    case 3:
        return lockstep_run_permanent(run, "never %d", 3);
    case 4:
        return lockstep_run_throttled(run, 60000, "slow down");
    case 5:
        return lockstep_run_again(run, 0, "{", 1);
    case 6:
        return lockstep_run_end(run, &ending);
    case 7:
        lockstep_run_permanent(run, "not this one");
        return lockstep_run_ok(run);
    case 8: /* checkpoint, then fail once */
        if (run->attempt > 1)
            return strcmp(run->data, "{\"how\":8,\"page\":2}") == 0
                       ? lockstep_run_ok(run)
                       : lockstep_run_permanent(run, "found %s", run->data);
        if (lockstep_run_checkpoint(run, "nonsense", 8) == 0)
            return lockstep_run_permanent(run, "a bad checkpoint was taken");
        lockstep_run_checkpoint(run, "{\"how\":8,\"page\":1}", 18);
        lockstep_run_checkpoint(run, "{\"how\":8,\"page\":2}", 18);
        return lockstep_run_retry(run, 0, "once more");
    case 9:
        return lockstep_run_stopped(run);
    default:
        return lockstep_run_permanent(run, "how?");
    }
}

static int count(struct lockstep_run *run, void *self)
{
    char next[32];
    long n = number(run, "n");

    if (n >= 3)
        return lockstep_run_ok(run);
    return lockstep_run_again(run, n == 1 ? 20 : 0, next,
                              (size_t)snprintf(next, sizeof(next), "{\"n\":%ld}", n + 1));
}

/* -------- long runs -------- */

/* Steps to "page" 10; stops at 5 until it is killed, unless it began behind it. */
static int pages(struct lockstep_run *run, void *self)
{
    long page = number(run, "page"), began = page;
    char text[64];

    snprintf(text, sizeof(text), "began %ld", page);
    note(text);
    while (page < 10) {
        page++;
        lockstep_run_checkpoint(run, text,
                                (size_t)snprintf(text, sizeof(text), "{\"page\":%ld}", page));
        lockstep_run_progress(run, page, 10, "pages");
        while (page == 5 && began < 5)
            pause_ms(20);
    }
    return lockstep_run_ok(run);
}

static int polite(struct lockstep_run *run, void *self)
{
    note("begun");
    while (!lockstep_run_is_cancelled(run))
        pause_ms(5);
    note("told");
    return number(run, "ok") == 1 ? lockstep_run_ok(run) : lockstep_run_stopped(run);
}

static int stuck(struct lockstep_run *run, void *self)
{
    long ms = number(run, "ms");

    note("begun");
    pause_ms(ms > 0 ? (int)ms : 3600 * 1000);
    lockstep_run_progress(run, 1, 1, NULL); /* long after its end, perhaps of its process too */
    lockstep_run_may_write(run);
    lockstep_run_result(run, "1", 1);
    note("returned");
    return lockstep_run_ok(run);
}

static int chatter(struct lockstep_run *run, void *self)
{
    int i;

    for (i = 0; i < 200000; i++)
        lockstep_run_progress(run, i, 200000, "talking");
    return lockstep_run_ok(run);
}

static int babble(struct lockstep_run *run, void *self)
{
    int heard = 0;

    while (heard <= 0) { /* whatever it hears */
        heard = lockstep_run_progress(run, 1, 2, NULL);
        pause_ms(heard < 0 ? 1 : 0);
    }
    return lockstep_run_ok(run);
}

/* Finds the longest checkpoint that is taken, goes on with it, and tells how long it was. */
static int grow(struct lockstep_run *run, void *self)
{
    static char text[70000];
    size_t length, longest = 0;
    char result[32];

    if (run->data_length > 1000)
        return lockstep_run_ok(run);
    memset(text, ' ', sizeof(text));
    text[0] = '1';
    for (length = 1000; length < sizeof(text); length += 50)
        if (lockstep_run_checkpoint(run, text, length) == 0)
            longest = length;
    if (lockstep_run_again(run, 0, text, sizeof(text)) == 0)
        return lockstep_run_permanent(run, "an ending that is too big was taken");
    lockstep_run_result(run, result, (size_t)snprintf(result, sizeof(result), "%zu", longest));
    return lockstep_run_ok(run);
}

/* -------- bad ones -------- */

static int crash(struct lockstep_run *run, void *self)
{
    raise(number(run, "signal") > 0 ? (int)number(run, "signal") : SIGSEGV);
    return 0;
}

/* The child comes back from the handler as well. */
static int forker(struct lockstep_run *run, void *self)
{
    pid_t pid = fork();
    char text[64];

    if (pid > 0) {
        snprintf(text, sizeof(text), "child %d", (int)pid);
        note(text);
    }
    return lockstep_run_ok(run);
}

/* -------- on the loop -------- */

struct waiting {
    uv_timer_t timer;
    struct lockstep_run *run;
};

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_timer(uv_timer_t *timer)
{
    struct waiting *waiting = timer->data;
    struct lockstep_run *run = waiting->run;

    uv_close((uv_handle_t *)timer, on_closed);
    lockstep_run_result(run, "\"later\"", 7);
    if (number(run, "fail") == 1)
        lockstep_run_retry(run, 0, "the timer failed");
    else
        lockstep_run_ok(run);
}

static void begin_wait(struct lockstep_run *run, void *self)
{
    struct waiting *waiting = calloc(1, sizeof(*waiting));
    long ms = number(run, "ms");

    if (ms < 0) {
        free(waiting);
        lockstep_run_permanent(run, "no time given");
        return;
    }
    waiting->run = run;
    run->state = waiting;
    uv_timer_init(run->loop, &waiting->timer);
    waiting->timer.data = waiting;
    lockstep_run_progress(run, 0, 1, "waiting");
    lockstep_run_checkpoint(run, run->data, run->data_length);
    uv_timer_start(&waiting->timer, on_timer, (uint64_t)ms, 0);
}

static void ask_stop_wait(struct lockstep_run *run, void *self)
{
    struct waiting *waiting = run->state;

    note("asked");
    uv_close((uv_handle_t *)&waiting->timer, on_closed);
    lockstep_run_stopped(run);
}

static void cancel_wait(struct lockstep_run *run, void *self)
{
    struct waiting *waiting = run->state;

    note("cancelled");
    uv_close((uv_handle_t *)&waiting->timer, on_closed);
}

/* -------- opening -------- */

static int open_well(struct lockstep_opening *opening)
{
    static char self[] = "mine";

    opening->self = self;
    note("opened");
    return opening->loop ? 0 : -1;
}

static void close_well(void *self)
{
    note(strcmp(self, "mine") == 0 ? "closed" : "closed, but not mine");
}

static int open_badly(struct lockstep_opening *opening)
{
    snprintf(opening->error, sizeof(opening->error), "no licence for '%s'", opening->kind);
    return -1;
}

const struct lockstep_handler lockstep_handlers[] = {
    {LOCKSTEP_HANDLER_ABI, sizeof(struct lockstep_handler), "t-tell", tell, 0, 0, 0, open_well,
     close_well},
    LOCKSTEP_HANDLER("t-fail", fail),
    LOCKSTEP_HANDLER("t-count", count),
    LOCKSTEP_HANDLER("t-pages", pages),
    LOCKSTEP_HANDLER("t-polite", polite),
    LOCKSTEP_HANDLER("t-stuck", stuck),
    LOCKSTEP_HANDLER("t-chatter", chatter),
    LOCKSTEP_HANDLER("t-babble", babble),
    LOCKSTEP_HANDLER("t-grow", grow),
    LOCKSTEP_HANDLER("t-crash", crash),
    LOCKSTEP_HANDLER("t-fork", forker),
    LOCKSTEP_HANDLER_ASYNC("t-wait", begin_wait, ask_stop_wait, cancel_wait),
    {LOCKSTEP_HANDLER_ABI, sizeof(struct lockstep_handler), "t-unopened", tell, 0, 0, 0, open_badly,
     0},
    LOCKSTEP_HANDLER("t-formless", 0),
    LOCKSTEP_HANDLER_ASYNC("t-cancelless", begin_wait, 0, 0),
    LOCKSTEP_HANDLERS_END};
