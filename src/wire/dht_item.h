/*
 * Items of the DHT (BEP 44): what is hashed, what is signed. Layer: wire.
 *
 * A value is any bencoded value of at most SK_KRPC_ITEM_MAX bytes, kept as its raw encoding. An
 * immutable item is found under the SHA-1 of that encoding, a mutable one under the SHA-1 of
 * public key and salt.
 */
#ifndef SK_WIRE_DHT_ITEM_H
#define SK_WIRE_DHT_ITEM_H

#include "base/sign.h"
#include "wire/krpc.h"

/* Borrows everything. key NULL: immutable (then only value counts). */
struct sk_dht_item {
    struct sk_bytes value;
    const uint8_t *key;       /* SK_SIGN_PUBLIC_SIZE */
    const uint8_t *signature; /* SK_SIGN_SIZE */
    struct sk_bytes salt;     /* at most SK_KRPC_SALT_MAX bytes */
    int64_t seq;
};

void sk_dht_item_target_immutable(struct sk_bytes value, uint8_t ret_target[SK_DHT_ID_SIZE]);
void sk_dht_item_target_mutable(const uint8_t key[SK_SIGN_PUBLIC_SIZE], struct sk_bytes salt,
                                uint8_t ret_target[SK_DHT_ID_SIZE]);
void sk_dht_item_target(const struct sk_dht_item *item, uint8_t ret_target[SK_DHT_ID_SIZE]);
/* Signs salt, seq and value. SKEP_ERR_INVALID (value empty, value or salt too long),
 * SKEP_ERR_CRYPTO. */
int sk_dht_item_sign(const uint8_t seed[SK_SIGN_SEED_SIZE], struct sk_bytes salt, int64_t seq,
                     struct sk_bytes value, uint8_t ret_signature[SK_SIGN_SIZE]);
/* Whether the item belongs under this target and, when mutable, its signature is right. */
bool sk_dht_item_verify(const struct sk_dht_item *item, const uint8_t target[SK_DHT_ID_SIZE]);

#endif
