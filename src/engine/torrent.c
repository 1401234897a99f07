#include "engine/internal.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct skep_torrent *sk_torrent_find(struct skep_engine *engine, const uint8_t info_hash[20])
{
    for (uint32_t i = 0; i < engine->torrents_count; i++) {
        struct skep_torrent *torrent = engine->torrents[i];
        if (memcmp(torrent->info_hash, info_hash, 20) == 0 ||
            (torrent->has_v2 && memcmp(torrent->hash_v2, info_hash, 20) == 0))
            return torrent;
    }
    return NULL;
}

void sk_torrent_free(struct skep_torrent *torrent)
{
    if (!torrent)
        return;
    for (size_t i = 0; i < torrent->trackers_count; i++)
        sk_discovery_free_tracker(torrent->trackers[i]);
    sk_mem_free(torrent->trackers);
    for (size_t i = 0; i < torrent->web_seeds_count; i++)
        sk_mem_free(torrent->web_seeds[i]);
    sk_mem_free(torrent->web_seeds);
    struct sk_heap *timers = &torrent->engine->timers;
    sk_heap_remove(timers, &torrent->dial_timer.base);
    sk_heap_remove(timers, &torrent->lsd_timer.base);
    sk_dht_torrent_stop(torrent);
    sk_metadata_deinit(torrent);
    sk_layers_deinit(torrent);
    sk_leaves_deinit(torrent);
    sk_choking_deinit(torrent);
    sk_superseed_free(torrent->superseed);
    sk_hashes_give_deinit(torrent);
    sk_pex_give_deinit(torrent);
    sk_have_give_deinit(torrent);
    sk_bitfield_deinit(&torrent->stored);
    sk_peer_book_deinit(&torrent->book);
    sk_map_deinit(&torrent->by_peer_id);
    sk_map_deinit(&torrent->left_by_peer_id);
    sk_metainfo_free(torrent->metainfo);
    sk_mem_free(torrent->name);
    sk_mem_free(torrent);
}

static int new_torrent(struct skep_engine *engine, const uint8_t info_hash[20],
                       struct skep_torrent **ret_torrent)
{
    if (engine->torrents_count == SK_ENGINE_TORRENTS_MAX)
        return SKEP_ERR_LIMIT;
    if (sk_torrent_find(engine, info_hash))
        return SKEP_ERR_INVALID;
    struct skep_torrent *torrent = sk_mem_calloc(1, sizeof *torrent);
    if (!torrent)
        return SKEP_ERR_NOMEM;
    torrent->engine = engine;
    torrent->upload_only = -1;
    torrent->number = engine->torrents_count;
    memcpy(torrent->info_hash, info_hash, 20);
    sk_peer_book_init(&torrent->book, sk_prng_u64(&engine->prng));
    torrent->book.persistence = engine->config.lasting ? SK_PERSIST_LONG : SK_PERSIST_BRIEF;
    sk_map_init(&torrent->by_peer_id, 20, SK_ENGINE_CONNECTIONS_MAX * 2,
                sk_prng_u64(&engine->prng));
    sk_map_init(&torrent->left_by_peer_id, 20, SK_BOOK_ADDRESSES_MAX, sk_prng_u64(&engine->prng));
    *ret_torrent = torrent;
    return 0;
}

static void add_skey(struct skep_engine *engine, const uint8_t *info_hash)
{
    struct sk_peer_skey *skey = &engine->skeys[engine->skeys_count++];
    memcpy(skey->info_hash, info_hash, 20);
    sk_mse_hash_req2(info_hash, skey->req2);
}

static void admit(struct skep_engine *engine, struct skep_torrent *torrent)
{
    add_skey(engine, torrent->info_hash);
    if (torrent->has_v1 && torrent->has_v2)
        add_skey(engine, torrent->hash_v2);
    engine->torrents[engine->torrents_count++] = torrent;
}

static void take_hashes(struct skep_torrent *torrent, const struct sk_metainfo *meta)
{
    torrent->has_v1 = meta->has_v1;
    torrent->has_v2 = meta->has_v2;
    memcpy(torrent->hash_v2, meta->hash_v2, sizeof torrent->hash_v2);
}

