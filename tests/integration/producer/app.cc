// The installed headers as C++ reads them: every function of them, in a program that runs.
#include <lockstep/inline.h>
#include <lockstep/lockstep.h>

#include <string>

static int greet(struct lockstep_run *run, void *)
{
    const std::string answer = "\"" + std::string(run->kind) + "\"";

    lockstep_run_result(run, answer.c_str(), answer.size());
    return lockstep_run_ok(run);
}

static const struct lockstep_handler handlers[] = {LOCKSTEP_HANDLER("greet", greet),
                                                   LOCKSTEP_HANDLERS_END};

static int count(void *arg, const struct lockstep_inline_job *job)
{
    *static_cast<int *>(arg) += std::string(job->kind) == "greet";
    return 0;
}

static bool run_inline()
{
    struct lockstep *ls = lockstep_open("inline:");
    struct lockstep_job job = LOCKSTEP_JOB("greet", 0);
    struct lockstep_job_outcome out = {};
    int waiting = 0;

    out.size = sizeof out;
    bool well = lockstep_inline_handlers(ls, handlers) == 1 &&
                lockstep_push_wait(ls, &job, 1000, &out) == 1 &&
                std::string(out.result) == "\"greet\"" && lockstep_inline_defer(ls) == 0 &&
                lockstep_push(ls, &job, 0) == 1 && lockstep_inline_list(ls, count, &waiting) == 1 &&
                waiting == 1 && lockstep_inline_drain(ls) == 1;
    lockstep_close(ls);
    return well;
}

int main()
{
    struct lockstep *ls = lockstep_open(0);
    struct lockstep_job job = LOCKSTEP_JOB("noop", 0);
    struct lockstep_job_outcome out = {};

    out.size = sizeof out;
    job.key = "k";
    job.mode = "keep";
    job.result = 1;
    bool well = lockstep_push(ls, &job, 0) == 1 && lockstep_push(ls, &job, 0) == 0 &&
                lockstep_cancel_key(ls, 0, "k") == 1 && lockstep_cancel(ls, 0, "x") == 1 &&
                lockstep_result(ls, 0, "x", &out) == 0 && out.state == LOCKSTEP_UNKNOWN;
    lockstep_close(ls);
    return well && run_inline() ? 0 : 1;
}
