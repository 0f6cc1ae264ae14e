/* What an account may do: costs and what was really spent, places, shares, the breaker, what answers
 * teach. And the bounds of a queue. */
#include "tests/lua/harness.h"

#include <unistd.h>

static struct got got;
static struct ls_turn turn;

static const struct ls_span PLAIN = {0};

static void set(struct ls_limit_change change)
{
    struct ls_limit_state limit;

    ls_limit_set_build(&cmd, &keys, &change);
    assert_int_equal(ls_limit_set_parse(send_cmd(), &limit, NULL), 0);
}

static struct ls_limit_change change(const char *account)
{
    struct ls_limit_change keep = LS_LIMIT_KEEP;

    keep.account = span(account);
    return keep;
}

static void set_rate(const char *account, double rate, int burst, const char *costs)
{
    struct ls_limit_change to = change(account);

    to.rate = rate;
    to.burst = burst;
    to.costs = span(costs);
    set(to);
}

static void set_places(const char *account, int64_t places)
{
    struct ls_limit_change to = change(account);

    to.concurrency = places;
    set(to);
}

static const char *job(const char *account, const char *kind)
{
    static char text[8][160];
    static int serial;
    char *out = text[serial % 8];

    snprintf(out, sizeof text[0], "{\"account\":\"%s\",\"id\":\"j%d\",\"kind\":\"%s\"}", account,
             serial++, kind);
    return out;
}

static void push_jobs(const char *account, int count)
{
    for (int i = 0; i < count; i++)
        push_raw(keys.pending, job(account, "t"));
}

static double level_ms(const char *account)
{
    char field[80];
    double next;
    const struct ls_reply *time;

    snprintf(field, sizeof field, "%s/next", account);
    next = strtod(redis_text("HGET", keys.limits, field, NULL), NULL);
    ls_cmd_start(&cmd, "TIME");
    time = send_cmd();
    return (next - (double)(ls_reply_int(ls_reply_item(time, 0), 0) * 1000000 +
                            ls_reply_int(ls_reply_item(time, 1), 0))) /
           1000;
}

static int of(const char *account)
{
    char head[80];
    int count = 0;

    snprintf(head, sizeof head, "{\"account\":\"%s\"", account);
    for (size_t i = 0; i < got.count; i++)
        count += strncmp(got.at[i].envelope, head, strlen(head)) == 0;
    return count;
}

static void ack_all(void)
{
    for (size_t i = 0; i < got.count; i++)
        ls_turn_ack(&turn, got.at[i].fence, PLAIN);
}

/* ---- costs ---- */

static void cost__of_the_kind__is_prepaid(void **state)
{
    join("w");
    set_rate("a", 10, 20, "product=5 delta=0");
    push_raw(keys.pending, job("a", "product"));
    take_turn(NULL, "w", 1, &got);
    assert_int_equal(got.count, 1);
    assert_in_range(level_ms("a"), 400, 500);
    push_raw(keys.pending, job("a", "delta")); /* draws page by page instead */
    push_raw(keys.pending, job("a", "other")); /* one */
    take_turn(NULL, "w", 2, &got);
    assert_int_equal(got.count, 2);
    assert_in_range(level_ms("a"), 450, 600);
}

static void cost__keyed_job__pays_by_its_kind_too(void **state)
{
    join("w");
    set_rate("a", 10, 20, "t=7");
    push_keyed("k", make("a", "1", "k", NULL), 0);
    take_turn(NULL, "w", 1, &got);
    assert_int_equal(got.count, 1);
    assert_in_range(level_ms("a"), 600, 700);
}

static void cost__beyond_the_burst__goes_when_the_budget_is_level_and_is_owed(void **state)
{
    join("w");
    set_rate("a", 10, 2, "big=40");
    push_raw(keys.pending, job("a", "big"));
    push_raw(keys.pending, job("a", "t"));
    take_turn(NULL, "w", 2, &got);
    assert_int_equal(got.count, 1);
    assert_non_null(strstr(got.at[0].envelope, "big"));
    assert_in_range(level_ms("a"), 3900, 4000);
}

static void learned__forgotten__and_what_was_owed_by_it(void **state)
{
    join("w");
    set_rate("a", 10, 2, "");
    redis_text("HSET", keys.limits, "a/learned", "0.000000001 1 1000", "a/next", "9000000000000000",
               NULL);
    push_jobs("a", 1);
    take_turn(NULL, "w", 1, &got);
    assert_int_equal(got.count, 1);
    assert_in_range(level_ms("a"), 0, 100);
    assert_int_equal(redis_int("HEXISTS", keys.limits, "a/learned", NULL), 0);
}

