/* The scopes that mean something to belfry: words and bits. */
#include "core/token.h"

static const struct {
    enum scope bit;
    const char *word;
} scopes[] = {
    {SCOPE_EVENTS_PUBLISH, "events:publish"},
    {SCOPE_EVENTS_READ, "events:read"},
    {SCOPE_CONNECTIONS_READ, "connections:read"},
    {SCOPE_CONNECTIONS_WRITE, "connections:write"},
};

#define SCOPES (sizeof(scopes) / sizeof(scopes[0]))

unsigned scope_from_word(struct str word)
{
    for (size_t i = 0; i < SCOPES; i++)
        if (str_eq(word, str_of(scopes[i].word)))
            return scopes[i].bit;
    return 0;
}

unsigned scopes_from_text(struct str text)
{
    unsigned bits = 0;

    while (text.n > 0)
        bits |= scope_from_word(str_split(&text, ' '));
    return bits;
}

const char *scope_name(enum scope s)
{
    for (size_t i = 0; i < SCOPES; i++)
        if (scopes[i].bit == s)
            return scopes[i].word;
    return "";
}
