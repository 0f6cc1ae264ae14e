#include "worker/handlers/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "worker/handlers/pool_internal.h"

#define NOTICE_MAX_MS 1000 /* a run is told so long before its deadline, or a tenth of its time */
#define GRACE_MS 2000      /* after its end a run's handler may return so much later */

static void on_async(uv_async_t *async);
static void on_notice(void *arg);
static void on_deadline(void *arg);
static void on_grace_over(void *arg);
static void dispatch(struct ls_pool *pool);

static void unlock(struct job *job)
{
    pthread_mutex_unlock(&job->pool->lock);
}

/* -------- lists -------- */

static void list_add(struct list *list, struct job *job)
{
    job->next = NULL;
    job->previous = list->last;
    if (list->last)
        list->last->next = job;
    else
        list->first = job;
    list->last = job;
}

static void list_remove(struct list *list, struct job *job)
{
    if (job->previous)
        job->previous->next = job->next;
    else
        list->first = job->next;
    if (job->next)
        job->next->previous = job->previous;
    else
        list->last = job->previous;
    job->next = job->previous = NULL;
}

/* -------- threads come and go -------- */

/* A free one, or a new one; NULL: not now. */
static struct thread *thread_take(struct ls_pool *pool)
{
    struct thread *thread = pool->idle;

    if (thread) {
        pool->idle = thread->next;
        return thread;
    }
    if (pool->count >= pool->max || ls_pool_left_behind(pool) > pool->max)
        return NULL;
    return pool_thread_new(pool);
}

static void unpost(struct job *job)
{
    struct ls_pool *pool = job->pool;
    struct job **at = &pool->posted, *before = NULL;

    while (*at != job) {
        before = *at;
        at = &(*at)->next_posted;
    }
    *at = job->next_posted;
    if (pool->last_posted == job)
        pool->last_posted = before;
    job->posted = false;
}

/* Its handler does not return: the job is its thread's to free. False: it has returned meanwhile. */
static bool leave_behind(struct job *job)
{
    struct ls_pool *pool = job->pool;

    pthread_mutex_lock(&pool->lock);
    if (job->returned) {
        pthread_mutex_unlock(&pool->lock);
        return false;
    }
    if (job->posted)
        unpost(job);
    list_remove(&pool->running, job);
    job->left = true;
    pool->left++;
    pool->users++;
    pool->count--;
    pthread_detach(job->thread->id);
    pthread_mutex_unlock(&pool->lock);
    return true;
}

int ls_pool_left_behind(struct ls_pool *pool)
{
    int left;

    pthread_mutex_lock(&pool->lock);
    left = pool->left;
    pthread_mutex_unlock(&pool->lock);
    return left;
}

/* -------- runs -------- */

static void start_timer(struct job *job, ls_timer_cb *due, int64_t delay_ms)
{
    ls_timer_close(&job->timer);
    job->timer = ls_timer_new(job->pool->loop, due, job);
    ls_timer_start(job->timer, delay_ms);
}

static void set_deadline(struct job *job)
{
    int64_t runners = ls_run_deadline_ms(job->run), left_ms, notice_ms;

    job->own_deadline = runners == 0;
    if (job->own_deadline && job->kind->timeout_ms == 0)
        return;
    left_ms =
        job->own_deadline ? job->kind->timeout_ms : runners - (int64_t)uv_now(job->pool->loop);
    left_ms = left_ms > 0 ? left_ms : 0;
    job->deadline_ms = ls_clock_mono_ms() + left_ms;
    notice_ms = left_ms / 10 < NOTICE_MAX_MS ? left_ms / 10 : NOTICE_MAX_MS;
    start_timer(job, on_notice, left_ms - notice_ms);
}

static void start(struct job *job, struct thread *thread)
{
    struct ls_pool *pool = job->pool;

    job->thread = thread;
    set_deadline(job);
    pthread_mutex_lock(&pool->lock);
    job->fence = ls_run_fence(job->run);
    thread->job = job;
    pthread_cond_signal(&thread->wake);
    pthread_mutex_unlock(&pool->lock);
}

static void fail_without_thread(struct ls_pool *pool)
{
    struct job *job = pool->waiting.first;
    struct ls_run *run = job->run;
    struct ls_err err = LS_ERR_INIT;

    list_remove(&pool->waiting, job);
    pool_job_free(job);
    ls_fail_errno(&err, "cannot start a thread for the handler");
    ls_run_fail(run, &err);
}

