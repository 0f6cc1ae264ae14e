/* A YAML document as a tree of nodes with their places, read with libyaml's event parser under
 * bounds: 1 MiB of text, 16 levels, 50,000 nodes. Aliases share the node of their anchor (nothing
 * is copied, so nothing can explode) and may not contain themselves; `<<` merges mappings. A key
 * may stand once in a mapping. Tags are refused. */
#ifndef LS_CONFIG_YAML_H
#define LS_CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"

#define LS_YAML_MAX_BYTES (1024 * 1024)
#define LS_YAML_MAX_DEPTH 16
#define LS_YAML_MAX_NODES 50000

enum ls_yaml_kind { LS_YAML_SCALAR, LS_YAML_MAPPING, LS_YAML_SEQUENCE };

struct ls_yaml_node {
    enum ls_yaml_kind kind;
    int line, column;            /* from 1 */
    char *text;                  /* SCALAR: owned, NUL-terminated, without NUL inside */
    bool plain;                  /* SCALAR: written without quotes */
    size_t count;                /* of a MAPPING's pairs or a SEQUENCE's items */
    struct ls_yaml_node **keys;  /* MAPPING: scalars; borrowed from the document */
    struct ls_yaml_node **items; /* values or items; borrowed from the document */
};

struct ls_yaml; /* the document: owns all nodes */

struct ls_yaml_place {
    int line, column;
};

/* NULL with *err and *place (LS_E_CONFIG; LS_E_UNSUPPORTED without libyaml). */
struct ls_yaml *ls_yaml_parse(const char *text, size_t length, struct ls_yaml_place *place,
                              struct ls_err *err);
void ls_yaml_free(struct ls_yaml *doc);
/* NULL for an empty document. */
const struct ls_yaml_node *ls_yaml_root(const struct ls_yaml *doc);
/* The value under key; NULL when node is NULL, no mapping, or has none. *key_node (may be NULL)
 * gets the key itself. */
const struct ls_yaml_node *ls_yaml_get(const struct ls_yaml_node *node, const char *key,
                                       const struct ls_yaml_node **key_node);
/* Nothing was written: `key:`, `key: ~`, `key: null`. */
bool ls_yaml_is_null(const struct ls_yaml_node *node);

#endif
