/* What a TARGET is taken for, and what a link of BEP 46 points to. */
#include "cmd/target.h"

#include <skep/err.h>

#include "base/assert.h"
#include "cmd/cmd.h"
#include "cmd/pointer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define HASH "c3088c236ba01f5f9760bee91b53082e184db542"
#define KEY "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e"

static void test_kinds(void **state)
{
    static const struct {
        const char *text;
        enum sk_target_kind kind;
    } cases[] = {
        {HASH, SK_TARGET_LINK},
        {KEY, SK_TARGET_LINK},
        {"magnet:?xt=urn:btih:" HASH, SK_TARGET_LINK},
        {"magnet:?xs=urn:btpk:" KEY, SK_TARGET_POINTER},
        {"MAGNET:?tr=udp://t:1&xs=urn:btpk:" KEY "&s=6e", SK_TARGET_POINTER},
        /* names a torrent: that is it */
        {"magnet:?xs=urn:btpk:" KEY "&xt=urn:btih:" HASH, SK_TARGET_LINK},
        {"magnet:?xt=urn:btih:none&xs=urn:btpk:" KEY, SK_TARGET_POINTER},
        /* broken: for those to complain about who read it */
        {"magnet:?xs=urn:btpk:" KEY "&s=6", SK_TARGET_LINK},
        {"magnet:?xs=urn:btpk:" HASH, SK_TARGET_LINK},
        {"magnet:", SK_TARGET_LINK},
        {"https://host/x.torrent", SK_TARGET_URL},
        {"/dev/null", SK_TARGET_FILE},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_target target;
        assert_int_equal(SK_EXIT_DONE, sk_target_read(cases[i].text, &target));
        assert_int_equal(cases[i].kind, target.kind);
        sk_target_deinit(&target);
    }
}

#define BYTES_10 "0123456789"
#define BYTES_20 BYTES_10 BYTES_10

static void test_values(void **state)
{
    static const struct {
        const char *value;
        int err;
    } cases[] = {
        {"d2:ih20:" BYTES_20 "e", 0},
        {"d1:a1:b2:ih20:" BYTES_20 "5:otheri1ee", 0}, /* for those who know more than BEP 46 */
        {"d2:ih32:" BYTES_20 BYTES_10 "xxe", SKEP_ERR_UNSUPPORTED},
        {"d2:ih40:" BYTES_20 BYTES_20 "e", SKEP_ERR_MALFORMED},
        {"d2:ih0:e", SKEP_ERR_MALFORMED},
        {"d2:ihi20ee", SKEP_ERR_MALFORMED},
        {"d2:ihl20:" BYTES_20 "ee", SKEP_ERR_MALFORMED},
        {"d2:iH20:" BYTES_20 "e", SKEP_ERR_MALFORMED},
        {"de", SKEP_ERR_MALFORMED},
        {"20:" BYTES_20, SKEP_ERR_MALFORMED},
        {"l2:ih20:" BYTES_20 "e", SKEP_ERR_MALFORMED},
        {"d2:ih20:" BYTES_20, SKEP_ERR_MALFORMED},
        {"d2:ih20:" BYTES_20 "ee", SKEP_ERR_MALFORMED},
        {"", SKEP_ERR_MALFORMED},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        uint8_t hash[20] = {0};
        const char *reason = NULL;
        assert_int_equal(cases[i].err,
                         sk_pointer_read(sk_bytes_text(cases[i].value), hash, &reason));
        if (cases[i].err)
            assert_non_null(reason);
        else
            assert_memory_equal(BYTES_20, hash, sizeof hash);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
