#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "proto/peer/session_internal.h"

/* What messages that a client sends now and then cost against SK_PEER_IDLE_MESSAGES_MAX. */
#define HANDSHAKE_WEIGHT 10
#define PEX_WEIGHT 5
#define HOLEPUNCH_WEIGHT 5

static void keep_client(struct sk_peer *peer, struct sk_bytes client)
{
    char *to = peer->view.client_v;
    size_t n = SK_MIN(client.n, sizeof peer->view.client_v - 1);
    if (n == 0)
        return;
    memcpy(to, client.p, n);
    to[n] = 0;
}

/* A later handshake changes what it names and leaves the rest. */
static void merge(struct sk_peer *peer, const struct sk_extension_handshake *theirs)
{
    struct sk_extension_handshake *known = &peer->view.extension;
    for (unsigned e = 0; e < SK_EXT_COUNT; e++)
        if (theirs->named & 1u << e)
            known->ids[e] = theirs->ids[e];
    known->named |= theirs->named;
    if (theirs->metadata_size > 0)
        known->metadata_size = theirs->metadata_size;
    if (theirs->request_queue)
        known->request_queue = theirs->request_queue;
    if (theirs->port)
        known->port = theirs->port;
    if (theirs->upload_only >= 0)
        peer->view.upload_only = known->upload_only = theirs->upload_only;
    known->encryption |= theirs->encryption;
    if (theirs->your_ip.family)
        known->your_ip = theirs->your_ip;
    if (theirs->ipv4.family)
        known->ipv4 = theirs->ipv4;
    if (theirs->ipv6.family)
        known->ipv6 = theirs->ipv6;
    keep_client(peer, theirs->client);
}

static enum sk_peer_violation take_handshake(struct sk_peer *peer)
{
    struct sk_extension_handshake theirs;
    if (sk_extension_handshake_read(peer->msg.data, &theirs))
        return SK_PEER_VIOLATION_EXTENSION;
    /* 0 is what some say who do not have it yet. */
    int64_t size = theirs.metadata_size, known = peer->view.extension.metadata_size;
    if (size < -1 || size > SK_METADATA_BYTES_MAX || (size > 0 && known > 0 && size != known))
        return SK_PEER_VIOLATION_METADATA;
    sk_peer_useless(peer, HANDSHAKE_WEIGHT);
    merge(peer, &theirs);
    peer->follow = SK_PEER_EVENT_EXTENDED;
    return SK_PEER_VIOLATION_NONE;
}

/* Whether a piece of metadata can be: of a size that agrees with itself and with what was said. */
static bool metadata_fits(const struct sk_peer *peer, const struct sk_metadata_message *message)
{
    int64_t known = peer->view.extension.metadata_size;
    int64_t size = message->total_size;
    if (size == -1)
        size = known;
    if (size <= 0 || size > SK_METADATA_BYTES_MAX || (known > 0 && size != known))
        return false;
    int64_t begin = (int64_t)message->piece * SK_METADATA_PIECE_SIZE;
    if (begin >= size)
        return false;
    return message->data.n == (size_t)SK_MIN(size - begin, (int64_t)SK_METADATA_PIECE_SIZE);
}

static enum sk_peer_violation take_metadata(struct sk_peer *peer)
{
    struct sk_metadata_message message;
    int err = sk_metadata_message_read(peer->msg.data, &message);
    if (err == SKEP_ERR_UNSUPPORTED) {
        sk_peer_useless(peer, 1);
        return SK_PEER_VIOLATION_NONE;
    }
    if (err)
        return SK_PEER_VIOLATION_EXTENSION;
    if (message.kind != SK_METADATA_REQUEST) {
        if (peer->metadata_asked == 0)
            return SK_PEER_VIOLATION_UNASKED;
        if (message.kind == SK_METADATA_DATA && !metadata_fits(peer, &message))
            return SK_PEER_VIOLATION_METADATA;
        peer->metadata_asked--;
    }
    peer->follow = SK_PEER_EVENT_METADATA;
    return SK_PEER_VIOLATION_NONE;
}

static enum sk_peer_violation take_pex(struct sk_peer *peer)
{
    peer->pex = sk_mem_alloc(SK_PEX_PEERS_MAX * sizeof *peer->pex);
    if (!peer->pex) {
        sk_peer_end(peer, SK_PEER_REASON_NO_MEMORY);
        return SK_PEER_VIOLATION_NONE;
    }
    if (sk_pex_read(peer->msg.data, peer->pex, SK_PEX_PEERS_MAX, &peer->pex_count))
        return SK_PEER_VIOLATION_EXTENSION;
    sk_peer_useless(peer, PEX_WEIGHT);
    peer->follow = SK_PEER_EVENT_PEX;
    return SK_PEER_VIOLATION_NONE;
}

static enum sk_peer_violation take_holepunch(struct sk_peer *peer)
{
    struct sk_holepunch message;
    sk_peer_useless(peer, HOLEPUNCH_WEIGHT);
    if (!peer->config.holepunch)
        return SK_PEER_VIOLATION_NONE;
    int err = sk_holepunch_read(peer->msg.data, &message);
    if (err == SKEP_ERR_MALFORMED)
        return SK_PEER_VIOLATION_EXTENSION;
    if (!err)
        peer->follow = SK_PEER_EVENT_HOLEPUNCH;
    return SK_PEER_VIOLATION_NONE;
}

static enum sk_peer_violation take_dont_have(struct sk_peer *peer)
{
    if (peer->msg.data.n != 4)
        return SK_PEER_VIOLATION_EXTENSION;
    uint32_t index = sk_get_u32(peer->msg.data.p);
    uint32_t pieces = peer->config.pieces ? peer->config.pieces : SK_METAINFO_PIECES_MAX;
    if (index >= pieces)
        return SK_PEER_VIOLATION_INDEX;
    peer->msg.index = index;
    peer->follow = SK_PEER_EVENT_DONT_HAVE;
    sk_peer_lose_piece(peer, index);
    return SK_PEER_VIOLATION_NONE;
}

static enum sk_peer_violation take_upload_only(struct sk_peer *peer)
{
    if (peer->msg.data.n == 0)
        return SK_PEER_VIOLATION_EXTENSION;
    int upload_only = peer->msg.data.p[0] != 0;
    if (peer->view.upload_only == upload_only)
        sk_peer_useless(peer, 1);
    peer->view.upload_only = upload_only;
    peer->follow = SK_PEER_EVENT_UPLOAD_ONLY;
    return SK_PEER_VIOLATION_NONE;
}

void sk_peer_take_extended(struct sk_peer *peer)
{
    /* By the ids that our handshake gave. */
    static enum sk_peer_violation (*const takers[])(struct sk_peer *) = {
        [SK_EXT_HANDSHAKE] = take_handshake,
        [SK_EXT_METADATA] = take_metadata,
        [SK_EXT_PEX] = take_pex,
        [SK_EXT_DONT_HAVE] = take_dont_have,
        [SK_EXT_UPLOAD_ONLY] = take_upload_only,
        [SK_EXT_HOLEPUNCH] = take_holepunch,
    };
    uint8_t id = peer->msg.extended_id;
    if (id >= SK_ARRAY_LEN(takers)) {
        sk_peer_useless(peer, 1);
        return;
    }
    enum sk_peer_violation violation = takers[id](peer);
    if (violation)
        sk_peer_violate(peer, violation);
}
