#include "common/platform/connector_internal.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/platform/wordpress/woocommerce.h"

static struct ls_connector *make_woocommerce(const struct ls_config_account *account,
                                             uv_loop_t *loop, struct ls_http *http,
                                             struct ls_err *err);
static struct ls_remote_call *start(struct ls_remote_call *call, ls_remote_cb *done, void *arg);
static struct ls_remote_call *refuse_entity(struct ls_connector *connector, const char *entity);
static void release(struct ls_remote_call *call);
static void unlink_call(struct ls_remote_call *call);
static void free_call(struct ls_remote_call *call);
static void on_later(uv_timer_t *timer);
static void on_timer_closed(uv_handle_t *handle);

/* The platforms an account can name. */
static const struct {
    const char *name;
    struct ls_connector *(*make)(const struct ls_config_account *account, uv_loop_t *loop,
                                 struct ls_http *http, struct ls_err *err);
} platforms[] = {
    {"woocommerce", make_woocommerce},
};

struct ls_connector *ls_connector_new(const struct ls_config_account *account, uv_loop_t *loop,
                                      struct ls_http *http, struct ls_err *err)
{
    for (size_t i = 0; i < LS_COUNT(platforms); i++)
        if (account->platform && !strcmp(platforms[i].name, account->platform))
            return platforms[i].make(account, loop, http, err);
    ls_fail(err, LS_E_CONFIG,
            "account '%s' is of platform '%s', which this build has no connector for",
            account->name, account->platform ? account->platform : "");
    ls_hint(err, "known: woocommerce");
    return NULL;
}

static struct ls_connector *make_woocommerce(const struct ls_config_account *account,
                                             uv_loop_t *loop, struct ls_http *http,
                                             struct ls_err *err)
{
    return ls_woocommerce_new(
        &(struct ls_woocommerce_options){
            .account = account->name,
            .url = account->url,
            .consumer_key = account->consumer_key,
            .consumer_secret = account->consumer_secret,
            .ca_file = account->ca_file,
            .timeout_ms = account->timeout_ms,
        },
        loop, http, err);
}

struct ls_connector *ls_connector_new_with(const struct ls_connector_ops *ops, void *self,
                                           uv_loop_t *loop, const char *account)
{
    struct ls_connector *connector = LS_NEW(struct ls_connector);

    connector->ops = ops;
    connector->self = self;
    connector->loop = loop;
    connector->account = ls_xstrdup(account ? account : "");
    return connector;
}

void ls_connector_free(struct ls_connector *connector)
{
    if (!connector)
        return;
    while (connector->calls) {
        struct ls_remote_call *call = connector->calls;
        ls_remote_cancel(&call);
    }
    if (connector->ops->free)
        connector->ops->free(connector->self);
    free(connector->account);
    free(connector);
}

const struct ls_capabilities *ls_connector_capabilities(const struct ls_connector *connector,
                                                        const char *entity)
{
    return connector->ops->capabilities(connector->self, entity);
}

struct ls_remote_call *ls_connector_list(struct ls_connector *connector,
                                         const struct ls_list_query *query, ls_remote_cb *done,
                                         void *arg)
{
    struct ls_remote_call *call = refuse_entity(connector, query->mapping->entity);

    return start(call ? call : connector->ops->list(connector, query), done, arg);
}

struct ls_remote_call *ls_connector_get(struct ls_connector *connector,
                                        const struct ls_mapping *mapping, const char *const *ids,
                                        size_t count, ls_remote_cb *done, void *arg)
{
    struct ls_remote_call *call = refuse_entity(connector, mapping->entity);

    return start(call ? call : connector->ops->get(connector, mapping, ids, count), done, arg);
}

struct ls_remote_call *ls_connector_find(struct ls_connector *connector,
                                         const struct ls_mapping *mapping, const char *match,
                                         const char *marker, int64_t created_from_ms,
                                         ls_remote_cb *done, void *arg)
{
    struct ls_remote_call *call = refuse_entity(connector, mapping->entity);

    return start(call ? call
                      : connector->ops->find(connector, mapping, match, marker, created_from_ms),
                 done, arg);
}

struct ls_remote_call *ls_connector_write(struct ls_connector *connector,
                                          const struct ls_mapping *mapping,
                                          const struct ls_write *write, ls_remote_cb *done,
                                          void *arg)
{
    struct ls_remote_call *call = refuse_entity(connector, mapping->entity);

    return start(call ? call : connector->ops->write(connector, mapping, write), done, arg);
}

struct ls_remote_call *ls_connector_write_batch(struct ls_connector *connector,
                                                const struct ls_mapping *mapping,
                                                const struct ls_write *writes, size_t count,
                                                ls_remote_cb *done, void *arg)
{
    struct ls_remote_call *call = refuse_entity(connector, mapping->entity);

    return start(call ? call : connector->ops->write_batch(connector, mapping, writes, count), done,
                 arg);
}

