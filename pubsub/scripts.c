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

static void scripts_make(void)
{
    struct buf *publish = &scripts[SCRIPT_PUBLISH].text, *canary = &scripts[SCRIPT_CANARY].text;
    struct buf *erase = &scripts[SCRIPT_ERASE].text;

    buf_append(publish, PART(publish_usage_lua));
    buf_append(publish, PART(common_lua));
    buf_append(publish, PART(publish_lua));
    buf_append(canary, PART(common_lua));
    buf_append(canary, PART(canary_lua));
    buf_append(&scripts[SCRIPT_TOTALS].text, PART(totals_lua));
    buf_append(erase, PART(common_lua));
    buf_append(erase, PART(erase_lua));
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
