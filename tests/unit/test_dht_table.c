/* The routing table: who comes in, who stays, who is given to others. */
#include "dht_table_world.h"

#define FULL 8  /* of a bucket beyond the wide ones */
#define DEEP 10 /* such a bucket */

static void test_only_who_answered(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, false);
    struct sk_dht_contact contact = node_in(&world, 3, 1);
    assert_int_equal(sk_dht_table_deadline(world.table), SK_TIME_NEVER);
    assert_true(queried(&world, &contact));
    failed(&world, &contact);
    assert_null(sk_dht_table_find(world.table, &contact.endpoint));
    assert_int_equal(answered(&world, &contact), SK_DHT_TOLD_KEPT);
    const struct sk_dht_entry *entry = entry_of(&world, &contact);
    assert_non_null(entry);
    assert_int_equal(entry->answered_ns, START_NS);
    assert_int_equal(entry->queried_ns, 0);
    assert_int_equal(entry->asked_ns, 0);
    assert_int_equal(entry->failures, 0);
    assert_memory_equal(entry->version, "SK01", 4);
    assert_false(queried(&world, &contact));
    assert_int_equal(entry_of(&world, &contact)->queried_ns, START_NS);
    contact.endpoint.port++;
    assert_null(sk_dht_table_find(world.table, &contact.endpoint));
    world_end(&world);
}

/* Neither we ourselves, nor nodes of the other network. */
static void test_not_a_node(void **state)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct world world;
        world_begin(&world, v6 ? SK_FAMILY_V6 : SK_FAMILY_V4, false);
        struct sk_dht_contact contact = node_in(&world, 3, v6 ? 1 : 1u << 24);
        assert_false(queried(&world, &contact));
        assert_int_equal(answered(&world, &contact), SK_DHT_TOLD_NO_ROOM);
        contact = node_in(&world, 3, v6 ? 1u << 24 : 1);
        memcpy(contact.id, sk_dht_table_id(world.table), SK_DHT_ID_SIZE);
        assert_false(queried(&world, &contact));
        assert_int_equal(answered(&world, &contact), SK_DHT_TOLD_NO_ROOM);
        assert_int_equal(stats_of(&world).entries, 0);
        world_end(&world);
    }
}

static void test_round_trips(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, false);
    struct sk_dht_contact contact = node_in(&world, 3, 1);
    static const struct {
        uint64_t rtt_ns, smoothed_ns;
        const char *version, *known;
        size_t n;
    } steps[] = {
        {1000, 1000, "LT\x01\x02", "LT\x01\x02", 4},
        {2000, 1250, "", "LT\x01\x02", 0},
        {2000, 1438, "abcdefgh", "LT\x01\x02", 8},
        {0, 1079, "U", "U\0\0", 1},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(steps); i++) {
        sk_dht_table_answered(world.table, &contact, sk_bytes(steps[i].version, steps[i].n),
                              steps[i].rtt_ns, world.now);
        const struct sk_dht_entry *entry = entry_of(&world, &contact);
        assert_int_equal(entry->rtt_ns, steps[i].smoothed_ns);
        assert_memory_equal(entry->version, steps[i].known, 4);
    }
    world_end(&world);
}

static void test_health(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, false);
    struct sk_dht_contact contact = node_in(&world, 3, 1);
    answered(&world, &contact);
    world.now = START_NS + 15 * MINUTE_NS - 1;
    assert_int_equal(health_of(&world, &contact), SK_DHT_GOOD);
    world.now++;
    assert_int_equal(health_of(&world, &contact), SK_DHT_QUESTIONABLE);
    queried(&world, &contact);
    assert_int_equal(health_of(&world, &contact), SK_DHT_GOOD);
    failed(&world, &contact);
    assert_int_equal(health_of(&world, &contact), SK_DHT_GOOD);
    failed(&world, &contact);
    assert_int_equal(health_of(&world, &contact), SK_DHT_BAD);
    assert_true(queried(&world, &contact)); /* it does not answer, but asks: worth a ping */
    assert_int_equal(health_of(&world, &contact), SK_DHT_BAD);
    answered(&world, &contact);
    assert_int_equal(health_of(&world, &contact), SK_DHT_GOOD);
    failed(&world, &contact); /* not in a row with those before */
    assert_int_equal(health_of(&world, &contact), SK_DHT_GOOD);
    world_end(&world);
}

