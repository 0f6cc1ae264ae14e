#include "common/store/sqlite/schema.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/mem.h"

/* ms since 1970, also in the SQLite that the application brings along (no 'subsec' before 3.42). */
#define SQL_NOW "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)"
#define SQL_GEN "(SELECT value FROM lockstep_sequence)"

static struct ls_schema_object *add(struct ls_schema_objects *objects, const char *type,
                                    char *name);
static void begin_trigger(struct ls_buf *sql, const struct ls_app_table *table, const char *name,
                          const char *event);
static void add_scope(struct ls_buf *sql, const struct ls_app_table *table);
static void add_column(struct ls_buf *sql, const char *of, const char *column);
static void add_differs(struct ls_buf *sql, const char *column);
static void add_mark(struct ls_buf *sql, const struct ls_app_table *table, const char *ref,
                     const char *high);
static char *high_of_change(const struct ls_app_table *table);
static bool any_critical(const struct ls_mapping *mapping);
static char *ref_of(const char *of, const struct ls_app_table *table);
static void add_replace_triggers(struct ls_schema_objects *objects,
                                 const struct ls_app_table *table);
static void add_view_columns(struct ls_buf *sql, const struct ls_app_table *table);

/* ---- triggers --------------------------------------------------------------------------------
 *
 * They run inside the application's statements, on any connection and any SQLite that the
 * application uses. So: no UPSERT and no INSERT OR ..., because the conflict clause of the outer
 * statement (INSERT OR REPLACE INTO products ...) takes the place of the inner one; comparisons
 * with COLLATE BINARY, because a NOCASE column hides "a" -> "A"; and nothing that needs
 * recursive_triggers. */

void ls_schema_triggers(struct ls_schema_objects *objects, const struct ls_app_table *table)
{
    const struct ls_mapping *mapping = table->mapping;
    char *new_ref = ref_of("NEW", table), *old_ref = ref_of("OLD", table);
    const char *always = any_critical(mapping) ? "1" : "0";
    char *high = high_of_change(table);
    struct ls_schema_object *object;
    struct ls_buf sql = {0};

    object = add(objects, "trigger", ls_xasprintf("lockstep_%s_insert", mapping->sync));
    begin_trigger(&sql, table, object->name, "AFTER INSERT");
    ls_buf_puts(&sql, "WHEN ");
    add_column(&sql, "NEW", mapping->id_column);
    ls_buf_puts(&sql, " IS NOT NULL\nBEGIN\n");
    add_mark(&sql, table, new_ref, always);
    ls_buf_puts(&sql, "END");
    object->sql = ls_buf_take(&sql);

    object = add(objects, "trigger", ls_xasprintf("lockstep_%s_update", mapping->sync));
    begin_trigger(&sql, table, object->name, "AFTER UPDATE");
    ls_buf_puts(&sql, "WHEN ");
    add_differs(&sql, mapping->id_column);
    for (size_t i = 0; i < mapping->count; i++) {
        ls_buf_puts(&sql, "\n  OR ");
        add_differs(&sql, mapping->fields[i].column);
    }
    ls_buf_puts(&sql, "\nBEGIN\n");
    add_mark(&sql, table, new_ref, high);
    ls_buf_puts(&sql, "END");
    object->sql = ls_buf_take(&sql);

    object = add(objects, "trigger", ls_xasprintf("lockstep_%s_key", mapping->sync));
    begin_trigger(&sql, table, object->name, "AFTER UPDATE");
    ls_buf_puts(&sql, "WHEN ");
    add_differs(&sql, mapping->id_column);
    ls_buf_puts(&sql, " AND ");
    add_column(&sql, "OLD", mapping->id_column);
    ls_buf_puts(&sql, " IS NOT NULL\nBEGIN\n");
    add_mark(&sql, table, old_ref, always);
    ls_buf_puts(&sql, "END");
    object->sql = ls_buf_take(&sql);

    object = add(objects, "trigger", ls_xasprintf("lockstep_%s_delete", mapping->sync));
    begin_trigger(&sql, table, object->name, "AFTER DELETE");
    ls_buf_puts(&sql, "WHEN ");
    add_column(&sql, "OLD", mapping->id_column);
    ls_buf_puts(&sql, " IS NOT NULL\nBEGIN\n");
    add_mark(&sql, table, old_ref, always);
    ls_buf_puts(&sql, "END");
    object->sql = ls_buf_take(&sql);

    if (table->unique_count)
        add_replace_triggers(objects, table);
    free(high);
    free(new_ref);
    free(old_ref);
}

