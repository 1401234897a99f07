#include "swarm/lab_swarm.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/mem.h"
#include "swarm/lab_conn.h"

#include <stdio.h>

#define PEERS_A_BYTE 250 /* no address ends in 0 or 255 */
#define NETWORK 77       /* 127.77.x.y */

static struct sk_endpoint address_of(uint32_t number, uint16_t port)
{
    uint8_t addr[4] = {127, NETWORK, (uint8_t)(1 + number / PEERS_A_BYTE),
                       (uint8_t)(1 + number % PEERS_A_BYTE)};
    return sk_endpoint_v4(addr, port);
}

struct sk_lab_peer *sk_lab_swarm_at(const struct sk_lab_swarm *swarm,
                                    const struct sk_endpoint *endpoint)
{
    const uint8_t *a = endpoint->addr;
    if (endpoint->family != SK_FAMILY_V4 || a[0] != 127 || a[1] != NETWORK || a[2] == 0 ||
        a[3] == 0 || a[3] > PEERS_A_BYTE)
        return NULL;
    uint32_t number = (a[2] - 1u) * PEERS_A_BYTE + a[3] - 1u;
    return number < swarm->count ? &swarm->peers[number] : NULL;
}

/* ---- making peers ---- */

static double spread(const struct sk_lab_range *range, uint32_t i, uint32_t count)
{
    double part = count > 1 ? (double)i / (count - 1) : 0.5;
    return range->low + (range->high - range->low) * part;
}

