#include "store/announces.h"

#include <skep/err.h>

#include "base/mem.h"
#include "store/announce_file.h"
#include "store/announce_log.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PORTION 65536 /* bytes read at a time */

static const char sqlite_magic[] = "SQLite format 3"; /* and its NUL */

static int fail(const char *path, const char *why, int err, char ret_reason[SK_DATABASE_REASON_MAX])
{
    snprintf(ret_reason, SK_DATABASE_REASON_MAX, "%s: %s", path, why);
    return err;
}

/* Text, whose first portion is read already. */
static int read_text(FILE *stream, const char *path, struct sk_announce_file *file,
                     uint8_t *portion, size_t n, char ret_reason[SK_DATABASE_REASON_MAX])
{
    int err = 0;
    for (; n && !err; n = err ? 0 : fread(portion, 1, PORTION, stream))
        err = sk_announce_file_input(file, sk_bytes(portion, n));
    if (!err && ferror(stream))
        return fail(path, strerror(errno), SKEP_ERR_IO, ret_reason);
    if (!err)
        err = sk_announce_file_end(file);
    if (sk_announce_file_reason(file)[0])
        fail(path, sk_announce_file_reason(file), err, ret_reason);
    return err;
}

static bool is_database(const uint8_t *bytes, size_t n)
{
    return n >= sizeof sqlite_magic && memcmp(bytes, sqlite_magic, sizeof sqlite_magic) == 0;
}

static int read_stream(FILE *stream, const char *path, const struct sk_announce_sink *sink,
                       struct sk_announces_tally *ret_tally, bool *ret_is_database,
                       char ret_reason[SK_DATABASE_REASON_MAX])
{
    struct sk_announce_file *file = NULL;
    uint8_t *portion = sk_mem_alloc(PORTION);
    int err = portion ? sk_announce_file_new(sink, &file) : SKEP_ERR_NOMEM;
    if (!err) {
        size_t n = fread(portion, 1, PORTION, stream);
        *ret_is_database = is_database(portion, n);
        if (!*ret_is_database)
            err = read_text(stream, path, file, portion, n, ret_reason);
        *ret_tally = *sk_announce_file_tally(file);
    }
    sk_announce_file_free(file);
    sk_mem_free(portion);
    return err;
}

int sk_announces_read(const char *path, const struct sk_announce_sink *sink,
                      struct sk_announces_tally *ret_tally, char ret_reason[SK_DATABASE_REASON_MAX])
{
    bool standard = strcmp(path, "-") == 0, database = false;
    const char *name = standard ? "standard input" : path;
    FILE *stream = standard ? stdin : fopen(path, "rb");
    *ret_tally = (struct sk_announces_tally){0};
    ret_reason[0] = 0;
    if (!stream)
        return fail(name, strerror(errno), SKEP_ERR_IO, ret_reason);
    int err = read_stream(stream, name, sink, ret_tally, &database, ret_reason);
    if (!standard)
        fclose(stream);
    if (database && standard)
        return fail(name, "an SQLite file is read by its name only", SKEP_ERR_IO, ret_reason);
    return database ? sk_announce_log_read(path, sink, ret_tally, ret_reason) : err;
}

static int pass_over(const struct sk_announce *announce, void *ctx)
{
    return 0;
}

static int check_text(const char *path, struct sk_bytes beginning,
                      char ret_reason[SK_DATABASE_REASON_MAX])
{
    const struct sk_announce_sink sink = {.announce = pass_over};
    struct sk_announce_file *file;
    int err = sk_announce_file_new(&sink, &file);
    if (err)
        return err;
    err = sk_announce_file_input(file, beginning);
    if (sk_announce_file_reason(file)[0])
        fail(path, sk_announce_file_reason(file), err, ret_reason);
    sk_announce_file_free(file);
    return err;
}

int sk_announces_check(const char *path, char ret_reason[SK_DATABASE_REASON_MAX])
{
    struct stat about;
    ret_reason[0] = 0;
    if (strcmp(path, "-") == 0)
        return 0;
    if (stat(path, &about) || access(path, R_OK))
        return fail(path, strerror(errno), SKEP_ERR_IO, ret_reason);
    if (S_ISDIR(about.st_mode))
        return fail(path, strerror(EISDIR), SKEP_ERR_IO, ret_reason);
    if (!S_ISREG(about.st_mode))
        return 0;
    FILE *stream = fopen(path, "rb");
    if (!stream)
        return fail(path, strerror(errno), SKEP_ERR_IO, ret_reason);
    uint8_t *portion = sk_mem_alloc(PORTION);
    size_t n = portion ? fread(portion, 1, PORTION, stream) : 0;
    int err = portion ? 0 : SKEP_ERR_NOMEM;
    if (!err && ferror(stream))
        err = fail(path, strerror(errno), SKEP_ERR_IO, ret_reason);
    if (!err)
        err = is_database(portion, n) ? sk_announce_log_check(path, ret_reason)
                                      : check_text(path, sk_bytes(portion, n), ret_reason);
    sk_mem_free(portion);
    fclose(stream);
    return err;
}
