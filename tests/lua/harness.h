/* What the tests of the scripts share: a private Redis for the program, emptied before each test,
 * and the scripts called through common/queue. */
#ifndef LS_TESTS_LUA_HARNESS_H
#define LS_TESTS_LUA_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/queue/cron.h"
#include "common/queue/dead.h"
#include "common/queue/heal.h"
#include "common/queue/leader.h"
#include "common/queue/limit.h"
#include "common/queue/push.h"
#include "common/queue/stat.h"
#include "common/queue/turn.h"
#include "common/queue/worker.h"
#include "tests/support/redis.h"
#include "tests/support/temp.h"

extern struct test_redis *redis;
extern struct ls_redis_sync *wire;
extern struct ls_keys keys;
extern struct ls_cmd cmd;
extern int harness_share; /* of the turns that are taken; 0 before each test */

int harness_open(void **state);  /* group setup */
int harness_close(void **state); /* group teardown */
int harness_empty(void **state); /* before each test: FLUSHALL */

/* Send cmd; fails the test on an error. The reply dies with the next send. */
const struct ls_reply *send_cmd(void);
/* Any command by words: its integer, its text ("(nil)"), or a list joined by '|'. */
long long redis_int(const char *verb, ...) __attribute__((sentinel));
const char *redis_text(const char *verb, ...) __attribute__((sentinel));
const char *redis_list(const char *verb, ...) __attribute__((sentinel));

#define GOT_MAX 300
struct got {
    size_t count;
    struct {
        int64_t fence, was;
        bool keyed;
        char envelope[400];
    } at[GOT_MAX];
    int64_t settled, next_due_ms, ms;
    int64_t pending_high, pending, pending_low;
    bool has_due, ready;
    enum ls_turn_blocked blocked;
    int64_t cancel_serial;
};
/* Index of the claim whose envelope contains piece; -1. */
int got_find(const struct got *got, const char *piece);

void join(const char *worker);
void join_for(const char *worker, int64_t lease_ms);
/* Send turn (may be NULL) for worker and claim up to n; the turn is cleared. Fails on FENCED. */
void take_turn(struct ls_turn *turn, const char *worker, int claim, struct got *got);
/* The same; false when the worker is unknown. */
bool try_turn(struct ls_turn *turn, const char *worker, int claim, struct got *got);
void adopt(const char *worker, struct got *got, int olds, ...);
/* NULL-terminated words: "OK", "MORE", "ALIVE", "FENCED". */
const char *steal(const char *thief, const char *victim, bool known_dead, int max, struct got *got);

/* {"id":"<id>","kind":"t"} with account, key, tail (`,"attempt":1`) where not NULL; static ring. */
const char *make(const char *account, const char *id, const char *key, const char *tail);
void push_raw(const char *lane_key, const char *bytes);
/* One plain job by job_push. Returns what was pushed; -1 when the queue is full. */
int push(const char *envelope, int64_t delay_ms, const char *id);
/* One keyed job. "pushed", "coalesced", "changed", "kept", "rejected". */
const char *push_keyed(const char *key, const char *envelope, int64_t delay_ms);
const char *push_ruled(const struct ls_push_job *job);

struct ls_span span(const char *text);
/* Turns of worker until `n` claims came in all or two seconds have passed. */
void claim_until(const char *worker, size_t n, struct got *got);
/* How many jobs lie anywhere: lanes, delayed, reserved, dead, running of these workers (NULL ends).
 */
long long everywhere(const char *worker, ...) __attribute__((sentinel));

#define TEST(name) cmocka_unit_test_setup(name, harness_empty)

#endif
