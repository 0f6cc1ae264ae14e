#include "common/redis/cmd.h"

#include <string.h>

/* Decimal digits of value at the end of out; returns where they begin. */
static char *digits(char out[24], uint64_t value)
{
    char *at = out + 24;

    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    return at;
}

static void add_header(struct ls_buf *buf, char kind, uint64_t value)
{
    char text[24];
    char *at = digits(text, value);
    size_t length = (size_t)(text + sizeof(text) - at);

    ls_buf_reserve(buf, length + 3);
    buf->data[buf->length] = kind;
    memcpy(buf->data + buf->length + 1, at, length);
    memcpy(buf->data + buf->length + 1 + length, "\r\n", 2);
    buf->length += length + 3;
}

static void add_bulk(struct ls_buf *buf, const void *bytes, size_t length)
{
    add_header(buf, '$', length);
    ls_buf_reserve(buf, length + 2);
    if (length)
        memcpy(buf->data + buf->length, bytes, length);
    memcpy(buf->data + buf->length + length, "\r\n", 2);
    buf->length += length + 2;
}

void ls_cmd_fini(struct ls_cmd *cmd)
{
    ls_buf_fini(&cmd->args);
    *cmd = (struct ls_cmd){0};
}

void ls_cmd_start(struct ls_cmd *cmd, const char *verb)
{
    ls_buf_clear(&cmd->args);
    cmd->script = NULL;
    cmd->count = 0;
    ls_cmd_puts(cmd, verb);
}

void ls_cmd_script(struct ls_cmd *cmd, const struct ls_script *script)
{
    ls_buf_clear(&cmd->args);
    cmd->script = script;
    cmd->count = 0;
    ls_cmd_int(cmd, script->key_count);
}

void ls_cmd_add(struct ls_cmd *cmd, const void *bytes, size_t length)
{
    add_bulk(&cmd->args, bytes, length);
    cmd->count++;
}

void ls_cmd_span(struct ls_cmd *cmd, struct ls_span span)
{
    ls_cmd_add(cmd, span.data, span.length);
}

void ls_cmd_puts(struct ls_cmd *cmd, const char *text)
{
    ls_cmd_add(cmd, text, strlen(text));
}

void ls_cmd_int(struct ls_cmd *cmd, int64_t value)
{
    char text[25];
    char *at = digits(text + 1, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);

    if (value < 0)
        *--at = '-';
    ls_cmd_add(cmd, at, (size_t)(text + sizeof(text) - at));
}

void ls_cmd_encode(const struct ls_cmd *cmd, int server_version, int as_eval, struct ls_buf *out)
{
    struct ls_script_text script;

    ls_buf_reserve(out, cmd->args.length + 128);
    if (!cmd->script) {
        add_header(out, '*', (uint64_t)cmd->count);
        ls_buf_add(out, cmd->args.data, cmd->args.length);
        return;
    }
    script = ls_script_for(cmd->script, server_version);
    add_header(out, '*', (uint64_t)cmd->count + 2);
    if (as_eval) {
        add_bulk(out, "EVAL", 4);
        add_bulk(out, script.text, script.length);
    } else {
        add_bulk(out, "EVALSHA", 7);
        add_bulk(out, script.sha1, 40);
    }
    ls_buf_add(out, cmd->args.data, cmd->args.length);
}
