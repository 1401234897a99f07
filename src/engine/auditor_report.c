/* What the auditor knows, as a report and for the live display. */
#include "engine/auditor_internal.h"

#include "audit/inference.h"
#include "base/assert.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LINES_ALIKE 0.95
#define LINES_ALIKE_MIN 3

/* What a reason, as the engine words it, comes to. Reasons that are not here name a rule of the
 * protocol that the peer broke. */
static const struct {
    const char *reason;
    enum sk_peer_outcome outcome;
} outcomes[] = {
    {"refused", SK_OUTCOME_REFUSED},
    {"unreachable", SK_OUTCOME_UNREACHABLE},
    {"proxy", SK_OUTCOME_UNREACHABLE},
    {"connect-timeout", SK_OUTCOME_TIMEOUT},
    {"handshake-timeout", SK_OUTCOME_TIMEOUT},
    {"silence", SK_OUTCOME_TIMEOUT},
    {"closed-at-once", SK_OUTCOME_CLOSED},
    {"closed", SK_OUTCOME_CLOSED},
    {"reset", SK_OUTCOME_CLOSED},
    {"local", SK_OUTCOME_CLOSED},
    {"does-not-read", SK_OUTCOME_CLOSED},
    {"encryption-failed", SK_OUTCOME_CLOSED},
    {"no-memory", SK_OUTCOME_UNTRIED},
    {"out of memory", SK_OUTCOME_UNTRIED},
    {"no sockets left here", SK_OUTCOME_UNTRIED},
    {"wrong-info-hash", SK_OUTCOME_WRONG_INFO_HASH},
    {"self", SK_OUTCOME_SELF},
    {"encrypted-only", SK_OUTCOME_ENCRYPTED_ONLY},
    {"duplicate", SK_OUTCOME_DUPLICATE},
    {"port 0", SK_OUTCOME_SKIPPED},
    {"port below 1024", SK_OUTCOME_SKIPPED},
    {"address out of its source's scope", SK_OUTCOME_SKIPPED},
    {"too many ports of one address", SK_OUTCOME_SKIPPED},
};

static enum sk_peer_outcome outcome_of_reason(const char *reason)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(outcomes); i++)
        if (strcmp(outcomes[i].reason, reason) == 0)
            return outcomes[i].outcome;
    return SK_OUTCOME_PROTOCOL_ERROR;
}

/* The outcome of a peer that completed a handshake. */
static enum sk_peer_outcome outcome_of_opened(const struct sk_auditor *auditor,
                                              const struct sk_record *record)
{
    const struct sk_report_peer *seen = &record->seen;
    if (seen->delivered_bytes)
        return SK_OUTCOME_SERVED;
    if (!record->peer && seen->reason)
        return outcome_of_reason(seen->reason);
    if (auditor->config.no_probe)
        return SK_OUTCOME_OBSERVED;
    if (!seen->has_share || seen->pieces == 0 || seen->unchokes)
        return SK_OUTCOME_IDLE;
    return SK_OUTCOME_CHOKED;
}

static enum sk_peer_outcome outcome_of(const struct sk_auditor *auditor,
                                       const struct sk_record *record)
{
    if (record->seen.same_as.family)
        return SK_OUTCOME_DUPLICATE;
    if (record->opened_ns)
        return outcome_of_opened(auditor, record);
    return record->seen.reason ? outcome_of_reason(record->seen.reason) : SK_OUTCOME_UNTRIED;
}

