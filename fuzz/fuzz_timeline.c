/*
 * A timeline of whatever was observed: each 8 bytes are an observation, a HAVE, a bitfield, a peer
 * under a new address. The first byte says when it becomes known what the pieces are. What holds of
 * each timeline is looked at after it, and download rates are made of it.
 */
#include "audit/download.h"
#include "audit/timeline.h"
#include "base/assert.h"
#include "base/limits.h"
#include "swarm/source.h"

#include <skep/err.h>

#include <math.h>

#define PIECES 29
#define PIECE 16384
#define SIZE ((PIECES - 1) * PIECE + 100)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* 15 is nobody: about the swarm as a whole. */
static struct sk_endpoint address(uint8_t n)
{
    const uint8_t v4[] = {10, 0, 0, n % 16}, v6[16] = {0x20, 1, [15] = n % 16};
    if (n % 16 == 15)
        return (struct sk_endpoint){.family = SK_FAMILY_NONE};
    return n % 4 == 3 ? sk_endpoint_v6(v6, 6881) : sk_endpoint_v4(v4, 6881);
}

static struct sk_observation observation(const uint8_t data[8])
{
    static const char *const texts[] = {
        "", "duplicate", "self", "-XX0000-123456789012",
        "a client\xff with a name that is longer than most of them"};
    struct sk_observation it = {.kind = (enum sk_observation_kind)(data[0] % SK_OBS_KIND_COUNT),
                                .peer = address(data[1]),
                                .by = address(data[2]),
                                .source = 1u << data[3] % SK_SOURCE_COUNT,
                                .a = (int8_t)data[5],
                                .b = data[6] & 1,
                                .c = data[7]};
    if (it.kind == SK_OBS_BITFIELD)
        it.bytes = sk_bytes(data + 4, data[3] & 0x80 ? 3 : 4);
    else
        it.bytes = sk_bytes_text(texts[data[7] % SK_ARRAY_LEN(texts)]);
    if (it.kind == SK_OBS_ARRIVAL)
        it.a = (int64_t)((uint64_t)data[5] << data[6] % 64);
    return it;
}

static void look_at_peer(const struct sk_timeline *timeline, const struct sk_timeline_peer *peer)
{
    SK_ASSERT(peer->gains_count <= timeline->pieces);
    for (uint32_t i = 0; i < peer->gains_count; i++) {
        const struct sk_gain *gain = &peer->gains[i];
        SK_ASSERT(gain->since_ms <= gain->at_ms && gain->at_ms <= timeline->end_ms);
        SK_ASSERT(!i || (gain[-1].at_ms <= gain->at_ms && gain[-1].since_ms <= gain->since_ms));
        SK_ASSERT(sk_bitfield_has(&peer->held, gain->piece));
        SK_ASSERT(!sk_bitfield_has(&peer->first, gain->piece));
    }
    for (uint32_t i = 0; i < peer->watched_count; i++) {
        const struct sk_span *span = &peer->watched[i];
        SK_ASSERT(span->from_ms <= span->until_ms && span->until_ms <= timeline->end_ms);
        SK_ASSERT(!i || span[-1].until_ms <= span->from_ms);
    }
    for (uint32_t i = 0; i < peer->taken_count; i++)
        SK_ASSERT(peer->taken[i].from_ms <= peer->taken[i].until_ms);
    if (peer->has_first)
        SK_ASSERT(peer->held.set == peer->first.set + peer->gains_count);
    for (uint32_t i = peer->link_first; i; i = timeline->links[i - 1].next)
        SK_ASSERT(&timeline->peers[timeline->links[i - 1].a] == peer);
}

static void look(const struct sk_timeline *timeline)
{
    uint64_t gains = 0;
    for (uint32_t i = 0; i < timeline->peers_count; i++) {
        const struct sk_timeline_peer *peer = &timeline->peers[i];
        struct sk_download download;
        look_at_peer(timeline, peer);
        gains += peer->gains_count;
        SK_ASSERT(sk_timeline_find(timeline, &peer->endpoint) == i);
        sk_download_estimate(timeline, i, &download);
        SK_ASSERT(download.how && download.observable == !isnan(download.rate.rate));
        SK_ASSERT(!download.observable ||
                  (download.rate.low >= 0 && download.rate.low <= download.rate.rate &&
                   download.rate.rate <= download.rate.high));
    }
    SK_ASSERT(gains <= timeline->gains_total && !timeline->open_links.count);
    for (uint32_t i = 0; i < timeline->links_count; i++) {
        const struct sk_timeline_link *link = &timeline->links[i];
        SK_ASSERT(link->a < timeline->peers_count && link->b < timeline->peers_count);
        SK_ASSERT(link->from_ms <= link->until_ms && link->until_ms <= timeline->end_ms);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sk_timeline timeline;
    uint64_t at_ns = 0;
    if (!size)
        return 0;
    unsigned known = *data++; /* observations before the metadata */
    size--;
    SK_ASSERT(sk_timeline_init(&timeline, 0, 0, 0, 0) == 0);
    for (unsigned i = 0; size >= 8 && i < 512; data += 8, size -= 8, i++) {
        struct sk_observation it = observation(data);
        if (i == known)
            SK_ASSERT(sk_timeline_set_pieces(&timeline, PIECES, PIECE, SIZE) == 0);
        at_ns += (uint64_t)data[3] << data[4] % 34;
        it.at_ns = at_ns;
        SK_ASSERT(sk_timeline_observe(&timeline, &it) == 0);
    }
    sk_timeline_close(&timeline, at_ns);
    look(&timeline);
    sk_timeline_deinit(&timeline);
    return 0;
}
