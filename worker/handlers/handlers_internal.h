/* What the files of worker/handlers share: each kind adds itself to the table. */
#ifndef LS_HANDLERS_HANDLERS_INTERNAL_H
#define LS_HANDLERS_HANDLERS_INTERNAL_H

#include "worker/handlers/handlers.h"

#define LS_HANDLERS_MAX 64

struct ls_handlers {
    struct ls_handler list[LS_HANDLERS_MAX];
    size_t lengths[LS_HANDLERS_MAX]; /* of their kinds */
    int count;
    struct ls_runner_tools *tools; /* borrowed */
    void *exec;                    /* owned by exec.c */
    void *sync;                    /* owned by sync.c */
    void *library;                 /* owned by library.c */
};

/* Copied; kind lives as long as the process. */
void ls_handlers_add(struct ls_handlers *handlers, const struct ls_handler *handler);

void ls_noop_add(struct ls_handlers *handlers);
void ls_http_add(struct ls_handlers *handlers);
void ls_exec_add(struct ls_handlers *handlers);
void ls_exec_free(struct ls_handlers *handlers);
/* The kinds of shared objects. -1 with *err: one of them cannot be served. */
int ls_library_add(struct ls_handlers *handlers, struct ls_err *err);
void ls_library_free(struct ls_handlers *handlers);
#ifdef LOCKSTEP_WITH_SQLITE
/* The kinds of the sync engine (worker/handlers/sync.c): sets tools->engine. No-op without a store
 * in the configuration. */
int ls_sync_add(struct ls_handlers *handlers, struct ls_err *err);
void ls_sync_free(struct ls_handlers *handlers);
#endif

#endif