/* What its probe says, or why it says nothing. */
static void finish_rates(const struct sk_auditor *auditor, const struct sk_record *record,
                         struct sk_report_peer *peer)
{
    struct sk_rate_estimate delivered;
    struct sk_capacity_estimate capacity;
    sk_probe_judge(&record->probe, &delivered, &capacity);
    bool measured = delivered.how != NULL;
    /* Probes that came later may have shown that the line was full then. */
    if (record->crowded ||
        (record->probed_ns &&
         sk_downlink_full(&auditor->downlink, record->probed_from_ns, record->probed_ns))) {
        delivered.rate = capacity.rate = SK_RATE_UNKNOWN;
        delivered.how = capacity.how = "our down-link was full";
    }
    if (!sk_downlink_is_wider(&auditor->downlink, capacity.rate.high))
        capacity.rate.high = NAN; /* what spread its packets may have been our line */
    peer->delivered = delivered.rate;
    peer->delivered_how = delivered.how;
    peer->delivered_samples = delivered.samples;
    peer->delivered_span_s = measured ? delivered.span_s : NAN;
    peer->gap_median_s = delivered.gap_median_s;
    peer->capacity = capacity.rate;
    peer->capacity_how = measured ? capacity.how : NULL;
    if (peer->outcome == SK_OUTCOME_CHOKED)
        peer->delivered_how = peer->capacity_how = "choked";
}

/* Told by the spacing of packets, on the way to us: at least that. */
static bool is_spaced(const struct sk_report_peer *peer)
{
    return isnan(peer->capacity.high) && peer->capacity_how &&
           strcmp(peer->capacity_how, "trains") != 0 &&
           sk_capacity_is_known(&peer->capacity, peer->capacity_how) &&
           peer->capacity.low > peer->delivered.low;
}

/* Several lines seem as wide, and none wider: that may be ours, unless more has come through it. */
static void doubt_lines(const struct sk_auditor *auditor, struct sk_report *report)
{
    double most = 0;
    uint32_t alike = 0;
    for (size_t i = 0; i < report->peers_count; i++)
        if (sk_capacity_is_known(&report->peers[i].capacity, report->peers[i].capacity_how))
            most = fmax(most, report->peers[i].capacity.rate);
    for (size_t i = 0; i < report->peers_count; i++)
        alike +=
            is_spaced(&report->peers[i]) && report->peers[i].capacity.rate >= most * LINES_ALIKE;
    if (alike < LINES_ALIKE_MIN || sk_downlink_is_wider(&auditor->downlink, most))
        return;
    for (size_t i = 0; i < report->peers_count; i++) {
        struct sk_report_peer *peer = &report->peers[i];
        if (is_spaced(peer) && peer->capacity.rate >= most * LINES_ALIKE)
            peer->capacity.low = peer->delivered.low;
    }
}

static void finish_peer(const struct sk_auditor *auditor, const struct sk_record *record,
                        uint64_t now_ns, struct sk_report_peer *ret_peer)
{
    *ret_peer = record->seen;
    ret_peer->outcome = outcome_of(auditor, record);
    ret_peer->blocks_unverified =
        record->blocks - ret_peer->blocks_verified - ret_peer->blocks_corrupt;
    if (record->peer) {
        ret_peer->seen_s += (double)(now_ns - record->opened_ns) / 1e9;
        if (record->unchoked_ns)
            ret_peer->unchoked_s += (double)(now_ns - record->unchoked_ns) / 1e9;
    }
    if (ret_peer->outcome == SK_OUTCOME_IDLE && !ret_peer->reason)
        ret_peer->reason = ret_peer->unchokes ? "unchoked, gave nothing" : "has no pieces";
    if (ret_peer->outcome == SK_OUTCOME_CHOKED && !ret_peer->reason)
        ret_peer->reason = "choked all the time";
    if (!record->opened_ns)
        ret_peer->seen_s = NAN;
    if (ret_peer->reason && strcmp(ret_peer->reason, sk_peer_outcome_name(ret_peer->outcome)) == 0)
        ret_peer->reason = NULL; /* the outcome says it */
    finish_rates(auditor, record, ret_peer);
}

static void add_availability(const uint8_t *bits, uint32_t pieces, uint32_t *availability)
{
    for (uint32_t i = 0; bits && i < pieces; i++)
        availability[i] += bits[i / 8] >> (7 - i % 8) & 1;
}

