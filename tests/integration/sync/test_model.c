/* A random day: edits on both sides, new records, lost answers, refusals, kills at any moment,
 * feeds interrupted anywhere. Then the trouble ends, everything settles, and the books are checked:
 * both sides equal but for listed conflicts, no one-sided edit lost, no record made twice. The seed
 * is printed; LS_TEST_SEED=N repeats a day, LS_TEST_DAYS=N plays more of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "tests/integration/sync/world.h"

#define RECORDS 24
#define STEPS 120

/* What was written to one field of one record, by whom, since both sides last were in step. */
struct book {
    char local[32], remote[32]; /* the last edit of each side; "" none */
};

struct day {
    struct world *world;
    uint64_t seed;
    int values;                         /* given out: each edit's value is unique */
    int records;                        /* that exist anywhere */
    bool here[RECORDS], there[RECORDS]; /* made on this side */
    struct book books[RECORDS][FIELD_COUNT];
    int trouble_percent;
};

static const char *const columns[] = {"sku", "name", "price", "inventory", "description"};

static uint64_t next_random(struct day *day)
{
    day->seed ^= day->seed << 13;
    day->seed ^= day->seed >> 7;
    day->seed ^= day->seed << 17;
    return day->seed;
}

static int pick(struct day *day, int count)
{
    return (int)(next_random(day) % (uint64_t)count);
}

static void new_value(struct day *day, int field, char out[32])
{
    day->values++;
    if (field == PRICE || field == STOCK)
        snprintf(out, 32, "%d", 1000 + day->values);
    else
        snprintf(out, 32, "v%d", day->values);
}

static const char *sku_of(int record, char out[16])
{
    snprintf(out, 16, "S%03d", record);
    return out;
}

/* ---- what people do ---- */

static void edit_here(struct day *day, int record)
{
    static const int fields[] = {NAME, PRICE, TEXT};
    int field = fields[pick(day, 3)];
    struct book *book = &day->books[record][field];
    char sku[16], value[32];

    if (!world_count(day->world, "products WHERE sku = '%s'", sku_of(record, sku)))
        return;
    new_value(day, field, value);
    memcpy(book->local, value, sizeof value);
    world_sql(day->world, "UPDATE products SET %s = '%s' WHERE sku = '%s'", columns[field],
              book->local, sku);
}

static void edit_there(struct day *day, int record)
{
    static const int fields[] = {NAME, STOCK, TEXT};
    int field = fields[pick(day, 3)];
    struct book *book = &day->books[record][field];
    struct shop_object *object;
    char sku[16];

    object = shop_find(&day->world->shop, sku_of(record, sku));
    if (!object)
        return;
    new_value(day, field, book->remote);
    shop_edit(&day->world->shop, object, field, book->remote, field == STOCK);
}

static void make_record(struct day *day)
{
    int record = day->records;
    char sku[16], name[32];

    if (record == RECORDS)
        return;
    day->records++;
    sku_of(record, sku);
    new_value(day, NAME, name);
    if (pick(day, 2)) {
        day->here[record] = true;
        world_sql(day->world,
                  "INSERT INTO products (sku, name, price, inventory, description) VALUES "
                  "('%s', '%s', 5, 1, '')",
                  sku, name);
    } else {
        day->there[record] = true;
        world_sell(day->world, sku, name, "5", "1");
    }
}

/* ---- trouble ---- */

static enum shop_trouble trouble(struct shop *shop, bool write)
{
    static const enum shop_trouble writes[] = {SHOP_REFUSED, SHOP_BUSY, SHOP_LOST_BEFORE,
                                               SHOP_LOST_AFTER, SHOP_FAILED_AFTER};
    struct day *day = shop->arg;

    if (pick(day, 100) < day->trouble_percent / 3)
        edit_here(day, pick(day, RECORDS)); /* somebody edits while the request is out */
    if (pick(day, 100) >= day->trouble_percent)
        return SHOP_WELL;
    return write ? writes[pick(day, 5)] : SHOP_REFUSED;
}

