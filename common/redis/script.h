/* A Lua script as the build embeds it from lua/. A script that must still work when Redis is full
 * (settling frees memory) has a second text for Redis 7 and later that begins with "#!lua
 * flags=allow-oom"; on 6.2 its first write is a shrinking one. Connections send EVALSHA of the text
 * that fits the server and, when that answers NOSCRIPT, EVAL once. */
#ifndef LS_REDIS_SCRIPT_H
#define LS_REDIS_SCRIPT_H

#include <stddef.h>

struct ls_script {
    const char *name; /* "worker_turn" */
    const char *text;
    size_t length;
    char sha1[41];
    int key_count;
    const char *text7; /* NULL: the same text for every version */
    size_t length7;
    char sha1_7[41];
};

struct ls_script_text {
    const char *text;
    size_t length;
    const char *sha1;
};

/* The text for a server of this version (major * 10000 + minor * 100 + patch; 0 = unknown, treated
 * as 6.2). */
struct ls_script_text ls_script_for(const struct ls_script *script, int server_version);

#endif
