/* Tables and the progress bar. */
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "producer/cli/cli.h"

#define MIN_TEXT_WIDTH 8 /* a text column is not cut below it */
#define GAP 2

struct cell {
    char *shown; /* safe for a terminal */
    char *json;
};

struct ls_table {
    struct ls_cli *cli;
    const struct ls_column *columns; /* borrowed: literals of the command */
    size_t column_count;
    struct cell *cells;
    size_t cell_count, capacity;
};

struct ls_table *ls_table_new(struct ls_cli *cli, const struct ls_column *columns, size_t count)
{
    struct ls_table *table = LS_NEW(struct ls_table);

    table->cli = cli;
    table->columns = columns;
    table->column_count = count;
    return table;
}

static void add_cell(struct ls_table *table, char *shown, char *json)
{
    if (table->cell_count == table->capacity) {
        table->capacity = table->capacity ? 2 * table->capacity : 64;
        table->cells = ls_xrealloc(table->cells, table->capacity * sizeof *table->cells);
    }
    table->cells[table->cell_count++] = (struct cell){shown, json};
}

void ls_table_span(struct ls_table *table, const char *text, size_t length)
{
    struct ls_buf shown = {0}, json = {0};

    ls_buf_puts(&shown, "");
    ls_cli_safe(&shown, text, length);
    ls_buf_json_string(&json, text, length);
    add_cell(table, ls_buf_take(&shown), ls_buf_take(&json));
}

void ls_table_text(struct ls_table *table, const char *text)
{
    if (text)
        ls_table_span(table, text, strlen(text));
    else
        add_cell(table, ls_xstrdup("-"), ls_xstrdup("null"));
}

void ls_table_int(struct ls_table *table, int64_t value)
{
    add_cell(table, ls_xasprintf("%lld", (long long)value), ls_xasprintf("%lld", (long long)value));
}

void ls_table_bool(struct ls_table *table, bool value)
{
    add_cell(table, ls_xstrdup(value ? "yes" : "no"), ls_xstrdup(value ? "true" : "false"));
}

void ls_table_both(struct ls_table *table, const char *shown, const char *json)
{
    struct ls_buf safe = {0};

    ls_buf_puts(&safe, "");
    ls_cli_safe(&safe, shown, strlen(shown));
    add_cell(table, ls_buf_take(&safe), ls_xstrdup(json));
}

void ls_table_duration(struct ls_table *table, int64_t ms)
{
    char text[48];

    if (ms < 0)
        add_cell(table, ls_xstrdup("-"), ls_xstrdup("null"));
    else
        add_cell(table, ls_xstrdup(ls_duration_format(text, sizeof text, ms)),
                 ls_xasprintf("%lld", (long long)ms));
}

void ls_table_when(struct ls_table *table, int64_t wall_ms)
{
    int64_t ago_ms = ls_clock_wall_ms() - wall_ms;
    char text[48], when[LS_CLOCK_TEXT_SIZE];

    if (wall_ms <= 0)
        ls_table_text(table, NULL);
    else
        add_cell(
            table,
            ls_xasprintf("%s ago", ls_duration_format(text, sizeof text, ago_ms > 0 ? ago_ms : 0)),
            ls_xasprintf("\"%s\"", ls_clock_format(when, wall_ms)));
}

