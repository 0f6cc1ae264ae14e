/* worker_turn with plain jobs: claim, every settlement, every repeat, every wrong fence. */
#include "tests/lua/harness.h"

#include <unistd.h>

static struct got got;
static struct ls_turn turn;

static const struct ls_span PLAIN = {0};

static void turn__unknown_worker__is_fenced_and_nothing_is_done(void **state)
{
    push(make(NULL, "1", NULL, NULL), 0, NULL);
    assert_false(try_turn(NULL, "w", 10, &got));
    assert_int_equal(redis_int("LLEN", keys.pending, NULL), 1);
    assert_int_equal(redis_int("EXISTS", keys.workers, NULL), 0);
}

static void turn__claimed_and_acked__leaves_nothing_in_redis(void **state)
{
    char running[LS_KEY_SIZE];

    join("w");
    push(make(NULL, "1", NULL, NULL), 0, NULL);
    take_turn(NULL, "w", 10, &got);
    assert_int_equal(got.count, 1);
    assert_string_equal(got.at[0].envelope, make(NULL, "1", NULL, NULL));
    assert_false(got.at[0].keyed);
    assert_true(got.at[0].fence > 1700000000000000);
    assert_string_equal(redis_list("HVALS", ls_keys_running(&keys, "w", running), NULL),
                        make(NULL, "1", NULL, NULL));
    ls_turn_ack(&turn, got.at[0].fence, PLAIN);
    take_turn(&turn, "w", 10, &got);
    assert_int_equal(got.settled, 1);
    assert_int_equal(got.count, 0);
    assert_int_equal(everywhere("w", NULL), 0);
    assert_string_equal(redis_text("HGET", keys.stats, "claimed", NULL), "1");
    assert_string_equal(redis_text("HGET", keys.stats, "done", NULL), "1");
}

static void turn__fences__only_grow_and_are_plain_decimals(void **state)
{
    int64_t last = 0;

    join("w");
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 50; i++)
            push_raw(keys.pending, make(NULL, "x", NULL, NULL));
        take_turn(NULL, "w", 50, &got);
        assert_int_equal(got.count, 50);
        for (size_t i = 0; i < got.count; i++) {
            assert_true(got.at[i].fence > last);
            last = got.at[i].fence;
        }
    }
    assert_int_equal(strspn(redis_text("GET", keys.fence, NULL), "0123456789"), 16);
    redis_text("SET", keys.fence, "9000000000000000", NULL); /* a clock that was ahead */
    push_raw(keys.pending, make(NULL, "x", NULL, NULL));
    take_turn(NULL, "w", 1, &got);
    assert_true(got.at[0].fence == 9000000000000001);
}

static void turn__acks_in_bulk__are_counted_and_a_repeat_does_nothing(void **state)
{
    join("w");
    for (int i = 0; i < 64; i++)
        push_raw(keys.pending, make(NULL, "x", NULL, NULL));
    take_turn(NULL, "w", 64, &got);
    for (size_t i = 0; i < 64; i++)
        ls_turn_ack(&turn, got.at[i].fence, PLAIN);
    for (size_t i = 0; i < 64; i++) /* the same again, as after a lost reply */
        ls_turn_ack(&turn, got.at[i].fence, PLAIN);
    take_turn(&turn, "w", 0, &got);
    assert_int_equal(got.settled, 64);
    assert_string_equal(redis_text("HGET", keys.stats, "done", NULL), "64");
}

static void turn__retry__waits_in_delayed_and_comes_back_when_due(void **state)
{
    const char *changed = make(NULL, "1", NULL, ",\"attempt\":1");
    int64_t fence;

    join("w");
    push(make(NULL, "1", NULL, NULL), 0, NULL);
    take_turn(NULL, "w", 1, &got);
    fence = got.at[0].fence;
    ls_turn_retry(&turn, fence, PLAIN, 40, span(changed));
    take_turn(&turn, "w", 1, &got);
    assert_int_equal(got.settled, 1);
    assert_int_equal(got.count, 0);
    assert_true(got.has_due && got.next_due_ms > 0 && got.next_due_ms <= 40);
    assert_string_equal(redis_list("ZRANGE", keys.delayed, "0", "-1", NULL), changed);
    ls_turn_retry(&turn, fence, PLAIN, 0, span("{\"id\":\"other\",\"kind\":\"t\"}"));
    take_turn(&turn, "w", 0, &got); /* a repeat with the same fence */
    assert_int_equal(got.settled, 0);
    assert_int_equal(redis_int("ZCARD", keys.delayed, NULL), 1);
    claim_until("w", 1, &got);
    assert_string_equal(got.at[0].envelope, changed);
    assert_true(got.at[0].fence > fence);
    assert_string_equal(redis_text("HGET", keys.stats, "retried", NULL), "1");
}