/* A REPLACE that clashes on another unique index removes a row without firing its DELETE trigger.
 * Before the statement, the rows that may go are noted as suspects; after it, those that are gone
 * are marked. */
static void add_replace_triggers(struct ls_schema_objects *objects,
                                 const struct ls_app_table *table)
{
    static const struct {
        const char *name, *event;
        bool before;
    } events[] = {{"suspect_i", "BEFORE INSERT", true},
                  {"suspect_u", "BEFORE UPDATE", true},
                  {"gone_i", "AFTER INSERT", false},
                  {"gone_u", "AFTER UPDATE", false}};
    const struct ls_mapping *mapping = table->mapping;
    struct ls_buf clash = {0}, change = {0}, sql = {0};

    for (size_t i = 0; i < table->unique_count; i++) {
        ls_buf_puts(&clash, i ? "\n      OR (" : "(");
        for (size_t j = 0; j < table->uniques[i].count; j++) {
            const char *column = table->uniques[i].columns[j];
            ls_buf_puts(&clash, j ? " AND t." : "t.");
            ls_db_quote_name(&clash, column);
            ls_buf_puts(&clash, " = ");
            add_column(&clash, "NEW", column);
            ls_buf_puts(&change, change.length ? " OR " : "");
            add_differs(&change, column);
        }
        ls_buf_putc(&clash, ')');
    }
    for (size_t i = 0; i < LS_COUNT(events); i++) {
        struct ls_schema_object *object =
            add(objects, "trigger", ls_xasprintf("lockstep_%s_%s", mapping->sync, events[i].name));
        begin_trigger(&sql, table, object->name, events[i].event);
        if (strstr(events[i].event, "UPDATE"))
            ls_buf_printf(&sql, "WHEN %s\n", change.data);
        ls_buf_puts(&sql, "BEGIN\n");
        if (events[i].before) {
            ls_buf_puts(&sql, "  INSERT INTO lockstep_suspect (account, entity, ref)\n    SELECT ");
            add_scope(&sql, table);
            ls_buf_printf(&sql, ", CAST(%s AS TEXT) FROM %s WHERE (%s)\n", table->key, table->from,
                          clash.data);
            ls_buf_puts(&sql, "      AND NOT EXISTS (SELECT 1 FROM lockstep_suspect AS s WHERE "
                              "(s.account, s.entity) = (");
            add_scope(&sql, table);
            ls_buf_printf(&sql, ") AND s.ref = CAST(%s AS TEXT));\n", table->key);
        } else {
            ls_buf_puts(&sql, "  UPDATE lockstep_sequence SET value = value + 1 WHERE EXISTS "
                              "(SELECT 1 FROM lockstep_suspect);\n");
            ls_buf_puts(&sql, "  UPDATE lockstep_dirty SET gen = " SQL_GEN
                              ", origin = 'trigger', high = max(high, 0)\n"
                              "    WHERE (account, entity) = (");
            add_scope(&sql, table);
            ls_buf_puts(&sql, ") AND side = 'l' AND ref IN (SELECT s.ref FROM lockstep_suspect AS "
                              "s WHERE (s.account, s.entity) = (");
            add_scope(&sql, table);
            ls_buf_printf(&sql, ")\n      AND NOT EXISTS (SELECT 1 FROM %s WHERE %s = s.ref));\n",
                          table->from, table->key);
            ls_buf_puts(&sql, "  INSERT INTO lockstep_dirty (account, entity, side, ref, gen, "
                              "first_at, origin, high)\n"
                              "    SELECT s.account, s.entity, 'l', s.ref, " SQL_GEN ", " SQL_NOW
                              ", 'trigger', 0 FROM lockstep_suspect AS s\n"
                              "    WHERE (s.account, s.entity) = (");
            add_scope(&sql, table);
            ls_buf_printf(&sql, ") AND NOT EXISTS (SELECT 1 FROM %s WHERE %s = s.ref)\n",
                          table->from, table->key);
            ls_buf_puts(&sql, "      AND NOT EXISTS (SELECT 1 FROM lockstep_dirty AS d WHERE "
                              "d.account = s.account AND d.entity = s.entity\n"
                              "        AND d.side = 'l' AND d.ref = s.ref);\n");
            ls_buf_puts(&sql, "  DELETE FROM lockstep_suspect WHERE (account, entity) = (");
            add_scope(&sql, table);
            ls_buf_puts(&sql, ");\n");
        }
        ls_buf_puts(&sql, "END");
        object->sql = ls_buf_take(&sql);
    }
    ls_buf_fini(&clash);
    ls_buf_fini(&change);
}

