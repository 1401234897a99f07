#include "engine/auditor_internal.h"

#include "base/assert.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "swarm/peer_book.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAZY_S 2.0     /* HAVEs this soon after a bitfield belong to it (lazy bitfields) */
#define PEX_OLD_MAX 20 /* old draws of one peer's PEX that count: it alone proves nothing */

/* ---- records ---- */

double sk_auditor_seconds(const struct sk_auditor *auditor, uint64_t at_ns)
{
    /* Given peers are entered while the audit is being set up. */
    return at_ns > auditor->started_ns ? (double)(at_ns - auditor->started_ns) / 1e9 : 0;
}

static struct sk_record *find_record(const struct sk_auditor *auditor, const char *address)
{
    struct sk_endpoint endpoint;
    if (!address || sk_endpoint_parse(address, 0, &endpoint))
        return NULL;
    return sk_map_get(&auditor->by_endpoint, &endpoint);
}

static void init_record(struct sk_record *record, const struct sk_endpoint *endpoint)
{
    struct sk_report_peer *seen = &record->seen;
    *seen = (struct sk_report_peer){.endpoint = *endpoint};
    seen->upload_only = -1;
    seen->rtt_s = seen->gap_median_s = seen->unchoked_after_s = NAN;
    seen->connected_s = seen->share = seen->share_change = NAN;
    seen->capacity = seen->download = seen->upload = SK_RATE_UNKNOWN;
    seen->verdict.error_rate = NAN;
    seen->delivered = SK_RATE_UNKNOWN;
    for (int i = 0; i < SK_SOURCE_COUNT; i++)
        seen->heard_s[i] = NAN;
}

/* The first record at its IP. */
static struct sk_record *find_host(struct sk_auditor *auditor, struct sk_record *record)
{
    const struct sk_endpoint key = sk_peer_book_host(&record->seen.endpoint);
    struct sk_record *first = sk_map_get(&auditor->by_host, &key);
    if (!first)
        (void)sk_map_put(&auditor->by_host, &key, record); /* without memory each is its own */
    return first ? first : record;
}

/* The record of an address, made where there is none; NULL without memory. */
static struct sk_record *get_record(struct sk_auditor *auditor, const char *address)
{
    struct sk_record *record = find_record(auditor, address);
    struct sk_endpoint endpoint;
    if (record || sk_endpoint_parse(address, 0, &endpoint))
        return record;
    if (auditor->count == auditor->capacity) {
        size_t capacity = auditor->capacity ? auditor->capacity * 2 : 64;
        struct sk_record **records = sk_mem_realloc(auditor->records, capacity, sizeof *records);
        if (!records)
            return NULL;
        auditor->records = records;
        auditor->capacity = capacity;
    }
    record = sk_mem_calloc(1, sizeof *record);
    if (!record || sk_map_put(&auditor->by_endpoint, &endpoint, record)) {
        sk_mem_free(record);
        return NULL;
    }
    init_record(record, &endpoint);
    sk_probe_init(&record->probe, auditor->config.probe_bytes, auditor->config.probe_bytes_max);
    record->number = (uint32_t)auditor->count;
    record->host = find_host(auditor, record);
    auditor->records[auditor->count++] = record;
    auditor->unsettled++;
    return record;
}

static struct sk_record *record_of(const struct sk_auditor *auditor, const struct skep_event *event)
{
    return event->peer ? skep_peer_data(event->peer, auditor->slot) : NULL;
}

/* The engine may have other torrents. */
static bool is_ours(const struct sk_auditor *auditor, const struct skep_event *event)
{
    return event->torrent == auditor->torrent;
}

/* ---- settled or not ---- */

