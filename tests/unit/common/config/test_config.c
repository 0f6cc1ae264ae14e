#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/config/config.h"
#include "common/config/value.h"
#include "common/config/yaml.h"

static struct ls_config *parse(const char *text, struct ls_err *err)
{
    *err = (struct ls_err)LS_ERR_INIT;
    return ls_config_parse(text, strlen(text), "f.yaml", "/app", err);
}

static struct ls_config *must_parse(const char *text)
{
    struct ls_err err;
    struct ls_config *config = parse(text, &err);

    if (!config)
        fail_msg("%s (%s)", err.text, err.hint);
    return config;
}

/* text must fail with exactly this message; hint NULL: any */
static void must_fail(const char *text, const char *message, const char *hint)
{
    struct ls_err err;
    struct ls_config *config = parse(text, &err);

    assert_null(config);
    assert_int_equal(err.code, LS_E_CONFIG);
    assert_string_equal(err.text, message);
    if (hint)
        assert_string_equal(err.hint, hint);
}

static void config__empty_file__is_a_working_queue(void **state)
{
    struct ls_config *config = must_parse("# nothing\n");

    assert_string_equal(config->state_dir, "/app/lockstep-state");
    assert_string_equal(config->redis, "embedded");
    assert_string_equal(ls_config_redis_url(config), "unix:///app/lockstep-state/redis.sock");
    assert_null(config->store);
    assert_string_equal(config->log, "stderr");
    assert_int_equal(config->runners, 2);
    assert_int_equal(config->lease_ms, 15000);
    assert_int_equal(config->beat_ms, 5000);
    assert_int_equal(config->watchdog_ms, 10000);
    assert_int_equal(config->platform_timeout_ms, 30000);
    assert_int_equal(config->queue_count, 1);
    assert_string_equal(config->queues[0].name, "default");
    assert_int_equal(config->queues[0].concurrency, 64);
    assert_int_equal(config->queues[0].max_attempts, 0);
    assert_int_equal(config->queues[0].max_age_ms, 6 * 3600 * 1000);
    assert_int_equal(config->queues[0].backoff.base_ms, 2000);
    assert_true(config->queues[0].backoff.factor == 2);
    assert_int_equal(config->queues[0].backoff.cap_ms, 600000);
    assert_int_equal(config->queues[0].backoff.jitter, LS_CONFIG_JITTER_FULL);
    assert_true(config->rules.error_rate > 0.0999 && config->rules.error_rate < 0.1001);
    assert_int_equal(config->rules.slow_ms, 5000);
    assert_int_equal(config->rules.stale_ms, 3600000);
    assert_false(config->admin.enabled);
    ls_config_free(config);
}

