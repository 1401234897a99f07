/* A timeline made of what the auditor saw of a simulated swarm knows what was true of it. */
#include "audit/timeline.h"
#include "base/assert.h"
#include "sim/swarm.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct sk_swarm_config config = {
    .seed = 3,
    .peers = 40,
    .seeds = 2,
    .pieces = 300,
    .piece_size = 131072,
    .block_size = 16384,
    .seconds = 300,
    .degree = 8,
    .begun_share = 0.3,
    .links_told = true,
    .watched_share = 0.8,
    .rtt_s = 0.08,
    .restart_per_hour = 6,
    .other_clients = 0.3,
    .announce_interval_s = 60,
    .habits = {[SK_SWARM_LAZY_BITFIELD] = 0.2, [SK_SWARM_BITFIELDS] = 0.2},
};

static void on_observation(const struct sk_observation *observation, void *ctx)
{
    assert_int_equal(sk_timeline_observe(ctx, observation), 0);
}

static void check_peer(const struct sk_timeline *timeline, const struct sk_swarm_client *client)
{
    uint32_t i = sk_timeline_find(timeline, &client->endpoint);
    assert_true(i != UINT32_MAX);
    const struct sk_timeline_peer *peer = &timeline->peers[i];
    assert_int_equal(peer->has_first, client->watched);
    assert_int_equal(peer->watched_count > 0, client->watched);
    if (!client->watched)
        return;
    /* A HAVE may be under way, or wait for a bitfield. */
    assert_true(peer->held.set <= client->held);
    assert_true(peer->held.set + 40 >= client->held);
    assert_int_equal(peer->first.set + peer->gains_count, peer->held.set);
    uint64_t taken = 0;
    for (uint32_t n = 0; n < peer->taken_count; n++)
        taken += peer->taken[n].bytes;
    assert_int_equal(taken, client->probed);
}

static void test_a_timeline_knows_what_was_true(void **state)
{
    struct sk_timeline timeline;
    struct sk_swarm *swarm;
    uint64_t size = (uint64_t)config.pieces * config.piece_size;
    assert_int_equal(sk_timeline_init(&timeline, 0, config.pieces, config.piece_size, size), 0);
    assert_int_equal(sk_swarm_new(&config, on_observation, &timeline, NULL, NULL, &swarm), 0);
    assert_int_equal(sk_swarm_run(swarm, config.seconds), 0);
    assert_int_equal(timeline.lost, 0);
    assert_int_equal(timeline.peers_count, config.peers);
    for (uint32_t i = 0; i < config.peers; i++)
        check_peer(&timeline, sk_swarm_client(swarm, i));
    uint32_t flows = 0, told = 0;
    for (uint32_t n = 0; n < timeline.links_count; n++)
        told += timeline.links[n].from_ms < timeline.links[n].until_ms;
    for (uint32_t i = 0; i < config.peers; i++)
        for (uint32_t j = 0; j < config.peers; j++)
            flows += sk_swarm_flow(swarm, i, j) > 0;
    assert_true(flows > 0 && told > flows / 2);
    assert_int_equal(told, timeline.links_count);
    sk_swarm_free(swarm);
    sk_timeline_deinit(&timeline);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_timeline_knows_what_was_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
