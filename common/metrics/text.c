#include "common/metrics/text.h"

#include <math.h>
#include <string.h>

#include "common/base/mem.h"

static void put_value(struct ls_buf *out, const char *value);

void ls_metric_text_fini(struct ls_metric_text *text)
{
    ls_buf_fini(&text->out);
    text->family = NULL;
}

void ls_metric_family(struct ls_metric_text *text, const char *name, enum ls_metric_type type,
                      const char *help)
{
    text->family = name;
    ls_buf_printf(&text->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                  type == LS_METRIC_COUNTER ? "counter" : "gauge");
}

void ls_metric_sample(struct ls_metric_text *text, const struct ls_label *labels, double value)
{
    struct ls_buf *out = &text->out;
    const char *before = "{";

    ls_assert(text->family);
    ls_buf_puts(out, text->family);
    for (; labels && labels->name; labels++) {
        ls_buf_printf(out, "%s%s=\"", before, labels->name);
        put_value(out, labels->value ? labels->value : "");
        ls_buf_putc(out, '"');
        before = ",";
    }
    if (*before == ',')
        ls_buf_putc(out, '}');
    if (isnan(value))
        ls_buf_puts(out, " NaN\n");
    else if (value == floor(value) && fabs(value) < 1e15)
        ls_buf_printf(out, " %.0f\n", value);
    else
        ls_buf_printf(out, " %.10g\n", value);
}

static void put_value(struct ls_buf *out, const char *value)
{
    if (!ls_utf8_valid(value, strlen(value)))
        value = "?";
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            ls_buf_putc(out, '\\');
        if (*value == '\n')
            ls_buf_puts(out, "\\n");
        else
            ls_buf_putc(out, *value);
    }
}
