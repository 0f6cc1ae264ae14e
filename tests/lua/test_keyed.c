/* Keyed jobs: coalescing, one run at a time, the last body always runs, whatever happens in
 * between. */
#include "tests/lua/harness.h"

#include <unistd.h>

static struct got got, more;
static struct ls_turn turn;

static const char *body(const char *key, int version)
{
    char id[32], tail[48];

    snprintf(id, sizeof id, "v%d", version);
    snprintf(tail, sizeof tail, ",\"data\":%d", version);
    return make("acc", id, key, tail);
}

static const char *high(const char *key, int version)
{
    char id[32], tail[64];

    snprintf(id, sizeof id, "v%d", version);
    snprintf(tail, sizeof tail, ",\"data\":%d,\"priority\":\"high\"", version);
    return make("acc", id, key, tail);
}

static const char *state_of(const char *key)
{
    return redis_text("HGET", keys.keys, key, NULL);
}

static bool state_begins(const char *key, const char *word)
{
    return strncmp(state_of(key), word, strlen(word)) == 0;
}

static void settle(const char *worker)
{
    take_turn(&turn, worker, 0, &more);
    assert_int_equal(more.settled, 1);
}

static void assert_closed(const char *worker)
{
    assert_int_equal(redis_int("EXISTS", keys.keys, keys.bodies, NULL), 0);
    assert_int_equal(everywhere(worker, NULL), 0);
}

static void keyed__pushed_three_times__runs_once_with_the_newest_body(void **state)
{
    join("w");
    assert_string_equal(push_keyed("k", body("k", 1), 0), "pushed");
    assert_string_equal(push_keyed("k", body("k", 2), 0), "coalesced");
    assert_string_equal(push_keyed("k", body("k", 3), 0), "coalesced");
    assert_string_equal(redis_list("LRANGE", keys.pending, "0", "-1", NULL), "@k");
    assert_string_equal(redis_text("HGET", keys.bodies, "k", NULL), body("k", 3));
    take_turn(NULL, "w", 10, &got);
    assert_int_equal(got.count, 1);
    assert_true(got.at[0].keyed);
    assert_string_equal(got.at[0].envelope, body("k", 3));
    assert_true(state_begins("k", "running w "));
    assert_int_equal(redis_int("EXISTS", keys.bodies, NULL), 0);
    ls_turn_ack(&turn, got.at[0].fence, span("k"));
    settle("w");
    assert_closed("w");
}

static void keyed__changed_while_running__runs_once_more_after_it(void **state)
{
    join("w");
    push_keyed("k", body("k", 1), 0);
    take_turn(NULL, "w", 10, &got);
    assert_string_equal(push_keyed("k", body("k", 2), 0), "changed");
    assert_string_equal(push_keyed("k", body("k", 3), 0), "changed");
    assert_true(state_begins("k", "changed w "));
    take_turn(NULL, "w", 10, &more);
    assert_int_equal(more.count, 0); /* one run of a key at a time */
    ls_turn_ack(&turn, got.at[0].fence, span("k"));
    ls_turn_ack(&turn, got.at[0].fence, span("k"));
    settle("w");
    take_turn(NULL, "w", 10, &got);
    assert_int_equal(got.count, 1);
    assert_string_equal(got.at[0].envelope, body("k", 3));
    ls_turn_ack(&turn, got.at[0].fence, span("k"));
    settle("w");
    assert_closed("w");
}

static void keyed__retry__keeps_its_backoff_and_takes_the_newer_body(void **state)
{
    join("w");
    push_keyed("k", body("k", 1), 0);
    take_turn(NULL, "w", 1, &got);
    ls_turn_retry(&turn, got.at[0].fence, span("k"), 60, span(body("k", 1)));
    settle("w");
    assert_true(state_begins("k", "retrying "));
    assert_string_equal(redis_list("ZRANGE", keys.delayed, "0", "-1", NULL), "@k");
    assert_string_equal(push_keyed("k", body("k", 2), 0), "coalesced");
    take_turn(NULL, "w", 1, &got);
    assert_int_equal(got.count, 0);
    assert_true(got.has_due && got.next_due_ms > 0);
    claim_until("w", 1, &got);
    assert_string_equal(got.at[0].envelope, body("k", 2));
    ls_turn_ack(&turn, got.at[0].fence, span("k"));
    settle("w");
    assert_closed("w");
}

