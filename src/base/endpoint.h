/*
 * An endpoint: an IPv4 or IPv6 address with a port. Passed by value; compares and hashes as bytes.
 * IPv4-mapped IPv6 addresses are folded to IPv4 when made, so that one peer has one endpoint.
 */
#ifndef SK_BASE_ENDPOINT_H
#define SK_BASE_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;
struct sockaddr_storage;

enum sk_family {
    SK_FAMILY_NONE = 0,
    SK_FAMILY_V4 = 4,
    SK_FAMILY_V6 = 6,
};

struct sk_endpoint {
    uint8_t addr[16]; /* network order; IPv4 uses the first 4, the others are 0 */
    uint16_t port;    /* host order */
    uint8_t family;   /* enum sk_family */
    uint8_t zero;
};

/* "[ffff:...%]:65535" and the NUL. */
#define SK_ENDPOINT_TEXT_MAX 56

struct sk_endpoint sk_endpoint_v4(const uint8_t addr[4], uint16_t port);
struct sk_endpoint sk_endpoint_v6(const uint8_t addr[16], uint16_t port);
/* "1.2.3.4:5", "[::1]:5"; with a default_port other than 0 the port may be missing. Literal
 * addresses only, no names. SKEP_ERR_INVALID. */
int sk_endpoint_parse(const char *text, uint16_t default_port, struct sk_endpoint *ret_endpoint);
/* Writes "ip:port" or "[ip6]:port" and returns buffer. */
char *sk_endpoint_text(const struct sk_endpoint *endpoint, char buffer[SK_ENDPOINT_TEXT_MAX]);
/* The address without its port. */
char *sk_endpoint_ip_text(const struct sk_endpoint *endpoint, char buffer[SK_ENDPOINT_TEXT_MAX]);
bool sk_endpoint_equal(const struct sk_endpoint *a, const struct sk_endpoint *b);
bool sk_endpoint_same_ip(const struct sk_endpoint *a, const struct sk_endpoint *b);
int sk_endpoint_compare(const struct sk_endpoint *a, const struct sk_endpoint *b);
uint64_t sk_endpoint_hash(const struct sk_endpoint *endpoint, uint64_t seed);
/* Returns the length of what was written to `ret_storage`. */
unsigned sk_endpoint_to_sockaddr(const struct sk_endpoint *endpoint,
                                 struct sockaddr_storage *ret_storage);
/* SKEP_ERR_UNSUPPORTED for another family. */
int sk_endpoint_from_sockaddr(const struct sockaddr *sockaddr, struct sk_endpoint *ret_endpoint);

enum sk_scope {
    SK_SCOPE_PUBLIC,
    SK_SCOPE_PRIVATE,  /* RFC 1918, ULA, link-local, CGN */
    SK_SCOPE_LOOPBACK, /* 127/8, ::1 */
    SK_SCOPE_UNUSABLE, /* 0/8, multicast, broadcast, unspecified */
};

/* What kind of address it is: decides what a stranger may make us connect to. */
enum sk_scope sk_endpoint_scope(const struct sk_endpoint *endpoint);
/*
 * Whether it only stands for a name that a proxy is to look up (240.0.0.0/8, which no network
 * routes). Those are of our own making: nobody outside can point to one. As tellers they count as
 * private, as a tracker's name does.
 */
#define SK_ENDPOINT_ALIAS_NET 240u
bool sk_endpoint_is_alias(const struct sk_endpoint *endpoint);
/*
 * Whether a peer heard of from `source` may be dialled: usable, port not 0, and a stranger in a
 * wider scope cannot point us into a narrower one (a public tracker not at 127.0.0.1).
 */
bool sk_endpoint_reachable_from(const struct sk_endpoint *endpoint, enum sk_scope source);

#endif
