/*
 * Every limit of the program that a stranger could push against, in one place.
 */
#ifndef SK_BASE_LIMITS_H
#define SK_BASE_LIMITS_H

/* Formats (wire) */
#define SK_BENCODE_DEPTH_MAX 64            /* nested lists and dictionaries */
#define SK_METAINFO_BYTES_MAX (256u << 20) /* a .torrent file */
#define SK_METADATA_BYTES_MAX (32u << 20)  /* an info dictionary fetched from peers */
#define SK_METAINFO_FILES_MAX 1000000      /* files in a torrent */
#define SK_METAINFO_PATH_MAX 4096          /* bytes of a file's path with its directories */
#define SK_METAINFO_PIECES_MAX (1u << 26)  /* pieces in a torrent */
#define SK_METAINFO_TRACKERS_MAX 200       /* trackers read from a torrent or magnet */
#define SK_METAINFO_URL_MAX 2048           /* bytes of a tracker's or web seed's address */
#define SK_MAGNET_PEERS_MAX 200            /* x.pe entries */
#define SK_BLOCK_SIZE 16384                /* bytes of a block, as every client asks for */
#define SK_BLOCK_SIZE_MAX (128u << 10)     /* the largest request that we read as sane */
#define SK_PEER_MESSAGE_MAX                                                                        \
    (9u << 20)                                /* a length prefix above this is a protocol error:   \
                                                 a bitfield of SK_METAINFO_PIECES_MAX fits */
#define SK_EXTENSION_MESSAGE_MAX (128u << 10) /* handshake, PEX, metadata piece */
#define SK_PEX_PEERS_MAX 400                  /* peers read from one PEX message */
#define SK_CLIENT_NAME_MAX 64                 /* bytes of a client's name, escaped */
#define SK_HASHES_PER_MESSAGE_MAX 8192        /* BEP 52 hash messages */
#define SK_TRACKER_ANSWER_MAX (2u << 20)      /* bytes of an HTTP tracker's answer, unpacked */
#define SK_TRACKER_PEERS_MAX 10000            /* peers read from one answer */
#define SK_TRACKER_TEXT_MAX 512               /* bytes of a tracker's message that are kept */
#define SK_MSE_PAD_MAX 512
#define SK_MSE_IA_MAX 65535

#endif
