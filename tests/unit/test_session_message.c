/* Peer sessions: every message, requests and their answers, extensions, what a peer holds. */
#include "session_pair.h"

/* 1,000 messages of all kinds, as sent, in order, whatever the chunks. */
struct expected {
    struct sk_msg msg;
    uint8_t data[64];
};

struct sequence {
    struct expected messages[1000];
    size_t sent, seen;
};

static void compare_message(struct side *side, const struct sk_peer_event *event)
{
    struct sequence *sequence = side->context;
    if (event->kind != SK_PEER_EVENT_MESSAGE)
        return;
    const struct sk_msg *got = &event->msg, *sent = &sequence->messages[sequence->seen].msg;
    assert_true(sequence->seen < sequence->sent);
    sequence->seen++;
    assert_int_equal(got->kind, sent->kind);
    assert_int_equal(got->index, sent->index);
    assert_int_equal(got->begin, sent->begin);
    assert_int_equal(got->length, sent->length);
    assert_int_equal(got->port, sent->port);
    assert_int_equal(got->extended_id, sent->extended_id);
    assert_true(sk_bytes_equal(got->data, sent->data));
}

static struct sk_msg random_message(struct sk_prng *prng, uint8_t data[64])
{
    static const enum sk_msg_kind kinds[] = {
        SK_MSG_HAVE,   SK_MSG_SUGGEST,      SK_MSG_PORT,      SK_MSG_EXTENDED,
        SK_MSG_REJECT, SK_MSG_ALLOWED_FAST, SK_MSG_KEEPALIVE, SK_MSG_UNKNOWN,
    };
    struct sk_msg msg = {.kind = kinds[sk_prng_below(prng, SK_ARRAY_LEN(kinds))]};
    uint32_t index = (uint32_t)sk_prng_below(prng, 99);
    sk_prng_bytes(prng, data, 64);
    if (msg.kind == SK_MSG_PORT) {
        msg.port = (uint16_t)sk_prng_u64(prng);
    } else if (msg.kind == SK_MSG_EXTENDED || msg.kind == SK_MSG_UNKNOWN) {
        msg.id = 99;
        msg.extended_id = msg.kind == SK_MSG_EXTENDED ? 77 : 0;
        msg.data = sk_bytes(data, sk_prng_below(prng, 65));
    } else if (msg.kind == SK_MSG_REJECT) { /* a request travels the other way: see below */
        msg.kind = SK_MSG_HAVE;
        msg.index = index;
    } else if (msg.kind != SK_MSG_KEEPALIVE) {
        msg.index = index;
    }
    return msg;
}

static void test_round_trips(void **state)
{
    struct sequence *sequence = calloc(1, sizeof *sequence);
    for (size_t i = 0; i < SK_ARRAY_LEN(all_chunkings); i++) {
        struct pair pair;
        open_pair(&pair, all_chunkings[i]);
        *sequence = (struct sequence){0};
        pair.b.on_event = compare_message;
        pair.b.context = sequence;
        while (sequence->sent < SK_ARRAY_LEN(sequence->messages)) {
            struct expected *next = &sequence->messages[sequence->sent++];
            next->msg = random_message(&pair.prng, next->data);
            assert_int_equal(sk_peer_send_message(pair.a.peer, &next->msg), 0);
            pair.now_ns += SK_SECOND_NS; /* useless ones, one a second, are no flood */
            if (sk_prng_below(&pair.prng, 4) == 0)
                run(&pair);
        }
        run(&pair);
        assert_int_equal(sequence->seen, sequence->sent);
        assert_int_equal(pair.b.counts[SK_PEER_EVENT_CLOSED], 0);
        pair_deinit(&pair);
    }
    free(sequence);
}

static void test_states(void **state)
{
    struct pair pair;
    open_pair(&pair, CHUNK_WHOLE);
    const struct sk_peer_view *b = sk_peer_view(pair.b.peer);
    assert_int_equal(sk_peer_send_interest(pair.a.peer, true), 0);
    assert_int_equal(sk_peer_send_interest(pair.a.peer, true), 0); /* changes nothing: not sent */
    assert_int_equal(sk_peer_send_choke(pair.a.peer, true), 0);    /* as it is */
    assert_int_equal(sk_peer_send_choke(pair.a.peer, false), 0);
    pair_reset(&pair);
    run(&pair);
    assert_int_equal(pair.b.counts[SK_PEER_EVENT_MESSAGE], 2);
    assert_true(b->peer_interested && !b->choked);
    assert_int_equal(sk_peer_send_interest(pair.a.peer, false), 0);
    assert_int_equal(sk_peer_send_choke(pair.a.peer, true), 0);
    run(&pair);
    assert_true(!b->peer_interested && b->choked);
    pair_deinit(&pair);
}

