/*
 * uTP (BEP 29): all connections of one UDP port. Sans-I/O (proto): it is fed datagrams and time,
 * asked for events and for datagrams to send, and calls nobody back.
 *
 *   outgoing:  CONNECTING -> (CONNECTED) OPEN
 *   incoming:  HALF_OPEN -> (INCOMING) OPEN
 *   OPEN -> CLOSED (told), or sk_utp_close() -> the rest is the machine's: what is buffered, FIN,
 *   its acknowledgement, LINGER_NS in which late packets are answered.
 *
 * Feeding: sk_utp_input() borrows a writable datagram. The caller then takes all events before it
 * feeds the next datagram or reuses the buffer (a batch is many such turns), and after the batch
 * all outputs: acknowledgements of a batch go out as one. Then it asks for the deadline.
 *
 * A connection belongs to the machine. The owner may use it from sk_utp_connect() or INCOMING until
 * it calls sk_utp_close() or sk_utp_reset(), or has taken CLOSED: then it is gone, and no event of
 * it follows.
 *
 * Congestion control is LEDBAT as the BEP has it (see ledbat.h for where and why it departs), sizes
 * of packets are searched for (mtu.h). Other departures:
 *   - first sequence numbers are random on both sides, and the answer to a SYN has the number that
 *     the first data will have: as every deployed implementation does, unlike the BEP's figure;
 *   - what was lost is found by order of sending, not of numbers: three acknowledged packets that
 *     were sent later. For first transmissions this is the BEP's rule; it also finds a resent
 *     packet that was lost again, where the BEP waits for a time-out;
 *   - when nothing is acknowledged for two round trips, the last packet is sent again before the
 *     time-out (RFC 8985): what it brings about tells what was lost at the end of a window, and
 * what libtorrent has, whose packets with payload carry no mask for what came out of order;
 *   - what the window lets out is paced over the round trip, a quarter faster than it needs;
 *   - a packet of window probing goes out when the other side's window stays shut.
 *
 * Strangers: who sends a SYN gets one STATE of 20 bytes for it; the connection is told only once
 * the address has proved itself by acknowledging a number that it cannot know else. A packet of no
 * connection gets at most one RESET of 20 bytes, so many a second. Ids and first numbers are drawn
 * by SipHash. Acknowledgements of what was not sent, numbers outside the window, and resets that do
 * not name something sent are dropped.
 *
 * Memory: at most SK_UTP_IDLE_BYTES for a connection in which nothing is on its way; else its
 * packets on top, within SK_UTP_SEND_MAX and the receive window. All packets kept because they came
 * out of order or were held while reading was paused: SK_UTP_HELD_MAX bytes. Costs are O(1) a
 * packet, amortised; buffers are used again.
 */
#ifndef SK_PROTO_UTP_UTP_H
#define SK_PROTO_UTP_UTP_H

#include "base/bytes.h"
#include "base/endpoint.h"
#include "base/heap.h"

#define SK_UTP_IDLE_BYTES 768 /* with its place in the tables */

struct sk_utp;      /* owned: the port */
struct sk_utp_conn; /* the machine's */

struct sk_utp_config {
    uint64_t seed;            /* of ids and numbers: the system's entropy */
    uint32_t connections_max; /* 1 to SK_UTP_CONNECTIONS_MAX, all states together */
    bool accepts;             /* incoming connections; else a SYN gets a RESET */
    /* Bytes of the largest UDP payload that is tried. 0: what fits an Ethernet frame (1,472 over
     * IPv4, 1,452 over IPv6), wherever it goes: libtorrent has room for 1,500, acknowledges longer
     * ones and loses their end. At least SK_UTP_MTU_FLOOR. */
    uint32_t mtu_max;
    uint32_t window; /* receive window of a connection in bytes; 0: 3 MiB. At most
                        SK_UTP_WINDOW_MAX */
};

/* SKEP_ERR_INVALID (config), SKEP_ERR_NOMEM. */
int sk_utp_new(const struct sk_utp_config *config, uint64_t now_ns, struct sk_utp **ret_utp);
/* Frees all connections without a word to anybody. */
void sk_utp_free(struct sk_utp *utp);

/* ---- fed and timed ---- */

/*
 * A datagram, writable: payload is told from where it lies. True: it was uTP (well-formed, whatever
 * came of it). False: it is not, nothing happened. Ownership stays with the caller.
 */
bool sk_utp_input(struct sk_utp *utp, const struct sk_endpoint *from, uint8_t *datagram, size_t n,
                  uint64_t now_ns);
/* SK_TIME_NEVER. 0 while outputs wait. */
uint64_t sk_utp_deadline(const struct sk_utp *utp);
void sk_utp_tick(struct sk_utp *utp, uint64_t now_ns);

/* ---- asked ---- */

enum sk_utp_event_kind {
    SK_UTP_EVENT_INCOMING,  /* a new connection, open; endpoint */
    SK_UTP_EVENT_CONNECTED, /* ours was accepted */
    SK_UTP_EVENT_DATA,      /* the next bytes of the stream: data, n (never 0) */
    SK_UTP_EVENT_WRITABLE,  /* sk_utp_write() took less than all, and would take more now */
    SK_UTP_EVENT_EOF,       /* the other side has ended its stream; we may go on writing */
    SK_UTP_EVENT_CLOSED,    /* gone: reason. The handle is void after this */
};

