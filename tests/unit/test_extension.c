/* The extension handshake, metadata and PEX messages: round trips and hostile fields. */
#include "wire/extension.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "wire/client_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct sk_extension_handshake read_handshake(const char *text)
{
    struct sk_extension_handshake handshake;
    assert_int_equal(sk_extension_handshake_read(sk_bytes_text(text), &handshake), 0);
    return handshake;
}

static void test_handshake_of_a_client(void **state)
{
    struct sk_extension_handshake h = read_handshake(
        "d1:ei1e4:ipv616:\x20\x01zzzzzzzzzzzzzz12:complete_agoi5e1:md11:lt_donthavei7e10:share_mode"
        "i8e11:upload_onlyi3e12:ut_holepunchi4e11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei31235e"
        "1:pi6881e4:reqqi500e11:upload_onlyi1e1:v18:libtorrent/2.0.8.06:yourip4:\x0a\x63\x01\x02"
        "e");
    assert_int_equal(h.ids[SK_EXT_METADATA], 2);
    assert_int_equal(h.ids[SK_EXT_PEX], 1);
    assert_int_equal(h.ids[SK_EXT_DONT_HAVE], 7);
    assert_int_equal(h.ids[SK_EXT_UPLOAD_ONLY], 3);
    assert_int_equal(h.ids[SK_EXT_HOLEPUNCH], 4);
    assert_int_equal(h.named, 0x3e);
    assert_true(sk_bytes_is(h.client, "libtorrent/2.0.8.0"));
    assert_int_equal(h.metadata_size, 31235);
    assert_int_equal(h.request_queue, 500);
    assert_int_equal(h.port, 6881);
    assert_int_equal(h.upload_only, 1);
    assert_true(h.encryption);
    assert_int_equal(h.your_ip.family, SK_FAMILY_V4);
    assert_memory_equal(h.your_ip.addr, "\x0a\x63\x01\x02", 4);
    assert_int_equal(h.ipv4.family, SK_FAMILY_NONE);
    assert_int_equal(h.ipv6.family, SK_FAMILY_V6);
}

/* What the clients of the interop tests send, byte for byte. */
static void test_handshakes_as_sent(void **state)
{
    static const struct {
        const char *text, *peer_id, *name;
        uint8_t metadata, pex;
        uint16_t port;
        uint32_t queue;
        int upload_only;
    } examples[] = {
        {"d1:md11:ut_metadatai9e6:ut_pexi8ee13:metadata_sizei268e1:pi16801e1:v12:aria2/1.36.0e",
         "A2-1-36-0-_l(\xf2}\xc2\xaaRc\xfc", "aria2 1.36.0", 9, 8, 16801, 0, -1},
        {"d1:ei1e1:md11:ut_metadatai3e6:ut_pexi1ee13:metadata_sizei268e1:pi16802e4:reqqi512e"
         "11:upload_onlyi1e1:v17:Transmission 3.00e",
         "-TR3000-826x1gjmmp3n", "Transmission 3.00", 3, 1, 16802, 512, 1},
        {"d12:complete_agoi-1e1:md11:lt_donthavei7e10:share_modei8e11:upload_onlyi3e12:ut_holepunch"
         "i4e11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei268e4:reqqi2000e11:upload_onlyi1e"
         "1:v18:libtorrent/2.0.8.06:yourip4:\x7f\x01\x01\x01"
         "e",
         "-LT2080-FpA4aVnfIhh(", "libtorrent 2.0.8", 2, 1, 0, 2000, 1},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(examples); i++) {
        struct sk_extension_handshake h = read_handshake(examples[i].text);
        char name[SK_CLIENT_NAME_MAX];
        const uint8_t *id = (const uint8_t *)examples[i].peer_id;
        assert_string_equal(sk_client_name(id, h.client, name), examples[i].name);
        assert_string_equal(sk_client_name(id, sk_bytes(NULL, 0), name), examples[i].name);
        assert_int_equal(h.ids[SK_EXT_METADATA], examples[i].metadata);
        assert_int_equal(h.ids[SK_EXT_PEX], examples[i].pex);
        assert_int_equal(h.port, examples[i].port);
        assert_int_equal(h.request_queue, examples[i].queue);
        assert_int_equal(h.upload_only, examples[i].upload_only);
        assert_int_equal(h.metadata_size, 268);
    }
}

