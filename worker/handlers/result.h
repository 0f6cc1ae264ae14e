/* What lockstep's own kinds keep as a result: never more than a result may be. */
#ifndef LS_HANDLERS_RESULT_H
#define LS_HANDLERS_RESULT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"

#define LS_RESULT_TEXT_MAX ((size_t)60 * 1024) /* of a text in it, as it is written */

/* Append text as a JSON string of at most room bytes, quotes included. False: only its beginning. */
bool ls_result_text(struct ls_buf *out, const char *text, size_t length, size_t room);

#endif
