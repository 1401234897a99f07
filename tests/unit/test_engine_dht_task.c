/*
 * Tasks of <skep/dht.h>: bytes stored and fetched, the network walked and measured.
 */
#include "dht_told.h"

/* ---- bytes ---- */

static void put_and_get(struct net *net, struct skep_dht_blob *blob, struct told *told)
{
    *told = start_told(net);
    assert_int_equal(skep_dht_start_put(net->world->engine, blob, on_dht, told, &told->id), 0);
    told->inside_call = false;
    world_run(net->world, 120);
    assert_int_equal(told->counts[SKEP_DHT_DONE], 1);
    assert_int_equal(told->error, 0);
    *told = start_told(net);
    assert_int_equal(skep_dht_start_get(net->world->engine, blob, on_dht, told, &told->id), 0);
    told->inside_call = false;
    world_run(net->world, 120);
    assert_int_equal(told->counts[SKEP_DHT_DONE], 1);
}

static void test_bytes_by_text(void **state)
{
    struct net *net = joined(20);
    struct told told;
    struct skep_dht_blob blob = {.name = SKEP_DHT_NAME_TEXT,
                                 .text = "a key",
                                 .bytes = (const uint8_t *)"some bytes",
                                 .size = 10};
    put_and_get(net, &blob, &told);
    assert_int_equal(told.error, 0);
    assert_int_equal(told.value_size, 10);
    assert_memory_equal(told.value, "some bytes", 10);
    struct skep_dht_blob missing = {.name = SKEP_DHT_NAME_TEXT, .text = "another key"};
    told = start_told(net);
    assert_int_equal(skep_dht_start_get(net->world->engine, &missing, on_dht, &told, &told.id), 0);
    told.inside_call = false;
    world_run(net->world, 120);
    assert_int_equal(told.error, SKEP_ERR_NOT_FOUND);
    finish(net);
}

static void test_text_key(void **state)
{
    uint8_t seed[32], other[32], key[32];
    skep_dht_text_key("a key", seed);
    skep_dht_text_key("a key ", other);
    assert_memory_not_equal(seed, other, 32);
    assert_int_equal(skep_dht_public_key(seed, key), 0);
    assert_memory_not_equal(seed, key, 32);
}

/* Nobody to ask: an end, no hang. */
static void test_tasks_offline(void **state)
{
    struct net *net = fresh();
    struct skep_engine *engine = net->world->engine;
    struct told told[4] = {start_told(net), start_told(net), start_told(net), start_told(net)};
    struct skep_dht_blob blob = {
        .name = SKEP_DHT_NAME_TEXT, .text = "a key", .bytes = (const uint8_t *)"b", .size = 1};
    struct skep_dht_crawl crawl = {.family = 4};
    struct skep_dht_size size = {.family = 4};
    assert_int_equal(skep_dht_start_get(engine, &blob, on_dht, &told[0], &told[0].id), 0);
    assert_int_equal(skep_dht_start_put(engine, &blob, on_dht, &told[1], &told[1].id), 0);
    assert_int_equal(skep_dht_start_crawl(engine, &crawl, on_dht, &told[2], &told[2].id), 0);
    assert_int_equal(skep_dht_start_size(engine, &size, on_dht, &told[3], &told[3].id), 0);
    for (int i = 0; i < 4; i++)
        told[i].inside_call = false;
    world_run(net->world, 120);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(told[i].counts[SKEP_DHT_DONE], 1);
        assert_int_equal(told[i].error, SKEP_ERR_NETWORK);
    }
    assert_int_equal(net->from_us, 0);
    finish(net);
}

/* Each node of the network is found, once; and how many there are is known well. */
static void test_crawl_and_size(void **state)
{
    struct net *net = joined(30);
    struct skep_engine *engine = net->world->engine;
    struct told crawled = start_told(net), counted = start_told(net);
    struct skep_dht_crawl crawl = {.family = 4};
    struct skep_dht_size size = {.family = 4};
    assert_int_equal(skep_dht_start_crawl(engine, &crawl, on_dht, &crawled, &crawled.id), 0);
    assert_int_equal(skep_dht_start_size(engine, &size, on_dht, &counted, &counted.id), 0);
    crawled.inside_call = counted.inside_call = false;
    world_run(net->world, 600);
    assert_int_equal(crawled.counts[SKEP_DHT_DONE], 1);
    assert_int_equal(crawled.error, 0);
    assert_int_equal(crawled.counts[SKEP_DHT_FOUND], 30);
    assert_int_equal(counted.counts[SKEP_DHT_DONE], 1);
    assert_int_equal(counted.error, 0);
    assert_true(crawled.counts[SKEP_DHT_PROGRESS] > 0 && counted.counts[SKEP_DHT_PROGRESS] > 0);
    finish(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_by_text),
        cmocka_unit_test(test_text_key),
        cmocka_unit_test(test_tasks_offline),
        cmocka_unit_test(test_crawl_and_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
