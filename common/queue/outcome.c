#include "common/queue/outcome.h"

#include "common/base/mem.h"
#include "common/job/json.h"

#define DEPTH 128

static const char *const names[] = {
    [LS_OUTCOME_UNKNOWN] = "unknown",     [LS_OUTCOME_PENDING] = "pending",
    [LS_OUTCOME_RUNNING] = "running",     [LS_OUTCOME_RETRYING] = "retrying",
    [LS_OUTCOME_DONE] = "done",           [LS_OUTCOME_DEAD] = "dead",
    [LS_OUTCOME_CANCELLED] = "cancelled",
};

/* The members of a result that we read. */
struct members {
    struct ls_span state, result, error, klass; /* as they stand in the text */
};

static enum ls_outcome_state state_of(struct ls_span word);
static bool read_members(struct ls_span text, struct members *members);
static void keep_result(struct ls_outcome *outcome, const struct members *members);

void ls_outcome_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span id)
{
    char key[LS_KEY_SIZE];

    ls_cmd_start(cmd, "MGET");
    ls_cmd_puts(cmd, ls_keys_status(keys, id, key));
    ls_cmd_puts(cmd, ls_keys_result(keys, id, key));
}

int ls_outcome_parse(const struct ls_reply *reply, struct ls_outcome *outcome, struct ls_err *err)
{
    struct members members = {0};
    struct ls_span status, text, told = {0};
    bool escaped;

    if (reply->type == LS_REPLY_ERROR)
        return ls_reply_fail(reply, err);
    if (reply->type != LS_REPLY_ARRAY || reply->count != 2)
        return ls_fail(err, LS_E_REDIS, "redis answered MGET with something else");
    ls_buf_clear(&outcome->text);
    outcome->result = outcome->error = outcome->klass = (struct ls_span){0};
    status = ls_reply_span(ls_reply_item(reply, 0));
    text = ls_reply_span(ls_reply_item(reply, 1));
    outcome->state = state_of(status);
    if (!text.length || !read_members(text, &members) ||
        !ls_json_is_string(members.state, &told, &escaped))
        return 0;
    if (!status.length) /* its time was over before that of the result */
        outcome->state = state_of(told);
    /* A result of an earlier run that the present one has not replaced yet is none. */
    if (ls_outcome_ended(outcome->state) && outcome->state == state_of(told))
        keep_result(outcome, &members);
    return 0;
}

void ls_outcome_fini(struct ls_outcome *outcome)
{
    ls_buf_fini(&outcome->text);
    *outcome = (struct ls_outcome){0};
}

bool ls_outcome_ended(enum ls_outcome_state state)
{
    return state >= LS_OUTCOME_DONE;
}

const char *ls_outcome_name(enum ls_outcome_state state)
{
    ls_assert((size_t)state < LS_COUNT(names));
    return names[state];
}

static enum ls_outcome_state state_of(struct ls_span word)
{
    for (size_t i = 0; i < LS_COUNT(names); i++) {
        if (ls_span_is(word, names[i]))
            return (enum ls_outcome_state)i;
    }
    return LS_OUTCOME_UNKNOWN;
}

static bool read_members(struct ls_span text, struct members *members)
{
    const struct {
        const char *name;
        struct ls_span *value;
    } known[] = {{"state", &members->state},
                 {"result", &members->result},
                 {"error", &members->error},
                 {"class", &members->klass}};
    struct ls_span name, value;
    struct ls_json json;
    bool first = true;

    if (!ls_json_valid(text.data, text.length, DEPTH))
        return false;
    ls_json_init(&json, text.data, text.length, DEPTH);
    if (!ls_json_open(&json))
        return false;
    while (ls_json_next(&json, &first, &name, &value)) {
        for (size_t i = 0; i < LS_COUNT(known); i++) {
            if (ls_span_is(name, known[i].name))
                *known[i].value = value;
        }
    }
    return !json.fault;
}

/* Where a value will lie is known when all of them are there: the buffer may move. */
static size_t keep_text(struct ls_outcome *outcome, struct ls_span value)
{
    size_t start = outcome->text.length;
    struct ls_span inside;
    bool escaped;

    if (!ls_json_is_string(value, &inside, &escaped))
        return 0;
    if (escaped)
        ls_json_unescape(&outcome->text, inside);
    else
        ls_buf_add(&outcome->text, inside.data, inside.length);
    return outcome->text.length - start;
}

static void keep_result(struct ls_outcome *outcome, const struct members *members)
{
    size_t result, error, klass;

    ls_buf_add(&outcome->text, members->result.data, members->result.length);
    result = members->result.length;
    error = keep_text(outcome, members->error);
    klass = keep_text(outcome, members->klass);
    outcome->result = (struct ls_span){outcome->text.data, result};
    outcome->error = (struct ls_span){outcome->text.data + result, error};
    outcome->klass = (struct ls_span){outcome->text.data + result + error, klass};
}
