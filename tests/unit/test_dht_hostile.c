/* A DHT node among strangers who mean it no good: what they cannot make it do. */
#include "dht_desk.h"

#include "proto/dht/node_id.h"

#define ALLOWANCE 4096 /* bytes beyond the factor, for who has not proved its address */

static const struct sk_dht_config plain = {.seed = 3, .families = SK_KRPC_WANT_V4};
static const struct sk_dht_config both = {.seed = 3, .families = SK_KRPC_WANT_V4 | SK_KRPC_WANT_V6};
static const struct sk_dht_config by_address = {
    .seed = 3, .families = SK_KRPC_WANT_V4 | SK_KRPC_WANT_V6, .ids_by_address = true};
static const uint8_t target[SK_DHT_ID_SIZE] = {0xab, 0xcd, 0xef};

static struct sk_krpc make_query(enum sk_krpc_method method, const uint8_t *id)
{
    return (struct sk_krpc){
        .kind = SK_KRPC_QUERY,
        .transaction = sk_bytes_text("q"),
        .id = id,
        .method = method,
        .target = target,
        .port = 6881,
    };
}

/*
 * Reflection.
 */

/* How many bytes went to this IP address, or /64, since desk_clear(). */
static size_t bytes_to(const struct desk *desk, const struct sk_endpoint *to)
{
    size_t bytes = 0;
    for (size_t i = 0; i < desk->mails_count; i++)
        if (desk->mails[i]->to.family == to->family &&
            memcmp(desk->mails[i]->to.addr, to->addr, to->family == SK_FAMILY_V6 ? 8 : 4) == 0)
            bytes += desk->mails[i]->size;
    return bytes;
}

/* A query that may as well be forged, from one of the ports (and of the hosts, with IPv6) of a
 * victim; returns its size. */
static size_t send_forged(struct desk *desk, const struct sk_endpoint *victim,
                          enum sk_krpc_method method, unsigned number)
{
    uint8_t id[SK_DHT_ID_SIZE] = {0x11, (uint8_t)number, (uint8_t)(number >> 8)};
    struct sk_endpoint from = *victim;
    struct sk_krpc query = make_query(method, id);
    query.scrape = true;
    query.want = SK_KRPC_WANT_V4 | SK_KRPC_WANT_V6;
    from.port = (uint16_t)(2000 + number % 700);
    if (from.family == SK_FAMILY_V6)
        sk_put_u16(from.addr + 14, (uint16_t)number);
    desk_post(desk, &from, &query, 0);
    size_t size = desk->letters->size;
    desk_wait(desk, 100 * MS_NS);
    return size;
}

/* Answers and pings together: a victim whose address is forged gets little more than the factor,
 * however many ports and ids are made up. */
static void test_forged_queries_gain_little(void **state)
{
    static const enum sk_krpc_method methods[] = {SK_KRPC_PING, SK_KRPC_FIND_NODE,
                                                  SK_KRPC_GET_PEERS, SK_KRPC_GET, SK_KRPC_SAMPLE};
    for (size_t m = 0; m < SK_ARRAY_LEN(methods); m++)
        for (int v6 = 0; v6 < 2; v6++) {
            struct desk desk;
            struct sk_endpoint victim = at(v6 ? "[2a05:1:2:3::1]" : "99.1.2.3");
            size_t sent = 0;
            desk_begin(&desk, &both);
            desk_crowd(&desk, 60, v6);
            uint64_t started_ns = desk.now_ns;
            for (unsigned i = 0; i < 1500; i++)
                sent += send_forged(&desk, &victim, methods[m], i);
            size_t got = bytes_to(&desk, &victim);
            double time_s = (double)(desk.now_ns - started_ns) / (double)SECOND_NS;
            double most = SK_DHT_REFLECTION * (double)sent + ALLOWANCE * (1 + time_s / 600);
            if ((double)got > most)
                fail_msg("%s%s: %zu bytes came of %zu", sk_krpc_method_name(methods[m]),
                         v6 ? ", IPv6" : "", got, sent);
            desk_end(&desk);
        }
}

/* Who asks and does not answer our ping may be a victim, of whose ports we ping as many as its
 * allowance pays for, however small our answers are. */
