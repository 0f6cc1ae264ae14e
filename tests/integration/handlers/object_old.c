/* Built for a binary interface that is not this one's. */
#include <lockstep/handler.h>

static int nothing(struct lockstep_run *run, void *self)
{
    return 0;
}

const struct lockstep_handler lockstep_handlers[] = {
    {LOCKSTEP_HANDLER_ABI + 1, sizeof(struct lockstep_handler), "t-old", nothing, 0, 0, 0, 0, 0},
    LOCKSTEP_HANDLERS_END};
