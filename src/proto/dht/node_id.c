#include "proto/dht/node_id.h"

#include "base/assert.h"

/* Bits 64 to 127, and the last 32, of a xor b: seldom needed, as the first 64 tell most ids apart.
 */
static uint64_t xor_middle(const uint8_t *a, const uint8_t *b)
{
    return sk_get_u64(a + 8) ^ sk_get_u64(b + 8);
}

static uint32_t xor_low(const uint8_t *a, const uint8_t *b)
{
    return sk_get_u32(a + 16) ^ sk_get_u32(b + 16);
}

unsigned sk_dht_distance(const uint8_t a[SK_DHT_ID_SIZE], const uint8_t b[SK_DHT_ID_SIZE])
{
    uint64_t high = sk_get_u64(a) ^ sk_get_u64(b);
    if (high)
        return 160 - (unsigned)__builtin_clzll(high);
    uint64_t middle = xor_middle(a, b);
    if (middle)
        return 96 - (unsigned)__builtin_clzll(middle);
    uint32_t low = xor_low(a, b);
    return low ? 32 - (unsigned)__builtin_clz(low) : 0;
}

int sk_dht_compare(const uint8_t target[SK_DHT_ID_SIZE], const uint8_t a[SK_DHT_ID_SIZE],
                   const uint8_t b[SK_DHT_ID_SIZE])
{
    uint64_t high_a = sk_get_u64(target) ^ sk_get_u64(a);
    uint64_t high_b = sk_get_u64(target) ^ sk_get_u64(b);
    if (high_a != high_b)
        return high_a < high_b ? -1 : 1;
    uint64_t middle_a = xor_middle(target, a), middle_b = xor_middle(target, b);
    if (middle_a != middle_b)
        return middle_a < middle_b ? -1 : 1;
    uint32_t low_a = xor_low(target, a), low_b = xor_low(target, b);
    return (low_a > low_b) - (low_a < low_b);
}

/* CRC-32C (Castagnoli), reflected, half a byte a step: what is hashed is 4 or 8 bytes long. */
static uint32_t crc32c(const uint8_t *p, size_t n)
{
    static const uint32_t steps[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ steps[crc & 15];
        crc = crc >> 4 ^ steps[crc & 15];
    }
    return ~crc;
}

/* Only the first 21 bits of the result count. */
#define FITTING_MASK 0xfffff800u

static uint32_t address_hash(const struct sk_endpoint *endpoint, uint8_t r)
{
    static const uint8_t mask_v4[4] = {0x03, 0x0f, 0x3f, 0xff};
    static const uint8_t mask_v6[8] = {0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff};
    bool v4 = endpoint->family == SK_FAMILY_V4;
    const uint8_t *mask = v4 ? mask_v4 : mask_v6;
    size_t n = v4 ? sizeof mask_v4 : sizeof mask_v6;
    uint8_t ip[8];
    for (size_t i = 0; i < n; i++)
        ip[i] = endpoint->addr[i] & mask[i];
    ip[0] |= (uint8_t)((r & 7) << 5);
    return crc32c(ip, n) & FITTING_MASK;
}

void sk_dht_id_for_address(const struct sk_endpoint *endpoint, struct sk_prng *prng,
                           uint8_t ret_id[SK_DHT_ID_SIZE])
{
    sk_prng_bytes(prng, ret_id, SK_DHT_ID_SIZE);
    if (sk_endpoint_scope(endpoint) != SK_SCOPE_PUBLIC)
        return;
    uint32_t hash = address_hash(endpoint, ret_id[SK_DHT_ID_SIZE - 1]);
    sk_put_u32(ret_id, hash | (sk_get_u32(ret_id) & ~FITTING_MASK));
}

bool sk_dht_id_fits(const uint8_t id[SK_DHT_ID_SIZE], const struct sk_endpoint *endpoint)
{
    if (sk_endpoint_scope(endpoint) != SK_SCOPE_PUBLIC)
        return true;
    return (sk_get_u32(id) & FITTING_MASK) == address_hash(endpoint, id[SK_DHT_ID_SIZE - 1]);
}

void sk_dht_id_beside(const uint8_t id[SK_DHT_ID_SIZE], unsigned bits, struct sk_prng *prng,
                      uint8_t ret_id[SK_DHT_ID_SIZE])
{
    SK_ASSERT(bits < SK_DHT_ID_BITS);
    uint8_t random[SK_DHT_ID_SIZE];
    sk_prng_bytes(prng, random, sizeof random);
    unsigned whole = bits / 8;
    uint8_t differs = (uint8_t)(0x80 >> bits % 8); /* the bit after those shared */
    uint8_t shared = (uint8_t) ~(differs * 2 - 1); /* those before it in its byte */
    random[whole] =
        (uint8_t)((id[whole] & shared) | (~id[whole] & differs) | (random[whole] & (differs - 1)));
    memcpy(random, id, whole);
    memcpy(ret_id, random, sizeof random);
}
