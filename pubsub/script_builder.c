/* Puts a call of a script together, argument by argument. */
#include "pubsub/script_builder.h"
#include <stdlib.h>

void builder_end_argument(struct script_builder *b)
{
    struct script_call *c = b->call;

    if ((size_t)c->argc == b->cap) {
        b->cap = b->cap != 0 ? b->cap * 2 : 32;
        c->argvlen = mem_realloc(c->argvlen, b->cap * sizeof(*c->argvlen));
    }
    c->argvlen[c->argc++] = c->bytes.n - b->begun;
    b->begun = c->bytes.n;
}

void builder_str(struct script_builder *b, struct str s)
{
    buf_append(&b->call->bytes, s);
    builder_end_argument(b);
}

void builder_u64(struct script_builder *b, uint64_t v)
{
    buf_printf(&b->call->bytes, "%llu", (unsigned long long)v);
    builder_end_argument(b);
}

void builder_key(struct script_builder *b, const char *name, struct str id)
{
    buf_append(&b->call->bytes, b->prefix);
    buf_append(&b->call->bytes, str_of(name));
    buf_append(&b->call->bytes, id);
    builder_end_argument(b);
}

void builder_begin(struct script_builder *b, struct script_call *c, enum script script, struct str prefix, size_t keys)
{
    *c = (struct script_call){.script = script};
    *b = (struct script_builder){.call = c, .prefix = prefix};
    builder_end_argument(b); /* EVALSHA and the SHA-1: their places */
    builder_end_argument(b);
    builder_u64(b, keys);
}

void builder_end(struct script_builder *b)
{
    struct script_call *c = b->call;
    const char *p = c->bytes.p;
    struct str sha1 = script_sha1(c->script);

    c->argv = mem_alloc((size_t)c->argc * sizeof(*c->argv));
    c->argv[0] = "EVALSHA";
    c->argvlen[0] = strlen(c->argv[0]);
    c->argv[1] = sha1.p;
    c->argvlen[1] = sha1.n;
    for (int i = 2; i < c->argc; i++) {
        c->argv[i] = p;
        p += c->argvlen[i];
    }
}
