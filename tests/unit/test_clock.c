/* What our own announces in a tracker's log say of its clock, and what forged ones cannot. */
#include "audit/clock.h"
#include "verdict_world.h"

#include <stdlib.h>

#define SEED 1
#define LEECHER 2
#define OTHER 3
#define SELF 9
#define SKEW_S 47.25
#define ROUND_TRIP_S 0.3
#define GRAIN_S 1.0 /* that times of a log are taken for */
#define TRACKER "http://tracker.example/announce"

static const uint8_t self[20] = "-SK0000-abcdefghijkl";

static void begin_audit(struct world *world)
{
    begin(world);
    const struct sk_observation us = {
        .at_ns = BEGIN_NS, .kind = SK_OBS_SELF, .bytes = sk_bytes(self, sizeof self)};
    assert_int_equal(sk_timeline_observe(&world->timeline, &us), 0);
}

/* We announce, and are answered `took_s` later. */
static void ask(struct world *world, const char *tracker, double at_s, double took_s, bool started,
                uint64_t downloaded)
{
    const struct sk_observation announced = {.at_ns = BEGIN_NS + (uint64_t)((at_s + took_s) * 1e9),
                                             .kind = SK_OBS_ANNOUNCED,
                                             .a = (int64_t)(took_s * 1e6),
                                             .b = started,
                                             .c = (int64_t)downloaded,
                                             .bytes = sk_bytes_text(tracker)};
    assert_int_equal(sk_timeline_observe(&world->timeline, &announced), 0);
}

/* A line of the log under our peer id, by the tracker's clock. */
static struct sk_announce *log_own(struct world *world, double at_s, bool started,
                                   uint64_t downloaded)
{
    struct sk_announce *line = say(world, at_s, SELF, 0, downloaded, SIZE);
    memcpy(line->peer_id, self, sizeof self);
    line->event = started ? SK_ANNOUNCE_STARTED : SK_ANNOUNCE_NONE;
    return line;
}

static uint64_t constant(int k)
{
    return k > 0 ? 5 * PIECE : 0;
}

/* `count` announces, one each `period_s`, of which the log has all but the one of number `lost`. */
static void announce_all(struct world *world, int count, double period_s, int lost)
{
    for (int k = 0; k < count; k++) {
        ask(world, TRACKER, k * period_s, ROUND_TRIP_S, k == 0, constant(k));
        if (k != lost)
            log_own(world, k * period_s + ROUND_TRIP_S / 3 + SKEW_S, k == 0, constant(k));
    }
}

static struct sk_clock find(const struct world *world)
{
    struct sk_clock clock;
    assert_int_equal(sk_clock_find(&world->timeline, world->announces, world->count, NULL, UNIX_S,
                                   world->config.skew_max_s, &clock),
                     0);
    return clock;
}

/* The true difference is always allowed. */
static void assert_holds(const struct sk_clock *clock)
{
    assert_true(clock->low_s <= SKEW_S && SKEW_S <= clock->high_s);
}

static void assert_tight(const struct sk_clock *clock, uint32_t announces)
{
    assert_holds(clock);
    assert_int_equal(clock->announces, announces);
    assert_true(clock->high_s - clock->low_s <= 2 * GRAIN_S + ROUND_TRIP_S + 1e-6);
}

static void assert_unknown(const struct world *world)
{
    struct sk_clock clock = find(world);
    assert_int_equal(clock.announces, 0);
    assert_true(clock.low_s == -world->config.skew_max_s);
    assert_true(clock.high_s == world->config.skew_max_s);
}

static void test_found(void **state)
{
    struct world world;
    begin_audit(&world);
    announce_all(&world, 6, 30, -1);
    log_own(&world, 180 + SKEW_S, false, constant(1))->event = SK_ANNOUNCE_STOPPED;
    log_own(&world, 210 + SKEW_S, false, constant(1))->event = SK_ANNOUNCE_STOPPED;
    struct sk_clock clock = find(&world);
    assert_tight(&clock, 6);
    world.config.skew_max_s = 40; /* less than it is: neither is relied on */
    clock = find(&world);
    assert_holds(&clock);
    assert_true(clock.low_s == -40);
    end(&world);
}

