/* Keyed pushes by mode and with a debounce; keys that heal. */
#include "tests/lua/harness.h"

#include <unistd.h>

static struct got got;
static struct ls_turn turn;

/* Body n of key k, pushed by a rule. */
static const char *ruled(int n, struct ls_push_job job)
{
    static char text[8][120];
    char *out = text[n % 8];

    snprintf(out, sizeof text[0], "{\"id\":\"%d\",\"key\":\"k\",\"kind\":\"t\"}", n);
    job.envelope = span(out);
    job.key = span("k");
    return push_ruled(&job);
}

static int claimed_body(void)
{
    take_turn(NULL, "w", 9, &got);
    if (got.count == 0)
        return 0;
    assert_int_equal(got.count, 1);
    return (int)strtol(strstr(got.at[0].envelope, "\"id\":\"") + 6, NULL, 10);
}

static void ack(void)
{
    ls_turn_ack(&turn, got.at[0].fence, span("k"));
    take_turn(&turn, "w", 0, NULL);
}

static int wait_for_body(void)
{
    int64_t deadline = ls_clock_mono_ms() + 3000;
    int body = 0;

    while (!body && ls_clock_mono_ms() < deadline) {
        body = claimed_body();
        usleep(2000);
    }
    return body;
}

static void keep__the_first_body_that_waits_stays(void **state)
{
    const struct ls_push_job keep = {.mode = LS_PUSH_KEEP};

    join("w");
    assert_string_equal(ruled(1, keep), "pushed");
    assert_string_equal(ruled(2, keep), "kept");
    assert_int_equal(claimed_body(), 1);
    assert_string_equal(ruled(3, keep), "changed"); /* nothing waits: this one does now */
    assert_string_equal(ruled(4, keep), "kept");
    ack();
    assert_int_equal(claimed_body(), 3);
    ls_turn_retry(&turn, got.at[0].fence, span("k"), 30, span(got.at[0].envelope));
    take_turn(&turn, "w", 0, NULL);
    assert_string_equal(ruled(5, keep), "kept"); /* what failed is the first one */
    assert_int_equal(wait_for_body(), 3);
    ack();
    assert_int_equal(redis_int("EXISTS", keys.keys, keys.bodies, NULL), 0);
}

static void reject__while_the_key_waits_or_runs(void **state)
{
    const struct ls_push_job reject = {.mode = LS_PUSH_REJECT};

    join("w");
    assert_string_equal(ruled(1, reject), "pushed");
    assert_string_equal(ruled(2, reject), "rejected");
    assert_int_equal(claimed_body(), 1);
    assert_string_equal(ruled(3, reject), "rejected");
    ack();
    assert_int_equal(claimed_body(), 0);
    assert_string_equal(ruled(4, reject), "pushed");
    assert_int_equal(claimed_body(), 4);
    assert_string_equal(redis_text("HGET", keys.stats, "rejected", NULL), "2");
}

static void reject__of_a_dead_workers_key__is_taken(void **state)
{
    struct got stolen;

    join("w");
    join("thief");
    ruled(1, (struct ls_push_job){0});
    claimed_body();
    redis_int("ZREM", keys.workers, "w", NULL);
    assert_string_equal(ruled(2, (struct ls_push_job){.mode = LS_PUSH_REJECT}), "pushed");
    steal("thief", "w", true, 5, &stolen);
}

static void debounce__each_push_puts_it_off(void **state)
{
    const struct ls_push_job slow = {.debounce_ms = 120};
    int64_t begun;

    join("w");
    assert_string_equal(ruled(1, slow), "pushed");
    for (int n = 2; n < 6; n++) {
        usleep(40000);
        assert_string_equal(ruled(n, slow), "coalesced");
        assert_int_equal(claimed_body(), 0);
    }
    begun = ls_clock_mono_ms();
    assert_int_equal(wait_for_body(), 5); /* the newest, once */
    assert_in_range(ls_clock_mono_ms() - begun, 80, 1000);
    ack();
    assert_int_equal(redis_int("EXISTS", keys.keys, keys.bodies, keys.delayed, NULL), 0);
}

static void debounce__max_wait__bounds_the_putting_off(void **state)
{
    const struct ls_push_job slow = {.debounce_ms = 100, .max_wait_ms = 200};
    int64_t begun = ls_clock_mono_ms();
    int n = 1, body = 0;

    join("w");
    while (!body && n < 100) {
        ruled(n++, slow);
        usleep(20000);
        body = claimed_body();
    }
    assert_true(body > 1);
    assert_in_range(ls_clock_mono_ms() - begun, 190, 600);
}

static void debounce__during_a_run__waits_for_both(void **state)
{
    join("w");
    ruled(1, (struct ls_push_job){0});
    assert_int_equal(claimed_body(), 1);
    assert_string_equal(ruled(2, (struct ls_push_job){.debounce_ms = 100}), "changed");
    ack();
    assert_int_equal(claimed_body(), 0); /* the run is over, the debounce is not */
    assert_int_equal(wait_for_body(), 2);
    assert_string_equal(ruled(3, (struct ls_push_job){.debounce_ms = 100}), "changed");
    assert_string_equal(ruled(4, (struct ls_push_job){0}), "changed"); /* now, please */
    ack();
    assert_int_equal(claimed_body(), 4);
}