static void config__the_example_of_the_design__is_read_whole(void **state)
{
    static const char text[] =
        "state_dir: ./state\n"
        "redis: redis://:pw@10.0.0.5:6379/1\n"
        "store: sqlite:shop.db\n"
        "runners: 4\n"
        "log: file:/var/log/lockstep/sync.log\n"
        "queues:\n"
        "  default: {concurrency: 64, max_age: 6h, backoff: {type: exponential, base: 2s, "
        "factor: 2, cap: 10m, jitter: full}}\n"
        "  slow: {max_attempts: 5, backoff: {type: fixed, base: 2000ms, jitter: none}}\n"
        "accounts:\n"
        "  shop-eu: {platform: woocommerce, url: https://shop.example/, consumer_key: ${LS_T_KEY}, "
        "consumer_secret: ${LS_T_KEY}, webhook_secret: x${LS_T_KEY}y, rate: 600/m, burst: 20, "
        "queue: slow}\n"
        "syncs:\n"
        "  products:\n"
        "    account: shop-eu\n"
        "    entity: product\n"
        "    table: products\n"
        "    id: id\n"
        "    mode: hybrid\n"
        "    every: 5m\n"
        "    policy: fields\n"
        "    fields:\n"
        "      name:        {remote: name, owner: merge}\n"
        "      price:       {remote: regular_price, type: money, owner: local, check: \">= 0\", "
        "critical: true}\n"
        "      inventory:   {remote: stock_quantity, type: integer, owner: remote}\n"
        "      description: {remote: description, type: html, owner: merge}\n"
        "      sku:\n"
        "alerts:\n"
        "  - {to: \"https://hooks.example/x\", format: slack}\n"
        "  - {exec: /usr/local/bin/page}\n"
        "  - {exec: [/bin/mail, -s, alert]}\n"
        "alert_rules: {error_rate: 25%, cooldown: 1h30m}\n"
        "admin: {listen: '127.0.0.1:0', token: ${LS_T_KEY}}\n"
        "exec: {allow: [/bin/true, cat]}\n";
    const struct ls_config_account *account;
    const struct ls_config_sync *sync;
    struct ls_config *config;

    setenv("LS_T_KEY", "ck_1", 1);
    config = must_parse(text);
    assert_string_equal(config->store, "sqlite:/app/shop.db");
    assert_string_equal(ls_config_redis_url(config), "redis://:pw@10.0.0.5:6379/1");
    assert_string_equal(config->log, "file:/var/log/lockstep/sync.log");
    assert_int_equal(ls_config_queue_find(config, "slow")->max_attempts, 5);
    assert_int_equal(ls_config_queue_find(config, "slow")->backoff.type, LS_CONFIG_BACKOFF_FIXED);
    account = ls_config_account_find(config, "shop-eu");
    assert_string_equal(account->url, "https://shop.example");
    assert_string_equal(account->consumer_key, "ck_1");
    assert_string_equal(account->webhook_secret, "xck_1y");
    assert_true(account->rate == 10);
    assert_int_equal(account->timeout_ms, 30000);
    sync = ls_config_sync_find(config, "products");
    assert_int_equal(sync->mode, LS_CONFIG_HYBRID);
    assert_int_equal(sync->every_ms, 300000);
    assert_int_equal(sync->batch, 100);
    assert_int_equal(sync->field_count, 5);
    assert_string_equal(ls_config_field_find(sync, "price")->remote, "regular_price");
    assert_string_equal(ls_config_field_find(sync, "price")->check, ">= 0");
    assert_true(ls_config_field_find(sync, "price")->critical);
    assert_string_equal(ls_config_field_find(sync, "sku")->column, "sku");
    assert_int_equal(ls_config_field_find(sync, "inventory")->owner, LS_CONFIG_OWNER_REMOTE);
    assert_false(sync->backoff.set);
    assert_int_equal(config->sink_count, 3);
    assert_int_equal(config->sinks[0].format, LS_CONFIG_FORMAT_SLACK);
    assert_string_equal(config->sinks[1].exec[0], "/usr/local/bin/page");
    assert_int_equal(config->sinks[2].exec_count, 3);
    assert_null(config->sinks[2].exec[3]);
    assert_true(config->rules.error_rate == 0.25);
    assert_true(config->admin.enabled);
    assert_string_equal(config->admin.host, "127.0.0.1");
    assert_int_equal(config->admin.port, 0);
    assert_int_equal(config->exec.allow_count, 2);
    ls_config_free(config);
}

