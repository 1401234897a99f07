/* wire/merkle: trees against a plain recursive one, and proofs. */
#include "wire/merkle.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the ones above first */
#include <cmocka.h>

#define HASH SK_SHA256_SIZE
#define LEAVES_MAX 64

/* The root of leaves [at, at + width), those from count on being zero: straight from the text. */
static void plain_root(const uint8_t (*leaves)[HASH], size_t count, size_t at, size_t width,
                       uint8_t ret_root[HASH])
{
    uint8_t left[HASH], right[HASH];
    if (width == 1) {
        memset(ret_root, 0, HASH);
        if (at < count)
            memcpy(ret_root, leaves[at], HASH);
        return;
    }
    plain_root(leaves, count, at, width / 2, left);
    plain_root(leaves, count, at + width / 2, width / 2, right);
    sk_sha256_pair(left, right, ret_root);
}

static void fill(uint8_t (*leaves)[HASH], size_t count)
{
    struct sk_prng prng;
    sk_prng_init(&prng, 1);
    sk_prng_bytes(&prng, leaves, count * HASH);
}

static void widths(void **state)
{
    static const size_t cases[][2] = {{1, 1}, {2, 2}, {3, 4}, {4, 4}, {5, 8}, {1025, 2048}};
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++)
        assert_int_equal(sk_merkle_width(cases[i][0]), cases[i][1]);
}

static void roots_are_those_of_a_plain_tree(void **state)
{
    uint8_t leaves[LEAVES_MAX][HASH], scratch[LEAVES_MAX][HASH], want[HASH], got[HASH];
    fill(leaves, LEAVES_MAX);
    for (size_t count = 1; count <= LEAVES_MAX; count++)
        for (size_t width = sk_merkle_width(count); width <= LEAVES_MAX; width *= 2) {
            plain_root(leaves, count, 0, width, want);
            sk_merkle_root(leaves[0], count, width, 0, scratch[0], got);
            assert_memory_equal(want, got, HASH);
        }
}

/* The root over a layer above the leaves is that over the leaves, padding and all. */
static void layers_lead_to_the_same_root(void **state)
{
    uint8_t leaves[LEAVES_MAX][HASH], layer[LEAVES_MAX][HASH], want[HASH], got[HASH];
    fill(leaves, LEAVES_MAX);
    for (size_t count = 1; count <= LEAVES_MAX; count++)
        for (unsigned height = 0; height <= 3; height++) {
            size_t span = (size_t)1 << height, n = (count + span - 1) / span;
            for (size_t i = 0; i < n; i++)
                plain_root(leaves, count, i * span, span, layer[i]);
            size_t width = sk_merkle_width(n);
            plain_root(leaves, count, 0, width * span, want);
            sk_merkle_root(layer[0], n, width, height, layer[0], got);
            assert_memory_equal(want, got, HASH);
        }
}

static void roots_of_data(void **state)
{
    static const size_t sizes[] = {1,     16383,  16384,  16385,  32768,
                                   49152, 100000, 131072, 131073, 8 * 16384};
    uint8_t leaves[16][HASH], want[HASH], got[HASH];
    uint8_t *data = malloc(9 * SK_BLOCK_SIZE);
    assert_non_null(data);
    for (size_t i = 0; i < 9 * SK_BLOCK_SIZE; i++)
        data[i] = (uint8_t)(i * 7 + i / 251);
    for (size_t i = 0; i < SK_ARRAY_LEN(sizes); i++) {
        size_t count = 0;
        for (size_t at = 0; at < sizes[i]; at += SK_BLOCK_SIZE)
            sk_sha256(data + at, SK_MIN(sizes[i] - at, (size_t)SK_BLOCK_SIZE), leaves[count++]);
        plain_root(leaves, count, 0, 16, want);
        assert_int_equal(sk_merkle_root_of_data(sk_bytes(data, sizes[i]), 16, got), 0);
        assert_memory_equal(want, got, HASH);
    }
    plain_root(leaves, 0, 0, 4, want);
    assert_int_equal(sk_merkle_root_of_data(sk_bytes(NULL, 0), 4, got), 0);
    assert_memory_equal(want, got, HASH);
    free(data);
}

/* The proof of a run of hashes, built from the plain tree. Returns its length. */
static size_t make_proof(const uint8_t (*leaves)[HASH], size_t count, size_t index,
                         uint8_t (*ret_proof)[HASH])
{
    size_t n = 0;
    for (size_t span = count; span < LEAVES_MAX; span *= 2)
        plain_root(leaves, LEAVES_MAX, (index / span ^ 1) * span, span, ret_proof[n++]);
    return n;
}

static void true_proofs_pass_and_damaged_ones_do_not(void **state)
{
    uint8_t leaves[LEAVES_MAX][HASH], proof[8][HASH], root[HASH];
    fill(leaves, LEAVES_MAX);
    plain_root(leaves, LEAVES_MAX, 0, LEAVES_MAX, root);
    for (size_t count = 1; count <= LEAVES_MAX; count *= 2)
        for (size_t index = 0; index < LEAVES_MAX; index += count) {
            size_t n = make_proof(leaves, count, index, proof);
            assert_true(sk_merkle_proves(leaves[index], count, index, proof[0], n, root));
            leaves[index + count - 1][3] ^= 1;
            assert_false(sk_merkle_proves(leaves[index], count, index, proof[0], n, root));
            leaves[index + count - 1][3] ^= 1;
            if (n) {
                proof[n - 1][31] ^= 0x80;
                assert_false(sk_merkle_proves(leaves[index], count, index, proof[0], n, root));
                proof[n - 1][31] ^= 0x80;
                assert_false(
                    sk_merkle_proves(leaves[index], count, index ^ count, proof[0], n, root));
            }
        }
}

static void too_short_and_too_long_proofs_fail(void **state)
{
    uint8_t leaves[LEAVES_MAX][HASH], proof[8][HASH] = {0}, root[HASH];
    fill(leaves, LEAVES_MAX);
    plain_root(leaves, LEAVES_MAX, 0, LEAVES_MAX, root);
    for (size_t index = 0; index < LEAVES_MAX; index += 4) {
        size_t n = make_proof(leaves, 4, index, proof);
        for (size_t shorter = 0; shorter < n; shorter++)
            assert_false(sk_merkle_proves(leaves[index], 4, index, proof[0], shorter, root));
        assert_false(sk_merkle_proves(leaves[index], 4, index, proof[0], n + 1, root));
        assert_false(sk_merkle_proves(leaves[index], 4, index + LEAVES_MAX, proof[0], n, root));
    }
}

static void counts_that_are_no_subtree_fail(void **state)
{
    uint8_t leaves[LEAVES_MAX][HASH], root[HASH];
    fill(leaves, LEAVES_MAX);
    plain_root(leaves, LEAVES_MAX, 0, 4, root);
    assert_false(sk_merkle_proves(leaves[0], 0, 0, NULL, 0, root));
    assert_false(sk_merkle_proves(leaves[0], 3, 0, NULL, 0, root));
    assert_false(sk_merkle_proves(leaves[0], 4, 2, NULL, 0, root));
    assert_true(sk_merkle_proves(leaves[0], 4, 0, NULL, 0, root));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widths),
        cmocka_unit_test(roots_are_those_of_a_plain_tree),
        cmocka_unit_test(layers_lead_to_the_same_root),
        cmocka_unit_test(roots_of_data),
        cmocka_unit_test(true_proofs_pass_and_damaged_ones_do_not),
        cmocka_unit_test(too_short_and_too_long_proofs_fail),
        cmocka_unit_test(counts_that_are_no_subtree_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