static void ignore(void *arg, const struct ls_reconcile_result *result, const struct ls_err *err)
{
}

/* Some runs begin, the loop turns a few times, and the process is gone. */
static void kill_in_the_middle(struct day *day)
{
    struct world *world = day->world;
    int turns = pick(day, 25);

    for (int i = 0; i < 6; i++) {
        char sku[16];
        const char *id = world_get(world, "SELECT id FROM products WHERE sku = '%s'",
                                   sku_of(pick(day, RECORDS), sku));
        char uid[64];
        if (strcmp(id, "(none)") == 0)
            continue;
        snprintf(uid, sizeof uid, "%s",
                 world_get(world, "SELECT uid FROM lockstep_link WHERE local_id = '%s'", id));
        if (strcmp(uid, "(none)") == 0)
            continue;
        ls_reconcile_begin(&(struct ls_reconcile_request){.sync = world->sync,
                                                          .uid = uid,
                                                          .fence = ++world->fence},
                           ignore, NULL);
    }
    while (turns-- > 0)
        uv_run(&world->loop, UV_RUN_ONCE);
    world_reopen(world);
}

static void step(struct day *day)
{
    struct world *world = day->world;

    world->shop.now_ms += 200 + pick(day, 3000);
    switch (pick(day, 12)) {
    case 0:
        make_record(day);
        break;
    case 1:
    case 2:
    case 3:
        edit_here(day, pick(day, RECORDS));
        break;
    case 4:
    case 5:
    case 6:
        edit_there(day, pick(day, RECORDS));
        break;
    case 7:
        world_feed(world, LS_FEED_CHANGES, pick(day, 2));
        break;
    case 8:
        world_feed(world, LS_FEED_BLIND, pick(day, 2));
        break;
    case 9:
        kill_in_the_middle(day);
        break;
    default:
        world_drain(world, 1);
    }
}

/* ---- the books ---- */

static void settle(struct day *day)
{
    struct world *world = day->world;

    day->trouble_percent = 0;
    for (int i = 0; i < 6; i++) {
        world->shop.now_ms += 60000;
        assert_int_equal(world_feed(world, LS_FEED_ALL, 0), 0);
        world_drain(world, 20);
        if (world->failures)
            fail_msg("%d failures: %s", world->failures, world->last_failure.text);
    }
    if (world_count(world, "lockstep_dirty"))
        fail_msg("marked for good: %s, %s",
                 world_get(world, "SELECT side || ' ' || ref || ' ' || gen || ' ' || origin || ' ' "
                                  "|| ifnull(pushed_gen, '-') FROM lockstep_dirty"),
                 world_get(world,
                           "SELECT group_concat(uid || ' ' || ifnull(local_id, '-') || ' ' || "
                           "ifnull(remote_id, '-') || ' ' || state || ' ' || dead || ' ' || "
                           "ifnull(error, ''), '; ') FROM lockstep_link, lockstep_dirty d "
                           "WHERE ref IN (local_id, remote_id)"));
}

