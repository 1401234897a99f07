/*
 * HAVE told to peers: at once to who lacks the piece, for it may want it; to all others, who only
 * watch how far we are, all of a second together. A seed gets thousands of them a GiB, and each
 * sent alone costs it and us more than the block that it is about. Peers of a lab may gather those
 * for all for longer, or keep them to themselves.
 *
 * What was stored is kept in order, so that what a peer was told is one number.
 */
#include "engine/internal.h"

#include "base/mem.h"

#define ROUND_NS SK_SECOND_NS

static int note(struct sk_have_give *have, uint32_t piece)
{
    if (have->count == have->capacity) {
        uint32_t capacity = have->capacity ? have->capacity * 2 : 64;
        uint32_t *pieces = sk_mem_realloc(have->pieces, capacity, sizeof *pieces);
        if (!pieces)
            return SKEP_ERR_NOMEM;
        have->pieces = pieces;
        have->capacity = capacity;
    }
    have->pieces[have->count++] = piece;
    return 0;
}

static void tell(struct skep_peer *peer)
{
    const struct sk_have_give *have = &peer->torrent->have;
    if (peer->have_told == have->count)
        return;
    while (peer->have_told < have->count)
        (void)sk_peer_send_have(peer->session, have->pieces[peer->have_told++]);
    sk_conn_touch(peer);
}

void sk_engine_tell_after(struct skep_torrent *torrent, uint64_t after_ns)
{
    torrent->have.after_ns = after_ns;
}

void sk_have_give_opened(struct skep_peer *peer)
{
    peer->have_told = peer->torrent->have.count;
}

void sk_have_give_timer(struct skep_torrent *torrent)
{
    for (struct skep_peer *peer = torrent->engine->peers; peer; peer = peer->next)
        if (sk_conn_is_open(peer, torrent))
            tell(peer);
}

void sk_have_give_stored(struct skep_torrent *torrent, uint32_t piece)
{
    struct sk_have_give *have = &torrent->have;
    bool last = sk_bitfield_full(&torrent->stored);
    if (have->after_ns == SK_TIME_NEVER || note(have, piece))
        return; /* they ask somebody else for it */
    bool all_told = true;
    for (struct skep_peer *peer = torrent->engine->peers; peer; peer = peer->next) {
        if (!sk_conn_is_open(peer, torrent))
            continue;
        bool wants = !sk_bitfield_has(&sk_peer_view(peer->session)->have, piece);
        if (!have->after_ns && (last || wants))
            tell(peer);
        all_told &= peer->have_told == have->count;
    }
    if (!all_told && !have->timer.base.slot)
        sk_engine_set_timer(torrent->engine, &have->timer, SK_TIMER_HAVE,
                            torrent->engine->now_ns + (have->after_ns ? have->after_ns : ROUND_NS));
}

void sk_have_give_deinit(struct skep_torrent *torrent)
{
    sk_heap_remove(&torrent->engine->timers, &torrent->have.timer.base);
    sk_mem_free(torrent->have.pieces);
    torrent->have = (struct sk_have_give){0};
}
