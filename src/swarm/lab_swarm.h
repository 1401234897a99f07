/*
 * The peers of a lab, and what is true of them: what each holds and when, how fast it gives, and
 * what it gave to whom. Layer: swarm; pure, seeded. What a connection says is in lab_conn.h.
 *
 * Memory: about 400 bytes a peer and its bitfield; a growing peer has 4 bytes a piece more.
 */
#ifndef SK_SWARM_LAB_SWARM_H
#define SK_SWARM_LAB_SWARM_H

#include "base/bitfield.h"
#include "base/endpoint.h"
#include "base/prng.h"
#include "proto/peer/session.h"
#include "swarm/lab_content.h"
#include "swarm/lab_kind.h"

#define SK_LAB_GROUP_NAME_MAX 40

/* Peers that are alike, as a scenario has them. */
struct sk_lab_group {
    char name[SK_LAB_GROUP_NAME_MAX + 1];
    uint32_t count;
    const struct sk_lab_kind *kind;
    struct sk_lab_behaviour behaviour;  /* the kind's, as changed */
    const struct sk_lab_client *client; /* NULL: each in turn */
};

struct sk_lab_scenario {
    struct sk_lab_torrent torrent;
    struct {
        bool http, udp;
        uint32_t interval_s;
        uint32_t want_max; /* peers in one answer */
    } tracker;
    struct sk_lab_group groups[SK_LAB_GROUPS_MAX];
    size_t groups_count;
};

/* What a peer sent to one other: told apart by peer id, once that is known. */
struct sk_lab_given {
    uint8_t peer_id[20];
    struct sk_endpoint remote; /* of the last connection */
    uint32_t connections;
    uint64_t bytes; /* of blocks whose last byte was sent */
    uint32_t blocks, blocks_corrupt;
};

struct sk_lab_conn;

struct sk_lab_peer {
    uint32_t number;
    struct sk_endpoint endpoint; /* where it is said to listen */
    const struct sk_lab_group *group;
    const struct sk_lab_client *client;
    uint8_t id[20];
    struct sk_bitfield have;
    uint32_t pieces_first; /* held at the start */
    double rate_bytes_s;   /* 0 = as fast as it can */
    uint64_t free_ns;      /* when it may send again */
    uint64_t gain_ns;      /* when it gains its next piece; SK_TIME_NEVER */
    uint32_t *missing;     /* what it will gain, the last first */
    uint32_t missing_count;
    struct sk_lab_conn *conns; /* linked through ->peer_next */
    struct sk_lab_given *given;
    size_t given_count;
    uint32_t accepted; /* connections, in whatever became of them */
};

struct sk_lab_swarm {
    struct sk_lab_content content;
    struct sk_peer_skey skeys[2];
    size_t skeys_count;
    struct sk_prng prng;
    uint64_t started_ns;
    struct sk_lab_peer *peers;
    uint32_t count;
    uint32_t conns_count;
};

/*
 * Makes the peers; they listen at 127.77.x.y, all on `port` (peers whose door is shut are given
 * another one by their owner). The scenario must outlive the swarm. Errors of
 * sk_lab_content_init(), SKEP_ERR_LIMIT for more than SK_LAB_PEERS_MAX peers.
 */
int sk_lab_swarm_init(struct sk_lab_swarm *swarm, const struct sk_lab_scenario *scenario,
                      uint16_t port, uint64_t now_ns);
/* Its connections must be gone. */
void sk_lab_swarm_deinit(struct sk_lab_swarm *swarm);
/* The peer at this address, whatever the port; NULL. */
struct sk_lab_peer *sk_lab_swarm_at(struct sk_lab_swarm *swarm, const struct sk_endpoint *endpoint);

/* Gains what is due and tells it on every connection: they are then to be looked at for output. */
void sk_lab_peer_tick(const struct sk_lab_swarm *swarm, struct sk_lab_peer *peer, uint64_t now_ns);

/* The account with a remote, made where there is none; beyond SK_LAB_LEDGER_MAX the last one serves
 * for all others. NULL without memory. */
struct sk_lab_given *sk_lab_peer_account(struct sk_lab_peer *peer, const uint8_t peer_id[20]);

/* Pieces that no peer holds which can be read from: those that answer for this torrent. */
uint32_t sk_lab_swarm_pieces_missing(const struct sk_lab_swarm *swarm);
/* Whether what it holds can be learned by who connects. */
bool sk_lab_peer_readable(const struct sk_lab_peer *peer);

#endif
