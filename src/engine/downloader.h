/*
 * The downloaders of an engine's torrents, one each: which blocks are asked of whom, how deep each
 * pipeline is, what becomes of the pieces. Layer: engine.
 *
 * Like the auditor it is a client of the public interface. The picker (swarm/picker.h) says which
 * blocks, swarm/suspects.h whose they were when a piece is wrong. A piece is put together in
 * memory, then hashed and written by the pool's threads in one go (skep_torrent_keep()), and only
 * then counted as ours.
 *
 * How many requests to a peer are on the way is said by swarm/pipeline.h. Who owes us blocks for
 * long is not waited for: others are asked for them, and what it sends after all is taken where it
 * is missing.
 *
 * Of a wrong piece that one peer gave, that one is banned. Where several did, the hashes of its
 * blocks are asked for (v2, BEP 52): they show who lied, and only wrong blocks come anew. Without
 * them the piece comes from one peer at a time until it is right, which shows it too. That holds
 * for the last SK_DOWNLOADER_LEFT_MAX of those who have left, as well.
 *
 * Web seeds (swarm/webseed.h) are asked for stretches of pieces that nobody else has been asked
 * for, SK_WEBSEEDS_ACTIVE_MAX at a time; what they give is judged as what peers give, and who gave
 * a wrong block is dropped.
 *
 * A whole piece waits in memory as long as there is no room on the way to the disk, or its hash is
 * not known yet. Memory: SK_PICKER_BYTES_MAX of pieces under way, each torrent, whose buffers are
 * used again; 20 KiB, and 300 bytes and a bitfield or two a peer.
 */
#ifndef SK_ENGINE_DOWNLOADER_H
#define SK_ENGINE_DOWNLOADER_H

#include "swarm/picker.h"

#include <skep/engine.h>

struct sk_downloads; /* of one engine: the hooks, and every downloader */
struct sk_downloader;

struct sk_downloader_config {
    enum sk_picker_order order;
    uint64_t partial_bytes_max; /* 0 = SK_PICKER_BYTES_MAX */
    uint64_t seed;
    bool no_web_seeds; /* those that the torrent names are left alone */
    /* Each piece that is on the disk from now on; may be NULL. */
    void (*stored)(uint32_t piece, void *ctx);
    /* The metadata is known and the picker made: what is on the disk and which files are wanted can
     * be said now. Nothing is asked for before sk_downloader_go(). NULL: it goes at once. */
    void (*ready)(void *ctx);
    void *ctx;
};

enum sk_downloader_state {
    SK_DOWNLOADER_METADATA, /* waits for it */
    SK_DOWNLOADER_READY,    /* waits for sk_downloader_go() */
    SK_DOWNLOADER_RUNNING,
    SK_DOWNLOADER_DONE,   /* all that is wanted is on the disk */
    SK_DOWNLOADER_FAILED, /* the disk: see `error` */
};

struct sk_downloader_status {
    enum sk_downloader_state state;
    int error; /* FAILED: SKEP_ERR_STORE (full), SKEP_ERR_IO */
    struct sk_picker_counts counts;
    uint64_t received_bytes, wasted_bytes; /* blocks; those that came twice or were wrong */
    uint32_t peers;                        /* open */
    uint32_t useful;                       /* of them those that have something for us */
    uint32_t unchoked;                     /* of those: that let us ask */
    uint32_t banned;
    uint32_t web_seeds; /* that may be asked: not dropped */
};

struct sk_downloader_web_seed {
    const char *url;
    const char *state;  /* "active", "idle", "waiting" (after a failure), "dropped" */
    const char *reason; /* of the last failure, raw; NULL: none since */
    uint64_t received_bytes;
    bool answered; /* its server did, whatever it said */
    bool has_any;  /* of what it may still be asked for */
};

/* Registers its hooks. SKEP_ERR_NOMEM, SKEP_ERR_LIMIT. */
int sk_downloads_new(struct skep_engine *engine, struct sk_downloads **ret_downloads);
/* With all its downloaders, after the runtime's end: the engine's peers may not call back, nor the
 * disk read, any more. */
void sk_downloads_free(struct sk_downloads *downloads);
/* Before skep_torrent_start(); the engine needs a `save_dir`. SKEP_ERR_NOMEM, SKEP_ERR_LIMIT. */
int sk_downloader_new(struct sk_downloads *downloads, struct skep_torrent *torrent,
                      const struct sk_downloader_config *config,
                      struct sk_downloader **ret_downloader);
/* One more web seed, which may lie anywhere: the user's. SKEP_ERR_INVALID (no http or https
 * address), SKEP_ERR_LIMIT (SK_WEBSEEDS_MAX), SKEP_ERR_NOMEM. */
int sk_downloader_add_web_seed(struct sk_downloader *downloader, const char *url);
/* The i-th; false past the last. Texts live until the downloader is called again. Those that the
 * torrent names are known once the metadata is. */
bool sk_downloader_web_seed(const struct sk_downloader *downloader, size_t i, uint64_t now_ns,
                            struct sk_downloader_web_seed *ret_seed);
/* NULL before the metadata. What is told to it about pieces that are here goes through
 * skep_torrent_has_stored() as well. */
struct sk_picker *sk_downloader_picker(struct sk_downloader *downloader);
/* From READY: asks for what is missing. */
void sk_downloader_go(struct sk_downloader *downloader, uint64_t now_ns);
/* What is wanted or ordered was changed in the picker: peers are asked anew. */
void sk_downloader_review(struct sk_downloader *downloader, uint64_t now_ns);
/* Ten times a second: pieces that wait for the disk, peers that are gone; once a second requests
 * that nobody answers, the end game. */
void sk_downloader_tick(struct sk_downloader *downloader, uint64_t now_ns);
void sk_downloader_status(const struct sk_downloader *downloader,
                          struct sk_downloader_status *ret_status);

#endif
