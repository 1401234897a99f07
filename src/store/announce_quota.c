#include "store/announce_quota.h"

#include <skep/err.h>

#include "base/limits.h"
#include "base/mem.h"

#include <string.h>

/* What one may still write. */
struct allowance {
    uint32_t tag; /* of its hash, the rest of which is its place */
    float rows;   /* at at_ns */
    uint64_t at_ns;
};

struct table {
    struct allowance *list;
    uint32_t count; /* a power of two */
    float most;
    double rate; /* rows a second */
};

struct sk_announce_quota {
    uint8_t key[SK_SIPHASH_KEY_SIZE];
    struct table networks, clients;
};

struct who {
    uint8_t network[8]; /* family, then the address's first bytes */
    uint8_t info_hash[20], peer_id[20];
};
_Static_assert(sizeof(struct who) % 8 == 0, "as sk_siphash() wants it");

static int init(struct table *table, uint32_t count, double most, double rate)
{
    *table = (struct table){sk_mem_calloc(count, sizeof *table->list), count, (float)most, rate};
    for (uint32_t i = 0; table->list && i < count; i++)
        table->list[i].rows = table->most;
    return table->list ? 0 : SKEP_ERR_NOMEM;
}

int sk_announce_quota_new(uint32_t interval_s, uint32_t min_interval_s,
                          const uint8_t key[SK_SIPHASH_KEY_SIZE],
                          struct sk_announce_quota **ret_quota)
{
    struct sk_announce_quota *quota = sk_mem_calloc(1, sizeof *quota);
    if (!quota)
        return SKEP_ERR_NOMEM;
    memcpy(quota->key, key, sizeof quota->key);
    int err = init(&quota->networks, SK_QUOTA_NETWORKS, SK_QUOTA_NETWORK_CLIENTS,
                   (double)SK_QUOTA_NETWORK_CLIENTS / interval_s);
    if (!err)
        err = init(&quota->clients, SK_QUOTA_CLIENTS, SK_QUOTA_CLIENT_ROWS, 2.0 / min_interval_s);
    if (err)
        sk_announce_quota_free(quota);
    else
        *ret_quota = quota;
    return err;
}

void sk_announce_quota_free(struct sk_announce_quota *quota)
{
    if (!quota)
        return;
    sk_mem_free(quota->networks.list);
    sk_mem_free(quota->clients.list);
    sk_mem_free(quota);
}

static void refill(const struct table *table, struct allowance *allowance, uint64_t now_ns)
{
    double elapsed_s = (double)(now_ns - allowance->at_ns) / 1e9;
    double rows = allowance->rows + elapsed_s * table->rate;
    allowance->rows = rows < table->most ? (float)rows : table->most;
    allowance->at_ns = now_ns;
}

/* Its own, or one that nobody needs now, or a stranger's. */
static struct allowance *find(const struct table *table, uint64_t hash, uint64_t now_ns)
{
    uint32_t tag = (uint32_t)(hash >> 32);
    struct allowance *first = &table->list[hash & (table->count - 1)], *unused = NULL;
    struct allowance *places[] = {first, &table->list[(hash & (table->count - 1)) ^ 1]};
    for (int i = 0; i < 2; i++) {
        refill(table, places[i], now_ns);
        if (places[i]->tag == tag)
            return places[i];
        if (!unused && places[i]->rows == table->most)
            unused = places[i];
    }
    if (unused)
        unused->tag = tag;
    return unused ? unused : first;
}

bool sk_announce_quota_take(struct sk_announce_quota *quota, const struct sk_announce *announce,
                            uint64_t now_ns)
{
    const struct sk_endpoint *endpoint = &announce->endpoint;
    struct who who = {.network = {(uint8_t)endpoint->family}};
    memcpy(who.network + 1, endpoint->addr, endpoint->family == SK_FAMILY_V6 ? 6 : 4);
    memcpy(who.info_hash, announce->info_hash, sizeof who.info_hash);
    memcpy(who.peer_id, announce->peer_id, sizeof who.peer_id);
    struct allowance *network =
        find(&quota->networks, sk_siphash(quota->key, who.network, sizeof who.network), now_ns);
    struct allowance *client =
        find(&quota->clients, sk_siphash(quota->key, (const uint8_t *)&who, sizeof who), now_ns);
    if (network->rows < 1 || client->rows < 1)
        return false;
    network->rows--;
    client->rows--;
    return true;
}
