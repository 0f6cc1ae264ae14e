#include "common/loop/timer.h"

#include "common/base/mem.h"

struct ls_timer {
    uv_timer_t handle;
    ls_timer_cb *due;
    void *arg;
};

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_due(uv_timer_t *handle)
{
    struct ls_timer *timer = handle->data;

    timer->due(timer->arg);
}

struct ls_timer *ls_timer_new(uv_loop_t *loop, ls_timer_cb *due, void *arg)
{
    struct ls_timer *timer = LS_NEW(struct ls_timer);

    timer->due = due;
    timer->arg = arg;
    uv_timer_init(loop, &timer->handle);
    timer->handle.data = timer;
    return timer;
}

void ls_timer_start(struct ls_timer *timer, int64_t delay_ms)
{
    uv_timer_start(&timer->handle, on_due, delay_ms > 0 ? (uint64_t)delay_ms : 0, 0);
}

void ls_timer_repeat(struct ls_timer *timer, int64_t period_ms)
{
    uv_timer_start(&timer->handle, on_due, (uint64_t)period_ms, (uint64_t)period_ms);
}

void ls_timer_stop(struct ls_timer *timer)
{
    uv_timer_stop(&timer->handle);
}

bool ls_timer_is_set(const struct ls_timer *timer)
{
    return uv_is_active((const uv_handle_t *)&timer->handle);
}

void ls_timer_unref(struct ls_timer *timer)
{
    uv_unref((uv_handle_t *)&timer->handle);
}

void ls_timer_close(struct ls_timer **pointer)
{
    struct ls_timer *timer = *pointer;

    *pointer = NULL;
    if (timer)
        uv_close((uv_handle_t *)&timer->handle, on_closed);
}

static void on_deferred(uv_timer_t *handle)
{
    struct ls_timer *timer = handle->data;

    uv_close((uv_handle_t *)handle, on_closed);
    timer->due(timer->arg);
}

void ls_defer(uv_loop_t *loop, ls_timer_cb *call, void *arg)
{
    struct ls_timer *timer = ls_timer_new(loop, call, arg);

    uv_timer_start(&timer->handle, on_deferred, 0, 0);
}
