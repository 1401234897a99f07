/*
 * What the parts of proto/utp share (private):
 *   utp.c        the port: connections by address and id, SYNs, resets, events, outputs, time
 *   connection.c one connection's beginning, its timers and its end
 *   receive.c    what comes: acknowledgements of ours, payload, what is told
 *   send.c       what goes: writing, which packet next, losses
 *
 * Numbers of packets wrap: all are compared as distances (sk_utp_distance()). Sending, the order is
 * acked_nr, what is in flight or lost (or was acknowledged out of order), sent_nr, what is unsent,
 * seq_nr. Receiving, it is told_nr, what is held while paused, ack_nr, what came out of order.
 */
#ifndef SK_PROTO_UTP_UTP_INTERNAL_H
#define SK_PROTO_UTP_UTP_INTERNAL_H

#include "base/limits.h"
#include "base/map.h"
#include "base/siphash.h"
#include "proto/utp/ledbat.h"
#include "proto/utp/mtu.h"
#include "proto/utp/segment.h"
#include "proto/utp/utp.h"

#define SK_UTP_MS UINT64_C(1000000)
#define SK_UTP_SECOND (1000 * SK_UTP_MS)

#define SK_UTP_RTO_FIRST_NS (1000 * SK_UTP_MS)
#define SK_UTP_RTO_MIN_NS (500 * SK_UTP_MS)
#define SK_UTP_RTO_MAX_NS (60 * SK_UTP_SECOND)
#define SK_UTP_SYNS 3           /* sent at most, a second apart: given up 3 s after the first */
#define SK_UTP_TIMEOUTS_MAX 5   /* in a row in which nothing came: half a minute with the first */
#define SK_UTP_FRUITLESS_MAX 10 /* in a row in which nothing was acknowledged: some minutes */
#define SK_UTP_DOUBLINGS_MAX 7
/*
 * An acknowledgement waits for so many packets, or so long. Where they come faster than one each
 * millisecond it waits for more of them: each costs both sides a system call, and what fills the
 * other's receive buffer is lost.
 */
#define SK_UTP_ACK_DELAY_NS (20 * SK_UTP_MS)
#define SK_UTP_ACK_LEAST_NS SK_UTP_MS
#define SK_UTP_ACK_EVERY_MIN 2
#define SK_UTP_ACK_EVERY_MAX 16
#define SK_UTP_SENT_AFTER 3 /* acknowledged packets that were sent later mean that one is lost */
/* Silences until the last packet is sent again are no shorter, and longer for one that is alone. */
#define SK_UTP_TAIL_MIN_NS (10 * SK_UTP_MS)
#define SK_UTP_TAIL_ALONE_NS (100 * SK_UTP_MS)
#define SK_UTP_KEEPALIVE_NS (29 * SK_UTP_SECOND) /* NATs forget after 30 s and more */
#define SK_UTP_HALF_OPEN_NS (10 * SK_UTP_SECOND)
#define SK_UTP_CLOSING_NS (30 * SK_UTP_SECOND) /* for what is buffered and FIN */
#define SK_UTP_LINGER_NS (3 * SK_UTP_SECOND)   /* late packets are answered */
#define SK_UTP_ACK_AGE 256 /* acknowledgements so much older than the newest may still come */
/* Packets after a missing one that any implementation keeps: libtorrent 953, libutp 1,024. */
#define SK_UTP_SPAN_SURE 900
/* What a kernel's receive buffer of 4 MiB holds in small packets, and more: who sends 8 MiB at
 * once, over loopback, loses some of it. 30 MB/s at round trips of 100 ms. */
#define SK_UTP_WINDOW_DEFAULT (3u << 20)
/* One part in so many of a full packet's memory holds no payload, or more: it is not offered, for
 * who fills a window must not lose the end of it. */
#define SK_UTP_HELD_COST 16
#define SK_UTP_WINDOW_NEWS (8u << 10)        /* bytes: nobody is told of less */
#define SK_UTP_CONN_UNSENT_LEAST (16u << 10) /* bytes, beside as many as the window has */
/* UDP payloads of an Ethernet frame. */
#define SK_UTP_MTU_V4 1472
#define SK_UTP_MTU_V6 1452

enum sk_utp_state {
    SK_UTP_CONN_CONNECTING, /* our SYN is under way */
    SK_UTP_CONN_HALF_OPEN,
    SK_UTP_CONN_OPEN,
    SK_UTP_CONN_CLOSING, /* the owner is done: data, then FIN */
    SK_UTP_CONN_LINGER,  /* our FIN was acknowledged */
    SK_UTP_CONN_CLOSED,  /* in no table; CLOSED is still to be told */
};