static void config__every_mistake__is_named_with_line_and_column(void **state)
{
    must_fail("runners: 2\nrunrs: 3\n", "f.yaml:2:1: unknown key 'runrs'",
              "did you mean 'runners'?");
    must_fail("runners: 0\n", "f.yaml:1:10: 'runners' cannot be '0'", "from 1 to 256");
    must_fail("runners: -1\n", "f.yaml:1:10: 'runners' cannot be '-1'", "a whole number");
    must_fail("runners: [1]\n", "f.yaml:1:10: 'runners' must be one value, not a list", NULL);
    must_fail("runners: {a: 1}\n", "f.yaml:1:10: 'runners' must be one value, not keys and values",
              NULL);
    must_fail("lease: 15\n", "f.yaml:1:8: 'lease' cannot be '15'",
              "a duration with its unit: 250ms, 10s, 5m, 6h, 7d");
    must_fail("lease: 9s\nbeat: 5s\n", "f.yaml:2:7: 'beat' must be at most a third of 'lease'",
              NULL);
    must_fail("queues: 3\n", "f.yaml:1:9: 'queues' must be names with keys and values, not a text",
              NULL);
    must_fail("queues: {Bad: {}}\n", "f.yaml:1:10: 'Bad' is no name", NULL);
    must_fail("queues:\n  a: {backoff: {base: 20m}}\n",
              "f.yaml:2:16: 'base' of the backoff is longer than its 'cap'", NULL);
    must_fail("queues:\n  a: {backoff: {type: expo}}\n", "f.yaml:2:23: 'type' cannot be 'expo'",
              "one of exponential, fixed");
    must_fail("accounts:\n  s: {platform: woocommerce}\n", "f.yaml:2:6: 'url' is missing", NULL);
    must_fail("accounts:\n  s:\n", "f.yaml:2:3: 'platform' is missing (and 1 more)", NULL);
    must_fail("accounts:\n  s: {platform: wix, url: 'https://a'}\n",
              "f.yaml:2:17: 'platform' cannot be 'wix'", "one of woocommerce, wordpress");
    must_fail("accounts:\n  s: {platform: woocommerce, url: ftp://a}\n",
              "f.yaml:2:35: 'url' is no URL", "it begins with https:// or http://");
    must_fail("accounts:\n  s: {platform: woocommerce, url: https://a, queue: q}\n",
              "f.yaml:2:53: there is no queue 'q'", NULL);
    must_fail("accounts:\n  s: {platform: woocommerce, url: https://a, consumer_key: q}\n",
              "f.yaml:2:3: account 's' has only one of 'consumer_key' and 'consumer_secret'", NULL);
    must_fail("accounts:\n  s: {platform: woocommerce, url: https://a, rate: 10 per s}\n",
              "f.yaml:2:52: 'rate' cannot be '10 per s'", "a rate: 10/s, 600/m, 3600/h");
    must_fail("store: mysql://x\n", "f.yaml:1:8: 'store' is no address of a database", NULL);
    must_fail("redis: http://x\n", "f.yaml:1:8: 'redis' is no address of a Redis", NULL);
    must_fail("log: syslog\n", "f.yaml:1:6: 'log' cannot be 'syslog'", "stderr or file:PATH");
    must_fail("admin: {listen: 8420}\n", "f.yaml:1:17: 'listen' cannot be '8420'", NULL);
    must_fail("admin: {enabled: maybe}\n", "f.yaml:1:18: 'enabled' cannot be 'maybe'",
              "true or false");
    must_fail("alerts: [{format: json}]\n", "f.yaml:1:10: an alert sink has either 'to' or 'exec'",
              NULL);
    must_fail("alerts: [x]\n",
              "f.yaml:1:10: an entry of 'alerts' must be keys and values, not a text (and 1 more)",
              NULL);
    must_fail("runners: 1\nrunners: 2\n", "f.yaml:2:1: 'runners' stands twice", NULL);
    must_fail("- a\n", "f.yaml:1:1: the file must hold keys and values", NULL);
    must_fail("a\n", "f.yaml:1:1: the file must hold keys and values", NULL);
    must_fail("runners: 1\n---\nrunners: 2\n", "f.yaml:2:1: a second document begins here", NULL);
    must_fail("runners: !!int 1\n", "f.yaml:1:10: tags ('!...') have no meaning here", NULL);
    must_fail("a: [\n",
              "f.yaml:2:1: not valid YAML: did not find expected node content while "
              "parsing a flow node",
              NULL);
    must_fail("user: \"a\\0b\"\n", "f.yaml:1:7: a zero byte in a text", NULL);
}

static void config__references_of_a_sync__are_checked(void **state)
{
#define ACCOUNT "accounts: {shop: {platform: woocommerce, url: https://a}}\nstore: sqlite:x\n"
    must_fail(ACCOUNT "syncs:\n  p: {account: shup, table: t, fields: {a: {}}}\n",
              "f.yaml:4:16: there is no account 'shup'", "did you mean 'shop'?");
    must_fail(ACCOUNT "syncs:\n  p: {account: shop, table: t}\n", "f.yaml:4:6: 'fields' is missing",
              NULL);
    must_fail(ACCOUNT "syncs:\n  p: {account: shop, table: t, fields: {}}\n",
              "f.yaml:4:40: 'fields' is empty", NULL);
    must_fail(ACCOUNT "syncs:\n  p: {account: shop, table: t, policy: last_write_wins, "
                      "fields: {a: {}}}\n",
              "f.yaml:4:40: policy 'last_write_wins' needs 'updated_at'", NULL);
    must_fail(ACCOUNT "syncs:\n  p: {account: shop, table: t, fields: {a: {}, b: {column: a}}}\n",
              "f.yaml:4:3: fields 'a' and 'b' use the same column 'a'", NULL);
    must_fail(ACCOUNT "syncs:\n  p: &p {account: shop, table: t, fields: {a: {}}}\n  q: *p\n",
              "f.yaml:5:3: syncs 'p' and 'q' both keep 'product' of account 'shop'", NULL);
    must_fail("accounts: {shop: {platform: woocommerce, url: https://a}}\n"
              "syncs:\n  p: {account: shop, table: t, fields: {a: {}}}\n",
              "f.yaml:2:1: syncs need a 'store'", "store: sqlite:shop.db");
}

