/* A sync's configuration -> its mapping. */
#include <string.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/record/check.h"
#include "common/record/record.h"

static int compile_field(struct ls_field *field, const struct ls_config_field *from,
                         struct ls_err *err);
static int find_match(struct ls_mapping *mapping, const char *match, struct ls_err *err);
static void set_identity(struct ls_mapping *mapping);

static const enum ls_type types[] = {
    [LS_CONFIG_TYPE_TEXT] = LS_TYPE_TEXT,           [LS_CONFIG_TYPE_HTML] = LS_TYPE_HTML,
    [LS_CONFIG_TYPE_INTEGER] = LS_TYPE_INTEGER,     [LS_CONFIG_TYPE_DECIMAL] = LS_TYPE_DECIMAL,
    [LS_CONFIG_TYPE_MONEY] = LS_TYPE_MONEY,         [LS_CONFIG_TYPE_BOOLEAN] = LS_TYPE_BOOLEAN,
    [LS_CONFIG_TYPE_TIMESTAMP] = LS_TYPE_TIMESTAMP,
};
static const enum ls_owner owners[] = {
    [LS_CONFIG_OWNER_MERGE] = LS_OWNER_MERGE,
    [LS_CONFIG_OWNER_LOCAL] = LS_OWNER_LOCAL,
    [LS_CONFIG_OWNER_REMOTE] = LS_OWNER_REMOTE,
};
static const enum ls_policy policies[] = {
    [LS_CONFIG_POLICY_FIELDS] = LS_POLICY_FIELDS,
    [LS_CONFIG_POLICY_LAST_WRITE_WINS] = LS_POLICY_LAST_WRITE_WINS,
    [LS_CONFIG_POLICY_VERSION] = LS_POLICY_VERSION,
    [LS_CONFIG_POLICY_LOCAL] = LS_POLICY_LOCAL,
    [LS_CONFIG_POLICY_REMOTE] = LS_POLICY_REMOTE,
    [LS_CONFIG_POLICY_MANUAL] = LS_POLICY_MANUAL,
};

struct ls_mapping *ls_mapping_new(const struct ls_config_sync *sync, struct ls_err *err)
{
    struct ls_mapping *mapping = LS_NEW(struct ls_mapping);

    mapping->sync = ls_xstrdup(sync->name);
    mapping->account = ls_xstrdup(sync->account);
    mapping->entity = ls_xstrdup(sync->entity);
    mapping->table = ls_xstrdup(sync->table);
    mapping->id_column = ls_xstrdup(sync->id);
    mapping->policy = policies[sync->policy];
    if (sync->field_count == 0 || sync->field_count > LS_FIELDS_MAX) {
        ls_fail(err, LS_E_CONFIG, "sync '%s' has %zu fields, it needs 1 to %d", sync->name,
                sync->field_count, LS_FIELDS_MAX);
        goto fail;
    }
    mapping->fields = ls_xcalloc(sync->field_count, sizeof *mapping->fields);
    for (size_t i = 0; i < sync->field_count; i++) {
        mapping->count = i + 1;
        if (compile_field(&mapping->fields[i], &sync->fields[i], err) < 0)
            goto fail_wrap;
    }
    if (find_match(mapping, sync->match, err) < 0)
        goto fail_wrap;
    set_identity(mapping);
    return mapping;
fail_wrap:
    ls_wrap(err, "sync '%s'", sync->name);
fail:
    ls_mapping_free(mapping);
    return NULL;
}

static int compile_field(struct ls_field *field, const struct ls_config_field *from,
                         struct ls_err *err)
{
    *field = (struct ls_field){
        .name = ls_xstrdup(from->name),
        .column = ls_xstrdup(from->column ? from->column : from->name),
        .remote = ls_xstrdup(from->remote ? from->remote : from->name),
        .type = types[from->type],
        .owner = owners[from->owner],
        .check = ls_xstrdup(from->check),
        .critical = from->critical,
    };
    if (field->check && ls_check_parse(field->check, field->type, err) < 0)
        return ls_wrap(err, "field '%s'", field->name);
    return 0;
}

static int find_match(struct ls_mapping *mapping, const char *match, struct ls_err *err)
{
    for (size_t i = 0; i < mapping->count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(mapping->fields[i].name, mapping->fields[j].name) == 0)
                return ls_fail(err, LS_E_CONFIG, "field '%s' is there twice",
                               mapping->fields[i].name);
    mapping->match =
        match ? ls_mapping_by_name(mapping, match) : ls_mapping_by_remote(mapping, "sku");
    if (match && mapping->match < 0)
        return ls_fail(err, LS_E_CONFIG, "match names '%s', which is none of its fields", match);
    return 0;
}

static void set_identity(struct ls_mapping *mapping)
{
    struct ls_buf buf = {0};
    char hex[LS_SHA256_HEX_SIZE];

    ls_buf_printf(&buf, "%s\n%s\n%s\n%s\n%s\n%d\n%d\n", mapping->sync, mapping->account,
                  mapping->entity, mapping->table, mapping->id_column, (int)mapping->policy,
                  mapping->match);
    for (size_t i = 0; i < mapping->count; i++) {
        const struct ls_field *field = &mapping->fields[i];
        ls_buf_printf(&buf, "%s\n%s\n%s\n%d\n%d\n%s\n%d\n", field->name, field->column,
                      field->remote, (int)field->type, (int)field->owner,
                      field->check ? field->check : "", field->critical);
    }
    ls_sha256_hex(buf.data, buf.length, hex);
    memcpy(mapping->identity, hex, sizeof mapping->identity - 1);
    ls_buf_fini(&buf);
}
