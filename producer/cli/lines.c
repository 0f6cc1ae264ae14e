#include "producer/cli/lines.h"

#include <string.h>
#include <sys/stat.h>

int ls_lines_open(struct ls_lines *lines, const char *path, struct ls_err *err)
{
    struct stat status;

    *lines = (struct ls_lines){0};
    lines->file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!lines->file)
        return ls_fail_errno(err, "cannot read '%s'", path);
    if (fstat(fileno(lines->file), &status) == 0 && S_ISDIR(status.st_mode)) {
        ls_lines_close(lines);
        return ls_fail(err, LS_E_USAGE, "cannot read '%s': it is a directory", path);
    }
    lines->size = S_ISREG(status.st_mode) ? status.st_size : 0;
    return 0;
}

void ls_lines_close(struct ls_lines *lines)
{
    if (lines->file && lines->file != stdin)
        fclose(lines->file);
    ls_buf_fini(&lines->line);
    lines->file = NULL;
}

int ls_lines_next(struct ls_lines *lines, size_t max, struct ls_err *err)
{
    int c;

    ls_buf_clear(&lines->line);
    ls_buf_puts(&lines->line, "");
    lines->number++;
    ls_buf_reserve(&lines->line, 512);
    while ((c = getc_unlocked(lines->file)) != EOF && c != '\n') {
        if (lines->line.length >= max) {
            ls_fail(err, LS_E_TOO_BIG, "longer than %zu bytes", max);
            return -1;
        }
        ls_buf_putc(&lines->line, (char)c);
    }
    if (ferror(lines->file)) {
        ls_fail_errno(err, "cannot be read");
        return -1;
    }
    if (c == EOF && !lines->line.length)
        return 0;
    lines->bytes += (int64_t)lines->line.length + 1;
    if (lines->line.length && lines->line.data[lines->line.length - 1] == '\r')
        lines->line.data[--lines->line.length] = 0;
    return 1;
}
