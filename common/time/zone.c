#include "common/time/zone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/time/civil.h"
#include "common/time/posix_rule.h"

#define DATABASE "/usr/share/zoneinfo"
#define HEADER_BYTES 44
#define TIMES_MAX 2000 /* the bounds of the tz database's own reader, or wider */
#define TYPES_MAX 256
#define CHARS_MAX 2048
#define RULE_MAX 200
#define OFFSET_MIN_S (-89999) /* RFC 8536, 3.2 */
#define OFFSET_MAX_S 93599

struct change {
    int64_t at_s;
    int32_t offset_s; /* from then on */
};

struct ls_zone {
    int32_t first_s; /* before the first change */
    struct change *changes;
    size_t count;
    bool has_rule; /* for what comes behind the last change */
    struct ls_posix_rule rule;
};

/* The counts of a header, in the file's order. */
struct header {
    uint32_t ut_count, standard_count, leap_count, time_count, type_count, char_count;
    char version;
};

struct bytes {
    const unsigned char *at, *end;
};

static bool name_is_valid(const char *name);
static int open_file(const char *folder, const char *name, struct ls_err *err);
static int read_file(int fd, struct ls_buf *out, struct ls_err *err);
static int parse(struct ls_zone *zone, struct bytes bytes, struct ls_err *err);
static int read_header(struct bytes *bytes, struct header *header, struct ls_err *err);
static int skip_block(struct bytes *bytes, const struct header *header, struct ls_err *err);
static int read_block(struct ls_zone *zone, struct bytes *bytes, const struct header *header,
                      struct ls_err *err);
static int read_rule(struct ls_zone *zone, struct bytes *bytes, struct ls_err *err);
static struct ls_zone_stretch stretch_by_rule(const struct ls_zone *zone, int64_t utc_s);

struct ls_zone *ls_zone_open(const char *name, struct ls_err *err)
{
    const char *folder = getenv("TZDIR");
    struct ls_zone *zone = NULL;
    struct ls_buf text = {0};
    int fd;

    if (strcmp(name, "UTC") == 0 || strcmp(name, "Etc/UTC") == 0)
        return LS_NEW(struct ls_zone);
    if (!folder || !*folder)
        folder = DATABASE;
    if (!name_is_valid(name)) {
        ls_fail(err, LS_E_NOT_FOUND, "'%.80s' is no name of a time zone", name);
        ls_hint(err, "names are those of the tz database: UTC, Europe/Berlin, America/New_York");
        return NULL;
    }
    fd = open_file(folder, name, err);
    if (fd < 0)
        return NULL;
    if (read_file(fd, &text, err) == 0)
        zone = ls_zone_parse(text.data, text.length, err);
    if (!zone)
        ls_wrap(err, "cannot read time zone '%s'", name);
    close(fd);
    ls_buf_fini(&text);
    return zone;
}

struct ls_zone *ls_zone_parse(const void *bytes, size_t length, struct ls_err *err)
{
    const unsigned char *start = bytes;
    struct ls_zone *zone = LS_NEW(struct ls_zone);

    if (parse(zone, (struct bytes){start, start + length}, err) == 0)
        return zone;
    ls_zone_free(zone);
    return NULL;
}

void ls_zone_free(struct ls_zone *zone)
{
    if (!zone)
        return;
    free(zone->changes);
    free(zone);
}

struct ls_zone_stretch ls_zone_at(const struct ls_zone *zone, int64_t utc_s)
{
    struct ls_zone_stretch stretch = {-LS_ZONE_EVER, LS_ZONE_EVER, zone->first_s};
    size_t low = 0, high = zone->count; /* the changes up to utc_s are those before low */

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (zone->changes[middle].at_s <= utc_s)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == zone->count && zone->has_rule)
        return stretch_by_rule(zone, utc_s);
    if (low > 0) {
        stretch.begin_s = zone->changes[low - 1].at_s;
        stretch.offset_s = zone->changes[low - 1].offset_s;
    }
    if (low < zone->count)
        stretch.end_s = zone->changes[low].at_s;
    return stretch;
}

const char *ls_zone_format(const struct ls_zone *zone, int64_t ms, char out[LS_ZONE_TEXT_SIZE])
{
    int64_t utc_s = ls_floor_div(ms, 1000);
    int32_t offset_s = ls_zone_at(zone, utc_s).offset_s;
    unsigned east_minutes = (unsigned)abs(offset_s) / 60;
    time_t local_s = (time_t)(utc_s + offset_s);
    struct tm local;
    char text[20];

    out[0] = '\0';
    if (!gmtime_r(&local_s, &local) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &local))
        return out;
    snprintf(out, LS_ZONE_TEXT_SIZE, "%.19s%c%02u:%02u", text, offset_s < 0 ? '-' : '+',
             east_minutes / 60 % 100, east_minutes % 60);
    return out;
}

