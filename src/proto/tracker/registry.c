#include "proto/tracker/registry.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/prng.h"

#define SECOND_NS 1000000000ull
#define WANT_DEFAULT 50 /* peers for a client that does not say */

struct peer {
    struct sk_endpoint endpoint;
    bool seed;
    uint32_t slot;            /* in the swarm's array */
    uint64_t heard_ns;        /* its latest announce */
    struct peer *prev, *next; /* by heard_ns, the oldest first */
};

struct swarm {
    uint8_t info_hash[20];
    struct sk_map by_endpoint;
    struct peer **peers; /* in no order */
    size_t count, capacity, seeds;
    uint64_t downloads;
    struct peer *oldest, *newest;
};

struct sk_registry {
    struct sk_registry_config config;
    struct sk_prng prng;
    struct sk_map swarms; /* by info-hash */
};

/* ------------------------------------------------------------------- swarms and peers */

static void unlink_peer(struct swarm *swarm, struct peer *peer)
{
    *(peer->prev ? &peer->prev->next : &swarm->oldest) = peer->next;
    *(peer->next ? &peer->next->prev : &swarm->newest) = peer->prev;
    peer->prev = peer->next = NULL;
}

static void link_newest(struct swarm *swarm, struct peer *peer)
{
    peer->prev = swarm->newest;
    *(swarm->newest ? &swarm->newest->next : &swarm->oldest) = peer;
    swarm->newest = peer;
}

static void remove_peer(struct swarm *swarm, struct peer *peer)
{
    struct peer *last = swarm->peers[--swarm->count];
    last->slot = peer->slot;
    swarm->peers[last->slot] = last;
    swarm->seeds -= peer->seed;
    unlink_peer(swarm, peer);
    sk_map_remove(&swarm->by_endpoint, &peer->endpoint);
    sk_mem_free(peer);
}

static void swarm_free(struct swarm *swarm)
{
    while (swarm->oldest)
        remove_peer(swarm, swarm->oldest);
    sk_map_deinit(&swarm->by_endpoint);
    sk_mem_free(swarm->peers);
    sk_mem_free(swarm);
}

static void expire(struct sk_registry *registry, struct swarm *swarm, uint64_t now_ns)
{
    uint64_t age_ns = 2 * registry->config.interval_s * SECOND_NS;
    while (swarm->oldest && now_ns - swarm->oldest->heard_ns >= age_ns)
        remove_peer(swarm, swarm->oldest);
}

static void drop_if_empty(struct sk_registry *registry, struct swarm *swarm)
{
    if (swarm->count)
        return;
    sk_map_remove(&registry->swarms, swarm->info_hash);
    swarm_free(swarm);
}

/* The newcomer of a full table may take the place of a swarm that nobody has spoken of in time. */
static void expire_all(struct sk_registry *registry, uint64_t now_ns)
{
    size_t pos = 0;
    struct swarm *swarm;
    while ((swarm = sk_map_next(&registry->swarms, &pos)) != NULL) {
        expire(registry, swarm, now_ns);
        if (swarm->count)
            continue;
        drop_if_empty(registry, swarm);
        pos--; /* another may have moved into its place */
    }
}

static int swarm_make(struct sk_registry *registry, const uint8_t info_hash[20], uint64_t now_ns,
                      struct swarm **ret_swarm)
{
    if (registry->swarms.count >= registry->config.swarms_max)
        expire_all(registry, now_ns);
    struct swarm *swarm = sk_mem_calloc(1, sizeof *swarm);
    if (!swarm)
        return SKEP_ERR_NOMEM;
    memcpy(swarm->info_hash, info_hash, sizeof swarm->info_hash);
    sk_map_init(&swarm->by_endpoint, sizeof(struct sk_endpoint), registry->config.peers_max,
                sk_prng_u64(&registry->prng));
    int err = sk_map_put(&registry->swarms, info_hash, swarm);
    if (err < 0) {
        sk_mem_free(swarm);
        return err;
    }
    *ret_swarm = swarm;
    return 0;
}

static int grow(struct swarm *swarm)
{
    if (swarm->count < swarm->capacity)
        return 0;
    size_t capacity = swarm->capacity ? swarm->capacity * 2 : 8;
    struct peer **peers = sk_mem_realloc(swarm->peers, capacity, sizeof *peers);
    if (!peers)
        return SKEP_ERR_NOMEM;
    swarm->peers = peers;
    swarm->capacity = capacity;
    return 0;
}

static int peer_make(struct swarm *swarm, const struct sk_endpoint *endpoint,
                     struct peer **ret_peer)
{
    int err = grow(swarm);
    if (err < 0)
        return err;
    struct peer *peer = sk_mem_calloc(1, sizeof *peer);
    if (!peer)
        return SKEP_ERR_NOMEM;
    err = sk_map_put(&swarm->by_endpoint, endpoint, peer);
    if (err < 0) {
        sk_mem_free(peer);
        return err;
    }
    peer->endpoint = *endpoint;
    peer->slot = (uint32_t)swarm->count;
    swarm->peers[swarm->count++] = peer;
    link_newest(swarm, peer);
    *ret_peer = peer;
    return 0;
}

/* ------------------------------------------------------------------- announces */