/* What we hold: all, none, some; with BEP 6 and without. */
static void test_send_bitfield(void **state)
{
    static const struct {
        uint32_t set;
        bool fast;
        enum sk_msg_kind kind;
    } cases[] = {
        {100, true, SK_MSG_HAVE_ALL},  {0, true, SK_MSG_HAVE_NONE},  {3, true, SK_MSG_BITFIELD},
        {100, false, SK_MSG_BITFIELD}, {0, false, SK_MSG_KEEPALIVE}, {3, false, SK_MSG_BITFIELD},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_peer_config config = test_config("a");
        struct side side;
        open_by_hand(&side, &config, cases[i].fast ? SK_RESERVED_FAST : 0);
        sk_peer_sent(side.peer, sk_peer_output(side.peer).n, SK_SECOND_NS);
        struct sk_bitfield have;
        assert_int_equal(sk_bitfield_init(&have, 100), 0);
        for (uint32_t k = 0; k < cases[i].set; k++)
            sk_bitfield_add(&have, k);
        assert_int_equal(sk_peer_send_bitfield(side.peer, &have), 0);
        assert_int_equal(sk_peer_send_bitfield(side.peer, &have), SKEP_ERR_STATE);
        struct sk_bytes out = sk_peer_output(side.peer);
        if (cases[i].kind == SK_MSG_KEEPALIVE)
            assert_int_equal(out.n, 0);
        else
            assert_int_equal(out.p[4], cases[i].kind);
        sk_bitfield_deinit(&have);
        sk_peer_free(side.peer);
    }
}

/* Both ends of a bitfield, HAVE and have-all. */
static void test_have(void **state)
{
    struct pair pair;
    open_pair(&pair, CHUNK_BYTES);
    struct sk_bitfield have;
    assert_int_equal(sk_bitfield_init(&have, 100), 0);
    sk_bitfield_add(&have, 0);
    sk_bitfield_add(&have, 99);
    assert_int_equal(sk_peer_send_bitfield(pair.a.peer, &have), 0);
    assert_int_equal(sk_peer_send_have(pair.a.peer, 50), 0);
    sk_bitfield_fill(&have);
    assert_int_equal(sk_peer_send_bitfield(pair.b.peer, &have), 0);
    run(&pair);
    const struct sk_peer_view *a = sk_peer_view(pair.a.peer), *b = sk_peer_view(pair.b.peer);
    assert_true(b->has_bitfield);
    assert_int_equal(b->have.set, 3);
    assert_true(sk_bitfield_has(&b->have, 0) && sk_bitfield_has(&b->have, 50) &&
                sk_bitfield_has(&b->have, 99));
    assert_true(sk_bitfield_full(&a->have));
    sk_bitfield_deinit(&have);
    pair_deinit(&pair);
}

/* A lazy bitfield comes after the extension handshake and an unchoke, and haves come after it. */
static void test_lazy_bitfield(void **state)
{
    struct sk_peer_config config = test_config("a");
    struct side side;
    open_by_hand(&side, &config, SK_RESERVED_FAST | SK_RESERVED_EXTENSION);
    uint8_t bits[13] = {0x80};
    const struct sk_msg messages[] = {
        {.kind = SK_MSG_KEEPALIVE},
        {.kind = SK_MSG_EXTENDED, .data = sk_bytes_text("d1:mdee")},
        {.kind = SK_MSG_UNCHOKE},
        {.kind = SK_MSG_BITFIELD, .data = sk_bytes(bits, sizeof bits)},
        {.kind = SK_MSG_HAVE, .index = 7},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(messages); i++)
        feed_message(&side, &messages[i], SK_SECOND_NS);
    assert_int_equal(side.counts[SK_PEER_EVENT_MESSAGE], SK_ARRAY_LEN(messages));
    assert_int_equal(side.counts[SK_PEER_EVENT_CLOSED], 0);
    assert_int_equal(sk_peer_view(side.peer)->have.set, 2);
    sk_peer_free(side.peer);
}

struct served {
    uint8_t block[BLOCK];
    uint64_t rtt_ns;
    size_t blocks;
};

static void serve(struct side *side, const struct sk_peer_event *event)
{
    struct served *served = side->context;
    if (event->kind != SK_PEER_EVENT_MESSAGE || event->msg.kind != SK_MSG_REQUEST)
        return;
    assert_int_equal(sk_peer_send_piece(side->peer, event->msg.index, event->msg.begin,
                                        sk_bytes(served->block, event->msg.length)),
                     0);
}

static void check_block(struct side *side, const struct sk_peer_event *event)
{
    struct served *served = side->context;
    if (event->kind != SK_PEER_EVENT_BLOCK)
        return;
    served->blocks++;
    served->rtt_ns = event->rtt_ns;
    assert_true(sk_bytes_equal(event->msg.data, sk_bytes(served->block, event->msg.length)));
}