static void config__handlers__have_kinds_of_their_own(void **state)
{
    struct ls_config *config = must_parse(
        "handlers: {thumbnail: {library: ./t.so}, mail.send: {library: /x/m.so, timeout: "
        "0}}\nhandler_threads: 3\n");

    assert_int_equal(config->handler_count, 2);
    assert_string_equal(config->handlers[0].library, "/app/t.so");
    assert_int_equal(config->handlers[0].timeout_ms, 60000);
    assert_int_equal(config->handlers[1].timeout_ms, 0);
    assert_true(ls_config_kind_known(config, "mail.send", 9));
    assert_true(ls_config_kind_known(config, "http", 4));
    assert_false(ls_config_kind_known(config, "mail", 4));
    ls_config_free(config);
    must_fail("handlers:\n  http: {library: ./t.so}\n",
              "f.yaml:2:3: 'http' is a kind of lockstep's own",
              "give the handler another name, and push jobs of that kind");
}

static void config__handlers__a_library_that_is_not_there_is_a_warning(void **state)
{
    struct ls_config_problem problems[4];
    struct ls_err err = LS_ERR_INIT;
    char path[] = "/tmp/ls-config-XXXXXX", *file = NULL;
    int fd = mkstemp(path), count;

    assert_true(write(fd, "handlers: {a: {library: /nonexistent/a.so}}\n", 44) == 44);
    close(fd);
    count = ls_config_check(path, problems, 4, &file, &err);
    unlink(path);
    free(file);
    assert_int_equal(count, 1);
    assert_true(problems[0].warning);
    assert_string_equal(problems[0].text,
                        "cannot read '/nonexistent/a.so': No such file or directory");
}

