/* Several processes on one SQLite database: installing at once, writing at once, being killed, and
 * a file that is replaced. */
#include "tests/conformance/store_harness.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

/* A child that runs body and exits with what it returns. */
static pid_t spawn(int (*body)(struct world *world), struct world *world)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(body(world));
    }
    return pid;
}

static int status_of(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* SQLite handles do not cross a fork: the application's is closed around it. */
static void close_app(struct world *world)
{
    world->kind->close(world->app);
    world->app = NULL;
}

static void open_app(struct world *world)
{
    world->app = world->kind->open(world->dir);
}

static int install_body(struct world *world)
{
    const struct ls_mapping *mappings[] = {world->mapping};
    struct ls_err err = LS_ERR_INIT;

    if (ls_store_install(world->url, mappings, 1, false, NULL, &err) == 0)
        return 0;
    fprintf(stderr, "%s\n", err.text);
    return 1;
}

static void install__ten_processes_at_once__all_succeed(void **state)
{
    struct world *world = world_bare(&store_kinds[0]);
    const struct ls_mapping *mappings[] = {world->mapping};
    struct ls_err err = LS_ERR_INIT;
    pid_t pids[10];

    close_app(world);
    for (size_t i = 0; i < LS_COUNT(pids); i++)
        pids[i] = spawn(install_body, world);
    for (size_t i = 0; i < LS_COUNT(pids); i++)
        assert_int_equal(status_of(pids[i]), 0);
    assert_int_equal(ls_store_check(world->url, mappings, 1, &err), 0);
    open_app(world);
    sql_is(world, "1", "SELECT count(*) FROM lockstep_schema");
    sql_is(world, "delete", "SELECT journal_mode FROM lockstep_schema");
    sql_is(world, "wal", "PRAGMA journal_mode");
    world_free(world);
}

/* The application: many small transactions. */
static int writer_body(struct world *world)
{
    open_app(world);
    for (int i = 0; i < 400; i++)
        sql(world,
            "BEGIN IMMEDIATE; UPDATE products SET inventory = coalesce(inventory, 0) + 1 WHERE id "
            "= %d; COMMIT",
            i % 20 + 1);
    close_app(world);
    return 0;
}

/* A pool: takes marks, reads, commits the row as the base. */
static void work_off(struct world *world, uint64_t *fence)
{
    struct ls_marks_query query = {.limit = 7, .repush_before_ms = INT64_MAX / 2};
    struct marks marks = {0};

    assert_true(do_take(world, &query, &marks));
    for (size_t i = 0; i < marks.count; i++) {
        struct ls_snapshot *snapshot = do_begin(world, marks.items[i].uid, ++*fence);
        struct ls_commit commit = {
            .fence = *fence, .row = 9, .state = LS_LINK_LINKED, .synced = true};
        if (!snapshot)
            fail_msg("%s", world->err.text);
        commit.base = &snapshot->local;
        commit.local_gen = snapshot->local_gen;
        assert_true(do_commit(world, marks.items[i].uid, &commit, NULL));
        ls_snapshot_free(snapshot);
    }
    marks_free(&marks);
}

static void two_processes_write_at_once__nothing_is_lost_and_nobody_fails(void **state)
{
    struct world *world = world_bare(&store_kinds[0]);
    uint64_t fence = 1000;
    pid_t pids[2];
    int ended = 0, status;

    assert_int_equal(install_body(world), 0);
    sql(world, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) "
               "INSERT INTO products (id, sku) SELECT i, 'S' || i FROM n");
    close_app(world);
    for (int i = 0; i < 2; i++)
        pids[i] = spawn(writer_body, world);
    world_open(world);
    assert_true(do_state(world, LS_SYNC_ACTIVE));
    while (ended < 2) {
        work_off(world, &fence);
        for (int i = 0; i < 2; i++) {
            if (pids[i] && waitpid(pids[i], &status, WNOHANG) == pids[i]) {
                assert_int_equal(status, 0);
                pids[i] = 0;
                ended++;
            }
        }
    }
    while (do_left(world, -1, NULL))
        work_off(world, &fence);
    open_app(world);
    sql_is(world, "800", "SELECT sum(inventory) FROM products");
    sql_is(world, "0",
           "SELECT count(*) FROM products AS t JOIN lockstep_link AS l ON l.local_id = t.id "
           "WHERE json_extract(l.base_json, '$.inventory') <> t.inventory");
    world_free(world);
}

static void ignore(void *arg, const struct ls_err *err)
{
    (void)arg;
    (void)err;
}

/* Where a child says that a commit of its is done; a full pipe loses nothing of interest. */
static int told[2];

static void tell(void *arg, const struct ls_commit_result *result, const struct ls_err *err)
{
    (void)arg;
    (void)result;
    if (!err && write(told[1], "c", 1) < 0)
        return;
}

