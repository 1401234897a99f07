/* Who is unchoked: tit for tat, optimistic slots, turns of a seed. */
#include "swarm/choker.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define PEERS 64
#define SECOND UINT64_C(1000000000)

static struct sk_choker *choker;
static uint64_t now_ns;
static bool unchoked[PEERS];
static uint64_t slot_ns[PEERS]; /* how long each was unchoked */

static void carry_out(void)
{
    uint32_t peer, count = 0;
    bool is_unchoked;
    while (sk_choker_next(choker, &peer, &is_unchoked)) {
        assert_true(peer < PEERS && unchoked[peer] != is_unchoked);
        unchoked[peer] = is_unchoked;
    }
    for (uint32_t i = 0; i < PEERS; i++)
        count += unchoked[i];
    assert_int_equal(count, sk_choker_unchoked(choker));
    const char *fault = sk_choker_fault(choker);
    if (fault)
        fail_msg("%s", fault);
}

static void begin(uint32_t slots, uint64_t limit)
{
    const struct sk_choker_config config = {
        .slots_max = slots, .upload_limit_bytes_s = limit, .seed = 7};
    now_ns = 1000 * SECOND;
    memset(unchoked, 0, sizeof unchoked);
    memset(slot_ns, 0, sizeof slot_ns);
    assert_int_equal(sk_choker_new(&config, now_ns, &choker), 0);
    assert_int_equal(sk_choker_deadline(choker), SK_TIME_NEVER);
}

static void end(void)
{
    sk_choker_free(choker);
    choker = NULL;
}

static void add(uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        assert_int_equal(sk_choker_add(choker, i, now_ns), 0);
        sk_choker_interested(choker, i, true, now_ns);
    }
    carry_out();
}

/* One second: everybody gave so much; who is unchoked took so much. */
static void run(uint32_t seconds, const uint64_t *gives, const uint64_t *takes)
{
    for (; seconds > 0; seconds--) {
        now_ns += SECOND;
        for (uint32_t i = 0; i < PEERS; i++) {
            if (gives && gives[i])
                sk_choker_gave(choker, i, gives[i], now_ns);
            if (takes && takes[i] && unchoked[i])
                sk_choker_took(choker, i, takes[i], now_ns);
            slot_ns[i] += unchoked[i] ? SECOND : 0;
        }
        if (sk_choker_deadline(choker) <= now_ns) {
            sk_choker_tick(choker, now_ns);
            assert_true(sk_choker_deadline(choker) > now_ns);
        }
        carry_out();
    }
}

static uint32_t count_unchoked(uint32_t from, uint32_t to)
{
    uint32_t count = 0;
    for (uint32_t i = from; i < to; i++)
        count += unchoked[i];
    return count;
}

/* Free slots are filled at once and given up at once, between rounds. */
static void test_free_slots(void **state)
{
    begin(3, 0);
    add(0, 2);
    assert_int_equal(count_unchoked(0, 2), 2);
    add(2, 6);
    assert_int_equal(count_unchoked(0, 6), 3);
    uint32_t one = 0;
    while (!unchoked[one])
        one++;
    sk_choker_interested(choker, one, false, now_ns);
    carry_out();
    assert_false(unchoked[one]);
    assert_int_equal(count_unchoked(0, 6), 3);
    one = 0;
    while (!unchoked[one])
        one++;
    sk_choker_remove(choker, one, now_ns);
    unchoked[one] = false; /* nothing is told of who is gone */
    carry_out();
    assert_int_equal(count_unchoked(0, 6), 3);
    end();
}

/* What was taken back before it was told is not told. */
static void test_changes(void **state)
{
    uint32_t peer;
    bool is_unchoked;
    begin(2, 0);
    assert_int_equal(sk_choker_add(choker, 0, now_ns), 0);
    sk_choker_interested(choker, 0, true, now_ns);
    sk_choker_interested(choker, 0, false, now_ns);
    assert_false(sk_choker_next(choker, &peer, &is_unchoked));
    sk_choker_interested(choker, 0, true, now_ns);
    sk_choker_remove(choker, 0, now_ns);
    assert_false(sk_choker_next(choker, &peer, &is_unchoked));
    assert_int_equal(sk_choker_deadline(choker), SK_TIME_NEVER);
    assert_int_equal(sk_choker_add(choker, 0, now_ns), 0);
    assert_int_equal(sk_choker_deadline(choker), now_ns + SK_CHOKER_ROUND_NS);
    end();
}

