/* The auditor's clock: what time alone changes, who makes room, and whether it is done. */
#include "engine/auditor_internal.h"

#include "base/assert.h"

#include <math.h>

#define PEX_WAIT_S 15.0 /* for a peer's first word over PEX, where trackers know the swarm too */
#define PEX_ONLY_S 35.0 /* the same where PEX is all there is */
#define LINGER_S 5.0    /* for LSD and incoming peers where nothing else is there */

static void gather(const struct sk_auditor *auditor, uint64_t now_ns,
                   struct sk_stopping_input *ret_input)
{
    struct sk_stopping_input in = {
        .elapsed_s = sk_auditor_seconds(auditor, now_ns),
        .has_metadata = auditor->has_assembly,
        .known = (uint32_t)auditor->count,
        .unsettled = auditor->unsettled + skep_torrent_names_waiting(auditor->torrent),
        .trackers = (uint32_t)auditor->claims_count,
        .trackers_waiting = skep_torrent_trackers_waiting(auditor->torrent),
        .dht_waiting = skep_torrent_dht_waiting(auditor->torrent),
        .next_draw_s = INFINITY,
        .old_run = auditor->coverage.old_run,
        .hidden_most = NAN,
        .since_new_s = INFINITY,
        .sources_off = auditor->config.only_given,
        .linger_s = LINGER_S,
        .watch_s = auditor->config.watch_s,
    };
    if (auditor->coverage.last_new_ns)
        in.since_new_s = (double)(now_ns - auditor->coverage.last_new_ns) / 1e9;
    bool told = false;
    for (size_t i = 0; i < auditor->claims_count; i++) {
        const struct sk_audit_claim *claim = &auditor->claims[i];
        in.tracker_repeats += claim->answers > 1 ? claim->answers - 1 : 0;
        told = told || claim->said.peers_told;
        if (!claim->answers)
            continue;
        double wait = claim->next_draw_ns == UINT64_MAX ? INFINITY
                      : claim->next_draw_ns <= now_ns
                          ? 0
                          : (double)(claim->next_draw_ns - now_ns) / 1e9;
        in.next_draw_s = fmin(in.next_draw_s, wait);
    }
    double pex_wait = told ? PEX_WAIT_S : PEX_ONLY_S;
    for (size_t i = 0; i < auditor->count && !in.unsettled; i++) {
        const struct sk_record *record = auditor->records[i];
        if (!record->peer || !skep_peer_pex(record->peer) || auditor->config.only_given ||
            auditor->config.no_pex)
            continue;
        in.pex_peers++;
        double open_s = (double)(now_ns - record->opened_ns) / 1e9;
        in.pex_waiting += !record->pex_spoke && open_s < pex_wait;
    }
    if (!in.unsettled) {
        struct sk_hidden hidden;
        sk_auditor_hidden(auditor, now_ns, &hidden, &in.present);
        in.hidden_most = hidden.most;
    }
    *ret_input = in;
}

static uint32_t room_of(const struct sk_auditor *auditor)
{
    uint32_t open = skep_torrent_open(auditor->torrent), max = auditor->config.connections_max;
    return SK_MIN(max - SK_MIN(open, max), skep_engine_room(auditor->engine));
}

bool sk_auditor_crowded(const struct sk_auditor *auditor)
{
    return skep_torrent_queued(auditor->torrent) > room_of(auditor);
}

/* Settled peers make room when others wait to be dialled. */
static void make_room(struct sk_auditor *auditor)
{
    uint32_t queued = skep_torrent_queued(auditor->torrent), room = room_of(auditor);
    uint32_t open = skep_torrent_open(auditor->torrent);
    if (queued <= room)
        return;
    uint32_t spare = SK_MIN(queued - room, SK_MAX(open / 4, 1u));
    for (size_t i = 0; i < auditor->count && spare; i++) {
        struct sk_record *record = auditor->records[i];
        if (record->peer && record->settled) {
            record->final = true;
            skep_peer_close(record->peer);
            spare--;
        }
    }
}

static void decide(struct sk_auditor *auditor, uint64_t now_ns)
{
    struct sk_stopping_input input;
    if (auditor->rule != SK_STOPPING_GO_ON)
        return;
    gather(auditor, now_ns, &input);
    auditor->rule = sk_stopping_decide(&input);
    sk_stopping_text(auditor->rule, &input, auditor->rule_text, sizeof auditor->rule_text);
    if (auditor->rule != SK_STOPPING_GO_ON && auditor->config.done)
        auditor->config.done(auditor->config.done_ctx);
}

/* A peer that told nothing by now holds nothing: what else would it send a bitfield for? */
static void assume_empty(struct sk_auditor *auditor, struct sk_record *record, uint64_t now_ns)
{
    if (record->peer && auditor->has_assembly && !record->seen.has_share &&
        (double)(now_ns - record->opened_ns) / 1e9 >= SK_AUDITOR_SETTLE_S)
        sk_auditor_set_share(auditor, record, true, now_ns);
}

void sk_auditor_tick(struct sk_auditor *auditor, uint64_t now_ns)
{
    for (size_t i = 0; i < auditor->count; i++) {
        struct sk_record *record = auditor->records[i];
        assume_empty(auditor, record, now_ns);
        sk_auditor_pump(auditor, record, now_ns);
        sk_auditor_again(auditor, record, now_ns);
        sk_auditor_update(auditor, record, now_ns);
    }
    sk_auditor_fill_slots(auditor, now_ns);
    make_room(auditor);
    sk_auditor_renew(auditor, now_ns);
    sk_auditor_trace(auditor, now_ns);
    decide(auditor, now_ns);
}

enum sk_stopping_rule sk_auditor_rule(const struct sk_auditor *auditor)
{
    return auditor->rule;
}
