/*
 * What a .torrent file or an info dictionary says: v1 (BEP 3), v2 (BEP 52) and hybrid, with
 * padding files and attributes (47), tiers of trackers (12), web seeds (19) and the private flag
 * (27).
 *
 * One owned object; all views in it borrow bytes that it holds itself. Piece numbers are those of
 * the peer protocol. In a hybrid torrent the v1 and v2 halves must describe the same files (names,
 * lengths, alignment by padding files) or the parse fails with SKEP_ERR_MISMATCH.
 * Memory: the input plus about 64 bytes and the path for each file.
 */
#ifndef SK_WIRE_METAINFO_H
#define SK_WIRE_METAINFO_H

#include "base/bytes.h"
#include "base/hash.h"

enum sk_file_flags {
    SK_FILE_PADDING = 1, /* BEP 47 'p': not a file of its own, all zero bytes */
    SK_FILE_EXECUTABLE = 2,
    SK_FILE_HIDDEN = 4,
    SK_FILE_SYMLINK = 8,
};

struct sk_file {
    const char *path;      /* '/'-joined path inside the torrent's name, made safe (see below) */
    uint64_t length;       /* bytes */
    uint64_t offset;       /* of its first byte in the v1 / piece address space */
    uint32_t flags;        /* enum sk_file_flags */
    uint32_t first_piece;  /* piece that holds its first byte (0 for empty files) */
    const uint8_t *root;   /* v2: pieces root, 32 bytes; NULL for v1 and for empty files */
    struct sk_bytes layer; /* v2: its piece layer, 32 bytes a piece; n = 0 where not known or where
                              the file is no longer than a piece (then root is the piece's hash) */
};

struct sk_metainfo {
    bool has_v1, has_v2;
    uint8_t hash_v1[SK_SHA1_SIZE];   /* info-hash; zero when not has_v1 */
    uint8_t hash_v2[SK_SHA256_SIZE]; /* zero when not has_v2 */
    /* What goes into handshakes and announces: v1's where there is one, else v2's first 20. */
    uint8_t info_hash[SK_SHA1_SIZE];
    const char *name;      /* made safe as a file name; never empty */
    uint64_t size;         /* bytes of all files that are not padding */
    uint64_t span;         /* bytes of the piece address space, with padding */
    uint32_t piece_size;   /* bytes */
    uint32_t pieces;       /* how many */
    const uint8_t *hashes; /* v1: 20 bytes a piece; NULL when not has_v1 */
    const struct sk_file *files;
    uint32_t files_count;
    bool is_private;
    bool single_file;     /* v1 'length' form: the file is the name itself */
    struct sk_bytes info; /* the info dictionary as it stood */
    const char *comment;  /* NULL when absent, as created_by; raw bytes, not escaped */
    const char *created_by;
    int64_t created_s; /* unix time, 0 when absent */
    /* Trackers in tiers: tracker i has address trackers[i] and tier tiers[i], ascending. */
    const char *const *trackers;
    const uint32_t *tiers;
    uint32_t trackers_count;
    const char *const *web_seeds;
    uint32_t web_seeds_count;
    /* BEP 5 'nodes': host names with ports, "host:port" texts. */
    const char *const *nodes;
    uint32_t nodes_count;
};

/*
 * Parses a whole .torrent file (the bytes are copied). SKEP_ERR_MALFORMED, SKEP_ERR_MISMATCH
 * (hybrid halves disagree; piece layers do not lead to their roots), SKEP_ERR_UNSUPPORTED (meta
 * version above 2), SKEP_ERR_LIMIT, SKEP_ERR_NOMEM. `ret_reason`, when not NULL, is set on failure
 * to a static English phrase for the user ("piece length is not a power of two").
 *
 * Keys may come in any order (old programs write them so; the hash is over the bytes as they
 * stand), but not twice. What lies outside the info dictionary is advice: what is broken there is
 * passed over, but for the piece layers, which a v2 torrent must have whole.
 *
 * Names are made safe for disks as they are read: no absolute path, "." or "..", no NUL, control
 * character or separator in an element, no element over 255 bytes (cut, keeping the extension),
 * nothing empty, no device name of other systems ("_" goes before "CON" or "nul.txt"); invalid
 * UTF-8 is replaced. Files whose safe paths are equal to another's or to a directory's when case is
 * folded (ASCII, Latin, Greek, Cyrillic, Armenian, fullwidth) are told apart by a number.
 */
int sk_metainfo_parse(struct sk_bytes torrent, struct sk_metainfo **ret_metainfo,
                      const char **ret_reason);
/* The same from an info dictionary alone (from peers, BEP 9); the caller verified its hash. For v2
 * layers are then missing and come from peers: sk_metainfo_set_layer(). */
int sk_metainfo_parse_info(struct sk_bytes info, struct sk_metainfo **ret_metainfo,
                           const char **ret_reason);
void sk_metainfo_free(struct sk_metainfo *metainfo);

/* Bytes of a piece as requested from peers. In v2-only torrents a file's last piece is cut at its
 * end; in hybrid ones the padding counts as in v1. piece < pieces. */
uint32_t sk_metainfo_piece_length(const struct sk_metainfo *metainfo, uint32_t piece);
/* Bytes of files in a piece: without padding. piece < pieces. */
uint32_t sk_metainfo_piece_data(const struct sk_metainfo *metainfo, uint32_t piece);
/* The file that holds the first byte of a piece, as an index into files. */
uint32_t sk_metainfo_piece_file(const struct sk_metainfo *metainfo, uint32_t piece);
/*
 * Whether the bytes of a whole piece are right. 1 yes, 0 no, SKEP_ERR_NOT_FOUND where no hash is
 * known (v2 layer missing). Uses v1's hash where there is one, else the v2 tree.
 */
int sk_metainfo_verify_piece(const struct sk_metainfo *metainfo, uint32_t piece,
                             struct sk_bytes data);
/* v2: the 32-byte hash that covers this piece, or NULL where the layer is missing. */
const uint8_t *sk_metainfo_piece_root(const struct sk_metainfo *metainfo, uint32_t piece);
/* v2: takes over (copies) a file's piece layer once it leads to the file's root.
 * SKEP_ERR_MISMATCH where it does not, SKEP_ERR_NOMEM. */
int sk_metainfo_set_layer(struct sk_metainfo *metainfo, uint32_t file, struct sk_bytes layer);

#endif
