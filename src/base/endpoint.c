#include "base/endpoint.h"

#include <skep/err.h>

#include "base/map.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

struct sk_endpoint sk_endpoint_v4(const uint8_t addr[4], uint16_t port)
{
    struct sk_endpoint e = {.port = port, .family = SK_FAMILY_V4};
    memcpy(e.addr, addr, 4);
    return e;
}

struct sk_endpoint sk_endpoint_v6(const uint8_t addr[16], uint16_t port)
{
    if (memcmp(addr, mapped, sizeof mapped) == 0)
        return sk_endpoint_v4(addr + 12, port);
    struct sk_endpoint e = {.port = port, .family = SK_FAMILY_V6};
    memcpy(e.addr, addr, 16);
    return e;
}

static int parse_port(const char *text, uint16_t *ret_port)
{
    unsigned long port = 0;
    if (!*text)
        return SKEP_ERR_INVALID;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9' || c - text >= 5)
            return SKEP_ERR_INVALID;
        port = port * 10 + (unsigned long)(*c - '0');
    }
    if (port > UINT16_MAX)
        return SKEP_ERR_INVALID;
    *ret_port = (uint16_t)port;
    return 0;
}

int sk_endpoint_parse(const char *text, uint16_t default_port, struct sk_endpoint *ret_endpoint)
{
    char ip[INET6_ADDRSTRLEN] = {0};
    const char *port_text = NULL;
    const char *end;
    bool bracket = *text == '[';
    if (bracket) {
        text++;
        end = strchr(text, ']');
        if (!end || (end[1] && end[1] != ':'))
            return SKEP_ERR_INVALID;
        port_text = end[1] ? end + 2 : NULL;
    } else {
        end = strchr(text, ':');
        if (end && strchr(end + 1, ':'))
            end = NULL; /* a bare IPv6 address */
        port_text = end ? end + 1 : NULL;
        end = end ? end : text + strlen(text);
    }
    if ((size_t)(end - text) >= sizeof ip)
        return SKEP_ERR_INVALID;
    memcpy(ip, text, (size_t)(end - text));
    uint16_t port = default_port;
    if (port_text ? parse_port(port_text, &port) : default_port == 0)
        return SKEP_ERR_INVALID;
    uint8_t addr[16];
    if (!bracket && inet_pton(AF_INET, ip, addr) == 1)
        *ret_endpoint = sk_endpoint_v4(addr, port);
    else if (inet_pton(AF_INET6, ip, addr) == 1)
        *ret_endpoint = sk_endpoint_v6(addr, port);
    else
        return SKEP_ERR_INVALID;
    return 0;
}

char *sk_endpoint_ip_text(const struct sk_endpoint *endpoint, char buffer[SK_ENDPOINT_TEXT_MAX])
{
    int family = endpoint->family == SK_FAMILY_V6 ? AF_INET6 : AF_INET;
    if (endpoint->family == SK_FAMILY_NONE ||
        !inet_ntop(family, endpoint->addr, buffer, SK_ENDPOINT_TEXT_MAX))
        strcpy(buffer, "?");
    return buffer;
}

char *sk_endpoint_text(const struct sk_endpoint *endpoint, char buffer[SK_ENDPOINT_TEXT_MAX])
{
    char ip[SK_ENDPOINT_TEXT_MAX];
    sk_endpoint_ip_text(endpoint, ip);
    bool v6 = endpoint->family == SK_FAMILY_V6;
    snprintf(buffer, SK_ENDPOINT_TEXT_MAX, v6 ? "[%.45s]:%u" : "%.45s:%u", ip, endpoint->port);
    return buffer;
}

bool sk_endpoint_same_ip(const struct sk_endpoint *a, const struct sk_endpoint *b)
{
    return a->family == b->family && memcmp(a->addr, b->addr, sizeof a->addr) == 0;
}

bool sk_endpoint_equal(const struct sk_endpoint *a, const struct sk_endpoint *b)
{
    return sk_endpoint_same_ip(a, b) && a->port == b->port;
}

int sk_endpoint_compare(const struct sk_endpoint *a, const struct sk_endpoint *b)
{
    if (a->family != b->family)
        return a->family - b->family;
    int order = memcmp(a->addr, b->addr, sizeof a->addr);
    return order ? order : a->port - b->port;
}

uint64_t sk_endpoint_hash(const struct sk_endpoint *endpoint, uint64_t seed)
{
    uint64_t a, b;
    memcpy(&a, endpoint->addr, 8);
    memcpy(&b, endpoint->addr + 8, 8);
    uint64_t tail = (uint64_t)endpoint->port << 8 | endpoint->family;
    return sk_hash_mix(sk_hash_mix(a ^ seed) ^ sk_hash_mix(b + seed) ^ tail);
}

