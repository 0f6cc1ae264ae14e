/* How a keyed push meets the others of its key, as people say it. */
#ifndef LS_QUEUE_MODE_H
#define LS_QUEUE_MODE_H

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/queue/push.h"

/* "latest", "keep" (or "keep-first"), "reject". -1 with LS_E_USAGE and a hint. */
int ls_push_mode_parse(struct ls_span word, enum ls_push_mode *mode, struct ls_err *err);
/* Does what was asked for fit together? -1 with LS_E_USAGE: a time below zero or above
 * LS_DURATION_MAX_MS, a mode or a debounce without a key, a longest wait without a debounce, a delay
 * beside a debounce. */
int ls_push_job_check(const struct ls_push_job *job, struct ls_err *err);

#endif
