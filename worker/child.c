#include "worker/child.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/ipc/channel.h"

#define BEAT_MAX_MS 2000
#define BEAT_MIN_MS 50
#define GRACE_DEFAULT_MS 30000
#define SAME_SIGNAL_MS 200

enum { ON_TERM, ON_INT, ON_HUP, SIGNALS };

struct ls_child {
    uv_loop_t *loop; /* borrowed */
    const struct ls_role_context *context;
    struct ls_child_hooks hooks;
    void *arg;
    struct ls_channel *channel; /* NULL when standalone */
    uv_timer_t beat, grace;
    uv_signal_t signals[SIGNALS];
    int handles; /* open ones; the memory goes with the last */
    bool draining, closing;
    int64_t signalled_ms; /* when the first signal came; 0: none did */
};

static void on_message(void *arg, const struct ls_message *message);
static void on_lost(void *arg, const struct ls_err *err);
static void on_beat(uv_timer_t *timer);
static void on_grace_over(uv_timer_t *timer);
static void on_signal(uv_signal_t *signal, int number);
static void on_handle_closed(uv_handle_t *handle);
static void begin_drain(struct ls_child *child, int grace_ms);
static void reopen_log(void);
static void tell(struct ls_child *child, enum ls_message_type type, const char *text);
static void tell_number(struct ls_child *child, enum ls_message_type type, int64_t number,
                        const char *text);

struct ls_child *ls_child_new(uv_loop_t *loop, const struct ls_role_context *context,
                              const struct ls_child_hooks *hooks, void *arg)
{
    static const int numbers[SIGNALS] = {[ON_TERM] = SIGTERM, [ON_INT] = SIGINT, [ON_HUP] = SIGHUP};
    struct ls_child *child = LS_NEW(struct ls_child);
    int beat_ms;

    child->loop = loop;
    child->context = context;
    child->hooks = *hooks;
    child->arg = arg;
    uv_timer_init(loop, &child->beat);
    child->beat.data = child;
    uv_timer_init(loop, &child->grace);
    child->grace.data = child;
    for (int i = 0; i < SIGNALS; i++) {
        uv_signal_init(loop, &child->signals[i]);
        child->signals[i].data = child;
        uv_signal_start(&child->signals[i], on_signal, numbers[i]);
        uv_unref((uv_handle_t *)&child->signals[i]);
    }
    child->handles = 2 + SIGNALS;
    if (context->control_fd >= 0) {
        child->channel = ls_channel_new(loop, context->control_fd, on_message, on_lost, child);
        tell(child, LS_MESSAGE_HELLO, context->role);
    }
    beat_ms = context->watchdog_ms / 5;
    beat_ms = beat_ms > BEAT_MAX_MS || !beat_ms ? BEAT_MAX_MS
              : beat_ms < BEAT_MIN_MS           ? BEAT_MIN_MS
                                                : beat_ms;
    uv_timer_start(&child->beat, on_beat, 0,
                   (uint64_t)beat_ms); /* also what keeps the loop alive */
    return child;
}

void ls_child_ready(struct ls_child *child)
{
    tell(child, LS_MESSAGE_READY, NULL);
}

void ls_child_names(struct ls_child *child, const char *const *names, size_t count)
{
    struct ls_message *message;

    if (!child->channel)
        return;
    message = LS_NEW(struct ls_message);
    message->type = LS_MESSAGE_WORKER_NAMES;
    for (size_t i = 0; i < count && message->name_count < LS_MESSAGE_NAMES_MAX; i++)
        snprintf(message->names[message->name_count++], sizeof *message->names, "%s", names[i]);
    ls_channel_send(child->channel, message);
    free(message);
}

void ls_child_replace_me(struct ls_child *child, const char *reason)
{
    ls_log(LS_LOG_INFO, "child.replace", "asks to be replaced: %s", reason);
    tell(child, LS_MESSAGE_REPLACE_ME, reason);
    if (child->context->standalone)
        begin_drain(child, child->context->grace_ms);
}

void ls_child_fatal(struct ls_child *child, const struct ls_err *err)
{
    ls_log_with(LS_LOG_ERROR, "child.fatal", LS_FIELDS({"hint", err->hint[0] ? err->hint : NULL}),
                "%s", err->text);
    tell(child, LS_MESSAGE_FATAL, err->text);
}

