/* What pool.c (the loop's side) and pool_thread.c (the threads' side) share. */
#ifndef LS_HANDLERS_POOL_INTERNAL_H
#define LS_HANDLERS_POOL_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/loop/timer.h"
#include "worker/handlers/guest.h"
#include "worker/handlers/pool.h"

#define LS_POOL_PROGRESS_BYTES 200

/* A run on a thread, or waiting for one. */
struct job {
    struct ls_guest guest; /* first: the handler's calls come back with its view */
    struct ls_pool *pool;
    const struct ls_pool_kind *kind;

    /* of the loop */
    struct job *next, *previous; /* in pool->waiting or in pool->running */
    struct ls_run *run;          /* NULL: settled, the handler has not returned yet */
    struct thread *thread;
    struct ls_timer *timer; /* the notice, then the deadline, then the grace; NULL: none */
    bool wants_result;
    bool own_deadline;   /* timeout_ms counts, not the runner's */
    int64_t deadline_ms; /* monotonic; 0: none. Set before the thread begins */

    /* shared, under pool->lock */
    struct job *next_posted;
    bool posted, returned, stop, settled;
    bool left;   /* nobody but its thread knows it any more */
    bool asking; /* the thread waits for fence and may_write */
    int64_t fence;
    bool may_write;
    char *checkpoint, *result; /* newest, not applied yet; owned */
    size_t checkpoint_length, result_length;
    bool has_progress;
    int64_t done, total;
    char progress[LS_POOL_PROGRESS_BYTES + 1];
    struct ls_guest_ending ending;
    int code; /* what the handler returned */
};

struct thread {
    struct thread *next; /* idle ones */
    struct ls_pool *pool;
    pthread_t id;
    pthread_cond_t wake;
    struct job *job; /* under pool->lock */
    bool quit;       /* under pool->lock */
};

struct list {
    struct job *first, *last;
};

struct ls_pool {
    uv_loop_t *loop;
    uv_async_t async;
    ls_pool_worn_cb *worn;
    void *arg;
    pid_t pid;
    int max, count; /* threads allowed; alive and not left behind */
    bool told_worn;
    struct list waiting, running;
    struct thread *idle;

    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct job *posted, *last_posted;
    int left;    /* threads left behind */
    int users;   /* those and the loop: the last one frees the pool */
    bool closed; /* the loop is not interested any more */
};

/* pool_thread.c */
extern const struct lockstep_run_calls pool_calls;
/* NULL with errno set: no thread. */
struct thread *pool_thread_new(struct ls_pool *pool);
/* Of an idle thread: waits for its end. */
void pool_thread_end(struct thread *thread);
void pool_job_free(struct job *job);
/* One user less; the last one frees the pool. Under the lock, which is given back. */
void pool_release(struct ls_pool *pool);

#endif