static void test_handshake_of_nothing(void **state)
{
    struct sk_extension_handshake h = read_handshake("de");
    for (int e = 0; e < SK_EXT_COUNT; e++)
        assert_int_equal(h.ids[e], 0);
    assert_int_equal(h.named, 0);
    assert_int_equal(h.client.n, 0);
    assert_int_equal(h.metadata_size, -1);
    assert_int_equal(h.request_queue, 0);
    assert_int_equal(h.port, 0);
    assert_int_equal(h.upload_only, -1);
    assert_false(h.encryption);
    assert_int_equal(h.your_ip.family, SK_FAMILY_NONE);
    assert_int_equal(h.ipv4.family, SK_FAMILY_NONE);
    assert_int_equal(h.ipv6.family, SK_FAMILY_NONE);
}

static void test_handshake_malformed(void **state)
{
    static const char *const examples[] = {
        "", "d", "le", "i1e", "4:spam", "d1:md6:ut_pexi1ee", "d1:mi01ee", "d1:v9:shorte", "x",
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(examples); i++) {
        struct sk_extension_handshake h = {.port = 7};
        assert_int_equal(sk_extension_handshake_read(sk_bytes_text(examples[i]), &h),
                         SKEP_ERR_MALFORMED);
        assert_int_equal(h.port, 7);
    }
}

/* threats.md: metadata_size of -1, 0, > 2 GB; what is no number is absent. */
static void test_metadata_size(void **state)
{
    static const struct {
        const char *text;
        int64_t size;
    } examples[] = {
        {"d13:metadata_sizei-1ee", -1},
        {"d13:metadata_sizei-5ee", -5},
        {"d13:metadata_sizei0ee", 0},
        {"d13:metadata_sizei2147483648ee", 2147483648},
        {"d13:metadata_sizei9223372036854775807ee", INT64_MAX},
        {"d13:metadata_sizei-9223372036854775808ee", INT64_MIN},
        {"d13:metadata_size3:100e", -1},
        {"d13:metadata_sizeli1eee", -1},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(examples); i++)
        assert_int_equal(read_handshake(examples[i].text).metadata_size, examples[i].size);
}

static void test_hostile_numbers(void **state)
{
    static const struct {
        int64_t sent;
        uint32_t queue;
        uint16_t port;
        uint8_t id;
        bool named;
    } examples[] = {
        {-1, 0, 0, 0, false},
        {INT64_MIN, 0, 0, 0, false},
        {0, 0, 0, 0, true}, /* switched off */
        {1, 1, 1, 1, true},
        {255, 255, 255, 255, true},
        {256, 256, 256, 0, false},
        {257, 257, 257, 0, false},
        {65535, 65535, 65535, 0, false},
        {SK_PEER_REQUEST_QUEUE_MAX, SK_PEER_REQUEST_QUEUE_MAX, 0, 0, false},
        {SK_PEER_REQUEST_QUEUE_MAX + 1, 0, 0, 0, false},
        {INT64_C(0x100000001), 0, 0, 0, false},
        {INT64_MAX, 0, 0, 0, false},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(examples); i++) {
        char text[200];
        long long sent = examples[i].sent;
        snprintf(text, sizeof text, "d1:md6:ut_pexi%llde1:zi1ee1:pi%llde4:reqqi%lldee", sent, sent,
                 sent);
        struct sk_extension_handshake h = read_handshake(text);
        assert_int_equal(h.request_queue, examples[i].queue);
        assert_int_equal(h.port, examples[i].port);
        assert_int_equal(h.ids[SK_EXT_PEX], examples[i].id);
        assert_int_equal(h.named, examples[i].named ? 1u << SK_EXT_PEX : 0);
    }
}

