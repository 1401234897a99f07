/* Inside of film.h: MP4 files. Layer: wire. */
#ifndef SK_WIRE_MP4_H
#define SK_WIRE_MP4_H

#include "wire/film_step.h"

/* The type of a box, from its four letters. */
#define SK_MP4_TYPE(text)                                                                          \
    ((uint32_t)(text)[0] << 24 | (uint32_t)(text)[1] << 16 | (uint32_t)(text)[2] << 8 |            \
     (uint32_t)(text)[3])

#define SK_MP4_HEADER_MAX 16

struct sk_mp4_box {
    uint32_t type;
    size_t header;          /* bytes before its inside */
    uint64_t size;          /* all of it; 0: to the end of the file */
    struct sk_bytes inside; /* as much as there is */
};

/* The box that begins here. False where none does. */
bool sk_mp4_read(struct sk_bytes bytes, struct sk_mp4_box *ret_box);
/* The same of several, which it goes past. */
bool sk_mp4_next(struct sk_bytes *bytes, struct sk_mp4_box *ret_box);
/* The inside of the first of this type; n 0: there is none. */
struct sk_bytes sk_mp4_find(struct sk_bytes bytes, uint32_t type);
/* Of a box with a version, which has 4 bytes of it and flags before all else. The number stands at
 * `narrow` (4 bytes) in version 0, at `wide` (8) in version 1; 0 where it is not there. */
uint64_t sk_mp4_number(struct sk_bytes inside, size_t narrow, size_t wide);
#define SK_MP4_TIME_MAX (INT64_C(1) << 60) /* of all that is reckoned with, in any scale */

/* value * to / from, within twice SK_MP4_TIME_MAX of 0. */
int64_t sk_mp4_scale(int64_t value, uint64_t to, uint64_t from);
/* The time of the film that is wanted, in the track's scale. */
int64_t sk_mp4_time(const struct sk_film *film, const struct sk_mp4_track *track);
int sk_mp4_broken(struct sk_film *film);

/* All of the head is there: one with tables of all samples; or the first fragment lies at `at`. */
int sk_mp4_cut(struct sk_film *film);
int sk_mp4_fragments(struct sk_film *film, uint64_t at);
/* Writes the head with tables that are empty, for fragments alone. */
int sk_mp4_empty(struct sk_film *film);
/* An index of fragments; the box lies at `at`. Where none of them is known to be the one that is
 * wanted the walk goes on behind it. */
int sk_mp4_index(struct sk_film *film, struct sk_bytes bytes, uint64_t at);
/* Goes on with the boxes of the file from here on. */
int sk_mp4_walk(struct sk_film *film, uint64_t at);

#endif
