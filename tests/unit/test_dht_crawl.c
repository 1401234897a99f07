/* Walks through networks: who is found, what is not believed, and what it costs. */
#include "dht_stage.h"

#include "base/limits.h"

static struct sk_dht_crawl_config v4(void)
{
    return (struct sk_dht_crawl_config){.family = SK_FAMILY_V4, .seed = 7};
}

static struct sk_dht_crawl_result crawl(struct stage *stage,
                                        const struct sk_dht_crawl_config *config)
{
    struct sk_dht_crawl_result result;
    assert_int_equal(sk_dht_crawl_new(config, stage->world.now_ns, &stage->task), 0);
    stage_run(stage);
    assert_true(stage->done);
    sk_dht_crawl_result(stage->task, &result);
    assert_int_equal(result.silent, result.asked - result.alive);
    assert_int_equal(stage->found, result.asked);
    assert_int_equal(stage->found_alive, result.alive);
    assert_int_equal(sk_dht_task_deadline(stage->task), SK_TIME_NEVER);
    for (size_t i = 0; i < stage->count; i++)
        assert_true(stage->actors[i].told <= 1);
    return result;
}

static void test_everybody(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, 1, 600);
    for (int i = 0; i < 600; i++)
        stage_actor(&stage);
    stage_join(&stage);
    struct sk_dht_crawl_config config = v4();
    uint64_t begin_ns = stage.world.now_ns;
    struct sk_dht_crawl_result result = crawl(&stage, &config);
    assert_int_equal(stage.error, 0);
    assert_true(result.complete);
    assert_int_equal(result.known, 600);
    assert_int_equal(result.alive, 600);
    assert_int_equal(result.ids_changed, 0);
    unsigned most = 0, asked = 0, fitting = 0;
    for (size_t i = 0; i < stage.count; i++) {
        const struct actor *actor = &stage.actors[i];
        assert_int_equal(actor->told, 1);
        assert_int_equal(actor->found.state, SK_DHT_FOUND_ALIVE);
        assert_memory_equal(actor->found.contact.id, actor->contact.id, SK_DHT_ID_SIZE);
        assert_memory_equal(actor->found.version, "AC\1\2", 4);
        assert_in_range(actor->found.rtt_ns, 50 * MS_NS - 1000, 50 * MS_NS);
        fitting += actor->found.id_fits;
        most = SK_MAX(most, actor->asked);
        asked += actor->asked;
    }
    /* Random ids fit in one of millions of cases. */
    assert_int_equal(fitting, 0);
    assert_int_equal(result.id_fits, 0);
    assert_true(most <= SK_DHT_CRAWL_QUERIES_MAX + 4); /* and what the searches asked */
    assert_true(asked < 600 * 3);
    /* At its rate, and telling of progress twice a second. */
    double seconds = (double)(stage.world.now_ns - begin_ns) / 1e9;
    assert_true(seconds > (double)result.queries / 200 - 1);
    assert_true(stage.progress <= 2 * seconds + 1);
    assert_true(stage.progress >= 2);
    stage_deinit(&stage);
}

static void test_real_nodes(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, 2, 1);
    world_grow(&stage.world, 100, &(struct sk_dht_config){.version = "RN"});
    struct sk_endpoint *first = &stage.world.nodes[1].endpoint;
    sk_dht_add_address(stage.world.nodes[0].dht, first, false, stage.world.now_ns);
    world_seconds(&stage.world, 60);
    unsigned dead = 0;
    for (size_t i = 1; i < stage.world.count; i += 4) {
        sk_dht_free(stage.world.nodes[i].dht);
        stage.world.nodes[i].dht = NULL;
        dead++;
    }
    stage.world.loss = 0.05;
    struct sk_dht_crawl_config config = v4();
    struct sk_dht_crawl_result result = crawl(&stage, &config);
    assert_true(result.complete);
    assert_in_range(result.alive, 99 - dead, 100 - dead);
    assert_true(result.silent >= dead / 2);
    stage_deinit(&stage);
}

