/*
 * Node ids: XOR distance, and ids that follow from an address (BEP 42). Layer: proto/dht. Pure.
 *
 * BEP 42 ties the first 21 bits of an id to the address, so that nobody can choose a place beside a
 * target: an IPv4 address has 8 such beginnings, and so has an IPv6 /64. Where its text says that
 * 8 bytes are hashed for both families, its code and its test vectors hash 4 for IPv4, as every
 * client does and this does.
 */
#ifndef SK_PROTO_DHT_NODE_ID_H
#define SK_PROTO_DHT_NODE_ID_H

#include "base/prng.h"
#include "wire/krpc.h"

#define SK_DHT_ID_BITS 160

/* The bit length of a xor b: 0 where they are equal, 160 where the first bit differs. */
unsigned sk_dht_distance(const uint8_t a[SK_DHT_ID_SIZE], const uint8_t b[SK_DHT_ID_SIZE]);
/* Whether a is nearer to the target than b (<0), as near (0: the same id), or farther (>0). */
int sk_dht_compare(const uint8_t target[SK_DHT_ID_SIZE], const uint8_t a[SK_DHT_ID_SIZE],
                   const uint8_t b[SK_DHT_ID_SIZE]);
/* An id that a node at this address may have; any, where the address is a local one. */
void sk_dht_id_for_address(const struct sk_endpoint *endpoint, struct sk_prng *prng,
                           uint8_t ret_id[SK_DHT_ID_SIZE]);
/* Whether a node at this address may have this id. Local addresses (all that is not public, see
 * sk_endpoint_scope()) may have any. */
bool sk_dht_id_fits(const uint8_t id[SK_DHT_ID_SIZE], const struct sk_endpoint *endpoint);
/* A random id that shares the first `bits` bits with this one and differs in the next. bits < 160.
 */
void sk_dht_id_beside(const uint8_t id[SK_DHT_ID_SIZE], unsigned bits, struct sk_prng *prng,
                      uint8_t ret_id[SK_DHT_ID_SIZE]);

#endif
