/* What the master and its children tell each other: small typed messages over a socketpair that
 * keeps their borders (SOCK_SEQPACKET). A message is encoded and decoded whole: one byte too few or
 * too many and it is refused, never guessed at.
 *
 * Both ends are always the same build (fork without exec), so there is a version byte but no
 * negotiation. */
#ifndef LS_IPC_MESSAGE_H
#define LS_IPC_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum ls_message_field {
    LS_FIELD_PID = 1,
    LS_FIELD_NUMBER = 2,
    LS_FIELD_TEXT = 4,
    LS_FIELD_NAMES = 8,
};

enum ls_message_type {
    LS_MESSAGE_NONE = 0,
#define LS_MESSAGE(name, word, fields) LS_MESSAGE_##name,
#include "common/ipc/messages.def"
#undef LS_MESSAGE
    LS_MESSAGE_TYPE_COUNT
};

#define LS_MESSAGE_TEXT_MAX 512
#define LS_MESSAGE_NAMES_MAX 64
#define LS_MESSAGE_NAME_MAX 127
/* More than any message can need; a receive buffer of this size never truncates one. */
#define LS_MESSAGE_BYTES_MAX 16384

struct ls_message {
    enum ls_message_type type;
    int32_t pid;
    int64_t number;
    char text[LS_MESSAGE_TEXT_MAX + 1];
    size_t name_count;
    char names[LS_MESSAGE_NAMES_MAX][LS_MESSAGE_NAME_MAX + 1];
};

/* The stable word of a type ("worker_names"); "none" for one that does not exist. */
const char *ls_message_word(enum ls_message_type type);

/* Bytes written into out, which holds LS_MESSAGE_BYTES_MAX. Only the fields of the type's row are
 * written. */
size_t ls_message_encode(const struct ls_message *message, unsigned char *out);
/* 0, or -1 with LS_E_INVALID. */
int ls_message_decode(const unsigned char *bytes, size_t length, struct ls_message *message,
                      struct ls_err *err);

/* A connected pair, non-blocking and close-on-exec. */
int ls_message_pair(int out[2], struct ls_err *err);
/* Never blocks. -1: LS_E_TRANSIENT when the peer reads too slowly (nothing was sent), LS_E_SYSTEM
 * otherwise (it is gone). */
int ls_message_send(int fd, const struct ls_message *message, struct ls_err *err);
/* 1: *message is filled. 0: nothing there now. -1: LS_E_CANCELLED when the peer closed,
 * LS_E_INVALID for a message that is refused (the next one can still be read), LS_E_SYSTEM
 * otherwise. */
int ls_message_receive(int fd, struct ls_message *message, struct ls_err *err);

#endif
