/* wire/bencode: what is accepted, what is refused and where, and the walk through what was read. */
#include "wire/bencode.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the ones above first */
#include <cmocka.h>

/* Parses a copy on the heap, so that reading past its end is seen. */
static int parse(const char *text, size_t n, unsigned flags, size_t *ret_offset)
{
    char *copy = malloc(n + !n);
    struct sk_bencode value;
    assert_non_null(copy);
    memcpy(copy, text, n);
    int err = sk_bencode_parse(sk_bytes(copy, n), flags, &value, ret_offset);
    free(copy);
    return err;
}

struct refusal {
    const char *text;
    int err;
    size_t offset;
};

static void expect_refused(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t offset = 999;
        int err = parse(cases[i].text, strlen(cases[i].text), SK_BENCODE_STRICT, &offset);
        if (err != cases[i].err || offset != cases[i].offset)
            fail_msg("%s: error %d at %zu, not %d at %zu", cases[i].text, err, offset, cases[i].err,
                     cases[i].offset);
    }
}

#define EXPECT_REFUSED(cases) expect_refused(cases, SK_ARRAY_LEN(cases))

static void accepts_canonical_values(void **state)
{
    static const char *const good[] = {
        "i0e",
        "i-1e",
        "i9223372036854775807e",
        "i-9223372036854775808e",
        "0:",
        "4:spam",
        "le",
        "de",
        "l4:spami7ee",
        "d0:i1e1:ai2e2:aai3ee",
        "d1:ad1:bl1:cee1:d0:e",
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(good); i++)
        if (parse(good[i], strlen(good[i]), SK_BENCODE_STRICT, NULL) != 0)
            fail_msg("%s", good[i]);
}

static void refuses_leading_zeros_and_negative_lengths(void **state)
{
    static const struct refusal cases[] = {
        {"i00e", SKEP_ERR_MALFORMED, 0},     {"i01e", SKEP_ERR_MALFORMED, 0},
        {"i-0e", SKEP_ERR_MALFORMED, 0},     {"i-01e", SKEP_ERR_MALFORMED, 0},
        {"01:a", SKEP_ERR_MALFORMED, 0},     {"00:", SKEP_ERR_MALFORMED, 0},
        {"-1:a", SKEP_ERR_MALFORMED, 0},     {"l-1:ae", SKEP_ERR_MALFORMED, 1},
        {"d-1:a0:e", SKEP_ERR_MALFORMED, 1}, {"d01:a0:e", SKEP_ERR_MALFORMED, 1},
    };
    EXPECT_REFUSED(cases);
}

static void refuses_integer_overflow(void **state)
{
    static const struct refusal cases[] = {
        {"i9223372036854775808e", SKEP_ERR_MALFORMED, 0},
        {"i-9223372036854775809e", SKEP_ERR_MALFORMED, 0},
        {"i99999999999999999999999999e", SKEP_ERR_MALFORMED, 0},
        {"18446744073709551616:a", SKEP_ERR_MALFORMED, 0},
        {"99999999999999999999999:a", SKEP_ERR_MALFORMED, 0},
        {"18446744073709551615:a", SKEP_ERR_TRUNCATED, 0},
        {"4294967297:a", SKEP_ERR_TRUNCATED, 0},
    };
    EXPECT_REFUSED(cases);
}

static void refuses_malformed_values(void **state)
{
    static const struct refusal cases[] = {
        {"x", SKEP_ERR_MALFORMED, 0},        {"e", SKEP_ERR_MALFORMED, 0},
        {"ie", SKEP_ERR_MALFORMED, 0},       {"i-e", SKEP_ERR_MALFORMED, 0},
        {"i+1e", SKEP_ERR_MALFORMED, 0},     {"i 1e", SKEP_ERR_MALFORMED, 0},
        {"i1.5e", SKEP_ERR_MALFORMED, 0},    {"4spam", SKEP_ERR_MALFORMED, 0},
        {"di1ei2ee", SKEP_ERR_MALFORMED, 1}, {"d1:ae", SKEP_ERR_MALFORMED, 4},
        {"dlei1ee", SKEP_ERR_MALFORMED, 1},  {":", SKEP_ERR_MALFORMED, 0},
    };
    EXPECT_REFUSED(cases);
}

