/* Memory and bugs. Out of memory and broken invariants end the process: the master restarts it and the lease brings its jobs
 * back. Sizes that come from outside are checked against a limit before they get here. */
#ifndef LS_BASE_MEM_H
#define LS_BASE_MEM_H

#include <stddef.h>
#include <stdlib.h>

/* Never NULL. calloc semantics; count * size may not overflow. */
void *ls_xcalloc(size_t count, size_t size);
void *ls_xrealloc(void *old, size_t size);
/* A copy the caller frees; NULL stays NULL. */
char *ls_xstrdup(const char *text);
char *ls_xstrndup(const char *text, size_t length);
char *ls_xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A zeroed struct on the heap. */
#define LS_NEW(type) ((type *)ls_xcalloc(1, sizeof(type)))
#define LS_COUNT(array) (sizeof(array) / sizeof *(array))

/* Always on: a broken invariant is a bug, and a process that goes on after a bug does damage. */
#define ls_assert(condition) \
    ((condition) ? (void)0 : ls_assert_failed(#condition, __FILE__, __LINE__, __func__))
_Noreturn void ls_assert_failed(const char *condition, const char *file, int line,
                                const char *function);

#endif
