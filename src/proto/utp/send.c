#include "proto/utp/utp_internal.h"

#include "base/assert.h"

#define PACE 1.25                       /* windows a round trip */
#define PACE_START 2.0                  /* the same in slow start, where the window doubles in it */
#define PACE_BURSTS 32                  /* at once may be sent: so large a part of a window, ... */
#define PACE_PACKETS 8.0                /* ... so many packets, ... */
#define PACE_BURST_NS (2.0 * SK_UTP_MS) /* ... what is due in so long: timers are no finer */

static struct sk_utp_segment *first_of(const struct sk_link *head)
{
    struct sk_link *link = sk_list_first(head);
    return link ? SK_CONTAINER_OF(link, struct sk_utp_segment, link) : NULL;
}

/* ---- what is to be sent ---- */

struct sk_utp_segment *sk_utp_conn_begin(struct sk_utp *utp, struct sk_utp_conn *conn,
                                         enum sk_utp_type type, size_t capacity)
{
    /* One place is left for the FIN. */
    uint32_t span = (uint16_t)(conn->seq_nr - conn->acked_nr);
    if (span > SK_UTP_SPAN_MAX - (type != SK_UTP_FIN) ||
        conn->flight_bytes + conn->lost_bytes + conn->unsent_bytes > SK_UTP_SEND_MAX ||
        sk_utp_ring_reserve(&conn->sent, span))
        return NULL;
    struct sk_utp_segment *segment = sk_utp_pool_take(&utp->pool, capacity);
    if (!segment)
        return NULL;
    segment->type = (uint8_t)type;
    segment->seq_nr = conn->seq_nr++;
    sk_utp_ring_put(&conn->sent, segment);
    if (conn->rto_at_ns == SK_TIME_NEVER)
        sk_utp_conn_arm(utp, conn);
    return segment;
}

/* The last one, if more can be put into it. */
static struct sk_utp_segment *unfilled(const struct sk_utp_conn *conn)
{
    struct sk_utp_segment *last = conn->sent_nr == conn->seq_nr
                                      ? NULL
                                      : sk_utp_ring_get(&conn->sent, (uint16_t)(conn->seq_nr - 1));
    return last && last->size < last->capacity ? last : NULL;
}

/* The size of a probe that so many bytes fill; 0: none is wanted. */
static size_t probe_size(const struct sk_utp_conn *conn, size_t n)
{
    size_t size = SK_MIN((size_t)sk_utp_mtu_wanted(&conn->mtu), n + SK_UTP_HEADER_SIZE);
    bool tells = size >= (size_t)conn->mtu.floor + SK_UTP_MTU_STEP || size == conn->mtu.ceiling;
    return tells && conn->state == SK_UTP_CONN_OPEN ? size : 0;
}

static struct sk_utp_segment *begin_data(struct sk_utp *utp, struct sk_utp_conn *conn, size_t n)
{
    size_t probe = probe_size(conn, n);
    size_t size = probe ? probe : conn->mtu.floor;
    struct sk_utp_segment *segment =
        sk_utp_conn_begin(utp, conn, SK_UTP_DATA, size - SK_UTP_HEADER_SIZE);
    if (segment && probe) {
        segment->probe = true;
        sk_utp_mtu_sent(&conn->mtu, (uint16_t)probe);
    }
    return segment;
}

/* Bytes that may wait for their first sending: enough to go on with until the owner has heard that
 * there is room, and little where little goes out. */
static uint32_t unsent_max(const struct sk_utp_conn *conn)
{
    return SK_MIN(SK_UTP_CONN_UNSENT_LEAST + (uint32_t)conn->ledbat.window, SK_UTP_CONN_UNSENT_MAX);
}

size_t sk_utp_write(struct sk_utp *utp, struct sk_utp_conn *conn, struct sk_bytes bytes)
{
    size_t taken = 0;
    if (!sk_utp_conn_has_owner(conn))
        return 0;
    while (taken < bytes.n && conn->unsent_bytes < unsent_max(conn)) {
        struct sk_utp_segment *segment = unfilled(conn);
        if (!segment)
            segment = begin_data(utp, conn, bytes.n - taken);
        if (!segment)
            break;
        size_t n = SK_MIN(bytes.n - taken, (size_t)(segment->capacity - segment->size));
        memcpy(sk_utp_payload(segment) + segment->size, bytes.p + taken, n);
        segment->size = (uint16_t)(segment->size + n);
        conn->unsent_bytes += (uint32_t)n;
        taken += n;
    }
    conn->wants_write = taken < bytes.n;
    /* Without memory nothing may be under way whose end would tell that there is room. */
    if (conn->rto_at_ns == SK_TIME_NEVER && conn->wants_write)
        conn->rto_at_ns = utp->now_ns + conn->rto_ns;
    sk_utp_list(&utp->sending, &conn->sending);
    sk_utp_conn_schedule(utp, conn);
    return taken;
}

