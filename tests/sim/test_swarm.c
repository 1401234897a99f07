/* A simulated swarm: what is given is taken, limits hold, blocks flow over links, clients come and
 * go. */
#include "base/map.h"
#include "tests/sim/swarm_run.h"

/* ---- bytes ---- */

static void test_what_is_given_is_taken(void **state)
{
    struct sk_swarm_config config = run_plain;
    struct run run;
    run_begin_and_run(&run, &config);
    run_check_bytes(&run, &config);
    assert_true(run_taken(&run, config.peers - 1) > 0);
    run_end(&run);
    config.hash_fail = 0.05;
    config.waste = 0.03;
    config.other_clients = 0.5;
    config.restart_per_hour = 12;
    config.join_per_s = 0.1;
    config.leave_done = 0.7;
    config.seconds = 600;
    config.habits[SK_SWARM_SUPER_SEEDS] = 0.5;
    run_begin_and_run(&run, &config);
    run_check_bytes(&run, &config);
    run_end(&run);
}

/* Swarms of all kinds and sizes, the smallest too. */
static void test_any_swarm_keeps_its_books(void **state)
{
    struct sk_prng prng;
    sk_prng_init(&prng, 1);
    for (uint64_t n = 0; n < 60; n++) {
        struct sk_swarm_config config = run_plain;
        config.seed = n;
        config.peers = 1 + (uint32_t)sk_prng_below(&prng, 40);
        config.seeds = (uint32_t)sk_prng_below(&prng, config.peers + 1);
        config.pieces = 1 + (uint32_t)sk_prng_below(&prng, n % 2 ? 5 : 200);
        config.block_size = 1 + (uint32_t)sk_prng_below(&prng, config.piece_size);
        config.block_size = SK_MAX(config.block_size, 10000u);
        config.degree = (uint32_t)sk_prng_below(&prng, 10);
        config.begun_share = sk_prng_unit(&prng);
        config.watched_share = sk_prng_unit(&prng);
        config.rtt_s = sk_prng_unit(&prng);
        config.join_per_s = 0.1 * sk_prng_unit(&prng);
        config.leave_done = sk_prng_unit(&prng);
        config.restart_per_hour = n % 3 ? 60 * sk_prng_unit(&prng) : 0;
        config.hash_fail = 0.3 * sk_prng_unit(&prng);
        config.waste = 0.3 * sk_prng_unit(&prng);
        config.other_clients = sk_prng_unit(&prng);
        config.demand = n % 4 ? 0 : sk_prng_unit(&prng);
        for (int i = SK_SWARM_PLAIN + 1; i < SK_SWARM_HABIT_COUNT; i++)
            config.habits[i] = sk_prng_unit(&prng) / SK_SWARM_HABIT_COUNT;
        struct run run;
        run_begin_and_run(&run, &config);
        run_check_bytes(&run, &config);
        run_end(&run);
    }
}

static void test_wrong_pieces_and_double_blocks_are_counted(void **state)
{
    struct sk_swarm_config config = run_plain;
    config.hash_fail = 0.1;
    config.waste = 0.05;
    struct run run;
    run_begin_and_run(&run, &config);
    double wasted = 0, down = 0;
    for (uint32_t i = 0; i < config.peers; i++) {
        wasted += (double)run_client(&run, i)->wasted;
        down += (double)run_client(&run, i)->downloaded;
    }
    /* Of what comes a tenth is wrong, and a twentieth more came before. */
    assert_true(fabs(wasted / down - (1 - 0.9 * 0.95)) < 0.02);
    run_end(&run);
}

/* Some waste many times as much as others. Wrong pieces come several in a row, and are as many. */
static void test_clients_waste_differently(void **state)
{
    struct sk_swarm_config config = run_plain;
    config.hash_fail = 0.05;
    config.hash_fail_run = 5;
    for (int spread = 0; spread <= 1; spread++) {
        struct run run;
        config.hash_fail *= !spread;
        config.waste = 0.01 * spread;
        config.waste_spread = 0.7;
        run_begin_and_run(&run, &config);
        double wasted = 0, down = 0, most = 0;
        for (uint32_t i = 0; i < config.peers; i++) {
            const struct sk_swarm_client *client = run_client(&run, i);
            wasted += (double)client->wasted;
            down += (double)client->downloaded;
            most = SK_MAX(most, (double)client->wasted / SK_MAX((double)client->downloaded, 1.0));
        }
        if (spread)
            assert_true(most > 2 * wasted / down && most < 0.05);
        else
            assert_true(fabs(wasted / down - 0.05) < 0.015);
        run_end(&run);
    }
}

