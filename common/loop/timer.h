/* A timer and a deferred call on a libuv loop, made small: one struct inside its owner's life, no
 * handle to free by hand.
 *
 *   struct ls_timer *timer = ls_timer_new(loop, on_due, self);
 *   ls_timer_start(timer, 250);   (starting again moves it)
 *   ls_timer_close(&timer); */
#ifndef LS_LOOP_TIMER_H
#define LS_LOOP_TIMER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct ls_timer;

typedef void ls_timer_cb(void *arg);

struct ls_timer *ls_timer_new(uv_loop_t *loop, ls_timer_cb *due, void *arg);
/* Once, in delay_ms from now (0 = in the next turn of the loop); replaces what was set. */
void ls_timer_start(struct ls_timer *timer, int64_t delay_ms);
/* Every period_ms, the first time after period_ms. */
void ls_timer_repeat(struct ls_timer *timer, int64_t period_ms);
void ls_timer_stop(struct ls_timer *timer);
bool ls_timer_is_set(const struct ls_timer *timer);
/* Let the loop end although the timer is set. */
void ls_timer_unref(struct ls_timer *timer);
/* due is not called any more; clears the pointer; accepts a NULL in it. The memory goes with the
 * loop's next turn. */
void ls_timer_close(struct ls_timer **timer);

/* Call call(arg) once from the loop's next turn: for bad news that must not be told from within a
 * begin. */
void ls_defer(uv_loop_t *loop, ls_timer_cb *call, void *arg);

#endif