void sk_utp_cut(struct sk_utp_conn *conn)
{
    struct sk_utp_segment *last = unfilled(conn);
    if (last)
        last->capacity = last->size;
}

void sk_utp_conn_offer(struct sk_utp *utp, struct sk_utp_conn *conn)
{
    if (conn->wants_write && conn->unsent_bytes <= unsent_max(conn) / 2 &&
        conn->state == SK_UTP_CONN_OPEN) {
        conn->wants_write = false;
        conn->tell_writable = true;
        sk_utp_list(&utp->telling, &conn->telling);
    }
}

/* How long a silence lasts until the last packet is sent again; SK_TIME_NEVER: it is not. */
static uint64_t tail_wait_ns(const struct sk_utp_conn *conn)
{
    const struct sk_link *first = sk_list_first(&conn->flight);
    if (!first || conn->tail_probed || conn->doublings || !conn->rtt_ns)
        return SK_TIME_NEVER;
    uint64_t wait_ns = 2 * conn->rtt_ns + 4 * conn->rtt_var_ns;
    /* A packet that is alone may be acknowledged late, as another one is waited for. */
    if (!sk_list_next(&conn->flight, first))
        wait_ns += SK_UTP_TAIL_ALONE_NS;
    return SK_MAX(wait_ns, SK_UTP_TAIL_MIN_NS);
}

void sk_utp_conn_arm(struct sk_utp *utp, struct sk_utp_conn *conn)
{
    uint64_t wait_ns = SK_MIN(conn->rto_ns << conn->doublings, SK_UTP_RTO_MAX_NS);
    uint64_t tail_ns = tail_wait_ns(conn);
    bool waits = conn->sent.count || conn->wants_write;
    conn->tail_due = tail_ns < wait_ns;
    conn->rto_at_ns = waits ? utp->now_ns + SK_MIN(wait_ns, tail_ns) : SK_TIME_NEVER;
}

/* ---- losses ---- */

static void mark_lost(struct sk_utp_conn *conn, struct sk_utp_segment *segment)
{
    sk_list_move_last(&conn->lost, &segment->link);
    segment->lost = true;
    conn->flight_bytes -= segment->size;
    conn->lost_bytes += segment->size;
    if (segment->probe) {
        segment->probe = false;
        sk_utp_mtu_lost(&conn->mtu, segment->capacity + SK_UTP_HEADER_SIZE);
    }
}

void sk_utp_conn_probe_tail(struct sk_utp *utp, struct sk_utp_conn *conn)
{
    struct sk_utp_segment *segment = first_of(&conn->lost);
    conn->tail_probed = true;
    if (!segment && sk_list_first(&conn->flight)) {
        segment = SK_CONTAINER_OF(conn->flight.prev, struct sk_utp_segment, link);
        mark_lost(conn, segment);
    }
    if (segment) {
        segment->tail = conn->forced = true;
        sk_utp_list(&utp->sending, &conn->sending);
    }
    sk_utp_conn_arm(utp, conn);
}

/* In the order of their numbers: only the first is sure to be missing, since what a mask was too
 * short to tell of may have arrived. */
void sk_utp_conn_lose_all(struct sk_utp_conn *conn)
{
    for (uint16_t nr = (uint16_t)(conn->acked_nr + 1); nr != conn->sent_nr; nr++) {
        struct sk_utp_segment *segment = sk_utp_ring_get(&conn->sent, nr);
        if (segment && segment->lost)
            sk_list_move_last(&conn->lost, &segment->link);
        else if (segment)
            mark_lost(conn, segment);
    }
}

/* A probe that got lost says something of its size, and nothing of congestion. */
static void lose(struct sk_utp_conn *conn, struct sk_utp_segment *segment)
{
    bool probe = segment->probe;
    mark_lost(conn, segment);
    if (!probe && sk_ledbat_lost(&conn->ledbat))
        conn->round_order = conn->orders;
}

/* ---- acknowledgements ---- */

