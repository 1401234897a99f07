/*
 * The DHT in the engine: joining, hosts, the interface of <skep/dht.h>, its events; and what a node
 * that was told of nobody, or is not wanted, sends: nothing.
 */
#include "dht_told.h"

#define PUBLIC_HOST "router.example.org:6881"

/* ---- nothing is sent ---- */

static void test_no_dht(void **state)
{
    struct net *net = fresh_with(&(struct skep_config){.no_lsd = true, .no_dht = true});
    struct skep_engine *engine = net->world->engine;
    struct skep_dht_stats stats;
    static const uint8_t target[20] = {1};
    static const char query[] = "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
    uint64_t id = 0;
    struct skep_dht_node node;
    size_t pos = 0;
    assert_null(engine->dht);
    assert_int_equal(skep_dht_add_host(engine, PUBLIC_HOST), SKEP_ERR_STATE);
    assert_int_equal(skep_dht_add_node(engine, "81.1.1.1:6881"), SKEP_ERR_STATE);
    assert_int_equal(skep_dht_stats(engine, &stats), SKEP_ERR_STATE);
    assert_false(skep_dht_next_node(engine, &pos, &node));
    struct skep_dht_ask ask = {.method = SKEP_DHT_PING, .address = "81.1.1.1:6881"};
    assert_int_equal(skep_dht_start_ask(engine, &ask, on_dht, NULL, &id), SKEP_ERR_STATE);
    struct skep_dht_search search = {.method = SKEP_DHT_FIND_NODE, .target = target};
    assert_int_equal(skep_dht_start_search(engine, &search, on_dht, NULL, &id), SKEP_ERR_STATE);
    struct skep_dht_blob blob = {
        .name = SKEP_DHT_NAME_TEXT, .text = "x", .size = 1, .bytes = target};
    assert_int_equal(skep_dht_start_put(engine, &blob, on_dht, NULL, &id), SKEP_ERR_STATE);
    assert_int_equal(skep_dht_start_get(engine, &blob, on_dht, NULL, &id), SKEP_ERR_STATE);
    struct skep_dht_crawl crawl = {.family = 4};
    assert_int_equal(skep_dht_start_crawl(engine, &crawl, on_dht, NULL, &id), SKEP_ERR_STATE);
    struct skep_dht_size size = {.family = 4};
    assert_int_equal(skep_dht_start_size(engine, &size, on_dht, NULL, &id), SKEP_ERR_STATE);
    skep_dht_cancel(engine, 1);
    struct sk_endpoint from = world_endpoint("81.1.1.1:6881");
    sk_engine_udp_input(engine, &from, sk_bytes_text(query), net->world->now_ns);
    world_run(net->world, 3600);
    assert_int_equal(net->from_us, 0);
    assert_int_equal(net->world->resolves, 0);
    finish(net);
}

/* Told of nobody, it asks nobody, and answers who asks. */
static void test_told_of_nobody(void **state)
{
    struct net *net = fresh();
    static const char query[] = "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
    world_run(net->world, 3600);
    assert_int_equal(net->from_us, 0);
    assert_int_equal(net->world->resolves, 0);
    assert_int_equal(stats_of(net).v4.standing, SKEP_DHT_EMPTY);
    assert_true(stats_of(net).v4.there);
    assert_false(stats_of(net).v6.there);
    struct sk_endpoint from = world_endpoint("81.1.1.1:6881");
    sk_engine_udp_input(net->world->engine, &from, sk_bytes_text(query), net->world->now_ns);
    world_pump(net->world);
    assert_true(net->from_us >= 1);
    assert_int_equal(stats_of(net).answers_out, 1);
    finish(net);
}

/* ---- joining ---- */

