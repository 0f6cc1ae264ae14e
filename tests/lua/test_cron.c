/* One caller for each tick: every reply, every repeat, holders that die, paces that change. */
#include "tests/lua/harness.h"

#include <unistd.h>

#include "common/schedule/plan.h"

#define HOUR_MS 3600000

/* A caller: what worker/scheduler/cron.c keeps of a schedule. */
struct caller {
    const char *name, *spec;
    int64_t tick, settled, stale_ms, hold_ms;
    bool at_once;
};

static struct caller caller_of(const char *name)
{
    return (struct caller){.name = name, .spec = "hourly", .settled = -1};
}

static struct ls_cron_ask ask_of(const struct caller *caller)
{
    return (struct ls_cron_ask){.schedule = "nightly",
                                .spec = caller->spec,
                                .owner = caller->name,
                                .tick = caller->tick,
                                .settled = caller->settled,
                                .stale_ms = caller->stale_ms,
                                .hold_ms = caller->hold_ms,
                                .at_once = caller->at_once};
}

static struct ls_cron_answer begin(const struct caller *caller)
{
    struct ls_cron_ask ask = ask_of(caller);
    struct ls_cron_answer answer;
    struct ls_err err = LS_ERR_INIT;

    ls_cron_begin_build(&cmd, &ask);
    if (ls_cron_begin_parse(send_cmd(), &answer, &err) < 0)
        fail_msg("%s", err.text);
    return answer;
}

/* Begin `tick`, planned from `settled`. */
static struct ls_cron_answer begin_at(struct caller *caller, int64_t tick, int64_t settled)
{
    caller->tick = tick;
    caller->settled = settled;
    return begin(caller);
}

/* false: late. */
static bool done(const struct caller *caller, int64_t tick)
{
    struct ls_cron_ask ask = ask_of(caller);
    int64_t ms;
    bool late;

    ask.tick = tick;
    ls_cron_done_build(&cmd, &ask);
    assert_int_equal(ls_cron_done_parse(send_cmd(), &ms, &late, NULL), 0);
    assert_true(ms > 0);
    return !late;
}

static const char *state_text(void)
{
    return redis_text("HGET", LS_KEY_CRON, "nightly", NULL);
}

/* As if it had been settled up to here: what a downtime leaves behind. */
static void set_settled(int64_t tick, const char *spec)
{
    char text[64];

    snprintf(text, sizeof text, "done %lld %s", (long long)tick, spec);
    redis_int("HSET", LS_KEY_CRON, "nightly", text, NULL);
}

static int64_t redis_ms(void)
{
    const struct ls_reply *reply;

    ls_cmd_start(&cmd, "TIME");
    reply = send_cmd();
    return ls_reply_int(ls_reply_item(reply, 0), 0) * 1000 +
           ls_reply_int(ls_reply_item(reply, 1), 0) / 1000;
}

static void begin__first_sight__is_remembered_and_nothing_fires(void **state)
{
    struct caller a = caller_of("a"), b = caller_of("b");
    struct ls_cron_answer first = begin(&a), second;
    char text[64];

    assert_int_equal(first.word, LS_CRON_PLAN);
    assert_int_equal(first.settled, first.ms);
    snprintf(text, sizeof text, "since %lld hourly", (long long)first.ms);
    assert_string_equal(state_text(), text);
    usleep(3000);
    second =
        begin(&b); /* a downtime between first sight and first tick counts from the first sight */
    assert_int_equal(second.word, LS_CRON_PLAN);
    assert_int_equal(second.settled, first.ms);
    assert_true(second.ms > first.ms);
}

static void begin__first_sight_of_one_that_fires_at_once__has_nothing_settled(void **state)
{
    struct caller a = caller_of("a");

    a.at_once = true;
    assert_int_equal(begin(&a).settled, -1);
    assert_string_equal(state_text(), "since -1 hourly");
    assert_int_equal(begin(&a).settled, -1); /* the answer was lost, or its caller died */
    assert_int_equal(begin_at(&a, redis_ms() - 5, -1).word, LS_CRON_FIRE);
}

