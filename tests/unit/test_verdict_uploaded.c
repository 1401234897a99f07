/* Uploads that cannot be, by capacity, by others' gains, by flows; receivers that we did not see;
 * and what rules over announces alone make of it. */
#include "audit/rules.h"
#include "verdict_world.h"

#define SEED 1
#define LEECHER 2
#define GAINS 80
#define END_S 2500

/* The first so many of the gains and those after them, with what else is seen in between. */
static void gain_until(struct world *world, uint32_t gains)
{
    gain(world, LEECHER, 10, 10 + gains, 0.5, gains * 30 + 0.5);
}

static void gain_after(struct world *world, uint32_t gains)
{
    gain(world, LEECHER, 10 + gains, 10 + GAINS, gains * 30 + 0.5, GAINS * 30 + 0.5);
}

static void say_trade(struct world *world)
{
    for (int k = 0; k <= 8; k++) {
        uint64_t bytes = SK_MIN((uint64_t)((4.5 + k * PERIOD_S) / 30), (uint64_t)GAINS) * PIECE;
        say(world, 5 + k * PERIOD_S, LEECHER, 0, bytes, SIZE - 10 * (uint64_t)PIECE - bytes);
    }
}

static void trade(struct world *world)
{
    gain_until(world, GAINS);
    say_trade(world);
}

/* A seed, and a leecher that gains 80 pieces in 40 minutes: 33 KB/s. Beside them peer 3 with so
 * many pieces, if any. */
static void begin_trade_beside(struct world *world, uint32_t held)
{
    begin(world);
    join(world, 0, SEED, PIECES);
    join(world, 0.5, LEECHER, 10);
    if (held)
        join(world, 0.5, 3, held);
    trade(world);
}

static void begin_trade(struct world *world)
{
    begin_trade_beside(world, 0);
}

/* Peer `n` holds all and says so; each period it uploads so much, every `each` periods. */
static void say_uploads(struct world *world, uint8_t n, uint64_t bytes, int each)
{
    uint64_t up = 0;
    for (int k = 0; k <= 8; k++) {
        say(world, 5 + k * PERIOD_S, n, up, 0, 0);
        up += k % each ? 0 : bytes;
    }
}

/* What its line carries, surely. */
static void set_capacity(struct world *world, uint8_t n, double rate)
{
    world->config.capacity_doubt = 1e-6;
    world->timeline.peers[index_of(world, n)].capacity =
        (struct sk_rate){rate, rate / 1.2, rate * 1.2};
}

static void test_capacity(void **state)
{
    static const struct {
        double times;
        int each;
        bool found;
    } cases[] = {{1.2, 1, false}, {3, 1, true}, {5, 2, true}};
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct world world;
        begin_trade(&world);
        world.config.hidden_peers = 1e6; /* whatever others gain: they may be anybody */
        set_capacity(&world, SEED, 100000);
        say_uploads(&world, SEED, (uint64_t)(cases[i].times * 100000 * PERIOD_S), cases[i].each);
        judge(&world, END_S);
        if (cases[i].found)
            assert_false_by(&world, SEED, SK_CHECK_UPLOADED_CAPACITY);
        else
            assert_clear(&world, SEED);
        end(&world);
    }
}

/* A peer that paced what it sent to us, or whose line was dealt out by turns, has a capacity that
 * is too low, however often it announces: that alone accuses nobody, nor clears it. */
static void test_capacity_doubted(void **state)
{
    struct world world;
    begin_trade(&world);
    world.config.hidden_peers = 1e6;
    set_capacity(&world, SEED, 100000);
    world.config.capacity_doubt = sk_verdict_config_default().capacity_doubt;
    say_uploads(&world, SEED, (uint64_t)5 * 100000 * PERIOD_S, 1);
    judge(&world, END_S);
    assert_int_equal(verdict(&world, SEED)->findings[SK_CHECK_UPLOADED_CAPACITY].against, 8);
    assert_int_equal(verdict(&world, SEED)->result, SK_VERDICT_CANNOT_TELL);
    assert_int_equal(verdict(&world, SEED)->why, SK_WHY_WEAK);
    end(&world);
}

