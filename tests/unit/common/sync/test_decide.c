/* Walks every state that the decision table can meet: all combinations of two fields' values on
 * three sides under all owners and policies, applies each plan to a little model of the two sides
 * and decides again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/sync/decide.h"

#define FIELDS 2
#define VALUES 4 /* MISSING, NULL, "", "a", and "b" makes five */

static struct ls_value values[VALUES + 1];

/* A side as indexes into values; -1 in [0]: absent. */
struct side {
    bool present;
    int at[FIELDS];
};

static const struct ls_record *as_record(const struct side *side, struct ls_value *room,
                                         struct ls_record *record)
{
    *record = (struct ls_record){.count = side->present ? FIELDS : 0, .values = room};
    for (int i = 0; i < FIELDS; i++)
        room[i] = values[side->at[i]];
    return record;
}

struct model {
    enum ls_policy policy;
    enum ls_owner owners[FIELDS];
    enum ls_base_state base_state;
    struct side base, local, remote;
    bool many, late, careful;
    uint64_t own;
    enum ls_newest newest;
};

static void decide(const struct model *model, struct ls_plan *plan)
{
    struct ls_field fields[FIELDS] = {{.owner = model->owners[0]}, {.owner = model->owners[1]}};
    struct ls_mapping mapping = {.policy = model->policy, .count = FIELDS, .fields = fields};
    struct ls_value room[3][FIELDS];
    struct ls_record records[3];
    struct ls_decide_input input = {
        .mapping = &mapping,
        .base_state = model->base_state,
        .base = as_record(&model->base, room[0], &records[0]),
        .local = as_record(&model->local, room[1], &records[1]),
        .remote = as_record(&model->remote, room[2], &records[2]),
        .many = model->many,
        .late = model->late,
        .own = model->own,
        .newest = model->newest,
        .careful = model->careful,
    };

    ls_decide(&input, plan);
}

static void apply(struct model *model, const struct ls_plan *plan)
{
    model->own = 0;
    if (plan->verdict == LS_VERDICT_CREATE_REMOTE)
        model->remote = model->base = model->local;
    if (plan->verdict == LS_VERDICT_CREATE_LOCAL)
        model->local = model->base = model->remote;
    if (plan->verdict == LS_VERDICT_TOMBSTONE)
        model->base_state = LS_BASE_TOMB;
    if (plan->verdict == LS_VERDICT_CREATE_REMOTE || plan->verdict == LS_VERDICT_CREATE_LOCAL)
        model->base_state = LS_BASE_PRESENT;
    if (plan->verdict != LS_VERDICT_MERGE && plan->verdict != LS_VERDICT_LINK)
        return;
    if (plan->verdict == LS_VERDICT_LINK) {
        model->base_state = LS_BASE_PRESENT;
        model->base = (struct side){.present = true};
    }
    for (int i = 0; i < FIELDS; i++) {
        switch (plan->acts[i]) {
        case LS_ACT_PUSH:
            model->base.at[i] = model->remote.at[i] = model->local.at[i];
            break;
        case LS_ACT_PULL:
        case LS_ACT_TAKE:
        case LS_ACT_ADVANCE:
            model->base.at[i] = model->local.at[i] = model->remote.at[i];
            break;
        default:
            break;
        }
    }
}

static bool writes(const struct ls_plan *plan)
{
    return plan->push || plan->pull || plan->verdict == LS_VERDICT_CREATE_REMOTE ||
           plan->verdict == LS_VERDICT_CREATE_LOCAL;
}

static bool equal_sides(const struct model *model)
{
    if (!model->local.present || !model->remote.present)
        return model->local.present == model->remote.present;
    for (int i = 0; i < FIELDS; i++)
        if (model->local.at[i] && model->remote.at[i] && model->local.at[i] != model->remote.at[i])
            return false;
    return true;
}

static bool three_way(enum ls_policy policy)
{
    return policy != LS_POLICY_LOCAL && policy != LS_POLICY_REMOTE;
}

static void check_no_edit_is_lost(const struct model *before, const struct model *after)
{
    if (before->base_state != LS_BASE_PRESENT || !before->local.present || !before->remote.present)
        return;
    for (int i = 0; i < FIELDS; i++) {
        int b = before->base.at[i], l = before->local.at[i], r = before->remote.at[i];
        if (!b || !l || !r || before->owners[i] != LS_OWNER_MERGE || !three_way(before->policy))
            continue;
        if (l != b && r == b)
            assert_true(after->local.at[i] == l && after->remote.at[i] == l);
        if (r != b && l == b)
            assert_true(after->local.at[i] == r && after->remote.at[i] == r);
        if (l != b && r != b && before->policy == LS_POLICY_FIELDS)
            assert_true(after->local.at[i] == l && after->remote.at[i] == r);
    }
}

