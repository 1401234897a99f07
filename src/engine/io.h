/*
 * The contract between the engine and whatever gives it a world: the driver (libuv) or, later, the
 * simulator. Layer: engine. Sans-I/O: the driver feeds events with the time, then drains outputs
 * until there are none, then asks for the deadline and sleeps.
 *
 * Connections over TCP are the driver's work, streams over uTP the engine's own (streams.c): no
 * output but packets comes of them.
 *
 * Connections: the engine makes a `struct sk_conn` for each; the driver hangs its own handle in
 * conn->io. The engine never touches a conn again after its SK_OUT_CLOSE was taken and the driver
 * called sk_engine_conn_gone(): that frees it. The driver must call it exactly once for each conn,
 * also when connecting failed.
 *
 * Memory: outputs wait in a bounded ring of the engine; views in an output live until the next
 * call into the engine.
 */
#ifndef SK_ENGINE_IO_H
#define SK_ENGINE_IO_H

#include "base/bytes.h"
#include "base/endpoint.h"
#include "swarm/webseed.h" /* struct sk_webseed_head */

struct skep_engine;
struct sk_conn;
struct sk_metainfo;

enum sk_out_kind {
    SK_OUT_CONNECT,     /* open a TCP connection: conn, endpoint */
    SK_OUT_SEND,        /* conn has bytes: take them with sk_engine_conn_output() */
    SK_OUT_CLOSE,       /* close conn (bytes already handed over may still go out) */
    SK_OUT_READ_PAUSE,  /* conn: stop reading (rate limit) */
    SK_OUT_READ_RESUME, /* conn: read again */
    SK_OUT_UDP,         /* send bytes to endpoint from the shared UDP port, `whole` or not at all */
    SK_OUT_LSD,         /* send bytes to the LSD group of endpoint.family */
    SK_OUT_RESOLVE,     /* look up `text` (a host name) for `id`; answer sk_engine_resolved() */
    SK_OUT_HTTP_GET,    /* fetch `text` (http or https) for `id`; answer sk_engine_http_done() */
    SK_OUT_HTTP_CANCEL, /* id */
    SK_OUT_HTTP_RANGE,  /* fetch `length64` bytes from `offset` on of `text`, for `id`: answer
                           sk_engine_web_head(), _data() and sk_engine_http_done() with no body */
    SK_OUT_HTTP_PAUSE,  /* id, of a range: read no more of it for now */
    SK_OUT_HTTP_RESUME, /* id */
    SK_OUT_WRITE,       /* disk: write bytes at `offset` of the torrent's space, for `id`; they live
                           until sk_engine_disk_written(). With `verify` only where it says that
                           they are `piece`: else SKEP_ERR_MISMATCH */
    SK_OUT_READ,        /* disk: read `length` bytes at `offset`, answer sk_engine_disk_read() */
};

struct sk_out {
    enum sk_out_kind kind;
    struct sk_conn *conn;
    struct sk_endpoint endpoint;
    struct sk_bytes bytes;
    const char *text;
    uint64_t id;
    uint64_t offset;
    uint32_t length;
    bool whole;       /* UDP: not in fragments */
    void *owned;      /* the engine's: what `bytes` and `text` borrow */
    uint32_t torrent; /* WRITE, READ: number of the torrent */
    uint32_t piece;   /* WRITE */
    const struct sk_metainfo *verify;
    uint64_t length64;   /* HTTP_RANGE */
    size_t bytes_max;    /* HTTP_GET: largest body accepted, unpacked */
    enum sk_scope scope; /* HTTP_GET, HTTP_RANGE: redirects and names may lead to addresses of this
                            scope or a more public one only (see base/endpoint.h) */
};

/* What the head of every conn looks like to a driver. */
struct sk_conn {
    void *io;                    /* the driver's */
    struct sk_endpoint endpoint; /* the other side */
    bool outgoing;
};

enum sk_conn_failure {
    SK_CONN_REFUSED,
    SK_CONN_UNREACHABLE, /* no route, network down, forbidden by the host */
    SK_CONN_TIMEOUT,
    SK_CONN_LOCAL, /* our side: no descriptors or ports left; tried again later */
    SK_CONN_PROXY, /* the SOCKS proxy could not be used */
};

