/*
 * A made-up audit of 30 peers of all kinds, summarised, for what writes reports. Addresses are of
 * the documentation ranges.
 */
#ifndef SK_TEST_REPORT_SAMPLE_H
#define SK_TEST_REPORT_SAMPLE_H

#include "audit/report.h"
#include "base/assert.h"
#include "base/mem.h"
#include "swarm/source.h"

#include <stdio.h>

#define SAMPLE_PIECES 2516u
#define T SK_SOURCE_TRACKER
#define P SK_SOURCE_PEX
#define L SK_SOURCE_LSD
#define G SK_SOURCE_GIVEN
#define I SK_SOURCE_INCOMING

struct sample_peer {
    const char *address, *client;
    unsigned sources;
    enum sk_peer_outcome outcome;
    const char *reason;
    uint32_t pieces_first, pieces; /* UINT32_MAX: never told */
    bool encrypted;
    double rate_mb_s, error_mb_s; /* 0: unknown */
    double rtt_ms, unchoked_after_s;
    uint32_t unchokes, chokes, verified, corrupt, unverified;
};

#define ALL SAMPLE_PIECES
#define NEVER_TOLD UINT32_MAX
static const struct sample_peer sample_peers[] = {
    {"192.0.2.7:51413", "Transmission 4.0.5", T | P, SK_OUTCOME_SERVED, NULL, ALL, ALL, true, 4.2,
     0.31, 23.4, 0.41, 1, 0, 64, 0, 0},
    {"192.0.2.18:6881", "qBittorrent 4.6.3", T, SK_OUTCOME_SERVED, NULL, ALL, ALL, true, 11.82,
     0.94, 8.1, 0.09, 1, 0, 128, 0, 0},
    {"198.51.100.4:6889", "libtorrent 2.0.8", T | P, SK_OUTCOME_SERVED, NULL, ALL, ALL, false,
     0.874, 0.061, 112, 3.3, 2, 1, 48, 0, 0},
    {"198.51.100.66:50000", "qBittorrent 4.5.2", P, SK_OUTCOME_SERVED, NULL, ALL, ALL, true, 2.31,
     0.2, 41, 0.6, 1, 0, 64, 0, 0},
    {"[2001:db8::5c:1]:6881", "qBittorrent 4.6.3", T, SK_OUTCOME_SERVED, NULL, ALL, ALL, true, 6.05,
     0.5, 17.5, 0.2, 1, 0, 64, 0, 0},
    {"[2001:db8:85a3:8d3:1319:8a2e:370:7348]:51413", "Transmission 3.00", P, SK_OUTCOME_SERVED,
     NULL, 1604, 1641, false, 0.212, 0.033, 204, 9.8, 1, 0, 16, 0, 0},
    {"203.0.113.9:16881", "Deluge 2.1.1", T | P, SK_OUTCOME_SERVED, NULL, 2297, 2310, true, 1.6,
     0.12, 55, 1.1, 3, 2, 60, 0, 4},
    {"203.0.113.77:42000", "BitComet 1.87", T, SK_OUTCOME_SERVED, "corrupt blocks", ALL, ALL, false,
     3.1, 0.4, 90, 0.8, 1, 1, 13, 3, 0},
    {"203.0.113.200:7000", "aria2 1.36.0", P | G, SK_OUTCOME_SERVED, NULL, 900, 988, false, 0.45,
     0.05, 61, 2.4, 1, 0, 32, 0, 0},
    {"192.0.2.99:6881", "\xe8\xbf\x85\xe9\x9b\xb7 Xunlei 0.0.1.4", T, SK_OUTCOME_CHOKED, NULL, 188,
     201, false, 0, 0, 260, NAN, 0, 0, 0, 0, 0},
    {"198.51.100.31:51413", "Transmission 2.94", T, SK_OUTCOME_CHOKED, NULL, ALL, ALL, true, 0, 0,
     77, NAN, 0, 0, 0, 0, 0},
    {"198.51.100.45:6881", "\xc2\xb5Torrent 3.5.5", T | P, SK_OUTCOME_CHOKED, NULL, 2490, 2515,
     true, 0, 0, 140, NAN, 0, 0, 0, 0, 0},
    {"203.0.113.12:60123", "rTorrent (libTorrent) 0.13.8", P, SK_OUTCOME_CHOKED, NULL, 1258, 1258,
     false, 0, 0, 33, NAN, 0, 0, 0, 0, 0},
    {"192.0.2.150:6881", "qBittorrent 4.6.0", I, SK_OUTCOME_IDLE, NULL, 0, 0, true, 0, 0, 28, NAN,
     0, 0, 0, 0, 0},
    {"192.0.2.151:51000", "WebTorrent Desktop 0.24", P, SK_OUTCOME_IDLE,
     "unchoked and gave nothing", 1300, 1300, false, 0, 0, 95, 4, 1, 0, 0, 0, 0},
    {"192.0.2.152:51000", "", P, SK_OUTCOME_IDLE, NULL, NEVER_TOLD, 0, true, 0, 0, 49, NAN, 0, 0, 0,
     0, 0},
    {"198.51.100.200:8999", "qBittorrent 4.3.9", T, SK_OUTCOME_TIMEOUT, "connect-timeout",
     NEVER_TOLD},
    {"198.51.100.201:8999", "", T, SK_OUTCOME_TIMEOUT, "connect-timeout", NEVER_TOLD},
    {"198.51.100.202:45682", "", T, SK_OUTCOME_TIMEOUT, "connect-timeout", NEVER_TOLD},
    {"203.0.113.50:45682", "", P, SK_OUTCOME_TIMEOUT, "connect-timeout", NEVER_TOLD},
    {"203.0.113.51:1337", "", P, SK_OUTCOME_TIMEOUT, "handshake-timeout", NEVER_TOLD},
    {"203.0.113.52:6881", "", T | P, SK_OUTCOME_REFUSED, NULL, NEVER_TOLD},
    {"203.0.113.53:6881", "", T, SK_OUTCOME_REFUSED, NULL, NEVER_TOLD},
    {"[2001:db8:40::9]:6881", "", T, SK_OUTCOME_UNREACHABLE, NULL, NEVER_TOLD},
    {"192.0.2.201:6882", "", P, SK_OUTCOME_CLOSED, "closed-at-once", NEVER_TOLD},
    {"192.0.2.202:6882", "", P, SK_OUTCOME_WRONG_INFO_HASH, NULL, NEVER_TOLD},
    {"192.0.2.203:6882", "", T, SK_OUTCOME_PROTOCOL_ERROR, "bitfield of a wrong length",
     NEVER_TOLD},
    {"192.0.2.7:40001", "Transmission 4.0.5", I, SK_OUTCOME_DUPLICATE, NULL, NEVER_TOLD},
    {"192.0.2.1:6881", "", T, SK_OUTCOME_SELF, NULL, NEVER_TOLD},
    {"203.0.113.80:25", "", P, SK_OUTCOME_SKIPPED, "port below 1024", NEVER_TOLD},
};
#undef ALL

