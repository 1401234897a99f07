#include "sim/crowd.h"

#include <skep/err.h>

#include "base/mem.h"

#include <math.h>

#define TRIES 20 /* peers looked at for one more connection */

static bool chance(struct sk_crowd *crowd, double p)
{
    return sk_prng_unit(&crowd->prng) < p;
}

/* ---- coming and leaving ---- */

static void link_one(struct sk_crowd_peer *from, uint32_t to, bool told)
{
    from->links[from->links_count++] = (struct sk_crowd_link){.to = to, .told = told};
}

static void unlink_one(struct sk_crowd_peer *from, uint32_t to)
{
    for (uint32_t i = 0; i < from->links_count; i++)
        if (from->links[i].to == to)
            from->links[i--] = from->links[--from->links_count];
}

static bool is_linked(const struct sk_crowd_peer *from, uint32_t to)
{
    for (uint32_t i = 0; i < from->links_count; i++)
        if (from->links[i].to == to)
            return true;
    return false;
}

/* Whether a tracker or the DHT, which it must use itself, can tell a newcomer this one. */
static bool may_learn(const struct sk_crowd_peer *newcomer, const struct sk_crowd_peer *peer)
{
    return peer->connectable &&
           ((newcomer->tracked && peer->tracked) || (newcomer->dht && peer->dht));
}

static void connect_newcomer(struct sk_crowd *crowd, uint32_t number, uint32_t among)
{
    struct sk_crowd_peer *newcomer = &crowd->peers[number];
    for (uint32_t i = 0; i < crowd->config.degree * TRIES && among; i++) {
        uint32_t to = crowd->present[sk_prng_below(&crowd->prng, among)];
        struct sk_crowd_peer *peer = &crowd->peers[to];
        if (newcomer->links_count >= crowd->config.degree)
            return;
        if (to == number || !may_learn(newcomer, peer) || is_linked(newcomer, to) ||
            peer->links_count == SK_CROWD_LINKS_MAX)
            continue;
        link_one(newcomer, to, true);
        /* Who was dialled knows the other's port only if he says it; who cannot be reached mostly
         * does not. */
        link_one(peer, number, newcomer->connectable || chance(crowd, 0.5));
    }
}

/* A newcomer in this place of the list of those present. */
static int join(struct sk_crowd *crowd, uint32_t place, uint32_t among)
{
    const struct sk_crowd_config *config = &crowd->config;
    if (crowd->count == crowd->capacity) {
        size_t capacity = crowd->capacity ? crowd->capacity * 2 : 2 * (size_t)config->peers;
        struct sk_crowd_peer *peers = sk_mem_realloc(crowd->peers, capacity, sizeof *peers);
        if (!peers)
            return SKEP_ERR_NOMEM;
        crowd->peers = peers;
        crowd->capacity = capacity;
    }
    struct sk_crowd_peer peer = {
        .present = true,
        .connectable = chance(crowd, config->connectable),
        .dht = chance(crowd, config->dht),
        .exchanges = chance(crowd, config->exchanges),
        .left_s = NAN,
        .links = sk_mem_alloc(SK_CROWD_LINKS_MAX * sizeof *peer.links),
    };
    if (!peer.links)
        return SKEP_ERR_NOMEM;
    /* Who is in neither cannot take part. */
    peer.tracked = !peer.dht || chance(crowd, config->tracked);
    for (uint32_t node = 0; node < config->dht_nodes && peer.dht; node++)
        peer.stored |= (uint64_t)chance(crowd, config->dht_stored) << node;
    uint32_t number = (uint32_t)crowd->count++;
    crowd->peers[number] = peer;
    crowd->present[place] = number;
    connect_newcomer(crowd, number, among);
    return 0;
}

static void leave(struct sk_crowd *crowd, uint32_t number)
{
    struct sk_crowd_peer *peer = &crowd->peers[number];
    peer->present = false;
    peer->left_s = crowd->now_s;
    for (uint32_t i = 0; i < peer->links_count; i++)
        unlink_one(&crowd->peers[peer->links[i].to], number);
    sk_mem_free(peer->links);
    peer->links = NULL;
    peer->links_count = 0;
}

