/*
 * Every limit of the program that a stranger could push against, in one place.
 */
#ifndef SK_BASE_LIMITS_H
#define SK_BASE_LIMITS_H

/* Formats (wire) */
#define SK_BENCODE_DEPTH_MAX 64               /* nested lists and dictionaries */
#define SK_METAINFO_BYTES_MAX (256u << 20)    /* a .torrent file */
#define SK_METADATA_BYTES_MAX (32u << 20)     /* an info dictionary fetched from peers */
#define SK_METAINFO_FILES_MAX 1000000         /* files in a torrent */
#define SK_METAINFO_PATH_MAX 4096             /* bytes of a file's path with its directories */
#define SK_METAINFO_PIECES_MAX (1u << 26)     /* pieces in a torrent */
#define SK_METAINFO_PIECE_SIZE_MAX (1u << 30) /* bytes of a piece */
#define SK_METAINFO_NAMES_MAX 2000000         /* files and directories of a torrent together */
#define SK_METAINFO_TRACKERS_MAX 200          /* trackers read from a torrent or magnet */
#define SK_METAINFO_URL_MAX 2048              /* bytes of a tracker's or web seed's address */
#define SK_MAGNET_BYTES_MAX (256u << 10)      /* a magnet link */
#define SK_MAGNET_PEERS_MAX 200               /* x.pe entries */
#define SK_BLOCK_SIZE 16384                   /* bytes of a block, as every client asks for */
#define SK_BLOCK_SIZE_MAX (128u << 10)        /* the largest request that we read as sane */
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
#define SK_PEER_REQUEST_QUEUE_MAX 65536       /* a peer's reqq above this is not believed */

/* Films that start in their middle (wire) */
#define SK_FILM_READS_MAX 65536               /* looks at the file until the start is found */
#define SK_FILM_READ_BYTES_MAX (512u << 20)   /* and what they read all together */
#define SK_FILM_TABLE_BYTES_MAX (32u << 20)   /* an index, or the head of an MP4 file */
#define SK_FILM_FRAGMENT_BYTES_MAX (4u << 20) /* the head of a fragment of an MP4 file */
#define SK_FILM_HEAD_MAX 64                   /* elements before the first cluster */
#define SK_FILM_TRACKS_MAX 64                 /* tracks of an MP4 file */
#define SK_FILM_INDEXES_MAX 16                /* indexes that lead to others */
#define SK_FILM_RETREATS_MAX 8                /* clusters gone back for a key frame */

/* Trackers of our own (proto/tracker, skep tracker) */
#define SK_TRACKER_SWARMS_MAX 200000
#define SK_TRACKER_ALL_PEERS_MAX 1000000 /* of all swarms */
#define SK_TRACKER_HOST_PEERS_MAX 10000  /* of one IPv4 address, or /64 of IPv6, in all swarms */
/* Announces that are recorded (store/announce_quota.h) */
#define SK_QUOTA_CLIENT_ROWS 8        /* of one client at once */
#define SK_QUOTA_NETWORK_CLIENTS 1000 /* clients of one network, one row each an interval */
#define SK_QUOTA_NETWORKS (1u << 16)  /* that are told apart, */
#define SK_QUOTA_CLIENTS (1u << 18)   /* and clients */

/* Peer sessions (proto/peer) */
#define SK_PEER_OUTPUT_MAX (4u << 20)         /* bytes that wait to be sent */
#define SK_PEER_REQUESTS_MAX 2048             /* our requests on the way */
#define SK_PEER_EARLY_HAVES_MAX 4096          /* HAVEs kept until the metadata is known */
#define SK_PEER_EARLY_BITFIELD_MAX (8u << 20) /* bytes of a bitfield kept as long */
#define SK_PEER_IDLE_MESSAGES_MAX 1000        /* keep-alives and unknown messages in a row */
#define SK_PEER_HASH_REQUESTS_MAX 64          /* our hash requests (BEP 52) on the way */
#define SK_PEER_HELD_MAX (64u << 10)          /* bytes kept until a hello is answered */
#define SK_MSE_PAD_MAX 512
#define SK_MSE_IA_MAX 65535

