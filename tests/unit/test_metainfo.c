/*
 * wire/metainfo against libtorrent: the torrents in tests/data, made by libtorrent and mktorrent,
 * read as libtorrent reads them (expected.json), and their content verified piece by piece.
 */
#include "wire/metainfo.h"

#include <skep/err.h>

#include "base/assert.h"
#include "wire/bencode.h"
#include "wire/merkle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the ones above first */
#include <cmocka.h>
#include <jansson.h>

static const char *data_path(const char *name, char path[1024])
{
    snprintf(path, 1024, "%s/%s", getenv("SKEP_TEST_DATA"), name);
    return path;
}

static struct sk_bytes load(const char *name)
{
    char path[1024];
    FILE *file = fopen(data_path(name, path), "rb");
    uint8_t *bytes = malloc(65536);
    assert_non_null(file);
    assert_non_null(bytes);
    size_t n = fread(bytes, 1, 65536, file);
    assert_in_range(n, 1, 65535);
    fclose(file);
    return sk_bytes(bytes, n);
}

static struct sk_metainfo *parse_file(const char *name)
{
    struct sk_bytes bytes = load(name);
    struct sk_metainfo *m = NULL;
    const char *reason = "";
    int err = sk_metainfo_parse(bytes, &m, &reason);
    free((void *)bytes.p);
    if (err)
        fail_msg("%s: %s", name, reason);
    return m;
}

/* Runs a check on every torrent of expected.json; returns how many there were. */
static size_t for_each(void (*check)(const struct sk_metainfo *m, json_t *expected))
{
    char path[1024];
    const char *name;
    json_t *expected, *all = json_load_file(data_path("expected.json", path), 0, NULL);
    size_t count = json_object_size(all);
    assert_non_null(all);
    json_object_foreach(all, name, expected)
    {
        struct sk_metainfo *m = parse_file(name);
        print_message("%s\n", name);
        check(m, expected);
        sk_metainfo_free(m);
    }
    json_decref(all);
    return count;
}

static const char *text_of(json_t *expected, const char *key)
{
    return json_string_value(json_object_get(expected, key));
}

static int64_t number_of(json_t *expected, const char *key)
{
    return json_integer_value(json_object_get(expected, key));
}

static void expect_hash(const char *expected, const uint8_t *hash, size_t n)
{
    char hex[2 * SK_SHA256_SIZE + 1];
    sk_hex_encode(hash, n, hex);
    assert_string_equal(expected, hex);
}

static void check_hashes(const struct sk_metainfo *m, json_t *expected)
{
    const char *v1 = text_of(expected, "hash_v1"), *v2 = text_of(expected, "hash_v2");
    assert_int_equal(m->has_v1, v1 != NULL);
    assert_int_equal(m->has_v2, v2 != NULL);
    if (v1)
        expect_hash(v1, m->hash_v1, SK_SHA1_SIZE);
    if (v2)
        expect_hash(v2, m->hash_v2, SK_SHA256_SIZE);
    assert_memory_equal(m->info_hash, v1 ? m->hash_v1 : m->hash_v2, SK_SHA1_SIZE);
    assert_int_equal(m->hashes != NULL, v1 != NULL);
}

static void check_numbers(const struct sk_metainfo *m, json_t *expected)
{
    assert_string_equal(m->name, text_of(expected, "name"));
    assert_int_equal(m->pieces, number_of(expected, "pieces"));
    assert_int_equal(m->piece_size, number_of(expected, "piece_size"));
    if (m->has_v1)
        assert_int_equal(sk_metainfo_piece_length(m, m->pieces - 1),
                         number_of(expected, "last_piece_size"));
    uint64_t data = 0;
    for (uint32_t i = 0; i < m->pieces; i++) {
        data += sk_metainfo_piece_data(m, i);
        assert_in_range(sk_metainfo_piece_data(m, i), 0, sk_metainfo_piece_length(m, i));
        if (!m->has_v1) /* each ends with its file */
            assert_int_equal(sk_metainfo_piece_data(m, i), sk_metainfo_piece_length(m, i));
    }
    assert_int_equal(data, m->size);
    assert_int_equal(m->is_private, json_is_true(json_object_get(expected, "private")));
}

