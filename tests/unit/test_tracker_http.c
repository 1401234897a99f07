/*
 * HTTP tracker texts. Threats: oversized counts, negative intervals, truncated peers, dictionaries
 * without sorted keys, names in place of addresses, failure texts with escape sequences.
 */
#include "wire/tracker_http.h"

#include <skep/err.h>

#include "base/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct sk_tracker_announce example(void)
{
    struct sk_tracker_announce announce = {.uploaded = 1,
                                           .downloaded = 2,
                                           .left = 3,
                                           .event = SK_TRACKER_STARTED,
                                           .key = 0xbeef,
                                           .want = 200,
                                           .port = 6881};
    for (int i = 0; i < 20; i++)
        announce.info_hash[i] = (uint8_t)(i * 13);
    memcpy(announce.peer_id, "-SK0100-abcdefghi~._", 20);
    return announce;
}

#define EXAMPLE_QUERY                                                                              \
    "info_hash=%00%0D%1A%274AN%5Bhu%82%8F%9C%A9%B6%C3%D0%DD%EA%F7&peer_id=-SK0100-abcdefghi~._"    \
    "&port=6881&uploaded=1&downloaded=2&left=3&compact=1&no_peer_id=1&key=0000beef&numwant=200"    \
    "&event=started"

static void test_announce_url(void **state)
{
    static const char *const cases[][2] = {
        {"http://t/announce", "http://t/announce?"},
        {"http://t/announce?passkey=x", "http://t/announce?passkey=x&"},
        {"http://t/announce?", "http://t/announce?"},
        {"http://t/announce?a=b&#part", "http://t/announce?a=b&"},
    };
    struct sk_tracker_announce announce = example();
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        char expected[512];
        struct sk_buf buf;
        sk_buf_init(&buf, 4096);
        assert_int_equal(0, sk_tracker_http_announce_url(&buf, cases[i][0], &announce));
        snprintf(expected, sizeof expected, "%s%s", cases[i][1],
                 "info_hash=%00%0D%1A%274AN%5Bhu%82%8F%9C%A9%B6%C3%D0%DD%EA%F7");
        assert_memory_equal(expected, buf.p, strlen(expected));
        assert_int_equal(strlen((char *)buf.p), buf.n);
        assert_string_equal(EXAMPLE_QUERY, (char *)buf.p + strlen(cases[i][1]));
        sk_buf_deinit(&buf);
    }
}

static void test_announce_url_optional_parts(void **state)
{
    struct sk_tracker_announce announce = example();
    struct sk_buf buf;
    sk_buf_init(&buf, 4096);
    announce.event = SK_TRACKER_NONE;
    announce.want = -1;
    announce.left = UINT64_MAX;
    announce.tracker_id = sk_bytes_text("a&b=c");
    assert_int_equal(0, sk_tracker_http_announce_url(&buf, "http://t/a", &announce));
    assert_null(strstr((char *)buf.p, "numwant"));
    assert_null(strstr((char *)buf.p, "event"));
    assert_non_null(strstr((char *)buf.p, "&left=16384&"));
    assert_non_null(strstr((char *)buf.p, "&trackerid=a%26b%3Dc"));
    sk_buf_deinit(&buf);
    static const struct {
        enum sk_tracker_event event;
        const char *said;
    } events[] = {{SK_TRACKER_NONE, "&event=paused"},
                  {SK_TRACKER_STARTED, "&event=started"},
                  {SK_TRACKER_STOPPED, "&event=stopped"}};
    announce.partial_seed = true;
    for (size_t i = 0; i < SK_ARRAY_LEN(events); i++) {
        announce.event = events[i].event;
        sk_buf_init(&buf, 4096);
        assert_int_equal(0, sk_tracker_http_announce_url(&buf, "http://t/a", &announce));
        assert_non_null(strstr((char *)buf.p, events[i].said));
        sk_buf_deinit(&buf);
    }
    sk_buf_init(&buf, 100);
    assert_true(sk_tracker_http_announce_url(&buf, "http://t/a", &announce) < 0);
    sk_buf_deinit(&buf);
}