static void dispatch(struct ls_pool *pool)
{
    while (pool->waiting.first && !pool->closed) {
        struct job *job = pool->waiting.first;
        struct thread *thread = thread_take(pool);
        if (thread) {
            list_remove(&pool->waiting, job);
            list_add(&pool->running, job);
            start(job, thread);
        } else if (pool->count > 0 || ls_pool_left_behind(pool) > 0) {
            return; /* one will be free, or the process is replaced */
        } else {
            fail_without_thread(pool);
        }
    }
}

void ls_pool_begin(struct ls_pool *pool, const struct ls_pool_kind *kind, struct ls_run *run)
{
    struct job *job = LS_NEW(struct job);

    ls_guest_init(&job->guest, run, &pool_calls, NULL);
    job->pool = pool;
    job->kind = kind;
    job->run = run;
    job->wants_result = ls_run_wants_result(run);
    *ls_run_state(run) = job;
    list_add(&pool->waiting, job);
    dispatch(pool);
}

/* What the handler has told so far. */
static void apply(struct job *job)
{
    struct ls_run *run = job->run;
    char *checkpoint, *result, progress[LS_POOL_PROGRESS_BYTES + 1];
    size_t checkpoint_length, result_length;
    int64_t done, total;
    bool has_progress;

    pthread_mutex_lock(&job->pool->lock);
    checkpoint = job->checkpoint;
    checkpoint_length = job->checkpoint_length;
    result = job->result;
    result_length = job->result_length;
    has_progress = job->has_progress;
    done = job->done;
    total = job->total;
    memcpy(progress, job->progress, sizeof(progress));
    job->checkpoint = job->result = NULL;
    job->has_progress = false;
    unlock(job);
    if (run && checkpoint)
        ls_run_checkpoint(run, checkpoint, checkpoint_length);
    if (run && has_progress)
        ls_run_progress(run, done, total, progress[0] ? progress : NULL);
    if (run && result)
        ls_run_result(run, result, result_length, NULL);
    free(checkpoint);
    free(result);
}

/* The run is settled: the handler is told, and has a grace to return. */
static void forget(struct job *job)
{
    job->run = NULL;
    pthread_mutex_lock(&job->pool->lock);
    job->stop = job->settled = true;
    pthread_cond_broadcast(&job->pool->answered);
    unlock(job);
    start_timer(job, on_grace_over, GRACE_MS);
}

void ls_pool_cancel(struct ls_run *run)
{
    struct job *job = *ls_run_state(run);

    if (!job->thread) {
        list_remove(&job->pool->waiting, job);
        pool_job_free(job);
        return;
    }
    apply(job);
    forget(job);
}

void ls_pool_ask_stop(struct ls_run *run)
{
    struct job *job = *ls_run_state(run);
    struct ls_err err = LS_ERR_INIT;

    if (job->thread) {
        pthread_mutex_lock(&job->pool->lock);
        job->stop = true;
        unlock(job);
        return;
    }
    list_remove(&job->pool->waiting, job);
    pool_job_free(job);
    ls_fail(&err, LS_E_CANCELLED, "cancelled before it began");
    ls_run_fail(run, &err);
}

static void on_notice(void *arg)
{
    struct job *job = arg;

    pthread_mutex_lock(&job->pool->lock);
    job->stop = true;
    unlock(job);
    if (job->own_deadline)
        start_timer(job, on_deadline, job->deadline_ms - ls_clock_mono_ms());
    else
        ls_timer_close(&job->timer); /* the runner will cancel it */
}

static bool has_returned(struct job *job)
{
    bool returned;

    pthread_mutex_lock(&job->pool->lock);
    returned = job->returned;
    unlock(job);
    return returned;
}

static void on_deadline(void *arg)
{
    struct job *job = arg;
    struct ls_run *run = job->run;
    struct ls_err err = LS_ERR_INIT;
    char text[32];

    ls_timer_close(&job->timer);
    if (has_returned(job))
        return;
    apply(job);
    forget(job);
    ls_fail(&err, LS_E_LOST, "job timeout: not done after %s",
            ls_duration_format(text, sizeof(text), job->kind->timeout_ms));
    snprintf(err.reason, sizeof(err.reason), "job_timeout");
    ls_run_fail(run, &err);
}

static void on_grace_over(void *arg)
{
    struct job *job = arg;
    struct ls_pool *pool = job->pool;
    char kind[80], id[160];
    int left;

    ls_timer_close(&job->timer);
    snprintf(kind, sizeof(kind), "%s", job->guest.view.kind);
    snprintf(id, sizeof(id), "%s", job->guest.view.id);
    if (!leave_behind(job))
        return;
    left = ls_pool_left_behind(pool);
    ls_log_with(LS_LOG_WARN, "handler.left_behind", LS_FIELDS({"job", id}, {"kind", kind}),
                "the handler of kind '%s' does not return: its thread is left behind (%d now)",
                kind, left);
    if (left > pool->max && !pool->told_worn) {
        char reason[80];
        pool->told_worn = true;
        snprintf(reason, sizeof(reason), "%d threads of handlers that do not return", left);
        pool->worn(pool->arg, reason);
    }
    dispatch(pool);
}

