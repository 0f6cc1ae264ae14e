#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/ipc/channel.h"

struct seen {
    int messages, lost;
    enum ls_message_type last;
    enum ls_err_code code;
};

static void on_message(void *arg, const struct ls_message *message)
{
    struct seen *seen = arg;
    seen->messages++;
    seen->last = message->type;
}

static void on_lost(void *arg, const struct ls_err *err)
{
    struct seen *seen = arg;
    seen->lost++;
    seen->code = err->code;
}

static void channel__messages_then_end__all_arrive_and_loss_is_told_once(void **state)
{
    struct seen seen = {0};
    struct ls_message message = {.type = LS_MESSAGE_DRAIN, .number = 5};
    struct ls_channel *channel;
    uv_loop_t loop;
    int pair[2];

    uv_loop_init(&loop);
    assert_int_equal(ls_message_pair(pair, NULL), 0);
    channel = ls_channel_new(&loop, pair[1], on_message, on_lost, &seen);
    uv_ref((uv_handle_t *)
               channel); /* the poll handle comes first: keep the loop waiting in this test */
    for (int i = 0; i < 3; i++)
        assert_int_equal(ls_message_send(pair[0], &message, NULL), 0);
    close(pair[0]);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(seen.messages, 3);
    assert_int_equal(seen.last, LS_MESSAGE_DRAIN);
    assert_int_equal(seen.lost, 1);
    assert_int_equal(seen.code, LS_E_CANCELLED);
    ls_channel_close(&channel);
    assert_null(channel);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void channel__slow_master__messages_wait_in_order(void **state)
{
    struct seen seen = {0};
    struct ls_message message = {.type = LS_MESSAGE_WORKER_NAMES}, back;
    struct ls_channel *channel;
    uv_loop_t loop;
    int pair[2], got = 0, sent = 0;

    uv_loop_init(&loop);
    assert_int_equal(ls_message_pair(pair, NULL), 0);
    channel = ls_channel_new(&loop, pair[1], on_message, on_lost, &seen);
    uv_ref((uv_handle_t *)channel);
    while (ls_message_send(pair[1], &message, NULL) == 0)
        sent++;
    message.type = LS_MESSAGE_READY;
    ls_channel_send(channel, &message);
    message.type = LS_MESSAGE_BEAT;
    ls_channel_send(channel, &message); /* dropped: a queue is there */
    for (int turn = 0; turn < 1000 && got < sent + 1; turn++) {
        while (ls_message_receive(pair[0], &back, NULL) == 1)
            got++;
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(got, sent + 1);
    assert_int_equal(back.type, LS_MESSAGE_READY);
    ls_channel_close(&channel);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    close(pair[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(channel__messages_then_end__all_arrive_and_loss_is_told_once),
        cmocka_unit_test(channel__slow_master__messages_wait_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
