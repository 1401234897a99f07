/*
 * One tracker, as a machine: over HTTP, and what both kinds have in common. Threats: intervals that
 * would make us hammer, refusals that never end, bodies that are no tracker's.
 */
#include "tracker_machine.h"

static void test_addresses(void **state)
{
    static const struct {
        const char *url;
        int err;
    } cases[] = {
        {"http://t/announce", 0},
        {"HTTPS://t:1/a", 0},
        {"udp://t:1", 0},
        {"UDP://[::1]:6969/announce", 0},
        {"ws://t/announce", SKEP_ERR_UNSUPPORTED},
        {"file:///etc/passwd", SKEP_ERR_UNSUPPORTED},
        {"", SKEP_ERR_UNSUPPORTED},
        {"http://", SKEP_ERR_INVALID},
        {"http:///announce", SKEP_ERR_INVALID},
        {"http://t/a b", SKEP_ERR_INVALID},
        {"http://t/a\r\nHost: x", SKEP_ERR_INVALID},
        {"udp://t", SKEP_ERR_INVALID},
        {"udp://t/announce:80", SKEP_ERR_INVALID},
        {"udp://t:", SKEP_ERR_INVALID},
        {"udp://:80", SKEP_ERR_INVALID},
        {"udp://t:0", SKEP_ERR_INVALID},
        {"udp://t:65536", SKEP_ERR_INVALID},
        {"udp://t:000080", SKEP_ERR_INVALID},
        {"udp://t:80x", SKEP_ERR_INVALID},
        {"udp://u@t:80", SKEP_ERR_INVALID},
        {"udp://[::1:80", SKEP_ERR_INVALID},
        {"udp://::1:80", SKEP_ERR_INVALID},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        assert_int_equal(cases[i].err, make(cases[i].url, false));
        if (!cases[i].err)
            assert_string_equal(cases[i].url, sk_tracker_url(tracker));
        teardown(NULL);
    }
    char longest[SK_METAINFO_URL_MAX + 2] = "http://";
    memset(longest + 7, 'a', sizeof longest - 8);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(SKEP_ERR_LIMIT, make(longest, false));
    memcpy(longest, "udp:/", 5);
    longest[5] = '/', longest[SK_METAINFO_URL_MAX] = 0;
    assert_int_equal(SKEP_ERR_INVALID, make(longest, false));
}

static void test_http_announces_and_repeats(void **state)
{
    assert_int_equal(0, make(HTTP_URL, false));
    assert_true(sk_tracker_deadline(tracker) <= now);
    assert_int_equal(SK_TRACKER_ANNOUNCING, sk_tracker_state(tracker));
    sk_tracker_tick(tracker, now);
    assert_int_equal(0, sk_tracker_deadline(tracker));
    take(SK_TRACKER_OUT_HTTP_GET);
    assert_non_null(strstr(out.url, HTTP_URL "?info_hash=hhhhhhhhhhhhhhhhhhhh&peer_id="));
    assert_non_null(strstr(out.url, "&left=5&"));
    assert_non_null(strstr(out.url, "&event=started"));
    assert_int_equal(SK_TRACKER_HTTP_WAIT_S * S, out.timeout_ns);
    quiet();
    assert_int_equal(0, sk_tracker_next_draw_ns(tracker));

    now += S;
    REPLY(200, "d8:completei3e10:incompletei4e8:intervali1800e12:min intervali60e"
               "5:peers6:\x7f\0\0\x01\x1a\xe1"
               "10:tracker id2:ide");
    take(SK_TRACKER_OUT_RESULT);
    assert_int_equal(SK_TRACKER_ANNOUNCE, out.result->ask);
    assert_int_equal(SK_TRACKER_ANSWERED, out.result->failure);
    assert_int_equal(3, out.result->announce->seeds);
    assert_int_equal(4, out.result->announce->leechers);
    assert_int_equal(1, out.result->announce->peers_count);
    assert_int_equal(SK_FAMILY_NONE, out.result->from.family);
    assert_int_equal(now - S, out.result->asked_ns);
    assert_int_equal(now, out.result->answered_ns);
    quiet();
    assert_int_equal(SK_TRACKER_WAITING, sk_tracker_state(tracker));
    assert_int_equal(now + 60 * S, sk_tracker_next_draw_ns(tracker));

    sk_tracker_progress(tracker, 1, 2, 3, false);
    wait_s(60);
    take(SK_TRACKER_OUT_HTTP_GET);
    assert_null(strstr(out.url, "event="));
    assert_non_null(strstr(out.url, "&uploaded=1&downloaded=2&left=3&"));
    assert_non_null(strstr(out.url, "&trackerid=id"));
}

