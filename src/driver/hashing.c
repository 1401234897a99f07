#include "driver/hashing.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "driver/path.h"
#include "wire/merkle.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN_BYTES (4u << 20) /* that a thread takes at a time: files are mostly read in order */
#define NO_FILE UINT32_MAX

_Static_assert(SK_HASHING_BUFFER % SK_BLOCK_SIZE == 0, "a buffer ends with a block");

struct worker {
    struct sk_hashing *hashing;
    uv_thread_t thread;
    uint8_t *buffer;
    uint8_t *leaves; /* v2: block hashes of the piece at hand */
    struct sk_hasher *sha1;
    uint32_t file; /* the one that is open as fd, or NO_FILE */
    int fd;
    uint32_t cursor; /* the file that is being read */
};

struct sk_hashing {
    const struct sk_metainfo *torrent;
    int root;
    const char *folder; /* of the files, below root; NULL: root itself */
    bool sha1, sha256;
    uint8_t *hashes, *roots; /* what is made */
    uint8_t *pieces;         /* what is checked: then these two are NULL */
    uint32_t run;            /* pieces that a thread takes at a time */
    uint64_t bytes_total;
    _Atomic uint64_t next_piece, bytes;
    _Atomic bool stop;
    uv_mutex_t mutex; /* guards what follows */
    uv_cond_t ended;
    struct sk_hashing_progress outcome;
    unsigned running;
    unsigned workers_count;
    struct worker workers[];
};

unsigned sk_hashing_threads(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return SK_MIN((unsigned)SK_MAX(count, 1), SK_HASHING_THREADS_MAX);
}

/* ---- reading ---- */

/* Why reading failed: err, with errno for SKEP_ERR_IO. */
struct failure {
    int err, error;
};

/* Opens the file at the cursor, unless it is open. What is made must have the length that was
 * planned for; what is checked may be longer. */
