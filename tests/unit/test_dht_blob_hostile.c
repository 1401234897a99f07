/* Storing and fetching when things go wrong: loss, liars, rivals, death, no memory. */
#include "dht_blob_world.h"

/* ---- loss and liars ---- */

/* The first nodes (after those that tests use) are liars: what they do to their answers. */
#define LIARS_FROM 30

struct liars {
    size_t count;
    enum { SILENT, FORGE, WITHHOLD } how;
    uint64_t lies;
};
static struct liars liars;

static bool lie(struct world *world, const struct sk_endpoint *from, const struct sk_endpoint *to,
                struct sk_bytes bytes)
{
    struct sk_krpc message;
    size_t n = world_find(world, from);
    if (n < LIARS_FROM || n >= LIARS_FROM + liars.count)
        return true;
    if (liars.how == SILENT)
        return false;
    if (sk_krpc_read(bytes, &message) || message.kind != SK_KRPC_RESPONSE || !message.value.p)
        return true;
    uint8_t forged[SK_KRPC_DATAGRAM_MAX];
    assert_true(message.value.n <= sizeof forged);
    memcpy(forged, message.value.p, message.value.n);
    forged[message.value.n - 2] ^= 1;
    message.value = liars.how == FORGE ? sk_bytes(forged, message.value.n) : sk_bytes(NULL, 0);
    if (liars.how == WITHHOLD) {
        message.key = message.signature = NULL;
        message.has_seq = false;
    }
    struct sk_buf buf;
    sk_buf_init(&buf, SK_KRPC_DATAGRAM_MAX);
    assert_int_equal(sk_krpc_write(&buf, &message), 0);
    world->tap = NULL;
    world_send(world, from, to, sk_buf_bytes(&buf));
    world->tap = lie;
    sk_buf_deinit(&buf);
    liars.lies++;
    return false;
}

static void test_loss(void **state)
{
    static const double losses[] = {0.05, 0.2};
    for (size_t i = 0; i < 2; i++) {
        struct fixture *f = set_up(40, 11 + i);
        f->world.loss = losses[i];
        put(f, 1, &(struct sk_dht_blob_config){.seed = seed, .bytes = stream(45000)});
        finish(f, 0);
        for (size_t node = 2; node < 7; node++)
            assert_gets(f, node, &by_key, stream(45000), 1);
        tear_down(f);
    }
}

static void test_liars(void **state)
{
    for (int how = SILENT; how <= WITHHOLD; how++) {
        struct fixture *f = set_up(50, 20 + (uint64_t)how);
        liars = (struct liars){.count = 20, .how = (unsigned)how};
        f->world.tap = lie;
        put(f, 1, &(struct sk_dht_blob_config){.seed = seed, .bytes = stream(30000)});
        finish(f, 0);
        for (size_t node = 2; node < 7; node++)
            assert_gets(f, node, &by_key, stream(30000), 1);
        assert_true(how == SILENT || liars.lies > 20);
        tear_down(f);
    }
}

/* A root of ours that names parts of the test's. */
static struct sk_buf make_root(size_t length, const uint8_t *hashes, size_t size,
                               struct sk_bytes whole)
{
    struct sk_buf buf;
    uint8_t sha256[SK_SHA256_SIZE];
    sk_sha256(whole.p, whole.n, sha256);
    sk_buf_init(&buf, SK_KRPC_ITEM_MAX);
    sk_bencode_put_dict(&buf);
    sk_bencode_put_text(&buf, "length");
    sk_bencode_put_int(&buf, (int64_t)length);
    sk_bencode_put_text(&buf, "parts");
    sk_bencode_put_string(&buf, sk_bytes(hashes, size));
    sk_bencode_put_text(&buf, "sha256");
    sk_bencode_put_string(&buf, sk_bytes(sha256, sizeof sha256));
    sk_bencode_put_text(&buf, "skep");
    sk_bencode_put_int(&buf, 1);
    sk_bencode_put_end(&buf);
    assert_false(buf.failed);
    return buf;
}

static void put_raw(struct fixture *f, struct sk_bytes value, bool immutable,
                    uint8_t ret_target[SK_DHT_ID_SIZE])
{
    struct runner *runner = put(
        f, 1,
        &(struct sk_dht_blob_config){.seed = immutable ? NULL : seed, .bytes = value, .raw = true});
    runners_finish(&f->world, 600);
    assert_int_equal(runner->error, 0);
    if (ret_target)
        memcpy(ret_target, result_of(runner).target, SK_DHT_ID_SIZE);
    runners_free(&f->world);
}

/* Roots that are well made and lie: about a part's kind, its size, the whole; and about parts that
 * are not there. */
