/* When the auditor's own line is called full, and when it is not. */
#include "audit/downlink.h"

#include "base/bytes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

#define PEERS 32

static struct sk_downlink downlink;
static struct sk_downlink_share shares[PEERS];

static int set_up(void **state)
{
    memset(&downlink, 0, sizeof downlink);
    memset(shares, 0, sizeof shares);
    return 0;
}

/* Twenty times a second, from one second to another, by so many peers alike. */
static void fill(uint64_t from_s, uint64_t until_s, uint32_t peers, uint64_t bytes_s)
{
    for (uint64_t t = from_s * 20; t < until_s * 20; t++)
        for (uint32_t i = 0; i < peers; i++)
            sk_downlink_note(&downlink, &shares[i], bytes_s / 20 / peers, t * SECOND / 20);
}

static bool is_full(uint64_t from_s, uint64_t until_s)
{
    return sk_downlink_full(&downlink, from_s * SECOND, until_s * SECOND);
}

/* Sixteen peers have what four had: the line is full for all of them. */
static void test_full(void **state)
{
    fill(0, 5, 4, 1000000);
    fill(5, 10, 16, 1010000);
    assert_true(is_full(1, 4));
    assert_true(is_full(6, 9));
}

/* The sum follows the number of peers: it is theirs. */
static void test_follows(void **state)
{
    fill(0, 5, 4, 250000);
    fill(5, 10, 16, 1000000);
    assert_false(is_full(6, 9));
}

/* It was full later, not while this peer was probed. */
static void test_elsewhere(void **state)
{
    fill(0, 5, 2, 300000);
    fill(5, 10, 4, 1000000);
    fill(10, 15, 16, 1000000);
    assert_false(is_full(1, 4));
    assert_true(is_full(6, 9));
}

/* One at a time: each shows what it can, unless others together come to the very same. */
static void test_alone(void **state)
{
    fill(0, 5, 1, 1000000);
    fill(5, 10, 3, 1050000);
    assert_false(is_full(1, 4));
    fill(10, 15, 8, 1000000);
    assert_true(is_full(1, 4));
}

/* Those that give hardly anything are not many that give. */
static void test_idlers(void **state)
{
    fill(0, 5, 1, 1000000);
    for (uint32_t t = 0; t < 200; t++)
        for (uint32_t i = 0; i < 8; i++)
            sk_downlink_note(&downlink, &shares[i], i ? 100 : 50000, 5 * SECOND + t * SECOND / 20);
    assert_false(is_full(1, 4));
    assert_false(is_full(6, 14));
}

/* One gives most, and small ones come and go: some 1.5 givers, by which nothing is bounded. */
static void test_dominant(void **state)
{
    for (uint32_t t = 0; t < 200; t++)
        for (uint32_t i = 0; i < 20; i++) {
            uint64_t bytes = i ? 730 + (i + t / 20) % 3 * 50 : 65500;
            sk_downlink_note(&downlink, &shares[i], bytes, t * SECOND / 20);
        }
    assert_false(is_full(1, 9));
}

/* A lost packet holds back what came after it, and all of that comes at once. */
static void test_losses(void **state)
{
    for (uint32_t t = 0; t < 100; t++)
        for (uint32_t i = 0; i < 2 + 2 * (t / 50); i++) {
            uint64_t bytes = 250000 / (2 + 2 * (t / 50));
            bytes = t % 5 == 2 ? bytes / 4 : t % 5 == 3 ? bytes * 7 / 4 : bytes;
            sk_downlink_note(&downlink, &shares[i], bytes, t * SECOND / 4);
        }
    assert_true(is_full(1, 10));
    assert_true(is_full(14, 24));
}

/* A line that carries more at times is not full when it carries less. */
static void test_more(void **state)
{
    fill(0, 5, 4, 1000000);
    fill(5, 10, 16, 1000000);
    fill(10, 13, 2, 1500000);
    assert_false(is_full(1, 4));
}

/* The sums of two short moments are alike by chance. */
static void test_chance(void **state)
{
    fill(0, 1, 4, 1000000);
    fill(1, 3, 2, 400000);
    for (uint64_t t = 0; t < 10; t++)
        sk_downlink_note(&downlink, &shares[t % 2], 50000, 3 * SECOND + t * SECOND / 20);
    assert_false(is_full(0, 1));
}

/* It carries what came in three seconds; what came at once may have been held back before. */
static void test_is_wider(void **state)
{
    assert_false(sk_downlink_is_wider(&downlink, 1));
    fill(0, 5, 1, 300000);
    sk_downlink_note(&downlink, &shares[0], 200000, 5 * SECOND);
    fill(6, 10, 2, 300000);
    assert_false(sk_downlink_is_wider(&downlink, 300000));
    assert_true(sk_downlink_is_wider(&downlink, 230000));
    fill(10, 14, 2, 376000);
    assert_true(sk_downlink_is_wider(&downlink, 300000));
    fill(14, 200, 1, 1000);
    assert_true(sk_downlink_is_wider(&downlink, 300000));
    assert_false(sk_downlink_is_wider(&downlink, NAN));
}

static void test_never_varied(void **state)
{
    fill(0, 20, 32, 1000000);
    assert_false(is_full(1, 19));
    assert_false(is_full(1, 1)); /* no window */
}

/* What is long past is forgotten. */
static void test_forgets(void **state)
{
    fill(0, 5, 4, 1000000);
    fill(5, 10, 16, 1000000);
    fill(200, 400, 2, 10000);
    assert_false(is_full(6, 9));
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_full),         TEST(test_follows), TEST(test_elsewhere), TEST(test_alone),
        TEST(test_idlers),       TEST(test_losses),  TEST(test_more),      TEST(test_chance),
        TEST(test_never_varied), TEST(test_forgets), TEST(test_dominant),  TEST(test_is_wider),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
