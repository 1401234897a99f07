/* One file of a torrent to standard output, while it comes. */
#include "cmd/transfer.h"

#include "base/assert.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "driver/outlet.h"
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AHEAD_BYTES (4u << 20) /* needed before all else; so many after what is written */
#define AHEAD_PIECES_MAX 64u
#define AHEAD_S 1.0 /* each of those pieces is needed so long after the one before it */

struct sk_transfer_stream {
    char directory[PATH_MAX];
    int root;
    uint32_t file_number;
    uint64_t from;
    char path[PATH_MAX];      /* of the file, below it */
    struct sk_file file;      /* path: not used */
    bool chosen;              /* the file is known */
    struct sk_outlet *outlet; /* NULL: there is nothing to write, or not yet */
    uint64_t available;       /* in the file: the end of what is verified */
};

/* ---- the torrent's side ---- */

/* Complains; an exit code. */
static int choose(struct sk_transfer_stream *stream, const struct sk_metainfo *m, const char *name)
{
    uint32_t files = sk_files_numbered(m), number = stream->file_number;
    if (!number && files > 1) {
        sk_complain(
            "%.200s: has %u files: say with --file which one (skep show --files lists them)", name,
            files);
        return SK_EXIT_USAGE;
    }
    uint32_t index = sk_file_numbered(m, number ? number : 1);
    if (index == UINT32_MAX) {
        sk_complain("%.200s: has no file %u, only %u file%s (skep show --files lists them)", name,
                    number, files, files == 1 ? "" : "s");
        return SK_EXIT_USAGE;
    }
    stream->file = m->files[index];
    snprintf(stream->path, sizeof stream->path, "%s%s%s", m->single_file ? "" : m->name,
             m->single_file ? "" : "/", m->files[index].path);
    if (stream->from <= stream->file.length)
        return SK_EXIT_DONE;
    sk_complain("%.200s: --from: the file ends at %llu", name,
                (unsigned long long)stream->file.length);
    return SK_EXIT_USAGE;
}

static uint32_t piece_at(const struct sk_metainfo *m, const struct sk_transfer_stream *stream,
                         uint64_t at)
{
    return (uint32_t)((stream->file.offset + at) / m->piece_size);
}

int sk_transfer_stream_ready(struct sk_transfer_stream *stream, struct sk_transfer_torrent *t)
{
    const struct sk_metainfo *m = sk_engine_metainfo(t->torrent);
    struct sk_picker *picker = sk_downloader_picker(t->downloader);
    int code = choose(stream, m, sk_transfer_name(t));
    if (code)
        return code;
    bool any = stream->from < stream->file.length;
    uint32_t first = any ? piece_at(m, stream, stream->from) : m->pieces;
    uint32_t last = any ? piece_at(m, stream, stream->file.length - 1) : 0;
    for (uint32_t piece = 0; piece < m->pieces; piece++)
        if (piece < first || piece > last)
            sk_picker_set_priority(picker, piece, 0);
    stream->available = stream->from;
    sk_picker_set_order(picker, SK_PICKER_IN_ORDER);
    stream->chosen = true;
    int err = any ? sk_outlet_new(stream->root, stream->path, stream->from, stream->file.length,
                                  STDOUT_FILENO, &stream->outlet)
                  : 0;
    return err ? sk_complain_err(err) : SK_EXIT_DONE;
}

/* What comes next is needed at once, and what follows a little later. */
static void need(const struct sk_transfer_stream *stream, const struct sk_transfer_torrent *t,
                 uint64_t available)
{
    const struct sk_metainfo *m = sk_engine_metainfo(t->torrent);
    struct sk_picker *picker = sk_downloader_picker(t->downloader);
    uint32_t first = piece_at(m, stream, available);
    uint32_t last = piece_at(m, stream, stream->file.length - 1);
    uint32_t count = SK_MIN(AHEAD_BYTES / m->piece_size + 1, AHEAD_PIECES_MAX);
    uint64_t now_ns = skep_runtime_now(t->transfer->runtime);
    sk_picker_set_cursor(picker, first);
    for (uint32_t i = 0; i < count && first + i <= last; i++)
        if (!sk_bitfield_has(sk_picker_pieces(picker), first + i))
            (void)sk_picker_set_deadline(picker, first + i,
                                         now_ns + (uint64_t)((i + 1) * AHEAD_S * 1e9));
}

