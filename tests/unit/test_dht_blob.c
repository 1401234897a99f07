/* Bytes in the DHT: the format (docs/STORING.md), and storing and fetching in a small network. */
#include "dht_blob_world.h"

/* ---- the format ---- */

static void assert_hex(const uint8_t *p, size_t n, const char *hex)
{
    char text[256];
    sk_hex_encode(p, n, text);
    assert_string_equal(text, hex);
}

static void test_text_keys(void **state)
{
    static const struct {
        const char *text, *seed, *key, *target;
    } vectors[] = {
        {"", "43624ceece8488d9d844883451c1a3e74fd06ab8c64384d85497a2d0c58f6e78",
         "45f9331a2dcba7898d5b8112cdbffdff4df6226f1e787c0d3fc60585fb045d01",
         "01ef56eec24d228ff5f93e6276366d3909b3339b"},
        {"hello", "cc31439e2a885779dcbebc964028f2e7c1a20805da052091e4c1c2a9a10a8b4e",
         "8dfde5daafa9290f764024d3d880735efc0a6e92496b9323021854965d1af573",
         "96df9e28d0a75c96a15cc0ff91ab881965b775ca"},
        {"Bienenkorb \xc3\xa4", "18a39d5119512c0d41e9d315587cc25d0463d2dfcc20bab37271c06ae6d90ea7",
         "ee70c0790ffa8699addc73af84ef068fb6c7b7d7c7f37acef9e7567dd13c89d4",
         "e8ee1dfcb5f1970284eb0e3fb547b9852fc45f2c"},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint8_t made[SK_SIGN_SEED_SIZE], public[SK_SIGN_PUBLIC_SIZE], target[SK_DHT_ID_SIZE];
        sk_dht_blob_seed(sk_bytes_text(vectors[i].text), made);
        assert_hex(made, sizeof made, vectors[i].seed);
        assert_int_equal(sk_sign_public(made, public), 0);
        assert_hex(public, sizeof public, vectors[i].key);
        sk_dht_item_target_mutable(public, sk_bytes(NULL, 0), target);
        assert_hex(target, sizeof target, vectors[i].target);
    }
}

static const struct {
    size_t size;
    unsigned levels;
    uint32_t items;
    size_t root_size;
    const char *root_hash;
} cuts[] = {
    {0, 0, 1, 2, "b44b82a4bc6c35f6ad5e9fceefef9509c17fba74"},
    {1, 0, 1, 3, "24efb08adb8f57acf7d2bf098a773855a4993384"},
    {995, 0, 1, 999, "523bc413f3123945048370cd47fde893e8af3531"},
    {996, 1, 3, 117, "91333c16885b4d7173d53c691642327bd8f18147"},
    {1000, 1, 3, 118, "b6e8a6bc575bb2d48d5d5b79c70b8bc571311a1b"},
    {39200, 1, 41, 880, "37db64a61766ef60a366c30f998104e3e9741575"},
    {39201, 2, 43, 99, "1efe07654f3954ce3d894f161a7289ac34351682"},
    {45000, 2, 48, 99, "05b406ca82d09bfbb5d850a13aa77bcdcb61e000"},
    {1048576, 2, 1093, 522, "356cdfd6f37e45e00b4b17694ee7da9956fec4e7"},
};