/* Behind the last change of the file. Changes of the rule that change nothing (summer time that
 * ends when the next begins) do not end a stretch. */
static struct ls_zone_stretch stretch_by_rule(const struct ls_zone *zone, int64_t utc_s)
{
    int64_t from_s = zone->count ? zone->changes[zone->count - 1].at_s : -LS_ZONE_EVER;
    struct ls_zone_stretch stretch = {from_s, LS_ZONE_EVER, zone->rule.standard_s};
    struct ls_posix_change changes[LS_POSIX_CHANGES];
    size_t count = ls_posix_rule_changes(&zone->rule, utc_s, changes), current = 0, next;

    if (!count)
        return stretch;
    while (current + 1 < count && changes[current + 1].at_s <= utc_s)
        current++;
    for (next = current + 1; next + 1 < count; next++) {
        if (changes[next].offset_s != changes[current].offset_s &&
            changes[next].at_s != changes[next + 1].at_s)
            break;
    }
    if (next < count)
        stretch.end_s = changes[next].at_s;
    stretch.offset_s = changes[current].offset_s;
    if (changes[current].at_s > from_s)
        stretch.begin_s = changes[current].at_s;
    return stretch;
}

/* ---- the file ---- */

/* Parts of letters, digits, '_', '+', '-' between slashes: nothing that leads out of the folder. */
static bool name_is_valid(const char *name)
{
    size_t length = strlen(name);

    if (!length || length > LS_ZONE_NAME_MAX || name[0] == '/' || name[length - 1] == '/' ||
        strstr(name, "//"))
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/") ==
           length;
}

