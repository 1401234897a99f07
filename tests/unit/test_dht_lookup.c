#include "proto/dht/lookup.h"

#include <skep/err.h>

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Targets are all zero, so that an id is as far as it is large. */
static struct sk_dht_contact contact(uint8_t distance, uint8_t host)
{
    struct sk_dht_contact made = {.endpoint = sk_endpoint_v4((uint8_t[4]){45, host, 7, 1}, 6881)};
    made.id[0] = distance;
    made.id[19] = host;
    return made;
}

static struct sk_dht_lookup start(unsigned k)
{
    struct sk_dht_lookup_config config = {.family = SK_FAMILY_V4, .k = k, .alpha = SK_DHT_ALPHA};
    struct sk_dht_lookup lookup;
    memset(config.self, 0xee, sizeof config.self);
    sk_dht_lookup_init(&lookup, &config);
    return lookup;
}

static void know(struct sk_dht_lookup *lookup, struct sk_dht_contact known)
{
    assert_int_equal(sk_dht_lookup_know(lookup, &known, 1), 0);
}

static void told(struct sk_dht_lookup *lookup, uint16_t teller, struct sk_dht_contact by)
{
    assert_int_equal(sk_dht_lookup_told(lookup, teller, &by, 1), 0);
}

static uint16_t next(struct sk_dht_lookup *lookup)
{
    uint16_t slot = SK_DHT_NOBODY;
    bool there = sk_dht_lookup_next(lookup, &slot);
    assert_null(sk_dht_lookup_fault(lookup));
    return there ? slot : SK_DHT_NOBODY;
}

static bool answers(struct sk_dht_lookup *lookup, uint16_t slot)
{
    assert_true(sk_dht_lookup_heard(lookup, slot));
    struct sk_dht_contact itself = lookup->candidates[slot].contact;
    bool itself_is = sk_dht_lookup_answered(lookup, slot, itself.id, 1000);
    assert_null(sk_dht_lookup_fault(lookup));
    return itself_is;
}

static uint8_t distance(const struct sk_dht_lookup *lookup, uint16_t slot)
{
    assert_int_not_equal(slot, SK_DHT_NOBODY);
    return lookup->candidates[slot].contact.id[0];
}

static size_t closest(const struct sk_dht_lookup *lookup, uint16_t slots[SK_DHT_SEARCH_K_MAX])
{
    return sk_dht_lookup_closest(lookup, slots, SK_DHT_SEARCH_K_MAX);
}

static void the_nearest_are_asked_until_k_answered(void **state)
{
    struct sk_dht_lookup lookup = start(3);
    for (uint8_t i = 0; i < 6; i++)
        know(&lookup, contact((uint8_t)(60 - 10 * i), i));
    uint16_t first[SK_DHT_ALPHA], slots[SK_DHT_SEARCH_K_MAX];
    /* Only three can be among the three closest. */
    for (int i = 0; i < 3; i++) {
        first[i] = next(&lookup);
        assert_int_equal(distance(&lookup, first[i]), 10 * (i + 1));
    }
    assert_int_equal(next(&lookup), SK_DHT_NOBODY);
    assert_false(sk_dht_lookup_over(&lookup));
    answers(&lookup, first[0]);
    answers(&lookup, first[1]);
    told(&lookup, first[1], contact(15, 100));
    first[3] = next(&lookup);
    assert_int_equal(distance(&lookup, first[3]), 15);
    assert_int_equal(lookup.candidates[first[3]].step, 2);
    answers(&lookup, first[3]);
    assert_true(sk_dht_lookup_over(&lookup)); /* the third is on its way, and farther */
    assert_int_equal(closest(&lookup, slots), 3);
    assert_int_equal(distance(&lookup, slots[0]), 10);
    assert_int_equal(distance(&lookup, slots[1]), 15);
    assert_int_equal(distance(&lookup, slots[2]), 20);
    sk_dht_lookup_deinit(&lookup);
}

