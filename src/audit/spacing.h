/*
 * What one packet takes on the narrowest part of a way, from the times between packets. Layer:
 * audit; pure.
 *
 * A peer that serves others meanwhile lets few of our packets go in a row: a mode of the rates
 * (audit/capacity.h) needs many. But in a queue that all share, two of ours lie what one packet
 * takes apart, or that and what others take in between: never less, now and then exactly that, and
 * where the others' packets are full as well, whole numbers of it. So of all times T the likeliest
 * is looked for that makes of each gap before an arrival of s packets
 *
 *     g = (s + j + u) T,   j = 0, 1, 2, ... of others,   u >= 0 small (short packets, late stamps)
 *
 * Its score is the logarithm of how much likelier the gaps are by that than if g/T were anything:
 *   1. Gaps of up to SK_SPACING_OTHERS packets more than s count; the rest says nothing.
 *   2. u: normal about 0, as exactly as time stamps mostly are or as badly as they are at times,
 *      or exponential with mean SK_SPACING_LATE (short packets), or anything.
 *   3. What came sooner than T allows was read late: each costs, and there is one for
 *      SK_SPACING_EARLY of j = 0 at most.
 *   4. The part of j > 0 counts where it speaks for T; where others send short packets it cannot.
 *
 * It is found where the score is SK_SPACING_SCORE at least and two gaps or more are of j = 0 and
 * u = 0 (or one, and the score SK_SPACING_SCORE_ALONE), of single packets or of several sizes:
 * while a loss is repaired threes of packets come in the time of one. And of all with j = 0 these
 * must be SK_SPACING_SHARP: the turns of a peer's receivers may all take about as long. The way
 * carries at least so much: it may be our own line that is narrow, and a scheduler that always
 * deals out k peers' packets by turns shows a k-th.
 *
 * Cost: a score for each of SK_SPACING_TRIES_MAX times, of SK_SPACING_GAPS_MAX gaps, at most: 1.2
 * ms.
 */
#ifndef SK_AUDIT_SPACING_H
#define SK_AUDIT_SPACING_H

#include "audit/rate.h"

#define SK_SPACING_GAPS_MAX 1024 /* those of 1 MiB */
#define SK_SPACING_TRIES_MAX 128
#define SK_SPACING_GAPS_MIN 16
#define SK_SPACING_PACKETS_MAX 24   /* in one arrival */
#define SK_SPACING_OTHERS 20        /* packets of others in between that are told apart */
#define SK_SPACING_SEGMENT_MIN 500u /* bytes of a full packet */
#define SK_SPACING_SEGMENT_MAX 1500u
#define SK_SPACING_JOIN_NS 100000u /* what came closer was read late */
#define SK_SPACING_LATE 0.12f
#define SK_SPACING_SCORE 8.0f
#define SK_SPACING_SCORE_ALONE 20.0f
#define SK_SPACING_EARLY 4
#define SK_SPACING_SHARP 0.25f
#define SK_SPACING_LEAST 0.02 /* half an interval, of the rate */

struct sk_spacing {
    double rate; /* bytes a second, of the way's narrowest part; NAN unknown */
    double low;  /* 95 %, of how well T is known */
};
/* `list` is in order of time. */
void sk_spacing_find(const struct sk_arrival *list, uint32_t n, struct sk_spacing *ret_spacing);

#endif
