/* What a server says about itself (INFO), and whether lockstep may trust its jobs to it. */
#ifndef LS_REDIS_FACTS_H
#define LS_REDIS_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct ls_redis_facts {
    int version;           /* major * 10000 + minor * 100 + patch; 0 when INFO is forbidden to us */
    char version_text[32]; /* "7.0.15" */
    char run_id[48];       /* changes with each start of the server */
    char role[16];         /* "master" or "slave" */
    char policy[32];       /* maxmemory_policy */
    int64_t maxmemory;     /* bytes, 0 = no limit */
    int64_t used_memory;   /* bytes */
    bool aof;              /* append-only file on */
    bool loading;          /* still reading its data from disk */
};

/* Read the text of INFO; what it lacks stays zero. */
void ls_redis_facts_parse(struct ls_redis_facts *facts, const char *info, size_t length);

/* Is it new enough for our scripts? -1 with what is wrong and the remedy. */
int ls_redis_facts_supported(const struct ls_redis_facts *facts, const char *shown,
                             struct ls_err *err);

/* May jobs live here? -1 with what is wrong and the remedy: older than 6.2, an eviction policy that
 * may drop jobs, a replica. warning (256 bytes, may be NULL) gets a sentence when it works but is
 * not safe (append-only file off), else "". shown names the server. */
int ls_redis_facts_check(const struct ls_redis_facts *facts, const char *shown, char warning[256],
                         struct ls_err *err);

#endif
