/* The types of configuration variables: each reads text strictly, writes it back, and says what it would have liked. */
#include "core/config_table.h"

#include <inttypes.h>
#include <stdlib.h>

#include "core/redis_url.h"
#include "core/units.h"

/* Fields of numbers, choices and flags have different widths: bool, enum and unsigned, uint64_t. */
static void store(const struct config_variable *v, void *dest, uint64_t value)
{
    if (v->size == sizeof(bool))
        *(bool *)dest = value != 0;
    else if (v->size == sizeof(unsigned))
        *(unsigned *)dest = (unsigned)value;
    else
        *(uint64_t *)dest = value;
}

static uint64_t load(const struct config_variable *v, const void *dest)
{
    if (v->size == sizeof(bool))
        return *(const bool *)dest;
    return v->size == sizeof(unsigned) ? *(const unsigned *)dest : *(const uint64_t *)dest;
}

static int parse_choice(const struct config_variable *v, struct str text, void *dest, struct buf *why)
{
    for (const struct config_choice *c = v->choices; c->word != NULL; ++c)
        if (str_eq(text, str_of(c->word))) {
            store(v, dest, c->value);
            return 0;
        }
    buf_lit(why, "must be ");
    for (const struct config_choice *c = v->choices; c->word != NULL; ++c)
        buf_printf(why, "%s%s", c->word, c[1].word == NULL ? "" : c[2].word == NULL ? " or " : ", ");
    return -1;
}

static void format_choice(const struct config_variable *v, const void *dest, struct buf *out)
{
    for (const struct config_choice *c = v->choices; c->word != NULL; ++c)
        if (c->value == load(v, dest)) {
            buf_append(out, str_of(c->word));
            return;
        }
}

const struct config_type config_type_choice = {parse_choice, format_choice, NULL};

/* Counts, durations and sizes differ in how they are read and written; range and `off` are common. */
static int parse_number(const struct config_variable *v, struct str text, void *dest, struct buf *why,
                        int (*read)(struct str, uint64_t *), void (*write)(struct buf *, uint64_t), const char *form)
{
    uint64_t value = 0;
    bool off = (v->flags & CONFIG_OFF) != 0 && (str_eq(text, STR_LIT("off")) || str_eq(text, STR_LIT("0")));

    if (off || (read(text, &value) == 0 &&
                ((value >= v->min && value <= v->max) || (value == 0 && (v->flags & CONFIG_OFF))))) {
        store(v, dest, value);
        return 0;
    }
    buf_printf(why, "must be %s from ", form);
    write(why, v->min);
    buf_lit(why, " to ");
    write(why, v->max);
    if ((v->flags & CONFIG_OFF) != 0)
        buf_lit(why, ", or 0 for off");
    return -1;
}

static void write_count(struct buf *out, uint64_t value)
{
    buf_printf(out, "%" PRIu64, value);
}

static int parse_count(const struct config_variable *v, struct str text, void *dest, struct buf *why)
{
    return parse_number(v, text, dest, why, units_parse_count, write_count, "a whole number");
}

static void format_count(const struct config_variable *v, const void *dest, struct buf *out)
{
    write_count(out, load(v, dest));
}

const struct config_type config_type_count = {parse_count, format_count, NULL};

static int parse_duration(const struct config_variable *v, struct str text, void *dest, struct buf *why)
{
    return parse_number(v, text, dest, why, units_parse_duration, units_format_duration,
                        "a whole number with ms, s, m or h (bare: seconds)");
}

static void format_duration(const struct config_variable *v, const void *dest, struct buf *out)
{
    units_format_duration(out, load(v, dest));
}

const struct config_type config_type_duration = {parse_duration, format_duration, NULL};

static int parse_size(const struct config_variable *v, struct str text, void *dest, struct buf *why)
{
    return parse_number(v, text, dest, why, units_parse_size, units_format_size,
                        "a whole number with K, M or G (bare: bytes)");
}

