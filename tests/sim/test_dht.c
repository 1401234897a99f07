/* Small DHTs in virtual time, with what must hold looked at after every step: first all goes wrong,
 * then faults stop and every lookup has to succeed. */
#include "base/assert.h"
#include "proto/dht/node_id.h"
#include "sim/dht_items.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ITEMS 20
#define GETS 40
#define RATE 20

static const struct sk_sim_dht_config plain = {
    .net = {.seed = 1,
            .family = SK_FAMILY_V4,
            .rtt_ns = 50 * SK_SIM_MS,
            .jitter = 0.2,
            .nat_ns = 60 * SK_SIM_SECOND},
    .ids_by_address = true,
    .check_every = 1,
};

static void assert_holds(const struct sk_sim_dht *sim)
{
    const char *fault = sk_sim_dht_fault(sim);
    if (fault)
        fail_msg("%s", fault);
}

/* Puts and gets; every single one has to succeed. */
static void assert_all_is_found(struct sk_sim_dht *sim)
{
    struct sk_sim_outcome puts, gets;
    struct sk_sim_items *items = sk_sim_items_new(sim, ITEMS, 0.3);
    sk_sim_items_put(items, RATE, &puts);
    assert_holds(sim);
    assert_int_equal(puts.done, ITEMS);
    sk_sim_items_get(items, GETS, RATE, &gets);
    assert_holds(sim);
    assert_int_equal(gets.wrong, 0);
    assert_int_equal(gets.done, GETS);
    sk_sim_items_free(items);
}

/* A while in which nodes go and others come. */
static void churn(struct sk_sim_dht *sim, unsigned count, uint64_t pause_ns)
{
    for (unsigned i = 0; i < count; i++) {
        sk_sim_dht_kill(sim, sk_sim_dht_pick(sim));
        sk_sim_dht_introduce(sim, sk_sim_dht_add(sim, SK_SIM_HONEST, NULL));
        sk_sim_dht_run_for(sim, pause_ns);
    }
}

/* ---- one seed, one trace ---- */

static uint64_t trace_of(uint64_t seed)
{
    struct sk_sim_dht_config config = plain;
    struct sk_sim_net_stats stats;
    struct sk_sim_outcome puts;
    config.net.seed = seed;
    config.net.loss = 0.1;
    config.nat = 0.2;
    struct sk_sim_dht *sim = sk_sim_dht_new(&config);
    sk_sim_dht_grow(sim, 60, NULL, NULL);
    struct sk_sim_items *items = sk_sim_items_new(sim, 5, 0.5);
    sk_sim_items_put(items, RATE, &puts);
    churn(sim, 5, SK_SIM_SECOND);
    assert_holds(sim);
    sk_sim_net_stats(sk_sim_dht_net(sim), &stats);
    assert_true(stats.delivered > 1000);
    sk_sim_items_free(items);
    sk_sim_dht_free(sim);
    return stats.trace;
}

static void test_one_seed_gives_one_trace(void **state)
{
    uint64_t trace = trace_of(7);
    assert_true(trace == trace_of(7));
    assert_true(trace != trace_of(8));
}

/* ---- faults, then none ---- */

static void test_after_loss_and_deaths_every_lookup_succeeds(void **state)
{
    struct sk_sim_dht_config config = plain;
    config.net.loss = 0.2;
    struct sk_sim_dht *sim = sk_sim_dht_new(&config);
    sk_sim_dht_grow(sim, 100, NULL, NULL);
    churn(sim, 20, 5 * SK_SIM_SECOND);
    sk_sim_dht_kill_share(sim, 0.3);
    sk_sim_dht_run_for(sim, SK_SIM_MINUTE);
    sk_sim_net_set_loss(sk_sim_dht_net(sim), 0);
    assert_all_is_found(sim);
    sk_sim_dht_free(sim);
}