static uint64_t digest(const struct run *run)
{
    uint64_t digest = 0;
    for (size_t i = 0; i < run->seen_count; i++) {
        const struct sk_observation *at = &run->seen[i].at;
        const uint64_t numbers[] = {at->at_ns,
                                    at->kind,
                                    sk_endpoint_hash(&at->peer, 1),
                                    sk_endpoint_hash(&at->by, 1),
                                    (uint64_t)at->a,
                                    (uint64_t)at->b,
                                    (uint64_t)at->c,
                                    run->seen[i].set};
        digest = sk_hash_bytes(numbers, sizeof numbers, digest);
    }
    for (size_t i = 0; i < run->said_count; i++) {
        const struct sk_announce *a = &run->said[i];
        const double numbers[] = {a->at_unix_s, (double)a->uploaded, (double)a->downloaded,
                                  (double)a->left, a->key};
        digest = sk_hash_bytes(numbers, sizeof numbers, digest);
    }
    return digest;
}

static void test_one_seed_gives_one_run(void **state)
{
    struct sk_swarm_config config = run_plain;
    config.restart_per_hour = 6;
    config.other_clients = 0.3;
    struct run a, b, c;
    run_begin_and_run(&a, &config);
    /* However it is cut into steps. */
    run_begin(&b, &config);
    for (double t = 0; t <= config.seconds; t += 7)
        assert_int_equal(sk_swarm_run(b.swarm, t), 0);
    assert_int_equal(sk_swarm_run(b.swarm, 2 * config.seconds), 0);
    config.seed++;
    run_begin_and_run(&c, &config);
    assert_int_equal(a.seen_count, b.seen_count);
    assert_true(digest(&a) == digest(&b));
    assert_true(digest(&a) != digest(&c));
    run_end(&a);
    run_end(&b);
    run_end(&c);
}

/* ---- limits ---- */

static void check_limits(const struct sk_swarm_config *config)
{
    enum { STEP_S = 10 };
    struct run run;
    uint64_t up[64] = {0}, down[64] = {0};
    assert_true(config->peers <= SK_ARRAY_LEN(up));
    run_begin(&run, config);
    for (int t = STEP_S; t <= config->seconds; t += STEP_S) {
        assert_int_equal(sk_swarm_run(run.swarm, t), 0);
        for (uint32_t i = 0; i < config->peers; i++) {
            const struct sk_swarm_client *c = run_client(&run, i);
            /* A block that began before, and blocks that were granted before. */
            double slack = config->block_size;
            assert_true((double)(c->uploaded - up[i]) <= STEP_S * c->up_bytes_s + slack);
            slack *= 2 + run.swarm->nodes[i]->open_count;
            assert_true((double)(c->downloaded - down[i]) <= STEP_S * c->down_bytes_s + slack);
            up[i] = c->uploaded;
            down[i] = c->downloaded;
        }
    }
    run_end(&run);
}

static double share_used(const struct sk_swarm_config *config)
{
    struct run run;
    run_begin_and_run(&run, config);
    double moved = 0, could = 0;
    for (uint32_t i = 0; i < config->peers; i++) {
        moved += (double)(run_client(&run, i)->uploaded - run_client(&run, i)->probed);
        could += run_client(&run, i)->up_bytes_s * config->seconds;
    }
    run_end(&run);
    return moved / could;
}

static void test_limits_hold_and_are_used(void **state)
{
    struct sk_swarm_config config = run_plain;
    config.pieces = 600;
    config.degree = 20;
    config.seconds = 120;
    check_limits(&config);
    assert_true(share_used(&config) > 0.8);
    config.other_clients = 0.5;
    check_limits(&config);
    assert_true(share_used(&config) > 0.8);
}

static void test_an_idle_swarm_takes_what_it_can(void **state)
{
    struct sk_swarm_config config = run_plain;
    config.demand = 0.2;
    config.seconds = 120;
    check_limits(&config);
    /* All it can take, but for those that are done. */
    assert_in_range((uint64_t)(1000 * share_used(&config)), 170, 205);
}

