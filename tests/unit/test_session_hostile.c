/*
 * What a hostile peer sends to an open session: one test for each way to break the protocol. The
 * session ends with the name of what was broken, holds no more than its bounds, and reads no byte
 * that is not there. The same for encryption is in test_session_mse.c.
 */
#include "session_pair.h"

#define ALL (SK_RESERVED_FAST | SK_RESERVED_EXTENSION)

struct attack {
    const char *name;
    enum sk_peer_violation violation;
    uint64_t reserved;
    bool before_metadata;
    const char *bytes; /* a text literal, with its length after it */
    size_t size;
    size_t times; /* 0 = once */
};

#define BYTES(literal) literal, sizeof(literal) - 1
#define INDEX_100 "\0\0\0\x64" /* the torrent has pieces 0 to 99 */

static const struct attack attacks[] = {
    {"2 GB length prefix", SK_PEER_VIOLATION_LENGTH, ALL, false, BYTES("\x7f\xff\xff\xff")},
    {"4 GB length prefix", SK_PEER_VIOLATION_LENGTH, ALL, false, BYTES("\xff\xff\xff\xff")},
    {"have of 2 MB", SK_PEER_VIOLATION_LENGTH, ALL, false, BYTES("\0\x20\0\0\4")},
    {"block of 1 MB", SK_PEER_VIOLATION_LENGTH, ALL, false, BYTES("\0\x10\0\0\7")},
    {"unknown message of 1 MB", SK_PEER_VIOLATION_LENGTH, ALL, false, BYTES("\0\x10\0\0\x63")},
    {"extension message of 1 MB", SK_PEER_VIOLATION_LENGTH, ALL, false, BYTES("\0\x10\0\0\x14")},
    {"have too short", SK_PEER_VIOLATION_LENGTH, ALL, false, BYTES("\0\0\0\4\4\0\0\0")},
    {"choke with a payload", SK_PEER_VIOLATION_LENGTH, ALL, false, BYTES("\0\0\0\2\0")},
    {"block without bytes", SK_PEER_VIOLATION_LENGTH, ALL, false,
     BYTES("\0\0\0\x9\7\0\0\0\0\0\0\0\0")},
    {"zero-length flood", SK_PEER_VIOLATION_FLOOD, ALL, false, BYTES("\0\0\0\0"), 1001},
    {"unknown id flood", SK_PEER_VIOLATION_FLOOD, ALL, false, BYTES("\0\0\0\1\x63"), 1001},
    {"choke flood", SK_PEER_VIOLATION_FLOOD, ALL, false, BYTES("\0\0\0\1\0"), 1001},
    {"repeated have flood", SK_PEER_VIOLATION_FLOOD, ALL, false, BYTES("\0\0\0\5\4\0\0\0\0"), 1002},
    {"extension handshake storm", SK_PEER_VIOLATION_FLOOD, ALL, false, BYTES("\0\0\0\4\x14\0de"),
     101},
    {"PEX storm", SK_PEER_VIOLATION_FLOOD, ALL, false, BYTES("\0\0\0\4\x14\2de"), 201},
    {"have out of range", SK_PEER_VIOLATION_INDEX, ALL, false, BYTES("\0\0\0\5\4" INDEX_100)},
    {"have beyond any torrent, before the metadata", SK_PEER_VIOLATION_INDEX, ALL, true,
     BYTES("\0\0\0\5\4\x80\0\0\0")},
    {"haves without end before the metadata", SK_PEER_VIOLATION_FLOOD, ALL, true,
     BYTES("\0\0\0\5\4\0\0\0\1"), SK_PEER_EARLY_HAVES_MAX + 1},
    {"have beyond the early bitfield", SK_PEER_VIOLATION_INDEX, ALL, true,
     BYTES("\0\0\0\2\5\xff\0\0\0\5\4\0\0\0\x8")},
    {"request out of range", SK_PEER_VIOLATION_INDEX, ALL, false,
     BYTES("\0\0\0\xd\6" INDEX_100 "\0\0\0\0\0\0\x40\0")},
    {"request past the end of a piece", SK_PEER_VIOLATION_INDEX, ALL, false,
     BYTES("\0\0\0\xd\6\0\0\0\0\0\0\xc0\1\0\0\x40\0")},
    {"request past the end of the torrent", SK_PEER_VIOLATION_INDEX, ALL, false,
     BYTES("\0\0\0\xd\6\0\0\0\x63\0\0\0\1\0\0\x3\xe8")},
    {"request whose end wraps round", SK_PEER_VIOLATION_INDEX, ALL, false,
     BYTES("\0\0\0\xd\6\0\0\0\0\xff\xff\xff\xff\0\0\0\1")},
    {"request for nothing", SK_PEER_VIOLATION_LENGTH, ALL, false,
     BYTES("\0\0\0\xd\6\0\0\0\0\0\0\0\0\0\0\0\0")},
    {"request of 1 MB", SK_PEER_VIOLATION_LENGTH, ALL, false,
     BYTES("\0\0\0\xd\6\0\0\0\0\0\0\0\0\0\x10\0\0")},
    {"request of 1 MB before the metadata", SK_PEER_VIOLATION_LENGTH, ALL, true,
     BYTES("\0\0\0\xd\6\0\0\0\0\0\0\0\0\0\x10\0\0")},
    {"cancel out of range", SK_PEER_VIOLATION_INDEX, ALL, false,
     BYTES("\0\0\0\xd\x8" INDEX_100 "\0\0\0\0\0\0\x40\0")},
    {"reject out of range", SK_PEER_VIOLATION_INDEX, ALL, false,
     BYTES("\0\0\0\xd\x10" INDEX_100 "\0\0\0\0\0\0\x40\0")},
    {"allowed-fast out of range", SK_PEER_VIOLATION_INDEX, ALL, false,
     BYTES("\0\0\0\5\x11" INDEX_100)},
    {"suggest out of range", SK_PEER_VIOLATION_INDEX, ALL, false, BYTES("\0\0\0\5\xd" INDEX_100)},
    {"reject of what was never asked", SK_PEER_VIOLATION_UNASKED, ALL, false,
     BYTES("\0\0\0\xd\x10\0\0\0\0\0\0\0\0\0\0\x40\0")},
    {"block never asked for", SK_PEER_VIOLATION_UNASKED, ALL, false,
     BYTES("\0\0\0\xa\7\0\0\0\0\0\0\0\0z")},
    {"block out of range", SK_PEER_VIOLATION_INDEX, ALL, false,
     BYTES("\0\0\0\xa\7" INDEX_100 "\0\0\0\0z")},
    {"block before the metadata", SK_PEER_VIOLATION_UNASKED, ALL, true,
     BYTES("\0\0\0\xa\7\0\0\0\0\0\0\0\0z")},
    {"have-all without BEP 6", SK_PEER_VIOLATION_FAST, 0, false, BYTES("\0\0\0\1\xe")},
    {"have-none without BEP 6", SK_PEER_VIOLATION_FAST, 0, false, BYTES("\0\0\0\1\xf")},
    {"suggest without BEP 6", SK_PEER_VIOLATION_FAST, 0, false, BYTES("\0\0\0\5\xd\0\0\0\0")},
    {"allowed-fast without BEP 6", SK_PEER_VIOLATION_FAST, 0, false, BYTES("\0\0\0\5\x11\0\0\0\0")},
    {"reject without BEP 6", SK_PEER_VIOLATION_FAST, 0, false,
     BYTES("\0\0\0\xd\x10\0\0\0\0\0\0\0\0\0\0\x40\0")},
    {"bitfield too short", SK_PEER_VIOLATION_BITFIELD, ALL, false, BYTES("\0\0\0\2\5")},
    {"bitfield too long", SK_PEER_VIOLATION_BITFIELD, ALL, false, BYTES("\0\0\0\xf\5")},
    {"empty bitfield", SK_PEER_VIOLATION_BITFIELD, ALL, false, BYTES("\0\0\0\1\5")},
    {"bitfield with a spare bit", SK_PEER_VIOLATION_BITFIELD, ALL, false,
     BYTES("\0\0\0\xe\5\0\0\0\0\0\0\0\0\0\0\0\0\1")},
    {"late bitfield with a spare bit", SK_PEER_VIOLATION_BITFIELD, ALL, false,
     BYTES("\0\0\0\5\4\0\0\0\0\0\0\0\xe\5\0\0\0\0\0\0\0\0\0\0\0\0\1")},
    {"have-all and bitfield and have-none", SK_PEER_VIOLATION_BITFIELD, ALL, true,
     BYTES("\0\0\0\1\xe\0\0\0\2\5\0\0\0\0\1\xf")},
    {"have-all and have-none", SK_PEER_VIOLATION_BITFIELD, ALL, false,
     BYTES("\0\0\0\1\xe\0\0\0\1\xf")},
    {"extension handshake that is no dictionary", SK_PEER_VIOLATION_EXTENSION, ALL, false,
     BYTES("\0\0\0\4\x14\0le")},
    {"extension handshake cut off", SK_PEER_VIOLATION_EXTENSION, ALL, false,
     BYTES("\0\0\0\3\x14\0d")},
    {"metadata message that is no dictionary", SK_PEER_VIOLATION_EXTENSION, ALL, false,
     BYTES("\0\0\0\3\x14\1x")},
    {"PEX that is no dictionary", SK_PEER_VIOLATION_EXTENSION, ALL, false,
     BYTES("\0\0\0\3\x14\2x")},
    {"don't-have of a wrong length", SK_PEER_VIOLATION_EXTENSION, ALL, false,
     BYTES("\0\0\0\3\x14\3x")},
    {"don't-have out of range", SK_PEER_VIOLATION_INDEX, ALL, false,
     BYTES("\0\0\0\6\x14\3" INDEX_100)},
    {"upload-only of no length", SK_PEER_VIOLATION_EXTENSION, ALL, false, BYTES("\0\0\0\2\x14\4")},
    {"metadata_size below zero", SK_PEER_VIOLATION_METADATA, ALL, false,
     BYTES("\0\0\0\x18\x14\0d13:metadata_sizei-2ee")},
    {"metadata_size over 2 GB", SK_PEER_VIOLATION_METADATA, ALL, false,
     BYTES("\0\0\0\x20\x14\0d13:metadata_sizei3000000000ee")},
    {"metadata_size that changes", SK_PEER_VIOLATION_METADATA, ALL, false,
     BYTES("\0\0\0\x18\x14\0d13:metadata_sizei99ee\0\0\0\x18\x14\0d13:metadata_sizei98ee")},
    {"metadata piece never asked for", SK_PEER_VIOLATION_UNASKED, ALL, false,
     BYTES("\0\0\0\x2c\x14\1d8:msg_typei1e5:piecei0e10:total_sizei1eez")},
    {"metadata reject never asked for", SK_PEER_VIOLATION_UNASKED, ALL, false,
     BYTES("\0\0\0\x1b\x14\1d8:msg_typei2e5:piecei0ee")},
};

