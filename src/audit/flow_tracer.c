/* Tracers: what to give to whom, so that what others gain soon tells who gave it. */
#include "audit/flow.h"

#include "base/assert.h"
#include "base/mem.h"

#include <skep/err.h>

#include <stdlib.h>

#define HOLDERS_SHARE 0.25 /* of the peers: a piece that more hold comes from anywhere */

struct ranked {
    double key;
    uint32_t index;
};

static int compare(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Peers, those first of whom least is known: the bytes by which their uploads may be wrong. */
static uint32_t rank_peers(const struct sk_timeline *timeline, const struct sk_flows *flows,
                           const struct sk_flow_config *config, struct ranked *peers)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < timeline->peers_count; i++) {
        const struct sk_timeline_peer *peer = &timeline->peers[i];
        bool blind = !peer->has_first || (config->unobservable && config->unobservable[i]);
        double doubt = flows && i < flows->peers_count
                           ? flows->uploads[i].high - flows->uploads[i].low
                       : peer->capacity.rate > 0 ? peer->capacity.rate
                                                 : 0;
        if (!blind && sk_timeline_watched(peer, timeline->end_ms) && !sk_bitfield_full(&peer->held))
            peers[count++] = (struct ranked){-doubt, i};
    }
    qsort(peers, count, sizeof *peers, compare);
    return count;
}

/* Pieces that are rare, the rarest first. */
static uint32_t rank_pieces(const struct sk_timeline *timeline, struct ranked *pieces)
{
    uint32_t count = 0;
    for (uint32_t p = 0; p < timeline->pieces; p++) {
        uint32_t holders = 0;
        for (uint32_t i = 0; i < timeline->peers_count; i++)
            holders += timeline->peers[i].has_first && sk_bitfield_has(&timeline->peers[i].held, p);
        if (holders <= HOLDERS_SHARE * timeline->peers_count)
            pieces[count++] = (struct ranked){holders, p};
    }
    qsort(pieces, count, sizeof *pieces, compare);
    return count;
}

int sk_flow_tracers(const struct sk_timeline *timeline, const struct sk_flows *flows,
                    const struct sk_flow_config *config, struct sk_flow_gift *ret_gifts,
                    uint32_t max)
{
    struct ranked *peers = sk_mem_calloc(timeline->peers_count + 1, sizeof *peers);
    struct ranked *pieces = sk_mem_calloc(timeline->pieces + 1, sizeof *pieces);
    uint32_t given = 0;
    if (peers && pieces) {
        uint32_t count = rank_peers(timeline, flows, config, peers), next = 0;
        uint32_t rare = count && max ? rank_pieces(timeline, pieces) : 0;
        /* Each piece once, so that it tells of one peer; to the next that lacks it. */
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
    }
    int err = peers && pieces ? 0 : SKEP_ERR_NOMEM;
    sk_mem_free(peers);
    sk_mem_free(pieces);
    return err ? err : (int)given;
}
