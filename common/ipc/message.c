#include "common/ipc/message.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/mem.h"

#define VERSION 1

static const struct {
    const char *word;
    unsigned fields;
} rows[] = {
    {"none", 0},
#define LS_MESSAGE(name, word, fields) {word, fields},
#include "common/ipc/messages.def"
#undef LS_MESSAGE
};

struct writer {
    unsigned char *at;
};
struct reader {
    const unsigned char *at, *end;
    bool bad;
};

static void put_bytes(struct writer *writer, const void *bytes, size_t length);
static void put_number(struct writer *writer, uint64_t value, int size);
static void put_text(struct writer *writer, const char *text, size_t max);
static uint64_t get_number(struct reader *reader, int size);
static void get_text(struct reader *reader, char *out, size_t max);

const char *ls_message_word(enum ls_message_type type)
{
    return type < LS_MESSAGE_TYPE_COUNT ? rows[type].word : rows[0].word;
}

size_t ls_message_encode(const struct ls_message *message, unsigned char *out)
{
    struct writer writer = {out};
    unsigned fields;

    ls_assert(message->type > LS_MESSAGE_NONE && message->type < LS_MESSAGE_TYPE_COUNT);
    ls_assert(message->name_count <= LS_MESSAGE_NAMES_MAX);
    fields = rows[message->type].fields;
    put_number(&writer, VERSION, 1);
    put_number(&writer, message->type, 1);
    if (fields & LS_FIELD_PID)
        put_number(&writer, (uint32_t)message->pid, 4);
    if (fields & LS_FIELD_NUMBER)
        put_number(&writer, (uint64_t)message->number, 8);
    if (fields & LS_FIELD_TEXT)
        put_text(&writer, message->text, LS_MESSAGE_TEXT_MAX);
    if (fields & LS_FIELD_NAMES) {
        put_number(&writer, message->name_count, 2);
        for (size_t i = 0; i < message->name_count; i++)
            put_text(&writer, message->names[i], LS_MESSAGE_NAME_MAX);
    }
    return (size_t)(writer.at - out);
}

int ls_message_decode(const unsigned char *bytes, size_t length, struct ls_message *message,
                      struct ls_err *err)
{
    struct reader reader = {bytes, bytes + length, false};
    uint64_t type;
    unsigned fields;

    memset(message, 0, sizeof *message);
    if (get_number(&reader, 1) != VERSION || reader.bad)
        return ls_fail(err, LS_E_INVALID, "message of an unknown version");
    type = get_number(&reader, 1);
    if (reader.bad || type == LS_MESSAGE_NONE || type >= LS_MESSAGE_TYPE_COUNT)
        return ls_fail(err, LS_E_INVALID, "message of unknown type %u", (unsigned)type);
    message->type = (enum ls_message_type)type;
    fields = rows[type].fields;
    if (fields & LS_FIELD_PID)
        message->pid = (int32_t)get_number(&reader, 4);
    if (fields & LS_FIELD_NUMBER)
        message->number = (int64_t)get_number(&reader, 8);
    if (fields & LS_FIELD_TEXT)
        get_text(&reader, message->text, LS_MESSAGE_TEXT_MAX);
    if (fields & LS_FIELD_NAMES) {
        message->name_count = get_number(&reader, 2);
        if (message->name_count > LS_MESSAGE_NAMES_MAX) {
            message->name_count = 0;
            reader.bad = true;
        }
        for (size_t i = 0; i < message->name_count && !reader.bad; i++)
            get_text(&reader, message->names[i], LS_MESSAGE_NAME_MAX);
    }
    if (reader.bad || reader.at != reader.end) {
        memset(message, 0, sizeof *message);
        return ls_fail(err, LS_E_INVALID, "message '%s' of %zu bytes is malformed", rows[type].word,
                       length);
    }
    return 0;
}

int ls_message_pair(int out[2], struct ls_err *err)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, out) < 0)
        return ls_fail_errno(err, "cannot make a socket pair");
    return 0;
}

int ls_message_send(int fd, const struct ls_message *message, struct ls_err *err)
{
    unsigned char bytes[LS_MESSAGE_BYTES_MAX];
    size_t length = ls_message_encode(message, bytes);
    ssize_t sent;

    do
        sent = send(fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent == (ssize_t)length)
        return 0;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS))
        return ls_fail(err, LS_E_TRANSIENT, "cannot send '%s': the peer does not read",
                       ls_message_word(message->type));
    return ls_fail_errno(err, "cannot send '%s'", ls_message_word(message->type));
}

int ls_message_receive(int fd, struct ls_message *message, struct ls_err *err)
{
    unsigned char bytes[LS_MESSAGE_BYTES_MAX];
    ssize_t length;

    do
        length = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    while (length < 0 && errno == EINTR);
    if (length > 0)
        return ls_message_decode(bytes, (size_t)length, message, err) < 0 ? -1 : 1;
    if (length == 0 || errno == ECONNRESET)
        return ls_fail(err, LS_E_CANCELLED, "the peer closed its end");
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return 0;
    return ls_fail_errno(err, "cannot receive a message");
}

static void put_bytes(struct writer *writer, const void *bytes, size_t length)
{
    memcpy(writer->at, bytes, length);
    writer->at += length;
}

static void put_number(struct writer *writer, uint64_t value, int size)
{
    while (size-- > 0) {
        *writer->at++ = (unsigned char)value;
        value >>= 8;
    }
}

static void put_text(struct writer *writer, const char *text, size_t max)
{
    size_t length = strnlen(text, max);

    put_number(writer, length, 2);
    put_bytes(writer, text, length);
}

static uint64_t get_number(struct reader *reader, int size)
{
    uint64_t value = 0;

    if (reader->bad || reader->end - reader->at < size) {
        reader->bad = true;
        return 0;
    }
    for (int i = 0; i < size; i++)
        value |= (uint64_t)reader->at[i] << (8 * i);
    reader->at += size;
    return value;
}

/* out holds max + 1 bytes. A NUL inside would make two different messages look alike: refused. */
static void get_text(struct reader *reader, char *out, size_t max)
{
    size_t length = get_number(reader, 2);

    if (reader->bad || length > max || (size_t)(reader->end - reader->at) < length ||
        memchr(reader->at, 0, length)) {
        reader->bad = true;
        return;
    }
    memcpy(out, reader->at, length);
    out[length] = 0;
    reader->at += length;
}
