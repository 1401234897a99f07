/*
 * Hashes the files of a torrent by all processors: for a new torrent, or to see which of its pieces
 * are right as they lie on the disk. Layer: driver.
 *
 * Threads take pieces in order, a few at a time, and read them with pread() into a buffer of their
 * own; no file is mapped, so a file that is cut meanwhile is an error and no signal. Each byte is
 * read once, whatever is hashed: v1 pieces (SHA-1, across the ends of files), v2 pieces (SHA-256 of
 * blocks, and the root over them) or both. Files are opened as sk_path_open() does. Nothing is ever
 * written.
 *
 * Memory: for each thread SK_HASHING_BUFFER bytes, and 32 for each block of a piece. The torrent,
 * the directory and the results belong to the caller and stay as they are until sk_hashing_free().
 */
#ifndef SK_DRIVER_HASHING_H
#define SK_DRIVER_HASHING_H

#include "wire/metainfo.h"

#include <uv.h>

/* Small enough that what was read is hashed while it is in a core's cache. */
#define SK_HASHING_BUFFER (64u << 10)

enum sk_hashing_state {
    SK_HASHING_RUNNING,
    SK_HASHING_DONE,
    SK_HASHING_FAILED,
    SK_HASHING_CANCELLED,
};

/* What is known of a piece on the disk. */
enum sk_hashing_piece {
    SK_HASHING_UNKNOWN, /* no hash is known to compare it with (v2 layer missing), or not yet */
    SK_HASHING_RIGHT,
    SK_HASHING_WRONG,
    SK_HASHING_MISSING, /* a file of it is not there, too short, not a regular one or unreadable */
};

struct sk_hashing_progress {
    enum sk_hashing_state state;
    uint64_t bytes, bytes_total; /* of all pieces, padding included */
    /* SK_HASHING_FAILED: SKEP_ERR_IO with an errno, SKEP_ERR_TRUNCATED (the file is shorter than it
     * was) or SKEP_ERR_MISMATCH (longer); and the file. */
    int err, error;
    uint32_t file;
};

struct sk_hashing;

/* One a processor that this process may use; at most SK_HASHING_THREADS_MAX. */
unsigned sk_hashing_threads(void);

/*
 * Begins to hash the files of a description (metainfo_write.h) that lie below the directory `root`
 * under their paths. Results, by piece: `hashes` (has_v1) 20 bytes, `roots` (has_v2) 32. It fails
 * at the first file that cannot be read or has another length. threads: 1 to
 * SK_HASHING_THREADS_MAX. SKEP_ERR_NOMEM.
 */
int sk_hashing_make(const struct sk_metainfo *description, int root, unsigned threads,
                    uint8_t *hashes, uint8_t *roots, struct sk_hashing **ret_hashing);
/*
 * Begins to look which pieces of a torrent are right: the directory `root` has the file or
 * directory of the torrent's name. `ret_pieces`, a byte of enum sk_hashing_piece for each piece, is
 * filled as they are read; it never fails. SKEP_ERR_NOMEM.
 */
int sk_hashing_check(const struct sk_metainfo *torrent, int root, unsigned threads,
                     uint8_t *ret_pieces, struct sk_hashing **ret_hashing);
/* Waits for the end, for so many seconds at most, and says how it stands. */
void sk_hashing_wait(struct sk_hashing *hashing, double seconds,
                     struct sk_hashing_progress *ret_progress);
/* The threads end within a buffer's time. */
void sk_hashing_cancel(struct sk_hashing *hashing);
/* Cancels and waits, where it still runs. NULL is fine. */
void sk_hashing_free(struct sk_hashing *hashing);

#endif
