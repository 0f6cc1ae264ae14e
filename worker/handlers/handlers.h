/* The table of job kinds. A thin file per kind unpacks the job and calls what does the work. */
#ifndef LS_HANDLERS_HANDLERS_H
#define LS_HANDLERS_HANDLERS_H

#include "common/base/err.h"
#include "common/base/span.h"
#include "worker/runner/handler.h"

struct ls_handlers;

/* Make the handlers (and with them what they share: tools->engine is set when stores are compiled
 * in and configured). tools stays borrowed. NULL with *err when the configuration is unusable. */
struct ls_handlers *ls_handlers_new(struct ls_runner_tools *tools, struct ls_err *err);
/* After the last run has ended. */
void ls_handlers_free(struct ls_handlers *handlers);
/* NULL: unknown kind. */
const struct ls_handler *ls_handlers_find(const struct ls_handlers *handlers, struct ls_span kind);

#endif
