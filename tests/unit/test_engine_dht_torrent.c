/*
 * Torrents in the DHT: peers and numbers from lookups, announces, nodes that torrents and peers
 * tell of; what a stranger may not make us do; private torrents.
 */
#include "dht_net.h"
#include "engine/auditor.h"

static struct world world_memory;
static struct net net_memory;

/* An engine in a network of so many nodes, with a torrent that is not started. */
static struct net *fresh_with(const struct skep_config *config, size_t nodes, bool v1, bool v2)
{
    struct world *world = &world_memory;
    world_init(world, config ? config : &(struct skep_config){.no_lsd = true});
    world_content(world, 4, 32768, v1, v2);
    net_init(&net_memory, world);
    if (nodes) {
        net_nodes(&net_memory, nodes);
        net_join(&net_memory);
    }
    return &net_memory;
}

static struct net *fresh(size_t nodes)
{
    struct net *net = fresh_with(NULL, nodes, true, false);
    world_add_file(net->world, NULL, 0);
    return net;
}

static void finish(struct net *net)
{
    const char *fault = sk_dht_fault(net->world->engine->dht->node);
    if (fault)
        fail_msg("%s", fault);
    world_deinit(net->world);
    net_deinit(net);
}

/* Somebody at this address announces the hash. */
static void announce(struct net *net, const char *address, const uint8_t hash[20], bool seed)
{
    struct net_node *node = net_node(net, address);
    sk_dht_add_address(node->dht, &net->nodes[0].at, false, net->world->now_ns);
    world_run(net->world, 10);
    struct sk_dht_search search = {
        .method = SK_KRPC_GET_PEERS, .store = SK_DHT_STORE_PEER, .seed = seed};
    memcpy(search.target, hash, 20);
    uint64_t op;
    assert_int_equal(sk_dht_start_search(node->dht, &search, net->world->now_ns, &op), 0);
    net_drain(node);
    world_run(net->world, 10);
}

/* Adds a torrent file with these last keys of its info dictionary, and of itself. */
static void add_custom(struct net *net, const char *info_tail, const char *tail)
{
    const struct sk_buf *info = &net->world->content.info;
    struct sk_buf buf;
    sk_buf_init(&buf, 1 << 20);
    sk_buf_text(&buf, "d4:info");
    sk_buf_append(&buf, info->p, info->n - 1);
    sk_buf_printf(&buf, "%se%se", info_tail, tail);
    assert_false(buf.failed);
    assert_int_equal(
        skep_engine_add_file(net->world->engine, buf.p, buf.n, &net->world->torrent, NULL), 0);
    sk_buf_deinit(&buf);
}

/* Queries of a method that the engine sent so far. */
static uint64_t sent(const struct net *net, enum skep_dht_method method)
{
    struct skep_dht_stats stats;
    assert_int_equal(skep_dht_stats(net->world->engine, &stats), 0);
    return stats.queries_out[method];
}

/* ---- draws ---- */

static void test_peers_and_numbers(void **state)
{
    struct net *net = fresh(20);
    struct world *world = net->world;
    const uint8_t *hash = world->content.info_hash;
    announce(net, "82.1.1.1:7001", hash, true);
    announce(net, "82.1.1.2:7002", hash, true);
    announce(net, "82.1.1.3:7003", hash, false);
    world_start(world);
    assert_true(skep_torrent_dht_waiting(world->torrent));
    world_run(world, 10);
    assert_false(skep_torrent_dht_waiting(world->torrent));
    const struct seen_event *heard = world_seen(world, SKEP_EVENT_HEARD, "82.1.1.1:7001");
    assert_non_null(heard);
    assert_int_equal(heard->source, SKEP_SOURCE_DHT);
    assert_true(heard->is_new);
    struct sk_endpoint teller = world_endpoint(heard->by);
    assert_non_null(net_find(net, &teller));
    /* All nodes tell of all three, and each counts once. */
    assert_int_equal(world_count(world, SKEP_EVENT_HEARD, NULL), 3);
    assert_int_equal(world_count(world, SKEP_EVENT_DIALED, "82.1.1.3:7003"), 1);
    const struct seen_event *claim = world_seen(world, SKEP_EVENT_CLAIM, "dht");
    assert_non_null(claim);
    assert_int_equal(claim->claim.seeds, 2);
    assert_int_equal(claim->claim.leechers, 1);
    assert_int_equal(claim->claim.downloads, -1);
    assert_int_equal(claim->claim.peers, 3);
    assert_true(claim->claim.nodes >= 8);
    assert_int_equal(sent(net, SKEP_DHT_ANNOUNCE_PEER), 0);
    finish(net);
}