static void test_join(void **state)
{
    struct net *net = joined(12);
    struct skep_dht_stats stats = stats_of(net);
    assert_int_equal(stats.v4.standing, SKEP_DHT_READY);
    assert_true(stats.v4.good >= 8);
    assert_true(stats.memory_bytes > 0);
    assert_true(stats.packets_out == net->from_us);
    assert_string_equal(stats.v4.address, "80.1.2.3"); /* as the others say */
    struct skep_dht_node node;
    size_t pos = 0, count = 0;
    while (skep_dht_next_node(net->world->engine, &pos, &node)) {
        struct sk_endpoint at = world_endpoint(node.address);
        assert_non_null(net_find(net, &at));
        assert_true(node.good);
        assert_memory_equal(node.version, "TN", 2);
        count++;
    }
    assert_int_equal(count, stats.v4.nodes);
    assert_false(skep_dht_next_node(net->world->engine, &pos, &node));
    finish(net);
}

static void answer_name(struct net *net, const char *address)
{
    struct sk_endpoint found = {0};
    if (address)
        found = world_endpoint(address);
    found.port = 0;
    sk_engine_resolved(net->world->engine, net->world->resolve_id, &found, address != NULL,
                       address ? NULL : "no such name", net->world->now_ns);
    world_pump(net->world);
}

/* A host that cannot be found is looked up again, ever more rarely, and nobody is told of an
 * error. */
static void test_host_backs_off(void **state)
{
    struct net *net = fresh();
    net_nodes(net, 9);
    assert_int_equal(skep_dht_add_host(net->world->engine, PUBLIC_HOST), 0);
    assert_int_equal(stats_of(net).v4.standing, SKEP_DHT_JOINING);
    uint64_t last_ns = 0, waits[10];
    for (int i = 0; i < 10; i++) {
        size_t before = net->world->resolves;
        for (int j = 0; j < 700 && net->world->resolves == before; j++)
            world_run(net->world, 0.5);
        assert_int_equal(net->world->resolves, before + 1);
        assert_string_equal(net->world->resolve_name, "router.example.org");
        waits[i] = net->world->now_ns - last_ns;
        last_ns = net->world->now_ns;
        answer_name(net, NULL);
        assert_int_equal(stats_of(net).v4.standing, SKEP_DHT_OFFLINE);
        assert_true(stats_of(net).v4.retry_s > 0);
    }
    assert_in_range(waits[1] / SK_SECOND_NS, 7, 10);
    assert_in_range(waits[3] / SK_SECOND_NS, 30, 40);
    assert_in_range(waits[9] / SK_SECOND_NS, 225, 300);
    size_t before = net->world->resolves;
    while (net->world->resolves == before)
        world_run(net->world, 1);
    answer_name(net, "81.0.0.7:1");
    world_run(net->world, 20);
    assert_int_equal(stats_of(net).v4.standing, SKEP_DHT_READY);
    assert_true(stats_of(net).v4.retry_s < 0);
    before = net->world->resolves;
    world_run(net->world, 3600);
    assert_int_equal(net->world->resolves, before); /* who is in needs no host */
    finish(net);
}

/* Without a network few names are asked for, and not all at the same moment again. */
static void test_hosts_drift_apart(void **state)
{
    struct net *net = fresh();
    struct world *world = net->world;
    const struct sk_engine_dht *dht = world->engine->dht;
    char name[32];
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "router%d.example.org:6881", i);
        assert_int_equal(skep_dht_add_host(world->engine, name), 0);
    }
    world_run(world, 0.1);
    assert_int_equal(world->resolves, 5);
    for (uint64_t id = world->resolve_id - 4; id <= world->resolve_id; id++)
        sk_engine_resolved(world->engine, id, NULL, 0, "no network", world->now_ns);
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < i; j++)
            assert_true(dht->hosts[i].next_ns != dht->hosts[j].next_ns);
    world_run(world, 7);
    assert_int_equal(world->resolves, 5);
    world_run(world, 4);
    assert_int_equal(world->resolves, 10);
    finish(net);
}

#define SAVED 60

