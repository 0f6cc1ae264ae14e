/* Leaving root. */
#ifndef LS_MASTER_USER_H
#define LS_MASTER_USER_H

#include "common/base/err.h"

/* As root: become `user` (with its groups) for good; NULL only warns. Not as root: nothing, unless
 * `user` is somebody else. */
int ls_user_drop(const char *user, struct ls_err *err);

#endif
