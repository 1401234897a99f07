#include "wire/compact.h"

#include <skep/err.h>

static size_t entry_size(enum sk_family family)
{
    return family == SK_FAMILY_V6 ? 18 : 6;
}

size_t sk_compact_read(struct sk_bytes bytes, enum sk_family family, struct sk_endpoint *ret_peers,
                       size_t max, size_t *ret_rest)
{
    size_t size = entry_size(family);
    size_t there = bytes.n / size;
    size_t count = there < max ? there : max;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *entry = bytes.p + i * size;
        uint16_t port = sk_get_u16(entry + size - 2);
        ret_peers[i] =
            family == SK_FAMILY_V6 ? sk_endpoint_v6(entry, port) : sk_endpoint_v4(entry, port);
    }
    if (ret_rest)
        *ret_rest = bytes.n % size;
    return count;
}

int sk_compact_write(struct sk_buf *buf, const struct sk_endpoint *peer)
{
    if (peer->family != SK_FAMILY_V4 && peer->family != SK_FAMILY_V6)
        return SKEP_ERR_INVALID;
    uint8_t entry[18];
    size_t size = entry_size(peer->family);
    memcpy(entry, peer->addr, size - 2);
    sk_put_u16(entry + size - 2, peer->port);
    return sk_buf_append(buf, entry, size);
}