static void begin__before_its_time__fires_nothing(void **state)
{
    struct caller a = caller_of("a");
    int64_t tick = redis_ms() + 30;
    struct ls_cron_answer answer;

    set_settled(tick - 1000, "hourly");
    answer = begin_at(&a, tick, tick - 1000);
    assert_int_equal(answer.word, LS_CRON_PLAN);
    assert_int_equal(answer.settled, tick - 1000);
    assert_true(answer.ms < tick);
    usleep(40000);
    answer = begin(&a);
    assert_int_equal(answer.word, LS_CRON_FIRE);
    assert_int_equal(answer.tick, tick);
    assert_true(answer.ms >= tick);
}

static void begin__one_of_two__gets_a_tick_and_nobody_gets_it_again(void **state)
{
    struct caller a = caller_of("a"), b = caller_of("b");
    int64_t tick = redis_ms() - 10, before = tick - HOUR_MS;
    struct ls_cron_answer answer;

    set_settled(before, "hourly");
    assert_int_equal(begin_at(&a, tick, before).word, LS_CRON_FIRE);
    answer = begin_at(&b, tick, before);
    assert_int_equal(answer.word, LS_CRON_HELD);
    assert_int_equal(answer.tick, tick);
    assert_in_range(answer.left_ms, 1, LS_CRON_HOLD_MS);
    assert_int_equal(begin(&a).word, LS_CRON_FIRE); /* its answer was lost */
    assert_true(done(&a, tick));
    assert_false(done(&a, tick)); /* repeated: harmless */
    answer = begin(&b);
    assert_int_equal(answer.word, LS_CRON_PLAN);
    assert_int_equal(answer.settled, tick);
    assert_int_equal(begin(&a).word, LS_CRON_PLAN);
    assert_int_equal(redis_int("HLEN", LS_KEY_CRON, NULL), 1);
}

static void begin__holder_dies__another_fires_the_same_tick(void **state)
{
    struct caller a = caller_of("a"), b = caller_of("b");
    int64_t tick = redis_ms() - 10, before = tick - HOUR_MS;
    struct ls_cron_answer answer;

    a.hold_ms = b.hold_ms = 10;
    set_settled(before, "hourly");
    assert_int_equal(begin_at(&a, tick, before).word, LS_CRON_FIRE);
    usleep(15000);
    answer =
        begin_at(&b, tick + 5, before); /* it had planned a newer one: the begun one is first */
    assert_int_equal(answer.word, LS_CRON_FIRE);
    assert_int_equal(answer.tick, tick);
    assert_false(done(&a, tick)); /* it was not dead: late, and nothing changes */
    assert_true(done(&b, tick));
    answer = begin(&b);
    assert_int_equal(answer.word, LS_CRON_FIRE); /* the newer one */
    assert_int_equal(answer.tick, tick + 5);
}

static void begin__holder_died_and_nobody_planned__it_is_found(void **state)
{
    struct caller a = caller_of("a"), b = caller_of("b");
    int64_t tick = redis_ms() - 10;
    struct ls_cron_answer answer;

    a.hold_ms = b.hold_ms = 10;
    set_settled(tick - HOUR_MS, "hourly");
    begin_at(&a, tick, tick - HOUR_MS);
    usleep(15000);
    answer = begin(&b); /* has just started: knows nothing */
    assert_int_equal(answer.word, LS_CRON_FIRE);
    assert_int_equal(answer.tick, tick);
}

static void begin__the_clock_stepped_back__a_hold_does_not_last_for_hours(void **state)
{
    struct caller b = caller_of("b");
    int64_t tick = redis_ms() - 10;
    char text[120];

    snprintf(text, sizeof text, "firing %lld hourly a %lld %lld", (long long)tick,
             (long long)(tick + HOUR_MS), (long long)(tick - HOUR_MS));
    redis_int("HSET", LS_KEY_CRON, "nightly", text, NULL);
    assert_int_equal(begin(&b).word, LS_CRON_FIRE);
}

static void begin__a_stale_plan__is_made_anew(void **state)
{
    struct caller a = caller_of("a");
    int64_t tick = redis_ms() - 5000;
    struct ls_cron_answer answer;

    set_settled(tick - 1000, "hourly");
    a.stale_ms = tick + 1000; /* a newer tick came while the caller was stopped */
    answer = begin_at(&a, tick, tick - 1000);
    assert_int_equal(answer.word, LS_CRON_PLAN);
    assert_int_equal(answer.settled, tick - 1000);
    a.stale_ms = tick + HOUR_MS;
    assert_int_equal(begin(&a).word, LS_CRON_FIRE);
}