/* A large network: every bucket is as wide as it may be, and walked from the farthest on. */
static void test_widths(void **state)
{
    static const unsigned widths[] = {128, 64, 32, 16, 8, 8, 8, 8, 8};
    struct world world;
    world_begin(&world, SK_FAMILY_V4, false);
    for (uint32_t i = 0; i < 20000; i++) {
        struct sk_dht_contact contact = node_anywhere(&world, i);
        sk_dht_table_answered(world.table, &contact, sk_bytes(NULL, 0), 1, world.now);
    }
    unsigned counts[SK_DHT_ID_BITS] = {0}, bucket, last = 0, total = 0;
    size_t pos = 0;
    for (const struct sk_dht_entry *entry; (entry = sk_dht_table_next(world.table, &pos, &bucket));
         total++) {
        assert_int_equal(sk_dht_distance(entry->contact.id, sk_dht_table_id(world.table)),
                         SK_DHT_ID_BITS - bucket);
        assert_in_range(bucket, last, SK_DHT_ID_BITS - 1);
        last = bucket;
        counts[bucket]++;
    }
    assert_null(sk_dht_table_next(world.table, &pos, NULL));
    for (size_t i = 0; i < SK_ARRAY_LEN(widths); i++)
        assert_int_equal(counts[i], widths[i]);
    struct sk_dht_table_stats stats = stats_of(&world);
    assert_int_equal(stats.entries, total);
    assert_int_equal(stats.good, total);
    assert_in_range(stats.buckets, 11, 14);
    assert_in_range(stats.spares, 8 * 8, 8 * 13);
    /* What the node promises of its memory. */
    assert_in_range(stats.bytes, 1, 150 * stats.entries);
    world_end(&world);
}

/* Who makes up ids beside ours gets no more than the buckets can hold. */
static void test_ids_beside_ours(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, false);
    for (uint32_t i = 0; i < 8000; i++) {
        struct sk_dht_contact contact = node_in(&world, i % SK_DHT_ID_BITS, i);
        sk_dht_table_answered(world.table, &contact, sk_bytes(NULL, 0), 1, world.now);
        if (i % 100 == 0)
            world_check(&world);
    }
    struct sk_dht_table_stats stats = stats_of(&world);
    assert_in_range(stats.buckets, 150, SK_DHT_ID_BITS);
    assert_in_range(stats.entries, 1200, 128 + 64 + 32 + 16 + 156 * 8);
    assert_in_range(stats.bytes, 1, 300 << 10);
    world_end(&world);
}

/* Forged queries alone do not make buckets. */
static void test_queries_make_no_buckets(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, false);
    struct sk_dht_contact nodes[FULL];
    fill_bucket(&world, 0, FULL, nodes);
    for (unsigned bits = 0; bits < SK_DHT_ID_BITS; bits++) {
        struct sk_dht_contact contact = node_in(&world, bits, 100 + bits);
        assert_true(queried(&world, &contact));
    }
    assert_in_range(stats_of(&world).buckets, 1, 2);
    world_end(&world);
}

/* The best spare is the one that answered last; it comes in when an entry fails twice. */
static void test_spares(void **state)
{
    struct world world;
    struct sk_dht_contact nodes[FULL], spares[FULL], one_more;
    world_begin(&world, SK_FAMILY_V4, false);
    fill_bucket(&world, DEEP, FULL, nodes);
    for (unsigned i = 0; i < FULL; i++) {
        world.now += SECOND_NS;
        spares[i] = node_in(&world, DEEP, 100 + i);
        assert_true(queried(&world, &spares[i]));
        assert_int_equal(answered(&world, &spares[i]), SK_DHT_TOLD_SPARE);
        assert_null(sk_dht_table_find(world.table, &spares[i].endpoint));
    }
    one_more = node_in(&world, DEEP, 200);
    assert_false(queried(&world, &one_more));
    assert_int_equal(answered(&world, &one_more), SK_DHT_TOLD_NO_ROOM);
    world.now += SECOND_NS;
    assert_int_equal(answered(&world, &spares[2]), SK_DHT_TOLD_SPARE);
    assert_int_equal(stats_of(&world).spares, FULL);
    failed(&world, &nodes[5]);
    assert_non_null(entry_of(&world, &nodes[5]));
    failed(&world, &nodes[5]);
    assert_null(entry_of(&world, &nodes[5]));
    assert_int_equal(health_of(&world, &spares[2]), SK_DHT_GOOD);
    /* A spare that fails twice is none any more. */
    failed(&world, &spares[7]);
    assert_int_equal(stats_of(&world).spares, FULL - 1);
    failed(&world, &spares[7]);
    assert_int_equal(stats_of(&world).spares, FULL - 2);
    failed(&world, &nodes[0]);
    failed(&world, &nodes[0]);
    assert_non_null(entry_of(&world, &spares[6]));
    assert_int_equal(stats_of(&world).entries, FULL);
    world_end(&world);
}

