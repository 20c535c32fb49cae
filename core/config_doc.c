/* The table as text: the effective configuration, `--help`, and the Markdown of the documentation. */
#include "core/config_table.h"

#include "core/units.h"

#define HELP_COLUMNS 78

/* The help is Markdown; a terminal needs no backticks. */
static void append_plain(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; ++i)
        if (s.p[i] != '`')
            buf_append_char(out, s.p[i]);
}

static void append_number(const struct config_variable *v, uint64_t value, struct buf *out)
{
    if (v->type == &config_type_duration)
        units_format_duration(out, value);
    else if (v->type == &config_type_size)
        units_format_size(out, value);
    else
        buf_printf(out, "%llu", (unsigned long long)value);
}

/* What the type knows beside the help: range and words. */
static void append_limits(const struct config_variable *v, struct buf *out)
{
    if (v->choices != NULL) {
        buf_lit(out, "; ");
        for (const struct config_choice *c = v->choices; c->word != NULL; ++c)
            buf_printf(out, "%s`%s`", c == v->choices ? "" : ", ", c->word);
    } else if (v->type->dispose == NULL && v->max != 0) {
        buf_lit(out, "; ");
        append_number(v, v->min, out);
        buf_lit(out, " to ");
        append_number(v, v->max, out);
        if ((v->flags & CONFIG_OFF) != 0 && v->min != 0)
            buf_lit(out, ", `0` is off");
    }
}

/* Appends words with line breaks after at most HELP_COLUMNS columns, each line indented. */
static void append_wrapped(struct buf *out, struct str text)
{
    size_t column = HELP_COLUMNS;

    while (text.p != NULL) {
        struct str word = str_split(&text, ' ');
        if (column + 1 + word.n > HELP_COLUMNS) {
            buf_lit(out, "\n      ");
            column = 6;
        } else {
            buf_lit(out, " ");
            ++column;
        }
        append_plain(out, word);
        column += word.n;
    }
    buf_lit(out, "\n");
}

void config_help(struct buf *out)
{
    for (size_t i = 0; i < config_table_len; ++i) {
        const struct config_variable *v = &config_table[i];
        struct buf meaning = {0};
        buf_printf(out, "  %s", v->name);
        if (v->fallback != NULL) {
            buf_lit(out, " (");
            append_plain(out, str_of(v->fallback));
            buf_lit(out, ")");
        }
        buf_append(&meaning, str_of(v->help));
        append_limits(v, &meaning);
        append_wrapped(out, buf_str(&meaning));
        buf_free(&meaning);
    }
}

/* A | ends a cell of a table even inside backticks. */
static void append_cell(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; ++i) {
        if (s.p[i] == '|')
            buf_lit(out, "\\");
        buf_append_char(out, s.p[i]);
    }
}

void config_markdown(struct buf *out)
{
    buf_lit(out, "| variable | default | meaning |\n|---|---|---|\n");
    for (size_t i = 0; i < config_table_len; ++i) {
        const struct config_variable *v = &config_table[i];
        struct buf meaning = {0};
        buf_printf(out, "| `%s` | ", v->name);
        if (v->fallback == NULL)
            buf_lit(out, "–");
        else
            buf_printf(out, (v->flags & CONFIG_EXPLICIT) != 0 ? "%s" : "`%s`", v->fallback);
        buf_append(&meaning, str_of(v->help));
        append_limits(v, &meaning);
        buf_lit(out, " | ");
        append_cell(out, buf_str(&meaning));
        buf_lit(out, " |\n");
        buf_free(&meaning);
    }
}

void config_print(const struct config *c, const struct config_environment *env, struct buf *out)
{
    for (size_t i = 0; i < config_table_len; ++i) {
        const struct config_variable *v = &config_table[i];
        struct config_setting setting = config_lookup(v, env->environ);
        buf_printf(out, "%s=", v->name);
        v->type->format(v, config_field_const(v, c), out);
        if (setting.text.p == NULL)
            buf_lit(out, "  # default: ");
        else
            buf_printf(out, "  # from %.*s: ", (int)setting.as.n, setting.as.p);
        append_plain(out, str_of(v->help));
        buf_lit(out, "\n");
    }
}
