#include "tests/lua/harness.h"

#include <unistd.h>

struct test_redis *redis;
struct ls_redis_sync *wire;
struct ls_keys keys;
struct ls_cmd cmd;
int harness_share;

static unsigned turns;

int harness_open(void **state)
{
    struct ls_redis_url url = {0};
    struct ls_err err = LS_ERR_INIT;

    redis = test_redis_start(NULL);
    if (ls_redis_url_parse(&url, redis->url, &err) < 0 ||
        !(wire = ls_redis_sync_open(&url, NULL, &err)) ||
        ls_keys_init(&keys, "default", &err) < 0) {
        print_error("%s\n", err.text);
        return -1;
    }
    ls_redis_url_fini(&url);
    return 0;
}

int harness_close(void **state)
{
    ls_cmd_fini(&cmd);
    ls_keys_fini(&keys);
    ls_redis_sync_close(wire);
    test_redis_stop(redis);
    return 0;
}

int harness_empty(void **state)
{
    ls_cmd_start(&cmd, "FLUSHALL");
    send_cmd();
    harness_share = 0;
    return 0;
}

const struct ls_reply *send_cmd(void)
{
    const struct ls_reply *reply;
    struct ls_err err = LS_ERR_INIT;

    if (ls_redis_sync_send(wire, &cmd, &reply, &err) < 0)
        fail_msg("%s", err.text);
    return reply;
}

static const struct ls_reply *words(const char *verb, va_list args)
{
    const char *word;

    ls_cmd_start(&cmd, verb);
    while ((word = va_arg(args, const char *)) != NULL)
        ls_cmd_puts(&cmd, word);
    return send_cmd();
}

long long redis_int(const char *verb, ...)
{
    va_list args;
    const struct ls_reply *reply;

    va_start(args, verb);
    reply = words(verb, args);
    va_end(args);
    return ls_reply_int(reply, -1);
}

static char *ring(void)
{
    static char rings[8][8192];
    static int next;

    return rings[next++ % 8];
}

const char *redis_text(const char *verb, ...)
{
    char *out = ring();
    va_list args;
    const struct ls_reply *reply;

    va_start(args, verb);
    reply = words(verb, args);
    va_end(args);
    if (reply->type == LS_REPLY_INTEGER)
        snprintf(out, 8192, "%lld", (long long)reply->integer);
    else if (reply->type == LS_REPLY_NIL)
        snprintf(out, 8192, "(nil)");
    else
        snprintf(out, 8192, "%.*s", LS_SPAN_ARG(ls_reply_span(reply)));
    return out;
}

const char *redis_list(const char *verb, ...)
{
    char *out = ring();
    va_list args;
    const struct ls_reply *reply;
    size_t used = 0;

    va_start(args, verb);
    reply = words(verb, args);
    va_end(args);
    out[0] = '\0';
    assert_int_equal(reply->type, LS_REPLY_ARRAY);
    for (size_t i = 0; i < reply->count && used < 8000; i++)
        used += (size_t)snprintf(out + used, 8192 - used, "%s%.*s", i ? "|" : "",
                                 LS_SPAN_ARG(ls_reply_span(&reply->items[i])));
    return out;
}

int got_find(const struct got *got, const char *piece)
{
    for (size_t i = 0; i < got->count; i++) {
        if (strstr(got->at[i].envelope, piece))
            return (int)i;
    }
    return -1;
}

static void read_claims(const struct ls_claims *claims, struct got *got)
{
    for (size_t i = 0; i < claims->count; i++) {
        struct ls_claim claim = ls_claims_at(claims, i);

        assert_true(got->count < GOT_MAX);
        got->at[got->count].fence = claim.fence;
        got->at[got->count].was = claim.was;
        got->at[got->count].keyed = claim.keyed;
        snprintf(got->at[got->count].envelope, sizeof got->at[0].envelope, "%.*s",
                 LS_SPAN_ARG(claim.envelope));
        got->count++;
    }
}

void join_for(const char *worker, int64_t lease_ms)
{
    struct ls_err err = LS_ERR_INIT;
    int64_t ms;

    ls_worker_join_build(&cmd, &keys, worker, lease_ms);
    if (ls_worker_join_parse(send_cmd(), &ms, &err) < 0)
        fail_msg("%s", err.text);
}

void join(const char *worker)
{
    join_for(worker, 60000);
}

/* What goes first changes from turn to turn, as a runner has it. */
static const char *const orders[] = {"rhnlq", "hnlrq", "rnhlq", "qrhnl"};

bool try_turn(struct ls_turn *turn, const char *worker, int claim, struct got *got)
{
    static const struct ls_turn nothing = {0};
    const struct ls_turn_options options = {.worker = worker,
                                            .lease_ms = 60000,
                                            .claim = claim,
                                            .order = orders[turns++ % 4],
                                            .share = harness_share};
    struct ls_turn_result result;
    struct ls_err err = LS_ERR_INIT;
    struct got unused;

    if (!got)
        got = &unused;
    got->count = 0;
    ls_turn_build(turn ? turn : &nothing, &cmd, &keys, &options);
    if (turn)
        ls_turn_clear(turn);
    if (ls_turn_parse(send_cmd(), &result, &err) < 0) {
        if (err.code == LS_E_FENCED)
            return false;
        fail_msg("%s", err.text);
    }
    got->settled = result.settled;
    got->next_due_ms = result.next_due_ms;
    got->has_due = result.has_due;
    got->blocked = result.blocked;
    got->ready = result.ready;
    got->cancel_serial = result.cancel_serial;
    got->ms = result.ms;
    got->pending_high = result.pending_high;
    got->pending = result.pending;
    got->pending_low = result.pending_low;
    read_claims(&result.claims, got);
    return true;
}

