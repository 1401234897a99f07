/*
 * The engine's inside: what its files share. Layer: engine; private to this folder.
 *
 * engine.c      making it, time, outputs, events and hooks
 * conn.c        connections: bytes in and out, session events, their end
 * identity.c    which connections and addresses are one peer
 * dial.c        whom to dial, by which handshake, what a failure means
 * torrent.c     torrents and their metadata
 * metadata.c    the info dictionary from peers (BEP 9)
 * leaves.c      block hashes of v2 pieces from peers (BEP 52)
 * layers.c      piece layers of v2 torrents from peers (BEP 52)
 * discovery.c   trackers, LSD, PEX into the peer book
 * demux.c       datagrams of the shared port
 * dht*.c        the DHT, see dht_internal.h
 * streams.c     connections over uTP
 * store.c       pieces on their way to the disk
 * web.c         ranges of files from web seeds (BEP 19)
 * give.c        stored pieces served to others
 * choking.c     to whom
 * super_give.c  which pieces they are told of (BEP 16)
 * offer_give.c  pieces that chosen ones are told of
 * fast_give.c   pieces for those that are choked (BEP 6)
 * metadata_give.c  the info dictionary given to peers (BEP 9)
 * hashes_give.c    hashes of v2 trees given to peers (BEP 52)
 * have_give.c      pieces that we have, told to peers
 * pex_give.c       peers told to peers (BEP 11)
 * api.c         the functions of <skep/engine.h> that only look or pass on
 */
#ifndef SK_ENGINE_INTERNAL_H
#define SK_ENGINE_INTERNAL_H

#include "base/bucket.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/prng.h"
#include "engine/engine.h"
#include "proto/peer/session.h"
#include "proto/tracker/tracker.h"
#include "proto/utp/utp.h"
#include "swarm/choker.h"
#include "swarm/peer_book.h"
#include "swarm/superseed.h"
#include "wire/magnet.h"
#include "wire/metainfo.h"

#include <skep/engine.h>

#define SK_ENGINE_CONNECT_NS (10 * SK_SECOND_NS)
#define SK_ENGINE_HEAD_START_NS (3 * SK_SECOND_NS / 10) /* of TCP before uTP, as in RFC 8305 */
#define SK_ENGINE_USEFUL_NS (60 * SK_SECOND_NS) /* a connection that lasts so long is of use */
#define SK_ENGINE_LSD_NS (300 * SK_SECOND_NS)

/* What a timer wakes; the object is found around it. */
enum sk_timer_kind {
    SK_TIMER_PEER,
    SK_TIMER_TRACKER,
    SK_TIMER_DIAL,
    SK_TIMER_LSD,
    SK_TIMER_METADATA,
    SK_TIMER_LAYERS,
    SK_TIMER_READ,
    SK_TIMER_GIVE,
    SK_TIMER_CHOKER,
    SK_TIMER_PEX,
    SK_TIMER_HAVE,
    SK_TIMER_DHT,
    SK_TIMER_DHT_HOSTS,
    SK_TIMER_DHT_TORRENT,
};

struct sk_engine_timer {
    struct sk_timer base; /* first */
    enum sk_timer_kind kind;
};

enum sk_stage {
    SK_STAGE_CONNECTING, /* outgoing: TCP is being opened */
    SK_STAGE_TALKING,    /* there is a session */
    SK_STAGE_CLOSING,    /* SK_OUT_CLOSE is on its way; waits for sk_engine_conn_gone() */
};

/* How much one peer was given of something in the SK_GIVE_QUOTA_NS that began at since_ns. */
#define SK_GIVE_QUOTA_NS (60 * SK_SECOND_NS)
struct sk_give_quota {
    uint64_t since_ns, given;
};

/* What one may have while it is choked, and how many bytes of each it was given so. */
struct sk_fast_give {
    uint32_t pieces[SK_ENGINE_FAST_GIVE_MAX], given[SK_ENGINE_FAST_GIVE_MAX];
    uint32_t count;
};

