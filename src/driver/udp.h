/*
 * Datagrams: the shared UDP port (one socket a family) and the multicast groups of local service
 * discovery (BEP 14). Layer: driver.
 *
 * Datagrams are received and sent in batches, one system call for many: what is to be sent waits
 * for sk_udp_flush(), which comes when a batch of received ones was served, and after everything
 * else that made the engine send.
 *
 * Behind a SOCKS proxy there is one socket, for both families: what it sends goes to the proxy's
 * relay with a header in front, and what comes from anywhere else is dropped.
 *
 * The LSD sockets only listen; announces leave from the shared port, so that they carry the bind
 * address too, once through each interface. Multicast loopback stays on, since other clients of
 * this host are to hear us; the engine knows its own announces by their cookie. What the kernel
 * does not take at once is dropped: every protocol above repeats itself.
 */
#ifndef SK_DRIVER_UDP_H
#define SK_DRIVER_UDP_H

#include "engine/io.h"

#include <uv.h>

struct skep_runtime;

struct sk_udp_batch; /* what waits to be sent */

struct sk_udp_socket {
    uv_poll_t poll;
    struct skep_runtime *runtime;
    int fd;
    enum sk_family family;
    struct sk_udp_batch *batch; /* shared ports only */
    void (*input)(struct skep_engine *engine, const struct sk_endpoint *from,
                  struct sk_bytes datagram, uint64_t now_ns);
};

struct sk_udp {
    struct sk_udp_socket sockets[4]; /* shared v4, v6, LSD v4, v6 as far as they are there */
    unsigned count;
    uint8_t *receive; /* a batch of the longest that may come */
    bool receiving;   /* a batch of received ones is being served: no flush yet */
};

/* Takes over a bound socket as the shared port of its family. SKEP_ERR_NOMEM (socket closed). */
int sk_udp_add(struct sk_udp *udp, struct skep_runtime *runtime, int fd, enum sk_family family);
/* Listens to the LSD group of every family that has a shared port. That a host or network cannot
 * multicast is no error. */
void sk_udp_join_lsd(struct sk_udp *udp, struct skep_runtime *runtime);
void sk_udp_deinit(struct sk_udp *udp);
/* Copies the datagram; it goes out with the next flush. `whole`: now, and not in fragments: where
 * it is too long for the way it is dropped. */
void sk_udp_send(struct sk_udp *udp, const struct sk_endpoint *to, struct sk_bytes datagram,
                 bool whole);
/* Nothing happens while received datagrams are being served: their end flushes. */
void sk_udp_flush(struct sk_udp *udp);
void sk_udp_send_lsd(struct sk_udp *udp, enum sk_family family, struct sk_bytes datagram);

#endif
