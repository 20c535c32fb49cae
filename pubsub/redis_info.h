/* What a new connection has to know of the Redis it reached, read from the text of INFO. */
#ifndef PUBSUB_REDIS_INFO_H
#define PUBSUB_REDIS_INFO_H

#include "core/str.h"

struct redis_info {
    char run_id[41];
    unsigned version; /* 7.0.15 is 70015 */
    bool master, cluster;
    unsigned replicas; /* that keep up: online, and heard from within REPLICA_LAG_MAX_S */
};
#define REPLICA_LAG_MAX_S 10 /* as Redis' own min-replicas-max-lag */

/* Fields that `text` lacks keep their value, so that the answers to INFO server, replication and cluster add up in one
 * struct. */
void redis_info_read(struct redis_info *info, struct str text);

/* The value of `name:value` in a text of INFO; STR_NONE if it is not there. */
struct str redis_info_field(struct str text, struct str name);

enum redis_fitness {
    REDIS_FIT,
    REDIS_RETRY, /* not now: a replica; another attempt may reach the master */
    REDIS_UNFIT, /* never: too old, or Redis Cluster */
};
/* *reason tells why it is not fit. */
enum redis_fitness redis_info_judge(const struct redis_info *info, const char **reason);

#endif
