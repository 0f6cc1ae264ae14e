/* lockstep-worker: one binary, several roles. main.c reads options and picks a role; a role is one
 * function that runs its own libuv loop to the end and returns the exit status of its process. */
#ifndef LS_WORKER_MAIN_H
#define LS_WORKER_MAIN_H

#include <stdbool.h>
#include <stdint.h>

struct ls_config;

/* A pool that ends by itself when nothing is left to do (`--until-empty`). */
struct ls_until_empty {
    int64_t deadline_ms; /* monotonic: it ends then in any case; 0: never */
    bool watching;       /* the scheduler has looked once; runners start only then */
    int64_t died_before; /* jobs that had died by then, of all queues */
    int64_t died;        /* jobs that died meanwhile; known when it has ended */
    char left[520];      /* what was left when the time was over; "" nothing */
};

/* What a role gets. Everything is borrowed and outlives the call. Signals are reset, nothing is
 * connected, no loop exists yet. */
struct ls_role_context {
    const struct ls_config *config;
    const char *role; /* "runner", "scheduler", "relay", "admin" */
    int index;        /* 0, 1, ...: which runner of the pool; 0 for the others */
    int control_fd;   /* the line to the master; -1 when standalone */
    bool standalone;  /* started with --role: there is no master, signals come directly */
    int grace_ms;     /* how long a drain may take */
    int watchdog_ms;  /* the master kills a child that is silent for so long; 0: nobody watches */
    const struct ls_until_empty *until_empty; /* NULL: the pool runs until it is told to end */
};

/* Each: 0 after a clean drain; LS_EXIT_FATAL when starting again cannot help (the reason is logged
 * and told to the master); anything else is a failure that the master answers with a restart. */
int ls_runner_main(const struct ls_role_context *context);
int ls_scheduler_main(const struct ls_role_context *context);
int ls_relay_main(const struct ls_role_context *context);
int ls_admin_main(const struct ls_role_context *context);

#define LS_EXIT_OK 0
#define LS_EXIT_FAILED 1
#define LS_EXIT_USAGE 2
#define LS_EXIT_FATAL 3
#define LS_EXIT_REPLACE 10 /* over a limit: drained, to be started again without a pause */

#endif
