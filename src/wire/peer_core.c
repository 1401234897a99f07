#include "wire/peer_message.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "wire/peer_family.h"

#define PROTOCOL                                                                                   \
    "\x13" /* its own length, 19, first */                                                         \
    "BitTorrent protocol"
#define PROTOCOL_SIZE (sizeof PROTOCOL - 1)

void sk_handshake_write(const struct sk_handshake *handshake, uint8_t ret_bytes[SK_HANDSHAKE_SIZE])
{
    uint8_t *p = ret_bytes;
    memcpy(p, PROTOCOL, PROTOCOL_SIZE);
    sk_put_u64(p + PROTOCOL_SIZE, handshake->reserved);
    memcpy(p + PROTOCOL_SIZE + 8, handshake->info_hash, 20);
    memcpy(p + PROTOCOL_SIZE + 28, handshake->peer_id, 20);
}

int sk_handshake_read(struct sk_bytes bytes, struct sk_handshake *ret_handshake)
{
    size_t n = SK_MIN(bytes.n, PROTOCOL_SIZE);
    if (n && memcmp(bytes.p, PROTOCOL, n) != 0)
        return SKEP_ERR_MALFORMED;
    if (bytes.n < SK_HANDSHAKE_SIZE)
        return SKEP_ERR_TRUNCATED;
    ret_handshake->reserved = sk_get_u64(bytes.p + PROTOCOL_SIZE);
    memcpy(ret_handshake->info_hash, bytes.p + PROTOCOL_SIZE + 8, 20);
    memcpy(ret_handshake->peer_id, bytes.p + PROTOCOL_SIZE + 28, 20);
    return 0;
}

int sk_msg_reserve(struct sk_buf *buf, size_t n)
{
    bool fits = n <= buf->max - buf->n;
    if (!sk_buf_reserve(buf, n))
        return fits ? SKEP_ERR_NOMEM : SKEP_ERR_LIMIT;
    return 0;
}

int sk_msg_put(struct sk_buf *buf, uint8_t id, struct sk_bytes fixed, struct sk_bytes tail)
{
    if (tail.n > SK_PEER_MESSAGE_MAX)
        return SKEP_ERR_LIMIT;
    size_t n = 1 + fixed.n + tail.n;
    int err = sk_msg_reserve(buf, 4 + n);
    if (err)
        return err;
    uint8_t *p = buf->p + buf->n;
    sk_put_u32(p, (uint32_t)n);
    p[4] = id;
    if (fixed.n)
        memcpy(p + 5, fixed.p, fixed.n);
    if (tail.n)
        memcpy(p + 5 + fixed.n, tail.p, tail.n);
    buf->n += 4 + n;
    return 0;
}

int sk_msg_read_empty(struct sk_bytes payload, struct sk_msg *msg)
{
    return 0;
}

int sk_msg_write_empty(struct sk_buf *buf, const struct sk_msg *msg)
{
    return sk_msg_put(buf, (uint8_t)msg->kind, sk_bytes(NULL, 0), sk_bytes(NULL, 0));
}

int sk_msg_read_index(struct sk_bytes payload, struct sk_msg *msg)
{
    msg->index = sk_get_u32(payload.p);
    return 0;
}

int sk_msg_write_index(struct sk_buf *buf, const struct sk_msg *msg)
{
    uint8_t fixed[4];
    sk_put_u32(fixed, msg->index);
    return sk_msg_put(buf, (uint8_t)msg->kind, sk_bytes(fixed, sizeof fixed), sk_bytes(NULL, 0));
}

int sk_msg_read_block(struct sk_bytes payload, struct sk_msg *msg)
{
    msg->index = sk_get_u32(payload.p);
    msg->begin = sk_get_u32(payload.p + 4);
    msg->length = sk_get_u32(payload.p + 8);
    return 0;
}

int sk_msg_write_block(struct sk_buf *buf, const struct sk_msg *msg)
{
    uint8_t fixed[12];
    sk_put_u32(fixed, msg->index);
    sk_put_u32(fixed + 4, msg->begin);
    sk_put_u32(fixed + 8, msg->length);
    return sk_msg_put(buf, (uint8_t)msg->kind, sk_bytes(fixed, sizeof fixed), sk_bytes(NULL, 0));
}

static int read_bitfield(struct sk_bytes payload, struct sk_msg *msg)
{
    msg->data = payload;
    return 0;
}

