#include "common/config/yaml.h"

#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"

/* Every node ever made hangs from the document's chain, so that a parse may stop anywhere. */
struct owned_node {
    struct ls_yaml_node node;
    struct owned_node *next;
    size_t capacity;
    bool complete; /* its end was seen: an alias may name it */
};

struct anchor {
    char *name;
    struct owned_node *node;
    struct anchor *next;
};

struct ls_yaml {
    struct owned_node *nodes;
    struct anchor *anchors;
    size_t node_count;
    const struct ls_yaml_node *root;
};

void ls_yaml_free(struct ls_yaml *doc)
{
    if (!doc)
        return;
    for (struct owned_node *node = doc->nodes, *next; node; node = next) {
        next = node->next;
        free(node->node.text);
        free(node->node.keys);
        free(node->node.items);
        free(node);
    }
    for (struct anchor *anchor = doc->anchors, *next; anchor; anchor = next) {
        next = anchor->next;
        free(anchor->name);
        free(anchor);
    }
    free(doc);
}

const struct ls_yaml_node *ls_yaml_root(const struct ls_yaml *doc)
{
    return doc->root;
}

const struct ls_yaml_node *ls_yaml_get(const struct ls_yaml_node *node, const char *key,
                                       const struct ls_yaml_node **key_node)
{
    if (!node || node->kind != LS_YAML_MAPPING)
        return NULL;
    for (size_t i = 0; i < node->count; i++) {
        if (strcmp(node->keys[i]->text, key) == 0) {
            if (key_node)
                *key_node = node->keys[i];
            return node->items[i];
        }
    }
    return NULL;
}

bool ls_yaml_is_null(const struct ls_yaml_node *node)
{
    return !node ||
           (node->kind == LS_YAML_SCALAR && node->plain &&
            (!*node->text || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0));
}

#ifdef LOCKSTEP_WITH_YAML

#include <yaml.h>

#define MAX_ANCHORS 1000
#define MAX_PAIRS 2000 /* in one mapping: duplicates are sought by comparing */

struct reader {
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
    struct ls_yaml *doc;
    struct ls_yaml_place *place;
    struct ls_err *err;
};

static char *mask(const char *text, size_t length, size_t *masked_length);
static void unmask(char *text);
static int next(struct reader *reader);
static struct owned_node *read_node(struct reader *reader, int depth);
static struct owned_node *read_alias(struct reader *reader);
static struct owned_node *read_scalar(struct reader *reader);
static struct owned_node *read_sequence(struct reader *reader, int depth);
static struct owned_node *read_mapping(struct reader *reader, int depth);

static int fail_at(struct reader *reader, const yaml_mark_t *mark, const char *problem)
{
    *reader->place = (struct ls_yaml_place){(int)mark->line + 1, (int)mark->column + 1};
    return ls_fail(reader->err, LS_E_CONFIG, "%s", problem);
}

struct ls_yaml *ls_yaml_parse(const char *text, size_t length, struct ls_yaml_place *place,
                              struct ls_err *err)
{
    struct reader reader = {.place = place, .err = err};
    struct owned_node *root = NULL;
    size_t masked_length;
    char *masked;

    *place = (struct ls_yaml_place){1, 1};
    if (length > LS_YAML_MAX_BYTES) {
        ls_fail(err, LS_E_CONFIG, "larger than %d bytes", LS_YAML_MAX_BYTES);
        return NULL;
    }
    if (!yaml_parser_initialize(&reader.parser)) {
        ls_fail(err, LS_E_SYSTEM, "out of memory");
        return NULL;
    }
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    masked = mask(text, length, &masked_length);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)masked, masked_length);
    reader.doc = LS_NEW(struct ls_yaml);
    if (next(&reader) < 0 || next(&reader) < 0) /* stream start; document start or stream end */
        goto fail;
    if (reader.event.type == YAML_DOCUMENT_START_EVENT) {
        if (next(&reader) < 0 || !(root = read_node(&reader, 0)))
            goto fail;
        if (next(&reader) < 0 || next(&reader) < 0) /* document end; stream end */
            goto fail;
        if (reader.event.type != YAML_STREAM_END_EVENT) {
            fail_at(&reader, &reader.event.start_mark, "a second document begins here");
            goto fail;
        }
        reader.doc->root = ls_yaml_is_null(&root->node) ? NULL : &root->node;
    }
    yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    free(masked);
    return reader.doc;
fail:
    if (reader.has_event)
        yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    free(masked);
    ls_yaml_free(reader.doc);
    return NULL;
}

/* `{key: ${NAME}}` is what people write, but a brace ends a plain text there. So the braces of
 * `${...}` on one line become two characters of the private use area (one column each, like the
 * braces) before the parser sees them, and braces again after. */
#define MASK_OPEN "\xee\x80\x80"
#define MASK_CLOSE "\xee\x80\x81"