static bool is_settled(const struct sk_auditor *auditor, const struct sk_record *record,
                       uint64_t now_ns)
{
    const struct sk_report_peer *seen = &record->seen;
    const struct sk_probe *probe = &record->probe;
    if (!record->peer)
        return record->final || record->renews;
    double open_s = (double)(now_ns - record->opened_ns) / 1e9;
    if (!auditor->has_assembly)
        return open_s >= auditor->config.patience_s;
    if (!seen->has_share)
        return open_s >= SK_AUDITOR_SETTLE_S;
    if (auditor->config.no_probe || sk_probe_is_measured(probe))
        return true;
    if (probe->state == SK_PROBE_IDLE)
        return open_s >= SK_AUDITOR_SETTLE_S;
    return probe->state == SK_PROBE_WAITING &&
           sk_probe_wanted_s(probe, now_ns) >= auditor->config.patience_s;
}

void sk_auditor_update(struct sk_auditor *auditor, struct sk_record *record, uint64_t now_ns)
{
    bool settled = is_settled(auditor, record, now_ns);
    if (settled == record->settled)
        return;
    record->settled = settled;
    if (settled)
        auditor->unsettled--;
    else
        auditor->unsettled++;
}

/* ---- hooks: sources and claims ---- */

static void on_heard(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct sk_record *record = is_ours(auditor, event) ? get_record(auditor, event->text) : NULL;
    if (!record)
        return;
    struct sk_record *teller =
        event->source == SKEP_SOURCE_PEX ? find_record(auditor, event->by) : NULL;
    bool again = teller && sk_auditor_may_tell_again(auditor, teller, record);
    if (event->is_new || !teller || (!again && teller->pex_old++ < PEX_OLD_MAX))
        sk_coverage_draw(&auditor->coverage, (enum sk_source)event->source, event->is_new,
                         event->now_ns);
    if (!again)
        sk_auditor_told(auditor, record, teller, event);
    unsigned index = (unsigned)__builtin_ctz(event->source);
    if (!(record->seen.sources & event->source))
        record->seen.heard_s[index] = sk_auditor_seconds(auditor, event->now_ns);
    record->seen.sources |= event->source;
    struct sk_observation observation = {
        .kind = SK_OBS_HEARD, .source = event->source, .a = event->flags, .b = event->is_new};
    if (teller) {
        observation.by = teller->seen.endpoint;
        teller->pex_spoke = true;
    } else if (event->by) {
        observation.bytes = sk_bytes_text(event->by);
    }
    sk_auditor_observe(auditor, record, observation, event->now_ns);
}

static void on_lost(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct sk_record *record = is_ours(auditor, event) ? find_record(auditor, event->text) : NULL;
    struct sk_record *teller = record_of(auditor, event);
    if (teller)
        teller->pex_spoke = true;
    if (record && teller)
        sk_auditor_observe(
            auditor, record,
            (struct sk_observation){.kind = SK_OBS_DROPPED, .by = teller->seen.endpoint},
            event->now_ns);
}

static struct sk_audit_claim *get_claim(struct sk_auditor *auditor, const char *source)
{
    for (size_t i = 0; i < auditor->claims_count; i++)
        if (strcmp(auditor->claims[i].said.source, source) == 0)
            return &auditor->claims[i];
    struct sk_audit_claim *claims =
        sk_mem_realloc(auditor->claims, auditor->claims_count + 1, sizeof *claims);
    if (!claims)
        return NULL;
    auditor->claims = claims;
    struct sk_audit_claim *claim = &claims[auditor->claims_count];
    *claim = (struct sk_audit_claim){
        .said = {.seeds = -1, .leechers = -1, .downloads = -1, .at_unix_s = NAN}};
    claim->said.source = sk_mem_strdup(source);
    if (!claim->said.source)
        return NULL;
    auditor->claims_count++;
    return claim;
}

static double unix_time(const struct sk_auditor *auditor, uint64_t now_ns)
{
    return auditor->config.started_unix_s + sk_auditor_seconds(auditor, now_ns);
}

