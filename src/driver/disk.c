#include "driver/disk.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "driver/path.h"
#include "engine/engine.h"
#include "wire/metainfo.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* A piece of one job that lies in one file. */
struct span {
    uint32_t file;
    char *path;
    uint64_t offset; /* in the file */
    uint8_t *bytes;
    size_t n;
};

struct job {
    uv_work_t work;
    struct sk_disk *disk;
    uint64_t id;
    uint32_t torrent;
    bool write;
    int err;
    uint8_t *bytes; /* read: ours; write: lent */
    size_t n;
    const struct sk_metainfo *verify;
    uint32_t piece;
    struct span *spans;
    size_t spans_count;
};

/* ---- descriptors, from any thread ---- */

static struct sk_disk_file *find(struct sk_disk *disk, const struct job *job, uint32_t file)
{
    for (size_t i = 0; i < SK_DISK_FILES_MAX; i++) {
        struct sk_disk_file *entry = &disk->files[i];
        if (entry->fd >= 0 && entry->torrent == job->torrent && entry->file == file &&
            entry->writable == job->write)
            return entry;
    }
    return NULL;
}

/* The entry that nobody uses and that was used longest ago; NULL where all are in use. */
static struct sk_disk_file *oldest(struct sk_disk *disk)
{
    struct sk_disk_file *found = NULL;
    for (size_t i = 0; i < SK_DISK_FILES_MAX; i++) {
        struct sk_disk_file *entry = &disk->files[i];
        if (!entry->users && (!found || entry->used < found->used))
            found = entry;
    }
    return found;
}

/* There are more entries than threads in libuv's pool by default, yet a user may ask for more
 * threads: then one file is not kept. */
static int borrow(struct sk_disk *disk, const struct job *job, const struct span *span,
                  struct sk_disk_file **ret_entry)
{
    uv_mutex_lock(&disk->mutex);
    struct sk_disk_file *entry = find(disk, job, span->file);
    if (entry) {
        entry->users++;
        entry->used = ++disk->clock;
    }
    uv_mutex_unlock(&disk->mutex);
    if (entry) {
        *ret_entry = entry;
        return entry->fd;
    }
    int fd = sk_path_open(disk->root, span->path, job->write);
    if (fd < 0)
        return fd;
    uv_mutex_lock(&disk->mutex);
    entry = oldest(disk);
    if (entry) {
        if (entry->fd >= 0)
            close(entry->fd);
        *entry = (struct sk_disk_file){.torrent = job->torrent,
                                       .file = span->file,
                                       .writable = job->write,
                                       .fd = fd,
                                       .users = 1,
                                       .used = ++disk->clock};
    }
    uv_mutex_unlock(&disk->mutex);
    *ret_entry = entry;
    return fd;
}

static void give_back(struct sk_disk *disk, struct sk_disk_file *entry, int fd)
{
    uv_mutex_lock(&disk->mutex);
    if (entry)
        entry->users--;
    else
        close(fd);
    uv_mutex_unlock(&disk->mutex);
}

/* ---- work, on a thread of the pool ---- */

static int error_of(int error, bool write)
{
    if (error == ENOSPC || error == EDQUOT || error == EFBIG)
        return SKEP_ERR_STORE;
    return error == ENOENT && !write ? SKEP_ERR_NOT_FOUND : SKEP_ERR_IO;
}

static int transfer(int fd, const struct span *span, bool write)
{
    for (size_t done = 0; done < span->n;) {
        off_t at = (off_t)(span->offset + done);
        ssize_t n = write ? pwrite(fd, span->bytes + done, span->n - done, at)
                          : pread(fd, span->bytes + done, span->n - done, at);
        if (n == 0)
            return SKEP_ERR_TRUNCATED;
        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR)
            return error_of(errno, write);
    }
    return 0;
}

static void on_work(uv_work_t *work)
{
    struct job *job = work->data;
    if (job->verify &&
        sk_metainfo_verify_piece(job->verify, job->piece, sk_bytes(job->bytes, job->n)) != 1)
        job->err = SKEP_ERR_MISMATCH;
    for (size_t i = 0; i < job->spans_count && !job->err; i++) {
        struct sk_disk_file *entry;
        int fd = borrow(job->disk, job, &job->spans[i], &entry);
        if (fd < 0) {
            job->err = error_of(errno, job->write);
            return;
        }
        job->err = transfer(fd, &job->spans[i], job->write);
        give_back(job->disk, entry, fd);
    }
}

/* ---- jobs, on the loop's thread ---- */

static void free_job(struct job *job)
{
    for (size_t i = 0; i < job->spans_count; i++)
        sk_mem_free(job->spans[i].path);
    sk_mem_free(job->spans);
    if (!job->write)
        sk_mem_free(job->bytes);
    sk_mem_free(job);
}

static void on_done(uv_work_t *work, int status)
{
    struct job *job = work->data;
    struct sk_disk *disk = job->disk;
    disk->bytes -= job->n;
    disk->jobs--;
    disk->fn(disk->ctx, job->id, job->write, job->err,
             job->write || job->err ? sk_bytes(NULL, 0) : sk_bytes(job->bytes, job->n));
    free_job(job);
}

/* Whether file i ends after the offset, or does not exist. Ends grow with i. */
static bool ends_after(const struct job *job, uint32_t i, uint64_t offset)
{
    const char *path;
    uint64_t begin, length;
    return !sk_engine_file(job->disk->engine, job->torrent, i, &path, &begin, &length) ||
           begin + length > offset;
}

