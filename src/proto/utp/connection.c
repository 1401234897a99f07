#include "proto/utp/utp_internal.h"

#include "base/assert.h"
#include "base/mem.h"

static struct sk_utp_key key_of(const struct sk_endpoint *endpoint, uint16_t recv_id)
{
    return (struct sk_utp_key){.endpoint = *endpoint, .recv_id = recv_id};
}

/* ---- tables ---- */

static uint32_t *stage_count(struct sk_utp *utp, enum sk_utp_state state)
{
    switch (state) {
    case SK_UTP_CONN_HALF_OPEN:
        return &utp->half_open_count;
    case SK_UTP_CONN_CLOSING:
    case SK_UTP_CONN_LINGER:
        return &utp->closing_count;
    default:
        return NULL;
    }
}

static void leave_stage(struct sk_utp *utp, struct sk_utp_conn *conn)
{
    uint32_t *count = stage_count(utp, conn->state);
    if (count) {
        --*count;
        sk_utp_unlist(&conn->stage);
    }
}

/* The oldest of a list makes room. */
static void evict(struct sk_utp *utp, struct sk_link *stage)
{
    struct sk_utp_conn *conn = SK_CONTAINER_OF(sk_list_first(stage), struct sk_utp_conn, stage);
    sk_utp_conn_free(utp, conn);
}

void sk_utp_conn_move(struct sk_utp *utp, struct sk_utp_conn *conn, enum sk_utp_state state)
{
    static const uint64_t lasts_ns[] = {
        [SK_UTP_CONN_HALF_OPEN] = SK_UTP_HALF_OPEN_NS,
        [SK_UTP_CONN_CLOSING] = SK_UTP_CLOSING_NS,
        [SK_UTP_CONN_LINGER] = SK_UTP_LINGER_NS,
        [SK_UTP_CONN_CLOSED] = 0,
    };
    leave_stage(utp, conn);
    conn->state = state;
    conn->end_at_ns = lasts_ns[state] ? utp->now_ns + lasts_ns[state] : SK_TIME_NEVER;
    uint32_t *count = stage_count(utp, state);
    if (count) {
        ++*count;
        sk_list_append(state == SK_UTP_CONN_HALF_OPEN ? &utp->half_open : &utp->closing,
                       &conn->stage);
    }
}

static uint32_t mtu_max(const struct sk_utp *utp, const struct sk_endpoint *endpoint)
{
    if (utp->config.mtu_max)
        return utp->config.mtu_max;
    return endpoint->family == SK_FAMILY_V6 ? SK_UTP_MTU_V6 : SK_UTP_MTU_V4;
}

static void init(struct sk_utp *utp, struct sk_utp_conn *conn)
{
    sk_list_init(&conn->telling);
    sk_list_init(&conn->sending);
    sk_list_init(&conn->stage);
    sk_list_init(&conn->flight);
    sk_list_init(&conn->lost);
    conn->seq_nr = conn->sent_nr = sk_utp_draw(utp, &conn->endpoint);
    conn->acked_nr = conn->reported_nr = conn->small_nr = (uint16_t)(conn->seq_nr - 1);
    conn->their_window = UINT32_MAX;
    conn->span_max = SK_UTP_SPAN_SURE;
    conn->rto_ns = SK_UTP_RTO_FIRST_NS;
    conn->rto_at_ns = conn->ack_at_ns = SK_TIME_NEVER;
    conn->sent_at_ns = utp->now_ns;
    conn->ack_every = SK_UTP_ACK_EVERY_MIN;
    sk_utp_mtu_init(&conn->mtu, (uint16_t)mtu_max(utp, &conn->endpoint));
    sk_ledbat_init(&conn->ledbat, SK_UTP_MTU_FLOOR - SK_UTP_HEADER_SIZE);
}

static bool make_room(struct sk_utp *utp, enum sk_utp_state state)
{
    if (state == SK_UTP_CONN_HALF_OPEN && utp->half_open_count >= SK_UTP_HALF_OPEN_MAX)
        evict(utp, &utp->half_open);
    if (utp->conns.count < utp->config.connections_max)
        return true;
    if (!utp->closing_count)
        return false;
    evict(utp, &utp->closing);
    return true;
}

struct sk_utp_conn *sk_utp_conn_new(struct sk_utp *utp, const struct sk_endpoint *endpoint,
                                    uint16_t recv_id, uint16_t send_id, enum sk_utp_state state)
{
    const struct sk_utp_key key = key_of(endpoint, recv_id);
    if (!make_room(utp, state))
        return NULL;
    struct sk_utp_conn *conn = sk_mem_calloc(1, sizeof *conn);
    if (!conn)
        return NULL;
    conn->endpoint = *endpoint;
    conn->recv_id = recv_id;
    conn->send_id = send_id;
    conn->outgoing = state == SK_UTP_CONN_CONNECTING;
    init(utp, conn);
    /* From now on it is never out of the heap, so that timing it cannot fail. */
    if (sk_heap_set(&utp->timers, &conn->timer, utp->now_ns + SK_UTP_KEEPALIVE_NS)) {
        sk_mem_free(conn);
        return NULL;
    }
    if (sk_map_put(&utp->conns, &key, conn)) {
        sk_heap_remove(&utp->timers, &conn->timer);
        sk_mem_free(conn);
        return NULL;
    }
    sk_utp_conn_move(utp, conn, state);
    return conn;
}

