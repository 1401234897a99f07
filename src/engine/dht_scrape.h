/*
 * What the nodes of one lookup said of a swarm's size (BEP 33): the union of their filters.
 * Layer: engine; private to this folder.
 */
#ifndef SK_ENGINE_DHT_SCRAPE_H
#define SK_ENGINE_DHT_SCRAPE_H

#include "wire/dht_filter.h"

/* Zero-initialised it is empty and ready. About 560 bytes, and what nodes without filters told. */
struct sk_dht_scrape {
    struct sk_dht_filter seeds, peers;
    uint32_t nodes;             /* that gave filters which can be true */
    struct sk_endpoint *legacy; /* told by nodes without */
    size_t legacy_count, legacy_capacity;
};

/* Takes over a node's answer to get_peers. Without memory peers of nodes without filters are not
 * counted. */
void sk_dht_scrape_add(struct sk_dht_scrape *scrape, const struct sk_krpc *message);
/* How many addresses; -1 where nobody said. Peers of nodes without filters count as peers unless
 * another node has them among its seeds. */
void sk_dht_scrape_estimate(const struct sk_dht_scrape *scrape, double *ret_seeds,
                            double *ret_peers);
void sk_dht_scrape_deinit(struct sk_dht_scrape *scrape);

#endif
