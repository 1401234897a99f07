/*
 * Announces held against whatever was observed: the first byte says how many observations there are
 * (8 bytes each), all that follows is announces (16 bytes each). Every announce is accounted for,
 * and every peer that announced has a verdict with words.
 */
#include "audit/verdict.h"
#include "base/assert.h"
#include "swarm/source.h"

#include <math.h>

#define PIECES 32
#define PIECE 16384
#define ANNOUNCES_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sk_endpoint address(uint8_t n)
{
    return sk_endpoint_v4((const uint8_t[]){10, 0, 0, n % 8}, n & 0x40 ? 6882 : 6881);
}

static const char *id_of(uint8_t n)
{
    static const char *const ids[] = {"-AA0000-123456789012", "-BB0000-123456789012",
                                      "-CC0000-123456789012", "-DD0000-123456789012"};
    return ids[n % SK_ARRAY_LEN(ids)];
}

/* A counter: near what pieces say, or as large as it can be. */
static uint64_t counter(uint8_t n, uint8_t more)
{
    if (n == 0xff)
        return SK_ANNOUNCE_UNKNOWN;
    return n < 0xc0 ? n * (uint64_t)PIECE / 2 + more : (uint64_t)more << n % 64;
}

/* What is about no peer. */
static void observe_us(struct sk_observation *it, const uint8_t data[8])
{
    static uint8_t pads[SK_TIMELINE_SHORT_BYTES];
    if (it->kind < SK_OBS_SHORT_PIECES)
        return;
    it->peer = (struct sk_endpoint){.family = SK_FAMILY_NONE};
    if (it->kind == SK_OBS_SELF) {
        it->bytes = sk_bytes(id_of(data[5]), 20);
    } else if (it->kind == SK_OBS_ANNOUNCED) {
        it->a *= 100000; /* microseconds */
        it->c = (int64_t)counter(data[7], data[1]);
    } else { /* one piece has all of it */
        sk_put_u32(pads, data[5] % PIECES);
        sk_put_u32(pads + 4, PIECE - 5);
        it->bytes = sk_bytes(pads, sizeof pads);
    }
}

static void observe(struct sk_timeline *timeline, const uint8_t data[8], uint64_t *at_ns)
{
    *at_ns += (uint64_t)data[3] << data[4] % 32;
    struct sk_observation it = {.at_ns = *at_ns,
                                .kind = (enum sk_observation_kind)(data[0] % SK_OBS_KIND_COUNT),
                                .peer = address(data[1]),
                                .by = address(data[2]),
                                .source = SK_SOURCE_PEX,
                                .a = data[5],
                                .b = data[6] & 1,
                                .bytes = sk_bytes(data + 4, PIECES / 8)};
    if (it.kind == SK_OBS_OPEN)
        it.bytes = sk_bytes(id_of(data[5]), 20);
    observe_us(&it, data);
    SK_ASSERT(sk_timeline_observe(timeline, &it) == 0);
}

static struct sk_announce announce(const uint8_t data[16])
{
    struct sk_announce it = {
        .at_unix_s = 1e9 + data[0] + data[1] * 16.0 - 64,
        .has_peer_id = data[2] & 1,
        .endpoint = data[2] & 2 ? address(data[3]) : (struct sk_endpoint){.family = SK_FAMILY_NONE},
        .uploaded = counter(data[4], data[5]),
        .downloaded = counter(data[6], data[7]),
        .left = counter(data[8], data[9]),
        .event = (enum sk_announce_event)(data[10] % SK_ANNOUNCE_EVENT_COUNT),
        .has_key = data[2] & 4,
        .key = data[11],
    };
    memcpy(it.peer_id, id_of(data[12]), sizeof it.peer_id);
    it.info_hash[0] = data[2] & 8 ? data[13] : 0;
    if (data[2] & 0x80)
        it.at_unix_s = data[14] & 1 ? NAN : data[14] & 2 ? INFINITY : -ldexp(data[15], data[14]);
    return it;
}

/* What visitors took is known for any peer and time, and no less for a longer one. */
static void look_at_visits(const struct sk_visits *visits, const struct sk_endpoint *giver)
{
    for (double until_s = -4000; until_s < 4000; until_s += 500) {
        double beside;
        double part = sk_visits_taken(visits, giver, -2000, until_s, 1000, &beside);
        SK_ASSERT(part >= 0 && beside >= 0 && beside <= part + 1);
        double all = sk_visits_taken(visits, giver, -4000, until_s + 1, 1000, &beside);
        SK_ASSERT(part <= all + 1 && isfinite(all));
        SK_ASSERT(sk_visits_taken(visits, giver, -2000, until_s, INFINITY, &beside) >= part - 1);
    }
}