static void test_blocks(void **state)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(all_chunkings); i++) {
        struct pair pair;
        struct served served = {{0}, 0, 0};
        open_pair(&pair, all_chunkings[i]);
        sk_prng_bytes(&pair.prng, served.block, sizeof served.block);
        pair.a.on_event = check_block;
        pair.b.on_event = serve;
        pair.a.context = pair.b.context = &served;
        uint64_t asked_ns = pair.now_ns;
        for (uint32_t k = 0; k < 20; k++)
            assert_int_equal(sk_peer_send_request(pair.a.peer, k / 4, k % 4 * BLOCK,
                                                  k % 3 ? BLOCK : 100, asked_ns),
                             0);
        assert_int_equal(sk_peer_view(pair.a.peer)->requests_pending, 20);
        pair.now_ns += 5000;
        run(&pair);
        assert_int_equal(served.blocks, 20);
        assert_int_equal(served.rtt_ns, 5000);
        assert_int_equal(sk_peer_view(pair.a.peer)->requests_pending, 0);
        assert_int_equal(sk_peer_view(pair.a.peer)->payload_in, 13 * BLOCK + 7 * 100);
        assert_int_equal(sk_peer_view(pair.b.peer)->payload_out, 13 * BLOCK + 7 * 100);
        pair_deinit(&pair);
    }
}

/* The bytes of an unfinished block count as they come. */
static void test_unfinished_block(void **state)
{
    struct sk_peer_config config = test_config("a");
    struct side side;
    open_by_hand(&side, &config, SK_RESERVED_FAST);
    const struct sk_peer_view *view = sk_peer_view(side.peer);
    assert_int_equal(sk_peer_send_request(side.peer, 1, 0, BLOCK, SK_SECOND_NS), 0);
    uint8_t message[13 + BLOCK] = {0, 0, 0x40, 9, SK_MSG_PIECE, 0, 0, 0, 1};
    feed(&side, message, 12, SK_SECOND_NS);
    assert_int_equal(view->payload_in, 0);
    feed(&side, message + 12, 2, SK_SECOND_NS);
    assert_int_equal(view->payload_in, 1);
    feed(&side, message + 14, 9999, SK_SECOND_NS);
    assert_int_equal(view->payload_in, 10000);
    assert_int_equal(side.counts[SK_PEER_EVENT_MESSAGE], 0);
    feed(&side, message + 14 + 9999, BLOCK - 10000, SK_SECOND_NS);
    assert_int_equal(view->payload_in, BLOCK);
    assert_int_equal(side.counts[SK_PEER_EVENT_BLOCK], 1);
    sk_peer_free(side.peer);
}

/* All that may be pending, answered in any order. */
static void test_requests_any_order(void **state)
{
    struct sk_peer_config config = test_config("a");
    config.pieces = SK_PEER_REQUESTS_MAX;
    struct side side;
    open_by_hand(&side, &config, SK_RESERVED_FAST);
    struct sk_prng prng;
    sk_prng_init(&prng, 5);
    static uint32_t order[SK_PEER_REQUESTS_MAX];
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < SK_PEER_REQUESTS_MAX; i++) {
            uint32_t k = (uint32_t)sk_prng_below(&prng, i + 1);
            order[i] = order[k];
            order[k] = i;
            assert_int_equal(sk_peer_send_request(side.peer, i, 0, 1, SK_SECOND_NS), 0);
        }
        assert_int_equal(sk_peer_send_request(side.peer, 0, 0, 1, SK_SECOND_NS), SKEP_ERR_LIMIT);
        for (uint32_t i = 0; i < SK_PEER_REQUESTS_MAX; i++)
            feed_message(&side,
                         &(struct sk_msg){.kind = i % 2 ? SK_MSG_PIECE : SK_MSG_REJECT,
                                          .index = order[i],
                                          .length = 1,
                                          .data = sk_bytes("x", 1)},
                         SK_SECOND_NS);
        assert_int_equal(sk_peer_view(side.peer)->requests_pending, 0);
    }
    assert_int_equal(side.counts[SK_PEER_EVENT_BLOCK], 3 * SK_PEER_REQUESTS_MAX / 2);
    assert_int_equal(side.counts[SK_PEER_EVENT_REJECTED], 3 * SK_PEER_REQUESTS_MAX / 2);
    sk_peer_free(side.peer);
}

static const struct sk_msg late_block = {
    .kind = SK_MSG_PIECE, .index = 3, .data = {(const uint8_t *)"late", 4}};

