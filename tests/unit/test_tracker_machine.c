/*
 * One tracker, as a machine. Threats: answers of a forged source or with a guessed transaction id,
 * intervals that would make us hammer, connection ids past their time, refusals that never end,
 * bodies that are no tracker's.
 */
#include "proto/tracker/tracker.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/mem.h"
#include "wire/tracker_udp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define S ((uint64_t)SK_TRACKER_SECOND_NS)
#define CONNECTION 0x1122334455667788u
#define UDP_URL "udp://127.0.0.1:6969/announce"
#define HTTP_URL "http://tracker.test/announce"
#define HTTP_OK                                                                                    \
    "d8:completei3e10:incompletei4e8:intervali1800e5:peers6:\x7f\0\0\x01\x1a\xe1"                  \
    "e"

static struct sk_tracker *tracker;
static struct sk_prng prng;
static struct sk_tracker_out out;
static struct sk_udp_request request; /* the last packet that was sent */
static uint64_t now;

static int make(const char *url, bool scrape)
{
    struct sk_tracker_config config = {
        .url = url, .announce = {.port = 6881, .want = -1, .left = 5}, .scrape = scrape};
    memset(config.announce.info_hash, 'h', 20);
    sk_prng_init(&prng, 1);
    config.prng = &prng;
    now = 1000 * S;
    return sk_tracker_new(&config, &tracker);
}

static int teardown(void **state)
{
    sk_tracker_free(tracker);
    tracker = NULL;
    return 0;
}

static void take(enum sk_tracker_out_kind kind)
{
    assert_int_equal(1, sk_tracker_next_output(tracker, &out));
    assert_int_equal(kind, out.kind);
}

static void quiet(void)
{
    assert_int_equal(0, sk_tracker_next_output(tracker, &out));
}

static void take_failure(enum sk_tracker_ask ask, enum sk_tracker_failure failure)
{
    take(SK_TRACKER_OUT_RESULT);
    assert_int_equal(ask, out.result->ask);
    assert_int_equal(failure, out.result->failure);
    assert_null(out.result->announce);
}

/* Moves on to the deadline, which must be `seconds` from now. */
static void wait_s(uint64_t seconds)
{
    assert_int_equal(now + seconds * S, sk_tracker_deadline(tracker));
    sk_tracker_tick(tracker, now + seconds * S - 1);
    quiet();
    now += seconds * S;
    sk_tracker_tick(tracker, now);
}

static void take_packet(enum sk_udp_action action)
{
    take(SK_TRACKER_OUT_UDP_SEND);
    assert_int_equal(0, sk_tracker_udp_read_request(out.datagram, &request));
    assert_int_equal(action, request.action);
    if (action != SK_UDP_CONNECT)
        assert_true(request.connection == CONNECTION);
}

/* Hands the packet in buf over as from `from`; true where it was taken. */
static bool answer_from(const char *from, struct sk_buf *buf)
{
    struct sk_endpoint endpoint;
    assert_int_equal(0, sk_endpoint_parse(from, 0, &endpoint));
    bool taken = sk_tracker_input_udp(tracker, &endpoint, sk_buf_bytes(buf), now);
    sk_buf_deinit(buf);
    return taken;
}

static bool connected_from(const char *from, uint32_t transaction)
{
    struct sk_buf buf;
    sk_buf_init(&buf, 100);
    sk_tracker_udp_write_connected(&buf, transaction, CONNECTION);
    return answer_from(from, &buf);
}

static bool announced_from(const char *from, uint32_t transaction, uint32_t interval_s)
{
    struct sk_buf buf;
    struct sk_endpoint peer;
    struct sk_announce_answer answer = {
        .interval_s = interval_s, .seeds = 2, .leechers = 1, .peers = &peer, .peers_count = 1};
    sk_endpoint_parse(*from == '[' ? "[::1]:7" : "127.0.0.1:7", 0, &peer);
    sk_buf_init(&buf, 100);
    sk_tracker_udp_write_announced(&buf, transaction, (enum sk_family)peer.family, &answer);
    return answer_from(from, &buf);
}