/* Which of the saved nodes were asked, each a bit; none of them is there any more. */
static uint64_t asked_of_saved(uint64_t seed, double seconds, size_t *ret_least, size_t *ret_most)
{
    struct net *net = fresh_with(&(struct skep_config){.no_lsd = true, .seed = seed});
    char address[32];
    uint64_t asked = 0;
    for (unsigned i = 0; i < SAVED; i++) {
        snprintf(address, sizeof address, "81.0.%u.7:6881", i);
        net_place(net, address);
        assert_int_equal(skep_dht_add_node(net->world->engine, address), 0);
    }
    world_run(net->world, seconds);
    *ret_least = SIZE_MAX;
    *ret_most = 0;
    for (unsigned i = 0; i < SAVED; i++) {
        asked |= (uint64_t)(net->nodes[i].queries > 0) << i;
        *ret_least = SK_MIN(*ret_least, net->nodes[i].queries);
        *ret_most = SK_MAX(*ret_most, net->nodes[i].queries);
    }
    finish(net);
    return asked;
}

/* A short run does not get to all of the saved nodes: the next one begins with others. A long one
 * asks each as often as the others. */
static void test_saved_nodes_in_turn(void **state)
{
    size_t least, most;
    uint64_t all = (UINT64_C(1) << SAVED) - 1, together = 0;
    uint64_t first = asked_of_saved(1, 5, &least, &most);
    assert_int_equal(least, 0);
    for (uint64_t seed = 1; seed <= 20; seed++)
        together |= asked_of_saved(seed, 5, &least, &most);
    assert_true(first != all);
    assert_true(together == all);
    assert_true(asked_of_saved(1, 3600, &least, &most) == all);
    assert_in_range(most - least, 0, 1);
}

/* Nodes of an earlier run come first: a host is left alone when they bring us in. */
static void test_nodes_before_hosts(void **state)
{
    struct net *net = fresh();
    net_nodes(net, 9);
    assert_int_equal(skep_dht_add_host(net->world->engine, PUBLIC_HOST), 0);
    net_join(net);
    world_run(net->world, 600);
    assert_int_equal(net->world->resolves, 0);
    finish(net);
}

static void test_bound_to_loopback(void **state)
{
    struct net *net = fresh_with(&(struct skep_config){.no_lsd = true, .bind = "127.0.0.1"});
    struct skep_engine *engine = net->world->engine;
    assert_int_equal(skep_dht_add_host(engine, PUBLIC_HOST), 0);
    assert_int_equal(skep_dht_add_host(engine, "81.1.1.1:6881"), 0);
    world_run(net->world, 600);
    assert_int_equal(net->world->resolves, 0);
    assert_int_equal(net->from_us, 0);
    assert_int_equal(stats_of(net).v4.standing, SKEP_DHT_EMPTY);
    assert_int_equal(skep_dht_add_host(engine, "localhost:6881"), 0);
    world_run(net->world, 1);
    assert_int_equal(net->world->resolves, 1);
    answer_name(net, "81.1.1.1:1"); /* a name server that lies */
    world_run(net->world, 60);
    assert_int_equal(net->from_us, 0);
    assert_int_equal(skep_dht_add_host(engine, "127.0.0.1:6881"), 0);
    world_run(net->world, 1);
    assert_true(net->from_us > 0);
    finish(net);
}

static void test_hosts_are_checked(void **state)
{
    static const char *const wrong[] = {"",   "host",  "host:",   "host:0",   "host:70000",
                                        ":1", "a:b:c", "1.2.3.4", "1.2.3.4:0"};
    struct net *net = fresh();
    struct skep_engine *engine = net->world->engine;
    for (size_t i = 0; i < SK_ARRAY_LEN(wrong); i++) {
        assert_int_equal(skep_dht_add_host(engine, wrong[i]), SKEP_ERR_INVALID);
        assert_int_equal(skep_dht_add_node(engine, wrong[i]), SKEP_ERR_INVALID);
    }
    assert_int_equal(skep_dht_add_node(engine, PUBLIC_HOST), SKEP_ERR_INVALID);
    for (int i = 0; i < SK_ENGINE_DHT_HOSTS_MAX; i++)
        assert_int_equal(skep_dht_add_host(engine, PUBLIC_HOST), 0);
    assert_int_equal(skep_dht_add_host(engine, PUBLIC_HOST), SKEP_ERR_LIMIT);
    finish(net);
}