/* A request of theirs that waits for the disk. */
struct sk_give_request {
    uint32_t piece, begin, length;
    bool granted; /* counted by sk_fast_give_take() */
    bool dropped; /* while it was read */
};

struct skep_peer {
    struct sk_conn conn; /* first: a conn is the head of a peer */
    struct skep_engine *engine;
    struct skep_torrent *torrent; /* NULL: incoming, info-hash not known yet */
    struct sk_peer *session;
    struct sk_book_entry *entry;
    struct skep_peer *prev, *next; /* of all peers of the engine */
    struct sk_utp_conn *stream;    /* uTP: NULL once it has ended */
    bool is_stream;                /* over uTP */
    struct sk_engine_timer timer;
    enum sk_stage stage;
    enum sk_dial_mode mode; /* outgoing: the handshake in use */
    struct skep_peer
        *rival; /* connecting: the attempt at the same address by the other transport */
    bool opened, send_queued, paused;
    bool was_reset;    /* the other side ended it with a reset */
    bool close_lost;   /* SK_OUT_CLOSE found no memory to wait in */
    bool was_blind;    /* its handshake was made before the metadata was known */
    bool metadata_bad; /* it gave metadata that was wrong */
    uint64_t dial_ns, connect_ns, opened_ns;
    uint64_t renew_ns; /* we close it, and dial its address again then; 0 not */
    uint64_t payload_seen;
    void *slots[SK_ENGINE_SLOTS_MAX];
    uint32_t *allowed_fast;
    uint32_t allowed_fast_count;
    uint32_t pex_new; /* addresses that it was the first to tell */
    struct sk_give_request *give;
    uint32_t give_count;
    uint32_t give_run;    /* so many at the head are being read */
    uint64_t give_served; /* where it is in the turn: bytes, see give.c */
    struct sk_fast_give fast_give;
    struct sk_superseed_peer *super; /* NULL: it is told of everything, or not open */
    struct sk_offer *offers;         /* pieces that it alone was told of; NULL: none */
    uint32_t offers_count;
    uint32_t choker_number;
    bool in_choker;
    struct sk_bitfield metadata_asked; /* pieces of the info dictionary that it waits for */
    struct sk_give_quota metadata_quota, hashes_quota, leaves_quota, punch_quota, relay_quota;
    struct sk_give_quota refused_quota; /* requests, while choked */
    struct sk_hash_range leaves_range;  /* it waits for these */
    uint64_t leaves_id;                 /* the disk reads their piece; 0 not */
    struct sk_book_entry *pex_entry;    /* the address that others are told; NULL not yet */
    uint64_t pex_number;                /* its own, in the order of coming */
    uint64_t pex_told, pex_sent;        /* it knows of numbers up to these: who came, who went */
    uint64_t pex_ns;                    /* of the last message to it; 0 none yet */
    uint32_t have_told;                 /* it knows of so many of torrent->have */
    bool port_told;                     /* where its DHT node listens */
    uint64_t give_id;                   /* while reading: what the disk was asked */
    char address[SK_ENDPOINT_TEXT_MAX];
    char *client; /* escaped name; NULL until known */
};

/* One tracker of one torrent, with what it has under way in the world. */
struct sk_engine_tracker {
    struct sk_tracker *machine;
    struct skep_torrent *torrent;
    struct sk_engine_timer timer;
    enum sk_scope scope; /* what its answers may point to */
    bool given;          /* by the user */
    bool first_done;     /* answered or failed once */
    bool stopped;        /* it was told to say good-bye */
    uint64_t http_id;    /* the GET under way, 0 none */
    uint32_t http_request;
};

struct sk_metadata_fetch {
    uint8_t *bytes;
    uint32_t size, pieces;
    uint32_t got;
    struct sk_metadata_piece {
        struct skep_peer *from; /* who was asked or who gave; NULL nobody */
        uint64_t asked_ns;
        bool have;
    } * piece;
    struct sk_engine_timer timer;
    bool one_peer; /* after wrong data: a single peer at a time, so that the liar shows */
    bool broken;   /* the hash was right and what it covers is no torrent */
};

