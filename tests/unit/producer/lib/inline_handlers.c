/* A shared object of handlers, as a pool loads it. */
#include <lockstep/handler.h>

static int greet(struct lockstep_run *run, void *self)
{
    (void)self;
    if (lockstep_run_result(run, "\"hello\"", 7) < 0)
        return lockstep_run_permanent(run, "no result");
    return lockstep_run_ok(run);
}

static void begin(struct lockstep_run *run, void *self)
{
    (void)self;
    lockstep_run_ok(run);
}

static void cancel(struct lockstep_run *run, void *self)
{
    (void)run;
    (void)self;
}

const struct lockstep_handler lockstep_handlers[] = {
    LOCKSTEP_HANDLER("greet", greet), LOCKSTEP_HANDLER_ASYNC("later", begin, 0, cancel),
    LOCKSTEP_HANDLERS_END};