/* Tit for tat: who gives much gets much back, pair by pair. */
static void test_clients_give_to_those_that_give(void **state)
{
    for (int others = 0; others < 2; others++) {
        struct sk_swarm_config config = run_plain;
        config.other_clients = others;
        config.pieces = 2000;
        config.begun_share = 1; /* all have something to trade from the start */
        struct run run;
        run_begin_and_run(&run, &config);
        double n = 0, x = 0, xx = 0, xy = 0;
        for (uint32_t i = config.seeds; i < config.peers; i++) {
            for (uint32_t j = config.seeds; j < config.peers; j++) {
                if (!sk_swarm_unchoked(run.swarm, i, j, 0, config.seconds))
                    continue;
                double a = sqrt((double)sk_swarm_flow(run.swarm, i, j));
                double b = sqrt((double)sk_swarm_flow(run.swarm, j, i));
                n++;
                x += (a + b) / 2;
                xx += (a * a + b * b) / 2;
                xy += a * b;
            }
        }
        double correlation = (xy / n - x / n * x / n) / (xx / n - x / n * x / n);
        assert_true(correlation > 0.2);
        run_end(&run);
    }
}

static void test_two_peers_are_a_swarm(void **state)
{
    struct sk_swarm_config config = run_plain;
    config.peers = 2;
    config.seeds = 1;
    config.watched_share = config.begun_share = 0;
    config.seconds = 3600;
    struct run run;
    run_begin_and_run(&run, &config);
    uint64_t size = (uint64_t)config.pieces * config.piece_size;
    assert_int_equal(sk_swarm_flow(run.swarm, 0, 1), size);
    assert_int_equal(run_client(&run, 1)->held, config.pieces);
    assert_int_equal(run_client(&run, 1)->downloaded, size);
    run_end(&run);
}

/* ---- links ---- */

static bool linked(const struct run *run, uint32_t a, uint32_t b)
{
    size_t at = 0;
    const struct run_seen *seen;
    while ((seen = run_next(run, run_client(run, b), SK_OBS_HEARD, &at)))
        if (sk_endpoint_equal(&seen->at.by, &run_client(run, a)->endpoint))
            return true;
    return false;
}

static void test_blocks_flow_over_links_that_pex_told_and_while_unchoked(void **state)
{
    struct sk_swarm_config config = run_plain;
    config.peers = 30;
    config.degree = 4;
    config.pieces = 3000; /* nobody is done, so no links come and go */
    config.other_clients = 0.4;
    config.seconds = 100;
    struct run run;
    static uint64_t before[30][30];
    memset(before, 0, sizeof before);
    uint32_t edges = 0, links = 0;
    run_begin(&run, &config);
    for (int t = 0; t < config.seconds; t += 5) {
        assert_int_equal(sk_swarm_run(run.swarm, t + 5), 0);
        for (uint32_t i = 0; i < config.peers; i++) {
            /* What was on its way when it was choked still comes. */
            double late_s = config.block_size / run_client(&run, i)->up_bytes_s;
            for (uint32_t j = 0; j < config.peers; j++) {
                uint64_t bytes = sk_swarm_flow(run.swarm, i, j);
                if (bytes > before[i][j])
                    assert_true(sk_swarm_unchoked(run.swarm, i, j, t - late_s, t + 5));
                before[i][j] = bytes;
            }
        }
    }
    for (uint32_t i = 0; i < config.peers; i++) {
        for (uint32_t j = 0; j < config.peers; j++) {
            links += linked(&run, i, j);
            edges += before[i][j] > 0;
            if (before[i][j])
                assert_true(linked(&run, i, j) && linked(&run, j, i));
            if (!linked(&run, i, j))
                assert_false(sk_swarm_unchoked(run.swarm, i, j, 0, config.seconds));
        }
    }
    /* Each makes four, and is there for those of others; two seeds do not meet. */
    assert_in_range(links, 2 * 4 * config.peers - 20, 2 * 4 * config.peers);
    assert_true(edges > links / 2);
    run_end(&run);
}

static void test_no_link_is_told_where_that_is_not_done(void **state)
{
    struct sk_swarm_config config = run_plain;
    config.links_told = false;
    config.seconds = 100;
    struct run run;
    run_begin_and_run(&run, &config);
    for (size_t i = 0; i < run.seen_count; i++)
        assert_true(run.seen[i].at.kind != SK_OBS_HEARD || run.seen[i].at.by.family == 0);
    run_end(&run);
}