static void on_claim(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    if (!is_ours(auditor, event))
        return;
    struct sk_audit_claim *claim = get_claim(auditor, event->text);
    const struct skep_claim *said = &event->claim;
    sk_auditor_observe(auditor, NULL,
                       (struct sk_observation){.kind = SK_OBS_TRACKER_CLAIM,
                                               .a = said->seeds,
                                               .b = said->leechers,
                                               .c = said->downloads,
                                               .bytes = sk_bytes_text(event->text)},
                       event->now_ns);
    if (said->asked_ns)
        sk_auditor_observe(
            auditor, NULL,
            (struct sk_observation){.kind = SK_OBS_ANNOUNCED,
                                    .a = (int64_t)((event->now_ns - said->asked_ns) / 1000),
                                    .b = said->started,
                                    .c = (int64_t)said->downloaded,
                                    .bytes = sk_bytes_text(event->text)},
            event->now_ns);
    if (!claim)
        return;
    sk_mem_free(claim->said.error);
    claim->said.error = NULL;
    claim->said.at_unix_s = unix_time(auditor, event->now_ns);
    if (said->seeds >= 0)
        claim->said.seeds = said->seeds;
    if (said->leechers >= 0)
        claim->said.leechers = said->leechers;
    if (said->downloads >= 0)
        claim->said.downloads = said->downloads;
    claim->next_draw_ns = said->next_draw_ns;
    if (said->scrape)
        return;
    claim->said.peers_told += said->peers;
    claim->answers++;
    auditor->answers++;
}

static void on_claim_failed(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    if (!is_ours(auditor, event))
        return;
    struct sk_audit_claim *claim = get_claim(auditor, event->text);
    char line[1024];
    snprintf(line, sizeof line, "%s\t%s", event->text, event->reason);
    sk_auditor_observe(
        auditor, NULL,
        (struct sk_observation){.kind = SK_OBS_TRACKER_FAILED, .bytes = sk_bytes_text(line)},
        event->now_ns);
    if (claim)
        claim->next_draw_ns = event->claim.next_draw_ns;
    if (!claim || claim->answers)
        return; /* what it said before stands */
    sk_mem_free(claim->said.error);
    claim->said.error = sk_mem_strdup(event->reason);
    claim->said.at_unix_s = unix_time(auditor, event->now_ns);
}

/* ---- hooks: connections ---- */

static void on_dialed(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct sk_record *record = is_ours(auditor, event) ? find_record(auditor, event->text) : NULL;
    if (!record)
        return;
    sk_auditor_observe(auditor, record,
                       (struct sk_observation){.kind = SK_OBS_DIALED, .a = event->flags},
                       event->now_ns);
    record->final = false; /* a better source may have lifted a rule against it */
    sk_auditor_update(auditor, record, event->now_ns);
}

static void on_failed(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct sk_record *record = is_ours(auditor, event) ? get_record(auditor, event->text) : NULL;
    if (!record)
        return;
    bool duplicate = strcmp(event->reason, "duplicate") == 0;
    const struct sk_record *other = duplicate ? find_record(auditor, event->by) : NULL;
    struct sk_observation observation = {.kind = SK_OBS_FAILED,
                                         .bytes = sk_bytes_text(event->reason)};
    if (other)
        record->seen.same_as = observation.by = other->seen.endpoint;
    sk_auditor_observe(auditor, record, observation, event->now_ns);
    record->final = event->final;
    record->renews = record->renews && !event->final;
    if (!record->opened_ns || record->seen.same_as.family)
        record->seen.reason = event->reason;
    sk_auditor_update(auditor, record, event->now_ns);
}

static void on_open(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct skep_peer *peer = event->peer;
    if (!is_ours(auditor, event))
        return;
    struct sk_record *record = get_record(auditor, skep_peer_address(peer));
    if (!record) {
        skep_peer_close(peer);
        return;
    }
    struct sk_report_peer *seen = &record->seen;
    skep_peer_set_data(peer, auditor->slot, record);
    record->peer = peer;
    record->final = record->left = record->renews = false;
    sk_renewal_opened(&record->renewal, event->now_ns);
    if (!record->opened_ns)
        seen->connected_s = sk_auditor_seconds(auditor, event->now_ns);
    record->opened_ns = event->now_ns;
    record->unchoked_ns = record->payload_seen = 0;
    seen->incoming = skep_peer_incoming(peer);
    seen->has_peer_id = true;
    memcpy(seen->peer_id, skep_peer_id(peer), 20);
    seen->transport = skep_peer_utp(event->peer) ? "utp" : "tcp";
    seen->encryption = skep_peer_encrypted(peer) ? "rc4" : "plain";
    seen->reason = NULL;
    if (skep_peer_connect_ns(peer))
        seen->rtt_s = (double)skep_peer_connect_ns(peer) / 1e9;
    snprintf(seen->client, sizeof seen->client, "%s", skep_peer_client(peer));
    sk_auditor_observe(auditor, record,
                       (struct sk_observation){.kind = SK_OBS_OPEN,
                                               .a = skep_peer_encrypted(peer) ? 2 : 1,
                                               .b = seen->incoming,
                                               .bytes = sk_bytes(seen->peer_id, 20)},
                       event->now_ns);
    sk_auditor_update(auditor, record, event->now_ns);
}