/* The pieces in random order. NULL without memory. */
static uint32_t *shuffled(uint32_t pieces, struct sk_prng *prng)
{
    uint32_t *order = sk_mem_alloc(pieces * sizeof *order);
    for (uint32_t i = 0; order && i < pieces; i++) {
        uint32_t j = (uint32_t)sk_prng_below(prng, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    return order;
}

static int hold(struct sk_lab_peer *peer, uint32_t pieces, double share, struct sk_prng *prng)
{
    uint32_t count = (uint32_t)(share * pieces + 0.5);
    uint32_t *order = shuffled(pieces, prng);
    if (!order || sk_bitfield_init(&peer->have, pieces)) {
        sk_mem_free(order);
        return SKEP_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < count; i++)
        sk_bitfield_add(&peer->have, order[pieces - 1 - i]);
    peer->pieces_first = count;
    if (peer->group->behaviour.growth_pieces_s > 0) {
        peer->missing = order;
        peer->missing_count = pieces - count;
    } else {
        sk_mem_free(order);
    }
    return 0;
}

static void name_peer(struct sk_lab_peer *peer, struct sk_prng *prng)
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (size_t i = 0; i < sizeof peer->id; i++)
        peer->id[i] = (uint8_t)letters[sk_prng_below(prng, sizeof letters - 1)];
    memcpy(peer->id, peer->client->id, strlen(peer->client->id));
}

/* The i-th of a group. */
static int make_peer(struct sk_lab_swarm *swarm, const struct sk_lab_group *group, uint32_t i,
                     uint16_t port)
{
    struct sk_lab_peer *peer = &swarm->peers[swarm->count];
    const struct sk_lab_behaviour *b = &group->behaviour;
    *peer = (struct sk_lab_peer){
        .number = swarm->count,
        .place = i,
        .endpoint = address_of(swarm->count, port),
        .group = group,
        .client = group->client,
        .rate_bytes_s = spread(&b->rate_bytes_s, i, group->count),
        .gain_ns = SK_TIME_NEVER,
        .presence = b->trades ? SK_LAB_TO_JOIN : SK_LAB_HERE,
        .up_bytes_s = spread(&b->trade.up_bytes_s, i, group->count),
        .down_bytes_s = spread(&b->trade.down_bytes_s, i, group->count),
        .join_s = spread(&b->trade.join_s, i, group->count),
        .joined_s = -1,
        .left_s = -1,
    };
    for (size_t n = 0; !peer->client && sk_lab_client_at(n); n++)
        if (!sk_lab_client_at(n + 1))
            peer->client = sk_lab_client_at(swarm->count % (n + 1));
    name_peer(peer, &swarm->prng);
    int err = hold(peer, swarm->content.pieces, spread(&b->share, i, group->count), &swarm->prng);
    if (!err && b->trades) {
        uint32_t lacks = swarm->content.pieces - peer->have.set;
        peer->gained_s = sk_mem_calloc(lacks + 1, sizeof *peer->gained_s);
        err = peer->gained_s ? 0 : SKEP_ERR_NOMEM;
        swarm->traders += !err;
    }
    if (err) {
        sk_bitfield_deinit(&peer->have);
        return err;
    }
    if (peer->missing_count)
        peer->gain_ns = swarm->started_ns + (uint64_t)(1e9 / b->growth_pieces_s);
    swarm->count++;
    return 0;
}

static void init_skeys(struct sk_lab_swarm *swarm)
{
    const struct sk_lab_content *c = &swarm->content;
    const uint8_t *hashes[] = {c->torrent.has_v1 ? c->hash_v1 : NULL,
                               c->torrent.has_v2 ? c->hash_v2 : NULL};
    for (size_t i = 0; i < SK_ARRAY_LEN(hashes); i++) {
        if (!hashes[i])
            continue;
        struct sk_peer_skey *skey = &swarm->skeys[swarm->skeys_count++];
        memcpy(skey->info_hash, hashes[i], sizeof skey->info_hash);
        sk_mse_hash_req2(skey->info_hash, skey->req2);
    }
}

static int make_peers(struct sk_lab_swarm *swarm, const struct sk_lab_scenario *scenario,
                      uint16_t port)
{
    uint64_t total = 0, traders = 0;
    for (size_t g = 0; g < scenario->groups_count; g++) {
        const struct sk_lab_group *group = &scenario->groups[g];
        total += group->count;
        traders += group->behaviour.trades ? group->count : 0;
    }
    if (total > SK_LAB_PEERS_MAX || traders > SK_LAB_TRADERS_MAX)
        return SKEP_ERR_LIMIT;
    swarm->peers = sk_mem_calloc(total, sizeof *swarm->peers);
    int err = swarm->peers ? 0 : SKEP_ERR_NOMEM;
    for (size_t g = 0; g < scenario->groups_count; g++)
        for (uint32_t i = 0; i < scenario->groups[g].count && !err; i++)
            err = make_peer(swarm, &scenario->groups[g], i, port);
    return err;
}

int sk_lab_swarm_init(struct sk_lab_swarm *swarm, const struct sk_lab_scenario *scenario,
                      uint16_t port, uint64_t now_ns)
{
    *swarm = (struct sk_lab_swarm){.started_ns = now_ns};
    sk_prng_init(&swarm->prng, scenario->torrent.seed);
    int err = sk_lab_content_init(&swarm->content, &scenario->torrent);
    if (!err) {
        init_skeys(swarm);
        err = make_peers(swarm, scenario, port);
    }
    if (err)
        sk_lab_swarm_deinit(swarm);
    return err;
}

void sk_lab_swarm_deinit(struct sk_lab_swarm *swarm)
{
    for (uint32_t i = 0; swarm->peers && i < swarm->count; i++) {
        struct sk_lab_peer *peer = &swarm->peers[i];
        SK_ASSERT(!peer->conns);
        sk_bitfield_deinit(&peer->have);
        sk_mem_free(peer->missing);
        sk_mem_free(peer->gave.list);
        sk_mem_free(peer->took.list);
        sk_mem_free(peer->gained_s);
    }
    sk_mem_free(swarm->peers);
    sk_lab_content_deinit(&swarm->content);
    *swarm = (struct sk_lab_swarm){0};
}

/* ---- what changes ---- */

void sk_lab_peer_tick(const struct sk_lab_swarm *swarm, struct sk_lab_peer *peer, uint64_t now_ns)
{
    double gap_ns = 1e9 / peer->group->behaviour.growth_pieces_s;
    while (now_ns >= peer->gain_ns) {
        uint32_t piece = peer->missing[--peer->missing_count];
        uint32_t gained = peer->have.set - peer->pieces_first + 1;
        sk_bitfield_add(&peer->have, piece);
        for (struct sk_lab_conn *conn = peer->conns; conn; conn = conn->peer_next)
            sk_lab_conn_gained(conn, piece);
        /* From the start, so that no rounding adds up. */
        peer->gain_ns = peer->missing_count ? swarm->started_ns + (uint64_t)((gained + 1) * gap_ns)
                                            : SK_TIME_NEVER;
    }
}

struct sk_lab_given *sk_lab_account(struct sk_lab_ledger *ledger, const uint8_t peer_id[20])
{
    for (size_t i = 0; i < ledger->count; i++)
        if (memcmp(ledger->list[i].peer_id, peer_id, sizeof ledger->list[i].peer_id) == 0)
            return &ledger->list[i];
    if (ledger->count == SK_LAB_LEDGER_MAX)
        return &ledger->list[SK_LAB_LEDGER_MAX - 1];
    struct sk_lab_given *given = sk_mem_realloc(ledger->list, ledger->count + 1, sizeof *given);
    if (!given)
        return NULL;
    ledger->list = given;
    given += ledger->count++;
    *given = (struct sk_lab_given){0};
    memcpy(given->peer_id, peer_id, sizeof given->peer_id);
    return given;
}

void sk_lab_peer_gained(struct sk_lab_peer *peer, uint32_t piece, double at_s)
{
    if (sk_bitfield_add(&peer->have, piece))
        peer->gained_s[peer->gained_count++] = at_s;
}

/* ---- what is true ---- */

bool sk_lab_peer_readable(const struct sk_lab_peer *peer)
{
    const struct sk_lab_behaviour *b = &peer->group->behaviour;
    return peer->presence != SK_LAB_TO_JOIN && (b->door == SK_LAB_DOOR_OPEN || b->dials) &&
           !b->stranger && !b->broken;
}

uint32_t sk_lab_swarm_pieces_missing(const struct sk_lab_swarm *swarm)
{
    uint32_t missing = 0;
    for (uint32_t piece = 0; piece < swarm->content.pieces; piece++) {
        bool held = false;
        for (uint32_t i = 0; i < swarm->count && !held; i++)
            held = sk_lab_peer_readable(&swarm->peers[i]) &&
                   sk_bitfield_has(&swarm->peers[i].have, piece);
        missing += !held;
    }
    return missing;
}