/* Connections are told apart by who they are with and the id that comes from there. */
struct sk_utp_key {
    struct sk_endpoint endpoint;
    uint16_t recv_id, zero;
};

struct sk_utp_conn {
    struct sk_timer timer; /* never later than what is due; always in the heap while in a table */
    struct sk_link telling, sending; /* among those with events, with something to send */
    struct sk_link stage;            /* among the half-open, the closing; the oldest first */
    struct sk_endpoint endpoint;
    void *owner;
    uint16_t recv_id, send_id;
    uint8_t state; /* enum sk_utp_state */
    bool outgoing;

    /* Sending */
    uint16_t seq_nr, sent_nr, acked_nr;
    uint16_t reported_nr;        /* the highest that was acknowledged, in order or not */
    uint16_t small_nr;           /* the last that was sent before it was full */
    struct sk_utp_ring sent;     /* acked_nr + 1 to seq_nr - 1, less what was acknowledged */
    struct sk_link flight, lost; /* of segments: in the order of sending, of sending again */
    uint32_t flight_bytes, lost_bytes, unsent_bytes;
    uint32_t their_window, span_max;
    uint64_t orders;                          /* sendings so far */
    uint64_t newest_acked[SK_UTP_SENT_AFTER]; /* orders, the newest first */
    uint64_t round_order;                     /* acknowledged when the round trip is over */
    uint64_t rtt_ns, rtt_var_ns, rto_ns;
    uint64_t rto_at_ns, ack_at_ns, end_at_ns, sent_at_ns, heard_at_ns, timeout_at_ns;
    uint64_t pace_at_ns;         /* until then the window's rate was used */
    uint8_t timeouts, fruitless; /* in a row: in which nothing came; nothing was acknowledged */
    uint8_t doublings;           /* of the time-out */
    uint8_t duplicates;
    bool tail_due;    /* at rto_at_ns the last packet is sent again, which is no time-out yet */
    bool tail_probed; /* it was, and nothing was acknowledged since */
    bool forced;      /* one packet may go out whatever the windows say */
    bool paced;       /* what is to be sent waits for pace_at_ns */
    bool wants_write; /* WRITABLE is owed */
    struct sk_ledbat ledbat;
    struct sk_utp_mtu mtu;

    /* Receiving */
    uint16_t ack_nr, told_nr, eof_nr;
    uint16_t highest_nr; /* that came, where some came out of order */
    struct sk_utp_ring received;
    uint32_t held_bytes;  /* of memory in that ring */
    uint32_t told_window; /* that our last packet offered */
    uint32_t reply_us;    /* their last packet's delay */
    uint8_t unacked;      /* packets since our last acknowledgement */
    uint8_t ack_every;    /* so many call for the next, SK_UTP_ACK_EVERY_MIN to MAX */
    uint64_t acked_ns;    /* when the last was called for so */
    bool ack_now, has_eof, eof_told, paused;

    bool tell_open, tell_writable; /* events that wait */
    uint8_t reason;                /* of CLOSED */
    uint64_t bytes_in, bytes_out, packets_in, packets_out;
    uint32_t resent, timeouts_all;
};

struct sk_utp_reset {
    struct sk_endpoint to;
    uint16_t connection_id, ack_nr;
};

struct sk_utp {
    struct sk_utp_config config;
    uint8_t secret[SK_SIPHASH_KEY_SIZE];
    uint64_t drawn;      /* random numbers so far */
    uint32_t clock_us;   /* what our timestamps add to the clock, so that they do not tell it */
    uint64_t now_ns;     /* of the last call that had it */
    struct sk_map conns; /* by struct sk_utp_key */
    struct sk_heap timers;
    struct sk_link telling, sending;
    struct sk_link half_open, closing;
    uint32_t half_open_count, closing_count;
    struct sk_utp_pool pool;
    size_t held_bytes; /* of all connections */

    /* The payload of the datagram that was just fed, which is the next of a connection's stream. */
    struct {
        struct sk_utp_conn *conn;
        uint8_t *p;
        size_t n;
    } fresh;
    struct sk_utp_segment *lent; /* told by the last event */
    struct sk_utp_conn *gone;    /* the same */

    struct sk_utp_reset resets[SK_UTP_RESETS_MAX];
    uint32_t resets_count;
    uint32_t turn; /* outputs in a row of the first that sends */
    double resets_allowed;
    uint64_t resets_at_ns;
    uint8_t scratch[SK_UTP_HEADER_SIZE + 2 + SK_UTP_SACK_WORDS_MAX];
    struct sk_utp_stats stats;
};

/* How far b is after a; negative: before it. */
static inline int sk_utp_distance(uint16_t a, uint16_t b)
{
    return (int16_t)(uint16_t)(b - a);
}

