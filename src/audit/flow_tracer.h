/*
 * Tracers: pieces that the auditor gives to chosen peers, so that what others gain soon tells who
 * gave it. Layer: audit; pure.
 *
 * A piece that hardly anybody holds and that one peer was given can spread from few others than
 * that peer. Which pieces, to whom: the rarest, each once, to all peers by turns, the fastest
 * first. What came from us is no flow, and is left out of the estimate (sk_flow_gifts()).
 */
#ifndef SK_AUDIT_FLOW_TRACER_H
#define SK_AUDIT_FLOW_TRACER_H

#include "audit/flow.h"

struct sk_tracer_config {
    const bool *unobservable; /* by peer: its gains cannot be read; NULL: of none */
    const bool *receivers;    /* by peer: whether it can be given to; NULL: all that are watched */
    const struct sk_bitfield *held; /* pieces that can be given; NULL: all */
};

/*
 * At most `max` gifts to make now, the best first; at_ms is the end of the timeline. A piece that
 * was given or offered to anybody before, as the timeline has it, is not given again. Returns how
 * many; SKEP_ERR_NOMEM.
 */
int sk_flow_tracers(const struct sk_timeline *timeline, const struct sk_tracer_config *config,
                    struct sk_flow_gift *ret_gifts, uint32_t max);

/* What the timeline knows to have come from us (sk_timeline_is_gift()), for sk_flow_config; freed
 * by sk_mem_free(). SKEP_ERR_NOMEM. */
int sk_flow_gifts(const struct sk_timeline *timeline, struct sk_flow_gift **ret_gifts,
                  size_t *ret_count);

/*
 * How many pieces may be given or offered now so that it all stays below this share of the pieces
 * that peers were seen to gain. An offer counts while its peer is watched and lacks the piece.
 */
#define SK_TRACER_SHARE 0.01
uint32_t sk_flow_tracers_allowed(const struct sk_timeline *timeline, double share);

/* What became of the offers, in the order they were made; sets report->tracers. SKEP_ERR_NOMEM. */
int sk_flow_report_tracers(const struct sk_timeline *timeline, struct sk_report *report);

#endif
