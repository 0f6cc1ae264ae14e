/* A turn is one trip to Redis for a whole batch: settle what has ended, renew the lease, promote
 * due jobs, claim new ones (lua/worker_turn.lua).
 *
 * struct ls_turn collects settlements as they happen, already encoded; ls_turn_build makes the
 * command, any number of times and for any identity. Keep the turn until its reply is there: when
 * the reply is lost, adopt, then build the same turn again for the new identity. Settling is gated
 * on the claim being there, so what was applied before is not applied twice. (Free counters and
 * reports of a turn sent twice may count twice; parkings do not add up.)
 *
 *   ls_turn_ack(&turn, fence, key);
 *   ls_turn_build(&turn, &cmd, &keys, &options);
 *   ... ls_turn_parse(reply, &result, &err) ...
 *   ls_turn_clear(&turn); */
#ifndef LS_QUEUE_TURN_H
#define LS_QUEUE_TURN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/queue/claim.h"
#include "common/redis/cmd.h"
#include "common/redis/keys.h"
#include "common/redis/reply.h"

#define LS_TURN_CLAIM_MAX 256  /* claims asked for in one turn */
#define LS_TURN_SETTLE_MAX 512 /* settlements in one turn */
#define LS_TURN_PROMOTE_MAX 64 /* due jobs moved in one turn */
#define LS_TURN_COUNTS_MAX 16  /* counters in one turn */

/* Fields are the implementation's. {0} is an empty turn; ls_turn_fini at the end. */
struct ls_turn {
    struct ls_cmd spendings; /* fence, account, kind, requests */
    struct ls_cmd acks;      /* fences of jobs that are done */
    struct ls_cmd closings;  /* fence, key, for those that were claimed by key */
    struct ls_cmd settles;   /* everything else, see lua/worker_turn.lua */
    struct ls_cmd counts;    /* name, delta */
    int settle_count;        /* in settles */
    int count_count;
};

void ls_turn_fini(struct ls_turn *turn);
void ls_turn_clear(struct ls_turn *turn);
bool ls_turn_empty(const struct ls_turn *turn);
/* Is it time to send it: LS_TURN_SETTLE_MAX settlements or 1 MiB? More would still be legal for a
 * while; build asserts at twice that. */
bool ls_turn_full(const struct ls_turn *turn);
/* All of `from` behind what is in `turn`. */
void ls_turn_append(struct ls_turn *turn, const struct ls_turn *from);

/* In all of these key is that of a keyed claim (ls_claim.keyed) and {0} for a plain one. envelope
 * is canonical (ls_envelope_write); for keyed claims it has the same key. Its lane is the one that
 * its priority names. */

/* Done: nothing stays. If a keyed job changed meanwhile, its newer body is queued again. */
void ls_turn_ack(struct ls_turn *turn, int64_t fence, struct ls_span key);
/* Failed: again in delay_ms of Redis' time. A newer body of the key takes the place of this one and
 * waits just as long. Counts `retried`. */
void ls_turn_retry(struct ls_turn *turn, int64_t fence, struct ls_span key, int64_t delay_ms,
                   struct ls_span envelope);
/* Put back with a delay without having failed. As retry, but counts `again`. */
void ls_turn_again(struct ls_turn *turn, int64_t fence, struct ls_span key, int64_t delay_ms,
                   struct ls_span envelope);
/* Give back to the head of its lane: it has not started, or its account is parked. Counts
 * `given_back`. The only verb that takes an envelope which is not canonical. */
void ls_turn_back(struct ls_turn *turn, int64_t fence, struct ls_span key, struct ls_span envelope);
/* Stopped because it was cancelled: nothing stays. If a keyed job changed meanwhile, its newer body
 * is queued. Counts `stopped`. */
void ls_turn_drop(struct ls_turn *turn, int64_t fence, struct ls_span key);
/* Dead: letter from ls_dead_write, group from ls_dead_group, sample a short error text. If a keyed
 * job changed meanwhile, its newer body is queued. */
void ls_turn_dead(struct ls_turn *turn, int64_t fence, struct ls_span key, struct ls_span letter,
                  struct ls_span group, struct ls_span sample);
