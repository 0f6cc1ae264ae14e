/* Reconcile, last part: what is agreed on now, in one transaction with everything that led there.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/sync/reconcile_internal.h"

static bool is_parked_by_return(struct ls_reconcile *run);
static void log_conflicts(struct ls_reconcile *run, uint64_t conflicts);
static void commit(struct ls_reconcile *run, struct ls_commit *out);
static void on_committed(void *arg, const struct ls_commit_result *result,
                         const struct ls_err *err);

/* "Product" */
static const char *shown_entity(const struct ls_reconcile *run, char out[64])
{
    snprintf(out, 64, "%s", run->sync->mapping->entity);
    out[0] = (char)toupper((unsigned char)out[0]);
    return out;
}

/* ---- 11: one commit ---- */

/* The remote value of a field as it is now, as far as we know. */
static const struct ls_value *remote_now(const struct ls_reconcile *run, size_t field)
{
    static const struct ls_value missing;
    const struct ls_record *returned = &run->returned.record;

    if (run->wrote && ls_record_present(returned) &&
        returned->values[field].state != LS_VALUE_MISSING)
        return &returned->values[field];
    if (run->has_remote && ls_record_present(&run->remote.record))
        return &run->remote.record.values[field];
    return &missing;
}

/* The local value after the commit. */
static const struct ls_value *local_then(const struct ls_reconcile *run, size_t field)
{
    static const struct ls_value missing;

    if (ls_record_present(&run->local_new) &&
        run->local_new.values[field].state != LS_VALUE_MISSING)
        return &run->local_new.values[field];
    return ls_record_present(&run->snapshot->local) ? &run->snapshot->local.values[field]
                                                    : &missing;
}

/* Does the platform still have the value from before, though it accepted another? */
static bool is_ignored(const struct ls_reconcile *run, size_t field)
{
    enum ls_type type = run->sync->mapping->fields[field].type;
    const struct ls_value *sent = &run->outgoing.values[field], *now = remote_now(run, field);

    return sent->state != LS_VALUE_MISSING && !ls_value_same(type, sent, now) &&
           ls_value_same(type, now, &run->remote.record.values[field]);
}

/* Where the platform made another value of what we sent, a field that nobody owns alone takes it
 * over here too. */
static void take_over_normalised(struct ls_reconcile *run)
{
    const struct ls_mapping *mapping = run->sync->mapping;

    if (!run->wrote)
        return;
    ls_reconcile_fold(run, &run->returned.record);
    if (!ls_record_present(&run->local_new))
        ls_record_init(&run->local_new, mapping);
    for (size_t i = 0; i < mapping->count; i++) {
        const struct ls_value *sent = &run->outgoing.values[i];
        const struct ls_value *now = remote_now(run, i);
        bool created = run->op.kind == LS_OP_CREATE;
        if (now->state == LS_VALUE_MISSING || mapping->fields[i].owner == LS_OWNER_LOCAL ||
            run->sync->mapping->policy == LS_POLICY_LOCAL)
            continue;
        if (!created && (sent->state == LS_VALUE_MISSING || is_ignored(run, i)))
            continue;
        if (!ls_value_equal(&run->snapshot->local.values[i], now))
            ls_value_copy(&run->local_new.values[i], now);
    }
}

static void make_base(struct ls_reconcile *run)
{
    const struct ls_mapping *mapping = run->sync->mapping;
    const struct ls_record *old = &run->snapshot->base;
    bool agreed_before = ls_record_present(old) && run->snapshot->state != LS_LINK_TOMB;

    ls_record_fini(&run->base);
    ls_record_init(&run->base, mapping);
    for (size_t i = 0; i < mapping->count; i++) {
        const struct ls_value *now = remote_now(run, i);
        bool sent = run->wrote && run->outgoing.values[i].state != LS_VALUE_MISSING;
        bool equal = now->state != LS_VALUE_MISSING && ls_value_equal(now, local_then(run, i));
        if (equal || (sent && now->state != LS_VALUE_MISSING))
            ls_value_copy(&run->base.values[i], now);
        else if (agreed_before)
            ls_value_copy(&run->base.values[i], &old->values[i]);
    }
}

