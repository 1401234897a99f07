/*
 * The rate at which a peer delivered, from the times at which its bytes arrived. Layer: audit;
 * pure.
 *
 * Arrivals are (time, block bytes received up to then). When the store is full every second one is
 * dropped, so it spans the whole probe in bounded memory: 16 bytes * SK_ARRIVALS_MAX.
 *
 * Estimate: the Theil-Sen slope (Sen 1968), the median of the slopes between all pairs of arrivals
 * after the start-up (the first quarter, in which the pipeline and TCP's window grow). Its interval
 * comes from batch means: the rates in SK_RATE_BATCHES equal stretches of time, Student's t at 95
 * %; arrivals are not independent, so the pairs themselves would promise too much.
 */
#ifndef SK_AUDIT_RATE_H
#define SK_AUDIT_RATE_H

#include "audit/report.h"

#define SK_ARRIVALS_MAX 128
#define SK_RATE_BATCHES 8

struct sk_arrival {
    uint64_t at_ns, bytes;
};

struct sk_arrivals {
    struct sk_arrival *list; /* allocated with the first one */
    uint32_t count, stride, skipped;
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
    const char *how;     /* "theil-sen", "burst", NULL unknown */
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