/* Swarms (swarm, engine) */
#define SK_BOOK_ADDRESSES_MAX 200000 /* addresses known of one torrent */
#define SK_BOOK_PORTS_PER_IP_MAX 32  /* of one IP, dialled because strangers told them */
#define SK_BOOK_PORT_MIN 1024        /* lower ports are dialled only when given by the user */
#define SK_BOOK_REVIVE_NS (600 * SK_SECOND_NS) /* who was given up is left alone so long */
#define SK_BOOK_GIVEN_NS (60 * SK_SECOND_NS)   /* the user's own are called at least so often */
#define SK_BOOK_BLIND_MAX 3    /* attempts at one that answers to a hash we cannot know yet */
#define SK_BOOK_STARVED_MAX 60 /* attempts at one address that our system had no socket for */
#define SK_ENGINE_TORRENTS_MAX 64
#define SK_ENGINE_HOOKS_MAX 64
#define SK_ENGINE_SLOTS_MAX 4        /* states that hooks keep on a peer */
#define SK_ENGINE_HALF_OPEN_MAX 1000 /* connections being made at a time */
#define SK_ENGINE_CONNECTIONS_MAX 18000
#define SK_ENGINE_CONNECTIONS_MIN 16     /* kept on trying for, however short of sockets */
#define SK_ENGINE_PEX_NEW_MAX 2000       /* addresses that one connection can add to the book */
#define SK_ENGINE_ALLOWED_FAST_MAX 64    /* allowed-fast pieces kept of one peer */
#define SK_ENGINE_FAST_GIVE_MAX 10       /* pieces who has no more may have while choked, */
#define SK_ENGINE_FAST_GIVE_SHARE 8      /* at most one in so many of the torrent's, */
#define SK_ENGINE_FAST_BYTES (64u << 20) /* and of all peers so much a minute, */
#define SK_ENGINE_FAST_RATE_SHARE 8      /* at most one in so many bytes of a limit */
#define SK_ENGINE_OFFERS_MAX 64          /* pieces that one peer alone is told of */
#define SK_ENGINE_LEAVES_MAX 64          /* v2 pieces whose block hashes are kept */
/* Requests of one peer that wait, and how many we say we take: Transmission sends about as
 * many a second, so that its rate is that of this number. */
#define SK_ENGINE_GIVE_QUEUE_MAX 2048
#define SK_ENGINE_GIVE_QUEUE_TOLD 2000
#define SK_ENGINE_REFUSED_MAX (8u * SK_ENGINE_GIVE_QUEUE_MAX) /* while choked, a minute */
#define SK_ENGINE_HASHES_GIVE_MAX 1024                        /* hashes of a tree given at a time */
#define SK_ENGINE_PEX_GIVE_MAX 50 /* addresses told in a PEX message, and told as gone */
#define SK_ENGINE_PUNCHES_MAX 32  /* of one peer a minute, relayed and carried out */
#define SK_ENGINE_PUNCH_AGAIN_NS (15 * SK_SECOND_NS) /* between two calls of one address */
#define SK_ENGINE_STORE_MAX (64u << 20)              /* bytes on their way to the disk */
#define SK_ENGINE_DHT_HOSTS_MAX 64                   /* hosts that know DHT nodes */
#define SK_ENGINE_DHT_NODES_MAX 16                   /* of a torrent's "nodes" that are asked */
#define SK_ENGINE_DHT_PEERS_MAX 300                  /* peers taken from one node's answer */
#define SK_PICKER_BYTES_MAX (48u << 20)    /* pieces under way of a download, unless told other */
#define SK_PICKER_DEADLINES_MAX 1024       /* pieces that are needed at a time */
#define SK_DOWNLOADER_LEFT_MAX 256         /* givers that left and may yet turn out to have lied */
#define SK_CHOKER_PEERS_MAX 18000          /* as many as there are connections */
#define SK_SUSPECTS_MAX 64                 /* wrong pieces of several givers remembered */
#define SK_ASSEMBLY_BYTES_MAX (256u << 20) /* pieces being put together, all probes */

/* What one peer may fill the observation log with, by what it tells (audit/allowance.h) */
#define SK_ALLOWANCE_ROUNDS 4          /* times that it tells all its pieces, */
#define SK_ALLOWANCE_SPARE 1024        /* and more rows each time */
#define SK_ALLOWANCE_ROUND_S 600.0     /* once more each time that so much has passed */
#define SK_ALLOWANCE_PEERS 8           /* as many as so many peers all at one IP may */
#define SK_ALLOWANCE_PIECES (1u << 16) /* while it is not known how many there are */

