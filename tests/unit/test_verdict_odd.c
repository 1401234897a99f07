/* Honest clients that look odd: damaged announces, several clients behind an address, counters that
 * are old, files unwanted and wanted again, receivers that are slow or that nobody watches. Each
 * test accuses one of them without the rule that it is about. */
#include "verdict_world.h"

#define SEED 1
#define LEECHER 2
#define OTHER 3
#define HELD 10
#define REPORTS 9

static uint64_t gained(int k)
{
    return (uint64_t)((4.5 + k * PERIOD_S) / 30) * PIECE;
}

/* A seed; a leecher that gains a piece every half minute, and reports so every five. Returns the
 * first of its REPORTS announces. */
static struct sk_announce *begin_trade(struct world *world)
{
    begin(world);
    join(world, 0, SEED, PIECES);
    join(world, 0.5, LEECHER, HELD);
    gain(world, LEECHER, HELD, HELD + 80, 0.5, 2400.5);
    for (int k = 0; k < REPORTS; k++)
        say(world, 5 + k * PERIOD_S, LEECHER, 0, gained(k),
            SIZE - HELD * (uint64_t)PIECE - gained(k));
    return &world->announces[world->count - REPORTS];
}

/* A third of each piece is padding, which nobody downloads, and nobody lacks. */
static void test_padding(void **state)
{
    struct world world;
    struct sk_announce *announces = begin_trade(&world);
    world.timeline.size = SIZE / 3 * 2;
    for (int k = 0; k < REPORTS; k++) {
        announces[k].downloaded = announces[k].downloaded / 3 * 2;
        announces[k].left = announces[k].left / 3 * 2;
    }
    judge(&world, 2500);
    assert_int_equal(sk_timeline_piece_bytes(&world.timeline, PIECES - 1), PIECE);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* ---- pieces that end with their files, or are filled with padding ---- */

#define SHORT (PIECE / 4) /* bytes of each second piece */

static uint32_t bytes_of(uint32_t piece)
{
    return piece % 2 ? SHORT : PIECE;
}

static void tell_short_pieces(struct world *world, bool known)
{
    uint8_t list[PIECES / 2 * SK_TIMELINE_SHORT_BYTES];
    world->timeline.size = SIZE / 2 + PIECES / 2 * SHORT;
    for (uint32_t i = 0; i < PIECES / 2; i++) {
        sk_put_u32(list + i * SK_TIMELINE_SHORT_BYTES, 2 * i + 1);
        sk_put_u32(list + i * SK_TIMELINE_SHORT_BYTES + 4, SHORT);
    }
    const struct sk_observation seen = {
        .at_ns = BEGIN_NS, .kind = SK_OBS_SHORT_PIECES, .bytes = sk_bytes(list, sizeof list)};
    if (known)
        assert_int_equal(sk_timeline_observe(&world->timeline, &seen), 0);
    assert_int_equal(world->timeline.bytes != NULL, known);
}

/* Bytes of what it gained, and of what it lacks, at its k-th announce; with padding or without. */
static void count_all(int k, bool padding, uint64_t *ret_gained, uint64_t *ret_lacked)
{
    uint32_t until = HELD + (uint32_t)(gained(k) / PIECE);
    *ret_gained = *ret_lacked = 0;
    for (uint32_t i = HELD; i < PIECES; i++)
        *(i < until ? ret_gained : ret_lacked) += padding ? PIECE : bytes_of(i);
}

/* The same trade, where the seed gives and the leecher says the share `down` of what it takes, and
 * to lack the rest. */
static void begin_short_trade(struct world *world, double down, bool pads_down, bool pads_left)
{
    struct sk_announce *announces = begin_trade(world);
    world->config.skew_max_s = 0;
    for (int k = 0; k < REPORTS; k++) {
        uint64_t come, lacked, unused;
        count_all(k, pads_down, &come, &unused);
        count_all(k, pads_left, &unused, &lacked);
        announces[k].downloaded = (uint64_t)(down * (double)come);
        announces[k].left = lacked + come - announces[k].downloaded;
        announces[k].event = k ? SK_ANNOUNCE_NONE : SK_ANNOUNCE_STARTED;
        say(world, 5 + k * PERIOD_S, SEED, come, 0, 0);
    }
}

/* Padding is counted or not, by each counter, and whatever the other does; also where it is not
 * known which pieces have it. */
static void test_counted_padding(void **state)
{
    for (int pads = 0; pads < 8; pads++) {
        struct world world;
        begin_short_trade(&world, 1, pads & 1, pads & 2);
        tell_short_pieces(&world, pads & 4);
        judge(&world, 2500);
        assert_clear(&world, LEECHER);
        assert_clear(&world, SEED);
        end(&world);
    }
}

/* Who lies by more than all the padding is found once it is known where that lies. */
static void test_lies_beyond_padding(void **state)
{
    for (int known = 0; known < 2; known++) {
        struct world world;
        begin_short_trade(&world, 0.1, false, false);
        tell_short_pieces(&world, known);
        judge(&world, 2500);
        if (known)
            assert_false_by(&world, LEECHER, SK_CHECK_DOWNLOADED_LESS);
        else
            assert_not_accused(&world, LEECHER);
        end(&world);
    }
}

/* Whatever an announce has in place of what was counted: it is one. */
static void test_one_damaged_announce(void **state)
{
    for (int i = 0; i < 4 * REPORTS; i++) {
        struct world world;
        struct sk_announce *bad = begin_trade(&world) + i / 4;
        if (i % 2)
            bad->left = i % 4 == 1 ? 0 : SIZE;
        else
            bad->downloaded = i % 4 ? 0 : bad->downloaded + 200 * (uint64_t)PIECE;
        judge(&world, 2500);
        assert_not_accused(&world, LEECHER);
        end(&world);
    }
}

/* The log has each announce three times: joined with itself, and sent anew. One is damaged. */
static void test_copies_of_a_damaged_announce(void **state)
{
    for (int bad = 0; bad < REPORTS; bad++) {
        struct world world;
        begin_trade(&world)[bad].left = SIZE;
        for (int k = 0; k < 2 * REPORTS; k++) {
            world.announces[world.count] = world.announces[k % REPORTS];
            world.announces[world.count++].at_unix_s += k < REPORTS ? 0 : 45;
        }
        judge(&world, 2500);
        assert_int_equal(world.verdicts.reports.copies, 2 * REPORTS);
        assert_int_equal(verdict(&world, LEECHER)->announces, REPORTS);
        assert_not_accused(&world, LEECHER);
        end(&world);
    }
}

/* It gains a piece each two seconds; two of its announces over UDP come from a try of a quarter of
 * a minute before, with the counters of then. */
static void test_late_announces(void **state)
{
    struct world world;
    begin(&world);
    world.config.skew_max_s = 1; /* nobody else says what the clock is */
    join(&world, 0, SEED, PIECES);
    join(&world, 0.5, LEECHER, 0);
    gain(&world, LEECHER, 0, PIECES, 0.5, 2.0 * PIECES + 0.5);
    for (int k = 0; k < 13; k++) {
        double counted_s = 5 + k * 15 - (k == 4 || k == 9 ? 15 : 0);
        uint64_t bytes = (uint64_t)((counted_s - 0.5) / 2) * PIECE;
        say(&world, 5 + k * 15, LEECHER, (uint64_t)k, bytes, SIZE - bytes);
    }
    judge(&world, 250);
    const struct sk_finding *finding = &verdict(&world, LEECHER)->findings[SK_CHECK_LEFT_MORE];
    assert_int_equal(finding->against, 2);
    assert_int_equal(finding->late, 2);
    assert_int_not_equal(verdict(&world, LEECHER)->why, SK_WHY_WEAK);
    assert_not_accused(&world, LEECHER);
    end(&world);
}

/* Much comes twice in the end game; or a poisoner sends wrong pieces, until he is banned: at most
 * ten, and of a slow client in several periods. */
static void test_waste_at_once(void **state)
{
    for (int slow = 0; slow <= 1; slow++) {
        struct world world;
        struct sk_announce *reports = begin_trade(&world);
        for (int k = 1; k < REPORTS; k++)
            reports[k].downloaded += (uint64_t)(slow ? 6 * SK_MIN(k, 3) : 25 * (k >= 4)) * PIECE;
        judge(&world, 2500);
        assert_clear(&world, LEECHER);
        end(&world);
    }
}

/* It takes file after file, tells no HAVE, and whenever it announces it has what it wanted. */
static void test_file_after_file(void **state)
{
    struct world world;
    begin(&world);
    world.config.files = 20;
    join(&world, 0, SEED, PIECES);
    join(&world, 0.5, LEECHER, HELD);
    for (int k = 0; k < REPORTS; k++)
        say(&world, 5 + k * PERIOD_S, LEECHER, 0, (HELD + 5 * (uint64_t)k) * PIECE, 0);
    judge(&world, 2500);
    assert_int_equal(verdict(&world, LEECHER)->findings[SK_CHECK_DOWNLOADED_MORE].against, 0);
    assert_not_accused(&world, LEECHER);
    end(&world);
}

/* Of some files it decides that it does not want them: it lacks less, and downloaded nothing. */
static void test_files_unwanted(void **state)
{
    struct world world;
    struct sk_announce *reports = begin_trade(&world);
    world.config.files = 5;
    for (int k = 3; k < REPORTS; k++)
        reports[k].left -= 10 * (uint64_t)PIECE;
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* Of one file it wants nothing any more. */
static void test_file_unwanted(void **state)
{
    struct world world;
    struct sk_announce *reports = begin_trade(&world);
    world.config.files = 1;
    for (int k = 5; k < REPORTS; k++)
        reports[k].left = 0;
    judge(&world, 2500);
    assert_int_equal(verdict(&world, LEECHER)->findings[SK_CHECK_DOWNLOADED_LESS].against, 0);
    end(&world);
}

/* What the first announce since we connected says to lack is damaged, or not said: of one file,
 * later ones are not held against it. */
static void test_first_left(void **state)
{
    for (int unknown = 0; unknown <= 1; unknown++) {
        struct world world;
        struct sk_announce *reports = begin_trade(&world);
        world.config.files = 1;
        reports[1].left = unknown ? SK_ANNOUNCE_UNKNOWN : reports[1].left + 10 * (uint64_t)PIECE;
        judge(&world, 2500);
        assert_int_equal(verdict(&world, LEECHER)->findings[SK_CHECK_DOWNLOADED_LESS].against, 0);
        assert_not_accused(&world, LEECHER);
        end(&world);
    }
}

/* First it wants a few files, and lacks but these; then all. */
static void test_files_wanted(void **state)
{
    struct world world;
    struct sk_announce *reports = begin_trade(&world);
    world.config.files = 5;
    for (int k = 0; k < 4; k++)
        reports[k].left -= 50 * (uint64_t)PIECE;
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* Of whole pieces it has but the short last one when it starts, and five that are all but there. */
static void test_short_piece(void **state)
{
    const uint64_t size = SIZE - PIECE / 2, begun = 5 * PIECE;
    struct world world;
    begin(&world);
    sk_timeline_deinit(&world.timeline);
    assert_int_equal(sk_timeline_init(&world.timeline, BEGIN_NS, PIECES, PIECE, size), 0);
    world.config.partial_pieces = 200;
    world.config.partial_s = 900;
    world.config.skew_max_s = 0;
    join(&world, 1, LEECHER, 0);
    TELL(&world, 1, LEECHER, .kind = SK_OBS_HAVE, .a = PIECES - 1);
    gain(&world, LEECHER, 0, 80, 25, 2425);
    for (int k = 0; k < REPORTS; k++) {
        uint64_t come = k ? (uint64_t)((k * PERIOD_S - 5) / 30) * PIECE : 0;
        say(&world, 20 + k * PERIOD_S, LEECHER, 0, come - SK_MIN(come, begun),
            size - PIECE / 2 - come)
            ->event = k ? SK_ANNOUNCE_NONE : SK_ANNOUNCE_STARTED;
    }
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* It starts with what it uploaded in all its life. */
static void test_resumed_counter(void **state)
{
    for (int renamed = 0; renamed <= 1; renamed++) {
        struct world world;
        begin_trade(&world);
        for (int k = 0; k < REPORTS; k++) {
            uint64_t before = k > 3 ? 1000 * (uint64_t)PIECE : 0;
            struct sk_announce *announce =
                say(&world, 5 + k * PERIOD_S, SEED, before + (uint64_t)k * 10 * PIECE, 0, 0);
            announce->event = k == 0 || k == 4 ? SK_ANNOUNCE_STARTED : SK_ANNOUNCE_NONE;
            announce->peer_id[10] = renamed && k < 4;
        }
        judge(&world, 2500);
        const struct sk_finding *finding =
            &verdict(&world, SEED)->findings[SK_CHECK_UPLOADED_GAINS];
        assert_true(finding->said == REPORTS - 1 && finding->against <= 1);
        assert_not_accused(&world, SEED);
        end(&world);
    }
}

/* Two clients behind one address say that they listen at the same port. */
static void test_two_at_an_endpoint(void **state)
{
    struct world world;
    begin_trade(&world);
    TELL(&world, 1, OTHER, .kind = SK_OBS_HEARD, .source = SK_SOURCE_TRACKER);
    for (int k = 0; k < 2 * REPORTS; k++) {
        uint64_t before = k % 2 ? 1000 * (uint64_t)PIECE : 0;
        struct sk_announce *announce =
            say(&world, 5 + k * PERIOD_S / 2, OTHER, before + (uint64_t)k * 1000, 0, SIZE);
        announce->peer_id[10] = 7 + k % 2;
    }
    judge(&world, 2500);
    assert_true(verdict(&world, OTHER)->findings[SK_CHECK_UPLOADED_GAINS].against <= 1);
    assert_not_accused(&world, OTHER);
    end(&world);
}

/* Another client each time is no excuse. */
static void test_ever_another(void **state)
{
    struct world world;
    begin_trade(&world);
    for (int k = 0; k < REPORTS; k++)
        say(&world, 5 + k * PERIOD_S, SEED, (uint64_t)k * 40 * PIECE, 0, 0)->peer_id[10] =
            (uint8_t)k;
    judge(&world, 2500);
    assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
    end(&world);
}

/* All who take from it are behind NAT; of those that we watch nobody gains. */
static void test_nobody_gains(void **state)
{
    struct world world;
    struct sk_upload_bound uploads[2] = {{1, 1, 2}, {NAN, NAN, NAN}};
    begin(&world);
    world.config.uploads = uploads;
    join(&world, 0, SEED, PIECES);
    TELL(&world, 1, OTHER, .kind = SK_OBS_HEARD, .source = SK_SOURCE_TRACKER);
    for (int k = 0; k < REPORTS; k++)
        say(&world, 5 + k * PERIOD_S, SEED, (uint64_t)k * 10 * PIECE, 0, 0);
    judge(&world, 2500);
    assert_clear(&world, SEED);
    end(&world);
}

/* It takes half an hour for a piece. */
static void test_slow_receiver(void **state)
{
    struct world world;
    begin(&world);
    join(&world, 0, SEED, PIECES);
    join(&world, 0, LEECHER, HELD);
    gain(&world, LEECHER, HELD, HELD + 4, 0, 7200);
    for (int k = 0; k < 23; k++)
        say(&world, 5 + k * PERIOD_S, SEED, (uint64_t)((5 + k * PERIOD_S) / 1800.0 * PIECE), 0, 0);
    judge(&world, 7300);
    assert_clear(&world, SEED);
    end(&world);
}

/* What receivers say themselves is looked at in each window, whoever announces how often. */
static void test_who_tells_nothing(void **state)
{
    enum { OTHERS = 100 };
    struct world world;
    begin_trade(&world);
    for (uint32_t n = 0; n < OTHERS; n++) {
        TELL(&world, 1, (uint8_t)(OTHER + n), .kind = SK_OBS_HEARD, .source = SK_SOURCE_TRACKER);
        for (uint32_t k = 0; k < 250; k++)
            say(&world, 10 * k, (uint8_t)(OTHER + n), 0, k * (uint64_t)PIECE / 300, SIZE);
    }
    for (int k = 0; k < REPORTS; k++)
        say(&world, 5 + k * PERIOD_S, SEED, (uint64_t)k * 10 * (PIECE + OTHERS * PIECE / 100), 0,
            0);
    judge(&world, 2500);
    assert_clear(&world, SEED);
    /* A third of a piece in 100 s each, and no more than that. */
    double allowed = verdict(&world, SEED)->findings[SK_CHECK_UPLOADED_GAINS].allowed;
    assert_true(allowed > 0 && allowed < 1.1 * (OTHERS * (9 + 2) + 100) * (double)PIECE);
    end(&world);
}

/* It measures others, and keeps nothing of what it takes: it never gains a piece. */
static void test_who_keeps_nothing(void **state)
{
    struct world world;
    begin(&world);
    join(&world, 0, SEED, PIECES);
    join(&world, 0.5, LEECHER, 0);
    for (uint64_t k = 0; k <= 8; k++)
        say(&world, 5 + (double)k * PERIOD_S, LEECHER, 0, 6 * PIECE * k, SIZE)->event =
            k ? SK_ANNOUNCE_NONE : SK_ANNOUNCE_STARTED;
    judge(&world, 2500);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* Three pieces have begun when it is first heard, and it waits for twenty minutes before they
 * become whole: most of them it downloaded before. Sixty that it gains then were not all begun. */
static void test_waits_with_pieces_begun(void **state)
{
    for (int lies = 0; lies < 2; lies++) {
        struct world world;
        uint32_t pieces = lies ? 60 : 3;
        begin(&world);
        world.config.partial_s = sk_verdict_config_default().partial_s;
        world.config.partial_pieces = sk_verdict_config_default().partial_pieces;
        join(&world, 0, SEED, PIECES);
        join(&world, 0.5, LEECHER, 10);
        gain(&world, LEECHER, 10, 10 + pieces, 1200, 1210);
        for (int k = 0; k <= 8; k++)
            say(&world, 5 + k * PERIOD_S, LEECHER, 0, 3 * PIECE + (k > 4 ? PIECE / 2 : 0),
                SIZE - (k > 4 ? 10 + pieces : 10) * (uint64_t)PIECE);
        judge(&world, 2500);
        if (lies)
            assert_false_by(&world, LEECHER, SK_CHECK_DOWNLOADED_LESS);
        else
            assert_clear(&world, LEECHER);
        end(&world);
    }
}

/* It had a magnet link alone when it started, and said to lack a byte, or a block. It counts whole
 * pieces: three have begun when it announces next. */
static void test_lacks_a_byte_at_first(void **state)
{
    static const uint64_t lacks[] = {1, 16384};
    for (size_t i = 0; i < SK_ARRAY_LEN(lacks); i++) {
        struct world world;
        begin(&world);
        world.config.partial_pieces = 5;
        world.config.partial_s = 300;
        world.config.skew_max_s = 1;
        join(&world, 0, SEED, PIECES);
        join(&world, 0.5, LEECHER, 10);
        gain(&world, LEECHER, 10, 13, 60, 70);
        say(&world, -200, LEECHER, 0, 0, lacks[i])->event = SK_ANNOUNCE_STARTED;
        for (int k = 0; k <= 8; k++)
            say(&world, 20 + k * PERIOD_S, LEECHER, 0, 12 * PIECE + (k ? PIECE : 0),
                SIZE - (k ? 13 : 10) * (uint64_t)PIECE);
        judge(&world, 2500);
        assert_clear(&world, LEECHER);
        end(&world);
    }
}

/* ---- what nobody saw it gain ---- */

/* A leecher that gains a piece every half minute from long before we connect until long after it
 * has left us, or has called more often than can be remembered: each call is from a port of its
 * own where `ports` says so. The log does not say what it lacks, unless `left` does. */
static void begin_calls(struct world *world, uint32_t calls, double call_s, bool ports, bool left)
{
    uint8_t id[20] = "-XX0000-", bits[(PIECES + 7) / 8] = {0};
    id[19] = LEECHER;
    begin(world);
    join(world, 0, SEED, PIECES);
    for (uint32_t piece = 0; piece < PIECES; piece++)
        bits[piece / 8] |= (uint8_t)(piece < 20 ? 0x80 >> piece % 8 : 0);
    for (uint32_t i = 0, piece = 20; i < calls; i++) {
        double at_s = 5 + i * call_s;
        uint8_t n = ports ? OTHER : LEECHER;
        struct sk_endpoint port = address(n);
        port.port = (uint16_t)(port.port + ports * (i + 1));
        struct sk_observation open = {.kind = SK_OBS_OPEN, .bytes = sk_bytes(id, 20)},
                              told = {.kind = SK_OBS_BITFIELD, .bytes = sk_bytes(bits, 13)};
        open.at_ns = told.at_ns = BEGIN_NS + (uint64_t)(at_s * 1e9);
        open.peer = told.peer = port;
        assert_int_equal(sk_timeline_observe(&world->timeline, &open), 0);
        assert_int_equal(sk_timeline_observe(&world->timeline, &told), 0);
        if (ports)
            TELL(world, at_s, LEECHER, .kind = SK_OBS_ADDRESS, .by = port);
        for (; 30 * (piece - 19) < at_s + call_s - 1 && piece < 95; piece++) {
            TELL(world, SK_MAX(30 * (piece - 19), at_s), LEECHER, .kind = SK_OBS_HAVE, .a = piece);
            bits[piece / 8] |= (uint8_t)(0x80 >> piece % 8);
        }
        TELL(world, at_s + call_s - 1, LEECHER, .kind = SK_OBS_CLOSED);
    }
    for (int k = -2; k < 8; k++) {
        uint64_t gained_bytes = (uint64_t)(20 + k * 10) * PIECE;
        say(world, k * PERIOD_S + 2, LEECHER, 0, gained_bytes,
            left ? SIZE - gained_bytes : SK_ANNOUNCE_UNKNOWN);
    }
    judge(world, 2400);
}

static void test_gains_unseen(void **state)
{
    for (int left = 0; left <= 1; left++) {
        struct world world;
        begin_calls(&world, 1, 400, false, left);
        assert_clear(&world, LEECHER);
        end(&world);
    }
    /* While we do see it, its counter has to be right. */
    struct world world;
    begin_calls(&world, 1, 2300, false, false);
    assert_clear(&world, LEECHER);
    for (size_t i = 0; i < world.count; i++)
        world.announces[i].downloaded *= 2;
    judge(&world, 2400);
    assert_false_by(&world, LEECHER, SK_CHECK_DOWNLOADED_MORE);
    end(&world);
}

/* There is no room for more gains of all peers together: its own are not known any more. */
static void test_gains_without_room(void **state)
{
    struct world world;
    begin(&world);
    join(&world, 0, SEED, PIECES);
    join(&world, 0, LEECHER, 20);
    for (int piece = 20; piece < 95; piece++) {
        if (piece == 50)
            world.timeline.gains_total = SK_TIMELINE_GAINS_MAX;
        TELL(&world, 30 * (piece - 19), LEECHER, .kind = SK_OBS_HAVE, .a = piece);
    }
    for (int k = 0; k < 8; k++)
        say(&world, k * PERIOD_S + 2, LEECHER, 0, (uint64_t)(k * 10) * PIECE, SK_ANNOUNCE_UNKNOWN);
    judge(&world, 2400);
    assert_int_equal(world.timeline.lost, 45);
    assert_clear(&world, LEECHER);
    end(&world);
}

/* Of more connections than SK_TIMELINE_SPANS_MAX the last ones are as if it had left us. */
static void test_calls_too_often(void **state)
{
    for (int how = 0; how < 4; how++) {
        struct world world;
        begin_calls(&world, SK_TIMELINE_SPANS_MAX + 3, 8, how & 1, how & 2);
        uint32_t end_ms = 5000 + 8000 * SK_TIMELINE_SPANS_MAX;
        const struct sk_timeline_peer *peer = &world.timeline.peers[index_of(&world, LEECHER)];
        assert_true(sk_timeline_watched(peer, end_ms - 7000));
        assert_false(sk_timeline_watched(peer, end_ms + 1000));
        assert_in_range(peer->gains[peer->gains_count - 1].at_ms, end_ms - 40000, end_ms);
        for (uint32_t i = 0; i < world.timeline.peers_count; i++)
            assert_true(i == index_of(&world, SEED) ||
                        !sk_timeline_watched(&world.timeline.peers[i], end_ms + 20000));
        assert_clear(&world, LEECHER);
        end(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_counted_padding),
        cmocka_unit_test(test_lies_beyond_padding),
        cmocka_unit_test(test_one_damaged_announce),
        cmocka_unit_test(test_copies_of_a_damaged_announce),
        cmocka_unit_test(test_late_announces),
        cmocka_unit_test(test_waste_at_once),
        cmocka_unit_test(test_file_after_file),
        cmocka_unit_test(test_files_unwanted),
        cmocka_unit_test(test_file_unwanted),
        cmocka_unit_test(test_first_left),
        cmocka_unit_test(test_files_wanted),
        cmocka_unit_test(test_short_piece),
        cmocka_unit_test(test_resumed_counter),
        cmocka_unit_test(test_two_at_an_endpoint),
        cmocka_unit_test(test_ever_another),
        cmocka_unit_test(test_nobody_gains),
        cmocka_unit_test(test_slow_receiver),
        cmocka_unit_test(test_who_tells_nothing),
        cmocka_unit_test(test_who_keeps_nothing),
        cmocka_unit_test(test_waits_with_pieces_begun),
        cmocka_unit_test(test_lacks_a_byte_at_first),
        cmocka_unit_test(test_gains_unseen),
        cmocka_unit_test(test_gains_without_room),
        cmocka_unit_test(test_calls_too_often),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
