/* What handlers ask of their runs, and what they tell that goes with the next turn. */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/job/json.h"
#include "worker/runner/runner_internal.h"

#define NOTE_BYTES 200

void ls_run_checkpoint(struct ls_run *run, const void *data, size_t length)
{
    struct ls_span bytes;

    run->envelope.data = (struct ls_span){data, length};
    bytes = run_written(run);
    ls_envelope_fini(&run->envelope);
    ls_buf_clear(&run->bytes);
    ls_buf_add(&run->bytes, bytes.data, bytes.length);
    ls_assert(ls_envelope_scan(&run->envelope, run->bytes.data, run->bytes.length, NULL) == 0);
    if (!run->keep && !run->noted)
        run->seat->keeps++;
    run->keep = true;
    seat_want(run->seat);
}

/* One line, cut at a character. */
void ls_run_progress(struct ls_run *run, int64_t done, int64_t total, const char *text)
{
    size_t length = text ? ls_utf8_cut(text, strlen(text), NOTE_BYTES) : 0;

    ls_buf_clear(&run->note);
    ls_buf_printf(&run->note, "%lld %lld ", (long long)done, (long long)total);
    for (size_t i = 0; i < length; i++)
        ls_buf_putc(&run->note, (unsigned char)text[i] < 0x20 ? ' ' : text[i]);
    if (!run->keep && !run->noted)
        run->seat->keeps++;
    run->noted = true;
}

void run_keeps(struct seat *seat)
{
    struct ls_run *run;

    if (seat->keeps == 0)
        return;
    for (run = seat->runs; run; run = run->next) {
        if (run->keep)
            ls_turn_keep(seat_turn(seat), run->fence,
                         (struct ls_span){run->bytes.data, run->bytes.length});
        if (run->noted)
            ls_turn_note(seat_turn(seat), run->fence,
                         (struct ls_span){run->note.data, run->note.length});
        run->keep = run->noted = false;
    }
    seat->keeps = 0;
}

struct ls_span ls_run_kind(const struct ls_run *run)
{
    return run->envelope.kind;
}

struct ls_span ls_run_account(const struct ls_run *run)
{
    return run->envelope.account;
}

struct ls_span ls_run_key(const struct ls_run *run)
{
    return run->envelope.key;
}

struct ls_span ls_run_id(const struct ls_run *run)
{
    return run->envelope.id;
}

struct ls_span ls_run_data(const struct ls_run *run)
{
    return run->envelope.data;
}

size_t ls_run_data_room(const struct ls_run *run)
{
    size_t rest = run->bytes.length - run->envelope.data.length + LS_ENVELOPE_GROWTH;

    return rest < LS_ENVELOPE_MAX ? LS_ENVELOPE_MAX - rest : 0;
}

const char *ls_run_queue(const struct ls_run *run)
{
    return run->seat->keys.queue;
}

int ls_run_attempt(const struct ls_run *run)
{
    return run->envelope.attempt + 1;
}

int64_t ls_run_fence(const struct ls_run *run)
{
    return run->fence;
}

const char *ls_run_worker(const struct ls_run *run)
{
    return run->seat->worker;
}

int64_t ls_run_deadline_ms(const struct ls_run *run)
{
    return run->deadline_ms;
}

const struct ls_runner_tools *ls_run_tools(const struct ls_run *run)
{
    return &run->seat->runner->tools;
}

void **ls_run_state(struct ls_run *run)
{
    return &run->state;
}

bool ls_run_may_write(const struct ls_run *run)
{
    const struct seat *seat = run->seat;
    int64_t margin =
        seat->runner->config->lease_ms > 4000 ? 2000 : seat->runner->config->lease_ms / 4;

    return ls_clock_boot_ms() - seat->confirmed_boot_ms < seat->runner->config->lease_ms - margin;
}

bool ls_run_is_cancelled(const struct ls_run *run)
{
    return run->cancelled;
}

bool ls_run_wants_result(const struct ls_run *run)
{
    return run->envelope.result;
}

int ls_run_result(struct ls_run *run, const void *json, size_t length, struct ls_err *err)
{
    if (!run->envelope.result)
        return 0;
    if (length > LS_RESULT_MAX)
        return ls_fail(err, LS_E_TOO_BIG, "the result has %zu bytes, %zu are kept", length,
                       LS_RESULT_MAX);
    if (!ls_json_valid(json, length, LS_ENVELOPE_DEPTH))
        return ls_fail(err, LS_E_INVALID, "the result is not valid JSON");
    ls_buf_clear(&run->result);
    ls_buf_add(&run->result, json, length);
    return 0;
}

void ls_run_spent(struct ls_run *run, int requests)
{
    run->spent = (run->spent < 0 ? 0 : run->spent) + requests;
}

void ls_run_learn(struct ls_run *run, double rate, int burst, int64_t left)
{
    struct seat *seat = run->seat;
    bool scarce = left >= 0 && burst >= 1 && left * 4 < burst;

    if (!run->envelope.account.length || (rate < 0 && burst < 1 && left < 0))
        return;
    if (crowd_may_learn(&seat->crowd, run->envelope.account, ls_clock_mono_ms()) || scarce)
        ls_turn_learn(seat_turn(seat), run->envelope.account, rate, burst, left);
}

void ls_run_count(struct ls_run *run, const char *name, int64_t delta)
{
    struct seat *seat = run->seat;
    int i;

    for (i = 0; i < seat->counter_count; i++)
        if (strcmp(seat->counters[i].name, name) == 0)
            break;
    if (i == COUNTER_NAMES)
        return;
    if (i == seat->counter_count) {
        seat->counter_count++;
        snprintf(seat->counters[i].name, COUNTER_NAME_SIZE, "%s", name);
        seat->counters[i].delta = 0;
    }
    seat->counters[i].delta += delta;
}