/* The second draw comes soon, later ones after minutes unless they told of somebody new. */
static void test_draws_in_time(void **state)
{
    struct net *net = fresh(12);
    struct world *world = net->world;
    announce(net, "82.1.1.1:7001", world->content.info_hash, true);
    world_start(world);
    world_run(world, 10);
    assert_int_equal(world_count(world, SKEP_EVENT_CLAIM, "dht"), 1);
    world_run(world, 20);
    assert_int_equal(world_count(world, SKEP_EVENT_CLAIM, "dht"), 2);
    assert_int_equal(world_count(world, SKEP_EVENT_HEARD, NULL), 2);
    assert_false(world_seen(world, SKEP_EVENT_HEARD, NULL)->is_new);
    world_run(world, 230);
    assert_int_equal(world_count(world, SKEP_EVENT_CLAIM, "dht"), 2);
    announce(net, "82.1.1.2:7002", world->content.info_hash, true);
    world_run(world, 60);
    assert_int_equal(world_count(world, SKEP_EVENT_CLAIM, "dht"), 3);
    assert_int_equal(world_count(world, SKEP_EVENT_HEARD, "82.1.1.2:7002"), 1);
    world_run(world, 65);
    assert_int_equal(world_count(world, SKEP_EVENT_CLAIM, "dht"), 4); /* there was somebody new */
    world_run(world, 3600);
    assert_in_range(world_count(world, SKEP_EVENT_CLAIM, "dht"), 14, 18);
    finish(net);
}

/* Nobody has it: looked for once more at once, and found who announces himself meanwhile. */
static void test_nobody_yet(void **state)
{
    struct net *net = fresh(12);
    struct world *world = net->world;
    struct net_node *late = &net->nodes[5];
    struct sk_dht_search search = {.method = SK_KRPC_GET_PEERS, .store = SK_DHT_STORE_PEER};
    uint64_t op;
    memcpy(search.target, world->content.info_hash, 20);
    world_start(world);
    world_run(world, 1);
    assert_int_equal(world_count(world, SKEP_EVENT_CLAIM, "dht"), 1);
    assert_int_equal(world_count(world, SKEP_EVENT_HEARD, NULL), 0);
    assert_int_equal(sk_dht_start_search(late->dht, &search, world->now_ns, &op), 0);
    net_drain(late);
    world_run(world, 4);
    assert_int_equal(world_count(world, SKEP_EVENT_CLAIM, "dht"), 2);
    assert_int_equal(world_count(world, SKEP_EVENT_HEARD, "81.0.5.7:6881"), 1);
    finish(net);
}

/* BEP 52: a swarm of a hybrid torrent has two names. */
static void test_hybrid(void **state)
{
    struct net *net = fresh_with(NULL, 20, true, true);
    struct world *world = net->world;
    world_add_file(world, NULL, 0);
    announce(net, "82.1.1.1:7001", world->content.hash_v1, true);
    announce(net, "82.1.1.2:7002", world->content.hash_v2, true);
    world_start(world);
    world_run(world, 10);
    assert_int_equal(world_count(world, SKEP_EVENT_HEARD, "82.1.1.1:7001"), 1);
    assert_int_equal(world_count(world, SKEP_EVENT_HEARD, "82.1.1.2:7002"), 1);
    assert_int_equal(world_count(world, SKEP_EVENT_CLAIM, "dht"), 1); /* of both together */
    assert_int_equal(world_seen(world, SKEP_EVENT_CLAIM, "dht")->claim.seeds, 2);
    finish(net);
}

