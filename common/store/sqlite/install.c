/* What `lockstep store install | check | uninstall` do: blocking, on a connection of their own.
 * Everything happens in one immediate transaction that first looks at what is there, so any number
 * may run at once. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/store/sqlite/schema.h"
#include "common/store/sqlite/sqlite.h"

#define INSTALL_BUSY_MS 10000

/* Objects that are ours by name and content; the prefix is reserved. */
#define SQL_OURS                                                                                   \
    "((type = 'trigger' AND name LIKE 'lockstep\\_%' ESCAPE '\\' AND sql LIKE '%lockstep_dirty%' " \
    ") OR (type = 'trigger' AND name LIKE 'lockstep\\_%' ESCAPE '\\' AND sql LIKE "                \
    "'%lockstep_suspect%') OR (type = 'view' AND name LIKE 'lockstep\\_status\\_%' ESCAPE '\\') "  \
    "OR "                                                                                          \
    "(type = 'view' AND name LIKE 'lockstep\\_raise\\_%' ESCAPE '\\'))"

static const char *const tables[] = {
    "lockstep_schema",  "lockstep_sequence", "lockstep_sync", "lockstep_link", "lockstep_dirty",
    "lockstep_suspect", "lockstep_cursor",   "lockstep_op",   "lockstep_sent", "lockstep_conflict",
    "lockstep_audit",   "lockstep_run",      "lockstep_gate",
};

/* A run of one of the three: the connection, what should be there, and where the SQL is printed. */
struct install {
    struct ls_db db;
    struct ls_schema_objects objects;
    bool dry_run;
    struct ls_buf *out;
};

static int open_install(struct install *install, const char *url, bool read_only,
                        struct ls_err *err);
static void close_install(struct install *install);
static int want(struct install *install, const struct ls_mapping *const *mappings, size_t count,
                struct ls_err *err);
static int do_sql(struct install *install, const char *sql, struct ls_err *err);
static int migrate(struct install *install, struct ls_err *err);
static int make_objects(struct install *install, struct ls_err *err);
static int drop_others(struct install *install, struct ls_err *err);
static int register_syncs(struct install *install, const struct ls_mapping *const *mappings,
                          size_t count, struct ls_err *err);
static int set_journal_mode(struct install *install, const char *mode, struct ls_err *err);
static int journal_mode(struct install *install, char out[16], struct ls_err *err);
static int object_sql(struct install *install, const struct ls_schema_object *object, char **sql,
                      struct ls_err *err);

int ls_sqlite_install(const char *url, const struct ls_mapping *const *mappings, size_t count,
                      bool dry_run, struct ls_buf *out, struct ls_err *err)
{
    struct install install = {.dry_run = dry_run, .out = out};
    int failed = -1;

    if (open_install(&install, url, dry_run, err) < 0)
        return -1;
    if (want(&install, mappings, count, err) < 0 ||
        ls_db_exec(&install.db, dry_run ? "BEGIN" : "BEGIN IMMEDIATE", err) < 0)
        goto end;
    if (migrate(&install, err) < 0 || drop_others(&install, err) < 0 ||
        make_objects(&install, err) < 0 || register_syncs(&install, mappings, count, err) < 0) {
        ls_db_release(&install.db);
        ls_db_exec(&install.db, "ROLLBACK", NULL);
        goto end;
    }
    ls_db_release(&install.db);
    if (ls_db_exec(&install.db, "COMMIT", err) < 0)
        goto end;
    failed = set_journal_mode(&install, "wal", err);
end:
    close_install(&install);
    return failed;
}

int ls_sqlite_uninstall(const char *url, const struct ls_mapping *const *mappings, size_t count,
                        bool data, struct ls_buf *out, struct ls_err *err)
{
    struct install install = {.out = out};
    char before[16] = "";
    int64_t version = 0;
    int failed = -1;

    (void)mappings; /* what is ours is known by its name, also for syncs that left the configuration
                     */
    (void)count;
    if (open_install(&install, url, false, err) < 0)
        return -1;
    if (ls_db_exec(&install.db, "BEGIN IMMEDIATE", err) < 0)
        goto end;
    failed = drop_others(&install, err);
    if (!failed && data && (failed = ls_schema_version(&install.db, &version, err)) == 0 &&
        version) {
        sqlite3_stmt *row;
        failed =
            ls_db_query(&install.db, &row, err, "SELECT journal_mode FROM lockstep_schema", "");
        if (!failed && ls_db_next(&install.db, row, NULL) > 0)
            snprintf(before, sizeof before, "%s", ls_db_text(row, 0));
        ls_db_release(&install.db);
        for (size_t i = 0; !failed && i < LS_COUNT(tables); i++) {
            char *sql = ls_xasprintf("DROP TABLE IF EXISTS %s", tables[i]);
            failed = do_sql(&install, sql, err);
            free(sql);
        }
    }
    ls_db_release(&install.db);
    if (failed || (failed = ls_db_exec(&install.db, "COMMIT", err)) < 0) {
        ls_db_exec(&install.db, "ROLLBACK", NULL);
        goto end;
    }
    if (*before)
        failed = set_journal_mode(&install, before, err);
end:
    close_install(&install);
    return failed;
}