unsigned sk_endpoint_to_sockaddr(const struct sk_endpoint *endpoint,
                                 struct sockaddr_storage *ret_storage)
{
    memset(ret_storage, 0, sizeof *ret_storage);
    if (endpoint->family == SK_FAMILY_V6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_storage;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(endpoint->port);
        memcpy(&in6->sin6_addr, endpoint->addr, 16);
        return sizeof *in6;
    }
    struct sockaddr_in *in = (struct sockaddr_in *)ret_storage;
    in->sin_family = AF_INET;
    in->sin_port = htons(endpoint->port);
    memcpy(&in->sin_addr, endpoint->addr, 4);
    return sizeof *in;
}

int sk_endpoint_from_sockaddr(const struct sockaddr *sockaddr, struct sk_endpoint *ret_endpoint)
{
    if (sockaddr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sockaddr;
        *ret_endpoint = sk_endpoint_v4((const uint8_t *)&in->sin_addr, ntohs(in->sin_port));
        return 0;
    }
    if (sockaddr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sockaddr;
        *ret_endpoint = sk_endpoint_v6((const uint8_t *)&in6->sin6_addr, ntohs(in6->sin6_port));
        return 0;
    }
    return SKEP_ERR_UNSUPPORTED;
}

/* Address ranges that are not public, by prefix; the first that fits decides. */
static const struct {
    uint8_t family, bits;
    uint8_t prefix[16];
    enum sk_scope scope;
} ranges[] = {
    {4, 8, {127}, SK_SCOPE_LOOPBACK},        {4, 8, {0}, SK_SCOPE_UNUSABLE},
    {4, 8, {10}, SK_SCOPE_PRIVATE},          {4, 12, {172, 16}, SK_SCOPE_PRIVATE},
    {4, 16, {192, 168}, SK_SCOPE_PRIVATE},   {4, 16, {169, 254}, SK_SCOPE_PRIVATE},
    {4, 8, {240}, SK_SCOPE_PRIVATE},         {4, 10, {100, 64}, SK_SCOPE_PRIVATE},
    {4, 3, {224}, SK_SCOPE_UNUSABLE},        {6, 128, {[15] = 1}, SK_SCOPE_LOOPBACK},
    {6, 128, {0}, SK_SCOPE_UNUSABLE},        {6, 7, {0xfc}, SK_SCOPE_PRIVATE},
    {6, 10, {0xfe, 0x80}, SK_SCOPE_PRIVATE}, {6, 8, {0xff}, SK_SCOPE_UNUSABLE},
};

static bool has_prefix(const uint8_t *addr, const uint8_t *prefix, unsigned bits)
{
    if (memcmp(addr, prefix, bits / 8) != 0)
        return false;
    unsigned rest = bits % 8;
    return rest == 0 || ((addr[bits / 8] ^ prefix[bits / 8]) >> (8 - rest)) == 0;
}

/* IPv6 addresses that only wrap an IPv4 one are as public as that one is. */
static const struct {
    uint8_t bits, at; /* prefix; where the IPv4 address stands */
    uint8_t prefix[16];
} wrappers[] = {
    {96, 12, {0x00, 0x64, 0xff, 0x9b}}, /* NAT64 */
    {16, 2, {0x20, 0x02}},              /* 6to4 */
};

enum sk_scope sk_endpoint_scope(const struct sk_endpoint *endpoint)
{
    for (size_t i = 0; i < sizeof wrappers / sizeof wrappers[0]; i++) {
        if (endpoint->family != SK_FAMILY_V6 ||
            !has_prefix(endpoint->addr, wrappers[i].prefix, wrappers[i].bits))
            continue;
        struct sk_endpoint inner = sk_endpoint_v4(endpoint->addr + wrappers[i].at, 0);
        return sk_endpoint_scope(&inner);
    }
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (ranges[i].family == endpoint->family &&
            has_prefix(endpoint->addr, ranges[i].prefix, ranges[i].bits))
            return ranges[i].scope;
    return endpoint->family == SK_FAMILY_NONE ? SK_SCOPE_UNUSABLE : SK_SCOPE_PUBLIC;
}

bool sk_endpoint_is_alias(const struct sk_endpoint *endpoint)
{
    return endpoint->family == SK_FAMILY_V4 && endpoint->addr[0] == SK_ENDPOINT_ALIAS_NET;
}

bool sk_endpoint_reachable_from(const struct sk_endpoint *endpoint, enum sk_scope source)
{
    enum sk_scope scope =
        sk_endpoint_is_alias(endpoint) ? SK_SCOPE_LOOPBACK : sk_endpoint_scope(endpoint);
    return endpoint->port != 0 && scope != SK_SCOPE_UNUSABLE && scope <= source;
}
