/* SOCKS5: bytes of addresses and headers, and the dialogue with a proxy, byte by byte. */
#include "proto/socks/socks.h"

#include <skep/err.h>

#include "base/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct sk_socks_account nobody, somebody = {"user", "secret"};

static struct sk_endpoint at(const char *text)
{
    struct sk_endpoint endpoint;
    assert_int_equal(0, sk_endpoint_parse(text, 0, &endpoint));
    return endpoint;
}

#define assert_bytes(text, bytes)                                                                  \
    do {                                                                                           \
        struct sk_bytes got_ = (bytes);                                                            \
        assert_int_equal(sizeof(text) - 1, got_.n);                                                \
        assert_memory_equal(text, got_.p, got_.n);                                                 \
    } while (0)

static void begin(struct sk_socks *socks, const char *to, const char *name,
                  const struct sk_socks_account *account)
{
    struct sk_endpoint endpoint = at(to);
    assert_int_equal(0, sk_socks_init(socks, SK_SOCKS_CONNECT, &endpoint, name, account));
}

#define says(socks, text)                                                                          \
    do {                                                                                           \
        assert_bytes(text, sk_socks_output(socks));                                                \
        sk_socks_sent(socks, sizeof(text) - 1);                                                    \
        assert_int_equal(0, sk_socks_output(socks).n);                                             \
    } while (0)

/* One byte at a time: no more is wanted than there is. */
static void hear(struct sk_socks *socks, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_in_range(sk_socks_wanted(socks), 1, n - i);
        sk_socks_input(socks, sk_bytes(text + i, 1));
    }
}
#define hears(socks, text) hear(socks, text, sizeof(text) - 1)

static void test_connect(void **state)
{
    struct sk_socks socks;
    begin(&socks, "10.0.0.1:6881", NULL, &nobody);
    says(&socks, "\5\1\0");
    hears(&socks, "\5\0");
    says(&socks, "\5\1\0\1\12\0\0\1\x1a\xe1");
    assert_int_equal(5, sk_socks_wanted(&socks));
    hears(&socks, "\5\0\0\1\300\0\2\1\4\0");
    assert_int_equal(SK_SOCKS_OPEN, socks.stage);
    assert_int_equal(0, sk_socks_wanted(&socks));
    struct sk_endpoint bound = at("192.0.2.1:1024");
    assert_true(sk_endpoint_equal(&bound, &socks.bound));
}

static void test_connect_v6_and_name_in_reply(void **state)
{
    struct sk_socks socks;
    begin(&socks, "[2001:db8::1]:6881", NULL, &nobody);
    says(&socks, "\5\1\0");
    hears(&socks, "\5\0");
    says(&socks, "\5\1\0\4\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x1a\xe1");
    hears(&socks, "\5\0\0\3\2ab\4\0");
    assert_int_equal(SK_SOCKS_OPEN, socks.stage);
    assert_int_equal(SK_FAMILY_NONE, socks.bound.family);
    assert_int_equal(1024, socks.bound.port);
}

static void test_name_is_the_proxys(void **state)
{
    struct sk_socks socks;
    begin(&socks, "240.0.0.1:80", "peer.test", &nobody);
    says(&socks, "\5\1\0");
    hears(&socks, "\5\0");
    says(&socks, "\5\1\0\3\11peer.test\0\120");
}

static void test_account(void **state)
{
    struct sk_socks socks;
    begin(&socks, "10.0.0.1:6881", NULL, &somebody);
    says(&socks, "\5\2\0\2");
    hears(&socks, "\5\2");
    says(&socks, "\1\4user\6secret");
    hears(&socks, "\1\0");
    says(&socks, "\5\1\0\1\12\0\0\1\x1a\xe1");
    /* It may also want none. */
    begin(&socks, "10.0.0.1:6881", NULL, &somebody);
    hears(&socks, "\5\0");
    assert_int_equal(SK_SOCKS_REPLY, socks.stage);
}

static void test_longest_account(void **state)
{
    struct sk_socks_account account;
    struct sk_socks socks;
    memset(account.user, 'u', SK_SOCKS_ACCOUNT_MAX);
    memset(account.password, 'p', SK_SOCKS_ACCOUNT_MAX);
    account.user[SK_SOCKS_ACCOUNT_MAX] = account.password[SK_SOCKS_ACCOUNT_MAX] = 0;
    begin(&socks, "10.0.0.1:6881", NULL, &account);
    hears(&socks, "\5\2");
    struct sk_bytes out = sk_socks_output(&socks);
    assert_int_equal(3 + 2 * 255, out.n);
    assert_int_equal(255, out.p[1]);
    assert_int_equal(255, out.p[257]);
    assert_int_equal('p', out.p[512]);
}

static void test_associate(void **state)
{
    struct sk_socks socks;
    struct sk_endpoint ignored = at("10.0.0.1:6881");
    assert_int_equal(0, sk_socks_init(&socks, SK_SOCKS_ASSOCIATE, &ignored, NULL, &nobody));
    says(&socks, "\5\1\0");
    hears(&socks, "\5\0");
    says(&socks, "\5\3\0\1\0\0\0\0\0\0");
}

