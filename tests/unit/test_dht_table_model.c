/*
 * The routing table against what can be said of it without knowing how it is made: random lives,
 * and after each step the entries are compared with those before, and answers with a full sort.
 */
#include "dht_table_world.h"

#include "base/mem.h"

#include <stdlib.h>

#define ENTRIES_MAX 2048
#define POOL 600 /* nodes of a life */

struct shot {
    size_t count;
    struct sk_dht_entry entries[ENTRIES_MAX];
};

struct life {
    struct world world;
    struct sk_dht_contact pool[POOL];
    bool ids_by_address;
    struct shot before, after;
};

static void take_shot(const struct world *world, struct shot *ret_shot)
{
    const struct sk_dht_entry *entry;
    ret_shot->count = 0;
    for (size_t pos = 0; (entry = sk_dht_table_next(world->table, &pos, NULL));)
        ret_shot->entries[ret_shot->count++] = *entry;
}

static const struct sk_dht_entry *in_shot(const struct shot *shot,
                                          const struct sk_dht_contact *contact)
{
    for (size_t i = 0; i < shot->count; i++)
        if (same_contact(&shot->entries[i].contact, contact))
            return &shot->entries[i];
    return NULL;
}

/* ---- the closest ---- */

static const uint8_t *sort_target;

static int by_distance(const void *a, const void *b)
{
    const struct sk_dht_contact *x = a, *y = b;
    for (int i = 0; i < SK_DHT_ID_SIZE; i++) {
        int dx = x->id[i] ^ sort_target[i], dy = y->id[i] ^ sort_target[i];
        if (dx != dy)
            return dx - dy;
    }
    return 0;
}

static size_t naive_closest(const struct shot *shot, const uint8_t *target,
                            enum sk_dht_health worst, uint64_t now_ns,
                            struct sk_dht_contact *ret_contacts)
{
    size_t count = 0;
    for (size_t i = 0; i < shot->count; i++)
        if (sk_dht_entry_health(&shot->entries[i], now_ns) <= worst)
            ret_contacts[count++] = shot->entries[i].contact;
    sort_target = target;
    qsort(ret_contacts, count, sizeof *ret_contacts, by_distance);
    return count;
}

static void check_closest(struct life *life, const uint8_t *target, size_t max)
{
    static struct sk_dht_contact expected[ENTRIES_MAX], given[SK_DHT_CLOSEST_MAX + 1];
    struct world *world = &life->world;
    size_t most = SK_MIN(max, SK_DHT_CLOSEST_MAX);
    for (int good_only = 0; good_only < 2; good_only++) {
        size_t count = 0;
        if (good_only)
            count = naive_closest(&life->after, target, SK_DHT_GOOD, world->now, expected);
        if (count < most)
            count = naive_closest(&life->after, target, SK_DHT_QUESTIONABLE, world->now, expected);
        memset(given, 0, sizeof given);
        assert_int_equal(
            sk_dht_table_closest(world->table, target, good_only, world->now, given, max),
            SK_MIN(count, most));
        for (size_t i = 0; i < SK_MIN(count, most); i++)
            assert_true(same_contact(&given[i], &expected[i]));
        assert_int_equal(given[SK_MIN(count, most)].endpoint.family, 0);
    }
}

static void check_some_closest(struct life *life)
{
    struct world *world = &life->world;
    uint8_t target[SK_DHT_ID_SIZE];
    static const size_t sizes[] = {0, 1, 2, 7, 8, 9, 20, 63, 64, 100};
    size_t max = sizes[sk_prng_below(&world->prng, SK_ARRAY_LEN(sizes))];
    sk_prng_bytes(&world->prng, target, sizeof target);
    check_closest(life, target, max);
    sk_dht_id_beside(sk_dht_table_id(world->table), (unsigned)sk_prng_below(&world->prng, 40),
                     &world->prng, target);
    check_closest(life, target, max);
    check_closest(life, sk_dht_table_id(world->table), max);
    check_closest(life, life->pool[sk_prng_below(&world->prng, POOL)].id, max);
}

/* ---- a life ---- */

