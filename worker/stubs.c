/* Roles that this build leaves out: they say so and end for good, so that the master does not try
 * again. */
#include "worker/main.h"

#include "common/base/log.h"

#if !defined(LOCKSTEP_WITH_SQLITE) || !defined(LOCKSTEP_WITH_ADMIN)
static int left_out(const struct ls_role_context *context)
{
    ls_log(LS_LOG_ERROR, "role.left_out", "this build has no role '%s'", context->role);
    return LS_EXIT_FATAL;
}
#endif

#ifndef LOCKSTEP_WITH_SQLITE
int ls_relay_main(const struct ls_role_context *context)
{
    return left_out(context);
}
#endif

#ifndef LOCKSTEP_WITH_ADMIN
int ls_admin_main(const struct ls_role_context *context)
{
    return left_out(context);
}
#endif