/* Those that gave most within the last two rounds have the regular slots. */
static void test_tit_for_tat(void **state)
{
    uint64_t gives[PEERS] = {0};
    begin(5, 0);
    add(0, 20);
    for (uint32_t i = 0; i < 20; i++)
        gives[i] = 1000 * i;
    run(20, gives, NULL);
    assert_int_equal(count_unchoked(16, 20), 4);
    assert_int_equal(count_unchoked(0, 16), 1); /* the optimistic one */
    /* Others give now: after one round the old ones still count, after two they do not. */
    for (uint32_t i = 0; i < 20; i++)
        gives[i] = i < 4 ? 15000 : 0;
    run(10, gives, NULL);
    assert_int_equal(count_unchoked(16, 20), 4); /* what they gave in two rounds is 16,000 a s up */
    run(10, gives, NULL);
    assert_int_equal(count_unchoked(0, 4), 4);
    end();
}

/* The optimistic slot changes every 30 s; who has it may not have it again while others wait. */
static void test_optimistic(void **state)
{
    uint64_t gives[PEERS] = {[0] = 9000, [1] = 9000, [2] = 9000, [3] = 9000};
    uint32_t last = PEERS, changes = 0;
    begin(5, 0);
    add(0, 12);
    run(30, gives, NULL);
    for (uint32_t i = 0; i < 300; i += 30) {
        assert_int_equal(count_unchoked(0, 4), 4);
        assert_int_equal(count_unchoked(4, 12), 1);
        uint32_t one = 4;
        while (!unchoked[one])
            one++;
        changes += one != last;
        last = one;
        run(29, gives, NULL);
        assert_true(unchoked[one]);
        run(1, gives, NULL);
        assert_false(unchoked[one]);
    }
    assert_int_equal(changes, 10);
    for (uint32_t i = 4; i < 12; i++)
        assert_true(slot_ns[i] > 0); /* so far newcomers go first */
    end();
}

/* Of one newcomer and three others the newcomer is drawn in about half of all cases. */
static void test_newcomers(void **state)
{
    uint64_t gives[PEERS] = {[0] = 9000, [1] = 9000, [2] = 9000, [3] = 9000};
    uint32_t drawn = 0;
    begin(5, 0);
    add(0, 8);
    run(600, gives, NULL); /* everybody was unchoked before */
    for (uint32_t i = 0; i < 400; i++) {
        uint32_t newcomer = 10 + i % 2;
        add(newcomer, newcomer + 1);
        run(30, gives, NULL);
        drawn += unchoked[newcomer];
        sk_choker_remove(choker, newcomer, now_ns);
        unchoked[newcomer] = false;
        carry_out();
    }
    /* 3 shares of 3 + 3 (the fourth just lost the slot): within four deviations. */
    assert_in_range(drawn, 160, 240);
    end();
}

/* An optimistic one that gives moves to a regular slot, and another one is drawn. */
static void test_promotion(void **state)
{
    uint64_t gives[PEERS] = {0};
    begin(5, 0);
    add(0, 10);
    for (uint32_t i = 0; i < 4; i++)
        gives[i] = 1000 + i;
    run(30, gives, NULL);
    uint32_t one = 4;
    while (!unchoked[one])
        one++;
    gives[one] = 50000;
    run(10, gives, NULL);
    assert_true(unchoked[one]);
    assert_int_equal(count_unchoked(1, 4), 3);
    assert_false(unchoked[0]); /* gave least; the optimistic slot was drawn, and not by it */
    assert_int_equal(count_unchoked(0, 10), 5);
    run(60, gives, NULL);
    assert_true(unchoked[one]);
    end();
}

