/* A DHT node by itself: how operations end, time-outs, limits, both networks, no memory.
 */
#include "dht_desk.h"

#include "proto/dht/node_id.h"

static const struct sk_dht_config plain = {.seed = 3, .families = SK_KRPC_WANT_V4};
static const struct sk_dht_config both = {.seed = 3, .families = SK_KRPC_WANT_V4 | SK_KRPC_WANT_V6};
static const uint8_t target[SK_DHT_ID_SIZE] = {0xab, 0xcd, 0xef};

static struct sk_dht_search make_search(enum sk_krpc_method method)
{
    struct sk_dht_search search = {.method = method, .k = 4};
    memcpy(search.target, target, SK_DHT_ID_SIZE);
    return search;
}

/*
 * Ends.
 */

/* How many steps a search takes from its start to DONE. */
static unsigned steps_of(struct desk *desk, uint64_t op)
{
    unsigned steps = 0;
    desk_settle(desk);
    for (; !desk_story(desk, op)->kinds[SK_DHT_EVENT_DONE]; steps++)
        assert_true(desk_step(desk, SK_TIME_NEVER - 1));
    return steps;
}

static struct desk *announcing(uint64_t *ret_op)
{
    struct desk *desk = malloc(sizeof *desk);
    assert_non_null(desk);
    desk_begin(desk, &plain);
    desk_crowd(desk, 12, false);
    desk->actors[3].reply = NULL;
    desk->actors[7].reply = reply_error;
    for (size_t i = 0; i < desk->actors_count; i++)
        desk->actors[i].delay_ns = (10 + i * 7) * MS_NS;
    struct sk_dht_search search = desk_announce(target);
    search.k = 8;
    *ret_op = desk_search(desk, &search);
    return desk;
}

/* Cancelled at any moment an operation tells and asks no more, and the node goes on. */
static void test_cancel_at_each_moment(void **state)
{
    uint64_t op;
    struct desk *desk = announcing(&op);
    unsigned steps = steps_of(desk, op);
    desk_discard(desk);
    assert_true(steps > 10);
    for (unsigned n = 0; n <= steps; n++) {
        desk = announcing(&op);
        for (unsigned i = 0; i < n; i++)
            desk_step(desk, SK_TIME_NEVER - 1);
        struct story before = *desk_story(desk, op);
        sk_dht_cancel(desk->dht, op);
        sk_dht_cancel(desk->dht, op);
        sk_dht_cancel(desk->dht, op + 1000);
        assert_int_equal(sk_dht_operations(desk->dht), 0);
        desk_wait(desk, 30 * SECOND_NS);
        assert_memory_equal(before.kinds, desk_story(desk, op)->kinds, sizeof before.kinds);
        desk_check_works(desk, target);
        desk_discard(desk);
    }
}

/* Events that wait when it is cancelled are not told; a node that goes then leaves nothing. */
static void test_cancel_and_free_while_events_wait(void **state)
{
    for (unsigned n = 0; n < 12; n++)
        for (unsigned taken = 0; taken < 3; taken++) {
            uint64_t op;
            struct sk_dht_event event;
            struct sk_dht_out out;
            struct desk *desk = announcing(&op);
            for (unsigned i = 0; i < n; i++)
                desk_step(desk, SK_TIME_NEVER - 1);
            /* Some more that nobody takes. */
            struct letter *letter = desk->letters;
            if (letter) {
                desk->now_ns = letter->at_ns;
                sk_dht_input(desk->dht, &letter->from, sk_bytes(letter->bytes, letter->size),
                             desk->now_ns);
            }
            while (sk_dht_next_output(desk->dht, desk->now_ns, &out))
                ;
            for (unsigned i = 0; i < taken; i++)
                sk_dht_next_event(desk->dht, &event);
            if (n % 2) {
                sk_dht_cancel(desk->dht, op);
                assert_int_equal(sk_dht_next_event(desk->dht, &event), 0);
                assert_null(sk_dht_fault(desk->dht));
            }
            desk_discard(desk);
        }
}

static void cancel_all(struct desk *desk, const struct sk_dht_event *event)
{
    for (size_t i = 0; i < desk->stories_count; i++)
        sk_dht_cancel(desk->dht, desk->stories[i].op);
}

