/*
 * Pieces that are given to chosen peers only (config.give_chosen): nobody else is told that we have
 * them, or gets them. An offer holds for the connection.
 */
#include "engine/internal.h"

#include "base/assert.h"
#include "base/mem.h"

#include <skep/err.h>

/* A piece is given so often at most: again to who lost requests by a choke, or dropped a piece that
 * was wrong by another's blocks; not to one that never has enough. */
#define TIMES_MAX 2
#define REQUEST_LEAST 1024u /* bytes: a request costs more than the few that it is for */

struct sk_offer {
    uint32_t piece;
    uint64_t left; /* bytes of it that may be asked for yet */
};

static bool is_on(const struct skep_torrent *torrent)
{
    return torrent->engine->config.give_chosen;
}

int skep_peer_offer(struct skep_peer *peer, uint32_t piece)
{
    struct skep_torrent *torrent = peer->torrent;
    if (!is_on(torrent) || !sk_give_on(torrent) || peer->stage != SK_STAGE_TALKING ||
        !sk_bitfield_has(&torrent->stored, piece))
        return SKEP_ERR_STATE;
    if (!sk_offer_give_hides(peer, piece))
        return 0;
    if (peer->offers_count == SK_ENGINE_OFFERS_MAX)
        return SKEP_ERR_LIMIT;
    struct sk_offer *offers = sk_mem_realloc(peer->offers, peer->offers_count + 1, sizeof *offers);
    if (!offers)
        return SKEP_ERR_NOMEM;
    peer->offers = offers;
    offers[peer->offers_count++] = (struct sk_offer){
        .piece = piece,
        .left = TIMES_MAX * ((uint64_t)torrent->metainfo->piece_size + SK_BLOCK_SIZE)};
    int err = sk_peer_send_have(peer->session, piece);
    sk_conn_touch(peer);
    return err;
}

static struct sk_offer *find(const struct skep_peer *peer, uint32_t piece)
{
    for (uint32_t i = 0; i < peer->offers_count; i++)
        if (peer->offers[i].piece == piece)
            return &peer->offers[i];
    return NULL;
}

bool sk_offer_give_hides(const struct skep_peer *peer, uint32_t piece)
{
    return is_on(peer->torrent) && !find(peer, piece);
}

bool sk_offer_give_take(struct skep_peer *peer, uint32_t piece, uint32_t length)
{
    struct sk_offer *offer = find(peer, piece);
    uint32_t cost = SK_MAX(length, REQUEST_LEAST);
    if (!is_on(peer->torrent))
        return true;
    if (!offer || offer->left < cost)
        return false;
    offer->left -= cost;
    return true;
}

void sk_offer_give_peer_gone(struct skep_peer *peer)
{
    sk_mem_free(peer->offers);
}
