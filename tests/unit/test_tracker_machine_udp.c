/*
 * One tracker, as a machine: over UDP. Threats: answers of a forged source or with a guessed
 * transaction id, connection ids past their time, refusals that never end.
 */
#include "tracker_machine.h"

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
    assert_int_equal(SK_TRACKER_STARTED, request.announce.event);
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
    sk_tracker_progress(tracker, 0, 77, 0, false);
    wait_s(3);
    take_packet(SK_UDP_ANNOUNCE);
    assert_true(announced_from("127.0.0.1:6969", request.transaction, 9));
    take(SK_TRACKER_OUT_RESULT);
    assert_int_equal(SK_TRACKER_ANSWERED, out.result->failure);
    assert_int_equal(now - 3 * S, out.result->asked_ns); /* it may be to the first copy */
    assert_int_equal(77, out.result->downloaded);        /* what the last one said */
    assert_true(out.result->started);
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
    assert_int_equal(SK_TRACKER_NONE, request.announce.event);
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
    assert_int_equal(SK_TRACKER_STOPPED, request.announce.event);
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
    assert_int_equal(SK_TRACKER_STOPPED, request.announce.event);
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
    assert_int_equal(SK_TRACKER_STOPPED, request.announce.event);
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

/* Of a UDP tracker whose connection has run out: connected anew for it, also when stopping. */
static void test_completed(void **state)
{
    make_udp_announced(1800);
    now += 2 * SK_TRACKER_UDP_CONNECTION_S * S;
    sk_tracker_completed(tracker, now);
    sk_tracker_stop(tracker, now);
    take_packet(SK_UDP_CONNECT);
    assert_true(connected_from("127.0.0.1:6969", request.transaction));
    take_packet(SK_UDP_ANNOUNCE);
    assert_int_equal(SK_TRACKER_COMPLETED, request.announce.event);
    assert_true(announced_from("127.0.0.1:6969", request.transaction, 1800));
    take(SK_TRACKER_OUT_RESULT);
    sk_tracker_tick(tracker, now);
    take_packet(SK_UDP_ANNOUNCE);
    assert_int_equal(SK_TRACKER_STOPPED, request.announce.event);
    wait_s(SK_TRACKER_STOP_WAIT_S);
    take_failure(SK_TRACKER_STOP, SK_TRACKER_TIMEOUT);
    assert_int_equal(SK_TRACKER_ENDED, sk_tracker_state(tracker));
}

/* Silence while stopping: one try for each. */
static void test_completed_unheard(void **state)
{
    make_udp_announced(1800);
    sk_tracker_completed(tracker, now);
    sk_tracker_stop(tracker, now);
    take_packet(SK_UDP_ANNOUNCE);
    wait_s(SK_TRACKER_STOP_WAIT_S);
    take_failure(SK_TRACKER_ANNOUNCE, SK_TRACKER_TIMEOUT);
    sk_tracker_tick(tracker, now);
    take_packet(SK_UDP_ANNOUNCE);
    assert_int_equal(SK_TRACKER_STOPPED, request.announce.event);
    wait_s(SK_TRACKER_STOP_WAIT_S);
    take_failure(SK_TRACKER_STOP, SK_TRACKER_TIMEOUT);
    assert_int_equal(SK_TRACKER_ENDED, sk_tracker_state(tracker));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        TEST(test_completed),
        TEST(test_completed_unheard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
