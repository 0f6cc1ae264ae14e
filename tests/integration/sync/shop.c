#include "tests/integration/sync/shop.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/mem.h"

static char *dup_or_null(const char *text)
{
    return text ? ls_xstrdup(text) : NULL;
}

void shop_init(struct shop *shop)
{
    *shop = (struct shop){.can = {.page_max = 100,
                                  .batch_max = 20,
                                  .delta = true,
                                  .delta_overlap_ms = 60000,
                                  .match_unique = true,
                                  .marker = true},
                          .now_ms = 1790000000000,
                          .stamp_ms = 1000,
                          .next_id = 1000,
                          .ignore_field = -1,
                          .rounding_field = -1};
}

void shop_fini(struct shop *shop)
{
    for (size_t i = 0; i < shop->count; i++) {
        for (int field = 0; field < SHOP_FIELDS; field++)
            free(shop->objects[i].fields[field]);
        free(shop->objects[i].marker);
    }
    for (size_t i = 0; i < shop->late_count; i++) {
        for (int field = 0; field < SHOP_FIELDS; field++)
            free(shop->late[i].values[field]);
        free(shop->late[i].marker);
    }
}

static void stamp(struct shop *shop, struct shop_object *object)
{
    object->modified_ms = shop->now_ms / shop->stamp_ms * shop->stamp_ms;
}

struct shop_object *shop_add(struct shop *shop, const char *const *values, size_t count)
{
    struct shop_object *object = &shop->objects[shop->count++];

    ls_assert(shop->count < SHOP_MAX && count <= SHOP_FIELDS);
    *object = (struct shop_object){.id = shop->next_id++};
    for (size_t i = 0; i < count; i++)
        object->fields[i] = dup_or_null(values[i]);
    for (size_t i = 0; i + 1 < shop->count; i++)
        if (!shop->objects[i].gone && shop->objects[i].fields[shop->match] &&
            object->fields[shop->match] &&
            strcmp(shop->objects[i].fields[shop->match], object->fields[shop->match]) == 0)
            shop->tangled++;
    stamp(shop, object);
    return object;
}

void shop_edit(struct shop *shop, struct shop_object *object, int field, const char *value,
               bool silently)
{
    free(object->fields[field]);
    object->fields[field] = dup_or_null(value);
    if (!silently)
        stamp(shop, object);
}

struct shop_object *shop_find(struct shop *shop, const char *match)
{
    for (size_t i = 0; i < shop->count; i++)
        if (!shop->objects[i].gone && shop->objects[i].fields[shop->match] &&
            strcmp(shop->objects[i].fields[shop->match], match) == 0)
            return &shop->objects[i];
    return NULL;
}

struct shop_object *shop_get(struct shop *shop, int64_t id)
{
    for (size_t i = 0; i < shop->count; i++)
        if (shop->objects[i].id == id && !shop->objects[i].gone)
            return &shop->objects[i];
    return NULL;
}

/* ---- effects ---- */

static void store_value(struct shop *shop, struct shop_object *object, int field, const char *value)
{
    if (field == shop->ignore_field)
        return;
    free(object->fields[field]);
    object->fields[field] = field == shop->rounding_field && value && strlen(value) > 4
                                ? ls_xstrndup(value, 4)
                                : dup_or_null(value);
}

static struct shop_object *take_effect(struct shop *shop, int64_t id, char *const *values,
                                       uint64_t given, const char *marker)
{
    struct shop_object *object;

    if (!id) {
        const char *none[SHOP_FIELDS] = {0};
        for (int i = 0; i < SHOP_FIELDS; i++)
            none[i] = given >> i & 1 ? values[i] : NULL;
        if (shop->can.match_unique && none[shop->match] && shop_find(shop, none[shop->match]))
            return NULL;
        object = shop_add(shop, none, SHOP_FIELDS);
        object->marker = dup_or_null(marker);
        shop->creates++;
        return object;
    }
    object = shop_get(shop, id);
    if (!object)
        return NULL;
    for (int i = 0; i < SHOP_FIELDS; i++)
        if (given >> i & 1)
            store_value(shop, object, i, values[i]);
    stamp(shop, object);
    shop->updates++;
    return object;
}

