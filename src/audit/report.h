/*
 * The report of an audit: plain data, every figure with its source; what could not be measured is
 * unknown (NAN, -1, or a flag), never 0. Layer: audit. Filled by engine/auditor.c, written by
 * store/ (JSON, JSON Lines, CSV, SQLite) and cmd/ (text).
 *
 * Owned by sk_report_deinit(). Strings are raw bytes from outside unless said otherwise: whoever
 * prints them escapes them for his medium.
 */
#ifndef SK_AUDIT_REPORT_H
#define SK_AUDIT_REPORT_H

#include "base/bytes.h"
#include "base/endpoint.h"
#include "base/limits.h"

#include <math.h>

/* What became of a peer. Names: sk_peer_outcome_name(). */
enum sk_peer_outcome {
    SK_OUTCOME_UNTRIED,  /* "untried": known, not contacted yet (partial results only) */
    SK_OUTCOME_SERVED,   /* "served": it delivered blocks */
    SK_OUTCOME_CHOKED,   /* "choked": it had pieces and never unchoked us; rate unknown */
    SK_OUTCOME_IDLE,     /* "idle": connected; had nothing to give, or unchoked and gave nothing */
    SK_OUTCOME_OBSERVED, /* "observed": pieces read; not probed because we were told not to */
    SK_OUTCOME_REFUSED,
    SK_OUTCOME_UNREACHABLE,
    SK_OUTCOME_TIMEOUT, /* "timeout": see reason: connect-timeout, handshake-timeout */
    SK_OUTCOME_CLOSED,  /* "closed": see reason: closed-at-once, reset, silence */
    SK_OUTCOME_WRONG_INFO_HASH,
    SK_OUTCOME_SELF,
    SK_OUTCOME_ENCRYPTED_ONLY, /* refuses plain streams and our policy refuses encrypted ones */
    SK_OUTCOME_PROTOCOL_ERROR,
    SK_OUTCOME_DUPLICATE, /* another address of a peer that is in the report: same_as */
    SK_OUTCOME_SKIPPED,   /* "skipped": not dialled by our own rules (port below 1024, ...) */
    SK_OUTCOME_COUNT,
};
const char *sk_peer_outcome_name(enum sk_peer_outcome outcome);
/* Whether the outcome means that a handshake with this swarm's info-hash was completed. */
bool sk_peer_outcome_connected(enum sk_peer_outcome outcome);

/* A rate with its interval, bytes a second; NAN where unknown. */
struct sk_rate {
    double rate, low, high;
};
#define SK_RATE_UNKNOWN ((struct sk_rate){NAN, NAN, NAN})

/* What the reports of a peer to its tracker are worth (audit/verdict.h). */
enum sk_verdict_result {
    SK_VERDICT_NONE, /* nothing was reported to us */
    SK_VERDICT_CONSISTENT,
    SK_VERDICT_FALSE_REPORT,
    SK_VERDICT_CANNOT_TELL,
};
/* "consistent", "false-report", "cannot-tell"; NULL for NONE. */
const char *sk_verdict_result_name(enum sk_verdict_result result);

#define SK_VERDICT_CLAIM_MAX 96
#define SK_VERDICT_TEXT_MAX 224
struct sk_verdict {
    enum sk_verdict_result result;
    char claim[SK_VERDICT_CLAIM_MAX];   /* what was reported, in words; our own text */
    char evidence[SK_VERDICT_TEXT_MAX]; /* what speaks against it, or why it cannot be told */
    /* Innocent explanations that were ruled out; NULL where there is nothing. Static, or of whoever
     * read the report. */
    const char *ruled_out;
    const char *why;    /* it cannot be told: sk_verdict_why_name(), kinds of reasons; NULL else.
                           Static, or of whoever read the report */
    double error_rate;  /* at which it was made; NAN where not false-report */
    uint32_t announces; /* that it rests on */
};

/* Bytes that one peer gave another, estimated (audit/flow.h). */
struct sk_report_flow {
    struct sk_endpoint from, to;
    double bytes, low, high; /* 95 % */
    double uniform, gravity; /* the baselines' estimates of the same */
    bool ambiguous;          /* another source fits as well */
};

/* A piece that one peer alone was offered, to see how it spreads (audit/flow_tracer.h). */
struct sk_report_tracer {
    uint32_t piece;
    struct sk_endpoint to;
    double offered_s, given_s; /* seconds into the audit; given_s: of the last block, NAN = none */
    uint32_t given_bytes;
    uint32_t held_by;   /* others, before it was offered */
    uint32_t spread_to; /* others that gained it after it had been given */
};