static void test_v2_only(void **state)
{
    struct net *net = fresh_with(NULL, 12, false, true);
    struct world *world = net->world;
    world_add_hash(world);
    announce(net, "82.1.1.2:7002", world->content.hash_v2, true);
    world_start(world);
    world_run(world, 10);
    assert_int_equal(world_count(world, SKEP_EVENT_HEARD, "82.1.1.2:7002"), 1);
    finish(net);
}

/* Stopped, nothing more is asked. */
static void test_stop(void **state)
{
    struct net *net = fresh(12);
    struct world *world = net->world;
    world_start(world);
    world_run(world, 0.015); /* in the middle of the first lookup */
    skep_torrent_stop(world->torrent, world->now_ns);
    assert_int_equal(world->engine->dht->runs.count, 0);
    assert_false(skep_torrent_dht_waiting(world->torrent));
    uint64_t before = sent(net, SKEP_DHT_GET_PEERS);
    world_run(world, 1200);
    assert_int_equal(sent(net, SKEP_DHT_GET_PEERS), before);
    assert_int_equal(world_count(world, SKEP_EVENT_CLAIM, "dht"), 0);
    finish(net);
}

static void stop_at_peer(const struct skep_event *event, void *ctx)
{
    if (event->kind == SKEP_EVENT_HEARD)
        skep_torrent_stop(event->torrent, event->now_ns);
}

static void test_stop_from_hook(void **state)
{
    struct net *net = fresh(12);
    struct world *world = net->world;
    announce(net, "82.1.1.1:7001", world->content.info_hash, true);
    announce(net, "82.1.1.2:7002", world->content.info_hash, true);
    world->hook = stop_at_peer;
    world_start(world);
    world_run(world, 60);
    assert_int_equal(world_count(world, SKEP_EVENT_HEARD, NULL), 1);
    assert_int_equal(world->engine->dht->runs.count, 0);
    finish(net);
}

/* ---- nobody to ask ---- */

/* Told of nobody, the DHT is no source at all. */
static void test_alone(void **state)
{
    struct net *net = fresh(0);
    struct world *world = net->world;
    world_start(world);
    assert_false(skep_torrent_dht_waiting(world->torrent));
    world_run(world, 600);
    assert_int_equal(net->from_us, 0);
    assert_int_equal(world_count(world, SKEP_EVENT_CLAIM_FAILED, NULL), 0);
    finish(net);
}

/* Told of somebody who does not answer, nobody waits for long, and it is said. */
static void test_offline(void **state)
{
    struct net *net = fresh(0);
    struct world *world = net->world;
    assert_int_equal(skep_dht_add_node(world->engine, "81.1.1.1:6881"), 0);
    world_start(world);
    world_run(world, 0.1);
    assert_true(skep_torrent_dht_waiting(world->torrent));
    world_run(world, 9);
    assert_false(skep_torrent_dht_waiting(world->torrent));
    world_run(world, 60);
    const struct seen_event *failed = world_seen(world, SKEP_EVENT_CLAIM_FAILED, "dht");
    assert_non_null(failed);
    assert_string_equal(failed->reason, "no node answers");
    assert_false(skep_torrent_dht_waiting(world->torrent));
    /* Nodes come up: the torrent is looked up after all. */
    net_nodes(net, 9);
    announce(net, "82.1.1.1:7001", world->content.info_hash, true);
    net_join(net);
    world_run(world, 60);
    assert_true(world_count(world, SKEP_EVENT_HEARD, "82.1.1.1:7001") > 0);
    finish(net);
}

/* ---- announces ---- */

static void test_announce(void **state)
{
    struct net *net =
        fresh_with(&(struct skep_config){.no_lsd = true, .announce = true}, 12, true, false);
    struct world *world = net->world;
    world_add_file(world, NULL, 0);
    world_start(world);
    world_run(world, 20);
    assert_int_equal(sent(net, SKEP_DHT_ANNOUNCE_PEER), 8);
    world_run(world, 700);
    assert_int_equal(sent(net, SKEP_DHT_ANNOUNCE_PEER), 8); /* lookups in between do not */
    world_run(world, 600);
    assert_int_equal(sent(net, SKEP_DHT_ANNOUNCE_PEER), 16);
    finish(net);
}

