/* wire/metainfo: broken and hostile torrents, each refused by the right error and a reason. */
#include "wire/metainfo.h"

#include <skep/err.h>

#include "base/limits.h"
#include "template.h"
#include "wire/merkle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants the ones above first */
#include <cmocka.h>

#define HASH SK_SHA256_SIZE

static int parse(const struct sk_buf *buf, struct sk_metainfo **ret_metainfo)
{
    const char *reason = NULL;
    int err = sk_metainfo_parse(sk_buf_bytes(buf), ret_metainfo, &reason);
    if (err)
        assert_non_null(reason);
    else
        assert_null(reason);
    return err;
}

static int parse_template(const char *text)
{
    struct sk_buf buf;
    struct sk_metainfo *m = NULL;
    sk_buf_init(&buf, 1 << 20);
    template_put(&buf, text);
    int err = parse(&buf, &m);
    assert_int_equal(m != NULL, err == 0);
    sk_metainfo_free(m);
    sk_buf_deinit(&buf);
    return err;
}

struct expectation {
    const char *text;
    int err;
};

static void expect(const struct expectation *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int err = parse_template(cases[i].text);
        if (err != cases[i].err)
            fail_msg("%s: %d, not %d", cases[i].text, err, cases[i].err);
    }
}

#define EXPECT(cases) expect(cases, SK_ARRAY_LEN(cases))

static void not_a_torrent(void **state)
{
    static const struct expectation cases[] = {
        {"", SKEP_ERR_MALFORMED},
        {"<html>", SKEP_ERR_MALFORMED},
        {"i1e", SKEP_ERR_MALFORMED},
        {"le", SKEP_ERR_MALFORMED},
        {"de", SKEP_ERR_MALFORMED},
        {"d(info)lee", SKEP_ERR_MALFORMED},
        {"d(info)dee", SKEP_ERR_MALFORMED},
        {"d(info)d(length)i1e(name)(x)(piece length)i16384e(pieces){20}e", SKEP_ERR_MALFORMED},
    };
    EXPECT(cases);
}

/* The least torrent is accepted, with unsorted keys too: its hash is over the bytes as they are. */
static void the_least_torrent(void **state)
{
    static const struct expectation cases[] = {
        {"d(info)d(length)i1e(name)(x)(piece length)i16384e(pieces){20}ee", 0},
        {"d(info)d(pieces){20}(piece length)i16384e(name)(x)(length)i1eee", 0},
        {"d(info)d(length)i1e(name)(x)(piece length)i1e(pieces){20}ee", 0},
    };
    EXPECT(cases);
}

static void trailing_bytes(void **state)
{
    static const struct expectation cases[] = {
        {"d(info)d(length)i1e(name)(x)(piece length)i16384e(pieces){20}ee\n", SKEP_ERR_MALFORMED},
        {"d(info)d(length)i1e(name)(x)(piece length)i16384e(pieces){20}eede", SKEP_ERR_MALFORMED},
    };
    EXPECT(cases);
}

static void duplicate_keys(void **state)
{
    static const struct expectation cases[] = {
        {"d(info)d(length)i1e(name)(x)(piece length)i16384e(pieces){20}e(info)dee",
         SKEP_ERR_MALFORMED},
        {"d(info)d(length)i1e(length)i2e(name)(x)(piece length)i16384e(pieces){20}ee",
         SKEP_ERR_MALFORMED},
        {"d(info)d(files)ld(length)i1e(length)i1e(path)l(a)eee(name)(x)(piece length)i16384e"
         "(pieces){20}ee",
         SKEP_ERR_MALFORMED},
    };
    EXPECT(cases);
}

static void nesting_of_10000_levels(void **state)
{
    struct sk_buf buf;
    struct sk_metainfo *m;
    sk_buf_init(&buf, 1 << 20);
    template_put(&buf, "d(info)");
    for (int i = 0; i < 10000; i++)
        template_put(&buf, "d(a)");
    assert_int_equal(parse(&buf, &m), SKEP_ERR_LIMIT);
    sk_buf_deinit(&buf);
}

