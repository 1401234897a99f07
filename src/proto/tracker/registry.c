#include "proto/tracker/registry.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/prng.h"

#define SECOND_NS 1000000000ull
#define WANT_DEFAULT 50 /* peers for a client that does not say */

struct peer {
    struct sk_endpoint endpoint;
    struct swarm *swarm;
    bool seed;
    uint32_t slot;     /* in the swarm's array */
    uint64_t heard_ns; /* its latest announce */
    struct sk_link age;
};

struct swarm {
    uint8_t info_hash[20];
    struct sk_map by_endpoint;
    struct peer **peers; /* in no order */
    size_t count, capacity, seeds;
    uint64_t downloads;
};

struct sk_registry {
    struct sk_registry_config config;
    struct sk_prng prng;
    struct sk_map swarms;  /* by info-hash */
    struct sk_map hosts;   /* by struct host: how many peers it has, as a pointer */
    struct sk_link by_age; /* peers of all swarms, the one that was silent longest first */
    size_t peers, seeds;
};

/* Who can be told apart as an owner of addresses: an IPv4 address, or a /64 of IPv6. */
struct host {
    uint8_t net[8];
    uint8_t family;
};

/* ------------------------------------------------------------------- swarms and peers */

static struct host host_of(const struct sk_endpoint *endpoint)
{
    struct host host = {.family = endpoint->family};
    memcpy(host.net, endpoint->addr, endpoint->family == SK_FAMILY_V6 ? 8 : 4);
    return host;
}

static size_t host_peers(const struct sk_registry *registry, const struct host *host)
{
    return (size_t)(uintptr_t)sk_map_get(&registry->hosts, host);
}

/* Cannot fail for a host that is known. */
static int host_count(struct sk_registry *registry, const struct host *host, size_t peers)
{
    if (peers)
        return sk_map_put(&registry->hosts, host, (void *)(uintptr_t)peers);
    sk_map_remove(&registry->hosts, host);
    return 0;
}

static void swarm_free(struct swarm *swarm)
{
    sk_map_deinit(&swarm->by_endpoint);
    sk_mem_free(swarm->peers);
    sk_mem_free(swarm);
}

static void remove_peer(struct sk_registry *registry, struct peer *peer)
{
    struct swarm *swarm = peer->swarm;
    struct peer *last = swarm->peers[--swarm->count];
    struct host host = host_of(&peer->endpoint);
    last->slot = peer->slot;
    swarm->peers[last->slot] = last;
    swarm->seeds -= peer->seed;
    registry->seeds -= peer->seed;
    registry->peers--;
    host_count(registry, &host, host_peers(registry, &host) - 1);
    sk_list_remove(&peer->age);
    sk_map_remove(&swarm->by_endpoint, &peer->endpoint);
    sk_mem_free(peer);
}

static void drop_if_empty(struct sk_registry *registry, struct swarm *swarm)
{
    if (swarm->count)
        return;
    sk_map_remove(&registry->swarms, swarm->info_hash);
    swarm_free(swarm);
}

static void expire(struct sk_registry *registry, uint64_t now_ns)
{
    uint64_t age_ns = 2 * registry->config.interval_s * SECOND_NS;
    struct sk_link *oldest;
    while ((oldest = sk_list_first(&registry->by_age)) != NULL) {
        struct peer *peer = SK_CONTAINER_OF(oldest, struct peer, age);
        struct swarm *swarm = peer->swarm;
        if (now_ns - peer->heard_ns < age_ns)
            return;
        remove_peer(registry, peer);
        drop_if_empty(registry, swarm);
    }
}

