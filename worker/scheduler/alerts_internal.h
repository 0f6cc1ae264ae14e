/* What the files of the alert ticker share. One look, in its order:
 *
 *   alerts.c          states from Redis, the tick, a question a queue; at the end states and notices
 *                     into Redis in one transaction
 *   alerts_queue.c    the rules over a queue's counters: errors, latency, silence, the cap
 *   alerts_dead.c     the rules over its groups of dead letters: first, rate, age
 *   alerts_deliver.c  notices to their sinks, until they have arrived */
#ifndef LS_SCHEDULER_ALERTS_INTERNAL_H
#define LS_SCHEDULER_ALERTS_INTERNAL_H

#include <stdbool.h>

#include "common/alert/machine.h"
#include "common/alert/notice.h"
#include "common/alert/rate.h"
#include "common/alert/rule.h"
#include "common/alert/sink.h"
#include "common/config/config.h"
#include "common/loop/timer.h"
#include "common/queue/watch.h"
#include "common/redis/conn.h"
#include "worker/scheduler/alerts.h"

#define ALERT_MINUTE_MS 60000
#define ALERT_LETTERS 50 /* newest dead letters looked through for the job behind a notice */
#define ALERT_UNSENT_MAX 1000
#define ALERT_NAME_SIZE 192 /* of a group */

/* What the rules look at: the first four of the window, the others also as totals. */
enum { SYNC_OK, SYNC_PARKED, SYNC_FAILED, SYNC_MS, DELTA_OK, DONE, RETRIED, DEAD, COUNTERS };

/* The memory of one group, as it lies in Redis under its name. */
struct alert_group {
    char *name; /* owned: "high_error_rate/default", "sync_retry_exhausted/default/<fingerprint>" */
    uint64_t hash; /* of the name */
    struct ls_alert alert;
    int64_t seen;        /* dead letters: the group's count at the last look */
    int64_t seen_last;   /* dead letters: the time of its newest one */
    struct ls_rate rate; /* dead_rate */
    bool changed;        /* differs from what Redis has */
    bool looked;         /* at this tick */
};

/* A row of dead:groups at this tick. */
struct alert_row {
    char fingerprint[24]; /* or "other" */
    int64_t count, first_ms, last_ms;
    char sample[200];
};

/* A notice on its way to one sink: "<id> <sink> <at ms> {json}". */
struct alert_unsent {
    struct ls_alerts *alerts; /* borrowed: the owner */
    char *text;               /* owned: the element of the list in Redis */
    char sink[LS_SINK_ID_SIZE];
    const char *json; /* into text */
    int64_t at_ms, next_ms;
    int tries;
    struct ls_delivery *delivery;
    bool done; /* arrived or given up: is being removed from Redis */
};

struct alert_queue {
    struct ls_alerts *alerts; /* borrowed: the owner */
    struct ls_keys keys;
    int64_t max_dead; /* 0: no cap */
    int64_t dead;     /* letters */
    int64_t totals[COUNTERS], window[COUNTERS];
    struct alert_row *rows; /* owned */
    size_t row_count;
    char *letters[ALERT_LETTERS]; /* owned: newest first; only while they are looked through */
    size_t letter_count;
};

struct alert_question;

struct ls_alerts {
    uv_loop_t *loop;
    struct ls_redis *redis;
    struct ls_http *http;
    const struct ls_config *config;
    struct ls_rule_limits limits;
    struct ls_sink *sinks; /* owned */
    struct ls_timer *tick, *delivery;
    struct ls_cmd cmd;                /* scratch */
    struct alert_question *questions; /* owned */
    bool leading, loaded, looking;
    unsigned epoch; /* of the leadership: answers of an earlier one are ignored */
    struct alert_queue *queues;
    size_t queue_count, next_queue;
    int64_t redis_ms; /* Redis' time at this look */
    struct alert_group *groups;
    size_t group_count;
    struct alert_unsent **unsent; /* owned, oldest first */
    size_t unsent_count;
    /* written with the states of this tick */
    char **raised; /* owned elements */
    size_t raised_count;
    char **forgotten; /* owned elements: groups that are over */
    size_t forgotten_count;
    int64_t last_sync_ms, last_sync_total; /* stale_data; kept in Redis as a group of that name */
    int64_t kept_sync_ms;                  /* the last_sync_ms that Redis has */
};

/* A question under way. Linked, because a connection that is closed tells its askers nothing. */
struct alert_question {
    struct ls_alerts *alerts;
    struct alert_queue *queue;
    unsigned epoch;
    struct alert_question *next, **link;
};

struct alert_question *alerts_ask(struct ls_alerts *alerts, struct alert_queue *queue);
/* Takes the question back. False: the answer is none, or for a leadership that is over. */
bool alerts_answer(struct alert_question **question, const struct ls_err *err,
                   struct ls_alerts **alerts, struct alert_queue **queue);

/* Made if it is not there. Pointers die with the next call. */
struct alert_group *alerts_group(struct ls_alerts *alerts, const char *name);
/* NULL when it is not there. */
struct alert_group *alerts_group_find(struct ls_alerts *alerts, const char *name);
/* Write the notice down, for every sink: it is sent after it is in Redis. Fills in what follows from
 * the group. */
void alerts_raise(struct ls_alerts *alerts, struct alert_group *group,
                  const struct ls_notice *notice);
/* The queue was looked at: on to the next one, or to the end of this tick. */
void alerts_queue_done(struct ls_alerts *alerts);

void alerts_judge_queue(struct ls_alerts *alerts, struct alert_queue *queue);
void alerts_judge_stale(struct ls_alerts *alerts);

/* The groups of dead letters of a queue whose rows are there; calls alerts_queue_done in the end. */
void alerts_judge_dead(struct ls_alerts *alerts, struct alert_queue *queue);
/* After all queues: groups without letters. */
void alerts_judge_gone(struct ls_alerts *alerts);
void alerts_forget_letters(struct alert_queue *queue);

/* Start what is due. */
void alerts_deliver(void *alerts);
void alerts_add_unsent(struct ls_alerts *alerts, const char *text, size_t length);
void alerts_free_unsent(struct alert_unsent *unsent);

#endif
