/*
 * Pieces that are given to chosen peers only (config.give_chosen): nobody else is told that we have
 * them, or gets them. An offer holds for the connection.
 */
#include "engine/internal.h"

#include "base/mem.h"

#include <skep/err.h>

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
    uint32_t *offers = sk_mem_realloc(peer->offers, peer->offers_count + 1, sizeof *offers);
    if (!offers)
        return SKEP_ERR_NOMEM;
    peer->offers = offers;
    offers[peer->offers_count++] = piece;
    int err = sk_peer_send_have(peer->session, piece);
    sk_conn_touch(peer);
    return err;
}

bool sk_offer_give_hides(const struct skep_peer *peer, uint32_t piece)
{
    for (uint32_t i = 0; i < peer->offers_count; i++)
        if (peer->offers[i] == piece)
            return false;
    return is_on(peer->torrent);
}

void sk_offer_give_peer_gone(struct skep_peer *peer)
{
    sk_mem_free(peer->offers);
}
