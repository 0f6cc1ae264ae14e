/* Budgets and parking; a full Redis. */
#include "tests/lua/harness.h"

#include <unistd.h>

static struct got got;
static struct ls_turn turn;

static const struct ls_span PLAIN = {0};

static struct ls_limit_state set(struct ls_limit_change change)
{
    struct ls_limit_state limit;

    ls_limit_set_build(&cmd, &keys, &change);
    assert_int_equal(ls_limit_set_parse(send_cmd(), &limit, NULL), 0);
    return limit;
}

static void set_rate(const char *account, double rate, int burst)
{
    set((struct ls_limit_change){
        .account = span(account), .rate = rate, .burst = burst, .concurrency = -1, .park_ms = -1});
}

static void park(const char *account, int64_t ms)
{
    set((struct ls_limit_change){.account = span(account),
                                 .rate = -1,
                                 .concurrency = -1,
                                 .park_ms = ms,
                                 .reason = span("test")});
}

static void push_jobs(const char *account, int count)
{
    static int serial;

    for (int i = 0; i < count; i++) {
        char id[24];

        snprintf(id, sizeof id, "s%d", serial++);
        push_raw(keys.pending, make(account, id, NULL, NULL));
    }
}

static void limit__rate_and_burst__are_kept_exactly_and_nothing_is_lost(void **state)
{
    const double rate = 200;
    const int burst = 5, jobs = 85;
    int64_t start = 0, now = 0;
    int claimed = 0;

    join("w");
    set_rate("a", rate, burst);
    push_jobs("a", jobs);
    while (claimed < jobs) {
        take_turn(NULL, "w", 16, &got);
        now = got.ms;
        if (!start)
            start = now;
        claimed += (int)got.count;
        /* a ms of rounding, and one more because start was rounded too */
        if (claimed > burst + rate * (double)(now - start + 2) / 1000)
            fail_msg("%d claimed after %lld ms", claimed, (long long)(now - start));
        assert_true(now - start < 5000);
        assert_int_equal(everywhere("w", NULL), jobs);
    }
    assert_true(now - start >= (jobs - burst) * 1000 / rate - 2);
}

static void limit__over_budget__moves_once_into_reserved_and_pays_once(void **state)
{
    long long level;

    join("w");
    set_rate("a", 10, 1);
    push_jobs("a", 4);
    take_turn(NULL, "w", 1, &got);
    assert_int_equal(got.count, 1);
    take_turn(NULL, "w", 8, &got);
    assert_int_equal(got.count, 0);
    assert_int_equal(redis_int("ZCARD", keys.reserved, NULL), 3);
    assert_true(got.has_due && got.next_due_ms > 0 && got.next_due_ms <= 101);
    level = strtoll(redis_text("HGET", keys.limits, "a/next", NULL), NULL, 10);
    claim_until("w", 3, &got);
    assert_true(strtoll(redis_text("HGET", keys.limits, "a/next", NULL), NULL, 10) == level);
    assert_string_equal(redis_text("HGET", keys.stats, "limited", NULL), "3");
}

static void limit__a_flood_of_one_account__does_not_keep_the_others_waiting(void **state)
{
    join("w");
    set_rate("flood", 1, 1);
    push_jobs("flood", 120);
    push_jobs("small", 3);
    for (int i = 0; i < 4; i++) {
        take_turn(NULL, "w", 10, &got); /* looks at 40 jobs at most */
        if (got_find(&got, "small") >= 0)
            break;
    }
    assert_true(got_find(&got, "small") >= 0);
}

