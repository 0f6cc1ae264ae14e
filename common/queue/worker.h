/* Workers: identities that hold claims. One a connection: a worker joins, takes turns (turn.h), and
 * leaves with nothing in hand. Its lease is one deadline in `workers`, renewed by each turn.
 *
 * After every reconnect the process has a new identity and adopts the claims of every identity it
 * had since the last confirmed reply. Claims keep their fences, so what was running goes on and is
 * settled as before; the old identities are unknown from then on, and a late copy of a cut-off turn
 * is refused. Start nothing and take no turn before the adopt's reply is there.
 *
 * A dead worker's claims are stolen: they move to the thief under new fences, and the thief settles
 * them by its own turns (a crash each, see retry.h). */
#ifndef LS_QUEUE_WORKER_H
#define LS_QUEUE_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/queue/claim.h"
#include "common/redis/cmd.h"
#include "common/redis/keys.h"
#include "common/redis/reply.h"

#define LS_WORKER_ID_SIZE 96
#define LS_LEASE_MS 15000
#define LS_BEAT_MS 5000
#define LS_ADOPT_MAX 8
#define LS_STEAL_MAX 256
#define LS_SCHEMA_VERSION 1

/* A new identity: <host>-<pid>-<16 hex digits of chance>. Returns out. */
const char *ls_worker_id(char out[LS_WORKER_ID_SIZE]);

/* <host>-<pid> of an identity: the process, whatever its connection. */
struct ls_span ls_worker_place(const char *worker);

/* {OK, ms} | {BUSY, ms, claims}: this identity is in use; take another | {SCHEMA, ms, version}:
 * the queue was written by another version of lockstep. */
void ls_worker_join_build(struct ls_cmd *cmd, const struct ls_keys *keys, const char *worker,
                          int64_t lease_ms);
/* 0, *ms = Redis' time. -1: LS_E_EXISTS (BUSY), LS_E_UNSUPPORTED (SCHEMA, with a hint). */
int ls_worker_join_parse(const struct ls_reply *reply, int64_t *ms, struct ls_err *err);

/* Also makes worker known and alive, so no join is needed before it. olds: the identities since the
 * last confirmed reply, at most LS_ADOPT_MAX; none is an ordinary join. If there were more, the
 * rest is left to steal. Lost answer: go on to the next identity and adopt this one as well. */
void ls_worker_adopt_build(struct ls_cmd *cmd, const struct ls_keys *keys, const char *worker,
                           int64_t lease_ms, const char *const *olds, size_t old_count);
/* The claims now held by worker: what is missing there was stolen meanwhile and must be cancelled;
 * what is there but unknown to the caller is a claim whose reply was lost: start it. */
struct ls_adopted {
    int64_t ms;
    struct ls_claims claims;
};
int ls_worker_adopt_parse(const struct ls_reply *reply, struct ls_adopted *adopted,
                          struct ls_err *err);

/* Take over up to `max` (at most LS_STEAL_MAX) claims of victim. known_dead: the caller knows that
 * the victim's process has ended (waitpid), so its lease need not run out. Call again while `more`.
 * A thief must have taken its own turns without a gap for a whole lease before it judges others by
 * their leases, so that the first one back after an outage does not rob the living. */
void ls_worker_steal_build(struct ls_cmd *cmd, const struct ls_keys *keys, const char *thief,
                           const char *victim, bool known_dead, int max);
struct ls_stolen {
    int64_t ms;
    bool alive;            /* the victim's lease runs still: nothing was done */
    int64_t alive_left_ms; /* of it */
    bool more;
    struct ls_claims claims; /* in triples: new fence, envelope, old fence (ls_claim.was) */
};
/* -1 with LS_E_FENCED: the thief itself is not alive. */
int ls_worker_steal_parse(const struct ls_reply *reply, struct ls_stolen *stolen,
                          struct ls_err *err);

/* {OK} | {BUSY, claims}: settle or give back first | {GONE}: left already or stolen. */
void ls_worker_leave_build(struct ls_cmd *cmd, const struct ls_keys *keys, const char *worker);
enum ls_left { LS_LEFT, LS_LEFT_BUSY, LS_LEFT_GONE };
int ls_worker_leave_parse(const struct ls_reply *reply, enum ls_left *left, struct ls_err *err);

/* A worker that claims nothing renews its lease without a turn, and hears whose leases ran out, at
 * most `max` (at most LS_BEAT_NAMES_MAX) of them, longest ago first. */
#define LS_BEAT_NAMES_MAX 256
void ls_worker_beat_build(struct ls_cmd *cmd, const struct ls_keys *keys, const char *worker,
                          int64_t lease_ms, int max);
struct ls_worker_beat {
    int64_t ms;
    size_t count;
    const struct ls_reply *expired; /* names; borrowed from the reply */
};
/* -1 with LS_E_FENCED: the worker is unknown, as in ls_turn_parse. */
int ls_worker_beat_parse(const struct ls_reply *reply, struct ls_worker_beat *beat,
                         struct ls_err *err);

/* All workers with what their lease has left (negative: ran out), soonest first; at most 1,000. */
void ls_worker_list_build(struct ls_cmd *cmd, const struct ls_keys *keys);
struct ls_worker_list {
    int64_t ms;
    size_t count;
    const struct ls_reply *pairs; /* borrowed from the reply */
};
struct ls_worker_row {
    struct ls_span worker;
    int64_t left_ms;
};
int ls_worker_list_parse(const struct ls_reply *reply, struct ls_worker_list *list,
                         struct ls_err *err);
struct ls_worker_row ls_worker_list_row(const struct ls_worker_list *list, size_t i);

/* HLEN: how many claims a worker holds (parse: ls_reply_int). HGETALL: its claims, fence and
 * envelope. */
void ls_worker_claims_count_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                                  const char *worker);
void ls_worker_claims_build(struct ls_cmd *cmd, const struct ls_keys *keys, const char *worker);

#endif
