/* Bytes in announced ports: the format (docs/STORING.md), and a small network. */
#include "dht_task.h"
#include "proto/dht/port_blob.h"
#include "wire/dht_port_blob.h"

#include <stdlib.h>

/* ---- the format ---- */

#define HELLO "Hello World! This is what fits into two segments."
#define SEEN_MAX 4096

static struct sk_port_blob_key key;

static int make_key(void **state)
{
    sk_port_blob_key(sk_bytes_text("hello"), &key);
    return 0;
}

static void assert_hex(const uint8_t *p, size_t n, const char *hex)
{
    char text[256];
    sk_hex_encode(p, n, text);
    assert_string_equal(text, hex);
}

static void test_vectors(void **state)
{
    static const uint16_t head_ports[] = {6656,  10752, 14888, 18947, 23084, 27285, 31650, 35605,
                                          39477, 43875, 47959, 51823, 56318, 60404, 64128};
    static const uint16_t segment_ports[2][31] = {
        {2627,  4443,  6360,  9970,  10283, 13757, 15949, 17508, 18697, 20501, 22736,
         26263, 27024, 29093, 32356, 32887, 35651, 36957, 38976, 42598, 44218, 45516,
         48141, 49518, 52131, 54216, 55528, 59261, 59791, 61934, 63968},
        {2937,  4124,  7882,  9846,  11954, 13753, 16014, 17198, 18432, 20480, 22528,
         24576, 26624, 28672, 30720, 32768, 34816, 36864, 38912, 40960, 43008, 45056,
         47104, 49152, 51200, 53248, 55296, 57347, 60566, 61787, 64992}};
    static const char *const segment_hashes[] = {"fa381760b0179c458d50d598333b51488b11316c",
                                                 "e0601f57a5724a179bb2b543d5ea4bd476c5f3a8"};
    uint8_t hash[SK_DHT_ID_SIZE];
    uint16_t ports[SK_PORT_BLOB_SEGMENT_PORTS];
    struct sk_bytes bytes = sk_bytes_text(HELLO);
    assert_hex(key.bytes, sizeof key.bytes,
               "28307a4669dec51788a8cb293050b1e53fb4d0b39ff0a4864d1b320c83d585c4");
    sk_port_blob_head_hash(&key, hash);
    assert_hex(hash, sizeof hash, "d1716f49597dcc8476f2766afbf73c455600b04d");
    struct sk_port_blob_head head = sk_port_blob_head(&key, 5, bytes);
    assert_int_equal(head.length, 49);
    assert_hex(head.check, sizeof head.check, "625745151ad8");
    sk_port_blob_write_head(&key, &head, ports);
    assert_memory_equal(ports, head_ports, sizeof head_ports);
    for (uint32_t i = 0; i < 2; i++) {
        sk_port_blob_segment_hash(&key, &head, i, hash);
        assert_hex(hash, sizeof hash, segment_hashes[i]);
        sk_port_blob_write_segment(&key, &head, i, bytes, ports);
        assert_memory_equal(ports, segment_ports[i], sizeof segment_ports[i]);
    }
}

struct seen {
    struct sk_port_blob_seen all[SEEN_MAX];
    size_t count;
};

static void see(struct seen *seen, const uint16_t *ports, size_t count, uint16_t votes)
{
    for (size_t i = 0; i < count; i++)
        seen->all[seen->count++] = (struct sk_port_blob_seen){.port = ports[i], .votes = votes};
}

static void shuffle(struct seen *seen, struct sk_prng *prng)
{
    for (size_t i = seen->count; i > 1; i--) {
        size_t j = sk_prng_below(prng, i);
        struct sk_port_blob_seen swap = seen->all[i - 1];
        seen->all[i - 1] = seen->all[j];
        seen->all[j] = swap;
    }
}

static size_t read_heads(const struct seen *seen, struct sk_port_blob_head *ret_heads)
{
    return sk_port_blob_read_heads(&key, seen->all, seen->count, ret_heads, 8);
}

