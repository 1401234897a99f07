#include "cmd/dht_nodes.h"

#include <skep/dht.h>

#include "base/assert.h"
#include "cmd/bootstrap.h"
#include "cmd/cmd.h"

#include <errno.h>
#include <string.h>
#include <time.h>

void sk_dht_nodes_load(struct sk_dht_nodes *nodes, const struct sk_options *options)
{
    *nodes = (struct sk_dht_nodes){0};
    if (!sk_options_state_path(options, nodes->directory)) {
        nodes->directory[0] = 0;
        return;
    }
    int err = sk_dht_state_read(nodes->directory, &nodes->saved);
    if (err && err != SKEP_ERR_NOT_FOUND)
        sk_complain("%.300s/%s: %s (no saved nodes are used)", nodes->directory, SK_DHT_STATE_FILE,
                    err == SKEP_ERR_IO ? strerror(errno) : skep_err_text(err));
}

void sk_dht_nodes_tell(const struct sk_dht_nodes *nodes, struct skep_engine *engine)
{
    char address[SK_ENDPOINT_TEXT_MAX];
    for (size_t i = 0; i < nodes->saved.count; i++)
        skep_dht_add_node(engine, sk_endpoint_text(&nodes->saved.nodes[i].endpoint, address));
}

int sk_dht_nodes_join(const struct sk_dht_nodes *nodes, const struct sk_options *options,
                      struct skep_engine *engine)
{
    if (options->net.no_dht)
        return SK_EXIT_DONE;
    sk_dht_nodes_tell(nodes, engine);
    return sk_bootstrap(options, engine, NULL);
}

static void gather(const struct skep_engine *engine, struct sk_saved_nodes *now)
{
    struct skep_dht_node node;
    size_t pos = 0;
    while (skep_dht_next_node(engine, &pos, &node)) {
        struct sk_saved_node met;
        memcpy(met.id, node.id, sizeof met.id);
        if (node.good && !sk_endpoint_parse(node.address, 0, &met.endpoint) &&
            !sk_endpoint_is_alias(&met.endpoint))
            sk_dht_state_add(now, &met);
    }
}

void sk_dht_nodes_save(struct sk_dht_nodes *nodes, const struct skep_engine *engine, bool own_ids)
{
    struct sk_saved_nodes now = {.saved_unix_s = (int64_t)time(NULL)};
    struct skep_dht_stats stats;
    if (!nodes->directory[0] || skep_dht_stats(engine, &stats))
        return;
    gather(engine, &now);
    if (!now.count)
        return;
    for (size_t i = 0; i < nodes->saved.count; i++)
        sk_dht_state_add(&now, &nodes->saved.nodes[i]);
    const struct skep_dht_network *const networks[] = {&stats.v4, &stats.v6};
    for (size_t i = 0; i < SK_ARRAY_LEN(networks); i++) {
        bool own = own_ids && networks[i]->there && networks[i]->good;
        now.has_id[i] = own || nodes->saved.has_id[i];
        memcpy(now.id[i], own ? networks[i]->id : nodes->saved.id[i], sizeof now.id[i]);
    }
    if (sk_dht_state_write(nodes->directory, &now) && !nodes->failed) {
        sk_complain("%.300s/%s: %s (nodes are not remembered)", nodes->directory, SK_DHT_STATE_FILE,
                    strerror(errno));
        nodes->failed = true;
    }
}
