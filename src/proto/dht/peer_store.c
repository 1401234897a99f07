#include "proto/dht/peer_store.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "proto/dht/owner.h"

#define SECOND_NS 1000000000ull
#define PEER_NS (30 * 60 * SECOND_NS) /* from an announce to its end */
#define SAMPLE_MAX 50                 /* hashes: what fits into a datagram */
#define FILTERS_FROM 32               /* peers: filters of fewer are made when asked for */

/*
 * A swarm has peers; those of one owner form a share, so that their number can be bounded and the
 * oldest found. Peers, and swarms for who announced them first, lie in lists by age, oldest first:
 * each new announce puts them at the end.
 */
struct owner {
    uint8_t key[SK_DHT_OWNER_KEY_SIZE];
    struct sk_link peers, swarms;
    uint32_t peers_count, swarms_count;
    struct sk_timer by_peers, by_swarms; /* at_ns is a rank, see owner.h */
};

/* Peers of one family that seed, or that do not; in no order. */
struct group {
    struct peer **items;
    uint32_t count, capacity;
};

struct filters {
    struct sk_dht_filter peers_or_seeds[2];
    bool stale[2]; /* a peer left: bits cannot be taken back */
};

struct swarm {
    uint8_t info_hash[SK_DHT_ID_SIZE];
    struct owner *creator;
    struct sk_link of_creator;
    uint64_t end_ns;
    struct group groups[2][2]; /* IPv6, seed */
    struct filters *filters;   /* NULL in small swarms */
};

struct share_key {
    struct swarm *swarm;
    struct owner *owner;
};

struct share {
    struct share_key key;
    struct sk_link peers;
    uint32_t count;
};

struct peer {
    struct share *share;
    struct sk_link by_age, of_owner, of_share;
    uint64_t end_ns;
    struct sk_endpoint endpoint;
    uint32_t bits; /* in filters */
    uint32_t slot; /* in its group */
    bool seed;
};

struct sk_dht_peer_store {
    struct sk_prng *prng;
    struct sk_map swarms, owners, shares;
    struct sk_heap by_peers, by_swarms; /* owners */
    struct sk_link peers;
    uint32_t peers_count;
    size_t bytes; /* of groups and filters */
    uint8_t (*sample)[SK_DHT_ID_SIZE];
    uint32_t sample_count;
    uint64_t sample_end_ns;
};

int sk_dht_peer_store_new(struct sk_prng *prng, struct sk_dht_peer_store **ret_store)
{
    struct sk_dht_peer_store *store = sk_mem_calloc(1, sizeof *store);
    if (!store)
        return SKEP_ERR_NOMEM;
    store->prng = prng;
    /* One more than is kept: room is made when the new is in. */
    sk_map_init(&store->swarms, SK_DHT_ID_SIZE, SK_DHT_STORE_HASHES_MAX + 1, sk_prng_u64(prng));
    sk_map_init(&store->owners, SK_DHT_OWNER_KEY_SIZE,
                SK_DHT_STORE_PEERS_MAX + SK_DHT_STORE_HASHES_MAX + 2, sk_prng_u64(prng));
    sk_map_init(&store->shares, sizeof(struct share_key), SK_DHT_STORE_PEERS_MAX + 1,
                sk_prng_u64(prng));
    sk_list_init(&store->peers);
    *ret_store = store;
    return 0;
}

static struct swarm *find_swarm(const struct sk_dht_peer_store *store,
                                const uint8_t info_hash[SK_DHT_ID_SIZE])
{
    return sk_map_get(&store->swarms, info_hash);
}

static uint32_t swarm_size(const struct swarm *swarm)
{
    return swarm->groups[0][0].count + swarm->groups[0][1].count + swarm->groups[1][0].count +
           swarm->groups[1][1].count;
}

static struct group *group_of(struct swarm *swarm, const struct sk_endpoint *endpoint, bool seed)
{
    return &swarm->groups[endpoint->family == SK_FAMILY_V6][seed];
}

static struct peer *oldest_of_owner(const struct owner *owner)
{
    struct sk_link *link = sk_list_first(&owner->peers);
    return link ? SK_CONTAINER_OF(link, struct peer, of_owner) : NULL;
}

