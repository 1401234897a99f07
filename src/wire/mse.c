#include "wire/mse.h"

#include "base/assert.h"

void sk_mse_hash_req1(const uint8_t secret[SK_DH_SIZE], uint8_t ret_hash[SK_SHA1_SIZE])
{
    const struct sk_bytes parts[] = {sk_bytes_text("req1"), sk_bytes(secret, SK_DH_SIZE)};
    sk_sha1_parts(parts, SK_ARRAY_LEN(parts), ret_hash);
}

void sk_mse_hash_req2(const uint8_t info_hash[20], uint8_t ret_hash[SK_SHA1_SIZE])
{
    const struct sk_bytes parts[] = {sk_bytes_text("req2"), sk_bytes(info_hash, 20)};
    sk_sha1_parts(parts, SK_ARRAY_LEN(parts), ret_hash);
}

void sk_mse_hash_req3(const uint8_t secret[SK_DH_SIZE], uint8_t ret_hash[SK_SHA1_SIZE])
{
    const struct sk_bytes parts[] = {sk_bytes_text("req3"), sk_bytes(secret, SK_DH_SIZE)};
    sk_sha1_parts(parts, SK_ARRAY_LEN(parts), ret_hash);
}

void sk_mse_key(bool a, const uint8_t secret[SK_DH_SIZE], const uint8_t info_hash[20],
                uint8_t ret_key[SK_SHA1_SIZE])
{
    const struct sk_bytes parts[] = {sk_bytes_text(a ? "keyA" : "keyB"),
                                     sk_bytes(secret, SK_DH_SIZE), sk_bytes(info_hash, 20)};
    sk_sha1_parts(parts, SK_ARRAY_LEN(parts), ret_key);
}
