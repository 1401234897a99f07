/* Who hides his HAVEs is known by the bitfields of renewed connections: lies show by them, and the
 * honest are not accused by what they do not prove. */
#include "verdict_world.h"

#define SEED 1
#define LEECHER 2
#define HELD 10
#define REPORTS 9

/* Pieces of one that gains a piece every half minute. */
static uint32_t pieces_at(double at_s)
{
    return HELD + (uint32_t)(at_s / 30);
}

/* The tracker's clock is known. */
static void begin_exact(struct world *world)
{
    begin(world);
    world->config.skew_max_s = 1;
}

/* How its connections end, and what answers ten seconds later. */
struct renewal {
    const char *reason;
    bool another_id; /* at each connection */
};

static void open_again(struct world *world, double at_s, const struct renewal *renewal, uint8_t nth)
{
    uint8_t id[20] = "-XX0000-", bits[(PIECES + 7) / 8] = {0};
    id[18] = renewal->another_id ? nth : 0;
    id[19] = LEECHER;
    for (uint32_t i = 0; i < pieces_at(at_s); i++)
        bits[i / 8] |= (uint8_t)(0x80 >> i % 8);
    TELL(world, at_s - 10, LEECHER, .kind = SK_OBS_CLOSED, .bytes = sk_bytes_text(renewal->reason));
    TELL(world, at_s, LEECHER, .kind = SK_OBS_OPEN, .bytes = sk_bytes(id, 20));
    TELL(world, at_s, LEECHER, .kind = SK_OBS_BITFIELD, .bytes = sk_bytes(bits, sizeof bits));
}

/* A seed, and one that tells no gains. */
static void begin_silence(struct world *world, const struct renewal *renewal)
{
    static const double renewed_s[] = {190, 560, 1290, 2000};
    begin_exact(world);
    join(world, 0, SEED, PIECES);
    join(world, 0, LEECHER, HELD);
    for (uint8_t i = 0; i < SK_ARRAY_LEN(renewed_s); i++)
        open_again(world, renewed_s[i], renewal, i + 1);
}

/* What it reports: `times` of what it downloaded since `began_s`, and what it lacks, plus that. */
struct reports {
    double times, began_s;
    int64_t left_more;
    bool unnamed;
};

static void report(struct world *world, const struct reports *reports)
{
    for (int k = 0; k < REPORTS; k++) {
        double at_s = 5 + k * PERIOD_S;
        if (k && at_s < reports->began_s)
            continue; /* lost: its counter would show that it began anew */
        double since = k ? reports->began_s : 0;
        double bytes = (double)(pieces_at(at_s) - pieces_at(since)) * PIECE;
        uint64_t left = SIZE - (uint64_t)pieces_at(at_s) * PIECE + (uint64_t)reports->left_more;
        struct sk_announce *said =
            say(world, at_s, LEECHER, 0, (uint64_t)(reports->times * bytes), left);
        said->event = k ? SK_ANNOUNCE_NONE : SK_ANNOUNCE_STARTED;
        said->has_peer_id = !reports->unnamed;
    }
}

static void silence(struct world *world, const struct renewal *renewal,
                    const struct reports *reports)
{
    begin_silence(world, renewal);
    report(world, reports);
    judge(world, 2500);
}

#define SILENCE(world, renewal, ...) silence(world, renewal, &(const struct reports){__VA_ARGS__})

static const struct renewal same = {"local", false}, another = {"local", true},
                            left = {"closed", false};

static void test_honest(void **state)
{
    static const struct renewal *const renewals[] = {&same, &another, &left};
    for (size_t i = 0; i < SK_ARRAY_LEN(renewals); i++) {
        struct world world;
        SILENCE(&world, renewals[i], .times = 1);
        assert_clear(&world, LEECHER);
        assert_int_equal(verdict(&world, LEECHER)->why, SK_WHY_SILENT);
        end(&world);
    }
}

static void test_downloaded_less(void **state)
{
    struct world world;
    SILENCE(&world, &same, .times = 0.5);
    /* `left` says it too: here it is to show by the bitfields alone. */
    for (size_t i = 0; i < world.count; i++)
        world.announces[i].left = SK_ANNOUNCE_UNKNOWN;
    judge(&world, 2500);
    assert_false_by(&world, LEECHER, SK_CHECK_DOWNLOADED_LESS);
    end(&world);
}

/* libtorrent takes another peer id for each connection; its announces have the same. */
static void test_another_id_at_each_connection(void **state)
{
    for (int unnamed = 0; unnamed <= 1; unnamed++) {
        struct world world;
        SILENCE(&world, &another, .times = 0.5, .unnamed = unnamed);
        for (size_t i = 0; i < world.count; i++)
            world.announces[i].left = SK_ANNOUNCE_UNKNOWN;
        judge(&world, 2500);
        if (unnamed) /* it may have restarted, for all that is known */
            assert_clear(&world, LEECHER);
        else
            assert_false_by(&world, LEECHER, SK_CHECK_DOWNLOADED_LESS);
        end(&world);
    }
}

/* It ended the connection itself, and keeps its peer id when it restarts: its counter is of what it
 * downloaded since, and no announce says so. */
