#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "wire/bencode.h"
#include "wire/extension.h"
#include "wire/peer_family.h"

/* More than any handshake takes without its client's name: all keys with the longest values. */
#define HANDSHAKE_ROOM 512

static int read_extended(struct sk_bytes payload, struct sk_msg *msg)
{
    msg->extended_id = payload.p[0];
    msg->data = sk_bytes(payload.p + 1, payload.n - 1);
    return 0;
}

static int write_extended(struct sk_buf *buf, const struct sk_msg *msg)
{
    return sk_msg_put(buf, SK_MSG_EXTENDED, sk_bytes(&msg->extended_id, 1), msg->data);
}

static const struct sk_msg_codec codecs[] = {
    {"extended", 1, 1 + SK_EXTENSION_MESSAGE_MAX, read_extended, write_extended},
};

const struct sk_msg_family sk_msg_extended = {SK_MSG_EXTENDED, SK_ARRAY_LEN(codecs), codecs};

static const char *const names[SK_EXT_COUNT] = {
    [SK_EXT_HANDSHAKE] = "handshake",
    [SK_EXT_METADATA] = "ut_metadata",
    [SK_EXT_PEX] = "ut_pex",
    [SK_EXT_DONT_HAVE] = "lt_donthave",
    [SK_EXT_UPLOAD_ONLY] = "upload_only",
    [SK_EXT_HOLEPUNCH] = "ut_holepunch",
};

const char *sk_extension_name(enum sk_extension extension)
{
    return (unsigned)extension < SK_EXT_COUNT ? names[extension] : "unknown";
}

static void read_ids(const struct sk_bencode *dict, struct sk_extension_handshake *handshake)
{
    struct sk_bencode ids = sk_bencode_get(dict, "m");
    for (unsigned e = SK_EXT_HANDSHAKE + 1; e < SK_EXT_COUNT; e++) {
        int64_t id = sk_bencode_get_int(&ids, names[e], -1);
        if (id < 0 || id > UINT8_MAX)
            continue;
        handshake->ids[e] = (uint8_t)id;
        handshake->named |= 1u << e;
    }
}

static int64_t get_within(const struct sk_bencode *dict, const char *key, int64_t max)
{
    int64_t value = sk_bencode_get_int(dict, key, 0);
    return value < 0 || value > max ? 0 : value;
}

/* The address under key, family NONE where it is not there or of neither size. */
static struct sk_endpoint get_ip(const struct sk_bencode *dict, const char *key)
{
    struct sk_bytes ip = sk_bencode_get_string(dict, key);
    if (ip.n == 4)
        return sk_endpoint_v4(ip.p, 0);
    if (ip.n == 16)
        return sk_endpoint_v6(ip.p, 0);
    return (struct sk_endpoint){.family = SK_FAMILY_NONE};
}

static struct sk_endpoint get_ip_of(const struct sk_bencode *dict, const char *key,
                                    enum sk_family family)
{
    struct sk_endpoint endpoint = get_ip(dict, key);
    return endpoint.family == family ? endpoint : (struct sk_endpoint){.family = SK_FAMILY_NONE};
}

int sk_extension_handshake_read(struct sk_bytes payload, struct sk_extension_handshake *ret)
{
    struct sk_bencode dict;
    int err = sk_bencode_parse(payload, SK_BENCODE_UNSORTED | SK_BENCODE_PREFIX, &dict, NULL);
    if (err || dict.type != SK_BENCODE_DICT)
        return SKEP_ERR_MALFORMED;
    struct sk_extension_handshake handshake = {
        .client = sk_bencode_get_string(&dict, "v"),
        .metadata_size = sk_bencode_get_int(&dict, "metadata_size", -1),
        .request_queue = (uint32_t)get_within(&dict, "reqq", SK_PEER_REQUEST_QUEUE_MAX),
        .port = (uint16_t)get_within(&dict, "p", UINT16_MAX),
        .upload_only = -1,
        .encryption = sk_bencode_get_int(&dict, "e", 0) != 0,
        .your_ip = get_ip(&dict, "yourip"),
        .ipv4 = get_ip_of(&dict, "ipv4", SK_FAMILY_V4),
        .ipv6 = get_ip_of(&dict, "ipv6", SK_FAMILY_V6),
    };
    struct sk_bencode upload_only = sk_bencode_get(&dict, "upload_only");
    if (upload_only.type == SK_BENCODE_INT)
        handshake.upload_only = upload_only.integer != 0;
    read_ids(&dict, &handshake);
    *ret = handshake;
    return 0;
}

static void put_int(struct sk_buf *buf, const char *key, int64_t value)
{
    sk_bencode_put_text(buf, key);
    sk_bencode_put_int(buf, value);
}

static void put_ip(struct sk_buf *buf, const char *key, const struct sk_endpoint *endpoint)
{
    if (endpoint->family == SK_FAMILY_NONE)
        return;
    sk_bencode_put_text(buf, key);
    sk_bencode_put_string(buf, sk_bytes(endpoint->addr, endpoint->family == SK_FAMILY_V4 ? 4 : 16));
}

static void put_ids(struct sk_buf *buf, const struct sk_extension_handshake *handshake)
{
    static const enum sk_extension ascending[] = {SK_EXT_DONT_HAVE, SK_EXT_UPLOAD_ONLY,
                                                  SK_EXT_HOLEPUNCH, SK_EXT_METADATA, SK_EXT_PEX};
    sk_bencode_put_text(buf, "m");
    sk_bencode_put_dict(buf);
    for (size_t i = 0; i < SK_ARRAY_LEN(ascending); i++) {
        enum sk_extension e = ascending[i];
        if (handshake->ids[e] || handshake->named & 1u << e)
            put_int(buf, names[e], handshake->ids[e]);
    }
    sk_bencode_put_end(buf);
}

int sk_extension_handshake_write(struct sk_buf *buf, const struct sk_extension_handshake *handshake)
{
    int err = sk_msg_reserve(buf, HANDSHAKE_ROOM + handshake->client.n);
    if (err)
        return err;
    sk_bencode_put_dict(buf);
    if (handshake->encryption)
        put_int(buf, "e", 1);
    put_ip(buf, "ipv4", &handshake->ipv4);
    put_ip(buf, "ipv6", &handshake->ipv6);
    put_ids(buf, handshake);
    if (handshake->metadata_size > 0)
        put_int(buf, "metadata_size", handshake->metadata_size);
    if (handshake->port)
        put_int(buf, "p", handshake->port);
    if (handshake->request_queue)
        put_int(buf, "reqq", handshake->request_queue);
    if (handshake->upload_only >= 0)
        put_int(buf, "upload_only", handshake->upload_only);
    if (handshake->client.n) {
        sk_bencode_put_text(buf, "v");
        sk_bencode_put_string(buf, handshake->client);
    }
    put_ip(buf, "yourip", &handshake->your_ip);
    sk_bencode_put_end(buf);
    SK_ASSERT(!buf->failed);
    return 0;
}