static inline void sample_fill_peer(const struct sample_peer *from, unsigned number,
                                    struct sk_report_peer *peer)
{
    bool connected = sk_peer_outcome_connected(from->outcome);
    *peer = (struct sk_report_peer){
        .sources = from->sources,
        .outcome = from->outcome,
        .reason = from->reason,
        .incoming = from->sources == I,
        .has_peer_id = connected,
        .has_share = from->pieces_first != NEVER_TOLD,
        .pieces = from->pieces,
        .upload_only = from->pieces == SAMPLE_PIECES ? 1 : -1,
        .transport = connected ? "tcp" : NULL,
        .encryption = !connected        ? NULL
                      : from->encrypted ? "rc4"
                                        : "plain",
        .connected_s = connected ? 0.2 + 0.01 * number : NAN,
        .seen_s = connected ? 30 : NAN,
        .rtt_s = from->rtt_ms > 0 ? from->rtt_ms / 1000 : NAN,
        .delivered = SK_RATE_UNKNOWN,
        .capacity = SK_RATE_UNKNOWN,
        .download = SK_RATE_UNKNOWN,
        .upload = SK_RATE_UNKNOWN,
        .verdict = {.error_rate = NAN},
        .delivered_span_s = NAN,
        .gap_median_s = NAN,
        .unchokes = from->unchokes,
        .chokes = from->chokes,
        .unchoked_after_s = from->unchokes ? from->unchoked_after_s : NAN,
        .unchoked_s = from->unchokes ? 12 : 0,
        .blocks_verified = from->verified,
        .blocks_corrupt = from->corrupt,
        .blocks_unverified = from->unverified,
    };
    SK_ASSERT(sk_endpoint_parse(from->address, 0, &peer->endpoint) == 0);
    snprintf(peer->client, sizeof peer->client, "%s", from->client);
    memset(peer->peer_id, (int)number, sizeof peer->peer_id);
    for (int i = 0; i < SK_SOURCE_COUNT; i++)
        peer->heard_s[i] = from->sources & (1u << i) ? 0.125 * (i + 1) : NAN;
    if (peer->has_share) {
        peer->pieces_first = from->pieces_first;
        peer->haves = peer->pieces - peer->pieces_first;
        peer->share = (double)peer->pieces / SAMPLE_PIECES;
        peer->share_change = (double)peer->haves / SAMPLE_PIECES;
    }
    if (from->rate_mb_s > 0) {
        uint32_t blocks = from->verified + from->corrupt + from->unverified;
        peer->delivered_bytes = (uint64_t)blocks * SK_BLOCK_SIZE;
        peer->delivered =
            (struct sk_rate){from->rate_mb_s * 1e6, (from->rate_mb_s - from->error_mb_s) * 1e6,
                             (from->rate_mb_s + from->error_mb_s) * 1e6};
        peer->delivered_how = "theil-sen";
        peer->delivered_samples = 3 * blocks;
        peer->delivered_span_s = (double)peer->delivered_bytes / peer->delivered.rate;
        peer->gap_median_s = peer->delivered_span_s / peer->delivered_samples;
    }
}

