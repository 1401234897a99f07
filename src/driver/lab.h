/*
 * A lab: a whole swarm of known truth in one process, with its tracker. Layer: driver.
 *
 * Every peer has an address of its own in 127.77.0.0/16. One socket takes connections for all of
 * them; the address that was dialled tells whom they are for. The lab talks to nobody outside of
 * this machine: its sockets are bound to the loopback interface where the system allows that, and
 * a connection whose ends are not both in 127.0.0.0/8 is reset.
 *
 * Peers that trade have a socket and an engine each (driver/lab_leecher.h).
 *
 * One thread, one libuv loop of its own. Memory: the swarm's (swarm/lab_swarm.h) and about 2 KiB a
 * connection, at most SK_LAB_CONNS_MAX.
 */
#ifndef SK_DRIVER_LAB_H
#define SK_DRIVER_LAB_H

#include "driver/tracker_server.h"
#include "swarm/lab_swarm.h"

#define SK_LAB_TRACKERS_MAX 2

struct sk_lab;

/*
 * Makes the swarm and listens. `port` is the peers'; the tracker has the next one. 0: the system
 * chooses both. The scenario must outlive the lab. SKEP_ERR_NETWORK (*ret_reason, static, says what
 * failed; errno why), errors of sk_lab_swarm_init().
 */
int sk_lab_new(const struct sk_lab_scenario *scenario, uint16_t port, struct sk_lab **ret_lab,
               const char **ret_reason);
void sk_lab_free(struct sk_lab *lab);

const struct sk_lab_swarm *sk_lab_swarm(const struct sk_lab *lab);
/* Its trackers' addresses, as the scenario wants them; texts live as long as the lab. */
size_t sk_lab_trackers(const struct sk_lab *lab, const char *ret_urls[SK_LAB_TRACKERS_MAX]);
/* When it began to run, unix time. */
double sk_lab_started_unix_s(const struct sk_lab *lab);

/* Called with each announce that its tracker hears; before it runs. */
void sk_lab_on_announced(struct sk_lab *lab, sk_tracker_server_fn fn, void *ctx);

/*
 * Runs until SIGINT or SIGTERM, or for so many seconds (0: no end). `ready` (may be NULL) is called
 * once all peers are known to the tracker; a non-zero return ends the run. Once a lab.
 */
int sk_lab_run(struct sk_lab *lab, double seconds, int (*ready)(void *ctx), void *ctx);

#endif
