#include <skep/err.h>

#include "base/assert.h"
#include "proto/peer/session_internal.h"

#define KIND_BIT(kind) (UINT32_C(1) << (kind))
#define KINDS_FAST                                                                                 \
    (KIND_BIT(SK_MSG_SUGGEST) | KIND_BIT(SK_MSG_HAVE_ALL) | KIND_BIT(SK_MSG_HAVE_NONE) |           \
     KIND_BIT(SK_MSG_REJECT) | KIND_BIT(SK_MSG_ALLOWED_FAST))
/* Those of which the session keeps account: they have a function of their own. */
#define KINDS_KEPT                                                                                 \
    (KIND_BIT(SK_MSG_CHOKE) | KIND_BIT(SK_MSG_UNCHOKE) | KIND_BIT(SK_MSG_INTERESTED) |             \
     KIND_BIT(SK_MSG_NOT_INTERESTED) | KIND_BIT(SK_MSG_BITFIELD) | KIND_BIT(SK_MSG_HAVE_ALL) |     \
     KIND_BIT(SK_MSG_HAVE_NONE) | KIND_BIT(SK_MSG_REQUEST) | KIND_BIT(SK_MSG_PIECE) |              \
     KIND_BIT(SK_MSG_CANCEL) | KIND_BIT(SK_MSG_HASH_REQUEST))

static bool is_kind(uint32_t kinds, enum sk_msg_kind kind)
{
    return kind < 32 && (kinds & KIND_BIT(kind));
}

/*
 * Every append lies between begin_output() and end_output(): what was appended is then bounded and
 * encrypted, or taken back whole.
 */
static size_t begin_output(struct sk_peer *peer)
{
    /* Moving no more than what was sent since the last time keeps it linear. */
    if (peer->out_sent && peer->out_sent >= peer->out.n - peer->out_sent) {
        sk_buf_consume(&peer->out, peer->out_sent);
        peer->out_sent = 0;
    }
    return peer->out.n;
}

static int end_output(struct sk_peer *peer, size_t begin, int err)
{
    if (!err && peer->out.n - peer->out_sent > SK_PEER_OUTPUT_MAX)
        err = SKEP_ERR_LIMIT;
    if (err) {
        peer->out.n = begin;
        peer->out.failed = false;
        return err;
    }
    if (begin == peer->out_sent)
        peer->out_since_ns = peer->now_ns;
    if (peer->rc4_out)
        sk_rc4_apply(peer->rc4_out, peer->out.p + begin, peer->out.n - begin);
    return 0;
}

void sk_peer_write_handshake(const struct sk_peer *peer, uint8_t ret_bytes[SK_HANDSHAKE_SIZE])
{
    struct sk_handshake handshake = {
        .reserved = SK_RESERVED_EXTENSION | SK_RESERVED_FAST |
                    (peer->config.has_v2 ? SK_RESERVED_V2 : 0) |
                    (peer->config.dht ? SK_RESERVED_DHT : 0),
    };
    memcpy(handshake.info_hash, peer->config.info_hash, sizeof handshake.info_hash);
    memcpy(handshake.peer_id, peer->config.peer_id, sizeof handshake.peer_id);
    sk_handshake_write(&handshake, ret_bytes);
}

int sk_peer_put_handshake(struct sk_peer *peer)
{
    uint8_t bytes[SK_HANDSHAKE_SIZE];
    sk_peer_write_handshake(peer, bytes);
    size_t begin = begin_output(peer);
    int err = end_output(peer, begin, sk_buf_append(&peer->out, bytes, sizeof bytes));
    if (!err)
        peer->view.handshake_end = peer->view.bytes_out + peer->out.n - peer->out_sent;
    return err;
}

int sk_peer_put_message(struct sk_peer *peer, const struct sk_msg *msg)
{
    size_t begin = begin_output(peer);
    return end_output(peer, begin, sk_msg_write(&peer->out, msg));
}

static int put_kind(struct sk_peer *peer, enum sk_msg_kind kind)
{
    return sk_peer_put_message(peer, &(struct sk_msg){.kind = kind});
}

static int put_block_message(struct sk_peer *peer, enum sk_msg_kind kind, uint32_t index,
                             uint32_t begin, uint32_t length)
{
    return sk_peer_put_message(
        peer, &(struct sk_msg){.kind = kind, .index = index, .begin = begin, .length = length});
}