static void look(const struct sk_verdicts *verdicts)
{
    const struct sk_reports *reports = &verdicts->reports;
    for (uint32_t i = 0; i < verdicts->count; i++) {
        const struct sk_verdict_peer *peer = &verdicts->peers[i];
        struct sk_verdict verdict;
        SK_ASSERT(reports->begins[i] <= reports->begins[i + 1]);
        SK_ASSERT(peer->announces == reports->begins[i + 1] - reports->begins[i]);
        SK_ASSERT((peer->result != SK_VERDICT_NONE) == (peer->announces > 0));
        SK_ASSERT(peer->value >= 0 && isfinite(peer->value) && peer->rate >= 0 && peer->rate <= 1);
        for (size_t k = 0; k < SK_CHECK_COUNT; k++)
            SK_ASSERT(peer->findings[k].against <= peer->findings[k].said &&
                      peer->findings[k].value >= 0);
        sk_verdict_write(verdicts, i, &verdict);
        SK_ASSERT(verdict.result == peer->result && verdict.announces == peer->announces);
        SK_ASSERT(!peer->announces || verdict.claim[0]);
        SK_ASSERT(strlen(verdict.claim) + 1 < sizeof verdict.claim &&
                  strlen(verdict.evidence) + 1 < sizeof verdict.evidence); /* whole */
        SK_ASSERT(verdict.result != SK_VERDICT_FALSE_REPORT ||
                  (verdict.evidence[0] && verdict.ruled_out && verdict.error_rate <= 0.01));
        SK_ASSERT(verdict.result != SK_VERDICT_CANNOT_TELL || verdict.evidence[0]);
    }
    SK_ASSERT(reports->begins[verdicts->count] == reports->count);
    SK_ASSERT(reports->clock.low_s <= reports->clock.high_s);
    SK_ASSERT(isfinite(reports->offset_s) && reports->accuracy_s >= 0);
    for (uint32_t i = 1; i < reports->count; i++) {
        const struct sk_reports_line *line = &reports->lines[i];
        SK_ASSERT(line[-1].peer < line->peer ||
                  (line[-1].peer == line->peer && line[-1].at_s <= line->at_s));
    }
    SK_ASSERT(isfinite(verdicts->sums.uploaded) && isfinite(verdicts->sums.downloaded));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t info_hash[20];
    static struct sk_announce announces[ANNOUNCES_MAX];
    struct sk_verdict_config config = sk_verdict_config_default();
    struct sk_timeline timeline;
    struct sk_verdicts verdicts;
    uint64_t at_ns = 0;
    uint32_t count = 0, ours = 0;
    if (!size)
        return 0;
    unsigned observations = *data++;
    bool known = observations & 1;
    size--;
    SK_ASSERT(sk_timeline_init(&timeline, 0, known * PIECES, known * PIECE,
                               (uint64_t)known * (PIECES * PIECE - 5)) == 0);
    for (; size >= 8 && observations; data += 8, size -= 8, observations--)
        observe(&timeline, data, &at_ns);
    sk_timeline_close(&timeline, at_ns);
    for (uint32_t i = 0; i < timeline.peers_count; i++) {
        double rate = i % 3 ? i * 1000.0 : NAN;
        timeline.peers[i].capacity = (struct sk_rate){rate, rate, rate};
    }
    for (; size >= 16 && count < ANNOUNCES_MAX; data += 16, size -= 16) {
        announces[count] = announce(data);
        ours += announces[count++].info_hash[0] == 0;
    }
    config.began_unix_s = 1e9;
    config.info_hash = info_hash;
    SK_ASSERT(sk_verdicts_init(&verdicts, &timeline, announces, count, &config) == 0);
    const struct sk_reports *reports = &verdicts.reports;
    SK_ASSERT(ours == reports->count + reports->unmatched + reports->foreign + reports->malformed +
                          reports->dropped + reports->own + reports->copies + reports->late);
    look(&verdicts);
    for (uint32_t i = 0; i < timeline.peers_count; i++)
        look_at_visits(&reports->visits, &timeline.peers[i].endpoint);
    sk_verdicts_deinit(&verdicts);
    sk_timeline_deinit(&timeline);
    return 0;
}
