/* Download rates from HAVEs: right where a peer tells, unknown with the reason where it does not.
 */
#include "audit/download.h"

#include "base/bytes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define PIECES 400u
#define PIECE 65536u
#define BITS ((PIECES + 7) / 8)
#define SECOND UINT64_C(1000000000)

static struct sk_timeline timeline;
static struct sk_download download;
static const struct sk_endpoint who = {.family = SK_FAMILY_V4, .addr = {10, 0, 0, 1}, .port = 6881};

static int set_up(void **state)
{
    return sk_timeline_init(&timeline, 0, PIECES, PIECE, (uint64_t)PIECES * PIECE);
}

static int tear_down(void **state)
{
    sk_timeline_deinit(&timeline);
    return 0;
}

static void tell(double at_s, struct sk_observation observation)
{
    observation.at_ns = (uint64_t)(at_s * 1e9);
    observation.peer = who;
    assert_int_equal(sk_timeline_observe(&timeline, &observation), 0);
}

static void opens(double at_s)
{
    tell(at_s, (struct sk_observation){.kind = SK_OBS_OPEN, .a = 1});
}

static void closes(double at_s)
{
    tell(at_s, (struct sk_observation){.kind = SK_OBS_CLOSED});
}

/* A bitfield of the pieces below `until`, without each `but`-th (0: all of them). */
static void shows(double at_s, uint32_t until, uint32_t but)
{
    uint8_t bits[BITS] = {0};
    for (uint32_t i = 0; i < until; i++)
        if (!but || i % but)
            bits[i / 8] |= (uint8_t)(0x80 >> i % 8);
    tell(at_s, (struct sk_observation){.kind = SK_OBS_BITFIELD, .bytes = sk_bytes(bits, BITS)});
}

static void has(double at_s, uint32_t piece)
{
    tell(at_s, (struct sk_observation){.kind = SK_OBS_HAVE, .a = piece});
}

/* HAVEs of the pieces from `from` to before `until`, one each second. */
static void gains(double at_s, uint32_t from, uint32_t until)
{
    for (uint32_t piece = from; piece < until; piece++)
        has(at_s + (piece - from), piece);
}

static void gives(double at_s, uint64_t total)
{
    tell(at_s, (struct sk_observation){.kind = SK_OBS_ARRIVAL, .a = (int64_t)total});
}

static void judge(double at_s)
{
    sk_timeline_close(&timeline, (uint64_t)(at_s * 1e9));
    sk_download_estimate(&timeline, sk_timeline_find(&timeline, &who), &download);
    assert_true(download.observable == !isnan(download.rate.rate));
}

static void is_hidden(const char *reason)
{
    assert_string_equal(download.how, reason);
    assert_false(download.observable);
    assert_true(isnan(download.rate.low) && isnan(download.rate.high));
    assert_int_equal(download.bytes, 0);
}

static void test_rate(void **state)
{
    opens(10);
    shows(10, 100, 0);
    gains(13, 100, 200);
    judge(120);
    assert_string_equal(download.how, "haves");
    assert_float_equal(download.rate.rate, 100.0 * PIECE / 110, 1);
    assert_true(download.rate.low < download.rate.rate && download.rate.rate < download.rate.high);
    assert_int_equal(download.bytes, 100 * PIECE);
}

/* It tells what it gained every ten seconds: what it gained since is not told yet. */
static void test_gathers_haves(void **state)
{
    opens(10);
    shows(10, 100, 0);
    for (uint32_t k = 0; k < 9; k++)
        for (uint32_t i = 0; i < 20; i++)
            has(20 + 10 * k, 100 + 20 * k + i);
    judge(109);
    assert_float_equal(download.rate.rate, 180.0 * PIECE / 90, 1);
}

/* What it gained counts up to the moment when it had all. */
static void test_completes(void **state)
{
    opens(10);
    shows(10, 300, 0);
    gains(13, 300, 400);
    judge(1000);
    assert_float_equal(download.rate.rate, 100.0 * PIECE / 102, 1);
}

