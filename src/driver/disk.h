/*
 * A torrent's files on disk, read and written by libuv's thread pool. Layer: driver.
 *
 * A torrent's space is cut into files by the engine's layout; what lies between files (padding) is
 * not written and reads as zeros. Paths are followed from the root directory element by element and
 * no symbolic link is followed on the way, so that nothing outside the root can be reached whatever
 * a torrent calls its files and whatever lies there already; only regular files are used. Files
 * grow as they are written and are never cut.
 *
 * Memory: SK_DISK_QUEUE_BYTES_MAX under way, SK_DISK_FILES_MAX descriptors kept. The pool's threads
 * share only the table of descriptors, under its mutex.
 */
#ifndef SK_DRIVER_DISK_H
#define SK_DRIVER_DISK_H

#include "base/bytes.h"
#include "base/limits.h"

#include <uv.h>

struct skep_engine;
struct sk_metainfo;

struct sk_disk_file {
    uint32_t torrent, file;
    bool writable;
    int fd; /* -1: unused */
    unsigned users;
    uint64_t used; /* the larger, the later */
};

/* Called once for each request, on the loop's thread, maybe before the request's function returns.
 * `data` (borrowed for the call) is what was read. err: 0, SKEP_ERR_STORE (the disk is full),
 * SKEP_ERR_NOT_FOUND (no such file, to read), SKEP_ERR_TRUNCATED (the file ends before),
 * SKEP_ERR_MISMATCH (not what it should be, to write), SKEP_ERR_INVALID (beyond the torrent),
 * SKEP_ERR_LIMIT, SKEP_ERR_NOMEM, SKEP_ERR_IO. */
typedef void (*sk_disk_fn)(void *ctx, uint64_t id, bool write, int err, struct sk_bytes data);

struct sk_disk {
    uv_loop_t *loop; /* NULL: not initialised */
    const struct skep_engine *engine;
    sk_disk_fn fn;
    void *ctx;
    int root;
    size_t bytes;     /* under way */
    unsigned jobs;    /* under way */
    uv_mutex_t mutex; /* guards what follows */
    uint64_t clock;
    struct sk_disk_file files[SK_DISK_FILES_MAX];
};

/* Makes the directory, and those above it, where they are not there. SKEP_ERR_IO (errno says why),
 * SKEP_ERR_NOMEM. */
int sk_disk_init(struct sk_disk *disk, uv_loop_t *loop, const struct skep_engine *engine,
                 const char *directory, sk_disk_fn fn, void *ctx);
/* Only when `jobs` is 0. */
void sk_disk_deinit(struct sk_disk *disk);
/* The bytes are lent until fn is called. `verify` (NULL: they are believed): they are written only
 * where this says that they are `piece`, else SKEP_ERR_MISMATCH. */
void sk_disk_write(struct sk_disk *disk, uint64_t id, uint32_t torrent, uint64_t offset,
                   struct sk_bytes bytes, const struct sk_metainfo *verify, uint32_t piece);
void sk_disk_read(struct sk_disk *disk, uint64_t id, uint32_t torrent, uint64_t offset,
                  uint32_t length);

#endif
