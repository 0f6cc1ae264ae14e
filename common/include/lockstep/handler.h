/* Job kinds of your own: functions in a shared object that lockstep's runners load. C or C++; this
 * header needs nothing but the standard library, and nothing has to be linked.
 *
 *     #include <lockstep/handler.h>
 *
 *     static int thumbnail(struct lockstep_run *run, void *self)
 *     {
 *         if (!run->data)
 *             return lockstep_run_permanent(run, "the job has no data");
 *         if (make_thumbnail(run->data) < 0)
 *             return lockstep_run_retry(run, 0, "cannot write the thumbnail");
 *         return lockstep_run_ok(run);
 *     }
 *
 *     const struct lockstep_handler lockstep_handlers[] = {
 *         LOCKSTEP_HANDLER("thumbnail", thumbnail),
 *         LOCKSTEP_HANDLERS_END
 *     };
 *
 *     cc -shared -fPIC -o thumbnail.so thumbnail.c
 *
 * and in the pool's configuration
 *
 *     handlers:
 *       thumbnail: {library: ./thumbnail.so, timeout: 30s}
 *
 * A handler has one of two forms. The blocking one is a function that does the work and returns; it
 * runs on a thread of the runner's own pool (`handler_threads`), several at once, also of one kind.
 * The asynchronous one begins the work on the runner's libuv loop and ends the run from a later
 * callback; it must never block there.
 *
 * Jobs run at least once: a process that is killed between the work and its acknowledgement leaves
 * a job that runs again. Make what you do safe to repeat: by run->id, or by the fence, a number that
 * grows with each claim of the job (lockstep_run_fence): a table that remembers the highest fence
 * refuses what an older run still writes.
 *
 * A handler that crashes takes its process and the other runs in it down; they run again, and a job
 * that keeps crashing its process dies after a few rounds, alone. No C++ exception may leave a
 * handler. A handler of the blocking form that does not return in time is written off: its run
 * fails as timed out, its thread is left behind and replaced, and a process that has left too many
 * behind is replaced itself.
 *
 * The binary interface only grows: structs grow at their end and carry their size, and `abi` changes
 * when an older object could not be run any more. */
#ifndef LOCKSTEP_HANDLER_H
#define LOCKSTEP_HANDLER_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define LOCKSTEP_HANDLER_EXPORT __attribute__((visibility("default")))
#define LOCKSTEP_HANDLER_FORMAT(n, first) __attribute__((format(printf, n, first)))
#else
#define LOCKSTEP_HANDLER_EXPORT
#define LOCKSTEP_HANDLER_FORMAT(n, first)
#endif

#define LOCKSTEP_HANDLER_ABI 1
#define LOCKSTEP_RUN_TEXT_MAX 511           /* bytes kept of an ending's text */
#define LOCKSTEP_RUN_RESULT_MAX (64 * 1024) /* bytes of a result */

struct lockstep_run_calls;

/* A job in hand. Texts are ended by NUL, never NULL unless that is said, and valid until the run has
 * ended. Read it; what changes while it runs is asked by the functions below. */
struct lockstep_run {
    size_t size;                            /* of this struct, as the host has it */
    const struct lockstep_run_calls *calls; /* used by the functions below */
    void *loop;  /* uv_loop_t of the process, for the asynchronous form; NULL in the blocking one */
    void *state; /* yours: NULL at first */
    const char *id;
    const char *kind;
    const char *account; /* "" when the job has none */
    const char *key;     /* "" when the job has none */
    const char *queue;
    const char *data; /* JSON: what was pushed, or the last checkpoint; NULL: none */
    size_t data_length;
    int attempt; /* from 1; does not count crashes and what was given back */
};

/* How a run ends. */
enum lockstep_outcome {
    LOCKSTEP_RUN_OK = 0,
    LOCKSTEP_RUN_RETRY = 1,     /* failed, may do better later: the queue's backoff decides when */
    LOCKSTEP_RUN_PERMANENT = 2, /* failed for good: dead at once */
    LOCKSTEP_RUN_THROTTLED = 3, /* the other side asks for patience: the job's account waits, else
                                   the job alone; costs no attempt */
    LOCKSTEP_RUN_AGAIN = 4,     /* went well, goes on later, with new data: costs no attempt */
    LOCKSTEP_RUN_STOPPED = 5    /* it was asked to stop, or may not write any more: as if it had not
                                   been begun, but for its checkpoint */
};

struct lockstep_ending {
    size_t size;        /* sizeof(struct lockstep_ending) */
    int outcome;        /* enum lockstep_outcome */
    const char *text;   /* of a failure: one sentence, for people; NULL: none */
    const char *reason; /* of a failure: a word that groups its like, "disk-full"; NULL: none */
    int64_t delay_ms;   /* RETRY: at least so long; THROTTLED: so long, below 0: unknown; AGAIN */
    const char *data;   /* AGAIN: JSON that replaces the job's data; NULL: as it is */
    size_t data_length;
};

