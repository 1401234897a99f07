/*
 * Each allocation of a peer session fails in turn: the failure is seen (a function says so and may
 * be called again, or the session ends for want of memory), and nothing leaks.
 */
#include "session_pair.h"

struct trial {
    struct pair pair;
    bool noticed;
};

/* A function that failed for want of memory works when called again: allocations fail once. */
#define TRY(trial, call)                                                                           \
    do {                                                                                           \
        int err_ = (call);                                                                         \
        if (err_ == SKEP_ERR_NOMEM) {                                                              \
            (trial)->noticed = true;                                                               \
            err_ = (call);                                                                         \
        }                                                                                          \
        assert_true(err_ == 0 || (trial)->noticed);                                                \
    } while (0)

static void note_closed(struct side *side, const struct sk_peer_event *event)
{
    struct trial *trial = side->context;
    if (event->kind != SK_PEER_EVENT_CLOSED)
        return;
    /* The other side of one that ended so may end as it likes. */
    assert_true(trial->noticed || event->reason == SK_PEER_REASON_NO_MEMORY);
    trial->noticed = true;
}

static void start(struct trial *trial, struct sk_peer_config *a, struct sk_peer_config *b)
{
    static struct sk_peer_skey skey;
    struct pair *pair = &trial->pair;
    memcpy(skey.info_hash, test_hash, 20);
    sk_mse_hash_req2(test_hash, skey.req2);
    *trial = (struct trial){.pair = {.now_ns = SK_SECOND_NS, .chunking = CHUNK_RANDOM}};
    sk_prng_init(&pair->prng, 1);
    a->outgoing = true;
    pair->b.accept = *b;
    pair->a.context = pair->b.context = trial;
    pair->a.on_event = pair->b.on_event = note_closed;
    TRY(trial, sk_peer_new(a, pair->now_ns, &pair->a.peer));
    TRY(trial, sk_peer_new(b, pair->now_ns, &pair->b.peer));
    sk_peer_set_skeys(pair->b.peer, &skey, 1);
    run(pair);
    trial->noticed |= pair->b.accept_failed;
}

static void exchange_blocks(struct trial *trial)
{
    struct sk_peer *a = trial->pair.a.peer, *b = trial->pair.b.peer;
    uint8_t block[1000] = {0};
    for (uint32_t i = 0; i < 20; i++)
        TRY(trial, sk_peer_send_request(a, i, 0, sizeof block, 1));
    TRY(trial, sk_peer_send_cancel(a, 3, 0, sizeof block));
    run(&trial->pair);
    for (uint32_t i = 0; i < 20; i++)
        TRY(trial, sk_peer_send_piece(b, i, 0, sk_bytes(block, sizeof block)));
    run(&trial->pair);
}

/* All that goes with BEP 6 and 10, encrypted; the dialler learns the number of pieces late. */
static void modern(struct trial *trial)
{
    struct sk_peer_config a = test_config("a"), b = test_config("b");
    a.pieces = 0;
    a.has_v2 = true;
    a.mse = b.mse = SK_MSE_PLAIN | SK_MSE_RC4;
    start(trial, &a, &b);
    struct sk_peer *pa = trial->pair.a.peer, *pb = trial->pair.b.peer;
    uint8_t bits[13] = {0x80}, root[32] = "root";
    struct sk_bitfield some = {.bits = bits, .count = 100, .set = 1};
    TRY(trial, sk_peer_send_bitfield(pb, &some));
    run(&trial->pair);
    if (sk_peer_view(pa)->state != SK_PEER_CLOSED)
        TRY(trial, sk_peer_set_pieces(pa, 100, 4 * BLOCK, 0, true));
    exchange_blocks(trial);
    struct sk_metadata_message ask = {.kind = SK_METADATA_REQUEST};
    struct sk_pex_peer peer = {.endpoint = sk_endpoint_v4((uint8_t[]){10, 0, 0, 1}, 6881)};
    struct sk_hash_range range = {.root = root, .length = 2};
    TRY(trial, sk_peer_send_metadata(pa, &ask));
    TRY(trial, sk_peer_send_pex(pb, &peer, 1));
    TRY(trial, sk_peer_send_hash_request(pa, &range));
    TRY(trial, sk_peer_send_extension_handshake(pb, 100, 1));
    run(&trial->pair);
    sk_peer_tick(pa, trial->pair.now_ns + SK_PEER_KEEPALIVE_NS);
    drain(&trial->pair.a);
}

/* Without BEP 6: haves before the metadata, cancels and chokes that drop what was asked. */
static void plain(struct trial *trial)
{
    struct sk_peer_config config = test_config("a");
    struct side *side = &trial->pair.a;
    config.pieces = 0;
    config.outgoing = true;
    *trial = (struct trial){.pair = {.now_ns = SK_SECOND_NS}};
    side->context = trial;
    side->on_event = note_closed;
    TRY(trial, sk_peer_new(&config, SK_SECOND_NS, &side->peer));
    uint8_t bytes[SK_HANDSHAKE_SIZE + 20 * 9], choke[] = {0, 0, 0, 1, SK_MSG_CHOKE};
    struct sk_handshake handshake = {0};
    memcpy(handshake.info_hash, test_hash, 20);
    sk_handshake_write(&handshake, bytes);
    for (uint32_t i = 0; i < 20; i++) {
        uint8_t *have = bytes + SK_HANDSHAKE_SIZE + 9 * i;
        memcpy(have, "\0\0\0\5\4", 5);
        sk_put_u32(have + 5, i);
    }
    feed(side, bytes, SK_HANDSHAKE_SIZE + 7, SK_SECOND_NS);
    feed(side, bytes + SK_HANDSHAKE_SIZE + 7, sizeof bytes - SK_HANDSHAKE_SIZE - 7, SK_SECOND_NS);
    if (sk_peer_view(side->peer)->state != SK_PEER_CLOSED)
        TRY(trial, sk_peer_set_pieces(side->peer, 100, BLOCK, 0, false));
    for (uint32_t i = 0; i < 40; i++)
        TRY(trial, sk_peer_send_request(side->peer, i, 0, 4, 1));
    TRY(trial, sk_peer_send_cancel(side->peer, 39, 0, 4));
    feed(side, choke, sizeof choke, SK_SECOND_NS);
}

static void sweep(void (*scenario)(struct trial *))
{
    static struct trial trial;
    size_t nth = 1;
    for (;; nth++) {
        sk_mem_fail_nth(nth);
        scenario(&trial);
        size_t made = sk_mem_fail_nth(0);
        sk_peer_free(trial.pair.a.peer);
        sk_peer_free(trial.pair.b.peer);
        if (made < nth)
            break;
        if (!trial.noticed)
            fail_msg("allocation %zu failed and nobody said so", nth);
    }
    assert_false(trial.noticed);
    assert_true(nth > 10);
}

static void test_modern(void **state)
{
    sweep(modern);
}

static void test_plain(void **state)
{
    sweep(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modern),
        cmocka_unit_test(test_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
