#include "worker/master/user.h"

#include <grp.h>
#include <pwd.h>
#include <sys/types.h>
#include <unistd.h>

#include "common/base/log.h"

int ls_user_drop(const char *user, struct ls_err *err)
{
    struct passwd *entry;

    if (!user) {
        if (geteuid() == 0)
            ls_log(LS_LOG_WARN, "pool.root",
                   "running as root: set 'user' in the configuration, or start as another user");
        return 0;
    }
    entry = getpwnam(user);
    if (!entry)
        return ls_fail(err, LS_E_CONFIG, "there is no user '%s'", user);
    if (geteuid() == entry->pw_uid)
        return 0;
    if (geteuid() != 0) {
        ls_fail(err, LS_E_CONFIG, "cannot become user '%s': not started as root", user);
        return ls_hint(err, "start as that user, or remove 'user' from the configuration");
    }
    if (initgroups(user, entry->pw_gid) < 0 || setgid(entry->pw_gid) < 0 ||
        setuid(entry->pw_uid) < 0)
        return ls_fail_errno(err, "cannot become user '%s'", user);
    return 0;
}