static void bring_home(struct shop *shop, size_t index)
{
    struct shop_late late = shop->late[index];

    shop->late[index] = shop->late[--shop->late_count];
    take_effect(shop, late.id, late.values, late.given, late.marker);
    for (int i = 0; i < SHOP_FIELDS; i++)
        free(late.values[i]);
    free(late.marker);
}

void shop_flush(struct shop *shop)
{
    while (shop->late_count)
        bring_home(shop, 0);
}

static void count_request(struct shop *shop, struct ls_remote_call *call)
{
    shop->requests++;
    call->requests++;
    for (size_t i = 0; i < shop->late_count; i++)
        if (--shop->late[i].due <= 0)
            bring_home(shop, i--);
}

/* ---- the connector ---- */

static enum shop_trouble ask_trouble(struct shop *shop, struct ls_remote_call *call, bool write)
{
    count_request(shop, call);
    return shop->trouble ? shop->trouble(shop, write) : SHOP_WELL;
}

static const struct ls_capabilities *capabilities(void *self, const char *entity)
{
    return &((struct shop *)self)->can;
}

static void show(struct shop *shop, struct ls_remote_page *page, const struct ls_mapping *mapping,
                 const struct shop_object *object, uint64_t fields)
{
    struct ls_remote *remote = ls_remote_page_add(page, mapping);
    time_t seconds = (time_t)(object->modified_ms / 1000);
    struct tm tm;
    char version[40];

    gmtime_r(&seconds, &tm);
    strftime(version, sizeof version, "%Y-%m-%dT%H:%M:%SZ", &tm);
    remote->id = ls_xasprintf("%" PRId64, object->id);
    remote->version = ls_xstrdup(version);
    remote->match = dup_or_null(object->fields[shop->match]);
    remote->marker = dup_or_null(object->marker);
    remote->trashed = object->trashed;
    for (size_t i = 0; i < mapping->count; i++) {
        if (fields && !(fields >> i & 1))
            continue;
        if (!object->fields[i])
            ls_value_set_null(&remote->record.values[i]);
        else if (ls_value_set(&remote->record.values[i], mapping->fields[i].type, object->fields[i],
                              strlen(object->fields[i]), &remote->error) < 0)
            ls_value_set_null(&remote->record.values[i]);
    }
}

static void fail_by(enum shop_trouble trouble, struct ls_err *err)
{
    if (trouble == SHOP_REFUSED)
        ls_fail(err, LS_E_NETWORK, "cannot reach the shop");
    else if (trouble == SHOP_BUSY)
        ls_fail(err, LS_E_THROTTLED, "the shop asks for patience");
    else if (trouble == SHOP_FAILED_AFTER)
        ls_fail(err, LS_E_TRANSIENT, "the shop failed with 500");
    else
        ls_fail(err, LS_E_LOST, "API timeout after 30s: no answer from the shop");
}

static struct ls_remote_call *end_read(struct ls_remote_call *call, struct shop *shop)
{
    enum shop_trouble trouble = ask_trouble(shop, call, false);
    struct ls_err err = LS_ERR_INIT;

    call->page.remote_ms = shop->now_ms;
    if (trouble == SHOP_SILENT) {
        shop->silent++;
    } else if (trouble == SHOP_WELL) {
        ls_remote_call_later(call, NULL);
    } else {
        fail_by(trouble == SHOP_BUSY ? trouble : SHOP_REFUSED, &err);
        ls_remote_call_later(call, &err);
    }
    return call;
}

