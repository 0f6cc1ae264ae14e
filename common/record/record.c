#include "common/record/record.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/record/check.h"

static void add_sized(struct ls_buf *buf, const char *text, size_t length);

int ls_mapping_by_name(const struct ls_mapping *mapping, const char *name)
{
    for (size_t i = 0; i < mapping->count; i++)
        if (strcmp(mapping->fields[i].name, name) == 0)
            return (int)i;
    for (size_t i = 0; i < mapping->count; i++)
        if (strcmp(mapping->fields[i].column, name) == 0)
            return (int)i;
    return ls_mapping_by_remote(mapping, name);
}

int ls_mapping_by_remote(const struct ls_mapping *mapping, const char *remote)
{
    for (size_t i = 0; i < mapping->count; i++)
        if (strcmp(mapping->fields[i].remote, remote) == 0)
            return (int)i;
    return -1;
}

void ls_mapping_free(struct ls_mapping *mapping)
{
    if (!mapping)
        return;
    for (size_t i = 0; i < mapping->count; i++) {
        free(mapping->fields[i].name);
        free(mapping->fields[i].column);
        free(mapping->fields[i].remote);
        free(mapping->fields[i].check);
    }
    free(mapping->fields);
    free(mapping->sync);
    free(mapping->account);
    free(mapping->entity);
    free(mapping->table);
    free(mapping->id_column);
    free(mapping);
}

void ls_record_init(struct ls_record *record, const struct ls_mapping *mapping)
{
    record->count = mapping->count;
    record->values = ls_xcalloc(mapping->count ? mapping->count : 1, sizeof *record->values);
}

void ls_record_fini(struct ls_record *record)
{
    for (size_t i = 0; i < record->count; i++)
        free(record->values[i].text);
    free(record->values);
    *record = (struct ls_record){0};
}

void ls_record_copy(struct ls_record *to, const struct ls_record *from)
{
    struct ls_record copy = {.count = from->count};

    if (from->count) {
        copy.values = ls_xcalloc(from->count, sizeof *copy.values);
        for (size_t i = 0; i < from->count; i++)
            ls_value_copy(&copy.values[i], &from->values[i]);
    }
    ls_record_fini(to);
    *to = copy;
}

bool ls_record_present(const struct ls_record *record)
{
    return record->count > 0;
}

void ls_record_to_json(struct ls_buf *out, const struct ls_mapping *mapping,
                       const struct ls_record *record)
{
    bool first = true;

    ls_buf_putc(out, '{');
    for (size_t i = 0; i < record->count; i++) {
        const struct ls_value *value = &record->values[i];
        if (value->state == LS_VALUE_MISSING)
            continue;
        if (!first)
            ls_buf_putc(out, ',');
        first = false;
        ls_buf_json_string(out, mapping->fields[i].name, strlen(mapping->fields[i].name));
        ls_buf_putc(out, ':');
        if (value->state == LS_VALUE_NULL)
            ls_buf_puts(out, "null");
        else
            ls_buf_json_string(out, value->text, value->length);
    }
    ls_buf_putc(out, '}');
}

int ls_record_from_json(struct ls_record *record, const struct ls_mapping *mapping,
                        const char *json, size_t length, struct ls_err *err)
{
    json_error_t error;
    json_t *object = json_loadb(json, length, JSON_REJECT_DUPLICATES, &error);
    struct ls_record parsed = {0};

    if (!json_is_object(object)) {
        json_decref(object);
        return ls_fail(err, LS_E_CORRUPT, "record is not a JSON object: %s",
                       object ? "other type" : error.text);
    }
    ls_record_init(&parsed, mapping);
    for (size_t i = 0; i < mapping->count; i++) {
        json_t *value = json_object_get(object, mapping->fields[i].name);
        if (json_is_null(value)) {
            parsed.values[i].state = LS_VALUE_NULL;
        } else if (json_is_string(value)) {
            ls_value_set(&parsed.values[i], mapping->fields[i].type, json_string_value(value),
                         json_string_length(value), NULL);
        } else if (value) {
            ls_fail(err, LS_E_CORRUPT, "record's field '%s' is neither a string nor null",
                    mapping->fields[i].name);
            ls_record_fini(&parsed);
            json_decref(object);
            return -1;
        }
    }
    json_decref(object);
    ls_record_fini(record);
    *record = parsed;
    return 0;
}

void ls_record_hash(const struct ls_mapping *mapping, const struct ls_record *record,
                    char out[LS_RECORD_HASH_SIZE])
{
    size_t order[LS_FIELDS_MAX] = {0}, count = 0;
    char hex[LS_SHA256_HEX_SIZE];
    struct ls_buf buf = {0};

    ls_assert(record->count <= LS_FIELDS_MAX);
    for (size_t i = 0; i < record->count; i++) {
        size_t at = count;
        if (record->values[i].state == LS_VALUE_MISSING)
            continue;
        for (; at && strcmp(mapping->fields[order[at - 1]].name, mapping->fields[i].name) > 0; at--)
            order[at] = order[at - 1];
        order[at] = i;
        count++;
    }
    for (size_t i = 0; i < count; i++) {
        const struct ls_value *value = &record->values[order[i]];
        const char *name = mapping->fields[order[i]].name;
        add_sized(&buf, name, strlen(name));
        ls_buf_putc(&buf, value->state == LS_VALUE_NULL ? 'n' : 's');
        if (value->state == LS_VALUE_SET)
            add_sized(&buf, value->text, value->length);
    }
    ls_sha256_hex(buf.data ? buf.data : "", buf.length, hex);
    memcpy(out, hex, LS_RECORD_HASH_SIZE - 1);
    out[LS_RECORD_HASH_SIZE - 1] = '\0';
    ls_buf_fini(&buf);
}

int ls_record_validate(const struct ls_mapping *mapping, const struct ls_record *record,
                       struct ls_err *err)
{
    for (size_t i = 0; i < record->count; i++) {
        const struct ls_field *field = &mapping->fields[i];
        const struct ls_value *value = &record->values[i];
        if (!field->check || ls_check_value(field->check, value, err) == 0)
            continue;
        ls_wrap(err, "invalid %s '%.40s'", field->name, value->text ? value->text : "");
        if (err)
            snprintf(err->reason, sizeof err->reason, "%s", field->name);
        return -1;
    }
    return 0;
}

static void add_sized(struct ls_buf *buf, const char *text, size_t length)
{
    unsigned char size[4] = {(unsigned char)(length >> 24), (unsigned char)(length >> 16),
                             (unsigned char)(length >> 8), (unsigned char)length};

    ls_buf_add(buf, size, sizeof size);
    ls_buf_add(buf, text, length);
}
