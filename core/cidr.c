/* Addresses as 16 bytes, ranges of them, and the search for the client behind trusted proxies. */
#include <arpa/inet.h>
#include <stdlib.h>
#include "core/cidr.h"

#define BITS_OF_MAPPED 96 /* ::ffff:0:0/96 */

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

static bool is_mapped(const uint8_t addr[16])
{
    return memcmp(addr, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

static void map_ipv4(uint8_t addr[16], const void *four)
{
    memcpy(addr, mapped_prefix, sizeof(mapped_prefix));
    memcpy(addr + 12, four, 4);
}

bool cidr_from_sockaddr(uint8_t addr[16], const struct sockaddr *sa)
{
    memset(addr, 0, 16);
    if (sa->sa_family == AF_INET)
        map_ipv4(addr, &((const struct sockaddr_in *)sa)->sin_addr);
    else if (sa->sa_family == AF_INET6)
        memcpy(addr, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
    else
        return false;
    return true;
}

/* A bare IPv4 or IPv6 address; *v4 tells which. */
static int parse_bare(struct str text, uint8_t addr[16], bool *v4)
{
    char z[INET6_ADDRSTRLEN];
    uint8_t four[4];

    if (text.n == 0 || text.n >= sizeof(z) || memchr(text.p, '\0', text.n) != NULL)
        return -1;
    memcpy(z, text.p, text.n);
    z[text.n] = '\0';
    *v4 = inet_pton(AF_INET, z, four) == 1;
    if (*v4)
        map_ipv4(addr, four);
    else if (inet_pton(AF_INET6, z, addr) != 1)
        return -1;
    return 0;
}

/* A decimal number of at most `max`, without sign or leading zeros; -1 if it is none. */
static long parse_number(struct str text, long max)
{
    long v = 0;

    if (text.n == 0 || (text.n > 1 && text.p[0] == '0'))
        return -1;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return -1;
        v = v * 10 + (text.p[i] - '0');
        if (v > max)
            return -1;
    }
    return v;
}

/* Cuts `[v6]`, `[v6]:port` or `v4:port` in two. False if brackets stand wrong. */
static bool split_port(struct str text, struct str *host, struct str *port)
{
    struct str rest = text;

    *host = text;
    *port = STR_NONE;
    if (text.n > 0 && text.p[0] == '[') {
        rest = (struct str){text.p + 1, text.n - 1};
        *host = str_split(&rest, ']');
        if (rest.p == NULL || (rest.n > 0 && rest.p[0] != ':'))
            return false;
        if (rest.n > 0)
            *port = (struct str){rest.p + 1, rest.n - 1};
        return true;
    }
    str_split(&rest, ':');
    if (rest.n > 0 && memchr(rest.p, ':', rest.n) != NULL)
        return true; /* two colons: IPv6 */
    *port = rest;
    if (rest.p != NULL)
        host->n = text.n - rest.n - 1;
    return true;
}

int cidr_parse_address(struct str text, uint8_t addr[16])
{
    bool bracketed = text.n > 0 && text.p[0] == '[', v4;
    struct str host, port;

    if (!split_port(text, &host, &port) || (port.p != NULL && parse_number(port, UINT16_MAX) < 0))
        return -1;
    if (parse_bare(host, addr, &v4) != 0 || (bracketed && v4))
        return -1;
    return 0;
}

/* "10.0.0.0/8", "fd00::/8", or an address for itself alone. */
static int parse_range(struct str text, struct cidr *c)
{
    struct str bits = text, addr = str_split(&bits, '/');
    bool v4;
    long n;

    if (parse_bare(addr, c->addr, &v4) != 0)
        return -1;
    n = v4 ? 32 : 128;
    if (bits.p != NULL)
        n = parse_number(bits, n);
    if (n < 0)
        return -1;
    c->bits = (uint8_t)(n + (v4 ? BITS_OF_MAPPED : 0));
    return 0;
}

int cidr_list_parse(struct cidr_list *l, struct str text, struct str *bad)
{
    *l = (struct cidr_list){0};
    if (str_trim(text).n == 0)
        return 0;
    while (text.p != NULL) {
        struct str item = str_trim(str_split(&text, ','));
        struct cidr c;

        if (str_eq(item, STR_LIT("unix"))) {
            l->trust_unix = true;
            continue;
        }
        if (parse_range(item, &c) != 0) {
            cidr_list_free(l);
            *bad = item;
            return -1;
        }
        l->entries = mem_realloc(l->entries, (l->n + 1) * sizeof(*l->entries));
        l->entries[l->n++] = c;
    }
    return 0;
}

void cidr_list_free(struct cidr_list *l)
{
    free(l->entries);
    *l = (struct cidr_list){0};
}

static bool range_has(const struct cidr *c, const uint8_t addr[16])
{
    size_t whole = c->bits / 8;
    uint8_t mask = (uint8_t)(0xff00 >> (c->bits % 8)); /* of the byte behind the whole ones */

    return memcmp(c->addr, addr, whole) == 0 && (mask == 0 || ((c->addr[whole] ^ addr[whole]) & mask) == 0);
}

bool cidr_list_has(const struct cidr_list *l, const uint8_t addr[16])
{
    for (size_t i = 0; i < l->n; i++) {
        if (range_has(&l->entries[i], addr))
            return true;
    }
    return false;
}

size_t cidr_format(const uint8_t addr[16], char dst[46])
{
    if (is_mapped(addr))
        inet_ntop(AF_INET, addr + 12, dst, 46);
    else
        inet_ntop(AF_INET6, addr, dst, 46);
    return strlen(dst);
}

/* Cuts the part behind the last comma off *rest (all of it if there is none; *rest is then STR_NONE). */
static struct str split_last(struct str *rest)
{
    struct str all = *rest;
    const char *comma = all.n == 0 ? NULL : memrchr(all.p, ',', all.n);

    if (comma == NULL) {
        *rest = STR_NONE;
        return all;
    }
    *rest = (struct str){all.p, (size_t)(comma - all.p)};
    return (struct str){comma + 1, all.n - rest->n - 1};
}

void client_address(const struct cidr_list *l, bool peer_is_unix, const uint8_t peer[16], struct str x_forwarded_for,
                    struct str x_real_ip, uint8_t out[16])
{
    bool trusted = peer_is_unix ? l->trust_unix : cidr_list_has(l, peer);
    uint8_t hop[16];

    if (peer_is_unix)
        memset(out, 0, 16);
    else
        memcpy(out, peer, 16);
    if (trusted && str_trim(x_forwarded_for).n == 0) {
        if (cidr_parse_address(str_trim(x_real_ip), hop) == 0)
            memcpy(out, hop, 16);
        return;
    }
    while (trusted && x_forwarded_for.p != NULL) {
        struct str text = str_trim(split_last(&x_forwarded_for));

        if (text.n == 0)
            continue; /* RFC 9110 5.6.1.2: empty list elements count for nothing */
        if (cidr_parse_address(text, hop) != 0)
            return;
        memcpy(out, hop, 16);
        trusted = cidr_list_has(l, hop);
    }
}
