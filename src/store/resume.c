#include "store/resume.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD 8
/* Our last write to a torrent's file may be a little later than the last record. */
#define SLACK_NS INT64_C(500000000)

static const char magic[8] = "skepres2";

struct head {
    char magic[8];
    uint8_t boot[SK_RESUME_BOOT_SIZE];
    uint8_t info_hash[SK_SHA1_SIZE];
    uint8_t files[SK_SHA1_SIZE]; /* what they were like when it was closed; zeros: it was not */
};

struct sk_resume {
    int fd;
    struct head head;
    bool believed; /* the records were trusted, or begun anew */
    char save_dir[PATH_MAX];
    const struct sk_metainfo *torrent;
};

/* The machine's boot, as text; zeros where it is not told: no other boot is the same then. */
static void read_boot(uint8_t ret_boot[SK_RESUME_BOOT_SIZE])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    memset(ret_boot, 0, SK_RESUME_BOOT_SIZE);
    if (fd < 0)
        return;
    if (read(fd, ret_boot, SK_RESUME_BOOT_SIZE) != SK_RESUME_BOOT_SIZE)
        memset(ret_boot, 0, SK_RESUME_BOOT_SIZE);
    close(fd);
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= bytes[i];
    return !any;
}

/* Where it lies, and the directory whatever way it was named. */
static int find_path(const struct sk_resume_config *config, char ret_path[PATH_MAX],
                     char ret_save_dir[PATH_MAX])
{
    char hex[2 * SK_SHA1_SIZE + 1];
    uint8_t digest[SK_SHA1_SIZE];
    if (!realpath(config->save_dir, ret_save_dir))
        return SKEP_ERR_IO;
    struct sk_bytes parts[] = {sk_bytes(config->torrent->info_hash, SK_SHA1_SIZE),
                               sk_bytes_text(ret_save_dir)};
    sk_sha1_parts(parts, 2, digest);
    sk_hex_encode(digest, sizeof digest, hex);
    if (snprintf(ret_path, PATH_MAX, "%s/%s.resume", config->state_dir, hex) < PATH_MAX)
        return 0;
    errno = ENAMETOOLONG;
    return SKEP_ERR_IO;
}

static void put_record(uint8_t record[RECORD], uint32_t piece)
{
    sk_put_u32(record, piece);
    sk_put_u32(record + 4, ~piece);
}

/* Reads the records; where one makes no sense, it is as if the file ended before it. */
static int read_records(struct sk_resume *resume, struct sk_bitfield *have)
{
    uint8_t bytes[512 * RECORD];
    off_t at = sizeof(struct head);
    for (;;) {
        ssize_t n = pread(resume->fd, bytes, sizeof bytes, at);
        if (n < 0)
            return SKEP_ERR_IO;
        size_t used = 0;
        for (; used + RECORD <= (size_t)n; used += RECORD) {
            uint32_t piece = sk_get_u32(bytes + used);
            if (piece >= have->count || sk_get_u32(bytes + used + 4) != ~piece)
                break;
            sk_bitfield_add(have, piece);
        }
        at += (off_t)used;
        if (used < sizeof bytes)
            break;
    }
    return ftruncate(resume->fd, at) || lseek(resume->fd, at, SEEK_SET) < 0 ? SKEP_ERR_IO : 0;
}

static int64_t ns_of(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Whether the file is there. A name too long for the system is no file. */
static bool is_there(const struct sk_resume *resume, uint32_t file, struct stat *ret_about)
{
    const struct sk_metainfo *m = resume->torrent;
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s%s%s", resume->save_dir,
                     m->single_file ? "" : m->name, m->single_file ? "" : "/", m->files[file].path);
    return n < (int)sizeof path && !(m->files[file].flags & SK_FILE_PADDING) &&
           lstat(path, ret_about) == 0;
}

/* What the torrent's files are like now, and the latest change of any. SKEP_ERR_NOMEM. */
static int look(const struct sk_resume *resume, uint8_t ret_digest[SK_SHA1_SIZE],
                int64_t *ret_latest_ns)
{
    const struct sk_metainfo *m = resume->torrent;
    struct file {
        uint64_t device, inode, size;
        int64_t changed_ns, modified_ns;
    } *files = sk_mem_calloc(m->files_count ? m->files_count : 1, sizeof *files);
    if (!files)
        return SKEP_ERR_NOMEM;
    *ret_latest_ns = 0;
    for (uint32_t i = 0; i < m->files_count; i++) {
        struct stat about;
        if (!is_there(resume, i, &about))
            continue;
        files[i] = (struct file){about.st_dev, about.st_ino, (uint64_t)about.st_size,
                                 ns_of(about.st_ctim), ns_of(about.st_mtim)};
        *ret_latest_ns = SK_MAX(*ret_latest_ns, files[i].changed_ns);
    }
    sk_sha1(files, m->files_count * sizeof *files, ret_digest);
    sk_mem_free(files);
    return 0;
}

/* Whether a piece is recorded of a file that is gone. */
static bool lacks_file(const struct sk_resume *resume, const struct sk_bitfield *have)
{
    const struct sk_metainfo *m = resume->torrent;
    for (uint32_t i = 0; i < m->files_count; i++) {
        const struct sk_file *file = &m->files[i];
        struct stat about;
        if (!file->length || file->flags & (SK_FILE_PADDING | SK_FILE_SYMLINK) ||
            is_there(resume, i, &about))
            continue;
        uint64_t last = (file->offset + file->length - 1) / m->piece_size;
        for (uint64_t piece = file->offset / m->piece_size; piece <= last; piece++)
            if (sk_bitfield_has(have, (uint32_t)piece))
                return true;
    }
    return false;
}

