/* What the auditor sees of a simulated swarm, each habit as it is described. */
#include "tests/sim/swarm_run.h"

/* ---- what the auditor sees ---- */

/* HAVEs about a client after its bitfield, each piece once. */
static void test_plain_clients_tell_all_that_they_gain(void **state)
{
    struct sk_swarm_config config = run_plain;
    config.other_clients = 0.3;
    config.watched_share = 0.6;
    struct run run;
    run_begin_and_run(&run, &config);
    uint32_t watched = 0;
    for (uint32_t i = 0; i < config.peers; i++) {
        const struct sk_swarm_client *c = run_client(&run, i);
        watched += c->watched;
        if (!c->watched) {
            assert_int_equal(run_count(&run, c, SK_OBS_OPEN), 0);
            assert_int_equal(run_count(&run, c, SK_OBS_HAVE), 0);
            assert_int_equal(run_count(&run, c, SK_OBS_FAILED), 1);
            continue;
        }
        const struct sk_swarm_node *node = run.swarm->nodes[i];
        uint32_t told = c->held - node->tells_count;
        assert_int_equal(run_first_set(&run, c) + run_count(&run, c, SK_OBS_HAVE), told);
        uint8_t had[300] = {0};
        size_t at = 0;
        const struct run_seen *seen;
        while ((seen = run_next(&run, c, SK_OBS_HAVE, &at)))
            assert_int_equal(had[seen->at.a]++, 0);
    }
    assert_in_range(watched, 15, 33);
    for (size_t i = 1; i < run.seen_count; i++)
        assert_true(run.seen[i].at.at_ns >= run.seen[i - 1].at.at_ns);
    run_end(&run);
}

/* A HAVE comes half a round trip after the last block of the piece. */
static void test_a_have_is_late_by_half_a_round_trip(void **state)
{
    struct sk_swarm_config config = run_plain;
    config.rtt_s = 4;
    config.seconds = 60;
    struct run run;
    run_begin(&run, &config);
    for (int t = 1; t <= config.seconds; t++) {
        assert_int_equal(sk_swarm_run(run.swarm, t), 0);
        for (uint32_t i = 0; i < config.peers; i++) {
            const struct sk_swarm_node *node = run.swarm->nodes[i];
            if (node->tells_count == 0)
                continue;
            double late_s =
                (double)(node->tells[node->tells_first].at_ns - run.swarm->now_ns) / 1e9;
            assert_true(late_s <= node->half_rtt_s && late_s >= 0);
        }
    }
    run_end(&run);
}

/* A run in which all that can have this habit. */
static void run_habit(struct run *run, enum sk_swarm_habit habit, double drop)
{
    struct sk_swarm_config config = run_plain;
    config.habits[habit] = 1;
    config.have_drop = drop;
    run_begin_and_run(run, &config);
}

static void test_who_suppresses_haves_tells_none(void **state)
{
    struct run run;
    run_habit(&run, SK_SWARM_SUPPRESSES_HAVES, 0);
    for (uint32_t i = run_plain.seeds; i < run_plain.peers; i++) {
        assert_int_equal(run_client(&run, i)->habit, SK_SWARM_SUPPRESSES_HAVES);
        assert_int_equal(run_count(&run, run_client(&run, i), SK_OBS_HAVE), 0);
        assert_true(run_client(&run, i)->held > run_first_set(&run, run_client(&run, i)));
    }
    run_end(&run);
}

/* Who tells nothing is called again after three minutes: each time it shows what it has. */
static void test_connections_to_the_silent_are_renewed(void **state)
{
    struct run run;
    struct sk_swarm_config config = run_plain;
    uint32_t renewed = 0;
    config.seconds = 700;
    config.habits[SK_SWARM_SUPPRESSES_HAVES] = 0.5;
    run_begin_and_run(&run, &config);
    for (uint32_t i = 0; i < config.peers; i++) {
        const struct sk_swarm_client *c = run_client(&run, i);
        size_t open_at = 0, closed_at = 0, set_at = 0;
        const struct run_seen *open = run_next(&run, c, SK_OBS_OPEN, &open_at), *closed;
        uint32_t set = run_next(&run, c, SK_OBS_BITFIELD, &set_at)->set;
        if (c->habit != SK_SWARM_SUPPRESSES_HAVES && c->held == config.pieces) {
            assert_int_equal(run_count(&run, c, SK_OBS_CLOSED), 0);
            continue;
        }
        while ((closed = run_next(&run, c, SK_OBS_CLOSED, &closed_at))) {
            assert_true(closed->at.at_ns - open->at.at_ns >= SK_RENEWAL_SILENCE_NS);
            open = run_next(&run, c, SK_OBS_OPEN, &open_at);
            assert_true(open->at.at_ns - closed->at.at_ns >= SK_RENEWAL_AWAY_NS);
            const struct run_seen *shown = run_next(&run, c, SK_OBS_BITFIELD, &set_at);
            assert_true(shown->set >= set);
            renewed += shown->set > set;
            set = shown->set;
        }
        assert_true(run_count(&run, c, SK_OBS_OPEN) >= 2);
    }
    assert_true(renewed >= 15);
    run_end(&run);
}