/* -------- what the threads posted -------- */

/* returned: as it was when it was taken; a thread that returns later posts again. */
static struct job *take_posted(struct ls_pool *pool, bool *returned)
{
    struct job *first;

    pthread_mutex_lock(&pool->lock);
    first = pool->posted;
    if (first) {
        pool->posted = first->next_posted;
        first->posted = false;
        *returned = first->returned;
    }
    pthread_mutex_unlock(&pool->lock);
    return first;
}

static void answer(struct job *job)
{
    pthread_mutex_lock(&job->pool->lock);
    if (job->asking && job->run) {
        job->fence = ls_run_fence(job->run);
        job->may_write = ls_run_may_write(job->run);
    }
    job->asking = false;
    pthread_cond_broadcast(&job->pool->answered);
    unlock(job);
}

/* The handler has returned: its thread is free, its run ends. */
static void finish(struct job *job)
{
    struct ls_guest_ending ending = job->ending;
    struct ls_run *run = job->run;
    int code = job->code;

    list_remove(&job->pool->running, job);
    job->thread->next = job->pool->idle;
    job->pool->idle = job->thread;
    job->ending = (struct ls_guest_ending){0};
    pool_job_free(job);
    if (!run) {
        free(ending.data);
        return;
    }
    if (!ending.told && code != 0) {
        ending.outcome = LOCKSTEP_RUN_RETRY;
        snprintf(ending.text, sizeof(ending.text), "the handler returned %d", code);
    }
    ls_guest_settle(run, &ending);
}

static void on_async(uv_async_t *async)
{
    struct ls_pool *pool = async->data;
    /* A handler that tells without end holds nobody up; one without threads wakes nobody. */
    int bound = pool->count > 0 ? pool->count : 1;
    struct job *job;
    bool returned;

    while (!pool->closed && bound-- > 0 && (job = take_posted(pool, &returned))) {
        apply(job);
        if (returned)
            finish(job);
        else
            answer(job);
    }
    if (pool->closed)
        return;
    if (bound < 0)
        uv_async_send(&pool->async);
    dispatch(pool);
}

/* -------- the whole -------- */

struct ls_pool *ls_pool_new(uv_loop_t *loop, int threads, ls_pool_worn_cb *worn, void *arg)
{
    struct ls_pool *pool = LS_NEW(struct ls_pool);
    pthread_condattr_t attr;

    pool->loop = loop;
    pool->max = threads;
    pool->worn = worn;
    pool->arg = arg;
    pool->pid = getpid();
    pool->users = 1;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->answered, &attr);
    pthread_condattr_destroy(&attr);
    uv_async_init(loop, &pool->async, on_async);
    uv_unref((uv_handle_t *)&pool->async);
    pool->async.data = pool;
    return pool;
}

/* exit() would run destructors of the shared objects under the feet of what still runs in them. */
static void end_at_once(int status, void *arg)
{
    _exit(status);
}

static void on_closed(uv_handle_t *handle)
{
    struct ls_pool *pool = handle->data;

    pthread_mutex_lock(&pool->lock);
    pool_release(pool);
}

/* Those whose handlers have returned are as idle ones. */
static void leave_running(struct ls_pool *pool)
{
    struct job *job;

    while ((job = pool->running.first)) {
        ls_timer_close(&job->timer);
        if (leave_behind(job))
            continue;
        list_remove(&pool->running, job);
        job->thread->next = pool->idle;
        pool->idle = job->thread;
        pool_job_free(job);
    }
}

int ls_pool_close(struct ls_pool **pointer)
{
    struct ls_pool *pool = *pointer;
    int left;

    *pointer = NULL;
    if (!pool)
        return 0;
    pthread_mutex_lock(&pool->lock);
    pool->closed = true;
    for (; pool->posted; pool->posted = pool->posted->next_posted) /* nobody takes them any more */
        pool->posted->posted = false;
    pool->last_posted = NULL;
    pthread_cond_broadcast(&pool->answered);
    pthread_mutex_unlock(&pool->lock);
    leave_running(pool);
    while (pool->idle) {
        struct thread *thread = pool->idle;
        pool->idle = thread->next;
        pool_thread_end(thread);
    }
    left = ls_pool_left_behind(pool);
    if (left > 0)
        on_exit(end_at_once, NULL);
    uv_close((uv_handle_t *)&pool->async, on_closed);
    return left;
}
