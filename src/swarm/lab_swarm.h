/*
 * The peers of a lab, and what is true of them: what each holds and when, how fast it gives, and
 * what it gave to whom. Layer: swarm; pure, seeded. What a connection says is in lab_conn.h.
 *
 * Memory: about 500 bytes a peer and its bitfield; a growing peer has 4 bytes a piece more, one
 * that trades 8.
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

/* What a peer sent to one other, or had of it: told apart by peer id, once that is known. */
struct sk_lab_given {
    uint8_t peer_id[20];
    struct sk_endpoint remote; /* of the last connection */
    uint32_t connections;
    uint64_t bytes; /* of blocks whose last byte was sent, or came */
    uint32_t blocks, blocks_corrupt;
};

struct sk_lab_ledger {
    struct sk_lab_given *list;
    size_t count;
};

/* Scripted peers are HERE from the first to the last. */
enum sk_lab_presence { SK_LAB_HERE, SK_LAB_TO_JOIN, SK_LAB_LEFT };

struct sk_lab_conn;

struct sk_lab_peer {
    uint32_t number, place;      /* in the swarm, in its group */
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
    struct sk_lab_ledger gave;
    uint32_t accepted; /* connections, in whatever became of them */
    /* Of one that trades. Times are seconds from the lab's start on. */
    enum sk_lab_presence presence;
    double up_bytes_s, down_bytes_s; /* 0 = no limit */
    double join_s;                   /* planned */
    double joined_s, left_s;         /* as it was; negative: not (yet) */
    struct sk_lab_ledger took;
    double *gained_s; /* when it had one more piece, and one more; room for all that it lacked */
    uint32_t gained_count;
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
    uint32_t traders; /* of the peers, at most SK_LAB_TRADERS_MAX */
};

/*
 * Makes the peers; they listen at 127.77.x.y, all on `port` (peers whose door is shut are given
 * another one by their owner). The scenario must outlive the swarm. Errors of
 * sk_lab_content_init(), SKEP_ERR_LIMIT for more than SK_LAB_PEERS_MAX peers, or
 * SK_LAB_TRADERS_MAX that trade.
 */
int sk_lab_swarm_init(struct sk_lab_swarm *swarm, const struct sk_lab_scenario *scenario,
                      uint16_t port, uint64_t now_ns);
/* Its connections must be gone. */
void sk_lab_swarm_deinit(struct sk_lab_swarm *swarm);
/* The peer at this address, whatever the port; NULL. */
struct sk_lab_peer *sk_lab_swarm_at(const struct sk_lab_swarm *swarm,
                                    const struct sk_endpoint *endpoint);

/* Gains what is due and tells it on every connection: they are then to be looked at for output. */
void sk_lab_peer_tick(const struct sk_lab_swarm *swarm, struct sk_lab_peer *peer, uint64_t now_ns);

/* The account with a remote, made where there is none; beyond SK_LAB_LEDGER_MAX the last one serves
 * for all others. NULL without memory. */
struct sk_lab_given *sk_lab_account(struct sk_lab_ledger *ledger, const uint8_t peer_id[20]);

/* One that trades has a piece more, so many seconds after the lab's start. */
void sk_lab_peer_gained(struct sk_lab_peer *peer, uint32_t piece, double at_s);

/* Pieces that no peer holds which can be read from: those that answer for this torrent. */
uint32_t sk_lab_swarm_pieces_missing(const struct sk_lab_swarm *swarm);
/* Whether what it holds can be learned by who connects. */
bool sk_lab_peer_readable(const struct sk_lab_peer *peer);

#endif
