/* One file of a torrent to standard output, while it comes. */
#include "cmd/transfer.h"

#include "base/assert.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "driver/outlet.h"
#include "driver/path.h"
#include "engine/engine.h"
#include "wire/film.h"

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
#define AHEAD_S 1.0     /* each of those pieces is needed so long after the one before it */
#define STEPS_MAX 2048u /* at a time: the film of a stranger may have one for each 8 bytes */
#define READ_AHEAD_BYTES (512u << 10) /* behind what the film wants to see: it may be next */

struct sk_transfer_stream {
    char directory[PATH_MAX];
    int root;
    uint32_t file_number;
    struct sk_transfer_from from;
    char path[PATH_MAX];      /* of the file, below it */
    struct sk_file file;      /* path: not used */
    struct sk_outlet *outlet; /* NULL: not yet */
    struct sk_film *film;     /* by time; NULL: by bytes */
    int reading;              /* the file, for it; -1: not open */
    /* What comes next, what is left of it. */
    enum sk_film_want want;
    struct sk_film_out next;
    uint64_t needed;             /* from here on it was asked for first; UINT64_MAX: nothing was */
    uint32_t wanted, wanted_end; /* pieces that are wanted now */
    bool changed;                /* and peers are to be asked for them */
    bool rest;                   /* all from here to the end of the file is */
};

/* ---- the torrent's side ---- */

/* The number of the only file that the link selects; 0: it selects another number of them. */
static uint32_t number_in_link(const struct sk_metainfo *m, const struct sk_magnet *link)
{
    uint32_t number = 0, found = 0, count = 0;
    for (uint32_t i = 0; i < m->files_count && link; i++) {
        if (m->files[i].flags & SK_FILE_PADDING)
            continue;
        number++;
        if (!sk_magnet_selects(link, i))
            continue;
        found = number;
        count++;
    }
    return count == 1 ? found : 0;
}

