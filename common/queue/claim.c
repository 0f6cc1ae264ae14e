#include "common/queue/claim.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/queue/queue_internal.h"

const char *ls_queue_word(const struct ls_reply *reply, size_t least, const char *script,
                          struct ls_err *err)
{
    struct ls_span word;

    if (reply && reply->type == LS_REPLY_ERROR) {
        ls_reply_fail(reply, err);
        return NULL;
    }
    word = ls_reply_span(reply && reply->type == LS_REPLY_ARRAY ? ls_reply_item(reply, 0) : NULL);
    if (!word.length) {
        ls_fail(err, LS_E_REDIS, "redis answered '%s' with something unknown", script);
        return NULL;
    }
    if (strcmp(word.data, "OK") == 0 && reply->count < least) {
        ls_fail(err, LS_E_REDIS, "redis answered '%s' with %zu values, not %zu", script,
                reply->count, least);
        return NULL;
    }
    return word.data;
}

int ls_queue_unexpected(const char *word, const char *script, struct ls_err *err)
{
    return ls_fail(err, LS_E_REDIS, "redis answered '%s' with '%.32s'", script, word);
}

int64_t ls_queue_int(const struct ls_reply *reply, size_t i)
{
    const struct ls_reply *item = ls_reply_item(reply, i);

    return item ? ls_reply_int(item, 0) : 0;
}

void ls_queue_claims(const struct ls_reply *reply, size_t from, size_t width,
                     struct ls_claims *claims)
{
    *claims = (struct ls_claims){.width = width};
    if (reply->count <= from)
        return;
    claims->items = reply->items + from;
    claims->count = (reply->count - from) / width;
}

static int64_t digits(const char *text, size_t length)
{
    int64_t value = 0;

    for (size_t i = 0; i < length && i < 18 && text[i] >= '0' && text[i] <= '9'; i++)
        value = value * 10 + (text[i] - '0');
    return value;
}

struct ls_claim ls_claims_at(const struct ls_claims *claims, size_t i)
{
    const struct ls_reply *item = &claims->items[i * claims->width];
    struct ls_span fence = ls_reply_span(item);
    struct ls_claim claim = {.envelope = ls_reply_span(item + 1)};

    ls_assert(i < claims->count);
    if (fence.length && fence.data[0] == '@') {
        claim.keyed = true;
        fence.data++;
        fence.length--;
    }
    claim.fence = digits(fence.data, fence.length);
    if (claims->width > 2) {
        struct ls_span was = ls_reply_span(item + 2);

        claim.was = digits(was.data, was.length);
    }
    return claim;
}
