/* The routing table: whom it pings, what it refreshes, and another id for it. */
#include "dht_table_world.h"

#include "base/mem.h"

#define FULL 8
#define DEEP 10 /* a bucket with FULL places */

/* The one that is to be pinged now, by its place among these; -1 none. */
static int pinged(struct world *world, const struct sk_dht_contact *nodes, unsigned count)
{
    struct sk_dht_contact contact;
    bool due = sk_dht_table_next_ping(world->table, world->now, &contact);
    world_check(world);
    if (!due)
        return -1;
    assert_int_equal(entry_of(world, &contact)->asked_ns, world->now);
    for (unsigned i = 0; i < count; i++)
        if (same_contact(&nodes[i], &contact))
            return (int)i;
    fail_msg("a node was pinged that is none of these");
    return -1;
}

static void fail_ping(struct world *world, const struct sk_dht_contact *contact)
{
    sk_dht_table_failed(world->table, contact, world->now);
    world_check(world);
}

static void test_silent_are_pinged(void **state)
{
    struct world world;
    struct sk_dht_contact nodes[4];
    world_begin(&world, SK_FAMILY_V4, false);
    for (unsigned i = 0; i < 4; i++) {
        nodes[i] = node_in(&world, 3, i);
        answered(&world, &nodes[i]);
        world.now += SECOND_NS;
    }
    queried(&world, &nodes[0]); /* so it is the one heard last */
    world.now = START_NS + 20 * MINUTE_NS;
    assert_int_equal(pinged(&world, nodes, 4), -1);
    assert_true(sk_dht_table_deadline(world.table) <= world.now + SECOND_NS);
    world.now += 10 * SECOND_NS;
    assert_int_equal(pinged(&world, nodes, 4), 1);
    assert_int_equal(pinged(&world, nodes, 4), 2);
    assert_int_equal(pinged(&world, nodes, 4), 3);
    assert_int_equal(pinged(&world, nodes, 4), 0);
    assert_int_equal(pinged(&world, nodes, 4), -1);
    world_end(&world);
}

/* For whose place a spare waits is pinged as soon as it is questionable, and before the others. */
static void test_spare_waits(void **state)
{
    struct world world;
    struct sk_dht_contact nodes[FULL + 1], spare;
    world_begin(&world, SK_FAMILY_V4, false);
    nodes[FULL] = node_in(&world, 0, 1);
    answered(&world, &nodes[FULL]);
    world.now += SECOND_NS;
    fill_bucket(&world, DEEP, FULL, nodes);
    assert_int_equal(pinged(&world, nodes, FULL + 1), -1);
    spare = node_in(&world, DEEP, 100);
    world.now += 15 * MINUTE_NS;
    assert_int_equal(pinged(&world, nodes, FULL + 1), -1);
    answered(&world, &spare); /* from now on somebody waits */
    assert_true(sk_dht_table_deadline(world.table) <= world.now);
    assert_in_range(pinged(&world, nodes, FULL + 1), 0, FULL - 1);
    world.now += 5 * MINUTE_NS; /* the one alone is silent for longest, but nobody waits for it */
    for (unsigned i = 0; i < FULL; i++)
        assert_in_range(pinged(&world, nodes, FULL + 1), 0, FULL - 1);
    assert_int_equal(pinged(&world, nodes, FULL + 1), FULL);
    assert_int_equal(pinged(&world, nodes, FULL + 1), -1);
    world_end(&world);
}

/* Not again before the outcome is known; a query of a search counts as well. */
static void test_outcome(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, false);
    struct sk_dht_contact node = node_in(&world, 3, 1);
    answered(&world, &node);
    world.now += 20 * MINUTE_NS - SECOND_NS;
    sk_dht_table_asked(world.table, &node, world.now);
    world_check(&world);
    world.now += MINUTE_NS - 1;
    assert_int_equal(pinged(&world, &node, 1), -1);
    world.now++; /* nobody told the end: it counts as lost */
    assert_int_equal(pinged(&world, &node, 1), 0);
    assert_int_equal(pinged(&world, &node, 1), -1);
    answered(&world, &node);
    world.now += 20 * MINUTE_NS - 1;
    assert_int_equal(pinged(&world, &node, 1), -1);
    world.now++;
    assert_int_equal(pinged(&world, &node, 1), 0);
    world_end(&world);
}

