/*
 * The tracker's side, over HTTP and UDP. Threats: reflection off a forged address, forged and old
 * connection ids, a stranger that announces another's address.
 */
#include "proto/tracker/responder.h"

#include <skep/err.h>

#include "base/assert.h"
#include "wire/tracker_http.h"
#include "wire/tracker_udp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define S 1000000000ull
#define QUERY "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=7001&left=5"

static struct sk_responder *responder;
static struct sk_buf reply;
static struct sk_heard heard;
static struct sk_endpoint from;
static uint64_t now;

static void make(bool trust_ip)
{
    struct sk_responder_config config = {
        .registry = {.interval_s = 60, .min_interval_s = 30, .peers_max = 300},
        .trust_ip = trust_ip,
        .secret = "abc"};
    now = 1000 * S;
    sk_buf_init(&reply, SK_RESPONDER_HTTP_MAX);
    assert_int_equal(0, sk_endpoint_parse("127.0.0.5:40000", 0, &from));
    assert_int_equal(0, sk_responder_new(&config, &responder));
}

static int teardown(void **state)
{
    sk_responder_free(responder);
    sk_buf_deinit(&reply);
    return 0;
}

static unsigned get(const char *target)
{
    reply.n = 0;
    return sk_responder_http(responder, sk_bytes_text(target), &from, now, &reply, &heard);
}

static void send_packet(struct sk_buf *packet)
{
    reply.n = 0;
    sk_responder_udp(responder, sk_buf_bytes(packet), &from, now, &reply, &heard);
    sk_buf_deinit(packet);
}

static uint64_t udp_connect(void)
{
    struct sk_buf packet;
    uint64_t connection = 0;
    sk_buf_init(&packet, 100);
    sk_tracker_udp_write_connect(&packet, 7);
    send_packet(&packet);
    assert_int_equal(16, reply.n);
    assert_int_equal(0, sk_tracker_udp_read_connect(sk_buf_bytes(&reply), &connection));
    assert_false(heard.announced);
    return connection;
}

static enum sk_udp_action udp_announce(uint64_t connection, const char *ip, uint16_t port)
{
    struct sk_tracker_announce announce = {.left = 0, .want = 200, .port = port};
    struct sk_udp_head head;
    struct sk_buf packet;
    memset(announce.info_hash, 'a', 20);
    sk_buf_init(&packet, 200);
    sk_tracker_udp_write_announce(&packet, connection, 9, &announce, sk_bytes(NULL, 0));
    memcpy(packet.p + 84, ip, 4);
    send_packet(&packet);
    assert_int_equal(0, sk_tracker_udp_read_head(sk_buf_bytes(&reply), &head));
    assert_int_equal(9, head.transaction);
    return head.action;
}

static void assert_heard(const char *peer)
{
    char text[SK_ENDPOINT_TEXT_MAX];
    assert_true(heard.announced);
    assert_string_equal(peer, sk_endpoint_text(&heard.peer, text));
}

static void test_http_announce(void **state)
{
    struct sk_announce_answer answer;
    make(false);
    assert_int_equal(200, get("/announce?" QUERY "&event=started"));
    assert_heard("127.0.0.5:7001");
    assert_int_equal(SK_TRACKER_STARTED, heard.announce.event);
    assert_int_equal(0, sk_endpoint_parse("[::1]:40000", 0, &from));
    assert_int_equal(200, get("/announce?" QUERY));
    assert_heard("[::1]:7001");
    assert_int_equal(0, sk_tracker_http_read_announce(sk_buf_bytes(&reply), &answer));
    assert_int_equal(60, answer.interval_s);
    assert_int_equal(30, answer.min_interval_s);
    assert_int_equal(2, answer.leechers);
    assert_int_equal(1, answer.peers_count); /* of the other family */
    assert_int_equal(SK_FAMILY_V4, answer.peers[0].family);
    sk_announce_answer_deinit(&answer);
}

