/* ut_metadata (BEP 9): info dictionaries from peers. */
#include <skep/err.h>

#include "base/assert.h"
#include "wire/bencode.h"
#include "wire/extension.h"
#include "wire/peer_family.h"

/* More than the three keys take with the longest values. */
#define DICT_ROOM 128

int sk_metadata_message_read(struct sk_bytes payload, struct sk_metadata_message *ret_message)
{
    struct sk_bencode dict;
    int err = sk_bencode_parse(payload, SK_BENCODE_UNSORTED | SK_BENCODE_PREFIX, &dict, NULL);
    if (err || dict.type != SK_BENCODE_DICT)
        return SKEP_ERR_MALFORMED;
    struct sk_bencode kind = sk_bencode_get(&dict, "msg_type");
    if (kind.type != SK_BENCODE_INT)
        return SKEP_ERR_MALFORMED;
    if (kind.integer < SK_METADATA_REQUEST || kind.integer > SK_METADATA_REJECT)
        return SKEP_ERR_UNSUPPORTED;
    int64_t piece = sk_bencode_get_int(&dict, "piece", -1);
    if (piece < 0 || piece > UINT32_MAX)
        return SKEP_ERR_MALFORMED;

    struct sk_metadata_message message = {
        .kind = (enum sk_metadata_kind)kind.integer, .piece = (uint32_t)piece, .total_size = -1};
    if (message.kind == SK_METADATA_DATA) {
        message.total_size = sk_bencode_get_int(&dict, "total_size", -1);
        message.data = sk_bytes(payload.p + dict.raw.n, payload.n - dict.raw.n);
        if (message.data.n == 0 || message.data.n > SK_METADATA_PIECE_SIZE)
            return SKEP_ERR_MALFORMED;
    }
    *ret_message = message;
    return 0;
}

int sk_metadata_message_write(struct sk_buf *buf, const struct sk_metadata_message *message)
{
    bool is_data = message->kind == SK_METADATA_DATA;
    int err = sk_msg_reserve(buf, DICT_ROOM + (is_data ? message->data.n : 0));
    if (err)
        return err;
    sk_bencode_put_dict(buf);
    sk_bencode_put_text(buf, "msg_type");
    sk_bencode_put_int(buf, message->kind);
    sk_bencode_put_text(buf, "piece");
    sk_bencode_put_int(buf, message->piece);
    if (is_data && message->total_size >= 0) {
        sk_bencode_put_text(buf, "total_size");
        sk_bencode_put_int(buf, message->total_size);
    }
    sk_bencode_put_end(buf);
    if (is_data)
        sk_buf_append(buf, message->data.p, message->data.n);
    SK_ASSERT(!buf->failed);
    return 0;
}