/* Lost at the end (it was not written yet), in the middle, at the beginning. */
static void test_a_line_is_missing(void **state)
{
    for (int lost = 0; lost < 6; lost++) {
        struct world world;
        begin_audit(&world);
        announce_all(&world, 6, 30, lost);
        struct sk_clock clock = find(&world);
        assert_holds(&clock);
        assert_int_equal(clock.announces, 5);
        assert_true(clock.high_s - clock.low_s <= 2 * (30 + GRAIN_S + ROUND_TRIP_S));
        end(&world);
    }
}

/* A log of whole seconds, and of no events and counters: periods may be mistaken, not the truth. */
static void test_poor_log(void **state)
{
    struct world world;
    begin_audit(&world);
    announce_all(&world, 6, 30, -1);
    for (size_t i = 0; i < world.count; i++)
        world.announces[i].at_unix_s = floor(world.announces[i].at_unix_s);
    struct sk_clock clock = find(&world);
    assert_tight(&clock, 6);
    for (size_t i = 0; i < world.count; i++) {
        world.announces[i].event = SK_ANNOUNCE_NONE;
        world.announces[i].downloaded = SK_ANNOUNCE_UNKNOWN;
    }
    clock = find(&world);
    assert_holds(&clock);
    assert_int_equal(clock.announces, 6);
    end(&world);
}

/* UDP: the tracker took the first copy, its answer got lost; the one to the third came. */
static void test_answer_to_a_copy(void **state)
{
    struct world world;
    begin_audit(&world);
    for (int k = 0; k < 3; k++) {
        ask(&world, "udp://tracker.example:1", k * 200, 9.5, k == 0, 0);
        log_own(&world, k * 200 + 0.1 + SKEW_S, k == 0, 0);
    }
    struct sk_clock clock = find(&world);
    assert_holds(&clock);
    assert_int_equal(clock.announces, 3);
    assert_true(clock.high_s - clock.low_s <= 9.5 + 2 * GRAIN_S + 1e-6);
    end(&world);
}

static void test_other_trackers(void **state)
{
    struct world world;
    begin_audit(&world);
    for (int k = 0; k < 4; k++)
        ask(&world, "udp://other.example:1", k * 41, ROUND_TRIP_S, k == 0, constant(k));
    assert_unknown(&world);
    /* The log of a tracker that we never told anything: one line of ours in it is forged. */
    log_own(&world, 20, true, 0);
    assert_unknown(&world);
    world.count = 0;
    announce_all(&world, 5, 30, -1);
    struct sk_clock clock = find(&world);
    assert_tight(&clock, 5);
    end(&world);
}

/* One forged line, whatever it says and wherever it lies, also where one of ours is missing. */
static void test_a_forged_line(void **state)
{
    for (int lost = -1; lost < 5; lost++) {
        struct world world;
        begin_audit(&world);
        announce_all(&world, 5, 30, lost);
        size_t count = world.count;
        for (int at_s = -150; at_s < 300; at_s++) {
            for (int says = 0; says < 4; says++) {
                world.count = count;
                log_own(&world, at_s + 0.4, says & 1, says & 2 ? 5 * PIECE : 0);
                struct sk_clock clock = find(&world);
                assert_holds(&clock);
            }
        }
        end(&world);
    }
}