static void check_field(struct day *day, int record, int field, const char *here, const char *there)
{
    const struct book *book = &day->books[record][field];
    char sku[16];
    bool equal = strcmp(here, there) == 0;
    bool listed =
        world_count(
            day->world,
            "lockstep_conflict c JOIN lockstep_link l ON l.id = c.link JOIN products p ON "
            "p.id = l.local_id WHERE c.closed_at IS NULL AND p.sku = '%s' AND c.field = '%s'",
            sku_of(record, sku), columns[field]) > 0;

    if (getenv("LS_TEST_LOUD") && !equal && !listed) {
        print_message(
            "link: %s\n",
            world_get(day->world,
                      "SELECT uid || ' ' || state || ' ' || ifnull(remote_id, '-') || ' ' "
                      "|| ifnull(base_json, '-') FROM lockstep_link l JOIN products p ON "
                      "p.id = l.local_id WHERE p.sku = '%s'",
                      sku));
        print_message("audit: %s\n",
                      world_get(day->world,
                                "SELECT group_concat(row || ' ' || dir || ' ' || field || ' ' || "
                                "ifnull(old_value, '-') || ' ' || ifnull(new_value, '-'), '\n') "
                                "FROM lockstep_audit a JOIN lockstep_link l ON l.id = a.link JOIN "
                                "products p ON p.id = l.local_id WHERE p.sku = '%s'",
                                sku));
    }
    if ((!equal && !listed) || (equal && listed))
        fail_msg("%s %s: here '%s', there '%s', conflict %s", sku, columns[field], here, there,
                 listed ? "listed" : "not listed");
    if (book->local[0] && !book->remote[0] && strcmp(there, book->local) != 0)
        fail_msg("%s %s: the database's edit '%s' is lost: '%s'", sku, columns[field], book->local,
                 there);
    if (book->remote[0] && !book->local[0] && strcmp(here, book->remote) != 0)
        fail_msg("%s %s: the shop's edit '%s' is lost: '%s'", sku, columns[field], book->remote,
                 here);
    if (book->remote[0] && book->local[0] && strcmp(here, book->remote) != 0 &&
        strcmp(here, book->local) != 0)
        fail_msg("%s %s: '%s' is nobody's value", sku, columns[field], here);
    if (listed && (strcmp(here, book->local) != 0 || strcmp(there, book->remote) != 0))
        fail_msg("%s %s: a listed conflict lost a value", sku, columns[field]);
}

static void check_books(struct day *day)
{
    struct world *world = day->world;

    assert_int_equal(world->shop.tangled, 0);
    assert_int_equal(world->shop.count, day->records);
    assert_int_equal(world_count(world, "products"), day->records);
    for (int record = 0; record < day->records; record++) {
        char sku[16], here[FIELD_COUNT][64];
        const struct shop_object *object = shop_find(&world->shop, sku_of(record, sku));
        assert_non_null(object);
        for (int field = NAME; field < FIELD_COUNT; field++) {
            snprintf(
                here[field], sizeof here[field], "%s",
                world_get(world, "SELECT %s FROM products WHERE sku = '%s'", columns[field], sku));
            check_field(day, record, field, here[field],
                        object->fields[field] ? object->fields[field] : "");
        }
    }
}

/* Conflicts that are listed stay open over the evening: their fields keep their books. */
static void close_books(struct day *day)
{
    char sku[16];

    for (int record = 0; record < day->records; record++)
        for (int field = 0; field < FIELD_COUNT; field++)
            if (!world_count(day->world,
                             "lockstep_conflict c JOIN lockstep_link l ON l.id = c.link JOIN "
                             "products p ON p.id = l.local_id WHERE c.closed_at IS NULL AND p.sku "
                             "= '%s' AND c.field = '%s'",
                             sku_of(record, sku), columns[field]))
                day->books[record][field] = (struct book){0};
}

static void play(uint64_t seed)
{
    struct world *world = LS_NEW(struct world);
    struct day day = {.world = world, .seed = seed};

    world_open(world, "fields");
    world_start(world);
    world->shop.arg = &day;
    world->shop.trouble = trouble;
    for (int i = 0; i < 8; i++)
        make_record(&day);
    for (int epoch = 0; epoch < 3; epoch++) {
        day.trouble_percent = 15 * epoch;
        for (int i = 0; i < STEPS / 3; i++)
            step(&day);
        settle(&day);
        check_books(&day);
        close_books(&day);
    }
    world_close(world);
    free(world);
}

static void random_days__lose_no_edit_and_make_nothing_twice(void **state)
{
    const char *given = getenv("LS_TEST_SEED"), *count = getenv("LS_TEST_DAYS");
    uint64_t seed = given ? strtoull(given, NULL, 10) : ls_rand_u64() | 1;
    int days = count ? (int)strtol(count, NULL, 10) : 6;

    ls_log_set_level(getenv("LS_TEST_LOUD") ? LS_LOG_DEBUG : LS_LOG_ERROR);
    for (int day = 0; day < days; day++, seed += 2) {
        print_message("LS_TEST_SEED=%llu\n", (unsigned long long)seed);
        play(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_days__lose_no_edit_and_make_nothing_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
