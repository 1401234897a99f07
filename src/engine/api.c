/* The functions of <skep/engine.h> that only look, or pass a wish on to the session. */
#include "engine/internal.h"

#include <string.h>

const uint8_t *skep_torrent_info_hash(const struct skep_torrent *torrent)
{
    return torrent->info_hash;
}

const uint8_t *skep_torrent_hash_v2(const struct skep_torrent *torrent)
{
    return torrent->has_v2 ? torrent->hash_v2 : NULL;
}

const char *skep_torrent_name(const struct skep_torrent *torrent)
{
    return torrent->metainfo ? torrent->metainfo->name : torrent->name;
}

bool skep_torrent_has_metadata(const struct skep_torrent *torrent)
{
    return torrent->metainfo != NULL;
}

uint64_t skep_torrent_size(const struct skep_torrent *torrent)
{
    return torrent->metainfo ? torrent->metainfo->size : 0;
}

uint32_t skep_torrent_pieces(const struct skep_torrent *torrent)
{
    return torrent->metainfo ? torrent->metainfo->pieces : 0;
}

uint32_t skep_torrent_piece_size(const struct skep_torrent *torrent)
{
    return torrent->metainfo ? torrent->metainfo->piece_size : 0;
}

uint32_t skep_torrent_files(const struct skep_torrent *torrent)
{
    const struct sk_metainfo *meta = torrent->metainfo;
    uint32_t count = 0;
    for (uint32_t i = 0; meta && i < meta->files_count; i++)
        count += !(meta->files[i].flags & SK_FILE_PADDING);
    return count;
}

uint32_t skep_torrent_piece_length(const struct skep_torrent *torrent, uint32_t piece)
{
    const struct sk_metainfo *meta = torrent->metainfo;
    return meta && piece < meta->pieces ? sk_metainfo_piece_length(meta, piece) : 0;
}

uint32_t skep_torrent_piece_data(const struct skep_torrent *torrent, uint32_t piece)
{
    const struct sk_metainfo *meta = torrent->metainfo;
    return meta && piece < meta->pieces ? sk_metainfo_piece_data(meta, piece) : 0;
}

int skep_torrent_verify(const struct skep_torrent *torrent, uint32_t piece, const void *bytes,
                        size_t n)
{
    const struct sk_metainfo *meta = torrent->metainfo;
    if (!meta || piece >= meta->pieces)
        return SKEP_ERR_NOT_FOUND;
    return sk_metainfo_verify_piece(meta, piece, sk_bytes(bytes, n));
}

bool skep_torrent_hashes_waiting(const struct skep_torrent *torrent)
{
    return sk_layers_waiting(torrent);
}

uint32_t skep_torrent_open(const struct skep_torrent *torrent)
{
    return torrent->open;
}

uint32_t skep_torrent_untried(const struct skep_torrent *torrent)
{
    uint32_t dialing = 0;
    for (const struct skep_peer *peer = torrent->engine->peers; peer; peer = peer->next)
        dialing += peer->torrent == torrent && !peer->opened && peer->stage != SK_STAGE_CLOSING;
    return torrent->book.waiting + dialing;
}

uint32_t skep_torrent_queued(const struct skep_torrent *torrent)
{
    return torrent->book.waiting - (uint32_t)torrent->book.renewals.count;
}

uint32_t skep_torrent_names_waiting(const struct skep_torrent *torrent)
{
    return torrent->names_waiting;
}

uint32_t skep_engine_room(const struct skep_engine *engine)
{
    uint32_t max = engine->config.connections_max, places = sk_dial_places(engine);
    return max > places ? max - places : 0;
}

uint32_t skep_torrent_trackers_waiting(const struct skep_torrent *torrent)
{
    uint32_t waiting = 0;
    for (size_t i = 0; i < torrent->trackers_count; i++)
        waiting += !torrent->trackers[i]->first_done;
    return waiting;
}

void skep_peer_set_data(struct skep_peer *peer, int slot, void *data)
{
    peer->slots[slot] = data;
}

void *skep_peer_data(const struct skep_peer *peer, int slot)
{
    return peer->slots[slot];
}

const char *skep_peer_address(const struct skep_peer *peer)
{
    return peer->address;
}

const uint8_t *skep_peer_id(const struct skep_peer *peer)
{
    return sk_peer_view(peer->session)->peer_id;
}

const char *skep_peer_client(const struct skep_peer *peer)
{
    return peer->client ? peer->client : "";
}

bool skep_peer_incoming(const struct skep_peer *peer)
{
    return !peer->conn.outgoing;
}

bool skep_peer_encrypted(const struct skep_peer *peer)
{
    return sk_peer_view(peer->session)->encryption == SK_MSE_RC4;
}

bool skep_peer_utp(const struct skep_peer *peer)
{
    return peer->is_stream;
}

bool skep_peer_choked(const struct skep_peer *peer)
{
    return sk_peer_view(peer->session)->choked;
}

bool skep_peer_fast(const struct skep_peer *peer)
{
    return sk_peer_view(peer->session)->fast;
}

int skep_peer_upload_only(const struct skep_peer *peer)
{
    return sk_peer_view(peer->session)->upload_only;
}

bool skep_peer_pex(const struct skep_peer *peer)
{
    return sk_peer_view(peer->session)->extension.ids[SK_EXT_PEX] != 0;
}

