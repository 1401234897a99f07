/*
 * UDP tracker packets, as both sides read them. Requests that are read are written again and must
 * mean the same.
 */
#include "wire/tracker_udp.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_answer(struct sk_bytes packet, enum sk_family family)
{
    struct sk_udp_head head;
    struct sk_announce_answer announce;
    struct sk_scrape_answer scrape;
    uint64_t connection;
    char text[SK_TRACKER_TEXT_MAX];
    if (sk_tracker_udp_read_head(packet, &head))
        return;
    if (sk_tracker_udp_read_announce(packet, family, &announce) == 0) {
        SK_ASSERT(announce.peers_count <= SK_TRACKER_PEERS_MAX);
        SK_ASSERT(announce.peers_count <= (packet.n - 20) / (family == SK_FAMILY_V6 ? 18 : 6));
        sk_announce_answer_deinit(&announce);
    }
    if (sk_tracker_udp_read_scrape(packet, &scrape) == 0)
        SK_ASSERT(scrape.seeds >= -1 && scrape.seeds <= INT32_MAX);
    SK_ASSERT((sk_tracker_udp_read_connect(packet, &connection) == 0) == (packet.n >= 16));
    SK_ASSERT(sk_tracker_udp_read_error(packet, text) == 0);
    SK_ASSERT(memchr(text, 0, sizeof text));
}

static void fuzz_request(struct sk_bytes packet)
{
    struct sk_udp_request first, again;
    struct sk_buf buf;
    if (sk_tracker_udp_read_request(packet, &first))
        return;
    sk_buf_init(&buf, 1u << 16);
    if (first.action == SK_UDP_CONNECT)
        sk_tracker_udp_write_connect(&buf, first.transaction);
    else if (first.action == SK_UDP_ANNOUNCE)
        sk_tracker_udp_write_announce(&buf, first.connection, first.transaction, &first.announce,
                                      first.url_data);
    else
        sk_tracker_udp_write_scrape(&buf, first.connection, first.transaction, first.info_hashes.p);
    SK_ASSERT(!buf.failed);
    SK_ASSERT(sk_tracker_udp_read_request(sk_buf_bytes(&buf), &again) == 0);
    SK_ASSERT(first.action == again.action && first.transaction == again.transaction);
    SK_ASSERT(first.connection == again.connection);
    SK_ASSERT(sk_bytes_equal(first.url_data, again.url_data));
    first.announce.left = sk_announce_left(&first.announce);
    SK_ASSERT(first.announce.left == again.announce.left);
    SK_ASSERT(first.announce.event == again.announce.event);
    SK_ASSERT(first.announce.want == again.announce.want);
    SK_ASSERT(memcmp(first.announce.info_hash, again.announce.info_hash, 20) == 0);
    SK_ASSERT(first.info_hashes.n % 20 == 0 && first.info_hashes.n <= 20 * SK_UDP_SCRAPE_MAX);
    sk_buf_deinit(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sk_bytes packet = sk_bytes(data, size);
    fuzz_answer(packet, SK_FAMILY_V4);
    fuzz_answer(packet, SK_FAMILY_V6);
    fuzz_request(packet);
    return 0;
}