/* From inside an event, its own and others; also when it is the last. */
static void test_cancel_from_an_event(void **state)
{
    struct desk desk;
    desk_begin(&desk, &plain);
    desk_crowd(&desk, 12, false);
    struct sk_dht_search search = desk_announce(target);
    desk_search(&desk, &search);
    desk_search(&desk, &search);
    desk.event = cancel_all;
    desk_wait(&desk, 30 * SECOND_NS);
    assert_int_equal(desk.done, 0);
    /* Nobody to ask: the first event is the last. */
    struct desk alone;
    desk_begin(&alone, &plain);
    desk_search(&alone, &search);
    desk_search(&alone, &search);
    alone.event = cancel_all;
    desk_wait(&alone, 30 * SECOND_NS);
    assert_int_equal(alone.done, 1);
    assert_int_equal(sk_dht_operations(alone.dht), 0);
    desk_end(&alone);
    desk_end(&desk);
}

/* Answers that come thrice, with delays of all kinds: each operation is over once. */
static void test_done_is_told_once(void **state)
{
    struct desk desk;
    desk_begin(&desk, &plain);
    desk_crowd(&desk, 20, false);
    for (size_t i = 0; i < desk.actors_count; i++) {
        desk.actors[i].copies = i % 3;
        desk.actors[i].delay_ns = i * 200 * MS_NS; /* the last too late */
    }
    for (unsigned i = 0; i < 12; i++) {
        struct sk_dht_search search = i % 2 ? desk_announce(target) : make_search(SK_KRPC_GET);
        search.target[0] = (uint8_t)i;
        desk_search(&desk, &search);
        struct sk_dht_ask ask = {.method = SK_KRPC_PING, .to = desk.actors[i].at};
        desk_ask(&desk, &ask);
    }
    desk_wait(&desk, 120 * SECOND_NS);
    assert_int_equal(sk_dht_operations(desk.dht), 0);
    for (size_t i = 0; i < desk.stories_count; i++) {
        const struct story *story = &desk.stories[i];
        const struct sk_dht_result *result = &story->result;
        assert_int_equal(story->kinds[SK_DHT_EVENT_DONE], 1);
        if (i % 2 == 0) {
            assert_int_equal(story->kinds[SK_DHT_EVENT_ANSWERED], result->answered);
            assert_true(result->asked >= result->answered + result->silent + result->refused);
            assert_int_equal(story->kinds[SK_DHT_EVENT_STORED], result->stored);
        }
    }
    desk_end(&desk);
}

/*
 * Time-outs.
 */

static const struct sk_dht_ask ask_ping = {.method = SK_KRPC_PING};

static struct actor *lone_actor(struct desk *desk, uint64_t delay_ns)
{
    struct sk_endpoint endpoint = at("80.1.2.3");
    struct actor *actor = desk_add_actor(desk, &endpoint, NULL);
    actor->delay_ns = delay_ns;
    return actor;
}

/* After a second without an answer an ask is sent again, once; either answer ends it; after three
 * more it is over. */
static void test_an_ask_is_sent_twice(void **state)
{
    static const struct {
        uint64_t delay_ns;
        unsigned sent, answered, silent;
        bool once;
    } cases[] = {
        {100 * MS_NS, 1, 1, 0, false},  {1500 * MS_NS, 2, 1, 0, false},
        {2900 * MS_NS, 2, 1, 0, false}, {3200 * MS_NS, 2, 0, 1, false},
        {1500 * MS_NS, 1, 1, 0, true},  {3200 * MS_NS, 1, 0, 1, true},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct desk desk;
        desk_begin(&desk, &plain);
        struct actor *actor = lone_actor(&desk, cases[i].delay_ns);
        struct sk_dht_ask ask = ask_ping;
        ask.to = actor->at;
        ask.once = cases[i].once;
        uint64_t op = desk_ask(&desk, &ask);
        uint64_t started_ns = desk.now_ns;
        desk_wait(&desk, 20 * SECOND_NS);
        const struct story *story = desk_story(&desk, op);
        assert_int_equal(story->kinds[SK_DHT_EVENT_ANSWERED], cases[i].answered);
        assert_int_equal(story->kinds[SK_DHT_EVENT_SILENT], cases[i].silent);
        assert_int_equal(story->kinds[SK_DHT_EVENT_DONE], 1);
        unsigned sent = 0;
        for (size_t j = 0; j < desk.mails_count; j++)
            sent += desk.mails[j]->at_ns < started_ns + 5 * SECOND_NS &&
                    desk.mails[j]->message.method == SK_KRPC_PING;
        assert_int_equal(sent, cases[i].sent);
        desk_end(&desk);
    }
}