static void open_for(struct side *side, const struct attack *attack)
{
    struct sk_peer_config config = test_config("a");
    if (attack->before_metadata)
        config.pieces = config.piece_size = 0;
    open_by_hand(side, &config, attack->reserved);
}

/* The length prefixes above are what the attack says they are. */
static void check_attack(const struct attack *attack, enum chunking chunking)
{
    struct side side;
    open_for(&side, attack);
    size_t size = attack->size * SK_MAX(attack->times, (size_t)1);
    uint8_t *bytes = malloc(size);
    for (size_t at = 0; at < size; at += attack->size)
        memcpy(bytes + at, attack->bytes, attack->size);
    size_t step = chunking == CHUNK_BYTES ? 1 : size;
    for (size_t at = 0; at < size; at += step) {
        if (side.counts[SK_PEER_EVENT_CLOSED])
            fail_msg("%s: closed %zu bytes early", attack->name, size - at);
        feed(&side, bytes + at, step, SK_SECOND_NS);
    }
    free(bytes);
    if (side.last[SK_PEER_EVENT_CLOSED].violation != attack->violation)
        fail_msg("%s: %s", attack->name,
                 sk_peer_violation_text(side.last[SK_PEER_EVENT_CLOSED].violation));
    assert_closed(&side, SK_PEER_REASON_PROTOCOL, attack->violation);
    sk_peer_free(side.peer);
}