int ls_sqlite_check(const char *url, const struct ls_mapping *const *mappings, size_t count,
                    struct ls_err *err)
{
    struct install install = {0};
    int failed = -1;

    if (open_install(&install, url, true, err) < 0)
        return -1;
    if (want(&install, mappings, count, err) < 0 || ls_schema_check_version(&install.db, err) < 0)
        goto end;
    for (size_t i = 0; i < install.objects.count; i++) {
        const struct ls_schema_object *object = &install.objects.items[i];
        char *sql = NULL;
        if (object_sql(&install, object, &sql, err) < 0)
            goto end;
        if (!sql || strcmp(sql, object->sql) != 0) {
            ls_fail(err, LS_E_CONFIG, "%s '%s' %s in database '%s'", object->type, object->name,
                    sql ? "does not fit the configuration" : "is missing", install.db.shown);
            ls_hint(err, "run `lockstep store install`");
            free(sql);
            goto end;
        }
        free(sql);
    }
    failed = 0;
end:
    close_install(&install);
    return failed;
}

int ls_sqlite_lock(const char *url, struct ls_err *err)
{
    const char *path = ls_db_path(url, err);
    char *name, pid[32] = "";
    int fd, length;

    if (!path)
        return -1;
    name = ls_xasprintf("%s.lockstep-lock", path);
    fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        ls_fail_errno(err, "cannot open lock '%s'", name);
        free(name);
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        bool held = errno == EWOULDBLOCK;
        ls_fail_errno(err, "cannot lock '%s'", name);
        length = (int)pread(fd, pid, sizeof pid - 1, 0);
        pid[length > 0 ? strcspn(pid, "\n") : 0] = '\0';
        if (held) {
            ls_fail(err, LS_E_EXISTS, "database '%s' belongs to another pool, process %s", path,
                    *pid ? pid : "unknown");
            ls_hint(err, "one pool at a time works on a SQLite database: stop that one first");
        }
        close(fd);
        free(name);
        return -1;
    }
    length = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)length, 0) < 0)
        (void)0; /* the pid is for people only */
    free(name);
    return fd;
}

static int open_install(struct install *install, const char *url, bool read_only,
                        struct ls_err *err)
{
    const char *path = ls_db_path(url, err);

    return path ? ls_db_open(&install->db, path, read_only, INSTALL_BUSY_MS, err) : -1;
}

static void close_install(struct install *install)
{
    ls_schema_objects_fini(&install->objects);
    ls_db_close(&install->db);
}

static int want(struct install *install, const struct ls_mapping *const *mappings, size_t count,
                struct ls_err *err)
{
    for (size_t i = 0; i < count; i++) {
        bool further = false;
        struct ls_app_table *table;
        for (size_t j = 0; j < i; j++) {
            if (strcmp(mappings[i]->account, mappings[j]->account) == 0 &&
                strcmp(mappings[i]->entity, mappings[j]->entity) == 0) {
                ls_fail(err, LS_E_CONFIG, "syncs '%s' and '%s' both are '%s' of account '%s'",
                        mappings[j]->sync, mappings[i]->sync, mappings[i]->entity,
                        mappings[i]->account);
                return ls_hint(err, "an entity of an account has one table: remove one of them");
            }
            further |= strcasecmp(mappings[i]->table, mappings[j]->table) == 0;
        }
        table = ls_app_table_new(&install->db, mappings[i], err);
        if (!table)
            return ls_wrap(err, "sync '%s'", mappings[i]->sync);
        ls_schema_triggers(&install->objects, table);
        ls_schema_view(&install->objects, table, further);
        ls_schema_raise(&install->objects, table);
        ls_app_table_free(table);
    }
    ls_db_release(&install->db);
    return 0;
}

static int do_sql(struct install *install, const char *sql, struct ls_err *err)
{
    size_t length = strlen(sql);

    while (length && sql[length - 1] == '\n')
        length--;
    if (install->out) {
        ls_buf_add(install->out, sql, length);
        ls_buf_puts(install->out, length && sql[length - 1] == ';' ? "\n" : ";\n");
    }
    return install->dry_run ? 0 : ls_db_exec(&install->db, sql, err);
}

static int migrate(struct install *install, struct ls_err *err)
{
    char before[16], *sql;
    int64_t version;
    int failed;

    if (ls_schema_version(&install->db, &version, err) < 0 ||
        journal_mode(install, before, err) < 0)
        return -1;
    if (version > LS_SQLITE_VERSION)
        return ls_schema_check_version(&install->db, err);
    ls_db_release(&install->db);
    if (version == LS_SQLITE_VERSION)
        return 0;
    for (int64_t i = version; i < LS_SQLITE_VERSION; i++)
        if (do_sql(install, ls_sqlite_migrations[i], err) < 0)
            return -1;
    sql = version ? ls_xasprintf("UPDATE lockstep_schema SET version = %d", LS_SQLITE_VERSION)
                  : ls_xasprintf("INSERT INTO lockstep_schema VALUES (%d, %lld, '%s')",
                                 LS_SQLITE_VERSION, (long long)ls_clock_wall_ms(), before);
    failed = do_sql(install, sql, err);
    free(sql);
    return failed;
}

