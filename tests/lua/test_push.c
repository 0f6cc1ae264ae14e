/* Pushing plain jobs; stat, leader. */
#include "tests/lua/harness.h"

#include <unistd.h>

#include "common/job/id.h"

static struct ls_pushed push_many(const struct ls_push_options *options,
                                  const struct ls_push_job *jobs, size_t count)
{
    struct ls_pushed pushed;
    struct ls_err err = LS_ERR_INIT;

    ls_push_build(&cmd, &keys, options, jobs, count);
    if (ls_push_parse(send_cmd(), &pushed, &err) < 0)
        fail_msg("%s", err.text);
    return pushed;
}

static void push__many__each_goes_to_its_lane_in_order(void **state)
{
    const struct ls_push_job jobs[] = {
        {.envelope = LS_SPAN("{\"id\":\"1\",\"kind\":\"t\"}")},
        {.envelope = LS_SPAN("{\"id\":\"2\",\"kind\":\"t\",\"priority\":\"high\"}")},
        {.envelope = LS_SPAN("{\"id\":\"3\",\"kind\":\"t\"}")},
        {.envelope = LS_SPAN("{\"id\":\"4\",\"kind\":\"t\",\"priority\":\"low\"}")},
        {.envelope = LS_SPAN("{\"id\":\"5\",\"kind\":\"t\"}"), .delay_ms = 60000},
        {.envelope = LS_SPAN("{\"id\":\"6\",\"kind\":\"t\",\"priority\":\"high\"}"),
         .id = LS_SPAN("6")},
    };
    struct ls_pushed pushed = push_many(NULL, jobs, LS_COUNT(jobs));

    assert_int_equal(pushed.pushed, 6);
    assert_string_equal(redis_list("LRANGE", keys.pending, "0", "-1", NULL),
                        "{\"id\":\"1\",\"kind\":\"t\"}|{\"id\":\"3\",\"kind\":\"t\"}");
    assert_int_equal(redis_int("LLEN", keys.pending_high, NULL), 2);
    assert_int_equal(redis_int("LLEN", keys.pending_low, NULL), 1);
    assert_int_equal(redis_int("ZCARD", keys.delayed, NULL), 1);
    assert_int_equal(redis_int("LLEN", keys.wake, NULL), 1);
    assert_string_equal(redis_text("HGET", keys.stats, "pushed", NULL), "6");
}

static void push__a_thousand__in_one_call(void **state)
{
    static struct ls_push_job jobs[LS_PUSH_MAX];

    for (size_t i = 0; i < LS_PUSH_MAX; i++)
        jobs[i].envelope = LS_SPAN("{\"id\":\"1\",\"kind\":\"t\"}");
    assert_int_equal(push_many(NULL, jobs, LS_PUSH_MAX).pushed, LS_PUSH_MAX);
    assert_int_equal(redis_int("LLEN", keys.pending, NULL), LS_PUSH_MAX);
    for (size_t i = 0; i < LS_PUSH_MAX; i++) {
        static char names[LS_PUSH_MAX][8];

        snprintf(names[i], sizeof names[i], "i%zu", i);
        jobs[i].id = span(names[i]);
    }
    assert_int_equal(push_many(NULL, jobs, LS_PUSH_MAX).pushed, LS_PUSH_MAX);
    assert_int_equal(push_many(NULL, jobs, LS_PUSH_MAX).known, LS_PUSH_MAX);
}

static void push__same_id_again__is_known_until_its_time_is_over(void **state)
{
    const struct ls_push_options brief = {.ids_ttl_ms = 20};
    const struct ls_push_job job = {.envelope = LS_SPAN("{\"id\":\"x\",\"kind\":\"t\"}"),
                                    .id = LS_SPAN("x")};

    assert_int_equal(push_many(&brief, &job, 1).pushed, 1);
    assert_int_equal(push_many(&brief, &job, 1).known, 1);
    assert_int_equal(redis_int("LLEN", keys.pending, NULL), 1);
    usleep(30000);
    assert_int_equal(push_many(&brief, &job, 1).pushed, 1);
    assert_int_equal(redis_int("LLEN", keys.pending, NULL), 2);
    for (int i = 0; i < 100; i++) {
        char name[16];

        snprintf(name, sizeof name, "t%d", i);
        push_many(&brief, &(struct ls_push_job){.envelope = job.envelope, .id = span(name)}, 1);
    }
    usleep(30000);
    push(make(NULL, "y", NULL, NULL), 0, NULL);
    push(make(NULL, "y", NULL, NULL), 0, NULL);
    assert_int_equal(redis_int("ZCARD", keys.ids, NULL), 0); /* old ones are swept in slices */
}