static void begin_trigger(struct ls_buf *sql, const struct ls_app_table *table, const char *name,
                          const char *event)
{
    ls_buf_puts(sql, "CREATE TRIGGER ");
    ls_db_quote_name(sql, name);
    ls_buf_printf(sql, " %s ON ", event);
    ls_db_quote_name(sql, table->mapping->table);
    ls_buf_putc(sql, '\n');
}

static void add_scope(struct ls_buf *sql, const struct ls_app_table *table)
{
    ls_db_quote_text(sql, table->mapping->account);
    ls_buf_puts(sql, ", ");
    ls_db_quote_text(sql, table->mapping->entity);
}

static void add_column(struct ls_buf *sql, const char *of, const char *column)
{
    ls_buf_printf(sql, "%s.", of);
    ls_db_quote_name(sql, column);
}

static void add_differs(struct ls_buf *sql, const char *column)
{
    add_column(sql, "NEW", column);
    ls_buf_puts(sql, " IS NOT ");
    add_column(sql, "OLD", column);
    ls_buf_puts(sql, " COLLATE BINARY");
}

/* A new generation, then the mark: first as an update, then, if there was none, as a new row. */
static void add_mark(struct ls_buf *sql, const struct ls_app_table *table, const char *ref,
                     const char *high)
{
    ls_buf_puts(sql, "  UPDATE lockstep_sequence SET value = value + 1;\n"
                     "  UPDATE lockstep_dirty SET gen = " SQL_GEN ", origin = 'trigger', ");
    ls_buf_printf(sql, "high = max(high, %s)\n    WHERE (account, entity) = (", high);
    add_scope(sql, table);
    ls_buf_printf(sql, ") AND side = 'l' AND ref = %s;\n", ref);
    ls_buf_puts(sql, "  INSERT INTO lockstep_dirty (account, entity, side, ref, gen, first_at, "
                     "origin, high)\n    SELECT ");
    add_scope(sql, table);
    ls_buf_printf(sql, ", 'l', %s, " SQL_GEN ", " SQL_NOW ", 'trigger', %s\n", ref, high);
    ls_buf_puts(sql,
                "    WHERE NOT EXISTS (SELECT 1 FROM lockstep_dirty WHERE (account, entity) = (");
    add_scope(sql, table);
    ls_buf_printf(sql, ") AND side = 'l' AND ref = %s);\n", ref);
}

static bool any_critical(const struct ls_mapping *mapping)
{
    for (size_t i = 0; i < mapping->count; i++)
        if (mapping->fields[i].critical)
            return true;
    return false;
}

/* 1 when one of the critical columns changed, as SQL. */
static char *high_of_change(const struct ls_app_table *table)
{
    const struct ls_mapping *mapping = table->mapping;
    struct ls_buf sql = {0};

    if (!any_critical(mapping))
        return ls_xstrdup("0");
    ls_buf_putc(&sql, '(');
    add_differs(&sql, mapping->id_column);
    for (size_t i = 0; i < mapping->count; i++) {
        if (!mapping->fields[i].critical)
            continue;
        ls_buf_puts(&sql, " OR ");
        add_differs(&sql, mapping->fields[i].column);
    }
    ls_buf_putc(&sql, ')');
    return ls_buf_take(&sql);
}