static void turn__retried_identical_bodies_with_ids_of_their_own__stay_two(void **state)
{
    join("w");
    push_raw(keys.pending, "{\"kind\":\"t\"}");
    push_raw(keys.pending, "{\"kind\":\"t\"}");
    take_turn(NULL, "w", 2, &got);
    assert_int_equal(got.count, 2);
    ls_turn_retry(&turn, got.at[0].fence, PLAIN, 5, span(make(NULL, "a", NULL, NULL)));
    ls_turn_retry(&turn, got.at[1].fence, PLAIN, 5, span(make(NULL, "b", NULL, NULL)));
    take_turn(&turn, "w", 0, &got);
    claim_until("w", 2, &got);
}

static void turn__given_back__is_first_again_in_its_lane(void **state)
{
    const char *high = make(NULL, "h", NULL, ",\"priority\":\"high\"");

    join("w");
    push(high, 0, NULL);
    push(make(NULL, "1", NULL, NULL), 0, NULL);
    push(make(NULL, "2", NULL, NULL), 0, NULL);
    take_turn(NULL, "w", 2, &got);
    assert_int_equal(got.count, 2);
    for (size_t i = 0; i < got.count; i++)
        ls_turn_back(&turn, got.at[i].fence, PLAIN, span(got.at[i].envelope));
    take_turn(&turn, "w", 0, &got);
    assert_int_equal(got.settled, 2);
    assert_int_equal(
        redis_int("LLEN", keys.pending, NULL) + redis_int("LLEN", keys.pending_high, NULL), 3);
    if (redis_int("LLEN", keys.pending_high, NULL))
        assert_string_equal(redis_text("LINDEX", keys.pending_high, "0", NULL), high);
    assert_string_equal(redis_text("HGET", keys.stats, "given_back", NULL), "2");
}

static void turn__again__has_a_delay_and_its_own_counter(void **state)
{
    join("w");
    push(make(NULL, "1", NULL, NULL), 0, NULL);
    take_turn(NULL, "w", 1, &got);
    ls_turn_again(&turn, got.at[0].fence, PLAIN, 1, span(make(NULL, "1", NULL, ",\"data\":1")));
    take_turn(&turn, "w", 0, &got);
    assert_string_equal(redis_text("HGET", keys.stats, "again", NULL), "1");
    assert_string_equal(redis_text("HGET", keys.stats, "retried", NULL), "(nil)");
    claim_until("w", 1, &got);
    assert_non_null(strstr(got.at[0].envelope, "\"data\":1"));
}

static void turn__dead__stands_first_in_the_list_and_counts_in_its_group(void **state)
{
    struct ls_dead_group_row row;
    const char *value;

    join("w");
    for (int i = 0; i < 3; i++) {
        push(make(NULL, "1", NULL, NULL), 0, NULL);
        take_turn(NULL, "w", 1, &got);
        ls_turn_dead(&turn, got.at[0].fence, PLAIN, span(i == 2 ? "{\"new\":1}" : "{\"old\":1}"),
                     span("cafe"), span("peer answered 500"));
        ls_turn_dead(&turn, got.at[0].fence, PLAIN, span("{\"twice\":1}"), span("cafe"),
                     span("peer answered 500"));
        take_turn(&turn, "w", 0, &got);
        assert_int_equal(got.settled, 1);
    }
    assert_string_equal(redis_list("LRANGE", keys.dead, "0", "-1", NULL),
                        "{\"new\":1}|{\"old\":1}|{\"old\":1}");
    value = redis_text("HGET", keys.dead_groups, "cafe", NULL);
    assert_int_equal(ls_dead_group_parse(ls_span_of(value), &row), 0);
    assert_int_equal(row.count, 3);
    assert_true(row.first_ms > 1700000000000 && row.last_ms >= row.first_ms);
    assert_true(ls_span_is(row.sample, "peer answered 500"));
    assert_string_equal(redis_text("HGET", keys.stats, "dead", NULL), "3");
    assert_int_equal(everywhere("w", NULL), 3);
}

