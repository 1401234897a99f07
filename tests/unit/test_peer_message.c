/* Messages of the peer protocol: round trips, every length off by one, hostile fields. */
#include "wire/peer_message.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint8_t root[32] = "a root of a file, 32 bytes long.";
static const uint8_t blob[32 * 6] = "bits, a block, a payload or hashes";

/* The smallest and largest payload of each id (what follows it on the wire). */
static const struct {
    enum sk_msg_kind kind;
    const char *name;
    size_t least, most;
} kinds[] = {
    {SK_MSG_CHOKE, "choke", 0, 0},
    {SK_MSG_UNCHOKE, "unchoke", 0, 0},
    {SK_MSG_INTERESTED, "interested", 0, 0},
    {SK_MSG_NOT_INTERESTED, "not interested", 0, 0},
    {SK_MSG_HAVE, "have", 4, 4},
    {SK_MSG_BITFIELD, "bitfield", 0, SK_METAINFO_PIECES_MAX / 8},
    {SK_MSG_REQUEST, "request", 12, 12},
    {SK_MSG_PIECE, "piece", 9, 8 + SK_BLOCK_SIZE_MAX},
    {SK_MSG_CANCEL, "cancel", 12, 12},
    {SK_MSG_PORT, "port", 2, 2},
    {SK_MSG_SUGGEST, "suggest", 4, 4},
    {SK_MSG_HAVE_ALL, "have all", 0, 0},
    {SK_MSG_HAVE_NONE, "have none", 0, 0},
    {SK_MSG_REJECT, "reject", 12, 12},
    {SK_MSG_ALLOWED_FAST, "allowed fast", 4, 4},
    {SK_MSG_EXTENDED, "extended", 1, 1 + SK_EXTENSION_MESSAGE_MAX},
    {SK_MSG_HASH_REQUEST, "hash request", 48, 48},
    {SK_MSG_HASHES, "hashes", 48, 48 + 32 * SK_HASHES_PER_MESSAGE_MAX},
    {SK_MSG_HASH_REJECT, "hash reject", 48, 48},
};

/* Writes, reads back what was written and returns the bytes' number. */
static size_t round_trip(const struct sk_msg *msg, struct sk_msg *ret_read, struct sk_buf *buf)
{
    sk_buf_init(buf, 4096);
    assert_int_equal(sk_msg_write(buf, msg), 0);
    assert_true(buf->n >= 4);
    assert_int_equal(sk_get_u32(buf->p), buf->n - 4);
    assert_int_equal(sk_msg_read(sk_bytes(buf->p + 4, buf->n - 4), ret_read), 0);
    assert_int_equal(ret_read->kind, msg->kind);
    return buf->n;
}

static void check_same(const struct sk_msg *a, const struct sk_msg *b)
{
    assert_int_equal(a->index, b->index);
    assert_int_equal(a->begin, b->begin);
    assert_int_equal(a->length, b->length);
    assert_int_equal(a->port, b->port);
    assert_int_equal(a->extended_id, b->extended_id);
    assert_true(sk_bytes_equal(a->data, b->data));
    assert_true(sk_bytes_equal(a->hashes, b->hashes));
    assert_int_equal(a->range.base_layer, b->range.base_layer);
    assert_int_equal(a->range.index, b->range.index);
    assert_int_equal(a->range.length, b->range.length);
    assert_int_equal(a->range.proof_layers, b->range.proof_layers);
    if (a->range.root)
        assert_memory_equal(a->range.root, b->range.root, 32);
}