/* Old spares make room, the oldest first; those that could still be used do not. */
static void test_stale_spares(void **state)
{
    struct world world;
    struct sk_dht_contact nodes[FULL], spares[FULL];
    world_begin(&world, SK_FAMILY_V4, false);
    fill_bucket(&world, DEEP, FULL, nodes);
    for (unsigned i = 0; i < FULL; i++) {
        spares[i] = node_in(&world, DEEP, 100 + i);
        answered(&world, &spares[i]);
        world.now += SECOND_NS;
    }
    struct sk_dht_contact late = node_in(&world, DEEP, 200);
    world.now = START_NS + 15 * MINUTE_NS - 1;
    assert_int_equal(answered(&world, &late), SK_DHT_TOLD_NO_ROOM);
    world.now++;
    assert_true(queried(&world, &late));
    assert_int_equal(answered(&world, &late), SK_DHT_TOLD_SPARE);
    for (unsigned i = 1; i < FULL; i++)
        assert_int_equal(answered(&world, &spares[i]), SK_DHT_TOLD_SPARE);
    assert_int_equal(answered(&world, &spares[0]), SK_DHT_TOLD_NO_ROOM);
    world_end(&world);
}

/* A spare keeps neither its address nor its id from another node that answers. */
static void test_spare_makes_way(void **state)
{
    struct world world;
    struct sk_dht_contact nodes[FULL];
    world_begin(&world, SK_FAMILY_V4, false);
    fill_bucket(&world, DEEP, FULL, nodes);
    struct sk_dht_contact spare = node_in(&world, DEEP, 100), other = node_in(&world, 3, 100);
    assert_int_equal(answered(&world, &spare), SK_DHT_TOLD_SPARE);
    other.endpoint.port++;
    assert_true(queried(&world, &other));
    assert_int_equal(answered(&world, &other), SK_DHT_TOLD_KEPT);
    assert_int_equal(stats_of(&world).spares, 0);
    move_to(&spare, "81.0.0.1:1");
    assert_int_equal(answered(&world, &spare), SK_DHT_TOLD_SPARE);
    move_to(&spare, "81.0.0.2:1");
    assert_true(queried(&world, &spare));
    assert_int_equal(answered(&world, &spare), SK_DHT_TOLD_SPARE);
    assert_int_equal(stats_of(&world).spares, 1);
    world_end(&world);
}

/* Everybody seems dead: it is we who are offline. Nobody is lost, nobody is given to others. */
static void test_all_silent(void **state)
{
    struct world world;
    struct sk_dht_contact nodes[200], given[SK_DHT_CLOSEST_MAX];
    world_begin(&world, SK_FAMILY_V4, false);
    unsigned known = 0;
    for (uint32_t i = 0; i < SK_ARRAY_LEN(nodes); i++) {
        nodes[i] = node_anywhere(&world, i);
        if (answered(&world, &nodes[i]) == SK_DHT_TOLD_KEPT)
            nodes[known++] = nodes[i];
    }
    /* One after the other, so that spares take the places that become free. */
    for (int round = 0; round < 3; round++)
        for (uint32_t i = 0; i < SK_ARRAY_LEN(nodes); i++)
            failed(&world, &nodes[i]);
    struct sk_dht_table_stats stats = stats_of(&world);
    assert_int_equal(stats.entries, known);
    assert_int_equal(stats.bad, known);
    assert_int_equal(stats.spares, 0);
    uint8_t target[SK_DHT_ID_SIZE] = {0};
    assert_int_equal(
        sk_dht_table_closest(world.table, target, false, world.now, given, SK_DHT_CLOSEST_MAX), 0);
    for (unsigned i = 0; i < known; i++)
        if (entry_of(&world, &nodes[i]))
            assert_int_equal(answered(&world, &nodes[i]), SK_DHT_TOLD_KEPT);
    assert_in_range(stats_of(&world).good, known - 20, known);
    world_end(&world);
}

