/* One object of the platform's JSON and a record of a mapping, both ways. Pure.
 *
 * A field's remote path names a member ("regular_price"), a member of a member
 * ("dimensions.length"), or one entry of the meta data
 * ("meta_data.colour"). */
#ifndef LS_PLATFORM_WORDPRESS_OBJECT_H
#define LS_PLATFORM_WORDPRESS_OBJECT_H

#include <jansson.h>

#include "common/platform/connector.h"

#define LS_WP_MARKER_KEY "_lockstep_uid"

/* Fill remote (whose record is initialised) from an object: the wanted fields (bit i; 0: all), id,
 * version, match, marker, trashed. A member the object does not have stays MISSING. -1: it has no
 * id (LS_E_INVALID in *err). What is wrong with a value goes to remote->error. */
int ls_wp_object_read(const json_t *object, const struct ls_mapping *mapping, uint64_t fields,
                      struct ls_remote *remote, struct ls_err *err);

/* The body of a write: update false: a create, NULLs are left out. Never an id. The caller decrefs.
 */
json_t *ls_wp_object_write(const struct ls_mapping *mapping, const struct ls_record *record,
                           bool update, const char *marker);

/* The value of `_fields`: what reading the wanted fields (0: all) needs. `bare`: only these and the
 * id. */
void ls_wp_object_fields(struct ls_buf *out, const struct ls_mapping *mapping, uint64_t fields,
                         bool bare, bool marker);

/* The id of an object, 0 when it has none. */
json_int_t ls_wp_object_id(const json_t *object);

/* The fewest digits that read back as the same double: PHP wrote it by the same rule, so this is
 * what it wrote. */
#define LS_WP_REAL_SIZE 40
const char *ls_wp_real_text(char out[LS_WP_REAL_SIZE], double value);

#endif