static void no_more_than_alpha_are_under_way_before_the_end(void **state)
{
    struct sk_dht_lookup lookup = start(8);
    for (uint8_t i = 0; i < 20; i++)
        know(&lookup, contact((uint8_t)(100 + i), i));
    uint16_t slots[SK_DHT_ALPHA];
    for (int i = 0; i < SK_DHT_ALPHA; i++)
        slots[i] = next(&lookup);
    assert_int_not_equal(slots[SK_DHT_ALPHA - 1], SK_DHT_NOBODY);
    assert_int_equal(next(&lookup), SK_DHT_NOBODY);
    /* The second answers and tells of a nearer one: one for one. */
    answers(&lookup, slots[1]);
    told(&lookup, slots[1], contact(1, 50));
    uint16_t nearer = next(&lookup);
    assert_int_equal(distance(&lookup, nearer), 1);
    assert_int_equal(next(&lookup), SK_DHT_NOBODY);
    /* The nearest of all has answered: the rest of the eight at once. */
    answers(&lookup, nearer);
    int more = 0;
    while (next(&lookup) != SK_DHT_NOBODY)
        more++;
    assert_int_equal(more, 8 - SK_DHT_ALPHA - 1);
    sk_dht_lookup_deinit(&lookup);
}

static void who_is_slow_is_overtaken_but_welcome(void **state)
{
    struct sk_dht_lookup lookup = start(1);
    uint16_t slots[SK_DHT_SEARCH_K_MAX];
    know(&lookup, contact(10, 1));
    know(&lookup, contact(20, 2));
    uint16_t slow = next(&lookup);
    assert_int_equal(next(&lookup), SK_DHT_NOBODY);
    sk_dht_lookup_slow(&lookup, slow);
    uint16_t other = next(&lookup);
    assert_int_equal(distance(&lookup, other), 20);
    assert_false(sk_dht_lookup_over(&lookup));
    answers(&lookup, other);
    assert_true(sk_dht_lookup_over(&lookup));
    answers(&lookup, slow);
    assert_int_equal(closest(&lookup, slots), 1);
    assert_int_equal(slots[0], slow);
    sk_dht_lookup_deinit(&lookup);
}

/* A dead node costs a small network no more than a large one. */
static void where_there_are_few_nobody_is_waited_for(void **state)
{
    struct sk_dht_lookup lookup = start(2);
    know(&lookup, contact(10, 1));
    know(&lookup, contact(20, 2));
    assert_false(sk_dht_lookup_few(&lookup));
    uint16_t slow = next(&lookup), other = next(&lookup);
    answers(&lookup, other);
    assert_false(sk_dht_lookup_over(&lookup));
    sk_dht_lookup_slow(&lookup, slow);
    assert_true(sk_dht_lookup_few(&lookup));
    assert_true(sk_dht_lookup_over(&lookup));
    sk_dht_lookup_deinit(&lookup);
}

/* For what must not be missed: lost packets are not the end. */
static void who_did_not_answer_is_asked_once_more(void **state)
{
    struct sk_dht_lookup lookup = start(2);
    for (uint8_t i = 1; i < 6; i++)
        know(&lookup, contact((uint8_t)(10 * i), i));
    uint16_t slow = next(&lookup), silent = next(&lookup);
    sk_dht_lookup_slow(&lookup, slow);
    sk_dht_lookup_slow(&lookup, silent);
    assert_true(sk_dht_lookup_lost(&lookup, silent));
    uint16_t third = next(&lookup), fourth = next(&lookup);
    answers(&lookup, third);
    answers(&lookup, fourth);
    assert_true(sk_dht_lookup_over(&lookup));
    /* Of the two nearest: both, although four of five are known. */
    assert_true(sk_dht_lookup_again(&lookup));
    assert_false(sk_dht_lookup_over(&lookup));
    assert_int_equal(next(&lookup), slow);
    assert_int_equal(next(&lookup), silent);
    assert_int_equal(next(&lookup), SK_DHT_NOBODY);
    /* What was sent first is lost; what was sent again is still under way. */
    assert_false(sk_dht_lookup_lost(&lookup, slow));
    assert_false(sk_dht_lookup_over(&lookup));
    answers(&lookup, slow);
    sk_dht_lookup_slow(&lookup, silent);
    assert_true(sk_dht_lookup_lost(&lookup, silent));
    assert_true(sk_dht_lookup_over(&lookup));
    assert_false(sk_dht_lookup_again(&lookup)); /* once */
    assert_null(sk_dht_lookup_fault(&lookup));
    sk_dht_lookup_deinit(&lookup);
}

