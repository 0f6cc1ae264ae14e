#include "common/redis/reply.h"

#include <hiredis/hiredis.h>
#include <string.h>

#include "common/base/mem.h"

#define CHUNK_BYTES ((size_t)32 * 1024)
#define KEEP_BYTES ((size_t)256 * 1024) /* arena memory kept between replies */
#define MAX_REPLY_BYTES ((size_t)256 * 1024 * 1024)
#define MAX_ELEMENTS ((size_t)1024 * 1024)

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

struct chunk {
    struct chunk *next;
    size_t size;
    size_t used;
    char bytes[];
};

struct ls_reply_reader {
    redisReader *reader;
    struct chunk *chunks; /* newest first */
    size_t held;          /* bytes of all chunks */
    size_t handed_out;    /* bytes of this reply */
    bool stale; /* the last reply was handed out: the arena begins again with the next call */
};

/* -------- arena -------- */

static void *arena_slow(struct ls_reply_reader *reader, size_t size)
{
    size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;
    struct chunk *chunk = ls_xrealloc(NULL, sizeof(*chunk) + room);

    chunk->next = reader->chunks;
    chunk->size = room;
    chunk->used = size;
    reader->chunks = chunk;
    reader->held += room;
    return chunk->bytes;
}

static void *arena(struct ls_reply_reader *reader, size_t size)
{
    struct chunk *chunk = reader->chunks;

    size = (size + 7) & ~(size_t)7;
    reader->handed_out += size;
    if (reader->handed_out > MAX_REPLY_BYTES)
        return NULL;
    if (chunk && chunk->size - chunk->used >= size) {
        void *at = chunk->bytes + chunk->used;
        chunk->used += size;
        return at;
    }
    return arena_slow(reader, size);
}

/* Keep the newest chunk if it is not huge: after a while it fits every reply. */
static void arena_reset(struct ls_reply_reader *reader)
{
    struct chunk *keep = reader->chunks;

    reader->handed_out = 0;
    if (!keep)
        return;
    while (keep->next) {
        struct chunk *next = keep->next->next;
        reader->held -= keep->next->size;
        free(keep->next);
        keep->next = next;
    }
    if (keep->size > KEEP_BYTES) {
        free(keep);
        reader->chunks = NULL;
        reader->held = 0;
        return;
    }
    keep->used = 0;
}

/* -------- what redisReader calls -------- */

static struct ls_reply *place(const redisReadTask *task)
{
    if (task->parent) {
        struct ls_reply *parent = task->parent->obj;
        return (struct ls_reply *)&parent->items[task->idx];
    }
    return arena(task->privdata, sizeof(struct ls_reply));
}

static void *create_string(const redisReadTask *task, char *bytes, size_t length)
{
    struct ls_reply *reply = place(task);
    char *copy = reply ? arena(task->privdata, length + 1) : NULL;

    if (!copy)
        return NULL;
    memcpy(copy, bytes, length);
    copy[length] = '\0';
    reply->type = task->type == REDIS_REPLY_ERROR    ? LS_REPLY_ERROR
                  : task->type == REDIS_REPLY_STATUS ? LS_REPLY_STATUS
                                                     : LS_REPLY_STRING;
    reply->text = copy;
    reply->length = length;
    return reply;
}

static void *create_array(const redisReadTask *task, element_count count)
{
    struct ls_reply *reply = place(task);

    if (!reply || (size_t)count > MAX_ELEMENTS)
        return NULL;
    reply->type = LS_REPLY_ARRAY;
    reply->count = (size_t)count;
    reply->items = NULL;
    if (count > 0) {
        struct ls_reply *items = arena(task->privdata, (size_t)count * sizeof(*items));
        if (!items)
            return NULL;
        reply->items = items;
    }
    return reply;
}

static void *create_integer(const redisReadTask *task, long long value)
{
    struct ls_reply *reply = place(task);

    if (!reply)
        return NULL;
    reply->type = LS_REPLY_INTEGER;
    reply->length = 0;
    reply->integer = value;
    return reply;
}

static void *create_nil(const redisReadTask *task)
{
    struct ls_reply *reply = place(task);

    if (!reply)
        return NULL;
    *reply = (struct ls_reply){.type = LS_REPLY_NIL};
    return reply;
}

static void free_object(void *object)
{
    /* The arena frees. */
}

static redisReplyObjectFunctions functions = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = create_integer,
    .createNil = create_nil,
    .freeObject = free_object,
};

/* -------- the reader -------- */

struct ls_reply_reader *ls_reply_reader_new(void)
{
    struct ls_reply_reader *reader = LS_NEW(struct ls_reply_reader);

    reader->reader = redisReaderCreateWithFunctions(&functions);
    ls_assert(reader->reader);
    reader->reader->privdata = reader;
    reader->reader->maxbuf = KEEP_BYTES;
    return reader;
}

