/*
 * Bencode. Input: a byte of flags, then what is parsed. What was accepted is written again from
 * what the walk through it gives, and must come out byte for byte.
 */
#include "wire/bencode.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_again(struct sk_buf *buf, const struct sk_bencode *value)
{
    struct sk_bencode_iter iter = sk_bencode_iter(value);
    struct sk_bencode item;
    struct sk_bytes key;
    switch (value->type) {
    case SK_BENCODE_INT:
        sk_bencode_put_int(buf, value->integer);
        break;
    case SK_BENCODE_STRING:
        sk_bencode_put_string(buf, value->string);
        break;
    case SK_BENCODE_LIST:
        sk_bencode_put_list(buf);
        while (sk_bencode_next(&iter, NULL, &item))
            write_again(buf, &item);
        sk_bencode_put_end(buf);
        break;
    case SK_BENCODE_DICT:
        sk_bencode_put_dict(buf);
        while (sk_bencode_next(&iter, &key, &item)) {
            sk_bencode_put_string(buf, key);
            write_again(buf, &item);
        }
        sk_bencode_put_end(buf);
        break;
    default:
        SK_ASSERT(false);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sk_bencode root;
    size_t offset = SIZE_MAX;
    if (size == 0)
        return 0;
    struct sk_bytes input = sk_bytes(data + 1, size - 1);
    unsigned flags = data[0] & (SK_BENCODE_UNSORTED | SK_BENCODE_PREFIX);
    int err = sk_bencode_parse(input, flags, &root, &offset);
    if (err) {
        SK_ASSERT(offset <= input.n);
        SK_ASSERT(err == SKEP_ERR_MALFORMED || err == SKEP_ERR_TRUNCATED || err == SKEP_ERR_LIMIT);
        return 0;
    }
    SK_ASSERT(root.raw.p == input.p);
    SK_ASSERT(flags & SK_BENCODE_PREFIX ? root.raw.n <= input.n : root.raw.n == input.n);
    struct sk_buf buf;
    sk_buf_init(&buf, size);
    write_again(&buf, &root);
    SK_ASSERT(sk_bytes_equal(sk_buf_bytes(&buf), root.raw));
    sk_buf_deinit(&buf);
    sk_bencode_get_int(&root, "length", 0);
    sk_bencode_get_string(&root, "pieces");
    return 0;
}
