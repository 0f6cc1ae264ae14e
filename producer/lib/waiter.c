#include "producer/lib/waiter.h"

#include <time.h>

#include "common/base/clock.h"

#define PAUSE_FIRST_MS 2 /* a short job on an idle pool is over by then */
#define PAUSE_MAX_MS 50

static int look(struct ls_redis_sync *redis, const struct ls_keys *keys, struct ls_span id,
                struct ls_outcome *outcome, struct ls_err *err)
{
    const struct ls_reply *reply;
    struct ls_cmd cmd = {0};
    int result;

    ls_outcome_build(&cmd, keys, id);
    result = ls_redis_sync_send(redis, &cmd, &reply, err);
    if (result == 0)
        result = ls_outcome_parse(reply, outcome, err);
    ls_cmd_fini(&cmd);
    return result;
}

/* Does it help to look again later? */
static bool may_pass(const struct ls_err *err)
{
    return err->code == LS_E_LOST || err->code == LS_E_NETWORK || err->code == LS_E_TIMEOUT ||
           err->code == LS_E_TRANSIENT;
}

int ls_wait(struct ls_redis_sync *redis, const struct ls_keys *keys, struct ls_span id,
            int64_t wait_ms, struct ls_outcome *outcome, struct ls_err *err)
{
    int64_t deadline_ms = ls_clock_mono_after_ms(wait_ms), pause_ms = PAUSE_FIRST_MS;

    for (;;) {
        struct ls_err failure = LS_ERR_INIT;
        int result = look(redis, keys, id, outcome, &failure);
        int64_t left_ms = deadline_ms - ls_clock_mono_ms();

        if (result == 0 && ls_outcome_ended(outcome->state))
            return 0;
        if (left_ms <= 0 || (result < 0 && !may_pass(&failure))) {
            if (result < 0 && err)
                *err = failure;
            return result;
        }
        if (pause_ms > left_ms)
            pause_ms = left_ms;
        nanosleep(&(struct timespec){pause_ms / 1000, pause_ms % 1000 * 1000000}, NULL);
        pause_ms = pause_ms * 2 < PAUSE_MAX_MS ? pause_ms * 2 : PAUSE_MAX_MS;
    }
}
