#include "store/dht_state.h"

#include <skep/err.h>

#include "base/assert.h"
#include "store/directory.h"
#include "wire/bencode.h"
#include "wire/compact.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE 4200

/* The two networks. */
static const struct {
    enum sk_family family;
    const char *id_key, *nodes_key;
    size_t address_size;
} networks[] = {
    {SK_FAMILY_V4, "id", "nodes", 6},
    {SK_FAMILY_V6, "id6", "nodes6", 18},
};

void sk_dht_state_add(struct sk_saved_nodes *saved, const struct sk_saved_node *node)
{
    for (size_t i = 0; i < saved->count; i++)
        if (sk_endpoint_equal(&saved->nodes[i].endpoint, &node->endpoint))
            return;
    if (saved->count < SK_DHT_STATE_NODES_MAX)
        saved->nodes[saved->count++] = *node;
}

static void read_nodes(struct sk_bytes nodes, size_t network, struct sk_saved_nodes *saved)
{
    size_t address_size = networks[network].address_size,
           size = SK_DHT_STATE_ID_SIZE + address_size;
    for (size_t at = 0; at + size <= nodes.n; at += size) {
        struct sk_saved_node node;
        memcpy(node.id, nodes.p + at, SK_DHT_STATE_ID_SIZE);
        struct sk_bytes address = sk_bytes(nodes.p + at + SK_DHT_STATE_ID_SIZE, address_size);
        if (sk_compact_read(address, networks[network].family, &node.endpoint, 1, NULL) == 1 &&
            node.endpoint.port && sk_endpoint_scope(&node.endpoint) != SK_SCOPE_UNUSABLE)
            sk_dht_state_add(saved, &node);
    }
}

int sk_dht_state_parse(struct sk_bytes bytes, struct sk_saved_nodes *ret_saved)
{
    struct sk_bencode root;
    if (sk_bencode_parse(bytes, SK_BENCODE_STRICT, &root, NULL) || root.type != SK_BENCODE_DICT)
        return SKEP_ERR_MALFORMED;
    *ret_saved = (struct sk_saved_nodes){.saved_unix_s = sk_bencode_get_int(&root, "time", 0)};
    for (size_t i = 0; i < SK_ARRAY_LEN(networks); i++) {
        struct sk_bytes id = sk_bencode_get_string(&root, networks[i].id_key);
        ret_saved->has_id[i] = id.n == SK_DHT_STATE_ID_SIZE;
        if (ret_saved->has_id[i])
            memcpy(ret_saved->id[i], id.p, SK_DHT_STATE_ID_SIZE);
        read_nodes(sk_bencode_get_string(&root, networks[i].nodes_key), i, ret_saved);
    }
    return 0;
}

int sk_dht_state_read(const char *directory, struct sk_saved_nodes *ret_saved)
{
    char path[PATH_SIZE];
    uint8_t bytes[SK_DHT_STATE_BYTES_MAX + 1];
    snprintf(path, sizeof path, "%s/%s", directory, SK_DHT_STATE_FILE);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe would be waited for */
    if (fd < 0)
        return errno == ENOENT ? SKEP_ERR_NOT_FOUND : SKEP_ERR_IO;
    size_t n = 0;
    ssize_t got = 0;
    while (n < sizeof bytes && (got = read(fd, bytes + n, sizeof bytes - n)) > 0)
        n += (size_t)got;
    int error = got < 0 ? errno : 0;
    close(fd);
    errno = error;
    if (error)
        return SKEP_ERR_IO;
    return n > SK_DHT_STATE_BYTES_MAX ? SKEP_ERR_MALFORMED
                                      : sk_dht_state_parse(sk_bytes(bytes, n), ret_saved);
}

/* ---- writing ---- */

static void put_nodes(const struct sk_saved_nodes *saved, size_t network, struct sk_buf *out)
{
    struct sk_buf nodes;
    sk_buf_init(&nodes, SK_DHT_STATE_BYTES_MAX);
    for (size_t i = 0; i < saved->count; i++) {
        const struct sk_saved_node *node = &saved->nodes[i];
        if (node->endpoint.family != networks[network].family)
            continue;
        sk_buf_append(&nodes, node->id, SK_DHT_STATE_ID_SIZE);
        sk_compact_write(&nodes, &node->endpoint);
    }
    if (nodes.n) {
        sk_bencode_put_text(out, networks[network].nodes_key);
        sk_bencode_put_string(out, sk_buf_bytes(&nodes));
    }
    out->failed |= nodes.failed;
    sk_buf_deinit(&nodes);
}

/* Keys in their order: id, id6, nodes, nodes6, time. */
static int encode(const struct sk_saved_nodes *saved, struct sk_buf *out)
{
    sk_bencode_put_dict(out);
    for (size_t i = 0; i < SK_ARRAY_LEN(networks); i++) {
        if (!saved->has_id[i])
            continue;
        sk_bencode_put_text(out, networks[i].id_key);
        sk_bencode_put_string(out, sk_bytes(saved->id[i], SK_DHT_STATE_ID_SIZE));
    }
    for (size_t i = 0; i < SK_ARRAY_LEN(networks); i++)
        put_nodes(saved, i, out);
    sk_bencode_put_text(out, "time");
    sk_bencode_put_int(out, saved->saved_unix_s);
    sk_bencode_put_end(out);
    return out->failed ? SKEP_ERR_NOMEM : 0;
}

/* mkostemp() makes files of mode 0600. errno says what failed. */
static int replace_file(const char *path, struct sk_bytes bytes)
{
    char beside[PATH_SIZE + 16];
    snprintf(beside, sizeof beside, "%s.XXXXXX", path);
    int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return SKEP_ERR_IO;
    size_t done = 0;
    while (done < bytes.n) {
        ssize_t n = write(fd, bytes.p + done, bytes.n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    int error = done < bytes.n ? errno : 0;
    if (close(fd) && !error)
        error = errno;
    if (!error && rename(beside, path))
        error = errno;
    if (error)
        unlink(beside);
    errno = error;
    return error ? SKEP_ERR_IO : 0;
}

int sk_dht_state_write(const char *directory, const struct sk_saved_nodes *saved)
{
    char path[PATH_SIZE];
    struct sk_buf bytes;
    snprintf(path, sizeof path, "%s/%s", directory, SK_DHT_STATE_FILE);
    sk_buf_init(&bytes, SK_DHT_STATE_BYTES_MAX);
    int err = encode(saved, &bytes);
    if (!err)
        err = sk_directory_make(directory);
    if (!err)
        err = replace_file(path, sk_buf_bytes(&bytes));
    sk_buf_deinit(&bytes);
    return err;
}
