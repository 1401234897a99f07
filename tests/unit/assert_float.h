/* Included before every unit test: cmocka's assert_float_equal lets NAN pass for any number, and
 * compares floats. */
#ifndef TESTS_UNIT_ASSERT_FLOAT_H
#define TESTS_UNIT_ASSERT_FLOAT_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static inline void assert_near(double value, double wanted, double within, const char *file,
                               int line)
{
    if (value == wanted || fabs(value - wanted) <= within)
        return;
    print_error("%.17g is not within %g of %.17g\n", value, within, wanted);
    _fail(file, line);
}

#undef assert_float_equal
#define assert_float_equal(value, wanted, within)                                                  \
    assert_near(value, wanted, within, __FILE__, __LINE__)

#endif