void ls_reply_reader_free(struct ls_reply_reader *reader)
{
    if (!reader)
        return;
    redisReaderFree(reader->reader);
    while (reader->chunks) {
        struct chunk *next = reader->chunks->next;
        free(reader->chunks);
        reader->chunks = next;
    }
    free(reader);
}

void ls_reply_reader_feed(struct ls_reply_reader *reader, const char *bytes, size_t length)
{
    /* Its only failures are out of memory and an earlier protocol error; next tells both. */
    redisReaderFeed(reader->reader, bytes, length);
}

int ls_reply_reader_next(struct ls_reply_reader *reader, const struct ls_reply **reply,
                         struct ls_err *err)
{
    void *object = NULL;

    if (reader->stale) {
        arena_reset(reader);
        reader->stale = false;
    }
    if (redisReaderGetReply(reader->reader, &object) != REDIS_OK)
        return ls_fail(err, LS_E_LOST, "it sent something that is not the protocol of redis: %s",
                       reader->reader->errstr);
    if (!object)
        return 0;
    reader->stale = true;
    *reply = object;
    return 1;
}

/* -------- reading replies -------- */

bool ls_reply_is(const struct ls_reply *reply, const char *text)
{
    return reply && (reply->type == LS_REPLY_STRING || reply->type == LS_REPLY_STATUS) &&
           ls_span_is((struct ls_span){reply->text, reply->length}, text);
}

struct ls_span ls_reply_span(const struct ls_reply *reply)
{
    if (!reply || (reply->type != LS_REPLY_STRING && reply->type != LS_REPLY_STATUS))
        return (struct ls_span){0};
    return (struct ls_span){reply->text, reply->length};
}

int64_t ls_reply_int(const struct ls_reply *reply, int64_t fallback)
{
    bool negative;
    uint64_t value = 0;
    size_t i;

    if (!reply)
        return fallback;
    if (reply->type == LS_REPLY_INTEGER)
        return reply->integer;
    if ((reply->type != LS_REPLY_STRING && reply->type != LS_REPLY_STATUS) || reply->length == 0 ||
        reply->length > 19)
        return fallback;
    negative = reply->text[0] == '-';
    if (negative && reply->length == 1)
        return fallback;
    for (i = negative; i < reply->length; i++) {
        if (reply->text[i] < '0' || reply->text[i] > '9')
            return fallback;
        value = value * 10 + (uint64_t)(reply->text[i] - '0');
    }
    if (value > INT64_MAX)
        return fallback;
    return negative ? -(int64_t)value : (int64_t)value;
}

const struct ls_reply *ls_reply_item(const struct ls_reply *reply, size_t i)
{
    if (!reply || reply->type != LS_REPLY_ARRAY || i >= reply->count)
        return NULL;
    return &reply->items[i];
}

int ls_reply_fail(const struct ls_reply *reply, struct ls_err *err)
{
    static const struct {
        const char *word;
        enum ls_err_code code;
        const char *hint;
    } known[] = {
        {"READONLY", LS_E_TRANSIENT, "this is a replica: give the address of the master"},
        {"LOADING", LS_E_TRANSIENT, "redis is reading its data from disk: wait"},
        {"BUSY", LS_E_TRANSIENT, NULL},
        {"TRYAGAIN", LS_E_TRANSIENT, NULL},
        {"CLUSTERDOWN", LS_E_TRANSIENT, NULL},
        {"MASTERDOWN", LS_E_TRANSIENT, NULL},
        {"UNBLOCKED", LS_E_TRANSIENT, NULL},
        {"NOREPLICAS", LS_E_TRANSIENT, "redis wants more replicas (min-replicas-to-write)"},
        {"OOM", LS_E_TRANSIENT, "redis is at its maxmemory: raise it or drain the queue"},
        {"MISCONF", LS_E_TRANSIENT, "redis cannot write to its disk: look into its log"},
        {"NOAUTH", LS_E_AUTH, "redis wants a password: redis://:PASSWORD@HOST:PORT"},
        {"WRONGPASS", LS_E_AUTH, "check user and password of the redis address"},
        {"NOPERM", LS_E_AUTH, "the redis user lacks a permission (ACL)"},
    };
    size_t i, word = 0;

    while (word < reply->length && reply->text[word] != ' ')
        word++;
    for (i = 0; i < LS_COUNT(known); i++)
        if (strlen(known[i].word) == word && memcmp(known[i].word, reply->text, word) == 0)
            break;
    ls_fail(err, i < LS_COUNT(known) ? known[i].code : LS_E_REDIS, "redis answered '%.*s'",
            (int)(reply->length > 300 ? 300 : reply->length), reply->text);
    if (err) {
        size_t size = word < sizeof(err->reason) ? word : sizeof(err->reason) - 1;
        memcpy(err->reason, reply->text, size);
        err->reason[size] = '\0';
        if (i < LS_COUNT(known) && known[i].hint)
            ls_hint(err, "%s", known[i].hint);
    }
    return -1;
}