static void test_scrape_url(void **state)
{
    static const struct {
        const char *url, *scrape; /* up to the hash; NULL = unsupported */
    } cases[] = {
        {"http://t/announce", "http://t/scrape?info_hash="},
        {"http://t/x/announce", "http://t/x/scrape?info_hash="},
        {"http://t/announce.php", "http://t/scrape.php?info_hash="},
        {"http://t/announce?x2%0644", "http://t/scrape?x2%0644&info_hash="},
        {"http://t/announce#a", "http://t/scrape?info_hash="},
        {"http://t/a", NULL},
        {"http://t/announce?x=2/4", "http://t/scrape?x=2/4&info_hash="},
        {"http://t/x?/announce", NULL},
        {"http://announce", NULL},
        {"http://announce.t/x", NULL},
        {"http://t/announce/", NULL},
        {"http://t/x%064announce", NULL},
    };
    uint8_t hash[20] = "aaaaaaaaaaaaaaaaaaa/";
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_buf buf;
        sk_buf_init(&buf, 4096);
        int err = sk_tracker_http_scrape_url(&buf, cases[i].url, hash);
        if (!cases[i].scrape) {
            assert_int_equal(SKEP_ERR_UNSUPPORTED, err);
            assert_int_equal(0, buf.n);
        } else {
            char expected[256];
            snprintf(expected, sizeof expected, "%saaaaaaaaaaaaaaaaaaa%%2F", cases[i].scrape);
            assert_int_equal(0, err);
            assert_string_equal(expected, (char *)buf.p);
        }
        sk_buf_deinit(&buf);
    }
}

static int read_announce(const char *body, size_t n, struct sk_announce_answer *ret_answer)
{
    return sk_tracker_http_read_announce(sk_bytes(body, n), ret_answer);
}
#define READ(body, ret) read_announce("" body, sizeof(body) - 1, ret)

static void assert_peer(const struct sk_announce_answer *answer, size_t i, const char *expected)
{
    char text[SK_ENDPOINT_TEXT_MAX];
    assert_true(i < answer->peers_count);
    assert_string_equal(expected, sk_endpoint_text(&answer->peers[i], text));
}

static void test_reads_compact_answer(void **state)
{
    struct sk_announce_answer answer;
    assert_int_equal(0, READ("d8:completei5e10:downloadedi50e11:external ip4:\x0a\0\0\x01"
                             "10:incompletei7e8:intervali1800e12:min intervali60e"
                             "5:peers12:\x7f\0\0\x01\x1a\xe1\x0a\x63\0\x02\0\x50"
                             "6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1"
                             "10:tracker id3:xyz15:warning message2:hme",
                             &answer));
    assert_int_equal(1800, answer.interval_s);
    assert_int_equal(60, answer.min_interval_s);
    assert_int_equal(5, answer.seeds);
    assert_int_equal(7, answer.leechers);
    assert_int_equal(50, answer.downloads);
    assert_int_equal(3, answer.peers_count);
    assert_peer(&answer, 0, "127.0.0.1:6881");
    assert_peer(&answer, 1, "10.99.0.2:80");
    assert_peer(&answer, 2, "[2001:db8::1]:6881");
    assert_string_equal("xyz", answer.tracker_id);
    assert_string_equal("hm", answer.warning);
    assert_string_equal("", answer.failure);
    char text[SK_ENDPOINT_TEXT_MAX];
    assert_string_equal("10.0.0.1:0", sk_endpoint_text(&answer.external, text));
    sk_announce_answer_deinit(&answer);
    assert_null(answer.peers);
}

static void test_nothing_said_is_unknown(void **state)
{
    struct sk_announce_answer answer;
    assert_int_equal(0, READ("de", &answer));
    assert_int_equal(-1, answer.seeds);
    assert_int_equal(-1, answer.leechers);
    assert_int_equal(-1, answer.downloads);
    assert_int_equal(0, answer.interval_s);
    assert_int_equal(0, answer.peers_count);
    assert_int_equal(SK_FAMILY_NONE, answer.external.family);
    sk_announce_answer_deinit(&answer);
}

