#include "driver/lab_announcer.h"

#include <skep/err.h>

#include "base/assert.h"
#include "driver/socket.h"
#include "wire/tracker_udp.h"

#include <sys/socket.h>
#include <unistd.h>

#define WINDOW 32
#define LOOK_MS 250
#define CONNECT_TRANSACTION UINT32_MAX /* announces have their peer's number */
#define IP_AT 84                       /* where an announce names the client's address */

static const uint8_t loopback[4] = {127, 0, 0, 1};

static bool announces(const struct sk_lab_peer *peer)
{
    return !peer->group->behaviour.hidden && !peer->group->behaviour.trades;
}

static void send_packet(const struct sk_lab_announcer *announcer, const struct sk_buf *buf)
{
    struct sockaddr_storage addr;
    socklen_t len = sk_endpoint_to_sockaddr(&announcer->tracker, &addr);
    if (!buf->failed) /* what does not go out is sent again */
        (void)sendto(announcer->fd, buf->p, buf->n, 0, (struct sockaddr *)&addr, len);
}

static void send_connect(const struct sk_lab_announcer *announcer)
{
    struct sk_buf buf;
    sk_buf_init(&buf, 64);
    sk_tracker_udp_write_connect(&buf, CONNECT_TRANSACTION);
    send_packet(announcer, &buf);
    sk_buf_deinit(&buf);
}

static void send_announce(const struct sk_lab_announcer *announcer, const struct sk_lab_peer *peer)
{
    const struct sk_lab_content *content = &announcer->swarm->content;
    uint32_t missing = content->pieces - peer->have.set;
    struct sk_tracker_announce announce = {
        .left = SK_MIN((uint64_t)missing * content->torrent.piece_size, content->torrent.size),
        .event = announcer->rounds ? SK_TRACKER_NONE : SK_TRACKER_STARTED,
        .key = peer->number,
        .want = 0,
        .port = peer->endpoint.port,
    };
    memcpy(announce.info_hash, content->info_hash, sizeof announce.info_hash);
    memcpy(announce.peer_id, peer->id, sizeof announce.peer_id);
    struct sk_buf buf;
    sk_buf_init(&buf, 256);
    if (!sk_tracker_udp_write_announce(&buf, announcer->connection, peer->number, &announce,
                                       sk_bytes(NULL, 0))) {
        memcpy(buf.p + IP_AT, peer->endpoint.addr, 4);
        send_packet(announcer, &buf);
    }
    sk_buf_deinit(&buf);
}

static void begin_round(struct sk_lab_announcer *announcer)
{
    announcer->round_ns = uv_hrtime();
    announcer->connected = false;
    announcer->next = announcer->waiting = 0;
    sk_bitfield_clear(&announcer->answered);
    for (uint32_t i = 0; i < announcer->swarm->count; i++)
        if (!announces(&announcer->swarm->peers[i]))
            sk_bitfield_add(&announcer->answered, i);
    send_connect(announcer);
}

static void send_more(struct sk_lab_announcer *announcer)
{
    for (; announcer->next < announcer->swarm->count && announcer->waiting < WINDOW;
         announcer->next++) {
        if (sk_bitfield_has(&announcer->answered, announcer->next))
            continue;
        announcer->waiting++;
        send_announce(announcer, &announcer->swarm->peers[announcer->next]);
    }
}

static void end_round(struct sk_lab_announcer *announcer)
{
    announcer->rounds++;
    if (announcer->rounds == 1 && announcer->first_done)
        announcer->first_done(announcer->ctx);
}

static void on_packet(struct sk_lab_announcer *announcer, struct sk_bytes packet)
{
    struct sk_udp_head head;
    if (sk_tracker_udp_read_head(packet, &head))
        return;
    announcer->heard++;
    if (head.action == SK_UDP_CONNECT && head.transaction == CONNECT_TRANSACTION)
        announcer->connected = sk_tracker_udp_read_connect(packet, &announcer->connection) == 0;
    else if (head.action != SK_UDP_ANNOUNCE || head.transaction >= announcer->answered.count ||
             !sk_bitfield_add(&announcer->answered, head.transaction))
        return;
    else if (announcer->waiting)
        announcer->waiting--;
    if (sk_bitfield_full(&announcer->answered))
        end_round(announcer);
    else if (announcer->connected)
        send_more(announcer);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct sk_lab_announcer *announcer = poll->data;
    uint8_t packet[2048];
    for (int i = 0; i < WINDOW; i++) {
        ssize_t n = recv(announcer->fd, packet, sizeof packet, 0);
        if (n < 0)
            return;
        on_packet(announcer, sk_bytes(packet, (size_t)n));
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct sk_lab_announcer *announcer = timer->data;
    bool silent = announcer->heard == 0;
    announcer->heard = 0;
    if (sk_bitfield_full(&announcer->answered)) {
        if (uv_hrtime() - announcer->round_ns >= announcer->interval_s * SK_SECOND_NS)
            begin_round(announcer);
    } else if (silent && !announcer->connected) {
        send_connect(announcer);
    } else if (silent) {
        announcer->next = announcer->waiting = 0;
        send_more(announcer);
    }
}

int sk_lab_announcer_init(struct sk_lab_announcer *announcer, const struct sk_lab_swarm *swarm,
                          uv_loop_t *loop, uint16_t tracker_port, uint32_t interval_s,
                          void (*first_done)(void *ctx), void *ctx)
{
    struct sk_endpoint own = sk_endpoint_v4(loopback, 0);
    *announcer = (struct sk_lab_announcer){
        .swarm = swarm,
        .tracker = sk_endpoint_v4(loopback, tracker_port),
        .interval_s = interval_s,
        .first_done = first_done,
        .ctx = ctx,
        .fd = -1,
    };
    if (sk_bitfield_init(&announcer->answered, swarm->count))
        return SKEP_ERR_NOMEM;
    announcer->fd = sk_socket_serve(&own, SK_FAMILY_V4, SOCK_DGRAM, 0);
    if (announcer->fd < 0) {
        sk_bitfield_deinit(&announcer->answered);
        announcer->fd = -1;
        return SKEP_ERR_NETWORK;
    }
    uv_poll_init(loop, &announcer->poll, announcer->fd);
    uv_timer_init(loop, &announcer->timer);
    announcer->poll.data = announcer->timer.data = announcer;
    uv_poll_start(&announcer->poll, UV_READABLE, on_readable);
    uv_timer_start(&announcer->timer, on_timer, LOOK_MS, LOOK_MS);
    begin_round(announcer);
    return 0;
}

void sk_lab_announcer_deinit(struct sk_lab_announcer *announcer)
{
    if (announcer->fd < 0)
        return;
    uv_close((uv_handle_t *)&announcer->poll, NULL);
    uv_close((uv_handle_t *)&announcer->timer, NULL);
    close(announcer->fd);
    announcer->fd = -1;
    sk_bitfield_deinit(&announcer->answered);
}
