/* The table of all configuration variables, shared by the parts of core/config*.c; nobody else includes it. */
#ifndef CORE_CONFIG_TABLE_H
#define CORE_CONFIG_TABLE_H

#include "core/config.h"

struct config_variable;

/* How the text of a variable becomes a value in struct config, and text again. */
struct config_type {
    /* Reads `text` (never empty) into *dest, which is zero. 0; or -1, *dest still zero, and what is wrong appended to
     * *why as the rest of a sentence that begins with the variable's name: "must be …", "has no port". */
    int (*parse)(const struct config_variable *v, struct str text, void *dest, struct buf *why);
    /* Appends the value as parse would read it; nothing for an unset one. */
    void (*format)(const struct config_variable *v, const void *dest, struct buf *out);
    /* Frees what parse has allocated; NULL if it allocates nothing. */
    void (*dispose)(void *dest);
};

extern const struct config_type config_type_choice, config_type_count, config_type_duration, config_type_size,
    config_type_rate, config_type_listen, config_type_redis_url, config_type_string, config_type_path,
    config_type_secret, config_type_base_path, config_type_prefix, config_type_cookie, config_type_origins,
    config_type_cidrs;

struct config_choice {
    const char *word; /* NULL ends the list */
    unsigned value;
};

extern const struct config_choice config_on_off[], config_proxy_protocols[], config_log_levels[], config_log_formats[],
    config_algorithms[];

enum config_flag {
    CONFIG_SECRET = 1 << 0,  /* never printed, nor quoted in a complaint */
    CONFIG_OFF = 1 << 1,     /* `off` may be written for 0, or stands for it (listen addresses: none) */
    CONFIG_EXPLICIT = 1 << 2 /* has no default: unset leaves the field zero, or config_derive computes it */
};

struct config_variable {
    const char *name;
    const struct config_type *type;
    const char *fallback; /* the default as text; what is shown in the help if CONFIG_EXPLICIT */
    size_t offset, size;  /* of the field in struct config */
    uint64_t min, max;    /* numbers; strings: max bytes */
    const struct config_choice *choices;
    unsigned flags;   /* enum config_flag */
    const char *help; /* Markdown, one line, no full stop at its end */
};

extern const struct config_variable config_table[];
extern const size_t config_table_len;

/* The variable of that name, NULL if there is none; and its place in the table. */
const struct config_variable *config_variable_find(struct str name);
static inline size_t config_variable_index(const struct config_variable *v)
{
    return (size_t)(v - config_table);
}
static inline void *config_field(const struct config_variable *v, struct config *c)
{
    return (char *)c + v->offset;
}
static inline const void *config_field_const(const struct config_variable *v, const struct config *c)
{
    return (const char *)c + v->offset;
}

/* Where a variable's value comes from. Both point into the environment or the table. */
struct config_setting {
    struct str as;   /* the name it was given under, BELFRY_X or X; X if it is unset */
    struct str text; /* STR_NONE: unset, or empty */
};
struct config_setting config_lookup(const struct config_variable *v, char *const *environ);

/* A load in progress. */
struct config_load_state {
    struct config *config;
    const struct config_environment *env;
    struct config_report *report;
    struct config_setting *settings; /* one a variable, in the order of the table */
    bool *failed;                    /* the value was refused, and the field holds the default */
};

const struct config_setting *config_setting_of(const struct config_load_state *s, const char *name);
/* Set, and accepted. */
bool config_is_set(const struct config_load_state *s, const char *name);

/* Rules that concern more than one variable, or the surroundings; complaints about what failed already are not
 * repeated. */
void config_check_rules(struct config_load_state *s);
/* Warnings for BELFRY_* that are no variable, with the nearest name where one is near. */
void config_check_unknown(struct config_load_state *s);

#endif
