/* Pieces being put together, and who is to blame when one is wrong. */
#include "swarm/assembly.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK ((uint32_t)SK_BLOCK_SIZE)
#define PEERS 20

static struct sk_assembly assembly;
static uint32_t right_of[PEERS], wrong_of[PEERS];

static void judge(uint32_t peer, uint32_t piece, uint32_t right, uint32_t wrong, void *ctx)
{
    assert_true(peer < PEERS);
    right_of[peer] += right;
    wrong_of[peer] += wrong;
}

static int set_up(void **state)
{
    memset(right_of, 0, sizeof right_of);
    memset(wrong_of, 0, sizeof wrong_of);
    return sk_assembly_init(&assembly, 100);
}

static int tear_down(void **state)
{
    sk_assembly_deinit(&assembly);
    assert_int_equal(assembly.bytes, 0);
    assert_int_equal(assembly.suspects.count, 0);
    return 0;
}

static struct sk_assembly_copy *begin(uint32_t piece, uint32_t length, uint32_t owner)
{
    struct sk_assembly_copy *copy;
    assert_int_equal(sk_assembly_begin(&assembly, piece, length, owner, &copy), 0);
    return copy;
}

/* `peer` is asked for the next block and gives it, filled with `value`. */
static bool give(struct sk_assembly_copy *copy, uint32_t peer, uint8_t value)
{
    static uint8_t bytes[SK_BLOCK_SIZE];
    struct sk_block block;
    assert_true(sk_assembly_ask(copy, peer, &block));
    memset(bytes, value, sizeof bytes);
    assert_ptr_equal(
        sk_assembly_take(&assembly, peer, block.piece, block.begin, bytes, block.length), copy);
    return copy->held == copy->blocks;
}

static void test_one_giver(void **state)
{
    struct sk_assembly_copy *copy = begin(7, 2 * BLOCK + 5, 1);
    struct sk_block block;
    assert_int_equal(copy->blocks, 3);
    assert_ptr_equal(sk_assembly_owned(&assembly, 1), copy);
    assert_null(sk_assembly_owned(&assembly, 2));
    assert_null(sk_assembly_shared(&assembly, NULL));
    assert_false(give(copy, 1, 1));
    assert_false(give(copy, 1, 2));
    assert_true(sk_assembly_ask(copy, 1, &block));
    assert_int_equal(block.begin, 2 * BLOCK);
    assert_int_equal(block.length, 5);
    assert_null(sk_assembly_owned(&assembly, 1)); /* nothing is free in it */
    assert_false(sk_assembly_ask(copy, 1, &block));
    assert_ptr_equal(sk_assembly_take(&assembly, 1, 7, 2 * BLOCK, "12345", 5), copy);
    assert_int_equal(copy->held, 3);
    assert_memory_equal(copy->data + 2 * BLOCK, "12345", 5);
    sk_assembly_finish(&assembly, copy, SK_ASSEMBLY_RIGHT, judge, NULL);
    assert_int_equal(right_of[1], 3);
    assert_int_equal(assembly.bytes, 0);
    assert_true(sk_bitfield_has(&assembly.done, 7));
}

/* Blocks that nobody asked this peer for, or of another size, are not taken. */
static void test_not_taken(void **state)
{
    static const uint8_t bytes[SK_BLOCK_SIZE + 1];
    struct sk_assembly_copy *copy = begin(7, 2 * BLOCK, 1);
    struct sk_block block;
    assert_true(sk_assembly_ask(copy, 1, &block));
    assert_null(sk_assembly_take(&assembly, 2, 7, 0, bytes, BLOCK));
    assert_null(sk_assembly_take(&assembly, 1, 8, 0, bytes, BLOCK));
    assert_null(sk_assembly_take(&assembly, 1, 7, BLOCK, bytes, BLOCK));
    assert_null(sk_assembly_take(&assembly, 1, 7, 0, bytes, BLOCK - 1));
    assert_null(sk_assembly_take(&assembly, 1, 7, 0, bytes, BLOCK + 1));
    assert_null(sk_assembly_take(&assembly, 1, 7, 5, bytes, BLOCK));
    assert_null(sk_assembly_take(&assembly, 1, 7, UINT32_MAX, bytes, 1));
    assert_int_equal(copy->held, 0);
    assert_ptr_equal(sk_assembly_take(&assembly, 1, 7, 0, bytes, BLOCK), copy);
    assert_null(sk_assembly_take(&assembly, 1, 7, 0, bytes, BLOCK)); /* twice */
    assert_int_equal(copy->held, 1);
}

