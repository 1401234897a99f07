/*
 * UDP tracker packets, both sides. Threats: packets too short for what they claim to be, peers cut
 * in the middle, counts and intervals that are negative, options that point past the packet.
 */
#include "wire/tracker_udp.h"

#include <skep/err.h>

#include "base/assert.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define VIEW(text) sk_bytes("" text, sizeof(text) - 1)

static struct sk_buf buf;

static int setup(void **state)
{
    sk_buf_init(&buf, 4096);
    return 0;
}

static int teardown(void **state)
{
    sk_buf_deinit(&buf);
    return 0;
}

static struct sk_tracker_announce example(void)
{
    struct sk_tracker_announce announce = {.uploaded = 3,
                                           .downloaded = 1,
                                           .left = 0x0102030405060708,
                                           .event = SK_TRACKER_STARTED,
                                           .key = 0xdeadbeef,
                                           .want = -1,
                                           .port = 6881};
    memset(announce.info_hash, 'h', 20);
    memset(announce.peer_id, 'p', 20);
    return announce;
}

static void test_connect(void **state)
{
    struct sk_udp_request request;
    assert_int_equal(0, sk_tracker_udp_write_connect(&buf, 0x01020304));
    assert_true(
        sk_bytes_equal(sk_buf_bytes(&buf), VIEW("\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0\1\2\3\4")));
    assert_int_equal(0, sk_tracker_udp_read_request(sk_buf_bytes(&buf), &request));
    assert_int_equal(SK_UDP_CONNECT, request.action);
    assert_int_equal(0x01020304, request.transaction);

    struct sk_udp_head head;
    uint64_t connection = 0;
    buf.n = 0;
    assert_int_equal(0, sk_tracker_udp_write_connected(&buf, 9, 0x1122334455667788));
    assert_int_equal(16, buf.n);
    assert_int_equal(0, sk_tracker_udp_read_head(sk_buf_bytes(&buf), &head));
    assert_int_equal(SK_UDP_CONNECT, head.action);
    assert_int_equal(9, head.transaction);
    assert_int_equal(0, sk_tracker_udp_read_connect(sk_buf_bytes(&buf), &connection));
    assert_true(connection == 0x1122334455667788);
    assert_int_equal(SKEP_ERR_MALFORMED,
                     sk_tracker_udp_read_connect(sk_bytes(buf.p, 15), &connection));
}

static void test_announce_request_bytes(void **state)
{
    struct sk_tracker_announce announce = example();
    static const char expected[] = "\0\0\0\0\0\0\0\x05\0\0\0\1\0\0\0\x07"
                                   "hhhhhhhhhhhhhhhhhhhhpppppppppppppppppppp"
                                   "\0\0\0\0\0\0\0\1\1\2\3\4\5\6\7\x08\0\0\0\0\0\0\0\3"
                                   "\0\0\0\2\0\0\0\0\xde\xad\xbe\xef\xff\xff\xff\xff\x1a\xe1";
    assert_int_equal(0, sk_tracker_udp_write_announce(&buf, 5, 7, &announce, sk_bytes(NULL, 0)));
    assert_int_equal(98, buf.n);
    assert_memory_equal(expected, buf.p, 98);

    struct sk_udp_request request;
    assert_int_equal(0, sk_tracker_udp_read_request(sk_buf_bytes(&buf), &request));
    assert_int_equal(SK_UDP_ANNOUNCE, request.action);
    assert_int_equal(5, request.connection);
    assert_int_equal(0, request.url_data.n);
    assert_memory_equal("\0\0\0\0", request.ip, 4);
    assert_memory_equal(announce.info_hash, request.announce.info_hash, 20);
    assert_memory_equal(announce.peer_id, request.announce.peer_id, 20);
    assert_true(request.announce.left == announce.left);
    assert_true(request.announce.uploaded == 3 && request.announce.downloaded == 1);
    assert_int_equal(SK_TRACKER_STARTED, request.announce.event);
    assert_int_equal(0xdeadbeef, request.announce.key);
    assert_int_equal(-1, request.announce.want);
    assert_int_equal(6881, request.announce.port);
}