static void learned__years_a_request__is_looked_at_when_it_is_forgotten(void **state)
{
    join("w");
    push_jobs("a", 2);
    take_turn(NULL, "w", 1, &got);
    ls_turn_learn(&turn, span("a"), 0.000000001, 1, -1);
    ack_all();
    take_turn(&turn, "w", 1, &got);
    assert_int_equal(got.count, 1); /* the first one pays for years */
    push_jobs("a", 1);
    take_turn(NULL, "w", 1, &got);
    assert_int_equal(got.count, 0);
    assert_true(got.has_due && got.next_due_ms <= 3600000);
}

static void spend__less_or_more_than_prepaid__is_given_back_or_owed(void **state)
{
    join("w");
    set_rate("a", 10, 20, "t=5");
    push_jobs("a", 2);
    take_turn(NULL, "w", 2, &got);
    assert_in_range(level_ms("a"), 900, 1000);
    ls_turn_spend(&turn, got.at[0].fence, span("a"), span("t"), 1);
    ls_turn_ack(&turn, got.at[0].fence, PLAIN);
    take_turn(&turn, "w", 0, NULL);
    assert_in_range(level_ms("a"), 450, 600);
    ls_turn_spend(&turn, got.at[1].fence, span("a"), span("t"), 15);
    ls_turn_retry(&turn, got.at[1].fence, PLAIN, 60000, span(got.at[1].envelope));
    take_turn(&turn, "w", 0, NULL);
    assert_in_range(level_ms("a"), 1400, 1600);
}

static void spend__turn_sent_twice__counts_once(void **state)
{
    struct ls_turn again = {0};

    join("w");
    set_rate("a", 10, 20, "t=1");
    push_jobs("a", 1);
    take_turn(NULL, "w", 1, &got);
    ls_turn_spend(&turn, got.at[0].fence, span("a"), span("t"), 11);
    ls_turn_ack(&turn, got.at[0].fence, PLAIN);
    ls_turn_append(&again, &turn);
    take_turn(&turn, "w", 0, NULL);
    take_turn(&again, "w", 0, NULL);
    assert_in_range(level_ms("a"), 1000, 1100);
    ls_turn_fini(&again);
}

/* ---- held ---- */

static void held__far_behind_the_budget__waits_unpaid_and_rates_take_effect_soon(void **state)
{
    join("w");
    set_rate("a", 2, 1, "");
    push_jobs("a", 30);
    for (int i = 0; i < 4; i++)
        take_turn(NULL, "w", 10, &got);
    assert_true(redis_int("ZCARD", keys.reserved, NULL) <= 3); /* a second ahead */
    assert_true(redis_int("ZCARD", keys.held, NULL) >= 26);
    assert_true(level_ms("a") < 2100);
    set_rate("a", 1000, 30, "");
    claim_until("w", 26, &got);
    assert_true(got.count >= 26);
}

static void held__jobs_of_an_account__keep_their_order_and_high_goes_before_low(void **state)
{
    struct ls_limit_change park = change("a");

    join("w");
    park.park_ms = 60000;
    set(park);
    push_raw(keys.pending_low, make("a", "l1", NULL, ",\"priority\":\"low\""));
    push_raw(keys.pending, make("a", "n1", NULL, NULL));
    push_raw(keys.pending, make("a", "n2", NULL, NULL));
    push_raw(keys.pending_high, make("a", "h1", NULL, ",\"priority\":\"high\""));
    for (int i = 0; i < 3; i++)
        take_turn(NULL, "w", 9, &got);
    assert_int_equal(redis_int("ZCARD", keys.held, NULL), 4);
    park.park_ms = 0;
    set(park);
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 4);
    assert_non_null(strstr(got.at[0].envelope, "\"h1\""));
    assert_non_null(strstr(got.at[1].envelope, "\"n1\""));
    assert_non_null(strstr(got.at[2].envelope, "\"n2\""));
    assert_non_null(strstr(got.at[3].envelope, "\"l1\""));
    take_turn(NULL, "w", 1, NULL);
    assert_int_equal(redis_int("EXISTS", keys.held, keys.ring, NULL), 0);
}

