/*
 * Peers told to peers (BEP 11): whom we are connected to, as what changed since the last message.
 *
 * Each peer whose listening address is known gets a number, in the order that they came; those that
 * went are kept in a short ring, with the number at which they did. So what was told to a peer is
 * remembered as two numbers, however large the swarm. Who went long ago, before as many others as
 * the ring holds, is not told of: the next that dials the address finds out.
 */
#include "engine/internal.h"

#include "base/mem.h"

#include <stdlib.h>

#define ROUND_NS (10 * SK_SECOND_NS)    /* how often is looked who may be told something */
#define INTERVAL_NS (60 * SK_SECOND_NS) /* between two messages to one peer, of BEP 11 */

struct message {
    struct sk_pex_peer peers[2 * SK_ENGINE_PEX_GIVE_MAX]; /* added, dropped */
    size_t count;
};

static bool has_started(const struct skep_torrent *torrent)
{
    return torrent->pex.timer.base.slot != 0;
}

/* Before the metadata is known it may be private. */
static bool is_allowed(const struct skep_torrent *torrent)
{
    return torrent->metainfo && sk_discovery_pex_allowed(torrent);
}

bool sk_pex_listens(const struct skep_peer *peer)
{
    const struct sk_book_entry *entry = peer->entry;
    return peer->conn.outgoing || entry->sources != SK_SOURCE_INCOMING ||
           entry->endpoint.port == sk_peer_view(peer->session)->extension.port;
}

static uint8_t flags_of(const struct skep_peer *peer)
{
    const struct sk_peer_view *view = sk_peer_view(peer->session);
    bool seed = view->upload_only == 1 || (view->have.count && sk_bitfield_full(&view->have));
    return (uint8_t)((seed ? SK_PEX_SEED : 0) |
                     (view->mse || view->extension.encryption ? SK_PEX_ENCRYPTION : 0) |
                     (peer->is_stream ? SK_PEX_UTP : 0) |
                     (view->extension.ids[SK_EXT_HOLEPUNCH] ? SK_PEX_HOLEPUNCH : 0) |
                     (peer->conn.outgoing ? SK_PEX_REACHABLE : 0));
}

static void add(struct message *message, const struct skep_peer *to,
                const struct sk_book_entry *entry, uint8_t flags, bool dropped)
{
    if (sk_endpoint_reachable_from(&entry->endpoint, sk_endpoint_scope(&to->conn.endpoint)))
        message->peers[message->count++] =
            (struct sk_pex_peer){.endpoint = entry->endpoint, .flags = flags, .dropped = dropped};
}

/* Those that were told to it and went since the last message. */
static void add_dropped(struct message *message, const struct skep_peer *to)
{
    const struct sk_pex_give *pex = &to->torrent->pex;
    for (size_t i = 0; i < SK_ARRAY_LEN(pex->gone); i++) {
        const struct sk_pex_gone *gone = &pex->gone[i];
        if (gone->left > to->pex_sent && gone->came <= to->pex_told &&
            gone->entry->state != SK_DIAL_OPEN)
            add(message, to, gone->entry, 0, true);
    }
}

/* The next that it was not told of yet; the number that it then knows of. */
static uint64_t add_new(struct message *message, const struct skep_peer *to,
                        struct skep_peer *const *peers, size_t count)
{
    size_t i = 0;
    while (i < count && peers[i]->pex_number <= to->pex_told)
        i++;
    for (; i < count; i++) {
        if (message->count == SK_ENGINE_PEX_GIVE_MAX)
            return peers[i]->pex_number - 1;
        if (peers[i] != to)
            add(message, to, peers[i]->pex_entry, flags_of(peers[i]), false);
    }
    return to->torrent->pex.numbers;
}

static void tell(struct skep_peer *to, struct skep_peer *const *peers, size_t count)
{
    struct message message = {.count = 0};
    uint64_t now_ns = to->engine->now_ns;
    bool soon = to->pex_ns && now_ns - to->pex_ns < INTERVAL_NS;
    if (soon || !sk_peer_view(to->session)->extension.ids[SK_EXT_PEX])
        return;
    uint64_t told = add_new(&message, to, peers, count);
    add_dropped(&message, to);
    if (message.count) {
        if (sk_peer_send_pex(to->session, message.peers, message.count))
            return; /* the next round tries again */
        to->pex_ns = now_ns;
        sk_conn_touch(to);
    }
    to->pex_told = told;
    to->pex_sent = to->torrent->pex.numbers;
}

static int by_number(const void *a, const void *b)
{
    const struct skep_peer *const *x = a, *const *y = b;
    return ((*x)->pex_number > (*y)->pex_number) - ((*x)->pex_number < (*y)->pex_number);
}

/* Those that can be told of, in the order of their numbers; the new ones get theirs. */
static size_t list_peers(struct skep_torrent *torrent, struct skep_peer **ret_peers)
{
    size_t count = 0;
    for (struct skep_peer *peer = torrent->engine->peers; peer; peer = peer->next) {
        if (!sk_conn_is_open(peer, torrent) || !sk_pex_listens(peer))
            continue;
        if (!peer->pex_entry) {
            peer->pex_entry = peer->entry;
            peer->pex_number = ++torrent->pex.numbers;
        }
        ret_peers[count++] = peer;
    }
    qsort(ret_peers, count, sizeof *ret_peers, by_number);
    return count;
}

static void tell_all(struct skep_torrent *torrent)
{
    struct skep_peer **peers = sk_mem_calloc(torrent->open, sizeof(struct skep_peer *));
    if (!peers)
        return; /* the next round tries again */
    size_t count = list_peers(torrent, peers);
    for (struct skep_peer *peer = torrent->engine->peers; peer; peer = peer->next)
        if (sk_conn_is_open(peer, torrent))
            tell(peer, peers, count);
    sk_mem_free(peers);
}

static void start(struct skep_torrent *torrent)
{
    struct skep_engine *engine = torrent->engine;
    sk_engine_set_timer(engine, &torrent->pex.timer, SK_TIMER_PEX, engine->now_ns + ROUND_NS);
}

/* Who gives to chosen peers alone watches a swarm, and makes no connections in it. */
void sk_pex_give_opened(struct skep_peer *peer)
{
    const struct skep_config *config = &peer->engine->config;
    if (sk_give_on(peer->torrent) && !config->no_pex && !config->give_chosen &&
        !has_started(peer->torrent))
        start(peer->torrent);
}

void sk_pex_give_closed(struct skep_peer *peer)
{
    struct sk_pex_give *pex = &peer->torrent->pex;
    if (!peer->pex_entry)
        return;
    pex->gone[pex->gone_next++ % SK_ARRAY_LEN(pex->gone)] = (struct sk_pex_gone){
        .entry = peer->pex_entry, .came = peer->pex_number, .left = ++pex->numbers};
}

void sk_pex_give_timer(struct skep_torrent *torrent)
{
    if (torrent->state != SK_TORRENT_RUNNING || !torrent->open)
        return; /* the next that opens starts it again */
    if (is_allowed(torrent))
        tell_all(torrent);
    start(torrent);
}

void sk_pex_give_deinit(struct skep_torrent *torrent)
{
    sk_heap_remove(&torrent->engine->timers, &torrent->pex.timer.base);
}