static void piece_lengths(void **state)
{
#define PIECES(length) "d(info)d(length)i1e(name)(x)(piece length)" length "(pieces){20}ee"
    static const struct expectation cases[] = {
        {PIECES("i0e"), SKEP_ERR_MALFORMED},
        {PIECES("i-16384e"), SKEP_ERR_MALFORMED},
        {PIECES("(16384)"), SKEP_ERR_MALFORMED},
        {PIECES("i1073741824e"), 0},
        {PIECES("i1073741825e"), SKEP_ERR_LIMIT},
        {PIECES("i4294967296e"), SKEP_ERR_LIMIT},
        {PIECES("i9223372036854775807e"), SKEP_ERR_LIMIT},
        {"d(info)d(length)i1e(name)(x)(pieces){20}ee", SKEP_ERR_MALFORMED},
    };
#undef PIECES
    EXPECT(cases);
}

static void lengths_negative_huge_or_missing(void **state)
{
#define LENGTH(length) "d(info)d(length)" length "(name)(x)(piece length)i16384e(pieces){20}ee"
#define FILES(files) "d(info)d(files)l" files "e(name)(x)(piece length)i16384e(pieces){20}ee"
    static const struct expectation cases[] = {
        {LENGTH("i-1e"), SKEP_ERR_MALFORMED},
        {LENGTH("(1)"), SKEP_ERR_MALFORMED},
        {LENGTH("i0e"), SKEP_ERR_MALFORMED},
        {LENGTH("i9223372036854775807e"), SKEP_ERR_LIMIT},
        {LENGTH("i1e(files)le"), SKEP_ERR_MALFORMED},
        {FILES("d(length)i-1e(path)l(a)ee"), SKEP_ERR_MALFORMED},
        {FILES("d(path)l(a)ee"), SKEP_ERR_MALFORMED},
        {FILES("d(length)i1ee"), SKEP_ERR_MALFORMED},
        {FILES("d(length)i1e(path)lee"), SKEP_ERR_MALFORMED},
        {FILES("d(length)i1e(path)(a)e"), SKEP_ERR_MALFORMED},
        {FILES("d(length)i1e(path)li1eee"), SKEP_ERR_MALFORMED},
        {FILES("i1e"), SKEP_ERR_MALFORMED},
        {FILES(""), SKEP_ERR_MALFORMED},
        {FILES("d(length)i0e(path)l(a)ee"), SKEP_ERR_MALFORMED},
        {FILES("d(length)i1e(path)l(a)ee"), 0},
    };
    EXPECT(cases);
}

static void sums_of_lengths_that_overflow(void **state)
{
    static const struct expectation cases[] = {
        {FILES("d(length)i9223372036854775807e(path)l(a)eed(length)i9223372036854775807e(path)"
               "l(b)eed(length)i3e(path)l(c)ee"),
         SKEP_ERR_LIMIT},
        {FILES("d(length)i1e(path)l(a)eed(length)i9223372036854775807e(path)l(b)ee"),
         SKEP_ERR_LIMIT},
    };
    EXPECT(cases);
}

static void piece_hashes_that_do_not_fit(void **state)
{
#define HASHES(pieces) "d(info)d(length)i16385e(name)(x)(piece length)i16384e" pieces "ee"
    static const struct expectation cases[] = {
        {HASHES("(pieces){40}"), 0},
        {HASHES("(pieces){20}"), SKEP_ERR_MALFORMED},
        {HASHES("(pieces){60}"), SKEP_ERR_MALFORMED},
        {HASHES("(pieces){39}"), SKEP_ERR_MALFORMED},
        {HASHES("(pieces){41}"), SKEP_ERR_MALFORMED},
        {HASHES("(pieces)i40e"), SKEP_ERR_MALFORMED},
        {HASHES(""), SKEP_ERR_MALFORMED},
    };
#undef HASHES
    EXPECT(cases);
}