static void held__cancelled_while_it_waits__is_dropped_in_its_turn(void **state)
{
    struct ls_limit_change park = change("a");
    const struct ls_span id = LS_SPAN("x");

    join("w");
    park.park_ms = 60000;
    set(park);
    push_raw(keys.pending, make("a", "x", NULL, NULL));
    push_raw(keys.pending, make("a", "y", NULL, NULL));
    take_turn(NULL, "w", 9, &got);
    ls_cancel_build(&cmd, &keys, &(struct ls_cancel){.ids = &id, .count = 1});
    send_cmd();
    park.park_ms = 0;
    set(park);
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 1);
    assert_int_equal(redis_int("EXISTS", keys.held, keys.cancelled, NULL), 0);
}

/* ---- places ---- */

static void places__of_an_account__are_never_exceeded_and_freed_by_every_end(void **state)
{
    join("w");
    join("v");
    set_places("a", 2);
    push_jobs("a", 7);
    push_jobs("b", 2);
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(of("a"), 2);
    assert_int_equal(of("b"), 2);
    assert_string_equal(redis_text("HGET", keys.limits, "a/running", NULL), "2");
    {
        struct got mine = got;

        take_turn(NULL, "v", 9, &got); /* another worker: the places are the account's */
        assert_int_equal(got.count, 0);
        assert_false(got.ready);
        got = mine;
    }
    for (size_t i = 0, ended = 0; i < got.count && ended < 1; i++) {
        if (strstr(got.at[i].envelope, "\"a\"")) {
            ls_turn_retry(&turn, got.at[i].fence, PLAIN, 60000, span(got.at[i].envelope));
            ended++;
        }
    }
    take_turn(&turn, "w", 9, &got);
    assert_int_equal(of("a"), 1);
    assert_string_equal(redis_text("HGET", keys.limits, "a/running", NULL), "2");
    assert_int_equal(redis_int("HLEN", keys.slots, NULL), 2);
}

static void places__turn_sent_twice__frees_once(void **state)
{
    struct ls_turn again = {0};

    join("w");
    set_places("a", 1);
    push_jobs("a", 3);
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 1);
    ack_all();
    ls_turn_append(&again, &turn);
    take_turn(&turn, "w", 9, &got);
    assert_int_equal(got.count, 1);
    take_turn(&again, "w", 9, &got);
    assert_int_equal(got.count, 0);
    assert_string_equal(redis_text("HGET", keys.limits, "a/running", NULL), "1");
    ls_turn_fini(&again);
}

static void places__stolen_and_adopted_claims__keep_them(void **state)
{
    struct got stolen;

    join("w");
    join("thief");
    set_places("a", 2);
    push_jobs("a", 4);
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 2);
    adopt("w2", &got, 1, "w");
    assert_string_equal(steal("thief", "w2", true, 10, &stolen), "OK");
    assert_int_equal(stolen.count, 2);
    assert_int_equal(redis_int("HLEN", keys.slots, NULL), 2);
    take_turn(NULL, "thief", 9, &got);
    assert_int_equal(got.count, 0);
    for (size_t i = 0; i < 2; i++)
        ls_turn_ack(&turn, stolen.at[i].fence, PLAIN);
    take_turn(&turn, "thief", 9, &got);
    assert_int_equal(got.count, 2);
    ack_all();
    take_turn(&turn, "thief", 9, &got);
    assert_int_equal(redis_int("EXISTS", keys.slots, keys.held, NULL), 0);
    assert_string_equal(redis_text("HGET", keys.limits, "a/running", NULL), "(nil)");
}

static void places__raised__let_the_waiting_go(void **state)
{
    join("w");
    set_places("a", 1);
    push_jobs("a", 5);
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 1);
    set_places("a", 3);
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 2);
    set_places("a", 0);
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 2);
}

static void places__counted_wrongly__are_healed(void **state)
{
    int64_t healed;
    bool more;

    join("w");
    set_places("a", 2);
    push_jobs("a", 3);
    redis_int("HSET", keys.limits, "a/running", "2", NULL); /* nobody holds these */
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 0);
    ls_heal_build(&cmd, &keys);
    assert_int_equal(ls_heal_parse(send_cmd(), &healed, &more, NULL), 0);
    assert_true(healed >= 1);
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 2);
}

/* ---- shares ---- */

