#include "worker/handlers/guest.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/job/envelope.h"
#include "common/job/json.h"

#define DELAY_MAX_MS (366 * 24 * 3600 * 1000LL)

/* One copy of all texts. Returns where the text stands in it. */
static const char *put(char **at, struct ls_span text)
{
    char *start = *at;

    if (text.length)
        memcpy(start, text.data, text.length);
    start[text.length] = '\0';
    *at = start + text.length + 1;
    return start;
}

void ls_guest_init(struct ls_guest *guest, struct ls_run *run,
                   const struct lockstep_run_calls *calls, void *loop)
{
    struct ls_span queue = ls_span_of(ls_run_queue(run)), data = ls_run_data(run);
    size_t size = ls_run_id(run).length + ls_run_kind(run).length + ls_run_account(run).length +
                  ls_run_key(run).length + queue.length + data.length + 6;
    char *at = ls_xcalloc(1, size);

    guest->texts = at;
    guest->data_room = ls_run_data_room(run);
    guest->view = (struct lockstep_run){.size = sizeof(struct lockstep_run),
                                        .calls = calls,
                                        .loop = loop,
                                        .attempt = ls_run_attempt(run)};
    guest->view.id = put(&at, ls_run_id(run));
    guest->view.kind = put(&at, ls_run_kind(run));
    guest->view.account = put(&at, ls_run_account(run));
    guest->view.key = put(&at, ls_run_key(run));
    guest->view.queue = put(&at, queue);
    if (data.length > 0) {
        guest->view.data = put(&at, data);
        guest->view.data_length = data.length;
    }
}

void ls_guest_fini(struct ls_guest *guest)
{
    free(guest->texts);
    guest->texts = NULL;
}

bool ls_guest_takes_data(const struct ls_guest *guest, const char *json, size_t length)
{
    return json && length <= guest->data_room && ls_json_valid(json, length, LS_ENVELOPE_DEPTH - 1);
}

bool ls_guest_takes_result(const char *json, size_t length)
{
    return json && length <= LOCKSTEP_RUN_RESULT_MAX &&
           ls_json_valid(json, length, LS_ENVELOPE_DEPTH);
}

/* -------- endings -------- */

static void clear(struct ls_guest_ending *ending)
{
    free(ending->data);
    *ending = (struct ls_guest_ending){0};
}

int ls_guest_ending_take(const struct ls_guest *guest, struct ls_guest_ending *out,
                         const struct lockstep_ending *ending)
{
    clear(out);
    out->told = true;
    out->outcome = ending->outcome;
    out->delay_ms = ending->delay_ms < DELAY_MAX_MS ? ending->delay_ms : DELAY_MAX_MS;
    snprintf(out->text, sizeof(out->text), "%s", ending->text ? ending->text : "");
    snprintf(out->reason, sizeof(out->reason), "%s", ending->reason ? ending->reason : "");
    if (ending->outcome == LOCKSTEP_RUN_AGAIN && ending->data) {
        if (!ls_guest_takes_data(guest, ending->data, ending->data_length)) {
            out->outcome = LOCKSTEP_RUN_PERMANENT;
            snprintf(out->text, sizeof(out->text),
                     "the handler's new data is not JSON, or too big (%zu bytes)",
                     ending->data_length);
            return -1;
        }
        out->data = ls_xstrndup(ending->data, ending->data_length);
        out->data_length = ending->data_length;
    }
    return out->outcome == LOCKSTEP_RUN_OK || out->outcome == LOCKSTEP_RUN_AGAIN ? 0 : -1;
}

static enum ls_err_code code_of(int outcome)
{
    switch (outcome) {
    case LOCKSTEP_RUN_PERMANENT:
        return LS_E_PERMANENT;
    case LOCKSTEP_RUN_THROTTLED:
        return LS_E_THROTTLED;
    case LOCKSTEP_RUN_STOPPED:
        return LS_E_CANCELLED;
    default:
        return LS_E_TRANSIENT;
    }
}

static void fail(struct ls_run *run, const struct ls_guest_ending *ending)
{
    struct ls_err err = LS_ERR_INIT;

    ls_fail(&err, code_of(ending->outcome), "%s",
            ending->text[0] ? ending->text : "the handler failed and said nothing");
    snprintf(err.reason, sizeof(err.reason), "%s", ending->reason);
    if (ending->delay_ms > 0)
        err.retry_after_ms = ending->delay_ms;
    ls_run_fail(run, &err);
}

void ls_guest_settle(struct ls_run *run, struct ls_guest_ending *ending)
{
    struct ls_guest_ending last = *ending;

    *ending = (struct ls_guest_ending){0};
    if (last.outcome == LOCKSTEP_RUN_OK)
        ls_run_ok(run);
    else if (last.outcome == LOCKSTEP_RUN_AGAIN)
        ls_run_again(run, last.delay_ms > 0 ? last.delay_ms : 0, last.data, last.data_length);
    else
        fail(run, &last);
    free(last.data);
}
