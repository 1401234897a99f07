/*
 * Making an engine, for drivers. Layer: engine. Everything else is in <skep/engine.h> (for the
 * program) and engine/io.h (for the driver).
 */
#ifndef SK_ENGINE_ENGINE_H
#define SK_ENGINE_ENGINE_H

#include "engine/io.h"

#include <skep/runtime.h>

/* config is copied; config->seed must be set (not 0) and `port` is the one really listened on.
 * SKEP_ERR_NOMEM, SKEP_ERR_CRYPTO (encryption wanted and RC4 not to be had). */
int sk_engine_new(const struct skep_config *config, uint64_t now_ns, struct skep_engine **ret);
/* Hooks of one client of the engine, of events and of messages. */
struct sk_event_hook {
    enum skep_event_kind kind;
    skep_hook_fn fn;
};
struct sk_message_hook {
    enum skep_message_kind kind;
    skep_hook_fn fn;
};
/* Registers all of them and a slot in every peer (see skep_engine_reserve_slot()). SKEP_ERR_NOMEM,
 * SKEP_ERR_LIMIT. */
int sk_engine_hook_all(struct skep_engine *engine, const struct sk_event_hook *events,
                       size_t events_count, const struct sk_message_hook *messages,
                       size_t messages_count, void (*free_slot)(void *), void *ctx, int *ret_slot);
/*
 * Makes it a node of the DHT, unless config.no_dht: once, right after it was made. `families`: the
 * address families that there is a UDP socket for, enum sk_krpc_want. SKEP_ERR_NOMEM.
 */
int sk_engine_join_dht(struct skep_engine *engine, unsigned families, uint64_t now_ns);
/* The driver closed all its handles before. */
void sk_engine_free(struct skep_engine *engine);
/* What trackers are told of a transfer: block bytes given and taken, bytes that lack (UINT64_MAX
 * unknown). */
struct sk_counters {
    uint64_t uploaded, downloaded, left;
};
/* From now on `fn` says what is reported of the torrent, in place of what is true: for peers of a
 * lab that lie. NULL: the truth. */
void sk_engine_set_report(struct skep_torrent *torrent,
                          void (*fn)(struct sk_counters *progress, uint64_t now_ns, void *ctx),
                          void *ctx);
/* From now on peers are told of what was stored so long after it was, of several pieces together;
 * SK_TIME_NEVER: not at all. 0: as clients do that hide nothing. For peers of a lab. */
void sk_engine_tell_after(struct skep_torrent *torrent, uint64_t after_ns);
/* What it calls itself, 20 bytes. */
const uint8_t *sk_engine_peer_id(const struct skep_engine *engine);
/* What is known of a torrent; NULL before that. Lives as long as the torrent. */
const struct sk_metainfo *sk_engine_metainfo(const struct skep_torrent *torrent);
/* A torrent's file layout for the driver's disk: file `i` of torrent number `torrent`. Returns
 * false past the last. `ret_path` is relative and safe, valid until the next call; NULL for files
 * that are not on the disk (padding: all zero bytes). */
bool sk_engine_file(const struct skep_engine *engine, uint32_t torrent, uint32_t i,
                    const char **ret_path, uint64_t *ret_offset, uint64_t *ret_length);

#endif
