/* A torrent that is given, and leeches that ask for more than blocks. */
#ifndef SHARE_WORLD_H
#define SHARE_WORLD_H

#include "engine_world.h"

static inline void share_open(struct world *world, uint32_t pieces, uint32_t piece_size, bool v1,
                              bool v2, const struct skep_config *config)
{
    static const struct skep_config giving = {.no_lsd = true, .save_dir = "/there", .give = true};
    world_init(world, config ? config : &giving);
    world_content(world, pieces, piece_size, v1, v2);
}

static inline void share_store_all(struct world *world)
{
    for (uint32_t i = 0; i < world->content.pieces; i++)
        assert_int_equal(skep_torrent_has_stored(world->torrent, i), 0);
}

static inline struct sk_peer *share_session(const struct world *world, const struct remote *remote)
{
    for (struct link *link = world->links; link; link = link->next)
        if (link->remote == remote && !link->gone)
            return link->session;
    fail_msg("not connected");
    return NULL;
}

static inline struct skep_peer *share_peer(const struct world *world, const struct remote *remote)
{
    for (struct link *link = world->links; link; link = link->next)
        if (link->remote == remote && !link->gone)
            return (struct skep_peer *)link->conn;
    fail_msg("not connected");
    return NULL;
}

/* A leech that has nothing and says what it hears to `hear`. */
static inline struct remote *share_leech(struct world *world, const char *address,
                                         void (*hear)(struct link *, const struct sk_peer_event *))
{
    struct remote *remote = world_peer(world, address);
    world_hold(remote, 0, 0);
    remote->metadata_size = -1;
    remote->on_event = hear;
    return remote;
}

#endif
