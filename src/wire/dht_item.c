#include "wire/dht_item.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/hash.h"

#include <stdio.h>

/* "4:salt64:" "3:seqi" 20 digits "e1:v" and the NUL that snprintf() writes */
#define SIGNED_MAX (SK_KRPC_SALT_MAX + SK_KRPC_ITEM_MAX + 48)

/* Writes what is signed, by steps of its own rather than out of a dictionary (BEP 44); its size,
 * or 0 where value or salt is too long. */
static size_t write_signed(struct sk_bytes salt, int64_t seq, struct sk_bytes value,
                           uint8_t ret_bytes[SIGNED_MAX])
{
    size_t n = 0;
    if (salt.n > SK_KRPC_SALT_MAX || value.n > SK_KRPC_ITEM_MAX || value.n == 0)
        return 0;
    if (salt.n) {
        n = (size_t)sprintf((char *)ret_bytes, "4:salt%zu:", salt.n);
        memcpy(ret_bytes + n, salt.p, salt.n);
        n += salt.n;
    }
    n += (size_t)sprintf((char *)ret_bytes + n, "3:seqi%llde1:v", (long long)seq);
    memcpy(ret_bytes + n, value.p, value.n);
    return n + value.n;
}

void sk_dht_item_target_immutable(struct sk_bytes value, uint8_t ret_target[SK_DHT_ID_SIZE])
{
    sk_sha1(value.p, value.n, ret_target);
}

void sk_dht_item_target_mutable(const uint8_t key[SK_SIGN_PUBLIC_SIZE], struct sk_bytes salt,
                                uint8_t ret_target[SK_DHT_ID_SIZE])
{
    struct sk_bytes parts[] = {sk_bytes(key, SK_SIGN_PUBLIC_SIZE), salt};
    sk_sha1_parts(parts, SK_ARRAY_LEN(parts), ret_target);
}

void sk_dht_item_target(const struct sk_dht_item *item, uint8_t ret_target[SK_DHT_ID_SIZE])
{
    if (item->key)
        sk_dht_item_target_mutable(item->key, item->salt, ret_target);
    else
        sk_dht_item_target_immutable(item->value, ret_target);
}

int sk_dht_item_sign(const uint8_t seed[SK_SIGN_SEED_SIZE], struct sk_bytes salt, int64_t seq,
                     struct sk_bytes value, uint8_t ret_signature[SK_SIGN_SIZE])
{
    uint8_t bytes[SIGNED_MAX];
    size_t n = write_signed(salt, seq, value, bytes);
    return n ? sk_sign(seed, sk_bytes(bytes, n), ret_signature) : SKEP_ERR_INVALID;
}

bool sk_dht_item_verify(const struct sk_dht_item *item, const uint8_t target[SK_DHT_ID_SIZE])
{
    uint8_t bytes[SIGNED_MAX], true_target[SK_DHT_ID_SIZE];
    if (item->value.n == 0 || item->value.n > SK_KRPC_ITEM_MAX)
        return false;
    sk_dht_item_target(item, true_target);
    if (memcmp(true_target, target, SK_DHT_ID_SIZE) != 0)
        return false;
    if (!item->key)
        return true;
    size_t n = write_signed(item->salt, item->seq, item->value, bytes);
    return n && item->signature && sk_sign_verify(item->key, sk_bytes(bytes, n), item->signature);
}
