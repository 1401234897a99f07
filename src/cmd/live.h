/*
 * What an audit looks like while it runs: a table that is redrawn in place, a line now and then, or
 * JSON Lines. Layer: cmd. Pure: it renders into a buffer, which the caller writes to stderr in one
 * go.
 *
 * On a terminal a frame is at most a screen high and no line wraps, so that it never scrolls; the
 * cursor rests below it. Whoever wants to print something else calls sk_live_clear() first.
 */
#ifndef SK_CMD_LIVE_H
#define SK_CMD_LIVE_H

#include "base/endpoint.h"
#include "base/limits.h"
#include "cmd/frame.h"
#include "cmd/options.h"
#include "swarm/source.h"

#define SK_LIVE_TTY_S 0.1
#define SK_LIVE_PLAIN_S 5.0
#define SK_LIVE_JSON_S 1.0
#define SK_LIVE_PEERS_MAX 12 /* peers in a frame */
#define SK_LIVE_LINES_MAX 24

/* A peer that is being measured just now. */
struct sk_live_peer {
    char address[SK_ENDPOINT_TEXT_MAX]; /* or pseudonym */
    char client[SK_CLIENT_NAME_MAX];    /* escaped */
    double share;                       /* NAN unknown */
    double rate_bytes_s;                /* NAN unknown: choked as yet */
    double done;                        /* 0..1 of its probe's budget */
};

struct sk_live_state {
    double elapsed_s;
    double limit_s;   /* --time; NAN none */
    const char *name; /* raw; NULL while unknown */
    uint32_t known, connected, measured, failed, untried;
    uint32_t seeds, leechers;
    uint32_t sources[SK_SOURCE_COUNT]; /* addresses heard from each, by bit of enum sk_source */
    uint64_t delivered_bytes;
    double rate_bytes_s; /* of all together */
    /* Of the stop rule: how many addresses in a row were known when they were told, and how many it
     * wants. */
    uint32_t draws_old, draws_wanted;
    const struct sk_live_peer *peers; /* the most interesting first */
    size_t peers_count;
};

struct sk_live {
    enum sk_progress mode;
    struct sk_screen screen;
    double next_s; /* when the next output is due, as elapsed_s */
    struct sk_frame frame;
};

void sk_live_init(struct sk_live *live, enum sk_progress mode, const struct sk_screen *screen);
/*
 * Appends what is to be written now, nothing where nothing is due. `screen` (NULL: as before) is
 * what the terminal is like now. SKEP_ERR_NOMEM.
 */
int sk_live_render(struct sk_live *live, const struct sk_live_state *state,
                   const struct sk_screen *screen, struct sk_buf *out);
/* Takes the frame off the screen, as if it had never been there; the next frame is due at once. */
void sk_live_clear(struct sk_live *live, struct sk_buf *out);

#endif