static bool error_from(const char *from, uint32_t transaction, const char *text)
{
    struct sk_buf buf;
    sk_buf_init(&buf, 100);
    sk_tracker_udp_write_error(&buf, transaction, text);
    return answer_from(from, &buf);
}

/* A UDP tracker that was asked once and has answered with this interval. */
static void make_udp_announced(uint32_t interval_s)
{
    assert_int_equal(0, make(UDP_URL, false));
    sk_tracker_tick(tracker, now);
    take_packet(SK_UDP_CONNECT);
    assert_true(connected_from("127.0.0.1:6969", request.transaction));
    take_packet(SK_UDP_ANNOUNCE);
    assert_true(announced_from("127.0.0.1:6969", request.transaction, interval_s));
    take(SK_TRACKER_OUT_RESULT);
    quiet();
}

static void reply(unsigned status, const char *body, size_t n)
{
    sk_tracker_input_http(tracker, out.request, status, sk_bytes(body, n), now);
}
#define REPLY(status, body) reply(status, "" body, sizeof(body) - 1)

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

    sk_tracker_progress(tracker, 1, 2, 3);
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

static void test_udp_announces(void **state)
{
    char text[SK_ENDPOINT_TEXT_MAX];
    assert_int_equal(0, make("udp://127.0.0.1:6969/announce?key=1#part", false));
    sk_tracker_tick(tracker, now);
    take_packet(SK_UDP_CONNECT);
    assert_string_equal("127.0.0.1:6969", sk_endpoint_text(&out.to, text));
    quiet();
    assert_true(connected_from("127.0.0.1:6969", request.transaction));
    take_packet(SK_UDP_ANNOUNCE);
    assert_true(sk_bytes_is(request.url_data, "/announce?key=1"));
    assert_int_equal(SK_ANNOUNCE_STARTED, request.announce.event);
    assert_int_equal(6881, request.announce.port);
    assert_true(announced_from("127.0.0.1:6969", request.transaction, 1800));
    take(SK_TRACKER_OUT_RESULT);
    assert_int_equal(SK_TRACKER_ANSWERED, out.result->failure);
    assert_string_equal("127.0.0.1:6969", sk_endpoint_text(&out.result->from, text));
    assert_int_equal(2, out.result->announce->seeds);
    assert_int_equal(1, out.result->announce->peers_count);
    quiet();
    assert_int_equal(now + 1800 * S, sk_tracker_next_draw_ns(tracker));
    assert_false(announced_from("127.0.0.1:6969", request.transaction, 1)); /* a second copy */
    assert_int_equal(now + 1800 * S, sk_tracker_next_draw_ns(tracker));
}

static void test_udp_ignores_strangers(void **state)
{
    struct sk_buf buf;
    assert_int_equal(0, make(UDP_URL, false));
    sk_tracker_tick(tracker, now);
    assert_false(connected_from("127.0.0.1:6969", 0)); /* nothing was sent yet */
    take_packet(SK_UDP_CONNECT);
    assert_false(connected_from("127.0.0.1:6968", request.transaction));
    assert_false(connected_from("127.0.0.2:6969", request.transaction));
    assert_false(connected_from("[::1]:6969", request.transaction));
    assert_false(connected_from("127.0.0.1:6969", request.transaction + 1));
    assert_false(error_from("127.0.0.2:6969", request.transaction, "dead"));
    sk_buf_init(&buf, 100);
    sk_buf_append(&buf, "\0\0\0\0\0\0\0", 7);
    assert_false(answer_from("127.0.0.1:6969", &buf));
    quiet();
    uint32_t old = request.transaction;
    assert_true(connected_from("127.0.0.1:6969", request.transaction));
    take_packet(SK_UDP_ANNOUNCE);
    assert_int_not_equal(old, request.transaction);
    assert_false(announced_from("127.0.0.1:6969", old, 1));
    assert_false(announced_from("127.0.0.2:6969", request.transaction, 1));
    quiet();
}