/* Everybody goes: it says so, and comes back with them. */
static void test_offline_and_back(void **state)
{
    struct net *net = joined(9);
    net->down = true;
    world_run(net->world, 3600);
    assert_int_equal(stats_of(net).v4.standing, SKEP_DHT_OFFLINE);
    assert_true(stats_of(net).v4.retry_s >= 0 && stats_of(net).v4.retry_s <= 300);
    net->down = false;
    world_run(net->world, 400);
    assert_int_equal(stats_of(net).v4.standing, SKEP_DHT_READY);
    finish(net);
}

static bool lie_little(struct net_node *node, const struct sk_krpc *query, struct sk_krpc *answer)
{
    return true; /* its id, and nobody near it */
}

/* Of all the nodes in our table only one comes back, whichever, and does not speak by itself: it is
 * found. */
static void test_back_by_any_node(void **state)
{
    size_t count = 1;
    for (size_t nth = 0; nth < count; nth += 8) {
        struct net *net = joined(60);
        struct skep_dht_node left, node;
        size_t pos = 0;
        count = 0;
        while (skep_dht_next_node(net->world->engine, &pos, &node))
            if (count++ == nth)
                left = node;
        assert_true(count > 20);
        net->down = true;
        world_run(net->world, 1800);
        assert_int_equal(stats_of(net).v4.standing, SKEP_DHT_OFFLINE);
        for (size_t i = 0; i < net->count; i++) {
            sk_dht_free(net->nodes[i].dht);
            net->nodes[i].dht = NULL;
        }
        struct sk_endpoint at = world_endpoint(left.address);
        net_find(net, &at)->lie = lie_little;
        net->down = false;
        world_run(net->world, 7200);
        assert_int_equal(stats_of(net).v4.standing, SKEP_DHT_READY);
        finish(net);
    }
}

/* ---- asks ---- */

static void test_ask(void **state)
{
    struct net *net = joined(9);
    struct told told;
    ask(net, &(struct skep_dht_ask){.method = SKEP_DHT_PING, .address = "81.0.3.7:6881"}, &told);
    world_run(net->world, 1);
    assert_int_equal(told.counts[SKEP_DHT_ANSWERED], 1);
    assert_int_equal(told.counts[SKEP_DHT_DONE], 1);
    assert_int_equal(told.error, 0);
    assert_string_equal(told.address, "81.0.3.7:6881");
    ask(net, &(struct skep_dht_ask){.method = SKEP_DHT_PING, .address = "81.9.9.9:6881"}, &told);
    world_run(net->world, 60);
    assert_int_equal(told.counts[SKEP_DHT_SILENT], 1);
    assert_int_equal(told.counts[SKEP_DHT_DONE], 1);
    assert_int_equal(told.error, 0);
    finish(net);
}

static void test_ask_by_name(void **state)
{
    struct net *net = joined(9);
    struct skep_dht_ask by_name = {.method = SKEP_DHT_PING, .address = "node.example.org:6881"};
    struct told told;
    ask(net, &by_name, &told);
    world_run(net->world, 5);
    assert_int_equal(told.counts[SKEP_DHT_DONE], 0);
    assert_string_equal(net->world->resolve_name, "node.example.org");
    answer_name(net, "81.0.3.7:1");
    world_run(net->world, 1);
    assert_int_equal(told.counts[SKEP_DHT_ANSWERED], 1);
    assert_string_equal(told.address, "81.0.3.7:6881");
    ask(net, &by_name, &told);
    answer_name(net, NULL);
    world_run(net->world, 1);
    assert_int_equal(told.counts[SKEP_DHT_DONE], 1);
    assert_int_equal(told.error, SKEP_ERR_NOT_FOUND);
    assert_string_equal(told.reason, "there is no such host");
    ask(net, &by_name, &told); /* only an address where we have no socket */
    answer_name(net, "[2001:db8::1]:1");
    world_run(net->world, 1);
    assert_int_equal(told.error, SKEP_ERR_NOT_FOUND);
    ask(net, &by_name, &told);
    skep_dht_cancel(net->world->engine, told.id);
    answer_name(net, "81.0.3.7:1");
    world_run(net->world, 60);
    assert_int_equal(told.counts[SKEP_DHT_DONE], 0);
    finish(net);
}

