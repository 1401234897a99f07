/* The auditor's tracers: from time to time a few stored pieces are offered to one peer each, so
 * that it shows how they spread (audit/flow_tracer.h). */
#include "engine/auditor_internal.h"

#include "audit/flow_tracer.h"
#include "base/assert.h"
#include "base/heap.h"
#include "base/mem.h"

#define ROUND_NS (5 * SK_SECOND_NS)
#define ROUND_MAX 64 /* offers of one round */

/* Whom they can be offered to, by peer of the timeline: connected, and seen to gain something. */
static void list_receivers(const struct sk_auditor *auditor, struct sk_record **by_index,
                           bool *receivers)
{
    const struct sk_timeline *timeline = &auditor->timeline;
    for (size_t i = 0; i < auditor->count; i++) {
        struct sk_record *record = auditor->records[i];
        uint32_t index = sk_timeline_find(timeline, &record->seen.endpoint);
        if (!record->peer || index == UINT32_MAX)
            continue;
        by_index[index] = record;
        receivers[index] = timeline->peers[index].gains_count > 0;
    }
}

static void offer(struct sk_auditor *auditor, struct sk_record *record, uint32_t piece,
                  uint64_t now_ns)
{
    if (skep_peer_offer(record->peer, piece) == 0)
        sk_auditor_observe(auditor, record,
                           (struct sk_observation){.kind = SK_OBS_OFFERED, .a = piece}, now_ns);
}

static void offer_some(struct sk_auditor *auditor, const uint8_t *stored, uint64_t now_ns)
{
    const struct sk_timeline *timeline = &auditor->timeline;
    struct sk_flow_gift gifts[ROUND_MAX];
    uint32_t max = SK_MIN(sk_flow_tracers_allowed(timeline, SK_TRACER_SHARE), (uint32_t)ROUND_MAX);
    struct sk_record **by_index = sk_mem_calloc(timeline->peers_count + 1, sizeof *by_index);
    bool *receivers = sk_mem_calloc(timeline->peers_count + 1, sizeof *receivers);
    const struct sk_bitfield held = {.bits = (uint8_t *)stored, .count = timeline->pieces};
    int count = 0; /* without memory the next round tries again */
    if (max && by_index && receivers) {
        list_receivers(auditor, by_index, receivers);
        count = sk_flow_tracers(timeline,
                                &(struct sk_tracer_config){.receivers = receivers, .held = &held},
                                gifts, max);
    }
    for (int i = 0; i < count; i++)
        offer(auditor, by_index[gifts[i].peer], gifts[i].piece, now_ns);
    sk_mem_free(by_index);
    sk_mem_free(receivers);
}

void sk_auditor_trace(struct sk_auditor *auditor, uint64_t now_ns)
{
    size_t n;
    const uint8_t *stored = skep_torrent_stored(auditor->torrent, &n);
    if (!auditor->config.tracer || !stored || !auditor->timeline.pieces ||
        now_ns < auditor->trace_ns)
        return;
    auditor->trace_ns = now_ns + ROUND_NS;
    offer_some(auditor, stored, now_ns);
}