static void keyed__changed_then_failed__newer_body_waits_for_the_backoff(void **state)
{
    join("w");
    push_keyed("k", body("k", 1), 0);
    take_turn(NULL, "w", 1, &got);
    push_keyed("k", high("k", 2), 0);
    ls_turn_retry(&turn, got.at[0].fence, span("k"), 30, span(body("k", 1)));
    settle("w");
    take_turn(NULL, "w", 1, &got);
    assert_int_equal(got.count, 0);
    claim_until("w", 1, &got);
    assert_string_equal(got.at[0].envelope, high("k", 2));
    ls_turn_ack(&turn, got.at[0].fence, span("k"));
    settle("w");
    assert_closed("w");
}

static void keyed__dead__closes_the_key_or_lets_the_newer_body_run(void **state)
{
    join("w");
    push_keyed("k", body("k", 1), 0);
    take_turn(NULL, "w", 1, &got);
    ls_turn_dead(&turn, got.at[0].fence, span("k"), span("{}"), span("g"), span("s"));
    settle("w");
    assert_int_equal(redis_int("EXISTS", keys.keys, keys.bodies, NULL), 0);
    assert_int_equal(redis_int("LLEN", keys.dead, NULL), 1);
    push_keyed("k", body("k", 2), 0);
    take_turn(NULL, "w", 1, &got);
    push_keyed("k", body("k", 3), 0);
    ls_turn_dead(&turn, got.at[0].fence, span("k"), span("{}"), span("g"), span("s"));
    settle("w");
    take_turn(NULL, "w", 1, &got);
    assert_int_equal(got.count, 1);
    assert_string_equal(got.at[0].envelope, body("k", 3));
}

static void keyed__given_back__waits_at_the_head_with_the_newest_body(void **state)
{
    join("w");
    push_keyed("k", body("k", 1), 0);
    push_keyed("z", body("z", 1), 0);
    take_turn(NULL, "w", 1, &got);
    ls_turn_back(&turn, got.at[0].fence, span("k"), span(body("k", 1)));
    settle("w");
    assert_string_equal(redis_list("LRANGE", keys.pending, "0", "-1", NULL), "@k|@z");
    take_turn(NULL, "w", 1, &got);
    push_keyed("k", body("k", 2), 0);
    ls_turn_back(&turn, got.at[0].fence, span("k"), span(body("k", 1)));
    settle("w");
    take_turn(NULL, "w", 1, &got);
    assert_string_equal(got.at[0].envelope, body("k", 2));
}

static void keyed__checkpoint_while_changed__keeps_both(void **state)
{
    join("w");
    push_keyed("k", body("k", 1), 0);
    take_turn(NULL, "w", 1, &got);
    push_keyed("k", body("k", 2), 0);
    ls_turn_keep(&turn, got.at[0].fence, span(body("k", 100)));
    settle("w");
    adopt("w2", &more, 1, "w");
    assert_string_equal(more.at[0].envelope, body("k", 100));
    assert_true(more.at[0].keyed);
    ls_turn_ack(&turn, got.at[0].fence, span("k"));
    settle("w2");
    take_turn(NULL, "w2", 1, &got);
    assert_string_equal(got.at[0].envelope, body("k", 2));
}