/* Keys in any order; where one comes twice the first counts; values of a wrong type are absent. */
static void test_handshake_loose(void **state)
{
    struct sk_extension_handshake h = read_handshake("d1:v3:abc1:pi5e1:pi6e1:md6:ut_pexi3e11:"
                                                     "ut_metadatai2eee trailing bytes");
    assert_true(sk_bytes_is(h.client, "abc"));
    assert_int_equal(h.port, 5);
    assert_int_equal(h.ids[SK_EXT_PEX], 3);
    assert_int_equal(h.ids[SK_EXT_METADATA], 2);
    h = read_handshake("d1:ele1:m3:abc1:p2:801:vi1e11:upload_only1:16:yourip5:123454:ipv416:"
                       "aaaaaaaaaaaaaaaa4:ipv64:aaaae");
    assert_int_equal(h.named, 0);
    assert_int_equal(h.port, 0);
    assert_int_equal(h.client.n, 0);
    assert_int_equal(h.upload_only, -1);
    assert_false(h.encryption);
    assert_int_equal(h.your_ip.family, SK_FAMILY_NONE);
    assert_int_equal(h.ipv4.family, SK_FAMILY_NONE);
    assert_int_equal(h.ipv6.family, SK_FAMILY_NONE);
}

static void test_yourip_lengths(void **state)
{
    for (unsigned n = 0; n < 20; n++) {
        char text[64];
        snprintf(text, sizeof text, "d6:yourip%u:%.*se", n, (int)n, "abcdefghijklmnopqrstuvwxyz");
        unsigned family = n == 4 ? SK_FAMILY_V4 : n == 16 ? SK_FAMILY_V6 : SK_FAMILY_NONE;
        assert_int_equal(read_handshake(text).your_ip.family, family);
    }
}

static void test_handshake_round_trip(void **state)
{
    static const uint8_t v4[] = {10, 99, 0, 1}, v6[16] = {0xfd, [15] = 1};
    struct sk_extension_handshake out = {
        .ids = {0, SK_EXT_METADATA, SK_EXT_PEX, SK_EXT_DONT_HAVE, 0, 255},
        .named = 0x3e, /* upload_only is switched off */
        .client = sk_bytes_text("skep 1"),
        .metadata_size = INT64_MAX,
        .request_queue = SK_PEER_REQUEST_QUEUE_MAX,
        .port = UINT16_MAX,
        .upload_only = 1,
        .encryption = true,
        .your_ip = sk_endpoint_v6(v6, 0),
        .ipv4 = sk_endpoint_v4(v4, 0),
        .ipv6 = sk_endpoint_v6(v6, 0),
    };
    struct sk_extension_handshake in;
    struct sk_buf buf;
    sk_buf_init(&buf, 4096);
    assert_int_equal(sk_extension_handshake_write(&buf, &out), 0);
    assert_int_equal(sk_extension_handshake_read(sk_buf_bytes(&buf), &in), 0);
    assert_memory_equal(in.ids, out.ids, sizeof in.ids);
    assert_int_equal(in.named, out.named);
    assert_true(sk_bytes_equal(in.client, out.client));
    assert_int_equal(in.metadata_size, out.metadata_size);
    assert_int_equal(in.request_queue, out.request_queue);
    assert_int_equal(in.port, out.port);
    assert_int_equal(in.upload_only, 1);
    assert_true(in.encryption);
    assert_true(sk_endpoint_equal(&in.your_ip, &out.your_ip));
    assert_true(sk_endpoint_equal(&in.ipv4, &out.ipv4));
    assert_true(sk_endpoint_equal(&in.ipv6, &out.ipv6));
    sk_buf_deinit(&buf);
}

static void test_handshake_written(void **state)
{
    static const char full[] = "d1:md6:ut_pexi2ee13:metadata_sizei100e1:pi80e11:upload_onlyi0e"
                               "1:v4:skepe";
    static const char least[] = "d1:mdee";
    struct sk_buf buf;
    sk_buf_init(&buf, 4096);
    struct sk_extension_handshake h = {.ids = {[SK_EXT_PEX] = SK_EXT_PEX},
                                       .client = sk_bytes_text("skep"),
                                       .metadata_size = 100,
                                       .port = 80};
    assert_int_equal(sk_extension_handshake_write(&buf, &h), 0);
    assert_true(sk_bytes_is(sk_buf_bytes(&buf), full));
    sk_buf_deinit(&buf);
    h = (struct sk_extension_handshake){.metadata_size = -1, .upload_only = -1};
    assert_int_equal(sk_extension_handshake_write(&buf, &h), 0);
    assert_true(sk_bytes_is(sk_buf_bytes(&buf), least));
    sk_buf_deinit(&buf);
}