static void config__schedules__are_checked(void **state)
{
#define SCHEDULE "schedules:\n  s: "
#define SHOP \
    "accounts: {shop: {platform: woocommerce, url: https://a, queue: q}}\nqueues: {q: {}}\n"
    struct ls_config *config;
    struct ls_buf text = {0};
    struct ls_err err;

    config = must_parse(SHOP SCHEDULE "{cron: '0 3 * * mon', kind: noop, account: shop}\n"
                                      "  t: {every: 1s, kind: noop, queue: q, data: '[1]'}\n");
    assert_int_equal(config->schedule_count, 2);
    assert_string_equal(config->schedules[0].zone, "UTC");
    assert_int_equal(config->schedules[1].every_ms, 1000);
    ls_config_free(config);

    must_fail(SCHEDULE "{kind: noop}\n", "f.yaml:2:3: schedule 's' has neither 'cron' nor 'every'",
              "cron: '0 3 * * 1-5', or every: 5m");
    must_fail(SCHEDULE "{kind: noop, cron: '@daily', every: 5m}\n",
              "f.yaml:2:42: schedule 's' has both 'cron' and 'every'", NULL);
    must_fail(SCHEDULE "{kind: noop, every: -5m}\n", "f.yaml:2:26: 'every' cannot be '-5m'",
              "a duration with its unit: 250ms, 10s, 5m, 6h, 7d");
    must_fail(SCHEDULE "{kind: noop, every: 500ms}\n", "f.yaml:2:26: 'every' cannot be '500ms'",
              NULL);
    must_fail(SCHEDULE "{kind: noop, cron: '0 25 * * *'}\n", "f.yaml:2:25: the hour cannot be '25'",
              "0 to 23");
    must_fail(SCHEDULE "{kind: noop, cron: '0 0 30 2 *'}\n",
              "f.yaml:2:25: this schedule never fires", "none of its months has such a day");
    must_fail(SCHEDULE "{kind: noop, cron: '0 3 * *'}\n",
              "f.yaml:2:25: a cron expression has five fields, not 4", NULL);
    must_fail(SCHEDULE "{kind: noop, cron: '@daily', zone: ../x}\n",
              "f.yaml:2:41: '../x' is no name of a time zone", NULL);
    setenv("TZDIR", "/nowhere", 1);
    must_fail(SCHEDULE "{kind: noop, cron: '@daily', zone: Europe/Berlin}\n",
              "f.yaml:2:41: time zone 'Europe/Berlin' is not known: there is no tz "
              "database at '/nowhere'",
              "install the package tzdata, or set TZDIR; UTC works without");
    unsetenv("TZDIR");
    if (access("/usr/share/zoneinfo/Europe/Berlin", F_OK) == 0) {
        must_fail(SCHEDULE "{kind: noop, cron: '@daily', zone: Europe/Berlim}\n",
                  "f.yaml:2:41: there is no time zone 'Europe/Berlim'", NULL);
        config = must_parse(SCHEDULE "{kind: noop, cron: '@daily', zone: Europe/Berlin}\n");
        ls_config_free(config);
    }
    must_fail(SCHEDULE "{every: 5m}\n", "f.yaml:2:6: 'kind' is missing", NULL);
    must_fail(SCHEDULE "{every: 5m, kind: nop}\n", "f.yaml:2:24: unknown kind 'nop'",
              "did you mean 'noop'?");
    must_fail(SCHEDULE "{every: 5m, kind: mail}\n", "f.yaml:2:24: unknown kind 'mail'", NULL);
    config =
        must_parse("handlers: {mail: {library: ./mail.so}}\n" SCHEDULE "{every: 5m, kind: mail}\n");
    ls_config_free(config);
    must_fail(SHOP SCHEDULE "{every: 5m, kind: noop, account: shup}\n",
              "f.yaml:4:39: there is no account 'shup'", "did you mean 'shop'?");
    must_fail(SCHEDULE "{every: 5m, kind: noop, queue: z}\n", "f.yaml:2:37: there is no queue 'z'",
              NULL);
    must_fail(SHOP SCHEDULE "{every: 5m, kind: noop, account: shop, queue: default}\n",
              "f.yaml:4:52: account 'shop' belongs to queue 'q', not to 'default'",
              "leave 'queue' out");
    must_fail(SCHEDULE "{every: 5m, kind: noop, data: '{a: 1}'}\n",
              "f.yaml:2:36: 'data' is not valid JSON", NULL);
    must_fail(SCHEDULE "{every: 5m, kind: noop, key: 'a\"b'}\n",
              "f.yaml:2:35: 'key' has a character that is not allowed: 'a\"b'", NULL);
    ls_buf_puts(&text, SCHEDULE "{every: 5m, kind: noop, data: '\"");
    for (int i = 0; i < 65530; i++)
        ls_buf_putc(&text, 'x');
    ls_buf_puts(&text, "\"'}\n");
    assert_null(parse(text.data, &err)); /* the data alone would fit, the job does not */
    assert_non_null(strstr(err.text, "f.yaml:2:36: the job has 65"));
    ls_buf_fini(&text);
}

static void config__variables_and_files__are_inserted_and_never_shown(void **state)
{
    char dir[] = "/tmp/ls-config-XXXXXX";
    char path[64], text[256];
    struct ls_config *config;
    struct ls_err err;
    FILE *file;

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/secret", dir);
    file = fopen(path, "w");
    fputs("s3cret\n", file);
    fclose(file);
    snprintf(text, sizeof text,
             "http: {secret: ${file:%s}}\nuser: ${LS_T_NONE:-nobody}\nadmin: {token: '$${x}'}\n",
             path);
    config = must_parse(text);
    assert_string_equal(config->http.secret, "s3cret");
    assert_string_equal(config->user, "nobody");
    assert_string_equal(config->admin.token, "${x}");
    ls_config_free(config);

    unsetenv("LS_T_NONE");
    must_fail("user: ${LS_T_NONE}\n",
              "f.yaml:1:7: 'user': environment variable 'LS_T_NONE' is not set",
              "set it, or give a default with ${LS_T_NONE:-...}");
    must_fail("user: ${1-}\n", "f.yaml:1:7: 'user': '${1-}' names no environment variable", NULL);
    must_fail("user: ${X\n", "f.yaml:1:7: 'user': '${' without '}'", NULL);
    must_fail("http: {secret: ${file:none}}\n",
              "f.yaml:1:16: 'secret': cannot read file '/app/none': No such file or directory",
              NULL);
    setenv("LS_T_SECRET", "hunter2", 1);
    assert_null(parse("redis: ${LS_T_SECRET}\nlease: ${LS_T_SECRET}\nlog: ${LS_T_SECRET}\n", &err));
    assert_null(strstr(err.text, "hunter2"));
    assert_null(parse("lease: ${LS_T_SECRET}\n", &err));
    assert_string_equal(err.text, "f.yaml:1:8: 'lease' cannot be '${LS_T_SECRET}'");
    unlink(path);
    rmdir(dir);
}