struct sk_report_peer {
    struct sk_endpoint endpoint;
    struct sk_endpoint same_as; /* DUPLICATE: the address it is reported under */
    bool incoming;              /* it connected to us */
    bool has_peer_id;
    uint8_t peer_id[20];
    char client[SK_CLIENT_NAME_MAX]; /* escaped; "" unknown */
    unsigned sources;                /* enum sk_source */
    double heard_s[6];               /* seconds into the audit when each source first told it;
                                        NAN = never; index = bit of sk_source */
    enum sk_peer_outcome outcome;
    const char *reason;            /* static; precise: "connect-timeout", a violation's phrase;
                                      NULL where outcome says all */
    bool has_share;                /* a bitfield (or have-all, have-none, haves) was read */
    uint32_t pieces, pieces_first; /* held at the end, and when first read */
    double share, share_change;    /* 0..1 of the pieces; change since first read */
    uint32_t haves;                /* HAVE messages received */
    int upload_only;               /* 1, 0, -1 not said */
    const char *transport;         /* "tcp", "utp"; NULL not connected */
    const char *encryption;        /* "plain", "rc4"; NULL not connected */
    double connected_s, seen_s;    /* when it opened, seconds into the audit; how long open */
    double rtt_s;                  /* least time from request to block; NAN unknown; else of
                                      connect */
    uint64_t delivered_bytes;
    struct sk_rate delivered;
    const char *delivered_how;  /* "theil-sen over 64 arrivals in 1.2 s" kind, static text of
                                   the method: "theil-sen", "single burst"; NULL unknown */
    uint32_t delivered_samples; /* arrivals that the rate rests on */
    double delivered_span_s;    /* seconds from first to last of them */
    double gap_median_s;        /* between arrivals of payload; NAN unknown */
    uint32_t unchokes, chokes;  /* that we received */
    double unchoked_after_s;    /* from interest to the first unchoke; NAN never */
    double unchoked_s;          /* time spent unchoked */
    uint32_t blocks_verified, blocks_corrupt, blocks_unverified;
    uint64_t given_bytes;     /* what we gave it (--give, --tracer) */
    struct sk_rate capacity;  /* of its up-link, all receivers together; NAN unknown */
    const char *capacity_how; /* static; NULL unknown */
    struct sk_rate download;  /* at which it gained pieces; NAN unknown */
    const char *download_how; /* static: the method, or why it cannot be known */
    struct sk_rate upload;    /* what it gave all others, by the flows, bytes a second; NAN */
    struct sk_verdict verdict;
};

struct sk_report_claim {
    char *source; /* tracker address (raw) or "dht", ... */
    double at_unix_s;
    int64_t seeds, leechers; /* -1 = not said */
    int64_t downloads;
    uint32_t peers_told; /* addresses in its answers, all in all */
    char *error;         /* NULL when it answered; raw text */
};

enum sk_stopped { SK_STOPPED_CONVERGED, SK_STOPPED_TIME, SK_STOPPED_INTERRUPTED };
const char *sk_stopped_name(enum sk_stopped stopped);

struct sk_report_count {
    const char *name; /* static or inside the report */
    uint32_t count;
};

struct sk_report {
    double started_unix_s, seconds;
    enum sk_stopped stopped;
    char stop_rule[256];     /* a sentence for people: which rule ended it and what it bounds */
    uint32_t draws_old;      /* addresses drawn in a row that were known already */
    double unseen_share_max; /* 3 / draws_old; NAN when no draw was made */

    uint8_t info_hash[20];
    bool has_hash_v2;
    uint8_t hash_v2[32];
    char *name; /* raw; NULL when the metadata was not found */
    bool has_metadata;
    uint64_t size;
    uint32_t pieces, piece_size;
    bool has_files;
    uint32_t files;            /* of the torrent, without padding */
    uint32_t seeds, leechers;  /* seen: connected peers with a known share, duplicates out */
    uint32_t share_unknown;    /* connected, share never told */
    double copies;             /* distributed copies over the peers seen; NAN unknown */
    int64_t pieces_missing;    /* held by nobody seen; -1 unknown */
    uint32_t known, connected; /* addresses without duplicates and self */
    uint32_t corrupt_peers;
    uint64_t delivered_bytes, given_bytes;

    struct sk_report_claim *claims;
    size_t claims_count;
    struct sk_report_peer *peers; /* by outcome, then share, then address */
    size_t peers_count;
    /* failed by precise reason, most first */
    struct sk_report_count *failed;
    size_t failed_count;
    struct sk_report_count *clients; /* client names without version, most first; connected peers */
    size_t clients_count;
    uint32_t encrypted, plain; /* connected peers by stream */

    double hidden, hidden_low, hidden_high; /* peers that no source told; NAN unknown */
    const char *hidden_how;                 /* static: the method; NULL unknown */
    /* The clock of the tracker that the reports came from, minus ours; NAN: nothing was judged. */
    double clock_offset_s, clock_error_s; /* the error is at most that */
    uint32_t clock_announces;             /* of ours that say so */
    const char *clock_how;        /* static: by what it is known; NULL: nothing was judged */
    struct sk_report_flow *flows; /* most bytes first */
    size_t flows_count;
    struct sk_report_tracer *tracers; /* in the order they were offered */
    size_t tracers_count;
};

void sk_report_deinit(struct sk_report *report);
/*
 * Computes what follows from the peers: counts, sorting, failed, clients. `availability` (may be
 * NULL) has for each piece how many connected peers hold it. SKEP_ERR_NOMEM.
 */
int sk_report_summarize(struct sk_report *report, const uint32_t *availability);

#endif