static struct swarm *oldest_swarm(const struct owner *owner)
{
    struct sk_link *link = sk_list_first(&owner->swarms);
    return link ? SK_CONTAINER_OF(link, struct swarm, of_creator) : NULL;
}

/* Owners are in both heaps as long as they live: moving one needs no memory. */
static int rank(struct sk_dht_peer_store *store, struct owner *owner)
{
    const struct peer *peer = oldest_of_owner(owner);
    const struct swarm *swarm = oldest_swarm(owner);
    int err = sk_heap_set(&store->by_peers, &owner->by_peers,
                          sk_dht_owner_rank(owner->peers_count, peer ? peer->end_ns : 0));
    if (!err)
        err = sk_heap_set(&store->by_swarms, &owner->by_swarms,
                          sk_dht_owner_rank(owner->swarms_count, swarm ? swarm->end_ns : 0));
    return err;
}

/*
 * Groups.
 */

/* Room for one more. */
static int group_reserve(struct sk_dht_peer_store *store, struct group *group)
{
    if (group->count < group->capacity)
        return 0;
    uint32_t capacity = group->capacity ? group->capacity * 2 : 1;
    struct peer **items = sk_mem_realloc(group->items, capacity, sizeof(struct peer *));
    if (!items)
        return SKEP_ERR_NOMEM;
    store->bytes += (capacity - group->capacity) * sizeof(struct peer *);
    group->items = items;
    group->capacity = capacity;
    return 0;
}

static void group_add(struct group *group, struct peer *peer)
{
    peer->slot = group->count;
    group->items[group->count++] = peer;
}

static void group_remove(struct group *group, const struct peer *peer)
{
    struct peer *last = group->items[--group->count];
    group->items[peer->slot] = last;
    last->slot = peer->slot;
}

static void group_swap(struct group *group, uint32_t a, uint32_t b)
{
    struct peer *first = group->items[a];
    group->items[a] = group->items[b];
    group->items[b] = first;
    group->items[a]->slot = a;
    group->items[b]->slot = b;
}

/*
 * Filters.
 */

static void fill_filter(struct swarm *swarm, bool seed, struct sk_dht_filter *ret_filter)
{
    memset(ret_filter, 0, sizeof *ret_filter);
    for (size_t v6 = 0; v6 < 2; v6++) {
        const struct group *group = &swarm->groups[v6][seed];
        for (uint32_t i = 0; i < group->count; i++)
            sk_dht_filter_set(ret_filter, group->items[i]->bits);
    }
}

/* A peer has come into a group. Without memory the filters are made when asked for. */
static void filter_add(struct sk_dht_peer_store *store, struct swarm *swarm,
                       const struct peer *peer)
{
    if (!swarm->filters && swarm_size(swarm) >= FILTERS_FROM) {
        swarm->filters = sk_mem_alloc(sizeof *swarm->filters);
        if (swarm->filters) {
            swarm->filters->stale[0] = swarm->filters->stale[1] = true;
            store->bytes += sizeof *swarm->filters;
        }
    } else if (swarm->filters) {
        sk_dht_filter_set(&swarm->filters->peers_or_seeds[peer->seed], peer->bits);
    }
}

static void filter_remove(struct swarm *swarm, const struct peer *peer)
{
    if (swarm->filters)
        swarm->filters->stale[peer->seed] = true;
}

static void get_filter(struct swarm *swarm, bool seed, struct sk_dht_filter *ret_filter)
{
    if (!swarm->filters) {
        fill_filter(swarm, seed, ret_filter);
        return;
    }
    struct sk_dht_filter *kept = &swarm->filters->peers_or_seeds[seed];
    if (swarm->filters->stale[seed])
        fill_filter(swarm, seed, kept);
    swarm->filters->stale[seed] = false;
    *ret_filter = *kept;
}

bool sk_dht_peer_store_filters(const struct sk_dht_peer_store *store,
                               const uint8_t info_hash[SK_DHT_ID_SIZE],
                               struct sk_dht_filter *ret_seeds, struct sk_dht_filter *ret_peers)
{
    struct swarm *swarm = find_swarm(store, info_hash);
    if (!swarm)
        return false;
    get_filter(swarm, true, ret_seeds);
    get_filter(swarm, false, ret_peers);
    return true;
}

