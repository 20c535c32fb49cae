/* How the calls of scripts are put together; for the files that know the order of a script's arguments. */
#ifndef PUBSUB_SCRIPT_BUILDER_H
#define PUBSUB_SCRIPT_BUILDER_H

#include "pubsub/script_call.h"

/* A call in the making. The arguments stand in the call's `bytes` one after the other, so their lengths are enough to
 * find them again once it no longer moves. */
struct script_builder {
    struct script_call *call;
    struct str prefix;
    size_t cap;
    size_t begun; /* where the argument at hand begins in bytes */
};

/* Then `keys` keys, then the arguments, then builder_end. */
void builder_begin(struct script_builder *b, struct script_call *c, enum script script, struct str prefix, size_t keys);
void builder_end(struct script_builder *b);

void builder_str(struct script_builder *b, struct str s);
void builder_u64(struct script_builder *b, uint64_t v);
/* A key of REDIS_PREFIX, name and id. */
void builder_key(struct script_builder *b, const char *name, struct str id);
/* Ends an argument whose bytes the caller has appended to call->bytes itself. */
void builder_end_argument(struct script_builder *b);

#endif
