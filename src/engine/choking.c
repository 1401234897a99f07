/*
 * Which peers of a torrent are unchoked: swarm/choker.h decides, this tells it what happens and
 * sends the messages. Only where something is served at all.
 */
#include "engine/internal.h"

#include "base/mem.h"

static void carry_out(struct skep_torrent *torrent)
{
    uint32_t number;
    bool unchoked;
    while (sk_choker_next(torrent->choker, &number, &unchoked)) {
        struct skep_peer *peer = torrent->choker_peers[number];
        if (peer->stage != SK_STAGE_TALKING)
            continue;
        if (!unchoked)
            sk_give_drop_requests(peer);
        (void)sk_peer_send_choke(peer->session, !unchoked);
        sk_conn_touch(peer);
    }
    uint64_t at_ns = sk_choker_deadline(torrent->choker);
    if (at_ns != torrent->choker_timer.base.at_ns || !torrent->choker_timer.base.slot)
        sk_engine_set_timer(torrent->engine, &torrent->choker_timer, SK_TIMER_CHOKER, at_ns);
}

/* A number for the peer: the first that is free. SKEP_ERR_NOMEM. */
static int number_peer(struct skep_torrent *torrent, struct skep_peer *peer)
{
    uint32_t number = 0;
    while (number < torrent->choker_capacity && torrent->choker_peers[number])
        number++;
    if (number == torrent->choker_capacity) {
        uint32_t capacity = number ? number * 2 : 16;
        struct skep_peer **peers = sk_mem_realloc(torrent->choker_peers, capacity, sizeof *peers);
        if (!peers)
            return SKEP_ERR_NOMEM;
        for (uint32_t i = number; i < capacity; i++)
            peers[i] = NULL;
        torrent->choker_peers = peers;
        torrent->choker_capacity = capacity;
    }
    torrent->choker_peers[number] = peer;
    peer->choker_number = number;
    return 0;
}

bool sk_choking_seeds(const struct skep_torrent *torrent)
{
    return torrent->stored.set && (sk_bitfield_full(&torrent->stored) || torrent->upload_only == 1);
}

static bool start(struct skep_torrent *torrent)
{
    struct skep_engine *engine = torrent->engine;
    struct sk_choker_config config = {
        .slots_max = engine->config.give_slots,
        .upload_limit_bytes_s = engine->config.give_limit_bytes_s,
        .seed = sk_prng_u64(&engine->prng),
    };
    if (torrent->choker)
        return true;
    if (sk_choker_new(&config, engine->now_ns, &torrent->choker))
        return false;
    sk_choker_set_seeding(torrent->choker, sk_choking_seeds(torrent));
    return true;
}

void sk_choking_opened(struct skep_peer *peer)
{
    struct skep_torrent *torrent = peer->torrent;
    uint64_t now_ns = peer->engine->now_ns;
    if (!sk_give_on(torrent) || !start(torrent) || number_peer(torrent, peer))
        return; /* it is not served */
    if (sk_choker_add(torrent->choker, peer->choker_number, now_ns)) {
        torrent->choker_peers[peer->choker_number] = NULL;
        return;
    }
    peer->in_choker = true;
    carry_out(torrent); /* its rounds begin with the first peer */
    if (sk_peer_view(peer->session)->peer_interested)
        sk_choking_interested(peer, true);
}

void sk_choking_closed(struct skep_peer *peer)
{
    struct skep_torrent *torrent = peer->torrent;
    if (!peer->in_choker)
        return;
    peer->in_choker = false;
    sk_choker_remove(torrent->choker, peer->choker_number, peer->engine->now_ns);
    torrent->choker_peers[peer->choker_number] = NULL;
    if (torrent->state == SK_TORRENT_RUNNING)
        carry_out(torrent);
}

void sk_choking_interested(struct skep_peer *peer, bool interested)
{
    struct skep_torrent *torrent = peer->torrent;
    /* Who asks before we have anything is waited for by sk_choking_stored(). */
    if (!peer->in_choker || (interested && !torrent->stored.set))
        return;
    sk_choker_interested(torrent->choker, peer->choker_number, interested, peer->engine->now_ns);
    carry_out(torrent);
}

static void tell_waiting(struct skep_peer *peer)
{
    sk_choker_waits(peer->torrent->choker, peer->choker_number,
                    sk_peer_view(peer->session)->requests_pending != 0, peer->engine->now_ns);
}

void sk_choking_asked(struct skep_peer *peer)
{
    if (peer->in_choker)
        tell_waiting(peer);
}

void sk_choking_gave(struct skep_peer *peer, size_t n)
{
    if (!peer->in_choker)
        return;
    sk_choker_gave(peer->torrent->choker, peer->choker_number, n, peer->engine->now_ns);
    tell_waiting(peer);
}

void sk_choking_took(struct skep_peer *peer, size_t n)
{
    if (peer->in_choker)
        sk_choker_took(peer->torrent->choker, peer->choker_number, n, peer->engine->now_ns);
}

void sk_choking_stored(struct skep_torrent *torrent)
{
    if (!torrent->choker)
        return;
    bool first = torrent->stored.set == 1;
    for (uint32_t i = 0; first && i < torrent->choker_capacity; i++) {
        const struct skep_peer *peer = torrent->choker_peers[i];
        if (peer && peer->opened && sk_peer_view(peer->session)->peer_interested)
            sk_choker_interested(torrent->choker, i, true, torrent->engine->now_ns);
    }
    sk_choking_set_seeding(torrent);
    if (first || sk_choking_seeds(torrent))
        carry_out(torrent);
}

void sk_choking_set_seeding(struct skep_torrent *torrent)
{
    if (torrent->choker)
        sk_choker_set_seeding(torrent->choker, sk_choking_seeds(torrent));
}

void sk_choking_timer(struct skep_torrent *torrent)
{
    if (torrent->state != SK_TORRENT_RUNNING)
        return;
    sk_choker_tick(torrent->choker, torrent->engine->now_ns);
    carry_out(torrent);
    sk_super_give_tick(torrent);
}

void sk_choking_deinit(struct skep_torrent *torrent)
{
    sk_heap_remove(&torrent->engine->timers, &torrent->choker_timer.base);
    sk_choker_free(torrent->choker);
    sk_mem_free(torrent->choker_peers);
}
