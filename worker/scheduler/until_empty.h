/* A pool that ends by itself when there is nothing left to do (`--until-empty`): looks at all queues
 * of the configuration again and again, and says so when two looks in a row found nothing.
 *
 * Left to do is what waits, is held, is reserved for its account, runs, or waits for its next
 * attempt; and of the jobs scheduled for later those that are due before the time is over (without
 * such a time: all). Schedules are no jobs, and neither are marks in the application's database.
 *
 * One loop; not thread-safe. */
#ifndef LS_SCHEDULER_UNTIL_EMPTY_H
#define LS_SCHEDULER_UNTIL_EMPTY_H

#include <uv.h>

#include "common/config/config.h"
#include "common/redis/conn.h"
#include "worker/main.h"

struct ls_until;

struct ls_until_hooks {
    /* How many jobs had died before, when that was not known yet; now the runners may begin. */
    void (*watching)(void *arg, int64_t died);
    /* It is over. died: meanwhile. left: "" when nothing is, else what, for people: the time is
     * over. Called once. */
    void (*over)(void *arg, int64_t died, const char *left);
    void *arg;
};

/* until and redis are borrowed and outlive it. NULL: LS_E_CONFIG. */
struct ls_until *ls_until_new(uv_loop_t *loop, struct ls_redis *redis,
                              const struct ls_config *config, const struct ls_until_empty *until,
                              const struct ls_until_hooks *hooks, struct ls_err *err);
/* The connection came, went. */
void ls_until_up(struct ls_until *until);
void ls_until_down(struct ls_until *until);
/* After the connection was closed. Accepts NULL. */
void ls_until_free(struct ls_until *until);

#endif
