/*
 * What others announced to us (BEP 5, 33, 51). Layer: proto/dht.
 *
 * For each info-hash the peers with their port and whether they seed, for 30 minutes after their
 * last announce. BEP 33 wants one entry an IP address; like all deployed nodes we keep several
 * ports of one (peers share addresses behind NAT), at most SK_DHT_STORE_PORTS_MAX; filters count an
 * address once. Bounds: hashes, peers, peers of a hash; and of one IP address (IPv6: /64) its peers
 * and the hashes that it was the first to announce. An address at a bound of its own loses what of
 * its own is nearest to its end; when the whole is full, the address that brought most does. A
 * hash that is full takes nobody new.
 * Allocates when something is stored, never to answer (but 1 KB once, for the first sample). Empty:
 * 256 bytes. Full: some 40 MB. Nothing is scanned but a hash's filters after a peer has left them.
 */
#ifndef SK_PROTO_DHT_PEER_STORE_H
#define SK_PROTO_DHT_PEER_STORE_H

#include "base/prng.h"
#include "wire/dht_filter.h"

struct sk_dht_peer_store; /* owned */

int sk_dht_peer_store_new(struct sk_prng *prng, struct sk_dht_peer_store **ret_store);
void sk_dht_peer_store_free(struct sk_dht_peer_store *store);
/* `peer` has the announced port. SKEP_ERR_LIMIT (the hash is full), SKEP_ERR_INVALID (no address or
 * port 0), SKEP_ERR_NOMEM (nothing has changed). */
int sk_dht_peer_store_add(struct sk_dht_peer_store *store, const uint8_t info_hash[SK_DHT_ID_SIZE],
                          const struct sk_endpoint *peer, bool seed, uint64_t now_ns);
/* A random choice of at most `max` peers of the family, seeds last with no_seed. Returns how many.
 * Costs `max`, not the size of the swarm. */
size_t sk_dht_peer_store_sample(const struct sk_dht_peer_store *store,
                                const uint8_t info_hash[SK_DHT_ID_SIZE], enum sk_family family,
                                bool no_seed, uint64_t now_ns, struct sk_endpoint *ret_peers,
                                size_t max);
/* The filters of seeds and of other peers, kept up to date; false: nothing stored. */
bool sk_dht_peer_store_filters(const struct sk_dht_peer_store *store,
                               const uint8_t info_hash[SK_DHT_ID_SIZE],
                               struct sk_dht_filter *ret_seeds, struct sk_dht_filter *ret_peers);
/* Whether it takes another peer of this hash (BEP 33: below 6,000): else give no token. */
bool sk_dht_peer_store_takes(const struct sk_dht_peer_store *store,
                             const uint8_t info_hash[SK_DHT_ID_SIZE]);
/* BEP 51: a sample that changes every SK_DHT_SAMPLE_INTERVAL_S. Returns bytes written, whole hashes
 * of at most `max` bytes (and no more than 50 hashes); how many hashes are stored and in how many
 * seconds it changes. While all of them fit they are all in it, new ones too. */
size_t sk_dht_peer_store_hashes(struct sk_dht_peer_store *store, uint64_t now_ns,
                                uint8_t *ret_hashes, size_t max, uint32_t *ret_num,
                                uint32_t *ret_interval_s);
/* Removes what is over; SK_TIME_NEVER or when next. */
uint64_t sk_dht_peer_store_expire(struct sk_dht_peer_store *store, uint64_t now_ns);
void sk_dht_peer_store_count(const struct sk_dht_peer_store *store, uint32_t *ret_hashes,
                             uint32_t *ret_peers, size_t *ret_bytes);

#endif
