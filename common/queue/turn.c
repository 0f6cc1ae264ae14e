#include "common/queue/turn.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/queue/queue_internal.h"
#include "common/queue/worker.h"
#include "lua_scripts.h"

#define FULL_BYTES (1024 * 1024)
#define REPLY_HEAD 10 /* values before the claims */

void ls_turn_fini(struct ls_turn *turn)
{
    ls_cmd_fini(&turn->spendings);
    ls_cmd_fini(&turn->acks);
    ls_cmd_fini(&turn->closings);
    ls_cmd_fini(&turn->settles);
    ls_cmd_fini(&turn->counts);
    *turn = (struct ls_turn){0};
}

static void clear(struct ls_cmd *cmd)
{
    ls_buf_clear(&cmd->args);
    cmd->count = 0;
}

void ls_turn_clear(struct ls_turn *turn)
{
    clear(&turn->spendings);
    clear(&turn->acks);
    clear(&turn->closings);
    clear(&turn->settles);
    clear(&turn->counts);
    turn->settle_count = turn->count_count = 0;
}

bool ls_turn_empty(const struct ls_turn *turn)
{
    return turn->acks.count == 0 && turn->settle_count == 0 && turn->count_count == 0;
}

bool ls_turn_full(const struct ls_turn *turn)
{
    return turn->acks.count + turn->settle_count >= LS_TURN_SETTLE_MAX ||
           turn->settles.args.length >= FULL_BYTES;
}

/* Arguments are encoded the same way in every command, so they can be moved as bytes. */
static void append(struct ls_cmd *to, const struct ls_cmd *from)
{
    ls_buf_add(&to->args, from->args.data, from->args.length);
    to->count += from->count;
}

void ls_turn_append(struct ls_turn *turn, const struct ls_turn *from)
{
    append(&turn->spendings, &from->spendings);
    append(&turn->acks, &from->acks);
    append(&turn->closings, &from->closings);
    append(&turn->settles, &from->settles);
    append(&turn->counts, &from->counts);
    turn->settle_count += from->settle_count;
    turn->count_count += from->count_count;
}

/* A settlement's verb, fence and key. */
static struct ls_cmd *begin(struct ls_turn *turn, const char *verb, int64_t fence,
                            struct ls_span key)
{
    ls_cmd_puts(&turn->settles, verb);
    ls_cmd_int(&turn->settles, fence);
    ls_cmd_span(&turn->settles, key);
    turn->settle_count++;
    return &turn->settles;
}

void ls_turn_ack(struct ls_turn *turn, int64_t fence, struct ls_span key)
{
    ls_cmd_int(&turn->acks, fence);
    if (key.length) {
        ls_cmd_int(&turn->closings, fence);
        ls_cmd_span(&turn->closings, key);
    }
}

void ls_turn_retry(struct ls_turn *turn, int64_t fence, struct ls_span key, int64_t delay_ms,
                   struct ls_span envelope)
{
    struct ls_cmd *cmd = begin(turn, "retry", fence, key);

    ls_cmd_int(cmd, delay_ms);
    ls_cmd_span(cmd, envelope);
}

void ls_turn_again(struct ls_turn *turn, int64_t fence, struct ls_span key, int64_t delay_ms,
                   struct ls_span envelope)
{
    struct ls_cmd *cmd = begin(turn, "again", fence, key);

    ls_cmd_int(cmd, delay_ms);
    ls_cmd_span(cmd, envelope);
}

void ls_turn_back(struct ls_turn *turn, int64_t fence, struct ls_span key, struct ls_span envelope)
{
    ls_cmd_span(begin(turn, "back", fence, key), envelope);
}

void ls_turn_drop(struct ls_turn *turn, int64_t fence, struct ls_span key)
{
    begin(turn, "drop", fence, key);
}

