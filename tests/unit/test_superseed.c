/* Super-seeding (BEP 16): each piece once first, the next when one was passed on. */
#include "base/prng.h"
#include "swarm/superseed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

#define PIECES 40u
#define PEERS 4u

static struct sk_bitfield stored;
static struct sk_superseed *seed;
static struct leech {
    struct sk_superseed_peer *peer;
    uint32_t offers[PIECES], count;
} leeches[PEERS];
static uint32_t told[PIECES]; /* how often each was offered */

static void collect(void)
{
    void *owner;
    uint32_t piece;
    while (sk_superseed_next(seed, &owner, &piece)) {
        struct leech *leech = owner;
        assert_true(piece < PIECES && leech->count < PIECES);
        assert_true(sk_superseed_offered(leech->peer, piece));
        leech->offers[leech->count++] = piece;
        told[piece]++;
    }
}

static void begin(uint32_t peers)
{
    memset(leeches, 0, sizeof leeches);
    memset(told, 0, sizeof told);
    assert_int_equal(sk_bitfield_init(&stored, PIECES), 0);
    sk_bitfield_fill(&stored);
    assert_int_equal(sk_superseed_new(&stored, 7, &seed), 0);
    for (uint32_t i = 0; i < peers; i++)
        assert_int_equal(sk_superseed_add(seed, &leeches[i], &leeches[i].peer), 0);
    collect();
}

static void end(void)
{
    sk_superseed_free(seed);
    sk_bitfield_deinit(&stored);
}

static void has(struct leech *leech, uint32_t piece, uint64_t now_ns)
{
    sk_superseed_has(seed, leech->peer, piece, now_ns);
    collect();
}

/* Two each, and no two get the same. */
static void test_first_offers(void **state)
{
    uint32_t offered = 0;
    begin(PEERS);
    for (uint32_t i = 0; i < PEERS; i++)
        assert_int_equal(leeches[i].count, 2);
    for (uint32_t piece = 0; piece < PIECES; piece++) {
        assert_true(told[piece] <= 1);
        offered += told[piece];
        for (uint32_t i = 0; i < PEERS; i++) {
            bool is = leeches[i].offers[0] == piece || leeches[i].offers[1] == piece;
            assert_int_equal(sk_superseed_offered(leeches[i].peer, piece), is);
        }
    }
    assert_int_equal(offered, 2 * PEERS);
    end();
}

static void test_more_when_passed_on(void **state)
{
    begin(PEERS);
    uint32_t piece = leeches[0].offers[0];
    has(&leeches[0], piece, 1);
    assert_int_equal(leeches[0].count, 2); /* it is not passed on yet */
    has(&leeches[1], piece, 2);
    assert_int_equal(leeches[0].count, 3);
    assert_int_equal(leeches[1].count, 2); /* it passed on nothing */
    has(&leeches[2], piece, 3);
    has(&leeches[0], piece, 3); /* known */
    assert_int_equal(leeches[0].count, 3);
    /* Somebody else had it before. */
    piece = leeches[3].offers[1];
    has(&leeches[2], piece, 4);
    assert_int_equal(leeches[3].count, 2);
    has(&leeches[3], piece, 5);
    assert_int_equal(leeches[3].count, 3);
    end();
}

/* Nobody to pass it on to: others left, or are seeds. */
static void test_alone(void **state)
{
    begin(2);
    has(&leeches[0], leeches[0].offers[0], 1);
    assert_int_equal(leeches[0].count, 2);
    sk_superseed_remove(seed, leeches[1].peer);
    collect();
    assert_int_equal(leeches[0].count, 3);
    assert_int_equal(sk_superseed_add(seed, &leeches[1], &leeches[1].peer), 0);
    for (uint32_t piece = 0; piece < PIECES; piece++)
        sk_superseed_has(seed, leeches[1].peer, piece, 2);
    uint32_t before = leeches[1].count;
    collect();
    assert_int_equal(leeches[1].count, before); /* a seed wants nothing */
    has(&leeches[0], leeches[0].offers[1], 3);
    has(&leeches[0], leeches[0].offers[2], 3);
    assert_int_equal(leeches[0].count, 5);
    end();
}

static void test_patience(void **state)
{
    const uint64_t start = 100 * SK_SECOND_NS;
    begin(PEERS);
    has(&leeches[0], leeches[0].offers[0], start);
    sk_superseed_tick(seed, start + SK_SUPERSEED_PATIENCE_NS - 1);
    collect();
    assert_int_equal(leeches[0].count, 2);
    sk_superseed_tick(seed, start + SK_SUPERSEED_PATIENCE_NS);
    collect();
    assert_int_equal(leeches[0].count, 3);
    assert_int_equal(leeches[1].count, 2); /* has not got what it was offered */
    end();
}

