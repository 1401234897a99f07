/*
 * A simulated swarm of known truth: clients that trade pieces by tit for tat over limited links,
 * seen by an auditor, reporting to a tracker; some of them lie. Layer: sim.
 *
 * In virtual time and block by block: rarest first, the choker of swarm/choker.h (and, for a share
 * of the clients, others' rules), unchoke rounds that are not aligned, requests in pipelines, so
 * that a piece may have several givers. From one seed the same run every time.
 *
 * What limits a client: its up-link, which sends block by block in turn to those that may have one
 * (a shorter round trip has more turns); its down-link, which lets blocks come as it can take them;
 * its slots. Up limits are drawn from classes of 0.5 to 20 Mbit/s, seeds have 20. A round trip is
 * drawn for each client; choking, HAVEs and first requests take their share of it, blocks do not:
 * requests wait in pipelines. Not modelled: loss, slow start, disks, capacity that changes.
 *
 * The auditor hears of each client from the tracker and is a leecher that has nothing: it takes up
 * to 1 MiB of each client where it is unchoked, and gives nothing but tracers.
 *
 * What the auditor would observe comes as the observations of audit/observation.h, with the delay
 * of its connection, at_ns counted from the start; what the tracker would record, as announces, at
 * 1.7e9 s and the tracker's skew. Everything else is the truth.
 *
 * Memory: of a client 1,200 bytes, five a piece and 350 a connection and direction, its choker;
 * 24 bytes an unchoking. All of it stays until the end. At most 65,536 clients ever join.
 */
#ifndef SK_SIM_SWARM_H
#define SK_SIM_SWARM_H

#include "audit/announce.h"
#include "audit/observation.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SK_SWARM_UNIX_S 1.7e9 /* the start, by the auditor's clock */

/* What a client does not do as others do, to the auditor's eyes. */
enum sk_swarm_habit {
    SK_SWARM_PLAIN,
    SK_SWARM_SUPPRESSES_HAVES, /* tells no HAVE at all after its bitfield */
    SK_SWARM_SUPPRESSES_SOME, /* tells a piece only to those that lack it: the auditor lacks all, so
                                 nothing is missing; drops a share of HAVEs (config) */
    SK_SWARM_LAZY_BITFIELD,   /* an incomplete bitfield, the rest as HAVEs at once */
    SK_SWARM_SUPER_SEEDS,     /* a seed that shows pieces one by one */
    SK_SWARM_BITFIELDS,       /* aria2: now and then a bitfield in place of many HAVEs */
    SK_SWARM_HABIT_COUNT,
};

/* How a client lies to the tracker. Counters only grow, within a session; lies begin anew with it.
 */
enum sk_swarm_cheat {
    SK_SWARM_HONEST,
    SK_SWARM_UPLOAD_FACTOR, /* uploaded times `factor` */
    SK_SWARM_GHOST_UPLOAD,  /* uploaded plus `ghost_bytes_s` all the time */
    SK_SWARM_LESS_DOWNLOAD, /* downloaded times `factor` (< 1), or 0 */
    SK_SWARM_FAKE_SEED,    /* says left = 0 and downloaded = 0 from the start; has at most one piece
                              in 50, takes nothing; uploaded plus `ghost_bytes_s` */
    SK_SWARM_PARTIAL_SEED, /* hides `factor` of what it has, in left and in downloaded, to look like
                              a leecher; is never `completed` */
    SK_SWARM_COLLUDES,     /* pairs: one adds to uploaded what the other adds to downloaded while
                              both are there: `ghost_bytes_s`, or where that is 0 (`factor` - 1)
                              times what the first really gave */
    SK_SWARM_ROTATES,      /* now lies, now not: `factor` in every second announce period */
    SK_SWARM_CHEAT_COUNT,
};
const char *sk_swarm_cheat_name(enum sk_swarm_cheat cheat);

struct sk_swarm_cheats {
    enum sk_swarm_cheat kind;
    uint32_t count; /* clients; an even number of colluders */
    double factor, ghost_bytes_s;
};

