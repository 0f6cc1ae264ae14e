/* What the parsers share. */
#ifndef LS_QUEUE_INTERNAL_H
#define LS_QUEUE_INTERNAL_H

#include "common/base/err.h"
#include "common/redis/reply.h"

/* A reply of ours is an array that begins with a word. NULL, with *err filled, when it is not: a
 * Redis error (ls_reply_fail) or fewer than `least` items. */
const char *ls_queue_word(const struct ls_reply *reply, size_t least, const char *script,
                          struct ls_err *err);
/* The word is none that script answers. Returns -1. */
int ls_queue_unexpected(const char *word, const char *script, struct ls_err *err);
/* Item i as an integer. */
int64_t ls_queue_int(const struct ls_reply *reply, size_t i);
/* Items from `from` on, as claims of `width` items. */
struct ls_claims;
void ls_queue_claims(const struct ls_reply *reply, size_t from, size_t width,
                     struct ls_claims *claims);

#endif