/* Checkpoint: the claim stays, its envelope is replaced. */
void ls_turn_keep(struct ls_turn *turn, int64_t fence, struct ls_span envelope);
/* A plain claim whose envelope has a key: hand it over to the key's state, as if it had been pushed
 * by ls_push_keyed. Counts `rekeyed`. */
void ls_turn_rekey(struct ls_turn *turn, int64_t fence, struct ls_span key,
                   struct ls_span envelope);
/* How far the run is, for people: progress/<fence>, until the claim ends. */
void ls_turn_note(struct ls_turn *turn, int64_t fence, struct ls_span text);
/* The claim, which ends in this turn, made so many platform requests in truth; it prepaid what its
 * kind costs. The difference is given back or owed. */
void ls_turn_spend(struct ls_turn *turn, int64_t fence, struct ls_span account, struct ls_span kind,
                   int requests);
/* The account waits until delay_ms from now, or longer if it is parked for longer: its jobs move
 * behind that time when their turn comes. reason is a word for people ("429", "auth"). */
void ls_turn_park(struct ls_turn *turn, struct ls_span account, int64_t delay_ms,
                  struct ls_span reason);
/* What the account's answers say of its budget: rate a second (< 0: nothing), burst (< 1: nothing),
 * requests left now (< 0: nothing). Where they say less than the configuration, they hold for an
 * hour. */
void ls_turn_learn(struct ls_turn *turn, struct ls_span account, double rate, int burst,
                   int64_t left);
/* For the account's breaker: so many of its runs ended well, so many failed for its platform's sake
 * (transient, no answer). */
void ls_turn_report(struct ls_turn *turn, struct ls_span account, int done, int failed);
/* Add to a counter of stats and of stats:ring; names [a-z0-9_.:]. Beyond LS_TURN_COUNTS_MAX pairs
 * it is an assertion: sum up before. */
void ls_turn_count(struct ls_turn *turn, const char *name, int64_t delta);

struct ls_turn_options {
    const char *worker;
    int64_t lease_ms; /* 0 = LS_LEASE_MS */
    int claim;        /* at most this many new claims; 0 = only settle, beat, promote */
    const char
        *order; /* where they come from, a letter each, each once: h n l the lanes, r reserved,
                        * q held; NULL = "rhnlq" */
    int share;  /* jobs of one account that may run here while others wait; 0 = no limit */
    const struct ls_turn_account *accounts; /* those that run here; what is left out counts 0 */
    int account_count;                      /* at most LS_TURN_ACCOUNTS_MAX */
};
struct ls_turn_account {
    struct ls_span name;
    int running;
};
#define LS_TURN_ACCOUNTS_MAX 32

void ls_turn_build(const struct ls_turn *turn, struct ls_cmd *cmd, const struct ls_keys *keys,
                   const struct ls_turn_options *options);

enum ls_turn_blocked {
    LS_TURN_OPEN,
    LS_TURN_PAUSED,      /* the queue is */
    LS_TURN_QUIET,       /* this process is */
    LS_TURN_DEAD_FULL,   /* as many dead jobs as the queue may have */
    LS_TURN_ALL_RUNNING, /* as many running ones */
};

struct ls_turn_result {
    int64_t ms;          /* Redis' time */
    int64_t next_due_ms; /* ms from now until the next delayed, reserved or held job is due, <= 0
                          * when it is due already; -1 and has_due false when there is none */
    bool has_due;
    enum ls_turn_blocked blocked; /* why nothing is claimed */
    bool ready;                   /* something in held may go now */
    int64_t cancel_serial;        /* differs from the last one: ask ls_cancelled_build */
    int64_t settled; /* settlements that took effect (checkpoints too); fewer than sent: those
                      * claims were settled or stolen before */
    int64_t pending_high, pending, pending_low; /* what is left */
    struct ls_claims claims;
};

/* -1: LS_E_FENCED, the worker is unknown: its claims were stolen or adopted; stop all runs, commit
 * nothing, join anew. Otherwise what Redis answered. */
int ls_turn_parse(const struct ls_reply *reply, struct ls_turn_result *result, struct ls_err *err);

/* BLPOP wake <seconds>: an idle worker's sleep; any answer, nil too, means: take a turn. Give the
 * send a timeout of at least that plus a second. */
void ls_wake_build(struct ls_cmd *cmd, const struct ls_keys *keys, double seconds);

#endif