static void test_names(void **state)
{
    assert_string_equal(sk_extension_name(SK_EXT_HANDSHAKE), "handshake");
    assert_string_equal(sk_extension_name(SK_EXT_METADATA), "ut_metadata");
    assert_string_equal(sk_extension_name(SK_EXT_HOLEPUNCH), "ut_holepunch");
    assert_string_equal(sk_extension_name(SK_EXT_COUNT), "unknown");
    assert_string_equal(sk_extension_name((enum sk_extension) - 1), "unknown");
}

static void test_metadata_round_trips(void **state)
{
    static const uint8_t block[SK_METADATA_PIECE_SIZE] = "info";
    const struct {
        struct sk_metadata_message message;
        const char *head;
    } examples[] = {
        {{SK_METADATA_REQUEST, 3, -1, {0}}, "d8:msg_typei0e5:piecei3ee"},
        {{SK_METADATA_REJECT, UINT32_MAX, -1, {0}}, "d8:msg_typei2e5:piecei4294967295ee"},
        {{SK_METADATA_DATA, 0, 34256, {block, 9}}, "d8:msg_typei1e5:piecei0e10:total_sizei34256ee"},
        {{SK_METADATA_DATA, 1, -1, {block, sizeof block}}, "d8:msg_typei1e5:piecei1ee"},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(examples); i++) {
        const struct sk_metadata_message *out = &examples[i].message;
        struct sk_metadata_message in;
        struct sk_buf buf;
        sk_buf_init(&buf, 32768);
        assert_int_equal(sk_metadata_message_write(&buf, out), 0);
        assert_int_equal(buf.n, strlen(examples[i].head) + out->data.n);
        assert_memory_equal(buf.p, examples[i].head, strlen(examples[i].head));
        assert_int_equal(sk_metadata_message_read(sk_buf_bytes(&buf), &in), 0);
        assert_int_equal(in.kind, out->kind);
        assert_int_equal(in.piece, out->piece);
        assert_int_equal(in.total_size, out->total_size);
        assert_true(sk_bytes_equal(in.data, out->data));
        sk_buf_deinit(&buf);
    }
}

static void test_metadata_hostile(void **state)
{
    static const struct {
        const char *text;
        int err;
    } examples[] = {
        {"", SKEP_ERR_MALFORMED},
        {"i1e", SKEP_ERR_MALFORMED},
        {"de", SKEP_ERR_MALFORMED},
        {"d8:msg_typei0ee", SKEP_ERR_MALFORMED},
        {"d5:piecei0ee", SKEP_ERR_MALFORMED},
        {"d8:msg_type1:05:piecei0ee", SKEP_ERR_MALFORMED},
        {"d8:msg_typei0e5:piecei-1ee", SKEP_ERR_MALFORMED},
        {"d8:msg_typei0e5:piecei4294967296ee", SKEP_ERR_MALFORMED},
        {"d8:msg_typei0e5:piece1:0e", SKEP_ERR_MALFORMED},
        {"d8:msg_typei-1e5:piecei0ee", SKEP_ERR_UNSUPPORTED},
        {"d8:msg_typei3e5:piecei0ee", SKEP_ERR_UNSUPPORTED},
        {"d8:msg_typei256ee", SKEP_ERR_UNSUPPORTED},
        {"d8:msg_typei1e5:piecei0ee", SKEP_ERR_MALFORMED}, /* data without data */
        {"d8:msg_typei1e5:piecei0e", SKEP_ERR_MALFORMED},
        {"d5:piecei0e8:msg_typei1eex", 0}, /* not sorted */
        {"d8:msg_typei0e5:piecei0eexxx", 0},
        {"d8:msg_typei1e5:piecei0e10:total_sizei-7eex", 0},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(examples); i++) {
        struct sk_metadata_message message = {.piece = 77};
        assert_int_equal(sk_metadata_message_read(sk_bytes_text(examples[i].text), &message),
                         examples[i].err);
        assert_int_equal(message.piece, examples[i].err ? 77 : 0);
    }
}

static void test_metadata_block_size(void **state)
{
    static const char head[] = "d8:msg_typei1e5:piecei0ee";
    uint8_t payload[sizeof head - 1 + SK_METADATA_PIECE_SIZE + 1] = {0};
    struct sk_metadata_message message;
    memcpy(payload, head, sizeof head - 1);
    assert_int_equal(sk_metadata_message_read(sk_bytes(payload, sizeof payload), &message),
                     SKEP_ERR_MALFORMED);
    assert_int_equal(sk_metadata_message_read(sk_bytes(payload, sizeof payload - 1), &message), 0);
    assert_int_equal(message.data.n, SK_METADATA_PIECE_SIZE);
}

