/* Compact peers: both families, tails shorter than an entry, counts that do not fit. */
#include "wire/compact.h"

#include <skep/err.h>

#include "base/assert.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const uint8_t two_v4[] = {127, 0, 0, 1, 0x1a, 0xe1, 10, 99, 0, 7, 0, 1};

static void test_reads_v4(void **state)
{
    struct sk_endpoint peers[4];
    size_t rest = 99;
    char text[SK_ENDPOINT_TEXT_MAX];
    assert_int_equal(2, sk_compact_read(sk_bytes(two_v4, sizeof two_v4), SK_FAMILY_V4, peers,
                                        SK_ARRAY_LEN(peers), &rest));
    assert_int_equal(0, rest);
    assert_string_equal("127.0.0.1:6881", sk_endpoint_text(&peers[0], text));
    assert_string_equal("10.99.0.7:1", sk_endpoint_text(&peers[1], text));
}

static void test_reads_v6_and_folds_mapped(void **state)
{
    uint8_t bytes[36] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1, 0x1a, 0xe1};
    bytes[18 + 10] = bytes[18 + 11] = 0xff;
    bytes[18 + 12] = 10, bytes[18 + 15] = 9, bytes[18 + 17] = 80;
    struct sk_endpoint peers[2];
    char text[SK_ENDPOINT_TEXT_MAX];
    assert_int_equal(2,
                     sk_compact_read(sk_bytes(bytes, sizeof bytes), SK_FAMILY_V6, peers, 2, NULL));
    assert_string_equal("[2001:db8::1]:6881", sk_endpoint_text(&peers[0], text));
    assert_string_equal("10.0.0.9:80", sk_endpoint_text(&peers[1], text));
}

static void test_every_truncation(void **state)
{
    for (size_t n = 0; n <= sizeof two_v4; n++) {
        struct sk_endpoint peers[2];
        size_t rest = 99;
        assert_int_equal(n / 6,
                         sk_compact_read(sk_bytes(two_v4, n), SK_FAMILY_V4, peers, 2, &rest));
        assert_int_equal(n % 6, rest);
    }
    assert_int_equal(0, sk_compact_read(sk_bytes(NULL, 0), SK_FAMILY_V6, NULL, 0, NULL));
}

static void test_never_more_than_max(void **state)
{
    struct sk_endpoint peers[2] = {{.port = 1}, {.port = 4242}};
    assert_int_equal(
        1, sk_compact_read(sk_bytes(two_v4, sizeof two_v4), SK_FAMILY_V4, peers, 1, NULL));
    assert_int_equal(6881, peers[0].port);
    assert_int_equal(4242, peers[1].port);
}

static void test_writes_what_it_reads(void **state)
{
    static const char *const texts[] = {"127.1.2.3:65535", "[2001:db8::ffff]:1"};
    for (size_t i = 0; i < SK_ARRAY_LEN(texts); i++) {
        struct sk_endpoint in, out;
        struct sk_buf buf;
        sk_buf_init(&buf, 64);
        assert_int_equal(0, sk_endpoint_parse(texts[i], 0, &in));
        assert_int_equal(0, sk_compact_write(&buf, &in));
        assert_int_equal(in.family == SK_FAMILY_V6 ? 18 : 6, buf.n);
        assert_int_equal(
            1, sk_compact_read(sk_buf_bytes(&buf), (enum sk_family)in.family, &out, 1, NULL));
        assert_true(sk_endpoint_equal(&in, &out));
        sk_buf_deinit(&buf);
    }
}

static void test_writes_no_endpoint_without_family(void **state)
{
    struct sk_buf buf;
    struct sk_endpoint none = {0};
    sk_buf_init(&buf, 64);
    assert_int_equal(SKEP_ERR_INVALID, sk_compact_write(&buf, &none));
    assert_int_equal(0, buf.n);
    sk_buf_deinit(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_v4),
        cmocka_unit_test(test_reads_v6_and_folds_mapped),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_never_more_than_max),
        cmocka_unit_test(test_writes_what_it_reads),
        cmocka_unit_test(test_writes_no_endpoint_without_family),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
