/*
 * The capacity of a peer's up-link, from how its bytes were spread in time. Layer: audit; pure.
 *
 * What a peer delivers is bounded by whatever is narrowest: a limit that its owner set, its slots,
 * the link. Packets that leave it in a row are spread by the link alone (dispersion; Keshav 1991,
 * Dovrolis, Ramanathan and Moore 2001), whatever the average. So the rates between arrivals that
 * follow each other have a mode at the capacity, however much time passes between the trains.
 *
 *   1. Only arrivals of the steady part count (audit/rate.h): a token bucket that was full at the
 *      beginning lets its bytes through faster than the link's rate.
 *   2. What was read within SK_CAPACITY_JOIN_NS is one arrival: below it the time stamps, which are
 *      taken after the event loop woke, say nothing, and senders and shapers give packets out in
 *      lumps.
 *   3. Bytes that we read late come all at once: after such a lump the next sample lasts at least
 *      half as long.
 *      And no sample weighs more than SK_CAPACITY_HEAVIEST times the median: what a lost packet
 *      held back comes at once as well.
 *   4. The mode: the highest rate around which (SK_CAPACITY_NEAR) lie more bytes than around its
 *      neighbours, and SK_CAPACITY_MASS of all. The estimate is the median there.
 *      Where there is none, or more is seen by it: what the spacing of single packets says
 *      (audit/spacing.h), by all arrivals but those before and after the steady part that came
 *      faster than the link carries by it.
 *   5. The interval: percentiles over bootstrap resamples of those samples (Efron 1979).
 *
 * One receiver sees a part only: where a scheduler gives k receivers their packets by turns, no two
 * of ours come in a row and the mode lies at a k-th of the link. Nothing in our arrivals tells that
 * from a narrow link. And while a loss is repaired packets come in threes: the mode may lie at
 * three times the link's rate. So only where the peer paused is the interval two-sided; else `high`
 * is NAN and `low` what was delivered: the link carries at least that. Even then `high` is that of
 * the narrowest part of the way, which may be our line (audit/downlink.h), and too low where the
 * peer let packets for several receivers go at once that a scheduler dealt out by turns, or where
 * its system paces what it sends. A policer drops packets and does not spread them: behind it the
 * link's rate is seen, not the policer's.
 */
#ifndef SK_AUDIT_CAPACITY_H
#define SK_AUDIT_CAPACITY_H

#include "audit/rate.h"

#define SK_CAPACITY_JOIN_NS 100000u   /* 0.1 ms */
#define SK_CAPACITY_LUMP_NS 1000000u  /* joined arrivals span at most so much */
#define SK_CAPACITY_LATE_BYTES 65536u /* more at one time than a sender's largest segment */
#define SK_CAPACITY_SAMPLES_MIN 16
#define SK_CAPACITY_NEAR 0.15
#define SK_CAPACITY_MASS 0.1
#define SK_CAPACITY_HEAVIEST 4   /* times the median sample: more of one does not weigh */
#define SK_CAPACITY_PAUSE 16     /* times what the bytes took on the link */
#define SK_CAPACITY_PAUSED 0.8   /* share of the time that is missing, of who pauses */
#define SK_CAPACITY_STALLED 0.1  /* the same, of whom drops stop */
#define SK_CAPACITY_PURE 0.75    /* of its bytes, at the mode */
#define SK_CAPACITY_SURPLUS 1.05 /* of what was delivered: a spacing that says no more is that */
#define SK_CAPACITY_LATER 1.25   /* times that rate: laps that a bucket let through at once */
#define SK_CAPACITY_SURE 0.9     /* of the rate: a lower bound so high was found by spacing */
#define SK_CAPACITY_LEAST 0.01   /* half an interval, of the rate: what time stamps are good for */

struct sk_capacity_estimate {
    struct sk_rate rate; /* NAN unknown; high alone NAN: at least low */
    /*
     * "trains": the peer paused, and was this fast in between.
     * "pairs": it did not pause, and was this fast at times: its link was shared.
     * "drops": it stopped and caught up, and was this fast in between: packets were dropped, by a
     * policer (whose rate is what was delivered) or a queue that overflowed.
     * Of these two `low` is what was delivered, and `rate` no bound; but where the spacing of
     * single packets tells the link, `low` is just below it. "steady": it was never faster than on
     * average. Unknown: "trains too short", "out of memory".
     */
    const char *how;
    /* Where the steady part of the arrivals began and ended; both 0: not known. */
    uint64_t steady_from_ns, steady_until_ns;
};
/* `delivered` is the estimate from the same arrivals. */
void sk_capacity_estimate(const struct sk_arrivals *arrivals,
                          const struct sk_rate_estimate *delivered,
                          struct sk_capacity_estimate *ret_estimate);

/* More has come since `estimate` was made: sets it anew where the spacing of arrivals, by the same
 * rule about those before the steady part, tells the link. What came since does not count where
 * most of it came faster (SK_CAPACITY_LATER) than the link carries by the steady part: out of a
 * token bucket that had filled again. */
void sk_capacity_refine(const struct sk_arrivals *arrivals,
                        const struct sk_rate_estimate *delivered,
                        struct sk_capacity_estimate *estimate);
/* Whether `rate` is what the link carries to all, as far as one receiver can tell, and not just
 * what it carries at least. */
bool sk_capacity_is_known(const struct sk_rate *capacity, const char *how);

#endif