/* Whether the next packet would be further after one that is missing than the other side keeps. */
static bool spans_too_much(const struct sk_utp_conn *conn)
{
    return (uint32_t)sk_utp_distance(conn->acked_nr, conn->sent_nr) > conn->span_max;
}

struct tally {
    uint32_t bytes, packets;
    /* The shortest: what took longer waited for an acknowledgement that was delayed or lost.
     * SK_TIME_NEVER: none. */
    uint64_t rtt_ns;
};

static void measure_rtt(struct sk_utp_conn *conn, uint64_t rtt_ns)
{
    if (!conn->rtt_ns) {
        conn->rtt_ns = rtt_ns;
        conn->rtt_var_ns = rtt_ns / 2;
    } else {
        int64_t off = (int64_t)conn->rtt_ns - (int64_t)rtt_ns;
        int64_t variance = (int64_t)conn->rtt_var_ns;
        conn->rtt_var_ns = (uint64_t)(variance + ((off < 0 ? -off : off) - variance) / 4);
        conn->rtt_ns = (uint64_t)((int64_t)conn->rtt_ns - off / 8);
    }
    conn->rto_ns = SK_MAX(conn->rtt_ns + 4 * conn->rtt_var_ns, SK_UTP_RTO_MIN_NS);
}

static void insert_order(uint64_t newest[SK_UTP_SENT_AFTER], uint64_t order)
{
    for (int i = 0; i < SK_UTP_SENT_AFTER; i++) {
        if (order > newest[i]) {
            uint64_t older = newest[i];
            newest[i] = order;
            order = older;
        }
    }
}

/* The acknowledgement may be of an earlier sending, if it comes too soon after the last. That of a
 * packet which ended a silence counts for as many as it takes: what was sent before had its time.
 */
static void note_order(struct sk_utp_conn *conn, const struct sk_utp_segment *segment,
                       uint64_t age_ns)
{
    if (segment->sends > 1 && age_ns < conn->rtt_ns / 2)
        return;
    insert_order(conn->newest_acked, segment->order);
    for (int i = 1; segment->tail && i < SK_UTP_SENT_AFTER; i++)
        conn->newest_acked[i] = SK_MAX(conn->newest_acked[i], segment->order);
}

static void take_acked(struct sk_utp *utp, struct sk_utp_conn *conn, struct sk_utp_segment *segment,
                       struct tally *tally)
{
    uint64_t age_ns = utp->now_ns - segment->sent_ns;
    if (segment->sends == 1 && segment->sent_ns > conn->timeout_at_ns)
        tally->rtt_ns = SK_MIN(tally->rtt_ns, age_ns);
    note_order(conn, segment, age_ns);
    if (sk_utp_distance(conn->reported_nr, segment->seq_nr) > 0)
        conn->reported_nr = segment->seq_nr;
    if (segment->lost)
        conn->lost_bytes -= segment->size;
    else
        conn->flight_bytes -= segment->size;
    if (segment->probe) {
        sk_utp_mtu_passed(&conn->mtu, segment->capacity + SK_UTP_HEADER_SIZE);
        sk_ledbat_set_segment(&conn->ledbat, conn->mtu.floor - SK_UTP_HEADER_SIZE);
    }
    tally->bytes += segment->size;
    tally->packets++;
    sk_list_remove(&segment->link);
    sk_utp_ring_remove(&conn->sent, segment->seq_nr);
    sk_utp_pool_give(&utp->pool, segment);
}

static void take_sack(struct sk_utp *utp, struct sk_utp_conn *conn,
                      const struct sk_utp_packet *packet, struct tally *tally)
{
    uint32_t bits = (uint32_t)packet->sack.n * 8;
    for (uint32_t i = 0; i < bits; i++) {
        if (!packet->sack.p[i / 8]) {
            i |= 7; /* a byte at a time */
            continue;
        }
        uint16_t seq_nr = (uint16_t)(packet->ack_nr + 2 + i);
        if (sk_utp_distance(seq_nr, conn->sent_nr) <= 0)
            break;
        struct sk_utp_segment *segment =
            sk_utp_sack_has(packet->sack, i) ? sk_utp_ring_get(&conn->sent, seq_nr) : NULL;
        if (segment)
            take_acked(utp, conn, segment, tally);
    }
    /* Who tells of so many packets keeps so many, and perhaps more. */
    if (bits * 2 > conn->span_max)
        conn->span_max = SK_MIN(bits * 2, (uint32_t)SK_UTP_SPAN_MAX);
}