static void config__aliases__are_shared_merged_and_bounded(void **state)
{
    struct ls_config *config =
        must_parse("queues:\n  default: &d {concurrency: 8, max_attempts: 5}\n"
                   "  slow: {<<: *d, concurrency: 1}\n  same: *d\n");
    struct ls_buf bomb = {0};
    struct ls_err err;

    assert_int_equal(ls_config_queue_find(config, "slow")->concurrency, 1);
    assert_int_equal(ls_config_queue_find(config, "slow")->max_attempts, 5);
    assert_int_equal(ls_config_queue_find(config, "same")->concurrency, 8);
    ls_config_free(config);
    must_fail("queues: &a {x: *a}\n", "f.yaml:1:16: an alias inside its own anchor", NULL);
    must_fail("queues: *a\n", "f.yaml:1:9: an alias without an anchor before it", NULL);

    /* a billion laughs: shared, so it only fails as the wrong kind of value */
    ls_buf_puts(&bomb, "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 30; i++) {
        ls_buf_printf(&bomb, "a%d: &a%d [", i, i);
        for (int n = 0; n < 9; n++)
            ls_buf_printf(&bomb, "%s*a%d", n ? "," : "", i - 1);
        ls_buf_puts(&bomb, "]\n");
    }
    ls_buf_puts(&bomb, "exec: {allow: *a29}\n");
    assert_null(parse(bomb.data, &err));
    ls_buf_clear(&bomb);
    for (int i = 0; i < 100; i++)
        ls_buf_puts(&bomb, "[");
    assert_null(parse(bomb.data, &err));
    assert_string_equal(err.text, "f.yaml:1:17: nested too deep");
    ls_buf_fini(&bomb);
}

static void config__environment__overrides_the_file(void **state)
{
    struct ls_config *config;
    struct ls_err err;

    setenv("LOCKSTEP_REDIS", "redis://other:1/0", 1);
    setenv("LOCKSTEP_STORE", "sqlite:/x/y.db", 1);
    setenv("LOCKSTEP_RUNNERS", "7", 1);
    config = must_parse("redis: embedded\nrunners: 1\n");
    assert_string_equal(ls_config_redis_url(config), "redis://other:1/0");
    assert_string_equal(config->store, "sqlite:/x/y.db");
    assert_int_equal(config->runners, 7);
    ls_config_free(config);
    setenv("LOCKSTEP_RUNNERS", "many", 1);
    assert_null(parse("runners: 1\n", &err));
    assert_string_equal(err.text, "LOCKSTEP_RUNNERS: 'runners' cannot be 'many'");
    unsetenv("LOCKSTEP_REDIS");
    unsetenv("LOCKSTEP_STORE");
    unsetenv("LOCKSTEP_RUNNERS");
}

static void config__long_state_dir__gets_a_short_socket(void **state)
{
    char text[256];
    struct ls_config *config;

    snprintf(text, sizeof text, "state_dir: /%0150d\n", 1);
    config = must_parse(text);
    assert_true(strlen(config->redis_socket) < 100);
    assert_memory_equal(config->redis_socket, "/tmp/lockstep-", 14);
    ls_config_free(config);
}

static void config__file__is_found_in_its_order(void **state)
{
    char dir[] = "/tmp/ls-config-XXXXXX", old[4096];
    struct ls_err err = LS_ERR_INIT;
    struct ls_config *config;
    char path[128];
    FILE *file;

    assert_non_null(getcwd(old, sizeof old));
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    unsetenv("LOCKSTEP_CONFIG");
    config = ls_config_load(NULL, &err);
    assert_non_null(config); /* no file at all */
    ls_config_free(config);
    file = fopen("lockstep.yaml", "w");
    fputs("runners: 9\nstore: sqlite:shop.db\n", file);
    fclose(file);
    config = ls_config_load(NULL, &err);
    assert_int_equal(config->runners, 9);
    snprintf(path, sizeof path, "sqlite:%s/shop.db", dir);
    assert_string_equal(config->store, path);
    ls_config_free(config);
    setenv("LOCKSTEP_CONFIG", "elsewhere.yaml", 1);
    assert_null(ls_config_load(NULL, &err));
    assert_int_equal(err.code, LS_E_NOT_FOUND);
    assert_string_equal(err.text,
                        "no configuration at 'elsewhere.yaml': No such file or directory");
    unsetenv("LOCKSTEP_CONFIG");
    assert_null(ls_config_load(dir, &err));
    unlink("lockstep.yaml");
    assert_int_equal(chdir(old), 0);
    rmdir(dir);
}

