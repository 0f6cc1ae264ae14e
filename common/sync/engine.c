#include "common/sync/engine.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/sync/engine_internal.h"
#include "common/sync/gather.h"

#define ABSENCE_MS (60 * 1000)
#define UNKNOWN_MS (60 * 1000)
#define GATHER_MS 2
#define CLOSE_MS 5000

struct ls_engine {
    struct ls_engine_options options;
    struct ls_store *store;
    struct ls_connector **connectors; /* by account of the config; NULL where no sync uses it */
    struct ls_sync **syncs;
    size_t sync_count;
    struct ls_operation *operations, *newest; /* in the order in which they were begun */
};

static int open_store(struct ls_engine *engine, struct ls_err *err);
static struct ls_sync *open_sync(struct ls_engine *engine, const struct ls_config_sync *config,
                                 struct ls_err *err);
static struct ls_connector *get_connector(struct ls_engine *engine,
                                          const struct ls_config_account *account,
                                          struct ls_err *err);
static void free_sync(struct ls_sync *sync);

struct ls_engine *ls_engine_new(uv_loop_t *loop, const struct ls_config *config,
                                struct ls_http *http, struct ls_err *err)
{
    return ls_engine_open(&(struct ls_engine_options){.loop = loop, .config = config, .http = http},
                          err);
}

struct ls_engine *ls_engine_open(const struct ls_engine_options *options, struct ls_err *err)
{
    const struct ls_config *config = options->config;
    struct ls_engine *engine = LS_NEW(struct ls_engine);

    engine->options = *options;
    if (!engine->options.absence_ms)
        engine->options.absence_ms = ABSENCE_MS;
    if (!engine->options.unknown_ms)
        engine->options.unknown_ms = UNKNOWN_MS;
    if (!engine->options.gather_ms)
        engine->options.gather_ms = GATHER_MS;
    engine->connectors = ls_xcalloc(config->account_count + 1, sizeof(struct ls_connector *));
    engine->syncs = ls_xcalloc(config->sync_count + 1, sizeof(struct ls_sync *));
    if (open_store(engine, err) < 0)
        goto fail;
    for (size_t i = 0; i < config->sync_count; i++) {
        if (options->only_sync && strcmp(options->only_sync, config->syncs[i].name) != 0)
            continue;
        engine->syncs[engine->sync_count] = open_sync(engine, &config->syncs[i], err);
        if (!engine->syncs[engine->sync_count])
            goto fail;
        engine->sync_count++;
    }
    return engine;
fail:
    ls_engine_close(&engine);
    return NULL;
}

void ls_engine_close(struct ls_engine **engine)
{
    struct ls_engine *closed = *engine;

    if (!closed)
        return;
    *engine = NULL;
    while (closed->operations) { /* the oldest first: it takes those that it began with it */
        struct ls_operation *operation = closed->operations;
        ls_operation_end(operation);
        operation->cancel(operation);
    }
    for (size_t i = 0; i < closed->sync_count; i++)
        ls_gather_free(closed->syncs[i]->gather);
    for (size_t i = 0; i < closed->options.config->account_count; i++)
        ls_connector_free(closed->connectors[i]);
    if (closed->store)
        ls_store_close(&closed->store, CLOSE_MS);
    for (size_t i = 0; i < closed->sync_count; i++)
        free_sync(closed->syncs[i]);
    free(closed->connectors);
    free(closed->syncs);
    free(closed);
}

static int open_store(struct ls_engine *engine, struct ls_err *err)
{
    struct ls_store_options options = {.url = engine->options.config->store,
                                       .loop = engine->options.loop,
                                       .read_only = engine->options.read_only};

    if (!options.url) {
        ls_fail(err, LS_E_CONFIG, "no store is configured");
        return ls_hint(err, "name the application's database: store: sqlite:PATH");
    }
    engine->store = ls_store_open(&options, err);
    return engine->store ? 0 : -1;
}

static struct ls_sync *open_sync(struct ls_engine *engine, const struct ls_config_sync *config,
                                 struct ls_err *err)
{
    struct ls_sync *sync = LS_NEW(struct ls_sync);

