/*
 * A swarm as its sources tell it: who is in the tracker's list, who is stored at which DHT node,
 * who is connected to whom, while peers come and leave. No pieces, no bytes: `swarm.h` has these.
 * Layer: sim.
 *
 * Peers differ: some cannot be connected to, some have no DHT, some are known to no tracker, some
 * do not exchange peers. A newcomer announces itself to its sources at once, and connects to peers
 * that these told it, so that who is told by one source is not independent of the others: by peer
 * exchange are told those who have many connections; who is only in the DHT is known to those who
 * use it. From one seed the same run every time.
 */
#ifndef SK_SIM_CROWD_H
#define SK_SIM_CROWD_H

#include "audit/census.h"
#include "base/prng.h"
#include "swarm/source.h"

#include <stdbool.h>
#include <stddef.h>

#define SK_CROWD_LINKS_MAX 200 /* connections of a peer */

struct sk_crowd_config {
    uint64_t seed;
    uint32_t peers;                              /* present at any time: who leaves is replaced */
    double churn;                                /* share of the peers replaced a minute */
    double connectable, dht, tracked, exchanges; /* shares of the peers */
    uint32_t degree;                             /* connections that a newcomer makes */
    uint32_t tracker_told;                       /* addresses in an answer */
    uint32_t dht_nodes, dht_told;                /* nodes that store; addresses in an answer */
    double dht_stored; /* of the announces to the DHT, how many a node has */
};

struct sk_crowd_link {
    uint32_t to;
    bool told; /* its address is known to this side: by peer exchange it is told */
};

struct sk_crowd_peer {
    bool present, connectable, dht, tracked, exchanges;
    double left_s;   /* NAN = present */
    uint64_t stored; /* DHT nodes that have it, a bit each */
    struct sk_crowd_link *links;
    uint32_t links_count;
    /* the auditor's: */
    unsigned sources; /* enum sk_source that told it */
    uint32_t draws;   /* answers that it was in */
    double told_s[2]; /* when it was in the first and in the second of them */
};

struct sk_crowd {
    struct sk_crowd_config config;
    struct sk_prng prng;
    double now_s;
    struct sk_crowd_peer *peers; /* all that ever were */
    size_t count, capacity;
    uint32_t *present; /* numbers of those that are, config.peers of them */
};

/* SKEP_ERR_NOMEM. */
int sk_crowd_init(struct sk_crowd *crowd, const struct sk_crowd_config *config);
void sk_crowd_deinit(struct sk_crowd *crowd);
/* Lets time pass. SKEP_ERR_NOMEM. */
int sk_crowd_advance(struct sk_crowd *crowd, double seconds);

/* What an auditor knows who connects at once to everybody that he can. */
void sk_crowd_count(const struct sk_crowd *crowd, struct sk_census *census);

/* Answers: each counts as a draw. How many addresses were in it. */
uint32_t sk_crowd_ask_tracker(struct sk_crowd *crowd);
uint32_t sk_crowd_ask_dht(struct sk_crowd *crowd);
/* By peer exchange: the first `most` of those that it is connected to. */
uint32_t sk_crowd_ask_peer(struct sk_crowd *crowd, uint32_t teller, uint32_t most);

#endif
