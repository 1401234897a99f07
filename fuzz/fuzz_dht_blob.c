/*
 * What hostile nodes may have stored: roots, parts and announced ports. The first byte says which:
 *   'r'  a root, then parts: two bytes length and the value each, for part 0, 1, ...
 *   'c'  bytes: what is cut comes together again
 *   'p'  ports for the text "hello": three bytes each, port and votes; as those of the head, then
 * of the first segment of each head that can be read from them
 */
#include "base/assert.h"
#include "wire/dht_blob.h"
#include "wire/dht_port_blob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PORTS_MAX 64

/* The next two bytes say how long what follows them is; cut to what is there. */
static struct sk_bytes next_chunk(struct sk_bytes *rest)
{
    if (rest->n < 2)
        return sk_bytes(NULL, 0);
    size_t n = sk_get_u16(rest->p);
    n = SK_MIN(n, rest->n - 2);
    struct sk_bytes chunk = sk_bytes(rest->p + 2, n);
    *rest = sk_bytes(rest->p + 2 + n, rest->n - 2 - n);
    return chunk;
}

static void fuzz_root(struct sk_bytes rest)
{
    struct sk_dht_blob blob;
    if (sk_dht_blob_open(next_chunk(&rest), &blob))
        return;
    SK_ASSERT(sk_dht_blob_bytes(&blob).n <= SK_DHT_BLOB_MAX);
    uint32_t count = sk_dht_blob_count(&blob);
    SK_ASSERT(count <= 2 * SK_DHT_BLOB_MAX / SK_DHT_BLOB_PART);
    uint32_t known = blob.levels ? (uint32_t)(blob.size[0] / SK_DHT_ID_SIZE) : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct sk_dht_blob_part part = sk_dht_blob_part(&blob, i);
        SK_ASSERT(part.size > 0 && part.size <= SK_DHT_BLOB_PART);
        SK_ASSERT(part.leaf == (part.children_count == 0));
        SK_ASSERT(part.leaf || part.children == known);
        known += part.children_count;
        sk_dht_blob_accept(&blob, i, next_chunk(&rest));
    }
    SK_ASSERT(known == count);
    if (blob.levels)
        sk_dht_blob_whole(&blob);
    sk_dht_blob_deinit(&blob);
}

static void fuzz_cut(struct sk_bytes bytes)
{
    struct sk_dht_blob cut, read;
    struct sk_buf value;
    sk_buf_init(&value, SK_KRPC_ITEM_MAX);
    SK_ASSERT(sk_dht_blob_cut(bytes, &cut) == 0);
    sk_dht_blob_write_root(&value, &cut);
    SK_ASSERT(!value.failed && sk_dht_blob_open(sk_buf_bytes(&value), &read) == 0);
    for (uint32_t i = 0; i < sk_dht_blob_count(&read); i++) {
        struct sk_dht_blob_part part = sk_dht_blob_part(&cut, i);
        value.n = 0;
        sk_dht_blob_write_part(&value, &part);
        SK_ASSERT(!value.failed && sk_dht_blob_accept(&read, i, sk_buf_bytes(&value)));
    }
    SK_ASSERT(!read.is_value && sk_bytes_equal(sk_dht_blob_bytes(&read), bytes));
    SK_ASSERT(read.levels == 0 || sk_dht_blob_whole(&read));
    sk_buf_deinit(&value);
    sk_dht_blob_deinit(&cut);
    sk_dht_blob_deinit(&read);
}

static void fuzz_ports(struct sk_bytes rest)
{
    struct sk_port_blob_key key;
    struct sk_port_blob_seen seen[PORTS_MAX];
    struct sk_port_blob_head heads[4];
    uint8_t bytes[SK_PORT_BLOB_MAX];
    size_t count = SK_MIN(rest.n / 3, (size_t)PORTS_MAX);
    for (size_t i = 0; i < count; i++)
        seen[i] = (struct sk_port_blob_seen){.port = sk_get_u16(rest.p + 3 * i),
                                             .votes = rest.p[3 * i + 2]};
    sk_port_blob_key(sk_bytes_text("hello"), &key);
    size_t found = sk_port_blob_read_heads(&key, seen, count, heads, 4);
    for (size_t i = 0; i < found; i++) {
        SK_ASSERT(heads[i].length <= SK_PORT_BLOB_MAX &&
                  heads[i].version <= SK_PORT_BLOB_VERSION_MAX);
        sk_port_blob_read_segment(&key, &heads[i], 0, seen, count, bytes);
    }
    struct sk_port_blob_head head = sk_port_blob_head(&key, 5, sk_bytes_text("hello"));
    sk_port_blob_read_segment(&key, &head, 0, seen, count, bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct sk_bytes rest = sk_bytes(data + 1, size - 1);
    if (data[0] == 'r')
        fuzz_root(rest);
    else if (data[0] == 'c' && rest.n <= SK_DHT_BLOB_MAX)
        fuzz_cut(rest);
    else if (data[0] == 'p')
        fuzz_ports(rest);
    return 0;
}
