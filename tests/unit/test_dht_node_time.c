/* A DHT node and time: its rate, its deadlines, and how it goes on while nobody answers. */
#include "dht_desk.h"

static const struct sk_dht_config plain = {.seed = 3, .families = SK_KRPC_WANT_V4};
static const struct sk_dht_config both = {.seed = 3, .families = SK_KRPC_WANT_V4 | SK_KRPC_WANT_V6};
static const uint8_t target[SK_DHT_ID_SIZE] = {0xab, 0xcd, 0xef};

/*
 * Rates.
 */

/* The most packets in any window of so long. */
static size_t most_within(const struct desk *desk, uint64_t window_ns)
{
    size_t most = 0, first = 0;
    for (size_t i = 0; i < desk->mails_count; i++) {
        while (desk->mails[first]->at_ns + window_ns < desk->mails[i]->at_ns)
            first++;
        most = SK_MAX(most, i - first + 1);
    }
    return most;
}

/* Whatever there is to do and to answer, in ten seconds go no more packets than the rate admits and
 * one burst; and answers go first. */
static void test_the_rate_is_kept(void **state)
{
    static const double rates[] = {1, 5, 20, 50};
    for (size_t r = 0; r < SK_ARRAY_LEN(rates); r++)
        for (unsigned queries = 0; queries < 2; queries++) {
            struct desk desk;
            struct sk_dht_config config = plain;
            config.rate = rates[r];
            desk_begin(&desk, &config);
            desk_crowd(&desk, 30, false);
            for (unsigned i = 0; i < 60; i++) {
                struct sk_dht_search search = desk_announce(target);
                search.target[0] = (uint8_t)(i * 4);
                desk_search(&desk, &search);
            }
            /* Half as many queries as may be answered. */
            for (unsigned i = 0; i < rates[r] * 30; i++) {
                if (queries)
                    desk_ping(&desk, i);
                desk_wait(&desk, (uint64_t)(2e9 / rates[r]));
            }
            size_t most = most_within(&desk, 10 * SECOND_NS);
            double burst = SK_MAX(rates[r] / 2, 8.0);
            if ((double)most > rates[r] * 10 + burst + 1)
                fail_msg("%zu packets in ten seconds, rate %g", most, rates[r]);
            if ((double)most < rates[r] * 9) /* and what may be sent is */
                fail_msg("%zu packets only in ten seconds, rate %g", most, rates[r]);
            size_t answers = desk_count(&desk, NULL, SK_KRPC_RESPONSE);
            if (queries && (double)answers < rates[r] * 30 * 0.95)
                fail_msg("%zu answers, rate %g", answers, rates[r]);
            desk_end(&desk);
        }
}

/* No packet is held back in the end: all searches end although the rate is low. */
static void test_a_low_rate_only_takes_time(void **state)
{
    struct desk desk;
    struct sk_dht_config config = plain;
    config.rate = 2;
    desk_begin(&desk, &config);
    desk_crowd(&desk, 12, false);
    for (unsigned i = 0; i < 6; i++) {
        struct sk_dht_search search = desk_announce(target);
        search.target[0] = (uint8_t)(i * 40);
        desk_search(&desk, &search);
    }
    desk_wait(&desk, 300 * SECOND_NS);
    assert_int_equal(desk.done, 6);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(desk.stories[i].result.stored, 4);
    desk_end(&desk);
}

/*
 * Deadlines.
 */

/* Runs a small life; ticks also come at times that are no deadlines where `often` is set. */
static void live(struct desk *desk, bool often)
{
    desk_begin(desk, &both);
    desk_crowd(desk, 30, false);
    desk_crowd(desk, 10, true);
    for (size_t i = 0; i < desk->actors_count; i += 4)
        desk->actors[i].reply = NULL;
    for (unsigned i = 0; i < 40; i++) {
        if (i % 8 == 0) {
            struct sk_dht_search search = desk_announce(target);
            search.target[0] = (uint8_t)(i * 6);
            desk_search(desk, &search);
        }
        for (unsigned j = 0; j < 60; j++) {
            desk_wait(desk, SECOND_NS);
            if (often) {
                sk_dht_tick(desk->dht, desk->now_ns);
                desk_settle(desk);
            }
        }
    }
}

/* Who wakes at the deadlines only does the same, at the same time, as who is always awake. */
static void test_deadlines_miss_nothing(void **state)
{
    struct desk *seldom = malloc(sizeof *seldom), *often = malloc(sizeof *often);
    assert_true(seldom && often);
    live(seldom, false);
    live(often, true);
    assert_true(seldom->mails_count > 100);
    assert_int_equal(seldom->mails_count, often->mails_count);
    for (size_t i = 0; i < seldom->mails_count; i++) {
        assert_int_equal(seldom->mails[i]->at_ns, often->mails[i]->at_ns);
        assert_int_equal(seldom->mails[i]->size, often->mails[i]->size);
        assert_memory_equal(seldom->mails[i]->bytes, often->mails[i]->bytes,
                            seldom->mails[i]->size);
    }
    desk_discard(seldom);
    desk_discard(often);
}