static void test_lying_roots(void **state)
{
    struct fixture *f = set_up(25, 31);
    struct sk_buf parts[4];
    uint8_t hashes[4][SK_DHT_ID_SIZE];
    static const size_t sizes[] = {980, 20, 21};
    for (size_t i = 0; i < 3; i++) {
        sk_buf_init(&parts[i], 1000);
        sk_bencode_put_string(&parts[i], stream(sizes[i]));
        put_raw(f, sk_buf_bytes(&parts[i]), true, hashes[i]);
        sk_buf_deinit(&parts[i]);
    }
    put_raw(f, sk_bytes_text("l4:spame"), true, hashes[3]);
    static const struct {
        size_t part;
        bool whole;
        int error;
    } roots[] = {{1, true, 0},
                 {1, false, SKEP_ERR_MISMATCH},
                 {2, true, SKEP_ERR_MISMATCH},
                 {0, true, SKEP_ERR_MISMATCH},
                 {3, true, SKEP_ERR_MISMATCH},
                 {4, true, SKEP_ERR_MISMATCH}};
    uint8_t bytes[1000];
    memcpy(bytes, stream(980).p, 980);
    memcpy(bytes + 980, stream(20).p, 20);
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        uint8_t both[2 * SK_DHT_ID_SIZE];
        memcpy(both, hashes[0], SK_DHT_ID_SIZE);
        memset(both + SK_DHT_ID_SIZE, 7, SK_DHT_ID_SIZE);
        if (roots[i].part < 4)
            memcpy(both + SK_DHT_ID_SIZE, hashes[roots[i].part], SK_DHT_ID_SIZE);
        struct sk_buf root =
            make_root(1000, both, sizeof both, sk_bytes(bytes, roots[i].whole ? 1000 : 999));
        put_raw(f, sk_buf_bytes(&root), false, NULL);
        sk_buf_deinit(&root);
        struct runner *runner = get(f, 5, &by_key);
        finish(f, roots[i].error);
        (void)runner;
    }
    put_raw(f, sk_bytes_text("d4:skepi2ee"), false, NULL);
    get(f, 5, &by_key);
    finish(f, SKEP_ERR_UNSUPPORTED);
    put_raw(f, sk_bytes_text("d6:lengthi5e4:skepi1ee"), false, NULL);
    get(f, 5, &by_key);
    finish(f, SKEP_ERR_MISMATCH);
    tear_down(f);
}

static void test_nobody(void **state)
{
    struct fixture *f = set_up(10, 41);
    get(f, 3, &by_key);
    finish(f, SKEP_ERR_NOT_FOUND);
    f->world.loss = 1.1;
    put(f, 3, &(struct sk_dht_blob_config){.seed = seed, .bytes = stream(10)});
    finish(f, SKEP_ERR_NETWORK);
    get(f, 4, &by_key);
    finish(f, SKEP_ERR_NETWORK);
    /* A node that knows nobody. */
    f->world.loss = 0;
    struct sk_endpoint alone = world_address(100);
    world_add(&f->world, &alone, &(struct sk_dht_config){0});
    get(f, 10, &by_key);
    finish(f, SKEP_ERR_NETWORK);
    /* Who keeps waits for the network. */
    struct runner *runner =
        put(f, 10, &(struct sk_dht_blob_config){.seed = seed, .bytes = stream(2000), .keep = true});
    runners_run(&f->world, f->world.now_ns + 600 * SECOND_NS, false);
    assert_false(runner->done);
    sk_dht_add_address(f->world.nodes[10].dht, &f->world.nodes[0].endpoint, false, f->world.now_ns);
    runners_run(&f->world, f->world.now_ns + 600 * SECOND_NS, false);
    assert_false(runner->done);
    assert_string_equal(result_of(runner).what, "keeping");
    runners_free(&f->world);
    assert_gets(f, 4, &by_key, stream(2000), 1);
    tear_down(f);
}

/* ---- rivals ---- */

static void test_replaced(void **state)
{
    struct fixture *f = set_up(30, 51);
    struct runner *keeper =
        put(f, 1, &(struct sk_dht_blob_config){.seed = seed, .bytes = stream(5000), .keep = true});
    runners_run(&f->world, f->world.now_ns + 100 * SECOND_NS, false);
    assert_false(keeper->done);
    put(f, 2, &(struct sk_dht_blob_config){.seed = seed, .bytes = stream(6000)});
    runners_run(&f->world, f->world.now_ns + 100 * SECOND_NS, false);
    assert_true(f->runners.all[1].done && f->runners.all[1].error == 0);
    assert_false(keeper->done);
    /* At its next look. */
    runners_run(&f->world, f->world.now_ns + 1800 * SECOND_NS, false);
    assert_true(keeper->done);
    assert_int_equal(keeper->error, SKEP_ERR_STATE);
    assert_non_null(keeper->reason);
    runners_free(&f->world);
    assert_gets(f, 3, &by_key, stream(6000), 2);
    tear_down(f);
}

/* Two write at the same time, apart by some of a round trip: in the end one value is there, and
 * whoever was told that it is theirs, it is. */
