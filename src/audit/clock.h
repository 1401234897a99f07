/*
 * How the clock of a tracker differs from ours, by our own announces in its log. Layer: audit;
 * pure.
 *
 * We know when each announce was sent and when it was answered: the tracker's time of it lies
 * between, by its own clock. So each line of ours bounds the difference of the clocks, within the
 * time of an exchange; announces sent anew are one exchange, for an answer may be to any copy.
 *
 * Which line is of which announce is not told, and anybody may announce under our peer id. So the
 * difference is looked for at which the most announces of ours have a line: one with our peer id,
 * that says `started` where we did and has our `downloaded`, where the log has these. At the true
 * difference all have one, but for those that the log left out; a forged line can make another
 * difference look as good, never this one worse. All differences at which as many announces but
 * one have a line are allowed: one forged line, one that is missing, or one of each, make the clock
 * less well known, and not wrong. What the other announces say that have lines is allowed too: the
 * clock may have been set between. So is, up to a day off, what two or more of those that are left
 * over agree on, and most of them; or most of those to another tracker, by lines that no announce
 * to the first one has: logs may have been joined. So they may where as many announces have lines
 * at differences that lie apart: then too no one difference is the true one. Where more agree on a
 * difference beyond skew_max_s (a log in another time zone) neither is relied on: all from the one
 * to the other are allowed. What is at an address of a peer that goes by another peer id is none of
 * ours. The announces to each tracker are looked at apart, and those that fit best are of the
 * log's.
 *
 * Memory: 24 bytes a line of ours; 32 a span of differences that an announce allows, at most
 * SK_CLOCK_SPANS_MAX. Of a flood, with more of these, or of SK_CLOCK_LOOKS_MAX looks at lines (half
 * a second), nothing is told, and if it lies beyond skew_max_s, less than half of our announces are
 * not believed against it.
 */
#ifndef SK_AUDIT_CLOCK_H
#define SK_AUDIT_CLOCK_H

#include "audit/announce.h"
#include "audit/timeline.h"

/* The difference of two clocks (theirs minus ours), seconds. */
struct sk_clock {
    double low_s, high_s;
    uint32_t announces; /* of ours that agree on it; 0: nothing is known but skew_max_s */
    bool set;           /* in the middle, or of two logs: no one difference is the true one */
};

/*
 * Looks for our announces among `count` of a tracker's log; of other torrents than `info_hash` (20
 * bytes; NULL = all are of this one) none is taken. began_unix_s: when the audit began, by our
 * clock; skew_max_s: how far off the tracker's may be at most, seconds from 0 on. SKEP_ERR_NOMEM.
 */
int sk_clock_find(const struct sk_timeline *timeline, const struct sk_announce *announces,
                  size_t count, const uint8_t *info_hash, double began_unix_s, double skew_max_s,
                  struct sk_clock *ret_clock);
/* Whether it is told under our peer id, and not at the address of somebody else. */
bool sk_clock_is_own(const struct sk_timeline *timeline, const struct sk_announce *announce);

#endif