static bool same_record(const struct ls_record *a, const struct ls_record *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!ls_value_equal(&a->values[i], &b->values[i]))
            return false;
    return true;
}

static size_t list_audits(const struct ls_reconcile *run, struct ls_audit *audits)
{
    static const struct ls_value missing;
    const struct ls_mapping *mapping = run->sync->mapping;
    size_t count = 0;

    for (size_t i = 0; i < mapping->count; i++) {
        bool had_remote = run->has_remote && ls_record_present(&run->remote.record);
        bool had_local = ls_record_present(&run->snapshot->local);
        if (run->wrote && run->outgoing.values[i].state != LS_VALUE_MISSING)
            audits[count++] = (struct ls_audit){
                i, LS_AUDIT_TO_REMOTE, had_remote ? &run->remote.record.values[i] : &missing,
                remote_now(run, i)};
        if (ls_record_present(&run->local_new) &&
            run->local_new.values[i].state != LS_VALUE_MISSING)
            audits[count++] = (struct ls_audit){
                i, LS_AUDIT_TO_LOCAL, had_local ? &run->snapshot->local.values[i] : &missing,
                &run->local_new.values[i]};
    }
    return count;
}

/* Open conflicts: those of the plan; one that took the remote's value stays listed until somebody
 * edits the field again; one of a field that the remote does not speak of now is left as it was. */
static uint64_t open_conflicts(const struct ls_reconcile *run)
{
    uint64_t conflicts = run->plan.park;

    for (size_t i = 0; i < run->sync->mapping->count; i++) {
        uint64_t bit = (uint64_t)1 << i;
        bool silent = remote_now(run, i)->state == LS_VALUE_MISSING;
        bool listed = run->sync->mapping->policy == LS_POLICY_VERSION &&
                      !((run->plan.push | run->plan.pull) & bit);
        if (run->snapshot->parked_fields & bit && (silent || listed))
            conflicts |= bit;
    }
    return conflicts;
}

static bool has_values(const struct ls_record *record)
{
    for (size_t i = 0; i < record->count; i++)
        if (record->values[i].state != LS_VALUE_MISSING)
            return true;
    return false;
}

void ls_reconcile_commit(struct ls_reconcile *run)
{
    const struct ls_snapshot *snapshot = run->snapshot;
    struct ls_audit audits[2 * LS_FIELDS_MAX];
    struct ls_commit out = {.state = LS_LINK_LINKED};
    bool both;

    take_over_normalised(run);
    both = (run->has_remote || run->wrote) &&
           (ls_record_present(&snapshot->local) || has_values(&run->local_new));
    if (both) {
        make_base(run);
        out.base = snapshot->state != LS_LINK_TOMB && same_record(&run->base, &snapshot->base)
                       ? NULL
                       : &run->base;
        out.remote_id = run->returned.id ? run->returned.id : run->remote.id;
        out.remote_version = run->returned.version ? run->returned.version : run->remote.version;
        if (snapshot->remote_id && strcmp(snapshot->remote_id, out.remote_id) == 0)
            out.remote_id = NULL;
        out.conflict_fields = open_conflicts(run);
    } else {
        out.state = snapshot->state;
    }
    if (run->plan.verdict == LS_VERDICT_TOMBSTONE) {
        out.state = LS_LINK_TOMB;
        out.deleted_version = snapshot->remote_version ? snapshot->remote_version : "";
    }
    if (has_values(&run->local_new)) {
        out.local_old = &snapshot->local;
        out.local_new = &run->local_new;
        run->result.local_writes = 1;
    }
    out.op = run->wrote ? &run->op : NULL;
    out.audits = audits;
    out.audit_count = list_audits(run, audits);
    out.verified = out.synced = both && !out.conflict_fields;
    run->result.outcome = run->wrote || out.base || out.local_new || out.remote_id ||
                                  run->plan.verdict == LS_VERDICT_TOMBSTONE
                              ? LS_OUTCOME_SYNCED
                              : LS_OUTCOME_NOOP;
    if (is_parked_by_return(run) || run->error[0]) {
        out.state = LS_LINK_PARKED;
        out.verified = out.synced = false;
        run->result.outcome = LS_OUTCOME_PARKED;
    }
    if (out.conflict_fields)
        log_conflicts(run, out.conflict_fields);
    if (out.conflict_fields && run->result.outcome == LS_OUTCOME_NOOP)
        run->result.outcome = LS_OUTCOME_PARKED;
    out.error = run->error[0] ? run->error : NULL;
    commit(run, &out);
}