static void a_file_list_of_huge_size_hits_a_limit(void **state)
{
    struct sk_buf buf;
    struct sk_metainfo *m = NULL;
    sk_buf_init(&buf, SK_METAINFO_BYTES_MAX);
    template_put(&buf, "d(info)d(files)l");
    for (size_t i = 0; i <= SK_METAINFO_FILES_MAX; i++)
        sk_buf_text(&buf, "d6:lengthi1e4:pathl1:aee");
    template_put(&buf, "e(name)(x)(piece length)i1048576e(pieces){20}ee");
    assert_int_equal(parse(&buf, &m), SKEP_ERR_LIMIT);
    assert_null(m);
    sk_buf_deinit(&buf);
}

static void a_tree_of_too_many_directories_hits_a_limit(void **state)
{
    struct sk_buf buf;
    struct sk_metainfo *m = NULL;
    sk_buf_init(&buf, SK_METAINFO_BYTES_MAX);
    template_put(&buf, "d(info)d(files)l");
    for (int i = 0; i * 60 <= SK_METAINFO_NAMES_MAX; i++) {
        sk_buf_text(&buf, "d6:lengthi1e4:pathl");
        for (int j = 0; j < 60; j++)
            sk_buf_printf(&buf, "5:%05d", i);
        sk_buf_text(&buf, "ee");
    }
    template_put(&buf, "e(name)(x)(piece length)i1048576e(pieces){20}ee");
    assert_int_equal(parse(&buf, &m), SKEP_ERR_LIMIT);
    assert_null(m);
    sk_buf_deinit(&buf);
}

static void too_large_inputs(void **state)
{
    struct sk_metainfo *m;
    uint8_t byte = 'd';
    /* Refused by the size alone: not a byte more is read. */
    assert_int_equal(sk_metainfo_parse(sk_bytes(&byte, SK_METAINFO_BYTES_MAX + 1), &m, NULL),
                     SKEP_ERR_LIMIT);
    assert_int_equal(sk_metainfo_parse_info(sk_bytes(&byte, SK_METADATA_BYTES_MAX + 1), &m, NULL),
                     SKEP_ERR_LIMIT);
}

static void meta_versions(void **state)
{
#define VERSION(version)                                                                           \
    "d(info)d(length)i1e(meta version)" version "(name)(x)(piece length)i16384e(pieces){20}ee"
    static const struct expectation cases[] = {
        {VERSION("i1e"), 0},
        {VERSION("i2e"), SKEP_ERR_MALFORMED}, /* no file tree */
        {VERSION("i3e"), SKEP_ERR_UNSUPPORTED},
        {VERSION("i9223372036854775807e"), SKEP_ERR_UNSUPPORTED},
        {"d(info)d(meta version)i3eee", SKEP_ERR_UNSUPPORTED},
    };
#undef VERSION
    EXPECT(cases);
}

#define V2(tree, piece_length)                                                                     \
    "d(info)d(file tree)" tree "(meta version)i2e(name)(x)(piece length)" piece_length             \
    "e(piece layers)dee"
#define LEAF "d()d(length)i5e(pieces root){32}ee"

