/* How a liar may try to slip through, and how an honest client may look like one through others:
 * receivers that waste, leave or keep nothing, left that rises a little each time. Each test fails
 * without the rule that it is about. */
#include "verdict_world.h"

#define SEED 1
#define LEECHER 2
#define OTHER 3
#define HELD 10
#define REPORTS 9
#define END_S 2500

static uint64_t gained(int k)
{
    return (uint64_t)((4.5 + k * PERIOD_S) / 30) * PIECE;
}

/* A seed; a leecher that gains a piece every half minute. */
static void begin_trade(struct world *world)
{
    begin(world);
    join(world, 0, SEED, PIECES);
    join(world, 0.5, LEECHER, HELD);
    gain(world, LEECHER, HELD, HELD + 80, 0.5, 2400.5);
}

/* It says so many times what it gained. Returns the first of its REPORTS announces. */
static struct sk_announce *say_gains(struct world *world, double times)
{
    for (int k = 0; k < REPORTS; k++)
        say(world, 5 + k * PERIOD_S, LEECHER, 0, (uint64_t)(times * (double)gained(k)),
            SIZE - HELD * (uint64_t)PIECE - gained(k));
    return &world->announces[world->count - REPORTS];
}

#define ONCE 3 /* the announce from which on something is said that happened once */

/* The seed says to have uploaded so many times that, and `once` something more. */
static void say_uploads(struct world *world, double times, uint64_t once)
{
    for (int k = 0; k < REPORTS; k++)
        say(world, 5 + k * PERIOD_S, SEED,
            (uint64_t)(times * (double)gained(k)) + (k < ONCE ? 0 : once), 0, 0);
}

/* ---- who gave to others what they do not have ---- */

/* Of what it takes a fifth comes twice or wrong, and it says so: who gave it says so, too. Two that
 * agree on twice as much are both false. */
static void test_wasteful_receiver(void **state)
{
    for (int times = 1; times <= 2; times++) {
        struct world world;
        begin_trade(&world);
        say_gains(&world, times * 1.2);
        say_uploads(&world, times * 1.2, 0);
        judge(&world, END_S);
        if (times == 1) {
            assert_clear(&world, SEED);
            assert_clear(&world, LEECHER);
        } else {
            assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
            assert_false_by(&world, LEECHER, SK_CHECK_DOWNLOADED_MORE);
        }
        end(&world);
    }
}

/* What it wasted is no excuse for who claims more than that. */
static void test_waste_is_no_excuse(void **state)
{
    struct world world;
    begin_trade(&world);
    say_gains(&world, 1.2);
    say_uploads(&world, 2, 0);
    judge(&world, END_S);
    assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* It has four pieces under way when it parts with the seed, or with us, and never completes them.
 */
static void test_parted_with_pieces_begun(void **state)
{
    for (int seen = 0; seen < 2; seen++) {
        struct world world;
        begin(&world);
        world.config.partial_pieces = 5;
        world.config.skew_max_s = 1;
        join(&world, 0, SEED, PIECES);
        join(&world, 0.5, LEECHER, HELD);
        TELL(&world, 1, LEECHER, .kind = SK_OBS_HEARD, .source = SK_SOURCE_PEX,
             .by = address(SEED));
        gain(&world, LEECHER, HELD, HELD + 30, 1, 900.5);
        if (seen)
            TELL(&world, 902, LEECHER, .kind = SK_OBS_DROPPED, .by = address(SEED));
        for (int k = 0; k < REPORTS; k++)
            say(&world, 5 + k * PERIOD_S, SEED,
                SK_MIN(10 * (uint64_t)k, 30) * PIECE + (k < ONCE ? 0 : 4 * PIECE), 0, 0);
        TELL(&world, END_S - 1, SEED, .kind = SK_OBS_UNCHOKE);
        judge(&world, END_S);
        if (seen)
            assert_clear(&world, SEED);
        else /* it is still there, and has had the time to complete them */
            assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
        end(&world);
    }
}

/* Another one measures, takes sixty pieces of the seed and keeps none; whether it tells
 * the tracker, or not. It cannot have had a thousand. */
static void test_measured_by_another(void **state)
{
    static const struct {
        uint64_t pieces;
        bool tells, found;
    } cases[] = {{60, false, false}, {60, true, false}, {1000, false, true}, {1000, true, true}};
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct world world;
        begin_trade(&world);
        join(&world, 1, OTHER, 0);
        say_gains(&world, 1);
        say_uploads(&world, 1, cases[i].pieces * PIECE);
        for (int k = 0; k < REPORTS && cases[i].tells; k++)
            say(&world, 6 + k * PERIOD_S, OTHER, 0, k < ONCE ? 0 : cases[i].pieces * PIECE, SIZE);
        judge(&world, END_S);
        if (cases[i].found)
            assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
        else
            assert_clear(&world, SEED);
        assert_clear(&world, LEECHER);
        end(&world);
    }
}

