/*
 * Peer sessions with message stream encryption: all policies against each other, and each way in
 * which the other side can break the handshake, from either end, played by hand.
 */
#include "session_pair.h"

#define ANY (SK_MSE_PLAIN | SK_MSE_RC4)

static struct sk_peer_skey skeys[3]; /* the torrent of the tests is the last */

static int setup(void **state)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(skeys); i++) {
        memcpy(skeys[i].info_hash, test_hash, 20);
        skeys[i].info_hash[0] = (uint8_t)(test_hash[0] + i + 1 - SK_ARRAY_LEN(skeys));
        sk_mse_hash_req2(skeys[i].info_hash, skeys[i].req2);
    }
    return 0;
}

static void mse_pair(struct pair *pair, unsigned a_modes, unsigned b_modes, uint64_t seed,
                     enum chunking chunking)
{
    struct sk_peer_config a = test_config("a"), b = test_config("b");
    a.mse = a_modes;
    b.mse = b_modes;
    a.seed = seed;
    b.seed = ~seed;
    pair_init(pair, &a, &b, chunking);
    sk_peer_set_skeys(pair->b.peer, skeys, SK_ARRAY_LEN(skeys));
}

/* Blocks both ways arrive whole. */
static void exchange(struct pair *pair)
{
    uint8_t block[BLOCK];
    memset(block, 'z', sizeof block);
    assert_int_equal(sk_peer_send_request(pair->a.peer, 1, 0, BLOCK, pair->now_ns), 0);
    assert_int_equal(sk_peer_send_request(pair->b.peer, 2, 0, BLOCK, pair->now_ns), 0);
    run(pair);
    assert_int_equal(pair->b.last[SK_PEER_EVENT_MESSAGE].msg.index, 1);
    assert_int_equal(sk_peer_send_piece(pair->b.peer, 1, 0, sk_bytes(block, BLOCK)), 0);
    assert_int_equal(sk_peer_send_piece(pair->a.peer, 2, 0, sk_bytes(block, BLOCK)), 0);
    run(pair);
    assert_int_equal(pair->a.counts[SK_PEER_EVENT_BLOCK], 1);
    assert_int_equal(pair->b.counts[SK_PEER_EVENT_BLOCK], 1);
}

static void test_modes(void **state)
{
    static const struct {
        unsigned a, b, result; /* result 0: none */
    } cases[] = {
        {ANY, ANY, SK_MSE_RC4},
        {SK_MSE_RC4, ANY, SK_MSE_RC4},
        {SK_MSE_PLAIN, ANY, SK_MSE_PLAIN},
        {ANY, SK_MSE_RC4, SK_MSE_RC4},
        {ANY, SK_MSE_PLAIN, SK_MSE_PLAIN},
        {SK_MSE_RC4, SK_MSE_RC4, SK_MSE_RC4},
        {SK_MSE_PLAIN, SK_MSE_PLAIN, SK_MSE_PLAIN},
        {SK_MSE_RC4, SK_MSE_PLAIN, 0},
        {SK_MSE_PLAIN, SK_MSE_RC4, 0},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        for (size_t k = 0; k < SK_ARRAY_LEN(all_chunkings); k++) {
            struct pair pair;
            mse_pair(&pair, cases[i].a, cases[i].b, i * 100 + k, all_chunkings[k]);
            run(&pair);
            if (cases[i].result) {
                const struct sk_peer_view *a = sk_peer_view(pair.a.peer);
                const struct sk_peer_view *b = sk_peer_view(pair.b.peer);
                assert_int_equal(a->state, SK_PEER_OPEN);
                assert_int_equal(b->state, SK_PEER_OPEN);
                assert_int_equal(a->encryption, cases[i].result);
                assert_int_equal(b->encryption, cases[i].result);
                assert_true(a->mse && b->mse);
                assert_memory_equal(pair.b.last[SK_PEER_EVENT_HELLO].hello.info_hash, test_hash,
                                    20);
                exchange(&pair);
            } else {
                assert_closed(&pair.b, SK_PEER_REASON_ENCRYPTED_ONLY, 0);
                sk_peer_input_eof(pair.a.peer, pair.now_ns);
                drain(&pair.a);
                assert_closed(&pair.a, SK_PEER_REASON_MSE, 0);
            }
            pair_deinit(&pair);
        }
    }
}