static void limit__parked_account__waits_while_others_run(void **state)
{
    struct ls_limit_state limit;

    join("w");
    push_jobs("a", 2);
    push_jobs("b", 1);
    park("a", 60);
    park("a", 10); /* the longer one stays */
    take_turn(NULL, "w", 8, &got);
    assert_int_equal(got.count, 1);
    assert_true(strstr(got.at[0].envelope, "\"b\"") != NULL);
    assert_int_equal(redis_int("ZCARD", keys.held, NULL), 2);
    assert_true(got.next_due_ms > 10 && got.next_due_ms <= 60);
    claim_until("w", 2, &got);
    limit = set((struct ls_limit_change){
        .account = span("a"), .rate = -1, .concurrency = -1, .park_ms = -1});
    assert_int_equal(limit.parked_until, 0);
    assert_int_equal(redis_int("EXISTS", keys.limits, NULL), 0);
}

static void limit__throttled_by_the_peer__the_settlement_parks_and_gives_back(void **state)
{
    join("w");
    push_jobs("a", 2);
    take_turn(NULL, "w", 1, &got);
    ls_turn_park(&turn, span("a"), 40, span("429"));
    ls_turn_back(&turn, got.at[0].fence, PLAIN, span(got.at[0].envelope));
    take_turn(&turn, "w", 5, &got); /* the same turn does not claim it again */
    assert_int_equal(got.settled, 1);
    assert_int_equal(got.count, 0);
    assert_string_equal(redis_text("HGET", keys.limits, "a/reason", NULL), "429");
    claim_until("w", 2, &got);
}

static void limit__reserved_when_the_parking_begins__moves_behind_its_end(void **state)
{
    join("w");
    set_rate("a", 100, 1);
    push_jobs("a", 5);
    take_turn(NULL, "w", 5, &got);
    assert_int_equal(got.count, 1);
    assert_int_equal(redis_int("ZCARD", keys.reserved, NULL), 4);
    park("a", 120);
    usleep(50000); /* all are due by now */
    take_turn(NULL, "w", 5, &got);
    assert_int_equal(got.count, 0);
    assert_int_equal(redis_int("ZCARD", keys.reserved, NULL), 0);
    assert_int_equal(redis_int("ZCARD", keys.held, NULL), 4);
    assert_true(got.next_due_ms > 20);
    claim_until("w", 4, &got);
}

static void limit__long_parking_ended__the_jobs_are_back_at_once(void **state)
{
    int claimed = 0;

    join("w");
    set_rate("a", 1000, 10);
    push_jobs("a", 600);
    push_jobs("b", 5);
    park("b", 3600000);
    park("a", 3600000);
    for (int i = 0; i < 20 && redis_int("LLEN", keys.pending, NULL); i++)
        take_turn(NULL, "w", 100, &got);
    assert_int_equal(redis_int("ZCARD", keys.held, NULL), 605);
    take_turn(NULL, "w", 10, &got);
    assert_int_equal(got.count, 0);
    assert_true(got.next_due_ms > 500000);
    park("a", 0);
    park("b", 0);
    for (int i = 0; i < 400 && claimed < 605; i++) {
        take_turn(NULL, "w", 200, &got);
        claimed += (int)got.count;
        usleep(5000);
    }
    assert_int_equal(claimed, 605);
    assert_int_equal(redis_int("EXISTS", keys.held, keys.reserved, keys.ring, NULL), 0);
}

static void limit__keyed_jobs__keep_to_the_budget_and_to_their_key(void **state)
{
    join("w");
    set_rate("acc", 50, 1);
    push_keyed("k1", make("acc", "1", "k1", NULL), 0);
    push_keyed("k2", make("acc", "2", "k2", NULL), 0);
    take_turn(NULL, "w", 5, &got);
    assert_int_equal(got.count, 1);
    assert_string_equal(redis_list("ZRANGE", keys.reserved, "0", "-1", NULL), "@k2");
    assert_string_equal(push_keyed("k2", make("acc", "3", "k2", NULL), 0), "coalesced");
    push_raw(keys.pending,
             "@k2"); /* a surplus pointer neither runs before its time nor pays again */
    take_turn(NULL, "w", 5, &got);
    assert_int_equal(got.count, 0);
    assert_int_equal(redis_int("ZCARD", keys.reserved, NULL), 1);
    claim_until("w", 1, &got);
    assert_string_equal(got.at[0].envelope, make("acc", "3", "k2", NULL));
}

