/* The check at boot: can we reach this Redis, does it let us in, and may jobs live there? Blocking,
 * for programs that start. */
#ifndef LS_REDIS_CHECK_H
#define LS_REDIS_CHECK_H

#include "common/base/err.h"
#include "common/redis/facts.h"
#include "common/redis/url.h"

/* 0, or -1 with the problem and its remedy. facts and warning may be NULL (ls_redis_facts_check).
 * timeout_ms 0 = 5 s. */
int ls_redis_check(const struct ls_redis_url *url, int64_t timeout_ms, struct ls_redis_facts *facts,
                   char warning[256], struct ls_err *err);

#endif
