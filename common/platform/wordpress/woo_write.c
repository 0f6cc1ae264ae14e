/* Writing: one object, or up to a hundred in one request. */
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/platform/wordpress/answer.h"
#include "common/platform/wordpress/object.h"
#include "common/platform/wordpress/woocommerce_internal.h"

/* A batch of a hundred took 3 s on a small machine; a slow one gets 100 ms for each on top of the
 * usual time. */
#define BATCH_ITEM_MS 100

/* One write, prepared: the record it came from is not needed any more. */
struct job {
    enum ls_write_kind kind;
    bool hard;
    char *id;     /* owned; NULL: create */
    json_t *body; /* owned; NULL: delete */
};

/* A range of the order. */
struct range {
    size_t start, count;
};

struct write_call {
    struct woo_call call;
    bool batch;
    struct job *jobs;
    size_t count;
    size_t sendable;      /* jobs whose id is one */
    size_t *order;        /* their indexes: those that may go in one batch first */
    struct range *ranges; /* stack of what is still to be sent */
    size_t range_count;
    struct range now; /* what is under way */
    size_t settled;   /* items that have their result */
};

static struct write_call *begin(struct ls_connector *connector, const struct ls_mapping *mapping,
                                const struct ls_write *writes, size_t count);
static void free_write(struct woo_call *call);
static bool may_send(const struct job *job);
static void refuse_id(const char *id, struct ls_err *err);
static bool may_batch(const struct job *job);
static void push_range(struct write_call *write, size_t start, size_t count);
static void next_range(struct write_call *write);
static void send_single(struct write_call *write, const struct job *job);
static void on_single(struct woo_call *call, const json_t *root,
                      const struct ls_http_response *response, const struct ls_err *err);
static int settle_single(struct write_call *write, size_t index, const json_t *root,
                         const struct ls_err *err, struct ls_err *problem);
static void send_batch(struct write_call *write);
static void on_batch(struct woo_call *call, const json_t *root,
                     const struct ls_http_response *response, const struct ls_err *err);
static void settle_batch(struct write_call *write, const json_t *root);
static void settle_item(struct write_call *write, size_t index, const json_t *object);
static void range_failed(struct write_call *write, const struct ls_err *err);
static bool concerns_item(const struct ls_err *err);
static bool already_gone(const struct job *job, const struct ls_err *err);
static char *describe(const struct job *job);

struct ls_remote_call *woo_write(struct ls_connector *connector, const struct ls_mapping *mapping,
                                 const struct ls_write *write)
{
    struct write_call *call = begin(connector, mapping, write, 1);
    struct ls_err err = LS_ERR_INIT;

    if (call->sendable) {
        next_range(call);
    } else {
        refuse_id(write->id, &err);
        ls_remote_call_later(&call->call.base, &err);
    }
    return &call->call.base;
}

struct ls_remote_call *woo_write_batch(struct ls_connector *connector,
                                       const struct ls_mapping *mapping,
                                       const struct ls_write *writes, size_t count)
{
    struct write_call *call = begin(connector, mapping, writes, count);
    struct ls_err err = LS_ERR_INIT;

    call->batch = true;
    for (size_t i = 0; i < count; i++) {
        struct ls_remote *item = ls_remote_page_add(
            &call->call.base.page, writes[i].kind == LS_WRITE_DELETE ? NULL : mapping);
        item->id = ls_xstrdup(writes[i].id);
        if (!may_send(&call->jobs[i]))
            refuse_id(writes[i].id, &item->error);
    }
    if (count > WOO_BATCH_MAX)
        ls_fail(&err, LS_E_USAGE, "woocommerce '%s' cannot write %zu products at once: at most %d",
                connector->account, count, WOO_BATCH_MAX);
    if (err.code || !call->sendable)
        ls_remote_call_later(&call->call.base, err.code ? &err : NULL);
    else
        next_range(call);
    return &call->call.base;
}