/* Order, repetition and foreign ports mean nothing; a missing port does. */
static void test_head_reading(void **state)
{
    static struct seen seen;
    struct sk_port_blob_head heads[8], made[9];
    struct sk_prng prng;
    uint16_t ports[SK_PORT_BLOB_HEAD_PORTS];
    sk_prng_init(&prng, 1);
    seen.count = 0;
    /* Eight versions side by side, each in its lane, seen in any order. */
    for (uint32_t version = 1; version <= 8; version++) {
        made[version] = sk_port_blob_head(&key, version, sk_bytes_text("x"));
        sk_port_blob_write_head(&key, &made[version], ports);
        for (size_t i = 0; i < SK_PORT_BLOB_HEAD_PORTS; i++)
            assert_true(ports[i] >= 4096);
        see(&seen, ports, SK_PORT_BLOB_HEAD_PORTS, 3);
    }
    shuffle(&seen, &prng);
    assert_int_equal(read_heads(&seen, heads), 8);
    for (size_t i = 0; i < 8; i++)
        assert_memory_equal(&heads[i], &made[heads[i].version], sizeof heads[i]);
    /* Two of one version, by writers who knew nothing of each other. */
    seen.count = 0;
    for (size_t i = 0; i < 2; i++) {
        made[i] = sk_port_blob_head(&key, 1, sk_bytes_text(i ? "one" : "another"));
        sk_port_blob_write_head(&key, &made[i], ports);
        see(&seen, ports, SK_PORT_BLOB_HEAD_PORTS, 3);
    }
    shuffle(&seen, &prng);
    assert_int_equal(read_heads(&seen, heads), 2);
    assert_int_not_equal(heads[0].length, heads[1].length);
    /* One port less, or under another text. */
    seen.count = 0;
    see(&seen, ports, SK_PORT_BLOB_HEAD_PORTS - 1, 3);
    assert_int_equal(read_heads(&seen, heads), 0);
    see(&seen, ports + SK_PORT_BLOB_HEAD_PORTS - 1, 1, 3);
    assert_int_equal(read_heads(&seen, heads), 1);
    struct sk_port_blob_key other;
    sk_port_blob_key(sk_bytes_text("hellp"), &other);
    assert_int_equal(sk_port_blob_read_heads(&other, seen.all, seen.count, heads, 8), 0);
}

static bool has_port(const uint16_t *ports, uint16_t port)
{
    for (size_t i = 0; i < SK_PORT_BLOB_SEGMENT_PORTS; i++)
        if (ports[i] == port)
            return true;
    return false;
}

static void test_segment_reading(void **state)
{
    static struct seen seen;
    struct sk_prng prng;
    uint8_t bytes[SK_PORT_BLOB_MAX], read[SK_PORT_BLOB_MAX];
    uint16_t ports[SK_PORT_BLOB_SEGMENT_PORTS];
    sk_prng_init(&prng, 2);
    static const size_t sizes[] = {1, 37, 38, 39, 76, 1023, 1024};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        sk_prng_bytes(&prng, bytes, sizeof bytes);
        memset(read, 0xee, sizeof read);
        struct sk_bytes all = sk_bytes(bytes, sizes[i]);
        struct sk_port_blob_head head = sk_port_blob_head(&key, 9, all);
        assert_false(sk_port_blob_whole(&key, &head, sk_bytes(read, sizes[i])));
        uint32_t segments = sk_port_blob_segments(head.length);
        for (uint32_t s = 0; s < segments; s++) {
            sk_port_blob_write_segment(&key, &head, s, all, ports);
            seen.count = 0;
            see(&seen, ports + 1, SK_PORT_BLOB_SEGMENT_PORTS - 1, 4);
            for (size_t n = 0; n < 200; n++) { /* whatever others announce */
                uint16_t junk = (uint16_t)sk_prng_below(&prng, 65536);
                if (!has_port(ports, junk))
                    see(&seen, &junk, 1, 1);
            }
            assert_false(sk_port_blob_read_segment(&key, &head, s, seen.all, seen.count, read));
            see(&seen, ports, 1, 4);
            shuffle(&seen, &prng);
            assert_true(sk_port_blob_read_segment(&key, &head, s, seen.all, seen.count, read));
        }
        assert_false(sk_port_blob_read_segment(&key, &head, segments, seen.all, seen.count, read));
        assert_memory_equal(read, bytes, sizes[i]);
        assert_true(sizes[i] == sizeof read || read[sizes[i]] == 0xee);
        assert_true(sk_port_blob_whole(&key, &head, sk_bytes(read, sizes[i])));
    }
}