static void test_restart_that_keeps_the_id(void **state)
{
    struct world world;
    SILENCE(&world, &left, .times = 1, .began_s = 185);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* It restarts just then, and says so. What it gains in silence it says to have downloaded since. */
static void test_restart_meanwhile(void **state)
{
    struct world world;
    begin_exact(&world);
    world.config.files = 1;
    join(&world, 0, LEECHER, HELD);
    open_again(&world, 500, &another, 1);
    open_again(&world, 1000, &another, 2);
    for (int k = 0; k < REPORTS; k++) {
        double at_s = k == 3 ? 993 : 5 + k * PERIOD_S;
        bool done = k > 3, first = k == 3;
        uint64_t had = pieces_at(at_s) * (uint64_t)PIECE, all = pieces_at(993) * (uint64_t)PIECE;
        struct sk_announce *said = say(&world, at_s, LEECHER, 0,
                                       first  ? 0
                                       : done ? SIZE - all
                                              : had - HELD * (uint64_t)PIECE,
                                       done ? 0 : SIZE - had);
        said->event = first || !k ? SK_ANNOUNCE_STARTED : SK_ANNOUNCE_NONE;
        said->peer_id[18] = k >= 3;
    }
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* The same, away for so long that it may have restarted after we had left. */
static void test_long_away(void **state)
{
    struct world world;
    begin_exact(&world);
    join(&world, 0, LEECHER, HELD);
    uint8_t id[20] = "-XX0000-", bits[(PIECES + 7) / 8] = {0};
    id[19] = LEECHER;
    TELL(&world, 180, LEECHER, .kind = SK_OBS_CLOSED, .bytes = sk_bytes_text("local"));
    for (uint32_t i = 0; i < pieces_at(600); i++)
        bits[i / 8] |= (uint8_t)(0x80 >> i % 8);
    TELL(&world, 600, LEECHER, .kind = SK_OBS_OPEN, .bytes = sk_bytes(id, 20));
    TELL(&world, 600, LEECHER, .kind = SK_OBS_BITFIELD, .bytes = sk_bytes(bits, sizeof bits));
    report(&world, &(const struct reports){.times = 1, .began_s = 590});
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* It restarts meanwhile, of which a log without events says nothing that begins then. Where it has
 * the peer id that it had in our connection before, it has not restarted: then this is a lie. */
static void test_log_begins_meanwhile(void **state)
{
    static const struct renewal *const renewals[] = {&another, &same};
    for (size_t i = 0; i < SK_ARRAY_LEN(renewals); i++) {
        struct world world;
        begin_exact(&world);
        join(&world, 0, LEECHER, HELD);
        open_again(&world, 560, renewals[i], 1);
        for (int k = 2; k < REPORTS; k++) {
            double at_s = 5 + k * PERIOD_S;
            uint64_t since = (pieces_at(at_s) - pieces_at(555)) * (uint64_t)PIECE;
            say(&world, at_s, LEECHER, 0, since, SK_ANNOUNCE_UNKNOWN);
        }
        judge(&world, 2500);
        if (renewals[i] == &another)
            assert_clear(&world, LEECHER);
        else
            assert_true(verdict(&world, LEECHER)->findings[SK_CHECK_DOWNLOADED_LESS].against);
        end(&world);
    }
}

/* It lost pieces, and calls us from a port that nobody knows. */
static void test_comes_back_with_less(void **state)
{
    struct world world;
    begin_exact(&world);
    join(&world, 0, LEECHER, 50);
    TELL(&world, 60, LEECHER, .kind = SK_OBS_CLOSED, .bytes = sk_bytes_text("closed"));
    join(&world, 100, 99, 20);
    TELL(&world, 101, LEECHER, .kind = SK_OBS_ADDRESS, .by = address(99));
    for (int k = 0; k < REPORTS; k++)
        say(&world, 5 + k * PERIOD_S, LEECHER, 0, 0, SIZE - (k ? 20 : 50) * (uint64_t)PIECE);
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* It tells of one gain and drops other HAVEs: when it made those we do not know, so its counter,
 * which was high before we came, need not have them since its first announce. */
static void test_dropped_haves(void **state)
{
    struct world world;
    begin_exact(&world);
    join(&world, 0, LEECHER, HELD);
    gain(&world, LEECHER, HELD, HELD + 1, 10, 20);
    open_again(&world, 560, &same, 1);
    for (int k = 1; k < REPORTS; k++)
        say(&world, 5 + k * PERIOD_S, LEECHER, 0, 500 * (uint64_t)PIECE,
            SIZE - pieces_at(560) * (uint64_t)PIECE);
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    end(&world);
}

static void test_left_more(void **state)
{
    struct world world;
    SILENCE(&world, &same, .times = 1, .left_more = 20 * (int64_t)PIECE);
    assert_false_by(&world, LEECHER, SK_CHECK_LEFT_MORE);
    end(&world);
}

/* What one bitfield lacks and the next one has was lacking before. */
static void test_left_less(void **state)
{
    struct world world;
    SILENCE(&world, &same, .times = 1);
    for (size_t i = 0; i < world.count; i++)
        world.announces[i].left = 10 * PIECE;
    judge(&world, 2500);
    assert_false_by(&world, LEECHER, SK_CHECK_LEFT_LESS);
    end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_honest),
        cmocka_unit_test(test_downloaded_less),
        cmocka_unit_test(test_another_id_at_each_connection),
        cmocka_unit_test(test_restart_that_keeps_the_id),
        cmocka_unit_test(test_restart_meanwhile),
        cmocka_unit_test(test_long_away),
        cmocka_unit_test(test_log_begins_meanwhile),
        cmocka_unit_test(test_comes_back_with_less),
        cmocka_unit_test(test_dropped_haves),
        cmocka_unit_test(test_left_more),
        cmocka_unit_test(test_left_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
