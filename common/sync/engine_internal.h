/* What the files of the engine share: the list of operations under way, so that closing can end them. */
#ifndef LS_SYNC_ENGINE_INTERNAL_H
#define LS_SYNC_ENGINE_INTERNAL_H

#include "common/platform/connector_internal.h" /* ls_remote_fini */
#include "common/sync/engine.h"

/* First member of each operation. A call to the store cannot be taken back: an operation that is cancelled while one is out stays
 * until the store's callback, which then only frees it. */
struct ls_operation {
    struct ls_engine *engine;
    struct ls_operation *previous, *next;
    void (*cancel)(struct ls_operation *operation); /* the caller is not told */
};

void ls_operation_begin(struct ls_engine *engine, struct ls_operation *operation,
                        void (*cancel)(struct ls_operation *operation));
void ls_operation_end(struct ls_operation *operation);

/* Deep copies of what a connector lends. */
void ls_remote_copy(struct ls_remote *to, const struct ls_remote *from);

#endif
