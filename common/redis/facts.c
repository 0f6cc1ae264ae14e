#include "common/redis/facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

#define OLDEST_VERSION 60200

static int version_number(const char *text)
{
    int major = 0, minor = 0, patch = 0;

    if (sscanf(text, "%d.%d.%d", &major, &minor, &patch) < 2)
        return 0;
    return major * 10000 + minor * 100 + patch;
}

static void read_line(struct ls_redis_facts *facts, const char *name, const char *value)
{
    if (strcmp(name, "redis_version") == 0) {
        snprintf(facts->version_text, sizeof(facts->version_text), "%s", value);
        facts->version = version_number(value);
    } else if (strcmp(name, "run_id") == 0) {
        snprintf(facts->run_id, sizeof(facts->run_id), "%s", value);
    } else if (strcmp(name, "role") == 0) {
        snprintf(facts->role, sizeof(facts->role), "%s", value);
    } else if (strcmp(name, "maxmemory_policy") == 0) {
        snprintf(facts->policy, sizeof(facts->policy), "%s", value);
    } else if (strcmp(name, "maxmemory") == 0) {
        facts->maxmemory = strtoll(value, NULL, 10);
    } else if (strcmp(name, "used_memory") == 0) {
        facts->used_memory = strtoll(value, NULL, 10);
    } else if (strcmp(name, "aof_enabled") == 0) {
        facts->aof = value[0] == '1';
    } else if (strcmp(name, "loading") == 0) {
        facts->loading = value[0] == '1';
    }
}

void ls_redis_facts_parse(struct ls_redis_facts *facts, const char *info, size_t length)
{
    const char *at = info, *end = info + length;
    char line[160];

    *facts = (struct ls_redis_facts){0};
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((stop ? stop : end) - at);
        char *colon;

        if (size < sizeof(line)) {
            memcpy(line, at, size);
            line[size > 0 && line[size - 1] == '\r' ? size - 1 : size] = '\0';
            colon = strchr(line, ':');
            if (colon && line[0] != '#') {
                *colon = '\0';
                read_line(facts, line, colon + 1);
            }
        }
        at += size + 1;
    }
}

int ls_redis_facts_supported(const struct ls_redis_facts *facts, const char *shown,
                             struct ls_err *err)
{
    if (!facts->version || facts->version >= OLDEST_VERSION)
        return 0;
    ls_fail(err, LS_E_CONFIG, "redis at '%s' is version %s, lockstep needs 6.2 or later", shown,
            facts->version_text);
    return ls_hint(err, "upgrade redis, or point the 'redis' setting at a newer one");
}

int ls_redis_facts_check(const struct ls_redis_facts *facts, const char *shown, char warning[256],
                         struct ls_err *err)
{
    bool may_evict = facts->policy[0] && strcmp(facts->policy, "noeviction") != 0;

    if (warning)
        warning[0] = '\0';
    if (ls_redis_facts_supported(facts, shown, err) < 0)
        return -1;
    if (strcmp(facts->role, "slave") == 0) {
        ls_fail(err, LS_E_CONFIG, "redis at '%s' is a replica and refuses writes", shown);
        return ls_hint(err, "give the address of its master");
    }
    if (may_evict) {
        ls_fail(err, LS_E_CONFIG, "redis at '%s' may evict jobs: maxmemory_policy is '%s'", shown,
                facts->policy);
        return ls_hint(
            err, "redis-cli CONFIG SET maxmemory-policy noeviction, and the same in redis.conf");
    }
    if (!warning || !facts->version)
        return 0;
    if (!facts->aof)
        snprintf(warning, 256,
                 "the append-only file is off: a restart of redis loses the jobs since its last "
                 "snapshot; redis-cli CONFIG SET appendonly yes, and the same in redis.conf");
    return 0;
}