static int swarm_make(struct sk_registry *registry, const uint8_t info_hash[20],
                      struct swarm **ret_swarm)
{
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

static int peer_make(struct sk_registry *registry, struct swarm *swarm,
                     const struct sk_endpoint *endpoint, struct peer **ret_peer)
{
    struct host host = host_of(endpoint);
    size_t others = host_peers(registry, &host);
    if (registry->peers >= registry->config.peers_all_max ||
        others >= registry->config.host_peers_max)
        return SKEP_ERR_LIMIT;
    int err = grow(swarm);
    if (err < 0)
        return err;
    struct peer *peer = sk_mem_calloc(1, sizeof *peer);
    if (!peer)
        return SKEP_ERR_NOMEM;
    err = sk_map_put(&swarm->by_endpoint, endpoint, peer);
    if (!err && (err = host_count(registry, &host, others + 1)) < 0)
        sk_map_remove(&swarm->by_endpoint, endpoint);
    if (err < 0) {
        sk_mem_free(peer);
        return err;
    }
    peer->endpoint = *endpoint;
    peer->swarm = swarm;
    peer->slot = (uint32_t)swarm->count;
    swarm->peers[swarm->count++] = peer;
    registry->peers++;
    sk_list_append(&registry->by_age, &peer->age);
    *ret_peer = peer;
    return 0;
}

/* ------------------------------------------------------------------- announces */

/* Writes down what the peer says of itself. */
static int record(struct sk_registry *registry, struct swarm *swarm,
                  const struct sk_tracker_announce *announce, const struct sk_endpoint *endpoint,
                  uint64_t now_ns)
{
    struct peer *peer = sk_map_get(&swarm->by_endpoint, endpoint);
    if (announce->event == SK_TRACKER_STOPPED) {
        if (peer)
            remove_peer(registry, peer);
        return 0;
    }
    if (endpoint->port == 0)
        return 0;
    if (!peer) {
        int err = peer_make(registry, swarm, endpoint, &peer);
        if (err < 0)
            return err;
    }
    bool seed = announce->left == 0;
    if (announce->event == SK_TRACKER_COMPLETED && !peer->seed)
        swarm->downloads++;
    swarm->seeds += (size_t)seed - (size_t)peer->seed;
    registry->seeds += (size_t)seed - (size_t)peer->seed;
    peer->seed = seed;
    peer->heard_ns = now_ns;
    sk_list_move_last(&registry->by_age, &peer->age);
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
    if (registry->config.only && !sk_map_get(registry->config.only, announce->info_hash))
        return SKEP_ERR_NOT_FOUND;
    expire(registry, now_ns);
    struct swarm *swarm = sk_map_get(&registry->swarms, announce->info_hash);
    int err = swarm ? 0 : swarm_make(registry, announce->info_hash, &swarm);
    if (err < 0)
        return err;
    sk_announce_answer_init(&answer);
    err = record(registry, swarm, announce, peer, now_ns);
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
    expire(registry, now_ns);
    struct swarm *swarm = sk_map_get(&registry->swarms, info_hash);
    if (!swarm)
        return answer;
    answer.seeds = (int64_t)swarm->seeds;
    answer.leechers = (int64_t)(swarm->count - swarm->seeds);
    answer.downloads = (int64_t)swarm->downloads;
    return answer;
}

void sk_registry_counts(struct sk_registry *registry, uint64_t now_ns,
                        struct sk_registry_counts *ret_counts)
{
    expire(registry, now_ns);
    *ret_counts = (struct sk_registry_counts){.swarms = registry->swarms.count,
                                              .seeds = registry->seeds,
                                              .leechers = registry->peers - registry->seeds};
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
    registry->config.peers_all_max = or_default(config->peers_all_max, SK_TRACKER_ALL_PEERS_MAX);
    registry->config.host_peers_max = or_default(config->host_peers_max, SK_TRACKER_ALL_PEERS_MAX);
    registry->config.want_max = or_default(config->want_max, 200);
    sk_prng_init(&registry->prng, config->seed);
    sk_map_init(&registry->swarms, 20, registry->config.swarms_max, sk_prng_u64(&registry->prng));
    sk_map_init(&registry->hosts, sizeof(struct host), registry->config.peers_all_max,
                sk_prng_u64(&registry->prng));
    sk_list_init(&registry->by_age);
    *ret_registry = registry;
    return 0;
}

void sk_registry_free(struct sk_registry *registry)
{
    if (!registry)
        return;
    size_t pos = 0;
    struct swarm *swarm;
    while ((swarm = sk_map_next(&registry->swarms, &pos)) != NULL) {
        while (swarm->count)
            remove_peer(registry, swarm->peers[0]);
        swarm_free(swarm);
    }
    sk_map_deinit(&registry->swarms);
    sk_map_deinit(&registry->hosts);
    sk_mem_free(registry);
}
