#include "common/redis/hello_internal.h"

#include <string.h>

#include "common/redis/cmd.h"

static void add_step(struct ls_hello *hello, enum ls_hello_step step, const struct ls_cmd *cmd,
                     struct ls_buf *out)
{
    hello->steps[hello->count++] = step;
    ls_cmd_encode(cmd, 0, 0, out);
}

void ls_hello_begin(struct ls_hello *hello, const struct ls_redis_url *url, const char *client_name,
                    struct ls_buf *out)
{
    struct ls_cmd cmd = {0};

    *hello = (struct ls_hello){0};
    if (url->password) {
        ls_cmd_start(&cmd, "AUTH");
        if (url->user)
            ls_cmd_puts(&cmd, url->user);
        ls_cmd_puts(&cmd, url->password);
        add_step(hello, LS_HELLO_AUTH, &cmd, out);
        explicit_bzero(cmd.args.data, cmd.args.length);
    }
    if (url->db > 0) {
        ls_cmd_start(&cmd, "SELECT");
        ls_cmd_int(&cmd, url->db);
        add_step(hello, LS_HELLO_SELECT, &cmd, out);
    }
    if (client_name) {
        ls_cmd_start(&cmd, "CLIENT");
        ls_cmd_puts(&cmd, "SETNAME");
        ls_cmd_puts(&cmd, client_name);
        add_step(hello, LS_HELLO_NAME, &cmd, out);
    }
    ls_cmd_start(&cmd, "INFO");
    add_step(hello, LS_HELLO_INFO, &cmd, out);
    ls_cmd_fini(&cmd);
}

static int refused(const struct ls_redis_url *url, const struct ls_reply *reply, struct ls_err *err)
{
    if (strncmp(reply->text, "NOAUTH", 6) == 0) {
        ls_fail(err, LS_E_AUTH, "redis at '%s' wants a password", url->shown);
        return ls_hint(err,
                       "put it into the address: redis://:PASSWORD@HOST:PORT or ?password=...");
    }
    if (strncmp(reply->text, "WRONGPASS", 9) == 0) {
        ls_fail(err, LS_E_AUTH, "redis at '%s' refuses the password%s%s%s", url->shown,
                url->user ? " of user '" : "", url->user ? url->user : "", url->user ? "'" : "");
        return ls_hint(
            err,
            "check the password in the redis address (its special characters must be %%-escaped)");
    }
    if (strstr(reply->text, "without any password configured")) {
        ls_fail(err, LS_E_AUTH, "redis at '%s' has no password set, but the address gives one",
                url->shown);
        return ls_hint(err,
                       "remove the password from the address, or set requirepass in redis.conf");
    }
    ls_reply_fail(reply, err);
    return ls_wrap(err, "cannot use redis at '%s'", url->shown);
}

int ls_hello_answer(struct ls_hello *hello, const struct ls_redis_url *url,
                    const struct ls_reply *reply, struct ls_redis_facts *facts, struct ls_err *err)
{
    enum ls_hello_step step = hello->steps[hello->next++];
    bool is_error = reply->type == LS_REPLY_ERROR;

    switch (step) {
    case LS_HELLO_NAME:
        return 0; /* a name is a courtesy */
    case LS_HELLO_AUTH:
    case LS_HELLO_SELECT:
        return is_error ? refused(url, reply, err) : 0;
    case LS_HELLO_INFO:
        *facts = (struct ls_redis_facts){0};
        if (is_error && strncmp(reply->text, "NOPERM", 6) == 0)
            return 0; /* a narrow ACL: we do without the facts */
        if (is_error)
            return refused(url, reply, err);
        if (reply->type != LS_REPLY_STRING)
            return ls_redis_unreachable(url, LS_E_NETWORK, "it does not answer like a redis", err);
        ls_redis_facts_parse(facts, reply->text, reply->length);
        if (facts->loading) {
            ls_fail(err, LS_E_TRANSIENT, "redis at '%s' is still reading its data from disk",
                    url->shown);
            return ls_hint(err, "wait and try again");
        }
    }
    return 0;
}

int ls_redis_unreachable(const struct ls_redis_url *url, enum ls_err_code code, const char *why,
                         struct ls_err *err)
{
    ls_fail(err, code, "cannot reach redis at '%s': %s", url->shown, why);
    return ls_hint(
        err,
        "is it running? check the 'redis' setting or LOCKSTEP_REDIS, or run 'lockstep doctor'");
}
