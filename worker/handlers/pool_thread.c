/* The threads of the pool: what a handler may call on its own, and the life of a thread. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "worker/handlers/pool_internal.h"

#define STACK_BYTES ((size_t)2 * 1024 * 1024)
#define ASK_MS 1000 /* a thread waits so long for the loop's answer */

/* -------- on a handler's thread -------- */

static struct job *lock_job(struct lockstep_run *view)
{
    struct job *job = (struct job *)view;

    pthread_mutex_lock(&job->pool->lock);
    return job;
}

static void unlock(struct job *job)
{
    pthread_mutex_unlock(&job->pool->lock);
}

/* The loop shall look at the job. Under the lock. */
static void post(struct job *job)
{
    struct ls_pool *pool = job->pool;

    if (job->posted || job->left || pool->closed)
        return;
    job->posted = true;
    job->next_posted = NULL;
    if (pool->posted)
        pool->last_posted->next_posted = job;
    else
        pool->posted = job;
    pool->last_posted = job;
    uv_async_send(&pool->async);
}

/* What only the loop knows: ask it and wait. Under the lock. */
static void ask(struct job *job)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ASK_MS / 1000;
    job->may_write = false;
    job->asking = true;
    post(job);
    while (job->asking && !job->settled && !job->pool->closed)
        if (pthread_cond_timedwait(&job->pool->answered, &job->pool->lock, &until) != 0)
            break;
    job->asking = false;
}

static int64_t call_fence(struct lockstep_run *view)
{
    struct job *job = lock_job(view);
    int64_t fence;

    ask(job);
    fence = job->fence;
    unlock(job);
    return fence;
}

static int call_may_write(struct lockstep_run *view)
{
    struct job *job = lock_job(view);
    int may_write;

    ask(job);
    may_write = job->may_write && !job->settled;
    unlock(job);
    return may_write;
}

static int64_t call_left_ms(struct lockstep_run *view)
{
    const struct job *job = (const struct job *)view;
    int64_t left = job->deadline_ms - ls_clock_mono_ms();

    return !job->deadline_ms ? -1 : left > 0 ? left : 0;
}

static int call_is_cancelled(struct lockstep_run *view)
{
    struct job *job = lock_job(view);
    int stop = job->stop;

    unlock(job);
    return stop;
}

/* The newest text takes the place of one that the loop has not seen. */
static void replace(struct job *job, char **have, size_t *have_length, const char *text,
                    size_t length)
{
    char *copy = ls_xstrndup(text, length);

    pthread_mutex_lock(&job->pool->lock);
    free(*have);
    *have = copy;
    *have_length = length;
    post(job);
    unlock(job);
}

static int call_checkpoint(struct lockstep_run *view, const char *json, size_t length)
{
    struct job *job = (struct job *)view;

    if (!ls_guest_takes_data(&job->guest, json, length))
        return -1;
    replace(job, &job->checkpoint, &job->checkpoint_length, json, length);
    return 0;
}

static int call_progress(struct lockstep_run *view, int64_t done, int64_t total, const char *text)
{
    struct job *job = lock_job(view);

    job->has_progress = true;
    job->done = done;
    job->total = total;
    snprintf(job->progress, sizeof(job->progress), "%s", text ? text : "");
    post(job);
    unlock(job);
    return 0;
}

static int call_wants_result(struct lockstep_run *view)
{
    return ((struct job *)view)->wants_result;
}

static int call_result(struct lockstep_run *view, const char *json, size_t length)
{
    struct job *job = (struct job *)view;

    if (!ls_guest_takes_result(json, length))
        return -1;
    if (job->wants_result)
        replace(job, &job->result, &job->result_length, json, length);
    return 0;
}

static int call_end(struct lockstep_run *view, const struct lockstep_ending *ending)
{
    struct job *job = lock_job(view);
    int code = ls_guest_ending_take(&job->guest, &job->ending, ending);

    unlock(job);
    return code;
}

const struct lockstep_run_calls pool_calls = {.size = sizeof(pool_calls),
                                              .fence = call_fence,
                                              .left_ms = call_left_ms,
                                              .is_cancelled = call_is_cancelled,
                                              .may_write = call_may_write,
                                              .checkpoint = call_checkpoint,
                                              .progress = call_progress,
                                              .wants_result = call_wants_result,
                                              .result = call_result,
                                              .end = call_end};

void pool_job_free(struct job *job)
{
    ls_timer_close(&job->timer);
    ls_guest_fini(&job->guest);
    free(job->checkpoint);
    free(job->result);
    free(job->ending.data);
    free(job);
}

/* Under the lock, which is given back. */
void pool_release(struct ls_pool *pool)
{
    bool last = --pool->users == 0;

    pthread_mutex_unlock(&pool->lock);
    if (!last)
        return;
    pthread_cond_destroy(&pool->answered);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static void thread_free(struct thread *thread)
{
    pthread_cond_destroy(&thread->wake);
    free(thread);
}

static void run_job(struct job *job)
{
    pid_t pid = job->pool->pid;
    int code = job->kind->function(&job->guest.view, job->kind->self);

    if (getpid() != pid)
        _exit(1); /* the handler forked, and this is its child: it has no business here */
    pthread_mutex_lock(&job->pool->lock);
    job->code = code;
    job->returned = true;
}

static void *thread_main(void *arg)
{
    struct thread *thread = arg;
    struct ls_pool *pool = thread->pool;

    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct job *job;
        while (!thread->job && !thread->quit)
            pthread_cond_wait(&thread->wake, &pool->lock);
        job = thread->job;
        if (!job)
            break;
        pthread_mutex_unlock(&pool->lock);
        run_job(job);
        thread->job = NULL;
        if (job->left) {
            pool_job_free(job);
            thread_free(thread);
            pool->left--;
            pool_release(pool);
            return NULL;
        }
        post(job);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* -------- their life, on the loop -------- */

/* Signals are the loop's business; what a fault raises is the thread's own. */
static void mask_signals(sigset_t *old)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t set;
    size_t i;

    sigfillset(&set);
    for (i = 0; i < LS_COUNT(faults); i++)
        sigdelset(&set, faults[i]);
    pthread_sigmask(SIG_SETMASK, &set, old);
}

struct thread *pool_thread_new(struct ls_pool *pool)
{
    struct thread *thread = LS_NEW(struct thread);
    pthread_attr_t attr;
    sigset_t old;
    int failed;

    thread->pool = pool;
    pthread_cond_init(&thread->wake, NULL);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    mask_signals(&old);
    failed = pthread_create(&thread->id, &attr, thread_main, thread);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (failed) {
        thread_free(thread);
        errno = failed;
        return NULL;
    }
    pthread_setname_np(thread->id, "ls-handler");
    pool->count++;
    return thread;
}

void pool_thread_end(struct thread *thread)
{
    struct ls_pool *pool = thread->pool;

    pthread_mutex_lock(&pool->lock);
    thread->quit = true;
    pthread_cond_signal(&thread->wake);
    pthread_mutex_unlock(&pool->lock);
    pthread_join(thread->id, NULL);
    thread_free(thread);
    pool->count--;
}
