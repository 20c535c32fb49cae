/* Texts and SHA-1 of the Lua scripts: shared parts are joined in front, so that each is one chunk for Redis. */
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include "core/embed.h"
#include "pubsub/scripts.h"

EMBED(publish_usage_lua, "pubsub/publish_usage.lua");
EMBED(common_lua, "pubsub/common.lua");
EMBED(publish_lua, "pubsub/publish.lua");
EMBED(canary_lua, "pubsub/canary.lua");
EMBED(totals_lua, "pubsub/totals.lua");
EMBED(erase_lua, "pubsub/erase.lua");
EMBED(cursors_lua, "pubsub/cursors.lua");
EMBED(identity_lua, "pubsub/identity.lua");
EMBED(register_lua, "pubsub/register.lua");
EMBED(leave_lua, "pubsub/leave.lua");
EMBED(reap_lua, "pubsub/reap.lua");
EMBED(disconnect_lua, "pubsub/disconnect.lua");
EMBED(offline_lua, "pubsub/offline.lua");

static struct {
    struct buf text;
    char sha1[SCRIPT_SHA1_LEN];
} scripts[SCRIPT_COUNT];

static pthread_once_t scripts_once = PTHREAD_ONCE_INIT;

#define PART(name) ((struct str){(name), EMBED_LEN(name)})

static void scripts_hash(struct str text, char hex[SCRIPT_SHA1_LEN])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    /* Without it no script could be called: as fatal as memory that is out. */
    if (EVP_Digest(text.p, text.n, digest, &n, EVP_sha1(), NULL) != 1 || n * 2 != SCRIPT_SHA1_LEN)
        abort();
    for (unsigned i = 0; i < n; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
}

static void scripts_join(enum script s, struct str shared, struct str own)
{
    buf_append(&scripts[s].text, shared);
    buf_append(&scripts[s].text, own);
}

static void scripts_make(void)
{
    buf_append(&scripts[SCRIPT_PUBLISH].text, PART(publish_usage_lua));
    scripts_join(SCRIPT_PUBLISH, PART(common_lua), PART(publish_lua));
    scripts_join(SCRIPT_CANARY, PART(common_lua), PART(canary_lua));
    scripts_join(SCRIPT_REGISTER, PART(identity_lua), PART(register_lua));
    scripts_join(SCRIPT_LEAVE, PART(identity_lua), PART(leave_lua));
    scripts_join(SCRIPT_REAP, PART(identity_lua), PART(reap_lua));
    scripts_join(SCRIPT_DISCONNECT, PART(identity_lua), PART(disconnect_lua));
    scripts_join(SCRIPT_OFFLINE, PART(identity_lua), PART(offline_lua));
    buf_append(&scripts[SCRIPT_TOTALS].text, PART(totals_lua));
    scripts_join(SCRIPT_ERASE, PART(common_lua), PART(erase_lua));
    buf_append(&scripts[SCRIPT_CURSORS].text, PART(cursors_lua));
    for (int s = 0; s < SCRIPT_COUNT; s++)
        scripts_hash(buf_str(&scripts[s].text), scripts[s].sha1);
}

struct str script_text(enum script s)
{
    pthread_once(&scripts_once, scripts_make);
    return buf_str(&scripts[s].text);
}

struct str script_sha1(enum script s)
{
    pthread_once(&scripts_once, scripts_make);
    return (struct str){scripts[s].sha1, SCRIPT_SHA1_LEN};
}
