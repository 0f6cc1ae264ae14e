#include "worker/master/title.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

static char *space; /* the process has one title, as it has one log */
static size_t space_size;

void ls_title_init(int argc, char **argv)
{
    if (argc < 1)
        return;
    space = argv[0];
    space_size = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) + 1 - argv[0]);
}

void ls_title_set(const char *format, ...)
{
    char title[128], name[16];
    va_list args;

    va_start(args, format);
    vsnprintf(title, sizeof title, format, args);
    va_end(args);
    snprintf(name, sizeof name, "ls-%.12s", title);
    prctl(PR_SET_NAME, name);
    if (!space)
        return;
    memset(space, 0, space_size);
    snprintf(space, space_size, "lockstep-worker: %s", title);
}