static char *ref_of(const char *of, const struct ls_app_table *table)
{
    struct ls_buf sql = {0};

    ls_buf_puts(&sql, "CAST(");
    add_column(&sql, of, table->mapping->id_column);
    ls_buf_puts(&sql, " AS TEXT)");
    return ls_buf_take(&sql);
}

/* ---- views ----------------------------------------------------------------------------------- */

/* Times as SQLite's own datetime() writes them, so that they compare with it. */
#define SQL_TIME(column) "strftime('%Y-%m-%d %H:%M:%S', " column " / 1000, 'unixepoch')"

void ls_schema_view(struct ls_schema_objects *objects, const struct ls_app_table *table,
                    bool further)
{
    const struct ls_mapping *mapping = table->mapping;
    char *name = further ? ls_xasprintf("lockstep_status_%s_%s", mapping->table, mapping->sync)
                         : ls_xasprintf("lockstep_status_%s", mapping->table);
    struct ls_schema_object *object = add(objects, "view", name);
    struct ls_buf sql = {0};

    ls_buf_puts(&sql, "CREATE VIEW ");
    ls_db_quote_name(&sql, name);
    ls_buf_puts(&sql, " AS SELECT ");
    add_view_columns(&sql, table);
    ls_buf_puts(
        &sql,
        "  CASE WHEN l.dead = 1 THEN 'dead'\n"
        "       WHEN l.state = 'parked' OR EXISTS (SELECT 1 FROM lockstep_conflict AS c WHERE "
        "c.link = l.id AND c.closed_at IS NULL) THEN 'parked'\n"
        "       WHEN l.state IS NULL OR l.state <> 'linked' OR dl.gen IS NOT NULL OR dr.gen IS NOT "
        "NULL THEN 'pending'\n"
        "       ELSE 'synced' END AS sync_status,\n"
        "  " SQL_TIME("l.synced_at") " AS last_synced_at,\n"
                                     "  " SQL_TIME("l.verified_at") " AS last_verified_at,\n"
                                                                    "  l.error AS last_error,\n"
                                                                    "  l.remote_id AS remote_id,\n"
                                                                    "  l.uid AS uid\n");
    ls_buf_printf(&sql, "FROM %s\nLEFT JOIN lockstep_link AS l ON (l.account, l.entity) = (",
                  table->from);
    add_scope(&sql, table);
    ls_buf_printf(&sql, ") AND l.local_id = CAST(%s AS TEXT)\n", table->key);
    ls_buf_puts(&sql, "LEFT JOIN lockstep_dirty AS dl ON (dl.account, dl.entity) = (");
    add_scope(&sql, table);
    ls_buf_printf(&sql, ") AND dl.side = 'l' AND dl.ref = CAST(%s AS TEXT)\n", table->key);
    ls_buf_puts(&sql, "LEFT JOIN lockstep_dirty AS dr ON (dr.account, dr.entity) = (");
    add_scope(&sql, table);
    ls_buf_puts(&sql, ") AND dr.side = 'r' AND dr.ref = l.remote_id");
    object->sql = ls_buf_take(&sql);
}

/* id, <entity>_id, the mapped columns under their own names, updated_at: each name once, ours
 * first. */
static void add_view_columns(struct ls_buf *sql, const struct ls_app_table *table)
{
    static const char *const ours[] = {"sync_status",      "last_synced_at",
                                       "last_verified_at", "last_error",
                                       "remote_id",        "uid",
                                       "updated_at",       "id"};
    const struct ls_mapping *mapping = table->mapping;
    char *entity_id = ls_xasprintf("%s_id", mapping->entity);

    ls_buf_printf(sql, "%s AS id,\n  ", table->key);
    if (strcasecmp(entity_id, "remote_id") != 0) {
        ls_buf_printf(sql, "%s AS ", table->key);
        ls_db_quote_name(sql, entity_id);
        ls_buf_puts(sql, ",\n  ");
    }
    for (size_t i = 0; i < mapping->count; i++) {
        const char *column = mapping->fields[i].column;
        bool taken = strcasecmp(column, entity_id) == 0;
        for (size_t j = 0; j < LS_COUNT(ours); j++)
            taken |= strcasecmp(column, ours[j]) == 0;
        for (size_t j = 0; j < i; j++)
            taken |= strcasecmp(column, mapping->fields[j].column) == 0;
        if (taken)
            continue;
        ls_buf_puts(sql, "t.");
        ls_db_quote_name(sql, column);
        ls_buf_puts(sql, " AS ");
        ls_db_quote_name(sql, column);
        ls_buf_puts(sql, ",\n  ");
    }
    ls_buf_puts(
        sql,
        table->has_updated_at
            ? "t.\"updated_at\" AS updated_at,\n"
            : SQL_TIME("coalesce(dl.first_at, l.changed_at, l.created_at)") " AS updated_at,\n");
    free(entity_id);
}

