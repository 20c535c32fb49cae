/* The Lua scripts that belfry runs inside Redis: their texts and the SHA-1 that EVALSHA calls them by. */
#ifndef PUBSUB_SCRIPTS_H
#define PUBSUB_SCRIPTS_H

#include "core/str.h"

enum script {
    SCRIPT_PUBLISH,    /* publish_usage.lua + common.lua + publish.lua: the same text that `belfry script` prints */
    SCRIPT_CANARY,     /* common.lua + canary.lua */
    SCRIPT_TOTALS,     /* totals.lua */
    SCRIPT_ERASE,      /* common.lua + erase.lua */
    SCRIPT_CURSORS,    /* cursors.lua */
    SCRIPT_REGISTER,   /* identity.lua + register.lua */
    SCRIPT_LEAVE,      /* identity.lua + leave.lua */
    SCRIPT_REAP,       /* identity.lua + reap.lua */
    SCRIPT_DISCONNECT, /* identity.lua + disconnect.lua */
    SCRIPT_OFFLINE,    /* identity.lua + offline.lua */
    SCRIPT_COUNT,
};

#define SCRIPT_SHA1_LEN 40

/* Both are made once, at the first call of either, from whichever thread; they live as long as the process. */
struct str script_text(enum script s);
/* SCRIPT_SHA1_LEN lower-case hex digits. */
struct str script_sha1(enum script s);

#endif
