/*
 * How many nodes of the network answer. Layer: proto/dht. A task (task.h).
 *
 * Ids are spread evenly over their space, so that the nodes in a part of it tell of all. The
 * method:
 *
 *   1. Eight lookups of random ids. The distance d of the 8th nearest node gives a first guess,
 *      (8 - 1/3) / median(d).
 *   2. From it a number of nodes to count for the precision wanted, 1.25 z^2 / p^2, and zones of
 *      the id space that hold some 32 to 256 nodes each, drawn at random without replacement.
 *      Where that would be most of the network, or it is small, all of it is counted instead.
 *   3. In these zones every node that can be found is asked (walk.h), the silent twice (all of a
 *      small network: three times), which counts those that answer. Sixteen zones first; how many
 *      more, follows from them.
 *   4. The count over the share of the id space that was counted, corrected for nodes that nobody
 *      told of and for those whose every answer was lost, with an interval that holds the
 *      uncertainty of both and of the sample (density.h has the formulas).
 *
 * That counting a zone by lookups misses nodes, so that estimates without correction are far too
 * low, and that zones sampled and corrected do well, is due to L. Wang and J. Kangasharju,
 * Measuring Large-Scale Distributed Systems: Case of BitTorrent Mainline DHT (IEEE P2P 2013). They
 * correct by the share of planted nodes that a crawl finds; here it is estimated from the count
 * itself, as species are (A. Chao, Estimating the Population Size for Capture-Recapture Data with
 * Unequal Catchability, Biometrics 43, 1987): a node is caught by each node that tells of it. This
 * is a lower bound where nodes differ much in how well they are known.
 *
 * What is counted are addresses with port that answered a query of ours while the count went on,
 * this node not among them. Nodes that come and go meanwhile count when they were met; nodes behind
 * NAT that answer nobody do not. Zones where ids were gathered (Sybils) stand out and are not taken
 * as a sample of the rest; false nodes that one teller makes up do not answer and are not counted.
 * An attacker with many addresses whose nodes answer and whose ids are spread evenly is counted:
 * how many of the counted have an id that fits their address (BEP 42) is told beside it.
 */
#ifndef SK_PROTO_DHT_SIZE_H
#define SK_PROTO_DHT_SIZE_H

#include "proto/dht/task.h"

struct sk_dht_size_config {
    enum sk_family family;
    double precision;  /* half width of the 95 % interval over the estimate, 0.002 to 1; 0: 0.02 */
    double rate;       /* queries a second; 0: the default, 200 */
    unsigned parallel; /* nodes asked at a time; 0: the default, 512 */
    uint64_t seed;
};

struct sk_dht_size_result {
    double estimate, low, high; /* NAN before there is one */
    uint64_t lookups, nodes_seen, queries;
    uint64_t id_fits;   /* of nodes_seen: an id that fits the address (BEP 42) */
    uint32_t zones;     /* counted; 0 before */
    unsigned zone_bits; /* each is 2^-bits of the id space; 0: all was counted */
    uint32_t left_out;  /* zones that stood out */
    double unseen;      /* share of the estimate that is correction; NAN before */
    const char *method; /* static */
};

/* SKEP_ERR_INVALID, SKEP_ERR_NOMEM. Done with SKEP_ERR_NETWORK: nobody answers; SKEP_ERR_STATE: the
 * node is not in that network. Notes of progress: at most two a second. */
int sk_dht_size_new(const struct sk_dht_size_config *config, uint64_t now_ns,
                    struct sk_dht_task **ret_task);
void sk_dht_size_result(const struct sk_dht_task *task, struct sk_dht_size_result *ret_result);

#endif
