/* E-values: what they must be on average, how they grow, and who is discovered. */
#include "audit/evidence.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static double binomial(uint32_t n, uint32_t k, double p)
{
    return exp(lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0) + k * log(p) +
               (n - k) * log1p(-p));
}

/* Where each announce contradicts with just the probability that is allowed, the mean is 1. */
static void test_counts(void **state)
{
    for (uint32_t n = 1; n <= 12; n++) {
        double mean = 0;
        for (uint32_t k = 0; k <= n; k++)
            mean += binomial(n, k, 0.1) * sk_evidence_counts(n, k, 0.1);
        assert_float_equal(mean, 1, 1e-9);
    }
    assert_float_equal(sk_evidence_counts(0, 0, 1e-4), 1, 1e-12);
    assert_float_equal(sk_evidence_counts(1, 1, 1e-4), 5000.5, 1e-6);
    assert_true(sk_evidence_counts(6, 0, 1e-4) < 1);
    assert_true(sk_evidence_counts(6, 2, 1e-4) > 9e5);
    /* That there are fewer contradictions than accidents may give is no evidence. */
    assert_true(sk_evidence_counts(512, 0, 0.03) < 1 && sk_evidence_counts(512, 5, 0.03) < 1);
    /* A flood of announces gives no infinity and no nothing. */
    assert_true(isfinite(sk_evidence_counts(512, 256, 1e-4)));
    assert_true(sk_evidence_counts(512, 0, 1e-4) > 0);
}

static void test_events(void **state)
{
    /* Poisson of mean 2: the mean over the distribution is 1, and less where the mean is less. */
    double mean = 0, less = 0;
    for (uint32_t k = 0; k < 400; k++) {
        double e = sk_evidence_events(k, 2);
        mean += exp(k * log(2) - 2 - lgamma(k + 1.0)) * e;
        less += exp(k * log(1.5) - 1.5 - lgamma(k + 1.0)) * e;
    }
    assert_float_equal(mean, 1, 1e-6);
    assert_true(less < 1);
    assert_true(sk_evidence_events(60, 5) > 1e20);
    assert_true(sk_evidence_events(-3, 5) < 1);
    assert_true(isfinite(sk_evidence_events(1e9, 5)));
    /* As many as do not make a value, and a few more that do. */
    for (double expected = 0.5; expected < 1000; expected *= 3) {
        double most = sk_evidence_events_most(1e6, expected);
        assert_true(sk_evidence_events(most, expected) <= 1e6);
        assert_true(sk_evidence_events(most + 6, expected) > 1e6);
    }
}

static void test_deviation(void **state)
{
    double mean = 0;
    for (double z = -12; z < 24; z += 0.001)
        mean += 0.001 * exp(-z * z / 2) / sqrt(2 * M_PI) * sk_evidence_deviation(z);
    assert_float_equal(mean, 1, 1e-3);
    assert_true(sk_evidence_deviation(0) < 0.1);
    assert_true(sk_evidence_deviation(6) > 1e6);
    assert_true(isfinite(sk_evidence_deviation(1e6)));
}

static void test_doubt(void **state)
{
    assert_float_equal(sk_evidence_doubted(1e30, 1e-6), 5e5, 1e-3);
    assert_float_equal(sk_evidence_doubted(4, 1e-6), 2, 1e-12);
}

static void test_discover(void **state)
{
    /* Of five, 1 / e-BH at 0.1: two of 30 pass together (5 / (2 * 0.1) = 25), one would not. */
    static const double two[] = {1, 30, 0.2, 30, 2}, one[] = {1, 30, 0.2, 3, 0};
    double rates[5];
    uint32_t order[5];
    sk_evidence_discover(two, 5, order, rates);
    assert_float_equal(rates[1], 5 / 60.0, 1e-12);
    assert_float_equal(rates[3], 5 / 60.0, 1e-12);
    assert_true(rates[4] > 0.1 && rates[0] > 0.1 && rates[2] > 0.1);
    sk_evidence_discover(one, 5, order, rates);
    assert_float_equal(rates[1], 5 / 30.0, 1e-12);
    assert_float_equal(rates[4], 1, 0);
    sk_evidence_discover(one, 0, order, rates);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),    cmocka_unit_test(test_events),
        cmocka_unit_test(test_deviation), cmocka_unit_test(test_doubt),
        cmocka_unit_test(test_discover),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
