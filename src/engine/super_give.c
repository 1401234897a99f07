/*
 * Super-seeding (BEP 16): swarm/superseed.h decides which pieces a peer is told of, this tells it
 * what happens and sends the messages.
 */
#include "engine/internal.h"

static void carry_out(struct skep_torrent *torrent)
{
    void *owner;
    uint32_t piece;
    while (sk_superseed_next(torrent->superseed, &owner, &piece)) {
        struct skep_peer *peer = owner;
        (void)sk_peer_send_have(peer->session, piece);
        sk_conn_touch(peer);
    }
}

bool sk_super_give_on(const struct skep_torrent *torrent)
{
    return torrent->engine->config.super_seed;
}

static bool start(struct skep_torrent *torrent)
{
    return torrent->superseed ||
           (torrent->metainfo &&
            !sk_superseed_new(&torrent->stored, sk_prng_u64(&torrent->engine->prng),
                              &torrent->superseed));
}

void sk_super_give_closed(struct skep_peer *peer)
{
    if (!peer->super)
        return;
    sk_superseed_remove(peer->torrent->superseed, peer->super);
    peer->super = NULL;
    if (peer->torrent->state == SK_TORRENT_RUNNING)
        carry_out(peer->torrent);
}

void sk_super_give_told(struct skep_peer *peer)
{
    struct skep_torrent *torrent = peer->torrent;
    const struct sk_peer_view *view = sk_peer_view(peer->session);
    if (!sk_super_give_on(torrent) || (view->fast && !view->has_bitfield) || !start(torrent) ||
        (!peer->super && sk_superseed_add(torrent->superseed, peer, &peer->super)))
        return;
    for (uint32_t piece = 0; piece < view->have.count; piece++)
        if (sk_bitfield_has(&view->have, piece))
            sk_superseed_has(torrent->superseed, peer->super, piece, peer->engine->now_ns);
    carry_out(torrent);
}

void sk_super_give_have(struct skep_peer *peer, uint32_t piece)
{
    if (!peer->super)
        return;
    sk_superseed_has(peer->torrent->superseed, peer->super, piece, peer->engine->now_ns);
    carry_out(peer->torrent);
}

void sk_super_give_stored(struct skep_torrent *torrent)
{
    if (!torrent->superseed)
        return;
    sk_superseed_stored(torrent->superseed);
    carry_out(torrent);
}

void sk_super_give_tick(struct skep_torrent *torrent)
{
    if (!torrent->superseed)
        return;
    sk_superseed_tick(torrent->superseed, torrent->engine->now_ns);
    carry_out(torrent);
}

bool sk_super_give_hides(const struct skep_peer *peer, uint32_t piece)
{
    return sk_super_give_on(peer->torrent) &&
           !(peer->super && sk_superseed_offered(peer->super, piece));
}