/* An extension message of theirs: `id` as they want it; write() appends its payload. */
static int put_extended(struct sk_peer *peer, uint8_t id,
                        int (*write)(struct sk_buf *buf, const void *what), const void *what)
{
    size_t begin = begin_output(peer);
    uint8_t head[6] = {0, 0, 0, 0, SK_MSG_EXTENDED, id};
    int err = sk_buf_append(&peer->out, head, sizeof head);
    if (!err)
        err = write(&peer->out, what);
    if (!err)
        sk_put_u32(peer->out.p + begin, (uint32_t)(peer->out.n - begin - 4));
    return end_output(peer, begin, err);
}

static int write_handshake(struct sk_buf *buf, const void *what)
{
    return sk_extension_handshake_write(buf, what);
}

static int write_metadata(struct sk_buf *buf, const void *what)
{
    return sk_metadata_message_write(buf, what);
}

static int write_holepunch(struct sk_buf *buf, const void *what)
{
    return sk_holepunch_write(buf, what);
}

struct pex_list {
    const struct sk_pex_peer *peers;
    size_t count;
};

static int write_pex(struct sk_buf *buf, const void *what)
{
    const struct pex_list *list = what;
    return sk_pex_write(buf, list->peers, list->count);
}

int sk_peer_put_extension_handshake(struct sk_peer *peer, int64_t metadata_size, int upload_only)
{
    const char *client = peer->config.client ? peer->config.client : "";
    struct sk_extension_handshake handshake = {
        .client = sk_bytes_text(client),
        .metadata_size = metadata_size,
        .request_queue = peer->config.requests_taken,
        .port = peer->config.listen_port,
        .upload_only = upload_only,
        .encryption = peer->config.mse != 0,
    };
    for (unsigned e = SK_EXT_METADATA; e < SK_EXT_COUNT; e++)
        handshake.ids[e] = (uint8_t)e;
    if (peer->config.no_pex)
        handshake.ids[SK_EXT_PEX] = 0;
    if (!peer->config.holepunch)
        handshake.ids[SK_EXT_HOLEPUNCH] = 0;
    return put_extended(peer, SK_EXT_HANDSHAKE, write_handshake, &handshake);
}

static bool is_open(const struct sk_peer *peer)
{
    return peer->view.state == SK_PEER_OPEN;
}

int sk_peer_send_choke(struct sk_peer *peer, bool choke)
{
    if (!is_open(peer))
        return SKEP_ERR_STATE;
    if (peer->view.choking == choke)
        return 0;
    int err = put_kind(peer, choke ? SK_MSG_CHOKE : SK_MSG_UNCHOKE);
    if (!err)
        peer->view.choking = choke;
    return err;
}

int sk_peer_send_interest(struct sk_peer *peer, bool interested)
{
    if (!is_open(peer))
        return SKEP_ERR_STATE;
    if (peer->view.interested == interested)
        return 0;
    int err = put_kind(peer, interested ? SK_MSG_INTERESTED : SK_MSG_NOT_INTERESTED);
    if (!err)
        peer->view.interested = interested;
    return err;
}

int sk_peer_send_have(struct sk_peer *peer, uint32_t index)
{
    if (!is_open(peer))
        return SKEP_ERR_STATE;
    return sk_peer_put_message(peer, &(struct sk_msg){.kind = SK_MSG_HAVE, .index = index});
}

int sk_peer_send_bitfield(struct sk_peer *peer, const struct sk_bitfield *have)
{
    if (!is_open(peer) || peer->bitfield_sent)
        return SKEP_ERR_STATE;
    int err = 0;
    if (have->set == 0)
        err = peer->view.fast ? put_kind(peer, SK_MSG_HAVE_NONE) : 0;
    else if (sk_bitfield_full(have) && peer->view.fast)
        err = put_kind(peer, SK_MSG_HAVE_ALL);
    else
        err = sk_peer_put_message(
            peer, &(struct sk_msg){.kind = SK_MSG_BITFIELD,
                                   .data = sk_bytes(have->bits, sk_bitfield_bytes(have->count))});
    if (!err)
        peer->bitfield_sent = true;
    return err;
}

int sk_peer_send_request(struct sk_peer *peer, uint32_t index, uint32_t begin, uint32_t length,
                         uint64_t now_ns)
{
    if (!is_open(peer) || peer->config.pieces == 0)
        return SKEP_ERR_STATE;
    if (index >= peer->config.pieces || length == 0 || length > SK_BLOCK_SIZE_MAX)
        return SKEP_ERR_INVALID;
    int err = sk_requests_reserve(&peer->requests);
    if (!err)
        err = put_block_message(peer, SK_MSG_REQUEST, index, begin, length);
    if (err)
        return err;
    sk_requests_add(&peer->requests, index, begin, length, now_ns);
    peer->view.requests_pending = peer->requests.count;
    return 0;
}

