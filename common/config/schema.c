/* Walks a YAML tree by the rows of common/tbl/config.def. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/config/config_internal.h"
#include "common/config/value.h"
#include "common/redis/url.h"

enum option_type {
    T_TEXT,
    T_SECRET,
    T_PATH,
    T_NAME,
    T_URL,
    T_BOOL,
    T_INT,
    T_DURATION,
    T_SIZE,
    T_NUMBER,
    T_RATE,
    T_ENUM,      /* int, index of the choice */
    T_ENUM_TEXT, /* char *, the choice itself */
    T_REDIS,
    T_STORE,
    T_LOG,
    T_LISTEN,
    T_TEXTS,
    T_COUNTS,
    T_SECTION,
    T_MAP,
    T_LIST
};

struct option {
    const char *key;
    enum option_type type;
    size_t offset;
    int64_t low, high;
    const char *fallback;
    const char *choices;
    const char *help;
};

struct section {
    const char *name;
    const char *title;
    const struct option *options;
    size_t count;
    size_t size;
    long set_offset; /* of a bool that says whether the section was written; -1: none */
};

#define OPTION(structure, key, member, type, low, high, fallback, choices, help) \
    {key, T_##type, offsetof(structure, member), low, high, fallback, choices, help},

#define ROOT(...) OPTION(struct ls_config, __VA_ARGS__)
static const struct option root_options[] = {
#include "common/tbl/config.def"
};
#define QUEUE(...) OPTION(struct ls_config_queue, __VA_ARGS__)
static const struct option queue_options[] = {
#include "common/tbl/config.def"
};
#define BACKOFF(...) OPTION(struct ls_config_backoff, __VA_ARGS__)
static const struct option backoff_options[] = {
#include "common/tbl/config.def"
};
#define LANES(...) OPTION(struct ls_config_lanes, __VA_ARGS__)
static const struct option lanes_options[] = {
#include "common/tbl/config.def"
};
#define BREAKER(...) OPTION(struct ls_config_breaker, __VA_ARGS__)
static const struct option breaker_options[] = {
#include "common/tbl/config.def"
};
#define SCHEDULE(...) OPTION(struct ls_config_schedule, __VA_ARGS__)
static const struct option schedule_options[] = {
#include "common/tbl/config.def"
};
#define HANDLER(...) OPTION(struct ls_config_handler, __VA_ARGS__)
static const struct option handler_options[] = {
#include "common/tbl/config.def"
};
#define ACCOUNT(...) OPTION(struct ls_config_account, __VA_ARGS__)
static const struct option account_options[] = {
#include "common/tbl/config.def"
};
#define SYNC(...) OPTION(struct ls_config_sync, __VA_ARGS__)
static const struct option sync_options[] = {
#include "common/tbl/config.def"
};
#define FIELD(...) OPTION(struct ls_config_field, __VA_ARGS__)
static const struct option field_options[] = {
#include "common/tbl/config.def"
};
#define SINK(...) OPTION(struct ls_config_sink, __VA_ARGS__)
static const struct option sink_options[] = {
#include "common/tbl/config.def"
};
#define RULES(...) OPTION(struct ls_config_rules, __VA_ARGS__)
static const struct option rules_options[] = {
#include "common/tbl/config.def"
};
#define ADMIN(...) OPTION(struct ls_config_admin, __VA_ARGS__)
static const struct option admin_options[] = {
#include "common/tbl/config.def"
};
struct exec_section {
    char **allow;
    size_t allow_count;
};
#define EXEC(...) OPTION(struct exec_section, __VA_ARGS__)
static const struct option exec_options[] = {
#include "common/tbl/config.def"
};
struct http_section {
    char *secret;
    bool refuse_private;
};
#define HTTP(...) OPTION(struct http_section, __VA_ARGS__)
static const struct option http_options[] = {
#include "common/tbl/config.def"
};
_Static_assert(sizeof(struct exec_section) == sizeof(((struct ls_config *)0)->exec), "mirror it");
_Static_assert(sizeof(struct http_section) == sizeof(((struct ls_config *)0)->http), "mirror it");

#define SECTION_ROW(name, title, options, structure, set)               \
    {                                                                   \
        name, title, options, LS_COUNT(options), sizeof(structure), set \
    }
static const struct section sections[] = {
    SECTION_ROW("root", "Top level", root_options, struct ls_config, -1),
    SECTION_ROW("queue", "`queues.<name>`", queue_options, struct ls_config_queue, -1),
    SECTION_ROW("lanes", "`queues.<name>.lanes`", lanes_options, struct ls_config_lanes, -1),
    SECTION_ROW("backoff", "`backoff`, of a queue or a sync", backoff_options,
                struct ls_config_backoff, (long)offsetof(struct ls_config_backoff, set)),
    SECTION_ROW("account", "`accounts.<name>`", account_options, struct ls_config_account, -1),
    SECTION_ROW("breaker", "`accounts.<name>.breaker`", breaker_options, struct ls_config_breaker,
                -1),
    SECTION_ROW("schedule", "`schedules.<name>`", schedule_options, struct ls_config_schedule, -1),
    SECTION_ROW("handler", "`handlers.<kind>`", handler_options, struct ls_config_handler, -1),
    SECTION_ROW("sync", "`syncs.<name>`", sync_options, struct ls_config_sync, -1),
    SECTION_ROW("field", "`syncs.<name>.fields.<name>`", field_options, struct ls_config_field, -1),
    SECTION_ROW("sink", "`alerts`, a list", sink_options, struct ls_config_sink, -1),
    SECTION_ROW("rules", "`alert_rules`", rules_options, struct ls_config_rules, -1),
    SECTION_ROW("admin", "`admin`", admin_options, struct ls_config_admin, -1),
    SECTION_ROW("exec", "`exec`", exec_options, struct exec_section, -1),
    SECTION_ROW("http", "`http`", http_options, struct http_section, -1),
};

#define MAX_OPTIONS 64
#define COUNT_MAX 1000000 /* of a number by name */

struct walk {
    const char *dir;
    bool lenient; /* a `${...}` that cannot be had is no error */
    struct ls_config_report *report;
};

static const struct section *section_find(const char *name);
static void apply_defaults(struct walk *walk, const struct section *section, void *target);
static void apply_section(struct walk *walk, const struct section *section,
                          const struct ls_yaml_node *node, void *target);
static void apply_option(struct walk *walk, const struct option *option,
                         const struct ls_yaml_node *node, void *target);
static void apply_map(struct walk *walk, const struct option *option,
                      const struct ls_yaml_node *node, void *target);
static void apply_list(struct walk *walk, const struct option *option,
                       const struct ls_yaml_node *node, void *target);
static void apply_texts(struct walk *walk, const struct option *option,
                        const struct ls_yaml_node *node, void *target);
static void apply_counts(struct walk *walk, const struct option *option,
                         const struct ls_yaml_node *node, void *target);
static void apply_scalar(struct walk *walk, const struct option *option,
                         const struct ls_yaml_node *node, const char *written, void *target);
static void set_value(struct walk *walk, const struct option *option,
                      const struct ls_yaml_node *node, const char *text, void *target);

/* ---- public ---- */

void ls_config_apply(struct ls_config *config, const struct ls_yaml_node *root, const char *dir,
                     bool lenient, struct ls_config_report *report)
{
    struct walk walk = {.dir = dir, .lenient = lenient, .report = report};
    const struct section *section = section_find("root");

    apply_defaults(&walk, section, config);
    config->admin.enabled = false;
    if (!root)
        return;
    if (root->kind != LS_YAML_MAPPING) {
        ls_config_error(report, root, "the file must hold keys and values");
        ls_config_hint(report, "begin with 'redis: embedded'; 'lockstep init' writes an example");
        return;
    }
    if (ls_yaml_get(root, "admin", NULL))
        config->admin.enabled = true; /* the section itself turns it on */
    apply_section(&walk, section, root, config);
}

void ls_config_add_default_queue(struct ls_config *config)
{
    struct ls_config_report report = {0};
    struct walk walk = {.report = &report};
    struct ls_config_queue *queue;

    config->queues =
        ls_xrealloc(config->queues, (config->queue_count + 1) * sizeof *config->queues);
    queue = &config->queues[config->queue_count++];
    *queue = (struct ls_config_queue){.name = ls_xstrdup("default")};
    apply_defaults(&walk, section_find("queue"), queue);
}

void ls_config_apply_environment(struct ls_config *config, struct ls_config_report *report)
{
    struct walk walk = {.report = report};

    for (size_t i = 0; i < LS_COUNT(root_options); i++) {
        const struct option *option = &root_options[i];
        char name[80] = "LOCKSTEP_";
        size_t used = strlen(name);
        const char *value;

        if (option->type >= T_TEXTS)
            continue;
        for (const char *c = option->key; *c && used < sizeof name - 1; c++)
            name[used++] = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
        name[used] = 0;
        value = getenv(name);
        if (!value || !*value)
            continue;
        int before = report->count;
        set_value(&walk, option, NULL, value, config);
        if (report->count > before && report->problems) {
            struct ls_config_problem *problem = &report->problems[report->count - 1];
            char copy[sizeof problem->text];

            memcpy(copy, problem->text, sizeof copy);
            snprintf(problem->text, sizeof problem->text, "%s: %.300s", name, copy);
        }
    }
}

static void print_fallback(struct ls_buf *out, const struct option *option)
{
    if (!option->fallback)
        ls_buf_puts(out, "");
    else if (strcmp(option->fallback, "!") == 0)
        ls_buf_puts(out, "required");
    else
        ls_buf_printf(out, "`%s`", option->fallback);
}

static const char *const type_words[] = {
    [T_TEXT] = "text",
    [T_SECRET] = "secret",
    [T_PATH] = "path",
    [T_NAME] = "name",
    [T_URL] = "URL",
    [T_BOOL] = "true, false",
    [T_INT] = "number",
    [T_DURATION] = "duration",
    [T_SIZE] = "size",
    [T_NUMBER] = "number",
    [T_RATE] = "rate",
    [T_ENUM] = "",
    [T_ENUM_TEXT] = "",
    [T_REDIS] = "address",
    [T_STORE] = "address",
    [T_LOG] = "sink",
    [T_LISTEN] = "address",
    [T_TEXTS] = "texts",
    [T_COUNTS] = "numbers by name",
    [T_SECTION] = "section",
    [T_MAP] = "sections by name",
    [T_LIST] = "list",
};

void ls_config_reference(struct ls_buf *out)
{
    for (size_t s = 0; s < LS_COUNT(sections); s++) {
        const struct section *section = &sections[s];

        ls_buf_printf(out, "### %s\n\n| key | value | default | what it is |\n|---|---|---|---|\n",
                      section->title);
        for (size_t i = 0; i < section->count; i++) {
            const struct option *option = &section->options[i];

            ls_buf_printf(out, "| `%s` | %s", option->key, type_words[option->type]);
            if (option->type == T_ENUM || option->type == T_ENUM_TEXT) {
                for (const char *c = option->choices; *c; c++) {
                    if (*c == '|')
                        ls_buf_puts(out, ", ");
                    else
                        ls_buf_putc(out, *c);
                }
            }
            ls_buf_puts(out, " | ");
            print_fallback(out, option);
            ls_buf_printf(out, " | %s |\n", option->help);
        }
        ls_buf_puts(out, s + 1 < LS_COUNT(sections) ? "\n" : "");
    }
}

/* The index-th of "a|b|c" into out; false when there are fewer. */
static bool choice_at(const char *choices, size_t index, char *out, size_t size)
{
    for (; index; index--) {
        choices = strchr(choices, '|');
        if (!choices)
            return false;
        choices++;
    }
    snprintf(out, size, "%.*s", (int)strcspn(choices, "|"), choices);
    return true;
}

/* ---- freeing ---- */

static void free_section(const struct section *section, void *target)
{
    for (size_t i = 0; i < section->count; i++) {
        const struct option *option = &section->options[i];
        char *member = (char *)target + option->offset;
        size_t count;

        switch (option->type) {
        case T_BOOL:
        case T_INT:
        case T_DURATION:
        case T_SIZE:
        case T_NUMBER:
        case T_RATE:
        case T_ENUM:
            break;
        case T_SECTION:
            free_section(section_find(option->choices), member);
            break;
        case T_MAP:
        case T_LIST: {
            const struct section *child = section_find(option->choices);
            char *items = *(char **)member;

            count = *(size_t *)(member + sizeof(void *));
            for (size_t n = 0; n < count; n++) {
                if (option->type == T_MAP)
                    free(*(char **)(items + n * child->size));
                free_section(child, items + n * child->size);
            }
            free(items);
            break;
        }
        case T_COUNTS:
            count = *(size_t *)(member + sizeof(void *));
            for (size_t n = 0; n < count; n++)
                free((*(struct ls_config_count **)member)[n].name);
            free(*(struct ls_config_count **)member);
            break;
        case T_TEXTS:
            count = *(size_t *)(member + sizeof(void *));
            for (size_t n = 0; n < count; n++)
                free((*(char ***)member)[n]);
            free(*(char ***)member);
            break;
        default:
            free(*(char **)member);
            break;
        }
    }
}

void ls_config_free(struct ls_config *config)
{
    if (!config)
        return;
    free_section(section_find("root"), config);
    free(config->path);
    free(config->admin.host);
    free(config->redis_socket);
    free(config->redis_url);
    free(config);
}

/* ---- the walk ---- */

static const struct section *section_find(const char *name)
{
    for (size_t i = 0; i < LS_COUNT(sections); i++) {
        if (strcmp(sections[i].name, name) == 0)
            return &sections[i];
    }
    ls_assert(!"a row of config.def names an unknown section");
    return NULL;
}

static void apply_defaults(struct walk *walk, const struct section *section, void *target)
{
    for (size_t i = 0; i < section->count; i++) {
        const struct option *option = &section->options[i];

        if (option->type == T_SECTION)
            apply_defaults(walk, section_find(option->choices), (char *)target + option->offset);
        else if (option->fallback && strcmp(option->fallback, "!") != 0)
            set_value(walk, option, NULL, option->fallback, target);
    }
}

static void unknown_key(struct walk *walk, const struct section *section,
                        const struct ls_yaml_node *key)
{
    const char *words[MAX_OPTIONS + 1] = {NULL};
    const char *near;

    for (size_t i = 0; i < section->count && i < MAX_OPTIONS; i++)
        words[i] = section->options[i].key;
    near = ls_config_nearest(key->text, words);
    ls_config_error(walk->report, key, "unknown key '%.80s'", key->text);
    if (near) {
        ls_config_hint(walk->report, "did you mean '%s'?", near);
    } else {
        struct ls_buf list = {0};

        for (size_t i = 0; i < section->count; i++)
            ls_buf_printf(&list, "%s%s", i ? ", " : "", section->options[i].key);
        ls_config_hint(walk->report, "known here: %s", list.data);
        ls_buf_fini(&list);
    }
}

static void apply_section(struct walk *walk, const struct section *section,
                          const struct ls_yaml_node *node, void *target)
{
    if (section->set_offset >= 0)
        *(bool *)((char *)target + section->set_offset) = true;
    for (size_t i = 0; i < node->count; i++) {
        size_t n = 0;

        while (n < section->count && strcmp(section->options[n].key, node->keys[i]->text) != 0)
            n++;
        if (n == section->count)
            unknown_key(walk, section, node->keys[i]);
        else if (!ls_yaml_is_null(node->items[i]))
            apply_option(walk, &section->options[n], node->items[i], target);
    }
    for (size_t n = 0; n < section->count; n++) {
        const struct option *option = &section->options[n];

        if (option->fallback && strcmp(option->fallback, "!") == 0 &&
            ls_yaml_is_null(ls_yaml_get(node, option->key, NULL)))
            ls_config_error(walk->report, node, "'%s' is missing", option->key);
    }
}

static const char *kind_word(const struct ls_yaml_node *node)
{
    return node->kind == LS_YAML_MAPPING    ? "keys and values"
           : node->kind == LS_YAML_SEQUENCE ? "a list"
                                            : "a text";
}

static bool wanted(struct walk *walk, const struct option *option, const struct ls_yaml_node *node,
                   enum ls_yaml_kind kind, const char *word)
{
    if (node->kind == kind)
        return true;
    ls_config_error(walk->report, node, "'%s' must be %s, not %s", option->key, word,
                    kind_word(node));
    return false;
}

static void apply_option(struct walk *walk, const struct option *option,
                         const struct ls_yaml_node *node, void *target)
{
    switch (option->type) {
    case T_SECTION:
        if (wanted(walk, option, node, LS_YAML_MAPPING, "keys and values"))
            apply_section(walk, section_find(option->choices), node,
                          (char *)target + option->offset);
        break;
    case T_MAP:
        if (wanted(walk, option, node, LS_YAML_MAPPING, "names with keys and values"))
            apply_map(walk, option, node, target);
        break;
    case T_LIST:
        if (wanted(walk, option, node, LS_YAML_SEQUENCE, "a list"))
            apply_list(walk, option, node, target);
        break;
    case T_TEXTS:
        apply_texts(walk, option, node, target);
        break;
    case T_COUNTS:
        if (wanted(walk, option, node, LS_YAML_MAPPING, "names with numbers"))
            apply_counts(walk, option, node, target);
        break;
    default:
        if (wanted(walk, option, node, LS_YAML_SCALAR, "one value"))
            apply_scalar(walk, option, node, node->text, target);
        break;
    }
}

/* Is count within the option's range? Says so where not. */
static bool count_fits(struct walk *walk, const struct option *option,
                       const struct ls_yaml_node *node)
{
    if ((int64_t)node->count >= option->low && (int64_t)node->count <= option->high)
        return true;
    if ((int64_t)node->count < option->low)
        ls_config_error(walk->report, node, "'%s' is empty", option->key);
    else
        ls_config_error(walk->report, node, "'%s' has more than %lld entries", option->key,
                        (long long)option->high);
    return false;
}

static void apply_map(struct walk *walk, const struct option *option,
                      const struct ls_yaml_node *node, void *target)
{
    const struct section *child = section_find(option->choices);
    bool is_field = strcmp(option->choices, "field") == 0;
    char *member = (char *)target + option->offset;
    char *items;

    if (!count_fits(walk, option, node))
        return;
    items = ls_xcalloc(node->count ? node->count : 1, child->size);
    *(char **)member = items;
    *(size_t *)(member + sizeof(void *)) = node->count;
    for (size_t i = 0; i < node->count; i++) {
        const struct ls_yaml_node *key = node->keys[i], *value = node->items[i];
        static const struct ls_yaml_node empty = {.kind = LS_YAML_MAPPING};
        char *item = items + i * child->size;

        *(char **)item = ls_xstrdup(key->text);
        apply_defaults(walk, child, item);
        /* Fields are named by the application, all others end up in keys of Redis. */
        if (!is_field && !ls_config_name_valid(key->text, strlen(key->text))) {
            ls_config_error(walk->report, key, "'%.80s' is no name", key->text);
            ls_config_hint(walk->report, "1 to 64 of a-z 0-9 . _ -, first a letter or digit");
        } else if (is_field && (!*key->text || strlen(key->text) > 128)) {
            ls_config_error(walk->report, key, "a field's name has 1 to 128 characters");
        }
        if (value->kind == LS_YAML_MAPPING) {
            apply_section(walk, child, value, item);
        } else if (ls_yaml_is_null(value)) {
            struct ls_yaml_node here = empty;

            here.line = key->line;
            here.column = key->column;
            apply_section(walk, child, &here, item);
        } else {
            ls_config_error(walk->report, value, "'%.80s' must be keys and values, not %s",
                            key->text, kind_word(value));
        }
    }
}

static void apply_list(struct walk *walk, const struct option *option,
                       const struct ls_yaml_node *node, void *target)
{
    const struct section *child = section_find(option->choices);
    char *member = (char *)target + option->offset;
    char *items;

    if (!count_fits(walk, option, node))
        return;
    items = ls_xcalloc(node->count ? node->count : 1, child->size);
    *(char **)member = items;
    *(size_t *)(member + sizeof(void *)) = node->count;
    for (size_t i = 0; i < node->count; i++) {
        apply_defaults(walk, child, items + i * child->size);
        if (node->items[i]->kind == LS_YAML_MAPPING)
            apply_section(walk, child, node->items[i], items + i * child->size);
        else
            ls_config_error(walk->report, node->items[i],
                            "an entry of '%s' must be keys and values, not %s", option->key,
                            kind_word(node->items[i]));
    }
}

static void apply_texts(struct walk *walk, const struct option *option,
                        const struct ls_yaml_node *node, void *target)
{
    char *member = (char *)target + option->offset;
    size_t count = node->kind == LS_YAML_SCALAR ? 1 : node->count;
    char **texts;

    if (node->kind == LS_YAML_MAPPING) {
        ls_config_error(walk->report, node, "'%s' must be a text or a list of texts", option->key);
        return;
    }
    if (node->kind == LS_YAML_SEQUENCE && !count_fits(walk, option, node))
        return;
    texts = ls_xcalloc(count + 1, sizeof *texts);
    *(char ***)member = texts;
    *(size_t *)(member + sizeof(void *)) = count;
    for (size_t i = 0; i < count; i++) {
        const struct ls_yaml_node *item = node->kind == LS_YAML_SCALAR ? node : node->items[i];
        struct ls_err err = LS_ERR_INIT;

        if (item->kind == LS_YAML_SCALAR)
            texts[i] = ls_config_expand(item->text, walk->dir, &err);
        else
            ls_fail(&err, LS_E_CONFIG, "an entry of '%s' must be a text, not %s", option->key,
                    kind_word(item));
        if (!texts[i]) {
            texts[i] = ls_xstrdup("");
            if (walk->lenient)
                continue;
            ls_config_error(walk->report, item, "%s", err.text);
            ls_config_hint(walk->report, "%s", err.hint);
        }
    }
}

static void apply_counts(struct walk *walk, const struct option *option,
                         const struct ls_yaml_node *node, void *target)
{
    char *member = (char *)target + option->offset;
    struct ls_config_count *counts;

    if (!count_fits(walk, option, node))
        return;
    counts = ls_xcalloc(node->count ? node->count : 1, sizeof *counts);
    *(struct ls_config_count **)member = counts;
    *(size_t *)(member + sizeof(void *)) = node->count;
    for (size_t i = 0; i < node->count; i++) {
        const struct ls_yaml_node *value = node->items[i];

        counts[i].name = ls_xstrdup(node->keys[i]->text);
        if (value->kind != LS_YAML_SCALAR || ls_config_int(value->text, &counts[i].count) < 0 ||
            counts[i].count < 0 || counts[i].count > COUNT_MAX) {
            ls_config_error(walk->report, value, "'%.80s' of '%s' must be a whole number",
                            node->keys[i]->text, option->key);
            ls_config_hint(walk->report, "from 0 to %d", COUNT_MAX);
        }
    }
}

static void apply_scalar(struct walk *walk, const struct option *option,
                         const struct ls_yaml_node *node, const char *written, void *target)
{
    struct ls_err err = LS_ERR_INIT;
    char *text = ls_config_expand(written, walk->dir, &err);

    if (!text && walk->lenient && strcmp(option->key, "redis") != 0 &&
        strcmp(option->key, "state_dir") != 0)
        return;
    if (!text) {
        ls_config_error(walk->report, node, "'%s': %s", option->key, err.text);
        ls_config_hint(walk->report, "%s", err.hint);
        return;
    }
    set_value(walk, option, node, text, target);
    free(text);
}

/* ---- one value ---- */

/* What the reader may see of a value that is wrong: never one that came by `${...}` or is a secret.
 */
static const char *shown(const struct option *option, const struct ls_yaml_node *node,
                         const char *text)
{
    if (option->type == T_SECRET || option->type == T_REDIS || option->type == T_STORE ||
        option->type == T_URL)
        return "***";
    return node && strstr(node->text, "${") ? node->text : text;
}

static void bad_value(struct walk *walk, const struct option *option,
                      const struct ls_yaml_node *node, const char *text, const char *want)
{
    ls_config_error(walk->report, node, "'%s' cannot be '%.80s'", option->key,
                    shown(option, node, text));
    ls_config_hint(walk->report, "%s", want);
}

static void put_text(char **member, char *text)
{
    free(*member);
    *member = text;
}

static void print_bound(char *out, size_t size, const struct option *option, int64_t value)
{
    if (option->type == T_DURATION)
        ls_duration_format(out, size, value);
    else
        snprintf(out, size, "%lld", (long long)value);
}

static bool in_range(struct walk *walk, const struct option *option,
                     const struct ls_yaml_node *node, const char *text, int64_t value)
{
    char low[32], high[32];

    if (value >= option->low && value <= option->high)
        return true;
    print_bound(low, sizeof low, option, option->low);
    print_bound(high, sizeof high, option, option->high);
    ls_config_error(walk->report, node, "'%s' cannot be '%.80s'", option->key,
                    shown(option, node, text));
    ls_config_hint(walk->report, "from %s to %s", low, high);
    return false;
}

static void set_integer(struct walk *walk, const struct option *option,
                        const struct ls_yaml_node *node, const char *text, int64_t *member)
{
    int64_t value = -1;

    if (option->type == T_INT && ls_config_int(text, &value) < 0) {
        bad_value(walk, option, node, text, "a whole number");
    } else if (option->type == T_SIZE && ls_config_size(text, &value) < 0) {
        bad_value(walk, option, node, text, "a size: 65536, 300MB, 1GiB");
    } else if (option->type == T_DURATION && (value = ls_duration_parse(text)) < 0) {
        bad_value(walk, option, node, text, "a duration with its unit: 250ms, 10s, 5m, 6h, 7d");
    } else if (in_range(walk, option, node, text, value)) {
        *member = value;
    }
}

static void set_double(struct walk *walk, const struct option *option,
                       const struct ls_yaml_node *node, const char *text, double *member)
{
    double value;
    int bad =
        option->type == T_RATE ? ls_config_rate(text, &value) : ls_config_number(text, &value);

    if (bad) {
        bad_value(walk, option, node, text,
                  option->type == T_RATE ? "a rate: 10/s, 600/m, 3600/h" : "a number");
    } else if (value < (double)option->low || value > (double)option->high) {
        in_range(walk, option, node, text, option->high + 1);
    } else {
        *member = value;
    }
}

static void set_choice(struct walk *walk, const struct option *option,
                       const struct ls_yaml_node *node, const char *text, char *member)
{
    char names[16][32];
    const char *words[17] = {NULL};
    size_t count = 0;
    const char *near;
    char list[200] = "one of";

    while (count < 16 && choice_at(option->choices, count, names[count], sizeof names[count])) {
        words[count] = names[count];
        if (strcmp(text, names[count]) == 0) {
            if (option->type == T_ENUM)
                *(int *)(void *)member = (int)count;
            else
                put_text((char **)(void *)member, ls_xstrdup(text));
            return;
        }
        count++;
    }
    near = ls_config_nearest(text, words);
    for (size_t i = 0; i < count; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s %s", i ? "," : "", words[i]);
    bad_value(walk, option, node, text, list);
    if (near)
        ls_config_hint(walk->report, "did you mean '%s'? %s", near, list);
}

static void set_redis(struct walk *walk, const struct option *option,
                      const struct ls_yaml_node *node, const char *text, char **member)
{
    struct ls_redis_url url = {0};
    struct ls_err err = LS_ERR_INIT;

    if (strcmp(text, "embedded") == 0) {
        put_text(member, ls_xstrdup(text));
        return;
    }
    if (strncmp(text, "unix://", 7) == 0 && text[7]) {
        size_t path_length = strcspn(text + 7, "?");
        char *path = ls_xstrndup(text + 7, path_length);
        char *absolute = ls_config_absolute(walk->dir, path);

        put_text(member, ls_xasprintf("unix://%s%s", absolute, text + 7 + path_length));
        free(absolute);
        free(path);
        return;
    }
    if (ls_redis_url_parse(&url, text, &err) == 0) { /* its messages never hold the password */
        ls_redis_url_fini(&url);
        put_text(member, ls_xstrdup(text));
        return;
    }
    ls_redis_url_fini(&url);
    if (err.code == LS_E_UNSUPPORTED) {
        ls_config_error(walk->report, node, "'%s': %s", option->key, err.text);
        ls_config_hint(walk->report, "%s", err.hint);
        return;
    }
    ls_config_error(walk->report, node, "'%s' is no address of a Redis", option->key);
    ls_config_hint(walk->report, "embedded, unix:///path/redis.sock, redis://host:6379/0, "
                                 "rediss://host:6380/0");
}

static void set_store(struct walk *walk, const struct option *option,
                      const struct ls_yaml_node *node, const char *text, char **member)
{
    if (strncmp(text, "sqlite:", 7) == 0 && text[7]) {
        const char *path = strncmp(text + 7, "//", 2) == 0 ? text + 9 : text + 7;
        char *absolute = ls_config_absolute(walk->dir, path);

        put_text(member, ls_xasprintf("sqlite:%s", absolute));
        free(absolute);
        return;
    }
    if (strncmp(text, "postgres://", 11) == 0 || strncmp(text, "postgresql://", 13) == 0)
        ls_config_error(walk->report, node, "'%s': PostgreSQL is not supported by this version",
                        option->key);
    else
        ls_config_error(walk->report, node, "'%s' is no address of a database", option->key);
    ls_config_hint(walk->report, "sqlite:shop.db");
}

static void set_log(struct walk *walk, const struct option *option, const struct ls_yaml_node *node,
                    const char *text, char **member)
{
    if (strcmp(text, "stderr") == 0) {
        put_text(member, ls_xstrdup(text));
    } else if (strncmp(text, "file:", 5) == 0 && text[5]) {
        char *absolute = ls_config_absolute(walk->dir, text + 5);

        put_text(member, ls_xasprintf("file:%s", absolute));
        free(absolute);
    } else {
        bad_value(walk, option, node, text, "stderr or file:PATH");
    }
}

static void set_url(struct walk *walk, const struct option *option, const struct ls_yaml_node *node,
                    const char *text, char **member)
{
    size_t prefix = strncmp(text, "https://", 8) == 0  ? 8
                    : strncmp(text, "http://", 7) == 0 ? 7
                                                       : 0;
    size_t length = strlen(text);

    if (!prefix || !text[prefix] || text[prefix] == '/' || strpbrk(text, " \t\r\n\"<>\\")) {
        ls_config_error(walk->report, node, "'%s' is no URL", option->key);
        ls_config_hint(walk->report, "it begins with https:// or http://");
        return;
    }
    while (length > prefix && text[length - 1] == '/')
        length--;
    put_text(member, ls_xstrndup(text, length));
}

static void set_listen(struct walk *walk, const struct option *option,
                       const struct ls_yaml_node *node, const char *text, void *target)
{
    struct ls_config_admin *admin = target;
    char *host;
    int port;

    if (ls_config_listen(text, &host, &port) < 0) {
        bad_value(walk, option, node, text, "HOST:PORT, as 127.0.0.1:8420 or [::1]:8420");
        return;
    }
    put_text(&admin->host, host);
    put_text(&admin->listen, ls_xstrdup(text));
    admin->port = port;
}

static void set_name(struct walk *walk, const struct option *option,
                     const struct ls_yaml_node *node, const char *text, char **member)
{
    if (!ls_config_name_valid(text, strlen(text)))
        bad_value(walk, option, node, text, "a name: 1 to 64 of a-z 0-9 . _ -");
    else
        put_text(member, ls_xstrdup(text));
}

static bool length_fits(struct walk *walk, const struct option *option,
                        const struct ls_yaml_node *node, const char *text)
{
    size_t length = strlen(text);

    if ((int64_t)length >= option->low && (int64_t)length <= option->high)
        return true;
    if (!length)
        ls_config_error(walk->report, node, "'%s' is empty", option->key);
    else
        ls_config_error(walk->report, node, "'%s' is longer than %lld bytes", option->key,
                        (long long)option->high);
    return false;
}

static void set_value(struct walk *walk, const struct option *option,
                      const struct ls_yaml_node *node, const char *text, void *target)
{
    char *member = (char *)target + option->offset;
    char **text_member = (char **)(void *)member;

    switch (option->type) {
    case T_INT:
    case T_DURATION:
    case T_SIZE:
        set_integer(walk, option, node, text, (int64_t *)(void *)member);
        return;
    case T_NUMBER:
    case T_RATE:
        set_double(walk, option, node, text, (double *)(void *)member);
        return;
    case T_BOOL:
        if (ls_config_bool(text, (bool *)(void *)member) < 0)
            bad_value(walk, option, node, text, "true or false");
        return;
    case T_ENUM:
    case T_ENUM_TEXT:
        set_choice(walk, option, node, text, member);
        return;
    default:
        break;
    }
    if (!length_fits(walk, option, node, text))
        return;
    switch (option->type) {
    case T_REDIS:
        set_redis(walk, option, node, text, text_member);
        return;
    case T_STORE:
        set_store(walk, option, node, text, text_member);
        return;
    case T_LOG:
        set_log(walk, option, node, text, text_member);
        return;
    case T_URL:
        set_url(walk, option, node, text, text_member);
        return;
    case T_NAME:
        set_name(walk, option, node, text, text_member);
        return;
    case T_LISTEN:
        set_listen(walk, option, node, text, target);
        return;
    case T_PATH:
        put_text(text_member, ls_config_absolute(walk->dir, text));
        return;
    default:
        put_text(text_member, ls_xstrdup(text));
        return;
    }
}