    sync->engine = engine;
    sync->config = config;
    sync->account = ls_config_account_find(engine->options.config, config->account);
    if (!sync->account) {
        ls_fail(err, LS_E_CONFIG, "sync '%s' names the account '%s', which is not configured",
                config->name, config->account ? config->account : "");
        goto fail;
    }
    sync->mapping = ls_mapping_new(config, err);
    if (!sync->mapping)
        goto fail;
    sync->connector = get_connector(engine, sync->account, err);
    if (!sync->connector)
        goto fail;
    sync->can = ls_connector_capabilities(sync->connector, sync->mapping->entity);
    if (!sync->can) {
        ls_fail(err, LS_E_CONFIG, "sync '%s' wants the entity '%s', which '%s' does not have",
                config->name, config->entity, sync->account->platform);
        goto fail;
    }
    ls_assert(sync->can->page_max > 0);
    sync->gather = ls_gather_new(&(struct ls_gather_options){.loop = engine->options.loop,
                                                             .connector = sync->connector,
                                                             .mapping = sync->mapping,
                                                             .wait_ms = engine->options.gather_ms});
    return sync;
fail:
    free_sync(sync);
    return NULL;
}

static struct ls_connector *
get_connector(struct ls_engine *engine, const struct ls_config_account *account, struct ls_err *err)
{
    struct ls_connector **slot = &engine->connectors[account - engine->options.config->accounts];

    if (*slot)
        return *slot;
    if (engine->options.connector_new)
        *slot =
            engine->options.connector_new(engine->options.arg, account, engine->options.loop, err);
    else
        *slot = ls_connector_new(account, engine->options.loop, engine->options.http, err);
    return *slot;
}

static void free_sync(struct ls_sync *sync)
{
    if (!sync)
        return;
    ls_mapping_free(sync->mapping);
    free(sync);
}

struct ls_store *ls_engine_store(const struct ls_engine *engine)
{
    return engine->store;
}

uv_loop_t *ls_engine_loop(const struct ls_engine *engine)
{
    return engine->options.loop;
}

const struct ls_engine_options *ls_engine_options(const struct ls_engine *engine)
{
    return &engine->options;
}

struct ls_sync *ls_engine_sync(const struct ls_engine *engine, const char *name)
{
    for (size_t i = 0; i < engine->sync_count; i++)
        if (strcmp(engine->syncs[i]->config->name, name) == 0)
            return engine->syncs[i];
    return NULL;
}

struct ls_sync *ls_engine_sync_of(const struct ls_engine *engine, const char *account,
                                  const char *entity, struct ls_err *err)
{
    struct ls_sync *found = NULL;
    bool any_account = !account || !*account;

    for (size_t i = 0; i < engine->sync_count; i++) {
        struct ls_sync *sync = engine->syncs[i];
        if (strcmp(sync->mapping->entity, entity) != 0 ||
            (!any_account && strcmp(sync->mapping->account, account) != 0))
            continue;
        if (found) {
            ls_fail(err, LS_E_CONFIG, "several syncs have the entity '%s': '%s', '%s'", entity,
                    found->config->name, sync->config->name);
            ls_hint(err, "name one: --account, or \"sync\" in the job's data");
            return NULL;
        }
        found = sync;
    }
    if (!found)
        ls_fail(err, LS_E_CONFIG, "no sync has the entity '%s' of the account '%s'", entity,
                any_account ? "any" : account);
    return found;
}

size_t ls_engine_sync_count(const struct ls_engine *engine)
{
    return engine->sync_count;
}

struct ls_sync *ls_engine_sync_at(const struct ls_engine *engine, size_t index)
{
    return engine->syncs[index];
}

void ls_operation_begin(struct ls_engine *engine, struct ls_operation *operation,
                        void (*cancel)(struct ls_operation *operation))
{
    *operation =
        (struct ls_operation){.engine = engine, .previous = engine->newest, .cancel = cancel};
    if (engine->newest)
        engine->newest->next = operation;
    else
        engine->operations = operation;
    engine->newest = operation;
}

void ls_operation_end(struct ls_operation *operation)
{
    if (!operation->engine)
        return;
    if (operation->previous)
        operation->previous->next = operation->next;
    else
        operation->engine->operations = operation->next;
    if (operation->next)
        operation->next->previous = operation->previous;
    else
        operation->engine->newest = operation->previous;
    operation->previous = operation->next = NULL;
    operation->engine = NULL;
}

void ls_remote_copy(struct ls_remote *to, const struct ls_remote *from)
{
    *to = (struct ls_remote){.id = ls_xstrdup(from->id),
                             .version = ls_xstrdup(from->version),
                             .match = ls_xstrdup(from->match),
                             .marker = ls_xstrdup(from->marker),
                             .trashed = from->trashed,
                             .error = from->error};
    ls_record_copy(&to->record, &from->record);
}
