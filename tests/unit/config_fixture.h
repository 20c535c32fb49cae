/* Loads a configuration from entries given in the test, and looks into its complaints. */
#ifndef TESTS_UNIT_CONFIG_FIXTURE_H
#define TESTS_UNIT_CONFIG_FIXTURE_H

#include <stdlib.h>

#include "core/config.h"

#define SECRET "SECRET_KEY=0123456789abcdef0123456789abcdef"
#define ENTRIES_MAX 64

/* What else the next load sees. */
static struct config_environment surroundings = {.stderr_is_tty = false, .cpus = 2};

struct fixture {
    struct config c;
    struct config_environment env;
    struct config_report report;
    char *entries[ENTRIES_MAX];
};

static int load_entries(struct fixture *f, const char *first, va_list rest)
{
    size_t n = 0;

    *f = (struct fixture){.env = surroundings};
    for (const char *entry = first; entry != NULL; entry = va_arg(rest, const char *)) {
        assert_true(n + 1 < ENTRIES_MAX);
        f->entries[n++] = str_dup(str_of(entry));
    }
    f->env.environ = f->entries;
    return config_load(&f->c, &f->env, &f->report);
}

/* NAME=value strings, ended by NULL. */
static __attribute__((unused, sentinel)) int load(struct fixture *f, const char *first, ...)
{
    va_list rest;

    va_start(rest, first);
    int rc = load_entries(f, first, rest);
    va_end(rest);
    return rc;
}

static __attribute__((unused, sentinel)) void load_good(struct fixture *f, const char *first, ...)
{
    va_list rest;

    va_start(rest, first);
    int rc = load_entries(f, first, rest);
    va_end(rest);
    if (rc != 0)
        fail_msg("%.*s", (int)f->report.errors.n, f->report.errors.p);
}

static void dispose(struct fixture *f)
{
    config_free(&f->c);
    config_report_free(&f->report);
    for (char **entry = f->entries; *entry != NULL; ++entry)
        free(*entry);
}

static __attribute__((unused)) size_t count_lines(const struct buf *b)
{
    size_t n = 0;

    for (size_t i = 0; i < b->n; ++i)
        n += b->p[i] == '\n';
    return n;
}

static __attribute__((unused)) bool has_text(const struct buf *b, const char *text)
{
    return b->n > 0 && memmem(b->p, b->n, text, strlen(text)) != NULL;
}

/* Each of the strings, ended by NULL, stands in the errors. */
static __attribute__((unused, sentinel)) void assert_errors(struct fixture *f, const char *first, ...)
{
    va_list rest;

    va_start(rest, first);
    for (const char *text = first; text != NULL; text = va_arg(rest, const char *))
        if (!has_text(&f->report.errors, text))
            fail_msg("\"%s\" is not in:\n%.*s", text, (int)f->report.errors.n, f->report.errors.p);
    va_end(rest);
}

#endif
