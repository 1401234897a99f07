/* Peer sessions: how they open, wait, send and end. Messages are in test_session_message.c, what a
 * hostile peer sends in test_session_hostile.c, encryption in test_session_mse.c. */
#include "session_pair.h"

#include <malloc.h>

static void test_open(void **state)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(all_chunkings); i++) {
        struct pair pair;
        open_pair(&pair, all_chunkings[i]);
        const struct sk_peer_view *a = sk_peer_view(pair.a.peer), *b = sk_peer_view(pair.b.peer);
        assert_true(a->outgoing && !b->outgoing);
        assert_memory_equal(a->peer_id, pair.b.accept.peer_id, 20);
        assert_int_equal(b->peer_id[0], 'a');
        assert_true(a->fast && a->extended && b->fast && b->extended);
        assert_true(a->choked && a->choking && !a->interested && !a->peer_interested);
        assert_int_equal(a->encryption, SK_MSE_PLAIN);
        assert_false(a->mse);
        assert_string_equal(a->client_v, "skep test");
        assert_int_equal(b->extension.ids[SK_EXT_PEX], SK_EXT_PEX);
        assert_int_equal(pair.a.counts[SK_PEER_EVENT_EXTENDED], 1);
        assert_int_equal(pair.b.counts[SK_PEER_EVENT_HELLO], 1);
        assert_int_equal(a->bytes_in, b->bytes_out);
        assert_int_equal(a->have.count, 100);
        assert_int_equal(a->upload_only, -1);
        assert_null(sk_peer_output(pair.a.peer).p);
        pair_deinit(&pair);
    }
}

static void test_v2_bit(void **state)
{
    struct pair pair;
    struct sk_peer_config a = test_config("a"), b = test_config("b");
    a.has_v2 = true;
    pair_init(&pair, &a, &b, CHUNK_WHOLE);
    run(&pair);
    assert_true(sk_peer_view(pair.b.peer)->reserved & SK_RESERVED_V2);
    assert_false(sk_peer_view(pair.a.peer)->reserved & SK_RESERVED_V2);
    assert_false(sk_peer_view(pair.a.peer)->reserved & SK_RESERVED_DHT);
    pair_deinit(&pair);
}

/* Answers of other torrents, of ourselves, and of a hybrid torrent's other half. */
static void test_answers(void **state)
{
    static const struct {
        uint8_t hash_first, id_first;
        enum sk_peer_reason reason;
    } cases[] = {
        {'X', 'b', SK_PEER_REASON_WRONG_INFO_HASH},
        {'t', 'a', SK_PEER_REASON_SELF},
        {'V', 'b', SK_PEER_REASON_NONE},
        {0, 'b', SK_PEER_REASON_WRONG_INFO_HASH},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct pair pair;
        struct sk_peer_config a = test_config("a"), b = test_config("b");
        if (cases[i].hash_first == 'V')
            memset(a.info_hash_other, 'V', 20);
        if (cases[i].hash_first != 't')
            memset(b.info_hash, cases[i].hash_first, 20);
        b.peer_id[0] = cases[i].id_first;
        pair_init(&pair, &a, &b, CHUNK_WHOLE);
        run(&pair);
        if (cases[i].reason == SK_PEER_REASON_NONE)
            assert_int_equal(pair.a.counts[SK_PEER_EVENT_OPEN], 1);
        else if (cases[i].reason == SK_PEER_REASON_SELF)
            assert_closed(&pair.b, cases[i].reason, 0); /* the one that answers sees it first */
        else
            assert_closed(&pair.a, cases[i].reason, 0);
        pair_deinit(&pair);
    }
}

static void test_self_seen_by_dialler(void **state)
{
    struct sk_peer_config config = test_config("by hand");
    memset(config.peer_id, 0, 20);
    memcpy(config.peer_id, "by hand", 7);
    config.outgoing = true;
    struct side side = {0};
    struct sk_handshake handshake = {.peer_id = "by hand"};
    memcpy(handshake.info_hash, test_hash, 20);
    uint8_t bytes[SK_HANDSHAKE_SIZE];
    sk_handshake_write(&handshake, bytes);
    assert_int_equal(sk_peer_new(&config, 0, &side.peer), 0);
    feed(&side, bytes, sizeof bytes, 1);
    assert_closed(&side, SK_PEER_REASON_SELF, 0);
    sk_peer_free(side.peer);
}

static void test_refused(void **state)
{
    struct pair pair;
    struct sk_peer_config a = test_config("a"), b = test_config("b");
    pair_init(&pair, &a, &b, CHUNK_WHOLE);
    pair.b.refuse = true;
    run(&pair);
    assert_closed(&pair.b, SK_PEER_REASON_LOCAL, 0);
    assert_int_equal(sk_peer_accept(pair.b.peer, &b), SKEP_ERR_STATE);
    sk_peer_input_eof(pair.a.peer, pair.now_ns);
    drain(&pair.a);
    assert_closed(&pair.a, SK_PEER_REASON_EOF_EARLY, 0);
    pair_deinit(&pair);
}

