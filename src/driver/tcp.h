/*
 * TCP connections for the engine, ten thousand at once. Layer: driver.
 *
 * The connections live on an epoll set of their own, which the libuv loop watches as one handle:
 * a connection then costs one small `struct sk_tcp_io` and one epoll_ctl() in its life, because
 * the set is edge-triggered. After a short read nothing more waits (epoll(7)); where reading
 * stopped early (fairness, a pause) the entry is written again, which brings the edge back.
 *
 * States of a connection: connecting (through a SOCKS proxy: to it, then by its dialogue) -> open
 * -> gone. Whatever ends one is told to the engine,
 * whose SK_OUT_CLOSE then closes it. The memory of a connection outlives the batch of events in
 * which it was closed.
 *
 * Memory: sizeof(struct sk_tcp_io) a connection. Received bytes go through the runtime's one
 * buffer; bytes to send stay in the engine.
 */
#ifndef SK_DRIVER_TCP_H
#define SK_DRIVER_TCP_H

#include "engine/io.h"
#include "proto/socks/socks.h"

#include <uv.h>

struct skep_runtime;

struct sk_tcp_io {
    struct sk_tcp_io *prev, *next;
    struct sk_conn *conn; /* NULL: a listener */
    int fd;               /* -1: closed */
    bool connecting;
    bool paused;
    bool blocked; /* the kernel's buffer is full */
    bool broken;  /* sending failed or the other side reset: what was received is still read */
    bool ended;   /* the engine knows that it failed or came to its end */
    struct sk_socks *socks; /* owned: the dialogue with the proxy, while connecting through one */
};

struct sk_tcp {
    struct skep_runtime *runtime; /* NULL: not initialised */
    int epoll;
    int spare; /* a descriptor kept back, to refuse connections when there are no others */
    bool in_batch;
    uv_poll_t poll;
    struct sk_tcp_io listeners[2];
    struct sk_tcp_io open, dead; /* heads of rings */
};

/* SKEP_ERR_NOMEM, SKEP_ERR_NETWORK. */
int sk_tcp_init(struct sk_tcp *tcp, struct skep_runtime *runtime);
/* Ends all connections; the engine is told that each is gone. */
void sk_tcp_deinit(struct sk_tcp *tcp);
/* Takes over a bound socket and accepts connections on it; at most two. A negative errno (the
 * socket is closed then). */
int sk_tcp_listen(struct sk_tcp *tcp, int fd);

/* What the engine wants. */
void sk_tcp_connect(struct sk_tcp *tcp, struct sk_conn *conn, const struct sk_endpoint *endpoint);
void sk_tcp_send(struct sk_tcp *tcp, struct sk_conn *conn);
void sk_tcp_close(struct sk_tcp *tcp, struct sk_conn *conn);
void sk_tcp_pause(struct sk_tcp *tcp, struct sk_conn *conn, bool paused);
/* How an errno of connect() is called. */
enum sk_conn_failure sk_tcp_failure(int error);
/* The same for what a proxy says, or, where it hung up, how far it had come. */
enum sk_conn_failure sk_tcp_proxy_failure(const struct sk_socks *socks);

#endif