static struct write_call *begin(struct ls_connector *connector, const struct ls_mapping *mapping,
                                const struct ls_write *writes, size_t count)
{
    struct write_call *write = woo_call_begin(connector, mapping, sizeof *write);
    size_t together = 0, alone = 0;

    write->call.fini = free_write;
    write->count = count;
    write->jobs = ls_xcalloc(count ? count : 1, sizeof *write->jobs);
    write->order = ls_xcalloc(count ? count : 1, sizeof *write->order);
    write->ranges = ls_xcalloc(2 * count + 2, sizeof *write->ranges);
    for (size_t i = 0; i < count; i++) {
        struct job *job = &write->jobs[i];
        *job = (struct job){.kind = writes[i].kind, .hard = writes[i].hard};
        if (job->kind != LS_WRITE_CREATE)
            job->id = ls_xstrdup(writes[i].id);
        if (job->kind != LS_WRITE_DELETE)
            job->body = ls_wp_object_write(mapping, writes[i].record, job->kind == LS_WRITE_UPDATE,
                                           job->kind == LS_WRITE_CREATE ? writes[i].marker : NULL);
        write->sendable += may_send(job);
        together += may_send(job) && may_batch(job);
    }
    for (size_t i = 0, first = 0; i < count; i++)
        if (may_send(&write->jobs[i]))
            write->order[may_batch(&write->jobs[i]) ? first++ : together + alone++] = i;
    for (size_t i = write->sendable; i > together; i--)
        push_range(write, i - 1, 1);
    if (together)
        push_range(write, 0, together);
    return write;
}

static void free_write(struct woo_call *call)
{
    struct write_call *write = (struct write_call *)call;

    for (size_t i = 0; i < write->count; i++) {
        free(write->jobs[i].id);
        json_decref(write->jobs[i].body);
    }
    free(write->jobs);
    free(write->order);
    free(write->ranges);
}

static bool may_send(const struct job *job)
{
    return job->kind == LS_WRITE_CREATE || woo_id_valid(job->id);
}

static void refuse_id(const char *id, struct ls_err *err)
{
    ls_fail(err, LS_E_INVALID, "product id '%.40s' is not a number", id ? id : "");
}

/* A delete in a batch is always for good. */
static bool may_batch(const struct job *job)
{
    return job->kind != LS_WRITE_DELETE || job->hard;
}

static void push_range(struct write_call *write, size_t start, size_t count)
{
    write->ranges[write->range_count++] = (struct range){start, count};
}

static void next_range(struct write_call *write)
{
    if (!write->range_count) {
        woo_end(&write->call, NULL);
        return;
    }
    write->now = write->ranges[--write->range_count];
    if (write->now.count == 1)
        send_single(write, &write->jobs[write->order[write->now.start]]);
    else
        send_batch(write);
}

/* ---- one ------------------------------------------------------------------------------------- */

static void send_single(struct write_call *write, const struct job *job)
{
    static const char *const methods[] = {
        [LS_WRITE_CREATE] = "POST", [LS_WRITE_UPDATE] = "PUT", [LS_WRITE_DELETE] = "DELETE"};
    struct woo_request request = {
        .method = methods[job->kind],
        .path = job->id ? ls_xasprintf("/products/%s", job->id) : ls_xstrdup("/products"),
        .body = job->body ? json_dumps(job->body, JSON_COMPACT) : NULL,
        .what = describe(job),
    };

    if (job->kind == LS_WRITE_DELETE)
        ls_query_add(&request.query, "force", job->hard ? "true" : "false");
    woo_add_fields(&request.query, write->call.mapping, 0, job->kind == LS_WRITE_CREATE);
    woo_send(&write->call, request, on_single);
}

static void on_single(struct woo_call *call, const json_t *root,
                      const struct ls_http_response *response, const struct ls_err *err)
{
    struct write_call *write = (struct write_call *)call;
    size_t index = write->order[write->now.start];
    struct ls_err problem = LS_ERR_INIT;

    (void)response;
    if (settle_single(write, index, root, err, &problem) == 0) {
        write->settled++;
        next_range(write);
    } else if (!write->batch) {
        woo_end(call, &problem);
    } else if (concerns_item(&problem)) {
        call->base.page.items[index].error = problem;
        write->settled++;
        next_range(write);
    } else {
        range_failed(write, &problem);
    }
}

