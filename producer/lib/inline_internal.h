/* Inline mode: jobs in memory, run by the caller. inline.c keeps them in order, inline_run.c runs
 * them. */
#ifndef LS_LIB_INLINE_INTERNAL_H
#define LS_LIB_INLINE_INTERNAL_H

#include <lockstep/inline.h>

#include "producer/lib/lockstep_internal.h"

/* A job of one queue. It waits in the list, or runs. */
struct inline_job {
    struct inline_job *next;
    char queue[LS_QUEUE_NAME_MAX + 1];
    struct ls_buf bytes; /* owned: the envelope, which points into it */
    struct ls_envelope envelope;
    int64_t due_ms;
    int64_t pushed_ms; /* of a key: its first push since it last ran */
    int64_t
        latest_ms;  /* of a debounce: put off until then at most; 0: for ever; -1: there was none */
    int64_t number; /* of its push: first come, first served */
    bool backing_off; /* it failed: a newer body waits as long */
};

struct inline_kind {
    struct lockstep_handler handler; /* run NULL: of the asynchronous form, not served */
    char kind[LS_KIND_MAX + 1];
    void *self;
};

/* How a job with a status stands. */
struct inline_state {
    char *name; /* owned: "queue id" */
    enum ls_outcome_state state;
    char *result, *error; /* owned; NULL: none */
    const char *klass;    /* a literal; NULL: none */
};

/* A set of "queue id". */
struct inline_names {
    char **names;
    size_t count;
};

struct inline_letter {
    char queue[LS_QUEUE_NAME_MAX + 1];
    char *text; /* owned */
};

struct ls_inline {
    int64_t now_ms; /* the handle's clock: jumps to the next job that is due */
    int64_t numbers, fence;
    struct inline_job *jobs;    /* owned; that wait, in their order */
    struct inline_job *running; /* owned; NULL: none */
    bool cancelled;             /* the running one */
    bool deferred;
    struct inline_kind *kinds;
    size_t kind_count;
    struct inline_names ids, drops; /* taken before; to be dropped when their turn comes */
    struct inline_state *states;
    size_t state_count;
    struct inline_letter *letters; /* the newest last */
    size_t letter_count;
};

/* Write the job anew from its envelope, whose spans may point anywhere. -1: too big or too deep, it
 * stays as it was. */
int inline_job_rewrite(struct inline_job *job, const struct ls_envelope *envelope,
                       struct ls_err *err);
void inline_job_free(struct inline_job *job);
/* The job back among those that wait, after it ran: behind the others of its time, or where it was.
 * When a newer body of its key waits, that one stays, and waits as long. */
void inline_requeue(struct ls_inline *queue, struct inline_job *job, int64_t due_ms, bool behind);
/* The next job, the clock set to its time; NULL: none. Cancelled ones are dropped on the way. */
struct inline_job *inline_take(struct ls_inline *queue);
/* Keep the state, if the job has one to keep. Texts are copied. */
void inline_say(struct ls_inline *queue, const struct inline_job *job, enum ls_outcome_state state,
                struct ls_span text, const char *klass);
void inline_bury(struct ls_inline *queue, const struct inline_job *job, struct ls_buf *letter);

struct inline_kind *inline_kind_find(const struct ls_inline *queue, struct ls_span kind);
/* inline_run.c: `close` of all handlers. */
void inline_kinds_close(struct ls_inline *queue);

#endif