void take_turn(struct ls_turn *turn, const char *worker, int claim, struct got *got)
{
    if (!try_turn(turn, worker, claim, got))
        fail_msg("worker %s is fenced", worker);
}

void adopt(const char *worker, struct got *got, int olds, ...)
{
    const char *names[LS_ADOPT_MAX];
    struct ls_adopted adopted;
    struct ls_err err = LS_ERR_INIT;
    va_list args;

    va_start(args, olds);
    for (int i = 0; i < olds; i++)
        names[i] = va_arg(args, const char *);
    va_end(args);
    ls_worker_adopt_build(&cmd, &keys, worker, 60000, names, (size_t)olds);
    if (ls_worker_adopt_parse(send_cmd(), &adopted, &err) < 0)
        fail_msg("%s", err.text);
    got->count = 0;
    read_claims(&adopted.claims, got);
}

const char *steal(const char *thief, const char *victim, bool known_dead, int max, struct got *got)
{
    struct ls_stolen stolen;
    struct ls_err err = LS_ERR_INIT;

    got->count = 0;
    ls_worker_steal_build(&cmd, &keys, thief, victim, known_dead, max);
    if (ls_worker_steal_parse(send_cmd(), &stolen, &err) < 0) {
        assert_int_equal(err.code, LS_E_FENCED);
        return "FENCED";
    }
    read_claims(&stolen.claims, got);
    if (stolen.alive) {
        assert_true(stolen.alive_left_ms >= 0);
        return "ALIVE";
    }
    return stolen.more ? "MORE" : "OK";
}

const char *make(const char *account, const char *id, const char *key, const char *tail)
{
    char *out = ring();
    size_t used = 1;

    out[0] = '{';
    if (account)
        used += (size_t)snprintf(out + used, 8192 - used, "\"account\":\"%s\",", account);
    used += (size_t)snprintf(out + used, 8192 - used, "\"id\":\"%s\"", id);
    if (key)
        used += (size_t)snprintf(out + used, 8192 - used, ",\"key\":\"%s\"", key);
    snprintf(out + used, 8192 - used, ",\"kind\":\"t\"%s}", tail ? tail : "");
    return out;
}

void push_raw(const char *lane, const char *bytes)
{
    redis_int("RPUSH", lane, bytes, NULL);
}

struct ls_span span(const char *text)
{
    return ls_span_of(text);
}

int push(const char *envelope, int64_t delay_ms, const char *id)
{
    const struct ls_push_job job = {
        .envelope = ls_span_of(envelope), .delay_ms = delay_ms, .id = ls_span_of(id)};
    struct ls_pushed pushed;
    struct ls_err err = LS_ERR_INIT;

    ls_push_build(&cmd, &keys, NULL, &job, 1);
    if (ls_push_parse(send_cmd(), &pushed, &err) < 0) {
        assert_int_equal(err.code, LS_E_TOO_BIG);
        return -1;
    }
    assert_int_equal(pushed.pushed + pushed.known, 1);
    return (int)pushed.pushed;
}

const char *push_ruled(const struct ls_push_job *job)
{
    struct ls_pushed pushed;
    struct ls_err err = LS_ERR_INIT;

    ls_push_keyed_build(&cmd, &keys, NULL, job, 1);
    if (ls_push_parse(send_cmd(), &pushed, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(
        pushed.pushed + pushed.coalesced + pushed.changed + pushed.kept + pushed.rejected, 1);
    return pushed.pushed      ? "pushed"
           : pushed.coalesced ? "coalesced"
           : pushed.kept      ? "kept"
           : pushed.rejected  ? "rejected"
                              : "changed";
}

const char *push_keyed(const char *key, const char *envelope, int64_t delay_ms)
{
    return push_ruled(&(struct ls_push_job){
        .envelope = ls_span_of(envelope), .delay_ms = delay_ms, .key = ls_span_of(key)});
}

void claim_until(const char *worker, size_t n, struct got *got)
{
    int64_t deadline = ls_clock_mono_ms() + 2000;
    static struct got slice;

    got->count = 0;
    while (got->count < n && ls_clock_mono_ms() < deadline) {
        take_turn(NULL, worker, (int)(n - got->count), &slice);
        for (size_t i = 0; i < slice.count; i++)
            got->at[got->count++] = slice.at[i];
        if (slice.count == 0)
            usleep(500);
    }
    assert_int_equal(got->count, n);
}

long long everywhere(const char *worker, ...)
{
    long long sum =
        redis_int("LLEN", keys.pending_high, NULL) + redis_int("LLEN", keys.pending, NULL) +
        redis_int("LLEN", keys.pending_low, NULL) + redis_int("ZCARD", keys.delayed, NULL) +
        redis_int("ZCARD", keys.reserved, NULL) + redis_int("ZCARD", keys.held, NULL) +
        redis_int("LLEN", keys.dead, NULL);
    va_list args;

    va_start(args, worker);
    for (; worker; worker = va_arg(args, const char *)) {
        char key[LS_KEY_SIZE];

        sum += redis_int("HLEN", ls_keys_running(&keys, worker, key), NULL);
    }
    va_end(args);
    return sum;
}
