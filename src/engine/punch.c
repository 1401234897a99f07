/*
 * Holepunching (BEP 55): a peer behind a NAT lets packets in from where it sent some. Who cannot
 * call it asks a relay, one that is connected to both; the relay tells each of the other, and both
 * call over uTP at the same time.
 *
 *   asking: a dial failed over all transports, PEX of a connected peer said that the address can be
 *           punched: NONE -> ASKED (rendezvous sent) -> CALLED (connect came) -> DONE
 *                              ASKED -> DONE (error came, or nothing within SK_PUNCH_WAIT_NS)
 *   called: the relay's connect comes unasked. The address is heard as if by PEX, under the same
 *           bounds, and called over uTP.
 *   relaying: to peers of one torrent that are connected and have the extension; nothing is kept.
 *
 * A relay could make us send to whom it likes, and a peer make us tell whom it likes: each is given
 * SK_ENGINE_PUNCHES_MAX in a SK_GIVE_QUOTA_NS, and no address narrower than PEX of it could tell.
 * Who is called unasked is left alone for SK_ENGINE_PUNCH_AGAIN_NS, whoever else wants it called.
 */
#include "engine/internal.h"

#include "base/mem.h"

bool sk_punch_allowed(const struct skep_torrent *torrent)
{
    return torrent->engine->utp && sk_discovery_pex_allowed(torrent);
}

static bool speaks(const struct skep_peer *peer)
{
    return sk_peer_view(peer->session)->extension.ids[SK_EXT_HOLEPUNCH] != 0;
}

static int say(struct skep_peer *to, enum sk_holepunch_kind kind, const struct sk_endpoint *about,
               enum sk_holepunch_error error)
{
    int err = sk_peer_send_holepunch(
        to->session, &(struct sk_holepunch){.kind = kind, .endpoint = *about, .error = error});
    if (!err)
        sk_conn_touch(to);
    return err;
}

/* ---- asking ---- */

void sk_punch_told(struct skep_peer *by, const struct sk_endpoint *endpoint)
{
    struct sk_book_entry *entry = sk_peer_book_find(&by->torrent->book, endpoint);
    if (entry && sk_punch_allowed(by->torrent))
        entry->relay = by->conn.endpoint;
}

static struct skep_peer *find_relay(const struct skep_torrent *torrent,
                                    const struct sk_book_entry *entry)
{
    for (struct skep_peer *peer = torrent->engine->peers; peer; peer = peer->next)
        if (sk_conn_is_open(peer, torrent) &&
            sk_endpoint_equal(&peer->conn.endpoint, &entry->relay))
            return speaks(peer) ? peer : NULL;
    return NULL;
}

bool sk_punch_ask(struct skep_torrent *torrent, struct sk_book_entry *entry)
{
    if (entry->punch != SK_PUNCH_NONE || entry->relay.family == SK_FAMILY_NONE ||
        !sk_punch_allowed(torrent))
        return false;
    struct skep_peer *relay = find_relay(torrent, entry);
    if (!relay || say(relay, SK_HOLEPUNCH_RENDEZVOUS, &entry->endpoint, SK_HOLEPUNCH_NO_ERROR))
        return false;
    entry->punch = SK_PUNCH_ASKED;
    return true;
}

/* The relay cannot help: what waits for it is settled at its next turn, which is now. */
static void on_error(struct skep_peer *relay, const struct sk_endpoint *endpoint)
{
    struct skep_torrent *torrent = relay->torrent;
    struct sk_book_entry *entry = sk_peer_book_find(&torrent->book, endpoint);
    if (entry && entry->punch == SK_PUNCH_ASKED && entry->state == SK_DIAL_WAITING &&
        sk_endpoint_equal(&entry->relay, &relay->conn.endpoint))
        (void)sk_peer_book_retry(&torrent->book, entry, torrent->engine->now_ns);
}

/* ---- called ---- */

static void call(struct skep_torrent *torrent, struct sk_book_entry *entry)
{
    entry->punch = SK_PUNCH_CALLED;
    entry->called_ns = torrent->engine->now_ns;
    entry->mode_worked = 0;
    entry->modes_tried &= (uint8_t)~SK_DIAL_UTP;
    (void)sk_peer_book_retry(&torrent->book, entry, torrent->engine->now_ns);
}

/* Whether it may be called now: not one whom we call or talk to, nor whom an audit is done with;
 * nor again and again, however many say so. */
static bool is_callable(const struct skep_torrent *torrent, const struct sk_book_entry *entry)
{
    if (entry->called_ns && torrent->engine->now_ns - entry->called_ns < SK_ENGINE_PUNCH_AGAIN_NS)
        return false;
    bool waits = entry->state == SK_DIAL_NEW || entry->state == SK_DIAL_WAITING;
    bool again = entry->state == SK_DIAL_DONE && torrent->engine->config.lasting;
    return (waits || again) && !entry->owner && entry->same_as.family == SK_FAMILY_NONE;
}