/* Ever more rarely, up to every 256 minutes; then, when it is back, as before. */
static void test_back_off(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, false);
    struct sk_dht_contact node = node_in(&world, 3, 1);
    answered(&world, &node);
    world.now += 20 * MINUTE_NS;
    for (unsigned i = 0; i < 300; i++) {
        if (i) /* the first time it fails a query that was not told of */
            assert_int_equal(pinged(&world, &node, 1), 0);
        fail_ping(&world, &node);
        uint64_t wait_ns = MINUTE_NS << SK_MIN(i, 8u);
        world.now += wait_ns - 1;
        assert_int_equal(pinged(&world, &node, 1), -1);
        world.now++;
    }
    assert_int_equal(pinged(&world, &node, 1), 0);
    answered(&world, &node);
    assert_int_equal(health_of(&world, &node), SK_DHT_GOOD);
    world.now += 20 * MINUTE_NS;
    assert_int_equal(pinged(&world, &node, 1), 0);
    world_end(&world);
}

/* Who only queries is good, but is asked every hour whether it still answers. */
static void test_only_queries(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, false);
    struct sk_dht_contact node = node_in(&world, 3, 1);
    answered(&world, &node);
    for (unsigned i = 0; i < 59; i++) {
        world.now += MINUTE_NS;
        queried(&world, &node);
        assert_int_equal(pinged(&world, &node, 1), -1);
    }
    world.now += MINUTE_NS;
    assert_int_equal(health_of(&world, &node), SK_DHT_GOOD);
    assert_int_equal(pinged(&world, &node, 1), 0);
    world_end(&world);
}

/* ---- refresh ---- */

static void test_refresh(void **state)
{
    struct world world;
    uint8_t target[SK_DHT_ID_SIZE];
    world_begin(&world, SK_FAMILY_V4, false);
    world.now += 60 * MINUTE_NS;
    assert_false(sk_dht_table_next_refresh(world.table, world.now, target)); /* nobody to ask */
    for (uint32_t i = 0; i < 2000; i++) {
        struct sk_dht_contact contact = node_anywhere(&world, i);
        sk_dht_table_answered(world.table, &contact, sk_bytes(NULL, 0), 1, world.now);
    }
    unsigned buckets = stats_of(&world).buckets;
    assert_in_range(buckets, 7, 11);
    assert_false(sk_dht_table_next_refresh(world.table, world.now, target));
    uint64_t start_ns = world.now, refreshed_ns[SK_DHT_ID_BITS] = {0};
    unsigned total = 0, deeper = 0;
    for (; world.now < start_ns + 180 * MINUTE_NS; world.now += SECOND_NS) {
        while (sk_dht_table_next_refresh(world.table, world.now, target)) {
            world_check(&world);
            unsigned bits = SK_DHT_ID_BITS - sk_dht_distance(target, sk_dht_table_id(world.table));
            unsigned bucket = SK_MIN(bits, buckets - 1);
            uint64_t since_ns = refreshed_ns[bucket] ? refreshed_ns[bucket] : start_ns;
            assert_in_range(world.now - since_ns, 15 * MINUTE_NS, 18 * MINUTE_NS + SECOND_NS);
            refreshed_ns[bucket] = world.now;
            total++;
            deeper += bits > bucket;
        }
    }
    assert_in_range(total, buckets * 9, buckets * 12);
    assert_in_range(deeper, 1, 11); /* anywhere in the last bucket */
    world_end(&world);
}