/* The connection ended, or the record is about to be merged away: what it held is kept. */
static void keep_last(struct sk_record *record)
{
    size_t n;
    const uint8_t *bits = skep_peer_bitfield(record->peer, &n);
    if (!bits || !record->seen.has_share)
        return;
    uint32_t pieces = skep_peer_have_count(record->peer);
    sk_bitfield_deinit(&record->last);
    record->last = (struct sk_bitfield){.bits = sk_mem_dup(bits, n), .set = pieces};
    if (record->last.bits)
        record->last.count = (uint32_t)(n * 8);
}

static void end_unchoked(struct sk_record *record, uint64_t now_ns)
{
    if (record->unchoked_ns)
        record->seen.unchoked_s += (double)(now_ns - record->unchoked_ns) / 1e9;
    record->unchoked_ns = 0;
}

static void on_closed(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct sk_record *record = record_of(auditor, event);
    if (!record)
        return;
    sk_auditor_observe(
        auditor, record,
        (struct sk_observation){.kind = SK_OBS_CLOSED, .bytes = sk_bytes_text(event->reason)},
        event->now_ns);
    end_unchoked(record, event->now_ns);
    sk_auditor_leave(auditor, record, event->now_ns);
    keep_last(record);
    record->seen.seen_s += (double)(event->now_ns - record->opened_ns) / 1e9;
    record->left = strcmp(event->reason, "local") != 0;
    if (record->left)
        record->seen.reason = event->reason;
    record->hangs_up |= record->left && record->probe.state == SK_PROBE_DONE;
    record->peer = NULL;
    record->final = event->final || sk_probe_is_measured(&record->probe);
    sk_auditor_update(auditor, record, event->now_ns);
    sk_auditor_fill_slots(auditor, event->now_ns);
}

/* `moved` takes the place of `record`. One who was probed is not probed anew because it has come
 * back from another port. */
static void keep_probe(struct sk_record *moved, struct sk_record *record)
{
    if (!sk_probe_is_measured(&record->probe)) {
        sk_probe_deinit(&record->probe);
        return;
    }
    sk_probe_deinit(&moved->probe);
    moved->probe = record->probe;
    moved->probed_from_ns = record->probed_from_ns;
    moved->probed_ns = record->probed_ns;
    moved->lap_ns = record->lap_ns;
    moved->hangs_up = record->hangs_up;
    moved->kept = record->kept;
    moved->crowded = record->crowded;
    if (moved->peer)
        (void)skep_peer_interest(moved->peer, false);
}

