#include "wire/socks.h"

#include <skep/err.h>

enum { KIND_V4 = 1, KIND_NAME = 3, KIND_V6 = 4 };
enum { RESERVED = 3 }; /* bytes of a datagram before its address: two reserved, the fragment */

static size_t write_ip(const struct sk_endpoint *endpoint, uint8_t *ret_bytes)
{
    size_t n = endpoint->family == SK_FAMILY_V6 ? 16 : 4;
    if (endpoint->family == SK_FAMILY_NONE)
        return 0;
    ret_bytes[0] = n == 16 ? KIND_V6 : KIND_V4;
    memcpy(ret_bytes + 1, endpoint->addr, n);
    return 1 + n;
}

static size_t write_name(const char *name, uint8_t *ret_bytes)
{
    size_t n = strlen(name);
    if (n == 0 || n > SK_SOCKS_NAME_MAX)
        return 0;
    ret_bytes[0] = KIND_NAME;
    ret_bytes[1] = (uint8_t)n;
    memcpy(ret_bytes + 2, name, n);
    return 2 + n;
}

size_t sk_socks_write_address(const struct sk_endpoint *endpoint, const char *name,
                              uint8_t *ret_bytes)
{
    size_t n = name ? write_name(name, ret_bytes) : write_ip(endpoint, ret_bytes);
    if (n == 0)
        return 0;
    sk_put_u16(ret_bytes + n, endpoint->port);
    return n + 2;
}

size_t sk_socks_address_size(const uint8_t head[2])
{
    switch (head[0]) {
    case KIND_V4:
        return 1 + 4 + 2;
    case KIND_V6:
        return 1 + 16 + 2;
    case KIND_NAME:
        return head[1] ? 2 + (size_t)head[1] + 2 : 0;
    default:
        return 0;
    }
}

int sk_socks_read_address(struct sk_bytes bytes, struct sk_endpoint *ret_endpoint, size_t *ret_size)
{
    size_t size = bytes.n >= 2 ? sk_socks_address_size(bytes.p) : 0;
    if (size == 0 || bytes.n < size)
        return SKEP_ERR_MALFORMED;
    uint16_t port = sk_get_u16(bytes.p + size - 2);
    if (bytes.p[0] == KIND_V4)
        *ret_endpoint = sk_endpoint_v4(bytes.p + 1, port);
    else if (bytes.p[0] == KIND_V6)
        *ret_endpoint = sk_endpoint_v6(bytes.p + 1, port);
    else
        *ret_endpoint = (struct sk_endpoint){.port = port};
    *ret_size = size;
    return 0;
}

size_t sk_socks_write_header(const struct sk_endpoint *endpoint, const char *name,
                             uint8_t *ret_bytes)
{
    memset(ret_bytes, 0, RESERVED);
    size_t n = sk_socks_write_address(endpoint, name, ret_bytes + RESERVED);
    return n ? RESERVED + n : 0;
}

int sk_socks_read_header(struct sk_bytes datagram, struct sk_endpoint *ret_from, size_t *ret_size)
{
    struct sk_endpoint from;
    size_t size;
    if (datagram.n < RESERVED || datagram.p[2] != 0)
        return SKEP_ERR_MALFORMED;
    if (sk_socks_read_address(sk_bytes(datagram.p + RESERVED, datagram.n - RESERVED), &from,
                              &size) ||
        from.family == SK_FAMILY_NONE)
        return SKEP_ERR_MALFORMED;
    *ret_from = from;
    *ret_size = RESERVED + size;
    return 0;
}