/* The place of a bad entry in a full bucket goes to who comes first. */
static void test_bad_makes_room(void **state)
{
    struct world world;
    struct sk_dht_contact nodes[FULL];
    world_begin(&world, SK_FAMILY_V4, false);
    fill_bucket(&world, DEEP, FULL, nodes);
    failed(&world, &nodes[3]);
    failed(&world, &nodes[3]);
    struct sk_dht_contact late = node_in(&world, DEEP, 200);
    assert_true(queried(&world, &late));
    assert_int_equal(answered(&world, &late), SK_DHT_TOLD_KEPT);
    assert_null(entry_of(&world, &nodes[3]));
    assert_non_null(entry_of(&world, &late));
    assert_int_equal(stats_of(&world).entries, FULL);
    world_end(&world);
}

static void test_one_of_an_address(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, false);
    struct sk_dht_contact first = node_in(&world, 3, 1), second = node_in(&world, 4, 1);
    second.endpoint.port++;
    answered(&world, &first);
    assert_false(queried(&world, &second));
    assert_int_equal(answered(&world, &second), SK_DHT_TOLD_NO_ROOM);
    assert_non_null(entry_of(&world, &first));
    failed(&world, &first);
    assert_int_equal(answered(&world, &second), SK_DHT_TOLD_NO_ROOM);
    failed(&world, &first);
    assert_true(queried(&world, &second));
    assert_int_equal(answered(&world, &second), SK_DHT_TOLD_KEPT);
    assert_null(entry_of(&world, &first));
    world_end(&world);
}

/* The same node with another port: an address translator gave it one. */
static void test_port_changes(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, false);
    struct sk_dht_contact contact = node_in(&world, 3, 1);
    answered(&world, &contact);
    contact.endpoint.port++;
    assert_int_equal(answered(&world, &contact), SK_DHT_TOLD_KEPT);
    assert_non_null(entry_of(&world, &contact));
    contact.endpoint.port--;
    assert_null(entry_of(&world, &contact));
    assert_int_equal(stats_of(&world).entries, 1);
    world_end(&world);
}

static void test_one_of_a_64(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V6, false);
    struct sk_dht_contact first = node_in(&world, 3, 1u << 24),
                          second = node_in(&world, 4, 2u << 24);
    move_to(&first, "[2a00:1:2:3::1]:1");
    move_to(&second, "[2a00:1:2:3:ffff::2]:2");
    answered(&world, &first);
    assert_int_equal(answered(&world, &second), SK_DHT_TOLD_NO_ROOM);
    move_to(&second, "[2a00:1:2:4::1]:1");
    assert_int_equal(answered(&world, &second), SK_DHT_TOLD_KEPT);
    world_end(&world);
}

static void test_local_addresses(void **state)
{
    static const char *const texts[] = {"127.0.0.1:1", "127.0.0.1:2", "10.0.0.1:1",
                                        "10.0.0.1:2",  "[::1]:1",     "[::1]:2",
                                        "[fe80::1]:1", "[fe80::2]:1", "[fe80::2]:2"};
    struct world worlds[2];
    world_begin(&worlds[0], SK_FAMILY_V4, true);
    world_begin(&worlds[1], SK_FAMILY_V6, true);
    for (unsigned i = 0; i < SK_ARRAY_LEN(texts); i++) {
        struct world *world = &worlds[texts[i][0] == '['];
        struct sk_dht_contact contact = node_in(world, i, 1);
        move_to(&contact, texts[i]);
        assert_int_equal(answered(world, &contact), SK_DHT_TOLD_KEPT);
        assert_true(entry_of(world, &contact)->id_fits);
    }
    assert_int_equal(stats_of(&worlds[0]).entries, 4);
    assert_int_equal(stats_of(&worlds[1]).entries, 5);
    world_end(&worlds[0]);
    world_end(&worlds[1]);
}

/* An address that answers under another id than before: it loses its place, and does not get
 * another for half an hour. */
static void test_id_changes(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, false);
    struct sk_dht_contact contact = node_in(&world, 3, 1), changed = node_in(&world, 4, 1);
    struct sk_dht_contact again = node_in(&world, 5, 1);
    again.endpoint.port++;
    answered(&world, &contact);
    assert_false(queried(&world, &changed)); /* may be forged: tells nothing */
    assert_non_null(entry_of(&world, &contact));
    assert_int_equal(answered(&world, &changed), SK_DHT_TOLD_CHANGED);
    assert_int_equal(stats_of(&world).entries, 0);
    world.now += 30 * MINUTE_NS - 1;
    assert_false(queried(&world, &again));
    assert_int_equal(answered(&world, &again), SK_DHT_TOLD_CHANGED);
    assert_int_equal(answered(&world, &contact), SK_DHT_TOLD_CHANGED);
    world.now++;
    assert_true(queried(&world, &changed));
    assert_int_equal(answered(&world, &changed), SK_DHT_TOLD_KEPT);
    world_end(&world);
}

