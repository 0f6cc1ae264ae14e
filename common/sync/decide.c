#include "common/sync/decide.h"

#include <string.h>

#include "common/base/mem.h"

#define BIT(value) (1u << (value))
#define ANY 0xffu
#define THERE (BIT(LS_SIDE_EQUAL) | BIT(LS_SIDE_CHANGED) | BIT(LS_SIDE_PRESENT))

/* A row of the table: which states it covers (sets), and the verdict by policy. */
struct rule {
    int row;
    unsigned base, local, remote, relation;
    enum ls_verdict verdicts[6]; /* by enum ls_policy */
};

#define EACH(two, lww, version, local, remote, manual)                                         \
    {                                                                                          \
        [LS_POLICY_FIELDS] = LS_VERDICT_##two, [LS_POLICY_LAST_WRITE_WINS] = LS_VERDICT_##lww, \
        [LS_POLICY_VERSION] = LS_VERDICT_##version, [LS_POLICY_LOCAL] = LS_VERDICT_##local,    \
        [LS_POLICY_REMOTE] = LS_VERDICT_##remote, [LS_POLICY_MANUAL] = LS_VERDICT_##manual,    \
    }
#define ALL(verdict) EACH(verdict, verdict, verdict, verdict, verdict, verdict)

#define NO_BASE (BIT(LS_BASE_NONE) | BIT(LS_BASE_LOST))
#define BASE BIT(LS_BASE_PRESENT)
#define TOMB BIT(LS_BASE_TOMB)
#define ABSENT BIT(LS_SIDE_ABSENT)
#define EQUAL BIT(LS_SIDE_EQUAL)
#define CHANGED BIT(LS_SIDE_CHANGED)
#define BROKEN BIT(LS_SIDE_INVALID)
#define VALID (ABSENT | THERE)
#define SAME BIT(LS_RELATION_SAME)
#define DIFFER (BIT(LS_RELATION_OVERLAP) | BIT(LS_RELATION_DISJOINT))
#define MANY BIT(LS_RELATION_MANY)
#define ONE (ANY & ~MANY)

/* clang-format off */
static const struct rule rules[] = {
    /*      base     local    remote   relation                     two            lww            version        local          remote         manual */
    { 1, NO_BASE, ABSENT,  ABSENT,  ANY,                       ALL(NOOP)},
    { 2, NO_BASE, THERE,   ABSENT,  ONE,                       EACH(CREATE_REMOTE, CREATE_REMOTE, CREATE_REMOTE, CREATE_REMOTE, REPORT,        CREATE_REMOTE)},
    { 3, NO_BASE, ABSENT,  THERE,   ONE,                       EACH(CREATE_LOCAL,  CREATE_LOCAL,  CREATE_LOCAL,  REPORT,        CREATE_LOCAL,  CREATE_LOCAL)},
    { 4, NO_BASE, THERE,   THERE,   SAME,                      ALL(LINK)},
    { 5, NO_BASE, THERE,   THERE,   DIFFER,                    EACH(LINK,          PARK,          LINK,          LINK,          LINK,          PARK)},
    { 6, NO_BASE, THERE,   VALID,   MANY,                      ALL(DUPLICATE)},
    { 6, NO_BASE, ABSENT,  THERE,   MANY,                      ALL(DUPLICATE)},
    { 7, BASE,    EQUAL,   EQUAL,   ANY,                       ALL(MERGE)},
    { 8, BASE,    EQUAL,   CHANGED, ANY,                       ALL(MERGE)},
    { 9, BASE,    CHANGED, EQUAL,   ANY,                       ALL(MERGE)},
    {10, BASE,    CHANGED, CHANGED, SAME,                      ALL(MERGE)},
    {11, BASE,    CHANGED, CHANGED, BIT(LS_RELATION_DISJOINT), ALL(MERGE)},
    {12, BASE,    CHANGED, CHANGED, BIT(LS_RELATION_OVERLAP),  ALL(MERGE)},
    {13, BASE,    ABSENT,  EQUAL,   ANY,                       EACH(HOLD_REMOTE,   HOLD_REMOTE,   HOLD_REMOTE,   HOLD_REMOTE,   CREATE_LOCAL,  PARK)},
    {14, BASE,    EQUAL,   ABSENT,  ANY,                       EACH(HOLD_LOCAL,    HOLD_LOCAL,    HOLD_LOCAL,    CREATE_REMOTE, HOLD_LOCAL,    PARK)},
    {15, BASE,    ABSENT,  CHANGED, ANY,                       EACH(CREATE_LOCAL,  CREATE_LOCAL,  CREATE_LOCAL,  HOLD_REMOTE,   CREATE_LOCAL,  PARK)},
    {16, BASE,    CHANGED, ABSENT,  ANY,                       EACH(CREATE_REMOTE, CREATE_REMOTE, CREATE_REMOTE, CREATE_REMOTE, HOLD_LOCAL,    PARK)},
    {17, BASE,    ABSENT,  ABSENT,  ANY,                       ALL(TOMBSTONE)},
    {18, TOMB,    ABSENT,  ABSENT,  ANY,                       ALL(NOOP)},
    {19, TOMB,    ABSENT,  THERE,   ANY,                       EACH(CREATE_LOCAL,  CREATE_LOCAL,  CREATE_LOCAL,  HOLD_REMOTE,   CREATE_LOCAL,  PARK)},
    {20, TOMB,    THERE,   ABSENT,  ANY,                       EACH(CREATE_REMOTE, CREATE_REMOTE, CREATE_REMOTE, CREATE_REMOTE, REPORT,        CREATE_REMOTE)},
    /* 21, a tombstone with both sides there: rows 4 to 6. 22, a lost base: rows 1 to 6; see choose_row. */
    {23, ANY,     BROKEN,  ANY,     ANY,                       ALL(INVALID)},
    {23, ANY,     VALID,   BROKEN,  ANY,                       ALL(INVALID)},
};