static void test_http_refusals(void **state)
{
    static const struct {
        const char *target;
        unsigned status;
        const char *failure;
    } cases[] = {
        {"/announce", 200, "info_hash, peer_id, port or a number is not valid"},
        {"/announce?info_hash=a", 200, "info_hash, peer_id, port or a number is not valid"},
        {"/scrape", 200, "info_hash is not valid"},
        {"/scrape?info_hash=aa", 200, "info_hash is not valid"},
        {"/", 404, ""},
        {"", 404, ""},
        {"?" QUERY, 404, ""},
        {"/announce/x?" QUERY, 404, ""},
    };
    make(false);
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_announce_answer answer;
        assert_int_equal(cases[i].status, get(cases[i].target));
        assert_false(heard.announced);
        if (cases[i].status == 404) {
            assert_int_equal(0, reply.n);
            continue;
        }
        assert_int_equal(0, sk_tracker_http_read_announce(sk_buf_bytes(&reply), &answer));
        assert_string_equal(cases[i].failure, answer.failure);
        sk_announce_answer_deinit(&answer);
    }
}

static void test_http_scrape(void **state)
{
    struct sk_scrape_answer scrape;
    make(false);
    assert_int_equal(200, get("/announce?" QUERY));
    assert_int_equal(200, get("/scrape?x&info_hash=%61aaaaaaaaaaaaaaaaaaa"));
    assert_int_equal(0,
                     sk_tracker_http_read_scrape(sk_buf_bytes(&reply),
                                                 (const uint8_t *)"aaaaaaaaaaaaaaaaaaaa", &scrape));
    assert_int_equal(0, scrape.seeds);
    assert_int_equal(1, scrape.leechers);
}

static void test_named_address_is_ignored(void **state)
{
    make(false);
    assert_int_equal(200, get("/announce?" QUERY "&ip=10.0.0.1"));
    assert_heard("127.0.0.5:7001");
    assert_int_equal(SK_UDP_ANNOUNCE, udp_announce(udp_connect(), "\x0a\0\0\1", 7002));
    assert_heard("127.0.0.5:7002");
}

static void test_named_address_in_a_lab(void **state)
{
    make(true);
    assert_int_equal(200, get("/announce?ip=127.9.9.9&" QUERY));
    assert_heard("127.9.9.9:7001");
    assert_int_equal(200, get("/announce?" QUERY "&ip=%3A%3A1"));
    assert_heard("[::1]:7001");
    assert_int_equal(200, get("/announce?" QUERY "&ip=example.com"));
    assert_heard("127.0.0.5:7001");
    assert_int_equal(SK_UDP_ANNOUNCE, udp_announce(udp_connect(), "\x7f\x08\x08\x08", 7002));
    assert_heard("127.8.8.8:7002");
    assert_int_equal(SK_UDP_ANNOUNCE, udp_announce(udp_connect(), "\0\0\0\0", 7002));
    assert_heard("127.0.0.5:7002");
}

static void test_udp_announce_and_scrape(void **state)
{
    struct sk_announce_answer answer;
    struct sk_scrape_answer scrape;
    struct sk_buf packet;
    make(false);
    uint64_t connection = udp_connect();
    assert_int_equal(SK_UDP_ANNOUNCE, udp_announce(connection, "\0\0\0\0", 7001));
    assert_int_equal(SK_UDP_ANNOUNCE, udp_announce(connection, "\0\0\0\0", 7002));
    assert_int_equal(0, sk_tracker_udp_read_announce(sk_buf_bytes(&reply), SK_FAMILY_V4, &answer));
    assert_int_equal(60, answer.interval_s);
    assert_int_equal(2, answer.seeds);
    assert_int_equal(1, answer.peers_count);
    assert_int_equal(7001, answer.peers[0].port);
    sk_announce_answer_deinit(&answer);
    sk_buf_init(&packet, 100);
    sk_tracker_udp_write_scrape(&packet, connection, 9, (const uint8_t *)"aaaaaaaaaaaaaaaaaaaa");
    sk_buf_append(&packet, "bbbbbbbbbbbbbbbbbbbb", 20);
    send_packet(&packet);
    assert_int_equal(8 + 24, reply.n);
    assert_int_equal(0, sk_tracker_udp_read_scrape(sk_buf_bytes(&reply), &scrape));
    assert_int_equal(2, scrape.seeds);
}

