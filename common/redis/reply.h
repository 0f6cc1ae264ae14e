/* What Redis answered, as a tree of plain values that lives in an arena: no allocation per element,
 * freed all at once.
 *
 * struct ls_reply_reader turns bytes from a socket into replies by hiredis' redisReader (the codec
 * is the same API in hiredis 0.14 and 1.x). Everything else of hiredis stays unused, so that plain,
 * unix and TLS connections share one path. */
#ifndef LS_REDIS_REPLY_H
#define LS_REDIS_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"

enum ls_reply_type {
    LS_REPLY_NIL,
    LS_REPLY_STRING,  /* text, length; NUL-terminated, may hold NULs */
    LS_REPLY_STATUS,  /* as a string: "OK" */
    LS_REPLY_ERROR,   /* as a string: "WRONGTYPE Operation ..." */
    LS_REPLY_INTEGER, /* integer */
    LS_REPLY_ARRAY    /* items, count */
};

struct ls_reply {
    enum ls_reply_type type;
    union {
        size_t length;
        size_t count;
    };
    union {
        const char *text;
        const struct ls_reply *items;
        int64_t integer;
    };
};

/* Is it a string or status with exactly this text? */
bool ls_reply_is(const struct ls_reply *reply, const char *text);
/* The bytes of a string or status; {0} for anything else. */
struct ls_span ls_reply_span(const struct ls_reply *reply);
/* An integer, or a string that is one; fallback for anything else. */
int64_t ls_reply_int(const struct ls_reply *reply, int64_t fallback);
/* Item i of an array; NULL when there is none. */
const struct ls_reply *ls_reply_item(const struct ls_reply *reply, size_t i);

/* Describe an error reply: reason is Redis' own word. READONLY, LOADING, BUSY, TRYAGAIN,
 * CLUSTERDOWN, MASTERDOWN, NOREPLICAS and OOM are LS_E_TRANSIENT (again later, after a reconnect);
 * NOAUTH, WRONGPASS and NOPERM are LS_E_AUTH; the rest LS_E_REDIS. Returns -1. */
int ls_reply_fail(const struct ls_reply *reply, struct ls_err *err);

struct ls_reply_reader;

struct ls_reply_reader *ls_reply_reader_new(void);
void ls_reply_reader_free(struct ls_reply_reader *reader);
/* Bytes from the socket. */
void ls_reply_reader_feed(struct ls_reply_reader *reader, const char *bytes, size_t length);
/* 1 and *reply set: a whole reply, valid until the next call on the reader. 0: more bytes are
 * needed. -1: the bytes are not the protocol or break a bound (256 MiB, a million elements); the
 * reader is of no further use. */
int ls_reply_reader_next(struct ls_reply_reader *reader, const struct ls_reply **reply,
                         struct ls_err *err);

#endif