/* Who was an entry and is none any more must have given cause. */
static void check_losses(const struct life *life, const struct sk_dht_contact *told,
                         enum sk_dht_told what)
{
    for (size_t i = 0; i < life->before.count; i++) {
        const struct sk_dht_entry *lost = &life->before.entries[i];
        if (in_shot(&life->after, &lost->contact))
            continue;
        bool was_bad = sk_dht_entry_health(lost, life->world.now) == SK_DHT_BAD;
        bool fails_now = told && what != SK_DHT_TOLD_CHANGED && lost->failures == 1 &&
                         same_contact(told, &lost->contact);
        bool changed = told && what == SK_DHT_TOLD_CHANGED &&
                       sk_endpoint_equal(&told->endpoint, &lost->contact.endpoint);
        bool moved = told && memcmp(told->id, lost->contact.id, SK_DHT_ID_SIZE) == 0 &&
                     sk_endpoint_same_ip(&told->endpoint, &lost->contact.endpoint);
        bool outranked = life->ids_by_address && !lost->id_fits;
        assert_true(was_bad || fails_now || changed || moved || outranked);
    }
}

/* Who is an entry now and was none before: the one it is about, or a spare, that once answered. */
static void check_gains(const struct life *life, const struct sk_dht_contact *told)
{
    size_t others = 0;
    for (size_t i = 0; i < life->after.count; i++) {
        const struct sk_dht_entry *gained = &life->after.entries[i];
        assert_in_range(gained->answered_ns, START_NS, life->world.now);
        if (!in_shot(&life->before, &gained->contact))
            others += !told || !same_contact(told, &gained->contact);
    }
    assert_in_range(others, 0, 2); /* two go when one has the address, another the id */
}

static void step_answered(struct life *life, const struct sk_dht_contact *contact)
{
    enum sk_dht_told told = answered(&life->world, contact);
    take_shot(&life->world, &life->after);
    check_losses(life, contact, told);
    check_gains(life, contact);
    assert_int_equal(in_shot(&life->after, contact) != NULL, told == SK_DHT_TOLD_KEPT);
}

static void step_failed(struct life *life, const struct sk_dht_contact *contact)
{
    sk_dht_table_failed(life->world.table, contact, life->world.now);
    take_shot(&life->world, &life->after);
    check_losses(life, contact, SK_DHT_TOLD_KEPT);
    check_gains(life, NULL);
    assert_int_equal(life->after.count, life->before.count);
}

/* Whether a ping is said to be worth the while is what its answer then tells. */
static void step_queried(struct life *life, const struct sk_dht_contact *contact)
{
    struct world *world = &life->world;
    const struct sk_dht_entry *known = in_shot(&life->before, contact);
    bool welcome = queried(world, contact);
    if (known) {
        assert_int_equal(welcome, known->failures >= 2);
        return;
    }
    enum sk_dht_told told = answered(world, contact);
    if (welcome)
        assert_int_not_equal(told, SK_DHT_TOLD_NO_ROOM);
    else
        assert_int_not_equal(told, SK_DHT_TOLD_KEPT);
}

static void step_upkeep(struct life *life)
{
    struct world *world = &life->world;
    struct sk_dht_contact contact;
    uint8_t target[SK_DHT_ID_SIZE];
    bool early = world->now < sk_dht_table_deadline(world->table);
    if (sk_dht_table_next_ping(world->table, world->now, &contact)) {
        const struct sk_dht_entry *entry = in_shot(&life->before, &contact);
        assert_false(early);
        assert_non_null(entry);
        assert_true(!entry->asked_ns || entry->asked_ns + MINUTE_NS <= world->now);
    }
    if (sk_dht_table_next_refresh(world->table, world->now, target))
        assert_false(early);
}

static void step_set_id(struct life *life)
{
    struct world *world = &life->world;
    uint8_t id[SK_DHT_ID_SIZE];
    sk_dht_id_beside(sk_dht_table_id(world->table), (unsigned)sk_prng_below(&world->prng, 12),
                     &world->prng, id);
    assert_int_equal(sk_dht_table_set_id(world->table, id, world->now), 0);
    take_shot(world, &life->after);
    for (size_t i = 0; i < life->after.count; i++)
        assert_in_range(life->after.entries[i].answered_ns, START_NS, world->now);
}