int skep_engine_add_file(struct skep_engine *engine, const void *bytes, size_t n,
                         struct skep_torrent **ret_torrent, const char **ret_reason)
{
    struct sk_metainfo *meta;
    int err = sk_metainfo_parse(sk_bytes(bytes, n), &meta, ret_reason);
    if (err)
        return err;
    struct skep_torrent *torrent;
    err = new_torrent(engine, meta->info_hash, &torrent);
    if (!err) {
        torrent->metainfo = meta;
        err = sk_bitfield_init(&torrent->stored, meta->pieces);
        if (err)
            sk_torrent_free(torrent);
    } else {
        sk_metainfo_free(meta);
    }
    if (err)
        return err;
    take_hashes(torrent, meta);
    for (uint32_t i = 0; i < meta->trackers_count && !engine->config.no_trackers; i++)
        (void)sk_discovery_add_tracker(torrent, meta->trackers[i], false);
    admit(engine, torrent);
    *ret_torrent = torrent;
    return 0;
}

/* A link is mostly a stranger's: it cannot point us at low ports. */
static void add_magnet_peer(struct skep_torrent *torrent, const char *address)
{
    const char *colon = strrchr(address, ':');
    if (colon && strtoul(colon + 1, NULL, 10) >= SK_BOOK_PORT_MIN)
        (void)skep_torrent_add_peer(torrent, address);
}

int skep_engine_add_link(struct skep_engine *engine, const char *link,
                         struct skep_torrent **ret_torrent, const char **ret_reason)
{
    struct sk_magnet *magnet;
    bool is_magnet = strncmp(link, "magnet:", 7) == 0;
    int err =
        is_magnet ? sk_magnet_parse(link, &magnet, ret_reason) : sk_magnet_from_hash(link, &magnet);
    if (err)
        return err;
    struct skep_torrent *torrent;
    err = new_torrent(engine, magnet->info_hash, &torrent);
    if (err) {
        sk_magnet_free(magnet);
        return err;
    }
    torrent->has_v1 = magnet->has_v1;
    torrent->has_v2 = magnet->has_v2;
    memcpy(torrent->hash_v2, magnet->hash_v2, sizeof torrent->hash_v2);
    if (magnet->name)
        torrent->name = sk_mem_strdup(magnet->name);
    for (size_t i = 0; i < magnet->trackers_count && !engine->config.no_trackers; i++)
        (void)sk_discovery_add_tracker(torrent, magnet->trackers[i], false);
    torrent->web_seeds = magnet->web_seeds;
    torrent->web_seeds_count = magnet->web_seeds_count;
    magnet->web_seeds = NULL;
    magnet->web_seeds_count = 0;
    admit(engine, torrent);
    for (size_t i = 0; i < magnet->peers_count; i++)
        add_magnet_peer(torrent, magnet->peers[i]);
    sk_magnet_free(magnet);
    *ret_torrent = torrent;
    return 0;
}

void sk_torrent_set_metainfo(struct skep_torrent *torrent, struct sk_metainfo *metainfo)
{
    if (sk_bitfield_init(&torrent->stored, metainfo->pieces)) {
        sk_metainfo_free(metainfo);
        return;
    }
    bool was_hybrid = torrent->has_v1 && torrent->has_v2;
    torrent->metainfo = metainfo;
    take_hashes(torrent, metainfo);
    sk_dht_torrent_metadata(torrent);
    if (torrent->has_v1 && torrent->has_v2 && !was_hybrid)
        add_skey(torrent->engine, torrent->hash_v2);
    sk_engine_emit(torrent->engine,
                   &(struct skep_event){.kind = SKEP_EVENT_METADATA, .torrent = torrent});
    sk_conn_apply_metadata(torrent);
    sk_metadata_give_tell_all(torrent);
    sk_layers_start(torrent);
}