/* An incoming peer is known by the address that it listens on from now on. */
static void on_address(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct sk_record *old = record_of(auditor, event);
    struct sk_record *record = old ? get_record(auditor, skep_peer_address(event->peer)) : NULL;
    if (!record || old == record)
        return;
    sk_auditor_observe(auditor, record,
                       (struct sk_observation){.kind = SK_OBS_ADDRESS, .by = old->seen.endpoint},
                       event->now_ns);
    /* Everything seen moves over; the old address stays as another one of the same peer. */
    sk_auditor_leave(auditor, old, event->now_ns);
    if (auditor->has_assembly)
        sk_assembly_rename(&auditor->assembly, old->number, record->number);
    struct sk_record moved = *old;
    moved.number = record->number;
    moved.blocks += record->blocks;
    moved.seen.blocks_verified += record->seen.blocks_verified;
    moved.seen.blocks_corrupt += record->seen.blocks_corrupt;
    moved.seen.delivered_bytes += record->seen.delivered_bytes;
    moved.seen.endpoint = record->seen.endpoint;
    moved.seen.sources |= record->seen.sources;
    for (int i = 0; i < SK_SOURCE_COUNT; i++)
        moved.seen.heard_s[i] = fmin(moved.seen.heard_s[i], record->seen.heard_s[i]);
    sk_auditor_keep_told(&moved, record);
    sk_allowance_join(&moved.allowance, &record->allowance);
    moved.host = record->host;
    moved.all = record->all;
    if (record->opened_ns)
        sk_auditor_keep_seen(&moved, record);
    moved.settled = record->settled;
    moved.in_ready = record->in_ready; /* places in the queue stay where they are */
    moved.ready_next = record->ready_next;
    keep_probe(&moved, record);
    sk_bitfield_deinit(&record->last);
    sk_bitfield_deinit(&record->taken);
    struct sk_endpoint old_endpoint = old->seen.endpoint;
    *record = moved;
    skep_peer_set_data(event->peer, auditor->slot, record);
    sk_probe_init(&old->probe, auditor->config.probe_bytes, auditor->config.probe_bytes_max);
    init_record(old, &old_endpoint);
    old->last = old->taken = (struct sk_bitfield){0};
    old->peer = NULL;
    old->opened_ns = old->unchoked_ns = old->set_ns = old->payload_seen = 0;
    old->blocks = 0;
    old->seen.same_as = record->seen.endpoint;
    old->seen.reason = "duplicate";
    old->seen.sources = SK_SOURCE_INCOMING;
    old->final = true;
    sk_auditor_update(auditor, old, event->now_ns);
    sk_auditor_update(auditor, record, event->now_ns);
    sk_auditor_want(auditor, record, event->now_ns);
}

static void on_client(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct sk_record *record = record_of(auditor, event);
    if (!record)
        return;
    snprintf(record->seen.client, sizeof record->seen.client, "%s", skep_peer_client(event->peer));
    record->seen.upload_only = skep_peer_upload_only(event->peer);
    sk_auditor_observe(
        auditor, record,
        (struct sk_observation){.kind = SK_OBS_CLIENT, .bytes = sk_bytes_text(record->seen.client)},
        event->now_ns);
}

/* ---- hooks: what peers hold and do ---- */

void sk_auditor_set_share(struct sk_auditor *auditor, struct sk_record *record, bool first,
                          uint64_t now_ns)
{
    struct sk_report_peer *seen = &record->seen;
    uint32_t pieces = skep_torrent_pieces(auditor->torrent);
    seen->pieces = skep_peer_have_count(record->peer);
    sk_renewal_told(&record->renewal, seen->pieces, now_ns);
    seen->share = pieces ? (double)seen->pieces / pieces : NAN;
    if (!seen->has_share) {
        seen->has_share = true;
        record->set_ns = now_ns;
        seen->pieces_first = seen->pieces;
    } else if ((first && record->set_ns >= record->opened_ns) ||
               (double)(now_ns - record->set_ns) / 1e9 < LAZY_S) {
        seen->pieces_first = SK_MAX(seen->pieces_first, seen->pieces);
    }
    seen->share_change =
        pieces ? ((double)seen->pieces - (double)seen->pieces_first) / pieces : NAN;
    sk_auditor_want(auditor, record, now_ns);
    sk_auditor_update(auditor, record, now_ns);
}

static void on_have_set(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct sk_record *record = record_of(auditor, event);
    size_t n;
    if (!record)
        return;
    const uint8_t *bits = skep_peer_bitfield(event->peer, &n);
    sk_auditor_observe(
        auditor, record,
        (struct sk_observation){.kind = SK_OBS_BITFIELD, .bytes = sk_bytes(bits, bits ? n : 0)},
        event->now_ns);
    sk_auditor_set_share(auditor, record, true, event->now_ns);
}

