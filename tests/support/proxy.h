/* A proxy between a client and a Redis (or anything that listens), in a process of its own, that
 * can cut, lose and stall. */
#ifndef LS_TESTS_SUPPORT_PROXY_H
#define LS_TESTS_SUPPORT_PROXY_H

#include <stdint.h>
#include <sys/types.h>

struct test_proxy_plan {
    /* Close a connection after this many bytes came from the server (0: never), without handing on
     * what exceeds it: commands applied, answers lost. Counted for each connection anew. */
    int64_t cut_after_reply_bytes;
    /* The same for bytes that came from the client: the command is cut short. */
    int64_t cut_after_request_bytes;
    /* Only the first cut_connections connections are cut (0: each). */
    int cut_connections;
    /* Vary each limit at random between half and one and a half of itself. */
    int jitter;
    /* Hand on nothing more from the server after so many bytes, but keep the connection open. */
    int64_t stall_after_reply_bytes;
};

struct test_proxy {
    pid_t pid;
    char dir[96];
    char socket[108]; /* listens here */
    char url[200];    /* unix://socket */
};

/* Begin to forward to the unix socket target. */
struct test_proxy *test_proxy_start(const char *target, const struct test_proxy_plan *plan);
/* Connections cut so far. */
int test_proxy_cuts(struct test_proxy *proxy);
void test_proxy_stop(struct test_proxy *proxy);

#endif