/* A bucket that comes of a split has waited no longer than the whole. */
static void test_split_bucket(void **state)
{
    struct world world;
    uint8_t target[SK_DHT_ID_SIZE];
    struct sk_dht_contact nodes[FULL + 1];
    world_begin(&world, SK_FAMILY_V4, false);
    world.now += 10 * MINUTE_NS;
    fill_bucket(&world, 0, FULL + 1, nodes);
    assert_int_equal(stats_of(&world).buckets, 2);
    world.now += 15 * MINUTE_NS - 1;
    assert_false(sk_dht_table_next_refresh(world.table, world.now, target));
    world.now += 3 * MINUTE_NS + 1;
    assert_true(sk_dht_table_next_refresh(world.table, world.now, target));
    assert_true(sk_dht_table_next_refresh(world.table, world.now, target));
    assert_false(sk_dht_table_next_refresh(world.table, world.now, target));
    world_end(&world);
}

/* A bucket in which somebody answers needs none. */
static void test_lively_bucket(void **state)
{
    struct world world;
    uint8_t target[SK_DHT_ID_SIZE];
    struct sk_dht_contact nodes[FULL + 1];
    world_begin(&world, SK_FAMILY_V4, false);
    nodes[FULL] = node_in(&world, 0, 1);
    answered(&world, &nodes[FULL]);
    fill_bucket(&world, 1, FULL, nodes);
    assert_int_equal(stats_of(&world).buckets, 2);
    unsigned refreshed[2] = {0};
    for (unsigned i = 0; i < 100; i++) {
        world.now += MINUTE_NS;
        answered(&world, &nodes[FULL]);
        queried(&world, &nodes[0]); /* that does not tell whether anybody is there */
        while (sk_dht_table_next_refresh(world.table, world.now, target))
            refreshed[sk_dht_distance(target, sk_dht_table_id(world.table)) < SK_DHT_ID_BITS]++;
    }
    assert_int_equal(refreshed[0], 0);
    assert_in_range(refreshed[1], 5, 6);
    world_end(&world);
}

/* Nodes that began together do not stay in step. */
static void test_jitter(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, false);
    struct sk_dht_contact node = node_in(&world, 0, 1);
    uint64_t least_ns = SK_TIME_NEVER, most_ns = 0;
    for (int i = 0; i < 100; i++) {
        struct sk_dht_table_config config = {.family = SK_FAMILY_V4, .prng = &world.prng};
        struct sk_dht_table *table;
        assert_int_equal(sk_dht_table_new(&config, world.now, &table), 0);
        sk_dht_table_answered(table, &node, sk_bytes(NULL, 0), 1, world.now);
        uint64_t at_ns = sk_dht_table_deadline(table) - world.now;
        least_ns = SK_MIN(least_ns, at_ns);
        most_ns = SK_MAX(most_ns, at_ns);
        sk_dht_table_free(table);
    }
    assert_in_range(least_ns, 15 * MINUTE_NS, 15 * MINUTE_NS + 20 * SECOND_NS);
    assert_in_range(most_ns, 18 * MINUTE_NS - 20 * SECOND_NS, 18 * MINUTE_NS);
    world_end(&world);
}

/* Woken at its deadlines only, the table does all that it does when asked every second, and it is
 * not woken much more often than there is something to do. */
