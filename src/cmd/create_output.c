#include "cmd/create_output.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "wire/metainfo_write.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static int complain(const char *path, int error)
{
    sk_complain("%.400s: %s", path, strerror(error));
    return SK_EXIT_STORAGE;
}

static bool is_stdout(const struct sk_create_output *output)
{
    return strcmp(output->path, "-") == 0;
}

static int complain_exists(const char *path)
{
    sk_complain("%.400s: is there already (--force replaces it)", path);
    return SK_EXIT_STORAGE;
}

int sk_create_output_check(const struct sk_create_output *output, struct stat *ret_about)
{
    char folder[PATH_MAX];
    *ret_about = (struct stat){0};
    if (is_stdout(output))
        return SK_EXIT_DONE;
    if (lstat(output->path, ret_about) == 0) {
        if (!output->force)
            return complain_exists(output->path);
        if (S_ISDIR(ret_about->st_mode))
            return complain(output->path, EISDIR);
    }
    const char *slash = strrchr(output->path, '/');
    int n = slash ? (int)(slash - output->path) + 1 : 1;
    if (snprintf(folder, sizeof folder, "%.*s", n, slash ? output->path : ".") >=
        (int)sizeof folder)
        return complain(output->path, ENAMETOOLONG);
    return access(folder, W_OK | X_OK) == 0 ? SK_EXIT_DONE : complain(folder, errno);
}

/* 0, or an errno. */
static int write_all(int fd, struct sk_bytes bytes)
{
    while (bytes.n) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno != EINTR)
            return errno;
        if (n > 0)
            bytes = sk_bytes(bytes.p + n, bytes.n - (size_t)n);
    }
    return fsync(fd) == 0 || errno == EINVAL ? 0 : errno; /* a pipe has nothing to be synced */
}

/* 0, or an errno. Some file systems cannot refuse to replace: there it is looked at before. */
static int put_in_place(const char *from, const char *to, bool force)
{
    if (force)
        return rename(from, to) == 0 ? 0 : errno;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    return faccessat(AT_FDCWD, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? EEXIST
           : rename(from, to) == 0                                 ? 0
                                                                   : errno;
}

static int write_file(const struct sk_create_output *output, struct sk_bytes torrent)
{
    char other[PATH_MAX];
    if (snprintf(other, sizeof other, "%s.%ld", output->path, (long)getpid()) >= (int)sizeof other)
        return complain(output->path, ENAMETOOLONG);
    int fd = open(other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return complain(other, errno);
    int error = write_all(fd, torrent);
    if (close(fd) != 0 && !error)
        error = errno;
    if (!error)
        error = put_in_place(other, output->path, output->force);
    if (!error)
        return SK_EXIT_DONE;
    unlink(other);
    return error == EEXIST ? complain_exists(output->path) : complain(output->path, error);
}

int sk_create_output_write(const struct sk_create_output *output, struct sk_bytes torrent)
{
    if (is_stdout(output)) {
        int error = write_all(STDOUT_FILENO, torrent);
        return error ? complain("standard output", error) : SK_EXIT_DONE;
    }
    sigset_t ends, before; /* half a file is not left behind */
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    sigprocmask(SIG_BLOCK, &ends, &before);
    int code = write_file(output, torrent);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return code;
}

/* ---- what is said of it ---- */

static int make_magnet(const struct sk_metainfo *torrent, struct sk_buf *magnet)
{
    sk_buf_init(magnet, SK_MAGNET_BYTES_MAX * 4); /* every byte may be escaped */
    int err = sk_metainfo_write_magnet(torrent, magnet);
    return err ? err : sk_buf_append(magnet, "", 1);
}

int sk_create_print_text(const struct sk_create_result *result, FILE *to)
{
    const struct sk_metainfo *m = result->torrent;
    char hex[2 * SK_SHA256_SIZE + 1];
    struct sk_buf magnet;
    int err = make_magnet(m, &magnet);
    if (!err && m->has_v1) {
        sk_hex_encode(m->hash_v1, SK_SHA1_SIZE, hex);
        fprintf(to, "info-hash v1  %s\n", hex);
    }
    if (!err && m->has_v2) {
        sk_hex_encode(m->hash_v2, SK_SHA256_SIZE, hex);
        fprintf(to, "info-hash v2  %s\n", hex);
    }
    if (!err)
        fprintf(to, "magnet        %s\n", (const char *)magnet.p);
    sk_buf_deinit(&magnet);
    return err;
}

/* Null where absent. What is no UTF-8 has its bytes escaped. */
static json_t *text_value(const char *text)
{
    char safe[9 * 1024]; /* no character becomes longer than nine for each byte */
    if (!text)
        return json_null();
    if (sk_text_is_utf8(sk_bytes_text(text)))
        return json_string_nocheck(text);
    return json_string_nocheck(sk_text_escape(sk_bytes_text(text), safe, sizeof safe));
}

static json_t *hash_value(bool has, const uint8_t *hash, size_t n)
{
    char hex[2 * SK_SHA256_SIZE + 1];
    if (!has)
        return json_null();
    sk_hex_encode(hash, n, hex);
    return json_string(hex);
}

int sk_create_print_json(const struct sk_create_result *result, FILE *to)
{
    const struct sk_metainfo *m = result->torrent;
    struct sk_buf magnet;
    int err = make_magnet(m, &magnet);
    json_t *root =
        err ? NULL
            : json_pack("{s:s, s:o, s:o, s:o, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "schema",
                        "skep.create/1", "torrent",
                        text_value(strcmp(result->path, "-") == 0 ? NULL : result->path), "name",
                        text_value(m->name), "info_hash",
                        hash_value(m->has_v1, m->hash_v1, SK_SHA1_SIZE), "info_hash_v2",
                        hash_value(m->has_v2, m->hash_v2, SK_SHA256_SIZE), "magnet", magnet.p,
                        "size", (json_int_t)m->size, "piece_size", (json_int_t)m->piece_size,
                        "pieces", (json_int_t)m->pieces, "files", (json_int_t)result->files,
                        "skipped", (json_int_t)result->skipped, "seconds",
                        json_real(round(result->seconds * 1000) / 1000));
    sk_buf_deinit(&magnet);
    if (!root)
        return SKEP_ERR_NOMEM;
    json_dumpf(root, to, JSON_INDENT(1) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15));
    fputc('\n', to);
    json_decref(root);
    return 0;
}
