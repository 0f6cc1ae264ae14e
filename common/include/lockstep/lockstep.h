/* liblockstep: put jobs into lockstep's queues and look at them, from C or C++.
 *
 *     struct lockstep *ls = lockstep_open(NULL);
 *     struct lockstep_job job = LOCKSTEP_JOB("http", "{\"url\":\"https://example.org/hook\"}");
 *     if (lockstep_push(ls, &job, NULL) < 0)
 *         fprintf(stderr, "%s\n", lockstep_strerror(ls));
 *     lockstep_close(ls);
 *
 * Blocking: a call is one or a few round trips to Redis, and each trip ends within the handle's
 * deadline (5 s, lockstep_timeout), connecting included.
 *
 * Threads: a handle may be used by one thread at a time; any number of handles may be used at once.
 * After fork() only one of the two processes may go on using a handle; let each process open its
 * own. No call installs signal handlers, raises SIGPIPE or writes to standard streams. When memory
 * runs out the process is ended by abort(), the one way in which the library ends it.
 *
 * A lost connection is opened anew by the next call. A push whose answer was lost is repeated once
 * by itself where that cannot double a job: where each job has a key and mode "latest", or no key
 * and an id of the caller's. Else it is LOCKSTEP_E_LOST and the caller decides. Repeated, by the
 * library or the caller, a push of mode "latest" is one more push of its key: the body that comes
 * last wins, also over one that another pushed in between, and a run that began in between is
 * followed by another one with the same body. Without an id of the caller's each call of
 * lockstep_push makes a job of its own, with an id of its own.
 *
 * Strings are UTF-8, ended by NUL. Calls return 0 or a count, or -1 and leave a sentence for
 * lockstep_strerror and a code for lockstep_errcode. The binary interface is stable within a
 * SOVERSION: structs only grow at their end, and `size` says which one the caller knows. */
#ifndef LOCKSTEP_LOCKSTEP_H
#define LOCKSTEP_LOCKSTEP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define LOCKSTEP_API __attribute__((visibility("default")))
#else
#define LOCKSTEP_API
#endif

struct lockstep;

/* What went wrong, for programs. */
enum lockstep_code {
    LOCKSTEP_OK = 0,
    LOCKSTEP_E_USAGE = 1,       /* an argument is off: nothing was sent */
    LOCKSTEP_E_CONFIG = 2,      /* the address or the configuration is off: nothing was sent */
    LOCKSTEP_E_UNREACHABLE = 3, /* no Redis, or not in time: nothing was done; again later */
    LOCKSTEP_E_LOST = 4,        /* the answer never came: it may or may not have been done */
    LOCKSTEP_E_REFUSED = 5,     /* Redis refused: memory full, password, permission */
    LOCKSTEP_E_FULL = 6,        /* the queue is at its bound, or takes nothing because it is being
                                   drained: again later */
    LOCKSTEP_E_REJECTED = 7     /* mode "reject": a job with this key waits or runs */
};

/* Open a handle; the first call that needs Redis connects. address:
 * "redis://[USER:PASSWORD@]HOST[:PORT][/DB]", "rediss://..." (TLS), "unix:///path/redis.sock";
 * NULL: the environment variable LOCKSTEP_REDIS, else what the configuration file says that the
 * command line would find (LOCKSTEP_CONFIG, ./lockstep.yaml, /etc/lockstep/lockstep.yaml), else the
 * own Redis of a pool in ./lockstep-state. Never NULL: what is wrong with the address is told by
 * the first call that needs it. "inline:" is for tests: no Redis, jobs run in the caller
 * (lockstep/inline.h). */
LOCKSTEP_API struct lockstep *lockstep_open(const char *address);
/* Accepts NULL. */
LOCKSTEP_API void lockstep_close(struct lockstep *ls);
/* The deadline of a trip to Redis from the next connection on, in ms; 0 is the default, 5000. Ends
 * the present connection. */
LOCKSTEP_API void lockstep_timeout(struct lockstep *ls, int64_t timeout_ms);

/* The last failure of this handle as a sentence with a hint; "" when the last call went well. Valid
 * until the next call on the handle. */
LOCKSTEP_API const char *lockstep_strerror(const struct lockstep *ls);
LOCKSTEP_API enum lockstep_code lockstep_errcode(const struct lockstep *ls);