static void turn__a_malformed_body__is_claimed_and_buried_byte_for_byte(void **state)
{
    static const char bytes[] = "{\"kind\": \xff\x00\r\n}";
    struct ls_turn_result result;
    struct ls_claim claim;
    struct ls_err err = LS_ERR_INIT;

    join("w");
    ls_cmd_start(&cmd, "RPUSH");
    ls_cmd_puts(&cmd, keys.pending);
    ls_cmd_add(&cmd, bytes, sizeof bytes - 1);
    send_cmd();
    ls_turn_build(&turn, &cmd, &keys, &(struct ls_turn_options){.worker = "w", .claim = 1});
    assert_int_equal(ls_turn_parse(send_cmd(), &result, &err), 0);
    assert_int_equal(result.claims.count, 1);
    claim = ls_claims_at(&result.claims, 0);
    assert_int_equal(claim.envelope.length, sizeof bytes - 1);
    assert_memory_equal(claim.envelope.data, bytes, sizeof bytes - 1);
}

static void turn__what_can_be_no_pointer__is_claimed_as_it_is(void **state)
{
    char running[LS_KEY_SIZE];

    join("w");
    push_raw(keys.pending, "@");
    push_raw(keys.pending, "@say \"hello\"");
    push_raw(keys.pending, "@\xff\xfe");
    push_raw(keys.pending, "@g\xc3\xb6ne"); /* a pointer whose job was done meanwhile */
    take_turn(NULL, "w", 10, &got);
    assert_int_equal(got.count, 3);
    assert_false(got.at[0].keyed || got.at[1].keyed || got.at[2].keyed);
    assert_string_equal(got.at[0].envelope, "@");
    assert_string_equal(got.at[1].envelope, "@say \"hello\"");
    assert_string_equal(got.at[2].envelope, "@\xff\xfe");
    assert_int_equal(redis_int("HLEN", ls_keys_running(&keys, "w", running), NULL), 3);
    assert_int_equal(redis_int("EXISTS", keys.keys, NULL), 0);
}

static void turn__checkpoint__keeps_the_claim_and_changes_the_body(void **state)
{
    const char *later = make(NULL, "1", NULL, ",\"data\":{\"cursor\":7}");
    char running[LS_KEY_SIZE];
    int64_t fence;

    join("w");
    push(make(NULL, "1", NULL, NULL), 0, NULL);
    take_turn(NULL, "w", 1, &got);
    fence = got.at[0].fence;
    ls_turn_keep(&turn, fence, span(later));
    take_turn(&turn, "w", 0, &got);
    assert_int_equal(got.settled, 1);
    assert_string_equal(redis_list("HVALS", ls_keys_running(&keys, "w", running), NULL), later);
    ls_turn_ack(&turn, fence, PLAIN);
    take_turn(&turn, "w", 0, &got);
    ls_turn_keep(&turn, fence, span(later)); /* too late: the claim is gone */
    take_turn(&turn, "w", 0, &got);
    assert_int_equal(got.settled, 0);
    assert_int_equal(everywhere("w", NULL), 0);
}

