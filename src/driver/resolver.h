/*
 * Names to addresses, through c-ares on the libuv loop, so that look-ups obey the bind address as
 * every other socket does. Layer: driver.
 *
 * Literal addresses are answered at once; /etc/hosts and "localhost" are honoured before the name
 * servers of /etc/resolv.conf are asked. Addresses of a family that the bind address cannot reach
 * are not looked up. IPv4 comes first in an answer: a host without IPv6 loses no time then.
 *
 * Behind a SOCKS proxy c-ares is not even set up: a name gets an alias (proxy.h), and the proxy is
 * asked for it.
 */
#ifndef SK_DRIVER_RESOLVER_H
#define SK_DRIVER_RESOLVER_H

#include "base/endpoint.h"
#include "driver/proxy.h"

#include <uv.h>

struct sk_resolver_poll;
struct ares_channeldata;

struct sk_resolver {
    uv_loop_t *loop;
    struct ares_channeldata *channel; /* NULL: not initialised */
    uv_timer_t timer;
    struct sk_endpoint bind;
    struct sk_resolver_poll *polls; /* c-ares' sockets */
    struct sk_proxy *proxy;         /* borrowed; NULL: names are looked up here */
};

/* Called once for each look-up, maybe before sk_resolver_lookup() returns. `found` (port 0) lives
 * for the call; count 0: `error` is a static phrase. */
typedef void (*sk_resolver_fn)(void *ctx, uint64_t id, const struct sk_endpoint *found,
                               size_t count, const char *error);

/*
 * `servers`: "ip:port,..." in place of the system's name servers; NULL takes those. SKEP_ERR_NOMEM,
 * SKEP_ERR_NETWORK (the system's configuration cannot be read), SKEP_ERR_INVALID (servers).
 */
int sk_resolver_init(struct sk_resolver *resolver, uv_loop_t *loop, const struct sk_endpoint *bind,
                     const char *servers);
/* One that looks nothing up: it gives the proxy's aliases. */
void sk_resolver_init_proxy(struct sk_resolver *resolver, struct sk_proxy *proxy);
/* Look-ups under way end with an error. The memory may go when the loop has closed the handles. */
void sk_resolver_deinit(struct sk_resolver *resolver);
void sk_resolver_lookup(struct sk_resolver *resolver, const char *name, sk_resolver_fn fn,
                        void *ctx, uint64_t id);

#endif