/*
 * Removing. What holds nothing any more goes with it.
 */

static void drop_empty_share(struct sk_dht_peer_store *store, struct share *share)
{
    if (share->count)
        return;
    sk_map_remove(&store->shares, &share->key);
    sk_mem_free(share);
}

static void drop_empty_owner(struct sk_dht_peer_store *store, struct owner *owner)
{
    if (owner->peers_count || owner->swarms_count)
        return;
    sk_heap_remove(&store->by_peers, &owner->by_peers);
    sk_heap_remove(&store->by_swarms, &owner->by_swarms);
    sk_map_remove(&store->owners, owner->key);
    sk_mem_free(owner);
}

static void free_swarm(struct sk_dht_peer_store *store, struct swarm *swarm)
{
    for (size_t v6 = 0; v6 < 2; v6++)
        for (size_t seed = 0; seed < 2; seed++) {
            store->bytes -= swarm->groups[v6][seed].capacity * sizeof(struct peer *);
            sk_mem_free(swarm->groups[v6][seed].items);
        }
    store->bytes -= swarm->filters ? sizeof *swarm->filters : 0;
    sk_mem_free(swarm->filters);
    sk_mem_free(swarm);
}

/* Its creator then may be empty, too. */
static void drop_empty_swarm(struct sk_dht_peer_store *store, struct swarm *swarm)
{
    struct owner *creator = swarm->creator;
    if (swarm_size(swarm))
        return;
    sk_map_remove(&store->swarms, swarm->info_hash);
    sk_list_remove(&swarm->of_creator);
    creator->swarms_count--;
    rank(store, creator);
    free_swarm(store, swarm);
    drop_empty_owner(store, creator);
}

static void remove_peer(struct sk_dht_peer_store *store, struct peer *peer)
{
    struct share *share = peer->share;
    struct swarm *swarm = share->key.swarm;
    struct owner *owner = share->key.owner;
    sk_list_remove(&peer->by_age);
    sk_list_remove(&peer->of_owner);
    sk_list_remove(&peer->of_share);
    group_remove(group_of(swarm, &peer->endpoint, peer->seed), peer);
    filter_remove(swarm, peer);
    share->count--;
    owner->peers_count--;
    store->peers_count--;
    sk_mem_free(peer);
    rank(store, owner);
    drop_empty_share(store, share);
    bool created = owner->swarms_count > 0; /* then it goes, at the latest, with its last swarm */
    drop_empty_swarm(store, swarm);
    if (!created)
        drop_empty_owner(store, owner);
}

static void remove_swarm(struct sk_dht_peer_store *store, struct swarm *swarm)
{
    for (uint32_t left = swarm_size(swarm); left; left--) {
        struct group *group = &swarm->groups[0][0]; /* four in a row */
        while (!group->count)
            group++;
        remove_peer(store, group->items[group->count - 1]);
    }
}

void sk_dht_peer_store_free(struct sk_dht_peer_store *store)
{
    struct sk_link *link;
    if (!store)
        return;
    while ((link = sk_list_first(&store->peers)))
        remove_peer(store, SK_CONTAINER_OF(link, struct peer, by_age));
    sk_map_deinit(&store->swarms);
    sk_map_deinit(&store->owners);
    sk_map_deinit(&store->shares);
    sk_heap_deinit(&store->by_peers);
    sk_heap_deinit(&store->by_swarms);
    sk_mem_free(store->sample);
    sk_mem_free(store);
}

uint64_t sk_dht_peer_store_expire(struct sk_dht_peer_store *store, uint64_t now_ns)
{
    struct sk_link *link;
    while ((link = sk_list_first(&store->peers))) {
        struct peer *peer = SK_CONTAINER_OF(link, struct peer, by_age);
        if (peer->end_ns > now_ns)
            return peer->end_ns;
        remove_peer(store, peer);
    }
    return SK_TIME_NEVER;
}

/*
 * Adding.
 */