static void test_http_repeat_times(void **state)
{
    static const struct {
        const char *body;
        uint64_t wait_s;
    } cases[] = {
        {"d8:intervali1800ee", 1800},
        {"d8:intervali1ee", SK_TRACKER_REPEAT_MIN_S},
        {"d8:intervali-1ee", SK_TRACKER_INTERVAL_DEFAULT_S},
        {"de", SK_TRACKER_INTERVAL_DEFAULT_S},
        {"d12:min intervali0e8:intervali7ee", 7},
        {"d12:min intervali1e8:intervali1800ee", SK_TRACKER_REPEAT_MIN_S},
        {"d12:min intervali900e8:intervali7ee", 900},
        {"d8:intervali9223372036854775807ee", UINT32_MAX - 1},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        assert_int_equal(0, make(HTTP_URL, false));
        sk_tracker_tick(tracker, now);
        take(SK_TRACKER_OUT_HTTP_GET);
        reply(200, cases[i].body, strlen(cases[i].body));
        take(SK_TRACKER_OUT_RESULT);
        assert_int_equal(SK_TRACKER_ANSWERED, out.result->failure);
        quiet();
        assert_int_equal(now + cases[i].wait_s * S, sk_tracker_next_draw_ns(tracker));
        assert_int_equal(now + cases[i].wait_s * S, sk_tracker_deadline(tracker));
        teardown(NULL);
    }
}

static void test_http_failures(void **state)
{
    static const struct {
        unsigned status;
        const char *body;
        enum sk_tracker_failure failure;
        const char *text;
        uint64_t wait_s; /* 0 = never again */
    } cases[] = {
        {0, "Connection refused", SK_TRACKER_UNSENT, "Connection refused", 5},
        {404, "<html>", SK_TRACKER_STATUS, "HTTP status 404", 5},
        {500, "d5:helloi1ee", SK_TRACKER_STATUS, "HTTP status 500", 5},
        {403, "d14:failure reason2:noe", SK_TRACKER_REFUSED, "no", 5},
        {200, "<html>", SK_TRACKER_MALFORMED, "", 5},
        {200, "", SK_TRACKER_MALFORMED, "", 5},
        {200, "d14:failure reason4:\x1b[2Je", SK_TRACKER_REFUSED, "\x1b[2J", 5},
        {200, "d14:failure reason4:busy8:retry in1:2e", SK_TRACKER_REFUSED, "busy", 120},
        {200, "d14:failure reason4:busy8:retry in5:nevere", SK_TRACKER_REFUSED, "busy", 0},
        {404, "d14:failure reason4:busy8:retry in5:nevere", SK_TRACKER_REFUSED, "busy", 0},
        {200, "d14:failure reason4:busy8:intervali900ee", SK_TRACKER_REFUSED, "busy", 900},
        {200, "d14:failure reason4:busy8:intervali1ee", SK_TRACKER_REFUSED, "busy", 5},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        assert_int_equal(0, make(HTTP_URL, true));
        sk_tracker_tick(tracker, now);
        take(SK_TRACKER_OUT_HTTP_GET);
        reply(cases[i].status, cases[i].body, strlen(cases[i].body));
        take_failure(SK_TRACKER_ANNOUNCE, cases[i].failure);
        assert_string_equal(cases[i].text, out.result->text);
        quiet();
        uint64_t next = cases[i].wait_s ? now + cases[i].wait_s * S : SK_TIME_NEVER;
        assert_int_equal(next, sk_tracker_deadline(tracker));
        assert_int_equal(next, sk_tracker_next_draw_ns(tracker));
        assert_int_equal(cases[i].wait_s ? SK_TRACKER_FAILING : SK_TRACKER_ENDED,
                         sk_tracker_state(tracker));
        sk_tracker_stop(tracker, now); /* it never welcomed us */
        quiet();
        assert_int_equal(SK_TRACKER_ENDED, sk_tracker_state(tracker));
        teardown(NULL);
    }
}

