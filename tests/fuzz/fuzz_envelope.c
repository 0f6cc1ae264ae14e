/* The envelope codec on any bytes: what is accepted must be written canonically, and the canonical
 * form must be accepted, be canonical and be its own canonical form. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/job/attempts.h"
#include "common/job/dead.h"
#include "common/job/envelope.h"
#include "common/job/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void letters(const uint8_t *bytes, size_t length)
{
    struct ls_dead dead = {.job = {(const char *)bytes, length}, .failed_at = 1763859600000};
    struct ls_dead read;
    struct ls_buf text = {0};

    ls_dead_write(&text, &dead);
    ls_assert(ls_dead_parse(&read, text.data, text.length, NULL) == 0);
    ls_assert(ls_span_equal(read.job, dead.job));
    ls_dead_fini(&read);
    ls_buf_fini(&text);
    if (ls_dead_parse(&read, bytes, length, NULL) == 0)
        ls_dead_fini(&read);
}

/* One attempt more: still an envelope, no bigger than it may be unless it was before, and readable. */
static void attempts(struct ls_envelope *envelope, size_t before)
{
    const struct ls_attempt attempt = {
        .at_ms = 1763859600000, .klass = LS_SPAN("transient"), .error = LS_SPAN("it \"broke\"")};
    struct ls_attempt read[LS_ATTEMPTS_MAX];
    struct ls_buf history = {0}, text = {0}, texts = {0};
    struct ls_envelope again;

    ls_attempts_note(&history, envelope, &attempt);
    ls_envelope_write(&text, envelope);
    ls_assert(text.length <= LS_ENVELOPE_MAX || text.length <= before);
    if (text.length <= LS_ENVELOPE_MAX + LS_ENVELOPE_GROWTH) {
        ls_assert(ls_envelope_scan(&again, text.data, text.length, NULL) == 0);
        ls_assert(again.canonical);
        ls_envelope_fini(&again);
    }
    if (envelope->history.length)
        ls_assert(ls_attempts_parse(envelope->history, read, &texts) > 0);
    ls_buf_fini(&history);
    ls_buf_fini(&text);
    ls_buf_fini(&texts);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct ls_envelope envelope, again;
    struct ls_buf first = {0}, second = {0};

    if (ls_envelope_scan(&envelope, bytes, length, NULL) == 0) {
        ls_assert(ls_json_valid(bytes, length, LS_ENVELOPE_DEPTH));
        if (!envelope.id.length)
            envelope.id = LS_SPAN("1");
        ls_envelope_write(&first, &envelope);
        if (first.length <= LS_ENVELOPE_MAX + LS_ENVELOPE_GROWTH) {
            ls_assert(ls_envelope_scan(&again, first.data, first.length, NULL) == 0);
            ls_assert(again.canonical);
            ls_envelope_write(&second, &again);
            ls_assert(first.length == second.length);
            ls_assert(memcmp(first.data, second.data, first.length) == 0);
            ls_envelope_fini(&again);
        }
        attempts(&envelope, first.length);
    }
    ls_envelope_fini(&envelope);
    if (length <= LS_ENVELOPE_MAX + LS_ENVELOPE_GROWTH)
        letters(bytes, length);
    ls_buf_fini(&first);
    ls_buf_fini(&second);
    return 0;
}
