/* When the auditor's own line is called full, and when it is not. */
#include "audit/downlink.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

static struct sk_downlink downlink;

static int set_up(void **state)
{
    memset(&downlink, 0, sizeof downlink);
    return 0;
}

/* Evenly, from one second to another. */
static void fill(uint64_t from_s, uint64_t until_s, uint32_t probes, uint64_t bytes_s)
{
    for (uint64_t t = from_s * 20; t < until_s * 20; t++)
        sk_downlink_note(&downlink, bytes_s / 20, probes, t * SECOND / 20);
}

/* Sixteen peers have what four had: the line is full for all of them. */
static void test_full(void **state)
{
    fill(0, 5, 4, 1000000);
    fill(5, 10, 16, 1020000);
    assert_true(sk_downlink_full(&downlink, 1 * SECOND, 4 * SECOND));
    assert_true(sk_downlink_full(&downlink, 6 * SECOND, 9 * SECOND));
}

/* The sum follows the number of peers: it is theirs. */
static void test_follows(void **state)
{
    fill(0, 5, 4, 250000);
    fill(5, 10, 16, 1000000);
    assert_false(sk_downlink_full(&downlink, 6 * SECOND, 9 * SECOND));
}

/* It was full later, not while this peer was probed. */
static void test_elsewhere(void **state)
{
    fill(0, 5, 2, 300000);
    fill(5, 10, 4, 1000000);
    fill(10, 15, 16, 1000000);
    assert_false(sk_downlink_full(&downlink, 1 * SECOND, 4 * SECOND));
    assert_true(sk_downlink_full(&downlink, 6 * SECOND, 9 * SECOND));
}

/* One at a time: each shows what it can. */
static void test_alone(void **state)
{
    fill(0, 5, 1, 1000000);
    fill(5, 10, 3, 1000000);
    assert_false(sk_downlink_full(&downlink, 1 * SECOND, 4 * SECOND));
}

/* The sums of two short moments are alike by chance. */
static void test_chance(void **state)
{
    fill(0, 1, 4, 1000000);
    fill(1, 3, 2, 400000);
    for (uint64_t t = 0; t < 10; t++)
        sk_downlink_note(&downlink, 50000, 2, 3 * SECOND + t * SECOND / 20);
    assert_false(sk_downlink_full(&downlink, 0, SECOND));
}

static void test_never_varied(void **state)
{
    fill(0, 20, 32, 1000000);
    assert_false(sk_downlink_full(&downlink, 1 * SECOND, 19 * SECOND));
    assert_false(sk_downlink_full(&downlink, 1 * SECOND, SECOND + SECOND / 8)); /* no window */
}

/* What is long past is forgotten. */
static void test_forgets(void **state)
{
    fill(0, 5, 4, 1000000);
    fill(5, 10, 16, 1000000);
    fill(200, 400, 2, 10000);
    assert_false(sk_downlink_full(&downlink, 6 * SECOND, 9 * SECOND));
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_full),   TEST(test_follows),      TEST(test_elsewhere), TEST(test_alone),
        TEST(test_chance), TEST(test_never_varied), TEST(test_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