/* Without BEP 6 a choke drops what was asked; blocks on their way are passed over, once each. */
static void test_choke_without_fast(void **state)
{
    struct sk_peer_config config = test_config("a");
    struct side side;
    open_by_hand(&side, &config, 0);
    feed_message(&side, &(struct sk_msg){.kind = SK_MSG_UNCHOKE}, SK_SECOND_NS);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(sk_peer_send_request(side.peer, i, 0, 4, SK_SECOND_NS), 0);
    feed_message(&side, &(struct sk_msg){.kind = SK_MSG_CHOKE}, SK_SECOND_NS);
    assert_int_equal(side.counts[SK_PEER_EVENT_REJECTED], 5);
    assert_int_equal(side.last[SK_PEER_EVENT_REJECTED].msg.index, 4);
    assert_int_equal(sk_peer_view(side.peer)->requests_pending, 0);
    feed_message(&side, &late_block, SK_SECOND_NS);
    assert_int_equal(side.counts[SK_PEER_EVENT_BLOCK], 0);
    assert_int_equal(side.counts[SK_PEER_EVENT_CLOSED], 0);
    feed_message(&side, &late_block, SK_SECOND_NS);
    assert_closed(&side, SK_PEER_REASON_PROTOCOL, SK_PEER_VIOLATION_UNASKED);
    sk_peer_free(side.peer);
}

/* With BEP 6 each request is answered by itself. */
static void test_choke_with_fast(void **state)
{
    struct sk_peer_config config = test_config("a");
    struct side side;
    open_by_hand(&side, &config, SK_RESERVED_FAST);
    assert_int_equal(sk_peer_send_request(side.peer, 3, 0, 4, SK_SECOND_NS), 0);
    assert_int_equal(sk_peer_send_request(side.peer, 4, 0, 4, SK_SECOND_NS), 0);
    feed_message(&side, &(struct sk_msg){.kind = SK_MSG_CHOKE}, SK_SECOND_NS);
    assert_int_equal(side.counts[SK_PEER_EVENT_REJECTED], 0);
    assert_int_equal(sk_peer_view(side.peer)->requests_pending, 2);
    feed_message(&side, &late_block, SK_SECOND_NS);
    assert_int_equal(side.counts[SK_PEER_EVENT_BLOCK], 1);
    feed_message(&side, &(struct sk_msg){.kind = SK_MSG_REJECT, .index = 4, .length = 4},
                 SK_SECOND_NS);
    assert_int_equal(side.counts[SK_PEER_EVENT_REJECTED], 1);
    assert_int_equal(sk_peer_view(side.peer)->requests_pending, 0);
    sk_peer_free(side.peer);
}

static void test_cancel(void **state)
{
    struct sk_peer_config config = test_config("a");
    struct side side;
    open_by_hand(&side, &config, 0);
    assert_int_equal(sk_peer_send_request(side.peer, 3, 0, 4, SK_SECOND_NS), 0);
    assert_int_equal(sk_peer_send_cancel(side.peer, 3, 0, 4), 0);
    assert_int_equal(sk_peer_view(side.peer)->requests_pending, 0);
    feed_message(&side, &late_block, SK_SECOND_NS);
    assert_int_equal(side.counts[SK_PEER_EVENT_BLOCK], 0);
    assert_int_equal(side.counts[SK_PEER_EVENT_CLOSED], 0);
    sk_peer_free(side.peer);

    /* With BEP 6: the block that was on its way, and the reject that some send all the same. */
    open_by_hand(&side, &config, SK_RESERVED_FAST);
    assert_int_equal(sk_peer_send_request(side.peer, 3, 0, 4, SK_SECOND_NS), 0);
    size_t before = sk_peer_output(side.peer).n;
    assert_int_equal(sk_peer_send_cancel(side.peer, 3, 0, 4), 0);
    assert_int_equal(sk_peer_send_cancel(side.peer, 3, 0, 4), 0); /* once is enough */
    assert_int_equal(sk_peer_output(side.peer).n, before + 17);
    assert_int_equal(sk_peer_view(side.peer)->requests_pending, 1);
    feed_message(&side, &late_block, SK_SECOND_NS);
    assert_int_equal(side.counts[SK_PEER_EVENT_BLOCK], 1);
    struct sk_msg reject = {.kind = SK_MSG_REJECT, .index = 3, .length = 4};
    feed_message(&side, &reject, SK_SECOND_NS);
    assert_int_equal(side.counts[SK_PEER_EVENT_CLOSED], 0);
    feed_message(&side, &reject, SK_SECOND_NS);
    assert_closed(&side, SK_PEER_REASON_PROTOCOL, SK_PEER_VIOLATION_UNASKED);
    sk_peer_free(side.peer);
}

