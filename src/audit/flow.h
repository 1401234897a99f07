/*
 * Who fed whom inside a swarm: how many bytes each peer gave each other one during the watched
 * time, with an interval, from what an audit saw of them. Layer: audit; pure. No chance is in it.
 *
 * For every piece gained it is found who can have given it: held it when it will have been asked
 * for it, and was connected. Among them the bytes are shared out so that no source gives more than
 * its capacity in any slot of time, and apart from that in proportion to how likely that piece
 * would have been taken from it (clients take the rarest first; how strictly is learned from the
 * same gains), and to what the pair is found to give around that time, both ways: unchoking lasts,
 * and is returned. docs/MEASURING.md has the formulas, the sources and what was measured.
 *
 * What a source gave by turns cannot be seen in such shares: intervals are as wide as simulations
 * say they must be, and never beyond what is certain, or possible, by who held what.
 *
 * The baselines are computed from the same candidates: uniform among holders; gravity (by
 * capacity); maximum entropy under the capacities, in slots of 10 s, relative to gravity and
 * (level) to uniform.
 *
 * Memory: SK_FLOW_CELLS_MAX bytes and as many bits for the candidates of gains, as many bytes for
 * how rare pieces are, 200 bytes a pair of peers that may be connected (SK_FLOW_PAIRS_MAX where
 * nobody told) and 13 more a turn of 20 s (at most 7 SK_FLOW_CELLS_MAX), 24 a link that began and
 * ended, two bits a piece of each peer, 24 bytes a gain. Where that does not do, one gain in
 * `stride` is looked at, and slots get longer. Time is bounded by the same.
 */
#ifndef SK_AUDIT_FLOW_H
#define SK_AUDIT_FLOW_H

#include "audit/timeline.h"

/* A piece that the auditor gave. */
struct sk_flow_gift {
    uint32_t peer, piece, at_ms;
};

struct sk_flow_config {
    /* By peer: what it gained cannot be read from its messages (it tells no HAVEs, super-seeds, or
     * is not believed). What it held is then a guess, what it got unknown. NULL: none is known. */
    const bool *unobservable;
    /* These gains came from us and are no flow. In any order. */
    const struct sk_flow_gift *gifts;
    size_t gifts_count;
    /* What somebody knows better: whether `from` may have given `to` anything in that time. NULL:
     * nobody does. (A simulation's truth, to see what is lost by not knowing it.) */
    bool (*may_give)(uint32_t from, uint32_t to, uint32_t from_ms, uint32_t until_ms, void *ctx);
    void *ctx;
};

/* Bytes by each method. */
struct sk_flow_bytes {
    double uniform, gravity, entropy, level;
};

struct sk_flow_edge {
    uint32_t from, to;       /* indices of the timeline's peers */
    double bytes, low, high; /* 95 % */
    struct sk_flow_bytes baseline;
    bool ambiguous; /* other sources fit as well: the interval is as wide as the estimate */
};

struct sk_flow_upload {
    double bytes, low, high; /* to all whose gains could be read; 95 % */
    struct sk_flow_bytes baseline;
};

struct sk_flows {
    struct sk_flow_edge *edges; /* by receiver, then source; only where bytes are possible */
    size_t edges_count;
    struct sk_flow_upload *uploads; /* by peer, as many as the timeline has */
    uint32_t peers_count;
    double gained_bytes; /* by all whose gains could be read */
    double unseen_bytes; /* of them, what none of the peers seen can have given */
    double stride;       /* one gain in so many was looked at; 1 = all */
    double slot_s;       /* length of a slot of time */
};

/* SKEP_ERR_NOMEM. A timeline without peers, pieces or gains has no flows. */
int sk_flow_estimate(const struct sk_timeline *timeline, const struct sk_flow_config *config,
                     struct sk_flows *ret_flows);
void sk_flows_deinit(struct sk_flows *flows);

#endif