/* Is it about this one object, so that the others may go on? */
static bool concerns_item(const struct ls_err *err)
{
    return err->code == LS_E_PERMANENT || err->code == LS_E_NOT_FOUND || err->code == LS_E_EXISTS ||
           err->code == LS_E_CONFLICT || err->code == LS_E_TOO_BIG;
}

/* Put the result of a single request where it belongs: into the item of a batch, or as the page's
 * only one. */
static int settle_single(struct write_call *write, size_t index, const json_t *root,
                         const struct ls_err *err, struct ls_err *problem)
{
    const struct job *job = &write->jobs[index];
    struct ls_remote_page *page = &write->call.base.page;
    bool is_delete = job->kind == LS_WRITE_DELETE;
    bool gone = err && already_gone(job, err);
    struct ls_remote *item;

    if (err && !gone) {
        *problem = *err;
        return -1;
    }
    if (gone || (is_delete && job->hard))
        return 0; /* no item; in a batch the bare one that is there */
    if (job->id && ls_wp_object_id(root) != strtoll(job->id, NULL, 10)) {
        woo_fail(&write->call, problem, LS_E_LOST, "the answer is about '%lld'",
                 (long long)ls_wp_object_id(root));
        return -1;
    }
    if (write->batch) {
        item = &page->items[index];
        if (!item->record.count)
            ls_record_init(&item->record, write->call.mapping);
    } else {
        item = ls_remote_page_add(page, write->call.mapping);
    }
    if (ls_wp_object_read(root, write->call.mapping, 0, item, problem) < 0) {
        char reason[sizeof problem->text];
        snprintf(reason, sizeof reason, "%s", problem->text);
        woo_fail(&write->call, problem, LS_E_LOST, "%s", reason);
        return -1;
    }
    if (is_delete) { /* the answer shows the object as it was before */
        item->trashed = true;
        free(item->version);
        item->version = NULL;
    }
    return 0;
}

/* What a delete wants has come about already. */
static bool already_gone(const struct job *job, const struct ls_err *err)
{
    return job->kind == LS_WRITE_DELETE && err->code == LS_E_NOT_FOUND;
}

/* ---- many ------------------------------------------------------------------------------------ */

static const char *const batch_names[] = {
    [LS_WRITE_CREATE] = "create", [LS_WRITE_UPDATE] = "update", [LS_WRITE_DELETE] = "delete"};

static void send_batch(struct write_call *write)
{
    const struct woo *woo = write->call.base.connector->self;
    struct woo_request request = {
        .method = "POST",
        .path = ls_xstrdup("/products/batch"),
        .timeout_ms = woo->timeout_ms + (int64_t)write->now.count * BATCH_ITEM_MS,
        .what = ls_xasprintf("cannot write %zu products", write->now.count),
    };
    json_t *lists[] = {json_array(), json_array(), json_array()};
    json_t *body = json_object();

    for (size_t i = 0; i < write->now.count; i++) {
        const struct job *job = &write->jobs[write->order[write->now.start + i]];
        json_t *entry;
        if (job->kind == LS_WRITE_DELETE) {
            entry = json_integer(strtoll(job->id, NULL, 10));
        } else {
            entry = json_copy(job->body);
            if (job->kind == LS_WRITE_UPDATE)
                json_object_set_new(entry, "id", json_integer(strtoll(job->id, NULL, 10)));
        }
        json_array_append_new(lists[job->kind], entry);
    }
    for (size_t kind = 0; kind < LS_COUNT(lists); kind++) {
        if (json_array_size(lists[kind]))
            json_object_set(body, batch_names[kind], lists[kind]);
        json_decref(lists[kind]);
    }
    /* No _fields here: it would be applied to the answer as a whole, which has none of them. */
    request.body = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    woo_send(&write->call, request, on_batch);
}