static void keyed__lane__moves_up_and_never_down(void **state)
{
    join("w");
    push_keyed("a", body("a", 1), 0);
    push_keyed("k", body("k", 1), 0);
    assert_string_equal(push_keyed("k", high("k", 2), 0), "coalesced");
    assert_string_equal(redis_list("LRANGE", keys.pending_high, "0", "-1", NULL), "@k");
    assert_string_equal(push_keyed("k", body("k", 3), 0), "coalesced");
    assert_int_equal(redis_int("LLEN", keys.pending_high, NULL), 1);
    claim_until("w", 2, &got); /* the surplus pointer in the normal lane is dropped */
    assert_true(got_find(&got, "\"data\":3") >= 0);
    assert_true(got_find(&got, "\"key\":\"a\"") >= 0);
    take_turn(NULL, "w", 5, &more);
    assert_int_equal(more.count, 0);
    assert_int_equal(everywhere("w", NULL), 2);
}

static void keyed__scheduled__a_push_with_less_delay_moves_it_up(void **state)
{
    join("w");
    assert_string_equal(push_keyed("k", body("k", 1), 60000), "pushed");
    assert_true(state_begins("k", "scheduled "));
    assert_string_equal(push_keyed("k", body("k", 2), 90000), "coalesced");
    take_turn(NULL, "w", 1, &got);
    assert_int_equal(got.count, 0);
    assert_true(got.next_due_ms <= 60000);
    push_keyed("k", body("k", 3), 20);
    take_turn(NULL, "w", 1, &got);
    assert_true(got.next_due_ms <= 20);
    push_keyed("k", body("k", 4), 0);
    take_turn(NULL, "w", 1, &got);
    assert_int_equal(got.count, 1);
    assert_string_equal(got.at[0].envelope, body("k", 4));
    ls_turn_ack(&turn, got.at[0].fence, span("k"));
    settle("w");
    usleep(25000);
    take_turn(NULL, "w", 1, &got); /* the pointer that was left in delayed */
    take_turn(NULL, "w", 1, &got);
    assert_int_equal(got.count, 0);
    assert_closed("w");
}

static void keyed__pointer_lost__the_next_push_after_five_minutes_heals_it(void **state)
{
    char old[64];

    join("w");
    push_keyed("k", body("k", 1), 0);
    redis_text("DEL", keys.pending, NULL);
    push_keyed("k", body("k", 2), 0);
    assert_int_equal(redis_int("LLEN", keys.pending, NULL), 0); /* it may only be waiting */
    snprintf(old, sizeof old, "pending %lld normal", (long long)ls_clock_wall_ms() - 301000);
    redis_int("HSET", keys.keys, "k", old, NULL);
    push_keyed("k", body("k", 3), 0);
    take_turn(NULL, "w", 1, &got);
    assert_int_equal(got.count, 1);
    assert_string_equal(got.at[0].envelope, body("k", 3));
}

static void keyed__retrying_pointer_lost__the_next_push_heals_it(void **state)
{
    join("w");
    push_keyed("k", body("k", 1), 0);
    take_turn(NULL, "w", 1, &got);
    ls_turn_retry(&turn, got.at[0].fence, span("k"), 10, span(body("k", 1)));
    settle("w");
    redis_text("DEL", keys.delayed, NULL);
    push_keyed("k", body("k", 2), 0);
    claim_until("w", 1, &got);
    assert_string_equal(got.at[0].envelope, body("k", 2));
}

static void keyed__running_under_a_worker_nobody_knows__the_next_push_runs(void **state)
{
    join("w");
    redis_int("HSET", keys.keys, "k", "running ghost 1763859600000001", NULL);
    assert_string_equal(push_keyed("k", body("k", 1), 0), "pushed");
    take_turn(NULL, "w", 1, &got);
    assert_int_equal(got.count, 1);
    redis_int("HSET", keys.keys, "z", "changed ghost 1763859600000001 high", NULL);
    assert_string_equal(push_keyed("z", body("z", 1), 0), "pushed");
}