static void test_udp_malformed_answers(void **state)
{
    static const struct {
        bool connected;
        uint32_t action;
        size_t n;
    } cases[] = {
        {false, SK_UDP_CONNECT, 15}, {false, SK_UDP_ANNOUNCE, 20}, {true, SK_UDP_ANNOUNCE, 19},
        {true, SK_UDP_CONNECT, 16},  {true, SK_UDP_SCRAPE, 20},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_buf buf;
        uint8_t packet[20] = {0};
        assert_int_equal(0, make(UDP_URL, false));
        sk_tracker_tick(tracker, now);
        take_packet(SK_UDP_CONNECT);
        if (cases[i].connected) {
            assert_true(connected_from("127.0.0.1:6969", request.transaction));
            take_packet(SK_UDP_ANNOUNCE);
        }
        sk_put_u32(packet, cases[i].action);
        sk_put_u32(packet + 4, request.transaction);
        sk_buf_init(&buf, 100);
        sk_buf_append(&buf, packet, cases[i].n);
        assert_true(answer_from("127.0.0.1:6969", &buf));
        take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_MALFORMED);
        assert_int_equal(now + 5 * S, sk_tracker_deadline(tracker));
        teardown(NULL);
    }
}

static void test_udp_silence(void **state)
{
    assert_int_equal(0, make(UDP_URL, false));
    sk_tracker_tick(tracker, now);
    take_packet(SK_UDP_CONNECT);
    uint32_t transaction = request.transaction;
    wait_s(3);
    take_packet(SK_UDP_CONNECT);
    assert_int_equal(transaction, request.transaction); /* an answer to either will do */
    wait_s(6);
    take_packet(SK_UDP_CONNECT);
    wait_s(12);
    take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_TIMEOUT);
    assert_int_equal(now - 21 * S, out.result->asked_ns);
    quiet();
    wait_s(5);
    take_packet(SK_UDP_CONNECT);
    assert_int_not_equal(transaction, request.transaction);
}

static void test_udp_lost_announce_is_sent_again(void **state)
{
    assert_int_equal(0, make(UDP_URL, false));
    sk_tracker_tick(tracker, now);
    take_packet(SK_UDP_CONNECT);
    assert_true(connected_from("127.0.0.1:6969", request.transaction));
    take_packet(SK_UDP_ANNOUNCE);
    wait_s(3);
    take_packet(SK_UDP_ANNOUNCE);
    assert_true(announced_from("127.0.0.1:6969", request.transaction, 9));
    take(SK_TRACKER_OUT_RESULT);
    assert_int_equal(SK_TRACKER_ANSWERED, out.result->failure);
}

static void test_udp_refusal(void **state)
{
    assert_int_equal(0, make(UDP_URL, true));
    sk_tracker_tick(tracker, now);
    take_packet(SK_UDP_CONNECT);
    assert_true(connected_from("127.0.0.1:6969", request.transaction));
    take_packet(SK_UDP_ANNOUNCE);
    assert_true(error_from("127.0.0.1:6969", request.transaction, "not \x1b[31m listed"));
    take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_REFUSED);
    assert_string_equal("not \x1b[31m listed", out.result->text);
    wait_s(5);
    take_packet(SK_UDP_ANNOUNCE); /* the connection id still holds */
}