/* libtorrent's paths begin with the torrent's name where it is a directory. */
static void check_path(const struct sk_metainfo *m, const char *path, const char *expected)
{
    if (m->single_file) {
        assert_string_equal(path, expected);
        return;
    }
    size_t n = strlen(m->name);
    assert_memory_equal(expected, m->name, n);
    assert_int_equal(expected[n], '/');
    assert_string_equal(path, expected + n + 1);
}

/* In v2 alone libtorrent makes up padding files, which the torrent does not have. */
static void check_files(const struct sk_metainfo *m, json_t *expected)
{
    size_t i;
    uint64_t size = 0;
    uint32_t at = 0;
    json_t *file;
    json_array_foreach(json_object_get(expected, "files"), i, file)
    {
        bool padding = json_is_true(json_object_get(file, "padding"));
        const char *root = text_of(file, "root");
        if (padding && !m->has_v1)
            continue;
        assert_true(at < m->files_count);
        const struct sk_file *got = &m->files[at++];
        assert_int_equal(padding, (got->flags & SK_FILE_PADDING) != 0);
        assert_int_equal(got->length, number_of(file, "size"));
        if (!padding)
            check_path(m, got->path, text_of(file, "path"));
        if (got->length) {
            assert_int_equal(got->offset, number_of(file, "offset"));
            assert_int_equal(got->first_piece, got->offset / m->piece_size);
        }
        assert_int_equal(root != NULL, got->root != NULL);
        if (root)
            expect_hash(root, got->root, SK_SHA256_SIZE);
        size += padding ? 0 : got->length;
    }
    assert_int_equal(at, m->files_count);
    assert_int_equal(size, m->size);
}

static bool has_tracker(const struct sk_metainfo *m, const char *url, json_int_t tier)
{
    for (uint32_t i = 0; i < m->trackers_count; i++)
        if (strcmp(m->trackers[i], url) == 0)
            return m->tiers[i] == tier;
    return false;
}

static void check_outside(const struct sk_metainfo *m, json_t *expected)
{
    size_t i;
    json_t *tracker, *trackers = json_object_get(expected, "trackers");
    assert_int_equal(m->trackers_count, json_array_size(trackers));
    json_array_foreach(trackers, i, tracker)
    {
        assert_true(has_tracker(m, json_string_value(json_array_get(tracker, 0)),
                                json_integer_value(json_array_get(tracker, 1))));
    }
    assert_string_equal(m->comment ? m->comment : "", text_of(expected, "comment"));
    assert_string_equal(m->created_by ? m->created_by : "", text_of(expected, "creator"));
}

static void check_all(const struct sk_metainfo *m, json_t *expected)
{
    check_hashes(m, expected);
    check_numbers(m, expected);
    check_files(m, expected);
    check_outside(m, expected);
}

static void reads_what_libtorrent_reads(void **state)
{
    assert_int_equal(for_each(check_all), 8);
}

/* FILES of tests/data/make.py, whose places there decide about their content. */
static uint32_t content_number(const struct sk_metainfo *m, const char *path)
{
    static const char *const paths[] = {
        "alpha/one.bin",
        "alpha/two.bin",
        "beta/deep/er/three.bin",
        "beta/empty",
        "beta/four \u00e4\u4e2d.txt",
        "zeta.bin",
    };
    for (uint32_t i = 0; i < SK_ARRAY_LEN(paths); i++)
        if (!m->single_file && strcmp(paths[i], path) == 0)
            return i;
    assert_true(m->single_file);
    return 0;
}