/* A spare that changes its id goes, too, and its going frees no place of an entry. */
static void test_spare_changes_id(void **state)
{
    struct world world;
    struct sk_dht_contact nodes[FULL];
    world_begin(&world, SK_FAMILY_V4, false);
    fill_bucket(&world, DEEP, FULL, nodes);
    struct sk_dht_contact spare = node_in(&world, DEEP, 100), other = node_in(&world, DEEP, 101);
    answered(&world, &spare);
    answered(&world, &other);
    sk_dht_id_beside(spare.id, 50, &world.prng, spare.id);
    assert_int_equal(answered(&world, &spare), SK_DHT_TOLD_CHANGED);
    assert_int_equal(stats_of(&world).spares, 1);
    assert_int_equal(stats_of(&world).entries, FULL);
    /* And where an entry does, the spare that is left takes its place. */
    sk_dht_id_beside(nodes[0].id, 50, &world.prng, nodes[0].id);
    assert_int_equal(answered(&world, &nodes[0]), SK_DHT_TOLD_CHANGED);
    assert_non_null(entry_of(&world, &other));
    world_end(&world);
}

/* Only so many changed addresses are remembered. */
static void test_changed_are_forgotten(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, false);
    size_t before = stats_of(&world).bytes, after = 0;
    for (uint32_t i = 0; i < 65; i++) {
        struct sk_dht_contact contact = node_in(&world, 3, i);
        answered(&world, &contact);
        contact = node_in(&world, 3, i);
        assert_int_equal(answered(&world, &contact), SK_DHT_TOLD_CHANGED);
        if (i == 0)
            after = stats_of(&world).bytes;
    }
    assert_int_equal(stats_of(&world).bytes, after);
    assert_in_range(after - before, 0, 4096);
    struct sk_dht_contact first = node_in(&world, 3, 0), second = node_in(&world, 3, 1);
    assert_int_equal(answered(&world, &first), SK_DHT_TOLD_KEPT);
    assert_int_equal(answered(&world, &second), SK_DHT_TOLD_CHANGED);
    world_end(&world);
}

/* An id belongs to who had it first, until that one is bad. */
static void test_one_of_an_id(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, false);
    struct sk_dht_contact first = node_in(&world, 3, 1), thief = first;
    move_to(&thief, "81.0.0.1:1");
    answered(&world, &first);
    assert_false(queried(&world, &thief));
    assert_int_equal(answered(&world, &thief), SK_DHT_TOLD_NO_ROOM);
    world.now += 16 * MINUTE_NS; /* questionable is not bad */
    assert_int_equal(answered(&world, &thief), SK_DHT_TOLD_NO_ROOM);
    failed(&world, &first);
    failed(&world, &first);
    assert_true(queried(&world, &thief));
    assert_int_equal(answered(&world, &thief), SK_DHT_TOLD_KEPT);
    assert_non_null(entry_of(&world, &thief));
    assert_int_equal(stats_of(&world).entries, 1);
    world_end(&world);
}

/* ---- BEP 42 ---- */

/* An address whose id for this bucket fits: searched for. */
static struct sk_dht_contact fitting_in(struct world *world, unsigned bits, uint32_t number)
{
    struct sk_dht_contact contact;
    do {
        contact = node_in(world, 0, number += 1 << 8);
        sk_dht_id_for_address(&contact.endpoint, &world->prng, contact.id);
    } while (sk_dht_distance(contact.id, sk_dht_table_id(world->table)) != SK_DHT_ID_BITS - bits);
    return contact;
}