/* Late answers are forgiven for a while, not for ever. */
static void test_forgiving_ends(void **state)
{
    struct sk_peer_config config = test_config("a");
    struct side side;
    open_by_hand(&side, &config, 0);
    assert_int_equal(sk_peer_send_request(side.peer, 3, 0, 4, SK_SECOND_NS), 0);
    assert_int_equal(sk_peer_send_cancel(side.peer, 3, 0, 4), 0);
    uint64_t until_ns = sk_peer_deadline(side.peer);
    assert_true(until_ns < SK_SECOND_NS + SK_PEER_KEEPALIVE_NS);
    sk_peer_tick(side.peer, until_ns);
    assert_true(sk_peer_deadline(side.peer) > until_ns);
    feed_message(&side, &late_block, until_ns);
    assert_closed(&side, SK_PEER_REASON_PROTOCOL, SK_PEER_VIOLATION_UNASKED);
    sk_peer_free(side.peer);
}

static void test_hashes(void **state)
{
    struct sk_peer_config config = test_config("a");
    struct side side;
    open_by_hand(&side, &config, 0);
    uint8_t root[32] = "root", hashes[64] = {0};
    struct sk_hash_range range = {.root = root, .length = 2, .proof_layers = 0};
    assert_int_equal(sk_peer_send_hash_request(side.peer, &range), SKEP_ERR_STATE);
    sk_peer_free(side.peer);

    config.has_v2 = true;
    open_by_hand(&side, &config, 0);
    for (uint32_t i = 0; i < SK_PEER_HASH_REQUESTS_MAX; i++) {
        range.index = 2 * i;
        assert_int_equal(sk_peer_send_hash_request(side.peer, &range), 0);
    }
    assert_int_equal(sk_peer_send_hash_request(side.peer, &range), SKEP_ERR_LIMIT);
    for (uint32_t i = 0; i < SK_PEER_HASH_REQUESTS_MAX; i++) {
        range.index = 2 * i;
        struct sk_msg answer = {.kind = i % 2 ? SK_MSG_HASHES : SK_MSG_HASH_REJECT,
                                .range = range,
                                .hashes = sk_bytes(hashes, sizeof hashes)};
        feed_message(&side, &answer, SK_SECOND_NS);
    }
    assert_int_equal(side.counts[SK_PEER_EVENT_MESSAGE], SK_PEER_HASH_REQUESTS_MAX);
    sk_peer_free(side.peer);
}

static void look_at_extension(struct side *side, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_EXTENDED)
        assert_true(sk_bytes_is(event->extended.client, "skep test"));
    if (event->kind == SK_PEER_EVENT_METADATA && event->metadata.kind == SK_METADATA_DATA)
        assert_true(sk_bytes_is(event->metadata.data, "info"));
    if (event->kind == SK_PEER_EVENT_PEX) {
        assert_int_equal(event->pex_count, 2);
        assert_int_equal(event->pex[0].endpoint.port, 6881);
        assert_int_equal(event->pex[0].flags, SK_PEX_SEED);
        assert_true(event->pex[1].dropped);
    }
}

static void test_extensions(void **state)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(all_chunkings); i++) {
        struct pair pair;
        open_pair(&pair, all_chunkings[i]);
        pair.a.on_event = pair.b.on_event = look_at_extension;
        pair_reset(&pair);
        assert_int_equal(sk_peer_send_extension_handshake(pair.b.peer, 4, 1), 0);
        struct sk_metadata_message ask = {.kind = SK_METADATA_REQUEST};
        assert_int_equal(sk_peer_send_metadata(pair.a.peer, &ask), 0);
        struct sk_pex_peer peers[] = {
            {.endpoint = sk_endpoint_v4((uint8_t[]){10, 0, 0, 1}, 6881), .flags = SK_PEX_SEED},
            {.endpoint = sk_endpoint_v4((uint8_t[]){10, 0, 0, 2}, 6882), .dropped = true},
        };
        assert_int_equal(sk_peer_send_pex(pair.a.peer, peers, 2), 0);
        run(&pair);
        const struct sk_peer_view *a = sk_peer_view(pair.a.peer);
        assert_int_equal(a->extension.metadata_size, 4);
        assert_int_equal(a->upload_only, 1);
        assert_int_equal(pair.b.counts[SK_PEER_EVENT_METADATA], 1);
        assert_int_equal(pair.b.counts[SK_PEER_EVENT_PEX], 1);
        assert_int_equal(pair.b.counts[SK_PEER_EVENT_MESSAGE], 2); /* the same, as messages */
        struct sk_metadata_message answer = {
            .kind = SK_METADATA_DATA, .total_size = 4, .data = sk_bytes("info", 4)};
        assert_int_equal(sk_peer_send_metadata(pair.b.peer, &answer), 0);
        uint8_t lost[] = {0, 0, 0, 9}, off[] = {0};
        struct sk_msg messages[] = {
            {.kind = SK_MSG_HAVE, .index = 9},
            {.kind = SK_MSG_EXTENDED,
             .extended_id = SK_EXT_DONT_HAVE,
             .data = sk_bytes(lost, sizeof lost)},
            {.kind = SK_MSG_EXTENDED,
             .extended_id = SK_EXT_UPLOAD_ONLY,
             .data = sk_bytes(off, sizeof off)},
        };
        for (size_t k = 0; k < SK_ARRAY_LEN(messages); k++)
            assert_int_equal(sk_peer_send_message(pair.b.peer, &messages[k]), 0);
        run(&pair);
        assert_int_equal(pair.a.counts[SK_PEER_EVENT_METADATA], 1);
        assert_int_equal(pair.a.last[SK_PEER_EVENT_DONT_HAVE].msg.index, 9);
        assert_int_equal(a->have.set, 0);
        assert_int_equal(pair.a.counts[SK_PEER_EVENT_UPLOAD_ONLY], 1);
        assert_int_equal(a->upload_only, 0);
        pair_deinit(&pair);
    }
}

