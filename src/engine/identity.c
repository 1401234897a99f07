/*
 * Which connections and addresses are one and the same peer. A peer is who it says (its peer id);
 * it may be reached at several addresses, connect to us from a port that nobody knows, or hang up
 * one connection for the sake of another. Each address is kept; the peer is reported under one.
 */
#include "engine/internal.h"

#include <string.h>

/* The peer is known under another address from now on; its old one points there. */
static void move_address(struct skep_peer *peer, struct sk_book_entry *entry)
{
    struct sk_book_entry *old = peer->entry;
    if (old == entry)
        return;
    char before[SK_ENDPOINT_TEXT_MAX];
    memcpy(before, peer->address, sizeof before);
    if (sk_conn_owns_entry(peer))
        sk_peer_book_settle(&peer->torrent->book, old, SK_DIAL_DONE, "duplicate");
    old->same_as = entry->endpoint;
    peer->entry = entry;
    entry->owner = peer;
    sk_peer_book_settle(&peer->torrent->book, entry, SK_DIAL_OPEN, NULL);
    sk_endpoint_text(&entry->endpoint, peer->address);
    sk_engine_emit(peer->engine, &(struct skep_event){.kind = SKEP_EVENT_ADDRESS,
                                                      .torrent = peer->torrent,
                                                      .peer = peer,
                                                      .text = before});
}

/* An address of a peer that is reported under another one: not dialled any more. */
static void settle_duplicate(struct skep_torrent *torrent, struct sk_book_entry *entry,
                             const struct skep_peer *same)
{
    char text[SK_ENDPOINT_TEXT_MAX];
    entry->same_as = same->entry->endpoint;
    sk_peer_book_settle(&torrent->book, entry, SK_DIAL_DONE, "duplicate");
    sk_engine_emit(torrent->engine,
                   &(struct skep_event){.kind = SKEP_EVENT_FAILED,
                                        .torrent = torrent,
                                        .text = sk_endpoint_text(&entry->endpoint, text),
                                        .reason = "duplicate",
                                        .by = same->address,
                                        .final = true});
}

void sk_identity_listens(struct skep_peer *peer, uint16_t port)
{
    if (peer->conn.outgoing || !port || port == peer->entry->endpoint.port ||
        peer->entry->sources != SK_SOURCE_INCOMING)
        return;
    struct sk_endpoint listen = peer->conn.endpoint;
    listen.port = port;
    struct sk_book_entry *entry;
    bool is_new;
    if (sk_peer_book_hear(&peer->torrent->book, &listen, SK_SOURCE_INCOMING,
                          sk_endpoint_scope(&listen), peer->engine->now_ns, &entry, &is_new))
        return;
    struct skep_peer *owner = entry->owner;
    if (owner && owner->opened)
        return; /* somebody else answers there */
    /* A dial of ours is under way: most clients take no second connection of a peer, so it would
     * only be hung up. */
    if (owner)
        sk_conn_close(owner, "duplicate", false);
    move_address(peer, entry);
}

/* Two connections to one peer: one goes. Returns whether this one stays. */
static bool resolve_duplicate(struct skep_peer *peer)
{
    struct skep_torrent *torrent = peer->torrent;
    const uint8_t *id = sk_peer_view(peer->session)->peer_id;
    struct skep_peer *other = sk_map_get(&torrent->by_peer_id, id);
    if (!other)
        return true;
    bool adopt = peer->conn.outgoing && !other->conn.outgoing &&
                 other->entry->sources == SK_SOURCE_INCOMING &&
                 sk_endpoint_same_ip(&peer->conn.endpoint, &other->conn.endpoint);
    if (adopt) {
        struct sk_book_entry *entry = peer->entry;
        entry->owner = NULL;
        move_address(other, entry);
    } else if (peer->entry != other->entry && sk_conn_owns_entry(peer)) {
        settle_duplicate(torrent, peer->entry, other);
    }
    sk_conn_close(peer, "duplicate", false);
    return false;
}

/*
 * A peer with two addresses may hang up the connection to one when it gets one to the other. The
 * first would then be dialled again, and the second hung up, for ever.
 */
static void settle_left(struct skep_peer *peer)
{
    struct skep_torrent *torrent = peer->torrent;
    const uint8_t *id = sk_peer_view(peer->session)->peer_id;
    struct sk_book_entry *left = sk_map_remove(&torrent->left_by_peer_id, id);
    if (left && left != peer->entry && left->state == SK_DIAL_WAITING)
        settle_duplicate(torrent, left, peer);
}

bool sk_identity_admit(struct skep_peer *peer)
{
    const struct skep_peer *owner = peer->entry->owner;
    if (owner && owner != peer && owner->opened) {
        sk_conn_close(peer, "duplicate", false); /* of the very same address */
        return false;
    }
    if (!resolve_duplicate(peer))
        return false;
    settle_left(peer);
    return peer->stage == SK_STAGE_TALKING; /* a hook may have ended it */
}

void sk_identity_left(struct skep_peer *peer)
{
    /* Without memory it is dialled again, as if it were somebody else. */
    (void)sk_map_put(&peer->torrent->left_by_peer_id, sk_peer_view(peer->session)->peer_id,
                     peer->entry);
}

bool sk_identity_explains(const struct skep_peer *refused)
{
    struct skep_peer *found = NULL;
    for (struct skep_peer *peer = refused->engine->peers; peer; peer = peer->next) {
        if (peer->torrent != refused->torrent || !peer->opened || peer->conn.outgoing ||
            peer->stage != SK_STAGE_TALKING || peer->entry->sources != SK_SOURCE_INCOMING ||
            !sk_endpoint_same_ip(&peer->conn.endpoint, &refused->conn.endpoint))
            continue;
        if (found)
            return false; /* several behind one address: nobody can tell which it is */
        found = peer;
    }
    if (found)
        move_address(found, refused->entry);
    return found != NULL;
}
