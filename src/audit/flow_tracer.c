#include "audit/flow_tracer.h"

#include "base/assert.h"
#include "base/mem.h"

#include <skep/err.h>

#include <stdlib.h>

#define HOLDERS_SHARE 0.25 /* of the peers: a piece that more hold comes from anywhere */

/* ---- which, to whom ---- */

struct ranked {
    double first, second; /* the least comes first */
    uint32_t index;
};

static int compare(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    if (x->second != y->second)
        return x->second < y->second ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Who was given fewest so far, of them the fastest first: most is passed on by them. */
static uint32_t rank_peers(const struct sk_timeline *timeline,
                           const struct sk_tracer_config *config, struct ranked *peers)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < timeline->peers_count; i++) {
        const struct sk_timeline_peer *peer = &timeline->peers[i];
        bool blind = !peer->has_first || (config->unobservable && config->unobservable[i]);
        if (blind || peer->alias || (config->receivers && !config->receivers[i]) ||
            !sk_timeline_watched(peer, timeline->end_ms) || sk_bitfield_full(&peer->held))
            continue;
        double capacity = peer->capacity.rate > 0 ? peer->capacity.rate : 0;
        peers[count++] = (struct ranked){peer->given_count, -capacity, i};
    }
    qsort(peers, count, sizeof *peers, compare);
    return count;
}

/* How many hold each piece, of one peer in so many that it takes no time. Returns of how many. */
static uint32_t count_holders(const struct sk_timeline *timeline, uint32_t *holders)
{
    uint64_t looks = (uint64_t)timeline->peers_count * timeline->pieces;
    uint32_t stride = 1 + (uint32_t)(looks / SK_TRACER_LOOKS_MAX), seen = 0;
    for (uint32_t i = 0; i < timeline->peers_count; i += stride) {
        const struct sk_timeline_peer *peer = &timeline->peers[i];
        seen += peer->has_first;
        for (uint32_t p = 0; peer->has_first && p < timeline->pieces; p++)
            holders[p] += sk_bitfield_has(&peer->held, p);
    }
    return seen;
}

/* Pieces that are rare and were not given yet, the rarest first. SKEP_ERR_NOMEM. */
static int rank_pieces(const struct sk_timeline *timeline, const struct sk_tracer_config *config,
                       struct ranked *pieces)
{
    uint32_t *holders = sk_mem_calloc(timeline->pieces + 1, sizeof *holders);
    int count = 0;
    if (!holders)
        return SKEP_ERR_NOMEM;
    uint32_t seen = count_holders(timeline, holders);
    for (uint32_t i = 0; i < timeline->peers_count; i++)
        for (uint32_t k = 0; k < timeline->peers[i].given_count; k++)
            holders[timeline->peers[i].given[k].piece] = UINT32_MAX;
    for (uint32_t p = 0; p < timeline->pieces; p++)
        if (holders[p] <= HOLDERS_SHARE * seen &&
            (!config->held || sk_bitfield_has(config->held, p)))
            pieces[count++] = (struct ranked){holders[p], 0, p};
    sk_mem_free(holders);
    qsort(pieces, (size_t)count, sizeof *pieces, compare);
    return count;
}

/* Each piece once, so that it tells of one peer; to the next that lacks it. */
static int pair(const struct sk_timeline *timeline, const struct ranked *peers, uint32_t count,
                const struct ranked *pieces, uint32_t rare, struct sk_flow_gift *ret_gifts,
                uint32_t max)
{
    uint32_t given = 0, next = 0;
    for (uint32_t k = 0; k < rare && given < max; k++) {
        for (uint32_t tried = 0; tried < count; tried++) {
            uint32_t peer = peers[(next + tried) % count].index;
            if (sk_bitfield_has(&timeline->peers[peer].held, pieces[k].index))
                continue;
            ret_gifts[given++] = (struct sk_flow_gift){peer, pieces[k].index, timeline->end_ms};
            next = (next + tried + 1) % count;
            break;
        }
    }
    return (int)given;
}

int sk_flow_tracers(const struct sk_timeline *timeline, const struct sk_tracer_config *config,
                    struct sk_flow_gift *ret_gifts, uint32_t max)
{
    if (timeline->pieces > SK_TRACER_PIECES_MAX)
        return 0;
    struct ranked *peers = sk_mem_calloc(timeline->peers_count + 1, sizeof *peers);
    struct ranked *pieces = sk_mem_calloc(timeline->pieces + 1, sizeof *pieces);
    int result = peers && pieces ? 0 : SKEP_ERR_NOMEM;
    if (!result) {
        uint32_t count = rank_peers(timeline, config, peers);
        if (count && max)
            result = rank_pieces(timeline, config, pieces);
        if (result > 0)
            result = pair(timeline, peers, count, pieces, (uint32_t)result, ret_gifts, max);
    }
    sk_mem_free(peers);
    sk_mem_free(pieces);
    return result;
}

/* ---- how many ---- */