/* The next thing to do: 1, or 0 when there is none. */
int sk_engine_next_output(struct skep_engine *engine, struct sk_out *ret_out);
/* The same for packets of uTP streams: to be taken when a whole batch of input was fed and nothing
 * else is left to do, so that one acknowledgement answers many packets. */
int sk_engine_next_packet(struct skep_engine *engine, struct sk_out *ret_out);
/* When sk_engine_tick() wants to be called, monotonic ns; SK_TIME_NEVER. */
uint64_t sk_engine_deadline(const struct skep_engine *engine);
void sk_engine_tick(struct skep_engine *engine, uint64_t now_ns);

void sk_engine_conn_connected(struct skep_engine *engine, struct sk_conn *conn, uint64_t now_ns);
void sk_engine_conn_failed(struct skep_engine *engine, struct sk_conn *conn,
                           enum sk_conn_failure failure, uint64_t now_ns);
/* conn_failed is answered with SK_OUT_CLOSE, after which nothing follows for this conn. */
/* An incoming connection: NULL when the engine does not want it (limits); close it then. */
struct sk_conn *sk_engine_conn_accepted(struct skep_engine *engine,
                                        const struct sk_endpoint *endpoint, uint64_t now_ns);
/* Bytes came: writable, borrowed for the call. After SK_OUT_CLOSE it is a no-op. */
void sk_engine_conn_input(struct skep_engine *engine, struct sk_conn *conn, uint8_t *bytes,
                          size_t n, uint64_t now_ns);
/* Bytes that one read should take at most: under a rate limit so few that all connections together
 * are hardly ahead of it. Never 0. */
size_t sk_engine_read_max(const struct skep_engine *engine);
/* End of stream or reset. The engine answers with SK_OUT_CLOSE. */
void sk_engine_conn_eof(struct skep_engine *engine, struct sk_conn *conn, bool reset,
                        uint64_t now_ns);
/* Bytes to send; the view lives until the next call into the engine for this conn. */
struct sk_bytes sk_engine_conn_output(const struct sk_conn *conn);
void sk_engine_conn_sent(struct skep_engine *engine, struct sk_conn *conn, size_t n,
                         uint64_t now_ns);
/* The driver's handle is closed; frees conn. */
void sk_engine_conn_gone(struct skep_engine *engine, struct sk_conn *conn);

/* A datagram on the shared UDP port, in memory that may be written to: streams are decrypted where
 * they lie. */
void sk_engine_udp_input(struct skep_engine *engine, const struct sk_endpoint *from,
                         struct sk_bytes datagram, uint64_t now_ns);
/* A datagram of the LSD group. */
void sk_engine_lsd_input(struct skep_engine *engine, const struct sk_endpoint *from,
                         struct sk_bytes datagram, uint64_t now_ns);
/* At most a few addresses (port 0); count 0 = the name has none, `error` a static phrase. */
void sk_engine_resolved(struct skep_engine *engine, uint64_t id, const struct sk_endpoint *found,
                        size_t count, const char *error, uint64_t now_ns);
/* status: HTTP status, or 0 with `error` (static or borrowed for the call) when none came. */
void sk_engine_http_done(struct skep_engine *engine, uint64_t id, int status, struct sk_bytes body,
                         const char *error, uint64_t now_ns);
/* Of a range: its head, then its body as it comes, in any pieces. Of another status than 200 and
 * 206 the body is not told. Nothing may be drained before these have returned to the driver's own
 * loop: what the engine wants may end the request that is being told of. */
void sk_engine_web_head(struct skep_engine *engine, uint64_t id, const struct sk_webseed_head *head,
                        uint64_t now_ns);
/* False: the engine will say whether to go on (HTTP_RESUME, _CANCEL); read no more of it before. */
bool sk_engine_web_data(struct skep_engine *engine, uint64_t id, struct sk_bytes bytes,
                        uint64_t now_ns);
/* err: 0 or a negative enum skep_err. */
void sk_engine_disk_written(struct skep_engine *engine, uint64_t id, int err, uint64_t now_ns);
void sk_engine_disk_read(struct skep_engine *engine, uint64_t id, int err, struct sk_bytes data,
                         uint64_t now_ns);

#endif
