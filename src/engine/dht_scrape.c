#include "engine/dht_scrape.h"

#include "base/assert.h"
#include "base/mem.h"

#define LEGACY_MAX 4096

static struct sk_dht_filter copy(const uint8_t *bits)
{
    struct sk_dht_filter filter;
    memcpy(filter.bits, bits, sizeof filter.bits);
    return filter;
}

/* Filters that are too full, or lack peers told in the same answer, cannot be true. */
static bool is_sane(const struct sk_krpc *message, const struct sk_dht_filter *seeds,
                    const struct sk_dht_filter *peers)
{
    if (sk_dht_filter_full(seeds) || sk_dht_filter_full(peers))
        return false;
    struct sk_bencode_iter iter = sk_bencode_iter(&message->values);
    struct sk_endpoint peer;
    while (message->has_values && sk_krpc_next_peer(&iter, &peer))
        if (!sk_dht_filter_has(seeds, &peer) && !sk_dht_filter_has(peers, &peer))
            return false;
    return true;
}

static void keep_legacy(struct sk_dht_scrape *scrape, const struct sk_endpoint *peer)
{
    if (scrape->legacy_count == LEGACY_MAX)
        return;
    if (scrape->legacy_count == scrape->legacy_capacity) {
        size_t capacity = scrape->legacy_capacity ? scrape->legacy_capacity * 2 : 64;
        struct sk_endpoint *legacy = sk_mem_realloc(scrape->legacy, capacity, sizeof *legacy);
        if (!legacy)
            return;
        scrape->legacy = legacy;
        scrape->legacy_capacity = capacity;
    }
    scrape->legacy[scrape->legacy_count++] = *peer;
}

void sk_dht_scrape_add(struct sk_dht_scrape *scrape, const struct sk_krpc *message)
{
    if (message->filter_seeds && message->filter_peers) {
        struct sk_dht_filter seeds = copy(message->filter_seeds);
        struct sk_dht_filter peers = copy(message->filter_peers);
        if (is_sane(message, &seeds, &peers)) {
            sk_dht_filter_merge(&scrape->seeds, seeds.bits);
            sk_dht_filter_merge(&scrape->peers, peers.bits);
            scrape->nodes++;
            return;
        }
    }
    if (!message->has_values)
        return;
    struct sk_bencode_iter iter = sk_bencode_iter(&message->values);
    struct sk_endpoint peer;
    while (sk_krpc_next_peer(&iter, &peer))
        keep_legacy(scrape, &peer);
}

void sk_dht_scrape_estimate(const struct sk_dht_scrape *scrape, double *ret_seeds,
                            double *ret_peers)
{
    struct sk_dht_filter peers = scrape->peers;
    for (size_t i = 0; i < scrape->legacy_count; i++)
        if (!sk_dht_filter_has(&scrape->seeds, &scrape->legacy[i]))
            sk_dht_filter_add(&peers, &scrape->legacy[i]);
    bool said = scrape->nodes || scrape->legacy_count;
    *ret_seeds = scrape->nodes ? sk_dht_filter_estimate(&scrape->seeds) : -1;
    *ret_peers = said ? sk_dht_filter_estimate(&peers) : -1;
}

void sk_dht_scrape_deinit(struct sk_dht_scrape *scrape)
{
    sk_mem_free(scrape->legacy);
    *scrape = (struct sk_dht_scrape){0};
}
