#include "proto/utp/utp.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/prng.h"
#include "proto/utp/utp_internal.h"

#define TURN 16         /* outputs of one connection before the next one's */
#define DRAWS_MAX 16    /* connection ids that are tried */
#define MTU_LIMIT 65000 /* UDP payload */

int sk_utp_new(const struct sk_utp_config *config, uint64_t now_ns, struct sk_utp **ret_utp)
{
    struct sk_prng prng;
    if (!config->connections_max || config->connections_max > SK_UTP_CONNECTIONS_MAX ||
        (config->mtu_max && config->mtu_max < SK_UTP_MTU_FLOOR) || config->mtu_max > MTU_LIMIT ||
        config->window > SK_UTP_WINDOW_MAX)
        return SKEP_ERR_INVALID;
    struct sk_utp *utp = sk_mem_calloc(1, sizeof *utp);
    if (!utp)
        return SKEP_ERR_NOMEM;
    utp->config = *config;
    if (!config->window)
        utp->config.window = SK_UTP_WINDOW_DEFAULT;
    sk_prng_init(&prng, config->seed);
    sk_prng_bytes(&prng, utp->secret, sizeof utp->secret);
    utp->clock_us = (uint32_t)sk_prng_u64(&prng);
    utp->now_ns = utp->resets_at_ns = now_ns;
    utp->resets_allowed = SK_UTP_RESETS_S;
    sk_map_init(&utp->conns, sizeof(struct sk_utp_key), config->connections_max,
                sk_prng_u64(&prng));
    sk_list_init(&utp->telling);
    sk_list_init(&utp->sending);
    sk_list_init(&utp->half_open);
    sk_list_init(&utp->closing);
    *ret_utp = utp;
    return 0;
}

/* What the last event or output lent is taken back. */
static void settle(struct sk_utp *utp)
{
    sk_utp_pool_give(&utp->pool, utp->lent);
    utp->lent = NULL;
    if (utp->gone)
        sk_utp_conn_free(utp, utp->gone);
    utp->gone = NULL;
}

void sk_utp_free(struct sk_utp *utp)
{
    if (!utp)
        return;
    settle(utp);
    struct sk_link *link;
    while ((link = sk_list_first(&utp->telling)))
        sk_utp_conn_free(utp, SK_CONTAINER_OF(link, struct sk_utp_conn, telling));
    struct sk_timer *timer;
    while ((timer = sk_heap_first(&utp->timers)))
        sk_utp_conn_free(utp, SK_CONTAINER_OF(timer, struct sk_utp_conn, timer));
    sk_heap_deinit(&utp->timers);
    sk_map_deinit(&utp->conns);
    sk_utp_pool_deinit(&utp->pool);
    sk_mem_free(utp);
}

uint16_t sk_utp_draw(struct sk_utp *utp, const struct sk_endpoint *endpoint)
{
    struct {
        struct sk_endpoint endpoint;
        uint32_t zero;
        uint64_t number;
    } text = {.endpoint = *endpoint, .number = ++utp->drawn};
    _Static_assert(sizeof text == 32, "words without holes");
    return (uint16_t)sk_siphash(utp->secret, (const uint8_t *)&text, sizeof text);
}

uint32_t sk_utp_timestamp(const struct sk_utp *utp)
{
    return (uint32_t)(utp->now_ns / 1000) + utp->clock_us;
}

/* ---- resets ---- */

void sk_utp_push_reset(struct sk_utp *utp, const struct sk_endpoint *to, uint16_t connection_id,
                       uint16_t ack_nr, bool limited)
{
    if (utp->resets_count == SK_UTP_RESETS_MAX)
        return;
    if (limited) {
        double passed_s = (double)(utp->now_ns - utp->resets_at_ns) / (double)SK_UTP_SECOND;
        utp->resets_at_ns = utp->now_ns;
        utp->resets_allowed =
            SK_MIN(utp->resets_allowed + passed_s * SK_UTP_RESETS_S, (double)SK_UTP_RESETS_S);
        if (utp->resets_allowed < 1)
            return;
        utp->resets_allowed--;
    }
    utp->resets[utp->resets_count++] =
        (struct sk_utp_reset){.to = *to, .connection_id = connection_id, .ack_nr = ack_nr};
}