static void turn__wrong_fences__settle_nothing_whatever_the_verb(void **state)
{
    const struct ls_span body = span(make(NULL, "9", NULL, NULL));

    join("w");
    push(make(NULL, "1", NULL, NULL), 0, NULL);
    take_turn(NULL, "w", 1, &got);
    ls_turn_ack(&turn, got.at[0].fence + 1, PLAIN);
    ls_turn_ack(&turn, got.at[0].fence - 1, span("k"));
    ls_turn_retry(&turn, 1, PLAIN, 0, body);
    ls_turn_again(&turn, 2, PLAIN, 0, body);
    ls_turn_back(&turn, 3, PLAIN, body);
    ls_turn_dead(&turn, 4, PLAIN, span("{}"), span("g"), span("s"));
    ls_turn_keep(&turn, 5, body);
    ls_turn_rekey(&turn, 6, span("k"), body);
    take_turn(&turn, "w", 10, &got);
    assert_int_equal(got.settled, 0);
    assert_int_equal(got.count, 0);
    assert_int_equal(everywhere("w", NULL), 1);
    assert_int_equal(redis_int("EXISTS", keys.keys, keys.bodies, keys.dead_groups, NULL), 0);
}

static void turn__another_workers_fence__cannot_be_settled(void **state)
{
    int64_t fence;

    join("w");
    join("v");
    push(make(NULL, "1", NULL, NULL), 0, NULL);
    take_turn(NULL, "w", 1, &got);
    fence = got.at[0].fence;
    ls_turn_ack(&turn, fence, PLAIN);
    take_turn(&turn, "v", 0, &got);
    assert_int_equal(got.settled, 0);
    assert_int_equal(everywhere("w", "v", NULL), 1);
}

static void turn__lanes__are_taken_from_in_the_order_of_the_turn(void **state)
{
    int low = 0, normal = 0, high = 0;

    join("w");
    for (int i = 0; i < 400; i++) {
        push_raw(keys.pending_high, make(NULL, "h", NULL, NULL));
        push_raw(keys.pending, make(NULL, "n", NULL, NULL));
        push_raw(keys.pending_low, make(NULL, "l", NULL, NULL));
    }
    for (int i = 0; i < 160; i++) {
        take_turn(NULL, "w", 1, &got);
        assert_int_equal(got.count, 1);
        high += strstr(got.at[0].envelope, "\"h\"") != NULL;
        normal += strstr(got.at[0].envelope, "\"n\"") != NULL;
        low += strstr(got.at[0].envelope, "\"l\"") != NULL;
    }
    assert_int_equal(high, 120); /* three of the harness' four orders */
    assert_int_equal(normal, 40);
    assert_int_equal(low, 0);
}

static void turn__promotion__goes_in_slices_to_the_lane_of_each(void **state)
{
    join("w");
    for (int i = 0; i < 150; i++) {
        char id[16];

        snprintf(id, sizeof id, "%d", i);
        push(make(NULL, id, NULL, i % 3 == 0 ? ",\"priority\":\"high\"" : NULL), 1, NULL);
    }
    usleep(5000);
    take_turn(NULL, "w", 0, &got);
    assert_int_equal(got.pending + got.pending_high, 64);
    assert_true(got.has_due && got.next_due_ms <= 0);
    assert_string_equal(redis_list("LRANGE", keys.wake, "0", "-1", NULL), "1");
    take_turn(NULL, "w", 0, &got);
    take_turn(NULL, "w", 0, &got);
    assert_int_equal(got.pending_high, 50);
    assert_int_equal(got.pending, 100);
    assert_false(got.has_due);
}

static void turn__paused__claims_nothing_but_settles(void **state)
{
    struct ls_queue_switched was;

    join("w");
    push(make(NULL, "1", NULL, NULL), 0, NULL);
    take_turn(NULL, "w", 1, &got);
    push(make(NULL, "2", NULL, NULL), 0, NULL);
    ls_queue_pause_build(&cmd, &keys, span("operator: deploy"));
    assert_int_equal(ls_queue_switch_parse(send_cmd(), &was, NULL), 0);
    assert_false(was.was_paused);
    redis_int("DEL", keys.wake, NULL);
    ls_turn_ack(&turn, got.at[0].fence, PLAIN);
    take_turn(&turn, "w", 5, &got);
    assert_int_equal(got.settled, 1);
    assert_int_equal(got.count, 0);
    assert_int_equal(got.blocked, LS_TURN_PAUSED);
    assert_int_equal(redis_int("EXISTS", keys.wake, NULL), 0); /* nobody is woken for nothing */
    ls_queue_pause_build(&cmd, &keys, span("second"));
    assert_int_equal(ls_queue_switch_parse(send_cmd(), &was, NULL), 0);
    assert_true(was.was_paused);
    assert_string_equal(redis_text("HGET", keys.control, "paused", NULL), "operator: deploy");
    ls_queue_resume_build(&cmd, &keys);
    assert_int_equal(ls_queue_switch_parse(send_cmd(), &was, NULL), 0);
    assert_true(was.was_paused);
    assert_int_equal(redis_int("LLEN", keys.wake, NULL), 1);
    take_turn(NULL, "w", 5, &got);
    assert_int_equal(got.count, 1);
}