/* What was cut comes together again, parts from the top down, and is what it was. */
static void assert_reads_back(const struct sk_dht_blob *cut, struct sk_bytes root,
                              struct sk_bytes bytes)
{
    struct sk_dht_blob read;
    struct sk_buf value;
    sk_buf_init(&value, SK_KRPC_ITEM_MAX);
    assert_int_equal(sk_dht_blob_open(root, &read), 0);
    assert_int_equal(read.levels, cut->levels);
    uint32_t known = (uint32_t)(read.levels ? read.size[0] / SK_DHT_ID_SIZE : 0);
    for (uint32_t i = 0; i < sk_dht_blob_count(&read); i++) {
        struct sk_dht_blob_part part = sk_dht_blob_part(cut, i);
        struct sk_dht_blob_part place = sk_dht_blob_part(&read, i);
        uint8_t hash[SK_SHA1_SIZE];
        value.n = 0;
        sk_dht_blob_write_part(&value, &part);
        assert_true(value.n < 1000);
        sk_sha1(value.p, value.n, hash);
        assert_true(i < known);
        assert_memory_equal(place.target, hash, sizeof hash);
        assert_true(sk_dht_blob_accept(&read, i, sk_buf_bytes(&value)));
        if (!place.leaf) {
            assert_int_equal(place.children, known);
            known += place.children_count;
        }
    }
    assert_int_equal(known, sk_dht_blob_count(&read));
    assert_true(read.levels == 0 || sk_dht_blob_whole(&read));
    assert_true(sk_bytes_equal(sk_dht_blob_bytes(&read), bytes));
    if (bytes.n > 1000) {
        read.area[read.levels][bytes.n - 1] ^= 1;
        assert_false(sk_dht_blob_whole(&read));
    }
    sk_dht_blob_deinit(&read);
    sk_buf_deinit(&value);
}

static void test_cuts(void **state)
{
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        struct sk_bytes bytes = stream(cuts[i].size);
        struct sk_dht_blob blob;
        struct sk_buf root;
        uint8_t hash[SK_SHA1_SIZE];
        assert_int_equal(sk_dht_blob_cut(bytes, &blob), 0);
        sk_buf_init(&root, SK_KRPC_ITEM_MAX);
        sk_dht_blob_write_root(&root, &blob);
        assert_int_equal(blob.levels, cuts[i].levels);
        assert_int_equal(sk_dht_blob_count(&blob) + 1, cuts[i].items);
        assert_int_equal(root.n, cuts[i].root_size);
        sk_sha1(root.p, root.n, hash);
        assert_hex(hash, sizeof hash, cuts[i].root_hash);
        assert_reads_back(&blob, sk_buf_bytes(&root), bytes);
        sk_buf_deinit(&root);
        sk_dht_blob_deinit(&blob);
    }
    struct sk_dht_blob blob;
    assert_int_equal(sk_dht_blob_cut(sk_bytes(stream(1).p, SK_DHT_BLOB_MAX + 1), &blob),
                     SKEP_ERR_LIMIT);
}

/* A root as a template of printf: length, hashes (count), version. */
static int open_root(long long length, size_t hashes, size_t sha256, long long version)
{
    struct sk_buf buf;
    struct sk_dht_blob blob = {0};
    uint8_t zeros[4096] = {0};
    sk_buf_init(&buf, 8192);
    sk_bencode_put_dict(&buf);
    sk_bencode_put_text(&buf, "length");
    sk_bencode_put_int(&buf, length);
    sk_bencode_put_text(&buf, "parts");
    sk_bencode_put_string(&buf, sk_bytes(zeros, hashes));
    sk_bencode_put_text(&buf, "sha256");
    sk_bencode_put_string(&buf, sk_bytes(zeros, sha256));
    sk_bencode_put_text(&buf, "skep");
    sk_bencode_put_int(&buf, version);
    sk_bencode_put_end(&buf);
    int err = sk_dht_blob_open(sk_buf_bytes(&buf), &blob);
    assert_true(err || !blob.is_value);
    sk_dht_blob_deinit(&blob);
    sk_buf_deinit(&buf);
    return err;
}