/* Characters, near enough for alignment: UTF-8 without its continuation bytes. */
static size_t text_width(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_cell(const char *text, size_t width, bool right, bool last)
{
    size_t have = text_width(text);

    if (have <= width) {
        if (right)
            printf("%*s", (int)(width - have), "");
        fputs(text, stdout);
        if (!right && !last)
            printf("%*s", (int)(width - have), "");
    } else { /* cut: the last place is an ellipsis */
        size_t kept = 0;

        while (*text && (kept < width - 1 || ((unsigned char)*text & 0xc0) == 0x80)) {
            kept += ((unsigned char)text[1] & 0xc0) != 0x80;
            putchar(*text++);
        }
        fputs("…", stdout);
    }
    if (!last)
        printf("%*s", GAP, "");
}

/* What people see: columns with a title and, when there are rows, any text in them. Returns how
 * many; shown[] has their numbers, widths[] what each would like. */
static size_t measure(const struct ls_table *table, size_t *shown, size_t *widths)
{
    size_t count = table->column_count, shown_count = 0;

    for (size_t c = 0; c < count; c++) {
        size_t widest = 0, title;

        if (!table->columns[c].title)
            continue;
        for (size_t at = c; at < table->cell_count; at += count) {
            size_t width = text_width(table->cells[at].shown);

            widest = width > widest ? width : widest;
        }
        if (!widest)
            continue;
        title = text_width(table->columns[c].title);
        widths[c] = widest > title ? widest : title;
        shown[shown_count++] = c;
    }
    return shown_count;
}

/* Take width away from the widest text columns until the table fits. */
static void fit(const struct ls_table *table, const size_t *shown, size_t shown_count,
                size_t *widths, size_t available)
{
    for (;;) {
        size_t total = 0, widest = SIZE_MAX;

        for (size_t i = 0; i < shown_count; i++) {
            size_t c = shown[i];

            total += widths[c] + GAP;
            if (!table->columns[c].right && !table->columns[c].whole &&
                widths[c] > MIN_TEXT_WIDTH && (widest == SIZE_MAX || widths[c] > widths[widest]))
                widest = c;
        }
        if (total <= available + GAP || widest == SIZE_MAX)
            return;
        widths[widest]--;
    }
}

static void print_text(const struct ls_table *table)
{
    size_t count = table->column_count, shown_count;
    size_t *widths = ls_xcalloc(count, sizeof *widths), *shown = ls_xcalloc(count, sizeof *shown);

    shown_count = measure(table, shown, widths);
    if (table->cli->width)
        fit(table, shown, shown_count, widths, (size_t)table->cli->width);
    for (size_t i = 0; i < shown_count; i++)
        print_cell(table->columns[shown[i]].title, widths[shown[i]], table->columns[shown[i]].right,
                   i + 1 == shown_count);
    putchar('\n');
    for (size_t row = 0; row < table->cell_count; row += count) {
        for (size_t i = 0; i < shown_count; i++)
            print_cell(table->cells[row + shown[i]].shown, widths[shown[i]],
                       table->columns[shown[i]].right, i + 1 == shown_count);
        putchar('\n');
    }
    free(widths);
    free(shown);
}

static void print_json(const struct ls_table *table)
{
    size_t count = table->column_count, rows = table->cell_count / count;

    putchar('[');
    for (size_t r = 0; r < rows; r++) {
        bool first = true;

        fputs(r ? ",\n {" : "\n {", stdout);
        for (size_t c = 0; c < count; c++) {
            if (!table->columns[c].key)
                continue;
            printf("%s\"%s\": %s", first ? "" : ", ", table->columns[c].key,
                   table->cells[r * count + c].json);
            first = false;
        }
        putchar('}');
    }
    puts(rows ? "\n]" : "]");
}

void ls_table_print(struct ls_table *table, const char *empty)
{
    if (table->cli->json)
        print_json(table);
    else if (table->cell_count)
        print_text(table);
    else if (empty)
        puts(empty);
    ls_table_free(table);
}

void ls_table_free(struct ls_table *table)
{
    for (size_t i = 0; i < table->cell_count; i++) {
        free(table->cells[i].shown);
        free(table->cells[i].json);
    }
    free(table->cells);
    free(table);
}

/* ---- progress ---- */

#define BAR_WIDTH 24
#define REDRAW_US 100000
#define LINE_US 10000000

static void draw(struct ls_progress *progress, int64_t now)
{
    double seconds = (double)(now - progress->started_us) / 1e6;
    int64_t rate = seconds > 0.001 ? (int64_t)((double)progress->done / seconds) : 0;
    bool tty = isatty(STDERR_FILENO);
    char left[48] = "";

    if (rate > 0 && progress->total - progress->done > rate) /* a second and more */
        ls_duration_format(left, sizeof left,
                           (progress->total - progress->done) * 1000 / rate / 1000 * 1000);
    if (tty)
        fputs("\r\033[K", stderr);
    fprintf(stderr, "%s ", progress->label);
    if (tty && progress->total > 0) {
        int filled = (int)((double)progress->done * BAR_WIDTH / (double)progress->total);

        fputc('[', stderr);
        for (int i = 0; i < BAR_WIDTH; i++)
            fputc(i < filled ? '#' : '.', stderr);
        fprintf(stderr, "] %3d%% ", (int)((double)progress->done * 100 / (double)progress->total));
    }
    fprintf(stderr, "%lld", (long long)progress->done);
    if (progress->total > 0)
        fprintf(stderr, " of %lld", (long long)progress->total);
    fprintf(stderr, ", %lld/s%s%s", (long long)rate, *left ? ", left " : "", left);
    if (!tty)
        fputc('\n', stderr);
    progress->drawn = true;
    progress->drawn_us = now;
}

void ls_progress_start(struct ls_progress *progress, struct ls_cli *cli, const char *label,
                       int64_t total)
{
    *progress = (struct ls_progress){.cli = cli, .label = label, .total = total};
    progress->started_us = progress->drawn_us = ls_clock_mono_us();
}

void ls_progress_set(struct ls_progress *progress, int64_t done)
{
    int64_t now = ls_clock_mono_us();

    progress->done = done;
    if (!progress->cli->quiet &&
        now - progress->drawn_us >= (isatty(STDERR_FILENO) ? REDRAW_US : LINE_US))
        draw(progress, now);
}

void ls_progress_finish(struct ls_progress *progress)
{
    if (progress->cli->quiet)
        return;
    draw(progress, ls_clock_mono_us());
    if (isatty(STDERR_FILENO))
        fputc('\n', stderr);
}