/* All that we announced once more, at another time; and all the time. */
static void test_forged_logs(void **state)
{
    struct world world;
    begin_audit(&world);
    announce_all(&world, 5, 30, -1);
    for (int k = 0; k < 5; k++)
        log_own(&world, k * 30 - 60, k == 0, constant(k));
    struct sk_clock clock = find(&world);
    assert_holds(&clock);
    assert_true(clock.low_s <= -60 + ROUND_TRIP_S);
    for (int i = 0; i < 30000; i++)
        log_own(&world, i * 0.01 - 100, i % 2, i % 4 < 2 ? 0 : 5 * PIECE);
    clock = find(&world);
    assert_holds(&clock);
    /* A flood is of no other tracker's clock either. */
    world.count -= 30000;
    for (int i = 0; i < 30000; i++)
        log_own(&world, i * 0.1 - 1500, i % 2, i % 4 < 2 ? 0 : 5 * PIECE);
    for (int k = 0; k < 5; k++)
        ask(&world, "udp://other.example:1", k * 30, ROUND_TRIP_S, k == 0, constant(k));
    clock = find(&world);
    assert_holds(&clock);
    assert_true(clock.low_s >= -world.config.skew_max_s);
    assert_true(clock.high_s <= world.config.skew_max_s);
    end(&world);
}

/* So many, over so long a time, that it is given up. */
static void test_a_flood_over_days(void **state)
{
    struct world world;
    begin_audit(&world);
    announce_all(&world, 60, 30, -1);
    for (int i = 0; i < 30000; i++)
        log_own(&world, i * 3, false, 5 * PIECE);
    world.config.skew_max_s = 1e6;
    assert_unknown(&world);
    end(&world);
}

/* What a peer that we know by another id says in our name is none of ours. */
static void test_forged_by_a_peer(void **state)
{
    struct world world;
    begin_audit(&world);
    join(&world, 0, LEECHER, 1);
    announce_all(&world, 5, 30, -1);
    for (int k = 0; k < 5; k++)
        log_own(&world, k * 30 - 60, k == 0, constant(k))->endpoint = address(LEECHER);
    struct sk_clock clock = find(&world);
    assert_tight(&clock, 5);
    end(&world);
}

static void test_damaged_observations(void **state)
{
    struct world world;
    begin_audit(&world);
    struct sk_observation announced = {.at_ns = BEGIN_NS + 5, .kind = SK_OBS_ANNOUNCED, .a = -1};
    assert_int_equal(sk_timeline_observe(&world.timeline, &announced), 0);
    announced.a = INT64_MAX;
    assert_int_equal(sk_timeline_observe(&world.timeline, &announced), 0);
    announced.a = 1;
    announced.c = -1;
    assert_int_equal(sk_timeline_observe(&world.timeline, &announced), 0);
    assert_int_equal(world.timeline.announces_count, 0);
    announced.c = 0;
    for (int i = 0; i < SK_TIMELINE_ANNOUNCES_MAX + 2; i++)
        assert_int_equal(sk_timeline_observe(&world.timeline, &announced), 0);
    assert_int_equal(world.timeline.announces_count, SK_TIMELINE_ANNOUNCES_MAX);
    assert_int_equal(world.timeline.lost, 2);
    end(&world);
}

/* The clock is set while we announce, after the first, the second, ..., either way. */
static void test_a_clock_that_is_set(void **state)
{
    for (int before = 1; before <= 7; before++) {
        for (int by_s = -60; by_s <= 60; by_s += 10) {
            struct world world;
            begin_audit(&world);
            for (int k = 0; k < 8; k++) {
                ask(&world, TRACKER, k * PERIOD_S, ROUND_TRIP_S, k == 0, constant(k));
                log_own(&world, k * PERIOD_S + 0.1 + SKEW_S + (k < before ? 0 : by_s), k == 0,
                        constant(k));
            }
            struct sk_clock clock = find(&world);
            assert_holds(&clock);
            assert_true(clock.low_s <= SKEW_S + by_s && SKEW_S + by_s <= clock.high_s);
            assert_true(clock.high_s - clock.low_s <=
                        abs(by_s) + 2 * GRAIN_S + ROUND_TRIP_S + 1e-6);
            end(&world);
        }
    }
}

