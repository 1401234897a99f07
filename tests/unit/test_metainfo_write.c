/* Torrents that are written read back as what they were written from; some shapes by their bytes.
 */
#include "wire/metainfo_write.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/prng.h"
#include "wire/bencode.h"
#include "wire/magnet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { FILES_MAX = 12, ROUNDS = 400 };

/* A description with all that it owns. */
struct made {
    struct sk_metainfo m;
    struct sk_file given[FILES_MAX], *files;
    char paths[FILES_MAX][64];
    uint8_t *hashes, *piece_roots, *roots;
    const char *trackers[4], *web_seeds[2];
    uint32_t tiers[4];
};

static void free_made(struct made *made)
{
    sk_mem_free(made->files);
    sk_mem_free(made->hashes);
    sk_mem_free(made->piece_roots);
    sk_mem_free(made->roots);
}

/* Paths that ascend element by element, some of them in directories. */
static void make_files(struct made *made, struct sk_prng *prng, uint32_t count)
{
    static const char *const shapes[] = {"%02u/a", "%02u/b/c", "%02u/b/d.e", "%02u/b.x", "%02uz"};
    const uint32_t piece = made->m.piece_size;
    const uint64_t lengths[] = {0, 1, SK_BLOCK_SIZE, piece - 1, piece, piece + 1, 3 * piece, 100};
    uint32_t number = 0;
    for (uint32_t i = 0; i < count; i++) {
        number += 1 + (uint32_t)sk_prng_below(prng, 3);
        snprintf(made->paths[i], sizeof made->paths[i], shapes[number % SK_ARRAY_LEN(shapes)],
                 number / (unsigned)SK_ARRAY_LEN(shapes));
        made->given[i] = (struct sk_file){
            .path = made->m.single_file ? made->m.name : made->paths[i],
            .length = lengths[sk_prng_below(prng, SK_ARRAY_LEN(lengths))],
            .flags = sk_prng_below(prng, 2) ? SK_FILE_EXECUTABLE : 0,
        };
    }
}

static void hash_files(struct made *made, struct sk_prng *prng)
{
    struct sk_metainfo *m = &made->m;
    made->hashes = sk_mem_calloc(m->pieces, SK_SHA1_SIZE);
    made->piece_roots = sk_mem_calloc(m->pieces, SK_SHA256_SIZE);
    sk_prng_bytes(prng, made->hashes, (size_t)m->pieces * SK_SHA1_SIZE);
    sk_prng_bytes(prng, made->piece_roots, (size_t)m->pieces * SK_SHA256_SIZE);
    m->hashes = m->has_v1 ? made->hashes : NULL;
    if (m->has_v2)
        assert_int_equal(0,
                         sk_metainfo_root_files(m, made->files, made->piece_roots, &made->roots));
}

static void make_outside(struct made *made, struct sk_prng *prng)
{
    static const char *const urls[] = {"http://t.example/a", "udp://t.example:1", "https://u/x?y=z",
                                       "wss://w"};
    struct sk_metainfo *m = &made->m;
    uint32_t tier = 0;
    m->trackers_count = (uint32_t)sk_prng_below(prng, 5);
    for (uint32_t i = 0; i < m->trackers_count; i++) {
        tier += i && sk_prng_below(prng, 2);
        made->trackers[i] = urls[i];
        made->tiers[i] = tier;
    }
    m->trackers = made->trackers;
    m->tiers = made->tiers;
    m->web_seeds_count = (uint32_t)sk_prng_below(prng, 3);
    made->web_seeds[0] = "http://seed.example/";
    made->web_seeds[1] = "https://seed.example/d/";
    m->web_seeds = made->web_seeds;
    m->is_private = sk_prng_below(prng, 2);
    m->comment = sk_prng_below(prng, 2) ? "what \u00e4" : NULL;
    m->created_by = sk_prng_below(prng, 2) ? "a test" : NULL;
    m->created_s = sk_prng_below(prng, 2) ? 1600000000 : 0;
}