/* What went away with a peer is offered again. */
static void test_leaves(void **state)
{
    begin(1);
    for (uint32_t i = 0; i < PIECES; i++)
        has(&leeches[0], leeches[0].offers[i], 1);
    assert_int_equal(leeches[0].count, PIECES);
    sk_superseed_remove(seed, leeches[0].peer);
    leeches[0].count = 0;
    assert_int_equal(sk_superseed_add(seed, &leeches[0], &leeches[0].peer), 0);
    collect();
    assert_int_equal(leeches[0].count, 2);
    end();
}

static void test_stored_later(void **state)
{
    begin(0);
    sk_bitfield_clear(&stored);
    assert_int_equal(sk_superseed_add(seed, &leeches[0], &leeches[0].peer), 0);
    collect();
    assert_int_equal(leeches[0].count, 0);
    sk_bitfield_add(&stored, 5);
    sk_superseed_stored(seed);
    collect();
    assert_int_equal(leeches[0].count, 1);
    assert_int_equal(leeches[0].offers[0], 5);
    end();
}

/* Leeches that pass on: a random one of what another one has, as often as the seed gives one. */
static void test_one_copy(void **state)
{
    struct sk_prng prng;
    bool got[PEERS][PIECES] = {0};
    uint32_t given = 0, out = 0, taken[PEERS] = {0};
    sk_prng_init(&prng, 3);
    begin(PEERS);
    for (int rounds = 0; out < PIECES; rounds++) {
        assert_true(rounds < 100000);
        uint32_t i = (uint32_t)sk_prng_below(&prng, PEERS), piece;
        if (taken[i] < leeches[i].count) { /* from the seed */
            piece = leeches[i].offers[taken[i]++];
            if (!got[i][piece]) {
                bool first = true;
                for (uint32_t j = 0; j < PEERS; j++)
                    first &= !got[j][piece];
                out += first;
                given++;
                got[i][piece] = true;
                has(&leeches[i], piece, 1);
            }
        }
        uint32_t from = (uint32_t)sk_prng_below(&prng, PEERS);
        piece = (uint32_t)sk_prng_below(&prng, PIECES);
        if (got[from][piece] && !got[i][piece]) {
            got[i][piece] = true;
            has(&leeches[i], piece, 1);
        }
    }
    assert_in_range(given, PIECES, PIECES + 2);
    end();
}

/* Of a torrent of a million pieces one that says at once that it has what it is offered gets the
 * next, and costs little each time. */
static void test_large(void **state)
{
    const uint32_t pieces = 1u << 20, offers = 20000;
    struct sk_superseed_peer *peer;
    void *owner;
    uint32_t piece;
    assert_int_equal(sk_bitfield_init(&stored, pieces), 0);
    sk_bitfield_fill(&stored);
    assert_int_equal(sk_superseed_new(&stored, 7, &seed), 0);
    assert_int_equal(sk_superseed_add(seed, NULL, &peer), 0);
    clock_t began = clock();
    for (uint32_t i = 0; i < offers; i++) {
        assert_true(sk_superseed_next(seed, &owner, &piece));
        sk_superseed_has(seed, peer, piece, SK_SECOND_NS);
    }
    /* A look at all of them for each would be 20,000 million. */
    assert_true((clock() - began) / CLOCKS_PER_SEC < 8);
    end();
}

/* Of more pieces than are looked at for one offer all are offered in the end, each once. */
static void test_all_of_many(void **state)
{
    const uint32_t pieces = 5000;
    struct sk_superseed_peer *peer;
    void *owner;
    uint32_t piece, count = 0;
    assert_int_equal(sk_bitfield_init(&stored, pieces), 0);
    sk_bitfield_fill(&stored);
    assert_int_equal(sk_superseed_new(&stored, 7, &seed), 0);
    assert_int_equal(sk_superseed_add(seed, NULL, &peer), 0);
    while (sk_superseed_next(seed, &owner, &piece)) {
        assert_true(piece < pieces);
        count++;
        sk_superseed_has(seed, peer, piece, SK_SECOND_NS);
    }
    assert_int_equal(count, pieces);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_offers), cmocka_unit_test(test_more_when_passed_on),
        cmocka_unit_test(test_alone),        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_leaves),       cmocka_unit_test(test_stored_later),
        cmocka_unit_test(test_one_copy),     cmocka_unit_test(test_large),
        cmocka_unit_test(test_all_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