/* ---- in a network ---- */

struct fixture {
    struct world world;
    struct runners runners;
    uint64_t announces;                 /* that were sent */
    uint32_t in_ten_s[WORLD_NODES_MAX]; /* of all kinds, by writer 1 */
    uint64_t ten_s[WORLD_NODES_MAX];
    uint32_t busiest;
    size_t one_port_from, one_port_count; /* nodes that keep one port of an address */
};

/* A node that keeps the last port of an address gives no more than that. */
static bool tap(struct world *world, const struct sk_endpoint *from, const struct sk_endpoint *to,
                struct sk_bytes bytes)
{
    struct fixture *f = SK_CONTAINER_OF(world, struct fixture, world);
    struct sk_krpc message;
    size_t n = world_find(world, from), target = world_find(world, to);
    if (sk_krpc_read(bytes, &message))
        return true;
    if (message.kind == SK_KRPC_QUERY && n == 1 && target < world->count) {
        if (world->now_ns - f->ten_s[target] > 10 * SECOND_NS) {
            f->ten_s[target] = world->now_ns;
            f->in_ten_s[target] = 0;
        }
        f->in_ten_s[target]++;
        f->busiest = SK_MAX(f->busiest, f->in_ten_s[target]);
        f->announces += message.method == SK_KRPC_ANNOUNCE_PEER;
    }
    if (message.kind != SK_KRPC_RESPONSE || !message.has_values || n < f->one_port_from ||
        n >= f->one_port_from + f->one_port_count)
        return true;
    struct sk_endpoint peers[256], peer;
    size_t count = 0;
    struct sk_bencode_iter iter = sk_bencode_iter(&message.values);
    while (sk_krpc_next_peer(&iter, &peer)) {
        size_t i = 0;
        while (i < count && !sk_endpoint_same_ip(&peers[i], &peer))
            i++;
        peers[i] = peer;
        count = SK_MAX(count, i + 1);
    }
    message.peers = peers;
    message.peers_count = count;
    struct sk_buf buf;
    sk_buf_init(&buf, SK_KRPC_DATAGRAM_MAX);
    assert_int_equal(sk_krpc_write(&buf, &message), 0);
    world->tap = NULL;
    world_send(world, from, to, sk_buf_bytes(&buf));
    world->tap = tap;
    sk_buf_deinit(&buf);
    return false;
}

static struct fixture *set_up(size_t nodes, uint64_t prng)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    world_init(&f->world, prng);
    f->world.context = &f->runners;
    f->world.event = runners_event;
    f->world.unchecked = true;
    world_grow(&f->world, nodes, &(struct sk_dht_config){.ids_by_address = true});
    f->world.tap = tap;
    return f;
}

static void tear_down(struct fixture *f)
{
    runners_free(&f->world);
    world_deinit(&f->world);
    free(f);
}

static struct runner *put(struct fixture *f, size_t node, struct sk_bytes bytes, double rate)
{
    struct sk_dht_task *task;
    struct sk_dht_port_blob_config config = {.text = "hello", .bytes = bytes, .rate = rate};
    assert_int_equal(sk_dht_port_blob_put_new(&config, f->world.now_ns, &task), 0);
    return runners_add(&f->runners, task, node);
}

static struct runner *get(struct fixture *f, size_t node)
{
    struct sk_dht_task *task;
    struct sk_dht_port_blob_config config = {.text = "hello"};
    assert_int_equal(sk_dht_port_blob_get_new(&config, f->world.now_ns, &task), 0);
    return runners_add(&f->runners, task, node);
}

static struct sk_dht_port_blob_result result_of(const struct runner *runner)
{
    struct sk_dht_port_blob_result result;
    sk_dht_port_blob_result(runner->task, &result);
    return result;
}

static void finish(struct fixture *f, int error)
{
    runners_finish(&f->world, 7200);
    assert_true(f->runners.all[0].done);
    if (f->runners.all[0].error != error)
        fail_msg("%d %s", f->runners.all[0].error, f->runners.all[0].reason);
    assert_true(error == 0 || error == SKEP_ERR_NOT_FOUND || f->runners.all[0].reason);
    runners_free(&f->world);
}