static void test_a_forged_address_is_pinged_little(void **state)
{
    struct desk desk;
    struct sk_endpoint victim = at("99.1.2.3");
    size_t bytes = 0;
    desk_begin(&desk, &plain);
    uint64_t started_ns = desk.now_ns;
    for (unsigned i = 0; i < 1500; i++)
        send_forged(&desk, &victim, SK_KRPC_PING, i);
    for (size_t i = 0; i < desk.mails_count; i++)
        if (desk.mails[i]->message.kind == SK_KRPC_QUERY)
            bytes += desk.mails[i]->size;
    double time_s = (double)(desk.now_ns - started_ns) / (double)SECOND_NS;
    assert_true((double)bytes <= ALLOWANCE * (1 + time_s / 600));
    assert_true(bytes > ALLOWANCE * 9 / 10);
    desk_end(&desk);
}

/* The size of the answer to a query for nodes of both networks. */
static size_t ask_for_nodes(struct desk *desk, const struct sk_endpoint *from, size_t *ret_query)
{
    static const uint8_t id[SK_DHT_ID_SIZE] = {9};
    struct sk_krpc query = make_query(SK_KRPC_FIND_NODE, id);
    query.want = SK_KRPC_WANT_V4 | SK_KRPC_WANT_V6;
    query.read_only = true;
    desk_post(desk, from, &query, 0);
    *ret_query = desk->letters->size;
    desk_clear(desk);
    desk_wait(desk, 0);
    assert_int_equal(desk_count(desk, from, SK_KRPC_RESPONSE), 1);
    return bytes_to(desk, from);
}

static bool announce(struct desk *desk, const struct sk_endpoint *from, const uint8_t *hash);

/* Who shows that it gets what is sent to its address, by a token or by answering us, is told all;
 * before only its allowance and then the factor. */
static void test_a_proved_address_is_told_all(void **state)
{
    for (int by_token = 0; by_token < 2; by_token++) {
        struct desk desk;
        struct sk_endpoint from = at("99.1.2.3");
        size_t query = 0, answer = 0;
        desk_begin(&desk, &both);
        desk_crowd(&desk, 12, false);
        desk_crowd(&desk, 12, true);
        size_t full = ask_for_nodes(&desk, &from, &query);
        assert_true(full > SK_DHT_REFLECTION * query);
        for (unsigned i = 0; i < 30; i++)
            answer = ask_for_nodes(&desk, &from, &query);
        assert_true(answer <= SK_DHT_REFLECTION * query);
        if (by_token) {
            assert_true(announce(&desk, &from, target));
        } else {
            struct sk_dht_ask ask = {.method = SK_KRPC_PING, .to = from};
            desk_add_actor(&desk, &from, NULL)->hidden = true;
            desk_ask(&desk, &ask);
            desk_wait(&desk, SECOND_NS);
            assert_int_equal(desk.done, 1);
        }
        assert_int_equal(ask_for_nodes(&desk, &from, &query), full);
        desk_end(&desk);
    }
}

/*
 * Who answers with errors.
 */

/* An address that was added and answers with an error is as one that is silent: it is asked again,
 * more and more seldom. */
static void test_an_error_does_not_end_the_joining(void **state)
{
    struct desk desk;
    desk_begin(&desk, &plain);
    struct sk_endpoint endpoint = at("80.1.2.3");
    struct actor *actor = desk_add_actor(&desk, &endpoint, NULL);
    actor->reply = reply_error;
    sk_dht_add_address(desk.dht, &actor->at, false, desk.now_ns);
    desk_wait(&desk, 600 * SECOND_NS);
    assert_true(actor->asked >= 3);
    assert_true(actor->asked <= 20);
    assert_true(sk_dht_deadline(desk.dht) != SK_TIME_NEVER);
    actor->reply = reply_honest;
    desk_wait(&desk, 400 * SECOND_NS);
    assert_int_equal(sk_dht_state(desk.dht, SK_FAMILY_V4), SK_DHT_READY);
    desk_end(&desk);
}