static void check(const struct model *start, unsigned long *seen_rows)
{
    struct model model = *start;
    struct ls_plan plan, again;

    decide(&model, &plan);
    assert_in_range(plan.row, 1, 23);
    *seen_rows |= 1ul << plan.row;
    if (start->local.present && start->remote.present && equal_sides(start))
        assert_false(writes(&plan)); /* canonical-equal: nothing is written */
    apply(&model, &plan);
    check_no_edit_is_lost(start, &model);
    decide(&model, &again);
    if (plan.verdict != LS_VERDICT_CREATE_LOCAL && plan.verdict != LS_VERDICT_CREATE_REMOTE)
        assert_false(writes(&again)); /* the second round only confirms */
    apply(&model, &again);
    decide(&model, &again);
    assert_false(writes(&again));
    assert_int_equal(again.advance, 0);
}

static void for_each_pair(struct side *side, int at, void (*visit)(void *), void *arg)
{
    for (side->at[0] = 0; side->at[0] <= VALUES; side->at[0]++)
        for (side->at[1] = at; side->at[1] <= VALUES; side->at[1]++)
            visit(arg);
}

struct walk {
    struct model model;
    unsigned long seen_rows;
    void (*visit)(struct walk *walk);
};

static void visit_remote(void *arg)
{
    struct walk *walk = arg;

    walk->visit(walk);
}

static void visit_local(void *arg)
{
    struct walk *walk = arg;

    for_each_pair(&walk->model.remote, 1, visit_remote, walk);
}

static void visit_base(void *arg)
{
    struct walk *walk = arg;

    for_each_pair(&walk->model.local, 1, visit_local, walk);
}

static void visit_check(struct walk *walk)
{
    check(&walk->model, &walk->seen_rows);
}

static void every_combination__has_a_row_loses_no_edit_and_settles(void **state)
{
    struct walk walk = {.visit = visit_check};
    struct model *model = &walk.model;

    model->base.present = model->local.present = model->remote.present = true;
    model->base_state = LS_BASE_PRESENT;
    for (int policy = 0; policy < 6; policy++)
        for (int owner = 0; owner < 9; owner++) {
            model->policy = (enum ls_policy)policy;
            model->owners[0] = (enum ls_owner)(owner % 3);
            model->owners[1] = (enum ls_owner)(owner / 3);
            model->newest = policy == LS_POLICY_LAST_WRITE_WINS ? (enum ls_newest)(owner % 3) : 0;
            for_each_pair(&model->base, 1, visit_base, &walk);
        }
    for (int row = 7; row <= 12; row++)
        assert_true(walk.seen_rows & (1ul << row));
}

static void every_absence__has_a_row_and_settles(void **state)
{
    unsigned long seen = 0;

    for (int bits = 0; bits < 6 * 4 * 4 * 8 * 3; bits++) {
        struct model model = {.policy = (enum ls_policy)(bits % 6),
                              .base_state = (enum ls_base_state)(bits / 6 % 4),
                              .many = bits / 384 % 2,
                              .late = bits / 768 % 2,
                              .careful = bits / 1536 % 2};
        model.base = (struct side){model.base_state == LS_BASE_PRESENT, {3, 3}};
        model.local = (struct side){bits / 24 % 2, {bits / 96 % 2 ? 3 : 4, 3}};
        model.remote = (struct side){bits / 48 % 2, {bits / 192 % 2 ? 3 : 4, 3}};
        check(&model, &seen);
    }
    for (int row = 1; row <= 22; row++)
        assert_true(seen & (1ul << row) || row == 11 || row == 12);
}

static void every_state__is_covered_by_exactly_one_row(void **state)
{
    for (int base = LS_BASE_NONE; base <= LS_BASE_LOST; base++)
        for (int local = LS_SIDE_ABSENT; local <= LS_SIDE_INVALID; local++)
            for (int remote = LS_SIDE_ABSENT; remote <= LS_SIDE_INVALID; remote++)
                for (int relation = 0; relation <= LS_RELATION_MANY; relation++) {
                    bool has_base = base == LS_BASE_PRESENT;
                    bool both = (local == LS_SIDE_CHANGED && remote == LS_SIDE_CHANGED) ||
                                (local == LS_SIDE_PRESENT && remote == LS_SIDE_PRESENT);
                    if ((has_base && (local == LS_SIDE_PRESENT || remote == LS_SIDE_PRESENT ||
                                      relation == LS_RELATION_MANY)) ||
                        (!has_base && (local == LS_SIDE_EQUAL || local == LS_SIDE_CHANGED ||
                                       remote == LS_SIDE_EQUAL || remote == LS_SIDE_CHANGED)) ||
                        (both && relation == LS_RELATION_NONE))
                        continue; /* cannot occur */
                    assert_int_equal(ls_decide_coverage(base, local, remote, relation), 1);
                }
}

static enum ls_act mirrored(enum ls_act act)
{
    return act == LS_ACT_PUSH ? LS_ACT_PULL : act == LS_ACT_PULL ? LS_ACT_PUSH : act;
}

