/* fork for a role: everything a child of the master must do before its role begins, in one place.
 */
#ifndef LS_MASTER_SPAWN_H
#define LS_MASTER_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

#include "common/base/err.h"
#include "worker/master/master.h"

struct ls_spawn {
    const struct ls_master_settings *settings;
    enum ls_role role;
    int index;
    const int
        *close_fds; /* what the child must not keep: signalfd, locks, the lines of its siblings */
    size_t close_count;
};

/* The child's pid, and in *control_fd the master's end of its line. -1 with err when fork or the
 * socket pair fails. In the child: signals reset (SIGPIPE ignored), PDEATHSIG, title, role; it
 * never returns. */
pid_t ls_spawn_child(const struct ls_spawn *spawn, int *control_fd, struct ls_err *err);

#endif