/* Whose teller is not believed any more: it was worth a query once. */
static void who_is_asked_again_is_so_whoever_told(void **state)
{
    struct sk_dht_lookup lookup = start(3);
    know(&lookup, contact(200, 1));
    uint16_t liar = next(&lookup);
    answers(&lookup, liar);
    for (uint8_t i = 0; i < SK_DHT_TOLD_MAX; i++)
        told(&lookup, liar, contact((uint8_t)(1 + i), (uint8_t)(20 + i)));
    for (uint16_t slot; (slot = next(&lookup)) != SK_DHT_NOBODY;)
        sk_dht_lookup_slow(&lookup, slot);
    know(&lookup, contact(100, 2));
    know(&lookup, contact(101, 3));
    answers(&lookup, next(&lookup));
    answers(&lookup, next(&lookup));
    assert_true(sk_dht_lookup_over(&lookup));
    assert_true(sk_dht_lookup_again(&lookup));
    assert_int_equal(distance(&lookup, next(&lookup)), 1);
    assert_int_equal(distance(&lookup, next(&lookup)), 2);
    assert_int_equal(distance(&lookup, next(&lookup)), 3);
    assert_int_equal(next(&lookup), SK_DHT_NOBODY);
    sk_dht_lookup_deinit(&lookup);
}

static void of_two_answers_the_first_is_heard(void **state)
{
    struct sk_dht_lookup lookup = start(1);
    know(&lookup, contact(10, 1));
    know(&lookup, contact(20, 2));
    uint16_t twice = next(&lookup);
    sk_dht_lookup_slow(&lookup, twice);
    answers(&lookup, next(&lookup));
    assert_true(sk_dht_lookup_again(&lookup));
    assert_int_equal(next(&lookup), twice);
    answers(&lookup, twice);
    sk_dht_lookup_slow(&lookup, twice); /* the second time-out comes after the first answer */
    assert_int_equal(lookup.candidates[twice].state, SK_DHT_CANDIDATE_ANSWERED);
    assert_false(sk_dht_lookup_heard(&lookup, twice));
    assert_true(sk_dht_lookup_over(&lookup));
    sk_dht_lookup_deinit(&lookup);
}

/* While an answer may come, the candidate stays what it is, however many others are known. */
static void who_is_asked_again_keeps_its_place(void **state)
{
    struct sk_dht_lookup lookup = start(1);
    know(&lookup, contact(1, 2));
    uint16_t teller = next(&lookup);
    answers(&lookup, teller);
    told(&lookup, teller, contact(0, 1));
    uint16_t again = next(&lookup);
    struct sk_dht_contact is = lookup.candidates[again].contact, other = contact(0, 1);
    sk_dht_lookup_slow(&lookup, again);
    assert_true(sk_dht_lookup_again(&lookup));
    other.id[19] = 0; /* nearer */
    told(&lookup, teller, other);
    for (unsigned i = 0; i < 2 * SK_DHT_SEARCH_CANDIDATES_MAX; i++) {
        struct sk_dht_contact near = contact(0, 0);
        near.endpoint.addr[2] = (uint8_t)i;
        near.endpoint.addr[3] = (uint8_t)(2 + (i >> 8));
        told(&lookup, teller, near);
    }
    assert_int_equal(lookup.count, SK_DHT_SEARCH_CANDIDATES_MAX);
    assert_memory_equal(&lookup.candidates[again].contact, &is, sizeof is);
    assert_false(sk_dht_lookup_lost(&lookup, again));
    assert_null(sk_dht_lookup_fault(&lookup));
    sk_dht_lookup_deinit(&lookup);
}

static void without_anybody_it_is_over(void **state)
{
    struct sk_dht_lookup lookup = start(8);
    assert_true(sk_dht_lookup_over(&lookup));
    assert_int_equal(next(&lookup), SK_DHT_NOBODY);
    sk_dht_lookup_deinit(&lookup);
}

