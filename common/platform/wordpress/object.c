#include "common/platform/wordpress/object.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

#define META "meta_data."
#define META_LENGTH (sizeof META - 1)

static const json_t *find_member(const json_t *object, const char *path);
static const json_t *find_meta(const json_t *object, const char *key);
static int read_value(const json_t *json, const struct ls_field *field, struct ls_value *value,
                      struct ls_err *err);
static int read_text(const struct ls_field *field, const char *text, size_t length,
                     struct ls_value *value, struct ls_err *err);
static void read_frame(const json_t *object, const struct ls_mapping *mapping,
                       struct ls_remote *remote);
static json_t *write_value(const struct ls_field *field, const struct ls_value *value);
static void put_member(json_t *body, const char *path, json_t *value);
static void put_meta(json_t *body, const char *key, json_t *value);
static void settle_stock(json_t *body);
static void add_name(struct ls_buf *out, const char *name);

int ls_wp_object_read(const json_t *object, const struct ls_mapping *mapping, uint64_t fields,
                      struct ls_remote *remote, struct ls_err *err)
{
    json_int_t id = ls_wp_object_id(object);

    if (id <= 0)
        return ls_fail(err, LS_E_INVALID, "the answer holds an object without an id");
    free(remote->id);
    remote->id = ls_xasprintf("%lld", (long long)id);
    for (size_t i = 0; i < mapping->count; i++) {
        const json_t *member = find_member(object, mapping->fields[i].remote);
        struct ls_err problem = LS_ERR_INIT;

        if (!member || (fields && !(fields >> i & 1)))
            continue;
        if (read_value(member, &mapping->fields[i], &remote->record.values[i], &problem) < 0 &&
            !remote->error.code) {
            ls_wrap(&problem, "field '%s'", mapping->fields[i].name);
            remote->error = problem;
        }
    }
    read_frame(object, mapping, remote);
    return 0;
}

json_t *ls_wp_object_write(const struct ls_mapping *mapping, const struct ls_record *record,
                           bool update, const char *marker)
{
    json_t *body = json_object();

    for (size_t i = 0; i < mapping->count; i++) {
        const struct ls_field *field = &mapping->fields[i];
        const struct ls_value *value = &record->values[i];

        if (value->state == LS_VALUE_MISSING || (value->state == LS_VALUE_NULL && !update) ||
            !strcmp(field->remote, "id")) /* an id in a body beats the one in the URL */
            continue;
        put_member(body, field->remote, write_value(field, value));
    }
    settle_stock(body);
    if (marker)
        put_meta(body, LS_WP_MARKER_KEY, json_string(marker));
    return body;
}

void ls_wp_object_fields(struct ls_buf *out, const struct ls_mapping *mapping, uint64_t fields,
                         bool bare, bool marker)
{
    add_name(out, "id");
    if (!bare) {
        add_name(out, "status");
        add_name(out, "date_modified_gmt");
        if (mapping->match >= 0)
            add_name(out, mapping->fields[mapping->match].remote);
    }
    if (marker)
        add_name(out, "meta_data");
    for (size_t i = 0; i < mapping->count; i++)
        if (!fields || fields >> i & 1)
            add_name(out, mapping->fields[i].remote);
}

json_int_t ls_wp_object_id(const json_t *object)
{
    return json_integer_value(json_object_get(object, "id"));
}

const char *ls_wp_real_text(char out[LS_WP_REAL_SIZE], double value)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, LS_WP_REAL_SIZE, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
    return out;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* NULL: not there. An empty list in the place of an object is PHP's empty object: it has no
 * members. */
static const json_t *find_member(const json_t *object, const char *path)
{
    char name[128];
    const char *dot;

    if (!strncmp(path, META, META_LENGTH))
        return find_meta(object, path + META_LENGTH);
    while ((dot = strchr(path, '.')) && (size_t)(dot - path) < sizeof name) {
        memcpy(name, path, (size_t)(dot - path));
        name[dot - path] = '\0';
        object = json_object_get(object, name);
        path = dot + 1;
    }
    return json_object_get(object, path);
}

/* An object whose meta data was read and lacks the key has no value there: NULL, not MISSING. */
static const json_t *find_meta(const json_t *object, const char *key)
{
    const json_t *rows = json_object_get(object, "meta_data");

    if (!rows)
        return NULL;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *name = json_string_value(json_object_get(row, "key"));
        if (name && !strcmp(name, key))
            return json_object_get(row, "value");
    }
    return json_null();
}

static int read_value(const json_t *json, const struct ls_field *field, struct ls_value *value,
                      struct ls_err *err)
{
    char number[LS_WP_REAL_SIZE];

    switch (json_typeof(json)) {
    case JSON_NULL:
        ls_value_set_null(value);
        return 0;
    case JSON_STRING:
        return read_text(field, json_string_value(json), json_string_length(json), value, err);
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(json));
        return ls_value_set(value, field->type, number, strlen(number), err);
    case JSON_REAL:
        ls_wp_real_text(number, json_real_value(json));
        return ls_value_set(value, field->type, number, strlen(number), err);
    case JSON_TRUE:
        return ls_value_set(value, field->type, "true", 4, err);
    case JSON_FALSE:
        return ls_value_set(value, field->type, "false", 5, err);
    default:
        return ls_fail(err, LS_E_INVALID,
                       "'%s' is a list or an object there, which a %s cannot hold", field->remote,
                       ls_type_name(field->type));
    }
}

