/* Verify, last part: what differed is looked at again, record by record, and only what still differs is reported. */
#include <string.h>

#include "common/base/mem.h"
#include "common/sync/verify_internal.h"

#define LOOKS 64 /* records looked at again at once */

static void on_settled(uv_timer_t *timer);
static void confirm(void *arg);
static void begin_wave(struct ls_verify *verify);
static void on_read(void *arg, const struct ls_remote_page *page, const struct ls_err *err);
static void look(struct ls_verify *verify, const struct ls_remote_page *page,
                 const struct ls_err *err);
static void on_look(void *arg, const struct ls_explanation *explanation);
static void on_looked(void *arg, const struct ls_reconcile_result *result,
                      const struct ls_err *err);
static void note_unreadable(struct candidate *candidate, const struct ls_err *err);

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

/* ---- waves ---- */

/* The link of a candidate names the object; the others are looked for by their match value. */
static bool is_read_by_id(const struct candidate *candidate)
{
    return candidate->remote_id && (candidate->linked || !candidate->local_id);
}

static size_t most_in_wave(const struct ls_verify *verify)
{
    size_t most = verify->candidate_count - verify->looked;
    size_t page = verify->sync->can->page_max;

    if (most > LOOKS)
        most = LOOKS;
    return most > page ? page : most;
}

/* Requests that the next so many candidates will take: one for all that are read by id, one for each that is looked for. That an
 * object is gone may have to be asked again, one by one at worst. */
static int cost_of(const struct ls_verify *verify, size_t count)
{
    int by_id = 0, gone = 0, singly = 0;

    for (size_t i = verify->looked; i < verify->looked + count; i++) {
        const struct candidate *candidate = &verify->candidates[i];
        by_id += is_read_by_id(candidate);
        singly += !is_read_by_id(candidate);
        gone += is_read_by_id(candidate) && candidate->kind == LS_DIFF_MISSING_REMOTE;
    }
    if (by_id > 1)
        by_id = gone ? 2 + gone : 1;
    return by_id + singly;
}

/* In waves: what one really took is known before the next begins. */
static void confirm(void *arg)
{
    struct ls_verify *verify = arg;

    verify->phase = PHASE_CONFIRM;
    ls_verify_tell(verify, "confirm", (int64_t)(verify->looked - verify->looking),
                   (int64_t)verify->candidate_count);
    if (verify->looking)
        return;
    if (verify->looked == verify->candidate_count)
        ls_verify_finish(verify, NULL);
    else if (ls_purse_ask(&verify->purse, cost_of(verify, most_in_wave(verify)), confirm, verify))
        begin_wave(verify);
}

/* As many as the grants in hand are enough for, but at least one. */
static void begin_wave(struct ls_verify *verify)
{
    size_t most = most_in_wave(verify), count = 1, id_count = 0;
    int left = ls_purse_left(&verify->purse);
    const char *ids[LOOKS];

    while (count < most && cost_of(verify, count + 1) <= left)
        count++;
    verify->wave = verify->looked + count;
    for (size_t i = verify->looked; i < verify->wave; i++)
        if (is_read_by_id(&verify->candidates[i]))
            ids[id_count++] = verify->candidates[i].remote_id;
    if (id_count)
        verify->call = ls_connector_get(verify->sync->connector, verify->sync->mapping, ids,
                                        id_count, on_read, verify);
    else
        look(verify, NULL, NULL);
}

static void on_read(void *arg, const struct ls_remote_page *page, const struct ls_err *err)
{
    struct ls_verify *verify = arg;

    ls_verify_count_call(verify);
    verify->call = NULL;
    look(verify, page, err);
}

static const struct ls_remote *find_item(const struct ls_remote_page *page, const char *id)
{
    for (size_t i = 0; i < page->count; i++)
        if (page->items[i].id && strcmp(page->items[i].id, id) == 0)
            return &page->items[i];
    return NULL;
}

/* Look at those of the wave. page: what was read by id; err: why it was not. */
static void look(struct ls_verify *verify, const struct ls_remote_page *page,
                 const struct ls_err *err)
{
    while (verify->looked < verify->wave) {
        struct candidate *candidate = &verify->candidates[verify->looked++];
        struct ls_brought brought = {.id = candidate->remote_id};
        bool read = is_read_by_id(candidate);
        candidate->verify = verify;
        if (read && err) {
            note_unreadable(candidate, err);
            continue;
        }
        if (read) {
            brought.remote = find_item(page, candidate->remote_id);
            brought.remote_ms = page->remote_ms;
        }
        verify->looking++;
        candidate->look =
            ls_reconcile_begin(&(struct ls_reconcile_request){.sync = verify->sync,
                                                              .uid = candidate->uid,
                                                              .look = on_look,
                                                              .brought = read ? &brought : NULL,
                                                              .requests = &verify->purse.made},
                               on_looked, candidate);
    }
    confirm(verify);
}

/* ---- a look ---- */

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
        note_unreadable(candidate, err);
    }
    confirm(verify);
}

static void note_unreadable(struct candidate *candidate, const struct ls_err *err)
{
    struct ls_difference *difference;

    candidate->kind = LS_DIFF_UNKNOWN;
    candidate->verify->report.unknown++;
    difference = report_difference(candidate);
    difference->cause = "unreadable";
    difference->why = ls_xstrdup(err->text);
}