bool skep_peer_has_set(const struct skep_peer *peer)
{
    return peer->torrent->metainfo && sk_peer_view(peer->session)->has_bitfield;
}

bool skep_peer_has(const struct skep_peer *peer, uint32_t piece)
{
    const struct sk_bitfield *have = &sk_peer_view(peer->session)->have;
    return have->bits && sk_bitfield_has(have, piece);
}

uint32_t skep_peer_have_count(const struct skep_peer *peer)
{
    return sk_peer_view(peer->session)->have.set;
}

const uint8_t *skep_peer_bitfield(const struct skep_peer *peer, size_t *ret_n)
{
    const struct sk_bitfield *have = &sk_peer_view(peer->session)->have;
    if (!have->bits)
        return NULL;
    *ret_n = sk_bitfield_bytes(have->count);
    return have->bits;
}

bool skep_peer_allowed_fast(const struct skep_peer *peer, uint32_t piece)
{
    for (uint32_t i = 0; i < peer->allowed_fast_count; i++)
        if (peer->allowed_fast[i] == piece)
            return true;
    return false;
}

bool skep_peer_offers(const struct skep_peer *peer)
{
    for (uint32_t i = 0; i < peer->allowed_fast_count; i++)
        if (skep_peer_has(peer, peer->allowed_fast[i]))
            return true;
    return false;
}

uint64_t skep_peer_payload_in(const struct skep_peer *peer)
{
    return sk_peer_view(peer->session)->payload_in;
}

uint64_t skep_peer_connect_ns(const struct skep_peer *peer)
{
    return peer->connect_ns;
}

uint32_t skep_peer_request_max(const struct skep_peer *peer)
{
    uint32_t told = sk_peer_view(peer->session)->extension.request_queue;
    uint32_t max = told ? told : 250; /* what clients of old took without saying */
    return max < SK_PEER_REQUESTS_MAX ? max : SK_PEER_REQUESTS_MAX;
}

uint32_t skep_peer_pending(const struct skep_peer *peer)
{
    return sk_peer_view(peer->session)->requests_pending;
}

static bool talking(const struct skep_peer *peer)
{
    return peer->stage == SK_STAGE_TALKING && peer->opened;
}

int skep_peer_interest(struct skep_peer *peer, bool interested)
{
    if (!talking(peer))
        return SKEP_ERR_STATE;
    int err = sk_peer_send_interest(peer->session, interested);
    sk_conn_touch(peer);
    return err;
}

int skep_peer_request(struct skep_peer *peer, uint32_t piece, uint32_t begin, uint32_t length)
{
    if (!talking(peer))
        return SKEP_ERR_STATE;
    int err = sk_peer_send_request(peer->session, piece, begin, length, peer->engine->now_ns);
    sk_choking_asked(peer);
    sk_conn_touch(peer);
    return err;
}

int skep_peer_cancel(struct skep_peer *peer, uint32_t piece, uint32_t begin, uint32_t length)
{
    if (!talking(peer))
        return SKEP_ERR_STATE;
    int err = sk_peer_send_cancel(peer->session, piece, begin, length);
    sk_conn_touch(peer);
    return err;
}

int skep_torrent_ban(struct skep_torrent *torrent, const char *address)
{
    struct sk_endpoint endpoint;
    if (sk_endpoint_parse(address, 0, &endpoint))
        return SKEP_ERR_INVALID;
    int err = sk_peer_book_ban(&torrent->book, &endpoint);
    for (struct skep_peer *peer = torrent->engine->peers; peer && !err; peer = peer->next)
        if (peer->torrent == torrent &&
            sk_peer_book_is_banned(&torrent->book, &peer->conn.endpoint))
            sk_conn_close(peer, "banned", false);
    return err;
}

void skep_peer_ban(struct skep_peer *peer)
{
    struct sk_peer_book *book = &peer->torrent->book;
    /* Without memory it is only sent away. One who came in is known by where it listens, too. */
    (void)sk_peer_book_ban(book, &peer->conn.endpoint);
    if (peer->entry)
        (void)sk_peer_book_ban(book, &peer->entry->endpoint);
    sk_conn_close(peer, "banned", false);
}

void skep_peer_close(struct skep_peer *peer)
{
    sk_conn_close(peer, "local", false);
}

int skep_peer_renew(struct skep_peer *peer, uint64_t now_ns, uint64_t wait_ns)
{
    struct skep_engine *engine = peer->engine;
    if (!talking(peer) || !peer->opened || !sk_conn_owns_entry(peer))
        return SKEP_ERR_STATE;
    struct sk_book_entry *entry = peer->entry;
    /* What stands before who came in, or was introduced, may not let us in. */
    bool reachable = entry->mode_worked || entry->pex_flags & SK_PEX_REACHABLE;
    if (!reachable || entry->punch != SK_PUNCH_NONE)
        return SKEP_ERR_UNSUPPORTED;
    engine->now_ns = now_ns;
    peer->renew_ns = now_ns + wait_ns;
    sk_conn_close(peer, "local", false);
    bool waits = entry->state == SK_DIAL_WAITING;
    sk_dial_pump(engine);
    return waits ? 0 : SKEP_ERR_NOMEM;
}
