/* The canonical allowed-fast set: the examples of BEP 6, and its edges. */
#include "swarm/allowed_fast.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const uint32_t example[] = {1059, 431, 808, 1217, 287, 376, 1188, 353, 508};

static struct sk_endpoint at(const char *text)
{
    struct sk_endpoint endpoint;
    assert_int_equal(sk_endpoint_parse(text, 0, &endpoint), 0);
    return endpoint;
}

static uint32_t set_of(const char *address, uint32_t pieces, uint32_t count, uint32_t *ret_set)
{
    uint8_t hash[SK_SHA1_SIZE];
    struct sk_endpoint peer = at(address);
    memset(hash, 0xaa, sizeof hash);
    return sk_allowed_fast(hash, &peer, pieces, count, ret_set);
}

static void test_examples(void **state)
{
    uint32_t set[9];
    assert_int_equal(set_of("80.4.4.200:6881", 1313, 7, set), 7);
    assert_memory_equal(set, example, 7 * sizeof *set);
    assert_int_equal(set_of("80.4.4.200:6881", 1313, 9, set), 9);
    assert_memory_equal(set, example, 9 * sizeof *set);
    /* The network counts, not the host, nor the port. */
    assert_int_equal(set_of("80.4.4.1:1", 1313, 9, set), 9);
    assert_memory_equal(set, example, 9 * sizeof *set);
    assert_int_equal(set_of("80.4.5.200:6881", 1313, 9, set), 9);
    assert_memory_not_equal(set, example, 9 * sizeof *set);
}

static void test_few_pieces(void **state)
{
    uint32_t set[5], seen = 0;
    assert_int_equal(set_of("80.4.4.200:6881", 3, 5, set), 3);
    for (int i = 0; i < 3; i++)
        seen |= UINT32_C(1) << set[i];
    assert_int_equal(seen, 7);
    assert_int_equal(set_of("80.4.4.200:6881", 0, 5, set), 0);
    assert_int_equal(set_of("80.4.4.200:6881", 100, 0, set), 0);
}

static void test_ipv6(void **state)
{
    uint32_t set[5];
    assert_int_equal(set_of("[2001:db8::1]:6881", 1313, 5, set), 0);
    assert_int_equal(set_of("[::ffff:80.4.4.200]:6881", 1313, 5, set), 5);
    assert_memory_equal(set, example, sizeof set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_few_pieces),
        cmocka_unit_test(test_ipv6),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
