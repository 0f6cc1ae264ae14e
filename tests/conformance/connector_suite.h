/* What tests of a connector have at hand: a shop, a connector to it, a mapping, and calls that wait
 * for their end. */
#ifndef LS_TESTS_CONFORMANCE_CONNECTOR_SUITE_H
#define LS_TESTS_CONFORMANCE_CONNECTOR_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/config/config.h"
#include "common/http/client.h"
#include "common/platform/connector_internal.h"
#include "tests/conformance/shop.h"

enum { SKU, NAME, PRICE, STOCK, TEXT, FIELDS };

struct suite {
    struct test_shop *shop;
    uv_loop_t loop;
    struct ls_http *http;
    struct ls_connector *connector;
    struct ls_mapping *mapping;
    struct ls_config_account account;
};

/* What a call ended with; `calls` counts how often. */
struct result {
    int calls;
    uv_loop_t *loop;             /* set while somebody waits */
    struct ls_remote_call *call; /* NULL: its requests are not asked for */
    int requests;
    struct ls_remote_page page; /* a copy */
    struct ls_err err;
};

/* NULL: the simulator cannot run here. */
struct suite *suite_new(const struct test_shop_options *options);
void suite_free(struct suite *suite);
/* A second connector to the same shop; secret NULL: the shop's own. */
struct ls_connector *suite_connect(struct suite *suite, const char *key, const char *secret,
                                   int64_t timeout_ms);
/* No products, no faults, no remembered requests. */
void suite_clear(struct suite *suite);
/* `count` products named "Mug 1"... with sku PREFIX-1..., price 1.50, stock 7; extra is more JSON
 * ("" or ",\"x\":1"). ids may be NULL. */
void suite_fill(struct suite *suite, const char *prefix, int count, const char *extra,
                int64_t *ids);

void on_result(void *arg, const struct ls_remote_page *page, const struct ls_err *err);
void wait_result(struct suite *suite, struct result *result);
void result_fini(struct result *result);

/* Each also checks that the requests it is said to have taken are those that the shop saw. */
struct result do_probe(struct suite *suite);
struct result do_list(struct suite *suite, const struct ls_list_query *query);
struct result do_get(struct suite *suite, const char *const *ids, size_t count);
struct result do_find(struct suite *suite, const char *match, const char *marker,
                      int64_t created_from_ms);
struct result do_write(struct suite *suite, const struct ls_write *write);
struct result do_batch(struct suite *suite, const struct ls_write *writes, size_t count);

/* Value of a field as text; "(null)" and "(missing)" for the others. */
const char *value_of(const struct ls_remote *remote, size_t field);
/* A record with these values; NULL text: MISSING, "(null)": NULL. */
struct ls_record record_of(const struct suite *suite, const char *const texts[FIELDS]);

#endif