/* Pads of all lengths: many seeds. */
static void test_pads(void **state)
{
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct pair pair;
        mse_pair(&pair, ANY, seed % 2 ? SK_MSE_RC4 : SK_MSE_PLAIN, seed, CHUNK_RANDOM);
        run(&pair);
        exchange(&pair);
        pair_deinit(&pair);
    }
}

/* Plain handshakes, at sessions that take both, that require encryption, and those that have none;
 * and encrypted ones at those. */
static void test_policies(void **state)
{
    static const struct {
        unsigned a, b;
        bool required;
        enum sk_peer_reason reason; /* b's */
        enum sk_peer_violation violation;
    } cases[] = {
        {0, ANY, false, SK_PEER_REASON_NONE, 0},
        {0, SK_MSE_PLAIN, false, SK_PEER_REASON_NONE, 0},
        {0, ANY, true, SK_PEER_REASON_ENCRYPTED_ONLY, 0},
        {0, SK_MSE_RC4, false, SK_PEER_REASON_ENCRYPTED_ONLY, 0},
        {ANY, ANY, true, SK_PEER_REASON_NONE, 0},
        {ANY, 0, false, SK_PEER_REASON_PROTOCOL, SK_PEER_VIOLATION_NOT_BITTORRENT},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        for (size_t k = 0; k < SK_ARRAY_LEN(all_chunkings); k++) {
            struct pair pair;
            struct sk_peer_config a = test_config("a"), b = test_config("b");
            a.mse = cases[i].a;
            b.mse = cases[i].b;
            b.mse_required = cases[i].required;
            pair_init(&pair, &a, &b, all_chunkings[k]);
            sk_peer_set_skeys(pair.b.peer, skeys, SK_ARRAY_LEN(skeys));
            run(&pair);
            if (cases[i].reason == SK_PEER_REASON_NONE) {
                exchange(&pair);
            } else {
                assert_closed(&pair.b, cases[i].reason, cases[i].violation);
                assert_int_equal(sk_peer_output(pair.b.peer).n, 0);
                /* Closed at once, before a byte: the dialler tries the other way. */
                sk_peer_input_eof(pair.a.peer, pair.now_ns);
                drain(&pair.a);
                assert_closed(&pair.a, SK_PEER_REASON_EOF_EARLY, 0);
            }
            pair_deinit(&pair);
        }
    }
}

static void test_torrent_not_served(void **state)
{
    struct pair pair;
    mse_pair(&pair, ANY, ANY, 1, CHUNK_WHOLE);
    sk_peer_set_skeys(pair.b.peer, skeys, SK_ARRAY_LEN(skeys) - 1);
    run(&pair);
    assert_closed(&pair.b, SK_PEER_REASON_WRONG_INFO_HASH, 0);
    pair_deinit(&pair);
}

/* Each side has its ten seconds for the encryption and ten for the handshake after it. */
static void test_deadline(void **state)
{
    struct pair pair;
    mse_pair(&pair, ANY, ANY, 1, CHUNK_WHOLE);
    uint64_t end_ns = pair.now_ns + SK_PEER_HANDSHAKE_NS;
    pair.now_ns += SK_SECOND_NS;
    deliver(&pair, &pair.a, &pair.b);
    assert_int_equal(sk_peer_deadline(pair.a.peer), end_ns);
    assert_int_equal(sk_peer_deadline(pair.b.peer), end_ns + SK_SECOND_NS);
    sk_peer_tick(pair.b.peer, end_ns + SK_SECOND_NS);
    drain(&pair.b);
    assert_closed(&pair.b, SK_PEER_REASON_HANDSHAKE_TIMEOUT, 0);
    sk_peer_tick(pair.a.peer, end_ns);
    drain(&pair.a);
    assert_closed(&pair.a, SK_PEER_REASON_HANDSHAKE_TIMEOUT, 0);
    pair_deinit(&pair);
}

/* The other side, played by hand */

struct hand {
    struct side us; /* the session under test */
    uint8_t private_key[SK_DH_PRIVATE_SIZE], public_key[SK_DH_SIZE], secret[SK_DH_SIZE];
    struct sk_rc4 *in, *out;
    struct sk_buf sent; /* of us, all of it */
};

static void collect(struct hand *hand)
{
    struct sk_bytes out = sk_peer_output(hand->us.peer);
    if (out.n)
        assert_int_equal(sk_buf_append(&hand->sent, out.p, out.n), 0);
    sk_peer_sent(hand->us.peer, out.n, 1);
}

