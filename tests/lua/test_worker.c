/* Identities: join, adopt, steal, leave, list. */
#include "tests/lua/harness.h"

#include <unistd.h>

static struct got got, more;
static struct ls_turn turn;

static const struct ls_span PLAIN = {0};

static void claim_some(const char *worker, int count)
{
    for (int i = 0; i < count; i++) {
        char id[16];

        snprintf(id, sizeof id, "j%d", i);
        push(make(NULL, id, NULL, NULL), 0, NULL);
    }
    take_turn(NULL, worker, count, &got);
    assert_int_equal(got.count, count);
}

static void worker_id__names_host_and_process__and_never_twice(void **state)
{
    char a[LS_WORKER_ID_SIZE], b[LS_WORKER_ID_SIZE], pid[24];

    snprintf(pid, sizeof pid, "-%ld-", (long)getpid());
    assert_non_null(strstr(ls_worker_id(a), pid));
    assert_string_not_equal(a, ls_worker_id(b));
    assert_null(strpbrk(a, " :{}"));
}

static void join__again__renews_and_another_schema_is_refused(void **state)
{
    struct ls_err err = LS_ERR_INIT;
    int64_t ms;

    join("w");
    join("w");
    assert_int_equal(redis_int("ZCARD", keys.workers, NULL), 1);
    claim_some("w", 1);
    ls_worker_join_build(&cmd, &keys, "w", 1000);
    assert_int_equal(ls_worker_join_parse(send_cmd(), &ms, &err), -1);
    assert_int_equal(err.code, LS_E_EXISTS);
    redis_int("HSET", keys.control, "schema", "99", NULL);
    ls_worker_join_build(&cmd, &keys, "v", 1000);
    assert_int_equal(ls_worker_join_parse(send_cmd(), &ms, &err), -1);
    assert_int_equal(err.code, LS_E_UNSUPPORTED);
    assert_int_equal(redis_int("ZCARD", keys.workers, NULL), 1);
}

static void leave__with_claims__is_busy_then_fine_then_gone(void **state)
{
    enum ls_left left;

    join("w");
    claim_some("w", 1);
    ls_worker_leave_build(&cmd, &keys, "w");
    assert_int_equal(ls_worker_leave_parse(send_cmd(), &left, NULL), 0);
    assert_int_equal(left, LS_LEFT_BUSY);
    ls_turn_ack(&turn, got.at[0].fence, PLAIN);
    take_turn(&turn, "w", 0, &got);
    ls_worker_leave_build(&cmd, &keys, "w");
    ls_worker_leave_parse(send_cmd(), &left, NULL);
    assert_int_equal(left, LS_LEFT);
    ls_worker_leave_build(&cmd, &keys, "w");
    ls_worker_leave_parse(send_cmd(), &left, NULL);
    assert_int_equal(left, LS_LEFT_GONE);
    assert_false(try_turn(NULL, "w", 1, &got));
}

static void list__names_workers_with_what_their_leases_have_left(void **state)
{
    struct ls_worker_list list;
    struct ls_worker_row row;

    join_for("late", 60000);
    join_for("soon", 1);
    usleep(3000);
    ls_worker_list_build(&cmd, &keys);
    assert_int_equal(ls_worker_list_parse(send_cmd(), &list, NULL), 0);
    assert_int_equal(list.count, 2);
    row = ls_worker_list_row(&list, 0);
    assert_true(ls_span_is(row.worker, "soon") && row.left_ms < 0);
    row = ls_worker_list_row(&list, 1);
    assert_true(ls_span_is(row.worker, "late") && row.left_ms > 50000);
}

static void adopt__claims_keep_their_fences_and_the_old_identity_is_fenced(void **state)
{
    int64_t fence;

    join("w1");
    claim_some("w1", 3);
    fence = got.at[1].fence;
    adopt("w2", &more, 1, "w1");
    assert_int_equal(more.count, 3);
    assert_true(got_find(&more, "j1") >= 0);
    assert_true(more.at[got_find(&more, "j1")].fence == fence);
    ls_turn_ack(&turn, fence, PLAIN);
    assert_false(try_turn(&turn, "w1", 5, &got)); /* a late copy of the cut-off turn */
    ls_turn_ack(&turn, fence, PLAIN);
    take_turn(&turn, "w2", 0, &got);
    assert_int_equal(got.settled, 1);
    assert_int_equal(everywhere("w1", "w2", NULL), 2);
}