int sk_crowd_advance(struct sk_crowd *crowd, double seconds)
{
    double gone = 1 - exp(-crowd->config.churn * seconds / 60);
    int err = 0;
    crowd->now_s += seconds;
    for (uint32_t i = 0; i < crowd->config.peers && !err; i++) {
        if (!chance(crowd, gone))
            continue;
        leave(crowd, crowd->present[i]);
        err = join(crowd, i, crowd->config.peers);
    }
    return err;
}

int sk_crowd_init(struct sk_crowd *crowd, const struct sk_crowd_config *config)
{
    *crowd = (struct sk_crowd){.config = *config};
    sk_prng_init(&crowd->prng, config->seed);
    crowd->present = sk_mem_calloc(config->peers, sizeof *crowd->present);
    int err = crowd->present ? 0 : SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < config->peers && !err; i++)
        err = join(crowd, i, i);
    if (err)
        sk_crowd_deinit(crowd);
    return err;
}

void sk_crowd_deinit(struct sk_crowd *crowd)
{
    for (size_t i = 0; i < crowd->count; i++)
        sk_mem_free(crowd->peers[i].links);
    sk_mem_free(crowd->peers);
    sk_mem_free(crowd->present);
    *crowd = (struct sk_crowd){0};
}

/* ---- answers ---- */

static void tell(struct sk_crowd *crowd, uint32_t number, enum sk_source source)
{
    struct sk_crowd_peer *peer = &crowd->peers[number];
    peer->sources |= source;
    if (peer->draws < 2)
        peer->told_s[peer->draws] = crowd->now_s;
    peer->draws++;
}

/* Selection sampling: `most` of those that have it, each set of them as likely as any other. */
static uint32_t tell_some(struct sk_crowd *crowd, enum sk_source source, uint64_t node,
                          uint32_t most)
{
    uint32_t left = 0, told = 0;
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < crowd->config.peers; i++) {
            uint32_t number = crowd->present[i];
            const struct sk_crowd_peer *peer = &crowd->peers[number];
            if (source == SK_SOURCE_TRACKER ? !peer->tracked : !(peer->stored & node))
                continue;
            if (pass == 0) {
                left++;
            } else if (sk_prng_unit(&crowd->prng) * left-- < most - told) {
                tell(crowd, number, source);
                told++;
            }
        }
    }
    return told;
}

uint32_t sk_crowd_ask_tracker(struct sk_crowd *crowd)
{
    return tell_some(crowd, SK_SOURCE_TRACKER, 0, crowd->config.tracker_told);
}

uint32_t sk_crowd_ask_dht(struct sk_crowd *crowd)
{
    uint64_t node = UINT64_C(1) << sk_prng_below(&crowd->prng, crowd->config.dht_nodes);
    return tell_some(crowd, SK_SOURCE_DHT, node, crowd->config.dht_told);
}

uint32_t sk_crowd_ask_peer(struct sk_crowd *crowd, uint32_t teller, uint32_t most)
{
    const struct sk_crowd_peer *peer = &crowd->peers[teller];
    uint32_t told = 0;
    for (uint32_t i = 0; i < peer->links_count && told < most; i++) {
        if (!peer->links[i].told)
            continue;
        tell(crowd, peer->links[i].to, SK_SOURCE_PEX);
        told++;
    }
    return told;
}

void sk_crowd_count(const struct sk_crowd *crowd, struct sk_census *census)
{
    for (size_t i = 0; i < crowd->count; i++) {
        const struct sk_crowd_peer *peer = &crowd->peers[i];
        sk_census_add(census, &(struct sk_census_peer){
                                  .sources = peer->sources,
                                  .told = peer->draws,
                                  .told_s = {peer->told_s[0], peer->told_s[1]},
                                  .reached = peer->connectable && peer->sources,
                                  .left = !peer->present,
                                  .watched_s = (peer->present ? crowd->now_s : peer->left_s) -
                                               peer->told_s[0],
                              });
    }
}
