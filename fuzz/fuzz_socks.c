/* SOCKS5: whatever a proxy says, and however cut, the dialogue reads no more than it wants and ends
 * in one of its stages; headers of datagrams are written again as they were read. */
#include "proto/socks/socks.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_header(struct sk_bytes datagram)
{
    struct sk_endpoint from, again;
    uint8_t bytes[SK_SOCKS_HEADER_MAX];
    size_t n, n_again;
    if (sk_socks_read_header(datagram, &from, &n))
        return;
    /* IPv4 wrapped in IPv6 comes out as what it is. */
    size_t written = sk_socks_write_header(&from, NULL, bytes);
    SK_ASSERT(n <= datagram.n && (written == n || (n == 22 && written == 10)));
    SK_ASSERT(sk_socks_read_header(sk_bytes(bytes, written), &again, &n_again) == 0);
    SK_ASSERT(n_again == written && sk_endpoint_equal(&from, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct sk_socks_account accounts[] = {{"", ""}, {"user", "password"}};
    static const struct sk_endpoint to = {.family = SK_FAMILY_V4, .port = 6881};
    struct sk_socks socks;
    try_header(sk_bytes(data, size));
    if (size < 2)
        return 0;
    bool associate = data[0] & 2;
    int err = sk_socks_init(&socks, associate ? SK_SOCKS_ASSOCIATE : SK_SOCKS_CONNECT, &to,
                            data[0] & 4 && !associate ? "peer.test" : NULL, &accounts[data[0] & 1]);
    size_t step = (size_t)data[1] % 8 + 1, at = 2;
    SK_ASSERT(!err);
    while (at < size && sk_socks_wanted(&socks)) {
        sk_socks_sent(&socks, sk_socks_output(&socks).n);
        size_t n = SK_MIN(SK_MIN(step, sk_socks_wanted(&socks)), size - at);
        sk_socks_input(&socks, sk_bytes(data + at, n));
        at += n;
    }
    SK_ASSERT((sk_socks_wanted(&socks) == 0) ==
              (socks.stage == SK_SOCKS_OPEN || socks.stage == SK_SOCKS_FAILED));
    SK_ASSERT((socks.stage == SK_SOCKS_FAILED) == (socks.failure != SK_SOCKS_NO_FAILURE));
    SK_ASSERT(sk_socks_failure_text(socks.failure) != NULL);
    return 0;
}
