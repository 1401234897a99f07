/*
 * Inside of film.h: what its formats share. Layer: wire.
 *
 * A format is a row of steps. Each is given the bytes that the one before asked for, and asks for
 * the next with sk_film_read(); one that does not is the last. Steps return 0, or an error.
 */
#ifndef SK_WIRE_FILM_STEP_H
#define SK_WIRE_FILM_STEP_H

#include "base/limits.h"
#include "wire/film.h"

#include <skep/err.h>

typedef int sk_film_step(struct sk_film *film, struct sk_bytes bytes);

struct sk_film_range {
    uint64_t offset, length;
};

/* How places to start at are told by bisection. */
struct sk_film_marks {
    /* Where in the bytes the next mark lies, from `at` on; bytes.n where there is none. Marks end
     * within SK_FILM_MARK_MAX. */
    size_t (*find)(struct sk_bytes bytes, size_t at);
    /* Whether film bytes from a mark on are of a place to start at, and its time. */
    bool (*judge)(const struct sk_film *film, struct sk_bytes bytes, uint64_t *ret_ns);
    sk_film_step *found; /* comes next: film->seek.low is the last place before the time */
};

#define SK_FILM_MARK_MAX 16
#define SK_FILM_PARTS_MAX (SK_FILM_HEAD_MAX + 4)

struct sk_film_seek {
    const struct sk_film_marks *marks;
    uint64_t time_ns;
    uint64_t low, high;       /* the first place or one in time; none in time from here on */
    uint64_t low_ns, high_ns; /* their times; UINT64_MAX: not known */
    uint64_t origin, at;      /* of this look: where it began, and is */
    unsigned looks;
};

struct sk_matroska {
    uint64_t data, end; /* of the segment */
    uint64_t at;        /* the next element */
    struct sk_film_range head[SK_FILM_HEAD_MAX];
    size_t head_count;
    bool has_tracks;
    uint64_t scale_ns, track;
    double duration;                     /* in the scale; NAN: not known */
    uint64_t cues, index_end, seek_head; /* 0: not known */
    uint64_t marks[SK_FILM_HEAD_MAX];    /* elements that are no clusters */
    size_t marks_count;
    unsigned seek_heads, retreats;
    uint64_t first_cluster, cluster, cluster_end; /* UINT64_MAX: of unknown size */
    uint64_t cluster_time;
    uint64_t group, group_end;   /* the block group that we are in; 0: in none */
    bool group_ours, group_fits; /* its block is of our track; is a start, as far as is known */
    uint64_t first_block, start; /* of the cluster, and the best start as yet; 0: none */
    bool seen;                   /* a block of our track in the cluster */
};

/* One track of an MP4 file. Its tables are the insides of their boxes; n 0: there is none. */
struct sk_mp4_track {
    struct sk_bytes trak, stts, ctts, stss, stsc, stsz, stco;
    bool wide;    /* stco is a co64 */
    bool compact; /* stsz is a stz2 */
    uint32_t handler, id, timescale;
    uint64_t samples;
    int64_t shift; /* its own time, in its scale, at the film's time 0 */
    /* What is kept of it (mp4_cut.c): */
    bool kept;
    uint64_t sample, left; /* the first, from 0 on, and how many from there on */
    int64_t dts, pts;      /* of it */
    uint64_t duration;
    uint64_t low, high; /* where its data lies */
    size_t offsets;     /* where in the new head the offsets of its chunks are, */
    uint64_t chunks;    /* and how many */
};

struct sk_mp4 {
    struct sk_film_range ftyp, head;
    uint8_t *moov; /* the head's bytes: tracks are views into them */
    struct sk_bytes mvex;
    uint32_t timescale;
    uint64_t duration; /* in it; 0: not known */
    struct sk_mp4_track tracks[SK_FILM_TRACKS_MAX];
    size_t tracks_count;
    struct sk_mp4_track *reference; /* the one that says where to begin */
    bool fragmented;
    uint32_t trex_flags; /* of the reference's samples, where nothing else is said */
    unsigned indexes;    /* sidx boxes that were read */
    uint64_t first, end; /* of the fragments */
    int64_t delta;       /* where a fragment is in the stream, from where it is in the file */
};

struct sk_film_part {
    uint8_t *bytes; /* NULL: a range of the file */
    struct sk_film_range range;
    bool rest;
};

struct sk_film {
    uint64_t size, from_ns;
    struct sk_film_range read;
    sk_film_step *step; /* NULL: nothing more is read */
    unsigned reads;
    uint64_t read_bytes;
    struct sk_film_part parts[SK_FILM_PARTS_MAX];
    size_t parts_count, parts_taken;
    uint64_t written; /* bytes of the stream, parts that wait included */
    int error;
    const char *reason;
    struct sk_film_seek seek;
    union {
        struct sk_matroska matroska;
        struct sk_mp4 mp4;
    };
    bool is_mp4;
};

/* ---- what steps do (film.c) ---- */

/* Asks for these bytes, as many of them as the file has. SKEP_ERR_MALFORMED where it has none;
 * SKEP_ERR_LIMIT. */
int sk_film_read(struct sk_film *film, uint64_t offset, uint64_t length, sk_film_step *step);
/* Next in the stream. SKEP_ERR_MALFORMED (a range that is not in the file), SKEP_ERR_LIMIT. */
int sk_film_copy(struct sk_film *film, struct sk_film_range range, bool rest);
/* Takes `bytes` over, or frees them. SKEP_ERR_LIMIT. */
int sk_film_write(struct sk_film *film, uint8_t *bytes, size_t n);
/* Returns the error, and remembers why. */
int sk_film_fail(struct sk_film *film, int error, const char *reason);
/* Looks between `low`, a place to start at, and `high` for the last one at or before the time. */
int sk_film_seek(struct sk_film *film, const struct sk_film_marks *marks, uint64_t low,
                 uint64_t high, uint64_t time_ns);
/* value * unit, in ns or whatever; UINT64_MAX where that is too large. */
uint64_t sk_film_times(uint64_t value, uint64_t unit);
uint64_t sk_film_plus(uint64_t value, uint64_t more);

/* ---- the formats ---- */

/* Whether a file that begins so is of this format, and its first step, which is given the first
 * SK_FILM_PEEK bytes. */
bool sk_matroska_is(struct sk_bytes bytes);
sk_film_step sk_matroska_begin;
bool sk_mp4_is(struct sk_bytes bytes);
sk_film_step sk_mp4_begin;
void sk_mp4_deinit(struct sk_mp4 *mp4);

#endif