/* Connections to silent peers that are renewed (audit/renewal.h) */
#define SK_RENEWAL_SILENCE_NS (180 * SK_SECOND_NS) /* before the first time */
#define SK_RENEWAL_DOUBLINGS 4                     /* of that, later */
#define SK_RENEWAL_ROUND 8                         /* so many are followed by less frequent ones */
#define SK_RENEWALS_MAX 48                         /* of one peer */
#define SK_RENEWAL_PAUSE_NS (3 * SK_SECOND_NS)     /* from one peer to the next */
#define SK_RENEWAL_AWAY_NS (10 * SK_SECOND_NS) /* clients refuse whom they still hold for there */
#define SK_RENEWAL_END_NS (30 * SK_SECOND_NS)  /* before the end of a watch none is begun */

/* What an audit remembers to infer from (audit/timeline.h) */
#define SK_TIMELINE_PEERS_MAX 50000             /* addresses */
#define SK_TIMELINE_GAINS_MAX (16u << 20)       /* pieces that were gained, all peers */
#define SK_TIMELINE_LINKS_MAX (1u << 20)        /* connections between peers that were told */
#define SK_TIMELINE_BITS_BYTES_MAX (128u << 20) /* of bitfields */
#define SK_TIMELINE_SPANS_MAX 64                /* connections to one peer */
#define SK_TIMELINE_TAKEN_MAX 64                /* stretches in which one gave us something */
#define SK_TIMELINE_GIVEN_MAX (1u << 20)        /* pieces that we gave or offered, all peers */
#define SK_TIMELINE_RENEWAL_MS 60000            /* so soon we are there again, if we want to be */
#define SK_TIMELINE_ANNOUNCES_MAX 4096          /* of ours, to all trackers; the first ones */

/* What peers reported to trackers, to be judged (audit/reports.h, audit/verdict.h) */
#define SK_CLOCK_SPANS_MAX (1u << 20)   /* of differences of clocks that announces of ours allow */
#define SK_CLOCK_LOOKS_MAX (1u << 27)   /* at lines of ours in a log, to find these; twice */
#define SK_REPORTS_MAX (2u << 20)       /* announces of one judgement */
#define SK_REPORTS_PEER_MAX 512         /* of one peer: of more, every second is left out */
#define SK_VISITS_MAX (1u << 18)        /* of clients that the audit never heard of */
#define SK_VERDICT_LOOKS_MAX (1u << 28) /* at single pieces: who could have given what to whom */

/* Web seeds of a torrent (swarm/webseed.h) */
#define SK_WEBSEEDS_MAX 32                   /* that are looked at */
#define SK_WEBSEEDS_ACTIVE_MAX 4             /* that are asked at a time */
#define SK_WEBSEED_RUN_BYTES_MAX (16u << 20) /* asked of one at a time */
#define SK_WEBSEED_MOVED_MAX 64              /* files of one whose redirects are remembered */
#define SK_WEBSEED_URL_MAX 8192              /* bytes of a file's address, escaped */

/* Flows inside a swarm (audit/flow.h) */
#define SK_FLOW_PAIRS_MAX (1u << 20)    /* of peers that nobody told to be connected or not */
#define SK_FLOW_CELLS_MAX (16u << 20)   /* bytes of a table: gains x sources, peers x pieces */
#define SK_FLOW_WORDS_MAX 4e6           /* words of sets looked at for all gains, a source each */
#define SK_TRACER_PIECES_MAX (1u << 20) /* of a torrent; in larger ones none are given */
#define SK_TRACERS_MAX 4096             /* that a report has: the first ones */
#define SK_TRACER_LOOKS_MAX (64u << 20) /* at what each peer holds, to find the rare pieces */

/* DHT (proto/dht) */
#define SK_DHT_OPERATIONS_MAX 4096       /* asks and searches under way */
#define SK_DHT_TRANSACTIONS_MAX 4096     /* our queries on the way */
#define SK_DHT_SEARCH_K_MAX 64           /* closest nodes that a search can be asked for */
#define SK_DHT_SEARCH_CANDIDATES_MAX 256 /* nodes that a search keeps in mind, each network */
#define SK_DHT_WAITING_MAX 1024          /* addresses that wait to be asked */
#define SK_DHT_GUARD_ADDRESSES_MAX 16384 /* whose rates are known */
#define SK_DHT_REFLECTION                                                                          \
    3                                    /* an answer to who has not proved its address may be so  \
                                            many times its query, once its allowance is used up */