static void make(struct made *made, struct sk_prng *prng)
{
    uint32_t kind = (uint32_t)sk_prng_below(prng, 3);
    uint32_t count = 1 + (uint32_t)sk_prng_below(prng, FILES_MAX);
    *made = (struct made){0};
    made->m.name = "top";
    made->m.has_v1 = kind != 1;
    made->m.has_v2 = kind != 0;
    made->m.piece_size = SK_BLOCK_SIZE << sk_prng_below(prng, 4);
    made->m.single_file = count == 1 && sk_prng_below(prng, 2);
    make_files(made, prng, count);
    assert_int_equal(0, sk_metainfo_lay_out(&made->m, made->given, count, &made->files));
    if (made->m.pieces == 0) { /* no data is no torrent */
        sk_mem_free(made->files);
        made->given[0].length = 5;
        assert_int_equal(0, sk_metainfo_lay_out(&made->m, made->given, count, &made->files));
    }
    hash_files(made, prng);
    make_outside(made, prng);
}

static void same_text(const char *a, const char *b)
{
    assert_int_equal(a != NULL, b != NULL);
    if (a)
        assert_string_equal(a, b);
}

static void same_files(const struct sk_metainfo *a, const struct sk_metainfo *b)
{
    assert_int_equal(a->files_count, b->files_count);
    for (uint32_t i = 0; i < a->files_count; i++) {
        const struct sk_file *x = &a->files[i], *y = &b->files[i];
        assert_string_equal(x->path, y->path);
        assert_int_equal(x->length, y->length);
        assert_int_equal(x->offset, y->offset);
        assert_int_equal(x->flags, y->flags);
        assert_int_equal(x->first_piece, y->first_piece);
        assert_int_equal(x->root != NULL, y->root != NULL);
        if (x->root)
            assert_memory_equal(x->root, y->root, SK_SHA256_SIZE);
        assert_true(sk_bytes_equal(x->layer, y->layer));
    }
}

static void same(const struct sk_metainfo *a, const struct sk_metainfo *b)
{
    assert_int_equal(a->has_v1, b->has_v1);
    assert_int_equal(a->has_v2, b->has_v2);
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->size, b->size);
    assert_int_equal(a->span, b->span);
    assert_int_equal(a->piece_size, b->piece_size);
    assert_int_equal(a->pieces, b->pieces);
    if (a->has_v1)
        assert_memory_equal(a->hashes, b->hashes, (size_t)a->pieces * SK_SHA1_SIZE);
    same_files(a, b);
    assert_int_equal(a->is_private, b->is_private);
    assert_int_equal(a->single_file, b->single_file);
    same_text(a->comment, b->comment);
    same_text(a->created_by, b->created_by);
    assert_int_equal(a->created_s, b->created_s);
    assert_int_equal(a->trackers_count, b->trackers_count);
    for (uint32_t i = 0; i < a->trackers_count; i++) {
        assert_string_equal(a->trackers[i], b->trackers[i]);
        assert_int_equal(a->tiers[i], b->tiers[i]);
    }
    assert_int_equal(a->web_seeds_count, b->web_seeds_count);
    for (uint32_t i = 0; i < a->web_seeds_count; i++)
        assert_string_equal(a->web_seeds[i], b->web_seeds[i]);
}

static void reads_back_the_same(void **state)
{
    struct sk_prng prng;
    sk_prng_init(&prng, 27);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct made made;
        struct sk_metainfo *read;
        struct sk_bencode strict;
        struct sk_buf buf;
        const char *reason = "";
        make(&made, &prng);
        sk_buf_init(&buf, SK_METAINFO_BYTES_MAX);
        assert_int_equal(0, sk_metainfo_write(&made.m, round % 2 ? "src" : NULL, &buf));
        assert_int_equal(0, sk_bencode_parse(sk_buf_bytes(&buf), SK_BENCODE_STRICT, &strict, NULL));
        int err = sk_metainfo_parse(sk_buf_bytes(&buf), &read, &reason);
        if (err)
            fail_msg("round %u: %s", round, reason);
        same(&made.m, read);
        struct sk_bencode info = sk_bencode_get(&strict, "info");
        assert_int_equal(round % 2 ? 3 : 0, sk_bencode_get_string(&info, "source").n);
        sk_metainfo_free(read);
        sk_buf_deinit(&buf);
        free_made(&made);
    }
}

