/* Address ranges whose proxies are believed (TRUSTED_PROXIES), and the client address behind them. */
#ifndef CORE_CIDR_H
#define CORE_CIDR_H

#include <netinet/in.h>
#include "core/str.h"

struct cidr {
    uint8_t addr[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint8_t bits;     /* of 128 */
};

struct cidr_list {
    struct cidr *entries;
    size_t n;
    bool trust_unix;
};

/* Comma list of addresses, CIDRs and the word `unix`. 0, or -1 with the item at fault in *bad. */
int cidr_list_parse(struct cidr_list *l, struct str text, struct str *bad) MUST_CHECK;
void cidr_list_free(struct cidr_list *l);

/* A peer address as 16 bytes (IPv4-mapped). False for unix sockets. */
bool cidr_from_sockaddr(uint8_t addr[16], const struct sockaddr *sa);
/* 0, or -1 if `text` is no IPv4 or IPv6 address; brackets and a port (`1.2.3.4:5`, `[::1]:5`) are allowed and dropped.
 */
int cidr_parse_address(struct str text, uint8_t addr[16]) MUST_CHECK;
bool cidr_list_has(const struct cidr_list *l, const uint8_t addr[16]);
/* "1.2.3.4" or "2001:db8::1"; dst has room for 46 bytes. Returns the length. */
size_t cidr_format(const uint8_t addr[16], char dst[46]);

/* The client behind trusted proxies: the last untrusted hop of X-Forwarded-For (all field lines joined by commas), else
 * X-Real-IP, else the peer. `peer_is_unix` with list->trust_unix makes the peer trusted. A hop that is no address ends
 * the search at the hop before. The result for an untrusted unix peer is all zero. */
void client_address(const struct cidr_list *l, bool peer_is_unix, const uint8_t peer[16], struct str x_forwarded_for,
                    struct str x_real_ip, uint8_t out[16]);

#endif