/* INSERT INTO lockstep_raise_products (id) VALUES (12), in the transaction of the change or later: its
 * mark goes to the high lane at once, whatever the sync's mode; nothing where nothing waits. */
void ls_schema_raise(struct ls_schema_objects *objects, const struct ls_app_table *table)
{
    const struct ls_mapping *mapping = table->mapping;
    struct ls_schema_object *object =
        add(objects, "view", ls_xasprintf("lockstep_raise_%s", mapping->sync));
    char *view = ls_xstrdup(object->name);
    struct ls_buf sql = {0};

    ls_buf_puts(&sql, "CREATE VIEW ");
    ls_db_quote_name(&sql, view);
    ls_buf_puts(&sql, " AS SELECT ref AS id FROM lockstep_dirty\n"
                      "WHERE (account, entity) = (");
    add_scope(&sql, table);
    ls_buf_puts(&sql, ") AND side = 'l' AND high = 2");
    object->sql = ls_buf_take(&sql);

    object = add(objects, "trigger", ls_xasprintf("lockstep_%s_raise", mapping->sync));
    ls_buf_puts(&sql, "CREATE TRIGGER ");
    ls_db_quote_name(&sql, object->name);
    ls_buf_puts(&sql, " INSTEAD OF INSERT ON ");
    ls_db_quote_name(&sql, view);
    ls_buf_puts(&sql, "\nBEGIN\n  UPDATE lockstep_dirty SET high = 2, pushed_gen = NULL\n"
                      "    WHERE (account, entity) = (");
    add_scope(&sql, table);
    ls_buf_puts(&sql, ") AND side = 'l' AND ref = CAST(NEW.id AS TEXT);\nEND");
    object->sql = ls_buf_take(&sql);
    free(view);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static struct ls_schema_object *add(struct ls_schema_objects *objects, const char *type, char *name)
{
    struct ls_schema_object *object;

    objects->items = ls_xrealloc(objects->items, (objects->count + 1) * sizeof *objects->items);
    object = &objects->items[objects->count++];
    *object = (struct ls_schema_object){.type = type, .name = name};
    return object;
}

void ls_schema_objects_fini(struct ls_schema_objects *objects)
{
    for (size_t i = 0; i < objects->count; i++) {
        free(objects->items[i].name);
        free(objects->items[i].sql);
    }
    free(objects->items);
    *objects = (struct ls_schema_objects){0};
}

int ls_schema_version(struct ls_db *db, int64_t *version, struct ls_err *err)
{
    int64_t tables;

    *version = 0;
    if (ls_db_int(
            db, &tables, 0, err,
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'lockstep_schema'",
            "") < 0)
        return -1;
    if (!tables)
        return 0;
    return ls_db_int(db, version, 0, err, "SELECT max(version) FROM lockstep_schema", "");
}

int ls_schema_check_version(struct ls_db *db, struct ls_err *err)
{
    int64_t version;

    if (ls_schema_version(db, &version, err) < 0)
        return -1;
    if (version == LS_SQLITE_VERSION)
        return 0;
    if (version == 0) {
        ls_fail(err, LS_E_CONFIG, "database '%s' has no lockstep tables", db->shown);
        return ls_hint(err, "run `lockstep store install`");
    }
    ls_fail(err, LS_E_CONFIG,
            "database '%s' has lockstep tables of version %lld, this program needs %d", db->shown,
            (long long)version, LS_SQLITE_VERSION);
    return ls_hint(err, version < LS_SQLITE_VERSION ? "run `lockstep store install`"
                                                    : "a newer lockstep was here: use that one");
}
