/* Smart ban: who gave the wrong blocks of a piece that several gave. */
#include "swarm/suspects.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK ((size_t)SK_BLOCK_SIZE)
#define PEERS 8

static struct sk_suspects suspects;
static uint32_t right_of[PEERS], wrong_of[PEERS];
static uint8_t piece[3 * SK_BLOCK_SIZE + 5]; /* as it is right */

static void judge(uint32_t peer, uint32_t number, uint32_t right, uint32_t wrong, void *ctx)
{
    assert_true(peer < PEERS && number == 9 && ctx == piece && right + wrong == 1);
    right_of[peer] += right;
    wrong_of[peer] += wrong;
}

static int set_up(void **state)
{
    sk_suspects_init(&suspects);
    memset(right_of, 0, sizeof right_of);
    memset(wrong_of, 0, sizeof wrong_of);
    for (size_t i = 0; i < sizeof piece; i++)
        piece[i] = (uint8_t)(i * 7 + i / 251);
    return 0;
}

static int tear_down(void **state)
{
    sk_suspects_deinit(&suspects);
    assert_int_equal(suspects.count, 0);
    return 0;
}

/* The piece with the byte at `at` wrong, given by these. */
static void remember(uint32_t number, size_t at, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    const uint32_t who[] = {a, b, c, d};
    uint8_t wrong[sizeof piece];
    memcpy(wrong, piece, sizeof piece);
    wrong[at] ^= 1;
    sk_suspects_wrong(&suspects, number, wrong, sizeof wrong, who, judge, piece);
}

static void judge_piece(uint32_t number)
{
    sk_suspects_right(&suspects, number, piece, sizeof piece, judge, piece);
}

static void expect(const uint32_t *right, const uint32_t *wrong)
{
    for (uint32_t i = 0; i < PEERS; i++) {
        assert_int_equal(right_of[i], right[i]);
        assert_int_equal(wrong_of[i], wrong[i]);
    }
}

static void test_judge(void **state)
{
    remember(9, sizeof piece - 1, 0, 1, 0, 2); /* the last block, which is short */
    remember(9, BLOCK, 3, 1, 3, SK_SUSPECTS_NOBODY);
    remember(8, 0, 5, 6, 7, 7);
    assert_int_equal(suspects.count, 3);
    judge_piece(9);
    expect((uint32_t[PEERS]){2, 1, 0, 2}, (uint32_t[PEERS]){0, 1, 1, 0});
    assert_int_equal(suspects.count, 1); /* another piece says nothing of this one */
    assert_int_equal(suspects.first->piece, 8);
    judge_piece(9); /* it is forgotten */
    expect((uint32_t[PEERS]){2, 1, 0, 2}, (uint32_t[PEERS]){0, 1, 1, 0});
}

/* A single giver is guilty at once; for the blocks of nobody nobody is. */
static void test_single_giver(void **state)
{
    remember(9, 0, 4, 4, 4, 4);
    expect((uint32_t[PEERS]){0}, (uint32_t[PEERS]){[4] = 4});
    remember(9, 0, SK_SUSPECTS_NOBODY, 5, SK_SUSPECTS_NOBODY, 5);
    expect((uint32_t[PEERS]){0}, (uint32_t[PEERS]){[4] = 4, [5] = 2});
    remember(9, 0, SK_SUSPECTS_NOBODY, SK_SUSPECTS_NOBODY, SK_SUSPECTS_NOBODY, SK_SUSPECTS_NOBODY);
    assert_int_equal(suspects.count, 0);
}

static void test_rename(void **state)
{
    remember(9, 0, 0, 1, 0, 2);
    sk_suspects_rename(&suspects, 0, 7);
    judge_piece(9);
    expect((uint32_t[PEERS]){[1] = 1, [2] = 1, [7] = 1}, (uint32_t[PEERS]){[7] = 1});
}

static void test_bounds(void **state)
{
    for (uint32_t i = 0; i < SK_SUSPECTS_MAX + 3; i++)
        remember(i, 0, 0, 1, 2, 3);
    assert_int_equal(suspects.count, SK_SUSPECTS_MAX);
    sk_suspects_deinit(&suspects);
    sk_mem_fail_nth(1);
    remember(9, 0, 0, 1, 2, 3);
    sk_mem_fail_nth(0);
    assert_int_equal(suspects.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_judge),
        TEST(test_single_giver),
        TEST(test_rename),
        TEST(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