static void keyed__running_under_an_expired_but_unstolen_worker__waits(void **state)
{
    join_for("w", 60000);
    push_keyed("k", body("k", 1), 0);
    take_turn(NULL, "w", 1, &got);
    redis_int("ZADD", keys.workers, "1", "w", NULL); /* its lease is long over */
    assert_string_equal(push_keyed("k", body("k", 2), 0), "changed");
}

static void keyed__surplus_pointers__are_dropped_everywhere(void **state)
{
    join("w");
    push_raw(keys.pending, "@nobody");
    push_raw(keys.pending_high, "@k");
    push_keyed("k", body("k", 1), 0);
    push_raw(keys.pending, "@k");
    redis_int("ZADD", keys.delayed, "1", "@k", NULL);
    redis_int("ZADD", keys.reserved, "1", "@k", NULL);
    take_turn(NULL, "w", 10, &got);
    assert_int_equal(got.count, 1);
    ls_turn_ack(&turn, got.at[0].fence, span("k"));
    settle("w");
    take_turn(NULL, "w", 10, &got);
    take_turn(NULL, "w", 10, &got);
    assert_int_equal(got.count, 0);
    assert_closed("w");
}

static void keyed__pointer_before_its_time__goes_back_to_delayed(void **state)
{
    join("w");
    push_keyed("k", body("k", 1), 60000);
    push_raw(keys.pending, "@k");
    redis_text("DEL", keys.delayed, NULL); /* and even if that was its only one */
    take_turn(NULL, "w", 10, &got);
    assert_int_equal(got.count, 0);
    assert_string_equal(redis_list("ZRANGE", keys.delayed, "0", "-1", NULL), "@k");
}

static void keyed__adopted_and_stolen__its_state_goes_along(void **state)
{
    join("w1");
    join("thief");
    push_keyed("k", body("k", 1), 0);
    push_keyed("z", body("z", 1), 0);
    take_turn(NULL, "w1", 2, &got);
    push_keyed("z", high("z", 2), 0);
    adopt("w2", &more, 1, "w1");
    assert_int_equal(more.count, 2);
    assert_true(more.at[0].keyed && more.at[1].keyed);
    assert_true(state_begins("k", "running w2 "));
    assert_true(state_begins("z", "changed w2 "));
    assert_string_equal(steal("thief", "w2", true, 10, &more), "OK");
    assert_true(more.at[0].keyed && more.at[1].keyed);
    assert_true(state_begins("k", "running thief "));
    assert_true(state_begins("z", "changed thief "));
    assert_string_equal(push_keyed("k", body("k", 2), 0), "changed");
    for (size_t i = 0; i < 2; i++)
        ls_turn_ack(&turn, more.at[i].fence,
                    span(strstr(more.at[i].envelope, "\"k\"") ? "k" : "z"));
    take_turn(&turn, "thief", 10, &got);
    assert_int_equal(got.settled, 2);
    assert_int_equal(got.count, 2);
    assert_true(got_find(&got, body("k", 2)) >= 0);
    assert_true(got_find(&got, high("z", 2)) >= 0);
}

static void keyed__settled_by_a_fence_the_state_does_not_know__leaves_the_state_alone(void **state)
{
    join("w");
    push_keyed("k", body("k", 1), 0);
    take_turn(NULL, "w", 1, &got);
    redis_int("HSET", keys.keys, "k", "running other 5", NULL);
    ls_turn_ack(&turn, got.at[0].fence, span("k"));
    settle("w");
    assert_string_equal(state_of("k"), "running other 5");
}

