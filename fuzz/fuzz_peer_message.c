/*
 * Peer messages. Input: bytes after a length prefix; and, as they stand, a handshake. What is read
 * is written again and must give the same bytes.
 */
#include "wire/peer_message.h"

#include "base/assert.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_handshake(struct sk_bytes input)
{
    struct sk_handshake handshake;
    uint8_t written[SK_HANDSHAKE_SIZE];
    if (sk_handshake_read(input, &handshake))
        return;
    sk_handshake_write(&handshake, written);
    SK_ASSERT(memcmp(written, input.p, sizeof written) == 0);
}

static void fuzz_message(struct sk_bytes input)
{
    struct sk_msg msg;
    struct sk_buf buf;
    if (sk_msg_read(input, &msg))
        return;
    SK_ASSERT(sk_msg_kind_name(msg.kind) != NULL);
    SK_ASSERT(msg.kind != SK_MSG_HASHES || msg.range.length <= msg.hashes.n / SK_SHA256_SIZE);
    sk_buf_init(&buf, 4 + SK_PEER_MESSAGE_MAX);
    SK_ASSERT(sk_msg_write(&buf, &msg) == 0);
    SK_ASSERT(sk_get_u32(buf.p) == input.n);
    SK_ASSERT(sk_bytes_equal(sk_bytes(buf.p + 4, buf.n - 4), input));
    sk_buf_deinit(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_handshake(sk_bytes(data, size));
    fuzz_message(sk_bytes(data, size));
    return 0;
}