/* What follows the handshake waits until the owner has answered; without end it does not. */
static void test_hello_waits(void **state)
{
    struct pair pair;
    struct sk_peer_config a = test_config("a"), b = test_config("b");
    pair_init(&pair, &a, &b, CHUNK_BYTES);
    pair.b.wait = true;
    run(&pair);
    assert_int_equal(sk_peer_view(pair.b.peer)->state, SK_PEER_HANDSHAKE);
    uint8_t haves[2 * 9];
    for (uint32_t i = 0; i < 2; i++) {
        memcpy(haves + 9 * i, "\0\0\0\5\4", 5);
        sk_put_u32(haves + 9 * i + 5, i);
    }
    feed(&pair.b, haves, sizeof haves, pair.now_ns);
    assert_int_equal(pair.b.counts[SK_PEER_EVENT_MESSAGE], 0);
    assert_int_equal(sk_peer_accept(pair.b.peer, &b), 0);
    drain(&pair.b);
    assert_int_equal(pair.b.counts[SK_PEER_EVENT_MESSAGE], 2);
    assert_int_equal(sk_peer_view(pair.b.peer)->have.set, 2);
    pair_deinit(&pair);

    pair_init(&pair, &a, &b, CHUNK_WHOLE);
    pair.b.wait = true;
    run(&pair);
    uint8_t *zeros = calloc(1, SK_PEER_HELD_MAX);
    feed(&pair.b, zeros, SK_PEER_HELD_MAX, pair.now_ns);
    assert_int_equal(pair.b.counts[SK_PEER_EVENT_CLOSED], 0);
    feed(&pair.b, zeros, 1, pair.now_ns);
    assert_closed(&pair.b, SK_PEER_REASON_PROTOCOL, SK_PEER_VIOLATION_FLOOD);
    free(zeros);
    pair_deinit(&pair);
}

static void test_handshake_timeout(void **state)
{
    for (int outgoing = 0; outgoing < 2; outgoing++) {
        struct sk_peer_config config = test_config("a");
        config.outgoing = outgoing;
        struct side side = {0};
        uint64_t now_ns = 50 * SK_SECOND_NS;
        assert_int_equal(sk_peer_new(&config, now_ns, &side.peer), 0);
        feed(&side,
             "\x13"
             "BitTorrent",
             11, now_ns + 1); /* a slow drip helps nobody */
        assert_int_equal(sk_peer_deadline(side.peer), now_ns + SK_PEER_HANDSHAKE_NS);
        sk_peer_tick(side.peer, now_ns + SK_PEER_HANDSHAKE_NS - 1);
        drain(&side);
        assert_int_equal(side.counts[SK_PEER_EVENT_CLOSED], 0);
        sk_peer_tick(side.peer, now_ns + SK_PEER_HANDSHAKE_NS);
        drain(&side);
        assert_closed(&side, SK_PEER_REASON_HANDSHAKE_TIMEOUT, 0);
        assert_true(sk_peer_deadline(side.peer) == SK_TIME_NEVER);
        sk_peer_free(side.peer);
    }
}

/* Sent bytes do not keep a silent peer alive; a keep-alive goes out in time. */
static void test_silence(void **state)
{
    struct pair pair;
    open_pair(&pair, CHUNK_WHOLE);
    uint64_t opened_ns = pair.now_ns;
    sk_peer_tick(pair.a.peer, opened_ns + SK_PEER_KEEPALIVE_NS - 1);
    assert_int_equal(sk_peer_output(pair.a.peer).n, 0);
    assert_int_equal(sk_peer_deadline(pair.a.peer), opened_ns + SK_PEER_KEEPALIVE_NS);
    sk_peer_tick(pair.a.peer, opened_ns + SK_PEER_KEEPALIVE_NS);
    assert_int_equal(sk_peer_output(pair.a.peer).n, 4);
    sk_peer_tick(pair.a.peer, opened_ns + SK_PEER_KEEPALIVE_NS + 1);
    assert_int_equal(sk_peer_output(pair.a.peer).n, 4);
    sk_peer_sent(pair.a.peer, 4, opened_ns + SK_PEER_KEEPALIVE_NS + 1);
    assert_int_equal(sk_peer_deadline(pair.a.peer), opened_ns + SK_PEER_SILENCE_NS);
    sk_peer_tick(pair.a.peer, opened_ns + SK_PEER_SILENCE_NS);
    drain(&pair.a);
    assert_closed(&pair.a, SK_PEER_REASON_SILENCE, 0);
    pair_deinit(&pair);
}

