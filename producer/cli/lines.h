/* Lines of a file or of standard input, one at a time, each at most a bound long; memory does not
 * grow with the file. */
#ifndef LS_CLI_LINES_H
#define LS_CLI_LINES_H

#include <stdint.h>
#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/err.h"

struct ls_lines {
    FILE *file;
    struct ls_buf line; /* without its end; may hold NULs */
    int64_t number;     /* of line, from 1 */
    int64_t bytes;      /* read so far */
    int64_t size;       /* of the file; 0: unknown (a pipe) */
};

/* path "-": standard input. */
int ls_lines_open(struct ls_lines *lines, const char *path, struct ls_err *err);
void ls_lines_close(struct ls_lines *lines);
/* 1 a line, 0 the end, -1 with *err: unreadable, or longer than max bytes (LS_E_TOO_BIG). */
int ls_lines_next(struct ls_lines *lines, size_t max, struct ls_err *err);

#endif
