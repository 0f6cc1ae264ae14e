/* Shared by the files of common/config: the schema walk and the list of problems. */
#ifndef LS_CONFIG_CONFIG_INTERNAL_H
#define LS_CONFIG_CONFIG_INTERNAL_H

#include "common/config/config.h"
#include "common/config/yaml.h"

/* What was found wrong so far. The first `max` are kept, all errors are counted. */
struct ls_config_report {
    struct ls_config_problem *problems;
    int max, count;
    int errors;
};

/* Node may be NULL: a problem without a place. */
void ls_config_error(struct ls_config_report *report, const struct ls_yaml_node *node,
                     const char *format, ...) __attribute__((format(printf, 3, 4)));
void ls_config_warn(struct ls_config_report *report, const struct ls_yaml_node *node,
                    const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Of the problem reported last. */
void ls_config_hint(struct ls_config_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Fill config from defaults and then the document's root (may be NULL). lenient: see
 * ls_config_load_public. */
void ls_config_apply(struct ls_config *config, const struct ls_yaml_node *root, const char *dir,
                     bool lenient, struct ls_config_report *report);
/* There is always a queue "default", with the defaults. */
void ls_config_add_default_queue(struct ls_config *config);
/* Override scalar keys of the top level by LOCKSTEP_<KEY>. */
void ls_config_apply_environment(struct ls_config *config, struct ls_config_report *report);
/* What no single value shows: references between sections, needed companions, impossible pairs.
 * lenient: see ls_config_load_public. */
void ls_config_cross_check(const struct ls_config *config, const struct ls_yaml_node *root,
                           bool lenient, struct ls_config_report *report);

#endif
