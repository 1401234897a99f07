/* What is on the disk: looked at, remembered; and what of the torrent is wanted there. */
#include "cmd/transfer.h"

#include "base/assert.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "driver/path.h"
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FULL_MAX (2 * PATH_MAX) /* a directory and a path in it */

static const struct sk_metainfo *torrent_of(const struct sk_transfer_torrent *t)
{
    return sk_engine_metainfo(t->torrent);
}

/* Whether the file is one that has its place on the disk. */
static bool is_kept(const struct sk_file *file)
{
    return !(file->flags & (SK_FILE_PADDING | SK_FILE_SYMLINK));
}

/* Where a file lies, below the directory. */
static void put_path(const struct sk_metainfo *m, uint32_t file, char ret_path[PATH_MAX])
{
    snprintf(ret_path, PATH_MAX, "%s%s%s", m->single_file ? "" : m->name, m->single_file ? "" : "/",
             m->files[file].path);
}

static void put_full_path(const struct sk_transfer_torrent *t, uint32_t file,
                          char ret_path[FULL_MAX])
{
    char path[PATH_MAX];
    put_path(torrent_of(t), file, path);
    snprintf(ret_path, FULL_MAX, "%s/%s", t->transfer->directory, path);
}

static bool is_there(const struct sk_transfer_torrent *t)
{
    char path[SK_PATH_MAX];
    struct stat about;
    snprintf(path, sizeof path, "%s/%s", t->transfer->directory, sk_transfer_name(t));
    return lstat(path, &about) == 0;
}

/* ---- what stands in the way ---- */

/* What speaks against writing to this file, NULL nothing. */
static const char *obstacle(const char *path, uint64_t length)
{
    struct stat about;
    if (lstat(path, &about))
        return errno == ENOENT ? NULL : strerror(errno);
    if (!S_ISREG(about.st_mode))
        return "is there already, and is no regular file";
    return (uint64_t)about.st_size > length
               ? "is there already, and is longer than the torrent says: it is another file"
               : NULL;
}

/* Files of others are not written over. */
static bool is_free(const struct sk_transfer_torrent *t)
{
    const struct sk_metainfo *m = torrent_of(t);
    char path[FULL_MAX];
    for (uint32_t i = 0; i < m->files_count; i++) {
        if (!is_kept(&m->files[i]))
            continue;
        put_full_path(t, i, path);
        const char *why = obstacle(path, m->files[i].length);
        if (!why)
            continue;
        sk_complain("%.400s: %s; move it away, or choose another place with -o", path, why);
        return false;
    }
    return true;
}

/* Two torrents of one name would write into each other's files. */
static bool is_alone(const struct sk_transfer_torrent *t)
{
    for (size_t i = 0; i < t->transfer->count; i++) {
        const struct sk_transfer_torrent *other = &t->transfer->torrents[i];
        if (other == t || other->stage == SK_TRANSFER_METADATA ||
            other->stage == SK_TRANSFER_FAILED ||
            strcmp(sk_transfer_name(other), sk_transfer_name(t)) != 0)
            continue;
        sk_complain("%.200s: another of the torrents has this name; get it by itself, to another "
                    "place",
                    sk_transfer_name(t));
        return false;
    }
    return true;
}

/* The part of the path that cannot be written to, and why. False where all can. */
static bool is_denied(const char *directory, char *path, int *ret_error)
{
    size_t least = strlen(directory);
    for (;;) {
        struct stat about;
        if (stat(path, &about) == 0) {
            *ret_error = access(path, S_ISDIR(about.st_mode) ? W_OK | X_OK : W_OK) ? errno : 0;
            return *ret_error;
        }
        char *slash = strrchr(path, '/');
        if (!slash || slash < path + least)
            return false;
        *slash = 0;
    }
}

void sk_transfer_disk_failed(struct sk_transfer_torrent *t, int error)
{
    const struct sk_metainfo *m = torrent_of(t);
    char path[FULL_MAX];
    int why = 0;
    if (error == SKEP_ERR_STORE) {
        sk_complain("%.200s: there is no space left in %.300s; free some and run the same again",
                    sk_transfer_name(t), t->transfer->directory);
        return;
    }
    for (uint32_t i = 0; i < m->files_count && !why; i++) {
        if (!is_kept(&m->files[i]))
            continue;
        put_full_path(t, i, path);
        (void)is_denied(t->transfer->directory, path, &why);
    }
    if (why)
        sk_complain("%.400s: cannot be written: %s", path, strerror(why));
    else
        sk_complain("%.200s: cannot be written to %.300s: %s", sk_transfer_name(t),
                    t->transfer->directory, skep_err_text(error));
}