/* Who cannot be connected is not announced; nor is what may be private for all we know. */
static void test_no_announce(void **state)
{
    struct skep_config deaf = {.no_lsd = true, .announce = true, .no_listen = true};
    struct net *net = fresh_with(&deaf, 12, true, false);
    world_add_file(net->world, NULL, 0);
    world_start(net->world);
    world_run(net->world, 1000);
    assert_int_equal(sent(net, SKEP_DHT_ANNOUNCE_PEER), 0);
    finish(net);
    net = fresh_with(&(struct skep_config){.no_lsd = true, .announce = true}, 12, true, false);
    world_add_hash(net->world);
    world_start(net->world);
    world_run(net->world, 1000);
    assert_true(sent(net, SKEP_DHT_GET_PEERS) > 0);
    assert_int_equal(sent(net, SKEP_DHT_ANNOUNCE_PEER), 0);
    finish(net);
}

/* ---- private torrents ---- */

static void test_private(void **state)
{
    struct net *net =
        fresh_with(&(struct skep_config){.no_lsd = true, .announce = true}, 12, true, false);
    struct world *world = net->world;
    add_custom(net, "7:privatei1e", "5:nodesll8:83.1.1.1i6881eee");
    struct remote *remote = world_remote(world, "82.2.2.2:7000");
    memcpy(remote->session.info_hash, skep_torrent_info_hash(world->torrent), 20);
    remote->session.dht = true;
    assert_int_equal(skep_torrent_add_peer(world->torrent, "82.2.2.2:7000"), 0);
    size_t before = net->to_nobody;
    world_start(world);
    assert_false(skep_torrent_dht_waiting(world->torrent));
    world_run(world, 1200);
    assert_int_equal(skep_torrent_open(world->torrent), 1);
    assert_int_equal(sk_peer_view(world->links->session)->reserved & SK_RESERVED_DHT, 0);
    assert_int_equal(sent(net, SKEP_DHT_GET_PEERS), 0);
    assert_int_equal(net->to_nobody, before);
    finish(net);
}

static void count_done(const struct skep_dht_event *event, void *ctx)
{
    *(int *)ctx += event->kind == SKEP_DHT_DONE;
}

/* Nobody asked us anything; a ping shows whether the node is up. */
static bool is_up(struct net *net)
{
    static const char query[] = "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
    struct sk_endpoint from = world_endpoint("81.9.9.9:6881");
    size_t before = net->from_us;
    sk_engine_udp_input(net->world->engine, &from, sk_bytes_text(query), net->world->now_ns);
    world_pump(net->world);
    return net->from_us > before;
}

/* A private torrent alone is no reason to be in the network; others are, as long as they last. */
static void test_private_alone(void **state)
{
    static const uint8_t target[20] = {9};
    struct net *net = fresh_with(NULL, 0, true, false);
    struct world *world = net->world;
    struct skep_dht_search search = {.method = SKEP_DHT_FIND_NODE, .target = target};
    struct skep_torrent *link;
    uint64_t id;
    int done = 0;
    net_nodes(net, 12);
    assert_int_equal(skep_dht_add_host(world->engine, "router.example.org:6881"), 0);
    assert_int_equal(skep_dht_add_node(world->engine, "81.0.0.7:6881"), 0);
    add_custom(net, "7:privatei1e", "");
    world_start(world);
    world_run(world, 3600);
    assert_int_equal(net->from_us, 0);
    assert_int_equal(world->resolves, 0);
    assert_false(is_up(net));
    assert_int_equal(skep_dht_start_search(world->engine, &search, count_done, &done, &id), 0);
    world_run(world, 30);
    assert_int_equal(done, 1);
    assert_int_equal(world->resolves, 0); /* the node was tried before the host */
    size_t before = net->from_us;
    assert_true(before > 0);
    world_run(world, 3600);
    assert_int_equal(net->from_us, before);
    assert_false(is_up(net));
    assert_int_equal(skep_engine_add_link(world->engine, "0909090909090909090909090909090909090909",
                                          &link, NULL),
                     0);
    assert_int_equal(skep_torrent_start(link, world->now_ns), 0);
    world_run(world, 30);
    assert_true(sent(net, SKEP_DHT_GET_PEERS) > 0);
    assert_true(is_up(net));
    skep_torrent_stop(link, world->now_ns);
    assert_false(is_up(net));
    finish(net);
}