struct sk_utp_conn *sk_utp_conn_find(const struct sk_utp *utp, const struct sk_endpoint *endpoint,
                                     uint16_t recv_id)
{
    const struct sk_utp_key key = key_of(endpoint, recv_id);
    return sk_map_get(&utp->conns, &key);
}

/* Out of all tables but that of events; its packets are gone. */
static void detach(struct sk_utp *utp, struct sk_utp_conn *conn)
{
    const struct sk_utp_key key = key_of(&conn->endpoint, conn->recv_id);
    if (conn->state == SK_UTP_CONN_CLOSED)
        return;
    sk_utp_conn_move(utp, conn, SK_UTP_CONN_CLOSED);
    sk_map_remove(&utp->conns, &key);
    sk_heap_remove(&utp->timers, &conn->timer);
    sk_utp_unlist(&conn->sending);
    sk_utp_conn_disown(utp, conn);
    utp->held_bytes -= conn->held_bytes;
    sk_utp_ring_deinit(&conn->received, &utp->pool);
    sk_utp_ring_deinit(&conn->sent, &utp->pool);
    sk_list_init(&conn->flight);
    sk_list_init(&conn->lost);
    conn->held_bytes = conn->flight_bytes = conn->lost_bytes = conn->unsent_bytes = 0;
}

void sk_utp_conn_free(struct sk_utp *utp, struct sk_utp_conn *conn)
{
    detach(utp, conn);
    sk_utp_unlist(&conn->telling);
    sk_mem_free(conn);
}

bool sk_utp_conn_has_owner(const struct sk_utp_conn *conn)
{
    return conn->state == SK_UTP_CONN_CONNECTING || conn->state == SK_UTP_CONN_OPEN;
}

void sk_utp_conn_end(struct sk_utp *utp, struct sk_utp_conn *conn, enum sk_utp_reason reason)
{
    if (!sk_utp_conn_has_owner(conn)) {
        sk_utp_conn_free(utp, conn);
        return;
    }
    /* One that was not told yet still is, so that the owner sees a beginning to every end. */
    conn->reason = (uint8_t)reason;
    detach(utp, conn);
    sk_utp_list(&utp->telling, &conn->telling);
}

bool sk_utp_conn_acks(const struct sk_utp_conn *conn, uint16_t ack_nr, int ahead)
{
    int after = sk_utp_distance(conn->acked_nr, ack_nr);
    return after >= -SK_UTP_ACK_AGE &&
           after < sk_utp_distance(conn->acked_nr, conn->sent_nr) + ahead;
}

/* ---- time ---- */

static uint64_t due_ns(const struct sk_utp_conn *conn)
{
    uint64_t due = SK_MIN(conn->ack_at_ns, conn->rto_at_ns);
    if (conn->state == SK_UTP_CONN_OPEN)
        due = SK_MIN(due, conn->sent_at_ns + SK_UTP_KEEPALIVE_NS);
    if (conn->paced)
        due = SK_MIN(due, conn->pace_at_ns);
    return SK_MIN(due, conn->end_at_ns);
}

/* Most deadlines only move back, packet by packet: the heap learns of that when it is too early. */
static void set_timer(struct sk_utp *utp, struct sk_utp_conn *conn, bool may_move_back)
{
    uint64_t due = due_ns(conn);
    if (due < conn->timer.at_ns || (may_move_back && due > conn->timer.at_ns))
        sk_heap_set(&utp->timers, &conn->timer, SK_MIN(due, SK_TIME_NEVER - 1));
}

void sk_utp_conn_schedule(struct sk_utp *utp, struct sk_utp_conn *conn)
{
    set_timer(utp, conn, false);
}

static bool is_there(const struct sk_utp_conn *conn)
{
    return conn->heard_at_ns > conn->timeout_at_ns;
}

/* They take nothing: that may last, and is no reason to give up. */
static bool is_shut(const struct sk_utp_conn *conn)
{
    return conn->their_window < conn->ledbat.segment && is_there(conn);
}

static bool only_a_probe(const struct sk_utp_conn *conn)
{
    const struct sk_link *first = sk_list_first(&conn->flight);
    return first && first->next == &conn->flight && !sk_list_first(&conn->lost) &&
           SK_CONTAINER_OF(first, struct sk_utp_segment, link)->probe;
}

/* False: it was the last one. */
static bool count_timeout(struct sk_utp_conn *conn)
{
    bool connecting = conn->state == SK_UTP_CONN_CONNECTING;
    conn->timeouts += !is_there(conn);
    conn->fruitless++;
    conn->timeouts_all++;
    if (conn->timeouts >= (connecting ? SK_UTP_SYNS : SK_UTP_TIMEOUTS_MAX) ||
        conn->fruitless == SK_UTP_FRUITLESS_MAX)
        return false;
    sk_utp_conn_lose_all(conn);
    sk_ledbat_timeout(&conn->ledbat);
    if (conn->fruitless == 2) {
        sk_utp_mtu_restart(&conn->mtu);
        sk_ledbat_set_segment(&conn->ledbat, conn->mtu.floor - SK_UTP_HEADER_SIZE);
    }
    return true;
}