static void test_backoff_doubles_up_to_half_an_hour(void **state)
{
    static const uint64_t waits_s[] = {5, 10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800, 1800};
    assert_int_equal(0, make(HTTP_URL, false));
    sk_tracker_tick(tracker, now);
    for (size_t i = 0; i < SK_ARRAY_LEN(waits_s); i++) {
        take(SK_TRACKER_OUT_HTTP_GET);
        assert_non_null(strstr(out.url, "event=started"));
        REPLY(0, "refused");
        take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_UNSENT);
        wait_s(waits_s[i]);
    }
    take(SK_TRACKER_OUT_HTTP_GET);
    REPLY(200, HTTP_OK);
    take(SK_TRACKER_OUT_RESULT);
    wait_s(1800);
    take(SK_TRACKER_OUT_HTTP_GET);
    REPLY(0, "refused");
    take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_UNSENT);
    wait_s(5); /* an answer forgives what was before */
    take(SK_TRACKER_OUT_HTTP_GET);
    assert_null(strstr(out.url, "event="));
}

static void test_http_time_out_and_late_answer(void **state)
{
    assert_int_equal(0, make(HTTP_URL, false));
    sk_tracker_tick(tracker, now);
    take(SK_TRACKER_OUT_HTTP_GET);
    uint32_t late = out.request;
    wait_s(SK_TRACKER_HTTP_WAIT_S);
    take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_TIMEOUT);
    sk_tracker_input_http(tracker, late, 200, sk_bytes_text("de"), now);
    quiet();
    wait_s(5);
    sk_tracker_input_http(tracker, late, 200, sk_bytes_text("de"), now);
    take(SK_TRACKER_OUT_HTTP_GET);
    sk_tracker_input_http(tracker, late, 200, sk_bytes_text("de"), now);
    quiet();
    REPLY(200, "de");
    take(SK_TRACKER_OUT_RESULT);
}

static void test_http_scrape_once(void **state)
{
    assert_int_equal(0, make(HTTP_URL, true));
    sk_tracker_tick(tracker, now);
    take(SK_TRACKER_OUT_HTTP_GET);
    REPLY(200, HTTP_OK);
    take(SK_TRACKER_OUT_RESULT);
    take(SK_TRACKER_OUT_HTTP_GET);
    assert_string_equal("http://tracker.test/scrape?info_hash=hhhhhhhhhhhhhhhhhhhh", out.url);
    quiet();
    assert_int_equal(SK_TRACKER_SCRAPING, sk_tracker_state(tracker));
    assert_int_equal(now + 1800 * S, sk_tracker_next_draw_ns(tracker));
    REPLY(200, "d5:filesd20:hhhhhhhhhhhhhhhhhhhhd8:completei9e10:incompletei8eeee");
    take(SK_TRACKER_OUT_RESULT);
    assert_int_equal(SK_TRACKER_SCRAPE, out.result->ask);
    assert_int_equal(SK_TRACKER_ANSWERED, out.result->failure);
    assert_null(out.result->announce);
    assert_int_equal(9, out.result->scrape.seeds);
    assert_int_equal(8, out.result->scrape.leechers);
    wait_s(1800);
    take(SK_TRACKER_OUT_HTTP_GET);
    REPLY(200, HTTP_OK);
    take(SK_TRACKER_OUT_RESULT);
    quiet();
}