static void on_have(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct sk_record *record = record_of(auditor, event);
    if (!record)
        return;
    record->seen.haves++;
    sk_auditor_observe(auditor, record,
                       (struct sk_observation){.kind = SK_OBS_HAVE,
                                               .a = event->message.index,
                                               .b = event->message.begin},
                       event->now_ns);
    if (auditor->has_assembly)
        sk_auditor_set_share(auditor, record, false, event->now_ns);
    /* It may be one of those that it gives although it chokes us. */
    if (auditor->has_assembly && skep_peer_allowed_fast(event->peer, event->message.index))
        sk_auditor_allowed(auditor, record, event->now_ns);
}

static void on_dont_have(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct sk_record *record = record_of(auditor, event);
    if (!record)
        return;
    sk_auditor_observe(auditor, record,
                       (struct sk_observation){.kind = SK_OBS_DONT_HAVE, .a = event->message.index},
                       event->now_ns);
    if (auditor->has_assembly && record->seen.has_share)
        sk_auditor_set_share(auditor, record, false, event->now_ns);
}

static void on_choke(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct sk_record *record = record_of(auditor, event);
    if (!record)
        return;
    sk_auditor_observe(auditor, record, (struct sk_observation){.kind = SK_OBS_CHOKE},
                       event->now_ns);
    record->seen.chokes++;
    end_unchoked(record, event->now_ns);
    sk_auditor_choked(auditor, record, event->now_ns);
}

static void on_unchoke(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct sk_record *record = record_of(auditor, event);
    if (!record)
        return;
    sk_auditor_observe(auditor, record, (struct sk_observation){.kind = SK_OBS_UNCHOKE},
                       event->now_ns);
    struct sk_report_peer *seen = &record->seen;
    seen->unchokes++;
    if (!record->unchoked_ns)
        record->unchoked_ns = event->now_ns;
    if (isnan(seen->unchoked_after_s) && record->probe.interested_ns)
        seen->unchoked_after_s = (double)(event->now_ns - record->probe.interested_ns) / 1e9;
    sk_auditor_allowed(auditor, record, event->now_ns);
}

static void on_allowed_fast(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct sk_record *record = record_of(auditor, event);
    if (record && auditor->has_assembly && skep_peer_has(event->peer, event->message.index))
        sk_auditor_allowed(auditor, record, event->now_ns);
}

/* Messages that are only written down. */
static void on_noted(const struct skep_event *event, void *ctx)
{
    static const struct {
        int message;
        enum sk_observation_kind kind;
    } kinds[] = {
        {SKEP_MESSAGE_INTERESTED, SK_OBS_INTERESTED},
        {SKEP_MESSAGE_NOT_INTERESTED, SK_OBS_INTERESTED},
        {SKEP_MESSAGE_UPLOAD_ONLY, SK_OBS_UPLOAD_ONLY},
        {SKEP_MESSAGE_REQUEST, SK_OBS_REQUESTED},
    };
    struct sk_auditor *auditor = ctx;
    struct sk_record *record = record_of(auditor, event);
    const struct skep_message *message = &event->message;
    for (size_t i = 0; record && i < SK_ARRAY_LEN(kinds); i++) {
        if (kinds[i].message != (int)message->kind)
            continue;
        struct sk_observation observation = {
            .kind = kinds[i].kind, .a = message->index, .b = message->begin, .c = message->length};
        if (kinds[i].kind == SK_OBS_INTERESTED)
            observation.a = message->kind == SKEP_MESSAGE_INTERESTED;
        if (kinds[i].kind == SK_OBS_UPLOAD_ONLY)
            record->seen.upload_only = (int)message->index;
        sk_auditor_observe(auditor, record, observation, event->now_ns);
    }
}