static void on_connect(struct skep_peer *relay, const struct sk_endpoint *endpoint)
{
    struct skep_torrent *torrent = relay->torrent;
    struct sk_book_entry *entry = sk_peer_book_find(&torrent->book, endpoint);
    bool asked = entry && entry->punch == SK_PUNCH_ASKED && entry->state == SK_DIAL_WAITING;
    if (!asked) {
        if (!sk_give_quota(&relay->punch_quota, 1, SK_ENGINE_PUNCHES_MAX, torrent->engine->now_ns))
            return;
        const struct sk_pex_peer told = {.endpoint = *endpoint,
                                         .flags = SK_PEX_UTP | SK_PEX_HOLEPUNCH};
        sk_discovery_pex(relay, &told, 1);
        entry = sk_peer_book_find(&torrent->book, endpoint);
        if (relay->stage != SK_STAGE_TALKING || !entry || !is_callable(torrent, entry))
            return;
    }
    call(torrent, entry);
}

/* ---- relaying ---- */

/* Where the peer can be called over uTP: the address that its own stream comes from, else the one
 * that it listens on. */
static struct sk_endpoint address_of(const struct skep_peer *peer)
{
    struct sk_endpoint endpoint = peer->is_stream ? peer->conn.endpoint : peer->entry->endpoint;
    if (!peer->is_stream && !sk_pex_listens(peer))
        endpoint.port = 0; /* nobody knows */
    return endpoint;
}

static struct skep_peer *find_target(const struct skep_torrent *torrent,
                                     const struct sk_endpoint *endpoint)
{
    for (struct skep_peer *peer = torrent->engine->peers; peer; peer = peer->next)
        if (sk_conn_is_open(peer, torrent) && (sk_endpoint_equal(&peer->conn.endpoint, endpoint) ||
                                               sk_endpoint_equal(&peer->entry->endpoint, endpoint)))
            return peer;
    return NULL;
}

static bool is_self(const struct skep_peer *peer, const struct sk_endpoint *endpoint)
{
    const struct sk_endpoint *seen_as = &sk_peer_view(peer->session)->extension.your_ip;
    return seen_as->family && sk_endpoint_same_ip(seen_as, endpoint) &&
           endpoint->port == peer->engine->config.port;
}

static enum sk_holepunch_error relay_to(struct skep_peer *from, const struct sk_endpoint *endpoint)
{
    struct sk_endpoint own = address_of(from);
    if (!sk_endpoint_reachable_from(endpoint, sk_endpoint_scope(&from->conn.endpoint)))
        return SK_HOLEPUNCH_NO_SUCH_PEER;
    struct skep_peer *target = find_target(from->torrent, endpoint);
    if (target == from || is_self(from, endpoint))
        return SK_HOLEPUNCH_NO_SELF;
    if (!target)
        return SK_HOLEPUNCH_NOT_CONNECTED;
    if (!speaks(target))
        return SK_HOLEPUNCH_NO_SUPPORT;
    struct sk_endpoint to = address_of(target);
    if (!sk_endpoint_reachable_from(&own, sk_endpoint_scope(&target->conn.endpoint)) || !to.port ||
        say(target, SK_HOLEPUNCH_CONNECT, &own, SK_HOLEPUNCH_NO_ERROR))
        return SK_HOLEPUNCH_NO_SUCH_PEER;
    (void)say(from, SK_HOLEPUNCH_CONNECT, &to, SK_HOLEPUNCH_NO_ERROR);
    return SK_HOLEPUNCH_NO_ERROR;
}

static void on_rendezvous(struct skep_peer *from, const struct sk_endpoint *endpoint)
{
    if (!speaks(from) ||
        !sk_give_quota(&from->relay_quota, 1, SK_ENGINE_PUNCHES_MAX, from->engine->now_ns))
        return;
    enum sk_holepunch_error error = relay_to(from, endpoint);
    if (error)
        (void)say(from, SK_HOLEPUNCH_ERROR, endpoint, error);
}

void sk_punch_message(struct skep_peer *peer, const struct sk_holepunch *message)
{
    static void (*const takers[])(struct skep_peer *, const struct sk_endpoint *) = {
        [SK_HOLEPUNCH_RENDEZVOUS] = on_rendezvous,
        [SK_HOLEPUNCH_CONNECT] = on_connect,
        [SK_HOLEPUNCH_ERROR] = on_error,
    };
    if (sk_punch_allowed(peer->torrent))
        takers[message->kind](peer, &message->endpoint);
}
