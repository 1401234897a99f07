/*
 * A walk through the network, or through zones of it: every node that can be found, asked for the
 * nodes that it knows. Layer: proto/dht. What crawls (crawl.h) and estimates of size (size.h) are
 * made of.
 *
 * A zone is the set of ids that begin with the same `zone_bits` bits. Each is entered by searches
 * for random ids in it; a walk through all (0 bits) starts from our routing table as well.
 *
 * How a node is asked (find_node). First for its own neighbourhood. The answer names the nodes
 * nearest to it; the one that shares the shortest prefix with it tells up to which bucket that was
 * all. In that bucket and each wider one, up to the zone's own, it has some nodes of a branch of
 * ids that it is not in itself, and is asked for a random id there: if nodes beside that branch
 * were not asked for it twice already, or if its last answer named somebody new. So each
 * branch of the id space is looked into from outside, wherever nodes are so close that they name
 * only each other, at about one such query a live node; asking each for all its buckets takes
 * ten. In simulated networks of 10,000 nodes, 30 % of them dead and 5 % of the datagrams lost, all
 * but a few were told of and 99.8 to 99.9 % of the live ones answered, for 2.4 queries each, those
 * that were lost included, and 3 for each dead one.
 *
 * A node is alive when it has answered. Who is silent is asked again when the rest is done, at
 * least some seconds later, up to `tries` times in all; the last time only while the losses seen
 * so far make it worth it. What nodes tell are claims: of each teller at most
 * SK_DHT_CRAWL_CLAIMS_MAX are taken that have not come true (more as others do), the silent ones
 * of a teller none of whose nodes ever answered are not asked again, and a teller cannot point
 * into a narrower scope (private, loopback) than its own address.
 *
 * Memory: known.h, 1.6 KB for each node under way, and at most 2 MB for the branches.
 */
#ifndef SK_PROTO_DHT_WALK_H
#define SK_PROTO_DHT_WALK_H

#include "proto/dht/dht.h"
#include "proto/dht/known.h"

#define SK_DHT_WALK_TRIES_MAX 3

struct sk_dht_walk; /* owned */

struct sk_dht_walk_config {
    enum sk_family family;
    double rate;        /* queries a second, those of searches included; 0: no limit */
    unsigned under_way; /* nodes at a time, at most SK_DHT_CRAWL_UNDER_WAY_MAX */
    uint32_t nodes_max;
    unsigned tries;        /* 1 to SK_DHT_WALK_TRIES_MAX */
    unsigned zone_bits;    /* 0: the whole network; at most SK_DHT_ZONE_BITS_MAX */
    const uint32_t *zones; /* their bits as numbers, ascending; copied. NULL with 0 bits */
    uint32_t zones_count;
    bool at_once; /* does not wait for the node to be ready */
    uint64_t seed;
};

struct sk_dht_walk_stats {
    uint64_t known, asked, alive, ids_changed, id_fits, queries, searches;
    uint64_t answered[SK_DHT_WALK_TRIES_MAX]; /* at the first, second, third try */
    bool over, complete;                      /* complete: everybody known was asked */
    int error;                                /* with over */
    const char *reason;                       /* with error */
};

/* SKEP_ERR_INVALID, SKEP_ERR_NOMEM. */
int sk_dht_walk_new(const struct sk_dht_walk_config *config, uint64_t now_ns,
                    struct sk_dht_walk **ret_walk);
/* Cancels its operations. */
void sk_dht_walk_free(struct sk_dht_walk *walk, struct sk_dht *dht);
/* True: it belonged to the walk. */
bool sk_dht_walk_event(struct sk_dht_walk *walk, struct sk_dht *dht,
                       const struct sk_dht_event *event, uint64_t now_ns);
void sk_dht_walk_run(struct sk_dht_walk *walk, struct sk_dht *dht, uint64_t now_ns);
/* SK_TIME_NEVER: an event of the node comes first, or it is over. */
uint64_t sk_dht_walk_deadline(const struct sk_dht_walk *walk);
/* A node, by its number, that was asked and has answered or fallen silent: true, once each time, to
 * be taken after each event. Until it is taken its place among those under way stays occupied. */
bool sk_dht_walk_next_visited(struct sk_dht_walk *walk, uint32_t *ret_number);

void sk_dht_walk_stats(const struct sk_dht_walk *walk, struct sk_dht_walk_stats *ret_stats);
const struct sk_dht_known *sk_dht_walk_known(const struct sk_dht_walk *walk);
/* Whether the id lies in one of the zones, and in which (its place in the list). */
bool sk_dht_walk_zone(const struct sk_dht_walk *walk, const uint8_t id[SK_DHT_ID_SIZE],
                      uint32_t *ret_zone);

#endif