/* An answer of 200 that kept the old value of a field: the mapping and the platform disagree, and
 * trying again is no remedy. */
static bool is_parked_by_return(struct ls_reconcile *run)
{
    const struct ls_mapping *mapping = run->sync->mapping;

    if (!run->wrote || run->op.kind != LS_OP_UPDATE)
        return false;
    for (size_t i = 0; i < mapping->count; i++) {
        if (!is_ignored(run, i))
            continue;
        snprintf(run->error, sizeof run->error,
                 "mapping error: the platform accepts but ignores '%s' ('%s')",
                 mapping->fields[i].remote, mapping->fields[i].name);
        ls_reconcile_log(run, LS_LOG_ERROR, "sync.ignored", run->error);
        return true;
    }
    return false;
}

static void log_conflicts(struct ls_reconcile *run, uint64_t conflicts)
{
    const struct ls_mapping *mapping = run->sync->mapping;
    uint64_t opened = conflicts & ~run->snapshot->parked_fields;
    char names[256] = "", entity[64], text[512];

    for (size_t i = 0; i < mapping->count; i++) {
        size_t used = strlen(names);
        if (conflicts >> i & 1)
            snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                     mapping->fields[i].name);
        run->result.conflicts += (int)(opened >> i & 1);
    }
    if (!run->error[0])
        snprintf(run->error, sizeof run->error, "conflict: %s changed in both systems", names);
    if (!opened)
        return;
    snprintf(text, sizeof text, "conflict detected: %s %s updated in both systems (%s)",
             shown_entity(run, entity), ls_reconcile_shown_id(run), names);
    ls_reconcile_log(run, LS_LOG_WARN, "sync.conflict", text);
}

void ls_reconcile_park(struct ls_reconcile *run, const char *format, ...)
{
    struct ls_commit out = ls_reconcile_unchanged(run, run->wrote ? &run->op : NULL);
    bool report = run->plan.verdict == LS_VERDICT_REPORT;
    va_list args;

    va_start(args, format);
    vsnprintf(run->error, sizeof run->error, format, args);
    va_end(args);
    out.state = report && run->snapshot->state == LS_LINK_NEW ? LS_LINK_NEW : LS_LINK_PARKED;
    out.error = run->error;
    run->result.outcome = LS_OUTCOME_PARKED;
    ls_reconcile_log(run, LS_LOG_WARN, "sync.parked", run->error);
    commit(run, &out);
}

static void commit(struct ls_reconcile *run, struct ls_commit *out)
{
    run->step = STEP_COMMIT;
    out->fence = run->fence;
    out->row = run->plan.row;
    out->local_gen = run->snapshot->local_gen;
    out->remote_gen = run->snapshot->remote_gen;
    out->conflict_remote = run->wrote && ls_record_present(&run->returned.record)
                               ? &run->returned.record
                           : run->has_remote ? &run->remote.record
                                             : NULL;
    run->in_store = true;
    ls_store_commit(run->store, run->sync->mapping, run->uid, out, on_committed, run);
}

static void on_committed(void *arg, const struct ls_commit_result *result, const struct ls_err *err)
{
    struct ls_reconcile *run = arg;

    if (!ls_reconcile_is_wanted(run))
        return;
    if (err && err->code == LS_E_CONFLICT)
        ls_reconcile_start_over(run, err);
    else if (err && err->code == LS_E_EXISTS && run->result.outcome != LS_OUTCOME_PARKED)
        ls_reconcile_park(run, "duplicate: %s", err->text);
    else if (err && (err->code == LS_E_INVALID || err->code == LS_E_UNSUPPORTED) &&
             run->result.outcome != LS_OUTCOME_PARKED)
        ls_reconcile_park(run, "%s", err->text); /* the database refuses the row */
    else
        ls_reconcile_finish(run, err);
}