static void check_peer(const struct sk_pex_peer *peer, const char *endpoint, unsigned flags,
                       bool dropped)
{
    char text[SK_ENDPOINT_TEXT_MAX];
    assert_string_equal(sk_endpoint_text(&peer->endpoint, text), endpoint);
    assert_int_equal(peer->flags, flags);
    assert_int_equal(peer->dropped, dropped);
}

static void test_pex_read(void **state)
{
    struct sk_pex_peer peers[8];
    size_t count = 0;
    assert_int_equal(
        sk_pex_read(sk_bytes_text("d5:added12:\x01\x02\x03\x04\x1a\xe1\x05\x06\x07\x08\x1a\xe2"
                                  "7:added.f2:\x13\x02"
                                  "6:added618:aaaaaaaaaaaaaaaaaa8:added6.f1:\x04"
                                  "7:dropped6:\x01\x01\x01\x01\x1a\xe1"
                                  "8:dropped618:bbbbbbbbbbbbbbbbbbe"),
                    peers, 8, &count),
        0);
    assert_int_equal(count, 5);
    check_peer(&peers[0], "1.2.3.4:6881", SK_PEX_ENCRYPTION | SK_PEX_SEED | SK_PEX_REACHABLE,
               false);
    check_peer(&peers[1], "5.6.7.8:6882", SK_PEX_SEED, false);
    check_peer(&peers[2], "[6161:6161:6161:6161:6161:6161:6161:6161]:24929", SK_PEX_UTP, false);
    check_peer(&peers[3], "1.1.1.1:6881", 0, true);
    check_peer(&peers[4], "[6262:6262:6262:6262:6262:6262:6262:6262]:25186", 0, true);
}

/* Strings of no whole number of entries, flags that are too few, too many, or no string. */
static void test_pex_odd(void **state)
{
    static const struct {
        const char *text;
        size_t count;
        unsigned flags[2];
    } examples[] = {
        {"de", 0, {0}},
        {"d5:added0:e", 0, {0}},
        {"d5:added5:aaaaae", 0, {0}},
        {"d5:added6:aaaaaae", 1, {0}},
        {"d5:added7:aaaaaabe", 1, {0}},
        {"d5:added11:aaaaaabbbbb7:added.f2:\x01\x02"
         "e",
         1,
         {1}},
        {"d5:added12:aaaaaabbbbbb7:added.f1:\x01"
         "e",
         2,
         {1, 0}},
        {"d5:added12:aaaaaabbbbbb7:added.f0:e", 2, {0, 0}},
        {"d5:added12:aaaaaabbbbbb7:added.f3:\x01\x02\x03"
         "e",
         2,
         {1, 2}},
        {"d5:added12:aaaaaabbbbbb7:added.fi1ee", 2, {0, 0}},
        {"d7:added.f1:\x09"
         "5:added6:aaaaaae",
         1,
         {9}}, /* not sorted */
        {"d5:addedi6ee", 0, {0}},
        {"d6:added617:aaaaaaaaaaaaaaaaae", 0, {0}},
        {"d6:added619:aaaaaaaaaaaaaaaaaaae", 1, {0}},
        {"d5:added6:aaaaaaejunk", 1, {0}},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(examples); i++) {
        struct sk_pex_peer peers[4];
        size_t count = 99;
        assert_int_equal(sk_pex_read(sk_bytes_text(examples[i].text), peers, 4, &count), 0);
        assert_int_equal(count, examples[i].count);
        for (size_t j = 0; j < count; j++)
            assert_int_equal(peers[j].flags, examples[i].flags[j]);
    }
}

/* The same endpoint added and dropped at once: both are told, the dropped one last. */
static void test_pex_overlap(void **state)
{
    struct sk_pex_peer peers[4];
    size_t count = 0;
    assert_int_equal(
        sk_pex_read(sk_bytes_text("d7:dropped6:aaaabb5:added6:aaaabbe"), peers, 4, &count), 0);
    assert_int_equal(count, 2);
    check_peer(&peers[0], "97.97.97.97:25186", 0, false);
    check_peer(&peers[1], "97.97.97.97:25186", 0, true);
}