struct sk_layer_fetch {
    uint32_t file; /* whose layer is being fetched */
    uint32_t next_file;
    uint32_t got; /* hashes of it so far */
    uint8_t *hashes;
    uint32_t count;
    struct skep_peer *from;
    struct sk_engine_timer timer;
    bool done;
};

/* Hashes of a piece's blocks that lead to the piece's own hash. */
struct sk_leaves {
    uint32_t piece, count;
    uint8_t *hashes; /* NULL: free place */
};

struct sk_store_job {
    struct skep_torrent *torrent;
    uint32_t piece;
    uint8_t *copy; /* NULL: the bytes are lent */
    size_t n;
};

/* A torrent's own lookups in the DHT: one draw asks for each of its hashes. */
struct sk_torrent_dht {
    struct sk_engine_timer timer; /* the next draw */
    uint64_t lookups[2];          /* runs of the draw under way; 0 none */
    uint64_t begun_ns;            /* when the torrent was started */
    uint64_t started_ns;          /* of the draw */
    uint64_t announced_ns;        /* 0 never */
    struct sk_dht_scrape *scrape; /* of it; NULL without memory */
    uint32_t draws;               /* that were answered */
    uint32_t told, fresh;         /* addresses told in it, of them new ones */
    uint32_t answered;            /* nodes */
    bool heard;                   /* the first draw is over */
};

/* A peer that others were told of, and that went. */
struct sk_pex_gone {
    const struct sk_book_entry *entry;
    uint64_t came, left; /* its number; that of its going, 0: nobody yet */
};

struct sk_pex_give {
    struct sk_engine_timer timer;
    uint64_t numbers; /* that were given out */
    struct sk_pex_gone gone[SK_ENGINE_PEX_GIVE_MAX];
    uint32_t gone_next;
};

/* What was stored since the torrent was added, in order. */
struct sk_have_give {
    struct sk_engine_timer timer; /* until somebody hears of it */
    uint64_t after_ns;            /* see sk_engine_tell_after() */
    uint32_t *pieces;
    uint32_t count, capacity;
};

enum sk_torrent_state { SK_TORRENT_NEW, SK_TORRENT_RUNNING, SK_TORRENT_STOPPED };

struct skep_torrent {
    struct skep_engine *engine;
    uint32_t number;
    enum sk_torrent_state state;
    uint8_t info_hash[20];
    bool has_v2;
    uint8_t hash_v2[32];
    bool has_v1;
    char *name;                   /* from a magnet, until the metadata comes */
    struct sk_metainfo *metainfo; /* NULL until known */
    struct sk_peer_book book;
    struct sk_map by_peer_id;      /* open peers */
    struct sk_map left_by_peer_id; /* addresses of those who hung up and are dialled again */
    struct sk_engine_tracker **trackers;
    size_t trackers_count;
    struct sk_engine_timer dial_timer, lsd_timer;
    struct sk_metadata_fetch metadata;
    struct sk_layer_fetch layers;
    struct sk_leaves leaves[SK_ENGINE_LEAVES_MAX];
    uint32_t leaves_next;
    struct sk_bitfield stored; /* pieces on our disk, served with config.give */
    int upload_only; /* what is said of it while it is not whole: 1, 0, -1 nothing (BEP 21) */
    struct sk_superseed *superseed; /* NULL: no super-seeding, or nobody came yet */
    struct sk_choker *choker;       /* NULL: nothing is served */
    struct sk_engine_timer choker_timer;
    struct skep_peer **choker_peers; /* by their number there; NULL: free */
    uint32_t choker_capacity;
    struct sk_hash_tree *hash_trees; /* by file; NULL until one is asked for */
    struct sk_map hash_tree_by_root; /* once there are hash_trees */
    struct sk_pex_give pex;
    struct sk_have_give have;
    uint64_t given, taken;                                                    /* block bytes */
    void (*report)(struct sk_counters *progress, uint64_t now_ns, void *ctx); /* NULL: the truth */
    void *report_ctx;
    struct sk_give_quota fast_quota;
    uint32_t open;
    uint32_t names_waiting; /* of peers, being looked up */
    char **web_seeds;       /* of its magnet link */
    size_t web_seeds_count;
    struct sk_torrent_dht dht;
    char path[SK_METAINFO_PATH_MAX + 260]; /* of the file last asked for, see sk_engine_file() */
};

