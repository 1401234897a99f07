/* ut_holepunch (BEP 55): peers that cannot be called are introduced by one that knows both. */
#include <skep/err.h>

#include "wire/compact.h"
#include "wire/extension.h"
#include "wire/peer_family.h"

enum { ADDRESS_V4 = 0, ADDRESS_V6 = 1 };
enum { HEAD = 2, ERROR_SIZE = 4 };

int sk_holepunch_read(struct sk_bytes payload, struct sk_holepunch *ret_message)
{
    struct sk_holepunch message = {0};
    if (payload.n < HEAD)
        return SKEP_ERR_MALFORMED;
    if (payload.p[0] > SK_HOLEPUNCH_ERROR)
        return SKEP_ERR_UNSUPPORTED;
    if (payload.p[1] > ADDRESS_V6)
        return SKEP_ERR_MALFORMED;
    enum sk_family family = payload.p[1] == ADDRESS_V6 ? SK_FAMILY_V6 : SK_FAMILY_V4;
    size_t size = family == SK_FAMILY_V6 ? 18 : 6;
    if (payload.n < HEAD + size)
        return SKEP_ERR_MALFORMED;
    const uint8_t *address = payload.p + HEAD;
    uint16_t port = sk_get_u16(address + size - 2);
    message.kind = payload.p[0];
    message.endpoint =
        family == SK_FAMILY_V6 ? sk_endpoint_v6(address, port) : sk_endpoint_v4(address, port);
    if (payload.n >= HEAD + size + ERROR_SIZE)
        message.error = sk_get_u32(address + size);
    *ret_message = message;
    return 0;
}

int sk_holepunch_write(struct sk_buf *buf, const struct sk_holepunch *message)
{
    uint8_t error[ERROR_SIZE];
    uint8_t head[HEAD] = {(uint8_t)message->kind,
                          message->endpoint.family == SK_FAMILY_V6 ? ADDRESS_V6 : ADDRESS_V4};
    int err = sk_msg_reserve(buf, HEAD + 18 + ERROR_SIZE);
    if (err)
        return err;
    sk_put_u32(error, message->error);
    sk_buf_append(buf, head, sizeof head);
    sk_compact_write(buf, &message->endpoint);
    return sk_buf_append(buf, error, sizeof error);
}