/* Says who it is when it is asked by the node for the first time, and then only errors. */
static bool reply_once(struct desk *desk, struct actor *actor, const struct sk_krpc *query,
                       struct sk_krpc *answer)
{
    return actor->asked == 1 || reply_error(desk, actor, query, answer);
}

/* Nodes that answer each find_node with an error do not keep us busy. */
static void test_errors_while_joining_are_no_hurry(void **state)
{
    struct desk desk;
    desk_begin(&desk, &plain);
    for (size_t i = 0; i < 4; i++) {
        struct sk_endpoint endpoint = desk_public(i, false);
        struct actor *actor = desk_add_actor(&desk, &endpoint, NULL);
        actor->reply = reply_once;
        sk_dht_add_address(desk.dht, &actor->at, false, desk.now_ns);
    }
    desk_wait(&desk, 300 * SECOND_NS);
    size_t queries = desk_count(&desk, NULL, SK_KRPC_QUERY);
    if (queries > 200)
        fail_msg("%zu queries in five minutes", queries);
    desk_end(&desk);
}

/* Is asked by us, and then answers our pings with errors: it does not count as good for ever, nor
 * is it asked without end. */
static void test_errors_to_pings_are_no_sign_of_life(void **state)
{
    struct desk desk;
    desk_begin(&desk, &plain);
    desk_crowd(&desk, 12, false);
    struct actor *actor = &desk.actors[5];
    assert_non_null(sk_dht_table_find(sk_dht_table(desk.dht, SK_FAMILY_V4), &actor->at));
    actor->reply = reply_error;
    actor->asked = 0;
    desk_wait(&desk, 3600 * SECOND_NS);
    const struct sk_dht_entry *entry =
        sk_dht_table_find(sk_dht_table(desk.dht, SK_FAMILY_V4), &actor->at);
    assert_true(!entry || sk_dht_entry_health(entry, desk.now_ns) != SK_DHT_GOOD);
    if (actor->asked > 120)
        fail_msg("asked %u times in an hour", actor->asked);
    desk_end(&desk);
}

/*
 * Who lies to a search.
 */

static uint64_t search_now(struct desk *desk, enum sk_krpc_method method)
{
    struct sk_dht_search search = {.method = method};
    memcpy(search.target, target, SK_DHT_ID_SIZE);
    return desk_search(desk, &search);
}

static const struct sk_dht_result *search_to_end(struct desk *desk, enum sk_krpc_method method)
{
    uint64_t op = search_now(desk, method);
    desk_wait(desk, 120 * SECOND_NS);
    const struct story *story = desk_story(desk, op);
    assert_int_equal(story->kinds[SK_DHT_EVENT_DONE], 1);
    return &story->result;
}

/* An id near the target that nobody else has. */
static void near_id(struct desk *desk, uint8_t id[SK_DHT_ID_SIZE])
{
    memcpy(id, target, SK_DHT_ID_SIZE);
    sk_prng_bytes(&desk->prng, id + 10, 10);
}

/* Tells of 16 nodes that are all at a victim's address, at ports of its own choice. */
static bool reply_victim(struct desk *desk, struct actor *actor, const struct sk_krpc *query,
                         struct sk_krpc *answer)
{
    static uint8_t nodes[16 * 26];
    struct sk_dht_contact contact = {.endpoint = at("99.9.9.9")};
    size_t n = 0;
    for (unsigned i = 0; i < 16; i++) {
        near_id(desk, contact.id);
        contact.endpoint.port = (uint16_t)(2000 + sk_prng_below(&desk->prng, 60000));
        n += sk_krpc_write_node(&contact, nodes + n);
    }
    answer->nodes = sk_bytes(nodes, n);
    return true;
}

static void test_no_search_hammers_a_victim(void **state)
{
    struct desk desk;
    desk_begin(&desk, &plain);
    desk_crowd(&desk, 40, false);
    for (size_t i = 0; i < desk.actors_count; i += 2)
        desk.actors[i].reply = reply_victim;
    search_to_end(&desk, SK_KRPC_FIND_NODE);
    struct sk_endpoint victim = at("99.9.9.9");
    assert_true(desk_count(&desk, &victim, SK_KRPC_QUERY) <= 1);
    desk_end(&desk);
}