/* Only who wants holepunch messages is told of them; who broke their form is no peer. */
static void test_holepunch(void **state)
{
    static const struct {
        size_t n;
        enum sk_peer_state state;
        uint32_t told;
    } cases[] = {{12, SK_PEER_OPEN, 1}, {7, SK_PEER_CLOSED, 0}};
    uint8_t bytes[] = {SK_HOLEPUNCH_CONNECT, 0, 10, 0, 0, 1, 0x1a, 0xe1, 0, 0, 0, 0};
    for (size_t i = 0; i < 2 * SK_ARRAY_LEN(cases); i++) {
        size_t which = i % SK_ARRAY_LEN(cases);
        bool wants = i >= SK_ARRAY_LEN(cases);
        struct sk_peer_config config = test_config("a");
        struct side side;
        config.holepunch = wants;
        open_by_hand(&side, &config, 0);
        struct sk_msg msg = {.kind = SK_MSG_EXTENDED,
                             .extended_id = SK_EXT_HOLEPUNCH,
                             .data = sk_bytes(bytes, cases[which].n)};
        feed_message(&side, &msg, SK_SECOND_NS);
        assert_int_equal(side.counts[SK_PEER_EVENT_HOLEPUNCH], wants ? cases[which].told : 0);
        assert_int_equal(sk_peer_view(side.peer)->state, wants ? cases[which].state : SK_PEER_OPEN);
        struct sk_holepunch answer = {.kind = SK_HOLEPUNCH_ERROR};
        assert_int_equal(sk_peer_send_holepunch(side.peer, &answer),
                         sk_peer_view(side.peer)->state == SK_PEER_OPEN ? SKEP_ERR_UNSUPPORTED
                                                                        : SKEP_ERR_STATE);
        sk_peer_free(side.peer);
    }
}

/* A second handshake changes what it names; id 0 switches an extension off. */
static void test_extension_handshake_again(void **state)
{
    struct sk_peer_config config = test_config("a");
    struct side side;
    open_by_hand(&side, &config, SK_RESERVED_EXTENSION);
    const struct sk_peer_view *view = sk_peer_view(side.peer);
    struct sk_msg msg = {.kind = SK_MSG_EXTENDED};
    msg.data = sk_bytes_text("d1:md11:ut_metadatai3e6:ut_pexi1ee1:pi6881e1:v4:abcde");
    feed_message(&side, &msg, SK_SECOND_NS);
    assert_int_equal(view->extension.ids[SK_EXT_METADATA], 3);
    msg.data = sk_bytes_text("d1:md6:ut_pexi0ee11:upload_onlyi1ee");
    feed_message(&side, &msg, SK_SECOND_NS);
    assert_int_equal(view->extension.ids[SK_EXT_METADATA], 3);
    assert_int_equal(view->extension.ids[SK_EXT_PEX], 0);
    assert_int_equal(view->extension.port, 6881);
    assert_int_equal(view->upload_only, 1);
    assert_string_equal(view->client_v, "abcd");
    assert_int_equal(sk_peer_send_pex(side.peer, NULL, 0), SKEP_ERR_UNSUPPORTED);
    assert_int_equal(side.counts[SK_PEER_EVENT_EXTENDED], 2);
    sk_peer_free(side.peer);
}

/* Without BEP 6 the loss of a piece drops what was asked of it. */
static void test_dont_have_drops(void **state)
{
    struct sk_peer_config config = test_config("a");
    struct side side;
    open_by_hand(&side, &config, SK_RESERVED_EXTENSION);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(sk_peer_send_request(side.peer, i % 2, i * 4, 4, SK_SECOND_NS), 0);
    struct sk_msg lost = {
        .kind = SK_MSG_EXTENDED, .extended_id = SK_EXT_DONT_HAVE, .data = sk_bytes("\0\0\0\1", 4)};
    feed_message(&side, &lost, SK_SECOND_NS);
    assert_int_equal(side.counts[SK_PEER_EVENT_DONT_HAVE], 1);
    assert_int_equal(side.counts[SK_PEER_EVENT_REJECTED], 2);
    assert_int_equal(side.last[SK_PEER_EVENT_REJECTED].msg.begin, 12);
    assert_int_equal(sk_peer_view(side.peer)->requests_pending, 2);
    sk_peer_free(side.peer);
}