/* After some every other one is not in the log: that does not look like a clock that is set. */
static void test_a_sparse_log(void **state)
{
    struct world world;
    begin_audit(&world);
    for (int k = 0; k < 20; k++) {
        uint64_t downloaded = (uint64_t)(k < 6 ? k : 3 + k / 2) * PIECE;
        ask(&world, TRACKER, k * 5, ROUND_TRIP_S, k == 0, downloaded);
        if (k < 6 || k % 2 == 0)
            log_own(&world, k * 5 + 0.1 + SKEW_S, k == 0, downloaded);
    }
    struct sk_clock clock = find(&world);
    assert_tight(&clock, 13);
    end(&world);
}

/* A log in another time zone: what we took for the most is not, and neither is relied on. */
static void test_another_time_zone(void **state)
{
    struct world world;
    begin_audit(&world);
    announce_all(&world, 5, PERIOD_S, -1);
    for (size_t i = 0; i < world.count; i++)
        world.announces[i].at_unix_s += 3600;
    struct sk_clock clock = find(&world);
    assert_int_equal(clock.announces, 5);
    assert_true(clock.low_s == -world.config.skew_max_s);
    assert_true(fabs(clock.high_s - (3600 + SKEW_S)) <= 2 * GRAIN_S);
    world.config.skew_max_s = 7200; /* who says that it may be is told */
    clock = find(&world);
    assert_true(clock.low_s > 3600 && clock.high_s < 3700);
    end(&world);
}

/* A flood a day long, in another time zone's log: it must not make two forged lines believed. Nor
 * is all of it looked at where there is too much: 4,096 announces, a line each second. */
static void test_a_flood_in_another_time_zone(void **state)
{
    static const struct {
        int asked;
        double apart_s, from_s;
    } floods[] = {{60, 4, -78000}, {SK_TIMELINE_ANNOUNCES_MAX, 1.01, 3000}};
    for (size_t f = 0; f < SK_ARRAY_LEN(floods); f++) {
        struct world world;
        begin_audit(&world);
        for (int k = 0; k < floods[f].asked; k++)
            ask(&world, TRACKER, k * 0.5, ROUND_TRIP_S, false, 0);
        for (int k = 0; k < 2; k++)
            log_own(&world, k * 20 - 40, false, 0);
        for (int i = 0; i < 39000; i++) {
            double at_s = i * floods[f].apart_s + floods[f].from_s;
            if (fabs(at_s) > 3000)
                log_own(&world, at_s, false, 0);
        }
        struct sk_clock clock = find(&world);
        assert_true(clock.low_s <= -86400 && clock.high_s >= 86400);
        end(&world);
    }
}

/* ---- what verdicts make of it ---- */

/* A leecher whose counters are of blocks, so that `left` says nothing of the clock. */
static void begin_trade(struct world *world, uint64_t left_more)
{
    begin_audit(world);
    join(world, 0, SEED, PIECES);
    join(world, 0.5, LEECHER, 10);
    gain(world, LEECHER, 10, 90, 0.5, 2400.5);
    for (int k = 0; k <= 8; k++) {
        double at_s = 5 + k * PERIOD_S;
        uint64_t gained = (uint64_t)((at_s - 0.5) / 30) * PIECE + 12345;
        say(world, at_s + SKEW_S, LEECHER, 0, gained,
            SIZE - 10 * (uint64_t)PIECE - gained + left_more)
            ->event = k ? SK_ANNOUNCE_NONE : SK_ANNOUNCE_STARTED;
    }
}

static void test_the_clock_tells_lies(void **state)
{
    struct world world;
    begin_trade(&world, 4 * PIECE);
    judge(&world, 2500);
    assert_not_accused(&world, LEECHER); /* the clocks may differ by two minutes */
    assert_true(world.verdicts.reports.accuracy_s == world.config.skew_max_s);
    announce_all(&world, 8, PERIOD_S, -1);
    judge(&world, 2500);
    assert_false_by(&world, LEECHER, SK_CHECK_LEFT_MORE);
    assert_true(fabs(world.verdicts.reports.offset_s - SKEW_S) <=
                world.verdicts.reports.accuracy_s);
    assert_true(world.verdicts.reports.accuracy_s < GRAIN_S + ROUND_TRIP_S);
    assert_int_equal(world.verdicts.reports.own, 8);
    assert_int_equal(world.verdicts.reports.unmatched, 0);
    end(&world);
}