static void turn__wake__one_token_while_work_remains(void **state)
{
    join("w");
    for (int i = 0; i < 3; i++)
        push(make(NULL, "1", NULL, NULL), 0, NULL);
    assert_int_equal(redis_int("LLEN", keys.wake, NULL), 1);
    redis_int("DEL", keys.wake, NULL);
    take_turn(NULL, "w", 2, &got);
    assert_int_equal(redis_int("LLEN", keys.wake, NULL), 1);
    redis_int("DEL", keys.wake, NULL);
    take_turn(NULL, "w", 2, &got);
    assert_int_equal(redis_int("LLEN", keys.wake, NULL), 0);
}

static void turn__cancelled__is_dropped_at_its_claim(void **state)
{
    const struct ls_span ids[] = {LS_SPAN("1"), LS_SPAN("3")};
    struct ls_cancel cancel = {.ids = ids, .count = 2};
    struct ls_cancelled cancelled;

    join("w");
    push(make(NULL, "1", NULL, NULL), 0, NULL);
    push(make("acc", "2", NULL, NULL), 0, NULL);
    push(make("acc", "3", NULL, NULL), 0, NULL);
    ls_cancel_build(&cmd, &keys, &cancel);
    assert_int_equal(ls_cancel_parse(send_cmd(), &cancelled, NULL), 0);
    assert_int_equal(cancelled.added, 2);
    take_turn(NULL, "w", 5, &got);
    assert_int_equal(got.count, 1);
    assert_non_null(strstr(got.at[0].envelope, "\"2\""));
    assert_string_equal(redis_text("HGET", keys.stats, "cancelled", NULL), "2");
    cancel.ttl_ms = 1;
    ls_cancel_build(&cmd, &keys, &cancel);
    send_cmd();
    usleep(3000);
    push(make(NULL, "1", NULL, NULL), 0, NULL); /* forgotten by then */
    take_turn(NULL, "w", 5, &got);
    assert_int_equal(got.count, 1);
    assert_int_equal(redis_int("EXISTS", keys.cancelled, NULL), 0);
}

static void turn__counters__add_up_in_total_and_by_minute(void **state)
{
    struct ls_span counter;
    int64_t minute;
    const char *ring;

    join("w");
    ls_turn_count(&turn, "sync_ok", 3);
    ls_turn_count(&turn, "sync_ms", 1500);
    take_turn(&turn, "w", 0, &got);
    ls_turn_count(&turn, "sync_ok", 4);
    take_turn(&turn, "w", 0, &got);
    assert_string_equal(redis_text("HGET", keys.stats, "sync_ok", NULL), "7");
    assert_string_equal(redis_text("HGET", keys.stats, "sync_ms", NULL), "1500");
    ring = redis_list("HKEYS", keys.stats_ring, NULL);
    assert_int_equal(
        ls_queue_ring_field((struct ls_span){ring, strcspn(ring, "|")}, &minute, &counter), 0);
    assert_true(minute >= got.ms / 60000 - 1 && minute <= got.ms / 60000);
}

static void turn__ring__forgets_what_is_older_than_three_hours(void **state)
{
    int64_t now;
    char field[64];

    join("w");
    take_turn(NULL, "w", 0, &got);
    now = ls_clock_wall_ms() / 60000;
    for (int i = 0; i < 600; i++) {
        snprintf(field, sizeof field, "%lld/done", (long long)(now - i));
        redis_int("HSET", keys.stats_ring, field, "1", NULL);
    }
    for (int i = 0; i < 200; i++) {
        char name[32];

        snprintf(name, sizeof name, "c%d", i);
        ls_turn_count(&turn, name, 1);
        take_turn(&turn, "w", 0, &got);
    }
    assert_in_range(redis_int("HLEN", keys.stats_ring, NULL), 380, 384); /* 181 minutes, 200 new */
}

