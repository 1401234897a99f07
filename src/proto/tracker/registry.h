/*
 * What a tracker knows: swarms and the peers that announced themselves (layer proto/tracker). Pure:
 * it is told announces with their time, and answers them.
 *
 * A peer is its address and port; it is forgotten after two intervals without a word, or when it
 * says that it stops. A swarm goes with its last peer, and its count of downloads with it. Answers
 * hold other peers of the swarm drawn at random, seeds among them also for seeds: what asks may be
 * an instrument.
 *
 * Memory: about 200 bytes a peer and 500 a swarm; at most swarms_max and peers_all_max of them. One
 * host (an IPv4 address, a /64 of IPv6) takes no more than its share of those. Where a limit is met
 * the newcomer is refused, since making room would let a stranger empty a swarm.
 */
#ifndef SK_PROTO_TRACKER_REGISTRY_H
#define SK_PROTO_TRACKER_REGISTRY_H

#include "base/endpoint.h"
#include "base/map.h"
#include "wire/tracker_message.h"

struct sk_registry_config {
    uint32_t interval_s;       /* 0 = 1,800 */
    uint32_t min_interval_s;   /* said to HTTP clients, not enforced; 0 = not said */
    uint32_t swarms_max;       /* 0 = 1,000 */
    uint32_t peers_max;        /* of one swarm; 0 = SK_TRACKER_PEERS_MAX */
    uint32_t peers_all_max;    /* of all swarms; 0 = SK_TRACKER_ALL_PEERS_MAX */
    uint32_t host_peers_max;   /* of one host in all swarms; 0 = no limit of its own */
    uint32_t want_max;         /* peers in one answer; 0 = 200 */
    const struct sk_map *only; /* info-hashes that are served, with any value; borrowed; NULL =
                                  all */
    uint64_t seed;             /* of the draws, and of the tables' hashes */
};

struct sk_registry;

/* SKEP_ERR_NOMEM. */
int sk_registry_new(const struct sk_registry_config *config, struct sk_registry **ret_registry);
void sk_registry_free(struct sk_registry *registry);

/*
 * An announce of `peer`, answered with peers of `family` (NONE: of all). The counts include the
 * peer itself, unless it stops. One with port 0 is answered and not kept. On success the answer is
 * the caller's: sk_announce_answer_deinit(). SKEP_ERR_LIMIT: too many peers or swarms.
 * SKEP_ERR_NOT_FOUND: not one of those that are served. SKEP_ERR_NOMEM.
 */
int sk_registry_announce(struct sk_registry *registry, const struct sk_tracker_announce *announce,
                         const struct sk_endpoint *peer, enum sk_family family, uint64_t now_ns,
                         struct sk_announce_answer *ret_answer);
struct sk_registry_counts {
    size_t swarms, seeds, leechers; /* peers in two swarms count twice */
};
void sk_registry_counts(struct sk_registry *registry, uint64_t now_ns,
                        struct sk_registry_counts *ret_counts);
/* Zeros for a swarm that is not known. */
struct sk_scrape_answer sk_registry_scrape(struct sk_registry *registry,
                                           const uint8_t info_hash[20], uint64_t now_ns);

#endif