static void on_batch(struct woo_call *call, const json_t *root,
                     const struct ls_http_response *response, const struct ls_err *err)
{
    struct write_call *write = (struct write_call *)call;

    (void)response;
    if (err && err->code == LS_E_TOO_BIG && err->http_status == 413) { /* nothing was done */
        size_t half = write->now.count / 2;
        push_range(write, write->now.start + half, write->now.count - half);
        push_range(write, write->now.start, half);
        next_range(write);
        return;
    }
    if (err) {
        range_failed(write, err);
        return;
    }
    settle_batch(write, root);
    write->settled += write->now.count;
    next_range(write);
}

/* The answers of each kind come in the order in which they were sent. A list of another length
 * names no one: all of that kind is lost. */
static void settle_batch(struct write_call *write, const json_t *root)
{
    size_t sent[LS_COUNT(batch_names)] = {0}, taken[LS_COUNT(batch_names)] = {0};

    for (size_t i = 0; i < write->now.count; i++)
        sent[write->jobs[write->order[write->now.start + i]].kind]++;
    for (size_t i = 0; i < write->now.count; i++) {
        size_t index = write->order[write->now.start + i];
        enum ls_write_kind kind = write->jobs[index].kind;
        const json_t *list = json_object_get(root, batch_names[kind]);
        const json_t *object =
            json_array_size(list) == sent[kind] ? json_array_get(list, taken[kind]++) : NULL;
        settle_item(write, index, object);
    }
}

static void settle_item(struct write_call *write, size_t index, const json_t *object)
{
    const struct job *job = &write->jobs[index];
    struct ls_remote *item = &write->call.base.page.items[index];
    const json_t *error = json_object_get(object, "error");
    struct ls_err problem = LS_ERR_INIT;
    char *what = describe(job), *full;

    full = ls_xasprintf("woocommerce '%s' %s", write->call.base.connector->account, what);
    if (error) {
        ls_wp_item_error(error, full, &problem);
        if (!already_gone(job, &problem))
            item->error = problem;
    } else if (!json_is_object(object) || (job->kind == LS_WRITE_UPDATE &&
                                           ls_wp_object_id(object) != strtoll(job->id, NULL, 10))) {
        ls_fail(&item->error, LS_E_LOST, "%s: the answer to the batch does not tell its outcome",
                full);
    } else if (job->kind != LS_WRITE_DELETE &&
               ls_wp_object_read(object, write->call.mapping, 0, item, &problem) < 0) {
        ls_fail(&item->error, LS_E_LOST, "%s: %s", full, problem.text);
    }
    free(full);
    free(what);
}

/* A request failed as a whole. The first one fails the call; after that what has been settled must
 * not be lost, so the failure goes to its own items, and what was not sent for it says so. */
static void range_failed(struct write_call *write, const struct ls_err *err)
{
    struct ls_remote *items = write->call.base.page.items;
    size_t end = write->now.start + write->now.count;

    if (!write->settled && write->now.count == write->count) /* nothing to keep */ {
        woo_end(&write->call, err);
        return;
    }
    for (size_t i = write->now.start; i < end; i++)
        items[write->order[i]].error = *err;
    while (write->range_count) {
        struct range range = write->ranges[--write->range_count];
        for (size_t i = range.start; i < range.start + range.count; i++) {
            struct ls_err *error = &items[write->order[i]].error;
            ls_fail(error, err->code == LS_E_LOST ? LS_E_TRANSIENT : err->code,
                    "not sent after a failure: %s", err->text);
            error->http_status = err->http_status;
            error->retry_after_ms = err->retry_after_ms;
        }
    }
    woo_end(&write->call, NULL);
}

static char *describe(const struct job *job)
{
    switch (job->kind) {
    case LS_WRITE_CREATE: {
        const char *sku = json_string_value(json_object_get(job->body, "sku"));
        return sku && *sku ? ls_xasprintf("cannot create product with sku '%.80s'", sku)
                           : ls_xstrdup("cannot create a product");
    }
    case LS_WRITE_UPDATE:
        return ls_xasprintf("cannot update product '%s'", job->id);
    default:
        return ls_xasprintf("cannot delete product '%s'", job->id);
    }
}