void ls_child_watching(struct ls_child *child, int64_t died)
{
    tell_number(child, LS_MESSAGE_WATCHING, died, NULL);
}

void ls_child_empty(struct ls_child *child, int64_t died, const char *left)
{
    tell_number(child, LS_MESSAGE_EMPTY, died, left);
}

bool ls_child_draining(const struct ls_child *child)
{
    return child->draining;
}

void ls_child_close(struct ls_child **pointer)
{
    struct ls_child *child = *pointer;

    *pointer = NULL;
    if (!child)
        return;
    child->closing = true;
    ls_channel_close(&child->channel);
    uv_close((uv_handle_t *)&child->beat, on_handle_closed);
    uv_close((uv_handle_t *)&child->grace, on_handle_closed);
    for (int i = 0; i < SIGNALS; i++)
        uv_close((uv_handle_t *)&child->signals[i], on_handle_closed);
}

static void on_message(void *arg, const struct ls_message *message)
{
    struct ls_child *child = arg;

    switch (message->type) {
    case LS_MESSAGE_DRAIN:
        begin_drain(child, (int)message->number);
        return;
    case LS_MESSAGE_LOG_REOPEN:
        reopen_log();
        return;
    default:
        if (child->hooks.on_message)
            child->hooks.on_message(child->arg, message);
        else
            ls_log(LS_LOG_WARN, "ipc.unexpected",
                   "the master sent '%s', which this role does not know",
                   ls_message_word(message->type));
    }
}

static void on_lost(void *arg, const struct ls_err *err)
{
    struct ls_child *child = arg;

    if (!child->draining)
        ls_log(LS_LOG_WARN, "child.orphaned", "the line to the master is gone (%s): draining",
               err->text);
    begin_drain(child, child->context->grace_ms);
}

static void on_beat(uv_timer_t *timer)
{
    tell(timer->data, LS_MESSAGE_BEAT, NULL);
}

static void on_grace_over(uv_timer_t *timer)
{
    ls_log(LS_LOG_WARN, "child.grace_over", "the drain took too long: ending at once");
    _exit(LS_EXIT_FAILED);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct ls_child *child = signal->data;

    if (number == SIGHUP) {
        reopen_log();
        return;
    }
    if (number == SIGINT && !child->context->standalone)
        return;
    /* A drain asked for over the line, or the parent's end, is not the first signal; and timeout(1)
     * and the like send a signal to the process and to its group: that is one. */
    if (child->signalled_ms && ls_clock_mono_ms() - child->signalled_ms > SAME_SIGNAL_MS) {
        ls_log(LS_LOG_WARN, "child.abandoned", "second signal: ending at once");
        _exit(LS_EXIT_FAILED);
    }
    if (!child->signalled_ms)
        child->signalled_ms = ls_clock_mono_ms();
    begin_drain(child, child->context->grace_ms);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct ls_child *child = handle->data;

    if (--child->handles == 0)
        free(child);
}

static void begin_drain(struct ls_child *child, int grace_ms)
{
    if (child->draining || child->closing)
        return;
    child->draining = true;
    if (grace_ms <= 0)
        grace_ms = child->context->grace_ms > 0 ? child->context->grace_ms : GRACE_DEFAULT_MS;
    /* The role has the grace, the timer a little more: it is for the role that does not keep to it.
     */
    uv_timer_start(&child->grace, on_grace_over, (uint64_t)grace_ms + 1000, 0);
    child->hooks.on_drain(child->arg, grace_ms);
}

static void reopen_log(void)
{
    struct ls_err err = LS_ERR_INIT;

    if (ls_log_reopen(&err) < 0)
        ls_log(LS_LOG_WARN, "log.reopen_failed", "%s", err.text);
}

static void tell(struct ls_child *child, enum ls_message_type type, const char *text)
{
    tell_number(child, type, 0, text);
}

static void tell_number(struct ls_child *child, enum ls_message_type type, int64_t number,
                        const char *text)
{
    struct ls_message *message;

    if (!child->channel)
        return;
    message = LS_NEW(struct ls_message);
    message->type = type;
    message->pid = getpid();
    message->number = number;
    snprintf(message->text, sizeof message->text, "%s", text ? text : "");
    ls_channel_send(child->channel, message);
    free(message);
}