static struct owner *get_owner(struct sk_dht_peer_store *store, const struct sk_endpoint *endpoint)
{
    uint8_t key[SK_DHT_OWNER_KEY_SIZE];
    sk_dht_owner_key(endpoint, key);
    struct owner *owner = sk_map_get(&store->owners, key);
    if (owner)
        return owner;
    owner = sk_mem_calloc(1, sizeof *owner);
    if (!owner)
        return NULL;
    memcpy(owner->key, key, sizeof owner->key);
    sk_list_init(&owner->peers);
    sk_list_init(&owner->swarms);
    if (sk_map_put(&store->owners, key, owner) == 0 && rank(store, owner) == 0)
        return owner;
    drop_empty_owner(store, owner);
    return NULL;
}

static struct swarm *get_swarm(struct sk_dht_peer_store *store,
                               const uint8_t info_hash[SK_DHT_ID_SIZE], struct owner *creator)
{
    struct swarm *swarm = find_swarm(store, info_hash);
    if (swarm)
        return swarm;
    swarm = sk_mem_calloc(1, sizeof *swarm);
    if (!swarm || sk_map_put(&store->swarms, info_hash, swarm)) {
        sk_mem_free(swarm);
        return NULL;
    }
    memcpy(swarm->info_hash, info_hash, SK_DHT_ID_SIZE);
    swarm->creator = creator;
    sk_list_append(&creator->swarms, &swarm->of_creator);
    creator->swarms_count++;
    return swarm;
}

static struct share *get_share(struct sk_dht_peer_store *store, struct swarm *swarm,
                               struct owner *owner)
{
    struct share_key key = {.swarm = swarm, .owner = owner};
    struct share *share = sk_map_get(&store->shares, &key);
    if (share)
        return share;
    share = sk_mem_calloc(1, sizeof *share);
    if (!share || sk_map_put(&store->shares, &key, share)) {
        sk_mem_free(share);
        return NULL;
    }
    share->key = key;
    sk_list_init(&share->peers);
    return share;
}

static struct peer *new_peer(struct sk_dht_peer_store *store, struct share *share,
                             const struct sk_endpoint *endpoint, bool seed)
{
    struct swarm *swarm = share->key.swarm;
    struct group *group = group_of(swarm, endpoint, seed);
    struct peer *peer = group_reserve(store, group) ? NULL : sk_mem_calloc(1, sizeof *peer);
    if (!peer)
        return NULL;
    peer->share = share;
    peer->endpoint = *endpoint;
    peer->bits = sk_dht_filter_bits(endpoint);
    peer->seed = seed;
    group_add(group, peer);
    filter_add(store, swarm, peer);
    sk_list_append(&store->peers, &peer->by_age);
    sk_list_append(&share->key.owner->peers, &peer->of_owner);
    sk_list_append(&share->peers, &peer->of_share);
    share->count++;
    share->key.owner->peers_count++;
    store->peers_count++;
    return peer;
}

static struct peer *insert(struct sk_dht_peer_store *store, const uint8_t info_hash[SK_DHT_ID_SIZE],
                           const struct sk_endpoint *endpoint, bool seed)
{
    struct owner *owner = get_owner(store, endpoint);
    struct swarm *swarm = owner ? get_swarm(store, info_hash, owner) : NULL;
    struct share *share = swarm ? get_share(store, swarm, owner) : NULL;
    struct peer *peer = share ? new_peer(store, share, endpoint, seed) : NULL;
    if (peer)
        return peer;
    if (share)
        drop_empty_share(store, share);
    if (swarm && !swarm_size(swarm))
        drop_empty_swarm(store, swarm); /* we are its creator, and go with it */
    else if (owner)
        drop_empty_owner(store, owner);
    return NULL;
}

/* The announce counts from now on. */
static void touch(struct sk_dht_peer_store *store, struct peer *peer, uint64_t now_ns)
{
    struct swarm *swarm = peer->share->key.swarm;
    struct owner *owner = peer->share->key.owner;
    peer->end_ns = swarm->end_ns = now_ns + PEER_NS;
    sk_list_move_last(&store->peers, &peer->by_age);
    sk_list_move_last(&owner->peers, &peer->of_owner);
    sk_list_move_last(&peer->share->peers, &peer->of_share);
    sk_list_move_last(&swarm->creator->swarms, &swarm->of_creator);
    rank(store, owner);
    rank(store, swarm->creator);
}