/* aria2 sends a bitfield instead of many HAVEs: it is told as these, and takes nothing back. */
static void test_late_bitfield(void **state)
{
    struct sk_peer_config config = test_config("a");
    struct side side;
    config.pieces = 20;
    open_by_hand(&side, &config, SK_RESERVED_FAST);
    struct sk_msg none = {.kind = SK_MSG_HAVE_NONE}, have = {.kind = SK_MSG_HAVE, .index = 17};
    uint8_t bits[3] = {0x81, 0, 0x30};
    struct sk_msg late = {.kind = SK_MSG_BITFIELD, .data = sk_bytes(bits, sizeof bits)};
    feed_message(&side, &none, SK_SECOND_NS);
    feed_message(&side, &have, SK_SECOND_NS);
    feed_message(&side, &late, SK_SECOND_NS);
    const struct sk_bitfield *field = &sk_peer_view(side.peer)->have;
    assert_int_equal(field->set, 5);
    assert_true(sk_bitfield_has(field, 0) && sk_bitfield_has(field, 7));
    assert_true(sk_bitfield_has(field, 17) && sk_bitfield_has(field, 19));
    assert_int_equal(side.counts[SK_PEER_EVENT_MESSAGE], 3 + 4);
    assert_int_equal(side.last[SK_PEER_EVENT_MESSAGE].msg.kind, SK_MSG_HAVE);
    assert_int_equal(side.last[SK_PEER_EVENT_MESSAGE].msg.index, 19);
    for (int i = 0; i < 2 * SK_PEER_IDLE_MESSAGES_MAX; i++) /* nothing new is a flood */
        feed_message(&side, &late, SK_SECOND_NS);
    assert_closed(&side, SK_PEER_REASON_PROTOCOL, SK_PEER_VIOLATION_FLOOD);
    assert_int_equal(field->set, 5);
    sk_peer_free(side.peer);
}

/* And have-all, once it has completed. */
static void test_late_have_all(void **state)
{
    struct sk_peer_config config = test_config("a");
    struct side side;
    config.pieces = 20;
    open_by_hand(&side, &config, SK_RESERVED_FAST);
    uint8_t bits[3] = {0x81, 0, 0x30};
    struct sk_msg bitfield = {.kind = SK_MSG_BITFIELD, .data = sk_bytes(bits, sizeof bits)};
    struct sk_msg all = {.kind = SK_MSG_HAVE_ALL};
    feed_message(&side, &bitfield, SK_SECOND_NS);
    feed_message(&side, &all, SK_SECOND_NS);
    assert_int_equal(side.counts[SK_PEER_EVENT_CLOSED], 0);
    assert_true(sk_bitfield_full(&sk_peer_view(side.peer)->have));
    assert_int_equal(side.counts[SK_PEER_EVENT_MESSAGE], 2 + 16);
    assert_int_equal(side.last[SK_PEER_EVENT_MESSAGE].msg.kind, SK_MSG_HAVE);
    assert_int_equal(side.last[SK_PEER_EVENT_MESSAGE].msg.index, 17);
    struct sk_msg lost = {
        .kind = SK_MSG_EXTENDED, .extended_id = SK_EXT_DONT_HAVE, .data = sk_bytes("\0\0\0\4", 4)};
    for (int i = 0; i < 2 * SK_PEER_IDLE_MESSAGES_MAX; i++) { /* each time something new */
        feed_message(&side, &lost, SK_SECOND_NS);
        feed_message(&side, &all, SK_SECOND_NS);
    }
    assert_closed(&side, SK_PEER_REASON_PROTOCOL, SK_PEER_VIOLATION_FLOOD);
    sk_peer_free(side.peer);
}