int skep_torrent_add_peer(struct skep_torrent *torrent, const char *address)
{
    struct sk_endpoint endpoint;
    if (!sk_endpoint_parse(address, 0, &endpoint)) {
        if (!endpoint.port)
            return SKEP_ERR_INVALID;
        sk_discovery_hear(torrent, &endpoint, SK_SOURCE_GIVEN, SK_SCOPE_LOOPBACK, NULL, 0);
        if (torrent->state ==
            SK_TORRENT_RUNNING) /* dialled at the next tick: we may be in a hook */
            sk_engine_set_timer(torrent->engine, &torrent->dial_timer, SK_TIMER_DIAL,
                                torrent->engine->now_ns);
        return 0;
    }
    char name[256];
    struct sk_ask ask = {.kind = SK_ASK_PEER_NAME, .torrent = torrent};
    if (!sk_engine_split_name(address, name, sizeof name, &ask.port))
        return SKEP_ERR_INVALID;
    if (sk_engine_ask_name(torrent->engine, &ask, name))
        return SKEP_ERR_NOMEM;
    torrent->names_waiting++;
    return 0;
}

int skep_torrent_add_tracker(struct skep_torrent *torrent, const char *url)
{
    return sk_discovery_add_tracker(torrent, url, true);
}

int skep_torrent_start(struct skep_torrent *torrent, uint64_t now_ns)
{
    torrent->engine->now_ns = now_ns;
    if (torrent->state != SK_TORRENT_NEW)
        return SKEP_ERR_STATE;
    torrent->state = SK_TORRENT_RUNNING;
    if (torrent->metainfo) {
        sk_engine_emit(torrent->engine,
                       &(struct skep_event){.kind = SKEP_EVENT_METADATA, .torrent = torrent});
        sk_layers_start(torrent);
    }
    sk_discovery_start(torrent);
    sk_dht_torrent_start(torrent);
    sk_dial_pump(torrent->engine);
    return 0;
}

void skep_torrent_stop(struct skep_torrent *torrent, uint64_t now_ns)
{
    struct skep_engine *engine = torrent->engine;
    engine->now_ns = now_ns;
    if (torrent->state != SK_TORRENT_RUNNING)
        return;
    torrent->state = SK_TORRENT_STOPPED;
    sk_heap_remove(&engine->timers, &torrent->dial_timer.base);
    for (struct skep_peer *peer = engine->peers; peer; peer = peer->next)
        if (peer->torrent == torrent)
            sk_conn_close(peer, "local", false);
    sk_web_stop(torrent);
    sk_discovery_stop(torrent);
    sk_dht_torrent_stop(torrent);
}

void skep_torrent_completed(struct skep_torrent *torrent)
{
    if (torrent->metainfo && sk_bitfield_full(&torrent->stored))
        sk_discovery_completed(torrent);
}

void skep_torrent_set_upload_only(struct skep_torrent *torrent, bool upload_only)
{
    int before = torrent->upload_only, now = upload_only ? 1 : SK_MIN(before, 0);
    torrent->upload_only = now;
    if (now == before)
        return;
    sk_choking_set_seeding(torrent);
    if (torrent->metainfo && !sk_bitfield_full(&torrent->stored))
        sk_metadata_give_tell_all(torrent);
}

bool skep_torrent_stopped(const struct skep_torrent *torrent)
{
    return torrent->state != SK_TORRENT_RUNNING && sk_discovery_stopped(torrent);
}

const struct sk_metainfo *sk_engine_metainfo(const struct skep_torrent *torrent)
{
    return torrent->metainfo;
}

bool sk_engine_file(const struct skep_engine *engine, uint32_t torrent, uint32_t i,
                    const char **ret_path, uint64_t *ret_offset, uint64_t *ret_length)
{
    SK_ASSERT(torrent < engine->torrents_count);
    struct skep_torrent *of = engine->torrents[torrent];
    const struct sk_metainfo *meta = of->metainfo;
    if (!meta || i >= meta->files_count)
        return false;
    const struct sk_file *file = &meta->files[i];
    bool absent = file->flags & (SK_FILE_PADDING | SK_FILE_SYMLINK);
    if (!absent && !meta->single_file)
        snprintf(of->path, sizeof of->path, "%s/%s", meta->name, file->path);
    *ret_path = absent ? NULL : meta->single_file ? file->path : of->path;
    *ret_offset = file->offset;
    *ret_length = file->length;
    return true;
}