static void test_left_unknown_is_not_a_seed(void **state)
{
    struct sk_tracker_announce announce = example();
    struct sk_udp_request request;
    announce.left = UINT64_MAX;
    assert_int_equal(0, sk_tracker_udp_write_announce(&buf, 5, 7, &announce, sk_bytes(NULL, 0)));
    assert_int_equal(0, sk_tracker_udp_read_request(sk_buf_bytes(&buf), &request));
    assert_int_equal(SK_ANNOUNCE_LEFT_UNKNOWN, request.announce.left);
}

static void test_url_data(void **state)
{
    struct sk_tracker_announce announce = example();
    struct sk_udp_request request;
    char path[600];
    memset(path, 'x', sizeof path);
    assert_int_equal(
        0, sk_tracker_udp_write_announce(&buf, 5, 7, &announce, sk_bytes_text("/dir?a=b&c=d")));
    assert_memory_equal("\x02\x0c/dir?a=b&c=d", buf.p + 98, 14);
    assert_int_equal(98 + 14, buf.n);
    assert_int_equal(0, sk_tracker_udp_read_request(sk_buf_bytes(&buf), &request));
    assert_true(sk_bytes_is(request.url_data, "/dir?a=b&c=d"));

    buf.n = 0; /* longer than one option holds */
    assert_int_equal(0, sk_tracker_udp_write_announce(&buf, 5, 7, &announce, sk_bytes(path, 600)));
    assert_int_equal(98 + 3 * 2 + 600, buf.n);
    assert_memory_equal("\x02\xff", buf.p + 98, 2);
    assert_memory_equal("\x02\xff", buf.p + 98 + 257, 2);
    assert_memory_equal("\x02\x5a", buf.p + 98 + 514, 2);
}

static void test_options_of_strangers(void **state)
{
    static const struct {
        const char *options;
        size_t n;
        const char *url;
    } cases[] = {
        {"\x01\x01\x02\x01/", 5, "/"}, {"\x00\x02\x01/", 4, ""},
        {"\x02\x05/", 3, ""},          {"\x02", 1, ""},
        {"\x02\x00", 2, ""},           {"\x09\x02zz\x02\x01/", 7, "/"},
        {"\x09\xff\x02\x01/", 5, ""},  {"\xff\x00\x02\x00", 4, ""},
    };
    struct sk_tracker_announce announce = example();
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_udp_request request;
        buf.n = 0;
        sk_tracker_udp_write_announce(&buf, 5, 7, &announce, sk_bytes(NULL, 0));
        sk_buf_append(&buf, cases[i].options, cases[i].n);
        assert_int_equal(0, sk_tracker_udp_read_request(sk_buf_bytes(&buf), &request));
        assert_true(sk_bytes_is(request.url_data, cases[i].url));
    }
}

static void test_request_truncations(void **state)
{
    struct sk_tracker_announce announce = example();
    struct sk_udp_request request = {.transaction = 77};
    sk_tracker_udp_write_announce(&buf, 5, 7, &announce, sk_bytes(NULL, 0));
    for (size_t n = 0; n < buf.n; n++) {
        assert_int_equal(SKEP_ERR_MALFORMED,
                         sk_tracker_udp_read_request(sk_bytes(buf.p, n), &request));
        assert_int_equal(77, request.transaction);
    }
    sk_put_u32(buf.p + 8, SK_UDP_ERROR);
    assert_int_equal(SKEP_ERR_MALFORMED, sk_tracker_udp_read_request(sk_buf_bytes(&buf), &request));
    sk_put_u32(buf.p + 8, SK_UDP_CONNECT); /* without the magic */
    assert_int_equal(SKEP_ERR_MALFORMED, sk_tracker_udp_read_request(sk_buf_bytes(&buf), &request));
}

static void test_request_odd_values(void **state)
{
    struct sk_tracker_announce announce = example();
    struct sk_udp_request request;
    sk_tracker_udp_write_announce(&buf, 5, 7, &announce, sk_bytes(NULL, 0));
    sk_put_u32(buf.p + 80, 4);
    sk_put_u32(buf.p + 92, 0x80000000);
    memcpy(buf.p + 84, "\x0a\0\0\x01", 4);
    assert_int_equal(0, sk_tracker_udp_read_request(sk_buf_bytes(&buf), &request));
    assert_int_equal(SK_TRACKER_NONE, request.announce.event);
    assert_int_equal(-1, request.announce.want);
    assert_memory_equal("\x0a\0\0\x01", request.ip, 4);
}