void ls_turn_dead(struct ls_turn *turn, int64_t fence, struct ls_span key, struct ls_span letter,
                  struct ls_span group, struct ls_span sample)
{
    struct ls_cmd *cmd = begin(turn, "dead", fence, key);

    ls_cmd_span(cmd, letter);
    ls_cmd_span(cmd, group);
    if (sample.length > 200)
        sample.length = 200;
    ls_cmd_span(cmd, sample);
}

void ls_turn_keep(struct ls_turn *turn, int64_t fence, struct ls_span envelope)
{
    begin(turn, "keep", fence, envelope);
}

void ls_turn_note(struct ls_turn *turn, int64_t fence, struct ls_span text)
{
    begin(turn, "note", fence, text);
}

void ls_turn_spend(struct ls_turn *turn, int64_t fence, struct ls_span account, struct ls_span kind,
                   int requests)
{
    ls_cmd_int(&turn->spendings, fence);
    ls_cmd_span(&turn->spendings, account);
    ls_cmd_span(&turn->spendings, kind);
    ls_cmd_int(&turn->spendings, requests);
}

void ls_turn_rekey(struct ls_turn *turn, int64_t fence, struct ls_span key, struct ls_span envelope)
{
    ls_assert(key.length);
    ls_cmd_span(begin(turn, "rekey", fence, key), envelope);
}

void ls_turn_park(struct ls_turn *turn, struct ls_span account, int64_t delay_ms,
                  struct ls_span reason)
{
    struct ls_cmd *cmd = &turn->settles;

    ls_cmd_puts(cmd, "park");
    ls_cmd_span(cmd, account);
    ls_cmd_int(cmd, delay_ms);
    ls_cmd_span(cmd, reason);
    turn->settle_count++;
}

void ls_turn_learn(struct ls_turn *turn, struct ls_span account, double rate, int burst,
                   int64_t left)
{
    struct ls_cmd *cmd = &turn->settles;
    char text[32] = "";

    ls_cmd_puts(cmd, "learn");
    ls_cmd_span(cmd, account);
    if (rate >= 0)
        snprintf(text, sizeof text, "%.6g", rate);
    ls_cmd_puts(cmd, text);
    snprintf(text, sizeof text, "%d", burst);
    ls_cmd_puts(cmd, burst >= 1 ? text : "");
    snprintf(text, sizeof text, "%lld", (long long)left);
    ls_cmd_puts(cmd, left >= 0 ? text : "");
    turn->settle_count++;
}

void ls_turn_report(struct ls_turn *turn, struct ls_span account, int done, int failed)
{
    struct ls_cmd *cmd = &turn->settles;

    ls_cmd_puts(cmd, "report");
    ls_cmd_span(cmd, account);
    ls_cmd_int(cmd, done);
    ls_cmd_int(cmd, failed);
    turn->settle_count++;
}

void ls_turn_count(struct ls_turn *turn, const char *name, int64_t delta)
{
    /* Twice the bound: a lost turn may be appended to the next one. */
    ls_assert(turn->count_count < 2 * LS_TURN_COUNTS_MAX);
    ls_cmd_puts(&turn->counts, name);
    ls_cmd_int(&turn->counts, delta);
    turn->count_count++;
}