static void assert_gets(struct fixture *f, size_t node, struct sk_bytes bytes)
{
    struct runner *runner = get(f, node);
    runners_finish(&f->world, 600);
    assert_true(runner->done);
    if (runner->error)
        fail_msg("get: %d %s", runner->error, runner->reason);
    assert_true(sk_bytes_equal(result_of(runner).bytes, bytes));
    assert_int_equal(result_of(runner).hashes_done, result_of(runner).hashes);
    runners_free(&f->world);
}

static struct sk_bytes some(size_t n)
{
    static uint8_t bytes[SK_PORT_BLOB_MAX + 1];
    struct sk_prng prng;
    sk_prng_init(&prng, 77);
    sk_prng_bytes(&prng, bytes, sizeof bytes);
    return sk_bytes(bytes, n);
}

static void test_round_trips(void **state)
{
    static const size_t sizes[] = {0, 1, 38, 39, 100};
    struct fixture *f = set_up(40, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t before_ns = f->world.now_ns, sent = f->announces;
        struct runner *runner = put(f, 1, some(sizes[i]), 0);
        runners_finish(&f->world, 3600);
        if (runner->error)
            fail_msg("put: %d %s", runner->error, runner->reason);
        struct sk_dht_port_blob_result result = result_of(runner);
        assert_true(result.holding >= 6);
        assert_int_equal(result.nodes_one_port, 0);
        assert_true(result.nodes >= 8);
        assert_int_equal(result.hashes_done, result.hashes);
        assert_int_equal(result.hashes, (sizes[i] + 37) / 38 + 1);
        sent = f->announces - sent;
        assert_int_equal(result.announces_done, sent);
        assert_int_equal(sent, 8 * ((sizes[i] + 37) / 38 * 31 + 15));
        /* Not faster than ten a second, and not much slower. */
        double seconds = (double)(f->world.now_ns - before_ns) / 1e9;
        assert_true(seconds > (double)sent / 10.5 && seconds < (double)sent / 9 + 20);
        runners_free(&f->world);
        assert_gets(f, 30 + i, some(sizes[i]));
    }
    /* libtorrent blocks who sends 50 in ten seconds. */
    assert_true(f->busiest > 5 && f->busiest < 45);
    tear_down(f);
}

static void test_largest_and_fast(void **state)
{
    struct fixture *f = set_up(30, 2);
    put(f, 1, some(SK_PORT_BLOB_MAX), 1000);
    finish(f, 0);
    assert_true(f->busiest < 45);
    assert_gets(f, 20, some(SK_PORT_BLOB_MAX));
    struct sk_dht_task *task = NULL;
    struct sk_dht_port_blob_config config = {.text = "hello", .bytes = some(SK_PORT_BLOB_MAX + 1)};
    assert_int_equal(sk_dht_port_blob_put_new(&config, 0, &task), SKEP_ERR_LIMIT);
    config.text = NULL;
    assert_int_equal(sk_dht_port_blob_put_new(&config, 0, &task), SKEP_ERR_INVALID);
    assert_int_equal(sk_dht_port_blob_get_new(&config, 0, &task), SKEP_ERR_INVALID);
    config = (struct sk_dht_port_blob_config){.text = "hello", .rate = -1};
    assert_int_equal(sk_dht_port_blob_put_new(&config, 0, &task), SKEP_ERR_INVALID);
    assert_null(task);
    tear_down(f);
}

static void test_loss(void **state)
{
    struct fixture *f = set_up(40, 3);
    f->world.loss = 0.1;
    put(f, 1, some(150), 100);
    finish(f, 0);
    for (size_t node = 20; node < 25; node++)
        assert_gets(f, node, some(150));
    tear_down(f);
}