static void test_udp_empty_answer_is_a_refusal(void **state)
{
    struct sk_buf buf;
    assert_int_equal(0, make(UDP_URL, false));
    sk_tracker_tick(tracker, now);
    take_packet(SK_UDP_CONNECT);
    assert_true(connected_from("127.0.0.1:6969", request.transaction));
    take_packet(SK_UDP_ANNOUNCE);
    sk_buf_init(&buf, 100);
    sk_tracker_udp_write_announced(&buf, request.transaction, SK_FAMILY_V4,
                                   &(struct sk_announce_answer){0});
    buf.n = 8;
    assert_true(answer_from("127.0.0.1:6969", &buf));
    take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_REFUSED);
    assert_string_equal("(no text)", out.result->text);
}

static void test_udp_connection_id_expires(void **state)
{
    make_udp_announced(30);
    wait_s(30);
    take_packet(SK_UDP_ANNOUNCE);
    assert_int_equal(SK_ANNOUNCE_NONE, request.announce.event);
    assert_true(announced_from("127.0.0.1:6969", request.transaction, 30));
    take(SK_TRACKER_OUT_RESULT);
    wait_s(30); /* 60 s after it was given */
    take_packet(SK_UDP_CONNECT);
}

static void test_udp_connection_id_forgotten_by_the_tracker(void **state)
{
    make_udp_announced(30);
    wait_s(30);
    take_packet(SK_UDP_ANNOUNCE);
    assert_true(error_from("127.0.0.1:6969", request.transaction, "connection id mismatch"));
    take_packet(SK_UDP_CONNECT);
    quiet();
    assert_true(connected_from("127.0.0.1:6969", request.transaction));
    take_packet(SK_UDP_ANNOUNCE);
    assert_true(error_from("127.0.0.1:6969", request.transaction, "connection id mismatch"));
    take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_REFUSED); /* once is enough */
}

static void test_udp_old_connection_id_met_with_silence(void **state)
{
    make_udp_announced(30);
    wait_s(30);
    take_packet(SK_UDP_ANNOUNCE);
    wait_s(3);
    take_packet(SK_UDP_CONNECT);
}

static void test_udp_scrape_on_the_same_connection(void **state)
{
    struct sk_buf buf;
    struct sk_scrape_answer answer = {.seeds = 5, .downloads = 6, .leechers = 7};
    assert_int_equal(0, make(UDP_URL, true));
    sk_tracker_tick(tracker, now);
    take_packet(SK_UDP_CONNECT);
    assert_true(connected_from("127.0.0.1:6969", request.transaction));
    take_packet(SK_UDP_ANNOUNCE);
    assert_true(announced_from("127.0.0.1:6969", request.transaction, 1800));
    take(SK_TRACKER_OUT_RESULT);
    assert_int_equal(SK_TRACKER_ANNOUNCE, out.result->ask);
    take_packet(SK_UDP_SCRAPE);
    assert_memory_equal("hhhhhhhhhhhhhhhhhhhh", request.info_hashes.p, 20);
    sk_buf_init(&buf, 100);
    sk_tracker_udp_write_scraped(&buf, request.transaction, &answer, 1);
    assert_true(answer_from("127.0.0.1:6969", &buf));
    take(SK_TRACKER_OUT_RESULT);
    assert_int_equal(SK_TRACKER_SCRAPE, out.result->ask);
    assert_int_equal(5, out.result->scrape.seeds);
    assert_int_equal(6, out.result->scrape.downloads);
    assert_int_equal(7, out.result->scrape.leechers);
    wait_s(1800);
    take_packet(SK_UDP_CONNECT);
}

static void test_udp_stop(void **state)
{
    make_udp_announced(1800);
    sk_tracker_stop(tracker, now + 59 * S);
    take_packet(SK_UDP_ANNOUNCE);
    assert_int_equal(SK_ANNOUNCE_STOPPED, request.announce.event);
    assert_int_equal(0, request.announce.want);
    now += 59 * S;
    wait_s(SK_TRACKER_STOP_WAIT_S);
    take_failure(SK_TRACKER_STOP, SK_TRACKER_TIMEOUT); /* sent once */
    quiet();
    assert_int_equal(SK_TRACKER_ENDED, sk_tracker_state(tracker));
}