static void test_release_and_leave(void **state)
{
    struct sk_assembly_copy *own = begin(7, 2 * BLOCK, 1);
    struct sk_assembly_copy *shared = begin(8, 3 * BLOCK, SK_ASSEMBLY_NOBODY);
    struct sk_block block;
    assert_true(sk_assembly_ask(own, 1, &block));
    sk_assembly_release(&assembly, 1, 7, 0);
    sk_assembly_release(&assembly, 1, 7, 0);     /* twice */
    sk_assembly_release(&assembly, 1, 7, 99999); /* what is not there */
    assert_int_equal(own->states[0], SK_BLOCK_FREE);
    assert_false(give(own, 1, 1));
    assert_false(give(shared, 1, 1));
    assert_true(sk_assembly_ask(shared, 1, &block));
    assert_true(sk_assembly_ask(shared, 2, &block));
    sk_assembly_leave(&assembly, 1);
    assert_ptr_equal(assembly.copies, shared); /* his own is gone */
    assert_null(shared->next);
    assert_int_equal(shared->states[0], SK_BLOCK_HELD); /* what he gave stays */
    assert_int_equal(shared->states[1], SK_BLOCK_FREE);
    assert_int_equal(shared->states[2], SK_BLOCK_ASKED); /* of another */
    sk_assembly_leave(&assembly, 17);
    assert_int_equal(assembly.bytes, 3 * BLOCK);
}

