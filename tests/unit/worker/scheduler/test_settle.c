#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/job/envelope.h"
#include "common/job/retry.h"
#include "worker/scheduler/settle.h"

#define MAX 300
/* What a death leaves in a job that had no history. */
#define CRASH                                                                         \
    "\"history\":[{\"at\":\"2023-11-14T22:13:20.000Z\",\"class\":\"crash\",\"code\":" \
    "\"crash\",\"error\":\"its worker process died\"}"

/* Claims as a reply of worker_steal brings them: fence, envelope, old fence. */
static struct {
    struct ls_reply items[3 * MAX];
    char texts[MAX][800], fences[MAX][24];
    struct ls_claims claims;
} hand;

static void begin_hand(void)
{
    memset(&hand, 0, sizeof hand);
    hand.claims = (struct ls_claims){.width = 3, .items = hand.items};
}

static struct ls_reply text_reply(const char *text)
{
    return (struct ls_reply){.type = LS_REPLY_STRING, .length = strlen(text), .text = text};
}

static void hold(const char *envelope)
{
    size_t i = hand.claims.count++;

    snprintf(hand.texts[i], sizeof hand.texts[i], "%s", envelope);
    snprintf(hand.fences[i], sizeof hand.fences[i], "%zu", 1000 + i);
    hand.items[3 * i] = text_reply(hand.fences[i]);
    hand.items[3 * i + 1] = text_reply(hand.texts[i]);
    hand.items[3 * i + 2] = text_reply("7");
}

static void hold_crashed(int n, int crashes)
{
    char text[200];

    snprintf(text, sizeof text,
             crashes ? "{\"id\":\"j%d\",\"kind\":\"noop\",\"data\":{},\"crashes\":%d}"
                     : "{\"id\":\"j%d\",\"kind\":\"noop\",\"data\":{}}",
             n, crashes);
    hold(text);
}

static struct ls_settle_result settle_death(struct ls_buf *settles, bool killed)
{
    const struct ls_settle_options options = {
        .victim = "host-1-x", .killed = killed, .now_ms = 1700000000000};
    struct ls_turn turn = {0};
    struct ls_settle_result result = ls_settle_stolen(&turn, &hand.claims, &options);

    ls_buf_clear(settles);
    ls_buf_add(settles, turn.settles.args.data ? turn.settles.args.data : "",
               turn.settles.args.length);
    ls_turn_fini(&turn);
    return result;
}

static struct ls_settle_result settle(struct ls_buf *settles)
{
    return settle_death(settles, false);
}

static void settle__jobs_of_a_killed_runner__go_back_with_one_crash_more(void **state)
{
    struct ls_buf settles = {0};
    struct ls_settle_result result;

    begin_hand();
    for (int i = 0; i < 64; i++)
        hold_crashed(i, i % 2);
    result = settle(&settles);
    assert_int_equal(result.back, 64);
    assert_non_null(strstr(
        settles.data, "{\"id\":\"j0\",\"kind\":\"noop\",\"data\":{},\"crashes\":1," CRASH "]}"));
    assert_non_null(strstr(
        settles.data, "{\"id\":\"j1\",\"kind\":\"noop\",\"data\":{},\"crashes\":2," CRASH "]}"));
    ls_buf_fini(&settles);
}

static void settle__a_crash__joins_the_history_of_the_job_and_of_its_letter(void **state)
{
    static const char earlier[] = "{\"at\":\"2023-11-14T22:00:00.000Z\",\"class\":\"transient\","
                                  "\"code\":\"refused\",\"error\":\"no\"}";
    struct ls_buf settles = {0};
    char text[400], expected[800];

    for (int crashes = 1; crashes <= 4; crashes += 3) {
        snprintf(text, sizeof text,
                 "{\"id\":\"j\",\"kind\":\"noop\",\"crashes\":%d,\"history\":[%s]}", crashes,
                 earlier);
        begin_hand();
        hold(text);
        settle(&settles);
        snprintf(expected, sizeof expected,
                 crashes == 1 ? "\"crashes\":2,\"history\":[%s,%s]}"
                              : "\"history\":[%s,%s],\"job\":{\"id\":\"j\",\"kind\":\"noop\","
                                "\"crashes\":5}}",
                 earlier, strchr(CRASH, '{'));
        if (!strstr(settles.data, expected))
            fail_msg("%s lacks %s", settles.data, expected);
    }
    ls_buf_fini(&settles);
}

