#include "store/announces.h"

#include <skep/err.h>

#include "base/mem.h"
#include "store/announce_file.h"
#include "store/announce_log.h"

#include <errno.h>
#include <stdio.h>

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

static int read_stream(FILE *stream, const char *path, const struct sk_announce_sink *sink,
                       struct sk_announces_tally *ret_tally, bool *ret_is_database,
                       char ret_reason[SK_DATABASE_REASON_MAX])
{
    struct sk_announce_file *file = NULL;
    uint8_t *portion = sk_mem_alloc(PORTION);
    int err = portion ? sk_announce_file_new(sink, &file) : SKEP_ERR_NOMEM;
    if (!err) {
        size_t n = fread(portion, 1, PORTION, stream);
        *ret_is_database =
            n >= sizeof sqlite_magic && memcmp(portion, sqlite_magic, sizeof sqlite_magic) == 0;
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
    bool standard = strcmp(path, "-") == 0, is_database = false;
    const char *name = standard ? "standard input" : path;
    FILE *stream = standard ? stdin : fopen(path, "rb");
    *ret_tally = (struct sk_announces_tally){0};
    ret_reason[0] = 0;
    if (!stream)
        return fail(name, strerror(errno), SKEP_ERR_IO, ret_reason);
    int err = read_stream(stream, name, sink, ret_tally, &is_database, ret_reason);
    if (!standard)
        fclose(stream);
    if (is_database && standard)
        return fail(name, "an SQLite file is read by its name only", SKEP_ERR_IO, ret_reason);
    return is_database ? sk_announce_log_read(path, sink, ret_tally, ret_reason) : err;
}