static void test_attacks(void **state)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(attacks); i++) {
        check_attack(&attacks[i], CHUNK_WHOLE);
        check_attack(&attacks[i], CHUNK_BYTES);
    }
}

/* The same just below the bound does no harm. */
static void test_below_flood(void **state)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(attacks); i++) {
        if (attacks[i].violation != SK_PEER_VIOLATION_FLOOD)
            continue;
        struct side side;
        open_for(&side, &attacks[i]);
        for (size_t k = 0; k + 1 < attacks[i].times; k++)
            feed(&side, attacks[i].bytes, attacks[i].size, SK_SECOND_NS);
        assert_int_equal(side.counts[SK_PEER_EVENT_CLOSED], 0);
        sk_peer_free(side.peer);
    }
}

static void test_not_bittorrent(void **state)
{
    static const char *const texts[] = {"GET / HTTP/1.0\r\n\r\n",
                                        "\x13"
                                        "BitTorrent protocoL",
                                        "SSH-2.0-OpenSSH_9.2\r\n", "\x12"};
    for (size_t i = 0; i < SK_ARRAY_LEN(texts); i++) {
        for (int outgoing = 0; outgoing < 2; outgoing++) {
            struct sk_peer_config config = test_config("a");
            config.outgoing = outgoing;
            struct side side = {0};
            assert_int_equal(sk_peer_new(&config, 0, &side.peer), 0);
            feed(&side, texts[i], strlen(texts[i]), 1);
            assert_closed(&side, SK_PEER_REASON_PROTOCOL, SK_PEER_VIOLATION_NOT_BITTORRENT);
            sk_peer_free(side.peer);
        }
    }
}