static void on_arrival(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct sk_record *record = record_of(auditor, event);
    if (!record)
        return;
    uint64_t bytes = skep_peer_payload_in(event->peer);
    sk_auditor_observe(auditor, record,
                       (struct sk_observation){.kind = SK_OBS_ARRIVAL, .a = (int64_t)bytes},
                       event->now_ns);
    sk_probe_arrived(&record->probe, bytes - record->payload_seen, event->now_ns);
    sk_downlink_note(&auditor->downlink, &record->share, bytes - record->payload_seen,
                     event->now_ns);
    record->payload_seen = bytes;
}

static void on_block(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct sk_record *record = record_of(auditor, event);
    if (record)
        sk_auditor_on_block(auditor, record, event);
}

static void on_rejected(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct sk_record *record = record_of(auditor, event);
    if (record)
        sk_auditor_on_rejected(auditor, record, event);
}

static void on_leaves(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    if (is_ours(auditor, event) && auditor->has_assembly)
        sk_auditor_on_leaves(auditor, event->piece);
}

static void on_sent(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct sk_record *record = record_of(auditor, event);
    if (!record)
        return;
    const struct skep_message *block = &event->message;
    sk_auditor_observe(
        auditor, record,
        (struct sk_observation){
            .kind = SK_OBS_GIVEN, .a = block->index, .b = block->begin, .c = block->length},
        event->now_ns);
    auditor->given_bytes += block->length;
    record->seen.given_bytes += block->length;
}

/* Which pieces have fewer bytes of files than the others: of many files that is most of them. */
static void observe_short_pieces(struct sk_auditor *auditor, uint64_t now_ns)
{
    const struct skep_torrent *torrent = auditor->torrent;
    uint32_t pieces = skep_torrent_pieces(torrent), whole = skep_torrent_piece_size(torrent);
    struct sk_observation seen = {.kind = SK_OBS_SHORT_PIECES};
    struct sk_buf list;
    sk_buf_init(&list, (size_t)pieces * SK_TIMELINE_SHORT_BYTES);
    for (uint32_t i = 0; i < pieces; i++) {
        uint8_t entry[SK_TIMELINE_SHORT_BYTES];
        uint32_t bytes = skep_torrent_piece_data(torrent, i);
        if (bytes == whole)
            continue;
        sk_put_u32(entry, i);
        sk_put_u32(entry + 4, bytes);
        sk_buf_append(&list, entry, sizeof entry);
    }
    seen.bytes = sk_buf_bytes(&list);
    if (!list.failed)
        sk_auditor_observe(auditor, NULL, seen, now_ns);
    sk_buf_deinit(&list);
}

static void on_metadata(const struct skep_event *event, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    if (!is_ours(auditor, event) || auditor->has_assembly)
        return;
    auditor->has_assembly =
        sk_assembly_init(&auditor->assembly, skep_torrent_pieces(event->torrent)) == 0;
    auditor->metadata_ns = event->now_ns;
    (void)sk_timeline_set_pieces(&auditor->timeline, skep_torrent_pieces(event->torrent),
                                 skep_torrent_piece_size(event->torrent),
                                 skep_torrent_size(event->torrent));
    if (sk_timeline_padding(&auditor->timeline))
        observe_short_pieces(auditor, event->now_ns);
}

/* ---- life ---- */

static const struct sk_event_hook hooks[] = {
    {SKEP_EVENT_HEARD, on_heard},
    {SKEP_EVENT_LOST, on_lost},
    {SKEP_EVENT_DIALED, on_dialed},
    {SKEP_EVENT_FAILED, on_failed},
    {SKEP_EVENT_OPEN, on_open},
    {SKEP_EVENT_ADDRESS, on_address},
    {SKEP_EVENT_CLIENT, on_client},
    {SKEP_EVENT_HAVE_SET, on_have_set},
    {SKEP_EVENT_ARRIVAL, on_arrival},
    {SKEP_EVENT_BLOCK, on_block},
    {SKEP_EVENT_REJECTED, on_rejected},
    {SKEP_EVENT_SENT, on_sent},
    {SKEP_EVENT_CLOSED, on_closed},
    {SKEP_EVENT_METADATA, on_metadata},
    {SKEP_EVENT_LEAVES, on_leaves},
    {SKEP_EVENT_CLAIM, on_claim},
    {SKEP_EVENT_CLAIM_FAILED, on_claim_failed},
};