/* An incomplete bitfield, the rest at once: these are no gains. */
static void test_lazy_bitfield(void **state)
{
    opens(10);
    shows(10, 100, 10);
    for (uint32_t i = 0; i < 100; i += 10)
        has(10.1, i);
    gains(13, 100, 200);
    closes(120);
    opens(121);
    shows(121, 200, 10);
    for (uint32_t i = 0; i < 200; i += 10)
        has(121.1, i);
    judge(150);
    assert_string_equal(download.how, "haves");
    assert_int_equal(download.bytes, 100 * PIECE);
}

/* A bitfield in place of many HAVEs: known up to the last one. */
static void test_bitfields(void **state)
{
    opens(10);
    shows(10, 100, 0);
    for (uint32_t i = 1; i <= 10; i++)
        shows(10 + 10 * i, 100 + 10 * i, 0);
    judge(119);
    assert_string_equal(download.how, "haves and bitfields");
    assert_float_equal(download.rate.rate, 100.0 * PIECE / 100, 1);
}

static void test_seed(void **state)
{
    opens(10);
    shows(10, 400, 0);
    judge(500);
    is_hidden("seed");
}

static void test_told_nothing(void **state)
{
    opens(10);
    judge(500);
    is_hidden("told no pieces");
}

static void test_silent(void **state)
{
    opens(10);
    shows(10, 100, 0);
    judge(69);
    is_hidden("watched too short");
    tear_down(state);
    set_up(state);
    opens(10);
    shows(10, 100, 0);
    judge(80);
    is_hidden("told of no gain");
}

static void test_too_short(void **state)
{
    opens(10);
    shows(10, 100, 0);
    gains(13, 100, 110);
    judge(29);
    is_hidden("watched too short");
}

/* It shows the next piece once we have taken one. */
static void test_super_seeder(void **state)
{
    opens(10);
    shows(10, 0, 0);
    has(10, 7);
    for (uint32_t i = 1; i <= 5; i++) {
        gives(20 * i, i * PIECE);
        has(20 * i + 0.5, 7 + i);
    }
    judge(200);
    is_hidden("super-seeds");
}

/* A new leecher has as little, but gains whether we take anything or not. */
static void test_no_super_seeder(void **state)
{
    opens(10);
    shows(10, 0, 0);
    gains(15, 0, 7);
    for (uint32_t i = 1; i <= 5; i++)
        gives(30 + i, i * PIECE);
    judge(40);
    assert_true(download.observable);
}

/* Ten pieces in a second away, and none in a minute of watching. */
static void test_suppressor_comes_back(void **state)
{
    opens(10);
    shows(10, 100, 0);
    closes(70);
    opens(71);
    shows(71, 110, 0);
    judge(140);
    is_hidden("suppresses haves");
}

/* It tells two in three. */
/* We went because it was silent. */
static void renews(double at_s)
{
    tell(at_s, (struct sk_observation){.kind = SK_OBS_CLOSED, .bytes = sk_bytes_text("local")});
    tell(at_s + 10, (struct sk_observation){.kind = SK_OBS_OPEN,
                                            .a = 1,
                                            .bytes = sk_bytes_text("-XX0000-123456789012")});
}

static void test_suppressor_is_asked(void **state)
{
    opens(0);
    shows(1, 100, 0);
    renews(180);
    shows(190, 150, 0);
    judge(240);
    is_hidden("suppresses haves");
    assert_true(download.hides);
}

/* It stood still, and went on just when we were away: nothing is strange in that. */
static void test_no_suppressor(void **state)
{
    opens(0);
    shows(1, 100, 0);
    renews(180);
    shows(190, 110, 0);
    gains(193, 110, 150);
    judge(240);
    assert_string_equal(download.how, "haves and bitfields");
    assert_int_equal(download.bytes, 50 * PIECE);
}