/* The tracker told us our own address, and we dialled it: that is no peer, and reports nothing. */
static void test_we_are_no_peer(void **state)
{
    struct world world;
    begin_trade(&world, 0);
    TELL(&world, 1, SELF, .kind = SK_OBS_HEARD, .source = SK_SOURCE_TRACKER);
    TELL(&world, 2, SELF, .kind = SK_OBS_FAILED, .bytes = sk_bytes_text("self"));
    announce_all(&world, 8, PERIOD_S, -1);
    judge(&world, 2500);
    assert_int_equal(world.verdicts.reports.own, 8);
    assert_int_equal(world.verdicts.reports.clock.announces, 8);
    assert_int_equal(verdict(&world, SELF)->result, SK_VERDICT_NONE);
    end(&world);
}

/* Who would have an honest peer accused announces in our name, once or as often as we do. */
static void test_forged_clocks_accuse_nobody(void **state)
{
    for (int forged = 1; forged <= 8; forged++) {
        for (int shift_s = -110; shift_s <= 110; shift_s += 20) {
            struct world world;
            begin_trade(&world, 0);
            announce_all(&world, 8, PERIOD_S, -1);
            for (int k = 0; k < forged; k++)
                log_own(&world, k * PERIOD_S + shift_s, k == 0, constant(k));
            judge(&world, 2500);
            assert_clear(&world, LEECHER);
            end(&world);
        }
    }
}

/* Of the announces of two that count whole pieces those before the one of number `until` are logged
 * before_s later, the others after_s. */
static void log_two(struct world *world, double before_s, double after_s, int until)
{
    for (int k = 0; k <= 8; k++) {
        double at_s = 5 + k * PERIOD_S;
        uint64_t gained = (uint64_t)((at_s - 0.5) / 30) * PIECE;
        for (uint8_t n = LEECHER; n <= OTHER; n++)
            say(world, at_s + (k < until ? before_s : after_s), n, 0, gained,
                SIZE - 10 * (uint64_t)PIECE - gained)
                ->event = k ? SK_ANNOUNCE_NONE : SK_ANNOUNCE_STARTED;
    }
}

/* They gain a piece every half minute. */
static void begin_two(struct world *world, double before_s, double after_s, int until)
{
    begin_audit(world);
    join(world, 0, SEED, PIECES);
    for (uint32_t piece = 10; piece < 90; piece++)
        for (uint8_t n = LEECHER; n <= OTHER; n++) {
            if (piece == 10)
                join(world, 0.5, n, 10);
            gain(world, n, piece, piece + 1, 0, (piece - 9) * 30 + 0.5);
        }
    log_two(world, before_s, after_s, until);
}

static void test_a_clock_that_is_set_accuses_nobody(void **state)
{
    for (int until = 1; until <= 8; until++) {
        for (int by_s = -110; by_s <= 110; by_s += 20) {
            struct world world;
            begin_two(&world, 0, by_s, until);
            for (int k = 0; k <= 8; k++) {
                ask(&world, TRACKER, k * PERIOD_S, ROUND_TRIP_S, k == 0, constant(k));
                log_own(&world, k * PERIOD_S + 0.1 + (k < until ? 0 : by_s), k == 0, constant(k));
            }
            judge(&world, 2500);
            assert_not_accused(&world, LEECHER);
            assert_not_accused(&world, OTHER);
            world.count = 0; /* nor without announces of ours, where half is by either clock */
            log_two(&world, 0, by_s, 5);
            judge(&world, 2500);
            assert_not_accused(&world, LEECHER);
            assert_not_accused(&world, OTHER);
            end(&world);
        }
    }
}

