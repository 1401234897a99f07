#include "wire/utp.h"

#include <skep/err.h>

#define VERSION 1
#define EXTENSION_SACK 1

/* Where the payload begins; 0: the chain of extensions does not fit. */
static size_t read_extensions(struct sk_bytes datagram, struct sk_bytes *ret_sack)
{
    size_t at = SK_UTP_HEADER_SIZE;
    for (uint8_t kind = datagram.p[1]; kind;) {
        if (datagram.n - at < 2)
            return 0;
        uint8_t next = datagram.p[at];
        size_t size = datagram.p[at + 1];
        at += 2;
        if (datagram.n - at < size)
            return 0;
        if (kind == EXTENSION_SACK) {
            if (!size)
                return 0;
            if (!ret_sack->n)
                *ret_sack = sk_bytes(datagram.p + at, size);
        }
        at += size;
        kind = next;
    }
    return at;
}

int sk_utp_read(struct sk_bytes datagram, struct sk_utp_packet *ret_packet)
{
    struct sk_bytes sack = {0};
    if (datagram.n < SK_UTP_HEADER_SIZE)
        return SKEP_ERR_MALFORMED;
    const uint8_t *p = datagram.p;
    if ((p[0] & 15) != VERSION || p[0] >> 4 > SK_UTP_SYN)
        return SKEP_ERR_MALFORMED;
    size_t payload = read_extensions(datagram, &sack);
    if (!payload)
        return SKEP_ERR_MALFORMED;
    *ret_packet = (struct sk_utp_packet){
        .type = p[0] >> 4,
        .connection_id = sk_get_u16(p + 2),
        .timestamp_us = sk_get_u32(p + 4),
        .timestamp_diff_us = sk_get_u32(p + 8),
        .window = sk_get_u32(p + 12),
        .seq_nr = sk_get_u16(p + 16),
        .ack_nr = sk_get_u16(p + 18),
        .sack = sack,
        .payload = payload,
    };
    return 0;
}

size_t sk_utp_write_header(const struct sk_utp_packet *packet, uint8_t *ret_bytes)
{
    uint8_t *p = ret_bytes;
    p[0] = (uint8_t)(packet->type << 4 | VERSION);
    p[1] = packet->sack.n ? EXTENSION_SACK : 0;
    sk_put_u16(p + 2, packet->connection_id);
    sk_put_u32(p + 4, packet->timestamp_us);
    sk_put_u32(p + 8, packet->timestamp_diff_us);
    sk_put_u32(p + 12, packet->window);
    sk_put_u16(p + 16, packet->seq_nr);
    sk_put_u16(p + 18, packet->ack_nr);
    if (!packet->sack.n)
        return SK_UTP_HEADER_SIZE;
    p[20] = 0;
    p[21] = (uint8_t)packet->sack.n;
    memcpy(p + 22, packet->sack.p, packet->sack.n);
    return SK_UTP_HEADER_SIZE + 2 + packet->sack.n;
}