/* Goes on by deadlines; a millisecond before each there is nothing to be sent. Returns how many
 * there were. */
static unsigned go_on_watching(struct desk *desk, uint64_t duration_ns)
{
    struct sk_dht_out out;
    unsigned deadlines = 0;
    uint64_t end_ns = desk->now_ns + duration_ns;
    desk_settle(desk);
    do {
        uint64_t at_ns = sk_dht_deadline(desk->dht);
        if (desk->letters)
            at_ns = SK_MIN(at_ns, desk->letters->at_ns);
        if (at_ns <= end_ns && at_ns > desk->now_ns + MS_NS) {
            desk->now_ns = at_ns - MS_NS;
            assert_int_equal(sk_dht_next_output(desk->dht, desk->now_ns, &out), 0);
            deadlines++;
        }
    } while (desk_step(desk, end_ns));
    return deadlines;
}

/* What the rate held back goes as soon as it admits it, while joining and later. */
static void test_no_deadline_is_late_under_a_rate(void **state)
{
    struct desk desk;
    struct sk_dht_config config = plain;
    config.rate = 4;
    desk_begin(&desk, &config);
    for (size_t i = 0; i < 12; i++) {
        struct sk_endpoint endpoint = desk_public(i, false);
        sk_dht_add_address(desk.dht, &desk_add_actor(&desk, &endpoint, NULL)->at, false,
                           desk.now_ns);
    }
    assert_true(go_on_watching(&desk, 60 * SECOND_NS) > 50);
    assert_int_equal(sk_dht_state(desk.dht, SK_FAMILY_V4), SK_DHT_READY);
    for (unsigned i = 0; i < 6; i++) {
        struct sk_dht_search search = desk_announce(target);
        search.target[0] = (uint8_t)(i * 40);
        desk_search(&desk, &search);
    }
    assert_true(go_on_watching(&desk, 60 * SECOND_NS) > 50);
    assert_int_equal(desk.done, 6);
    desk_end(&desk);
}

/* A node that has nothing to do sleeps; one in a quiet network wakes seldom. */
static void test_a_quiet_node_sleeps(void **state)
{
    struct desk desk;
    desk_begin(&desk, &plain);
    assert_int_equal(sk_dht_deadline(desk.dht), SK_TIME_NEVER);
    desk_crowd(&desk, 30, false);
    desk_wait(&desk, 600 * SECOND_NS);
    unsigned steps = 0;
    uint64_t end_ns = desk.now_ns + 3600 * SECOND_NS;
    while (desk_step(&desk, end_ns))
        steps++;
    if (steps > 3000)
        fail_msg("%u times awake in an hour", steps);
    assert_int_equal(sk_dht_state(desk.dht, SK_FAMILY_V4), SK_DHT_READY);
    desk_end(&desk);
}

/* A clock that jumps back moves nothing back. */
static void test_time_goes_forward_only(void **state)
{
    struct desk desk;
    struct sk_dht_out out;
    desk_begin(&desk, &plain);
    desk_crowd(&desk, 12, false);
    uint64_t deadline_ns = sk_dht_deadline(desk.dht);
    sk_dht_tick(desk.dht, 5);
    sk_dht_next_output(desk.dht, 1, &out);
    assert_true(sk_dht_deadline(desk.dht) >= SK_MIN(deadline_ns, desk.now_ns));
    desk_check_works(&desk, target);
    desk_end(&desk);
}

/*
 * Offline.
 */

/* While nobody answers what was added is asked again, at intervals that double up to five minutes;
 * retry_ns says when. */
static void test_back_off_doubles(void **state)
{
    struct desk desk;
    desk_begin(&desk, &plain);
    struct sk_endpoint endpoint = at("80.1.2.3");
    struct actor *actor = desk_add_actor(&desk, &endpoint, NULL);
    actor->reply = NULL;
    assert_int_equal(sk_dht_state(desk.dht, SK_FAMILY_V4), SK_DHT_EMPTY);
    sk_dht_add_address(desk.dht, &actor->at, true, desk.now_ns);
    assert_int_equal(sk_dht_state(desk.dht, SK_FAMILY_V4), SK_DHT_JOINING);
    desk_wait(&desk, 3 * SECOND_NS + 1);
    double expected_s = 2;
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(sk_dht_state(desk.dht, SK_FAMILY_V4), SK_DHT_OFFLINE);
        uint64_t retry_ns = sk_dht_retry_ns(desk.dht, SK_FAMILY_V4);
        double wait_s = (double)(retry_ns - desk.now_ns) / (double)SECOND_NS;
        assert_true(wait_s >= expected_s * 0.74 && wait_s <= expected_s * 1.26);
        unsigned asked = actor->asked;
        desk_wait(&desk, retry_ns - desk.now_ns);
        assert_int_equal(actor->asked, asked + 1);
        desk_wait(&desk, 3 * SECOND_NS + 1);
        expected_s = SK_MIN(expected_s * 2, 300.0);
    }
    actor->reply = reply_honest;
    desk_wait(&desk, 400 * SECOND_NS);
    assert_int_equal(sk_dht_state(desk.dht, SK_FAMILY_V4), SK_DHT_READY);
    assert_int_equal(sk_dht_retry_ns(desk.dht, SK_FAMILY_V4), SK_TIME_NEVER);
    desk_end(&desk);
}