static void test_deadlines(void **state)
{
    unsigned done[2] = {0}, woken = 0, idle = 0;
    for (int by_deadline = 0; by_deadline < 2; by_deadline++) {
        struct world world;
        world_begin(&world, SK_FAMILY_V4, false);
        for (uint32_t i = 0; i < 500; i++) {
            struct sk_dht_contact contact = node_anywhere(&world, i);
            answered(&world, &contact);
            world.now += SECOND_NS;
        }
        uint64_t end_ns = world.now + 240 * MINUTE_NS;
        while (world.now < end_ns) {
            struct sk_dht_contact contact;
            uint8_t target[SK_DHT_ID_SIZE];
            while (sk_dht_table_deadline(world.table) <= world.now) {
                bool ping = sk_dht_table_next_ping(world.table, world.now, &contact);
                bool refresh = sk_dht_table_next_refresh(world.table, world.now, target);
                done[by_deadline] += ping + refresh;
                idle += by_deadline && !ping && !refresh;
                if (ping && contact.id[19] % 4)
                    answered(&world, &contact);
                else if (ping)
                    fail_ping(&world, &contact);
            }
            world.now = by_deadline ? sk_dht_table_deadline(world.table) : world.now + SECOND_NS;
            woken += by_deadline;
        }
        world_end(&world);
    }
    assert_in_range(done[0], 1000, 10000);
    assert_in_range(done[1], done[0] * 97 / 100, done[0] * 103 / 100);
    assert_in_range(woken, 1, done[1]);
    assert_in_range(idle, 0, done[1] / 100);
}

/* ---- another id ---- */

static void test_set_id(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, false);
    static struct sk_dht_contact nodes[400];
    for (uint32_t i = 0; i < SK_ARRAY_LEN(nodes); i++) {
        nodes[i] = node_anywhere(&world, i);
        answered(&world, &nodes[i]);
    }
    uint8_t old[SK_DHT_ID_SIZE], id[SK_DHT_ID_SIZE];
    struct sk_dht_contact changed = node_in(&world, 3, 3);
    assert_int_equal(answered(&world, &changed), SK_DHT_TOLD_CHANGED);
    memcpy(old, sk_dht_table_id(world.table), sizeof old);
    struct sk_dht_table_stats before = stats_of(&world);
    for (unsigned bits = 0; bits < 20; bits++) {
        sk_dht_id_beside(old, bits, &world.prng, id);
        assert_int_equal(sk_dht_table_set_id(world.table, id, world.now), 0);
        world_check(&world);
        assert_memory_equal(sk_dht_table_id(world.table), id, sizeof id);
        assert_in_range(stats_of(&world).entries, before.entries * 3 / 4, SK_ARRAY_LEN(nodes));
        assert_int_equal(answered(&world, &changed), SK_DHT_TOLD_CHANGED); /* is not forgotten */
    }
    /* Ours is now that of a node: it is none for us any more. */
    const struct sk_dht_contact taken = nodes[0];
    assert_non_null(entry_of(&world, &taken));
    assert_int_equal(sk_dht_table_set_id(world.table, taken.id, world.now), 0);
    world_check(&world);
    assert_null(entry_of(&world, &taken));
    world_end(&world);
}

/* Good entries keep their places rather than spares, and spares come before bad ones. */
static void test_set_id_order(void **state)
{
    struct world world;
    struct sk_dht_contact near[FULL], better, spare, far[FULL];
    world_begin(&world, SK_FAMILY_V4, false);
    fill_bucket(&world, 20, FULL, near);
    better = node_in(&world, 20, 100);
    spare = node_in(&world, 20, 101);
    assert_int_equal(answered(&world, &better), SK_DHT_TOLD_SPARE);
    assert_int_equal(answered(&world, &spare), SK_DHT_TOLD_SPARE);
    world.now += SECOND_NS;
    assert_int_equal(answered(&world, &better), SK_DHT_TOLD_SPARE);
    /* Now the spare that came last stands where the first entry did. */
    sk_dht_id_beside(near[0].id, 30, &world.prng, near[0].id);
    assert_int_equal(answered(&world, &near[0]), SK_DHT_TOLD_CHANGED);
    assert_non_null(entry_of(&world, &better));
    fill_bucket(&world, 19, FULL, far);
    failed(&world, &far[0]);
    failed(&world, &far[0]);
    /* Now all of them differ from us in bit 9: 17 in a bucket for 8. */
    uint8_t id[SK_DHT_ID_SIZE];
    sk_dht_id_beside(sk_dht_table_id(world.table), 9, &world.prng, id);
    assert_int_equal(sk_dht_table_set_id(world.table, id, world.now), 0);
    world_check(&world);
    struct sk_dht_table_stats stats = stats_of(&world);
    assert_int_equal(stats.entries, FULL);
    assert_int_equal(stats.good, FULL);
    assert_int_equal(stats.spares, FULL);
    assert_null(entry_of(&world, &spare));
    assert_null(entry_of(&world, &far[0]));
    world_end(&world);
}