static void test_wrong_arguments(void **state)
{
    static const uint8_t target[20] = {1};
    static const struct skep_dht_ask asks[] = {
        {.method = SKEP_DHT_ANNOUNCE_PEER, .address = "1.2.3.4:5", .target = target},
        {.method = SKEP_DHT_PUT, .address = "1.2.3.4:5", .target = target},
        {.method = SKEP_DHT_UNKNOWN, .address = "1.2.3.4:5", .target = target},
        {.method = SKEP_DHT_FIND_NODE, .address = "1.2.3.4:5"},
        {.method = SKEP_DHT_PING},
        {.method = SKEP_DHT_PING, .address = "1.2.3.4"},
        {.method = SKEP_DHT_PING, .address = "1.2.3.4:0"},
        {.method = SKEP_DHT_PING, .address = "host"},
    };
    static const struct skep_dht_search searches[] = {
        {.method = SKEP_DHT_PING, .target = target},
        {.method = SKEP_DHT_FIND_NODE},
        {.method = SKEP_DHT_FIND_NODE, .target = target, .family = 5},
        {.method = SKEP_DHT_FIND_NODE, .target = target, .announce = true},
        {.method = SKEP_DHT_GET, .target = target, .salt = target, .salt_size = 65},
    };
    static const struct skep_dht_blob puts[] = {
        {.name = SKEP_DHT_NAME_TEXT},
        {.name = SKEP_DHT_NAME_SECRET},
        {.name = SKEP_DHT_NAME_PUBLIC, .key = target},
        {.name = SKEP_DHT_NAME_IMMUTABLE, .via = SKEP_DHT_VIA_ANNOUNCE},
        {.name = SKEP_DHT_NAME_TEXT, .text = "x", .via = SKEP_DHT_VIA_ANNOUNCE, .rate = -1},
    };
    static const struct skep_dht_blob gets[] = {
        {.name = SKEP_DHT_NAME_SECRET, .seed = target},
        {.name = SKEP_DHT_NAME_PUBLIC},
        {.name = SKEP_DHT_NAME_IMMUTABLE},
    };
    struct net *net = fresh();
    struct skep_engine *engine = net->world->engine;
    uint64_t id = 7;
    for (size_t i = 0; i < SK_ARRAY_LEN(asks); i++)
        assert_int_equal(skep_dht_start_ask(engine, &asks[i], on_dht, NULL, &id), SKEP_ERR_INVALID);
    for (size_t i = 0; i < SK_ARRAY_LEN(searches); i++)
        assert_int_equal(skep_dht_start_search(engine, &searches[i], on_dht, NULL, &id),
                         SKEP_ERR_INVALID);
    for (size_t i = 0; i < SK_ARRAY_LEN(puts); i++)
        assert_int_equal(skep_dht_start_put(engine, &puts[i], on_dht, NULL, &id), SKEP_ERR_INVALID);
    for (size_t i = 0; i < SK_ARRAY_LEN(gets); i++)
        assert_int_equal(skep_dht_start_get(engine, &gets[i], on_dht, NULL, &id), SKEP_ERR_INVALID);
    struct skep_dht_search other = {.method = SKEP_DHT_FIND_NODE, .target = target, .family = 6};
    assert_int_equal(skep_dht_start_search(engine, &other, on_dht, NULL, &id), SKEP_ERR_STATE);
    struct skep_dht_crawl crawl = {.family = 6};
    assert_int_equal(skep_dht_start_crawl(engine, &crawl, on_dht, NULL, &id), SKEP_ERR_STATE);
    crawl.family = 5;
    assert_int_equal(skep_dht_start_crawl(engine, &crawl, on_dht, NULL, &id), SKEP_ERR_INVALID);
    assert_int_equal(id, 7); /* untouched */
    world_run(net->world, 60);
    finish(net);
}

/* ---- searches ---- */

