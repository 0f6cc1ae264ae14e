#include "worker/main.h"

#include "common/base/log.h"

int main(int argc, char **argv)
{
    struct ls_role_context context = {.role = "runner", .control_fd = -1, .standalone = true};

    return ls_runner_main(&context);
}
