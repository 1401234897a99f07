#include "audit/flow_internal.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/order.h"
#include "swarm/source.h"

#include <skep/err.h>

#include <math.h>
#include <stdlib.h>

#define CAPACITY_LEAST 1.0 /* bytes a second: what is less or more was not measured, */
#define CAPACITY_MOST 1e12
#define CAPACITY_ANY 1e6 /* where none is known: only ratios count then */
#define NORMAL_95 1.96
/* Gains of one source come in runs, while it has the receiver unchoked: an edge varies as if so
 * many of them were one. A total is wrong by more, the more so the less of the capacities is used:
 * then they say little of who gave. What a source held that does not tell it is a guess, and so is
 * its total. Set so that intervals hold in simulations (docs/MEASURING.md). */
#define RUN 6.0
#define UPLOAD_ERROR_LEAST 0.1
#define UPLOAD_ERROR_IDLE 0.5  /* where nothing is used */
#define UPLOAD_ERROR_POWER 1.5 /* of the share that is not used */
#define UPLOAD_ERROR_BLIND 1.0

static void world_deinit(struct sk_flow_world *world)
{
    sk_mem_free(world->pairs);
    sk_mem_free(world->incoming);
    sk_mem_free(world->outgoing);
    sk_mem_free(world->by_source);
    sk_mem_free(world->spans);
    sk_mem_free(world->capacity_bytes_s);
    sk_mem_free(world->capacity_known);
    sk_mem_free(world->blind);
    sk_mem_free(world->fanout);
    sk_mem_free(world->gains);
    sk_mem_free(world->gains_of);
    sk_mem_free(world->row_of);
    sk_mem_free(world->choices);
}

/* Where a capacity is not known: the middle one of those that are. */
static int guess_capacities(struct sk_flow_world *world)
{
    double *known = sk_mem_calloc(world->peers + 1, sizeof *known);
    uint32_t count = 0;
    if (!known)
        return SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < world->peers; i++) {
        double rate = world->timeline->peers[i].capacity.rate;
        world->capacity_known[i] = rate >= CAPACITY_LEAST && rate <= CAPACITY_MOST;
        world->capacity_bytes_s[i] = rate;
        if (world->capacity_known[i])
            known[count++] = rate;
    }
    qsort(known, count, sizeof *known, sk_order_doubles);
    for (uint32_t i = 0; i < world->peers; i++)
        if (!world->capacity_known[i])
            world->capacity_bytes_s[i] = count ? known[count / 2] : CAPACITY_ANY;
    sk_mem_free(known);
    return 0;
}

/* ---- addresses that nobody listens at ---- */

/* A peer that was connected from each host, + 1. */
static int find_hosts(const struct sk_timeline *timeline, struct sk_map *ret_hosts)
{
    int err = 0;
    sk_map_init(ret_hosts, sizeof(struct sk_endpoint), SK_TIMELINE_PEERS_MAX, timeline->begin_ns);
    for (uint32_t i = 0; i < timeline->peers_count && !err; i++) {
        const struct sk_timeline_peer *peer = &timeline->peers[i];
        struct sk_endpoint host = peer->endpoint;
        host.port = 0;
        if (peer->watched_count && !peer->alias)
            err = sk_map_put(ret_hosts, &host, (void *)(uintptr_t)(i + 1));
    }
    return err;
}

/* Told by peer exchange alone, never to be reached, at a host where a peer is: it is the port from
 * which that one came to the one who tells, and nobody of its own who may have had what we did not
 * see. */
static bool is_echo(const struct sk_timeline_peer *peer, const struct sk_map *hosts)
{
    struct sk_endpoint host = peer->endpoint;
    host.port = 0;
    return !peer->watched_count && peer->sources == SK_SOURCE_PEX && sk_map_get(hosts, &host);
}

static int find_blind(struct sk_flow_world *world)
{
    const struct sk_timeline *timeline = world->timeline;
    const bool *hides = world->config->unobservable;
    struct sk_map hosts;
    int err = find_hosts(timeline, &hosts);
    for (uint32_t i = 0; i < world->peers && !err; i++) {
        const struct sk_timeline_peer *peer = &timeline->peers[i];
        world->blind[i] = !peer->alias && /* nobody of its own */
                          !is_echo(peer, &hosts) && (!peer->has_first || (hides && hides[i]));
    }
    sk_map_deinit(&hosts);
    return err;
}

static int world_init(struct sk_flow_world *world, const struct sk_timeline *timeline,
                      const struct sk_flow_config *config)
{
    uint32_t n = timeline->peers_count;
    *world =
        (struct sk_flow_world){.timeline = timeline, .config = config, .peers = n, .stride = 1};
    world->capacity_bytes_s = sk_mem_calloc(n + 1, sizeof *world->capacity_bytes_s);
    world->capacity_known = sk_mem_calloc(n + 1, sizeof *world->capacity_known);
    world->blind = sk_mem_calloc(n + 1, sizeof *world->blind);
    world->fanout = sk_mem_calloc(n + 1, sizeof *world->fanout);
    if (!world->capacity_bytes_s || !world->capacity_known || !world->blind || !world->fanout)
        return SKEP_ERR_NOMEM;
    int err = find_blind(world);
    if (!err)
        err = guess_capacities(world);
    if (err)
        return err;
    sk_flow_find_fanouts(world);
    err = sk_flow_find_pairs(world);
    if (!err)
        err = sk_flow_find_candidates(world);
    if (!err)
        sk_flow_learn_chances(world);
    return err;
}