static void rekey__plain_push_with_a_key__coalesces_with_the_others(void **state)
{
    join("w");
    push_raw(keys.pending, body("k", 1));
    push_raw(keys.pending, body("k", 2));
    take_turn(NULL, "w", 10, &got);
    assert_int_equal(got.count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_false(got.at[i].keyed);
        ls_turn_rekey(&turn, got.at[i].fence, span("k"), span(got.at[i].envelope));
        ls_turn_rekey(&turn, got.at[i].fence, span("k"), span(got.at[i].envelope));
    }
    take_turn(&turn, "w", 10, &got);
    assert_int_equal(got.settled, 2);
    assert_int_equal(got.count, 1);
    assert_true(got.at[0].keyed);
    assert_string_equal(got.at[0].envelope, body("k", 2));
    push_raw(keys.pending, body("k", 3)); /* while it runs */
    take_turn(NULL, "w", 10, &more);
    ls_turn_rekey(&turn, more.at[0].fence, span("k"), span(more.at[0].envelope));
    ls_turn_ack(&turn, got.at[0].fence, span("k"));
    take_turn(&turn, "w", 10, &more);
    assert_int_equal(more.settled, 2);
    assert_int_equal(more.count, 1);
    assert_string_equal(more.at[0].envelope, body("k", 3));
}

static void keyed__many_in_one_call__with_repeats_inside(void **state)
{
    struct ls_push_job jobs[500];
    char names[500][16], envelopes[500][128];
    struct ls_pushed pushed;

    join("w");
    for (int i = 0; i < 500; i++) {
        snprintf(names[i], sizeof names[i], "k%d", i % 400);
        snprintf(envelopes[i], sizeof envelopes[i], "%s", body(names[i], i));
        jobs[i] = (struct ls_push_job){.envelope = span(envelopes[i]), .key = span(names[i])};
    }
    ls_push_keyed_build(&cmd, &keys, NULL, jobs, 500);
    assert_int_equal(ls_push_parse(send_cmd(), &pushed, NULL), 0);
    assert_int_equal(pushed.pushed, 400);
    assert_int_equal(pushed.coalesced, 100);
    take_turn(NULL, "w", 256, &got);
    assert_int_equal(got.count, 256);
    assert_string_equal(got.at[0].envelope, body("k0", 400));
    assert_string_equal(got.at[250].envelope, body("k250", 250));
}

static void keyed__cancelled__closes_the_key(void **state)
{
    const struct ls_span id = LS_SPAN("v1");

    join("w");
    push_keyed("k", body("k", 1), 0);
    ls_cancel_build(&cmd, &keys, &(struct ls_cancel){.ids = &id, .count = 1});
    send_cmd();
    take_turn(NULL, "w", 1, &got);
    assert_int_equal(got.count, 0);
    assert_closed("w");
    assert_string_equal(push_keyed("k", body("k", 2), 0), "pushed");
}

/* ---- the model: random interleavings of everything, against what must hold ------------------- */

#define KEYS 6
#define WORKERS 3
#define FLIGHTS 64

struct flight {
    int64_t fence;
    int key;
    int version;
    bool keyed;
};

static struct {
    uint64_t seed;
    char name[WORKERS][32]; /* present identities */
    int identities;
    struct flight flights[WORKERS][FLIGHTS];
    int flying[WORKERS];
    int pushed[KEYS];  /* newest version of each key */
    int claimed[KEYS]; /* newest version that was claimed to run */
    int buried;
} model;

static uint64_t chance(uint64_t below)
{
    model.seed ^= model.seed << 13;
    model.seed ^= model.seed >> 7;
    model.seed ^= model.seed << 17;
    return model.seed % below;
}

static const char *key_name(int key)
{
    static char names[KEYS][8];

    snprintf(names[key], sizeof names[key], "k%d", key);
    return names[key];
}

static void note_claims(int worker, const struct got *claims)
{
    for (size_t i = 0; i < claims->count; i++) {
        const char *key = strstr(claims->at[i].envelope, "\"key\":\"k");
        const char *data = strstr(claims->at[i].envelope, "\"data\":");
        struct flight flight = {.fence = claims->at[i].fence,
                                .key = key[8] - '0',
                                .version = (int)strtol(data + 7, NULL, 10),
                                .keyed = claims->at[i].keyed};

        if (flight.keyed) {
            for (int w = 0; w < WORKERS; w++) {
                for (int f = 0; f < model.flying[w]; f++) {
                    if (model.flights[w][f].keyed && model.flights[w][f].key == flight.key)
                        fail_msg("seed 0x5eed: two runs of k%d", flight.key);
                }
            }
            if (flight.version > model.claimed[flight.key])
                model.claimed[flight.key] = flight.version;
        }
        assert_true(model.flying[worker] < FLIGHTS);
        model.flights[worker][model.flying[worker]++] = flight;
    }
}