static void test_scrape(void **state)
{
    uint8_t hash[20] = "aaaaaaaaaaaaaaaaaaa";
    struct sk_udp_request request;
    assert_int_equal(0, sk_tracker_udp_write_scrape(&buf, 5, 7, hash));
    assert_int_equal(36, buf.n);
    assert_int_equal(SKEP_ERR_MALFORMED,
                     sk_tracker_udp_read_request(sk_bytes(buf.p, 35), &request));
    for (int i = 0; i < 80; i++)
        sk_buf_append(&buf, hash, 20);
    assert_int_equal(0, sk_tracker_udp_read_request(sk_buf_bytes(&buf), &request));
    assert_int_equal(20 * SK_UDP_SCRAPE_MAX, request.info_hashes.n);
    assert_memory_equal(hash, request.info_hashes.p, 20);

    struct sk_scrape_answer answers[2] = {{.seeds = 1, .downloads = 2, .leechers = 3},
                                          {.seeds = -1, .downloads = INT64_MAX, .leechers = 0}};
    struct sk_scrape_answer back = {.seeds = 77};
    buf.n = 0;
    assert_int_equal(0, sk_tracker_udp_write_scraped(&buf, 7, answers, 2));
    assert_int_equal(8 + 24, buf.n);
    for (size_t n = 0; n < 20; n++)
        assert_int_equal(SKEP_ERR_MALFORMED, sk_tracker_udp_read_scrape(sk_bytes(buf.p, n), &back));
    assert_int_equal(77, back.seeds);
    assert_int_equal(0, sk_tracker_udp_read_scrape(sk_buf_bytes(&buf), &back));
    assert_int_equal(1, back.seeds);
    assert_int_equal(2, back.downloads);
    assert_int_equal(3, back.leechers);
    assert_memory_equal("\0\0\0\0\x7f\xff\xff\xff\0\0\0\0", buf.p + 20, 12);
    assert_string_equal("", back.failure);
}

static void test_announced(void **state)
{
    struct sk_endpoint peers[3];
    struct sk_announce_answer answer, back;
    sk_announce_answer_init(&answer);
    assert_int_equal(0, sk_endpoint_parse("127.0.0.1:1", 0, &peers[0]));
    assert_int_equal(0, sk_endpoint_parse("[::1]:2", 0, &peers[1]));
    assert_int_equal(0, sk_endpoint_parse("127.0.0.2:3", 0, &peers[2]));
    answer.peers = peers, answer.peers_count = 3;
    answer.interval_s = 1800, answer.seeds = 4, answer.leechers = 5;
    assert_int_equal(0, sk_tracker_udp_write_announced(&buf, 7, SK_FAMILY_V4, &answer));
    assert_int_equal(20 + 12, buf.n);
    for (size_t n = 20; n <= buf.n; n++) { /* cut in the middle of a peer: the tail is lost */
        assert_int_equal(0, sk_tracker_udp_read_announce(sk_bytes(buf.p, n), SK_FAMILY_V4, &back));
        assert_int_equal((n - 20) / 6, back.peers_count);
        sk_announce_answer_deinit(&back);
    }
    assert_int_equal(0, sk_tracker_udp_read_announce(sk_buf_bytes(&buf), SK_FAMILY_V4, &back));
    assert_int_equal(1800, back.interval_s);
    assert_int_equal(4, back.seeds);
    assert_int_equal(5, back.leechers);
    assert_int_equal(-1, back.downloads);
    assert_true(sk_endpoint_equal(&peers[2], &back.peers[1]));
    sk_announce_answer_deinit(&back);

    buf.n = 0;
    assert_int_equal(0, sk_tracker_udp_write_announced(&buf, 7, SK_FAMILY_V6, &answer));
    assert_int_equal(20 + 18, buf.n);
    assert_int_equal(0, sk_tracker_udp_read_announce(sk_buf_bytes(&buf), SK_FAMILY_V6, &back));
    assert_int_equal(1, back.peers_count);
    assert_true(sk_endpoint_equal(&peers[1], &back.peers[0]));
    sk_announce_answer_deinit(&back);
}

