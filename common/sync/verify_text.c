/* A report and its differences for people and programs. */
#include <string.h>

#include "common/sync/verify.h"

int ls_verify_exit(const struct ls_verify_report *report, double least_coverage)
{
    int64_t parked = report->parked + report->held;
    bool differs = report->duplicates > 0 || report->unlooked > 0;

    for (size_t i = 0; i < report->count; i++)
        differs |= !report->differences[i].parked && !report->differences[i].held &&
                   report->differences[i].kind != LS_DIFF_UNKNOWN;
    return (differs ? 2 : 0) | (report->coverage < least_coverage ? 4 : 0) | (parked ? 16 : 0);
}

const char *ls_difference_name(enum ls_difference_kind kind)
{
    static const char *const names[] = {
        [LS_DIFF_MISSING_REMOTE] = "missing_remote",
        [LS_DIFF_MISSING_LOCAL] = "missing_local",
        [LS_DIFF_DUPLICATE] = "duplicate",
        [LS_DIFF_FIELDS] = "fields",
        [LS_DIFF_STALE] = "unlinked",
        [LS_DIFF_EXCLUDED] = "excluded",
        [LS_DIFF_UNKNOWN] = "unknown",
    };

    return names[kind];
}

/* ---- a record in words ---- */

static void add_shown(struct ls_buf *out, const struct ls_value *value)
{
    if (!value || value->state == LS_VALUE_MISSING)
        ls_buf_puts(out, "-");
    else if (value->state == LS_VALUE_NULL)
        ls_buf_puts(out, "null");
    else if (value->length > 40)
        ls_buf_printf(out, "'%.37s...'", value->text);
    else
        ls_buf_printf(out, "'%s'", value->text);
}

static void add_json(struct ls_buf *out, const char *key, const struct ls_value *value)
{
    ls_buf_printf(out, ",\"%s\":", key);
    if (!value || value->state != LS_VALUE_SET)
        ls_buf_puts(out, "null");
    else
        ls_buf_json_string(out, value->text, value->length);
}

static const struct ls_value *value_at(const struct ls_record *record, size_t field)
{
    return record && ls_record_present(record) ? &record->values[field] : NULL;
}

void ls_verify_describe(const struct ls_mapping *mapping, const struct ls_snapshot *snapshot,
                        const struct ls_remote *remote, const struct ls_plan *plan,
                        struct ls_buf *text, struct ls_buf *json)
{
    bool both = ls_record_present(&snapshot->local) && remote && remote->error.code == LS_E_NONE;
    bool first = true;

    if (json)
        ls_buf_putc(json, '[');
    for (size_t i = 0; both && i < mapping->count; i++) {
        const struct ls_value *base = value_at(&snapshot->base, i);
        const struct ls_value *local = value_at(&snapshot->local, i);
        const struct ls_value *other = value_at(&remote->record, i);
        if (!other || other->state == LS_VALUE_MISSING ||
            (ls_value_same(mapping->fields[i].type, local, other) && !(plan->park >> i & 1)))
            continue;
        ls_buf_printf(text, "%s%s: base ", first ? "" : "; ", mapping->fields[i].name);
        add_shown(text, base);
        ls_buf_puts(text, ", local ");
        add_shown(text, local);
        ls_buf_puts(text, ", remote ");
        add_shown(text, other);
        ls_buf_printf(text, " -> %s", ls_act_name(plan->acts[i]));
        if (json) {
            ls_buf_puts(json, first ? "{\"field\":" : ",{\"field\":");
            ls_buf_json_string(json, mapping->fields[i].name, strlen(mapping->fields[i].name));
            add_json(json, "base", base);
            add_json(json, "local", local);
            add_json(json, "remote", other);
            ls_buf_printf(json, ",\"action\":\"%s\"}", ls_act_name(plan->acts[i]));
        }
        first = false;
    }
    if (json)
        ls_buf_putc(json, ']');
    if (first)
        ls_buf_puts(text, ls_decide_row_text(plan->row));
}