/* ---- what is wanted ---- */

static uint32_t piece_at(const struct sk_metainfo *m, uint64_t offset)
{
    return (uint32_t)(offset / m->piece_size);
}

static void want_file(struct sk_picker *picker, const struct sk_metainfo *m,
                      const struct sk_file *file, bool preview)
{
    if (!file->length)
        return;
    uint32_t first = piece_at(m, file->offset);
    uint32_t last = piece_at(m, file->offset + file->length - 1);
    for (uint32_t piece = first; piece <= last; piece++)
        if (sk_picker_priority(picker, piece) < SK_PICKER_PRIORITY_NORMAL)
            sk_picker_set_priority(picker, piece, SK_PICKER_PRIORITY_NORMAL);
    if (!preview)
        return;
    sk_picker_set_priority(picker, first, SK_PICKER_PRIORITY_MAX);
    sk_picker_set_priority(picker, last, SK_PICKER_PRIORITY_MAX);
}

/* Whether file `i` is wanted; *number counts those that have one. */
static bool is_wanted(const struct sk_transfer_torrent *t, uint32_t i, uint32_t *number)
{
    if (torrent_of(t)->files[i].flags & SK_FILE_PADDING)
        return false;
    ++*number;
    return t->link ? sk_magnet_selects(t->link, i)
                   : sk_selection_has(&t->transfer->limits.selection, *number);
}

/* Only the files that are wanted. Whether there is one. */
static bool want_files(const struct sk_transfer_torrent *t)
{
    const struct sk_transfer_limits *limits = &t->transfer->limits;
    const struct sk_metainfo *m = torrent_of(t);
    struct sk_picker *picker = sk_downloader_picker(t->downloader);
    uint32_t number = 0, wanted = 0;
    for (uint32_t piece = 0; piece < m->pieces && (limits->selection.count || t->link); piece++)
        sk_picker_set_priority(picker, piece, 0);
    for (uint32_t i = 0; i < m->files_count; i++) {
        if (!is_wanted(t, i, &number))
            continue;
        want_file(picker, m, &m->files[i], limits->preview);
        wanted++;
    }
    return wanted > 0;
}

/* Complains; an exit code. */
static int want(struct sk_transfer_torrent *t)
{
    const struct sk_transfer_limits *limits = &t->transfer->limits;
    const struct sk_metainfo *m = torrent_of(t);
    uint32_t beyond = sk_selection_beyond(&limits->selection, m);
    if (t->transfer->stream)
        return sk_transfer_stream_ready(t->transfer->stream, t);
    if (beyond) {
        uint32_t files = sk_files_numbered(m);
        sk_complain("%.200s: has no file %u, only %u file%s (skep show --files lists them)",
                    sk_transfer_name(t), beyond, files, files == 1 ? "" : "s");
        return SK_EXIT_USAGE;
    }
    if ((!limits->selection.count && !limits->preview && !t->link) || want_files(t))
        return SK_EXIT_DONE;
    sk_complain("%.200s: has none of the files that its link selects (so=); --select says others",
                sk_transfer_name(t));
    return SK_EXIT_USAGE;
}

