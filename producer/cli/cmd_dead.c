/* lockstep dead: what has failed for good, and what becomes of it. */
#include <string.h>

#include "common/base/mem.h"
#include "producer/cli/dead.h"

static int run_verb(struct ls_cli *cli, struct dead_words *words, const struct ls_keys *keys,
                    int argc, char **argv);

static int run(struct ls_cli *cli, int argc, char **argv)
{
    struct dead_words words = {0};
    const struct ls_cli_option options[] = {
        {"queue", &words.queue, NULL},     {"group", &words.group, NULL},
        {"id", .list = &words.ids},        {"kind", &words.kind, NULL},
        {"account", &words.account, NULL}, {"class", &words.klass, NULL},
        {"since", &words.since, NULL},     {"limit", &words.limit, NULL},
        {"rate", &words.rate, NULL},       {"reason", &words.reason, NULL},
        {"from", &words.from, NULL},       {"all", NULL, &words.all},
        {"raw", NULL, &words.raw},         {"dry-run", NULL, &words.dry_run},
        {"retry", NULL, &words.retry},     {0}};
    struct ls_err err = LS_ERR_INIT;
    struct ls_keys keys = {0};
    int code;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        goto done;
    if (ls_keys_init(&keys, words.queue ? words.queue : "default", &err) < 0)
        code = ls_cli_failed(cli, &err);
    else
        code = run_verb(cli, &words, &keys, argc, argv);
done:
    ls_keys_fini(&keys);
    free(words.ids.texts);
    return code;
}

/* Which options a verb takes besides those that say which letters: the others would be overlooked in
 * silence. */
static const char *misplaced(const struct dead_words *words, const char *verb)
{
    const struct {
        bool given;
        const char *option, *verbs;
    } rows[] = {
        {words->rate, "--rate", " retry "},
        {words->reason, "--reason", " discard "},
        {words->dry_run, "--dry-run", " retry discard "},
        {words->raw, "--raw", " show "},
        {words->retry, "--retry", " import "},
        {words->from, "--from", " import "},
        {words->all, "--all", " retry discard export "},
        {words->group, "--group", " list retry discard export "},
        {words->kind, "--kind", " list retry discard export "},
        {words->account, "--account", " list retry discard export "},
        {words->klass, "--class", " list retry discard export "},
        {words->since, "--since", " list retry discard export "},
        {words->limit, "--limit", " list discarded retry discard export "},
        {words->ids.count > 0, "--id", " show retry discard export "},
    };
    char padded[32];

    snprintf(padded, sizeof padded, " %.20s ", verb);
    for (size_t i = 0; i < LS_COUNT(rows); i++)
        if (rows[i].given && !strstr(rows[i].verbs, padded))
            return rows[i].option;
    return NULL;
}

static int run_verb(struct ls_cli *cli, struct dead_words *words, const struct ls_keys *keys,
                    int argc, char **argv)
{
    static const char *const verbs[] = {"list",  "groups",  "discarded", "show",
                                        "retry", "discard", "export",    "import"};
    const char *verb = argc ? argv[0] : "list", *option;
    size_t known = 0;

    while (known < LS_COUNT(verbs) && strcmp(verbs[known], verb) != 0)
        known++;
    if (known == LS_COUNT(verbs))
        return ls_cli_misused(cli, "unknown word '%s'", verb);
    option = misplaced(words, verb);
    if (option)
        return ls_cli_misused(cli, "'%s' says nothing to 'dead %s'", option, verb);
    if (strcmp(verb, "import") == 0) {
        if (argc != 2)
            return ls_cli_misused(cli, "which file? '-' is standard input");
        return dead_import(cli, words, keys, argv[1]);
    }
    if (argc > 1 && known < 3)
        return ls_cli_misused(cli, "unknown word '%s'", argv[1]);
    for (int i = 1; i < argc; i++)
        ls_cli_list_add(&words->ids, argv[i]);
    if (strcmp(verb, "list") == 0)
        return dead_list(cli, words, keys);
    if (strcmp(verb, "groups") == 0)
        return dead_groups(cli, keys);
    if (strcmp(verb, "discarded") == 0)
        return dead_discarded(cli, words, keys);
    if (strcmp(verb, "show") == 0)
        return dead_show(cli, words, keys);
    if (strcmp(verb, "export") == 0)
        return dead_export(cli, words, keys);
    return dead_move(cli, words, keys, strcmp(verb, "retry") == 0);
}

const struct ls_command ls_command_dead = {
    "dead", "what has failed for good: look, retry, discard",
    "usage: lockstep dead list [WHICH] [--limit N]\n"
    "       lockstep dead groups\n"
    "       lockstep dead show ID|NO [--raw]\n"
    "       lockstep dead retry   ID...|WHICH [--rate 50/s] [--dry-run]\n"
    "       lockstep dead discard ID...|WHICH --reason TEXT [--dry-run]\n"
    "       lockstep dead discarded [--limit N]\n"
    "       lockstep dead export  ID...|WHICH > FILE\n"
    "       lockstep dead import FILE|- [--retry] [--from LINE]\n\n"
    "WHICH is --all, --group G, or any of these, which narrow every choice:\n"
    "  --kind K --account A --class C   what the letter says\n"
    "  --since 2h                       died within that time\n"
    "  --limit N                        at most so many, the oldest first\n"
    "All take --queue Q. NO is the position that 'list' shows, 0 the newest.\n\n"
    "A retried job begins anew: attempts, age and history count from zero. Moves go from the\n"
    "oldest to the newest and touch only what was there when they began; Ctrl-C ends them "
    "cleanly.\n"
    "'export' writes a letter a line, 'import' puts them back (those that lie there already are\n"
    "skipped) or, with --retry, pushes their jobs. --raw gives exactly the bytes that were "
    "pushed.\n",
    run};