/* IPv4-mapped IPv6 is IPv4, so that one peer has one endpoint. */
static void test_pex_mapped(void **state)
{
    static const char text[] = "d6:added618:\0\0\0\0\0\0\0\0\0\0\xff\xff\x01\x02\x03\x04\0\x50"
                               "e";
    struct sk_pex_peer peers[1];
    size_t count = 0;
    assert_int_equal(sk_pex_read(sk_bytes(text, sizeof text - 1), peers, 1, &count), 0);
    assert_int_equal(count, 1);
    check_peer(&peers[0], "1.2.3.4:80", 0, false);
}

static void test_pex_malformed(void **state)
{
    static const char *const examples[] = {"", "le", "d", "d5:added", "d5:added6:aaaaae", "i0e"};
    for (size_t i = 0; i < SK_ARRAY_LEN(examples); i++) {
        struct sk_pex_peer peers[4];
        size_t count = 99;
        assert_int_equal(sk_pex_read(sk_bytes_text(examples[i]), peers, 4, &count),
                         SKEP_ERR_MALFORMED);
        assert_int_equal(count, 99);
    }
}

/* Peers of every section come back as they were written, cut at the reader's room. */
static void test_pex_round_trip(void **state)
{
    struct sk_pex_peer out[SK_PEX_PEERS_MAX], in[SK_PEX_PEERS_MAX];
    struct sk_buf buf;
    size_t count = 0;
    memset(out, 0, sizeof out);
    for (size_t i = 0; i < SK_PEX_PEERS_MAX; i++) {
        const uint8_t addr[16] = {32, 1, (uint8_t)i, (uint8_t)(i >> 8)};
        unsigned section = (unsigned)(i / (SK_PEX_PEERS_MAX / 4)); /* in the order of reading */
        out[i].endpoint = section % 2 ? sk_endpoint_v6(addr, 1 + (uint16_t)i)
                                      : sk_endpoint_v4(addr, 1 + (uint16_t)i);
        out[i].dropped = section >= 2;
        out[i].flags = out[i].dropped ? 0 : (uint8_t)i;
    }
    sk_buf_init(&buf, 65536);
    assert_int_equal(sk_pex_write(&buf, out, SK_PEX_PEERS_MAX), 0);
    for (size_t max = 0; max <= SK_PEX_PEERS_MAX; max += 25) {
        assert_int_equal(sk_pex_read(sk_buf_bytes(&buf), in, max, &count), 0);
        assert_int_equal(count, max);
        for (size_t i = 0; i < count; i++) {
            assert_true(sk_endpoint_equal(&in[i].endpoint, &out[i].endpoint));
            assert_int_equal(in[i].flags, out[i].flags);
            assert_int_equal(in[i].dropped, out[i].dropped);
        }
    }
    sk_buf_deinit(&buf);
    assert_int_equal(sk_pex_write(&buf, NULL, 0), 0);
    assert_true(sk_bytes_is(sk_buf_bytes(&buf), "d5:added0:7:added.f0:6:added60:8:added6.f0:"
                                                "7:dropped0:8:dropped60:e"));
    sk_buf_deinit(&buf);
}

/* Nothing is half written to a buffer that is too small. */
/* Bytes as in the BEP; and as libtorrent writes them, which leaves an error of 0 out. */
static void test_holepunch(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        enum sk_holepunch_kind kind;
        const char *endpoint;
        uint32_t error;
    } examples[] = {
        {"\0\0\12\0\0\1\x1a\xe1\0\0\0\0", 12, SK_HOLEPUNCH_RENDEZVOUS, "10.0.0.1:6881", 0},
        {"\1\1\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x1a\xe1\0\0\0\0", 24, SK_HOLEPUNCH_CONNECT,
         "[2001:db8::1]:6881", 0},
        {"\2\0\12\0\0\1\x1a\xe1\0\0\0\4", 12, SK_HOLEPUNCH_ERROR, "10.0.0.1:6881",
         SK_HOLEPUNCH_NO_SELF},
        {"\2\0\12\0\0\1\x1a\xe1\1\2\3\4", 12, SK_HOLEPUNCH_ERROR, "10.0.0.1:6881", 0x01020304},
        {"\1\0\12\0\0\1\x1a\xe1", 8, SK_HOLEPUNCH_CONNECT, "10.0.0.1:6881", 0},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(examples); i++) {
        struct sk_bytes bytes = sk_bytes(examples[i].bytes, examples[i].n);
        struct sk_holepunch message;
        struct sk_endpoint endpoint;
        struct sk_buf buf;
        assert_int_equal(sk_holepunch_read(bytes, &message), 0);
        assert_int_equal(message.kind, examples[i].kind);
        assert_int_equal(sk_endpoint_parse(examples[i].endpoint, 0, &endpoint), 0);
        assert_true(sk_endpoint_equal(&message.endpoint, &endpoint));
        assert_int_equal(message.error, examples[i].error);
        sk_buf_init(&buf, 1000);
        assert_int_equal(sk_holepunch_write(&buf, &message), 0);
        assert_int_equal(buf.n, message.endpoint.family == SK_FAMILY_V6 ? 24 : 12);
        assert_memory_equal(buf.p, bytes.p, bytes.n);
        sk_buf_deinit(&buf);
    }
}