void shop_speak(struct ls_connector *connector)
{
    for (struct ls_remote_call *call = connector->calls; call; call = call->next)
        if (!call->timer)
            ls_remote_call_later(call, NULL);
}

static bool is_listed(const struct ls_list_query *query, const struct shop_object *object)
{
    if (object->gone)
        return false;
    if (query->order != LS_LIST_BY_MODIFIED)
        return !object->trashed;
    return (!query->modified_from_ms ||
            object->modified_ms >= query->modified_from_ms / 1000 * 1000) &&
           (!query->modified_to_ms || object->modified_ms <= query->modified_to_ms);
}

static struct ls_remote_call *list(struct ls_connector *connector,
                                   const struct ls_list_query *query)
{
    struct shop *shop = connector->self;
    struct ls_remote_call *call = ls_remote_call_begin(connector, sizeof *call);
    int64_t after = query->cursor ? strtoll(query->cursor, NULL, 10) : 0, last = 0;
    size_t limit = query->limit ? query->limit : shop->can.page_max;

    shop->lists++;
    call->page.total = 0;
    for (size_t i = 0; i < shop->count; i++) {
        const struct shop_object *object = &shop->objects[i];
        if (!is_listed(query, object))
            continue;
        call->page.total++;
        if (object->id <= after)
            continue;
        if (call->page.count == limit) {
            free(call->page.next);
            call->page.next = ls_xasprintf("%" PRId64, last);
            continue;
        }
        show(shop, &call->page, query->mapping, object, query->fields);
        last = object->id;
    }
    return end_read(call, shop);
}

static struct ls_remote_call *get(struct ls_connector *connector, const struct ls_mapping *mapping,
                                  const char *const *ids, size_t count)
{
    struct shop *shop = connector->self;
    struct ls_remote_call *call = ls_remote_call_begin(connector, sizeof *call);

    shop->gets++;
    for (int i = 1; i < shop->get_cost; i++)
        count_request(shop, call);
    for (size_t i = 0; i < count; i++) {
        const struct shop_object *object = shop_get(shop, strtoll(ids[i], NULL, 10));
        if (object)
            show(shop, &call->page, mapping, object, 0);
    }
    return end_read(call, shop);
}

static struct ls_remote_call *find(struct ls_connector *connector, const struct ls_mapping *mapping,
                                   const char *match, const char *marker, int64_t created_from_ms)
{
    struct shop *shop = connector->self;
    struct ls_remote_call *call = ls_remote_call_begin(connector, sizeof *call);

    shop->finds++;
    for (size_t i = 0; i < shop->count; i++) {
        const struct shop_object *object = &shop->objects[i];
        if (!object->gone && ((match && object->fields[shop->match] &&
                               strcmp(object->fields[shop->match], match) == 0) ||
                              (marker && object->marker && strcmp(object->marker, marker) == 0)))
            show(shop, &call->page, mapping, object, 0);
    }
    return end_read(call, shop);
}

static void delay_effect(struct shop *shop, int64_t id, char **values, uint64_t given,
                         const char *marker)
{
    struct shop_late *late = &shop->late[shop->late_count];

    if (shop->late_count == LS_COUNT(shop->late))
        return; /* it never arrives */
    shop->late_count++;
    *late = (struct shop_late){.id = id, .given = given, .marker = dup_or_null(marker), .due = 12};
    for (int i = 0; i < SHOP_FIELDS; i++)
        late->values[i] = dup_or_null(values[i]);
}

/* One write's effect and its answer, into the page. */
static void write_one(struct shop *shop, struct ls_remote_page *page,
                      const struct ls_mapping *mapping, const struct ls_write *write,
                      enum shop_trouble trouble)
{
    int64_t id = write->kind == LS_WRITE_CREATE ? 0 : strtoll(write->id, NULL, 10);
    char *values[SHOP_FIELDS] = {0};
    struct shop_object *object = NULL;
    struct ls_err err = LS_ERR_INIT;
    const char *match = NULL;
    uint64_t given = 0;

