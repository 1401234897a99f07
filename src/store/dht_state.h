/*
 * Nodes of the DHT that were met, kept in a file from one run to the next. Layer: store.
 *
 * The file is one bencoded dictionary: "id" and "id6" (our own, where a node that stays used them),
 * "nodes" and "nodes6" (compact as in BEP 5: id and address, 26 and 38 bytes each), "time" (Unix).
 * It is written beside its place and renamed, mode 0600, so that readers see one whole file or the
 * other, however many programs write. What is read is as hostile as any file: what makes no sense
 * is an error, addresses that nobody can have are left out.
 */
#ifndef SK_STORE_DHT_STATE_H
#define SK_STORE_DHT_STATE_H

#include "base/bytes.h"
#include "base/endpoint.h"

#define SK_DHT_STATE_FILE "dht.nodes"
#define SK_DHT_STATE_NODES_MAX 400
#define SK_DHT_STATE_BYTES_MAX (64u << 10)
#define SK_DHT_STATE_ID_SIZE 20

struct sk_saved_node {
    uint8_t id[SK_DHT_STATE_ID_SIZE];
    struct sk_endpoint endpoint;
};

struct sk_saved_nodes {
    bool has_id[2]; /* IPv4, IPv6 */
    uint8_t id[2][SK_DHT_STATE_ID_SIZE];
    int64_t saved_unix_s;
    struct sk_saved_node nodes[SK_DHT_STATE_NODES_MAX];
    size_t count;
};

/* Adds a node at the end, unless its address is there already or the list is full. */
void sk_dht_state_add(struct sk_saved_nodes *saved, const struct sk_saved_node *node);
/* SKEP_ERR_MALFORMED. */
int sk_dht_state_parse(struct sk_bytes bytes, struct sk_saved_nodes *ret_saved);
/* Reads DIRECTORY/dht.nodes. SKEP_ERR_NOT_FOUND where there is none, SKEP_ERR_IO (errno),
 * SKEP_ERR_MALFORMED. */
int sk_dht_state_read(const char *directory, struct sk_saved_nodes *ret_saved);
/* Makes the directory (mode 0700, and what leads there) and the file. SKEP_ERR_IO (errno),
 * SKEP_ERR_NOMEM. */
int sk_dht_state_write(const char *directory, const struct sk_saved_nodes *saved);

#endif