static void test_http_scrape_failure_changes_nothing(void **state)
{
    static const struct {
        unsigned status;
        const char *body;
        enum sk_tracker_failure failure;
    } cases[] = {
        {404, "", SK_TRACKER_STATUS},
        {200, "junk", SK_TRACKER_MALFORMED},
        {200, "d14:failure reason2:no8:retry in5:nevere", SK_TRACKER_REFUSED},
        {403, "d14:failure reason2:no8:retry in5:nevere", SK_TRACKER_REFUSED},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        assert_int_equal(0, make(HTTP_URL, true));
        sk_tracker_tick(tracker, now);
        take(SK_TRACKER_OUT_HTTP_GET);
        REPLY(200, HTTP_OK);
        take(SK_TRACKER_OUT_RESULT);
        take(SK_TRACKER_OUT_HTTP_GET);
        reply(cases[i].status, cases[i].body, strlen(cases[i].body));
        take_failure(SK_TRACKER_SCRAPE, cases[i].failure);
        quiet();
        assert_int_equal(SK_TRACKER_WAITING, sk_tracker_state(tracker));
        assert_int_equal(now + 1800 * S, sk_tracker_deadline(tracker));
        teardown(NULL);
    }
}

static void test_http_without_scrape_address(void **state)
{
    assert_int_equal(0, make("http://tracker.test/a", true));
    sk_tracker_tick(tracker, now);
    take(SK_TRACKER_OUT_HTTP_GET);
    REPLY(200, HTTP_OK);
    take(SK_TRACKER_OUT_RESULT);
    assert_int_equal(SK_TRACKER_ANNOUNCE, out.result->ask);
    quiet();
    assert_int_equal(SK_TRACKER_WAITING, sk_tracker_state(tracker));
    assert_int_equal(now + 1800 * S, sk_tracker_deadline(tracker));
}

static void test_http_stop(void **state)
{
    assert_int_equal(0, make(HTTP_URL, false));
    sk_tracker_tick(tracker, now);
    take(SK_TRACKER_OUT_HTTP_GET);
    REPLY(200, HTTP_OK);
    take(SK_TRACKER_OUT_RESULT);
    sk_tracker_stop(tracker, now);
    sk_tracker_stop(tracker, now);
    take(SK_TRACKER_OUT_HTTP_GET);
    assert_non_null(strstr(out.url, "&numwant=0&event=stopped"));
    assert_int_equal(SK_TRACKER_STOPPING, sk_tracker_state(tracker));
    assert_int_equal(SK_TIME_NEVER, sk_tracker_next_draw_ns(tracker));
    REPLY(200, "d8:intervali1800ee");
    take(SK_TRACKER_OUT_RESULT);
    assert_int_equal(SK_TRACKER_STOP, out.result->ask);
    assert_int_equal(SK_TRACKER_ANSWERED, out.result->failure);
    quiet();
    assert_int_equal(SK_TRACKER_ENDED, sk_tracker_state(tracker));
    assert_int_equal(SK_TIME_NEVER, sk_tracker_deadline(tracker));
    sk_tracker_tick(tracker, now + 100000 * S);
    quiet();
}

static void test_stop_while_an_announce_is_under_way(void **state)
{
    assert_int_equal(0, make(HTTP_URL, false));
    sk_tracker_tick(tracker, now);
    take(SK_TRACKER_OUT_HTTP_GET);
    REPLY(200, HTTP_OK);
    take(SK_TRACKER_OUT_RESULT);
    wait_s(1800);
    take(SK_TRACKER_OUT_HTTP_GET);
    uint32_t dropped = out.request;
    sk_tracker_stop(tracker, now);
    take(SK_TRACKER_OUT_HTTP_GET);
    sk_tracker_input_http(tracker, dropped, 200, sk_bytes_text("de"), now);
    quiet();
    wait_s(SK_TRACKER_STOP_WAIT_S);
    take_failure(SK_TRACKER_STOP, SK_TRACKER_TIMEOUT);
    quiet();
    assert_int_equal(SK_TRACKER_ENDED, sk_tracker_state(tracker));
}

