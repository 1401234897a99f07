/*
 * Pieces given to those that we choke (BEP 6, allowed fast), so that who is new gets something to
 * trade with. Only to who has hardly anything, each piece once, and in all no more than a quota.
 */
#include "engine/internal.h"

#include "swarm/allowed_fast.h"

static bool is_new(const struct skep_peer *peer)
{
    return sk_peer_view(peer->session)->have.set <= SK_ENGINE_FAST_GIVE_MAX;
}

void sk_fast_give_told(struct skep_peer *peer)
{
    const struct skep_torrent *torrent = peer->torrent;
    struct sk_fast_give *fast = &peer->fast_give;
    if (fast->count || !torrent->metainfo || !sk_give_tells(torrent) ||
        !sk_peer_view(peer->session)->fast || !is_new(peer))
        return;
    uint32_t pieces = torrent->metainfo->pieces;
    uint32_t count = SK_MIN((uint32_t)SK_ENGINE_FAST_GIVE_MAX, pieces / SK_ENGINE_FAST_GIVE_SHARE);
    fast->count =
        sk_allowed_fast(torrent->info_hash, &peer->conn.endpoint, pieces, count, fast->pieces);
    for (uint32_t i = 0; i < fast->count; i++)
        (void)sk_peer_send_message(
            peer->session, &(struct sk_msg){.kind = SK_MSG_ALLOWED_FAST, .index = fast->pieces[i]});
    sk_conn_touch(peer);
}

/* Of all that is given under a limit a share, or those that are unchoked would get what is left. */
static uint64_t quota(const struct skep_engine *engine)
{
    double minute = engine->give_bucket.rate * (double)(SK_GIVE_QUOTA_NS / SK_SECOND_NS);
    return minute > 0 ? SK_MIN((uint64_t)minute / SK_ENGINE_FAST_RATE_SHARE,
                               (uint64_t)SK_ENGINE_FAST_BYTES)
                      : SK_ENGINE_FAST_BYTES;
}

bool sk_fast_give_take(struct skep_peer *peer, uint32_t piece, uint32_t length)
{
    struct sk_fast_give *fast = &peer->fast_give;
    uint32_t i = 0;
    while (i < fast->count && fast->pieces[i] != piece)
        i++;
    if (i == fast->count || !is_new(peer) ||
        length > peer->torrent->metainfo->piece_size - fast->given[i] ||
        !sk_give_quota(&peer->torrent->fast_quota, length, quota(peer->engine),
                       peer->engine->now_ns))
        return false;
    fast->given[i] += length;
    return true;
}