static void test_udp_connection_ids(void **state)
{
    char text[SK_TRACKER_TEXT_MAX];
    make(false);
    uint64_t connection = udp_connect();
    assert_int_equal(SK_UDP_ERROR, udp_announce(connection + 1, "\0\0\0\0", 7001));
    assert_false(heard.announced);
    assert_int_equal(0, sk_tracker_udp_read_error(sk_buf_bytes(&reply), text));
    assert_string_equal("connect first", text);
    assert_int_equal(SK_UDP_ERROR, udp_announce(0, "\0\0\0\0", 7001));
    from.port++; /* another client behind the same address */
    assert_int_equal(SK_UDP_ERROR, udp_announce(connection, "\0\0\0\0", 7001));
    from.port--;
    from.addr[3]++;
    assert_int_equal(SK_UDP_ERROR, udp_announce(connection, "\0\0\0\0", 7001));
    from.addr[3]--;
    now += 120 * S;
    assert_int_equal(SK_UDP_ANNOUNCE, udp_announce(connection, "\0\0\0\0", 7001));
    now += 60 * S;
    assert_int_equal(SK_UDP_ERROR, udp_announce(connection, "\0\0\0\0", 7001));
    now = 0; /* just booted */
    assert_int_equal(SK_UDP_ANNOUNCE, udp_announce(udp_connect(), "\0\0\0\0", 7001));
}

static void test_udp_answers_are_no_longer_than_questions_before_the_proof(void **state)
{
    uint8_t bytes[200] = {0};
    make(false);
    udp_announce(udp_connect(), "\0\0\0\0", 7001);
    for (uint32_t action = 0; action < 5; action++)
        for (size_t n = 0; n <= sizeof bytes; n++) {
            struct sk_buf packet;
            sk_put_u64(bytes, action == SK_UDP_CONNECT ? SK_UDP_MAGIC : 12345);
            sk_put_u32(bytes + 8, action);
            sk_buf_init(&packet, sizeof bytes);
            sk_buf_append(&packet, bytes, n);
            send_packet(&packet);
            assert_true(reply.n <= n);
        }
}

static void test_udp_answers_fit_a_datagram(void **state)
{
    static const char *const families[] = {"127.0.0.5:40000", "[::1]:40000"};
    for (size_t f = 0; f < SK_ARRAY_LEN(families); f++) {
        make(false);
        assert_int_equal(0, sk_endpoint_parse(families[f], 0, &from));
        uint64_t connection = udp_connect();
        for (uint16_t port = 1; port <= 250; port++)
            assert_int_equal(SK_UDP_ANNOUNCE, udp_announce(connection, "\0\0\0\0", port));
        assert_in_range(reply.n, f ? 1300 : 1220, SK_RESPONDER_UDP_MAX);
        teardown(NULL);
    }
    make(false);
}

static void test_full_tracker_says_so(void **state)
{
    struct sk_announce_answer answer;
    char target[256];
    make(false);
    for (int port = 1; port <= 301; port++) {
        snprintf(target, sizeof target,
                 "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=%d",
                 port);
        assert_int_equal(200, get(target));
    }
    assert_false(heard.announced);
    assert_int_equal(0, sk_tracker_http_read_announce(sk_buf_bytes(&reply), &answer));
    assert_string_equal("the tracker is full", answer.failure);
    sk_announce_answer_deinit(&answer);
    assert_int_equal(SK_UDP_ERROR, udp_announce(udp_connect(), "\0\0\0\0", 7001));
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_http_announce),
        TEST(test_http_refusals),
        TEST(test_http_scrape),
        TEST(test_named_address_is_ignored),
        TEST(test_named_address_in_a_lab),
        TEST(test_udp_announce_and_scrape),
        TEST(test_udp_connection_ids),
        TEST(test_udp_answers_are_no_longer_than_questions_before_the_proof),
        TEST(test_udp_answers_fit_a_datagram),
        TEST(test_full_tracker_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