static void test_announce_and_find(void **state)
{
    static const uint8_t target[20] = {0xab, 1, 2, 3};
    struct net *net = joined(20);
    struct told told;
    search(net,
           &(struct skep_dht_search){
               .method = SKEP_DHT_GET_PEERS, .target = target, .announce = true, .seed = true},
           &told);
    world_run(net->world, 20);
    assert_int_equal(told.counts[SKEP_DHT_DONE], 1);
    assert_int_equal(told.result.stored, 8);
    assert_int_equal(told.counts[SKEP_DHT_STORED], 8);
    assert_int_equal(told.closest_count, 8);
    assert_true(told.counts[SKEP_DHT_ASKED] >= 8);
    assert_string_equal(told.peers, "");
    search(net,
           &(struct skep_dht_search){
               .method = SKEP_DHT_GET_PEERS, .target = target, .scrape = true, .family = 4},
           &told);
    world_run(net->world, 20);
    assert_int_equal(told.counts[SKEP_DHT_DONE], 1);
    assert_non_null(strstr(told.peers, NET_US)); /* the engine's port, as it was seen */
    assert_int_equal(told.result.scrape_nodes, 8);
    assert_true(told.result.seeds > 0.9 && told.result.seeds < 1.1);
    assert_true(told.result.peers >= 0 && told.result.peers < 0.1);
    finish(net);
}

/* A search that is started while the node joins waits for that; without hope it ends at once. */
static void test_search_waits_for_joining(void **state)
{
    static const uint8_t target[20] = {0xab, 1, 2, 3};
    struct net *net = fresh();
    struct skep_dht_search wanted = {.method = SKEP_DHT_FIND_NODE, .target = target};
    struct told told;
    net_nodes(net, 20);
    search(net, &wanted, &told); /* nobody is known */
    world_run(net->world, 1);
    assert_int_equal(told.counts[SKEP_DHT_DONE], 1);
    assert_int_equal(told.error, 0);
    assert_true(told.result.no_nodes);
    assert_int_equal(skep_dht_add_host(net->world->engine, PUBLIC_HOST), 0);
    search(net, &wanted, &told);
    world_run(net->world, 5);
    assert_int_equal(told.counts[SKEP_DHT_DONE], 0); /* the name is being looked up */
    answer_name(net, "81.0.0.7:1");
    world_run(net->world, 15);
    assert_int_equal(told.counts[SKEP_DHT_DONE], 1);
    assert_false(told.result.no_nodes);
    assert_int_equal(told.closest_count, 8);
    finish(net);
}

static void cancel_self(struct told *told, const struct skep_dht_event *event)
{
    if (event->kind != SKEP_DHT_ANSWERED)
        return;
    skep_dht_cancel(told->world->engine, told->id);
    skep_dht_cancel(told->world->engine, told->other);
    assert_non_null(event->answer); /* what it points to stays until we return */
    assert_true(event->answer->nodes_count == 0 || event->answer->nodes[0] + 1 > 0);
}

/* Cancelled from inside their own events, and from outside: nothing more is told. */
static void test_cancel(void **state)
{
    static const uint8_t target[20] = {9};
    struct net *net = joined(20);
    struct skep_dht_search wanted = {.method = SKEP_DHT_FIND_NODE, .target = target};
    struct told first, second, third;
    search(net, &wanted, &first);
    search(net, &wanted, &second);
    search(net, &wanted, &third);
    first.act = cancel_self;
    first.other = second.id;
    world_run(net->world, 0.005);
    size_t seen = third.counts[SKEP_DHT_ASKED];
    assert_true(seen > 0);
    skep_dht_cancel(net->world->engine, third.id);
    world_run(net->world, 60);
    assert_int_equal(first.counts[SKEP_DHT_ANSWERED], 1);
    assert_int_equal(first.counts[SKEP_DHT_DONE], 0);
    assert_int_equal(second.counts[SKEP_DHT_DONE], 0);
    assert_int_equal(third.counts[SKEP_DHT_ASKED], seen);
    assert_int_equal(third.counts[SKEP_DHT_DONE], 0);
    assert_int_equal(stats_of(net).operations, 0);
    assert_int_equal(net->world->engine->dht->runs.count, 0);
    finish(net);
}