/* Keep-alives for a week are no flood. */
static void test_idle_for_long(void **state)
{
    struct pair pair;
    open_pair(&pair, CHUNK_WHOLE);
    for (int i = 0; i < 7 * 864; i++) {
        pair.now_ns += SK_PEER_KEEPALIVE_NS;
        sk_peer_tick(pair.a.peer, pair.now_ns);
        sk_peer_tick(pair.b.peer, pair.now_ns);
        run(&pair);
    }
    assert_int_equal(pair.a.counts[SK_PEER_EVENT_CLOSED], 0);
    assert_true(pair.a.counts[SK_PEER_EVENT_MESSAGE] >= 7 * 864);
    pair_deinit(&pair);
}

static void test_end_of_stream(void **state)
{
    struct sk_peer_config config = test_config("a");
    struct side side;
    open_by_hand(&side, &config, 0);
    sk_peer_input_eof(side.peer, 2 * SK_SECOND_NS);
    drain(&side);
    assert_closed(&side, SK_PEER_REASON_EOF, 0);
    feed(&side, "\0\0\0\0", 4, 3 * SK_SECOND_NS); /* is not looked at */
    assert_int_equal(side.counts[SK_PEER_EVENT_MESSAGE], 0);
    assert_int_equal(sk_peer_send_choke(side.peer, false), SKEP_ERR_STATE);
    sk_peer_free(side.peer);

    config.outgoing = false;
    side = (struct side){0};
    assert_int_equal(sk_peer_new(&config, 1, &side.peer), 0);
    assert_int_equal(sk_peer_send_interest(side.peer, true), SKEP_ERR_STATE);
    sk_peer_input_eof(side.peer, 2);
    drain(&side);
    assert_closed(&side, SK_PEER_REASON_EOF_EARLY, 0);
    sk_peer_free(side.peer);
}

/* Closing while events are told: the view stays whole, nothing but CLOSED follows. */
static void close_on_message(struct side *side, const struct sk_peer_event *event)
{
    if (event->kind != SK_PEER_EVENT_MESSAGE)
        return;
    sk_peer_close(side->peer);
    assert_int_equal(sk_peer_send_have(side->peer, 1), SKEP_ERR_STATE);
    for (size_t i = 0; i < event->msg.data.n; i++)
        assert_int_equal(event->msg.data.p[i], 'z');
}

static void test_close_in_loop(void **state)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(all_chunkings); i++) {
        struct pair pair;
        open_pair(&pair, all_chunkings[i]);
        pair_reset(&pair);
        pair.a.on_event = close_on_message;
        uint8_t block[BLOCK];
        memset(block, 'z', sizeof block);
        assert_int_equal(sk_peer_send_request(pair.a.peer, 0, 0, BLOCK, pair.now_ns), 0);
        for (int k = 0; k < 3; k++)
            assert_int_equal(sk_peer_send_piece(pair.b.peer, 0, 0, sk_bytes(block, BLOCK)), 0);
        run(&pair);
        assert_int_equal(pair.a.counts[SK_PEER_EVENT_MESSAGE], 1);
        assert_int_equal(pair.a.counts[SK_PEER_EVENT_BLOCK], 0);
        assert_closed(&pair.a, SK_PEER_REASON_LOCAL, 0);
        pair_deinit(&pair);
    }
}

/* Sending from within the loop does not disturb the event's views. */
static void send_on_message(struct side *side, const struct sk_peer_event *event)
{
    if (event->kind != SK_PEER_EVENT_BLOCK)
        return;
    for (uint32_t i = 0; i < 200; i++)
        assert_int_equal(sk_peer_send_request(side->peer, i % 99, BLOCK, BLOCK, 0), 0);
    for (size_t i = 0; i < event->msg.data.n; i++)
        assert_int_equal(event->msg.data.p[i], 'z');
}

static void test_send_in_loop(void **state)
{
    struct pair pair;
    open_pair(&pair, CHUNK_RANDOM);
    pair.a.on_event = send_on_message;
    uint8_t block[BLOCK];
    memset(block, 'z', sizeof block);
    assert_int_equal(sk_peer_send_request(pair.a.peer, 0, 0, BLOCK, pair.now_ns), 0);
    assert_int_equal(sk_peer_send_piece(pair.b.peer, 0, 0, sk_bytes(block, BLOCK)), 0);
    run(&pair);
    assert_int_equal(pair.a.counts[SK_PEER_EVENT_BLOCK], 1);
    assert_int_equal(sk_peer_view(pair.a.peer)->requests_pending, 200);
    pair_deinit(&pair);
}

