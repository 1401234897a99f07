/*
 * What the files flow_*.c share: who may have given what (pairs, gains and their choices), and who
 * had whom unchoked. Layer: audit.
 */
#ifndef SK_AUDIT_FLOW_INTERNAL_H
#define SK_AUDIT_FLOW_INTERNAL_H

#include "audit/flow.h"
#include "base/assert.h"
#include "base/limits.h"

#define SK_FLOW_NONE UINT32_MAX
/* An ordered pair of peers that may have been connected. */
struct sk_flow_pair {
    uint32_t from, to;
    uint32_t twin;  /* the pair the other way round, or SK_FLOW_NONE */
    uint32_t spans; /* where its times begin; they end where the next pair's begin */
};

struct sk_flow_gain {
    uint32_t at_ms, piece;
    float bytes; /* 0: from us */
};

/* What a class of choices stands for, pieces: how many the receiver would rather have taken of that
 * source, how many as soon (with this one), how many it could have. */
struct sk_flow_choice {
    double rank, ties, offer;
};
#define SK_FLOW_CHOICES 256 /* 0: the source cannot have given the gain */

struct sk_flow_world {
    const struct sk_timeline *timeline;
    const struct sk_flow_config *config;
    uint32_t peers;
    struct sk_flow_pair *pairs; /* by receiver, then source; and one more, the end of the spans */
    uint32_t pairs_count;
    uint32_t *incoming; /* where the pairs of each receiver begin; and the end */
    uint32_t *outgoing; /* where those of each source begin in `by_source`; and the end */
    uint32_t *by_source;
    struct sk_span *spans;
    double *capacity_bytes_s; /* a guess where it is not known */
    bool *capacity_known;
    double *fanout; /* how many receivers it shares that among, as a rule */
    bool *blind;    /* what it holds is not known */
    /* Gains that are looked at, by receiver, then time, and for each a choice of each of the
     * receiver's pairs. */
    double stride;
    struct sk_flow_gain *gains;
    uint32_t gains_count;
    uint32_t *gains_of; /* where each receiver's begin; and the end */
    uint64_t *row_of;   /* where the choices of each receiver's gains begin */
    uint8_t *choices;
    double blind_share; /* how likely one that does not say holds a piece */
    /* That a receiver takes just that piece of a source, by choice. */
    float chance[SK_FLOW_CHOICES];
};

/* Choices of gain number g (of the whole list) of receiver `to`: one a pair. */
static inline const uint8_t *sk_flow_row(const struct sk_flow_world *world, uint32_t to,
                                         uint32_t gain)
{
    uint32_t width = world->incoming[to + 1] - world->incoming[to];
    return world->choices + world->row_of[to] + (uint64_t)(gain - world->gains_of[to]) * width;
}

/* ---- flow_pairs.c: who may be connected to whom ---- */
int sk_flow_find_pairs(struct sk_flow_world *world);
/* Whether the pair may have been connected at that time. */
bool sk_flow_connected(const struct sk_flow_world *world, uint32_t pair, uint32_t at_ms);

/* ---- flow_fanout.c: how many receivers a source has at a time ---- */
void sk_flow_find_fanouts(struct sk_flow_world *world);

/* ---- flow_candidates.c: who can have given what, at which rank ---- */
int sk_flow_find_candidates(struct sk_flow_world *world);
struct sk_flow_choice sk_flow_choice(uint8_t choice); /* choice > 0 */

/* ---- flow_chance.c: how strictly clients take the rarest first, learned ---- */
void sk_flow_learn_chances(struct sk_flow_world *world);

/* ---- flow_turns.c: that who feeds whom lasts, and is returned ---- */
/* By pair or peer, then turn. */
struct sk_flow_turns {
    uint32_t count, turn_ms;
    float *favour;    /* of the pair, 1 = none */
    float *given;     /* bytes that it was found to give: to be set before it is learned from */
    float *expected;  /* bytes that it would give without favour */
    uint8_t *present; /* of the pair: it had something to give */
    float *gained;    /* bytes, of the receiver */
    float *could;     /* weight of the source: to be set too */
};
int sk_flow_turns_init(struct sk_flow_turns *turns, const struct sk_flow_world *world);
void sk_flow_turns_deinit(struct sk_flow_turns *turns);
/* Sets the favour anew; `given` is smoothed. */
void sk_flow_turns_learn(struct sk_flow_turns *turns, const struct sk_flow_world *world);
static inline uint32_t sk_flow_turn(const struct sk_flow_turns *turns, uint32_t at_ms)
{
    return SK_MIN(at_ms / turns->turn_ms, turns->count - 1);
}

/* ---- flow_shares.c: what each pair's share is ---- */
struct sk_flow_share {
    double bytes, variance; /* of the gains, as if each were drawn by itself */
    double sure, possible;  /* bytes that nobody else, that it too can have given */
    struct sk_flow_bytes baseline;
};
/* By pair; they are zeroed. SKEP_ERR_NOMEM. */
int sk_flow_share_out(const struct sk_flow_world *world, struct sk_flow_share *ret_shares,
                      double *ret_slot_s);

#endif