static void an_address_is_one_candidate(void **state)
{
    struct sk_dht_lookup lookup = start(8);
    struct sk_dht_contact crowd = contact(10, 1);
    for (uint8_t i = 0; i < 100; i++) {
        crowd.id[1] = i;
        crowd.endpoint.port = (uint16_t)(2000 + i);
        know(&lookup, crowd);
    }
    assert_int_equal(lookup.count, 1);
    sk_dht_lookup_deinit(&lookup);
    /* An IPv6 /64 likewise. */
    lookup = start(8);
    lookup.config.family = SK_FAMILY_V6;
    for (uint8_t i = 0; i < 100; i++) {
        crowd.endpoint = sk_endpoint_v6((uint8_t[16]){0x20, 1, 7, [8] = i, [15] = i}, 6881);
        crowd.id[1] = i;
        know(&lookup, crowd);
    }
    assert_int_equal(lookup.count, 1);
    sk_dht_lookup_deinit(&lookup);
    /* On the loopback each port is a node. */
    lookup = start(8);
    for (uint8_t i = 0; i < 100; i++) {
        crowd.endpoint = sk_endpoint_v4((uint8_t[4]){127, 0, 0, 1}, (uint16_t)(2000 + i));
        crowd.id[1] = i;
        know(&lookup, crowd);
    }
    assert_int_equal(lookup.count, 100);
    sk_dht_lookup_deinit(&lookup);
}

static void what_strangers_tell_is_sifted(void **state)
{
    static const struct {
        uint8_t ip[4];
        uint16_t port;
        bool taken;
    } tales[] = {
        {{45, 1, 1, 1}, 6881, true},     {{45, 1, 1, 2}, 0, false},
        {{45, 1, 1, 3}, 53, false},      {{45, 1, 1, 3}, 1023, false},
        {{127, 0, 0, 1}, 6881, false},   {{10, 0, 0, 1}, 6881, false},
        {{192, 168, 1, 1}, 6881, false}, {{0, 0, 0, 0}, 6881, false},
        {{224, 0, 0, 1}, 6881, false},   {{255, 255, 255, 255}, 6881, false},
    };
    struct sk_dht_lookup lookup = start(8);
    know(&lookup, contact(100, 1));
    uint16_t teller = next(&lookup);
    answers(&lookup, teller);
    for (size_t i = 0; i < sizeof tales / sizeof tales[0]; i++) {
        uint16_t before = lookup.count;
        struct sk_dht_contact tale = contact((uint8_t)i, 0);
        tale.endpoint = sk_endpoint_v4(tales[i].ip, tales[i].port);
        told(&lookup, teller, tale);
        assert_int_equal(lookup.count - before, tales[i].taken);
    }
    struct sk_dht_contact v6 = contact(5, 9), self = contact(5, 10);
    v6.endpoint = sk_endpoint_v6((uint8_t[16]){0x20, 1, 7}, 6881);
    memcpy(self.id, lookup.config.self, SK_DHT_ID_SIZE);
    told(&lookup, teller, v6);
    told(&lookup, teller, self);
    assert_int_equal(lookup.count, 2);
    sk_dht_lookup_deinit(&lookup);
}

static void of_one_answer_the_nearest_few_are_taken(void **state)
{
    struct sk_dht_lookup lookup = start(8);
    struct sk_dht_contact many[64];
    know(&lookup, contact(250, 1));
    uint16_t teller = next(&lookup);
    answers(&lookup, teller);
    for (uint8_t i = 0; i < 64; i++)
        many[i] = contact((uint8_t)(200 - i), (uint8_t)(10 + i));
    assert_int_equal(sk_dht_lookup_told(&lookup, teller, many, 64), 0);
    assert_int_equal(lookup.count, 1 + SK_DHT_TOLD_MAX);
    for (int i = 0; i < SK_DHT_TOLD_MAX; i++)
        assert_int_equal(distance(&lookup, lookup.order[i]), 200 - 63 + i);
    sk_dht_lookup_deinit(&lookup);
}

