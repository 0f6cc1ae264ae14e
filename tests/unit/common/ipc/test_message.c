#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/ipc/message.h"

static struct ls_message *full_message(enum ls_message_type type)
{
    struct ls_message *message = LS_NEW(struct ls_message);

    message->type = type;
    message->pid = 4711;
    message->number = -123456789012345;
    snprintf(message->text, sizeof(message->text), "%s", "some text");
    message->name_count = 3;
    snprintf(message->names[0], sizeof(message->names[0]), "%s", "host-1-abc");
    snprintf(message->names[1], sizeof(message->names[1]), "%s", "");
    memset(message->names[2], 'x', LS_MESSAGE_NAME_MAX);
    return message;
}

static void message__every_type__survives_encode_and_decode(void **state)
{
    unsigned char bytes[LS_MESSAGE_BYTES_MAX], again[LS_MESSAGE_BYTES_MAX];
    struct ls_message *back = LS_NEW(struct ls_message);

    for (int type = 1; type < LS_MESSAGE_TYPE_COUNT; type++) {
        struct ls_message *message = full_message((enum ls_message_type)type);
        size_t length = ls_message_encode(message, bytes);

        assert_int_equal(ls_message_decode(bytes, length, back, NULL), 0);
        assert_int_equal(back->type, type);
        assert_int_equal(ls_message_encode(back, again), length);
        assert_memory_equal(bytes, again, length);
        free(message);
    }
    free(back);
}

static void message__child_died__keeps_pid_and_names(void **state)
{
    unsigned char bytes[LS_MESSAGE_BYTES_MAX];
    struct ls_message *message = full_message(LS_MESSAGE_CHILD_DIED),
                      *back = LS_NEW(struct ls_message);
    size_t length = ls_message_encode(message, bytes);

    assert_int_equal(ls_message_decode(bytes, length, back, NULL), 0);
    assert_int_equal(back->pid, 4711);
    assert_int_equal(back->name_count, 3);
    assert_string_equal(back->names[0], "host-1-abc");
    assert_string_equal(back->names[2], message->names[2]);
    assert_string_equal(back->text, "");
    free(message);
    free(back);
}

static void message__one_byte_less_or_more__is_refused(void **state)
{
    unsigned char bytes[LS_MESSAGE_BYTES_MAX] = {0};
    struct ls_message *message = full_message(LS_MESSAGE_CHILD_DIED),
                      *back = LS_NEW(struct ls_message);
    struct ls_err err = LS_ERR_INIT;
    size_t length = ls_message_encode(message, bytes);

    for (size_t cut = 0; cut < length; cut++)
        assert_int_equal(ls_message_decode(bytes, cut, back, NULL), -1);
    assert_int_equal(ls_message_decode(bytes, length + 1, back, &err), -1);
    assert_int_equal(err.code, LS_E_INVALID);
    free(message);
    free(back);
}

static void message__random_bytes__never_break_the_decoder(void **state)
{
    unsigned char bytes[256];
    struct ls_message *back = LS_NEW(struct ls_message);

    for (int round = 0; round < 20000; round++) {
        size_t length = ls_rand_below(sizeof bytes);
        ls_rand_bytes(bytes, length);
        if (length > 2) {
            bytes[0] = 1;
            bytes[1] = (unsigned char)ls_rand_below(LS_MESSAGE_TYPE_COUNT);
        }
        ls_message_decode(bytes, length, back, NULL);
    }
    free(back);
}

static void message__socket_pair__keeps_borders_and_tells_the_end(void **state)
{
    struct ls_message *message = full_message(LS_MESSAGE_WORKER_NAMES),
                      *back = LS_NEW(struct ls_message);
    struct ls_err err = LS_ERR_INIT;
    int pair[2];

    assert_int_equal(ls_message_pair(pair, NULL), 0);
    assert_int_equal(ls_message_receive(pair[1], back, NULL), 0);
    assert_int_equal(ls_message_send(pair[0], message, NULL), 0);
    message->type = LS_MESSAGE_READY;
    assert_int_equal(ls_message_send(pair[0], message, NULL), 0);
    close(pair[0]);
    assert_int_equal(ls_message_receive(pair[1], back, NULL), 1);
    assert_int_equal(back->type, LS_MESSAGE_WORKER_NAMES);
    assert_int_equal(ls_message_receive(pair[1], back, NULL), 1);
    assert_int_equal(back->type, LS_MESSAGE_READY);
    assert_int_equal(ls_message_receive(pair[1], back, &err), -1);
    assert_int_equal(err.code, LS_E_CANCELLED);
    assert_int_equal(ls_message_send(pair[1], message, &err), -1);
    close(pair[1]);
    free(message);
    free(back);
}

static void message__peer_that_does_not_read__is_told_from_one_that_is_gone(void **state)
{
    struct ls_message *message = full_message(LS_MESSAGE_WORKER_NAMES);
    struct ls_err err = LS_ERR_INIT;
    int pair[2];

    assert_int_equal(ls_message_pair(pair, NULL), 0);
    for (int i = 0; i < 100000 && err.code == LS_E_NONE; i++)
        ls_message_send(pair[0], message, &err);
    assert_int_equal(err.code, LS_E_TRANSIENT);
    close(pair[0]);
    close(pair[1]);
    free(message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message__every_type__survives_encode_and_decode),
        cmocka_unit_test(message__child_died__keeps_pid_and_names),
        cmocka_unit_test(message__one_byte_less_or_more__is_refused),
        cmocka_unit_test(message__random_bytes__never_break_the_decoder),
        cmocka_unit_test(message__socket_pair__keeps_borders_and_tells_the_end),
        cmocka_unit_test(message__peer_that_does_not_read__is_told_from_one_that_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
