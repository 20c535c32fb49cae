/* The opening handshake of a WebSocket (RFC 6455 4.2) and what belfry reads from its subprotocol offers. */
#include <stdlib.h>
#include <openssl/evp.h>
#include "core/http_request.h"

#define KEY_LEN 24 /* 16 bytes in base64 */
#define ACCEPT_LEN 28
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/* Whether a comma list holds a token, in any case. */
static bool list_has(struct str list, struct str token)
{
    while (list.p != NULL) {
        if (str_ieq(str_trim(str_split(&list, ',')), token))
            return true;
    }
    return false;
}

static bool is_base64_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '/';
}

static bool is_key(struct str s)
{
    if (s.n != KEY_LEN || s.p[KEY_LEN - 2] != '=' || s.p[KEY_LEN - 1] != '=')
        return false;
    for (size_t i = 0; i < KEY_LEN - 2; i++) {
        if (!is_base64_char(s.p[i]))
            return false;
    }
    return true;
}

int handshake_check(const struct handshake *h, const char **reason)
{
    *reason = NULL;
    if (!str_eq(h->method, STR_LIT("GET"))) {
        *reason = "a WebSocket handshake is a GET";
        return 405;
    }
    if (!list_has(h->upgrade, STR_LIT("websocket"))) {
        *reason = "no Upgrade: websocket; a proxy in between has to speak HTTP/1.1 and pass Upgrade and Connection on";
        return 426;
    }
    if (!h->http11)
        *reason = "a WebSocket handshake needs HTTP/1.1";
    else if (!list_has(h->connection, STR_LIT("upgrade")))
        *reason = "Connection does not name upgrade; a proxy in between has to pass it on";
    else if (h->version.p == NULL)
        *reason = "Sec-WebSocket-Version is missing";
    if (*reason != NULL)
        return 400;
    if (!str_eq(str_trim(h->version), STR_LIT("13"))) {
        *reason = "Sec-WebSocket-Version is not 13";
        return 426;
    }
    if (h->key.p == NULL)
        *reason = "Sec-WebSocket-Key is missing";
    else if (!is_key(str_trim(h->key)))
        *reason = "Sec-WebSocket-Key is not 16 bytes in base64";
    return *reason != NULL ? 400 : 101;
}

void handshake_accept(char dst[28], struct str key)
{
    unsigned char in[KEY_LEN + sizeof(GUID) - 1], hash[EVP_MAX_MD_SIZE], text[ACCEPT_LEN + 1];
    unsigned int n;

    key = str_trim(key);
    if (key.n != KEY_LEN)
        abort(); /* handshake_check comes first */
    memcpy(in, key.p, KEY_LEN);
    memcpy(in + KEY_LEN, GUID, sizeof(GUID) - 1);
    if (EVP_Digest(in, sizeof(in), hash, &n, EVP_sha1(), NULL) != 1)
        abort(); /* out of memory, or no SHA-1: then no handshake can succeed */
    EVP_EncodeBlock(text, hash, (int)n);
    memcpy(dst, text, ACCEPT_LEN);
}

struct handshake_offer handshake_offers(struct str protocols)
{
    const struct str prefix = STR_LIT("bearer.");
    struct handshake_offer offer = {.bearer = STR_NONE};

    while (protocols.p != NULL) {
        struct str p = str_trim(str_split(&protocols, ','));

        if (str_eq(p, STR_LIT("belfry.v1")))
            offer.belfry_v1 = true;
        else if (offer.bearer.p == NULL && str_starts_with(p, prefix))
            offer.bearer = (struct str){p.p + prefix.n, p.n - prefix.n};
    }
    return offer;
}
