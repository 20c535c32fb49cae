/* Reads the answers to INFO and judges whether this Redis can carry the order of events. */
#include "pubsub/redis_info.h"
#include "core/units.h"
#include <stdlib.h>

#define OLDEST_VERSION 60200

static unsigned version_number(struct str v)
{
    unsigned parts[3] = {0, 0, 0};
    for (int i = 0; i < 3 && v.p != NULL; ++i) {
        struct str part = str_split(&v, '.');
        for (size_t k = 0; k < part.n && part.p[k] >= '0' && part.p[k] <= '9' && parts[i] < 1000; ++k)
            parts[i] = parts[i] * 10 + (unsigned)(part.p[k] - '0');
    }
    return parts[0] * 10000 + parts[1] * 100 + parts[2];
}

/* The line of a replica: `slave0:ip=…,port=…,state=online,offset=…,lag=0`, and more in later versions. */
static bool is_replica(struct str name)
{
    struct str word = STR_LIT("slave");
    return str_starts_with(name, word) && name.n > word.n && name.p[word.n] >= '0' && name.p[word.n] <= '9';
}

static bool keeps_up(struct str value)
{
    bool online = false;
    uint64_t lag = UINT64_MAX;
    while (value.p != NULL) {
        struct str text = str_split(&value, ',');
        struct str name = str_split(&text, '=');
        if (str_eq(name, STR_LIT("state")))
            online = str_eq(text, STR_LIT("online"));
        else if (str_eq(name, STR_LIT("lag")) && units_parse_count(text, &lag) != 0)
            lag = UINT64_MAX;
    }
    return online && lag <= REPLICA_LAG_MAX_S;
}

static void take_field(struct redis_info *info, struct str name, struct str value)
{
    if (str_eq(name, STR_LIT("run_id")) && value.n < sizeof(info->run_id)) {
        memcpy(info->run_id, value.p, value.n);
        info->run_id[value.n] = '\0';
    } else if (str_eq(name, STR_LIT("redis_version"))) {
        info->version = version_number(value);
    } else if (str_eq(name, STR_LIT("role"))) {
        info->master = str_eq(value, STR_LIT("master"));
    } else if (str_eq(name, STR_LIT("cluster_enabled"))) {
        info->cluster = str_eq(value, STR_LIT("1"));
    } else if (str_eq(name, STR_LIT("connected_slaves"))) {
        info->replicas = 0; /* their lines follow */
    } else if (is_replica(name)) {
        info->replicas += keeps_up(value);
    }
}

/* Cuts the first line off *text: its name, and the value or STR_NONE. */
static struct str next_field(struct str *text, struct str *value)
{
    struct str line = str_split(text, '\n');
    if (line.n != 0 && line.p[line.n - 1] == '\r')
        --line.n;
    struct str name = str_split(&line, ':');
    *value = line;
    return name;
}

struct str redis_info_field(struct str text, struct str name)
{
    struct str value;
    while (text.p != NULL)
        if (str_eq(next_field(&text, &value), name))
            return value;
    return STR_NONE;
}

void redis_info_read(struct redis_info *info, struct str text)
{
    struct str value;
    while (text.p != NULL) {
        struct str name = next_field(&text, &value);
        if (value.p != NULL)
            take_field(info, name, value);
    }
}

enum redis_fitness redis_info_judge(const struct redis_info *info, const char **reason)
{
    if (info->cluster) {
        *reason = "this is Redis Cluster: one order of events needs one node (standalone or Sentinel)";
        return REDIS_UNFIT;
    }
    if (info->version < OLDEST_VERSION) {
        *reason = "this Redis is older than 6.2";
        return REDIS_UNFIT;
    }
    if (!info->master) {
        *reason = "this Redis is a replica";
        return REDIS_RETRY;
    }
    *reason = NULL;
    return REDIS_FIT;
}