/* Writes name and base together, as fast as it can, many operations in each commit. */
static int committer_body(struct world *world)
{
    uint64_t fence;

    world_open(world);
    for (int round = 1;; round++) {
        fence = (uint64_t)ls_clock_wall_ms() * 1000 + (uint64_t)round % 1000;
        for (int id = 1; id <= 20; id++) {
            char uid[16], key[32], name[32];
            struct ls_snapshot *snapshot;
            struct ls_op op = {.kind = LS_OP_UPDATE, .target_hash = "h"};
            struct ls_commit commit;
            struct ls_record new_values, base = {0};
            snprintf(uid, sizeof uid, "l-%d", id);
            snprintf(key, sizeof key, "%d-%d", (int)getpid(), round * 100 + id);
            snprintf(name, sizeof name, "n%d-%d", (int)getpid(), round);
            snprintf(op.op_key, sizeof op.op_key, "%s", key);
            snapshot = do_begin(world, uid, fence);
            new_values = record_of(world->mapping, "name", name, NULL);
            ls_record_copy(&base, &snapshot->local);
            ls_value_copy(&base.values[1], &new_values.values[1]);
            ls_store_op_sent(world->store, world->mapping, uid, fence, &op, ignore, NULL);
            op.state = LS_OP_OK;
            commit = (struct ls_commit){.fence = fence,
                                        .row = 11,
                                        .state = LS_LINK_LINKED,
                                        .base = &base,
                                        .local_old = &snapshot->local,
                                        .local_new = &new_values,
                                        .local_gen = snapshot->local_gen,
                                        .op = &op,
                                        .synced = true};
            ls_store_commit(world->store, world->mapping, uid, &commit, tell, NULL);
            ls_record_fini(&new_values);
            ls_record_fini(&base);
            ls_snapshot_free(snapshot);
        }
    }
    return 0;
}

static void killed_in_the_middle_of_commits__rows_bases_and_operations_agree(void **state)
{
    struct world *world = world_bare(&store_kinds[0]);
    int64_t commits = 0, now;
    char byte, rest[4096];

    assert_int_equal(pipe2(told, O_CLOEXEC | O_NONBLOCK), 0);
    fcntl(told[0], F_SETFL, 0);

    assert_int_equal(install_body(world), 0);
    sql(world, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) "
               "INSERT INTO products (id, sku) SELECT i, 'S' || i FROM n");
    world_open(world);
    for (int id = 1; id <= 20; id++) {
        char text[8];
        snprintf(text, sizeof text, "%d", id);
        free(link_row(world, text, text, 5));
    }
    world_close(world);
    close_app(world);
    for (int round = 0; round < 15; round++) {
        struct timespec pause = {.tv_nsec = round * 7 % 50 * 1000000L};
        pid_t pid = spawn(committer_body, world);
        assert_int_equal(read(told[0], &byte, 1), 1); /* it is at work */
        nanosleep(&pause, NULL);
        kill(pid, SIGKILL);
        status_of(pid);
        open_app(world);
        sql_is(world, "ok", "PRAGMA integrity_check");
        sql_is(world, "0",
               "SELECT count(*) FROM products AS t JOIN lockstep_link AS l ON l.local_id = t.id "
               "WHERE json_extract(l.base_json, '$.name') IS NOT t.name");
        sql_is(world, "0", "SELECT count(*) FROM lockstep_dirty");
        sql_is(world, "0",
               "SELECT count(*) FROM lockstep_op AS o WHERE o.state = 'ok' AND EXISTS "
               "(SELECT 1 FROM lockstep_sent AS s WHERE s.op_key = o.op_key)");
        now = sql_int(world, "SELECT sum(base_gen) FROM lockstep_link");
        assert_true(now > commits);
        commits = now;
        fcntl(told[0], F_SETFL, O_NONBLOCK);
        while (read(told[0], rest, sizeof rest) > 0)
            ;
        fcntl(told[0], F_SETFL, 0);
        close_app(world);
    }
    close(told[0]);
    close(told[1]);
    open_app(world);
    world_free(world);
}

static void file_replaced_by_a_backup__the_store_goes_on_with_the_new_one(void **state)
{
    struct world *world = world_new(&store_kinds[0]);
    char *path = ls_xasprintf("%s/shop.db", world->dir),
         *copy = ls_xasprintf("%s/copy.db", world->dir);
    struct ls_sync_status status;
    char *uid;

    sql(world, "INSERT INTO products (id, sku) VALUES (7, 'A-1')");
    sql(world, "VACUUM INTO '%s'", copy);
    uid = link_row(world, "7", "99", 5);
    free(uid);
    close_app(world);
    assert_int_equal(rename(copy, path), 0);
    free(copy);
    copy = ls_xasprintf("%s-wal", path);
    unlink(copy);
    assert_true(do_status(world, &status));
    assert_int_equal(status.linked, 0);
    assert_true(do_state(world, LS_SYNC_STOPPED));
    /* Away altogether: a failure to be tried again, then all is well. */
    free(copy);
    copy = ls_xasprintf("%s.away", path);
    assert_int_equal(rename(path, copy), 0);
    assert_false(do_status(world, &status));
    assert_int_equal(world->err.code, LS_E_STORE);
    assert_int_equal(rename(copy, path), 0);
    assert_true(do_status(world, &status));
    free(copy);
    free(path);
    open_app(world);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(install__ten_processes_at_once__all_succeed),
        cmocka_unit_test(two_processes_write_at_once__nothing_is_lost_and_nobody_fails),
        cmocka_unit_test(killed_in_the_middle_of_commits__rows_bases_and_operations_agree),
        cmocka_unit_test(file_replaced_by_a_backup__the_store_goes_on_with_the_new_one),
    };

    return cmocka_run_group_tests_name("processes", tests, NULL, NULL);
}
