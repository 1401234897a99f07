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

#define PIECES 125 /* more gains than one of the sums of their bytes has */
#define PIECE 16384
#define PADDING (3 * PIECE - 100) /* of it files have pads, which pieces say or not */
#define SIZE (PIECES * PIECE - PADDING)
#define SHORT_MAX 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* 15 is nobody: about the swarm as a whole. */
static struct sk_endpoint address(uint8_t n)
{
    const uint8_t v4[] = {10, 0, 0, n % 16}, v6[16] = {0x20, 1, [15] = n % 16};
    if (n % 16 == 15)
        return (struct sk_endpoint){.family = SK_FAMILY_NONE};
    return n % 4 == 3 ? sk_endpoint_v6(v6, 6881) : sk_endpoint_v4(v4, 6881);
}

/* Pieces with fewer bytes of files than others, in any order; what they lack adds up, or not. */
static struct sk_bytes short_pieces(const uint8_t data[8])
{
    static uint8_t list[SHORT_MAX * SK_TIMELINE_SHORT_BYTES];
    uint32_t rest = PADDING, piece = 0;
    for (uint32_t i = 0; i < SHORT_MAX; i++) {
        uint32_t lacking = i + 1 < SHORT_MAX ? PIECE / 256 * (data[4 + i] + 1u) : rest;
        piece += (data[3] >> 2 * i & 3) * 8;
        rest -= SK_MIN(lacking, rest);
        sk_put_u32(list + (size_t)i * SK_TIMELINE_SHORT_BYTES, piece++);
        sk_put_u32(list + (size_t)i * SK_TIMELINE_SHORT_BYTES + 4, PIECE - lacking);
    }
    if (data[7] == 0xff) /* not sorted */
        sk_put_u32(list, data[2]);
    return sk_bytes(list, data[7] == 0xfe ? data[2] % sizeof list : sizeof list);
}

/* Four bytes again and again, or a size that does not fit. */
static struct sk_bytes bitfield(const uint8_t data[8])
{
    static uint8_t bits[(PIECES + 7) / 8];
    for (size_t i = 0; i < sizeof bits; i++)
        bits[i] = data[4 + i % 4];
    bits[sizeof bits - 1] &= data[3] & 0x40 ? 0xff : 0xf8;
    return sk_bytes(bits, data[3] & 0x80 ? sizeof bits - 1 : sizeof bits);
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
        it.bytes = bitfield(data);
    else if (it.kind == SK_OBS_SHORT_PIECES)
        it.bytes = short_pieces(data);
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
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < peer->gains_count; i++) {
        SK_ASSERT(sk_timeline_gained_bytes(timeline, peer, i) == bytes);
        bytes += sk_timeline_piece_bytes(timeline, peer->gains[i].piece);
    }
    for (uint32_t i = 0; i < peer->watched_count; i++) {
        const struct sk_watch *watch = &peer->watched[i];
        SK_ASSERT(watch->from_ms <= watch->until_ms && watch->until_ms <= timeline->end_ms);
        SK_ASSERT(!i || watch[-1].until_ms <= watch->from_ms);
    }
    for (uint32_t i = 0; i < peer->taken_count; i++)
        SK_ASSERT(peer->taken[i].from_ms <= peer->taken[i].until_ms);
    if (peer->has_first)
        SK_ASSERT(peer->held.set == peer->first.set + peer->gains_count);
    for (uint32_t i = peer->link_first; i; i = timeline->links[i - 1].next)
        SK_ASSERT(&timeline->peers[timeline->links[i - 1].a] == peer);
}

/* Of ourselves. */
static void look_at_us(const struct sk_timeline *timeline)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; timeline->bytes && i < timeline->pieces; i++) {
        SK_ASSERT(timeline->bytes[i] <= timeline->piece_size);
        bytes += timeline->bytes[i];
    }
    SK_ASSERT(!timeline->bytes || bytes == timeline->size);
    for (uint32_t i = 0; i < timeline->announces_count; i++)
        SK_ASSERT(timeline->announces[i].asked_s <= timeline->announces[i].answered_s);
}

static void look(const struct sk_timeline *timeline)
{
    uint64_t gains = 0;
    look_at_us(timeline);
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