struct sk_hook {
    skep_hook_fn fn;
    void *ctx;
    uint16_t message; /* SKEP_MESSAGE_KIND_COUNT: any */
    uint8_t kind;
};

/* An event that waits because a hook is running; texts are kept here. */
struct sk_queued_event {
    struct skep_event event;
    char text[SK_ENDPOINT_TEXT_MAX];
};

/* What an answer from the world belongs to. */
enum sk_ask_kind {
    SK_ASK_TRACKER_HTTP,
    SK_ASK_TRACKER_NAME,
    SK_ASK_PEER_NAME,
    SK_ASK_GIVE,
    SK_ASK_LEAVES,
    SK_ASK_DHT_HOST, /* number: which */
    SK_ASK_DHT_NODE, /* a torrent's */
    SK_ASK_DHT_RUN,  /* number: the run's */
    SK_ASK_WEB,      /* web */
};
struct sk_ask {
    enum sk_ask_kind kind;
    struct sk_engine_tracker *tracker;
    struct skep_torrent *torrent;
    struct skep_peer *peer;
    struct sk_web_get *web;
    uint16_t port;
    uint64_t number;
};

struct skep_engine {
    struct skep_config config;
    struct sk_prng prng;
    uint64_t now_ns;
    uint8_t peer_id[20];
    uint32_t key;
    char lsd_cookie[32];
    struct sk_heap timers;
    struct skep_peer *peers; /* list */
    uint32_t peers_count, incoming_count, half_open;
    uint32_t races; /* pairs of rivals */
    uint32_t closes_lost;
    struct skep_torrent *torrents[SK_ENGINE_TORRENTS_MAX];
    uint32_t torrents_count;
    struct sk_peer_skey skeys[2 * SK_ENGINE_TORRENTS_MAX]; /* both hashes of hybrid ones */
    uint32_t skeys_count;
    struct sk_hook hooks[SK_ENGINE_HOOKS_MAX];
    uint32_t hooks_count;
    uint64_t hooked; /* bit per event kind that has a hook */
    void (*slot_free[SK_ENGINE_SLOTS_MAX])(void *);
    int slots_count;
    bool serving;
    struct sk_queued_event *queue;
    size_t queue_head, queue_count, queue_capacity;
    struct sk_out *outs; /* ring */
    size_t out_head, out_count, out_capacity;
    void *out_owned;    /* freed at the next call of sk_engine_next_output() */
    struct sk_map asks; /* uint64 id -> struct sk_ask */
    uint64_t next_id;
    struct sk_map jobs; /* uint64 id -> struct sk_store_job */
    size_t store_bytes;
    double dial_tokens;
    uint64_t dial_tokens_ns;
    struct sk_bucket read_bucket, give_bucket; /* bytes */
    struct sk_engine_timer read_timer, give_timer;
    uint64_t give_served; /* where the turn is */
    uint32_t paused_count;
    struct sk_web_get *webs;   /* list: ranges that are fetched */
    struct sk_engine_dht *dht; /* NULL: no node */
    struct sk_utp *utp;        /* NULL: no uTP */
};

/* engine.c */
bool sk_engine_hooked(const struct skep_engine *engine, enum skep_event_kind kind);
/* Serves the hooks, now or, when one is running, after it. */
void sk_engine_emit(struct skep_engine *engine, const struct skep_event *event);
/* Serves what waited because something of the program's was running: after whatever was called as
 * a hook is called, with `serving` set. */