/* All pieces covered once, by at most one file with its padding where there is v2. */
static void layouts_hold_together(void **state)
{
    struct sk_prng prng;
    sk_prng_init(&prng, 5);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct made made;
        make(&made, &prng);
        const struct sk_metainfo *m = &made.m;
        uint64_t end = 0, data = 0;
        for (uint32_t i = 0; i < m->files_count; i++) {
            const struct sk_file *file = &m->files[i];
            bool padding = file->flags & SK_FILE_PADDING;
            assert_true(file->offset >= end);
            if (m->has_v1)
                assert_int_equal(file->offset, end);
            if (m->has_v2 && file->length && !padding)
                assert_int_equal(0, file->offset % m->piece_size);
            end = file->offset + file->length;
            data += padding ? 0 : file->length;
        }
        assert_int_equal(end, m->span);
        assert_int_equal(data, m->size);
        free_made(&made);
    }
}

static void try_to_write(struct sk_metainfo *m, const struct sk_file *files, uint32_t count,
                         int expected)
{
    struct sk_file *placed;
    struct sk_buf buf;
    static uint8_t hashes[64 * SK_SHA1_SIZE];
    static const uint8_t root[SK_SHA256_SIZE];
    assert_int_equal(0, sk_metainfo_lay_out(m, files, count, &placed));
    for (uint32_t i = 0; i < m->files_count; i++)
        placed[i].root = m->has_v2 ? root : NULL;
    m->hashes = hashes;
    sk_buf_init(&buf, 65536);
    assert_int_equal(expected, sk_metainfo_write_info(m, NULL, &buf));
    sk_buf_deinit(&buf);
    sk_mem_free(placed);
}

static void refuses_what_has_no_tree(void **state)
{
    const struct sk_file descending[] = {{.path = "b", .length = 1}, {.path = "a", .length = 1}};
    const struct sk_file through[] = {{.path = "a", .length = 1}, {.path = "a/b", .length = 1}};
    const struct sk_file twice[] = {{.path = "a/b", .length = 1}, {.path = "a/b", .length = 1}};
    const struct sk_file split[] = {
        {.path = "a/b", .length = 1}, {.path = "c", .length = 1}, {.path = "a/d", .length = 1}};
    const struct sk_file fine[] = {{.path = "a/b", .length = 1}, {.path = "a.b", .length = 1}};
    const struct sk_file link[] = {{.path = "a", .length = 1},
                                   {.path = "b", .flags = SK_FILE_SYMLINK}};
    struct sk_metainfo v2 = {.has_v2 = true, .name = "n", .piece_size = SK_BLOCK_SIZE};
    struct sk_metainfo v1 = {.has_v1 = true, .name = "n", .piece_size = SK_BLOCK_SIZE};
    try_to_write(&v2, descending, 2, SKEP_ERR_INVALID);
    try_to_write(&v2, through, 2, SKEP_ERR_INVALID);
    try_to_write(&v2, twice, 2, SKEP_ERR_INVALID);
    try_to_write(&v2, split, 3, SKEP_ERR_INVALID);
    try_to_write(&v2, fine, 2, 0);
    try_to_write(&v2, link, 2, SKEP_ERR_UNSUPPORTED);
    try_to_write(&v1, descending, 2, 0);
    try_to_write(&v1, link, 2, SKEP_ERR_UNSUPPORTED);
}

static void padding_is_as_libtorrent_has_it(void **state)
{
    const struct sk_file files[] = {{.path = "a", .length = 1},
                                    {.path = "b", .length = SK_BLOCK_SIZE},
                                    {.path = "c", .length = 0},
                                    {.path = "d", .length = 5}};
    struct sk_metainfo m = {
        .has_v1 = true, .has_v2 = true, .name = "n", .piece_size = SK_BLOCK_SIZE};
    struct sk_file *placed;
    assert_int_equal(0, sk_metainfo_lay_out(&m, files, 4, &placed));
    assert_int_equal(6, m.files_count);
    assert_string_equal(".pad/16383", placed[1].path);
    assert_string_equal("b", placed[2].path);
    assert_string_equal("c", placed[3].path);
    assert_string_equal(".pad/16379", placed[5].path);
    assert_int_equal(3, m.pieces);
    sk_mem_free(placed);
    assert_int_equal(0, sk_metainfo_lay_out(&m, files, 1, &placed)); /* one file has none */
    assert_int_equal(1, m.files_count);
    sk_mem_free(placed);
}