/* One tells of eight that are not there; an honest one of others, farther. */
static void who_tells_of_dead_nodes_is_believed_a_few_times(void **state)
{
    struct sk_dht_lookup lookup = start(4);
    know(&lookup, contact(200, 1));
    know(&lookup, contact(201, 2));
    uint16_t liar = next(&lookup), honest = next(&lookup), slots[SK_DHT_SEARCH_K_MAX];
    answers(&lookup, liar);
    for (uint8_t i = 0; i < SK_DHT_TOLD_MAX; i++)
        told(&lookup, liar, contact((uint8_t)(1 + i), (uint8_t)(20 + i)));
    answers(&lookup, honest);
    for (uint8_t i = 0; i < SK_DHT_TOLD_MAX; i++)
        told(&lookup, honest, contact((uint8_t)(50 + i), (uint8_t)(40 + i)));
    unsigned dead = 0, alive = 0;
    for (uint16_t slot; !sk_dht_lookup_over(&lookup) && (slot = next(&lookup)) != SK_DHT_NOBODY;) {
        if (distance(&lookup, slot) < 50) {
            dead++;
            sk_dht_lookup_slow(&lookup, slot);
        } else {
            alive++;
            answers(&lookup, slot);
        }
    }
    assert_int_equal(dead, 3);
    assert_int_equal(alive, 4);
    assert_int_equal(closest(&lookup, slots), 4);
    assert_int_equal(distance(&lookup, slots[0]), 50);
    sk_dht_lookup_deinit(&lookup);
}

static void who_is_told_of_by_two_is_asked(void **state)
{
    struct sk_dht_lookup lookup = start(8);
    know(&lookup, contact(200, 1));
    know(&lookup, contact(201, 2));
    uint16_t a = next(&lookup), b = next(&lookup);
    answers(&lookup, a);
    for (uint8_t i = 0; i < 4; i++)
        told(&lookup, a, contact((uint8_t)(1 + i), (uint8_t)(20 + i)));
    for (int i = 0; i < 3; i++)
        sk_dht_lookup_slow(&lookup, next(&lookup));
    answers(&lookup, b);
    told(&lookup, b, contact(4, 23));
    assert_int_equal(distance(&lookup, next(&lookup)), 4);
    sk_dht_lookup_deinit(&lookup);
}

static void when_nobody_else_is_left_all_are_asked(void **state)
{
    struct sk_dht_lookup lookup = start(4);
    know(&lookup, contact(200, 1));
    uint16_t only = next(&lookup), slot;
    unsigned asked = 0;
    answers(&lookup, only);
    for (uint8_t i = 0; i < SK_DHT_TOLD_MAX; i++)
        told(&lookup, only, contact((uint8_t)(1 + i), (uint8_t)(20 + i)));
    for (; (slot = next(&lookup)) != SK_DHT_NOBODY; asked++)
        sk_dht_lookup_lost(&lookup, slot);
    assert_int_equal(asked, SK_DHT_TOLD_MAX);
    assert_true(sk_dht_lookup_over(&lookup));
    sk_dht_lookup_deinit(&lookup);
}

static void who_is_not_who_was_told_does_not_count(void **state)
{
    struct sk_dht_lookup lookup = start(8);
    uint16_t slots[SK_DHT_SEARCH_K_MAX];
    know(&lookup, contact(10, 1));
    know(&lookup, contact(11, 2));
    know(&lookup, contact(12, 3));
    uint16_t shifter = next(&lookup), honest = next(&lookup);
    struct sk_dht_contact is = contact(0, 1);
    assert_true(sk_dht_lookup_heard(&lookup, shifter));
    assert_false(sk_dht_lookup_answered(&lookup, shifter, is.id, 1));
    assert_null(sk_dht_lookup_fault(&lookup));
    assert_int_equal(closest(&lookup, slots), 0);
    /* Until another tells of it by that id. */
    answers(&lookup, honest);
    told(&lookup, honest, is);
    assert_int_equal(closest(&lookup, slots), 2);
    assert_int_equal(slots[0], shifter);
    sk_dht_lookup_deinit(&lookup);
}

