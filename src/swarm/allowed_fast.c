#include "swarm/allowed_fast.h"

#include "base/assert.h"

static bool is_in(const uint32_t *set, uint32_t count, uint32_t piece)
{
    for (uint32_t i = 0; i < count; i++)
        if (set[i] == piece)
            return true;
    return false;
}

uint32_t sk_allowed_fast(const uint8_t info_hash[SK_SHA1_SIZE], const struct sk_endpoint *peer,
                         uint32_t pieces, uint32_t count, uint32_t *ret_pieces)
{
    uint8_t net[4] = {peer->addr[0], peer->addr[1], peer->addr[2], 0};
    uint8_t x[SK_SHA1_SIZE];
    const struct sk_bytes seed[] = {sk_bytes(net, sizeof net), sk_bytes(info_hash, SK_SHA1_SIZE)};
    uint32_t n = 0;
    if (peer->family != SK_FAMILY_V4)
        return 0;
    count = SK_MIN(count, pieces);
    sk_sha1_parts(seed, SK_ARRAY_LEN(seed), x);
    while (n < count) {
        for (size_t i = 0; i < SK_SHA1_SIZE && n < count; i += 4) {
            uint32_t piece = sk_get_u32(x + i) % pieces;
            if (!is_in(ret_pieces, n, piece))
                ret_pieces[n++] = piece;
        }
        sk_sha1(x, sizeof x, x);
    }
    return n;
}