static char *mask(const char *text, size_t length, size_t *masked_length)
{
    struct ls_buf out = {0};
    size_t open_until = 0; /* the index of a closing brace to mask */

    ls_buf_reserve(&out, length + 64);
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '{' && i && text[i - 1] == '$' && !open_until) {
            size_t end = i + 1;

            while (end < length && !strchr("{}\n\r\"'", text[end]))
                end++;
            if (end < length && text[end] == '}') {
                open_until = end;
                ls_buf_puts(&out, MASK_OPEN);
                continue;
            }
        }
        if (open_until && i == open_until) {
            open_until = 0;
            ls_buf_puts(&out, MASK_CLOSE);
            continue;
        }
        ls_buf_putc(&out, text[i]);
    }
    *masked_length = out.length;
    return ls_buf_take(&out);
}

static void unmask(char *text)
{
    char *to = text;

    for (const char *from = text; *from;) {
        if (strncmp(from, MASK_OPEN, 3) == 0 || strncmp(from, MASK_CLOSE, 3) == 0) {
            *to++ = from[2] == '\x80' ? '{' : '}';
            from += 3;
        } else {
            *to++ = *from++;
        }
    }
    *to = 0;
}

/* The next event into reader->event; -1 on a syntax error. */
static int next(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    const yaml_mark_t *mark = &parser->problem_mark;

    if (reader->has_event)
        yaml_event_delete(&reader->event);
    reader->has_event = yaml_parser_parse(&reader->parser, &reader->event);
    if (reader->has_event)
        return 0;
    if (parser->error == YAML_READER_ERROR) {
        *reader->place = (struct ls_yaml_place){1, 1};
        return ls_fail(reader->err, LS_E_CONFIG, "not a text in UTF-8: %s at byte %zu",
                       parser->problem ? parser->problem : "unreadable", parser->problem_offset);
    }
    *reader->place = (struct ls_yaml_place){(int)mark->line + 1, (int)mark->column + 1};
    return ls_fail(reader->err, LS_E_CONFIG, "not valid YAML: %s%s%s",
                   parser->problem ? parser->problem : "unreadable", parser->context ? " " : "",
                   parser->context ? parser->context : "");
}

static struct owned_node *new_node(struct reader *reader, enum ls_yaml_kind kind,
                                   const yaml_char_t *anchor_name)
{
    const yaml_mark_t *mark = &reader->event.start_mark;
    struct owned_node *node;

    if (reader->doc->node_count++ >= LS_YAML_MAX_NODES) {
        fail_at(reader, mark, "too many values");
        return NULL;
    }
    node = LS_NEW(struct owned_node);
    node->node.kind = kind;
    node->node.line = (int)mark->line + 1;
    node->node.column = (int)mark->column + 1;
    node->next = reader->doc->nodes;
    reader->doc->nodes = node;
    if (anchor_name) {
        struct anchor *anchor = LS_NEW(struct anchor);
        size_t count = 0;

        anchor->name = ls_xstrdup((const char *)anchor_name);
        anchor->node = node;
        anchor->next =
            reader->doc->anchors; /* the newest of a name is found first, as YAML wants it */
        reader->doc->anchors = anchor;
        for (const struct anchor *a = anchor; a; a = a->next)
            count++;
        if (count > MAX_ANCHORS) {
            fail_at(reader, mark, "too many anchors");
            return NULL;
        }
    }
    return node;
}

/* The node that begins with the current event. */
static struct owned_node *read_node(struct reader *reader, int depth)
{
    const yaml_mark_t *mark = &reader->event.start_mark;
    const yaml_char_t *tag = NULL;

    if (depth >= LS_YAML_MAX_DEPTH) {
        fail_at(reader, mark, "nested too deep");
        return NULL;
    }
    switch (reader->event.type) {
    case YAML_ALIAS_EVENT:
        return read_alias(reader);
    case YAML_SCALAR_EVENT:
        tag = reader->event.data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        tag = reader->event.data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        tag = reader->event.data.mapping_start.tag;
        break;
    default:
        fail_at(reader, mark, "a value is missing");
        return NULL;
    }
    if (tag) {
        fail_at(reader, mark, "tags ('!...') have no meaning here");
        return NULL;
    }
    if (reader->event.type == YAML_SCALAR_EVENT)
        return read_scalar(reader);
    return reader->event.type == YAML_SEQUENCE_START_EVENT ? read_sequence(reader, depth)
                                                           : read_mapping(reader, depth);
}

static struct owned_node *read_alias(struct reader *reader)
{
    const char *name = (const char *)reader->event.data.alias.anchor;

    for (struct anchor *anchor = reader->doc->anchors; anchor; anchor = anchor->next) {
        if (strcmp(anchor->name, name) != 0)
            continue;
        if (anchor->node->complete)
            return anchor->node;
        fail_at(reader, &reader->event.start_mark, "an alias inside its own anchor");
        return NULL;
    }
    fail_at(reader, &reader->event.start_mark, "an alias without an anchor before it");
    return NULL;
}

static struct owned_node *read_scalar(struct reader *reader)
{
    const char *text = (const char *)reader->event.data.scalar.value;
    size_t length = reader->event.data.scalar.length;
    struct owned_node *node;

