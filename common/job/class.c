#include "common/job/class.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

static const struct ls_class_policy policies[LS_CLASS_COUNT] = {
    [LS_CLASS_TRANSIENT] = {"transient", .counts_attempt = true, .ages = true},
    [LS_CLASS_THROTTLED] = {"throttled", .parks_account = true},
    [LS_CLASS_STORE] = {"store"},
    [LS_CLASS_CONFLICT] = {"conflict", .counts_attempt = true, .ages = true},
    [LS_CLASS_AUTH] = {"auth", .parks_account = true},
    [LS_CLASS_PERMANENT] = {"permanent", .counts_attempt = true, .dead_at_once = true},
    [LS_CLASS_UNKNOWN] = {"unknown", .counts_attempt = true, .ages = true},
    [LS_CLASS_CRASH] = {"crash"},
    [LS_CLASS_MALFORMED] = {"malformed", .dead_at_once = true},
    [LS_CLASS_CANCELLED] = {"cancelled"},
};

enum ls_class ls_class_of(const struct ls_err *err)
{
    switch (err->code) {
    case LS_E_THROTTLED:
        return LS_CLASS_THROTTLED;
    case LS_E_STORE:
        return LS_CLASS_STORE;
    case LS_E_CONFLICT:
        return LS_CLASS_CONFLICT;
    case LS_E_AUTH:
        return LS_CLASS_AUTH;
    case LS_E_LOST:
        return LS_CLASS_UNKNOWN;
    case LS_E_FENCED:
    case LS_E_CANCELLED:
        return LS_CLASS_CANCELLED;
    case LS_E_USAGE:
    case LS_E_CONFIG:
    case LS_E_PERMANENT:
    case LS_E_NOT_FOUND:
    case LS_E_EXISTS:
    case LS_E_INVALID:
    case LS_E_TOO_BIG:
    case LS_E_UNSUPPORTED:
        return LS_CLASS_PERMANENT;
    case LS_E_NONE:
    case LS_E_SYSTEM:
    case LS_E_NETWORK:
    case LS_E_TIMEOUT:
    case LS_E_REDIS:
    case LS_E_TRANSIENT:
    case LS_E_CORRUPT:
        break;
    }
    return LS_CLASS_TRANSIENT;
}

const char *ls_failure_code(char out[LS_CODE_SIZE], const struct ls_err *err)
{
    const char *colon = strrchr(err->reason, ':');
    size_t length = strlen(err->reason);

    if (colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1))
        length = (size_t)(colon - err->reason);
    if (length)
        snprintf(out, LS_CODE_SIZE, "%.*s", (int)length, err->reason);
    else if (err->http_status)
        snprintf(out, LS_CODE_SIZE, "http-%d", err->http_status);
    else
        snprintf(out, LS_CODE_SIZE, "%s", ls_err_name(err->code));
    return out;
}

const struct ls_class_policy *ls_class_policy(enum ls_class klass)
{
    ls_assert((size_t)klass < LS_COUNT(policies));
    return &policies[klass];
}

const char *ls_class_name(enum ls_class klass)
{
    return ls_class_policy(klass)->name;
}
