#include <skep/engine.h>

#include "base/assert.h"
#include "engine/auditor_internal.h"

/* What a peer tells of itself, as often as it likes. */
static bool is_told(enum sk_observation_kind kind)
{
    return kind >= SK_OBS_BITFIELD && kind <= SK_OBS_UPLOAD_ONLY;
}

static bool may_tell(const struct sk_auditor *auditor, struct sk_record *record,
                     const struct sk_observation *observation)
{
    uint32_t pieces = skep_torrent_pieces(auditor->torrent);
    return sk_allowance_take(&record->allowance, 1, pieces, observation->bytes.n,
                             observation->at_ns) &&
           sk_allowance_take(&record->host->all, SK_ALLOWANCE_PEERS, pieces, observation->bytes.n,
                             observation->at_ns);
}

void sk_auditor_observe(struct sk_auditor *auditor, struct sk_record *record,
                        struct sk_observation observation, uint64_t now_ns)
{
    if (auditor->reported)
        return;
    observation.at_ns = SK_MAX(now_ns, auditor->started_ns);
    if (record)
        observation.peer = record->seen.endpoint;
    if (record && is_told(observation.kind) && !may_tell(auditor, record, &observation)) {
        /* What is not known of it any more must not count against it: it is not watched. */
        if (record->peer)
            skep_peer_ban(record->peer);
        return;
    }
    if (sk_timeline_observe(&auditor->timeline, &observation))
        auditor->timeline.lost++; /* no memory: the log has it all the same */
    if (auditor->config.observe)
        auditor->config.observe(&observation, auditor->config.observe_ctx);
}
