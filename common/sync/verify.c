#include "common/sync/verify_internal.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/sync/sent.h"

#define SCAN_SLICE 1000
#define MAX_CANDIDATES 10000

static void cancel_operation(struct ls_operation *operation);
static void let_go(struct ls_verify *verify);
static bool is_wanted(struct ls_verify *verify);
static void scan(struct ls_verify *verify);
static void on_scanned(void *arg, const struct ls_scan_row *rows, size_t count, const char *next,
                       const struct ls_err *err);
static void list(void *arg);
static void on_listed(void *arg, const struct ls_remote_page *page, const struct ls_err *err);
static void on_rows(void *arg, const struct ls_scan_row *rows, size_t count, const char *next,
                    const struct ls_err *err);
static void compare(struct ls_verify *verify, const struct ls_remote *item,
                    const struct ls_scan_row *row);
static void compare_unlinked(struct ls_verify *verify, const struct ls_remote *item,
                             const struct ls_scan_row *row);
static void stamp_equal(struct ls_verify *verify);
static void on_stamped(void *arg, const struct ls_err *err);
static void look_for_missing(struct ls_verify *verify);
static void on_missing(void *arg, const struct ls_scan_row *rows, size_t count, const char *next,
                       const struct ls_err *err);
static void fini_report(struct ls_verify_report *report);
static void free_verify(struct ls_verify *verify);

/* ---- life ---- */

static void free_timer(uv_handle_t *handle)
{
    free(handle);
}

struct ls_verify *ls_verify_begin(const struct ls_verify_request *request, ls_verify_done_cb *done,
                                  void *arg)
{
    struct ls_verify *verify = LS_NEW(struct ls_verify);

    ls_operation_begin(request->sync->engine, &verify->operation, cancel_operation);
    verify->sync = request->sync;
    verify->store = ls_engine_store(request->sync->engine);
    verify->request = *request;
    if (!verify->request.max_candidates)
        verify->request.max_candidates = MAX_CANDIDATES;
    ls_purse_open(&verify->purse, request->grants);
    verify->request.grants = NULL; /* it was the caller's; the purse has a copy */
    verify->total = -1;
    verify->began_us = ls_clock_mono_us();
    verify->done = done;
    verify->arg = arg;
    verify->timer = LS_NEW(uv_timer_t);
    uv_timer_init(ls_engine_loop(request->sync->engine), verify->timer);
    verify->timer->data = verify;
    scan(verify);
    return verify;
}

void ls_verify_cancel(struct ls_verify **verify)
{
    struct ls_verify *cancelled = *verify;

    if (!cancelled)
        return;
    *verify = NULL;
    ls_operation_end(&cancelled->operation);
    cancel_operation(&cancelled->operation);
}

static void cancel_operation(struct ls_operation *operation)
{
    struct ls_verify *verify = (struct ls_verify *)operation;

    verify->done = NULL;
    let_go(verify);
    if (!verify->in_store)
        free_verify(verify);
}

/* Of all that can be taken back, and of what was granted and is not needed. */
static void let_go(struct ls_verify *verify)
{
    ls_verify_count_call(verify);
    ls_remote_cancel(&verify->call);
    uv_timer_stop(verify->timer);
    for (size_t i = 0; i < verify->candidate_count; i++)
        ls_reconcile_cancel(&verify->candidates[i].look);
    ls_purse_close(&verify->purse);
}

void ls_verify_count_call(struct ls_verify *verify)
{
    verify->purse.made += ls_remote_requests(verify->call);
}

static bool is_wanted(struct ls_verify *verify)
{
    verify->in_store--;
    if (verify->done)
        return true;
    if (!verify->in_store)
        free_verify(verify);
    return false;
}

void ls_verify_tell(struct ls_verify *verify, const char *phase, int64_t done, int64_t total)
{
    struct ls_verify_progress progress = {.phase = phase, .done = done, .total = total};

    if (verify->request.progress)
        verify->request.progress(verify->arg, &progress);
}

/* ---- small sets of 64-bit hashes: appended, then sorted once ---- */

static void add_hash(uint64_t **hashes, size_t *count, size_t *room, uint64_t hash)
{
    if (*count == *room) {
        *room = *room ? *room * 2 : 1024;
        *hashes = ls_xrealloc(*hashes, *room * sizeof **hashes);
    }
    (*hashes)[(*count)++] = hash;
}