/* Masks are of some length: what lies beyond the highest number that was acknowledged may have
 * arrived. */
static void find_lost(struct sk_utp_conn *conn, const struct sk_utp_packet *packet, bool progress)
{
    struct sk_utp_segment *segment;
    while ((segment = first_of(&conn->flight)) &&
           segment->order < conn->newest_acked[SK_UTP_SENT_AFTER - 1] &&
           sk_utp_distance(segment->seq_nr, conn->reported_nr) > 0)
        lose(conn, segment);
    /* Who sends no masks repeats itself. */
    if (progress || packet->type != SK_UTP_STATE || packet->sack.n) {
        conn->duplicates = 0;
    } else if (++conn->duplicates == SK_UTP_SENT_AFTER) {
        segment = sk_utp_ring_get(&conn->sent, (uint16_t)(conn->acked_nr + 1));
        if (segment && segment->order && !segment->lost)
            lose(conn, segment);
    }
}

static void on_progress(struct sk_utp *utp, struct sk_utp_conn *conn, const struct tally *tally,
                        bool limited)
{
    bool measured = tally->rtt_ns != SK_TIME_NEVER;
    if (measured)
        measure_rtt(conn, tally->rtt_ns);
    uint64_t rtt_ns = measured ? tally->rtt_ns : conn->rtt_ns;
    sk_ledbat_acked(&conn->ledbat, tally->bytes, tally->packets,
                    (uint32_t)SK_MIN(rtt_ns / 1000, UINT32_MAX), limited);
    conn->bytes_out += tally->bytes;
    conn->timeouts = conn->fruitless = conn->doublings = 0;
    conn->tail_probed = false;
    if (conn->state == SK_UTP_CONN_CLOSING)
        conn->end_at_ns = utp->now_ns + SK_UTP_CLOSING_NS;
    sk_utp_conn_arm(utp, conn);
    sk_utp_conn_offer(utp, conn);
}

/* Whether the window is what keeps more from being sent. In slow start it grows faster than it is
 * filled. */
static bool is_limited(const struct sk_utp_conn *conn)
{
    double window = conn->ledbat.window / (conn->ledbat.slow_start ? PACE_START : 1);
    return conn->flight_bytes + conn->ledbat.segment > window && !spans_too_much(conn);
}

void sk_utp_conn_acked(struct sk_utp *utp, struct sk_utp_conn *conn,
                       const struct sk_utp_packet *packet)
{
    struct tally tally = {.rtt_ns = SK_TIME_NEVER};
    bool limited = is_limited(conn);
    while (conn->acked_nr != packet->ack_nr) {
        struct sk_utp_segment *segment = sk_utp_ring_get(&conn->sent, ++conn->acked_nr);
        if (segment)
            take_acked(utp, conn, segment, &tally);
    }
    take_sack(utp, conn, packet, &tally);
    /* What arrived is counted before what did not: a share is made of both. */
    if (tally.packets)
        on_progress(utp, conn, &tally, limited);
    find_lost(conn, packet, tally.packets > 0);
    if (conn->newest_acked[0] > conn->round_order) {
        sk_ledbat_round(&conn->ledbat);
        conn->round_order = conn->orders;
    }
}

/* ---- output ---- */

/* A small packet waits while another one is under way: more may come that fits into it. */
static bool waits_for_more(const struct sk_utp_conn *conn, const struct sk_utp_segment *segment)
{
    if (conn->state != SK_UTP_CONN_OPEN || segment != unfilled(conn))
        return false;
    const struct sk_utp_segment *small = sk_utp_ring_get(&conn->sent, conn->small_nr);
    return small && small->order;
}

/*
 * What goes out is spread over the round trip, a little faster than the window alone would have it:
 * a packet that is lost twice holds up the acknowledgement of a whole window, which at once would
 * be a queue.
 */
static void pace(struct sk_utp_conn *conn, uint32_t bytes, uint64_t now_ns)
{
    double share = conn->ledbat.slow_start ? PACE_START : PACE;
    double byte_ns = (double)conn->rtt_ns / (conn->ledbat.window * share);
    double burst_ns = SK_MAX(PACE_PACKETS * conn->ledbat.segment * byte_ns, PACE_BURST_NS);
    burst_ns = SK_MAX((double)conn->rtt_ns / PACE_BURSTS, burst_ns);
    conn->pace_at_ns = SK_MAX(conn->pace_at_ns, now_ns - SK_MIN((uint64_t)burst_ns, now_ns)) +
                       (uint64_t)(bytes * byte_ns);
}

