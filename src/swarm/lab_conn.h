/*
 * One connection to a peer of a lab: a peer session that follows its peer's script. Layer: swarm;
 * pure, it is fed and asked as a session is (proto/peer/session.h).
 *
 * A peer that limits its rate sends in small steps, as clients do whose limiter hands out a few
 * hundredths of a second at a time: sk_lab_conn_output() shows no more than may go now, and
 * sk_lab_conn_deadline() says when to ask again. All connections of a peer share its rate.
 *
 * Memory: a session, and 12 bytes a request that waits, at most SK_LAB_REQUESTS_MAX of them.
 */
#ifndef SK_SWARM_LAB_CONN_H
#define SK_SWARM_LAB_CONN_H

#include "base/heap.h"
#include "swarm/lab_swarm.h"

#define SK_LAB_STEPS_S 20 /* of a limited peer's sending */

struct sk_lab_request {
    uint32_t piece, begin, length;
};

/* A block in the output: it counts as given once its last byte is gone. */
struct sk_lab_block {
    uint64_t end; /* in the stream of bytes */
    uint32_t length;
    bool corrupt;
};

struct sk_lab_conn {
    struct sk_lab_conn *peer_next, *peer_prev; /* of the same peer */
    struct sk_lab_swarm *swarm;
    struct sk_lab_peer *peer;
    void *owner; /* whoever moves its bytes; set and used by him */
    struct sk_endpoint remote;
    struct sk_peer *session; /* NULL: mute */
    size_t account;          /* in its peer's ledger, once it is open */
    bool open, over;
    struct sk_lab_request *requests; /* a ring of SK_LAB_REQUESTS_MAX */
    uint32_t requests_first, requests_count;
    struct sk_lab_block blocks[16]; /* the oldest first */
    uint32_t blocks_count;
    uint64_t sent;     /* bytes */
    uint64_t flip_ns;  /* when it unchokes or chokes; SK_TIME_NEVER */
    uint64_t pex_ns;   /* when it tells peers */
    uint64_t leave_ns; /* when it closes */
    /* Without BEP 6 or 10: what of the handshakes goes through our hands, either way. */
    uint8_t handshake[SK_HANDSHAKE_SIZE];
    size_t received;
};

/* `dialed`: the lab connected to them. SKEP_ERR_NOMEM, SKEP_ERR_CRYPTO. */
int sk_lab_conn_new(struct sk_lab_swarm *swarm, struct sk_lab_peer *peer,
                    const struct sk_endpoint *remote, bool dialed, uint64_t now_ns,
                    struct sk_lab_conn **ret_conn);
void sk_lab_conn_free(struct sk_lab_conn *conn);

/* Bytes that came; they are changed. */
void sk_lab_conn_input(struct sk_lab_conn *conn, uint8_t *bytes, size_t n, uint64_t now_ns);
/* What may be sent now, and that n bytes of it were. */
struct sk_bytes sk_lab_conn_output(struct sk_lab_conn *conn, uint64_t now_ns);
void sk_lab_conn_sent(struct sk_lab_conn *conn, size_t n, uint64_t now_ns);
uint64_t sk_lab_conn_deadline(const struct sk_lab_conn *conn);
void sk_lab_conn_tick(struct sk_lab_conn *conn, uint64_t now_ns);
/* Its peer gained a piece. */
void sk_lab_conn_gained(struct sk_lab_conn *conn, uint32_t piece);
/* Whether it is to be closed, once its output is gone. */
bool sk_lab_conn_over(const struct sk_lab_conn *conn);

#endif