static void adopt__its_own_reply_lost_twice__still_brings_every_claim_along(void **state)
{
    join("w1");
    claim_some("w1", 2);
    adopt("w2", &more, 1, "w1");       /* applied, reply lost */
    adopt("w3", &more, 2, "w1", "w2"); /* the same again */
    adopt("w4", &more, 3, "w1", "w2", "w3");
    assert_int_equal(more.count, 2);
    assert_string_equal(redis_list("ZRANGE", keys.workers, "0", "-1", NULL), "w4");
    assert_int_equal(everywhere("w1", "w2", "w3", NULL), 0);
    adopt("w4", &more, 3, "w1", "w2", "w3"); /* repeated under the same name */
    assert_int_equal(more.count, 2);
}

static void adopt__the_first_never_arrived__merges_what_every_identity_holds(void **state)
{
    join("w1");
    claim_some("w1", 2);
    join("w2"); /* its claims were made, its replies lost */
    claim_some("w2", 1);
    adopt("w3", &more, 2, "w1", "w2");
    assert_int_equal(more.count, 3);
    assert_false(try_turn(NULL, "w1", 0, NULL));
    assert_false(try_turn(NULL, "w2", 0, NULL));
}

static void adopt__late_copy_of_an_older_adopt__takes_nothing_away(void **state)
{
    join("w1");
    claim_some("w1", 2);
    adopt("w3", &more, 2, "w1", "w2");
    assert_int_equal(more.count, 2);
    adopt("w2", &more, 1, "w1"); /* from a socket that was thought dead */
    assert_int_equal(more.count, 0);
    assert_int_equal(everywhere("w3", NULL), 2);
}

static void adopt__after_a_theft__finds_nothing(void **state)
{
    join("thief");
    join_for("w1", 1);
    push(make(NULL, "a", NULL, NULL), 0, NULL);
    ls_turn_build(&turn, &cmd, &keys,
                  &(struct ls_turn_options){.worker = "w1", .lease_ms = 1, .claim = 1});
    send_cmd();
    usleep(3000);
    assert_string_equal(steal("thief", "w1", false, 10, &more), "OK");
    assert_int_equal(more.count, 1);
    adopt("w2", &got, 1, "w1");
    assert_int_equal(got.count, 0);
    assert_int_equal(everywhere("thief", NULL), 1);
}

static void adopt__many_claims__all_arrive(void **state)
{
    char running[LS_KEY_SIZE];

    join("w1");
    for (int i = 0; i < 3000; i++)
        push_raw(keys.pending, make(NULL, "x", NULL, NULL));
    for (int i = 0; i < 12; i++) {
        take_turn(NULL, "w1", 250, &got);
        assert_int_equal(got.count, 250);
    }
    ls_worker_adopt_build(&cmd, &keys, "w2", 1000, (const char *const[]){"w1"}, 1);
    assert_int_equal(send_cmd()->count, 2 + 2 * 3000);
    assert_int_equal(redis_int("HLEN", ls_keys_running(&keys, "w2", running), NULL), 3000);
}

static void steal__living_victim__is_left_alone_unless_known_dead(void **state)
{
    join("thief");
    join("w1");
    claim_some("w1", 2);
    assert_string_equal(steal("thief", "w1", false, 10, &more), "ALIVE");
    assert_int_equal(more.count, 0);
    assert_int_equal(everywhere("w1", NULL), 2);
    assert_string_equal(steal("thief", "w1", true, 10, &more), "OK");
    assert_int_equal(more.count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_true(more.at[i].fence > got.at[1].fence);
        assert_true(more.at[i].was == got.at[0].fence || more.at[i].was == got.at[1].fence);
    }
    assert_string_equal(redis_text("HGET", keys.stats, "stolen", NULL), "2");
    ls_turn_ack(&turn, got.at[0].fence, PLAIN);
    assert_false(try_turn(&turn, "w1", 1, NULL)); /* it was not dead after all: fenced */
    assert_string_equal(steal("thief", "w1", true, 10, &more), "OK");
    assert_int_equal(more.count, 0);
}

static void steal__thief_not_alive__is_fenced(void **state)
{
    join_for("thief", 1);
    join("w1");
    claim_some("w1", 1);
    usleep(3000);
    assert_string_equal(steal("thief", "w1", true, 10, &more), "FENCED");
    assert_string_equal(steal("stranger", "w1", true, 10, &more), "FENCED");
    assert_string_equal(steal("w1", "w1", true, 10, &more), "FENCED");
    assert_int_equal(everywhere("w1", NULL), 1);
}

static void steal__in_slices__takes_all_and_forgets_the_victim_last(void **state)
{
    join("thief");
    join("w1");
    claim_some("w1", 25);
    assert_string_equal(steal("thief", "w1", true, 10, &more), "MORE");
    assert_int_equal(more.count, 10);
    assert_int_equal(redis_int("ZCARD", keys.workers, NULL), 2);
    assert_string_equal(steal("thief", "w1", true, 10, &more), "MORE");
    assert_string_equal(steal("thief", "w1", true, 10, &more), "OK");
    assert_int_equal(more.count, 5);
    assert_string_equal(redis_list("ZRANGE", keys.workers, "0", "-1", NULL), "thief");
    assert_int_equal(everywhere("thief", "w1", NULL), 25);
    assert_int_equal(everywhere("thief", NULL), 25);
}