static void swapping_sides_and_policies__mirrors_every_field(void **state)
{
    static const enum ls_policy swapped[] = {
        [LS_POLICY_FIELDS] = LS_POLICY_FIELDS,
        [LS_POLICY_LAST_WRITE_WINS] = LS_POLICY_LAST_WRITE_WINS,
        [LS_POLICY_VERSION] = LS_POLICY_FIELDS, /* not symmetric by intent: skipped below */
        [LS_POLICY_LOCAL] = LS_POLICY_REMOTE,
        [LS_POLICY_REMOTE] = LS_POLICY_LOCAL,
        [LS_POLICY_MANUAL] = LS_POLICY_MANUAL,
    };
    static const enum ls_owner other[] = {
        [LS_OWNER_MERGE] = LS_OWNER_MERGE,
        [LS_OWNER_LOCAL] = LS_OWNER_REMOTE,
        [LS_OWNER_REMOTE] = LS_OWNER_LOCAL,
    };

    for (int policy = 0; policy < 6; policy++)
        for (int owner = 0; owner < 3; owner++)
            for (int b = 0; b <= VALUES; b++)
                for (int l = 0; l <= VALUES; l++)
                    for (int r = 0; r <= VALUES; r++) {
                        enum ls_field_state here =
                            ls_decide_field_state(&values[b], &values[l], &values[r]);
                        enum ls_field_state there =
                            ls_decide_field_state(&values[b], &values[r], &values[l]);
                        if (policy == LS_POLICY_VERSION)
                            continue;
                        assert_int_equal(
                            ls_decide_field((enum ls_policy)policy, (enum ls_owner)owner, here),
                            mirrored(ls_decide_field(swapped[policy], other[owner], there)));
                    }
}

static void our_own_late_write__is_pushed_over_and_not_pulled(void **state)
{
    struct model model = {.base_state = LS_BASE_PRESENT,
                          .base = {true, {4, 3}},
                          .local = {true, {4, 3}},
                          .remote = {true, {3, 3}}};
    struct ls_plan plan;

    decide(&model, &plan);
    assert_int_equal(plan.row, 8);
    assert_int_equal(plan.pull, 1);
    model.own = 1;
    decide(&model, &plan);
    assert_int_equal(plan.row, 9);
    assert_int_equal(plan.push, 1);
    assert_int_equal(plan.pull, 0);
}

static void interrupted_write__with_an_edit_on_each_side_since__keeps_both(void **state)
{
    /* field 0: we sent "" over base "a" and local went on to "b"; field 1: the remote changed it
     * meanwhile */
    struct model model = {.base_state = LS_BASE_PRESENT,
                          .base = {true, {3, 3}},
                          .local = {true, {4, 3}},
                          .remote = {true, {2, 4}},
                          .own = 1};
    struct ls_plan plan;

    decide(&model, &plan);
    assert_int_equal(plan.row, 11);
    assert_int_equal(plan.push, 1);
    assert_int_equal(plan.pull, 2);
    assert_int_equal(plan.park, 0);
}

static void no_verdict__deletes_anything(void **state)
{
    /* The verdicts that ask for a delete only hold it; an order is not even restored by itself. */
    struct model model = {.base_state = LS_BASE_PRESENT,
                          .base = {true, {3, 3}},
                          .local = {true, {4, 3}},
                          .careful = true};
    struct ls_plan plan;

    decide(&model, &plan);
    assert_int_equal(plan.row, 16);
    assert_int_equal(plan.verdict, LS_VERDICT_PARK);
    model.local.at[0] = 3;
    decide(&model, &plan);
    assert_int_equal(plan.row, 14);
    assert_int_equal(plan.verdict, LS_VERDICT_HOLD_LOCAL);
}

static void table_of_texts__has_each_row_once(void **state)
{
    size_t count;
    const struct ls_rule_text *texts = ls_decide_rules(&count);

    assert_int_equal(count, 23);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(texts[i].row, i + 1);
        for (int policy = 0; policy < 6; policy++)
            assert_non_null(texts[i].cells[policy]);
    }
}

static int set_up(void **state)
{
    ls_value_set_null(&values[1]);
    ls_value_set(&values[2], LS_TYPE_TEXT, "", 0, NULL);
    ls_value_set(&values[3], LS_TYPE_TEXT, "a", 1, NULL);
    ls_value_set(&values[4], LS_TYPE_TEXT, "b", 1, NULL);
    return 0;
}

static int tear_down(void **state)
{
    for (int i = 0; i <= VALUES; i++)
        ls_value_fini(&values[i]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state__is_covered_by_exactly_one_row),
        cmocka_unit_test(every_combination__has_a_row_loses_no_edit_and_settles),
        cmocka_unit_test(every_absence__has_a_row_and_settles),
        cmocka_unit_test(swapping_sides_and_policies__mirrors_every_field),
        cmocka_unit_test(our_own_late_write__is_pushed_over_and_not_pulled),
        cmocka_unit_test(interrupted_write__with_an_edit_on_each_side_since__keeps_both),
        cmocka_unit_test(no_verdict__deletes_anything),
        cmocka_unit_test(table_of_texts__has_each_row_once),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