static void send_reset(struct sk_utp *utp, struct sk_utp_out *out)
{
    const struct sk_utp_reset *reset = &utp->resets[--utp->resets_count];
    const struct sk_utp_packet packet = {.type = SK_UTP_RESET,
                                         .connection_id = reset->connection_id,
                                         .timestamp_us = sk_utp_timestamp(utp),
                                         .seq_nr = sk_utp_draw(utp, &reset->to),
                                         .ack_nr = reset->ack_nr};
    utp->stats.resets_out++;
    *out = (struct sk_utp_out){
        .to = reset->to,
        .bytes = sk_bytes(utp->scratch, sk_utp_write_header(&packet, utp->scratch))};
}

/* Whoever answers a packet of ours without knowing the connection names it by the id that we sent,
 * which is one off that by which we know it. */
static struct sk_utp_conn *find_reset(const struct sk_utp *utp, const struct sk_endpoint *from,
                                      uint16_t id)
{
    struct sk_utp_conn *conn = sk_utp_conn_find(utp, from, id);
    for (int off = -1; !conn && off <= 1; off += 2) {
        conn = sk_utp_conn_find(utp, from, (uint16_t)(id + off));
        conn = conn && conn->send_id == id ? conn : NULL;
    }
    return conn;
}

static void on_reset(struct sk_utp *utp, const struct sk_endpoint *from,
                     const struct sk_utp_packet *packet)
{
    struct sk_utp_conn *conn = find_reset(utp, from, packet->connection_id);
    utp->stats.resets_in++;
    if (!conn) {
        utp->stats.unknown++;
    } else if (!sk_utp_conn_acks(conn, packet->ack_nr, 1)) {
        utp->stats.implausible++;
    } else {
        bool connecting = conn->state == SK_UTP_CONN_CONNECTING;
        sk_utp_conn_end(utp, conn, connecting ? SK_UTP_REASON_REFUSED : SK_UTP_REASON_RESET);
    }
}

/* ---- input ---- */

static void on_syn(struct sk_utp *utp, const struct sk_endpoint *from,
                   const struct sk_utp_packet *packet)
{
    uint16_t recv_id = (uint16_t)(packet->connection_id + 1);
    struct sk_utp_conn *conn = sk_utp_conn_find(utp, from, recv_id);
    if (!conn) {
        if (utp->config.accepts)
            conn =
                sk_utp_conn_new(utp, from, recv_id, packet->connection_id, SK_UTP_CONN_HALF_OPEN);
        if (!conn) {
            utp->stats.refused++;
            sk_utp_push_reset(utp, from, packet->connection_id, packet->seq_nr, true);
            return;
        }
        conn->ack_nr = conn->told_nr = conn->highest_nr = packet->seq_nr;
    }
    /* Our answer got lost, or it is another's SYN: that is never answered. */
    if (conn->state != SK_UTP_CONN_HALF_OPEN || conn->ack_nr != packet->seq_nr) {
        utp->stats.implausible++;
        return;
    }
    conn->reply_us = sk_utp_timestamp(utp) - packet->timestamp_us;
    conn->ack_now = true;
    sk_utp_list(&utp->sending, &conn->sending);
    sk_utp_conn_schedule(utp, conn);
}

bool sk_utp_input(struct sk_utp *utp, const struct sk_endpoint *from, uint8_t *datagram, size_t n,
                  uint64_t now_ns)
{
    struct sk_utp_packet packet;
    settle(utp);
    SK_ASSERT(!utp->fresh.conn); /* all events were taken */
    if (sk_utp_read(sk_bytes(datagram, n), &packet))
        return false;
    utp->now_ns = now_ns;
    utp->stats.packets_in++;
    utp->stats.bytes_in += n;
    if (packet.type == SK_UTP_RESET) {
        on_reset(utp, from, &packet);
        return true;
    }
    if (packet.type == SK_UTP_SYN) {
        on_syn(utp, from, &packet);
        return true;
    }
    struct sk_utp_conn *conn = sk_utp_conn_find(utp, from, packet.connection_id);
    if (conn) {
        sk_utp_conn_input(utp, conn, &packet, datagram, n);
    } else {
        utp->stats.unknown++;
        sk_utp_push_reset(utp, from, packet.connection_id, packet.seq_nr, true);
    }
    return true;
}

/* ---- asked ---- */

