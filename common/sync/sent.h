/* What a write of ours sent, in 32 characters: 16 hex digits that say which fields, 16 of a hash over their values. Stored with each
 * operation, it answers two questions about the remote's present values: did an unanswered write take effect, and is a surprising
 * value no edit at all but the late write of a worker that had lost its claim?
 *
 * A hash over the whole record could not answer them: the remote may have changed another field meanwhile, and a record whose pull was
 * still to be committed would look as if its remote edits were ours. */
#ifndef LS_SYNC_SENT_H
#define LS_SYNC_SENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/record/record.h"

/* Of the fields of record that are not MISSING. */
void ls_sent_hash(const struct ls_mapping *mapping, const struct ls_record *record,
                  char out[LS_RECORD_HASH_SIZE]);
/* The fields (bit i: field i) that hold exactly what was sent; 0 unless all of them do. */
uint64_t ls_sent_match(const struct ls_mapping *mapping, const char *sent,
                       const struct ls_record *remote);

/* The same when some of the fields may have been changed since, on one side each: own, the fields that the remote still holds as sent;
 * held, those that the local record holds as sent and the remote does not. false: not to be explained so. That a field is held says
 * nothing about whether the write took effect: an untouched local record explains every operation. Tries at most 1,024 combinations. */
bool ls_sent_explain(const struct ls_mapping *mapping, const char *sent,
                     const struct ls_record *local, const struct ls_record *remote, uint64_t *own,
                     uint64_t *held);

#endif