static void test_round_trips(void **state)
{
    const struct sk_hash_range range = {root, 1, 0xfffffffe, 4, 0x80000000};
    const struct {
        struct sk_msg msg;
        size_t size;
    } examples[] = {
        {{.kind = SK_MSG_KEEPALIVE}, 4},
        {{.kind = SK_MSG_CHOKE}, 5},
        {{.kind = SK_MSG_UNCHOKE}, 5},
        {{.kind = SK_MSG_INTERESTED}, 5},
        {{.kind = SK_MSG_NOT_INTERESTED}, 5},
        {{.kind = SK_MSG_HAVE, .index = UINT32_MAX}, 9},
        {{.kind = SK_MSG_BITFIELD, .data = sk_bytes(blob, 7)}, 12},
        {{.kind = SK_MSG_BITFIELD}, 5},
        {{.kind = SK_MSG_REQUEST, .index = 1, .begin = 2, .length = 0x12345678}, 17},
        {{.kind = SK_MSG_PIECE, .index = 5, .begin = 6, .length = 9, .data = sk_bytes(blob, 9)},
         22},
        {{.kind = SK_MSG_CANCEL, .index = 1, .begin = 2, .length = 3}, 17},
        {{.kind = SK_MSG_PORT, .port = 0xfedc}, 7},
        {{.kind = SK_MSG_SUGGEST, .index = 3}, 9},
        {{.kind = SK_MSG_HAVE_ALL}, 5},
        {{.kind = SK_MSG_HAVE_NONE}, 5},
        {{.kind = SK_MSG_REJECT, .index = 1, .begin = 2, .length = 3}, 17},
        {{.kind = SK_MSG_ALLOWED_FAST, .index = 4}, 9},
        {{.kind = SK_MSG_EXTENDED, .extended_id = 255, .data = sk_bytes(blob, 2)}, 8},
        {{.kind = SK_MSG_HASH_REQUEST, .range = range}, 53},
        {{.kind = SK_MSG_HASHES, .range = range, .hashes = sk_bytes(blob, sizeof blob)}, 245},
        {{.kind = SK_MSG_HASH_REJECT, .range = range}, 53},
        {{.kind = SK_MSG_UNKNOWN, .id = 99, .data = sk_bytes(blob, 3)}, 8},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(examples); i++) {
        struct sk_msg read;
        struct sk_buf buf;
        assert_int_equal(round_trip(&examples[i].msg, &read, &buf), examples[i].size);
        check_same(&examples[i].msg, &read);
        if (read.kind < SK_MSG_KEEPALIVE)
            assert_int_equal(read.id, read.kind);
        sk_buf_deinit(&buf);
    }
}

static void test_bytes_on_the_wire(void **state)
{
    static const uint8_t request[] = {0, 0, 0, 13, 6, 0, 0, 0, 1, 0, 0, 0x40, 0, 0, 0, 0x40, 0};
    struct sk_buf buf;
    sk_buf_init(&buf, 100);
    assert_int_equal(
        sk_msg_write(
            &buf,
            &(struct sk_msg){.kind = SK_MSG_REQUEST, .index = 1, .begin = 16384, .length = 16384}),
        0);
    assert_int_equal(buf.n, sizeof request);
    assert_memory_equal(buf.p, request, sizeof request);
    sk_buf_deinit(&buf);
}

/* Each id with one byte less than it needs, with all it may have, and with one byte more. */
static void test_lengths(void **state)
{
    size_t most = 1 + SK_METAINFO_PIECES_MAX / 8 + 1;
    uint8_t *body = calloc(1, most);
    assert_non_null(body);
    for (size_t i = 0; i < SK_ARRAY_LEN(kinds); i++) {
        struct sk_msg msg = {.kind = SK_MSG_KEEPALIVE, .index = 77};
        body[0] = (uint8_t)kinds[i].kind;
        if (kinds[i].least)
            assert_int_equal(sk_msg_read(sk_bytes(body, kinds[i].least), &msg), SKEP_ERR_MALFORMED);
        assert_int_equal(sk_msg_read(sk_bytes(body, kinds[i].most + 2), &msg), SKEP_ERR_MALFORMED);
        assert_int_equal(msg.kind, SK_MSG_KEEPALIVE); /* untouched on failure */
        assert_int_equal(msg.index, 77);
        assert_int_equal(sk_msg_read(sk_bytes(body, kinds[i].least + 1), &msg), 0);
        assert_int_equal(msg.kind, kinds[i].kind);
        assert_int_equal(sk_msg_read(sk_bytes(body, kinds[i].most + 1), &msg), 0);
        assert_int_equal(msg.kind, kinds[i].kind);
    }
    free(body);
}

static void test_names(void **state)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(kinds); i++)
        assert_string_equal(sk_msg_kind_name(kinds[i].kind), kinds[i].name);
    assert_string_equal(sk_msg_kind_name(SK_MSG_KEEPALIVE), "keep-alive");
    assert_string_equal(sk_msg_kind_name(SK_MSG_UNKNOWN), "unknown");
    assert_string_equal(sk_msg_kind_name((enum sk_msg_kind)12), "unknown");
}

/* Every id that has no meaning is handed on, with its payload, whatever its length. */
static void test_unknown_ids(void **state)
{
    for (unsigned id = 0; id < 256; id++) {
        bool is_known = false;
        for (size_t i = 0; i < SK_ARRAY_LEN(kinds); i++)
            is_known = is_known || (unsigned)kinds[i].kind == id;
        for (size_t n = 0; n < 6 && !is_known; n++) {
            uint8_t body[6] = {(uint8_t)id, 1, 2, 3, 4, 5};
            struct sk_msg msg;
            assert_int_equal(sk_msg_read(sk_bytes(body, 1 + n % 6), &msg), 0);
            assert_int_equal(msg.kind, SK_MSG_UNKNOWN);
            assert_int_equal(msg.id, id);
            assert_int_equal(msg.data.n, n % 6);
        }
    }
}