/* What a field's owner, the policy and its state make of it. An owner decides alone. Without one: */
static const enum ls_act by_owner[3][7] = {
    /*                   UNKNOWN      SAME         AGREED          LOCAL        REMOTE       BOTH         NO_BASE */
    [LS_OWNER_LOCAL]  = {LS_ACT_KEEP, LS_ACT_KEEP, LS_ACT_ADVANCE, LS_ACT_PUSH, LS_ACT_PUSH, LS_ACT_PUSH, LS_ACT_PUSH},
    [LS_OWNER_REMOTE] = {LS_ACT_KEEP, LS_ACT_KEEP, LS_ACT_ADVANCE, LS_ACT_PULL, LS_ACT_PULL, LS_ACT_PULL, LS_ACT_PULL},
};
static const enum ls_act by_policy[6][7] = {
    /*                             UNKNOWN      SAME         AGREED          LOCAL        REMOTE       BOTH           NO_BASE */
    [LS_POLICY_FIELDS]          = {LS_ACT_KEEP, LS_ACT_KEEP, LS_ACT_ADVANCE, LS_ACT_PUSH, LS_ACT_PULL, LS_ACT_PARK,   LS_ACT_PARK},
    [LS_POLICY_LAST_WRITE_WINS] = {LS_ACT_KEEP, LS_ACT_KEEP, LS_ACT_ADVANCE, LS_ACT_PUSH, LS_ACT_PULL, LS_ACT_NEWEST, LS_ACT_PARK},
    [LS_POLICY_VERSION]         = {LS_ACT_KEEP, LS_ACT_KEEP, LS_ACT_ADVANCE, LS_ACT_PUSH, LS_ACT_PULL, LS_ACT_TAKE,   LS_ACT_PARK},
    [LS_POLICY_LOCAL]           = {LS_ACT_KEEP, LS_ACT_KEEP, LS_ACT_ADVANCE, LS_ACT_PUSH, LS_ACT_PUSH, LS_ACT_PUSH,   LS_ACT_PUSH},
    [LS_POLICY_REMOTE]          = {LS_ACT_KEEP, LS_ACT_KEEP, LS_ACT_ADVANCE, LS_ACT_PULL, LS_ACT_PULL, LS_ACT_PULL,   LS_ACT_PULL},
    [LS_POLICY_MANUAL]          = {LS_ACT_KEEP, LS_ACT_KEEP, LS_ACT_ADVANCE, LS_ACT_PUSH, LS_ACT_PULL, LS_ACT_PARK,   LS_ACT_PARK},
};

