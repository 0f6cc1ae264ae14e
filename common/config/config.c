#include "common/config/config.h"

#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/config/value.h"

const struct ls_config_queue *ls_config_queue_find(const struct ls_config *config, const char *name)
{
    for (size_t i = 0; i < config->queue_count; i++) {
        if (strcmp(config->queues[i].name, name) == 0)
            return &config->queues[i];
    }
    return NULL;
}

const struct ls_config_account *ls_config_account_find(const struct ls_config *config,
                                                       const char *name)
{
    for (size_t i = 0; i < config->account_count; i++) {
        if (strcmp(config->accounts[i].name, name) == 0)
            return &config->accounts[i];
    }
    return NULL;
}

const struct ls_config_sync *ls_config_sync_find(const struct ls_config *config, const char *name)
{
    for (size_t i = 0; i < config->sync_count; i++) {
        if (strcmp(config->syncs[i].name, name) == 0)
            return &config->syncs[i];
    }
    return NULL;
}

const struct ls_config_field *ls_config_field_find(const struct ls_config_sync *sync,
                                                   const char *name)
{
    for (size_t i = 0; i < sync->field_count; i++) {
        if (strcmp(sync->fields[i].name, name) == 0)
            return &sync->fields[i];
    }
    return NULL;
}

const char *ls_config_redis_url(const struct ls_config *config)
{
    return config->redis_url;
}

bool ls_config_redis_embedded(const struct ls_config *config)
{
    return strcmp(config->redis, "embedded") == 0;
}

char *ls_config_url_redact(const char *url)
{
    const char *rest = strstr(url, "://");
    const char *end, *at = NULL;
    struct ls_buf out = {0};

    if (!rest)
        return ls_xstrdup(url);
    rest += 3;
    end = rest + strcspn(rest, "/?#");
    if (*rest != '/') { /* an authority: everything up to its last '@' is credentials */
        for (const char *c = rest; c < end; c++) {
            if (*c == '@')
                at = c;
        }
        /* A password with a bare slash or question mark hides the '@' behind it. */
        if (!at)
            at = strrchr(rest, '@');
    }
    ls_buf_add(&out, url, (size_t)(rest - url));
    if (at) {
        ls_buf_puts(&out, "***");
        rest = at;
    }
    ls_buf_add(&out, rest, strcspn(rest, "?"));
    return ls_buf_take(&out);
}

const char *ls_config_mode_name(int mode)
{
    static const char *const names[] = {"realtime", "batch", "hybrid"};

    return names[mode];
}

const char *ls_config_policy_name(int policy)
{
    static const char *const names[] = {"fields", "last_write_wins", "version",
                                        "local",  "remote",          "manual"};

    return names[policy];
}

const char *ls_config_type_name(int type)
{
    static const char *const names[] = {"text",    "integer", "money",    "decimal",
                                        "boolean", "html",    "timestamp"};

    return names[type];
}

const char *ls_config_owner_name(int owner)
{
    static const char *const names[] = {"merge", "local", "remote"};

    return names[owner];
}

static const char *const kinds[] = {
#define KIND(name, what) #name,
#include "common/tbl/kinds.def"
    NULL};

bool ls_kind_known(const char *kind, size_t length)
{
    for (const char *const *known = kinds; *known; known++) {
        if (strlen(*known) == length && memcmp(*known, kind, length) == 0)
            return true;
    }
    return false;
}

bool ls_config_kind_known(const struct ls_config *config, const char *kind, size_t length)
{
    for (size_t i = 0; config && i < config->handler_count; i++) {
        const char *name = config->handlers[i].name;

        if (strlen(name) == length && memcmp(name, kind, length) == 0)
            return true;
    }
    return ls_kind_known(kind, length);
}

const char *ls_kind_nearest(const char *kind)
{
    return ls_config_nearest(kind, kinds);
}

bool ls_config_name_valid(const char *name, size_t length)
{
    if (length < 1 || length > 64)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

        if (!alphanumeric && (i == 0 || (c != '.' && c != '_' && c != '-')))
            return false;
    }
    return true;
}