int sk_utp_next_event(struct sk_utp *utp, struct sk_utp_event *ret_event)
{
    struct sk_link *link;
    settle(utp);
    while ((link = sk_list_first(&utp->telling))) {
        struct sk_utp_conn *conn = SK_CONTAINER_OF(link, struct sk_utp_conn, telling);
        if (sk_utp_conn_event(utp, conn, ret_event)) {
            if (ret_event->kind == SK_UTP_EVENT_CLOSED) {
                sk_utp_unlist(&conn->telling);
                utp->gone = conn;
            }
            return 1;
        }
        sk_utp_unlist(&conn->telling);
    }
    return 0;
}

int sk_utp_next_output(struct sk_utp *utp, uint64_t now_ns, struct sk_utp_out *ret_out)
{
    struct sk_link *link;
    settle(utp);
    utp->now_ns = now_ns;
    int found = utp->resets_count > 0;
    if (found)
        send_reset(utp, ret_out);
    while (!found && (link = sk_list_first(&utp->sending))) {
        struct sk_utp_conn *conn = SK_CONTAINER_OF(link, struct sk_utp_conn, sending);
        found = sk_utp_conn_output(utp, conn, ret_out);
        if (!found)
            sk_utp_unlist(link);
        if (!found || ++utp->turn == TURN) {
            utp->turn = 0;
            if (found)
                sk_list_move_last(&utp->sending, link);
        }
    }
    if (found) {
        utp->stats.packets_out++;
        utp->stats.bytes_out += ret_out->bytes.n;
    }
    return found;
}

uint64_t sk_utp_deadline(const struct sk_utp *utp)
{
    if (utp->resets_count || sk_list_first(&utp->sending) || sk_list_first(&utp->telling))
        return 0;
    const struct sk_timer *timer = sk_heap_first(&utp->timers);
    return timer ? timer->at_ns : SK_TIME_NEVER;
}

void sk_utp_tick(struct sk_utp *utp, uint64_t now_ns)
{
    struct sk_timer *timer;
    settle(utp);
    utp->now_ns = now_ns;
    while ((timer = sk_heap_first(&utp->timers)) && timer->at_ns <= now_ns)
        sk_utp_conn_tick(utp, SK_CONTAINER_OF(timer, struct sk_utp_conn, timer));
}

/* ---- connecting ---- */

/* An id of which neither half is taken. */
static bool draw_id(struct sk_utp *utp, const struct sk_endpoint *to, uint16_t *ret_id)
{
    for (int i = 0; i < DRAWS_MAX; i++) {
        uint16_t id = sk_utp_draw(utp, to);
        if (!sk_utp_conn_find(utp, to, id) && !sk_utp_conn_find(utp, to, (uint16_t)(id + 1))) {
            *ret_id = id;
            return true;
        }
    }
    return false;
}

int sk_utp_connect(struct sk_utp *utp, const struct sk_endpoint *to, uint64_t now_ns,
                   struct sk_utp_conn **ret_conn)
{
    uint16_t id;
    if (to->family == SK_FAMILY_NONE || !to->port)
        return SKEP_ERR_INVALID;
    utp->now_ns = now_ns;
    if ((utp->conns.count >= utp->config.connections_max && !utp->closing_count) ||
        !draw_id(utp, to, &id))
        return SKEP_ERR_LIMIT;
    struct sk_utp_conn *conn =
        sk_utp_conn_new(utp, to, id, (uint16_t)(id + 1), SK_UTP_CONN_CONNECTING);
    if (!conn)
        return SKEP_ERR_NOMEM;
    if (!sk_utp_conn_begin(utp, conn, SK_UTP_SYN, 0)) {
        sk_utp_conn_free(utp, conn);
        return SKEP_ERR_NOMEM;
    }
    sk_utp_list(&utp->sending, &conn->sending);
    sk_utp_conn_schedule(utp, conn);
    *ret_conn = conn;
    return 0;
}

void sk_utp_stats(const struct sk_utp *utp, struct sk_utp_stats *ret_stats)
{
    struct sk_utp_stats stats = utp->stats;
    stats.connections = (uint32_t)utp->conns.count;
    stats.half_open = utp->half_open_count;
    stats.closing = utp->closing_count;
    stats.bytes = sizeof *utp + utp->pool.bytes + utp->conns.count * sizeof(struct sk_utp_conn) +
                  utp->conns.capacity * (sizeof(void *) + sizeof(struct sk_utp_key)) +
                  utp->timers.capacity * sizeof(void *);
    *ret_stats = stats;
}