/* A full line, known well, and an announce each minute, of which three come 15 s late (BEP 15): as
 * if it had uploaded for a minute in 45 s. Who says twice as much is found all the same. */
static void test_capacity_late(void **state)
{
    for (int times = 1; times <= 2; times++) {
        struct world world;
        begin_trade(&world);
        world.config.hidden_peers = 1e6;
        set_capacity(&world, SEED, 300000);
        world.timeline.peers[index_of(&world, SEED)].capacity.high = 303000;
        for (int k = 0; k < 13; k++)
            say(&world, 5 + k * 60 + (k % 4 == 3 ? 15 : 0), SEED, (uint64_t)k * 60 * 300000 * times,
                0, 0);
        judge(&world, END_S);
        const struct sk_finding *finding =
            &verdict(&world, SEED)->findings[SK_CHECK_UPLOADED_CAPACITY];
        assert_int_equal(finding->against, times == 1 ? 3 : 12);
        assert_int_equal(finding->late, times == 1 ? 3 : finding->late);
        if (times == 2)
            assert_false_by(&world, SEED, SK_CHECK_UPLOADED_CAPACITY);
        else
            assert_int_not_equal(verdict(&world, SEED)->result, SK_VERDICT_FALSE_REPORT);
        end(&world);
    }
}

/* What its line carries at least bounds nothing. */
static void test_capacity_at_least(void **state)
{
    struct world world;
    begin_trade(&world);
    world.config.hidden_peers = 1e6;
    set_capacity(&world, SEED, 100000);
    world.timeline.peers[index_of(&world, SEED)].capacity.high = NAN;
    say_uploads(&world, SEED, 5 * 100000 * PERIOD_S, 2);
    judge(&world, END_S);
    assert_clear(&world, SEED);
    end(&world);
}

/* An announce got lost: what it would have said comes with the next. */
static void test_lost_announce(void **state)
{
    struct world world;
    begin_trade(&world);
    world.config.hidden_peers = 1e6;
    set_capacity(&world, SEED, 100000);
    for (int k = 0; k <= 8; k += 2)
        say(&world, 5 + k * PERIOD_S, SEED, (uint64_t)k * 100000 * PERIOD_S, 0, 0);
    judge(&world, END_S);
    assert_clear(&world, SEED);
    end(&world);
}

/* It began anew: what it says now is since then, and no more than can be. */
static void test_restart(void **state)
{
    struct world world;
    begin_trade(&world);
    for (int k = 0; k <= 8; k++)
        say(&world, 5 + k * PERIOD_S, SEED, (uint64_t)(k < 4 ? k : k - 4) * 10 * PIECE, 0, 0);
    judge(&world, END_S);
    assert_clear(&world, SEED);
    end(&world);
}

/* Who begins anew each time has claimed all that it says since the announce before. */
static void test_ever_anew(void **state)
{
    struct world world;
    begin_trade(&world);
    for (int k = 0; k <= 8; k++)
        say(&world, 5 + k * PERIOD_S, SEED, 40 * PIECE - (uint64_t)k, 0, 0);
    judge(&world, END_S);
    assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
    end(&world);
}

static void test_gains(void **state)
{
    struct world world;
    begin_trade(&world);
    say_uploads(&world, SEED, 10 * PIECE, 1); /* the truth */
    judge(&world, END_S);
    assert_clear(&world, SEED);
    assert_int_equal(verdict(&world, SEED)->result, SK_VERDICT_CONSISTENT);
    assert_true(world.verdicts.sums.uploaded <= world.verdicts.sums.gained);
    end(&world);

    begin_trade(&world);
    say_uploads(&world, SEED, 30 * PIECE, 1);
    judge(&world, END_S);
    assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
    end(&world);
}