static int read_text(const struct ls_field *field, const char *text, size_t length,
                     struct ls_value *value, struct ls_err *err)
{
    bool is_text = field->type == LS_TYPE_TEXT || field->type == LS_TYPE_HTML;
    size_t path = strlen(field->remote);

    if (!length && !is_text) { /* "no price" is written as "" */
        ls_value_set_null(value);
        return 0;
    }
    /* Without a zone it is UTC only where the name says so; elsewhere it is the site's own time,
     * and that may jump. */
    if (field->type == LS_TYPE_TIMESTAMP && length == strlen("2026-01-01T00:00:00") &&
        (path < 4 || strcmp(field->remote + path - 4, "_gmt") != 0)) {
        ls_fail(err, LS_E_INVALID, "'%.*s' is in the site's own time zone", (int)length, text);
        return ls_hint(err, "map '%s_gmt' instead", field->remote);
    }
    return ls_value_set(value, field->type, text, length, err);
}

static void read_frame(const json_t *object, const struct ls_mapping *mapping,
                       struct ls_remote *remote)
{
    const char *status = json_string_value(json_object_get(object, "status"));
    const char *modified = json_string_value(json_object_get(object, "date_modified_gmt"));
    const json_t *marker = find_meta(object, LS_WP_MARKER_KEY);
    struct ls_value stamp = {0};

    remote->trashed = status && !strcmp(status, "trash");
    if (modified && !ls_value_set(&stamp, LS_TYPE_TIMESTAMP, modified, strlen(modified), NULL)) {
        free(remote->version);
        remote->version = ls_xstrdup(stamp.text);
    }
    ls_value_fini(&stamp);
    if (mapping->match >= 0) {
        const struct ls_field *field = &mapping->fields[mapping->match];
        const json_t *member = find_member(object, field->remote);
        struct ls_value match = {0};

        if (member && !read_value(member, field, &match, NULL) && match.length) {
            free(remote->match);
            remote->match = ls_xstrdup(match.text);
        }
        ls_value_fini(&match);
    }
    if (json_is_string(marker)) {
        free(remote->marker);
        remote->marker = ls_xstrdup(json_string_value(marker));
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The platform is strict about types: money, weights and sizes are strings, and there is no null
 * for text. */
static json_t *write_value(const struct ls_field *field, const struct ls_value *value)
{
    bool set = value->state == LS_VALUE_SET;

    switch (field->type) {
    case LS_TYPE_INTEGER:
        return set ? json_integer(strtoll(value->text, NULL, 10)) : json_null();
    case LS_TYPE_BOOLEAN:
        return set ? json_boolean(!strcmp(value->text, "true")) : json_null();
    case LS_TYPE_TIMESTAMP: /* naive: what it means is in the name of the member */
        return set ? json_stringn(value->text,
                                  value->length - (value->text[value->length - 1] == 'Z'))
                   : json_string("");
    default:
        return set ? json_stringn(value->text, value->length) : json_string("");
    }
}

static void put_member(json_t *body, const char *path, json_t *value)
{
    char name[128];
    const char *dot;

    if (!strncmp(path, META, META_LENGTH)) {
        put_meta(body, path + META_LENGTH, value);
        return;
    }
    while ((dot = strchr(path, '.')) && (size_t)(dot - path) < sizeof name) {
        json_t *inner;
        memcpy(name, path, (size_t)(dot - path));
        name[dot - path] = '\0';
        inner = json_object_get(body, name);
        if (!inner) {
            inner = json_object();
            json_object_set_new(body, name, inner);
        }
        body = inner;
        path = dot + 1;
    }
    json_object_set_new(body, path, value);
}

static void put_meta(json_t *body, const char *key, json_t *value)
{
    json_t *rows = json_object_get(body, "meta_data");

    if (!rows) {
        rows = json_array();
        json_object_set_new(body, "meta_data", rows);
    }
    if (json_is_string(value) && !json_string_length(value)) { /* a null removes the row */
        json_decref(value);
        value = json_null();
    }
    json_array_append_new(rows, json_pack("{s:s, s:o}", "key", key, "value", value));
}

/* The platform drops a quantity in silence unless stock is managed, and knows no null quantity:
 * there it is "not managed". */
static void settle_stock(json_t *body)
{
    const json_t *quantity = json_object_get(body, "stock_quantity");

    if (!quantity)
        return;
    if (!json_object_get(body, "manage_stock"))
        json_object_set_new(body, "manage_stock", json_boolean(!json_is_null(quantity)));
    if (json_is_null(quantity))
        json_object_del(body, "stock_quantity");
}

/* Each once; meta data only as a whole, because a path into a list finds nothing. */
static void add_name(struct ls_buf *out, const char *name)
{
    size_t length = strncmp(name, META, META_LENGTH) ? strlen(name) : META_LENGTH - 1;
    const char *at = out->data;

    while (at && *at) {
        size_t have = strcspn(at, ",");
        if (have == length && !memcmp(at, name, length))
            return;
        at += have + (at[have] == ',');
    }
    if (out->length)
        ls_buf_putc(out, ',');
    ls_buf_add(out, name, length);
}
