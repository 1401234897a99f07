/* Numbers for people. */
#include "cmd/units.h"

#include "base/assert.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct unit_case {
    double value;
    const char *text;
};

static void check(char *(*write)(double, char *), const struct unit_case *cases, size_t count)
{
    char text[SK_UNITS_MAX];
    for (size_t i = 0; i < count; i++)
        assert_string_equal(cases[i].text, write(cases[i].value, text));
}

static void test_bytes(void **state)
{
    static const struct unit_case cases[] = {
        {0, "0 B"},           {1, "1 B"},
        {999, "999 B"},       {1000, "1.0 KiB"},
        {1536, "1.5 KiB"},    {10240, "10 KiB"},
        {262144, "256 KiB"},  {1048576, "1.0 MiB"},
        {1047552, "1.0 MiB"}, {659554304, "629 MiB"},
        {5e12, "4.5 TiB"},    {1e300, NULL},
        {NAN, "?"},
    };
    char text[SK_UNITS_MAX];
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        sk_units_bytes(cases[i].value, text);
        if (cases[i].text)
            assert_string_equal(cases[i].text, text);
        else
            assert_int_equal(SK_UNITS_MAX - 1, strlen(text)); /* cut, and no more */
    }
}

static void test_rates(void **state)
{
    static const struct unit_case cases[] = {
        {0, "0 B/s"},         {999.4, "999 B/s"},   {999.6, "1.0 kB/s"},  {9940, "9.9 kB/s"},
        {9960, "10 kB/s"},    {874000, "874 kB/s"}, {999600, "1.0 MB/s"}, {4.2e6, "4.2 MB/s"},
        {11.82e6, "12 MB/s"}, {1.25e9, "1.2 GB/s"}, {NAN, "?"},           {INFINITY, "?"},
    };
    char text[SK_UNITS_MAX];
    check(sk_units_rate, cases, SK_ARRAY_LEN(cases));
    for (double rate = 1; rate < 9e14; rate *= 1.07)
        assert_true(strlen(sk_units_rate(rate, text)) <= 8);
}

/* The error is in the unit of the rate, whatever its own size. */
static void test_rate_errors(void **state)
{
    static const struct {
        double rate, error;
        const char *text;
    } cases[] = {
        {4.2e6, 0.31e6, "0.3"}, {4.2e6, 40e3, "0.04"}, {4.2e6, 12e6, "12"}, {874e3, 61e3, "61"},
        {500, 12, "12"},        {NAN, 1, "?"},         {1, NAN, "?"},
    };
    char text[SK_UNITS_MAX];
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++)
        assert_string_equal(cases[i].text,
                            sk_units_rate_error(cases[i].rate, cases[i].error, text));
}

static void test_durations(void **state)
{
    static const struct unit_case cases[] = {
        {0, "<0.1 ms"},
        {0.00042, "0.4 ms"},
        {0.0234, "23 ms"},
        {0.9994, "999 ms"},
        {0.9996, "1.0 s"},
        {1.1, "1.1 s"},
        {9.96, "10 s"},
        {42, "42 s"},
        {59.6, "1 min"},
        {60, "1 min"},
        {125, "2 min 5 s"},
        {3599.6, "1 h"},
        {12000, "3 h 20 min"},
        {86400, "1 d"},
        {435600, "5 d 1 h"},
        {NAN, "?"},
        {-1, "?"},
    };
    check(sk_units_duration, cases, SK_ARRAY_LEN(cases));
}

/* Never rounded up to what it is not. */
static void test_shares(void **state)
{
    static const struct unit_case cases[] = {
        {0, "0%"},         {1e-9, "<0.1%"}, {0.001, "0.1%"}, {0.079888, "7.9%"},   {0.5, "50.0%"},
        {0.9996, "99.9%"}, {1, "100%"},     {NAN, "?"},      {0.9999999, "99.9%"},
    };
    check(sk_units_share, cases, SK_ARRAY_LEN(cases));
}

static void test_counts(void **state)
{
    char text[SK_UNITS_MAX];
    assert_string_equal("0", sk_units_count(0, text));
    assert_string_equal("999", sk_units_count(999, text));
    assert_string_equal("1,000", sk_units_count(1000, text));
    assert_string_equal("18,446,744,073,709,551,615", sk_units_count(UINT64_MAX, text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),       cmocka_unit_test(test_rates),
        cmocka_unit_test(test_rate_errors), cmocka_unit_test(test_durations),
        cmocka_unit_test(test_shares),      cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