static void steal__victim_settles_between_slices__nothing_is_twice(void **state)
{
    static struct got before;

    join("thief");
    join("w1");
    claim_some("w1", 4);
    before = got;
    assert_string_equal(steal("thief", "w1", true, 2, &more), "MORE");
    for (size_t i = 0; i < 4; i++) /* two of these were stolen */
        ls_turn_ack(&turn, before.at[i].fence, PLAIN);
    take_turn(&turn, "w1", 0, &got);
    assert_int_equal(got.settled, 2);
    assert_string_equal(steal("thief", "w1", true, 2, &more), "OK");
    assert_int_equal(more.count, 0);
    assert_int_equal(everywhere("thief", "w1", NULL), 2);
}

static void steal__claims_of_a_worker_nobody_knows__are_taken_too(void **state)
{
    join("thief");
    join("w1");
    claim_some("w1", 2);
    redis_int("ZREM", keys.workers, "w1", NULL);
    assert_string_equal(steal("thief", "w1", false, 10, &more), "OK");
    assert_int_equal(more.count, 2);
}

static void steal__by_two_thieves__each_claim_goes_to_one(void **state)
{
    join("t1");
    join("t2");
    join("w1");
    claim_some("w1", 6);
    assert_string_equal(steal("t1", "w1", true, 3, &got), "MORE");
    assert_string_equal(steal("t2", "w1", true, 10, &more), "OK");
    assert_int_equal(got.count, 3);
    assert_int_equal(more.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(got_find(&more, got.at[i].envelope), -1);
    assert_string_equal(steal("t1", "t2", false, 10, &got), "ALIVE");
}

static void stolen__with_a_crash_charged__runs_again(void **state)
{
    join("thief");
    join("w1");
    claim_some("w1", 1);
    steal("thief", "w1", true, 10, &more);
    ls_turn_retry(&turn, more.at[0].fence, PLAIN, 0,
                  span(make(NULL, "j0", NULL, ",\"crashes\":1")));
    take_turn(&turn, "thief", 0, &got);
    claim_until("thief", 1, &got);
    assert_non_null(strstr(got.at[0].envelope, "\"crashes\":1"));
}

static void stat__running__is_what_workers_hold_through_adoption_and_theft(void **state)
{
    struct ls_queue_stat stat;

    join("thief");
    join("w1");
    claim_some("w1", 5);
    adopt("w2", &got, 1, "w1");
    steal("thief", "w2", true, 2, &more);
    ls_turn_ack(&turn, more.at[0].fence, PLAIN);
    take_turn(&turn, "thief", 0, &got);
    ls_queue_stat_build(&cmd, &keys);
    assert_int_equal(ls_queue_stat_parse(send_cmd(), &stat, NULL), 0);
    assert_int_equal(stat.running, 4);
    assert_int_equal(stat.claimed, 5);
    assert_int_equal(stat.done, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(worker_id__names_host_and_process__and_never_twice),
        TEST(join__again__renews_and_another_schema_is_refused),
        TEST(leave__with_claims__is_busy_then_fine_then_gone),
        TEST(list__names_workers_with_what_their_leases_have_left),
        TEST(adopt__claims_keep_their_fences_and_the_old_identity_is_fenced),
        TEST(adopt__its_own_reply_lost_twice__still_brings_every_claim_along),
        TEST(adopt__the_first_never_arrived__merges_what_every_identity_holds),
        TEST(adopt__late_copy_of_an_older_adopt__takes_nothing_away),
        TEST(adopt__after_a_theft__finds_nothing),
        TEST(adopt__many_claims__all_arrive),
        TEST(steal__living_victim__is_left_alone_unless_known_dead),
        TEST(steal__thief_not_alive__is_fenced),
        TEST(steal__in_slices__takes_all_and_forgets_the_victim_last),
        TEST(steal__victim_settles_between_slices__nothing_is_twice),
        TEST(steal__claims_of_a_worker_nobody_knows__are_taken_too),
        TEST(steal__by_two_thieves__each_claim_goes_to_one),
        TEST(stolen__with_a_crash_charged__runs_again),
        TEST(stat__running__is_what_workers_hold_through_adoption_and_theft),
    };
    int failed = cmocka_run_group_tests(tests, harness_open, harness_close);

    ls_turn_fini(&turn);
    return failed;
}