static void format_size(const struct config_variable *v, const void *dest, struct buf *out)
{
    units_format_size(out, load(v, dest));
}

const struct config_type config_type_size = {parse_size, format_size, NULL};

static int parse_rate(const struct config_variable *v, struct str text, void *dest, struct buf *why)
{
    if (units_parse_rate(text, dest) == 0)
        return 0;
    *(struct rate *)dest = (struct rate){0, 0};
    buf_printf(why, "must be like \"20/s burst 40\" with numbers from 1 to %d, or off", RATE_MAX);
    return -1;
}

static void format_rate(const struct config_variable *v, const void *dest, struct buf *out)
{
    units_format_rate(out, *(const struct rate *)dest);
}

const struct config_type config_type_rate = {parse_rate, format_rate, NULL};

static int complain(const char *wrong, struct buf *why)
{
    if (wrong == NULL)
        return 0;
    buf_append(why, str_of(wrong));
    return -1;
}

static int parse_listen(const struct config_variable *v, struct str text, void *dest, struct buf *why)
{
    struct listen_address *address = dest;

    if ((v->flags & CONFIG_OFF) != 0 && str_eq(text, STR_LIT("off"))) {
        address->kind = LISTEN_OFF;
        return 0;
    }
    if (complain(listen_address_parse(text, address), why) == 0)
        return 0;
    buf_printf(why, "; it must be like 0.0.0.0:8000, [::]:8000 or unix:/path%s",
               (v->flags & CONFIG_OFF) != 0 ? ", or off" : "");
    return -1;
}

static void format_listen(const struct config_variable *v, const void *dest, struct buf *out)
{
    listen_address_format(out, dest);
}

static void dispose_listen(void *dest)
{
    listen_address_dispose(dest);
}

const struct config_type config_type_listen = {parse_listen, format_listen, dispose_listen};

static int parse_redis_url(const struct config_variable *v, struct str text, void *dest, struct buf *why)
{
    return complain(redis_url_parse(text, dest), why);
}

static void format_redis_url(const struct config_variable *v, const void *dest, struct buf *out)
{
    redis_url_format_masked(out, dest);
}

static void dispose_redis_url(void *dest)
{
    redis_target_dispose(dest);
}

const struct config_type config_type_redis_url = {parse_redis_url, format_redis_url, dispose_redis_url};

static int parse_cidrs(const struct config_variable *v, struct str text, void *dest, struct buf *why)
{
    struct str bad = STR_NONE;

    if (cidr_list_parse(dest, text, &bad) == 0)
        return 0;
    cidr_list_free(dest);
    memset(dest, 0, sizeof(struct cidr_list));
    buf_lit(why,
            "must be a comma list of addresses, of ranges like 10.0.0.0/8, and of the word unix; this is none: \"");
    config_quote(why, bad);
    buf_lit(why, "\"");
    return -1;
}

static void format_cidrs(const struct config_variable *v, const void *dest, struct buf *out)
{
    const struct cidr_list *l = dest;
    const char *comma = "";

    for (size_t i = 0; i < l->n; ++i, comma = ",") {
        char text[46];
        size_t n = cidr_format(l->entries[i].addr, text);
        bool ip4 = memchr(text, ':', n) == NULL, short_form = ip4 && l->entries[i].bits >= 96;
        buf_printf(out, "%s%s%.*s/%u", comma, ip4 && !short_form ? "::ffff:" : "", (int)n, text,
                   l->entries[i].bits - (short_form ? 96u : 0u));
    }
    if (l->trust_unix)
        buf_printf(out, "%sunix", comma);
}

static void dispose_cidrs(void *dest)
{
    cidr_list_free(dest);
    memset(dest, 0, sizeof(struct cidr_list));
}

const struct config_type config_type_cidrs = {parse_cidrs, format_cidrs, dispose_cidrs};
