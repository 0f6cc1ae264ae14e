/* Functions that lockstep never calls: unbounded or locale-dependent. Included by ./dev lint's check, which greps for the names. */
#ifndef LS_BASE_BANNED_H
#define LS_BASE_BANNED_H

#pragma GCC poison strcpy strcat sprintf vsprintf gets strtok atoi atol atoll system popen mktemp \
    tmpnam

#endif
