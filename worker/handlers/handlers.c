#include "worker/handlers/handlers.h"

#include <string.h>

#include "common/base/mem.h"
#include "worker/handlers/handlers_internal.h"

struct ls_handlers *ls_handlers_new(struct ls_runner_tools *tools, struct ls_err *err)
{
    struct ls_handlers *handlers = LS_NEW(struct ls_handlers);

    handlers->tools = tools;
    ls_noop_add(handlers);
    ls_http_add(handlers);
    ls_exec_add(handlers);
    if (ls_library_add(handlers, err) < 0)
        goto fail;
#ifdef LOCKSTEP_WITH_SQLITE
    if (ls_sync_add(handlers, err) < 0)
        goto fail;
#endif
    return handlers;
fail:
    ls_handlers_free(handlers);
    return NULL;
}

void ls_handlers_free(struct ls_handlers *handlers)
{
    if (!handlers)
        return;
#ifdef LOCKSTEP_WITH_SQLITE
    ls_sync_free(handlers);
#endif
    ls_library_free(handlers);
    ls_exec_free(handlers);
    free(handlers);
}

void ls_handlers_add(struct ls_handlers *handlers, const struct ls_handler *handler)
{
    ls_assert(handlers->count < LS_HANDLERS_MAX);
    handlers->lengths[handlers->count] = strlen(handler->kind);
    handlers->list[handlers->count++] = *handler;
}

const struct ls_handler *ls_handlers_find(const struct ls_handlers *handlers, struct ls_span kind)
{
    int i;

    for (i = 0; i < handlers->count; i++)
        if (handlers->lengths[i] == kind.length &&
            memcmp(handlers->list[i].kind, kind.data, kind.length) == 0)
            return &handlers->list[i];
    return NULL;
}