static void share__flood__leaves_places_to_others_and_gets_them_back(void **state)
{
    int flood = 0, small = 0;

    join("w");
    harness_share = 8;
    push_jobs("flood", 500);
    push_jobs("small", 3);
    take_turn(NULL, "w", 16, &got);
    assert_int_equal(of("flood"), 8); /* not more while there is somebody behind it */
    flood = of("flood");
    small = of("small");
    for (int i = 0; i < 6 && small < 3; i++) {
        take_turn(NULL, "w", 8, &got);
        small += of("small");
        flood += of("flood");
    }
    assert_int_equal(small, 3);
    for (int i = 0; i < 200 && flood < 500; i++) {
        take_turn(NULL, "w", 16, &got);
        flood += of("flood");
    }
    assert_int_equal(flood, 500); /* alone it takes what there is */
    assert_int_equal(everywhere("w", NULL), 503);
}

static void share__accounts_that_wait__are_served_in_turn(void **state)
{
    join("w");
    harness_share = 2;
    push_jobs("a", 40);
    push_jobs("b", 40);
    push_jobs("c", 40);
    for (int i = 0; i < 10 && redis_int("LLEN", keys.pending, NULL); i++)
        take_turn(NULL, "w", 6, &got);
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 9);
    assert_int_equal(of("a"), 3);
    assert_int_equal(of("b"), 3);
    assert_int_equal(of("c"), 3);
}

static void share__full_runner__sets_the_flood_aside_all_the_same(void **state)
{
    struct ls_turn_account mine = {.name = LS_SPAN("flood"), .running = 4};
    const struct ls_turn_options options = {
        .worker = "w", .claim = 0, .share = 8, .accounts = &mine, .account_count = 1};
    struct ls_turn nothing = {0};

    join("w");
    push_jobs("flood", 200);
    push_jobs("small", 1);
    push_jobs("flood", 50);
    for (int i = 0; i < 4; i++) {
        ls_turn_build(&nothing, &cmd, &keys, &options);
        send_cmd();
    }
    assert_int_equal(redis_int("ZCARD", keys.held, NULL), 200);
    assert_non_null(strstr(redis_text("LINDEX", keys.pending, "0", NULL), "small"));
    assert_int_equal(redis_int("LLEN", keys.pending, NULL), 51);
}

static void share__account_alone__is_not_set_aside(void **state)
{
    join("w");
    harness_share = 2;
    push_jobs("a", 6);
    take_turn(NULL, "w", 6, &got);
    take_turn(NULL, "w", 6, &got);
    take_turn(NULL, "w", 6, &got);
    assert_int_equal(everywhere(NULL, NULL), 0);
}

/* ---- the breaker ---- */

static void report(int done, int failed)
{
    ls_turn_report(&turn, span("a"), done, failed);
    take_turn(&turn, "w", 0, NULL);
}

static const char *breaker(void)
{
    return redis_text("HGET", keys.limits, "a/breaker", NULL);
}

static void breaker__failures_in_a_row__open_it_and_one_probe_decides(void **state)
{
    struct ls_limit_change rule = change("a");

    join("w");
    rule.rule = span("3 80 1000");
    set(rule);
    push_jobs("a", 5);
    report(0, 2);
    assert_string_equal(breaker(), "closed 2");
    report(1, 0); /* not in a row */
    assert_string_equal(breaker(), "(nil)");
    report(0, 2);
    report(0, 1);
    assert_true(strncmp(breaker(), "open 1 ", 7) == 0);
    assert_string_equal(redis_text("HGET", keys.stats, "breaker_opened", NULL), "1");
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 0);
    assert_int_equal(redis_int("ZCARD", keys.held, NULL), 5);
    assert_true(got.has_due && got.next_due_ms <= 80);
    claim_until("w", 1, &got); /* half open: one of them */
    assert_true(strncmp(breaker(), "probe 1 ", 8) == 0);
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 0);
    report(0, 1); /* twice as long now */
    assert_true(strncmp(breaker(), "open 2 ", 7) == 0);
    usleep(100000);
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 0);
    claim_until("w", 1, &got);
    assert_true(strncmp(breaker(), "probe 2 ", 8) == 0);
    report(1, 0);
    assert_string_equal(breaker(), "(nil)");
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 3);
}

static void breaker__released_by_hand__lets_all_go(void **state)
{
    struct ls_limit_change rule = change("a");

    join("w");
    rule.rule = span("1 60000 60000");
    set(rule);
    push_jobs("a", 3);
    report(0, 1);
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 0);
    rule = change("a");
    rule.park_ms = 0;
    set(rule);
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 3);
}