static void test_hostile_roots(void **state)
{
    assert_int_equal(open_root(996, 40, 32, 1), 0);
    assert_int_equal(open_root(1048576, 440, 32, 1), 0);
    assert_int_equal(open_root(996, 40, 32, 2), SKEP_ERR_UNSUPPORTED);
    static const struct {
        long long length;
        size_t hashes, sha256;
        long long version;
    } wrong[] = {
        {995, 20, 32, 1},      {0, 0, 32, 1},     {-1, 40, 32, 1},       {1048577, 440, 32, 1},
        {INT64_MAX, 0, 32, 1}, {996, 20, 32, 1},  {996, 60, 32, 1},      {996, 39, 32, 1},
        {996, 40, 31, 1},      {996, 40, 33, 1},  {39200, 820, 32, 1},   {39201, 820, 32, 1},
        {996, 40, 32, 0},      {996, 40, 32, -1}, {1048576, 420, 32, 1}, {996, 0, 32, 1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(
            open_root(wrong[i].length, wrong[i].hashes, wrong[i].sha256, wrong[i].version),
            SKEP_ERR_MISMATCH);
}

static void test_other_values(void **state)
{
    static const char *const values[] = {"i5e", "le", "de", "d4:skep1:1e", "d6:lengthi996ee"};
    struct sk_dht_blob blob;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct sk_bytes value = sk_bytes_text(values[i]);
        assert_int_equal(sk_dht_blob_open(value, &blob), 0);
        assert_true(blob.is_value && sk_bytes_equal(sk_dht_blob_bytes(&blob), value));
        sk_dht_blob_deinit(&blob);
        assert_int_equal(sk_dht_blob_raw(value, &blob), 0);
        assert_true(sk_bytes_equal(sk_dht_blob_bytes(&blob), value));
        sk_dht_blob_deinit(&blob);
    }
    assert_int_equal(sk_dht_blob_open(sk_bytes_text("5:spam"), &blob), SKEP_ERR_MALFORMED);
    assert_int_equal(sk_dht_blob_raw(sk_bytes_text("spam"), &blob), SKEP_ERR_INVALID);
    assert_int_equal(sk_dht_blob_raw(sk_bytes_text("d1:b0:1:a0:e"), &blob), SKEP_ERR_INVALID);
    assert_int_equal(sk_dht_blob_raw(stream(1001), &blob), SKEP_ERR_LIMIT);
}

static void test_wrong_parts(void **state)
{
    struct sk_dht_blob blob;
    struct sk_buf value;
    assert_int_equal(sk_dht_blob_cut(stream(1500), &blob), 0);
    sk_buf_init(&value, 2000);
    static const size_t sizes[] = {0, 519, 521, 980};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        value.n = 0;
        sk_bencode_put_string(&value, stream(sizes[i]));
        assert_false(sk_dht_blob_accept(&blob, 1, sk_buf_bytes(&value)));
    }
    assert_false(sk_dht_blob_accept(&blob, 1, sk_bytes_text("i520e")));
    assert_false(sk_dht_blob_accept(&blob, 1, sk_bytes_text("520:")));
    value.n = 0;
    sk_bencode_put_string(&value, stream(520));
    assert_true(sk_dht_blob_accept(&blob, 1, sk_buf_bytes(&value)));
    sk_buf_deinit(&value);
    sk_dht_blob_deinit(&blob);
}

/* ---- in a network ---- */

static void test_round_trips(void **state)
{
    static const size_t sizes[] = {0, 1, 994, 995, 996, 997, 998, 999, 1000, 1001, 45000};
    struct fixture *f = set_up(40, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct sk_bytes bytes = stream(sizes[i]);
        struct runner *runner =
            put(f, i, &(struct sk_dht_blob_config){.seed = seed, .bytes = bytes});
        runners_finish(&f->world, 600);
        assert_int_equal(runner->error, 0);
        struct sk_dht_blob_result result = result_of(runner);
        assert_int_equal(result.seq, i + 1);
        assert_int_equal(result.closest, SK_DHT_K);
        assert_true(result.holding >= 7 && result.least_holding >= 4);
        assert_int_equal(result.items_done, result.items);
        assert_memory_equal(result.key, key, sizeof key);
        runners_free(&f->world);
        assert_gets(f, 39 - i, &by_key, stream(sizes[i]), (int64_t)i + 1);

        struct runner *immutable = put(f, i, &(struct sk_dht_blob_config){.bytes = bytes});
        runners_finish(&f->world, 600);
        assert_int_equal(immutable->error, 0);
        uint8_t hash[SK_DHT_ID_SIZE];
        result = result_of(immutable);
        memcpy(hash, result.target, sizeof hash);
        assert_null(result.key);
        runners_free(&f->world);
        assert_gets(f, 39 - i, &(struct sk_dht_blob_config){.hash = hash}, stream(sizes[i]), 0);
    }
    tear_down(f);
}

