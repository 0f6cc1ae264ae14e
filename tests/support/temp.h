/* Temporary directories and free ports for tests. */
#ifndef LS_TESTS_SUPPORT_TEMP_H
#define LS_TESTS_SUPPORT_TEMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* mkdtemp under TMPDIR; the path (below 100 bytes, so that a unix socket fits) into out. */
void test_temp_dir(char *out, size_t size);
/* Remove it with all it holds. Refuses paths that test_temp_dir did not make. */
void test_temp_remove(const char *dir);
/* A port on 127.0.0.1 that was free a moment ago. */
int test_free_port(void);

/* Wait up to timeout_ms until condition(arg) holds, looking every few ms; false when it never did.
 */
bool test_wait(bool (*condition)(void *arg), void *arg, int64_t timeout_ms);

/* Catch the log: until test_log_stop, lines go to a private file. test_log_text returns them all
 * (static buffer); test_log_has looks for a piece of text. */
void test_log_start(void);
const char *test_log_text(void);
bool test_log_has(const char *piece);
void test_log_stop(void);

#endif