/* While it joins too: what an added address tells is believed more, but a victim is one node. */
static void test_no_joining_hammers_a_victim(void **state)
{
    struct desk desk;
    struct sk_endpoint victim = at("99.9.9.9");
    desk_begin(&desk, &plain);
    for (size_t i = 0; i < 30; i++) {
        struct sk_endpoint endpoint = desk_public(i, false);
        desk_add_actor(&desk, &endpoint, NULL)->reply = reply_victim;
        sk_dht_add_address(desk.dht, &endpoint, false, desk.now_ns);
    }
    desk_wait(&desk, 600 * SECOND_NS);
    size_t count = desk_count(&desk, &victim, SK_KRPC_QUERY);
    if (count > 30)
        fail_msg("%zu queries in ten minutes", count);
    desk_end(&desk);
}

/* Whoever is asked answers as if it were near, and tells of eight that are nearer still. */
static bool reply_chain(struct desk *desk, struct actor *actor, const struct sk_krpc *query,
                        struct sk_krpc *answer)
{
    static uint8_t nodes[8 * 26];
    size_t n = 0;
    for (unsigned i = 0; i < 8 && desk->actors_count < DESK_ACTORS; i++) {
        struct sk_endpoint endpoint = desk_public(1000 + desk->actors_count, false);
        struct sk_dht_contact contact = {.endpoint = endpoint};
        near_id(desk, contact.id);
        size_t bytes = SK_MIN(desk->actors_count / 20, 9);
        memcpy(contact.id + 10, target + 10, bytes);
        desk_add_actor(desk, &endpoint, contact.id)->reply = reply_chain;
        n += sk_krpc_write_node(&contact, nodes + n);
    }
    answer->nodes = sk_bytes(nodes, n);
    return true;
}

/* Nodes that lead nearer and nearer, without end, end at the bound. */
static void test_an_endless_trail_ends(void **state)
{
    struct desk desk;
    desk_begin(&desk, &plain);
    desk_crowd(&desk, 20, false);
    for (size_t i = 0; i < 20; i++)
        desk.actors[i].reply = reply_chain;
    const struct sk_dht_result *result = search_to_end(&desk, SK_KRPC_FIND_NODE);
    assert_true(result->asked <= SK_DHT_SEARCH_CANDIDATES_MAX);
    assert_int_equal(result->closest_count, 8);
    desk_end(&desk);
}

/* Tells of 8 nodes near the target, each at an address of its own where nobody is. */
static bool reply_dead(struct desk *desk, struct actor *actor, const struct sk_krpc *query,
                       struct sk_krpc *answer)
{
    static uint8_t nodes[8 * 26];
    size_t n = 0;
    for (unsigned i = 0; i < 8; i++) {
        struct sk_dht_contact contact = {.endpoint = desk_public(9000 + i, false)};
        near_id(desk, contact.id);
        n += sk_krpc_write_node(&contact, nodes + n);
    }
    answer->nodes = sk_bytes(nodes, n);
    return true;
}

/* Who tells of nodes that are not there is believed a few times only. */
static void test_who_tells_of_the_dead_loses_credit(void **state)
{
    struct desk desk;
    uint8_t id[SK_DHT_ID_SIZE];
    size_t dead = 0;
    desk_begin(&desk, &plain);
    desk_crowd(&desk, 40, false);
    near_id(&desk, id);
    struct sk_endpoint endpoint = at("99.8.7.6");
    desk_add_actor(&desk, &endpoint, id)->reply = reply_dead;
    const struct sk_dht_result *result = search_to_end(&desk, SK_KRPC_FIND_NODE);
    assert_int_equal(result->closest_count, 8);
    for (size_t i = 0; i < desk.mails_count; i++)
        dead += !desk_actor(&desk, &desk.mails[i]->to);
    assert_true(dead >= 1 && dead <= 4);
    desk_end(&desk);
}

/* Gives a value that is not true. */
static bool reply_forged(struct desk *desk, struct actor *actor, const struct sk_krpc *query,
                         struct sk_krpc *answer)
{
    answer->value = sk_bytes_text("7:forgery");
    return true;
}