static void turn__idle__makes_at_most_three_calls(void **state)
{
    const char *info;
    long long calls = 0;

    join("w");
    take_turn(NULL, "w", 64, &got);
    redis_text("CONFIG", "RESETSTAT", NULL);
    usleep(2000);
    take_turn(NULL, "w", 64, &got);
    info = redis_text("INFO", "commandstats", NULL);
    for (const char *line = strstr(info, "cmdstat_"); line; line = strstr(line + 1, "cmdstat_")) {
        if (strncmp(line, "cmdstat_eval", 12) != 0 && strncmp(line, "cmdstat_config", 14) != 0)
            calls += strtoll(strstr(line, "calls=") + 6, NULL, 10);
    }
    assert_in_range(calls, 1, 3);
}

static void turn__reply_lost_and_sent_again_after_adopting__settles_once(void **state)
{
    struct ls_turn lost = {0};
    int64_t fences[2];

    join("w1");
    push(make(NULL, "1", NULL, NULL), 0, NULL);
    push(make(NULL, "2", NULL, NULL), 0, NULL);
    take_turn(NULL, "w1", 2, &got);
    fences[0] = got.at[0].fence;
    fences[1] = got.at[1].fence;
    ls_turn_ack(&lost, fences[0], PLAIN);
    ls_turn_retry(&lost, fences[1], PLAIN, 60000, span(make(NULL, "2", NULL, ",\"attempt\":1")));
    ls_turn_append(&turn, &lost);
    take_turn(&turn, "w1", 0, &got); /* applied; its reply never arrived */
    assert_int_equal(got.settled, 2);
    adopt("w2", &got, 1, "w1");
    assert_int_equal(got.count, 0);
    take_turn(&lost, "w2", 0, &got);
    assert_int_equal(got.settled, 0);
    assert_int_equal(redis_int("ZCARD", keys.delayed, NULL), 1);
    assert_int_equal(everywhere("w1", "w2", NULL), 1);
    ls_turn_fini(&lost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(turn__unknown_worker__is_fenced_and_nothing_is_done),
        TEST(turn__claimed_and_acked__leaves_nothing_in_redis),
        TEST(turn__fences__only_grow_and_are_plain_decimals),
        TEST(turn__acks_in_bulk__are_counted_and_a_repeat_does_nothing),
        TEST(turn__retry__waits_in_delayed_and_comes_back_when_due),
        TEST(turn__retried_identical_bodies_with_ids_of_their_own__stay_two),
        TEST(turn__given_back__is_first_again_in_its_lane),
        TEST(turn__again__has_a_delay_and_its_own_counter),
        TEST(turn__dead__stands_first_in_the_list_and_counts_in_its_group),
        TEST(turn__a_malformed_body__is_claimed_and_buried_byte_for_byte),
        TEST(turn__what_can_be_no_pointer__is_claimed_as_it_is),
        TEST(turn__checkpoint__keeps_the_claim_and_changes_the_body),
        TEST(turn__wrong_fences__settle_nothing_whatever_the_verb),
        TEST(turn__another_workers_fence__cannot_be_settled),
        TEST(turn__lanes__are_taken_from_in_the_order_of_the_turn),
        TEST(turn__promotion__goes_in_slices_to_the_lane_of_each),
        TEST(turn__paused__claims_nothing_but_settles),
        TEST(turn__wake__one_token_while_work_remains),
        TEST(turn__cancelled__is_dropped_at_its_claim),
        TEST(turn__counters__add_up_in_total_and_by_minute),
        TEST(turn__ring__forgets_what_is_older_than_three_hours),
        TEST(turn__idle__makes_at_most_three_calls),
        TEST(turn__reply_lost_and_sent_again_after_adopting__settles_once),
    };
    int failed = cmocka_run_group_tests(tests, harness_open, harness_close);

    ls_turn_fini(&turn);
    return failed;
}
