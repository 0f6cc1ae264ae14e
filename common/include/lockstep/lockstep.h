/* liblockstep: put jobs into lockstep's queues and look at them, from C or C++.
 *
 *     struct lockstep *ls = lockstep_open(NULL);
 *     struct lockstep_job job = LOCKSTEP_JOB("http", "{\"url\":\"https://example.org/hook\"}");
 *     if (!ls || lockstep_push(ls, &job, NULL) < 0)
 *         fprintf(stderr, "%s\n", lockstep_strerror(ls));
 *     lockstep_close(ls);
 *
 * Blocking: each call is at most a few round trips to Redis and ends within the handle's deadline
 * (5 s, lockstep_timeout). A handle may be used by one thread at a time; any number of handles may
 * be used at once, by as many threads. After fork() only one of the two processes may go on using a
 * handle: let each process open its own. No call installs signal handlers, writes to standard
 * streams or reads the clock of another machine; SIGPIPE is not raised. When memory runs out the
 * process is ended by abort(): this is the one way in which the library can end it.
 *
 * A lost connection is opened anew by the next call. A push whose answer was lost is sent again by
 * itself once if that cannot double the job: lockstep_push and lockstep_push_many give every job an
 * id, and a queue takes an id once. Strings are UTF-8, ended by NUL. Calls return 0 or a count, or
 * -1 and leave a sentence for lockstep_strerror and a code for lockstep_errcode.
 *
 * The binary interface is stable within a SOVERSION: structs only grow at their end, behind `size`.
 */
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
    LOCKSTEP_E_USAGE = 1,  /* an argument is off: fix the call; nothing was sent */
    LOCKSTEP_E_CONFIG = 2, /* the address or the configuration is off */
    LOCKSTEP_E_UNREACHABLE =
        3,               /* no Redis answered, or not in time: nothing was done; try again later */
    LOCKSTEP_E_LOST = 4, /* the answer never came: it may or may not have been done. Push again with
                            the same id */
    LOCKSTEP_E_REFUSED = 5,  /* Redis refused: memory full, password, permission */
    LOCKSTEP_E_FULL = 6,     /* the queue has its max_length: try again later */
    LOCKSTEP_E_NOT_FOUND = 7 /* there is no such thing */
};

/* Connect lazily: the first call that needs Redis opens the connection. address:
 * "redis://[USER:PASSWORD@]HOST[:PORT][/DB]", "rediss://..." (TLS), "unix:///path/redis.sock";
 * NULL: the environment variable LOCKSTEP_REDIS, else the configuration file that the command line
 * would find (LOCKSTEP_CONFIG, ./lockstep.yaml, /etc/lockstep/lockstep.yaml), else a pool's own
 * Redis under
 * ./lockstep-state. Never NULL: what is wrong with the address is told by the first call that needs
 * it. */
LOCKSTEP_API struct lockstep *lockstep_open(const char *address);
/* Accepts NULL. */
LOCKSTEP_API void lockstep_close(struct lockstep *ls);
/* The deadline of each call from now on, in ms; 0 is the default, 5000. */
LOCKSTEP_API void lockstep_timeout(struct lockstep *ls, int64_t timeout_ms);

/* The last failure of this handle as a sentence with a hint; "" when there was none. Valid until
 * the next call on the handle. */
LOCKSTEP_API const char *lockstep_strerror(const struct lockstep *ls);
LOCKSTEP_API enum lockstep_code lockstep_errcode(const struct lockstep *ls);

/* A job. Zero everything that is not needed: LOCKSTEP_JOB does. Nothing is kept after the call. */
struct lockstep_job {
    size_t size;         /* sizeof(struct lockstep_job) */
    const char *kind;    /* what to do: "product", "http", "exec", "noop", ... ; required */
    const char *data;    /* a JSON value; NULL: {} */
    const char *queue;   /* NULL: "default" */
    const char *account; /* [a-z0-9._-]; NULL: none */
    const char *key; /* jobs with the same key run one after another, and while one waits a newer
                        one takes its place. At most 512 bytes without quotes, backslashes and
                        control characters; NULL: none */
    const char
        *id; /* 1 to 64 of [A-Za-z0-9._:-]; a queue takes an id once. NULL: a new one is made */
    const char *priority; /* "high", "low"; NULL: normal */
    int64_t delay_ms;     /* not before so long from now (Redis' clock) */
    int64_t at_ms;      /* not before this time (ms since 1970, UTC); 0: at once. Not together with
                           delay_ms */
    int64_t timeout_ms; /* deadline of one run; 0: the handler's */
    int64_t max_attempts; /* 0: the queue's */
    int64_t max_age_ms;   /* 0: the queue's */
    int status;           /* not 0: keep a status under `status:<id>` (lockstep push --wait) */
};
#define LOCKSTEP_JOB(job_kind, job_data)                                                 \
    {                                                                                    \
        sizeof(struct lockstep_job), job_kind, job_data, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 \
    }

