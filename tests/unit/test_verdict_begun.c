/* What may have been under way where a client begins, and when it starts again: by what it is
 * known. */
#include "verdict_world.h"

#define LEECHER 2
#define SEED 1

#define GONE 9 /* announced before, and was never seen */
#define LINES 3

/* When the first lines of the log are of. */
static const double log_back[LINES] = {-7000, -6000, -4000};
static const double log_short[LINES] = {-3000, -2000, -1000};
static const double log_damaged[LINES] = {-1e9, -5e8, -1000};

static void begin_log(struct world *world, const double lines_s[LINES])
{
    for (int i = 0; i < LINES; i++)
        say(world, lines_s[i], GONE, 0, 0, 0);
}

/* It lacks all and starts; ten seconds later we connect. `found`: pieces that are on its disk. */
static void start_from_nothing(struct world *world, double down_times, uint32_t found,
                               const double lines_s[LINES])
{
    begin(world);
    allow_many(world);
    begin_log(world, lines_s);
    join(world, 0, SEED, PIECES);
    join(world, 10, LEECHER, found);
    gain(world, LEECHER, found, 80, 10, 2410);
    for (int k = 0; k <= 8; k++) {
        double at_s = 2 + k * PERIOD_S;
        uint64_t come = k ? (uint64_t)((80 - found) * (at_s - 10) / 2400) : 0;
        struct sk_announce *announce =
            say(world, at_s, LEECHER, 0, (uint64_t)(down_times * (double)come * PIECE),
                SIZE - (come + (k ? found : 0)) * PIECE);
        announce->event = k ? SK_ANNOUNCE_NONE : SK_ANNOUNCE_STARTED;
    }
    judge(world, 2500);
}