static void test_announced_negative_numbers(void **state)
{
    struct sk_announce_answer answer = {.interval_s = 77};
    struct sk_bytes packet = VIEW("\0\0\0\1\0\0\0\7\xff\xff\xff\xff\x80\0\0\0\x7f\xff\xff\xff");
    assert_int_equal(0, sk_tracker_udp_read_announce(packet, SK_FAMILY_V4, &answer));
    assert_int_equal(0, answer.interval_s);
    assert_int_equal(-1, answer.leechers);
    assert_int_equal(INT32_MAX, answer.seeds);
    assert_int_equal(0, answer.peers_count);
    answer.interval_s = 77;
    for (size_t n = 0; n < 20; n++)
        assert_int_equal(SKEP_ERR_MALFORMED, sk_tracker_udp_read_announce(sk_bytes(packet.p, n),
                                                                          SK_FAMILY_V4, &answer));
    assert_int_equal(77, answer.interval_s);
}

static void test_announced_more_peers_than_allowed(void **state)
{
    struct sk_announce_answer answer;
    struct sk_buf big;
    sk_buf_init(&big, 1 << 20);
    sk_buf_append(&big, "\0\0\0\1\0\0\0\7\0\0\0\1\0\0\0\1\0\0\0\1", 20);
    for (int i = 0; i < SK_TRACKER_PEERS_MAX + 1; i++)
        sk_buf_append(&big, "\x7f\0\0\1\0\1", 6);
    assert_int_equal(0, sk_tracker_udp_read_announce(sk_buf_bytes(&big), SK_FAMILY_V4, &answer));
    assert_int_equal(SK_TRACKER_PEERS_MAX, answer.peers_count);
    sk_announce_answer_deinit(&answer);
    sk_buf_deinit(&big);
}

static void test_error(void **state)
{
    char text[SK_TRACKER_TEXT_MAX];
    struct sk_udp_head head;
    assert_int_equal(0, sk_tracker_udp_write_error(&buf, 7, "torrent not listed"));
    assert_int_equal(0, sk_tracker_udp_read_head(sk_buf_bytes(&buf), &head));
    assert_int_equal(SK_UDP_ERROR, head.action);
    assert_int_equal(0, sk_tracker_udp_read_error(sk_buf_bytes(&buf), text));
    assert_string_equal("torrent not listed", text);
    assert_int_equal(0, sk_tracker_udp_read_error(sk_bytes(buf.p, 8), text));
    assert_string_equal("(no text)", text);
    assert_int_equal(SKEP_ERR_MALFORMED, sk_tracker_udp_read_error(sk_bytes(buf.p, 7), text));
    for (int i = 0; i < 1000; i++)
        sk_buf_append(&buf, "\x1b\0", 2);
    assert_int_equal(0, sk_tracker_udp_read_error(sk_buf_bytes(&buf), text));
    assert_int_equal(SK_TRACKER_TEXT_MAX - 1, strlen(text));
}

static void test_head(void **state)
{
    struct sk_udp_head head = {.transaction = 77};
    struct sk_bytes packet = VIEW("\0\0\0\3\1\2\3\4");
    for (size_t n = 0; n < 8; n++)
        assert_int_equal(SKEP_ERR_MALFORMED,
                         sk_tracker_udp_read_head(sk_bytes(packet.p, n), &head));
    assert_int_equal(SKEP_ERR_MALFORMED, sk_tracker_udp_read_head(VIEW("\0\0\0\4\1\2\3\4"), &head));
    assert_int_equal(SKEP_ERR_MALFORMED, sk_tracker_udp_read_head(VIEW("\1\0\0\1\1\2\3\4"), &head));
    assert_int_equal(77, head.transaction);
    assert_int_equal(0, sk_tracker_udp_read_head(packet, &head));
    assert_int_equal(0x01020304, head.transaction);
}

static void test_packets_that_do_not_fit(void **state)
{
    struct sk_tracker_announce announce = example();
    buf.max = 50;
    assert_true(sk_tracker_udp_write_announce(&buf, 5, 7, &announce, sk_bytes(NULL, 0)) < 0);
    assert_true(buf.failed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_connect),
        TEST(test_announce_request_bytes),
        TEST(test_left_unknown_is_not_a_seed),
        TEST(test_url_data),
        TEST(test_options_of_strangers),
        TEST(test_request_truncations),
        TEST(test_request_odd_values),
        TEST(test_scrape),
        TEST(test_announced),
        TEST(test_announced_negative_numbers),
        TEST(test_announced_more_peers_than_allowed),
        TEST(test_error),
        TEST(test_head),
        TEST(test_packets_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