/* A job. Zero everything that is not needed: LOCKSTEP_JOB does. Nothing is kept after the call. */
struct lockstep_job {
    size_t size;       /* sizeof(struct lockstep_job) */
    const char *kind;  /* what to do: "product", "http", "exec", "noop", ... */
    const char *data;  /* a JSON value; NULL: none */
    const char *queue; /* NULL: "default" */
    /* The shop or site whose budget the job uses, [a-z0-9._-]; NULL: none. */
    const char *account;
    /* Jobs with the same key never run at the same time, and a newer one takes the place of one
     * that waits: the newer job then speaks for the key, the one it replaced keeps the state it
     * had ("pending") until that expires. At most 512 bytes without quotes, backslashes and control
     * characters; NULL: none. */
    const char *key;
    /* At most 128 printable ASCII characters without space, quote and backslash. An id of the
     * caller's is taken once in 24 h (jobs with a key are not looked up). NULL: a new one is made.
     */
    const char *id;
    const char *priority; /* "high", "normal", "low"; NULL: normal */
    int64_t delay_ms;     /* not before so long from now, by Redis' clock; at most 3,650 days */
    int64_t at_ms;        /* not before this time, ms since 1970; not together with delay_ms */
    int64_t timeout_ms;   /* deadline of one run; 0: the handler's */
    int64_t max_attempts; /* 0: the queue's */
    int64_t max_age_ms;   /* 0: the queue's */
    int status;           /* not 0: Redis keeps `status:<id>` for a day */
    /* For jobs with a key: what becomes of this push while one of the key waits. "latest": it takes
     * the place of the other. "keep": the other one stays and this one is dropped. "reject":
     * LOCKSTEP_E_REJECTED, also while one runs. NULL: "latest". */
    const char *mode;
    int64_t
        debounce_ms; /* for jobs with a key: not before so long after the key's newest push ... */
    int64_t max_wait_ms; /* ... but at most so long after its first; 0: no limit */
    int result;          /* not 0: Redis keeps status and result for as long as the queue's
                            result_ttl says; lockstep_result reads them */
};

/* struct lockstep_job job = LOCKSTEP_JOB("noop", NULL); */
#define LOCKSTEP_JOB(job_kind, job_data)                                                           \
    {                                                                                              \
        sizeof(struct lockstep_job), job_kind, job_data, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
            0                                                                                      \
    }

/* Kinds that lockstep does not know are refused at the push rather than found dead later. This lets
 * one of your own handlers' through, for this handle. */
LOCKSTEP_API void lockstep_allow_kind(struct lockstep *ls, const char *kind);

/* A buffer for an id: 26 characters of a new one, up to 128 of the caller's, and a NUL. */
#define LOCKSTEP_ID_SIZE 129

/* Put one job into its queue. 1: it is there. 0: nothing new: a job with this id of the caller's
 * was taken before, or one with the same key waits, and the mode says which of the two stays. -1:
 * failed. id_out (may be NULL, else LOCKSTEP_ID_SIZE bytes) gets the job's id. The job is checked
 * first: an unknown kind, priority or mode, a time below zero or above 3,650 days, data that is no
 * JSON, more than 64 KiB are LOCKSTEP_E_USAGE. */
LOCKSTEP_API int lockstep_push(struct lockstep *ls, const struct lockstep_job *job, char *id_out);

/* Put many in as few trips as possible, hundreds of thousands of jobs a second. All are checked
 * before the first is sent. Jobs keep their order within queue and priority. Returns how many are
 * new in their queues (see lockstep_push); one that its mode rejects is not, and is no failure
 * here. -1: failed; *pushed (may be NULL) then tells how many of
 * the first jobs are surely in; some of those behind them may be in as well. ids_out (may be NULL)
 * has room for count ids. */
LOCKSTEP_API int64_t lockstep_push_many(struct lockstep *ls, const struct lockstep_job *jobs,
                                        size_t count, char (*ids_out)[LOCKSTEP_ID_SIZE],
                                        size_t *pushed);

/* How a job stands. From LOCKSTEP_DONE on it has ended. */
enum lockstep_state {
    LOCKSTEP_UNKNOWN = 0, /* no such job, one pushed without status and result, or long ago */
    LOCKSTEP_PENDING = 1, /* waits */
    LOCKSTEP_RUNNING = 2,
    LOCKSTEP_RETRYING = 3, /* failed, waits for its next attempt */
    LOCKSTEP_DONE = 4,
    LOCKSTEP_DEAD = 5, /* failed for good */
    LOCKSTEP_CANCELLED = 6
};
/* "unknown", "pending", ... */
LOCKSTEP_API const char *lockstep_state_name(enum lockstep_state state);