static void breaker__without_a_rule__stays_closed(void **state)
{
    join("w");
    report(0, 100);
    assert_string_equal(breaker(), "(nil)");
}

/* ---- what answers teach ---- */

static void learn__smaller_rate__holds_and_a_larger_one_does_not(void **state)
{
    join("w");
    set_rate("a", 10, 10, "");
    ls_turn_learn(&turn, span("a"), 2, 1, -1);
    take_turn(&turn, "w", 0, NULL);
    push_jobs("a", 5);
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 1); /* one at once, half a second each */
    ls_turn_learn(&turn, span("a"), 1000, 100, -1);
    take_turn(&turn, "w", 0, NULL);
    push_jobs("a", 15);
    for (int i = 0; i < 3; i++)
        take_turn(NULL, "w", 20, &got);
    assert_true(level_ms("a") > 500);
    assert_true(redis_int("ZCARD", keys.held, NULL) > 0);
}

static void learn__nothing_left__waits_for_the_rate(void **state)
{
    join("w");
    set_rate("a", 10, 20, "");
    ls_turn_learn(&turn, span("a"), -1, 0, 0);
    take_turn(&turn, "w", 0, NULL);
    push_jobs("a", 2);
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 0);
    assert_int_equal(redis_int("ZCARD", keys.reserved, NULL), 2);
    claim_until("w", 2, &got);
}

/* ---- the queue's bounds ---- */

static void bound__on_what_runs__holds_over_all_workers(void **state)
{
    join("w");
    join("v");
    ls_queue_bounds_build(&cmd, &keys, &(struct ls_queue_bounds){.running = 3});
    send_cmd();
    for (int i = 0; i < 6; i++)
        push_raw(keys.pending, make(NULL, "x", NULL, NULL));
    take_turn(NULL, "w", 2, &got);
    ack_all();
    assert_int_equal(got.count, 2);
    take_turn(NULL, "v", 9, &got);
    assert_int_equal(got.count, 1);
    take_turn(NULL, "v", 9, &got);
    assert_int_equal(got.count, 0);
    assert_int_equal(got.blocked, LS_TURN_ALL_RUNNING);
    take_turn(&turn, "w", 9, &got); /* two end: two begin */
    assert_int_equal(got.count, 2);
}

static void bound__on_dead_letters__stops_claiming_and_drops_nothing(void **state)
{
    join("w");
    ls_queue_bounds_build(&cmd, &keys, &(struct ls_queue_bounds){.dead = 2});
    send_cmd();
    for (int i = 0; i < 5; i++)
        push_raw(keys.pending, make(NULL, "x", NULL, NULL));
    take_turn(NULL, "w", 3, &got);
    for (size_t i = 0; i < 3; i++)
        ls_turn_dead(&turn, got.at[i].fence, PLAIN, span("{}"), span("g"), span("s"));
    take_turn(&turn, "w", 9, &got);
    assert_int_equal(got.settled, 3);
    assert_int_equal(got.count, 0);
    assert_int_equal(got.blocked, LS_TURN_DEAD_FULL);
    assert_int_equal(redis_int("LLEN", keys.dead, NULL), 3); /* what ran is not lost */
    redis_text("LPOP", keys.dead, NULL);
    redis_text("LPOP", keys.dead, NULL);
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 2);
}

static void quiet__process__claims_nothing_and_settles(void **state)
{
    join("host-1-a");
    join("host-2-a");
    push_raw(keys.pending, make(NULL, "1", NULL, NULL));
    push_raw(keys.pending, make(NULL, "2", NULL, NULL));
    take_turn(NULL, "host-1-a", 1, &got);
    ack_all();
    redis_int("HSET", keys.control, "quiet/host-1", "me: deploy", NULL);
    take_turn(&turn, "host-1-a", 9, &got);
    assert_int_equal(got.settled, 1);
    assert_int_equal(got.count, 0);
    assert_int_equal(got.blocked, LS_TURN_QUIET);
    take_turn(NULL, "host-2-a", 9, &got);
    assert_int_equal(got.count, 1);
}

/* ---- running jobs ---- */

