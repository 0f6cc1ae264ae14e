/* Random schedules of what can happen to a record: the application writes, deletes, makes it again;
 * a worker claims it, reads, is overtaken, comes back late; the queue is told or forgets. Real
 * database, fixed seed. After each schedule everything that is marked is worked off, and then the
 * base must be what the row is: no change may be lost, whatever the order was. */
#include "store_harness.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"

#define SCHEDULES 3000
#define STEPS 14
#define WORKERS 3
#define RECORDS 2

static const struct store_kind *kind;

struct model {
    struct world *world;
    uint64_t seed, fence;
    int64_t written; /* names only grow, so that every state is told apart */
    struct {
        char *uid;
        uint64_t fence;
        struct ls_snapshot *snapshot;
    } workers[WORKERS];
    int64_t commits, fenced, conflicts;
};

/* splitmix64: the same everywhere. */
static uint64_t next(struct model *model, uint64_t bound)
{
    uint64_t z = model->seed += 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (z ^ (z >> 31)) % bound;
}

static void let_go(struct model *model, size_t worker)
{
    ls_snapshot_free(model->workers[worker].snapshot);
    free(model->workers[worker].uid);
    model->workers[worker].snapshot = NULL;
    model->workers[worker].uid = NULL;
}

static void app_writes(struct model *model)
{
    int id = (int)next(model, RECORDS) + 1;

    switch (next(model, 6)) {
    case 0:
        sql(model->world, "DELETE FROM products WHERE id = %d", id);
        break;
    case 1:
        sql(model->world,
            "INSERT OR REPLACE INTO products (id, sku, name) VALUES (%d, 'S%d', 'n%d')", id, id,
            (int)++model->written);
        break;
    case 2: /* takes the other's key away: REPLACE removes that row */
        sql(model->world, "UPDATE OR REPLACE products SET sku = 'S%d' WHERE id = %d",
            (int)next(model, RECORDS) + 1, id);
        break;
    default:
        sql(model->world, "UPDATE products SET name = 'n%d' WHERE id = %d", (int)++model->written,
            id);
    }
}

static void hand_over(struct model *model)
{
    struct ls_marks_query query = {.repush_before_ms = next(model, 4) ? 0 : INT64_MAX / 2};
    struct marks marks = {0};

    assert_true(do_take(model->world, &query, &marks));
    if (next(model, 3))
        assert_true(do_pushed(model->world, &marks));
    marks_free(&marks);
}

static void claim(struct model *model)
{
    size_t worker = next(model, WORKERS);
    char id[16];

    if (model->workers[worker].uid)
        return;
    snprintf(id, sizeof id, "l-%d", (int)next(model, RECORDS) + 1);
    model->fence += 1 + next(model, 3);
    model->workers[worker].snapshot = do_begin(model->world, id, model->fence);
    if (!model->workers[worker].snapshot)
        return; /* nobody has seen it yet */
    model->workers[worker].uid = ls_xstrdup(id);
    model->workers[worker].fence = model->fence;
}

/* Commit what a run has read, sometimes with a value of the remote's for the row. */
static void finish(struct model *model, size_t worker, bool pull)
{
    struct world *world = model->world;
    const struct ls_snapshot *snapshot = model->workers[worker].snapshot;
    struct ls_record new_values = {0}, base = {0};
    struct ls_commit commit = {.fence = model->workers[worker].fence,
                               .row = 7,
                               .local_gen = snapshot->local_gen,
                               .synced = true};
    bool there = ls_record_present(&snapshot->local);

    commit.state = there ? LS_LINK_LINKED : LS_LINK_TOMB;
    if (there) {
        ls_record_copy(&base, &snapshot->local);
        if (pull) {
            char name[16];
            snprintf(name, sizeof name, "r%d", (int)++model->written);
            new_values = record_of(world->mapping, "name", name, NULL);
            ls_value_copy(&base.values[1], &new_values.values[1]);
            commit.local_old = &snapshot->local;
            commit.local_new = &new_values;
        }
        commit.base = &base;
    }
    if (do_commit(world, model->workers[worker].uid, &commit, NULL))
        model->commits++;
    else if (world->err.code == LS_E_FENCED)
        model->fenced++;
    else if (world->err.code == LS_E_CONFLICT)
        model->conflicts++;
    else
        fail_msg("%s", world->err.text);
    ls_record_fini(&new_values);
    ls_record_fini(&base);
    let_go(model, worker);
}

