/*
 * What an audit knows of who told whom and who left, counted for the estimate of hidden peers.
 * Layer: audit; pure. Filled anew each time from all known peers; no memory of its own.
 *
 * Counted are peers that were reached: an address that never answered may be stale, or invented by
 * whoever told it. Of them those that are still there make the table of hidden.h; the lists are the
 * tracker, the DHT and peer exchange. Local discovery tells nobody but neighbours; peers that were
 * given or that came by themselves are no draws from the swarm: told by nothing else they lie in
 * the cell that no list sees, and are known.
 *
 * With churn some are hidden because they came just now. They are as many as come in the time that
 * passes until one is told (Little 1961): that time is estimated from the gaps between the first
 * and the second time that a peer was told, which without memory are as long as those before the
 * first; as many are held to come as leave.
 */
#ifndef SK_AUDIT_CENSUS_H
#define SK_AUDIT_CENSUS_H

#include "audit/hidden.h"

#include <stdbool.h>

/* One peer; times are seconds into the audit. */
struct sk_census_peer {
    unsigned sources; /* enum sk_source that told it */
    uint32_t told;    /* answers that it was in */
    double told_s[2]; /* when it was in the first and the second of them */
    bool reached;
    bool left;        /* it ended the connection */
    double watched_s; /* how long it was seen to be there */
};

struct sk_census {
    double now_s;
    uint32_t present, left;
    double watched_s;             /* of all */
    struct sk_hidden_table table; /* of those present */
    /* From the first answer to the second or to now, of those present first told in the first and
     * in the second half of the audit; how many had a second. */
    double gaps_s[2];
    uint32_t gaps_count[2];
};

/* `answers`: how many answers of trackers, DHT nodes and peers there were. */
void sk_census_init(struct sk_census *census, double now_s, uint32_t answers);
void sk_census_add(struct sk_census *census, const struct sk_census_peer *peer);
/* Peers that came too recently to have been told; NAN where too little was told twice to know. */
double sk_census_newcomers(const struct sk_census *census);
/* The peers that can be reached and are not known, newcomers among them: at the end, of those then
 * there. */
void sk_census_estimate(const struct sk_census *census, struct sk_hidden *ret_hidden);

#endif
