/*
 * Items that others put to us (BEP 44). Layer: proto/dht.
 *
 * Kept for two hours after the last put. Bounds: items, and items that one IP address (IPv6: /64;
 * on loopback: address and port) was the first to put. At its bound an address keeps what is
 * nearer to our own id. When the whole is full the address that brought most loses what is
 * farthest, if it brought more than the one that comes with something new; else the farthest item
 * of all makes room for one that is nearer. Signatures are checked before anything is kept, unless
 * the same item with the same signature is there: to refresh costs no more than to find it.
 * Empty: some 200 bytes. Full: some 8 MB.
 */
#ifndef SK_PROTO_DHT_ITEM_STORE_H
#define SK_PROTO_DHT_ITEM_STORE_H

#include "wire/dht_item.h"

struct sk_dht_item_store; /* owned */

int sk_dht_item_store_new(uint64_t seed, struct sk_dht_item_store **ret_store);
void sk_dht_item_store_free(struct sk_dht_item_store *store);
/*
 * Stores or refreshes. 0, or the code of the answer: TOO_BIG, SIGNATURE, SALT, CAS (has_cas and
 * what is stored has another seq), SEQ (lower, or the same with another value), SERVER (full, no
 * memory), PROTOCOL (negative seq, no value, or the target stands for something else: an immutable
 * item here and a mutable one there, or a collision of SHA-1). cas counts for mutable items that
 * are stored already. `own_id` decides what is near.
 */
enum sk_krpc_code sk_dht_item_store_put(struct sk_dht_item_store *store,
                                        const struct sk_dht_item *item, bool has_cas, int64_t cas,
                                        const struct sk_endpoint *from,
                                        const uint8_t own_id[SK_DHT_ID_SIZE], uint64_t now_ns);
/* Views are valid until the store changes. */
bool sk_dht_item_store_get(const struct sk_dht_item_store *store,
                           const uint8_t target[SK_DHT_ID_SIZE], struct sk_dht_item *ret_item);
uint64_t sk_dht_item_store_expire(struct sk_dht_item_store *store, uint64_t now_ns);
void sk_dht_item_store_count(const struct sk_dht_item_store *store, uint32_t *ret_items,
                             size_t *ret_bytes);

#endif