/* Another piece each time, and nothing of what it showed before. */
static void test_super_seeder_is_asked(void **state)
{
    opens(0);
    shows(1, 0, 0);
    has(1.1, 7);
    for (uint32_t i = 0; i < 5; i++) {
        renews(180 * (i + 1));
        shows(180 * (i + 1) + 10, 0, 0);
        has(180 * (i + 1) + 10.1, 20 + i);
    }
    judge(1200);
    is_hidden("super-seeds");
    assert_true(download.hides);
}

static void test_dropper_comes_back(void **state)
{
    opens(10);
    shows(10, 100, 0);
    for (uint32_t i = 100; i < 200; i++)
        if (i % 3)
            has(10 + (i - 100), i);
    closes(110);
    opens(111);
    shows(111, 200, 0);
    judge(140);
    is_hidden("suppresses haves");
}

/* What it had gathered when it went it tells when it is back at once. */
static void test_gatherer_comes_back(void **state)
{
    opens(10);
    shows(10, 100, 0);
    for (uint32_t k = 0; k < 9; k++)
        for (uint32_t i = 0; i < 20; i++)
            has(20 + 10 * k, 100 + 20 * k + i);
    closes(109.999);
    opens(110);
    shows(110, 300, 0);
    judge(140);
    assert_string_equal(download.how, "haves and bitfields");
    assert_int_equal(download.bytes, 200 * PIECE);
}

/* It was away for long: what it has then it gained at its own rate. */
static void test_honest_comes_back(void **state)
{
    opens(10);
    shows(10, 100, 0);
    gains(11, 100, 150);
    closes(60);
    opens(110);
    shows(110, 210, 0);
    gains(112, 210, 230);
    judge(140);
    assert_string_equal(download.how, "haves and bitfields");
    assert_float_equal(download.rate.rate, 130.0 * PIECE / 130, PIECE);
}

/* It is done, it says, and lacks pieces here and there. */
static void test_done_with_holes(void **state)
{
    opens(10);
    shows(10, 100, 0);
    for (uint32_t i = 100; i < 400; i++)
        if (i % 4)
            has(10 + (i - 100) / 4.0, i);
    tell(90, (struct sk_observation){.kind = SK_OBS_UPLOAD_ONLY, .a = 1});
    judge(100);
    is_hidden("suppresses haves");
}

/* One that wanted some of the files lacks the others. */
static void test_done_with_some_files(void **state)
{
    opens(10);
    shows(10, 100, 0);
    gains(13, 100, 180);
    gains(93, 250, 300);
    tell(144, (struct sk_observation){.kind = SK_OBS_UPLOAD_ONLY, .a = 1});
    judge(150);
    assert_true(download.observable);
    assert_int_equal(download.bytes, 130 * PIECE);
}

/* Its pieces are gone, and it tells of the same ones again. */
static void test_lost_pieces(void **state)
{
    opens(10);
    shows(10, 200, 0);
    gains(11, 200, 220);
    closes(40);
    opens(41);
    shows(41, 0, 0);
    gains(45, 0, 219);
    judge(300);
    is_hidden("lost pieces");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rate),
        TEST(test_gathers_haves),
        TEST(test_completes),
        TEST(test_lazy_bitfield),
        TEST(test_bitfields),
        TEST(test_seed),
        TEST(test_told_nothing),
        TEST(test_silent),
        TEST(test_too_short),
        TEST(test_super_seeder),
        TEST(test_no_super_seeder),
        TEST(test_suppressor_comes_back),
        TEST(test_gatherer_comes_back),
        TEST(test_suppressor_is_asked),
        TEST(test_no_suppressor),
        TEST(test_super_seeder_is_asked),
        TEST(test_dropper_comes_back),
        TEST(test_honest_comes_back),
        TEST(test_done_with_holes),
        TEST(test_done_with_some_files),
        TEST(test_lost_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