/* A metadata piece that was asked for, but cannot be. */
static void test_metadata_pieces(void **state)
{
    static uint8_t data[SK_METADATA_PIECE_SIZE];
    static const struct {
        const char *handshake;
        uint32_t piece;
        int64_t total_size;
        size_t size;
        enum sk_peer_violation violation;
    } cases[] = {
        {"d13:metadata_sizei100ee", 0, 100, 100, SK_PEER_VIOLATION_NONE},
        {"d13:metadata_sizei100ee", 0, -1, 100, SK_PEER_VIOLATION_NONE},
        {"d13:metadata_sizei0ee", 0, 100, 100, SK_PEER_VIOLATION_NONE},
        {"d13:metadata_sizei-1ee", 1, 16385, 1, SK_PEER_VIOLATION_NONE},
        {"de", 1, 16385, 1, SK_PEER_VIOLATION_NONE},
        {"de", 1, 16384, 1, SK_PEER_VIOLATION_METADATA},
        {"de", 0, 16385, 16383, SK_PEER_VIOLATION_METADATA},
        {"de", 0, -1, 100, SK_PEER_VIOLATION_METADATA},
        {"de", 0, 0, 100, SK_PEER_VIOLATION_METADATA},
        {"de", UINT32_MAX, 3000000000, 100, SK_PEER_VIOLATION_METADATA},
        {"d13:metadata_sizei100ee", 0, 101, 101, SK_PEER_VIOLATION_METADATA},
        {"d13:metadata_sizei100ee", 0, 100, 99, SK_PEER_VIOLATION_METADATA},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct side side;
        struct sk_peer_config config = test_config("a");
        open_by_hand(&side, &config, ALL);
        struct sk_msg ids = {.kind = SK_MSG_EXTENDED,
                             .data = sk_bytes_text("d1:md11:ut_metadatai9eee")};
        feed_message(&side, &ids, SK_SECOND_NS);
        struct sk_msg size = {.kind = SK_MSG_EXTENDED, .data = sk_bytes_text(cases[i].handshake)};
        feed_message(&side, &size, SK_SECOND_NS);
        struct sk_metadata_message message = {.kind = SK_METADATA_REQUEST, .piece = cases[i].piece};
        assert_int_equal(sk_peer_send_metadata(side.peer, &message), 0);
        message.kind = SK_METADATA_DATA;
        message.total_size = cases[i].total_size;
        message.data = sk_bytes(data, cases[i].size);
        struct sk_buf payload = {.max = SIZE_MAX};
        assert_int_equal(sk_metadata_message_write(&payload, &message), 0);
        struct sk_msg answer = {.kind = SK_MSG_EXTENDED,
                                .extended_id = SK_EXT_METADATA,
                                .data = sk_buf_bytes(&payload)};
        feed_message(&side, &answer, SK_SECOND_NS);
        if (cases[i].violation) {
            assert_closed(&side, SK_PEER_REASON_PROTOCOL, cases[i].violation);
        } else {
            assert_int_equal(side.counts[SK_PEER_EVENT_METADATA], 1);
            feed_message(&side, &answer, SK_SECOND_NS); /* once asked, twice sent */
            assert_closed(&side, SK_PEER_REASON_PROTOCOL, SK_PEER_VIOLATION_UNASKED);
        }
        sk_buf_deinit(&payload);
        sk_peer_free(side.peer);
    }
}

/* Asked for once: of another length, twice, after a reject. */
static void test_blocks_unasked(void **state)
{
    struct sk_msg asked = {
        .kind = SK_MSG_PIECE, .index = 1, .begin = 4, .data = sk_bytes("abcd", 4)};
    struct sk_msg shorter = asked, longer = asked, elsewhere = asked;
    struct sk_msg reject = {.kind = SK_MSG_REJECT, .index = 1, .begin = 4, .length = 4};
    shorter.data = sk_bytes("abc", 3);
    longer.data = sk_bytes("abcde", 5);
    elsewhere.begin = 5;
    const struct sk_msg *const cases[][2] = {
        {&shorter}, {&longer}, {&elsewhere}, {&asked, &asked}, {&asked, &reject}, {&reject, &asked},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct side side;
        struct sk_peer_config config = test_config("a");
        open_by_hand(&side, &config, ALL);
        assert_int_equal(sk_peer_send_request(side.peer, 1, 4, 4, 0), 0);
        feed_message(&side, cases[i][0], SK_SECOND_NS);
        if (cases[i][1]) {
            assert_int_equal(side.counts[SK_PEER_EVENT_CLOSED], 0);
            feed_message(&side, cases[i][1], SK_SECOND_NS);
        }
        assert_closed(&side, SK_PEER_REASON_PROTOCOL, SK_PEER_VIOLATION_UNASKED);
        sk_peer_free(side.peer);
    }
}

