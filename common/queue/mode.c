#include "common/queue/mode.h"

#include "common/base/clock.h"
#include "common/base/mem.h"

int ls_push_mode_parse(struct ls_span word, enum ls_push_mode *mode, struct ls_err *err)
{
    static const struct {
        const char *word;
        enum ls_push_mode mode;
    } known[] = {{"latest", LS_PUSH_LATEST},
                 {"keep", LS_PUSH_KEEP},
                 {"keep-first", LS_PUSH_KEEP},
                 {"reject", LS_PUSH_REJECT}};

    for (size_t i = 0; i < LS_COUNT(known); i++) {
        if (ls_span_is(word, known[i].word)) {
            *mode = known[i].mode;
            return 0;
        }
    }
    ls_fail(err, LS_E_USAGE, "unknown mode '%.*s'", word.length < 60 ? (int)word.length : 60,
            word.data ? word.data : "");
    return ls_hint(err, "latest, keep or reject");
}

int ls_push_job_check(const struct ls_push_job *job, struct ls_err *err)
{
    const struct {
        const char *what;
        int64_t ms;
    } times[] = {{"delay", job->delay_ms},
                 {"debounce", job->debounce_ms},
                 {"longest wait", job->max_wait_ms}};

    for (size_t i = 0; i < LS_COUNT(times); i++) {
        if (times[i].ms < 0)
            return ls_fail(err, LS_E_USAGE, "a %s of %lld ms is negative", times[i].what,
                           (long long)times[i].ms);
        if (times[i].ms > LS_DURATION_MAX_MS) {
            ls_fail(err, LS_E_USAGE, "a %s of %lld ms is too long", times[i].what,
                    (long long)times[i].ms);
            return ls_hint(err, "at most %lld days", LS_DURATION_MAX_MS / (24 * 3600 * 1000LL));
        }
    }
    if (!job->key.length && (job->mode != LS_PUSH_LATEST || job->debounce_ms)) {
        ls_fail(err, LS_E_USAGE,
                job->debounce_ms ? "a debounce without a key" : "a mode without a key");
        return ls_hint(err, "both say how the pushes of one key meet: name the key");
    }
    if (job->max_wait_ms && !job->debounce_ms) {
        ls_fail(err, LS_E_USAGE, "a longest wait without a debounce");
        return ls_hint(err, "it bounds how long pushes may put a job off");
    }
    if (job->debounce_ms && job->delay_ms)
        return ls_fail(err, LS_E_USAGE, "either a delay or a debounce");
    return 0;
}
