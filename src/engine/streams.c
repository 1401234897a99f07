/*
 * Connections over uTP: proto/utp is the transport, and this is between it and conn.c what the
 * driver's tcp.c is for TCP.
 */
#include "engine/internal.h"

#include "base/assert.h"

int sk_streams_init(struct skep_engine *engine)
{
    if (!(engine->config.transports & SKEP_TRANSPORT_UTP))
        return 0;
    struct sk_utp_config config = {
        .seed = sk_prng_u64(&engine->prng),
        .connections_max = SK_MIN(engine->config.connections_max, SK_UTP_CONNECTIONS_MAX),
        .accepts = !engine->config.no_listen,
    };
    return sk_utp_new(&config, engine->now_ns, &engine->utp);
}

/* ---- what the other side did ---- */

static void on_incoming(struct skep_engine *engine, struct sk_utp_conn *stream)
{
    const struct sk_endpoint *from = sk_utp_endpoint(stream);
    struct skep_peer *peer =
        (struct skep_peer *)sk_engine_conn_accepted(engine, from, engine->now_ns);
    if (!peer) {
        sk_utp_reset(engine->utp, stream);
        return;
    }
    peer->stream = stream;
    peer->is_stream = true;
    sk_utp_set_owner(stream, peer);
}

static void on_closed(struct skep_engine *engine, struct skep_peer *peer, enum sk_utp_reason reason)
{
    static const enum sk_conn_failure failures[] = {
        [SK_UTP_REASON_REFUSED] = SK_CONN_REFUSED,
        [SK_UTP_REASON_RESET] = SK_CONN_REFUSED,
        [SK_UTP_REASON_TIMEOUT] = SK_CONN_TIMEOUT,
    };
    peer->stream = NULL;
    if (peer->stage == SK_STAGE_CONNECTING)
        sk_engine_conn_failed(engine, &peer->conn, failures[reason], engine->now_ns);
    else
        sk_engine_conn_eof(engine, &peer->conn, reason == SK_UTP_REASON_RESET, engine->now_ns);
}

/* The handshake goes in a packet of its own: what comes in the same one lies unread in Transmission
 * 3.00 until the next, for which both sides would wait. */
static size_t write_part(struct skep_engine *engine, struct skep_peer *peer, struct sk_bytes bytes)
{
    const struct sk_peer_view *view = sk_peer_view(peer->session);
    uint64_t left = view->handshake_end - SK_MIN(view->handshake_end, view->bytes_out);
    if (left && left < bytes.n)
        bytes.n = (size_t)left;
    size_t taken = sk_utp_write(engine->utp, peer->stream, bytes);
    if (left && taken == left)
        sk_utp_cut(peer->stream);
    return taken;
}

/* Gives the stream what the session wants to send, as much as it takes. */
static void write_out(struct skep_engine *engine, struct skep_peer *peer)
{
    while (peer->stream && peer->stage == SK_STAGE_TALKING) {
        struct sk_bytes bytes = sk_engine_conn_output(&peer->conn);
        size_t taken = bytes.n ? write_part(engine, peer, bytes) : 0;
        if (!taken)
            return; /* WRITABLE goes on */
        sk_engine_conn_sent(engine, &peer->conn, taken, engine->now_ns);
    }
}

static void on_event(struct skep_engine *engine, const struct sk_utp_event *event)
{
    struct skep_peer *peer = event->owner;
    switch (event->kind) {
    case SK_UTP_EVENT_INCOMING:
        on_incoming(engine, event->conn);
        break;
    case SK_UTP_EVENT_CONNECTED:
        sk_engine_conn_connected(engine, &peer->conn, engine->now_ns);
        break;
    case SK_UTP_EVENT_DATA:
        sk_engine_conn_input(engine, &peer->conn, event->data, event->n, engine->now_ns);
        if (peer->paused && peer->stream) /* at once: a whole window may have been held */
            sk_utp_pause(engine->utp, peer->stream, true);
        break;
    case SK_UTP_EVENT_WRITABLE:
        write_out(engine, peer);
        break;
    case SK_UTP_EVENT_EOF:
        sk_engine_conn_eof(engine, &peer->conn, false, engine->now_ns);
        break;
    case SK_UTP_EVENT_CLOSED:
        on_closed(engine, peer, event->reason);
        break;
    }
}

static void serve_events(struct skep_engine *engine)
{
    struct sk_utp_event event;
    while (sk_utp_next_event(engine->utp, &event))
        on_event(engine, &event);
}

bool sk_streams_input(struct skep_engine *engine, const struct sk_endpoint *from, uint8_t *datagram,
                      size_t n)
{
    if (!engine->utp || !sk_utp_input(engine->utp, from, datagram, n, engine->now_ns))
        return false;
    serve_events(engine);
    return true;
}

void sk_streams_tick(struct skep_engine *engine)
{
    if (!engine->utp || sk_utp_deadline(engine->utp) > engine->now_ns)
        return;
    sk_utp_tick(engine->utp, engine->now_ns);
    serve_events(engine);
}

uint64_t sk_streams_deadline(const struct skep_engine *engine)
{
    return engine->utp ? sk_utp_deadline(engine->utp) : SK_TIME_NEVER;
}

/* ---- what we do ---- */

void sk_streams_connect(struct skep_peer *peer)
{
    struct skep_engine *engine = peer->engine;
    peer->is_stream = true;
    if (sk_utp_connect(engine->utp, &peer->conn.endpoint, engine->now_ns, &peer->stream)) {
        /* Told as the driver would tell it: not from within the dial. */
        peer->stream = NULL;
        sk_engine_set_timer(engine, &peer->timer, SK_TIMER_PEER, engine->now_ns);
        return;
    }
    sk_utp_set_owner(peer->stream, peer);
}

void sk_streams_do(struct skep_engine *engine, const struct sk_out *out)
{
    struct skep_peer *peer = (struct skep_peer *)out->conn;
    switch (out->kind) {
    case SK_OUT_SEND:
        write_out(engine, peer);
        break;
    case SK_OUT_CLOSE:
        if (peer->stream)
            sk_utp_close(engine->utp, peer->stream);
        peer->stream = NULL;
        sk_engine_conn_gone(engine, &peer->conn);
        break;
    case SK_OUT_READ_PAUSE:
    case SK_OUT_READ_RESUME:
        if (peer->stream)
            sk_utp_pause(engine->utp, peer->stream, out->kind == SK_OUT_READ_PAUSE);
        break;
    default:
        SK_ASSERT(false);
    }
}

int sk_engine_next_packet(struct skep_engine *engine, struct sk_out *ret_out)
{
    struct sk_utp_out packet;
    if (!engine->utp || !sk_utp_next_output(engine->utp, engine->now_ns, &packet))
        return 0;
    *ret_out = (struct sk_out){.kind = SK_OUT_UDP,
                               .endpoint = packet.to,
                               .bytes = packet.bytes,
                               .whole = packet.dont_fragment};
    return 1;
}