void sk_engine_serve_queue(struct skep_engine *engine);
/* Appends an output; `owned` (may be NULL) is freed once it was taken. Losing one for lack of
 * memory is survivable: the caller's time-outs notice. SKEP_ERR_NOMEM. */
int sk_engine_push(struct skep_engine *engine, const struct sk_out *out);
int sk_engine_ask(struct skep_engine *engine, const struct sk_ask *ask, uint64_t *ret_id);
bool sk_engine_answer(struct skep_engine *engine, uint64_t id, struct sk_ask *ret_ask);
/* Has a name looked up for this ask. SKEP_ERR_NOMEM. */
int sk_engine_ask_name(struct skep_engine *engine, const struct sk_ask *ask, const char *name);
/* Takes "name:port" apart. Addresses with more than one colon are no names. */
bool sk_engine_split_name(const char *address, char *ret_name, size_t size, uint16_t *ret_port);
void sk_engine_set_timer(struct skep_engine *engine, struct sk_engine_timer *timer,
                         enum sk_timer_kind kind, uint64_t at_ns);

/* conn.c */
struct skep_peer *sk_conn_new(struct skep_engine *engine, const struct sk_endpoint *endpoint,
                              bool outgoing);
/* Ends a connection; `reason` static; `theirs`: they ended it. Decides about dialling again, tells
 * the hooks. */
void sk_conn_close(struct skep_peer *peer, const char *reason, bool theirs);
/* After anything that may have made output or moved a deadline. */
void sk_conn_touch(struct skep_peer *peer);
void sk_conn_set_timer(struct skep_peer *peer);
void sk_conn_on_timer(struct skep_peer *peer);
/* Charges received bytes to the rate limit. Whether it is used up: then nothing more is to be read
 * until sk_conn_pause_all_over(). */
bool sk_conn_charge(struct skep_engine *engine, size_t n);
void sk_conn_pause_all_over(struct skep_engine *engine);
int sk_conn_session_config(const struct skep_peer *peer, struct sk_peer_config *ret_config);
void sk_conn_apply_metadata(struct skep_torrent *torrent);

/* Whether it is an open connection of this torrent. */
static inline bool sk_conn_is_open(const struct skep_peer *peer, const struct skep_torrent *torrent)
{
    return peer->torrent == torrent && peer->opened && peer->stage == SK_STAGE_TALKING;
}

/* Whether the book's entry is this connection's: another one may have taken it over. */
bool sk_conn_owns_entry(const struct skep_peer *peer);

/* identity.c */
/* A connection whose handshakes are through: closes it where its peer is connected already. */
bool sk_identity_admit(struct skep_peer *peer);
/* An incoming peer told the port that it listens on: that is the address others know it by. */
void sk_identity_listens(struct skep_peer *peer, uint16_t port);
/*
 * An address hung up on us at once, and one peer from the same IP that never told where it listens
 * is connected: clients take one connection of a peer, so that is its address. Returns whether so.
 */
bool sk_identity_explains(const struct skep_peer *refused);
/* It hung up, and its address waits to be dialled again. */
void sk_identity_left(struct skep_peer *peer);

/* dial.c */
#define SK_DIAL_NO_SOCKETS "no sockets left here" /* the one failure that is ours */
void sk_dial_pump(struct skep_engine *engine);
/* Connections, and places that are kept for those who are being renewed. The two of a race are one
 * dial, of which one connection at most will come. */
uint32_t sk_dial_places(const struct skep_engine *engine);
/* As many of the connections_max as those may take that are being made, and those who come in: so
 * neither keeps out the others. */
uint32_t sk_dial_half(const struct skep_engine *engine);
/* An outgoing attempt that never opened came to nothing. */
void sk_dial_failed(struct skep_peer *peer, const char *reason, bool handshake);
/* One that is connecting: its head start, or its time, is over. */
void sk_dial_on_timer(struct skep_peer *peer);
/* It is connected: its rival, if there is one, goes. */
void sk_dial_won(struct skep_peer *peer);
/* It and its rival are none any more; nothing else is done to them. */
void sk_dial_end_race(struct skep_peer *peer);
unsigned sk_dial_incoming_mse(const struct skep_engine *engine, bool *ret_required);

