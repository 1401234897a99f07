/*
 * The rate at which a peer delivered, from the times at which its bytes arrived. Layer: audit;
 * pure.
 *
 * Arrivals are (time, block bytes received up to then). When the store is full every second one is
 * dropped, so it spans the whole probe in bounded memory: 16 bytes * SK_ARRIVALS_MAX.
 *
 * Estimate, over SK_RATE_STEPS equal steps of time:
 *   1. The steady part begins at the first step from which on the curve of bytes is about as
 * straight (SK_RATE_ROUGH times the mean square) as from any of the first SK_RATE_START_MAX. Before
 * it lie TCP's slow start, our pipeline's growth, and a token bucket that was full.
 *   2. The slope is the median of the slopes between all pairs of steps (Theil 1950, Sen 1968),
 * each weighing as much as the time between them (Jaeckel 1972).
 *   3. Once more, from the half of the steps on or above that line: what a lost packet holds back
 * is counted late, and nothing is counted early. The interval comes from the long-run variance of
 * what came in the steps (Newey and West 1987) at 95 %; it is at least one arrival wide at either
 * end. The pairs themselves would promise too much: arrivals are not independent.
 */
#ifndef SK_AUDIT_RATE_H
#define SK_AUDIT_RATE_H

#include "audit/report.h"

#define SK_ARRIVALS_FIRST 64
#define SK_ARRIVALS_MAX 2048
#define SK_RATE_SAMPLES_MIN 8
#define SK_RATE_STEPS 64
#define SK_RATE_START_MAX 32
#define SK_RATE_ROUGH 4.0
#define SK_RATE_GRAIN 0.005 /* of all bytes: less than that off the line is straight */

struct sk_arrival {
    uint64_t at_ns, bytes;
};

struct sk_arrivals {
    struct sk_arrival *list;
    uint32_t count, room, stride, skipped;
    uint64_t last_ns;
    /* Gaps between arrivals, before thinning: a histogram over powers of two of microseconds. */
    uint32_t gaps[32];
    uint32_t gaps_count;
};

void sk_arrivals_deinit(struct sk_arrivals *arrivals);
/* bytes and at_ns do not decrease. SKEP_ERR_NOMEM. */
int sk_arrivals_add(struct sk_arrivals *arrivals, uint64_t at_ns, uint64_t bytes);

struct sk_rate_estimate {
    struct sk_rate rate; /* NAN where unknown */
    const char *how;     /* "theil-sen", "burst"; unknown: "one arrival", or NULL without any */
    uint32_t samples;    /* arrivals kept that it rests on */
    double span_s;       /* from the first of them to the last */
    double gap_median_s; /* NAN where fewer than two arrivals */
};
/*
 * "burst": too few arrivals, or all within SK_RATE_BURST_NS: the rate is bytes over time, a lower
 * bound of sorts, without an interval. One arrival alone says nothing.
 */
#define SK_RATE_BURST_NS 2000000u
void sk_rate_estimate(const struct sk_arrivals *arrivals, struct sk_rate_estimate *ret_estimate);

#endif