static struct sk_dht_contact fitting(uint8_t host, struct sk_prng *prng)
{
    struct sk_dht_contact made = contact(0, host);
    sk_dht_id_for_address(&made.endpoint, prng, made.id);
    return made;
}

static void ids_that_fit_their_address_count(void **state)
{
    struct sk_prng prng;
    sk_prng_init(&prng, 1);
    struct sk_dht_lookup lookup = start(8);
    uint16_t slots[SK_DHT_SEARCH_K_MAX];
    lookup.config.ids_by_address = true;
    struct sk_dht_contact fits = fitting(1, &prng), wrong = fitting(2, &prng), is = wrong;
    wrong.id[0] ^= 0xff; /* somebody told us wrongly */
    know(&lookup, fits);
    know(&lookup, wrong);
    for (int i = 0; i < 2; i++) {
        uint16_t slot = next(&lookup);
        bool first = sk_endpoint_equal(&lookup.candidates[slot].contact.endpoint, &fits.endpoint);
        assert_true(sk_dht_lookup_heard(&lookup, slot));
        assert_true(sk_dht_lookup_answered(&lookup, slot, first ? fits.id : is.id, 1));
    }
    assert_int_equal(closest(&lookup, slots), 2);
    sk_dht_lookup_deinit(&lookup);
}

static void ids_that_do_not_fit_lead_on_a_few_times(void **state)
{
    struct sk_prng prng;
    sk_prng_init(&prng, 1);
    struct sk_dht_lookup lookup = start(4);
    uint16_t slots[SK_DHT_SEARCH_K_MAX], slot;
    lookup.config.ids_by_address = true;
    for (uint8_t i = 0; i < 40; i++)
        know(&lookup, contact(0, i));
    for (uint8_t i = 0; i < 8; i++)
        know(&lookup, fitting((uint8_t)(100 + i), &prng));
    unsigned misfits = 0;
    for (; !sk_dht_lookup_over(&lookup) && (slot = next(&lookup)) != SK_DHT_NOBODY;) {
        misfits += !lookup.candidates[slot].fits;
        answers(&lookup, slot);
    }
    assert_int_equal(misfits, 8);
    assert_true(sk_dht_lookup_over(&lookup));
    assert_int_equal(closest(&lookup, slots), 4);
    for (int i = 0; i < 4; i++)
        assert_true(lookup.candidates[slots[i]].fits);
    sk_dht_lookup_deinit(&lookup);
}

/* Eight accomplices far from the target answer; a node that we knew leads to the right ones. */
static void who_is_astray_tries_other_ways(void **state)
{
    struct sk_dht_lookup lookup = start(4);
    uint16_t slots[SK_DHT_SEARCH_K_MAX], slot;
    lookup.config.nodes = 4 * 256 / 10; /* four within a distance of 10 */
    for (uint8_t i = 0; i < 8; i++)
        know(&lookup, contact((uint8_t)(100 + i), i));
    for (unsigned asked = 0; asked < 5; asked++) {
        assert_false(sk_dht_lookup_over(&lookup));
        slot = next(&lookup);
        answers(&lookup, slot);
        if (distance(&lookup, slot) == 104) /* beyond the four nearest: the honest one */
            for (uint8_t i = 0; i < 4; i++)
                told(&lookup, slot, contact((uint8_t)(1 + i), (uint8_t)(50 + i)));
    }
    for (int i = 0; i < 4; i++)
        answers(&lookup, next(&lookup));
    assert_true(sk_dht_lookup_over(&lookup));
    assert_int_equal(closest(&lookup, slots), 4);
    assert_int_equal(distance(&lookup, slots[3]), 4);
    sk_dht_lookup_deinit(&lookup);
}

static void ways_come_to_an_end(void **state)
{
    struct sk_dht_lookup lookup = start(4);
    lookup.config.nodes = 1e9;
    unsigned asked = 0;
    for (uint8_t i = 0; i < 200; i++)
        know(&lookup, contact((uint8_t)(50 + i), i));
    for (uint16_t slot; !sk_dht_lookup_over(&lookup); asked++) {
        slot = next(&lookup);
        assert_int_not_equal(slot, SK_DHT_NOBODY);
        answers(&lookup, slot);
    }
    assert_in_range(asked, 4 + 8, 4 + 32);
    sk_dht_lookup_deinit(&lookup);
}