static void test_gets_find_what_was_stored_before_nodes_died(void **state)
{
    struct sk_sim_dht *sim = sk_sim_dht_new(&plain);
    struct sk_sim_outcome puts, gets;
    sk_sim_dht_grow(sim, 100, NULL, NULL);
    struct sk_sim_items *items = sk_sim_items_new(sim, ITEMS, 0.3);
    sk_sim_items_put(items, RATE, &puts);
    assert_int_equal(puts.done, ITEMS);
    assert_true(puts.stored > 7.5);
    sk_sim_dht_kill_share(sim, 0.25);
    sk_sim_items_get(items, GETS, RATE, &gets);
    assert_holds(sim);
    assert_int_equal(gets.done, GETS);
    sk_sim_items_free(items);
    sk_sim_dht_free(sim);
}

static void test_a_network_with_many_behind_nat(void **state)
{
    struct sk_sim_dht_config config = plain;
    config.nat = 0.4;
    struct sk_sim_dht *sim = sk_sim_dht_new(&config);
    sk_sim_dht_grow(sim, 100, NULL, NULL);
    assert_all_is_found(sim);
    sk_sim_dht_free(sim);
}

static void test_a_network_over_ipv6(void **state)
{
    struct sk_sim_dht_config config = plain;
    config.net.family = SK_FAMILY_V6;
    config.net.loss = 0.05;
    struct sk_sim_dht *sim = sk_sim_dht_new(&config);
    sk_sim_dht_grow(sim, 100, NULL, NULL);
    assert_all_is_found(sim);
    sk_sim_dht_free(sim);
}

static void test_nodes_that_learn_their_address_take_ids_that_fit(void **state)
{
    struct sk_sim_dht_config config = plain;
    config.address_unknown = true;
    struct sk_sim_dht *sim = sk_sim_dht_new(&config);
    sk_sim_dht_grow(sim, 40, NULL, NULL);
    sk_sim_dht_run_for(sim, 20 * SK_SIM_MINUTE);
    assert_holds(sim);
    for (uint32_t i = 0; i < sk_sim_dht_count(sim); i++) {
        const uint8_t *id = sk_dht_id(sk_sim_dht_node(sim, i), SK_FAMILY_V4);
        assert_true(sk_dht_id_fits(id, sk_sim_net_address(sk_sim_dht_net(sim), i)));
    }
    assert_all_is_found(sim);
    sk_sim_dht_free(sim);
}

static void test_a_quiet_hour_leaves_everybody_known(void **state)
{
    struct sk_sim_dht_config config = plain;
    struct sk_sim_dht_totals totals;
    config.net.loss = 0.05;
    struct sk_sim_dht *sim = sk_sim_dht_new(&config);
    sk_sim_dht_grow(sim, 30, NULL, NULL);
    sk_sim_dht_run_for(sim, SK_SIM_HOUR);
    assert_holds(sim);
    sk_sim_dht_totals(sim, &totals);
    assert_int_equal(totals.ready, 30);
    assert_true(totals.good > totals.entries * 9 / 10);
    assert_all_is_found(sim);
    sk_sim_dht_free(sim);
}

/* ---- strangers who mean no good ---- */

static void test_forged_tokens_are_refused_by_all(void **state)
{
    struct sk_sim_dht *sim = sk_sim_dht_new(&plain);
    struct sk_sim_dht_totals totals;
    sk_sim_dht_grow(sim, 30, NULL, NULL);
    for (unsigned i = 0; i < 15; i++) {
        sk_sim_dht_probe_tokens(sim, 10);
        sk_sim_dht_run_for(sim, SK_SIM_MINUTE);
    }
    assert_holds(sim);
    assert_int_equal(sk_sim_dht_tokens_refused(sim), 150);
    sk_sim_dht_totals(sim, &totals);
    assert_int_equal(totals.items, 0);
    sk_sim_dht_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_seed_gives_one_trace),
        cmocka_unit_test(test_after_loss_and_deaths_every_lookup_succeeds),
        cmocka_unit_test(test_gets_find_what_was_stored_before_nodes_died),
        cmocka_unit_test(test_a_network_with_many_behind_nat),
        cmocka_unit_test(test_a_network_over_ipv6),
        cmocka_unit_test(test_nodes_that_learn_their_address_take_ids_that_fit),
        cmocka_unit_test(test_a_quiet_hour_leaves_everybody_known),
        cmocka_unit_test(test_forged_tokens_are_refused_by_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