static void limit__raw_job__is_claimed_for_its_form_first(void **state)
{
    join("w");
    park("a", 60000);
    push_raw(keys.pending, "{\"account\":\"a\",\"kind\":\"t\"}");
    push_raw(keys.pending, "{\"account\":\"a\",\"kind\":\"t\"}");
    take_turn(NULL, "w", 5, &got);
    assert_int_equal(got.count, 2); /* never moved without an id: the two would become one */
    ls_turn_back(&turn, got.at[0].fence, PLAIN, span(make("a", "x", NULL, NULL)));
    ls_turn_back(&turn, got.at[1].fence, PLAIN, span(make("a", "y", NULL, NULL)));
    take_turn(&turn, "w", 5, &got);
    assert_int_equal(got.count, 0);
    assert_int_equal(redis_int("ZCARD", keys.held, NULL), 2);
}

static struct ls_limit_grant take(const char *account, int want)
{
    struct ls_limit_grant grant;

    ls_limit_take_build(&cmd, &keys, span(account), want);
    assert_int_equal(ls_limit_take_parse(send_cmd(), &grant, NULL), 0);
    return grant;
}

static void limit__take__draws_on_the_budget_of_the_jobs(void **state)
{
    struct ls_limit_grant grant;

    join("w");
    assert_int_equal(take("a", 50).granted, 50); /* no budget, no bound */
    set_rate("a", 10, 20);
    grant = take("a", 20);
    assert_int_equal(grant.granted, 20);
    assert_int_equal(grant.wait_ms, 0);
    grant = take("a", 15); /* ahead of its time: paid, to be made later */
    assert_int_equal(grant.granted, 15);
    assert_in_range(grant.wait_ms, 1300, 1500);
    grant = take("a", 40);
    assert_int_equal(grant.granted, 0);
    assert_in_range(grant.wait_ms, 300, 500);
    take("a", -15);                              /* not made after all */
    assert_int_equal(take("a", 40).granted, 30); /* not more at once than go soon */
    take("a", -30);
    assert_in_range(take("a", 1).granted, 1, 1);
    park("a", 5000);
    grant = take("a", 1);
    assert_true(grant.parked && grant.granted == 0 && grant.wait_ms > 4000);
    push_jobs("a", 1);
    take_turn(NULL, "w", 1, &got);
    assert_int_equal(got.count, 0);
}

static void limit__removed__no_longer_holds(void **state)
{
    join("w");
    set_rate("a", 1, 1);
    push_jobs("a", 3);
    take_turn(NULL, "w", 3, &got);
    assert_int_equal(got.count, 1);
    set_rate("a", 0, 0);
    claim_until("w", 2, &got);
}

/* ---- a full Redis ---------------------------------------------------------------------------- */

static const struct ls_reply *send_as(int server_version, bool *refused)
{
    static struct ls_cmd eval;
    const struct ls_script_text text = ls_script_for(cmd.script, server_version);
    const struct ls_reply *reply = NULL;
    struct ls_err err = LS_ERR_INIT;

    ls_cmd_start(&eval, "EVAL");
    ls_cmd_add(&eval, text.text, text.length);
    ls_buf_add(&eval.args, cmd.args.data, cmd.args.length);
    eval.count += cmd.count;
    *refused = ls_redis_sync_send(wire, &eval, &reply, &err) < 0;
    if (*refused && !strstr(err.text, "OOM"))
        fail_msg("%s", err.text);
    ls_cmd_fini(&eval);
    return reply;
}

