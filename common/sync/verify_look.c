/* Verify, last part: what differed is looked at again, record by record, and only what still differs is reported. */
#include "common/base/mem.h"
#include "common/sync/verify_internal.h"

#define LOOKS 64 /* records looked at again at once */

static void on_settled(uv_timer_t *timer);
static void confirm(struct ls_verify *verify);
static void on_look(void *arg, const struct ls_explanation *explanation);
static void on_looked(void *arg, const struct ls_reconcile_result *result,
                      const struct ls_err *err);

void ls_verify_settle(struct ls_verify *verify)
{
    verify->phase = PHASE_SETTLE;
    if (!verify->candidate_count || verify->request.settle_ms <= 0) {
        confirm(verify);
        return;
    }
    ls_verify_tell(verify, "settle", 0, -1);
    uv_timer_start(verify->timer, on_settled, (uint64_t)verify->request.settle_ms, 0);
}

static void on_settled(uv_timer_t *timer)
{
    confirm(timer->data);
}

static void confirm(struct ls_verify *verify)
{
    verify->phase = PHASE_CONFIRM;
    ls_verify_tell(verify, "confirm", (int64_t)(verify->looked - verify->looking),
                   (int64_t)verify->candidate_count);
    while (verify->looked < verify->candidate_count && verify->looking < LOOKS) {
        struct candidate *candidate = &verify->candidates[verify->looked++];
        verify->looking++;
        candidate->verify = verify;
        candidate->look = ls_reconcile_begin(&(struct ls_reconcile_request){.sync = verify->sync,
                                                                            .uid = candidate->uid,
                                                                            .look = on_look},
                                             on_looked, candidate);
    }
    if (!verify->looking)
        ls_verify_finish(verify, NULL);
}

static struct ls_difference *report_difference(struct candidate *candidate)
{
    struct ls_verify_report *report = &candidate->verify->report;

    if (report->count % 64 == 0)
        report->differences =
            ls_xrealloc(report->differences, (report->count + 64) * sizeof *report->differences);
    report->differences[report->count++] =
        (struct ls_difference){.kind = candidate->kind,
                               .linked = candidate->linked,
                               .uid = ls_xstrdup(candidate->uid),
                               .local_id = ls_xstrdup(candidate->local_id),
                               .remote_id = ls_xstrdup(candidate->remote_id)};
    candidate->difference = report->count;
    return &report->differences[report->count - 1];
}

static enum ls_difference_kind kind_of(const struct ls_explanation *look)
{
    const struct ls_plan *plan = look->plan;
    bool local = plan->local != LS_SIDE_ABSENT, remote = plan->remote != LS_SIDE_ABSENT;

    if (plan->verdict == LS_VERDICT_DUPLICATE)
        return LS_DIFF_DUPLICATE;
    if (plan->verdict == LS_VERDICT_INVALID)
        return LS_DIFF_UNKNOWN;
    if (local && !remote)
        return LS_DIFF_MISSING_REMOTE;
    if (remote && !local)
        return LS_DIFF_MISSING_LOCAL;
    if (!local && !remote)
        return LS_DIFF_STALE;
    return plan->base == LS_BASE_PRESENT ? LS_DIFF_FIELDS : LS_DIFF_STALE;
}

static const char *cause_of(const struct ls_difference *difference,
                            const struct ls_snapshot *snapshot)
{
    if (difference->held)
        return "held";
    if (difference->parked)
        return "parked";
    if (snapshot->op_count || snapshot->error)
        return "failed";
    return "unannounced";
}

static bool is_clean(const struct ls_plan *plan)
{
    return (plan->verdict == LS_VERDICT_MERGE || plan->verdict == LS_VERDICT_NOOP) && !plan->push &&
           !plan->pull && !plan->park;
}

static int count_bits(uint64_t bits)
{
    return __builtin_popcountll(bits);
}

static void on_look(void *arg, const struct ls_explanation *look)
{
    struct candidate *candidate = arg;
    struct ls_verify *verify = candidate->verify;
    const struct ls_snapshot *snapshot = look->snapshot;
    const struct ls_plan *plan = look->plan;
    struct ls_difference *difference;
    struct ls_buf text = {0}, json = {0};
    /* In a sync that is not active marks only pile up: they excuse nothing. */
    bool pending = (snapshot->local_gen || snapshot->remote_gen) && snapshot->writes_allowed;

    if (pending || (is_clean(plan) && snapshot->state != LS_LINK_PARKED)) {
        candidate->kind = LS_DIFF_EXCLUDED;
        if (pending)
            verify->report.excluded++;
        else if (plan->verdict == LS_VERDICT_MERGE)
            verify->report.match++;
        return;
    }
    if (plan->verdict == LS_VERDICT_LINK && !plan->push && !plan->pull && !plan->park) {
        verify->report.would_link++;
        return;
    }
    candidate->kind = kind_of(look);
    ++*ls_verify_counter(&verify->report, candidate->kind);
    difference = report_difference(candidate);
    difference->row = plan->row;
    difference->verdict = plan->verdict;
    difference->held =
        plan->verdict == LS_VERDICT_HOLD_LOCAL || plan->verdict == LS_VERDICT_HOLD_REMOTE;
    difference->parked = snapshot->state == LS_LINK_PARKED || plan->park ||
                         (plan->verdict >= LS_VERDICT_REPORT && !difference->held);
    difference->remote_writes =
        count_bits(plan->push) + (plan->verdict == LS_VERDICT_CREATE_REMOTE);
    difference->local_writes = count_bits(plan->pull) + (plan->verdict == LS_VERDICT_CREATE_LOCAL);
    if (snapshot->state == LS_LINK_PARKED && !plan->park) /* not by itself: it waits for a change */
        difference->remote_writes = difference->local_writes = 0;
    difference->cause = cause_of(difference, snapshot);
    difference->why = ls_xstrdup(snapshot->error);
    if (!difference->local_id)
        difference->local_id = ls_xstrdup(snapshot->local_id);
    if (!difference->remote_id && look->remote)
        difference->remote_id = ls_xstrdup(look->remote->id);
    ls_verify_describe(verify->sync->mapping, snapshot, look->remote, plan, &text, &json);
    difference->text = ls_buf_take(&text);
    difference->fields = ls_buf_take(&json);
}

static void on_looked(void *arg, const struct ls_reconcile_result *result, const struct ls_err *err)
{
    struct candidate *candidate = arg;
    struct ls_verify *verify = candidate->verify;

    candidate->look = NULL;
    verify->looking--;
    if (err && err->code == LS_E_NOT_FOUND) {
        /* Gone, or taken in by another record since the first look. */
        verify->report.excluded++;
    } else if (err) {
        struct ls_difference *difference;
        candidate->kind = LS_DIFF_UNKNOWN;
        verify->report.unknown++;
        difference = report_difference(candidate);
        difference->cause = "unreadable";
        difference->why = ls_xstrdup(err->text);
    }
    confirm(verify);
}
