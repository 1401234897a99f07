/* Clients that have an address of IPv4 and one of IPv6, of which we know one: they announce by
 * either, and others are connected to either. Each test fails without the rule that it is about. */
#include "verdict_world.h"

#define SEED 1
#define LEECHER 2
#define OTHER 3
#define BY_V6 50 /* where the seed announces too; a stranger to us */
#define HELD 10
#define REPORTS 9
#define END_S 2500

static void tell_link(struct world *world, const struct sk_endpoint *to, uint8_t by)
{
    struct sk_observation observation = {.kind = SK_OBS_HEARD,
                                         .at_ns = BEGIN_NS + UINT64_C(1000000000),
                                         .peer = *to,
                                         .source = SK_SOURCE_PEX,
                                         .by = address(by)};
    assert_int_equal(sk_timeline_observe(&world->timeline, &observation), 0);
}

/* The seed says the same by both addresses, and is connected to the leecher by the one that we
 * know; we took a piece of it there. Once we learn that it is the one whom we know, once not, and
 * once clients take another peer id for each connection. */
static void test_announces_by_both(void **state)
{
    for (int kind = 0; kind < 3; kind++) {
        struct world world;
        struct sk_endpoint leecher = address(LEECHER), seed = address(SEED);
        begin(&world);
        join(&world, 0, SEED, PIECES);
        join(&world, 0.5, LEECHER, HELD);
        tell_link(&world, &seed, LEECHER);
        tell_link(&world, &leecher, SEED);
        for (int k = 0; k < 20; k++)
            TELL(&world, 1 + k * 0.05, SEED, .kind = SK_OBS_ARRIVAL, .a = k * 50000);
        TELL(&world, 2, BY_V6, .kind = SK_OBS_HEARD, .source = SK_SOURCE_TRACKER);
        if (kind == 0)
            TELL(&world, 3, BY_V6, .kind = SK_OBS_FAILED, .bytes = sk_bytes_text("duplicate"),
                 .by = seed);
        gain(&world, LEECHER, HELD, HELD + 80, 0.5, 2400.5);
        for (int k = 0; k < REPORTS; k++) {
            uint64_t bytes = (uint64_t)((4.5 + k * PERIOD_S) / 30) * PIECE;
            say(&world, 5 + k * PERIOD_S, LEECHER, 0, bytes, SIZE - HELD * PIECE - bytes);
            say(&world, 5 + k * PERIOD_S, SEED, bytes + PIECE, 0, 0);
            say(&world, 6 + k * PERIOD_S, BY_V6, bytes + PIECE, 0, 0)->peer_id[19] =
                kind == 2 ? 77 : SEED;
        }
        judge(&world, END_S);
        assert_clear(&world, SEED);
        assert_clear(&world, LEECHER);
        assert_clear(&world, BY_V6);
        end(&world);
    }
}

/* One whom we never reach says to have uploaded more than all others gained. */
static void test_stranger_lies(void **state)
{
    struct world world;
    struct sk_endpoint seed = address(SEED);
    begin(&world);
    join(&world, 0, SEED, PIECES);
    join(&world, 0.5, LEECHER, HELD);
    tell_link(&world, &seed, LEECHER);
    TELL(&world, 2, BY_V6, .kind = SK_OBS_HEARD, .source = SK_SOURCE_TRACKER);
    gain(&world, LEECHER, HELD, HELD + 80, 0.5, 2400.5);
    for (int k = 0; k < REPORTS; k++)
        say(&world, 5 + k * PERIOD_S, BY_V6, 60 * PIECE * (uint64_t)k, 0, 0);
    judge(&world, END_S);
    assert_false_by(&world, BY_V6, SK_CHECK_UPLOADED_GAINS);
    end(&world);
}

/* The leecher gains little for long, and then much at once, all of it from the seed, by IPv6: each
 * tells of an address of the other that we do not know. */
static void test_connected_by_the_other_address(void **state)
{
    const uint32_t piece = 16 * PIECE;
    const uint64_t size = (uint64_t)piece * PIECES;
    uint8_t v6[16] = {0x20, 1, 0xd, 0xb8};
    struct world world;
    struct sk_endpoint other = address(OTHER);
    begin(&world);
    sk_timeline_deinit(&world.timeline);
    assert_int_equal(sk_timeline_init(&world.timeline, BEGIN_NS, PIECES, piece, size), 0);
    world.config.skew_max_s = 1;
    join(&world, 0, SEED, PIECES);
    join(&world, 0.5, LEECHER, HELD);
    join(&world, 0.5, OTHER, PIECES);
    tell_link(&world, &other, LEECHER);
    tell_link(&world, &other, SEED);
    for (uint8_t n = SEED; n <= LEECHER; n++) {
        v6[15] = n;
        struct sk_endpoint endpoint = sk_endpoint_v6(v6, 6881);
        tell_link(&world, &endpoint, SEED + LEECHER - n);
    }
    gain(&world, LEECHER, HELD, HELD + 2, 0.5, 20.5);
    gain(&world, LEECHER, HELD + 2, HELD + 42, 1250.5, 1350.5);
    gain(&world, LEECHER, HELD + 42, HELD + 82, 1850.5, 1950.5);
    for (int k = 0; k < REPORTS; k++) {
        uint64_t bytes = piece * (uint64_t)((k > 0 ? 2 : 0) + (k > 4 ? 40 : 0) + (k > 6 ? 40 : 0));
        say(&world, 5 + k * PERIOD_S, LEECHER, 0, bytes, size - HELD * (uint64_t)piece - bytes);
        say(&world, 5 + k * PERIOD_S, SEED, bytes, 0, 0);
    }
    judge(&world, END_S);
    assert_clear(&world, SEED);
    assert_clear(&world, LEECHER);
    end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_announces_by_both),
        cmocka_unit_test(test_stranger_lies),
        cmocka_unit_test(test_connected_by_the_other_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