/* base, local, remote; cells by policy: fields, last_write_wins, version, local, remote, manual */
static const struct ls_rule_text texts[] = {
    { 1, "-", "-", "-", {"nothing", "nothing", "nothing", "nothing", "nothing", "nothing"}},
    { 2, "-", "P", "-", {"create remote", "create remote", "create remote", "create remote", "report extra local", "create remote"}},
    { 3, "-", "-", "P", {"create local", "create local", "create local", "report extra remote", "create local", "create local"}},
    { 4, "-", "P", "P, one match, equal", {"link", "link", "link", "link", "link", "link"}},
    { 5, "-", "P", "P, one match, differs", {"link; fields by owner, none: park field", "park", "link; fields by owner, none: park field", "link, push", "link, pull", "park"}},
    { 6, "-", "P", "several matches", {"park duplicate", "park duplicate", "park duplicate", "park duplicate", "park duplicate", "park duplicate"}},
    { 7, "B", "=", "=", {"verified", "verified", "verified", "verified", "verified", "verified"}},
    { 8, "B", "=", "d", {"pull (owner local: re-assert)", "pull (owner local: re-assert)", "pull (owner local: re-assert)", "re-assert", "pull", "pull"}},
    { 9, "B", "d", "=", {"push (owner remote: re-assert)", "push (owner remote: re-assert)", "push (owner remote: re-assert)", "push", "re-assert", "push"}},
    {10, "B", "d", "d, same", {"advance base", "advance base", "advance base", "advance base", "advance base", "advance base"}},
    {11, "B", "d", "d, other fields", {"merge", "merge", "merge", "push, re-assert", "pull, re-assert", "merge"}},
    {12, "B", "d", "d, same fields", {"by owner, none: park field", "by owner, else newest outside the guard, else park field", "by owner, else take remote, list local", "local wins", "remote wins", "by owner, none: park field"}},
    {13, "B", "-", "=", {"delete remote (held)", "delete remote (held)", "delete remote (held)", "delete remote (held)", "re-create local", "park"}},
    {14, "B", "=", "-", {"delete local (held)", "delete local (held)", "delete local (held)", "restore remote", "delete local (held)", "park"}},
    {15, "B", "-", "d", {"edit wins: re-create local", "edit wins: re-create local", "edit wins: re-create local", "delete remote (held)", "re-create local", "park"}},
    {16, "B", "d", "-", {"edit wins: restore remote (orders: park)", "edit wins: restore remote (orders: park)", "edit wins: restore remote (orders: park)", "restore remote", "delete local (held)", "park"}},
    {17, "B", "-", "-", {"tombstone", "tombstone", "tombstone", "tombstone", "tombstone", "tombstone"}},
    {18, "T", "-", "-", {"nothing", "nothing", "nothing", "nothing", "nothing", "nothing"}},
    {19, "T", "-", "P", {"late hint: nothing, else create local", "late hint: nothing, else create local", "late hint: nothing, else create local", "late hint: nothing, else delete remote (held)", "late hint: nothing, else create local", "late hint: nothing, else park"}},
    {20, "T", "P", "-", {"create remote anew", "create remote anew", "create remote anew", "create remote anew", "report extra local", "create remote anew"}},
    {21, "T", "P", "P", {"rows 4 to 6", "rows 4 to 6", "rows 4 to 6", "rows 4 to 6", "rows 4 to 6", "rows 4 to 6"}},
    {22, "lost", "any", "any", {"rows 1 to 6, no deletes", "rows 1 to 6, no deletes", "rows 1 to 6, no deletes", "rows 1 to 6, no deletes", "rows 1 to 6, no deletes", "rows 1 to 6, no deletes"}},
    {23, "any", "unreadable", "or unreadable", {"park", "park", "park", "park", "park", "park"}},
};
/* clang-format on */

static const char *const row_texts[] = {
    "no row",
    "neither side has it",
    "only the database has it",
    "only the platform has it",
    "both have it, unlinked and equal",
    "both have it, unlinked and different",
    "several records match it",
    "both sides are as last agreed",
    "only the platform changed it",
    "only the database changed it",
    "both sides changed to the same",
    "both sides changed, different fields",
    "both sides changed the same field",
    "deleted in the database",
    "deleted on the platform",
    "deleted in the database, changed on the platform",
    "changed in the database, deleted on the platform",
    "deleted on both sides",
    "deleted long ago",
    "deleted long ago, there again on the platform",
    "deleted long ago, there again in the database",
    "deleted long ago, there again on both sides",
    "what was agreed on is lost",
    "a value cannot be read or breaks a check",
};

static void compare(const struct ls_decide_input *input, struct ls_plan *plan);
static void choose_row(const struct ls_decide_input *input, struct ls_plan *plan);
static void decide_fields(const struct ls_decide_input *input, struct ls_plan *plan);
static enum ls_field_state state_of(const struct ls_decide_input *input, size_t field);

void ls_decide(const struct ls_decide_input *input, struct ls_plan *plan)
{
    *plan = (struct ls_plan){.base = input->base_state};
    compare(input, plan);
    choose_row(input, plan);
    if (plan->verdict == LS_VERDICT_MERGE || plan->verdict == LS_VERDICT_LINK)
        decide_fields(input, plan);
}