static void begin__a_begun_tick__is_finished_even_when_stale(void **state)
{
    struct caller a = caller_of("a");
    int64_t tick = redis_ms() - 5000;

    set_settled(tick - 1000, "hourly");
    assert_int_equal(begin_at(&a, tick, tick - 1000).word, LS_CRON_FIRE);
    a.stale_ms = tick + 1;
    assert_int_equal(begin(&a).word, LS_CRON_FIRE);
}

static void begin__another_pace__starts_afresh(void **state)
{
    struct caller a = caller_of("a"), b = caller_of("b");
    int64_t tick = redis_ms() - HOUR_MS;
    struct ls_cron_answer answer;

    set_settled(tick, "hourly");
    b.spec = "daily";
    answer = begin(&b);
    assert_int_equal(answer.word, LS_CRON_PLAN);
    assert_int_equal(answer.settled,
                     answer.ms); /* what passed under the other pace is not missed */
    /* and back again: the old past is gone */
    answer = begin(&a);
    assert_int_equal(answer.settled, answer.ms);
    /* A state of an earlier version is another pace, too. */
    redis_int("HSET", LS_KEY_CRON, "nightly", "done 496497 3600000", NULL);
    answer = begin(&a);
    assert_int_equal(answer.settled, answer.ms);
    redis_int("HSET", LS_KEY_CRON, "nightly", "what is this", NULL);
    answer = begin(&a);
    assert_int_equal(answer.settled, answer.ms);
}

/* A fleet whose pools do not agree must fire twice rather than never. */
static void begin__schedulers_that_disagree__both_fire_and_are_told(void **state)
{
    struct caller a = caller_of("a"), b = caller_of("b");
    int64_t before = redis_ms() - HOUR_MS, tick = before + HOUR_MS / 2;
    struct ls_cron_answer answer;

    b.spec = "daily";
    set_settled(before, "hourly");
    answer = begin_at(&b, tick, before);
    assert_int_equal(answer.word, LS_CRON_FIRE);
    assert_true(answer.differs);
    answer = begin_at(&a, tick, before);
    assert_int_equal(answer.word, LS_CRON_FIRE);
    assert_true(answer.differs);
    assert_false(done(&b, tick));
    assert_true(done(&a, tick));
    assert_false(begin_at(&a, tick + 1, tick).differs);
}

static void begin__redis_forgot__what_the_caller_saw_done_is_not_fired_again(void **state)
{
    struct caller a = caller_of("a");
    int64_t tick = redis_ms() - 1000;
    struct ls_cron_answer answer;

    set_settled(tick - HOUR_MS, "hourly"); /* a replica that lagged took over */
    answer = begin_at(&a, tick + HOUR_MS, tick);
    assert_int_equal(answer.word, LS_CRON_PLAN);
    assert_int_equal(answer.settled, tick);
    redis_int("DEL", LS_KEY_CRON, NULL);
    answer = begin(&a);
    assert_int_equal(answer.settled, tick);
    answer = begin_at(&a, tick + 500, tick); /* and the next one is not lost */
    assert_int_equal(answer.word, LS_CRON_FIRE);
    assert_false(answer.differs);
}

static void forget__switched_off__has_no_past(void **state)
{
    static const char *const names[] = {"nightly", "other"};
    struct caller a = caller_of("a");
    struct ls_cron_answer answer;

    set_settled(redis_ms() - 100 * HOUR_MS, "hourly");
    ls_cron_forget_build(&cmd, names, 2);
    assert_int_equal(send_cmd()->integer, 1);
    answer = begin(&a);
    assert_int_equal(answer.settled, answer.ms);
}

static struct ls_cron_state read_state(void)
{
    static const char *const names[] = {"nightly", "other"};
    const struct ls_reply *reply;

    ls_cron_states_build(&cmd, names, 2);
    reply = send_cmd();
    assert_int_equal(reply->count, 2);
    assert_int_equal(ls_cron_state_read(ls_reply_span(ls_reply_item(reply, 1))).spec.length, 0);
    return ls_cron_state_read(ls_reply_span(ls_reply_item(reply, 0)));
}