static void the_size_of_the_network_is_told_by_the_closest(void **state)
{
    struct sk_dht_lookup lookup = start(4);
    uint16_t slot;
    assert_true(sk_dht_lookup_nodes(&lookup) == 0);
    for (uint8_t i = 1; i < 50; i++)
        know(&lookup, contact((uint8_t)(5 * i), i));
    while ((slot = next(&lookup)) != SK_DHT_NOBODY)
        answers(&lookup, slot);
    /* The fourth at 20 of 256: three others below that. */
    assert_in_range((int)sk_dht_lookup_nodes(&lookup), 36, 39);
    sk_dht_lookup_deinit(&lookup);
}

static void the_nearer_take_the_place_of_the_farther(void **state)
{
    struct sk_dht_lookup lookup = start(8);
    for (unsigned i = 0; i < 1000; i++) {
        struct sk_dht_contact made = contact((uint8_t)(250 - i / 4), 0);
        made.id[1] = (uint8_t)i;
        made.endpoint.addr[1] = (uint8_t)i;
        made.endpoint.addr[2] = (uint8_t)(i >> 8);
        know(&lookup, made);
    }
    assert_null(sk_dht_lookup_fault(&lookup));
    assert_int_equal(lookup.count, SK_DHT_SEARCH_CANDIDATES_MAX);
    assert_int_equal(distance(&lookup, lookup.order[0]), 250 - 999 / 4);
    /* Those that were asked stay. */
    uint16_t slot = next(&lookup);
    struct sk_dht_contact asked = lookup.candidates[slot].contact, near = contact(0, 1);
    for (uint8_t i = 0; i < 100; i++) {
        near.id[1] = i;
        near.endpoint.addr[3] = (uint8_t)(2 + i);
        know(&lookup, near);
    }
    assert_memory_equal(&lookup.candidates[slot].contact, &asked, sizeof asked);
    assert_null(sk_dht_lookup_fault(&lookup));
    sk_dht_lookup_deinit(&lookup);
}

static void tokens_are_kept(void **state)
{
    struct sk_dht_lookup lookup = start(8);
    static const uint8_t token[SK_KRPC_TOKEN_MAX + 1] = "a token";
    know(&lookup, contact(1, 1));
    know(&lookup, contact(2, 2));
    assert_int_equal(sk_dht_lookup_token(&lookup, 0, sk_bytes(token, 7)), 0);
    assert_int_equal(sk_dht_lookup_token(&lookup, 1, sk_bytes(token, sizeof token)), 0);
    assert_int_equal(lookup.candidates[0].token_size, 7);
    assert_int_equal(lookup.candidates[1].token_size, 0); /* too long to be sent back */
    assert_memory_equal(lookup.tokens.p + lookup.candidates[0].token, "a token", 7);
    sk_dht_lookup_deinit(&lookup);
}

/* Something happens to one of those that were asked: a time-out, a lie, an answer. */
static void happen(struct sk_dht_lookup *lookup, uint16_t slot, struct sk_prng *prng)
{
    struct sk_dht_contact tale = contact((uint8_t)sk_prng_u64(prng), 0);
    tale.endpoint.addr[1] = (uint8_t)sk_prng_below(prng, 200);
    uint64_t what = sk_prng_below(prng, 6);
    if (what == 0) {
        sk_dht_lookup_slow(lookup, slot);
        return;
    }
    if (what == 1) {
        sk_dht_lookup_lost(lookup, slot);
        return;
    }
    if (!sk_dht_lookup_heard(lookup, slot))
        return;
    if (what == 2)
        sk_dht_lookup_reject(lookup, slot);
    else if (what == 3)
        sk_dht_lookup_answered(lookup, slot, tale.id, 1);
    else
        sk_dht_lookup_answered(lookup, slot, lookup->candidates[slot].contact.id, 1);
    for (int i = 0; what > 3 && i < 3; i++, tale.endpoint.addr[1]++, tale.id[0] ^= 0x55)
        told(lookup, slot, tale);
}