/* For each piece how many of the peers seen held it when last seen; NULL without memory. */
static uint32_t *count_availability(const struct sk_auditor *auditor)
{
    uint32_t pieces = skep_torrent_pieces(auditor->torrent);
    uint32_t *availability = sk_mem_calloc(pieces, sizeof *availability);
    for (size_t i = 0; availability && i < auditor->count; i++) {
        const struct sk_record *record = auditor->records[i];
        size_t n;
        if (record->seen.same_as.family || !record->seen.has_share)
            continue;
        const uint8_t *bits =
            record->peer ? skep_peer_bitfield(record->peer, &n) : record->last.bits;
        add_availability(bits, pieces, availability);
    }
    return availability;
}

static int copy_claims(const struct sk_auditor *auditor, struct sk_report *report)
{
    report->claims = sk_mem_calloc(auditor->claims_count, sizeof *report->claims);
    if (!report->claims)
        return SKEP_ERR_NOMEM;
    for (size_t i = 0; i < auditor->claims_count; i++) {
        const struct sk_report_claim *said = &auditor->claims[i].said;
        struct sk_report_claim *copy = &report->claims[i];
        *copy = *said;
        copy->source = sk_mem_strdup(said->source);
        copy->error = said->error ? sk_mem_strdup(said->error) : NULL;
        report->claims_count++;
        if (!copy->source || (said->error && !copy->error))
            return SKEP_ERR_NOMEM;
    }
    return 0;
}

static int describe_torrent(const struct sk_auditor *auditor, struct sk_report *report)
{
    const struct skep_torrent *torrent = auditor->torrent;
    const uint8_t *v2 = skep_torrent_hash_v2(torrent);
    const char *name = skep_torrent_name(torrent);
    memcpy(report->info_hash, skep_torrent_info_hash(torrent), 20);
    report->has_hash_v2 = v2 != NULL;
    if (v2)
        memcpy(report->hash_v2, v2, 32);
    report->has_metadata = skep_torrent_has_metadata(torrent);
    report->size = skep_torrent_size(torrent);
    report->pieces = skep_torrent_pieces(torrent);
    report->piece_size = skep_torrent_piece_size(torrent);
    report->has_files = report->has_metadata;
    report->files = skep_torrent_files(torrent);
    report->name = name ? sk_mem_strdup(name) : NULL;
    return name && !report->name ? SKEP_ERR_NOMEM : 0;
}

static void fill_hidden(const struct sk_auditor *auditor, uint64_t now_ns, struct sk_report *report)
{
    struct sk_hidden hidden;
    sk_auditor_hidden(auditor, now_ns, &hidden, NULL);
    report->hidden = hidden.estimate;
    report->hidden_low = hidden.low;
    report->hidden_high = hidden.high;
    report->hidden_how = hidden.how;
}

static int fill(struct sk_auditor *auditor, uint64_t now_ns, struct sk_report *report)
{
    int err = describe_torrent(auditor, report);
    if (!err)
        err = copy_claims(auditor, report);
    if (err)
        return err;
    report->peers = sk_mem_calloc(auditor->count, sizeof *report->peers);
    if (!report->peers)
        return SKEP_ERR_NOMEM;
    for (size_t i = 0; i < auditor->count; i++) {
        finish_peer(auditor, auditor->records[i], now_ns, &report->peers[i]);
        report->delivered_bytes += report->peers[i].delivered_bytes;
    }
    report->peers_count = auditor->count;
    doubt_lines(auditor, report);
    fill_hidden(auditor, now_ns, report);
    uint32_t *availability = report->has_metadata ? count_availability(auditor) : NULL;
    err = report->has_metadata && !availability ? SKEP_ERR_NOMEM
                                                : sk_report_summarize(report, availability);
    sk_mem_free(availability);
    sk_timeline_close(&auditor->timeline, now_ns);
    return err ? err : sk_infer(&auditor->timeline, report);
}