/* A magnet whose metadata says private: from then on nothing is asked, and nobody answered. */
static void test_magnet_turns_private(void **state)
{
    struct net *net = fresh_with(NULL, 12, true, false);
    struct world *world = net->world;
    struct sk_buf *info = &world->content.info; /* the world's content becomes private */
    info->n--;
    sk_buf_text(info, "7:privatei1ee");
    sk_sha1(info->p, info->n, world->content.hash_v1);
    memcpy(world->content.info_hash, world->content.hash_v1, 20);
    world_add_hash(world);
    world_start(world);
    world_run(world, 100);
    uint64_t before = sent(net, SKEP_DHT_GET_PEERS);
    assert_true(before > 0);
    world_peer(world, "82.2.2.2:7000");
    world_run(world, 5);
    assert_true(skep_torrent_has_metadata(world->torrent));
    before = net->from_us;
    world_run(world, 3600);
    assert_int_equal(net->from_us, before);
    finish(net);
}

/* ---- nodes that others tell of ---- */

static void test_torrent_nodes(void **state)
{
    struct net *net = fresh_with(NULL, 0, true, false);
    struct world *world = net->world;
    add_custom(net, "",
               "5:nodesl"
               "l9:127.0.0.1i6881ee"
               "l8:10.1.1.1i6881ee"
               "l11:192.168.1.1i6881ee"
               "l8:83.1.1.1i53ee"
               "l9:localhosti6881ee"
               "l8:224.1.1.i6881ee"
               "l8:83.1.1.2i6881ee"
               "e");
    world_start(world);
    world_run(world, 2);
    /* A name may be a stranger's for an address of ours. */
    assert_true(net->from_us > 0);
    assert_int_equal(net->from_us, net->to_nobody);
    struct sk_endpoint public = world_endpoint("83.1.1.2:6881");
    assert_true(sk_endpoint_equal(&net->last_nobody, &public));
    size_t before = net->from_us;
    struct sk_endpoint found = world_endpoint("127.0.0.1:1");
    sk_engine_resolved(world->engine, world->resolve_id, &found, 1, NULL, world->now_ns);
    world_run(world, 0.5);
    assert_int_equal(net->from_us, before);
    for (int i = 0; i < 60; i++) {
        world_run(world, 1);
        assert_true(sk_endpoint_equal(&net->last_nobody, &public));
    }
    finish(net);
}

static void tell_ports(struct link *link, const struct sk_peer_event *event)
{
    static const uint16_t ports[] = {53, 7777, 7778, 7779};
    if (event->kind != SK_PEER_EVENT_OPEN)
        return;
    for (size_t i = 0; i < SK_ARRAY_LEN(ports); i++)
        remote_send(link, &(struct sk_msg){.kind = SK_MSG_PORT, .port = ports[i]});
}

static uint16_t port_heard;

static void hear_port(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_PORT)
        port_heard = event->msg.port;
}

/* A peer's node is asked at its own address, one port of it and no low one. */
static void test_port_message(void **state)
{
    struct net *net = fresh(0);
    struct world *world = net->world;
    struct remote *remote = world_peer(world, "82.2.2.2:7000");
    remote->on_event = tell_ports;
    world_start(world);
    world_run(world, 60);
    assert_int_equal(skep_torrent_open(world->torrent), 1);
    struct sk_endpoint node = world_endpoint("82.2.2.2:7777");
    assert_true(net->from_us > 0);
    for (int i = 0; i < 60; i++) {
        assert_true(sk_endpoint_equal(&net->last_nobody, &node));
        world_run(world, 1);
    }
    finish(net);
}

