/* Draws from the sources, and what they bound. */
#include "audit/coverage.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_draws(void **state)
{
    struct sk_coverage coverage = {0};
    assert_true(isnan(sk_coverage_unseen_max(&coverage)));
    sk_coverage_draw(&coverage, SK_SOURCE_TRACKER, true, 7);
    assert_int_equal(coverage.last_new_ns, 7);
    assert_true(isnan(sk_coverage_unseen_max(&coverage)));
    sk_coverage_draw(&coverage, SK_SOURCE_TRACKER, false, 8);
    sk_coverage_draw(&coverage, SK_SOURCE_PEX, false, 9);
    assert_int_equal(coverage.old_run, 2);
    assert_int_equal(coverage.last_new_ns, 7);
    assert_float_equal(sk_coverage_unseen_max(&coverage), 1, 0); /* 3/2 says nothing */
    for (int i = 0; i < 58; i++)
        sk_coverage_draw(&coverage, SK_SOURCE_LSD, false, 10);
    assert_float_equal(sk_coverage_unseen_max(&coverage), 0.05, 1e-9);
    /* Who was given, or came by himself, is no draw; a new one ends the run all the same. */
    sk_coverage_draw(&coverage, SK_SOURCE_GIVEN, false, 11);
    sk_coverage_draw(&coverage, SK_SOURCE_INCOMING, false, 11);
    assert_int_equal(coverage.old_run, 60);
    sk_coverage_draw(&coverage, SK_SOURCE_INCOMING, true, 12);
    assert_int_equal(coverage.old_run, 0);
    assert_int_equal(coverage.last_new_ns, 12);
    static const uint32_t draws[] = {2, 1, 0, 58, 1, 2}, fresh[] = {1, 0, 0, 0, 0, 1};
    for (int i = 0; i < SK_SOURCE_COUNT; i++) {
        assert_int_equal(coverage.draws[i], draws[i]);
        assert_int_equal(coverage.fresh[i], fresh[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_draws)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
