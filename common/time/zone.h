/* A time zone of the tz database: which offset from UTC holds when. The file (TZif, RFC 8536) is
 * read from TZDIR, else /usr/share/zoneinfo, whole and under bounds, and treated as hostile; TZ is
 * never set, because the C library has one zone a process and other threads would see it change.
 * A zone never changes once it is read: a new tz database is seen by processes that start later.
 * Safe for use by several threads. */
#ifndef LS_TIME_ZONE_H
#define LS_TIME_ZONE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

#define LS_ZONE_NAME_MAX 64
#define LS_ZONE_BYTES_MAX (64 * 1024)   /* of a file; the largest of the database has 4 KiB */
#define LS_ZONE_EVER (INT64_C(1) << 50) /* seconds: no change is farther from 1970 */

struct ls_zone;

/* By its IANA name, "Europe/Berlin"; "UTC" needs no database. The caller frees. NULL with *err:
 * LS_E_NOT_FOUND, no such zone; LS_E_UNSUPPORTED, there is no tz database on this machine;
 * LS_E_CORRUPT, its file is none. Each names the zone. */
struct ls_zone *ls_zone_open(const char *name, struct ls_err *err);
/* The same from the bytes of a file. LS_E_CORRUPT. */
struct ls_zone *ls_zone_parse(const void *bytes, size_t length, struct ls_err *err);
void ls_zone_free(struct ls_zone *zone);

/* A stretch of time with one offset: [begin_s, end_s), seconds since 1970. Local time is UTC plus
 * offset_s. The neighbours of a stretch have other offsets as a rule; a consumer must bear the
 * same. */
struct ls_zone_stretch {
    int64_t begin_s, end_s; /* -LS_ZONE_EVER, LS_ZONE_EVER: without end */
    int32_t offset_s;
};
/* The one that holds utc_s. O(log n), n = changes in the file. */
struct ls_zone_stretch ls_zone_at(const struct ls_zone *zone, int64_t utc_s);

/* "2026-03-29T03:00:00+02:00" and a NUL; "" for a year that has not four digits. Returns out. */
#define LS_ZONE_TEXT_SIZE 26
const char *ls_zone_format(const struct ls_zone *zone, int64_t ms, char out[LS_ZONE_TEXT_SIZE]);

#endif