/* The network goes away under a node that was ready, and comes back. */
static void test_a_ready_node_goes_offline_and_comes_back(void **state)
{
    struct desk desk;
    desk_begin(&desk, &plain);
    desk_crowd(&desk, 30, false);
    assert_int_equal(sk_dht_state(desk.dht, SK_FAMILY_V4), SK_DHT_READY);
    for (size_t i = 0; i < desk.actors_count; i++)
        desk.actors[i].reply = NULL;
    desk_wait(&desk, 3600 * SECOND_NS);
    assert_int_equal(sk_dht_state(desk.dht, SK_FAMILY_V4), SK_DHT_OFFLINE);
    desk_clear(&desk);
    desk_wait(&desk, 3600 * SECOND_NS);
    size_t packets = desk.mails_count;
    if (packets > 1000)
        fail_msg("%zu packets in an hour offline", packets);
    for (size_t i = 0; i < desk.actors_count; i++)
        desk.actors[i].reply = reply_honest;
    desk_wait(&desk, 420 * SECOND_NS);
    assert_int_equal(sk_dht_state(desk.dht, SK_FAMILY_V4), SK_DHT_READY);
    desk_check_works(&desk, target);
    desk_end(&desk);
}

/* Hundreds of nodes of an earlier run, all dead, keep nobody from joining by a bootstrap node. */
static void test_dead_saved_nodes_hold_nothing_up(void **state)
{
    struct desk desk;
    desk_begin(&desk, &plain);
    for (size_t i = 0; i < 20; i++) {
        struct sk_endpoint endpoint = desk_public(i, false);
        desk_add_actor(&desk, &endpoint, NULL);
    }
    for (size_t i = 0; i < 300; i++) {
        struct sk_endpoint endpoint = desk_public(5000 + i, false);
        sk_dht_add_address(desk.dht, &endpoint, false, desk.now_ns);
    }
    sk_dht_add_address(desk.dht, &desk.actors[0].at, true, desk.now_ns);
    desk_wait(&desk, 150 * SECOND_NS);
    assert_int_equal(sk_dht_state(desk.dht, SK_FAMILY_V4), SK_DHT_READY);
    /* They are forgotten then. */
    desk_wait(&desk, 60 * SECOND_NS);
    desk_clear(&desk);
    desk_wait(&desk, 3600 * SECOND_NS);
    for (size_t i = 0; i < desk.mails_count; i++)
        assert_non_null(desk_actor(&desk, &desk.mails[i]->to));
    desk_end(&desk);
}

/* A bootstrap node is asked for nodes, is not in the table, and nothing is stored there. */
static void test_bootstrap_nodes_are_left_alone(void **state)
{
    struct desk desk;
    desk_begin(&desk, &plain);
    for (size_t i = 0; i < 20; i++) {
        struct sk_endpoint endpoint = desk_public(i, false);
        desk_add_actor(&desk, &endpoint, NULL);
    }
    memcpy(desk.actors[0].id, target, SK_DHT_ID_SIZE);
    sk_dht_add_address(desk.dht, &desk.actors[0].at, true, desk.now_ns);
    desk_wait(&desk, 60 * SECOND_NS);
    assert_int_equal(sk_dht_state(desk.dht, SK_FAMILY_V4), SK_DHT_READY);
    assert_null(sk_dht_table_find(sk_dht_table(desk.dht, SK_FAMILY_V4), &desk.actors[0].at));
    desk_check_works(&desk, target);
    assert_int_equal(desk.actors[0].stored, 0);
    desk_end(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_rate_is_kept),
        cmocka_unit_test(test_a_low_rate_only_takes_time),
        cmocka_unit_test(test_deadlines_miss_nothing),
        cmocka_unit_test(test_no_deadline_is_late_under_a_rate),
        cmocka_unit_test(test_a_quiet_node_sleeps),
        cmocka_unit_test(test_time_goes_forward_only),
        cmocka_unit_test(test_back_off_doubles),
        cmocka_unit_test(test_a_ready_node_goes_offline_and_comes_back),
        cmocka_unit_test(test_dead_saved_nodes_hold_nothing_up),
        cmocka_unit_test(test_bootstrap_nodes_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