static void test_ipv6(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, 15, 1);
    struct world *world = &stage.world;
    sk_dht_free(world->nodes[0].dht);
    world->count = 0;
    for (uint8_t i = 0; i < 30; i++) {
        uint8_t ip[16] = {0x20, 0x01, 0x04, 0x70, 0, i, [15] = 1};
        struct sk_endpoint endpoint = sk_endpoint_v6(ip, 6881);
        struct sk_dht *dht = world_add(world, &endpoint, &(struct sk_dht_config){.version = "V6"});
        if (i > 0)
            sk_dht_add_address(dht, &world->nodes[0].endpoint, false, world->now_ns);
        world_run(world, world->now_ns + 300 * MS_NS, NULL);
    }
    world_seconds(world, 30);
    struct sk_dht_crawl_config config = v4();
    config.family = SK_FAMILY_V6;
    struct sk_dht_crawl_result result = crawl(&stage, &config);
    assert_int_equal(stage.error, 0);
    assert_int_equal(result.alive, 29);
    stage_deinit(&stage);
}

static void test_dead_and_loss(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, 3, 600);
    for (int i = 0; i < 600; i++)
        stage_actor(&stage)->dead = i >= 3 && i % 3 == 0;
    stage_join(&stage);
    stage.world.loss = 0.05;
    struct sk_dht_crawl_config config = v4();
    struct sk_dht_crawl_result result = crawl(&stage, &config);
    assert_int_equal(result.known, 600);
    assert_in_range(result.alive, 399, 401);
    for (size_t i = 0; i < stage.count; i++) {
        const struct actor *actor = &stage.actors[i];
        if (!actor->dead)
            continue;
        assert_int_equal(actor->found.state, SK_DHT_FOUND_SILENT);
        assert_true(actor->asked <= 3 + 2); /* and by searches */
        assert_int_equal(actor->found.rtt_ns, 0);
    }
    stage_deinit(&stage);
}

/* ---- who says what it is ---- */

static size_t act_another_id(struct stage *stage, struct actor *actor, const struct sk_krpc *query,
                             uint8_t *ret_nodes)
{
    actor->contact.id[19]++;
    return stage_nearest(stage, actor, query->target, ret_nodes);
}

#define OTHER 60
#define TELLERS 30 /* the first of three */

/* Tells of the hidden actors whatever it is asked; of one of them with an id that is not its own.
 */
static size_t act_tell_hidden(struct stage *stage, struct actor *actor, const struct sk_krpc *query,
                              uint8_t *ret_nodes)
{
    (void)query;
    size_t n = 0;
    for (size_t i = 0; i < stage->count && n < 16; i++) {
        struct sk_dht_contact contact = stage->actors[i].contact;
        if (!stage->actors[i].hidden || (i == OTHER && actor != &stage->actors[TELLERS]))
            continue;
        contact.id[10] ^= i == OTHER;
        n += sk_krpc_write_node(&contact, ret_nodes + n * NODE_BYTES) == NODE_BYTES;
    }
    return n * NODE_BYTES;
}

static void test_ids(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, 4, 64);
    for (int i = 0; i < OTHER; i++)
        stage_actor(&stage);
    struct actor *other = stage_actor(&stage); /* told with an id that it has not */
    struct actor *silent = stage_actor(&stage);
    other->hidden = silent->hidden = silent->dead = true;
    stage.actors[20].act = act_another_id;
    for (size_t i = TELLERS; i < TELLERS + 3; i++)
        stage.actors[i].act = act_tell_hidden;
    stage_join(&stage);
    /* Somebody of our table who has another id since then. */
    const struct sk_dht_table *table = sk_dht_table(stage.world.nodes[0].dht, SK_FAMILY_V4);
    struct actor *since = stage.actors;
    while (!sk_dht_table_find(table, &since->contact.endpoint))
        since++;
    assert_true(since < &stage.actors[20]);
    since->hidden = true;
    since->contact.id[3] ^= 1;
    struct sk_dht_crawl_config config = v4();
    struct sk_dht_crawl_result result = crawl(&stage, &config);
    assert_int_equal(since->found.state, SK_DHT_FOUND_ID_CHANGED);
    assert_int_equal(stage.actors[20].found.state, SK_DHT_FOUND_ID_CHANGED);
    assert_int_equal(other->found.state, SK_DHT_FOUND_ID_CHANGED);
    assert_memory_equal(other->found.contact.id, other->contact.id, SK_DHT_ID_SIZE);
    assert_int_equal(result.ids_changed, 3);
    /* Three told of it, each several times. */
    assert_int_equal(silent->found.state, SK_DHT_FOUND_SILENT);
    assert_int_equal(silent->found.told_by, 3);
    stage_deinit(&stage);
}