static int open_file(const char *folder, const char *name, struct ls_err *err)
{
    char *path = ls_xasprintf("%s/%s", folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe there must not hold us */
    int reason = errno;

    free(path);
    if (fd >= 0)
        return fd;
    if (access(folder, F_OK) < 0) {
        ls_fail(err, LS_E_UNSUPPORTED,
                "time zone '%s' is not known: there is no tz database at '%s'", name, folder);
        ls_hint(err, "install the package tzdata, or set TZDIR; UTC works without");
        return -1;
    }
    if (reason != ENOENT && reason != ENOTDIR) {
        errno = reason;
        return ls_fail_errno(err, "cannot read time zone '%s'", name);
    }
    ls_fail(err, LS_E_NOT_FOUND, "there is no time zone '%s'", name);
    ls_hint(err, "names are those of the tz database: UTC, Europe/Berlin, America/New_York");
    return -1;
}

static int read_file(int fd, struct ls_buf *out, struct ls_err *err)
{
    struct stat status;
    ssize_t count;

    if (fstat(fd, &status) < 0)
        return ls_fail_errno(err, "cannot look at its file");
    if (!S_ISREG(status.st_mode))
        return ls_fail(err, LS_E_NOT_FOUND, "it is no file");
    ls_buf_reserve(out, LS_ZONE_BYTES_MAX + 1);
    while (out->length <= LS_ZONE_BYTES_MAX) {
        count = read(fd, out->data + out->length, LS_ZONE_BYTES_MAX + 1 - out->length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return ls_fail_errno(err, "cannot read its file");
        if (count == 0)
            return 0;
        out->length += (size_t)count;
    }
    return ls_fail(err, LS_E_CORRUPT, "its file has more than %d bytes", LS_ZONE_BYTES_MAX);
}

static int corrupt(struct ls_err *err, const char *why)
{
    ls_fail(err, LS_E_CORRUPT, "its file is no TZif: %s", why);
    return ls_hint(err, "install the package tzdata again, or set TZDIR");
}

/* Version 1 has one block of 32-bit times. Later ones repeat it with 64 bits, and a rule behind. */
static int parse(struct ls_zone *zone, struct bytes bytes, struct ls_err *err)
{
    struct header header;

    if (read_header(&bytes, &header, err) < 0)
        return -1;
    if (!header.version)
        return read_block(zone, &bytes, &header, err);
    if (skip_block(&bytes, &header, err) < 0 || read_header(&bytes, &header, err) < 0 ||
        read_block(zone, &bytes, &header, err) < 0)
        return -1;
    return read_rule(zone, &bytes, err);
}

static const unsigned char *take(struct bytes *bytes, size_t length)
{
    const unsigned char *taken = bytes->at;

    if ((size_t)(bytes->end - bytes->at) < length)
        return NULL;
    bytes->at += length;
    return taken;
}

static uint32_t be32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int64_t be64(const unsigned char *at)
{
    return (int64_t)((uint64_t)be32(at) << 32 | be32(at + 4));
}

static int read_header(struct bytes *bytes, struct header *header, struct ls_err *err)
{
    const unsigned char *at = take(bytes, HEADER_BYTES);

    if (!at || memcmp(at, "TZif", 4) != 0)
        return corrupt(err, "it does not begin as one");
    header->version = (char)at[4];
    if (header->version && (header->version < '2' || header->version > '9'))
        return corrupt(err, "an unknown version");
    header->ut_count = be32(at + 20);
    header->standard_count = be32(at + 24);
    header->leap_count = be32(at + 28);
    header->time_count = be32(at + 32);
    header->type_count = be32(at + 36);
    header->char_count = be32(at + 40);
    if (header->time_count > TIMES_MAX || header->type_count > TYPES_MAX ||
        header->char_count > CHARS_MAX || header->ut_count > header->type_count ||
        header->standard_count > header->type_count || header->leap_count > TIMES_MAX)
        return corrupt(err, "counts beyond all bounds");
    return 0;
}

static size_t block_bytes(const struct header *header, size_t time_bytes)
{
    return header->time_count * (time_bytes + 1) + header->type_count * 6 + header->char_count +
           header->leap_count * (time_bytes + 4) + header->standard_count + header->ut_count;
}

static int skip_block(struct bytes *bytes, const struct header *header, struct ls_err *err)
{
    return take(bytes, block_bytes(header, 4)) ? 0 : corrupt(err, "it ends too early");
}

static int64_t within_ever(int64_t utc_s)
{
    return utc_s < -LS_ZONE_EVER ? -LS_ZONE_EVER : utc_s > LS_ZONE_EVER ? LS_ZONE_EVER : utc_s;
}

static int read_block(struct ls_zone *zone, struct bytes *bytes, const struct header *header,
                      struct ls_err *err)
{
    size_t time_bytes = header->version ? 8 : 4;
    const unsigned char *times = take(bytes, block_bytes(header, time_bytes));
    const unsigned char *indexes, *types;
    int64_t last_s = INT64_MIN;

    if (!times)
        return corrupt(err, "it ends too early");
    if (header->leap_count) /* the times of "right/" zones are not Redis' */
        return corrupt(err, "it counts leap seconds");
    if (!header->type_count)
        return corrupt(err, "no offset in it");
    indexes = times + header->time_count * time_bytes;
    types = indexes + header->time_count;
    for (size_t i = 0; i < header->type_count; i++) {
        int32_t offset_s = (int32_t)be32(types + 6 * i);

        if (offset_s < OFFSET_MIN_S || offset_s > OFFSET_MAX_S)
            return corrupt(err, "an offset of more than a day");
    }
    zone->first_s = (int32_t)be32(types);
    zone->changes = ls_xcalloc(header->time_count ? header->time_count : 1, sizeof *zone->changes);
    for (size_t i = 0; i < header->time_count; i++) {
        const unsigned char *at = times + i * time_bytes;
        int64_t at_s = header->version ? be64(at) : (int32_t)be32(at);
        int32_t before_s = zone->count ? zone->changes[zone->count - 1].offset_s : zone->first_s;
        int32_t offset_s;

        if (at_s <= last_s || indexes[i] >= header->type_count)
            return corrupt(err, "changes out of order, or to nothing");
        last_s = at_s;
        offset_s = (int32_t)be32(types + 6 * (size_t)indexes[i]);
        /* Changes of the name alone are left out, but the last: behind it the rule holds. */
        if (offset_s != before_s || i + 1 == header->time_count)
            zone->changes[zone->count++] = (struct change){within_ever(at_s), offset_s};
    }
    return 0;
}

/* "\n<rule>\n"; an empty one says nothing. */
static int read_rule(struct ls_zone *zone, struct bytes *bytes, struct ls_err *err)
{
    const unsigned char *start = take(bytes, 1), *end;
    size_t length;

    if (!start || *start != '\n')
        return corrupt(err, "no rule at its end");
    start = bytes->at;
    end = memchr(start, '\n', (size_t)(bytes->end - start));
    if (!end || end - start > RULE_MAX)
        return corrupt(err, "no rule at its end");
    length = (size_t)(end - start);
    if (!length)
        return 0;
    if (ls_posix_rule_parse(&zone->rule, (const char *)start, length) < 0)
        return corrupt(err, "the rule at its end cannot be read");
    zone->has_rule = true;
    return 0;
}