static bool reply_second(struct desk *desk, struct actor *actor, const struct sk_krpc *query,
                         struct sk_krpc *answer)
{
    return actor->asked == 2;
}

/* The first is lost: the second has its three seconds. */
static void test_the_second_ask_has_its_time(void **state)
{
    struct desk desk;
    desk_begin(&desk, &plain);
    struct actor *actor = lone_actor(&desk, 2500 * MS_NS);
    struct sk_dht_ask ask = ask_ping;
    actor->reply = reply_second;
    ask.to = actor->at;
    uint64_t op = desk_ask(&desk, &ask);
    desk_wait(&desk, 10 * SECOND_NS);
    assert_int_equal(desk_story(&desk, op)->kinds[SK_DHT_EVENT_SILENT], 0);
    assert_int_equal(desk_story(&desk, op)->kinds[SK_DHT_EVENT_ANSWERED], 1);
    desk_end(&desk);
}

/* A put that depends on what is stored is not sent again: the second might fail by the first. */
static void test_a_cas_is_sent_once(void **state)
{
    struct desk desk;
    static const uint8_t seed[SK_SIGN_SEED_SIZE] = {1};
    uint8_t key[SK_SIGN_PUBLIC_SIZE], signature[SK_SIGN_SIZE];
    struct sk_dht_item item = {
        .value = sk_bytes_text("1:x"), .key = key, .signature = signature, .seq = 2};
    assert_int_equal(sk_sign_public(seed, key), 0);
    assert_int_equal(sk_dht_item_sign(seed, item.salt, 2, item.value, signature), 0);
    desk_begin(&desk, &plain);
    desk_crowd(&desk, 12, false);
    struct sk_dht_ask ask = {
        .method = SK_KRPC_PUT, .to = at("99.1.1.1"), .item = &item, .has_cas = true, .cas = 1};
    ask.token = sk_bytes_text("token");
    desk_ask(&desk, &ask);
    desk_wait(&desk, 10 * SECOND_NS);
    assert_int_equal(desk_count(&desk, &ask.to, SK_KRPC_QUERY), 1);
    assert_int_equal(desk.done, 1);
    ask.has_cas = false;
    desk_ask(&desk, &ask);
    desk_wait(&desk, 10 * SECOND_NS);
    assert_int_equal(desk_count(&desk, &ask.to, SK_KRPC_QUERY), 3);
    desk_end(&desk);
}

/* A slow node is overtaken, and counts when it answers after all; after three seconds not. */
static void test_slow_nodes_are_overtaken(void **state)
{
    for (int dead = 0; dead < 2; dead++) {
        struct desk desk;
        desk_begin(&desk, &plain);
        desk_crowd(&desk, 60, false);
        for (size_t i = 0; i < desk.actors_count; i += 2)
            desk.actors[i].delay_ns = dead ? 3500 * MS_NS : 1200 * MS_NS;
        struct sk_dht_search search = make_search(SK_KRPC_FIND_NODE);
        search.k = 8;
        uint64_t op = desk_search(&desk, &search);
        desk_wait(&desk, 1000 * MS_NS);
        size_t asked = desk_count(&desk, NULL, SK_KRPC_QUERY);
        assert_true(asked > 12); /* others in the place of those who did not answer yet */
        desk_wait(&desk, 20 * SECOND_NS);
        const struct sk_dht_result *result = &desk_story(&desk, op)->result;
        assert_int_equal(desk_story(&desk, op)->kinds[SK_DHT_EVENT_DONE], 1);
        assert_int_equal(result->closest_count, 8);
        for (uint32_t i = 0; i < 8 && dead; i++) {
            struct actor *actor =
                desk_actor(&desk, &desk_story(&desk, op)->closest[i].contact.endpoint);
            assert_true(actor->delay_ns < SECOND_NS);
        }
        desk_end(&desk);
    }
}

