/* Announces that a log has after later ones of the same client: of an honest one, and of one that
 * makes use of it. */
#include "audit/reports.h"
#include "verdict_world.h"

#include <stdlib.h>

#define SEED 1
#define LEECHER 2
#define PERIODS 8
#define END_S 2500
#define LAST_S (PERIODS * PERIOD_S)

/* A seed, and a leecher that gains ten pieces in each five minutes and tells so. */
static void begin_trade(struct world *world)
{
    begin(world);
    join(world, 0, SEED, PIECES);
    join(world, 0.5, LEECHER, 10);
    gain(world, LEECHER, 10, 90, 0.5, LAST_S + 0.5);
}

/* Pieces that were gained by then. */
static uint64_t gained(double at_s)
{
    return at_s > 0.5 ? (uint64_t)SK_MIN((at_s - 0.5) / 30, 80.0) : 0;
}

/* Both say what is so at a time; the log has it later. */
static void say_both(struct world *world, double at_s, double late_s)
{
    uint64_t bytes = gained(at_s) * PIECE;
    say(world, at_s + late_s, LEECHER, 0, bytes, SIZE - 10 * (uint64_t)PIECE - bytes);
    say(world, at_s + late_s, SEED, bytes, 0, 0);
}

/* What the seed says it uploaded, in pieces. */
static struct sk_announce *say_upload(struct world *world, double at_s, double pieces)
{
    return say(world, at_s, SEED, (uint64_t)(pieces * PIECE), 0, 0);
}

static const struct sk_finding *uploaded(const struct world *world)
{
    return &verdict(world, SEED)->findings[SK_CHECK_UPLOADED_GAINS];
}

/* ---- who is honest ---- */

/* Each announces to two trackers, to one of them half a minute before the other; their logs are
 * one. */
static void test_joined(void **state)
{
    static const double lates[] = {31, 60, 100, 200};
    for (size_t i = 0; i < SK_ARRAY_LEN(lates); i++) {
        struct world world;
        begin_trade(&world);
        for (int k = 0; k <= PERIODS; k++) {
            say_both(&world, 35 + k * PERIOD_S, 0);
            say_both(&world, 5 + k * PERIOD_S, lates[i]);
        }
        judge(&world, END_S);
        assert_clear(&world, SEED);
        assert_not_accused(&world, LEECHER);
        /* Not the first ones, nor those of the end: nothing has come in between. */
        assert_int_equal(world.verdicts.reports.late, 2 * (PERIODS - 1));
        end(&world);
    }
}

