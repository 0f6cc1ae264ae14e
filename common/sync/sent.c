#include "common/sync/sent.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DIFFERENT 10
#define HALF ((LS_RECORD_HASH_SIZE - 1) / 2)

static bool hash_fields(const struct ls_mapping *mapping, const struct ls_record *record,
                        uint64_t fields, char out[LS_RECORD_HASH_SIZE]);

void ls_sent_hash(const struct ls_mapping *mapping, const struct ls_record *record,
                  char out[LS_RECORD_HASH_SIZE])
{
    uint64_t fields = 0;

    for (size_t i = 0; i < record->count; i++)
        if (record->values[i].state != LS_VALUE_MISSING)
            fields |= (uint64_t)1 << i;
    hash_fields(mapping, record, fields, out);
}

static uint64_t fields_of(const char *sent)
{
    char mask[HALF + 1];

    if (strlen(sent) != LS_RECORD_HASH_SIZE - 1)
        return 0;
    memcpy(mask, sent, HALF);
    mask[HALF] = '\0';
    return strtoull(mask, NULL, 16);
}

uint64_t ls_sent_match(const struct ls_mapping *mapping, const char *sent,
                       const struct ls_record *remote)
{
    char now[LS_RECORD_HASH_SIZE];
    uint64_t fields = fields_of(sent);

    if (!fields || !hash_fields(mapping, remote, fields, now) || strcmp(now, sent) != 0)
        return 0;
    return fields;
}

bool ls_sent_explain(const struct ls_mapping *mapping, const char *sent,
                     const struct ls_record *local, const struct ls_record *remote, uint64_t *own,
                     uint64_t *held)
{
    struct ls_value values[LS_FIELDS_MAX];
    struct ls_record mixed = {.count = remote->count, .values = values};
    uint64_t fields = fields_of(sent);
    size_t different[MAX_DIFFERENT], count = 0;
    char now[LS_RECORD_HASH_SIZE];

    *own = *held = 0;
    if (!fields || remote->count > LS_FIELDS_MAX)
        return false;
    for (size_t i = 0; i < remote->count; i++) {
        values[i] = remote->values[i];
        if (!(fields >> i & 1) || !ls_record_present(local) ||
            ls_value_same(mapping->fields[i].type, &local->values[i], &remote->values[i]))
            continue;
        if (count == MAX_DIFFERENT)
            return false;
        different[count++] = i;
    }
    for (unsigned choice = 0; choice < 1u << count; choice++) {
        for (size_t i = 0; i < count; i++)
            values[different[i]] = (choice >> i & 1 ? local : remote)->values[different[i]];
        if (!hash_fields(mapping, &mixed, fields, now) || strcmp(now, sent) != 0)
            continue;
        for (size_t i = 0; i < count; i++)
            if (choice >> i & 1)
                *held |= (uint64_t)1 << different[i];
        *own = fields & ~*held;
        return true;
    }
    return false;
}

/* false: one of the fields is not there. NULL text counts as "": platforms cannot tell. */
static bool hash_fields(const struct ls_mapping *mapping, const struct ls_record *record,
                        uint64_t fields, char out[LS_RECORD_HASH_SIZE])
{
    static char empty[] = "";
    struct ls_value values[LS_FIELDS_MAX];
    struct ls_record chosen = {.count = record->count, .values = values};
    char hash[LS_RECORD_HASH_SIZE];

    if (record->count < LS_FIELDS_MAX && fields >> record->count)
        return false;
    for (size_t i = 0; i < record->count; i++) {
        enum ls_type type = mapping->fields[i].type;
        bool wanted = fields >> i & 1;
        values[i] = wanted ? record->values[i] : (struct ls_value){0};
        if (wanted && values[i].state == LS_VALUE_MISSING)
            return false;
        if (values[i].state == LS_VALUE_NULL && (type == LS_TYPE_TEXT || type == LS_TYPE_HTML))
            values[i] = (struct ls_value){.state = LS_VALUE_SET, .text = empty};
    }
    ls_record_hash(mapping, &chosen, hash);
    snprintf(out, LS_RECORD_HASH_SIZE, "%016" PRIx64 "%.*s", fields, HALF, hash);
    return true;
}
