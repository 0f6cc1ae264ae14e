// The header in C++, in both forms.
#include <lockstep/handler.h>
#include <lockstep/lockstep.h>
#include <string>

static int hello(struct lockstep_run *run, void *)
{
    std::string text = std::string("\"hello ") + run->id + "\"";

    if (lockstep_run_is_cancelled(run))
        return lockstep_run_stopped(run);
    if (lockstep_run_result(run, text.c_str(), text.size()) < 0)
        return lockstep_run_retry(run, 100, "cannot keep %zu bytes", text.size());
    lockstep_run_progress(run, 1, 1, nullptr);
    return lockstep_run_ok(run);
}

static void begin(struct lockstep_run *run, void *)
{
    lockstep_run_permanent(run, "%s is not done here", run->kind);
}

static void cancel(struct lockstep_run *, void *)
{
}

const struct lockstep_handler lockstep_handlers[] = {LOCKSTEP_HANDLER("t-hello", hello),
                                                     LOCKSTEP_HANDLER_ASYNC("t-no", begin, 0, cancel),
                                                     LOCKSTEP_HANDLERS_END};