/* The first file that ends after the offset: doubling steps, then halving. */
static uint32_t first_file(const struct job *job, uint64_t offset)
{
    uint32_t below = 0, above = 1; /* all before `below` end too early */
    if (ends_after(job, 0, offset))
        return 0;
    while (!ends_after(job, above, offset)) {
        below = above;
        above *= 2;
    }
    while (above - below > 1) {
        uint32_t middle = below + (above - below) / 2;
        if (ends_after(job, middle, offset))
            above = middle;
        else
            below = middle;
    }
    return above;
}

static int add_span(struct job *job, const struct span *span)
{
    size_t count = job->spans_count;
    if ((count & (count - 1)) == 0) { /* a power of two, or none: full */
        struct span *spans = sk_mem_realloc(job->spans, count ? count * 2 : 1, sizeof *job->spans);
        if (!spans)
            return SKEP_ERR_NOMEM;
        job->spans = spans;
    }
    job->spans[count] = *span;
    job->spans[count].path = sk_mem_strdup(span->path);
    if (!job->spans[count].path)
        return SKEP_ERR_NOMEM;
    job->spans_count++;
    return 0;
}

/* Cuts the job's bytes by files. */
static int cut(struct job *job, uint64_t offset)
{
    uint64_t end = offset + job->n, reached = 0;
    if (end < offset || end > INT64_MAX)
        return SKEP_ERR_INVALID;
    for (uint32_t i = first_file(job, offset); reached < end; i++) {
        const char *path;
        uint64_t begin, length;
        if (!sk_engine_file(job->disk->engine, job->torrent, i, &path, &begin, &length))
            return reached ? 0 : SKEP_ERR_INVALID; /* padding may follow the last file */
        reached = begin + length;
        uint64_t from = SK_MAX(begin, offset), to = SK_MIN(reached, end);
        if (from >= to)
            continue;
        if (!path) { /* padding is not on the disk */
            if (!job->write)
                memset(job->bytes + (from - offset), 0, (size_t)(to - from));
            continue;
        }
        int err = add_span(job, &(struct span){.file = i,
                                               .path = (char *)path,
                                               .offset = from - begin,
                                               .bytes = job->bytes + (from - offset),
                                               .n = (size_t)(to - from)});
        if (err)
            return err;
    }
    return 0;
}

static int start(struct sk_disk *disk, const struct job *plan, uint64_t offset)
{
    if (!disk->loop)
        return SKEP_ERR_STATE;
    if (plan->n > SK_DISK_QUEUE_BYTES_MAX - disk->bytes)
        return SKEP_ERR_LIMIT;
    struct job *job = sk_mem_dup(plan, sizeof *plan);
    if (!job)
        return SKEP_ERR_NOMEM;
    job->disk = disk;
    job->work.data = job;
    if (!job->write)
        job->bytes = sk_mem_calloc(plan->n ? plan->n : 1, 1);
    int err = job->bytes || job->write ? cut(job, offset) : SKEP_ERR_NOMEM;
    if (!err && uv_queue_work(disk->loop, &job->work, on_work, on_done) != 0)
        err = SKEP_ERR_NOMEM;
    if (err) {
        free_job(job);
        return err;
    }
    disk->bytes += plan->n;
    disk->jobs++;
    return 0;
}

void sk_disk_write(struct sk_disk *disk, uint64_t id, uint32_t torrent, uint64_t offset,
                   struct sk_bytes bytes, const struct sk_metainfo *verify, uint32_t piece)
{
    struct job plan = {.id = id,
                       .torrent = torrent,
                       .write = true,
                       .bytes = (uint8_t *)bytes.p, /* read only */
                       .n = bytes.n,
                       .verify = verify,
                       .piece = piece};
    int err = start(disk, &plan, offset);
    if (err)
        disk->fn(disk->ctx, id, true, err, sk_bytes(NULL, 0));
}

void sk_disk_read(struct sk_disk *disk, uint64_t id, uint32_t torrent, uint64_t offset,
                  uint32_t length)
{
    struct job plan = {.id = id, .torrent = torrent, .n = length};
    int err = start(disk, &plan, offset);
    if (err)
        disk->fn(disk->ctx, id, false, err, sk_bytes(NULL, 0));
}

/* Makes the directory, and those above it, where they are not there. 0, or -1 with errno. */
static int make_directory(const char *directory)
{
    int made = mkdir(directory, 0777);
    char *above = made != 0 && errno == ENOENT ? sk_mem_strdup(directory) : NULL;
    if (!above)
        return made != 0 && errno == EEXIST ? 0 : made;
    for (char *slash = above + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        (void)mkdir(above, 0777); /* the last one says why not */
    }
    sk_mem_free(above);
    return mkdir(directory, 0777) == 0 || errno == EEXIST ? 0 : -1;
}

int sk_disk_init(struct sk_disk *disk, uv_loop_t *loop, const struct skep_engine *engine,
                 const char *directory, sk_disk_fn fn, void *ctx)
{
    *disk = (struct sk_disk){.engine = engine, .fn = fn, .ctx = ctx};
    if (make_directory(directory) != 0)
        return SKEP_ERR_IO;
    /* The user's own choice: links in it are followed. */
    disk->root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (disk->root < 0)
        return SKEP_ERR_IO;
    if (uv_mutex_init(&disk->mutex) != 0) {
        close(disk->root);
        return SKEP_ERR_NOMEM;
    }
    for (size_t i = 0; i < SK_DISK_FILES_MAX; i++)
        disk->files[i].fd = -1;
    disk->loop = loop;
    return 0;
}

void sk_disk_deinit(struct sk_disk *disk)
{
    if (!disk->loop)
        return;
    SK_ASSERT(disk->jobs == 0);
    for (size_t i = 0; i < SK_DISK_FILES_MAX; i++)
        if (disk->files[i].fd >= 0)
            close(disk->files[i].fd);
    close(disk->root);
    uv_mutex_destroy(&disk->mutex);
    disk->loop = NULL;
}