/* Who owes us blocks for a minute gets no regular slot, even if that stays free. */
static void test_snubbed(void **state)
{
    uint64_t gives[PEERS] = {[0] = 9000, [1] = 9000, [2] = 9000};
    begin(4, 0);
    add(0, 3);
    run(20, gives, NULL);
    for (uint32_t i = 0; i < 3; i++)
        sk_choker_waits(choker, i, true, now_ns);
    gives[0] = gives[1] = 0;
    run(59, gives, NULL);
    assert_int_equal(count_unchoked(0, 3), 3);
    sk_choker_waits(choker, 0, true, now_ns); /* says nothing new */
    run(11, gives, NULL);
    for (uint32_t i = 0; i < 6; i++) {
        assert_true(unchoked[2]);
        assert_int_equal(count_unchoked(0, 3), 2); /* one of both in the optimistic slot */
        run(10, gives, NULL);
    }
    sk_choker_waits(choker, 0, false, now_ns);
    sk_choker_waits(choker, 0, true, now_ns); /* a new request, a new minute */
    sk_choker_gave(choker, 1, 1, now_ns);
    run(10, gives, NULL);
    assert_int_equal(count_unchoked(0, 3), 3);
    end();
}

/* threats: a free rider among those that give gets nothing but optimistic slots. */
static void test_free_rider(void **state)
{
    uint64_t gives[PEERS] = {0};
    struct sk_prng prng;
    sk_prng_init(&prng, 3);
    begin(8, 0);
    add(0, 50);
    for (uint32_t second = 0; second < 3600; second += 10) {
        for (uint32_t i = 1; i < 50; i++)
            gives[i] = unchoked[i] || second < 60 ? 10000 + sk_prng_below(&prng, 10000) : 500;
        run(10, gives, NULL);
        assert_int_equal(count_unchoked(0, 50), 8);
    }
    /* One slot is optimistic, for 43 that have no regular one: 84 s an hour each. */
    assert_in_range(slot_ns[0] / SECOND, 0, 300);
    assert_true(slot_ns[0] % (10 * SECOND) == 0);
    end();
}

/* As a seed everybody gets a turn, fast ones by bytes and slow ones by time. */
static void test_seed_turns(void **state)
{
    uint64_t takes[PEERS] = {0};
    begin(4, 0);
    sk_choker_set_seeding(choker, true);
    add(0, 50);
    for (uint32_t i = 0; i < 50; i++)
        takes[i] = i % 2 ? 10000 : 2 << 20;
    run(3600, NULL, takes);
    for (uint32_t i = 0; i < 50; i++) {
        /* 25 * (60 s + 10 s) of 4 slots a cycle: 8 or 9 in an hour. */
        assert_in_range(slot_ns[i] / SECOND, i % 2 ? 480 : 80, i % 2 ? 540 : 90);
    }
    end();
}

/* As a seed nobody loses a slot that no other waits for; who takes nothing for two rounds does not
 * keep others waiting. */