/* threats: the one who gives wrong blocks among right ones is found, innocents are not blamed. */
static void test_smart_ban(void **state)
{
    struct sk_assembly_copy *copy = begin(3, 6 * BLOCK, SK_ASSEMBLY_NOBODY);
    for (uint32_t i = 0; i < 6; i++)
        give(copy, i % 3, i == 4 ? 99 : (uint8_t)i); /* peer 1 lies in one of two */
    sk_assembly_finish(&assembly, copy, SK_ASSEMBLY_WRONG, judge, NULL);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(right_of[i] + wrong_of[i], 0); /* nobody is accused yet */
    assert_int_equal(assembly.suspects.count, 1);
    /* Wrong once more, by another. */
    copy = begin(3, 6 * BLOCK, SK_ASSEMBLY_NOBODY);
    for (uint32_t i = 0; i < 6; i++)
        give(copy, 4 + i % 2, i == 0 ? 98 : (uint8_t)i);
    sk_assembly_finish(&assembly, copy, SK_ASSEMBLY_WRONG, judge, NULL);
    /* Another piece says nothing of this one. */
    copy = begin(4, BLOCK, 9);
    give(copy, 9, 1);
    sk_assembly_finish(&assembly, copy, SK_ASSEMBLY_RIGHT, judge, NULL);
    assert_int_equal(assembly.suspects.count, 2);
    copy = begin(3, 6 * BLOCK, SK_ASSEMBLY_NOBODY);
    for (uint32_t i = 0; i < 6; i++)
        give(copy, 10 + i % 2, (uint8_t)i);
    sk_assembly_finish(&assembly, copy, SK_ASSEMBLY_RIGHT, judge, NULL);
    static const uint32_t right[12] = {2, 1, 2, 0, 2, 3, 0, 0, 0, 1, 3, 3};
    static const uint32_t wrong[12] = {0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
    for (uint32_t i = 0; i < 12; i++) {
        assert_int_equal(right_of[i], right[i]);
        assert_int_equal(wrong_of[i], wrong[i]);
    }
    assert_int_equal(assembly.suspects.count, 0);
}

/* Two addresses turn out to be one peer: what it gave under the first is counted for the second. */
static void test_rename(void **state)
{
    struct sk_assembly_copy *copy = begin(3, 2 * BLOCK, SK_ASSEMBLY_NOBODY);
    give(copy, 1, 99);
    give(copy, 2, 2);
    sk_assembly_finish(&assembly, copy, SK_ASSEMBLY_WRONG, judge, NULL);
    copy = begin(3, 2 * BLOCK, SK_ASSEMBLY_NOBODY);
    give(copy, 1, 1);
    sk_assembly_rename(&assembly, 1, 5);
    give(copy, 2, 2);
    sk_assembly_finish(&assembly, copy, SK_ASSEMBLY_RIGHT, judge, NULL);
    assert_int_equal(right_of[1] + wrong_of[1], 0);
    assert_int_equal(right_of[5], 1);
    assert_int_equal(wrong_of[5], 1);
    assert_int_equal(right_of[2], 2);
}

static void test_one_giver_is_guilty(void **state)
{
    struct sk_assembly_copy *copy = begin(3, 2 * BLOCK, SK_ASSEMBLY_NOBODY);
    give(copy, 5, 1);
    give(copy, 5, 1);
    sk_assembly_finish(&assembly, copy, SK_ASSEMBLY_WRONG, judge, NULL);
    assert_int_equal(wrong_of[5], 2);
    assert_int_equal(assembly.suspects.count, 0);
    assert_false(sk_bitfield_has(&assembly.done, 3));
}

static void test_unknown_judges_nobody(void **state)
{
    struct sk_assembly_copy *copy = begin(3, BLOCK, 5);
    give(copy, 5, 1);
    sk_assembly_finish(&assembly, copy, SK_ASSEMBLY_UNKNOWN, judge, NULL);
    assert_int_equal(right_of[5] + wrong_of[5], 0);
    assert_false(sk_bitfield_has(&assembly.done, 3));
}

/* Blocks with hashes of their own: judged at once, and once only. */
static void test_check(void **state)
{
    struct sk_assembly_copy *copy = begin(3, 3 * BLOCK, SK_ASSEMBLY_NOBODY);
    give(copy, 1, 1);
    give(copy, 2, 2);
    give(copy, 3, 3);
    sk_assembly_check(copy, 0, true, judge, NULL);
    sk_assembly_check(copy, 1, false, judge, NULL);
    assert_int_equal(copy->held, 2);
    assert_int_equal(right_of[1], 1);
    assert_int_equal(wrong_of[2], 1);
    assert_true(give(copy, 4, 4)); /* the wrong one's place */
    sk_assembly_finish(&assembly, copy, SK_ASSEMBLY_WRONG, judge, NULL);
    /* It comes right: the proved block's giver is not judged again. */
    copy = begin(3, 3 * BLOCK, SK_ASSEMBLY_NOBODY);
    for (uint8_t i = 0; i < 3; i++)
        give(copy, 10, (uint8_t)(i == 1 ? 2 : i + 1));
    sk_assembly_finish(&assembly, copy, SK_ASSEMBLY_RIGHT, judge, NULL);
    assert_int_equal(right_of[1], 1);
    assert_int_equal(right_of[3], 1);
    assert_int_equal(wrong_of[4], 1);
    assert_int_equal(wrong_of[2], 1);
}

static void test_failures_remembered_are_bounded(void **state)
{
    for (uint32_t i = 0; i < SK_SUSPECTS_MAX + 5; i++) {
        struct sk_assembly_copy *copy = begin(i, 2 * BLOCK, SK_ASSEMBLY_NOBODY);
        give(copy, 1, 1);
        give(copy, 2, 1);
        sk_assembly_finish(&assembly, copy, SK_ASSEMBLY_WRONG, judge, NULL);
    }
    assert_int_equal(assembly.suspects.count, SK_SUSPECTS_MAX);
}

/* Memory is bounded; shared copies that nobody works on make room, oldest first. */
static void test_bytes_are_bounded(void **state)
{
    uint32_t quarter = SK_ASSEMBLY_BYTES_MAX / 4;
    struct sk_assembly_copy *copies[4], *copy;
    struct sk_block block;
    for (uint32_t i = 0; i < 4; i++)
        copies[i] = begin(i, quarter, i ? SK_ASSEMBLY_NOBODY : 5);
    assert_int_equal(sk_assembly_room(&assembly), 3 * (size_t)quarter);
    assert_true(sk_assembly_ask(copies[1], 1, &block)); /* somebody works on this one */
    assert_int_equal(sk_assembly_room(&assembly), 2 * (size_t)quarter);
    copy = begin(9, quarter, 6);
    assert_ptr_equal(copy->next, copies[3]); /* number 2 is gone */
    assert_ptr_equal(copies[3]->next, copies[1]);
    assert_ptr_equal(copies[1]->next, copies[0]);
    begin(10, quarter, 7);
    assert_int_equal(sk_assembly_begin(&assembly, 11, 1, 8, &copy), SKEP_ERR_LIMIT);
    assert_int_equal(sk_assembly_room(&assembly), 0);
    assert_int_equal(sk_assembly_begin(&assembly, 11, UINT32_MAX, 8, &copy), SKEP_ERR_LIMIT);
}

static void test_no_memory(void **state)
{
    for (size_t nth = 1;; nth++) {
        struct sk_assembly_copy *copy = NULL;
        sk_mem_fail_nth(nth);
        int err = sk_assembly_begin(&assembly, 1, BLOCK, 1, &copy);
        size_t made = sk_mem_fail_nth(0);
        if (made < nth)
            break;
        assert_int_equal(err, SKEP_ERR_NOMEM);
        assert_null(copy);
        assert_int_equal(assembly.bytes, 0);
        assert_null(assembly.copies);
    }
    /* The digests of a wrong piece find no memory: it is forgotten, no more. */
    sk_assembly_leave(&assembly, 1);
    struct sk_assembly_copy *copy = begin(2, 2 * BLOCK, SK_ASSEMBLY_NOBODY);
    give(copy, 1, 1);
    give(copy, 2, 1);
    sk_mem_fail_nth(1);
    sk_assembly_finish(&assembly, copy, SK_ASSEMBLY_WRONG, judge, NULL);
    sk_mem_fail_nth(0);
    assert_int_equal(assembly.suspects.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_giver),
        TEST(test_not_taken),
        TEST(test_release_and_leave),
        TEST(test_smart_ban),
        TEST(test_rename),
        TEST(test_one_giver_is_guilty),
        TEST(test_unknown_judges_nobody),
        TEST(test_check),
        TEST(test_failures_remembered_are_bounded),
        TEST(test_bytes_are_bounded),
        TEST(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