static int set_seed(struct sk_dht_peer_store *store, struct peer *peer, bool seed)
{
    struct swarm *swarm = peer->share->key.swarm;
    struct group *group = group_of(swarm, &peer->endpoint, seed);
    if (peer->seed == seed)
        return 0;
    int err = group_reserve(store, group);
    if (err)
        return err;
    group_remove(group_of(swarm, &peer->endpoint, peer->seed), peer);
    filter_remove(swarm, peer);
    peer->seed = seed;
    group_add(group, peer);
    filter_add(store, swarm, peer);
    return 0;
}

static struct peer *find_peer(const struct sk_dht_peer_store *store, struct swarm *swarm,
                              const struct sk_endpoint *endpoint)
{
    uint8_t key[SK_DHT_OWNER_KEY_SIZE];
    sk_dht_owner_key(endpoint, key);
    struct share_key share_key = {.swarm = swarm, .owner = sk_map_get(&store->owners, key)};
    const struct share *share = sk_map_get(&store->shares, &share_key);
    if (!share)
        return NULL;
    for (struct sk_link *link = sk_list_first(&share->peers); link;
         link = sk_list_next(&share->peers, link)) {
        struct peer *peer = SK_CONTAINER_OF(link, struct peer, of_share);
        if (sk_endpoint_equal(&peer->endpoint, endpoint))
            return peer;
    }
    return NULL;
}

/* Room is made for what has just come in: it is the newest, and so never what goes. */
static void make_room(struct sk_dht_peer_store *store, struct share *share)
{
    struct owner *owner = share->key.owner;
    if (share->count > SK_DHT_STORE_PORTS_MAX)
        remove_peer(store, SK_CONTAINER_OF(sk_list_first(&share->peers), struct peer, of_share));
    if (owner->peers_count > SK_DHT_STORE_ADDRESS_PEERS_MAX)
        remove_peer(store, oldest_of_owner(owner));
    if (owner->swarms_count > SK_DHT_STORE_ADDRESS_HASHES_MAX)
        remove_swarm(store, oldest_swarm(owner));
    if (store->peers_count > SK_DHT_STORE_PEERS_MAX) {
        owner = SK_CONTAINER_OF(sk_heap_first(&store->by_peers), struct owner, by_peers);
        remove_peer(store, oldest_of_owner(owner));
    }
    if (store->swarms.count > SK_DHT_STORE_HASHES_MAX) {
        owner = SK_CONTAINER_OF(sk_heap_first(&store->by_swarms), struct owner, by_swarms);
        remove_swarm(store, oldest_swarm(owner));
    }
}

int sk_dht_peer_store_add(struct sk_dht_peer_store *store, const uint8_t info_hash[SK_DHT_ID_SIZE],
                          const struct sk_endpoint *endpoint, bool seed, uint64_t now_ns)
{
    if (endpoint->family == SK_FAMILY_NONE || !endpoint->port)
        return SKEP_ERR_INVALID;
    struct swarm *swarm = find_swarm(store, info_hash);
    struct peer *peer = swarm ? find_peer(store, swarm, endpoint) : NULL;
    if (peer) {
        int err = set_seed(store, peer, seed);
        if (!err)
            touch(store, peer, now_ns);
        return err;
    }
    if (!sk_dht_peer_store_takes(store, info_hash))
        return SKEP_ERR_LIMIT;
    peer = insert(store, info_hash, endpoint, seed);
    if (!peer)
        return SKEP_ERR_NOMEM;
    touch(store, peer, now_ns);
    make_room(store, peer->share);
    return 0;
}

/*
 * Answering.
 */

bool sk_dht_peer_store_takes(const struct sk_dht_peer_store *store,
                             const uint8_t info_hash[SK_DHT_ID_SIZE])
{
    const struct swarm *swarm = find_swarm(store, info_hash);
    return !swarm || swarm_size(swarm) < SK_DHT_STORE_HASH_PEERS_MAX;
}