static void start_next(struct told *told, const struct skep_dht_event *event)
{
    static const uint8_t target[20] = {9};
    struct skep_dht_search wanted = {.method = SKEP_DHT_FIND_NODE, .target = target};
    if (event->kind != SKEP_DHT_DONE || !told->other)
        return;
    struct told *next = (struct told *)(uintptr_t)told->other;
    next->inside_call = true;
    assert_int_equal(skep_dht_start_search(told->world->engine, &wanted, on_dht, next, &next->id),
                     0);
    assert_int_equal(skep_dht_add_node(told->world->engine, "81.7.7.7:6881"), 0);
    next->inside_call = false;
}

static void test_start_from_inside(void **state)
{
    static const uint8_t target[20] = {9};
    struct net *net = joined(12);
    struct told first, second = start_told(net);
    search(net, &(struct skep_dht_search){.method = SKEP_DHT_FIND_NODE, .target = target}, &first);
    first.act = start_next;
    first.other = (uintptr_t)&second;
    world_run(net->world, 30);
    assert_int_equal(first.counts[SKEP_DHT_DONE], 1);
    assert_int_equal(second.counts[SKEP_DHT_DONE], 1);
    assert_true(net->to_nobody > 0); /* the address that was added there */
    finish(net);
}

static void start_same(struct told *told, const struct skep_dht_event *event)
{
    static const uint8_t target[20] = {9};
    struct skep_dht_search wanted = {.method = SKEP_DHT_FIND_NODE, .target = target};
    struct skep_dht_ask ask = {.method = SKEP_DHT_PING, .address = "[2001:db8::1]:6881"};
    if (event->kind != SKEP_DHT_DONE || ++told->other > 2000)
        return;
    told->counts[SKEP_DHT_DONE] = 0;
    int err = told->other & 1
                  ? skep_dht_start_ask(told->world->engine, &ask, on_dht, told, &told->id)
                  : skep_dht_start_search(told->world->engine, &wanted, on_dht, told, &told->id);
    assert_int_equal(err, 0);
}

/* What ends at once and is begun again whenever it ends: each time waits for the next tick. */
static void test_again_and_again(void **state)
{
    static const uint8_t target[20] = {9};
    struct net *net = fresh();
    struct told told;
    search(net, &(struct skep_dht_search){.method = SKEP_DHT_FIND_NODE, .target = target}, &told);
    told.act = start_same;
    sk_engine_tick(net->world->engine, net->world->now_ns);
    assert_in_range(told.other, 1, 3);
    world_run(net->world, 1);
    assert_int_equal(told.other, 2001);
    finish(net);
}

static void test_many_at_once(void **state)
{
    struct net *net = joined(12);
    struct told *told = calloc(SK_DHT_OPERATIONS_MAX, sizeof *told);
    uint64_t id = 0;
    struct skep_dht_ask ping = {.method = SKEP_DHT_PING, .address = "81.0.3.7:6881"};
    for (int i = 0; i < SK_DHT_OPERATIONS_MAX; i++) {
        told[i].world = net->world;
        assert_int_equal(
            skep_dht_start_ask(net->world->engine, &ping, on_dht, &told[i], &told[i].id), 0);
    }
    assert_int_equal(skep_dht_start_ask(net->world->engine, &ping, on_dht, NULL, &id),
                     SKEP_ERR_LIMIT);
    world_run(net->world, 300);
    for (int i = 0; i < SK_DHT_OPERATIONS_MAX; i++)
        assert_int_equal(told[i].counts[SKEP_DHT_DONE], 1);
    assert_int_equal(net->world->engine->dht->runs.count, 0);
    assert_int_equal(net->world->engine->dht->ops.count, 0);
    free(told);
    finish(net);
}

/* Public names keep to the limit on packets. */
static void test_rate(void **state)
{
    static const uint8_t target[20] = {9};
    struct net *net = fresh_with(&(struct skep_config){.no_lsd = true, .dht_rate = 10});
    struct told told;
    net_nodes(net, 20);
    char text[SK_ENDPOINT_TEXT_MAX];
    sk_endpoint_text(&net->nodes[0].at, text);
    assert_int_equal(skep_dht_add_node(net->world->engine, text), 0);
    search(net, &(struct skep_dht_search){.method = SKEP_DHT_FIND_NODE, .target = target}, &told);
    world_run(net->world, 60);
    assert_int_equal(told.counts[SKEP_DHT_DONE], 1);
    assert_true(net->from_us > 20 && net->from_us <= 610);
    finish(net);
}