/* Now and then somebody at a port or under an id that is another's, or with another id of its own.
 */
static struct sk_dht_contact someone(struct life *life)
{
    struct world *world = &life->world;
    struct sk_dht_contact contact = life->pool[sk_prng_below(&world->prng, POOL)];
    switch (sk_prng_below(&world->prng, 40)) {
    case 0:
        contact.endpoint.port++;
        break;
    case 1:
        memcpy(contact.id, life->pool[sk_prng_below(&world->prng, POOL)].id, SK_DHT_ID_SIZE);
        break;
    case 2:
        sk_prng_bytes(&world->prng, contact.id, sizeof contact.id);
        break;
    }
    return contact;
}

static void step(struct life *life)
{
    struct world *world = &life->world;
    struct sk_dht_contact contact = someone(life);
    take_shot(world, &life->before);
    switch (sk_prng_below(&world->prng, 16)) {
    case 0 ... 5:
        step_answered(life, &contact);
        break;
    case 6 ... 8:
        step_failed(life, &contact);
        break;
    case 9 ... 10:
        step_queried(life, &contact);
        break;
    case 11 ... 13:
        step_upkeep(life);
        break;
    case 14:
        sk_dht_table_asked(world->table, &contact, world->now);
        break;
    case 15:
        if (sk_prng_below(&world->prng, 50) == 0)
            step_set_id(life);
        break;
    }
    world_check(world);
    take_shot(world, &life->after);
    if (sk_prng_below(&world->prng, 4) == 0)
        check_some_closest(life);
    world->now +=
        sk_prng_below(&world->prng, sk_prng_below(&world->prng, 8) ? SECOND_NS : 2 * MINUTE_NS);
}

static void begin_life(struct life *life, uint64_t seed)
{
    enum sk_family family = seed & 1 ? SK_FAMILY_V6 : SK_FAMILY_V4;
    uint32_t first = family == SK_FAMILY_V6 ? 1u << 24 : 1;
    life->ids_by_address = seed & 2;
    world_begin(&life->world, family, life->ids_by_address);
    sk_prng_init(&life->world.prng, seed);
    for (uint32_t i = 0; i < POOL; i++) {
        struct sk_dht_contact *node = &life->pool[i];
        *node = i % 3 ? node_anywhere(&life->world, first + i)
                      : node_in(&life->world, i / 3 % 30, first + i);
        if (i % 4 == 1)
            sk_dht_id_for_address(&node->endpoint, &life->world.prng, node->id);
        if (i % 16 == 2) /* some of one address */
            node->endpoint = life->pool[i - 1].endpoint, node->endpoint.port += 7;
        if (i % 16 == 3) /* some that are local */
            move_to(node, family == SK_FAMILY_V6 ? "[::1]:1" : "127.0.0.1:1"),
                node->endpoint.port = (uint16_t)i;
    }
}

static void test_lives(void **state)
{
    struct life *life = malloc(sizeof *life);
    assert_non_null(life);
    for (uint64_t seed = 0; seed < 8; seed++) {
        size_t most = 0;
        begin_life(life, seed);
        for (int i = 0; i < 1000; i++) {
            step(life);
            most = SK_MAX(most, life->after.count);
        }
        assert_in_range(most, 100, ENTRIES_MAX);
        world_end(&life->world);
    }
    free(life);
}

/* One seed gives one table, whatever the machine. */
static void test_same_seed(void **state)
{
    struct life *lives = malloc(2 * sizeof *lives);
    assert_non_null(lives);
    for (int n = 0; n < 2; n++) {
        begin_life(&lives[n], 77);
        for (int i = 0; i < 500; i++)
            step(&lives[n]);
        take_shot(&lives[n].world, &lives[n].after);
    }
    assert_int_equal(lives[0].after.count, lives[1].after.count);
    for (size_t i = 0; i < lives[0].after.count; i++)
        assert_true(
            same_contact(&lives[0].after.entries[i].contact, &lives[1].after.entries[i].contact));
    for (int n = 0; n < 2; n++)
        world_end(&lives[n].world);
    free(lives);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives),
        cmocka_unit_test(test_same_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