static void test_unsorted_keys_and_white_space_after(void **state)
{
    struct sk_announce_answer answer;
    assert_int_equal(0, READ("d5:peers6:\x7f\0\0\x01\0\x01"
                             "8:intervali9e8:completei1ee\r\n",
                             &answer));
    assert_int_equal(9, answer.interval_s);
    assert_int_equal(1, answer.peers_count);
    sk_announce_answer_deinit(&answer);
}

static void test_list_of_dictionaries(void **state)
{
    struct sk_announce_answer answer;
    assert_int_equal(0, READ("d8:intervali9e5:peersl"
                             "d2:ip9:127.0.0.17:peer id20:aaaaaaaaaaaaaaaaaaaa4:porti6881ee"
                             "d2:ip11:example.com4:porti1ee"
                             "d2:ip11:2001:db8::14:porti2ee"
                             "d2:ip13:[2001:db8::1]4:porti3ee"
                             "d2:ip11:127.0.0.1:54:porti3ee"
                             "d2:ip0:4:porti3ee"
                             "d2:ip9:127.0.0.14:porti-1ee"
                             "d2:ip9:127.0.0.14:porti65536ee"
                             "d2:ip9:127.0.0.1e"
                             "i7e4:text"
                             "d2:ip9:127.0.0.24:porti65535ee"
                             "ee",
                             &answer));
    assert_int_equal(4, answer.peers_count);
    assert_peer(&answer, 0, "127.0.0.1:6881");
    assert_peer(&answer, 1, "[2001:db8::1]:2");
    assert_peer(&answer, 2, "[2001:db8::1]:3");
    assert_peer(&answer, 3, "127.0.0.2:65535");
    assert_int_equal(2, answer.names_skipped);
    sk_announce_answer_deinit(&answer);
}

static void test_truncated_peers_lose_the_tail(void **state)
{
    struct sk_announce_answer answer;
    assert_int_equal(0, READ("d5:peers11:\x7f\0\0\x01\x1a\xe1\x0a\x63\0\x02\0e", &answer));
    assert_int_equal(1, answer.peers_count);
    sk_announce_answer_deinit(&answer);
}

static void test_numbers_out_of_range(void **state)
{
    struct sk_announce_answer answer;
    assert_int_equal(0, READ("d8:completei-5e10:incompletei9223372036854775807e8:intervali-1800e"
                             "12:min intervali9223372036854775807ee",
                             &answer));
    assert_int_equal(-1, answer.seeds);
    assert_true(answer.leechers == INT64_MAX);
    assert_int_equal(0, answer.interval_s);
    assert_int_equal(UINT32_MAX - 1, answer.min_interval_s);
    sk_announce_answer_deinit(&answer);
    assert_int_equal(SKEP_ERR_MALFORMED, READ("d8:intervali99999999999999999999ee", &answer));
}

static void test_wrong_types_are_not_said(void **state)
{
    struct sk_announce_answer answer;
    assert_int_equal(0, READ("d8:completele11:external ip3:abc8:interval2:605:peersi5e"
                             "6:peers6d1:a1:be10:tracker idi5ee",
                             &answer));
    assert_int_equal(-1, answer.seeds);
    assert_int_equal(0, answer.interval_s);
    assert_int_equal(0, answer.peers_count);
    assert_int_equal(SK_FAMILY_NONE, answer.external.family);
    assert_string_equal("", answer.tracker_id);
    sk_announce_answer_deinit(&answer);
}