static void full(int server_version)
{
    struct ls_turn_result result;
    struct ls_err err = LS_ERR_INIT;
    bool refused;
    const struct ls_reply *reply;

    join("w");
    push_jobs("a", 6);
    take_turn(NULL, "w", 3, &got);
    assert_int_equal(got.count, 3);
    redis_text("CONFIG", "SET", "maxmemory", "1", NULL);

    ls_push_build(&cmd, &keys, NULL, &(struct ls_push_job){.envelope = span("{\"id\":\"n\"}")}, 1);
    send_as(server_version, &refused);
    assert_true(refused);
    ls_push_keyed_build(&cmd, &keys, NULL,
                        &(struct ls_push_job){.envelope = span("{\"id\":\"n\"}"), .key = span("k")},
                        1);
    send_as(server_version, &refused);
    assert_true(refused);
    assert_int_equal(redis_int("EXISTS", keys.bodies, keys.keys, NULL), 0);

    ls_turn_ack(&turn, got.at[0].fence, PLAIN);
    ls_turn_retry(&turn, got.at[1].fence, PLAIN, 50000, span(got.at[1].envelope));
    ls_turn_dead(&turn, got.at[2].fence, PLAIN, span("{}"), span("g"), span("s"));
    ls_turn_build(&turn, &cmd, &keys, &(struct ls_turn_options){.worker = "w", .claim = 2});
    ls_turn_clear(&turn);
    reply = send_as(server_version, &refused);
    assert_false(refused);
    assert_int_equal(ls_turn_parse(reply, &result, &err), 0);
    assert_int_equal(result.settled, 3);
    assert_int_equal(result.claims.count, 2);
    for (size_t i = 0; i < 2; i++) {
        struct ls_claim claim = ls_claims_at(&result.claims, i);

        ls_turn_ack(&turn, claim.fence, PLAIN);
    }
    ls_turn_build(&turn, &cmd, &keys, &(struct ls_turn_options){.worker = "w", .claim = 0});
    ls_turn_clear(&turn);
    reply = send_as(server_version, &refused);
    assert_false(refused);
    assert_int_equal(ls_turn_parse(reply, &result, &err), 0);
    assert_int_equal(result.settled, 2);
    ls_worker_adopt_build(&cmd, &keys, "w2", 60000, (const char *const[]){"w"}, 1);
    send_as(server_version, &refused);
    assert_false(refused);
    ls_worker_join_build(&cmd, &keys, "w3", 60000);
    send_as(server_version, &refused);
    assert_false(refused);
    ls_worker_steal_build(&cmd, &keys, "w3", "w2", true, 10);
    send_as(server_version, &refused);
    assert_false(refused);
    redis_text("CONFIG", "SET", "maxmemory", "0", NULL);
    assert_int_equal(everywhere("w", "w2", "w3", NULL), 3); /* one waits, one delayed, one dead */
}

static void full__on_redis_7__everything_but_pushing_goes_on(void **state)
{
    if (ls_redis_sync_facts(wire)->version < 70000)
        skip();
    full(70000);
}

static void full__on_redis_6_2__a_shrinking_write_first_lets_it_go_on(void **state)
{
    full(60200); /* the plain text: the same rule holds on later versions */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(limit__rate_and_burst__are_kept_exactly_and_nothing_is_lost),
        TEST(limit__over_budget__moves_once_into_reserved_and_pays_once),
        TEST(limit__a_flood_of_one_account__does_not_keep_the_others_waiting),
        TEST(limit__parked_account__waits_while_others_run),
        TEST(limit__throttled_by_the_peer__the_settlement_parks_and_gives_back),
        TEST(limit__reserved_when_the_parking_begins__moves_behind_its_end),
        TEST(limit__long_parking_ended__the_jobs_are_back_at_once),
        TEST(limit__keyed_jobs__keep_to_the_budget_and_to_their_key),
        TEST(limit__raw_job__is_claimed_for_its_form_first),
        TEST(limit__take__draws_on_the_budget_of_the_jobs),
        TEST(limit__removed__no_longer_holds),
        TEST(full__on_redis_7__everything_but_pushing_goes_on),
        TEST(full__on_redis_6_2__a_shrinking_write_first_lets_it_go_on),
    };
    int failed = cmocka_run_group_tests(tests, harness_open, harness_close);

    ls_turn_fini(&turn);
    return failed;
}
