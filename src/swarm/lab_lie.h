/*
 * What a peer of a lab makes of its counters when it reports to a tracker. Layer: swarm; pure.
 *
 * The lies are those that are told in the world: counters multiplied, or growing while nothing is
 * given ("ratio" programs), a download that is not counted, a seed that has nothing, and pairs
 * whose sums agree.
 */
#ifndef SK_SWARM_LAB_LIE_H
#define SK_SWARM_LAB_LIE_H

#include <stdint.h>

enum sk_lab_lie {
    SK_LAB_HONEST,
    SK_LAB_LIE_UPLOAD,   /* uploaded times `factor` */
    SK_LAB_LIE_GHOST,    /* uploaded and `rate_bytes_s` of what was never sent */
    SK_LAB_LIE_DOWNLOAD, /* downloaded times `factor`, below 1 */
    SK_LAB_LIE_SEED,     /* nothing left from the start on, nothing downloaded */
    SK_LAB_LIE_PARTIAL,  /* twice as much left as there is */
    SK_LAB_LIE_COLLUDE,  /* in pairs: the first adds `rate_bytes_s` to what it gave, the second to
                            what it had */
    SK_LAB_LIE_ROTATE,   /* UPLOAD in every second minute */
    SK_LAB_LIE_COUNT,
};
/* "none", "upload", "ghost", ... */
const char *sk_lab_lie_name(enum sk_lab_lie lie);

struct sk_lab_lies {
    enum sk_lab_lie kind;
    double factor;       /* 0 = 3; DOWNLOAD: 0.2 */
    double rate_bytes_s; /* 0 = 50,000 */
};

/* What is reported, bytes. */
struct sk_lab_counters {
    uint64_t uploaded, downloaded, left;
};

/* How far a liar has come. All 0 at first. */
struct sk_lab_liar {
    struct sk_lab_counters true_last;
    double ghost_uploaded, ghost_downloaded; /* that were added */
    double at_s;
};

/*
 * The report of one that lies so, `number` in its group, `at_s` seconds after it joined: never less
 * than before, while the counters do not shrink. `size`: of the torrent.
 */
struct sk_lab_counters sk_lab_lie(struct sk_lab_liar *liar, const struct sk_lab_lies *lies,
                                  uint32_t number, double at_s, uint64_t size,
                                  const struct sk_lab_counters *counters);

#endif