/* Each of ten liars tells wrong ids of a tenth of all nodes, against those who tell the true ones.
 */
#define LIARS 10

static size_t act_slander(struct stage *stage, struct actor *actor, const struct sk_krpc *query,
                          uint8_t *ret_nodes)
{
    size_t size = stage_nearest(stage, actor, query->target, ret_nodes);
    for (size_t i = 0; i < size; i += NODE_BYTES) {
        unsigned number = ret_nodes[i + 22]; /* the last but one of its address */
        if (number % LIARS == (size_t)(actor - stage->actors) % LIARS)
            ret_nodes[i + 15] ^= 0x55;
    }
    return size;
}

static void test_slander(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, 5, 200);
    for (size_t i = 0; i < 200; i++)
        stage_actor(&stage)->act = i >= 100 && i < 100 + LIARS ? act_slander : NULL;
    stage_join(&stage);
    struct sk_dht_crawl_config config = v4();
    struct sk_dht_crawl_result result = crawl(&stage, &config);
    assert_int_equal(result.alive, 200);
    assert_int_equal(result.ids_changed, 0);
    for (size_t i = 0; i < stage.count; i++)
        assert_int_equal(stage.actors[i].found.state, SK_DHT_FOUND_ALIVE);
    stage_deinit(&stage);
}

/* Of three in a chain each tells of the next, the last of the middle one; the first with a wrong
 * id.
 */
static size_t act_chain(struct stage *stage, struct actor *actor, const struct sk_krpc *query,
                        uint8_t *ret_nodes)
{
    (void)query;
    size_t self = (size_t)(actor - stage->actors);
    struct sk_dht_contact contact = stage->actors[self == 22 ? 21 : self + 1].contact;
    contact.id[10] ^= self == 20;
    return sk_krpc_write_node(&contact, ret_nodes);
}

/* A wrong id alone is no verdict while others may be heard. */
static void test_late_witness(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, 14, 23);
    for (size_t i = 0; i < 23; i++) {
        struct actor *actor = stage_actor(&stage);
        actor->act = i >= 20 ? act_chain : NULL;
        actor->hidden = i > 20;
    }
    stage_join(&stage);
    struct sk_dht_crawl_config config = v4();
    struct sk_dht_crawl_result result = crawl(&stage, &config);
    assert_int_equal(result.alive, 23);
    assert_int_equal(stage.actors[21].found.told_by, 2);
    assert_int_equal(stage.actors[21].found.state, SK_DHT_FOUND_ALIVE);
    stage_deinit(&stage);
}

/* ---- who makes nodes up ---- */

static uint32_t invented;

/* New addresses each time, with ids near the target. */
static size_t act_invent(struct stage *stage, struct actor *actor, const struct sk_krpc *query,
                         uint8_t *ret_nodes)
{
    (void)stage;
    (void)actor;
    for (size_t i = 0; i < 16; i++) {
        struct sk_dht_contact contact;
        invented++;
        uint8_t ip[4] = {99, (uint8_t)(invented >> 16), (uint8_t)(invented >> 8),
                         (uint8_t)invented};
        memcpy(contact.id, query->target, SK_DHT_ID_SIZE);
        contact.id[19] ^= (uint8_t)(i + 1);
        contact.endpoint = sk_endpoint_v4(ip, 6881);
        sk_krpc_write_node(&contact, ret_nodes + i * NODE_BYTES);
    }
    return (size_t)16 * NODE_BYTES;
}

