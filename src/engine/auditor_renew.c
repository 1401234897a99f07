/* The auditor's new connections to peers that are silent: some suppress HAVEs, some super-seed, and
 * what they hold is only told when a connection begins (audit/renewal.h). */
#include "engine/auditor_internal.h"

#include "base/assert.h"
#include "base/heap.h"

#include <math.h>

/* Whether it may yet take what we offered it, or is taking. */
static bool takes(const struct sk_auditor *auditor, const struct sk_record *record, uint64_t now_ns)
{
    const struct sk_timeline *timeline = &auditor->timeline;
    uint32_t index = sk_timeline_find(timeline, &record->seen.endpoint);
    if (index == UINT32_MAX || !timeline->peers[index].given_count)
        return false;
    const struct sk_timeline_peer *peer = &timeline->peers[index];
    const struct sk_given *last = &peer->given[peer->given_count - 1];
    uint32_t at_ms = last->given_ms == SK_TIME_OPEN ? last->offered_ms : last->given_ms;
    return sk_auditor_seconds(auditor, now_ns) - at_ms / 1e3 < SK_RENEWAL_SILENCE_NS / 1e9;
}

/* When its connection is to be renewed; UINT64_MAX: not as things are. Nothing is to be lost by it:
 * it is settled, nothing is under way, and it lacks something by what it told. */
static uint64_t due(const struct sk_auditor *auditor, const struct sk_record *record)
{
    bool probing = record->probe.state == SK_PROBE_READY || record->probe.state == SK_PROBE_RUNNING;
    if (!record->peer || !record->settled || probing || !record->seen.has_share ||
        skep_peer_pending(record->peer) ||
        skep_peer_have_count(record->peer) == skep_torrent_pieces(auditor->torrent))
        return UINT64_MAX;
    return sk_renewal_due(&record->renewal);
}

static void renew(struct sk_auditor *auditor, struct sk_record *record, uint64_t now_ns)
{
    record->renewal.told_ns = now_ns; /* if it cannot be now, then it is later */
    if (takes(auditor, record, now_ns))
        return;
    record->renews = true;
    int err = skep_peer_renew(record->peer, now_ns, SK_RENEWAL_AWAY_NS);
    record->renews = err == 0;
    if (!err) {
        sk_renewal_begun(&record->renewal);
        auditor->renew_ns = now_ns + SK_RENEWAL_PAUSE_NS;
    }
    sk_auditor_update(auditor, record, now_ns);
}

void sk_auditor_renew(struct sk_auditor *auditor, uint64_t now_ns)
{
    double left_s = auditor->config.watch_s - sk_auditor_seconds(auditor, now_ns);
    if (left_s < SK_RENEWAL_END_NS / 1e9 || !auditor->has_assembly || now_ns < auditor->renew_ns ||
        sk_auditor_crowded(auditor))
        return;
    struct sk_record *first = NULL;
    uint64_t first_ns = now_ns + 1;
    for (size_t i = 0; i < auditor->count; i++) {
        uint64_t at_ns = due(auditor, auditor->records[i]);
        if (at_ns >= first_ns)
            continue;
        first = auditor->records[i];
        first_ns = at_ns;
    }
    if (first)
        renew(auditor, first, now_ns);
}

/* ---- what comes of it ---- */

bool sk_auditor_may_tell_again(const struct sk_auditor *auditor, const struct sk_record *teller,
                               const struct sk_record *record)
{
    double began_s = sk_auditor_seconds(auditor, teller->opened_ns);
    bool before = false;
    for (int i = 0; i < SK_SOURCE_COUNT; i++)
        before |= record->seen.heard_s[i] < began_s;
    return before && teller->renewal.count > 0;
}

void sk_auditor_keep_seen(struct sk_record *moved, struct sk_record *record)
{
    struct sk_report_peer *now = &moved->seen;
    const struct sk_report_peer *before = &record->seen;
    now->connected_s = before->connected_s;
    now->seen_s += before->seen_s;
    now->unchoked_s += before->unchoked_s;
    now->chokes += before->chokes;
    now->unchokes += before->unchokes;
    now->haves += before->haves;
    now->given_bytes += before->given_bytes;
    if (before->has_share)
        now->pieces_first = before->pieces_first;
    if (!isnan(before->unchoked_after_s))
        now->unchoked_after_s = before->unchoked_after_s;
    sk_renewal_opened(&record->renewal, moved->renewal.told_ns);
    sk_renewal_told(&record->renewal, moved->renewal.shown, moved->renewal.told_ns);
    moved->renewal = record->renewal;
    moved->pex_old += record->pex_old;
    moved->pex_spoke |= record->pex_spoke;
}
