/* A worker process: claims jobs, runs their handlers, settles them. One libuv loop, made after the
 * fork. */
#ifndef LS_RUNNER_RUNNER_H
#define LS_RUNNER_RUNNER_H

struct ls_role_context;

/* Exit codes of a runner: the master restarts it in every case unless it is stopping, but with no
 * pause after REPLACE. */
#define LS_RUNNER_EXIT_DONE 0   /* drained and left */
#define LS_RUNNER_EXIT_FAILED 1 /* cannot work: says why in the log */
#define LS_RUNNER_EXIT_REPLACE \
    10 /* reached max_jobs or max_rss: drained and left, wants a successor */

/* Run until told to stop; returns the exit code. */
int ls_runner_main(const struct ls_role_context *context);

#endif