struct sk_swarm_config {
    uint64_t seed;
    uint32_t peers, seeds; /* seeds among the peers */
    uint32_t pieces, piece_size, block_size;
    double seconds;
    uint32_t degree;         /* connections a client makes */
    double begun_share;      /* of the leechers, those that begin with some of the pieces */
    bool links_told;         /* clients tell the auditor by PEX whom they are connected to */
    double watched_share;    /* of the clients, those that the auditor is connected to */
    double capacity_error;   /* relative sd of the capacity that the auditor measured */
    double capacity_unknown; /* share of the clients whose capacity it could not measure */
    double rtt_s;            /* mean of a connection's round trip */
    double join_per_s;       /* new leechers; 0 = all are there from the start */
    double leave_done;       /* share of those that are done that leave within a minute */
    double restart_per_hour; /* of each client: its counters begin anew, its pieces stay */
    double hash_fail;        /* share of pieces that come wrong and are fetched again */
    uint32_t hash_fail_run;  /* mean of how many come wrong in a row, until the poisoner is banned;
                                0 = each for itself */
    double waste;            /* share of blocks fetched twice (end game, cancels): the median */
    double waste_spread;     /* sd of its logarithm over clients; at most a block in 29 */
    double other_clients;    /* share with others' choking and picking rules */
    double announce_interval_s;
    double announce_loss; /* share of announces that never reach the tracker; */
    double announce_late; /* and of those whose first datagram gets lost: the next one, 15 s later,
                             has the same counters */
    bool audit_announces; /* the auditor does, as a leecher */
    double clock_skew_s;  /* sd of the tracker's clock against the auditor's */
    double demand;        /* what the leechers' down limits add up to, over what the uploaders
                             could give: 0 = down limits of 4 to 10 times the up limit (the swarm
                             is saturated); 0.2 = an idle one */
    double habits[SK_SWARM_HABIT_COUNT]; /* shares of the leechers; SUPER_SEEDS of the seeds,
                                            LAZY_BITFIELD of both */
    double have_drop;                    /* of SUPPRESSES_SOME */
    const struct sk_swarm_cheats *cheats;
    size_t cheats_count;
};

struct sk_swarm;

/* The truth about one client. */
struct sk_swarm_client {
    struct sk_endpoint endpoint;
    uint8_t peer_id[20];
    double up_bytes_s, down_bytes_s; /* limits */
    bool seed, watched;
    enum sk_swarm_habit habit;
    enum sk_swarm_cheat cheat;
    uint32_t partner;              /* of a colluder, else its own number */
    double joined_s, left_s;       /* left_s = INFINITY: stayed */
    uint64_t uploaded, downloaded; /* payload, up to now; since it joined, whatever restarts */
    uint64_t wasted; /* of downloaded: blocks that came twice, pieces that were wrong */
    uint64_t probed; /* of uploaded: to the auditor */
    uint32_t held;   /* pieces */
    uint32_t begun;  /* pieces that it held when it joined */
};

/* Both functions may be NULL; when `announce` fails the run ends with its error. SKEP_ERR_NOMEM;
 * SKEP_ERR_INVALID: what is asked for does not fit. */
int sk_swarm_new(const struct sk_swarm_config *config, sk_observe_fn observe, void *observe_ctx,
                 sk_announce_fn announce, void *announce_ctx, struct sk_swarm **ret_swarm);
void sk_swarm_free(struct sk_swarm *swarm);
/* On to this time (seconds since the start), at most config.seconds. SKEP_ERR_NOMEM: it can only be
 * freed then. */
int sk_swarm_run(struct sk_swarm *swarm, double until_s);
size_t sk_swarm_clients(const struct sk_swarm *swarm);
const struct sk_swarm_client *sk_swarm_client(const struct sk_swarm *swarm, size_t i);
/* Bytes that `from` gave `to` so far. */
uint64_t sk_swarm_flow(const struct sk_swarm *swarm, uint32_t from, uint32_t to);
/* Of them, of pieces that were tracers by then. */
uint64_t sk_swarm_traced(const struct sk_swarm *swarm, uint32_t from, uint32_t to);
/* Whether `from` had `to` unchoked at any time within [a_s, b_s]: what an oracle would know. */
bool sk_swarm_unchoked(const struct sk_swarm *swarm, uint32_t from, uint32_t to, double a_s,
                       double b_s);
/* The auditor gives `client` a piece now (a tracer), what it lacks of it: it appears in no flow,
 * but counts as downloaded. False where it has the piece, takes none or is not connected to us. */
bool sk_swarm_give(struct sk_swarm *swarm, uint32_t client, uint32_t piece);
/* Up-link capacity as the auditor measured it, bytes/s: the limit times a log-normal error; NAN
 * where it could not. */
double sk_swarm_measured(const struct sk_swarm *swarm, size_t client);
/* Distinct givers of the pieces gained so far, on average; NAN before the first. */
double sk_swarm_givers(const struct sk_swarm *swarm);
/* Bytes that a client has of pieces that are not whole. */
uint64_t sk_swarm_under_way(const struct sk_swarm *swarm, size_t client);
/* How many clients that are there hold the piece. */
uint32_t sk_swarm_availability(const struct sk_swarm *swarm, uint32_t piece);

#endif