/* What it did not hold it gave to nobody: not before it had it, and not what it never had. */
/* A little too much each time, which may have begun before or end after: not over all the time. */
static void test_gains_over_all(void **state)
{
    struct world world;
    begin_trade(&world);
    say_uploads(&world, SEED, 14 * PIECE, 1); /* of 10 */
    judge(&world, END_S);
    assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
    const struct sk_finding *finding = &verdict(&world, SEED)->findings[SK_CHECK_UPLOADED_GAINS];
    assert_true(finding->until_s - finding->from_s > 2 * PERIOD_S);
    end(&world);
}

/* One announce is wrong, the first or another: that is one contradiction at most. */
static void test_one_wrong_announce(void **state)
{
    for (int wrong = 0; wrong <= 8; wrong++) {
        struct world world;
        begin_trade(&world);
        for (int k = 0; k <= 8; k++)
            say(&world, 5 + k * PERIOD_S, SEED,
                ((uint64_t)(k + 8) * 10 - (k == wrong ? 40 : 0)) * PIECE, 0, 0);
        judge(&world, END_S);
        assert_true(verdict(&world, SEED)->findings[SK_CHECK_UPLOADED_GAINS].against <= 1);
        assert_not_accused(&world, SEED);
        end(&world);
    }
}

/* Many peers that announce every few seconds, of whom nobody tells links: all are looked at. */
static void test_many_announces(void **state)
{
    enum { OTHERS = 250, EACH = 150 };
    struct world world;
    begin(&world);
    for (uint32_t n = 1; n <= OTHERS; n++)
        join(&world, 0, (uint8_t)n, n == SEED ? PIECES : 10);
    for (uint32_t k = 0; k < EACH; k++)
        for (uint32_t n = 1; n <= OTHERS; n++)
            say(&world, 5 + k * 10, (uint8_t)n, n == SEED ? (uint64_t)k * 100 * PIECE : 0, 0,
                n == SEED ? 0 : SIZE - 10 * PIECE);
    judge(&world, END_S);
    for (uint32_t n = 1; n <= OTHERS; n++)
        assert_true(verdict(&world, (uint8_t)n)->findings[SK_CHECK_UPLOADED_GAINS].said >= 10);
    assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
    end(&world);
}

static void test_gains_of_others(void **state)
{
    struct world world;
    begin_trade_beside(&world, 12); /* of the pieces gained it holds the first two */
    for (int k = 0; k <= 8; k++)
        say(&world, 5 + k * PERIOD_S, 3, (uint64_t)k * 10 * PIECE, 0, 88 * (uint64_t)PIECE);
    judge(&world, 2600);
    assert_false_by(&world, 3, SK_CHECK_UPLOADED_GAINS);
    end(&world);
}

/* A receiver that we heard of and never saw may have taken it; so may one that nobody heard of. */
static void test_unseen_receivers(void **state)
{
    for (int k = 0; k < 2; k++) {
        struct world world;
        begin_trade(&world);
        if (k)
            world.config.hidden_peers = 1;
        else
            TELL(&world, 2500, 9, .kind = SK_OBS_HEARD, .source = SK_SOURCE_TRACKER);
        say_uploads(&world, SEED, 19 * PIECE, 1); /* 10 and what another may have had */
        judge(&world, 2600);
        assert_clear(&world, SEED);
        end(&world);
    }
}

/* A receiver that never completes a piece has got some of one; not one after the other. */
static void test_never_whole(void **state)
{
    static const struct {
        uint64_t each;
        bool found;
    } cases[] = {{PIECE / 10, false}, {2 * PIECE, true}};
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct world world;
        begin(&world);
        join(&world, 0, SEED, PIECES);
        join(&world, 0.5, LEECHER, 10);
        for (int k = 0; k <= 8; k++)
            say(&world, 5 + k * PERIOD_S, LEECHER, 0, (uint64_t)k * PIECE / 10, SIZE - 10 * PIECE);
        say_uploads(&world, SEED, cases[i].each, 1);
        judge(&world, END_S);
        if (cases[i].found)
            assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
        else
            assert_clear(&world, SEED);
        end(&world);
    }
}