/* What does not answer the storing is asked once more, and counted once. */
static bool reply_lookup_only(struct desk *desk, struct actor *actor, const struct sk_krpc *query,
                              struct sk_krpc *answer)
{
    return query->method != SK_KRPC_ANNOUNCE_PEER;
}

static bool reply_store_error(struct desk *desk, struct actor *actor, const struct sk_krpc *query,
                              struct sk_krpc *answer)
{
    return query->method != SK_KRPC_ANNOUNCE_PEER || reply_error(desk, actor, query, answer);
}

static void test_storing_is_tried_twice(void **state)
{
    struct desk desk;
    desk_begin(&desk, &plain);
    desk_crowd(&desk, 4, false);
    desk.actors[0].reply = reply_lookup_only;
    desk.actors[1].reply = reply_store_error;
    desk.actors[2].delay_ns = 1040 * MS_NS;
    desk.actors[2].copies = 2;
    struct sk_dht_search search = desk_announce(target);
    uint64_t op = desk_search(&desk, &search);
    desk_wait(&desk, 30 * SECOND_NS);
    const struct story *story = desk_story(&desk, op);
    assert_int_equal(story->kinds[SK_DHT_EVENT_DONE], 1);
    assert_int_equal(story->result.stored, 2);
    assert_int_equal(story->result.store_refused, 1);
    assert_int_equal(story->result.store_silent, 1);
    assert_int_equal(story->code, SK_KRPC_SERVER);
    assert_int_equal(desk.actors[0].stored, 2);
    assert_int_equal(desk.actors[1].stored, 1);
    assert_int_equal(desk.actors[2].stored, 2);
    assert_int_equal(desk.actors[3].stored, 1);
    desk_end(&desk);
}

/*
 * Limits.
 */

static void test_operations_have_a_limit(void **state)
{
    struct desk desk;
    struct sk_dht_stats stats;
    uint64_t op = 0, first = 0;
    desk_begin(&desk, &plain);
    desk.thrifty = true;
    for (unsigned i = 0; i < SK_DHT_OPERATIONS_MAX; i++) {
        struct sk_dht_ask ask = {.method = SK_KRPC_PING, .to = desk_public(i, false)};
        assert_int_equal(sk_dht_start_ask(desk.dht, &ask, desk.now_ns, &op), 0);
        assert_true(op > first);
        first = i ? first : op;
    }
    struct sk_dht_ask more = {.method = SK_KRPC_PING, .to = at("80.1.1.1")};
    struct sk_dht_search search = make_search(SK_KRPC_GET);
    assert_int_equal(sk_dht_start_ask(desk.dht, &more, desk.now_ns, &op), SKEP_ERR_LIMIT);
    assert_int_equal(sk_dht_start_search(desk.dht, &search, desk.now_ns, &op), SKEP_ERR_LIMIT);
    sk_dht_cancel(desk.dht, first);
    assert_int_equal(sk_dht_start_ask(desk.dht, &more, desk.now_ns, &op), 0);
    /* All at once, and again after a second: no more are under way than there are places. */
    desk_settle(&desk);
    sk_dht_stats(desk.dht, &stats);
    assert_int_equal(stats.transactions, SK_DHT_TRANSACTIONS_MAX);
    while (sk_dht_operations(desk.dht)) {
        assert_true(desk_step(&desk, desk.now_ns + 60 * SECOND_NS));
        sk_dht_stats(desk.dht, &stats);
        assert_true(stats.transactions <= SK_DHT_TRANSACTIONS_MAX);
    }
    assert_int_equal(desk.done, SK_DHT_OPERATIONS_MAX);
    desk_end(&desk);
}

