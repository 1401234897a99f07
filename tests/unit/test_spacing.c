/* What a packet takes, from the times between ours: found among others' packets, and not where
 * there is nothing to be found. */
#include "audit/spacing.h"

#include "base/assert.h"
#include "base/prng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PACKET 1448
#define LINK 200e3 /* bytes a second: a packet takes 7.24 ms */
#define PACKET_S (PACKET / LINK)
#define LIST_MAX 4000

static struct sk_arrival list[LIST_MAX];
static uint32_t count;
static struct sk_prng prng;
static double now_s;

static void begin(uint64_t seed)
{
    sk_prng_init(&prng, seed);
    now_s = 1;
    count = 1;
    list[0] = (struct sk_arrival){1000000000, 0};
}

static double chance(void)
{
    return (double)sk_prng_below(&prng, 1000001) / 1e6;
}

/* An arrival after so many seconds; it is stamped up to 0.1 ms late. */
static void come(double after_s, uint64_t bytes)
{
    now_s += after_s;
    uint64_t at_ns = (uint64_t)((now_s + 1e-4 * chance()) * 1e9);
    const struct sk_arrival *last = &list[count - 1];
    assert_true(count < LIST_MAX);
    list[count++] = (struct sk_arrival){SK_MAX(at_ns, last->at_ns), last->bytes + bytes};
}

static double find(void)
{
    struct sk_spacing spacing;
    sk_spacing_find(list, count, &spacing);
    assert_true(isnan(spacing.rate) ? isnan(spacing.low) : spacing.low < spacing.rate);
    return spacing.rate;
}

static void finds(double rate, double within)
{
    assert_true(fabs(find() / rate - 1) < within); /* not where it is NAN */
}

/* A turn among many: two packets of ours a round, now and then one after the other. */
static void serve(uint32_t rounds)
{
    for (uint32_t i = 0; i < rounds; i++) {
        come(PACKET_S * (double)(20 + sk_prng_below(&prng, 15)), PACKET);
        come(PACKET_S * (double)(1 + (i % 4 ? sk_prng_below(&prng, 9) : 0)), PACKET);
    }
}

static void test_among_others(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        begin(seed);
        serve(50);
        finds(LINK, 0.03);
    }
}

/* Only once do two of ours follow each other; what lies between the others tells all the same. */
static void test_once(void **state)
{
    uint32_t found = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        begin(seed);
        for (int i = 0; i < 60; i++)
            come(PACKET_S * (double)(i == 30 ? 1 : 2 + sk_prng_below(&prng, 18)), PACKET);
        double rate = find();
        found += !isnan(rate);
        assert_true(isnan(rate) || fabs(rate / LINK - 1) < 0.02);
    }
    assert_in_range(found, 8, 20); /* the one gap may be stamped too badly */
}

/* Of the two, the first has a message's header in it. */
static void test_pairs_alone(void **state)
{
    begin(1);
    for (int i = 0; i < 40; i++) {
        come(0.3 + 0.4 * chance(), PACKET - 13);
        come(PACKET_S, PACKET);
    }
    finds(LINK, 0.02);
}

/* Others' short packets push ours apart by any time, but never together. */
static void test_short_packets(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        begin(seed);
        for (int i = 0; i < 60; i++) {
            come(PACKET_S * (1 + (i % 2 ? 0.2 * pow(chance(), 4) : 5 + 30 * chance())), PACKET);
            come(PACKET_S * (1 + 9 * chance()), PACKET);
        }
        finds(LINK, 0.03);
    }
}

/* What the sender's system hands over as one leaves as one, and takes as long as it is. */
static void test_packets_in_one(void **state)
{
    begin(3);
    for (int i = 0; i < 60; i++) {
        uint64_t packets = 1 + sk_prng_below(&prng, 6);
        double others = i % 3 ? 7 + 40 * chance() : 0;
        come(PACKET_S * ((double)packets + others), packets * PACKET);
    }
    finds(LINK, 0.03);
}

