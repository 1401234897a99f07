/*
 * GET over http and https for the engine, through libcurl on the libuv loop. Layer: driver.
 *
 * A tracker may be anyone, and its answers may point anywhere, so each hop of a request (the first
 * address and every redirect, SK_HTTP_REDIRECTS_MAX at most) is judged by itself:
 * - only http and https, only port 80, 443 or from 1024 up (any port where the caller allows
 *   loopback: the user asked for it);
 * - names are looked up by our resolver, and libcurl is given the literal address that was judged:
 *   it never resolves a name, and a second look at the name cannot give another answer;
 * - an address must be of the scope allowed or a more public one; a hop that was made to an address
 *   of some scope narrows what later hops may reach to that scope.
 * A body counts unpacked, and only one layer of compression is taken off. Environment proxies are
 * not used: they would see what the bind address is to hide. Connections are not reused, since a
 * connection made under one scope must not serve another request.
 *
 * States of a request: resolving -> fetching -> (next address, or next hop) -> done.
 */
#ifndef SK_DRIVER_HTTP_H
#define SK_DRIVER_HTTP_H

#include "base/bytes.h"
#include "driver/resolver.h"

#include <uv.h>

struct sk_http_request;
struct sk_http_socket;

/* Called once for each request that is not cancelled, maybe before sk_http_get() returns. status
 * 0: nothing came, `error` says why (borrowed for the call). */
typedef void (*sk_http_fn)(void *ctx, uint64_t id, int status, struct sk_bytes body,
                           const char *error);

struct sk_http_config {
    uv_loop_t *loop;
    struct sk_resolver *resolver;
    struct sk_endpoint bind;
    uint32_t total_ms; /* for a whole request, look-ups and redirects included */
    uint32_t slow_s;   /* a request that gets under 10 bytes/s for as long is given up */
    sk_http_fn fn;
    void *ctx;
};

struct sk_http {
    struct sk_http_config config;
    void *multi; /* CURLM; NULL: not initialised */
    uv_timer_t timer;
    struct sk_http_request *requests;
    struct sk_http_socket *sockets; /* of libcurl, watched for it */
};

/* SKEP_ERR_NOMEM. The resolver must outlive the requests: deinit this, then the resolver. */
int sk_http_init(struct sk_http *http, const struct sk_http_config *config);
/* Cancels what is under way. The memory may go when the loop has closed the handles. */
void sk_http_deinit(struct sk_http *http);
void sk_http_get(struct sk_http *http, uint64_t id, const char *url, size_t bytes_max,
                 enum sk_scope scope);
void sk_http_cancel(struct sk_http *http, uint64_t id);

#endif