/* *sql: how the object is in the database, NULL when it is not. The caller frees. */
static int object_sql(struct install *install, const struct ls_schema_object *object, char **sql,
                      struct ls_err *err)
{
    sqlite3_stmt *row;
    int found;

    *sql = NULL;
    if (ls_db_query(&install->db, &row, err,
                    "SELECT sql FROM sqlite_schema WHERE type = ?1 AND name = ?2", "tt",
                    object->type, object->name) < 0 ||
        (found = ls_db_next(&install->db, row, err)) < 0)
        return -1;
    if (found)
        *sql = ls_db_dup(row, 0);
    sqlite3_reset(row);
    return 0;
}

static int make_objects(struct install *install, struct ls_err *err)
{
    for (size_t i = 0; i < install->objects.count; i++) {
        const struct ls_schema_object *object = &install->objects.items[i];
        char *sql;
        int failed = object_sql(install, object, &sql, err);
        ls_db_release(&install->db);
        if (!failed && (!sql || strcmp(sql, object->sql) != 0))
            failed = do_sql(install, object->sql, err);
        free(sql);
        if (failed)
            return -1;
    }
    return 0;
}

/* Drop what is ours but is not wanted, or not as it is. */
static int drop_others(struct install *install, struct ls_err *err)
{
    struct ls_buf drops = {0};
    sqlite3_stmt *row;
    int found;

    if (ls_db_query(&install->db, &row, err,
                    "SELECT type, name, sql FROM sqlite_schema WHERE " SQL_OURS
                    " ORDER BY type", /* triggers go before the views they stand on */
                    "") < 0)
        return -1;
    while ((found = ls_db_next(&install->db, row, err)) > 0) {
        bool wanted = false;
        for (size_t i = 0; i < install->objects.count; i++)
            wanted |= strcmp(install->objects.items[i].name, ls_db_text(row, 1)) == 0 &&
                      strcmp(install->objects.items[i].sql, ls_db_text(row, 2)) == 0;
        if (wanted)
            continue;
        ls_buf_puts(&drops,
                    strcmp(ls_db_text(row, 0), "view") == 0 ? "DROP VIEW " : "DROP TRIGGER ");
        ls_db_quote_name(&drops, ls_db_text(row, 1));
        ls_buf_puts(&drops, ";\n");
    }
    ls_db_release(&install->db);
    if (found == 0 && drops.length)
        found = do_sql(install, drops.data, err);
    ls_buf_fini(&drops);
    return found;
}

static int register_syncs(struct install *install, const struct ls_mapping *const *mappings,
                          size_t count, struct ls_err *err)
{
    for (size_t i = 0; !install->dry_run && i < count; i++) {
        const struct ls_mapping *mapping = mappings[i];
        if (ls_db_run(&install->db, err,
                      "INSERT INTO lockstep_sync (account, entity, name) VALUES (?1, ?2, ?3) "
                      "ON CONFLICT DO UPDATE SET name = excluded.name WHERE name <> excluded.name",
                      "ttt", mapping->account, mapping->entity, mapping->sync) < 0)
            return -1;
    }
    return 0;
}

static int journal_mode(struct install *install, char out[16], struct ls_err *err)
{
    sqlite3_stmt *row;
    int found;

    if (ls_db_query(&install->db, &row, err, "PRAGMA journal_mode", "") < 0 ||
        (found = ls_db_next(&install->db, row, err)) < 0)
        return -1;
    snprintf(out, 16, "%s", found ? ls_db_text(row, 0) : "");
    sqlite3_reset(row);
    return 0;
}

/* The busy handler is not asked for this one: wait here. */
static int set_journal_mode(struct install *install, const char *mode, struct ls_err *err)
{
    int64_t deadline = ls_clock_mono_ms() + INSTALL_BUSY_MS;
    struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    char now[16], *sql = ls_xasprintf("PRAGMA journal_mode = %s", mode);
    int failed = journal_mode(install, now, err);

    ls_db_release(&install->db);
    if (!failed && strcasecmp(now, mode) != 0) {
        if (install->out)
            ls_buf_printf(install->out, "%s;\n", sql);
        while (!install->dry_run) {
            failed = ls_db_exec(&install->db, sql, NULL) < 0 || journal_mode(install, now, err) < 0;
            ls_db_release(&install->db);
            if (!failed && strcasecmp(now, mode) == 0)
                break;
            if (ls_clock_mono_ms() >= deadline) {
                failed = ls_fail(err, LS_E_STORE, "cannot set journal_mode %s of database '%s'",
                                 mode, install->db.shown);
                ls_hint(err,
                        "another process keeps the database busy: close it and run this again");
                break;
            }
            nanosleep(&pause, NULL);
        }
    }
    free(sql);
    return failed ? -1 : 0;
}