static void new_identity(int worker)
{
    snprintf(model.name[worker], sizeof model.name[worker], "w%d-%d", worker, model.identities++);
}

static void end_one(int worker, int at, bool may_fail)
{
    struct flight flight = model.flights[worker][at];
    const struct ls_span key = span(key_name(flight.key));
    const struct ls_span envelope = span(body(key_name(flight.key), flight.version));

    if (!flight.keyed) {
        ls_turn_rekey(&turn, flight.fence, key, envelope);
    } else {
        switch (may_fail ? chance(6) : 0) {
        case 1:
            ls_turn_retry(&turn, flight.fence, key, (int64_t)chance(4), envelope);
            break;
        case 2:
            ls_turn_back(&turn, flight.fence, key, envelope);
            break;
        case 3:
            ls_turn_dead(&turn, flight.fence, key, span("{}"), span("g"), span("s"));
            model.buried++;
            break;
        case 4:
            ls_turn_again(&turn, flight.fence, key, (int64_t)chance(3), envelope);
            break;
        default:
            ls_turn_ack(&turn, flight.fence, key);
        }
    }
    model.flights[worker][at] = model.flights[worker][--model.flying[worker]];
}

static void step(void)
{
    static struct got claims;
    int worker = (int)chance(WORKERS);
    int key = (int)chance(KEYS);

    switch (chance(14)) {
    case 0:
    case 1:
    case 2:
        model.pushed[key]++;
        push_keyed(key_name(key), body(key_name(key), model.pushed[key]),
                   chance(4) ? 0 : (int64_t)chance(3));
        break;
    case 3: { /* somebody's plain RPUSH; its order among the others is that of its rekeying, so the
               * version it carries counts from then on: push it when nothing newer can be around */
        if (chance(4) == 0)
            push_raw(chance(2) ? keys.pending : keys.pending_low, "@k3"); /* or a surplus pointer */
        break;
    }
    case 4: { /* a claim whose reply is lost: adopt under a new name, sometimes twice */
        char before[32], lost[32];

        snprintf(before, sizeof before, "%s", model.name[worker]);
        take_turn(NULL, model.name[worker], 2, &claims);
        new_identity(worker);
        snprintf(lost, sizeof lost, "%s", model.name[worker]);
        adopt(model.name[worker], &claims, 1, before);
        if (chance(2)) { /* and so is the adoption's */
            new_identity(worker);
            adopt(model.name[worker], &claims, 2, before, lost);
        }
        model.flying[worker] = 0; /* everything it holds is in the answer */
        note_claims(worker, &claims);
        break;
    }
    case 5: { /* it dies; another takes over and gives back or retries */
        int thief = (worker + 1) % WORKERS;
        char victim[32];
        const char *word;

        snprintf(victim, sizeof victim, "%s", model.name[worker]);
        model.flying[worker] = 0;
        do {
            word = steal(model.name[thief], victim, true, 3, &claims);
            note_claims(thief, &claims);
        } while (strcmp(word, "MORE") == 0);
        assert_string_equal(word, "OK");
        new_identity(worker);
        join(model.name[worker]);
        break;
    }
    case 6:
        if (chance(8) == 0)
            usleep(1000);
        break;
    case 7:
    case 8:
    case 9:
    case 10:
        while (model.flying[worker] && chance(3))
            end_one(worker, (int)chance((uint64_t)model.flying[worker]), true);
        /* fall through */
    default:
        if (model.flying[worker] < FLIGHTS / 2) {
            struct ls_turn again = {0};

            if (chance(5) == 0)
                ls_turn_append(&again, &turn); /* the reply is lost, the turn is sent again */
            take_turn(&turn, model.name[worker], (int)chance(4), &claims);
            note_claims(worker, &claims);
            if (!ls_turn_empty(&again))
                take_turn(&again, model.name[worker], 0, &claims);
            ls_turn_fini(&again);
        } else {
            take_turn(&turn, model.name[worker], 0, &claims);
        }
    }
}

