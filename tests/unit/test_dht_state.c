/* Saved nodes of the DHT: what is written is read again, and hostile files do no harm. */
#include "store/dht_state.h"

#include <skep/err.h>

#include "base/prng.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct folder {
    char path[64];
};

static int folder_setup(void **state)
{
    static struct folder folder;
    strcpy(folder.path, "/tmp/skep-state-XXXXXX");
    *state = &folder;
    return mkdtemp(folder.path) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *walk)
{
    return remove(path);
}

static int folder_teardown(void **state)
{
    struct folder *folder = *state;
    return nftw(folder->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct sk_saved_node node_at(unsigned i)
{
    struct sk_saved_node node = {.id = {(uint8_t)i, (uint8_t)(i >> 8)}};
    const uint8_t v4[4] = {192, 0, (uint8_t)(i >> 8), (uint8_t)i};
    const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [14] = (uint8_t)(i >> 8), (uint8_t)i};
    node.endpoint = i % 3 ? sk_endpoint_v4(v4, 6881) : sk_endpoint_v6(v6, 6881);
    return node;
}

static void test_round_trip(void **state)
{
    struct folder *folder = *state;
    char directory[300];
    struct sk_saved_nodes saved = {.saved_unix_s = 1700000000, .has_id = {true, true}}, read;
    memset(saved.id[0], 4, 20);
    memset(saved.id[1], 6, 20);
    for (unsigned i = 0; i < 2 * SK_DHT_STATE_NODES_MAX; i++) {
        struct sk_saved_node node = node_at(i);
        sk_dht_state_add(&saved, &node);
        sk_dht_state_add(&saved, &node);
    }
    assert_int_equal(SK_DHT_STATE_NODES_MAX, saved.count);
    snprintf(directory, sizeof directory, "%s/deep/er", folder->path);
    assert_int_equal(SKEP_ERR_NOT_FOUND, sk_dht_state_read(directory, &read));
    for (int round = 0; round < 2; round++) {
        assert_int_equal(0, sk_dht_state_write(directory, &saved));
        assert_int_equal(0, sk_dht_state_read(directory, &read));
        assert_int_equal(saved.count, read.count);
        assert_memory_equal(saved.id, read.id, sizeof saved.id);
        assert_true(read.has_id[0] && read.has_id[1]);
        assert_int_equal(saved.saved_unix_s, read.saved_unix_s);
        size_t found = 0;
        for (size_t i = 0; i < saved.count; i++)
            for (size_t j = 0; j < read.count; j++)
                found += sk_endpoint_equal(&saved.nodes[i].endpoint, &read.nodes[j].endpoint) &&
                         memcmp(saved.nodes[i].id, read.nodes[j].id, 20) == 0;
        assert_int_equal(saved.count, found);
    }
    char path[400];
    struct stat about;
    snprintf(path, sizeof path, "%s/%s", directory, SK_DHT_STATE_FILE);
    assert_int_equal(0, stat(path, &about));
    assert_int_equal(0600, about.st_mode & 0777);
}

static int parse(const char *text, struct sk_saved_nodes *ret_saved)
{
    return sk_dht_state_parse(sk_bytes_text(text), ret_saved);
}

static void test_files_that_are_none(void **state)
{
    static const char *const wrong[] = {
        "", "i1e", "le", "d", "d2:id", "garbage", "d2:id20:abce", "d5:nodes3:abc2:id1:xe"};
    struct sk_saved_nodes saved = {.count = 77};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(SKEP_ERR_MALFORMED, parse(wrong[i], &saved));
    assert_int_equal(77, saved.count); /* untouched */
    assert_int_equal(0, parse("d2:id3:abc5:nodes3:abc4:time1:xe", &saved));
    assert_false(saved.has_id[0]);
    assert_int_equal(0, saved.count);
}

/* Port 0, 0.0.0.0, multicast: nobody is there. */
static void test_addresses_that_nobody_has(void **state)
{
    static const uint8_t addresses[4][6] = {{192, 0, 2, 1, 0, 0},
                                            {0, 0, 0, 0, 26, 225},
                                            {224, 0, 0, 1, 26, 225},
                                            {192, 0, 2, 1, 26, 225}};
    struct sk_saved_nodes saved;
    struct sk_buf file;
    sk_buf_init(&file, 4096);
    sk_buf_text(&file, "d5:nodes104:");
    for (int i = 0; i < 4; i++) {
        sk_buf_text(&file, "01234567890123456789");
        sk_buf_append(&file, addresses[i], 6);
    }
    sk_buf_text(&file, "e");
    assert_int_equal(0, sk_dht_state_parse(sk_buf_bytes(&file), &saved));
    assert_int_equal(1, saved.count);
    assert_int_equal(6881, saved.nodes[0].endpoint.port);
    sk_buf_deinit(&file);
}

static void test_changed_bytes(void **state)
{
    struct folder *folder = *state;
    struct sk_saved_nodes saved = {.has_id = {true, false}}, read;
    struct sk_prng prng;
    char path[400];
    uint8_t bytes[8192];
    sk_prng_init(&prng, 1);
    for (unsigned i = 0; i < 30; i++) {
        struct sk_saved_node node = node_at(i);
        sk_dht_state_add(&saved, &node);
    }
    assert_int_equal(0, sk_dht_state_write(folder->path, &saved));
    snprintf(path, sizeof path, "%s/%s", folder->path, SK_DHT_STATE_FILE);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_true(n > 26 * 20 && n < sizeof bytes);
    unsigned good = 0;
    for (int i = 0; i < 20000; i++) {
        uint8_t *copy = malloc(n); /* so that a sanitizer sees its end */
        assert_non_null(copy);
        memcpy(copy, bytes, n);
        for (uint64_t changes = 1 + sk_prng_below(&prng, 4); changes; changes--)
            copy[sk_prng_below(&prng, n)] = (uint8_t)sk_prng_u64(&prng);
        size_t length = sk_prng_below(&prng, 4) ? n : sk_prng_below(&prng, n);
        if (!sk_dht_state_parse(sk_bytes(copy, length), &read)) {
            assert_true(read.count <= 30);
            good++;
        }
        free(copy);
    }
    assert_in_range(good, 1, 20000);
}

static void test_a_directory_that_cannot_be(void **state)
{
    struct folder *folder = *state;
    struct sk_saved_nodes saved = {.count = 0};
    char path[400];
    snprintf(path, sizeof path, "%s/file", folder->path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(SKEP_ERR_IO, sk_dht_state_write(path, &saved));
    assert_int_equal(SKEP_ERR_IO, sk_dht_state_read(path, &saved));
    assert_int_equal(ENOTDIR, errno);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, folder_setup, folder_teardown),
        cmocka_unit_test(test_files_that_are_none),
        cmocka_unit_test(test_addresses_that_nobody_has),
        cmocka_unit_test_setup_teardown(test_changed_bytes, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_a_directory_that_cannot_be, folder_setup,
                                        folder_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