static void push__at_the_bound__is_refused_whole(void **state)
{
    const struct ls_push_job jobs[] = {
        {.envelope = LS_SPAN("{\"id\":\"1\",\"kind\":\"t\"}")},
        {.envelope = LS_SPAN("{\"id\":\"2\",\"kind\":\"t\"}"), .delay_ms = 1000}};
    const struct ls_push_options mine = {.bound = 5};
    struct ls_pushed pushed;
    struct ls_err err = LS_ERR_INIT;

    ls_queue_bounds_build(&cmd, &keys, &(struct ls_queue_bounds){.waiting = 2});
    send_cmd();
    assert_int_equal(push_many(NULL, jobs, 2).pushed, 2);
    ls_push_build(&cmd, &keys, NULL, jobs, 2);
    assert_int_equal(ls_push_parse(send_cmd(), &pushed, &err), -1);
    assert_int_equal(err.code, LS_E_TOO_BIG);
    assert_string_equal(err.text, "the queue is full: 2 jobs wait, 2 are allowed");
    ls_push_keyed_build(&cmd, &keys, NULL,
                        &(struct ls_push_job){.envelope = jobs[0].envelope, .key = span("k")}, 1);
    assert_int_equal(ls_push_parse(send_cmd(), &pushed, &err), -1);
    assert_int_equal(redis_int("EXISTS", keys.keys, keys.bodies, NULL), 0);
    ls_queue_bounds_build(&cmd, &keys, &(struct ls_queue_bounds){.waiting = 0});
    send_cmd();
    assert_int_equal(push_many(&mine, jobs, 2).pushed, 2);
    assert_int_equal(redis_int("LLEN", keys.pending, NULL) + redis_int("ZCARD", keys.delayed, NULL),
                     3); /* the delayed one is the same job: one place */
}

static void push__with_status__sets_it_for_its_time(void **state)
{
    char key[LS_KEY_SIZE];
    const struct ls_push_options options = {.status_key = ls_keys_status(&keys, span("7"), key),
                                            .status_ttl_ms = 5000};
    const struct ls_push_job job = {.envelope = LS_SPAN("{\"id\":\"7\",\"kind\":\"t\"}"),
                                    .id = LS_SPAN("7")};

    push_many(&options, &job, 1);
    assert_string_equal(redis_text("GET", "lockstep:{default}:status:7", NULL), "pending");
    assert_in_range(redis_int("PTTL", key, NULL), 4000, 5000);
    ls_status_build(&cmd, key, "done", 1000);
    send_cmd();
    push_many(&options, &job, 1); /* known: its state is not what it was */
    assert_string_equal(redis_text("GET", key, NULL), "done");
}

static void push__idle_worker__is_woken_by_blpop(void **state)
{
    push(make(NULL, "1", NULL, NULL), 0, NULL);
    ls_wake_build(&cmd, &keys, 5);
    assert_int_equal(send_cmd()->count, 2);
    ls_wake_build(&cmd, &keys, 0.01);
    assert_int_equal(send_cmd()->type, LS_REPLY_NIL);
}

/* ---- stat, leader ---------------------------------------------------------------------------- */