static void debounce__during_a_run__survives_theft_and_adoption(void **state)
{
    struct got stolen;

    join("w");
    join("thief");
    ruled(1, (struct ls_push_job){0});
    claimed_body();
    ruled(2, (struct ls_push_job){.debounce_ms = 150, .max_wait_ms = 1000});
    adopt("w2", &got, 1, "w");
    steal("thief", "w2", true, 5, &stolen);
    assert_true(stolen.at[0].keyed);
    ls_turn_ack(&turn, stolen.at[0].fence, span("k"));
    take_turn(&turn, "thief", 9, &got);
    assert_int_equal(got.count, 0);
    assert_true(strncmp(redis_text("HGET", keys.keys, "k", NULL), "scheduled ", 10) == 0);
    claim_until("thief", 1, &got);
    assert_int_equal(got.count, 1);
}

static void debounce__push_without__goes_at_once(void **state)
{
    join("w");
    ruled(1, (struct ls_push_job){.debounce_ms = 60000});
    ruled(2, (struct ls_push_job){0});
    assert_int_equal(claimed_body(), 2);
}

static void ids__of_keyed_jobs__are_taken_once_where_they_are_given(void **state)
{
    const struct ls_push_job job = {.envelope =
                                        LS_SPAN("{\"id\":\"tick-1\",\"key\":\"k\",\"kind\":\"t\"}"),
                                    .key = LS_SPAN("k"),
                                    .id = LS_SPAN("tick-1")};
    struct ls_pushed pushed;

    join("w");
    assert_string_equal(push_ruled(&job), "pushed");
    take_turn(NULL, "w", 1, &got);
    ack();
    ls_push_keyed_build(&cmd, &keys, NULL, &job, 1); /* again, after its run */
    assert_int_equal(ls_push_parse(send_cmd(), &pushed, NULL), 0);
    assert_int_equal(pushed.known, 1);
    assert_int_equal(pushed.pushed, 0);
    assert_int_equal(redis_int("EXISTS", keys.keys, keys.bodies, keys.pending, NULL), 0);
}

/* ---- healing ---- */

static int64_t heal(void)
{
    int64_t healed = 0, sum = 0;
    bool more = true;

    for (int i = 0; more && i < 100; i++) {
        ls_heal_build(&cmd, &keys);
        assert_int_equal(ls_heal_parse(send_cmd(), &healed, &more, NULL), 0);
        sum += healed;
    }
    return sum;
}

static void heal__pointer_deleted_by_hand__comes_back(void **state)
{
    join("w");
    ruled(1, (struct ls_push_job){0});
    redis_int("DEL", keys.pending, NULL);
    assert_int_equal(claimed_body(), 0);
    assert_int_equal(heal(), 1);
    assert_int_equal(claimed_body(), 1);
    ack();
    ruled(2, (struct ls_push_job){.delay_ms = 50});
    redis_int("DEL", keys.delayed, NULL);
    assert_int_equal(heal(), 1);
    assert_int_equal(wait_for_body(), 2);
    assert_int_equal(heal(), 0); /* it runs: all is well */
}

static void heal__state_of_a_worker_that_is_gone__is_closed(void **state)
{
    join("w");
    ruled(1, (struct ls_push_job){0});
    claimed_body();
    ruled(2, (struct ls_push_job){0});
    redis_int("DEL", keys.workers, "lockstep:{default}:running:w", NULL); /* all by hand */
    join("v");
    assert_int_equal(heal(), 1);
    take_turn(NULL, "v", 9, &got);
    assert_int_equal(got.count, 1);
    assert_non_null(strstr(got.at[0].envelope, "\"2\""));
}

static void heal__while_something_waits__leaves_keys_alone(void **state)
{
    join("w");
    ruled(1, (struct ls_push_job){0});
    redis_int("DEL", keys.pending, NULL);
    push_raw(keys.pending, make(NULL, "x", NULL, NULL)); /* the pointer may be behind it */
    assert_int_equal(heal(), 0);
}

static void heal__many_keys__goes_in_slices(void **state)
{
    join("w");
    for (int i = 0; i < 2000; i++) {
        char key[16];

        snprintf(key, sizeof key, "k%d", i);
        push_keyed(key, make(NULL, key, key, NULL), 0);
    }
    redis_int("DEL", keys.pending, NULL);
    for (int i = 0; i < 100 && redis_int("LLEN", keys.pending, NULL) < 2000; i++) {
        if (heal() == 0)
            break;
        for (size_t n = 0; n < 8; n++) /* what came back goes, or it would be left alone */
            take_turn(NULL, "w", 256, &got);
    }
    assert_string_equal(redis_text("HGET", keys.stats, "claimed", NULL), "2000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keep__the_first_body_that_waits_stays),
        TEST(reject__while_the_key_waits_or_runs),
        TEST(reject__of_a_dead_workers_key__is_taken),
        TEST(debounce__each_push_puts_it_off),
        TEST(debounce__max_wait__bounds_the_putting_off),
        TEST(debounce__during_a_run__waits_for_both),
        TEST(debounce__during_a_run__survives_theft_and_adoption),
        TEST(debounce__push_without__goes_at_once),
        TEST(ids__of_keyed_jobs__are_taken_once_where_they_are_given),
        TEST(heal__pointer_deleted_by_hand__comes_back),
        TEST(heal__state_of_a_worker_that_is_gone__is_closed),
        TEST(heal__while_something_waits__leaves_keys_alone),
        TEST(heal__many_keys__goes_in_slices),
    };
    int failed = cmocka_run_group_tests(tests, harness_open, harness_close);

    ls_turn_fini(&turn);
    return failed;
}