/* Beyond the addresses that may wait the others are forgotten; all that wait are tried. */
static void test_addresses_have_a_limit(void **state)
{
    struct desk desk;
    struct sk_dht_stats stats;
    desk_begin(&desk, &plain);
    for (unsigned i = 0; i < SK_DHT_WAITING_MAX + 100; i++) {
        struct sk_endpoint endpoint = desk_public(i, false);
        sk_dht_add_address(desk.dht, &endpoint, false, desk.now_ns);
        sk_dht_add_address(desk.dht, &endpoint, false, desk.now_ns);
    }
    sk_dht_stats(desk.dht, &stats);
    assert_int_equal(stats.waiting, SK_DHT_WAITING_MAX);
    desk_settle(&desk);
    assert_int_equal(desk.mails_count, 8); /* at a time */
    desk_wait(&desk, 3 * SECOND_NS * (SK_DHT_WAITING_MAX / 8 + 2));
    assert_true(desk.mails_count >= SK_DHT_WAITING_MAX);
    desk_end(&desk);
}

static void test_what_makes_no_sense_is_refused(void **state)
{
    static const uint8_t big[SK_KRPC_ITEM_MAX + 1] = {'i'};
    const struct sk_dht_item item = {.value = {big, sizeof big}}, none = {0};
    const struct sk_dht_ask asks[] = {
        {.method = SK_KRPC_UNKNOWN, .to = at("80.1.1.1")},
        {.method = (enum sk_krpc_method)99, .to = at("80.1.1.1")},
        {.method = SK_KRPC_PING, .to = at("[2a00::1]")}, /* no socket */
        {.method = SK_KRPC_PING, .to = at("224.0.0.1")},
        {.method = SK_KRPC_PING, .to = at("0.0.0.0")},
        {.method = SK_KRPC_PING},
        {.method = SK_KRPC_PUT, .to = at("80.1.1.1")},
        {.method = SK_KRPC_PUT, .to = at("80.1.1.1"), .item = &item},
        {.method = SK_KRPC_PUT, .to = at("80.1.1.1"), .item = &none},
        {.method = SK_KRPC_PING, .to = at("80.1.1.1"), .token = {big, SK_KRPC_TOKEN_MAX + 1}},
    };
    const struct sk_dht_search searches[] = {
        {.method = SK_KRPC_PING},
        {.method = SK_KRPC_SAMPLE},
        {.method = SK_KRPC_FIND_NODE, .k = SK_DHT_SEARCH_K_MAX + 1},
        {.method = SK_KRPC_GET, .salt = {big, SK_KRPC_SALT_MAX + 1}},
        {.method = SK_KRPC_GET, .store = SK_DHT_STORE_PEER},
        {.method = SK_KRPC_GET, .store = SK_DHT_STORE_ITEM},
        {.method = SK_KRPC_GET, .store = SK_DHT_STORE_ITEM, .item = &item},
        {.method = SK_KRPC_GET_PEERS, .store = SK_DHT_STORE_ITEM, .item = &item},
        {.method = SK_KRPC_GET, .store = (enum sk_dht_store)9},
    };
    struct desk desk;
    uint64_t op = 77;
    desk_begin(&desk, &plain);
    for (size_t i = 0; i < SK_ARRAY_LEN(asks); i++)
        assert_int_equal(sk_dht_start_ask(desk.dht, &asks[i], desk.now_ns, &op), SKEP_ERR_INVALID);
    for (size_t i = 0; i < SK_ARRAY_LEN(searches); i++)
        assert_int_equal(sk_dht_start_search(desk.dht, &searches[i], desk.now_ns, &op),
                         SKEP_ERR_INVALID);
    assert_int_equal(op, 77);
    assert_int_equal(sk_dht_operations(desk.dht), 0);
    desk_wait(&desk, SECOND_NS);
    assert_int_equal(desk.mails_count, 0);
    desk_end(&desk);
}

/*
 * Both networks, and ids.
 */

