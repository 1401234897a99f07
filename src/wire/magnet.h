/*
 * Magnet links (BEP 9; x.pe, ws; BEP 53 "so"; xs and as; BEP 46). Owned; bounded by limits.h.
 */
#ifndef SK_WIRE_MAGNET_H
#define SK_WIRE_MAGNET_H

#include "base/bytes.h"
#include "base/hash.h"

#define SK_MAGNET_KEY_SIZE 32
#define SK_MAGNET_SALT_MAX 64

struct sk_magnet_range {
    uint32_t first, last; /* file indices, inclusive */
};

struct sk_magnet {
    bool has_v1, has_v2;
    uint8_t hash_v1[SK_SHA1_SIZE];
    uint8_t hash_v2[SK_SHA256_SIZE];
    uint8_t info_hash[SK_SHA1_SIZE]; /* as in struct sk_metainfo */
    /* BEP 46: a mutable item of the DHT, under key and salt, whose "ih" is the info-hash of today.
     * Such a link may name no info-hash itself: then has_v1 and has_v2 are false. */
    bool has_key;
    uint8_t key[SK_MAGNET_KEY_SIZE];
    uint8_t salt[SK_MAGNET_SALT_MAX];
    size_t salt_size;
    char *name;      /* dn, NULL when absent; raw UTF-8, not escaped */
    uint64_t size;   /* xl, 0 when absent */
    char **trackers; /* tr */
    size_t trackers_count;
    char **web_seeds; /* ws */
    size_t web_seeds_count;
    char **sources; /* xs and as: http(s) addresses of the .torrent */
    size_t sources_count;
    char **peers; /* x.pe: "host:port" or "[ip6]:port", names allowed */
    size_t peers_count;
    struct sk_magnet_range *select; /* so, ascending and merged */
    size_t select_count;
    bool select_broken; /* there was a so that says nothing */
};

/*
 * Parses "magnet:?...": btih in 40 hex or 32 base32 digits, btmh as a multihash of SHA2-256.
 * SKEP_ERR_MALFORMED (no usable xt, bad escapes in xt), SKEP_ERR_NOMEM, SKEP_ERR_LIMIT,
 * SKEP_ERR_UNSUPPORTED (a link of BEP 46 that names no info-hash). Unknown or broken other
 * parameters are passed over. `ret_reason` as in metainfo.h.
 */
int sk_magnet_parse(const char *uri, struct sk_magnet **ret_magnet, const char **ret_reason);
/* As sk_magnet_parse(), for those who can look up what a public key points to: xs=urn:btpk:HEX with
 * an optional salt s=HEX is enough. A broken salt makes it SKEP_ERR_MALFORMED. */
int sk_magnet_parse_pointer(const char *uri, struct sk_magnet **ret_magnet,
                            const char **ret_reason);
/* A magnet of nothing but an info-hash in 40 or 64 hex digits (or 32 base32). SKEP_ERR_INVALID
 * where the text is anything else, SKEP_ERR_NOMEM. */
int sk_magnet_from_hash(const char *hex, struct sk_magnet **ret_magnet);
/* Whether the link selects this file (an index); one that selects none at all selects all. */
bool sk_magnet_selects(const struct sk_magnet *magnet, uint32_t file);
void sk_magnet_free(struct sk_magnet *magnet);

#endif