static void race(uint64_t seed_of_world, bool cas)
{
    struct fixture *f = set_up(30, seed_of_world);
    struct sk_prng prng;
    sk_prng_init(&prng, seed_of_world);
    put(f, 0, &(struct sk_dht_blob_config){.seed = seed, .bytes = stream(3)});
    finish(f, 0);
    struct sk_dht_blob_config config = {
        .seed = seed, .bytes = stream(100), .has_cas = cas, .cas = 1};
    struct runner *one = put(f, 1, &config);
    runners_run(&f->world, f->world.now_ns + sk_prng_below(&prng, 400) * MS_NS, false);
    config.bytes = stream(101);
    struct runner *two = put(f, 2, &config);
    runners_finish(&f->world, 600);
    assert_true(one->done && two->done);
    assert_true(one->error == 0 || one->error == SKEP_ERR_STATE);
    assert_true(two->error == 0 || two->error == SKEP_ERR_STATE);
    assert_true(one->error == 0 || two->error == 0);
    assert_true(!cas || one->error || two->error);
    bool second = two->error == 0 && (one->error || result_of(two).seq > result_of(one).seq);
    int64_t seq = second ? result_of(two).seq : result_of(one).seq;
    runners_free(&f->world);
    for (size_t node = 3; node < 6; node++)
        assert_gets(f, node, &by_key, stream(second ? 101 : 100), seq);
    tear_down(f);
}

static void test_races(void **state)
{
    for (uint64_t i = 0; i < 12; i++) {
        race(100 + i, false);
        race(200 + i, true);
    }
}

/* ---- keeping ---- */

/* One node in ten dies an hour and another comes, for six hours: what is kept stays. */
static void test_keep(void **state)
{
    struct fixture *f = set_up(40, 61);
    struct sk_dht_config config = {.ids_by_address = true, .unguarded = true};
    struct runner *keeper =
        put(f, 0, &(struct sk_dht_blob_config){.seed = seed, .bytes = stream(20000), .keep = true});
    runners_run(&f->world, f->world.now_ns + 60 * SECOND_NS, false);
    size_t victim = 5;
    for (size_t hour = 0; hour < 6; hour++) {
        for (size_t i = 0; i < 4; i++) {
            runners_run(&f->world, f->world.now_ns + 900 * SECOND_NS, false);
            sk_dht_free(f->world.nodes[victim].dht);
            f->world.nodes[victim++].dht = NULL;
            struct sk_endpoint endpoint = world_address(f->world.count);
            struct sk_dht *dht = world_add(&f->world, &endpoint, &config);
            sk_dht_add_address(dht, &f->world.nodes[1].endpoint, false, f->world.now_ns);
        }
        assert_false(keeper->done);
        struct runner *reader = get(f, 2, &by_key);
        runners_run(&f->world, f->world.now_ns + 60 * SECOND_NS, false);
        assert_true(reader->done && reader->error == 0);
        assert_true(sk_bytes_equal(result_of(reader).bytes, stream(20000)));
        sk_dht_task_free(reader->task, f->world.nodes[2].dht);
        f->runners.count--;
    }
    struct sk_dht_blob_result result = result_of(keeper);
    assert_true(result.rounds >= 11 && result.rounds <= 13);
    assert_true(result.least_holding >= 4);
    assert_int_equal(result.seq, 1);
    tear_down(f);
}

/* ---- at any time ---- */

static int make_keeper(uint64_t now_ns, struct sk_dht_task **ret_task)
{
    const struct sk_dht_blob_config config = {.seed = seed, .bytes = stream(45000), .keep = true};
    return sk_dht_blob_put_new(&config, now_ns, ret_task);
}

static int make_put(uint64_t now_ns, struct sk_dht_task **ret_task)
{
    const struct sk_dht_blob_config config = {.seed = seed, .bytes = stream(2500)};
    return sk_dht_blob_put_new(&config, now_ns, ret_task);
}

static int make_get(uint64_t now_ns, struct sk_dht_task **ret_task)
{
    return sk_dht_blob_get_new(&by_key, now_ns, ret_task);
}

static void test_cancel(void **state)
{
    struct fixture *f = set_up(25, 71);
    runners_cancel_sweep(&f->world, (const runners_make_fn[]){make_keeper, make_get}, 12000);
    tear_down(f);
}

static void test_no_memory(void **state)
{
    struct fixture *f = set_up(15, 81);
    const struct sk_dht_blob_config writes = {.seed = seed, .bytes = stream(2500)};
    size_t failed[2];
    put(f, 3, &writes);
    finish(f, 0);
    runners_memory_sweep(&f->world, (const runners_make_fn[]){make_put, make_get}, failed);
    assert_true(failed[0] > 10 && failed[1] > 10);
    put(f, 3, &writes);
    finish(f, 0);
    tear_down(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss),        cmocka_unit_test(test_liars),
        cmocka_unit_test(test_lying_roots), cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_replaced),    cmocka_unit_test(test_races),
        cmocka_unit_test(test_keep),        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
