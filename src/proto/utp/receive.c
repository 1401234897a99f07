#include "proto/utp/utp_internal.h"

#include "base/assert.h"
#include "base/mem.h"

/* Whether something came after something that did not. */
static bool has_gap(const struct sk_utp_conn *conn)
{
    return sk_utp_distance(conn->ack_nr, conn->highest_nr) > 0;
}

uint32_t sk_utp_conn_window(const struct sk_utp *utp, const struct sk_utp_conn *conn)
{
    size_t own = utp->config.window - SK_MIN(utp->config.window, conn->held_bytes);
    size_t all = SK_UTP_HELD_MAX - SK_MIN(SK_UTP_HELD_MAX, utp->held_bytes);
    size_t room = SK_MIN(own, all);
    return (uint32_t)(room - room / SK_UTP_HELD_COST);
}

size_t sk_utp_conn_sack(const struct sk_utp_conn *conn, uint8_t ret_mask[SK_UTP_SACK_WORDS_MAX])
{
    if (!has_gap(conn))
        return 0;
    size_t bits = (size_t)sk_utp_distance(conn->ack_nr, conn->highest_nr) - 1;
    bits = SK_MIN(bits, (size_t)SK_UTP_SACK_WORDS_MAX * 8);
    size_t size = (bits + 31) / 32 * 4;
    memset(ret_mask, 0, size);
    for (size_t i = 0; i < bits; i++)
        if (sk_utp_ring_get(&conn->received, (uint16_t)(conn->ack_nr + 2 + i)))
            ret_mask[i / 8] |= (uint8_t)(1 << i % 8);
    return size;
}

/* ---- what comes ---- */

static void take_out(struct sk_utp *utp, struct sk_utp_conn *conn, struct sk_utp_segment *segment)
{
    sk_utp_ring_remove(&conn->received, segment->seq_nr);
    conn->held_bytes -= segment->cost;
    utp->held_bytes -= segment->cost;
}

void sk_utp_conn_disown(struct sk_utp *utp, struct sk_utp_conn *conn)
{
    if (utp->fresh.conn == conn)
        utp->fresh.conn = NULL;
    while (conn->told_nr != conn->ack_nr) {
        struct sk_utp_segment *segment = sk_utp_ring_get(&conn->received, ++conn->told_nr);
        if (segment) {
            take_out(utp, conn, segment);
            sk_utp_pool_give(&utp->pool, segment);
        }
    }
}

/* What was waiting for ack_nr to come this far. */
static void advance(struct sk_utp *utp, struct sk_utp_conn *conn)
{
    struct sk_utp_segment *segment;
    bool owned = sk_utp_conn_has_owner(conn);
    while ((segment = sk_utp_ring_get(&conn->received, (uint16_t)(conn->ack_nr + 1)))) {
        conn->ack_nr++;
        if (!owned) {
            take_out(utp, conn, segment);
            sk_utp_pool_give(&utp->pool, segment);
        }
    }
    if (!owned)
        conn->told_nr = conn->ack_nr;
    if (!has_gap(conn))
        conn->highest_nr = conn->ack_nr;
}

/* Keeps a copy; false: no room or no memory for it, or there is one. */
static bool keep(struct sk_utp *utp, struct sk_utp_conn *conn, const struct sk_utp_packet *packet,
                 struct sk_bytes payload)
{
    int span = sk_utp_distance(conn->told_nr, packet->seq_nr);
    if (span > SK_UTP_SPAN_MAX || sk_utp_ring_get(&conn->received, packet->seq_nr))
        return false;
    if (conn->held_bytes + payload.n > utp->config.window || utp->held_bytes > SK_UTP_HELD_MAX)
        return false;
    if (sk_utp_ring_reserve(&conn->received, (uint32_t)span))
        return false;
    struct sk_utp_segment *segment = sk_utp_pool_take(&utp->pool, payload.n);
    if (!segment)
        return false;
    segment->seq_nr = packet->seq_nr;
    segment->size = (uint16_t)payload.n;
    if (payload.n)
        memcpy(sk_utp_payload(segment), payload.p, payload.n);
    sk_utp_ring_put(&conn->received, segment);
    conn->held_bytes += segment->cost;
    utp->held_bytes += segment->cost;
    if (sk_utp_distance(conn->highest_nr, packet->seq_nr) > 0)
        conn->highest_nr = packet->seq_nr;
    return true;
}

/* Whether a packet may be: nothing comes after a FIN, and there is one only. */
static bool fits_end(struct sk_utp_conn *conn, const struct sk_utp_packet *packet)
{
    if (conn->has_eof)
        return (packet->type == SK_UTP_FIN) == (packet->seq_nr == conn->eof_nr) &&
               sk_utp_distance(packet->seq_nr, conn->eof_nr) >= 0;
    return packet->type != SK_UTP_FIN || sk_utp_distance(conn->highest_nr, packet->seq_nr) > 0;
}