static void test_failures(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        enum sk_socks_failure failure;
        bool account;
    } cases[] = {
        {"\4\0", 2, SK_SOCKS_NOT_SOCKS, false},
        {"HT", 2, SK_SOCKS_NOT_SOCKS, false},
        {"\5\377", 2, SK_SOCKS_WANTS_ACCOUNT, true},
        {"\5\2", 2, SK_SOCKS_WANTS_ACCOUNT, false}, /* never offered */
        {"\5\2\1\1", 4, SK_SOCKS_ACCOUNT_REFUSED, true},
        {"\5\0\5\1\0\1\0", 7, SK_SOCKS_GENERAL, false},
        {"\5\0\5\5\0\1\0", 7, SK_SOCKS_REFUSED, false},
        {"\5\0\5\7\0\1\0", 7, SK_SOCKS_NO_COMMAND, false},
        {"\5\0\5\10\0\1\0", 7, SK_SOCKS_NO_ADDRESS_TYPE, false},
        {"\5\0\5\11\0\1\0", 7, SK_SOCKS_UNKNOWN_REPLY, false},
        {"\5\0\5\377\0\1\0", 7, SK_SOCKS_UNKNOWN_REPLY, false},
        {"\5\0\1\0\0\1\0", 7, SK_SOCKS_NOT_SOCKS, false},
        {"\5\0\5\0\0\2\0", 7, SK_SOCKS_NOT_SOCKS, false}, /* no such kind of address */
        {"\5\0\5\0\0\3\0", 7, SK_SOCKS_NOT_SOCKS, false}, /* a name without a letter */
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_socks socks;
        begin(&socks, "10.0.0.1:6881", NULL, cases[i].account ? &somebody : &nobody);
        hear(&socks, cases[i].bytes, cases[i].n);
        assert_int_equal(SK_SOCKS_FAILED, socks.stage);
        assert_int_equal(cases[i].failure, socks.failure);
        assert_int_equal(0, sk_socks_wanted(&socks));
        assert_int_equal(0, sk_socks_output(&socks).n);
        assert_non_null(sk_socks_failure_text(socks.failure));
    }
}

static void test_what_cannot_be_asked(void **state)
{
    struct sk_socks socks;
    struct sk_endpoint nowhere = {0}, somewhere = at("10.0.0.1:1");
    char name[SK_SOCKS_NAME_MAX + 2];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    assert_int_equal(SKEP_ERR_INVALID,
                     sk_socks_init(&socks, SK_SOCKS_CONNECT, &nowhere, NULL, &nobody));
    assert_int_equal(SKEP_ERR_INVALID,
                     sk_socks_init(&socks, SK_SOCKS_CONNECT, &somewhere, name, &nobody));
    assert_int_equal(SKEP_ERR_INVALID,
                     sk_socks_init(&socks, SK_SOCKS_CONNECT, &somewhere, "", &nobody));
    assert_int_equal(0, sk_socks_init(&socks, SK_SOCKS_CONNECT, &somewhere, name + 1, &nobody));
}

static void test_header(void **state)
{
    uint8_t bytes[SK_SOCKS_HEADER_MAX];
    struct sk_endpoint v4 = at("10.0.0.1:6881"), v6 = at("[2001:db8::1]:6881"), from;
    size_t n;
    assert_bytes("\0\0\0\1\12\0\0\1\x1a\xe1",
                 sk_bytes(bytes, sk_socks_write_header(&v4, NULL, bytes)));
    assert_bytes("\0\0\0\3\4name\x1a\xe1",
                 sk_bytes(bytes, sk_socks_write_header(&v4, "name", bytes)));
    assert_int_equal(22, sk_socks_write_header(&v6, NULL, bytes));
    assert_int_equal(0, sk_socks_read_header(sk_bytes(bytes, 22), &from, &n));
    assert_int_equal(22, n);
    assert_true(sk_endpoint_equal(&v6, &from));
    for (size_t cut = 0; cut < 22; cut++)
        assert_int_equal(SKEP_ERR_MALFORMED, sk_socks_read_header(sk_bytes(bytes, cut), &from, &n));
    bytes[2] = 1; /* a fragment */
    assert_int_equal(SKEP_ERR_MALFORMED, sk_socks_read_header(sk_bytes(bytes, 22), &from, &n));
    assert_int_equal(SKEP_ERR_MALFORMED,
                     sk_socks_read_header(sk_bytes("\0\0\0\3\4name\x1a\xe1", 11), &from, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_connect_v6_and_name_in_reply),
        cmocka_unit_test(test_name_is_the_proxys),
        cmocka_unit_test(test_account),
        cmocka_unit_test(test_longest_account),
        cmocka_unit_test(test_associate),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_what_cannot_be_asked),
        cmocka_unit_test(test_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
