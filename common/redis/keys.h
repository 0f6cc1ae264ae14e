/* Every key name of lockstep. A queue's keys share the hash tag {queue}, so that a cluster keeps
 * them in one slot; what belongs to the whole fleet has the tag {fleet}. No other file builds a key
 * name, and no Lua script computes one: lua/README.md says what lies in each. */
#ifndef LS_REDIS_KEYS_H
#define LS_REDIS_KEYS_H

#include <stddef.h>

#include "common/base/err.h"
#include "common/base/span.h"

/* The names of one queue, built once. The strings belong to the struct and live until
 * ls_keys_fini. */
struct ls_keys {
    const char *queue;        /* "default" */
    const char *pending_high; /* lockstep:{default}:pending:high   LIST */
    const char *pending;      /* lockstep:{default}:pending        LIST */
    const char *pending_low;  /* lockstep:{default}:pending:low    LIST */
    const char *workers;      /* ZSET worker -> lease deadline, ms */
    const char *delayed;      /* ZSET envelope or pointer -> due, ms */
    const char *reserved;     /* ZSET envelope or pointer -> paid due, ms */
    const char *held;  /* ZSET '<account> <digit> <serial> <item>' -> 0: waits behind its account */
    const char *ring;  /* ZSET account -> when to look at what it holds, us */
    const char *slots; /* HASH fence -> account whose place the claim holds */
    const char *progress;    /* HASH fence -> how far the run is */
    const char *dead;        /* LIST of dead letters, newest first */
    const char *dead_groups; /* lockstep:{default}:dead:groups    HASH */
    const char *discarded;  /* lockstep:{default}:dead:discarded LIST, who discarded what and why */
    const char *keys;       /* HASH key -> state */
    const char *bodies;     /* HASH key -> newest waiting envelope */
    const char *limits;     /* HASH account/field -> value */
    const char *ids;        /* ZSET job id -> expiry, ms */
    const char *cancelled;  /* ZSET job id, or '@<fence>' of a run -> expiry, ms */
    const char *fence;      /* STRING, last claim number */
    const char *wake;       /* LIST of tokens; idle runners BLPOP it */
    const char *control;    /* HASH paused, bound, schema */
    const char *stats;      /* HASH counter -> total */
    const char *stats_ring; /* lockstep:{default}:stats:ring     HASH minute/counter -> count */
    char *block;            /* owned: all of the above */
};

/* Room for any key name below and its NUL. */
#define LS_KEY_SIZE 256
#define LS_QUEUE_NAME_MAX 64

/* Is it a name for a queue: 1 to 64 of [a-z0-9._-], not "fleet"? -1 with LS_E_USAGE and a hint. */
int ls_queue_name_check(const char *queue, struct ls_err *err);

/* -1 with LS_E_USAGE when the name will not do. */
int ls_keys_init(struct ls_keys *keys, const char *queue, struct ls_err *err);
void ls_keys_fini(struct ls_keys *keys);

/* lockstep:{q}:running:<worker>; worker as ls_worker_id makes it (at most 95 bytes). Returns out.
 */
const char *ls_keys_running(const struct ls_keys *keys, const char *worker, char out[LS_KEY_SIZE]);
/* lockstep:{q}:status:<id> and result:<id>; ids of at most 128 bytes. */
const char *ls_keys_status(const struct ls_keys *keys, struct ls_span id, char out[LS_KEY_SIZE]);
const char *ls_keys_result(const struct ls_keys *keys, struct ls_span id, char out[LS_KEY_SIZE]);

#define LS_KEY_LEADER "lockstep:{fleet}:leader" /* STRING PX, who fires cron and alerts */
#define LS_KEY_CRON "lockstep:{fleet}:cron"     /* HASH schedule -> last tick */
#define LS_KEY_QUEUES "lockstep:{fleet}:queues" /* SET of known queues */
#define LS_KEY_ALERTS "lockstep:{fleet}:alerts" /* HASH of alert states */
#define LS_KEY_ALERTS_UNSENT "lockstep:{fleet}:alerts:unsent" /* LIST */
/* lockstep:{fleet}:hooks:<account>, ZSET of seen webhook ids. */
const char *ls_key_hooks(struct ls_span account, char out[LS_KEY_SIZE]);

#endif