static void refuses_duplicate_and_unsorted_keys(void **state)
{
    static const struct refusal cases[] = {
        {"d1:ai1e1:ai2ee", SKEP_ERR_MALFORMED, 7},       {"d1:bi1e1:ai2ee", SKEP_ERR_MALFORMED, 7},
        {"d2:aai1e1:ai2ee", SKEP_ERR_MALFORMED, 8},      {"d0:i1e0:i2ee", SKEP_ERR_MALFORMED, 6},
        {"d1:ad1:zi1e1:yi1eee", SKEP_ERR_MALFORMED, 11},
    };
    EXPECT_REFUSED(cases);
    assert_int_equal(parse("d1:bi1e1:ai2ee", 14, SK_BENCODE_UNSORTED, NULL), 0);
}

static void refuses_trailing_bytes(void **state)
{
    static const struct refusal cases[] = {
        {"i1ei2e", SKEP_ERR_MALFORMED, 3},
        {"dee", SKEP_ERR_MALFORMED, 2},
        {"4:spam\n", SKEP_ERR_MALFORMED, 6},
    };
    EXPECT_REFUSED(cases);
}

static void every_beginning_is_truncated(void **state)
{
    static const char text[] = "d1:ad2:bbl3:ccci-12ei0eee1:b0:e";
    assert_int_equal(parse(text, strlen(text), SK_BENCODE_STRICT, NULL), 0);
    for (size_t n = 0; n < strlen(text); n++)
        assert_int_equal(parse(text, n, SK_BENCODE_STRICT, NULL), SKEP_ERR_TRUNCATED);
}

static void prefix_leaves_what_follows(void **state)
{
    static const char text[] = "d8:msg_typei1eeDATA";
    struct sk_bencode value;
    int err = sk_bencode_parse(sk_bytes_text(text), SK_BENCODE_PREFIX, &value, NULL);
    assert_int_equal(err, 0);
    assert_int_equal(value.raw.n, strlen(text) - 4);
    assert_int_equal(sk_bencode_get_int(&value, "msg_type", -1), 1);
}

static void nesting_of_10000_levels_is_refused(void **state)
{
    enum { LEVELS = 10000 };
    char *text = malloc(2 * LEVELS);
    size_t offset;
    assert_non_null(text);
    memset(text, 'l', LEVELS);
    memset(text + LEVELS, 'e', LEVELS);
    assert_int_equal(parse(text, 2 * LEVELS, SK_BENCODE_STRICT, &offset), SKEP_ERR_LIMIT);
    assert_int_equal(offset, SK_BENCODE_DEPTH_MAX);
    const char *at = text + LEVELS - SK_BENCODE_DEPTH_MAX;
    assert_int_equal(parse(at, 2 * SK_BENCODE_DEPTH_MAX, SK_BENCODE_STRICT, NULL), 0);
    assert_int_equal(parse(at - 1, 2 * SK_BENCODE_DEPTH_MAX + 2, SK_BENCODE_STRICT, NULL),
                     SKEP_ERR_LIMIT);
    free(text);
}

static void failure_leaves_the_value_alone(void **state)
{
    struct sk_bencode value = {.integer = 42};
    size_t offset = 7;
    assert_int_equal(sk_bencode_parse(sk_bytes_text("i1"), 0, &value, &offset), SKEP_ERR_TRUNCATED);
    assert_int_equal(value.integer, 42);
    assert_int_equal(sk_bencode_parse(sk_bytes_text("i1e"), 0, &value, &offset), 0);
    assert_int_equal(value.integer, 1);
    assert_int_equal(offset, 0);
    assert_int_equal(sk_bencode_parse(sk_bytes(NULL, 0), 0, &value, NULL), SKEP_ERR_TRUNCATED);
}