static void call_for_ack(struct sk_utp_conn *conn, uint64_t now_ns)
{
    bool fast = now_ns - conn->acked_ns < SK_UTP_ACK_LEAST_NS;
    conn->ack_every = fast ? SK_MIN(conn->ack_every * 2, SK_UTP_ACK_EVERY_MAX)
                           : SK_MAX(conn->ack_every / 2, SK_UTP_ACK_EVERY_MIN);
    conn->acked_ns = now_ns;
    conn->ack_now = true;
}

static void on_payload(struct sk_utp *utp, struct sk_utp_conn *conn,
                       const struct sk_utp_packet *packet, uint8_t *p, size_t n)
{
    int ahead = sk_utp_distance(conn->ack_nr, packet->seq_nr);
    bool owned = sk_utp_conn_has_owner(conn);
    bool gap = has_gap(conn);
    conn->unacked++;
    if (ahead <= 0 || !fits_end(conn, packet)) {
        conn->ack_now = true; /* ours got lost, or it is nonsense */
        return;
    }
    n = owned ? n : 0;
    if (ahead == 1 && conn->told_nr == conn->ack_nr && !(owned && conn->paused)) {
        conn->ack_nr++;
        if (n) {
            utp->fresh.conn = conn;
            utp->fresh.p = p;
            utp->fresh.n = n;
        } else {
            conn->told_nr++;
        }
    } else if (!keep(utp, conn, packet, sk_bytes(p, n))) {
        conn->ack_now = true;
        return;
    }
    if (packet->type == SK_UTP_FIN) {
        conn->has_eof = true;
        conn->eof_nr = packet->seq_nr;
    }
    advance(utp, conn);
    if (gap != has_gap(conn) || packet->type == SK_UTP_FIN || conn->unacked >= conn->ack_every)
        call_for_ack(conn, utp->now_ns);
    else if (conn->ack_at_ns == SK_TIME_NEVER)
        conn->ack_at_ns = utp->now_ns + SK_UTP_ACK_DELAY_NS;
}

static void measure(struct sk_utp *utp, struct sk_utp_conn *conn,
                    const struct sk_utp_packet *packet)
{
    conn->reply_us = sk_utp_timestamp(utp) - packet->timestamp_us;
    sk_ledbat_their_delay(&conn->ledbat, conn->reply_us, utp->now_ns);
    if (packet->timestamp_diff_us)
        sk_ledbat_delay(&conn->ledbat, packet->timestamp_diff_us, utp->now_ns);
}

/* The answer to our SYN has the number that their first data will have. */
static bool on_answer(struct sk_utp *utp, struct sk_utp_conn *conn,
                      const struct sk_utp_packet *packet)
{
    if (packet->type != SK_UTP_STATE || packet->ack_nr != (uint16_t)(conn->sent_nr - 1) ||
        conn->sent_nr == (uint16_t)(conn->acked_nr + 1))
        return false;
    conn->ack_nr = conn->told_nr = conn->highest_nr = (uint16_t)(packet->seq_nr - 1);
    sk_utp_conn_move(utp, conn, SK_UTP_CONN_OPEN);
    conn->tell_open = true;
    /* Who has nothing to say yet still tells that it is real. */
    conn->ack_at_ns = utp->now_ns + SK_UTP_ACK_DELAY_NS;
    return true;
}

/* Only who got our answer knows its number. */
static bool on_proof(struct sk_utp *utp, struct sk_utp_conn *conn,
                     const struct sk_utp_packet *packet)
{
    if (packet->ack_nr != conn->acked_nr)
        return false;
    sk_utp_conn_move(utp, conn, SK_UTP_CONN_OPEN);
    conn->tell_open = true;
    return true;
}

static bool is_plausible(struct sk_utp *utp, struct sk_utp_conn *conn,
                         const struct sk_utp_packet *packet)
{
    if (conn->state == SK_UTP_CONN_CONNECTING)
        return on_answer(utp, conn, packet);
    int ahead = sk_utp_distance(conn->ack_nr, packet->seq_nr);
    if (!sk_utp_conn_acks(conn, packet->ack_nr, 0) || ahead > SK_UTP_SPAN_MAX ||
        ahead < -SK_UTP_SPAN_MAX)
        return false;
    return conn->state != SK_UTP_CONN_HALF_OPEN || on_proof(utp, conn, packet);
}

static bool has_event(const struct sk_utp *utp, const struct sk_utp_conn *conn)
{
    return conn->tell_open || conn->tell_writable || utp->fresh.conn == conn ||
           (!conn->paused && (conn->told_nr != conn->ack_nr || conn->has_eof));
}

