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
 * Behind a SOCKS proxy names are the proxy's to look up, and where they lead is not seen here: the
 * proxy alone is connected to, literal addresses are judged all the same, and after a name a
 * redirect may lead to public addresses only.
 * A body counts unpacked, and only one layer of compression is taken off. Environment proxies are
 * not used: they would see what the bind address is to hide. Connections of whole GETs are not
 * reused. Those of ranges are, by ranges of the same host that were judged to lie at the very
 * address that the connection goes to (libcurl compares both).
 *
 * States of a request: resolving -> fetching -> (next address, or next hop) -> done.
 */
#ifndef SK_DRIVER_HTTP_H
#define SK_DRIVER_HTTP_H

#include "base/bytes.h"
#include "driver/resolver.h"
#include "swarm/webseed.h" /* struct sk_webseed_head */

#include <uv.h>

struct sk_http_request;
struct sk_http_socket;

/* Called once for each request that is not cancelled, maybe before sk_http_get() returns. status
 * 0: nothing came, `error` says why (borrowed for the call). */
typedef void (*sk_http_fn)(void *ctx, uint64_t id, int status, struct sk_bytes body,
                           const char *error);

/* Of ranges. `data` false: it is paused, as by sk_http_pause(). (All three may be NULL where none
 * is asked for.) Called from inside libcurl: nothing here may be called from them, before `fed`.
 * Data lives for the call. */
typedef void (*sk_http_head_fn)(void *ctx, uint64_t id, const struct sk_webseed_head *head);
typedef bool (*sk_http_data_fn)(void *ctx, uint64_t id, struct sk_bytes bytes);
typedef void (*sk_http_fed_fn)(void *ctx);

struct sk_http_config {
    uv_loop_t *loop;
    struct sk_resolver *resolver;
    struct sk_endpoint bind;
    const struct sk_proxy *proxy; /* NULL: none */
    uint32_t total_ms; /* for a whole request, look-ups and redirects included; of a range up to its
                          first byte */
    uint32_t slow_s;   /* a request that gets under 10 bytes/s (a range: 1,000) for as long is given
                          up */
    sk_http_fn fn;
    sk_http_head_fn head;
    sk_http_data_fn data;
    sk_http_fed_fn fed;
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
/* Bytes from `from` on, `length` of them (> 0): told by `head` and `data` as they come, what of the
 * server's body they are is the caller's to look at; then `fn` without a body. Of another status
 * than 200 and 206 nothing of the body is told. No compression is asked for or taken. */
void sk_http_get_range(struct sk_http *http, uint64_t id, const char *url, enum sk_scope scope,
                       uint64_t from, uint64_t length);
/* A range is not read for now, or again; `data` may be called before it returns. */
void sk_http_pause(struct sk_http *http, uint64_t id, bool pause);
void sk_http_cancel(struct sk_http *http, uint64_t id);

#endif