static void hand_init(struct hand *hand, const struct sk_peer_config *config)
{
    *hand = (struct hand){.private_key = "a private key", .sent = {.max = SIZE_MAX}};
    hand->us.accept = *config;
    assert_int_equal(sk_dh_public(hand->private_key, hand->public_key), 0);
    assert_int_equal(sk_peer_new(config, 1, &hand->us.peer), 0);
    sk_peer_set_skeys(hand->us.peer, skeys, SK_ARRAY_LEN(skeys));
    collect(hand);
}

static void hand_deinit(struct hand *hand)
{
    sk_peer_free(hand->us.peer);
    sk_rc4_free(hand->in);
    sk_rc4_free(hand->out);
    sk_buf_deinit(&hand->sent);
}

/* Our key came: keys for both directions. We are A where the session dialled... then it is A. */
static void hand_keys(struct hand *hand, bool a)
{
    uint8_t key[SK_SHA1_SIZE];
    assert_true(hand->sent.n >= SK_DH_SIZE);
    assert_int_equal(sk_dh_secret(hand->private_key, hand->sent.p, hand->secret), 0);
    sk_mse_key(a, hand->secret, test_hash, key);
    assert_int_equal(sk_rc4_new(key, &hand->out), 0);
    sk_mse_key(!a, hand->secret, test_hash, key);
    assert_int_equal(sk_rc4_new(key, &hand->in), 0);
}

static void put(struct sk_buf *buf, const void *p, size_t n)
{
    assert_int_equal(sk_buf_append(buf, p, n), 0);
}

static void put_zeros(struct sk_buf *buf, size_t n)
{
    static const uint8_t zeros[70000];
    put(buf, zeros, n);
}

/* The session ended for this reason, or is in this state where there is none. */
static void expect(struct hand *hand, const char *name, enum sk_peer_reason reason,
                   enum sk_peer_state state)
{
    const struct side *us = &hand->us;
    enum sk_peer_reason got = us->last[SK_PEER_EVENT_CLOSED].reason;
    if (got != reason)
        fail_msg("%s: %s", name, sk_peer_reason_name(got));
    assert_int_equal(sk_peer_view(us->peer)->state, reason ? SK_PEER_CLOSED : state);
}

struct offer {
    const char *name;
    size_t pad_a;
    bool no_mark;
    uint8_t vc; /* first byte of the verification constant */
    uint32_t modes;
    uint16_t pad_c;
    size_t ia; /* bytes of the initial payload: the handshake, then keep-alives */
    enum sk_peer_reason reason;
};

/* A by hand: its whole side in one go, but for the wait for our key. */
static void send_offer_by_hand(struct hand *hand, const struct offer *offer)
{
    struct sk_buf buf = {.max = SIZE_MAX};
    put(&buf, hand->public_key, SK_DH_SIZE);
    put_zeros(&buf, offer->pad_a);
    feed(&hand->us, buf.p, buf.n, 1);
    sk_buf_deinit(&buf);
    collect(hand);
    hand_keys(hand, true);
    uint8_t hash[SK_SHA1_SIZE], veil[SK_SHA1_SIZE];
    sk_mse_hash_req1(hand->secret, hash);
    hash[0] ^= offer->no_mark;
    put(&buf, hash, sizeof hash);
    sk_mse_hash_req2(test_hash, hash);
    sk_mse_hash_req3(hand->secret, veil);
    for (int i = 0; i < SK_SHA1_SIZE; i++)
        hash[i] ^= veil[i];
    put(&buf, hash, sizeof hash);
    size_t encrypted = buf.n;
    uint8_t fields[SK_MSE_VC_SIZE + 6] = {offer->vc}, ia[2];
    sk_put_u32(fields + SK_MSE_VC_SIZE, offer->modes);
    sk_put_u16(fields + SK_MSE_VC_SIZE + 4, offer->pad_c);
    sk_put_u16(ia, (uint16_t)offer->ia);
    put(&buf, fields, sizeof fields);
    put_zeros(&buf, offer->pad_c);
    put(&buf, ia, sizeof ia);
    struct sk_handshake handshake = {.reserved = SK_RESERVED_FAST};
    memcpy(handshake.info_hash, test_hash, 20);
    uint8_t hello[SK_HANDSHAKE_SIZE];
    sk_handshake_write(&handshake, hello);
    if (offer->ia) {
        put(&buf, hello, sizeof hello);
        put_zeros(&buf, offer->ia - sizeof hello);
    }
    sk_rc4_apply(hand->out, buf.p + encrypted, buf.n - encrypted);
    feed(&hand->us, buf.p, buf.n, 1);
    sk_buf_deinit(&buf);
}

