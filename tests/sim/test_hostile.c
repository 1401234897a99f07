/* Hostile nodes of each kind in a small DHT, with what must hold looked at after every step. */
#include "base/assert.h"
#include "sim/dht_items.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NODES 70
#define ITEMS 16
#define GETS 40
#define RATE 20

static const struct sk_sim_dht_config plain = {
    .net = {.seed = 1, .family = SK_FAMILY_V4, .rtt_ns = 50 * SK_SIM_MS, .jitter = 0.2},
    .ids_by_address = true,
    .check_every = 1,
};

struct mix {
    struct sk_sim_dht *sim;
    struct sk_sim_items *items;
    enum sk_sim_kind kind;
};

static enum sk_sim_kind draw(void *ctx, const uint8_t **ret_target)
{
    const struct mix *mix = ctx;
    struct sk_prng *prng = sk_sim_dht_prng(mix->sim);
    *ret_target = sk_sim_items_at(mix->items, (uint32_t)sk_prng_below(prng, ITEMS))->target;
    return sk_prng_below(prng, 5) ? SK_SIM_HONEST : mix->kind;
}

/* Whatever hostile nodes say, no value that is not true is taken; and nearly all gets succeed. */
static void test_no_kind_of_hostile_node_is_believed(void **state)
{
    for (unsigned kind = SK_SIM_HONEST + 1; kind < SK_SIM_KIND_COUNT; kind++) {
        struct sk_sim_outcome puts, gets;
        struct mix mix = {.sim = sk_sim_dht_new(&plain), .kind = kind};
        mix.items = sk_sim_items_new(mix.sim, ITEMS, 0.5);
        sk_sim_dht_grow(mix.sim, NODES, draw, &mix);
        sk_sim_items_put(mix.items, RATE, &puts);
        sk_sim_items_get(mix.items, GETS, RATE, &gets);
        if (sk_sim_dht_fault(mix.sim))
            fail_msg("%s", sk_sim_dht_fault(mix.sim));
        assert_int_equal(gets.wrong, 0);
        if (gets.done < GETS * 95 / 100)
            fail_msg("%s: %u of %u", sk_sim_kind_name(kind), gets.done, GETS);
        sk_sim_items_free(mix.items);
        sk_sim_dht_free(mix.sim);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_kind_of_hostile_node_is_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