int sk_peer_send_cancel(struct sk_peer *peer, uint32_t index, uint32_t begin, uint32_t length)
{
    if (!is_open(peer))
        return SKEP_ERR_STATE;
    struct sk_request *request = sk_requests_find(&peer->requests, index, begin, length);
    if (!request || request->state == SK_REQUEST_CANCELLED)
        return 0;
    if (peer->view.fast) {
        int err = put_block_message(peer, SK_MSG_CANCEL, index, begin, length);
        if (!err)
            request->state = SK_REQUEST_CANCELLED;
        return err;
    }
    int err = sk_requests_forgive(&peer->requests, index, begin, peer->now_ns);
    if (err)
        return err;
    err = put_block_message(peer, SK_MSG_CANCEL, index, begin, length);
    if (err) {
        sk_requests_is_forgiven(&peer->requests, index, begin);
        return err;
    }
    sk_requests_remove(&peer->requests, request);
    peer->view.requests_pending = peer->requests.count;
    return 0;
}

int sk_peer_send_piece(struct sk_peer *peer, uint32_t index, uint32_t begin, struct sk_bytes block)
{
    if (!is_open(peer))
        return SKEP_ERR_STATE;
    int err = sk_peer_put_message(
        peer,
        &(struct sk_msg){.kind = SK_MSG_PIECE, .index = index, .begin = begin, .data = block});
    if (!err)
        peer->view.payload_out += block.n;
    return err;
}

int sk_peer_send_reject(struct sk_peer *peer, uint32_t index, uint32_t begin, uint32_t length)
{
    if (!is_open(peer) || !peer->view.fast)
        return SKEP_ERR_STATE;
    return put_block_message(peer, SK_MSG_REJECT, index, begin, length);
}

int sk_peer_send_hash_request(struct sk_peer *peer, const struct sk_hash_range *range)
{
    if (!is_open(peer) || !peer->config.has_v2)
        return SKEP_ERR_STATE;
    int err = sk_requests_reserve_hashes(&peer->requests);
    if (!err)
        err = sk_peer_put_message(peer,
                                  &(struct sk_msg){.kind = SK_MSG_HASH_REQUEST, .range = *range});
    if (!err)
        sk_requests_add_hashes(&peer->requests, range);
    return err;
}

int sk_peer_send_message(struct sk_peer *peer, const struct sk_msg *msg)
{
    if (is_kind(KINDS_KEPT, msg->kind))
        return SKEP_ERR_INVALID;
    if (!is_open(peer) || (is_kind(KINDS_FAST, msg->kind) && !peer->view.fast))
        return SKEP_ERR_STATE;
    return sk_peer_put_message(peer, msg);
}

int sk_peer_send_metadata(struct sk_peer *peer, const struct sk_metadata_message *message)
{
    if (!is_open(peer))
        return SKEP_ERR_STATE;
    uint8_t id = peer->view.extension.ids[SK_EXT_METADATA];
    if (!id)
        return SKEP_ERR_UNSUPPORTED;
    int err = put_extended(peer, id, write_metadata, message);
    if (!err && message->kind == SK_METADATA_REQUEST)
        peer->metadata_asked++;
    return err;
}

int sk_peer_send_pex(struct sk_peer *peer, const struct sk_pex_peer *peers, size_t count)
{
    if (!is_open(peer))
        return SKEP_ERR_STATE;
    uint8_t id = peer->view.extension.ids[SK_EXT_PEX];
    if (!id)
        return SKEP_ERR_UNSUPPORTED;
    return put_extended(peer, id, write_pex, &(struct pex_list){peers, count});
}

int sk_peer_send_holepunch(struct sk_peer *peer, const struct sk_holepunch *message)
{
    if (!is_open(peer))
        return SKEP_ERR_STATE;
    uint8_t id = peer->view.extension.ids[SK_EXT_HOLEPUNCH];
    return id ? put_extended(peer, id, write_holepunch, message) : SKEP_ERR_UNSUPPORTED;
}

int sk_peer_send_extension_handshake(struct sk_peer *peer, int64_t metadata_size, int upload_only)
{
    if (!is_open(peer))
        return SKEP_ERR_STATE;
    if (!peer->view.extended)
        return SKEP_ERR_UNSUPPORTED;
    return sk_peer_put_extension_handshake(peer, metadata_size, upload_only);
}