/* False: the connection is over. */
static bool on_timeout(struct sk_utp *utp, struct sk_utp_conn *conn)
{
    if (conn->tail_due) {
        sk_utp_conn_probe_tail(utp, conn);
        return true;
    }
    bool idle = !sk_list_first(&conn->flight) && !sk_list_first(&conn->lost);
    if (idle || is_shut(conn) || only_a_probe(conn))
        sk_utp_conn_lose_all(conn);
    else if (!count_timeout(conn))
        return false;
    conn->forced = true;
    if (conn->state != SK_UTP_CONN_CONNECTING) /* nothing is known of a path to be spared */
        conn->doublings += conn->doublings < SK_UTP_DOUBLINGS_MAX;
    conn->timeout_at_ns = utp->now_ns;
    sk_utp_conn_arm(utp, conn);
    sk_utp_conn_offer(utp, conn);
    sk_utp_list(&utp->sending, &conn->sending);
    return true;
}

void sk_utp_conn_tick(struct sk_utp *utp, struct sk_utp_conn *conn)
{
    uint64_t now_ns = utp->now_ns;
    if (conn->end_at_ns <= now_ns) {
        if (conn->state == SK_UTP_CONN_CLOSING)
            sk_utp_push_reset(utp, &conn->endpoint, conn->send_id, conn->ack_nr, false);
        sk_utp_conn_free(utp, conn);
        return;
    }
    if (conn->rto_at_ns <= now_ns && !on_timeout(utp, conn)) {
        sk_utp_conn_end(utp, conn, SK_UTP_REASON_TIMEOUT);
        return;
    }
    bool silent =
        conn->state == SK_UTP_CONN_OPEN && conn->sent_at_ns + SK_UTP_KEEPALIVE_NS <= now_ns;
    if (conn->ack_at_ns <= now_ns || silent) {
        conn->ack_every = SK_UTP_ACK_EVERY_MIN; /* no more came: they may wait for it */
        conn->ack_now = true;
        conn->ack_at_ns = SK_TIME_NEVER;
        conn->sent_at_ns = silent ? now_ns : conn->sent_at_ns;
        sk_utp_list(&utp->sending, &conn->sending);
    }
    if (conn->paced && conn->pace_at_ns <= now_ns) {
        conn->paced = false;
        sk_utp_list(&utp->sending, &conn->sending);
    }
    set_timer(utp, conn, true);
}

/* ---- the owner's calls ---- */

void sk_utp_close(struct sk_utp *utp, struct sk_utp_conn *conn)
{
    if (conn->state != SK_UTP_CONN_OPEN) {
        sk_utp_conn_free(utp, conn);
        return;
    }
    sk_utp_conn_disown(utp, conn);
    sk_utp_unlist(&conn->telling);
    if (!sk_utp_conn_begin(utp, conn, SK_UTP_FIN, 0)) {
        sk_utp_reset(utp, conn);
        return;
    }
    if (utp->closing_count >= SK_UTP_CLOSING_MAX)
        evict(utp, &utp->closing);
    sk_utp_conn_move(utp, conn, SK_UTP_CONN_CLOSING);
    sk_utp_list(&utp->sending, &conn->sending);
    sk_utp_conn_schedule(utp, conn);
}

void sk_utp_reset(struct sk_utp *utp, struct sk_utp_conn *conn)
{
    if (conn->state == SK_UTP_CONN_OPEN)
        sk_utp_push_reset(utp, &conn->endpoint, conn->send_id, conn->ack_nr, false);
    sk_utp_conn_free(utp, conn);
}

void sk_utp_set_owner(struct sk_utp_conn *conn, void *owner)
{
    conn->owner = owner;
}

const struct sk_endpoint *sk_utp_endpoint(const struct sk_utp_conn *conn)
{
    return &conn->endpoint;
}

bool sk_utp_outgoing(const struct sk_utp_conn *conn)
{
    return conn->outgoing;
}

void sk_utp_conn_stats(const struct sk_utp_conn *conn, struct sk_utp_conn_stats *ret_stats)
{
    *ret_stats = (struct sk_utp_conn_stats){
        .bytes_in = conn->bytes_in,
        .bytes_out = conn->bytes_out,
        .packets_in = conn->packets_in,
        .packets_out = conn->packets_out,
        .resent = conn->resent,
        .timeouts = conn->timeouts_all,
        .rtt_ns = conn->rtt_ns,
        .rtt_var_ns = conn->rtt_var_ns,
        .queue_delay_ns = sk_ledbat_queue_us(&conn->ledbat) * UINT64_C(1000),
        .window = (uint32_t)conn->ledbat.window,
        .in_flight = conn->flight_bytes,
        .unsent = conn->unsent_bytes,
        .their_window = conn->their_window,
        .mtu = conn->mtu.floor,
    };
}