static void test_set_id_without_memory(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, false);
    for (uint32_t i = 0; i < 300; i++) {
        struct sk_dht_contact contact = node_anywhere(&world, i);
        answered(&world, &contact);
    }
    uint8_t old[SK_DHT_ID_SIZE], id[SK_DHT_ID_SIZE];
    memcpy(old, sk_dht_table_id(world.table), sizeof old);
    sk_prng_bytes(&world.prng, id, sizeof id);
    struct sk_dht_table_stats before = stats_of(&world);
    size_t nth = 0;
    int err;
    do {
        sk_mem_fail_nth(++nth);
        err = sk_dht_table_set_id(world.table, id, world.now);
        sk_mem_fail_nth(0);
        world_check(&world);
        if (err) {
            assert_int_equal(err, SKEP_ERR_NOMEM);
            assert_memory_equal(sk_dht_table_id(world.table), old, sizeof old);
            assert_int_equal(stats_of(&world).entries, before.entries);
            assert_int_equal(stats_of(&world).bytes, before.bytes);
        }
    } while (err);
    assert_in_range(nth, 20, 100);
    assert_memory_equal(sk_dht_table_id(world.table), id, sizeof id);
    world_end(&world);
}

/* The same life, with each allocation failing in turn: a node finds no room, nothing else happens.
 */
static void test_without_memory(void **state)
{
    size_t nth = 0, made;
    do {
        struct world world;
        world_begin(&world, SK_FAMILY_V4, true);
        unsigned refused = 0;
        sk_mem_fail_nth(++nth);
        for (uint32_t i = 0; i < 400; i++) {
            struct sk_dht_contact contact = node_anywhere(&world, i % 350);
            if (i % 7 == 0)
                sk_dht_id_beside(sk_dht_table_id(world.table), i / 7 % 20, &world.prng, contact.id);
            enum sk_dht_told told =
                sk_dht_table_answered(world.table, &contact, sk_bytes(NULL, 0), 1, world.now);
            refused += i < 50 && told == SK_DHT_TOLD_NO_ROOM;
            if (i % 20 == 0)
                world_check(&world);
        }
        made = sk_mem_fail_nth(0);
        assert_in_range(refused, 0, 1);
        assert_in_range(stats_of(&world).entries, 150, 350);
        world_end(&world);
    } while (made >= nth);
    assert_in_range(nth, 30, 100);
}

static void test_new_without_memory(void **state)
{
    struct sk_prng prng;
    sk_prng_init(&prng, 1);
    struct sk_dht_table_config config = {.family = SK_FAMILY_V4, .prng = &prng};
    for (size_t nth = 1; nth <= 2; nth++) {
        struct sk_dht_table *table = NULL;
        sk_mem_fail_nth(nth);
        assert_int_equal(sk_dht_table_new(&config, 0, &table), SKEP_ERR_NOMEM);
        assert_null(table);
        sk_mem_fail_nth(0);
    }
    sk_dht_table_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silent_are_pinged),
        cmocka_unit_test(test_spare_waits),
        cmocka_unit_test(test_outcome),
        cmocka_unit_test(test_back_off),
        cmocka_unit_test(test_only_queries),
        cmocka_unit_test(test_refresh),
        cmocka_unit_test(test_split_bucket),
        cmocka_unit_test(test_lively_bucket),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_set_id),
        cmocka_unit_test(test_set_id_order),
        cmocka_unit_test(test_set_id_without_memory),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_new_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