/* Who gave a forged value does not count, though others tell of it later. */
static void test_a_forger_never_counts(void **state)
{
    struct desk desk;
    desk_begin(&desk, &plain);
    desk_crowd(&desk, 30, false);
    struct sk_endpoint endpoint = at("99.8.7.6");
    uint8_t id[SK_DHT_ID_SIZE];
    near_id(&desk, id);
    struct actor *forger = desk_add_actor(&desk, &endpoint, id);
    forger->reply = reply_forged;
    forger->delay_ns = MS_NS;
    uint64_t op = search_now(&desk, SK_KRPC_GET);
    desk_wait(&desk, 60 * SECOND_NS);
    const struct story *story = desk_story(&desk, op);
    assert_int_equal(story->kinds[SK_DHT_EVENT_DONE], 1);
    assert_int_equal(story->result.forged, 1);
    for (uint32_t i = 0; i < story->result.closest_count; i++)
        assert_false(sk_endpoint_equal(&story->closest[i].contact.endpoint, &forger->at));
    assert_false(story->result.has_item);
    desk_end(&desk);
}

/*
 * Who answers what it was not asked.
 */

static void check_not_taken(struct desk *desk, const struct sk_endpoint *from,
                            const struct sk_krpc *answer)
{
    struct sk_dht_stats before, after;
    sk_dht_stats(desk->dht, &before);
    desk_input(desk, from, answer);
    sk_dht_stats(desk->dht, &after);
    assert_int_equal(after.answers_in, before.answers_in);
    assert_int_equal(after.unasked, before.unasked + 1);
}

static void test_only_who_was_asked_answers(void **state)
{
    struct desk desk;
    desk_begin(&desk, &both);
    struct sk_dht_ask ask = {.method = SK_KRPC_GET_PEERS, .to = at("80.1.2.3:7000")};
    uint64_t op = desk_ask(&desk, &ask);
    desk_wait(&desk, 10 * MS_NS);
    const struct mail *query = desk_query(&desk, &ask.to);
    struct sk_krpc answer = desk_answer(query, target);
    const struct sk_endpoint others[] = {at("80.1.2.3:7001"), at("80.1.2.4:7000"),
                                         at("[2a00::1]:7000")};
    for (size_t i = 0; i < SK_ARRAY_LEN(others); i++)
        check_not_taken(&desk, &others[i], &answer);
    assert_int_equal(query->message.transaction.n, 4);
    for (unsigned bit = 0; bit < 32; bit++) {
        uint8_t transaction[4];
        memcpy(transaction, query->message.transaction.p, 4);
        transaction[bit / 8] ^= (uint8_t)(1 << bit % 8);
        answer.transaction = sk_bytes(transaction, 4);
        check_not_taken(&desk, &ask.to, &answer);
    }
    answer.transaction = sk_bytes(query->message.transaction.p, 3);
    check_not_taken(&desk, &ask.to, &answer);
    assert_int_equal(desk.done, 0);
    answer.transaction = query->message.transaction;
    desk_input(&desk, &ask.to, &answer);
    assert_int_equal(desk_story(&desk, op)->kinds[SK_DHT_EVENT_ANSWERED], 1);
    check_not_taken(&desk, &ask.to, &answer);
    assert_int_equal(desk.done, 1);
    desk_end(&desk);
}

/* Transaction ids do not follow from those before. */
static void test_transactions_cannot_be_guessed(void **state)
{
    struct desk desk;
    desk_begin(&desk, &plain);
    uint32_t ored = 0, anded = UINT32_MAX;
    for (unsigned i = 0; i < 64; i++) {
        struct sk_dht_ask ask = {.method = SK_KRPC_PING, .to = desk_public(i, false), .once = true};
        uint64_t op;
        assert_int_equal(sk_dht_start_ask(desk.dht, &ask, desk.now_ns, &op), 0);
        desk_settle(&desk);
        uint32_t transaction = sk_get_u32(desk_query(&desk, &ask.to)->message.transaction.p);
        ored |= transaction;
        anded &= transaction;
    }
    /* 20 bits at least are not always the same. */
    assert_true(__builtin_popcount(ored & ~anded) >= 20);
    desk_end(&desk);
}

