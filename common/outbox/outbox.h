/* The outbox: takes the marks that changes leave in the database and hands them to the queue, as
 * keyed jobs, many in one trip.
 *
 * Marks are the durable truth and stay where they are until a run commits; the outbox only notes
 * that the queue knows of them. So it may be killed at any moment, and so may Redis: what was
 * handed over and is still there after repush_ms, or after Redis came back without its data, is
 * handed over again, which a keyed job makes harmless.
 *
 *   realtime  every change at once, in the high lane
 *   batch     every `every`, `batch` records a page until none is left; then the log says
 *             "Batch sync completed: N records in Ts" once they are done
 *   hybrid    critical changes at once in the high lane, the rest by batch
 *
 * What the application raised (lockstep_raise_<sync>) goes at once in every mode, in the high lane.
 * What a listing of the platform, a backfill or a scan found is a batch already and never waits for
 * one; marks of a backfill or scan go to the low lane. A queue that is full is left alone for a
 * moment: nothing is lost by waiting. One loop; one outbox a database (two do no harm, but double
 * work). */
#ifndef LS_OUTBOX_OUTBOX_H
#define LS_OUTBOX_OUTBOX_H

#include <stdint.h>
#include <uv.h>

#include "common/base/err.h"
#include "common/config/config.h"
#include "common/store/store.h"

struct ls_outbox;

struct ls_outbox_options {
    uv_loop_t *loop;
    const struct ls_config *config; /* borrowed: outlives the outbox */
    struct ls_store *store;         /* borrowed: closed after ls_outbox_stop */
    int64_t repush_ms;              /* 0: 10 min */
    int64_t max_waiting; /* no more than so many jobs in a queue because of us; 0: 20,000, high lane
                            ten times that */
    /* Redis refuses us for a reason that waiting does not cure (password, version, eviction
     * policy): a person must act. The outbox goes on trying. May be NULL. */
    void (*refused)(void *arg, const struct ls_err *err);
    void *arg;
};

/* Opens its own connection to Redis. NULL: LS_E_CONFIG (an account without a queue, a bad address).
 */
struct ls_outbox *ls_outbox_start(const struct ls_outbox_options *options, struct ls_err *err);
/* At once; what it was doing is done again by the next one. Clears the pointer; NULL is fine.
 * Memory goes with the next turns of the loop or with ls_store_close. */
void ls_outbox_stop(struct ls_outbox **outbox);

struct ls_outbox_facts {
    int64_t pushed; /* records handed over since the start */
    bool redis_up;
    bool store_up; /* the last operation on the database worked */
};
struct ls_outbox_facts ls_outbox_facts(const struct ls_outbox *outbox);

#endif