static void test_capacity_is_measured_with_the_error_asked_for(void **state)
{
    struct sk_swarm_config config = run_plain;
    config.peers = 2000;
    config.pieces = 8;
    config.degree = 1;
    config.capacity_error = 0.2;
    struct run run;
    run_begin(&run, &config);
    double sum = 0, squares = 0, least = INFINITY, most = 0;
    for (uint32_t i = 0; i < config.peers; i++) {
        double up = run_client(&run, i)->up_bytes_s;
        double error = log(sk_swarm_measured(run.swarm, i) / up);
        sum += error;
        squares += error * error;
        least = fmin(least, up);
        most = fmax(most, up);
    }
    assert_true(fabs(sum / config.peers) < 0.02);
    assert_true(fabs(sqrt(squares / config.peers) - 0.2) < 0.02);
    assert_true(least >= 62500 && least < 70000 && most > 2400000 && most <= 2500000);
    run_end(&run);
}

static void test_capacity_is_unknown_as_often_as_asked_for(void **state)
{
    struct sk_swarm_config config = run_plain;
    config.peers = 2000;
    config.pieces = 8;
    config.degree = 1;
    config.capacity_unknown = 0.3;
    struct run run;
    run_begin(&run, &config);
    uint32_t unknown = 0;
    for (uint32_t i = 0; i < config.peers; i++)
        unknown += isnan(sk_swarm_measured(run.swarm, i));
    assert_in_range(unknown, 540, 660);
    run_end(&run);
}

/* ---- who comes and goes ---- */

static void test_restarts_begin_the_counters_anew(void **state)
{
    struct sk_swarm_config config = run_plain;
    config.restart_per_hour = 30;
    config.announce_interval_s = 20;
    struct run run;
    run_begin_and_run(&run, &config);
    uint32_t restarts = 0, crashes = 0;
    for (uint32_t i = 0; i < config.peers; i++) {
        const struct sk_swarm_client *c = run_client(&run, i);
        const struct sk_announce *last = NULL;
        for (size_t n = 0; n < run.said_count; n++) {
            const struct sk_announce *said = &run.said[n];
            if (!sk_endpoint_equal(&said->endpoint, &c->endpoint))
                continue;
            bool starts = said->event == SK_ANNOUNCE_STARTED;
            assert_true(last || starts);
            if (last && !starts) {
                assert_memory_equal(said->peer_id, last->peer_id, 20);
                assert_true(said->uploaded >= last->uploaded && said->left <= last->left);
                assert_true(said->downloaded >= last->downloaded && said->key == last->key);
            } else if (last) {
                assert_memory_not_equal(said->peer_id, last->peer_id, 20);
                assert_true(said->left <= last->left);
                assert_true(said->uploaded < 4 * c->up_bytes_s);
                restarts++;
                crashes += last->event != SK_ANNOUNCE_STOPPED;
            }
            last = said;
        }
        /* Connections and peer ids as the auditor saw them. */
        const struct run_seen *open, *before = NULL;
        size_t at = 0;
        while ((open = run_next(&run, c, SK_OBS_OPEN, &at))) {
            assert_true(!before || memcmp(open->peer_id, before->peer_id, 20) != 0);
            before = open;
        }
        uint32_t opens = run_count(&run, c, SK_OBS_OPEN),
                 closes = run_count(&run, c, SK_OBS_CLOSED);
        assert_true(opens == closes || opens == closes + 1);
        assert_int_equal(run_count(&run, c, SK_OBS_BITFIELD), opens);
    }
    assert_in_range(restarts, 60, 130);
    assert_in_range(crashes, restarts / 4, restarts * 3 / 4);
    run_check_bytes(&run, &config);
    run_end(&run);
}

static void test_clients_come_and_go(void **state)
{
    struct sk_swarm_config config = run_plain;
    config.peers = 20;
    config.pieces = 60;
    config.join_per_s = 0.1;
    config.leave_done = 1;
    config.seconds = 600;
    struct run run;
    run_begin_and_run(&run, &config);
    size_t clients = sk_swarm_clients(run.swarm);
    uint32_t left = 0, dropped = 0;
    assert_in_range(clients, 20 + 40, 20 + 85);
    for (size_t i = 0; i < clients; i++) {
        const struct sk_swarm_client *c = run_client(&run, i);
        assert_true(i < config.peers ? c->joined_s == 0 : c->joined_s > 0);
        if (isinf(c->left_s))
            continue;
        left++;
        assert_true(c->left_s > c->joined_s && c->held == config.pieces && !c->seed);
        assert_int_equal(run_count(&run, c, SK_OBS_CLOSED), run_count(&run, c, SK_OBS_OPEN));
        dropped += run_count(&run, c, SK_OBS_DROPPED);
        const struct sk_announce *last = NULL;
        for (size_t n = 0; n < run.said_count; n++)
            if (sk_endpoint_equal(&run.said[n].endpoint, &c->endpoint))
                last = &run.said[n];
        assert_int_equal(last->event, SK_ANNOUNCE_STOPPED);
        assert_int_equal(last->left, 0);
    }
    assert_true(left > 20 && dropped > 20);
    run_check_bytes(&run, &config);
    run_end(&run);
}

