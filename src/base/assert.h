/*
 * SK_ASSERT states what only a programmer's mistake can break; it is on in release builds too.
 * No byte from outside may ever decide such a condition.
 */
#ifndef SK_BASE_ASSERT_H
#define SK_BASE_ASSERT_H

_Noreturn void sk_assert_fail(const char *expr, const char *file, int line);

#define SK_ASSERT(x) ((x) ? (void)0 : sk_assert_fail(#x, __FILE__, __LINE__))

#define SK_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define SK_MIN(a, b) ((a) < (b) ? (a) : (b))
#define SK_MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
