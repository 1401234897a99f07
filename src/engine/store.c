/* Pieces on their way to the disk. */
#include "engine/internal.h"

#include "base/mem.h"

static void end_job(struct skep_engine *engine, uint64_t id)
{
    struct sk_store_job *job = sk_map_remove(&engine->jobs, &id);
    engine->store_bytes -= job->n;
    sk_mem_free(job->copy);
    sk_mem_free(job);
}

static int start_job(struct skep_torrent *torrent, uint32_t piece, const void *bytes, size_t n,
                     bool lent)
{
    struct skep_engine *engine = torrent->engine;
    struct sk_store_job *job = sk_mem_calloc(1, sizeof *job);
    uint8_t *copy = lent ? NULL : sk_mem_dup(bytes, n);
    uint64_t id = engine->next_id++;
    if (!job || (!lent && !copy) || sk_map_put(&engine->jobs, &id, job)) {
        sk_mem_free(job);
        sk_mem_free(copy);
        return SKEP_ERR_NOMEM;
    }
    *job = (struct sk_store_job){.torrent = torrent, .piece = piece, .copy = copy, .n = n};
    engine->store_bytes += n;
    int err = sk_engine_push(
        engine, &(struct sk_out){.kind = SK_OUT_WRITE,
                                 .torrent = torrent->number,
                                 .offset = (uint64_t)piece * torrent->metainfo->piece_size,
                                 .bytes = sk_bytes(lent ? bytes : copy, n),
                                 .piece = piece,
                                 .verify = lent ? torrent->metainfo : NULL,
                                 .id = id});
    if (err)
        end_job(engine, id);
    return err;
}

static int check_store(const struct skep_torrent *torrent, uint32_t piece, size_t n)
{
    const struct skep_engine *engine = torrent->engine;
    if (!engine->config.save_dir || !torrent->metainfo)
        return SKEP_ERR_STATE;
    if (piece >= torrent->metainfo->pieces ||
        n != sk_metainfo_piece_length(torrent->metainfo, piece))
        return SKEP_ERR_INVALID;
    /* One is always taken, however large. */
    return engine->store_bytes && engine->store_bytes + n > SK_ENGINE_STORE_MAX ? SKEP_ERR_LIMIT
                                                                                : 0;
}

int skep_torrent_store(struct skep_torrent *torrent, uint32_t piece, const void *bytes, size_t n)
{
    int err = check_store(torrent, piece, n);
    if (err || sk_bitfield_has(&torrent->stored, piece))
        return err;
    return start_job(torrent, piece, bytes, n, false);
}

int skep_torrent_keep(struct skep_torrent *torrent, uint32_t piece, const void *bytes, size_t n)
{
    int err = check_store(torrent, piece, n);
    if (err)
        return err;
    if (!torrent->metainfo->has_v1 && !sk_metainfo_piece_root(torrent->metainfo, piece))
        return SKEP_ERR_NOT_FOUND;
    return start_job(torrent, piece, bytes, n, true);
}

int skep_torrent_has_stored(struct skep_torrent *torrent, uint32_t piece)
{
    if (!torrent->metainfo || piece >= torrent->metainfo->pieces)
        return SKEP_ERR_INVALID;
    sk_give_stored(torrent, piece);
    return 0;
}

const uint8_t *skep_torrent_stored(const struct skep_torrent *torrent, size_t *ret_n)
{
    *ret_n = sk_bitfield_bytes(torrent->stored.count);
    return torrent->stored.bits;
}

void sk_engine_disk_written(struct skep_engine *engine, uint64_t id, int err, uint64_t now_ns)
{
    engine->now_ns = now_ns;
    struct sk_store_job *job = sk_map_get(&engine->jobs, &id);
    if (!job)
        return;
    struct skep_event event = {
        .kind = SKEP_EVENT_STORED, .torrent = job->torrent, .piece = job->piece, .error = err};
    if (!err)
        sk_give_stored(job->torrent, job->piece);
    end_job(engine, id); /* a hook may store the next at once */
    sk_engine_emit(engine, &event);
}