/* ---- what comes out ---- */

static void add_bytes(struct sk_flow_bytes *sum, const struct sk_flow_bytes *more)
{
    sum->uniform += more->uniform;
    sum->gravity += more->gravity;
    sum->entropy += more->entropy;
    sum->level += more->level;
}

static void make_edges(const struct sk_flow_world *world, const struct sk_flow_share *shares,
                       struct sk_flows *flows)
{
    for (uint32_t e = 0; e < world->pairs_count; e++) {
        const struct sk_flow_share *share = &shares[e];
        if (!(share->possible > 0))
            continue;
        double half = NORMAL_95 * sqrt(RUN * share->variance);
        struct sk_flow_edge *edge = &flows->edges[flows->edges_count++];
        *edge = (struct sk_flow_edge){.from = world->pairs[e].from,
                                      .to = world->pairs[e].to,
                                      .bytes = share->bytes,
                                      .low = fmax(share->sure, share->bytes - half),
                                      .high = fmin(share->possible, share->bytes + half),
                                      .baseline = share->baseline};
        edge->low = fmin(edge->low, edge->bytes);
        edge->high = fmax(edge->high, edge->bytes);
        edge->ambiguous = edge->high - edge->low > edge->bytes;
        add_bytes(&flows->uploads[edge->from].baseline, &edge->baseline);
    }
}

/* By how much of itself a total may be wrong. */
static double upload_error(const struct sk_flow_world *world, const struct sk_flows *flows)
{
    double could = 0, seconds = world->timeline->end_ms / 1e3;
    for (uint32_t i = 0; i < world->peers; i++)
        if (world->outgoing[i] < world->outgoing[i + 1])
            could += world->capacity_bytes_s[i] * seconds;
    double unused = could > 0 ? SK_MAX(0, 1 - flows->gained_bytes / could) : 1;
    return SK_MAX(UPLOAD_ERROR_LEAST, UPLOAD_ERROR_IDLE * pow(unused, UPLOAD_ERROR_POWER));
}

static void make_uploads(const struct sk_flow_world *world, const struct sk_flow_share *shares,
                         struct sk_flows *flows)
{
    double error = upload_error(world, flows);
    for (uint32_t i = 0; i < world->peers; i++) {
        double variance = 0, sure = 0, possible = 0;
        struct sk_flow_upload *upload = &flows->uploads[i];
        for (uint32_t k = world->outgoing[i]; k < world->outgoing[i + 1]; k++) {
            const struct sk_flow_share *share = &shares[world->by_source[k]];
            upload->bytes += share->bytes;
            variance += RUN * share->variance;
            sure += share->sure;
            possible += share->possible;
        }
        double of_it = error + (world->blind[i] ? UPLOAD_ERROR_BLIND : 0);
        double doubtful = of_it * (upload->bytes - sure);
        double half = NORMAL_95 * sqrt(variance + doubtful * doubtful);
        upload->low = fmin(upload->bytes, fmax(sure, upload->bytes - half));
        upload->high = fmax(upload->bytes, fmin(possible, upload->bytes + half));
    }
}

/* Bytes gained, and those of them of which no source is seen. */
static void count_gained(const struct sk_flow_world *world, struct sk_flows *flows)
{
    for (uint32_t to = 0; to < world->peers; to++) {
        uint32_t width = world->incoming[to + 1] - world->incoming[to];
        for (uint32_t gain = world->gains_of[to]; gain < world->gains_of[to + 1]; gain++) {
            const uint8_t *row = sk_flow_row(world, to, gain);
            double bytes = world->gains[gain].bytes * world->stride;
            uint32_t k = 0;
            while (k < width && !row[k])
                k++;
            flows->gained_bytes += bytes;
            flows->unseen_bytes += k == width ? bytes : 0;
        }
    }
}

int sk_flow_estimate(const struct sk_timeline *timeline, const struct sk_flow_config *config,
                     struct sk_flows *ret_flows)
{
    struct sk_flow_world world;
    struct sk_flows flows = {.peers_count = timeline->peers_count};
    struct sk_flow_share *shares = NULL;
    int err = world_init(&world, timeline, config);
    if (!err) {
        shares = sk_mem_calloc(world.pairs_count + 1, sizeof *shares);
        flows.edges = sk_mem_calloc(world.pairs_count + 1, sizeof *flows.edges);
        flows.uploads = sk_mem_calloc(world.peers + 1, sizeof *flows.uploads);
        if (!shares || !flows.edges || !flows.uploads)
            err = SKEP_ERR_NOMEM;
    }
    if (!err)
        err = sk_flow_share_out(&world, shares, &flows.slot_s);
    if (!err) {
        flows.stride = world.stride;
        count_gained(&world, &flows);
        make_edges(&world, shares, &flows);
        make_uploads(&world, shares, &flows);
    }
    sk_mem_free(shares);
    world_deinit(&world);
    if (err)
        sk_flows_deinit(&flows);
    else
        *ret_flows = flows;
    return err;
}

void sk_flows_deinit(struct sk_flows *flows)
{
    sk_mem_free(flows->edges);
    sk_mem_free(flows->uploads);
    *flows = (struct sk_flows){0};
}
