/* Finds the driver of a URL and forwards to it. */
#include "common/store/store.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/store/store_internal.h"

static const struct ls_store_driver *find_driver(const char *url, struct ls_err *err);

static const struct ls_store_driver *const drivers[] = {
#ifdef LOCKSTEP_WITH_SQLITE
    &ls_sqlite_driver,
#endif
    NULL,
};

struct ls_store *ls_store_open(const struct ls_store_options *options, struct ls_err *err)
{
    const struct ls_store_driver *driver = find_driver(options->url, err);

    return driver ? driver->open(options, err) : NULL;
}

void ls_store_close(struct ls_store **store, int64_t deadline_ms)
{
    struct ls_store *closing = *store;

    *store = NULL;
    if (closing)
        closing->driver->close(closing, deadline_ms);
}

int ls_store_lock(const char *url, struct ls_err *err)
{
    const struct ls_store_driver *driver = find_driver(url, err);

    return driver ? driver->lock(url, err) : -1;
}

int ls_store_install(const char *url, const struct ls_mapping *const *mappings, size_t count,
                     bool dry_run, struct ls_buf *out, struct ls_err *err)
{
    const struct ls_store_driver *driver = find_driver(url, err);

    return driver ? driver->install(url, mappings, count, dry_run, out, err) : -1;
}

int ls_store_uninstall(const char *url, const struct ls_mapping *const *mappings, size_t count,
                       bool data, struct ls_buf *out, struct ls_err *err)
{
    const struct ls_store_driver *driver = find_driver(url, err);

    return driver ? driver->uninstall(url, mappings, count, data, out, err) : -1;
}

int ls_store_check(const char *url, const struct ls_mapping *const *mappings, size_t count,
                   struct ls_err *err)
{
    const struct ls_store_driver *driver = find_driver(url, err);

    return driver ? driver->check(url, mappings, count, err) : -1;
}

#define LS_STORE_FORWARD(name, parameters, arguments) \
    void ls_store_##name parameters                   \
    {                                                 \
        store->driver->name arguments;                \
    }
LS_STORE_OPERATIONS(LS_STORE_FORWARD)
#undef LS_STORE_FORWARD

void ls_snapshot_free(struct ls_snapshot *snapshot)
{
    if (!snapshot)
        return;
    free(snapshot->uid);
    free(snapshot->local_id);
    free(snapshot->remote_id);
    free(snapshot->remote_version);
    free(snapshot->deleted_version);
    free(snapshot->error);
    free(snapshot->ops);
    free(snapshot->sent);
    ls_record_fini(&snapshot->base);
    ls_record_fini(&snapshot->local);
    free(snapshot);
}

static const struct ls_store_driver *find_driver(const char *url, struct ls_err *err)
{
    for (size_t i = 0; drivers[i]; i++)
        if (strncmp(url, drivers[i]->scheme, strlen(drivers[i]->scheme)) == 0)
            return drivers[i];
    if (strncmp(url, "sqlite:", 7) == 0) {
        ls_fail(err, LS_E_UNSUPPORTED, "this lockstep was built without SQLite");
        ls_hint(err, "install libsqlite3-dev and build again");
    } else if (strncmp(url, "postgres", 8) == 0) {
        ls_fail(err, LS_E_UNSUPPORTED, "PostgreSQL is not supported yet");
        ls_hint(err, "this version keeps SQLite databases in step: store: sqlite:PATH");
    } else {
        ls_fail(err, LS_E_CONFIG, "'%.80s' is not the address of a store", url);
        ls_hint(err, "store: sqlite:PATH");
    }
    return NULL;
}