/* Two writers with addresses of their own, then one of them again and again: the last counts. */
static void test_writers(void **state)
{
    struct fixture *f = set_up(40, 4);
    struct runner *one = put(f, 1, some(60), 100), *two = put(f, 2, some(61), 100);
    runners_finish(&f->world, 600);
    assert_true(one->error == 0 && two->error == 0);
    runners_free(&f->world);
    /* They were of one version: all readers see the same. */
    struct runner *first = get(f, 20);
    runners_finish(&f->world, 600);
    assert_int_equal(first->error, 0);
    size_t size = result_of(first).bytes.n;
    assert_true(size == 60 || size == 61);
    runners_free(&f->world);
    assert_gets(f, 21, some(size));
    for (size_t i = 0; i < 6; i++) {
        put(f, i % 2 ? 1 : 2, some(70 + i), 100);
        finish(f, 0);
        assert_gets(f, 22, some(70 + i));
    }
    /* When nobody announces it any more it is forgotten. */
    runners_run(&f->world, f->world.now_ns + 3600 * SECOND_NS, false);
    get(f, 22);
    finish(f, SKEP_ERR_NOT_FOUND);
    tear_down(f);
}

/* Two writers behind one address at the same time. */
static void test_one_address(void **state)
{
    struct fixture *f = set_up(40, 5);
    struct runner *one = put(f, 1, some(40), 100), *two = put(f, 1, some(50), 100);
    runners_finish(&f->world, 600);
    assert_true(one->error == 0 && two->error == 0);
    runners_free(&f->world);
    struct runner *reader = get(f, 20);
    runners_finish(&f->world, 600);
    assert_int_equal(reader->error, 0);
    size_t size = result_of(reader).bytes.n;
    assert_true(size == 40 || size == 50);
    runners_free(&f->world);
    assert_gets(f, 21, some(size));
    tear_down(f);
}

/* Others announce what they like under the same info-hashes; their addresses tell them apart. */
static void test_foreign_announces(void **state)
{
    struct fixture *f = set_up(40, 6);
    struct sk_prng prng;
    uint8_t hashes[2][SK_DHT_ID_SIZE];
    struct sk_port_blob_head head = sk_port_blob_head(&key, 1, some(38));
    sk_prng_init(&prng, 6);
    put(f, 1, some(38), 100);
    finish(f, 0);
    sk_port_blob_head_hash(&key, hashes[0]);
    sk_port_blob_segment_hash(&key, &head, 0, hashes[1]);
    for (size_t i = 0; i < 60; i++) {
        struct sk_dht_search search = {.method = SK_KRPC_GET_PEERS,
                                       .store = SK_DHT_STORE_PEER,
                                       .port = (uint16_t)(1 + sk_prng_below(&prng, 65535))};
        uint64_t op;
        memcpy(search.target, hashes[i % 2], SK_DHT_ID_SIZE);
        size_t node = 5 + i % 20;
        assert_int_equal(
            sk_dht_start_search(f->world.nodes[node].dht, &search, f->world.now_ns, &op), 0);
        runners_run(&f->world, f->world.now_ns + 3 * SECOND_NS, false);
    }
    assert_gets(f, 30, some(38));
    tear_down(f);
}

static void test_one_port_nodes(void **state)
{
    struct fixture *f = set_up(60, 7);
    /* A third of them: it works, and they are counted. */
    f->one_port_from = 20;
    f->one_port_count = 20;
    struct runner *runner = put(f, 1, some(120), 100);
    runners_finish(&f->world, 3600);
    assert_int_equal(runner->error, 0);
    struct sk_dht_port_blob_result result = result_of(runner);
    assert_true(result.nodes_one_port >= 3 && result.nodes_one_port < result.nodes);
    assert_true(result.holding >= 2);
    runners_free(&f->world);
    assert_gets(f, 10, some(120));
    /* All of them: it says so, early. */
    f->one_port_from = 0;
    f->one_port_count = 60;
    f->announces = 0;
    runner = put(f, 1, some(1000), 100);
    runners_finish(&f->world, 3600);
    assert_int_equal(runner->error, SKEP_ERR_UNSUPPORTED);
    assert_non_null(runner->reason);
    result = result_of(runner);
    assert_true(result.nodes_one_port >= 12);
    assert_true(f->announces < 1000);
    tear_down(f);
}

static void test_nobody(void **state)
{
    struct fixture *f = set_up(12, 8);
    get(f, 3);
    finish(f, SKEP_ERR_NOT_FOUND);
    f->world.loss = 1.1;
    put(f, 1, some(10), 0);
    finish(f, SKEP_ERR_NETWORK);
    get(f, 3);
    finish(f, SKEP_ERR_NETWORK);
    tear_down(f);
}