/* A receiver that suppresses its HAVEs says itself what it downloaded. */
static void test_silent_receiver(void **state)
{
    struct world world;
    begin_trade_beside(&world, 10);
    for (int k = 0; k <= 8; k++)
        say(&world, 5 + k * PERIOD_S, 3, 0, (uint64_t)k * 10 * PIECE,
            SIZE - (uint64_t)(10 + k * 10) * PIECE);
    say_uploads(&world, SEED, 20 * PIECE, 1);
    judge(&world, 2600);
    assert_clear(&world, SEED);
    end(&world);
}

/* What we took ourselves was uploaded, too. */
static void test_taken_by_us(void **state)
{
    struct world world;
    begin_trade(&world);
    for (int k = 0; k < 800; k++)
        TELL(&world, 2405 + k * 0.05, SEED, .kind = SK_OBS_ARRIVAL, .a = k * 100000);
    for (int k = 0; k <= 9; k++)
        say(&world, 5 + k * PERIOD_S, SEED,
            (uint64_t)SK_MIN(k, 8) * 10 * PIECE + (k > 8 ? 79900000 : 0), 0, 0);
    judge(&world, 2900);
    assert_clear(&world, SEED);
    end(&world);
}

static void link(struct world *world, double at_s, uint8_t a, uint8_t b)
{
    TELL(world, at_s, b, .kind = SK_OBS_HEARD, .source = SK_SOURCE_PEX, .by = address(a));
}

/* Peers that tell whom they are connected to: the seed to peer 4 only, that gains nothing. */
static void test_links(void **state)
{
    for (int k = 0; k < 2; k++) {
        struct world world;
        begin_trade(&world);
        join(&world, 2500, 4, PIECES);
        link(&world, 2501, SEED, 4);
        link(&world, 2501, LEECHER, k ? SEED : 4);
        /* They were told while we watched, from the beginning on. */
        for (uint32_t i = 0; i < world.timeline.links_count; i++)
            world.timeline.links[i].from_ms = 10000;
        say_uploads(&world, SEED, 10 * PIECE, 1);
        judge(&world, 2600);
        if (k)
            assert_clear(&world, SEED);
        else
            assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
        end(&world);
    }
}

/* The flows say a third; twenty others are off by as much as their intervals say, or all by the
 * same factor. */
static void test_flows(void **state)
{
    enum { OTHERS = 20 };
    static const struct {
        double bias, claim;
        bool found;
    } cases[] = {{1, 3, true}, {1, 1.2, false}, {2.5, 1.2, false}, {2.5, 3, true}};
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct world world;
        struct sk_upload_bound uploads[OTHERS + 2];
        begin_trade(&world);
        world.config.hidden_peers = 100; /* others' gains allow all */
        for (uint8_t n = 3; n < 3 + OTHERS; n++) {
            join(&world, 2500, n, PIECES);
            say_uploads(&world, n, (uint64_t)((0.9 + 0.01 * n) * 1000000), 1);
        }
        say_uploads(&world, SEED, (uint64_t)(cases[i].claim * 1000000), 1);
        /* What receivers that nobody saw took is not among the flows: the claim is held against
         * the estimate with their part. */
        judge(&world, 2600);
        double scale = 1 / (cases[i].bias * (1 + 100.0));
        for (uint32_t k = 0; k < OTHERS + 2; k++) {
            double bytes = 8e6 * scale;
            uploads[k] = (struct sk_upload_bound){bytes, bytes / 1.2, bytes * 1.2};
        }
        world.config.uploads = uploads;
        assert_int_equal(world.timeline.peers_count, OTHERS + 2);
        judge(&world, 2600);
        assert_true(verdict(&world, SEED)->findings[SK_CHECK_UPLOADED_FLOW].said == 1);
        /* Flows alone are no verdict: but what they contradict is not confirmed either. */
        assert_int_equal(verdict(&world, SEED)->findings[SK_CHECK_UPLOADED_FLOW].against,
                         cases[i].found);
        assert_int_equal(verdict(&world, SEED)->result, SK_VERDICT_CANNOT_TELL);
        assert_int_equal(verdict(&world, SEED)->why, cases[i].found ? SK_WHY_WEAK : SK_WHY_LOOSE);
        end(&world);
    }
}

