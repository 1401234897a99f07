/*
 * At what rate a peer gains pieces, as far as it tells. Layer: audit; pure, reads the timeline.
 *
 * A peer that tells of each piece as it gets it (BEP 3: HAVE) shows its download rate to whoever
 * watches: bytes of the pieces gained over the time watched, up to the last piece where it then had
 * all. Whether it tells to all or only to those that lack the piece makes no difference to us, who
 * lack every piece. A silence of a peer proves nothing: it is never called a rate of 0.
 *
 * Recognised as unobservable, in this order:
 *   seeds, and who told nothing;
 *   who lost pieces that it had (what is gained twice looks like a gain);
 *   super-seeders (BEP 16): all that they told is what we had just taken, and one or two pieces,
 * others in each connection;
 *   who suppresses HAVEs: a bitfield at a reconnection shows more pieces than could have been
 * gained while we were away, if those of the time before are all that were gained then (binomial
 * test at SK_DOWNLOAD_CHANCE; where we went because it was silent, by what it told afterwards: it
 * may have stood still until then), or it says that it is done and lacks pieces here and there (a
 * download of some files lacks them in a few runs); who told of no gain in SK_DOWNLOAD_SILENT_S: it
 * stands still or is silent, which cannot be told; who was watched for too short a time. One that
 * drops some of its HAVEs, never comes back and never ends is not recognised: its rate is then too
 * low by what it dropped.
 */
#ifndef SK_AUDIT_DOWNLOAD_H
#define SK_AUDIT_DOWNLOAD_H

#include "audit/timeline.h"

#define SK_DOWNLOAD_CHANCE 1e-4                /* of what is taken for impossible */
#define SK_DOWNLOAD_GATHERED_S 10.0            /* for so long clients gather HAVEs */
#define SK_DOWNLOAD_UNEVEN 3.0                 /* times as fast a peer may be while we are away */
#define SK_DOWNLOAD_SILENT_S 60.0              /* and no gain */
#define SK_DOWNLOAD_WATCH_MS 20000             /* least time for a rate, */
#define SK_DOWNLOAD_GAINS_MIN 4                /* and least pieces */
#define SK_DOWNLOAD_UNDER_WAY 16               /* pieces that a peer takes at a time */
#define SK_DOWNLOAD_UNDER_WAY_LEAST (1u << 20) /* bytes of them, however small */
#define SK_DOWNLOAD_LAZY_MAX 64                /* HAVEs that belong to a bitfield */
#define SK_DOWNLOAD_SHOWN_MAX 2                /* pieces that a super-seeder shows at a time */
#define SK_DOWNLOAD_FOLLOWS_MS 3000            /* it shows the next one so soon after we took one */

struct sk_download {
    struct sk_rate rate; /* bytes a second; NAN unobservable, see how */
    /* "haves", "haves and bitfields"; else the reason: "seed", "told no pieces", "lost pieces",
     * "super-seeds", "suppresses haves", "told of no gain", "watched too short". Static. */
    const char *how;
    bool observable;
    bool hides; /* it super-seeds, or suppresses HAVEs: what it held is not known either */
    uint32_t from_ms, until_ms; /* the time that the rate is of */
    uint64_t bytes;             /* gained in it, as told */
};

/* peer < timeline->peers_count. */
void sk_download_estimate(const struct sk_timeline *timeline, uint32_t peer,
                          struct sk_download *ret_download);

#endif
