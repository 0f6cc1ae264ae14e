/* What the scheduler asks at rest: worker_beat, queue_watch. */
#include "tests/lua/harness.h"

#include <unistd.h>

#include "common/queue/watch.h"

static void beat__renews_its_lease_and_names_those_that_ran_out(void **state)
{
    struct ls_worker_beat beat;
    int64_t before;

    join_for("me", 500);
    join_for("first", 1);
    usleep(3000);
    join_for("second", 1);
    join_for("alive", 60000);
    usleep(3000);
    before = strtoll(redis_text("ZSCORE", keys.workers, "me", NULL), NULL, 10);
    ls_worker_beat_build(&cmd, &keys, "me", 60000, 10);
    assert_int_equal(ls_worker_beat_parse(send_cmd(), &beat, NULL), 0);
    assert_int_equal(beat.count, 2);
    assert_true(ls_span_is(ls_reply_span(&beat.expired[0]), "first"));
    assert_true(ls_span_is(ls_reply_span(&beat.expired[1]), "second"));
    assert_true(beat.ms > 1600000000000);
    assert_true(strtoll(redis_text("ZSCORE", keys.workers, "me", NULL), NULL, 10) > before + 59000);
    ls_worker_beat_build(&cmd, &keys, "me", 60000, 1);
    assert_int_equal(ls_worker_beat_parse(send_cmd(), &beat, NULL), 0);
    assert_int_equal(beat.count, 1);
}

static void beat__unknown_worker__is_fenced_and_not_made_known(void **state)
{
    struct ls_worker_beat beat;
    struct ls_err err = LS_ERR_INIT;

    join("other");
    ls_worker_beat_build(&cmd, &keys, "me", 60000, 10);
    assert_int_equal(ls_worker_beat_parse(send_cmd(), &beat, &err), -1);
    assert_int_equal(err.code, LS_E_FENCED);
    assert_string_equal(redis_list("ZRANGE", keys.workers, "0", "-1", NULL), "other");
}

static void beat__redis_is_full__goes_on(void **state)
{
    struct ls_worker_beat beat;

    join("me");
    assert_string_equal(redis_text("CONFIG", "SET", "maxmemory", "1", NULL), "OK");
    ls_worker_beat_build(&cmd, &keys, "me", 60000, 10);
    assert_int_equal(ls_worker_beat_parse(send_cmd(), &beat, NULL), 0);
    assert_string_equal(redis_text("CONFIG", "SET", "maxmemory", "0", NULL), "OK");
}

static void watch__counts_in_total_and_in_the_window_and_brings_the_groups(void **state)
{
    static const char *const counters[] = {"done", "dead", "never"};
    const struct ls_reply *time;
    struct ls_queue_watch watch;
    struct ls_dead_group_row row;
    long long minute;
    char field[64];

    ls_cmd_start(&cmd, "TIME");
    time = send_cmd();
    minute = ls_reply_int(&time->items[0], 0) / 60;
    redis_int("HSET", keys.stats, "done", "100", "dead", "7", NULL);
    for (int ago = 0; ago < 200; ago++) {
        snprintf(field, sizeof field, "%lld/done", minute - ago);
        redis_int("HSET", keys.stats_ring, field, "1", NULL);
    }
    redis_int("RPUSH", keys.dead, "a", "b", NULL);
    redis_int("HSET", keys.dead_groups, "aaaa", "2 1000 2000 it broke", NULL);
    ls_queue_watch_build(&cmd, &keys, 300000, counters, LS_COUNT(counters));
    assert_int_equal(ls_queue_watch_parse(send_cmd(), &watch, NULL), 0);
    assert_int_equal(watch.dead, 2);
    assert_true(watch.totals[0] == 100 && watch.totals[1] == 7 && watch.totals[2] == 0);
    assert_in_range(watch.window[0], 5,
                    7); /* this minute, and the one in which the window begins */
    assert_true(watch.window[1] == 0 && watch.window[2] == 0);
    assert_int_equal(watch.group_count, 1);
    assert_string_equal(watch.groups->items[0].text, "aaaa");
    assert_int_equal(ls_dead_group_parse(ls_reply_span(&watch.groups->items[1]), &row), 0);
    assert_true(row.count == 2 && row.first_ms == 1000 && row.last_ms == 2000);
    ls_queue_watch_build(&cmd, &keys, 30LL * 24 * 3600 * 1000, counters, LS_COUNT(counters));
    assert_int_equal(ls_queue_watch_parse(send_cmd(), &watch, NULL), 0);
    assert_in_range(watch.window[0], 180, 183); /* no farther than the ring */
}

static void watch__empty_queue__is_all_zero(void **state)
{
    static const char *const counters[] = {"done"};
    struct ls_queue_watch watch;

    ls_queue_watch_build(&cmd, &keys, 60000, counters, 1);
    assert_int_equal(ls_queue_watch_parse(send_cmd(), &watch, NULL), 0);
    assert_true(watch.dead == 0 && watch.totals[0] == 0 && watch.window[0] == 0);
    assert_int_equal(watch.group_count, 0);
    assert_int_equal(redis_int("DBSIZE", NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(beat__renews_its_lease_and_names_those_that_ran_out),
        TEST(beat__unknown_worker__is_fenced_and_not_made_known),
        TEST(beat__redis_is_full__goes_on),
        TEST(watch__counts_in_total_and_in_the_window_and_brings_the_groups),
        TEST(watch__empty_queue__is_all_zero),
    };

    return cmocka_run_group_tests(tests, harness_open, harness_close);
}