static void test_offers(void **state)
{
    static const struct offer offers[] = {
        {"fair", 0, false, 0, ANY, 0, 68, 0},
        {"longest pads", 512, false, 0, ANY, 512, 68, 0},
        {"unknown mode bits are ignored", 0, false, 0, 0xfffffffe, 0, 68, 0},
        {"no initial payload", 7, false, 0, ANY, 7, 0, 0},
        {"payload behind the handshake", 0, false, 0, SK_MSE_PLAIN, 0, 68 + 4, 0},
        {"PadA over 512", 513, false, 0, ANY, 0, 68, SK_PEER_REASON_MSE},
        {"no sync point", 100, true, 0, ANY, 512, 68, SK_PEER_REASON_MSE},
        {"wrong constant", 0, false, 1, ANY, 0, 68, SK_PEER_REASON_MSE},
        {"PadC over 512", 0, false, 0, ANY, 513, 68, SK_PEER_REASON_MSE},
        {"PadC without end", 0, false, 0, ANY, 65535, 68, SK_PEER_REASON_MSE},
        {"no mode", 0, false, 0, 0, 0, 68, SK_PEER_REASON_ENCRYPTED_ONLY},
        {"modes that nobody has", 0, false, 0, 0xfffffffc, 0, 68, SK_PEER_REASON_ENCRYPTED_ONLY},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(offers); i++) {
        struct sk_peer_config config = test_config("b");
        config.mse = ANY;
        struct hand hand;
        hand_init(&hand, &config);
        send_offer_by_hand(&hand, &offers[i]);
        expect(&hand, offers[i].name, offers[i].reason,
               offers[i].ia ? SK_PEER_OPEN : SK_PEER_HANDSHAKE);
        assert_int_equal(hand.us.counts[SK_PEER_EVENT_MESSAGE], offers[i].ia == 72);
        hand_deinit(&hand);
    }
}

/* len(IA) is two bytes: 65,535 is the most that it can be. None of it is kept, and where plain text
 * was selected the stream goes on in plain right behind it. */
static void test_longest_initial_payload(void **state)
{
    struct sk_peer_config config = test_config("b");
    config.mse = SK_MSE_PLAIN;
    struct hand hand;
    hand_init(&hand, &config);
    struct offer offer = {.modes = SK_MSE_PLAIN, .ia = SK_MSE_IA_MAX};
    /* 16,366 keep-alives less the last byte of one: a flood, if they came in one second. */
    send_offer_by_hand(&hand, &offer);
    assert_closed(&hand.us, SK_PEER_REASON_PROTOCOL, SK_PEER_VIOLATION_FLOOD);
    hand_deinit(&hand);

    hand_init(&hand, &config);
    offer.ia = 68 + 4 * 900 + 3;
    send_offer_by_hand(&hand, &offer);
    assert_int_equal(hand.us.counts[SK_PEER_EVENT_MESSAGE], 900);
    feed(&hand.us, "\0\0\0\0\1", 5, 1);
    assert_int_equal(hand.us.counts[SK_PEER_EVENT_MESSAGE], 901);
    feed(&hand.us, "\0\0", 2, 1); /* the message of one byte that was announced: a choke */
    assert_int_equal(hand.us.counts[SK_PEER_EVENT_MESSAGE], 902);
    assert_int_equal(hand.us.last[SK_PEER_EVENT_MESSAGE].msg.kind, SK_MSG_CHOKE);
    hand_deinit(&hand);
}

/* The torrent of the encryption is not that of the handshake inside. */
static void test_two_torrents(void **state)
{
    struct sk_peer_config config = test_config("b");
    config.mse = ANY;
    struct hand hand;
    hand_init(&hand, &config);
    send_offer_by_hand(&hand, &(struct offer){.modes = SK_MSE_RC4});
    struct sk_handshake handshake = {.info_hash = "another torrent"};
    uint8_t hello[SK_HANDSHAKE_SIZE];
    sk_handshake_write(&handshake, hello);
    sk_rc4_apply(hand.out, hello, sizeof hello);
    feed(&hand.us, hello, sizeof hello, 1);
    assert_closed(&hand.us, SK_PEER_REASON_WRONG_INFO_HASH, 0);
    hand_deinit(&hand);
}

