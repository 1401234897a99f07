/*
 * BEP 52 hash trees: SHA-256, branching 2, leaves over 16 KiB blocks, padded with zero leaves.
 */
#ifndef SK_WIRE_MERKLE_H
#define SK_WIRE_MERKLE_H

#include "base/bytes.h"
#include "base/hash.h"

/* Root over `count` hashes of layer `layer` (0 = leaves), padded to `width` (a power of two, at
 * least count) with the root of an all-zero-leaf subtree of that layer. `scratch` has room for
 * count hashes (32 bytes each) and is overwritten; may be the same memory as hashes. count > 0. */
void sk_merkle_root(const uint8_t *hashes, size_t count, size_t width, unsigned layer,
                    uint8_t *scratch, uint8_t ret_root[SK_SHA256_SIZE]);
/* Root of a run of data: leaves over its 16 KiB blocks, padded to `leaves` (a power of two).
 * SKEP_ERR_NOMEM. */
int sk_merkle_root_of_data(struct sk_bytes data, size_t leaves, uint8_t ret_root[SK_SHA256_SIZE]);
/*
 * Checks hashes [index, index + count) of a layer against a root with uncle hashes (proof, from
 * the bottom up), count a power of two dividing index. True when they lead to the root. Which layer
 * that was only the caller can tell: log2(count) + proof_count must be the layer's distance from
 * the root, or nodes of another layer may pass as those that were asked for.
 */
bool sk_merkle_proves(const uint8_t *hashes, size_t count, size_t index, const uint8_t *proof,
                      size_t proof_count, const uint8_t root[SK_SHA256_SIZE]);
/* Root of a subtree of this height (at most 63) whose leaves are all zero: what stands where a file
 * has ended. */
const uint8_t *sk_merkle_padding(unsigned height);
/* The least power of two that is at least n (n >= 1). */
size_t sk_merkle_width(size_t n);

#endif