/*
 * Ids.
 */

static bool reply_new_id(struct desk *desk, struct actor *actor, const struct sk_krpc *query,
                         struct sk_krpc *answer)
{
    sk_prng_bytes(&desk->prng, actor->id, SK_DHT_ID_SIZE);
    return true;
}

/* A node whose id is another each time has one place in the table at most, and is not good. */
static void test_an_id_that_changes_gets_one_place(void **state)
{
    struct desk desk;
    struct sk_dht_stats stats;
    desk_begin(&desk, &plain);
    desk_crowd(&desk, 12, false);
    struct actor *actor = &desk.actors[4];
    actor->reply = reply_new_id;
    for (int i = 0; i < 30; i++) {
        struct sk_dht_ask ask = {.method = SK_KRPC_PING, .to = actor->at};
        desk_ask(&desk, &ask);
        desk_wait(&desk, 60 * SECOND_NS);
    }
    sk_dht_stats(desk.dht, &stats);
    assert_true(stats.ids_changed >= 1);
    size_t pos = 0, places = 0;
    const struct sk_dht_entry *entry;
    while ((entry = sk_dht_table_next(sk_dht_table(desk.dht, SK_FAMILY_V4), &pos, NULL)))
        places += sk_endpoint_same_ip(&entry->contact.endpoint, &actor->at);
    assert_true(places <= 1);
    desk_end(&desk);
}

/* Ids that do not fit their address come neither into the table nor among the closest. */
static void test_made_up_ids_lead_nowhere(void **state)
{
    struct desk desk;
    desk_begin(&desk, &by_address);
    desk_crowd(&desk, 40, false);
    for (size_t i = 0; i < 30; i++) {
        struct sk_endpoint endpoint = desk_public(3000 + i, false);
        uint8_t id[SK_DHT_ID_SIZE];
        near_id(&desk, id);
        desk_add_actor(&desk, &endpoint, id);
    }
    uint64_t op = search_now(&desk, SK_KRPC_GET_PEERS);
    desk_wait(&desk, 60 * SECOND_NS);
    const struct story *story = desk_story(&desk, op);
    assert_int_equal(story->result.closest_count, 8);
    for (uint32_t i = 0; i < 8; i++) {
        const struct sk_dht_contact *contact = &story->closest[i].contact;
        assert_true(sk_dht_id_fits(contact->id, &contact->endpoint));
    }
    size_t asked = 0;
    for (size_t i = 40; i < desk.actors_count; i++)
        asked += desk.actors[i].asked > 0;
    assert_true(asked <= 16);
    desk_end(&desk);
}

/*
 * Votes on our address.
 */

static struct sk_bytes voted; /* what voters say */

static struct sk_endpoint address_of(struct desk *desk, bool v6)
{
    struct sk_dht_stats stats;
    sk_dht_stats(desk->dht, &stats);
    return stats.address[v6];
}

/* Each voter at one of `hosts` addresses, but many ports (IPv6: many hosts of one /64). */
static void vote_often(struct desk *desk, size_t hosts, bool v6)
{
    for (unsigned i = 0; i < 60; i++) {
        struct sk_endpoint endpoint = desk_public(500 + i % hosts, v6);
        uint8_t id[SK_DHT_ID_SIZE];
        endpoint.port = (uint16_t)(3000 + i);
        if (v6)
            sk_put_u16(endpoint.addr + 12, (uint16_t)i);
        sk_dht_id_for_address(&endpoint, &desk->prng, id);
        struct sk_dht_ask ask = {.method = SK_KRPC_PING, .to = endpoint};
        uint64_t op;
        assert_int_equal(sk_dht_start_ask(desk->dht, &ask, desk->now_ns, &op), 0);
        desk_settle(desk);
        struct sk_krpc answer = desk_answer(desk_query(desk, &endpoint), id);
        answer.ip = voted;
        desk_input(desk, &endpoint, &answer);
    }
}