static inline struct sk_report_claim sample_claim(const char *source, int64_t seeds,
                                                  int64_t leechers, int64_t downloads,
                                                  uint32_t peers_told, const char *error)
{
    return (struct sk_report_claim){
        .source = sk_mem_strdup(source),
        .at_unix_s = 1764000003.5,
        .seeds = seeds,
        .leechers = leechers,
        .downloads = downloads,
        .peers_told = peers_told,
        .error = error ? sk_mem_strdup(error) : NULL,
    };
}

/* What is inferred: of the first peers, each in its own way. Of the others it is unknown. */
static inline void sample_infer(struct sk_report *report)
{
    struct sk_report_peer *peers = report->peers;
    peers[0].capacity = (struct sk_rate){8.4e6, 7.9e6, 9.1e6};
    peers[0].capacity_how = "packet trains";
    peers[0].upload = (struct sk_rate){5.5e6, 4.1e6, 6.2e6};
    peers[5].download = (struct sk_rate){61234.5, 60000, 62000};
    peers[5].download_how = "haves";
    peers[6].download_how = "haves suppressed";
    peers[0].verdict = (struct sk_verdict){
        .result = SK_VERDICT_FALSE_REPORT,
        .claim = "uploaded 4.0 GiB from 10:02 to 10:32",
        .evidence = "all others gained 1.1 GiB of what it held, 198.51.100.4:6889 most of it",
        .ruled_out = "restart, clock skew, hidden peers",
        .error_rate = 0.0001,
        .announces = 6,
    };
    peers[1].verdict =
        (struct sk_verdict){.result = SK_VERDICT_CONSISTENT, .error_rate = NAN, .announces = 4};
    peers[2].verdict = (struct sk_verdict){.result = SK_VERDICT_CANNOT_TELL,
                                           .evidence = "it was not watched",
                                           .why = "unwatched",
                                           .error_rate = NAN,
                                           .announces = 1};
    report->flows_count = 2;
    report->flows = sk_mem_calloc(2, sizeof *report->flows);
    report->flows[0] = (struct sk_report_flow){
        peers[0].endpoint, peers[5].endpoint, 7340032.4, 6291456, 8388608, 3145728, 4194304, false};
    report->flows[1] = (struct sk_report_flow){
        peers[4].endpoint, peers[6].endpoint, 1048576, NAN, NAN, 3145728, NAN, true};
    report->tracers_count = 2;
    report->tracers = sk_mem_calloc(2, sizeof *report->tracers);
    report->tracers[0] =
        (struct sk_report_tracer){17, peers[5].endpoint, 20.25, 21.5, 262144, 0, 3};
    report->tracers[1] = (struct sk_report_tracer){4, peers[6].endpoint, 20.25, NAN, 0, 2, 0};
}

/* Deinit with sk_report_deinit(). */
static inline void sample_report(struct sk_report *report)
{
    static uint32_t availability[SAMPLE_PIECES];
    size_t count = SK_ARRAY_LEN(sample_peers);
    *report = (struct sk_report){
        .started_unix_s = 1764000000.25,
        .seconds = 41.7,
        .stopped = SK_STOPPED_CONVERGED,
        .stop_rule =
            "the last 120 addresses drawn were all known, and every known peer is measured "
            "or classified: at most 2.5 % of what the sources tell is unseen (95 %)",
        .draws_old = 120,
        .unseen_share_max = 0.025,
        .hidden = 2.25,
        .hidden_low = 0.5,
        .hidden_high = 7.125,
        .hidden_how = "log-linear models of the sources",
        .clock_offset_s = -0.25,
        .clock_error_s = 1.125,
        .clock_announces = 7,
        .clock_how = "own announces",
        .name = sk_mem_strdup("debian-12.5.0-amd64-netinst.iso"),
        .has_metadata = true,
        .size = 659554304,
        .pieces = SAMPLE_PIECES,
        .piece_size = 262144,
        .has_files = true,
        .files = 1,
        .claims = sk_mem_calloc(3, sizeof *report->claims),
        .claims_count = 3,
        .peers = sk_mem_calloc(count, sizeof *report->peers),
        .peers_count = count,
    };
    for (int i = 0; i < 20; i++)
        report->info_hash[i] = (uint8_t)(0x1b + 11 * i);
    report->claims[0] =
        sample_claim("http://tracker.example.org:6969/announce", 41, 19, 10342, 22, NULL);
    report->claims[1] = sample_claim("udp://tracker.example.net:1337", 12, 9, -1, 14, NULL);
    report->claims[2] = sample_claim("http://dead.example.com/announce", -1, -1, -1, 0,
                                     "connection refused by 203.0.113.9:80");
    for (unsigned i = 0; i < count; i++)
        sample_fill_peer(&sample_peers[i], i, &report->peers[i]);
    SK_ASSERT(sk_endpoint_parse("192.0.2.7:51413", 0, &report->peers[27].same_as) == 0);
    sample_infer(report);
    for (unsigned i = 0; i < SAMPLE_PIECES; i++)
        availability[i] = 8 + (i % 50 < 21);
    SK_ASSERT(sk_report_summarize(report, availability) == 0);
}

#undef T
#undef P
#undef L
#undef G
#undef I
#endif
