/* Plain jobs under everything that may happen to them, in random order: pushes, delays, lost
 * replies, turns sent twice, deaths, thefts, budgets, parkings, dead letters and their way back.
 * After each step no job may be lost, none may be there twice, none may be in two hands. */
#include "tests/lua/harness.h"

#include <unistd.h>

#define SEED 0x1057
#define WORKERS 3
#define FLIGHTS 400
#define JOBS 60000

static const struct ls_span PLAIN = {0};

struct flight {
    int64_t fence;
    int job;
};

static uint64_t seed = SEED;
static struct ls_turn turn;
static struct got got;
static char names[WORKERS][32];
static int identities;
static struct flight flights[WORKERS][FLIGHTS];
static int flying[WORKERS];
static int pushed, ended, holder[JOBS]; /* worker + 1 that has it in hand */

static uint64_t chance(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

static const char *envelope_of(int job)
{
    static const char *const accounts[] = {NULL, "a", "b"};
    static const char *const tails[] = {NULL, ",\"priority\":\"high\"", ",\"priority\":\"low\"",
                                        NULL};
    char id[16];

    snprintf(id, sizeof id, "j%d", job);
    return make(accounts[job % 3], id, NULL, tails[job % 4]);
}

static void new_identity(int worker)
{
    snprintf(names[worker], sizeof names[worker], "w%d-%d", worker, identities++);
}

static void drop_all(int worker)
{
    for (int i = 0; i < flying[worker]; i++)
        holder[flights[worker][i].job] = 0;
    flying[worker] = 0;
}

static void note_claims(int worker)
{
    for (size_t i = 0; i < got.count; i++) {
        int job = (int)strtol(strstr(got.at[i].envelope, "\"id\":\"j") + 7, NULL, 10);

        if (holder[job])
            fail_msg("seed %d: j%d is in the hands of worker %d and %d", SEED, job, holder[job] - 1,
                     worker);
        holder[job] = worker + 1;
        assert_true(flying[worker] < FLIGHTS);
        flights[worker][flying[worker]++] = (struct flight){got.at[i].fence, job};
    }
}

static void end_one(int worker, bool for_good)
{
    int at = (int)chance((uint64_t)flying[worker]);
    struct flight flight = flights[worker][at];
    const char *envelope = envelope_of(flight.job);
    struct ls_span bytes = span(envelope);

    holder[flight.job] = 0;
    flights[worker][at] = flights[worker][--flying[worker]];
    switch (for_good ? 0 : chance(7)) {
    case 1:
        ls_turn_retry(&turn, flight.fence, PLAIN, (int64_t)chance(5), bytes);
        break;
    case 2:
        ls_turn_back(&turn, flight.fence, PLAIN, bytes);
        break;
    case 3:
        ls_turn_again(&turn, flight.fence, PLAIN, (int64_t)chance(5), bytes);
        break;
    case 4: /* the letter is the envelope itself: enough to bring it back */
        ls_turn_dead(&turn, flight.fence, PLAIN, bytes, span("g"), span("s"));
        break;
    case 5:
        ls_turn_keep(&turn, flight.fence, bytes);
        /* fall through */
    default:
        ls_turn_ack(&turn, flight.fence, PLAIN);
        ended++;
    }
}

static void push_some(void)
{
    struct ls_push_job jobs[8];
    char ids[8][16], envelopes[8][160];
    size_t count = 1 + chance(8);
    struct ls_pushed result;
    bool with_ids = chance(2);

    for (size_t i = 0; i < count; i++) {
        assert_true(pushed < JOBS);
        snprintf(ids[i], sizeof ids[i], "j%d", pushed);
        snprintf(envelopes[i], sizeof envelopes[i], "%s", envelope_of(pushed));
        pushed++;
        jobs[i] = (struct ls_push_job){.envelope = span(envelopes[i]),
                                       .delay_ms = chance(3) ? 0 : (int64_t)chance(6),
                                       .id = with_ids ? span(ids[i]) : PLAIN};
    }
    for (uint64_t times = with_ids ? 1 + chance(2) : 1; times; times--) {
        ls_push_build(&cmd, &keys, NULL, jobs, count);
        assert_int_equal(ls_push_parse(send_cmd(), &result, NULL), 0);
        assert_int_equal(result.pushed + result.known, count);
    }
}

static void limit(void)
{
    const char *account = chance(2) ? "a" : "b";
    struct ls_limit_change change = LS_LIMIT_KEEP;

    change.account = span(account);
    change.reason = span("test");
    switch (chance(8)) {
    case 0:
        change.rate = chance(3) ? 2000 : 0;
        change.burst = (int)chance(20);
        break;
    case 1:
        change.park_ms = (int64_t)chance(10);
        break;
    case 2:
        ls_turn_park(&turn, change.account, (int64_t)chance(10), span("429"));
        return;
    case 3:
        change.concurrency = (int64_t)chance(4);
        break;
    case 4:
        change.rule = span("2 2 8");
        break;
    case 5:
        ls_turn_report(&turn, change.account, (int)chance(2), 1);
        return;
    case 6:
        ls_turn_learn(&turn, change.account, 500, 3, (int64_t)chance(4));
        return;
    default:
        harness_share = (int)chance(4);
        return;
    }
    ls_limit_set_build(&cmd, &keys, &change);
    send_cmd();
}

static void redrive(void)
{
    char letters[16][400];
    struct ls_dead_move moves[16];
    const struct ls_reply *reply;
    bool oldest = chance(2), discard = chance(4) == 0;
    const struct ls_dead_place place = {.where = oldest ? LS_DEAD_OLDEST : LS_DEAD_HEAD};
    struct ls_dead_moved moved;
    size_t count;
    int taken = 0;

    ls_dead_list_build(&cmd, &keys, oldest ? -16 : 0, oldest ? -1 : 15);
    reply = send_cmd();
    count = reply->count;
    if (!count)
        return;
    for (size_t i = 0; i < count; i++) {
        snprintf(letters[i], sizeof letters[i], "%.*s",
                 LS_SPAN_ARG(ls_reply_span(&reply->items[oldest ? count - 1 - i : i])));
        moves[i] = (struct ls_dead_move){.letter = span(letters[i]),
                                         .stays = oldest && chance(3) == 0,
                                         .group = span("g"),
                                         .envelope = span(letters[i])};
        taken += !moves[i].stays;
    }
    if (discard)
        ls_dead_discard_build(&cmd, &keys, &place, span("{\"by\":\"test\""), moves, count);
    else
        ls_dead_redrive_build(&cmd, &keys, &place, moves, count);
    assert_int_equal(ls_dead_moved_parse(send_cmd(), &moved, NULL), 0);
    assert_false(moved.changed);
    assert_int_equal(moved.moved, taken);
    if (discard)
        ended += taken;
}

static void reconnect(int worker)
{
    char before[32], lost[32];

    snprintf(before, sizeof before, "%s", names[worker]);
    take_turn(NULL, names[worker], (int)chance(5), &got); /* its reply is lost */
    new_identity(worker);
    snprintf(lost, sizeof lost, "%s", names[worker]);
    adopt(names[worker], &got, 1, before);
    if (chance(2)) {
        new_identity(worker);
        adopt(names[worker], &got, 2, before, lost);
    }
    drop_all(worker);
    note_claims(worker);
}

static void die(int worker)
{
    int thief = (worker + 1) % WORKERS;
    char victim[32];
    const char *word;

    snprintf(victim, sizeof victim, "%s", names[worker]);
    drop_all(worker);
    do {
        word = steal(names[thief], victim, true, 4, &got);
        note_claims(thief);
    } while (strcmp(word, "MORE") == 0);
    new_identity(worker);
    join(names[worker]);
}

static void step(void)
{
    int worker = (int)chance(WORKERS);
    struct ls_turn again = {0};

    switch (chance(12)) {
    case 0:
    case 1:
        push_some();
        break;
    case 2:
        limit();
        break;
    case 3:
        redrive();
        break;
    case 4:
        reconnect(worker);
        break;
    case 5:
        die(worker);
        break;
    case 6:
        if (chance(6) == 0)
            usleep(1000);
        break;
    default:
        break;
    }
    while (flying[worker] && chance(6))
        end_one(worker, false);
    if (chance(5) == 0)
        ls_turn_append(&again, &turn);
    take_turn(&turn, names[worker], flying[worker] < 100 ? (int)chance(8) : 0, &got);
    note_claims(worker);
    if (!ls_turn_empty(&again)) { /* the same settlements once more */
        take_turn(&again, names[worker], 0, &got);
        assert_int_equal(got.settled, 0);
    }
    ls_turn_fini(&again);
}

static void model__any_order_of_anything__no_job_lost_and_none_in_two_hands(void **state)
{
    const char *running;

    for (int worker = 0; worker < WORKERS; worker++) {
        new_identity(worker);
        join(names[worker]);
    }
    for (int i = 0; i < 12000; i++) {
        long long there;

        step();
        there = everywhere(names[0], names[1], names[2], NULL);
        if (there + ended != pushed)
            fail_msg("seed %d, step %d: %d pushed, %lld there, %d ended", SEED, i, pushed, there,
                     ended);
    }
    for (int quiet = 0; quiet < 20;) {
        size_t count = 0;

        for (int worker = 0; worker < WORKERS; worker++) {
            while (flying[worker])
                end_one(worker, true);
            ls_turn_report(&turn, span("a"), 1, 0); /* nobody waits for a probe's end */
            ls_turn_report(&turn, span("b"), 1, 0);
            take_turn(&turn, names[worker], 100, &got);
            note_claims(worker);
            count += got.count + (got.has_due ? 1 : 0);
        }
        quiet = count ? 0 : quiet + 1;
        if (count)
            usleep(200);
    }
    while (redis_int("LLEN", keys.dead, NULL))
        redrive();
    for (int i = 0; i < 2000 && everywhere(names[0], names[1], names[2], NULL); i++) {
        take_turn(&turn, names[0], 100, &got);
        note_claims(0);
        while (flying[0])
            end_one(0, true);
        take_turn(&turn, names[0], 0, &got);
        usleep(100);
    }
    assert_int_equal(ended, pushed);
    running = redis_list("KEYS", "lockstep:{default}:running:*", NULL);
    assert_string_equal(running, "");
    assert_int_equal(redis_int("EXISTS", keys.dead_groups, keys.keys, keys.bodies, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(model__any_order_of_anything__no_job_lost_and_none_in_two_hands),
    };
    int failed = cmocka_run_group_tests(tests, harness_open, harness_close);

    ls_turn_fini(&turn);
    return failed;
}