/* Work off every mark, as a pool that is left in peace would. */
static void quiesce(struct model *model)
{
    struct ls_marks_query query = {.repush_before_ms = INT64_MAX / 2};
    struct marks marks = {0};

    for (int round = 0; round < 10; round++) {
        assert_true(do_take(model->world, &query, &marks));
        if (marks.count == 0)
            break;
        for (size_t i = 0; i < marks.count; i++) {
            let_go(model, 0);
            model->workers[0].uid = ls_xstrdup(marks.items[i].uid);
            model->workers[0].fence = ++model->fence;
            model->workers[0].snapshot = do_begin(model->world, marks.items[i].uid, model->fence);
            assert_non_null(model->workers[0].snapshot);
            finish(model, 0, false);
        }
        marks_free(&marks);
    }
    assert_int_equal(marks.count, 0);
    marks_free(&marks);
}

static void no_change_is_lost(struct model *model, int schedule)
{
    char *bad = sql_get(
        model->world,
        "SELECT t.id || ': row ' || t.name || ', base ' || coalesce(json_extract(l.base_json, "
        "'$.name'), 'none') "
        "|| ', sku ' || t.sku FROM products AS t LEFT JOIN lockstep_link AS l ON l.local_id = t.id "
        "WHERE l.state IS NOT 'linked' OR json_extract(l.base_json, '$.name') IS NOT t.name "
        "OR json_extract(l.base_json, '$.sku') IS NOT t.sku");
    char *ghost =
        sql_get(model->world,
                "SELECT l.uid FROM lockstep_link AS l WHERE l.state = 'linked' AND NOT EXISTS "
                "(SELECT 1 FROM products AS t WHERE t.id = l.local_id)");

    if (bad || ghost)
        fail_msg("schedule %d: %s%s", schedule,
                 bad ? bad : "deleted and not noticed: ", ghost ? ghost : "");
    assert_int_equal(sql_int(model->world, "SELECT count(*) FROM lockstep_dirty"), 0);
    free(bad);
    free(ghost);
}

static void random_schedules__no_change_is_lost(void **state)
{
    struct model model = {.seed = 20261123, .fence = 1000};
    struct world *world;

    model.world = world = world_new(kind);
    for (int schedule = 0; schedule < SCHEDULES; schedule++) {
        sql(world, "DELETE FROM products; DELETE FROM lockstep_dirty; DELETE FROM lockstep_link; "
                   "DELETE FROM lockstep_audit");
        sql(world, "INSERT INTO products (id, sku, name) VALUES (1, 'S1', 'n'), (2, 'S2', 'n')");
        hand_over(&model);
        for (int step = 0; step < STEPS; step++) {
            size_t worker = next(&model, WORKERS);
            switch (next(&model, 8)) {
            case 0:
            case 1:
            case 2:
                app_writes(&model);
                break;
            case 3:
                hand_over(&model);
                break;
            case 4:
            case 5:
                claim(&model);
                break;
            default:
                if (model.workers[worker].uid)
                    finish(&model, worker, next(&model, 3) == 0);
            }
        }
        if (next(&model, 2)) /* late ones come back after everything else, or never */
            for (size_t worker = 0; worker < WORKERS; worker++)
                if (model.workers[worker].uid)
                    finish(&model, worker, false);
        for (size_t worker = 0; worker < WORKERS; worker++)
            let_go(&model, worker);
        quiesce(&model);
        no_change_is_lost(&model, schedule);
    }
    /* The schedules must have met what they are about. */
    assert_true(model.commits > SCHEDULES && model.fenced > SCHEDULES / 20 &&
                model.conflicts > SCHEDULES / 100);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_schedules__no_change_is_lost)};
    int failed = 0;

    /* Thousands of commits: without waiting for a disk. */
    if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    for (size_t i = 0; i < store_kind_count; i++) {
        kind = &store_kinds[i];
        failed |= cmocka_run_group_tests_name(kind->name, tests, NULL, NULL);
    }
    return failed;
}
