#include "common/sync/sent.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

uint64_t ls_sent_match(const struct ls_mapping *mapping, const char *sent,
                       const struct ls_record *remote)
{
    char mask[HALF + 1], now[LS_RECORD_HASH_SIZE];
    uint64_t fields;

    if (strlen(sent) != LS_RECORD_HASH_SIZE - 1)
        return 0;
    memcpy(mask, sent, HALF);
    mask[HALF] = '\0';
    fields = strtoull(mask, NULL, 16);
    if (!fields || !hash_fields(mapping, remote, fields, now) || strcmp(now, sent) != 0)
        return 0;
    return fields;
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