static void states__of_each_word__are_read(void **state)
{
    struct caller a = caller_of("a");
    int64_t tick = redis_ms() - 10;

    begin(&a);
    assert_int_equal(read_state().done, -1);
    assert_int_equal(read_state().firing, -1);
    set_settled(tick, "hourly");
    assert_int_equal(read_state().done, tick);
    assert_true(ls_span_is(read_state().spec, "hourly"));
    begin_at(&a, tick + 5, tick);
    assert_int_equal(read_state().firing, tick + 5);
    assert_int_equal(read_state().done, tick);
    assert_true(ls_span_is(read_state().spec, "hourly"));
}

/* ---- several callers, at random --------------------------------------------------------------- */

#define PACE_MS 2
#define CALLERS 4
#define JOB "{\"id\":\"tick-%lld\",\"kind\":\"t\"}"

static uint64_t seed = 0xc407;

static uint64_t below(uint64_t bound)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % bound;
}

static void push_tick(int64_t tick)
{
    char envelope[80], id[40];

    snprintf(envelope, sizeof envelope, JOB, (long long)tick);
    snprintf(id, sizeof id, "tick-%lld", (long long)tick);
    push(envelope, 0, id);
}

/* Callers that stop at any point for any time, lose answers, and are replaced by newcomers: each
 * tick is in the queue exactly once, and none is missing. */
static void fleet__any_interleaving__exactly_one_job_a_tick(void **state)
{
    const struct ls_pace pace = {.every_ms = PACE_MS};
    struct {
        struct caller caller;
        char name[16];
        int64_t firing; /* begun, and perhaps pushed */
        bool pushed;
    } callers[CALLERS] = {0};
    int64_t first = 0, last = 0;

    for (int step = 0; last < first + 300 * PACE_MS; step++) {
        size_t i = below(CALLERS);
        struct caller *caller = &callers[i].caller;
        struct ls_cron_answer answer;

        if (!caller->name || below(40) == 0) { /* SIGKILL at any point */
            snprintf(callers[i].name, sizeof callers[i].name, "c%d", step);
            *caller = caller_of(callers[i].name);
            caller->hold_ms = 4;
            callers[i].firing = 0;
            callers[i].pushed = false;
        } else if (callers[i].pushed) {
            done(caller, callers[i].firing);
            if (below(10) == 0)
                continue; /* its answer was lost: again */
            caller->tick = callers[i].firing = 0;
            callers[i].pushed = false;
        } else if (callers[i].firing) {
            push_tick(callers[i].firing);
            last = callers[i].firing > last ? callers[i].firing : last;
            callers[i].pushed = below(10) > 0; /* else: pushed again */
        } else {
            answer = begin(caller);
            if (answer.word == LS_CRON_FIRE) {
                callers[i].firing = answer.tick;
            } else if (answer.word == LS_CRON_PLAN) {
                struct ls_plan plan =
                    ls_plan_make(&pace, LS_CONFIG_CATCH_UP_ALL, answer.settled, answer.ms);

                first = first ? first : ls_pace_next(&pace, answer.settled);
                caller->tick = plan.tick;
                caller->settled = answer.settled;
            }
        }
    }
    assert_int_equal(redis_int("LLEN", keys.pending, NULL), (last - first) / PACE_MS + 1);
    assert_int_equal(redis_int("ZCARD", keys.ids, NULL), (last - first) / PACE_MS + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(begin__first_sight__is_remembered_and_nothing_fires),
        TEST(begin__first_sight_of_one_that_fires_at_once__has_nothing_settled),
        TEST(begin__before_its_time__fires_nothing),
        TEST(begin__one_of_two__gets_a_tick_and_nobody_gets_it_again),
        TEST(begin__holder_dies__another_fires_the_same_tick),
        TEST(begin__holder_died_and_nobody_planned__it_is_found),
        TEST(begin__the_clock_stepped_back__a_hold_does_not_last_for_hours),
        TEST(begin__a_stale_plan__is_made_anew),
        TEST(begin__a_begun_tick__is_finished_even_when_stale),
        TEST(begin__another_pace__starts_afresh),
        TEST(begin__schedulers_that_disagree__both_fire_and_are_told),
        TEST(begin__redis_forgot__what_the_caller_saw_done_is_not_fired_again),
        TEST(forget__switched_off__has_no_past),
        TEST(states__of_each_word__are_read),
        TEST(fleet__any_interleaving__exactly_one_job_a_tick),
    };

    return cmocka_run_group_tests(tests, harness_open, harness_close);
}
