/* A shop to run a connector against: a simulated platform in a process of its own, with a back door
 * through which tests act as a person in the shop and order trouble. It ends with the test,
 * whatever happens to it. */
#ifndef LS_TESTS_CONFORMANCE_SHOP_H
#define LS_TESTS_CONFORMANCE_SHOP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct test_shop_options {
    bool tls;
    int products;          /* made-up ones to begin with */
    int64_t clock_skew_ms; /* how far its clock is ahead */
    const char *path;      /* of the site: "/blog"; NULL: none */
};

struct test_shop {
    pid_t pid;
    int lifeline; /* its standard input: closed, it ends */
    char dir[96];
    char url[160], admin[160];
    char key[64], secret[64], read_key[64], read_secret[64];
    char ca_file[128]; /* "" without TLS */
};

/* NULL: its packages are not installed (then the test is skipped). */
struct test_shop *test_shop_start(const struct test_shop_options *options);
void test_shop_stop(struct test_shop *shop);

/* One call of the back door; body is JSON text or NULL. The answer's JSON, which the caller
 * decrefs; fails the test unless it is a 2xx. */
json_t *test_shop_ask(struct test_shop *shop, const char *method, const char *path,
                      const char *body);

/* As a person in the shop; bodies as the platform's products. Returns the id. */
int64_t test_shop_add(struct test_shop *shop, const char *product);
void test_shop_edit(struct test_shop *shop, int64_t id, const char *product);
void test_shop_set_stock(struct test_shop *shop, int64_t id, int quantity);
void test_shop_remove(struct test_shop *shop, int64_t id, bool force);
/* The state; the caller decrefs. */
json_t *test_shop_product(struct test_shop *shop, int64_t id);
/* Order trouble, e.g. "{\"kind\":\"502-html\",\"match\":{\"method\":\"PUT\"}}"; none when NULL. */
void test_shop_fault(struct test_shop *shop, const char *rule);
/* Requests the shop saw since the last forgetting. */
void test_shop_forget(struct test_shop *shop);
json_t *test_shop_requests(struct test_shop *shop);
int test_shop_request_count(struct test_shop *shop);

#endif
