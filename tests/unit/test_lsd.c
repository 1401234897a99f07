/* Local service discovery datagrams: what real clients send, and what strangers might. */
#include "wire/lsd.h"

#include <skep/err.h>

#include "base/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define HEAD "BT-SEARCH * HTTP/1.1\r\n"
#define LONG "123456789 123456789 123456789 123456789 123456789 123456789 " /* 60 */
#define HASH "0123456789abcdef0123456789abcdef01234567"

static int read_text(const char *text, struct sk_lsd *ret_lsd)
{
    return sk_lsd_read(sk_bytes_text(text), ret_lsd);
}

static void test_reads(void **state)
{
    struct sk_lsd lsd;
    assert_int_equal(0, read_text(HEAD "Host: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: " HASH
                                       "\r\ncookie: abc\r\n\r\n\r\n",
                                  &lsd));
    assert_int_equal(6881, lsd.port);
    assert_int_equal(1, lsd.hashes_count);
    assert_int_equal(0x01, lsd.hashes[0][0]);
    assert_int_equal(0x67, lsd.hashes[0][19]);
    assert_string_equal("abc", lsd.cookie);
}

static void test_reads_other_spellings(void **state)
{
    struct sk_lsd lsd;
    assert_int_equal(0, read_text("BT-SEARCH * HTTP/1.1\nPORT:1\nX-New: a:b\nno colon here\n"
                                  "INFOHASH:\t0123456789ABCDEF0123456789ABCDEF01234567 \n",
                                  &lsd));
    assert_int_equal(1, lsd.port);
    assert_int_equal(0xef, lsd.hashes[0][7]);
    assert_string_equal("", lsd.cookie);
}

static void test_refuses(void **state)
{
    static const char *const bad[] = {
        "",
        "\r\n",
        "GET / HTTP/1.1\r\nPort: 1\r\nInfohash: " HASH "\r\n\r\n",
        HEAD "Infohash: " HASH "\r\n\r\n",
        HEAD "Port: 6881\r\n\r\n",
        HEAD "Port: 0\r\nInfohash: " HASH "\r\n\r\n",
        HEAD "Port: 65536\r\nInfohash: " HASH "\r\n\r\n",
        HEAD "Port: -1\r\nInfohash: " HASH "\r\n\r\n",
        HEAD "Port: 4294967297\r\nInfohash: " HASH "\r\n\r\n",
        HEAD "Port: 6881x\r\nInfohash: " HASH "\r\n\r\n",
        HEAD "Port:\r\nInfohash: " HASH "\r\n\r\n",
        HEAD "Port: 6881\r\nInfohash: " HASH "00\r\n\r\n",
        HEAD "Port: 6881\r\nInfohash: 0123\r\n\r\n",
        HEAD "Port: 6881\r\nInfohash: zz23456789abcdef0123456789abcdef01234567\r\n\r\n",
        HEAD "Port: 6881\r\n\r\nInfohash: " HASH "\r\n",
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(bad); i++) {
        struct sk_lsd lsd = {.port = 7};
        assert_int_equal(SKEP_ERR_MALFORMED, read_text(bad[i], &lsd));
        assert_int_equal(7, lsd.port);
    }
}

static void test_bounds_hashes(void **state)
{
    struct sk_buf buf;
    struct sk_lsd lsd;
    sk_buf_init(&buf, 65536);
    sk_buf_text(&buf, HEAD "Port: 6881\r\n");
    for (int i = 0; i < 100; i++)
        sk_buf_printf(&buf, "Infohash: %040x\r\n", i);
    sk_buf_text(&buf, "\r\n\r\n");
    assert_int_equal(0, sk_lsd_read(sk_buf_bytes(&buf), &lsd));
    assert_int_equal(SK_LSD_HASHES_MAX, lsd.hashes_count);
    assert_int_equal(SK_LSD_HASHES_MAX - 1, lsd.hashes[SK_LSD_HASHES_MAX - 1][19]);
    sk_buf_deinit(&buf);
}

static void test_cookies_of_strangers(void **state)
{
    static const struct {
        const char *cookie, *read;
    } cases[] = {
        {"a b~", "a b~"},    {"", ""},
        {"a\rInfohash", ""}, {"\x1b[2J", ""},
        {"caf\xc3\xa9", ""}, {LONG "123", LONG "123"},
        {LONG "1234", ""},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_lsd lsd;
        char text[512];
        snprintf(text, sizeof text, HEAD "Port: 1\r\nInfohash: " HASH "\r\ncookie: %s\r\n",
                 cases[i].cookie);
        assert_int_equal(0, read_text(text, &lsd));
        assert_string_equal(cases[i].read, lsd.cookie);
    }
}

static void test_writes_what_it_reads(void **state)
{
    for (int family = SK_FAMILY_V4; family <= SK_FAMILY_V6; family += 2) {
        struct sk_lsd lsd = {.port = 51413, .hashes_count = 2, .cookie = "skep-1"}, back;
        struct sk_buf buf;
        memset(lsd.hashes[0], 0xab, 20);
        memset(lsd.hashes[1], 0x01, 20);
        sk_buf_init(&buf, 1400);
        assert_int_equal(0, sk_lsd_write(&buf, (enum sk_family)family, &lsd));
        const char *group = family == SK_FAMILY_V6 ? "\r\nHost: [ff15::efc0:988f]:6771\r\n"
                                                   : "\r\nHost: 239.192.152.143:6771\r\n";
        assert_non_null(memmem(buf.p, buf.n, group, strlen(group)));
        assert_memory_equal("\r\n\r\n\r\n", buf.p + buf.n - 6, 6);
        assert_int_equal(0, sk_lsd_read(sk_buf_bytes(&buf), &back));
        assert_int_equal(lsd.port, back.port);
        assert_int_equal(2, back.hashes_count);
        assert_memory_equal(lsd.hashes, back.hashes, 40);
        assert_string_equal(lsd.cookie, back.cookie);
        sk_buf_deinit(&buf);
    }
}

static void test_write_that_does_not_fit(void **state)
{
    struct sk_lsd lsd = {.port = 1, .hashes_count = 1};
    struct sk_buf buf;
    sk_buf_init(&buf, 100);
    assert_true(sk_lsd_write(&buf, SK_FAMILY_V4, &lsd) < 0);
    sk_buf_deinit(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_reads_other_spellings),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_bounds_hashes),
        cmocka_unit_test(test_cookies_of_strangers),
        cmocka_unit_test(test_writes_what_it_reads),
        cmocka_unit_test(test_write_that_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