static void test_few_voters_do_not_move_us(void **state)
{
    static const uint8_t truth[2][18] = {{9, 9, 9, 9, 1, 1},
                                         {0x2a, 9, [15] = 9, [16] = 1, [17] = 1}};
    static const uint8_t lies[2][18] = {{8, 8, 8, 8, 1, 1}, {0x2a, 8, [15] = 8, [16] = 1, 1}};
    for (int v6 = 0; v6 < 2; v6++) {
        struct desk desk;
        size_t size = v6 ? 18 : 6;
        desk_begin(&desk, &by_address);
        voted = sk_bytes(lies[v6], size);
        vote_often(&desk, 7, v6);
        assert_int_equal(address_of(&desk, v6).family, SK_FAMILY_NONE);
        voted = sk_bytes(truth[v6], size);
        vote_often(&desk, 30, v6);
        struct sk_endpoint ours = address_of(&desk, v6);
        assert_memory_equal(ours.addr, truth[v6], v6 ? 16 : 4);
        enum sk_family family = v6 ? SK_FAMILY_V6 : SK_FAMILY_V4;
        assert_true(sk_dht_id_fits(sk_dht_id(desk.dht, family), &ours));
        /* Once it is known even a dozen liars are not enough. */
        voted = sk_bytes(lies[v6], size);
        vote_often(&desk, 12, v6);
        assert_memory_equal(address_of(&desk, v6).addr, truth[v6], v6 ? 16 : 4);
        desk_end(&desk);
    }
}

/* A vote of the other family, of a strange size, or for a local address is none. */
static void test_odd_votes_do_not_count(void **state)
{
    static const uint8_t odd[][18] = {{10, 0, 0, 1, 1, 1}, {127, 0, 0, 1, 1, 1}, {0}, {9, 9, 9, 9}};
    static const size_t sizes[] = {6, 6, 6, 4};
    struct desk desk;
    desk_begin(&desk, &by_address);
    for (size_t i = 0; i < SK_ARRAY_LEN(odd); i++) {
        voted = sk_bytes(odd[i], sizes[i]);
        vote_often(&desk, 30, false);
        vote_often(&desk, 30, true);
        assert_int_equal(address_of(&desk, false).family, SK_FAMILY_NONE);
        assert_int_equal(address_of(&desk, true).family, SK_FAMILY_NONE);
    }
    desk_end(&desk);
}

/*
 * Floods.
 */

/* An announce with a token that was given for it, from one host; whether it was taken. */
static bool announce(struct desk *desk, const struct sk_endpoint *from, const uint8_t *hash)
{
    static const uint8_t id[SK_DHT_ID_SIZE] = {9};
    struct sk_krpc query = make_query(SK_KRPC_GET_PEERS, id);
    query.target = hash;
    desk_clear(desk);
    desk_input(desk, from, &query);
    struct sk_bytes token = desk->mails_count ? desk_last(desk)->message.token : sk_bytes(NULL, 0);
    if (!token.n)
        return false;
    query.method = SK_KRPC_ANNOUNCE_PEER;
    query.token = token;
    query.read_only = true;
    desk_input(desk, from, &query);
    return desk_last(desk)->message.kind == SK_KRPC_RESPONSE;
}

/* Whoever floods the store from one address takes its share and no more, and others are served. */
static void test_one_address_cannot_fill_the_store(void **state)
{
    struct desk desk;
    struct sk_dht_config config = plain;
    struct sk_endpoint flooder = at("99.9.9.9"), other = at("88.8.8.8");
    struct sk_dht_stats stats;
    config.unguarded = true;
    desk_begin(&desk, &config);
    for (unsigned i = 0; i < 3000; i++) {
        uint8_t hash[SK_DHT_ID_SIZE] = {1, (uint8_t)i, (uint8_t)(i >> 8)};
        announce(&desk, &flooder, hash);
    }
    sk_dht_stats(desk.dht, &stats);
    assert_true(stats.hashes <= SK_DHT_STORE_ADDRESS_HASHES_MAX);
    assert_true(announce(&desk, &other, target));
    desk_end(&desk);
}