/* What the host of a run offers: its runner, or liblockstep's inline mode in a test. Handlers use
 * the functions below instead. */
struct lockstep_run_calls {
    size_t size;
    int64_t (*fence)(struct lockstep_run *run);
    int64_t (*left_ms)(struct lockstep_run *run);
    int (*is_cancelled)(struct lockstep_run *run);
    int (*may_write)(struct lockstep_run *run);
    int (*checkpoint)(struct lockstep_run *run, const char *json, size_t length);
    int (*progress)(struct lockstep_run *run, int64_t done, int64_t total, const char *text);
    int (*wants_result)(struct lockstep_run *run);
    int (*result)(struct lockstep_run *run, const char *json, size_t length);
    int (*end)(struct lockstep_run *run, const struct lockstep_ending *ending);
};

/* What `open` gets and fills in. */
struct lockstep_opening {
    size_t size; /* of this struct, as the host has it */
    const char *kind;
    void *loop;      /* uv_loop_t of the process; NULL: this host runs the blocking form only */
    void *self;      /* out: given to every call of this kind */
    char error[256]; /* out: why it failed */
};

/* A job kind: `run`, or `begin` and `cancel`. */
struct lockstep_handler {
    uint32_t abi;     /* LOCKSTEP_HANDLER_ABI */
    uint32_t size;    /* sizeof(struct lockstep_handler) */
    const char *kind; /* at most 64 of [A-Za-z0-9._:-]; none of lockstep's own */

    /* The blocking form. Returns what the ending it told returned; without one, 0 is done and
     * anything else failed and is tried again. */
    int (*run)(struct lockstep_run *run, void *self);

    /* The asynchronous form, all on the loop. begin starts the work; the run is ended exactly once,
     * from begin or later, and is gone with that. ask_stop (optional): somebody cancelled the job:
     * end the run soon, in any way. cancel: stop at once whatever is done for the run and forget it;
     * it is gone when cancel returns and must not be ended. */
    void (*begin)(struct lockstep_run *run, void *self);
    void (*ask_stop)(struct lockstep_run *run, void *self);
    void (*cancel)(struct lockstep_run *run, void *self);

    /* Optional, once a process, on its main thread: before the first run; 0, or -1 with
     * opening->error filled: the process then does not start. close: after the last run, unless a
     * run was left behind or the process was killed. */
    int (*open)(struct lockstep_opening *opening);
    void (*close)(void *self);
};

/* What the object exports: its kinds, ended by LOCKSTEP_HANDLERS_END. The configuration names the
 * ones that are served. */
extern LOCKSTEP_HANDLER_EXPORT const struct lockstep_handler lockstep_handlers[];

#define LOCKSTEP_HANDLER(kind, run)                                                     \
    {                                                                                   \
        LOCKSTEP_HANDLER_ABI, sizeof(struct lockstep_handler), kind, run, 0, 0, 0, 0, 0 \
    }
#define LOCKSTEP_HANDLER_ASYNC(kind, begin, ask_stop, cancel)                                    \
    {                                                                                            \
        LOCKSTEP_HANDLER_ABI, sizeof(struct lockstep_handler), kind, 0, begin, ask_stop, cancel, \
            0, 0                                                                                 \
    }
#define LOCKSTEP_HANDLERS_END     \
    {                             \
        0, 0, 0, 0, 0, 0, 0, 0, 0 \
    }

/* -------- while it runs -------- */

/* All of these: in the blocking form from the thread that runs it, in the asynchronous one on the
 * loop; never after the run has ended. */

/* The number of the claim. It grows with each claim of the job, and changes when the runner's
 * connection was replaced under the run: ask when you use it. */
static inline int64_t lockstep_run_fence(struct lockstep_run *run)
{
    return run->calls->fence(run);
}

/* Until the run is ended as timed out; 0 when that is due; -1: never. */
static inline int64_t lockstep_run_left_ms(struct lockstep_run *run)
{
    return run->calls->left_ms(run);
}

/* Shall it come to its end? Somebody cancelled the job, its time is nearly over, or its claim is
 * lost. Look now and then. */
static inline int lockstep_run_is_cancelled(struct lockstep_run *run)
{
    return run->calls->is_cancelled(run);
}

/* May it write to the outside world now? 0: the runner has had no word from Redis for too long, or
 * lost its claim, and another may run the job already: return lockstep_run_stopped. Ask before each
 * write that must not happen twice. */
static inline int lockstep_run_may_write(struct lockstep_run *run)
{
    return run->calls->may_write(run);
}