/* The bytes of a piece as tests/data/make.py made them; padding and gaps are zero. */
static struct sk_bytes make_piece(const struct sk_metainfo *m, uint32_t piece, uint8_t *buffer)
{
    uint64_t start = (uint64_t)piece * m->piece_size, end = start + m->piece_size;
    memset(buffer, 0, m->piece_size);
    for (uint32_t f = 0; f < m->files_count; f++) {
        const struct sk_file *file = &m->files[f];
        if (file->flags & SK_FILE_PADDING)
            continue;
        uint32_t number = content_number(m, file->path);
        uint64_t from = SK_MAX(file->offset, start), to = SK_MIN(file->offset + file->length, end);
        for (uint64_t at = from; at < to; at++) {
            uint64_t i = at - file->offset;
            buffer[at - start] = (uint8_t)(number * 31 + i * 7 + i / 251);
        }
    }
    return sk_bytes(buffer, sk_metainfo_piece_length(m, piece));
}

static void check_pieces(const struct sk_metainfo *m, json_t *expected)
{
    uint8_t *buffer = malloc(m->piece_size);
    assert_non_null(buffer);
    for (uint32_t piece = 0; piece < m->pieces; piece++) {
        struct sk_bytes data = make_piece(m, piece, buffer);
        assert_int_equal(sk_metainfo_verify_piece(m, piece, data), 1);
        buffer[data.n / 2] ^= 1;
        assert_int_equal(sk_metainfo_verify_piece(m, piece, data), 0);
        buffer[data.n / 2] ^= 1;
        data.n--;
        assert_int_equal(sk_metainfo_verify_piece(m, piece, data), 0);
        const struct sk_file *file = &m->files[sk_metainfo_piece_file(m, piece)];
        uint64_t start = (uint64_t)piece * m->piece_size;
        assert_true(file->offset <= start && start < file->offset + file->length);
    }
    free(buffer);
}

static void verifies_the_pieces(void **state)
{
    assert_int_equal(for_each(check_pieces), 8);
}

/* In a hybrid both halves lead to the same answer. */
static void hybrid_halves_verify_alike(void **state)
{
    static const char *const names[] = {"hybrid-single.torrent", "hybrid-multi.torrent"};
    for (size_t i = 0; i < SK_ARRAY_LEN(names); i++) {
        struct sk_metainfo *m = parse_file(names[i]);
        struct sk_metainfo v2 = *m; /* a view of its v2 half */
        uint8_t *buffer = malloc(m->piece_size);
        assert_non_null(buffer);
        v2.has_v1 = false;
        for (uint32_t piece = 0; piece < m->pieces; piece++) {
            struct sk_bytes data = make_piece(m, piece, buffer);
            assert_int_equal(sk_metainfo_verify_piece(m, piece, data), 1);
            data.n = sk_metainfo_piece_length(&v2, piece);
            assert_int_equal(sk_metainfo_verify_piece(&v2, piece, data), 1);
        }
        free(buffer);
        sk_metainfo_free(m);
    }
}

static void reads_the_envelope(void **state)
{
    struct sk_metainfo *m = parse_file("v1-multi.torrent");
    static const char *const trackers[] = {"http://tracker.example/announce",
                                           "udp://tracker.example:6969/announce",
                                           "https://[2001:db8::1]/announce?key=1"};
    assert_int_equal(m->trackers_count, SK_ARRAY_LEN(trackers));
    for (uint32_t i = 0; i < m->trackers_count; i++) {
        assert_string_equal(m->trackers[i], trackers[i]);
        assert_int_equal(m->tiers[i], i == 2);
    }
    assert_int_equal(m->web_seeds_count, 1);
    assert_string_equal(m->web_seeds[0], "http://seed.example/files/");
    assert_int_equal(m->nodes_count, 1);
    assert_string_equal(m->nodes[0], "router.example:6881");
    assert_int_equal(m->created_s, 1600000000);
    assert_false(m->single_file);
    sk_metainfo_free(m);
}