/* Writes down what the peer says of itself. */
static int record(struct swarm *swarm, const struct sk_tracker_announce *announce,
                  const struct sk_endpoint *endpoint, uint64_t now_ns)
{
    struct peer *peer = sk_map_get(&swarm->by_endpoint, endpoint);
    if (announce->event == SK_TRACKER_STOPPED) {
        if (peer)
            remove_peer(swarm, peer);
        return 0;
    }
    if (endpoint->port == 0)
        return 0;
    if (!peer) {
        int err = peer_make(swarm, endpoint, &peer);
        if (err < 0)
            return err;
    }
    bool seed = announce->left == 0;
    if (announce->event == SK_TRACKER_COMPLETED && !peer->seed)
        swarm->downloads++;
    swarm->seeds += (size_t)seed - (size_t)peer->seed;
    peer->seed = seed;
    peer->heard_ns = now_ns;
    unlink_peer(swarm, peer);
    link_newest(swarm, peer);
    return 0;
}

static void swap(struct swarm *swarm, size_t a, size_t b)
{
    struct peer *peer = swarm->peers[a];
    swarm->peers[a] = swarm->peers[b];
    swarm->peers[b] = peer;
    swarm->peers[a]->slot = (uint32_t)a;
    swarm->peers[b]->slot = (uint32_t)b;
}

/* Others, drawn without repetition: the array is shuffled as far as needed. */
static int draw(struct sk_registry *registry, struct swarm *swarm, size_t want,
                const struct sk_endpoint *asking, enum sk_family family,
                struct sk_announce_answer *answer)
{
    int room = sk_announce_answer_reserve(answer, SK_MIN(want, swarm->count));
    if (room < 0)
        return room;
    for (size_t i = 0; i < swarm->count && answer->peers_count < (size_t)room; i++) {
        swap(swarm, i, i + sk_prng_below(&registry->prng, swarm->count - i));
        const struct sk_endpoint *other = &swarm->peers[i]->endpoint;
        if ((family == SK_FAMILY_NONE || other->family == family) &&
            !sk_endpoint_equal(other, asking))
            answer->peers[answer->peers_count++] = *other;
    }
    return 0;
}

static size_t wanted(const struct sk_registry *registry, const struct sk_tracker_announce *announce)
{
    size_t want = announce->want < 0 ? WANT_DEFAULT : (size_t)announce->want;
    want = SK_MIN(want, (size_t)registry->config.want_max);
    return announce->event == SK_TRACKER_STOPPED ? 0 : want;
}

int sk_registry_announce(struct sk_registry *registry, const struct sk_tracker_announce *announce,
                         const struct sk_endpoint *peer, enum sk_family family, uint64_t now_ns,
                         struct sk_announce_answer *ret_answer)
{
    struct sk_announce_answer answer;
    struct swarm *swarm = sk_map_get(&registry->swarms, announce->info_hash);
    int err = swarm ? 0 : swarm_make(registry, announce->info_hash, now_ns, &swarm);
    if (err < 0)
        return err;
    sk_announce_answer_init(&answer);
    expire(registry, swarm, now_ns);
    err = record(swarm, announce, peer, now_ns);
    if (!err)
        err = draw(registry, swarm, wanted(registry, announce), peer, family, &answer);
    answer.interval_s = registry->config.interval_s;
    answer.min_interval_s = registry->config.min_interval_s;
    answer.seeds = (int64_t)swarm->seeds;
    answer.leechers = (int64_t)(swarm->count - swarm->seeds);
    answer.downloads = (int64_t)swarm->downloads;
    drop_if_empty(registry, swarm);
    if (err < 0) {
        sk_announce_answer_deinit(&answer);
        return err;
    }
    *ret_answer = answer;
    return 0;
}

struct sk_scrape_answer sk_registry_scrape(struct sk_registry *registry,
                                           const uint8_t info_hash[20], uint64_t now_ns)
{
    struct sk_scrape_answer answer = {0};
    struct swarm *swarm = sk_map_get(&registry->swarms, info_hash);
    if (!swarm)
        return answer;
    expire(registry, swarm, now_ns);
    answer.seeds = (int64_t)swarm->seeds;
    answer.leechers = (int64_t)(swarm->count - swarm->seeds);
    answer.downloads = (int64_t)swarm->downloads;
    drop_if_empty(registry, swarm);
    return answer;
}

/* ------------------------------------------------------------------- life */

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value ? value : otherwise;
}

int sk_registry_new(const struct sk_registry_config *config, struct sk_registry **ret_registry)
{
    struct sk_registry *registry = sk_mem_calloc(1, sizeof *registry);
    if (!registry)
        return SKEP_ERR_NOMEM;
    registry->config = *config;
    registry->config.interval_s = or_default(config->interval_s, 1800);
    registry->config.swarms_max = or_default(config->swarms_max, 1000);
    registry->config.peers_max = or_default(config->peers_max, SK_TRACKER_PEERS_MAX);
    registry->config.want_max = or_default(config->want_max, 200);
    sk_prng_init(&registry->prng, config->seed);
    sk_map_init(&registry->swarms, 20, registry->config.swarms_max, sk_prng_u64(&registry->prng));
    *ret_registry = registry;
    return 0;
}

void sk_registry_free(struct sk_registry *registry)
{
    if (!registry)
        return;
    size_t pos = 0;
    struct swarm *swarm;
    while ((swarm = sk_map_next(&registry->swarms, &pos)) != NULL)
        swarm_free(swarm);
    sk_map_deinit(&registry->swarms);
    sk_mem_free(registry);
}