static void test_hashes_unasked(void **state)
{
    uint8_t root[32] = "root", other[32] = "other", hashes[64] = {0};
    struct sk_hash_range range = {.root = root, .index = 2, .length = 2};
    struct sk_hash_range ranges[] = {range, range, range, range, range};
    ranges[0].root = other;
    ranges[1].index = 0;
    ranges[2].length = 1;
    ranges[3].proof_layers = 1;
    ranges[4].base_layer = 1;
    for (size_t i = 0; i < 2 * SK_ARRAY_LEN(ranges); i++) {
        struct side side;
        struct sk_peer_config config = test_config("a");
        config.has_v2 = true;
        open_by_hand(&side, &config, ALL);
        assert_int_equal(sk_peer_send_hash_request(side.peer, &range), 0);
        struct sk_msg answer = {.kind = i % 2 ? SK_MSG_HASHES : SK_MSG_HASH_REJECT,
                                .range = ranges[i / 2],
                                .hashes = sk_bytes(hashes, sizeof hashes)};
        feed_message(&side, &answer, SK_SECOND_NS);
        assert_closed(&side, SK_PEER_REASON_PROTOCOL, SK_PEER_VIOLATION_UNASKED);
        sk_peer_free(side.peer);
    }
}

/* They ask without end and read nothing: output is bounded, and then time is. */
static void serve_all(struct side *side, const struct sk_peer_event *event)
{
    static uint8_t block[BLOCK];
    if (event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_REQUEST &&
        sk_peer_send_piece(side->peer, 0, 0, sk_bytes(block, BLOCK)) == SKEP_ERR_LIMIT)
        *(bool *)side->context = true;
}

static void test_asks_and_never_reads(void **state)
{
    struct side side;
    struct sk_peer_config config = test_config("a");
    open_by_hand(&side, &config, ALL);
    bool full = false;
    side.on_event = serve_all;
    side.context = &full;
    struct sk_msg request = {.kind = SK_MSG_REQUEST, .length = BLOCK};
    uint64_t now_ns = SK_SECOND_NS;
    while (side.counts[SK_PEER_EVENT_CLOSED] == 0) {
        feed_message(&side, &request, now_ns);
        assert_true(sk_peer_output(side.peer).n <= SK_PEER_OUTPUT_MAX);
        now_ns += SK_SECOND_NS / 4;
        sk_peer_tick(side.peer, now_ns);
        drain(&side);
    }
    assert_true(full);
    assert_closed(&side, SK_PEER_REASON_OUTPUT_FULL, 0);
    sk_peer_free(side.peer);
}

/* Random bytes, and true messages with bytes changed, end in a close or in nothing. */
static void test_noise(void **state)
{
    struct sk_prng prng;
    sk_prng_init(&prng, 11);
    for (int round = 0; round < 2000; round++) {
        struct side side;
        struct sk_peer_config config = test_config("a");
        config.pieces = round % 3 ? 100 : 0;
        config.has_v2 = round % 2;
        open_by_hand(&side, &config, round % 5 ? ALL : 0);
        if (config.pieces)
            sk_peer_send_request(side.peer, 0, 0, 1, 0);
        for (int k = 0; k < 20; k++) {
            const struct attack *attack = &attacks[sk_prng_below(&prng, SK_ARRAY_LEN(attacks))];
            uint8_t bytes[128];
            memcpy(bytes, attack->bytes, attack->size);
            for (uint64_t n = sk_prng_below(&prng, 3); n; n--)
                bytes[sk_prng_below(&prng, attack->size)] = (uint8_t)sk_prng_u64(&prng);
            feed(&side, bytes, attack->size, SK_SECOND_NS);
        }
        assert_true(side.counts[SK_PEER_EVENT_CLOSED] <= 1);
        sk_peer_free(side.peer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attacks),
        cmocka_unit_test(test_below_flood),
        cmocka_unit_test(test_not_bittorrent),
        cmocka_unit_test(test_metadata_pieces),
        cmocka_unit_test(test_blocks_unasked),
        cmocka_unit_test(test_hashes_unasked),
        cmocka_unit_test(test_asks_and_never_reads),
        cmocka_unit_test(test_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