void sk_transfer_make_empty(struct sk_transfer_torrent *t)
{
    const struct sk_metainfo *m = torrent_of(t);
    uint32_t number = 0;
    int root = open(t->transfer->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (uint32_t i = 0; i < m->files_count && root >= 0; i++) {
        char path[PATH_MAX];
        if (!is_wanted(t, i, &number) || !is_kept(&m->files[i]) || m->files[i].length)
            continue;
        put_path(m, i, path);
        int file = sk_path_open(root, path, true);
        if (file >= 0)
            close(file);
        else
            sk_complain("%.400s: cannot be made: %s", path, strerror(errno));
    }
    if (root >= 0)
        close(root);
}

/* ---- what is there ---- */

static void have_piece(struct sk_transfer_torrent *t, uint32_t piece)
{
    sk_picker_have(sk_downloader_picker(t->downloader), piece);
    skep_torrent_has_stored(t->torrent, piece);
}

/* What was found is there, the rest is fetched, or not. */
static void fetch(struct sk_transfer_torrent *t)
{
    struct sk_picker *picker = sk_downloader_picker(t->downloader);
    uint32_t pieces = skep_torrent_pieces(t->torrent);
    if (t->transfer->limits.only_seed && !sk_picker_pieces(picker)->set) {
        sk_transfer_live_clear(t->transfer->live);
        sk_complain("%.200s: nothing of it is in %.300s", sk_transfer_name(t),
                    t->transfer->directory);
        sk_transfer_fail(t, SK_EXIT_NOTHING);
        return;
    }
    for (uint32_t piece = 0; t->transfer->limits.only_seed && piece < pieces; piece++)
        if (!sk_bitfield_has(sk_picker_pieces(picker), piece))
            sk_picker_set_priority(picker, piece, 0);
    t->stage = SK_TRANSFER_DOWNLOADING;
    sk_downloader_go(t->downloader, skep_runtime_now(t->transfer->runtime));
}

static void drop_root(struct sk_transfer_torrent *t)
{
    if (t->root >= 0)
        close(t->root);
    t->root = -1;
}

static void drop_check(struct sk_transfer_torrent *t)
{
    if (!t->checked)
        return;
    sk_hashing_free(t->hashing);
    sk_mem_free(t->checked);
    drop_root(t);
    t->hashing = NULL;
    t->checked = NULL;
}

static void drop_allocation(struct sk_transfer_torrent *t)
{
    sk_allocation_free(t->allocation);
    t->allocation = NULL;
    drop_root(t);
}

/* Those that are wanted. NULL without memory. */
static struct sk_allocation_file *list_files(const struct sk_transfer_torrent *t, size_t *ret_count,
                                             uint64_t *ret_bytes)
{
    const struct sk_metainfo *m = torrent_of(t);
    struct sk_allocation_file *files = sk_mem_calloc(m->files_count, sizeof *files);
    uint32_t number = 0;
    *ret_count = *ret_bytes = 0;
    for (uint32_t i = 0; i < m->files_count && files; i++) {
        char path[PATH_MAX];
        if (!is_wanted(t, i, &number) || !is_kept(&m->files[i]) || !m->files[i].length)
            continue;
        put_path(m, i, path);
        struct sk_allocation_file file = {sk_mem_strdup(path), m->files[i].length};
        if (!file.path)
            continue; /* one that grows as it is written */
        files[(*ret_count)++] = file;
        *ret_bytes += file.length;
    }
    return files;
}

/* What was found is there; the rest is fetched, once it has its room if it should. */
static void go(struct sk_transfer_torrent *t)
{
    size_t count = 0;
    struct sk_allocation_file *files =
        t->transfer->limits.preallocate ? list_files(t, &count, &t->allocation_bytes) : NULL;
    if (!files) {
        fetch(t);
        return;
    }
    t->root = open(t->transfer->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (sk_allocation_new(t->root, files, count, &t->allocation)) {
        drop_root(t);
        sk_complain("%.200s: no room is reserved for it: %s", sk_transfer_name(t),
                    skep_err_text(SKEP_ERR_NOMEM));
        fetch(t);
        return;
    }
    t->stage = SK_TRANSFER_ALLOCATING;
}

void sk_transfer_allocate(struct sk_transfer_torrent *t)
{
    const char *path;
    uint64_t bytes;
    int error;
    enum sk_allocation_state state = sk_allocation_look(t->allocation, &bytes, &error, &path);
    if (state == SK_ALLOCATION_RUNNING)
        return;
    if (state == SK_ALLOCATION_FAILED) {
        sk_transfer_live_clear(t->transfer->live);
        sk_complain("%.200s: no room in %.300s for %.300s: %s%s", sk_transfer_name(t),
                    t->transfer->directory, path, strerror(error),
                    error == ENOSPC || error == EDQUOT ? "; free some and run the same again" : "");
        sk_transfer_fail(t, SK_EXIT_STORAGE);
    }
    drop_allocation(t);
    if (state == SK_ALLOCATION_DONE)
        fetch(t);
}

static void remember_failed(struct sk_transfer_torrent *t)
{
    int error = errno;
    if (t->resume_failed)
        return;
    sk_transfer_live_clear(t->transfer->live);
    sk_complain("%.200s: what is done cannot be remembered: %s", sk_transfer_name(t),
                strerror(error));
    t->resume_failed = true;
}

/* What was found, and nothing else, is there. */
static void remember(struct sk_transfer_torrent *t)
{
    if (t->resume &&
        sk_resume_reset(t->resume, sk_picker_pieces(sk_downloader_picker(t->downloader))))
        remember_failed(t);
}

void sk_transfer_begin_check(struct sk_transfer_torrent *t)
{
    if (skep_torrent_hashes_waiting(t->torrent)) {
        t->stage = SK_TRANSFER_HASHES;
        return;
    }
    t->checked = sk_mem_calloc(skep_torrent_pieces(t->torrent), 1);
    t->root = open(t->transfer->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->checked && t->root >= 0 &&
        !sk_hashing_check(torrent_of(t), t->root, sk_hashing_threads(), t->checked, &t->hashing)) {
        t->stage = SK_TRANSFER_CHECKING;
        return;
    }
    sk_complain("%.200s: what is on the disk cannot be checked: it is fetched anew",
                sk_transfer_name(t));
    drop_check(t);
    go(t);
}

void sk_transfer_check(struct sk_transfer_torrent *t)
{
    struct sk_hashing_progress progress;
    sk_hashing_wait(t->hashing, 0, &progress);
    if (progress.state == SK_HASHING_RUNNING)
        return;
    for (uint32_t piece = 0; piece < skep_torrent_pieces(t->torrent); piece++)
        if (t->checked[piece] == SK_HASHING_RIGHT)
            have_piece(t, piece);
    remember(t);
    drop_check(t);
    go(t);
}

/* Opens the resume file. *ret_trusted: its pieces can be believed, and are told then. Complains; an
 * exit code. */
static int recall(struct sk_transfer_torrent *t, bool *ret_trusted)
{
    const struct sk_transfer *transfer = t->transfer;
    struct sk_resume_config config = {.state_dir = transfer->state_path,
                                      .save_dir = transfer->directory,
                                      .torrent = torrent_of(t)};
    struct sk_bitfield have = {0};
    *ret_trusted = false;
    if (!transfer->state_path[0])
        return SK_EXIT_DONE;
    int err = sk_resume_open(&config, &t->resume, &have, ret_trusted);
    if (err == SKEP_ERR_STATE && !transfer->limits.only_seed) {
        sk_complain("%.200s: another skep is at it in %.300s", sk_transfer_name(t),
                    transfer->directory);
        return SK_EXIT_FAILED;
    }
    if (err && !transfer->limits.only_seed) /* a seed has little to remember */
        remember_failed(t);
    for (uint32_t piece = 0; *ret_trusted && piece < have.count; piece++)
        if (sk_bitfield_has(&have, piece))
            have_piece(t, piece);
    sk_bitfield_deinit(&have);
    return SK_EXIT_DONE;
}

void sk_transfer_ready(void *ctx)
{
    struct sk_transfer_torrent *t = ctx;
    bool trusted, seed = t->transfer->limits.only_seed;
    sk_transfer_live_clear(t->transfer->live); /* there may be something to be said */
    int code = seed || (is_alone(t) && is_free(t)) ? SK_EXIT_DONE : SK_EXIT_STORAGE;
    if (!code)
        code = want(t);
    if (!code)
        code = recall(t, &trusted);
    if (code) {
        sk_transfer_fail(t, code);
    } else if (trusted) {
        go(t);
    } else if (is_there(t)) {
        sk_transfer_begin_check(t);
    } else {
        go(t);
    }
}

void sk_transfer_stored(uint32_t piece, void *ctx)
{
    struct sk_transfer_torrent *t = ctx;
    if (t->resume && sk_resume_add(t->resume, piece))
        remember_failed(t);
    if (t->transfer->stream)
        sk_transfer_stream_advance(t->transfer->stream, t);
}

void sk_transfer_disk_end(struct sk_transfer_torrent *t)
{
    drop_check(t);
    drop_allocation(t);
    sk_resume_close(t->resume);
    t->resume = NULL;
}