/* A ping of somebody who would be in the table. */
static void send_newcomer(struct desk *desk, unsigned number)
{
    struct sk_endpoint from = desk_public(4000 + number, false);
    uint8_t id[SK_DHT_ID_SIZE] = {(uint8_t)(number * 37), (uint8_t)number};
    struct sk_krpc query = make_query(SK_KRPC_PING, id);
    desk_input(desk, &from, &query);
}

/* Eight newcomers that do not answer are pinged at a time, and four wait, each once however often
 * it asks. */
static void test_newcomers_wait_for_their_ping(void **state)
{
    struct desk desk;
    desk_begin(&desk, &plain);
    for (unsigned i = 0; i < 8 + 2; i++)
        send_newcomer(&desk, i);
    assert_int_equal(desk_count(&desk, NULL, SK_KRPC_QUERY), 8);
    for (unsigned i = 0; i < 20; i++)
        send_newcomer(&desk, 8 + i % 2);
    desk_wait(&desk, 3 * SECOND_NS);
    assert_int_equal(desk_count(&desk, NULL, SK_KRPC_QUERY), 8 + 2);
    for (unsigned i = 0; i < 20; i++)
        send_newcomer(&desk, 10 + i);
    assert_int_equal(desk_count(&desk, NULL, SK_KRPC_QUERY), 8 + 8);
    desk_wait(&desk, 10 * SECOND_NS);
    assert_int_equal(desk_count(&desk, NULL, SK_KRPC_QUERY), 8 + 8 + 4);
    desk_end(&desk);
}

/* Queries from ever new addresses: what is kept of them is bounded, and few are pinged. */
static void test_a_flood_of_newcomers_is_bounded(void **state)
{
    struct desk desk;
    struct sk_dht_stats stats;
    desk_begin(&desk, &by_address);
    desk_crowd(&desk, 40, false);
    sk_dht_stats(desk.dht, &stats);
    size_t before = stats.bytes;
    uint64_t started_ns = desk.now_ns;
    for (unsigned i = 0; i < 20000; i++) {
        struct sk_endpoint from = desk_public(4000 + i, i & 1);
        uint8_t id[SK_DHT_ID_SIZE];
        sk_dht_id_for_address(&from, &desk.prng, id);
        struct sk_krpc query = make_query(SK_KRPC_PING, id);
        desk_input(&desk, &from, &query);
        desk.now_ns += MS_NS;
    }
    sk_dht_stats(desk.dht, &stats);
    /* Of the guard: 16,384 addresses and half as many places more, of 24 bytes. */
    assert_true(stats.bytes < before + SK_DHT_GUARD_ADDRESSES_MAX * 3 / 2 * 24 + 100000);
    double time_s = (double)(desk.now_ns - started_ns) / (double)SECOND_NS;
    assert_true(desk_count(&desk, NULL, SK_KRPC_QUERY) <= 40 + time_s * 10);
    desk_end(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forged_queries_gain_little),
        cmocka_unit_test(test_a_forged_address_is_pinged_little),
        cmocka_unit_test(test_a_proved_address_is_told_all),
        cmocka_unit_test(test_an_error_does_not_end_the_joining),
        cmocka_unit_test(test_errors_while_joining_are_no_hurry),
        cmocka_unit_test(test_errors_to_pings_are_no_sign_of_life),
        cmocka_unit_test(test_no_search_hammers_a_victim),
        cmocka_unit_test(test_no_joining_hammers_a_victim),
        cmocka_unit_test(test_an_endless_trail_ends),
        cmocka_unit_test(test_who_tells_of_the_dead_loses_credit),
        cmocka_unit_test(test_a_forger_never_counts),
        cmocka_unit_test(test_only_who_was_asked_answers),
        cmocka_unit_test(test_transactions_cannot_be_guessed),
        cmocka_unit_test(test_an_id_that_changes_gets_one_place),
        cmocka_unit_test(test_made_up_ids_lead_nowhere),
        cmocka_unit_test(test_few_voters_do_not_move_us),
        cmocka_unit_test(test_odd_votes_do_not_count),
        cmocka_unit_test(test_one_address_cannot_fill_the_store),
        cmocka_unit_test(test_newcomers_wait_for_their_ping),
        cmocka_unit_test(test_a_flood_of_newcomers_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
