/* A scripted HTTP/1.1 server on 127.0.0.1, in a process of its own. What it does is asked for by
 * the path:
 *   /status/503   answers with that status, body "status 503"
 *   /retry/7      429 with Retry-After: 7
 *   /delay/200    answers 200 after so many ms
 *   /echo         answers with the request's body
 *   /headers      answers with the request's head
 *   /big/100000   a body of so many bytes
 *   /close        reads the request, closes without an answer
 *   /reset        reads the request, resets the connection
 *   /close-after  answers, closes 20 ms later without having said "Connection: close"
 *   /stall        reads the request, never answers
 *   /half         half an answer, then nothing
 *   /junk         something that is not HTTP
 *   /html         200 with text/html
 *   /budget       200 with a RateLimit-Policy of 100 in 20 s and 60 left
 *   /exhausted    429 with RateLimit-Reset: 1
 *   anything else 200, body "ok"
 * Each request it read whole is counted and kept (method, path, body), in the order they came. */
#ifndef LS_TESTS_SUPPORT_HTTP_SERVER_H
#define LS_TESTS_SUPPORT_HTTP_SERVER_H

#include <stddef.h>
#include <sys/types.h>

struct test_http;

struct test_http *test_http_start(void);
void test_http_stop(struct test_http *server);
/* "http://127.0.0.1:port" */
const char *test_http_url(const struct test_http *server);
/* Requests read so far; connections accepted so far. */
int test_http_requests(const struct test_http *server);
int test_http_connections(const struct test_http *server);
/* Request i: "POST /x HTTP/1.1\r\n...\r\n\r\nbody"; NULL when there is none. Only the first 1,000
 * of at most 8 KiB are kept. */
const char *test_http_request(const struct test_http *server, int i);

#endif