static void test_seed_slots(void **state)
{
    uint64_t takes[PEERS] = {[0] = 5000, [1] = 5000};
    begin(3, 0);
    sk_choker_set_seeding(choker, true);
    add(0, 3);
    run(300, NULL, takes);
    assert_int_equal(count_unchoked(0, 3), 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(slot_ns[i], 300 * SECOND);
    /* All turns are over: one waits, and takes the place of the slowest. */
    takes[3] = 5000;
    add(3, 4);
    run(10, NULL, takes);
    assert_true(unchoked[3] && !unchoked[2]);
    end();
    begin(1, 0);
    sk_choker_set_seeding(choker, true);
    add(0, 2);
    run(10, NULL, NULL);
    bool second = unchoked[1];
    run(10, NULL, NULL);
    assert_true(unchoked[second ? 0 : 1]);
    end();
}

static void test_becomes_a_seed(void **state)
{
    uint64_t gives[PEERS] = {[0] = 9000}, takes[PEERS] = {[0] = 9000, [1] = 9000, [2] = 9000};
    begin(2, 0);
    add(0, 10);
    run(30, gives, takes);
    assert_true(unchoked[0]);
    sk_choker_set_seeding(choker, true);
    carry_out();
    run(200, gives, takes);
    for (uint32_t i = 0; i < 10; i++)
        assert_true(slot_ns[i] > 0);
    sk_choker_set_seeding(choker, false);
    run(30, gives, takes);
    assert_true(unchoked[0]);
    end();
}

/* Slots by the rate: more while the limit is not used up, or while each next one brings more. */
static void test_slots_by_rate(void **state)
{
    uint64_t takes[PEERS];
    for (uint32_t i = 0; i < PEERS; i++)
        takes[i] = 5000;
    begin(0, 100000);
    sk_choker_set_seeding(choker, true);
    add(0, 50);
    assert_int_equal(count_unchoked(0, 50), SK_CHOKER_SLOTS_MIN);
    run(600, NULL, takes);
    assert_int_equal(count_unchoked(0, 50), 18); /* 90,000 of 100,000 */
    /* They become fast, and share the limit: fewer slots, each worth its place. */
    for (uint32_t round = 0; round < 60; round++) {
        for (uint32_t i = 0; i < PEERS; i++)
            takes[i] = 100000 / sk_choker_unchoked(choker);
        run(10, NULL, takes);
    }
    assert_in_range(count_unchoked(0, 50), 9, 12); /* the tenth takes 10 KiB/s */
    end();
    /* No limit: 20 take 25,000 a second each. */
    begin(0, 0);
    sk_choker_set_seeding(choker, true);
    for (uint32_t i = 0; i < PEERS; i++)
        takes[i] = 25000;
    add(0, 50);
    run(1200, NULL, takes);
    assert_in_range(count_unchoked(0, 50), 24, 26);
    end();
}

static void test_one_slot(void **state)
{
    begin(1, 0);
    add(0, 4);
    run(600, NULL, NULL);
    for (uint32_t i = 0; i < 4; i++)
        assert_true(slot_ns[i] > 0);
    end();
}

/* Anything may happen in any order. */
static void test_random(void **state)
{
    struct sk_prng prng;
    bool here[PEERS] = {false};
    sk_prng_init(&prng, 11);
    for (uint32_t slots = 0; slots < 12; slots++) {
        begin(slots, slots % 2 ? 100000 : 0);
        memset(here, 0, sizeof here);
        for (uint32_t i = 0; i < 4000; i++) {
            uint32_t peer = (uint32_t)sk_prng_below(&prng, PEERS);
            bool yes = sk_prng_below(&prng, 3) > 0;
            now_ns += sk_prng_below(&prng, 2 * SECOND);
            if (!here[peer]) {
                assert_int_equal(sk_choker_add(choker, peer, now_ns), 0);
                here[peer] = true;
                continue;
            }
            switch (sk_prng_below(&prng, 8)) {
            case 0:
                sk_choker_remove(choker, peer, now_ns);
                here[peer] = unchoked[peer] = false;
                break;
            case 1:
                sk_choker_set_seeding(choker, yes);
                break;
            case 2:
                sk_choker_waits(choker, peer, yes, now_ns);
                break;
            case 3:
                sk_choker_gave(choker, peer, SK_BLOCK_SIZE, now_ns);
                break;
            case 4:
                sk_choker_took(choker, peer, SK_BLOCK_SIZE, now_ns);
                break;
            case 5:
                sk_choker_tick(choker, now_ns);
                break;
            default:
                sk_choker_interested(choker, peer, yes, now_ns);
            }
            carry_out();
        }
        end();
    }
}

static void test_limits(void **state)
{
    begin(1, 0);
    for (size_t nth = 1;; nth++) {
        sk_mem_fail_nth(nth);
        int err = sk_choker_add(choker, 0, now_ns);
        if (sk_mem_fail_nth(0) < nth)
            break;
        assert_int_equal(err, SKEP_ERR_NOMEM);
        assert_null(sk_choker_fault(choker));
    }
    for (uint32_t i = 1; i < SK_CHOKER_PEERS_MAX; i++)
        assert_int_equal(sk_choker_add(choker, i, now_ns), 0);
    assert_int_equal(sk_choker_add(choker, SK_CHOKER_PEERS_MAX, now_ns), SKEP_ERR_LIMIT);
    assert_null(sk_choker_fault(choker));
    end();
    const struct sk_choker_config config = {.seed = 1};
    sk_mem_fail_nth(1);
    assert_int_equal(sk_choker_new(&config, 0, &choker), SKEP_ERR_NOMEM);
    sk_mem_fail_nth(0);
    sk_choker_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_free_slots),     cmocka_unit_test(test_changes),
        cmocka_unit_test(test_tit_for_tat),    cmocka_unit_test(test_optimistic),
        cmocka_unit_test(test_newcomers),      cmocka_unit_test(test_promotion),
        cmocka_unit_test(test_snubbed),        cmocka_unit_test(test_free_rider),
        cmocka_unit_test(test_seed_turns),     cmocka_unit_test(test_seed_slots),
        cmocka_unit_test(test_becomes_a_seed), cmocka_unit_test(test_slots_by_rate),
        cmocka_unit_test(test_one_slot),       cmocka_unit_test(test_random),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