static const struct sk_message_hook message_hooks[] = {
    {SKEP_MESSAGE_HAVE, on_have},
    {SKEP_MESSAGE_DONT_HAVE, on_dont_have},
    {SKEP_MESSAGE_CHOKE, on_choke},
    {SKEP_MESSAGE_UNCHOKE, on_unchoke},
    {SKEP_MESSAGE_ALLOWED_FAST, on_allowed_fast},
    {SKEP_MESSAGE_INTERESTED, on_noted},
    {SKEP_MESSAGE_NOT_INTERESTED, on_noted},
    {SKEP_MESSAGE_REQUEST, on_noted},
    {SKEP_MESSAGE_UPLOAD_ONLY, on_noted},
};

int sk_auditor_new(struct skep_engine *engine, struct skep_torrent *torrent,
                   const struct sk_auditor_config *config, uint64_t now_ns,
                   struct sk_auditor **ret_auditor)
{
    struct sk_auditor *auditor = sk_mem_calloc(1, sizeof *auditor);
    if (!auditor)
        return SKEP_ERR_NOMEM;
    auditor->engine = engine;
    auditor->torrent = torrent;
    auditor->config = *config;
    auditor->started_ns = now_ns;
    struct sk_auditor_config *c = &auditor->config;
    c->probe_bytes_max = c->probe_bytes ? c->probe_bytes : SK_PROBE_BYTES_LONG;
    c->probe_bytes = c->probe_bytes ? c->probe_bytes : SK_PROBE_BYTES;
    c->probe_seconds = c->probe_seconds > 0 ? c->probe_seconds : SK_PROBE_SECONDS;
    c->patience_s = c->patience_s > 0 ? c->patience_s : 40;
    c->probes_max = c->probes_max ? c->probes_max : 32;
    c->connections_max = c->connections_max ? c->connections_max : 2000;
    sk_prng_init(&auditor->prng, config->seed);
    uint64_t seed = sk_prng_u64(&auditor->prng);
    sk_map_init(&auditor->by_endpoint, sizeof(struct sk_endpoint), SK_BOOK_ADDRESSES_MAX, seed);
    sk_map_init(&auditor->by_host, sizeof(struct sk_endpoint), SK_BOOK_ADDRESSES_MAX, seed + 1);
    (void)sk_timeline_init(&auditor->timeline, now_ns, 0, 0, 0);
    int err = sk_engine_hook_all(auditor->engine, hooks, SK_ARRAY_LEN(hooks), message_hooks,
                                 SK_ARRAY_LEN(message_hooks), NULL, auditor, &auditor->slot);
    if (err) {
        sk_auditor_free(auditor);
        return err;
    }
    sk_auditor_observe(auditor, NULL,
                       (struct sk_observation){.kind = SK_OBS_SELF,
                                               .bytes = sk_bytes(sk_engine_peer_id(engine), 20)},
                       now_ns);
    *ret_auditor = auditor;
    return 0;
}

void sk_auditor_free(struct sk_auditor *auditor)
{
    if (!auditor)
        return;
    for (size_t i = 0; i < auditor->count; i++) {
        sk_probe_deinit(&auditor->records[i]->probe);
        sk_bitfield_deinit(&auditor->records[i]->last);
        sk_bitfield_deinit(&auditor->records[i]->taken);
        sk_mem_free(auditor->records[i]);
    }
    sk_mem_free(auditor->records);
    for (size_t i = 0; i < auditor->claims_count; i++) {
        sk_mem_free(auditor->claims[i].said.source);
        sk_mem_free(auditor->claims[i].said.error);
    }
    sk_mem_free(auditor->claims);
    sk_map_deinit(&auditor->by_endpoint);
    sk_map_deinit(&auditor->by_host);
    sk_timeline_deinit(&auditor->timeline);
    if (auditor->has_assembly)
        sk_assembly_deinit(&auditor->assembly);
    sk_mem_free(auditor);
}