struct sk_timeline *sk_auditor_timeline(struct sk_auditor *auditor)
{
    return &auditor->timeline;
}

int sk_auditor_report(struct sk_auditor *auditor, enum sk_stopped stopped, uint64_t now_ns,
                      struct sk_report *ret_report)
{
    struct sk_report report = {
        .started_unix_s = auditor->config.started_unix_s,
        /* Whole milliseconds, as files and the timeline have them. */
        .seconds = (double)((now_ns - auditor->started_ns) / 1000000) / 1e3,
        .stopped = stopped,
        .draws_old = auditor->coverage.old_run,
        .unseen_share_max = sk_coverage_unseen_max(&auditor->coverage),
        .given_bytes = auditor->given_bytes,
        .clock_offset_s = NAN,
        .clock_error_s = NAN,
    };
    if (stopped == SK_STOPPED_CONVERGED)
        snprintf(report.stop_rule, sizeof report.stop_rule, "%s", auditor->rule_text);
    else if (auditor->count == 0)
        snprintf(report.stop_rule, sizeof report.stop_rule, "no peer was known yet");
    else
        snprintf(report.stop_rule, sizeof report.stop_rule,
                 "%u of %zu known addresses were not settled yet", auditor->unsettled,
                 auditor->count);
    auditor->reported = true;
    int err = fill(auditor, now_ns, &report);
    if (err)
        sk_report_deinit(&report);
    else
        *ret_report = report;
    return err;
}

/* ---- live ---- */

const char *sk_auditor_name(const struct sk_auditor *auditor)
{
    return skep_torrent_name(auditor->torrent);
}

static void count_record(const struct sk_record *record, struct sk_auditor_counts *counts)
{
    const struct sk_report_peer *seen = &record->seen;
    if (seen->same_as.family)
        return;
    counts->known++;
    counts->measured += seen->delivered_bytes > 0;
    counts->failed += record->final && !record->opened_ns;
    counts->untried += !record->final && !record->peer && !record->renews;
    if (seen->has_share) {
        counts->seeds += seen->share >= 1;
        counts->leechers += seen->share < 1;
    }
    for (int i = 0; i < SK_SOURCE_COUNT; i++)
        counts->sources[i] += seen->sources >> i & 1;
    counts->bytes += seen->delivered_bytes;
}

void sk_auditor_counts(const struct sk_auditor *auditor, uint64_t now_ns,
                       struct sk_auditor_counts *ret_counts)
{
    struct sk_auditor_counts counts = {
        .open = skep_torrent_open(auditor->torrent),
        .old_run = auditor->coverage.old_run,
        .elapsed_s = (double)(now_ns - auditor->started_ns) / 1e9,
    };
    for (size_t i = 0; i < auditor->count; i++)
        count_record(auditor->records[i], &counts);
    *ret_counts = counts;
}

bool sk_auditor_row(const struct sk_auditor *auditor, size_t i, uint64_t now_ns,
                    struct sk_auditor_row *ret_row)
{
    if (i >= auditor->count)
        return false;
    const struct sk_record *record = auditor->records[i];
    const struct sk_probe *probe = &record->probe;
    struct sk_auditor_row row = {
        .endpoint = record->seen.endpoint,
        .client = record->seen.client,
        .share = record->seen.has_share ? record->seen.share : NAN,
        .rate_bytes_s = NAN,
        .probing = probe->state == SK_PROBE_RUNNING,
    };
    double seconds = sk_probe_seconds(probe, now_ns);
    if (probe->got && seconds > 0)
        row.rate_bytes_s = (double)probe->got / seconds;
    row.done = fmin(1, fmax((double)probe->got / (double)probe->budget,
                            seconds / auditor->config.probe_seconds));
    *ret_row = row;
    return true;
}