/* Complains; an exit code. */
static int choose(struct sk_transfer_stream *stream, const struct sk_transfer_torrent *t)
{
    const struct sk_metainfo *m = sk_engine_metainfo(t->torrent);
    const char *name = sk_transfer_name(t);
    uint32_t files = sk_files_numbered(m);
    uint32_t number = stream->file_number ? stream->file_number
                      : files == 1        ? 1
                                          : number_in_link(m, t->link);
    if (!number) {
        sk_complain(
            "%.200s: has %u files: say with --file which one (skep show --files lists them)", name,
            files);
        return SK_EXIT_USAGE;
    }
    uint32_t index = sk_file_numbered(m, number);
    if (index == UINT32_MAX) {
        sk_complain("%.200s: has no file %u, only %u file%s (skep show --files lists them)", name,
                    number, files, files == 1 ? "" : "s");
        return SK_EXIT_USAGE;
    }
    stream->file = m->files[index];
    snprintf(stream->path, sizeof stream->path, "%s%s%s", m->single_file ? "" : m->name,
             m->single_file ? "" : "/", m->files[index].path);
    if (stream->from.is_time || stream->from.bytes <= stream->file.length)
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

/* Only these bytes of the file are wanted now. */
static void want(struct sk_transfer_stream *stream, const struct sk_transfer_torrent *t,
                 uint64_t from, uint64_t end)
{
    const struct sk_metainfo *m = sk_engine_metainfo(t->torrent);
    struct sk_picker *picker = sk_downloader_picker(t->downloader);
    uint32_t first = piece_at(m, stream, from), last = piece_at(m, stream, end - 1);
    for (uint32_t piece = stream->wanted; piece < stream->wanted_end; piece++)
        if (piece < first || piece > last)
            sk_picker_set_priority(picker, piece, 0);
    for (uint32_t piece = first; piece <= last; piece++)
        sk_picker_set_priority(picker, piece, SK_PICKER_PRIORITY_NORMAL);
    stream->wanted = first;
    stream->wanted_end = last + 1;
    stream->changed = true;
}

/* What comes next, whatever it is, has its pieces wanted. */
static void want_next(struct sk_transfer_stream *stream, const struct sk_transfer_torrent *t)
{
    const struct sk_film_out *next = &stream->next;
    bool copy = stream->want == SK_FILM_COPY, first = copy && next->rest && !stream->rest;
    uint64_t ahead = copy ? 0 : READ_AHEAD_BYTES, end = next->offset + next->length;
    if ((!copy && stream->want != SK_FILM_READ) || (stream->rest && !first))
        return;
    stream->rest |= first;
    want(stream, t, next->offset,
         first ? stream->file.length : end + SK_MIN(ahead, stream->file.length - end));
}

static void go_on(struct sk_transfer_stream *stream, const struct sk_transfer_torrent *t)
{
    stream->want = stream->film ? sk_film_next(stream->film, &stream->next) : SK_FILM_END;
    want_next(stream, t);
    if (stream->want == SK_FILM_END)
        sk_outlet_finish(stream->outlet);
}

int sk_transfer_stream_ready(struct sk_transfer_stream *stream, struct sk_transfer_torrent *t)
{
    const struct sk_transfer_from *from = &stream->from;
    int code = choose(stream, t);
    if (code)
        return code;
    struct sk_picker *picker = sk_downloader_picker(t->downloader);
    for (uint32_t piece = 0; piece < sk_engine_metainfo(t->torrent)->pieces; piece++)
        sk_picker_set_priority(picker, piece, 0);
    sk_picker_set_order(picker, SK_PICKER_IN_ORDER);
    int err = sk_outlet_new(stream->root, stream->path, STDOUT_FILENO, &stream->outlet);
    if (!err && from->is_time)
        err = sk_film_new(stream->file.length, from->ns, &stream->film);
    if (err)
        return sk_complain_err(err);
    stream->next = (struct sk_film_out){
        .offset = from->bytes, .length = stream->file.length - from->bytes, .rest = true};
    stream->want = SK_FILM_COPY;
    if (stream->film || !stream->next.length)
        go_on(stream, t);
    else
        want_next(stream, t);
    return SK_EXIT_DONE;
}

/* ---- what comes next ---- */

/* What comes next is needed at once, and what follows a little later. */
static void need(struct sk_transfer_stream *stream, const struct sk_transfer_torrent *t,
                 uint64_t from)
{
    const struct sk_metainfo *m = sk_engine_metainfo(t->torrent);
    struct sk_picker *picker = sk_downloader_picker(t->downloader);
    uint32_t first = piece_at(m, stream, from);
    uint32_t last = piece_at(m, stream, stream->next.offset + stream->next.length - 1);
    uint32_t count = SK_MIN(AHEAD_BYTES / m->piece_size + 1, AHEAD_PIECES_MAX);
    uint64_t now_ns = skep_runtime_now(t->transfer->runtime);
    if (stream->needed == from)
        return;
    stream->needed = from;
    sk_picker_set_cursor(picker, first);
    for (uint32_t i = 0; i < count && first + i <= last; i++)
        if (!sk_bitfield_has(sk_picker_pieces(picker), first + i))
            (void)sk_picker_set_deadline(picker, first + i,
                                         now_ns + (uint64_t)((i + 1) * AHEAD_S * 1e9));
    if (stream->changed) /* not before something is missing: peers would hear that nothing is */
        sk_downloader_review(t->downloader, now_ns);
    stream->changed = false;
}

/* How much of what comes next is here, from its start on; the rest is asked for. */
static uint64_t here(struct sk_transfer_stream *stream, const struct sk_transfer_torrent *t)
{
    const struct sk_metainfo *m = sk_engine_metainfo(t->torrent);
    const struct sk_bitfield *have = sk_picker_pieces(sk_downloader_picker(t->downloader));
    uint64_t at = stream->next.offset, end = at + stream->next.length;
    while (at < end) {
        uint32_t piece = piece_at(m, stream, at);
        if (!sk_bitfield_has(have, piece))
            break;
        at = SK_MIN((uint64_t)(piece + 1) * m->piece_size - stream->file.offset, end);
    }
    if (at < end)
        need(stream, t, at);
    return at - stream->next.offset;
}

/* Says what is wrong with the film. */
static void fail(const struct sk_transfer_stream *stream, struct sk_transfer_torrent *t)
{
    const char *reason;
    int err = sk_film_error(stream->film, &reason);
    sk_transfer_live_clear(t->transfer->live);
    sk_complain("--from: %.300s %s", stream->path, reason);
    sk_transfer_fail(t, err == SKEP_ERR_UNSUPPORTED ? SK_EXIT_USAGE
                        : err == SKEP_ERR_LIMIT     ? SK_EXIT_CORRUPT
                                                    : sk_exit_of(err));
}

static int read_file(struct sk_transfer_stream *stream, uint8_t *bytes)
{
    size_t n = (size_t)stream->next.length;
    if (stream->reading < 0)
        stream->reading = sk_path_open(stream->root, stream->path, false);
    ssize_t got =
        stream->reading < 0 ? -1 : pread(stream->reading, bytes, n, (off_t)stream->next.offset);
    if (got == (ssize_t)n)
        return 0;
    errno = got < 0 ? errno : EIO;
    return SKEP_ERR_IO;
}

/* What was asked for is here. */
static void feed(struct sk_transfer_stream *stream, struct sk_transfer_torrent *t)
{
    uint8_t *bytes = sk_mem_alloc((size_t)stream->next.length);
    int err = bytes ? read_file(stream, bytes) : SKEP_ERR_NOMEM;
    if (err) {
        sk_transfer_live_clear(t->transfer->live);
        sk_complain("%.300s: %s", stream->path,
                    err == SKEP_ERR_IO ? strerror(errno) : skep_err_text(err));
        sk_transfer_fail(t, sk_exit_of(err));
    } else {
        sk_film_input(stream->film, sk_bytes(bytes, (size_t)stream->next.length));
        go_on(stream, t);
    }
    sk_mem_free(bytes);
}

/* Whether it got on. */
static bool take_step(struct sk_transfer_stream *stream, struct sk_transfer_torrent *t)
{
    uint64_t n;
    switch (stream->want) {
    case SK_FILM_READ:
        if (here(stream, t) < stream->next.length)
            return false;
        feed(stream, t);
        return true;
    case SK_FILM_COPY:
        n = sk_outlet_has_room(stream->outlet) ? here(stream, t) : 0;
        if (!n)
            return false;
        sk_outlet_copy(stream->outlet, stream->next.offset, n);
        stream->next.offset += n;
        stream->next.length -= n;
        if (!stream->next.length)
            go_on(stream, t);
        return true;
    case SK_FILM_WRITE:
        if (!sk_outlet_has_room(stream->outlet) ||
            sk_outlet_write(stream->outlet, stream->next.bytes))
            return false;
        go_on(stream, t);
        return true;
    case SK_FILM_FAILED:
        fail(stream, t);
        return false;
    case SK_FILM_END:
        break;
    }
    return false;
}

void sk_transfer_stream_advance(struct sk_transfer_stream *stream, struct sk_transfer_torrent *t)
{
    unsigned steps = 0;
    while (stream->outlet && t->stage >= SK_TRANSFER_DOWNLOADING &&
           t->stage != SK_TRANSFER_FAILED && steps++ < STEPS_MAX && take_step(stream, t))
        ;
}

/* ---- how it stands ---- */

static enum sk_outlet_state look(struct sk_transfer_stream *stream, uint64_t *ret_bytes,
                                 int *ret_error)
{
    *ret_bytes = 0;
    *ret_error = 0;
    return stream->outlet ? sk_outlet_look(stream->outlet, ret_bytes, ret_error)
                          : SK_OUTLET_RUNNING;
}

bool sk_transfer_stream_ended(struct sk_transfer_stream *stream)
{
    uint64_t bytes;
    int error;
    return look(stream, &bytes, &error) != SK_OUTLET_RUNNING;
}

int sk_transfer_stream_say_end(struct sk_transfer_stream *stream, uint64_t *ret_bytes,
                               bool *ret_closed)
{
    int error;
    enum sk_outlet_state state = look(stream, ret_bytes, &error);
    *ret_closed = state == SK_OUTLET_CLOSED;
    if (state != SK_OUTLET_FAILED)
        return SK_EXIT_DONE;
    sk_complain("standard output: %s", strerror(error));
    return SK_EXIT_STORAGE;
}

/* ---- life ---- */

int sk_transfer_stream_new(uint32_t file, const struct sk_transfer_from *from,
                           struct sk_transfer_stream **ret_stream)
{
    const char *below = getenv("TMPDIR");
    struct sk_transfer_stream *stream = sk_mem_calloc(1, sizeof *stream);
    if (!stream)
        return SKEP_ERR_NOMEM;
    stream->file_number = file;
    stream->from = *from;
    stream->reading = -1;
    stream->needed = UINT64_MAX;
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

uint32_t sk_transfer_stream_file(const struct sk_transfer_stream *stream)
{
    return stream->file_number;
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
    sk_film_free(stream->film);
    if (stream->reading >= 0)
        close(stream->reading);
    close(stream->root);
    sk_transfer_stream_remove(stream);
    sk_mem_free(stream);
}
