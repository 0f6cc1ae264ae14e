#include "common/redis/check.h"

#include "common/redis/sync.h"

int ls_redis_check(const struct ls_redis_url *url, int64_t timeout_ms, struct ls_redis_facts *facts,
                   char warning[256], struct ls_err *err)
{
    struct ls_redis_sync *sync = ls_redis_sync_open(
        url,
        &(struct ls_redis_sync_options){.connect_timeout_ms = timeout_ms, .timeout_ms = timeout_ms},
        err);
    int result;

    if (!sync)
        return -1;
    result = ls_redis_facts_check(ls_redis_sync_facts(sync), url->shown, warning, err);
    if (facts)
        *facts = *ls_redis_sync_facts(sync);
    ls_redis_sync_close(sync);
    return result;
}