/* HASHES whose count does not fit: no multiple of 32, fewer than the length field says, and a
 * length whose product with 32 overflows 32 bits. */
static void test_hashes_count(void **state)
{
    static const struct {
        uint32_t length;
        size_t bytes;
        int err;
    } examples[] = {
        {2, 64, 0},
        {2, 96, 0}, /* the third is a proof */
        {0, 0, 0},
        {2, 63, SKEP_ERR_MALFORMED},
        {2, 65, SKEP_ERR_MALFORMED},
        {2, 32, SKEP_ERR_MALFORMED},
        {1, 0, SKEP_ERR_MALFORMED},
        {0x08000000, 0, SKEP_ERR_MALFORMED}, /* times 32 is 2^32 */
        {0x08000002, 64, SKEP_ERR_MALFORMED},
        {UINT32_MAX, 128, SKEP_ERR_MALFORMED},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(examples); i++) {
        uint8_t body[1 + 48 + 128] = {SK_MSG_HASHES};
        struct sk_msg msg;
        sk_put_u32(body + 1 + 32 + 8, examples[i].length);
        assert_int_equal(sk_msg_read(sk_bytes(body, 49 + examples[i].bytes), &msg),
                         examples[i].err);
        if (!examples[i].err)
            assert_int_equal(msg.hashes.n, examples[i].bytes);
    }
}

/* A message goes out whole or not at all. */
static void test_write_to_full(void **state)
{
    const struct sk_msg piece = {.kind = SK_MSG_PIECE, .data = sk_bytes(blob, 50)};
    const struct sk_msg keepalive = {.kind = SK_MSG_KEEPALIVE};
    const struct sk_msg huge = {.kind = SK_MSG_BITFIELD, .data = {blob, SK_PEER_MESSAGE_MAX + 1}};
    for (size_t max = 0; max < 64; max++) {
        struct sk_buf buf;
        sk_buf_init(&buf, max);
        assert_int_equal(sk_msg_write(&buf, &piece), max < 63 ? SKEP_ERR_LIMIT : 0);
        assert_int_equal(buf.n, max < 63 ? 0 : 63);
        sk_buf_deinit(&buf);
        assert_int_equal(sk_msg_write(&buf, &keepalive), max < 4 ? SKEP_ERR_LIMIT : 0);
        assert_int_equal(buf.n, max < 4 ? 0 : 4);
        sk_buf_deinit(&buf);
        assert_int_equal(sk_msg_write(&buf, &huge), SKEP_ERR_LIMIT);
        assert_int_equal(buf.n, 0);
        sk_buf_deinit(&buf);
    }
}

static void test_handshake(void **state)
{
    struct sk_handshake out = {.reserved = SK_RESERVED_EXTENSION | SK_RESERVED_DHT |
                                           SK_RESERVED_FAST | SK_RESERVED_V2};
    struct sk_handshake in;
    uint8_t bytes[SK_HANDSHAKE_SIZE + 1];
    memset(out.info_hash, 0xab, 20);
    memset(out.peer_id, 'p', 20);
    sk_handshake_write(&out, bytes);
    assert_memory_equal(bytes,
                        "\x13"
                        "BitTorrent protocol\0\0\0\0\0\x10\0\x15\xab",
                        29);
    assert_int_equal(sk_handshake_read(sk_bytes(bytes, SK_HANDSHAKE_SIZE), &in), 0);
    assert_memory_equal(&in, &out, sizeof in);
    bytes[SK_HANDSHAKE_SIZE] = 'x'; /* what follows is not its business */
    assert_int_equal(sk_handshake_read(sk_bytes(bytes, SK_HANDSHAKE_SIZE + 1), &in), 0);
    for (size_t n = 0; n < SK_HANDSHAKE_SIZE; n++)
        assert_int_equal(sk_handshake_read(sk_bytes(bytes, n), &in), SKEP_ERR_TRUNCATED);
    for (size_t i = 0; i < 20; i++) { /* a wrong byte is seen as soon as it is there */
        bytes[i] ^= 1;
        assert_int_equal(sk_handshake_read(sk_bytes(bytes, i), &in), SKEP_ERR_TRUNCATED);
        assert_int_equal(sk_handshake_read(sk_bytes(bytes, i + 1), &in), SKEP_ERR_MALFORMED);
        assert_int_equal(sk_handshake_read(sk_bytes(bytes, SK_HANDSHAKE_SIZE), &in),
                         SKEP_ERR_MALFORMED);
        bytes[i] ^= 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),   cmocka_unit_test(test_bytes_on_the_wire),
        cmocka_unit_test(test_lengths),       cmocka_unit_test(test_names),
        cmocka_unit_test(test_unknown_ids),   cmocka_unit_test(test_hashes_count),
        cmocka_unit_test(test_write_to_full), cmocka_unit_test(test_handshake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