static int by_hash(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

static void sort_hashes(uint64_t *hashes, size_t count)
{
    if (count)
        qsort(hashes, count, sizeof *hashes, by_hash);
}

static bool has_hash(const uint64_t *hashes, size_t count, uint64_t hash)
{
    return count && bsearch(&hash, hashes, count, sizeof *hashes, by_hash) != NULL;
}

static uint64_t hash_text(const char *text)
{
    return ls_fnv1a(text, strlen(text));
}

static uint64_t hash_values(const struct ls_mapping *mapping, const struct ls_record *record)
{
    char sent[LS_RECORD_HASH_SIZE];

    ls_sent_hash(mapping, record, sent);
    return hash_text(sent);
}

static const char *match_value(const struct ls_mapping *mapping, const struct ls_record *record)
{
    const struct ls_value *value;

    if (mapping->match < 0 || !record || !ls_record_present(record))
        return NULL;
    value = &record->values[mapping->match];
    return value->state == LS_VALUE_SET && value->length ? value->text : NULL;
}

static int by_match(const void *a, const void *b)
{
    const struct loner *left = a, *right = b;

    return (left->match > right->match) - (left->match < right->match);
}

/* ---- candidates ---- */

int64_t *ls_verify_counter(struct ls_verify_report *report, enum ls_difference_kind kind)
{
    switch (kind) {
    case LS_DIFF_MISSING_REMOTE:
        return &report->missing_remote;
    case LS_DIFF_MISSING_LOCAL:
        return &report->missing_local;
    case LS_DIFF_DUPLICATE:
        return &report->duplicates;
    case LS_DIFF_FIELDS:
        return &report->fields;
    case LS_DIFF_STALE:
        return &report->stale;
    case LS_DIFF_EXCLUDED:
        return &report->excluded;
    default:
        return &report->unknown;
    }
}

static void suspect(struct ls_verify *verify, enum ls_difference_kind kind, bool linked,
                    const char *uid, const char *local_id, const char *remote_id)
{
    if (verify->candidate_count == verify->request.max_candidates) {
        verify->report.unlooked++;
        ++*ls_verify_counter(&verify->report, kind);
        return;
    }
    if (verify->candidate_count == verify->candidate_room) {
        verify->candidate_room = verify->candidate_room ? verify->candidate_room * 2 : 64;
        verify->candidates =
            ls_xrealloc(verify->candidates, verify->candidate_room * sizeof *verify->candidates);
    }
    verify->candidates[verify->candidate_count++] = (struct candidate){
        .kind = kind,
        .linked = linked,
        .uid = uid        ? ls_xstrdup(uid)
               : local_id ? ls_xasprintf("l-%s", local_id)
                          : ls_xasprintf("r-%s", remote_id),
        .local_id = ls_xstrdup(local_id),
        .remote_id = ls_xstrdup(remote_id),
    };
}

/* ---- the database ---- */

static bool is_linked(const struct ls_scan_row *row)
{
    return row->uid && row->remote_id && row->state != LS_LINK_TOMB && row->base &&
           ls_record_present(row->base);
}

static bool has_local(const struct ls_scan_row *row)
{
    return row->local && ls_record_present(row->local);
}

static void scan(struct ls_verify *verify)
{
    verify->in_store++;
    ls_store_scan(verify->store, verify->sync->mapping, verify->next, SCAN_SLICE, on_scanned,
                  verify);
}

static void on_scanned(void *arg, const struct ls_scan_row *rows, size_t count, const char *next,
                       const struct ls_err *err)
{
    struct ls_verify *verify = arg;
    const struct ls_mapping *mapping = verify->sync->mapping;

    if (!is_wanted(verify))
        return;
    if (err) {
        ls_verify_finish(verify, err);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const struct ls_scan_row *row = &rows[i];
        const char *match = match_value(mapping, row->local);
        verify->report.local += has_local(row);
        if (is_linked(row)) {
            verify->report.linked++;
            add_hash(&verify->links, &verify->link_count, &verify->link_room,
                     hash_text(row->remote_id));
        } else if (has_local(row)) {
            if (verify->loner_count == verify->loner_room) {
                verify->loner_room = verify->loner_room ? verify->loner_room * 2 : 256;
                verify->loners =
                    ls_xrealloc(verify->loners, verify->loner_room * sizeof *verify->loners);
            }
            verify->loners[verify->loner_count++] =
                (struct loner){.match = match ? hash_text(match) : 0,
                               .values = hash_values(mapping, row->local),
                               .id = ls_xstrdup(row->local_id)};
        }
    }
    ls_verify_tell(verify, "database", verify->report.local, -1);
    free(verify->next);
    verify->next = ls_xstrdup(next);
    if (next) {
        scan(verify);
        return;
    }
    sort_hashes(verify->links, verify->link_count);
    if (verify->loner_count)
        qsort(verify->loners, verify->loner_count, sizeof *verify->loners, by_match);
    verify->phase = PHASE_PLATFORM;
    list(verify);
}

/* ---- the platform ---- */

static int64_t pages_ahead(const struct ls_verify *verify)
{
    int64_t left = verify->total - verify->report.remote;
    int64_t page = (int64_t)verify->sync->can->page_max;

    return verify->total < 0 ? verify->report.pages : (left + page - 1) / page;
}

/* The next page, as soon as it may be asked for. */
static void list(void *arg)
{
    struct ls_verify *verify = arg;
    struct ls_list_query query = {
        .mapping = verify->sync->mapping, .order = LS_LIST_BY_ID, .cursor = verify->next};

    if (!ls_purse_ask(&verify->purse, pages_ahead(verify), list, verify))
        return;
    verify->call = ls_connector_list(verify->sync->connector, &query, on_listed, verify);
}

static void on_listed(void *arg, const struct ls_remote_page *page, const struct ls_err *err)
{
    struct ls_verify *verify = arg;
    const char **ids;
    size_t count = 0;

    ls_verify_count_call(verify);
    verify->call = NULL;
    if (err) {
        ls_verify_finish(verify, err);
        return;
    }
    verify->total = page->total;
    free(verify->next);
    verify->next = ls_xstrdup(page->next);
    verify->last = !page->next;
    verify->report.pages++;
    ls_remote_page_fini(&verify->page);
    verify->page = (struct ls_remote_page){0};
    verify->page.items = ls_xcalloc(page->count + 1, sizeof *verify->page.items);
    ids = ls_xcalloc(page->count + 1, sizeof *ids);
    for (size_t i = 0; i < page->count; i++) {
        if (page->items[i].trashed)
            continue;
        ls_remote_copy(&verify->page.items[count], &page->items[i]);
        ids[count] = verify->page.items[count].id;
        count++;
        add_hash(&verify->seen, &verify->seen_count, &verify->seen_room,
                 hash_text(page->items[i].id));
        if (page->items[i].match)
            add_hash(&verify->matches, &verify->match_count, &verify->match_room,
                     hash_text(page->items[i].match));
    }
    verify->page.count = count;
    verify->report.remote += (int64_t)count;
    ls_verify_tell(verify, "platform", verify->report.remote, page->total);
    verify->in_store++;
    ls_store_scan_remote(verify->store, verify->sync->mapping, ids, count, on_rows, verify);
    free(ids);
}

static void on_rows(void *arg, const struct ls_scan_row *rows, size_t count, const char *next,
                    const struct ls_err *err)
{
    struct ls_verify *verify = arg;

    if (!is_wanted(verify))
        return;
    if (err) {
        ls_verify_finish(verify, err);
        return;
    }
    for (size_t i = 0; i < verify->page.count; i++) {
        const struct ls_remote *item = &verify->page.items[i];
        const struct ls_scan_row *row = NULL;
        for (size_t j = 0; j < count && !row; j++)
            if (rows[j].remote_id && strcmp(rows[j].remote_id, item->id) == 0)
                row = &rows[j];
        if (row && is_linked(row))
            compare(verify, item, row);
        else
            compare_unlinked(verify, item, row);
    }
    stamp_equal(verify);
    if (!verify->last) {
        list(verify);
        return;
    }
    look_for_missing(verify);
}

static bool same_values(const struct ls_mapping *mapping, const struct ls_record *local,
                        const struct ls_record *remote)
{
    for (size_t i = 0; i < mapping->count; i++)
        if (remote->values[i].state != LS_VALUE_MISSING &&
            !ls_value_same(mapping->fields[i].type, &local->values[i], &remote->values[i]))
            return false;
    return true;
}

static void compare(struct ls_verify *verify, const struct ls_remote *item,
                    const struct ls_scan_row *row)
{
    if (row->dirty)
        suspect(verify, LS_DIFF_EXCLUDED, true, row->uid, row->local_id, item->id);
    else if (item->error.code != LS_E_NONE)
        suspect(verify, LS_DIFF_UNKNOWN, true, row->uid, row->local_id, item->id);
    else if (!has_local(row))
        suspect(verify, LS_DIFF_MISSING_LOCAL, true, row->uid, NULL, item->id);
    else if (!same_values(verify->sync->mapping, row->local, &item->record) ||
             row->state == LS_LINK_PARKED)
        suspect(verify, LS_DIFF_FIELDS, true, row->uid, row->local_id, item->id);
    else {
        verify->report.match++;
        if (verify->request.stamp) {
            if (!verify->equal)
                verify->equal = ls_xcalloc(verify->page.count, sizeof *verify->equal);
            verify->equal[verify->equal_count++] = ls_xstrdup(row->uid);
        }
    }
}

static void compare_unlinked(struct ls_verify *verify, const struct ls_remote *item,
                             const struct ls_scan_row *row)
{
    struct loner key = {.match = item->match ? hash_text(item->match) : 0};
    struct loner *found = NULL;

    if (key.match && verify->loner_count)
        found = bsearch(&key, verify->loners, verify->loner_count, sizeof key, by_match);
    if (!found || item->error.code != LS_E_NONE) {
        suspect(verify, row && row->dirty ? LS_DIFF_EXCLUDED : LS_DIFF_MISSING_LOCAL, false,
                row ? row->uid : NULL, NULL, item->id);
        return;
    }
    while (found > verify->loners && found[-1].match == key.match)
        found--;
    if (found + 1 < verify->loners + verify->loner_count && found[1].match == key.match) {
        suspect(verify, LS_DIFF_DUPLICATE, false, row ? row->uid : NULL, NULL, item->id);
        for (; found < verify->loners + verify->loner_count && found->match == key.match; found++)
            found->taken = true;
        return;
    }
    if (!found->taken && found->values == hash_values(verify->sync->mapping, &item->record))
        verify->report.would_link++;
    else
        suspect(verify, found->taken ? LS_DIFF_DUPLICATE : LS_DIFF_STALE, false, NULL, found->id,
                item->id);
    found->taken = true;
}

/* Fire and forget: a stamp that was not made is made by the next verify. */
static void stamp_equal(struct ls_verify *verify)
{
    if (verify->equal_count) {
        verify->in_store++;
        ls_store_verified(verify->store, verify->sync->mapping, (const char *const *)verify->equal,
                          verify->equal_count, on_stamped, verify);
    }
    for (size_t i = 0; i < verify->equal_count; i++)
        free(verify->equal[i]);
    free(verify->equal);
    verify->equal = NULL;
    verify->equal_count = 0;
}

static void on_stamped(void *arg, const struct ls_err *err)
{
    is_wanted(arg);
}

/* ---- what the platform did not list ---- */

static void look_for_missing(struct ls_verify *verify)
{
    bool missing = false;
    size_t duplicates = 0;

    verify->phase = PHASE_MISSING;
    sort_hashes(verify->seen, verify->seen_count);
    sort_hashes(verify->matches, verify->match_count);
    for (size_t i = 0; i < verify->link_count && !missing; i++)
        missing = !has_hash(verify->seen, verify->seen_count, verify->links[i]);
    for (size_t i = 1; i < verify->match_count; i++)
        duplicates += verify->matches[i] == verify->matches[i - 1];
    verify->report.duplicates += (int64_t)duplicates;
    for (size_t i = 0; i < verify->loner_count; i++)
        if (!verify->loners[i].taken)
            suspect(verify, LS_DIFF_MISSING_REMOTE, false, NULL, verify->loners[i].id, NULL);
    if (!missing && verify->report.linked == (int64_t)verify->link_count) {
        ls_verify_settle(verify);
        return;
    }
    free(verify->next);
    verify->next = NULL;
    verify->in_store++;
    ls_store_scan(verify->store, verify->sync->mapping, NULL, SCAN_SLICE, on_missing, verify);
}

static void on_missing(void *arg, const struct ls_scan_row *rows, size_t count, const char *next,
                       const struct ls_err *err)
{
    struct ls_verify *verify = arg;

    if (!is_wanted(verify))
        return;
    if (err) {
        ls_verify_finish(verify, err);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (is_linked(&rows[i]) &&
            !has_hash(verify->seen, verify->seen_count, hash_text(rows[i].remote_id)) &&
            has_hash(verify->links, verify->link_count, hash_text(rows[i].remote_id)))
            suspect(verify,
                    rows[i].dirty         ? LS_DIFF_EXCLUDED
                    : has_local(&rows[i]) ? LS_DIFF_MISSING_REMOTE
                                          : LS_DIFF_STALE,
                    true, rows[i].uid, rows[i].local_id, rows[i].remote_id);
    if (!next) {
        ls_verify_settle(verify);
        return;
    }
    verify->in_store++;
    ls_store_scan(verify->store, verify->sync->mapping, next, SCAN_SLICE, on_missing, verify);
}

/* ---- the report ---- */

static void sum_up(struct ls_verify *verify)
{
    struct ls_verify_report *report = &verify->report;
    int64_t silent = report->excluded + report->unknown;
    int64_t all = report->match + report->fields + report->missing_remote + report->missing_local +
                  report->stale + report->would_link + silent;

    for (size_t i = 0; i < report->count; i++) {
        const struct ls_difference *difference = &report->differences[i];
        report->held += difference->held;
        report->parked += difference->parked;
        if (difference->parked && difference->verdict != LS_VERDICT_MERGE &&
            difference->verdict != LS_VERDICT_LINK)
            continue;
        report->creates_remote += difference->verdict == LS_VERDICT_CREATE_REMOTE;
        report->creates_local += difference->verdict == LS_VERDICT_CREATE_LOCAL;
        report->writes_remote += difference->remote_writes > 0;
        report->writes_local += difference->local_writes > 0;
    }
    report->coverage = all ? 1.0 - (double)silent / (double)all : 1.0;
    report->requests = verify->purse.made;
    report->elapsed_ms = (ls_clock_mono_us() - verify->began_us) / 1000;
}

void ls_verify_finish(struct ls_verify *verify, const struct ls_err *err)
{
    ls_verify_done_cb *done = verify->done;
    void *arg = verify->arg;
    struct ls_verify_report report;
    struct ls_err copy = err ? *err : (struct ls_err)LS_ERR_INIT;

    let_go(verify);
    sum_up(verify);
    report = verify->report;
    verify->report = (struct ls_verify_report){0};
    ls_operation_end(&verify->operation);
    verify->done = NULL;
    if (!verify->in_store)
        free_verify(verify); /* else the callback that is out does */
    done(arg, err ? NULL : &report, err ? &copy : NULL);
    fini_report(&report);
}

static void fini_report(struct ls_verify_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        free(report->differences[i].uid);
        free(report->differences[i].local_id);
        free(report->differences[i].remote_id);
        free(report->differences[i].fields);
        free(report->differences[i].text);
        free(report->differences[i].why);
    }
    free(report->differences);
}

static void free_verify(struct ls_verify *verify)
{
    fini_report(&verify->report);
    ls_remote_page_fini(&verify->page);
    free(verify->next);
    free(verify->links);
    free(verify->seen);
    free(verify->matches);
    for (size_t i = 0; i < verify->loner_count; i++)
        free(verify->loners[i].id);
    free(verify->loners);
    for (size_t i = 0; i < verify->candidate_count; i++) {
        free(verify->candidates[i].uid);
        free(verify->candidates[i].local_id);
        free(verify->candidates[i].remote_id);
    }
    free(verify->candidates);
    for (size_t i = 0; i < verify->equal_count; i++)
        free(verify->equal[i]);
    free(verify->equal);
    uv_close((uv_handle_t *)verify->timer, free_timer);
    free(verify);
}
