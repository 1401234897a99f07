/*
 * The downloader's inside: downloader.c (which blocks are asked of whom), downloader_piece.c (what
 * becomes of them), downloader_web.c (web seeds). Layer: engine.
 */
#ifndef SK_ENGINE_DOWNLOADER_INTERNAL_H
#define SK_ENGINE_DOWNLOADER_INTERNAL_H

#include "base/assert.h"
#include "base/endpoint.h"
#include "base/map.h"
#include "engine/downloader.h"
#include "engine/engine.h"
#include "engine/web.h"
#include "swarm/pipeline.h"
#include "swarm/suspects.h"

struct sk_download_peer {
    struct sk_downloader *downloader;
    struct skep_peer *peer;
    uint32_t number;            /* the picker's; used again */
    uint32_t serial;            /* never used again: who gave what */
    struct sk_bitfield have;    /* as the picker was told */
    struct sk_bitfield allowed; /* what it gives although it chokes us (BEP 6) */
    struct sk_pipeline pipeline;
    uint64_t heard_ns; /* the last block, or since when one is waited for */
    bool interested, silent, banned;
    bool gave; /* any block */
};

/* Numbers of web seeds in the picker, above those of all peers. */
#define SK_DOWNLOAD_WEB_NUMBER (1u << 30)

struct sk_download_web {
    struct sk_downloader *downloader;
    struct sk_webseed seed;
    uint32_t number, serial; /* as of a peer */
    struct sk_web_get *get;  /* under way; NULL none */
    uint64_t received_bytes;
};

/* A peer that gave blocks and is gone. */
struct sk_download_left {
    uint32_t serial; /* 0: none */
    char address[SK_ENDPOINT_TEXT_MAX];
};

/* What a piece's buffer waits for. */
enum sk_download_buffer_state {
    SK_BUFFER_FILLING, /* blocks */
    SK_BUFFER_WHOLE,   /* room on the way to the disk, or the piece's hash */
    SK_BUFFER_LENT,    /* the disk */
    SK_BUFFER_DOUBTED, /* wrong, and given by several: hashes of its blocks (v2) */
};

/* A piece that is put together. */
struct sk_download_buffer {
    struct sk_download_buffer *next; /* of those that are spare, or WHOLE */
    struct sk_downloader *downloader;
    enum sk_download_buffer_state state;
    uint32_t piece, length;
    uint8_t *bytes;
    uint32_t *who;     /* by block: the serial of who gave it, or SK_SUSPECTS_NOBODY (padding) */
    uint64_t until_ns; /* DOUBTED: not waited for any longer */
};

struct sk_downloads {
    struct skep_engine *engine;
    int slot;
    /* Of all downloaders what is WHOLE, the longest waiting first. */
    struct sk_download_buffer *whole, **whole_end;
    struct sk_downloader *list[SK_ENGINE_TORRENTS_MAX];
    uint32_t count;
};

struct sk_downloader {
    struct sk_downloads *downloads;
    struct skep_torrent *torrent;
    struct sk_downloader_config config;
    enum sk_downloader_state state;
    int error;
    struct sk_picker *picker;
    struct sk_suspects suspects;
    struct sk_download_peer **peers; /* by number; NULL: free */
    uint32_t peers_capacity, serials;
    struct sk_download_web *webs[SK_WEBSEEDS_MAX];
    uint32_t webs_count;
    bool webs_full;                                       /* one waits for memory */
    struct sk_download_left left[SK_DOWNLOADER_LEFT_MAX]; /* ring: the last ones */
    uint32_t left_next;
    struct sk_map buffers; /* by piece */
    struct sk_download_buffer *spare;
    uint32_t spare_count;
    bool has_padding;
    bool full;         /* pieces under way fill the memory: peers are asked again when one ends */
    uint32_t turn;     /* who was asked last, when all are */
    uint64_t again_ns; /* when all are looked at again */
    uint64_t received_bytes, wasted_bytes;
    uint32_t banned;
};

/* downloader.c */
bool sk_downloader_running(const struct sk_downloader *downloader);
/* All peers are asked for more. */
void sk_downloader_pump(struct sk_downloader *downloader, uint64_t now_ns);
/* There is memory again: until it is full, peers are asked in turn. */
void sk_downloader_pump_room(struct sk_downloader *downloader, uint64_t now_ns);
void sk_downloader_fail(struct sk_downloader *downloader, int error, uint64_t now_ns);

/* downloader_piece.c */
/* A block of this peer or web seed goes into its piece; others that were asked for it are let off.
 * serial: SK_SUSPECTS_NOBODY for padding, which nobody sent. */
void sk_downloader_take(struct sk_downloader *downloader, uint32_t number, uint32_t serial,
                        const struct sk_block *block, const void *data);
void sk_downloader_stored(struct sk_downloader *downloader, const struct skep_event *event);
void sk_downloader_leaves(struct sk_downloader *downloader, const struct skep_event *event);
/* Hands what is WHOLE to the disk, as far as there is room on the way to it. Pieces whose hashes
 * are not known yet keep nobody waiting. */
void sk_downloader_feed_disk(struct sk_downloads *downloads);
/* Nobody told the hashes of a wrong piece's blocks in time. */
void sk_downloader_end_doubts(struct sk_downloader *downloader, uint64_t now_ns);
void sk_downloader_free_buffers(struct sk_downloader *downloader);

/* downloader_web.c */
/* The metadata is known, and the picker there. */
void sk_downloader_web_open(struct sk_downloader *downloader);
/* Begins runs where web seeds are free; where nothing is wanted, ends those under way. */
void sk_downloader_web_pump(struct sk_downloader *downloader, uint64_t now_ns);
/* A piece is on the disk: there may be memory again. */
void sk_downloader_web_stored(struct sk_downloader *downloader, uint64_t now_ns);
/* Whether this was a web seed, which is dropped: it gave a wrong block of this piece. */
bool sk_downloader_web_judge(struct sk_downloader *downloader, uint32_t serial, uint32_t piece);
void sk_downloader_web_free(struct sk_downloader *downloader);

#endif