void sk_transfer_stream_advance(struct sk_transfer_stream *stream,
                                const struct sk_transfer_torrent *t)
{
    const struct sk_metainfo *m = sk_engine_metainfo(t->torrent);
    if (!stream->outlet || t->stage < SK_TRANSFER_DOWNLOADING)
        return;
    const struct sk_bitfield *have = sk_picker_pieces(sk_downloader_picker(t->downloader));
    uint64_t available = stream->available;
    while (available < stream->file.length) {
        uint32_t piece = piece_at(m, stream, available);
        if (!sk_bitfield_has(have, piece))
            break;
        available = SK_MIN((uint64_t)(piece + 1) * m->piece_size - stream->file.offset,
                           stream->file.length);
    }
    if (available == stream->available && available != stream->from)
        return;
    stream->available = available;
    sk_outlet_offer(stream->outlet, available);
    if (available < stream->file.length)
        need(stream, t, available);
}

static enum sk_outlet_state look(struct sk_transfer_stream *stream, uint64_t *ret_at,
                                 int *ret_error)
{
    *ret_at = stream->from;
    *ret_error = 0;
    if (stream->outlet)
        return sk_outlet_look(stream->outlet, ret_at, ret_error);
    return stream->chosen ? SK_OUTLET_DONE : SK_OUTLET_RUNNING;
}

bool sk_transfer_stream_ended(struct sk_transfer_stream *stream)
{
    uint64_t at;
    int error;
    return look(stream, &at, &error) != SK_OUTLET_RUNNING;
}

int sk_transfer_stream_say_end(struct sk_transfer_stream *stream, uint64_t *ret_bytes,
                               bool *ret_closed)
{
    uint64_t at;
    int error;
    enum sk_outlet_state state = look(stream, &at, &error);
    *ret_bytes = at - stream->from;
    *ret_closed = state == SK_OUTLET_CLOSED;
    if (state != SK_OUTLET_FAILED)
        return SK_EXIT_DONE;
    sk_complain("standard output: %s", strerror(error));
    return SK_EXIT_STORAGE;
}

/* ---- life ---- */

int sk_transfer_stream_new(uint32_t file, uint64_t from, struct sk_transfer_stream **ret_stream)
{
    const char *below = getenv("TMPDIR");
    struct sk_transfer_stream *stream = sk_mem_calloc(1, sizeof *stream);
    if (!stream)
        return SKEP_ERR_NOMEM;
    stream->file_number = file;
    stream->from = from;
    /* Not /tmp, which may be memory: a film has no room there. */
    snprintf(stream->directory, sizeof stream->directory, "%s/skep-XXXXXX",
             below && *below ? below : "/var/tmp");
    if (!mkdtemp(stream->directory)) {
        sk_mem_free(stream);
        return SKEP_ERR_IO;
    }
    stream->root = open(stream->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (stream->root < 0) {
        rmdir(stream->directory);
        sk_mem_free(stream);
        return SKEP_ERR_IO;
    }
    *ret_stream = stream;
    return 0;
}

const char *sk_transfer_stream_directory(const struct sk_transfer_stream *stream)
{
    return stream->directory;
}

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *where)
{
    return remove(path);
}

void sk_transfer_stream_remove(const struct sk_transfer_stream *stream)
{
    (void)nftw(stream->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void sk_transfer_stream_free(struct sk_transfer_stream *stream)
{
    if (!stream)
        return;
    sk_outlet_free(stream->outlet);
    close(stream->root);
    sk_transfer_stream_remove(stream);
    sk_mem_free(stream);
}