static inline bool sk_utp_listed(const struct sk_link *link)
{
    return link->next != link;
}

static inline void sk_utp_unlist(struct sk_link *link)
{
    sk_list_remove(link);
    sk_list_init(link);
}

static inline void sk_utp_list(struct sk_link *head, struct sk_link *link)
{
    if (!sk_utp_listed(link))
        sk_list_append(head, link);
}

/* ---- utp.c ---- */

/* Numbers that nobody can foretell. */
uint16_t sk_utp_draw(struct sk_utp *utp, const struct sk_endpoint *endpoint);
uint32_t sk_utp_timestamp(const struct sk_utp *utp);
/* A RESET for what came with that id and number; `limited`: it answers a stranger. */
void sk_utp_push_reset(struct sk_utp *utp, const struct sk_endpoint *to, uint16_t connection_id,
                       uint16_t ack_nr, bool limited);

/* ---- connection.c ---- */

/* In the tables, with recv_id and send_id; NULL: no room, no memory. */
struct sk_utp_conn *sk_utp_conn_new(struct sk_utp *utp, const struct sk_endpoint *endpoint,
                                    uint16_t recv_id, uint16_t send_id, enum sk_utp_state state);
struct sk_utp_conn *sk_utp_conn_find(const struct sk_utp *utp, const struct sk_endpoint *endpoint,
                                     uint16_t recv_id);
void sk_utp_conn_free(struct sk_utp *utp, struct sk_utp_conn *conn);
/* Its end by the other side or by time: told if it has an owner. */
void sk_utp_conn_end(struct sk_utp *utp, struct sk_utp_conn *conn, enum sk_utp_reason reason);
bool sk_utp_conn_has_owner(const struct sk_utp_conn *conn);
/* Makes sure that it is timed no later than what is due. */
void sk_utp_conn_schedule(struct sk_utp *utp, struct sk_utp_conn *conn);
void sk_utp_conn_tick(struct sk_utp *utp, struct sk_utp_conn *conn);
/* Whether this can be a number that the other side acknowledges, or names in a RESET (`ahead` 1: as
 * our STATE packets have the number of what was not sent yet). */
bool sk_utp_conn_acks(const struct sk_utp_conn *conn, uint16_t ack_nr, int ahead);
void sk_utp_conn_move(struct sk_utp *utp, struct sk_utp_conn *conn, enum sk_utp_state state);

/* ---- receive.c ---- */

/* A packet of the connection that is no SYN and no RESET; the datagram is writable. */
void sk_utp_conn_input(struct sk_utp *utp, struct sk_utp_conn *conn,
                       const struct sk_utp_packet *packet, uint8_t *datagram, size_t n);
/* 1 and the next event of it, or 0. */
int sk_utp_conn_event(struct sk_utp *utp, struct sk_utp_conn *conn, struct sk_utp_event *ret_event);
/* Forgets what was acknowledged and not told; what came out of order stays, as it was promised. */
void sk_utp_conn_disown(struct sk_utp *utp, struct sk_utp_conn *conn);
/* The mask of what came out of order: into ret_mask, its bytes; 0 where nothing did. */
size_t sk_utp_conn_sack(const struct sk_utp_conn *conn, uint8_t ret_mask[SK_UTP_SACK_WORDS_MAX]);
uint32_t sk_utp_conn_window(const struct sk_utp *utp, const struct sk_utp_conn *conn);

/* ---- send.c ---- */

/* A new segment at the end of what is to be sent; NULL: no room, no memory. */
struct sk_utp_segment *sk_utp_conn_begin(struct sk_utp *utp, struct sk_utp_conn *conn,
                                         enum sk_utp_type type, size_t capacity);
/* All that the acknowledgement says of our segments. */
void sk_utp_conn_acked(struct sk_utp *utp, struct sk_utp_conn *conn,
                       const struct sk_utp_packet *packet);
/* Nothing was acknowledged for a while: the last packet, or one that is known to be lost, is sent
 * again, once, to be told what is missing (RFC 8985, 7). */
void sk_utp_conn_probe_tail(struct sk_utp *utp, struct sk_utp_conn *conn);
/* What is in flight counts as lost. */
void sk_utp_conn_lose_all(struct sk_utp_conn *conn);
/* Times what is not acknowledged from now on. */
void sk_utp_conn_arm(struct sk_utp *utp, struct sk_utp_conn *conn);
/* WRITABLE is due, if it is owed and there is room. */
void sk_utp_conn_offer(struct sk_utp *utp, struct sk_utp_conn *conn);
int sk_utp_conn_output(struct sk_utp *utp, struct sk_utp_conn *conn, struct sk_utp_out *ret_out);

#endif