/* Whatever happens in whatever order, the accounts are right and it ends. */
static void all_orders_of_things_keep_the_accounts(void **state)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct sk_prng prng;
        sk_prng_init(&prng, seed);
        struct sk_dht_lookup lookup = start(1 + (unsigned)sk_prng_below(&prng, 16));
        lookup.config.ids_by_address = seed % 2;
        lookup.config.nodes = (double)sk_prng_below(&prng, 1000);
        for (uint8_t i = 0; i < 10; i++)
            know(&lookup, seed % 4 ? contact((uint8_t)sk_prng_u64(&prng), i) : fitting(i, &prng));
        for (int step = 0; step < 3000; step++) {
            if (sk_dht_lookup_over(&lookup) && !sk_dht_lookup_again(&lookup))
                break;
            next(&lookup);
            uint16_t ways[SK_DHT_SEARCH_CANDIDATES_MAX];
            unsigned under_way = 0;
            for (uint16_t i = 0; i < lookup.count; i++)
                if (lookup.candidates[i].waiting)
                    ways[under_way++] = i;
            assert_int_not_equal(under_way, 0); /* it would never be over */
            happen(&lookup, ways[sk_prng_below(&prng, under_way)], &prng);
            assert_null(sk_dht_lookup_fault(&lookup));
        }
        assert_true(sk_dht_lookup_over(&lookup));
        sk_dht_lookup_deinit(&lookup);
    }
}

static void without_memory_some_are_missing(void **state)
{
    for (size_t nth = 1; nth < 100; nth++) {
        struct sk_dht_lookup lookup = start(8);
        sk_mem_fail_nth(nth);
        int err = 0;
        for (unsigned i = 0; i < 200 && !err; i++) {
            struct sk_dht_contact made = contact((uint8_t)i, (uint8_t)i);
            err = sk_dht_lookup_know(&lookup, &made, 1);
        }
        if (!err)
            err = sk_dht_lookup_token(&lookup, 0, sk_bytes_text("token"));
        sk_mem_fail_nth(0);
        assert_null(sk_dht_lookup_fault(&lookup));
        sk_dht_lookup_deinit(&lookup);
        if (!err)
            return;
        assert_int_equal(err, SKEP_ERR_NOMEM);
    }
    fail_msg("there is no end of allocations");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_are_asked_until_k_answered),
        cmocka_unit_test(no_more_than_alpha_are_under_way_before_the_end),
        cmocka_unit_test(who_is_slow_is_overtaken_but_welcome),
        cmocka_unit_test(where_there_are_few_nobody_is_waited_for),
        cmocka_unit_test(who_did_not_answer_is_asked_once_more),
        cmocka_unit_test(who_is_asked_again_is_so_whoever_told),
        cmocka_unit_test(of_two_answers_the_first_is_heard),
        cmocka_unit_test(who_is_asked_again_keeps_its_place),
        cmocka_unit_test(without_anybody_it_is_over),
        cmocka_unit_test(an_address_is_one_candidate),
        cmocka_unit_test(what_strangers_tell_is_sifted),
        cmocka_unit_test(of_one_answer_the_nearest_few_are_taken),
        cmocka_unit_test(who_tells_of_dead_nodes_is_believed_a_few_times),
        cmocka_unit_test(who_is_told_of_by_two_is_asked),
        cmocka_unit_test(when_nobody_else_is_left_all_are_asked),
        cmocka_unit_test(who_is_not_who_was_told_does_not_count),
        cmocka_unit_test(ids_that_fit_their_address_count),
        cmocka_unit_test(ids_that_do_not_fit_lead_on_a_few_times),
        cmocka_unit_test(who_is_astray_tries_other_ways),
        cmocka_unit_test(ways_come_to_an_end),
        cmocka_unit_test(the_size_of_the_network_is_told_by_the_closest),
        cmocka_unit_test(the_nearer_take_the_place_of_the_farther),
        cmocka_unit_test(tokens_are_kept),
        cmocka_unit_test(all_orders_of_things_keep_the_accounts),
        cmocka_unit_test(without_memory_some_are_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