static void test_our_port(void **state)
{
    struct net *net = fresh(0);
    struct world *world = net->world;
    struct remote *remote = world_peer(world, "82.2.2.2:7000");
    port_heard = 0;
    remote->on_event = hear_port;
    world_start(world);
    world_run(world, 5);
    assert_true(sk_peer_view(world->links->session)->reserved & SK_RESERVED_DHT);
    assert_int_equal(port_heard, 0); /* it has no node itself */
    finish(net);
    net = fresh(0);
    world = net->world;
    remote = world_peer(world, "82.2.2.2:7000");
    remote->session.dht = true;
    remote->on_event = hear_port;
    world_start(world);
    world_run(world, 5);
    assert_int_equal(port_heard, 5000);
    finish(net);
    /* Who answers nobody tells nobody. */
    net = fresh_with(&(struct skep_config){.no_lsd = true, .dht_read_only = true}, 0, true, false);
    world = net->world;
    world_add_file(world, NULL, 0);
    remote = world_peer(world, "82.2.2.2:7000");
    remote->session.dht = true;
    remote->on_event = hear_port;
    port_heard = 0;
    world_start(world);
    world_run(world, 5);
    assert_int_equal(sk_peer_view(world->links->session)->reserved & SK_RESERVED_DHT, 0);
    assert_int_equal(port_heard, 0);
    finish(net);
}

/* ---- liars ---- */

#define FLOOD 450 /* more fit in no datagram that is read */

/* Peers without end, as no writer of ours would put them into one datagram: ourselves, private
 * ones, many of one victim, a low port. */
static bool lie_flood(struct net_node *node, const struct sk_krpc *query, struct sk_krpc *answer)
{
    static const uint8_t victims[3][4] = {{127, 0, 0, 1}, {192, 168, 0, 1}, {85, 5, 5, 5}};
    struct sk_buf buf;
    if (query->method != SK_KRPC_GET_PEERS)
        return true;
    sk_buf_init(&buf, 4096);
    sk_buf_text(&buf, "d1:rd2:id20:");
    sk_buf_append(&buf, node->id, sizeof node->id);
    sk_buf_text(&buf, "6:valuesl");
    for (unsigned i = 0; i < FLOOD; i++) {
        uint8_t peer[8] = {'6', ':', 84, (uint8_t)(i >> 8), (uint8_t)i, 9};
        if (i < 180)
            memcpy(peer + 2, victims[i % 3], 4);
        sk_put_u16(peer + 6, (uint16_t)(i == 180 ? 22 : 2000 + i));
        sk_buf_append(&buf, peer, sizeof peer);
    }
    sk_buf_printf(&buf, "ee1:t%zu:", query->transaction.n);
    sk_buf_append(&buf, query->transaction.p, query->transaction.n);
    sk_buf_text(&buf, "1:y1:re");
    assert_false(buf.failed);
    net_send(node->net, &node->at, &node->net->us, sk_buf_bytes(&buf));
    sk_buf_deinit(&buf);
    return false;
}

static void test_flood_of_peers(void **state)
{
    struct net *net = fresh(6);
    struct world *world = net->world;
    struct net_node *liar = net_place(net, "86.1.1.1:6881");
    liar->lie = lie_flood;
    assert_int_equal(skep_dht_add_node(world->engine, "86.1.1.1:6881"), 0);
    world_run(world, 10);
    world_start(world);
    world_run(world, 10);
    size_t heard = world_count(world, SKEP_EVENT_HEARD, NULL);
    assert_true(liar->queries > 0);
    assert_int_equal(heard, SK_ENGINE_DHT_PEERS_MAX);
    unsigned dialled_victim = 0;
    for (size_t i = 0; i < world->events_count; i++) {
        const struct seen_event *seen = &world->events[i];
        if (seen->kind != SKEP_EVENT_DIALED)
            continue;
        assert_null(strstr(seen->text, "127.0.0.1:"));
        assert_null(strstr(seen->text, "192.168."));
        assert_string_not_equal(seen->text, "84.0.180.9:22");
        dialled_victim += strstr(seen->text, "85.5.5.5:") != NULL;
    }
    assert_int_equal(dialled_victim, SK_BOOK_PORTS_PER_IP_MAX);
    finish(net);
}

static struct sk_endpoint told_peer;
static uint8_t full_filter[256], empty_filter[256], one_filter[256];
static int filters; /* which lie */