static void run_for(struct fixture *f, unsigned minutes)
{
    runners_run(&f->world, f->world.now_ns + minutes * 60 * SECOND_NS, false);
}

/* What is kept is there long after nodes forgot its first announces; silence is waited out; a newer
 * version of somebody else is the end of it. */
static void test_keep(void **state)
{
    struct fixture *f = set_up(12, 9);
    const struct sk_dht_port_blob_config config = {
        .text = "hello", .bytes = some(50), .rate = 100, .keep = true};
    struct sk_dht_task *task;
    assert_int_equal(sk_dht_port_blob_put_new(&config, f->world.now_ns, &task), 0);
    struct runner *kept = runners_add(&f->runners, task, 1);
    run_for(f, 5);
    struct sk_dht_port_blob_result result = result_of(kept);
    assert_string_equal(result.what, "keeping");
    assert_int_equal(result.hashes_done, 3);
    assert_int_equal(result.number, 3);
    assert_int_equal(result.ports, SK_PORT_BLOB_HEAD_PORTS);
    assert_int_equal(result.ports_back, SK_PORT_BLOB_HEAD_PORTS);
    size_t once = f->announces;
    run_for(f, 120);
    assert_int_equal(f->announces, once * (1 + 120 / 15));
    struct runner *reader = get(f, 3);
    run_for(f, 1);
    assert_true(reader->done && !reader->error);
    assert_true(sk_bytes_equal(result_of(reader).bytes, some(50)));

    f->world.loss = 1.1;
    run_for(f, 20);
    assert_false(kept->done);
    assert_string_equal(result_of(kept).what, "waiting for the network");
    f->world.loss = 0;
    run_for(f, 10);
    assert_false(kept->done);
    assert_string_equal(result_of(kept).what, "keeping");

    put(f, 2, some(60), 100);
    run_for(f, 20);
    assert_true(kept->done);
    assert_int_equal(kept->error, SKEP_ERR_STATE);

    /* Where it never was stored nothing is kept. */
    assert_int_equal(sk_dht_port_blob_put_new(&config, f->world.now_ns, &task), 0);
    struct runner *never = runners_add(&f->runners, task, 4);
    runners_run(&f->world, f->world.now_ns + 3 * SECOND_NS, false);
    assert_int_equal(result_of(never).number, 1);
    f->world.loss = 1.1;
    run_for(f, 20);
    assert_true(never->done);
    assert_int_equal(never->error, SKEP_ERR_NETWORK);
    runners_free(&f->world);
    tear_down(f);
}

static int make_put(uint64_t now_ns, struct sk_dht_task **ret_task)
{
    const struct sk_dht_port_blob_config config = {.text = "hello", .bytes = some(5), .rate = 100};
    return sk_dht_port_blob_put_new(&config, now_ns, ret_task);
}

static int make_get(uint64_t now_ns, struct sk_dht_task **ret_task)
{
    const struct sk_dht_port_blob_config config = {.text = "hello"};
    return sk_dht_port_blob_get_new(&config, now_ns, ret_task);
}

static int make_slow_put(uint64_t now_ns, struct sk_dht_task **ret_task)
{
    const struct sk_dht_port_blob_config config = {.text = "hello", .bytes = some(60), .rate = 20};
    return sk_dht_port_blob_put_new(&config, now_ns, ret_task);
}

static void test_cancel(void **state)
{
    struct fixture *f = set_up(20, 9);
    runners_cancel_sweep(&f->world, (const runners_make_fn[]){make_slow_put, make_get}, 60000);
    tear_down(f);
}

static void test_no_memory(void **state)
{
    struct fixture *f = set_up(10, 10);
    size_t failed[2];
    put(f, 3, some(5), 100);
    finish(f, 0);
    runners_memory_sweep(&f->world, (const runners_make_fn[]){make_put, make_get}, failed);
    assert_true(failed[0] > 10 && failed[1] > 5);
    assert_gets(f, 5, some(5));
    tear_down(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_head_reading),
        cmocka_unit_test(test_segment_reading),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_largest_and_fast),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_writers),
        cmocka_unit_test(test_one_address),
        cmocka_unit_test(test_foreign_announces),
        cmocka_unit_test(test_one_port_nodes),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_keep),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, make_key, NULL);
}