static void bounds(void **state)
{
    struct sk_file *placed;
    struct sk_file huge[] = {{.path = "a", .length = INT64_MAX}, {.path = "b", .length = 1}};
    struct sk_metainfo m = {.has_v1 = true, .name = "n", .piece_size = SK_METAINFO_PIECE_SIZE_MAX};
    assert_int_equal(SKEP_ERR_LIMIT, sk_metainfo_lay_out(&m, huge, 2, &placed));
    assert_null(m.files);
    huge[0].length = (uint64_t)SK_BLOCK_SIZE * (SK_METADATA_BYTES_MAX / SK_SHA1_SIZE + 1);
    m.piece_size = SK_BLOCK_SIZE;
    assert_int_equal(SKEP_ERR_LIMIT, sk_metainfo_lay_out(&m, huge, 2, &placed));
    huge[0].length = 1;
    for (size_t i = 1; sk_mem_fail_nth(i), sk_metainfo_lay_out(&m, huge, 2, &placed); i++)
        assert_true(i < 4);
    sk_mem_fail_nth(0);
    sk_mem_free(placed);
}

static void piece_sizes(void **state)
{
    const struct {
        uint64_t size;
        uint32_t piece_size;
    } cases[] = {
        {1, 16 << 10},
        {32 << 20, 16 << 10},
        {(32 << 20) + 1, 32 << 10},
        {UINT64_C(1) << 30, 512 << 10},
        {UINT64_C(32) << 30, 16 << 20},
        {UINT64_C(1) << 50, 16 << 20},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++)
        assert_int_equal(cases[i].piece_size, sk_metainfo_piece_size_for(cases[i].size));
}

static void magnets_read_back(void **state)
{
    const char *const trackers[] = {"udp://t:1/a?b=c&d", "http://\u00e4/"};
    const char *const seeds[] = {"http://s/%20"};
    struct sk_metainfo m = {.has_v1 = true,
                            .has_v2 = true,
                            .hash_v1 = {1, 2, 255},
                            .hash_v2 = {9, 8},
                            .name = "a&b=c d/\u4e2d",
                            .size = 12345,
                            .trackers = trackers,
                            .trackers_count = 2,
                            .web_seeds = seeds,
                            .web_seeds_count = 1};
    for (int kind = 0; kind < 3; kind++) {
        struct sk_magnet *magnet;
        struct sk_buf buf;
        m.has_v1 = kind != 1;
        m.has_v2 = kind != 0;
        sk_buf_init(&buf, 65536);
        assert_int_equal(0, sk_metainfo_write_magnet(&m, &buf));
        sk_buf_append(&buf, "", 1);
        assert_int_equal(0, sk_magnet_parse((char *)buf.p, &magnet, NULL));
        assert_int_equal(m.has_v1, magnet->has_v1);
        assert_int_equal(m.has_v2, magnet->has_v2);
        if (m.has_v1)
            assert_memory_equal(m.hash_v1, magnet->hash_v1, SK_SHA1_SIZE);
        if (m.has_v2)
            assert_memory_equal(m.hash_v2, magnet->hash_v2, SK_SHA256_SIZE);
        assert_string_equal(m.name, magnet->name);
        assert_int_equal(m.size, magnet->size);
        assert_int_equal(2, magnet->trackers_count);
        assert_string_equal(trackers[0], magnet->trackers[0]);
        assert_string_equal(trackers[1], magnet->trackers[1]);
        assert_string_equal(seeds[0], magnet->web_seeds[0]);
        sk_magnet_free(magnet);
        sk_buf_deinit(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back_the_same),
        cmocka_unit_test(layouts_hold_together),
        cmocka_unit_test(refuses_what_has_no_tree),
        cmocka_unit_test(padding_is_as_libtorrent_has_it),
        cmocka_unit_test(bounds),
        cmocka_unit_test(piece_sizes),
        cmocka_unit_test(magnets_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