    for (size_t i = 0; i < mapping->count; i++) {
        if (write->record->values[i].state == LS_VALUE_MISSING)
            continue;
        given |= (uint64_t)1 << i;
        values[i] = write->record->values[i].text;
    }
    if (id && (object = shop_get(shop, id)))
        match = object->fields[shop->match];
    else if (!id)
        match = values[shop->match];
    if (shop->refuse && match && strcmp(shop->refuse, match) == 0) {
        ls_fail(&err, LS_E_PERMANENT, "the shop refuses this product");
    } else if (trouble == SHOP_LATE) {
        delay_effect(shop, id, values, given, write->marker);
        fail_by(trouble, &err);
    } else if (trouble == SHOP_WELL || trouble == SHOP_LOST_AFTER || trouble == SHOP_FAILED_AFTER) {
        if (!id && shop->can.match_unique && match && shop_find(shop, match))
            ls_fail(&err, LS_E_EXISTS, "sku '%s' is taken", match);
        else if (!(object = take_effect(shop, id, values, given, write->marker)))
            ls_fail(&err, LS_E_NOT_FOUND, "there is no such object");
        else if (trouble != SHOP_WELL)
            fail_by(trouble, &err);
    } else {
        fail_by(trouble, &err);
    }
    if (err.code == LS_E_NONE)
        show(shop, page, mapping, object, 0);
    else
        ls_remote_page_add(page, mapping)->error = err;
}

static struct ls_remote_call *write_single(struct ls_connector *connector,
                                           const struct ls_mapping *mapping,
                                           const struct ls_write *write)
{
    struct shop *shop = connector->self;
    struct ls_remote_call *call = ls_remote_call_begin(connector, sizeof *call);

    shop->writes++;
    call->page.remote_ms = shop->now_ms;
    write_one(shop, &call->page, mapping, write, ask_trouble(shop, call, true));
    ls_remote_call_later(call, call->page.items[0].error.code ? &call->page.items[0].error : NULL);
    return call;
}

static struct ls_remote_call *write_batch(struct ls_connector *connector,
                                          const struct ls_mapping *mapping,
                                          const struct ls_write *writes, size_t count)
{
    struct shop *shop = connector->self;
    struct ls_remote_call *call = ls_remote_call_begin(connector, sizeof *call);
    enum shop_trouble trouble = ask_trouble(shop, call, true);
    struct ls_err err = LS_ERR_INIT;

    shop->batches++;
    call->page.remote_ms = shop->now_ms;
    for (size_t i = 0; i < count && shop->refuse_whole && writes[i].id; i++) {
        const struct shop_object *object = shop_get(shop, strtoll(writes[i].id, NULL, 10));
        if (object && shop->refuse && strcmp(object->fields[shop->match], shop->refuse) == 0) {
            ls_fail(&err, LS_E_PERMANENT, "the shop refuses this batch");
            ls_remote_call_later(call, &err);
            return call;
        }
    }
    for (size_t i = 0; i < count; i++)
        write_one(shop, &call->page, mapping, &writes[i], trouble);
    if (trouble != SHOP_WELL)
        fail_by(trouble, &err);
    ls_remote_call_later(call, err.code ? &err : NULL);
    return call;
}

static struct ls_remote_call *probe(struct ls_connector *connector,
                                    const struct ls_mapping *mapping)
{
    return end_read(ls_remote_call_begin(connector, sizeof(struct ls_remote_call)),
                    connector->self);
}

struct ls_connector *shop_connector(struct shop *shop, uv_loop_t *loop)
{
    static const struct ls_connector_ops ops = {
        .platform = "shop",
        .capabilities = capabilities,
        .list = list,
        .get = get,
        .find = find,
        .write = write_single,
        .write_batch = write_batch,
        .probe = probe,
    };

    return ls_connector_new_with(&ops, shop, loop, "shop-eu");
}