/* torrent.c */
void sk_torrent_free(struct skep_torrent *torrent);
/* The metadata is here (owned by the torrent from now on). */
void sk_torrent_set_metainfo(struct skep_torrent *torrent, struct sk_metainfo *metainfo);
struct skep_torrent *sk_torrent_find(struct skep_engine *engine, const uint8_t info_hash[20]);

/* metadata.c */
void sk_metadata_peer(struct skep_peer *peer); /* its extension handshake came */
void sk_metadata_message(struct skep_peer *peer, const struct sk_metadata_message *message);
void sk_metadata_peer_gone(struct skep_peer *peer);
void sk_metadata_on_timer(struct skep_torrent *torrent);
void sk_metadata_deinit(struct skep_torrent *torrent);

/* layers.c */
void sk_layers_start(struct skep_torrent *torrent);
/* Whether files without a layer, and without v1 hashes in their stead, are left. */
bool sk_layers_waiting(const struct skep_torrent *torrent);
void sk_layers_peer(struct skep_peer *peer); /* it opened, or told what it has */
void sk_layers_message(struct skep_peer *peer, const struct sk_msg *msg);
void sk_layers_peer_gone(struct skep_peer *peer);
void sk_layers_on_timer(struct skep_torrent *torrent);
void sk_layers_deinit(struct skep_torrent *torrent);

/* Whether this peer answers hash requests. */
bool sk_layers_speaks_v2(const struct skep_peer *peer);

/* leaves.c */
void sk_leaves_message(struct skep_peer *peer, const struct sk_msg *msg);
void sk_leaves_deinit(struct skep_torrent *torrent);

/* discovery.c */
/* given: the user named it, so no rule against strangers' torrents applies. */
/* Whether a stranger may name the port of this address: those of the web, and from 1024 on. */
bool sk_discovery_port_allowed(const char *url);
/* Whether its host is an address of this machine or a private network, as it is written. */
bool sk_discovery_url_is_inside(const char *url);
int sk_discovery_add_tracker(struct skep_torrent *torrent, const char *url, bool given);
void sk_discovery_start(struct skep_torrent *torrent);
void sk_discovery_stop(struct skep_torrent *torrent);
/* All of it is here: told to the trackers, soon. */
void sk_discovery_completed(struct skep_torrent *torrent);
bool sk_discovery_stopped(const struct skep_torrent *torrent);
void sk_discovery_free_tracker(struct sk_engine_tracker *tracker);
void sk_discovery_tracker_timer(struct sk_engine_tracker *tracker);
void sk_discovery_lsd_timer(struct skep_torrent *torrent);
/* Whether a tracker knew the datagram for its own. */
bool sk_discovery_udp(struct skep_engine *engine, const struct sk_endpoint *from,
                      struct sk_bytes datagram);
/* Whether peers tell each other of peers: not those of a private torrent. */
bool sk_discovery_pex_allowed(const struct skep_torrent *torrent);
void sk_discovery_pex(struct skep_peer *peer, const struct sk_pex_peer *peers, size_t count);
/* A source told an address: book, event. `by` may be NULL. Whether it was new. */
bool sk_discovery_hear(struct skep_torrent *torrent, const struct sk_endpoint *endpoint,
                       enum sk_source source, enum sk_scope teller, const char *by, unsigned flags);

/* dht.c */
void sk_engine_dht_free(struct skep_engine *engine);
/* Tells what the node has to tell, lets runs begin and tasks go on. */
void sk_engine_dht_pump(struct skep_engine *engine);
void sk_engine_dht_tick(struct skep_engine *engine);
uint64_t sk_engine_dht_deadline(const struct skep_engine *engine);
bool sk_engine_dht_output(struct skep_engine *engine, struct sk_out *ret_out);
void sk_engine_dht_input(struct skep_engine *engine, const struct sk_endpoint *from,
                         struct sk_bytes datagram);