void sk_utp_conn_input(struct sk_utp *utp, struct sk_utp_conn *conn,
                       const struct sk_utp_packet *packet, uint8_t *datagram, size_t n)
{
    if (!is_plausible(utp, conn, packet)) {
        utp->stats.implausible++;
        return;
    }
    conn->packets_in++;
    conn->heard_at_ns = utp->now_ns;
    if (sk_utp_distance(conn->acked_nr, packet->ack_nr) >= 0) {
        measure(utp, conn, packet);
        conn->their_window = packet->window;
        sk_utp_conn_acked(utp, conn, packet);
    }
    if (packet->type != SK_UTP_STATE)
        on_payload(utp, conn, packet, datagram + packet->payload, n - packet->payload);
    if (conn->state == SK_UTP_CONN_CLOSING && !conn->sent.count)
        sk_utp_conn_move(utp, conn, SK_UTP_CONN_LINGER);
    if (sk_utp_conn_has_owner(conn) && has_event(utp, conn))
        sk_utp_list(&utp->telling, &conn->telling);
    sk_utp_list(&utp->sending, &conn->sending);
    sk_utp_conn_schedule(utp, conn);
}

/* ---- what is told ---- */

static void tell_bytes(struct sk_utp_conn *conn, uint8_t *p, size_t n, struct sk_utp_event *event)
{
    event->kind = SK_UTP_EVENT_DATA;
    event->data = p;
    event->n = n;
    conn->bytes_in += n;
}

static bool tell_fresh(struct sk_utp *utp, struct sk_utp_conn *conn, struct sk_utp_event *event)
{
    if (utp->fresh.conn != conn)
        return false;
    utp->fresh.conn = NULL;
    conn->told_nr++;
    tell_bytes(conn, utp->fresh.p, utp->fresh.n, event);
    return true;
}

/* Whether what we take has grown by so much that they should hear of it: by half of what it can be,
 * or to twice what they know of, which may be too little for them to go on. */
static bool has_reopened(const struct sk_utp *utp, const struct sk_utp_conn *conn)
{
    uint32_t window = sk_utp_conn_window(utp, conn), told = conn->told_window;
    if (window <= told)
        return false;
    uint32_t growth = window - told;
    return growth >= utp->config.window / 2 || (growth >= SK_UTP_WINDOW_NEWS && growth >= told);
}

static bool tell_held(struct sk_utp *utp, struct sk_utp_conn *conn, struct sk_utp_event *event)
{
    while (!conn->paused && conn->told_nr != conn->ack_nr) {
        struct sk_utp_segment *segment =
            sk_utp_ring_get(&conn->received, (uint16_t)(conn->told_nr + 1));
        conn->told_nr++;
        take_out(utp, conn, segment);
        if (has_reopened(utp, conn)) {
            conn->ack_now = true;
            sk_utp_list(&utp->sending, &conn->sending);
        }
        if (segment->size) {
            utp->lent = segment;
            tell_bytes(conn, sk_utp_payload(segment), segment->size, event);
            return true;
        }
        sk_utp_pool_give(&utp->pool, segment);
    }
    return false;
}

static bool tell_flag(bool *flag, enum sk_utp_event_kind kind, struct sk_utp_event *event)
{
    if (!*flag)
        return false;
    *flag = false;
    event->kind = kind;
    return true;
}

static bool tell_end_of_stream(struct sk_utp_conn *conn, struct sk_utp_event *event)
{
    if (!conn->has_eof || conn->eof_told || conn->paused || conn->told_nr != conn->eof_nr)
        return false;
    conn->eof_told = true;
    event->kind = SK_UTP_EVENT_EOF;
    return true;
}

int sk_utp_conn_event(struct sk_utp *utp, struct sk_utp_conn *conn, struct sk_utp_event *ret_event)
{
    struct sk_utp_event event = {.conn = conn, .owner = conn->owner, .reason = conn->reason};
    enum sk_utp_event_kind opened = conn->outgoing ? SK_UTP_EVENT_CONNECTED : SK_UTP_EVENT_INCOMING;
    bool found = tell_flag(&conn->tell_open, opened, &event);
    if (!found && conn->state == SK_UTP_CONN_CLOSED) {
        event.kind = SK_UTP_EVENT_CLOSED;
        found = true;
    }
    found = found || tell_fresh(utp, conn, &event) || tell_held(utp, conn, &event) ||
            tell_end_of_stream(conn, &event) ||
            tell_flag(&conn->tell_writable, SK_UTP_EVENT_WRITABLE, &event);
    if (found)
        *ret_event = event;
    return found;
}

void sk_utp_pause(struct sk_utp *utp, struct sk_utp_conn *conn, bool paused)
{
    conn->paused = paused;
    if (!paused && conn->state == SK_UTP_CONN_OPEN && has_event(utp, conn))
        sk_utp_list(&utp->telling, &conn->telling);
}