    if (memchr(text, 0, length)) {
        fail_at(reader, &reader->event.start_mark, "a zero byte in a text");
        return NULL;
    }
    node = new_node(reader, LS_YAML_SCALAR, reader->event.data.scalar.anchor);
    if (!node)
        return NULL;
    node->node.text = ls_xstrndup(text, length);
    unmask(node->node.text);
    node->node.plain = reader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->complete = true;
    return node;
}

static void append(struct owned_node *node, struct ls_yaml_node *key, struct ls_yaml_node *item)
{
    if (node->node.count == node->capacity) {
        node->capacity = node->capacity ? 2 * node->capacity : 8;
        node->node.items = ls_xrealloc(node->node.items, node->capacity * sizeof *node->node.items);
        if (key)
            node->node.keys =
                ls_xrealloc(node->node.keys, node->capacity * sizeof *node->node.keys);
    }
    if (key)
        node->node.keys[node->node.count] = key;
    node->node.items[node->node.count++] = item;
}

static struct owned_node *read_sequence(struct reader *reader, int depth)
{
    struct owned_node *node =
        new_node(reader, LS_YAML_SEQUENCE, reader->event.data.sequence_start.anchor);

    if (!node)
        return NULL;
    for (;;) {
        struct owned_node *item;

        if (next(reader) < 0)
            return NULL;
        if (reader->event.type == YAML_SEQUENCE_END_EVENT)
            break;
        if (!(item = read_node(reader, depth + 1)))
            return NULL;
        if (node->node.count >= MAX_PAIRS) {
            fail_at(reader, &reader->event.start_mark, "too many items");
            return NULL;
        }
        append(node, NULL, &item->node);
    }
    node->complete = true;
    return node;
}

static int add_pair(struct reader *reader, struct owned_node *node, struct ls_yaml_node *key,
                    struct ls_yaml_node *value, const yaml_mark_t *mark)
{
    char problem[256];

    if (node->node.count >= MAX_PAIRS || reader->doc->node_count++ >= LS_YAML_MAX_NODES)
        return fail_at(reader, mark, "too many keys");
    if (ls_yaml_get(&node->node, key->text, NULL)) {
        snprintf(problem, sizeof problem, "'%.100s' stands twice", key->text);
        return fail_at(reader, mark, problem);
    }
    append(node, key, value);
    return 0;
}

/* `<<: *other`: the keys of the other that are not written here. */
static int merge(struct reader *reader, struct owned_node *node, const struct ls_yaml_node *other,
                 const yaml_mark_t *mark)
{
    if (other->kind == LS_YAML_SEQUENCE) {
        for (size_t i = 0; i < other->count; i++) {
            if (other->items[i]->kind != LS_YAML_MAPPING)
                return fail_at(reader, mark, "only mappings can be merged with '<<'");
            if (merge(reader, node, other->items[i], mark) < 0)
                return -1;
        }
        return 0;
    }
    if (other->kind != LS_YAML_MAPPING)
        return fail_at(reader, mark, "only mappings can be merged with '<<'");
    for (size_t i = 0; i < other->count; i++) {
        if (!ls_yaml_get(&node->node, other->keys[i]->text, NULL) &&
            add_pair(reader, node, other->keys[i], other->items[i], mark) < 0)
            return -1;
    }
    return 0;
}

static struct owned_node *read_mapping(struct reader *reader, int depth)
{
    struct owned_node *node =
        new_node(reader, LS_YAML_MAPPING, reader->event.data.mapping_start.anchor);
    struct ls_yaml_node *merged = NULL;
    yaml_mark_t merged_mark = {0};

    if (!node)
        return NULL;
    for (;;) {
        struct owned_node *key, *value;
        yaml_mark_t mark;

        if (next(reader) < 0)
            return NULL;
        if (reader->event.type == YAML_MAPPING_END_EVENT)
            break;
        mark = reader->event.start_mark;
        if (!(key = read_node(reader, depth + 1)))
            return NULL;
        if (key->node.kind != LS_YAML_SCALAR) {
            fail_at(reader, &mark, "a key must be a text");
            return NULL;
        }
        if (next(reader) < 0 || !(value = read_node(reader, depth + 1)))
            return NULL;
        if (key->node.plain && strcmp(key->node.text, "<<") == 0) {
            if (merged) {
                fail_at(reader, &mark, "'<<' stands twice");
                return NULL;
            }
            merged = &value->node;
            merged_mark = mark;
        } else if (add_pair(reader, node, &key->node, &value->node, &mark) < 0) {
            return NULL;
        }
    }
    if (merged && merge(reader, node, merged, &merged_mark) < 0)
        return NULL;
    node->complete = true;
    return node;
}

#else

struct ls_yaml *ls_yaml_parse(const char *text, size_t length, struct ls_yaml_place *place,
                              struct ls_err *err)
{
    *place = (struct ls_yaml_place){0, 0};
    ls_fail(err, LS_E_UNSUPPORTED, "this build has no libyaml and cannot read configuration files");
    ls_hint(err, "install libyaml-dev and build again, or use LOCKSTEP_REDIS and its like");
    return NULL;
}

#endif
