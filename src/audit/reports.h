/*
 * The announces of a log laid beside what an audit saw: which peer each is of, in the auditor's
 * time. Layer: audit; pure.
 *
 * Whose: the peer with its peer id at its IP address (a port may be another's behind NAT), else the
 * peer that listens where it says (who restarts takes a new peer id), else, where the log has no
 * address, the only one with its peer id. A peer id alone at another address is nobody's: it is
 * told to all, and whoever takes it over must not incriminate its owner. What another client tells
 * from the same endpoint while the one we know tells too is left out for the same reason. What one
 * client says twice within a minute, all figures the same, was said once: an announce over UDP may
 * be sent several times, a log may be joined with itself. What comes after later lines of the same
 * client, but counts what lies between two of them, is set aside: it was sent before, to one of two
 * trackers whose logs were joined, or over UDP.
 *
 * When: the tracker's clock may differ from ours. Our own announces bound the difference
 * (audit/clock.h). `left` of a client that counts whole pieces says how many it held, and its HAVEs
 * say from when until when that was so: each such announce gives an interval for the difference.
 * Each client has one vote, shared by its announces; within those bounds the differences are
 * allowed that have as many votes as any, or all but one: no one client makes the clock wrong.
 * What other announces make more than one vote agree on is allowed too: the clock may have been
 * set. Where more agree on one beyond the bounds, both are allowed. So is, up to a day beyond them,
 * what more than one client agree on, and a ninth of as many as agree at all: a clock that was set
 * by more, or two trackers of different clocks in one log.
 *
 * What is nobody's that we know may be of somebody whom no source told us of (audit/visits.h).
 *
 * Memory: 60 bytes an announce, at most SK_REPORTS_MAX of them, SK_REPORTS_PEER_MAX a peer.
 */
#ifndef SK_AUDIT_REPORTS_H
#define SK_AUDIT_REPORTS_H

#include "audit/announce.h"
#include "audit/clock.h"
#include "audit/timeline.h"
#include "audit/visits.h"

struct sk_reports_line {
    double at_s; /* since the audit began, by our clock */
    uint64_t uploaded, downloaded, left;
    uint64_t client; /* stands for its peer id and key */
    uint32_t peer;   /* of the timeline */
    uint32_t number; /* in the log: of one time, the later one comes last */
    enum sk_announce_event event;
    bool named; /* it has a peer id */
};

struct sk_reports {
    struct sk_reports_line *lines; /* by peer, then by time */
    uint32_t count;
    double from_s;         /* when the log begins, whoever announced; INFINITY not known */
    uint32_t *begins;      /* first line of each peer, and the end: peers + 1 */
    uint32_t unmatched;    /* announces of nobody that we saw */
    uint32_t foreign;      /* of another client behind a peer's endpoint */
    uint32_t malformed;    /* with a time that is none */
    uint32_t copies;       /* of an announce that is there already */
    uint32_t late;         /* that come after later ones of the same client */
    uint32_t dropped;      /* for want of room */
    uint32_t own;          /* of ourselves */
    bool aligned;          /* by `left` of others */
    struct sk_clock clock; /* by our own announces */
    double offset_s;       /* the tracker's clock minus ours */
    double accuracy_s;     /* of offset_s; skew_max_s where nothing says more */
    /* Of those that nobody told us of. */
    struct sk_visits visits;
};

/*
 * Takes `count` announces in the order of their log; of other torrents than `info_hash` (20 bytes;
 * NULL = all are of this one) none. began_unix_s: when the audit began, by our clock; skew_max_s:
 * how far off the tracker's may be. SKEP_ERR_NOMEM, SKEP_ERR_INVALID (began_unix_s no time).
 */
int sk_reports_init(struct sk_reports *reports, const struct sk_timeline *timeline,
                    const struct sk_announce *announces, size_t count, const uint8_t *info_hash,
                    double began_unix_s, double skew_max_s);
void sk_reports_deinit(struct sk_reports *reports);
/* What stands for its peer id and key. */
uint64_t sk_reports_client(const struct sk_announce *announce);
/* By what the clock is known: "own announces", "left", both with a comma between, or "assumed". */
const char *sk_reports_clock_how(const struct sk_reports *reports);

/* What a peer held, by what it told: bytes in constant time. */
struct sk_tally {
    const struct sk_timeline *timeline;
    const struct sk_timeline_peer *peer;
    uint64_t first; /* bytes that it held at first; 0 where it told nothing */
    uint32_t last;  /* which of its gains was the last piece; gains_count: none */
};
struct sk_tally sk_tally(const struct sk_timeline *timeline, const struct sk_timeline_peer *peer);
/* Bytes of its first `n` gains. n <= gains_count. */
uint64_t sk_tally_bytes(const struct sk_tally *tally, uint32_t n);
/* How many of its gains were told by this time (seconds since the audit began); how many may have
 * been made by then: of those that a bitfield told, the ones that were last not held before it.
 * Both at_ms and since_ms never decrease from gain to gain. */
uint32_t sk_tally_told(const struct sk_tally *tally, double until_s);
uint32_t sk_tally_possible(const struct sk_tally *tally, double until_s);

#endif