/* Replace the job's data: should this process die, or the job be tried again, the next run finds
 * this. It goes to Redis within moments, many of them in one trip. 0; -1: not JSON, or too big for
 * the job (64 KiB in all): not taken. */
static inline int lockstep_run_checkpoint(struct lockstep_run *run, const char *json, size_t length)
{
    return run->calls->checkpoint(run, json, length);
}

/* How far it is, for people: `lockstep job show`. total 0: unknown. text may be NULL; 200 bytes of
 * it are kept. As often as you like: the newest is told. */
static inline int lockstep_run_progress(struct lockstep_run *run, int64_t done, int64_t total,
                                        const char *text)
{
    return run->calls->progress(run, done, total, text);
}

/* Did the job ask for a result? */
static inline int lockstep_run_wants_result(struct lockstep_run *run)
{
    return run->calls->wants_result(run);
}

/* The result, a JSON value of at most LOCKSTEP_RUN_RESULT_MAX bytes: kept for who asked when the run
 * ends with lockstep_run_ok; ignored when nobody did. 0; -1: not JSON, or too big: not taken. */
static inline int lockstep_run_result(struct lockstep_run *run, const char *json, size_t length)
{
    return run->calls->result(run, json, length);
}

/* -------- its end -------- */

/* The asynchronous form: the run is gone after the call. The blocking form: `return` it; when
 * several are told the last one counts. Each returns what `run` may return: 0 for ok and again, else
 * -1. Texts are formats of printf; LOCKSTEP_RUN_TEXT_MAX bytes of them are kept. */

static inline int lockstep_run_end(struct lockstep_run *run, const struct lockstep_ending *ending)
{
    return run->calls->end(run, ending);
}

static inline int lockstep_run_end_text(struct lockstep_run *run, int outcome, int64_t delay_ms,
                                        const char *format, va_list args)
{
    struct lockstep_ending ending = {sizeof(struct lockstep_ending), outcome, 0, 0, delay_ms, 0, 0};
    char text[LOCKSTEP_RUN_TEXT_MAX + 1];

    if (vsnprintf(text, sizeof(text), format, args) < 0)
        text[0] = 0;
    ending.text = text;
    return lockstep_run_end(run, &ending);
}

static inline int lockstep_run_ok(struct lockstep_run *run)
{
    struct lockstep_ending ending = {
        sizeof(struct lockstep_ending), LOCKSTEP_RUN_OK, 0, 0, -1, 0, 0};

    return lockstep_run_end(run, &ending);
}

/* Tried again when the queue's backoff says so, but not before delay_ms (an hour at most); until its
 * max_attempts or max_age makes it dead. */
LOCKSTEP_HANDLER_FORMAT(3, 4)
static inline int lockstep_run_retry(struct lockstep_run *run, int64_t delay_ms, const char *format,
                                     ...)
{
    va_list args;
    int result;

    va_start(args, format);
    result = lockstep_run_end_text(run, LOCKSTEP_RUN_RETRY, delay_ms, format, args);
    va_end(args);
    return result;
}

/* Dead at once: a person decides. */
LOCKSTEP_HANDLER_FORMAT(2, 3)
static inline int lockstep_run_permanent(struct lockstep_run *run, const char *format, ...)
{
    va_list args;
    int result;

    va_start(args, format);
    result = lockstep_run_end_text(run, LOCKSTEP_RUN_PERMANENT, -1, format, args);
    va_end(args);
    return result;
}

/* The other side asks for delay_ms of patience (below 0: it names none; between a second and an
 * hour). */
LOCKSTEP_HANDLER_FORMAT(3, 4)
static inline int lockstep_run_throttled(struct lockstep_run *run, int64_t delay_ms,
                                         const char *format, ...)
{
    va_list args;
    int result;

    va_start(args, format);
    result = lockstep_run_end_text(run, LOCKSTEP_RUN_THROTTLED, delay_ms, format, args);
    va_end(args);
    return result;
}

/* The next step comes in delay_ms (0: at the tail of the queue, now) with this JSON for its data
 * (NULL: as it is). What is not JSON or too big makes it a failure for good. */
static inline int lockstep_run_again(struct lockstep_run *run, int64_t delay_ms, const char *json,
                                     size_t length)
{
    struct lockstep_ending ending = {
        sizeof(struct lockstep_ending), LOCKSTEP_RUN_AGAIN, 0, 0, delay_ms, json, length};

    return lockstep_run_end(run, &ending);
}

/* As if it had not been begun: it goes back into the queue, or, when somebody cancelled it, away. */
static inline int lockstep_run_stopped(struct lockstep_run *run)
{
    struct lockstep_ending ending = {
        sizeof(struct lockstep_ending), LOCKSTEP_RUN_STOPPED, 0, 0, -1, 0, 0};

    return lockstep_run_end(run, &ending);
}

#ifdef __cplusplus
}
#endif

#endif
