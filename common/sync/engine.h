/* The sync engine of one process: the store, a connector for each account, a mapping for each sync, and what gathers single remote
 * reads and writes into large ones. Runners reach it through thin handlers; the commands that only look (verify, explain) open their
 * own. Everything runs on one loop and never blocks it.
 *
 * What it does is in reconcile.h (one record), delta.h (a feed), backfill.h (a first listing) and verify.h (the proof). */
#ifndef LS_SYNC_ENGINE_H
#define LS_SYNC_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/err.h"
#include "common/platform/connector.h"
#include "common/store/store.h"

struct ls_config;
struct ls_config_sync;
struct ls_config_account;
struct ls_http;
struct ls_gather;
struct ls_engine;

/* A sync of the configuration, ready for use. Owned by the engine. */
struct ls_sync {
    struct ls_engine *engine;
    const struct ls_config_sync *config;     /* borrowed from the config */
    const struct ls_config_account *account; /* borrowed from the config */
    struct ls_mapping *mapping;
    struct ls_connector *connector;    /* shared by the syncs of an account */
    const struct ls_capabilities *can; /* of the connector for this entity */
    struct ls_gather *gather;
};

struct ls_engine_options {
    uv_loop_t *loop;
    const struct ls_config *config; /* borrowed: outlives the engine */
    struct ls_http *http;           /* borrowed; may be NULL with connector_new */
    bool read_only;                 /* the store takes no write lock and refuses writes */
    const char *only_sync;          /* open this sync alone; NULL: all */
    int64_t
        absence_ms; /* a vanished remote record is looked for again after it before it is made anew; 0: 60 s */
    int64_t unknown_ms; /* so long after an unanswered create may it still show up; 0: 60 s */
    int64_t
        gather_ms; /* how long single reads and writes wait for company; 0: 2 ms; -1: not at all */
    /* Instead of ls_connector_new (tests). */
    struct ls_connector *(*connector_new)(void *arg, const struct ls_config_account *account,
                                          uv_loop_t *loop, struct ls_err *err);
    void *arg;
};

/* NULL: LS_E_CONFIG (no store, no syncs' tables, unknown platform), LS_E_STORE, LS_E_UNSUPPORTED. */
struct ls_engine *ls_engine_open(const struct ls_engine_options *options, struct ls_err *err);
/* With the defaults. */
struct ls_engine *ls_engine_new(uv_loop_t *loop, const struct ls_config *config,
                                struct ls_http *http, struct ls_err *err);
/* Cancels what is under way (callbacks of begun operations do not run), closes the store, frees. Clears the pointer. */
void ls_engine_close(struct ls_engine **engine);

struct ls_store *ls_engine_store(const struct ls_engine *engine);
uv_loop_t *ls_engine_loop(const struct ls_engine *engine);
const struct ls_engine_options *ls_engine_options(const struct ls_engine *engine);
/* By name; NULL when there is none. */
struct ls_sync *ls_engine_sync(const struct ls_engine *engine, const char *name);
/* The sync of an account and entity; account NULL or "": the only one of the entity. LS_E_CONFIG says what is missing. */
struct ls_sync *ls_engine_sync_of(const struct ls_engine *engine, const char *account,
                                  const char *entity, struct ls_err *err);
size_t ls_engine_sync_count(const struct ls_engine *engine);
struct ls_sync *ls_engine_sync_at(const struct ls_engine *engine, size_t index);

#endif
