/* From the text of one value to the value: what `${...}` stands for, and the units. Used by the
 * schema; no places here. */
#ifndef LS_CONFIG_VALUE_H
#define LS_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

#define LS_CONFIG_MAX_TEXT (64 * 1024)

/* Replace `${NAME}`, `${NAME:-default}` and `${file:PATH}` (without the line end it closes with;
 * relative to dir); `$${` is a plain
 * `${`. What comes in is not looked at again. The caller frees; NULL with *err, which never holds
 * what was inserted. */
char *ls_config_expand(const char *text, const char *dir, struct ls_err *err);

/* "10", no sign, no unit. 0 / -1 without *err: the caller knows what was wanted. */
int ls_config_int(const char *text, int64_t *out);
/* "0.10", "10%". */
int ls_config_number(const char *text, double *out);
/* "300MB", "1GiB", "65536": bytes, 1024 each step. */
int ls_config_size(const char *text, int64_t *out);
/* "10/s", "600/m", "3600/h", bare "10": a second. */
int ls_config_rate(const char *text, double *out);
int ls_config_bool(const char *text, bool *out);
/* "HOST:PORT", "[IPV6]:PORT". *host is allocated. */
int ls_config_listen(const char *text, char **host, int *port);

/* path, or dir/path when it is relative, without "." and ".." and doubled slashes, always absolute;
 * dir NULL: the working directory. The caller frees. */
char *ls_config_absolute(const char *dir, const char *path);

/* The entry of words (ended by NULL) nearest to text, for "did you mean"; NULL when none is near.
 */
const char *ls_config_nearest(const char *text, const char *const *words);

#endif
