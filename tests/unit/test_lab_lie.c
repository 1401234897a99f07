/* What the liars of a lab report. */
#include "swarm/lab_lie.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SIZE 10000000u

/* A transfer that gave `uploaded` of which it tells after so many seconds. */
static struct sk_lab_counters tell(struct sk_lab_liar *liar, const struct sk_lab_lies *lies,
                                   uint32_t number, double at_s, uint64_t uploaded,
                                   uint64_t downloaded)
{
    const struct sk_lab_counters counters = {uploaded, downloaded, SIZE - downloaded};
    return sk_lab_lie(liar, lies, number, at_s, SIZE, &counters);
}

#define ASSERT_TOLD(told, up, down, lacks)                                                         \
    do {                                                                                           \
        struct sk_lab_counters t = told;                                                           \
        assert_int_equal(t.uploaded, up);                                                          \
        assert_int_equal(t.downloaded, down);                                                      \
        assert_int_equal(t.left, lacks);                                                           \
    } while (0)

static void test_each(void **state)
{
    struct sk_lab_liar honest = {0}, upload = {0}, ghost = {0}, download = {0}, seed = {0},
                       partial = {0}, modest = {0};
    ASSERT_TOLD(tell(&honest, &(struct sk_lab_lies){0}, 0, 10, 500, 3000), 500, 3000, SIZE - 3000);
    struct sk_lab_lies lies = {SK_LAB_LIE_UPLOAD, 2.5, 0};
    ASSERT_TOLD(tell(&upload, &lies, 0, 10, 1000, 3000), 2500, 3000, SIZE - 3000);
    ASSERT_TOLD(tell(&upload, &lies, 0, 20, 2000, 3000), 5000, 3000, SIZE - 3000);
    lies = (struct sk_lab_lies){SK_LAB_LIE_UPLOAD, 0.25, 0};
    ASSERT_TOLD(tell(&modest, &lies, 0, 10, 1000, 3000), 250, 3000, SIZE - 3000);
    lies = (struct sk_lab_lies){SK_LAB_LIE_GHOST, 0, 0};
    ASSERT_TOLD(tell(&ghost, &lies, 0, 2, 7, 0), 100007, 0, SIZE);
    lies.rate_bytes_s = 10;
    ASSERT_TOLD(tell(&ghost, &lies, 0, 3, 7, 0), 100017, 0, SIZE);
    lies = (struct sk_lab_lies){SK_LAB_LIE_DOWNLOAD, 0, 0};
    ASSERT_TOLD(tell(&download, &lies, 0, 2, 7, 1000), 7, 200, SIZE - 1000);
    lies = (struct sk_lab_lies){SK_LAB_LIE_SEED, 0, 0};
    ASSERT_TOLD(tell(&seed, &lies, 0, 2, 7, 1000), 7, 0, 0);
    lies = (struct sk_lab_lies){SK_LAB_LIE_PARTIAL, 0, 0};
    ASSERT_TOLD(tell(&partial, &lies, 0, 2, 7, SIZE - 1000), 7, SIZE - 1000, 2000);
    ASSERT_TOLD(tell(&partial, &lies, 0, 2, 7, 0), 7, 0, SIZE);
}

/* Two that lie together: their sums agree. */
static void test_pair(void **state)
{
    struct sk_lab_liar liars[2] = {0};
    const struct sk_lab_lies lies = {SK_LAB_LIE_COLLUDE, 0, 1000};
    ASSERT_TOLD(tell(&liars[0], &lies, 0, 10, 5, 6), 10005, 6, SIZE - 6);
    ASSERT_TOLD(tell(&liars[1], &lies, 1, 10, 5, 6), 5, 10006, SIZE - 6);
}

/* Who lies now and then goes on from what he said. */
static void test_rotation(void **state)
{
    struct sk_lab_liar liar = {0};
    const struct sk_lab_lies lies = {SK_LAB_LIE_ROTATE, 3, 0};
    ASSERT_TOLD(tell(&liar, &lies, 0, 30, 100, 0), 100, 0, SIZE);
    ASSERT_TOLD(tell(&liar, &lies, 0, 90, 200, 0), 400, 0, SIZE);
    ASSERT_TOLD(tell(&liar, &lies, 0, 130, 300, 0), 500, 0, SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each), cmocka_unit_test(test_pair),
                                       cmocka_unit_test(test_rotation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
