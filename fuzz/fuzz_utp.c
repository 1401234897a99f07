/* uTP packets: what is read is written again and means the same; masks never reach beyond. */
#include "wire/utp.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sk_utp_packet packet, again;
    uint8_t bytes[SK_UTP_HEADER_SIZE + 2 + SK_UTP_SACK_MAX];
    size_t set = 0;
    if (sk_utp_read(sk_bytes(data, size), &packet))
        return 0;
    SK_ASSERT(packet.payload >= SK_UTP_HEADER_SIZE && packet.payload <= size);
    SK_ASSERT(packet.sack.n <= SK_UTP_SACK_MAX);
    for (size_t i = 0; i < SK_UTP_SACK_MAX * 8 + 8; i++)
        set += sk_utp_sack_has(packet.sack, i);
    SK_ASSERT(set <= packet.sack.n * 8);
    size_t n = sk_utp_write_header(&packet, bytes);
    SK_ASSERT(sk_utp_read(sk_bytes(bytes, n), &again) == 0);
    SK_ASSERT(again.payload == n && again.type == packet.type);
    SK_ASSERT(again.connection_id == packet.connection_id && again.window == packet.window);
    SK_ASSERT(again.timestamp_us == packet.timestamp_us);
    SK_ASSERT(again.timestamp_diff_us == packet.timestamp_diff_us);
    SK_ASSERT(again.seq_nr == packet.seq_nr && again.ack_nr == packet.ack_nr);
    SK_ASSERT(sk_bytes_equal(again.sack, packet.sack));
    return 0;
}