static bool lie_filters(struct net_node *node, const struct sk_krpc *query, struct sk_krpc *answer)
{
    if (query->method != SK_KRPC_GET_PEERS)
        return true;
    answer->has_values = true;
    answer->peers = &told_peer;
    answer->peers_count = 1;
    answer->filter_seeds = filters == 0 ? full_filter : empty_filter;
    answer->filter_peers = filters == 2 ? one_filter : empty_filter;
    if (filters == 3)
        answer->filter_seeds = answer->filter_peers = NULL;
    return true;
}

/* Filters that cannot be true are not believed: too full, or without who is told beside them. */
static void test_false_filters(void **state)
{
    static const struct {
        int seeds, leechers;
        unsigned nodes;
    } expected[] = {{-1, -1, 0}, {-1, -1, 0}, {0, 1, 1}, {-1, -1, 0}};
    memset(full_filter, 0xff, sizeof full_filter);
    told_peer = world_endpoint("82.1.1.1:7001");
    struct sk_dht_filter one = {0};
    sk_dht_filter_add(&one, &told_peer);
    memcpy(one_filter, one.bits, sizeof one_filter);
    for (filters = 0; filters < 4; filters++) {
        struct net *net = fresh(0);
        struct world *world = net->world;
        struct net_node *liar = net_place(net, "86.1.1.1:6881");
        liar->lie = lie_filters;
        assert_int_equal(skep_dht_add_node(world->engine, "86.1.1.1:6881"), 0);
        world_run(world, 30);
        world_start(world);
        world_run(world, 40);
        const struct seen_event *claim = world_seen(world, SKEP_EVENT_CLAIM, "dht");
        assert_non_null(claim);
        assert_int_equal(claim->claim.seeds, expected[filters].seeds);
        assert_int_equal(claim->claim.leechers, expected[filters].leechers);
        assert_int_equal(claim->claim.nodes, expected[filters].nodes);
        assert_int_equal(claim->claim.peers, 1);
        finish(net);
    }
}

/* Peers of nodes without filters count as peers, unless a filter has them among the seeds. */
static void test_scrape_union(void **state)
{
    struct sk_dht_scrape scrape = {0};
    double seeds, peers;
    sk_dht_scrape_estimate(&scrape, &seeds, &peers);
    assert_true(seeds == -1 && peers == -1);
    static const uint8_t old[] = "l6:\x01\x02\x03\x04\x1b\x58"
                                 "6:\x01\x02\x03\x05\x1b\x58"
                                 "e";
    struct sk_krpc legacy = {.has_values = true};
    assert_int_equal(sk_bencode_parse(sk_bytes(old, sizeof old - 1), 0, &legacy.values, NULL), 0);
    sk_dht_scrape_add(&scrape, &legacy);
    sk_dht_scrape_add(&scrape, &legacy);
    sk_dht_scrape_estimate(&scrape, &seeds, &peers);
    assert_true(seeds == -1 && peers > 1.9 && peers < 2.1);
    struct sk_dht_filter one = {0}, none = {0};
    struct sk_endpoint seed = world_endpoint("1.2.3.4:9");
    sk_dht_filter_add(&one, &seed);
    struct sk_krpc modern = {.filter_seeds = one.bits, .filter_peers = none.bits};
    sk_dht_scrape_add(&scrape, &modern);
    sk_dht_scrape_estimate(&scrape, &seeds, &peers);
    assert_int_equal(scrape.nodes, 1);
    assert_true(seeds > 0.9 && seeds < 1.1 && peers > 0.9 && peers < 1.1);
    for (int i = 0; i < 10000; i++)
        sk_dht_scrape_add(&scrape, &legacy); /* no end of them: bounded */
    assert_true(scrape.legacy_count <= 4096);
    sk_dht_scrape_deinit(&scrape);
}

/* ---- the audit ---- */

static struct sk_auditor *auditor;

static void tick_auditor(struct world *world)
{
    sk_auditor_tick(auditor, world->now_ns);
}

