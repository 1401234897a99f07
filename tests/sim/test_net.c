/* The simulated network: order, delay, loss, NAT, hosts that go. */
#include "base/assert.h"
#include "base/heap.h"
#include "base/prng.h"
#include "sim/agenda.h"
#include "sim/net.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define RTT (50 * SK_SIM_MS)

static const struct sk_sim_net_config plain = {
    .seed = 1, .family = SK_FAMILY_V4, .rtt_ns = RTT, .nat_ns = 60 * SK_SIM_SECOND};

static void send(struct sk_sim_net *net, uint32_t from, uint32_t to, const char *text)
{
    sk_sim_net_send(net, from, sk_sim_net_address(net, to), sk_bytes_text(text));
}

/* How many datagrams come until then. */
static unsigned arrivals(struct sk_sim_net *net, uint64_t duration_ns)
{
    struct sk_sim_event event;
    unsigned count = 0;
    uint64_t until = sk_sim_net_now(net) + duration_ns;
    while (sk_sim_net_next(net, until, &event))
        count += event.kind == SK_SIM_DATAGRAM;
    return count;
}

static void test_agenda_gives_the_earliest_and_of_equals_the_first(void **state)
{
    struct sk_sim_agenda agenda = {0};
    struct sk_prng prng;
    sk_prng_init(&prng, 1);
    for (uintptr_t i = 0; i < 3000; i++) {
        sk_sim_agenda_add(&agenda, sk_prng_below(&prng, 50), i);
        if (i % 3 == 2)
            sk_sim_agenda_pop(&agenda);
    }
    assert_int_equal(agenda.count, 2000);
    struct sk_sim_note last = {0};
    for (unsigned i = 0; i < 2000; i++) {
        struct sk_sim_note note = *sk_sim_agenda_first(&agenda);
        sk_sim_agenda_pop(&agenda);
        assert_true(i == 0 || note.at_ns > last.at_ns ||
                    (note.at_ns == last.at_ns && note.what > last.what));
        last = note;
    }
    assert_null(sk_sim_agenda_first(&agenda));
    sk_sim_agenda_deinit(&agenda);
}

static void test_a_datagram_arrives_as_it_was_sent_after_half_a_round_trip(void **state)
{
    struct sk_sim_net *net = sk_sim_net_new(&plain);
    struct sk_sim_event event;
    static uint8_t bytes[1500];
    sk_prng_bytes(&(struct sk_prng){{1, 2, 3, 4}}, bytes, sizeof bytes);
    uint32_t a = sk_sim_net_add(net, false), b = sk_sim_net_add(net, false);
    for (size_t n = 0; n <= sizeof bytes; n += 50) {
        uint64_t sent = sk_sim_net_now(net);
        sk_sim_net_send(net, a, sk_sim_net_address(net, b), sk_bytes(bytes, n));
        assert_int_equal(sk_sim_net_next(net, sent + RTT, &event), 1);
        assert_int_equal(event.kind, SK_SIM_DATAGRAM);
        assert_int_equal(event.host, b);
        assert_true(sk_endpoint_equal(&event.from, sk_sim_net_address(net, a)));
        assert_true(sk_bytes_equal(event.bytes, sk_bytes(bytes, n)));
        assert_int_equal(sk_sim_net_now(net) - sent, RTT / 2);
    }
    sk_sim_net_free(net);
}

static void test_delays_vary_and_datagrams_get_lost_as_often_as_was_asked(void **state)
{
    struct sk_sim_net_config config = plain;
    struct sk_sim_event event;
    config.jitter = 0.2;
    config.loss = 0.1;
    struct sk_sim_net *net = sk_sim_net_new(&config);
    uint32_t a = sk_sim_net_add(net, false), b = sk_sim_net_add(net, false);
    uint64_t sent = sk_sim_net_now(net), first = UINT64_MAX, last = 0;
    unsigned count = 0;
    for (unsigned i = 0; i < 10000; i++)
        send(net, a, b, "x");
    for (; sk_sim_net_next(net, sent + RTT, &event); count++) {
        first = SK_MIN(first, sk_sim_net_now(net) - sent);
        last = sk_sim_net_now(net) - sent;
    }
    assert_in_range(count, 8850, 9150);
    assert_in_range(first, 20 * SK_SIM_MS, 20.1 * SK_SIM_MS);
    assert_in_range(last, 29.9 * SK_SIM_MS, 30 * SK_SIM_MS);
    sk_sim_net_free(net);
}

