/*
 * A SOCKS5 proxy as the only way out (RFC 1928). Layer: driver. Fail-closed: while a runtime has
 * one, every socket that it opens is connected to the proxy or sends to the relay that the proxy
 * named; nothing listens, nothing is looked up here.
 *
 * - TCP: each connection is a dialogue of its own (tcp.c), HTTP is libcurl's (http.c).
 * - Names: the resolver gives an alias for each, an address that no network routes and
 *   no stranger can tell us (base/endpoint.h). Who connects or sends there asks the proxy
 *   for the name.
 * - UDP: one association, held by a stream that stays open (udp.c sends and receives by it). What
 *   comes back for a name comes from an address: until the protocol above knows better, a datagram
 *   from the port that a name was just asked at is offered under both.
 *
 *   association: OFF -> DIALING -> TALKING -> UP -> WAITING (the stream ended) -> DIALING ...
 *                                          -> OFF (refused, with a reason; only at the start)
 *
 * Memory: the names, SK_PROXY_NAMES_MAX at most.
 */
#ifndef SK_DRIVER_PROXY_H
#define SK_DRIVER_PROXY_H

#include "proto/socks/socks.h"

#include <uv.h>

struct skep_runtime;

#define SK_PROXY_PATIENCE_MS 15000
#define SK_PROXY_PORT 1 /* that we announce where nobody can call us: no client dials it */

enum sk_proxy_state {
    SK_PROXY_OFF,
    SK_PROXY_DIALING,
    SK_PROXY_TALKING,
    SK_PROXY_UP,
    SK_PROXY_WAITING,
};

/* A name that stands behind an alias. */
struct sk_proxy_name {
    char *text;
    uint16_t port;    /* where it was last sent a datagram */
    uint64_t sent_ns; /* when; 0 never */
};

struct sk_proxy {
    struct skep_runtime *runtime; /* NULL: there is no proxy */
    struct sk_endpoint endpoint;
    struct sk_socks_account account;
    struct sk_proxy_name *names;
    size_t names_count;
    enum sk_proxy_state state;
    struct sk_socks socks; /* of the association */
    int fd;                /* its stream; -1 */
    uv_poll_t *poll;       /* its watch, on the heap: it outlives the stream by a round */
    uv_timer_t timer;
    uint64_t patience_ms;     /* with one attempt at an association */
    uint64_t wait_ms;         /* before the next attempt */
    struct sk_endpoint relay; /* where datagrams go while it is UP */
    char reason[80];          /* why it is not */
};

/*
 * [USER:PASSWORD@]ADDRESS:PORT. The address is one in numbers, or localhost: a name would have to
 * be looked up outside the proxy. `account` ("USER:PASSWORD", NULL: none) goes before what the text
 * says. SKEP_ERR_INVALID.
 */
int sk_proxy_parse(const char *text, const char *account, struct sk_endpoint *ret_endpoint,
                   struct sk_socks_account *ret_account);

/*
 * Tries the proxy: runs the loop until it has an association or was refused one (then state OFF,
 * which is no error). SKEP_ERR_NETWORK: it cannot be reached, speaks no SOCKS5, or does not let us
 * in, within `patience_ms` (0, or more than it: SK_PROXY_PATIENCE_MS); `reason` says which.
 */
int sk_proxy_open(struct sk_proxy *proxy, struct skep_runtime *runtime,
                  const struct sk_endpoint *endpoint, const struct sk_socks_account *account,
                  uint64_t patience_ms);
void sk_proxy_deinit(struct sk_proxy *proxy);

/*
 * Names that need no look-up, whose address must be judged like any other before the proxy is asked
 * for it: this machine's (RFC 6761) and IPv4 addresses in the forms that inet_aton takes, such as
 * 127.1, with or without a dot at the end.
 */
bool sk_proxy_known(const char *name, struct sk_endpoint *ret_address);
/* An alias for the name, port 0. SKEP_ERR_LIMIT, SKEP_ERR_NOMEM; SKEP_ERR_INVALID: too long. */
int sk_proxy_alias(struct sk_proxy *proxy, const char *name, struct sk_endpoint *ret_alias);
/* The name behind an alias; NULL for every other address. */
const char *sk_proxy_name(const struct sk_proxy *proxy, const struct sk_endpoint *endpoint);

/* The header of a datagram to `to`; 0: cannot be sent. Room for SK_SOCKS_HEADER_MAX. */
size_t sk_proxy_wrap(struct sk_proxy *proxy, const struct sk_endpoint *to, uint64_t now_ns,
                     uint8_t *ret_header);
/* From the `at`th alias on, the next one that this datagram may have come from; false: none. */
bool sk_proxy_next_alias(const struct sk_proxy *proxy, const struct sk_endpoint *from,
                         uint64_t now_ns, size_t *at, struct sk_endpoint *ret_alias);

#endif