struct ls_remote_call *ls_connector_probe(struct ls_connector *connector,
                                          const struct ls_mapping *mapping, ls_remote_cb *done,
                                          void *arg)
{
    struct ls_remote_call *call = refuse_entity(connector, mapping->entity);

    return start(call ? call : connector->ops->probe(connector, mapping), done, arg);
}

int ls_remote_requests(const struct ls_remote_call *call)
{
    return call ? call->requests : 0;
}

void ls_remote_cancel(struct ls_remote_call **call)
{
    struct ls_remote_call *gone = *call;

    *call = NULL;
    if (!gone)
        return;
    release(gone);
    unlink_call(gone);
    free_call(gone);
}

/* ---- for platforms --------------------------------------------------------------------------- */

void *ls_remote_call_begin(struct ls_connector *connector, size_t size)
{
    struct ls_remote_call *call = ls_xcalloc(1, size);

    ls_assert(size >= sizeof *call);
    call->connector = connector;
    call->page.total = -1;
    call->error = (struct ls_err)LS_ERR_INIT;
    call->next = connector->calls;
    if (call->next)
        call->next->previous = call;
    connector->calls = call;
    return call;
}

void ls_remote_call_end(struct ls_remote_call *call, const struct ls_err *err)
{
    struct ls_err copy = err ? *err : (struct ls_err)LS_ERR_INIT;

    release(call);
    unlink_call(call);
    if (call->done)
        call->done(call->arg, err ? NULL : &call->page, err ? &copy : NULL);
    free_call(
        call); /* the page was borrowed until done returned; the connector may be gone by now */
}

void ls_remote_call_later(struct ls_remote_call *call, const struct ls_err *err)
{
    call->error = err ? *err : (struct ls_err)LS_ERR_INIT;
    call->timer = LS_NEW(uv_timer_t);
    uv_timer_init(call->connector->loop, call->timer);
    call->timer->data = call;
    uv_timer_start(call->timer, on_later, 0, 0);
}

struct ls_remote *ls_remote_page_add(struct ls_remote_page *page, const struct ls_mapping *mapping)
{
    struct ls_remote *remote;

    if ((page->count & (page->count - 1)) == 0) /* 0 and the powers of two: double */
        page->items =
            ls_xrealloc(page->items, (page->count ? page->count * 2 : 1) * sizeof *page->items);
    remote = &page->items[page->count++];
    *remote = (struct ls_remote){.error = LS_ERR_INIT};
    if (mapping)
        ls_record_init(&remote->record, mapping);
    return remote;
}

void ls_remote_fini(struct ls_remote *remote)
{
    free(remote->id);
    free(remote->version);
    free(remote->match);
    free(remote->marker);
    ls_record_fini(&remote->record);
    *remote = (struct ls_remote){.error = LS_ERR_INIT};
}

void ls_remote_page_fini(struct ls_remote_page *page)
{
    for (size_t i = 0; i < page->count; i++)
        ls_remote_fini(&page->items[i]);
    free(page->items);
    free(page->next);
    *page = (struct ls_remote_page){.total = -1};
}

/* ---- inside ---------------------------------------------------------------------------------- */

static struct ls_remote_call *start(struct ls_remote_call *call, ls_remote_cb *done, void *arg)
{
    call->done = done;
    call->arg = arg;
    return call;
}

static struct ls_remote_call *refuse_entity(struct ls_connector *connector, const char *entity)
{
    struct ls_err err = LS_ERR_INIT;
    struct ls_remote_call *call;

    if (ls_connector_capabilities(connector, entity))
        return NULL;
    ls_fail(&err, LS_E_UNSUPPORTED, "%s '%s' has no entity '%s'", connector->ops->platform,
            connector->account, entity);
    call = ls_remote_call_begin(connector, sizeof *call);
    call->refused = true;
    ls_remote_call_later(call, &err);
    return call;
}

static void release(struct ls_remote_call *call)
{
    if (call->connector->ops->release && !call->refused)
        call->connector->ops->release(call);
}

static void unlink_call(struct ls_remote_call *call)
{
    if (call->previous)
        call->previous->next = call->next;
    else
        call->connector->calls = call->next;
    if (call->next)
        call->next->previous = call->previous;
}

static void free_call(struct ls_remote_call *call)
{
    if (call->timer)
        uv_close((uv_handle_t *)call->timer, on_timer_closed);
    ls_remote_page_fini(&call->page);
    free(call);
}

static void on_later(uv_timer_t *timer)
{
    struct ls_remote_call *call = timer->data;

    ls_remote_call_end(call, call->error.code ? &call->error : NULL);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle);
}
