#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/platform/connector_internal.h"
#include "common/platform/wordpress/woocommerce.h"

#define T(text) ((char *)(text))

/* A platform of one entity whose lists are empty. */
static int released, freed;
static const struct ls_capabilities thing = {.page_max = 10};

static const struct ls_capabilities *capabilities(void *self, const char *entity)
{
    (void)self;
    return strcmp(entity, "thing") ? NULL : &thing;
}

static struct ls_remote_call *list(struct ls_connector *connector,
                                   const struct ls_list_query *query)
{
    struct ls_remote_call *call = ls_remote_call_begin(connector, sizeof *call);

    (void)query;
    call->requests++;
    ls_remote_page_add(&call->page, NULL)->id = ls_xstrdup("1");
    ls_remote_call_later(call, NULL);
    return call;
}

static void release(struct ls_remote_call *call)
{
    (void)call;
    released++;
}

static void free_self(void *self)
{
    (void)self;
    freed++;
}

static const struct ls_connector_ops ops = {.platform = "test",
                                            .capabilities = capabilities,
                                            .list = list,
                                            .release = release,
                                            .free = free_self};

struct outcome {
    int calls;
    struct ls_remote_call *call;
    int requests;
    size_t count;
    struct ls_err err;
    struct ls_connector *free_this;
};

static void on_done(void *arg, const struct ls_remote_page *page, const struct ls_err *err)
{
    struct outcome *outcome = arg;

    outcome->calls++;
    outcome->requests = ls_remote_requests(outcome->call);
    outcome->count = page ? page->count : 0;
    if (err)
        outcome->err = *err;
    ls_connector_free(outcome->free_this);
}

static void run(uv_loop_t *loop)
{
    uv_run(loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(loop), 0);
}

static void call__of_a_known_entity__ends_once_and_later(void **state)
{
    uv_loop_t loop;
    struct ls_connector *connector;
    struct ls_mapping mapping = {.entity = T("thing")};
    struct outcome outcome = {0};

    (void)state;
    released = freed = 0;
    uv_loop_init(&loop);
    connector = ls_connector_new_with(&ops, NULL, &loop, "a");
    outcome.free_this = connector; /* from within done: the last thing a caller may do */
    outcome.call = ls_connector_list(connector, &(struct ls_list_query){.mapping = &mapping},
                                     on_done, &outcome);
    assert_int_equal(outcome.calls, 0);
    run(&loop);
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.requests, 1);
    assert_int_equal(outcome.count, 1);
    assert_int_equal(released, 1);
    assert_int_equal(freed, 1);
}

static void call__of_an_unknown_entity__is_unsupported(void **state)
{
    uv_loop_t loop;
    struct ls_connector *connector;
    struct ls_mapping mapping = {.entity = T("order")};
    struct outcome outcome = {0};

    (void)state;
    uv_loop_init(&loop);
    connector = ls_connector_new_with(&ops, NULL, &loop, "a");
    outcome.call = ls_connector_list(connector, &(struct ls_list_query){.mapping = &mapping},
                                     on_done, &outcome);
    run(&loop);
    assert_int_equal(outcome.err.code, LS_E_UNSUPPORTED);
    assert_int_equal(outcome.requests, 0);
    assert_string_equal(outcome.err.text, "test 'a' has no entity 'order'");
    ls_connector_free(connector);
}

static void cancel__of_a_call__means_no_callback(void **state)
{
    uv_loop_t loop;
    struct ls_connector *connector;
    struct ls_mapping mapping = {.entity = T("thing")};
    struct outcome outcome = {0};
    struct ls_remote_call *call, *none = NULL;

    (void)state;
    released = 0;
    uv_loop_init(&loop);
    connector = ls_connector_new_with(&ops, NULL, &loop, "a");
    call = ls_connector_list(connector, &(struct ls_list_query){.mapping = &mapping}, on_done,
                             &outcome);
    ls_remote_cancel(&call);
    assert_null(call);
    ls_remote_cancel(&none);
    ls_connector_list(connector, &(struct ls_list_query){.mapping = &mapping}, on_done, &outcome);
    ls_connector_free(connector); /* with a call out */
    run(&loop);
    assert_int_equal(outcome.calls, 0);
    assert_int_equal(released, 2);
}

static void new__wrong_account__says_what_is_wrong(void **state)
{
    static const struct {
        const char *platform, *url, *key, *text;
    } cases[] = {
        {"shopware", "https://x", "k", "platform 'shopware'"},
        {"woocommerce", "", "k", "no usable url"},
        {"woocommerce", "ftp://x", "k", "no usable url"},
        {"woocommerce", "https://", "k", "no usable url"},
        {"woocommerce", "https://ck:cs@shop.example", "k", "holds credentials"},
        {"woocommerce", "https://shop.example/?p=1", "k", "has a query"},
        {"woocommerce", "https://shop.example", "", "no consumer_key"},
    };

    (void)state;
    for (size_t i = 0; i < LS_COUNT(cases); i++) {
        struct ls_config_account account = {.name = T("a"),
                                            .platform = T(cases[i].platform),
                                            .url = T(cases[i].url),
                                            .consumer_key = T(cases[i].key),
                                            .consumer_secret = T("s3cret")};
        struct ls_err err = LS_ERR_INIT;
        assert_null(ls_connector_new(&account, NULL, NULL, &err));
        assert_int_equal(err.code, LS_E_CONFIG);
        if (!strstr(err.text, cases[i].text) || strstr(err.text, "cs@"))
            fail_msg("case %zu: %s", i, err.text);
    }
}

static void new__good_account__has_products(void **state)
{
    struct ls_config_account account = {.name = T("a"),
                                        .platform = T("woocommerce"),
                                        .url = T("https://shop.example/blog/"),
                                        .consumer_key = T("k"),
                                        .consumer_secret = T("s")};
    struct ls_connector *connector = ls_connector_new(&account, NULL, NULL, NULL);

    (void)state;
    assert_non_null(connector);
    assert_int_equal(ls_connector_capabilities(connector, "product")->batch_max, 100);
    assert_null(ls_connector_capabilities(connector, "order"));
    ls_connector_free(connector);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(call__of_a_known_entity__ends_once_and_later),
        cmocka_unit_test(call__of_an_unknown_entity__is_unsupported),
        cmocka_unit_test(cancel__of_a_call__means_no_callback),
        cmocka_unit_test(new__wrong_account__says_what_is_wrong),
        cmocka_unit_test(new__good_account__has_products),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