static void test_udp_stop_after_the_connection_id_expired(void **state)
{
    make_udp_announced(1800);
    now += 60 * S;
    sk_tracker_stop(tracker, now);
    take_packet(SK_UDP_CONNECT);
    assert_true(connected_from("127.0.0.1:6969", request.transaction));
    take_packet(SK_UDP_ANNOUNCE);
    assert_int_equal(SK_ANNOUNCE_STOPPED, request.announce.event);
    assert_true(announced_from("127.0.0.1:6969", request.transaction, 1800));
    take(SK_TRACKER_OUT_RESULT);
    assert_int_equal(SK_TRACKER_STOP, out.result->ask);
    quiet();
    assert_int_equal(SK_TRACKER_ENDED, sk_tracker_state(tracker));
}

static void test_udp_stop_keeps_an_untaken_result(void **state)
{
    assert_int_equal(0, make(UDP_URL, false));
    sk_tracker_tick(tracker, now);
    take_packet(SK_UDP_CONNECT);
    assert_true(connected_from("127.0.0.1:6969", request.transaction));
    take_packet(SK_UDP_ANNOUNCE);
    assert_true(announced_from("127.0.0.1:6969", request.transaction, 1800));
    sk_tracker_stop(tracker, now);
    take(SK_TRACKER_OUT_RESULT);
    assert_int_equal(SK_TRACKER_ANNOUNCE, out.result->ask);
    assert_int_equal(1, out.result->announce->peers_count);
    take_packet(SK_UDP_ANNOUNCE);
    assert_int_equal(SK_ANNOUNCE_STOPPED, request.announce.event);
}

static void resolve(const char *a, const char *b)
{
    struct sk_endpoint found[2];
    size_t count = 0;
    if (a)
        assert_int_equal(0, sk_endpoint_parse(a, 1, &found[count++]));
    if (b)
        assert_int_equal(0, sk_endpoint_parse(b, 1, &found[count++]));
    sk_tracker_input_resolved(tracker, found, count, "no such name", now);
}

static void make_resolving(void)
{
    assert_int_equal(0, make("udp://tracker.test:6969", false));
    sk_tracker_tick(tracker, now);
    take(SK_TRACKER_OUT_RESOLVE);
    assert_string_equal("tracker.test", out.host);
    assert_int_equal(6969, out.port);
    quiet();
    assert_int_equal(SK_TRACKER_RESOLVING, sk_tracker_state(tracker));
}

static void test_udp_both_families(void **state)
{
    char text[SK_ENDPOINT_TEXT_MAX];
    make_resolving();
    now += S;
    resolve("::1", "127.0.0.1");
    take_packet(SK_UDP_CONNECT);
    assert_string_equal("127.0.0.1:6969", sk_endpoint_text(&out.to, text));
    uint32_t v4 = request.transaction;
    take_packet(SK_UDP_CONNECT);
    assert_string_equal("[::1]:6969", sk_endpoint_text(&out.to, text));
    assert_false(connected_from("127.0.0.1:6969", request.transaction));
    assert_true(connected_from("[::1]:6969", request.transaction));
    take_packet(SK_UDP_ANNOUNCE);
    assert_int_equal(0, request.url_data.n);
    assert_true(announced_from("[::1]:6969", request.transaction, 1800));
    take(SK_TRACKER_OUT_RESULT);
    assert_string_equal("[::1]:7", sk_endpoint_text(&out.result->announce->peers[0], text));
    /* The other address goes its own way; it neither holds up the draw nor hurries it. */
    assert_int_equal(now + 1800 * S, sk_tracker_next_draw_ns(tracker));
    assert_int_equal(SK_TRACKER_ANNOUNCING, sk_tracker_state(tracker));
    assert_true(error_from("127.0.0.1:6969", v4, "no"));
    take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_REFUSED);
    assert_int_equal(now + 1800 * S, sk_tracker_next_draw_ns(tracker));
    assert_int_equal(SK_TRACKER_WAITING, sk_tracker_state(tracker));
    wait_s(5);
    take_packet(SK_UDP_CONNECT);
    sk_tracker_stop(tracker, now);
    take_packet(SK_UDP_ANNOUNCE);
    assert_string_equal("[::1]:6969", sk_endpoint_text(&out.to, text));
    quiet();
}

