/* Finds in the answer to INFO what may cost events. */
#include "pubsub/redis_advice.h"
#include "pubsub/redis_info.h"

void redis_advice(struct str info, struct buf *out)
{
    struct str policy = redis_info_field(info, STR_LIT("maxmemory_policy"));
    struct str aof = redis_info_field(info, STR_LIT("aof_enabled"));
    if (policy.n != 0 && !str_eq(policy, STR_LIT("noeviction")))
        buf_printf(out,
                   "maxmemory-policy is %.*s, which may silently evict what clients have yet to get: set "
                   "maxmemory-policy noeviction on Redis\n",
                   (int)(policy.n < 64 ? policy.n : 64), policy.p);
    if (str_eq(aof, STR_LIT("0")))
        buf_lit(out, "appendonly is off: when Redis restarts, the events since its last snapshot are lost, all of them "
                     "where it makes none: set appendonly yes on Redis\n");
}