/* What came before the metadata is kept and applied. */
static void test_before_metadata(void **state)
{
    uint8_t bits[2] = {0x80, 0x40};
    struct sk_msg all = {.kind = SK_MSG_HAVE_ALL};
    struct sk_msg bitfield = {.kind = SK_MSG_BITFIELD, .data = sk_bytes(bits, sizeof bits)};
    struct sk_msg have = {.kind = SK_MSG_HAVE, .index = 5};
    struct sk_msg lost = {
        .kind = SK_MSG_EXTENDED, .extended_id = SK_EXT_DONT_HAVE, .data = sk_bytes("\0\0\0\0", 4)};
    struct {
        const struct sk_msg *messages[3];
        uint32_t set;
        enum sk_peer_violation violation;
        uint32_t pieces;
    } cases[] = {
        {{&all}, 10, 0, 10},
        {{&all, &lost}, 9, 0, 10},
        {{&bitfield}, 2, 0, 10},
        {{&bitfield, &have}, 3, 0, 10},
        {{&bitfield, &have, &lost}, 2, 0, 10},
        {{&have, &bitfield}, 2, 0, 10},
        {{&bitfield, &have, &bitfield}, 2, 0, 10},
        {{&all, &bitfield}, 10, 0, 10},
        {{&bitfield, &all}, 10, 0, 10},
        {{&have, &lost, &all}, 10, 0, 10},
        {{&bitfield, &all, &lost}, 9, 0, 10},
        {{&have, &have}, 1, 0, 10},
        {{&lost, &have}, 1, 0, 10},
        {{NULL}, 0, 0, 10},
        {{&bitfield}, 0, SK_PEER_VIOLATION_BITFIELD, 9},  /* a spare bit is set */
        {{&bitfield}, 0, SK_PEER_VIOLATION_BITFIELD, 17}, /* too short */
        {{&have}, 0, SK_PEER_VIOLATION_INDEX, 5},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_peer_config config = test_config("a");
        config.pieces = config.piece_size = 0;
        struct side side;
        open_by_hand(&side, &config, SK_RESERVED_FAST | SK_RESERVED_EXTENSION);
        bool has_all = false;
        for (size_t k = 0; k < 3 && cases[i].messages[k]; k++) {
            feed_message(&side, cases[i].messages[k], SK_SECOND_NS);
            has_all = has_all || cases[i].messages[k] == &all;
        }
        const struct sk_peer_view *view = sk_peer_view(side.peer);
        assert_int_equal(view->have.count, 0);
        assert_int_equal(view->has_all_early, has_all);
        assert_int_equal(sk_peer_send_request(side.peer, 0, 0, 1, 1), SKEP_ERR_STATE);
        assert_int_equal(sk_peer_set_pieces(side.peer, cases[i].pieces, BLOCK, 0, false), 0);
        drain(&side);
        if (cases[i].violation) {
            assert_closed(&side, SK_PEER_REASON_PROTOCOL, cases[i].violation);
        } else {
            assert_int_equal(view->have.count, cases[i].pieces);
            assert_int_equal(view->have.set, cases[i].set);
            assert_int_equal(sk_peer_set_pieces(side.peer, 10, BLOCK, 0, false), SKEP_ERR_STATE);
        }
        sk_peer_free(side.peer);
    }
}

static void test_metadata_before_open(void **state)
{
    struct pair pair;
    struct sk_peer_config a = test_config("a"), b = test_config("b");
    a.pieces = 0;
    pair_init(&pair, &a, &b, CHUNK_WHOLE);
    assert_int_equal(sk_peer_set_pieces(pair.a.peer, 10, BLOCK, 0, false), 0);
    run(&pair);
    assert_int_equal(sk_peer_view(pair.a.peer)->have.count, 10);
    pair_deinit(&pair);
}

static void test_send_arguments(void **state)
{
    struct sk_peer_config config = test_config("a");
    struct side side;
    open_by_hand(&side, &config, 0);
    assert_int_equal(sk_peer_send_request(side.peer, 100, 0, 1, 0), SKEP_ERR_INVALID);
    assert_int_equal(sk_peer_send_request(side.peer, 0, 0, 0, 0), SKEP_ERR_INVALID);
    assert_int_equal(sk_peer_send_request(side.peer, 0, 0, SK_BLOCK_SIZE_MAX + 1, 0),
                     SKEP_ERR_INVALID);
    assert_int_equal(sk_peer_send_reject(side.peer, 0, 0, 1), SKEP_ERR_STATE);
    assert_int_equal(sk_peer_send_extension_handshake(side.peer, -1, -1), SKEP_ERR_UNSUPPORTED);
    struct sk_msg request = {.kind = SK_MSG_REQUEST}, suggest = {.kind = SK_MSG_SUGGEST};
    assert_int_equal(sk_peer_send_message(side.peer, &request), SKEP_ERR_INVALID);
    assert_int_equal(sk_peer_send_message(side.peer, &suggest), SKEP_ERR_STATE);
    sk_peer_free(side.peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_send_bitfield),
        cmocka_unit_test(test_have),
        cmocka_unit_test(test_lazy_bitfield),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_unfinished_block),
        cmocka_unit_test(test_requests_any_order),
        cmocka_unit_test(test_choke_without_fast),
        cmocka_unit_test(test_choke_with_fast),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_forgiving_ends),
        cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_extensions),
        cmocka_unit_test(test_holepunch),
        cmocka_unit_test(test_extension_handshake_again),
        cmocka_unit_test(test_dont_have_drops),
        cmocka_unit_test(test_late_bitfield),
        cmocka_unit_test(test_late_have_all),
        cmocka_unit_test(test_before_metadata),
        cmocka_unit_test(test_metadata_before_open),
        cmocka_unit_test(test_send_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