static void settle__the_only_suspect__is_charged_and_dies_at_the_limit(void **state)
{
    struct ls_buf settles = {0};
    struct ls_settle_result result;

    begin_hand();
    hold_crashed(1, LS_RETRY_SUSPECT_FROM);
    hold_crashed(2, 0);
    result = settle(&settles);
    assert_int_equal(result.later, 1);
    assert_int_equal(result.back, 1);
    assert_non_null(
        strstr(settles.data, "\"j1\",\"kind\":\"noop\",\"data\":{},\"crashes\":3," CRASH "]}"));
    begin_hand();
    hold_crashed(1, LS_RETRY_SUSPECT_FROM + LS_RETRY_CRASH_LIMIT - 1);
    result = settle(&settles);
    assert_int_equal(result.dead, 1);
    assert_non_null(
        strstr(settles.data, "\"class\":\"crash\",\"why\":\"crashes\",\"code\":\"crash\""));
    assert_non_null(strstr(settles.data, "its worker process died 5 times while it ran"));
    assert_non_null(strstr(settles.data, "\"fence\":7"));
    ls_buf_fini(&settles);
}

static void settle__the_only_suspect_of_a_kill_from_outside__lives_longer(void **state)
{
    struct ls_buf settles = {0};

    begin_hand();
    hold_crashed(1, LS_RETRY_SUSPECT_FROM + LS_RETRY_CRASH_LIMIT - 1);
    assert_int_equal(settle_death(&settles, true).later, 1);
    begin_hand();
    hold_crashed(1, LS_RETRY_SUSPECT_FROM + LS_RETRY_CRASH_LIMIT * LS_SETTLE_KILLED - 1);
    assert_int_equal(settle_death(&settles, true).dead, 1);
    ls_buf_fini(&settles);
}

static void settle__several_suspects__none_is_charged(void **state)
{
    struct ls_buf settles = {0};
    struct ls_settle_result result;

    begin_hand();
    for (int i = 0; i < 10; i++)
        hold_crashed(i, LS_RETRY_SUSPECT_FROM + LS_RETRY_CRASH_LIMIT - 1);
    result = settle(&settles);
    assert_int_equal(result.later, 10);
    assert_int_equal(result.dead, 0);
    assert_null(strstr(settles.data, "\"crashes\":5"));
    assert_null(strstr(settles.data, "history")); /* nor do they remember what may not be theirs */
    ls_buf_fini(&settles);
}

static void settle__raw_push__gets_an_id_and_its_form(void **state)
{
    struct ls_buf settles = {0};
    char *at;

    begin_hand();
    hold("{ \"kind\" : \"noop\" }");
    assert_int_equal(settle(&settles).back, 1);
    at = strstr(settles.data, "{\"id\":\"");
    assert_non_null(at);
    assert_non_null(strstr(at, "\",\"kind\":\"noop\",\"crashes\":1," CRASH "]}"));
    ls_buf_fini(&settles);
}

static void settle__what_is_no_envelope__is_dead_with_its_bytes(void **state)
{
    struct ls_buf settles = {0};

    begin_hand();
    hold("{\"kind\":");
    assert_int_equal(settle(&settles).dead, 1);
    assert_non_null(strstr(settles.data,
                           "\"class\":\"malformed\",\"why\":\"malformed\",\"code\":\"not_json\""));
    assert_non_null(strstr(settles.data, "\"raw\":\"{\\\"kind\\\":\""));
    ls_buf_fini(&settles);
}

static void settle__key_of_a_plain_push__is_handed_to_the_keys_state(void **state)
{
    struct ls_buf settles = {0};

    begin_hand();
    hold("{\"id\":\"a\",\"key\":\"shop/x/1\",\"kind\":\"noop\"}");
    assert_int_equal(settle(&settles).rekeyed, 1);
    ls_buf_fini(&settles);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settle__jobs_of_a_killed_runner__go_back_with_one_crash_more),
        cmocka_unit_test(settle__a_crash__joins_the_history_of_the_job_and_of_its_letter),
        cmocka_unit_test(settle__the_only_suspect__is_charged_and_dies_at_the_limit),
        cmocka_unit_test(settle__the_only_suspect_of_a_kill_from_outside__lives_longer),
        cmocka_unit_test(settle__several_suspects__none_is_charged),
        cmocka_unit_test(settle__raw_push__gets_an_id_and_its_form),
        cmocka_unit_test(settle__what_is_no_envelope__is_dead_with_its_bytes),
        cmocka_unit_test(settle__key_of_a_plain_push__is_handed_to_the_keys_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
