/*
 * A film that is to start in its middle: what has to be read of its file, and what then makes a
 * stream that plays from there. Layer: wire. Reads nothing itself, knows no clock.
 *
 * A machine that is asked what it wants (sk_film_next()) and given it:
 *
 *   READ (sk_film_input() answers) ... -> COPY, WRITE: the stream in order ... -> END
 *                                  \---> FAILED
 *
 * READs may come between parts of the stream as well: what is behind them is not known before. The
 * file is told by its first bytes. The stream begins with the last key frame at or before the time:
 *
 *   Matroska, WebM  (matroska.c) the head as it is, without what says where things are (SeekHead,
 *                   Cues), in a segment of unknown size; from that key frame on the clusters. Their
 *                   times stay. Where there are no Cues, clusters are looked for by bisection.
 *   MP4, fragments  (mp4_fragment.c) the head, then the fragments as they are, with their times;
 *                   found by sidx, mfra, or bisection. Offsets from the start of the file are
 *                   rewritten; tables of what comes before all fragments are emptied.
 *   MP4, one table  (mp4_cut.c) a head with the tables cut, and all of the data from there. Times
 *                   begin at 0. Tracks other than one of video and all of sound are kept where
 *                   their data lies there too.
 *
 * Hostile files: each number is checked before use, what is read and how often is bounded
 * (SK_FILM_* in base/limits.h), and the same goes for what is kept: the head of an MP4 file twice,
 * a fragment's head once.
 *
 * Sources: RFC 8794 (EBML), RFC 9559 (Matroska), ISO/IEC 14496-12 (MP4).
 */
#ifndef SK_WIRE_FILM_H
#define SK_WIRE_FILM_H

#include "base/bytes.h"

enum sk_film_want {
    SK_FILM_READ,  /* `length` bytes of the file from `offset`, for sk_film_input() */
    SK_FILM_COPY,  /* the same bytes come next in the stream */
    SK_FILM_WRITE, /* `bytes` come next; they live until the next call */
    SK_FILM_END,
    SK_FILM_FAILED, /* sk_film_error() */
};

struct sk_film_out {
    uint64_t offset, length; /* length > 0, all of it in the file */
    bool rest;               /* COPY: nothing before `offset` is wanted after it */
    struct sk_bytes bytes;
};

struct sk_film;

/* The film in a file of `size` bytes, to start at `from_ns`. SKEP_ERR_NOMEM. */
int sk_film_new(uint64_t size, uint64_t from_ns, struct sk_film **ret_film);
/* What is to be done next. READ is said until it is answered, all else once. */
enum sk_film_want sk_film_next(struct sk_film *film, struct sk_film_out *ret_out);
/* What READ asked for, all of it. */
void sk_film_input(struct sk_film *film, struct sk_bytes bytes);
/*
 * Of FAILED. SKEP_ERR_UNSUPPORTED: no film that can be cut; SKEP_ERR_INVALID: the film ends before
 * that time; SKEP_ERR_MALFORMED, SKEP_ERR_LIMIT: the file is broken, or odd beyond measure;
 * SKEP_ERR_NOMEM. *ret_reason: what, as a text that stands after the name of the file.
 */
int sk_film_error(const struct sk_film *film, const char **ret_reason);
/* NULL is fine. */
void sk_film_free(struct sk_film *film);

#endif
