/*
 * The hosts by which a program without any node of its own gets into the Mainline DHT. Layer: cmd.
 */
#ifndef SK_CMD_BOOTSTRAP_H
#define SK_CMD_BOOTSTRAP_H

#include "cmd/options.h"

/*
 * Tells the engine of the hosts given with --bootstrap, or else of the usual ones: those only where
 * the engine can reach them, which it cannot when bound to a loopback address. Complains about a
 * host that cannot be one; an exit code. `ret_count` (may be NULL): how many hosts.
 */
int sk_bootstrap(const struct sk_options *options, struct skep_engine *engine, size_t *ret_count);

#endif