static void file_trees(void **state)
{
    static const struct expectation cases[] = {
        {V2("d(a)" LEAF "e", "i16384e"), 0},
        {V2("d(a)d(b)" LEAF "ee", "i16384e"), 0},
        {V2("d(a)de(b)" LEAF "e", "i16384e"), 0}, /* an empty directory says nothing */
        {V2("d(a)" LEAF "e", "i8192e"), SKEP_ERR_MALFORMED},
        {V2("d(a)" LEAF "e", "i49152e"), SKEP_ERR_MALFORMED},
        {V2("de", "i16384e"), SKEP_ERR_MALFORMED},
        {V2("le", "i16384e"), SKEP_ERR_MALFORMED},
        {V2("d(a)i1ee", "i16384e"), SKEP_ERR_MALFORMED},
        {V2("d(a)d()i1eee", "i16384e"), SKEP_ERR_MALFORMED},
        {V2(LEAF, "i16384e"), SKEP_ERR_MALFORMED}, /* the root is a file */
        {V2("d(a)d()d(length)i5e(pieces root){32}e(b)" LEAF "ee", "i16384e"), SKEP_ERR_MALFORMED},
        {V2("d(a)d(b)" LEAF "()d(length)i5e(pieces root){32}eee", "i16384e"), SKEP_ERR_MALFORMED},
        {V2("d(a)d()d(length)i5e(pieces root){31}eee", "i16384e"), SKEP_ERR_MALFORMED},
        {V2("d(a)d()d(length)i5eeee", "i16384e"), SKEP_ERR_MALFORMED},
        {V2("d(a)d()d(length)i-5e(pieces root){32}eee", "i16384e"), SKEP_ERR_MALFORMED},
        {V2("d(a)d()d(pieces root){32}eee", "i16384e"), SKEP_ERR_MALFORMED},
        {V2("d(a)d()d(length)i9223372036854775807e(pieces root){32}eee", "i16384e"),
         SKEP_ERR_LIMIT},
        /* longer than a piece, and no layer */
        {V2("d(a)d()d(length)i16385e(pieces root){32}eee", "i16384e"), SKEP_ERR_MISMATCH},
    };
    EXPECT(cases);
}

/* A v2 torrent of one file of three pieces, its layer as given. */
static int parse_with_layer(const uint8_t *root, struct sk_bytes layer)
{
    struct sk_buf buf;
    struct sk_metainfo *m = NULL;
    sk_buf_init(&buf, 1 << 20);
    template_put(&buf, "d(info)d(file tree)d(a)d()d(length)i40000e(pieces root)");
    sk_bencode_put_string(&buf, sk_bytes(root, HASH));
    template_put(&buf, "eee(meta version)i2e(name)(x)(piece length)i16384ee(piece layers)d");
    sk_bencode_put_string(&buf, sk_bytes(root, HASH));
    sk_bencode_put_string(&buf, layer);
    template_put(&buf, "ee");
    int err = parse(&buf, &m);
    sk_metainfo_free(m);
    sk_buf_deinit(&buf);
    return err;
}

static void wrong_piece_layers(void **state)
{
    uint8_t layer[4 * HASH] = {0}, scratch[4 * HASH], root[HASH];
    for (size_t i = 0; i < 3 * HASH; i++)
        layer[i] = (uint8_t)(i + 1);
    sk_merkle_root(layer, 3, 4, 0, scratch, root);
    assert_int_equal(parse_with_layer(root, sk_bytes(layer, 3 * HASH)), 0);
    /* too short, too long (with the very padding), not of whole hashes */
    assert_int_equal(parse_with_layer(root, sk_bytes(layer, 2 * HASH)), SKEP_ERR_MISMATCH);
    assert_int_equal(parse_with_layer(root, sk_bytes(layer, 4 * HASH)), SKEP_ERR_MISMATCH);
    assert_int_equal(parse_with_layer(root, sk_bytes(layer, 3 * HASH - 1)), SKEP_ERR_MISMATCH);
    assert_int_equal(parse_with_layer(root, sk_bytes(layer, 0)), SKEP_ERR_MISMATCH);
    for (size_t i = 0; i < 3 * HASH; i += 7) {
        layer[i] ^= 0x10;
        assert_int_equal(parse_with_layer(root, sk_bytes(layer, 3 * HASH)), SKEP_ERR_MISMATCH);
        layer[i] ^= 0x10;
    }
}

