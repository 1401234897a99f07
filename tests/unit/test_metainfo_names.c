/* wire/metainfo: hostile file names are made safe, and told apart. */
#include "wire/metainfo.h"

#include <skep/err.h>

#include "base/limits.h"
#include "base/text.h"
#include "template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants the ones above first */
#include <cmocka.h>

/* A torrent of `lists`, one template of path elements a file ("(a)(b)"), one byte each. */
static int parse_paths_n(const char *name, const struct sk_bytes *lists, size_t count,
                         struct sk_metainfo **ret_metainfo)
{
    struct sk_buf buf;
    sk_buf_init(&buf, 64 << 20);
    template_put(&buf, "d(info)d(files)l");
    for (size_t i = 0; i < count; i++) {
        template_put(&buf, "d(length)i1e(path)l");
        template_put_n(&buf, (const char *)lists[i].p, lists[i].n);
        template_put(&buf, "ee");
    }
    template_put(&buf, "e(name)");
    sk_bencode_put_text(&buf, name);
    sk_buf_printf(&buf, "12:piece lengthi1048576e6:pieces20:%20see", "");
    int err = sk_metainfo_parse(sk_buf_bytes(&buf), ret_metainfo, NULL);
    sk_buf_deinit(&buf);
    return err;
}

static struct sk_metainfo *parse_paths(const char *const *lists, size_t count)
{
    struct sk_bytes bytes[32];
    struct sk_metainfo *m = NULL;
    SK_ASSERT(count <= SK_ARRAY_LEN(bytes));
    for (size_t i = 0; i < count; i++)
        bytes[i] = sk_bytes_text(lists[i]);
    assert_int_equal(parse_paths_n("t", bytes, count, &m), 0);
    assert_int_equal(m->files_count, count);
    return m;
}

struct name {
    const char *elements, *path;
};

/* Each name alone in its torrent. */
static void expect_paths(const struct name *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct sk_metainfo *m = parse_paths(&cases[i].elements, 1);
        assert_string_equal(m->files[0].path, cases[i].path);
        sk_metainfo_free(m);
    }
}

