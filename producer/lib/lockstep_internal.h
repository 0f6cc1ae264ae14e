/* What the files of liblockstep share: the handle, and the way from a call to its answer. */
#ifndef LS_LIB_LOCKSTEP_INTERNAL_H
#define LS_LIB_LOCKSTEP_INTERNAL_H

#include <lockstep/lockstep.h>

#include "common/job/envelope.h"
#include "common/queue/outcome.h"
#include "common/redis/sync.h"
#include "producer/lib/pusher.h"

struct ls_inline;

struct lockstep {
    char *address; /* NULL: found at the first connect */
    int64_t timeout_ms;
    struct ls_redis_sync *redis; /* NULL: not connected yet */
    struct ls_inline *inlined;   /* NULL: jobs go to Redis */
    struct ls_pusher_queue **queues;
    size_t queue_count;
    char **kinds; /* allowed besides the known ones */
    size_t kind_count;
    /* Texts of the last outcome that was given out: its result, error and class, each with its NUL. */
    struct ls_buf outcome;
    enum lockstep_code code;
    char text[sizeof(((struct ls_err *)0)->text) + sizeof(((struct ls_err *)0)->hint) + 16];
};

/* A job that was checked and written, on its way. */
struct ls_lib_job {
    struct ls_pusher_queue *queue;
    struct ls_push_job job; /* its spans lie with the caller's texts and in push.bytes */
    struct ls_span id;
    size_t offset, id_offset; /* of envelope and id, while push.bytes may still move */
    bool status;
};

/* ---- lockstep.c: the handle ---- */

/* The first thing of a call: no failure yet. */
void ls_lib_begin(struct lockstep *ls);
/* Keep the failure for lockstep_strerror. Returns -1. */
int ls_lib_failed(struct lockstep *ls, const struct ls_err *err);
int ls_lib_connect(struct lockstep *ls, struct ls_err *err);
/* Send a command that may be done twice: once more where the connection was closed or is lost, as
 * one is that died while nobody used it. */
int ls_lib_repeat(struct lockstep *ls, const struct ls_cmd *cmd, const struct ls_reply **reply,
                  struct ls_err *err);
/* The same for one that only reads: a lost answer is LS_E_NETWORK, nothing was done. */
int ls_lib_read(struct lockstep *ls, const struct ls_cmd *cmd, const struct ls_reply **reply,
                struct ls_err *err);
/* After a failure: answers that nobody reads must not meet the next call. */
void ls_lib_disconnect_if_pending(struct lockstep *ls);
/* The names of a queue (NULL: "default"), kept in the handle. */
struct ls_pusher_queue *ls_lib_queue(struct lockstep *ls, const char *name, struct ls_err *err);
/* -1 with LS_E_USAGE when the handle is not in inline mode. */
int ls_lib_check_inline(const struct lockstep *ls, struct ls_err *err);
/* Give an outcome out; its texts are copied into the handle. id: at most LOCKSTEP_ID_SIZE - 1 bytes. */
void ls_lib_give_outcome(struct lockstep *ls, const struct ls_outcome *outcome, struct ls_span id,
                         struct lockstep_job_outcome *out);

/* ---- look.c ---- */

#define LS_LIB_LETTER_TEXTS 7

/* One dead letter to the caller's function; what it returned. bufs hold its texts meanwhile. */
int ls_lib_give_letter(int64_t index, struct ls_span text, lockstep_dead_cb *cb, void *arg,
                       struct ls_buf bufs[LS_LIB_LETTER_TEXTS]);

/* ---- inline.c, inline_run.c: the same calls without Redis ---- */

struct ls_inline *ls_inline_new(void);
void ls_inline_free(struct ls_inline *queue);
int64_t ls_inline_now_ms(const struct ls_inline *queue);
/* Does it serve the kind? -1 with *err: only in a form that cannot run here. */
int ls_inline_serves(const struct ls_inline *queue, const char *kind, struct ls_err *err);
/* What became of a pushed job. */
enum ls_inline_pushed {
    LS_INLINE_NEW,
    LS_INLINE_KNOWN,
    LS_INLINE_COALESCED,
    LS_INLINE_CHANGED,
    LS_INLINE_KEPT,
    LS_INLINE_REJECTED
};
enum ls_inline_pushed ls_inline_push(struct ls_inline *queue, const struct ls_lib_job *job);
/* Run what was pushed, unless it is deferred or a handler is running: then it runs afterwards. */
int ls_inline_settle(struct lockstep *ls, struct ls_err *err);
void ls_inline_outcome(const struct ls_inline *queue, const char *name, struct ls_span id,
                       struct ls_outcome *outcome);
/* By id or by key; the other is {0}. true: something is cancelled that was not. */
bool ls_inline_cancel(struct ls_inline *queue, const char *name, struct ls_span id,
                      struct ls_span key);
void ls_inline_stat(const struct ls_inline *queue, const char *name,
                    struct lockstep_queue_stat *stat);
int64_t ls_inline_dead_list(const struct ls_inline *queue, const char *name, int64_t offset,
                            int64_t limit, lockstep_dead_cb *cb, void *arg);

#endif