/* v1's files and v2's tree in one torrent; pieces of 16 KiB, `pieces` of them. */
static int parse_hybrid(const char *files, const char *tree, int pieces)
{
    char text[4096];
    snprintf(text, sizeof text,
             "d(info)d(file tree)%s%s(meta version)i2e(name)(x)(piece length)i16384e(pieces){%d}e"
             "(piece layers)dee",
             tree, files, pieces * 20);
    return parse_template(text);
}

static void hybrid_halves_that_disagree(void **state)
{
#define FILE1(length, path) "d(length)i" length "e(path)l" path "ee"
#define PAD(length) "d(attr)(p)(length)i" length "e(path)l(.pad)(" length ")ee"
#define FILE2(name, length) "(" name ")d()d(length)i" length "e(pieces root){32}ee"
    static const struct {
        const char *files, *tree;
        int pieces, err;
    } cases[] = {
        {"(files)l" FILE1("5", "(a)") PAD("16379") FILE1("7", "(b)") "e",
         "d" FILE2("a", "5") FILE2("b", "7") "e", 2, 0},
        /* padding after the last file is the creator's choice */
        {"(files)l" FILE1("5", "(a)") PAD("16379") FILE1("7", "(b)") PAD("16377") "e",
         "d" FILE2("a", "5") FILE2("b", "7") "e", 2, 0},
        {"(length)i5e", "d" FILE2("x", "5") "e", 1, 0},
        /* names */
        {"(length)i5e", "d" FILE2("y", "5") "e", 1, SKEP_ERR_MISMATCH},
        {"(files)l" FILE1("5", "(a)") PAD("16379") FILE1("7", "(c)") "e",
         "d" FILE2("a", "5") FILE2("b", "7") "e", 2, SKEP_ERR_MISMATCH},
        {"(files)l" FILE1("5", "(a)(b)") "e", "d" FILE2("a", "5") "e", 1, SKEP_ERR_MISMATCH},
        /* lengths */
        {"(length)i6e", "d" FILE2("x", "5") "e", 1, SKEP_ERR_MISMATCH},
        /* order */
        {"(files)l" FILE1("7", "(b)") PAD("16377") FILE1("5", "(a)") "e",
         "d" FILE2("a", "5") FILE2("b", "7") "e", 2, SKEP_ERR_MISMATCH},
        /* a file more on either side */
        {"(files)l" FILE1("5", "(a)") PAD("16379") FILE1("7", "(b)") "e", "d" FILE2("a", "5") "e",
         2, SKEP_ERR_MISMATCH},
        {"(files)l" FILE1("5", "(a)") "e", "d" FILE2("a", "5") FILE2("b", "7") "e", 1,
         SKEP_ERR_MISMATCH},
        /* alignment: no padding, padding too short, a piece of padding too many */
        {"(files)l" FILE1("5", "(a)") FILE1("7", "(b)") "e",
         "d" FILE2("a", "5") FILE2("b", "7") "e", 1, SKEP_ERR_MISMATCH},
        {"(files)l" FILE1("5", "(a)") PAD("16378") FILE1("7", "(b)") "e",
         "d" FILE2("a", "5") FILE2("b", "7") "e", 2, SKEP_ERR_MISMATCH},
        {"(files)l" FILE1("5", "(a)") PAD("32763") FILE1("7", "(b)") "e",
         "d" FILE2("a", "5") FILE2("b", "7") "e", 3, SKEP_ERR_MISMATCH},
        {"(files)l" FILE1("5", "(a)") PAD("16380") "e", "d" FILE2("a", "5") "e", 2,
         SKEP_ERR_MISMATCH},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        int err = parse_hybrid(cases[i].files, cases[i].tree, cases[i].pieces);
        if (err != cases[i].err)
            fail_msg("case %zu: %d, not %d", i, err, cases[i].err);
    }
}