static void test_who_suppresses_some_drops_that_share(void **state)
{
    struct run run;
    double gained = 0, told = 0;
    run_habit(&run, SK_SWARM_SUPPRESSES_SOME, 0.4);
    for (uint32_t i = run_plain.seeds; i < run_plain.peers; i++) {
        gained += run_client(&run, i)->held - run_first_set(&run, run_client(&run, i));
        told += run_count(&run, run_client(&run, i), SK_OBS_HAVE);
    }
    assert_true(fabs(told / gained - 0.6) < 0.03);
    run_end(&run);
}

static void test_a_lazy_bitfield_is_made_whole_at_once(void **state)
{
    struct run run;
    run_habit(&run, SK_SWARM_LAZY_BITFIELD, 0);
    for (uint32_t i = 0; i < run_plain.peers; i++) {
        const struct sk_swarm_client *c = run_client(&run, i);
        size_t at = 0;
        const struct run_seen *first = run_next(&run, c, SK_OBS_BITFIELD, &at), *seen;
        uint32_t at_once = 0, told = run_count(&run, c, SK_OBS_HAVE);
        at = 0;
        while ((seen = run_next(&run, c, SK_OBS_HAVE, &at)))
            at_once += seen->at.at_ns == first->at.at_ns;
        assert_true(!c->seed || (first->set < run.pieces && at_once > 0));
        assert_int_equal(first->set + told, c->held - run.swarm->nodes[i]->tells_count);
    }
    run_end(&run);
}

static void test_a_super_seeder_shows_pieces_one_by_one(void **state)
{
    struct run run;
    run_habit(&run, SK_SWARM_SUPER_SEEDS, 0);
    for (uint32_t i = 0; i < run_plain.peers; i++) {
        const struct sk_swarm_client *c = run_client(&run, i);
        assert_int_equal(c->habit, c->seed ? SK_SWARM_SUPER_SEEDS : SK_SWARM_PLAIN);
        if (!c->seed)
            continue;
        assert_int_equal(run_first_set(&run, c), 0);
        uint32_t shown = run_count(&run, c, SK_OBS_HAVE), opened = run_count(&run, c, SK_OBS_OPEN);
        assert_true(shown >= opened &&
                    shown <= opened + SK_SWARM_PROBE_BYTES / run_plain.piece_size);
        assert_true(c->uploaded > 0);
    }
    run_end(&run);
}

static void test_bitfields_come_in_place_of_haves(void **state)
{
    struct run run;
    run_habit(&run, SK_SWARM_BITFIELDS, 0);
    double gained = 0, told = 0;
    for (uint32_t i = run_plain.seeds; i < run_plain.peers; i++) {
        const struct sk_swarm_client *c = run_client(&run, i);
        size_t at = 0;
        uint32_t bitfields = 0, before = 0;
        const struct run_seen *seen;
        while ((seen = run_next(&run, c, SK_OBS_BITFIELD, &at))) {
            assert_true(seen->set >= before);
            before = seen->set;
            bitfields++;
        }
        assert_true(bitfields > 1);
        gained += c->held - run_first_set(&run, c);
        told += run_count(&run, c, SK_OBS_HAVE);
    }
    assert_true(told > 0 && told < gained);
    run_end(&run);
}