static void test_failures(void **state)
{
    static const struct {
        const char *body, *failure;
        uint32_t retry_s;
    } cases[] = {
        {"d14:failure reason10:Overloaded8:retry in1:5e", "Overloaded", 300},
        {"d14:failure reason10:Overloaded8:retry ini5ee", "Overloaded", 300},
        {"d14:failure reason13:Not a tracker8:retry in5:nevere", "Not a tracker", UINT32_MAX},
        {"d14:failure reason1:x8:retry ini-5ee", "x", 0},
        {"d14:failure reason1:x8:retry ini9223372036854775807ee", "x", 4294967280u},
        {"d14:failure reason1:x8:retry in30:999999999999999999999999999999e", "x", 4294967280u},
        {"d14:failure reason1:x8:retry in5:x5mine", "x", 0},
        {"d14:failure reason0:e", "(no text)", 0},
        {"d14:failure reasoni7ee", "(no text)", 0},
        {"d14:failure reason11:\x1b[2Jred\x07\r\n\te", "\x1b[2Jred\x07\r\n\t", 0},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_announce_answer answer;
        assert_int_equal(0, read_announce(cases[i].body, strlen(cases[i].body), &answer));
        assert_string_equal(cases[i].failure, answer.failure);
        assert_int_equal(cases[i].retry_s, answer.retry_s);
        sk_announce_answer_deinit(&answer);
    }
}

static void test_long_text_and_nul_inside(void **state)
{
    struct sk_announce_answer answer;
    struct sk_buf buf;
    sk_buf_init(&buf, 8192);
    sk_buf_text(&buf, "d14:failure reason4000:a");
    sk_buf_append(&buf, "\0", 1);
    for (int i = 0; i < 3998; i++)
        sk_buf_text(&buf, "b");
    sk_buf_text(&buf, "e");
    assert_int_equal(0, sk_tracker_http_read_announce(sk_buf_bytes(&buf), &answer));
    assert_int_equal(SK_TRACKER_TEXT_MAX - 1, strlen(answer.failure));
    assert_memory_equal("a bbb", answer.failure, 5);
    sk_announce_answer_deinit(&answer);
    sk_buf_deinit(&buf);
}

static void test_long_tracker_id_is_dropped(void **state)
{
    struct sk_announce_answer answer;
    char body[256];
    snprintf(body, sizeof body, "d10:tracker id128:%0128de", 0);
    assert_int_equal(0, read_announce(body, strlen(body), &answer));
    assert_string_equal("", answer.tracker_id);
    sk_announce_answer_deinit(&answer);
}

static void test_more_peers_than_allowed(void **state)
{
    struct sk_announce_answer answer;
    struct sk_buf buf;
    sk_buf_init(&buf, 4 << 20);
    sk_buf_printf(&buf, "d5:peers%d:", (SK_TRACKER_PEERS_MAX + 5) * 6);
    for (int i = 0; i < SK_TRACKER_PEERS_MAX + 5; i++)
        sk_buf_append(&buf, "\x7f\0\0\x01\x1a\xe1", 6);
    sk_buf_text(&buf, "6:peers618:aaaaaaaaaaaaaaaaaae");
    assert_int_equal(0, sk_tracker_http_read_announce(sk_buf_bytes(&buf), &answer));
    assert_int_equal(SK_TRACKER_PEERS_MAX, answer.peers_count);
    sk_announce_answer_deinit(&answer);
    buf.n = 0;
    sk_buf_text(&buf, "d5:peersl");
    for (int i = 0; i < SK_TRACKER_PEERS_MAX + 5; i++)
        sk_buf_text(&buf, "d2:ip9:127.0.0.14:porti1ee");
    sk_buf_text(&buf, "ee");
    assert_int_equal(0, sk_tracker_http_read_announce(sk_buf_bytes(&buf), &answer));
    assert_int_equal(SK_TRACKER_PEERS_MAX, answer.peers_count);
    sk_announce_answer_deinit(&answer);
    sk_buf_deinit(&buf);
}