size_t sk_dht_peer_store_sample(const struct sk_dht_peer_store *store,
                                const uint8_t info_hash[SK_DHT_ID_SIZE], enum sk_family family,
                                bool no_seed, uint64_t now_ns, struct sk_endpoint *ret_peers,
                                size_t max)
{
    struct swarm *swarm = find_swarm(store, info_hash);
    size_t count = 0;
    if (!swarm)
        return 0;
    /* Those chosen are brought to the front of their group: no other memory is needed. */
    struct group *groups = swarm->groups[family == SK_FAMILY_V6];
    uint32_t chosen[2] = {0};
    while (count < max) {
        uint32_t others = groups[false].count - chosen[false];
        uint32_t seeds = groups[true].count - chosen[true];
        if (!others && !seeds)
            break;
        uint32_t from = no_seed && others ? others : others + seeds;
        uint32_t draw = (uint32_t)sk_prng_below(store->prng, from);
        bool seed = draw >= others;
        struct group *group = &groups[seed];
        uint32_t first = chosen[seed]++;
        group_swap(group, first, first + (seed ? draw - others : draw));
        if (group->items[first]->end_ns > now_ns)
            ret_peers[count++] = group->items[first]->endpoint;
    }
    return count;
}

/* Each set of hashes is equally likely (a reservoir), in any order, so that its beginning is a
 * sample as well. */
static void draw_sample(struct sk_dht_peer_store *store)
{
    const struct swarm *swarm;
    size_t pos = 0, seen = 0;
    while ((swarm = sk_map_next(&store->swarms, &pos))) {
        size_t at = sk_prng_below(store->prng, seen + 1);
        if (seen < SAMPLE_MAX && at != seen)
            memcpy(store->sample[seen], store->sample[at], SK_DHT_ID_SIZE);
        if (at < SAMPLE_MAX)
            memcpy(store->sample[at], swarm->info_hash, SK_DHT_ID_SIZE);
        seen++;
    }
    store->sample_count = (uint32_t)SK_MIN(seen, (size_t)SAMPLE_MAX);
}

/* A sample that has room for what is new is no sample: it is all there is, and stays so. */
static bool is_sample_over(const struct sk_dht_peer_store *store, uint64_t now_ns)
{
    return now_ns >= store->sample_end_ns ||
           (store->sample_count < SAMPLE_MAX && store->sample_count < store->swarms.count);
}

size_t sk_dht_peer_store_hashes(struct sk_dht_peer_store *store, uint64_t now_ns,
                                uint8_t *ret_hashes, size_t max, uint32_t *ret_num,
                                uint32_t *ret_interval_s)
{
    size_t n = 0;
    if (!store->sample)
        store->sample = sk_mem_alloc(SAMPLE_MAX * sizeof *store->sample);
    if (store->sample && is_sample_over(store, now_ns)) {
        draw_sample(store);
        store->sample_end_ns = now_ns + SK_DHT_SAMPLE_INTERVAL_S * SECOND_NS;
    }
    for (uint32_t i = 0; i < store->sample_count && n + SK_DHT_ID_SIZE <= max; i++)
        if (find_swarm(store, store->sample[i])) { /* else it has gone meanwhile */
            memcpy(ret_hashes + n, store->sample[i], SK_DHT_ID_SIZE);
            n += SK_DHT_ID_SIZE;
        }
    *ret_num = (uint32_t)store->swarms.count;
    *ret_interval_s = store->sample
                          ? (uint32_t)((store->sample_end_ns - now_ns + SECOND_NS - 1) / SECOND_NS)
                          : SK_DHT_SAMPLE_INTERVAL_S;
    return n;
}

static size_t map_bytes(const struct sk_map *map)
{
    return map->capacity * (sizeof(void *) + (map->key_size + 7) / 8 * 8);
}

void sk_dht_peer_store_count(const struct sk_dht_peer_store *store, uint32_t *ret_hashes,
                             uint32_t *ret_peers, size_t *ret_bytes)
{
    *ret_hashes = (uint32_t)store->swarms.count;
    *ret_peers = store->peers_count;
    *ret_bytes = sizeof *store + store->bytes + store->peers_count * sizeof(struct peer) +
                 store->swarms.count * sizeof(struct swarm) +
                 store->owners.count * sizeof(struct owner) +
                 store->shares.count * sizeof(struct share) + map_bytes(&store->swarms) +
                 map_bytes(&store->owners) + map_bytes(&store->shares) +
                 (store->by_peers.capacity + store->by_swarms.capacity) * sizeof(void *) +
                 (store->sample ? SAMPLE_MAX * sizeof *store->sample : 0);
}