static void test_both_networks_are_searched(void **state)
{
    struct desk desk;
    desk_begin(&desk, &both);
    desk_crowd(&desk, 12, false);
    desk_crowd(&desk, 12, true);
    for (unsigned families = 0; families < 4; families++) {
        struct sk_dht_search search = desk_announce(target);
        search.families = families;
        uint64_t op = desk_search(&desk, &search);
        desk_wait(&desk, 30 * SECOND_NS);
        const struct story *story = desk_story(&desk, op);
        unsigned counts[2] = {0};
        for (uint32_t i = 0; i < story->result.closest_count; i++) {
            bool v6 = story->closest[i].contact.endpoint.family == SK_FAMILY_V6;
            assert_false(!v6 && counts[1]); /* IPv4 first */
            counts[v6]++;
            assert_true(story->closest[i].stored);
        }
        assert_int_equal(counts[0], families == SK_KRPC_WANT_V6 ? 0 : 4);
        assert_int_equal(counts[1], families == SK_KRPC_WANT_V4 ? 0 : 4);
    }
    assert_memory_not_equal(sk_dht_id(desk.dht, SK_FAMILY_V4), sk_dht_id(desk.dht, SK_FAMILY_V6),
                            SK_DHT_ID_SIZE);
    desk_end(&desk);
}

/* IPv6 alone: there is no IPv4 table, and what comes that way is not looked at. */
static void test_a_network_that_is_not_there(void **state)
{
    struct desk desk;
    struct sk_dht_config config = {.seed = 1, .families = SK_KRPC_WANT_V6};
    desk_begin(&desk, &config);
    desk_crowd(&desk, 12, true);
    assert_null(sk_dht_id(desk.dht, SK_FAMILY_V4));
    assert_null(sk_dht_table(desk.dht, SK_FAMILY_V4));
    assert_int_equal(sk_dht_state(desk.dht, SK_FAMILY_V4), SK_DHT_EMPTY);
    desk_ping(&desk, 1);
    struct sk_endpoint endpoint = at("80.1.1.1");
    sk_dht_add_address(desk.dht, &endpoint, false, desk.now_ns);
    desk_wait(&desk, SECOND_NS);
    for (size_t i = 0; i < desk.mails_count; i++)
        assert_int_equal(desk.mails[i]->to.family, SK_FAMILY_V6);
    desk_check_works(&desk, target);
    desk_end(&desk);
}

static bool reply_ip(struct desk *desk, struct actor *actor, const struct sk_krpc *query,
                     struct sk_krpc *answer)
{
    static const uint8_t ip[6] = {124, 31, 75, 21, 1, 1};
    answer->ip = sk_bytes(ip, sizeof ip);
    return true;
}

/* Our id changes under a search: it ends as it would, and we join again as who we are now. */
static void test_a_search_outlives_our_id(void **state)
{
    struct desk desk;
    struct sk_dht_config config = plain;
    uint8_t before[SK_DHT_ID_SIZE];
    struct sk_endpoint ours = at("124.31.75.21");
    config.ids_by_address = true;
    desk_begin(&desk, &config);
    desk_crowd(&desk, 20, false);
    memcpy(before, sk_dht_id(desk.dht, SK_FAMILY_V4), SK_DHT_ID_SIZE);
    for (size_t i = 0; i < desk.actors_count; i++)
        desk.actors[i].reply = reply_ip;
    struct sk_dht_search search = desk_announce(target);
    search.k = 16;
    uint64_t op = desk_search(&desk, &search);
    desk_wait(&desk, 30 * SECOND_NS);
    const uint8_t *id = sk_dht_id(desk.dht, SK_FAMILY_V4);
    assert_memory_not_equal(before, id, SK_DHT_ID_SIZE);
    assert_true(sk_dht_id_fits(id, &ours));
    assert_int_equal(desk_story(&desk, op)->result.stored, 16);
    assert_int_equal(sk_dht_state(desk.dht, SK_FAMILY_V4), SK_DHT_READY);
    assert_memory_equal(desk_last(&desk)->message.id, id, SK_DHT_ID_SIZE);
    desk_end(&desk);
}

/*
 * No memory.
 */

