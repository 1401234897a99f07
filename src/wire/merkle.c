#include "wire/merkle.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"

#include <pthread.h>

#define HASH SK_SHA256_SIZE

/* Roots of subtrees whose leaves are all zero, by height. */
static uint8_t pads[64][HASH];
static pthread_once_t pads_once = PTHREAD_ONCE_INIT;

static void make_pads(void)
{
    for (size_t i = 1; i < SK_ARRAY_LEN(pads); i++)
        sk_sha256_pair(pads[i - 1], pads[i - 1], pads[i]);
}

const uint8_t *sk_merkle_padding(unsigned height)
{
    SK_ASSERT(height < SK_ARRAY_LEN(pads));
    pthread_once(&pads_once, make_pads);
    return pads[height];
}

size_t sk_merkle_width(size_t n)
{
    SK_ASSERT(n >= 1 && n <= SIZE_MAX / 2 + 1);
    size_t width = 1;
    while (width < n)
        width *= 2;
    return width;
}

void sk_merkle_root(const uint8_t *hashes, size_t count, size_t width, unsigned layer,
                    uint8_t *scratch, uint8_t ret_root[SK_SHA256_SIZE])
{
    SK_ASSERT(count > 0 && count <= width && (width & (width - 1)) == 0);
    SK_ASSERT(layer + (unsigned)__builtin_ctzll(width) < SK_ARRAY_LEN(pads));
    pthread_once(&pads_once, make_pads);
    memmove(scratch, hashes, count * HASH);
    for (; width > 1; width /= 2, layer++) {
        for (size_t i = 0; i < count; i += 2) {
            const uint8_t *right = i + 1 < count ? scratch + (i + 1) * HASH : pads[layer];
            sk_sha256_pair(scratch + i * HASH, right, scratch + i / 2 * HASH);
        }
        count = (count + 1) / 2;
    }
    memcpy(ret_root, scratch, HASH);
}

int sk_merkle_root_of_data(struct sk_bytes data, size_t leaves, uint8_t ret_root[SK_SHA256_SIZE])
{
    size_t count = SK_MAX(data.n / SK_BLOCK_SIZE + (data.n % SK_BLOCK_SIZE != 0), (size_t)1);
    uint8_t *hashes = sk_mem_calloc(count, HASH);
    if (!hashes)
        return SKEP_ERR_NOMEM;
    for (size_t at = 0; at < data.n; at += SK_BLOCK_SIZE)
        sk_sha256(data.p + at, SK_MIN(data.n - at, (size_t)SK_BLOCK_SIZE),
                  hashes + at / SK_BLOCK_SIZE * HASH);
    sk_merkle_root(hashes, count, leaves, 0, hashes, ret_root);
    sk_mem_free(hashes);
    return 0;
}

/* The root over a full subtree, in constant memory: one waiting left node a level. */
static void fold(const uint8_t *hashes, size_t count, uint8_t ret_node[HASH])
{
    uint8_t left[64][HASH], node[HASH];
    for (size_t i = 0; i < count; i++) {
        memcpy(node, hashes + i * HASH, HASH);
        unsigned level = 0;
        for (size_t rest = i; rest & 1; rest >>= 1)
            sk_sha256_pair(left[level++], node, node);
        memcpy(left[level], node, HASH);
    }
    memcpy(ret_node, node, HASH);
}

bool sk_merkle_proves(const uint8_t *hashes, size_t count, size_t index, const uint8_t *proof,
                      size_t proof_count, const uint8_t root[SK_SHA256_SIZE])
{
    if (count == 0 || (count & (count - 1)) || index % count)
        return false;
    uint8_t node[HASH];
    fold(hashes, count, node);
    index /= count;
    for (size_t i = 0; i < proof_count; i++, index /= 2) {
        const uint8_t *uncle = proof + i * HASH;
        if (index & 1)
            sk_sha256_pair(uncle, node, node);
        else
            sk_sha256_pair(node, uncle, node);
    }
    return index == 0 && memcmp(node, root, HASH) == 0;
}