static void symbolic_links_take_no_room(void **state)
{
    static const char text[] =
        "d(info)d(files)ld(length)i1e(path)l(a)eed(attr)(l)(length)i999999e(path)l(b)e"
        "(symlink path)l(..)(..)(etc)eee(name)(x)(piece length)i16384e(pieces){20}ee";
    struct sk_buf buf;
    struct sk_metainfo *m = NULL;
    sk_buf_init(&buf, 4096);
    template_put(&buf, text);
    assert_int_equal(parse(&buf, &m), 0);
    assert_int_equal(m->size, 1);
    assert_int_equal(m->files[1].flags, SK_FILE_SYMLINK);
    assert_int_equal(m->files[1].length, 0);
    sk_metainfo_free(m);
    sk_buf_deinit(&buf);
}

/* What surrounds the info dictionary is advice: what is broken there is passed over. */
static void trackers_web_seeds_and_nodes(void **state)
{
    struct sk_buf buf;
    struct sk_metainfo *m = NULL;
    sk_buf_init(&buf, 1 << 20);
    template_put(&buf, "d(announce)(http://alone/)(announce-list)ll()i7e(http://a\nb/)el(udp://t:1)"
                       "(http://u/)el(udp://t:1)(http://v/)ee(comment)i5e"
                       "(info)d(length)i1e(name)(x)(piece length)i16384e(pieces){20}e"
                       "(nodes)ll(h)i1eel(::1)i2eel(h)i0eel(h)eli1ei2eel()i3eee"
                       "(url-list)(http://seed/)e");
    assert_int_equal(parse(&buf, &m), 0);
    assert_int_equal(m->trackers_count, 3);
    assert_string_equal(m->trackers[0], "udp://t:1");
    assert_string_equal(m->trackers[2], "http://v/");
    assert_int_equal(m->tiers[0], 0);
    assert_int_equal(m->tiers[1], 0);
    assert_int_equal(m->tiers[2], 1);
    assert_int_equal(m->nodes_count, 2);
    assert_string_equal(m->nodes[1], "[::1]:2");
    assert_int_equal(m->web_seeds_count, 1);
    assert_null(m->comment);
    sk_metainfo_free(m);

    sk_buf_consume(&buf, buf.n);
    template_put(&buf, "d(announce)(http://alone/)(announce-list)lle3:abce"
                       "(info)d(length)i1e(name)(x)(piece length)i16384e(pieces){20}e");
    sk_bencode_put_text(&buf, "url-list");
    sk_bencode_put_list(&buf);
    for (int i = 0; i < 2 * SK_METAINFO_TRACKERS_MAX; i++) {
        char url[64];
        snprintf(url, sizeof url, "http://seed/%d", i);
        sk_bencode_put_text(&buf, url);
    }
    template_put(&buf, "ee");
    assert_int_equal(parse(&buf, &m), 0);
    assert_int_equal(m->trackers_count, 1);
    assert_int_equal(m->web_seeds_count, SK_METAINFO_TRACKERS_MAX);
    sk_metainfo_free(m);
    sk_buf_deinit(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_a_torrent),
        cmocka_unit_test(the_least_torrent),
        cmocka_unit_test(trailing_bytes),
        cmocka_unit_test(duplicate_keys),
        cmocka_unit_test(nesting_of_10000_levels),
        cmocka_unit_test(piece_lengths),
        cmocka_unit_test(lengths_negative_huge_or_missing),
        cmocka_unit_test(sums_of_lengths_that_overflow),
        cmocka_unit_test(piece_hashes_that_do_not_fit),
        cmocka_unit_test(a_file_list_of_huge_size_hits_a_limit),
        cmocka_unit_test(a_tree_of_too_many_directories_hits_a_limit),
        cmocka_unit_test(too_large_inputs),
        cmocka_unit_test(meta_versions),
        cmocka_unit_test(file_trees),
        cmocka_unit_test(wrong_piece_layers),
        cmocka_unit_test(hybrid_halves_that_disagree),
        cmocka_unit_test(symbolic_links_take_no_room),
        cmocka_unit_test(trackers_web_seeds_and_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
