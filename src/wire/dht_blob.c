/* Bytes as items of the DHT. */
#include "wire/dht_blob.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "wire/bencode.h"
#include "wire/dht_item.h"

#define VERSION 1
#define DOMAIN "skep dht key 1"
#define ROOT_HASHES_MAX ((size_t)SK_DHT_BLOB_ROOT_HASHES * SK_DHT_ID_SIZE)

void sk_dht_blob_seed(struct sk_bytes text, uint8_t ret_seed[SK_SIGN_SEED_SIZE])
{
    uint8_t message[sizeof DOMAIN + SK_SHA256_SIZE] = DOMAIN; /* its NUL counts */
    sk_sha256(text.p, text.n, message + sizeof DOMAIN);
    sk_sha256(message, sizeof message, ret_seed);
}

/* How many bytes the hashes of the parts of so many bytes take. */
static size_t hashes_size(size_t size)
{
    return (size + SK_DHT_BLOB_PART - 1) / SK_DHT_BLOB_PART * SK_DHT_ID_SIZE;
}

/* Sizes of all areas, and the areas, for so many bytes under a root. */
static int lay_out(struct sk_dht_blob *blob, size_t length)
{
    size_t size[SK_DHT_BLOB_LEVELS_MAX + 1] = {length};
    blob->levels = 0;
    while (blob->levels == 0 || size[blob->levels] > ROOT_HASHES_MAX) {
        SK_ASSERT(blob->levels < SK_DHT_BLOB_LEVELS_MAX);
        size[blob->levels + 1] = hashes_size(size[blob->levels]);
        blob->levels++;
    }
    for (unsigned i = 0; i <= blob->levels; i++) {
        blob->size[i] = size[blob->levels - i];
        blob->area[i] = sk_mem_calloc(blob->size[i], 1);
        if (!blob->area[i])
            return SKEP_ERR_NOMEM;
    }
    return 0;
}

/* A blob without levels. */
static int flat(struct sk_bytes bytes, bool is_value, struct sk_dht_blob *ret_blob)
{
    /* One byte at least, so that NULL means no memory. */
    uint8_t *copy = sk_mem_calloc(bytes.n + 1, 1);
    if (!copy)
        return SKEP_ERR_NOMEM;
    if (bytes.n)
        memcpy(copy, bytes.p, bytes.n);
    *ret_blob = (struct sk_dht_blob){.is_value = is_value, .area = {copy}, .size = {bytes.n}};
    return 0;
}

int sk_dht_blob_cut(struct sk_bytes bytes, struct sk_dht_blob *ret_blob)
{
    if (bytes.n > SK_DHT_BLOB_MAX)
        return SKEP_ERR_LIMIT;
    if (bytes.n <= SK_DHT_BLOB_STRING_MAX)
        return flat(bytes, false, ret_blob);

    struct sk_dht_blob blob = {0};
    struct sk_buf buf;
    sk_buf_init(&buf, SK_KRPC_ITEM_MAX);
    int err = lay_out(&blob, bytes.n);
    if (err || !sk_buf_reserve(&buf, SK_KRPC_ITEM_MAX)) {
        sk_dht_blob_deinit(&blob);
        return SKEP_ERR_NOMEM;
    }
    memcpy(blob.area[blob.levels], bytes.p, bytes.n);
    sk_sha256(bytes.p, bytes.n, blob.sha256);
    /* From the bytes up: a part of hashes is whole when all below it are done. */
    for (uint32_t number = sk_dht_blob_count(&blob); number-- > 0;) {
        struct sk_dht_blob_part part = sk_dht_blob_part(&blob, number);
        buf.n = 0;
        sk_dht_blob_write_part(&buf, &part);
        SK_ASSERT(!buf.failed);
        sk_dht_item_target_immutable(sk_buf_bytes(&buf), (uint8_t *)part.target);
    }
    sk_buf_deinit(&buf);
    *ret_blob = blob;
    return 0;
}

int sk_dht_blob_raw(struct sk_bytes value, struct sk_dht_blob *ret_blob)
{
    struct sk_bencode parsed;
    if (value.n > SK_KRPC_ITEM_MAX)
        return SKEP_ERR_LIMIT;
    if (sk_bencode_parse(value, SK_BENCODE_STRICT, &parsed, NULL))
        return SKEP_ERR_INVALID;
    return flat(value, true, ret_blob);
}