static bool open_file(struct worker *worker, struct failure *failure)
{
    const struct sk_hashing *h = worker->hashing;
    const struct sk_file *file = &h->torrent->files[worker->cursor];
    char path[SK_METAINFO_PATH_MAX + 512];
    struct stat about;
    if (worker->file == worker->cursor)
        return true;
    if (worker->fd >= 0)
        close(worker->fd);
    worker->file = NO_FILE;
    snprintf(path, sizeof path, "%s%s%s", h->folder ? h->folder : "", h->folder ? "/" : "",
             file->path);
    worker->fd = sk_path_open(h->root, path, false);
    if (worker->fd < 0 || fstat(worker->fd, &about) != 0) {
        *failure = (struct failure){SKEP_ERR_IO, errno};
        return false;
    }
    if (!h->pieces && (uint64_t)about.st_size > file->length) {
        *failure = (struct failure){SKEP_ERR_MISMATCH, 0};
        return false;
    }
    posix_fadvise(worker->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    worker->file = worker->cursor;
    return true;
}

static bool read_file(struct worker *worker, uint64_t offset, uint8_t *to, size_t n,
                      struct failure *failure)
{
    if (!open_file(worker, failure))
        return false;
    while (n) {
        ssize_t got = pread(worker->fd, to, n, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            *failure = got ? (struct failure){SKEP_ERR_IO, errno}
                           : (struct failure){SKEP_ERR_TRUNCATED, 0};
            return false;
        }
        to += got;
        offset += (size_t)got;
        n -= (size_t)got;
    }
    return true;
}

/* Fills the buffer with n bytes of the space of the pieces. The cursor goes along. */
static bool fill(struct worker *worker, uint64_t at, size_t n, struct failure *failure)
{
    const struct sk_file *files = worker->hashing->torrent->files;
    for (size_t done = 0; done < n;) {
        const struct sk_file *file = &files[worker->cursor];
        uint64_t inside = at + done - file->offset;
        if (inside >= file->length) {
            worker->cursor++;
            continue;
        }
        size_t part = (size_t)SK_MIN((uint64_t)(n - done), file->length - inside);
        if (file->flags & SK_FILE_PADDING)
            memset(worker->buffer + done, 0, part);
        else if (!read_file(worker, inside, worker->buffer + done, part, failure))
            return false;
        done += part;
    }
    return true;
}

/* ---- pieces ---- */

/* Bytes of a piece that are its file's, and not padding after it (v2: a piece has one file). */
static uint32_t covered(const struct sk_metainfo *m, const struct sk_file *file, uint32_t piece)
{
    uint64_t begin = (uint64_t)piece * m->piece_size, end = file->offset + file->length;
    return (uint32_t)SK_MIN(end - begin, (uint64_t)m->piece_size);
}

static void hash_leaves(struct worker *worker, uint32_t from, uint32_t to)
{
    for (uint32_t at = from; at < to; at += SK_BLOCK_SIZE)
        sk_sha256(worker->buffer + (at - from), SK_MIN(to - at, (uint32_t)SK_BLOCK_SIZE),
                  worker->leaves + (size_t)(at / SK_BLOCK_SIZE) * SK_SHA256_SIZE);
}

/* The root over the leaves; as wide as a piece, but for a file that is no longer than one. */
static void end_root(struct worker *worker, const struct sk_file *file, uint32_t data,
                     uint8_t ret_root[SK_SHA256_SIZE])
{
    uint64_t reach = SK_MIN(file->length, (uint64_t)worker->hashing->torrent->piece_size);
    size_t width = sk_merkle_width((size_t)((reach + SK_BLOCK_SIZE - 1) / SK_BLOCK_SIZE));
    sk_merkle_root(worker->leaves, (data + SK_BLOCK_SIZE - 1) / SK_BLOCK_SIZE, width, 0,
                   worker->leaves, ret_root);
}

/* Reads and hashes a piece. False where it cannot be read (with the failure) or must not be. */
static bool hash_piece(struct worker *worker, uint32_t piece, uint8_t *ret_hash, uint8_t *ret_root,
                       struct failure *failure)
{
    struct sk_hashing *h = worker->hashing;
    const struct sk_metainfo *m = h->torrent;
    uint32_t length = sk_metainfo_piece_length(m, piece);
    worker->cursor = sk_metainfo_piece_file(m, piece);
    const struct sk_file *file = &m->files[worker->cursor];
    uint32_t data = h->sha256 ? covered(m, file, piece) : 0;
    for (uint32_t at = 0; at < length;) {
        uint32_t n = SK_MIN(length - at, SK_HASHING_BUFFER);
        if (atomic_load_explicit(&h->stop, memory_order_relaxed) ||
            !fill(worker, (uint64_t)piece * m->piece_size + at, n, failure)) {
            if (h->sha1 && at)
                sk_hasher_final(worker->sha1, ret_hash); /* ready for another */
            atomic_fetch_add_explicit(&h->bytes, length - at, memory_order_relaxed);
            return false;
        }
        if (h->sha1)
            sk_hasher_update(worker->sha1, worker->buffer, n);
        if (at < data)
            hash_leaves(worker, at, SK_MIN(data, at + n));
        atomic_fetch_add_explicit(&h->bytes, n, memory_order_relaxed);
        at += n;
    }
    if (h->sha1)
        sk_hasher_final(worker->sha1, ret_hash);
    if (h->sha256)
        end_root(worker, file, data, ret_root);
    return true;
}

static void fail(struct worker *worker, const struct failure *failure)
{
    struct sk_hashing *h = worker->hashing;
    uv_mutex_lock(&h->mutex);
    if (h->outcome.state == SK_HASHING_RUNNING) {
        h->outcome.state = SK_HASHING_FAILED;
        h->outcome.err = failure->err;
        h->outcome.error = failure->error;
        h->outcome.file = worker->cursor;
    }
    uv_mutex_unlock(&h->mutex);
    atomic_store(&h->stop, true);
}

static void make_piece(struct worker *worker, uint32_t piece)
{
    struct sk_hashing *h = worker->hashing;
    struct failure failure = {0};
    uint8_t *hash = h->sha1 ? h->hashes + (size_t)piece * SK_SHA1_SIZE : NULL;
    uint8_t *root = h->sha256 ? h->roots + (size_t)piece * SK_SHA256_SIZE : NULL;
    if (!hash_piece(worker, piece, hash, root, &failure) && failure.err)
        fail(worker, &failure);
}

static void check_piece(struct worker *worker, uint32_t piece)
{
    struct sk_hashing *h = worker->hashing;
    const struct sk_metainfo *m = h->torrent;
    const uint8_t *expected =
        h->sha1 ? m->hashes + (size_t)piece * SK_SHA1_SIZE : sk_metainfo_piece_root(m, piece);
    uint8_t hash[SK_SHA256_SIZE];
    struct failure failure = {0};
    if (!expected) {
        atomic_fetch_add(&h->bytes, sk_metainfo_piece_length(m, piece));
        return;
    }
    if (hash_piece(worker, piece, hash, hash, &failure))
        h->pieces[piece] = memcmp(hash, expected, h->sha1 ? SK_SHA1_SIZE : SK_SHA256_SIZE) == 0
                               ? SK_HASHING_RIGHT
                               : SK_HASHING_WRONG;
    else if (failure.err)
        h->pieces[piece] = SK_HASHING_MISSING;
}

static void work(void *arg)
{
    struct worker *worker = arg;
    struct sk_hashing *h = worker->hashing;
    uint64_t pieces = h->torrent->pieces, from;
    while (!atomic_load(&h->stop) && (from = atomic_fetch_add(&h->next_piece, h->run)) < pieces)
        for (uint64_t i = from; i < SK_MIN(from + h->run, pieces) && !atomic_load(&h->stop); i++)
            (h->pieces ? check_piece : make_piece)(worker, (uint32_t)i);
    if (worker->fd >= 0)
        close(worker->fd);
    uv_mutex_lock(&h->mutex);
    if (--h->running == 0) {
        if (h->outcome.state == SK_HASHING_RUNNING)
            h->outcome.state = atomic_load(&h->stop) ? SK_HASHING_CANCELLED : SK_HASHING_DONE;
        uv_cond_signal(&h->ended);
    }
    uv_mutex_unlock(&h->mutex);
}

/* ---- the whole ---- */

static bool prepare_worker(struct sk_hashing *h, struct worker *worker)
{
    size_t blocks = h->torrent->piece_size / SK_BLOCK_SIZE;
    *worker = (struct worker){.hashing = h, .file = NO_FILE, .fd = -1};
    worker->buffer = sk_mem_alloc(SK_HASHING_BUFFER);
    worker->leaves = h->sha256 ? sk_mem_calloc(blocks, SK_SHA256_SIZE) : NULL;
    worker->sha1 = h->sha1 ? sk_hasher_new(SK_HASH_SHA1) : NULL;
    return worker->buffer && (worker->leaves || !h->sha256) && (worker->sha1 || !h->sha1);
}

static void free_worker(struct worker *worker)
{
    sk_mem_free(worker->buffer);
    sk_mem_free(worker->leaves);
    sk_hasher_free(worker->sha1);
}

static void free_all(struct sk_hashing *h, unsigned workers)
{
    for (unsigned i = 0; i < workers; i++)
        free_worker(&h->workers[i]);
    uv_cond_destroy(&h->ended);
    uv_mutex_destroy(&h->mutex);
    sk_mem_free(h);
}

/* As many threads as there can be, at least one. */
static int start_threads(struct sk_hashing *h, unsigned prepared)
{
    uv_mutex_lock(&h->mutex); /* none ends the whole before all are counted */
    while (h->running < prepared &&
           uv_thread_create(&h->workers[h->running].thread, work, &h->workers[h->running]) == 0)
        h->running++;
    h->workers_count = h->running;
    uv_mutex_unlock(&h->mutex);
    for (unsigned i = h->workers_count; i < prepared && h->workers_count; i++)
        free_worker(&h->workers[i]);
    return h->workers_count ? 0 : SKEP_ERR_NOMEM;
}

static int start(const struct sk_hashing *plan, unsigned threads, struct sk_hashing **ret_hashing)
{
    const struct sk_metainfo *m = plan->torrent;
    SK_ASSERT(threads >= 1 && threads <= SK_HASHING_THREADS_MAX && m->pieces);
    uint32_t run = SK_MAX(RUN_BYTES / m->piece_size, 1u);
    threads = (unsigned)SK_MIN((uint64_t)threads, ((uint64_t)m->pieces + run - 1) / run);
    struct sk_hashing *h = sk_mem_calloc(1, sizeof *h + threads * sizeof h->workers[0]);
    if (!h)
        return SKEP_ERR_NOMEM;
    *h = *plan;
    h->run = run;
    /* v2 alone: a piece ends with its file. */
    h->bytes_total = m->has_v1 ? m->span : m->size;
    if (uv_mutex_init(&h->mutex) != 0) {
        sk_mem_free(h);
        return SKEP_ERR_NOMEM;
    }
    if (uv_cond_init(&h->ended) != 0) {
        uv_mutex_destroy(&h->mutex);
        sk_mem_free(h);
        return SKEP_ERR_NOMEM;
    }
    unsigned prepared = 0;
    bool ready = true;
    while (prepared < threads && ready)
        ready = prepare_worker(h, &h->workers[prepared++]);
    int err = ready ? start_threads(h, prepared) : SKEP_ERR_NOMEM;
    if (err)
        free_all(h, prepared);
    else
        *ret_hashing = h;
    return err;
}

int sk_hashing_make(const struct sk_metainfo *description, int root, unsigned threads,
                    uint8_t *hashes, uint8_t *roots, struct sk_hashing **ret_hashing)
{
    const struct sk_hashing plan = {.torrent = description,
                                    .root = root,
                                    .sha1 = description->has_v1,
                                    .sha256 = description->has_v2,
                                    .hashes = hashes,
                                    .roots = roots};
    return start(&plan, threads, ret_hashing);
}

int sk_hashing_check(const struct sk_metainfo *torrent, int root, unsigned threads,
                     uint8_t *ret_pieces, struct sk_hashing **ret_hashing)
{
    const struct sk_hashing plan = {.torrent = torrent,
                                    .root = root,
                                    .folder = torrent->single_file ? NULL : torrent->name,
                                    .sha1 = torrent->has_v1,
                                    .sha256 = !torrent->has_v1,
                                    .pieces = ret_pieces};
    memset(ret_pieces, SK_HASHING_UNKNOWN, torrent->pieces);
    return start(&plan, threads, ret_hashing);
}

void sk_hashing_wait(struct sk_hashing *hashing, double seconds,
                     struct sk_hashing_progress *ret_progress)
{
    uint64_t end_ns = uv_hrtime() + (uint64_t)(seconds * 1e9), now_ns;
    uv_mutex_lock(&hashing->mutex);
    while (hashing->running && (now_ns = uv_hrtime()) < end_ns)
        uv_cond_timedwait(&hashing->ended, &hashing->mutex, end_ns - now_ns);
    *ret_progress = hashing->outcome;
    if (hashing->running) /* a failure is told when all have ended */
        ret_progress->state = SK_HASHING_RUNNING;
    uv_mutex_unlock(&hashing->mutex);
    ret_progress->bytes = atomic_load(&hashing->bytes);
    ret_progress->bytes_total = hashing->bytes_total;
}

void sk_hashing_cancel(struct sk_hashing *hashing)
{
    atomic_store(&hashing->stop, true);
}

void sk_hashing_free(struct sk_hashing *hashing)
{
    if (!hashing)
        return;
    sk_hashing_cancel(hashing);
    for (unsigned i = 0; i < hashing->workers_count; i++)
        uv_thread_join(&hashing->workers[i].thread);
    free_all(hashing, hashing->workers_count);
}