static void note__how_far__is_there_until_the_claim_ends(void **state)
{
    char fence[32];

    join("w");
    push_raw(keys.pending, make(NULL, "1", NULL, NULL));
    take_turn(NULL, "w", 1, &got);
    snprintf(fence, sizeof fence, "%lld", (long long)got.at[0].fence);
    ls_turn_note(&turn, got.at[0].fence, span("3 10 pages"));
    ls_turn_note(&turn, 1, span("of a claim that is not there"));
    take_turn(&turn, "w", 0, NULL);
    assert_string_equal(redis_text("HGET", keys.progress, fence, NULL), "3 10 pages");
    assert_int_equal(redis_int("HLEN", keys.progress, NULL), 1);
    ls_turn_ack(&turn, got.at[0].fence, PLAIN);
    take_turn(&turn, "w", 0, NULL);
    assert_int_equal(redis_int("EXISTS", keys.progress, NULL), 0);
}

static void cancel__of_a_running_job__is_told_by_the_serial_and_ends_as_stopped(void **state)
{
    const struct ls_span ids[] = {LS_SPAN("1")};
    struct ls_cancelled cancelled;
    const struct ls_reply *reply;
    int64_t run;

    join("w");
    push_raw(keys.pending, make(NULL, "1", NULL, NULL));
    push_keyed("k", make(NULL, "2", "k", NULL), 0);
    take_turn(NULL, "w", 2, &got);
    assert_int_equal(got.cancel_serial, 0);
    run = got.at[1].fence;
    ls_cancel_build(&cmd, &keys, &(struct ls_cancel){.ids = ids, .count = 1, .key = span("k")});
    assert_int_equal(ls_cancel_parse(send_cmd(), &cancelled, NULL), 0);
    assert_true(cancelled.running);
    assert_int_equal(cancelled.added, 2);
    {
        struct got after;

        take_turn(NULL, "w", 0, &after);
        assert_int_equal(after.cancel_serial, 1);
    }
    ls_cancelled_build(&cmd, &keys);
    ls_cancelled_add(&cmd, span("other"));
    ls_cancelled_add(&cmd, span("1"));
    ls_cancelled_add_run(&cmd, run);
    reply = send_cmd();
    assert_int_equal(reply->count, 4);
    assert_int_equal(ls_reply_int(ls_reply_item(reply, 2), 0), 2);
    assert_int_equal(ls_reply_int(ls_reply_item(reply, 3), 0), 3);
    for (size_t i = 0; i < 2; i++)
        ls_turn_drop(&turn, got.at[i].fence, got.at[i].keyed ? span("k") : PLAIN);
    take_turn(&turn, "w", 0, &got);
    assert_int_equal(got.settled, 2);
    assert_string_equal(redis_text("HGET", keys.stats, "stopped", NULL), "2");
    assert_int_equal(redis_int("EXISTS", keys.keys, keys.bodies, NULL), 0);
    ls_cancel_forget_build(&cmd, &keys, ids[0], run);
    send_cmd();
    assert_int_equal(redis_int("EXISTS", keys.cancelled, NULL), 0);
}

static int64_t cancel_run(const char *key)
{
    int64_t run;

    push_keyed(key, make(NULL, "1", key, NULL), 0);
    take_turn(NULL, "w", 1, &got);
    run = got.at[0].fence;
    ls_cancel_build(&cmd, &keys, &(struct ls_cancel){.key = span(key)});
    send_cmd();
    return run;
}

static void cancel__of_a_run__does_not_hold_for_the_next_of_its_key(void **state)
{
    join("w");
    ls_turn_ack(&turn, cancel_run("k"), span("k")); /* it had ended before its runner heard */
    take_turn(&turn, "w", 0, NULL);
    push_keyed("k", make(NULL, "2", "k", NULL), 0);
    take_turn(NULL, "w", 1, &got);
    assert_int_equal(got.count, 1);
    ls_cancelled_build(&cmd, &keys);
    ls_cancelled_add(&cmd, span("2"));
    ls_cancelled_add_run(&cmd, got.at[0].fence);
    assert_int_equal(send_cmd()->count, 2);
}

static void cancel__of_a_run_that_fails_meanwhile__is_no_retry(void **state)
{
    int64_t run;

    join("w");
    run = cancel_run("k");
    ls_turn_retry(&turn, run, span("k"), 10, span(got.at[0].envelope));
    take_turn(&turn, "w", 0, NULL);
    assert_int_equal(
        redis_int("EXISTS", keys.keys, keys.bodies, keys.delayed, keys.cancelled, NULL), 0);
}