static void stat__every_place__is_counted(void **state)
{
    struct ls_queue_stat stat;
    char id[LS_ID_SIZE];
    int64_t at = ls_id_time_ms(span(ls_id_new(id)));

    join("w");
    push(make(NULL, id, NULL, ",\"priority\":\"high\""), 0, NULL);
    push_raw(keys.pending, "{\"kind\":\"raw\"}");
    push_raw(keys.pending_low, make(NULL, "mine", NULL, NULL));
    push(make(NULL, "later", NULL, NULL), 60000, NULL);
    redis_int("LPUSH", keys.dead, "{}", NULL);
    usleep(5000);
    ls_queue_stat_build(&cmd, &keys);
    assert_int_equal(ls_queue_stat_parse(send_cmd(), &stat, NULL), 0);
    assert_int_equal(stat.pending_high, 1);
    assert_int_equal(stat.pending, 1);
    assert_int_equal(stat.pending_low, 1);
    assert_int_equal(stat.delayed, 1);
    assert_int_equal(stat.dead, 1);
    assert_int_equal(stat.workers, 1);
    assert_int_equal(stat.workers_expired, 0);
    assert_int_equal(stat.pushed, 2);
    assert_int_equal(stat.running, 0);
    assert_true(stat.oldest_ms >= 5 && stat.oldest_ms <= stat.ms - at);
    assert_in_range(stat.next_due_ms, 50000, 60000);
    assert_int_equal(stat.overdue_ms, 0);
    assert_false(stat.paused);
    ls_queue_pause_build(&cmd, &keys, span("me"));
    send_cmd();
    ls_queue_stat_build(&cmd, &keys);
    ls_queue_stat_parse(send_cmd(), &stat, NULL);
    assert_true(stat.paused && ls_span_is(stat.paused_by, "me"));
}

static void stat__a_keyed_head__is_as_old_as_its_state_says(void **state)
{
    struct ls_queue_stat stat;

    push_keyed("k", make("acc", "x", "k", NULL), 0);
    usleep(12000);
    ls_queue_stat_build(&cmd, &keys);
    ls_queue_stat_parse(send_cmd(), &stat, NULL);
    assert_true(stat.oldest_ms >= 10 && stat.oldest_ms < 10000);
    assert_int_equal(stat.keyed, 1);
}

static void stat__empty_queue__is_all_zero(void **state)
{
    struct ls_queue_stat stat;

    ls_queue_stat_build(&cmd, &keys);
    assert_int_equal(ls_queue_stat_parse(send_cmd(), &stat, NULL), 0);
    assert_int_equal(stat.oldest_ms, -1);
    assert_int_equal(stat.next_due_ms, -1);
    assert_int_equal(stat.counter_count, 0);
    assert_int_equal(stat.bound, 0);
}

static struct ls_leadership hold(const char *owner, int64_t lease)
{
    struct ls_leadership leadership;

    ls_leader_hold_build(&cmd, owner, lease);
    assert_int_equal(ls_leader_hold_parse(send_cmd(), &leadership, NULL), 0);
    return leadership;
}

static void leader__one_at_a_time__until_it_stops_or_steps_down(void **state)
{
    struct ls_leadership other;

    assert_true(hold("a", 30).leader);
    assert_true(hold("a", 30).leader);
    other = hold("b", 30);
    assert_false(other.leader);
    assert_true(ls_span_is(other.who, "a"));
    assert_in_range(other.left_ms, 0, 30);
    hold("b", 0); /* not its to give up */
    assert_false(hold("b", 30).leader);
    usleep(40000);
    assert_true(hold("b", 60000).leader);
    hold("b", 0);
    assert_true(hold("a", 30).leader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(push__many__each_goes_to_its_lane_in_order),
        TEST(push__a_thousand__in_one_call),
        TEST(push__same_id_again__is_known_until_its_time_is_over),
        TEST(push__at_the_bound__is_refused_whole),
        TEST(push__with_status__sets_it_for_its_time),
        TEST(push__idle_worker__is_woken_by_blpop),
        TEST(stat__every_place__is_counted),
        TEST(stat__a_keyed_head__is_as_old_as_its_state_says),
        TEST(stat__empty_queue__is_all_zero),
        TEST(leader__one_at_a_time__until_it_stops_or_steps_down),
    };

    return cmocka_run_group_tests(tests, harness_open, harness_close);
}
