/* Kind `noop`: does nothing, for measurements. */
#include "worker/handlers/handlers_internal.h"

static void begin(void *self, struct ls_run *run)
{
    ls_run_ok(run);
}

void ls_noop_add(struct ls_handlers *handlers)
{
    ls_handlers_add(handlers, &(struct ls_handler){.kind = "noop", .begin = begin});
}