/* ---- what is not to be done ---- */

static void test_what_does_not_fit_is_refused(void **state)
{
    struct sk_swarm *swarm = NULL;
    const struct sk_swarm_cheats odd = {SK_SWARM_COLLUDES, 3, 2, 0};
    const struct sk_swarm_cheats many = {SK_SWARM_FAKE_SEED, 39, 0, 0};
    struct sk_swarm_config wrong[14];
    for (size_t i = 0; i < SK_ARRAY_LEN(wrong); i++)
        wrong[i] = run_plain;
    wrong[0].peers = 0;
    wrong[1].seeds = wrong[1].peers + 1;
    wrong[2].pieces = 0;
    wrong[3].block_size = 0;
    wrong[4].block_size = wrong[4].piece_size + 1;
    wrong[5].seconds = NAN;
    wrong[6].watched_share = 1.1;
    wrong[7].announce_interval_s = 0;
    wrong[8].hash_fail = 1;
    wrong[9].habits[SK_SWARM_BITFIELDS] = wrong[9].habits[SK_SWARM_LAZY_BITFIELD] = 0.6;
    wrong[10].rtt_s = -1;
    wrong[11].demand = NAN;
    wrong[12].cheats = &odd;
    wrong[13].cheats = &many;
    wrong[12].cheats_count = wrong[13].cheats_count = 1;
    for (size_t i = 0; i < SK_ARRAY_LEN(wrong); i++)
        assert_int_equal(sk_swarm_new(&wrong[i], NULL, NULL, NULL, NULL, &swarm), SKEP_ERR_INVALID);
    assert_null(swarm);
    sk_swarm_free(NULL);
}

static void test_memory_may_run_out_anywhere(void **state)
{
    struct sk_swarm_config config = run_plain;
    const struct sk_swarm_cheats lies[] = {{SK_SWARM_COLLUDES, 2, 2, 0}};
    config.peers = 6;
    config.pieces = 20;
    config.degree = 3;
    config.seconds = 40;
    config.restart_per_hour = 60;
    config.join_per_s = 0.1;
    config.other_clients = 0.3;
    config.habits[SK_SWARM_SUPER_SEEDS] = 1;
    config.cheats = lies;
    config.cheats_count = 1;
    size_t failures = 0;
    for (size_t nth = 1;; nth++) {
        struct sk_swarm *swarm = NULL;
        sk_mem_fail_nth(nth);
        int err = sk_swarm_new(&config, NULL, NULL, NULL, NULL, &swarm);
        if (!err)
            err = sk_swarm_run(swarm, config.seconds);
        size_t made = sk_mem_fail_nth(0);
        sk_swarm_free(swarm);
        if (made < nth)
            break;
        assert_int_equal(err, SKEP_ERR_NOMEM);
        failures++;
    }
    assert_true(failures > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_given_is_taken),
        cmocka_unit_test(test_any_swarm_keeps_its_books),
        cmocka_unit_test(test_wrong_pieces_and_double_blocks_are_counted),
        cmocka_unit_test(test_clients_waste_differently),
        cmocka_unit_test(test_one_seed_gives_one_run),
        cmocka_unit_test(test_limits_hold_and_are_used),
        cmocka_unit_test(test_an_idle_swarm_takes_what_it_can),
        cmocka_unit_test(test_clients_give_to_those_that_give),
        cmocka_unit_test(test_two_peers_are_a_swarm),
        cmocka_unit_test(test_blocks_flow_over_links_that_pex_told_and_while_unchoked),
        cmocka_unit_test(test_no_link_is_told_where_that_is_not_done),
        cmocka_unit_test(test_capacity_is_measured_with_the_error_asked_for),
        cmocka_unit_test(test_capacity_is_unknown_as_often_as_asked_for),
        cmocka_unit_test(test_restarts_begin_the_counters_anew),
        cmocka_unit_test(test_clients_come_and_go),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
        cmocka_unit_test(test_memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