static void test_no_tracker_at_all(void **state)
{
    static const char *const bad[] = {
        "",      " \n",          "<html>404</html>", "le", "i5e", "3:abc", "d", "d5:peers100:abce",
        "dei5e", "d5:peers-1:e", "d8:intervali03ee",
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(bad); i++) {
        struct sk_announce_answer answer = {.interval_s = 77};
        struct sk_scrape_answer scrape = {.seeds = 77};
        assert_int_equal(SKEP_ERR_MALFORMED, read_announce(bad[i], strlen(bad[i]), &answer));
        assert_int_equal(77, answer.interval_s);
        assert_int_equal(SKEP_ERR_MALFORMED, sk_tracker_http_read_scrape(
                                                 sk_bytes_text(bad[i]),
                                                 (const uint8_t *)"aaaaaaaaaaaaaaaaaaaa", &scrape));
        assert_int_equal(77, scrape.seeds);
    }
}

static void test_every_truncation_is_malformed(void **state)
{
    static const char body[] = "d8:completei5e8:intervali1800e5:peers6:abcdef6:peers60:e";
    for (size_t n = 0; n < sizeof body - 1; n++) {
        struct sk_announce_answer answer;
        assert_int_equal(SKEP_ERR_MALFORMED, read_announce(body, n, &answer));
    }
}

static void test_scrape(void **state)
{
    static const struct {
        const char *body;
        int64_t seeds, downloads, leechers;
        const char *failure;
    } cases[] = {
        {"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1ee"
         "20:bbbbbbbbbbbbbbbbbbbbd8:completei2e10:downloadedi3e10:incompletei4eeee",
         2, 3, 4, ""},
        {"d5:filesd20:bbbbbbbbbbbbbbbbbbbbd8:completei-2eeee", -1, -1, -1, ""},
        {"d5:filesdee", -1, -1, -1, ""},
        {"d5:filesd20:bbbbbbbbbbbbbbbbbbbbi5eee", -1, -1, -1, ""},
        {"d5:filesd1:bd8:completei2eeee", -1, -1, -1, ""},
        {"d14:failure reason2:noe", -1, -1, -1, "no"},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_scrape_answer answer;
        assert_int_equal(0, sk_tracker_http_read_scrape(sk_bytes_text(cases[i].body),
                                                        (const uint8_t *)"bbbbbbbbbbbbbbbbbbbb",
                                                        &answer));
        assert_int_equal(cases[i].seeds, answer.seeds);
        assert_int_equal(cases[i].downloads, answer.downloads);
        assert_int_equal(cases[i].leechers, answer.leechers);
        assert_string_equal(cases[i].failure, answer.failure);
    }
    struct sk_scrape_answer answer;
    assert_int_equal(SKEP_ERR_MALFORMED,
                     sk_tracker_http_read_scrape(sk_bytes_text("d1:a1:be"),
                                                 (const uint8_t *)"bbbbbbbbbbbbbbbbbbbb", &answer));
}

static void test_query_reads_what_the_url_says(void **state)
{
    struct sk_tracker_announce expected = example(), announce;
    bool compact = false;
    assert_int_equal(0,
                     sk_tracker_http_read_query(sk_bytes_text(EXAMPLE_QUERY), &announce, &compact));
    assert_true(compact);
    expected.has_key = true;
    assert_memory_equal(&expected, &announce, sizeof announce);
}

#define IDS "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb"

static void test_query_defaults(void **state)
{
    struct sk_tracker_announce announce;
    bool compact = true;
    assert_int_equal(0, sk_tracker_http_read_query(sk_bytes_text("&&x&compact=0&" IDS
                                                                 "&port=1&event=paused&left=-1"
                                                                 "&numwant=-1&key=zz&=&port=2"),
                                                   &announce, &compact));
    assert_false(compact);
    assert_int_equal(1, announce.port);
    assert_int_equal(SK_TRACKER_NONE, announce.event);
    assert_true(announce.partial_seed);
    assert_true(announce.left == UINT64_MAX);
    assert_true(announce.uploaded == UINT64_MAX && announce.downloaded == UINT64_MAX);
    assert_int_equal(-1, announce.want);
    assert_int_equal(0, announce.key);
    assert_false(announce.has_key);
}

