/* The child's end of its line to the master, on the child's libuv loop. One loop; not thread-safe.
 *
 * Messages are few and small. What the socket cannot take at once waits in a queue of at most
 * LS_CHANNEL_QUEUE messages; a newer beat replaces nothing and is simply dropped when there is a
 * queue. */
#ifndef LS_IPC_CHANNEL_H
#define LS_IPC_CHANNEL_H

#include <uv.h>

#include "common/ipc/message.h"

#define LS_CHANNEL_QUEUE 64

struct ls_channel;

typedef void ls_channel_message_cb(void *arg, const struct ls_message *message);
/* The master is gone (or sent what we cannot read): called once, the channel is silent from then on
 * and must still be closed. */
typedef void ls_channel_lost_cb(void *arg, const struct ls_err *err);

/* Takes over fd. The handle does not keep the loop alive. */
struct ls_channel *ls_channel_new(uv_loop_t *loop, int fd, ls_channel_message_cb *on_message,
                                  ls_channel_lost_cb *on_lost, void *arg);
void ls_channel_send(struct ls_channel *channel, const struct ls_message *message);
/* No callback after this. Asynchronous: the memory goes with the next turn of the loop. Clears the
 * pointer. */
void ls_channel_close(struct ls_channel **channel);

#endif