/* Whichever allocation of a whole life fails, nothing breaks: what was started ends. */
static void test_no_memory_in_a_search(void **state)
{
    static const uint8_t value[] = "5:hello";
    const struct sk_dht_item item = {.value = {value, 7}};
    bool through = false;
    for (size_t nth = 1; !through; nth++) {
        struct desk desk;
        struct sk_dht_search search = make_search(SK_KRPC_GET);
        desk_begin(&desk, &plain);
        for (size_t i = 0; i < 12; i++) {
            struct sk_endpoint endpoint = desk_public(i, false);
            desk_add_actor(&desk, &endpoint, NULL);
        }
        search.store = SK_DHT_STORE_ITEM;
        search.item = &item;
        sk_dht_item_target(&item, search.target);
        sk_mem_fail_nth(nth);
        for (size_t i = 0; i < 12; i++)
            sk_dht_add_address(desk.dht, &desk.actors[i].at, false, desk.now_ns);
        desk_wait(&desk, 10 * SECOND_NS);
        uint64_t op = 0;
        int err = sk_dht_start_search(desk.dht, &search, desk.now_ns, &op);
        assert_true(err == 0 || err == SKEP_ERR_NOMEM);
        desk_wait(&desk, 30 * SECOND_NS);
        through = sk_mem_fail_nth(0) < nth;
        assert_int_equal(desk.done, err == 0);
        assert_int_equal(sk_dht_operations(desk.dht), 0);
        /* With memory it works, if need be after a while. */
        desk_wait(&desk, 600 * SECOND_NS);
        desk_check_works(&desk, target);
        desk_end(&desk);
    }
}

static void test_no_memory_for_what_comes(void **state)
{
    static const uint8_t id[SK_DHT_ID_SIZE] = {9};
    static const enum sk_krpc_method methods[] = {SK_KRPC_PING, SK_KRPC_FIND_NODE, SK_KRPC_GET,
                                                  SK_KRPC_SAMPLE, SK_KRPC_GET_PEERS};
    bool through = false;
    for (size_t nth = 1; !through; nth++) {
        struct desk desk;
        desk_begin(&desk, &both);
        sk_mem_fail_nth(nth);
        for (unsigned i = 0; i < 30; i++) {
            struct sk_endpoint from = desk_public(i / 6, i / 6 % 2);
            struct sk_krpc query = {.kind = SK_KRPC_QUERY,
                                    .transaction = sk_bytes_text("q"),
                                    .id = id,
                                    .method = methods[i % 5],
                                    .target = target,
                                    .scrape = true,
                                    .port = 6881};
            desk_input(&desk, &from, &query);
            if (i % 5 == 4 && desk.mails_count && desk_last(&desk)->message.token.n) {
                query.method = SK_KRPC_ANNOUNCE_PEER;
                query.token = desk_last(&desk)->message.token;
                desk_input(&desk, &from, &query);
                assert_true(desk_last(&desk)->message.kind == SK_KRPC_RESPONSE ||
                            desk_last(&desk)->message.code == SK_KRPC_SERVER);
            }
        }
        through = sk_mem_fail_nth(0) < nth;
        desk_wait(&desk, 3600 * SECOND_NS);
        desk_end(&desk);
    }
}

static void test_no_memory_for_a_node(void **state)
{
    for (size_t nth = 1;; nth++) {
        struct sk_dht *dht = NULL;
        sk_mem_fail_nth(nth);
        int err = sk_dht_new(&both, 1, &dht);
        sk_mem_fail_nth(0);
        if (!err) {
            assert_true(nth > 5);
            sk_dht_free(dht);
            return;
        }
        assert_int_equal(err, SKEP_ERR_NOMEM);
        assert_null(dht);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel_at_each_moment),
        cmocka_unit_test(test_cancel_and_free_while_events_wait),
        cmocka_unit_test(test_cancel_from_an_event),
        cmocka_unit_test(test_done_is_told_once),
        cmocka_unit_test(test_an_ask_is_sent_twice),
        cmocka_unit_test(test_the_second_ask_has_its_time),
        cmocka_unit_test(test_a_cas_is_sent_once),
        cmocka_unit_test(test_slow_nodes_are_overtaken),
        cmocka_unit_test(test_storing_is_tried_twice),
        cmocka_unit_test(test_operations_have_a_limit),
        cmocka_unit_test(test_addresses_have_a_limit),
        cmocka_unit_test(test_what_makes_no_sense_is_refused),
        cmocka_unit_test(test_both_networks_are_searched),
        cmocka_unit_test(test_a_network_that_is_not_there),
        cmocka_unit_test(test_a_search_outlives_our_id),
        cmocka_unit_test(test_no_memory_in_a_search),
        cmocka_unit_test(test_no_memory_for_what_comes),
        cmocka_unit_test(test_no_memory_for_a_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