/* The info dictionary alone, as it comes from peers: v2 layers arrive later. */
static void reads_an_info_dictionary_and_takes_layers(void **state)
{
    struct sk_metainfo *full = parse_file("v2-multi.torrent"), *m;
    assert_int_equal(sk_metainfo_parse_info(full->info, &m, NULL), 0);
    assert_memory_equal(m->hash_v2, full->hash_v2, SK_SHA256_SIZE);
    assert_int_equal(m->pieces, full->pieces);
    assert_int_equal(m->trackers_count, 0);
    uint8_t *buffer = malloc(m->piece_size);
    assert_non_null(buffer);
    struct sk_bytes piece = make_piece(m, 0, buffer);
    assert_null(sk_metainfo_piece_root(m, 0));
    assert_int_equal(sk_metainfo_verify_piece(m, 0, piece), SKEP_ERR_NOT_FOUND);

    struct sk_bytes layer = full->files[0].layer;
    uint8_t *wrong = malloc(layer.n);
    assert_non_null(wrong);
    memcpy(wrong, layer.p, layer.n);
    wrong[40] ^= 4;
    assert_int_equal(sk_metainfo_set_layer(m, 0, sk_bytes(wrong, layer.n)), SKEP_ERR_MISMATCH);
    struct sk_bytes cut = sk_bytes(layer.p, layer.n - SK_SHA256_SIZE);
    assert_int_equal(sk_metainfo_set_layer(m, 0, cut), SKEP_ERR_MISMATCH);
    assert_null(sk_metainfo_piece_root(m, 0));
    assert_int_equal(sk_metainfo_set_layer(m, 0, layer), 0);
    assert_int_equal(sk_metainfo_set_layer(m, 0, layer), 0);
    assert_int_equal(sk_metainfo_set_layer(m, 0, sk_bytes(wrong, layer.n)), SKEP_ERR_MISMATCH);
    assert_memory_equal(sk_metainfo_piece_root(m, 0), layer.p, SK_SHA256_SIZE);
    assert_int_equal(sk_metainfo_verify_piece(m, 0, piece), 1);
    /* A file of one piece has no layer: its root is the piece's hash. */
    assert_int_equal(sk_metainfo_set_layer(m, 1, layer), SKEP_ERR_MISMATCH);
    assert_ptr_equal(sk_metainfo_piece_root(m, m->files[1].first_piece), m->files[1].root);
    free(wrong);
    free(buffer);
    sk_metainfo_free(m);
    sk_metainfo_free(full);
}

/* Every byte of a real torrent changed in turn: whatever is accepted keeps its promises. */
static void survives_any_changed_byte(void **state)
{
    static const char *const names[] = {"hybrid-multi.torrent", "v1-multi.torrent",
                                        "v2-multi.torrent"};
    for (size_t i = 0; i < SK_ARRAY_LEN(names); i++) {
        struct sk_bytes bytes = load(names[i]);
        uint8_t *p = (uint8_t *)bytes.p;
        size_t refused = 0;
        for (size_t at = 0; at < bytes.n; at++) {
            struct sk_metainfo *m = NULL;
            const char *reason = NULL;
            p[at] ^= 1 << at % 7;
            if (sk_metainfo_parse(bytes, &m, &reason) == 0) {
                assert_null(reason);
                assert_in_range(sk_metainfo_piece_file(m, m->pieces - 1), 0, m->files_count - 1);
                assert_in_range(sk_metainfo_piece_length(m, m->pieces - 1), 1, m->piece_size);
            } else {
                refused++;
                assert_null(m);
                assert_non_null(reason);
            }
            p[at] ^= 1 << at % 7;
            sk_metainfo_free(m);
        }
        assert_in_range(refused, 1, bytes.n - 1);
        free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_libtorrent_reads),
        cmocka_unit_test(verifies_the_pieces),
        cmocka_unit_test(hybrid_halves_verify_alike),
        cmocka_unit_test(reads_the_envelope),
        cmocka_unit_test(reads_an_info_dictionary_and_takes_layers),
        cmocka_unit_test(survives_any_changed_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