struct choice {
    const char *name;
    size_t pad_b;
    uint8_t vc;
    unsigned offered;
    uint32_t mode;
    uint16_t pad_d;
    enum sk_peer_reason reason;
};

/* B by hand: key, pad, choice and handshake. */
static void send_choice_by_hand(struct hand *hand, const struct choice *choice)
{
    struct sk_buf buf = {.max = SIZE_MAX};
    hand_keys(hand, false);
    put(&buf, hand->public_key, SK_DH_SIZE);
    put_zeros(&buf, choice->pad_b);
    size_t encrypted = buf.n;
    uint8_t fields[SK_MSE_VC_SIZE + 6] = {choice->vc};
    sk_put_u32(fields + SK_MSE_VC_SIZE, choice->mode);
    sk_put_u16(fields + SK_MSE_VC_SIZE + 4, choice->pad_d);
    put(&buf, fields, sizeof fields);
    put_zeros(&buf, choice->pad_d);
    size_t payload = buf.n;
    struct sk_handshake handshake = {.reserved = SK_RESERVED_FAST};
    memcpy(handshake.info_hash, test_hash, 20);
    uint8_t hello[SK_HANDSHAKE_SIZE];
    sk_handshake_write(&handshake, hello);
    put(&buf, hello, sizeof hello);
    size_t end = choice->mode == SK_MSE_RC4 ? buf.n : payload;
    sk_rc4_apply(hand->out, buf.p + encrypted, end - encrypted);
    feed(&hand->us, buf.p, buf.n, 1);
    sk_buf_deinit(&buf);
}

static void test_choices(void **state)
{
    static const struct choice choices[] = {
        {"RC4", 0, 0, ANY, SK_MSE_RC4, 0, 0},
        {"plain", 0, 0, ANY, SK_MSE_PLAIN, 0, 0},
        {"longest pads", 512, 0, ANY, SK_MSE_RC4, 512, 0},
        {"longest pads, plain", 512, 0, ANY, SK_MSE_PLAIN, 512, 0},
        {"PadB over 512", 513, 0, ANY, SK_MSE_RC4, 0, SK_PEER_REASON_MSE},
        {"no sync point", 512, 1, ANY, SK_MSE_RC4, 512, SK_PEER_REASON_MSE},
        {"PadD over 512", 0, 0, ANY, SK_MSE_RC4, 513, SK_PEER_REASON_MSE},
        {"no mode", 0, 0, ANY, 0, 0, SK_PEER_REASON_MSE},
        {"both modes", 0, 0, ANY, ANY, 0, SK_PEER_REASON_MSE},
        {"a mode that nobody has", 0, 0, ANY, 4, 0, SK_PEER_REASON_MSE},
        {"RC4 not offered", 0, 0, SK_MSE_PLAIN, SK_MSE_RC4, 0, SK_PEER_REASON_MSE},
        {"plain not offered", 0, 0, SK_MSE_RC4, SK_MSE_PLAIN, 0, SK_PEER_REASON_MSE},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(choices); i++) {
        struct sk_peer_config config = test_config("a");
        config.outgoing = true;
        config.mse = choices[i].offered;
        struct hand hand;
        hand_init(&hand, &config);
        send_choice_by_hand(&hand, &choices[i]);
        expect(&hand, choices[i].name, choices[i].reason, SK_PEER_OPEN);
        hand_deinit(&hand);
    }
}

/* What dials us has sent its handshake with the initial payload: decrypted, it is there. */
static void test_our_initial_payload(void **state)
{
    struct sk_peer_config config = test_config("a");
    config.outgoing = true;
    config.mse = ANY;
    struct hand hand;
    hand_init(&hand, &config);
    send_choice_by_hand(&hand, &(struct choice){.offered = ANY, .mode = SK_MSE_RC4});
    size_t first = hand.sent.n;
    collect(&hand);
    enum { OFFER = 2 * SK_SHA1_SIZE + SK_MSE_VC_SIZE + 8 + SK_HANDSHAKE_SIZE };
    assert_true(hand.sent.n >= first + OFFER);
    uint8_t *fields = hand.sent.p + first + 2 * SK_SHA1_SIZE;
    sk_rc4_apply(hand.in, fields, OFFER - 2 * SK_SHA1_SIZE);
    assert_int_equal(sk_get_u32(fields + SK_MSE_VC_SIZE), ANY);
    assert_int_equal(sk_get_u16(fields + SK_MSE_VC_SIZE + 6), SK_HANDSHAKE_SIZE);
    struct sk_handshake hello;
    assert_int_equal(
        sk_handshake_read(sk_bytes(fields + SK_MSE_VC_SIZE + 8, SK_HANDSHAKE_SIZE), &hello), 0);
    assert_memory_equal(hello.info_hash, test_hash, 20);
    hand_deinit(&hand);
}