static void drain(void)
{
    static struct got claims;
    int quiet = 0;

    while (quiet < 5) {
        size_t count = 0;

        for (int worker = 0; worker < WORKERS; worker++) {
            while (model.flying[worker])
                end_one(worker, 0, false);
            take_turn(&turn, model.name[worker], 20, &claims);
            note_claims(worker, &claims);
            count += claims.count;
            if (claims.has_due)
                count++;
        }
        quiet = count ? 0 : quiet + 1;
        if (quiet == 0)
            usleep(500);
    }
}

static void keyed__any_interleaving__last_body_runs_and_one_run_a_key(void **state)
{
    long long dead;

    model.seed = 0x5eed;
    for (int worker = 0; worker < WORKERS; worker++) {
        new_identity(worker);
        join(model.name[worker]);
    }
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 500; i++)
            step();
        drain();
        for (int key = 0; key < KEYS; key++) {
            if (model.claimed[key] != model.pushed[key])
                fail_msg("seed 0x5eed, round %d: k%d is at %d, ran %d, state %s", round, key,
                         model.pushed[key], model.claimed[key], state_of(key_name(key)));
        }
        assert_int_equal(redis_int("EXISTS", keys.keys, keys.bodies, NULL), 0);
        dead = redis_int("LLEN", keys.dead, NULL);
        assert_int_equal(everywhere(model.name[0], model.name[1], model.name[2], NULL), dead);
        assert_true(dead <= model.buried);
        assert_int_equal(redis_int("ZCARD", keys.workers, NULL), WORKERS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keyed__pushed_three_times__runs_once_with_the_newest_body),
        TEST(keyed__changed_while_running__runs_once_more_after_it),
        TEST(keyed__retry__keeps_its_backoff_and_takes_the_newer_body),
        TEST(keyed__changed_then_failed__newer_body_waits_for_the_backoff),
        TEST(keyed__dead__closes_the_key_or_lets_the_newer_body_run),
        TEST(keyed__given_back__waits_at_the_head_with_the_newest_body),
        TEST(keyed__checkpoint_while_changed__keeps_both),
        TEST(keyed__lane__moves_up_and_never_down),
        TEST(keyed__scheduled__a_push_with_less_delay_moves_it_up),
        TEST(keyed__pointer_lost__the_next_push_after_five_minutes_heals_it),
        TEST(keyed__retrying_pointer_lost__the_next_push_heals_it),
        TEST(keyed__running_under_a_worker_nobody_knows__the_next_push_runs),
        TEST(keyed__running_under_an_expired_but_unstolen_worker__waits),
        TEST(keyed__surplus_pointers__are_dropped_everywhere),
        TEST(keyed__pointer_before_its_time__goes_back_to_delayed),
        TEST(keyed__adopted_and_stolen__its_state_goes_along),
        TEST(keyed__settled_by_a_fence_the_state_does_not_know__leaves_the_state_alone),
        TEST(rekey__plain_push_with_a_key__coalesces_with_the_others),
        TEST(keyed__many_in_one_call__with_repeats_inside),
        TEST(keyed__cancelled__closes_the_key),
        TEST(keyed__any_interleaving__last_body_runs_and_one_run_a_key),
    };
    int failed = cmocka_run_group_tests(tests, harness_open, harness_close);

    ls_turn_fini(&turn);
    return failed;
}