static void test_ids_by_address(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, true);
    struct sk_dht_contact unfit[2 * FULL + 1], fit[2 * FULL];
    for (unsigned i = 0; i < SK_ARRAY_LEN(unfit); i++)
        unfit[i] = node_in(&world, 5, i);
    for (unsigned i = 0; i < SK_ARRAY_LEN(fit); i++)
        fit[i] = fitting_in(&world, 5, 100 + i);
    for (unsigned i = 0; i < 2 * FULL; i++) {
        assert_int_equal(answered(&world, &unfit[i]),
                         i < FULL ? SK_DHT_TOLD_KEPT : SK_DHT_TOLD_SPARE);
        world.now += SECOND_NS;
    }
    assert_int_equal(answered(&world, &unfit[2 * FULL]), SK_DHT_TOLD_NO_ROOM);
    /* They lose their places to those that fit, however good they are: the longer silent first. */
    for (unsigned i = 0; i < FULL; i++) {
        assert_non_null(entry_of(&world, &unfit[i]));
        assert_true(queried(&world, &fit[i]));
        assert_int_equal(answered(&world, &fit[i]), SK_DHT_TOLD_KEPT);
        assert_null(entry_of(&world, &unfit[i]));
    }
    for (unsigned i = FULL; i < 2 * FULL; i++)
        assert_int_equal(answered(&world, &fit[i]), SK_DHT_TOLD_SPARE);
    assert_int_equal(answered(&world, &unfit[2 * FULL]), SK_DHT_TOLD_NO_ROOM);
    assert_false(queried(&world, &unfit[2 * FULL]));
    /* Not even old spares that fit make room for one that does not. */
    world.now += 20 * MINUTE_NS;
    assert_int_equal(answered(&world, &unfit[2 * FULL]), SK_DHT_TOLD_NO_ROOM);
    assert_int_equal(stats_of(&world).spares, FULL);
    world_end(&world);
}

/* The best spare is one that fits, even if others answered later. */
static void test_spare_that_fits(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, true);
    struct sk_dht_contact nodes[FULL], fit, unfit = node_in(&world, 5, 1);
    for (unsigned i = 0; i < FULL; i++) {
        nodes[i] = fitting_in(&world, 5, 100 + i);
        assert_int_equal(answered(&world, &nodes[i]), SK_DHT_TOLD_KEPT);
    }
    fit = fitting_in(&world, 5, 120);
    assert_int_equal(answered(&world, &fit), SK_DHT_TOLD_SPARE);
    world.now += SECOND_NS;
    assert_int_equal(answered(&world, &unfit), SK_DHT_TOLD_SPARE);
    failed(&world, &nodes[2]);
    failed(&world, &nodes[2]);
    assert_non_null(entry_of(&world, &fit));
    failed(&world, &nodes[3]);
    failed(&world, &nodes[3]);
    assert_non_null(entry_of(&world, &unfit)); /* nobody else wants the place */
    world_end(&world);
}

/* Nobody keeps an address or id with an id that does not fit from one whose id does. */
static void test_unfit_makes_way(void **state)
{
    struct world world;
    world_begin(&world, SK_FAMILY_V4, true);
    struct sk_dht_contact fit = fitting_in(&world, 5, 1), squatter = fit, neighbour = fit;
    move_to(&squatter, "85.0.0.1:1");
    assert_false(sk_dht_id_fits(squatter.id, &squatter.endpoint));
    assert_int_equal(answered(&world, &squatter), SK_DHT_TOLD_KEPT);
    sk_prng_bytes(&world.prng, neighbour.id, SK_DHT_ID_SIZE - 1);
    neighbour.endpoint.port++;
    assert_false(sk_dht_id_fits(neighbour.id, &neighbour.endpoint));
    assert_int_equal(answered(&world, &neighbour), SK_DHT_TOLD_KEPT);
    assert_true(queried(&world, &fit));
    assert_int_equal(answered(&world, &fit), SK_DHT_TOLD_KEPT);
    assert_int_equal(stats_of(&world).entries, 1);
    assert_non_null(entry_of(&world, &fit));
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_who_answered),
        cmocka_unit_test(test_not_a_node),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_ids_beside_ours),
        cmocka_unit_test(test_queries_make_no_buckets),
        cmocka_unit_test(test_spares),
        cmocka_unit_test(test_stale_spares),
        cmocka_unit_test(test_spare_makes_way),
        cmocka_unit_test(test_all_silent),
        cmocka_unit_test(test_bad_makes_room),
        cmocka_unit_test(test_one_of_an_address),
        cmocka_unit_test(test_port_changes),
        cmocka_unit_test(test_one_of_a_64),
        cmocka_unit_test(test_local_addresses),
        cmocka_unit_test(test_id_changes),
        cmocka_unit_test(test_spare_changes_id),
        cmocka_unit_test(test_changed_are_forgotten),
        cmocka_unit_test(test_one_of_an_id),
        cmocka_unit_test(test_ids_by_address),
        cmocka_unit_test(test_spare_that_fits),
        cmocka_unit_test(test_unfit_makes_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