static void test_started_before_we_connected(void **state)
{
    struct world world;
    start_from_nothing(&world, 0.8, 0, log_back);
    assert_false_by(&world, LEECHER, SK_CHECK_DOWNLOADED_LESS);
    end(&world);
    start_from_nothing(&world, 1, 0, log_back);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* It may have been stopped before the log began, with blocks of many pieces. */
static void test_started_with_blocks(void **state)
{
    struct world world;
    start_from_nothing(&world, 0.8, 0, log_short);
    assert_clear(&world, LEECHER);
    end(&world);
    start_from_nothing(&world, 0.8, 0, log_damaged);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* It said that it lacks all before it had looked at its disk. */
static void test_found_on_disk(void **state)
{
    struct world world;
    start_from_nothing(&world, 1, 40, log_back);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* Judges the first so many announces of the leecher, where the clock is known to a minute. */
static void judge_first(struct world *world, size_t announces, uint32_t files)
{
    world->count = LINES + announces;
    world->config.skew_max_s = 60;
    world->config.files = files;
    judge(world, 2500);
}

/* By when HAVEs came it may have had less at each announce; of one file its own left says how much
 * it had. Of several it may have wanted less. */
static void test_left_of_one_file(void **state)
{
    struct world world;
    start_from_nothing(&world, 0.9, 0, log_back);
    judge_first(&world, 6, 2);
    assert_not_accused(&world, LEECHER);
    judge_first(&world, 6, 1);
    assert_false_by(&world, LEECHER, SK_CHECK_DOWNLOADED_LESS);
    end(&world);
    start_from_nothing(&world, 1, 0, log_back);
    judge_first(&world, 9, 1);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* It has one piece after the other, two seconds each; what it says to have downloaded is a little
 * older than what it says to lack. */
static void test_counter_behind(void **state)
{
    struct world world;
    begin(&world);
    allow_many(&world);
    begin_log(&world, log_back);
    join(&world, 5, LEECHER, 0);
    gain(&world, LEECHER, 0, 90, 30, 210);
    say(&world, 2, LEECHER, 0, 0, SIZE)->event = SK_ANNOUNCE_STARTED;
    for (uint64_t k = 1; k <= 8; k++)
        say(&world, 30 + 20 * (double)k, LEECHER, 0, 10 * k * PIECE - 1700000,
            SIZE - 10 * k * PIECE);
    world.config.files = 1;
    judge(&world, 300);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* Pieces that a leecher has which is fast at first, two a second, and then waits. */
static double come(double at_s)
{
    return at_s < 60 ? SK_MAX(at_s - 20, 0.0) * 2 : 80;
}

/* What it says to lack is older than what it says to have downloaded: it counts what is on its
 * disk. It is fastest while we see it first, and much slower from one announce to the next. */
static void test_left_behind(void **state)
{
    struct world world;
    begin(&world);
    allow_many(&world);
    begin_log(&world, log_back);
    join(&world, 5, LEECHER, 0);
    gain(&world, LEECHER, 0, 80, 20, 60);
    for (int k = 0; k <= 6; k++) {
        double at_s = 30 + k * PERIOD_S;
        say(&world, at_s, LEECHER, 0, (uint64_t)(come(at_s) * PIECE),
            SIZE - (uint64_t)(come(at_s - 3) * PIECE) - (k ? 0 : 100000));
    }
    world.config.files = 1;
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* It starts, lacks all; what it tells soon after we connected (at 10 s) was on its disk. */
static void start_and_find(struct world *world, uint32_t found, uint64_t less)
{
    begin(world);
    allow_many(world);
    begin_log(world, log_back);
    join(world, 10, LEECHER, 0);
    gain(world, LEECHER, 0, found, 12.5, 13.5);
    gain(world, LEECHER, found, 80, 15, 2415);
    for (int k = 0; k <= 8; k++) {
        double at_s = 2 + k * PERIOD_S;
        uint64_t come = k ? (uint64_t)((80 - found) * (at_s - 15) / 2400) : 0;
        say(world, at_s, LEECHER, 0, come * PIECE - (k ? k * less : 0),
            SIZE - (come + (k ? found : 0)) * PIECE)
            ->event = k ? SK_ANNOUNCE_NONE : SK_ANNOUNCE_STARTED;
    }
}

static void test_found_soon(void **state)
{
    struct world world;
    start_and_find(&world, 40, 0);
    judge_first(&world, 9, 1);
    assert_clear(&world, LEECHER);
    end(&world);
    /* Or not: but what it says to have gained later it did. */
    start_and_find(&world, 2, PIECE);
    judge_first(&world, 6, 1);
    assert_false_by(&world, LEECHER, SK_CHECK_DOWNLOADED_LESS);
    end(&world);
}

/* It looks at its disk for long, and tells only at first what it has. */
static void test_found_in_silence(void **state)
{
    struct world world;
    begin(&world);
    allow_many(&world);
    begin_log(&world, log_back);
    join(&world, 10, LEECHER, 20);
    for (uint64_t k = 0; k <= 6; k++)
        say(&world, 2 + (double)k * PERIOD_S, LEECHER, 0, 0,
            k ? SIZE - (20 + 10 * k) * PIECE : SIZE)
            ->event = k ? SK_ANNOUNCE_NONE : SK_ANNOUNCE_STARTED;
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    end(&world);
}

#define RUN_S 900
#define BEGUN 5 /* pieces that were all but there when it stopped */

/* From nothing, for a quarter of an hour; then again. It stops with BEGUN pieces that are nearly
 * there, and completes these first: its second counter has not got them. `less`: bytes that it
 * leaves out at each announce of the second run. `crash`: it does not say that it stops. */
static void restart(struct world *world, uint64_t less, bool crash)
{
    begin(world);
    allow_many(world);
    begin_log(world, log_back); /* the leecher is new */
    join(world, 0, SEED, PIECES);
    join(world, 1, LEECHER, 0);
    gain(world, LEECHER, 0, 30, 1, RUN_S);
    TELL(world, RUN_S + 1, LEECHER, .kind = SK_OBS_CLOSED);
    join(world, RUN_S + 20, LEECHER, 30);
    gain(world, LEECHER, 30, 70, RUN_S + 20, RUN_S + 1220);
    for (int k = 0; k <= 3; k++) {
        uint64_t come = 10 * (uint64_t)k;
        struct sk_announce *announce = say(world, 2 + k * (RUN_S - 2) / 3.0, LEECHER, 0,
                                           (come + (k ? BEGUN : 0)) * PIECE, SIZE - come * PIECE);
        announce->event = !k                 ? SK_ANNOUNCE_STARTED
                          : k == 3 && !crash ? SK_ANNOUNCE_STOPPED
                                             : SK_ANNOUNCE_NONE;
    }
    for (int k = 0; k <= 4; k++) {
        uint64_t come = 10 * (uint64_t)k, begun = k ? BEGUN : 0;
        struct sk_announce *announce =
            say(world, RUN_S + 15 + k * PERIOD_S, LEECHER, 0,
                (come - begun) * PIECE - (k ? less * (uint64_t)k : 0), SIZE - (30 + come) * PIECE);
        announce->event = k ? SK_ANNOUNCE_NONE : SK_ANNOUNCE_STARTED;
        announce->peer_id[10] = 1;
    }
    judge(world, 2300);
}

static void test_resumed_run(void **state)
{
    for (int crash = 0; crash <= 1; crash++) {
        struct world world;
        restart(&world, 0, crash);
        assert_clear(&world, LEECHER);
        end(&world);
        restart(&world, 3 * PIECE, crash);
        assert_false_by(&world, LEECHER, SK_CHECK_DOWNLOADED_LESS);
        end(&world);
    }
}

/* Tells no HAVE; after two announces of whole pieces it is known that it gained some, and so that
 * it had something to give. */
static void test_silent_newcomer(void **state)
{
    struct world world;
    begin(&world);
    allow_many(&world);
    join(&world, 0, SEED, PIECES);
    join(&world, 0.5, LEECHER, 0);
    join(&world, 0.5, 3, 0);
    gain(&world, 3, 0, 40, 1, 600);
    for (int k = 0; k <= 2; k++)
        say(&world, 5 + k * PERIOD_S, LEECHER, k * UINT64_C(12000000), 20 * (uint64_t)k * PIECE,
            SIZE - 20 * (uint64_t)k * PIECE)
            ->event = k ? SK_ANNOUNCE_NONE : SK_ANNOUNCE_STARTED;
    judge(&world, 900);
    assert_clear(&world, LEECHER);
    assert_int_equal(verdict(&world, LEECHER)->why, SK_WHY_SILENT);
    end(&world);
}

#define BLOCKS 5 /* clients */

/* Five clients count blocks, and have some pieces under way; the first of them tells only half of
 * what it gains, so that it seems to have ever more. Another counts pieces, and leaves out half of
 * what it downloads. */
static void test_learned_under_way(void **state)
{
    struct world world;
    begin(&world);
    allow_many(&world);
    join(&world, 0, SEED, PIECES);
    for (uint8_t n = 0; n <= BLOCKS; n++)
        join(&world, 1, LEECHER + n, 5);
    for (uint32_t piece = 5; piece < 90; piece++)
        for (uint8_t n = piece % 2 ? 1 : 0; n <= BLOCKS; n++)
            TELL(&world, 1 + (piece - 4) * 28, LEECHER + n, .kind = SK_OBS_HAVE, .a = piece);
    for (int k = 0; k <= 7; k++)
        for (uint8_t n = 0; n <= BLOCKS; n++) {
            uint64_t come = (4 + (uint64_t)k * PERIOD_S) / 28 * PIECE;
            uint64_t part = k && n < BLOCKS ? 2500000 : 0;
            say(&world, 5 + k * PERIOD_S, LEECHER + n, 0, n < BLOCKS ? come + part : come / 2,
                SIZE - 5 * (uint64_t)PIECE - come - part);
        }
    judge(&world, 2500);
    assert_false_by(&world, LEECHER + BLOCKS, SK_CHECK_DOWNLOADED_LESS);
    for (uint8_t n = 0; n < BLOCKS; n++)
        assert_not_accused(&world, LEECHER + n);
    end(&world);
}

/* Who has all has nothing under way: how much others have is not learned from him, though most of
 * what is announced is by such. */
static void test_learned_of_leechers(void **state)
{
    const uint64_t parts = 4500000; /* of nine pieces, at each of the first announces */
    struct world world;
    begin(&world);
    allow_many(&world);
    join(&world, 0, SEED, PIECES);
    for (uint8_t n = 0; n < BLOCKS; n++) {
        join(&world, 1, LEECHER + n, 5);
        gain(&world, LEECHER + n, 5, 95, 20, 200);
        for (uint64_t k = 0; k < 5; k++)
            say(&world, 5 + (double)k * 40, LEECHER + n, 0, k * 20 * PIECE + parts,
                SIZE - (5 + k * 20) * PIECE - parts);
    }
    for (uint8_t n = 0; n < BLOCKS; n++) {
        gain(&world, LEECHER + n, 95, PIECES, 200, 230);
        for (int k = 3; k < 25; k++)
            say(&world, 5 + k * 100, LEECHER + n, 0, (uint64_t)95 * PIECE, 0);
    }
    judge(&world, 2500);
    for (uint8_t n = 0; n < BLOCKS; n++)
        assert_clear(&world, LEECHER + n);
    end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_started_before_we_connected),
        cmocka_unit_test(test_started_with_blocks),
        cmocka_unit_test(test_found_on_disk),
        cmocka_unit_test(test_left_of_one_file),
        cmocka_unit_test(test_counter_behind),
        cmocka_unit_test(test_left_behind),
        cmocka_unit_test(test_found_soon),
        cmocka_unit_test(test_found_in_silence),
        cmocka_unit_test(test_resumed_run),
        cmocka_unit_test(test_silent_newcomer),
        cmocka_unit_test(test_learned_under_way),
        cmocka_unit_test(test_learned_of_leechers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