static void test_holepunch_hostile(void **state)
{
    static const char v6[] = "\1\1\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x1a\xe1";
    struct sk_holepunch message;
    for (size_t n = 0; n < 20; n++)
        assert_int_equal(sk_holepunch_read(sk_bytes(v6, n), &message), SKEP_ERR_MALFORMED);
    assert_int_equal(sk_holepunch_read(sk_bytes("\0\0\1\2\3\4\5", 7), &message),
                     SKEP_ERR_MALFORMED);
    assert_int_equal(sk_holepunch_read(sk_bytes("\0\2\1\2\3\4\5\6", 8), &message),
                     SKEP_ERR_MALFORMED);
    assert_int_equal(sk_holepunch_read(sk_bytes("\3\0\1\2\3\4\5\6", 8), &message),
                     SKEP_ERR_UNSUPPORTED);
    assert_int_equal(sk_holepunch_read(sk_bytes("\3\377", 2), &message), SKEP_ERR_UNSUPPORTED);
}

static void test_write_to_full(void **state)
{
    const struct sk_extension_handshake handshake = {.client = sk_bytes_text("skep")};
    const struct sk_metadata_message message = {.kind = SK_METADATA_DATA,
                                                .data = sk_bytes_text("0123456789")};
    struct sk_pex_peer peer = {.endpoint = {.family = SK_FAMILY_V4, .port = 1}};
    for (size_t max = 0; max < 137; max++) {
        struct sk_buf buf;
        sk_buf_init(&buf, max);
        assert_int_equal(sk_extension_handshake_write(&buf, &handshake), SKEP_ERR_LIMIT);
        assert_int_equal(buf.n, 0);
        sk_buf_deinit(&buf);
        assert_int_equal(sk_metadata_message_write(&buf, &message), SKEP_ERR_LIMIT);
        assert_int_equal(buf.n, 0);
        sk_buf_deinit(&buf);
        assert_int_equal(
            sk_holepunch_write(&buf, &(struct sk_holepunch){.endpoint = peer.endpoint}),
            max < 24 ? SKEP_ERR_LIMIT : 0);
        sk_buf_deinit(&buf);
        assert_int_equal(sk_pex_write(&buf, &peer, 1), SKEP_ERR_LIMIT);
        assert_int_equal(buf.n, 0);
        sk_buf_deinit(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_of_a_client),
        cmocka_unit_test(test_handshakes_as_sent),
        cmocka_unit_test(test_handshake_of_nothing),
        cmocka_unit_test(test_handshake_malformed),
        cmocka_unit_test(test_metadata_size),
        cmocka_unit_test(test_hostile_numbers),
        cmocka_unit_test(test_handshake_loose),
        cmocka_unit_test(test_yourip_lengths),
        cmocka_unit_test(test_handshake_round_trip),
        cmocka_unit_test(test_handshake_written),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_metadata_round_trips),
        cmocka_unit_test(test_metadata_hostile),
        cmocka_unit_test(test_metadata_block_size),
        cmocka_unit_test(test_pex_read),
        cmocka_unit_test(test_pex_odd),
        cmocka_unit_test(test_pex_overlap),
        cmocka_unit_test(test_pex_mapped),
        cmocka_unit_test(test_pex_malformed),
        cmocka_unit_test(test_pex_round_trip),
        cmocka_unit_test(test_holepunch),
        cmocka_unit_test(test_holepunch_hostile),
        cmocka_unit_test(test_write_to_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
