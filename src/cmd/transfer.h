/*
 * Downloading and seeding from the command line: what `skep get` and `skep seed` share. Layer: cmd.
 *
 * A transfer is one runtime with several torrents. Each goes through
 *
 *   METADATA -> HASHES (of a v2 magnet link: peers are asked for those of the pieces)
 *            -> CHECKING (what is on the disk is hashed) -> ALLOCATING -> DOWNLOADING -> SEEDING
 *            -> ENDED
 *
 * or ends in FAILED. HASHES and CHECKING are passed over where the resume file vouches for the
 * pieces (store/resume.h), or where nothing is there yet; ALLOCATING without --preallocate.
 *
 * transfer.c         the run: torrents, signals, time
 * transfer_disk.c    what is there already, what is wanted, what is remembered
 * transfer_live.c    how it looks while it runs
 * transfer_end.c     how it ended, for people and for programs
 * transfer_stream.c  one file to standard output
 */
#ifndef SK_CMD_TRANSFER_H
#define SK_CMD_TRANSFER_H

#include "cmd/dht_nodes.h"
#include "cmd/selection.h"
#include "cmd/target.h"
#include "driver/allocation.h"
#include "driver/hashing.h"
#include "engine/downloader.h"
#include "store/resume.h"
#include "wire/magnet.h"

enum sk_transfer_stage {
    SK_TRANSFER_METADATA,
    SK_TRANSFER_HASHES,
    SK_TRANSFER_CHECKING,
    SK_TRANSFER_ALLOCATING,
    SK_TRANSFER_DOWNLOADING,
    SK_TRANSFER_SEEDING,
    SK_TRANSFER_ENDED,
    SK_TRANSFER_FAILED, /* said already; `code` */
};

enum sk_transfer_stopped {
    SK_TRANSFER_DONE,
    SK_TRANSFER_INTERRUPTED,
    SK_TRANSFER_TIME,
};

#define SK_TRANSFER_TEXT_MAX 256

struct sk_transfer;
struct sk_transfer_live;
struct sk_transfer_stream;

struct sk_transfer_torrent {
    struct sk_transfer *transfer;
    struct skep_torrent *torrent;
    struct sk_downloader *downloader;
    char hex[2 * SK_SHA1_SIZE + 1]; /* its info-hash */
    struct sk_magnet *link;         /* that selects files (BEP 53), with no --select; NULL */
    struct sk_resume *resume;       /* NULL: nothing is remembered */
    /* While CHECKING: */
    struct sk_hashing *hashing;
    int root;                         /* the directory; also while ALLOCATING */
    uint8_t *checked;                 /* enum sk_hashing_piece, by piece */
    struct sk_allocation *allocation; /* while ALLOCATING */
    uint64_t allocation_bytes;        /* all there are to be */
    enum sk_transfer_stage stage;
    int code;             /* FAILED: the exit code */
    uint64_t done_ns;     /* when it was complete */
    uint64_t given_bytes; /* blocks that others took */
    bool resume_failed;   /* and it was said */
    /* For the reason why nothing moves: addresses heard of, of them those that could not be
     * reached and the last one's reason, peers that were, what trackers say. */
    uint32_t known, opened, claims;
    char failure[SK_TRANSFER_TEXT_MAX], tracker_failure[SK_TRANSFER_TEXT_MAX];
    char why[2 * SK_TRANSFER_TEXT_MAX]; /* at the end, while peers were still there */
};

struct sk_transfer_limits {
    double seed_s;     /* seeds for so long once complete; < 0: without end */
    double seed_ratio; /* and until it has given so many times its size; < 0: no matter */
    bool only_seed;    /* what is missing is not fetched */
    enum sk_picker_order order;
    bool preallocate;
    bool preview; /* the first and last piece of each file before all others */
    struct sk_selection selection;
};

struct sk_transfer {
    struct sk_options options;
    struct sk_transfer_limits limits;
    const char *directory;     /* where the files are */
    const char *on_done;       /* a program; NULL: none */
    struct sk_texts web_seeds; /* of the only torrent, beside those that it names */
    bool no_web_seeds;         /* that it names */
    struct skep_runtime *runtime;
    struct sk_downloads *downloads;
    struct sk_dht_nodes nodes;
    struct sk_transfer_torrent *torrents;
    size_t count;
    char state_path[SK_PATH_MAX]; /* "" none */
    uint64_t started_ns;
    enum sk_transfer_stopped stopped;
    int interrupts;
    int left_out; /* the exit code of a target that could not be added, where others could */
    struct sk_transfer_live *live;
    struct sk_transfer_stream *stream; /* NULL: none */
};