/* ---- memory ---- */

/* Every allocation of the engine's side fails in turn: each run ends or never began. */
static bool without_memory(size_t nth)
{
    static const uint8_t target[20] = {9};
    struct net *net = fresh();
    struct skep_engine *engine = net->world->engine;
    struct told told[3] = {start_told(net), start_told(net), start_told(net)};
    bool began[3];
    net_nodes(net, 4);
    sk_mem_fail_nth(0);
    sk_mem_fail_nth(nth);
    (void)skep_dht_add_host(engine, PUBLIC_HOST);
    (void)skep_dht_add_node(engine, "81.0.0.7:6881");
    struct skep_dht_ask ping = {.method = SKEP_DHT_PING, .address = "node.example.org:6881"};
    struct skep_dht_search wanted = {
        .method = SKEP_DHT_GET_PEERS, .target = target, .scrape = true, .announce = true};
    struct skep_dht_blob blob = {.name = SKEP_DHT_NAME_TEXT,
                                 .text = "a key",
                                 .bytes = (const uint8_t *)"some bytes",
                                 .size = 10};
    began[0] = !skep_dht_start_ask(engine, &ping, on_dht, &told[0], &told[0].id);
    began[1] = !skep_dht_start_search(engine, &wanted, on_dht, &told[1], &told[1].id);
    began[2] = !skep_dht_start_put(engine, &blob, on_dht, &told[2], &told[2].id);
    for (int i = 0; i < 3; i++)
        told[i].inside_call = false;
    world_run(net->world, 0.001);
    if (began[0])
        answer_name(net, "81.0.1.7:1");
    world_run(net->world, 200);
    bool failed = sk_mem_fail_nth(0) >= nth;
    world_run(net->world, 200);
    for (int i = 0; i < 3; i++)
        if (told[i].counts[SKEP_DHT_DONE] != began[i])
            fail_msg("allocation %zu: run %d ended %zu times", nth, i,
                     told[i].counts[SKEP_DHT_DONE]);
    assert_int_equal(engine->dht->runs.count, 0);
    finish(net);
    return failed;
}

static void test_without_memory(void **state)
{
    size_t nth = 1;
    while (without_memory(nth))
        nth++;
    assert_in_range(nth, 50, 5000);
}

static void test_join_without_memory(void **state)
{
    struct skep_config config = {.seed = 1};
    struct skep_engine *engine;
    int err = SKEP_ERR_NOMEM;
    for (size_t nth = 1; err; nth++) {
        assert_int_equal(sk_engine_new(&config, 1, &engine), 0);
        sk_mem_fail_nth(nth);
        err = sk_engine_join_dht(engine, SK_KRPC_WANT_V4 | SK_KRPC_WANT_V6, 1);
        sk_mem_fail_nth(0);
        assert_true(err == 0 || err == SKEP_ERR_NOMEM);
        assert_int_equal(engine->dht != NULL, err == 0);
        sk_engine_free(engine);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_dht),
        cmocka_unit_test(test_told_of_nobody),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_host_backs_off),
        cmocka_unit_test(test_hosts_drift_apart),
        cmocka_unit_test(test_saved_nodes_in_turn),
        cmocka_unit_test(test_nodes_before_hosts),
        cmocka_unit_test(test_bound_to_loopback),
        cmocka_unit_test(test_hosts_are_checked),
        cmocka_unit_test(test_offline_and_back),
        cmocka_unit_test(test_back_by_any_node),
        cmocka_unit_test(test_ask),
        cmocka_unit_test(test_ask_by_name),
        cmocka_unit_test(test_wrong_arguments),
        cmocka_unit_test(test_announce_and_find),
        cmocka_unit_test(test_search_waits_for_joining),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_start_from_inside),
        cmocka_unit_test(test_again_and_again),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_join_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