static int write_bitfield(struct sk_buf *buf, const struct sk_msg *msg)
{
    return sk_msg_put(buf, SK_MSG_BITFIELD, sk_bytes(NULL, 0), msg->data);
}

static int read_piece(struct sk_bytes payload, struct sk_msg *msg)
{
    msg->index = sk_get_u32(payload.p);
    msg->begin = sk_get_u32(payload.p + 4);
    msg->data = sk_bytes(payload.p + 8, payload.n - 8);
    msg->length = (uint32_t)msg->data.n;
    return 0;
}

static int write_piece(struct sk_buf *buf, const struct sk_msg *msg)
{
    uint8_t fixed[8];
    sk_put_u32(fixed, msg->index);
    sk_put_u32(fixed + 4, msg->begin);
    return sk_msg_put(buf, SK_MSG_PIECE, sk_bytes(fixed, sizeof fixed), msg->data);
}

static int read_port(struct sk_bytes payload, struct sk_msg *msg)
{
    msg->port = sk_get_u16(payload.p);
    return 0;
}

static int write_port(struct sk_buf *buf, const struct sk_msg *msg)
{
    uint8_t fixed[2];
    sk_put_u16(fixed, msg->port);
    return sk_msg_put(buf, SK_MSG_PORT, sk_bytes(fixed, sizeof fixed), sk_bytes(NULL, 0));
}

static const struct sk_msg_codec codecs[] = {
    {"choke", 0, 0, sk_msg_read_empty, sk_msg_write_empty},
    {"unchoke", 0, 0, sk_msg_read_empty, sk_msg_write_empty},
    {"interested", 0, 0, sk_msg_read_empty, sk_msg_write_empty},
    {"not interested", 0, 0, sk_msg_read_empty, sk_msg_write_empty},
    {"have", 4, 4, sk_msg_read_index, sk_msg_write_index},
    {"bitfield", 0, SK_METAINFO_PIECES_MAX / 8, read_bitfield, write_bitfield},
    {"request", 12, 12, sk_msg_read_block, sk_msg_write_block},
    {"piece", 9, 8 + SK_BLOCK_SIZE_MAX, read_piece, write_piece},
    {"cancel", 12, 12, sk_msg_read_block, sk_msg_write_block},
    {"port", 2, 2, read_port, write_port},
};

const struct sk_msg_family sk_msg_core = {SK_MSG_CHOKE, SK_ARRAY_LEN(codecs), codecs};

/* NULL for kinds without a codec: keep-alive and unknown. */
static const struct sk_msg_codec *find(uint32_t kind)
{
    static const struct sk_msg_family *const families[] = {&sk_msg_core, &sk_msg_fast,
                                                           &sk_msg_extended, &sk_msg_hash};
    for (size_t i = 0; i < SK_ARRAY_LEN(families); i++)
        if (kind - families[i]->first < families[i]->count)
            return &families[i]->codecs[kind - families[i]->first];
    return NULL;
}

const char *sk_msg_kind_name(enum sk_msg_kind kind)
{
    const struct sk_msg_codec *codec = find(kind);
    return codec ? codec->name : kind == SK_MSG_KEEPALIVE ? "keep-alive" : "unknown";
}

int sk_msg_read(struct sk_bytes body, struct sk_msg *ret_msg)
{
    struct sk_msg msg = {.kind = SK_MSG_KEEPALIVE};
    if (body.n) {
        struct sk_bytes payload = sk_bytes(body.p + 1, body.n - 1);
        const struct sk_msg_codec *codec = find(body.p[0]);
        msg.id = body.p[0];
        msg.kind = codec ? (enum sk_msg_kind)msg.id : SK_MSG_UNKNOWN;
        if (!codec) {
            msg.data = payload;
        } else {
            if (payload.n < codec->size_min || payload.n > codec->size_max)
                return SKEP_ERR_MALFORMED;
            int err = codec->read(payload, &msg);
            if (err)
                return err;
        }
    }
    *ret_msg = msg;
    return 0;
}

int sk_msg_write(struct sk_buf *buf, const struct sk_msg *msg)
{
    static const uint8_t keepalive[4];
    if (msg->kind == SK_MSG_KEEPALIVE)
        return sk_buf_append(buf, keepalive, sizeof keepalive);
    const struct sk_msg_codec *codec = find(msg->kind);
    if (!codec)
        return sk_msg_put(buf, msg->id, sk_bytes(NULL, 0), msg->data);
    return codec->write(buf, msg);
}
