/* Samples of Prometheus' text format, as far as belfry writes it. */
#include "core/metrics_text.h"

#include <math.h>
#include <stdlib.h>

static bool read_number(struct str s, double *value)
{
    char text[64], *end;

    if (s.n == 0 || s.n >= sizeof(text))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    *value = strtod(text, &end);
    return end == text + s.n;
}

/* `name value` or `name{labels} value`. */
static bool read_sample(struct str line, struct metric_sample *out)
{
    const char *brace = memchr(line.p, '{', line.n), *end = brace != NULL ? memrchr(line.p, '}', line.n) : NULL;

    out->labels = STR_LIT("");
    if (brace == NULL) {
        out->name = str_split(&line, ' ');
        return out->name.n != 0 && line.p != NULL && read_number(line, &out->value);
    }
    if (end == NULL || end < brace || end + 1 == line.p + line.n || end[1] != ' ')
        return false;
    out->name = (struct str){line.p, (size_t)(brace - line.p)};
    out->labels = (struct str){brace + 1, (size_t)(end - brace - 1)};
    return read_number((struct str){end + 2, (size_t)(line.p + line.n - end - 2)}, &out->value);
}

bool metric_sample_next(struct str *text, struct metric_sample *out)
{
    while (text->n != 0) {
        struct str line = str_split(text, '\n');
        if (line.n != 0 && line.p[0] != '#' && read_sample(line, out))
            return true;
    }
    return false;
}

struct str metric_sample_label(const struct metric_sample *s, struct str name)
{
    struct str rest = s->labels;

    while (rest.n != 0) {
        struct str key = str_split(&rest, '='), value;
        if (rest.n == 0 || rest.p[0] != '"')
            return STR_NONE;
        rest = (struct str){rest.p + 1, rest.n - 1};
        value = str_split(&rest, '"');
        if (str_eq(key, name))
            return value;
        if (rest.n != 0)
            rest = (struct str){rest.p + 1, rest.n - 1}; /* the comma */
    }
    return STR_NONE;
}

static bool has(const struct metric_sample *s, const char *label, const char *value)
{
    return label == NULL || str_eq(metric_sample_label(s, str_of(label)), str_of(value));
}

double metrics_text_cell(struct str text, const char *name, const char *label, const char *value, const char *label2,
                         const char *value2)
{
    struct metric_sample s;
    double sum = NAN;

    while (metric_sample_next(&text, &s))
        if (str_eq(s.name, str_of(name)) && has(&s, label, value) && has(&s, label2, value2))
            sum = isnan(sum) ? s.value : sum + s.value;
    return sum;
}

double metrics_text_sum(struct str text, const char *name, const char *label, const char *value)
{
    return metrics_text_cell(text, name, label, value, NULL, NULL);
}

double metrics_text_max(struct str text, const char *name)
{
    struct metric_sample s;
    double max = NAN;

    while (metric_sample_next(&text, &s))
        if (str_eq(s.name, str_of(name)))
            max = isnan(max) || s.value > max ? s.value : max;
    return max;
}
