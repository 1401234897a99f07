/* Which reports are called false, and which innocent explanations are not: a test fails without
 * the rule that it is about. */
#include "verdict_world.h"

#define LEECHER 2
#define OTHER 3
#define SEED 1
#define HELD 10 /* pieces that the leecher begins with */
#define GAINS 80
#define GAIN_S 30 /* each */

/* What the leecher's reports add to the truth. */
struct lie {
    double down_times; /* of what it gained */
    double up_bytes_s;
    int64_t left_more, down_more; /* bytes; the latter each period */
    double skew_s;
    bool seeds; /* left is 0 */
};

/* A seed; a leecher that gains a piece every half minute, and reports every five. */
static void begin_trade(struct world *world)
{
    begin(world);
    join(world, 0, SEED, PIECES);
    join(world, 0.5, LEECHER, HELD);
    gain(world, LEECHER, HELD, HELD + GAINS, 0.5, GAINS * GAIN_S + 0.5);
}

static uint64_t gained(double at_s)
{
    double n = (at_s - 0.5) / GAIN_S;
    return n < 0 ? 0 : n > GAINS ? GAINS : (uint64_t)n;
}

static void report(struct world *world, uint8_t n, const struct lie *lie)
{
    for (int k = 0; k <= 8; k++) {
        double at_s = 5 + k * PERIOD_S;
        uint64_t bytes = gained(at_s) * PIECE;
        uint64_t left = SIZE - HELD * (uint64_t)PIECE - bytes + (uint64_t)lie->left_more;
        struct sk_announce *announce =
            say(world, at_s + lie->skew_s, n, (uint64_t)(lie->up_bytes_s * k * PERIOD_S),
                (uint64_t)(lie->down_times * (double)bytes) + (uint64_t)(k * lie->down_more),
                lie->seeds ? 0 : left);
        announce->event = k ? SK_ANNOUNCE_NONE : SK_ANNOUNCE_STARTED;
    }
}

#define REPORT(world, n, ...) report(world, n, &(const struct lie){__VA_ARGS__})

static void test_honest(void **state)
{
    struct world world;
    struct sk_verdict text;
    begin_trade(&world);
    REPORT(&world, LEECHER, .down_times = 1.02);
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    assert_int_equal(verdict(&world, LEECHER)->result, SK_VERDICT_CONSISTENT);
    assert_int_equal(verdict(&world, SEED)->result, SK_VERDICT_NONE);
    sk_verdict_write(&world.verdicts, index_of(&world, LEECHER), &text);
    assert_true(isnan(text.error_rate));
    assert_int_equal(text.announces, 9);
    end(&world);
}

/* ---- downloaded ---- */

static void test_downloaded_less(void **state)
{
    static const double times[] = {0, 0.5, 0.8};
    for (size_t i = 0; i < SK_ARRAY_LEN(times); i++) {
        struct world world;
        struct sk_verdict text;
        begin_trade(&world);
        REPORT(&world, LEECHER, .down_times = times[i]);
        judge(&world, 2500);
        assert_false_by(&world, LEECHER, SK_CHECK_DOWNLOADED_LESS);
        sk_verdict_write(&world.verdicts, index_of(&world, LEECHER), &text);
        assert_non_null(strstr(text.claim, "downloaded"));
        assert_non_null(strstr(text.ruled_out, "restart"));
        assert_true(text.error_rate <= 0.01);
        end(&world);
    }
}

/* Its HAVEs are suppressed, but left falls while downloaded stands still. */
static void test_downloaded_less_in_silence(void **state)
{
    struct world world;
    begin(&world);
    join(&world, 0, SEED, PIECES);
    join(&world, 0.5, LEECHER, HELD);
    REPORT(&world, LEECHER, .down_times = 0.1);
    judge(&world, 2500);
    assert_false_by(&world, LEECHER, SK_CHECK_DOWNLOADED_LESS);
    end(&world);
}