static void config__public__does_without_secrets_that_are_not_there(void **state)
{
    char path[] = "/tmp/ls-config-XXXXXX";
    struct ls_err err = LS_ERR_INIT;
    struct ls_config *config;
    FILE *file = fdopen(mkstemp(path), "w");

    unsetenv("LS_T_NONE");
    fputs("redis: redis://h:1/0\nqueues: {q: {}}\n"
          "accounts: {a: {platform: woocommerce, url: '${LS_T_NONE}', consumer_key: ${LS_T_NONE}, "
          "consumer_secret: ${file:/none}, queue: q}}\nalerts: [{to: '${LS_T_NONE}'}]\n",
          file);
    fclose(file);
    assert_null(ls_config_load(path, &err));
    config = ls_config_load_public(path, &err);
    assert_non_null(config);
    assert_string_equal(ls_config_redis_url(config), "redis://h:1/0");
    assert_string_equal(ls_config_account_find(config, "a")->queue, "q");
    ls_config_free(config);
    file = fopen(path, "w");
    fputs("redis: ${LS_T_NONE}\n", file);
    fclose(file);
    assert_null(ls_config_load_public(path, &err));
    unlink(path);
}

static void config__mutated_bytes__never_crash_and_always_have_a_place(void **state)
{
    static const char seed[] =
        "redis: redis://h\nqueues: {default: &d {concurrency: 4, backoff: {base: 1s}}}\n"
        "accounts:\n  a: {platform: woocommerce, url: 'https://x', rate: 1/s}\n"
        "store: sqlite:x\nsyncs:\n  p: {account: a, table: t, every: 5m, fields: {n: {type: "
        "money}}}\nalerts: [{to: \"https://x\"}, {exec: [a, b]}]\nadmin: {listen: '[::1]:0'}\n";
    static const char bytes[] = "{}[]:,&*!|>'\"%@`#- \n\t?<$\xff\x00\xe2~0a";
    uint64_t random = 88172645463325252u;

    for (int round = 0; round < 4000; round++) {
        char text[sizeof seed];
        size_t length = sizeof seed - 1;
        struct ls_err err = LS_ERR_INIT;
        struct ls_config *config;

        memcpy(text, seed, sizeof seed);
        for (int i = 0; i < 1 + round % 6; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            text[random % length] = bytes[(random >> 32) % (sizeof bytes - 1)];
        }
        if (round % 5 == 0)
            length = random % length;
        config = ls_config_parse(text, length, "f.yaml", "/app", &err);
        if (!config) {
            int line = 0, column = 0;

            assert_int_equal(err.code, LS_E_CONFIG);
            if (sscanf(err.text, "f.yaml:%d:%d: ", &line, &column) != 2 || !line || !column)
                fail_msg("round %d: no place in: %s", round, err.text);
        }
        ls_config_free(config);
    }
}

static void yaml__bounds__hold(void **state)
{
    struct ls_yaml_place place;
    struct ls_err err = LS_ERR_INIT;
    struct ls_buf text = {0};

    for (int i = 0; i < 60000; i++)
        ls_buf_puts(&text, "- a\n");
    assert_null(ls_yaml_parse(text.data, text.length, &place, &err));
    ls_buf_clear(&text);
    for (int i = 0; i < 3000; i++)
        ls_buf_printf(&text, "k%d: a\n", i);
    assert_null(ls_yaml_parse(text.data, text.length, &place, &err));
    assert_string_equal(err.text, "too many keys");
    ls_buf_clear(&text);
    ls_buf_reserve(&text, LS_YAML_MAX_BYTES + 2);
    memset(text.data, '#', LS_YAML_MAX_BYTES + 1);
    assert_null(ls_yaml_parse(text.data, LS_YAML_MAX_BYTES + 1, &place, &err));
    ls_buf_fini(&text);
}

