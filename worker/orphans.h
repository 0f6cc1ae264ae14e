/* What the commands of `exec` jobs leave behind: processes that left their process group (setsid, a
 * double fork) and outlive the command. They come to the nearest process that adopts orphans, their
 * runner, or the master when the runner itself died; there they are recognised by LOCKSTEP_JOB_ID in
 * their environment, and killed. One that emptied its environment too is out of reach. */
#ifndef LS_WORKER_ORPHANS_H
#define LS_WORKER_ORPHANS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Orphans below this process become its children from now on. */
void ls_orphans_adopt(void);

struct ls_orphans_view {
    pid_t *
        known; /* children of our own making; is sorted. Others of our session are left alone too */
    size_t known_count;
    bool (*is_running)(void *arg, const char *job_id); /* its command still runs; NULL: none does */
    void *arg;
};

/* Kill those that are there now and reap those that have ended; to be called when a child has ended:
 * what it leaves becomes an orphan with that. Returns how many were killed. One pass over this
 * process' children. */
int ls_orphans_sweep(const struct ls_orphans_view *view);

#endif