/* What may be sent now, or NULL. */
static struct sk_utp_segment *next_segment(struct sk_utp_conn *conn, uint64_t now_ns)
{
    struct sk_utp_segment *segment = first_of(&conn->lost);
    bool alone = !sk_list_first(&conn->flight);
    conn->paced = false;
    if (!segment) {
        segment =
            conn->sent_nr == conn->seq_nr ? NULL : sk_utp_ring_get(&conn->sent, conn->sent_nr);
        if (!segment || waits_for_more(conn, segment) ||
            (conn->state == SK_UTP_CONN_CONNECTING && segment->type != SK_UTP_SYN) ||
            spans_too_much(conn))
            return NULL;
        if (conn->flight_bytes + segment->size > conn->their_window && !(conn->forced && alone))
            return NULL;
    }
    if (alone)
        return segment;
    if (conn->flight_bytes + segment->size > conn->ledbat.window && !conn->forced)
        return NULL;
    conn->paced = conn->pace_at_ns > now_ns;
    return conn->paced ? NULL : segment;
}

static size_t write_header(struct sk_utp *utp, struct sk_utp_conn *conn,
                           struct sk_utp_packet *packet, uint8_t *ret_bytes)
{
    packet->connection_id = packet->type == SK_UTP_SYN ? conn->recv_id : conn->send_id;
    packet->timestamp_us = sk_utp_timestamp(utp);
    packet->timestamp_diff_us = conn->reply_us;
    packet->window = conn->told_window = sk_utp_conn_window(utp, conn);
    packet->ack_nr = conn->ack_nr;
    conn->unacked = 0;
    conn->ack_now = false;
    conn->ack_at_ns = SK_TIME_NEVER;
    conn->sent_at_ns = utp->now_ns;
    conn->packets_out++;
    return sk_utp_write_header(packet, ret_bytes);
}

static void send_state(struct sk_utp *utp, struct sk_utp_conn *conn, struct sk_utp_out *out)
{
    uint8_t mask[SK_UTP_SACK_WORDS_MAX];
    struct sk_utp_packet packet = {.type = SK_UTP_STATE, .seq_nr = conn->sent_nr};
    packet.sack = sk_bytes(mask, sk_utp_conn_sack(conn, mask));
    out->bytes = sk_bytes(utp->scratch, write_header(utp, conn, &packet, utp->scratch));
}

static void send_segment(struct sk_utp *utp, struct sk_utp_conn *conn,
                         struct sk_utp_segment *segment, struct sk_utp_out *out)
{
    struct sk_utp_packet packet = {.type = segment->type, .seq_nr = segment->seq_nr};
    if (segment->lost) {
        segment->lost = false;
        conn->lost_bytes -= segment->size;
        conn->resent++;
    } else {
        conn->sent_nr++;
        conn->unsent_bytes -= segment->size;
        if (segment->size < segment->capacity)
            conn->small_nr = segment->seq_nr;
        out->dont_fragment = segment->probe;
    }
    bool alone = !sk_list_first(&conn->flight);
    sk_list_move_last(&conn->flight, &segment->link);
    if (alone) /* until now there was nothing to wait for */
        sk_utp_conn_arm(utp, conn);
    conn->flight_bytes += segment->size;
    segment->order = ++conn->orders;
    segment->sent_ns = utp->now_ns;
    segment->sends = (uint8_t)SK_MIN(segment->sends + 1, UINT8_MAX);
    conn->forced = false;
    pace(conn, segment->size, utp->now_ns);
    size_t head = write_header(utp, conn, &packet, segment->bytes);
    out->bytes = sk_bytes(segment->bytes, head + segment->size);
    sk_utp_conn_offer(utp, conn);
}

int sk_utp_conn_output(struct sk_utp *utp, struct sk_utp_conn *conn, struct sk_utp_out *ret_out)
{
    struct sk_utp_out out = {.to = conn->endpoint};
    struct sk_utp_segment *segment = next_segment(conn, utp->now_ns);
    bool gap = sk_utp_distance(conn->ack_nr, conn->highest_nr) > 0;
    if (conn->ack_now && (!segment || gap))
        send_state(utp, conn, &out);
    else if (segment)
        send_segment(utp, conn, segment, &out);
    bool any = out.bytes.n > 0;
    sk_utp_conn_schedule(utp, conn);
    if (any)
        *ret_out = out;
    return any;
}
