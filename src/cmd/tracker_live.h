/*
 * What a tracker sees, while it runs: a line that is drawn anew on a terminal, a line now and then
 * elsewhere, or JSON Lines; on stderr. Layer: cmd.
 */
#ifndef SK_CMD_TRACKER_LIVE_H
#define SK_CMD_TRACKER_LIVE_H

#include "cmd/frame.h"
#include "cmd/live.h"
#include "cmd/options.h"

struct sk_tracker_state {
    double elapsed_s;
    size_t torrents, seeds, leechers;
    uint64_t announces;   /* that were answered, since the beginning */
    uint64_t passed_over; /* of them, that were not recorded: store/announce_quota.h */
    bool recording;       /* they are kept in a file */
};

struct sk_tracker_live {
    enum sk_progress mode;
    double next_s;      /* when the next output is due, as elapsed_s */
    double rate;        /* announces a second, over the last while */
    double counted_s;   /* when they were counted for that, as elapsed_s */
    uint64_t announces; /* and how many there were */
    struct sk_frame frame;
};

void sk_tracker_live_init(struct sk_tracker_live *live, const struct sk_options *options);
/* Writes what is due now. */
void sk_tracker_live_draw(struct sk_tracker_live *live, const struct sk_tracker_state *state);
/* Takes the line off the screen; the next one is due at once. */
void sk_tracker_live_clear(struct sk_tracker_live *live);

#endif