static void test_invented(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, 6, 300);
    for (int i = 0; i < 300; i++)
        stage_actor(&stage)->act = i % 10 == 9 ? act_invent : NULL;
    stage_join(&stage);
    struct sk_dht_crawl_config config = v4();
    struct sk_dht_crawl_result result = crawl(&stage, &config);
    unsigned liars = 30;
    assert_int_equal(result.alive, 300);
    /* The last answer that may be heard in full comes on top. */
    assert_true(result.known <= 300 + liars * SK_DHT_CRAWL_CLAIMS_MAX);
    assert_true(result.known > 300 + liars * SK_DHT_CRAWL_CLAIMS_MAX / 2);
    /* Who is known by such a teller only is asked once, and no more. */
    assert_true(stage.nobody <= result.silent + 200); /* and by searches */
    assert_true(result.complete);
    stage_deinit(&stage);
}

static size_t act_ports(struct stage *stage, struct actor *actor, const struct sk_krpc *query,
                        uint8_t *ret_nodes)
{
    act_invent(stage, actor, query, ret_nodes);
    for (size_t i = 0; i < 16; i++) {
        static const uint8_t ip[4] = {98, 7, 6, 5};
        memcpy(ret_nodes + i * NODE_BYTES + SK_DHT_ID_SIZE, ip, 4);
        ret_nodes[i * NODE_BYTES + 24] = (uint8_t)(++invented >> 8);
        ret_nodes[i * NODE_BYTES + 25] = (uint8_t)invented;
    }
    return (size_t)16 * NODE_BYTES;
}

static size_t act_inward(struct stage *stage, struct actor *actor, const struct sk_krpc *query,
                         uint8_t *ret_nodes)
{
    static const uint8_t ips[4][4] = {
        {127, 0, 0, 1}, {10, 0, 0, 1}, {192, 168, 1, 1}, {0, 0, 0, 0}};
    act_invent(stage, actor, query, ret_nodes);
    for (size_t i = 0; i < 16; i++)
        memcpy(ret_nodes + i * NODE_BYTES + SK_DHT_ID_SIZE, ips[i % 4], 4);
    return (size_t)16 * NODE_BYTES;
}

static bool no_inward(struct world *world, const struct sk_endpoint *from,
                      const struct sk_endpoint *to, struct sk_bytes bytes)
{
    (void)world;
    (void)from;
    (void)bytes;
    assert_int_equal(sk_endpoint_scope(to), SK_SCOPE_PUBLIC);
    return true;
}

static void test_one_host(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, 7, 200);
    stage.world.tap = no_inward;
    invented = 1;
    for (int i = 0; i < 200; i++)
        stage_actor(&stage)->act = i % 20 == 19 ? act_ports : i % 20 == 18 ? act_inward : NULL;
    stage_join(&stage);
    struct sk_dht_crawl_config config = v4();
    struct sk_dht_crawl_result result = crawl(&stage, &config);
    assert_int_equal(result.alive, 200);
    assert_int_equal(result.known, 200 + SK_DHT_CRAWL_ADDRESS_NODES_MAX);
    stage_deinit(&stage);
}

/* ---- a part of it, and no more than so many ---- */

static void check_prefix(unsigned bits, uint64_t queries_max)
{
    struct stage stage;
    stage_init(&stage, 8, 1000);
    for (int i = 0; i < 1000; i++)
        stage_actor(&stage);
    stage_join(&stage);
    struct sk_dht_crawl_config config = v4();
    config.prefix_bits = bits;
    config.prefix[0] = 0xab;
    unsigned inside = 0;
    struct sk_dht_crawl_result result = crawl(&stage, &config);
    for (size_t i = 0; i < stage.count; i++) {
        bool in = (stage.actors[i].contact.id[0] ^ 0xab) >> (8 - bits) == 0;
        assert_int_equal(stage.actors[i].told, in);
        inside += in;
    }
    assert_true(inside > 0);
    assert_int_equal(result.alive, inside);
    assert_int_equal(result.known, inside);
    assert_true(result.queries < queries_max);
    stage_deinit(&stage);
}

