/*
 * Nodes of the DHT that were met before: told to a node of ours at its start, and written down
 * again while it runs and at its end. Layer: cmd. What fails here is a warning, never more.
 */
#ifndef SK_CMD_DHT_NODES_H
#define SK_CMD_DHT_NODES_H

#include "cmd/options.h"
#include "store/dht_state.h"

struct sk_dht_nodes {
    struct sk_saved_nodes saved; /* as they were read */
    char directory[SK_PATH_MAX]; /* "" none */
    bool failed;                 /* writing did, and it was said */
};

/* Reads what the state directory has. */
void sk_dht_nodes_load(struct sk_dht_nodes *nodes, const struct sk_options *options);
/* Tells the engine of them and of the bootstrap hosts, unless the options forbid the DHT.
 * Complains; an exit code. */
int sk_dht_nodes_join(const struct sk_dht_nodes *nodes, const struct sk_options *options,
                      struct skep_engine *engine);
void sk_dht_nodes_tell(const struct sk_dht_nodes *nodes, struct skep_engine *engine);
/* Good nodes of now, then those of before, as far as there is room: a short run does not make the
 * file poorer. `own_ids`: the node's ids are kept too. */
void sk_dht_nodes_save(struct sk_dht_nodes *nodes, const struct skep_engine *engine, bool own_ids);

#endif