static void looks_up(void **state)
{
    static const char text[] = "d1:ai-7e1:bl1:x1:ye1:c3:sun1:dd1:ei9eee";
    struct sk_bencode root, list, item;
    assert_int_equal(sk_bencode_parse(sk_bytes_text(text), 0, &root, NULL), 0);
    assert_int_equal(root.type, SK_BENCODE_DICT);
    assert_int_equal(sk_bencode_get_int(&root, "a", 0), -7);
    assert_int_equal(sk_bencode_get_int(&root, "c", 5), 5);
    assert_int_equal(sk_bencode_get_int(&root, "zz", 6), 6);
    assert_true(sk_bytes_is(sk_bencode_get_string(&root, "c"), "sun"));
    assert_null(sk_bencode_get_string(&root, "a").p);
    struct sk_bencode inner = sk_bencode_get(&root, "d");
    assert_true(sk_bytes_is(inner.raw, "d1:ei9ee"));
    assert_int_equal(sk_bencode_get_int(&inner, "e", 0), 9);
    list = sk_bencode_get(&root, "b");
    assert_int_equal(list.type, SK_BENCODE_LIST);
    assert_int_equal(sk_bencode_get(&list, "x").type, SK_BENCODE_NONE);
    struct sk_bencode_iter iter = sk_bencode_iter(&list);
    assert_true(sk_bencode_next(&iter, NULL, &item));
    assert_true(sk_bytes_is(item.string, "x"));
    assert_true(sk_bencode_next(&iter, NULL, &item));
    assert_true(sk_bytes_is(item.raw, "1:y"));
    assert_false(sk_bencode_next(&iter, NULL, &item));
    iter = sk_bencode_iter(&item);
    assert_false(sk_bencode_next(&iter, NULL, &item));
}

static void integers_read_back(void **state)
{
    static const int64_t values[] = {0, 1, -1, 10, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < SK_ARRAY_LEN(values); i++) {
        struct sk_buf buf;
        struct sk_bencode value;
        sk_buf_init(&buf, 100);
        sk_bencode_put_int(&buf, values[i]);
        assert_int_equal(sk_bencode_parse(sk_buf_bytes(&buf), 0, &value, NULL), 0);
        assert_true(value.integer == values[i]);
        sk_buf_deinit(&buf);
    }
}

static void first_of_duplicates_wins(void **state)
{
    static const char text[] = "d1:ai1e1:ai2ee";
    struct sk_bencode root;
    assert_int_equal(sk_bencode_parse(sk_bytes_text(text), SK_BENCODE_UNSORTED, &root, NULL), 0);
    assert_int_equal(sk_bencode_get_int(&root, "a", 0), 1);
}

static void writes(void **state)
{
    struct sk_buf buf;
    sk_buf_init(&buf, 30);
    sk_bencode_put_dict(&buf);
    sk_bencode_put_text(&buf, "a");
    sk_bencode_put_list(&buf);
    sk_bencode_put_int(&buf, -5);
    sk_bencode_put_string(&buf, sk_bytes("\0\1", 2));
    sk_bencode_put_end(&buf);
    sk_bencode_put_end(&buf);
    assert_true(sk_bytes_equal(sk_buf_bytes(&buf), sk_bytes("d1:ali-5e2:\0\1ee", 15)));
    assert_false(buf.failed);
    sk_bencode_put_text(&buf, "more than there is room for");
    assert_true(buf.failed);
    sk_buf_deinit(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_canonical_values),
        cmocka_unit_test(refuses_leading_zeros_and_negative_lengths),
        cmocka_unit_test(refuses_integer_overflow),
        cmocka_unit_test(refuses_malformed_values),
        cmocka_unit_test(refuses_duplicate_and_unsorted_keys),
        cmocka_unit_test(refuses_trailing_bytes),
        cmocka_unit_test(every_beginning_is_truncated),
        cmocka_unit_test(prefix_leaves_what_follows),
        cmocka_unit_test(nesting_of_10000_levels_is_refused),
        cmocka_unit_test(failure_leaves_the_value_alone),
        cmocka_unit_test(looks_up),
        cmocka_unit_test(integers_read_back),
        cmocka_unit_test(first_of_duplicates_wins),
        cmocka_unit_test(writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
