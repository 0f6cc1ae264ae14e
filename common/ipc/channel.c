#include "common/ipc/channel.h"

#include <stdbool.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"

struct ls_channel {
    uv_poll_t poll;
    int fd;
    bool lost, closing;
    ls_channel_message_cb *on_message;
    ls_channel_lost_cb *on_lost;
    void *arg;
    struct ls_message
        *queue[LS_CHANNEL_QUEUE]; /* owned; what the socket did not take yet, oldest first */
    size_t queued;
};

static void on_ready(uv_poll_t *poll, int status, int events);
static void on_closed(uv_handle_t *handle);
static void read_all(struct ls_channel *channel);
static void flush(struct ls_channel *channel);
static void watch(struct ls_channel *channel);
static void lose(struct ls_channel *channel, const struct ls_err *err);

struct ls_channel *ls_channel_new(uv_loop_t *loop, int fd, ls_channel_message_cb *on_message,
                                  ls_channel_lost_cb *on_lost, void *arg)
{
    struct ls_channel *channel = LS_NEW(struct ls_channel);

    channel->fd = fd;
    channel->on_message = on_message;
    channel->on_lost = on_lost;
    channel->arg = arg;
    ls_assert(uv_poll_init(loop, &channel->poll, fd) == 0);
    channel->poll.data = channel;
    uv_unref((uv_handle_t *)&channel->poll);
    watch(channel);
    return channel;
}

void ls_channel_send(struct ls_channel *channel, const struct ls_message *message)
{
    struct ls_message *copy;

    if (channel->lost)
        return;
    if (channel->queued && message->type == LS_MESSAGE_BEAT)
        return;
    if (channel->queued == LS_CHANNEL_QUEUE) {
        ls_log(LS_LOG_WARN, "ipc.dropped", "the master does not read: message '%s' dropped",
               ls_message_word(message->type));
        return;
    }
    copy = LS_NEW(struct ls_message);
    *copy = *message;
    channel->queue[channel->queued++] = copy;
    flush(channel);
    if (!channel->lost)
        watch(channel);
}

void ls_channel_close(struct ls_channel **pointer)
{
    struct ls_channel *channel = *pointer;

    *pointer = NULL;
    if (!channel)
        return;
    channel->closing = true;
    uv_close((uv_handle_t *)&channel->poll, on_closed);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct ls_channel *channel = poll->data;

    if (status <
        0) { /* the peer hung up in a way that libuv reports as an error: the read below names it */
        read_all(channel);
        if (!channel->lost && !channel->closing) {
            struct ls_err err = LS_ERR_INIT;
            ls_fail(&err, LS_E_CANCELLED, "the master is gone: %s", uv_strerror(status));
            lose(channel, &err);
        }
        return;
    }
    if (events & UV_WRITABLE)
        flush(channel);
    if (events & (UV_READABLE | UV_DISCONNECT))
        read_all(channel);
    if (!channel->lost && !channel->closing)
        watch(channel);
}

static void on_closed(uv_handle_t *handle)
{
    struct ls_channel *channel = handle->data;

    close(channel->fd);
    for (size_t i = 0; i < channel->queued; i++)
        free(channel->queue[i]);
    free(channel);
}

static void read_all(struct ls_channel *channel)
{
    struct ls_message message;
    struct ls_err err = LS_ERR_INIT;
    int got = 0;

    while (!channel->closing && !channel->lost &&
           (got = ls_message_receive(channel->fd, &message, &err)) > 0)
        channel->on_message(channel->arg, &message);
    if (got < 0 && !channel->closing && !channel->lost)
        lose(channel, &err);
}

static void flush(struct ls_channel *channel)
{
    struct ls_err err = LS_ERR_INIT;
    size_t sent = 0;

    while (sent < channel->queued && ls_message_send(channel->fd, channel->queue[sent], &err) == 0)
        free(channel->queue[sent++]);
    channel->queued -= sent;
    for (size_t i = 0; i < channel->queued; i++)
        channel->queue[i] = channel->queue[i + sent];
    /* Any other failure than "later" is told by the read side, which also sees what the peer said
     * before it went. */
}

static void watch(struct ls_channel *channel)
{
    uv_poll_start(&channel->poll, UV_READABLE | UV_DISCONNECT | (channel->queued ? UV_WRITABLE : 0),
                  on_ready);
}

static void lose(struct ls_channel *channel, const struct ls_err *err)
{
    channel->lost = true;
    uv_poll_stop(&channel->poll);
    if (channel->on_lost)
        channel->on_lost(channel->arg, err);
}