static void value__numbers_and_units(void **state)
{
    int64_t integer;
    double number;
    char *host;
    int port;

    assert_int_equal(ls_config_size("300MB", &integer), 0);
    assert_int_equal(integer, 300 * 1024 * 1024);
    assert_int_equal(ls_config_size("1 GiB", &integer), 0);
    assert_int_equal(ls_config_size("1 parsec", &integer), -1);
    assert_int_equal(ls_config_number("0.10", &number), 0);
    assert_true(number > 0.0999999 && number < 0.1000001);
    assert_int_equal(ls_config_number("1e5", &number), -1);
    assert_int_equal(ls_config_number("nan", &number), -1);
    assert_int_equal(ls_config_number(".", &number), -1);
    assert_int_equal(ls_config_rate("3600/h", &number), 0);
    assert_true(number == 1);
    assert_int_equal(ls_config_int("99999999999999999999", &integer), -1);
    assert_int_equal(ls_config_listen("[::1]:80", &host, &port), 0);
    assert_string_equal(host, "::1");
    free(host);
    assert_int_equal(ls_config_listen("::1:80", &host, &port), -1);
    assert_int_equal(ls_config_listen("a:70000", &host, &port), -1);
}

static void path__dots_and_slashes__are_resolved(void **state)
{
    static const char *const cases[][3] = {{"/app", "a/../b", "/app/b"},
                                           {"/app", "/x//y/./z", "/x/y/z"},
                                           {"/app", "../../..", "/"},
                                           {"/", "x", "/x"}};

    for (size_t i = 0; i < LS_COUNT(cases); i++) {
        char *path = ls_config_absolute(cases[i][0], cases[i][1]);

        assert_string_equal(path, cases[i][2]);
        free(path);
    }
}

static void url__redact__hides_passwords(void **state)
{
    static const char *const cases[][2] = {
        {"redis://:pw@h:1/0", "redis://***@h:1/0"},
        {"redis://h:1/0", "redis://h:1/0"},
        {"redis://u:p/w@h:1", "redis://***@h:1"},
        {"unix:///a/b?password=x", "unix:///a/b"},
        {"postgres://u:p@h/db?sslpassword=x", "postgres://***@h/db"},
    };

    for (size_t i = 0; i < LS_COUNT(cases); i++) {
        char *url = ls_config_url_redact(cases[i][0]);

        assert_string_equal(url, cases[i][1]);
        free(url);
    }
}

static void reference__readme__holds_every_key_as_the_table_says(void **state)
{
    const char *source = getenv("LS_SOURCE_DIR");
    struct ls_buf reference = {0}, readme = {0};
    char path[4096];
    FILE *file;
    int c;

    if (!source)
        skip();
    snprintf(path, sizeof path, "%s/common/config/README.md", source);
    file = fopen(path, "r");
    assert_non_null(file);
    while ((c = fgetc(file)) != EOF)
        ls_buf_putc(&readme, (char)c);
    fclose(file);
    ls_config_reference(&reference);
    if (!strstr(readme.data, reference.data))
        fail_msg("common/config/README.md differs: put the output of 'lockstep config keys' there");
    ls_buf_fini(&reference);
    ls_buf_fini(&readme);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config__empty_file__is_a_working_queue),
        cmocka_unit_test(config__the_example_of_the_design__is_read_whole),
        cmocka_unit_test(config__every_mistake__is_named_with_line_and_column),
        cmocka_unit_test(config__references_of_a_sync__are_checked),
        cmocka_unit_test(config__handlers__have_kinds_of_their_own),
        cmocka_unit_test(config__handlers__a_library_that_is_not_there_is_a_warning),
        cmocka_unit_test(config__schedules__are_checked),
        cmocka_unit_test(config__variables_and_files__are_inserted_and_never_shown),
        cmocka_unit_test(config__aliases__are_shared_merged_and_bounded),
        cmocka_unit_test(config__environment__overrides_the_file),
        cmocka_unit_test(config__long_state_dir__gets_a_short_socket),
        cmocka_unit_test(config__file__is_found_in_its_order),
        cmocka_unit_test(config__public__does_without_secrets_that_are_not_there),
        cmocka_unit_test(config__mutated_bytes__never_crash_and_always_have_a_place),
        cmocka_unit_test(yaml__bounds__hold),
        cmocka_unit_test(value__numbers_and_units),
        cmocka_unit_test(path__dots_and_slashes__are_resolved),
        cmocka_unit_test(url__redact__hides_passwords),
        cmocka_unit_test(reference__readme__holds_every_key_as_the_table_says),
    };

    /* The variables of whoever runs the tests would override what the tests write. */
    unsetenv("LOCKSTEP_REDIS");
    unsetenv("LOCKSTEP_STORE");
    unsetenv("LOCKSTEP_CONFIG");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