static void cancel__of_an_ended_job__leaves_its_state(void **state)
{
    const struct ls_span ids[] = {LS_SPAN("1")};
    static const char *const stays[] = {"done", "dead", "running"};

    for (size_t i = 0; i < 3; i++) {
        redis_text("SET", "lockstep:{default}:status:1", stays[i], NULL);
        ls_cancel_build(&cmd, &keys,
                        &(struct ls_cancel){
                            .ids = ids, .count = 1, .status_key = "lockstep:{default}:status:1"});
        send_cmd();
        assert_string_equal(redis_text("GET", "lockstep:{default}:status:1", NULL), stays[i]);
    }
    redis_text("SET", "lockstep:{default}:status:1", "pending", NULL);
    ls_cancel_build(
        &cmd, &keys,
        &(struct ls_cancel){.ids = ids, .count = 1, .status_key = "lockstep:{default}:status:1"});
    send_cmd();
    assert_string_equal(redis_text("GET", "lockstep:{default}:status:1", NULL), "cancelled");
}

static void cancel__of_a_waiting_key__drops_its_body_at_once(void **state)
{
    struct ls_cancelled cancelled;

    join("w");
    push_keyed("k", make(NULL, "1", "k", NULL), 0);
    push_keyed("later", make(NULL, "2", "later", NULL), 60000);
    ls_cancel_build(&cmd, &keys, &(struct ls_cancel){.key = span("k")});
    assert_int_equal(ls_cancel_parse(send_cmd(), &cancelled, NULL), 0);
    assert_int_equal(cancelled.dropped, 1);
    assert_false(cancelled.running);
    ls_cancel_build(&cmd, &keys, &(struct ls_cancel){.key = span("later")});
    send_cmd();
    assert_int_equal(redis_int("EXISTS", keys.keys, keys.bodies, NULL), 0);
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 0);
    push_keyed("k", make(NULL, "3", "k", NULL), 0); /* the key itself is free */
    take_turn(NULL, "w", 9, &got);
    assert_int_equal(got.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cost__of_the_kind__is_prepaid),
        TEST(cost__keyed_job__pays_by_its_kind_too),
        TEST(cost__beyond_the_burst__goes_when_the_budget_is_level_and_is_owed),
        TEST(learned__forgotten__and_what_was_owed_by_it),
        TEST(learned__years_a_request__is_looked_at_when_it_is_forgotten),
        TEST(spend__less_or_more_than_prepaid__is_given_back_or_owed),
        TEST(spend__turn_sent_twice__counts_once),
        TEST(held__far_behind_the_budget__waits_unpaid_and_rates_take_effect_soon),
        TEST(held__jobs_of_an_account__keep_their_order_and_high_goes_before_low),
        TEST(held__cancelled_while_it_waits__is_dropped_in_its_turn),
        TEST(places__of_an_account__are_never_exceeded_and_freed_by_every_end),
        TEST(places__turn_sent_twice__frees_once),
        TEST(places__stolen_and_adopted_claims__keep_them),
        TEST(places__raised__let_the_waiting_go),
        TEST(places__counted_wrongly__are_healed),
        TEST(share__flood__leaves_places_to_others_and_gets_them_back),
        TEST(share__accounts_that_wait__are_served_in_turn),
        TEST(share__full_runner__sets_the_flood_aside_all_the_same),
        TEST(share__account_alone__is_not_set_aside),
        TEST(breaker__failures_in_a_row__open_it_and_one_probe_decides),
        TEST(breaker__released_by_hand__lets_all_go),
        TEST(breaker__without_a_rule__stays_closed),
        TEST(learn__smaller_rate__holds_and_a_larger_one_does_not),
        TEST(learn__nothing_left__waits_for_the_rate),
        TEST(bound__on_what_runs__holds_over_all_workers),
        TEST(bound__on_dead_letters__stops_claiming_and_drops_nothing),
        TEST(quiet__process__claims_nothing_and_settles),
        TEST(note__how_far__is_there_until_the_claim_ends),
        TEST(cancel__of_a_running_job__is_told_by_the_serial_and_ends_as_stopped),
        TEST(cancel__of_a_run__does_not_hold_for_the_next_of_its_key),
        TEST(cancel__of_a_run_that_fails_meanwhile__is_no_retry),
        TEST(cancel__of_an_ended_job__leaves_its_state),
        TEST(cancel__of_a_waiting_key__drops_its_body_at_once),
    };
    int failed = cmocka_run_group_tests(tests, harness_open, harness_close);

    ls_turn_fini(&turn);
    return failed;
}