/* Output taken in small parts comes out whole; at its bound it refuses and stays as it was. */
static void test_output(void **state)
{
    struct sk_peer_config config = test_config("a");
    struct side side;
    open_by_hand(&side, &config, SK_RESERVED_FAST);
    sk_peer_sent(side.peer, sk_peer_output(side.peer).n, SK_SECOND_NS);
    struct sk_prng prng;
    sk_prng_init(&prng, 3);
    uint32_t sent = 0, seen = 0;
    size_t pending = 0;
    while (seen < 20000) {
        for (uint64_t n = sk_prng_below(&prng, 50); n && sent < 20000; n--, pending += 9)
            assert_int_equal(sk_peer_send_have(side.peer, sent++), 0);
        for (uint64_t n = sk_prng_below(&prng, 60); n; n--) {
            struct sk_bytes out = sk_peer_output(side.peer);
            assert_int_equal(out.n, pending);
            if (out.n == 0)
                break;
            assert_int_equal(sk_get_u32(out.p + 5), seen);
            sk_peer_sent(side.peer, 4, SK_SECOND_NS);
            sk_peer_sent(side.peer, 5, SK_SECOND_NS);
            pending -= 9;
            seen++;
        }
    }
    static uint8_t block[SK_BLOCK_SIZE_MAX];
    int err = 0;
    while (!err)
        err = sk_peer_send_piece(side.peer, 0, 0, sk_bytes(block, sizeof block));
    assert_int_equal(err, SKEP_ERR_LIMIT);
    size_t full = sk_peer_output(side.peer).n;
    assert_true(full <= SK_PEER_OUTPUT_MAX && full > SK_PEER_OUTPUT_MAX - 2 * sizeof block);
    assert_int_equal(sk_peer_send_piece(side.peer, 0, 0, sk_bytes(block, sizeof block)), err);
    assert_int_equal(sk_peer_send_have(side.peer, 1), 0);
    sk_peer_sent(side.peer, full, SK_SECOND_NS);
    assert_int_equal(sk_peer_output(side.peer).n, 9);
    sk_peer_free(side.peer);
}

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated(void)
{
    if (__sanitizer_get_current_allocated_bytes)
        return __sanitizer_get_current_allocated_bytes();
    return mallinfo2().uordblks;
}

/* An open session that waits costs little, with its bitfield apart. */
static void test_memory(void **state)
{
    enum { SESSIONS = 200 };
    static struct side sides[SESSIONS];
    struct sk_peer_config config = test_config("a");
    config.pieces = 4096;
    config.span = 0;
    uint8_t bits[512] = {1};
    struct sk_msg bitfield = {.kind = SK_MSG_BITFIELD, .data = sk_bytes(bits, sizeof bits)};
    struct sk_msg extended = {.kind = SK_MSG_EXTENDED, .data = sk_bytes_text("d1:v3:abce")};
    size_t before = allocated();
    for (size_t i = 0; i < SESSIONS; i++) {
        open_by_hand(&sides[i], &config, SK_RESERVED_FAST | SK_RESERVED_EXTENSION);
        assert_int_equal(sk_peer_send_request(sides[i].peer, 0, 0, 1, 0), 0);
        feed_message(&sides[i], &extended, SK_SECOND_NS);
        feed_message(&sides[i], &bitfield, SK_SECOND_NS);
        feed_message(&sides[i], &(struct sk_msg){.kind = SK_MSG_REJECT, .length = 1}, 0);
        assert_int_equal(sides[i].counts[SK_PEER_EVENT_REJECTED], 1);
        sk_peer_sent(sides[i].peer, sk_peer_output(sides[i].peer).n, SK_SECOND_NS);
    }
    size_t each = (allocated() - before) / SESSIONS - sizeof bits;
    print_message("an idle session takes %zu bytes and its bitfield\n", each);
    assert_true(each < 1536);
    for (size_t i = 0; i < SESSIONS; i++)
        sk_peer_free(sides[i].peer);
}

static void test_names(void **state)
{
    for (int i = 0; i <= SK_PEER_REASON_NO_MEMORY; i++)
        assert_string_not_equal(sk_peer_reason_name((enum sk_peer_reason)i), "unknown");
    for (int i = 0; i <= SK_PEER_VIOLATION_FLOOD; i++)
        assert_string_not_equal(sk_peer_violation_text((enum sk_peer_violation)i), "unknown");
    assert_string_equal(sk_peer_reason_name((enum sk_peer_reason)99), "unknown");
    assert_string_equal(sk_peer_violation_text((enum sk_peer_violation)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_v2_bit),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_self_seen_by_dialler),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hello_waits),
        cmocka_unit_test(test_handshake_timeout),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_idle_for_long),
        cmocka_unit_test(test_end_of_stream),
        cmocka_unit_test(test_close_in_loop),
        cmocka_unit_test(test_send_in_loop),
        cmocka_unit_test(test_output),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