static struct sk_report audit(struct net *net, double seconds, double *ret_seconds)
{
    struct world *world = net->world;
    struct sk_auditor_config config = {.seed = 1, .no_probe = true};
    struct sk_report report;
    uint64_t begun_ns = world->now_ns;
    assert_int_equal(
        sk_auditor_new(world->engine, world->torrent, &config, world->now_ns, &auditor), 0);
    world->every = tick_auditor;
    world->every_ns = SK_SECOND_NS / 4;
    world->every_next_ns = world->now_ns;
    world_start(world);
    while (sk_auditor_rule(auditor) == SK_STOPPING_GO_ON &&
           world->now_ns < begun_ns + (uint64_t)(seconds * 1e9))
        world_run(world, 0.25);
    *ret_seconds = (double)(world->now_ns - begun_ns) / 1e9;
    assert_int_equal(sk_auditor_report(auditor, SK_STOPPED_CONVERGED, world->now_ns, &report), 0);
    world->every = NULL;
    return report;
}

/* With the DHT as its only source an audit finds the peers, and has its numbers among the claims.
 */
static void test_audit(void **state)
{
    struct net *net = fresh(20);
    struct world *world = net->world;
    double seconds;
    for (int i = 0; i < 5; i++) {
        char address[32];
        snprintf(address, sizeof address, "82.1.%d.1:7001", i);
        world_remote(world, address);
        announce(net, address, world->content.info_hash, true);
    }
    struct sk_report report = audit(net, 300, &seconds);
    assert_true(sk_auditor_rule(auditor) != SK_STOPPING_GO_ON);
    assert_in_range(seconds, 20, 60); /* a second draw was waited for */
    assert_int_equal(report.seeds, 5);
    assert_int_equal(report.claims_count, 1);
    assert_string_equal(report.claims[0].source, "dht");
    assert_int_equal(report.claims[0].seeds, 5);
    assert_int_equal(report.peers[0].sources, SK_SOURCE_DHT);
    sk_report_deinit(&report);
    finish(net);
    sk_auditor_free(auditor);
}

/* The DHT is heard before an audit ends that nobody else has anything to say to. */
static void test_audit_waits(void **state)
{
    struct net *net = fresh(12);
    double seconds;
    struct sk_report report = audit(net, 300, &seconds);
    assert_int_equal(sk_auditor_rule(auditor), SK_STOPPING_NOBODY);
    assert_int_equal(world_count(net->world, SKEP_EVENT_CLAIM, "dht"), 2);
    assert_in_range(report.claims_count, 1, 1);
    assert_in_range(seconds, 5, 6);
    sk_report_deinit(&report);
    finish(net);
    sk_auditor_free(auditor);
}

/* Being offline holds no audit up for more than a few seconds. */
static void test_audit_offline(void **state)
{
    struct net *net = fresh(0);
    double seconds;
    assert_int_equal(skep_dht_add_host(net->world->engine, "router.example.org:6881"), 0);
    struct sk_report report = audit(net, 300, &seconds);
    assert_int_equal(sk_auditor_rule(auditor), SK_STOPPING_NOBODY);
    assert_in_range(seconds, 5, 12);
    sk_report_deinit(&report);
    finish(net);
    sk_auditor_free(auditor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peers_and_numbers),
        cmocka_unit_test(test_draws_in_time),
        cmocka_unit_test(test_nobody_yet),
        cmocka_unit_test(test_hybrid),
        cmocka_unit_test(test_v2_only),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_stop_from_hook),
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_offline),
        cmocka_unit_test(test_announce),
        cmocka_unit_test(test_no_announce),
        cmocka_unit_test(test_private),
        cmocka_unit_test(test_private_alone),
        cmocka_unit_test(test_magnet_turns_private),
        cmocka_unit_test(test_torrent_nodes),
        cmocka_unit_test(test_port_message),
        cmocka_unit_test(test_our_port),
        cmocka_unit_test(test_flood_of_peers),
        cmocka_unit_test(test_false_filters),
        cmocka_unit_test(test_scrape_union),
        cmocka_unit_test(test_audit),
        cmocka_unit_test(test_audit_waits),
        cmocka_unit_test(test_audit_offline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
