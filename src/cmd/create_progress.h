/*
 * How far the hashing for a new torrent is: a line that is drawn anew on a terminal, a line now and
 * then elsewhere, or JSON Lines; on stderr. Layer: cmd.
 */
#ifndef SK_CMD_CREATE_PROGRESS_H
#define SK_CMD_CREATE_PROGRESS_H

#include "cmd/frame.h"
#include "cmd/live.h"
#include "cmd/options.h"
#include "driver/hashing.h"

struct sk_create_progress {
    enum sk_progress mode;
    const char *name; /* raw; borrowed */
    uint64_t started_ns;
    double next_s; /* when the next output is due, since then */
    struct sk_frame frame;
};

void sk_create_progress_init(struct sk_create_progress *progress, const struct sk_options *options,
                             const char *name);
/* Writes what is due now. */
void sk_create_progress_draw(struct sk_create_progress *progress,
                             const struct sk_hashing_progress *state);
/* Takes the line off the screen. Returns the seconds since the beginning. */
double sk_create_progress_end(struct sk_create_progress *progress);

#endif