/* Degenerate public keys: 0, 1, P - 1, P and above, at either end. */
static void test_degenerate_keys(void **state)
{
    static const char prime[] = "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74"
                                "020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f1437"
                                "4fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563";
    uint8_t keys[5][SK_DH_SIZE] = {{0}};
    keys[1][SK_DH_SIZE - 1] = 1;
    assert_true(sk_hex_decode(prime, sizeof prime - 1, keys[2], SK_DH_SIZE));
    memcpy(keys[3], keys[2], SK_DH_SIZE);
    keys[2][SK_DH_SIZE - 1]--;
    memset(keys[4], 0xff, SK_DH_SIZE);
    for (int outgoing = 0; outgoing < 2; outgoing++) {
        for (size_t i = 0; i < SK_ARRAY_LEN(keys); i++) {
            struct sk_peer_config config = test_config("a");
            config.outgoing = outgoing;
            config.mse = ANY;
            struct hand hand;
            hand_init(&hand, &config);
            size_t before = hand.sent.n;
            feed(&hand.us, keys[i], SK_DH_SIZE, 1);
            assert_closed(&hand.us, SK_PEER_REASON_MSE, 0);
            collect(&hand);
            assert_int_equal(hand.sent.n, before);
            hand_deinit(&hand);
        }
    }
}

/* Who answers MSE in plain, or breaks off in the middle. */
static void test_plain_only(void **state)
{
    struct sk_peer_config config = test_config("a");
    config.outgoing = true;
    config.mse = ANY;
    struct hand hand;
    hand_init(&hand, &config);
    feed(&hand.us,
         "\x13"
         "BitTorrent protoco",
         19, 1);
    assert_int_equal(hand.us.counts[SK_PEER_EVENT_CLOSED], 0);
    feed(&hand.us, "l", 1, 1);
    assert_closed(&hand.us, SK_PEER_REASON_MSE, 0);
    hand_deinit(&hand);

    hand_init(&hand, &config);
    feed(&hand.us, "x", 1, 1);
    sk_peer_input_eof(hand.us.peer, 2);
    drain(&hand.us);
    assert_closed(&hand.us, SK_PEER_REASON_MSE, 0);
    hand_deinit(&hand);

    hand_init(&hand, &config);
    sk_peer_input_eof(hand.us.peer, 2);
    drain(&hand.us);
    assert_closed(&hand.us, SK_PEER_REASON_EOF_EARLY, 0);
    hand_deinit(&hand);
}

/* Noise at an MSE port ends at the bound of the search, whatever it is. */
static void test_noise(void **state)
{
    struct sk_prng prng;
    sk_prng_init(&prng, 4);
    for (int round = 0; round < 50; round++) {
        struct sk_peer_config config = test_config("a");
        config.outgoing = round % 2;
        config.mse = ANY;
        struct hand hand;
        hand_init(&hand, &config);
        uint8_t noise[SK_DH_SIZE + SK_MSE_PAD_MAX + SK_SHA1_SIZE];
        sk_prng_bytes(&prng, noise, sizeof noise);
        noise[0] = 0x7f; /* below P */
        size_t bound = sizeof noise - (config.outgoing ? SK_SHA1_SIZE - SK_MSE_VC_SIZE : 0);
        feed(&hand.us, noise, bound - 1, 1);
        assert_int_equal(hand.us.counts[SK_PEER_EVENT_CLOSED], 0);
        feed(&hand.us, noise + bound - 1, 1, 1);
        assert_closed(&hand.us, SK_PEER_REASON_MSE, 0);
        hand_deinit(&hand);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_pads),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_torrent_not_served),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_offers),
        cmocka_unit_test(test_longest_initial_payload),
        cmocka_unit_test(test_two_torrents),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_our_initial_payload),
        cmocka_unit_test(test_degenerate_keys),
        cmocka_unit_test(test_plain_only),
        cmocka_unit_test(test_noise),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
