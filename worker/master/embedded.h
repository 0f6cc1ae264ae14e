/* The pool's own redis-server (`redis: embedded`): a child of the master, bound to its life, on a
 * socket that only its user can open. The lock on state_dir is held by the master and by the
 * server, because two servers on one AOF lose data: after a SIGKILL of the master a new pool waits
 * until the old server, which PDEATHSIG ends, is really gone. */
#ifndef LS_MASTER_EMBEDDED_H
#define LS_MASTER_EMBEDDED_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/base/err.h"

struct ls_embedded {
    char *state_dir;   /* owned, absolute: AOF, log and lock live here */
    char *socket_path; /* owned, absolute */
    int lock_fd;
    pid_t pid; /* 0 while it does not run */
};

/* Make the directory (0700) and take the lock. */
int ls_embedded_open(struct ls_embedded *embedded, const char *state_dir, const char *socket_path,
                     struct ls_err *err);
/* fork and exec. A server that cannot even be executed is an error here. Call from the main thread
 * only (PDEATHSIG). */
int ls_embedded_start(struct ls_embedded *embedded, struct ls_err *err);
/* Wait until it answers PING. LS_E_CANCELLED when SIGTERM or SIGINT is pending (both are blocked in
 * the caller); an early end or timeout_ms passed is an error that carries the last line of its log.
 */
int ls_embedded_wait(struct ls_embedded *embedded, int timeout_ms, struct ls_err *err);
/* Give the lock back; the server must be gone. */
void ls_embedded_close(struct ls_embedded *embedded);

#endif