static void test_one_mebibyte(void **state)
{
    struct fixture *f = set_up(40, 2);
    put(f, 3, &(struct sk_dht_blob_config){.seed = seed, .bytes = stream(SK_DHT_BLOB_MAX)});
    finish(f, 0);
    struct runner *runner = get(f, 30, &by_key);
    runners_finish(&f->world, 600);
    assert_int_equal(runner->error, 0);
    assert_true(runner->progress > 10);
    assert_true(sk_bytes_equal(result_of(runner).bytes, stream(SK_DHT_BLOB_MAX)));
    runners_free(&f->world);

    /* All parts but the last have one hash. */
    static const uint8_t zeros[200000];
    put(f, 3, &(struct sk_dht_blob_config){.seed = seed, .bytes = sk_bytes(zeros, sizeof zeros)});
    finish(f, 0);
    assert_gets(f, 7, &by_key, sk_bytes(zeros, sizeof zeros), 2);
    tear_down(f);
}

static void test_salt_raw_and_seq(void **state)
{
    struct fixture *f = set_up(20, 3);
    struct sk_bytes salt = sk_bytes_text("salt"), value = sk_bytes_text("d1:ai1ee");
    struct sk_dht_blob_config config = {
        .seed = seed, .salt = salt, .bytes = value, .raw = true, .has_seq = true, .seq = 7};
    struct sk_dht_blob_config salted = {.key = key, .salt = salt};
    put(f, 1, &config);
    finish(f, 0);
    struct runner *runner = get(f, 9, &salted);
    runners_finish(&f->world, 60);
    assert_true(runner->error == 0 && result_of(runner).is_value);
    runners_free(&f->world);
    assert_gets(f, 9, &salted, value, 7);
    /* Without the salt there is nothing. */
    get(f, 9, &by_key);
    finish(f, SKEP_ERR_NOT_FOUND);
    /* The same again refreshes; another value or a lower seq does not go in. */
    put(f, 2, &config);
    finish(f, 0);
    config.bytes = sk_bytes_text("i2e");
    put(f, 2, &config);
    finish(f, SKEP_ERR_STATE);
    config.seq = 6;
    put(f, 2, &config);
    finish(f, SKEP_ERR_STATE);
    config.has_seq = false;
    config.has_cas = true;
    config.cas = 6;
    put(f, 2, &config);
    finish(f, SKEP_ERR_STATE);
    config.cas = 7;
    put(f, 2, &config);
    finish(f, 0);
    assert_gets(f, 9, &salted, config.bytes, 8);
    tear_down(f);
}

static void test_configs(void **state)
{
    struct sk_dht_task *task = NULL;
    uint8_t hash[SK_DHT_ID_SIZE] = {0};
    static const uint8_t long_salt[65];
    const struct sk_dht_blob_config puts[] = {
        {.key = key},
        {.hash = hash},
        {.seed = seed, .salt = {long_salt, 65}},
        {.raw = true},
        {.seed = seed, .has_seq = true, .seq = -1},
    };
    for (size_t i = 0; i < sizeof puts / sizeof *puts; i++)
        assert_int_equal(sk_dht_blob_put_new(&puts[i], 0, &task), SKEP_ERR_INVALID);
    assert_int_equal(
        sk_dht_blob_put_new(
            &(struct sk_dht_blob_config){.bytes = {stream(0).p, SK_DHT_BLOB_MAX + 1}}, 0, &task),
        SKEP_ERR_LIMIT);
    const struct sk_dht_blob_config gets[] = {{0}, {.key = key, .hash = hash}};
    for (size_t i = 0; i < sizeof gets / sizeof *gets; i++)
        assert_int_equal(sk_dht_blob_get_new(&gets[i], 0, &task), SKEP_ERR_INVALID);
    assert_null(task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_keys),        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_hostile_roots),    cmocka_unit_test(test_other_values),
        cmocka_unit_test(test_wrong_parts),      cmocka_unit_test(test_configs),
        cmocka_unit_test(test_round_trips),      cmocka_unit_test(test_one_mebibyte),
        cmocka_unit_test(test_salt_raw_and_seq),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