/* All names in one torrent. */
static void expect_together(const struct name *cases, size_t count)
{
    const char *lists[32] = {0};
    for (size_t i = 0; i < count; i++)
        lists[i] = cases[i].elements;
    struct sk_metainfo *m = parse_paths(lists, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(m->files[i].path, cases[i].path);
    sk_metainfo_free(m);
}

static void path_traversal(void **state)
{
    static const struct name cases[] = {
        {"(..)(..)(etc)(passwd)", "__/__/etc/passwd"},
        {"(a)(..)(..)(b)", "a/__/__/b"},
        {"(../../etc/passwd)", ".._.._etc_passwd"},
        {"(..\\..\\boot.ini)", ".._.._boot.ini"},
        {"(.)(a)", "_/a"},
        {"(...)", "..."},
        {"(.hidden)", ".hidden"},
    };
    expect_paths(cases, SK_ARRAY_LEN(cases));
}

static void absolute_and_empty(void **state)
{
    static const struct name cases[] = {
        {"(/etc/passwd)", "_etc_passwd"},
        {"()(etc)(passwd)", "_/etc/passwd"},
        {"(/)(etc)", "_/etc"},
        {"()", "_"},
        {"(a)()(b)", "a/_/b"},
        {"(C:\\x)", "C:_x"},
    };
    expect_paths(cases, SK_ARRAY_LEN(cases));
}

static void control_characters_and_nul(void **state)
{
    static const struct name cases[] = {
        {"(a\nb)", "a_b"},
        {"(\x1b[2J)", "_[2J"},
        {"(a\x7f)", "a_"},
        {"(a\xc2\x85z)", "a_z"}, /* a C1 control, as UTF-8 */
    };
    expect_paths(cases, SK_ARRAY_LEN(cases));
    static const char nul[] = "(a\0b)(\0)";
    struct sk_bytes list = sk_bytes(nul, sizeof nul - 1);
    struct sk_metainfo *m = NULL;
    assert_int_equal(parse_paths_n("t", &list, 1, &m), 0);
    assert_string_equal(m->files[0].path, "a_b/_");
    sk_metainfo_free(m);
}

static void invalid_utf8(void **state)
{
    static const struct name cases[] = {
        {"(a\xff\xfe)", "a__"},
        {"(\xc0\xaf)", "__"},      /* '/' written overlong */
        {"(\xed\xa0\x80)", "___"}, /* a surrogate */
        {"(\xe4\xb8)", "__"},      /* cut short */
        {"(\xe4\xb8\xad\xc3\xa4)", "\xe4\xb8\xad\xc3\xa4"},
        {"(\xf4\x90\x80\x80)", "____"}, /* above 10FFFF */
    };
    expect_paths(cases, SK_ARRAY_LEN(cases));
}

static void device_names(void **state)
{
    static const struct name cases[] = {
        {"(CON)", "_CON"},          {"(nul.txt)", "_nul.txt"},
        {"(Com1)", "_Com1"},        {"(lpt9.tar.gz)", "_lpt9.tar.gz"},
        {"(aux)(x)", "_aux/x"},     {"(console)", "console"},
        {"(com0)", "com0"},         {"(com10)", "com10"},
        {"(nulx.txt)", "nulx.txt"},
    };
    expect_paths(cases, SK_ARRAY_LEN(cases));
}

static void case_collisions(void **state)
{
    static const struct name cases[] = {
        {"(Readme.txt)", "Readme.txt"},
        {"(README.TXT)", "README.1.TXT"},
        {"(readme.txt)", "readme.2.txt"},
        {"(readme.1.txt)", "readme.1.1.txt"},
        {"(\xc3\x84.bin)", "\xc3\x84.bin"}, /* A umlaut, capital and small */
        {"(\xc3\xa4.bin)", "\xc3\xa4.1.bin"},
        {"(\xd0\x96)", "\xd0\x96"}, /* Cyrillic */
        {"(\xd0\xb6)", "\xd0\xb6.1"},
        {"(Dir)(a)", "Dir/a"},
        {"(dir)(A)", "dir/A.1"},
        {"(dir)(b)", "dir/b"},
    };
    expect_together(cases, SK_ARRAY_LEN(cases));
}

static void names_that_become_equal(void **state)
{
    static const struct name cases[] = {
        {"(a/b)", "a_b"},   {"(a_b)", "a_b.1"},   {"(a\\b)", "a_b.2"},
        {"(same)", "same"}, {"(same)", "same.1"},
    };
    expect_together(cases, SK_ARRAY_LEN(cases));
}

static void files_with_the_name_of_a_directory(void **state)
{
    static const struct name cases[] = {
        {"(x)", "x.1"},
        {"(x)(y)", "x/y.1"},
        {"(X)(y)(z)", "X/y/z"},
        {"(.pad)", ".pad"},
    };
    expect_together(cases, SK_ARRAY_LEN(cases));
}

/* Elements over 255 bytes are cut, the extension kept, no character split. */
static void long_elements(void **state)
{
    char list[5000], *at;
    struct sk_metainfo *m;
    const char *lists = list;
    for (size_t n = 250; n < 4000; n += n < 260 ? 1 : 371) {
        snprintf(list, sizeof list, "(%0*d.tar.gz)", (int)n - 7, 7);
        m = parse_paths(&lists, 1);
        assert_int_equal(strlen(m->files[0].path), SK_MIN(n, (size_t)255));
        assert_string_equal(m->files[0].path + SK_MIN(n, (size_t)255) - 3, ".gz");
        sk_metainfo_free(m);
    }
    for (size_t shift = 0; shift < 3; shift++) {
        at = list + sprintf(list, "(%.*s", (int)shift, "xx");
        for (int i = 0; i < 100; i++)
            at += sprintf(at, "\xe4\xb8\xad");
        strcpy(at, ".bin)");
        m = parse_paths(&lists, 1);
        struct sk_bytes path = sk_bytes_text(m->files[0].path);
        assert_in_range(path.n, 252, 255);
        assert_true(sk_text_is_utf8(path));
        assert_string_equal(m->files[0].path + path.n - 4, ".bin");
        sk_metainfo_free(m);
    }
}

/* Two that become equal by being cut still fit, and differ. */
static void long_elements_told_apart(void **state)
{
    char first[600], second[600];
    const char *lists[] = {first, second};
    snprintf(first, sizeof first, "(%0500d.txt)", 1);
    snprintf(second, sizeof second, "(%0500d.txt)", 2);
    struct sk_metainfo *m = parse_paths(lists, 2);
    assert_int_equal(strlen(m->files[0].path), 255);
    assert_int_equal(strlen(m->files[1].path), 255);
    assert_string_equal(m->files[1].path + 249, ".1.txt");
    sk_metainfo_free(m);
}

static void paths_over_4096_bytes(void **state)
{
    char list[3 * SK_METAINFO_PATH_MAX];
    struct sk_bytes bytes;
    struct sk_metainfo *m = NULL;
    /* 2,048 elements of one byte: 4,095 bytes with the separators. */
    size_t n = 0;
    for (int i = 0; i < 2048; i++)
        n += (size_t)sprintf(list + n, "(a)");
    bytes = sk_bytes(list, n);
    assert_int_equal(parse_paths_n("t", &bytes, 1, &m), 0);
    assert_int_equal(strlen(m->files[0].path), 4095);
    sk_metainfo_free(m);
    n += (size_t)sprintf(list + n, "(a)");
    bytes = sk_bytes(list, n);
    m = NULL;
    assert_int_equal(parse_paths_n("t", &bytes, 1, &m), SKEP_ERR_LIMIT);
    assert_null(m);
}

/* As many equal names as you like: told apart, in time that does not grow as their square. */
static void many_equal_names(void **state)
{
    enum { COUNT = 100000 };
    struct sk_bytes *lists = malloc(COUNT * sizeof *lists);
    struct sk_metainfo *m = NULL;
    char last[32];
    assert_non_null(lists);
    for (size_t i = 0; i < COUNT; i++)
        lists[i] = sk_bytes_text(i % 2 ? "(n)" : "(N)");
    assert_int_equal(parse_paths_n("t", lists, COUNT, &m), 0);
    snprintf(last, sizeof last, "n.%d", COUNT - 1);
    assert_string_equal(m->files[COUNT - 1].path, last);
    sk_metainfo_free(m);
    free(lists);
}

static void the_torrents_own_name(void **state)
{
    static const char *const cases[][2] = {
        {"..", "__"}, {"/etc", "_etc"}, {"a/b", "a_b"}, {"prn", "_prn"}, {"fine name", "fine name"},
    };
    struct sk_bytes list = sk_bytes_text("(f)");
    struct sk_metainfo *m = NULL;
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        assert_int_equal(parse_paths_n(cases[i][0], &list, 1, &m), 0);
        assert_string_equal(m->name, cases[i][1]);
        sk_metainfo_free(m);
    }
    char hex[41];
    assert_int_equal(parse_paths_n("", &list, 1, &m), 0);
    sk_hex_encode(m->info_hash, 20, hex);
    assert_string_equal(m->name, hex);
    sk_metainfo_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path_traversal),
        cmocka_unit_test(absolute_and_empty),
        cmocka_unit_test(control_characters_and_nul),
        cmocka_unit_test(invalid_utf8),
        cmocka_unit_test(device_names),
        cmocka_unit_test(case_collisions),
        cmocka_unit_test(names_that_become_equal),
        cmocka_unit_test(files_with_the_name_of_a_directory),
        cmocka_unit_test(long_elements),
        cmocka_unit_test(long_elements_told_apart),
        cmocka_unit_test(paths_over_4096_bytes),
        cmocka_unit_test(many_equal_names),
        cmocka_unit_test(the_torrents_own_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