/* ---- the states of the three ---- */

static enum ls_side_state side_state(bool invalid, bool present, bool has_base, bool changed)
{
    if (invalid)
        return LS_SIDE_INVALID;
    if (!present)
        return LS_SIDE_ABSENT;
    if (!has_base)
        return LS_SIDE_PRESENT;
    return changed ? LS_SIDE_CHANGED : LS_SIDE_EQUAL;
}

/* Did this one side change the field? A field without a base changes nothing as long as only one
 * side is there. */
static bool differs(const struct ls_value *base, const struct ls_value *side)
{
    return base->state != LS_VALUE_MISSING && side->state != LS_VALUE_MISSING &&
           !ls_value_equal(base, side);
}

static void compare(const struct ls_decide_input *input, struct ls_plan *plan)
{
    bool local = ls_record_present(input->local) && !input->local_invalid;
    bool remote = ls_record_present(input->remote) && !input->remote_invalid;
    bool has_base = input->base_state == LS_BASE_PRESENT;
    bool local_changed = false, remote_changed = false, unequal = false, overlap = false;

    for (size_t i = 0; i < input->mapping->count; i++) {
        if (local && remote) {
            enum ls_field_state state = state_of(input, i);
            bool both = state == LS_FIELD_BOTH || state == LS_FIELD_NO_BASE;
            local_changed |= state == LS_FIELD_LOCAL || state == LS_FIELD_AGREED || both;
            remote_changed |= state == LS_FIELD_REMOTE || state == LS_FIELD_AGREED || both;
            unequal |= state == LS_FIELD_LOCAL || state == LS_FIELD_REMOTE || both;
            overlap |= both;
        } else if (has_base && (local || remote)) {
            bool changed = differs(&input->base->values[i],
                                   local ? &input->local->values[i] : &input->remote->values[i]);
            local_changed |= local && changed;
            remote_changed |= remote && changed;
        }
    }
    plan->local = side_state(input->local_invalid, local, has_base, local_changed);
    plan->remote = side_state(input->remote_invalid, remote, has_base, remote_changed);
    plan->relation = LS_RELATION_NONE;
    if (!has_base && input->many)
        plan->relation = LS_RELATION_MANY;
    else if (local && remote && !unequal)
        plan->relation = LS_RELATION_SAME;
    else if (local && remote)
        plan->relation = overlap ? LS_RELATION_OVERLAP : LS_RELATION_DISJOINT;
}

static enum ls_field_state state_of(const struct ls_decide_input *input, size_t field)
{
    static const struct ls_value missing;
    const struct ls_value *base = &missing;

    if (input->own & ((uint64_t)1 << field))
        base = &input->remote->values[field];
    else if (input->held & ((uint64_t)1 << field))
        base = &input->local->values[field];
    else if (ls_record_present(input->base) && input->base_state == LS_BASE_PRESENT)
        base = &input->base->values[field];
    return ls_decide_field_state(base, &input->local->values[field], &input->remote->values[field]);
}

enum ls_field_state ls_decide_field_state(const struct ls_value *base, const struct ls_value *local,
                                          const struct ls_value *remote)
{
    if (local->state == LS_VALUE_MISSING || remote->state == LS_VALUE_MISSING)
        return LS_FIELD_UNKNOWN;
    if (ls_value_equal(local, remote))
        return ls_value_equal(base, local) ? LS_FIELD_SAME : LS_FIELD_AGREED;
    if (base->state == LS_VALUE_MISSING)
        return LS_FIELD_NO_BASE;
    if (ls_value_equal(base, remote))
        return LS_FIELD_LOCAL;
    return ls_value_equal(base, local) ? LS_FIELD_REMOTE : LS_FIELD_BOTH;
}

/* ---- the row ---- */

static bool covers(const struct rule *rule, unsigned base, unsigned local, unsigned remote,
                   unsigned relation)
{
    return rule->base & BIT(base) && rule->local & BIT(local) && rule->remote & BIT(remote) &&
           rule->relation & BIT(relation);
}

static const struct rule *find_rule(unsigned base, const struct ls_plan *plan)
{
    for (size_t i = 0; i < LS_COUNT(rules); i++)
        if (covers(&rules[i], base, plan->local, plan->remote, plan->relation))
            return &rules[i];
    ls_assert_failed("a row covers the state", __FILE__, __LINE__, __func__);
}

/* A deleted record that is there again on both sides begins anew. */
static bool is_born_again(enum ls_base_state base, enum ls_side_state local,
                          enum ls_side_state remote, enum ls_relation relation)
{
    return base == LS_BASE_TOMB && local == LS_SIDE_PRESENT &&
           (remote == LS_SIDE_PRESENT || relation == LS_RELATION_MANY);
}