/* Two pieces were nearly there when it started. */
static void test_resumed_pieces(void **state)
{
    struct world world;
    begin_trade(&world);
    for (int k = 0; k <= 8; k++) {
        uint64_t bytes = gained(5 + k * PERIOD_S) * PIECE;
        say(&world, 5 + k * PERIOD_S, LEECHER, 0, bytes - SK_MIN(bytes, 2 * PIECE),
            SIZE - HELD * (uint64_t)PIECE - bytes);
    }
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* A client that restarts counts anew: our connection broke, nobody told the tracker. */
static void test_unreported_restart(void **state)
{
    struct world world;
    begin(&world);
    join(&world, 0, SEED, PIECES);
    join(&world, 0.5, LEECHER, HELD);
    gain(&world, LEECHER, HELD, 50, 0.5, 1200.5);
    TELL(&world, 1201, LEECHER, .kind = SK_OBS_CLOSED);
    join(&world, 1210, LEECHER, 50);
    gain(&world, LEECHER, 50, 90, 1210.5, 2410.5);
    for (int k = 0; k <= 8; k++) {
        double at_s = 5 + k * PERIOD_S;
        uint64_t now = at_s < 1205   ? HELD + (uint64_t)((at_s - 0.5) / 30)
                       : at_s < 1211 ? 50
                                     : 50 + (uint64_t)((at_s - 1210.5) / 30);
        say(&world, at_s, LEECHER, 0, (now - (at_s < 1206 ? HELD : 50)) * PIECE,
            SIZE - now * PIECE);
    }
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* The same within our connection, as it seems, under another peer id, which BEP 3 suggests; what it
 * counts anew has come to more than before when the tracker hears of it. */
static void test_restart_with_another_id(void **state)
{
    struct world world;
    begin_trade(&world);
    for (int k = 0; k <= 8; k++) {
        double at_s = 5 + k * PERIOD_S;
        uint64_t bytes = gained(at_s) * PIECE, before = k < 2 ? 0 : gained(5 + PERIOD_S) * PIECE;
        if (k == 2)
            continue;
        struct sk_announce *announce =
            say(&world, at_s, LEECHER, 0, bytes - before, SIZE - HELD * (uint64_t)PIECE - bytes);
        announce->peer_id[10] = k < 2;
    }
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    end(&world);
}

static void test_downloaded_more(void **state)
{
    struct world world;
    begin_trade(&world);
    REPORT(&world, LEECHER, .down_times = 1, .down_more = 6 * PIECE);
    judge(&world, 2500);
    assert_false_by(&world, LEECHER, SK_CHECK_DOWNLOADED_MORE);
    end(&world);
}

/* It completes after twenty minutes, and downloads a little more in each period. */
static void test_downloaded_once_complete(void **state)
{
    struct world world;
    begin(&world);
    world.config.skew_max_s = 1; /* nobody else says what the clock is */
    join(&world, 0, SEED, PIECES);
    join(&world, 0.5, LEECHER, HELD);
    gain(&world, LEECHER, HELD, PIECES, 0.5, 1200.5);
    for (int k = 0; k <= 8; k++) {
        uint64_t come = k < 4 ? (uint64_t)(4.5 + k * PERIOD_S) * 90 / 1200 : 90;
        uint64_t more = k < 4 ? 0 : 5 * (uint64_t)(k - 4);
        say(&world, 5 + k * PERIOD_S, LEECHER, 0, (come + more) * PIECE,
            SIZE - (HELD + come) * PIECE);
    }
    judge(&world, 2500);
    assert_false_by(&world, LEECHER, SK_CHECK_DOWNLOADED_MORE);
    end(&world);
}

static void test_waste(void **state)
{
    struct world world;
    begin_trade(&world);
    REPORT(&world, LEECHER, .down_times = 1.08);
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    end(&world);
}

static void test_suppressed_haves(void **state)
{
    struct world world;
    begin(&world);
    join(&world, 0, SEED, PIECES);
    join(&world, 0.5, LEECHER, HELD);
    REPORT(&world, LEECHER, .down_times = 1);
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    assert_int_equal(verdict(&world, LEECHER)->result, SK_VERDICT_CANNOT_TELL);
    assert_int_equal(verdict(&world, LEECHER)->why, SK_WHY_SILENT);
    end(&world);
}

/* Forty pieces are found to be damaged on its disk, and fetched again. */
static void test_lost_pieces(void **state)
{
    struct world world;
    begin_trade(&world);
    for (int k = 0; k <= 8; k++) {
        double at_s = 5 + k * PERIOD_S;
        uint64_t bytes = gained(at_s) * PIECE;
        say(&world, at_s, LEECHER, 0, bytes + (k < 5 ? 0 : (k - 4) * UINT64_C(10000000)),
            SIZE - HELD * (uint64_t)PIECE - bytes +
                (k < 5 ? 0 : 40000000 - (k - 4) * UINT64_C(10000000)));
    }
    world.timeline.peers[index_of(&world, LEECHER)].shrank = true; /* it said so, too */
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* A log without left, of a peer that tells nothing: there is nothing to hold against it. */
static void test_nothing_known(void **state)
{
    struct world world;
    begin(&world);
    join(&world, 0, SEED, PIECES);
    TELL(&world, 0.5, LEECHER, .kind = SK_OBS_HEARD, .source = SK_SOURCE_TRACKER);
    REPORT(&world, LEECHER, .down_times = 7);
    for (size_t i = 0; i < world.count; i++)
        world.announces[i].left = SK_ANNOUNCE_UNKNOWN;
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    assert_int_equal(verdict(&world, LEECHER)->why, SK_WHY_UNWATCHED);
    end(&world);
}

/* ---- left ---- */

static void test_left_more(void **state)
{
    struct world world;
    begin_trade(&world);
    for (int k = 0; k <= 6; k++)
        say(&world, 5 + k * PERIOD_S, SEED, 0, 0, 3 * PIECE);
    REPORT(&world, LEECHER, .down_times = 1);
    judge(&world, 2500);
    assert_false_by(&world, SEED, SK_CHECK_LEFT_MORE);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* Once is no proof: a damaged line, a counter that was read long before. */
static void test_once(void **state)
{
    struct world world;
    begin_trade(&world);
    for (int k = 0; k <= 6; k++)
        say(&world, 5 + k * PERIOD_S, SEED, 0, 0, k == 3 ? 3 * PIECE : 0);
    judge(&world, 2500);
    assert_not_accused(&world, SEED);
    assert_int_equal(verdict(&world, SEED)->why, SK_WHY_WEAK);
    end(&world);
}

/* The tracker's clock is off, either way: without alignment left would be false by two pieces. */
static void test_skew(void **state)
{
    static const double skews[] = {-70, 70};
    for (size_t i = 0; i < SK_ARRAY_LEN(skews); i++) {
        struct world world;
        begin(&world);
        join(&world, 0, SEED, PIECES);
        join(&world, 0.5, LEECHER, HELD);
        join(&world, 0.5, OTHER, HELD);
        for (uint32_t k = 0; k < GAINS; k++)
            for (uint8_t n = LEECHER; n <= OTHER; n++)
                gain(&world, n, HELD + k, HELD + k + 1, 0, (k + 1) * GAIN_S + 0.5);
        REPORT(&world, LEECHER, .down_times = 1, .skew_s = skews[i]);
        judge(&world, 2500);
        assert_false(world.verdicts.reports.aligned); /* of one client we do not take it */
        REPORT(&world, OTHER, .down_times = 1, .skew_s = skews[i]);
        judge(&world, 2500);
        assert_true(world.verdicts.reports.aligned);
        assert_true(fabs(world.verdicts.reports.offset_s - skews[i]) <=
                    world.verdicts.reports.accuracy_s + 1);
        assert_true(world.verdicts.reports.accuracy_s < 20);
        assert_clear(&world, LEECHER);
        end(&world);
    }
}

static void test_fake_seed_that_downloads(void **state)
{
    struct world world;
    begin_trade(&world);
    REPORT(&world, LEECHER, .down_times = 0, .seeds = true);
    judge(&world, 2500);
    assert_false_by(&world, LEECHER, SK_CHECK_LEFT_LESS);
    end(&world);
}

/* Holds a few pieces here and there, gains none, says that it lacks nothing. */
static void say_seed(struct world *world, uint8_t n)
{
    for (int k = 0; k <= 8; k++)
        say(world, 5 + k * PERIOD_S, n, 0, 0, 0);
}

static void join_bits(struct world *world, uint8_t n, const uint8_t *bits)
{
    join(world, 0.5, n, 0);
    world->timeline.peers[index_of(world, n)].bitfields = 0;
    world->timeline.peers[index_of(world, n)].has_first = false;
    TELL(world, 0.5, n, .kind = SK_OBS_BITFIELD, .bytes = sk_bytes(bits, (PIECES + 7) / 8));
}

static void test_fake_seeds(void **state)
{
    static const uint8_t few[13] = {0x80, 0, 0x10, 0, 0, 0x08, 0, 0x01, 0, 0x20, 0, 0, 0x10};
    static const uint8_t file[13] = {0, 0, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct world world;
    begin(&world);
    join(&world, 0, SEED, PIECES);
    join_bits(&world, LEECHER, few);
    join(&world, 0.5, 3, 0);    /* nothing at all */
    join_bits(&world, 4, file); /* all that it wanted: a file */
    for (uint8_t n = LEECHER; n <= 4; n++)
        say_seed(&world, n);
    judge(&world, 2500);
    assert_false_by(&world, LEECHER, SK_CHECK_LEFT_LESS);
    assert_false_by(&world, 3, SK_CHECK_LEFT_LESS);
    assert_clear(&world, 4);
    end(&world);
}

/* One or two pieces in a bitfield, of a torrent of one file: no super-seed, nor a choice. */
static void test_fake_seed_of_one_file(void **state)
{
    static const uint8_t one[13] = {0, 0, 0, 0x10};
    for (uint32_t files = 0; files <= 2; files++) {
        struct world world;
        begin(&world);
        world.config.files = files;
        join(&world, 0, SEED, PIECES);
        join_bits(&world, LEECHER, one);
        join(&world, 0.5, 3, 0); /* a super-seed: nothing, and a piece by a HAVE */
        TELL(&world, 0.6, 3, .kind = SK_OBS_HAVE, .a = 50);
        say_seed(&world, LEECHER);
        say_seed(&world, 3);
        judge(&world, 2500);
        if (files == 1)
            assert_false_by(&world, LEECHER, SK_CHECK_LEFT_LESS);
        else
            assert_clear(&world, LEECHER); /* a file of one piece may be all that it wants */
        assert_clear(&world, 3);
        end(&world);
    }
}

/* It says to be a seed, has listed one piece, and gains more. */
static void test_fake_seed_gains(void **state)
{
    static const uint8_t one[13] = {0x80};
    struct world world;
    begin(&world);
    join(&world, 0, SEED, PIECES);
    join_bits(&world, LEECHER, one);
    gain(&world, LEECHER, 1, 61, 10, 2000);
    say_seed(&world, LEECHER);
    judge(&world, 2500);
    assert_false_by(&world, LEECHER, SK_CHECK_LEFT_LESS);
    end(&world);
}

/* It completes having told not all that it gained. What it had of pieces under way before it
 * started is in no counter. */
static void test_completed_what_had_begun(void **state)
{
    static const uint8_t few[13] = {0xaa, 0x55, 0xaa, 0x55, 0xaa, 0x55, 0xaa, 0x55};
    struct world world;
    begin(&world);
    allow_many(&world);
    join(&world, 0, SEED, PIECES);
    join_bits(&world, LEECHER, few);
    /* Of 68 that are lacking it tells 51; eight had nearly come before it started. */
    for (uint32_t piece = 0, lacks = 0; piece < PIECES; piece++)
        if (!(few[piece / 8] >> (7 - piece % 8) & 1) && lacks++ % 4)
            TELL(&world, 10 + 15 * lacks, LEECHER, .kind = SK_OBS_HAVE, .a = piece);
    say(&world, 5, LEECHER, 0, 0, 68 * (uint64_t)PIECE)->event = SK_ANNOUNCE_STARTED;
    for (int k = 4; k <= 8; k++)
        say(&world, 5 + k * PERIOD_S, LEECHER, 0, 60 * (uint64_t)PIECE, 0);
    judge(&world, 2500);
    assert_not_accused(&world, LEECHER);
    assert_int_equal(verdict(&world, LEECHER)->findings[SK_CHECK_LEFT_LESS].against, 0);
    end(&world);
}

/* Tells nothing at first, then pieces one by one. */
static void test_super_seed(void **state)
{
    struct world world;
    begin(&world);
    join(&world, 0, SEED, 0);
    gain(&world, SEED, 0, 60, 10, 2000);
    say_seed(&world, SEED);
    judge(&world, 2500);
    assert_clear(&world, SEED);
    end(&world);
}

/* It completed without a HAVE: its own counter of downloads says so. */
static void test_completed_in_silence(void **state)
{
    static const uint8_t few[13] = {0x80, 0, 0x10, 0, 0, 0x08, 0, 0x01, 0, 0x20, 0, 0, 0x10};
    struct world world;
    begin(&world);
    join(&world, 0, SEED, PIECES);
    join_bits(&world, LEECHER, few);
    say(&world, 5, LEECHER, 0, 0, 94 * (uint64_t)PIECE);
    for (int k = 1; k <= 8; k++)
        say(&world, 5 + k * PERIOD_S, LEECHER, 0, 95 * (uint64_t)PIECE, 0);
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* Who counts blocks lacks less than whole pieces say. */
static void test_blocks_under_way(void **state)
{
    struct world world;
    begin_trade(&world);
    gain(&world, LEECHER, HELD + GAINS, PIECES, 2410, 2500); /* all that it lacks comes */
    world.config.skew_max_s = 0;                             /* no tolerance hides it */
    for (int k = 0; k <= 8; k++) {
        uint64_t bytes = gained(5 + k * PERIOD_S) * PIECE;
        uint64_t part = k < 8 ? 1900000 : 0;
        say(&world, 5 + k * PERIOD_S, LEECHER, 0, bytes + part,
            SIZE - HELD * (uint64_t)PIECE - bytes - part);
    }
    judge(&world, 2510);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* ---- whose ---- */

/* Another client behind the same endpoint lies between the peer's own announces. */
static void test_foreign_client(void **state)
{
    struct world world;
    begin_trade(&world);
    REPORT(&world, LEECHER, .down_times = 1);
    for (int k = 0; k < 8; k++) {
        struct sk_announce *announce =
            say(&world, 100 + k * PERIOD_S, LEECHER, k * UINT64_C(90000000), 0, SIZE);
        announce->peer_id[10] = 7;
    }
    judge(&world, 2500);
    assert_int_equal(world.verdicts.reports.foreign, 8);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* Somebody elsewhere says to be the peer. */
static void test_stolen_id(void **state)
{
    struct world world;
    begin_trade(&world);
    REPORT(&world, LEECHER, .down_times = 1);
    for (int k = 0; k < 8; k++)
        say(&world, 100 + k * PERIOD_S, LEECHER, k * UINT64_C(90000000), 0, SIZE)->endpoint =
            address(77);
    judge(&world, 2500);
    assert_int_equal(world.verdicts.reports.unmatched, 8);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* Two behind one address: by peer id where a port is not theirs, by port where it is. */
static void test_one_address(void **state)
{
    struct world world;
    begin_trade(&world);
    struct sk_endpoint other = address(SEED);
    other.port = 7000;
    struct sk_observation open = {.at_ns = BEGIN_NS + 2500000000000,
                                  .kind = SK_OBS_OPEN,
                                  .peer = other,
                                  .bytes = sk_bytes("-YY0000-000000000000", 20)};
    assert_int_equal(sk_timeline_observe(&world.timeline, &open), 0);
    struct sk_announce *announce = say(&world, 2000, SEED, 0, 0, 0);
    announce->endpoint.port = 50000; /* of the NAT */
    announce = say(&world, 2001, SEED, 0, 0, 0);
    announce->endpoint = other;
    memcpy(announce->peer_id, "-YY0000-000000000000", 20);
    announce = say(&world, 2002, SEED, 1, 0, 0);
    announce->endpoint.family = SK_FAMILY_NONE; /* a log without addresses */
    judge(&world, 2600);
    assert_int_equal(verdict(&world, SEED)->announces, 2);
    uint32_t index = sk_timeline_find(&world.timeline, &other);
    assert_int_equal(world.verdicts.peers[index].announces, 1);
    assert_int_equal(world.verdicts.reports.unmatched, 0);
    end(&world);
}

/* ---- what strangers may say ---- */

static void test_hostile(void **state)
{
    static const double times[] = {NAN, INFINITY, -INFINITY, 1e300, -1e300};
    static const uint64_t counters[] = {
        0, SK_ANNOUNCE_UNKNOWN, SK_ANNOUNCE_UNKNOWN - 1, 1, SIZE, SIZE + 1, UINT64_C(1) << 63};
    struct world world;
    begin_trade(&world);
    for (size_t i = 0; i < SK_ARRAY_LEN(times); i++)
        say(&world, 0, LEECHER, 0, 0, 0)->at_unix_s = times[i];
    for (uint32_t i = 0; i < 30000; i++)
        say(&world, (double)(i * 7919 % 2500), i % 2 ? LEECHER : SEED, counters[i % 7],
            counters[i / 7 % 7], counters[i / 49 % 7])
            ->event = (enum sk_announce_event)(i % SK_ANNOUNCE_EVENT_COUNT);
    judge(&world, 2500);
    assert_int_equal(world.verdicts.reports.malformed, SK_ARRAY_LEN(times));
    assert_true(verdict(&world, LEECHER)->announces <= SK_REPORTS_PEER_MAX);
    assert_true(world.verdicts.reports.dropped > 20000);
    end(&world);
}

static void test_other_torrents(void **state)
{
    static const uint8_t ours[20] = {1}, theirs[20] = {2};
    struct world world;
    begin_trade(&world);
    REPORT(&world, LEECHER, .down_times = 1);
    for (size_t i = 0; i < world.count; i++)
        memcpy(world.announces[i].info_hash, i % 2 ? ours : theirs, 20);
    world.config.info_hash = ours;
    judge(&world, 2500);
    assert_int_equal(verdict(&world, LEECHER)->announces, 4);
    end(&world);
}

static void test_configuration(void **state)
{
    struct world world;
    begin_trade(&world);
    struct sk_verdicts verdicts;
    struct sk_verdict_config config = world.config;
    config.false_discovery = 0;
    assert_int_equal(sk_verdicts_init(&verdicts, &world.timeline, NULL, 0, &config),
                     SKEP_ERR_INVALID);
    config = world.config;
    config.began_unix_s = NAN;
    assert_int_equal(sk_verdicts_init(&verdicts, &world.timeline, NULL, 0, &config),
                     SKEP_ERR_INVALID);
    /* No announces, no peers: no verdicts. */
    judge(&world, 2500);
    assert_int_equal(verdict(&world, LEECHER)->result, SK_VERDICT_NONE);
    end(&world);
}

/* Of a torrent whose metadata nobody gave no piece is seen: nobody is accused of that. */
static void test_no_metadata(void **state)
{
    struct world world;
    begin(&world);
    sk_timeline_deinit(&world.timeline);
    assert_int_equal(sk_timeline_init(&world.timeline, BEGIN_NS, 0, 0, 0), 0);
    TELL(&world, 0, LEECHER, .kind = SK_OBS_OPEN);
    for (int i = 0; i < 20; i++)
        say(&world, 10 + 20 * i, LEECHER, 2 * PIECE * (uint64_t)i, PIECE * (uint64_t)i,
            SIZE - PIECE * (uint64_t)i);
    judge(&world, 500);
    assert_int_equal(verdict(&world, LEECHER)->result, SK_VERDICT_CANNOT_TELL);
    assert_int_equal(verdict(&world, LEECHER)->why, SK_WHY_NO_METADATA);
    end(&world);
}

static void test_memory(void **state)
{
    struct world world;
    begin_trade(&world);
    REPORT(&world, LEECHER, .down_times = 0.5);
    struct sk_upload_bound uploads[2] = {{1, 1, 2}, {1, 1, 2}};
    world.config.uploads = uploads;
    sk_timeline_close(&world.timeline, BEGIN_NS + 2500000000000);
    int err = SKEP_ERR_NOMEM;
    size_t nth = 0;
    while (err == SKEP_ERR_NOMEM) {
        sk_mem_fail_nth(++nth);
        err = sk_verdicts_init(&world.verdicts, &world.timeline, world.announces, world.count,
                               &world.config);
    }
    sk_mem_fail_nth(0);
    assert_int_equal(err, 0);
    assert_true(nth > 15);
    assert_false_by(&world, LEECHER, SK_CHECK_DOWNLOADED_LESS);
    end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_honest),
        cmocka_unit_test(test_downloaded_less),
        cmocka_unit_test(test_downloaded_less_in_silence),
        cmocka_unit_test(test_resumed_pieces),
        cmocka_unit_test(test_unreported_restart),
        cmocka_unit_test(test_restart_with_another_id),
        cmocka_unit_test(test_downloaded_more),
        cmocka_unit_test(test_downloaded_once_complete),
        cmocka_unit_test(test_waste),
        cmocka_unit_test(test_suppressed_haves),
        cmocka_unit_test(test_lost_pieces),
        cmocka_unit_test(test_nothing_known),
        cmocka_unit_test(test_left_more),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_skew),
        cmocka_unit_test(test_fake_seed_that_downloads),
        cmocka_unit_test(test_fake_seeds),
        cmocka_unit_test(test_fake_seed_of_one_file),
        cmocka_unit_test(test_fake_seed_gains),
        cmocka_unit_test(test_completed_what_had_begun),
        cmocka_unit_test(test_super_seed),
        cmocka_unit_test(test_completed_in_silence),
        cmocka_unit_test(test_blocks_under_way),
        cmocka_unit_test(test_foreign_client),
        cmocka_unit_test(test_stolen_id),
        cmocka_unit_test(test_one_address),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_other_torrents),
        cmocka_unit_test(test_configuration),
        cmocka_unit_test(test_no_metadata),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