/* Runs until all torrents have ended, or time is up, or it is interrupted; `targets` are texts as
 * in target.h. Complains; an exit code. */
int sk_transfer_run(struct sk_transfer *transfer, char **targets, size_t count);
/* The torrent cannot go on; the caller said why. */
void sk_transfer_fail(struct sk_transfer_torrent *t, int code);
/* What it is called, raw; its info-hash where that is not known. */
const char *sk_transfer_name(const struct sk_transfer_torrent *t);

/* ---- transfer_disk.c ---- */

/* Of struct sk_downloader_config; ctx is a torrent. */
void sk_transfer_ready(void *ctx);
void sk_transfer_stored(uint32_t piece, void *ctx);
/* While HASHES: checks what is on the disk once they are known. */
void sk_transfer_begin_check(struct sk_transfer_torrent *t);
/* While CHECKING: whether it is over. */
void sk_transfer_check(struct sk_transfer_torrent *t);
/* While ALLOCATING: whether it is over. */
void sk_transfer_allocate(struct sk_transfer_torrent *t);
/* Complete: files without a byte are made, which no piece has brought. */
void sk_transfer_make_empty(struct sk_transfer_torrent *t);
/* Writing failed with this error of the downloader's: says why. */
void sk_transfer_disk_failed(struct sk_transfer_torrent *t, int error);
/* While the runtime is still there and nothing is written any more. */
void sk_transfer_disk_end(struct sk_transfer_torrent *t);

/* ---- transfer_end.c ---- */

extern const char *const sk_transfer_stages[]; /* their names, for programs */
/* Why nothing comes, or "" where something does; returns ret_text. */
const char *sk_transfer_why(const struct sk_transfer_torrent *t,
                            char ret_text[2 * SK_TRANSFER_TEXT_MAX]);
/* Says how each torrent ended. An exit code: the gravest. */
int sk_transfer_say_ends(const struct sk_transfer *transfer);

/* ---- transfer_live.c ---- */

struct sk_transfer_live *sk_transfer_live_new(const struct sk_options *options);
void sk_transfer_live_draw(struct sk_transfer_live *live, const struct sk_transfer *transfer,
                           uint64_t now_ns);
/* Takes the live lines away; the next ones are due at once. NULL is fine. */
void sk_transfer_live_clear(struct sk_transfer_live *live);
void sk_transfer_live_free(struct sk_transfer_live *live);

/* ---- transfer_stream.c ---- */

/* Where a stream begins. */
struct sk_transfer_from {
    bool is_time;
    uint64_t bytes; /* in the file; 0 where it is a time */
    uint64_t ns;    /* in the film (wire/film.h) */
};

/*
 * Streaming: `file` (its number; 0: the only one, or the only one that the link selects) goes to
 * standard output, in order, as its pieces are verified; all from a byte on, or what makes a film
 * that begins at a time. They lie in a temporary directory meanwhile, which is made
 * here and removed in the end. A thread of its own writes, so that a slow reader holds up nobody.
 * SKEP_ERR_IO (errno), SKEP_ERR_NOMEM.
 */
int sk_transfer_stream_new(uint32_t file, const struct sk_transfer_from *from,
                           struct sk_transfer_stream **ret_stream);
/* The number that was given; 0: none. */
uint32_t sk_transfer_stream_file(const struct sk_transfer_stream *stream);
const char *sk_transfer_stream_directory(const struct sk_transfer_stream *stream);
/* The torrent is READY: chooses the file and what is wanted of it. Complains; an exit code. */
int sk_transfer_stream_ready(struct sk_transfer_stream *stream, struct sk_transfer_torrent *t);
/* Pieces may have come: what is next is asked for first. The torrent fails where the film is none
 * that can begin there. */
void sk_transfer_stream_advance(struct sk_transfer_stream *stream, struct sk_transfer_torrent *t);
/* Whether all was written, or nobody wants it any more, or it failed. */
bool sk_transfer_stream_ended(struct sk_transfer_stream *stream);
/* Says what went wrong with writing; an exit code. What was written, and whether the reader went
 * before the end. */
int sk_transfer_stream_say_end(struct sk_transfer_stream *stream, uint64_t *ret_bytes,
                               bool *ret_closed);
/* Removes the directory; for when there is no time to end well. */
void sk_transfer_stream_remove(const struct sk_transfer_stream *stream);
/* After the runtime's end. NULL is fine. */
void sk_transfer_stream_free(struct sk_transfer_stream *stream);

#endif