static void test_query_wants_more_than_there_is(void **state)
{
    static const char *const numbers[] = {"2147483647", "2147483648", "4294967296",
                                          "99999999999999999999999"};
    struct sk_tracker_announce announce;
    char query[128];
    bool compact;
    for (size_t i = 0; i < SK_ARRAY_LEN(numbers); i++) {
        snprintf(query, sizeof query, IDS "&port=1&numwant=%s", numbers[i]);
        assert_int_equal(0, sk_tracker_http_read_query(sk_bytes_text(query), &announce, &compact));
        assert_int_equal(INT32_MAX, announce.want);
    }
}

/* What holds no count of bytes is no reason to turn a client away. */
static void test_query_counts_beyond_bounds(void **state)
{
    struct sk_tracker_announce announce;
    bool compact;
    assert_int_equal(0, sk_tracker_http_read_query(
                            sk_bytes_text(IDS "&port=1&uploaded=18446744073709551615&downloaded=-1"
                                              "&left=99999999999999999999999"),
                            &announce, &compact));
    assert_true(announce.uploaded == UINT64_MAX && announce.downloaded == UINT64_MAX);
    assert_true(announce.left == UINT64_MAX);
}

static void test_query_refuses(void **state)
{
    static const char *const bad[] = {
        "",
        IDS,
        "port=1&info_hash=aaaaaaaaaaaaaaaaaaaa",
        "port=1&peer_id=aaaaaaaaaaaaaaaaaaaa",
        "port=1&peer_id=bbbbbbbbbbbbbbbbbbbb&info_hash=aaaaaaaaaaaaaaaaaaa",
        "port=1&peer_id=bbbbbbbbbbbbbbbbbbbb&info_hash=aaaaaaaaaaaaaaaaaaaaa",
        "port=1&peer_id=bbbbbbbbbbbbbbbbbbbb&info_hash=aaaaaaaaaaaaaaaaaaa%",
        "port=1&peer_id=bbbbbbbbbbbbbbbbbbbb&info_hash=aaaaaaaaaaaaaaaaaaa%0",
        "port=1&peer_id=bbbbbbbbbbbbbbbbbbbb&info_hash=aaaaaaaaaaaaaaaaaaa%0g",
        IDS "&port=",
        IDS "&port=65536",
        IDS "&port=-1",
        IDS "&port=99999999999999999999999",
        IDS "&port=1&left=12x",
        IDS "&port=1&left=-x",
        IDS "&port=1&numwant=20x",
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(bad); i++) {
        struct sk_tracker_announce announce = {.port = 77};
        bool compact;
        assert_int_equal(SKEP_ERR_MALFORMED,
                         sk_tracker_http_read_query(sk_bytes_text(bad[i]), &announce, &compact));
        assert_int_equal(77, announce.port);
    }
}

static void test_writes_what_it_reads(void **state)
{
    struct sk_endpoint peers[3];
    struct sk_announce_answer answer, back;
    struct sk_buf buf;
    sk_announce_answer_init(&answer);
    sk_buf_init(&buf, 4096);
    assert_int_equal(0, sk_endpoint_parse("127.0.0.1:1", 0, &peers[0]));
    assert_int_equal(0, sk_endpoint_parse("[::1]:2", 0, &peers[1]));
    assert_int_equal(0, sk_endpoint_parse("127.0.0.2:3", 0, &peers[2]));
    answer.peers = peers, answer.peers_count = 3;
    answer.interval_s = 60, answer.min_interval_s = 5, answer.seeds = 1, answer.leechers = 0;
    strcpy(answer.warning, "careful");
    answer.external = sk_endpoint_v4((const uint8_t *)"\x0a\0\0\x01", 0);
    assert_int_equal(0, sk_tracker_http_write_announce(&buf, &answer));
    assert_int_equal(0, sk_tracker_http_read_announce(sk_buf_bytes(&buf), &back));
    assert_int_equal(60, back.interval_s);
    assert_int_equal(5, back.min_interval_s);
    assert_int_equal(1, back.seeds);
    assert_int_equal(0, back.leechers);
    assert_int_equal(-1, back.downloads);
    assert_string_equal("careful", back.warning);
    assert_true(sk_endpoint_equal(&answer.external, &back.external));
    assert_peer(&back, 0, "127.0.0.1:1");
    assert_peer(&back, 1, "127.0.0.2:3");
    assert_peer(&back, 2, "[::1]:2");
    sk_announce_answer_deinit(&back);

    buf.n = 0;
    strcpy(answer.failure, "go away");
    assert_int_equal(0, sk_tracker_http_write_announce(&buf, &answer));
    assert_true(sk_bytes_is(sk_buf_bytes(&buf), "d14:failure reason7:go awaye"));
    sk_buf_deinit(&buf);
}