static void test_prefix(void **state)
{
    (void)state;
    check_prefix(5, 300);
    check_prefix(8, 100); /* fewer than an answer names */
}

static void test_nodes_max(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, 9, 300);
    for (int i = 0; i < 300; i++)
        stage_actor(&stage);
    stage_join(&stage);
    struct sk_dht_crawl_config config = v4();
    config.nodes_max = 150;
    struct sk_dht_crawl_result result = crawl(&stage, &config);
    assert_int_equal(result.known, 150);
    assert_int_equal(result.alive, 150);
    assert_false(result.complete);
    assert_int_equal(stage.error, 0);
    stage_deinit(&stage);
}

/* ---- ends ---- */

static void test_nobody(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, 10, 1);
    stage_actor(&stage)->dead = true;
    stage_join(&stage);
    struct sk_dht_crawl_config config = v4();
    crawl(&stage, &config);
    assert_int_equal(stage.error, SKEP_ERR_NETWORK);
    stage_deinit(&stage);
}

static void test_refused(void **state)
{
    (void)state;
    struct sk_dht_task *task = NULL;
    struct sk_dht_crawl_config config = v4();
    config.prefix_bits = SK_DHT_ZONE_BITS_MAX + 1;
    assert_int_equal(sk_dht_crawl_new(&config, 0, &task), SKEP_ERR_INVALID);
    config = v4();
    config.family = SK_FAMILY_NONE;
    assert_int_equal(sk_dht_crawl_new(&config, 0, &task), SKEP_ERR_INVALID);
    config = v4();
    config.rate = -1;
    assert_int_equal(sk_dht_crawl_new(&config, 0, &task), SKEP_ERR_INVALID);
    config = v4();
    config.under_way = SK_DHT_CRAWL_UNDER_WAY_MAX + 1;
    assert_int_equal(sk_dht_crawl_new(&config, 0, &task), SKEP_ERR_INVALID);
    assert_null(task);
    struct stage stage;
    stage_init(&stage, 11, 1);
    config = v4();
    config.family = SK_FAMILY_V6; /* not ours */
    crawl(&stage, &config);
    assert_int_equal(stage.error, SKEP_ERR_STATE);
    stage_deinit(&stage);
}

static void set_some_dead(struct stage *stage)
{
    stage_init(stage, 12, 40);
    for (int i = 0; i < 40; i++)
        stage_actor(stage)->dead = i >= 3 && i % 4 == 0;
    stage_join(stage);
}

static int make_crawl(uint64_t now_ns, struct sk_dht_task **ret_task)
{
    struct sk_dht_crawl_config config = v4();
    return sk_dht_crawl_new(&config, now_ns, ret_task);
}

static void check_found(const struct stage *stage)
{
    assert_true(stage->found_alive >= 30);
}

static const struct stage_play play = {set_some_dead, make_crawl, check_found};

static void test_cancel(void **state)
{
    (void)state;
    stage_cancel_sweep(&play);
}

static void test_no_memory(void **state)
{
    (void)state;
    size_t refused, ended;
    stage_memory_sweep(&play, &refused, &ended);
    assert_true(refused >= 4);
    assert_true(ended >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everybody),    cmocka_unit_test(test_real_nodes),
        cmocka_unit_test(test_ipv6),         cmocka_unit_test(test_dead_and_loss),
        cmocka_unit_test(test_ids),          cmocka_unit_test(test_slander),
        cmocka_unit_test(test_late_witness), cmocka_unit_test(test_invented),
        cmocka_unit_test(test_one_host),     cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_nodes_max),    cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