/* One announce was sent once more 15 s and 45 s later, as was the one after it. */
static void test_sent_anew(void **state)
{
    struct world world;
    begin_trade(&world);
    for (int k = 0; k <= PERIODS; k++) {
        say_both(&world, 5 + k * PERIOD_S, 0);
        for (int i = 0; k % 3 == 1 && i < 2; i++) {
            say_both(&world, 5 + k * PERIOD_S, i ? 45 : 15);
            say_both(&world, 40 + k * PERIOD_S, i ? 15 : -30);
        }
    }
    world.config.skew_max_s = 0;
    judge(&world, END_S);
    assert_clear(&world, SEED);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* The `started` comes once more after what followed it. One that comes for the first time is a
 * counter that begins anew. */
static void test_started_again(void **state)
{
    for (int anew = 0; anew <= 1; anew++) {
        struct world world;
        begin_trade(&world);
        say_upload(&world, 5, 0)->event = SK_ANNOUNCE_STARTED;
        say_upload(&world, 35, 1);
        say_upload(&world, 50, anew ? 0.5 : 0)->event = SK_ANNOUNCE_STARTED;
        for (int k = 1; k <= PERIODS; k++)
            say_upload(&world, 5 + k * PERIOD_S, 10 * k);
        judge(&world, END_S);
        assert_clear(&world, SEED);
        assert_int_equal(world.verdicts.reports.late, !anew);
        end(&world);
    }
}

/* A counter that begins anew is none that comes late: it stopped, or lies below all of its run. */
static void test_begins_anew(void **state)
{
    for (int stops = 0; stops <= 1; stops++) {
        struct world world;
        begin_trade(&world);
        say_upload(&world, 5, 0.5)->event = SK_ANNOUNCE_STARTED;
        say_upload(&world, 35, 1)->event = stops ? SK_ANNOUNCE_STOPPED : SK_ANNOUNCE_NONE;
        say_upload(&world, 50, stops ? 0.5 : 0)->event =
            stops ? SK_ANNOUNCE_STARTED : SK_ANNOUNCE_NONE;
        judge(&world, END_S);
        assert_int_equal(world.verdicts.reports.late, 0);
        assert_int_equal(verdict(&world, SEED)->announces, 3);
        end(&world);
    }
}

/* One that stops and is back in seconds: its `stopped` comes again after it has started, and both
 * once more. */
static void test_stopped_again(void **state)
{
    struct world world;
    begin_trade(&world);
    for (int k = 0; k <= PERIODS; k++) {
        double at_s = 5 + k * PERIOD_S, since = k <= 4 ? 0 : 40;
        say_upload(&world, at_s, 10 * k - since);
        for (int i = 0; k == 4 && i < 3; i++) {
            say_upload(&world, at_s + 1 + i * 15, 40)->event = SK_ANNOUNCE_STOPPED;
            say_upload(&world, at_s + 8 + i * 15, 0)->event = SK_ANNOUNCE_STARTED;
        }
    }
    judge(&world, END_S);
    assert_clear(&world, SEED);
    assert_int_equal(world.verdicts.reports.late, 2);
    end(&world);
}

/* ---- who lies ---- */

/* Twice what it uploaded, with a line after each that says less, as if it were late. */
static void test_doubled(void **state)
{
    struct world world;
    begin_trade(&world);
    for (int k = 0; k <= PERIODS; k++) {
        say_upload(&world, 5 + k * PERIOD_S, 20 * k);
        say_upload(&world, 40 + k * PERIOD_S, 20 * k - (k ? 15 : 0));
    }
    judge(&world, END_S);
    assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
    end(&world);
}

/* Up and down: no rise before has what lies between, or it was long ago. */
static void test_to_and_fro(void **state)
{
    for (int rises = 0; rises <= 1; rises++) {
        struct world world;
        begin_trade(&world);
        if (rises)
            say_upload(&world, -2000, 0);
        for (int k = 0; k <= PERIODS; k++) {
            say_upload(&world, 5 + k * PERIOD_S, 90);
            say_upload(&world, 155 + k * PERIOD_S, 0);
        }
        world.config.skew_max_s = 0;
        judge(&world, END_S);
        assert_true(world.verdicts.reports.late <= 1);
        assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
        end(&world);
    }
}

/* Of what it uploaded it says the last ten pieces again and again: there are no such many late
 * lines. */
static void test_flood(void **state)
{
    struct world world;
    begin_trade(&world);
    for (int k = 0; k <= PERIODS; k++) {
        say_upload(&world, 5 + k * PERIOD_S, 10 * k);
        for (int i = 1; k && i <= 20; i++)
            say_upload(&world, 5 + k * PERIOD_S + i, 10 * k - 10 * (i % 2));
    }
    world.config.skew_max_s = 0;
    judge(&world, END_S);
    assert_true(uploaded(&world)->against >= PERIODS);
    assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
    end(&world);
}

/* It says the truth at last, and between two such lines goes down and up again by nearly as much as
 * it uploaded since: lines that are late, and copies, and in between what is new by a byte or by
 * nothing. A tracker that adds up each rise counts six times as much. */
static void test_down_and_up(void **state)
{
    for (int grows = 0; grows <= 1; grows++) {
        struct world world;
        begin_trade(&world);
        say_upload(&world, 5, 0);
        for (int k = 1; k <= PERIODS; k++)
            for (int i = 0; i < 11; i++)
                say_upload(&world, 5 + k * PERIOD_S + 10 * i, 10 * k - (i % 2 ? 9 - 0.1 * i : 0))
                    ->uploaded += grows && i % 2 == 0 ? i : 0;
        judge(&world, END_S);
        assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
        end(&world);
    }
}

/* ---- many ---- */

#define LAST 6 /* of the leechers */
#define WORLDS 300

static double draw(uint64_t *random, double from, double to)
{
    *random = *random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return from + (to - from) * (double)(*random >> 11) / 9007199254740992.0;
}

/* Two clients in one swarm of whom each announces to two trackers whose clocks differ, over UDP:
 * one announce in twenty comes late. */
static void announce_to_both(struct world *world, uint64_t *random, double by_s)
{
    for (int tracker = 0; tracker <= 1; tracker++) {
        double phase_s = draw(random, 0, PERIOD_S);
        for (double at_s = phase_s; at_s < LAST_S; at_s += PERIOD_S) {
            double late_s = draw(random, 0, 1) < 0.05 ? 15 : 0;
            say_both(world, at_s, late_s + tracker * by_s);
        }
    }
}

/* In none of many swarms of honest clients is anybody accused. */
static void test_many(void **state)
{
    uint64_t random = 1, late = 0;
    for (int i = 0; i < WORLDS; i++) {
        struct world world;
        begin_trade(&world);
        announce_to_both(&world, &random, draw(&random, -60, 60));
        judge(&world, END_S);
        assert_not_accused(&world, SEED);
        assert_not_accused(&world, LEECHER);
        late += world.verdicts.reports.late;
        end(&world);
    }
    assert_true(late > WORLDS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_joined),        cmocka_unit_test(test_sent_anew),
        cmocka_unit_test(test_started_again), cmocka_unit_test(test_stopped_again),
        cmocka_unit_test(test_begins_anew),   cmocka_unit_test(test_doubled),
        cmocka_unit_test(test_to_and_fro),    cmocka_unit_test(test_flood),
        cmocka_unit_test(test_many),          cmocka_unit_test(test_down_and_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