/* Whether it was taken, or may be yet. */
static bool is_spent(const struct sk_timeline *timeline, const struct sk_timeline_peer *peer,
                     const struct sk_given *given)
{
    return given->bytes || (sk_timeline_watched(peer, timeline->end_ms) && peer->has_first &&
                            !sk_bitfield_has(&peer->held, given->piece));
}

uint32_t sk_flow_tracers_allowed(const struct sk_timeline *timeline, double share)
{
    uint32_t spent = 0;
    for (uint32_t i = 0; i < timeline->peers_count; i++) {
        const struct sk_timeline_peer *peer = &timeline->peers[i];
        for (uint32_t k = 0; k < peer->given_count; k++)
            spent += is_spent(timeline, peer, &peer->given[k]);
    }
    double budget = share * (double)timeline->gains_total - spent;
    return budget > 0 ? (uint32_t)SK_MIN(budget, (double)SK_TIMELINE_GIVEN_MAX) : 0;
}

/* ---- what came of it ---- */

int sk_flow_gifts(const struct sk_timeline *timeline, struct sk_flow_gift **ret_gifts,
                  size_t *ret_count)
{
    struct sk_flow_gift *gifts = sk_mem_calloc((size_t)timeline->given_total + 1, sizeof *gifts);
    size_t count = 0;
    if (!gifts)
        return SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < timeline->peers_count; i++) {
        const struct sk_timeline_peer *peer = &timeline->peers[i];
        for (uint32_t k = 0; k < peer->given_count; k++)
            if (sk_timeline_is_gift(timeline, &peer->given[k]))
                gifts[count++] =
                    (struct sk_flow_gift){i, peer->given[k].piece, peer->given[k].given_ms};
    }
    *ret_gifts = gifts;
    *ret_count = count;
    return 0;
}

static int compare_tracers(const void *a, const void *b)
{
    const struct sk_report_tracer *x = a, *y = b;
    if (x->offered_s != y->offered_s)
        return x->offered_s < y->offered_s ? -1 : 1;
    return (x->piece > y->piece) - (x->piece < y->piece);
}

static void describe(const struct sk_timeline *timeline, const struct sk_timeline_peer *peer,
                     const struct sk_given *given, struct sk_report_tracer *ret_tracer)
{
    *ret_tracer = (struct sk_report_tracer){.to = peer->endpoint,
                                            .piece = given->piece,
                                            .offered_s = given->offered_ms / 1e3,
                                            .given_s = given->bytes ? given->given_ms / 1e3 : NAN,
                                            .given_bytes = given->bytes};
}

/* Who else held the pieces before they were offered, and gained them after they had been given. */
static void count_spread(const struct sk_timeline *timeline, const uint32_t *number_of,
                         struct sk_report_tracer *tracers, size_t count)
{
    for (uint32_t i = 0; i < timeline->peers_count; i++) {
        const struct sk_timeline_peer *peer = &timeline->peers[i];
        for (size_t k = 0; peer->has_first && k < count; k++)
            tracers[k].held_by += sk_bitfield_has(&peer->first, tracers[k].piece);
        for (uint32_t g = 0; g < peer->gains_count; g++) {
            const struct sk_gain *gain = &peer->gains[g];
            if (!number_of[gain->piece])
                continue;
            struct sk_report_tracer *tracer = &tracers[number_of[gain->piece] - 1];
            if (gain->at_ms / 1e3 < tracer->offered_s)
                tracer->held_by++;
            else if (gain->at_ms / 1e3 >= tracer->given_s &&
                     !sk_endpoint_equal(&peer->endpoint, &tracer->to))
                tracer->spread_to++;
        }
    }
}

int sk_flow_report_tracers(const struct sk_timeline *timeline, struct sk_report *report)
{
    if (!timeline->given_total)
        return 0;
    uint32_t *number_of = sk_mem_calloc((size_t)timeline->pieces + 1, sizeof *number_of);
    struct sk_report_tracer *tracers =
        sk_mem_calloc((size_t)timeline->given_total + 1, sizeof *tracers);
    size_t count = 0;
    if (!number_of || !tracers) {
        sk_mem_free(number_of);
        sk_mem_free(tracers);
        return SKEP_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < timeline->peers_count; i++) {
        const struct sk_timeline_peer *peer = &timeline->peers[i];
        for (uint32_t k = 0; k < peer->given_count; k++)
            if (peer->given[k].offered_ms != SK_TIME_OPEN)
                describe(timeline, peer, &peer->given[k], &tracers[count++]);
    }
    qsort(tracers, count, sizeof *tracers, compare_tracers);
    count = SK_MIN(count, (size_t)SK_TRACERS_MAX);
    for (size_t k = 0; k < count; k++)
        number_of[tracers[k].piece] = (uint32_t)k + 1;
    count_spread(timeline, number_of, tracers, count);
    sk_mem_free(number_of);
    sk_mem_free(report->tracers);
    report->tracers = tracers;
    report->tracers_count = count;
    return 0;
}