/* We take something of it; the announce that comes then is one of 15 s before. */
static void test_taken_before_a_late_announce(void **state)
{
    struct world world;
    begin(&world);
    join(&world, 0, SEED, PIECES);
    join(&world, 0.5, LEECHER, HELD);
    world.config.skew_max_s = 1;
    for (int k = 0; k < 20; k++)
        TELL(&world, 1195 + k * 0.05, LEECHER, .kind = SK_OBS_ARRIVAL, .a = k * 50000);
    for (int k = 0; k < REPORTS; k++)
        say(&world, 5 + k * PERIOD_S, LEECHER, k > 4 ? PIECE : 0, 0, SIZE - HELD * (uint64_t)PIECE);
    judge(&world, END_S);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* All that it could give to are seeds; somebody whom nobody told us of takes a block now and then.
 */
static void test_a_block_to_nobody(void **state)
{
    struct world world;
    begin(&world);
    world.config.skew_max_s = 1;
    join(&world, 0, SEED, PIECES);
    join(&world, 0, OTHER, PIECES);
    for (uint64_t k = 0; k < REPORTS; k++)
        say(&world, 5 + (double)k * PERIOD_S, SEED, 16384 * k, 0, 0);
    judge(&world, END_S);
    assert_clear(&world, SEED);
    end(&world);
}

/* ---- downloads of nothing ---- */

/* It keeps nothing, and says to take twice the torrent in each period, though there is one seed: as
 * cover for one that says to have uploaded it. */
static void test_takes_more_than_it_can_throw(void **state)
{
    struct world world;
    begin(&world);
    join(&world, 0, SEED, PIECES);
    join(&world, 0.5, LEECHER, HELD);
    for (uint64_t k = 0; k < REPORTS; k++) {
        say(&world, 5 + (double)k * PERIOD_S, LEECHER, 0, 2 * k * SIZE, SIZE - HELD * PIECE);
        say(&world, 6 + (double)k * PERIOD_S, SEED, 2 * k * SIZE, 0, 0);
    }
    judge(&world, END_S);
    assert_false_by(&world, LEECHER, SK_CHECK_DOWNLOADED_MORE);
    end(&world);
}

/* ---- left that rises ---- */

/* It says to download six pieces more in each period than it gains, and to lack a byte more each
 * time; or to lack nothing, and a byte, in turn. */
static void test_left_rises_by_a_byte(void **state)
{
    for (int turns = 0; turns < 2; turns++) {
        struct world world;
        begin_trade(&world);
        world.config.files = 1;
        struct sk_announce *reports = say_gains(&world, 1);
        for (int k = 0; k < REPORTS; k++) {
            reports[k].downloaded += 6 * PIECE * (uint64_t)k;
            reports[k].left = turns ? (uint64_t)k % 2 : SIZE - HELD * PIECE + (uint64_t)k;
        }
        judge(&world, END_S);
        assert_true(verdict(&world, LEECHER)->findings[SK_CHECK_DOWNLOADED_MORE].against >= 3);
        assert_int_equal(verdict(&world, LEECHER)->result, SK_VERDICT_FALSE_REPORT);
        end(&world);
    }
}

/* It lacks eighty pieces, says five and a byte more each time, and gains the eighty. */
static void test_left_too_little_rises(void **state)
{
    struct world world;
    begin_trade(&world);
    world.config.files = 1;
    struct sk_announce *reports = say_gains(&world, 1);
    for (int k = 0; k < REPORTS; k++)
        reports[k].left = 5 * PIECE + (uint64_t)k;
    judge(&world, END_S);
    assert_false_by(&world, LEECHER, SK_CHECK_LEFT_LESS);
    end(&world);
}

/* It chooses file after file, and each time it announces it lacks as much as before, or a bit more;
 * or has just got what it chose. */
static void test_chooses_more_each_time(void **state)
{
    for (int lacks = 0; lacks < 2; lacks++) {
        struct world world;
        begin_trade(&world);
        world.config.files = 20;
        struct sk_announce *reports = say_gains(&world, 1);
        for (int k = 0; k < REPORTS; k++)
            reports[k].left = lacks ? (10 + (uint64_t)k / 2) * PIECE : 0;
        judge(&world, END_S);
        assert_not_accused(&world, LEECHER);
        assert_int_equal(verdict(&world, LEECHER)->findings[SK_CHECK_LEFT_LESS].against, 0);
        end(&world);
    }
}

/* A check of its disk finds forty pieces lost, of which ten are back when it announces, and later
 * twenty others; nobody tells us. */
static void test_loses_pieces_twice(void **state)
{
    struct world world;
    begin_trade(&world);
    struct sk_announce *reports = say_gains(&world, 1);
    for (int k = 0; k < REPORTS; k++) {
        uint64_t again = SK_MIN(10 * (uint64_t)SK_MAX(k - 1, 0), 40) +
                         SK_MIN(10 * (uint64_t)SK_MAX(k - 5, 0), 20);
        uint64_t lost = (k > 1 ? 40 : 0) + (k > 5 ? 20 : 0);
        reports[k].downloaded += again * PIECE;
        reports[k].left += (lost - again) * PIECE;
    }
    judge(&world, END_S);
    assert_int_equal(verdict(&world, LEECHER)->findings[SK_CHECK_DOWNLOADED_MORE].against, 0);
    end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wasteful_receiver),
        cmocka_unit_test(test_waste_is_no_excuse),
        cmocka_unit_test(test_parted_with_pieces_begun),
        cmocka_unit_test(test_measured_by_another),
        cmocka_unit_test(test_taken_before_a_late_announce),
        cmocka_unit_test(test_a_block_to_nobody),
        cmocka_unit_test(test_takes_more_than_it_can_throw),
        cmocka_unit_test(test_left_rises_by_a_byte),
        cmocka_unit_test(test_left_too_little_rises),
        cmocka_unit_test(test_chooses_more_each_time),
        cmocka_unit_test(test_loses_pieces_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