#define SK_DHT_STORE_HASHES_MAX 10000    /* info-hashes that others announced to us */
#define SK_DHT_STORE_PEERS_MAX 100000    /* peers of them all */
#define SK_DHT_STORE_HASH_PEERS_MAX 6000 /* of one (BEP 33) */
#define SK_DHT_STORE_PORTS_MAX 256       /* of one, with the same IP address */
#define SK_DHT_STORE_ADDRESS_PEERS_MAX 4096  /* that one IP address announced */
#define SK_DHT_STORE_ADDRESS_HASHES_MAX 1000 /* that one IP address was the first to announce */
#define SK_DHT_STORE_ITEMS_MAX 5000          /* of BEP 44 */
#define SK_DHT_STORE_ADDRESS_ITEMS_MAX 500   /* that one IP address put */
#define SK_DHT_SAMPLE_INTERVAL_S 600         /* BEP 51: a sample holds for so long */
#define SK_DHT_BLOB_MAX (1u << 20)           /* bytes stored under a key */
#define SK_DHT_CRAWL_NODES_MAX 8000000u      /* that a walk knows: 0.5 GB (IPv6: 0.6) */
#define SK_DHT_CRAWL_ADDRESS_NODES_MAX 64    /* of them with one IP address (IPv6: /64) */
#define SK_DHT_CRAWL_QUERIES_MAX 24          /* that it sends to one node */
#define SK_DHT_CRAWL_CLAIMS_MAX 64           /* nodes told of by one that may be silent */
#define SK_DHT_CRAWL_UNDER_WAY_MAX 1024      /* nodes that it talks to at a time */
#define SK_DHT_ZONE_BITS_MAX 24              /* of the id that a zone of a walk fixes */

/* uTP (proto/utp) */
#define SK_UTP_CONNECTIONS_MAX 20000
#define SK_UTP_HALF_OPEN_MAX 256            /* incoming, whose address is not proved yet */
#define SK_UTP_CLOSING_MAX 1024             /* whose owner is done */
#define SK_UTP_SPAN_MAX 4096                /* packets that a window spans, either way */
#define SK_UTP_WINDOW_MAX (16u << 20)       /* bytes that a connection may offer to take */
#define SK_UTP_CONN_UNSENT_MAX (128u << 10) /* bytes that wait for their first sending */
#define SK_UTP_SEND_MAX (16u << 20) /* bytes of a connection not acknowledged, unsent ones too */
#define SK_UTP_HELD_MAX (64u << 20) /* bytes of all connections held to be told later */
#define SK_UTP_RESETS_MAX 32        /* that wait to be sent */
#define SK_UTP_RESETS_S 100         /* a second, to packets of no connection */

/* The world (driver) */
#define SK_RESOLVER_ADDRESSES_MAX 8 /* of one name */
#define SK_PROXY_NAMES_MAX 4096     /* that a SOCKS proxy is to look up */
#define SK_HTTP_REDIRECTS_MAX 5
#define SK_HTTP_HEADER_BYTES_MAX (64u << 10) /* of all answers of one request */
#define SK_HTTP_ERROR_BYTES_MAX (64u << 10)  /* of a body that is not what was asked for */
#define SK_DISK_QUEUE_BYTES_MAX (256u << 20) /* reads and writes under way */
#define SK_DISK_FILES_MAX 64                 /* descriptors kept open */
#define SK_HASHING_THREADS_MAX 256u          /* that hash files at a time */

/* Files of others (store) */
#define SK_ANNOUNCE_RECORD_MAX 65536 /* bytes of a line of recorded announces */
#define SK_ANNOUNCE_FIELDS_MAX 256   /* of such a line of CSV */
#define SK_ANNOUNCE_BAD_MAX 1000     /* lines that cannot be read before hope is lost */

/* Labs (swarm, driver) */
#define SK_LAB_SIZE_MAX (UINT64_C(4) << 30) /* bytes of a lab's torrent */
#define SK_LAB_PIECES_MAX (1u << 20)
#define SK_LAB_PEERS_MAX 10000
#define SK_LAB_GROUPS_MAX 200
#define SK_LAB_SCENARIO_BYTES_MAX (1u << 20)
#define SK_LAB_CONNS_MAX 16000  /* connections at a time */
#define SK_LAB_REQUESTS_MAX 512 /* of one connection that wait: twice what we say we take */
#define SK_LAB_TRADERS_MAX 200  /* peers with an engine of their own */
#define SK_LAB_LEDGER_MAX 300   /* remotes that a peer keeps account of: all that trade, and some */
#define SK_LAB_DIALS_MAX 64     /* connections that a peer makes by itself */

#endif
