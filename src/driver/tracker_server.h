/*
 * An embedded tracker: HTTP (/announce, /scrape; libmicrohttpd) and UDP on one port number, on the
 * caller's libuv loop and without threads. Layer: driver. What it answers is decided in
 * proto/tracker/responder.h.
 *
 * It listens on 127.0.0.1 unless told otherwise. A peer's address is its socket's. What a slow or
 * idle client can hold is bounded: SK_TRACKER_SERVER_CONNECTIONS_MAX HTTP connections, each for
 * SK_TRACKER_SERVER_IDLE_S at most between two bytes.
 */
#ifndef SK_DRIVER_TRACKER_SERVER_H
#define SK_DRIVER_TRACKER_SERVER_H

#include "proto/tracker/responder.h"

#include <uv.h>

#define SK_TRACKER_SERVER_CONNECTIONS_MAX 512
#define SK_TRACKER_SERVER_IDLE_S 10
#define SK_TRACKER_SERVER_LISTEN_MAX 2

/* Called after each announce that was answered, with the time of uv_hrtime(). */
typedef void (*sk_tracker_server_fn)(void *ctx, const struct sk_tracker_announce *announce,
                                     const struct sk_endpoint *peer, uint64_t now_ns);

struct sk_tracker_server_config {
    uv_loop_t *loop;
    /* Addresses to listen on, at most SK_TRACKER_SERVER_LISTEN_MAX, their ports ignored; count 0 =
     * 127.0.0.1. They share the port and what is known of the swarms. */
    const struct sk_endpoint *listen;
    size_t listen_count;
    uint16_t port;                      /* TCP and UDP; 0 = the system chooses */
    struct sk_registry_config registry; /* its seed 0 = the system's entropy */
    bool trust_ip;                      /* see responder.h; only for labs */
    sk_tracker_server_fn announced;     /* may be NULL */
    void *ctx;
};

struct sk_tracker_server;

/*
 * A tracker that listens. SKEP_ERR_NETWORK (*ret_reason, static, says what failed; errno why),
 * SKEP_ERR_LIMIT (too many addresses), SKEP_ERR_NOMEM; also then the loop may have handles to
 * close.
 */
int sk_tracker_server_new(const struct sk_tracker_server_config *config,
                          struct sk_tracker_server **ret_server, const char **ret_reason);
/* Stops listening at once. The memory goes when the loop has closed the handles: run it once more.
 * Not from within the callback. NULL does nothing. */
void sk_tracker_server_free(struct sk_tracker_server *server);
uint16_t sk_tracker_server_port(const struct sk_tracker_server *server);
/* What it knows just now. */
void sk_tracker_server_counts(struct sk_tracker_server *server,
                              struct sk_registry_counts *ret_counts);

#endif