bool sk_engine_dht_claims(const struct skep_engine *engine, struct sk_bytes datagram);
void sk_engine_dht_hosts_timer(struct skep_engine *engine);
void sk_engine_dht_resolved(struct skep_engine *engine, const struct sk_ask *ask,
                            const struct sk_endpoint *found, size_t count);

/* dht_torrent.c */
/* Whether the torrent may be looked up in the DHT at all. */
bool sk_dht_torrent_allowed(const struct skep_torrent *torrent);
/* Whether its peers are told of our node. */
bool sk_dht_torrent_tells(const struct skep_torrent *torrent);
void sk_dht_torrent_start(struct skep_torrent *torrent);
void sk_dht_torrent_stop(struct skep_torrent *torrent);
void sk_dht_torrent_timer(struct skep_torrent *torrent);
/* Its metadata came: a private torrent leaves the DHT. */
void sk_dht_torrent_metadata(struct skep_torrent *torrent);
void sk_dht_torrent_opened(struct skep_peer *peer);
/* The peer told the port of its node. */
void sk_dht_torrent_port(struct skep_peer *peer, uint16_t port);

/* web.c */
/* A range was fetched, or failed. */
void sk_web_done(struct sk_web_get *get, int status, const char *error);
/* There are tokens again. */
void sk_web_resume_all(struct skep_engine *engine);
void sk_web_stop(struct skep_torrent *torrent);
void sk_web_free_all(struct skep_engine *engine);

/* streams.c */
int sk_streams_init(struct skep_engine *engine);
/* A datagram; false: it is not uTP. */
bool sk_streams_input(struct skep_engine *engine, const struct sk_endpoint *from, uint8_t *datagram,
                      size_t n);
void sk_streams_connect(struct skep_peer *peer);
/* An output that is about a stream is carried out. */
void sk_streams_do(struct skep_engine *engine, const struct sk_out *out);
void sk_streams_tick(struct skep_engine *engine);
uint64_t sk_streams_deadline(const struct skep_engine *engine);

/* give.c */
bool sk_give_on(const struct skep_torrent *torrent);    /* whether anything is served, */
bool sk_give_tells(const struct skep_torrent *torrent); /* and everybody told of all of it */
void sk_give_message(struct skep_peer *peer, const struct sk_msg *msg);
void sk_give_pump(struct skep_peer *peer); /* after the messages of one input */
void sk_give_opened(struct skep_peer *peer);
void sk_give_peer_gone(struct skep_peer *peer); /* it will be freed */
void sk_give_sent(struct skep_peer *peer);      /* some of its output is on the way */
void sk_give_stored(struct skep_torrent *torrent, uint32_t piece);
/* What waits while we choke is not served any more; BEP 6 wants each to be told. */
void sk_give_drop_requests(struct skep_peer *peer);
void sk_give_timer(struct skep_engine *engine);
/* Whether more may be put into its output beside blocks: little while it is choked, for anybody can
 * ask. */
bool sk_give_has_room(const struct skep_peer *peer);
/* Takes n of what it may have, max in a SK_GIVE_QUOTA_NS; false where that is used up. */
bool sk_give_quota(struct sk_give_quota *quota, uint64_t n, uint64_t max, uint64_t now_ns);

/* super_give.c */
bool sk_super_give_on(const struct skep_torrent *torrent);
void sk_super_give_closed(struct skep_peer *peer); /* it was open */
/* It is open, or told all that it has, or the metadata came. Waits until all three are so, but for
 * those who need not tell it. */
void sk_super_give_told(struct skep_peer *peer);
void sk_super_give_have(struct skep_peer *peer, uint32_t piece);
void sk_super_give_stored(struct skep_torrent *torrent); /* one more piece is there */
void sk_super_give_tick(struct skep_torrent *torrent);   /* with each round of the choker */
/* Whether it was not told that we have this piece. */
bool sk_super_give_hides(const struct skep_peer *peer, uint32_t piece);

