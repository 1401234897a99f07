/*
 * Peers of a lab that trade: engines with a downloader each, as skep get has one, as guests in the
 * lab's loop. Layer: driver.
 *
 *   waits -> JOINED (the torrent runs) -> GOING (good-bye to the tracker) -> GONE (nothing listens)
 *
 * Each listens at its own address of 127.77.0.0/16, on a port of its own, finds the others through
 * the lab's tracker and by PEX, and keeps to its own limits. Nothing is stored: a piece that came
 * is hashed and let go, and what others ask for is computed from the content's seed.
 *
 * What it had and gave is counted block by block, from the engine's events, in the swarm's ledgers.
 *
 * Memory: a runtime each, about 400 KiB, and what its downloader has under way.
 */
#ifndef SK_DRIVER_LAB_LEECHER_H
#define SK_DRIVER_LAB_LEECHER_H

#include "swarm/lab_swarm.h"

#include <uv.h>

struct sk_lab_leechers;

/* Those of a swarm that trade: they listen from now on, and their endpoints have the port.
 * SKEP_ERR_NETWORK (*ret_reason, valid until the next call), SKEP_ERR_NOMEM. Also then
 * *ret_leechers is to be ended. */
int sk_lab_leechers_new(struct sk_lab_swarm *swarm, uv_loop_t *loop,
                        struct sk_lab_leechers **ret_leechers, const char **ret_reason);
/* The lab's time begins: they join when it is theirs, with this .torrent file. Errors of
 * skep_engine_add_file(). */
int sk_lab_leechers_start(struct sk_lab_leechers *leechers, struct sk_bytes torrent);
/* Ends all. The loop has to run once more, and then the memory may go. NULL is fine. */
void sk_lab_leechers_end(struct sk_lab_leechers *leechers);
void sk_lab_leechers_free(struct sk_lab_leechers *leechers);

#endif
