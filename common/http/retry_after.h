/* Retry-After: seconds or an HTTP date. */
#ifndef LS_HTTP_RETRY_AFTER_H
#define LS_HTTP_RETRY_AFTER_H

#include <stdint.h>

/* ms to wait, from 0 to 7 days (longer is cut); -1 when absent (NULL) or unreadable. remote_ms is
 * the peer's own clock (its Date header) against which a date is measured; 0: use ours. */
int64_t ls_retry_after_ms(const char *value, int64_t remote_ms);

/* "Sun, 06 Nov 1994 08:49:37 GMT" and the two older forms; wall-clock ms, -1 when unreadable. */
int64_t ls_http_date_parse(const char *text);

#endif
