/* A lock file that says who holds it. The lock goes with the last process that holds the
 * descriptor, so a crash frees it. */
#ifndef LS_MASTER_LOCK_H
#define LS_MASTER_LOCK_H

#include "common/base/err.h"

/* The descriptor (close-on-exec), or -1: LS_E_EXISTS when another process still holds it after
 * wait_ms (text names its pid), LS_E_SYSTEM otherwise. `what` names the thing that is guarded, for
 * the message. */
int ls_lock_take(const char *path, const char *what, int wait_ms, struct ls_err *err);

#endif
