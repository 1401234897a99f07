/*
 * One tracker, as a machine under test: it is made, fed and asked here, by a clock that is a
 * number.
 */
#ifndef TRACKER_MACHINE_H
#define TRACKER_MACHINE_H

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

static inline int make(const char *url, bool scrape)
{
    struct sk_tracker_config config = {
        .url = url, .announce = {.port = 6881, .want = -1, .left = 5}, .scrape = scrape};
    memset(config.announce.info_hash, 'h', 20);
    sk_prng_init(&prng, 1);
    config.prng = &prng;
    now = 1000 * S;
    return sk_tracker_new(&config, &tracker);
}

static inline int teardown(void **state)
{
    sk_tracker_free(tracker);
    tracker = NULL;
    return 0;
}

static inline void take(enum sk_tracker_out_kind kind)
{
    assert_int_equal(1, sk_tracker_next_output(tracker, &out));
    assert_int_equal(kind, out.kind);
}

static inline void quiet(void)
{
    assert_int_equal(0, sk_tracker_next_output(tracker, &out));
}

static inline void take_failure(enum sk_tracker_ask ask, enum sk_tracker_failure failure)
{
    take(SK_TRACKER_OUT_RESULT);
    assert_int_equal(ask, out.result->ask);
    assert_int_equal(failure, out.result->failure);
    assert_null(out.result->announce);
}

/* Moves on to the deadline, which must be `seconds` from now. */
static inline void wait_s(uint64_t seconds)
{
    assert_int_equal(now + seconds * S, sk_tracker_deadline(tracker));
    sk_tracker_tick(tracker, now + seconds * S - 1);
    quiet();
    now += seconds * S;
    sk_tracker_tick(tracker, now);
}

static inline void take_packet(enum sk_udp_action action)
{
    take(SK_TRACKER_OUT_UDP_SEND);
    assert_int_equal(0, sk_tracker_udp_read_request(out.datagram, &request));
    assert_int_equal(action, request.action);
    if (action != SK_UDP_CONNECT)
        assert_true(request.connection == CONNECTION);
}

/* Hands the packet in buf over as from `from`; true where it was taken. */
static inline bool answer_from(const char *from, struct sk_buf *buf)
{
    struct sk_endpoint endpoint;
    assert_int_equal(0, sk_endpoint_parse(from, 0, &endpoint));
    bool taken = sk_tracker_input_udp(tracker, &endpoint, sk_buf_bytes(buf), now);
    sk_buf_deinit(buf);
    return taken;
}

static inline bool connected_from(const char *from, uint32_t transaction)
{
    struct sk_buf buf;
    sk_buf_init(&buf, 100);
    sk_tracker_udp_write_connected(&buf, transaction, CONNECTION);
    return answer_from(from, &buf);
}

static inline bool announced_from(const char *from, uint32_t transaction, uint32_t interval_s)
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

static inline bool error_from(const char *from, uint32_t transaction, const char *text)
{
    struct sk_buf buf;
    sk_buf_init(&buf, 100);
    sk_tracker_udp_write_error(&buf, transaction, text);
    return answer_from(from, &buf);
}

/* A UDP tracker that was asked once and has answered with this interval. */
static inline void make_udp_announced(uint32_t interval_s)
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

static inline void reply(unsigned status, const char *body, size_t n)
{
    sk_tracker_input_http(tracker, out.request, status, sk_bytes(body, n), now);
}
#define REPLY(status, body) reply(status, "" body, sizeof(body) - 1)

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

#endif
