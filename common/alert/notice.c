#include "common/alert/notice.h"

#include <jansson.h>
#include <string.h>

#include "common/base/clock.h"

static void member(struct ls_buf *out, const char *name, const char *value);
static void member_time(struct ls_buf *out, const char *name, int64_t wall_ms);
static const char *text_of(const json_t *object, const char *name);
static void put_slack_text(struct ls_buf *out, const char *text);

void ls_notice_json(const struct ls_notice *notice, struct ls_buf *out)
{
    ls_buf_puts(out, "{\"service\":\"data-sync\"");
    member(out, "severity", notice->severity);
    member(out, "type", notice->type);
    member(out, "status", notice->status);
    member(out, "details", notice->details);
    member(out, "group", notice->group);
    member(out, "queue", notice->queue);
    ls_buf_printf(out, ",\"count\":%lld", (long long)notice->count);
    if (notice->metric)
        ls_buf_printf(out, ",\"%s\":%.10g", notice->metric, notice->value);
    member_time(out, "since", notice->since_ms);
    member_time(out, "time", notice->now_ms);
    member(out, "look", notice->look);
    if (notice->extra && notice->extra[0]) {
        ls_buf_putc(out, ',');
        ls_buf_puts(out, notice->extra);
    }
    ls_buf_putc(out, '}');
}

int ls_notice_slack(const char *json, struct ls_buf *out)
{
    json_t *notice = json_loads(json, 0, NULL);
    struct ls_buf text = {0};
    const char *status, *look;
    json_int_t count;

    if (!json_is_object(notice)) {
        json_decref(notice);
        return -1;
    }
    status = text_of(notice, "status");
    look = text_of(notice, "look");
    count = json_integer_value(json_object_get(notice, "count"));
    ls_buf_printf(&text, "*%s* [%s] ", strcmp(status, "resolved") == 0 ? "RESOLVED" : "SYNC ALERT",
                  text_of(notice, "severity"));
    put_slack_text(&text, text_of(notice, "type"));
    ls_buf_puts(&text, ": ");
    put_slack_text(&text, text_of(notice, "details"));
    if (count > 1)
        ls_buf_printf(&text, " (%lld times)", (long long)count);
    if (look[0]) {
        ls_buf_puts(&text, "\n`");
        put_slack_text(&text, look);
        ls_buf_puts(&text, "`");
    }
    ls_buf_puts(out, "{\"text\":");
    ls_buf_json_string(out, text.data, text.length);
    ls_buf_putc(out, '}');
    ls_buf_fini(&text);
    json_decref(notice);
    return 0;
}

static void member(struct ls_buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    ls_buf_printf(out, ",\"%s\":", name);
    ls_buf_json_string(out, value, strlen(value));
}

static void member_time(struct ls_buf *out, const char *name, int64_t wall_ms)
{
    char text[LS_CLOCK_TEXT_SIZE];

    if (wall_ms)
        member(out, name, ls_clock_format(text, wall_ms));
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

/* Slack's three control characters; otherwise "<!channel>" in an error text would ring everybody.
 */
static void put_slack_text(struct ls_buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '&')
            ls_buf_puts(out, "&amp;");
        else if (*text == '<')
            ls_buf_puts(out, "&lt;");
        else if (*text == '>')
            ls_buf_puts(out, "&gt;");
        else
            ls_buf_putc(out, *text);
    }
}