static void test_writes_scrape(void **state)
{
    const uint8_t *hash = (const uint8_t *)"aaaaaaaaaaaaaaaaaaaa";
    struct sk_scrape_answer answer = {.seeds = 1, .downloads = 2, .leechers = 3}, back;
    struct sk_buf buf;
    sk_buf_init(&buf, 4096);
    assert_int_equal(0, sk_tracker_http_write_scrape(&buf, hash, &answer));
    assert_int_equal(0, sk_tracker_http_read_scrape(sk_buf_bytes(&buf), hash, &back));
    assert_memory_equal(&answer, &back, sizeof back);
    buf.n = 0;
    strcpy(answer.failure, "no");
    assert_int_equal(0, sk_tracker_http_write_scrape(&buf, hash, &answer));
    assert_true(sk_bytes_is(sk_buf_bytes(&buf), "d14:failure reason2:noe"));
    sk_buf_deinit(&buf);
}

static void test_unescape(void **state)
{
    uint8_t out[4];
    size_t n = 0;
    assert_true(sk_tracker_http_unescape(sk_bytes_text("a+%2b%2B"), out, 4, &n));
    assert_int_equal(4, n);
    assert_memory_equal("a+++", out, 4);
    assert_false(sk_tracker_http_unescape(sk_bytes_text("abcde"), out, 4, &n));
    assert_false(sk_tracker_http_unescape(sk_bytes_text("%"), out, 4, &n));
    assert_false(sk_tracker_http_unescape(sk_bytes_text("%4"), out, 4, &n));
    assert_int_equal(4, n);
    assert_true(sk_tracker_http_unescape(sk_bytes(NULL, 0), out, 0, &n));
    assert_int_equal(0, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_announce_url),
        cmocka_unit_test(test_announce_url_optional_parts),
        cmocka_unit_test(test_scrape_url),
        cmocka_unit_test(test_reads_compact_answer),
        cmocka_unit_test(test_nothing_said_is_unknown),
        cmocka_unit_test(test_unsorted_keys_and_white_space_after),
        cmocka_unit_test(test_list_of_dictionaries),
        cmocka_unit_test(test_truncated_peers_lose_the_tail),
        cmocka_unit_test(test_numbers_out_of_range),
        cmocka_unit_test(test_wrong_types_are_not_said),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_long_text_and_nul_inside),
        cmocka_unit_test(test_long_tracker_id_is_dropped),
        cmocka_unit_test(test_more_peers_than_allowed),
        cmocka_unit_test(test_no_tracker_at_all),
        cmocka_unit_test(test_every_truncation_is_malformed),
        cmocka_unit_test(test_scrape),
        cmocka_unit_test(test_query_reads_what_the_url_says),
        cmocka_unit_test(test_query_defaults),
        cmocka_unit_test(test_query_wants_more_than_there_is),
        cmocka_unit_test(test_query_counts_beyond_bounds),
        cmocka_unit_test(test_query_refuses),
        cmocka_unit_test(test_writes_what_it_reads),
        cmocka_unit_test(test_writes_scrape),
        cmocka_unit_test(test_unescape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