static void test_udp_name_not_found(void **state)
{
    make_resolving();
    resolve(NULL, NULL);
    take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_UNRESOLVED);
    assert_string_equal("no such name", out.result->text);
    quiet();
    assert_int_equal(SK_TRACKER_FAILING, sk_tracker_state(tracker));
    assert_int_equal(now + 5 * S, sk_tracker_next_draw_ns(tracker));
    wait_s(5);
    take(SK_TRACKER_OUT_RESOLVE);
    resolve(NULL, NULL);
    take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_UNRESOLVED);
    wait_s(10);
    take(SK_TRACKER_OUT_RESOLVE);
    wait_s(20); /* a driver that never answers */
    take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_UNRESOLVED);
    resolve("127.0.0.1", NULL); /* at last */
    take_packet(SK_UDP_CONNECT);
    sk_tracker_stop(tracker, now);
    quiet();
    assert_int_equal(SK_TRACKER_ENDED, sk_tracker_state(tracker));
}

static void test_udp_stop_while_resolving(void **state)
{
    make_resolving();
    sk_tracker_stop(tracker, now);
    assert_int_equal(SK_TRACKER_ENDED, sk_tracker_state(tracker));
    assert_int_equal(SK_TIME_NEVER, sk_tracker_deadline(tracker));
    resolve("127.0.0.1", NULL);
    quiet();
}

static void test_udp_looks_the_name_up_again_once_all_fail(void **state)
{
    char text[SK_ENDPOINT_TEXT_MAX];
    struct sk_endpoint v4, v6;
    make_resolving();
    resolve("127.0.0.1", "::1");
    take_packet(SK_UDP_CONNECT);
    v4 = out.to;
    take_packet(SK_UDP_CONNECT);
    v6 = out.to;
    sk_tracker_input_unsent(tracker, &v6, "no route", now);
    take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_UNSENT);
    assert_string_equal("no route", out.result->text);
    sk_tracker_input_unsent(tracker, &v4, NULL, now);
    take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_UNSENT);
    wait_s(5);
    take(SK_TRACKER_OUT_RESOLVE);
    quiet();
    resolve("127.0.0.9", NULL);
    take_packet(SK_UDP_CONNECT);
    assert_string_equal("127.0.0.9:6969", sk_endpoint_text(&out.to, text));
    quiet();
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

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

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
        TEST(test_udp_announces),
        TEST(test_udp_ignores_strangers),
        TEST(test_udp_malformed_answers),
        TEST(test_udp_silence),
        TEST(test_udp_lost_announce_is_sent_again),
        TEST(test_udp_refusal),
        TEST(test_udp_empty_answer_is_a_refusal),
        TEST(test_udp_connection_id_expires),
        TEST(test_udp_connection_id_forgotten_by_the_tracker),
        TEST(test_udp_old_connection_id_met_with_silence),
        TEST(test_udp_scrape_on_the_same_connection),
        TEST(test_udp_stop),
        TEST(test_udp_stop_after_the_connection_id_expired),
        TEST(test_udp_stop_keeps_an_untaken_result),
        TEST(test_udp_both_families),
        TEST(test_udp_name_not_found),
        TEST(test_udp_stop_while_resolving),
        TEST(test_udp_looks_the_name_up_again_once_all_fail),
        TEST(test_same_seed_same_trace),
        TEST(test_no_memory_for_an_answer),
        TEST(test_no_memory_to_ask),
        TEST(test_failure_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