void ls_turn_build(const struct ls_turn *turn, struct ls_cmd *cmd, const struct ls_keys *keys,
                   const struct ls_turn_options *options)
{
    char running[LS_KEY_SIZE];

    ls_assert(options->claim >= 0 && options->claim <= LS_TURN_CLAIM_MAX);
    ls_assert(options->account_count <= LS_TURN_ACCOUNTS_MAX);
    ls_assert(turn->acks.count + turn->settle_count <= 4 * LS_TURN_SETTLE_MAX);
    ls_cmd_script(cmd, &ls_script_worker_turn);
    ls_cmd_puts(cmd, keys->pending_high);
    ls_cmd_puts(cmd, keys->pending);
    ls_cmd_puts(cmd, keys->pending_low);
    ls_cmd_puts(cmd, ls_keys_running(keys, options->worker, running));
    ls_cmd_puts(cmd, keys->workers);
    ls_cmd_puts(cmd, keys->delayed);
    ls_cmd_puts(cmd, keys->reserved);
    ls_cmd_puts(cmd, keys->dead);
    ls_cmd_puts(cmd, keys->dead_groups);
    ls_cmd_puts(cmd, keys->keys);
    ls_cmd_puts(cmd, keys->bodies);
    ls_cmd_puts(cmd, keys->limits);
    ls_cmd_puts(cmd, keys->cancelled);
    ls_cmd_puts(cmd, keys->fence);
    ls_cmd_puts(cmd, keys->wake);
    ls_cmd_puts(cmd, keys->control);
    ls_cmd_puts(cmd, keys->stats);
    ls_cmd_puts(cmd, keys->stats_ring);
    ls_cmd_puts(cmd, keys->held);
    ls_cmd_puts(cmd, keys->ring);
    ls_cmd_puts(cmd, keys->slots);
    ls_cmd_puts(cmd, keys->progress);
    ls_cmd_puts(cmd, options->worker);
    ls_cmd_int(cmd, options->lease_ms ? options->lease_ms : LS_LEASE_MS);
    ls_cmd_int(cmd, options->claim);
    ls_cmd_int(cmd, LS_TURN_PROMOTE_MAX);
    ls_cmd_puts(cmd, options->order ? options->order : "rhnlq");
    ls_cmd_span(cmd, ls_worker_place(options->worker));
    ls_cmd_int(cmd, options->share);
    ls_cmd_int(cmd, options->account_count);
    ls_cmd_int(cmd, turn->spendings.count / 4);
    ls_cmd_int(cmd, turn->acks.count);
    ls_cmd_int(cmd, turn->closings.count / 2);
    ls_cmd_int(cmd, turn->count_count);
    ls_cmd_int(cmd, turn->settle_count);
    for (int i = 0; i < options->account_count; i++) {
        ls_cmd_span(cmd, options->accounts[i].name);
        ls_cmd_int(cmd, options->accounts[i].running);
    }
    append(cmd, &turn->spendings);
    append(cmd, &turn->acks);
    append(cmd, &turn->closings);
    append(cmd, &turn->counts);
    append(cmd, &turn->settles);
}

int ls_turn_parse(const struct ls_reply *reply, struct ls_turn_result *result, struct ls_err *err)
{
    const char *word = ls_queue_word(reply, REPLY_HEAD, "worker_turn", err);
    int64_t due;

    if (!word)
        return -1;
    if (strcmp(word, "FENCED") == 0)
        return ls_fail(err, LS_E_FENCED, "redis no longer knows this worker");
    if (strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "worker_turn", err);
    due = ls_queue_int(reply, 2);
    *result = (struct ls_turn_result){
        .ms = ls_queue_int(reply, 1),
        .next_due_ms = due ? due - ls_queue_int(reply, 1) : -1,
        .has_due = due != 0,
        .settled = ls_queue_int(reply, 3),
        .pending_high = ls_queue_int(reply, 4),
        .pending = ls_queue_int(reply, 5),
        .pending_low = ls_queue_int(reply, 6),
        .blocked = (enum ls_turn_blocked)ls_queue_int(reply, 7),
        .ready = ls_queue_int(reply, 8) != 0,
        .cancel_serial = ls_queue_int(reply, 9),
    };
    ls_queue_claims(reply, REPLY_HEAD, 2, &result->claims);
    return 0;
}

void ls_wake_build(struct ls_cmd *cmd, const struct ls_keys *keys, double seconds)
{
    char text[32];

    snprintf(text, sizeof text, "%.3f", seconds);
    ls_cmd_start(cmd, "BLPOP");
    ls_cmd_puts(cmd, keys->wake);
    ls_cmd_puts(cmd, text);
}