/* A buffer for an id: 26 characters of a new one, up to 64 of the caller's, and a NUL. */
#define LOCKSTEP_ID_SIZE 65

/* Put one job into its queue. Returns 1; 0 when a job with this id was taken before (nothing
 * changed), or when a keyed job took the place of one that waited; -1. id_out (may be NULL, else
 * LOCKSTEP_ID_SIZE bytes) gets the job's id, also after a failure, so that the same push can be
 * repeated with it. The envelope is checked first: an unknown priority, a body over 64 KiB, data
 * that is no JSON are LOCKSTEP_E_USAGE. */
LOCKSTEP_API int lockstep_push(struct lockstep *ls, const struct lockstep_job *job, char *id_out);

/* Put many at once: everything is checked, then sent in as few trips as possible (hundreds of
 * thousands a second). Jobs keep their order within queue and priority. Returns how many were
 * taken, -1 after a failure; then *pushed (may be NULL) tells how many of the first jobs are surely
 * in. Repeating all of them with their ids doubles none. ids_out (may be NULL) has room for count
 * ids of LOCKSTEP_ID_SIZE bytes each. Jobs without id, key, delay, at and status travel by plain
 * list pushes, the fastest way; when an answer is lost these are NOT sent again by the library:
 * LOCKSTEP_E_LOST. */
LOCKSTEP_API int64_t lockstep_push_many(struct lockstep *ls, const struct lockstep_job *jobs,
                                        size_t count, char (*ids_out)[LOCKSTEP_ID_SIZE],
                                        size_t *pushed);

/* How a queue stands. One round trip, cheap at any length. */
struct lockstep_queue_stat {
    size_t size;   /* sizeof, set by the caller */
    int64_t depth; /* jobs that could run now: the three lanes and budgeted ones that are due */
    int64_t oldest_age_ms; /* since the oldest of them was put there; -1: unknown or none */
    int64_t running;       /* claimed by workers */
    int64_t delayed;       /* scheduled, and waiting for their next attempt */
    int64_t failed;        /* in the dead list: waiting for a person */
    int64_t workers;       /* with a live lease */
    int paused;
};
LOCKSTEP_API int lockstep_queue_stat(struct lockstep *ls, const char *queue,
                                     struct lockstep_queue_stat *stat);

/* One dead job. Texts are valid during the callback only. */
struct lockstep_dead {
    size_t size;
    int64_t index;       /* from 0, the newest */
    const char *id;      /* "" when the job had none */
    const char *kind;    /* "" when it could not be read */
    const char *account; /* "" */
    const char *key;     /* "" */
    const char *error;   /* why, in a sentence */
    const char *klass;   /* "permanent", "transient", "malformed", ... */
    int64_t attempts;
    const char *failed_at; /* ISO 8601, UTC */
    const char *json;      /* the whole dead letter as it lies in Redis */
};
/* Return 0 to go on, anything else to stop. */
typedef int lockstep_dead_cb(void *arg, const struct lockstep_dead *dead);
/* Walk the dead list from `offset` (0 = newest), at most `limit` entries (0: all), read in slices.
 * Entries that arrive meanwhile may shift the list by as many. Returns how many were given to cb,
 * or -1. */
LOCKSTEP_API int64_t lockstep_dead_list(struct lockstep *ls, const char *queue, int64_t offset,
                                        int64_t limit, lockstep_dead_cb *cb, void *arg);

/* "0.1.0" of the library that runs. */
LOCKSTEP_API const char *lockstep_version(void);

#ifdef __cplusplus
}
#endif

#endif