/* offer_give.c */
/* Whether only others, or nobody, may know that we have this piece. */
bool sk_offer_give_hides(const struct skep_peer *peer, uint32_t piece);
/* Whether it may have so many bytes of it. Counts them. */
bool sk_offer_give_take(struct skep_peer *peer, uint32_t piece, uint32_t length);
void sk_offer_give_peer_gone(struct skep_peer *peer); /* it will be freed */

/* fast_give.c */
void sk_fast_give_told(struct skep_peer *peer); /* it told what it has, or we learnt what that is */
/* Whether it may have so many bytes of this piece although it is choked. Counts them. */
bool sk_fast_give_take(struct skep_peer *peer, uint32_t piece, uint32_t length);

/* metadata_give.c */
void sk_metadata_give(struct skep_peer *peer, uint32_t piece); /* it asked for this one */
void sk_metadata_give_pump(struct skep_peer *peer);            /* there may be room again */
/* Our extension handshake, with the size of what we give and whether we have all. Errors of
 * sk_peer_send_extension_handshake(). */
int sk_metadata_give_tell(struct skep_peer *peer);
/* One of these has changed. */
void sk_metadata_give_tell_all(struct skep_torrent *torrent);

/* hashes_give.c */
void sk_hashes_give(struct skep_peer *peer, const struct sk_hash_range *range);
/* The piece is read whose leaves it waits for. */
void sk_hashes_give_read(struct skep_peer *peer, int err, struct sk_bytes data);
void sk_hashes_give_peer_gone(struct skep_peer *peer); /* it will be freed */
void sk_hashes_give_deinit(struct skep_torrent *torrent);

/* have_give.c */
void sk_have_give_opened(struct skep_peer *peer); /* it was told what is stored */
void sk_have_give_stored(struct skep_torrent *torrent, uint32_t piece);
void sk_have_give_timer(struct skep_torrent *torrent);
void sk_have_give_deinit(struct skep_torrent *torrent);

/* punch.c */
#define SK_PUNCH_WAIT_NS (3 * SK_SECOND_NS) /* a relay's answer takes at most so long */
bool sk_punch_allowed(const struct skep_torrent *torrent);
/* PEX said that this address can be punched. */
void sk_punch_told(struct skep_peer *by, const struct sk_endpoint *endpoint);
/* Asks for an introduction; false where nobody can be asked, or somebody was. */
bool sk_punch_ask(struct skep_torrent *torrent, struct sk_book_entry *entry);
void sk_punch_message(struct skep_peer *peer, const struct sk_holepunch *message);

/* pex_give.c */
/* Whether the address that we know it by is one that it listens on. */
bool sk_pex_listens(const struct skep_peer *peer);
void sk_pex_give_opened(struct skep_peer *peer);
void sk_pex_give_closed(struct skep_peer *peer); /* it was open */
void sk_pex_give_timer(struct skep_torrent *torrent);
void sk_pex_give_deinit(struct skep_torrent *torrent);

/* choking.c */
/* Something is stored, and nothing more is wanted. */
bool sk_choking_seeds(const struct skep_torrent *torrent);
void sk_choking_set_seeding(struct skep_torrent *torrent); /* that has changed */
void sk_choking_opened(struct skep_peer *peer);
void sk_choking_closed(struct skep_peer *peer); /* it was open */
void sk_choking_interested(struct skep_peer *peer, bool interested);
void sk_choking_asked(struct skep_peer *peer);          /* we asked it for one */
void sk_choking_gave(struct skep_peer *peer, size_t n); /* it gave us a block */
void sk_choking_took(struct skep_peer *peer, size_t n); /* we gave it one */
void sk_choking_stored(struct skep_torrent *torrent);   /* one more piece is there */
void sk_choking_timer(struct skep_torrent *torrent);
void sk_choking_deinit(struct skep_torrent *torrent);

#endif
