/* lockstep backfill: list everything once more and follow it. */
#include <string.h>

#include "common/base/mem.h"
#include "producer/cli/looker.h"

static int backfill(struct ls_looker *looker, const struct ls_sync *sync, bool detach,
                    struct ls_err *err)
{
    struct ls_buf data = {0};
    int64_t newest = ls_looker_newest_run(looker, sync, err);
    int result;

    if (newest < 0)
        return -1;
    ls_buf_puts(&data, "{\"sync\":");
    ls_buf_json_string(&data, sync->mapping->sync, strlen(sync->mapping->sync));
    ls_buf_putc(&data, '}');
    result = ls_looker_push(looker->cli, sync, "backfill", NULL, data.data, err);
    ls_buf_fini(&data);
    if (result < 0 || detach)
        return result;
    return ls_looker_follow(looker, sync, "backfill", newest, err);
}

static int run(struct ls_cli *cli, int argc, char **argv)
{
    bool detach = false;
    const struct ls_cli_option options[] = {{"detach", NULL, &detach}, {0}};
    struct ls_err err = LS_ERR_INIT;
    struct ls_looker looker;
    struct ls_sync *sync = NULL;
    int code;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    if (argc != 1)
        return ls_cli_misused(cli, argc ? "one sync at a time" : "of which sync?");
    code = LS_EXIT_OK;
    if (ls_looker_open(&looker, cli, argv[0], false, &err) == 0)
        sync = ls_looker_sync(&looker, argv[0], &err);
    if (!sync || backfill(&looker, sync, detach, &err) < 0)
        code = ls_cli_failed(cli, &err);
    ls_looker_close(&looker);
    return code;
}

const struct ls_command ls_command_backfill = {
    "backfill", "list everything on both sides, link what is equal, sync the rest",
    "usage: lockstep backfill NAME [--detach]\n"
    "\n"
    "Queues the job and follows it with a progress bar (--detach: does not). An interrupted\n"
    "backfill goes on where it was.\n",
    run};