static void test_stop_before_any_answer(void **state)
{
    assert_int_equal(0, make(UDP_URL, false));
    sk_tracker_tick(tracker, now);
    take_packet(SK_UDP_CONNECT);
    sk_tracker_stop(tracker, now);
    quiet();
    assert_int_equal(SK_TRACKER_ENDED, sk_tracker_state(tracker));
    assert_false(connected_from("127.0.0.1:6969", request.transaction));
    assert_int_equal(SK_TIME_NEVER, sk_tracker_deadline(tracker));
    assert_int_equal(SK_TIME_NEVER, sk_tracker_next_draw_ns(tracker));
}

/* ---- the download is complete ---- */

static void make_http_announced(void)
{
    assert_int_equal(0, make(HTTP_URL, false));
    sk_tracker_tick(tracker, now);
    take(SK_TRACKER_OUT_HTTP_GET);
    assert_non_null(strstr(out.url, "event=started"));
    REPLY(200, HTTP_OK);
    take(SK_TRACKER_OUT_RESULT);
    quiet();
}

/* At once, whatever the interval; then as ever. */
static void test_completed(void **state)
{
    make_http_announced();
    now += 3 * S;
    sk_tracker_progress(tracker, 1, 2, 0, false);
    sk_tracker_completed(tracker, now);
    wait_s(0);
    take(SK_TRACKER_OUT_HTTP_GET);
    assert_non_null(strstr(out.url, "event=completed"));
    assert_non_null(strstr(out.url, "left=0"));
    assert_true(sk_tracker_awaits(tracker, out.request));
    assert_false(sk_tracker_awaits(tracker, out.request + 1));
    REPLY(200, HTTP_OK);
    take(SK_TRACKER_OUT_RESULT);
    assert_false(sk_tracker_awaits(tracker, out.request));
    wait_s(1800);
    take(SK_TRACKER_OUT_HTTP_GET);
    assert_null(strstr(out.url, "event="));
}

/* Not before the tracker knows that we began. */
static void test_completed_before_the_first_answer(void **state)
{
    assert_int_equal(0, make(HTTP_URL, true));
    sk_tracker_tick(tracker, now);
    take(SK_TRACKER_OUT_HTTP_GET);
    sk_tracker_completed(tracker, now);
    quiet();
    REPLY(500, "");
    take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_STATUS);
    wait_s(SK_TRACKER_BACKOFF_MIN_S);
    take(SK_TRACKER_OUT_HTTP_GET);
    assert_non_null(strstr(out.url, "event=started"));
    REPLY(200, HTTP_OK);
    take(SK_TRACKER_OUT_RESULT);
    take(SK_TRACKER_OUT_HTTP_GET); /* the scrape */
    assert_null(strstr(out.url, "event="));
    REPLY(404, "");
    take_failure(SK_TRACKER_SCRAPE, SK_TRACKER_STATUS);
    wait_s(0);
    take(SK_TRACKER_OUT_HTTP_GET);
    assert_non_null(strstr(out.url, "event=completed"));
}

/* Until it was answered, and no sooner than a tracker that fails may be asked. */
static void test_completed_fails(void **state)
{
    make_http_announced();
    sk_tracker_completed(tracker, now);
    wait_s(0);
    for (unsigned i = 0; i < 2; i++) {
        take(SK_TRACKER_OUT_HTTP_GET);
        assert_non_null(strstr(out.url, "event=completed"));
        REPLY(500, "");
        take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_STATUS);
        sk_tracker_completed(tracker, now); /* said twice: no reason for haste */
        wait_s(SK_TRACKER_BACKOFF_MIN_S << i);
    }
    take(SK_TRACKER_OUT_HTTP_GET);
    assert_non_null(strstr(out.url, "event=completed"));
    REPLY(200, HTTP_OK);
    take(SK_TRACKER_OUT_RESULT);
    wait_s(1800);
    take(SK_TRACKER_OUT_HTTP_GET);
    assert_null(strstr(out.url, "event="));
}