/* Who hides what it holds gave what the flows cannot know that it had. */
static void test_flows_of_silent(void **state)
{
    for (int silent = 0; silent < 2; silent++) {
        struct world world;
        struct sk_upload_bound uploads[3];
        begin_trade_beside(&world, 50);
        for (int k = 0; k <= 8; k++)
            say(&world, 5 + k * PERIOD_S, 3, (uint64_t)k * PIECE, (uint64_t)k * 5 * PIECE * silent,
                SIZE - (uint64_t)(50 + k * 5 * silent) * PIECE);
        for (uint32_t k = 0; k < 3; k++)
            uploads[k] = (struct sk_upload_bound){1e6, 0.9e6, 1.1e6};
        world.config.uploads = uploads;
        judge(&world, 2600);
        assert_int_equal(verdict(&world, 3)->findings[SK_CHECK_UPLOADED_FLOW].said, !silent);
        assert_not_accused(&world, 3);
        end(&world);
    }
}

/* Others' gains allow each to have given all; flows say that it gave its part, and all reports that
 * flows are good. Who says twice as much as they do is not cleared. */
static void test_cleared_by_flows(void **state)
{
    enum { OTHERS = 12 };
    for (int lies = 0; lies < 2; lies++) {
        struct world world;
        struct sk_upload_bound uploads[OTHERS + 2];
        begin(&world);
        for (uint8_t n = SEED; n < 3 + OTHERS; n++)
            join(&world, 0, n, n == LEECHER ? 10 : PIECES);
        trade(&world);
        for (uint8_t n = 3; n < 3 + OTHERS; n++)
            say_uploads(&world, n, 740000 + n * 5000, 1);
        say_uploads(&world, SEED, lies ? 2000000 : 760000, 1);
        for (uint32_t k = 0; k < OTHERS + 2; k++)
            uploads[k] = (struct sk_upload_bound){6e6, 3e6, 9e6};
        judge(&world, END_S);
        assert_int_equal(verdict(&world, SEED)->why, SK_WHY_LOOSE);
        world.config.uploads = uploads;
        judge(&world, END_S);
        assert_int_equal(verdict(&world, 3)->result, SK_VERDICT_CONSISTENT);
        assert_true(lies == (verdict(&world, SEED)->result != SK_VERDICT_CONSISTENT));
        assert_not_accused(&world, SEED);
        end(&world);
    }
}

/* ---- rules over announces ---- */

static void test_rules(void **state)
{
    static const struct sk_rules_config config = {1e6, 0.05};
    struct world world;
    unsigned rules[2];
    begin_trade(&world);
    say_uploads(&world, SEED, 30 * PIECE, 1);
    judge(&world, END_S);
    assert_int_equal(sk_rules_judge(&world.verdicts.reports, 2, &config, rules), 0);
    assert_int_equal(rules[index_of(&world, SEED)], SK_RULE_SUM);
    assert_int_equal(rules[index_of(&world, LEECHER)], 0);
    end(&world);

    begin_trade(&world);
    say_uploads(&world, SEED, 400 * (uint64_t)PIECE, 1);
    judge(&world, END_S);
    assert_int_equal(sk_rules_judge(&world.verdicts.reports, 2, &config, rules), 0);
    assert_int_equal(rules[index_of(&world, SEED)], SK_RULE_SUM | SK_RULE_SPEED);
    end(&world);

    begin(&world); /* nobody lacks anything */
    join(&world, 0, SEED, PIECES);
    join(&world, 0, LEECHER, PIECES);
    say_uploads(&world, SEED, PIECE, 1);
    say_uploads(&world, LEECHER, 0, 1);
    judge(&world, END_S);
    assert_int_equal(sk_rules_judge(&world.verdicts.reports, 2, &config, rules), 0);
    assert_int_equal(rules[index_of(&world, SEED)], SK_RULE_SUM | SK_RULE_EMPTY);
    assert_int_equal(rules[index_of(&world, LEECHER)], 0);
    for (size_t nth = 1; nth <= 2; nth++) {
        sk_mem_fail_nth(nth);
        assert_int_equal(sk_rules_judge(&world.verdicts.reports, 2, &config, rules),
                         SKEP_ERR_NOMEM);
    }
    sk_mem_fail_nth(0);
    end(&world);
}