size_t ls_decide_coverage(enum ls_base_state base, enum ls_side_state local,
                          enum ls_side_state remote, enum ls_relation relation)
{
    size_t count = 0;

    if (is_born_again(base, local, remote, relation))
        base = LS_BASE_NONE;
    for (size_t i = 0; i < LS_COUNT(rules); i++)
        count += covers(&rules[i], base, local, remote, relation);
    return count;
}

static void choose_row(const struct ls_decide_input *input, struct ls_plan *plan)
{
    bool born_again = is_born_again(plan->base, plan->local, plan->remote, plan->relation);
    const struct rule *rule = find_rule(born_again ? LS_BASE_NONE : plan->base, plan);

    plan->row = rule->row;
    plan->verdict = rule->verdicts[input->mapping->policy];
    if (born_again && rule->row <= 6)
        plan->row = 21;
    if (plan->base == LS_BASE_LOST && rule->row <= 6)
        plan->row = 22;
    if (rule->row == 19 && input->late)
        plan->verdict = LS_VERDICT_NOOP;
    if (rule->row == 16 && input->careful && plan->verdict == LS_VERDICT_CREATE_REMOTE)
        plan->verdict = LS_VERDICT_PARK;
}

/* ---- the fields ---- */

enum ls_act ls_decide_field(enum ls_policy policy, enum ls_owner owner, enum ls_field_state state)
{
    return owner == LS_OWNER_MERGE ? by_policy[policy][state] : by_owner[owner][state];
}

static void decide_fields(const struct ls_decide_input *input, struct ls_plan *plan)
{
    for (size_t i = 0; i < input->mapping->count; i++) {
        enum ls_field_state state = state_of(input, i);
        enum ls_act act =
            ls_decide_field(input->mapping->policy, input->mapping->fields[i].owner, state);
        uint64_t bit = (uint64_t)1 << i;

        if (act == LS_ACT_NEWEST)
            act = input->newest == LS_NEWEST_LOCAL    ? LS_ACT_PUSH
                  : input->newest == LS_NEWEST_REMOTE ? LS_ACT_PULL
                                                      : LS_ACT_PARK;
        plan->acts[i] = act;
        plan->push |= act == LS_ACT_PUSH ? bit : 0;
        plan->pull |= act == LS_ACT_PULL || act == LS_ACT_TAKE ? bit : 0;
        plan->park |= act == LS_ACT_PARK || act == LS_ACT_TAKE ? bit : 0;
        plan->advance |= act == LS_ACT_ADVANCE ? bit : 0;
        plan->reassert |= (act == LS_ACT_PUSH && state == LS_FIELD_REMOTE) ||
                          (act == LS_ACT_PULL && state == LS_FIELD_LOCAL);
    }
}

/* ---- for people ---- */

const struct ls_rule_text *ls_decide_rules(size_t *count)
{
    *count = LS_COUNT(texts);
    return texts;
}

const char *ls_decide_row_text(int row)
{
    return row >= 0 && (size_t)row < LS_COUNT(row_texts) ? row_texts[row] : "unknown row";
}

const char *ls_verdict_name(enum ls_verdict verdict)
{
    static const char *const names[] = {
        [LS_VERDICT_NOOP] = "nothing",
        [LS_VERDICT_MERGE] = "merge",
        [LS_VERDICT_LINK] = "link",
        [LS_VERDICT_CREATE_REMOTE] = "create remote",
        [LS_VERDICT_CREATE_LOCAL] = "create local",
        [LS_VERDICT_TOMBSTONE] = "tombstone",
        [LS_VERDICT_REPORT] = "report",
        [LS_VERDICT_HOLD_REMOTE] = "delete remote (held)",
        [LS_VERDICT_HOLD_LOCAL] = "delete local (held)",
        [LS_VERDICT_PARK] = "park",
        [LS_VERDICT_DUPLICATE] = "park duplicate",
        [LS_VERDICT_INVALID] = "park invalid",
    };

    return names[verdict];
}

const char *ls_act_name(enum ls_act act)
{
    static const char *const names[] = {
        [LS_ACT_KEEP] = "keep",     [LS_ACT_ADVANCE] = "advance base",
        [LS_ACT_PUSH] = "push",     [LS_ACT_PULL] = "pull",
        [LS_ACT_PARK] = "park",     [LS_ACT_TAKE] = "take remote",
        [LS_ACT_NEWEST] = "newest",
    };

    return names[act];
}
