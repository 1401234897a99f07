/*
 * Scrape filters (BEP 33): Bloom filters of 2,048 bits and two hashes, over IP addresses.
 * Layer: wire.
 */
#ifndef SK_WIRE_DHT_FILTER_H
#define SK_WIRE_DHT_FILTER_H

#include "base/endpoint.h"
#include "wire/krpc.h"

struct sk_dht_filter {
    uint8_t bits[SK_KRPC_FILTER_SIZE];
};

/* The two bits that stand for an address (4 or 16 bytes; the port does not count), for those who
 * keep them: bit numbers, the second times 65,536. */
uint32_t sk_dht_filter_bits(const struct sk_endpoint *endpoint);
void sk_dht_filter_set(struct sk_dht_filter *filter, uint32_t bits);
/* Both in one. */
void sk_dht_filter_add(struct sk_dht_filter *filter, const struct sk_endpoint *endpoint);
bool sk_dht_filter_has(const struct sk_dht_filter *filter, const struct sk_endpoint *endpoint);
void sk_dht_filter_merge(struct sk_dht_filter *filter, const uint8_t other[SK_KRPC_FILTER_SIZE]);
/* How many addresses are in it: 0 for an empty one (BEP 33's formula would say 0.5); breaks down
 * above some 6,000 (see sk_dht_filter_full()), and never says more than 7,806. */
double sk_dht_filter_estimate(const struct sk_dht_filter *filter);
/* Whether it is too full for an estimate that means something. */
bool sk_dht_filter_full(const struct sk_dht_filter *filter);

#endif