/* A client that had 60 pieces of the seed before we saw it: by its first two announces, or the
 * second alone. Or it says to have been complete when it started. */
static void test_complete_when_seen(void **state)
{
    enum { SAYS, LOST, WAS_COMPLETE, CASES };
    for (int i = 0; i < CASES; i++) {
        const uint64_t had = i == WAS_COMPLETE ? 0 : 60 * (uint64_t)PIECE;
        struct world world;
        begin(&world);
        join(&world, 0, SEED, PIECES);
        join(&world, 0.5, LEECHER, 10);
        gain_until(&world, 24);
        join(&world, 745, 3, PIECES);
        gain_after(&world, 24);
        say_trade(&world);
        if (i != LOST)
            say(&world, 700, 3, 0, 0, had)->event = SK_ANNOUNCE_STARTED;
        say(&world, 740, 3, 0, had, 0)->event = i ? SK_ANNOUNCE_NONE : SK_ANNOUNCE_COMPLETED;
        for (int k = 3; k <= 8; k++)
            say(&world, 140 + k * PERIOD_S, 3, 0, had, 0);
        for (int k = 0; k <= 8; k++)
            say(&world, 5 + k * PERIOD_S, SEED, (k * 10 + (k >= 3 ? 60 : 0)) * (uint64_t)PIECE, 0,
                0);
        world.config.skew_max_s = 0;
        judge(&world, END_S);
        if (i == WAS_COMPLETE)
            assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
        else
            assert_clear(&world, SEED);
        assert_not_accused(&world, 3);
        end(&world);
    }
}

/* A seed looks at its disk and has lost 30 pieces: it takes them anew, and says so. */
static void test_seed_that_lost(void **state)
{
    const uint64_t lost = 30 * (uint64_t)PIECE;
    struct world world;
    begin(&world);
    join(&world, 0, SEED, PIECES);
    join(&world, 0.5, LEECHER, 10);
    join(&world, 0.5, 3, PIECES);
    gain_until(&world, 23);
    TELL(&world, 700, 3, .kind = SK_OBS_CLOSED);
    join(&world, 710, 3, PIECES - 30);
    gain(&world, 3, PIECES - 30, PIECES, 713, 720);
    gain_after(&world, 23);
    say_trade(&world);
    for (int k = 0; k <= 8; k++) {
        say(&world, 6 + k * PERIOD_S, 3, 0, k < 3 ? 0 : lost, 0);
        say(&world, 5 + k * PERIOD_S, SEED, k * 10 * (uint64_t)PIECE + (k < 3 ? 0 : lost), 0, 0);
    }
    say(&world, 711, 3, 0, 0, lost)->event = SK_ANNOUNCE_STARTED;
    world.config.skew_max_s = 0;
    judge(&world, END_S);
    assert_clear(&world, SEED);
    assert_not_accused(&world, 3);
    end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_capacity_doubted),
        cmocka_unit_test(test_capacity_late),
        cmocka_unit_test(test_capacity_at_least),
        cmocka_unit_test(test_lost_announce),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_ever_anew),
        cmocka_unit_test(test_gains),
        cmocka_unit_test(test_gains_over_all),
        cmocka_unit_test(test_one_wrong_announce),
        cmocka_unit_test(test_many_announces),
        cmocka_unit_test(test_gains_of_others),
        cmocka_unit_test(test_unseen_receivers),
        cmocka_unit_test(test_never_whole),
        cmocka_unit_test(test_silent_receiver),
        cmocka_unit_test(test_taken_by_us),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_flows),
        cmocka_unit_test(test_flows_of_silent),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_cleared_by_flows),
        cmocka_unit_test(test_complete_when_seen),
        cmocka_unit_test(test_seed_that_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