/* Makes what the root says, which has been found to be one of ours. */
static int open_root(const struct sk_bencode *root, struct sk_dht_blob *ret_blob)
{
    int64_t version = sk_bencode_get_int(root, "skep", 0);
    if (version != VERSION)
        return version > VERSION ? SKEP_ERR_UNSUPPORTED : SKEP_ERR_MISMATCH;
    int64_t length = sk_bencode_get_int(root, "length", -1);
    struct sk_bytes parts = sk_bencode_get_string(root, "parts");
    struct sk_bytes sha256 = sk_bencode_get_string(root, "sha256");
    if (length <= SK_DHT_BLOB_STRING_MAX || length > SK_DHT_BLOB_MAX || sha256.n != SK_SHA256_SIZE)
        return SKEP_ERR_MISMATCH;
    size_t expected = hashes_size((size_t)length);
    while (expected > ROOT_HASHES_MAX)
        expected = hashes_size(expected);
    if (parts.n != expected)
        return SKEP_ERR_MISMATCH;

    struct sk_dht_blob blob = {0};
    if (lay_out(&blob, (size_t)length)) {
        sk_dht_blob_deinit(&blob);
        return SKEP_ERR_NOMEM;
    }
    memcpy(blob.area[0], parts.p, parts.n);
    memcpy(blob.sha256, sha256.p, sizeof blob.sha256);
    *ret_blob = blob;
    return 0;
}

int sk_dht_blob_open(struct sk_bytes value, struct sk_dht_blob *ret_blob)
{
    struct sk_bencode parsed;
    if (sk_bencode_parse(value, SK_BENCODE_UNSORTED, &parsed, NULL))
        return SKEP_ERR_MALFORMED;
    if (parsed.type == SK_BENCODE_STRING)
        return flat(parsed.string, false, ret_blob);
    if (sk_bencode_get(&parsed, "skep").type == SK_BENCODE_INT)
        return open_root(&parsed, ret_blob);
    return flat(value, true, ret_blob);
}

void sk_dht_blob_deinit(struct sk_dht_blob *blob)
{
    for (unsigned i = 0; i <= SK_DHT_BLOB_LEVELS_MAX; i++)
        sk_mem_free(blob->area[i]);
    *blob = (struct sk_dht_blob){0};
}

static uint32_t level_count(const struct sk_dht_blob *blob, unsigned level)
{
    return (uint32_t)(blob->size[level] / SK_DHT_ID_SIZE);
}

uint32_t sk_dht_blob_count(const struct sk_dht_blob *blob)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < blob->levels; i++)
        count += level_count(blob, i);
    return count;
}

struct sk_dht_blob_part sk_dht_blob_part(const struct sk_dht_blob *blob, uint32_t number)
{
    unsigned level = 0;
    uint32_t first = 0;
    while (number - first >= level_count(blob, level)) {
        first += level_count(blob, level++);
        SK_ASSERT(level < blob->levels);
    }
    size_t index = number - first, offset = index * SK_DHT_BLOB_PART;
    size_t rest = blob->size[level + 1] - offset;
    struct sk_dht_blob_part part = {
        .target = blob->area[level] + index * SK_DHT_ID_SIZE,
        .content = blob->area[level + 1] + offset,
        .size = rest < SK_DHT_BLOB_PART ? rest : SK_DHT_BLOB_PART,
        .leaf = level + 1 == blob->levels,
    };
    if (!part.leaf) {
        part.children = first + level_count(blob, level) + (uint32_t)index * SK_DHT_BLOB_FANOUT;
        part.children_count = (uint32_t)(part.size / SK_DHT_ID_SIZE);
    }
    return part;
}

bool sk_dht_blob_accept(struct sk_dht_blob *blob, uint32_t number, struct sk_bytes value)
{
    struct sk_dht_blob_part part = sk_dht_blob_part(blob, number);
    struct sk_bencode parsed;
    if (sk_bencode_parse(value, SK_BENCODE_STRICT, &parsed, NULL) ||
        parsed.type != SK_BENCODE_STRING || parsed.string.n != part.size)
        return false;
    memcpy(part.content, parsed.string.p, part.size);
    return true;
}

bool sk_dht_blob_whole(const struct sk_dht_blob *blob)
{
    uint8_t digest[SK_SHA256_SIZE];
    sk_sha256(blob->area[blob->levels], blob->size[blob->levels], digest);
    return memcmp(digest, blob->sha256, sizeof digest) == 0;
}

void sk_dht_blob_write_part(struct sk_buf *buf, const struct sk_dht_blob_part *part)
{
    sk_bencode_put_string(buf, sk_bytes(part->content, part->size));
}

void sk_dht_blob_write_root(struct sk_buf *buf, const struct sk_dht_blob *blob)
{
    struct sk_bytes top = sk_bytes(blob->area[0], blob->size[0]);
    if (blob->is_value) {
        sk_buf_append(buf, top.p, top.n);
        return;
    }
    if (blob->levels == 0) {
        sk_bencode_put_string(buf, top);
        return;
    }
    sk_bencode_put_dict(buf);
    sk_bencode_put_text(buf, "length");
    sk_bencode_put_int(buf, (int64_t)blob->size[blob->levels]);
    sk_bencode_put_text(buf, "parts");
    sk_bencode_put_string(buf, top);
    sk_bencode_put_text(buf, "sha256");
    sk_bencode_put_string(buf, sk_bytes(blob->sha256, sizeof blob->sha256));
    sk_bencode_put_text(buf, "skep");
    sk_bencode_put_int(buf, VERSION);
    sk_bencode_put_end(buf);
}