static int write_head(const struct sk_resume *resume)
{
    return pwrite(resume->fd, &resume->head, sizeof resume->head, 0) == sizeof resume->head
               ? 0
               : SKEP_ERR_IO;
}

static int begin(struct sk_resume *resume)
{
    memset(resume->head.files, 0, sizeof resume->head.files);
    resume->believed = true;
    if (ftruncate(resume->fd, 0) || write_head(resume) ||
        lseek(resume->fd, sizeof resume->head, SEEK_SET) < 0)
        return SKEP_ERR_IO;
    return 0;
}

/* Whether the files are what they were when this head was written, or the last record after it. */
static int compare(const struct sk_resume *resume, const struct head *head, const struct stat *own,
                   bool *ret_same)
{
    uint8_t digest[SK_SHA1_SIZE];
    int64_t latest_ns;
    int err = look(resume, digest, &latest_ns);
    if (err)
        return err;
    bool closed = !is_zero(head->files, sizeof head->files);
    *ret_same = memcmp(head->boot, resume->head.boot, sizeof head->boot) == 0 &&
                !is_zero(head->boot, sizeof head->boot) &&
                (closed ? memcmp(head->files, digest, sizeof digest) == 0
                        : latest_ns <= ns_of(own->st_mtim) + SLACK_NS);
    return 0;
}

static int load(struct sk_resume *resume, struct sk_bitfield *have, bool *ret_trusted)
{
    struct head head;
    struct stat own;
    if (fstat(resume->fd, &own))
        return SKEP_ERR_IO;
    bool ours = pread(resume->fd, &head, sizeof head, 0) == sizeof head &&
                memcmp(head.magic, resume->head.magic, sizeof head.magic) == 0 &&
                memcmp(head.info_hash, resume->head.info_hash, sizeof head.info_hash) == 0;
    if (!ours) { /* as long as nothing is said it stays so: the files were not looked at */
        *ret_trusted = false;
        return 0;
    }
    int err = compare(resume, &head, &own, ret_trusted);
    memcpy(resume->head.files, head.files, sizeof head.files);
    if (!err)
        err = read_records(resume, have);
    if (!err && *ret_trusted)
        *ret_trusted = !lacks_file(resume, have);
    return err;
}

/* Opens the file, alone. */
static int open_file(struct sk_resume *resume, const struct sk_resume_config *config)
{
    char path[PATH_MAX];
    int err = find_path(config, path, resume->save_dir);
    if (err)
        return err;
    resume->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (resume->fd < 0)
        return SKEP_ERR_IO;
    return flock(resume->fd, LOCK_EX | LOCK_NB) ? SKEP_ERR_STATE : 0;
}

static void resume_free(struct sk_resume *resume)
{
    if (resume->fd >= 0)
        close(resume->fd);
    sk_mem_free(resume);
}

int sk_resume_open(const struct sk_resume_config *config, struct sk_resume **ret_resume,
                   struct sk_bitfield *ret_have, bool *ret_trusted)
{
    struct sk_bitfield have = {0};
    bool trusted;
    if (sk_directory_make(config->state_dir))
        return SKEP_ERR_IO;
    struct sk_resume *resume = sk_mem_calloc(1, sizeof *resume);
    if (!resume)
        return SKEP_ERR_NOMEM;
    resume->fd = -1;
    resume->torrent = config->torrent;
    memcpy(resume->head.magic, magic, sizeof magic);
    memcpy(resume->head.info_hash, config->torrent->info_hash, SK_SHA1_SIZE);
    if (config->boot)
        memcpy(resume->head.boot, config->boot, SK_RESUME_BOOT_SIZE);
    else
        read_boot(resume->head.boot);
    int err = open_file(resume, config);
    if (!err)
        err = sk_bitfield_init(&have, config->torrent->pieces);
    if (!err)
        err = load(resume, &have, &trusted);
    if (err) {
        int error = errno;
        sk_bitfield_deinit(&have);
        resume_free(resume);
        errno = error;
        return err;
    }
    *ret_resume = resume;
    *ret_have = have;
    *ret_trusted = trusted;
    resume->believed |= trusted;
    return 0;
}

/* Records follow: what the files were like says nothing from now on. */
static int open_head(struct sk_resume *resume)
{
    if (is_zero(resume->head.files, sizeof resume->head.files))
        return 0;
    memset(resume->head.files, 0, sizeof resume->head.files);
    return write_head(resume);
}

int sk_resume_reset(struct sk_resume *resume, const struct sk_bitfield *have)
{
    int err = begin(resume);
    for (uint32_t piece = 0; !err && piece < have->count; piece++)
        if (sk_bitfield_has(have, piece))
            err = sk_resume_add(resume, piece);
    return err;
}

int sk_resume_add(struct sk_resume *resume, uint32_t piece)
{
    uint8_t record[RECORD];
    if (!resume->believed && begin(resume))
        return SKEP_ERR_IO;
    if (open_head(resume))
        return SKEP_ERR_IO;
    put_record(record, piece);
    return write(resume->fd, record, RECORD) == RECORD ? 0 : SKEP_ERR_IO;
}

void sk_resume_close(struct sk_resume *resume)
{
    int64_t latest_ns;
    if (!resume)
        return;
    /* Where that fails it is as if the program had been killed. What nobody looked at stays as
     * little believed as it was. */
    if (resume->believed && !look(resume, resume->head.files, &latest_ns))
        (void)write_head(resume);
    resume_free(resume);
}
