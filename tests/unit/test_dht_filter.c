/* wire/dht_filter: the filters of BEP 33, against its test vector. */
#include "wire/dht_filter.h"

#include "base/assert.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the ones above first */
#include <cmocka.h>

static const char vector[] =
    "F6C3F5EAA07FFD91BDE89F777F26FB2BFF37BDB8FB2BBAA2FD3DDDE7BACFFF75EE7CCBAE"
    "FE5EEDB1FBFAFF67F6ABFF5E43DDBCA3FD9B9FFDF4FFD3E9DFF12D1BDF59DB53DBE9FA5B"
    "7FF3B8FDFCDE1AFB8BEDD7BE2F3EE71EBBBFE93BCDEEFE148246C2BC5DBFF7E7EFDCF24F"
    "D8DC7ADFFD8FFFDFDDFFF7A4BBEEDF5CB95CE81FC7FCFF1FF4FFFFDFE5F7FDCBB7FD79B3"
    "FA1FC77BFE07FFF905B7B7FFC7FEFEFFE0B8370BB0CD3F5B7F2BD93FEB4386CFDD6F7FD5"
    "BFAF2E9EBFFFFEECD67ADBF7C67F17EFD5D75EBA6FFEBA7FFF47A91EB1BFBB53E8ABFB57"
    "62ABE8FF237279BFEFBFEEF5FFC5FEBFDFE5ADFFADFEE1FB737FFFFBFD9F6AEFFEEE76B6"
    "FD8F72EF";

static struct sk_endpoint v4(unsigned i)
{
    return sk_endpoint_v4((uint8_t[4]){192, 0, 2, (uint8_t)i}, (uint16_t)(i + 1));
}

static struct sk_endpoint v6(unsigned i)
{
    uint8_t addr[16] = {0x20, 0x01, 0x0d, 0xb8, [14] = (uint8_t)(i >> 8), (uint8_t)i};
    return sk_endpoint_v6(addr, 6881);
}

static void the_vector_of_the_specification(void **state)
{
    struct sk_dht_filter filter = {0};
    uint8_t wanted[SK_KRPC_FILTER_SIZE];
    for (unsigned i = 0; i < 256; i++) {
        struct sk_endpoint endpoint = v4(i);
        sk_dht_filter_add(&filter, &endpoint);
    }
    for (unsigned i = 0; i < 1000; i++) {
        struct sk_endpoint endpoint = v6(i);
        sk_dht_filter_add(&filter, &endpoint);
    }
    assert_true(sk_hex_decode(vector, strlen(vector), wanted, sizeof wanted));
    assert_memory_equal(filter.bits, wanted, sizeof wanted);
    assert_true(fabs(sk_dht_filter_estimate(&filter) - 1224.9308) < 0.0001); /* cut off there */
    assert_false(sk_dht_filter_full(&filter));
    for (unsigned i = 0; i < 256; i++) {
        struct sk_endpoint endpoint = v4(i);
        assert_true(sk_dht_filter_has(&filter, &endpoint));
    }
}

static void an_address_counts_once(void **state)
{
    struct sk_dht_filter filter = {0};
    struct sk_endpoint one = v4(1), other = v4(2), other_port = one;
    assert_true(sk_dht_filter_estimate(&filter) == 0);
    assert_false(sk_dht_filter_has(&filter, &one));
    sk_dht_filter_add(&filter, &one);
    struct sk_dht_filter before = filter;
    other_port.port++;
    sk_dht_filter_add(&filter, &other_port);
    assert_memory_equal(&filter, &before, sizeof filter);
    assert_true(sk_dht_filter_has(&filter, &one) && sk_dht_filter_has(&filter, &other_port));
    assert_false(sk_dht_filter_has(&filter, &other));
    assert_true(fabs(sk_dht_filter_estimate(&filter) - 1) < 0.01);
    struct sk_dht_filter by_bits = {0};
    sk_dht_filter_set(&by_bits, sk_dht_filter_bits(&one));
    assert_memory_equal(&by_bits, &before, sizeof by_bits);
}

/* The filter of a union is the union of filters, and its estimate follows. */
static void filters_are_merged(void **state)
{
    struct sk_dht_filter a = {0}, b = {0}, both = {0};
    for (unsigned i = 0; i < 600; i++) {
        struct sk_endpoint endpoint = v6(i);
        if (i < 400)
            sk_dht_filter_add(&a, &endpoint);
        if (i >= 200)
            sk_dht_filter_add(&b, &endpoint);
        sk_dht_filter_add(&both, &endpoint);
    }
    sk_dht_filter_merge(&a, b.bits);
    assert_memory_equal(&a, &both, sizeof a);
    assert_true(fabs(sk_dht_filter_estimate(&a) - 600) < 60);
}

/* Up to what it is made for; a stranger may send any bits, too. */
static void a_filter_gets_full(void **state)
{
    struct sk_dht_filter filter = {0};
    unsigned i = 0;
    for (; i < 3000; i++) {
        struct sk_endpoint endpoint = v6(i);
        sk_dht_filter_add(&filter, &endpoint);
    }
    assert_false(sk_dht_filter_full(&filter));
    for (; i < 20000; i++) {
        struct sk_endpoint endpoint = v6(i);
        sk_dht_filter_add(&filter, &endpoint);
    }
    assert_true(sk_dht_filter_full(&filter));
    memset(&filter, 0xff, sizeof filter);
    double most = sk_dht_filter_estimate(&filter);
    assert_true(isfinite(most) && most > 7800 && most < 7806);
    assert_true(sk_dht_filter_full(&filter));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vector_of_the_specification),
        cmocka_unit_test(an_address_counts_once),
        cmocka_unit_test(filters_are_merged),
        cmocka_unit_test(a_filter_gets_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