/* Others' packets come in lumps of 45, so that most gaps lie whole numbers of lumps apart. */
static void test_others_in_lumps(void **state)
{
    begin(7);
    for (int i = 0; i < 150; i++) {
        come(PACKET_S * (1 + 45 * (double)(1 + sk_prng_below(&prng, 4))), PACKET);
        if (i % 3 == 0)
            come(PACKET_S, PACKET);
    }
    finds(LINK, 0.03);
}

/* Hardly any packet comes alone. */
static void test_twos(void **state)
{
    begin(3);
    for (int i = 0; i < 60; i++) {
        uint64_t packets = i % 3 ? 2 : 4 + 2 * sk_prng_below(&prng, 4);
        come(PACKET_S * ((double)packets + (i % 4 ? 0 : 30 * chance())), packets * PACKET);
    }
    finds(LINK, 0.03);
}

static void test_nothing_to_find(void **state)
{
    uint32_t found = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        begin(seed);
        for (int i = 0; i < 200; i++)
            come(-0.03 * log(1e-9 + chance()), PACKET);
        found += !isnan(find());
    }
    assert_in_range(found, 0, 3);
}

/* A lost packet that is sent again lets two go that had waited: three in the time of one. */
static void test_repair(void **state)
{
    begin(1);
    for (int i = 0; i < 300; i++) {
        come(PACKET_S, 3 * PACKET);
        come(3 * PACKET_S, PACKET);
    }
    assert_false(find() > 1.1 * LINK);
}

/* A turn among many takes about as long each time, and says nothing. */
static void test_turns_alike(void **state)
{
    begin(1);
    for (int i = 0; i < 200; i++)
        come(PACKET_S * (28 + i % 5), PACKET);
    assert_true(isnan(find()));
}

/* A scheduler deals out the packets of four by turns. */
static void test_by_turns(void **state)
{
    begin(1);
    for (int i = 0; i < 300; i++)
        come(4 * PACKET_S * (i % 10 ? 1 : 9), PACKET);
    finds(LINK / 4, 0.02);
}

/* Whoever reads late sees several at once, and the next one too early. */
static void test_late_reading(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        begin(seed);
        double busy_s = 0, last_s = now_s;
        for (int i = 0; i < 120; i++) {
            last_s += PACKET_S * (i % 2 ? 1 + (double)sk_prng_below(&prng, 3) : 25);
            come(fmax(0, fmax(last_s, busy_s) - now_s), PACKET);
            if (chance() < 0.2)
                busy_s = last_s + 0.015 * chance();
        }
        finds(LINK, 0.05);
    }
}

static void test_too_few(void **state)
{
    begin(1);
    assert_true(isnan(find()));
    for (int i = 0; i < SK_SPACING_GAPS_MIN - 1; i++)
        come(PACKET_S, PACKET);
    assert_true(isnan(find()));
    come(PACKET_S, PACKET);
    finds(LINK, 0.02);
}

/* No size that one packet can have is common. */
static void test_no_segment(void **state)
{
    begin(1);
    for (int i = 0; i < 500; i++)
        come(0.01, 3001 + sk_prng_below(&prng, 20000));
    assert_true(isnan(find()));
    begin(1);
    for (int i = 0; i < 900; i++)
        come(0.01, 500 + (uint64_t)(i % 450));
    assert_true(isnan(find()));
}

/* Times and sizes that no network has. */
static void test_odd(void **state)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        begin(seed);
        for (int i = 0; i < 2000; i++)
            come(chance() < 0.5 ? 0 : 4 * chance(), chance() < 0.8 ? PACKET : UINT64_C(1) << 40);
        (void)find();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_among_others),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_pairs_alone),
        cmocka_unit_test(test_short_packets),
        cmocka_unit_test(test_packets_in_one),
        cmocka_unit_test(test_others_in_lumps),
        cmocka_unit_test(test_twos),
        cmocka_unit_test(test_nothing_to_find),
        cmocka_unit_test(test_repair),
        cmocka_unit_test(test_turns_alike),
        cmocka_unit_test(test_by_turns),
        cmocka_unit_test(test_late_reading),
        cmocka_unit_test(test_too_few),
        cmocka_unit_test(test_no_segment),
        cmocka_unit_test(test_odd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
