/* What the kinds of the sync engine share. */
#ifndef LS_HANDLERS_SYNC_H
#define LS_HANDLERS_SYNC_H

#include <jansson.h>

#include "common/sync/engine.h"
#include "common/sync/purse.h"
#include "worker/handlers/handlers_internal.h"

void ls_product_add(struct ls_handlers *handlers);
void ls_delta_add(struct ls_handlers *handlers);
void ls_backfill_add(struct ls_handlers *handlers);
void ls_verify_add(struct ls_handlers *handlers);
void ls_gc_add(struct ls_handlers *handlers);

/* The job's data as an object (empty when it has none); the caller decrefs. NULL: LS_E_INVALID. */
json_t *ls_sync_data(const struct ls_run *run, struct ls_err *err);
/* The sync that a job means: data.sync, else by account and entity (NULL: it must be named). NULL: LS_E_CONFIG. */
struct ls_sync *ls_sync_of_run(const struct ls_run *run, const json_t *data, const char *entity,
                               struct ls_err *err);
/* The budget of the run's account, for a crawl that draws its requests from it and settles at its end. Borrows the run. */
struct ls_grants ls_sync_grants(struct ls_run *run);
/* A failure of a run of the engine: its line in the log and its count, then the run's end. what: "Product sync". */
void ls_sync_failed(struct ls_run *run, const char *what, const struct ls_sync *sync,
                    const char *record, const struct ls_err *err);

#endif