/* What became of a job. The texts belong to the handle and are valid until the next call on it. */
struct lockstep_job_outcome {
    size_t size; /* sizeof(struct lockstep_job_outcome), set by the caller */
    enum lockstep_state state;
    const char *result;      /* done: the handler's result, JSON; NULL: it gave none */
    const char *error;       /* dead: why, in a sentence; NULL: not known (any more) */
    const char *error_class; /* dead: "permanent", "transient", ...; NULL: not known (any more) */
    char id[LOCKSTEP_ID_SIZE];
};

/* Now, else queued: put one job into its queue, with status and result, and wait up to timeout_ms
 * for its end. 1: it has ended, *out says how. 0: it has not; it is in its queue and goes on without
 * us (lockstep_result asks later), or it is nothing new (see lockstep_push: a job with a known id is
 * waited for, one that its mode dropped is LOCKSTEP_UNKNOWN at once). -1: failed as lockstep_push
 * would; out->id tells the id, and out->state is LOCKSTEP_UNKNOWN. A connection that is lost while
 * waiting is opened anew; the job is safe. */
LOCKSTEP_API int lockstep_push_wait(struct lockstep *ls, const struct lockstep_job *job,
                                    int64_t timeout_ms, struct lockstep_job_outcome *out);

/* How a job stands that was pushed with status or result; queue NULL: "default". 1: *out says it. 0:
 * LOCKSTEP_UNKNOWN. -1: failed. */
LOCKSTEP_API int lockstep_result(struct lockstep *ls, const char *queue, const char *id,
                                 struct lockstep_job_outcome *out);

/* Cancel a job by its id, or whatever waits or runs of a key. A waiting one does not run: one with a
 * key is dropped at once, another when its turn comes. A running one is asked to stop and ends soon.
 * 1: cancelled. 0: it was before (by id), or there is none (by key). -1: failed. An id that no
 * job has met yet is remembered for 30 days: a job pushed with it in that time is dropped, one that
 * is due only later runs all the same. */
LOCKSTEP_API int lockstep_cancel(struct lockstep *ls, const char *queue, const char *id);
LOCKSTEP_API int lockstep_cancel_key(struct lockstep *ls, const char *queue, const char *key);

/* How a queue stands. One trip, cheap at any length. */
struct lockstep_queue_stat {
    size_t size;           /* sizeof(struct lockstep_queue_stat), set by the caller */
    int64_t depth;         /* jobs that wait: in the three lanes, or held */
    int64_t oldest_age_ms; /* of the oldest at the head of a lane; -1: none, or unknown */
    int64_t running;       /* claimed by workers */
    int64_t delayed; /* scheduled, waiting for the next attempt, or for the account's budget */
    int64_t failed;  /* dead: waiting for a person */
    int64_t workers; /* with a lease */
    int paused;
    int64_t held; /* of depth: moved aside, behind others of their account */
    int closed;   /* takes no pushes: it is being drained */
};
/* queue NULL: "default". A queue that was never used is empty. */
LOCKSTEP_API int lockstep_queue_stat(struct lockstep *ls, const char *queue,
                                     struct lockstep_queue_stat *stat);

/* A dead job. Texts are never NULL, "" where there is nothing, and valid during the callback only.
 */
struct lockstep_dead {
    size_t size;
    int64_t index; /* from 0, the newest */
    const char *id;
    const char *kind;
    const char *account;
    const char *key;
    const char *error;       /* why, in a sentence */
    const char *error_class; /* "permanent", "transient", "malformed", ... */
    int64_t attempts;
    int64_t failed_at_ms; /* ms since 1970 */
    const char *letter;   /* the whole dead letter, JSON, as it lies in Redis */
};
/* Return 0 to go on, anything else to stop. It must not use the handle. */
typedef int lockstep_dead_cb(void *arg, const struct lockstep_dead *dead);
/* Walk the dead jobs of a queue (NULL: "default") from `offset` (0: the newest), at most `limit`
 * (0: all), read in slices. Jobs that die meanwhile shift the list by as many. Returns how many
 * were given to cb. */
LOCKSTEP_API int64_t lockstep_dead_list(struct lockstep *ls, const char *queue, int64_t offset,
                                        int64_t limit, lockstep_dead_cb *cb, void *arg);

/* "0.1.0", of the library that runs. */
LOCKSTEP_API const char *lockstep_version(void);

#ifdef __cplusplus
}
#endif

#endif
