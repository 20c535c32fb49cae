/* Fills struct config from the environment by the table, and frees it. */
#include "core/config_table.h"

#include <stdlib.h>

#include "core/redis_url.h"
#include "core/units.h"

#define OWN_PREFIX "BELFRY_"

/* The value of an environment variable; STR_NONE if it is unset, or empty, which means the same here. */
static struct str environment_get(char *const *environ, struct str prefix, struct str name)
{
    for (; environ != NULL && *environ != NULL; ++environ) {
        struct str entry = str_of(*environ);
        if (!str_starts_with(entry, prefix))
            continue;
        struct str value = {entry.p + prefix.n, entry.n - prefix.n};
        if (str_eq(str_split(&value, '='), name) && value.p != NULL)
            return value.n == 0 ? STR_NONE : value;
    }
    return STR_NONE;
}

struct config_setting config_lookup(const struct config_variable *v, char *const *environ)
{
    struct str name = str_of(v->name), text = environment_get(environ, STR_LIT(OWN_PREFIX), name);

    if (text.p == NULL)
        return (struct config_setting){name, environment_get(environ, STR_LIT(""), name)};
    /* The entry is BELFRY_NAME=text: complaints shall name what the reader has to change. */
    size_t n = strlen(OWN_PREFIX) + name.n;
    return (struct config_setting){{text.p - 1 - n, n}, text};
}

static void complain(struct config_load_state *s, const struct config_setting *setting, const struct buf *why)
{
    buf_append(&s->report->errors, setting->as);
    buf_printf(&s->report->errors, ": %.*s\n", (int)why->n, why->p);
}

static int read_setting(struct config_load_state *s, const struct config_variable *v, struct str text, struct buf *why)
{
    if (v->type->parse != config_type_secret.parse)
        text = str_trim(text);
    if (v->type->dispose != NULL && text.n > v->max) {
        buf_printf(why, "is longer than %u bytes", (unsigned)v->max);
        return -1;
    }
    if (text.n == 0) {
        buf_lit(why, "is nothing but spaces");
        return -1;
    }
    return v->type->parse(v, text, config_field(v, s->config), why);
}

static void reset_field(const struct config_variable *v, struct config *c)
{
    if (v->type->dispose != NULL)
        v->type->dispose(config_field(v, c));
    memset(config_field(v, c), 0, v->size);
}

static void load_variable(struct config_load_state *s, const struct config_variable *v)
{
    size_t i = config_variable_index(v);
    struct buf why = {0};

    s->settings[i] = config_lookup(v, s->env->environ);
    if (s->settings[i].text.p != NULL && read_setting(s, v, s->settings[i].text, &why) != 0) {
        complain(s, &s->settings[i], &why);
        s->failed[i] = true;
        reset_field(v, s->config);
    }
    if ((s->settings[i].text.p == NULL || s->failed[i]) && (v->flags & CONFIG_EXPLICIT) == 0 &&
        v->type->parse(v, str_of(v->fallback), config_field(v, s->config), &why) != 0)
        abort(); /* a default that its own type refuses: the table is wrong */
    buf_free(&why);
}

const struct config_setting *config_setting_of(const struct config_load_state *s, const char *name)
{
    return &s->settings[config_variable_index(config_variable_find(str_of(name)))];
}

bool config_is_set(const struct config_load_state *s, const char *name)
{
    size_t i = config_variable_index(config_variable_find(str_of(name)));

    return s->settings[i].text.p != NULL && !s->failed[i];
}

/* Defaults that depend on the surroundings, or on other variables. */
static void config_derive(struct config_load_state *s)
{
    struct config *c = s->config;
    struct buf masked = {0};

    if (!config_is_set(s, "WORKERS"))
        c->workers = s->env->cpus < 1 ? 1 : s->env->cpus > 4 ? 4 : s->env->cpus;
    if (!config_is_set(s, "DEMO"))
        c->demo = c->redis.kind == REDIS_EMBEDDED;
    if (!config_is_set(s, "LOG_FORMAT"))
        c->log_format = s->env->stderr_is_tty ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
    if (listen_address_eq(&c->api_listen, &c->listen))
        listen_address_dispose(&c->api_listen);
    if (c->base_path == NULL)
        c->base_path = str_dup(STR_LIT(""));
    redis_url_format_masked(&masked, &c->redis);
    c->redis_url_masked = str_dup(buf_str(&masked));
    buf_free(&masked);
}

int config_load(struct config *c, const struct config_environment *env, struct config_report *report)
{
    struct config_load_state s = {.config = c, .env = env, .report = report};

    *c = (struct config){0};
    s.settings = mem_zalloc(config_table_len * sizeof(*s.settings));
    s.failed = mem_zalloc(config_table_len * sizeof(*s.failed));
    for (size_t i = 0; i < config_table_len; ++i)
        load_variable(&s, &config_table[i]);
    config_derive(&s);
    config_check_rules(&s);
    config_check_unknown(&s);
    free(s.settings);
    free(s.failed);
    return report->errors.n == 0 ? 0 : -1;
}

void config_free(struct config *c)
{
    for (size_t i = 0; i < config_table_len; ++i)
        reset_field(&config_table[i], c);
    free(c->redis_url_masked);
    c->redis_url_masked = NULL;
}

void config_report_free(struct config_report *r)
{
    buf_free(&r->errors);
    buf_free(&r->warnings);
}

bool config_report_names(const struct config_report *r, const char *name)
{
    for (struct str rest = buf_str(&r->errors); rest.n > 0;) {
        struct str line = str_split(&rest, '\n'), subject = str_split(&line, ':');
        if (str_starts_with(subject, STR_LIT(OWN_PREFIX)))
            subject = (struct str){subject.p + strlen(OWN_PREFIX), subject.n - strlen(OWN_PREFIX)};
        if (str_eq(subject, str_of(name)))
            return true;
    }
    return false;
}