/* Where the pieces that clients lack say otherwise, and more of them, neither is relied on. */
static void test_disagreement(void **state)
{
    struct world world;
    begin_two(&world, -70, -70, 0);
    announce_all(&world, 3, PERIOD_S, -1);
    judge(&world, 2500);
    const struct sk_reports *reports = &world.verdicts.reports;
    assert_true(reports->offset_s - reports->accuracy_s <= -70);
    assert_true(reports->offset_s + reports->accuracy_s >= SKEW_S);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* Who tells as many pieces too few or too many each time moves all of its announces alike: by one
 * client, however much it says, no clock is set. */
static void test_one_liar_sets_no_clock(void **state)
{
    for (int pieces = -3; pieces <= 3; pieces++) {
        struct world world;
        begin_trade(&world, 0);
        world.config.skew_max_s = 120;
        join(&world, 2500, OTHER, 10);
        gain(&world, OTHER, 10, 90, 2500.5, 4900.5);
        for (int k = 0; k <= 7; k++) {
            uint64_t held = 10 + (uint64_t)(5 + k * PERIOD_S) / 30;
            say(&world, 2505 + k * PERIOD_S + SKEW_S, OTHER, 0, 0,
                SIZE - (held - (uint64_t)pieces) * PIECE);
        }
        judge(&world, 5000);
        assert_false(world.verdicts.reports.aligned);
        assert_clear(&world, LEECHER);
        end(&world);
    }
}

/* ---- clocks that differ by more than they may ---- */

#define OTHER_TRACKER "http://other.example/announce"
#define LAST 7 /* of the leechers */

/* Six leechers gain a piece every half minute each. */
static void begin_six(struct world *world)
{
    begin_audit(world);
    join(world, 0, SEED, PIECES);
    for (uint8_t n = LEECHER; n <= LAST; n++)
        join(world, 0.5, n, 10);
    for (uint32_t piece = 10; piece < 90; piece++)
        for (uint8_t n = LEECHER; n <= LAST; n++)
            gain(world, n, piece, piece + 1, 0, (piece - 9) * 30 + n * 4);
}

/* What peer `n` says at a time, where the log has it `by_s` later. */
static void log_gains(struct world *world, uint8_t n, double at_s, double by_s, bool started)
{
    double pieces = SK_MAX((at_s - n * 4) / 30, 0.0);
    uint64_t gained = SK_MIN((uint64_t)pieces, 80u) * PIECE;
    say(world, at_s + by_s, n, 0, gained, SIZE - 10 * (uint64_t)PIECE - gained)->event =
        started ? SK_ANNOUNCE_STARTED : SK_ANNOUNCE_NONE;
}

static int by_log_time(const void *a, const void *b)
{
    double x = ((const struct sk_announce *)a)->at_unix_s;
    double y = ((const struct sk_announce *)b)->at_unix_s;
    return (x > y) - (x < y);
}

static void assert_nobody_accused(struct world *world, double by_s)
{
    qsort(world->announces, world->count, sizeof *world->announces, by_log_time);
    judge(world, 2500);
    for (uint8_t n = LEECHER; n <= LAST; n++)
        assert_not_accused(world, n);
    assert_true(world->verdicts.reports.accuracy_s >= fabs(by_s) / 2 - PERIOD_S / 10.0);
}

/* Two trackers' logs in one, one of them `by_s` ahead; clients announce to both at once, or one
 * after the other. We announce to neither, to one, to both. */
static void test_joined_logs_accuse_nobody(void **state)
{
    static const double bys[] = {-3600, -600, -150, -110, -60, 60, 110, 150, 300, 600, 3600};
    for (size_t i = 0; i < 6 * SK_ARRAY_LEN(bys); i++) {
        struct world world;
        double by_s = bys[i / 6], apart_s = i % 2 ? 140 : 0;
        size_t ours = i / 2 % 3;
        begin_six(&world);
        for (int k = 0; k <= 8; k++) {
            double at_s = k * PERIOD_S;
            for (uint8_t n = LEECHER; n <= LAST; n++) {
                log_gains(&world, n, at_s + n * 17, 0, !k);
                log_gains(&world, n, at_s + n * 17 + apart_s, by_s, !k);
            }
            ask(&world, TRACKER, at_s, ROUND_TRIP_S, !k, constant(k));
            if (ours == 2)
                ask(&world, OTHER_TRACKER, at_s, ROUND_TRIP_S, !k, constant(k));
            if (ours)
                log_own(&world, at_s + 0.1, !k, constant(k));
            if (ours == 2)
                log_own(&world, at_s + 0.1 + by_s, !k, constant(k));
        }
        assert_nobody_accused(&world, ours == 2 || apart_s > 0 ? by_s : 0);
        end(&world);
    }
}

#define QUICK 4

/* Two clients gain a piece every half minute, as above. A third one comes at 500 s and completes in
 * less than two minutes. */
static void begin_quick(struct world *world)
{
    begin_audit(world);
    join(world, 0, SEED, PIECES);
    for (uint8_t n = LEECHER; n <= OTHER; n++)
        join(world, 0.5, n, 10);
    for (uint32_t piece = 10; piece < 90; piece++) {
        double at_s = (piece - 9) * 30;
        for (uint8_t n = LEECHER; n <= OTHER; n++)
            gain(world, n, piece, piece + 1, 0, at_s + n * 4);
        if (piece == 25)
            join(world, 500, QUICK, 10);
        if (piece > 25 && piece < 29)
            gain(world, QUICK, 10 + 30 * (piece - 26), 40 + 30 * (piece - 26), at_s + 13,
                 at_s + 36);
    }
}

/* The clock of the tracker is ahead to which those announce that say what they lack; the quick one
 * announces to another. We announce to both. */
static void test_joined_logs_of_few_accuse_nobody(void **state)
{
    uint64_t lacks = SIZE - 10 * (uint64_t)PIECE;
    for (double by_s = 20; by_s <= 80; by_s += 20) {
        struct world world;
        begin_quick(&world);
        for (int k = 0; k <= 8; k++) {
            double at_s = k * PERIOD_S;
            for (uint8_t n = LEECHER; n <= OTHER; n++)
                log_gains(&world, n, at_s + n * 17, by_s, !k);
            ask(&world, TRACKER, at_s, ROUND_TRIP_S, !k, constant(k));
            ask(&world, OTHER_TRACKER, at_s + 1, ROUND_TRIP_S, !k, constant(k));
            log_own(&world, at_s + 0.1 + by_s, !k, constant(k));
            log_own(&world, at_s + 1.1, !k, constant(k));
        }
        say(&world, 500.5, QUICK, 0, 0, lacks)->event = SK_ANNOUNCE_STARTED;
        say(&world, 606.5, QUICK, 0, lacks, 0)->event = SK_ANNOUNCE_COMPLETED;
        for (int k = 3; k <= 8; k++)
            say(&world, 20 + k * PERIOD_S, QUICK, 0, lacks, 0);
        judge(&world, 2500);
        assert_clear(&world, QUICK);
        end(&world);
    }
}

/* A clock that is set by minutes, or an hour, after the second announce of each or later. */
static void test_a_clock_that_is_set_far_accuses_nobody(void **state)
{
    static const double bys[] = {-3600, -600, -300, -150, 150, 300, 600, 3600};
    for (size_t i = 0; i < 14 * SK_ARRAY_LEN(bys); i++) {
        struct world world;
        int until = 2 + (int)(i / 2 % 7);
        begin_six(&world);
        for (int k = 0; k <= 8; k++) {
            double at_s = k * PERIOD_S, by_s = k < until ? 0 : bys[i / 14];
            for (uint8_t n = LEECHER; n <= LAST; n++)
                log_gains(&world, n, at_s + n * 17, by_s, !k);
            ask(&world, TRACKER, at_s, ROUND_TRIP_S, !k, constant(k));
            if (i % 2)
                log_own(&world, at_s + 0.1 + by_s, !k, constant(k));
        }
        assert_nobody_accused(&world, 0);
        end(&world);
    }
}

/* A log of whole minutes: five clients announce soon after one begins, and the sixth long after.
 * All gain a piece in twelve seconds. */
static void test_a_log_of_minutes(void **state)
{
    struct world world;
    begin_audit(&world);
    join(&world, 0, SEED, PIECES);
    for (uint8_t n = LEECHER; n <= LAST; n++)
        join(&world, 0.5, n, 10);
    for (uint32_t piece = 10; piece < PIECES; piece++)
        for (uint8_t n = LEECHER; n <= LAST; n++)
            gain(&world, n, piece, piece + 1, 0, (piece - 9) * 12 + n);
    for (int k = 0; k < 8; k++)
        for (uint8_t n = LEECHER; n <= LAST; n++) {
            double minute_s = floor(UNIX_S / 60) * 60 - UNIX_S + 60 + k * 120;
            double at_s = minute_s + (n == LAST ? 56 : 3);
            uint64_t gained = (uint64_t)((at_s - n) / 12) * PIECE;
            say(&world, minute_s, n, 0, gained, SIZE - 10 * (uint64_t)PIECE - gained);
        }
    judge(&world, 1100);
    for (uint8_t n = LEECHER; n <= LAST; n++)
        assert_clear(&world, n);
    end(&world);
}

/* The same by our own announces alone: both differences are allowed. */
static void test_far_differences(void **state)
{
    static const double bys[] = {-3700, -200, 200, 1000, 3700};
    for (size_t i = 0; i < 2 * SK_ARRAY_LEN(bys); i++) {
        struct world world;
        double by_s = bys[i / 2];
        begin_audit(&world);
        for (int k = 0; k < 8; k++) {
            bool joined = i % 2, second = joined || k >= 4;
            double at_s = k * PERIOD_S + 0.1 + SKEW_S;
            uint64_t downloaded = (uint64_t)k * PIECE;
            ask(&world, TRACKER, k * PERIOD_S, ROUND_TRIP_S, !k, downloaded);
            if (joined)
                ask(&world, OTHER_TRACKER, k * PERIOD_S, ROUND_TRIP_S, !k, downloaded);
            if (joined || !second)
                log_own(&world, at_s, !k, downloaded);
            if (second)
                log_own(&world, at_s + by_s, !k, downloaded);
        }
        struct sk_clock clock = find(&world);
        assert_holds(&clock);
        assert_true(clock.low_s <= SKEW_S + by_s && SKEW_S + by_s <= clock.high_s);
        end(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_a_line_is_missing),
        cmocka_unit_test(test_poor_log),
        cmocka_unit_test(test_answer_to_a_copy),
        cmocka_unit_test(test_other_trackers),
        cmocka_unit_test(test_a_forged_line),
        cmocka_unit_test(test_forged_logs),
        cmocka_unit_test(test_a_flood_over_days),
        cmocka_unit_test(test_forged_by_a_peer),
        cmocka_unit_test(test_damaged_observations),
        cmocka_unit_test(test_a_clock_that_is_set),
        cmocka_unit_test(test_a_sparse_log),
        cmocka_unit_test(test_another_time_zone),
        cmocka_unit_test(test_a_flood_in_another_time_zone),
        cmocka_unit_test(test_the_clock_tells_lies),
        cmocka_unit_test(test_we_are_no_peer),
        cmocka_unit_test(test_forged_clocks_accuse_nobody),
        cmocka_unit_test(test_a_clock_that_is_set_accuses_nobody),
        cmocka_unit_test(test_disagreement),
        cmocka_unit_test(test_one_liar_sets_no_clock),
        cmocka_unit_test(test_joined_logs_accuse_nobody),
        cmocka_unit_test(test_joined_logs_of_few_accuse_nobody),
        cmocka_unit_test(test_a_clock_that_is_set_far_accuses_nobody),
        cmocka_unit_test(test_far_differences),
        cmocka_unit_test(test_a_log_of_minutes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