enum sk_utp_reason {
    SK_UTP_REASON_REFUSED, /* a RESET to our SYN */
    SK_UTP_REASON_RESET,   /* a RESET later */
    SK_UTP_REASON_TIMEOUT, /* no answer, to a SYN or to data, after all tries */
};

/* `data` may be written to; valid until the next call into the machine that is not a
 * sk_utp_write(), sk_utp_pause() or a question. */
struct sk_utp_event {
    enum sk_utp_event_kind kind;
    struct sk_utp_conn *conn;
    void *owner; /* what sk_utp_set_owner() was given; NULL */
    uint8_t *data;
    size_t n;
    enum sk_utp_reason reason;
};

/* 1 and the next event, or 0. Every function that takes the time can make some. */
int sk_utp_next_event(struct sk_utp *utp, struct sk_utp_event *ret_event);

/* `dont_fragment`: a probe of the path's size. If the system refuses it as too long, drop it: that
 * is as good as an answer. Datagrams without it must be allowed to be fragmented. */
struct sk_utp_out {
    struct sk_endpoint to;
    struct sk_bytes bytes;
    bool dont_fragment;
};

/* 1 and a datagram to send, valid until the next call into the machine; or 0. Consecutive outputs
 * go to the same address where possible. The driver may stop taking them (a full socket, a rate
 * limit) and go on later: nothing counts as sent that was not taken. */
int sk_utp_next_output(struct sk_utp *utp, uint64_t now_ns, struct sk_utp_out *ret_out);

/* ---- connections ---- */

/* Begins to connect; CONNECTED or CLOSED follows (after three SYNs within 3 s at the latest).
 * SKEP_ERR_INVALID (no address or port), SKEP_ERR_LIMIT, SKEP_ERR_NOMEM. */
int sk_utp_connect(struct sk_utp *utp, const struct sk_endpoint *to, uint64_t now_ns,
                   struct sk_utp_conn **ret_conn);
/* Copies what it takes of the bytes and says how many; 0 to bytes.n. Less than all: WRITABLE will
 * come. Small writes are packed together. May be called before CONNECTED. */
size_t sk_utp_write(struct sk_utp *utp, struct sk_utp_conn *conn, struct sk_bytes bytes);
/* What is written next goes into another packet than what was written so far. */
void sk_utp_cut(struct sk_utp_conn *conn);
/* Paused: no DATA and no EOF is told (but what is in the datagram just fed), the window that we
 * offer shrinks with what comes. Takes effect at once, also among events being taken. */
void sk_utp_pause(struct sk_utp *utp, struct sk_utp_conn *conn, bool paused);
/* The owner is done: what was written is sent, then FIN; what still comes is dropped. One that is
 * not connected yet is given up. */
void sk_utp_close(struct sk_utp *utp, struct sk_utp_conn *conn);
/* At once: the other side gets a RESET, what was written is dropped. */
void sk_utp_reset(struct sk_utp *utp, struct sk_utp_conn *conn);

void sk_utp_set_owner(struct sk_utp_conn *conn, void *owner);
const struct sk_endpoint *sk_utp_endpoint(const struct sk_utp_conn *conn);
bool sk_utp_outgoing(const struct sk_utp_conn *conn);

/* ---- what it did ---- */

struct sk_utp_conn_stats {
    uint64_t bytes_in, bytes_out;     /* of the stream: told in order, acknowledged */
    uint64_t packets_in, packets_out; /* with payload or not */
    uint64_t resent;                  /* packets */
    uint64_t timeouts;
    uint64_t rtt_ns, rtt_var_ns; /* 0: not known yet */
    uint64_t queue_delay_ns;     /* what LEDBAT sees of our packets' queueing */
    uint32_t window;             /* LEDBAT's, bytes */
    uint32_t in_flight, unsent;  /* bytes */
    uint32_t their_window;       /* bytes that they offer */
    uint32_t mtu;                /* UDP payload that we send */
};
void sk_utp_conn_stats(const struct sk_utp_conn *conn, struct sk_utp_conn_stats *ret_stats);

struct sk_utp_stats {
    uint64_t packets_in, packets_out, bytes_in, bytes_out; /* UDP payloads */
    uint64_t refused;     /* SYNs without a connection: not accepting, or no room */
    uint64_t unknown;     /* packets of no connection */
    uint64_t implausible; /* dropped: numbers or acknowledgements outside what can be */
    uint64_t resets_in, resets_out;
    uint32_t connections, half_open, closing; /* now; the first counts all */
    size_t bytes;                             /* of memory: packets, tables, connections */
};
void sk_utp_stats(const struct sk_utp *utp, struct sk_utp_stats *ret_stats);
/* NULL, or what does not hold of what must. For tests and the simulator; walks everything. */
const char *sk_utp_fault(const struct sk_utp *utp);

#endif