/* Complete, and gone: first the one, then the other, each in haste. */
static void test_completed_then_stop(void **state)
{
    make_http_announced();
    sk_tracker_completed(tracker, now);
    sk_tracker_stop(tracker, now);
    take(SK_TRACKER_OUT_HTTP_GET);
    assert_non_null(strstr(out.url, "event=completed"));
    sk_tracker_stop(tracker, now);
    quiet();
    wait_s(SK_TRACKER_STOP_WAIT_S);
    take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_TIMEOUT);
    assert_int_not_equal(SK_TRACKER_ENDED, sk_tracker_state(tracker));
    assert_int_equal(0, sk_tracker_deadline(tracker));
    sk_tracker_tick(tracker, now);
    take(SK_TRACKER_OUT_HTTP_GET);
    assert_non_null(strstr(out.url, "event=stopped"));
    wait_s(SK_TRACKER_STOP_WAIT_S);
    take_failure(SK_TRACKER_STOP, SK_TRACKER_TIMEOUT);
    assert_int_equal(SK_TRACKER_ENDED, sk_tracker_state(tracker));
}

/* What is under way is not said twice. */
static void test_stop_while_completed_is_under_way(void **state)
{
    make_http_announced();
    sk_tracker_completed(tracker, now);
    wait_s(0);
    take(SK_TRACKER_OUT_HTTP_GET);
    assert_non_null(strstr(out.url, "event=completed"));
    sk_tracker_stop(tracker, now);
    quiet();
    assert_true(sk_tracker_awaits(tracker, out.request));
    REPLY(200, HTTP_OK);
    take(SK_TRACKER_OUT_RESULT);
    quiet();
    sk_tracker_tick(tracker, now);
    take(SK_TRACKER_OUT_HTTP_GET);
    assert_non_null(strstr(out.url, "event=stopped"));
}

static void test_same_seed_same_trace(void **state)
{
    uint32_t first[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(0, make(UDP_URL, false));
        sk_tracker_tick(tracker, now);
        take_packet(SK_UDP_CONNECT);
        first[i] = request.transaction;
        teardown(NULL);
    }
    assert_int_equal(first[0], first[1]);
}

static void test_no_memory_for_an_answer(void **state)
{
    assert_int_equal(0, make(HTTP_URL, false));
    sk_tracker_tick(tracker, now);
    take(SK_TRACKER_OUT_HTTP_GET);
    sk_mem_fail_nth(1);
    REPLY(200, HTTP_OK);
    sk_mem_fail_nth(0);
    take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_NOMEM);
    wait_s(5);
    sk_tracker_stop(tracker, now);
    quiet();
}

static void test_no_memory_to_ask(void **state)
{
    assert_int_equal(0, make(UDP_URL, false));
    sk_tracker_tick(tracker, now);
    sk_mem_fail_nth(1);
    take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_NOMEM);
    sk_mem_fail_nth(0);
    wait_s(5);
    take_packet(SK_UDP_CONNECT);
}

static void test_failure_texts(void **state)
{
    for (int i = SK_TRACKER_ANSWERED; i <= SK_TRACKER_NOMEM; i++)
        assert_string_not_equal("unknown failure",
                                sk_tracker_failure_text((enum sk_tracker_failure)i));
    assert_string_equal("unknown failure", sk_tracker_failure_text((enum sk_tracker_failure)99));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_addresses),
        TEST(test_http_announces_and_repeats),
        TEST(test_http_repeat_times),
        TEST(test_http_failures),
        TEST(test_backoff_doubles_up_to_half_an_hour),
        TEST(test_http_time_out_and_late_answer),
        TEST(test_http_scrape_once),
        TEST(test_http_scrape_failure_changes_nothing),
        TEST(test_http_without_scrape_address),
        TEST(test_http_stop),
        TEST(test_stop_while_an_announce_is_under_way),
        TEST(test_stop_before_any_answer),
        TEST(test_completed),
        TEST(test_completed_before_the_first_answer),
        TEST(test_completed_fails),
        TEST(test_completed_then_stop),
        TEST(test_stop_while_completed_is_under_way),
        TEST(test_same_seed_same_trace),
        TEST(test_no_memory_for_an_answer),
        TEST(test_no_memory_to_ask),
        TEST(test_failure_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