static void test_behind_nat_one_hears_only_from_whom_one_wrote_to_lately(void **state)
{
    struct sk_sim_net *net = sk_sim_net_new(&plain);
    uint32_t inside = sk_sim_net_add(net, true), outside = sk_sim_net_add(net, false);
    uint32_t other = sk_sim_net_add(net, false);
    send(net, outside, inside, "x");
    assert_int_equal(arrivals(net, RTT), 0);
    send(net, inside, outside, "x");
    assert_int_equal(arrivals(net, RTT), 1);
    send(net, outside, inside, "x");
    send(net, other, inside, "x");
    assert_int_equal(arrivals(net, RTT), 1);
    assert_int_equal(arrivals(net, 61 * SK_SIM_SECOND), 0);
    send(net, outside, inside, "x");
    assert_int_equal(arrivals(net, RTT), 0);
    struct sk_sim_net_stats stats;
    sk_sim_net_stats(net, &stats);
    assert_int_equal(stats.filtered, 3);
    sk_sim_net_free(net);
}

static void test_many_holes_in_a_nat_are_all_kept(void **state)
{
    struct sk_sim_net *net = sk_sim_net_new(&plain);
    uint32_t inside = sk_sim_net_add(net, true);
    for (unsigned i = 0; i < 100; i++)
        send(net, inside, sk_sim_net_add(net, false), "x");
    assert_int_equal(arrivals(net, RTT), 100);
    for (uint32_t i = 1; i <= 100; i++)
        send(net, i, inside, "x");
    assert_int_equal(arrivals(net, RTT), 100);
    sk_sim_net_free(net);
}

static void test_a_host_that_is_down_neither_hears_nor_sends_nor_wakes(void **state)
{
    struct sk_sim_net *net = sk_sim_net_new(&plain);
    struct sk_sim_event event;
    uint32_t a = sk_sim_net_add(net, false), b = sk_sim_net_add(net, false);
    sk_sim_net_wake(net, b, sk_sim_net_now(net) + RTT);
    send(net, a, b, "x"); /* on its way when b goes */
    sk_sim_net_set_up(net, b, false);
    send(net, b, a, "x");
    assert_int_equal(sk_sim_net_next(net, sk_sim_net_now(net) + SK_SIM_SECOND, &event), 0);
    sk_sim_net_set_up(net, b, true);
    send(net, a, b, "x");
    assert_int_equal(arrivals(net, RTT), 1);
    sk_sim_net_free(net);
}

static void test_a_host_wakes_at_the_earliest_time_it_asked_for_once(void **state)
{
    struct sk_sim_net *net = sk_sim_net_new(&plain);
    struct sk_sim_event event;
    uint32_t a = sk_sim_net_add(net, false);
    uint64_t now = sk_sim_net_now(net);
    sk_sim_net_wake(net, a, now + 5 * SK_SIM_SECOND);
    sk_sim_net_wake(net, a, now + 2 * SK_SIM_SECOND);
    sk_sim_net_wake(net, a, now + 9 * SK_SIM_SECOND);
    assert_int_equal(sk_sim_net_next(net, now + SK_SIM_HOUR, &event), 1);
    assert_int_equal(event.kind, SK_SIM_WAKE);
    assert_int_equal(sk_sim_net_now(net), now + 2 * SK_SIM_SECOND);
    assert_int_equal(sk_sim_net_next(net, now + SK_SIM_HOUR, &event), 0);
    assert_int_equal(sk_sim_net_now(net), now + SK_SIM_HOUR);
    sk_sim_net_free(net);
}

static void test_addresses_are_public_and_each_is_found(void **state)
{
    static const enum sk_family families[] = {SK_FAMILY_V4, SK_FAMILY_V6};
    for (size_t f = 0; f < SK_ARRAY_LEN(families); f++) {
        struct sk_sim_net_config config = plain;
        config.family = families[f];
        struct sk_sim_net *net = sk_sim_net_new(&config);
        for (uint32_t i = 0; i < 2000; i++) {
            uint32_t host = sk_sim_net_add(net, false);
            const struct sk_endpoint *address = sk_sim_net_address(net, host);
            assert_int_equal(address->family, families[f]);
            assert_int_equal(sk_endpoint_scope(address), SK_SCOPE_PUBLIC);
            assert_int_equal(sk_sim_net_find(net, address), host);
        }
        struct sk_endpoint nobody = sk_endpoint_v4((const uint8_t[]){9, 9, 9, 9}, 1);
        assert_int_equal(sk_sim_net_find(net, &nobody), SK_SIM_NO_HOST);
        sk_sim_net_free(net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agenda_gives_the_earliest_and_of_equals_the_first),
        cmocka_unit_test(test_a_datagram_arrives_as_it_was_sent_after_half_a_round_trip),
        cmocka_unit_test(test_delays_vary_and_datagrams_get_lost_as_often_as_was_asked),
        cmocka_unit_test(test_behind_nat_one_hears_only_from_whom_one_wrote_to_lately),
        cmocka_unit_test(test_many_holes_in_a_nat_are_all_kept),
        cmocka_unit_test(test_a_host_that_is_down_neither_hears_nor_sends_nor_wakes),
        cmocka_unit_test(test_a_host_wakes_at_the_earliest_time_it_asked_for_once),
        cmocka_unit_test(test_addresses_are_public_and_each_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