static void test_the_auditor_takes_a_little_where_it_is_unchoked(void **state)
{
    struct sk_swarm_config config = run_plain;
    struct run run;
    uint32_t served = 0;
    run_begin_and_run(&run, &config);
    for (uint32_t i = 0; i < config.peers; i++) {
        const struct sk_swarm_client *c = run_client(&run, i);
        size_t at = 0, unchoke_at = 0;
        const struct run_seen *seen, *last = NULL;
        const struct run_seen *unchoke = run_next(&run, c, SK_OBS_UNCHOKE, &unchoke_at);
        while ((seen = run_next(&run, c, SK_OBS_ARRIVAL, &at))) {
            assert_true(unchoke && seen->at.at_ns > unchoke->at.at_ns);
            assert_true(!last || seen->at.a > last->at.a);
            last = seen;
        }
        assert_int_equal(last ? (uint64_t)last->at.a : 0, c->probed);
        assert_true(c->probed <= SK_SWARM_PROBE_BYTES);
        uint32_t blocks = run_count(&run, c, SK_OBS_BLOCK);
        assert_int_equal(blocks, c->probed / config.block_size);
        served += c->probed == SK_SWARM_PROBE_BYTES;
        if (c->probed == SK_SWARM_PROBE_BYTES)
            assert_int_equal(run_count(&run, c, SK_OBS_VERIFIED), c->probed / config.piece_size);
    }
    assert_true(served > config.peers / 2);
    run_end(&run);
}

static void test_a_tracer_is_a_piece_that_no_one_gave(void **state)
{
    struct run run;
    uint32_t whom = run_plain.seeds, piece = 0;
    run_begin(&run, &run_plain);
    assert_false(sk_swarm_give(run.swarm, whom, 0)); /* not connected yet */
    assert_int_equal(sk_swarm_run(run.swarm, 20), 0);
    struct sk_swarm_node *node = run.swarm->nodes[whom];
    while (!sk_swarm_bit(node->missing, piece))
        piece++;
    uint64_t downloaded = node->truth.downloaded;
    uint32_t held = node->truth.held, requests = run_count(&run, &node->truth, SK_OBS_REQUESTED);
    uint32_t available = sk_swarm_availability(run.swarm, piece);
    assert_true(sk_swarm_give(run.swarm, whom, piece));
    assert_false(sk_swarm_give(run.swarm, whom, piece));
    assert_int_equal(node->truth.downloaded, downloaded + run_plain.piece_size);
    assert_int_equal(node->truth.held, held + 1);
    assert_int_equal(sk_swarm_availability(run.swarm, piece), available + 1);
    assert_int_equal(run_count(&run, &node->truth, SK_OBS_REQUESTED) - requests,
                     run_plain.piece_size / run_plain.block_size);
    assert_int_equal(sk_swarm_run(run.swarm, 25), 0);
    size_t at = 0;
    const struct run_seen *seen;
    while ((seen = run_next(&run, &node->truth, SK_OBS_HAVE, &at)) && seen->at.a != piece)
        continue;
    assert_non_null(seen);
    assert_int_equal(node->truth.downloaded, run_taken(&run, whom) + run_plain.piece_size);
    /* Of a piece that it has begun only the rest. */
    assert_true(node->partials_count > 0);
    piece = node->partials[0].piece;
    uint64_t rest = run_plain.piece_size - node->partials[0].held * (uint64_t)run_plain.block_size;
    downloaded = node->truth.downloaded;
    assert_true(sk_swarm_give(run.swarm, whom, piece));
    assert_int_equal(node->truth.downloaded, downloaded + rest);
    assert_int_equal(sk_swarm_run(run.swarm, 100), 0);
    run_end(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_clients_tell_all_that_they_gain),
        cmocka_unit_test(test_a_have_is_late_by_half_a_round_trip),
        cmocka_unit_test(test_who_suppresses_haves_tells_none),
        cmocka_unit_test(test_connections_to_the_silent_are_renewed),
        cmocka_unit_test(test_who_suppresses_some_drops_that_share),
        cmocka_unit_test(test_a_lazy_bitfield_is_made_whole_at_once),
        cmocka_unit_test(test_a_super_seeder_shows_pieces_one_by_one),
        cmocka_unit_test(test_bitfields_come_in_place_of_haves),
        cmocka_unit_test(test_the_auditor_takes_a_little_where_it_is_unchoked),
        cmocka_unit_test(test_a_tracer_is_a_piece_that_no_one_gave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
